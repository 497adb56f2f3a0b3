"""What a network answers, and what its classification layers say at each step."""

import numpy as np

from coursework.arguments import as_numbers
from coursework.backend import keras
from coursework.layers import (
    ask,
    check_scale,
    check_steady,
    far_apart,
    in_parts,
    input_for,
    input_of,
    input_shape,
    layer_outputs,
    recurrent_layer,
    rest_of,
)


def read_out(model: keras.Model, h: np.ndarray) -> np.ndarray:
    """Logits (N, T, classes) of the classification layers for every step, as if it were the last one.

    Args:
        model: a classifier; all layers after its last recurrent one are applied to each step, and none of them may look
            at a later one.
        h: outputs of that recurrent layer over time, (N, T, units), as from `trace`.

    Raises:
        ValueError: a model without a recurrent layer, with several outputs, with probabilities, with layers after the
            recurrent one that mix the steps, or h of another shape.

    Notebook 3, "A 1 that is a 7".
    """
    layer = _last_recurrent(model)
    h = as_numbers("h", h, ("N", "T", _units(layer)))
    rest = rest_of(model, layer, h.shape[1])
    states = (
        h if layer.return_sequences else h.reshape(-1, h.shape[-1])
    )  # the head may take one state of each image
    _check_depends_on_the_layer_alone(model, rest, states[:1])
    logits = as_logits(in_parts(rest, states, 50_000))
    check_steady(rest, states, logits, model)
    _check_logits(model, logits)
    if not layer.return_sequences:
        return logits.reshape(*h.shape[:2], -1)
    if logits.shape[:2] != h.shape[:2] or logits.ndim != 3:
        raise ValueError(
            "the layers after the recurrent one mix the steps; read_out needs an answer at each"
        )
    _check_no_step_looks_ahead(rest, h[:1], logits[:1], model)
    return logits


def _last_recurrent(model):
    input_shape(model)  # refuses what is no model with one input
    recurrent = [layer for layer in model.layers if isinstance(layer, keras.layers.RNN)]
    if not recurrent:
        raise ValueError(f"the model {model.name!r} has no recurrent layer to read out")
    return recurrent[-1]


def _units(layer):
    units = getattr(layer.cell, "units", None)
    if units is None:
        cell = type(layer.cell).__name__
        raise ValueError(
            f"the last recurrent layer has {cell}; read_out takes one whose output is (N, T, units)"
        )
    return units


def _check_depends_on_the_layer_alone(model, rest, state):
    """ValueError if anything else has a way to the answer: what lies below the layer, beside it, or its states."""
    usual = in_parts(rest, state, 1)
    other = in_parts(lambda state: rest(state, elsewhere=1), state, 1)
    if far_apart(usual, other, model.compute_dtype):
        raise ValueError(
            "read_out needs one output that depends on the last recurrent layer's output only"
        )


def _check_no_step_looks_ahead(rest, h, logits, model):
    """ValueError if other steps after t change what is read out up to t: tried for each t, with one image."""
    _, steps, units = h.shape
    size = max(1, np.abs(h).max())
    other = np.random.default_rng(0).uniform(-size, size, (steps, steps, units))
    known = np.tri(steps, dtype=bool)  # of copy t, the steps up to t
    copies = np.where(known[:, :, None], h, other)
    moved = in_parts(rest, copies, steps)
    expected = np.repeat(logits, steps, axis=0)
    if far_apart(moved[known], expected[known], model.compute_dtype):
        raise ValueError(
            "the layers after the recurrent one mix the steps: what is read out moves with later ones"
        )


def _check_logits(model, answers):
    """ValueError if the answers are probabilities, as the last layer says, or as sums show that are all 1."""
    last = _innermost(model.layers[-1])
    activation = getattr(last, "activation", None)
    kind = getattr(activation, "__name__", type(last).__name__.lower())
    sums = answers.sum(-1, dtype=np.float64)
    is_one = not far_apart(sums, np.ones_like(sums), last.compute_dtype)
    if kind in ("softmax", "sigmoid", "hard_sigmoid") or (is_one and answers.min() >= 0):
        raise ValueError(
            f"the model gives probabilities; read_out needs logits: leave the last softmax out ({kind})"
        )


def _innermost(layer):
    """The layer that a wrapper holds, or the last one of a model in the model."""
    if inner := getattr(layer, "layer", None):
        return _innermost(inner)
    if inside := getattr(layer, "layers", None):
        return _innermost(inside[-1])
    return layer


def predictions_by_step(model: keras.Model, x: np.ndarray) -> np.ndarray:
    """The class read out after each row of x (N, T, 28), as if it were the last: (N, T).

    There may be more rows, or fewer, than the model takes. Notebook 3, Q3.3.
    """
    layer = recurrent_layer(model)
    x = input_of(layer, x)
    check_scale(model, x)
    logits = read_out(model, layer_outputs(layer, x))
    _check_answers_alike(model, layer, x[:4], logits[:4])
    return logits.argmax(-1)


def _check_answers_alike(model, layer, x, logits):
    """ValueError if the model answers otherwise than its layers in turn, tried on as many rows as it takes."""
    _, steps, _ = input_shape(model)
    steps = x.shape[1] if isinstance(steps, str) else steps
    if steps > x.shape[1]:
        return
    own = in_parts(lambda part: ask(model, part), x[:, :steps], 4)
    read = logits[:, :steps] if layer.return_sequences else logits[:, steps - 1]
    if far_apart(read, own, model.compute_dtype):
        raise ValueError(
            f"the model {model.name!r} answers otherwise than its layers one after the other"
        )


def predictions_of(model: keras.Model, x: np.ndarray) -> np.ndarray:
    """The class that each image of x (N, T, 28) is given, (N,); after the last row, if the network answers after each.

    The model gives logits (N, classes), or (N, T, classes) with `every_step`; ValueError for one with several outputs,
    with one number for each image, or with other answers when it is asked again. Notebooks 2 and 3.
    """
    x = input_for(model, x)

    def answer(part):  # `predict` would warn of a new graph for each of several models
        return ask(model, part)

    logits = as_logits(in_parts(answer, x, 5000))
    if isinstance(model.layers[-1], (keras.layers.RNN, keras.layers.Bidirectional)):
        raise ValueError(
            "the model ends in a recurrent layer; logits of two or more classes are needed"
        )
    check_steady(answer, x, logits, model)
    return logits.reshape(len(x), -1, logits.shape[-1])[:, -1].argmax(-1)


def as_logits(output):
    """A model's output, if it is one array with two or more classes on its last axis."""
    if output.ndim not in (2, 3) or output.shape[-1] < 2:
        raise ValueError(
            f"the model gives {output.shape[1:]} for an image; logits of two or more classes are needed"
        )
    return output
