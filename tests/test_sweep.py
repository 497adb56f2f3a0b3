"""Train what is missing, here, in worker processes, on a cluster: the same bits everywhere."""

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections import Counter

import numpy as np
import psutil
import pytest

from conftest import ROOT, refused, tiny, wait_for
from coursework import files, store, sweep, training
from helpers import train_all


@pytest.fixture(scope="module")
def trained(data, tmp_path_factory):
    """Two small models trained once, by two workers; tests work on copies."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(files, "RUNS", tmp_path_factory.mktemp("trained"))
        return files.RUNS, train_all([tiny("GRU"), tiny()], data, n_jobs=2)


@pytest.fixture
def at_hand(trained, runs):
    shutil.copytree(trained[0], runs)
    return trained[1]


def test_workers_give_what_one_process_gives(trained, data):
    for e, result in trained[1].items():
        model, history = training.fit(e, data)
        assert result.trained and result.history == history
        assert all(map(np.array_equal, model.get_weights(), result.model.get_weights()))
        loss, accuracy = result.model.evaluate(data.x_test, data.y_test, verbose=0)
        assert (result.loss, result.accuracy) == pytest.approx((loss, accuracy), abs=1e-4)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([tiny()], None, 0), "n_jobs must be a whole number of at least 1, not 0"),
        (([tiny()], None), "data must be what load_data returns, not None"),
        ((["GRU"], ...), "it holds 'GRU'"),
        ((3, ...), "experiments must be a list of Experiment; it holds 3"),
    ],
)
def test_a_call_that_can_not_work_gets_one_line(data, arguments, message):
    with refused(message):
        train_all(*(data if argument is ... else argument for argument in arguments))


@pytest.mark.parametrize(
    ("limit", "workers"), [("max", 16), ("4294967296", 2), ("1000", 1), (None, 16), (str(2**62), 16)]
)
def test_as_many_workers_as_the_containers_memory_allows(limit, workers, tmp_path, monkeypatch):
    """On a machine of 16 cores and 64 GB, in a process that has taken 1 GB."""
    gigabytes = psutil.virtual_memory()._replace(available=64 * 10**9)
    monkeypatch.setattr(sweep.psutil, "virtual_memory", lambda: gigabytes)
    monkeypatch.setattr(sweep.psutil.Process, "memory_info", lambda self: type("Memory", (), {"rss": 10**9}))
    monkeypatch.setattr(sweep.joblib, "cpu_count", lambda: 16)
    monkeypatch.setattr(sweep, "MEMORY_LIMITS", (tmp_path / "none", tmp_path / "limit"))
    if limit:
        (tmp_path / "limit").write_text(f"{limit}\n")
    assert sweep._usual_jobs() == workers


def test_only_what_is_missing_is_trained_and_the_order_is_kept(at_hand, data, monkeypatch, capsys):
    results = train_all([tiny("MLP"), *at_hand, tiny("MLP")], data, n_jobs=1)
    assert list(results) == [tiny("MLP"), *at_hand]
    assert [result.trained for result in results.values()] == [True, False, False]
    capsys.readouterr()
    monkeypatch.setattr(sweep, "_train_job", None)  # training would fail
    again = train_all(at_hand, data, n_jobs=1)
    assert [result.history for result in again.values()] == [result.history for result in at_hand.values()]
    assert capsys.readouterr().out == ""


def test_an_interrupted_run_keeps_what_was_finished(data, monkeypatch, runs):
    calls = []

    def interrupted(experiment, *rest):
        calls.append(experiment)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return training.fit(experiment, *rest)

    monkeypatch.setattr(sweep, "fit", interrupted)
    with pytest.raises(KeyboardInterrupt):
        train_all([tiny("MLP"), tiny()], data, n_jobs=1)
    results = train_all([tiny("MLP"), tiny()], data, n_jobs=1)
    assert [result.trained for result in results.values()] == [False, True]


# ----------------------------------------------------------------------------------------------------------- cluster
@pytest.fixture(scope="module")
def start(tmp_path_factory):
    """Start a process of Dask; all are killed at the end."""
    processes, folder = [], tmp_path_factory.mktemp("dask")

    def start(what, *arguments):
        command = [sys.executable, "-m", f"distributed.cli.dask_{what}", *arguments]
        log = folder / f"{what}-{len(processes)}.log"
        # As on another machine, the workers find helpers.py by PYTHONPATH, not through this process.
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "DASK_LOGGING__DISTRIBUTED": "info"}
        with log.open("w") as file:
            processes.append(subprocess.Popen(command, stdout=file, stderr=file, cwd=folder, env=environment))
        processes[-1].log = log
        return processes[-1]

    yield start
    for process in processes:
        process.kill()
        process.wait()


@pytest.fixture(scope="module")
def scheduler(start):
    process = start("scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard")
    return wait_for(lambda: re.search(r"tcp://[\d.]+:\d+", process.log.read_text()))[0]


def test_a_cluster(data, runs, scheduler, start, monkeypatch):
    """Without workers, with workers of other code, and with one that is killed in the middle, which costs its model."""
    monkeypatch.setenv("COURSEWORK_SCHEDULER", scheduler)
    with refused("has no workers: start some with 'dask worker'", ConnectionError):
        train_all([tiny()], data)
    options = ["--nthreads", "1", "--no-nanny", "--no-dashboard", "--host", "127.0.0.1"]
    workers = [start("worker", scheduler, *options) for _ in range(2)]
    for process in workers:
        wait_for(lambda log=process.log: "Registered to" in log.read_text())
    with monkeypatch.context() as patch:
        patch.setattr(store, "TRAINING_CODE", "other code")
        with refused(r"^the worker on .* has other training code, Keras or TensorFlow", RuntimeError):
            train_all([tiny(), tiny(seed=1)], data)  # one for each, so that both have started
    experiments = [tiny("GRU", epochs=50, seed=seed) for seed in range(3)] + [tiny("CNN", epochs=2, shift=1)]
    marks = runs / "temporary"
    marks.mkdir(parents=True)
    monkeypatch.setattr(tempfile, "tempdir", str(marks))

    def kill():
        def busy():  # two models under way, neither of them finished
            epochs = Counter(mark.name.rsplit("-", 1)[0] for mark in marks.glob("epochs-*/*"))
            return sum(1 < count < 50 for count in epochs.values()) == 2

        wait_for(busy)
        workers[0].send_signal(signal.SIGKILL)

    thread = threading.Thread(target=kill)
    thread.start()
    there = train_all(experiments, data)
    thread.join()
    assert workers[0].wait() == -signal.SIGKILL and workers[1].poll() is None
    assert [result.trained for result in there.values()] == [True] * 4
    for e, result in there.items():
        model, history = training.fit(e, data)
        assert history == result.history and all(map(np.array_equal, model.get_weights(), result.model.get_weights()))


def test_without_a_scheduler_or_dask_one_line_says_what_to_do(data, monkeypatch, runs):
    for address in ("tcp://127.0.0.1:9", "nonsense:"):
        monkeypatch.setenv("COURSEWORK_SCHEDULER", address)
        with refused(f"^no Dask scheduler at {address}: start one with 'dask scheduler'$", ConnectionError):
            train_all([tiny()], data)
    monkeypatch.setitem(sys.modules, "distributed", None)
    with refused("a scheduler needs Dask: pip install distributed", ImportError):
        train_all([tiny()], data)
