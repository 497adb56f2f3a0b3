"""The atlas: what the sheet's eight networks reach from many seeds on mnist5k, trained once and for all."""

import csv
from pathlib import Path

import numpy as np

from coursework.experiment import MODEL_SIZES, RECURRENT, Size

# A part of the package, so that the hand-out and an installed copy have it; docs/atlas.csv is a link to it.
ATLAS = Path(__file__).with_name("atlas.csv")
# What was measured, and the range it has by its nature.
MEASURED = {
    "accuracy": (0, 1),
    "cross_entropy": (0, np.inf),
    "t_minus_4": (0, 1),
    "commit_median": (1, 28),
}
NETWORK = ("cell", "units", "layers", "seed")
MADE_WITH = ("keras", "tensorflow", "processor")
HEADER = [*NETWORK, *MEASURED, *MADE_WITH]
CURE = "take it from the project again, or make atlas"
LABELS = [f"{cell} {size}" for cell in RECURRENT for size in MODEL_SIZES]


def read_atlas() -> dict[str, dict[str, np.ndarray]]:
    """What was measured of each of the sheet's networks on mnist5k, from each seed, with the sheet's recipe for it.

    Returns:
        {label: {column: array of shape (seeds,)}}, labels as "GRU 32" and "LSTM 3 x 32", arrays in the order of the
        seeds 0, 1, 2 ... The columns, all of the test images: "accuracy" between 0 and 1; "cross_entropy" in nats;
        "t_minus_4", the accuracy of the head after row 24, four before the last; "commit_median", the median row (1 to
        28) from which on the head's answer does not change any more.

    Raises:
        ValueError: in one line, if the file is damaged or not whole. FileNotFoundError: if it is missing.

    `make atlas` writes the file. Notebook 2.
    """
    rows = read_rows(ATLAS)
    measured = [_numbers_of(row) for row in rows]
    labels = np.array([label_of(row) for row in rows])
    atlas = {}
    for label in LABELS:
        mine = np.flatnonzero(labels == label)
        seeds = [rows[k]["seed"] for k in mine]
        if seeds != [str(seed) for seed in range(len(rows) // len(LABELS))]:
            raise _damaged(f"not each seed of {label} once and in order")
        columns = np.array([measured[k] for k in mine]).T
        atlas[label] = dict(zip(MEASURED, columns, strict=True))
    return atlas


def read_rows(path: Path) -> list[dict[str, str]]:
    """The rows of an atlas as text, {column: value} each; ValueError if they are not whole."""
    if not path.is_file():
        raise FileNotFoundError(f"{path.name} is missing: {CURE}")
    try:
        text = path.read_text(encoding="utf-8")
        header, *rows = csv.reader(text.splitlines() or [""])
    except (UnicodeDecodeError, csv.Error):
        raise _damaged("no table") from None
    if header != HEADER or not rows or not text.endswith("\n"):
        raise _damaged("its head or its end is missing")
    if any(len(row) != len(HEADER) for row in rows):
        raise _damaged("a row is not whole")
    return [dict(zip(HEADER, row, strict=True)) for row in rows]


def label_of(row: dict[str, str]) -> str:
    """The label of a row's network, "GRU 32"."""
    try:
        size = Size(int(row["units"]), int(row["layers"]))
    except ValueError:
        raise _damaged("units or layers are no whole number") from None
    label = f"{row['cell']} {size}"
    if label not in LABELS:
        raise _damaged(f"it has {label[:40]!r}, which is none of the eight networks")
    return label


def _numbers_of(row):
    """The measured numbers of a row, in the order of `MEASURED`."""
    numbers = []
    for column, (low, high) in MEASURED.items():
        try:
            number = float(row[column])
        except ValueError:
            number = np.nan
        if not (low <= number <= high and np.isfinite(number)):
            raise _damaged(f"{column} is {row[column][:40]!r}")
        numbers.append(number)
    return numbers


def _damaged(why):
    return ValueError(f"{ATLAS.name} is damaged ({why}): {CURE}")
