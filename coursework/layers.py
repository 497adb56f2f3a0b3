"""A layer of a model: which one, what comes into it, what it puts out, computed for some images at a time."""

from collections.abc import Callable

import numpy as np

from coursework.arguments import as_numbers, short_repr
from coursework.backend import keras
from coursework.keras_cells import features_of, is_followed


def layer_outputs(layer: keras.layers.RNN, x: np.ndarray) -> np.ndarray:
    """What a Keras LSTM or GRU layer itself puts out at every step: (N, T, units) for x (N, T, features).

    Notebook 3, Q3.2 and Q3.3.
    """
    x, twin = input_of(layer, x), every_step(layer)
    h = in_parts(lambda part: twin(keras.ops.cast(part, layer.compute_dtype)), x, 2000)
    return h if h.dtype == np.float64 else h.astype(np.float32)


def every_step(layer):
    """A layer with the same weights that puts out h at every step, and nothing else."""
    return twin_of(layer, return_sequences=True, return_state=False)


def twin_of(layer: keras.layers.RNN, **changes: object) -> keras.layers.RNN:
    """A layer with the same weights and other settings."""
    twin = type(layer).from_config(layer.get_config() | changes)
    twin.build((None, None, features_of(layer)))
    twin.set_weights(layer.get_weights())
    return twin


def input_of(layer: keras.layers.RNN, x: np.ndarray) -> np.ndarray:
    """x (N, T, features) as an array, if it fits a layer that can be followed: a single image would by broadcasting."""
    return as_numbers("x", x, ("N", "T", features_of(supported(layer))))


def supported(layer):
    """The layer, if it is one that `trace` can follow, or a ValueError."""
    if isinstance(layer, keras.layers.Bidirectional):
        raise ValueError("Bidirectional is two layers: without a mask, trace its forward_layer and backward_layer")
    cell = getattr(layer, "cell", None)
    if not isinstance(layer, keras.layers.RNN) or not is_followed(cell):
        kind = type(layer).__name__ if cell is None else f"{type(layer).__name__} with {type(cell).__name__}"
        raise ValueError(f"expected an LSTM or GRU layer or a model with one, got {kind}")
    if not cell.built:
        raise ValueError(f"the layer {layer.name!r} has no weights yet; call it once, or build it")
    if layer.stateful:
        raise ValueError(f"the layer {layer.name!r} is stateful, which is not supported: its start is not zero")
    return layer


def layer_and_its_input(model, x, choice):
    """The chosen recurrent layer of a copy of the model, and what the layers before it make of x."""
    model = copy_of(model)
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
    supported(recurrent)
    x = as_numbers("x", x, input_shape(model))
    before = keras.Model(model.inputs[0], inputs)
    return recurrent, in_parts(lambda part: before(part, training=False), x, 5000)


def copy_of(model):
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


def input_shape(model):
    """The shape of a model's input, with a letter for each length that is free."""
    _, *others = model.inputs[0].shape
    return "N", *("T" if size is None else size for size in others)


def recurrent_layer(model: keras.Model) -> keras.layers.RNN:
    """The recurrent layer of a Sequential classifier that begins with it and has no other, or a ValueError."""
    layers = model.layers if isinstance(model, keras.Sequential) else []
    if [isinstance(layer, keras.layers.RNN) for layer in layers] != [True] + [False] * (len(layers) - 1):
        raise ValueError("expected a Sequential classifier whose first layer, and no other, is recurrent")
    if layers[0].go_backwards:
        raise ValueError("the first layer has go_backwards: its steps are not the rows in order")
    return layers[0]


def parts(count, size):
    """Slices of at most `size` that cover `count` rows."""
    return [slice(first, first + size) for first in range(0, count, size)]


def in_parts(function: Callable, x, size):
    """function(x) as an array, computed for `size` rows of x at a time, so that memory stays small."""
    outputs = [function(x[some]) for some in parts(len(x), size)]
    if isinstance(outputs[0], (list, tuple, dict)):
        raise ValueError(f"the model has {len(outputs[0])} outputs; give one that has one: keras.Model(inputs, output)")
    values = np.concatenate([np.asarray(output) for output in outputs])
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        raise ValueError("the network gives NaN or infinite values: it has NaN weights, or its training has diverged")
    return values
