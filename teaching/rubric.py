"""rubric.csv: what is said of texts again and again, as a code with its points and a sentence for the student."""

import re
from pathlib import Path
from typing import NamedTuple

from teaching import Refused
from teaching.tables import FORMULA, Table, read_table

FILE = "rubric.csv"
COLUMNS = ("code", "points", "sentence")
NUMBER = re.compile(r"([-+−]?)\s*(\d+(?:[.,]\d*)?|[.,]\d+)")


class Code(NamedTuple):
    """What a code stands for."""

    points: float
    sentence: str


def read_rubric(path: Path) -> dict[str, Code]:
    """dict from code, in lower case, to its Code; Refused in a line if the table is none."""
    table = read_table(path)
    code, points, sentence = (column(table, name, path) for name in COLUMNS)
    found: dict[str, Code] = {}
    for line in table.rows.values.tolist():
        name, said = typed(line[code]).casefold(), number(line[points])
        if not name and not typed(line[sentence]):
            continue
        if not re.fullmatch(r"[^\s,;]+", name):
            raise Refused(f"{path}: a code is one word, and not {name!r}")
        if said is None:
            raise Refused(f"{path}: {name}: {line[points]!r} is no number of points")
        if name in found:
            raise Refused(f"{path}: {name} is there twice: delete one of the rows")
        found[name] = Code(said, typed(line[sentence]))
    return found


def column(table: Table, name: str, path: Path) -> int:
    """The place of the one column of this name; Refused if there is none, or more."""
    titles = [title.strip().casefold() for title in table.header]
    if titles.count(name) == 1:
        return titles.index(name)
    many = "two columns" if name in titles else "no column"
    there = ", ".join(repr(title) for title in table.header if title)
    raise Refused(f"{path}: {many} {name!r}; there are {there}")


def typed(cell: str) -> str:
    """What was typed into a cell: without the sign that keeps a spreadsheet from running it."""
    text = cell.strip()
    return text[1:] if text.startswith("'") and text[1:].startswith(FORMULA) else text


def number(cell: str) -> float | None:
    """A number with a point or a comma; None if it is none."""
    match = NUMBER.fullmatch(typed(cell))
    if not match:
        return None
    value = float(match[2].replace(",", "."))
    return -value if match[1] in ("-", "−") else value
