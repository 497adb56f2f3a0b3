"""The cells of the bundle, one file each. A file here with a `CELL` is all that a new cell takes.

A cell that is written in several conventions has `VARIANTS` beside it, a dict from (z_keeps, reset_after) to Cell.
"""

import importlib
import pkgutil

from coursework.formulas import RESERVED, Cell

_FILES = [
    importlib.import_module(f"{__name__}.{file.name}") for file in pkgutil.iter_modules(__path__)
]
_FILES.sort(
    key=lambda file: (not file.CELL.keras.name, file.__name__)
)  # those that Keras has stand first

CELLS: dict[str, Cell] = {file.CELL.name: file.CELL for file in _FILES}
_VARIANTS = {file.CELL.name: getattr(file, "VARIANTS", {}) for file in _FILES}

for _name, _cell in CELLS.items():
    RESERVED[_name] = {_cell.key, *(variant.key for variant in _VARIANTS[_name].values())}
RESERVED |= {
    name: set() for name in ("softmax", "MLP", "CNN")
}  # families of the sheet that are no cells


def as_cell(cell: Cell | str) -> Cell:
    """A cell, or the bundle's cell of that name; ValueError naming the choices for anything else."""
    if isinstance(cell, Cell):
        return cell
    if isinstance(cell, str) and cell in CELLS:
        return CELLS[cell]
    shown = repr(cell)
    shown = shown if len(shown) <= 40 else f"{shown[:37]}..."
    raise ValueError(
        f"unknown cell {shown}: use {' or '.join(map(repr, CELLS))}, or a Cell of your own"
    )


def equations(cell: Cell | str, z_keeps: int = 1, reset_after: bool = False) -> Cell:
    """The update of a cell. Proofs, checks and the comparison with Keras take it from here.

    Args:
        cell: a name in `CELLS`, or a Cell.
        z_keeps: the GRU's convention. 1: z = 1 keeps the old state (Cho et al. 2014, Keras, this course);
            0: z = 1 replaces it (Chung et al. 2014).
        reset_after: where the GRU's reset gate acts. False: on h_prev, before the recurrent weights (Cho et al. 2014,
            this course); True: after them, with a bias b_U of its own (Keras's default). Other cells have neither.

    Raises:
        ValueError: unknown cell or convention.

    Notebook 1, "The two cells, written down once".
    """
    for name, value in (("z_keeps", z_keeps), ("reset_after", reset_after)):
        if not isinstance(value, int) or value not in (0, 1):
            raise ValueError(f"unknown {name} {value!r}: use 1 or 0")
    cell = as_cell(cell)
    if cell != CELLS.get(cell.name):  # a cell of one's own is what its equations say
        return cell
    return _VARIANTS[cell.name].get((int(z_keeps), bool(reset_after)), cell)
