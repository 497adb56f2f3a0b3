"""Tests draw into memory, and print nothing on the screen."""

import matplotlib

matplotlib.use("agg")
