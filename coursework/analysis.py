"""What the states of a trained network do over time."""

import dataclasses

import numpy as np
from threadpoolctl import threadpool_limits

from coursework.arguments import as_labels, as_numbers, check_choice, check_integer
from coursework.data import Data

# Shapes: T time steps, the rows of an image.
IMAGES = ("N", "T", "pixels")
STATES = ("N", "T", "units")


def first_ink(x: np.ndarray) -> np.ndarray:
    """Number (from 1) of the first row with ink of each image (N, T, pixels); T + 1 where there is none; shape (N,).

    Notebook 3, Q3.2.
    """
    x = as_numbers("x", x, IMAGES)
    if x.min() < 0:
        raise ValueError(f"x holds {x.min():g}: a blank pixel must be 0, and one with ink above it")
    ink = x.max(-1) > 0
    first = ink.argmax(1) + 1
    none = x.shape[1] + 1
    return np.where(ink.any(1), first, none)


def last_ink(x: np.ndarray) -> np.ndarray:
    """Number (from 1) of the last row with ink of each image (N, T, pixels); 0 where there is none; shape (N,).

    Notebook 3, "A 1 that is a 7".
    """
    x = as_numbers("x", x, IMAGES)
    return x.shape[1] + 1 - first_ink(x[:, ::-1])


def erase_last(x: np.ndarray, rows: int) -> np.ndarray:
    """The images (N, T, pixels) with their last rows blank: as many steps, less ink. Notebook 3, Q3.3."""
    x = as_numbers("x", x, IMAGES)
    steps = x.shape[1]
    check_integer(0, steps, rows=rows)
    erased = x.copy()
    erased[:, steps - rows :] = 0
    return erased


def end_ink_at(x: np.ndarray, row: int) -> np.ndarray:
    """Each image (N, T, pixels) moved up or down, so that its last ink is in `row` (1 to T).

    What would leave the image at the top is lost; an image without ink stays as it is. Notebook 3, "A 1 that is a 7".
    """
    x = as_numbers("x", x, IMAGES)
    steps = x.shape[1]
    check_integer(1, steps, row=row)
    down = row - last_ink(x)  # by how many rows; negative: up
    source = np.arange(steps) - down[:, None]  # (N, T): which row comes here
    moved = np.take_along_axis(x, source.clip(0, steps - 1)[:, :, None], axis=1)
    outside = (source < 0) | (source >= steps)
    moved[outside] = 0
    return moved


def shuffle_pixels(data: Data, seed: int, of: str = "pixels") -> Data:
    """The same data with the `of` = "pixels", "rows" or "columns" of all images in another order, the same for all.

    Notebook 3, Q3.1.
    """
    check_integer(0, seed=seed)
    check_choice("of", of, ("pixels", "rows", "columns"))
    rows, columns = data.x_train.shape[1:]
    count = {"pixels": rows * columns, "rows": rows, "columns": columns}[of]
    order = np.random.default_rng(seed).permutation(count)

    def shuffled(x):
        if of == "rows":
            return x[:, order]
        if of == "columns":
            return x[:, :, order]
        pixels = x.reshape(len(x), -1)
        return pixels[:, order].reshape(x.shape)

    name = f"{data.name} shuffled" if of == "pixels" else f"{data.name} {of} shuffled"
    return dataclasses.replace(
        data, name=name, x_train=shuffled(data.x_train), x_test=shuffled(data.x_test)
    )


def commit_step(predictions: np.ndarray) -> np.ndarray:
    """After how many rows (1 to T) the prediction of each image has its final value and never changes again: (N,).

    `predictions` (N, T) holds the class read out after each row.
    """
    predictions = as_numbers("predictions", predictions, ("N", "T"))
    if (predictions != np.floor(predictions)).any():
        raise ValueError(
            "predictions must be classes, whole numbers, after each step; take the argmax of logits"
        )
    steps = predictions.shape[1]
    other = predictions != predictions[:, -1:]
    last_other = steps - other[:, ::-1].argmax(
        1
    )  # the last step with another answer, if there is one
    return np.where(other.any(1), last_other + 1, 1)


def places_of_rows(x: np.ndarray) -> dict[str, np.ndarray]:
    """Which rows of each image lie above its ink, from its first ink to its last, and below: (N, T) of bool each.

    Notebook 3, bonus.
    """
    first, last = first_ink(x)[:, None], last_ink(x)[:, None]
    row = np.arange(1, np.shape(x)[1] + 1)
    below = row > last  # all rows of an image without ink
    above = (row < first) & ~below
    return {
        "blank above": above,
        "rows of the digit": ~above & ~below,
        "blank below": below,
    }


def class_means(h: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Mean of h (N, T, units) over the images of each class in y (N,): (10, T, units); NaN for an absent class.

    Notebook 3, Q3.2.
    """
    h = as_numbers("h", h, STATES)
    y = as_labels("y", y, len(h))
    means = np.full((10, *h.shape[1:]), np.nan)
    for digit in np.unique(y):
        means[digit] = h[y == digit].mean(0, dtype=np.float64)
    return means


def class_variances(h: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Variance of the states h (N, T, units) between the means of the classes in y (N,), and within the classes.

    Two arrays (T,), sums over the units and means over the images, as in a one-way analysis of variance; together they
    are the variance of the states. Notebook 3, Q3.2.
    """
    h = as_numbers("h", h, STATES)
    h = h.astype(np.float64)
    y = as_labels("y", y, len(h))
    share = np.bincount(y, minlength=10) / len(h)
    apart = class_means(h, y) - h.mean(0)  # (10, T, units)
    squared = (apart**2).sum(-1)
    between = np.nansum(share[:, None] * squared, axis=0)
    whole = h.var(0).sum(-1)
    within = np.maximum(whole - between, 0)  # rounding may leave less than nothing
    return between, within


def fit_probes(h: np.ndarray, y: np.ndarray, C: float = 1.0) -> np.ndarray:
    """Fit a linear classifier (scikit-learn's logistic regression) to the states of each step alone.

    It finds out whether the class can be read from the state by a weighted sum, whatever the network's own layers do.

    Args:
        h: states of training images, (N, T, units).
        y: their classes, (N,), three or more of them.
        C: scikit-learn's inverse strength of regularisation; many inputs for few images want less than 1.

    Returns:
        Weights (T, units + 1, 10), the biases last: the logits are [h, 1] @ weights.

    Notebook 3, Q3.3.
    """
    from sklearn.linear_model import LogisticRegression  # here: it takes a second to load

    h = as_numbers("h", h, STATES)
    y = as_labels("y", y, len(h))
    if len(np.unique(y)) < 3:
        raise ValueError("a probe needs images of three or more classes")
    weights = np.zeros((h.shape[1], h.shape[2] + 1, 10))
    weights[:, -1] = -1e9  # never the answer, unless the class is among y
    with threadpool_limits(
        1
    ):  # a second thread of BLAS only waits: a hundred times slower on a busy machine
        for step, weight in enumerate(weights):
            fit = LogisticRegression(C=C, max_iter=1000).fit(h[:, step], y)
            weight[:-1, fit.classes_] = fit.coef_.T
            weight[-1, fit.classes_] = fit.intercept_
    return weights


def probe_logits(weights: np.ndarray, h: np.ndarray) -> np.ndarray:
    """The logits that the probes of `fit_probes` give at each step of h (N, T, units): (N, T, 10).

    Their argmax is the class, their softmax the probabilities. Notebook 3, Q3.3.
    """
    weights = as_numbers("weights", weights, ("T", "units + 1", 10))
    slopes = weights[:, :-1]
    biases = weights[:, -1]
    steps, units, _ = slopes.shape
    h = as_numbers("h", h, ("N", steps, units))
    return np.einsum("ntu,tuk->ntk", h, slopes, optimize=True) + biases


def stop_when_sure(chances: np.ndarray, sure: float) -> tuple[np.ndarray, np.ndarray]:
    """A reader that stops at the first row after which its largest probability is above `sure`, or else at the last.

    Args:
        chances: probabilities of the classes after each row, (N, T, classes).
        sure: between 0 and 1.

    Returns:
        (rows read, 1 to T; the class answered), each (N,).

    Notebook 3, Q3.3.
    """
    chances = as_numbers("chances", chances, ("N", "T", "classes"), 0, 1)
    enough = chances.max(-1) > sure
    enough[:, -1] = True
    step = enough.argmax(1)
    answers = chances.argmax(-1)
    return step + 1, answers[np.arange(len(step)), step]


def mean_correlation(a: np.ndarray, b: np.ndarray) -> float:
    """Correlation of two arrays (N, T, units) within each image, averaged over the images.

    ValueError for another shape, and for an array that is constant in an image: it has no correlation there.
    Notebook 3, bonus.
    """
    a = as_numbers("a", a, STATES)
    b = as_numbers("b", b, a.shape)
    a, b = _deviations("a", a), _deviations("b", b)
    size = np.sqrt(_products(a, a) * _products(b, b))
    correlation = _products(a, b) / size
    return float(correlation.mean())


def _deviations(name, values):
    """Each image's values (N, T x units) minus their mean, unless they are all the same."""
    rows = values.reshape(len(values), -1)
    constant = np.flatnonzero(np.ptp(rows, axis=1) == 0)
    if len(constant):
        raise ValueError(
            f"{name} is constant in image {constant[0]}, so it has no correlation there: leave it out"
        )
    return rows - rows.mean(1, dtype=float, keepdims=True)


def _products(a, b):
    """Sum of the products of two arrays (N, K) along each row: (N,), without an array of products."""
    return np.einsum("nk,nk->n", a, b)
