"""What the state of a recurrent layer does later on, if it is pushed a little, or if one of its units is held."""

import numpy as np
from threadpoolctl import threadpool_limits

from coursework.arguments import as_numbers, check_integer
from coursework.backend import keras
from coursework.keras_cells import cell_of, named_weights, run_step
from coursework.layers import input_for, recurrent_layer

PUSH = 1e-4  # small beside a state, large beside the rounding of float64
KEEPS = {"LSTM": "f", "GRU": "z"}  # the gate that multiplies the old state


class _Reader:
    """A Keras LSTM or GRU that reads images (N, T, 28) row by row in NumPy, with 64 bits.

    Its state is a dict: h_prev, and c_prev of an LSTM.
    """

    def __init__(self, model, x):
        layer = recurrent_layer(model)
        self.x = input_for(model, x).astype(float)
        self.cell = cell_of(layer)
        if self.cell.name not in KEEPS:
            raise ValueError(f"a Keras LSTM or GRU is needed here, not {self.cell.name}")
        named = named_weights(layer)
        self.weights = {name: value.astype(float) for name, value in named.items()}
        self.shape = len(self.x), layer.units
        self.name = "c_prev" if self.cell.name == "LSTM" else "h_prev"  # the state that gates keep

    def start(self):
        return {name: np.zeros(self.shape) for name in {"h_prev", self.name}}

    def step(self, row, state):
        """What the cell computes at a row, counted from 0."""
        return run_step(self.cell, self.weights, {"x": self.x[:, row], **state})

    def state(self, new, kept):
        """The state after a step: `kept` is c, from which h follows, or the GRU's h."""
        if self.name == "h_prev":
            return {"h_prev": kept}
        return {"c_prev": kept, "h_prev": new["o"] * np.tanh(kept)}

    def kept(self, new):
        """What a step leaves in the state that gates keep: c of an LSTM, h of a GRU."""
        return new[self.name[0]]


@threadpool_limits.wrap(limits=1)  # a second thread of BLAS only waits, for products so small
def push_state(
    model: keras.Model,
    x: np.ndarray,
    step: int,
    directions: np.ndarray,
    along: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Push the state a little after `step`: how much of the push is left after the last row?

    The state is c of an LSTM, h of a GRU.

    Args:
        model: a network whose one recurrent layer is a Keras LSTM or GRU.
        x: images (N, T, 28).
        step: the state after this row is pushed, 1 to T - 1.
        directions: which way, (N, units), of any length but 0.
        along: directions (N, units) in the state after row T; without them the difference's length counts.

    Returns:
        (whole, gates), each (N,): the length of the difference after row T, or its component `along` a direction, over
        the length of the push, and the same if each step did nothing but multiply the push by its forget gate f, or
        by z.

    Raises:
        ValueError: another layer, shape or step.

    Notebook 3, bonus.
    """
    reader = _Reader(model, x)
    steps = reader.x.shape[1]
    check_integer(1, steps - 1, step=step)
    by_gates = _unit_vectors("directions", directions, reader.shape)
    final = None if along is None else _unit_vectors("along", along, reader.shape)
    state = reader.start()
    for row in range(step):
        new = reader.step(row, state)
        state = reader.state(new, reader.kept(new))
    pushed = reader.state(new, reader.kept(new) + PUSH * by_gates)
    for row in range(step, steps):
        new, other = reader.step(row, state), reader.step(row, pushed)
        state = reader.state(new, reader.kept(new))
        pushed = reader.state(other, reader.kept(other))
        by_gates = by_gates * new[KEEPS[reader.cell.name]]
    whole = (pushed[reader.name] - state[reader.name]) / PUSH
    return _sizes(whole, final), _sizes(by_gates, final)


def _unit_vectors(name, vectors, shape):
    """The vectors (N, units), each divided by its length."""
    vectors = as_numbers(name, vectors, shape).astype(float)
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    if not lengths.all():
        raise ValueError(f"{name} holds a vector of length 0: it points nowhere")
    return vectors / lengths


def _sizes(vectors, along):
    """Lengths of vectors (N, units), or their components along unit vectors: (N,)."""
    if along is None:
        return np.linalg.norm(vectors, axis=-1)
    return (vectors * along).sum(-1)


@threadpool_limits.wrap(limits=1)
def hold_unit(model: keras.Model, x: np.ndarray, unit: int, after: int) -> np.ndarray:
    """The output h after the last row, (N, units), when one unit's state stays what it was `after` a row.

    The state is c of an LSTM, h of a GRU; the other units go on, and see what they would see of the unit.

    Args:
        model: a network whose one recurrent layer is a Keras LSTM or GRU.
        x: images (N, T, 28).
        unit: which one, counted from 0.
        after: the last row, 1 to T, at which the unit may change.

    Raises:
        ValueError: another layer, shape, unit or row.

    Notebook 3, bonus.
    """
    reader = _Reader(model, x)
    steps = reader.x.shape[1]
    check_integer(0, reader.shape[1] - 1, unit=unit)
    check_integer(1, steps, after=after)
    state = reader.start()
    for row in range(steps):
        new = reader.step(row, state)
        kept = reader.kept(new)
        if row >= after:
            kept[:, unit] = state[reader.name][:, unit]
        state = reader.state(new, kept)
    return state["h_prev"]
