"""The playground of notebook 1: the page's stage over cells whose weights are set by hand and whose gates are held."""

from collections.abc import Mapping, Sequence

import numpy as np
from scipy.special import expit

from coursework.arguments import as_numbers
from coursework.cells import as_cell
from coursework.figure import Figure
from coursework.figures_gates import plot_panels
from coursework.formulas import Cell
from coursework.keras_cells import run_step
from coursework.reader import Reader, color_maps, in_base64, pack_layers, page_cell
from coursework.text import show_widget

UNITS = 28  # each sees its own pixel
START = np.where(
    np.arange(UNITS) // 4 % 2, -0.8, 0.8
)  # the state before row 1: stripes, so that keeping is seen
BIASES = {
    "i": -1.0,
    "f": 1.5,
    "o": 2.0,
    "z": 1.5,
}  # with which a state lasts for some rows; other gates have 0
RECURRENT = {
    "": 0.5,
    ", U = 0": 0.0,
}  # what stands beside a cell's name, and the diagonal of U then


def gate_playground(digit: np.ndarray, cells: Sequence = ("LSTM", "GRU")) -> Figure:
    """Hold the gates of some cells, and see what they remember of a digit.

    All cells have 28 units. In their candidates W is the identity, and U half of it or 0; their gates are constant, so
    that each is the sigmoid of its bias. Two tasks, to store and to keep, are checked as the sliders move. Where
    widgets don't run, a picture of the starting values remains.

    Args:
        digit: (28, 28) of 0 and 1.
        cells: names in `CELLS`, or Cells of one's own.

    Returns:
        The picture, which has been shown.

    Raises:
        ValueError: a digit of another shape, or no cell.

    Notebook 1.
    """
    digit = as_numbers("digit", digit, (UNITS, UNITS))
    cells = [as_cell(cell) for cell in cells]
    if not cells:
        raise ValueError("no cell to play with: give a list of names or Cells")
    show_widget(Reader(content=_content(digit, cells), image=digit))
    return plot_panels({"input": (digit, "pixel")} | _panels(digit, cells))


def _content(digit, cells):
    """All that the script needs, as of `make_content`, without a head to give answers."""
    pixels = in_base64(np.packbits(digit > 0.5))
    return {
        "byHand": True,
        "networks": [
            _packed(cell, name, diagonal) for cell in cells for name, diagonal in RECURRENT.items()
        ],
        "images": [{"label": 0, "pixels": pixels}],
        "opening": 0,
        "begin": {
            "hold": {gate: value for cell in cells for gate, value in activations(cell).items()}
        },
        **color_maps(),
    }


def _packed(cell, name, diagonal):
    layers, weights = pack_layers([by_hand(cell, diagonal)])
    return {
        "label": cell.name + name,
        "cell": page_cell(cell),
        "layers": layers,
        "head": None,
        "weights": weights,
        "start": START.tolist(),
    }


def by_hand(cell: Cell, diagonal: float = 0.5) -> dict[str, np.ndarray]:
    """Weights for a cell with 28 units: in its candidate W = identity and U = diagonal * identity, all others 0."""
    eye = {"W": np.eye(UNITS), "U": diagonal * np.eye(UNITS)}
    read = {symbol.name for symbol in cell.candidate.free_symbols}
    return {
        name: eye[name[0]] if name in read and name[0] in eye else np.zeros([UNITS] * len(shape))
        for name, shape in cell.weights.items()
    }


def activations(cell: Cell) -> Mapping[str, float]:
    """The activation of each gate at the start, from 0 to 1 with two decimals, as the sliders have them."""
    return {gate: round(float(expit(BIASES.get(gate, 0.0))), 2) for gate in cell.gate_names}


def _panels(digit, cells):
    """What each cell remembers and puts out over the rows, with its gates held at the start."""
    panels = {}
    for cell in cells:
        history = run_held(cell, by_hand(cell), digit, activations(cell))
        for name in reversed(cell.states):
            panels[f"{cell.name}: {name}"] = (history[name], "hidden unit")
    return panels


def run_held(
    cell: Cell, weights: Mapping, rows: np.ndarray, hold: Mapping
) -> dict[str, np.ndarray]:
    """{gates, g, (c), h: (T, units)} over rows (T, 28), from the stripes, with gates held at numbers."""
    states = {f"{name}_prev": np.zeros((1, UNITS)) for name in cell.states}
    states[f"{cell.memory}_prev"] = START[None]
    history = []
    for row in rows:
        values = run_step(cell, weights, {"x": row[None]} | states, hold=hold)
        states = {f"{name}_prev": values[name] for name in cell.states}
        history.append(values)
    return {
        name: np.stack([np.broadcast_to(v[name], (1, UNITS))[0] for v in history])
        for name in history[0]
    }
