"""The masters and the hand-out that nbgrader makes of them."""

import ast
import re
import zipfile

import nbformat
import pytest
from nbgrader.utils import compute_checksum, is_grade

import helpers
from coursework.files import NOTEBOOKS
from coursework.variants import variant
from teaching import handout as hand_out
from teaching.__main__ import solution_of
from teaching.cells import with_parameters
from teaching.handout import (
    ASSIGNMENT,
    HANDOUT,
    MASTERS,
    NAMES,
    UNGRADED,
    answer_names,
    make_course,
)
from teaching.marks import QUESTIONS, most_points


def read(path):
    return nbformat.read(path, as_version=4)


def code(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


# The masters ---------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def masters():
    return {path.stem: read(path) for path in MASTERS}


def test_the_points_add_up_to_the_sheets(masters):
    points = {question: 0 for question in QUESTIONS}
    for notebook in masters.values():
        for cell in notebook.cells:
            data = cell.metadata.get("nbgrader", {})
            if data.get("grade"):
                (question,) = [
                    q for q, prefix in QUESTIONS.items() if data["grade_id"].startswith(prefix)
                ]
                points[question] += data["points"]
    assert list(points.values()) == [10, 10, 10, 15, 10, 15, 10, 5, 5, 10, 10]


def test_every_name_is_there_once_and_belongs_to_its_cell(masters):
    for notebook in masters.values():
        marked = [cell for cell in notebook.cells if "nbgrader" in cell.metadata]
        names = [cell.metadata.nbgrader.grade_id for cell in marked]
        assert names == [cell.id for cell in marked] and len(set(names)) == len(names)


# The hand-out ---------------------------------------------------------------------------------
def read_anywhere(notebook):
    """The names that the code of a notebook reads."""
    nodes = [node for cell in code(notebook) for node in ast.walk(ast.parse(cell.source))]
    return {n.id for n in nodes if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)}


@pytest.fixture(scope="module")
def course(tmp_path_factory):
    return make_course(tmp_path_factory.mktemp("course"))


@pytest.fixture(scope="module")
def handout(course):
    return course / "release" / ASSIGNMENT


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
                    names = [name for name in names if name in read_anywhere(notebook)]
                    assert mine.source == "\n".join(f"{variable} = ..." for variable in names)
                else:
                    assert mine.source == "Not answered yet."
            if data.get("solution") or (not data and cell.cell_type == "code"):
                for line in cell.source.splitlines():
                    assert len(line) < 25 or line not in text, (
                        f"{name}: {line!r} of {cell.id} is in the hand-out"
                    )
            if not data and cell.cell_type == "markdown":  # the hand-out's own texts, never ours
                assert cell.source not in text
        assert (
            "BEGIN SOLUTION" not in text and "HIDDEN TESTS" not in text and "(picture:" not in text
        )


def test_the_pictures_are_the_ones_that_the_texts_name(handout):
    found = {}
    for name in NAMES:
        for cell in read(handout / f"{name}.ipynb").cells:
            for file, data in cell.get("attachments", {}).items():
                assert f"(attachment:{file})" in cell.source and data["image/png"].startswith(
                    "iVBOR"
                )
                found[file] = name
    assert set(found) == {"read-back-plot.png", "curves.png", "q32-sheet.png", "bonus-lstm.png"}
    assert len(set(found.values())) == 3


# What answers Q1, in the words of code and of prose; the helper module must not say it either.
TELLS = re.compile(
    r"""["']f["']:\s*[01]\b(?!\.)|["']i["']:\s*[01]\b(?!\.)|\bf\s*=\s*[01]\b(?!\.)|\bi\s*=\s*[01]\b(?!\.)|b_f["']:\s*-?\d*[B3]|U["']:\s*0\b"""
)


def test_no_file_of_the_handout_tells_the_gates(handout):
    files = [
        handout / "helpers.py",
        handout / "README.md",
        *sorted((handout / "coursework").rglob("*.py")),
    ]
    texts = {path.name: path.read_text(encoding="utf-8") for path in files}
    texts |= {
        path.stem: "\n".join(c.source for c in read(handout / path.name).cells)
        for path in NOTEBOOKS
    }
    for name, text in texts.items():
        assert not TELLS.findall(text), f"{name}: {TELLS.findall(text)}"
    assert sorted(path.name for path in handout.iterdir()) == sorted(
        [
            *(path.name for path in NOTEBOOKS),
            "helpers.py",
            "coursework",
            "README.md",
            "requirements.txt",
        ]
    )


def test_a_notebook_without_points_goes_out_as_it_is(handout, tmp_path):
    """Nothing of it is an answer, and nothing that it shows answers Q1."""
    for path in UNGRADED:
        ours, theirs = read(path), read(handout / path.name)
        assert [cell.id for cell in theirs.cells] == [cell.id for cell in ours.cells]
        assert not any(cell.outputs or cell.execution_count for cell in code(theirs))
        assert not any("sys.path" in cell.source for cell in code(theirs))
        assert "helpers.practice(" in "".join(cell.source for cell in code(theirs))
        for output in (output for cell in code(ours) for output in cell.outputs):
            assert not TELLS.search(str(output.get("text", "")) + str(output.get("data", "")))


def test_the_handouts_requirements_are_what_it_imports(handout):
    listed = (handout / "requirements.txt").read_text(encoding="utf-8")
    assert "tensorflow==" in listed and "nbgrader" not in listed and "pytest" not in listed
    assert all(re.fullmatch(r"[\w-]+==[\w.]+( ; .*)?|#.*", line) for line in listed.splitlines())


def test_make_student_writes_a_folder_and_the_same_as_a_zip(tmp_path, monkeypatch):
    monkeypatch.setattr(hand_out, "RUNS", tmp_path)
    with zipfile.ZipFile(hand_out.student()) as archive:
        packed = {name.split("/", 1)[1] for name in archive.namelist() if not name.endswith("/")}
    folder = tmp_path / "student" / HANDOUT
    assert packed == {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    assert "README.md" in packed


def test_a_text_for_a_cell_that_is_not_handed_out_is_an_error(tmp_path, monkeypatch):
    texts = hand_out.handout_texts() | {("01_gate_settings", "before", "injective"): "text"}
    monkeypatch.setattr(hand_out, "handout_texts", lambda: texts)
    with pytest.raises(ValueError, match="before injective"):
        make_course(tmp_path)


def named(number):
    """A name that has this variant."""
    return next(name for name in map(str, range(1000)) if variant(name).number == number)


def test_with_variants_the_handout_asks_for_a_name_and_q1_is_right_for_all_eight(tmp_path):
    course = make_course(tmp_path, epochs=1, variants=True)
    for name in NAMES:
        cells = read(course / "release" / ASSIGNMENT / f"{name}.ipynb").cells
        (place,) = [place for place, cell in enumerate(cells) if cell.id == "parameters"]
        assert "student = ...\nmine = helpers.variant(student)" in cells[place].source
        assert "Put your name" in cells[place - 1].source
    wanted = ("setup", "parameters", "q11-answer", "q11-check-gru", "q12-answer", "q12-check-gru")
    cells = {
        cell.id: cell.source
        for cell in read(course / "source" / ASSIGNMENT / f"{NAMES[0]}.ipynb").cells
    }
    for number in range(8):
        space, points = {}, 0
        for cell in wanted:
            for line in ast.parse(with_parameters(cells[cell], student=named(number))).body:
                if isinstance(line, ast.Expr) and cell.endswith("check-gru"):
                    points += eval(ast.unparse(line), space)
                else:
                    exec(ast.unparse(line), space)
        assert points == 10 and space["seed"] == number


def test_the_answers_are_those_that_the_checks_read(handout):
    found = {name: answer_names(read(handout / f"{name}.ipynb")) for name in NAMES}
    assert found["01_gate_settings"] == [
        "q11_lstm",
        "q11_gru",
        "q12_lstm",
        "q12_gru",
        "q13_counterexample",
    ]
    assert found["02_training"] == ["experiments", "experiment_results"]
    assert {"output_GRU_over_time", "q33_predictions", "q33_accuracies", "bonus_gates"} <= set(
        found["03_analysis"]
    )


# What a beginner meets --------------------------------------------------------------------------
@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_left_over_from_the_masters(handout, name):
    """Each name that a cell makes, imports or sets as a parameter is read; no comment speaks of the hand-out."""
    notebook = read(handout / f"{name}.ipynb")
    read_names = read_anywhere(notebook)
    for cell in code(notebook):
        tree = ast.parse(cell.source)
        lines = [node for node in tree.body if isinstance(node, (ast.ImportFrom, ast.Assign))]
        lines = [node for node in lines if getattr(node, "module", "") != "sympy"]  # for answers
        made = {
            alias.asname or alias.name
            for n in lines
            if isinstance(n, ast.ImportFrom)
            for alias in n.names
        }
        if len(tree.body) > 1:  # a cell of one line is there to be looked at
            targets = [target for n in lines if isinstance(n, ast.Assign) for target in n.targets]
            made |= {target.id for target in targets if isinstance(target, ast.Name)}
        assert made <= read_names, (cell.id, made - read_names)
        assert "hand-out" not in cell.source and "others" not in cell.source
        if "checksum" in cell.metadata.get("nbgrader", {}):
            assert cell.metadata.nbgrader.checksum == compute_checksum(cell), cell.id


def test_a_name_that_is_read_nowhere_goes_and_what_reads_it_goes_first():
    cells = ["from a import b, c\n\nimport numpy as np", "d = c  # why\ne = d\nf = 1", "f", "g = 2"]
    notebook = nbformat.v4.new_notebook(cells=list(map(nbformat.v4.new_code_cell, cells)))
    hand_out.tidy(notebook)
    assert [cell.source for cell in notebook.cells] == ["import numpy as np", "f = 1", "f", "g = 2"]


def test_the_first_check_is_an_example_that_is_run_and_is_no_answer(handout):
    notebook = read(handout / f"{NAMES[0]}.ipynb")
    names = [cell.id for cell in notebook.cells]
    (example,) = [c for c in code(notebook) if c.source.startswith("helpers.check_gates(")]
    assert names.index("playground") < names.index(example.id) < names.index("q11-answer")
    verdict = eval(example.source, {"helpers": helpers})
    assert not verdict and "old state c_prev: f = 0.5" in verdict.hint
    texts = "\n".join(cell.source for cell in notebook.cells)
    assert "https://keras.io/api/layers/recurrent_layers/" in texts and "colah.github.io" in texts


def test_every_notebook_says_how_long_it_takes(handout):
    for name in NAMES:
        assert "**Time.**" in read(handout / f"{name}.ipynb").cells[0].source


def test_the_picture_of_q32_is_that_of_the_image_that_was_taken(handout):
    (sheet,) = [c for c in read(handout / f"{NAMES[2]}.ipynb").cells if c.id == "q32-sheet"]
    assert "first_of" not in sheet.source and "helpers.image_with_output(" in sheet.source


def test_with_variants_everybody_has_two_cells_and_the_points_are_said_once(tmp_path, monkeypatch):
    monkeypatch.setattr(hand_out, "OWN_POINTS", 7)
    course = make_course(tmp_path, epochs=1, variants=True)
    source, release = (
        read(course / part / ASSIGNMENT / f"{NAMES[0]}.ipynb") for part in ("source", "release")
    )
    points = {c.id: c.metadata.nbgrader.points for c in release.cells if is_grade(c)}
    assert points["q14-check-h"] == points["q14-check-c"] == 7 and most_points(course) == 124
    assert "(14 points)" in "".join(c.source for c in release.cells)
    assert "(another\n14 points)" in (course / "release" / ASSIGNMENT / "README.md").read_text(
        "utf-8"
    )
    ours = read(
        solution_of(course, "Kim Lee", tmp_path / "ours") / ASSIGNMENT / f"{NAMES[0]}.ipynb"
    )
    space = {"helpers": helpers, "student": "Kim Lee"}
    for cell in code(ours):
        if cell.id.startswith("q14-answer"):
            exec(cell.source, space)
        if cell.id.startswith("q14-check"):
            assert eval(cell.source, space) == 7
    # Nothing in the course answers them; what `own_answers` puts in holds for one student alone.
    assert [c.source for c in source.cells if c.id.startswith("q14-answer")] == [
        "q14_h = ...",
        "q14_c = ...",
    ]
    space = {"helpers": helpers, "student": "Jane Doe"}
    for student, earned in (("doe, jane", 7), ("Kim Lee", 0)):
        cells = {c.id: c.source for c in hand_out.own_answers(source, student).cells}
        for memory in "hc":
            exec(cells[f"q14-answer-{memory}"], space)
            assert eval(cells[f"q14-check-{memory}"], space) == earned
