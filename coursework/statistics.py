"""Honest comparisons: intervals, paired tests, several tests at once."""

import dataclasses

import numpy as np
from scipy import stats


def wilson(hits, total):
    """95 % score interval of a proportion (Wilson 1927), NaN where `total` is 0.

    Args:
        hits, total: numbers of images, or arrays of them that broadcast.

    Returns:
        (low, high), proportions between 0 and 1, of the broadcast shape.
    """

    def interval(k, n):
        return tuple(stats.binomtest(int(k), int(n)).proportion_ci(method="wilson")) if n else (np.nan, np.nan)

    return np.vectorize(interval, otypes=[float, float])(hits, total)


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

    def verdict(self, p=None):
        """What a is: "better", "worse" or "not separable" from b; `p` may be one adjusted for several comparisons."""
        if (self.p if p is None else p) >= 0.05:
            return "not separable"
        return "better" if self.only_a > self.only_b else "worse"


def mcnemar(right_a, right_b):
    """Compare two classifiers by what each got right: McNemar's test (1947), exact.

    Args:
        right_a, right_b: boolean arrays (N,) over the same images.

    Returns:
        Comparison.

    Raises:
        ValueError: arrays of another type, or of different lengths.
    """
    right_a, right_b = np.asarray(right_a), np.asarray(right_b)
    if right_a.dtype != bool or right_b.dtype != bool or right_a.shape != right_b.shape or right_a.ndim != 1:
        raise ValueError("expected two boolean arrays of one length: which images each classifier got right")
    n, only_a, only_b = len(right_a), int((right_a & ~right_b).sum()), int((right_b & ~right_a).sum())
    p = float(stats.binomtest(only_a, only_a + only_b).pvalue) if only_a + only_b else 1.0
    # Agresti and Min: Wald's interval after half an observation is added to each of the four cells.
    a, b, total = only_a + 0.5, only_b + 0.5, n + 2
    middle = (a - b) / total
    half = stats.norm.ppf(0.975) * np.sqrt(a + b - (a - b) ** 2 / total) / total
    return Comparison(only_a, only_b, p, (only_a - only_b) / n, float(middle - half), float(middle + half))


def holm(p_values):
    """p-values (K,) adjusted for being several (Holm 1979), in the order given; at most 1."""
    p_values = np.asarray(p_values, float)
    order = np.argsort(p_values)
    adjusted = np.maximum.accumulate(p_values[order] * np.arange(len(p_values), 0, -1))
    result = np.empty_like(adjusted)
    result[order] = np.minimum(adjusted, 1)
    return result
