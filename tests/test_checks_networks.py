"""The checks of Q2, Q3 and the bonus: right answers in any form, and a hint of its own for each mistake."""

import dataclasses

import keras
import numpy as np
import pytest
import sympy as sp
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from test_checks_gates import ANY_VALUE, Bomb, one_line, one_of

import helpers
from conftest import cases, refused, tiny
from coursework import checks_networks, files, store
from helpers import MODEL_SIZES, Experiment

RECIPE = {"epochs": 1, "batch_size": 64}


# ---------------------------------------------------------------------------------------------------------------- Q2
def stored(experiment, data, ahead=0):
    """A network as if it had been trained: random weights, with class 0 so far ahead; in files, with its results."""
    model, rng = (
        helpers.compile_model(helpers.build_model(experiment), experiment),
        np.random.default_rng(0),
    )
    model.set_weights([weight + rng.normal(0, 0.2, weight.shape) for weight in model.get_weights()])
    model.layers[-1].bias.assign_add(ahead * np.eye(10)[0])
    loss, accuracy = model.evaluate(data.x_test, data.y_test, verbose=0)
    history = {"val_loss": [loss], "val_accuracy": [accuracy], "accuracy": [accuracy + 0.5]}
    result = store.Result(experiment, history, store.model_path(experiment, data), trained=True)
    store.store(model, result)
    return result


@pytest.fixture(scope="module")
def trained(tmp_path_factory, data):
    """The four GRUs: (experiments, experiment_results); stored where the checks look."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(files, "RUNS", tmp_path_factory.mktemp("runs"))
        experiments = [Experiment("GRU", units, layers, **RECIPE) for units, layers in MODEL_SIZES]
        results = [stored(experiment, data) for experiment in experiments]
        yield experiments, {"GRU": [(result.loss, result.accuracy) for result in results]}


def verdicts(experiments, results, data, sizes=("32",), **recipe):
    return helpers.check_results("GRU", sizes, RECIPE | recipe, experiments, results, data)


def assert_judged(check, right, wrong):
    """Each right answer is taken, each wrong one refused with its hint; '...' at an end stands for more words."""
    for answer in right:
        assert check(answer)
    for answer, hint in wrong:
        verdict, part = check(answer), hint.strip(".")
        assert not verdict and (verdict.hint == hint or (part != hint and part in verdict.hint)), (
            verdict
        )


def test_right_results_in_any_form(trained, data):
    experiments, results = trained
    arrays = {"GRU": tuple(np.array(pair, np.float32) for pair in results["GRU"])}
    table = {"GRU": np.array(results["GRU"])}  # (4, 2)
    assert all(verdicts(experiments, results, data, MODEL_SIZES).values())
    for answer in (arrays, table, results | {"LSTM": ...}):
        assert all(verdicts(experiments, answer, data, ("64",)).values())
    others = [
        Experiment("softmax", epochs=1),
        *reversed(experiments),
        Experiment("GRU", 32, epochs=2),
    ]
    by_label = {experiment.label: experiment for experiment in experiments}
    for answer in (others, set(others), tuple(others), dict.fromkeys(others), by_label):
        assert all(verdicts(answer, results, data).values())


def test_each_wrong_table_has_its_hint(trained, data):
    experiments, results = trained
    pairs = results["GRU"]
    loss, accuracy = pairs[0]
    first = lambda pair: {"GRU": [pair, *pairs[1:]]}  # noqa: E731
    wrong = (
        (..., "not answered yet: experiment_results"),
        ({}, "not answered yet: experiment_results['GRU']"),
        ([pairs], "experiment_results is of type list; a dict from family to pairs is needed"),
        (
            {"GRU": pairs[:3]},
            "GRU: a list of pairs for 32, 64, 128, 3 x 32 is needed, in this order",
        ),
        (
            {"GRU": iter(pairs)},
            "GRU: a list of pairs for 32, 64, 128, 3 x 32 is needed, in this order",
        ),
        (first("ab"), "GRU 32: a pair of two numbers (loss, accuracy) is needed"),
        (first((10**400, 0.5)), "GRU 32: a pair of two numbers (loss, accuracy) is needed"),
        (first((loss, np.nan)), "GRU 32: loss and accuracy must be finite numbers"),
        (first((loss, 100 * accuracy)), "...is above 1; give the share, not the percentage..."),
        (
            first((accuracy, loss)),
            "loss and accuracy have changed places; each pair is (loss, accuracy)",
        ),
        (
            first((loss, accuracy + 0.5)),
            "this is the value on the training images; the test images are asked for",
        ),
        (first((loss + 0.1, accuracy)), "...but evaluating the stored model gives..."),
        (first((loss, accuracy + 0.02)), "...but evaluating the stored model gives..."),
    )
    assert_judged(lambda answer: verdicts(experiments, answer, data)["GRU 32"], [], wrong)


def test_each_wrong_experiment_has_its_hint(trained, data):
    experiments, results = trained
    with_other = lambda **changes: [dataclasses.replace(experiments[0], **changes)]  # noqa: E731
    wrong = (
        (None, "not answered yet: experiments"),
        ("GRU", "experiments is of type str; a list of Experiment is needed"),
        (experiments[1:], "experiments holds no Experiment for GRU 32"),
        (with_other(batch_size=32), "batch_size is 32; the recipe of these data asks for 64"),
        (with_other(clipnorm=0.5), "clipnorm is 0.5; the sheet asks for 0.0"),
        (with_other(schedule="cosine"), "schedule is cosine; the sheet asks for constant"),
        (with_other(seed=9), "...no trained model with these settings lies in..."),
    )
    assert_judged(lambda answer: verdicts(answer, results, data)["GRU 32"], [], wrong)


def test_full_training_must_reach_what_is_in_reach(trained, data):
    """After ten epochs guessing is too little; with so few it may be all there is."""
    untrained = dataclasses.replace(trained[0][0], epochs=10)
    result = stored(untrained, data)
    results = {"GRU": [(result.loss, result.accuracy)] * 4}
    verdict = verdicts([untrained], results, data, epochs=10)["GRU 32"]
    assert not verdict and "is too low; at least 0.5 is in reach" in verdict.hint


def test_loss_and_accuracy_that_have_changed_places(trained, data):
    only_zeros = dataclasses.replace(data, y_test=np.zeros(100, int))
    result = stored(trained[0][0], only_zeros, ahead=50)
    results = {"GRU": [(result.accuracy, result.loss)] * 4}
    assert "have changed places" in verdicts(trained[0], results, only_zeros)["GRU 32"].hint


# ---------------------------------------------------------------------------------------------------------------- Q3
IMAGES = np.random.default_rng(0).integers(0, 2, (20, 28, 28)).astype(np.float32)
NOISE = helpers.Data("noise", IMAGES, np.arange(20) % 10, IMAGES, np.arange(20) % 10)


def classifier(*layers):
    keras.utils.set_random_seed(0)
    return keras.Sequential([keras.Input((28, 28)), *layers, keras.layers.Dense(10)])


@pytest.fixture(scope="module")
def network():
    """A GRU classifier that was not trained."""
    keras.utils.set_random_seed(0)  # a layer draws its seed when it is made
    return classifier(keras.layers.GRU(8), keras.layers.ReLU())


def test_output_over_time(network):
    right = helpers.layer_outputs(network.layers[0], IMAGES)
    wrong = (
        (None, "not answered yet: the output"),
        (right[3].T, "the output has shape (8, 28): transposed; (28, 8) is needed"),
        (right[3, :5], "the output has shape (5, 8); (28, 8) is needed"),
        (right, "the output has shape (20, 28, 8), for 20 images; (28, 8) is needed, for one..."),
        (
            right[3, -1],
            "...after the last step only; a copy of the layer with return_sequences=True...",
        ),
        (np.maximum(right[3], 0), "...behind the ReLU..."),
        ([[1], [2, 3]], "the output must be an array of numbers"),
        (right[3] + np.nan, "the output holds NaN, or values that are infinite in float32"),
        (
            helpers.trace(network, IMAGES)["z"][3],
            "the layer gives this output for none of the images",
        ),
        (right[3][::-1], "the rows are in the opposite order; the first step comes first"),
    )
    right = (
        right[3],
        right[19].tolist(),
        right[0].astype("float64"),
        right[3].round(3),
    )  # three digits do
    assert_judged(lambda answer: helpers.check_output(answer, network, IMAGES), right, wrong)
    model = classifier(
        keras.layers.GRU(28)
    )  # an output of as many units as steps: its shape does not tell how it lies
    right = helpers.layer_outputs(model.layers[0], IMAGES)[3]
    wrong = [(right.T, "...transposed: units x T...")]
    assert_judged(lambda answer: helpers.check_output(answer, model, IMAGES), [right], wrong)


@pytest.fixture(scope="module")
def last_five(network):
    """The classes that are read out after T, T - 1, ..., T - 4 rows."""
    h = helpers.layer_outputs(network.layers[0], IMAGES)
    found = [helpers.read_out(network, h[:, : 28 - back])[:, -1].argmax(-1) for back in range(5)]
    assert len({tuple(classes) for classes in found}) == 5  # else the order could not be told
    return found


def test_predictions_of_the_last_five_steps(network, last_five):
    right = last_five
    by_step = {28 - back: right[back] for back in range(5)}
    wrong = (
        (..., "not answered yet: predictions"),
        (np.array(3), "five values are needed, for T, T - 1, ..., T - 4"),
        (np.array(right).T, "predictions has shape (20, 5): transposed; one array for each..."),
        (right[:4], "five values are needed, for T, T - 1, ..., T - 4"),
        ({28: right[0]}, "step 27 is missing; the steps are 28 to 24"),
        (right[::-1], "the steps are in the opposite order; T comes first"),
        (
            [*right[:2], right[0], *right[3:]],
            "...at T - 2, the layers behind the recurrent one (the ReLU is the first of them) give other classes...",
        ),
        ([right[0][:9], *right[1:]], "the prediction at T has shape (9,); (20,) is needed"),
    )
    right = right, tuple(right), np.array(right), tf.stack(right), by_step
    assert_judged(lambda answer: helpers.check_predictions(answer, network, NOISE), right, wrong)


def test_accuracies_of_the_last_five_steps(network, last_five):
    right = [float((classes == NOISE.y_test).mean()) for classes in last_five]
    wrong = (
        (None, "not answered yet: accuracies"),
        ([100 * value for value in right], "...give the share, not the percentage..."),
        (
            [*right[:3], right[3] + 0.2, right[4]],
            f"the accuracy at T - 3 is not {right[3] + 0.2:.4f}",
        ),
        ([*right[:3], [1], right[4]], "the accuracy at T - 3 has shape (1,); () is needed"),
        (["0.5"] * 5, "the accuracy at T must be an array of numbers, not of <U3"),
    )
    right = right, np.array(right), {28 - back: np.float32(right[back]) for back in range(5)}
    assert_judged(lambda answer: helpers.check_accuracies(answer, network, NOISE), right, wrong)


def test_gates_over_time():
    model, x = classifier(keras.layers.LSTM(4)), IMAGES[:2]
    right = helpers.trace(model, x)
    assert all(helpers.check_gates_over_time(right, model, x).values())
    assert all(
        helpers.check_gates_over_time(
            {name: right[name].tolist() for name in "ifoh"}, model, x
        ).values()
    )
    wrong = right | {"f": right["i"], "o": 1 - right["o"], "h": right["c"]}
    said = {
        name: verdict.hint
        for name, verdict in helpers.check_gates_over_time(wrong, model, x).items()
    }
    assert said == {
        "i": "",
        "f": "these are the values of i",
        "o": "with this gate the layer's output would be another one",
        "h": "these are the values of c",
    }
    wrong = (
        (None, "not answered yet: the gates"),
        ({"I": right["i"]}, "unknown name 'I' of type str; the names are 'i', 'f', 'o', 'h'"),
        (
            {sp.Symbol("i"): right["i"]},
            "unknown name i of type Symbol; the names are 'i', 'f', 'o', 'h'",
        ),
        ([right["i"]], "the answer is of type list; a dict with i, f, o and h is needed"),
        ({}, "not answered yet: i"),
        ({"i": right["i"][0]}, "i has shape (28, 4); (2, 28, 4) is needed"),
    )
    assert_judged(lambda answer: helpers.check_gates_over_time(answer, model, x)["i"], [], wrong)


def test_gates_of_another_cell(network):
    right = helpers.trace(network, IMAGES)
    found = helpers.check_gates_over_time(right, network, IMAGES)
    assert list(found) == ["z", "r", "h"] and all(found.values())
    found = helpers.check_gates_over_time(right | {"z": right["r"]}, network, IMAGES)
    assert [bool(verdict) for verdict in found.values()] == [False, True, True]
    hint = helpers.check_gates_over_time([], network, IMAGES)["z"].hint
    assert hint == "the answer is of type list; a dict with z, r and h is needed"


def test_a_wrong_call_is_told_what_is_wrong(network, trained, data):
    two = classifier(keras.layers.GRU(3, return_sequences=True), keras.layers.GRU(4))
    for wrong in (classifier(keras.layers.Flatten()), two, network.layers[0], None):
        for check, of in ((helpers.check_output, IMAGES), (helpers.check_predictions, NOISE)):
            with refused("whose first layer, and no other, is recurrent"):
                check(..., wrong, of)
    with refused("unknown size '16': use '32' or"):
        verdicts(*trained, data, sizes=("16",))


# -------------------------------------------------------------------------------------------------- any answer at all
ARRAYS = hnp.arrays(
    st.sampled_from(["f4", "f8", "f2", "i4", "u1", "?", "c8", "O", "S2", "M8[s]"]),
    st.sampled_from(
        [(2, 5, 4), (28, 3), (20, 28, 3), (5, 4), (0, 5, 4), (2, 0, 4), (5,), (5, 20), (20, 5), ()]
    ),
)
ODD = ANY_VALUE | ARRAYS | st.lists(ARRAYS, max_size=3) | one_of([[Bomb()] * 5])
VALUES = st.floats(0, 1) | st.floats(0, 1) | ODD
FIVE = st.lists(VALUES, min_size=4, max_size=6) | st.fixed_dictionaries(
    dict.fromkeys(range(24, 29), VALUES)
)
GATES = st.dictionaries(st.sampled_from("ifoh"), st.just(np.zeros((20, 28, 3))) | ODD)


@cases(100)
@given(FIVE | GATES | ODD)
def test_any_answer_to_q3_gets_one_line(answer):
    """Against what a network would have given: the checks themselves do not run it."""
    outputs, shares = np.zeros((20, 28, 3)), np.linspace(0.1, 0.9, 5)
    assert one_line(checks_networks._check_output(answer, outputs))
    assert one_line(
        checks_networks._check_predictions(answer, [np.arange(20) % k for k in (2, 3, 4, 5, 6)], 28)
    )
    assert one_line(checks_networks._check_accuracies(answer, shares, 20, 28))
    assert one_line(
        checks_networks._check_traced(
            "i", answer, {"i": outputs, "h": outputs + 1}, ["i", "g", "h"]
        )
    )


PAIRS = st.lists(st.tuples(VALUES, VALUES) | ODD, min_size=3, max_size=5) | ODD
TABLES = st.dictionaries(st.sampled_from(["GRU", "GRU", "LSTM", "gru"]), PAIRS) | ODD
RECIPES = (
    st.lists(st.sampled_from([tiny("GRU"), tiny("GRU", layers=3), tiny("LSTM"), None, "GRU", 3]))
    | ODD
)


@cases(40)
@given(RECIPES, TABLES)
def test_any_answer_to_q2_gets_one_line(tmp_path_factory, experiments, results):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(files, "RUNS", tmp_path_factory.getbasetemp() / "none")
        found = helpers.check_results(
            "GRU", ("32", "3 x 32"), {"epochs": 10}, experiments, results, NOISE
        )
    assert all(map(one_line, found.values()))
