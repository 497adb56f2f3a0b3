"""The gates of a recurrent layer at every step."""

import numpy as np

from coursework.backend import keras
from coursework.keras_cells import cell_of, library_of, named_weights, run_step
from coursework.layers import far_apart, layer_and_its_input, layer_outputs, parts, supported


def trace(
    model_or_layer: keras.Layer, x: np.ndarray, layer: str | int | None = None
) -> dict[str, np.ndarray]:
    """Gates and states of one recurrent layer at every time step, from its weights and its cell's equations.

    Keras keeps the gates to itself. But each gate is a function of the row x_t, of the output before it, h_(t-1), and
    perhaps of the state before it, c_(t-1); and h is what the layer puts out. The gates must give that h.

    Args:
        model_or_layer: a built LSTM, GRU or SimpleRNN layer (or an RNN around such a cell or a FormulaCell), or a
            Sequential or functional model with one input.
        x: the layer's input (N, T, features), or the *model's* input if a model is given; the layers before the
            recurrent one are then applied first.
        layer: which recurrent layer of a model with several: its name, or its number among them, from 0.

    Returns:
        dict of arrays (N, T, units): the cell's gates by name, g (the candidate), c if there is one, h. LSTM: i, f, g,
        o, c, h; GRU: z, r, g, h. `h` is the layer's own output, step by step in the order in which it takes them: with
        `go_backwards`, step 0 reads the last row of x.
        Dropout is off, as in prediction. The six arrays of an LSTM take N * T * units * 24 bytes: 860 MB for 10,000
        images and 128 units, so pass slices of x for more.

    Raises:
        ValueError: no recurrent layer, several and none chosen, x that does not fit, or what is not followed here:
            masks, initial states, stateful layers, and layers whose output these gates do not give.

    Notebook 3, Q3.2 and bonus.
    """
    if isinstance(model_or_layer, keras.Model):
        recurrent, x = layer_and_its_input(model_or_layer, x, layer)
    elif layer is not None:
        raise ValueError("layer= chooses a layer of a model; here a single layer is given")
    else:
        recurrent = supported(model_or_layer)
    h = layer_outputs(recurrent, x)
    traced: dict[str, np.ndarray] = {}
    for some in parts(len(h), 2000):
        for name, values in _gates(recurrent, x[some], h[some]).items():
            traced.setdefault(name, np.empty_like(h))[some] = values
    return traced


def _gates(layer, x, h):
    """All gates of all steps, for the inputs x (N, T, features) and outputs h (N, T, units) of a layer."""
    cell, library = cell_of(layer), library_of(layer)
    weights = {name: weight.astype(h.dtype) for name, weight in named_weights(layer).items()}
    x = np.asarray(x, h.dtype)[:, ::-1] if layer.go_backwards else np.asarray(x, h.dtype)
    before = np.pad(h, ((0, 0), (1, 0), (0, 0)))[:, :-1]  # h_(t-1), zero before the first step
    c = np.zeros_like(h[:, 0])
    traced: dict[str, np.ndarray] = {}
    for t in range(h.shape[1]):
        states = {"x": x[:, t], "h_prev": before[:, t], "c_prev": c}
        new = run_step(cell, weights, states, library)
        c = new.get("c", c)
        for name, values in new.items():
            traced.setdefault(name, np.empty_like(h))[:, t] = values
    _check_rebuilt(layer, traced["h"], h)
    return traced | {"h": h}


def _check_rebuilt(layer, rebuilt, h):
    """ValueError unless the gates give the layer's own output."""
    if far_apart(rebuilt, h, layer.cell.compute_dtype):
        raise ValueError(
            f"the layer {layer.name!r} does something that trace does not follow: its gates do not give h"
        )
