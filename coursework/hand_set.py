"""Keras layers with hand-set weights, held against the equations."""

import functools

import numpy as np
import sympy as sp
from scipy.special import expit

from coursework.arguments import as_numbers, check_choice, short_repr
from coursework.backend import keras
from coursework.cells import equations
from coursework.formulas import symbols
from coursework.layers import input_of, twin_of

# Keras's order of the blocks in a layer's weights; "" is the candidate.
KERAS_ORDER = {"LSTM": ("_i", "_f", "", "_o"), "GRU": ("_z", "_r", "")}


@functools.cache
def _compiled(cell, reset_after):
    """The equations as a NumPy function: dict of x, h_prev, c_prev and weights -> (new h, new c; the GRU's c is h)."""
    step = equations(cell, reset_after=reset_after)
    formulas = [step.output, step.state]
    for pair in [(symbols("c"), step.state), (symbols("g"), step.candidate), *step.gates.items()]:
        formulas = [formula.subs(*pair) for formula in formulas]
    symbols = sorted(set().union(*(formula.free_symbols for formula in formulas)), key=str)
    numpy_names = {"dot": lambda matrix, vector: vector @ matrix.T, "sigmoid": expit}
    function = sp.lambdify(symbols, formulas, modules=[numpy_names, "numpy"], cse=True)
    return lambda values: function(*(values[symbol.name] for symbol in symbols))


def _named_weights(layer):
    """A Keras layer's weights under the names of the equations: W_i (units, features), U_i (units, units), b_i ..."""
    kernel, recurrent, bias = (np.asarray(weight, np.float64) for weight in layer.get_weights())
    named = {}
    for block, name in enumerate(KERAS_ORDER[type(layer).__name__]):
        columns = np.s_[..., block * layer.units : (block + 1) * layer.units]
        named["W" + name], named["U" + name] = kernel[columns].T, recurrent[columns].T
        if bias.ndim == 1:
            named["b" + name] = bias[columns]
        elif name:  # `reset_after`: the gates simply add their two biases
            named["b" + name] = bias[columns].sum(0)
        else:
            named["b"], named["b_U"] = bias[columns]
    return named


FOLLOWED = {"activation": "tanh", "recurrent_activation": "sigmoid", "use_bias": True, "go_backwards": False}


def run_equations(layer: keras.layers.Layer, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(h, c) over time, each (N, T, units), by the equations with the weights of a layer of `keras_layer`, in float64.

    From the zero state, for x (N, T, features); the GRU's c is its h. Notebook 1, Q1.2.
    """
    x = input_of(layer, x).astype(np.float64)
    config = layer.get_config()
    for option, followed in FOLLOWED.items():
        if config.get(option) != followed:
            raise ValueError(f"the equations have {option}={followed!r}, and this layer has {config.get(option)!r}")
    weights, step = _named_weights(layer), _compiled(type(layer).__name__, getattr(layer, "reset_after", False))
    h = c = np.zeros((len(x), layer.units))
    history = []
    for row in x.swapaxes(0, 1):
        h, c = step({"x": row, "h_prev": h, "c_prev": c, **weights})
        history.append((h, c))
    return tuple(np.stack(values, axis=1) for values in zip(*history, strict=True))


def keras_layer(
    cell: str, weights: dict, units: int = 28, features: int = 28, reset_after: bool = False, dtype: str = "float32"
) -> keras.layers.Layer:
    """A Keras layer with hand-set weights, which returns h at every step.

    Args:
        cell: "LSTM" or "GRU".
        weights: dict under the names of the equations: "W", "U", "b" of the candidate, "W_i", "U_i", "b_i" of the gate
            i, and so on; "b_U" with `reset_after`. A number fills the whole array, what is left out is 0. Shapes:
            W (units, features), also where the two are equal; U (units, units); b (units,). Row k belongs to unit k:
            Keras itself stores the transposes.
        units, features, reset_after, dtype: as in Keras.

    Returns:
        A built `keras.layers.LSTM` or `keras.layers.GRU` with `return_sequences=True`.

    Raises:
        ValueError: unknown cell or weight, a wrong shape, NaN.

    Notebook 1, Q1.1, Q1.2 and Q1.3.
    """
    check_choice("cell", cell, ("LSTM", "GRU"))
    if not isinstance(weights, dict):
        raise ValueError(f"weights is of type {type(weights).__name__}; a dict from name to array is needed")
    options = {"recurrent_initializer": "zeros"}  # an orthogonal matrix takes seconds for a wide layer
    options |= {"reset_after": reset_after} if cell == "GRU" else {}
    layer = getattr(keras.layers, cell)(units, return_sequences=True, dtype=dtype, **options)
    layer.build((None, None, features))
    shapes = {"W": (units, features), "U": (units, units), "b": (units,)}
    order = KERAS_ORDER[cell]
    names = [kind + name for kind in shapes for name in order] + ["b_U"] * (cell == "GRU" and reset_after)
    unknown = [name for name in weights if name not in names]
    if unknown:
        raise ValueError(f"unknown weight {short_repr(unknown[0])}: a {cell} has {', '.join(names)}")

    def block(name):
        value = weights.get(name, 0.0)
        value = as_numbers(name, value, () if np.ndim(value) == 0 else shapes[name[0]])
        return np.broadcast_to(value.astype(np.float64), shapes[name[0]])

    kernel, recurrent, bias = (np.concatenate([block(kind + name).T for name in order], axis=-1) for kind in shapes)
    if cell == "GRU" and reset_after:
        second = np.zeros_like(bias)
        second[-units:] = block("b_U")
        bias = np.stack([bias, second])
    layer.set_weights([kernel, recurrent, bias])
    return layer


def final_state(layer: keras.layers.Layer, x: np.ndarray, old_state: np.ndarray | None = None) -> np.ndarray:
    """What a built LSTM or GRU remembers after the last step of x (N, T, features): its c or its h, (N, units).

    `old_state` (N, units) is the state before the first step, None is 0; an LSTM starts with h = 0 beside it.
    Notebook 1, Q1.3.
    """
    x, twin = input_of(layer, x), twin_of(layer, return_sequences=False, return_state=True)
    if old_state is not None:
        old_state = as_numbers("old_state", old_state, (len(x), layer.cell.units)).astype(layer.dtype)
        is_lstm = isinstance(layer.cell, keras.layers.LSTMCell)
        old_state = [np.zeros_like(old_state), old_state] if is_lstm else [old_state]
    return np.asarray(twin(x.astype(layer.dtype), initial_state=old_state)[-1])


def measure_gate_error(
    cell: str, behaviour: str, signs: dict, biases: np.ndarray, blank: bool = False, seed: int = 0
) -> np.ndarray:
    """How far a Keras layer in float32 is from storing or keeping exactly when its gates have finite biases.

    One unit per bias B, 64 random inputs in [-1, 1], random old states in [-1, 1], U = 0. A gate's bias is B where its
    activation should be 1 and -B where it should be 0. Store: one step; keep: 28 steps.

    Args:
        cell: "LSTM" or "GRU".
        behaviour: "store_input" (distance from the state of the same layer with B = 1000) or "keep_state" (distance
            from the state before the first step).
        signs: dict from the name of a gate's bias ("b_i", "b_z", ...) to 1 or -1; what is left out is 0.
        biases: (K,). The largest error over the inputs is found for each: (K,).
        blank: take inputs of 0 in place of random ones.
        seed: of weights, inputs and states.

    Notebook 1, Q1.2.
    """
    check_choice("behaviour", behaviour, ("store_input", "keep_state"))
    biases, rng = as_numbers("biases", biases, ("K",)).astype(np.float64), np.random.default_rng(seed)
    units, features, store = len(biases), 8, behaviour == "store_input"
    W = np.tile(rng.normal(size=features), (units, 1))
    x = rng.uniform(-1, 1, (64, 1 if store else 28, features)) * (not blank)
    old = np.repeat(rng.uniform(-1, 1, (64, 1)), units, axis=1).astype(np.float32)

    def state(B):
        gates = {name: sign * B for name, sign in signs.items()}
        return final_state(keras_layer(cell, {"W": W, **gates}, units, features), x, old)

    target = state(np.full(units, 1000.0)) if store else old
    return np.abs(state(biases).astype(np.float64) - target).max(axis=0)


def wide_lstm(gru: keras.layers.Layer, units: int, seed: int = 0) -> tuple[keras.layers.Layer, np.ndarray]:
    """An LSTM whose read-out follows the state of a GRU of one unit, for inputs between -3 and 3.

    With gates at their ends (biases of 40) its output is h = tanh(tanh(W x + U h + b)): a layer of features. Those are
    random, W x + B s + b with the state s = V h, so U = B V; V alone is fitted, to 3,000 random steps of the GRU.

    Returns:
        (LSTM of so many units in float64, V of shape (units,)).

    Notebook 1, Q1.3.
    """
    rng = np.random.default_rng(seed)
    s, x = rng.uniform(-1, 1, (3000, 1)), rng.uniform(-3, 3, (3000, 1))
    W, B, b = rng.normal(0, [[1], [2], [2]], (units, 3, 1)).transpose(1, 0, 2)
    features = np.tanh(np.tanh(x @ W.T + s @ B.T + b.T))
    V = np.linalg.lstsq(features, final_state(gru, x[:, None], s)[:, 0], rcond=1e-10)[0]
    weights = {"W": W, "U": B * V, "b": b[:, 0], "b_f": -40, "b_i": 40, "b_o": 40}
    return keras_layer("LSTM", weights, units, features=1, dtype="float64"), V


def deviation_from_keras(cell: str, reset_after: bool = False, seed: int = 0, dtype: str = "float32") -> float:
    """Largest |h by the equations - h by Keras| over 16 random sequences, with random weights and biases.

    The layer, as of `keras_layer`, has 8 units and 28 features. `run_equations` works in float64, so with a layer in
    float64 it is rounding alone. Notebook 1.
    """
    rng = np.random.default_rng(seed)
    layer = keras_layer(cell, {}, units=8, reset_after=reset_after, dtype=dtype)
    layer.set_weights([rng.normal(0, 0.4, weight.shape) for weight in layer.get_weights()])
    x = rng.normal(size=(16, 28, 28)).astype(dtype)
    return float(np.abs(run_equations(layer, x)[0] - np.asarray(layer(x))).max())
