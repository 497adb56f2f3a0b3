"""The gates of a recurrent layer at every step, and what the classification layers say there."""

import numpy as np
from scipy.special import softmax

from coursework.arguments import short_repr
from coursework.backend import keras, tf


def trace(model_or_layer, x, layer=None, initial_state=None):
    """Gates and states of one LSTM or GRU layer at every time step, computed from its weights.

    Keras computes the gates inside the layer and keeps them to itself. Here they are computed again with the layer's
    own weights and activations, so `h` equals the layer's own output (to 1e-5 in float32).

    Args:
        model_or_layer: a built LSTM or GRU layer (or an RNN around an LSTMCell or GRUCell), or a Sequential or
            functional model with one input.
        x: the layer's input (N, T, features), or the *model's* input if a model is given; the layers before the
            recurrent one are then applied first.
        layer: which recurrent layer of a model with several: its name, or its number among them, from 0.
        initial_state: for a layer alone: an array (N, units) for each state, h for the GRU, h and c for the LSTM;
            default zeros.

    Returns:
        dict of arrays (N, T, units). LSTM: i, f, g, o, c, h (g: candidate); GRU: z, r, g, h. Steps come in the order
        in which the layer takes them: with `go_backwards`, step 0 reads the last row of x, as in the layer's output.
        Where the model masks a step, the states stay as they are and the gates are NaN. Dropout is off, as in
        prediction. All six arrays of an LSTM take N * T * units * 24 bytes in float32: 860 MB for 10,000 images and
        128 units, so pass slices of x for more.

    Raises:
        ValueError: no recurrent layer, several and none chosen, an unsupported one, or x that does not fit.
    """
    recurrent, prefix, shape = _traced_layer(model_or_layer, layer)
    x = _checked_input(x, shape)
    if initial_state is not None and prefix is not None:
        raise ValueError("initial_state is for a layer alone; a model makes its own")
    cell = recurrent.cell
    names, step, n_states = {
        keras.layers.LSTMCell: (("i", "f", "g", "o", "c", "h"), _lstm_step, 2),
        keras.layers.GRUCell: (("z", "r", "g", "h"), _gru_step, 1),
    }[type(cell)]
    start = _checked_state(initial_state, (len(x), cell.units), n_states)
    arrays = None
    for first in range(0, len(x), 2000):  # so that memory beyond the result stays small
        part = slice(first, first + 2000)
        inputs, states, mask = [x[part]], [state[part] for state in start], None
        if prefix is not None:
            inputs = prefix(x[part], training=False)
            inputs = inputs if isinstance(inputs, (list, tuple)) else [inputs]
            mask = next((tensor for tensor in inputs if tensor.dtype == tf.bool), None)
            inputs = [tensor for tensor in inputs if tensor.dtype != tf.bool]
            states = inputs[1:]
        inputs = keras.ops.cast(inputs[0], cell.compute_dtype)
        if not states:
            states = [np.zeros((len(inputs), cell.units), np.float32)] * n_states
        states = [keras.ops.cast(state, cell.compute_dtype) for state in states]
        steps = inputs.shape[1]
        if arrays is None:
            arrays = {name: np.empty((len(x), steps, cell.units), cell.compute_dtype) for name in names}
        order = range(steps)[::-1] if recurrent.go_backwards else range(steps)
        parameters = [None if w is None else keras.ops.cast(w, cell.compute_dtype) for w in _weights(cell)]
        for t, row in enumerate(order):
            values = step(cell, parameters, inputs[:, row], *states)
            if mask is not None:
                seen = mask[:, row, None]
                old = [np.nan] * (len(names) - n_states) + states[::-1]
                values = [tf.where(seen, value, before) for value, before in zip(values, old, strict=True)]
            for name, value in zip(names, values, strict=True):
                arrays[name][part, t] = value
            states = values[: -n_states - 1 : -1]  # h first, as in Keras
        if mask is not None:
            _check_masked(model_or_layer, recurrent, x[part][:20], arrays["h"][part][:20])
    return arrays


def _check_masked(model, recurrent, x, h):
    """A ValueError where Keras loses a mask on its way, or masks the output too: `trace` follows neither."""
    own = keras.Model(model.inputs, recurrent.output)(x, training=False)
    own = np.asarray(own[0] if isinstance(own, (list, tuple)) else own, np.float32)
    half = recurrent.cell.compute_dtype in ("float16", "bfloat16")
    if np.abs(own - (h if recurrent.return_sequences else h[:, -1])).max() > (0.02 if half else 1e-4):
        raise ValueError("the model does not treat masked steps as trace does; trace the layer alone, without a mask")


def layer_outputs(layer, x):
    """What a Keras LSTM or GRU layer itself puts out at every step, (N, T, units), for x (N, T, features)."""
    # A twin with the same weights, which returns every step.
    copy = type(layer).from_config({**layer.get_config(), "return_sequences": True, "return_state": False})
    copy.build(x.shape)
    copy.set_weights(layer.get_weights())
    return np.concatenate([copy(x[first : first + 2000]) for first in range(0, len(x), 2000)])


def _weights(cell):
    return cell.kernel, cell.recurrent_kernel, cell.bias


def _lstm_step(cell, weights, x, h, c):
    """One step of Keras's LSTM; its kernels hold input gate, forget gate, candidate and output gate side by side."""
    kernel, recurrent_kernel, bias = weights
    total = x @ kernel + h @ recurrent_kernel + (0 if bias is None else bias)
    i, f, g, o = keras.ops.split(total, 4, axis=-1)
    i, f, o = map(cell.recurrent_activation, (i, f, o))
    g = cell.activation(g)
    c = f * c + i * g
    h = o * cell.activation(c)
    return [i, f, g, o, c, h]


def _gru_step(cell, weights, x, h):
    """One step of Keras's GRU; its kernels hold update gate, reset gate and candidate side by side."""
    kernel, recurrent_kernel, bias = weights
    input_bias, recurrent_bias = (0, 0) if bias is None else (bias if cell.reset_after else (bias, 0))
    kernels = keras.ops.split(recurrent_kernel, 3, axis=-1)
    x_z, x_r, x_g = keras.ops.split(x @ kernel + input_bias, 3, axis=-1)
    if cell.reset_after:
        h_z, h_r, h_g = keras.ops.split(h @ recurrent_kernel + recurrent_bias, 3, axis=-1)
    else:
        h_z, h_r = h @ kernels[0], h @ kernels[1]
    z = cell.recurrent_activation(x_z + h_z)
    r = cell.recurrent_activation(x_r + h_r)
    g = cell.activation(x_g + (r * h_g if cell.reset_after else (r * h) @ kernels[2]))
    h = z * h + (1 - z) * g
    return [z, r, g, h]


def _traced_layer(model_or_layer, choice):
    """(recurrent layer, model of what comes before it or None for a layer alone, shape that x must have)."""
    if isinstance(model_or_layer, keras.Model):
        return _layer_of_model(model_or_layer, choice)
    if choice is not None:
        raise ValueError("layer= chooses a layer of a model; here a single layer is given")
    recurrent = _supported(model_or_layer)
    return recurrent, None, (None, None, recurrent.cell.kernel.shape[0])


def _layer_of_model(model, choice):
    layers = [layer for layer in model.layers if isinstance(layer, (keras.layers.RNN, keras.layers.Bidirectional))]
    names = ", ".join(f"{number}: {layer.name!r}" for number, layer in enumerate(layers))
    if not layers:
        inner = [layer.name for layer in model.layers if isinstance(layer, keras.Model)]
        advice = f"; trace the model inside it: {', '.join(map(repr, inner))}" if inner else ""
        raise ValueError(f"the model {model.name!r} has no recurrent layer of its own{advice}")
    if choice is None:
        if len(layers) > 1:
            raise ValueError(f"the model has {len(layers)} recurrent layers; choose one with layer= ({names})")
        choice = 0
    known = isinstance(choice, (str, int, np.integer)) and not isinstance(choice, bool)
    chosen = [layer for number, layer in enumerate(layers) if known and choice in (layer.name, number)]
    if len(chosen) != 1:
        raise ValueError(f"no recurrent layer {short_repr(choice)}; choose one of {names}")
    recurrent = _supported(chosen[0])
    before = layers[: layers.index(recurrent)]
    if any(getattr(layer, "stateful", False) for layer in before):
        raise ValueError("a layer before the traced one is stateful: its state would change; trace a copy without it")
    try:
        inputs, tensors = model.inputs, recurrent.input
        if len(inputs) == 1:
            prefix = keras.Model(inputs[0], tensors)
    except (AttributeError, ValueError) as error:
        raise ValueError("the model must be built, and Sequential or functional; else trace the layer alone") from error
    if len(inputs) != 1:
        raise ValueError(f"the model has {len(inputs)} inputs; trace the layer alone, with its own input")
    if not isinstance(model, keras.Sequential):
        calls = {entry["name"]: entry.get("inbound_nodes", []) for entry in model.get_config()["layers"]}
        if len(calls[recurrent.name]) > 1:
            raise ValueError(f"the model uses {recurrent.name!r} more than once; trace the layer alone")
    return recurrent, prefix, tuple(inputs[0].shape)


def _supported(layer):
    """The layer, if `trace` can follow it, or a ValueError."""
    if isinstance(layer, keras.layers.Bidirectional):
        raise ValueError("Bidirectional is two layers: trace its forward_layer and backward_layer one by one")
    cell = getattr(layer, "cell", None)
    if not isinstance(layer, keras.layers.RNN) or type(cell) not in (keras.layers.LSTMCell, keras.layers.GRUCell):
        kind = type(layer).__name__ if cell is None else f"{type(layer).__name__} with {type(cell).__name__}"
        raise ValueError(f"expected an LSTM or GRU layer or a model with one, got {kind}")
    if not cell.built:
        raise ValueError(f"the layer {layer.name!r} has no weights yet; call it once, or build it")
    if layer.stateful:
        raise ValueError("stateful=True is not supported: give a layer without it the same weights, and initial_state")
    return layer


def _checked_input(x, shape):
    """x as an array of finite numbers that fits `shape`, whose first number and unknown lengths are None."""
    wanted = "(" + ", ".join(["N", *("T" if size is None else str(size) for size in shape[1:])]) + ")"
    try:
        x = np.asarray(x)
    except Exception as error:  # ragged lists, or whatever an object's own conversion raises
        raise ValueError(f"x must be an array of shape {wanted}") from error
    if x.dtype.kind not in "biuf":
        raise ValueError(f"x must be an array of numbers of shape {wanted}, not of {x.dtype}")
    fits = x.ndim == len(shape) and all(b in (None, a) for a, b in zip(x.shape[1:], shape[1:], strict=True))
    if not fits or x.size == 0:
        hint = "; a single sequence is x[None]" if x.ndim == len(shape) - 1 else ""
        raise ValueError(f"x has shape {x.shape}, expected {wanted} with at least one sequence and one step{hint}")
    if not _fits_float32(x):
        raise ValueError("x holds NaN, or values that are infinite in float32")
    return x


def _fits_float32(x):
    """Are all numbers finite in float32, which the layers compute with?"""
    return bool((np.abs(x) <= np.finfo(np.float32).max).all()) if x.dtype.kind == "f" else True


def _checked_state(initial_state, shape, n_states):
    """The states a layer starts from as a list of arrays; empty for zeros."""
    if initial_state is None:
        return []
    given = initial_state if isinstance(initial_state, (list, tuple)) else [initial_state]
    names = "h" if n_states == 1 else "[h, c]"
    wanted = f"initial_state must be {names}, each of shape {shape}"
    try:
        arrays = [np.asarray(state) for state in given]
    except Exception as error:
        raise ValueError(wanted) from error
    if len(arrays) != n_states or any(state.shape != shape for state in arrays):
        found = ", ".join(str(state.shape) for state in arrays[:3])
        raise ValueError(f"{wanted}; got {found or short_repr(given)}")
    if not all(state.dtype.kind in "biuf" and _fits_float32(state) for state in arrays):
        raise ValueError(f"{wanted}, of numbers that are finite in float32")
    return arrays


def read_out(model, h):
    """What the classification layers say to the recurrent output at every step, as if it were the last one.

    Args:
        model: a Sequential classifier; all layers after its last recurrent one are applied to each step alone.
        h: outputs of that recurrent layer over time, (N, T, units), as from `trace`.

    Returns:
        Logits (N, T, classes).

    Raises:
        ValueError: a model without a recurrent layer, or h of another shape.
    """
    places = [place for place, layer in enumerate(model.layers) if isinstance(layer, keras.layers.RNN)]
    if not places:
        raise ValueError(f"the model {model.name!r} has no recurrent layer to read out")
    h = np.asarray(h)
    units = model.layers[places[-1]].cell.units
    if h.ndim != 3 or h.shape[-1] != units:
        raise ValueError(f"h has shape {h.shape}, expected (N, T, {units}): the outputs of the last recurrent layer")
    n, steps, _ = h.shape
    values = h.reshape(n * steps, units)
    parts = []
    for first in range(0, len(values), 50_000):
        part = keras.ops.convert_to_tensor(values[first : first + 50_000])
        for layer in model.layers[places[-1] + 1 :]:
            part = layer(part, training=False)
        parts.append(keras.ops.convert_to_numpy(part))
    return np.concatenate(parts).reshape(n, steps, -1)


def class_probabilities(logits):
    """Softmax of logits over their last axis; same shape, sums of 1."""
    return softmax(logits, axis=-1)


def predictions_of(model, x):
    """The class each image is given; after the last row, if the network answers after every row.

    Args:
        model: a Keras classifier that gives logits (N, classes), or (N, T, classes) with `every_step`.
        x: (N, T, 28).

    Returns:
        int array (N,).
    """
    # Called part by part: `predict` would warn of a new graph for each of several models.
    parts = [np.asarray(model(x[first : first + 5000], training=False)) for first in range(0, len(x), 5000)]
    logits = np.concatenate(parts)
    return logits.reshape(len(x), -1, logits.shape[-1])[:, -1].argmax(-1)
