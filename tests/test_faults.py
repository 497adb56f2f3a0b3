"""What breaks around `run.py` and the set-up. Each fault is the real thing."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import nbformat
import psutil
import pytest

import helpers
from conftest import wait_for
from coursework import files

ROOT = Path(__file__).resolve().parents[1]
LONG = bool(os.environ.get("COURSEWORK_LONG"))
linux = pytest.mark.skipif(sys.platform != "linux", reason="needs Linux's mount, unshare or fork")


@pytest.fixture(autouse=True)
def clean(monkeypatch, tmp_path):
    monkeypatch.delenv("COURSEWORK_DATA", raising=False)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    monkeypatch.setattr(files, "RUNS", tmp_path / "runs")


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


def test_a_table_that_can_not_be_written_leaves_the_old_one(tmp_path):
    helpers.write_csv("table.csv", ["a"], [[1]])
    with pytest.raises(ZeroDivisionError):
        helpers.write_csv("table.csv", ["a"], ([1 / n] for n in (1, 0)))
    assert [path.name for path in (tmp_path / "runs").iterdir()] == ["table.csv"]
    assert (tmp_path / "runs" / "table.csv").read_text() == "a\n1\n"
