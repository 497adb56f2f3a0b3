"""A hundred wrong answers as students give them: each hint names the cause, in one line, and not the solution."""

import re
from fractions import Fraction

import numpy as np
import pytest
import sympy as sp
from test_checks_networks import IMAGES, RECIPE, classifier, stored

import helpers
from coursework import checks_networks, files
from coursework.experiment import MODEL_SIZES, Experiment
from coursework.layers import layer_outputs

STORE, KEEP = "store_input", "keep_state"
z, r = helpers.symbols("z r")

# --- Q1.1 and Q1.2: (cell, behaviour, answer, what the hint says) -----------------------------------------------------
GATES = [
    ("LSTM", STORE, ..., "not answered yet"),
    ("LSTM", STORE, {}, "no gate is set"),
    ("LSTM", STORE, {"f": 0, "i": ...}, "not answered yet: i"),
    ("LSTM", STORE, {"f": 0, "i": 1}, "candidate reads h_prev, the output of the step before"),
    ("LSTM", STORE, {"f": 0, "i": 1, "o": 1}, "candidate reads h_prev"),
    ("LSTM", STORE, {"f": 0, "i": 1, "U": 1}, "candidate reads h_prev"),
    ("LSTM", STORE, {"i": 1, "U": 0}, "f is left free"),
    ("LSTM", STORE, {"f": 0, "U": 0}, "i is left free"),
    ("LSTM", STORE, {"f": 1, "i": 1, "U": 0}, "depends on the old state c_prev: f = 1"),
    (
        "LSTM",
        STORE,
        {"f": 0, "i": 0, "U": 0},
        "nothing of the current input gets into the new state: i = 0",
    ),
    ("LSTM", STORE, {"f": 0.5, "i": 0.5}, "depends on the old state c_prev: f = 0.5"),
    ("LSTM", STORE, {"f": 1e-9, "i": 1, "U": 0}, "depends on the old state c_prev: f = 1e-09"),
    ("LSTM", STORE, {"f": -30, "i": 30, "U": 0}, "= -?30 .* looks like a bias"),
    ("LSTM", STORE, {"f": 0, "i": 10, "U": 0}, "i = 10 .* looks like a bias"),
    ("LSTM", STORE, {"f": 0, "i": 100}, "i = 100 .* looks like a bias"),
    ("LSTM", STORE, {"f": 0, "i": 1.5}, r"i = 1.5 lies outside \[0, 1\]"),
    ("LSTM", STORE, {"f": -1, "i": 1}, r"f = -1 lies outside \[0, 1\]"),
    ("LSTM", STORE, {"F": 0, "I": 1}, "'F': here it is written 'f'"),
    ("LSTM", STORE, {"f": 0, "i": 1, "u": 0}, "'u': here it is written 'U'"),
    ("LSTM", STORE, {"f_t": 0, "i_t": 1}, "unknown name 'f_t'; the names are i, f, o"),
    ("LSTM", STORE, {"forget": 0, "input": 1}, "unknown name 'forget'; the names are"),
    ("LSTM", STORE, {"z": 0}, "unknown name 'z'; the names are i, f, o"),
    ("LSTM", STORE, {"f": 0, "i": 1, "h_prev": 0}, "unknown name 'h_prev'"),
    ("LSTM", STORE, {"f": 0, "i": 1, "W": 0}, "unknown name 'W'"),
    ("LSTM", STORE, {"f": "0", "i": "1"}, "i is text, and text is never evaluated"),
    ("LSTM", STORE, {sp.Symbol("f"): 0}, "f is of type Symbol; write it as text: 'f'"),
    ("LSTM", STORE, {("f", "i"): (0, 1)}, "unknown name"),
    ("LSTM", STORE, "f = 0, i = 1", "of type str; a dict from name to number is needed"),
    ("LSTM", STORE, (0, 1), "of type tuple; a dict from name to number is needed"),
    ("LSTM", STORE, {"f", "i"}, "of type set; a dict from name to number is needed"),
    ("LSTM", STORE, {"f": [0, 1], "i": 1}, "entries do not all agree"),
    ("LSTM", STORE, {"f": {}, "i": 1}, "f is of type dict; a real number is needed"),
    ("LSTM", STORE, {"f": 1 - sp.Symbol("i"), "i": 1}, "f is a formula with symbols"),
    ("LSTM", STORE, {"f": float("nan"), "i": 1}, "not a finite number"),
    ("GRU", STORE, {"z": 0}, "candidate"),
    ("GRU", STORE, {"z": 0, "r": 1}, r"the candidate reads h_prev, .* \(r = 1\)"),
    ("GRU", STORE, {"z": 0.5, "r": 0}, "the old state h_prev: z = 0.5"),
    ("GRU", STORE, {"z": 1, "r": 0}, "nothing of the current input .*the old state's share is z"),
    ("GRU", STORE, {"r": 0}, "z is left free"),
    ("GRU", STORE, {"f": 0, "i": 1}, "unknown name 'f'; the names are z, r"),
    ("GRU", STORE, {"Z": 0, "R": 0}, "'Z': here it is written 'z'"),
    ("LSTM", KEEP, {"f": 1}, "depends on the input x.*i is left free"),
    ("LSTM", KEEP, {"i": 0}, "f is left free"),
    ("LSTM", KEEP, {"f": 0, "i": 1}, "f = 0 erases c_prev in a single step"),
    ("LSTM", KEEP, {"f": 1, "i": 0.01}, "depends on the input x.*i = 0.01"),
    (
        "LSTM",
        KEEP,
        {"f": 0.9, "i": 0},
        "less than the whole of c_prev in each step: after 28 steps",
    ),
    ("LSTM", KEEP, {"f": 0.9999, "i": 0}, "half of it is gone after about"),
    ("LSTM", KEEP, {"f": 30, "i": -30}, "= -?30 .* looks like a bias"),
    ("LSTM", KEEP, {"o": 0}, "f is left free"),
    ("GRU", KEEP, {"r": 1}, "z is left free"),
    ("GRU", KEEP, {"z": 0}, "z = 0 erases h_prev .*the old state's share is z"),
    ("GRU", KEEP, {"z": 0.99}, "less than the whole of h_prev"),
    ("GRU", KEEP, {"z": True, "r": None}, "not answered yet: r"),
]

# --- Q1.3 -------------------------------------------------------------------------------------------------------------
EXAMPLE = {"x": 1, "h_prev": Fraction(1, 2), "c_prev": 1, "w": 1, "u": 1, "b": 0, "z": 0, "r": 1}
COUNTEREXAMPLES = [
    (EXAMPLE, "reaches all of .*; with r = 1 both cells have the same candidate"),
    (EXAMPLE | {"r": 0}, "the GRU's new h is 0.7616, .*reaches all of"),
    (EXAMPLE | {"z": 1}, "the GRU's new h is 0.5000, .*reaches all of"),
    (EXAMPLE | {"h_prev": 1}, "h_prev = 1 is no LSTM's output"),
    (EXAMPLE | {"h_prev": -0.5}, "contradict each other: .* has the sign of c_prev"),
    (EXAMPLE | {"c_prev": 0.1}, r"contradict each other: .* is 0.09967 at most"),
    (EXAMPLE | {"z": 2}, r"z = 2 lies outside \[0, 1\]"),
    (EXAMPLE | {"r": -20}, "r = -20 .*looks like a bias"),
    ({"z": 0, "r": 0}, "not answered yet: x, h_prev, c_prev, w, u, b"),
    (EXAMPLE | {"W": 1}, "'W': here it is written 'w'"),
    (EXAMPLE | {"f": 1}, "unknown name 'f'"),
    (EXAMPLE | {"x": [1, 2]}, "x is an array .* do not all agree"),
    ("no", "of type str; a dict"),
    (
        {"f": z, "i": 1 - z, "o": 1},
        "where x = 1, .* the GRU's new h is 0.6741; .* the LSTM's is 0.7409",
    ),
    ({"f": z, "i": 1 - z, "o": r}, "the GRU's new h is .*the LSTM's is"),
    ({"f": 1, "i": 0, "o": 1}, "the GRU's new h is .*the LSTM's is"),
    ({"f": z, "i": 1 - z}, "not answered yet: o"),
    ({"f": z + 1, "i": 1 - z, "o": 1}, r"f is 1.500, outside \[0, 1\]"),
    ({"f": "z", "i": "1 - z", "o": 1}, "f is text, and text is never evaluated"),
    ({"f": sp.Symbol("z_t"), "i": 1, "o": 1}, "f reads z_t; a gate may read"),
]


def given(answer):
    """Names and values that an answer has."""
    return (
        {(str(name), str(value)) for name, value in answer.items()}
        if isinstance(answer, dict)
        else set()
    )


def assert_names_the_cause(verdict, cause, answer):
    """One line, with the cause, and no gate's value of 0 or 1 that the answer itself does not have."""
    assert not verdict and re.search(cause, verdict.hint), verdict.hint
    assert "\n" not in verdict.hint and len(verdict.hint) < 250
    told = set(re.findall(r"\b([fiozrU]) = ([01])\b(?![./])", verdict.hint))
    assert told <= given(answer) | {("r", "1")}, verdict.hint


@pytest.mark.parametrize(("cell", "behaviour", "answer", "cause"), GATES)
def test_wrong_settings(cell, behaviour, answer, cause):
    assert_names_the_cause(helpers.check_gates(cell, behaviour, answer), cause, answer)


@pytest.mark.parametrize(("answer", "cause"), COUNTEREXAMPLES)
def test_wrong_counterexamples(answer, cause):
    verdict = helpers.check_counterexample(answer)
    assert not verdict and re.search(cause, verdict.hint), verdict.hint
    assert "\n" not in verdict.hint and len(verdict.hint) < 250


def test_what_refutes_a_believer_is_no_counterexample():
    from coursework.checks_gates import COUNTEREXAMPLE_NAMES, INNOCENT

    for values in INNOCENT:
        numbers = dict(zip(COUNTEREXAMPLE_NAMES, values, strict=True))
        assert "reaches all of" in helpers.check_counterexample(numbers).hint


# --- Q2 ---------------------------------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def table(tmp_path_factory, data):
    """Experiments and results of all eight networks, stored."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(files, "RUNS", tmp_path_factory.mktemp("runs"))
        experiments = [
            Experiment(family, units, layers, **RECIPE)
            for family in ("LSTM", "GRU")
            for units, layers in MODEL_SIZES
        ]
        found = [
            stored(experiment, data, ahead=2 * place)
            for place, experiment in enumerate(experiments)
        ]
        pairs = [(result.loss, result.accuracy) for result in found]
        yield experiments, {"LSTM": pairs[:4], "GRU": pairs[4:]}


TABLES = [
    (lambda t: {"lstm": t["LSTM"], "gru": t["GRU"]}, "has 'gru'; the key is 'GRU'"),
    (lambda t: {"Gru ": t["GRU"]}, "has 'Gru '; the key is 'GRU'"),
    (lambda t: {"GRU": t["GRU"][::-1]}, "stand under GRU 3 x 32; the order is 32, 64, 128, 3 x 32"),
    (lambda t: {"GRU": [*t["GRU"][1:], t["GRU"][0]]}, "stand under GRU 3 x 32; the order is"),
    (lambda t: {"GRU": t["LSTM"], "LSTM": t["GRU"]}, "stand under LSTM 32; the order is"),
    (
        lambda t: {"GRU": list(zip(*t["GRU"], strict=True))},
        "all losses and then all accuracies, transposed",
    ),
    (
        lambda t: {"GRU": [accuracy for _, accuracy in t["GRU"]]},
        r"a pair of two numbers \(loss, accuracy\)",
    ),
    (
        lambda t: {"GRU": dict(zip("abcd", t["GRU"], strict=True))},
        "a list of pairs for 32, 64, 128, 3 x 32",
    ),
    (lambda t: {"GRU": t["GRU"][:3]}, "a list of pairs for 32, 64, 128, 3 x 32"),
    (lambda t: {"GRU": [(a, b) for b, a in t["GRU"]]}, "loss and accuracy have changed places"),
    (lambda t: {"GRU": [(a, 100 * b) for a, b in t["GRU"]]}, "give the share, not the percentage"),
    (lambda t: t["GRU"], "of type list; a dict from family to pairs is needed"),
]


@pytest.mark.parametrize(("change", "cause"), TABLES)
def test_wrong_tables(table, data, change, cause):
    experiments, results = table
    found = helpers.check_results("GRU", ("32",), RECIPE, experiments, change(results), data)
    verdict = found["GRU 32"]
    assert not verdict and re.search(cause, verdict.hint), verdict.hint


WITHOUT_RECIPE = [
    ({"batch_size": 256}, "batch_size is 256; the recipe of these data asks for 64"),
    ({"learning_rate": 0.01}, "learning_rate is 0.01; the sheet asks for 0.001"),
    ({"epochs": 3}, "epochs is 3; the sheet asks for 1"),
]


@pytest.mark.parametrize(("change", "cause"), WITHOUT_RECIPE)
def test_wrong_experiments(table, data, change, cause):
    _, results = table
    mine = [Experiment("GRU", 32, **RECIPE | change)]
    verdict = helpers.check_results("GRU", ("32",), RECIPE, mine, results, data)["GRU 32"]
    assert not verdict and re.search(cause, verdict.hint), verdict.hint


def test_one_wide_layer_is_no_stack_and_a_model_no_experiment(table, data):
    experiments, results = table
    wide = [*experiments[:7], Experiment("GRU", 96, **RECIPE)]
    for mine, cause in (
        (wide, "one layer of 96 is another network than units=32, layers=3"),
        ([classifier()], "it holds Sequential"),
    ):
        verdict = helpers.check_results("GRU", ("3 x 32",), RECIPE, mine, results, data)[
            "GRU 3 x 32"
        ]
        assert not verdict and cause in verdict.hint, verdict.hint


# --- Q3 ---------------------------------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def gru():
    return classifier(helpers.keras.layers.GRU(8), helpers.keras.layers.ReLU())


OUTPUTS = [
    (
        lambda h: h[3, -1],
        "after the last step only; a copy of the layer with return_sequences=True",
    ),
    (lambda h: h[3:4, -1], "after the last step only"),
    (lambda h: h[3:4], r"shape \(1, 28, 8\), for one image; .* output\[0\]"),
    (lambda h: h, "for 20 images"),
    (lambda h: h[3].T, "transposed"),
    (lambda h: h[3, ::-1], "the rows are in the opposite order"),
    (lambda h: np.maximum(h[3], 0), "behind the ReLU"),
    (lambda h: 1 - h[3], "for none of the images"),
]


@pytest.mark.parametrize(("change", "cause"), OUTPUTS)
def test_wrong_outputs(gru, change, cause):
    answer = change(layer_outputs(gru.layers[0], IMAGES))
    verdict = helpers.check_output(answer, gru, IMAGES)
    assert not verdict and re.search(cause, verdict.hint), verdict.hint
    assert not helpers.image_with_output(answer, gru, IMAGES).any()  # blank paper


def test_the_image_of_an_output(gru):
    outputs = layer_outputs(gru.layers[0], IMAGES)
    for place in (0, 13):
        image = helpers.image_with_output(outputs[place].round(4), gru, IMAGES)
        assert (image == IMAGES[place]).all()


def test_a_model_in_place_of_its_layer_is_told_so(gru):
    with pytest.raises(ValueError, match=r"takes a layer, and this is a model: model.layers\[0\]"):
        layer_outputs(gru, IMAGES)


PREDICTIONS = [
    (lambda p: p[::-1], "in the opposite order; T comes first"),
    (lambda p: [*p[1:], p[4]], "the first one is that of T - 1; T comes first"),
    (lambda p: np.array(p).T, "transposed"),
    (
        lambda p: [np.eye(10)[classes] for classes in p],
        r"at T has a number for each class; .*argmax",
    ),
    (lambda p: [(p[0] + 1) % 10, *p[1:]], "^at T, the layers behind"),
    (lambda p: [*p[:3], (p[3] + 1) % 10, p[4]], "^at T - 3, the layers behind"),
    (lambda p: p[:4], "five values are needed"),
]
ACCURACIES = [
    (lambda a: a[::-1], "in the opposite order; T comes first"),
    (lambda a: [*a[1:], 0.0], "the first one is that of T - 1"),
    (lambda a: [100 * value for value in a], "give the share, not the percentage"),
    (lambda a: [1 - value for value in a], "shares of wrong predictions"),
    (lambda a: [0.99, *a[1:]], "^the accuracy at T is not 0.9900"),
    (lambda a: a[0], "five values are needed"),
]
CLASSES = [np.roll(np.arange(20) % 10, back) * (np.arange(20) > 2 * back) for back in range(5)]
SHARES = [0.95, 0.9, 0.8, 0.6, 0.3]


@pytest.mark.parametrize(("change", "cause"), PREDICTIONS)
def test_wrong_predictions(change, cause):
    verdict = checks_networks._check_predictions(change(CLASSES), CLASSES, 28)
    assert not verdict and re.search(cause, verdict.hint), verdict.hint


@pytest.mark.parametrize(("change", "cause"), ACCURACIES)
def test_wrong_accuracies(change, cause):
    verdict = checks_networks._check_accuracies(change(SHARES), SHARES, 1000, 28)
    assert not verdict and re.search(cause, verdict.hint), verdict.hint


# --- Bonus ------------------------------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def lstm():
    model = classifier(helpers.keras.layers.LSTM(6))
    layer = model.layers[0]
    layer.set_weights(
        [4 * part + 0.3 for part in layer.get_weights()]
    )  # sums that a hard sigmoid cuts off
    return model


def gates_by_hand(model, x, same_step=False, bias=1, squash=None, order=(0, 1, 2, 3)):
    """Gates and output as a student computes them, with a slip if one is asked for."""
    kernel, recurrent, b = model.layers[0].get_weights()
    squash = squash or (lambda a: 1 / (1 + np.exp(-a)))
    true, blocks = helpers.trace(model, x), {name: [] for name in "ifo"}
    h = true["h"] if same_step else np.pad(true["h"], ((0, 0), (1, 0), (0, 0)))[:, :-1]
    sums = np.split(x @ kernel + h @ recurrent + bias * b, 4, axis=-1)
    i, f, _, o = (sums[place] for place in order)
    blocks |= {name: squash(part) for name, part in zip("ifo", (i, f, o), strict=True)}
    return blocks | {"h": true["h"]}


SLIPS = [
    ({"same_step": True}, "this one reads h of the same step"),
    ({"bias": 0}, "the bias is missing"),
    ({"squash": lambda a: a}, "the sigmoid is missing"),
    ({"squash": lambda a: np.clip(a / 6 + 0.5, 0, 1)}, "a hard sigmoid"),
    ({"squash": lambda a: np.clip(0.2 * a + 0.5, 0, 1)}, "the hard sigmoid of older libraries"),
    ({"squash": np.tanh}, "a tanh"),
]


@pytest.mark.parametrize(("slip", "cause"), SLIPS)
def test_slips_in_the_gates(lstm, slip, cause):
    assert all(
        helpers.check_gates_over_time(gates_by_hand(lstm, IMAGES[:2]), lstm, IMAGES[:2]).values()
    )
    found = helpers.check_gates_over_time(gates_by_hand(lstm, IMAGES[:2], **slip), lstm, IMAGES[:2])
    for gate in "ifo":
        assert not found[gate] and cause in found[gate].hint, found[gate]
    assert found["h"]


CHANGES = [
    ("o", lambda t: t["f"], "these are the values of f"),
    ("f", lambda t: t["g"], "these are the values of g"),
    ("h", lambda t: t["c"], "these are the values of c"),
    ("h", lambda t: t["o"] * t["c"], "the tanh of the state is missing"),
    ("i", lambda t: t["i"][:, ::-1], "the steps are in the opposite order"),
    ("i", lambda t: np.roll(t["i"], 1, 1) * (np.arange(28) > 0)[:, None], "of the step before"),
    ("i", lambda t: 3 * t["i"] - 1, "lies between 0 and 1, and these values reach from"),
    ("i", lambda t: t["i"][0], r"i has shape \(28, 6\); \(2, 28, 6\) is needed"),
    ("f", lambda t: 1 - t["f"], "another one"),
]


@pytest.mark.parametrize(("name", "change", "cause"), CHANGES)
def test_wrong_gates(lstm, name, change, cause):
    right = helpers.trace(lstm, IMAGES[:2])
    answer = {each: right[each] for each in "ifoh"} | {name: change(right)}
    verdict = helpers.check_gates_over_time(answer, lstm, IMAGES[:2])[name]
    assert not verdict and re.search(cause, verdict.hint), verdict.hint


def test_the_blocks_in_another_order(lstm):
    found = helpers.check_gates_over_time(
        gates_by_hand(lstm, IMAGES[:2], order=(0, 1, 3, 2)), lstm, IMAGES[:2]
    )
    assert "the weights of the candidate" in found["o"].hint


def test_there_are_a_hundred():
    tables = (GATES, COUNTEREXAMPLES, TABLES, WITHOUT_RECIPE, OUTPUTS, PREDICTIONS, ACCURACIES)
    assert sum(map(len, (*tables, SLIPS, CHANGES))) >= 100
