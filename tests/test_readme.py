"""What the pages say: every command of make, link, parameter and number in README.md, CONTRIBUTING.md and docs/."""

import ast
import importlib.util
import os
import re
import shlex
import shutil
import subprocess

import nbformat
import pytest

from conftest import ROOT
from coursework.files import NOTEBOOKS
from tools import refresh, report

README = (ROOT / "README.md").read_text(encoding="utf-8")
INSTALL = (ROOT / "docs" / "install.md").read_text(encoding="utf-8")
PAGES = sorted(
    [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), *(ROOT / "benchmarks").glob("*.md")]
)
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")


def commands(text):
    """Every command of make on a page: the lines of its shell blocks, and what stands in line as `make ...`."""
    blocks = re.findall(r"^```sh\n(.*?)^```", text, re.S | re.M)
    lines = [line.split(" #")[0].strip() for block in blocks for line in block.splitlines()]
    lines += re.findall(r"`(make [^`\n]+)`", text)
    return [line for line in lines if line.split()[:1] == ["make"] and "..." not in line]


MAKE = sorted({command for page in PAGES for command in commands(page.read_text(encoding="utf-8"))})
needs_make = pytest.mark.skipif(not shutil.which("make"), reason="make is not installed")


def make(*arguments, folder=ROOT, **given):
    """A make of its own, without what `make test` hands down to its children."""
    inherited = ("MAKE", "MFLAGS", "DATA", "EPOCHS", "SEED", "SUBMISSIONS", "SHEET", "VENV")
    environment = {name: os.environ[name] for name in os.environ if not name.startswith(inherited)}
    words = [f"{name}={value}" for name, value in given.items()]
    command = [
        "make",
        "--no-print-directory",
        "-C",
        str(folder),
        "VENV=no-such",
        *arguments,
        *words,
    ]
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


@needs_make
def test_make_alone_lists_six_commands_and_help_all_lists_all():
    """And installs nothing."""
    few, every = (
        re.findall(r"^  make ([a-z-]+) +\S", make(*word).stdout, re.M)
        for word in ([], ["help-all"])
    )
    assert len(few) == 6 and {"run", "test"} < set(few)
    assert sorted(["help", *every]) == sorted(re.findall(r"^([a-z-]+):", MAKEFILE, re.M))
    assert every[:6] == few and not (ROOT / "no-such").exists()


@needs_make
def test_no_parameter_of_make_reaches_a_shell(tmp_path):
    """The recipe's own quotes: the value arrives as one argument, whatever stands in it."""
    (tmp_path / "Makefile").write_text(MAKEFILE, encoding="utf-8")
    odd, seed = "a b'\"; touch sprung; `touch sprung` \\ * ~", "$(touch sprung)"
    result = make(
        "-o",
        "setup",
        "run",
        "PY=printf '<%s>'",
        folder=tmp_path,
        DATA=odd,
        SEED=seed.replace("$", "$$"),
    )
    assert result.stdout == f"<run.py><--data><{odd}><--seed><{seed}>", result.stderr
    assert not (tmp_path / "sprung").exists()


@needs_make
def test_what_the_shell_has_under_a_name_of_ours_is_not_for_make(tmp_path):
    """DATA and SEED may be somebody else's variables."""
    (tmp_path / "Makefile").write_text(MAKEFILE, encoding="utf-8")
    theirs = {
        "DATA": "/their/data",
        "EPOCHS": "many",
        "SEED": "s",
        "SCHEDULER": "slurm",
        "PYTHON": "python2",
    }
    command = ["make", "--no-print-directory", "-o", "setup", "run", "PY=printf '<%s>'"]
    environment = {"PATH": os.environ["PATH"]} | theirs
    for given, passed_on in (([], ""), (["SEED=3"], "<--seed><3>")):
        result = subprocess.run(
            [*command, *given], cwd=tmp_path, env=environment, capture_output=True, text=True
        )
        assert result.stdout == f"<run.py>{passed_on}", result.stderr


@needs_make
def test_clean_leaves_what_was_made_in_runs():
    assert "runs" not in make("--dry-run", "clean").stdout.split()
    assert "runs" in make("--dry-run", "clean-runs").stdout.split()


@needs_make
def test_grade_without_submissions_is_one_line():
    said = make("-o", "setup", "grade").stderr
    assert said.count("\n") == 1 and "make grade SUBMISSIONS=folder" in said


def test_the_readme_is_one_page_with_a_sentence_a_line():
    lines = README.splitlines()
    assert 70 <= len(lines) <= 90
    for page in ("README.md", "docs/install.md", "docs/cluster.md", "docs/house.md"):
        for line in (ROOT / page).read_text(encoding="utf-8").splitlines():
            if not line.startswith(("|", "!", "   !")):
                assert not re.search(r"[a-z`)]\. [A-Z]", re.sub(r"^\d+\. ", "", line)), line


def test_the_results_file_is_the_one_of_the_stored_notebook():
    notebook = nbformat.read(ROOT / "notebooks" / "02_training.ipynb", as_version=4)
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    text = "\n".join(
        output.get("text") or output.get("data", {}).get("text/plain", "") for output in outputs
    )
    stored = re.findall(r"^≈\[((?:LSTM|GRU) [\dx ]+?) *\] +≈([\d.]+) +≈([\d.]+)", text, re.M)
    _, *rows = report.results_table(refresh.RESULTS)
    assert len(stored) == 8 and sorted(stored) == sorted(map(tuple, rows)), "run: make refresh"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_and_pictures_are_there(page):
    for target in re.findall(r"\]\((?!picture:)([^)#]+)", page.read_text(encoding="utf-8")):
        assert target.startswith("https://") or (page.parent / target).exists(), target
    for text in re.findall(r"!\[([^\]]*)\]\((?!picture:)", page.read_text(encoding="utf-8")):
        assert len(text) > 20, "a picture needs a text"


def test_the_parameters_are_those_of_the_notebooks():
    parameters = {}
    for path in NOTEBOOKS:
        for cell in nbformat.read(path, as_version=4).cells:
            if "parameters" in cell.metadata.get("tags", []):
                parameters |= {
                    node.targets[0].id: ast.unparse(node.value)
                    for node in ast.parse(cell.source).body
                }
    rows = re.findall(r"^\| `(\w+)` \| `([^`]+)` \|", INSTALL, re.M)
    assert {
        name: ast.unparse(ast.parse(default, mode="eval")) for name, default in rows
    } == parameters


def test_messages_and_python_versions_are_real():
    code = "".join(
        (ROOT / name).read_text(encoding="utf-8")
        for name in ("coursework/data.py", "tools/setup.sh")
    )
    for message in ("MNIST could not be downloaded", "Python 3.11, 3.12 or 3.13 is needed"):
        assert message in INSTALL and message in code
    versions = re.findall(r'"(3\.\d+)"', (ROOT / ".github" / "workflows" / "ci.yml").read_text())
    named = f"Python {', '.join(versions[:-1])} or {versions[-1]}"
    assert named in README and named in INSTALL
    assert (ROOT / "binder" / "runtime.txt").read_text().strip().removeprefix("python-") in versions
