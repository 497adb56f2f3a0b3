"""The gradebook of the class: points of a machine, points of a person, and marks.csv.

Points that a person has given are never lost. They wait for another look where the answer or the machine's points
have changed, or where their question is gone.
"""

import ast
import json
import re
import shutil
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import nbformat
from nbformat import NotebookNode
from nbformat.v4 import new_markdown_cell
from nbgrader.api import Grade, Gradebook, MissingEntry, SubmittedAssignment
from nbgrader.utils import determine_grade, is_grade
from sqlalchemy.exc import SAWarning

from coursework.files import write_text
from teaching.cells import names_in, plain
from teaching.handout import ASSIGNMENT, HANDOUT, answer_names
from teaching.key import remembered, short
from teaching.tables import safe, write_table
from teaching.work import FOLDER

warnings.simplefilter("ignore", SAWarning)  # nbgrader's own queries
# The columns of the marks, and the cells that belong to them by the beginning of their names.
QUESTIONS = {"Q1.1": "q11-", "Q1.2": "q12-", "Q1.3": "q13-"}
QUESTIONS |= {"Q2 LSTM": "q2-lstm-check", "Q2 LSTM 3 x 32": "q2-lstm-deep-"}
QUESTIONS |= {"Q2 GRU": "q2-gru-check", "Q2 GRU 3 x 32": "q2-gru-deep-"}
QUESTIONS |= {"Q3.1": "q31-", "Q3.2": "q32-", "Q3.3": "q33-", "bonus": "bonus-"}


def question_of(cell: str) -> str:
    """The column of a cell's points: as QUESTIONS has it, or made of the cell's name."""
    known = next(
        (question for question, start in QUESTIONS.items() if cell.startswith(start)), None
    )
    number = re.match(r"q(\d)(\d+)\b", cell)
    return known or (f"Q{number[1]}.{number[2]}" if number else cell.partition("-")[0])


OLDER_KEY = "graded with an older key"


class ByHand(NamedTuple):
    """What a person has said about an answer."""

    points: float | None
    extra: float | None
    waits: bool
    comment: str | None


def book(course: Path) -> Gradebook:
    """The gradebook in a course folder."""
    return Gradebook(f"sqlite:///{course / 'gradebook.db'}", HANDOUT)


# One student ---------------------------------------------------------------------------------------------------------
def graded_cells(pages: Iterable[NotebookNode]) -> dict[str, NotebookNode]:
    """dict from the name of each cell with points to the cell, for the pages of one student."""
    return {
        cell.metadata.nbgrader.grade_id: cell
        for page in pages
        for cell in page.cells
        if is_grade(cell)
    }


def pages_in(folder: Path) -> dict[str, NotebookNode]:
    """The pages that lie in a folder, by notebook."""
    return {path.stem: nbformat.read(path, as_version=4) for path in sorted(folder.glob("*.ipynb"))}


def kept_cells(folder: Path) -> dict[str, NotebookNode]:
    """The cells with points of the pages that lie in a folder."""
    return graded_cells(pages_in(folder).values())


def given_by_hand(course: Path) -> dict[str, dict[str, ByHand]]:
    """dict from student and cell to what a person has said; from the gradebook."""
    with book(course) as gradebook:
        return {
            each.student.id: by_hand(each) for each in gradebook.assignment_submissions(ASSIGNMENT)
        }


def by_hand(submission: SubmittedAssignment) -> dict[str, ByHand]:
    """The same for one submission."""
    found = {}
    for notebook in submission.notebooks:
        comments = {comment.name: comment.manual_comment for comment in notebook.comments}
        for grade in notebook.grades:
            said = ByHand(
                grade.manual_score,
                grade.extra_credit,
                grade.needs_manual_grade,
                comments.get(grade.name),
            )
            if said.points is not None or said.extra or said.comment:
                found[grade.name] = said
    return found


def save(
    course: Path,
    who: str,
    pages: dict[str, NotebookNode],
    kept: dict[str, ByHand] | None = None,
    **facts,
) -> list:
    """Put the pages of one student into the course, points into its gradebook, facts beside them; returns their notes.

    Args:
        course: the folder of the course.
        who: the student's key.
        pages: by notebook, with the checks' outputs.
        kept: what a person has said before; of the gradebook, if it is not given.
        facts: what is known beside the points.
    """
    target = course / "autograded" / who / ASSIGNMENT
    before, notes = pages_in(target), list(facts.get("notes", []))
    with book(course) as gradebook:
        gradebook.update_or_create_student(who)
        submission = gradebook.update_or_create_submission(ASSIGNMENT, who)
        kept = by_hand(submission) if kept is None else kept
        answers, names = Answers(before, pages, asked_in(course)), grade_names(submission)
        said = under_new_names(facts_of(course, who).get("by hand", {}) | kept, names, answers)
        for notebook in submission.notebooks:
            for grade in notebook.grades:
                notes += put(grade, said.pop(grade.name, None), answers)
            for comment in notebook.comments:
                if comment.name in kept and kept[comment.name].comment:
                    comment.manual_comment = kept[comment.name].comment
        gradebook.db.commit()
    left = {name: each for name, each in said.items() if each.points is not None}
    notes += [
        f"{name} is no question any more; by hand it had {each.points:g}"
        for name, each in left.items()
    ]
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    for name, page in pages.items():
        nbformat.write(with_headings(page), target / f"{name}.ipynb")
    learn(course, who, **facts | {"notes": notes, "by hand": left})
    return notes


class Answers(NamedTuple):
    """A student's pages before and now, and what a check asks for."""

    before: dict[str, NotebookNode]
    now: dict[str, NotebookNode]
    asked: set[str]

    def old(self, cell: str) -> str | None:
        """The answer to a question as it was."""
        return answer_to(cell, self.before, self.asked)

    def new(self, cell: str) -> str | None:
        """As it is."""
        return answer_to(cell, self.now, self.asked)


def asked_in(course: Path) -> set[str]:
    """The names of all answers of a hand-out."""
    release = pages_in(course / "release" / ASSIGNMENT)
    return {name for notebook in release.values() for name in answer_names(notebook)}


def grade_names(submission: SubmittedAssignment) -> list[str]:
    """The names of all cells with points."""
    return [grade.name for notebook in submission.notebooks for grade in notebook.grades]


def answer_to(cell: str, pages: dict[str, NotebookNode], asked: set[str]) -> str | None:
    """What a student answers to a question: the text, or the code that makes the values that its check reads."""
    for page in pages.values():
        check = graded_cells([page]).get(cell)
        if check is not None and check.cell_type == "markdown":
            return plain(text_of(check))
        if check is not None:
            names = set(names_in(check.source, ast.Load)) & asked
            own = [
                each.source
                for each in page.cells
                if each.cell_type == "code" and not is_grade(each)
            ]
            return plain(
                " ".join(source for source in own if names & set(names_in(source, ast.Store)))
            )
    return None


def under_new_names(said: dict[str, Any], names: list[str], answers: Answers) -> dict[str, ByHand]:
    """What a person has said, by question; a question that has another name now is known by its answer."""
    found = {name: ByHand(*each) for name, each in said.items()}
    for name in [name for name in found if name not in names]:
        text = answers.old(name)
        twins = [
            new
            for new in names
            if new not in found and answers.old(new) is None and answers.new(new) == text
        ]
        if text and len(twins) == 1:
            found[twins[0]] = found.pop(name)
    return found


def put(grade: Grade, said: ByHand | None, answers: Answers) -> list[str]:
    """Give a cell its machine's points, and back what a person had given; returns notes on what has to be looked at."""
    machine = points_of(grade.name, answers.before)
    grade.auto_score = points_of(grade.name, answers.now)
    grade.manual_score = said.points if said else None
    grade.extra_credit = said.extra if said else None
    if grade.manual_score is None:
        grade.needs_manual_grade = grade.auto_score is None
        return []
    changed = answers.old(grade.name) != answers.new(grade.name) or machine != grade.auto_score
    grade.needs_manual_grade = changed or (said is not None and said.waits)
    return (
        [f"{question_of(grade.name)}: changed since it was given {grade.manual_score:g}"]
        if changed
        else []
    )


def points_of(name: str, pages: dict[str, NotebookNode]) -> float | None:
    """What the machine gives; None if a person has to, 0 if the question is not there."""
    cell = graded_cells(pages.values()).get(name)
    return determine_grade(cell)[0] if cell is not None else 0


def with_headings(page: NotebookNode) -> NotebookNode:
    """A page on which each box for points has its question's name above it."""
    cells: list[NotebookNode] = []
    for cell in page.cells:
        if is_grade(cell):
            place = len(cells) - (bool(cells) and text_of(cells[-1]).startswith("**Taken"))
            title = f"### {question_of(cell.metadata.nbgrader.grade_id)}: {kind(cell)}"
            if not place or not cells[place - 1].metadata.get("heading"):
                cells.insert(place, new_markdown_cell(title, metadata={"heading": True}))
        cells.append(cell)
    return nbformat.from_dict({**page, "cells": cells})


def text_of(cell: NotebookNode) -> str:
    """What a student wrote in a cell of a page; the page itself shows a cleaned copy."""
    return str(cell.metadata.get("text", cell.source))


def kind(cell: NotebookNode) -> str:
    """What a cell with points holds, in words."""
    return "the text" if cell.cell_type == "markdown" else "the check"


# What is known beside the points -------------------------------------------------------------------------------------
def known(course: Path) -> dict[str, dict[str, Any]]:
    """What is known of each student beside the marks, from earlier gradings too."""
    path = course / "facts.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def facts_of(course: Path, who: str) -> dict[str, Any]:
    """The same of one student."""
    return known(course).get(who, {})


def learn(course: Path, who: str, **facts) -> None:
    """Remember more of a student."""
    everybody = known(course)
    everybody[who] = everybody.get(who, {}) | facts
    write_known(course, everybody)


def write_known(course: Path, everybody: dict[str, dict[str, Any]]) -> None:
    """Remember what is known of all students."""
    write_text(course / "facts.json", json.dumps(everybody, indent=1))


def forget(course: Path, who: str) -> None:
    """Remove a student with all that was handed in, graded and written."""
    with book(course) as gradebook:
        try:
            gradebook.remove_student(who)
        except MissingEntry:  # an earlier try came so far
            gradebook.db.rollback()
    for folder in ("autograded", "feedback", "handed-in", FOLDER):
        shutil.rmtree(course / folder / who, ignore_errors=True)
    (course / "logs" / f"{who}.txt").unlink(missing_ok=True)
    everybody = known(course)
    everybody.pop(who, None)
    write_known(course, everybody)


def renew(course: Path, fresh: Path) -> None:
    """Take the hand-out and an empty gradebook of a fresh course, and put back what the old gradebook knows.

    The old gradebook stays as gradebook-before.db.
    """
    kept = given_by_hand(course) if (course / "gradebook.db").exists() else {}
    for part in ("source", "release"):
        shutil.rmtree(course / part, ignore_errors=True)
        shutil.copytree(fresh / part, course / part)
    if (course / "gradebook.db").exists():
        shutil.copy(course / "gradebook.db", course / "gradebook-before.db")
        for left in course.glob("gradebook.db-*"):
            left.unlink()
    shutil.copy(fresh / "gradebook.db", course / "gradebook.db.new")
    (course / "gradebook.db.new").replace(course / "gradebook.db")
    for who, facts in known(course).items():
        pages = pages_in(course / "autograded" / who / ASSIGNMENT)
        save(course, who, pages, kept.get(who, {}), **facts)


# The class -----------------------------------------------------------------------------------------------------------
def rows_of(course: Path) -> list[dict[str, str]]:
    """One dict per student, each member of a group too: what marks.csv holds."""
    with book(course) as gradebook:
        submissions = sorted(
            gradebook.assignment_submissions(ASSIGNMENT), key=lambda each: each.student.id
        )
        columns = columns_of(gradebook)
        facts, mark = known(course), short(remembered(course))
        rows = []
        for each in submissions:
            own = facts.get(each.student.id, {})
            older = [OLDER_KEY] if own.get("key", mark) != mark else []
            rows += rows_of_one(each, own | {"notes": [*own.get("notes", []), *older]}, columns)
        return rows


def columns_of(gradebook: Gradebook) -> list[str]:
    """The questions, in the order of QUESTIONS, and what else has points."""
    cells = [
        cell.name
        for notebook in gradebook.find_assignment(ASSIGNMENT).notebooks
        for cell in notebook.grade_cells
    ]
    here = list(dict.fromkeys(map(question_of, cells)))
    return [question for question in QUESTIONS if question in here] + [
        q for q in here if q not in QUESTIONS
    ]


def rows_of_one(
    submission: SubmittedAssignment, facts: dict[str, Any], columns: list[str]
) -> list[dict[str, str]]:
    """The rows of a submission."""
    key = submission.student.id
    points, waiting = dict.fromkeys(columns, 0.0), set()
    for grade in (grade for notebook in submission.notebooks for grade in notebook.grades):
        question = question_of(grade.name)
        points[question] += grade.score
        waiting |= {question} if grade.needs_manual_grade else set()
    rows = []
    for member in facts.get("members") or [{"name": key}]:
        row = {"student": member["name"], "number": member.get("number", "")}
        row |= {question: f"{value:g}" for question, value in points.items()}
        row["total"] = f"{sum(points.values()):g}"
        row["to grade by hand"] = " ".join(question for question in columns if question in waiting)
        row["late"] = "late" if member.get("late") else ""
        row["group"] = facts.get("group", "")
        row["seconds"] = str(facts.get("seconds", ""))
        row["notes"] = "; ".join(facts.get("notes", []))
        row["key"] = key
        rows.append({name: safe(value) for name, value in row.items()})
    return rows


def most_points(course: Path) -> float:
    """The points of somebody who has all, with the bonus."""
    with book(course) as gradebook:
        notebooks = gradebook.find_assignment(ASSIGNMENT).notebooks
        return sum(cell.max_score for notebook in notebooks for cell in notebook.grade_cells)


def write_marks(course: Path, rows: list[dict[str, str]]) -> Path:
    """Write marks.csv; returns its path."""
    header = list(rows[0]) if rows else ["student", "number", "total", "key"]
    write_table(course / "marks.csv", header, [list(row.values()) for row in rows])
    return course / "marks.csv"
