"""Recurrent cells in Keras from their equations, and the equations and named weights of a Keras layer."""

import functools
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from scipy.special import expit

from coursework.arguments import check_integer
from coursework.backend import keras
from coursework.cells import CELLS, as_cell, equations
from coursework.formulas import Cell, Tree, cell_from_data

ops = keras.ops
KERAS = {
    name: getattr(ops, name) for name in ("tanh", "sigmoid", "exp", "log", "sin", "cos", "abs")
}
KERAS |= {"maximum": ops.maximum, "minimum": ops.minimum}
NUMPY = {name: getattr(np, name) for name in KERAS if name != "sigmoid"} | {"sigmoid": expit}


@keras.saving.register_keras_serializable("coursework")
class FormulaCell(keras.layers.Layer):
    """The cell of a `keras.layers.RNN`, from equations: as trainable as Keras's own.

    Matrices that meet x itself lie side by side in `kernel`, those that meet h_prev itself in `recurrent_kernel`, so
    that each step has one product for each; all vectors lie in `bias`. See docs/cells.md.

    Args:
        cell: a Cell, or a name in `CELLS`.
        units: length of h.
        kernel_initializer, recurrent_initializer: of the matrices W and U, as in Keras; vectors begin at 0.
    """

    def __init__(
        self,
        cell: Cell | str,
        units: int,
        kernel_initializer: Any = "glorot_uniform",
        recurrent_initializer: Any = "orthogonal",
        **options: Any,
    ):
        super().__init__(**options)
        check_integer(units=units)
        self.equations = as_cell(cell)
        self.units = units
        self.state_size = [units] * len(self.equations.states)
        self.output_size = units
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.recurrent_initializer = keras.initializers.get(recurrent_initializer)

    def build(self, input_shape: tuple) -> None:
        """Make the weights, for inputs with so many features as `input_shape` ends in."""
        self.features = input_shape[-1]
        self.blocks = stacks(self.equations)
        rows = {"kernel": self.features, "recurrent_kernel": self.units}
        initializers = {
            "kernel": self.kernel_initializer,
            "recurrent_kernel": self.recurrent_initializer,
        }
        for stack, names in self.blocks.items():
            width = len(names) * self.units
            if stack == "bias":
                self.bias = self.add_weight(shape=(width,), initializer="zeros", name="bias")
            elif stack in rows:
                weight = self.add_weight(
                    shape=(rows[stack], width), initializer=initializers[stack], name=stack
                )
                setattr(self, stack, weight)
        self.single = []
        for number, name in enumerate(self.blocks.get("single", ())):
            stack = "kernel" if name[0] == "W" else "recurrent_kernel"
            shape = (rows[stack], self.units)
            initializer = _other_seed(initializers[stack], number + 1)
            self.single.append(self.add_weight(shape=shape, initializer=initializer, name=name))

    def call(self, inputs: Any, states: list, training: bool = False) -> tuple:
        """One step: (h, [h] or [h, c])."""
        h_prev = states[0]
        values = {"x": inputs, "h_prev": h_prev, **self._split("bias")}
        if len(states) == 2:
            values["c_prev"] = states[1]
        products = {**self._split("kernel", inputs), **self._split("recurrent_kernel", h_prev)}

        def dot(name, vector):
            return products[name] if name in products else vector @ self._single(name)

        new = self.equations.step(values, KERAS | {"dot": dot})
        return new["h"], [new[state] for state in self.equations.states]

    def _split(self, stack, vector=None):
        """{name: its part} of a stack of weights, or of a vector's product with it."""
        names = self.blocks.get(stack)
        if not names:
            return {}
        weights = getattr(self, stack)
        values = weights if vector is None else vector @ weights
        return dict(zip(names, ops.split(values, len(names), axis=-1), strict=True))

    def _single(self, name):
        return self.single[self.blocks["single"].index(name)]

    def get_config(self) -> dict:
        """The equations as data; `from_config` reads them, and no code is run."""
        initializers = {
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
            "recurrent_initializer": keras.initializers.serialize(self.recurrent_initializer),
        }
        return (
            super().get_config()
            | {"cell": self.equations.as_data(), "units": self.units}
            | initializers
        )

    @classmethod
    def from_config(cls, config: dict) -> "FormulaCell":
        """The layer that `get_config` described."""
        return cls(cell_from_data(config.pop("cell")), **config)


def _other_seed(initializer, number):
    """The same initialiser with a seed of its own: with the same one, two matrices would begin alike."""
    config = initializer.get_config()
    if not isinstance(config.get("seed"), int):
        return initializer
    return type(initializer).from_config(config | {"seed": config["seed"] + number})


@functools.cache
def stacks(cell: Cell) -> dict[str, tuple[str, ...]]:
    """Which weights of a cell lie side by side in which array of a FormulaCell, "single" for those that lie alone."""
    products = [product for _, tree in cell.lines for product in _dots(tree)]
    elsewhere = {name for name, vector in products if vector not in ("x", "h_prev")}
    direct = {name for name, _ in products} - elsewhere
    found = {
        "kernel": [name for name in direct if name[0] == "W"],
        "recurrent_kernel": [name for name in direct if name[0] == "U"],
        "bias": [name for name in cell.weights if name[0] in "bp"],
        "single": elsewhere,
    }
    return {stack: tuple(sorted(names)) for stack, names in found.items() if names}


def _dots(tree: Tree):
    """Each product in a tree, as (name of the matrix, tree of the vector)."""
    if isinstance(tree, list):
        if tree[0] == "dot":
            yield tree[1], tree[2]
        for part in tree[1:]:
            yield from _dots(part)


class ByFormula(keras.layers.GRUCell):
    """Keras's cell with its weights and its equations' arithmetic: XLA trains it faster (benchmarks/README.md)."""

    def call(self, inputs: Any, states: list, training: bool = False) -> tuple:
        """One step, as in Keras."""
        cell = keras_cell(self)
        from_x = ops.split(inputs @ self.kernel + self.bias[0], 3, axis=1)
        from_h = ops.split(states[0] @ self.recurrent_kernel + self.bias[1], 3, axis=1)
        products = dict(zip([f"W{block}" for block in cell.keras.blocks], from_x, strict=True))
        products |= dict(zip([f"U{block}" for block in cell.keras.blocks], from_h, strict=True))
        values = {"x": None, "h_prev": states[0]} | {
            name: 0.0 for name in cell.weights
        }  # biases: in the products
        new = cell.step(values, KERAS | {"dot": lambda name, vector: products[name]})
        return new["h"], [new["h"]]


# --- From a Keras layer to its equations ------------------------------------------------------------------------------

KERAS_CELLS = {
    getattr(keras.layers, f"{cell.keras.name}Cell"): cell.name
    for cell in CELLS.values()
    if cell.keras.name
}


def is_followed(cell: keras.layers.Layer) -> bool:
    """Are the equations of this cell of a recurrent layer known?"""
    return type(cell) in (*KERAS_CELLS, FormulaCell)


def features_of(layer: keras.layers.RNN) -> int:
    """How many numbers a built layer of `is_followed` takes at each step."""
    cell = layer.cell
    return cell.features if isinstance(cell, FormulaCell) else cell.kernel.shape[0]


def keras_cell(cell: keras.layers.Layer) -> Cell:
    """The equations of Keras's LSTMCell, GRUCell or SimpleRNNCell, or of a FormulaCell."""
    if isinstance(cell, FormulaCell):
        return cell.equations
    name = next(name for kind, name in KERAS_CELLS.items() if isinstance(cell, kind))
    return equations(name, reset_after=getattr(cell, "reset_after", False))


def cell_of(layer: keras.layers.RNN) -> Cell:
    """The equations of a Keras LSTM, GRU or SimpleRNN layer, or of an RNN around a FormulaCell. See docs/cells.md."""
    return keras_cell(layer.cell)


def named_weights(layer: keras.layers.RNN) -> dict[str, np.ndarray]:
    """The weights of a recurrent layer under the names of its equations, in their shapes.

    W (units, features), U (units, units), vectors (units,): the transposes of what Keras stores. Half precision comes
    as float32. A GRU with `reset_after` adds its two biases of a gate; those of its candidate are b and b_U.
    See docs/cells.md.
    """
    cell = layer.cell
    if isinstance(cell, FormulaCell):
        return _of_formula_cell(cell)
    return _of_keras_cell(cell)


def _array(weight):
    array = weight.numpy()
    return array if array.dtype == np.float64 else array.astype(np.float32)


def _blocks(weight, units):
    """The blocks of `units` columns of an array, each transposed."""
    return [
        np.ascontiguousarray(block.T)
        for block in np.split(_array(weight), weight.shape[-1] // units, axis=-1)
    ]


def _of_formula_cell(cell):
    named: dict[str, np.ndarray] = {}
    for stack in ("kernel", "recurrent_kernel", "bias"):
        if names := cell.blocks.get(stack):
            named |= zip(names, _blocks(getattr(cell, stack), cell.units), strict=True)
    singles = [_array(weight).T for weight in cell.single]
    named |= zip(cell.blocks.get("single", ()), singles, strict=True)
    return {name: named[name] for name in cell.equations.weights}


def _of_keras_cell(cell):
    formulas = keras_cell(cell)
    endings = formulas.keras.blocks
    named = {}
    for kind, weight in (("W", cell.kernel), ("U", cell.recurrent_kernel)):
        for ending, block in zip(endings, _blocks(weight, cell.units), strict=True):
            named[kind + ending] = block
    biases = [] if cell.bias is None else _blocks(cell.bias, cell.units)
    for ending, bias in zip(endings, biases, strict=cell.bias is not None):
        named |= _one_bias(ending, bias)
    none = np.zeros(cell.units, named["U"].dtype)
    return {name: named.get(name, none) for name in formulas.weights}


def _one_bias(ending, bias):
    """A block of biases by name; with `reset_after` there are two, (units, 2): of x's product and of that with h."""
    if bias.ndim == 1:
        return {f"b{ending}": bias}
    if ending:
        return {f"b{ending}": bias.sum(axis=1)}
    return {"b": bias[:, 0], "b_U": bias[:, 1]}


def new_layer(cell: Cell, units: int, dtype: str) -> keras.layers.RNN:
    """A layer that returns h at every step: Keras's own where it has the cell, else an RNN around a FormulaCell."""
    options = {"return_sequences": True, "dtype": dtype}
    start = {
        "recurrent_initializer": "zeros"
    }  # an orthogonal matrix takes seconds for a wide layer
    if not cell.keras.name:
        return keras.layers.RNN(FormulaCell(cell, units, dtype=dtype, **start), **options)
    return getattr(keras.layers, cell.keras.name)(units, **options, **start, **cell.keras.options)


def set_named_weights(layer: keras.layers.RNN, weights: Mapping[str, np.ndarray]) -> None:
    """Give a built layer of `new_layer` all its weights, under the names and in the shapes of its equations."""
    cell = layer.cell

    def stacked(names):
        return np.concatenate([weights[name].T for name in names], axis=-1)

    if isinstance(cell, FormulaCell):
        for stack in ("kernel", "recurrent_kernel", "bias"):
            if names := cell.blocks.get(stack):
                getattr(cell, stack).assign(stacked(names))
        for name, weight in zip(cell.blocks.get("single", ()), cell.single, strict=True):
            weight.assign(weights[name].T)
        return
    endings = cell_of(layer).keras.blocks
    kernel, recurrent, bias = (stacked([kind + ending for ending in endings]) for kind in "WUb")
    if "b_U" in weights:  # `reset_after` has two biases of each block
        second = np.zeros_like(bias)
        second[-cell.units :] = weights["b_U"]
        bias = np.stack([bias, second])
    layer.set_weights([kernel, recurrent, bias])


def library_of(layer: keras.layers.RNN) -> dict[str, Callable]:
    """NumPy's functions for the step of a layer, with its own activations in place of tanh and sigmoid."""
    if isinstance(layer.cell, FormulaCell):
        return NUMPY
    own = {
        "tanh": layer.cell.activation,
        "sigmoid": getattr(layer.cell, "recurrent_activation", keras.ops.sigmoid),
    }
    return NUMPY | {name: _on_arrays(activation) for name, activation in own.items()}


def _on_arrays(activation):
    return lambda array: np.asarray(activation(ops.convert_to_tensor(array)))


def run_step(
    cell: Cell, weights: Mapping, states: Mapping, library: Mapping = NUMPY, hold: Mapping = {}
) -> dict:
    """One step in NumPy: {each gate, g, (c), h} from x, h_prev (and c_prev), each (N, features or units).

    `weights` are those of `named_weights`; `hold` puts numbers in place of gates.
    """
    return cell.step(
        {**weights, **states},
        {**library, "dot": lambda name, vector: vector @ weights[name].T},
        hold,
    )


def set_gate_bias(layer: keras.layers.RNN, value: float) -> None:
    """Let the biases of all gates of a built layer be `value`: the vectors b... that stand in gates' formulas alone.

    Of the two biases that a gate of Keras's GRU has, the first is set.
    """
    cell = layer.cell
    formulas = dict(cell_of(layer).formulas())
    in_gates = {
        symbol.name
        for gate in cell_of(layer).gate_names
        for symbol in formulas.pop(gate).free_symbols
    }
    elsewhere = {symbol.name for formula in formulas.values() for symbol in formula.free_symbols}
    chosen = {name for name in in_gates - elsewhere if name[0] == "b"}
    if isinstance(cell, FormulaCell):
        names = list(cell.blocks.get("bias", ()))
    else:
        names = [f"b{ending}" for ending in cell_of(layer).keras.blocks]
    bias = _array(cell.bias).copy()
    first = bias[0] if bias.ndim == 2 else bias
    for place, name in enumerate(names):
        if name in chosen:
            first[place * cell.units : (place + 1) * cell.units] = value
    cell.bias.assign(bias)
