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
SIZES = [(family, *size) for family in ("LSTM", "GRU") for size in ((32, 1), (64, 1), (128, 1), (32, 3))]
BATCH = 256
SYSTEMS = {"bundle": "keras", "PyTorch": "torch", "Keras on JAX": "jax", "textbook Keras": "keras"}


def bundle(size, x, y, epochs, after_epoch):
    """Train with `training.fit`, compiled or not as in a full run on MNIST."""
    from coursework import training
    from coursework.data import Data

    decide = training.pays_to_compile
    training.pays_to_compile = lambda experiment, updates: decide(experiment, 2340)
    data = Data("random", x, y, x[:100], y[:100])
    training.fit(training.Experiment(*size, epochs=epochs, batch_size=BATCH), data, lambda epoch: after_epoch())


def textbook(size, x, y, epochs, after_epoch):
    """Train with Keras as in a textbook: arrays into `fit`, nothing set."""
    import keras

    family, units, layers = size
    layer = getattr(keras.layers, family)
    body = [layer(units, return_sequences=True) for _ in range(layers - 1)] + [layer(units), keras.layers.ReLU()]
    model = keras.Sequential([*body, keras.layers.Dense(64, activation="relu"), keras.layers.Dense(10)])
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True), metrics=["accuracy"])
    after = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: after_epoch())
    model.fit(x, y, batch_size=BATCH, epochs=epochs, callbacks=[after], verbose=0)


def pytorch(size, x, y, epochs, after_epoch):
    """Train with PyTorch's `nn.LSTM` and `nn.GRU`."""
    import torch

    family, units, layers = size
    torch.set_num_threads(1)
    x, y = torch.from_numpy(x), torch.from_numpy(y)
    recurrent = getattr(torch.nn, family)(28, units, layers, batch_first=True)
    head = torch.nn.Sequential(torch.nn.ReLU(), torch.nn.Linear(units, 64), torch.nn.ReLU(), torch.nn.Linear(64, 10))
    optimizer = torch.optim.Adam([*recurrent.parameters(), *head.parameters()], 0.001)
    loss_of = torch.nn.CrossEntropyLoss()
    for _ in range(epochs):
        for rows in torch.randperm(len(y)).split(BATCH):
            optimizer.zero_grad()
            loss_of(head(recurrent(x[rows])[0][:, -1]), y[rows]).backward()
            optimizer.step()
        after_epoch()


TRAIN = {"bundle": bundle, "textbook Keras": textbook, "Keras on JAX": textbook, "PyTorch": pytorch}


def train(system, place, turns, updates):
    """Train one network here; after each epoch print its seconds of CPU and wall time, and wait for a line."""
    rng, start = np.random.default_rng(0), np.array([time.process_time(), time.time()])
    x, y = (rng.random((BATCH * updates, 28, 28)) < 0.2).astype(np.float32), rng.integers(0, 10, BATCH * updates)

    def after_epoch():
        print(json.dumps([time.process_time() - start[0], time.time() - start[1]]), flush=True)
        sys.stdin.readline()
        start[:] = time.process_time(), time.time()

    TRAIN[system](SIZES[place], x, y, turns + 1, after_epoch)


def label(size):
    """ "GRU 32", "LSTM 3 x 32"."""
    family, units, layers = size
    return f"{family} {units}" if layers == 1 else f"{family} {layers} x {units}"


def seconds_of(place, systems, turns, updates):
    """{system: seconds of each turn's epoch, (turns, 2): CPU and wall time} for one network."""
    trainings, found = {}, {}
    for system in systems:
        environment = {"KERAS_BACKEND": "jax" if "JAX" in system else "tensorflow", "PYTHONPATH": str(HERE.parent)}
        environment |= {"TF_NUM_INTRAOP_THREADS": "1", "TF_NUM_INTEROP_THREADS": "1", "OMP_NUM_THREADS": "1"}
        environment |= {"XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false"} if "JAX" in system else {}
        command = [sys.executable, __file__, "--train", system, str(place)]
        command += ["--turns", str(turns), "--updates", str(updates)]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL, "text": True}
        trainings[system] = subprocess.Popen(command, env=os.environ | environment, **pipes)
        epoch_of(system, trainings[system])
        found[system] = []
    for _ in range(turns):
        for system, training in trainings.items():
            print(file=training.stdin, flush=True)
            found[system].append(epoch_of(system, training))
    for training in trainings.values():
        training.communicate("\n")
    return {system: np.array(seconds) for system, seconds in found.items()}


def epoch_of(system, training):
    """What a training says of its next epoch; libraries may print other lines before."""
    for line in training.stdout:
        if line.startswith("["):
            return json.loads(line)
    raise SystemExit(f"{system} failed: {' '.join(training.args)}")


def rows_of(seconds, updates):
    """The ratio to each other system, by CPU time (by wall time), then images per second; geometric means last."""
    others = [system for system in next(iter(seconds.values())) if system != "bundle"]
    ratios = []
    for model, of in seconds.items():
        ratios.append([np.median(of[system] / of["bundle"], axis=0) for system in others])
        cells = ["{:.2f} ({:.2f})".format(*pair) for pair in ratios[-1]]
        rates = [f"{BATCH * updates / np.median(of[system][:, 0]):,.0f}" for system in ("bundle", *others)]
        yield [model, *cells, *rates]
    means = ["{:.2f} ({:.2f})".format(*pair) for pair in gmean(ratios)]
    yield ["geometric mean", *means, *[""] * (len(others) + 1)]


def main(turns, updates):
    """Measure, print, and write both files."""
    systems = [system for system, package in SYSTEMS.items() if find_spec(package)]
    missing = [system for system in SYSTEMS if system not in systems]
    seconds = {label(size): seconds_of(place, systems, turns, updates) for place, size in enumerate(SIZES)}
    header = ["model", *(f"bundle / {system}" for system in systems[1:]), *systems]
    rows = [header, ["---", *["---:"] * (len(header) - 1)], *rows_of(seconds, updates)]
    packages = sorted({SYSTEMS[system] for system in systems} | {"tensorflow"})
    facts = {"cores": os.cpu_count(), "processor": platform.machine(), "python": platform.python_version()}
    facts |= {package: version(package) for package in packages} | {"turns": turns, "updates in a turn": updates}
    note = ", ".join(f"{name} {value}" for name, value in facts.items())
    lines = [f"| {' | '.join(row)} |" for row in rows]
    text = "\n".join([f"Measured with {note}.", *[f"Not installed: {system}." for system in missing], "", *lines, ""])
    print(text)
    plain = {model: {system: s.round(3).tolist() for system, s in of.items()} for model, of in seconds.items()}
    results = {"measured with": facts, "seconds of CPU and wall time of each turn": plain}
    (HERE / "results.json").write_text(json.dumps(results) + "\n")
    readme = HERE / "README.md"
    before, mark, _ = readme.read_text(encoding="utf-8").partition("<!-- results -->\n")
    readme.write_text(f"{before}{mark}\n{text}", encoding="utf-8")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--turns", type=int, default=5, help="epochs of each network in each system")
    parser.add_argument("--updates", type=int, default=100, help="in an epoch; MNIST has 234")
    parser.add_argument("--train", nargs=2, metavar=("SYSTEM", "NETWORK"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.train:
        train(options.train[0], int(options.train[1]), options.turns, options.updates)
    else:
        main(options.turns, options.updates)
