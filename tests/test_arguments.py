"""The shared checks of arguments, and who calls them: the right value, or one line."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import helpers
from conftest import cases, refused
from coursework.analysis import commit_step
from coursework.arguments import as_labels, as_numbers, check_choice, check_integer, short_repr


def test_choices_and_integers():
    check_choice("cell", "LSTM", ("LSTM", "GRU"))
    check_integer(least=0, seed=np.int64(0))
    with refused(r"^unknown cell 'RNN': use 'LSTM' or 'GRU'$"):
        check_choice("cell", "RNN", ("LSTM", "GRU"))
    for wrong in (True, 1.0, "1", None, 0, [1]):
        with refused(r"^jobs must be a whole number of at least 1, not "):
            check_integer(jobs=wrong)
    with refused("at most"):
        check_integer(seed=2**40)


def test_a_letter_is_one_length():
    assert as_numbers("x", [[1, 2], [3, 4]], ("N", "N")).shape == (2, 2)
    with refused(r"expected \(N, N\)"):
        as_numbers("x", [[1, 2]], ("N", "N"))
    with refused(r"a single one is x\[None\]$"):
        as_numbers("x", np.zeros((28, 28)), ("N", "T", 28))


@pytest.mark.parametrize(
    "wrong",
    [
        [[1], [1, 2]],
        "text",
        [None],
        [1j],
        [np.nan],
        [1e300],
        np.ma.array([1.0], mask=[True]),
        {},
        object(),
    ],
)
def test_what_is_no_array_of_numbers_is_refused(wrong):
    with refused(r"^.{1,300}$"):
        as_numbers("x", wrong)


@cases()
@given(
    st.lists(st.integers(0, 9), min_size=1, max_size=20),
    st.sampled_from(["uint8", "int64", "float32", "float64"]),
)
def test_labels_are_read_from_every_usual_form(digits, dtype):
    y = np.array(digits)
    for form in (
        digits,
        y.astype(dtype),
        y.astype(dtype)[:, None],
        np.eye(10, dtype=dtype)[y],
        np.eye(10)[y] > 0,
    ):
        labels = as_labels("y", form)
        assert labels.dtype == np.int64 and labels.tolist() == digits


@cases(200)
@given(hnp.arrays(hnp.scalar_dtypes(), hnp.array_shapes(max_dims=4, max_side=12)))
def test_any_array_is_what_was_asked_for_or_refused(x):
    for read in (lambda: as_numbers("x", x, ("N", "T", 3)), lambda: as_labels("y", x)):
        try:
            found = read()
        except ValueError as error:
            assert "\n" not in str(error) and 0 < len(str(error)) < 300
            continue
        if found.ndim == 3:
            assert found.shape[2] == 3 and found.dtype.kind in "biuf" and (found == x).all()
            assert np.isfinite(found.astype(float)).all()
        else:
            assert found.shape == (len(x),) and set(found) <= set(range(10))


@pytest.mark.parametrize("wrong", [[], [10], [-1], [0.5], [[1, 2]], np.full((3, 10), 1), 3])
def test_other_labels_are_refused(wrong):
    with refused(r"^.{1,300}$"):
        as_labels("y", wrong)
    with refused(r"expected labels \(3,\)"):
        as_labels("y", [1, 2], count=3)


def test_values_are_named_shortly():
    assert short_repr(0.5) == "0.5" and len(short_repr("x" * 100)) == 40
    assert short_repr(10**5000) == "(a long int)"


H = np.random.default_rng(0).random((4, 5, 3))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: helpers.holm([0.2, 5]), "expected 0 to 1"),
        (lambda: helpers.binarize(np.arange(200)), "expected 0 to 1"),
        (lambda: helpers.erase_last(H, 2.5), "rows must be a whole number"),
        (lambda: helpers.erase_last(H, 6), "rows must be at most 5"),
        (lambda: helpers.shuffle_pixels(None, None), "seed must be a whole number"),
        (lambda: commit_step(H[0]), "argmax"),
        (lambda: commit_step([1, 2]), r"expected \(N, T\)"),
        (lambda: helpers.mean_correlation(H[:1], H), "expected"),
        (lambda: helpers.class_means(H, np.array([True, False, True, False])), "True and False"),
        (lambda: helpers.mcnemar(np.ma.array([True, False]), np.array([True, False])), "masked"),
        (lambda: helpers.mcnemar(np.ones(30, bool), np.ones(30, int)), "boolean arrays"),
        (lambda: helpers.plot_class_means(H), r"expected \(10, T, units\)"),
        (lambda: helpers.plot_imitation(np.zeros((5, 1)), {}), r"expected \(T,\)"),
        (lambda: helpers.show_table(("a", "b"), ["xy"]), "has 1 values, its header 2"),
        (lambda: helpers.write_csv("t.csv", "ab", [("x", "y")]), "header"),
    ],
)
def test_a_number_that_answers_another_question_is_refused_in_one_line(call, message):
    with refused(message):
        call()


@pytest.mark.parametrize(
    "hits", [0.9596, -1, 10_001, np.nan, "5", [[1], [2, 3]], np.array([True, False])]
)
def test_wilson_refuses_what_is_no_number_of_images(hits):
    with refused("^hits (holds|must be an array)|numbers of images"):
        helpers.wilson(hits, 10_000)


OF_STATES = [helpers.first_ink, helpers.last_ink]
OF_STATES += [
    lambda x: helpers.erase_last(x, 1),
    lambda x: helpers.class_means(x, np.zeros(len(x), int)),
]
OF_STATES += [lambda x: helpers.probe_logits(np.zeros((5, 4, 10)), x)]


@pytest.mark.parametrize("function", OF_STATES)
def test_states_have_three_axes_and_are_numbers(function):
    function(H)
    for wrong, message in (
        (H[0], "expected"),
        (H + 1j, "array of numbers"),
        (np.full_like(H, np.nan), "NaN"),
    ):
        with refused(message):
            function(wrong)
