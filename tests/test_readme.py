"""What README.md says: every command, parameter, link and number in it."""

import ast
import os
import re
import runpy
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

import run
from conftest import ARGUMENTS, ROOT, make

README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = sorted(ROOT.glob("*.md"))


def commands(text):
    """Every command of a page: the lines of its shell blocks, and what stands in line as `make ...` or `.venv/...`."""
    blocks = re.findall(r"^```sh\n(.*?)^```", text, re.S | re.M)
    lines = [line.split(" #")[0].strip() for block in blocks for line in block.splitlines()]
    inline = re.findall(r"`((?:make|python|\.venv/bin/python) [^`\n]+)`", text)
    return [line for line in dict.fromkeys(lines + inline) if line]


ALL = sorted({command for page in PAGES for command in commands(page.read_text(encoding="utf-8"))})
MAKE, OTHER = [c for c in ALL if c.startswith("make ")], [c for c in ALL if not c.startswith("make ")]
needs_make = pytest.mark.skipif(not shutil.which("make"), reason="make is not installed")


@needs_make
@pytest.mark.parametrize("command", MAKE)
def test_each_make_command_is_one(command):
    """The Makefile knows it, and what it would start exists; `finished` and CI run them for real."""
    result = make("--dry-run", *shlex.split(command)[1:])
    assert result.returncode == 0, result.stderr
    files = re.findall(r"(?<![\w./$-])[\w./]+\.(?:py|txt|toml)\b", result.stdout)
    assert all((ROOT / file).exists() for file in files if not file.startswith("runs/")), files


@needs_make
def test_the_run_of_the_readme_is_the_one_that_is_tested():
    assert f"make run {' '.join(f'{name}={value}' for name, value in ARGUMENTS.items())}" in MAKE


@pytest.mark.parametrize("command", OTHER)
def test_each_other_command_works(command, finished, tmp_path):
    words = shlex.split(command)
    python, *rest = words
    assert python in (".venv/bin/python", "python"), f"no test knows how to run: {command}"
    if rest[0] == "run.py":  # the same as `finished`, which goes through make
        assert rest[1:] == [word for name, value in ARGUMENTS.items() for word in (f"--{name.lower()}", value)]
    elif rest[:2] in (["-m", "venv"], ["-m", "pip"]):  # what `make setup` does, word for word
        recipe = runpy.run_path(str(ROOT / ".ci" / "venv.py"))["commands"]("python", ".venv")
        assert command in [" ".join(part).replace("--quiet ", "") for part in recipe]
    elif rest[:2] == ["-m", "pytest"]:  # the same for `make test`
        if shutil.which("make"):
            assert command in (recipe := make("--dry-run", "--always-make", "test").stdout), recipe
    elif rest[:3] == ["-m", "jupyter", "lab"]:  # the browser tests open it; here, that it is installed
        result = subprocess.run([sys.executable, *rest[:3], "--version"], capture_output=True)
        assert result.returncode == 0 and (ROOT / rest[3]).is_dir(), result.stderr
    elif rest[:2] == ["-m", "papermill"]:
        rest[3] = str(tmp_path / rest[3])
        environment = {**os.environ, "COURSEWORK_RUNS": str(finished[0])}
        result = subprocess.run([sys.executable, *rest], cwd=ROOT, capture_output=True, env=environment)
        assert result.returncode == 0, result.stderr.decode()[-2000:]
        assert nbformat.read(rest[3], as_version=4).cells
    elif rest[:2] == ["-m", "dask"]:  # tests/test_cluster.py has such a cluster; here, that the options exist
        result = subprocess.run([sys.executable, *rest[:3], "--help"], capture_output=True, text=True)
        assert all(word in result.stdout for word in rest if word.startswith("--")), result.stdout + result.stderr
    elif rest[:2] == ["-m", "ipykernel"]:
        place = rest.index("--user")
        elsewhere = [*rest[:place], "--prefix", str(tmp_path), *rest[place + 1 :]]
        result = subprocess.run([sys.executable, *elsewhere], capture_output=True)
        assert result.returncode == 0 and list(tmp_path.rglob("kernel.json")), result.stderr
    else:
        script = ROOT / rest[0]
        assert script.suffix == ".py" and script.is_file(), f"no test knows how to run: {command}"


def test_the_table_is_the_one_of_the_results_file(tmp_path, monkeypatch):
    copy = tmp_path / "README.md"
    copy.write_text(README, encoding="utf-8")
    monkeypatch.setattr(run, "README", copy)
    assert run.main(["--readme"]) == 0
    assert copy.read_text(encoding="utf-8") == README, "run: make readme"


def test_the_results_file_is_the_one_of_the_stored_notebook():
    notebook = nbformat.read(ROOT / "notebooks" / "02_training.ipynb", as_version=4)
    text = "".join(output.get("text", "") for cell in notebook.cells for output in cell.get("outputs", []))
    stored = re.findall(r"^≈\[((?:LSTM|GRU) [\dx ]+?) *\] ≈([\d.]+)  ≈([\d.]+)", text, re.M)
    _, *rows = run.results_table(run.RESULTS)
    assert len(stored) == 8 and sorted(stored) == sorted(map(tuple, rows)), "run: make refresh"


def test_a_fresh_run_is_published(finished, tmp_path, monkeypatch):
    copy = tmp_path / "README.md"
    copy.write_text(README, encoding="utf-8")
    monkeypatch.setattr(run, "README", copy)
    monkeypatch.setattr(run, "RESULTS", tmp_path / "results.csv")
    monkeypatch.setattr(run, "RUNS", finished[0])
    assert run.publish() == 0
    fresh = run.results_table(finished[0] / "summary.csv")
    assert run.results_table(tmp_path / "results.csv") == fresh
    text = copy.read_text(encoding="utf-8")
    assert text != README and all(f"| {' | '.join(row)} |" in text for row in fresh[1:])
    assert (tmp_path / "reading.gif").read_bytes()[:4] == b"GIF8"


def test_a_readme_without_its_marks_is_refused(tmp_path, monkeypatch, capsys):
    copy = tmp_path / "README.md"
    copy.write_text("# No marks\n")
    monkeypatch.setattr(run, "README", copy)
    assert run.main(["--readme"]) == 1 and "marks" in capsys.readouterr().err


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_and_pictures_are_there(page):
    for target in re.findall(r"\]\(([^)#]+)", page.read_text(encoding="utf-8")):
        assert target.startswith("https://") or (page.parent / target).exists(), target
    for text in re.findall(r"!\[([^\]]*)\]", page.read_text(encoding="utf-8")):
        assert len(text) > 20, "a picture needs a text"


def test_the_parameters_are_those_of_the_notebooks():
    parameters = {}
    for path in run.NOTEBOOKS:
        for cell in nbformat.read(path, as_version=4).cells:
            if "parameters" in cell.metadata.get("tags", []):
                parameters |= {node.targets[0].id: ast.unparse(node.value) for node in ast.parse(cell.source).body}
    rows = re.findall(r"^\| `(\w+)` \| `([^`]+)` \|", README, re.M)
    assert {name: ast.unparse(ast.parse(default, mode="eval")) for name, default in rows} == parameters


def test_the_messages_of_the_trouble_table_are_real():
    """Each quoted message that is ours stands in our code."""
    code = "".join((ROOT / name).read_text(encoding="utf-8") for name in ("helpers.py", ".ci/venv.py"))
    for message in ("MNIST could not be downloaded", "Python 3.11, 3.12 or 3.13 is needed"):
        assert message in README and message in code


def test_the_python_versions_agree():
    workflow = (ROOT / ".github" / "workflows" / "ci.yml").read_text()
    versions = re.findall(r'"(3\.\d+)"', workflow)
    assert f"Python {', '.join(versions[:-1])} or {versions[-1]}" in README
    assert Path(ROOT / "runtime.txt").read_text().strip().removeprefix("python-") in versions


@pytest.mark.skipif(not hasattr(os, "fork"), reason="make mutants needs os.fork")
def test_every_mutant_finds_its_line():
    """`make mutants` takes long: what has become of the lines that it breaks is seen here."""
    mutants = runpy.run_path(str(ROOT / "tests" / "mutants.py"))
    assert all(mutants["source"](name) for name in mutants["MUTANTS"])
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    assert "in more than sixty ways" in text and len(mutants["MUTANTS"]) > 60
