"""Kill training runs at random moments and look at what is left. Needs os.fork, so Linux or macOS.

python tests/kills.py FOLDER [--kills 30] [--workers 1] [--seed 0] [--pairs 1]

Prints one JSON line: how many runs were killed in which phase, and what was lost. TensorFlow is imported once and
never used in the parent, so that each run is a fork that starts in no time.
"""

import argparse
import collections
import contextlib
import json
import os
import random
import signal
import sys
import time
from pathlib import Path

import numpy as np
import psutil
from sklearn.datasets import load_digits

import helpers
from coursework import files, store, sweep

EXPERIMENTS = [
    helpers.Experiment(family, 4, epochs=2, batch_size=64) for family in ("GRU", "LSTM", "CNN", "MLP", "softmax")
]


def few_digits():
    """320 training and 100 test images, made without TensorFlow."""
    digits = load_digits()
    images = np.pad(np.kron(digits.images > 8, np.ones((3, 3), np.float32)), ((0, 0), (2, 2), (2, 2)))
    images, labels = images.astype(np.float32), digits.target.astype(np.int64)
    return helpers.Data("few", images[:320], labels[:320], images[-100:], labels[-100:])


DATA = few_digits()


def child(folder, pipe, workers):
    """One run: train what is missing, then evaluate; a byte in the pipe at the start of each phase."""
    code = 1
    try:
        os.setsid()
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, 1)
        os.dup2(null, 2)
        files.RUNS = folder
        fit, store = sweep.fit, sweep.store

        def marked(phase, function):
            def wrapper(*args):
                os.write(pipe, phase)
                return function(*args)

            return wrapper

        sweep.fit, sweep.store = marked(b"t", fit), marked(b"s", store)
        results = helpers.train_all(EXPERIMENTS, DATA, n_jobs=workers)
        os.write(pipe, b"e")
        for result in results.values():
            result.model.evaluate(DATA.x_test, DATA.y_test, verbose=0)
        os.write(pipe, b".")
        code = 0
    finally:
        os._exit(code)


def start(folder, workers=1):
    """(process id, reading end of the pipe) of a new run."""
    read, write = os.pipe()
    process = os.fork()
    if process == 0:
        os.close(read)
        child(folder, write, workers)
    os.close(write)
    return process, read


def finish(process, pipe):
    """Wait for a run; its exit code and its phases."""
    phases = b""
    while part := os.read(pipe, 100):
        phases += part
    os.close(pipe)
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]), phases.decode()


def whole(folder):
    """Every model that lies under a final name, with its time; a model that is not whole raises."""
    found = {}
    for experiment in EXPERIMENTS:
        for place in (folder / "models").glob(f"{experiment.label.replace(' ', '_')}-few-*"):
            store.facts_of(experiment, place)
            found[place.name] = (place / "result.json").stat().st_mtime_ns
    named = {path.name for path in (folder / "models").glob("[!.]*")}
    assert named == set(found), f"a folder that is no model: {named - set(found)}"
    return found


ORPHANS = []  # processes of a killed run that were still there half a minute later


def wait_for(pipe, phase, count):
    """Read the pipe until a phase has begun `count` times, or the run is over; what was read."""
    phases = b""
    while phases.count(phase) < count and (part := os.read(pipe, 1)):
        phases += part
    return phases.decode()


def kill(folder, rng, workers):
    """One run, killed at a random moment: (phase, None if it was over before)."""
    process, pipe = start(folder, workers)
    phase = rng.choice([b"t", b"s", b"e", b""])
    phases = wait_for(pipe, phase, rng.randint(1, 3)) if phase else ""
    time.sleep(rng.uniform(0, {b"t": 1.5, b"s": 0.2, b"e": 0.5, b"": 2.0}[phase]))
    victims = [process]
    if workers > 1 and rng.random() < 0.5:
        with contextlib.suppress(psutil.Error):
            children = psutil.Process(process).children(recursive=True)
            victims = [c.pid for c in children if "popen_loky" in " ".join(c.cmdline())][:1] or victims
    family = [process, *(c.pid for c in psutil.Process(process).children(recursive=True))] if workers > 1 else []
    for victim in victims:
        with contextlib.suppress(ProcessLookupError):
            os.kill(victim, signal.SIGKILL)
    code, rest = finish(process, pipe)
    _, orphans = psutil.wait_procs([psutil.Process(pid) for pid in family[1:] if psutil.pid_exists(pid)], timeout=30)
    for orphan in orphans:
        ORPHANS.append(" ".join(orphan.cmdline())[:200])
        orphan.kill()
    phases += rest
    name = {"": "start", "t": "training", "s": "saving", "e": "evaluation", ".": "over"}[phases[-1:]]
    return name if code else "over", victims[0] != process


def run_kills(folder, kills, workers, seed):
    """Kill, look, go on; a fresh folder whenever all models are there."""
    rng = random.Random(seed)
    phases, workers_killed, lost, kept, round_number = collections.Counter(), 0, 0, 0, 0
    while sum(phases.values()) - phases["over"] < kills:
        place = folder / str(round_number)
        before = whole(place)
        phase, was_worker = kill(place, rng, workers)
        phases[phase] += 1
        workers_killed += was_worker and phase != "over"
        after = whole(place)
        lost += sum(after.get(name) != when for name, when in before.items())
        kept += len(before)
        if phase == "over" or (len(after) == len(EXPERIMENTS) and rng.random() < 0.5):
            round_number += 1
    # The last one is finished, and gives the same bits as a run that nobody killed.
    before = whole(place)
    code, done = finish(*start(place))
    after = whole(place)
    lost += sum(after.get(name) != when for name, when in before.items())
    retrained = done.count("t") - (len(after) - len(before))
    fresh = folder / "fresh"
    fresh_code, _ = finish(*start(fresh))
    return {
        "phases": dict(phases),
        "workers killed": workers_killed,
        "finished models at hand when killed": kept,
        "processes left behind": ORPHANS,
        "lost": lost,
        "retrained": retrained,
        "exit codes of the runs after": [code, fresh_code],
        "same history as without kills": histories(place) == histories(fresh),
    }


def histories(folder):
    """What was measured after each epoch, by model."""
    models = (folder / "models").glob("[!.]*")
    return {path.name: json.loads((path / "result.json").read_text())["history"] for path in models}


def run_pairs(folder, pairs):
    """Two runs at once in the same folder."""
    codes = []
    for number in range(pairs):
        both = [start(folder / f"pair{number}") for _ in range(2)]
        codes += [finish(*one)[0] for one in both]
        assert len(whole(folder / f"pair{number}")) == len(EXPERIMENTS)
        assert not list((folder / f"pair{number}" / "models").glob(".*"))
    return {"pairs": pairs, "exit codes": codes}


def main():
    """Parse the command line and print the counts."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--pairs", type=int, default=0)
    options = parser.parse_args()
    result = run_kills(options.folder, options.kills, options.workers, options.seed) if options.kills else {}
    print(json.dumps(result | run_pairs(options.folder, options.pairs)))
    sys.stdout.flush()


if __name__ == "__main__":
    main()
