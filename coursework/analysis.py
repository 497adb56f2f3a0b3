"""What the states of a trained network do over time."""

import numpy as np

from coursework.backend import keras


def first_ink(x):
    """Number (from 1) of the first row with ink of each image (N, T, pixels); T + 1 where there is none; shape (N,)."""
    ink = np.asarray(x).any(-1)
    return np.where(ink.any(1), ink.argmax(1) + 1, ink.shape[1] + 1)


def last_ink(x):
    """Number (from 1) of the last row with ink of each image (N, T, pixels); 0 where there is none; shape (N,)."""
    ink = np.asarray(x).any(-1)
    return np.where(ink.any(1), ink.shape[1] - ink[:, ::-1].argmax(1), 0)


def commit_step(predictions):
    """After how many rows (1 to T) the prediction of each image has its final value and never changes again.

    Args:
        predictions: (N, T), the class read out after each row.
    """
    predictions = np.asarray(predictions)
    if predictions.ndim != 2 or predictions.size == 0:
        raise ValueError(f"predictions has shape {predictions.shape}, expected (N, T)")
    wrong = predictions != predictions[:, -1:]
    return np.where(wrong.any(1), predictions.shape[1] - wrong[:, ::-1].argmax(1) + 1, 1)


def class_means(h, y):
    """Mean of h (N, T, units) over the images of each class in y (N,): (10, T, units); NaN for an absent class."""
    with np.errstate(invalid="ignore"):
        counts = np.bincount(y, minlength=10)
        return np.stack([h[y == digit].sum(0, dtype=np.float64) / counts[digit] for digit in range(10)])


def separation(h, y):
    """Variance of the states h (N, T, units) between the means of the classes in y (N,), and within the classes.

    Both are sums over the units and means over the images, as in a one-way analysis of variance; together they are
    the variance of the states.

    Returns:
        (between, within), two arrays (T,).
    """
    h = np.asarray(h, np.float64)
    means, counts = class_means(h, y), np.bincount(y, minlength=10)
    present = counts > 0
    grand = h.mean(0)
    between = (counts[present, None, None] * (means[present] - grand) ** 2).sum((0, 2)) / len(h)
    total = ((h - grand) ** 2).sum((0, 2)) / len(h)
    return between, np.maximum(total - between, 0)


def movement(h):
    """How far the state h (N, T, units) moves at each step: Euclidean length of h_t - h_(t-1), (N, T); h_0 = 0."""
    return np.linalg.norm(np.diff(h, axis=1, prepend=0), axis=-1)


def probe_accuracy(h_train, y_train, h_test, y_test, iterations=100):
    """Which test images a linear classifier gets right that is fitted to the states of one step, (N, T) of bool.

    A softmax regression for each step, fitted to the training images' states and asked about the test images'. It
    finds out whether the class can be read from the state by a weighted sum, whatever the network's own layers do.
    All steps are fitted at once, by Newton steps with Boehning's bound (1992) in place of the Hessian, and momentum.
    The tests hold it against scikit-learn's `LogisticRegression`, which fits one step at a time and takes more than
    ten times as long.

    Args:
        h_train, h_test: states (N, T, units) of training and of test images.
        y_train, y_test: their classes, (N,).
        iterations: number of Newton steps.
    """

    def with_one(h):
        return np.concatenate([h, np.ones((*h.shape[:2], 1))], axis=-1).transpose(1, 0, 2).astype(np.float32)

    x, truth = with_one(h_train), keras.ops.one_hot(y_train, 10)
    gram = np.einsum("tni,tnj->tij", x, x, optimize=True).astype(np.float64) / 2
    inverse = np.linalg.inv(gram + 1e-3 * len(y_train) * np.eye(x.shape[-1]) / 10).astype(np.float32)
    x, inverse = keras.ops.convert_to_tensor(x), keras.ops.convert_to_tensor(inverse)
    weights = before = keras.ops.zeros((x.shape[0], x.shape[-1], 10))
    for k in range(iterations):
        ahead = weights + k / (k + 3) * (weights - before)
        error = truth - keras.ops.softmax(x @ ahead)
        before, weights = weights, ahead + inverse @ (keras.ops.transpose(x, (0, 2, 1)) @ error)
    answers = keras.ops.argmax(keras.ops.convert_to_tensor(with_one(h_test)) @ weights, axis=-1)
    answers = keras.ops.convert_to_numpy(answers).T
    return answers == np.asarray(y_test)[:, None]


def saturation(gate, low=0.1, high=0.9):
    """Share of images and steps at which each unit's gate is below `low` and above `high`.

    Args:
        gate: (N, T, units), activations in [0, 1].

    Returns:
        (closed, opened), two arrays (units,). Karpathy, Johnson and Fei-Fei (2015) plot one over the other.
    """
    return (gate < low).mean((0, 1)), (gate > high).mean((0, 1))
