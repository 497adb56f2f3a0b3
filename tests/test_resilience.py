"""What breaks around the program: the network, the process, the home. Each fault is the real thing.

Most of it is long: `make test-long`.
"""

import contextlib
import functools
import hashlib
import os
import signal
import socketserver
import subprocess
import sys
import threading
import time

import nbformat
import numpy as np
import psutil
import pytest

import helpers
from conftest import ROOT, python, refused, tiny, wait_for
from coursework import data as data_room
from helpers import train_all

linux = pytest.mark.skipif(sys.platform != "linux", reason="needs Linux's mount or unshare")
long = pytest.mark.long
MNIST5K = functools.cache(data_room._mnist5k)  # two seconds of reading, once


@pytest.fixture(autouse=True)
def clean(monkeypatch, tmp_path, runs):
    monkeypatch.setattr(data_room, "_mnist5k", MNIST5K)
    MNIST5K()
    monkeypatch.delenv("COURSEWORK_DATA", raising=False)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    (tmp_path / "keras").mkdir()


# ---------------------------------------------------------------------------------------------------------- network
def head(length, status="200 OK"):
    return f"HTTP/1.0 {status}\r\nContent-Length: {length}\r\n\r\n".encode()


def says(answer):
    """A server that gives this answer to a request, made from the file that is asked for."""
    return lambda connection, body: connection.sendall(answer(body))


def trickles(connection, body):
    for byte in head(len(body)) + body:
        connection.sendall(bytes([byte]))
        time.sleep(0.5)


PORTAL = b"<!DOCTYPE html><html><body><form action='/login'>Please log in</form></body></html>"
HANGS = {"accepts and is silent": lambda connection, body: time.sleep(60), "trickles": trickles}
BREAKS = {
    "truncated": says(lambda body: head(len(body)) + body[: len(body) // 2]),
    "one byte altered": says(
        lambda body: head(len(body)) + body[:5000] + bytes([body[5000] ^ 1]) + body[5001:]
    ),
    "captive portal": says(lambda body: head(len(PORTAL)) + PORTAL),
    "error 503": says(lambda body: head(0, "503 Service Unavailable")),
    "no HTTP at all": says(lambda body: b"SSH-2.0-OpenSSH_9.2\r\n"),
    "closed at once": says(lambda body: b""),
}


@pytest.fixture
def serve(monkeypatch, tmp_path):
    """serve(play): a web server in MNIST's place; `play` gets each connection and the bytes of a small file.

    It ends with this process.
    """
    rng = np.random.default_rng(0)
    parts = {"train": 300, "test": 100}
    images = {
        f"x_{part}": (rng.random((n, 28, 28)) < 0.2).astype(np.uint8) * 255
        for part, n in parts.items()
    }
    np.savez(
        tmp_path / "small.npz",
        **images,
        **{f"y_{part}": rng.integers(0, 10, n) for part, n in parts.items()},
    )
    body = (tmp_path / "small.npz").read_bytes()

    def serve(play):
        class Handler(socketserver.BaseRequestHandler):
            def handle(self):
                with contextlib.suppress(OSError):
                    self.request.recv(4096)
                    play(self.request, body)

        server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads, server.block_on_close = True, False
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setattr(
            data_room, "MNIST_URL", f"http://127.0.0.1:{server.server_address[1]}/mnist.npz"
        )
        monkeypatch.setattr(data_room, "MNIST_SHA256", hashlib.sha256(body).hexdigest())
        return body

    return serve


def assert_mnist5k_in_one_line(capfd, why):
    data = helpers.load_data("auto")
    out, err = capfd.readouterr()
    assert data.name == "mnist5k" and len(data.y_train) == 4000
    assert out.startswith("Data: mnist5k, 4,000 training") and out.count("\n") == 1 and not err
    assert any(reason in out for reason in why)


FAILED = "MNIST could not be downloaded", "what arrived is not MNIST"


@pytest.mark.parametrize("fault", BREAKS)
def test_a_broken_answer_gives_mnist5k(serve, capfd, fault):
    serve(BREAKS[fault])
    assert_mnist5k_in_one_line(capfd, FAILED)


@pytest.mark.parametrize("fault", HANGS)
def test_what_hangs_is_given_up(serve, capfd, monkeypatch, fault):
    """After a second here; `load_data` gives ten, and pytest's time limit would end a call that hangs."""
    original = data_room._mnist
    monkeypatch.setattr(data_room, "_mnist", lambda seconds: original(seconds // 10))
    serve(HANGS[fault])
    assert_mnist5k_in_one_line(capfd, ["MNIST did not arrive within 1 seconds"])


def test_a_whole_file_arrives_and_is_kept_and_what_broke_is_replaced(
    serve, monkeypatch, tmp_path, capfd
):
    """Whatever a broken download left in the cache is noticed by its checksum and never read."""
    cached, asked = tmp_path / "keras" / "datasets" / "mnist.npz", []
    body = serve(
        lambda connection, body: (asked.append(1), connection.sendall(head(len(body)) + body))
    )
    for _ in range(2):  # the second time comes from the cache
        assert helpers.load_data("auto").name == "mnist" and len(asked) == 1
        assert cached.read_bytes() == body
    cached.write_bytes(body[:-1])
    assert (
        len(helpers.load_data("mnist").y_train) == 300
        and len(asked) == 2
        and cached.read_bytes() == body
    )
    assert capfd.readouterr().out.count("\n") == 2
    cached.write_bytes(body[:-1])
    monkeypatch.setattr(
        data_room, "MNIST_URL", "http://127.0.0.1:9/mnist.npz"
    )  # where nobody listens
    with refused("MNIST could not be downloaded", ConnectionError):
        helpers.load_data("mnist")
    assert_mnist5k_in_one_line(capfd, FAILED)


NAMESPACE = """
import socket, sys
import helpers
if "resolver" in sys.argv:  # it takes every question and answers none
    resolver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    resolver.bind(("127.0.0.1", 53))
assert helpers.load_data("auto").name == "mnist5k"
"""


@long
@linux
@pytest.mark.parametrize("fault", ["no network", "resolver"])
def test_names_that_nobody_resolves(tmp_path, fault):
    """The real address of MNIST, in a network namespace of its own: without DNS, and with one that never answers."""
    (tmp_path / "resolv.conf").write_text("nameserver 127.0.0.1\noptions timeout:30\n")
    inner = (
        f"mount --bind {tmp_path}/resolv.conf /etc/resolv.conf && ip link set lo up &&"
        if fault == "resolver"
        else ""
    )
    shell = f'{inner} exec "$0" -c "$1" "$2"'
    if subprocess.run(
        ["unshare", "-n", "-m", "sh", "-c", f"{inner} true"], capture_output=True
    ).returncode:
        pytest.skip("no right to make a network namespace here")
    names = [name for name in os.environ if name.lower().endswith("_proxy")]
    command = ["unshare", "-n", "-m", "sh", "-c", shell]
    result = python(NAMESPACE, fault, prefix=command, **dict.fromkeys(names))
    assert result.returncode == 0, result.stderr
    expected = (
        "did not arrive within 10 seconds" if fault == "resolver" else "could not be downloaded"
    )
    assert result.stdout.count("\n") == 1 and expected in result.stdout and not result.stderr


# ---------------------------------------------------------------------------------------------------- killed sweeps
SWEEP = """
import signal, sys, tempfile
import helpers
if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs are deaf to Ctrl-C
    tempfile.tempdir = sys.argv[1]
    digits = helpers.load_data("digits")
    sweep = [helpers.Experiment("GRU", 4, epochs=500, seed=seed) for seed in range(3)]
    helpers.train_all([helpers.Experiment("softmax", epochs=1), *sweep], digits, n_jobs=2)
"""


def started(folder, *arguments, **options):
    environment = {**os.environ, "COURSEWORK_RUNS": str(folder / "runs"), "PYTHONPATH": str(ROOT)}
    command = [sys.executable, *map(str, arguments)]
    return psutil.Popen(
        command, cwd=folder, env=environment, stderr=subprocess.PIPE, text=True, **options
    )


def is_worker(process):
    return "LokyProcess" in " ".join(process.cmdline())


KILLS = ["worker, SIGKILL", "parent, Ctrl-C", "parent, SIGKILL", "start, SIGKILL"]


@long
@pytest.mark.skipif(os.name == "nt", reason="signals")
@pytest.mark.parametrize("who", KILLS)
def test_a_killed_sweep_leaves_no_processes_and_no_half_written_files(who, tmp_path):
    (tmp_path / "sweep.py").write_text(SWEEP)
    sweep = started(tmp_path, "sweep.py", tmp_path)
    if "start" in who:  # the parent again, while the workers still import what they need
        wait_for(lambda: any(is_worker(child) for child in sweep.children()), seconds=300)
    else:
        wait_for(
            lambda: len({mark.name.split("-")[0] for mark in tmp_path.glob("epochs-*/*")}) >= 2,
            seconds=300,
        )
    family = sweep.children(recursive=True)
    if "worker" in who:
        next(process for process in family if is_worker(process)).kill()
    else:
        sweep.send_signal(signal.SIGINT if "Ctrl-C" in who else signal.SIGKILL)
    errors = sweep.communicate(timeout=300)[1]
    assert sweep.returncode != 0
    if "worker" in who:
        assert "RuntimeError: a training process was killed, perhaps for want of memory" in errors
    assert not psutil.wait_procs(family, timeout=60)[1]
    assert not list((tmp_path / "runs").rglob(".unfinished*")) and not list(
        (tmp_path / "runs").rglob("GRU*")
    )


STORING = """
import os, sys, time
import helpers
digits, replace, calls = helpers.load_data("digits"), os.replace, []

def stop(source, target):
    calls.append(target)
    if len(calls) == int(sys.argv[1]):
        open("stopped", "w").close()
        time.sleep(600)
    replace(source, target)

os.replace = stop
experiments = [helpers.Experiment(family, 4, epochs=1, batch_size=64) for family in ("MLP", "softmax")]
helpers.train_all(experiments, digits, n_jobs=1)
"""


@pytest.mark.parametrize("stop", [pytest.param(2, marks=long), 3, pytest.param(4, marks=long)])
def test_a_run_killed_while_it_stores_loses_that_model_only(tmp_path, runs, stop):
    """1: the probe, 2: the first model's file, 3: its JSON, 4: the second model's file."""
    process = started(tmp_path, "-c", STORING, stop)
    wait_for(lambda: (tmp_path / "stopped").exists() or process.poll() is not None)
    process.kill()
    process.wait()
    after = train_all([tiny("MLP"), tiny()], helpers.load_data("digits"), n_jobs=1)
    assert [result.trained for result in after.values()] == [stop < 4, True]


@long
def test_two_runs_at_once_in_one_folder(tmp_path, runs):
    both = [started(tmp_path, "-c", STORING, 0) for _ in range(2)]
    assert [(process.communicate(), process.returncode)[1] for process in both] == [0, 0]
    results = train_all([tiny("MLP"), tiny()], helpers.load_data("digits"), n_jobs=1)
    assert not any(result.trained for result in results.values())
    names = [path.name for path in (runs / "models").iterdir()]
    assert len(names) == 4 and not any(name.startswith(".") for name in names)


# ----------------------------------------------------------------------------------------- run.py, through papermill
TINY = """
import sys
import nbformat
from pathlib import Path
import run
path = Path(sys.argv[1])
if not path.exists():
    cells = [nbformat.v4.new_markdown_cell("# Tiny"), nbformat.v4.new_code_cell(sys.argv[2])]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), path)
run.NOTEBOOKS = [path]
sys.exit(run.main([]))
"""


@long
@pytest.mark.skipif(os.name == "nt", reason="signals")
def test_a_run_that_is_stopped_by_ctrl_c_says_so_in_one_line(tmp_path):
    cell = f"import time; open({str(tmp_path / 'begun')!r}, 'w'); time.sleep(600)"
    # A shell's background jobs are deaf to Ctrl-C, and what they start too.
    listening = f"import signal; signal.signal(2, signal.default_int_handler)\n{TINY}"
    process = started(tmp_path, "-c", listening, tmp_path / "tiny.ipynb", cell)
    wait_for(lambda: (tmp_path / "begun").exists() or process.poll() is not None)
    family = process.children(recursive=True)
    process.send_signal(signal.SIGINT)
    said = process.communicate(timeout=120)[1]
    assert process.returncode == 130 and "Traceback" not in said
    assert said.splitlines()[-1] == "Stopped. Run again: it goes on where it stopped"
    assert not psutil.wait_procs(family, timeout=30)[1]


@long
@linux
def test_a_run_with_a_home_that_can_not_be_written(tmp_path, runs):
    """The kernel's connection file, Matplotlib's fonts, IPython's history: each has to go elsewhere."""
    (tmp_path / "home").mkdir()
    mount = [
        "unshare",
        "-m",
        "sh",
        "-ec",
        f'mount -t tmpfs -o ro tmpfs "{tmp_path}/home"; exec "$@"',
        "sh",
    ]
    if subprocess.run([*mount, "true"], capture_output=True).returncode:
        pytest.skip("no right to mount a file system here")
    cell = "import matplotlib.pyplot as plt\nplt.plot([1, 2])\nplt.show()"
    places = {"HOME": str(tmp_path / "home"), "COURSEWORK_RUNS": str(runs)}
    result = python("-c", TINY, tmp_path / "tiny.ipynb", cell, prefix=mount, **places)
    assert result.returncode == 0 and "Traceback" not in result.stderr, result.stderr
    assert (
        "image/png" in nbformat.read(runs / "tiny.ipynb", as_version=4).cells[-1].outputs[-1].data
    )
