"""The hand-out and the grading: real nbgrader, real kernels, the sample submissions in tests/submissions.

All models are trained for one epoch on the digits. Most broken submissions hand in notebook 01 only, which saves time.
The default suite grades some of the samples, `make test-grading` all of them.
"""

import ast
import csv
import json
import os
import random
import re
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import nbformat
import psutil
import pytest

import grading

ROOT = Path(__file__).resolve().parents[1]
SAMPLES = sorted((ROOT / "tests" / "submissions").glob("*.txt"))
CORE = ["ours", "blank", "misconceptions-1", "loop", "deleted", "vandal"]
ALL = [path.stem for path in SAMPLES] + ["ours", "blank"]
CHOSEN = ALL if os.environ.get("ALL_SAMPLES") else CORE


def read(path):
    return nbformat.read(path, as_version=4)


def code(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


# The masters ---------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def masters():
    return {path.stem: read(path) for path in grading.NOTEBOOKS}


def test_the_points_add_up_to_the_sheets(masters):
    points = {question: 0 for question in grading.QUESTIONS}
    for notebook in masters.values():
        for cell in notebook.cells:
            data = cell.metadata.get("nbgrader", {})
            if data.get("grade"):
                (question,) = [q for q, prefix in grading.QUESTIONS.items() if data["grade_id"].startswith(prefix)]
                points[question] += data["points"]
    assert list(points.values()) == [10, 10, 10, 15, 10, 15, 10, 5, 5, 10, 10]


def test_every_name_is_there_once_and_belongs_to_its_cell(masters):
    for notebook in masters.values():
        marked = [cell for cell in notebook.cells if "nbgrader" in cell.metadata]
        names = [cell.metadata.nbgrader.grade_id for cell in marked]
        assert names == [cell.id for cell in marked] and len(set(names)) == len(names)


# The hand-out ---------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def course(tmp_path_factory):
    return grading.make_course(tmp_path_factory.mktemp("course"))


@pytest.fixture(scope="module")
def handout(course):
    return course / "release" / grading.ASSIGNMENT


def test_answers_are_dots_and_nothing_is_solved(masters, handout):
    for name, master in masters.items():
        notebook = read(handout / f"{name}.ipynb")
        assert not any(cell.outputs for cell in code(notebook))
        text = "\n".join(cell.source for cell in notebook.cells)
        for cell in master.cells:
            data = cell.metadata.get("nbgrader", {})
            (mine,) = [c for c in notebook.cells if c.id == cell.id] or [None]
            if data.get("solution"):
                if cell.cell_type == "code":
                    names = [line.targets[0].id for line in ast.parse(cell.source).body]
                    assert mine.source == "\n".join(f"{variable} = ..." for variable in names)
                else:
                    assert mine.source == "Not answered yet."
            if data.get("solution") or (not data and cell.cell_type == "code"):
                for line in cell.source.splitlines():
                    assert len(line) < 25 or line not in text, f"{name}: {line!r} of {cell.id} is in the hand-out"
            if not data and cell.cell_type == "markdown":  # the hand-out's own texts, never ours
                assert cell.source not in text
        assert "BEGIN SOLUTION" not in text and "HIDDEN TESTS" not in text and "(picture:" not in text


def test_the_pictures_are_the_ones_that_the_texts_name(handout):
    found = {}
    for name in grading.NAMES:
        for cell in read(handout / f"{name}.ipynb").cells:
            for file, data in cell.get("attachments", {}).items():
                assert f"(attachment:{file})" in cell.source and data["image/png"].startswith("iVBOR")
                found[file] = name
    assert set(found) == {"read-back-plot.png", "curves.png", "q32-sheet.png", "bonus-lstm.png"}
    assert len(set(found.values())) == 3


# What answers Q1, in the words of code and of prose; the helper module must not say it either.
TELLS = re.compile(
    r"""["']f["']:\s*[01]\b|["']i["']:\s*[01]\b|\bf\s*=\s*[01]\b|\bi\s*=\s*[01]\b|b_f["']:\s*-?\d*[B3]|U["']:\s*0\b"""
)


def test_no_file_of_the_handout_tells_the_gates(handout):
    files = [handout / "helpers.py", handout / "README.md"]
    texts = {path.name: path.read_text(encoding="utf-8") for path in files}
    texts |= {name: "\n".join(c.source for c in read(handout / f"{name}.ipynb").cells) for name in grading.NAMES}
    for name, text in texts.items():
        assert not TELLS.findall(text), f"{name}: {TELLS.findall(text)}"
    assert sorted(path.name for path in handout.iterdir()) == sorted(
        [*(f"{name}.ipynb" for name in grading.NAMES), "helpers.py", "README.md", "requirements.txt"]
    )


def test_the_handouts_requirements_are_what_it_imports(handout):
    listed = (handout / "requirements.txt").read_text(encoding="utf-8")
    assert "tensorflow==" in listed and "nbgrader" not in listed and "pytest" not in listed
    assert all(re.fullmatch(r"[\w-]+==[\d.]+ +#.*|#.*|", line) for line in listed.splitlines())


def test_make_student_writes_a_folder_and_the_same_as_a_zip(tmp_path, monkeypatch):
    monkeypatch.setattr(grading, "RUNS", tmp_path)
    with zipfile.ZipFile(grading.student()) as archive:
        packed = {name.split("/", 1)[1] for name in archive.namelist() if not name.endswith("/")}
    folder = tmp_path / "student" / grading.HANDOUT
    assert packed == {str(path.relative_to(folder)) for path in folder.rglob("*")} and "README.md" in packed


def test_a_text_for_a_cell_that_is_not_handed_out_is_an_error(tmp_path, monkeypatch):
    texts = grading.handout_texts() | {("01_gate_settings", "before", "injective"): "text"}
    monkeypatch.setattr(grading, "handout_texts", lambda: texts)
    with pytest.raises(ValueError, match="before injective"):
        grading.make_course(tmp_path)


# Reading submissions ---------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def skeleton(handout):
    return read(handout / "01_gate_settings.ipynb")


def sources(notebook):
    return [cell.source for cell in notebook.cells]


def mended(skeleton, change):
    theirs = nbformat.from_dict(json.loads(json.dumps(skeleton)))
    change(theirs)
    return grading.mend(skeleton, nbformat.writes(theirs).encode())


def put(notebook, name, source):
    next(cell for cell in notebook.cells if cell.id == name).source = source


def test_an_untouched_handout_stays_as_it_is(skeleton):
    assert sources(mended(skeleton, lambda theirs: None)) == sources(skeleton)


def test_checks_and_given_cells_come_back(skeleton):
    def change(theirs):
        put(theirs, "q11-check", "5")
        put(theirs, "q12-answer", "q12_gru = 1")
        theirs.cells = [cell for cell in theirs.cells if cell.id not in ("setup", "q13-check")]

    result = sources(mended(skeleton, change))
    expected = sources(skeleton)
    expected[[cell.id for cell in skeleton.cells].index("q12-answer")] = "q12_gru = 1"
    assert result == expected


def test_answers_without_their_metadata_keep_their_place(skeleton):
    def change(theirs):
        put(theirs, "q12-answer", "q12_gru = 1")
        for cell in theirs.cells:
            cell.metadata = {}

    result = sources(mended(skeleton, change))
    assert result.index("q12_gru = 1") == result.index("q12_lstm = ...\nq12_gru = ...") if "..." in result else True
    assert result.index("q12_gru = 1") < result.index(
        'helpers.award(5, helpers.check_gates("LSTM", "keep_state", q12_lstm))'
    )
    assert "q12_lstm = ...\nq12_gru = ..." not in result


def test_a_copied_answer_cell_leaves_both_in_order(skeleton):
    def change(theirs):
        place = [cell.id for cell in theirs.cells].index("q12-answer")
        twin = nbformat.from_dict(json.loads(json.dumps(theirs.cells[place])))
        twin.id = "twin"
        theirs.cells[place].source, twin.source = "q12_gru = 1", "q12_lstm = 2"
        theirs.cells.insert(place + 1, twin)

    result = sources(mended(skeleton, change))
    assert {"q12_gru = 1", "q12_lstm = 2"} <= set(result)
    check = result.index('helpers.award(5, helpers.check_gates("LSTM", "keep_state", q12_lstm))')
    assert max(result.index("q12_gru = 1"), result.index("q12_lstm = 2")) < check


def test_folders_and_zips_are_read_and_odd_entries_are_named(tmp_path, handout):
    text = (handout / "01_gate_settings.ipynb").read_bytes()
    (tmp_path / "anna" / "deep" / "er").mkdir(parents=True)
    (tmp_path / "anna" / "deep" / "er" / "01_gate_settings.ipynb").write_bytes(text)
    (tmp_path / "anna" / "02_training.ipynb").symlink_to(handout / "02_training.ipynb")
    with zipfile.ZipFile(tmp_path / "ben.zip", "w") as archive:
        archive.writestr("../../01_gate_settings.ipynb", text)
        archive.writestr("__MACOSX/02_training.ipynb", "x")
        archive.writestr("helpers.py", "raise SystemExit")
    (tmp_path / "carl.zip").write_text("no zip")
    (tmp_path / "=cmd()").mkdir()
    (tmp_path / "notes.txt").write_text("")
    with zipfile.ZipFile(tmp_path / "Dora.ZIP", "w") as archive:
        archive.writestr("01_gate_settings.ipynb", text)
    found, complaints = grading.read_submissions(tmp_path)
    one = {"01_gate_settings": text}
    assert found == {"anna": one, "ben": one, "Dora": one, "carl": {}}
    assert [complaint.split(":")[0] for complaint in complaints] == ["=cmd()", "carl.zip", "notes.txt"]


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2])
def test_a_damaged_zip_costs_its_own_student_only(tmp_path, method):
    for name in ("kim", "lee"):
        with zipfile.ZipFile(tmp_path / f"{name}.zip", "w", method) as archive:
            archive.writestr("01_gate_settings.ipynb", random.Random(0).randbytes(5000).hex())
    whole = (tmp_path / "kim.zip").read_bytes()
    for place in range(30, len(whole), 97):
        (tmp_path / "kim.zip").write_bytes(whole[:place] + bytes([whole[place] ^ 255]) + whole[place + 1 :])
        found, _ = grading.read_submissions(tmp_path)
        assert list(found) == ["kim", "lee"] and found["lee"]


def test_a_notebook_that_no_file_can_hold_gets_a_note(tmp_path, handout, skeleton):
    """JSON may hold half of a surrogate pair, UTF-8 may not."""
    grader = grading.Grader.__new__(grading.Grader)
    grader.place, grader.skeletons = tmp_path, dict.fromkeys(grading.NAMES, skeleton)
    cell = {"cell_type": "code", "metadata": {}, "source": "x = '\ud800'", "outputs": [], "execution_count": None}
    text = json.dumps({"cells": [cell], "metadata": {}, "nbformat": 4, "nbformat_minor": 2}).encode()
    notes = grader.prepare(
        "kim", {"01_gate_settings": text, "02_training": (handout / "02_training.ipynb").read_bytes()}
    )
    assert notes == ["01_gate_settings is no readable notebook (UnicodeEncodeError)", "03_analysis was not handed in"]
    assert [path.name for path in tmp_path.rglob("*.ipynb")] == ["02_training.ipynb"]


# Limits ---------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("program", "limits", "trouble"),
    [
        ("pass", (30, 500), ""),
        ("import time; time.sleep(60)", (1, 500), "stopped after 1 seconds"),
        ("a = b'x' * 300_000_000; import time; time.sleep(60)", (30, 200), "stopped: more than 200 MiB of memory"),
    ],
)
def test_a_process_is_stopped_at_its_limits_with_all_it_started(program, limits, trouble):
    # The child has a session of its own, as a kernel has.
    parent = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {program!r}], start_new_session=True)"
    process = subprocess.Popen([sys.executable, "-c", parent])
    family = []
    while process.poll() is None and not family:
        family = grading.family(process.pid)
    assert grading.watch(process, *limits) == trouble
    time.sleep(0.1)
    assert process.poll() is not None
    assert not any(member.is_running() and member.status() != psutil.STATUS_ZOMBIE for member in family)


# The sample submissions ---------------------------------------------------------------------------------
def sample(path, handout, fill):
    """dict from notebook to NotebookNode, what the marks must be: {question: points}, and what is left to a person."""
    head, *parts = re.split(r"^# %% ", path.read_text(encoding="utf-8"), flags=re.M)
    facts = dict(re.findall(r"^([\w ]+): (.+)$", head, re.M))
    names = facts.get("hands in", " ".join(grading.NAMES)).split()
    notebooks = {name: read(handout / f"{name}.ipynb") for name in names}
    for part in parts:
        first, _, source = part.partition("\n")
        name, cell_id, *action = first.split()
        cells = notebooks[name].cells
        (cell,) = [cell for cell in cells if cell.id == cell_id]
        for key, value in fill.items():
            source = source.replace(f"{{{key}}}", str(value))
        if action == ["delete"]:
            cells.remove(cell)
        elif action == ["new"]:
            cells[cells.index(cell)] = nbformat.v4.new_code_cell(source.strip())
        else:
            cell.source = source.strip()
    for notebook in notebooks.values():
        notebook.metadata.kernelspec.name = facts.get("kernel", "python3")
    expected = dict.fromkeys(grading.QUESTIONS, 0.0)
    for pair in facts["expected"].split():
        question, points = pair.split("=")
        expected[question.replace("_", " ")] = float(points)
    return notebooks, expected, facts.get("by hand", "")


def stack(folder, handout, source, names):
    """Write the samples as submissions; returns what the marks must be."""
    precious = folder.parent / "precious"
    precious.mkdir()
    (precious / "file.txt").write_text("precious")
    runs = folder.parent / "runs"
    fill = {"ROOT": ROOT, "SUBMISSIONS": folder, "RUNS": runs, "PRECIOUS": precious}
    full = {question: 10.0 for question in grading.QUESTIONS}
    full |= {"Q2 LSTM": 15.0, "Q2 GRU": 15.0, "Q3.1": 0.0, "Q3.2": 2.0, "Q3.3": 6.0, "bonus": 8.0}
    expected = {}
    for path in SAMPLES:
        if path.stem in names:
            notebooks, *expected[path.stem] = sample(path, handout, fill)
            (folder / path.stem).mkdir(parents=True)
            for name, notebook in notebooks.items():
                nbformat.write(notebook, folder / path.stem / f"{name}.ipynb")
    for who, origin, marks, by_hand in (
        ("ours", source, full, "Q3.1 Q3.2 Q3.3 bonus"),
        ("blank", handout, dict.fromkeys(full, 0.0), ""),
    ):
        if who in names:
            expected[who] = [marks, by_hand]
            (folder / who).mkdir()
            for name in grading.NAMES:
                nbformat.write(read(origin / f"{name}.ipynb"), folder / who / f"{name}.ipynb")
    return expected


def grade(base, handout, source, names):
    """Grade samples in a process of its own; returns (rows by student, what they must be, what was printed)."""
    expected = stack(base / "submissions", handout, source, names)
    command = [sys.executable, str(ROOT / "grading.py"), "grade", str(base / "submissions"), "--epochs", "1"]
    result = subprocess.run(
        [*command, "--cell-seconds", "45", "--seconds", "400"],
        capture_output=True,
        text=True,
        env={**os.environ, "COURSEWORK_RUNS": str(base / "runs")},
    )
    assert result.returncode == 0, result.stdout + result.stderr
    with open(base / "runs" / "grading" / "marks.csv", newline="", encoding="utf-8") as file:
        rows = {row["student"]: row for row in csv.DictReader(file)}
    return rows, expected, result.stdout


def compare(rows, expected):
    assert set(rows) == set(expected)
    for who, (marks, by_hand) in expected.items():
        assert {question: float(rows[who][question]) for question in marks} == marks, who
        assert float(rows[who]["total"]) == sum(marks.values()), who
        assert rows[who]["to grade by hand"] == by_hand, who
        assert float(rows[who]["seconds"]) >= 0


@pytest.fixture(scope="module")
def graded(tmp_path_factory, course, handout):
    base = tmp_path_factory.mktemp("graded")
    return base, *grade(base, handout, course / "source" / grading.ASSIGNMENT, CHOSEN)


def test_the_marks_of_all_samples(graded):
    _, rows, expected, _ = graded
    compare(rows, expected)


def test_the_blank_handout_runs_and_says_not_answered_yet(graded):
    base, *_ = graded
    checks = 0
    for name in grading.NAMES:
        for cell in code(read(base / "runs/grading/autograded/blank" / grading.ASSIGNMENT / f"{name}.ipynb")):
            assert not any(output.output_type == "error" or output.get("name") == "stderr" for output in cell.outputs)
            if cell.metadata.nbgrader.get("grade"):
                checks += 1
                assert "not answered yet" in cell.outputs[0].text, cell.source
    assert checks == 13


def test_hints_say_what_is_wrong(graded):
    base, *_ = graded
    folder = base / "runs" / "grading" / "autograded"
    printed = {
        who: "".join(
            output.get("text", "")
            for name in grading.NAMES
            for cell in code(read(folder / who / grading.ASSIGNMENT / f"{name}.ipynb"))
            for output in cell.outputs
        )
        for who in ("misconceptions-1", "misconceptions-2")
        if who in CHOSEN
    }
    wanted = {
        "misconceptions-1": [
            "not the percentage",
            "units x T",
            "opposite order",
            "i: Not yet: these are the values of f",
        ],
        "misconceptions-2": [
            "LSTM 64: Not yet: reported",
            "batch_size is",
            "no Experiment for GRU 3 x 32",
            "the accuracy at T - 0 is not 0.96",
            "for none of the images",
        ],
    }
    for who in printed:
        for hint in wanted[who]:
            assert hint in printed[who], printed[who]


def test_every_student_gets_feedback_pages(graded):
    base, rows, *_ = graded
    for who in rows:
        pages = sorted(path.stem for path in (base / "runs/grading/feedback" / who).rglob("*.html"))
        handed_in = sorted(path.stem for path in (base / "submissions" / who).glob("*.ipynb"))
        # A notebook whose kernel died has nothing to show; the notes of the marks say so.
        assert pages == [name for name in handed_in if f"{name}: " not in rows[who]["notes"]]
    page = (base / "runs/grading/feedback/ours" / grading.ASSIGNMENT / "03_analysis.html").read_text("utf-8")
    assert "Right." in page


def test_a_vandal_sees_and_spoils_nothing_of_others(graded):
    base, *_ = graded
    if not grading.sandbox_command():
        pytest.skip("no sandbox on this system (unshare needs root or user namespaces)")
    notebook = read(base / "runs/grading/autograded/vandal" / grading.ASSIGNMENT / "01_gate_settings.ipynb")
    (cell,) = [cell for cell in code(notebook) if cell.metadata.nbgrader.get("grade_id") == "q12-answer"]
    printed = "".join(output.get("text", "") for output in cell.outputs)
    assert not [output for output in cell.outputs if output.output_type == "error"], cell.outputs
    assert not re.search("SEEN|DELETED|WRITTEN|UNDONE", printed), printed
    assert printed.count("not written") == 3 and printed.count("not undone") == 2 and "kept:" in printed
    assert int(re.search(r"in sight: (\d+)", printed)[1]) < 10
    assert (base / "precious" / "file.txt").read_text() == "precious"
    left = [p for p in psutil.process_iter(["cmdline"]) if "stays behind" in " ".join(p.info["cmdline"] or [])]
    assert not left


def test_grading_again_keeps_what_was_graded_by_hand(graded):
    from nbgrader.api import Gradebook

    base, *_ = graded
    database = f"sqlite:///{base / 'runs' / 'grading' / 'gradebook.db'}"
    with Gradebook(database, grading.HANDOUT) as gradebook:
        grade = gradebook.find_grade("q31-answer", "03_analysis", grading.ASSIGNMENT, "ours")
        grade.manual_score, grade.needs_manual_grade = 4.5, False
        gradebook.db.commit()
    command = [sys.executable, str(ROOT / "grading.py"), "report"]
    environment = {**os.environ, "COURSEWORK_RUNS": str(base / "runs")}
    assert subprocess.run(command, env=environment, capture_output=True).returncode == 0
    with open(base / "runs" / "grading" / "marks.csv", newline="", encoding="utf-8") as file:
        (row,) = [row for row in csv.DictReader(file) if row["student"] == "ours"]
    assert row["Q3.1"] == "4.5" and row["to grade by hand"] == "Q3.2 Q3.3 bonus" and row["total"] == "100.5"


@pytest.mark.skipif("crash" not in CHOSEN, reason="takes a minute more: make test-grading")
def test_a_kernel_that_dies_costs_its_notebook_only(graded):
    _, rows, *_ = graded
    assert "01_gate_settings: the kernel died" in rows["crash"]["notes"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["grade", "nowhere"], "no folder at 'nowhere'"),
        (["grade", "."], "nothing to grade"),
        (["report"], "nothing is graded yet"),
    ],
)
def test_a_wrong_call_is_told_in_one_line(tmp_path, monkeypatch, capsys, arguments, message):
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    monkeypatch.setattr(grading, "RUNS", tmp_path / "runs")
    assert grading.main(arguments) == 2
    said = capsys.readouterr().err
    assert message in said and said.count("\n") == 1


@pytest.mark.skipif(not grading.fcntl, reason="needs file locks")
def test_a_second_grading_at_the_same_time_is_refused_in_one_line(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(grading, "RUNS", tmp_path)
    (tmp_path / "submissions").mkdir()
    with grading.alone(tmp_path / "grading"):
        for arguments in (["report"], ["grade", str(tmp_path / "submissions")]):
            assert grading.main(arguments) == 1
            assert re.fullmatch(r"another one is at work in .*: wait until it has finished\n", capsys.readouterr().err)
    assert grading.main(["report"]) == 2 and "nothing is graded yet" in capsys.readouterr().err
