"""Intervals and tests against their definitions, worked examples and simulation."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import helpers
from conftest import cases, refused


@pytest.mark.parametrize(("only_a", "only_b"), [(0, 0), (1, 0), (5, 5), (9, 2), (3, 14)])
def test_mcnemar_against_the_definition(only_a, only_b):
    right_a = np.array([True] * only_a + [False] * only_b + [True] * 20 + [False] * 3)
    right_b = np.array([False] * only_a + [True] * only_b + [True] * 20 + [False] * 3)
    result = helpers.mcnemar(right_a, right_b)
    n = only_a + only_b
    splits = [math.comb(n, k) / 2**n for k in range(n + 1)]
    assert result.p == pytest.approx(sum(s for s in splits if s <= splits[only_a] * (1 + 1e-9)))
    assert (result.only_a, result.only_b) == (only_a, only_b)
    assert result.difference == pytest.approx(right_a.mean() - right_b.mean())
    assert result.low < result.difference < result.high
    other = helpers.mcnemar(right_b, right_a)
    assert (other.p, other.low, other.high) == pytest.approx((result.p, -result.high, -result.low))


def test_verdicts():
    a, b = np.ones(30, bool), np.arange(30) >= 15
    assert helpers.mcnemar(a, b).verdict() == "better"
    assert helpers.mcnemar(b, a).verdict() == "worse"
    assert helpers.mcnemar(a, a).verdict() == "not separable"
    assert helpers.mcnemar(a, b).verdict(p=0.06) == "not separable"
    with refused("boolean arrays"):
        helpers.mcnemar(a, b.astype(int))


def test_the_interval_of_the_difference_covers_the_truth():
    """About 95 of 100 intervals should; 500 simulated test sets of 300 images."""
    rng = np.random.default_rng(0)
    cells = rng.multinomial(300, [0.9, 0.05, 0.03, 0.02], size=500)  # both, only a, only b, neither
    covered = 0
    for both, only_a, only_b, neither in cells:
        a = np.repeat([True, True, False, False], [both, only_a, only_b, neither])
        b = np.repeat([True, False, True, False], [both, only_a, only_b, neither])
        result = helpers.mcnemar(a, b)
        covered += result.low <= 0.02 <= result.high
    assert 0.93 < covered / 500 < 0.97


def test_wilson_against_the_quadratic_it_solves():
    """Its ends are where the distance from the observed proportion is 1.96 standard errors of the end itself."""
    low, high = helpers.wilson([0, 3, 50, 99, 100], 100)
    for end in (low, high):
        np.testing.assert_allclose(
            (np.array([0, 0.03, 0.5, 0.99, 1]) - end) ** 2, 1.959964**2 * end * (1 - end) / 100, atol=1e-9
        )
    assert (low >= -1e-12).all() and (high <= 1 + 1e-12).all()
    assert np.isnan(helpers.wilson(0, 0)).all()


def test_holm_and_the_interval_of_a_mean_on_worked_examples():
    np.testing.assert_allclose(helpers.holm([0.01, 0.04, 0.03, 0.005]), [0.03, 0.06, 0.06, 0.02])
    np.testing.assert_allclose(helpers.holm([0.9, 0.8]), [1, 1])
    mean, low, high = helpers.mean_interval([1.0, 2.0, 3.0])
    error = 4.3027 / math.sqrt(3)  # Student's t has 2 degrees of freedom for three runs: 4.303 standard errors
    assert (mean, high - mean, mean - low) == pytest.approx((2, error, error), rel=1e-4)
    assert np.isnan(helpers.mean_interval([1.0])[1:]).all()


@cases()
@given(st.integers(1, 60_000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_takes_an_accuracy_of_keras_times_n(case):
    hits, total = case
    accuracy = float(np.float32(hits / total))
    np.testing.assert_array_equal(helpers.wilson(accuracy * total, total), helpers.wilson(hits, total))


@pytest.mark.parametrize("hits", [0.9596, -1, 10_001, np.nan, "5", [[1], [2, 3]]])
def test_wilson_refuses_what_is_no_number_of_images(hits):
    with refused("hits"):
        helpers.wilson(hits, 10_000)
