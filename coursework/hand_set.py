"""Keras layers with hand-set weights, held against the equations."""

import numpy as np
from scipy.special import logit

from coursework.arguments import as_numbers, check_choice, short_repr
from coursework.backend import keras
from coursework.cells import equations
from coursework.formulas import Cell
from coursework.keras_cells import cell_of, named_weights, new_layer, run_step, set_named_weights
from coursework.layers import input_of, set_to


def run_equations(layer: keras.layers.Layer, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(h, c) over time, each (N, T, units), by the equations with the weights of a layer of `keras_layer`, in float64.

    From the zero state, for x (N, T, features); a cell without c has its h there. Notebook 1, Q1.2.
    """
    x = input_of(layer, x).astype(np.float64)
    _check_followed(layer)
    cell, weights = cell_of(layer), named_weights(layer)
    weights = {name: weight.astype(np.float64) for name, weight in weights.items()}
    h = c = np.zeros((len(x), layer.cell.units))
    hs, cs = [], []
    for row in x.swapaxes(0, 1):
        states = {"x": row, "h_prev": h, "c_prev": c}
        new = run_step(cell, weights, states)
        h = new["h"]
        c = new.get("c", h)
        hs.append(h)
        cs.append(c)
    return np.stack(hs, axis=1), np.stack(cs, axis=1)


FOLLOWED = {
    "activation": "tanh",
    "recurrent_activation": "sigmoid",
    "use_bias": True,
    "go_backwards": False,
}


def _check_followed(layer):
    """ValueError for settings of a Keras layer with which it computes something else than the equations."""
    config = layer.get_config()
    for option, followed in FOLLOWED.items():
        found = config.get(option, followed)  # other layers have no such option
        if found != followed:
            raise ValueError(
                f"the equations have {option}={followed!r}, and this layer has {found!r}"
            )


def keras_layer(
    cell: Cell | str,
    weights: dict,
    units: int = 28,
    features: int = 28,
    reset_after: bool = False,
    dtype: str = "float32",
) -> keras.layers.RNN:
    """A Keras layer with hand-set weights, which returns h at every step.

    Args:
        cell: a Cell, or a name in `CELLS`.
        weights: dict under the names of the equations: "W", "U", "b" of the candidate, "W_i", "U_i", "b_i" of the gate
            i, and so on; "b_U" with `reset_after`. A number fills the whole array, what is left out is 0. Shapes:
            W (units, features), also where the two are equal; U (units, units); b and p (units,). Row k belongs to
            unit k: Keras itself stores the transposes.
        units, features, dtype: as in Keras.
        reset_after: as in Keras's GRU; other cells have no such setting.

    Returns:
        A built layer with `return_sequences=True`: Keras's own where it has the cell, else an RNN around a FormulaCell.

    Raises:
        ValueError: unknown cell or weight, a wrong shape, NaN.

    Notebook 1, Q1.1, Q1.2 and Q1.3.
    """
    cell = equations(cell, reset_after=reset_after)
    if not isinstance(weights, dict):
        raise ValueError(
            f"weights is of type {type(weights).__name__}; a dict from name to array is needed"
        )
    unknown = [name for name in weights if name not in cell.weights]
    if unknown:
        raise ValueError(
            f"unknown weight {short_repr(unknown[0])}: a {cell.name} has {', '.join(cell.weights)}"
        )
    lengths = {"units": units, "features": features}
    arrays = {}
    for name, kind in cell.weights.items():
        shape = tuple(lengths[length] for length in kind)
        value = weights.get(name, 0.0)
        value = as_numbers(name, value, () if np.ndim(value) == 0 else shape)
        arrays[name] = np.broadcast_to(value.astype(np.float64), shape)
    layer = new_layer(cell, units, dtype)
    layer.build((None, None, features))
    set_named_weights(layer, arrays)
    return layer


def final_state(
    layer: keras.layers.Layer, x: np.ndarray, old_state: np.ndarray | None = None
) -> np.ndarray:
    """What a built layer remembers after the last step of x (N, T, features): its c or its h, (N, units).

    `old_state` (N, units) is the state before the first step, None is 0; a cell with c starts with h = 0 beside it.
    Notebook 1, "For the curious".
    """
    x = input_of(layer, x).astype(layer.dtype)
    has_c = cell_of(layer).memory == "c"
    start = None
    if old_state is not None:
        old = as_numbers("old_state", old_state, (len(x), layer.cell.units)).astype(layer.dtype)
        start = [np.zeros_like(old), old] if has_c else [old]
    with set_to(layer, return_sequences=False, return_state=True):
        h, *states = layer(x, initial_state=start)
    # A GRU's state is its output; as a state it has come out in another shape on GPUs (keras-team/keras#20173).
    return np.asarray(states[-1] if has_c else h)


def measure_gate_error(
    cell: Cell | str,
    behaviour: str,
    signs: dict,
    biases: np.ndarray,
    blank: bool = False,
    seed: int = 0,
) -> np.ndarray:
    """How far a Keras layer in float32 is from storing or keeping exactly when its gates have finite biases.

    One unit per bias B, 64 random inputs in [-1, 1], random old states in [-1, 1], U = 0. A gate's bias is B where its
    activation should be 1 and -B where it should be 0. Store: one step; keep: 28 steps.

    Args:
        cell: a Cell, or a name in `CELLS`.
        behaviour: "store_input" (distance from the state of the same layer with B = 1000) or "keep_state" (distance
            from the state before the first step).
        signs: dict from the name of a gate's bias ("b_i", "b_z", ...) to 1 or -1; what is left out is 0.
        biases: (K,). The largest error over the inputs is found for each: (K,).
        blank: take inputs of 0 in place of random ones.
        seed: of weights, inputs and states.

    Notebook 1, Q1.2.
    """
    check_choice("behaviour", behaviour, ("store_input", "keep_state"))
    biases, rng = (
        as_numbers("biases", biases, ("K",)).astype(np.float64),
        np.random.default_rng(seed),
    )
    units, features, store = len(biases), 8, behaviour == "store_input"
    W = np.tile(rng.normal(size=features), (units, 1))
    x = rng.uniform(-1, 1, (64, 1 if store else 28, features)) * (not blank)
    old = np.repeat(rng.uniform(-1, 1, (64, 1)), units, axis=1).astype(np.float32)

    def state(B):
        gates = {name: sign * B for name, sign in signs.items()}
        return final_state(keras_layer(cell, {"W": W, **gates}, units, features), x, old)

    target = state(np.full(units, 1000.0)) if store else old
    return np.abs(state(biases).astype(np.float64) - target).max(axis=0)


def wide_lstm(
    gru: keras.layers.Layer, units: int, seed: int = 0
) -> tuple[keras.layers.Layer, np.ndarray]:
    """An LSTM whose read-out follows the state of a GRU of one unit, for inputs between -3 and 3.

    With gates at their ends (biases of 40) its output is h = tanh(tanh(W x + U h + b)): a layer of features. Those are
    random, W x + B s + b with the state s = V h, so U = B V; V alone is fitted, to 3,000 random steps of the GRU.

    Returns:
        (LSTM of so many units in float64, V of shape (units,)).

    Notebook 1, Q1.3.
    """
    rng = np.random.default_rng(seed)
    s = rng.uniform(-1, 1, (3000, 1))
    x = rng.uniform(-3, 3, (3000, 1))
    draws = rng.normal(size=(units, 3))
    W = draws[:, [0]]
    B = 2 * draws[:, [1]]
    b = 2 * draws[:, 2]
    features = np.tanh(np.tanh(x @ W.T + s @ B.T + b))
    wanted = final_state(gru, x[:, None], s)[:, 0]
    V = np.linalg.lstsq(features, wanted, rcond=1e-10)[0]
    weights = {"W": W, "U": B * V, "b": b, "b_f": -40, "b_i": 40, "b_o": 40}
    return keras_layer("LSTM", weights, units, features=1, dtype="float64"), V


def two_step_lstm(units: int) -> keras.layers.RNN:
    """An LSTM of one or two units that makes the first two steps of a GRU of one unit, for every input.

    The GRU starts at 0 and has z = 1/2, U = 1, b = 1/2 and r = sigma(x); its first output is the constant h_1. The sum
    of the LSTM's outputs is the GRU's; with one unit h_1 / 2 must be added to it.

    The first unit's forget gate plays the reset gate, on a state c_1 = U h_1. Its other gates and its candidate read
    h_prev, which is 0 in the first step and h_1 / 2 in the second. The second unit puts out h_1 / 2 in both.

    Returns:
        A Keras layer in float64, which returns h at every step.

    Raises:
        ValueError: another number of units.

    Notebook 1, "For the curious".
    """
    check_choice("units", units, (1, 2))
    h_1 = np.tanh(0.5) / 2
    output = h_1 / 2  # of each unit, at the first step
    opened = 0.9  # the input gate: anything above max(h_1, 1/2) and below 1

    g_1, g_2 = np.arctanh(h_1 / opened), np.arctanh(0.5 / opened)
    o_1, o_2 = output / np.tanh(h_1), 0.5
    first = {
        "W_f": 1,
        "b_i": logit(opened),
        **_switched("b", "U", g_1, g_2, output),
        **_switched("b_o", "U_o", logit(o_1), logit(o_2), output),
    }
    # With both gates at 1/2 and g = tanh(1), its state is g / 2, then 3 g / 4.
    o_1, o_2 = output / np.tanh(np.tanh(1) * np.array([1 / 2, 3 / 4]))
    second = {"b": 1, **_switched("b_o", "U_o", logit(o_1), logit(o_2), output)}

    weights = {}
    for name in first:
        values = [unit.get(name, 0.0) for unit in (first, second)[:units]]
        weights[name] = np.diag(values) if name[0] == "U" else np.array(values)
    weights["W_f"] = weights["W_f"][:, None]
    return keras_layer("LSTM", weights, units, features=1, dtype="float64")


def _switched(bias, recurrent, before, after, output):
    """Weights for a sum that is `before` while h_prev is 0, and `after` once it is `output`."""
    return {bias: before, recurrent: (after - before) / output}


def deviation_from_keras(
    cell: Cell | str, reset_after: bool = False, seed: int = 0, dtype: str = "float32"
) -> float:
    """Largest |h by the equations - h by Keras| over 16 random sequences, with random weights and biases.

    The layer, as of `keras_layer`, has 8 units and 28 features. `run_equations` works in float64, so with a layer in
    float64 it is rounding alone. Notebook 1.
    """
    rng = np.random.default_rng(seed)
    layer = keras_layer(cell, {}, units=8, reset_after=reset_after, dtype=dtype)
    weights = [rng.normal(0, 0.4, weight.shape) for weight in layer.get_weights()]
    layer.set_weights(weights)
    x = rng.normal(size=(16, 28, 28)).astype(dtype)
    h, _ = run_equations(layer, x)
    return float(np.abs(h - np.asarray(layer(x))).max())
