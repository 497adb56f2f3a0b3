"""What pyproject.toml can't express, and what several test files share."""

import contextlib
import os
import subprocess
import sys
import time
from pathlib import Path

import hypothesis
import matplotlib
import pytest

matplotlib.use("agg")  # tests draw into memory; the notebooks' kernels choose for themselves

ROOT = Path(__file__).resolve().parent
LONG = bool(os.environ.get("COURSEWORK_LONG"))  # set by `make faults`
FUZZ = int(os.environ.get("COURSEWORK_FUZZ") or 1)  # set by `make fuzz`: how many times as many cases


def pytest_configure(config):
    """Let nbval find its sanitize file from whatever folder pytest is started in."""
    config.option.nbval_sanitize_with = str(Path(__file__).parent / config.option.nbval_sanitize_with)


LONGEST = ["test_run.py", "test_grading.py", "test_resilience.py", "test_setup.py", "test_sweep.py"]


def pytest_collection_modifyitems(items):
    """Long files first, so that no core waits at the end; the notebooks last, when test_run.py has trained for them."""
    ranks = {name: rank for rank, name in enumerate(LONGEST)}
    items.sort(key=lambda item: (item.path.suffix == ".ipynb", ranks.get(item.path.name, len(ranks))))


def cases(number=100):
    """Hypothesis settings: so many cases. One that takes two minutes, on a busy machine even, fails."""
    checks = list(hypothesis.HealthCheck)
    return hypothesis.settings(max_examples=number * FUZZ, deadline=120_000, suppress_health_check=checks)


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
    return helpers.Data("few", digits.x_train[:320], digits.y_train[:320], digits.x_test[:100], digits.y_test[:100])
