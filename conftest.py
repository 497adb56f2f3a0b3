"""Settings of the test suite that pyproject.toml can't express."""

from pathlib import Path

import matplotlib

matplotlib.use("agg")  # tests draw into memory; the notebooks' kernels choose for themselves


def pytest_configure(config):
    """Let nbval find its sanitize file from whatever folder pytest is started in."""
    config.option.nbval_sanitize_with = str(Path(__file__).parent / config.option.nbval_sanitize_with)
