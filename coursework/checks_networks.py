"""Checks of the answers to Q2, Q3 and the bonus: each is compared with the student's own networks."""

import numpy as np

from coursework import files
from coursework.arguments import check_choice
from coursework.backend import keras
from coursework.store import stored
from coursework.trace import layer_outputs, read_out, trace
from coursework.training import MODEL_SIZES, Experiment
from coursework.verdicts import Wrong, as_verdict, kind_of, plain


def check_results(family, sizes, recipe, experiments, experiment_results, data):
    """Are these models trained as the sheet asks, and do they reach what the table says (Q2)?

    Each stored model is loaded and evaluated again on the test images. What was reported may differ from that by the
    noise of rounding, or by one image.

    Args:
        family: "LSTM" or "GRU".
        sizes: which of `MODEL_SIZES`.
        recipe: dict of the settings that an Experiment must have, such as epochs and batch_size.
        experiments: the answer: Experiments, in any order, more than the eight do no harm.
        experiment_results: the answer: {"LSTM": [(loss, accuracy), ...], "GRU": [...]} in the order of `MODEL_SIZES`.
        data: Data.

    Returns:
        dict from a model's label to its Verdict.

    Raises:
        ValueError: unknown family or size.
    """
    check_choice("family", family, ("LSTM", "GRU"))
    for size in sizes:
        check_choice("size", size, MODEL_SIZES)
    labels = {f"{family} {size}": MODEL_SIZES.index(size) for size in sizes}
    return {
        label: _check_result(label, family, place, recipe, experiments, experiment_results, data)
        for label, place in labels.items()
    }


@as_verdict
def _check_result(label, family, place, recipe, experiments, experiment_results, data):
    loss, accuracy = _reported(family, place, experiment_results)
    experiments = plain(experiments)
    if experiments is None or experiments is ...:
        raise Wrong("not answered yet: experiments")
    if not isinstance(experiments, (list, tuple, dict, set)):
        raise Wrong(f"experiments is {kind_of(experiments)}; a list of Experiment is needed")
    of_this_size = [e for e in experiments if isinstance(e, Experiment) and e.label == label]
    if not of_this_size:
        raise Wrong(f"experiments holds no Experiment for {label}")
    for name, wanted in recipe.items():
        if all(getattr(e, name) != wanted for e in of_this_size):
            raise Wrong(f"{name} is {getattr(of_this_size[0], name)}; the sheet asks for {wanted}")
    fitting = [e for e in of_this_size if all(getattr(e, name) == wanted for name, wanted in recipe.items())]
    at_hand = [result for e in fitting if (result := stored(e, data))]
    if not at_hand:
        raise Wrong(f"no trained model with these settings lies in {files.RUNS.name}/models")
    found = []
    for result in at_hand:
        true_loss, true_accuracy = result.model.evaluate(data.x_test, data.y_test, batch_size=1000, verbose=0)
        if abs(loss - true_loss) <= 0.01 + 0.01 * true_loss and _same_share(accuracy, true_accuracy, len(data.y_test)):
            break
        found.append(f"{true_loss:.4f} and {true_accuracy:.4f}")
        if abs(accuracy - result.history["accuracy"][-1]) < 1e-6:
            raise Wrong("this is the value on the training images; the test images are asked for")
        if abs(accuracy - true_loss) < 0.01 and abs(loss - true_accuracy) < 0.01:
            raise Wrong("loss and accuracy have changed places; each pair is (loss, accuracy)")
    else:
        raise Wrong(f"reported {loss:.4f} and {accuracy:.4f}, but evaluating the stored model gives {found[0]}")
    # What a trained network must reach, with room: the sheet's 95 % on MNIST, far above guessing on small data.
    least = 0.95 if len(data.y_train) >= 50_000 else 0.5
    if result.experiment.epochs >= 10 and accuracy < least:
        raise Wrong(f"an accuracy of {accuracy:.4f} is too low; at least {least} is in reach")


def _reported(family, place, experiment_results):
    """The pair (loss, accuracy) of one model, as floats."""
    experiment_results = plain(experiment_results)
    if experiment_results is None or experiment_results is ...:
        raise Wrong("not answered yet: experiment_results")
    if not isinstance(experiment_results, dict):
        raise Wrong(f"experiment_results is {kind_of(experiment_results)}; a dict from family to pairs is needed")
    pairs = plain(experiment_results.get(family))
    if pairs is None or pairs is ...:
        raise Wrong(f"not answered yet: experiment_results[{family!r}]")
    if not isinstance(pairs, (list, tuple)) or len(pairs) != len(MODEL_SIZES):
        raise Wrong(f"{family}: a list of pairs for {', '.join(MODEL_SIZES)} is needed, in this order")
    try:
        loss, accuracy = (float(value) for value in pairs[place])
    except Exception:  # whatever an object's own conversion raises
        raise Wrong(f"{family} {MODEL_SIZES[place]}: a pair of two numbers (loss, accuracy) is needed") from None
    if not np.isfinite([loss, accuracy]).all():
        raise Wrong(f"{family} {MODEL_SIZES[place]}: loss and accuracy must be finite numbers")
    if 1 < accuracy <= 100:
        raise Wrong(f"an accuracy of {accuracy:g} is above 1; give the share, not the percentage")
    return loss, accuracy


def _same_share(a, b, total):
    """Do two accuracies over `total` images agree, up to one image or 0.2 points?"""
    return abs(a - b) <= max(0.002, 1.01 / total)


def _array(answer, name):
    """An answer as an array of finite numbers."""
    if answer is None or answer is ...:
        raise Wrong(f"not answered yet: {name}")
    try:
        values = np.asarray(answer)
    except Exception:  # ragged lists, or whatever an object's own conversion raises
        values = np.empty(0, object)
    if values.dtype.kind not in "iuf":
        raise Wrong(f"{name} is no array of numbers")
    if not np.isfinite(values).all():
        raise Wrong(f"{name} holds NaN or infinite values")
    return values


def _numbers(answer, shape, name):
    """An answer as an array of finite numbers of the right shape."""
    values = _array(answer, name)
    if values.shape != shape:
        raise Wrong(f"{name} has shape {values.shape}; {shape} is needed")
    return values


def _recurrent_layer(model):
    """The recurrent layer of a classifier that begins with it, or a ValueError."""
    layers = model.layers if isinstance(model, keras.Sequential) else []
    if [isinstance(layer, keras.layers.RNN) for layer in layers] != [True] + [False] * (len(layers) - 1):
        raise ValueError("expected a Sequential classifier whose first layer, and no other, is recurrent")
    return layers[0]


@as_verdict
def check_output(output, model, x):
    """Is this the output over time, (T, units), of the model's recurrent layer for one of the images (Q3.2)?

    Args:
        output: the answer.
        model: a Sequential classifier whose first layer, and no other, is recurrent.
        x: the images one of which it should be, (N, T, 28).

    Raises:
        ValueError: another model.
    """
    layer = _recurrent_layer(model)
    steps, units = x.shape[1], layer.units
    if _array(output, "the output").shape == (units, steps):
        raise Wrong(f"the output has shape {(units, steps)}: units x T; T x units is asked for")
    output = _numbers(output, (steps, units), "the output")
    if np.abs(layer_outputs(layer, x) - output).max((1, 2)).min() > 1e-4:
        raise Wrong("the layer gives this output for none of the images")


@as_verdict
def check_predictions(predictions, model, data):
    """Are these the classes read out at T, T - 1, ..., T - 4, as if each were the last step (Q3.3)?

    Args:
        predictions: the answer: five arrays (N,), as a list in this order or as a dict from the step (28, 27, ...).
        model: as in `check_output`.
        data: Data; N test images.

    Raises:
        ValueError: another model.
    """
    truth = _last_read_outs(model, data)
    given = [
        _numbers(values, (len(data.y_test),), f"the prediction at T - {back}")
        for back, values in enumerate(_five(predictions, data.x_test.shape[1]))
    ]
    agree = np.array([[(a == b).mean() for b in truth] for a in given])
    if (np.diag(agree) >= 0.99).all():
        return
    if (np.diag(agree[::-1]) >= 0.99).all():
        raise Wrong("the steps are in the opposite order; T comes first")
    back = int(np.argmin(np.diag(agree) >= 0.99))
    raise Wrong(f"at T - {back}, the trained classification layers give other classes to the output after that row")


@as_verdict
def check_accuracies(accuracies, model, data):
    """Are these the test accuracies of the read-outs at T, T - 1, ..., T - 4 (Q3.3)?

    Args:
        accuracies: the answer: five numbers, as a list in this order or as a dict from the step (28, 27, ...).
        model, data: as in `check_predictions`, with the same error.
    """
    truth = [(classes == data.y_test).mean() for classes in _last_read_outs(model, data)]
    given = [
        float(_numbers(value, (), f"the accuracy at T - {back}"))
        for back, value in enumerate(_five(accuracies, data.x_test.shape[1]))
    ]
    for back, (mine, true) in enumerate(zip(given, truth, strict=True)):
        if not _same_share(mine, true, len(data.y_test)):
            raise Wrong(f"the accuracy at T - {back} is not {mine:.4f}")


def _last_read_outs(model, data):
    """The classes read out at T, T - 1, ..., T - 4: five arrays (N,)."""
    classes = read_out(model, layer_outputs(_recurrent_layer(model), data.x_test)).argmax(-1)
    return [classes[:, -1 - back] for back in range(5)]


def _five(answer, steps):
    """The five values of an answer, for T, T - 1, ..., T - 4."""
    answer = plain(answer)
    if answer is None or answer is ...:
        raise Wrong("not answered yet")
    if isinstance(answer, dict):
        missing = [step for step in range(steps, steps - 5, -1) if step not in answer]
        if missing:
            raise Wrong(f"step {missing[0]} is missing; the steps are {steps} to {steps - 4}")
        return [answer[step] for step in range(steps, steps - 5, -1)]
    if isinstance(answer, np.ndarray) and answer.ndim:
        answer = list(answer)
    if not isinstance(answer, (list, tuple)) or len(answer) != 5:
        raise Wrong("five values are needed, for T, T - 1, ..., T - 4")
    return answer


def check_gates_over_time(values, model, x):
    """Are these the gates i, f, o and the output h of the model's LSTM layer while it reads the images (bonus)?

    Args:
        values: the answer: dict with the arrays "i", "f", "o", "h", each (N, T, units).
        model: a Sequential classifier whose first layer is an LSTM.
        x: the images, (N, T, 28).

    Returns:
        dict from name to Verdict.
    """
    truth = {name: array for name, array in trace(model, x).items() if name in "ifoh"}
    return {name: _check_traced(name, values, truth) for name in truth}


@as_verdict
def _check_traced(name, values, truth):
    values = plain(values)
    if values is None or values is ...:
        raise Wrong("not answered yet")
    if not isinstance(values, dict):
        raise Wrong(f"the answer is {kind_of(values)}; a dict with i, f, o and h is needed")
    array = _numbers(values.get(name), truth[name].shape, name)
    if np.abs(array - truth[name]).max() <= 1e-3:
        return
    others = [other for other, true in truth.items() if other != name and np.abs(array - true).max() <= 1e-3]
    if others:
        raise Wrong(f"these are the values of {others[0]}")
    if name == "h":
        raise Wrong("this is not the layer's own output")
    raise Wrong("with this gate the layer's output would be another one")
