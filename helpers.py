"""Plumbing of the coursework on LSTM and GRU gates, in the order in which the notebooks need it.

1. Printing what was measured   5. Models and training
2. Data                         6. Tracing the gates
3. Equations                    7. Analysis
4. Checks of an answer          8. Tables and figures
"""

import contextlib
import csv
import dataclasses
import functools
import hashlib
import inspect
import io
import itertools
import json
import math
import os
import platform
import re
import shutil
import tempfile
import threading
import time
import uuid
import zipfile
from concurrent.futures import Future
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import IPython
import ipywidgets
import joblib
import matplotlib.pyplot as plt
import numpy as np
import psutil
import sympy as sp
import tqdm
import tqdm.notebook
from joblib.externals.loky import get_reusable_executor
from joblib.externals.loky.process_executor import TerminatedWorkerError
from matplotlib.animation import FuncAnimation, PillowWriter
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter
from scipy import stats
from scipy.special import expit, softmax
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split


@contextlib.contextmanager
def _stderr_to_null():
    """Silence file descriptor 2: TensorFlow's C++ code logs there, past `sys.stderr` and its own log level."""
    try:
        saved = os.dup(2)
    except OSError:  # closed by whoever started this
        yield
        return
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 2)
    try:
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)
        os.close(null)


os.environ["KERAS_BACKEND"] = "tensorflow"  # whatever the user's own setting is
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# One thread for each model, and models side by side: these networks gain next to nothing from a second thread, and the
# last bits of some of them (the CNN's) depend on the number of threads. joblib limits OpenMP's threads only.
os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")
os.environ.setdefault("TF_NUM_INTEROP_THREADS", "1")
with _stderr_to_null():
    import keras
    import tensorflow as tf
tf.get_logger().setLevel("ERROR")  # no advice about retracing: each model is evaluated once

RUNS = Path(__file__).resolve().parent / (os.environ.get("COURSEWORK_RUNS") or "runs")


# ---------------------------------------------------------------------------------------------------------------------
# 1. Printing what was measured
# ---------------------------------------------------------------------------------------------------------------------
def measured(value, spec=""):
    """Mark what may differ on the next machine or data set, so that nbval compares everything but it.

    Numbers become ``≈0.9659`` (formatted by `spec`), words become ``≈[not separable]``. The sanitize file
    of the tests masks exactly these two forms.
    """
    text = format(value, spec)
    return f"≈[{text}]" if isinstance(value, str) else f"≈{text}"


# ---------------------------------------------------------------------------------------------------------------------
# 2. Data
# ---------------------------------------------------------------------------------------------------------------------
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
        beside = Path(__file__).resolve().parent / wish
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
    raise ValueError(f"unknown data {_brief(source)}: use 'auto', 'mnist', 'digits' or the path of an .npz file")


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
            arrived = _in_time(download, seconds)
        except TimeoutError as error:
            raise ConnectionError(f"{damaged}MNIST did not arrive within {seconds} seconds") from error
        except ValueError as error:  # the checksum
            raise ConnectionError(f"{damaged}what arrived is not MNIST; a login page, perhaps") from error
        except Exception as error:  # Keras raises a bare Exception for HTTP errors
            raise ConnectionError(f"{damaged}MNIST could not be downloaded") from error
        images = _read_npz(arrived)
        with contextlib.suppress(OSError):  # a read-only home or a full disk: nothing is kept
            with written_aside(cached) as aside:
                shutil.copyfile(arrived, aside)
        return images
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _in_time(function, seconds):
    """What `function` returns or raises; TimeoutError if it takes longer, and the thread it runs in is left behind."""
    outcome = Future()

    def work():
        try:
            outcome.set_result(function())
        except BaseException as error:
            outcome.set_exception(error)

    threading.Thread(target=work, daemon=True).start()
    return outcome.result(seconds)


@contextlib.contextmanager
def written_aside(path):
    """A path to write a file to; it takes the name `path` when it is whole, and is gone if it never is."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".unfinished-{os.getpid()}-{path.name}")
    try:
        yield aside
        os.replace(aside, path)
    finally:
        aside.unlink(missing_ok=True)


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


# ---------------------------------------------------------------------------------------------------------------------
# 3. Equations
# ---------------------------------------------------------------------------------------------------------------------
class dot(sp.Function):
    """A weight matrix times a vector. `one_unit` turns it into a plain product of two numbers."""

    nargs = 2

    @classmethod
    def eval(cls, matrix, vector):
        """Zero if a factor is; otherwise left as it stands."""
        return sp.S.Zero if matrix.is_zero or vector.is_zero else None

    def fdiff(self, argindex=1):
        """Derivative by the first or the second factor: the other one."""
        return self.args[2 - argindex]

    def _latex(self, printer):
        matrix, vector = map(printer.doprint, self.args)
        return f"{matrix} {vector}" if self.args[1].is_Atom else rf"{matrix} \left({vector}\right)"


class sigmoid(sp.Function):
    """The gates' activation, 1 / (1 + exp(-a)); `.rewrite(sympy.exp)` writes it out."""

    nargs = 1

    def fdiff(self, argindex=1):
        """Derivative: s (1 - s)."""
        return self * (1 - self)

    def _eval_rewrite_as_exp(self, a, **_):
        return 1 / (1 + sp.exp(-a))

    def _latex(self, printer):
        return rf"\sigma\left({printer.doprint(self.args[0])}\right)"


@dataclasses.dataclass(frozen=True)
class Equations:
    """One time step of a cell in SymPy. All symbols are real and named as in the code: h_prev is the old h.

    Attributes:
        cell: "LSTM" or "GRU".
        gates: dict from gate (symbol) to its formula.
        candidate: formula of the candidate g.
        state: formula of the new state from the gates, g and the old state: c for the LSTM, h for the GRU.
        output: formula of the new h; the LSTM's contains the symbol c.
    """

    cell: str
    gates: dict
    candidate: sp.Expr
    state: sp.Expr
    output: sp.Expr

    @property
    def old_state(self):
        """The symbol of what the cell remembers: c_prev or h_prev."""
        return _symbol("c_prev" if self.cell == "LSTM" else "h_prev")

    @property
    def full_state(self):
        """The new state with the candidate put in; the gates stay symbols."""
        return self.state.subs(_symbol("g"), self.candidate)

    def _lines(self):
        new = _symbol("c" if self.cell == "LSTM" else "h")
        lines = [*self.gates.items(), (_symbol("g"), self.candidate), (new, self.state)]
        return lines if self.cell == "GRU" else [*lines, (_symbol("h"), self.output)]

    def __repr__(self):
        return "\n".join(f"{left} = {right}" for left, right in self._lines())

    def _repr_latex_(self):
        lines = (f"{sp.latex(left)} &= {sp.latex(right)}" for left, right in self._lines())
        return r"$\displaystyle \begin{aligned}" + r" \\ ".join(lines) + r"\end{aligned}$"


def _symbol(name):
    return sp.Symbol(name, real=True)


@functools.cache
def equations(cell, z_keeps=1, reset_after=False):
    """The update of a cell, the one place where it is written down.

    Products of two vectors are taken element by element; `dot` is a matrix times a vector.

    Args:
        cell: "LSTM" (Hochreiter & Schmidhuber 1997, with the forget gate of Gers et al. 2000) or "GRU" (Cho et al.
            2014).
        z_keeps: the GRU's convention. 1: z = 1 keeps the old state (Cho et al. 2014, Keras, this course);
            0: z = 1 replaces it (Chung et al. 2014).
        reset_after: where the GRU's reset gate acts. False: on h_prev, before the recurrent weights (Cho et al. 2014,
            this course); True: after them, with a bias b_U of its own (Keras's default).

    Returns:
        Equations.

    Raises:
        ValueError: unknown cell or convention.
    """
    _check_choice("cell", cell, ("LSTM", "GRU"))
    _check_choice("z_keeps", z_keeps, (1, 0))
    x, h_prev, c_prev, g, c = map(_symbol, ("x", "h_prev", "c_prev", "g", "c"))
    W, U, b = map(_symbol, "WUb")

    def gate(name):
        W, U, b = (_symbol(f"{weight}_{name}") for weight in "WUb")
        return sigmoid(dot(W, x) + dot(U, h_prev) + b)

    gates = {_symbol(name): gate(name) for name in ("ifo" if cell == "LSTM" else "zr")}
    if cell == "LSTM":
        i, f, o = gates
        candidate = sp.tanh(dot(W, x) + dot(U, h_prev) + b)
        return Equations(cell, gates, candidate, state=f * c_prev + i * g, output=o * sp.tanh(c))
    z, r = gates
    recurrent = r * (dot(U, h_prev) + _symbol("b_U")) if reset_after else dot(U, r * h_prev)
    state = z * h_prev + (1 - z) * g if z_keeps else (1 - z) * h_prev + z * g
    return Equations(cell, gates, candidate=sp.tanh(dot(W, x) + recurrent + b), state=state, output=state)


def one_unit(formula):
    """The formula for a layer of one unit with one input: every `dot` becomes a product of two numbers."""
    return formula.replace(dot, lambda matrix, vector: matrix * vector)


def _check_choice(name, value, choices):
    """ValueError in one line unless `value` is one of the choices (True and False count as 1 and 0)."""
    if not isinstance(value, (str, int, np.integer)) or value not in choices:
        raise ValueError(f"unknown {name} {_brief(value)}: use {' or '.join(map(repr, choices))}")


MOST = 2**31 - 1  # what fits every integer of TensorFlow


def check_whole(least=1, most=MOST, **values):
    """ValueError, in one line, if one of the named values is no whole number from `least` to `most`."""
    for name, value in values.items():
        if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < least:
            raise ValueError(f"{name} must be a whole number of at least {least}, not {_brief(value)}")
        if value > most:
            raise ValueError(f"{name} must be at most {most}, not {_brief(value)}")


@functools.cache
def _compiled(cell, reset_after):
    """The equations as a NumPy function: dict of x, h_prev, c_prev and weights -> (new h, new c; the GRU's c is h)."""
    step = equations(cell, reset_after=reset_after)
    filled = [(_symbol("c"), step.state), (_symbol("g"), step.candidate), *step.gates.items()]
    formulas = [step.output, step.state]
    for pair in filled:
        formulas = [formula.subs(*pair) for formula in formulas]
    symbols = sorted(set().union(*(formula.free_symbols for formula in formulas)), key=str)
    numpy_names = {"dot": lambda matrix, vector: vector @ matrix.T, "sigmoid": expit}
    function = sp.lambdify(symbols, formulas, modules=[numpy_names, "numpy"], cse=True)
    names = [symbol.name for symbol in symbols]
    return lambda values: function(*(values[name] for name in names))


# Keras's order of the blocks in a layer's weights; "" is the candidate.
KERAS_ORDER = {"LSTM": ("_i", "_f", "", "_o"), "GRU": ("_z", "_r", "")}


def _named_weights(layer):
    """A Keras layer's weights under the names of the equations: W_i (units, features), U_i (units, units), b_i ..."""
    kernel, recurrent, bias = (np.asarray(weight, np.float64) for weight in layer.get_weights())
    order = KERAS_ORDER[type(layer).__name__]
    named = {}
    for block, name in enumerate(order):
        columns = np.s_[..., block * layer.units : (block + 1) * layer.units]
        named["W" + name], named["U" + name] = kernel[columns].T, recurrent[columns].T
        if bias.ndim == 1:
            named["b" + name] = bias[columns]
        elif name:  # `reset_after`: the gates simply add their two biases
            named["b" + name] = bias[columns].sum(0)
        else:
            named["b"], named["b_U"] = bias[columns]
    return named


def run_equations(layer, x):
    """What the equations give with the weights of a Keras layer, from the zero state, in float64.

    Args:
        layer: a built `keras.layers.LSTM` or `GRU` with the default activations and with biases.
        x: (N, T, features).

    Returns:
        (h, c), each (N, T, units); the GRU's c is its h.
    """
    weights = _named_weights(layer)
    step = _compiled(type(layer).__name__, getattr(layer, "reset_after", False))
    x = np.asarray(x, np.float64)
    h = c = np.zeros((len(x), layer.units))
    history = []
    for t in range(x.shape[1]):
        h, c = step({"x": x[:, t], "h_prev": h, "c_prev": c, **weights})
        history.append((h, c))
    return tuple(np.stack(values, axis=1) for values in zip(*history, strict=True))


def keras_layer(cell, weights, units=28, features=28, reset_after=False, dtype="float32"):
    """A Keras layer with hand-set weights, which returns h at every step.

    Args:
        cell: "LSTM" or "GRU".
        weights: dict under the names of the equations: "W", "U", "b" of the candidate, "W_i", "U_i", "b_i" of the gate
            i, and so on; "b_U" with `reset_after`. A number fills the whole array, what is left out is 0.
            Shapes: W (units, features), U (units, units), b (units,).
        units, features, reset_after, dtype: as in Keras.

    Returns:
        A built `keras.layers.LSTM` or `keras.layers.GRU` with `return_sequences=True`.

    Raises:
        ValueError: unknown cell or weight, or a wrong shape.
    """
    _check_choice("cell", cell, ("LSTM", "GRU"))
    options = {"reset_after": reset_after} if cell == "GRU" else {}
    layer = getattr(keras.layers, cell)(units, return_sequences=True, dtype=dtype, **options)
    layer.build((None, None, features))
    shapes = {"W": (units, features), "U": (units, units), "b": (units,)}
    order = KERAS_ORDER[cell]
    names = [kind + name for kind in shapes for name in order] + ["b_U"] * (cell == "GRU" and reset_after)
    unknown = sorted(set(weights) - set(names))
    if unknown:
        raise ValueError(f"unknown weight {unknown[0]!r}: a {cell} has {', '.join(names)}")

    def block(name):
        return np.broadcast_to(np.asarray(weights.get(name, 0.0), np.float64), shapes[name[0]])

    kernel, recurrent, bias = (np.concatenate([block(kind + name).T for name in order], axis=-1) for kind in shapes)
    if cell == "GRU" and reset_after:
        second = np.zeros_like(bias)
        second[-units:] = block("b_U")
        bias = np.stack([bias, second])
    layer.set_weights([kernel, recurrent, bias])
    return layer


def final_state(layer, x, old_state=None):
    """What a Keras layer remembers after the last step: c of an LSTM, h of a GRU.

    Args:
        layer: `keras.layers.LSTM` or `GRU`.
        x: (N, T, features).
        old_state: (N, units), the state before the first step; None is 0. An LSTM starts with h = 0 beside it.

    Returns:
        float array (N, units).
    """
    # The layer's own weights in a twin that also returns its state.
    config = layer.get_config() | {"return_sequences": False, "return_state": True}
    twin = type(layer).from_config(config)
    twin.build((None, None, layer.get_weights()[0].shape[0]))
    twin.set_weights(layer.get_weights())
    if old_state is not None:
        old_state = [np.zeros_like(old_state), old_state] if isinstance(layer, keras.layers.LSTM) else [old_state]
    return np.asarray(twin(x, initial_state=old_state)[-1])


def measure_gate_error(cell, behaviour, signs, biases, steps=28, seed=0):
    """How far a Keras layer in float32 is from storing or keeping exactly when its gates have finite biases.

    One unit per bias B, 64 random inputs in [-1, 1], random old states in [-1, 1], U = 0. A gate's bias is B where its
    activation should be 1 and -B where it should be 0. Store: one step; keep: `steps` steps.

    Args:
        cell: "LSTM" or "GRU".
        behaviour: "store_input" (distance from the state of the same layer with B = 1000) or "keep_state" (distance
            from the state before the first step).
        signs: dict from the name of a gate's bias ("b_i", "b_z", ...) to 1 or -1; what is left out is 0.
        biases: array of K biases.
        steps: number of time steps of "keep_state".
        seed: of weights, inputs and states.

    Returns:
        float array (K,): the largest error over the inputs.
    """
    _check_choice("cell", cell, ("LSTM", "GRU"))
    _check_choice("behaviour", behaviour, ("store_input", "keep_state"))
    biases, rng = np.asarray(biases, np.float64), np.random.default_rng(seed)
    units, features = len(biases), 8
    store = behaviour == "store_input"
    W = np.tile(rng.normal(size=features), (units, 1))
    x = rng.uniform(-1, 1, (64, 1 if store else steps, features)).astype(np.float32)
    old = np.repeat(rng.uniform(-1, 1, (64, 1)), units, axis=1).astype(np.float32)

    def state(B):
        gates = {name: sign * B for name, sign in signs.items()}
        return final_state(keras_layer(cell, {"W": W, **gates}, units, features), x, old)

    target = state(np.full(units, 1000.0)) if store else old
    return np.abs(state(biases).astype(np.float64) - target).max(axis=0)


def deviation_from_keras(cell, reset_after=False, units=8, features=28, steps=28, seed=0, dtype="float32"):
    """Largest |h by the equations - h by Keras| over 16 random sequences, with random weights and biases.

    Args:
        cell: "LSTM" or "GRU".
        reset_after, units, features, dtype: of the layer, as in `keras_layer`.
        steps: length of the sequences.
        seed: of weights and inputs.

    Returns:
        float: `run_equations` works in float64, so with a layer in float64 it is rounding alone.
    """
    rng = np.random.default_rng(seed)
    layer = keras_layer(cell, {}, units, features, reset_after, dtype)
    layer.set_weights([rng.normal(0, 0.4, weight.shape) for weight in layer.get_weights()])
    x = rng.normal(size=(16, steps, features)).astype(dtype)
    return float(np.abs(run_equations(layer, x)[0] - np.asarray(layer(x))).max())


# ---------------------------------------------------------------------------------------------------------------------
# 4. Checks of an answer
# ---------------------------------------------------------------------------------------------------------------------
MAX_BITS = 1100  # of the numerator and of the denominator of a number in an answer: enough for every 64-bit float
MAX_PARTS = 50  # of a SymPy expression in an answer


@dataclasses.dataclass(frozen=True)
class Verdict:
    """Whether an answer holds.

    Attributes:
        ok: True if it does. A Verdict is true exactly then.
        hint: one line on what is still wrong; empty if nothing is.
    """

    ok: bool
    hint: str = ""

    def __bool__(self):
        return self.ok

    def __repr__(self):
        return "Right." if self.ok else f"Not yet: {self.hint}"


class _Wrong(Exception):
    """Raised inside a check: the answer is wrong, and this is the hint."""


def _verdict(check):
    """Make a function that raises `_Wrong` into one that returns a Verdict."""

    @functools.wraps(check)
    def wrapper(*args, **kwargs):
        try:
            check(*args, **kwargs)
        except _Wrong as wrong:
            return Verdict(False, str(wrong))
        return Verdict(True)

    return wrapper


@_verdict
def check_gates(cell, behaviour, answer, z_keeps=1):
    """Does a setting of the gates make the cell store its input (Q1.1), or keep its state (Q1.2)?

    The setting is put into the symbolic update (`equations`), and the property is decided there. Store: the new state
    does not depend on the old h or c, and is an injective function of the candidate's input W x + b. Keep: the new
    state equals the old one whatever x is. The state is c for the LSTM, h for the GRU.

    Args:
        cell: "LSTM" or "GRU" (with the reset gate before the recurrent weights, as in Cho et al. 2014).
        behaviour: "store_input" or "keep_state".
        answer: dict from gate (i, f, o or z, r) to activation, a real number of any type from 0 to 1, of `MAX_BITS`
            binary digits at most, as in all checks. Also "U", the recurrent weights of the candidate (only U = 0 says
            anything), and for the LSTM "o_prev", the output gate of the step before. What is left out is free: it may
            take any value. `...` and None: not answered yet.
        z_keeps: 1: z = 1 keeps the state (Cho et al. 2014, Keras); 0: z = 1 replaces it (Chung et al. 2014).

    Returns:
        Verdict. A wrong answer never raises.

    Raises:
        ValueError: unknown cell, behaviour or convention.
    """
    _check_choice("cell", cell, ("LSTM", "GRU"))
    _check_choice("behaviour", behaviour, ("store_input", "keep_state"))
    _check_choice("z_keeps", z_keeps, (1, 0))
    step = equations(cell, int(z_keeps))
    gates = [symbol.name for symbol in step.gates]
    answer = _plain(answer)
    values = _read_answer(answer, [*gates, "U"] + ["o_prev"] * (cell == "LSTM"))
    for name in values:
        if name != "U":
            _check_range(name, values[name], answer[name])
    if not any(name in values for name in gates):
        raise _Wrong(f"not answered yet: no gate is set; the gates are {', '.join(gates)}")

    setting = {_symbol(name): value for name, value in values.items()}
    old, g, h_prev = step.old_state, _symbol("g"), _symbol("h_prev")
    # The update is linear in the old state and in the candidate: new = kept * old + taken * g.
    kept_formula, taken_formula = sp.diff(step.state, old), sp.diff(step.state, g)
    kept, taken = kept_formula.subs(setting), taken_formula.subs(setting)
    keeper, taker = (next(iter(formula.free_symbols)).name for formula in (kept_formula, taken_formula))
    meaning = f"; in this convention the old state's share is {kept_formula}" if cell == "GRU" else ""

    def given(name):
        return f"{name} = {_brief(answer[name])}" if name in values else f"{name} is left free"

    if behaviour == "keep_state":
        if kept.free_symbols:
            raise _Wrong(f"{given(keeper)}, so nothing says how much of {old} survives the step")
        if _sign(kept) == 0:
            raise _Wrong(f"{given(keeper)} erases {old} in a single step{meaning}")
        if _sign(1 - kept) != 0:
            raise _Wrong(f"{given(keeper)} keeps less than the whole of {old} in each step: {_decay(kept)}")
        if taken.free_symbols or _sign(taken) != 0:
            raise _Wrong(f"the new state still depends on the input x, which enters with the candidate: {given(taker)}")
        return
    if taken.free_symbols:
        raise _Wrong(f"{given(taker)}: it could shut the input out, or change from step to step")
    if _sign(taken) == 0:
        raise _Wrong(f"nothing of the current input gets into the new state: {given(taker)}{meaning}")
    if kept.free_symbols or _sign(kept) != 0:
        raise _Wrong(f"the new state still depends on the old state {old}: {given(keeper)}{meaning}")
    candidate = step.candidate.subs(setting)
    if cell == "LSTM":
        candidate = candidate.subs(h_prev, values.get("o_prev", _symbol("o_prev")) * sp.tanh(old))
    # tanh is strictly increasing, so taken * tanh(W x + b) is injective in W x + b as soon as h_prev is gone.
    if sp.diff(candidate, old) != 0:
        why = "the candidate reads h_prev, the output of the step before"
        if cell == "GRU":
            why += f" ({given('r')})"
        elif "o" in values and "o_prev" not in values:
            why += "; o only acts on the output of this step"
        raise _Wrong(f"the new state still depends on the old state through the candidate: {why}")


COUNTEREXAMPLE_NAMES = ("x", "h_prev", "c_prev", "w", "u", "b", "z", "r")


@_verdict
def check_counterexample(values):
    """Do these numbers give a GRU step that no LSTM gates can reproduce (Q1.3)?

    Both cells have one unit, the same old h, the same input and the same candidate weights; z = 1 keeps the old state.
    Right exactly when the GRU's new h lies outside the closed interval that the LSTM reaches with all gates in [0, 1]
    (`reachable_by_lstm`). Every number is taken exactly, a float as the fraction that it is, and the comparison is
    exact too. The one allowance: if h_prev or c_prev is a float, and |h_prev| exceeds tanh|c_prev| by no more than
    rounding explains, then c_prev is read as artanh(h_prev).

    Args:
        values: dict with a real number for each of x, h_prev, c_prev, w, u, b and the GRU's gates z and r in [0, 1].
            The candidate is tanh(w x + u h + b). c_prev must be consistent: h_prev = o_prev tanh(c_prev) for some
            o_prev in [0, 1].

    Returns:
        Verdict. A wrong answer never raises.
    """
    values = _plain(values)
    numbers = _read_answer(values, COUNTEREXAMPLE_NAMES)
    missing = [name for name in COUNTEREXAMPLE_NAMES if name not in numbers]
    if missing:
        raise _Wrong(f"not answered yet: {', '.join(missing)}")
    for name in "zr":
        _check_range(name, numbers[name], values[name])
    numbers["c_prev"] = _consistent_c(numbers, values)
    if _gru_above_lstm(numbers) <= 0 and _gru_above_lstm(_mirrored(numbers)) <= 0:
        h, (low, high) = gru_step(numbers), reachable_by_lstm(numbers)
        reach = f"[{_rounded(low)}, {_rounded(high)}]"
        why = f"the GRU's new h is {_rounded(h)}, and with suitable gates the LSTM reaches all of {reach}"
        if numbers["r"] == 1:
            why += "; with r = 1 both cells have the same candidate"
        raise _Wrong(why)


def gru_step(numbers):
    """The GRU's new h (one unit, z = 1 keeps) as an exact SymPy number.

    Args:
        numbers: dict with SymPy numbers for x, h_prev, w, u, b, z, r.
    """
    return one_unit(equations("GRU").full_state).subs(_cell_symbols(numbers))


def reachable_by_lstm(numbers):
    """All that h = o tanh(f c_prev + i g) can be for gates in the closed [0, 1], with g = tanh(w x + u h_prev + b).

    f c_prev + i g fills [min(0, c_prev) + min(0, g), max(0, c_prev) + max(0, g)], and this interval contains 0. tanh is
    increasing and o only shrinks towards 0, so h fills exactly [tanh(low), tanh(high)], ends included.

    Args:
        numbers: dict with SymPy numbers for x, h_prev, c_prev, w, u, b.

    Returns:
        (low, high), exact SymPy numbers.
    """
    return -sp.tanh(_top_of_c(_mirrored(numbers))), sp.tanh(_top_of_c(numbers))


def _top_of_c(numbers):
    """Largest f c_prev + i g for gates in [0, 1]."""
    c, a = numbers["c_prev"], _pre_activation("LSTM", numbers)
    return (c if _sign(c) > 0 else sp.S.Zero) + (sp.tanh(a) if _sign(a) > 0 else sp.S.Zero)


def _gru_above_lstm(numbers):
    """Is the GRU's new h above everything the LSTM reaches? Sign: 1 above, -1 below the top, 0 equal to it."""
    h, z, a = numbers["h_prev"], numbers["z"], _pre_activation("GRU", numbers)

    def gap(a):  # 1 - tanh(a), which tells numbers apart whose tanh agree in a million digits
        return 2 / (_exp_of_twice(a.replace(sp.atanh, _log_of_artanh)) + 1)  # exp(log q) becomes q: a touch stays exact

    top = _top_of_c(numbers).replace(sp.tanh, lambda a: 1 - gap(a))
    if z == 0:  # tanh(a) against tanh(top)
        return _sign(a - top)
    # h_GRU = z h + (1 - z) tanh(a), so 1 - h_GRU = z (1 - h) + (1 - z) gap(a).
    return _sign(gap(top) - z * (1 - h) - (1 - z) * gap(a))


def _pre_activation(cell, numbers):
    """What stands inside the candidate's tanh."""
    return one_unit(equations(cell).candidate).args[0].subs(_cell_symbols(numbers))


def _mirrored(numbers):
    """The same step with x, b and the old state turned round: every h changes its sign, the gates stay."""
    return numbers | {name: -numbers[name] for name in ("x", "h_prev", "c_prev", "b") if name in numbers}


def _cell_symbols(numbers):
    """From the names in a counter-example to the symbols of the equations, where w and u are W and U."""
    names = {"w": "W", "u": "U"}
    return {_symbol(names.get(name, name)): number for name, number in numbers.items()}


def _consistent_c(numbers, values):
    """c_prev, if h_prev = o_prev tanh(c_prev) has a solution o_prev in [0, 1] (up to the rounding of floats)."""
    h, c = numbers["h_prev"], numbers["c_prev"]
    if _sign(1 - abs(h)) <= 0:
        raise _Wrong(f"h_prev = {_brief(values['h_prev'])} is no LSTM's output: |o_prev tanh(c_prev)| stays below 1")
    if _sign(h) == 0:
        return c
    if _sign(h) != _sign(c):
        raise _Wrong("h_prev and c_prev contradict each other: h_prev = o_prev tanh(c_prev) has the sign of c_prev")

    def room(h, c):  # sign of tanh|c| - |h|, by their distances from 1
        return _sign(1 - abs(h) - 2 / (_exp_of_twice(abs(c)) + 1))

    if room(h, c) > 0:
        return c
    slack = 4 * max(_rounding(values["h_prev"]), _rounding(values["c_prev"]))
    if room(h * (1 - slack), c * (1 + slack)) >= 0:
        # SymPy takes log of a number too close to 1 for 0, and atanh of a number too close to 1 for infinity.
        return sp.atanh(h) if _sign(sp.S.Half - abs(h)) > 0 else _log_of_artanh(h)
    limit = _rounded(sp.tanh(abs(c)))
    raise _Wrong(f"h_prev and c_prev contradict each other: |o_prev tanh(c_prev)| is {limit} at most, |h_prev| is more")


def _exp_of_twice(a):
    """exp(2 a). SymPy makes exp(n log q) the number q**n, which must not be too long to be worked with."""
    if any(term.has(sp.log) and _sign(abs(term) - 500) > 0 for term in sp.Add.make_args(sp.expand(a))):
        raise _Wrong("a logarithm is multiplied by something large; write the numbers as fractions or as floats")
    return sp.exp(2 * a)


def _log_of_artanh(h):
    """artanh(h) by its definition."""
    return sp.log((1 + h) / (1 - h)) / 2


def _rounding(value):
    """Relative rounding error of a float as an exact number; 0 for numbers that are exact."""
    if isinstance(value, np.ndarray):
        value = value.item() if value.dtype.kind == "O" else value[()]
    if isinstance(value, sp.Float):
        return sp.Rational(1, 2**value._prec)
    if isinstance(value, (float, np.floating)):
        kind = type(value) if isinstance(value, np.floating) else float
        return sp.Rational(*map(int, np.finfo(kind).eps.as_integer_ratio()))
    return sp.S.Zero


def _read_answer(answer, names):
    """dict from name to exact SymPy number; `_Wrong` for everything that is no such thing."""
    if answer is None or answer is ...:
        raise _Wrong("not answered yet")
    if not isinstance(answer, dict):
        raise _Wrong(f"the answer is {_kind(answer)}; a dict from name to number is needed")
    for name in answer:
        if type(name) is not str or name not in names:
            raise _Wrong(f"unknown name {_brief(name)}; the names are {', '.join(names)}")
    open_names = [name for name in names if name in answer and (answer[name] is None or answer[name] is ...)]
    if open_names:
        raise _Wrong(f"not answered yet: {', '.join(open_names)}")
    return {name: _exact(name, answer[name]) for name in names if name in answer}


def _plain(answer):
    """A dict, list or tuple as a plain one, whatever a subclass of it may do when it is looked at."""
    if isinstance(answer, dict):
        return dict(dict.items(answer))
    for kind in (list, tuple):
        if isinstance(answer, kind):
            return kind(kind.__iter__(answer))
    return answer


def _exact(name, value):
    """The SymPy number that a value stands for, exactly: a float is the binary fraction that it is."""
    if isinstance(value, (str, bytes)):
        raise _Wrong(f"{name} is text, and text is never evaluated; write a number without quotation marks")
    if isinstance(value, np.ndarray):
        if value.ndim or isinstance(value, np.ma.MaskedArray):
            raise _Wrong(f"{name} is an array of shape {value.shape}; a single number is needed")
        value = value.item() if value.dtype.kind == "O" else value[()]
    if isinstance(value, sp.Expr):
        return _exact_expression(name, value)
    whole, broken = (int, np.bool_, np.integer), (float, np.floating, Fraction, Decimal)
    if not isinstance(value, whole + broken) or isinstance(value, np.timedelta64):
        raise _Wrong(f"{name} is {_kind(value)}; a real number is needed")
    try:
        digits = 0
        if isinstance(value, Decimal) and value.is_finite() and value != 0:
            digits = max(abs(value.adjusted()), len(value.as_tuple().digits))
        if isinstance(value, whole):
            ratio = value, 1
        else:  # 330 digits are about MAX_BITS binary ones; more would take long to convert
            ratio = (0, 1) if digits > 330 or value == 0 else value.as_integer_ratio()
        numerator, denominator = map(int, ratio)
    except Exception:  # NaN, infinity, or whatever a number of the student's own raises
        raise _Wrong(f"{name} = {_brief(value)} is not a finite number") from None
    if digits > 330:
        raise _Wrong(f"{name} has too many digits; a shorter number is needed")
    return _short_ratio(name, numerator, denominator)


def _short_ratio(name, numerator, denominator=1):
    """The fraction, if both parts are short enough to be worked with in no time."""
    if max(numerator.bit_length(), denominator.bit_length()) > MAX_BITS:
        raise _Wrong(f"{name} has more than {MAX_BITS} binary digits; a shorter number is needed")
    return sp.Rational(numerator, denominator)


GROWING = (sp.exp, sp.sinh, sp.cosh)
ELEMENTARY = (sp.Add, sp.Mul, sp.Pow, sp.Abs, sp.log, sp.tanh, sp.atanh, sp.atan, sigmoid, *GROWING)


def _exact_expression(name, value):
    """The number that a SymPy expression stands for; `_Wrong` before anything is evaluated that could take long."""
    too_involved = _Wrong(f"{name} is too involved a formula; write the number as a fraction or as a float")
    parts = list(itertools.islice(sp.preorder_traversal(value), MAX_PARTS + 1))
    if len(parts) > MAX_PARTS:
        raise too_involved
    for part in parts:
        if isinstance(part, sp.Float):
            _, mantissa, exponent, _ = map(int, part._mpf_)
            if max(mantissa.bit_length() + exponent, -exponent) > MAX_BITS:
                raise _Wrong(f"{name} has more than {MAX_BITS} binary digits; a shorter number is needed")
        elif part.is_Rational:
            _short_ratio(name, part.p, part.q)
    if value.free_symbols:
        raise _Wrong(f"{name} is a formula with symbols; a number is needed")
    for part in parts:
        inner = itertools.islice(sp.preorder_traversal(part), 1, None)
        towers = _grows(part) and any(map(_grows, inner))
        if isinstance(part, sp.Pow):
            power = sp.Rational(part.exp) if isinstance(part.exp, sp.Float) else part.exp
            if not power.is_Rational or max(abs(power.p), power.q) > 100:
                raise too_involved
        if isinstance(part, GROWING) and part.has(sp.log):  # SymPy makes exp(n log q) the number q**n, whatever n is
            raise too_involved
        if towers or not (part.is_Atom or isinstance(part, ELEMENTARY)):
            raise too_involved
    try:
        value = value.xreplace({part: sp.Rational(part) for part in parts if isinstance(part, sp.Float)})
        finite = value.is_number and value.is_real and value.is_finite
    except ArithmeticError:  # too many digits for SymPy
        raise too_involved from None
    if value.is_Rational:
        return _short_ratio(name, value.p, value.q)
    if not finite:
        raise _Wrong(f"{name} = {_brief(value)} is not a finite real number")
    if 0 in (_sign(value), _sign(1 - value)):
        raise _Wrong(f"{name} = {_brief(value)} can't be told from 0 or from 1; write it as a fraction")
    if _sign(2**MAX_BITS - abs(value)) <= 0 or _sign(abs(value) - sp.Rational(1, 2**MAX_BITS)) <= 0:
        raise _Wrong(f"{name} = {_brief(value)} has too many digits; a shorter number is needed")
    return value


def _grows(part):
    """Can a part of an expression be of another order than its arguments? Towers of those take for ever."""
    if isinstance(part, sp.Pow):
        return not (part.exp.is_Rational and abs(part.exp) <= 1)
    return isinstance(part, GROWING)


def _check_range(name, number, value):
    if _sign(number) < 0 or _sign(1 - number) < 0:
        raise _Wrong(f"{name} = {_brief(value)} lies outside [0, 1], where a gate's activation lives")


def _sign(number):
    """-1, 0 or 1, decided with as many digits as it takes; 0 also if 4,000 digits do not tell a number from 0."""
    if number.is_Rational:
        return int(sp.sign(number))
    for digits in (5, 50, 500, 4000):  # in a sum, SymPy looks no further than about twice the digits it is asked for
        # Suppressed: too few digits, or something that has none.
        with contextlib.suppress(ArithmeticError, NotImplementedError, TypeError):
            return int(sp.sign(number.evalf(digits, maxn=4000, strict=True)))
    return 0


def _decay(kept):
    """How fast a state fades that keeps a share below 1 per step, in words."""
    if _sign(1 - kept - sp.Rational(1, 1000)) < 0:
        return f"half of it is gone after about {_rounded(sp.log(2) / (1 - kept), 2)} steps"
    return f"after 28 steps (rows) a share of {_rounded(kept**28, 2)} is left"


def _rounded(number, digits=4):
    return str(sp.N(number, digits))


def _brief(value):
    """A value on one line of 40 characters at most."""
    try:
        text = str(value) if isinstance(value, (np.generic, np.ndarray, Fraction)) else repr(value)
        text = " ".join(text.split())
    except Exception:  # such as an integer too long to print
        return f"(a long {type(value).__name__})"
    return text if len(text) <= 40 else text[:37] + "..."


def _kind(value):
    return f"of type {type(value).__name__}"


# ---------------------------------------------------------------------------------------------------------------------
# 5. Models and training
# ---------------------------------------------------------------------------------------------------------------------
@dataclasses.dataclass(frozen=True)
class Experiment:
    """One model and how it is trained; the key of everything that is known about it.

    Attributes:
        family: "LSTM" or "GRU" (rows one by one); "softmax", "MLP" or "CNN" (the whole image at once).
        units: width of each recurrent or hidden layer ("softmax" has none and ignores it).
        layers: number of recurrent or hidden layers.
        epochs, batch_size, learning_rate: the recipe; the defaults are the sheet's.
        seed: of the initial weights and of the order of the training images.
        gate_bias: initial bias of a GRU's two gates; Keras's default is 0, TensorFlow 1's was 1.
        schedule: "constant" learning rate, or "cosine": up to `learning_rate` in the first third of an epoch, then down
            to 0 along half a cosine.
        clipnorm: longest norm that the gradient of one weight array may have; 0: any.
        shift: each training image is moved by up to so many pixels up or down, and left or right, anew in each epoch.
        every_step: a recurrent network gives logits, and is trained, after every row: (N, 28, 10) instead of (N, 10).
    """

    family: str
    units: int = 32
    layers: int = 1
    epochs: int = 10
    batch_size: int = 256
    learning_rate: float = 0.001
    seed: int = 0
    gate_bias: float = 0.0
    schedule: str = "constant"
    clipnorm: float = 0.0
    shift: int = 0
    every_step: bool = False

    def __post_init__(self):
        if not isinstance(self.family, str) or self.family not in ("LSTM", "GRU", "softmax", "MLP", "CNN"):
            raise ValueError(f"unknown family {_brief(self.family)}: use 'LSTM', 'GRU', 'softmax', 'MLP' or 'CNN'")
        for field, least, most in (
            *((name, 1, MOST) for name in ("units", "epochs", "batch_size")),
            ("layers", 1, 15),  # each has two of the 32 seeds in `build_model`, the head the last two
            ("seed", 0, MOST),
            ("shift", 0, 28),
        ):
            check_whole(least, most, **{field: getattr(self, field)})
            object.__setattr__(self, field, int(getattr(self, field)))  # Keras takes no numbers of NumPy
        for field, allowed, wanted in (
            ("learning_rate", lambda value: 0 < value < math.inf, "a positive number"),
            ("clipnorm", lambda value: 0 <= value < math.inf, "0 (off) or a positive number"),
            ("gate_bias", math.isfinite, "a finite number"),
        ):
            value = _float(getattr(self, field))
            if not allowed(value):
                raise ValueError(f"{field} must be {wanted}, not {_brief(getattr(self, field))}")
            object.__setattr__(self, field, value)  # 1 and 1.0 are the same setting and the same key
        if self.schedule not in ("constant", "cosine"):
            raise ValueError(f"unknown schedule {_brief(self.schedule)}: use 'constant' or 'cosine'")
        if self.gate_bias and self.family != "GRU":
            raise ValueError(f"gate_bias is for 'GRU', not {self.family!r}")
        if not isinstance(self.every_step, bool):
            raise ValueError(f"every_step must be True or False, not {_brief(self.every_step)}")
        if self.every_step and self.family not in ("LSTM", "GRU"):
            raise ValueError(f"every_step is for 'LSTM' and 'GRU', not {self.family!r}")

    @property
    def label(self):
        """Name in tables and plots: "GRU 32", "LSTM 3 x 32", "softmax"."""
        width = f"{self.units}" if self.layers == 1 else f"{self.layers} x {self.units}"
        label = self.family if self.family == "softmax" else f"{self.family} {width}"
        if self.schedule == "cosine":
            label += ", tuned"
        elif self.gate_bias:
            label += f", gate bias {self.gate_bias:g}"
        return label + (", loss at every step" if self.every_step else "")


def _float(value):
    """A number as a float; NaN for what is none, text included."""
    try:
        return math.nan if isinstance(value, (str, bytes, bool)) else float(value)
    except (TypeError, ValueError, OverflowError):
        return math.nan


def tuned(experiment):
    """The same network, epochs and seed with a better recipe; notebook 2 tests its parts."""
    narrow, wide, gru = experiment.units < 64, experiment.units >= 128, experiment.family == "GRU"
    return dataclasses.replace(
        experiment,
        batch_size=-(-experiment.batch_size // 2) if narrow else experiment.batch_size,
        learning_rate=0.005 if wide and gru else 0.01,
        schedule="cosine",
        clipnorm=1.0,
        shift=2 if wide else 1,  # wide ones learn their images sooner by heart
        gate_bias=1.0 if gru else 0.0,
    )


def quick(experiment):
    """The same network and seed after one epoch only: the tuned recipe with small batches and a still higher rate."""
    size = min(128, experiment.batch_size)
    return dataclasses.replace(tuned(experiment), epochs=1, batch_size=size, learning_rate=0.02, shift=0)


def build_model(experiment):
    """The untrained network, from rows (N, 28, 28) to logits (N, 10); every initial weight follows from the seed.

    Keras draws the seeds of unseeded initialisers from Python's global `random`, which other threads move. So each
    layer gets its own.
    """
    seeds = iter(np.random.SeedSequence(experiment.seed).generate_state(32).tolist())
    glorot = keras.initializers.GlorotUniform

    def dense(units, activation=None):
        return keras.layers.Dense(units, activation, kernel_initializer=glorot(seed=next(seeds)))

    def recurrent(return_sequences):
        return getattr(keras.layers, experiment.family)(
            experiment.units,
            return_sequences=return_sequences,
            kernel_initializer=glorot(seed=next(seeds)),
            recurrent_initializer=keras.initializers.Orthogonal(seed=next(seeds)),
        )

    def convolution():
        return keras.layers.Conv2D(8, 3, padding="same", activation="relu", kernel_initializer=glorot(seed=next(seeds)))

    hidden = range(experiment.layers)
    if experiment.family in ("LSTM", "GRU"):
        last = experiment.layers - 1
        body = [recurrent(return_sequences=layer < last or experiment.every_step) for layer in hidden]
        body += [keras.layers.ReLU(), dense(64, "relu")]
    elif experiment.family == "CNN":
        body = [keras.layers.Reshape((28, 28, 1)), convolution(), keras.layers.MaxPooling2D()]
        body += [convolution(), keras.layers.MaxPooling2D(), keras.layers.Flatten()]
        body += [dense(experiment.units, "relu") for _ in hidden]
    else:
        body = [keras.layers.Flatten()]
        body += [dense(experiment.units, "relu") for _ in hidden if experiment.family == "MLP"]
    model = keras.Sequential([keras.Input((28, 28)), *body, dense(10)])
    if experiment.gate_bias:
        for layer in model.layers[: experiment.layers]:
            bias = layer.cell.bias.numpy()  # (2, 3 * units): input and recurrent bias of z, r and the candidate
            bias[0, : 2 * experiment.units] = experiment.gate_bias
            layer.cell.bias.assign(bias)
    return model


def compile_model(model, experiment, updates=1):
    """Adam on the cross-entropy of the logits, returns the model; `updates`: how many an epoch has, for a schedule."""
    rate = experiment.learning_rate
    if experiment.schedule == "cosine":
        warm_up = -(-updates // 3)
        rate = keras.optimizers.schedules.CosineDecay(
            0.0, experiment.epochs * updates - warm_up, warmup_target=rate, warmup_steps=warm_up
        )
    model.compile(
        optimizer=keras.optimizers.Adam(rate, clipnorm=experiment.clipnorm or None),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=[keras.metrics.SparseCategoricalAccuracy(name="accuracy")],
    )
    # With the variables of optimiser and metric in place, TensorFlow traces the training step once instead of twice.
    model.optimizer.build(model.trainable_variables)
    return model


def fit(experiment, data, after_epoch=lambda epoch: None):
    """Train one model here and now, without files.

    Args:
        experiment: Experiment.
        data: Data.
        after_epoch: called with the number of each finished epoch, counted from 0.

    Returns:
        (model, history): history maps "loss", "accuracy" (training) and "val_loss", "val_accuracy" (test images, looked
        at after each epoch but never used to choose anything) to one number per epoch.
    """
    shift, size = experiment.shift, experiment.batch_size

    def targets(labels):
        return np.repeat(labels[:, None], 28, axis=1) if experiment.every_step else labels

    # A margin on all sides, in which the window of 28 x 28 pixels can move.
    images = tf.constant(np.pad(data.x_train, ((0, 0), (shift, shift), (shift, shift))))
    labels = tf.constant(targets(data.y_train))

    def shuffled(epoch):
        # Shuffled here rather than by Keras, so that the order follows from the seed alone.
        rows = tf.random.experimental.stateless_shuffle(tf.range(len(data.y_train)), seed=[experiment.seed, epoch])
        return tf.data.Dataset.from_tensor_slices(rows).batch(size)

    def batch(number, rows):
        x = tf.gather(images, rows)
        if shift:
            corners = tf.random.stateless_uniform(
                (2, tf.size(rows), 1), [experiment.seed, number], 0, 2 * shift + 1, tf.int32
            )
            down, right = tf.unstack(corners + tf.range(28))
            x = tf.gather(x, down, batch_dims=1)
            x = tf.transpose(tf.gather(tf.transpose(x, (0, 2, 1)), right, batch_dims=1), (0, 2, 1))
        return x, tf.gather(labels, rows)

    updates = -(-len(data.y_train) // size)
    batches = tf.data.Dataset.range(experiment.epochs).flat_map(shuffled).enumerate().map(batch).prefetch(2)
    model = compile_model(build_model(experiment), experiment, updates)
    past = model.fit(
        batches,
        epochs=experiment.epochs,
        steps_per_epoch=updates,
        validation_data=(data.x_test, targets(data.y_test)),
        validation_batch_size=1000,
        shuffle=False,
        callbacks=[keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: after_epoch(epoch))],
        verbose=0,
    )
    return model, past.history


# What decides a model's weights, beside its Experiment and the data. Read once, at import: `inspect` looks into the
# file, which may be edited while a kernel runs.
TRAINING_CODE = "".join(inspect.getsource(function) for function in (build_model, compile_model, fit))


def batch_size_for(data, batch_size=256):
    """The batch size, smaller on a small data set: an epoch has at least 20 updates, a batch at least 32 images."""
    check_whole(batch_size=batch_size)
    return min(batch_size, max(32, len(data.y_train) // 20))


@dataclasses.dataclass(frozen=True)
class Result:
    """A trained model and what is known of it.

    Attributes:
        experiment: what was trained.
        history: numbers per epoch, see `fit`.
        seconds: wall time of the training.
        folder: where the model lies, under `runs/models`.
        trained: True if this call trained it, False if it was at hand.
    """

    experiment: Experiment
    history: dict
    seconds: float
    folder: Path
    trained: bool

    @property
    def loss(self):
        """Test cross-entropy after the last epoch."""
        return self.history["val_loss"][-1]

    @property
    def accuracy(self):
        """Test accuracy after the last epoch."""
        return self.history["val_accuracy"][-1]

    @functools.cached_property
    def model(self):
        """The trained Keras model, compiled for `evaluate`."""
        # Stored without the optimiser's state, which only further training would need.
        model = keras.models.load_model(self.folder / "model.keras", compile=False)
        return compile_model(model, self.experiment)


def train_all(experiments, data, n_jobs=None, scheduler=None):
    """Train what is not trained yet, several models at a time, and return everything.

    A finished model is stored under `runs/models` at once and never trained again; its key covers the experiment, the
    data, this file's training code and the versions of Keras and TensorFlow. A stored model that can't be read is
    trained again, with a word.

    Args:
        experiments: iterable of Experiment.
        data: Data.
        n_jobs: number of worker processes on this machine; None: one per core as far as the memory goes, or a single
            one where there is a GPU.
        scheduler: address of a Dask scheduler, such as "tcp://10.0.0.1:8786", whose workers train instead; None: what
            the environment variable COURSEWORK_SCHEDULER says, if it is set.

    Returns:
        dict from Experiment to Result, in the order given. The weights have the same bits wherever they were trained.

    Raises:
        ValueError: if n_jobs is no whole number of at least 1.
        OSError: if no model can be kept; before the training, unless the disk fills up later.
        ConnectionError: if no scheduler answers, or it has no workers.
        ImportError: if `scheduler` is given and Dask is not installed.
        RuntimeError: if a worker process was killed, or a cluster's worker has other code. Finished models are kept.
    """
    n_jobs = _usual_jobs() if n_jobs is None else n_jobs
    check_whole(n_jobs=n_jobs)
    experiments = list(dict.fromkeys(experiments))
    folders = {experiment: _model_folder(experiment, data) for experiment in experiments}
    results = {experiment: _stored(experiment, folders[experiment]) for experiment in experiments}
    missing = [experiment for experiment in experiments if results[experiment] is None]
    missing.sort(key=_cost, reverse=True)  # longest first, so that no core waits for a late long one
    if not missing:
        return results
    n_jobs = min(n_jobs, len(missing))
    scheduler = scheduler or os.environ.get("COURSEWORK_SCHEDULER")
    packed, facts = _packed(data), _training_facts()
    with (
        _space_set_aside(RUNS / "models") as spare,
        _progress_bar(experiments, missing) as marks,
        _workers(n_jobs, scheduler) as parallel,
    ):
        jobs = (joblib.delayed(_train_job)(experiment, packed, marks, facts) for experiment in missing)
        for experiment, weights, history, seconds in parallel(jobs):
            folder = folders[experiment]
            try:
                _store(folder, experiment, weights, history, seconds)
            except OSError:  # a full disk, perhaps
                spare.truncate(0)
                _store(folder, experiment, weights, history, seconds)
            results[experiment] = Result(experiment, history, seconds, folder, trained=True)
            for epoch in range(experiment.epochs):  # for the bar, if the worker sits on another machine
                _mark(marks, experiment, epoch)
    return results


# Where Linux says how much memory a container may take, by the version of its control groups.
MEMORY_LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))


def _usual_jobs():
    """One worker per core, of 1.3 GB each at MNIST's size; cuDNN wants the whole GPU for one process."""
    if tf.config.list_physical_devices("GPU"):
        return 1
    memory = psutil.virtual_memory().available
    for limit in MEMORY_LIMITS:
        with contextlib.suppress(OSError, ValueError):  # no such file, or "max"
            memory = min(memory, int(limit.read_text()) - psutil.Process().memory_info().rss)
    return max(1, min(joblib.cpu_count(), int(memory / 1.3e9)))


@contextlib.contextmanager
def _workers(n_jobs, scheduler):
    """A `joblib.Parallel` that yields results as they come: on this machine, or on the cluster of a Dask scheduler."""
    options = {"return_as": "generator_unordered", "batch_size": 1, "pre_dispatch": "all"}
    if scheduler:
        with _dask_client(scheduler) as client, joblib.parallel_config("dask", client=client):
            yield joblib.Parallel(**options)
        return
    try:
        yield joblib.Parallel(n_jobs, initializer=_leave_with, initargs=(os.getpid(),), **options)
    except BaseException as error:
        _stop_workers(n_jobs, kill_workers=True)  # else they would train on
        if isinstance(error, TerminatedWorkerError):
            raise RuntimeError(
                "a training process was killed, perhaps for want of memory; finished models are kept: run this again, "
                "with n_jobs=1 if memory is short"
            ) from None
        raise
    _stop_workers(n_jobs)  # joblib would keep them, 1 GB each, for another five minutes


def _stop_workers(n_jobs, **how):
    if n_jobs > 1:
        with contextlib.suppress(OSError):  # without /dev/shm there are none: joblib works in this process
            get_reusable_executor().shutdown(**how)


def _dask_client(scheduler):
    try:
        import distributed
    except ImportError:
        raise ImportError("a scheduler needs Dask: pip install distributed") from None
    try:
        # Dask's own limit does not hold where a host accepts the connection and then says nothing.
        client = _in_time(lambda: distributed.Client(scheduler, timeout="10s", set_as_default=False), seconds=15)
    except Exception as error:  # whatever the other side says, if it is no scheduler
        reason = " ".join(str(error).split())[:100] or type(error).__name__
        raise ConnectionError(f"no Dask scheduler at {scheduler} ({reason}): start one with 'dask scheduler'") from None
    if not client.ncores():
        client.close()
        raise ConnectionError(f"the Dask scheduler at {scheduler} has no workers: start some with 'dask worker'")
    return client


def _packed(data):
    """The data as compressed bytes, 3 MB for MNIST: what each job carries, so that no worker depends on another."""
    arrays = {name: getattr(data, name) for name in ("x_train", "y_train", "x_test", "y_test")}
    for name, x in arrays.items():
        if ((x == 0) | (x == 1)).all():
            arrays[name] = x.astype(np.uint8)  # a quarter of the memory; Keras makes floats of them by the batch
    file = io.BytesIO()
    np.savez_compressed(file, **arrays)
    return file.getvalue()


def _cost(experiment):
    """Rough training time: recurrent layers first, then by size."""
    return experiment.family in ("LSTM", "GRU"), experiment.layers * (64 + experiment.units) * experiment.epochs


def _train_job(experiment, packed, marks, facts):
    """One model, in a worker process or here; leaves a mark in the folder `marks` after each epoch."""
    if facts != _training_facts():
        node = platform.node()
        raise RuntimeError(
            f"the worker on {node} has another helpers.py, Keras or TensorFlow, or other settings of them: install the "
            "same there"
        )
    with np.load(io.BytesIO(packed), allow_pickle=False) as arrays:
        data = Data("packed", **arrays)
    start = time.perf_counter()
    model, history = fit(experiment, data, lambda epoch: _mark(marks, experiment, epoch))
    return experiment, model.get_weights(), history, time.perf_counter() - start


def _leave_with(parent):
    """In a worker process: end it when its parent, the notebook's kernel, is gone and nobody would take the result."""

    def watch():
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _mark(marks, experiment, epoch):
    with contextlib.suppress(OSError):  # a worker on another machine has no such folder
        Path(marks, f"{joblib.hash(experiment)}-{epoch}").touch()


@contextlib.contextmanager
def _progress_bar(experiments, missing):
    """A bar over all epochs of all models with the time left; yields the folder whose marks it counts."""
    done = sum(experiment.epochs for experiment in experiments if experiment not in missing)
    bar = _notebook_bar if _in_notebook() else tqdm.tqdm
    finished = threading.Event()
    with tempfile.TemporaryDirectory(prefix="epochs-") as marks:
        with bar(total=sum(e.epochs for e in experiments), initial=done, desc="Training", unit="epoch") as progress:

            def follow():
                while True:
                    last = finished.wait(0.5)
                    progress.update(done + len(os.listdir(marks)) - progress.n)
                    if last:
                        return

            thread = threading.Thread(target=follow, daemon=True)
            thread.start()
            try:
                yield marks
            finally:
                finished.set()
                thread.join()


def _notebook_bar(**options):
    bar = tqdm.notebook.tqdm(**options, display=False)
    show_widget(bar.container)
    return bar


def _in_notebook():
    shell = IPython.get_ipython()
    return shell is not None and "IPKernelApp" in shell.config


def show_widget(widget):
    """Show an ipywidget, and nothing where widgets do not run.

    Without the text that IPython adds for plain consoles: nbval would compare it, and a web page would show it.
    """
    view = {"version_major": 2, "version_minor": 0, "model_id": widget.model_id}
    IPython.display.display({"application/vnd.jupyter.widget-view+json": view}, raw=True)


def _training_facts():
    """What decides a model's weights, beside its Experiment and the data."""
    numbers = [keras.config.floatx(), keras.config.epsilon(), keras.config.dtype_policy().name]
    threads = [os.environ.get(name) for name in ("TF_NUM_INTRAOP_THREADS", "TF_ENABLE_ONEDNN_OPTS")]
    return [TRAINING_CODE, keras.__version__, tf.__version__, *numbers, *threads]


def _model_folder(experiment, data):
    """Where a model is kept; the name ends in a hash of all that its weights depend on."""
    facts = [dataclasses.asdict(experiment), data.digest, *_training_facts()]
    key = hashlib.sha256(json.dumps(facts, sort_keys=True, default=int).encode()).hexdigest()[:12]
    # The data's name is that of a file, which may be long or in any alphabet.
    name = re.sub(r"[^\w.-]+", "_", f"{experiment.label}-{data.name}", flags=re.ASCII)
    return RUNS / "models" / f"{name[:80]}-{experiment.epochs}epochs-seed{experiment.seed}-{key}"


def _store(folder, experiment, weights, history, seconds):
    """Write a finished model; it appears under its name only when it is whole.

    If another run was faster, its model stays. An OSError says in one line why nothing could be kept.
    """
    model = build_model(experiment)
    model.set_weights(weights)
    aside = folder.with_name(f".unfinished-{uuid.uuid4().hex}")
    try:
        _remove_unfinished(folder.parent)
        aside.mkdir(parents=True)
        model.save(aside / "model.keras")
        facts = {
            "experiment": dataclasses.asdict(experiment),
            "history": history,
            "seconds": seconds,
            "made by": _made_by(),
        }
        facts["sha256"] = _checksum(facts, aside)
        (aside / "result.json").write_text(json.dumps(facts, indent=1, default=int))
        _facts(experiment, aside)  # reads it back: not every file system says when it is full
        if os.path.lexists(folder):
            with contextlib.suppress(*UNREADABLE):
                _facts(experiment, folder)
                return
            folder.rename(aside.with_name(aside.name + "-damaged"))  # renamed, as no one may see it half deleted
        os.rename(aside, folder)
    except UNREADABLE as error:
        with contextlib.suppress(*UNREADABLE):
            _facts(experiment, folder)  # another run stored it in this very moment
            return
        raise OSError(f"the trained model {experiment.label} {_not_kept(folder.parent, error)}") from error
    finally:
        for rest in (aside, aside.with_name(aside.name + "-damaged")):
            with contextlib.suppress(OSError):
                _remove(rest)


def _stored(experiment, folder):
    """The finished Result in `folder`, or None if there is none or it can't be trusted, which it says."""
    try:
        facts = _facts(experiment, folder)
        return Result(experiment, facts["history"], facts["seconds"], folder, trained=False)
    except UNREADABLE as error:
        if folder.is_symlink() or os.path.exists(folder):
            _say(f"The stored model {experiment.label} is damaged ({type(error).__name__}) and is trained again.")
        else:
            _say_if_outdated(experiment, folder)
    return None


@contextlib.contextmanager
def _space_set_aside(place):
    """Disk space for the models of a sweep, as an open file; emptied, it makes room on a disk that filled up meanwhile.

    An OSError where nothing can be kept: before an hour of training, not after it.
    """
    with contextlib.ExitStack() as stack:
        try:
            place.mkdir(parents=True, exist_ok=True)
            file = stack.enter_context(tempfile.TemporaryFile(dir=place, buffering=0))
            for _ in range(LEAST_SPACE // 2**16):
                file.write(os.urandom(2**16))  # zeros take no space on some disks
        except OSError as error:
            raise OSError(f"trained models {_not_kept(place, error)}") from error
        yield file


UNREADABLE = (OSError, ValueError, KeyError, TypeError, RecursionError)  # what a damaged or missing model may raise
LEAST_SPACE = 2**22  # bytes; the largest of the eight models takes a quarter of it


def _facts(experiment, folder):
    """What is known of the model in `folder`, or one of `UNREADABLE` if a byte of it has changed."""
    facts = json.loads((folder / "result.json").read_text())
    if facts["sha256"] != _checksum(facts, folder) or facts["experiment"] != dataclasses.asdict(experiment):
        raise ValueError("the model has changed")
    return facts


def _checksum(facts, folder):
    """Of the model's file and of all that is written beside it."""
    text = json.dumps({name: value for name, value in facts.items() if name != "sha256"}, sort_keys=True, default=int)
    return hashlib.sha256((folder / "model.keras").read_bytes() + text.encode()).hexdigest()


def _made_by():
    code = hashlib.sha256(TRAINING_CODE.encode()).hexdigest()[:12]
    return {"Keras": keras.__version__, "TensorFlow": tf.__version__, "training code": code}


def _say_if_outdated(experiment, folder):
    """One line if the same experiment lies there, trained by other code: why it is not used."""
    for other in folder.parent.glob(folder.name.rpartition("-")[0] + "-*"):
        with contextlib.suppress(*UNREADABLE):
            before, now = _facts(experiment, other)["made by"], _made_by()
            changed = [f"{name} {before[name]}" for name in now if before[name] != now[name]]
            if changed:
                _say(f"{experiment.label} was trained with other versions ({', '.join(changed)}): trained again.")
                return


def _not_kept(place, error):
    text = " ".join(str(getattr(error, "strerror", None) or error).split())
    why = (text or type(error).__name__)[:200]
    return f"can't be kept in {place} ({why}): make room there, or set COURSEWORK_RUNS to another folder"


def _remove_unfinished(place):
    """What killed runs left behind; an hour is long enough for any model to be written."""
    for rest in place.glob(".unfinished-*"):
        with contextlib.suppress(OSError):
            if time.time() - rest.lstat().st_mtime > 3600:
                _remove(rest)


def _remove(path):
    """Delete a folder with all that is in it, or a file or a link."""
    shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()


def _say(text):
    """One line for the reader, in notebooks as a widget, which nbval does not compare."""
    if _in_notebook():
        show_widget(ipywidgets.Label(text))
    else:
        print(text)


# ---------------------------------------------------------------------------------------------------------------------
# 6. Tracing the gates
# ---------------------------------------------------------------------------------------------------------------------
def trace(model_or_layer, x, layer=None, initial_state=None):
    """Gates and states of one LSTM or GRU layer at every time step, computed from its weights.

    Keras computes the gates inside the layer and keeps them to itself. Here they are computed again with the layer's
    own weights and activations, so `h` equals the layer's own output (to 1e-5 in float32).

    Args:
        model_or_layer: a built LSTM or GRU layer (or an RNN around an LSTMCell or GRUCell), or a Sequential or
            functional model with one input.
        x: the layer's input (N, T, features), or the *model's* input if a model is given; the layers before the
            recurrent one are then applied first.
        layer: which recurrent layer of a model with several: its name, or its number among them, from 0.
        initial_state: for a layer alone: an array (N, units) for each state, h for the GRU, h and c for the LSTM;
            default zeros.

    Returns:
        dict of arrays (N, T, units). LSTM: i, f, g, o, c, h (g: candidate); GRU: z, r, g, h. Steps come in the order
        in which the layer takes them: with `go_backwards`, step 0 reads the last row of x, as in the layer's output.
        Where the model masks a step, the states stay as they are and the gates are NaN. Dropout is off, as in
        prediction. All six arrays of an LSTM take N * T * units * 24 bytes in float32: 860 MB for 10,000 images and
        128 units, so pass slices of x for more.

    Raises:
        ValueError: no recurrent layer, several and none chosen, an unsupported one, or x that does not fit.
    """
    recurrent, prefix, shape = _traced_layer(model_or_layer, layer)
    x = _checked_input(x, shape)
    if initial_state is not None and prefix is not None:
        raise ValueError("initial_state is for a layer alone; a model makes its own")
    cell = recurrent.cell
    names, step, n_states = {
        keras.layers.LSTMCell: (("i", "f", "g", "o", "c", "h"), _lstm_step, 2),
        keras.layers.GRUCell: (("z", "r", "g", "h"), _gru_step, 1),
    }[type(cell)]
    start = _checked_state(initial_state, (len(x), cell.units), n_states)
    arrays = None
    for first in range(0, len(x), 2000):  # so that memory beyond the result stays small
        part = slice(first, first + 2000)
        inputs, states, mask = [x[part]], [state[part] for state in start], None
        if prefix is not None:
            inputs = prefix(x[part], training=False)
            inputs = inputs if isinstance(inputs, (list, tuple)) else [inputs]
            mask = next((tensor for tensor in inputs if tensor.dtype == tf.bool), None)
            inputs = [tensor for tensor in inputs if tensor.dtype != tf.bool]
            states = inputs[1:]
        inputs = keras.ops.cast(inputs[0], cell.compute_dtype)
        if not states:
            states = [np.zeros((len(inputs), cell.units), np.float32)] * n_states
        states = [keras.ops.cast(state, cell.compute_dtype) for state in states]
        steps = inputs.shape[1]
        if arrays is None:
            arrays = {name: np.empty((len(x), steps, cell.units), cell.compute_dtype) for name in names}
        order = range(steps)[::-1] if recurrent.go_backwards else range(steps)
        parameters = [None if w is None else keras.ops.cast(w, cell.compute_dtype) for w in _weights(cell)]
        for t, row in enumerate(order):
            values = step(cell, parameters, inputs[:, row], *states)
            if mask is not None:
                seen = mask[:, row, None]
                old = [np.nan] * (len(names) - n_states) + states[::-1]
                values = [tf.where(seen, value, before) for value, before in zip(values, old, strict=True)]
            for name, value in zip(names, values, strict=True):
                arrays[name][part, t] = value
            states = values[: -n_states - 1 : -1]  # h first, as in Keras
        if mask is not None:
            _check_masked(model_or_layer, recurrent, x[part][:20], arrays["h"][part][:20])
    return arrays


def _check_masked(model, recurrent, x, h):
    """A ValueError where Keras loses a mask on its way, or masks the output too: `trace` follows neither."""
    own = keras.Model(model.inputs, recurrent.output)(x, training=False)
    own = np.asarray(own[0] if isinstance(own, (list, tuple)) else own, np.float32)
    half = recurrent.cell.compute_dtype in ("float16", "bfloat16")
    if np.abs(own - (h if recurrent.return_sequences else h[:, -1])).max() > (0.02 if half else 1e-4):
        raise ValueError("the model does not treat masked steps as trace does; trace the layer alone, without a mask")


def layer_outputs(layer, x):
    """What a Keras LSTM or GRU layer itself puts out at every step, (N, T, units), for x (N, T, features)."""
    # A twin with the same weights, which returns every step.
    copy = type(layer).from_config({**layer.get_config(), "return_sequences": True, "return_state": False})
    copy.build(x.shape)
    copy.set_weights(layer.get_weights())
    return np.concatenate([copy(x[first : first + 2000]) for first in range(0, len(x), 2000)])


def _weights(cell):
    return cell.kernel, cell.recurrent_kernel, cell.bias


def _lstm_step(cell, weights, x, h, c):
    """One step of Keras's LSTM; its kernels hold input gate, forget gate, candidate and output gate side by side."""
    kernel, recurrent_kernel, bias = weights
    total = x @ kernel + h @ recurrent_kernel + (0 if bias is None else bias)
    i, f, g, o = keras.ops.split(total, 4, axis=-1)
    i, f, o = map(cell.recurrent_activation, (i, f, o))
    g = cell.activation(g)
    c = f * c + i * g
    h = o * cell.activation(c)
    return [i, f, g, o, c, h]


def _gru_step(cell, weights, x, h):
    """One step of Keras's GRU; its kernels hold update gate, reset gate and candidate side by side."""
    kernel, recurrent_kernel, bias = weights
    input_bias, recurrent_bias = (0, 0) if bias is None else (bias if cell.reset_after else (bias, 0))
    kernels = keras.ops.split(recurrent_kernel, 3, axis=-1)
    x_z, x_r, x_g = keras.ops.split(x @ kernel + input_bias, 3, axis=-1)
    if cell.reset_after:
        h_z, h_r, h_g = keras.ops.split(h @ recurrent_kernel + recurrent_bias, 3, axis=-1)
    else:
        h_z, h_r = h @ kernels[0], h @ kernels[1]
    z = cell.recurrent_activation(x_z + h_z)
    r = cell.recurrent_activation(x_r + h_r)
    g = cell.activation(x_g + (r * h_g if cell.reset_after else (r * h) @ kernels[2]))
    h = z * h + (1 - z) * g
    return [z, r, g, h]


def _traced_layer(model_or_layer, choice):
    """(recurrent layer, model of what comes before it or None for a layer alone, shape that x must have)."""
    if isinstance(model_or_layer, keras.Model):
        return _layer_of_model(model_or_layer, choice)
    if choice is not None:
        raise ValueError("layer= chooses a layer of a model; here a single layer is given")
    recurrent = _supported(model_or_layer)
    return recurrent, None, (None, None, recurrent.cell.kernel.shape[0])


def _layer_of_model(model, choice):
    layers = [layer for layer in model.layers if isinstance(layer, (keras.layers.RNN, keras.layers.Bidirectional))]
    names = ", ".join(f"{number}: {layer.name!r}" for number, layer in enumerate(layers))
    if not layers:
        inner = [layer.name for layer in model.layers if isinstance(layer, keras.Model)]
        advice = f"; trace the model inside it: {', '.join(map(repr, inner))}" if inner else ""
        raise ValueError(f"the model {model.name!r} has no recurrent layer of its own{advice}")
    if choice is None:
        if len(layers) > 1:
            raise ValueError(f"the model has {len(layers)} recurrent layers; choose one with layer= ({names})")
        choice = 0
    known = isinstance(choice, (str, int, np.integer)) and not isinstance(choice, bool)
    chosen = [layer for number, layer in enumerate(layers) if known and choice in (layer.name, number)]
    if len(chosen) != 1:
        raise ValueError(f"no recurrent layer {_brief(choice)}; choose one of {names}")
    recurrent = _supported(chosen[0])
    before = layers[: layers.index(recurrent)]
    if any(getattr(layer, "stateful", False) for layer in before):
        raise ValueError("a layer before the traced one is stateful: its state would change; trace a copy without it")
    try:
        inputs, tensors = model.inputs, recurrent.input
        if len(inputs) == 1:
            prefix = keras.Model(inputs[0], tensors)
    except (AttributeError, ValueError) as error:
        raise ValueError("the model must be built, and Sequential or functional; else trace the layer alone") from error
    if len(inputs) != 1:
        raise ValueError(f"the model has {len(inputs)} inputs; trace the layer alone, with its own input")
    if not isinstance(model, keras.Sequential):
        calls = {entry["name"]: entry.get("inbound_nodes", []) for entry in model.get_config()["layers"]}
        if len(calls[recurrent.name]) > 1:
            raise ValueError(f"the model uses {recurrent.name!r} more than once; trace the layer alone")
    return recurrent, prefix, tuple(inputs[0].shape)


def _supported(layer):
    """The layer, if `trace` can follow it, or a ValueError."""
    if isinstance(layer, keras.layers.Bidirectional):
        raise ValueError("Bidirectional is two layers: trace its forward_layer and backward_layer one by one")
    cell = getattr(layer, "cell", None)
    if not isinstance(layer, keras.layers.RNN) or type(cell) not in (keras.layers.LSTMCell, keras.layers.GRUCell):
        kind = type(layer).__name__ if cell is None else f"{type(layer).__name__} with {type(cell).__name__}"
        raise ValueError(f"expected an LSTM or GRU layer or a model with one, got {kind}")
    if not cell.built:
        raise ValueError(f"the layer {layer.name!r} has no weights yet; call it once, or build it")
    if layer.stateful:
        raise ValueError("stateful=True is not supported: give a layer without it the same weights, and initial_state")
    return layer


def _checked_input(x, shape):
    """x as an array of finite numbers that fits `shape`, whose first number and unknown lengths are None."""
    wanted = "(" + ", ".join(["N", *("T" if size is None else str(size) for size in shape[1:])]) + ")"
    try:
        x = np.asarray(x)
    except Exception as error:  # ragged lists, or whatever an object's own conversion raises
        raise ValueError(f"x must be an array of shape {wanted}") from error
    if x.dtype.kind not in "biuf":
        raise ValueError(f"x must be an array of numbers of shape {wanted}, not of {x.dtype}")
    fits = x.ndim == len(shape) and all(b in (None, a) for a, b in zip(x.shape[1:], shape[1:], strict=True))
    if not fits or x.size == 0:
        hint = "; a single sequence is x[None]" if x.ndim == len(shape) - 1 else ""
        raise ValueError(f"x has shape {x.shape}, expected {wanted} with at least one sequence and one step{hint}")
    if not _fits_float32(x):
        raise ValueError("x holds NaN, or values that are infinite in float32")
    return x


def _fits_float32(x):
    """Are all numbers finite in float32, which the layers compute with?"""
    return bool((np.abs(x) <= np.finfo(np.float32).max).all()) if x.dtype.kind == "f" else True


def _checked_state(initial_state, shape, n_states):
    """The states a layer starts from as a list of arrays; empty for zeros."""
    if initial_state is None:
        return []
    given = initial_state if isinstance(initial_state, (list, tuple)) else [initial_state]
    names = "h" if n_states == 1 else "[h, c]"
    wanted = f"initial_state must be {names}, each of shape {shape}"
    try:
        arrays = [np.asarray(state) for state in given]
    except Exception as error:
        raise ValueError(wanted) from error
    if len(arrays) != n_states or any(state.shape != shape for state in arrays):
        found = ", ".join(str(state.shape) for state in arrays[:3])
        raise ValueError(f"{wanted}; got {found or _brief(given)}")
    if not all(state.dtype.kind in "biuf" and _fits_float32(state) for state in arrays):
        raise ValueError(f"{wanted}, of numbers that are finite in float32")
    return arrays


# ---------------------------------------------------------------------------------------------------------------------
# 7. Analysis
# ---------------------------------------------------------------------------------------------------------------------
def read_out(model, h):
    """What the classification layers say to the recurrent output at every step, as if it were the last one.

    Args:
        model: a Sequential classifier; all layers after its last recurrent one are applied to each step alone.
        h: outputs of that recurrent layer over time, (N, T, units), as from `trace`.

    Returns:
        Logits (N, T, classes).

    Raises:
        ValueError: a model without a recurrent layer, or h of another shape.
    """
    places = [place for place, layer in enumerate(model.layers) if isinstance(layer, keras.layers.RNN)]
    if not places:
        raise ValueError(f"the model {model.name!r} has no recurrent layer to read out")
    h = np.asarray(h)
    units = model.layers[places[-1]].cell.units
    if h.ndim != 3 or h.shape[-1] != units:
        raise ValueError(f"h has shape {h.shape}, expected (N, T, {units}): the outputs of the last recurrent layer")
    n, steps, _ = h.shape
    values = h.reshape(n * steps, units)
    parts = []
    for first in range(0, len(values), 50_000):
        part = keras.ops.convert_to_tensor(values[first : first + 50_000])
        for layer in model.layers[places[-1] + 1 :]:
            part = layer(part, training=False)
        parts.append(keras.ops.convert_to_numpy(part))
    return np.concatenate(parts).reshape(n, steps, -1)


def class_probabilities(logits):
    """Softmax of logits over their last axis; same shape, sums of 1."""
    return softmax(logits, axis=-1)


def predictions_of(model, x):
    """The class each image is given; after the last row, if the network answers after every row.

    Args:
        model: a Keras classifier that gives logits (N, classes), or (N, T, classes) with `every_step`.
        x: (N, T, 28).

    Returns:
        int array (N,).
    """
    # Called part by part: `predict` would warn of a new graph for each of several models.
    parts = [np.asarray(model(x[first : first + 5000], training=False)) for first in range(0, len(x), 5000)]
    logits = np.concatenate(parts)
    return logits.reshape(len(x), -1, logits.shape[-1])[:, -1].argmax(-1)


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


# Checks of Q2 and Q3, and the points of all checks
def answered(*answers):
    """Are these answers there? Says 'not answered yet' if not, for the cells that go on with them."""
    missing = any(answer is None or answer is ... for answer in answers)
    if missing:
        print("not answered yet")
    return not missing


def award(points, verdicts):
    """Print what a check says, and return the points it is worth.

    Args:
        points: of the whole question.
        verdicts: a Verdict, or a dict from name to Verdict; each of these is worth the same share.

    Returns:
        The points earned. nbgrader takes the value that a check cell returns as its mark.
    """
    if isinstance(verdicts, Verdict):
        print(verdicts)
        return points if verdicts else 0
    for name, verdict in verdicts.items():
        print(f"{name}: {verdict}")
    earned = points * sum(map(bool, verdicts.values())) / len(verdicts)
    return int(earned) if earned == int(earned) else round(earned, 2)


def check_results(family, sizes, recipe, experiments, experiment_results, data):
    """Are these models trained as the sheet asks, and do they reach what the table says (Q2)?

    Each stored model is loaded and evaluated again on the test images. What was reported may differ from that by the
    noise of rounding, or by one image.

    Args:
        family: "LSTM" or "GRU".
        sizes: which of `MODEL_SIZES`.
        recipe: dict of the settings that an Experiment must have, such as epochs and batch_size.
        experiments: the answer: Experiments, in any order, more than the eight do no harm.
        experiment_results: the answer: {"LSTM": [(loss, accuracy), ...], "GRU": [...]} in the order of `MODEL_SIZES`.
        data: Data.

    Returns:
        dict from a model's label to its Verdict.

    Raises:
        ValueError: unknown family or size.
    """
    _check_choice("family", family, ("LSTM", "GRU"))
    for size in sizes:
        _check_choice("size", size, MODEL_SIZES)
    labels = {f"{family} {size}": MODEL_SIZES.index(size) for size in sizes}
    return {
        label: _check_result(label, family, place, recipe, experiments, experiment_results, data)
        for label, place in labels.items()
    }


@_verdict
def _check_result(label, family, place, recipe, experiments, experiment_results, data):
    loss, accuracy = _reported(family, place, experiment_results)
    experiments = _plain(experiments)
    if experiments is None or experiments is ...:
        raise _Wrong("not answered yet: experiments")
    if not isinstance(experiments, (list, tuple, dict, set)):
        raise _Wrong(f"experiments is {_kind(experiments)}; a list of Experiment is needed")
    of_this_size = [e for e in experiments if isinstance(e, Experiment) and e.label == label]
    if not of_this_size:
        raise _Wrong(f"experiments holds no Experiment for {label}")
    for name, wanted in recipe.items():
        if all(getattr(e, name) != wanted for e in of_this_size):
            raise _Wrong(f"{name} is {getattr(of_this_size[0], name)}; the sheet asks for {wanted}")
    fitting = [e for e in of_this_size if all(getattr(e, name) == wanted for name, wanted in recipe.items())]
    stored = [result for e in fitting if (result := _stored(e, _model_folder(e, data)))]
    if not stored:
        raise _Wrong(f"no trained model with these settings lies in {RUNS.name}/models")
    found = []
    for result in stored:
        true_loss, true_accuracy = result.model.evaluate(data.x_test, data.y_test, batch_size=1000, verbose=0)
        if abs(loss - true_loss) <= 0.01 + 0.01 * true_loss and _same_share(accuracy, true_accuracy, len(data.y_test)):
            break
        found.append(f"{true_loss:.4f} and {true_accuracy:.4f}")
        if abs(accuracy - result.history["accuracy"][-1]) < 1e-6:
            raise _Wrong("this is the value on the training images; the test images are asked for")
        if abs(accuracy - true_loss) < 0.01 and abs(loss - true_accuracy) < 0.01:
            raise _Wrong("loss and accuracy have changed places; each pair is (loss, accuracy)")
    else:
        raise _Wrong(f"reported {loss:.4f} and {accuracy:.4f}, but evaluating the stored model gives {found[0]}")
    # What a trained network must reach, with room: the sheet's 95 % on MNIST, far above guessing on small data.
    least = 0.95 if len(data.y_train) >= 50_000 else 0.5
    if result.experiment.epochs >= 10 and accuracy < least:
        raise _Wrong(f"an accuracy of {accuracy:.4f} is too low; at least {least} is in reach")


def _reported(family, place, experiment_results):
    """The pair (loss, accuracy) of one model, as floats."""
    experiment_results = _plain(experiment_results)
    if experiment_results is None or experiment_results is ...:
        raise _Wrong("not answered yet: experiment_results")
    if not isinstance(experiment_results, dict):
        raise _Wrong(f"experiment_results is {_kind(experiment_results)}; a dict from family to pairs is needed")
    pairs = _plain(experiment_results.get(family))
    if pairs is None or pairs is ...:
        raise _Wrong(f"not answered yet: experiment_results[{family!r}]")
    if not isinstance(pairs, (list, tuple)) or len(pairs) != len(MODEL_SIZES):
        raise _Wrong(f"{family}: a list of pairs for {', '.join(MODEL_SIZES)} is needed, in this order")
    try:
        loss, accuracy = (float(value) for value in pairs[place])
    except Exception:  # whatever an object's own conversion raises
        raise _Wrong(f"{family} {MODEL_SIZES[place]}: a pair of two numbers (loss, accuracy) is needed") from None
    if not np.isfinite([loss, accuracy]).all():
        raise _Wrong(f"{family} {MODEL_SIZES[place]}: loss and accuracy must be finite numbers")
    if 1 < accuracy <= 100:
        raise _Wrong(f"an accuracy of {accuracy:g} is above 1; give the share, not the percentage")
    return loss, accuracy


def _same_share(a, b, total):
    """Do two accuracies over `total` images agree, up to one image or 0.2 points?"""
    return abs(a - b) <= max(0.002, 1.01 / total)


def _array(answer, name):
    """An answer as an array of finite numbers."""
    if answer is None or answer is ...:
        raise _Wrong(f"not answered yet: {name}")
    try:
        values = np.asarray(answer)
    except Exception:  # ragged lists, or whatever an object's own conversion raises
        values = np.empty(0, object)
    if values.dtype.kind not in "iuf":
        raise _Wrong(f"{name} is no array of numbers")
    if not np.isfinite(values).all():
        raise _Wrong(f"{name} holds NaN or infinite values")
    return values


def _numbers(answer, shape, name):
    """An answer as an array of finite numbers of the right shape."""
    values = _array(answer, name)
    if values.shape != shape:
        raise _Wrong(f"{name} has shape {values.shape}; {shape} is needed")
    return values


def _recurrent_layer(model):
    """The recurrent layer of a classifier that begins with it, or a ValueError."""
    layers = model.layers if isinstance(model, keras.Sequential) else []
    if [isinstance(layer, keras.layers.RNN) for layer in layers] != [True] + [False] * (len(layers) - 1):
        raise ValueError("expected a Sequential classifier whose first layer, and no other, is recurrent")
    return layers[0]


@_verdict
def check_output(output, model, x):
    """Is this the output over time, (T, units), of the model's recurrent layer for one of the images (Q3.2)?

    Args:
        output: the answer.
        model: a Sequential classifier whose first layer, and no other, is recurrent.
        x: the images one of which it should be, (N, T, 28).

    Raises:
        ValueError: another model.
    """
    layer = _recurrent_layer(model)
    steps, units = x.shape[1], layer.units
    if _array(output, "the output").shape == (units, steps):
        raise _Wrong(f"the output has shape {(units, steps)}: units x T; T x units is asked for")
    output = _numbers(output, (steps, units), "the output")
    if np.abs(layer_outputs(layer, x) - output).max((1, 2)).min() > 1e-4:
        raise _Wrong("the layer gives this output for none of the images")


@_verdict
def check_predictions(predictions, model, data):
    """Are these the classes read out at T, T - 1, ..., T - 4, as if each were the last step (Q3.3)?

    Args:
        predictions: the answer: five arrays (N,), as a list in this order or as a dict from the step (28, 27, ...).
        model: as in `check_output`.
        data: Data; N test images.

    Raises:
        ValueError: another model.
    """
    truth = _last_read_outs(model, data)
    given = [
        _numbers(values, (len(data.y_test),), f"the prediction at T - {back}")
        for back, values in enumerate(_five(predictions, data.x_test.shape[1]))
    ]
    agree = np.array([[(a == b).mean() for b in truth] for a in given])
    if (np.diag(agree) >= 0.99).all():
        return
    if (np.diag(agree[::-1]) >= 0.99).all():
        raise _Wrong("the steps are in the opposite order; T comes first")
    back = int(np.argmin(np.diag(agree) >= 0.99))
    raise _Wrong(f"at T - {back}, the trained classification layers give other classes to the output after that row")


@_verdict
def check_accuracies(accuracies, model, data):
    """Are these the test accuracies of the read-outs at T, T - 1, ..., T - 4 (Q3.3)?

    Args:
        accuracies: the answer: five numbers, as a list in this order or as a dict from the step (28, 27, ...).
        model, data: as in `check_predictions`, with the same error.
    """
    truth = [(classes == data.y_test).mean() for classes in _last_read_outs(model, data)]
    given = [
        float(_numbers(value, (), f"the accuracy at T - {back}"))
        for back, value in enumerate(_five(accuracies, data.x_test.shape[1]))
    ]
    for back, (mine, true) in enumerate(zip(given, truth, strict=True)):
        if not _same_share(mine, true, len(data.y_test)):
            raise _Wrong(f"the accuracy at T - {back} is not {mine:.4f}")


def _last_read_outs(model, data):
    """The classes read out at T, T - 1, ..., T - 4: five arrays (N,)."""
    classes = read_out(model, layer_outputs(_recurrent_layer(model), data.x_test)).argmax(-1)
    return [classes[:, -1 - back] for back in range(5)]


def _five(answer, steps):
    """The five values of an answer, for T, T - 1, ..., T - 4."""
    answer = _plain(answer)
    if answer is None or answer is ...:
        raise _Wrong("not answered yet")
    if isinstance(answer, dict):
        missing = [step for step in range(steps, steps - 5, -1) if step not in answer]
        if missing:
            raise _Wrong(f"step {missing[0]} is missing; the steps are {steps} to {steps - 4}")
        return [answer[step] for step in range(steps, steps - 5, -1)]
    if isinstance(answer, np.ndarray) and answer.ndim:
        answer = list(answer)
    if not isinstance(answer, (list, tuple)) or len(answer) != 5:
        raise _Wrong("five values are needed, for T, T - 1, ..., T - 4")
    return answer


def check_gates_over_time(values, model, x):
    """Are these the gates i, f, o and the output h of the model's LSTM layer while it reads the images (bonus)?

    Args:
        values: the answer: dict with the arrays "i", "f", "o", "h", each (N, T, units).
        model: a Sequential classifier whose first layer is an LSTM.
        x: the images, (N, T, 28).

    Returns:
        dict from name to Verdict.
    """
    truth = {name: array for name, array in trace(model, x).items() if name in "ifoh"}
    return {name: _check_traced(name, values, truth) for name in truth}


@_verdict
def _check_traced(name, values, truth):
    values = _plain(values)
    if values is None or values is ...:
        raise _Wrong("not answered yet")
    if not isinstance(values, dict):
        raise _Wrong(f"the answer is {_kind(values)}; a dict with i, f, o and h is needed")
    array = _numbers(values.get(name), truth[name].shape, name)
    if np.abs(array - truth[name]).max() <= 1e-3:
        return
    others = [other for other, true in truth.items() if other != name and np.abs(array - true).max() <= 1e-3]
    if others:
        raise _Wrong(f"these are the values of {others[0]}")
    if name == "h":
        raise _Wrong("this is not the layer's own output")
    raise _Wrong("with this gate the layer's output would be another one")


# ---------------------------------------------------------------------------------------------------------------------
# 8. Tables and figures
# ---------------------------------------------------------------------------------------------------------------------
# One colour per model and per gate everywhere: Okabe and Ito's set, which colour-blind readers can tell apart. Models
# have a marker too, and curves a line style, so that they are apart in grey print.
COLORS = {
    "LSTM": "#0072B2",
    "GRU": "#D55E00",
    "whole image": "#555555",
    "i": "#009E73",
    "f": "#E69F00",
    "o": "#CC79A7",
    "z": "#E69F00",
    "r": "#009E73",
}
MARKERS = {"LSTM": "s", "GRU": "o", "whole image": "^"}
LINES = (  # colour, line style and marker of the curves of one figure, in order
    ("#D55E00", "-", "o"),
    ("#009E73", "--", "s"),
    ("#0072B2", ":", "^"),
    ("#000000", "-.", "D"),
    ("#CC79A7", (0, (5, 1, 1, 1, 1, 1)), "v"),
)
TITLES = {
    "i": "input gate i",
    "f": "forget gate f",
    "o": "output gate o",
    "z": "update gate z",
    "r": "reset gate r",
    "g": "candidate g",
    "h": "output h",
    "c": "state c",
}
plt.rcParams.update(
    {
        "figure.dpi": 100,
        "figure.constrained_layout.use": True,
        "savefig.bbox": "tight",
        "font.size": 10,
        "legend.fontsize": 9,
        "lines.markersize": 4,
        "grid.alpha": 0.3,
        "image.cmap": "viridis",  # perceptually uniform, and monotone in grey
        "image.interpolation": "nearest",
        "axes.prop_cycle": plt.cycler(color=[color for color, _, _ in LINES]),
    }
)


def print_table(header, rows):
    """Print rows of values in aligned columns: the first column to the left, the others to the right."""
    cells = [[str(cell) for cell in row] for row in [header, *rows]]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for row in cells:
        _, *others = (cell.rjust(width) for cell, width in zip(row, widths, strict=True))
        print("  ".join([row[0].ljust(widths[0]), *others]).rstrip())


def write_csv(name, header, rows):
    """Write a table to `runs/NAME` and return nothing; the folder is made if it is missing."""
    with written_aside(RUNS / name) as path, open(path, "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *rows])


def _show(alt):
    """Show the current figure, with a text in its place for readers who can't see it (nbconvert's `alt`)."""
    figure = plt.gcf()
    IPython.display.display(figure, metadata={"image/png": {"alt": alt}})
    plt.close(figure)


def _show_steps(axes, values, low, high, width=1):
    """Rows of `values` (T, units) as time steps 1 to T, downwards; the panel is `width` times as wide as high."""
    steps, columns = values.shape
    axes.set_box_aspect(1 / width)
    return axes.imshow(values, vmin=low, vmax=high, aspect="auto", extent=(0.5, columns + 0.5, steps + 0.5, 0.5))


def _show_digit(axes, image):
    """An image (T, pixels) in black on white, its rows numbered as time steps, in a square panel."""
    picture = _show_steps(axes, image, 0, 1)
    picture.set_cmap("gray_r")
    axes.set_xticks([1, 14, 28])


def _beside_images(images, labels, width):
    """A row of images titled by their labels, each with a panel to be filled, `width` times as wide, on its right.

    Returns:
        (figure, the empty panels).
    """
    figure, ((*panels,),) = plt.subplots(
        1,
        2 * len(images),
        figsize=(1.75 * len(images) * (1 + width), 2.1),
        sharey=True,
        squeeze=False,
        width_ratios=[1, width] * len(images),
    )
    for axes, image, label in zip(panels[::2], images, labels, strict=True):
        _show_digit(axes, image)
        axes.set(xlabel="pixel", title=f"a {label}")
    panels[0].set_ylabel("time step (row)")
    return figure, panels[1::2]


def _log_ticks(axis, steps=(1, 2, 5), form="{x:g}"):
    """Plain numbers on a logarithmic axis that may span less than a factor of ten."""
    axis.set_major_locator(LogLocator(subs=steps))
    axis.set_major_formatter(form)
    axis.set_minor_formatter(NullFormatter())


# Figures of notebook 01
def plot_panels(panels):
    """Draw arrays over time side by side, time steps downwards; what is measured in pixels as an image.

    Args:
        panels: dict from title to (values, unit): values (T, width), unit "pixel" or "hidden unit", the latter at
            least once.
    """
    _panels_figure(panels)
    states = [f"{title} between {values.min():.2f} and {values.max():.2f}" for title, (values, _) in panels.items()]
    _show("Side by side over the time steps: " + "; ".join(states) + ".")


def _panels_figure(panels):
    states = [values for values, unit in panels.values() if unit != "pixel"]
    scale = max(1.0, *(float(np.abs(values).max()) for values in states))
    low = -scale if any(np.min(values) < -1e-3 for values in states) else 0
    figure, row = plt.subplots(1, len(panels), figsize=(2.2 * len(panels) + 0.8, 2.5), sharey=True)
    for axes, (title, (values, unit)) in zip(row, panels.items(), strict=True):
        if unit == "pixel":
            _show_digit(axes, values)
        else:
            picture = _show_steps(axes, values, low, scale)
        axes.set(title=title, xlabel=unit)
    row[0].set_ylabel("time step (row)")
    figure.colorbar(picture, ax=row, label="state", aspect=15)
    return figure


def plot_gate_error(biases, bounds, errors):
    """Error of finite gates against their bias: bound (line) and float32 measurement (marks), a panel per behaviour.

    Args:
        biases: (K,).
        bounds: dict from behaviour to (K,), the proved bound.
        errors: dict from (cell, behaviour) to (K,), of `measure_gate_error`; 0 is drawn below a dashed line.
    """
    _, row = plt.subplots(1, len(bounds), figsize=(10, 3.8), sharey=True)
    foot, titles = 1e-20, {"store_input": "store: one step", "keep_state": "keep: 28 steps"}
    for axes, (behaviour, bound) in zip(row, bounds.items(), strict=True):
        for (cell, of), error in errors.items():
            if of == behaviour:  # large and hollow under small and full, because most marks coincide
                style = {"ms": 7, "mfc": "none"} if cell == "LSTM" else {"ms": 3}
                style |= {"marker": MARKERS[cell], "ls": "", "color": COLORS[cell]}
                axes.plot(biases, np.maximum(error, foot), **style, label=f"Keras {cell}, float32")
        axes.plot(biases, bound, color="#000000", lw=1, label="bound")
        axes.axhline(2.0**-24, color="#999999", lw=0.8)
        axes.text(biases[-1], 2.0**-24 * 1.4, "rounding of float32", ha="right", fontsize=8, color="#555555")
        axes.axhline(foot * 20, color="#000000", lw=0.8, ls=(0, (6, 4)))  # below it the axis is no longer logarithmic
        axes.set(title=titles[behaviour], xlabel="gate bias B", yscale="log", ylim=(foot / 10, 10))
        axes.minorticks_off()
    row[0].set_ylabel("largest error of the state")
    ticks = [1.0, 1e-4, 1e-8, 1e-12, foot]
    row[0].set_yticks(ticks, ["1", "$10^{-4}$", "$10^{-8}$", "$10^{-12}$", "exactly 0"])
    row[0].legend()
    ends = [f"{cell}, {titles[of]}, {biases[error > 0].max() + 1}" for (cell, of), error in errors.items()]
    _show("The error falls with the gate bias B along the bound, then to exactly 0. First B with 0: " + "; ".join(ends))


def plot_reachable(examples):
    """What an LSTM reaches with any gates (bar), and the GRU's new h (dot), a line per example.

    Args:
        examples: dict from label to the values of a counter-example, see `check_counterexample`.
    """
    _, axes = plt.subplots(figsize=(8, 0.5 * len(examples) + 0.9))
    facts = []
    for line, (label, values) in enumerate(examples.items()):
        numbers = {name: _exact(name, value) for name, value in values.items()}
        (low, high), h = map(float, reachable_by_lstm(numbers)), float(gru_step(numbers))
        facts.append(f"{label}: the LSTM reaches {low:.2f} to {high:.2f}, the GRU is at {h:.2f}")
        bar = {"lw": 9, "color": COLORS["LSTM"], "solid_capstyle": "butt"}
        axes.plot([low, high], [line, line], **bar, label="LSTM, any gates" if line == 0 else None)
        point = {"ms": 10, "color": COLORS["GRU"], "mec": "white", "mew": 1.5}
        axes.plot(h, line, "o", **point, label="GRU" if line == 0 else None)
    axes.set_yticks(range(len(examples)), examples)
    axes.set(xlabel="output h", xlim=(-1.05, 1.05), ylim=(len(examples) - 0.4, -0.6))
    axes.legend(loc="upper left", bbox_to_anchor=(1, 1))
    _show("; ".join(facts) + ".")


PLAYGROUND_BIASES = {"b_i": -1.0, "b_f": 1.5, "b_o": 2.0, "b_z": 1.5, "b_r": 0.0}


def gate_playground(digit):
    """Sliders for the constant gate biases of an LSTM and a GRU, and their states over the rows of a digit.

    Both have 28 units, W = identity and U = identity / 2. Without widgets, the picture of the starting values remains.

    Args:
        digit: (28, 28), one binarised image.
    """

    def draw(**biases):
        panels = {"input": (digit, "pixel")}
        for cell, gates in (("LSTM", "ifo"), ("GRU", "zr")):
            weights = {"W": np.eye(28), "U": np.eye(28) / 2} | {f"b_{gate}": biases[f"b_{gate}"] for gate in gates}
            h, c = run_equations(keras_layer(cell, weights), digit[None])
            panels |= {"LSTM: c": (c[0], "hidden unit")} if cell == "LSTM" else {}
            panels[f"{cell}: h"] = (h[0], "hidden unit")
        return panels

    def png(**biases):
        figure, buffer = _panels_figure(draw(**biases)), io.BytesIO()
        figure.savefig(buffer, format="png")
        plt.close(figure)
        return buffer.getvalue()

    sliders = {
        name: ipywidgets.FloatSlider(bias, min=-8, max=8, step=0.5, description=name, continuous_update=False)
        for name, bias in PLAYGROUND_BIASES.items()
    }
    picture = ipywidgets.Image(value=png(**PLAYGROUND_BIASES))

    def redraw(_):
        picture.value = png(**{name: slider.value for name, slider in sliders.items()})

    for slider in sliders.values():
        slider.observe(redraw, names="value")
    rows = [[sliders[f"b_{gate}"] for gate in gates] for gates in ("ifo", "zr")]
    show_widget(ipywidgets.VBox([*map(ipywidgets.HBox, rows), picture]))
    plot_panels(draw(**PLAYGROUND_BIASES))


# Figures of notebook 02
def plot_rows_as_steps(image, steps):
    """Draw what a network that reads rows has seen: a panel per step, the current row framed, the rows to come hidden.

    Args:
        image: shape (T, pixels), values in [0, 1].
        steps: the time steps to show, counted from 1.
    """
    _, panels = plt.subplots(1, len(steps), figsize=(2.1 * len(steps), 2.4), sharey=True)
    for axes, step in zip(panels, steps, strict=True):
        _show_digit(axes, np.where(np.arange(1, len(image) + 1)[:, None] <= step, image, np.nan))
        axes.set_facecolor("#DDDDDD")
        axes.add_patch(
            plt.Rectangle((0.5, step - 0.5), image.shape[1], 1, fill=False, color=COLORS["GRU"], linewidth=2)
        )
        axes.set(title=f"step {step}", xlabel="pixel")
    panels[0].set_ylabel("time step (row)")
    _show(f"A digit after {', '.join(map(str, steps))} of its {len(image)} rows; the rows to come are hidden.")


MODEL_SIZES = ("32", "64", "128", "3 x 32")


def plot_summary_table(experiment_results):
    """Draw test cross-entropy and accuracy of the eight models, and write them to `runs/summary.csv`.

    Args:
        experiment_results: {"LSTM": [(loss, accuracy), ...], "GRU": [...]}, each in the order 32, 64, 128, 3 x 32;
            the loss in nats, the accuracy between 0 and 1.
    """
    rows = []
    for family, pairs in experiment_results.items():
        if len(pairs) != len(MODEL_SIZES):
            raise ValueError(f"{family}: expected {len(MODEL_SIZES)} pairs (loss, accuracy), got {len(pairs)}")
        rows += [(f"{family} {size}", *pair) for size, pair in zip(MODEL_SIZES, pairs, strict=True)]
    header = ("model", "test cross-entropy", "test accuracy")
    write_csv("summary.csv", header, rows)
    _, axes = plt.subplots(figsize=(6, 0.3 * len(rows) + 0.6))
    axes.axis("off")
    texts = [(name, f"{loss:.4f}", f"{accuracy:.4f}") for name, loss, accuracy in rows]
    table = axes.table(texts, colLabels=header, loc="center", cellLoc="center", bbox=[0, 0, 1, 1])
    for (row, column), cell in table.get_celld().items():
        cell.set_edgecolor("#CCCCCC")
        if row == 0:
            cell.set_text_props(weight="bold")
        elif column == 0:
            cell.set_text_props(color=COLORS[texts[row - 1][0].split()[0]], weight="bold")
    _show("Test cross-entropy and accuracy. " + "; ".join(f"{name}: {a}, {b}" for name, a, b in texts) + ".")


def plot_learning_curves(results):
    """Cross-entropy and error by epoch, training (dashed) and test (solid), a panel per size, a colour per cell.

    Args:
        results: dict from Experiment to Result, as from `train_all`, for LSTM and GRU of the sizes in MODEL_SIZES.
    """
    _, rows = plt.subplots(2, len(MODEL_SIZES), figsize=(11, 5.5), sharex=True, sharey="row")
    for result in results.values():
        column = MODEL_SIZES.index(result.experiment.label.split(" ", 1)[1])
        family = result.experiment.family
        epochs = range(1, result.experiment.epochs + 1)
        for axes, values, scale in (
            (rows[0][column], "loss", lambda v: v),
            (rows[1][column], "accuracy", lambda v: 100 * (1 - v)),
        ):
            for prefix, style in (("", "--"), ("val_", "-")):
                label = f"{family}, {'test' if prefix else 'training'}"
                numbers = [scale(v) for v in result.history[prefix + values]]
                axes.plot(epochs, numbers, style, color=COLORS[family], marker=MARKERS[family], label=label)
            axes.set_yscale("log")
            _log_ticks(axes.yaxis)
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    for column, size in enumerate(MODEL_SIZES):
        rows[0][column].set_title(f"{size} units")
        rows[1][column].set_xlabel("epoch")
    rows[0][0].set_ylabel("cross-entropy (nats)")
    rows[1][0].set_ylabel("error (%)")
    rows[0][0].legend(fontsize=8)
    ends = [f"{e.label} {100 * (1 - r.accuracy):.2f} %" for e, r in results.items()]
    _show("Cross-entropy and error fall with every epoch. Test error after the last one: " + ", ".join(ends) + ".")


# Figures of notebook 03
def plot_accuracy_by_size(parameters, hits, total):
    """Test error over the number of parameters with 95 % intervals; a marker per kind of model.

    Args:
        parameters, hits: dicts from a model's label to its number of parameters, of test images it got right.
        total: number of test images.
    """
    _, axes = plt.subplots(figsize=(8, 4.5))
    left = ("GRU 32", "GRU 3 x 32", "GRU 128", "MLP 11", "MLP 32", "CNN 32", "softmax")  # neighbours are on the right
    facts = []
    for family, marker in MARKERS.items():
        labels = [name for name in hits if (name.split()[0] if name.split()[0] in COLORS else "whole image") == family]
        if not labels:
            continue
        size, right = np.array([parameters[name] for name in labels]), np.array([hits[name] for name in labels])
        low, high = wilson(right, total)
        error = 100 * (1 - right / total)
        bars = np.maximum([error - 100 * (1 - high), 100 * (1 - low) - error], 0)
        axes.errorbar(size, error, bars, fmt=marker, color=COLORS[family], capsize=3, markersize=7, label=family)
        for name, x, y in zip(labels, size, error, strict=True):
            place, side = ((-6, -10), "right") if name in left else ((6, -10 if family == "GRU" else 5), "left")
            axes.annotate(name, (x, y), place, textcoords="offset points", fontsize=8, ha=side, color=COLORS[family])
            facts.append(f"{name} {y:.1f} % with {x:,}")
    axes.set(xscale="log", yscale="log", xlabel="number of parameters", ylabel="test error (%)")
    axes.margins(0.15)
    _log_ticks(axes.xaxis, form="{x:,.0f}")
    _log_ticks(axes.yaxis, (1, 2, 3, 5))
    axes.grid()
    axes.legend()
    _show("Test error over the number of parameters: " + "; ".join(facts) + ".")


def plot_images(images, titles, columns=10):
    """Binarised images (N, T, pixels) in a grid, each with its title."""
    rows = max(1, -(-len(images) // columns))
    _, grid = plt.subplots(rows, columns, figsize=(1.1 * columns, 1.45 * rows), squeeze=False)
    for place, axes in enumerate(grid.flat):
        axes.axis("off")
        if place < len(images):
            _show_digit(axes, images[place])
            axes.set_title(titles[place], fontsize=9)
    _show(f"{len(images)} images of digits: {'; '.join(titles)}.")


def plot_over_time(images, traced, names):
    """Each image beside what a recurrent layer does while it reads it, row by row.

    Gates and outputs are drawn on their whole range, the unbounded state c on that of all but its 2 % largest values.

    Args:
        images: (N, T, 28).
        traced: dict of arrays (N, T, units), as from `trace`.
        names: which of them, from left to right.
    """
    size = (2.1 * (len(names) + 1), 1.9 * len(images) + 0.9)
    figure, grid = plt.subplots(len(images), len(names) + 1, figsize=size, squeeze=False, sharey=True)
    for row, image in zip(grid, images, strict=True):
        _show_digit(row[0], image)
        row[0].set_ylabel("time step (row)")
    for column, name in zip(grid.T[1:], names, strict=True):
        high = np.ceil(np.percentile(np.abs(traced[name]), 98)) if name == "c" else 1
        low = 0 if name in "ifozr" else -high
        for axes, values in zip(column, traced[name], strict=True):
            picture = _show_steps(axes, values, low, high)
        column[0].set_title(TITLES[name])
        column[-1].set_xlabel("hidden unit")
        options = {"orientation": "horizontal", "aspect": 12, "extend": "both" if name == "c" else "neither"}
        figure.colorbar(picture, ax=column, ticks=[low, (low + high) / 2, high], format="{x:g}", **options)
    grid[0][0].set_title("image")
    grid[-1][0].set_xlabel("pixel")
    shown = ", ".join(f"{TITLES[name]} (mean {np.nanmean(traced[name]):.2f})" for name in names)
    _show(f"{len(images)} digits, each beside these arrays of time steps by hidden units: {shown}.")


def print_comparisons(pairs, results, verdicts):
    """A table of paired comparisons, one `Comparison` and one verdict for each pair of names."""
    rows = []
    for (a, b), result, verdict in zip(pairs, results, verdicts, strict=True):
        interval = f"{100 * result.low:+.2f} to {100 * result.high:+.2f}"
        p = f"{result.p:.3f}" if result.p >= 0.001 else "<.001"
        numbers = (measured(100 * result.difference, "+.2f"), measured(interval), measured(result.only_a, "d"))
        rows.append((f"{a} - {b}", *numbers, measured(result.only_b, "d"), measured(p), measured(verdict)))
    header = ("pair", "difference (points)", "95 % interval (points)", "only first", "only second", "p (alone)")
    print_table((*header, "so the first one is"), rows)


def plot_states(images, h, labels):
    """Each image beside the output of a recurrent layer over time, side by side.

    Args:
        images: (N, T, 28). h: (N, T, units). labels: the true classes, (N,).
    """
    figure, panels = _beside_images(images, labels, width=0.8)
    for axes, states in zip(panels, h, strict=True):
        picture = _show_steps(axes, states, -1, 1, width=0.8)
        axes.set(xlabel="hidden unit", title="output h")
    figure.colorbar(picture, ax=panels, label="output h", aspect=15)
    digits = ", ".join(map(str, labels))
    _show(f"The digits {digits}, each beside the output h: alike in the blank rows at the top, different below.")


def plot_class_means(means):
    """The mean state of each class over time, (10, T, units), one panel per digit."""
    figure, grid = plt.subplots(2, 5, figsize=(11, 4.8), sharex=True, sharey=True)
    for digit, axes in enumerate(grid.flat):
        picture = _show_steps(axes, means[digit], -1, 1)
        axes.set_title(f"digit {digit}")
    for axes in grid[:, 0]:
        axes.set_ylabel("time step (row)")
    for axes in grid[1]:
        axes.set_xlabel("hidden unit")
    figure.colorbar(picture, ax=grid, label="mean output h", shrink=0.8)
    spread = np.nanstd(means, axis=0).mean(-1)
    _show(
        "Mean output h of each digit over the time steps. Standard deviation between the digits: "
        f"{spread[2]:.2f} at step 3, {spread[-1]:.2f} at the last."
    )


def plot_by_step(ylabel, curves, points=None, first_step=1, marks=None):
    """Curves over the time step.

    Args:
        ylabel: what is measured, with its unit.
        curves: dict from a label to values per step, or to (values, low, high) with an interval.
        points: dict from a label to {step: value}, drawn as single large markers.
        first_step: the number of the first value.
        marks: dict from a step to the word that stands at a thin vertical line there.
    """
    _, axes = plt.subplots(figsize=(8.5, 4))
    facts = []
    for (label, values), (color, style, marker) in zip(curves.items(), LINES, strict=False):
        values, low, high = values if isinstance(values, tuple) else (values, None, None)
        steps = np.arange(first_step, first_step + len(values))
        axes.plot(steps, values, linestyle=style, color=color, marker=marker, label=label)
        if low is not None:
            axes.fill_between(steps, low, high, color=color, alpha=0.25, linewidth=0)
        facts.append(f"{label}, {values[0]:.2f} at step {steps[0]}, {values[-1]:.2f} at step {steps[-1]}")
    for label, values in (points or {}).items():
        axes.plot(*zip(*values.items(), strict=True), "*", color="black", markersize=11, label=label)
        facts.append(f"{label}, " + ", ".join(f"{value:.2f} at step {step}" for step, value in values.items()))
    for step, word in (marks or {}).items():
        axes.axvline(step, color="#888888", linewidth=1)
        axes.text(
            step + 0.15, 0.02, word, transform=axes.get_xaxis_transform(), va="bottom", fontsize=8, color="#555555"
        )
    axes.set(xlabel="time step (row)", ylabel=ylabel)
    axes.set_xticks([1, *range(4, axes.get_xlim()[1].astype(int) + 1, 4)])
    axes.grid()
    axes.legend()
    _show(f"{ylabel} over the time steps: " + "; ".join(facts) + ".")


def plot_film_strip(images, probabilities, labels):
    """Each image beside the class probabilities that are read out after each of its rows.

    Args:
        images: (N, T, 28). probabilities: (N, T, 10). labels: the true classes, (N,).
    """
    figure, panels = _beside_images(images, labels, width=0.6)
    steps = commit_step(probabilities.argmax(-1))
    for axes, chances, step in zip(panels, probabilities, steps, strict=True):
        picture = _show_steps(axes, chances, 0, 1, width=0.6)
        axes.axhline(step - 0.5, color="white", linestyle="--", linewidth=1.5)
        axes.set(xlabel="class", title=f"settled at {step}", xticks=range(1, 11, 3), xticklabels=range(0, 10, 3))
    figure.colorbar(picture, ax=panels, label="probability", aspect=15)
    facts = ", ".join(f"the {label} at step {step}" for label, step in zip(labels, steps, strict=True))
    _show(f"Digits beside their class probabilities after each row. The prediction settles: {facts}.")


def plot_commit_steps(steps, ink, labels):
    """When predictions settle: beside the last row with ink, over all images, and class by class.

    Args:
        steps: (N,), of `commit_step`. ink: (N,), of `last_ink`. labels: the true classes, (N,).
    """
    _, (left, right) = plt.subplots(1, 2, figsize=(11, 3.8))
    bins, share = np.arange(0.5, 29), np.full(len(ink), 100 / len(ink))
    left.hist(ink, bins, weights=share, color="#BBBBBB", label="last row with ink")
    settled = {"histtype": "step", "linewidth": 2, "color": COLORS["GRU"], "label": "prediction settled"}
    left.hist(steps, bins, weights=share, **settled)
    left.set(xlabel="time step (row)", ylabel="images (%)")
    left.legend(loc="upper left")
    digits = [digit for digit in range(10) if (labels == digit).any()]
    right.boxplot(
        [steps[labels == digit] for digit in digits],
        tick_labels=digits,
        whis=(5, 95),
        showfliers=False,
        medianprops={"color": COLORS["GRU"], "linewidth": 2},
    )
    ends = [np.median(ink[labels == digit]) for digit in digits]
    right.plot(range(1, len(digits) + 1), ends, "x", color="#000000", markersize=6, label="median last row with ink")
    right.set(xlabel="digit", ylabel="prediction settled (row)")
    right.yaxis.set_major_locator(MaxNLocator(integer=True))
    right.legend()
    medians = ", ".join(f"{digit}: {np.median(steps[labels == digit]):g}" for digit in digits)
    _show(f"Histograms of the last row with ink and of the step at which predictions settle. Medians: {medians}.")


def plot_gate_means(traced):
    """Mean of every gate over the images, each unit at each step: one row per cell.

    Args:
        traced: dict from "LSTM" or "GRU" to the dict that `trace` returns.
    """
    gates = {cell: [name for name in "ifozr" if name in values] for cell, values in traced.items()}
    columns = max(map(len, gates.values()))
    size = (2.6 * columns + 1, 2.6 * len(traced))
    figure, grid = plt.subplots(len(traced), columns, figsize=size, sharey=True, squeeze=False)
    facts = []
    for row, (cell, names) in zip(grid, gates.items(), strict=True):
        for axes in row[len(names) :]:
            axes.axis("off")
        for axes, name in zip(row, names, strict=False):
            means = traced[cell][name].mean(0)
            picture = _show_steps(axes, means, 0, 1)
            axes.set(title=f"{cell}: {TITLES[name]}", xlabel="hidden unit")
            facts.append(f"{cell} {name} from {means[0].mean():.2f} at step 1 to {means[-1].mean():.2f} at the last")
        row[0].set_ylabel("time step (row)")
    figure.colorbar(picture, ax=grid, label="mean of the gate", shrink=0.8)
    _show("Mean of each gate over the images, by time step and hidden unit: " + "; ".join(facts) + ".")


def plot_saturation(traced):
    """How often each unit's gate is nearly closed and nearly open, a point per unit, a marker per gate.

    Args:
        traced: dict from "LSTM" or "GRU" to the dict that `trace` returns.
    """
    size = (4.6 * len(traced), 4.3)
    _, panels = plt.subplots(1, len(traced), figsize=size, sharex=True, sharey=True, squeeze=False)
    facts = []
    for axes, (cell, values) in zip(panels[0], traced.items(), strict=True):
        for name, marker in zip([gate for gate in "ifozr" if gate in values], "os^", strict=False):
            closed, opened = saturation(values[name])
            style = {"color": COLORS[name], "markersize": 6, "alpha": 0.8, "markeredgecolor": "black"}
            axes.plot(closed, opened, marker, label=TITLES[name], **style)
            facts.append(f"{cell} {name} {closed.mean():.2f} below and {opened.mean():.2f} above")
        axes.plot([0, 1], [1, 0], "--", color="#888888", linewidth=1)
        axes.set(title=f"{cell}", xlabel="share of steps with the gate below 0.1")
        axes.grid()
        axes.legend()
    panels[0][0].set_ylabel("share of steps with the gate above 0.9")
    _show("Share of steps with a gate below 0.1 and above 0.9, mean over the units: " + "; ".join(facts) + ".")


def _draw_reading(panels, image, h, chances, label, step):
    """What is known after `step` rows: rows read so far, the state as a strip, the class probabilities."""
    above, middle, below = panels
    for axes in panels:
        axes.clear()
    seen = np.where(np.arange(len(image))[:, None] < step, image, 0.12 * image)
    above.imshow(seen, cmap="gray_r", vmin=0, vmax=1)
    above.axhline(step - 0.5, color=COLORS["GRU"], linewidth=2)
    above.set_title(f"after row {step}", fontsize=10)
    above.axis("off")
    middle.imshow(h[step - 1].reshape(4, -1), vmin=-1, vmax=1, aspect="auto")
    middle.set(xticks=[], yticks=[])
    bars = below.bar(range(10), chances[step - 1], color="#BBBBBB")
    bars[label].set_color(COLORS["GRU"])
    below.set(ylim=(0, 1), xticks=range(10), yticks=[0, 1])
    below.tick_params(labelsize=7)


def plot_reading(image, h, chances, label, steps):
    """One digit being read, as a strip: image, state and class probabilities after each of `steps` rows.

    Args:
        image: (T, 28). h: (T, units), units a multiple of 4. chances: (T, 10). label: the true class.
        steps: row numbers, 1 to T.

    Raises:
        ValueError: shapes that do not belong together, or a row that the image does not have.
    """
    _check_reading(image, h, chances, steps)
    size = (1.45 * len(steps), 3.6)
    _, grid = plt.subplots(3, len(steps), figsize=size, squeeze=False, height_ratios=[2, 0.7, 1])
    for column, step in enumerate(steps):
        _draw_reading(grid[:, column], image, h, chances, label, step)
    grid[1][0].set_ylabel("state h", fontsize=8)
    grid[2][0].set_ylabel("probability", fontsize=8)
    for axes in grid[2]:
        axes.set_xlabel("class", fontsize=8)
    guesses = ", ".join(f"{chances[step - 1].argmax()} after row {step}" for step in steps)
    _show(f"A {label} being read: its rows so far, the state h and the class probabilities. Most probable: {guesses}.")


def save_reading(name, image, h, chances, label, seconds_per_row=0.2):
    """The same as `plot_reading` with every row, as the animated GIF `runs/NAME`; the last frame stays longer."""
    steps = [*range(1, len(image) + 1), *[len(image)] * 8]
    _check_reading(image, h, chances, steps)
    size = {"left": 0.12, "right": 0.97, "top": 0.93, "bottom": 0.06, "hspace": 0.12, "height_ratios": [2, 0.6, 1]}
    with plt.ioff(), plt.rc_context({"savefig.bbox": "standard"}):  # every frame has the same size
        figure, panels = plt.subplots(3, 1, figsize=(2.8, 4.4), layout="none", gridspec_kw=size)
        animation = FuncAnimation(figure, lambda step: _draw_reading(panels, image, h, chances, label, step), steps)
        with written_aside(RUNS / name) as path:
            animation.save(path, writer=PillowWriter(fps=1 / seconds_per_row), dpi=80)
        plt.close(figure)


def _check_reading(image, h, chances, steps):
    if image.ndim != 2 or not len(image) == len(h) == len(chances) or h.shape[1] % 4:
        raise ValueError(
            f"image {image.shape}, h {h.shape} and chances {chances.shape} must have the same T, and units be a "
            "multiple of 4"
        )
    wrong = [step for step in steps if not 1 <= step <= len(image)]
    if wrong:
        raise ValueError(f"step {wrong[0]} is out of range: use 1 to {len(image)}")
