"""Train what is missing, here, in worker processes, on a cluster: the same bits everywhere."""

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading

import numpy as np
import psutil
import pytest

from conftest import ROOT, wait_for
from coursework import files, store, sweep, training
from helpers import Experiment, train_all


@pytest.fixture(autouse=True)
def runs(monkeypatch, tmp_path):
    monkeypatch.setattr(files, "RUNS", tmp_path / "local")
    return tmp_path


def tiny(family="GRU", **changes):
    return Experiment(family, **{"units": 4, "epochs": 1, "batch_size": 64, **changes})


@pytest.fixture(scope="module")
def trained(data, tmp_path_factory):
    """Two small models trained once, by two workers; tests work on copies."""
    folder = tmp_path_factory.mktemp("trained")
    before, files.RUNS = files.RUNS, folder
    results = train_all([tiny(), tiny("softmax")], data, n_jobs=2)
    files.RUNS = before
    return folder, results


@pytest.fixture
def at_hand(trained, runs):
    shutil.copytree(trained[0], files.RUNS)
    return trained[1]


def test_workers_give_what_one_process_gives(trained, data):
    for e, result in trained[1].items():
        model, history = training.fit(e, data)
        assert result.trained and result.history == history
        for here, there in zip(model.get_weights(), result.model.get_weights(), strict=True):
            assert np.array_equal(here, there)
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
    with pytest.raises(ValueError, match=message):
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


def test_a_finished_model_is_not_trained_again(at_hand, data, monkeypatch, capsys):
    monkeypatch.setattr(sweep, "_train_job", None)  # training would fail
    again = train_all(at_hand, data, n_jobs=1)
    assert [result.trained for result in again.values()] == [False] * 2
    assert [result.history for result in again.values()] == [result.history for result in at_hand.values()]
    assert capsys.readouterr().out == ""


def test_only_what_is_missing_is_trained_and_the_order_is_kept(at_hand, data, monkeypatch):
    experiments = [tiny("MLP"), *at_hand, tiny("MLP")]
    results = train_all(experiments, data, n_jobs=1)
    assert list(results) == [tiny("MLP"), *at_hand]
    assert [result.trained for result in results.values()] == [True, False, False]


def test_an_interrupted_run_keeps_what_was_finished(data, monkeypatch):
    original, calls = training.fit, []

    def interrupted(experiment, *rest):
        calls.append(experiment)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return original(experiment, *rest)

    monkeypatch.setattr(sweep, "fit", interrupted)
    with pytest.raises(KeyboardInterrupt):
        train_all([tiny("MLP"), tiny("softmax")], data, n_jobs=1)
    monkeypatch.setattr(sweep, "fit", original)
    results = train_all([tiny("MLP"), tiny("softmax")], data, n_jobs=1)
    assert [result.trained for result in results.values()] == [False, True]


# ----------------------------------------------------------------------------------------------------------- cluster
@pytest.fixture
def start(tmp_path):
    """Start a process of Dask; all are killed at the end."""
    processes = []

    def start(what, *arguments):
        command = [sys.executable, "-m", f"distributed.cli.dask_{what}", *arguments]
        log = tmp_path / f"{what}-{len(processes)}.log"
        # As on another machine, the workers find helpers.py by PYTHONPATH, not through this process.
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "DASK_LOGGING__DISTRIBUTED": "info"}
        with log.open("w") as file:
            processes.append(subprocess.Popen(command, stdout=file, stderr=file, cwd=tmp_path, env=environment))
        processes[-1].log = log
        return processes[-1]

    yield start
    for process in processes:
        process.kill()
        process.wait()


@pytest.fixture
def scheduler(start):
    process = start("scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard")
    return wait_for(lambda: re.search(r"tcp://[\d.]+:\d+", process.log.read_text()))[0]


@pytest.fixture
def workers(start, scheduler):
    options = ["--nthreads", "1", "--no-nanny", "--no-dashboard", "--host", "127.0.0.1"]
    processes = [start("worker", scheduler, *options) for _ in range(2)]
    for process in processes:
        wait_for(lambda log=process.log: "Registered to" in log.read_text())
    return processes


def test_a_worker_killed_in_the_middle_costs_its_model_only(data, runs, scheduler, workers, monkeypatch):
    experiments = [Experiment("GRU", 4, epochs=30, batch_size=64, seed=seed) for seed in range(3)]
    experiments += [Experiment("CNN", 8, epochs=2, batch_size=64, shift=1)]
    marks = runs / "temporary"
    marks.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(marks))

    def kill():
        def busy():  # two models under way, none of them finished
            epochs = [mark.name.rsplit("-", 1)[0] for mark in marks.glob("epochs-*/*")]
            return len(set(epochs)) >= 2 and len(epochs) < 30

        wait_for(busy)
        workers[0].send_signal(signal.SIGKILL)
        killed.append(True)

    killed = []
    thread = threading.Thread(target=kill)
    thread.start()
    there = train_all(experiments, data, scheduler=scheduler)
    thread.join()
    assert killed and workers[0].wait() == -signal.SIGKILL
    assert [result.trained for result in there.values()] == [True] * 4
    # Only the killed worker's model was started a second time.
    assert workers[1].poll() is None

    monkeypatch.setattr(files, "RUNS", runs / "again")
    here = train_all(experiments, data, n_jobs=2)
    for e in experiments:
        assert here[e].trained and here[e].history == there[e].history
        for a, b in zip(here[e].model.get_weights(), there[e].model.get_weights(), strict=True):
            assert np.array_equal(a, b)


def test_other_code_on_a_worker_is_refused(data, runs, scheduler, workers, monkeypatch):
    monkeypatch.setattr(store, "TRAINING_CODE", "other code")
    with pytest.raises(RuntimeError, match=r"^the worker on .* has other training code, Keras or TensorFlow"):
        train_all([Experiment("softmax", epochs=1)], data, scheduler=scheduler)


def test_a_scheduler_without_workers(data, runs, scheduler):
    with pytest.raises(ConnectionError, match="has no workers: start some with 'dask worker'"):
        train_all([Experiment("softmax", epochs=1)], data, scheduler=scheduler)


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:9", "nonsense:"])
def test_no_scheduler_at_the_address(data, address):
    with pytest.raises(ConnectionError, match=f"^no Dask scheduler at {address}: start one with 'dask scheduler'$"):
        train_all([tiny()], data, scheduler=address)


def test_without_dask(data, monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(ImportError, match="a scheduler needs Dask: pip install distributed"):
        train_all([tiny()], data, scheduler="tcp://127.0.0.1:9")
