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
    hits, total = as_numbers("hits", hits), as_numbers("total", total)
    hits, total = np.broadcast_arrays(hits, total)
    k = np.round(hits.astype(float))
    n = np.round(total.astype(float))
    whole = (np.abs(hits - k) <= 1e-6 * n) & (total == n)
    possible = (k >= 0) & (k <= n)
    if hits.dtype == bool or not (whole & possible).all():
        raise ValueError("hits and total must be numbers of images, 0 <= hits <= total; not shares")
    low, high = _wilson(k, n)
    # Rounding must not keep an end from its place: nothing right begins at 0, everything right ends at 1.
    some = n > 0
    low[some & (k == 0)] = 0
    high[some & (k == n)] = 1
    return low[()], high[()]


def _wilson(k, n):
    """The interval of k / n by Wilson's formula: two arrays."""
    z = stats.norm.ppf(0.975)
    with np.errstate(invalid="ignore", divide="ignore"):
        variance = k * (n - k) / n + z**2 / 4
    middle = k + z**2 / 2
    half = z * np.sqrt(variance)
    total = n + z**2
    return np.asarray((middle - half) / total), np.asarray((middle + half) / total)


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
        """What a is: "better", "worse" or "not separable" from b; `p` may be one adjusted for several comparisons.

        Each with as many images for itself are never separable.
        """
        p = self.p if p is None else p
        if p >= 0.05 or self.only_a == self.only_b:
            return "not separable"
        return "better" if self.only_a > self.only_b else "worse"


def mcnemar(right_a: np.ndarray, right_b: np.ndarray) -> Comparison:
    """Compare two classifiers by which of the same images each got right, (N,) of bool: McNemar's test (1947), exact.

    ValueError for arrays of another type, or of different lengths. Notebooks 2 and 3.
    """
    right_a = as_numbers("right_a", right_a, ("N",))
    right_b = as_numbers("right_b", right_b, ("N",))
    if right_a.dtype != bool or right_b.dtype != bool or right_a.shape != right_b.shape:
        raise ValueError(
            "expected two boolean arrays of one length: which images each classifier got right"
        )
    n = len(right_a)
    only_a = int((right_a & ~right_b).sum())
    only_b = int((right_b & ~right_a).sum())
    differ = only_a + only_b
    p = 1.0
    if differ:
        p = float(stats.binomtest(only_a, differ).pvalue)
    low, high = _interval_of_difference(only_a, only_b, n)
    return Comparison(only_a, only_b, p, (only_a - only_b) / n, low, high)


def _interval_of_difference(only_a, only_b, n):
    """Agresti and Min: Wald's interval after half an observation is added to each of the four cells; within [-1, 1]."""
    a = only_a + 0.5
    b = only_b + 0.5
    total = n + 2
    middle = (a - b) / total
    variance = a + b - (a - b) ** 2 / total
    half = stats.norm.ppf(0.975) * np.sqrt(variance) / total
    low, high = np.clip([middle - half, middle + half], -1, 1)
    return float(low), float(high)


def holm(p_values: np.ndarray) -> np.ndarray:
    """p-values (K,) adjusted for being several (Holm 1979), in the order given; at most 1; none for none.

    Notebook 2.
    """
    if np.shape(p_values) == (0,):
        return np.array([])
    p_values = as_numbers("p_values", p_values, ("K",), 0, 1)
    order = np.argsort(p_values)
    tests_left = np.arange(len(p_values), 0, -1)
    adjusted = np.maximum.accumulate(p_values[order] * tests_left)
    result = np.empty_like(adjusted)
    result[order] = np.minimum(adjusted, 1)
    return result


def mean_interval(values: np.ndarray) -> tuple[float, float, float]:
    """Mean of a few runs and its 95 % interval (Student's t): (mean, low, high); NaN ends for one run alone.

    Notebooks 2 and 3, Q3.1.
    """
    values = as_numbers("values", values, ("K",))
    mean, k = float(values.mean()), len(values)
    if k == 1:
        return mean, np.nan, np.nan
    standard_error = values.std(ddof=1) / np.sqrt(k)
    half = float(stats.t.ppf(0.975, k - 1) * standard_error)
    return mean, mean - half, mean + half
