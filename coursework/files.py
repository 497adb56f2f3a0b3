"""Where things lie, files that are whole or not there, tables as CSV: the ground floor, standard library only."""

import contextlib
import csv
import os
import uuid
from collections.abc import Iterable, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("[0-9]*.ipynb"))


def place_of_runs() -> Path:
    """Where results go: the folder that COURSEWORK_RUNS names, else `runs` beside this code.

    An installed copy lies among other packages, which is no place for results: then where Python was started.
    """
    wish = os.environ.get("COURSEWORK_RUNS", "").strip() or "runs"
    installed = ROOT.name in ("site-packages", "dist-packages")
    return (Path.cwd() if installed else ROOT) / os.path.expanduser(wish)


RUNS = place_of_runs()


@contextlib.contextmanager
def replacing(path: Path):
    """Atomic write: gives a temporary path; it replaces `path` when the block ends, and is deleted on an error."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # Drawn, as containers that share a folder have the same process ids; no `tempfile`, whose files only we could read.
    aside = path.with_name(f".unfinished-{uuid.uuid4().hex}-{path.name}")
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
    table = [[row] if isinstance(row, str) else list(row) for row in rows]
    wrong = next((row for row in table if isinstance(header, str) or len(row) != len(header)), None)
    if wrong is not None:
        raise ValueError(
            f"a row of the table has {len(wrong)} values, its header {len(header)} names"
        )
    return table


def read_csv(name):
    """The rows of `runs/NAME` as lists of text, the header first."""
    with open(RUNS / name, newline="", encoding="utf-8") as file:
        return list(csv.reader(file))
