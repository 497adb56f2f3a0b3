"""Honest comparisons: intervals, paired tests, several tests at once."""

import dataclasses

import numpy as np
from scipy import stats

from coursework.arguments import as_numbers


def wilson(hits: np.ndarray, total: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """95 % score interval (low, high) of the proportion hits / total (Wilson 1927), NaN where `total` is 0.

    Args:
        hits, total: numbers of images, or arrays of them that broadcast; an accuracy times N is rounded.

    Raises:
        ValueError: what is no number of images, such as an accuracy.

    Notebooks 2 and 3.
    """
    hits, total = np.broadcast_arrays(as_numbers("hits", hits), as_numbers("total", total))
    k, n = np.round(hits.astype(float)), np.round(total.astype(float))
    whole = (np.abs(hits - k) <= 1e-6 * n) & (total == n) & (k >= 0) & (k <= n)
    if hits.dtype == bool or not whole.all():
        raise ValueError("hits and total must be numbers of images, 0 <= hits <= total; not shares")
    z = stats.norm.ppf(0.975)
    with np.errstate(invalid="ignore", divide="ignore"):
        middle, half = (k + z**2 / 2) / (n + z**2), z / (n + z**2) * np.sqrt(k * (n - k) / n + z**2 / 4)
    return np.maximum(middle - half, 0), np.minimum(middle + half, 1)


@dataclasses.dataclass(frozen=True)
class Comparison:
    """Two classifiers on the same images.

    Attributes:
        only_a, only_b: number of images that only a, only b gets right.
        p: exact two-sided McNemar test: chance of a split at least as uneven, if both were equally good.
        difference, low, high: accuracy of a minus accuracy of b, with a 95 % interval (Agresti and Min 2005).
    """

    only_a: int
    only_b: int
    p: float
    difference: float
    low: float
    high: float

    def verdict(self, p: float | None = None) -> str:
        """What a is: "better", "worse" or "not separable" from b; `p` may be one adjusted for several comparisons."""
        if (self.p if p is None else p) >= 0.05:
            return "not separable"
        return "better" if self.only_a > self.only_b else "worse"


def mcnemar(right_a: np.ndarray, right_b: np.ndarray) -> Comparison:
    """Compare two classifiers by which of the same images each got right, (N,) of bool: McNemar's test (1947), exact.

    ValueError for arrays of another type, or of different lengths. Notebooks 2 and 3.
    """
    right_a, right_b = as_numbers("right_a", right_a, ("N",)), as_numbers("right_b", right_b, ("N",))
    if right_a.dtype != bool or right_b.dtype != bool or right_a.shape != right_b.shape:
        raise ValueError("expected two boolean arrays of one length: which images each classifier got right")
    n, only_a, only_b = len(right_a), int((right_a & ~right_b).sum()), int((right_b & ~right_a).sum())
    p = float(stats.binomtest(only_a, only_a + only_b).pvalue) if only_a + only_b else 1.0
    # Agresti and Min: Wald's interval after half an observation is added to each of the four cells.
    a, b, total = only_a + 0.5, only_b + 0.5, n + 2
    middle = (a - b) / total
    half = stats.norm.ppf(0.975) * np.sqrt(a + b - (a - b) ** 2 / total) / total
    return Comparison(only_a, only_b, p, (only_a - only_b) / n, float(middle - half), float(middle + half))


def holm(p_values: np.ndarray) -> np.ndarray:
    """p-values (K,) adjusted for being several (Holm 1979), in the order given; at most 1. Notebook 2."""
    p_values = as_numbers("p_values", p_values, ("K",), 0, 1)
    order = np.argsort(p_values)
    adjusted = np.maximum.accumulate(p_values[order] * np.arange(len(p_values), 0, -1))
    result = np.empty_like(adjusted)
    result[order] = np.minimum(adjusted, 1)
    return result


def mean_interval(values: np.ndarray) -> tuple[float, float, float]:
    """Mean of a few runs and its 95 % interval (Student's t): (mean, low, high); NaN ends for one run alone.

    Notebook 3, Q3.1.
    """
    values = as_numbers("values", values, ("K",))
    mean, k = float(values.mean()), len(values)
    half = stats.t.ppf(0.975, k - 1) * values.std(ddof=1) / np.sqrt(k) if k > 1 else np.nan
    return mean, mean - half, mean + half
