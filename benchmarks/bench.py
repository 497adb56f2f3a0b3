"""How fast the training is, beside the alternatives: one command, everything measured in one run.

`make bench DATA=...` prints the tables and writes `benchmarks/results.json`. Each measurement runs in a process of its
own (this file, called with the name of a task), systems take turns, and every figure is a median with its range.
"""

import argparse
import contextlib
import io
import itertools
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
README = HERE / "README.md"
SIZES = [
    (family, units, layers) for family in ("LSTM", "GRU") for units, layers in ((32, 1), (64, 1), (128, 1), (32, 3))
]
TARGET = 0.9596  # test accuracy of a known submission's GRU 32
BATCH, UPDATES, TIMED = 256, 20, 3  # size and number of updates in an epoch, and epochs of (b)


# --- tasks: what a child process measures; each prints one line of JSON --------------------------------------------
def race(data, recipe, seed):
    """Seconds from the call of `fit` (building and tracing included) to the first epoch at the target."""
    import helpers
    from coursework import training

    e = helpers.Experiment("GRU", 32, seed=seed)
    if recipe == "quick":
        e = helpers.quick(e)
    d = helpers.load_data(data)
    at = []
    start = time.perf_counter()
    _, history = training.fit(e, d, lambda epoch: at.append(time.perf_counter() - start))
    reached = next((epoch for epoch, accuracy in enumerate(history["val_accuracy"]) if accuracy >= TARGET), None)
    final = history["val_accuracy"][-1]
    if reached is None:
        return {"seconds": None, "epoch": None, "accuracy": final}
    return {"seconds": at[reached], "epoch": reached + 1, "accuracy": final}


def few_images(data, images=BATCH * UPDATES):
    """The first training images, as many as asked for."""
    import numpy as np

    import helpers

    d = helpers.load_data(data)
    rows = np.arange(images) % len(d.y_train)  # a small data set is repeated
    return helpers.Data(d.name, d.x_train[rows], d.y_train[rows], d.x_test[:100], d.y_test[:100])


class Clock:
    """Images per second within each epoch but the first, which holds the tracing; without what lies between epochs."""

    def __init__(self):
        self.epochs = []

    def epoch(self):
        """A new epoch begins."""
        self.epochs.append([])

    def update(self):
        """An update is done."""
        self.epochs[-1].append(time.perf_counter())

    def callback(self):
        """The same as a callback for Keras."""
        from helpers import keras

        return keras.callbacks.LambdaCallback(
            on_epoch_begin=lambda epoch, logs: self.epoch(), on_train_batch_end=lambda batch, logs: self.update()
        )

    def rates(self, batch=BATCH):
        """One rate per epoch but the first."""
        return [batch * (len(stamps) - 1) / (stamps[-1] - stamps[0]) for stamps in self.epochs[1:]]


def bundle(data):
    """Images/s of `training.fit`, for each of the eight models."""
    import helpers

    d = few_images(data)
    return {helpers.Experiment(*size).label: bundle_clock(size, d).rates() for size in SIZES}


def bundle_clock(size, d, batch=BATCH):
    """The Clock of one training with `training.fit`."""
    import helpers
    from coursework import training
    from helpers import keras

    clock, original = Clock(), keras.Sequential.fit

    def timed(self, *arguments, callbacks=(), **options):
        return original(self, *arguments, callbacks=[*callbacks, clock.callback()], **options)

    keras.Sequential.fit = timed
    try:
        training.fit(helpers.Experiment(*size, epochs=TIMED, batch_size=batch), d)
    finally:
        keras.Sequential.fit = original
    return clock


def textbook(data):
    """The same with Keras as in a textbook: arrays into `fit`, nothing set."""
    import helpers
    from helpers import keras

    d = few_images(data)
    rates = {}
    for family, units, layers in SIZES:
        layer = getattr(keras.layers, family)
        model = keras.Sequential(
            [keras.Input((28, 28))]
            + [layer(units, return_sequences=True) for _ in range(layers - 1)]
            + [layer(units), keras.layers.ReLU(), keras.layers.Dense(64, activation="relu"), keras.layers.Dense(10)]
        )
        model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True), metrics=["accuracy"])
        clock = Clock()
        model.fit(d.x_train, d.y_train, batch_size=BATCH, epochs=TIMED, callbacks=[clock.callback()], verbose=0)
        rates[helpers.Experiment(family, units, layers).label] = clock.rates()
    return rates


def pytorch(data):
    """The same with PyTorch's `nn.LSTM` and `nn.GRU`."""
    import helpers

    d = few_images(data)
    return {helpers.Experiment(*size).label: pytorch_clock(size, d).rates() for size in SIZES}


def pytorch_clock(size, d, batch=BATCH):
    """The Clock of one training with PyTorch."""
    import torch

    torch.set_num_threads(int(os.environ.get("TF_NUM_INTRAOP_THREADS", 1)) or os.cpu_count())
    x, y = torch.from_numpy(d.x_train), torch.from_numpy(d.y_train)

    class Network(torch.nn.Module):
        def __init__(self, family, units, layers):
            super().__init__()
            self.recurrent = getattr(torch.nn, family)(28, units, layers, batch_first=True)
            self.head = torch.nn.Sequential(
                torch.nn.ReLU(), torch.nn.Linear(units, 64), torch.nn.ReLU(), torch.nn.Linear(64, 10)
            )

        def forward(self, x):
            return self.head(self.recurrent(x)[0][:, -1])

    model = Network(*size)
    optimizer, loss_of = torch.optim.Adam(model.parameters(), 0.001), torch.nn.CrossEntropyLoss()
    clock = Clock()
    for _ in range(TIMED):
        clock.epoch()
        for rows in torch.randperm(len(y)).split(batch):
            optimizer.zero_grad()
            loss_of(model(x[rows]), y[rows]).backward()
            optimizer.step()
            clock.update()
    return clock


def updates(data):
    """Milliseconds of one update by system, model and batch size: what a system takes for almost no arithmetic, and how
    that grows. One image makes the arithmetic vanish; what is left is the cost of starting each operation."""
    found = {}
    for size in (("LSTM", 32, 1), ("GRU", 32, 1), ("GRU", 128, 1)):
        for batch in (1, 64, 256, 1024):
            d = few_images(data, batch * UPDATES)
            for system, clock_of in (("bundle", bundle_clock), ("pytorch", pytorch_clock)):
                with contextlib.suppress(ImportError):
                    rates = clock_of(size, d, batch).rates(batch)
                    found[f"{system}, {size[0]} {size[1]}, {batch}"] = [1000 * batch / rate for rate in rates]
    return found


def peak(data):
    """GFLOP/s of a float32 matrix product of 1,024 x 1,024, on the threads that a model trains with."""
    from coursework.backend import tf

    a = tf.random.stateless_uniform((1024, 1024), (0, 1))
    rates = []
    for _ in range(15):
        start = time.perf_counter()
        for _ in range(5):
            b = a @ a
        b.numpy()
        rates.append(5 * 2 * 1024**3 / (time.perf_counter() - start) / 1e9)
    return rates[5:]


def sweep(data, n_jobs):
    """Seconds for all eight models on few images, by so many workers; start of the workers included."""
    import helpers
    from coursework import files

    d = few_images(data)
    with tempfile.TemporaryDirectory() as folder:
        files.RUNS = Path(folder)
        start = time.perf_counter()
        helpers.train_all([helpers.Experiment(*size, epochs=6, batch_size=BATCH) for size in SIZES], d, n_jobs)
        return time.perf_counter() - start


def growth(data):
    """Seconds of one `fit` of a GRU, one thing at a time made larger."""
    import helpers
    from coursework import training

    def seconds(units=32, epochs=2, updates=UPDATES):
        d = few_images(data, BATCH * updates)
        start = time.perf_counter()
        training.fit(helpers.Experiment("GRU", units, epochs=epochs, batch_size=BATCH), d)
        return time.perf_counter() - start

    seconds()  # what only the first model in a process pays
    return {
        **{f"{n} units": seconds(units=n) for n in (32, 64, 128, 256)},
        **{f"{n} epochs": seconds(epochs=n) for n in (2, 4, 8)},
        **{f"{BATCH * n:,} images": seconds(updates=n) for n in (UPDATES, 2 * UPDATES, 4 * UPDATES)},
    }


def whole_run(data):
    """Seconds of the whole run on the small digits: the first, and one that finds all models at hand."""
    seconds = []
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(2):
            start = time.perf_counter()
            command = [sys.executable, HERE.parent / "run.py", "--data", "digits"]
            subprocess.run(command, env={**os.environ, "COURSEWORK_RUNS": folder}, check=True, capture_output=True)
            seconds.append(time.perf_counter() - start)
    return {"first": seconds[0], "models at hand": seconds[1]}


# --- what is printed also goes to README.md -------------------------------------------------------------------------
SAID = []


def say(text):
    """Print, and keep for the README."""
    print(text, flush=True)
    SAID.extend(text.splitlines() or [""])


def table(header, rows):
    """A table through `say`."""
    import helpers

    text = io.StringIO()
    with contextlib.redirect_stdout(text):
        helpers.print_table(header, rows)
    say(text.getvalue().rstrip() + "\n")


# --- the whole -----------------------------------------------------------------------------------------------------
def measure(task, data, *arguments, threads=1):
    """Run one task in a process of its own."""
    environment = {
        **os.environ,
        "TF_NUM_INTRAOP_THREADS": str(threads),
        "TF_NUM_INTEROP_THREADS": str(threads),
        "PYTHONPATH": str(HERE.parent),
    }
    command = [sys.executable, __file__, "--data", data, "--task", task, *map(str, arguments)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{task} failed: {done.stderr.strip().splitlines()[-1]}")
    return json.loads(done.stdout.splitlines()[-1])


def spread(values, digits=1):
    """Median, lowest and highest as text."""
    middle = statistics.median(values)
    return f"{middle:,.{digits}f} ({min(values):,.{digits}f} to {max(values):,.{digits}f})"


def operations(family, units, layers):
    """Floating-point operations of the matrix products per image and update; backwards costs twice forwards."""
    blocks = {"LSTM": 4, "GRU": 3}[family]
    inputs = [28] + [units] * (layers - 1)
    forwards = sum(2 * blocks * units * (n + units) * 28 for n in inputs) + 2 * (units * 64 + 64 * 10)
    return 3 * forwards


def at_hand(experiment, data):
    """The stored Result of an Experiment, or None."""
    from coursework import store

    folder = store.model_folder(experiment, data)
    return store.stored(experiment, folder) if folder.exists() else None


def main(data, repeats):
    """All measurements, in turn, as tables and as one JSON file."""
    import helpers

    d = helpers.load_data(data)
    found = {"machine": machine(), "data": d.name, "repeats": repeats}
    found["throughput"], found["peak_gflops"] = report_throughput(data, repeats)
    found["updates_ms"] = report_updates(data, repeats)
    if len(d.y_train) >= 50_000:
        found["race"] = report_race(data, repeats)
    else:
        say(f"(a) is left out: {TARGET} is a figure for MNIST, and this is {d.name}\n")
    found["tuned"] = report_tuned(d)
    found["growth"] = report_growth(data, repeats)
    found["whole_run"] = report_whole_run(data)
    found["sweep"] = report_sweep(data, repeats)

    (HERE / "results.json").write_text(json.dumps(found, indent=1) + "\n")
    before, mark, _ = README.read_text(encoding="utf-8").partition("<!-- results -->\n")
    facts = ", ".join(f"{name} {value}" for name, value in found["machine"].items())
    lines = ["", f"Measured on: {facts}; data: {d.name}, {repeats} repeats.", "", "```text", *SAID, "```", ""]
    README.write_text(before + mark + "\n".join(lines), encoding="utf-8")


def report_throughput(data, repeats):
    """(b) and (c): (images per second by system and model, the peak's measurements)."""
    import helpers

    say(
        "(b) Training throughput, images/s, batches of 256, one thread: median (range) of epochs 2 and 3 of all repeats"
    )
    try:
        import torch  # noqa: F401 - is it there?

        systems = ["bundle", "textbook", "pytorch"]
    except ImportError:
        say("PyTorch is not installed and is left out: pip install -r benchmarks/requirements.txt")
        systems = ["bundle", "textbook"]
    rates = {system: {} for system in systems}
    for _ in range(repeats):
        for system in systems:
            for label, values in measure(system, data).items():
                rates[system].setdefault(label, []).extend(values)
    top = list(itertools.chain.from_iterable(measure("peak", data) for _ in range(repeats)))
    rows = []
    for size in SIZES:
        label = helpers.Experiment(*size).label
        medians = [statistics.median(rates[system][label]) for system in systems]
        ratios = [f"{medians[0] / other:.2f}" for other in medians[1:]]
        share = medians[0] * operations(*size) / 1e9 / statistics.median(top)
        rows.append((label, *ratios, f"{share:.0%}", *(spread(rates[system][label], 0) for system in systems)))
    header = ("model", *(f"bundle / {system}" for system in systems[1:]), "(c) share of peak", *systems)
    table(header, rows)
    say(f"(c) peak: float32 matrix product, one thread: {spread(top)} GFLOP/s\n")
    return rates, top


def report_updates(data, repeats):
    """Why (b) is as it is: milliseconds per update by batch size."""
    runs = [measure("updates", data) for _ in range(repeats)]
    times = {name: list(itertools.chain.from_iterable(run[name] for run in runs)) for name in runs[0]}
    say("Milliseconds of one update by batch size, one thread: with one image nearly all of it is starting operations")
    rows = [(*name.rsplit(", ", 2), spread(values)) for name, values in times.items()]
    table(("system", "model", "batch", "ms"), rows)
    return times


def report_race(data, repeats):
    """(a): what each recipe took, by seed."""
    say(f"(a) GRU 32, seconds to {TARGET} test accuracy, everything in `fit` included")
    seeds = range(repeats)
    races = {r: [measure("race", data, r, seed) for seed in seeds] for r in ("sheet", "quick")}
    rows = [
        (seed, r, *(f"{run[key]}" if key == "epoch" else f"{run[key] or float('nan'):.4g}" for key in run))
        for r in races
        for seed, run in zip(seeds, races[r], strict=True)
    ]
    table(("seed", "recipe", "seconds", "epoch", "accuracy at the end"), rows)
    both = [(a["seconds"], b["seconds"]) for a, b in zip(races["sheet"], races["quick"], strict=True)]
    ratios = [fast / slow for slow, fast in both if slow and fast]
    if ratios:
        say(f"quick / sheet: {spread(ratios, 2)}, {len(ratios)} of {len(both)} pairs reached it\n")
    return races


def report_tuned(d):
    """The stored models of the tuned recipe: (model, mean, by seed), as text."""
    import helpers

    say("Tuned recipe, test accuracy by seed, models in runs/models (notebook 2 with `full = True` trains them all)")
    rows = []
    for family, units, _ in (size for size in SIZES if size[2] == 1):
        wanted = [helpers.tuned(helpers.Experiment(family, units, seed=seed)) for seed in range(3)]
        stored = [result for e in wanted if (result := at_hand(e, d))]
        if stored:
            accuracies = [result.accuracy for result in stored]
            mean = statistics.mean(accuracies)
            rows.append((f"{family} {units}", f"{mean:.4f}", " ".join(f"{accuracy:.4f}" for accuracy in accuracies)))
    table(("model", "mean", "by seed"), rows)
    return rows


def report_growth(data, repeats):
    """(e): seconds by what was changed, one dict per repeat."""
    say("(e) seconds of one `fit`, GRU, 32 units, 2 epochs, 5,120 images, but for")
    grown = [measure("growth", data) for _ in range(repeats)]
    table(("what", "seconds"), [(name, spread([run[name] for run in grown])) for name in grown[0]])
    return grown


def report_whole_run(data):
    """(f): seconds of the first run and of one that finds its models."""
    say("\n(f) the whole run on the small digits, seconds")
    run = measure("whole_run", data, threads=1)
    table(("run", "seconds"), [(name, f"{seconds:.0f}") for name, seconds in run.items()])
    say(f"outside training: {run['models at hand'] / run['first']:.0%}")
    return run


def report_sweep(data, repeats):
    """(d): seconds by number of workers."""

    say("\n(d) all eight models on few images, seconds: one process, and one worker per core")
    import joblib

    cores = joblib.cpu_count()
    times = {n: [] for n in (1, cores)}
    for _ in range(repeats):
        for n in times:
            times[n].append(measure("sweep", data, n))
    table(("workers", "seconds"), [(n, spread(values)) for n, values in times.items()])
    ratios = [b / a for a, b in zip(times[1], times[cores], strict=True)]
    say(f"{cores} workers / 1: {spread(ratios, 2)}\n")
    return times


def machine():
    """What the figures were measured on."""
    import keras
    import tensorflow as tf

    cpu = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        cpu = next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        pass
    versions = {"python": platform.python_version(), "tensorflow": tf.__version__, "keras": keras.__version__}
    return {"cpu": cpu, "cores": os.cpu_count(), "system": platform.system(), **versions}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", default="auto")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--task", nargs="+", help=argparse.SUPPRESS)
    options = parser.parse_args()
    sys.path.insert(0, str(HERE.parent))
    if options.task:
        name, *arguments = options.task
        arguments = [int(a) if a.isdigit() else a for a in arguments]
        print(json.dumps(globals()[name](options.data, *arguments)))
    else:
        main(options.data, options.repeats)
