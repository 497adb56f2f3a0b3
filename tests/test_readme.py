"""What the pages say: every command, parameter, link and number in README.md and CONTRIBUTING.md."""

import ast
import importlib.util
import os
import re
import shlex
import shutil
import subprocess

import nbformat
import pytest

from conftest import ROOT, python
from coursework.files import NOTEBOOKS
from tools import refresh, report

README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = sorted(ROOT.glob("*.md"))
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")


def commands(text):
    """Every command of a page: the lines of its shell blocks, and what stands in line as `make ...` or `.venv/...`."""
    blocks = re.findall(r"^```sh\n(.*?)^```", text, re.S | re.M)
    lines = [line.split(" #")[0].strip() for block in blocks for line in block.splitlines()]
    inline = re.findall(r"`((?:make|python|\.venv/bin/python) [^`\n]+)`", text)
    return [line for line in dict.fromkeys(lines + inline) if line]


ALL = sorted({command for page in PAGES for command in commands(page.read_text(encoding="utf-8"))})
MAKE, OTHER = [c for c in ALL if c.split()[0] == "make"], [c for c in ALL if c.split()[0] != "make"]
needs_make = pytest.mark.skipif(not shutil.which("make"), reason="make is not installed")


def make(*arguments, folder=ROOT, **environment):
    """A make of its own, without what `make test` hands down to its children."""
    inherited = ("MAKE", "MFLAGS", "DATA", "EPOCHS", "SEED", "SUBMISSIONS", "SHEET", "VENV")
    environment |= {name: os.environ[name] for name in os.environ if not name.startswith(inherited)}
    command = ["make", "--no-print-directory", "-C", str(folder), "VENV=no-such", *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=environment)


@needs_make
@pytest.mark.parametrize("command", MAKE)
def test_each_make_command_is_one(command):
    """The Makefile knows it, and what it would start exists; CI runs the two main ones for real."""
    result = make("--dry-run", *shlex.split(command)[1:], SUBMISSIONS="folder")
    assert result.returncode == 0, result.stderr
    files = re.findall(r"(?<![\w./$-])[\w./]+\.(?:py|txt|toml)\b", result.stdout)
    assert all((ROOT / file).exists() for file in files if not file.startswith("runs/")), files
    modules = re.findall(r"-m (teaching|tools\.\w+)", result.stdout)
    assert all(importlib.util.find_spec(module) for module in modules), modules


@pytest.mark.parametrize("command", [command for command in OTHER if "-m pytest" not in command])
def test_each_other_command_has_the_options_that_it_is_given(command):
    """With `--help` behind it a program says what it knows, and does nothing. `make test` is pytest's own trial."""
    program, *words = shlex.split(command)
    assert program in (".venv/bin/python", "python")
    result = python(*words, "--help", PYTHONPATH=None)
    assert result.returncode == 0, result.stderr
    options = [word for word in words[2 * (words[0] == "-m") :] if word.startswith("-")]
    assert all(option in result.stdout for option in options), result.stdout


@needs_make
def test_make_alone_lists_all_commands_and_installs_nothing():
    listed = re.findall(r"^  make ([a-z-]+) +\S", make().stdout, re.M)
    assert listed == re.findall(r"^([a-z-]+):", MAKEFILE, re.M) and not (ROOT / "no-such").exists()


@needs_make
def test_no_parameter_of_make_reaches_a_shell(tmp_path):
    """The recipe's own quotes: the value arrives as one argument, whatever stands in it."""
    (tmp_path / "Makefile").write_text(MAKEFILE, encoding="utf-8")
    odd, seed = "a b'\"; touch sprung; `touch sprung` \\ * ~", "$(touch sprung)"
    result = make("-o", "setup", "run", "PY=printf '<%s>'", folder=tmp_path, DATA=odd, SEED=seed)
    assert result.stdout == f"<run.py><--data><{odd}><--seed><{seed}>", result.stderr
    assert not (tmp_path / "sprung").exists()


@needs_make
def test_grade_without_submissions_is_one_line_and_the_commands_without_make_are_those_of_make():
    said = make("-o", "setup", "grade").stderr
    assert said.count("\n") == 1 and "make grade SUBMISSIONS=folder" in said
    recipe = make("--dry-run", "test").stdout.replace("no-such", ".venv")
    assert all(command in recipe for command in OTHER if "-m pytest" in command), recipe


def test_the_results_file_is_the_one_of_the_stored_notebook():
    notebook = nbformat.read(ROOT / "notebooks" / "02_training.ipynb", as_version=4)
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    text = "\n".join(output.get("text") or output.get("data", {}).get("text/plain", "") for output in outputs)
    stored = re.findall(r"^≈\[((?:LSTM|GRU) [\dx ]+?) *\] +≈([\d.]+) +≈([\d.]+)", text, re.M)
    _, *rows = report.results_table(refresh.RESULTS)
    assert len(stored) == 8 and sorted(stored) == sorted(map(tuple, rows)), "run: make refresh"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_and_pictures_are_there(page):
    for target in re.findall(r"\]\(([^)#]+)", page.read_text(encoding="utf-8")):
        assert target.startswith("https://") or (page.parent / target).exists(), target
    for text in re.findall(r"!\[([^\]]*)\]", page.read_text(encoding="utf-8")):
        assert len(text) > 20, "a picture needs a text"


def test_the_parameters_are_those_of_the_notebooks():
    parameters = {}
    for path in NOTEBOOKS:
        for cell in nbformat.read(path, as_version=4).cells:
            if "parameters" in cell.metadata.get("tags", []):
                parameters |= {node.targets[0].id: ast.unparse(node.value) for node in ast.parse(cell.source).body}
    rows = re.findall(r"^\| `(\w+)` \| `([^`]+)` \|", README, re.M)
    assert {name: ast.unparse(ast.parse(default, mode="eval")) for name, default in rows} == parameters


def test_messages_and_python_versions_are_real():
    code = "".join((ROOT / name).read_text(encoding="utf-8") for name in ("coursework/data.py", ".ci/venv.py"))
    for message in ("MNIST could not be downloaded", "Python 3.11, 3.12 or 3.13 is needed"):
        assert message in README and message in code
    versions = re.findall(r'"(3\.\d+)"', (ROOT / ".github" / "workflows" / "ci.yml").read_text())
    assert f"Python {', '.join(versions[:-1])} or {versions[-1]}" in README
    assert (ROOT / "binder" / "runtime.txt").read_text().strip().removeprefix("python-") in versions
