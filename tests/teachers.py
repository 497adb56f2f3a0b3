"""A class whose submissions are graded in no time: nothing is run, a check gives what a comment asks for.

`# 5 points for q12-check` in a student's cell is what the machine gives; no comment is 0.
"""

import os
import re
import shutil
import time
from typing import ClassVar

import nbformat
import pandas as pd
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from nbgrader.utils import is_grade

from teaching import Trouble, key, marks
from teaching import __main__ as program
from teaching.cells import STUB, read
from teaching.handout import ASSIGNMENT, NAMES, make_course
from teaching.marks import pages_in
from teaching.versions import notebooks_of

ONE, TWO, THREE = NAMES
TEXT = "The recurrent network shares its weights between all of the rows, a convolution does so between places."
OTHER = "A fully connected network has weights of its own for each pixel, so it can't know that rows follow each other."


class Quick:
    """What stands for the grader."""

    graded: ClassVar[list] = []  # the keys of all that were graded
    fails = ()  # the keys whose grading fails

    def __init__(self, course, place, options):
        self.course, self.place = course, place
        self.handouts = {
            name: read(nbformat.writes(book))
            for name, book in pages_in(course / "release" / ASSIGNMENT).items()
        }

    def at_hand(self, number):
        return True

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def tidy(self, who, notes=()):
        pass

    def grade(self, submission):
        Quick.graded.append(submission.key)
        notebooks, notes = notebooks_of(submission, self.handouts)
        if submission.key in Quick.fails:
            return {}, [*notes, Trouble("out of memory")], 1.0
        return (
            {name: page(book, self.handouts[name]) for name, book in notebooks.items()},
            notes,
            1.0,
        )


def page(notebook, handout):
    """The page of a notebook, as the grader makes it."""
    mine = {cell.id for cell in handout.cells}
    cells = [cell for cell in notebook.cells if cell.id not in mine]
    source = "\n".join(cell.source for cell in notebook.cells)
    points = {name: value for value, name in re.findall(r"# ([\d.]+) points for ([\w-]+)", source)}
    for cell in filter(is_grade, handout.cells):
        name = cell.metadata.nbgrader.grade_id
        if cell.cell_type == "code":
            given = min(float(points.get(name, 0)), cell.metadata.nbgrader.points)
            value = new_output(
                "execute_result", data={"text/plain": f"{given:g}"}, execution_count=1
            )
            hint = (
                []
                if name in points
                else [new_output("stream", name="stdout", text="Not yet: not answered yet\n")]
            )
            cells.append(nbformat.from_dict({**cell, "outputs": [*hint, value]}))
        else:
            text = next((own.source for own in notebook.cells if own.id == name), STUB)
            cells.append(nbformat.from_dict({**cell, "source": text}))
    return new_notebook(cells=cells, metadata=handout.metadata)


ANSWERS = {
    "q11_check": "q11_lstm",
    "q11_check_gru": "q11_gru",
    "q12_check": "q12_lstm",
    "q13_check": "q13_counterexample",
}


def answers(texts=(), value="1", **points):
    """The notebooks of a student: the points that the machine will give by check, and texts by question."""
    code = [
        f"{ANSWERS[name]} = {value}  # {most} points for {name.replace('_', '-')}"
        for name, most in points.items()
    ]
    one = [
        new_code_cell(source, id=f"own-{place}")
        for place, source in enumerate(code or ["q11_lstm = 1"])
    ]
    three = [new_code_cell("bonus_gates = 1", id="own")]
    three += [new_markdown_cell(text, id=name) for name, text in dict(texts).items()]
    return {ONE: new_notebook(cells=one), THREE: new_notebook(cells=three)}


def hand_in(folder, notebooks):
    """Write notebooks to a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, notebook in notebooks.items():
        nbformat.write(notebook, folder / f"{name}.ipynb")
    return folder


# A teacher's folder -----------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return make_course(tmp_path_factory.mktemp("made"), epochs=1)


@pytest.fixture
def room(tmp_path, monkeypatch, made, request):
    """A teacher's folder; nothing in it is run. `room.made` is the hand-out of the next grading."""
    room = Room(tmp_path, made)
    if "pages" not in request.keywords:
        monkeypatch.setattr(program, "write_feedback", lambda course: None)
    monkeypatch.setattr(program, "RUNS", tmp_path / "runs")
    monkeypatch.setattr(program, "Grader", Quick)
    monkeypatch.setattr(
        program,
        "make_course",
        lambda folder, *_: shutil.copytree(room.made, folder, dirs_exist_ok=True),
    )
    monkeypatch.setattr(Quick, "graded", [])
    monkeypatch.setattr(Quick, "fails", ())
    monkeypatch.setattr(key, "code", list)  # somebody may be at work on it
    return room


class Room:
    def __init__(self, path, made):
        self.path, self.made, self.course = path, made, path / "runs" / "grading"

    def hand_in(self, who, notebooks, folder="in", when=None):
        target = hand_in(self.path / folder / who, notebooks)
        for path in target.iterdir() if when else ():
            os.utime(path, (when, when))
        return self.path / folder

    def call(self, *arguments):
        return program.main([str(argument) for argument in arguments])

    def grade(self, folder="in", *more):
        return self.call("grade", self.path / folder, "--unsafe", *more)

    def rows(self):
        table = pd.read_csv(
            self.course / "marks.csv", dtype=str, keep_default_na=False, encoding="utf-8-sig"
        )
        return {row["student"]: row for row in table.to_dict("records")}

    def by_hand(self, who, points, comment=""):
        """What a teacher does in Formgrader."""
        with marks.book(self.course) as gradebook:
            for name, value in points.items():
                notebook = ONE if name.startswith("q1") else THREE
                grade = gradebook.find_grade(name, notebook, ASSIGNMENT, who)
                grade.manual_score, grade.needs_manual_grade = value, False
                if comment:
                    gradebook.find_comment(name, notebook, ASSIGNMENT, who).manual_comment = comment
            gradebook.db.commit()

    def changed(self, change):
        """The next hand-out, changed by a function of {notebook: NotebookNode} of a part of the course."""
        new = shutil.copytree(self.made, self.path / f"made-{time.monotonic_ns()}")
        for part in ("source", "release"):
            for name, book in marks.pages_in(new / part / ASSIGNMENT).items():
                change(name, book)
                nbformat.write(book, new / part / ASSIGNMENT / f"{name}.ipynb")
        with marks.book(new) as gradebook:
            books = marks.pages_in(new / "release" / ASSIGNMENT)
            for name, book in ((name, books[name]) for name in NAMES):  # those with points
                gradebook.remove_notebook(name, ASSIGNMENT)
                gradebook.add_notebook(name, ASSIGNMENT)
                for cell in book.cells:
                    self.enter(gradebook, cell, name)
        self.made = new

    def enter(self, gradebook, cell, name):
        data = cell.metadata.get("nbgrader", {})
        if data.get("grade"):
            gradebook.add_grade_cell(
                data.grade_id, name, ASSIGNMENT, max_score=data.points, cell_type=cell.cell_type
            )
        if data.get("solution"):
            gradebook.add_solution_cell(data.grade_id, name, ASSIGNMENT)
        if data:
            gradebook.add_source_cell(
                data.grade_id, name, ASSIGNMENT, source=cell.source, cell_type=cell.cell_type
            )
