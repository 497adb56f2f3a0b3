"""The grading: real nbgrader, real kernels, the situations of situations.py and the samples in tests/submissions.

All models are trained for one epoch on the digits. Most submissions hand in notebook 01 only, which saves time. The
default suite grades some, `make test-grading` all of them.
"""

import copy
import csv
import os
import re
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import nbformat
import psutil
import pytest
from nbgrader.utils import determine_grade
from situations import ONE, SITUATIONS, THREE, at, put

from coursework.files import ROOT
from coursework.variants import variant
from teaching import __main__ as program
from teaching import sandbox
from teaching.cells import read
from teaching.grading import prepared
from teaching.handout import ASSIGNMENT, NAMES, make_course, own_answers
from teaching.marks import QUESTIONS, graded_cells
from teaching.submissions import collect

SAMPLES = sorted((ROOT / "tests" / "submissions").glob("*.txt"))
ALL = [*SITUATIONS, *(path.stem for path in SAMPLES), "blank"]
QUICK = ["vandal", "split-answer", "zip-in-a-folder", "forged-check", "picture-in-text"]
QUICK += ["no-notebook", "damaged-zip", "damaged-notebook"]
CHOSEN = ALL if os.environ.get("ALL_SAMPLES") else QUICK


@pytest.fixture(scope="module")
def course(tmp_path_factory):
    return make_course(tmp_path_factory.mktemp("course"), epochs=1)


def books(course, part):
    return {
        name: read((course / part / ASSIGNMENT / f"{name}.ipynb").read_bytes()) for name in NAMES
    }


@pytest.fixture(scope="module")
def handouts(course):
    return books(course, "release")


@pytest.fixture(scope="module")
def walled(tmp_path_factory):
    return sandbox.works(tmp_path_factory.mktemp("walls"))


# What is run -----------------------------------------------------------------------------------------
@pytest.mark.parametrize("written", ["student = ...", "student = 'Kym'"])
def test_the_name_that_decides_the_variant_is_the_teachers(handouts, written):
    handout = copy.deepcopy(handouts[ONE])
    put(handout, "parameters", "student = ...\nmine = helpers.variant(student)\nseed = mine.seed")
    book = copy.deepcopy(handout)
    put(
        book,
        "parameters",
        book.cells[at(book, "parameters")].source.replace("student = ...", written),
    )
    ran = prepared(book, handout, "Kim")
    names = re.findall("^student = .*", "\n".join(cell.source for cell in ran.cells), re.M)
    assert names == [written, "student = 'Kim'"][written == "student = ..." :]


def hand_in(place, name, text):
    path = place / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text)


# Limits ---------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("program_text", "limits", "trouble"),
    [
        ("pass", (30, 500), ""),
        ("import time; time.sleep(60)", (1, 500), sandbox.TIME),
        (
            "a = b'x' * 300_000_000; import time; time.sleep(60)",
            (30, 200),
            "stopped: more than 200 MiB of memory",
        ),
    ],
)
def test_a_process_is_stopped_at_its_limits_with_all_it_started(
    tmp_path, program_text, limits, trouble
):
    # The child has a session of its own, as a kernel has.
    parent = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {program_text!r}], start_new_session=True)"
    process = subprocess.Popen([sys.executable, "-c", parent])
    family = []
    while process.poll() is None and len(family) < 2:
        family = sandbox.family([process.pid])
    assert sandbox.watch([process.pid], tmp_path, sandbox.Limits(*limits)) == trouble
    process.wait()
    psutil.wait_procs(family, timeout=60)
    assert not any(
        member.is_running() and member.status() != psutil.STATUS_ZOMBIE for member in family
    )


def test_a_sandbox_ends_with_all_that_runs_in_it(tmp_path, walled):
    if not walled:
        pytest.skip("no bubblewrap on this system, or no right to use it")
    (tmp_path / "work").mkdir()
    with sandbox.sandbox(tmp_path) as inmate:
        assert psutil.pid_exists(inmate)
        members = sandbox.family([inmate])
    assert not psutil.wait_procs(members, timeout=60)[1]


# The sample submissions ---------------------------------------------------------------------------------
def sample(path, notebooks, fill):
    """(notebooks, {question: points}) of a file in tests/submissions."""
    head, *parts = re.split(r"^# %% ", path.read_text(encoding="utf-8"), flags=re.M)
    facts = dict(re.findall(r"^([\w ]+): (.+)$", head, re.M))
    notebooks = {
        name: copy.deepcopy(notebooks[name])
        for name in facts.get("hands in", " ".join(NAMES)).split()
    }
    for part in parts:
        first, _, source = part.partition("\n")
        name, cell_id, *action = first.split()
        for key, value in fill.items():
            source = source.replace(f"{{{key}}}", str(value))
        place = at(notebooks[name], cell_id)
        if action == ["delete"]:
            del notebooks[name].cells[place]
        elif action == ["new"]:
            notebooks[name].cells[place] = nbformat.v4.new_code_cell(source.strip())
        else:
            put(notebooks[name], cell_id, source.strip())
    for notebook in notebooks.values():
        notebook.metadata.kernelspec.name = facts.get("kernel", "python3")
    points = dict(pair.replace("_", " ").split("=") for pair in facts["expected"].split())
    return notebooks, points, facts.get("by hand", "")


def stack(base, course, names):
    """Write the chosen submissions; returns what the marks must be: (points, by hand, part of the notes)."""
    (base / "precious").mkdir()
    (base / "precious" / "file.txt").write_text("precious")
    place, expected = base / "submissions", {}
    place.mkdir()
    fill = {
        "ROOT": ROOT,
        "SUBMISSIONS": place,
        "RUNS": base / "runs",
        "PRECIOUS": base / "precious",
    }
    for name in names:
        if name in SITUATIONS:
            function, *expected[name] = SITUATIONS[name]
            function(books(course, "source"), place / name)
            continue
        notebooks, expected[name] = books(course, "release"), ({}, "", "")
        if name != "blank":
            notebooks, points, by_hand = sample(
                ROOT / "tests" / "submissions" / f"{name}.txt", notebooks, fill
            )
            expected[name] = points, by_hand, ""
        (place / name).mkdir()
        for book, notebook in notebooks.items():
            nbformat.write(notebook, place / name / f"{book}.ipynb")
    return expected


@pytest.fixture(scope="module")
def graded(tmp_path_factory, course, walled):
    """(folder, rows by student, what they must be), graded in a process of its own beside a foreign nbgrader course."""
    base = tmp_path_factory.mktemp("graded")
    expected = stack(base, course, CHOSEN)
    foreign = base / "home" / ".jupyter"
    foreign.mkdir(parents=True)
    (foreign / "nbgrader_config.py").write_text(
        f"c = get_config()\nc.CourseDirectory.root = {str(base / 'foreign')!r}\n"
    )
    command = [
        sys.executable,
        "-m",
        "teaching",
        "grade",
        str(base / "submissions"),
        "--epochs",
        "1",
        "--jobs",
        "2",
    ]
    result = subprocess.run(
        [*command, "--cell-seconds", "40" if CHOSEN is QUICK else "120", *([] if walled else ["--unsafe"])],
        capture_output=True, text=True, cwd=ROOT,
        env={**os.environ, "COURSEWORK_RUNS": str(base / "runs"), "HOME": str(base / "home")},
    )  # fmt: skip
    assert result.returncode == 0, result.stdout + result.stderr
    with open(base / "runs" / "grading" / "marks.csv", newline="", encoding="utf-8-sig") as file:
        rows = {row["student"]: row for row in csv.DictReader(file)}
    assert not (base / "foreign").exists()
    return base, rows, expected


@pytest.mark.parametrize("who", CHOSEN)
def test_the_marks_of(graded, who):
    _, rows, expected = graded
    points, by_hand, note = expected[who]
    wanted = dict.fromkeys(QUESTIONS, 0.0) | {
        question: float(value) for question, value in points.items()
    }
    assert {question: float(rows[who][question]) for question in QUESTIONS} == wanted, rows[who][
        "notes"
    ]
    assert rows[who]["to grade by hand"] == by_hand and note in rows[who]["notes"], rows[who][
        "notes"
    ]
    assert float(rows[who]["total"]) == sum(wanted.values())


def test_every_submission_has_a_row_and_every_notebook_a_page(graded):
    base, rows, expected = graded
    assert set(rows) == set(expected)
    for who in rows:
        pages = {
            path.stem
            for path in (base / "runs/grading/feedback" / rows[who]["key"]).rglob("*.html")
        }
        missing = {
            name
            for name in NAMES
            if f"{name} was not" in rows[who]["notes"] or f"{name} is no" in rows[who]["notes"]
        }
        assert pages == set(NAMES) - missing, rows[who]["notes"]
    page = (
        base / "runs/grading/feedback/picture-in-text" / ASSIGNMENT / f"{THREE}.html"
    ).read_text("utf-8")
    assert "Right." in page and "missing-picture-gone.png" in page
    with zipfile.ZipFile(base / "runs/grading/feedback.zip") as archive:
        assert f"picture-in-text/{THREE}.html" in archive.namelist()
    report = (base / "runs/grading/class.html").read_text("utf-8")
    assert "Q1.1" in report and "src=" not in report and "href=" not in report


def pages_of(graded, who):
    base, *_ = graded
    folder = base / "runs/grading/autograded" / who / ASSIGNMENT
    return {path.stem: read(path.read_bytes()) for path in sorted(folder.glob("*.ipynb"))}


def printed(graded, who):
    base, *_ = graded
    folder = base / "runs/grading/autograded" / who / ASSIGNMENT
    books = [nbformat.read(path, as_version=4) for path in sorted(folder.glob("*.ipynb"))]
    return "".join(
        out.get("text") or out.get("data", {}).get("text/plain", "")
        for book in books
        for cell in book.cells
        for out in cell.get("outputs", [])
    )


@pytest.mark.skipif("misconceptions-1" not in CHOSEN, reason="make test-grading")
def test_hints_say_what_is_wrong(graded):
    said = printed(graded, "misconceptions-1")
    for hint in (
        "not the percentage",
        "transposed",
        "opposite order",
        "i: Not yet: these are the values of f",
    ):
        assert hint in said, said
    said = printed(graded, "misconceptions-2")
    for hint in (
        "LSTM 64: Not yet: reported",
        "batch_size is",
        "no Experiment for GRU 3 x 32",
        "is not 0.96",
        "for none of",
    ):
        assert hint in said, said


def test_a_vandal_sees_and_spoils_nothing_of_others(graded, walled):
    if not walled:
        pytest.skip("no bubblewrap on this system, or no right to use it")
    base, *_ = graded
    said = printed(graded, "vandal")
    assert not re.search("SEEN|DELETED|UNDONE|CALLED", said), said
    written = re.findall(
        "WRITTEN (.*)", said
    )  # with the bundle in /tmp, a folder of the sandbox's own /tmp
    assert all(
        place.startswith("/tmp/") and not Path(place, "left-behind").exists() for place in written
    ), written
    assert (
        said.count("not written") + len(written) == 8
        and said.count("not undone") == 3
        and "no network" in said
    )
    assert int(re.search(r"in sight: (\d+)", said)[1]) < 12
    assert (base / "precious" / "file.txt").read_text() == "precious"
    left = [
        p
        for p in psutil.process_iter(["cmdline"])
        if "stays behind" in " ".join(p.info["cmdline"] or [])
    ]
    assert not left


@pytest.mark.skipif(
    not os.environ.get("ALL_SAMPLES"), reason="make test-grading: trains eight networks eight times"
)
def test_our_own_solution_earns_all_points_in_every_variant_and_a_copied_one_does_not(
    tmp_path, course, walled
):
    names = {variant(name).number: name for name in map(str, range(100))}
    for number, name in names.items():
        (tmp_path / "submissions" / name).mkdir(parents=True)
        if number == 1:  # z = 1 replaces
            nbformat.write(
                books(course, "source")[ONE], tmp_path / "submissions" / name / f"{ONE}.ipynb"
            )
    command = [
        sys.executable,
        "-m",
        "teaching",
        "grade",
        str(tmp_path / "submissions"),
        "--epochs",
        "1",
        "--variants",
    ]
    result = subprocess.run(
        [*command, *([] if walled else ["--unsafe"])], capture_output=True, text=True, cwd=ROOT,
        env={**os.environ, "COURSEWORK_RUNS": str(tmp_path / "runs")},
    )  # fmt: skip
    assert result.returncode == 0 and result.stdout.count("our solution: every point") == 8, (
        result.stderr
    )
    with open(
        tmp_path / "runs" / "grading" / "marks.csv", newline="", encoding="utf-8-sig"
    ) as file:
        rows = {row["student"]: row for row in csv.DictReader(file)}
    assert len(rows) == 8 and [
        rows[names[1]][question] for question in ("Q1.1", "Q1.2", "Q1.3")
    ] == ["5", "5", "10"]


def our_notebook_one(grader, name):
    """Our own solution's first notebook, graded for a student: every point, and the name is filled in everywhere."""
    with tempfile.TemporaryDirectory() as folder:
        source = program.solution_of(grader.course, name, Path(folder))
        for path in (source / ASSIGNMENT).glob("*.ipynb"):
            assert f"student = {name!r}" in path.read_text(encoding="utf-8")
            if path.stem != ONE:
                path.unlink()
        (ours,) = collect(source).submissions
        ours.key, ours.student = "_ours", name
        pages, notes, _ = grader.grade(ours)
    assert not [note for note in notes if ONE in note], notes
    points = [determine_grade(cell) for cell in graded_cells(pages.values()).values()]
    assert sum(most for _, most in points) == 40 and all(got == most for got, most in points)
    return True


def test_own_cells_are_graded_for_their_owner(tmp_path, monkeypatch, walled):
    """Two students answer the hand-out's Q1.4 for themselves; then one more hands in the other's answers."""
    monkeypatch.setattr(program, "RUNS", tmp_path / "runs")
    monkeypatch.setattr(program, "reference", our_notebook_one)  # the others train networks
    (tmp_path / "course").mkdir()
    course = make_course(tmp_path / "course", epochs=1, variants=True)
    place = tmp_path / "submissions"
    for folder, student, of in (
        ("Jane Doe_11_assignsubmission_file_", "DOE, Jane", "Jane Doe"),
        ("Group 3-Ana Núñez_12_assignsubmission_file_", "Ana Nunez", "Ana Núñez"),
        ("Kim Roe_13_assignsubmission_file_", "Kim Roe", "Jane Doe"),
    ):
        notebook = own_answers(books(course, "release")[ONE], of)
        put(
            notebook,
            "parameters",
            f'data = "digits"\nstudent = {student!r}\nmine = helpers.variant(student)',
        )
        (place / folder).mkdir(parents=True)
        nbformat.write(notebook, place / folder / f"{ONE}.ipynb")
    options = ["--epochs", "1", "--variants", *([] if walled else ["--unsafe"])]
    assert program.main(["grade", str(place), *options]) == 0
    folder = tmp_path / "runs" / "grading"
    with open(folder / "marks.csv", newline="", encoding="utf-8-sig") as file:
        rows = {row["number"]: row for row in csv.DictReader(file)}
    assert [rows[number]["Q1.4"] for number in ("11", "12", "13")] == ["10", "10", "0"]
    assert [rows[number]["total"] for number in ("11", "12", "13")] == ["10", "10", "0"]
    key = rows["13"]["key"]
    page = (folder / "feedback" / key / ASSIGNMENT / f"{ONE}.html").read_text(encoding="utf-8")
    assert "the cell of Kim Roe that remembers h" in page and "Unknown name" in page
    assert "Q1.4: unknown name" in (folder / "class.html").read_text(encoding="utf-8")


# The command line ---------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["grade", ""], "no submissions in ''"),
        (["grade", "nowhere"], "no submissions in 'nowhere'"),
        (["grade", str(ROOT)], "no submissions in"),
        (["grade", "."], "nothing to grade"),
        (["marks"], "nothing is graded yet"),
    ],
)
def test_a_wrong_call_is_told_in_one_line(tmp_path, monkeypatch, capsys, arguments, message):
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    monkeypatch.setattr(program, "RUNS", tmp_path / "runs")
    assert program.main(arguments) == 2
    said = capsys.readouterr().err
    assert message in said and said.count("\n") == 1


def test_without_a_sandbox_nothing_is_run(tmp_path, monkeypatch, capsys, handouts):
    hand_in(tmp_path, f"sub/kim/{ONE}.ipynb", nbformat.writes(handouts[ONE]).encode())
    monkeypatch.setattr(program, "RUNS", tmp_path / "runs")
    monkeypatch.setattr(sandbox, "works", lambda folder: False)
    assert program.main(["grade", str(tmp_path / "sub")]) == 2
    assert (
        "UNSAFE=1" in capsys.readouterr().err
        and not (tmp_path / "runs" / "grading" / "marks.csv").exists()
    )


@pytest.mark.skipif(not program.fcntl, reason="needs file locks")
def test_a_second_grading_at_the_same_time_is_refused_in_one_line(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(program, "RUNS", tmp_path)
    (tmp_path / "submissions").mkdir()
    with program.alone(tmp_path / "grading"):
        for arguments in (["marks"], ["grade", str(tmp_path / "submissions")]):
            assert program.main(arguments) == 1
            assert re.fullmatch(
                r"another one is at work in .*: wait until it has finished\n",
                capsys.readouterr().err,
            )
    assert program.main(["marks"]) == 2 and "nothing is graded yet" in capsys.readouterr().err
