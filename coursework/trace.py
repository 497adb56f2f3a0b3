"""The gates of a recurrent layer at every step, and what the classification layers say there."""

from collections.abc import Callable

import numpy as np

from coursework.arguments import as_labels, as_numbers, short_repr
from coursework.backend import keras, tf


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
        recurrent, x = _layer_and_its_input(model_or_layer, x, layer)
    elif layer is not None:
        raise ValueError("layer= chooses a layer of a model; here a single layer is given")
    else:
        recurrent = _supported(model_or_layer)
    h, traced = layer_outputs(recurrent, x), {}
    for some in _parts(len(h), 2000):
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


def layer_outputs(layer: keras.layers.RNN, x: np.ndarray) -> np.ndarray:
    """What a Keras LSTM or GRU layer itself puts out at every step: (N, T, units) for x (N, T, features).

    Notebook 3, Q3.2 and Q3.3.
    """
    x, twin = input_of(layer, x), _every_step(layer)
    h = _in_parts(lambda part: twin(keras.ops.cast(part, layer.compute_dtype)), x, 2000)
    return h if h.dtype == np.float64 else h.astype(np.float32)


def _every_step(layer):
    return twin_of(layer, return_sequences=True, return_state=False)


def twin_of(layer: keras.layers.RNN, **changes: object) -> keras.layers.RNN:
    """A layer with the same weights and other settings."""
    twin = type(layer).from_config(layer.get_config() | changes)
    twin.build((None, None, layer.cell.kernel.shape[0]))
    twin.set_weights(layer.get_weights())
    return twin


def input_of(layer: keras.layers.RNN, x: np.ndarray) -> np.ndarray:
    """x (N, T, features) as an array, if it fits a layer that can be followed: a single image would by broadcasting."""
    return as_numbers("x", x, ("N", "T", _supported(layer).cell.kernel.shape[0]))


def _supported(layer):
    """The layer, if it is one that `trace` can follow, or a ValueError."""
    if isinstance(layer, keras.layers.Bidirectional):
        raise ValueError("Bidirectional is two layers: without a mask, trace its forward_layer and backward_layer")
    cell = getattr(layer, "cell", None)
    if not isinstance(layer, keras.layers.RNN) or type(cell) not in (keras.layers.LSTMCell, keras.layers.GRUCell):
        kind = type(layer).__name__ if cell is None else f"{type(layer).__name__} with {type(cell).__name__}"
        raise ValueError(f"expected an LSTM or GRU layer or a model with one, got {kind}")
    if not cell.built:
        raise ValueError(f"the layer {layer.name!r} has no weights yet; call it once, or build it")
    if layer.stateful:
        raise ValueError(f"the layer {layer.name!r} is stateful, which is not supported: its start is not zero")
    return layer


def _layer_and_its_input(model, x, choice):
    """The chosen recurrent layer of a copy of the model, and what the layers before it make of x."""
    model = _copy(model)
    layers = [layer for layer in model.layers if isinstance(layer, (keras.layers.RNN, keras.layers.Bidirectional))]
    if not layers:
        raise ValueError(f"the model {model.name!r} has no recurrent layer of its own")
    chosen = [layer for number, layer in enumerate(layers) if choice in (None, number, layer.name)]
    if len(chosen) != 1:
        names = ", ".join(f"{number}: {layer.name!r}" for number, layer in enumerate(layers))
        if chosen:
            raise ValueError(f"the model has {len(layers)} recurrent layers; choose one with layer= ({names})")
        raise ValueError(f"no recurrent layer {short_repr(choice)}; choose one of {names}")
    (recurrent,) = chosen
    if len(recurrent._inbound_nodes) > 1:
        raise ValueError(f"the model uses {recurrent.name!r} more than once; trace the layer alone")
    inputs = recurrent.input
    if isinstance(inputs, (list, tuple)):
        what = "a mask (cut the padded steps off)" if inputs[-1].dtype == "bool" else "an initial state"
        raise ValueError(f"the layer {recurrent.name!r} is given {what}, which trace does not follow")
    _supported(recurrent)
    x = as_numbers("x", x, _input_shape(model))
    before = keras.Model(model.inputs[0], inputs)
    return recurrent, _in_parts(lambda part: before(part, training=False), x, 5000)


def _copy(model):
    """The model again, its layers in no other model: the `input` and `output` of each are those in this one."""
    try:
        inputs, copy = len(model.inputs), keras.models.clone_model(model)
        copy.set_weights(model.get_weights())
    except (AttributeError, TypeError, ValueError) as error:
        raise ValueError(f"the model {model.name!r} must be built, and Sequential or functional") from error
    if inputs != 1:
        raise ValueError(f"the model has {inputs} inputs; trace the layer alone, with its own input")
    if any(getattr(layer, "stateful", False) for layer in model.layers):
        raise ValueError("the model holds a stateful layer, which is not supported: its start is not zero")
    return copy


def _input_shape(model):
    """The shape of a model's input, with a letter for each length that is free."""
    _, *others = model.inputs[0].shape
    return "N", *("T" if size is None else size for size in others)


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
    copy = _copy(model)
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
    logits = _as_logits(_in_parts(lambda part: head(part, training=False), states, 50_000))
    if (logits >= 0).all() and np.allclose(logits.sum(-1), 1, atol=1e-4):
        raise ValueError("the model gives probabilities; read_out needs logits: leave the last softmax out")
    logits = logits if last.return_sequences else logits.reshape(*h.shape[:2], -1)
    if logits.shape[:2] != h.shape[:2] or logits.ndim != 3:
        raise ValueError("the layers after the recurrent one mix the steps; read_out needs an answer at each")
    return logits


def predictions_by_step(model: keras.Model, x: np.ndarray) -> np.ndarray:
    """The class read out after each row of x (N, T, 28), as if it were the last: (N, T). Notebook 3, Q3.3."""
    return read_out(model, layer_outputs(recurrent_layer(model), x)).argmax(-1)


def row_influence(model: keras.Model, x: np.ndarray, classes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Which rows of the images x (N, T, pixels) matter for what is read out about `classes` (N,) after each step?

    The model is a Sequential classifier whose first layer, and no other, is recurrent; ValueError for another one.

    Returns:
        (gradient, erasure), arrays (N, T, T) of step by row. Gradient: length of the derivative of log p(class), read
        out after the step, with respect to the pixels of the row. Erasure: by how much log p(class) falls if the row is
        blank. Both are 0 for rows that are still to come.

    Notebook 3, Q3.3.
    """
    layer, twin = recurrent_layer(model), _every_step(recurrent_layer(model))
    x = input_of(layer, x).astype(np.float32)
    chosen = np.eye(10, dtype=np.float32)[as_labels("classes", classes, len(x))]
    if read_out(model, np.zeros((1, 1, layer.cell.units))).shape[-1] != 10:
        raise ValueError("row_influence needs logits of ten classes")
    head = keras.Sequential([keras.Input((layer.cell.units,)), *_copy(model).layers[1:]])
    steps = x.shape[1]
    gradient, erasure = np.empty((2, len(x), steps, steps), np.float32)

    def log_chances(x, chosen):
        """For (images, copies) of x: log p(class) after each step."""
        h = keras.ops.reshape(twin(keras.ops.reshape(x, (-1, *x.shape[2:]))), (-1, layer.cell.units))
        values = keras.ops.reshape(keras.ops.log_softmax(head(h)), (*x.shape[:2], steps, 10))
        return keras.ops.sum(values * chosen[:, None, None], -1)

    # A copy of an image for each step, so that one pass backwards serves them all; and one for each row that is blank.
    for some in _parts(len(x), 50):
        copies = tf.repeat(x[some, None], steps, axis=1)
        with tf.GradientTape() as tape:
            tape.watch(copies)
            after = log_chances(copies, chosen[some])
            own = tf.reduce_sum(tf.linalg.diag_part(after))
        gradient[some] = tf.norm(tape.gradient(own, copies), axis=-1)
        left = log_chances(copies * (1 - np.eye(steps, dtype=np.float32))[:, :, None], chosen[some]).numpy()
        erasure[some] = after.numpy()[:, 0, :, None] - left.transpose(0, 2, 1)
    return gradient, erasure


def recurrent_layer(model: keras.Model) -> keras.layers.RNN:
    """The recurrent layer of a Sequential classifier that begins with it and has no other, or a ValueError."""
    layers = model.layers if isinstance(model, keras.Sequential) else []
    if [isinstance(layer, keras.layers.RNN) for layer in layers] != [True] + [False] * (len(layers) - 1):
        raise ValueError("expected a Sequential classifier whose first layer, and no other, is recurrent")
    if layers[0].go_backwards:
        raise ValueError("the first layer has go_backwards: its steps are not the rows in order")
    return layers[0]


def predictions_of(model: keras.Model, x: np.ndarray) -> np.ndarray:
    """The class that each image of x (N, T, 28) is given, (N,); after the last row, if the network answers after each.

    The model gives logits (N, classes), or (N, T, classes) with `every_step`; ValueError for one with several outputs,
    or with one number for each image. Notebooks 2 and 3.
    """
    x = as_numbers("x", x, _input_shape(model))
    # Called part by part: `predict` would warn of a new graph for each of several models.
    logits = _as_logits(_in_parts(lambda part: model(part, training=False), x, 5000))
    if isinstance(model.layers[-1], keras.layers.RNN):
        raise ValueError("the model ends in a recurrent layer; logits of two or more classes are needed")
    return logits.reshape(len(x), -1, logits.shape[-1])[:, -1].argmax(-1)


def _as_logits(output):
    """A model's output, if it is one array with two or more classes on its last axis."""
    if output.ndim not in (2, 3) or output.shape[-1] < 2:
        raise ValueError(f"the model gives {output.shape[1:]} for an image; logits of two or more classes are needed")
    return output


def _parts(count, size):
    return [slice(first, first + size) for first in range(0, count, size)]


def _in_parts(function: Callable, x, size):
    """function(x) as an array, computed for `size` rows of x at a time, so that memory stays small."""
    outputs = [function(x[some]) for some in _parts(len(x), size)]
    if isinstance(outputs[0], (list, tuple, dict)):
        raise ValueError(f"the model has {len(outputs[0])} outputs; give one that has one: keras.Model(inputs, output)")
    values = np.concatenate([np.asarray(output) for output in outputs])
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        raise ValueError("the network gives NaN or infinite values: it has NaN weights, or its training has diverged")
    return values
