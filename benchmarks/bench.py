"""How fast the training is beside the alternatives: images per second for each of the eight networks.

`make bench` prints the table and writes it to `benchmarks/results.json` and at the end of `benchmarks/README.md`. Every
system trains on the same random images (the time does not depend on what they show), in a process of its own, with one
thread; the systems take turns. A rate is the median over the epochs but the first, which holds tracing and compiling.
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
BATCH, EPOCHS = 256, 3
SYSTEMS = {"PyTorch": "torch", "Keras on JAX": "jax", "textbook Keras": "keras", "bundle": "keras"}
SLOWEST = "Keras on JAX"  # one turn of it takes as long as all others together


def images(updates):
    """Random binary images and labels, as many as so many updates read."""
    rng = np.random.default_rng(0)
    return (rng.random((BATCH * updates, 28, 28)) < 0.2).astype(np.float32), rng.integers(0, 10, BATCH * updates)


def bundle(size, x, y, stamp):
    """Train with `training.fit`, compiled or not as in a full run on MNIST."""
    from coursework import training
    from coursework.data import Data

    decide = training.pays_to_compile
    training.pays_to_compile = lambda experiment, updates: decide(experiment, 2340)
    data = Data("random", x, y, x[:100], y[:100])
    training.fit(training.Experiment(*size, epochs=EPOCHS, batch_size=BATCH), data, lambda epoch: stamp())
    training.pays_to_compile = decide


def textbook(size, x, y, stamp):
    """Train with Keras as in a textbook: arrays into `fit`, nothing set."""
    import keras

    family, units, layers = size
    layer = getattr(keras.layers, family)
    body = [layer(units, return_sequences=True) for _ in range(layers - 1)] + [layer(units), keras.layers.ReLU()]
    model = keras.Sequential([*body, keras.layers.Dense(64, activation="relu"), keras.layers.Dense(10)])
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True), metrics=["accuracy"])
    after = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: stamp())
    model.fit(x, y, batch_size=BATCH, epochs=EPOCHS, callbacks=[after], verbose=0)


def pytorch(size, x, y, stamp):
    """Train with PyTorch's `nn.LSTM` and `nn.GRU`."""
    import torch

    family, units, layers = size
    torch.set_num_threads(1)
    x, y = torch.from_numpy(x), torch.from_numpy(y)
    recurrent = getattr(torch.nn, family)(28, units, layers, batch_first=True)
    head = torch.nn.Sequential(torch.nn.ReLU(), torch.nn.Linear(units, 64), torch.nn.ReLU(), torch.nn.Linear(64, 10))
    optimizer = torch.optim.Adam([*recurrent.parameters(), *head.parameters()], 0.001)
    loss_of = torch.nn.CrossEntropyLoss()
    for _ in range(EPOCHS):
        for rows in torch.randperm(len(y)).split(BATCH):
            optimizer.zero_grad()
            loss_of(head(recurrent(x[rows])[0][:, -1]), y[rows]).backward()
            optimizer.step()
        stamp()


TRAIN = {"bundle": bundle, "textbook Keras": textbook, "Keras on JAX": textbook, "PyTorch": pytorch}


def measure(system, updates):
    """{model: [images/s of CPU time, images/s of wall time]} for one system, in this process."""
    rates = {}
    for size in SIZES:
        stamps = []
        TRAIN[system](size, *images(updates), lambda stamps=stamps: stamps.append((time.process_time(), time.time())))
        rates[label(size)] = (BATCH * updates / np.median(np.diff(stamps, axis=0), axis=0)).tolist()
    return rates


def label(size):
    """ "GRU 32", "LSTM 3 x 32"."""
    family, units, layers = size
    return f"{family} {units}" if layers == 1 else f"{family} {layers} x {units}"


def in_turns(systems, repeats, updates):
    """{system: {model: [CPU rate, wall rate]}}, medians over the turns, of which the slowest system has one only.

    Each turn of a system is a process of its own.
    """
    found = {system: {} for system in systems}
    for turn in range(repeats):
        for system in [system for system in systems if system != SLOWEST or not turn]:
            environment = {"KERAS_BACKEND": "jax" if "JAX" in system else "tensorflow", "PYTHONPATH": str(HERE.parent)}
            environment |= {"TF_NUM_INTRAOP_THREADS": "1", "TF_NUM_INTEROP_THREADS": "1", "OMP_NUM_THREADS": "1"}
            environment |= {"XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false"} if "JAX" in system else {}
            command = [sys.executable, __file__, "--system", system, "--updates", str(updates)]
            done = subprocess.run(command, env=os.environ | environment, capture_output=True, text=True)
            if done.returncode:
                raise SystemExit(f"{system} failed: {done.stderr.strip().splitlines()[-1]}")
            for model, rates in json.loads(done.stdout.splitlines()[-1]).items():
                found[system].setdefault(model, []).append(rates)
    return {s: {m: np.median(runs, axis=0).tolist() for m, runs in found[s].items()} for s in systems}


def rows_of(rates):
    """The ratio to each other system, by CPU time (by wall time), then the rates of CPU time; geometric means last."""
    others = [system for system in rates if system != "bundle"]
    ratios = {m: [np.divide(rates["bundle"][m], rates[s][m]) for s in others] for m in rates["bundle"]}
    for model, pairs in ratios.items():
        cells = ["{:.2f} ({:.2f})".format(*pair) for pair in pairs]
        yield [model, *cells, *(f"{rates[s][model][0]:,.0f}" for s in ("bundle", *others))]
    means = ["{:.2f} ({:.2f})".format(*pair) for pair in gmean(list(ratios.values()))]
    yield ["geometric mean", *means, *[""] * (len(others) + 1)]


def main(repeats, updates):
    """Measure, print, and write both files."""
    systems = [system for system, package in SYSTEMS.items() if find_spec(package)]
    missing = [system for system in SYSTEMS if system not in systems]
    rates = in_turns(systems, repeats, updates)
    header = ["model", *(f"bundle / {s}" for s in systems if s != "bundle"), "bundle", *systems[:-1]]
    lines = [f"| {' | '.join(row)} |" for row in [header, ["---", *["---:"] * (len(header) - 1)], *rows_of(rates)]]
    packages = sorted({SYSTEMS[system] for system in systems} | {"tensorflow"})
    facts = {"cores": os.cpu_count(), "processor": platform.machine(), "python": platform.python_version()}
    facts |= {package: version(package) for package in packages} | {"repeats": repeats, "updates": updates}
    note = ", ".join(f"{name} {value}" for name, value in facts.items())
    text = "\n".join([f"Measured with {note}.", *[f"Not installed: {system}." for system in missing], "", *lines, ""])
    print(text)
    (HERE / "results.json").write_text(json.dumps({"measured with": facts, "images/s": rates}, indent=1) + "\n")
    readme = HERE / "README.md"
    before, mark, _ = readme.read_text(encoding="utf-8").partition("<!-- results -->\n")
    readme.write_text(f"{before}{mark}\n{text}", encoding="utf-8")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--updates", type=int, default=100, help="in each epoch; MNIST has 234")
    parser.add_argument("--system", choices=SYSTEMS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.system:
        print(json.dumps(measure(options.system, options.updates)))
    else:
        main(options.repeats, options.updates)
