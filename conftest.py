"""What pyproject.toml can't express, and what several test files share."""

import contextlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import hypothesis
import matplotlib
import pytest

matplotlib.use("agg")  # tests draw into memory; the notebooks' kernels choose for themselves

ROOT = Path(__file__).resolve().parent
FUZZ = int(
    os.environ.get("COURSEWORK_FUZZ") or 1
)  # set by `make fuzz`: how many times as many cases


def pytest_configure(config):
    """Tests use the small digits, and a folder of their own for models, empty at the start: they really train.

    `pytest --nbval` runs the notebooks as a reader does, and finds its sanitize file from whatever folder it starts in.
    """
    config.option.nbval_sanitize_with = str(ROOT / config.option.nbval_sanitize_with)
    if config.option.nbval or hasattr(config, "workerinput"):  # workers inherit what is set here
        return
    folder = tempfile.mkdtemp(
        prefix="coursework tests "
    )  # with blanks, as somebody's home may have
    os.environ |= {"COURSEWORK_DATA": "digits", "COURSEWORK_RUNS": folder}
    config.add_cleanup(lambda: shutil.rmtree(folder, ignore_errors=True))


def pytest_ignore_collect(collection_path):
    """Grading needs Linux or macOS: on Windows, the tests that import it are left out."""
    return True if os.name == "nt" and imports_the_grading(collection_path) else None


def imports_the_grading(path):
    """Does a test file import `teaching`, or what the tests of it share?"""
    if path.suffix != ".py":
        return False
    imported = re.findall(r"^(?:from|import) (\w+)", path.read_text(encoding="utf-8"), re.M)
    return bool({"teaching", "situations"} & set(imported))


LONGEST = [
    "test_run.py",
    "test_grading.py",
    "test_inside.py",
    "test_year.py",
    "test_zoo.py",
    "test_handout.py",
    "test_house.py",
    "test_sweep.py",
    "test_figures.py",
    "test_resilience.py",
    "test_setup.py",
]


def pytest_collection_modifyitems(items):
    """Long files first, so that no core waits at the end."""
    ranks = {name: rank for rank, name in enumerate(LONGEST)}
    items.sort(key=lambda item: ranks.get(item.path.name, len(ranks)))


def cases(number=100):
    """Hypothesis settings: so many cases. One that takes two minutes, on a busy machine even, fails."""
    checks = list(hypothesis.HealthCheck)
    return hypothesis.settings(
        max_examples=number * FUZZ, deadline=120_000, suppress_health_check=checks
    )


def differing_cells(stored, executed):
    """(source, stored, executed) of the code cells in whose outputs `pytest --nbval` would find a difference."""

    def cells(notebook):
        code = [cell for cell in notebook.cells if cell.cell_type == "code"]
        return [cell for cell in code if "injected-parameters" not in cell.metadata.get("tags", [])]

    found = []
    for old, new in zip(cells(stored), cells(executed), strict=True):
        texts = what_nbval_compares(old), what_nbval_compares(new)
        if texts[0] != texts[1]:
            found.append((old.source, *texts))
    return found


def what_nbval_compares(cell):
    """{kind: [each text of that kind]}, with what was measured masked."""
    from nbval.plugin import get_sanitize_patterns, transform_streams_for_comparison

    masks = get_sanitize_patterns(
        (ROOT / "tests" / "nbval_sanitize.cfg").read_text(encoding="utf-8")
    )
    texts: dict[str, list] = {}
    for output in transform_streams_for_comparison(cell.outputs):
        parts = {kind: value for kind, value in output.items() if kind != "data"} | output.get(
            "data", {}
        )
        for kind in parts.keys() - NOT_COMPARED:
            text = parts[kind]
            for regex, replacement in masks:
                text = re.sub(regex, replacement, text)
            texts.setdefault(kind, []).append(text)
    for kind in texts.keys() & {"stdout", "stderr"}:  # a kernel sends them in any pieces
        texts[kind] = ["".join(texts[kind])]
    return texts


NOT_COMPARED = {"metadata", "output_type", "execution_count", "traceback"}
NOT_COMPARED |= {
    "image/png",
    "application/vnd.jupyter.widget-view+json",
}  # pictures are not, and widgets have random ids


@contextlib.contextmanager
def refused(message="", error=ValueError):
    """The block raises this error, in one line that the regular expression `message` finds."""
    with pytest.raises(error, match=message) as caught:
        yield
    assert str(caught.value) and "\n" not in str(caught.value)


def wait_for(what, seconds=600):
    """Ask until the answer is true, and return it; long, because a loaded machine starts processes slowly."""
    end = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.05)
    return found


def python(*arguments, prefix=(), cwd=ROOT, **environment):
    """Run Python with these arguments to its end, with our code at hand; None in the environment removes a variable."""
    merged = os.environ | {"PYTHONPATH": str(ROOT)} | environment
    merged = {name: value for name, value in merged.items() if value is not None}
    command = [*map(str, prefix), sys.executable, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, encoding="utf-8", cwd=cwd, env=merged)


@pytest.fixture
def runs(monkeypatch, tmp_path):
    """A folder of the test's own in place of `runs/`."""
    from coursework import files  # not above: nbval reads this file too

    monkeypatch.setattr(files, "RUNS", tmp_path / "runs")
    return tmp_path / "runs"


def tiny(family="softmax", **changes):
    """An Experiment of a second."""
    from coursework.experiment import Experiment

    return Experiment(family, **{"units": 4, "epochs": 1, "batch_size": 64, **changes})


@pytest.fixture(scope="session")
def data():
    """A few hundred digits: enough to learn something in seconds."""
    import helpers

    digits = helpers.load_data("digits")
    return helpers.Data(
        "few", digits.x_train[:320], digits.y_train[:320], digits.x_test[:100], digits.y_test[:100]
    )
