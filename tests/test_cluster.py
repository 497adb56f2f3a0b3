"""The sweep on a Dask cluster: a scheduler and two workers, each a process of its own."""

import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading

import numpy as np
import pytest

from conftest import ROOT, wait_for
from coursework import files, store
from helpers import Experiment, train_all


@pytest.fixture
def runs(monkeypatch, tmp_path):
    monkeypatch.setattr(files, "RUNS", tmp_path / "local")
    return tmp_path


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
    with pytest.raises(RuntimeError, match=r"^the worker on .* has another helpers.py, Keras or TensorFlow"):
        train_all([Experiment("softmax", epochs=1)], data, scheduler=scheduler)


def test_a_scheduler_without_workers(data, runs, scheduler):
    with pytest.raises(ConnectionError, match="has no workers: start some with 'dask worker'"):
        train_all([Experiment("softmax", epochs=1)], data, scheduler=scheduler)


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:9", "nonsense:"])
def test_no_scheduler_at_the_address(data, runs, address):
    with pytest.raises(ConnectionError, match=f"^no Dask scheduler at {address} .*: start one with") as caught:
        train_all([Experiment("softmax", epochs=1)], data, scheduler=address)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 400 Bad Request\r\n\r\n"])
def test_a_host_that_is_no_scheduler(data, runs, answer):
    """It accepts the connection and says nothing, or something else."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve():
            while True:
                try:
                    calls.append(server.accept()[0])
                    calls[-1].sendall(answer)
                except OSError:
                    return

        calls = []
        threading.Thread(target=serve, daemon=True).start()
        address = f"127.0.0.1:{server.getsockname()[1]}"
        with pytest.raises(ConnectionError, match=f"^no Dask scheduler at {address} .*: start one with"):
            train_all([Experiment("softmax", epochs=1)], data, scheduler=address)


def test_without_dask(data, runs, monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(ImportError, match="a scheduler needs Dask: pip install distributed"):
        train_all([Experiment("softmax", epochs=1)], data, scheduler="tcp://127.0.0.1:9")
