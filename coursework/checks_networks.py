"""Checks of the answers to Q2, Q3 and the bonus: each is compared with the student's own networks."""

import dataclasses
import functools
from collections.abc import Sequence

import numpy as np

from coursework import files
from coursework.arguments import as_numbers, check_choice, short_repr
from coursework.backend import keras
from coursework.data import Data
from coursework.experiment import MODEL_SIZES, Experiment, Size
from coursework.layers import layer_outputs, recurrent_layer
from coursework.readout import read_out
from coursework.store import stored
from coursework.trace import trace
from coursework.verdicts import Verdict, Wrong, as_verdict, kind_of

TOLERANCE = 1e-3  # of outputs and gates: three digits are enough
judged = functools.partial(
    as_verdict, needed="an array of numbers"
)  # the call is checked before, outside


def check_results(
    family: str,
    sizes: Sequence[str],
    recipe: dict,
    experiments: object,
    experiment_results: object,
    data: Data,
) -> dict[str, Verdict]:
    """Are these models trained as the sheet asks, and do they reach what the table says (Q2)?

    Each stored model is loaded and evaluated again on the test images. What was reported may differ from that by the
    noise of rounding, or by one image.

    Args:
        family: "LSTM" or "GRU".
        sizes: which of `MODEL_SIZES`, as text: "32", "3 x 32".
        recipe: dict of the settings that differ from an Experiment's defaults; all others must be the defaults, but
            if it names no seed, any will do.
        experiments: the answer: Experiments, in any order, more than the eight do no harm.
        experiment_results: the answer: {"LSTM": [(loss, accuracy), ...], "GRU": [...]} in the order of `MODEL_SIZES`.
        data: Data.

    Returns:
        dict from a model's label to its Verdict. ValueError for an unknown family or size.

    Notebook 2.
    """
    check_choice("family", family, ("LSTM", "GRU"))
    names = [str(size) for size in MODEL_SIZES]
    verdicts = {}
    for name in map(str, sizes):
        check_choice("size", name, names)
        size = MODEL_SIZES[names.index(name)]
        sheet = Experiment(family, *size, **recipe)
        verdicts[f"{family} {name}"] = _check_result(
            sheet, "seed" in recipe, experiments, experiment_results, data
        )
    return verdicts


@as_verdict
def _check_result(sheet, seed_matters, experiments, experiment_results, data):
    loss, accuracy = _reported(sheet, experiment_results)
    fitting = _fitting(sheet, seed_matters, experiments)
    results = [stored(experiment, data) for experiment in fitting]
    at_hand = [result for result in results if result]
    if not at_hand:
        raise Wrong(f"no trained model with these settings lies in {files.RUNS.name}/models")
    evaluated = [_evaluated(result, data) for result in at_hand]
    total = len(data.y_test)
    agree = [_agree((loss, accuracy), truth, total) for truth in evaluated]
    if not any(agree):
        raise Wrong(_what_is_reported(loss, accuracy, at_hand, evaluated))
    # What a trained network must reach, with room: the sheet's 95 % on MNIST, far above guessing on small data.
    least = 0.95 if len(data.y_train) >= 50_000 else 0.5
    if sheet.epochs >= 10 and accuracy < least:
        raise Wrong(f"an accuracy of {accuracy:.4f} is too low; at least {least} is in reach")


def _fitting(sheet, seed_matters, experiments):
    """Those of the student's Experiments that are the sheet's, up to a seed that does not matter."""
    experiments = _given("experiments", experiments)
    if not isinstance(experiments, (list, tuple, dict, set)):
        raise Wrong(f"experiments is {kind_of(experiments)}; a list of Experiment is needed")
    if isinstance(experiments, dict):  # either may be the Experiment
        experiments = [*experiments, *experiments.values()]
    network = ("family", "units", "layers")
    of_this_size = []
    for experiment in experiments:
        if isinstance(experiment, Experiment) and not _other_settings(experiment, sheet, network):
            of_this_size.append(experiment)
    if not of_this_size:
        raise Wrong(
            f"experiments holds no Experiment for {sheet.family} {Size(sheet.units, sheet.layers)}"
        )
    settings = [field.name for field in dataclasses.fields(sheet)]
    if not seed_matters:
        settings.remove("seed")
    fitting = [e for e in of_this_size if not _other_settings(e, sheet, settings)]
    if not fitting:
        mine = of_this_size[0]
        name = _other_settings(mine, sheet, settings)[0]
        raise Wrong(f"{name} is {getattr(mine, name)}; the sheet asks for {getattr(sheet, name)}")
    return fitting


def _other_settings(experiment, sheet, names):
    """Those of the named settings in which two Experiments differ."""
    return [name for name in names if getattr(experiment, name) != getattr(sheet, name)]


def _evaluated(result, data):
    """(loss, accuracy) of a stored model on the test images."""
    return tuple(result.model.evaluate(data.x_test, data.y_test, batch_size=1000, verbose=0))


def _agree(reported, truth, total):
    """Are two pairs (loss, accuracy) the same, up to rounding and one of the `total` images?"""
    same_loss = abs(reported[0] - truth[0]) <= 0.01 + 0.01 * truth[0]
    return same_loss and _same_share(reported[1], truth[1], total)


def _what_is_reported(loss, accuracy, at_hand, evaluated):
    """The hint for a pair that is that of none of the stored models."""
    for result, (true_loss, true_accuracy) in zip(at_hand, evaluated, strict=True):
        in_training = result.history["accuracy"][-1]
        if abs(accuracy - in_training) < 1e-6:
            return "this is the value on the training images; the test images are asked for"
        swapped = abs(accuracy - true_loss) < 0.01 and abs(loss - true_accuracy) < 0.01
        if swapped:
            return "loss and accuracy have changed places; each pair is (loss, accuracy)"
    _share(accuracy)
    true_loss, true_accuracy = evaluated[0]
    truth = f"{true_loss:.4f} and {true_accuracy:.4f}"
    return f"reported {loss:.4f} and {accuracy:.4f}, but evaluating the stored model gives {truth}"


def _reported(sheet, experiment_results):
    """The pair (loss, accuracy) of one model, as floats."""
    family, size = sheet.family, Size(sheet.units, sheet.layers)
    experiment_results = _given("experiment_results", experiment_results)
    if not isinstance(experiment_results, dict):
        raise Wrong(
            f"experiment_results is {kind_of(experiment_results)}; a dict from family to pairs is needed"
        )
    pairs = _given(f"experiment_results[{family!r}]", experiment_results.get(family))
    pairs = _as_list(pairs)
    if pairs is None or len(pairs) != len(MODEL_SIZES):
        order = ", ".join(map(str, MODEL_SIZES))
        raise Wrong(f"{family}: a list of pairs for {order} is needed, in this order")
    name = f"{family} {size}"
    try:
        loss, accuracy = (float(value) for value in pairs[MODEL_SIZES.index(size)])
    except Exception:  # whatever an object's own conversion raises
        raise Wrong(f"{name}: a pair of two numbers (loss, accuracy) is needed") from None
    if not np.isfinite([loss, accuracy]).all():
        raise Wrong(f"{name}: loss and accuracy must be finite numbers")
    return loss, accuracy


def _share(accuracy):
    """An accuracy, unless it looks like a percentage."""
    if 1 < accuracy <= 100:
        raise Wrong(f"an accuracy of {accuracy:g} is above 1; give the share, not the percentage")
    return accuracy


def _same_share(a, b, total):
    """Do two accuracies over `total` images agree, up to one image or 0.2 points?"""
    return abs(a - b) <= max(0.002, 1.01 / total)


def _given(name, answer):
    """An answer, unless it is still missing."""
    if answer is None or answer is ...:
        raise Wrong(f"not answered yet: {name}")
    return answer


def _as_list(answer):
    """A list or tuple as it is, an array or tensor as the list of its rows; None for anything else."""
    if isinstance(answer, (list, tuple)):
        return answer
    try:
        return list(np.asarray(answer)) if hasattr(answer, "__array__") else None
    except Exception:  # a single number, or whatever an object's own conversion raises
        return None


def _numbers(name, answer, shape):
    """An answer as an array of finite numbers of the right shape."""
    try:
        values = as_numbers(name, _given(name, answer))
    except ValueError as error:
        raise Wrong(str(error)) from None
    if values.shape != shape:
        turned = ": transposed" if values.shape == shape[::-1] else ""
        raise Wrong(f"{name} has shape {values.shape}{turned}; {shape} is needed")
    return values


def check_output(output: object, model: keras.Model, x: np.ndarray) -> Verdict:
    """Is this the output over time, (T, units), of the model's recurrent layer for one of the images x (N, T, 28)?

    The model is a Sequential classifier whose first layer, and no other, is recurrent; ValueError for another one.
    Notebook 3, Q3.2.
    """
    return _check_output(output, layer_outputs(recurrent_layer(model), x))


@judged
def _check_output(output, outputs):
    steps, units = outputs.shape[1:]
    output = _numbers("the output", output, (steps, units))
    if _is_one_of(outputs, output):
        return
    if steps == units and _is_one_of(outputs, output.T):
        raise Wrong("the output is transposed: units x T; T x units is asked for")
    raise Wrong("the layer gives this output for none of the images")


def image_with_output(output: object, model: keras.Model, x: np.ndarray) -> np.ndarray:
    """The image among x (N, T, 28) whose output over time, as in `check_output`, is nearest to this one: (T, 28).

    Blank paper if it is the output of none of them. Notebook 3, Q3.2.
    """
    outputs = layer_outputs(recurrent_layer(model), x)
    verdict = _check_output(output, outputs)
    if not verdict:
        return np.zeros_like(x[0])
    deviation = np.abs(outputs - as_numbers("the output", output)).max((1, 2))
    return x[deviation.argmin()]


def _is_one_of(outputs, output):
    """Is an array (T, units) one of those in `outputs` (N, T, units)?"""
    deviation = np.abs(outputs - output).max((1, 2))
    return deviation.min() <= TOLERANCE


def check_predictions(predictions: object, model: keras.Model, data: Data) -> Verdict:
    """Are these the classes of the test images read out at T, T - 1, ..., T - 4, as if each were the last step?

    The answer: five arrays (N,), as a list in this order or as a dict from the step (28, 27, ...). The model is one as
    for `check_output`, with the same error. Notebook 3, Q3.3.
    """
    return _check_predictions(predictions, _last_read_outs(model, data), data.x_test.shape[1])


@judged
def _check_predictions(predictions, truth, steps):
    given = []
    for back, values in enumerate(_five("predictions", predictions, steps)):
        given.append(_numbers(f"the prediction at T - {back}", values, truth[0].shape))
    right = _same_classes(given, truth)
    if right.all():
        return
    if _same_classes(given[::-1], truth).all():
        raise Wrong("the steps are in the opposite order; T comes first")
    back = int(right.argmin())
    raise Wrong(
        f"at T - {back}, the trained classification layers give other classes to the output after that row"
    )


def _same_classes(given, truth):
    """At which of the five steps are 99 in 100 predictions those of the network?"""
    shares = [np.mean(mine == true) for mine, true in zip(given, truth, strict=True)]
    return np.array(shares) >= 0.99


def check_accuracies(accuracies: object, model: keras.Model, data: Data) -> Verdict:
    """Are these the test accuracies of the read-outs at T, T - 1, ..., T - 4, in a form as for `check_predictions`?

    Notebook 3, Q3.3.
    """
    truth = [(classes == data.y_test).mean() for classes in _last_read_outs(model, data)]
    return _check_accuracies(accuracies, truth, len(data.y_test), data.x_test.shape[1])


@judged
def _check_accuracies(accuracies, truth, total, steps):
    given = []
    for back, value in enumerate(_five("accuracies", accuracies, steps)):
        accuracy = _numbers(f"the accuracy at T - {back}", value, ())
        given.append(_share(float(accuracy)))
    for back, (mine, true) in enumerate(zip(given, truth, strict=True)):
        if not _same_share(mine, true, total):
            raise Wrong(f"the accuracy at T - {back} is not {mine:.4f}")


def _last_read_outs(model, data):
    """The classes read out at T, T - 1, ..., T - 4: five arrays (N,)."""
    classes = read_out(model, layer_outputs(recurrent_layer(model), data.x_test)).argmax(-1)
    return [classes[:, -1 - back] for back in range(5)]


def _five(name, answer, steps):
    """The five values of an answer, for T, T - 1, ..., T - 4."""
    answer = _given(name, answer)
    last_five = range(steps, steps - 5, -1)
    if isinstance(answer, dict):
        missing = [step for step in last_five if step not in answer]
        if missing:
            raise Wrong(f"step {missing[0]} is missing; the steps are {steps} to {steps - 4}")
        return [answer[step] for step in last_five]
    values = _as_list(answer)
    if values is not None and len(values) == 5:
        return values
    if values and all(np.shape(value) == (5,) for value in values):
        shape = f"({len(values)}, 5)"
        raise Wrong(
            f"{name} has shape {shape}: transposed; one array for each of the five steps is needed"
        )
    raise Wrong("five values are needed, for T, T - 1, ..., T - 4")


def check_gates_over_time(values: object, model: keras.Model, x: np.ndarray) -> dict[str, Verdict]:
    """Are these the gates and the output of the model's recurrent layer while it reads the images x (N, T, 28)?

    The answer: a dict with an array (N, T, units) for each gate of the cell and for its output "h"; for an LSTM "i",
    "f", "o" and "h". Each of them has a Verdict. ValueError for a model that `trace` does not take, and for a cell
    without gates. Notebook 3, bonus.
    """
    traced = trace(model, x)
    truth = {
        name: array for name, array in traced.items() if name not in ("g", "c")
    }  # "h" is the last
    if list(truth) == ["h"]:
        raise ValueError("the model's cell has no gates")
    return {name: _check_traced(name, values, truth, [*traced]) for name in truth}


@judged
def _check_traced(name, values, truth, known):
    values = _given("the gates", values)
    *gates, output = truth
    if not isinstance(values, dict):
        needed = f"{', '.join(gates)} and {output}"
        raise Wrong(f"the answer is {kind_of(values)}; a dict with {needed} is needed")
    unknown = [key for key in values if key not in known]
    if name not in values and unknown:
        names = ", ".join(map(repr, truth))
        raise Wrong(
            f"unknown name {short_repr(unknown[0])} {kind_of(unknown[0])}; the names are {names}"
        )
    array = _numbers(name, values.get(name), truth[name].shape)
    deviation = {other: np.abs(array - true).max() for other, true in truth.items()}
    matching = [other for other in truth if deviation[other] <= TOLERANCE]
    if name in matching:
        return
    if matching:
        raise Wrong(f"these are the values of {matching[0]}")
    if name == "h":
        raise Wrong("this is not the layer's own output")
    raise Wrong("with this gate the layer's output would be another one")
