"""A class whose submissions are graded in no time: nothing is run, a check gives what a comment asks for.

`# 5 points for q12-check` in a student's cell is what the machine gives; no comment is 0.
"""

import re
from typing import ClassVar

import nbformat
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from nbgrader.utils import is_grade

from teaching import Trouble
from teaching.cells import STUB, read
from teaching.handout import ASSIGNMENT, NAMES
from teaching.marks import pages_in
from teaching.versions import notebooks_of

ONE, TWO, THREE = NAMES


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
