"""Machines unlike ours, and what is trusted: each test is a process of its own under odd conditions."""

import ast
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import numpy as np
import pytest

import helpers
from conftest import ROOT, without_make
from coursework import checks_gates

linux = pytest.mark.skipif(sys.platform != "linux", reason="needs Linux's setpriv, unshare, or cgroups")

# What every machine must be able to do, with a checksum of all that must come out the same.
PROBE = """
import hashlib, json, sys
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
print(json.dumps({"bits": bits, "history": [result.history for result in results.values()],
                  "trained": [result.trained for result in results.values()], "runs": str(files.RUNS)}))
"""


def probe(prefix=(), jobs=1, cwd=None, code=ROOT, **environment):
    """What PROBE prints, in a process started by `prefix`; None in the environment removes a variable."""
    merged = {**os.environ, "PYTHONPATH": str(code), "COURSEWORK_DATA": "", **environment}
    merged = {name: value for name, value in merged.items() if value is not None}
    command = [*map(str, prefix), sys.executable, "-c", PROBE, str(jobs)]
    result = subprocess.run(command, capture_output=True, encoding="utf-8", cwd=cwd, env=merged)
    assert result.returncode == 0, result.stderr[-3000:]
    assert "Traceback" not in result.stderr, result.stderr
    return json.loads(result.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def usual(tmp_path_factory):
    """What comes out here, in one process."""
    runs = tmp_path_factory.mktemp("usual")
    result = probe(COURSEWORK_RUNS=str(runs))
    assert result["trained"] == [True, True]
    return result, runs


def allowed(*command):
    try:
        return subprocess.run(command, capture_output=True).returncode == 0
    except FileNotFoundError:
        return False


def test_odd_checkout_and_environment(usual, tmp_path):
    """Spaces and foreign letters in the path, ASCII as locale, no home, umask 077, one core, another folder."""
    code = tmp_path / "Übung 1 – ω (ein Versuch)"
    code.mkdir()
    shutil.copy(ROOT / "helpers.py", code)
    shutil.copytree(ROOT / "coursework", code / "coursework")
    prefix = ["sh", "-c", 'umask 077; exec "$@"', "sh"]
    if allowed("taskset", "-c", "0", "true"):
        prefix += ["taskset", "-c", "0"]
    result = probe(
        prefix,
        cwd="/",
        code=code,
        HOME="/nonexistent/home",
        LC_ALL="C",
        LANG=None,
        PYTHONHASHSEED="random",
        COURSEWORK_RUNS=None,
        KERAS_HOME=None,
    )
    assert result["bits"] == usual[0]["bits"] and result["history"] == usual[0]["history"]
    assert (code / "runs" / "tables.csv").is_file()


def test_a_relative_folder_for_the_runs_counts_from_the_bundle(tmp_path):
    """Kernels work in notebooks/, make in the folder above: both must mean the same place."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "COURSEWORK_RUNS": "else/where"}
    script = "import helpers, run, grading; print(files.RUNS, run.RUNS, grading.RUNS, sep='\\n')"
    command = [sys.executable, "-c", script]
    result = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=environment, check=True)
    assert result.stdout.splitlines() == [str(ROOT / "else" / "where")] * 3


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
    print("peak memory:", (group / "memory.max_usage_in_bytes").read_text())
    for _ in range(50):
        try:
            group.rmdir()
            return
        except OSError:  # the last process is still leaving
            time.sleep(0.1)


@linux
def test_no_shared_memory_read_only_home_four_gigabytes_two_workers(usual, tmp_path, four_gigabytes):
    if not allowed("unshare", "-m", "mount", "-t", "tmpfs", "-o", "ro", "tmpfs", "/dev/shm"):
        pytest.skip("no right to take /dev/shm away here")
    home = tmp_path / "home"
    home.mkdir()
    mounts = f"mount -t tmpfs -o ro tmpfs /dev/shm; mount -t tmpfs -o ro tmpfs '{home}';"
    prefix = ["unshare", "-m", "sh", "-ec", f'{four_gigabytes} {mounts} exec "$@"', "sh"]
    result = probe(prefix, jobs=2, HOME=str(home), COURSEWORK_RUNS=str(tmp_path / "runs"), KERAS_HOME=None)
    assert result["bits"] == usual[0]["bits"] and result["history"] == usual[0]["history"]


@linux
def test_another_user_reads_the_models_and_nothing_else(usual, tmp_path):
    """A user without an entry, a home or a right to write here: what is trained is used, what isn't is refused."""
    user = ["setpriv", "--reuid", "12345", "--regid", "12345", "--clear-groups"]
    if not allowed(*user, sys.executable, "-c", "import numpy"):  # this Python may lie in somebody's home
        user += ["--inh-caps", "+dac_read_search", "--ambient-caps", "+dac_read_search"]
    if not allowed(*user, sys.executable, "-c", "import numpy"):
        pytest.skip("no right to become another user here")
    runs = tmp_path / "runs"
    shutil.copytree(usual[1], runs)
    own = Path("/tmp") / f"coursework-{os.getpid()}"
    own.mkdir()
    try:
        for place in [own, runs, *runs.rglob("*")]:
            place.chmod(0o777 if place == own else 0o755 if place.is_dir() else 0o644)
        shutil.copytree(runs, own / "runs", copy_function=shutil.copyfile)
        (own / "runs").chmod(0o777)
        result = probe(user, cwd="/", HOME=None, KERAS_HOME=None, COURSEWORK_RUNS=str(own / "runs"), TMPDIR=str(own))
        assert result["trained"] == [False, False] and result["bits"] == usual[0]["bits"]
        read_only = own / "read only"
        read_only.mkdir(mode=0o755)
        script = 'import helpers; helpers.train_all([helpers.Experiment("GRU", epochs=1)], helpers.load_data("digits"))'
        result = subprocess.run(
            [*user, sys.executable, "-c", script], capture_output=True, text=True, cwd="/",
            env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "COURSEWORK_RUNS": str(read_only / "runs")},
        )  # fmt: skip
        last = result.stderr.strip().splitlines()[-1]
        assert result.returncode == 1 and "Permission denied" in last and "set COURSEWORK_RUNS" in last, result.stderr
    finally:
        shutil.rmtree(own)


# ----------------------------------------------------------------------------------------------------------- results
def test_workers_and_a_second_start_give_the_same_bits(usual):
    again = probe(COURSEWORK_RUNS=str(usual[1]))
    assert again["trained"] == [False, False]
    assert (again["bits"], again["history"]) == (usual[0]["bits"], usual[0]["history"])


# ---------------------------------------------------------------------------------------------------------- security
def calls(tree):
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}


@pytest.mark.parametrize(
    "path", [*ROOT.glob("*.py"), *(ROOT / "notebooks").glob("*.ipynb")], ids=lambda path: path.name
)
def test_nothing_is_unpickled_evaluated_or_given_to_a_shell(path):
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".ipynb":
        cells = [cell for cell in json.loads(text)["cells"] if cell["cell_type"] == "code"]
        text = "\n".join("".join(cell["source"]) for cell in cells)
    tree = ast.parse(text)
    banned = re.compile(
        r"(builtins\.)?(eval|exec|compile|__import__)|os\.(system|popen|exec\w*|spawn\w*)|c?[Pp]ickle\.\w+|dill\.\w+|"
        r"cloudpickle\.\w+|joblib\.load|sp\.sympify|sp\.parse_expr|sp\.S|\w+\.enable_unsafe_deserialization|shelve\.\w+"
    )
    for function, options in calls(tree):
        assert not banned.fullmatch(function), function
        assert options.get("shell", "False") == "False", function
        assert options.get("safe_mode", "True") == "True", function
        if function == "np.load" or "allow_pickle" in options:
            assert options["allow_pickle"] == "False"


def test_a_pickle_in_a_data_file_is_not_opened(tmp_path):
    class Trap:
        def __reduce__(self):
            return Path.touch, (tmp_path / "sprung",)

    bait = np.array([Trap()], dtype=object)
    np.savez(tmp_path / "bait.npz", x_train=bait, y_train=bait, x_test=bait, y_test=bait)
    with pytest.raises(ValueError, match="pickled objects"):
        helpers.load_data(tmp_path / "bait.npz")
    np.save(tmp_path / "bait.npy", bait)
    (tmp_path / "bait.npy").rename(tmp_path / "renamed.npz")
    with pytest.raises(ValueError, match="not a readable"):
        helpers.load_data(tmp_path / "renamed.npz")
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize("text", ["__import__('pathlib').Path('sprung').touch()", "1 if open('sprung', 'w') else 0"])
def test_no_answer_is_evaluated(tmp_path, monkeypatch, text):
    monkeypatch.chdir(tmp_path)
    assert not helpers.check_gates("LSTM", "keep_state", {"f": text, "i": np.array(text), text: 1})
    assert not helpers.check_gates("LSTM", "keep_state", text)
    assert not helpers.check_counterexample(dict.fromkeys(checks_gates.COUNTEREXAMPLE_NAMES, text))
    assert not list(tmp_path.iterdir())


def test_no_parameter_of_make_reaches_a_shell(tmp_path):
    """The recipe's own quotes: the value arrives as one argument, whatever stands in it."""
    odd = "a b'\"; touch sprung; `touch sprung` \\ * ~"
    command = ["make", "-f", str(ROOT / "Makefile"), "-o", "setup", "run", "PY=printf '<%s>'"]
    result = subprocess.run(
        command,
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**without_make(), "DATA": odd, "SEED": "$(touch sprung)"},
    )
    assert result.stdout == f"<run.py><--data><{odd}><--seed><$(touch sprung)>", result.stderr
    assert not (tmp_path / "sprung").exists()


def test_jupyterlab_listens_here_only_and_asks_for_its_token(tmp_path):
    """Started as the README says, less the browser."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    environment = {**os.environ, "JUPYTER_TOKEN": "a-token", "JUPYTER_RUNTIME_DIR": str(tmp_path)}
    options = [f"--ServerApp.port={port}", "--no-browser"] + ["--allow-root"] * (
        sys.platform != "win32" and os.geteuid() == 0
    )
    command = [sys.executable, "-m", "jupyter", "lab", "notebooks", *options]
    process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def status(token):
        request = urllib.request.Request(
            f"http://127.0.0.1:{port}/api/contents", headers={"Authorization": f"token {token}"}
        )
        try:
            return urllib.request.urlopen(request, timeout=10).status
        except urllib.error.HTTPError as error:
            return error.code

    try:
        for _ in range(300):
            try:
                assert status("a-token") == 200
                break
            except OSError:
                time.sleep(0.2)
        else:
            pytest.fail("JupyterLab did not start")
        assert status("another-token") == 403
        if Path("/proc/net/tcp").exists():
            rows = [
                line.split()
                for name in ("tcp", "tcp6")
                for line in Path("/proc/net", name).read_text().splitlines()[1:]
            ]
            places = {row[1].split(":")[0] for row in rows if row[3] == "0A" and int(row[1].split(":")[1], 16) == port}
            assert places <= {"0100007F", "00000000000000000000000001000000"} and places
    finally:
        process.terminate()
        process.wait(20)


def test_nothing_secret_or_personal_is_committed():
    if not allowed("git", "-C", str(ROOT), "rev-parse"):
        pytest.skip("not a git checkout")
    listed = subprocess.run(["git", "-C", str(ROOT), "ls-files", "-z"], capture_output=True, text=True, check=True)
    me = Path.home().name
    pattern = re.compile(
        r"-----BEGIN [A-Z ]*PRIVATE KEY|AKIA[0-9A-Z]{16}|gh[pousr]_\w{30,}|hf_\w{30,}|[?&]token=\w{16,}|"
        r"/(?:home|Users)/(?!runner\b)[a-z]\w+/|C:\\\\Users\\\\(?!\w*%)\w+"
        + (rf"|/home/{re.escape(me)}/" if me else "")
    )
    for name in filter(None, listed.stdout.split("\0")):
        text = (ROOT / name).read_bytes().decode("utf-8", "ignore") if (ROOT / name).is_file() else ""
        if name != "tests/test_machines.py":
            assert not pattern.search(text), f"{name}: {pattern.search(text).group()}"
