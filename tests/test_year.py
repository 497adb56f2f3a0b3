"""The teacher's page, docs/teaching.md: each of its commands is run, in its order, as a teacher would through a year.

Here nothing of the submissions is run. `make test-grading` does the same with make, the sandbox and real notebooks.
"""

import os
import re
import shlex
import shutil
import subprocess
import zipfile

import nbformat
import pandas as pd
import pytest
from teachers import ONE, Quick, answers

from conftest import ROOT
from teaching import __main__ as program
from teaching.handout import ASSIGNMENT, make_course

PAGE = (ROOT / "docs" / "teaching.md").read_text(encoding="utf-8")
COMMANDS = [
    line
    for block in re.findall(r"^```sh\n(.*?)^```", PAGE, re.S | re.M)
    for line in block.splitlines()
]
needs_make = pytest.mark.skipif(not shutil.which("make"), reason="make is not installed")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return make_course(tmp_path_factory.mktemp("made"), epochs=1)


def class_of(place, notebooks):
    """What the page speaks of: two exports, a late one, and the table of the LMS."""
    exports = place / "submissions"
    exports.mkdir()
    with zipfile.ZipFile(exports / "moodle.zip", "w") as archive:
        for who in ("First Last_101", "Kim Lee_102", "Kim Lee_103"):
            for name, notebook in notebooks.items():
                archive.writestr(
                    f"{who}_assignsubmission_file_/{name}.ipynb", nbformat.writes(notebook)
                )
    with zipfile.ZipFile(exports / "canvas.zip", "w") as archive:
        for name, notebook in notebooks.items():
            archive.writestr(f"doejane_LATE_111_900_{name}.ipynb", nbformat.writes(notebook))
    with zipfile.ZipFile(place / "late.zip", "w") as archive:
        for name, notebook in notebooks.items():
            archive.writestr(
                f"Zoë Roe_104_assignsubmission_file_/{name}.ipynb", nbformat.writes(notebook)
            )
    lines = ["Identifier,Full name,Grade,Maximum grade"]
    lines += [
        f"Participant {n},{name},,100.00"
        for n, name in ((101, "First Last"), (102, "Kim Lee"), (104, "Zoë Roe"))
    ]
    (place / "Grades-Course.csv").write_text("\n".join(lines), encoding="utf-8")


def module_call(command):
    """The arguments of `python -m teaching` that a command of make comes to."""
    words = shlex.split(command)
    told = [word for word in words[1:] if "=" in word]
    environment = {**os.environ, **dict(word.split("=", 1) for word in told)}
    dry = subprocess.run(
        ["make", "--no-print-directory", "-C", str(ROOT), "-n", "-o", "setup", *words[1:]],
        capture_output=True, text=True, env=environment,
    )  # fmt: skip
    assert dry.returncode == 0, dry.stderr
    recipe = dry.stdout.replace(".venv/bin/python -m teaching", "printf '%s\\n'")
    said = subprocess.run(["sh", "-c", recipe], capture_output=True, text=True, env=environment)
    return said.stdout.splitlines()


def expected(command):
    """The exit code: the page says that a smaller maximum is refused before SCALE=1 is said."""
    return 2 if "SHEET=" in command and "SCALE" not in command else 0


@needs_make
def test_each_command_of_the_page_does_what_it_says(tmp_path, monkeypatch, made, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(program, "RUNS", tmp_path / "runs")
    monkeypatch.setattr(program, "Grader", Quick)
    monkeypatch.setattr(program, "student", lambda *_: "zip")
    monkeypatch.setattr(program.key, "code", list)  # somebody may be at work on it
    monkeypatch.setattr(
        program, "make_course", lambda folder, *_: shutil.copytree(made, folder, dirs_exist_ok=True)
    )
    monkeypatch.setattr(program.sandbox, "works", lambda folder: True)
    class_of(tmp_path, answers(q11_check="4"))
    tried = []
    for command in COMMANDS:
        if command.startswith("make"):
            arguments = module_call(command)
        elif " -m teaching " in command:
            arguments = shlex.split(command.split(" -m teaching ")[1])
        else:
            assert "jupyter lab" in command
            assert (tmp_path / "runs" / "grading" / "nbgrader_config.py").exists()
            continue
        assert program.main(arguments) == expected(command), (command, capsys.readouterr())
        tried.append(arguments[0])
    assert tried == [
        "student",
        "student",
        "collect",
        "grade",
        "grade",
        "texts",
        "marks",
        "oral",
        "marks",
        "marks",
        "grade",
        "grade",
        "forget",
    ]
    table = pd.read_csv(tmp_path / "runs/grading/marks.csv", dtype=str, encoding="utf-8-sig")
    assert sorted(table["number"]) == ["102", "103", "104", "111"]
    sheet = pd.read_csv(tmp_path / "runs/grading/graded-Grades-Course.csv", encoding="utf-8-sig")
    assert sheet["Grade"].tolist()[:2] == [round(4 * 100 / 110, 2)] * 2


@needs_make
@pytest.mark.skipif(
    not os.environ.get("ALL_SAMPLES"), reason="make test-grading: trains eight networks"
)
def test_each_command_of_the_page_is_run_for_real(tmp_path, made):
    """With make, in a folder that has all of the repository."""
    home = tmp_path / "repository"
    home.mkdir()
    for path in ROOT.iterdir():
        if path.name != "runs":
            (home / path.name).symlink_to(path)
    class_of(
        home, {ONE: nbformat.read(made / "source" / ASSIGNMENT / f"{ONE}.ipynb", as_version=4)}
    )
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))
    }
    environment |= {"EPOCHS": "1", "COURSEWORK_RUNS": str(home / "runs")}
    for command in COMMANDS:
        line = command.replace("make ", "make -o setup ").replace(
            "jupyter lab", "jupyter lab --version"
        )
        line = line.replace("VARIANTS=1", "VARIANTS=1 COURSEWORK_RUNS=other")
        result = subprocess.run(
            ["sh", "-c", line], capture_output=True, text=True, cwd=home, env=environment
        )
        assert result.returncode == expected(command), (command, result.stdout, result.stderr)
    table = pd.read_csv(home / "runs/grading/marks.csv", dtype=str, encoding="utf-8-sig")
    assert sorted(table["number"]) == ["102", "103", "104", "111"] and set(table["Q1.1"]) == {"10"}


def test_what_the_page_names_is_there():
    for target in re.findall(r"\]\(([^)#]+)\)", PAGE):
        assert target.startswith(("https://", "picture:")) or (ROOT / "docs" / target).exists(), (
            target
        )
    for path in re.findall(r"`((?:teaching|docs|notebooks)/[\w./]+)`", PAGE):
        assert (ROOT / path).exists(), path
    options = program.parser_of().format_help() + "".join(
        re.findall(r"^\t@.*", (ROOT / "Makefile").read_text(), re.M)
    )
    for word in set(re.findall(r"\b([A-Z]+)=", PAGE)):
        assert word in options or word in (ROOT / "Makefile").read_text(), word
