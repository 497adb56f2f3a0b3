"""What pyproject.toml can't express, and what several test files share."""

import time
from pathlib import Path

import matplotlib
import pytest

matplotlib.use("agg")  # tests draw into memory; the notebooks' kernels choose for themselves

ROOT = Path(__file__).resolve().parent


def pytest_configure(config):
    """Let nbval find its sanitize file from whatever folder pytest is started in."""
    config.option.nbval_sanitize_with = str(Path(__file__).parent / config.option.nbval_sanitize_with)


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
