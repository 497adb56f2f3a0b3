"""Write the atlas: the sheet's eight networks from 32 seeds on mnist5k, see coursework/atlas.py.

python -m tools.atlas             train what is not trained yet, and write the file
python -m tools.atlas --rows 3    train three random rows again, and compare them with the file
"""

import argparse
import contextlib
import random
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np

from coursework import files
from coursework.analysis import commit_step
from coursework.atlas import ATLAS, HEADER, MADE_WITH, MEASURED, label_of, read_atlas, read_rows
from coursework.backend import keras, tf
from coursework.data import Data, load_data
from coursework.experiment import MODEL_SIZES, RECURRENT, Experiment, recipe_for
from coursework.files import write_csv
from coursework.layers import layer_outputs
from coursework.machine import processor
from coursework.readout import read_out
from coursework.store import Result
from coursework.sweep import train_all
from run import in_one_line, integer

SEEDS = 32
FORMATS = {"accuracy": ".4f", "cross_entropy": ".4f", "t_minus_4": ".4f", "commit_median": ".1f"}
# How far a row may be off where the processor or a version is another: rounding alone sends a training elsewhere.
# Twice what was seen at most among 16 networks whose training XLA had compiled for AVX2 in place of AVX-512.
TOLERANCES = {"accuracy": 0.035, "cross_entropy": 0.07, "t_minus_4": 0.25, "commit_median": 2}


def main(arguments: list[str] | None = None) -> int:
    """Parse the command line, do what it says, and return the exit code."""
    parser = argparse.ArgumentParser(description="Write the atlas of 256 networks, or try it.")
    parser.add_argument("--rows", type=integer(1), help="train so many random rows again, compare")
    rows = parser.parse_args(arguments).rows
    return in_one_line(in_one_line_too, write if rows is None else lambda: compare(rows))


def in_one_line_too(job: Callable[[], int]) -> int:
    """The exit code of `job`; what the file or a cluster is refused for is told in one line."""
    try:
        return job()
    except (ValueError, FileNotFoundError, ConnectionError, ImportError, RuntimeError) as error:
        print(error, file=sys.stderr)
        return 1


def write(seeds: Iterable[int] = range(SEEDS)) -> int:
    """Train what is missing, measure all of it, and replace the file."""
    data = load_data("mnist5k")
    results = train_all(experiments(seeds, data), data)
    rows = [row_of(result, data) for result in results.values()]
    write_csv(str(ATLAS), HEADER, rows)
    print(f"{ATLAS.name}: {len(rows)} rows")
    return 0


def experiments(seeds: Iterable[int], data: Data) -> list[Experiment]:
    """The sheet's networks with its recipe for these images: network by network, each from all seeds."""
    recipe = recipe_for(data)
    sizes = [(cell, size) for cell in RECURRENT for size in MODEL_SIZES]
    return [
        Experiment(cell, size.units, size.layers, seed=seed, **recipe)
        for cell, size in sizes
        for seed in seeds
    ]


def row_of(result: Result, data: Data) -> list[str]:
    """A row of the file: which network, what was measured of it, with what.

    The processor is this machine's; `train_all` says so where a cluster's of another kind has trained.
    """
    e = result.experiment
    h = data.x_test
    for layer in result.model.layers[: e.layers]:  # the recurrent ones
        h = layer_outputs(layer, h)
    by_step = read_out(result.model, h).argmax(-1)
    measured = {
        "accuracy": result.accuracy,
        "cross_entropy": result.loss,
        "t_minus_4": np.mean(by_step[:, -5] == data.y_test),
        "commit_median": np.median(commit_step(by_step)),
    }
    network = [e.name, str(e.units), str(e.layers), str(e.seed)]
    numbers = [format(measured[name], FORMATS[name]) for name in MEASURED]
    return [*network, *numbers, keras.__version__, tf.__version__, processor()]


def compare(count: int) -> int:
    """Train random rows of the file again, as if nothing were trained yet; 1 if one of them does not fit."""
    read_atlas()  # refuses a damaged file
    rows = read_rows(ATLAS)
    chosen = random.sample(rows, min(count, len(rows)))
    data = load_data("mnist5k")
    with empty_store():
        results = train_all([experiment_of(row, data) for row in chosen], data)
        again = [dict(zip(HEADER, row_of(each, data), strict=True)) for each in results.values()]
    off = 0
    for old, new in zip(chosen, again, strict=True):
        found = differences(old, new)
        off += bool(found)
        print(f"{label_of(old)}, seed {old['seed']}: {'; '.join(found) or 'fits'}")
    return int(off > 0)


def experiment_of(row: dict[str, str], data: Data) -> Experiment:
    """What the row of a file was measured of."""
    units, layers, seed = int(row["units"]), int(row["layers"]), int(row["seed"])
    return Experiment(row["cell"], units, layers, seed=seed, **recipe_for(data))


@contextlib.contextmanager
def empty_store() -> Iterator[None]:
    """A folder for trained models in which there are none, while the block runs."""
    usual = files.RUNS
    with tempfile.TemporaryDirectory() as folder:
        files.RUNS = Path(folder)
        try:
            yield
        finally:
            files.RUNS = usual


def differences(old: dict[str, str], new: dict[str, str]) -> list[str]:
    """In words, what of a row is not as it was: to the last digit, if versions and processor are the same."""
    made_alike = all(old[name] == new[name] for name in MADE_WITH)
    found = []
    for name in MEASURED:
        apart = abs(float(old[name]) - float(new[name]))
        if apart > (0 if made_alike else TOLERANCES[name]):
            found.append(f"{name} {new[name]}, in the file {old[name]}")
    return found


if __name__ == "__main__":
    sys.exit(main())
