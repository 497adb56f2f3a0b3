"""What breaks around the program: the network, the process, the disk. Each fault is the real thing.

COURSEWORK_LONG=1 runs more of each (`make faults`).
"""

import contextlib
import dataclasses
import functools
import hashlib
import itertools
import json
import os
import resource
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import nbformat
import numpy as np
import psutil
import pytest

import helpers
from conftest import wait_for
from coursework import data as data_room
from coursework import files, store, sweep, training
from helpers import Experiment, train_all

ROOT = Path(__file__).resolve().parents[1]
LONG = bool(os.environ.get("COURSEWORK_LONG"))
linux = pytest.mark.skipif(sys.platform != "linux", reason="needs Linux's mount, unshare or fork")


@pytest.fixture(autouse=True)
def clean(monkeypatch, tmp_path):
    monkeypatch.delenv("COURSEWORK_DATA", raising=False)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    monkeypatch.setattr(files, "RUNS", tmp_path / "runs")


# ---------------------------------------------------------------------------------------------------------- network
def archive():
    """The bytes of a small file laid out like mnist.npz, and what is expected of it."""
    path = Path(os.environ["KERAS_HOME"]).with_name("small.npz")
    rng = np.random.default_rng(0)
    parts = {"train": 300, "test": 100}
    images = {f"x_{part}": rng.integers(0, 256, (n, 28, 28), dtype=np.uint8) for part, n in parts.items()}
    np.savez(path, **images, **{f"y_{part}": rng.integers(0, 10, n) for part, n in parts.items()})
    return path.read_bytes()


def head(length=None, status="200 OK", extra=""):
    size = "" if length is None else f"Content-Length: {length}\r\n"
    return f"HTTP/1.0 {status}\r\n{size}{extra}\r\n".encode()


def silent(connection, body):
    time.sleep(60)


def trickle(connection, body):
    connection.sendall(head(len(body)))
    for byte in body:
        connection.sendall(bytes([byte]))
        time.sleep(0.5)


def slow_head(connection, body):
    for byte in head(len(body)) * 20:
        connection.sendall(bytes([byte]))
        time.sleep(0.5)


def says(data):
    return lambda connection, body: connection.sendall(data(body) if callable(data) else data)


def reset(connection, body):
    connection.sendall(head(len(body)) + body[:2000])
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")  # closed by a reset


PORTAL = b"<!DOCTYPE html><html><body><form action='/login'>Please log in</form></body></html>"
HANGS = {"accepts and is silent": silent, "trickles": trickle, "trickles its header": slow_head}
BREAKS = {
    "truncated": says(lambda body: head(len(body)) + body[: len(body) // 2]),
    "truncated, no length": says(lambda body: head() + body[: len(body) // 2]),
    "one byte altered": says(lambda body: head(len(body)) + body[:5000] + bytes([body[5000] ^ 1]) + body[5001:]),
    "longer than it should be": says(lambda body: head() + body + b"\0"),
    "empty": says(head(0)),
    "captive portal": says(head(len(PORTAL), extra="Content-Type: text/html\r\n") + PORTAL),
    "redirect to itself": says(head(0, "302 Found", "Location: /mnist.npz\r\n")),
    "error 503": says(head(0, "503 Service Unavailable")),
    "error 404 with a page": says(head(len(PORTAL), "404 Not Found") + PORTAL),
    "no HTTP at all": says(b"SSH-2.0-OpenSSH_9.2\r\n"),
    "reset": reset,
    "closed at once": says(b""),
}


@pytest.fixture
def server(monkeypatch):
    """serve(play): a web server in MNIST's place; `play` gets each connection and the file's bytes."""
    listeners = []

    def serve(play):
        body, listener = archive(), socket.create_server(("127.0.0.1", 0))
        listeners.append(listener)

        def answer(connection):
            with connection, contextlib.suppress(OSError):
                connection.recv(4096)
                play(connection, body)

        def listen():
            with contextlib.suppress(OSError):
                while True:
                    threading.Thread(target=answer, args=listener.accept()[:1], daemon=True).start()

        threading.Thread(target=listen, daemon=True).start()
        monkeypatch.setattr(data_room, "MNIST_URL", f"http://127.0.0.1:{listener.getsockname()[1]}/mnist.npz")
        monkeypatch.setattr(data_room, "MNIST_SHA256", hashlib.sha256(body).hexdigest())
        return body

    yield serve
    for listener in listeners:
        listener.close()


def assert_digits_in_one_line(capfd, tmp_path):
    start = time.monotonic()
    data = helpers.load_data("auto")
    seconds = time.monotonic() - start
    out, err = capfd.readouterr()
    assert data.name == "digits" and len(data.y_train) == 1437
    assert out.startswith("Data: ≈[digits, 1,437 training") and out.count("\n") == 1 and not err
    assert not list((tmp_path / "keras").rglob("*.npz*")), "something broken lies in the cache"
    return seconds, out


@pytest.mark.parametrize("fault", BREAKS)
def test_a_broken_answer_gives_digits(server, capfd, tmp_path, fault):
    server(BREAKS[fault])
    seconds, out = assert_digits_in_one_line(capfd, tmp_path)
    assert seconds < 10 and ("MNIST could not be downloaded" in out or "what arrived is not MNIST" in out)


@pytest.mark.parametrize("fault", HANGS)
def test_a_host_that_hangs_is_given_ten_seconds(server, capfd, tmp_path, monkeypatch, fault):
    if not LONG:  # the test of the resolver below takes the ten seconds in earnest
        original = data_room._images
        monkeypatch.setattr(data_room, "_images", lambda source, seconds=300: original(source, min(seconds, 1)))
    server(HANGS[fault])
    seconds, out = assert_digits_in_one_line(capfd, tmp_path)
    assert f"MNIST did not arrive within {10 if LONG else 1} seconds" in out
    assert seconds < (15 if LONG else 10)  # the limit, and what the digits take on a busy machine


def test_a_port_where_nobody_listens(capfd, tmp_path, monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    monkeypatch.setattr(data_room, "MNIST_URL", f"http://127.0.0.1:{port}/mnist.npz")
    assert assert_digits_in_one_line(capfd, tmp_path)[0] < 10


def test_a_whole_file_arrives_and_is_kept(server, tmp_path):
    body = server(says(lambda body: head(len(body)) + body))
    assert helpers.load_data("auto").name == "mnist"
    assert [path.read_bytes() for path in (tmp_path / "keras").rglob("*.npz*")] == [body]


NAMESPACE = """
import socket, sys, time
import helpers
if "resolver" in sys.argv:  # it takes every question and answers none
    resolver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    resolver.bind(("127.0.0.1", 53))
start = time.monotonic()
data = helpers.load_data("auto")
assert data.name == "digits" and time.monotonic() - start < 15, time.monotonic() - start
"""


@linux
@pytest.mark.parametrize("fault", ["no network", "resolver"] if LONG else ["resolver"])
def test_names_that_nobody_resolves(tmp_path, fault):
    """The real address of MNIST, in a network namespace of its own: without DNS, and with one that never answers."""
    (tmp_path / "resolv.conf").write_text("nameserver 127.0.0.1\noptions timeout:30\n")
    inner = (
        f"mount --bind {tmp_path}/resolv.conf /etc/resolv.conf && ip link set lo up &&" if fault == "resolver" else ""
    )
    shell = f'{inner} exec "$0" -c "$1" "$2"'
    if subprocess.run(["unshare", "-n", "-m", "sh", "-c", f"{inner} true"], capture_output=True).returncode:
        pytest.skip("no right to make a network namespace here")
    names = [name for name in os.environ if name.lower().endswith("_proxy")]
    result = subprocess.run(
        ["unshare", "-n", "-m", "sh", "-c", shell, sys.executable, NAMESPACE, fault],
        capture_output=True,
        text=True,
        env={**{k: v for k, v in os.environ.items() if k not in names}, "PYTHONPATH": str(ROOT)},
    )
    assert result.returncode == 0, result.stderr
    expected = "did not arrive within 10 seconds" if fault == "resolver" else "could not be downloaded"
    assert result.stdout.count("\n") == 1 and expected in result.stdout and not result.stderr


def test_no_place_for_the_download(monkeypatch, tmp_path):
    with monkeypatch.context() as patch:
        patch.setattr(tempfile, "tempdir", str(tmp_path / "missing"))
        with pytest.raises(ConnectionError, match="no place to download"):
            helpers.load_data("mnist")


# -------------------------------------------------------------------------------------------------------------- kill
@linux
def test_runs_that_are_killed_lose_nothing(tmp_path):
    """SIGKILL in training, saving and evaluation; then two runs at once. More kills, and workers: `make faults`."""
    result = kills(tmp_path / "one", *(["--kills", "30", "--pairs", "5"] if LONG else ["--kills", "5", "--pairs", "1"]))
    if LONG:
        kills(tmp_path / "workers", "--kills", "6", "--workers", "2")
    assert set(result["exit codes"]) == {0}


def kills(folder, *arguments):
    command = [sys.executable, str(ROOT / "tests" / "kills.py"), str(folder), *arguments]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    run = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert run.returncode == 0, run.stderr
    print(run.stdout)
    result = json.loads(run.stdout)
    assert result["lost"] == result["retrained"] == 0 and result["exit codes of the runs after"] == [0, 0]
    assert result["same history as without kills"] and not result["processes left behind"]
    return result


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


def tiny_run(tmp_path, cell, prefix=(), **environment):
    """`run.py` with a notebook of one cell, through real papermill."""
    return subprocess.Popen(
        [*prefix, sys.executable, "-c", TINY, str(tmp_path / "tiny.ipynb"), cell],
        env={**os.environ, "PYTHONPATH": str(ROOT), "COURSEWORK_RUNS": str(tmp_path / "runs"), **environment},
        stderr=subprocess.PIPE,
        text=True,
    )


def test_two_make_runs_at_once(tmp_path):
    """Real papermill, the same notebook, the same `runs/`: whoever is last wins, and what lies there is whole."""
    both = [tiny_run(tmp_path, "for i in range(2000): print(i)") for _ in range(2)]
    for process in both:
        _, err = process.communicate()
        assert process.returncode == 0, err
    notebook = nbformat.read(tmp_path / "runs" / "tiny.ipynb", as_version=4)
    assert notebook.cells[-1].outputs[0].text.endswith("1999\n")
    assert (tmp_path / "runs" / "report" / "tiny.html").read_text(encoding="utf-8").rstrip().endswith("</html>")
    assert not list((tmp_path / "runs").rglob(".unfinished*"))


@pytest.mark.skipif(os.name == "nt", reason="signals")
def test_a_run_that_is_stopped_by_ctrl_c_says_so_in_one_line(tmp_path):
    cell = f"import time; open({str(tmp_path / 'begun')!r}, 'w'); time.sleep(600)"
    # A shell's background jobs are deaf to Ctrl-C, and what they start too.
    deaf_no_more = [
        sys.executable,
        "-c",
        "import os, signal, sys; signal.signal(2, signal.SIG_DFL); os.execv(sys.argv[1], sys.argv[1:])",
    ]
    process = tiny_run(tmp_path, cell, deaf_no_more)
    wait_for((tmp_path / "begun").exists, seconds=120)
    family = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(signal.SIGINT)
    said = process.communicate(timeout=120)[1]
    assert process.returncode == 130 and "Traceback" not in said
    assert said.splitlines()[-1] == "Stopped. Run again: it goes on where it stopped"
    assert not psutil.wait_procs(family, timeout=30)[1]


@linux
def test_a_run_with_a_home_that_can_not_be_written(tmp_path):
    """The kernel's connection file, Matplotlib's fonts, IPython's history: each has to go elsewhere."""
    (tmp_path / "home").mkdir()
    mount = ["unshare", "-m", "sh", "-ec", 'mount -t tmpfs -o ro tmpfs "$HOME"; exec "$@"', "sh"]
    if subprocess.run(
        [*mount, "true"], capture_output=True, env={**os.environ, "HOME": str(tmp_path / "home")}
    ).returncode:
        pytest.skip("no right to mount a file system here")
    cell = "import matplotlib.pyplot as plt\nplt.plot([1, 2])\nplt.show()"
    process = tiny_run(tmp_path, cell, mount, HOME=str(tmp_path / "home"))
    said = process.communicate()[1]
    assert process.returncode == 0 and "Traceback" not in said, said
    outputs = nbformat.read(tmp_path / "runs" / "tiny.ipynb", as_version=4).cells[-1].outputs
    assert "image/png" in outputs[-1].data


SETUP = """
import runpy, sys
setup = runpy.run_path(sys.argv[1])["main"]
step = "from pathlib import Path; import time; Path('venv').mkdir(exist_ok=True); log = open('log', 'a', 1)\\n"
step += "log.write('begun '); time.sleep(1); log.write('done ')"
setup.__globals__["commands"] = lambda python, folder: [[python, "-c", step]]
sys.exit(setup("venv"))
"""


@linux
def test_two_set_ups_at_once_install_once(tmp_path):
    """Two commands in a fresh checkout. What is installed is made up here, the waiting is real."""
    for name in ("requirements.txt", "pyproject.toml"):
        (tmp_path / name).touch()
    command = [sys.executable, "-c", SETUP, str(ROOT / ".ci" / "venv.py")]

    def start():
        return subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, text=True)

    first = start()
    assert first.stdout.readline().startswith("Setting up venv with Python")
    first.kill()  # before it is ready: done again
    first.wait()
    both = [start() for _ in range(2)]
    said = [process.communicate()[0] for process in both]
    assert [process.returncode for process in both] == [0, 0] and sorted(map(bool, said)) == [False, True]
    assert (tmp_path / "log").read_text().endswith("begun done ") and (tmp_path / "venv" / "ready").exists()
    assert start().communicate()[0] == ""


# -------------------------------------------------------------------------------------------------------------- disk
@functools.cache
def few():
    digits = helpers.load_data("digits")
    return helpers.Data("few", digits.x_train[:160], digits.y_train[:160], digits.x_test[:50], digits.y_test[:50])


def tiny(family="softmax", **changes):
    return Experiment(family, **{"units": 4, "epochs": 1, "batch_size": 64, **changes})


@pytest.fixture
def disk(tmp_path):
    """mount(options): a file system of its own at runs/."""
    place = tmp_path / "runs"
    place.mkdir()

    def mount(options):
        if subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", place], capture_output=True).returncode:
            pytest.skip("no right to mount a file system here")
        return place

    yield mount
    subprocess.run(["umount", place], capture_output=True)


def one_line(caught, *words):
    assert "\n" not in str(caught.value) and all(word in str(caught.value) for word in words), caught.value


@linux
def test_a_full_disk_is_noticed_before_training(disk, monkeypatch):
    disk("size=1m")
    monkeypatch.setattr(sweep, "_train_job", None)  # training would fail
    with pytest.raises(OSError) as caught:
        train_all([tiny()], few(), n_jobs=1)
    one_line(caught, "No space left", "COURSEWORK_RUNS")


@pytest.fixture
def fill(disk):
    """fill(): not a byte more goes onto the disk at runs/."""
    place = disk("size=5m")

    def fill():
        with contextlib.suppress(OSError), open(place / "filler", "ab", buffering=0) as filler:
            while True:
                filler.write(bytes(2**12))

    return fill


def before(monkeypatch, name, calls, what):
    """Let something happen before some calls, by number, of a function of helpers."""
    original, numbers = getattr(sweep, name), itertools.count(1)

    def wrapper(*arguments):
        if next(numbers) in calls:
            what()
        return original(*arguments)

    monkeypatch.setattr(sweep, name, wrapper)


@linux
def test_a_disk_that_fills_up_during_training_loses_nothing(fill, monkeypatch):
    before(monkeypatch, "fit", {1}, fill)
    experiments = [tiny(), tiny("MLP"), tiny("CNN")]
    train_all(experiments, few(), n_jobs=1)
    assert not any(result.trained for result in train_all(experiments, few(), n_jobs=1).values())


@linux
def test_a_disk_that_is_filled_again_and_again_loses_no_finished_model(fill, monkeypatch, tmp_path):
    before(monkeypatch, "_store", {2, 3}, fill)
    experiments = [tiny(), tiny("MLP")]
    with pytest.raises(OSError) as caught:
        train_all(experiments, few(), n_jobs=1)
    one_line(caught, "can't be kept", "COURSEWORK_RUNS")
    models = tmp_path / "runs" / "models"
    assert not list(models.glob(".*")) and len(list(models.iterdir())) == 1
    (tmp_path / "runs" / "filler").unlink()
    assert sorted(result.trained for result in train_all(experiments, few(), n_jobs=1).values()) == [False, True]


@linux
def test_a_file_size_limit_is_a_full_disk(monkeypatch):
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    with pytest.raises(OSError) as caught:
        try:
            resource.setrlimit(resource.RLIMIT_FSIZE, (2**20, limits[1]))
            train_all([tiny()], few(), n_jobs=1)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    one_line(caught, "File too large", "COURSEWORK_RUNS")


@linux
def test_what_is_finished_can_be_read_where_nothing_can_be_written(disk):
    place = disk("size=20m")
    train_all([tiny()], few(), n_jobs=1)
    subprocess.run(["mount", "-o", "remount,ro", place], check=True)
    result = train_all([tiny()], few(), n_jobs=1)[tiny()]
    assert not result.trained and result.model.count_params() == 7850
    with pytest.raises(OSError) as caught:
        train_all([tiny("MLP")], few(), n_jobs=1)
    one_line(caught, "Read-only file system", "COURSEWORK_RUNS")


def test_a_table_that_can_not_be_written_leaves_the_old_one(tmp_path):
    helpers.write_csv("table.csv", ["a"], [[1]])
    with pytest.raises(ZeroDivisionError):
        helpers.write_csv("table.csv", ["a"], ([1 / n] for n in (1, 0)))
    assert [path.name for path in (tmp_path / "runs").iterdir()] == ["table.csv"]
    assert (tmp_path / "runs" / "table.csv").read_text() == "a\n1\n"


def test_what_killed_runs_left_is_removed_after_an_hour(tmp_path):
    models = tmp_path / "runs" / "models"
    old, young = models / ".unfinished-old", models / ".unfinished-young"
    for place in (old, young):
        place.mkdir(parents=True)
    os.utime(old, (0, 0))
    train_all([tiny()], few(), n_jobs=1)
    assert young.exists() and not old.exists()


# ----------------------------------------------------------------------------------------------- what is read back
def flip(path, place):
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("name", ["result.json", "model.keras"])
def test_every_flipped_bit_is_noticed(capsys, name):
    result = train_all([tiny()], few(), n_jobs=1)[tiny()]
    whole = (result.folder / name).read_bytes()
    rng = np.random.default_rng(0)
    for place in rng.integers(0, len(whole), 300 if LONG else 60):
        flip(result.folder / name, place)
        read = None
        with contextlib.suppress(*store.UNREADABLE):
            read = store.facts_of(tiny(), result.folder)
        # A flipped bit may leave the same JSON: a space for another white space.
        assert read is None or read == json.loads(whole), f"byte {place}"
        (result.folder / name).write_bytes(whole)
    assert store.stored(tiny(), result.folder).history == result.history


def test_a_model_of_another_keras_is_trained_again_with_a_word(monkeypatch, capsys):
    train_all([tiny()], few(), n_jobs=1)
    monkeypatch.setattr(helpers.keras, "__version__", "3.99.0")
    assert train_all([tiny()], few(), n_jobs=1)[tiny()].trained
    assert (
        capsys.readouterr().out == f"softmax was trained with other versions (Keras {real_keras()}): trained again.\n"
    )
    assert not train_all([tiny()], few(), n_jobs=1)[tiny()].trained


def real_keras():
    from importlib.metadata import version

    return version("keras")


def test_a_model_of_other_training_code_or_data_is_not_used(monkeypatch, capsys):
    train_all([tiny()], few(), n_jobs=1)
    other = few().x_train.copy()
    other[0, 5, 5] = 1 - other[0, 5, 5]
    assert train_all([tiny()], dataclasses.replace(few(), x_train=other), n_jobs=1)[tiny()].trained
    assert not capsys.readouterr().out
    monkeypatch.setattr(store, "TRAINING_CODE", training.TRAINING_CODE + "# changed")
    assert train_all([tiny()], few(), n_jobs=1)[tiny()].trained
    assert "other versions (training code" in capsys.readouterr().out


def test_a_model_put_under_another_name_is_not_used(capsys):
    train_all([tiny()], few(), n_jobs=1)
    folder = store.model_folder(tiny(), few())
    folder.rename(store.model_folder(tiny(seed=1), few()))
    assert train_all([tiny(seed=1)], few(), n_jobs=1)[tiny(seed=1)].trained
    assert "is damaged" in capsys.readouterr().out


def test_a_file_with_a_long_foreign_name_gets_a_folder():
    data = dataclasses.replace(few(), name="Ziffern für Übungen " * 12)
    assert train_all([tiny()], data, n_jobs=1)[tiny()].folder.is_dir()


def test_numbers_of_numpy_are_the_same_setting():
    assert train_all([tiny(epochs=np.int64(1))], few(), n_jobs=1)[tiny()].trained
    assert not train_all([tiny()], few(), n_jobs=1)[tiny()].trained


@pytest.mark.skipif(os.name == "nt", reason="symbolic links")
@pytest.mark.parametrize("kind", ["nowhere", "itself", "a folder", "a file"])
def test_a_link_or_a_file_in_a_models_place_is_replaced(tmp_path, kind):
    folder = store.model_folder(tiny(), few())
    folder.parent.mkdir(parents=True)
    (tmp_path / "other").mkdir()
    if kind == "a file":
        folder.write_text("no model")
    else:
        folder.symlink_to({"nowhere": tmp_path / "nowhere", "itself": folder, "a folder": tmp_path / "other"}[kind])
    assert train_all([tiny()], few(), n_jobs=1)[tiny()].trained
    assert not train_all([tiny()], few(), n_jobs=1)[tiny()].trained
    assert [path.name for path in folder.parent.iterdir()] == [folder.name] and (tmp_path / "other").is_dir()


def test_a_model_made_with_other_settings_of_keras_is_not_used(monkeypatch):
    train_all([tiny()], few(), n_jobs=1)
    monkeypatch.setattr(helpers.keras.config, "floatx", lambda: "float64")
    assert store.stored(tiny(), store.model_folder(tiny(), few())) is None
