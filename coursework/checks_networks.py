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
from coursework.keras_cells import cell_of, library_of, named_weights, run_step
from coursework.layers import layer_and_its_input, layer_outputs, recurrent_layer
from coursework.readout import read_out
from coursework.store import stored
from coursework.trace import trace
from coursework.verdicts import Verdict, Wrong, as_verdict, kind_of

ORDER = f"the order is {', '.join(map(str, MODEL_SIZES))}"
RECIPES_OWN = ("batch_size", "learning_rate")  # what `recipe_for` decides by the size of the data
DEFAULTS = {field.name: field.default for field in dataclasses.fields(Experiment)}
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
        if place := _elsewhere(sheet, experiment_results, evaluated, total):
            raise Wrong(f"the numbers of this model stand {place}; {ORDER}")
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
        name = f"{sheet.family} {Size(sheet.units, sheet.layers)}"
        raise Wrong(f"experiments holds no Experiment for {name}{_instead(sheet, experiments)}")
    settings = [field.name for field in dataclasses.fields(sheet)]
    if not seed_matters:
        settings.remove("seed")
    fitting = [e for e in of_this_size if not _other_settings(e, sheet, settings)]
    if not fitting:
        mine = of_this_size[0]
        name = _other_settings(mine, sheet, settings)[0]
        asked = getattr(sheet, name)
        from_data = name in RECIPES_OWN and asked != DEFAULTS[name]
        who = "the recipe of these data" if from_data else "the sheet"
        raise Wrong(f"{name} is {getattr(mine, name)}; {who} asks for {asked}")
    return fitting


def _instead(sheet, experiments):
    """What may stand in the list in place of an Experiment for the sheet's, in words."""
    ours = [experiment for experiment in experiments if isinstance(experiment, Experiment)]
    if not ours:
        kinds = sorted({type(each).__name__ for each in experiments})
        return f"; it holds {', '.join(kinds[:3])}" if kinds else ""
    width = sheet.units * sheet.layers
    is_wide = [e.family == sheet.family and (e.units, e.layers) == (width, 1) for e in ours]
    if sheet.layers == 1 or not any(is_wide):
        return ""
    asked = f"units={sheet.units}, layers={sheet.layers}"
    return f"; one layer of {width} is another network than {asked}"


def _other_settings(experiment, sheet, names):
    """Those of the named settings in which two Experiments differ."""
    return [name for name in names if getattr(experiment, name) != getattr(sheet, name)]


def _elsewhere(sheet, experiment_results, evaluated, total):
    """Where in the table the numbers of a model stand, if not in their place: in words, or ''."""
    found = []
    for family in ("LSTM", "GRU"):
        pairs = _as_list(experiment_results.get(family)) or []
        for pair, size in zip(pairs, MODEL_SIZES, strict=False):
            if not _is_pair(pair):
                continue
            if any(_agree(pair, truth, total) for truth in evaluated):
                found.append(f"under {family} {size}")
    return found[0] if len(found) == 1 else ""  # two networks may reach the same


def _is_pair(pair):
    """Are these two finite numbers?"""
    try:
        values = np.asarray(pair, float)
    except Exception:  # whatever an object's own conversion raises
        return False
    return values.shape == (2,) and bool(np.isfinite(values).all())


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
    slip = _key_like(family, experiment_results)
    if slip is not None and family not in experiment_results:
        raise Wrong(f"experiment_results has {slip!r}; the key is {family!r}")
    pairs = _given(f"experiment_results[{family!r}]", experiment_results.get(family))
    pairs = _as_list(pairs)
    if pairs is None or len(pairs) != len(MODEL_SIZES):
        turned = "" if pairs is None else _turned(pairs)
        sizes = ", ".join(map(str, MODEL_SIZES))
        raise Wrong(f"{family}: {turned}a list of pairs for {sizes} is needed, in this order")
    name = f"{family} {size}"
    try:
        loss, accuracy = (float(value) for value in pairs[MODEL_SIZES.index(size)])
    except Exception:  # whatever an object's own conversion raises
        raise Wrong(f"{name}: a pair of two numbers (loss, accuracy) is needed") from None
    if not np.isfinite([loss, accuracy]).all():
        raise Wrong(f"{name}: loss and accuracy must be finite numbers")
    return loss, accuracy


def _key_like(name, answer):
    """A key of an answer that differs from a name by capital letters and blanks alone; None if there is none."""
    texts = [key for key in answer if isinstance(key, str)]
    return next((key for key in texts if key.strip().upper() == name), None)


def _turned(pairs):
    """What is said of a list of all losses and a list of all accuracies."""
    two = len(pairs) == 2 and all(np.ndim(part) == 1 for part in pairs)
    return "all losses and then all accuracies, transposed; " if two else ""


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
    _one_image_over_time(output, steps, units)
    output = _numbers("the output", output, (steps, units))
    if _is_one_of(outputs, output):
        return
    if _is_one_of(outputs[:, ::-1], output):
        raise Wrong("the rows are in the opposite order; the first step comes first")
    if _is_one_of(np.maximum(outputs, 0), output):
        raise Wrong("this is the output behind the ReLU; that of the recurrent layer is asked for")
    if steps == units and _is_one_of(outputs, output.T):
        raise Wrong("the output is transposed: units x T; T x units is asked for")
    raise Wrong("the layer gives this output for none of the images")


def _one_image_over_time(output, steps, units):
    """Raise Wrong for the output of the last step alone, or of several images: forms that Keras's models give."""
    shape = getattr(output, "shape", None)
    if shape is None or (len(shape) == 2 and tuple(shape) != (1, units)):
        return
    if tuple(shape) in ((units,), (1, units)):
        hint = "a copy of the layer with return_sequences=True gives every step"
        raise Wrong(f"this is the output after the last step only; {hint}")
    if len(shape) == 3 and tuple(shape[1:]) == (steps, units):
        number = "one image" if shape[0] == 1 else f"{shape[0]} images"
        raise Wrong(
            f"the output has shape {tuple(shape)}, for {number}; {(steps, units)} is needed, for one: output[0]"
        )


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
        name = f"the prediction at {_step(back)}"
        if np.ndim(values) == 2 and len(values) == len(truth[0]):
            raise Wrong(f"{name} has a number for each class; the class is needed: argmax(-1)")
        given.append(_numbers(name, values, truth[0].shape))
    right = _same_classes(given, truth)
    if right.all():
        return
    if _same_classes(given[::-1], truth).all():
        raise Wrong("the steps are in the opposite order; T comes first")
    if _same_classes(given[:-1], truth[1:]).all():
        raise Wrong("the first one is that of T - 1; T comes first")
    step = _step(int(right.argmin()))
    raise Wrong(
        f"at {step}, the layers behind the recurrent one (the ReLU is the first of them) "
        "give other classes to the output after that row"
    )


def _step(back):
    """A step from the end, in words."""
    return f"T - {back}" if back else "T"


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
        accuracy = _numbers(f"the accuracy at {_step(back)}", value, ())
        given.append(_share(float(accuracy)))
    wrong = _differ(given, truth, total)
    if not wrong:
        return
    if not _differ(given[::-1], truth, total):
        raise Wrong("the steps are in the opposite order; T comes first")
    if not _differ(given[:-1], truth[1:], total):
        raise Wrong("the first one is that of T - 1; T comes first")
    if not _differ([1 - value for value in given], truth, total):
        raise Wrong("these are the shares of wrong predictions; the accuracy is that of right ones")
    raise Wrong(f"the accuracy at {_step(wrong[0])} is not {given[wrong[0]]:.4f}")


def _differ(given, truth, total):
    """The places at which accuracies over `total` images differ from the true ones."""
    pairs = enumerate(zip(given, truth, strict=True))
    return [place for place, (mine, true) in pairs if not _same_share(mine, true, total)]


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
    # "h" is the last
    truth = {name: array for name, array in traced.items() if name not in ("g", "c")}
    if list(truth) == ["h"]:
        raise ValueError("the model's cell has no gates")
    slips = functools.cache(lambda: _slips(model, x, traced))  # worked out for a wrong answer alone
    return {name: _check_traced(name, values, truth, [*traced], slips) for name in truth}


@judged
def _check_traced(name, values, truth, known, slips=dict):
    values = _given("the gates", values)
    *gates, output = truth
    if not isinstance(values, dict):
        needed = f"{', '.join(gates)} and {output}"
        raise Wrong(f"the answer is {kind_of(values)}; a dict with {needed} is needed")
    unknown = [key for key in values if key not in known]
    if name not in values and unknown:
        key, names = unknown[0], ", ".join(map(repr, truth))
        raise Wrong(f"unknown name {short_repr(key)} {kind_of(key)}; the names are {names}")
    array = _numbers(name, values.get(name), truth[name].shape)
    deviation = {other: np.abs(array - true).max() for other, true in truth.items()}
    matching = [other for other in truth if deviation[other] <= TOLERANCE]
    if name in matching:
        return
    if matching:
        raise Wrong(f"these are the values of {matching[0]}")
    for cause, gates in slips().items():
        if name in gates and np.abs(array - gates[name]).max() <= TOLERANCE:
            raise Wrong(cause)
    if name == "h":
        raise Wrong("this is not the layer's own output")
    if array.min() < -TOLERANCE or array.max() > 1 + TOLERANCE:
        reach = f"{array.min():.3g} to {array.max():.3g}"
        raise Wrong(f"a gate lies between 0 and 1, and these values reach from {reach}")
    raise Wrong("with this gate the layer's output would be another one")


def _slips(model, x, traced):
    """dict from what may be wrong with gates and output, in words, to what these are then."""
    layer, inputs = layer_and_its_input(model, x, None)
    cell, library = cell_of(layer), library_of(layer)
    weights = named_weights(layer)
    states = {f"{name}_prev": _step_before(traced[name]) for name in cell.states}
    states["x"] = inputs[:, ::-1] if layer.go_backwards else inputs

    def gates(weights=weights, states=states, **functions):
        values = run_step(cell, weights, states, library | functions)
        return {name: values[name] for name in cell.gate_names}

    def without(kind):
        zeros = {name: 0 * weights[name] for name in weights if name.startswith(kind)}
        return gates(weights | zeros)

    block = run_step(cell, weights, states, library | {"tanh": library["sigmoid"]})["g"]
    other = "; the layer has the sigmoid itself"
    return {
        "a gate reads h of the step before; this one reads h of the same step": gates(
            states=states | {"h_prev": traced["h"]}
        ),
        "the bias is missing in this gate": without("b"),
        "the input x is missing in this gate": without("W"),
        "h of the step before is missing in this gate": without("U"),
        "this is the sum inside the gate: the sigmoid is missing": gates(sigmoid=lambda a: a),
        f"this gate has a hard sigmoid{other}": gates(sigmoid=_hard),
        f"this gate has the hard sigmoid of older libraries{other}": gates(sigmoid=_hard_before),
        f"this gate has a tanh{other}": gates(sigmoid=np.tanh),
        "this gate has the weights of the candidate: see the order of the blocks": dict.fromkeys(
            cell.gate_names, block
        ),
        **_slips_of_all(traced),
    }


def _slips_of_all(traced):
    """The same for what may happen to a gate and to the output."""
    names = [name for name in traced if name not in ("g", "c")]
    found = {}
    for other in {"c", "g"} & set(traced):
        found[f"these are the values of {other}"] = dict.fromkeys(names, traced[other])
    found["these are the values of the step before"] = {
        name: _step_before(traced[name]) for name in names
    }
    found["the steps are in the opposite order"] = {name: traced[name][:, ::-1] for name in names}
    if {"o", "c"} <= set(traced):
        found["the tanh of the state is missing"] = {"h": traced["o"] * traced["c"]}
    return found


def _step_before(values):
    """Values (N, T, units) one step later, with zeros first."""
    return np.pad(values, ((0, 0), (1, 0), (0, 0)))[:, :-1]


def _hard(a):
    return np.clip(a / 6 + 0.5, 0, 1)


def _hard_before(a):
    return np.clip(0.2 * a + 0.5, 0, 1)
