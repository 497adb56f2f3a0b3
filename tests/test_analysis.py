"""What the states do over time, and honest comparisons: against brute force, definitions and simulation."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import helpers
from conftest import cases, refused
from coursework.analysis import commit_step

RNG = np.random.default_rng(0)


@cases()
@given(st.lists(st.lists(st.integers(0, 2), min_size=6, max_size=6), min_size=1, max_size=5))
def test_commit_step_against_the_definition(predictions):
    for row, step in zip(predictions, commit_step(predictions), strict=True):
        assert step == min(t for t in range(1, 7) if len(set(row[t - 1 :])) == 1)


def test_first_and_last_ink():
    x = np.zeros((3, 28, 28))
    x[0, 4, 9] = x[0, 20, 3] = x[1, 0, 0] = 1
    assert helpers.first_ink(x).tolist() == [5, 1, 29]
    assert helpers.last_ink(x).tolist() == [21, 1, 0]
    with refused("a blank pixel must be 0"):
        helpers.first_ink(x - 1)


def test_ink_is_moved_whole_and_ends_where_it_should():
    x = np.zeros((3, 28, 28), np.float32)
    x[0, 3:22] = RNG.random((19, 28))
    x[1, 9:28, 5] = 1
    for row in (20, 25, 28):
        moved = helpers.end_ink_at(x, row)
        assert helpers.last_ink(moved).tolist() == [row, row, 0] and moved.dtype == x.dtype
        assert (moved[0, row - 19 : row] == x[0, 3:22]).all() and moved[1].sum() == 19
    assert helpers.end_ink_at(x, 10)[0].any(-1).sum() == 10  # what leaves at the top is lost
    with refused("^row must be at most 28"):
        helpers.end_ink_at(x, 29)


def test_a_reader_stops_at_the_first_sure_row_or_at_the_last():
    chances = np.array([[[0.5, 0.5], [0.1, 0.9], [1, 0]], [[0.4, 0.6], [0.5, 0.5], [0.6, 0.4]]])
    for sure, rows, classes in (
        (0.8, [2, 3], [1, 0]),
        (0.9, [3, 3], [0, 0]),
        (0.5, [2, 1], [1, 1]),
    ):
        read, answer = helpers.stop_when_sure(chances, sure)
        assert read.tolist() == rows and answer.tolist() == classes
    with refused("^chances holds values from"):
        helpers.stop_when_sure(chances * 3, 0.9)


@pytest.mark.parametrize("kind", [float, int])
def test_the_mean_correlation_is_that_of_numpy(kind):
    a, b = np.random.default_rng(0).integers(0, 9, (2, 5, 4, 3)).astype(kind)
    each = [np.corrcoef(u.ravel(), v.ravel())[0, 1] for u, v in zip(a, b, strict=True)]
    assert helpers.mean_correlation(a, b) == pytest.approx(np.mean(each))


@pytest.mark.parametrize("constant", [0, 0.1, -3])
def test_what_is_constant_in_an_image_has_no_correlation(constant):
    """0.1 has no exact sum: its deviations from their own mean are tiny, and not 0."""
    varying = RNG.normal(size=(5, 4, 3))
    still = varying.copy()
    still[3] = constant
    for name, pair in (("a", (still, varying)), ("b", (varying, still))):
        with refused(
            f"^{name} is constant in image 3, so it has no correlation there: leave it out$"
        ):
            helpers.mean_correlation(*pair)
    still[3, 0, 0] += 1e-3
    assert -1 <= helpers.mean_correlation(still, varying) <= 1


def test_variances_from_none_to_all():
    y = np.repeat(np.arange(10), 200)
    h = np.stack([np.zeros((2000, 3)), RNG.normal(size=(2000, 3)), np.stack([y] * 3, 1)], axis=1)
    between, within = helpers.class_variances(h, y)
    assert (between + within) == pytest.approx(h.var(0).sum(-1))
    assert between[0] == within[0] == within[2] == 0
    assert between[1] / within[1] == pytest.approx(9 / 1999, rel=0.5)
    mixed = h[:, 2:] + 3 * RNG.normal(size=(2000, 1, 3))
    within = sum(((mixed[y == k] - mixed[y == k].mean(0)) ** 2).sum() for k in range(10))
    assert helpers.class_variances(mixed, y)[1] == pytest.approx(within / 2000)
    y = np.repeat([0, 1], 5)  # the other classes are missing
    between, within = helpers.class_variances(y[:, None, None] * np.ones((10, 2, 3)), y)
    assert between.tolist() == [0.75, 0.75] and within.tolist() == [0, 0]


def test_probes_are_weighted_sums_that_find_what_a_line_separates_and_nothing_else():
    y = np.repeat([1, 4, 8], 100)
    noise = RNG.normal(size=(300, 12))
    h = np.stack([noise, np.eye(12)[y] + 0.05 * noise], axis=1)
    train = RNG.random(300) < 0.5
    weights = helpers.fit_probes(h[train], y[train])
    found = helpers.probe_logits(weights, h[~train]).argmax(-1)
    right = (found == y[~train][:, None]).mean(0)
    assert right[0] < 0.5 and right[1] > 0.99 and weights.shape == (2, 13, 10)
    with_one = np.concatenate([h[~train], np.ones(((~train).sum(), 2, 1))], -1)
    assert (found == np.einsum("ntu,tuk->ntk", with_one, weights).argmax(-1)).all() and set(
        found.flat
    ) <= {1, 4, 8}
    with refused("three or more classes"):
        helpers.fit_probes(h, np.repeat([1, 4], 150))


def test_erase_last_keeps_the_steps():
    x = np.ones((2, 28, 28), np.float32)
    erased = helpers.erase_last(x, 4)
    assert erased.shape == x.shape and erased.dtype == x.dtype
    assert erased[:, :24].all() and not erased[:, 24:].any()
    assert (helpers.erase_last(x, 0) == x).all()


def test_shuffled_pixels_are_the_same_pixels(data):
    shuffled = helpers.shuffle_pixels(data, 0)
    assert (shuffled.x_test.sum((1, 2)) == data.x_test.sum((1, 2))).all() and (
        shuffled.x_test != data.x_test
    ).any()
    place = np.flatnonzero(data.x_train[:, 14, 14] == 1)
    moved = np.argwhere((shuffled.x_train[place] == 1).all(0))
    assert len(moved) >= 1  # one place holds that pixel in every image


@pytest.mark.parametrize(("of", "axis"), [("rows", 2), ("columns", 1)])
def test_shuffled_rows_and_columns_keep_what_is_in_them(data, of, axis):
    shuffled = helpers.shuffle_pixels(data, 1, of)
    before, after = data.x_test.sum(axis), shuffled.x_test.sum(axis)  # ink of each row or column
    assert (np.sort(before) == np.sort(after)).all() and (before != after).any()
    assert (shuffled.x_test.sum(3 - axis) == data.x_test.sum(3 - axis)).all()
    assert shuffled.name != data.name and shuffled.digest != data.digest
    with refused("^unknown of 'lines': use"):
        helpers.shuffle_pixels(data, 1, "lines")


H = RNG.normal(size=(30, 4, 3))
Y = np.arange(30) % 5


@pytest.mark.parametrize(
    "function", [helpers.class_means, helpers.class_variances, helpers.fit_probes]
)
def test_labels_of_any_usual_form_give_the_same_and_others_are_refused(function):
    for form in (list(Y), Y[:, None], np.eye(10)[Y], Y.astype(float)):
        np.testing.assert_array_equal(function(H, form), function(H, Y))
    for labels in (Y + 6, Y - 1, Y + 0.5, Y[:-1], Y[None], "digits"):
        with refused():
            function(H, labels)


# -------------------------------------------------------------------------------------------------------- comparisons
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
    assert result.verdict() == ("worse" if only_b == 14 else "not separable")  # 9 of 11: p = 0.065
    assert result.verdict(p=0.06) == "not separable"
    tie = only_a == only_b  # is never separable, however small the p that is given
    assert result.verdict(p=0.04) == (
        "not separable" if tie else "better" if only_a > only_b else "worse"
    )


@pytest.mark.parametrize("n", [1, 2, 3, 7])
def test_the_interval_of_a_difference_holds_it_and_stays_in_its_range(n):
    for only_a in range(n + 1):
        for only_b in range(n + 1 - only_a):
            kinds = [only_a, only_b, n - only_a - only_b]
            result = helpers.mcnemar(
                np.repeat([True, False, True], kinds), np.repeat([False, True, True], kinds)
            )
            assert -1 <= result.low <= result.difference <= result.high <= 1
    assert result.high == 1  # a alone gets all right


def test_the_interval_of_the_difference_covers_the_truth():
    """About 95 of 100 intervals should; 500 simulated test sets of 300 images."""
    cells = np.random.default_rng(0).multinomial(300, [0.9, 0.05, 0.03, 0.02], size=500)
    covered = 0
    for counts in cells:  # both, only a, only b, neither
        a, b = (
            np.repeat(right, counts)
            for right in ([True, True, False, False], [True, False, True, False])
        )
        result = helpers.mcnemar(a, b)
        covered += result.low <= 0.02 <= result.high
    assert 0.93 < covered / 500 < 0.97


def test_wilson_against_the_quadratic_it_solves():
    """Its ends are where the distance from the observed proportion is 1.96 standard errors of the end itself."""
    low, high = helpers.wilson([0, 3, 50, 99, 100], 100)
    for end in (low, high):
        np.testing.assert_allclose(
            (np.array([0, 0.03, 0.5, 0.99, 1]) - end) ** 2,
            1.959964**2 * end * (1 - end) / 100,
            atol=1e-9,
        )
    assert (low >= -1e-12).all() and (high <= 1 + 1e-12).all()
    assert np.isnan(helpers.wilson(0, 0)).all()
    assert np.allclose(
        helpers.wilson(np.uint8(200), np.uint8(250)), helpers.wilson(200, 250)
    )  # no overflow


@cases()
@given(st.integers(1, 60_000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_takes_an_accuracy_of_keras_times_n(case):
    hits, total = case
    accuracy = float(np.float32(hits / total))
    np.testing.assert_array_equal(
        helpers.wilson(accuracy * total, total), helpers.wilson(hits, total)
    )


def test_wilson_at_its_ends():
    """Nothing right begins at exactly 0, everything right ends at exactly 1, however many; of none it is NaN."""
    total = np.arange(1, 3000)
    assert (helpers.wilson(0 * total, total)[0] == 0).all() and (
        helpers.wilson(total, total)[1] == 1
    ).all()
    low, high = helpers.wilson([0, 0, 5], [0, 5, 5])
    assert np.isnan([low[0], high[0]]).all() and low[1] == 0 and high[2] == 1
    assert high[1] == pytest.approx(1 - low[2]) == pytest.approx(1.959964**2 / (5 + 1.959964**2))
    assert type(helpers.wilson(3, 5)[0]) is np.float64


def test_holm_and_the_interval_of_a_mean_on_worked_examples():
    np.testing.assert_allclose(helpers.holm([0.01, 0.04, 0.03, 0.005]), [0.03, 0.06, 0.06, 0.02])
    np.testing.assert_allclose(helpers.holm([0.9, 0.8]), [1, 1])
    assert helpers.holm([]).shape == (0,)
    mean, low, high = helpers.mean_interval([1.0, 2.0, 3.0])
    error = 4.3027 / math.sqrt(
        3
    )  # Student's t has 2 degrees of freedom for three runs: 4.303 standard errors
    assert (mean, high - mean, mean - low) == pytest.approx((2, error, error), rel=1e-4)
    assert np.isnan(helpers.mean_interval([1.0])[1:]).all()
