"""A layer of a model: which one, what comes into it, what it puts out.

The user's own layers compute everything here. A copy from a layer's configuration can lack what is no weight: the
mean that a Normalization has seen, an attribute that `get_config` forgets. So no layer is copied; for a moment, one is
told to put out every step, or a stand-in takes its place.
"""

import contextlib
from collections.abc import Callable, Iterator

import numpy as np

from coursework.arguments import as_numbers, short_repr
from coursework.backend import keras, tf
from coursework.keras_cells import features_of, is_followed

ABSENT = object()


@contextlib.contextmanager
def set_to(layer: keras.Layer, **values: object) -> Iterator[keras.Layer]:
    """The layer with other values of its attributes, inside the block."""
    before = {name: vars(layer).get(name, ABSENT) for name in values}
    try:
        for name, value in values.items():
            setattr(layer, name, value)
        yield layer
    finally:
        for name, value in before.items():
            if value is ABSENT:
                delattr(layer, name)
            else:
                setattr(layer, name, value)


def every_step(layer: keras.layers.RNN) -> contextlib.AbstractContextManager:
    """The layer puts out h at every step, and nothing else, inside the block."""
    return set_to(layer, return_sequences=True, return_state=False)


def layer_outputs(layer: keras.layers.RNN, x: np.ndarray) -> np.ndarray:
    """What a Keras LSTM or GRU layer itself puts out at every step: (N, T, units) for x (N, T, features).

    Notebook 3, Q3.2 and Q3.3.
    """
    if isinstance(layer, keras.Model):
        raise ValueError(
            "layer_outputs takes a layer, and this is a model: model.layers[0] is its first layer"
        )
    x = input_of(layer, x)

    def own(part):
        return layer(keras.ops.cast(part, layer.compute_dtype))

    with every_step(layer):
        h = in_parts(own, x, 2000)
    few = slice(0, 4)
    usual = in_parts(lambda part: first_of(own(part)), x[few], 4)
    if h.ndim != 3 or far_apart(
        usual, h[few] if layer.return_sequences else h[few, -1], layer.compute_dtype
    ):
        raise ValueError(
            f"the layer {layer.name!r} puts out something else when it is asked for every step"
        )
    return h


def first_of(output):
    """The output of a layer, without the states that come with `return_state`."""
    return output[0] if isinstance(output, (list, tuple)) else output


def input_of(layer: keras.layers.RNN, x: np.ndarray) -> np.ndarray:
    """x (N, T, features) as an array, if it fits a layer that can be followed: a single image would by broadcasting."""
    return as_numbers("x", x, ("N", "T", features_of(supported(layer))))


def supported(layer):
    """The layer, if it is one that `trace` can follow, or a ValueError."""
    if isinstance(layer, keras.layers.Bidirectional):
        raise ValueError(
            "Bidirectional is two layers: without a mask, trace its forward_layer and backward_layer"
        )
    cell = getattr(layer, "cell", None)
    if not isinstance(layer, keras.layers.RNN) or not is_followed(cell):
        kind = (
            type(layer).__name__
            if cell is None
            else f"{type(layer).__name__} with {type(cell).__name__}"
        )
        raise ValueError(f"expected an LSTM or GRU layer or a model with one, got {kind}")
    if cell is None or not cell.built:
        raise ValueError(f"the layer {layer.name!r} has no weights yet; call it once, or build it")
    if layer.stateful:
        raise ValueError(
            f"the layer {layer.name!r} is stateful, which is not supported: its start is not zero"
        )
    return layer


def layer_and_its_input(model, x, choice):
    """The chosen recurrent layer of a model, and what comes into it when the model reads x."""
    x = input_for(model, x)
    check_plain(model)
    layer, calls = _chosen(model, choice), []
    call = layer.call

    def watched(sequences, *states, **options):
        calls.append((sequences, states, options))
        return call(sequences, *states, **options)

    def come_in(part):
        calls.clear()
        with set_to(layer, call=watched):
            ask(model, part)
        return _only_input(layer, calls)

    found = in_parts(come_in, x, 2000)
    check_steady(come_in, x, found, model)
    return supported(layer), found


def _only_input(layer, calls):
    """The sequences that came into a layer, if it was called once, with nothing else."""
    if len(calls) != 1:
        raise ValueError(f"the model uses {layer.name!r} more than once; trace the layer alone")
    ((sequences, states, options),) = calls
    given = None
    if states or isinstance(sequences, (list, tuple)) or options.get("initial_state") is not None:
        given = "an initial state"
    elif options.get("mask") is not None:
        given = "a mask (cut the padded steps off)"
    if given:
        raise ValueError(f"the layer {layer.name!r} is given {given}, which trace does not follow")
    return sequences


def _chosen(model, choice):
    """The recurrent layer of a model that is meant: the only one, or that of a name or a number."""
    layers = [
        layer
        for layer in model.layers
        if isinstance(layer, (keras.layers.RNN, keras.layers.Bidirectional))
    ]
    if not layers:
        raise ValueError(f"the model {model.name!r} has no recurrent layer of its own")
    chosen = [layer for number, layer in enumerate(layers) if choice in (None, number, layer.name)]
    if len(chosen) == 1:
        return chosen[0]
    names = ", ".join(f"{number}: {layer.name!r}" for number, layer in enumerate(layers))
    if chosen:
        raise ValueError(
            f"the model has {len(layers)} recurrent layers; choose one with layer= ({names})"
        )
    raise ValueError(f"no recurrent layer {short_repr(choice)}; choose one of {names}")


def input_for(model, x):
    """x as an array, if it fits the model's one input and its scale."""
    x = as_numbers("x", x, input_shape(model))
    check_scale(model, x)
    return x


def check_scale(model, x):
    """ValueError for pixels up to 255 where the images are the sheet's and no layer scales them."""
    first = next(layer for layer in model.layers if not isinstance(layer, keras.layers.InputLayer))
    unscaled = isinstance(first, (keras.layers.RNN, keras.layers.Flatten, keras.layers.Reshape))
    if input_shape(model)[1:] != (28, 28) or not unscaled:
        return
    largest = x.max()
    if largest > 2 and x.min() >= 0:  # a little above 1 is a scale of one's own
        raise ValueError(
            f"x holds pixels up to {largest:g}, and no layer scales them: give pixels from 0 to 1"
        )


def input_shape(model):
    """The shape of a model's one input, with a letter for each length that is free; ValueError for other models."""
    try:
        inputs = model.inputs
    except AttributeError as error:
        raise ValueError(
            f"the model {model.name!r} must be built, and Sequential or functional"
        ) from error
    if len(inputs) != 1:
        raise ValueError(
            f"the model has {len(inputs)} inputs; trace the layer alone, with its own input"
        )
    if any(getattr(layer, "stateful", False) for layer in parts_of(model)):
        raise ValueError(
            "the model holds a stateful layer, which is not supported: its start is not zero"
        )
    _, *others = inputs[0].shape
    return "N", *(f"T{place or ''}" if size is None else size for place, size in enumerate(others))


def check_plain(model):
    """ValueError if a call is a `tf.function`: it would keep what `set_to` has put into a layer for a moment."""
    if any(
        isinstance(part.call, tf.types.experimental.GenericFunction) for part in parts_of(model)
    ):
        raise ValueError(
            f"the model {model.name!r} calls a layer by a tf.function: make it without, and try again"
        )


def parts_of(layer):
    """A layer or model and all layers inside of it, at whatever depth."""
    return layer._flatten_layers()


def recurrent_layer(model: keras.Model) -> keras.layers.RNN:
    """The recurrent layer of a Sequential classifier that begins with it and has no other, or a ValueError."""
    layers = model.layers if isinstance(model, keras.Sequential) else []
    recurrent = [
        any(isinstance(part, keras.layers.RNN) for part in parts_of(layer)) for layer in layers
    ]
    if recurrent != [True] + [False] * (len(layers) - 1) or not isinstance(
        layers[0], keras.layers.RNN
    ):
        raise ValueError(
            "expected a Sequential classifier whose first layer, and no other, is recurrent"
        )
    if layers[0].go_backwards:
        raise ValueError("the first layer has go_backwards: its steps are not the rows in order")
    return layers[0]


def rest_of(model: keras.Model, layer: keras.layers.RNN, steps: int) -> Callable:
    """What the model makes of a layer's output: a function of that output, which calls the model with it in place.

    All else that the model reads is one input of so many steps, and the layer's states: of one value everywhere.
    """
    check_plain(model)
    _, *sizes = input_shape(model)
    sizes = [steps if isinstance(size, str) else size for size in sizes]

    def rest(output, elsewhere=0):
        calls, output = [], keras.ops.cast(output, layer.compute_dtype)
        states = [keras.ops.full_like(output[:1], elsewhere)] * len(layer.state_size)

        def stand_in(*args, **kwargs):
            calls.append(args)
            return [output, *states] if layer.return_state else output

        with set_to(layer, call=stand_in):
            answer = ask(model, np.full((1, *sizes), elsewhere, model.inputs[0].dtype))
        if len(calls) != 1:
            raise ValueError(
                f"the model must use {layer.name!r} once, and uses it {len(calls)} times"
            )
        return answer

    return rest


def ask(model, x):
    """What the model itself answers to x, as in prediction; a ValueError of one line if it can't."""
    try:
        return model(x, training=False)
    except Exception as error:
        reason = " ".join(str(error).split())[:200]
        raise ValueError(f"the model {model.name!r} can't read this input: {reason}") from error


def check_steady(answer, x, found, model):
    """ValueError if a model answers otherwise when the first image is asked about again, alone."""
    again = in_parts(answer, x[:1], 1)
    if far_apart(again, found[:1], model.compute_dtype):
        why = "it is random, remembers what it read before, or mixes the images of a batch"
        raise ValueError(
            f"the model {model.name!r} answers otherwise when it is asked again for one image: {why}"
        )


def far_apart(a, b, dtype):
    """Do two arrays differ by more than the rounding of what computed them?"""
    if a.shape != b.shape:
        return True
    size = max(1, np.abs(b).max())
    return not np.abs(a - b).max() <= tolerance(dtype) * size


# How far two ways to compute h may come apart: some dozen times the step between two numbers near 1.
TOLERANCES = {"float64": 1e-10, "float32": 1e-5, "float16": 0.02, "bfloat16": 0.16}


def tolerance(dtype: str) -> float:
    """How far apart values up to 1 may be that were computed in this dtype in two ways, on this machine.

    As measured: a device may multiply float32 in fewer bits, as GPUs do with TF32 and some CPUs with bfloat16.
    """
    if dtype != "float32":
        return TOLERANCES.get(dtype, TOLERANCES["bfloat16"])
    step = _step_of_products()
    return TOLERANCES["float32"] if step < 1e-6 else 20 * step


def _step_of_products():
    """The largest relative error of a product in float32 on this machine."""
    chance = np.random.default_rng(0)
    a = chance.uniform(1, 2, (1, 64, 64)).astype(np.float32)
    b = chance.uniform(1, 2, 64).astype(np.float32)
    diagonal = np.diag(b)  # so that each entry of the matrix product is one product
    exact = a.astype(np.float64) * b
    found = [tf.matmul(a, diagonal), tf.matmul(a[0], diagonal)]  # a device may do them in two ways
    return max(np.abs(np.asarray(product) / exact - 1).max() for product in found)


def parts(count, size):
    """Slices of at most `size` that cover `count` rows."""
    return [slice(first, first + size) for first in range(0, count, size)]


def _only(output):
    """A model's one output, alone or in a list or a dict; ValueError if there are more."""
    if isinstance(output, dict):
        output = list(output.values())
    if not isinstance(output, (list, tuple)):
        return output
    if len(output) != 1:
        raise ValueError(
            f"the model has {len(output)} outputs; give one that has one: keras.Model(inputs, output)"
        )
    return output[0]


def in_parts(function: Callable, x, size):
    """function(x) as an array, computed for `size` rows of x at a time, so that memory stays small; half as float32."""
    outputs = [_only(function(x[some])) for some in parts(len(x), size)]
    values = np.concatenate([np.asarray(output) for output in outputs])
    if values.dtype.name in ("float16", "bfloat16"):
        values = values.astype(np.float32)
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        raise ValueError(
            "the network gives NaN or infinite values: it has NaN weights, or its training has diverged"
        )
    return values
