"""Where things lie, files that are whole or not there, tables as CSV: the ground floor, standard library only."""

import contextlib
import csv
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
RUNS = ROOT / (os.environ.get("COURSEWORK_RUNS") or "runs")
NOTEBOOKS = sorted((ROOT / "notebooks").glob("[0-9]*.ipynb"))


@contextlib.contextmanager
def replacing(path: Path):
    """Atomic write: gives a temporary path; it replaces `path` when the block ends, and is deleted on an error."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".unfinished-{os.getpid()}-{path.name}")
    try:
        yield aside
        os.replace(aside, path)
    finally:
        aside.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Replace a text file, whole or not at all."""
    with replacing(path) as unfinished:
        unfinished.write_text(text, encoding="utf-8")


def write_csv(name: str, header: Sequence, rows: Iterable[Sequence]) -> None:
    """Write a table to `runs/NAME`; the folder is made if it is missing. Notebooks 2 and 3."""
    rows = rows_of(header, rows)
    with replacing(RUNS / name) as path, open(path, "w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows([header, *rows])


def rows_of(header: Sequence, rows: Iterable[Sequence]) -> list[list]:
    """The rows of a table as lists, or a ValueError if one has not a value for each column."""
    rows = [[row] if isinstance(row, str) else list(row) for row in rows]
    wrong = next((row for row in rows if isinstance(header, str) or len(row) != len(header)), None)
    if wrong is not None:
        raise ValueError(f"a row of the table has {len(wrong)} values, its header {len(header)} names")
    return rows


def read_csv(name):
    """The rows of `runs/NAME` as lists of text, the header first."""
    with open(RUNS / name, newline="", encoding="utf-8") as file:
        return list(csv.reader(file))
