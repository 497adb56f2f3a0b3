"""Plumbing of the coursework on LSTM and GRU gates, in the order in which the notebooks need it.

1. Printing what was measured   4. Checks of an answer
2. Data                         5. Models and training
3. Equations                    6. Tracing the gates
                                7. Tables and figures
"""

import contextlib
import csv
import dataclasses
import functools
import hashlib
import inspect
import json
import os
import re
import shutil
import tempfile
import threading
import time
import zipfile
from pathlib import Path

import IPython
import joblib
import matplotlib.pyplot as plt
import numpy as np
import tqdm
import tqdm.notebook
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split


@contextlib.contextmanager
def _stderr_to_null():
    """Silence file descriptor 2: TensorFlow's C++ code logs there, past `sys.stderr` and its own log level."""
    saved, null = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 2)
    try:
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)
        os.close(null)


os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
with _stderr_to_null():
    import keras
    import tensorflow as tf

RUNS = Path(os.environ.get("COURSEWORK_RUNS") or Path(__file__).resolve().parent / "runs")


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
MAX_NPZ_BYTES = 2**30  # unpacked; MNIST itself has 55 MB


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
        ConnectionError: "mnist" is neither cached nor within reach.
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
        wish = str(beside) if beside.is_file() and not Path(wish).is_file() else wish
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
    if os.fspath(source).endswith(".npz") or (source and Path(source).exists()):
        return _read_npz(Path(source).expanduser())
    raise ValueError(f"unknown data {source!r}: use 'auto', 'mnist', 'digits' or the path of an .npz file")


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
    cached = Path(os.environ.get("KERAS_HOME") or "~/.keras").expanduser() / "datasets" / "mnist.npz"
    damaged = ""
    if cached.is_file():
        if hashlib.sha256(cached.read_bytes()).hexdigest() == MNIST_SHA256:
            return _read_npz(cached)
        damaged = "the cached mnist.npz is damaged, and "
    # Downloaded into a folder of its own and renamed when whole, so that no half-written file ever lies in the cache.
    # In a thread, because Keras's downloader has no time limit; one that never comes back is left behind.
    folder = Path(tempfile.mkdtemp(prefix="mnist-"))
    outcome = []

    def download():
        keras.config.disable_interactive_logging()  # no download bar on screen; holds for this thread only
        try:
            outcome.append(keras.utils.get_file("mnist.npz", MNIST_URL, file_hash=MNIST_SHA256, cache_dir=str(folder)))
        except Exception as error:  # Keras raises a bare Exception for HTTP errors
            outcome.append(error)

    thread = threading.Thread(target=download, daemon=True)
    thread.start()
    thread.join(seconds)
    try:
        if not outcome:
            raise ConnectionError(f"{damaged}MNIST did not arrive within {seconds} seconds")
        if isinstance(outcome[0], Exception):
            raise ConnectionError(f"{damaged}MNIST could not be downloaded") from outcome[0]
        images = _read_npz(outcome[0])
        with contextlib.suppress(OSError):  # a read-only home: nothing is kept
            cached.parent.mkdir(parents=True, exist_ok=True)
            aside = cached.with_name(f"mnist.npz.{os.getpid()}")
            shutil.copyfile(outcome[0], aside)
            os.replace(aside, cached)
        return images
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _read_npz(path):
    """The four arrays of an `.npz` like Keras's `mnist.npz`, checked, never unpickled."""
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no data file at {str(path)!r}")
    try:
        with zipfile.ZipFile(path) as archive:
            size = sum(member.file_size for member in archive.infolist())
        if size > MAX_NPZ_BYTES:
            raise ValueError(f"{path.name} would unpack to {size:,} bytes; at most {MAX_NPZ_BYTES:,} are accepted")
        with np.load(path, allow_pickle=False) as file:
            missing = [name for name in ("x_train", "y_train", "x_test", "y_test") if name not in file.files]
            if missing:
                raise ValueError(
                    f"{path.name} lacks the array {missing[0]!r}; it needs x_train, y_train, x_test, y_test"
                )
            arrays = {}
            for name in ("x_train", "y_train", "x_test", "y_test"):
                try:
                    arrays[name] = file[name]
                except ValueError as error:  # what NumPy says of an array of Python objects
                    raise ValueError(
                        f"{path.name}: {name} holds pickled objects or is damaged; save plain arrays"
                    ) from error
    except (zipfile.BadZipFile, EOFError, OSError, NotImplementedError) as error:
        raise ValueError(f"{path.name} is not a readable .npz file") from error
    return (
        *_checked(path.name, "train", arrays["x_train"], arrays["y_train"]),
        *_checked(path.name, "test", arrays["x_test"], arrays["y_test"]),
    )


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
    # Integers are always 0-255; floats are 0-1 unless one is larger.
    scale = 255 if x.dtype.kind in "ui" or high > 1 else 1
    return x.astype(np.float32) / scale, y.astype(np.int64)


# ---------------------------------------------------------------------------------------------------------------------
# 3. Equations
# ---------------------------------------------------------------------------------------------------------------------


# ---------------------------------------------------------------------------------------------------------------------
# 4. Checks of an answer
# ---------------------------------------------------------------------------------------------------------------------


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
    every_step: bool = False

    def __post_init__(self):
        if self.family not in ("LSTM", "GRU", "softmax", "MLP", "CNN"):
            raise ValueError(f"unknown family {self.family!r}: use 'LSTM', 'GRU', 'softmax', 'MLP' or 'CNN'")
        for field, least in (("units", 1), ("layers", 1), ("epochs", 1), ("batch_size", 1), ("seed", 0)):
            value = getattr(self, field)
            if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < least:
                raise ValueError(f"{field} must be a whole number of at least {least}, not {value!r}")
        if not 0 < self.learning_rate < float("inf"):
            raise ValueError(f"learning_rate must be a positive number, not {self.learning_rate!r}")
        if self.gate_bias and self.family != "GRU":
            raise ValueError(f"gate_bias is for 'GRU', not {self.family!r}")
        if self.every_step and self.family not in ("LSTM", "GRU"):
            raise ValueError(f"every_step is for 'LSTM' and 'GRU', not {self.family!r}")

    @property
    def label(self):
        """Name in tables and plots: "GRU 32", "LSTM 3 x 32", "softmax"."""
        width = f"{self.units}" if self.layers == 1 else f"{self.layers} x {self.units}"
        label = self.family if self.family == "softmax" else f"{self.family} {width}"
        label += f", gate bias {self.gate_bias:g}" if self.gate_bias else ""
        return label + (", loss at every step" if self.every_step else "")


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


def compile_model(model, experiment):
    """Adam and cross-entropy on the logits, as the sheet asks."""
    model.compile(
        optimizer=keras.optimizers.Adam(experiment.learning_rate),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    return model


def fit(experiment, data, after_epoch=lambda epoch: None):
    """Train one model here and now, without files.

    Returns:
        (model, history): history maps "loss", "accuracy" (training) and "val_loss", "val_accuracy" (test images, looked
        at after each epoch but never used to choose anything) to one number per epoch.
    """

    def targets(labels):
        return np.repeat(labels[:, None], 28, axis=1) if experiment.every_step else labels

    model = compile_model(build_model(experiment), experiment)
    history = {}
    for epoch in range(experiment.epochs):
        # Shuffled here rather than by Keras, so that the order follows from the seed alone.
        order = np.random.default_rng([experiment.seed, epoch]).permutation(len(data.y_train))
        past = model.fit(
            data.x_train[order],
            targets(data.y_train[order]),
            batch_size=experiment.batch_size,
            validation_data=(data.x_test, targets(data.y_test)),
            validation_batch_size=1000,
            shuffle=False,
            verbose=0,
        )
        for name, (value,) in past.history.items():
            history.setdefault(name, []).append(value)
        after_epoch(epoch)
    return model, history


def batch_size_for(data, batch_size=256):
    """The batch size, smaller on a small data set: an epoch has at least 40 updates, a batch at least 32 images."""
    return min(batch_size, max(32, len(data.y_train) // 40))


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


def train_all(experiments, data, n_jobs=None):
    """Train what is not trained yet, several models at a time, and return everything.

    A finished model is stored under `runs/models` at once and never trained again; its key covers the experiment, the
    data, this file's training code and the versions of Keras and TensorFlow. A stored model that can't be read is
    trained again, with a word.

    Args:
        experiments: iterable of Experiment.
        data: Data.
        n_jobs: number of worker processes; None: one per core, or a single one where there is a GPU.

    Returns:
        dict from Experiment to Result, in the order given.
    """
    experiments = list(dict.fromkeys(experiments))
    folders = {experiment: _model_folder(experiment, data) for experiment in experiments}
    results = {experiment: _stored(experiment, folders[experiment]) for experiment in experiments}
    missing = [experiment for experiment in experiments if results[experiment] is None]
    missing.sort(key=_cost, reverse=True)  # longest first, so that no core waits for a late long one
    if n_jobs is None:
        n_jobs = 1 if tf.config.list_physical_devices("GPU") else joblib.cpu_count()
    n_jobs = max(1, min(n_jobs, len(missing)))
    compact = dataclasses.replace(data, x_train=_compact(data.x_train), x_test=_compact(data.x_test))
    with _progress_bar(experiments, missing) as marks:
        one_thread = n_jobs > 1
        jobs = (joblib.delayed(_train_job)(experiment, compact, marks, one_thread) for experiment in missing)
        for experiment, weights, history, seconds in joblib.Parallel(n_jobs, return_as="generator_unordered")(jobs):
            folder = folders[experiment]
            _store(folder, experiment, weights, history, seconds)
            results[experiment] = Result(experiment, history, seconds, folder, trained=True)
    return results


def _compact(images):
    """Binary images as bytes, a quarter of the memory in every worker; Keras turns them into float32 by the batch."""
    binary = ((images == 0) | (images == 1)).all()
    return images.astype(np.uint8) if binary else images


def _cost(experiment):
    """Rough training time: recurrent layers first, then by size."""
    return experiment.family in ("LSTM", "GRU"), experiment.layers * (64 + experiment.units) * experiment.epochs


def _train_job(experiment, data, marks, one_thread):
    """One model, in a worker process or here; leaves a mark in the folder `marks` after each epoch."""
    if one_thread and tf.config.threading.get_intra_op_parallelism_threads() != 1:
        # joblib limits OpenMP's threads, not TensorFlow's: without this the workers fight over the cores.
        tf.config.threading.set_intra_op_parallelism_threads(1)
        tf.config.threading.set_inter_op_parallelism_threads(1)

    def after_epoch(epoch):
        with contextlib.suppress(OSError):  # a worker on another machine has no such folder
            Path(marks, f"{joblib.hash(experiment)}-{epoch}").touch()

    start = time.perf_counter()
    model, history = fit(experiment, data, after_epoch)
    return experiment, model.get_weights(), history, time.perf_counter() - start


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


def _model_folder(experiment, data):
    """Where a model is kept; the name ends in a hash of all that its weights depend on."""
    code = "".join(inspect.getsource(function) for function in (build_model, compile_model, fit))
    facts = [dataclasses.asdict(experiment), data.digest, code, keras.__version__, tf.__version__]
    key = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:12]
    name = re.sub(r"[^\w.-]+", "_", f"{experiment.label}-{data.name}")
    return RUNS / "models" / f"{name}-{experiment.epochs}epochs-seed{experiment.seed}-{key}"


def _store(folder, experiment, weights, history, seconds):
    """Write a finished model; it appears under its name only when it is whole."""
    model = build_model(experiment)
    model.set_weights(weights)
    folder.parent.mkdir(parents=True, exist_ok=True)
    aside = Path(tempfile.mkdtemp(prefix=".unfinished-", dir=folder.parent))
    model.save(aside / "model.keras")
    facts = {
        "experiment": dataclasses.asdict(experiment),
        "history": history,
        "seconds": seconds,
        "sha256": hashlib.sha256((aside / "model.keras").read_bytes()).hexdigest(),
    }
    (aside / "result.json").write_text(json.dumps(facts, indent=1))
    shutil.rmtree(folder, ignore_errors=True)
    os.replace(aside, folder)


def _stored(experiment, folder):
    """The finished Result in `folder`, or None if there is none or it can't be trusted."""
    if not folder.exists():
        return None
    try:
        facts = json.loads((folder / "result.json").read_text())
        if hashlib.sha256((folder / "model.keras").read_bytes()).hexdigest() != facts["sha256"]:
            raise ValueError("model.keras has changed")
        return Result(experiment, facts["history"], facts["seconds"], folder, trained=False)
    except (OSError, ValueError, KeyError, TypeError) as error:
        print(f"The stored model {experiment.label} is damaged ({type(error).__name__}) and is trained again.")
        return None


# ---------------------------------------------------------------------------------------------------------------------
# 6. Tracing the gates
# ---------------------------------------------------------------------------------------------------------------------


# ---------------------------------------------------------------------------------------------------------------------
# 7. Tables and figures
# ---------------------------------------------------------------------------------------------------------------------
# One colour per model and per gate everywhere: Okabe and Ito's set, which colour-blind readers can tell apart.
COLORS = {
    "LSTM": "#0072B2",
    "GRU": "#D55E00",
    "whole image": "#555555",
    "i": "#009E73",
    "f": "#E69F00",
    "o": "#CC79A7",
    "g": "#56B4E9",
    "c": "#0072B2",
    "h": "#000000",
    "z": "#E69F00",
    "r": "#009E73",
}
plt.rcParams.update({"figure.dpi": 100, "savefig.bbox": "tight", "font.size": 10, "image.cmap": "viridis"})


def print_table(header, rows):
    """Print rows of values in aligned columns: the first column to the left, the others to the right."""
    cells = [[str(cell) for cell in row] for row in [header, *rows]]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for row in cells:
        _, *others = (cell.rjust(width) for cell, width in zip(row, widths, strict=True))
        print("  ".join([row[0].ljust(widths[0]), *others]).rstrip())


def write_csv(name, header, rows):
    """Write a table to `runs/NAME` and return nothing; the folder is made if it is missing."""
    RUNS.mkdir(parents=True, exist_ok=True)
    with open(RUNS / name, "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *rows])


# Figures of notebook 02
def plot_rows_as_steps(image, steps):
    """Draw what a network that reads rows has seen: a panel per step, the current row framed, the rows to come hidden.

    Args:
        image: shape (T, pixels), values in [0, 1].
        steps: the time steps to show, counted from 0.
    """
    _, panels = plt.subplots(1, len(steps), figsize=(2.1 * len(steps), 2.4), sharey=True, layout="constrained")
    for axes, step in zip(panels, steps, strict=True):
        seen = np.where(np.arange(len(image))[:, None] <= step, image, np.nan)
        axes.imshow(seen, cmap="gray_r", vmin=0, vmax=1)
        axes.set_facecolor("#DDDDDD")
        axes.add_patch(
            plt.Rectangle((-0.5, step - 0.5), image.shape[1], 1, fill=False, color=COLORS["GRU"], linewidth=2)
        )
        axes.set_title(f"after step {step}")
        axes.set_xlabel("pixel")
    panels[0].set_ylabel("time step (row)")
    plt.show()


MODEL_SIZES = ("32", "64", "128", "3 x 32")


def plot_summary_table(experiment_results):
    """Draw test cross-entropy and accuracy of the eight models, and write them to `runs/summary.csv`.

    Args:
        experiment_results: {"LSTM": [(loss, accuracy), ...], "GRU": [...]}, each in the order 32, 64, 128, 3 x 32.
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
    texts = [(name, f"{loss:.4f}", f"{accuracy:.2%}") for name, loss, accuracy in rows]
    table = axes.table(texts, colLabels=header, loc="center", cellLoc="center", bbox=[0, 0, 1, 1])
    for (row, column), cell in table.get_celld().items():
        cell.set_edgecolor("#CCCCCC")
        if row == 0:
            cell.set_text_props(weight="bold")
        elif column == 0:
            cell.set_text_props(color=COLORS[texts[row - 1][0].split()[0]], weight="bold")
    plt.show()


def plot_learning_curves(results):
    """Cross-entropy and error by epoch, training (dashed) and test (solid), a panel per size, a colour per cell."""
    _, rows = plt.subplots(2, len(MODEL_SIZES), figsize=(11, 5.5), sharex=True, sharey="row", layout="constrained")
    for result in results.values():
        column = MODEL_SIZES.index(result.experiment.label.split(" ", 1)[1])
        color = COLORS[result.experiment.family]
        epochs = range(1, result.experiment.epochs + 1)
        for axes, values, scale in (
            (rows[0][column], "loss", lambda v: v),
            (rows[1][column], "accuracy", lambda v: 100 * (1 - v)),
        ):
            for prefix, style in (("", "--"), ("val_", "-")):
                label = f"{result.experiment.family}, {'test' if prefix else 'training'}"
                axes.plot(epochs, [scale(v) for v in result.history[prefix + values]], style, color=color, label=label)
            axes.set_yscale("log")
    for column, size in enumerate(MODEL_SIZES):
        rows[0][column].set_title(f"{size} units")
        rows[1][column].set_xlabel("epoch")
    rows[0][0].set_ylabel("cross-entropy (nats)")
    rows[1][0].set_ylabel("error (%)")
    rows[0][0].legend(fontsize=8)
    plt.show()
