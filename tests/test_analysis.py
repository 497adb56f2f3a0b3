"""What the states do over time, against brute force."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import helpers
from conftest import cases, refused

RNG = np.random.default_rng(0)


def test_commit_step_on_hand_made_predictions():
    predictions = [[3, 3, 3, 3], [1, 3, 3, 3], [3, 3, 1, 3], [3, 1, 3, 3], [0, 1, 2, 3]]
    assert helpers.commit_step(predictions).tolist() == [1, 2, 4, 3, 4]
    with refused("expected"):
        helpers.commit_step([1, 2])


@cases()
@given(st.lists(st.lists(st.integers(0, 2), min_size=6, max_size=6), min_size=1, max_size=5))
def test_commit_step_against_the_definition(predictions):
    for row, step in zip(predictions, helpers.commit_step(predictions), strict=True):
        assert step == min(t for t in range(1, 7) if len(set(row[t - 1 :])) == 1)


def test_first_and_last_ink():
    x = np.zeros((3, 28, 28))
    x[0, 4, 9] = x[0, 20, 3] = x[1, 0, 0] = 1
    assert helpers.first_ink(x).tolist() == [5, 1, 29]
    assert helpers.last_ink(x).tolist() == [21, 1, 0]
    with refused("a blank pixel must be 0"):
        helpers.first_ink(x - 1)


def test_step_lengths_and_saturation():
    np.testing.assert_allclose(helpers.step_lengths([[[3.0, 4.0], [3.0, 4.0], [0.0, 0.0]]]), [[5, 0, 5]])
    left, right = helpers.saturation(np.array([[[0.05, 0.5], [0.95, 0.5]]]))
    assert left.tolist() == [0.5, 0] and right.tolist() == [0.5, 0]


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


def test_probe_finds_what_a_line_separates_and_nothing_else():
    y = np.repeat(np.arange(10), 60)
    noise = RNG.normal(size=(600, 12))
    h = np.stack([noise, np.eye(12)[y] + 0.05 * noise], axis=1)
    train = RNG.random(600) < 0.5
    found = helpers.probe_predictions(helpers.fit_probes(h[train], y[train]), h[~train])
    right = (found == y[~train][:, None]).mean(0)
    assert right[0] < 0.25 and right[1] > 0.99


def test_probes_are_weighted_sums_with_a_bias():
    h, y = RNG.normal(size=(60, 2, 5)), np.repeat([1, 4, 8], 20)
    weights = helpers.fit_probes(h, y)
    assert weights.shape == (2, 6, 10)
    with_one = np.concatenate([h, np.ones((60, 2, 1))], -1)
    answers = np.stack([(with_one[:, t] @ weights[t]).argmax(-1) for t in range(2)], 1)
    assert (helpers.probe_predictions(weights, h) == answers).all() and set(answers.flat) <= {1, 4, 8}
    with refused("three or more classes"):
        helpers.fit_probes(h, np.repeat([1, 4], 30))


def test_erase_last_keeps_the_steps():
    x = np.ones((2, 28, 28), np.float32)
    erased = helpers.erase_last(x, 4)
    assert erased.shape == x.shape and erased.dtype == x.dtype
    assert erased[:, :24].all() and not erased[:, 24:].any()
    assert (helpers.erase_last(x, 0) == x).all()


def test_shuffled_pixels_are_the_same_pixels(data):
    shuffled = helpers.shuffle_pixels(data, 0)
    assert (shuffled.x_test.sum((1, 2)) == data.x_test.sum((1, 2))).all() and (shuffled.x_test != data.x_test).any()
    place = np.flatnonzero(data.x_train[:, 14, 14] == 1)
    moved = np.argwhere((shuffled.x_train[place] == 1).all(0))
    assert len(moved) >= 1  # one place holds that pixel in every image


# ------------------------------------------------------------------------------------ labels and states of every form
H = RNG.normal(size=(30, 4, 3))
Y = np.arange(30) % 5


@pytest.mark.parametrize("function", [helpers.class_means, helpers.class_variances, helpers.fit_probes])
def test_labels_of_any_usual_form_give_the_same_and_others_are_refused(function):
    for form in (list(Y), Y[:, None], np.eye(10)[Y], Y.astype(float)):
        np.testing.assert_array_equal(function(H, form), function(H, Y))
    for labels in (Y + 6, Y - 1, Y + 0.5, Y[:-1], Y[None], "digits"):
        with refused():
            function(H, labels)


OF_STATES = [
    helpers.first_ink,
    helpers.last_ink,
    helpers.step_lengths,
    helpers.saturation,
    lambda x: helpers.erase_last(x, 1),
    lambda x: helpers.class_means(x, np.zeros(len(x), int)),
    lambda x: helpers.probe_predictions(np.zeros((4, 4, 10)), x),
]


@pytest.mark.parametrize("function", OF_STATES)
@cases(30)
@given(
    x=hnp.arrays(st.sampled_from(["f4", "f8", "i4", "O", "S1", "c8"]), hnp.array_shapes(max_dims=4, max_side=4))
    | st.just(np.full((2, 4, 3), np.nan))
)
def test_arrays_fit_or_are_refused_in_one_line(function, x):
    try:
        assert len(function(x)) in (2, 10, len(x))
        assert x.ndim == 3 and x.dtype.kind in "if"
    except ValueError as error:
        assert "\n" not in str(error)
