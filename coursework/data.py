"""Images as sequences of rows."""

import contextlib
import dataclasses
import functools
import hashlib
import math
import os
import shutil
import tempfile
import threading
import zipfile
from concurrent.futures import Future
from pathlib import Path

import joblib
import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from coursework import files
from coursework.arguments import short_repr
from coursework.backend import keras
from coursework.files import replacing
from coursework.text import measured

# Keras's own address and checksum of MNIST (`keras.datasets.mnist`), which takes no time limit itself.
MNIST_URL = "https://storage.googleapis.com/tensorflow/tf-keras-datasets/mnist.npz"
MNIST_SHA256 = "731c5ac602752760c8e48fbffcf8c3b850d9dc2a2aedcf2cc48468fc17b673d1"
MAX_NPZ_BYTES = 2**29  # unpacked; MNIST itself has 55 MB, 439 MB as float64


@dataclasses.dataclass(frozen=True)
class Data:
    """Images as sequences of rows.

    Attributes:
        name: "mnist", "digits" or the stem of the file the data came from.
        x_train, x_test: float32, shape (N, 28, 28): image, time step (row), pixel.
        y_train, y_test: int64, shape (N,), the digit 0-9.
    """

    name: str
    x_train: np.ndarray
    y_train: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray

    def __post_init__(self):
        for part in ("x_train", "y_train", "x_test", "y_test"):  # for reading only: `digest` is taken once
            array = getattr(self, part).view()
            array.flags.writeable = False
            object.__setattr__(self, part, array)

    @functools.cached_property
    def digest(self):
        """Hash of the arrays, not of the name: the same bytes are the same data."""
        return joblib.hash((self.x_train, self.y_train, self.x_test, self.y_test))


def binarize(images, threshold=0.1):
    """1.0 where a pixel on the [0, 1] scale is above the threshold, else 0.0 (float32, same shape)."""
    return (np.asarray(images) > threshold).astype(np.float32)


def load_data(source="auto", binary=True):
    """Load the digit images.

    Args:
        source: "mnist" (Keras's cache, or a download of 11 MB into it); "digits" (1,797 scans that ship with
            scikit-learn, no network); the path of an `.npz` file laid out like Keras's `mnist.npz`; or "auto":
            what the environment variable COURSEWORK_DATA names if it is set, else MNIST if it is cached or arrives
            within 10 seconds, else digits. "auto" prints one line that says what was chosen and why.
        binary: pixels are 0 or 1 (`binarize`); otherwise grey values in [0, 1].

    Returns:
        Data.

    Raises:
        ValueError: unknown name, or a file without the right arrays. FileNotFoundError: no such file.
        ConnectionError: "mnist" is neither cached nor within reach. Each with one line of text.
    """
    why = None
    if source == "auto":
        source, images, why = _auto_source()
    else:
        images = _images(source)
    name = source if source in ("mnist", "digits") else Path(source).stem
    x_train, y_train, x_test, y_test = images
    prepare = binarize if binary else np.float32
    data = Data(name, prepare(x_train), y_train, prepare(x_test), y_test)
    if why:
        print("Data:", measured(f"{name}, {len(y_train):,} training and {len(y_test):,} test images ({why})"))
    return data


def _auto_source():
    wish = os.environ.get("COURSEWORK_DATA", "").strip()
    if wish and wish != "auto":
        # The notebooks run in their own folder: a relative path may also count from this file's.
        beside = files.ROOT / wish
        wish = str(beside) if _is_file(beside) and not _is_file(wish) else wish
        return wish, _images(wish), "as COURSEWORK_DATA says"
    try:
        return "mnist", _images("mnist", seconds=10), "Keras's copy"
    except ConnectionError as error:
        return "digits", _images("digits"), str(error)


def _images(source, seconds=300):
    """(x_train, y_train, x_test, y_test), grey values in [0, 1], for a name or a path."""
    if not isinstance(source, (str, os.PathLike)):
        raise ValueError(f"data must be a name or a path, not {type(source).__name__}")
    if source == "mnist":
        return _mnist(seconds)
    if source == "digits":
        return _digits()
    path = os.path.expanduser(os.fsdecode(source))
    if path.endswith(".npz") or _is_file(path):
        return _read_npz(Path(path))
    raise ValueError(f"unknown data {short_repr(source)}: use 'auto', 'mnist', 'digits' or the path of an .npz file")


def _is_file(path):
    """Is there a file? False also where the system refuses to look, or where the text can't be a path at all."""
    try:
        return Path(path).is_file()
    except (OSError, ValueError):
        return False


def _digits():
    """scikit-learn's 8x8 scans enlarged to 20x20 and framed to 28x28, as MNIST's digits are."""
    digits = load_digits()
    images = np.asarray(keras.ops.image.resize(digits.images[..., None].astype(np.float32) / 16, (20, 20)))[..., 0]
    images = np.pad(images, ((0, 0), (4, 4), (4, 4)))
    x_train, x_test, y_train, y_test = train_test_split(
        images, digits.target.astype(np.int64), test_size=0.2, random_state=0, stratify=digits.target
    )
    return x_train, y_train, x_test, y_test


def _mnist(seconds):
    """MNIST's images from Keras's cache; downloaded into it if missing or damaged, in `seconds` at most."""
    home = os.path.expanduser(os.environ.get("KERAS_HOME") or "~/.keras")
    if home.startswith("~"):  # a user without a home; Keras itself goes there too
        home = Path(tempfile.gettempdir(), ".keras")
    cached = Path(home, "datasets", "mnist.npz")
    damaged = ""
    if _is_file(cached):
        with contextlib.suppress(OSError):  # another user's file, say
            if hashlib.sha256(cached.read_bytes()).hexdigest() == MNIST_SHA256:
                return _read_npz(cached)
        damaged = "the cached mnist.npz is damaged, and "
    # Downloaded into a folder of its own and renamed when whole, so that no half-written file ever lies in the cache.
    try:
        folder = Path(tempfile.mkdtemp(prefix="mnist-"))
    except OSError as error:
        raise ConnectionError(f"{damaged}there is no place to download MNIST to") from error

    def download():
        keras.config.disable_interactive_logging()  # no download bar on screen; holds for this thread only
        return keras.utils.get_file("mnist.npz", MNIST_URL, file_hash=MNIST_SHA256, cache_dir=str(folder))

    try:
        try:
            arrived = with_timeout(download, seconds)
        except TimeoutError as error:
            raise ConnectionError(f"{damaged}MNIST did not arrive within {seconds} seconds") from error
        except ValueError as error:  # the checksum
            raise ConnectionError(f"{damaged}what arrived is not MNIST; a login page, perhaps") from error
        except Exception as error:  # Keras raises a bare Exception for HTTP errors
            raise ConnectionError(f"{damaged}MNIST could not be downloaded") from error
        images = _read_npz(arrived)
        with contextlib.suppress(OSError):  # a read-only home or a full disk: nothing is kept
            with replacing(cached) as aside:
                shutil.copyfile(arrived, aside)
        return images
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def with_timeout(function, seconds):
    """What `function` returns or raises; TimeoutError if it takes longer, and the thread it runs in is left behind."""
    outcome = Future()

    def work():
        try:
            outcome.set_result(function())
        except BaseException as error:
            outcome.set_exception(error)

    threading.Thread(target=work, daemon=True).start()
    return outcome.result(seconds)


def _read_npz(path):
    """The four arrays of an `.npz` like Keras's `mnist.npz`, checked, never unpickled."""
    path = Path(path)
    if not _is_file(path):
        text = repr(str(path))
        raise FileNotFoundError(f"no data file at {text if len(text) <= 300 else text[:297] + '...'}")
    name = path.name if path.name.isprintable() else repr(path.name)
    arrays = dict.fromkeys(("x_train", "y_train", "x_test", "y_test"))
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
        size = sum(member.file_size for member in members)
        # What NumPy writes. In LZMA, four bytes of the file say how much memory to take: up to 4 GB.
        usual = all(member.compress_type in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) for member in members)
        if usual and size <= MAX_NPZ_BYTES:
            with np.load(path, allow_pickle=False) as file:
                for key in set(arrays) & set(file.files):
                    try:
                        _check_claim(file.zip, f"{key}.npy")
                        arrays[key] = file[key]
                    except ValueError as error:  # what NumPy says of an array of Python objects
                        arrays[key] = error
    except Exception as error:  # zipfile, its decompressors and NumPy's header parser raise two dozen types
        raise ValueError(f"{name} is not a readable .npz file") from error
    if not usual:
        raise ValueError(f"{name} is not compressed as NumPy does it; save it with np.savez_compressed")
    if size > MAX_NPZ_BYTES:
        raise ValueError(f"{name} would unpack to {size:,} bytes; at most {MAX_NPZ_BYTES:,} are accepted")
    missing = [key for key, array in arrays.items() if array is None]
    if missing:
        raise ValueError(f"{name} lacks the array {missing[0]!r}; it needs {', '.join(arrays)}")
    for key, array in arrays.items():
        if not isinstance(array, np.ndarray):  # an error, or a member that is no array, which NumPy gives as bytes
            raise ValueError(f"{name}: {key} holds pickled objects or is damaged; save plain arrays")
    return (
        *_checked(name, "train", arrays["x_train"], arrays["y_train"]),
        *_checked(name, "test", arrays["x_test"], arrays["y_test"]),
    )


def _check_claim(archive, member):
    """ValueError if an array says that it is larger than it is: NumPy would ask for all that memory first."""
    with archive.open(member) as file:
        version = np.lib.format.read_magic(file)
        header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, _, dtype = header(file)
    if math.prod(shape) * dtype.itemsize > archive.getinfo(member).file_size:
        raise ValueError("the array is shorter than its header says")


def _checked(file, part, x, y):
    """Grey values in [0, 1] and int64 labels, or a ValueError that names what is wrong."""
    if x.ndim != 3 or x.shape[1:] != (28, 28) or len(x) == 0:
        raise ValueError(f"{file}: x_{part} has shape {x.shape}, expected (N, 28, 28) with N > 0")
    if y.shape != (len(x),):
        raise ValueError(f"{file}: y_{part} has shape {y.shape}, expected ({len(x)},) like x_{part}")
    if x.dtype.kind not in "uif" or y.dtype.kind not in "ui":
        raise ValueError(f"{file}: x_{part} must hold numbers and y_{part} integers, not {x.dtype} and {y.dtype}")
    if y.min() < 0 or y.max() > 9:
        raise ValueError(f"{file}: y_{part} holds labels from {y.min()} to {y.max()}, expected 0-9")
    low, high = float(x.min()), float(x.max())
    if not 0 <= low <= high <= 255:  # also refuses NaN
        raise ValueError(f"{file}: x_{part} has pixels from {low} to {high}, expected 0-255 or 0-1")
    scale = 255 if high > 1 else 1  # of integers too: images may be binary already
    x = x.astype(np.float32)
    x /= scale  # in place: a large file needs no third copy
    return x, y.astype(np.int64)
