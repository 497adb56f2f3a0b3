"""How fast the training is beside the alternatives: images per second for each of the eight networks.

`make bench` prints the table and writes it to `benchmarks/results.json` and at the end of `benchmarks/README.md`. Every
system trains on the same random images (the time does not depend on what they show), in a process of its own, with one
thread. The systems take turns, an epoch each, because a shared machine changes its speed within minutes. The first
epoch, which holds tracing and compiling, does not count.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from scipy.stats import gmean

HERE = Path(__file__).resolve().parent
WIDTHS = ((32, 1), (64, 1), (128, 1), (32, 3))  # units, layers
SIZES = [(family, *width) for family in ("LSTM", "GRU") for width in WIDTHS]
BATCH = 256
SYSTEMS = {"bundle": "keras", "PyTorch": "torch", "Keras on JAX": "jax", "textbook Keras": "keras"}


def bundle(size, x, y, epochs, after_epoch):
    """Train with `training.fit`, compiled or not as in a full run on MNIST."""
    from coursework import training
    from coursework.data import Data

    decide = training.pays_to_compile
    training.pays_to_compile = lambda experiment, updates: decide(experiment, 2340)
    data = Data("random", x, y, x[:100], y[:100])
    family, units, layers = size
    experiment = training.Experiment(family, units, layers, epochs=epochs, batch_size=BATCH)
    training.fit(experiment, data, lambda epoch: after_epoch())


def textbook(size, x, y, epochs, after_epoch):
    """Train with Keras as in a textbook: arrays into `fit`, nothing set."""
    import keras

    family, units, layers = size
    layer = getattr(keras.layers, family)
    model = keras.Sequential()
    for _ in range(layers - 1):
        model.add(layer(units, return_sequences=True))
    model.add(layer(units))
    model.add(keras.layers.ReLU())
    model.add(keras.layers.Dense(64, activation="relu"))
    model.add(keras.layers.Dense(10))
    loss_of = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("adam", loss_of, metrics=["accuracy"])
    after = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: after_epoch())
    model.fit(x, y, batch_size=BATCH, epochs=epochs, callbacks=[after], verbose=0)


def pytorch(size, x, y, epochs, after_epoch):
    """Train with PyTorch's `nn.LSTM` and `nn.GRU`."""
    import torch

    family, units, layers = size
    torch.set_num_threads(1)
    x, y = torch.from_numpy(x), torch.from_numpy(y)
    recurrent = getattr(torch.nn, family)(28, units, layers, batch_first=True)
    head = torch.nn.Sequential(
        torch.nn.ReLU(), torch.nn.Linear(units, 64), torch.nn.ReLU(), torch.nn.Linear(64, 10)
    )
    parameters = [*recurrent.parameters(), *head.parameters()]
    optimizer = torch.optim.Adam(parameters, 0.001)
    loss_of = torch.nn.CrossEntropyLoss()
    for _ in range(epochs):
        for rows in torch.randperm(len(y)).split(BATCH):
            optimizer.zero_grad()
            states, _ = recurrent(x[rows])
            logits = head(states[:, -1])
            loss_of(logits, y[rows]).backward()
            optimizer.step()
        after_epoch()


TRAIN = {"bundle": bundle, "textbook Keras": textbook, "Keras on JAX": textbook, "PyTorch": pytorch}


def train(system, place, turns, updates):
    """Train one network here; after each epoch print its seconds of CPU and wall time, and wait for a line."""
    rng = np.random.default_rng(0)
    count = BATCH * updates
    x = (rng.random((count, 28, 28)) < 0.2).astype(np.float32)
    y = rng.integers(0, 10, count)
    start = now()

    def after_epoch():
        nonlocal start
        print(json.dumps((now() - start).tolist()), flush=True)
        sys.stdin.readline()
        start = now()

    TRAIN[system](SIZES[place], x, y, turns + 1, after_epoch)


def now():
    """Seconds of CPU time and of wall time."""
    return np.array([time.process_time(), time.time()])


def label(size):
    """ "GRU 32", "LSTM 3 x 32"."""
    family, units, layers = size
    return f"{family} {units}" if layers == 1 else f"{family} {layers} x {units}"


def seconds_of(place, systems, turns, updates):
    """{system: seconds of each turn's epoch, (turns, 2): CPU and wall time} for one network."""
    trainings = {system: start_training(system, place, turns, updates) for system in systems}
    found: dict[str, list] = {system: [] for system in systems}
    for _ in range(turns):
        for system, training in trainings.items():
            print(file=training.stdin, flush=True)
            found[system].append(epoch_of(system, training))
    for training in trainings.values():
        training.communicate("\n")
    return {system: np.array(seconds) for system, seconds in found.items()}


def start_training(system, place, turns, updates):
    """A process of its own, with one thread, that has finished the first epoch."""
    environment = os.environ | {
        "KERAS_BACKEND": "jax" if "JAX" in system else "tensorflow",
        "PYTHONPATH": str(HERE.parent),
        "TF_NUM_INTRAOP_THREADS": "1",
        "TF_NUM_INTEROP_THREADS": "1",
        "OMP_NUM_THREADS": "1",
    }
    if "JAX" in system:
        environment["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false"
    training = subprocess.Popen(
        [
            sys.executable,
            __file__,
            "--train",
            system,
            str(place),
            "--turns",
            str(turns),
            "--updates",
            str(updates),
        ],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    epoch_of(system, training)
    return training


def epoch_of(system, training):
    """What a training says of its next epoch; libraries may print other lines before."""
    for line in training.stdout:
        if line.startswith("["):
            return json.loads(line)
    raise SystemExit(f"{system} failed: {' '.join(training.args)}")


def rows_of(seconds, updates):
    """The ratio to each other system, by CPU time (by wall time), then images per second; geometric means last."""
    all_ratios = []
    for model, of in seconds.items():
        ours, *others = of.values()
        ratios = [np.median(theirs / ours, axis=0) for theirs in others]
        all_ratios.append(ratios)
        rates = [images_per_second(turns, updates) for turns in of.values()]
        yield [model, *map(two_numbers, ratios), *rates]
    means = gmean(all_ratios)
    yield ["geometric mean", *map(two_numbers, means), *[""] * (len(means) + 1)]


def images_per_second(turns, updates):
    """ "24,879", by the CPU time of the median turn."""
    rate = BATCH * updates / np.median(turns[:, 0])
    return f"{rate:,.0f}"


def two_numbers(pair):
    """ "1.09 (1.14)"."""
    by_cpu, by_wall = pair
    return f"{by_cpu:.2f} ({by_wall:.2f})"


def main(turns, updates):
    """Measure, print, and write both files."""
    systems = [system for system, package in SYSTEMS.items() if find_spec(package)]
    seconds = {
        label(size): seconds_of(place, systems, turns, updates) for place, size in enumerate(SIZES)
    }
    facts = facts_of(systems, turns, updates)
    text = page(systems, seconds, facts, updates)
    print(text)
    write_results(seconds, facts)
    readme = HERE / "README.md"
    before, mark, _ = readme.read_text(encoding="utf-8").partition("<!-- results -->\n")
    readme.write_text(f"{before}{mark}\n{text}", encoding="utf-8")


def facts_of(systems, turns, updates):
    """What was measured with."""
    facts = {
        "cores": os.cpu_count(),
        "processor": platform.machine(),
        "python": platform.python_version(),
    }
    for package in sorted({SYSTEMS[system] for system in systems} | {"tensorflow"}):
        facts[package] = version(package)
    return facts | {"turns": turns, "updates in a turn": updates}


def page(systems, seconds, facts, updates):
    """The end of README.md: what was measured with, and the table."""
    note = ", ".join(f"{name} {value}" for name, value in facts.items())
    lines = [f"Measured with {note}."]
    for system in SYSTEMS:
        if system not in systems:
            lines.append(f"Not installed: {system}.")
    header = ["model", *(f"bundle / {system}" for system in systems[1:]), *systems]
    rule = ["---"] + ["---:"] * (len(header) - 1)
    lines.append("")
    for row in [header, rule, *rows_of(seconds, updates)]:
        lines.append(f"| {' | '.join(row)} |")
    return "\n".join([*lines, ""])


def write_results(seconds, facts):
    """The seconds of each turn, as JSON."""
    plain = {}
    for model, of in seconds.items():
        plain[model] = {system: turns.round(3).tolist() for system, turns in of.items()}
    results = {"measured with": facts, "seconds of CPU and wall time of each turn": plain}
    (HERE / "results.json").write_text(json.dumps(results) + "\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--turns", type=int, default=5, help="epochs of each network in each system"
    )
    parser.add_argument("--updates", type=int, default=100, help="in an epoch; MNIST has 234")
    parser.add_argument("--train", nargs=2, metavar=("SYSTEM", "NETWORK"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.train:
        train(options.train[0], int(options.train[1]), options.turns, options.updates)
    else:
        main(options.turns, options.updates)
