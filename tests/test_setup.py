"""Set-up, and machines unlike ours: how the environment comes about, what is pinned, odd checkouts and users."""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from conftest import ROOT, imports_the_grading, python, wait_for

linux = pytest.mark.skipif(sys.platform != "linux", reason="needs Linux's setpriv, or unshare")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))


# ---------------------------------------------------------------------------------------------------- tools/setup.sh
# Python and uv without the minutes: each call is written down, what FAILS names fails, what makes a folder makes one.
FAKE = r"""#!/bin/sh
call="$(basename "$0") $*"
echo "$call" >> "$LOG"
[ -z "${PIP_TARGET+is set}" ] || exit 1
for part in $FAILS; do
    case "$call" in *"$part"*) exit 1 ;; esac
done
for last; do :; done
case "$call" in
*version_info*) echo "${VERSION:-3 11}" ;;
*"pip config list"*) echo "$SETTINGS" ;;
*"venv "*)
    sleep "${SECONDS_OF_VENV:-0}"
    mkdir -p "$last/bin" && touch "$last/pyvenv.cfg"
    for name in python pytest papermill; do cp "$0" "$last/bin/$name"; done ;;
*" uv=="*) cp "$0" "$(dirname "$0")/uv" ;;
esac
"""


@pytest.fixture
def machine(tmp_path):
    """machine(**environment): `sh tools/setup.sh .venv` in a small clone, on a machine with a false Python."""
    if os.name == "nt":
        pytest.skip("the Makefile is not for Windows")
    return Machine(tmp_path)


class Machine:
    def __init__(self, folder):
        self.clone, self.bin, self.log = folder / "a clone", folder / "bin", folder / "log"
        (self.clone / "tools").mkdir(parents=True)
        self.bin.mkdir()
        self.log.touch()
        shutil.copy(ROOT / "tools" / "setup.sh", self.clone / "tools")
        for name in ("pyproject.toml", "requirements-dev.txt"):
            shutil.copy(ROOT / name, self.clone)
        self.has("python3")

    def has(self, name):
        (self.bin / name).write_text(FAKE)
        (self.bin / name).chmod(0o755)

    def __call__(self, *words, **environment):
        environment = {
            "PATH": f"{self.bin}:/usr/bin:/bin",
            "LOG": str(self.log),
            "FAILS": "",
        } | environment
        command = ["sh", "tools/setup.sh", *(words or [".venv"])]
        return subprocess.run(
            command, cwd=self.clone, env=environment, capture_output=True, text=True
        )

    def installs(self):
        """Who has installed the packages so far."""
        lines = [
            line
            for line in self.log.read_text().splitlines()
            if "-r requirements-dev.txt -e ." in line
        ]
        return ["uv" if line.startswith("uv ") else "pip" for line in lines]


def test_the_environment_is_made_once_and_again_after_a_change_or_a_stop(machine):
    assert machine().returncode == 0 and machine().returncode == 0
    assert machine.installs() == ["uv"]
    pins, future = machine.clone / "requirements-dev.txt", 4e9
    os.utime(pins, (future, future))  # a clock that goes wrong changes nothing
    assert machine().returncode == 0 and len(machine.installs()) == 1
    pins.write_text(pins.read_text() + "another==1.0\n")
    assert machine(FAILS="install").returncode == 1
    assert machine().returncode == 0 and machine.installs()[-1] == "uv"
    count = len(machine.installs())
    (machine.clone / ".venv" / "bin" / "pytest").unlink()  # as `uv sync --no-dev` does
    assert machine().returncode == 0 and len(machine.installs()) == count + 1


def test_a_folder_that_was_renamed_has_its_environment_made_anew(machine):
    assert machine().returncode == 0
    machine.clone = machine.clone.rename(machine.clone.with_name("renamed"))
    assert machine().returncode == 0 and len(machine.installs()) == 2


def test_another_python_has_it_made_anew_and_no_wish_keeps_what_is_there(machine):
    assert machine().returncode == 0
    machine.has("python3.12")
    assert (
        machine(".venv", "python3.12").returncode == 0 and len(machine.installs()) == 1
    )  # the same version
    (machine.bin / "python3.12").write_text(FAKE.replace("3 11", "3 12"))
    assert machine(".venv", "python3.12").returncode == 0 and len(machine.installs()) == 2
    assert machine().returncode == 0 and len(machine.installs()) == 2


@pytest.mark.parametrize(
    ("has_uv", "environment", "installs"),
    [
        (True, {}, "uv"),
        (True, {"VERSION": "3 9"}, "uv"),  # which fetches a Python that fits
        (False, {"FAILS": "uv=="}, "pip"),  # no wheel of uv
        (
            False,
            {"SETTINGS": "global.index-url='https://example.org/simple'"},
            "pip",
        ),  # only pip was told
        (True, {"SETTINGS": ":env:.no-index='1'"}, "pip"),
        (False, {"SETTINGS": "global.extra-index-url='https://example.org/simple'"}, "uv"),
        (False, {"PIP_TARGET": "elsewhere", "PYTHONSAFEPATH": "1"}, "uv"),
    ],
)
def test_uv_installs_where_it_can_and_pip_elsewhere(machine, has_uv, environment, installs):
    if has_uv:
        machine.has("uv")
    result = machine(**environment)
    assert result.returncode == 0 and machine.installs()[-1] == installs, result.stderr
    assert not result.stderr


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({"FAILS": "install"}, "run the same again"),
        ({"VERSION": "3 10"}, "Python 3.11, 3.12 or 3.13 is needed"),
    ],
)
def test_what_can_not_be_set_up_is_told_in_one_line(machine, environment, message):
    result = machine(**environment)
    assert result.returncode == 1 and result.stderr.count("\n") == 1 and message in result.stderr
    assert not (machine.clone / ".venv" / "ready").exists()


def test_a_folder_that_is_no_environment_is_not_cleared(machine):
    (machine.clone / "mine").mkdir()
    result = machine("mine")
    assert (
        result.returncode == 1
        and "is no environment of Python" in result.stderr
        and not machine.installs()
    )


@linux
def test_of_two_at_once_the_second_waits(machine):
    with ThreadPoolExecutor() as pool:
        jobs = [pool.submit(machine, SECONDS_OF_VENV="0.2") for _ in range(2)]
    assert [job.result().returncode for job in jobs] == [0, 0]
    assert machine.installs() == ["uv"]


# ------------------------------------------------------------------------------------------------------- what is pinned
def pins(lines):
    """{package: version} of lines as in a requirements file."""
    return dict(
        re.match(r"([\w-]+)==([^\s;]+)", line).groups()
        for line in lines
        if not line.startswith("#")
    )


def test_all_versions_are_pinned_once_and_no_file_names_a_registry():
    run, dev = (
        (ROOT / name).read_text("utf-8").splitlines()
        for name in ("requirements.txt", "requirements-dev.txt")
    )
    direct, tools = PROJECT["project"]["dependencies"], PROJECT["dependency-groups"]["dev"]
    assert pins(direct).items() <= pins(run).items() <= pins(dev).items(), "run: make pins"
    assert pins(tools).items() <= pins(dev).items() and not pins(tools).keys() & pins(direct).keys()
    assert PROJECT["tool"]["uv"]["constraint-dependencies"] == [
        line for line in dev if not line.startswith("#")
    ]
    assert len(dev) > 2 * len(direct + tools)
    assert any("os_name == 'nt'" in line for line in dev) and any(
        "sys_platform == 'darwin'" in line for line in dev
    )
    assert not re.search(r"//|^--|[\w.]+/", "\n".join(run + dev), re.M)
    assert "uv.lock" in (ROOT / ".gitignore").read_text("utf-8").split()


def test_the_newest_versions_go_into_the_project_and_nowhere_else(monkeypatch):
    from tools import pins as program

    def choose(folder, target, *options):
        assert "keras\n" in (folder / "pyproject.toml").read_text("utf-8").replace('",', "\n")
        packages = PROJECT["project"]["dependencies"] + PROJECT["dependency-groups"]["dev"]
        newest = [f"{package.split('==')[0]}==99.9" for package in packages]
        (folder / target).write_text("\n".join(newest))

    monkeypatch.setattr(program, "choose_versions", choose)
    before = (ROOT / "pyproject.toml").read_text("utf-8")
    after = program.raised(before)
    changed = tomllib.loads(after)
    assert set(pins(changed["project"]["dependencies"]).values()) == {"99.9"}
    assert changed["tool"] == PROJECT["tool"] and len(after.splitlines()) == len(
        before.splitlines()
    )


def test_on_windows_the_tests_of_the_grading_are_left_out():
    """No other test needs what Windows lacks: `import fcntl` alone would stop pytest there."""
    posix = re.compile(r"^(?:import|from) (?:fcntl|resource|pwd|grp|termios)\b", re.M)
    for path in [
        ROOT / "conftest.py",
        *(ROOT / "tests").glob("*.py"),
        *(ROOT / "tools").glob("*.py"),
    ]:
        assert imports_the_grading(path) or not posix.search(path.read_text("utf-8")), path
    left = {
        path.name for path in (ROOT / "tests").glob("test_*.py") if not imports_the_grading(path)
    }
    assert {
        "test_run.py",
        "test_trace.py",
        "test_training.py",
    } < left and "test_grading.py" not in left


# --------------------------------------------------------------------------------------------------------- the package
INSTALLED = """
import sys
from pathlib import Path
import helpers
import coursework.reader
from coursework import files
site = Path(sys.argv[1])
assert Path(helpers.__file__).parent == site, helpers.__file__
assert files.RUNS == Path.cwd() / "runs", files.RUNS
ours = (path for path in (site / "coursework").rglob("*") if path.is_file() and "__pycache__" not in path.parts)
print(*sorted(path.relative_to(site).as_posix() for path in ours))
"""


def uv(*arguments):
    result = python(
        "-m", "uv", "--offline", *arguments, "--python", sys.executable, UV_NO_CONFIG="1"
    )
    assert result.returncode == 0, result.stderr


def test_a_wheel_holds_all_that_is_needed_and_works_from_anywhere(tmp_path):
    """Built and installed as `pip install .` does it, without network."""
    source, site, elsewhere = (
        tmp_path / "source",
        tmp_path / "site-packages",
        tmp_path / "elsewhere",
    )
    elsewhere.mkdir()
    shutil.copytree(
        ROOT / "coursework", source / "coursework", ignore=shutil.ignore_patterns("__pycache__")
    )
    for name in ("helpers.py", "pyproject.toml", "README.md"):
        shutil.copy(ROOT / name, source)
    uv("build", "--wheel", "--no-build-isolation", "--out-dir", tmp_path, source)
    (wheel,) = tmp_path.glob("*.whl")
    uv("pip", "install", "--no-deps", "--target", site, wheel)
    result = python(
        "-c", INSTALLED, site, cwd=elsewhere, PYTHONPATH=str(site), COURSEWORK_RUNS=None
    )
    assert result.returncode == 0, result.stderr
    files = (path for path in (source / "coursework").rglob("*") if path.is_file())
    assert result.stdout.split() == sorted(path.relative_to(source).as_posix() for path in files)


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
    result = python(
        "-c", PROBE, jobs, prefix=prefix, **{"COURSEWORK_DATA": "", "cwd": None} | options
    )
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


@pytest.mark.long
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
        prefix = [
            "unshare",
            "-m",
            "sh",
            "-ec",
            f'umask 077; {four_gigabytes} {mounts} exec "$@"',
            "sh",
        ]
    else:
        prefix, home = ["sh", "-c", 'umask 077; exec "$@"', "sh"], "/nonexistent/home"
    prefix += ["taskset", "-c", "0"] if allowed("taskset", "-c", "0", "true") else []
    odd = {
        "cwd": "/",
        "PYTHONPATH": str(code),
        "HOME": str(home),
        "LC_ALL": "C",
        "LANG": None,
        "KERAS_HOME": None,
    }
    result = probe(prefix, jobs=2, **odd, PYTHONHASHSEED="random", COURSEWORK_RUNS=None)
    assert result["bits"] == usual[0]["bits"] and (code / "runs" / "tables.csv").is_file()


@pytest.mark.long
@linux
def test_another_user_reads_the_models_and_nothing_else(usual):
    """A user without an entry, a home or a right to write here: what is trained is used, what isn't is refused."""
    user = ["setpriv", "--reuid", "12345", "--regid", "12345", "--clear-groups"]
    if not allowed(
        *user, sys.executable, "-c", "import numpy"
    ):  # this Python may lie in somebody's home
        user += ["--inh-caps", "+dac_read_search", "--ambient-caps", "+dac_read_search"]
    if not allowed(*user, sys.executable, "-c", "import numpy"):
        pytest.skip("no right to become another user here")
    with tempfile.TemporaryDirectory(prefix="coursework-", dir="/tmp") as own:
        runs = shutil.copytree(usual[1], Path(own, "runs"))
        for place in [Path(own), runs, *runs.rglob("*")]:
            place.chmod(0o755 if place.is_dir() else 0o644)
        runs.chmod(0o777)  # for the table
        result = probe(
            user, cwd="/", HOME=None, KERAS_HOME=None, TMPDIR=None, COURSEWORK_RUNS=str(runs)
        )
    assert result["trained"] == [False, False] and result["bits"] == usual[0]["bits"]
    assert "Permission denied" in result["refused"] and "set COURSEWORK_RUNS" in result["refused"]
