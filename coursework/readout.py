"""What a network answers, and what its classification layers say at each step."""

import numpy as np

from coursework.arguments import as_numbers
from coursework.backend import keras
from coursework.layers import copy_of, in_parts, input_shape, layer_outputs, recurrent_layer


def read_out(model: keras.Model, h: np.ndarray) -> np.ndarray:
    """Logits (N, T, classes) of the classification layers for every step, as if it were the last one.

    Args:
        model: a classifier; all layers after its last recurrent one are applied to each step alone.
        h: outputs of that recurrent layer over time, (N, T, units), as from `trace`.

    Raises:
        ValueError: a model without a recurrent layer, with several outputs, with layers after the recurrent one that
            mix the steps, or h of another shape.

    Notebook 3, Q3.3.
    """
    copy = copy_of(model)
    recurrent = [layer for layer in copy.layers if isinstance(layer, keras.layers.RNN)]
    if not recurrent:
        raise ValueError(f"the model {model.name!r} has no recurrent layer to read out")
    last = recurrent[-1]
    h = as_numbers("h", h, ("N", "T", last.cell.units))
    try:
        (output,) = copy.outputs
        head = keras.Model(last.output, output)
    except ValueError as error:
        raise ValueError("read_out needs one output that depends on the last recurrent layer's output only") from error
    states = h if last.return_sequences else h.reshape(-1, h.shape[-1])  # the head may take one state of each image
    logits = _as_logits(in_parts(lambda part: head(part, training=False), states, 50_000))
    if (logits >= 0).all() and np.allclose(logits.sum(-1), 1, atol=1e-4):
        raise ValueError("the model gives probabilities; read_out needs logits: leave the last softmax out")
    logits = logits if last.return_sequences else logits.reshape(*h.shape[:2], -1)
    if logits.shape[:2] != h.shape[:2] or logits.ndim != 3:
        raise ValueError("the layers after the recurrent one mix the steps; read_out needs an answer at each")
    return logits


def predictions_by_step(model: keras.Model, x: np.ndarray) -> np.ndarray:
    """The class read out after each row of x (N, T, 28), as if it were the last: (N, T). Notebook 3, Q3.3."""
    return read_out(model, layer_outputs(recurrent_layer(model), x)).argmax(-1)


def predictions_of(model: keras.Model, x: np.ndarray) -> np.ndarray:
    """The class that each image of x (N, T, 28) is given, (N,); after the last row, if the network answers after each.

    The model gives logits (N, classes), or (N, T, classes) with `every_step`; ValueError for one with several outputs,
    or with one number for each image. Notebooks 2 and 3.
    """
    x = as_numbers("x", x, input_shape(model))
    # Called part by part: `predict` would warn of a new graph for each of several models.
    logits = _as_logits(in_parts(lambda part: model(part, training=False), x, 5000))
    if isinstance(model.layers[-1], keras.layers.RNN):
        raise ValueError("the model ends in a recurrent layer; logits of two or more classes are needed")
    return logits.reshape(len(x), -1, logits.shape[-1])[:, -1].argmax(-1)


def _as_logits(output):
    """A model's output, if it is one array with two or more classes on its last axis."""
    if output.ndim not in (2, 3) or output.shape[-1] < 2:
        raise ValueError(f"the model gives {output.shape[1:]} for an image; logits of two or more classes are needed")
    return output
