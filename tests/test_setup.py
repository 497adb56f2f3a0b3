"""Set-up, and machines unlike ours: how the environment comes about, what is pinned, odd checkouts and users."""

import errno
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import pytest

from conftest import ROOT, python, wait_for

linux = pytest.mark.skipif(sys.platform != "linux", reason="needs Linux's setpriv, or unshare")


# ------------------------------------------------------------------------------------------------------ .ci/venv.py
class Machine:
    """What .ci/venv.py starts, without the hours: each command is written down and `answer` says how it ends."""

    def __init__(self, settings=""):
        self.commands, self.settings, self.fails, self.stops, self.seconds = [], settings, (), False, 0

    def run(self, command, **_):
        line = " ".join(command[1:])
        self.commands.append(line)
        time.sleep(self.seconds)
        if line.startswith("-m venv"):
            Path(command[-1]).mkdir(exist_ok=True)
            Path(command[-1], "pyvenv.cfg").touch()
        elif self.stops:
            raise KeyboardInterrupt
        return SimpleNamespace(returncode=any(part in line for part in self.fails), stdout=self.settings)

    def installs(self):
        return [line.split()[1] for line in self.commands if "--editable ." in line]


@pytest.fixture
def venv(tmp_path, monkeypatch):
    """The module .ci/venv.py, in a folder of its own, on a Machine."""
    spec = importlib.util.spec_from_file_location("venv_script", ROOT / ".ci" / "venv.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    for path in module.NEEDED:
        shutil.copy(ROOT / path, tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(module, "subprocess", Machine())
    return module


def test_the_environment_is_made_once_and_again_after_a_change_or_a_stop(venv):
    assert venv.main(".venv") == 0 and venv.main(".venv") == 0
    assert venv.subprocess.installs() == ["uv"]
    # Without make, the README has the same installed.
    assert f".venv/bin/python -m pip install {' '.join(venv.PACKAGES)}\n" in (ROOT / "README.md").read_text("utf-8")
    later = time.time() + 60
    os.utime("requirements.lock", (later, later))
    venv.subprocess.stops = True
    assert venv.main(".venv") == 130 and not Path(".venv", "ready").exists()
    venv.subprocess.stops = False
    assert venv.main(".venv") == 0 and venv.subprocess.installs()[-1] == "uv" and Path(".venv", "ready").exists()
    assert "-m venv --clear .venv" in venv.subprocess.commands
    Path("mine").mkdir()  # a folder that is no environment is not cleared
    venv.main("mine")
    assert "-m venv mine" in venv.subprocess.commands


@pytest.mark.parametrize(
    ("settings", "fails", "installs"),
    [
        ("", ["requirements.lock uv"], "pip"),  # no wheel of uv
        ("", ["-m uv pip install"], "pip"),
        ("global.index-url='https://example.org/simple'\n", [], "pip"),  # only pip was told
        (":env:.no-index='1'\n:env:.find-links='wheels'\n", [], "pip"),
        ("global.extra-index-url='https://example.org/simple'\n", [], "uv"),
    ],
)
def test_pip_installs_where_uv_can_not(venv, capsys, settings, fails, installs):
    venv.subprocess.settings, venv.subprocess.fails = settings, fails
    assert venv.main(".venv") == 0 and venv.subprocess.installs()[-1] == installs
    assert capsys.readouterr().out.count("\n") == 2 or installs == "uv"


def test_without_any_way_to_install_one_line_says_what_to_do(venv, capsys):
    venv.subprocess.fails = ["install"]
    assert venv.main(".venv") == 1
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "run the same again" in said and not Path(".venv", "ready").exists()


def test_of_two_at_once_the_second_waits(venv):
    pytest.importorskip("fcntl")
    venv.subprocess.seconds = 0.1
    with ThreadPoolExecutor() as pool:
        assert list(pool.map(venv.main, [".venv"] * 2)) == [0, 0]
    assert venv.subprocess.installs() == ["uv"]


@pytest.mark.parametrize("why", [errno.EBADF, errno.ENOLCK])
def test_a_network_file_system_is_no_reason_to_stop(venv, monkeypatch, why):
    """NFS locks only what is open for writing (flock(2)), and not every server has locks at all."""

    def flock(file, _):
        if why == errno.ENOLCK or not file.writable():
            raise OSError(why, os.strerror(why))

    monkeypatch.setattr(venv, "fcntl", SimpleNamespace(flock=flock, LOCK_EX=2))
    assert venv.main(".venv") == 0 and venv.subprocess.installs() == ["uv"]


# ------------------------------------------------------------------------------------------------------- what is pinned
def test_the_lock_has_every_pin_and_names_no_place():
    text = (ROOT / "requirements.lock").read_text("utf-8")
    locked = dict(re.findall(r"^([\w-]+)==(\S+)", text, re.M))
    pins = {}
    for name in ("requirements.txt", "requirements-dev.txt"):
        pins |= dict(re.findall(r"^([\w-]+)==(\S+)", (ROOT / name).read_text("utf-8"), re.M))
    assert pins.items() <= locked.items(), "run: make lock"
    assert len(locked) > 2 * len(pins) and "os_name == 'nt'" in text and "sys_platform == 'darwin'" in text
    assert not re.search(r"//|^--|[\w.]+/", text, re.M)


def test_the_recipe_for_colab_can_be_run_twice(tmp_path):
    """The second time the folder is there; `-e` makes helpers importable from whatever folder a restart leaves."""
    (cell,) = re.findall(r"^```python\n(.*?)^```", (ROOT / "README.md").read_text("utf-8"), re.S | re.M)
    lines = [line.removeprefix("!") for line in cell.splitlines()]
    for name, does in {"git": '[ ! -e "$3" ] && mkdir "$3"', "pip": "test -d bundle && echo $@ >> log"}.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{does}\n")
        (tmp_path / name).chmod(0o755)
    environment = {"PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"}
    for _ in range(2):
        for line in lines:
            subprocess.run(["sh", "-c", line], cwd=tmp_path, env=environment, check=True)
    assert (tmp_path / "log").read_text().count("-e bundle") == 2


# -------------------------------------------------------------------------------------------------- odd machines, users
# What every machine must be able to do, with a checksum of all that must come out the same.
PROBE = """
import hashlib, json, os, sys
import numpy as np
import helpers
from helpers import Experiment
digits = helpers.load_data("digits")
data = helpers.Data("few", digits.x_train[:160], digits.y_train[:160], digits.x_test[:50], digits.y_test[:50])
experiments = [Experiment("GRU", 4, epochs=2, batch_size=64), Experiment("softmax", epochs=2, batch_size=64)]
results = helpers.train_all(experiments, data, n_jobs=int(sys.argv[1]))
weights = [weight for result in results.values() for weight in result.model.get_weights()]
traced = helpers.trace(results[experiments[0]].model, data.x_test)
helpers.write_csv("tables.csv", ["model"], [[experiment.label] for experiment in results])
assert helpers.check_gates("LSTM", "keep_state", {"f": 1, "i": 0})
bits = hashlib.sha256(b"".join(np.ascontiguousarray(a).tobytes() for a in [*weights, *traced.values()])).hexdigest()
refused = ""
try:
    helpers.train_all([Experiment("softmax", epochs=1, seed=os.getpid())], data, n_jobs=1)  # not at hand
except OSError as error:
    refused = str(error)
print(json.dumps({"refused": refused, "bits": [bits, [result.history for result in results.values()]],
                  "trained": [result.trained for result in results.values()]}))
"""


def probe(prefix=(), jobs=1, **options):
    """What PROBE prints, in a process started by `prefix`."""
    result = python("-c", PROBE, jobs, prefix=prefix, **{"COURSEWORK_DATA": "", "cwd": None} | options)
    assert result.returncode == 0, result.stderr[-3000:]
    assert "Traceback" not in result.stderr, result.stderr
    return json.loads(result.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def usual(tmp_path_factory):
    """What comes out here, in one process, and where it lies."""
    runs = tmp_path_factory.mktemp("usual")
    result = probe(COURSEWORK_RUNS=str(runs))
    assert result["trained"] == [True, True]
    return result, runs


def allowed(*command):
    try:
        return subprocess.run(command, capture_output=True).returncode == 0
    except FileNotFoundError:
        return False


@pytest.fixture
def four_gigabytes():
    """A control group of 4 GiB, as a command that moves its process there; nothing where there is none."""
    group = Path(f"/sys/fs/cgroup/memory/coursework-{os.getpid()}")
    try:
        group.mkdir()
        (group / "memory.limit_in_bytes").write_text(str(4 * 2**30))
    except OSError:
        yield ""
        return
    yield f"echo $$ > {group}/cgroup.procs;"
    wait_for(lambda: not (group / "cgroup.procs").read_text())
    group.rmdir()


@linux
def test_an_odd_folder_locale_mask_home_memory_and_a_single_core(usual, tmp_path, four_gigabytes):
    """A copy of the code with blanks and letters of any alphabet in its path, started from another folder.

    As in a small container, there are 4 GiB of memory, and nothing can be written to the home or to /dev/shm, if this
    user may take them away.
    """
    code, home = tmp_path / "Übung 1 – ω (ein Versuch)", tmp_path / "home"
    code.mkdir()
    home.mkdir()
    shutil.copy(ROOT / "helpers.py", code)
    shutil.copytree(ROOT / "coursework", code / "coursework")
    if allowed("unshare", "-m", "mount", "-t", "tmpfs", "-o", "ro", "tmpfs", "/dev/shm"):
        mounts = f"mount -t tmpfs -o ro tmpfs /dev/shm; mount -t tmpfs -o ro tmpfs '{home}';"
        prefix = ["unshare", "-m", "sh", "-ec", f'umask 077; {four_gigabytes} {mounts} exec "$@"', "sh"]
    else:
        prefix, home = ["sh", "-c", 'umask 077; exec "$@"', "sh"], "/nonexistent/home"
    prefix += ["taskset", "-c", "0"] if allowed("taskset", "-c", "0", "true") else []
    odd = {"cwd": "/", "PYTHONPATH": str(code), "HOME": str(home), "LC_ALL": "C", "LANG": None, "KERAS_HOME": None}
    result = probe(prefix, jobs=2, **odd, PYTHONHASHSEED="random", COURSEWORK_RUNS=None)
    assert result["bits"] == usual[0]["bits"] and (code / "runs" / "tables.csv").is_file()


@linux
def test_another_user_reads_the_models_and_nothing_else(usual):
    """A user without an entry, a home or a right to write here: what is trained is used, what isn't is refused."""
    user = ["setpriv", "--reuid", "12345", "--regid", "12345", "--clear-groups"]
    if not allowed(*user, sys.executable, "-c", "import numpy"):  # this Python may lie in somebody's home
        user += ["--inh-caps", "+dac_read_search", "--ambient-caps", "+dac_read_search"]
    if not allowed(*user, sys.executable, "-c", "import numpy"):
        pytest.skip("no right to become another user here")
    with tempfile.TemporaryDirectory(prefix="coursework-", dir="/tmp") as own:
        runs = shutil.copytree(usual[1], Path(own, "runs"))
        for place in [Path(own), runs, *runs.rglob("*")]:
            place.chmod(0o755 if place.is_dir() else 0o644)
        runs.chmod(0o777)  # for the table
        result = probe(user, cwd="/", HOME=None, KERAS_HOME=None, TMPDIR=None, COURSEWORK_RUNS=str(runs))
    assert result["trained"] == [False, False] and result["bits"] == usual[0]["bits"]
    assert "Permission denied" in result["refused"] and "set COURSEWORK_RUNS" in result["refused"]
