"""Settings of the test suite that pyproject.toml can't express, and one full run for all tests that look at it."""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import matplotlib
import pytest
from xdist.scheduler import LoadFileScheduling

matplotlib.use("agg")  # tests draw into memory; the notebooks' kernels choose for themselves

ROOT = Path(__file__).resolve().parent
ARGUMENTS = {"DATA": "digits", "EPOCHS": "3", "SEED": "1"}  # as in the README


def pytest_configure(config):
    """Let nbval find its sanitize file from whatever folder pytest is started in."""
    config.option.nbval_sanitize_with = str(Path(__file__).parent / config.option.nbval_sanitize_with)


def pytest_xdist_make_scheduler(config, log):
    """Two tests at a time: a file stays with one worker, and so do the two files that share `finished`."""

    class ByFile(LoadFileScheduling):
        def _split_scope(self, nodeid):
            return super()._split_scope(nodeid).replace("test_readme.py", "test_run.py")

    return ByFile(config, log)


def without_make():
    """The environment less what `make test` hands down to its children, which another make would take for its own."""
    names = [name for name in os.environ if not name.startswith(("MAKE", "MFLAGS")) and name not in ARGUMENTS]
    return {name: os.environ[name] for name in names}


def make(*arguments, venv=None, **environment):
    """`make` in the root of the bundle; the Python that runs the tests stands in for the one in `.venv`."""
    place = ["--directory", str(ROOT), "--no-print-directory", *([f"VENV={venv}"] if venv else [])]
    return subprocess.run(
        ["make", *place, *arguments], capture_output=True, text=True, env=without_make() | environment
    )


def wait_for(what, seconds=600):
    """Ask until the answer is true, and return it; long, because a loaded machine starts processes slowly."""
    end = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.05)
    return found


@pytest.fixture(scope="session")
def data():
    """A few hundred digits: enough to learn something in seconds."""
    import helpers  # not above: nbval reads this file too

    digits = helpers.load_data("digits")
    return helpers.Data("few", digits.x_train[:320], digits.y_train[:320], digits.x_test[:100], digits.y_test[:100])


@pytest.fixture(scope="session")
def finished(tmp_path_factory):
    """`make run DATA=digits EPOCHS=3 SEED=1`, without the installation: (folder of the run, what was printed)."""
    folder = tmp_path_factory.mktemp("out of the way")
    environment = {"COURSEWORK_RUNS": str(folder / "r u n s")}
    if shutil.which("make"):
        venv = tmp_path_factory.mktemp("venv")
        (venv / "bin").mkdir()
        python = venv / "bin" / "python"
        python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
        python.chmod(0o755)
        (venv / "ready").touch()
        result = make("run", *(f"{name}={value}" for name, value in ARGUMENTS.items()), venv=venv, **environment)
    else:
        options = [part for name, value in ARGUMENTS.items() for part in (f"--{name.lower()}", value)]
        command = [sys.executable, str(ROOT / "run.py"), *options]
        result = subprocess.run(command, capture_output=True, text=True, cwd=folder, env=os.environ | environment)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "WARNING" not in result.stderr
    return folder / "r u n s", result.stdout
