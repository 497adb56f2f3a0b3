"""Tables as teachers have them: CSV files, read as text and written so that every spreadsheet shows them."""

import codecs
import csv
import io
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from coursework.files import replacing
from teaching import Refused

UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
FORMULA = ("=", "+", "-", "@", "＝", "＋", "－", "＠")  # a cell that begins so is a program


class Table(NamedTuple):
    """A table of text, its header apart.

    Attributes:
        header: names of the columns, as they stand there; some may be equal.
        rows: DataFrame of str; columns 0, 1, ...
        separator: what stands between two cells.
    """

    header: list[str]
    rows: pd.DataFrame
    separator: str


def read_table(path: Path) -> Table:
    """The table in a CSV file of any LMS or spreadsheet; Refused if it is none.

    UTF-8 and UTF-16, with commas, semicolons or tabs; Excel's line `sep=;` is obeyed.
    """
    try:
        raw = path.read_bytes()
        text = raw.decode("utf-16" if raw.startswith(UTF_16) else "utf-8-sig")
    except (OSError, UnicodeError) as error:
        why = getattr(error, "strerror", None) or "no text in UTF-8: save it as 'CSV UTF-8'"
        raise Refused(f"can't read {str(path)!r}: {why}") from None
    first, _, rest = text.partition("\n")
    if first.startswith("sep="):
        separator, text = first[4:5] or ",", rest
    else:
        separator = max(",;\t", key=first.count)
    lines = [
        line for line in csv.reader(io.StringIO(text, newline=""), delimiter=separator) if any(line)
    ]
    if not lines:
        raise Refused(f"{path}: the table is empty")
    cells = pd.DataFrame(lines, dtype=object).fillna("").astype(str)
    return Table(list(cells.iloc[0]), cells.iloc[1:].reset_index(drop=True), separator)


def write_table(
    path: Path, header: Sequence[str], rows: Iterable[Sequence], separator: str = ","
) -> None:
    """Replace a CSV file, whole or not at all; with the mark by which Excel knows UTF-8."""
    with replacing(path) as aside, open(aside, "w", newline="", encoding="utf-8-sig") as file:
        csv.writer(file, delimiter=separator).writerows([header, *rows])


def safe(text: str) -> str:
    """Text for a cell in a single line; what a spreadsheet would take for a formula becomes text."""
    line = " ".join(text.splitlines()).strip()
    return f"'{line}" if line.startswith(FORMULA) else line
