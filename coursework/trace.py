"""The gates of a recurrent layer at every step."""

import numpy as np

from coursework.backend import keras
from coursework.layers import layer_and_its_input, layer_outputs, parts, supported


def trace(model_or_layer: keras.Layer, x: np.ndarray, layer: str | int | None = None) -> dict[str, np.ndarray]:
    """Gates and states of one LSTM or GRU layer at every time step, computed from its weights.

    Keras keeps the gates to itself. But each gate is a function of the row x_t and of the output before it, h_(t-1),
    and h is what the layer puts out: with h known, one product with the weights gives all gates of all steps.

    Args:
        model_or_layer: a built LSTM or GRU layer (or an RNN around an LSTMCell or GRUCell), or a Sequential or
            functional model with one input.
        x: the layer's input (N, T, features), or the *model's* input if a model is given; the layers before the
            recurrent one are then applied first.
        layer: which recurrent layer of a model with several: its name, or its number among them, from 0.

    Returns:
        dict of arrays (N, T, units). LSTM: i, f, g, o, c, h (g: candidate); GRU: z, r, g, h. `h` is the layer's own
        output, step by step in the order in which it takes them: with `go_backwards`, step 0 reads the last row of x.
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
    h, traced = layer_outputs(recurrent, x), {}
    for some in parts(len(h), 2000):
        for name, values in _gates(recurrent, x[some], h[some]).items():
            traced.setdefault(name, np.empty_like(h))[some] = values
    return traced


def _gates(layer, x, h):
    """All gates of all steps, for the inputs x (N, T, features) and outputs h (N, T, units) of a layer."""
    cell, dtype = layer.cell, h.dtype
    x = np.asarray(x, dtype)[:, ::-1] if layer.go_backwards else np.asarray(x, dtype)
    before = np.pad(h, ((0, 0), (1, 0), (0, 0)))[:, :-1]  # h_(t-1), zero before the first step
    kernel, recurrent_kernel = (keras.ops.cast(weights, dtype) for weights in (cell.kernel, cell.recurrent_kernel))
    bias = 0 if cell.bias is None else keras.ops.cast(cell.bias, dtype)
    if isinstance(cell, keras.layers.LSTMCell):
        i, f, g, o = keras.ops.split(x @ kernel + before @ recurrent_kernel + bias, 4, axis=-1)
        i, f, o = (np.asarray(cell.recurrent_activation(gate)) for gate in (i, f, o))
        g, c = np.asarray(cell.activation(g)), np.zeros_like(h)
        for t in range(h.shape[1]):  # c[:, -1] is still zero at t = 0
            c[:, t] = f[:, t] * c[:, t - 1] + i[:, t] * g[:, t]
        values, rebuilt = {"i": i, "f": f, "g": g, "o": o, "c": c}, o * np.asarray(cell.activation(c))
    else:
        own, recurrent = bias if cell.reset_after and cell.bias is not None else (bias, 0)
        x_z, x_r, x_g = keras.ops.split(x @ kernel + own, 3, axis=-1)
        h_z, h_r, h_g = keras.ops.split(before @ recurrent_kernel + recurrent, 3, axis=-1)
        z, r = cell.recurrent_activation(x_z + h_z), cell.recurrent_activation(x_r + h_r)
        inner = r * h_g if cell.reset_after else (r * before) @ keras.ops.split(recurrent_kernel, 3, axis=-1)[2]
        z, r, g = map(np.asarray, (z, r, cell.activation(x_g + inner)))
        values, rebuilt = {"z": z, "r": r, "g": g}, z * before + (1 - z) * g
    allowed = 0.02 if cell.compute_dtype in ("float16", "bfloat16") else 1e-5
    if not np.abs(rebuilt - h).max() <= allowed * max(1, np.abs(h).max()):
        raise ValueError(f"the layer {layer.name!r} does something that trace does not follow: its gates do not give h")
    return values | {"h": h}
