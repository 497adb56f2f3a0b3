"""The grading: real nbgrader, real kernels, the situations of situations.py and the samples in tests/submissions.

All models are trained for one epoch on the digits. Most submissions hand in notebook 01 only, which saves time. The
default suite grades some, `make test-grading` all of them.
"""

import argparse
import copy
import csv
import json
import os
import random
import re
import subprocess
import sys
import time
import zipfile
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import nbformat
import numpy as np
import psutil
import pytest
import sympy as sp
from situations import ONE, SITUATIONS, THREE, at, own, put

from coursework.experiment import Experiment
from coursework.files import ROOT
from coursework.variants import variant
from teaching import __main__ as program
from teaching import lms, marks, sandbox
from teaching.cells import answers_in_words, read, with_pictures
from teaching.grading import task_of
from teaching.handout import ASSIGNMENT, NAMES, make_course
from teaching.marks import QUESTIONS
from teaching.submissions import collect, notebooks_of
from teaching.values import MOST_PARTS, decode, decoded, encode

SAMPLES = sorted((ROOT / "tests" / "submissions").glob("*.txt"))
ALL = [*SITUATIONS, *(path.stem for path in SAMPLES), "blank"]
QUICK = ["vandal", "split-answer", "zip-in-a-folder", "forged-check", "picture-in-text"]
QUICK += ["no-notebook", "damaged-zip", "damaged-notebook"]
CHOSEN = ALL if os.environ.get("ALL_SAMPLES") else QUICK


@pytest.fixture(scope="module")
def course(tmp_path_factory):
    return make_course(tmp_path_factory.mktemp("course"), epochs=1)


def books(course, part):
    return {name: read((course / part / ASSIGNMENT / f"{name}.ipynb").read_bytes()) for name in NAMES}


@pytest.fixture(scope="module")
def handouts(course):
    return books(course, "release")


@pytest.fixture(scope="module")
def walled(tmp_path_factory):
    return sandbox.works(tmp_path_factory.mktemp("walls"))


# Answers as plain data ---------------------------------------------------------------------------------
X = sp.Symbol("x")
GOOD = [
    1,
    -(10**300),
    True,
    None,
    0.1,
    float("inf"),
    "text",
    Fraction(1, 3),
    Decimal("0.1"),
    np.float32(0.5),
    np.int8(3),
]
GOOD += [
    [1, (2, {3: [4]})],
    {"f": 1, "i": 0.5},
    {1, 2},
    ...,
    sp.Rational(1, 3),
    sp.sqrt(2) / 3,
    sp.pi,
    sp.tanh(2),
    X + 1,
]
GOOD += [sp.Float("0.1", 50), sp.exp(-sp.sqrt(2)), Experiment("GRU", 64, 1, 3)]


@pytest.mark.parametrize("value", GOOD, ids=str)
def test_a_value_survives_the_way_through_json(value):
    after = decode(json.loads(json.dumps(encode(value, [MOST_PARTS]))))
    assert after == value and type(after) is type(value)


@pytest.mark.parametrize("value", [np.arange(6).reshape(2, 3), np.array(0.5), np.ones((2, 0), ">f4")], ids=str)
def test_an_array_survives_it_too(value):
    after = decode(json.loads(json.dumps(encode(value, [MOST_PARTS]))))
    assert after.dtype == value.dtype and after.shape == value.shape and (after == value).all()


def test_what_is_no_plain_value_keeps_the_name_of_its_type_only():
    endless = []
    endless.append(endless)
    for value in (print, json, range(3), np.ma.array([1]), np.array(["a"]), 1 << 200_000):
        after = decode(encode(value, [MOST_PARTS]))
        assert type(after).__name__ == type(value).__name__ and not isinstance(after, (type(value), str))
    assert isinstance(decode(encode(endless, [MOST_PARTS])), list)


@pytest.mark.parametrize(
    "forged",
    ["array('AAAA')", "system('ls')", "sympify('1')", "exp", "Add('print(1)')", "Symbol(5)", "Rational(1, 0)",
     "Experiment([('other', 'GRU')])", "().__class__", "lambda: 1", "[" * 10_000, "", "open('x')", "f'{1}'", {"a": 1}],
    ids=lambda forged: str(forged)[:20],
)  # fmt: skip
def test_forged_values_do_no_harm(forged):
    (value,) = decoded({"q": forged}).values()
    assert not callable(value) and isinstance(value, (object, sp.Expr))


# Texts ---------------------------------------------------------------------------------
def test_texts_are_found_by_name_by_id_and_by_place(handouts):
    handout = handouts[THREE]
    book = copy.deepcopy(handout)
    assert set(answers_in_words(book, handout).values()) == {""}
    put(book, "q31-answer", "by name").id = "other"
    put(book, "q32-answer", "by id").metadata = nbformat.NotebookNode()
    found = answers_in_words(book, handout)
    assert found == {"q31-answer": "by name", "q32-answer": "by id", "q33-answer": "", "bonus-answer": ""}
    own(book, at(book, "q33-answer") + 1, "by place", "markdown")
    own(book, 0, "anywhere", "markdown")
    found = answers_in_words(book, handout)
    assert found["q33-answer"] == "by place" and found["bonus-answer"] == "anywhere\n\nby place"


def test_a_picture_goes_into_the_text_and_a_missing_one_is_taken_out():
    text = with_pictures("![a](attachment:a%20b.png) ![c](attachment:c.png)", {"a b.png": {"image/png": "iVBO\nRw=="}})
    assert text == "![a](data:image/png;base64,iVBORw==) ![c](missing-picture-c.png)"


# What is run -----------------------------------------------------------------------------------------
@pytest.mark.parametrize("written", ["student = ...", "student = 'Kym'"])
def test_the_name_that_decides_the_variant_is_the_teachers(handouts, written):
    handout = copy.deepcopy(handouts[ONE])
    put(handout, "parameters", "student = ...\nmine = helpers.variant(student)\nseed = mine.seed")
    book = copy.deepcopy(handout)
    put(book, "parameters", book.cells[at(book, "parameters")].source.replace("student = ...", written))
    task_of(book, handout, "Kim")
    names = re.findall("^student = .*", "\n".join(cell.source for cell in book.cells), re.M)
    assert names == [written, "student = 'Kim'"][written == "student = ..." :]


# Collecting ---------------------------------------------------------------------------------
def hand_in(place, name, text):
    path = place / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text)


def test_exports_of_moodle_and_canvas_and_names_in_any_alphabet(tmp_path, handouts):
    text = nbformat.writes(handouts[ONE]).encode()
    for name in (
        f"First Last_12345_assignsubmission_file_/{ONE}.ipynb",
        f"Zoë O'Neil_77_assignsubmission_file_{ONE}.ipynb",
        f"doejane_LATE_222_333_{ONE}-1.ipynb",
        "doejane_LATE_222_334_02_training.ipynb",
        f"Анна/{ONE}.ipynb",
        "Анна/homework_2025_2026_final.ipynb",
        f"李 雷/work/{ONE}.ipynb",
        f"=cmd()/{ONE}.ipynb",
        f"kim_{ONE}.ipynb",
        f".hidden/{ONE}.ipynb",
        "notes.txt",
    ):
        hand_in(tmp_path, name, text)
    (tmp_path / "empty").mkdir()
    found, complaints = collect(tmp_path)
    assert {(s.name, s.number): len(s.files) for s in found} == {
        ("First Last", "12345"): 1, ("Zoë O'Neil", "77"): 1, ("doejane", "222"): 2, ("Анна", ""): 2, ("李 雷", ""): 1,
        ("=cmd()", ""): 1, ("kim", ""): 1, ("empty", ""): 0,
    }  # fmt: skip
    assert [line.split(":")[0] for line in complaints] == ["notes.txt"]
    keys = [submission.key for submission in found]
    assert len(set(keys)) == len(keys) and all(re.fullmatch(r"\w[\w.@-]*", key) for key in keys)


def test_an_export_may_be_one_zip(tmp_path, handouts):
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        for who in ("Ann A_1_assignsubmission_file_", "Ben B_2_assignsubmission_file_"):
            archive.writestr(f"{who}/{ONE}.ipynb", nbformat.writes(handouts[ONE]))
    for place in (tmp_path / "all.zip", tmp_path):
        assert [submission.name for submission in collect(place)[0]] == ["Ann A", "Ben B"]
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        for who in ("leekim_111_777", "leekim_222_888"):  # two of one name
            archive.writestr(f"{who}_{ONE}.ipynb", nbformat.writes(handouts[ONE]))
    for place in (tmp_path / "all.zip", tmp_path):
        assert [submission.key for submission in collect(place)[0]] == ["leekim_111", "leekim_222"]


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2])
def test_a_damaged_zip_costs_its_own_student_only(tmp_path, handouts, method):
    for name in ("kim", "lee"):
        with zipfile.ZipFile(tmp_path / f"{name}.zip", "w", method) as archive:
            archive.writestr(f"{ONE}.ipynb", random.Random(0).randbytes(3000).hex())
    whole_file = (tmp_path / "kim.zip").read_bytes()
    for place in range(30, len(whole_file), 197):
        (tmp_path / "kim.zip").write_bytes(
            whole_file[:place] + bytes([whole_file[place] ^ 255]) + whole_file[place + 1 :]
        )
        found, _ = collect(tmp_path)
        assert [submission.name for submission in found] == ["kim", "lee"]
        for submission in found:
            assert notebooks_of(submission, handouts)[0] == {}


# Limits ---------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("program_text", "limits", "trouble"),
    [
        ("pass", (30, 500), ""),
        ("import time; time.sleep(60)", (1, 500), "stopped after 1 seconds"),
        ("a = b'x' * 300_000_000; import time; time.sleep(60)", (30, 200), "stopped: more than 200 MiB of memory"),
    ],
)
def test_a_process_is_stopped_at_its_limits_with_all_it_started(tmp_path, program_text, limits, trouble):
    # The child has a session of its own, as a kernel has.
    parent = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {program_text!r}], start_new_session=True)"
    process = subprocess.Popen([sys.executable, "-c", parent])
    family = []
    while process.poll() is None and len(family) < 2:
        family = sandbox.family(process.pid)
    options = argparse.Namespace(seconds=limits[0], memory_mib=limits[1], file_mib=1)
    assert sandbox.watch(process, tmp_path, options) == trouble
    time.sleep(0.1)
    assert process.poll() is not None
    assert not any(member.is_running() and member.status() != psutil.STATUS_ZOMBIE for member in family)


# The sample submissions ---------------------------------------------------------------------------------
def sample(path, notebooks, fill):
    """(notebooks, {question: points}) of a file in tests/submissions."""
    head, *parts = re.split(r"^# %% ", path.read_text(encoding="utf-8"), flags=re.M)
    facts = dict(re.findall(r"^([\w ]+): (.+)$", head, re.M))
    notebooks = {name: copy.deepcopy(notebooks[name]) for name in facts.get("hands in", " ".join(NAMES)).split()}
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
    fill = {"ROOT": ROOT, "SUBMISSIONS": place, "RUNS": base / "runs", "PRECIOUS": base / "precious"}
    for name in names:
        if name in SITUATIONS:
            function, *expected[name] = SITUATIONS[name]
            function(books(course, "source"), place / name)
            continue
        notebooks, expected[name] = books(course, "release"), ({}, "", "")
        if name != "blank":
            notebooks, points, by_hand = sample(ROOT / "tests" / "submissions" / f"{name}.txt", notebooks, fill)
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
    command = [sys.executable, "-m", "teaching", "grade", str(base / "submissions"), "--epochs", "1", "--jobs", "2"]
    result = subprocess.run(
        [*command, "--cell-seconds", "40" if CHOSEN is QUICK else "120", *([] if walled else ["--unsafe"])],
        capture_output=True, text=True, cwd=ROOT,
        env={**os.environ, "COURSEWORK_RUNS": str(base / "runs"), "HOME": str(base / "home")},
    )  # fmt: skip
    assert result.returncode == 0, result.stdout + result.stderr
    with open(base / "runs" / "grading" / "marks.csv", newline="", encoding="utf-8") as file:
        rows = {row["student"]: row for row in csv.DictReader(file)}
    assert not (base / "foreign").exists()
    return base, rows, expected


@pytest.mark.parametrize("who", CHOSEN)
def test_the_marks_of(graded, who):
    _, rows, expected = graded
    points, by_hand, note = expected[who]
    wanted = dict.fromkeys(QUESTIONS, 0.0) | {question: float(value) for question, value in points.items()}
    assert {question: float(rows[who][question]) for question in QUESTIONS} == wanted, rows[who]["notes"]
    assert rows[who]["to grade by hand"] == by_hand and note in rows[who]["notes"], rows[who]["notes"]
    assert float(rows[who]["total"]) == sum(wanted.values())


def test_every_submission_has_a_row_and_every_notebook_a_page(graded):
    base, rows, expected = graded
    assert set(rows) == set(expected)
    for who in rows:
        pages = {path.stem for path in (base / "runs/grading/feedback" / rows[who]["key"]).rglob("*.html")}
        missing = {
            name for name in NAMES if f"{name} was not" in rows[who]["notes"] or f"{name} is no" in rows[who]["notes"]
        }
        assert pages == set(NAMES) - missing, rows[who]["notes"]
    page = (base / "runs/grading/feedback/picture-in-text" / ASSIGNMENT / f"{THREE}.html").read_text("utf-8")
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
    return "".join(out.get("text", "") for book in books for cell in book.cells for out in cell.get("outputs", []))


@pytest.mark.skipif("misconceptions-1" not in CHOSEN, reason="make test-grading")
def test_hints_say_what_is_wrong(graded):
    said = printed(graded, "misconceptions-1")
    for hint in ("not the percentage", "transposed", "opposite order", "i: Not yet: these are the values of f"):
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
    written = re.findall("WRITTEN (.*)", said)  # with the bundle in /tmp, a folder of the sandbox's own /tmp
    assert all(place.startswith("/tmp/") and not Path(place, "left-behind").exists() for place in written), written
    assert said.count("not written") + len(written) == 8 and said.count("not undone") == 3 and "no network" in said
    assert int(re.search(r"in sight: (\d+)", said)[1]) < 12
    assert (base / "precious" / "file.txt").read_text() == "precious"
    left = [p for p in psutil.process_iter(["cmdline"]) if "stays behind" in " ".join(p.info["cmdline"] or [])]
    assert not left


@pytest.mark.skipif(not os.environ.get("ALL_SAMPLES"), reason="make test-grading: trains eight networks eight times")
def test_our_own_solution_earns_all_points_in_every_variant_and_a_copied_one_does_not(tmp_path, course, walled):
    names = {variant(name).number: name for name in map(str, range(100))}
    for number, name in names.items():
        (tmp_path / "submissions" / name).mkdir(parents=True)
        if number == 1:  # z = 1 replaces
            nbformat.write(books(course, "source")[ONE], tmp_path / "submissions" / name / f"{ONE}.ipynb")
    command = [sys.executable, "-m", "teaching", "grade", str(tmp_path / "submissions"), "--epochs", "1", "--variants"]
    result = subprocess.run(
        [*command, *([] if walled else ["--unsafe"])], capture_output=True, text=True, cwd=ROOT,
        env={**os.environ, "COURSEWORK_RUNS": str(tmp_path / "runs")},
    )  # fmt: skip
    assert result.returncode == 0 and result.stdout.count("our solution: every point") == 8, result.stderr
    with open(tmp_path / "runs" / "grading" / "marks.csv", newline="", encoding="utf-8") as file:
        rows = {row["student"]: row for row in csv.DictReader(file)}
    assert len(rows) == 8 and [rows[names[1]][question] for question in ("Q1.1", "Q1.2", "Q1.3")] == ["5", "5", "10"]


def test_grading_again_asks_again_where_the_text_has_changed(graded):
    base, *_ = graded
    course, who = base / "runs" / "grading", "picture-in-text"
    with marks.book(course) as gradebook:
        for cell in ("q31-answer", "q32-answer"):
            grade = gradebook.find_grade(cell, THREE, ASSIGNMENT, who)
            grade.manual_score, grade.needs_manual_grade = 1.5, False
        gradebook.db.commit()
    page = nbformat.read(course / "autograded" / who / ASSIGNMENT / f"{THREE}.ipynb", as_version=4)
    put(page, "q31-answer", "another text")
    notes = marks.save(course, who, {THREE: page})
    assert notes == ["Q3.1: changed since it was given 1.5"]
    (row,) = [row for row in marks.rows_of(course) if row["key"] == who]
    assert row["Q3.1"] == "1.5" and row["to grade by hand"] == "Q3.1 Q3.3 bonus"
    assert marks.save(course, who, {THREE: page}) == []  # still waits
    assert [row["to grade by hand"] for row in marks.rows_of(course) if row["key"] == who] == ["Q3.1 Q3.3 bonus"]


# An LMS's sheet, and the command line ---------------------------------------------------------------------------------
ROWS = [
    {"student": "First Last", "number": "12345", "key": "First_Last_12345", "total": "104.5"},
    {"student": "Zoë O'Neil", "number": "", "key": "Zoë_O_Neil", "total": "50"},
]
MOODLE = """Identifier,Full name,Email address,Status,Grade,Maximum Grade,Last modified (grade),Feedback comments
Participant 12345,First Last,f@x,Submitted,,100.00,-,
Participant 9,O'Neil Zoë,z@x,Submitted,,100.00,-,"two
lines"
Participant 10,Nobody,n@x,,,100.00,-,
"""
CANVAS = """Student,ID,SIS Login ID,Section,LSTM gates (77),Essay (78),Final Score
    Points Possible,,,,110,20,(read only)
"Last, First",12345,fl,A,,3,
"O'Neil, Zoë",9,zo,A,,4,
"""


@pytest.mark.parametrize(
    ("sheet", "column", "points"),
    [(MOODLE, 4, ["100", "50", ""]), (CANVAS, 4, ["110", "104.5", "50"])],
    ids=["Moodle", "Canvas"],
)
def test_the_sheet_of_an_lms_is_filled_in(tmp_path, capsys, sheet, column, points):
    (tmp_path / "course").mkdir()
    (tmp_path / "sheet.csv").write_text(sheet, encoding="utf-8-sig")
    assert lms.fill(tmp_path / "course", ROWS, str(tmp_path / "sheet.csv"), None) == 0
    with open(tmp_path / "course" / "sheet.csv", encoding="utf-8-sig", newline="") as file:
        filled = list(csv.reader(file))
    assert [line[column] for line in filled[1:]] == points
    before = list(csv.reader(sheet.splitlines(keepends=True)))
    assert [line[:4] + line[5:] for line in filled] == [line[:4] + line[5:] for line in before]
    assert "2 of 2 students" in capsys.readouterr().out


def test_a_sheet_without_a_column_for_points_is_refused_in_one_line(tmp_path, capsys):
    (tmp_path / "sheet.csv").write_text("a,b\n1,2\n")
    assert lms.fill(tmp_path, ROWS, str(tmp_path / "sheet.csv"), None) == 2
    assert lms.fill(tmp_path, ROWS, str(tmp_path / "nowhere.csv"), None) == 2
    assert capsys.readouterr().err.count("\n") == 2


def test_texts_that_resemble_each_other_are_found(tmp_path, handouts):
    for who, text in (("a", "The recurrent network shares its weights between all of the rows of an image"),
                      ("b", "The recurrent network shares its weights between all the rows of an image"),
                      ("c", "Convolutions look at neighbouring pixels, and pooling makes them robust")):  # fmt: skip
        page = copy.deepcopy(handouts[THREE])
        put(page, "q31-answer", text)
        (tmp_path / who / ASSIGNMENT).mkdir(parents=True)
        nbformat.write(page, tmp_path / who / ASSIGNMENT / f"{THREE}.ipynb")
    (found,) = marks.similar(sorted(tmp_path.glob(f"*/{ASSIGNMENT}")))
    assert found[1:] == ("Q3.1", "a", "b") and 0.6 < found[0] < 1


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
    assert "UNSAFE=1" in capsys.readouterr().err and not (tmp_path / "runs" / "grading" / "marks.csv").exists()


@pytest.mark.skipif(not program.fcntl, reason="needs file locks")
def test_a_second_grading_at_the_same_time_is_refused_in_one_line(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(program, "RUNS", tmp_path)
    (tmp_path / "submissions").mkdir()
    with program.alone(tmp_path / "grading"):
        for arguments in (["marks"], ["grade", str(tmp_path / "submissions")]):
            assert program.main(arguments) == 1
            assert re.fullmatch(r"another one is at work in .*: wait until it has finished\n", capsys.readouterr().err)
    assert program.main(["marks"]) == 2 and "nothing is graded yet" in capsys.readouterr().err
