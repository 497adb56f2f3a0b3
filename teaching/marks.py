"""The gradebook of the class, marks.csv, feedback pages."""

import csv
import json
import os
import shutil
import subprocess
import sys
import warnings
import zipfile

import nbformat
from nbgrader.api import Gradebook
from nbgrader.utils import determine_grade
from sqlalchemy.exc import SAWarning

from coursework.files import replacing
from teaching.cells import nbgrader_of
from teaching.handout import ASSIGNMENT, HANDOUT

warnings.simplefilter("ignore", SAWarning)  # nbgrader's own queries
# The columns of the marks, and the cells that belong to them by the beginning of their names.
QUESTIONS = {
    "Q1.1": "q11-",
    "Q1.2": "q12-",
    "Q1.3": "q13-",
    "Q2 LSTM": "q2-lstm-check",
    "Q2 LSTM 3 x 32": "q2-lstm-deep-",
    "Q2 GRU": "q2-gru-check",
    "Q2 GRU 3 x 32": "q2-gru-deep-",
    "Q3.1": "q31-",
    "Q3.2": "q32-",
    "Q3.3": "q33-",
    "bonus": "bonus-",
}


def question_of(cell):
    """The column of a cell's points."""
    return next(question for question, prefix in QUESTIONS.items() if cell.startswith(prefix))


def book(folder):
    """The gradebook in a course folder."""
    return Gradebook(f"sqlite:///{folder / 'gradebook.db'}", HANDOUT)


def points_of(pages):
    """dict from the name of each cell with points on these pages to (points, most); None: a person has to decide."""
    cells = (cell for page in pages.values() for cell in page.cells)
    return {nbgrader_of(cell)["grade_id"]: determine_grade(cell) for cell in cells if nbgrader_of(cell).get("grade")}


def save(course, who, pages):
    """Put the pages of one student into the course, and their points into its gradebook; returns notes.

    Points given by hand stay. Where the text has changed since, a person is asked again, with the old points in place.
    """
    target, notes = course / "autograded" / who / ASSIGNMENT, []
    before = texts_of(target)
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    for name, page in pages.items():
        nbformat.write(page, target / f"{name}.ipynb")
    now = texts_of(target)
    points = points_of(pages)
    with book(course) as gradebook:
        gradebook.update_or_create_student(who)
        submission = gradebook.update_or_create_submission(ASSIGNMENT, who)
        for grade in (grade for notebook in submission.notebooks for grade in notebook.grades):
            grade.auto_score = points.get(grade.name, (0,))[0]
            if grade.manual_score is None:
                grade.needs_manual_grade = grade.auto_score is None
            elif before.get(grade.name) != now.get(grade.name):
                grade.needs_manual_grade = True
                notes.append(f"{question_of(grade.name)}: changed since it was given {grade.manual_score:g}")
        gradebook.db.commit()
    return notes


def texts_of(folder):
    """dict from the name of a cell with points by hand to its text, for the pages of one student."""
    return {
        nbgrader_of(cell)["grade_id"]: cell.source
        for path in sorted(folder.glob("*.ipynb"))
        for cell in nbformat.read(path, as_version=4).cells
        if nbgrader_of(cell).get("grade") and cell.cell_type == "markdown"
    }


def read_facts(course):
    """What is known of each student beside the marks: name, number, folder, seconds, notes; from earlier runs too."""
    path = course / "facts.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def write_facts(course, facts):
    """Keep that; the file is whole at any moment."""
    with replacing(course / "facts.json") as path:
        path.write_text(json.dumps(facts, indent=1), encoding="utf-8")


def safe(text):
    """Text for a cell of a table: what a spreadsheet would take for a formula becomes text."""
    return f"'{text}" if str(text).startswith(("=", "+", "-", "@", "\t", "\r")) else text


def rows_of(course):
    """One dict per student: what marks.csv holds."""
    facts, rows = read_facts(course), []
    with book(course) as gradebook:
        for submission in sorted(gradebook.assignment_submissions(ASSIGNMENT), key=lambda s: s.student.id):
            own = facts.get(submission.student.id, {})
            points, grades = dict.fromkeys(QUESTIONS, 0.0), [g for book in submission.notebooks for g in book.grades]
            for grade in grades:
                points[question_of(grade.name)] += grade.score
            waiting = {question_of(grade.name) for grade in grades if grade.needs_manual_grade}
            rows.append({
                "student": safe(own.get("name", submission.student.id)), "number": own.get("number", ""),
                **{question: f"{value:g}" for question, value in points.items()},
                "total": f"{sum(points.values()):g}",
                "to grade by hand": " ".join(q for q in QUESTIONS if q in waiting),
                "seconds": own.get("seconds", ""), "notes": safe("; ".join(own.get("notes", []))),
                "key": submission.student.id,
            })  # fmt: skip
    return rows


def report(course):
    """Write marks.csv and the feedback pages; returns the rows, or None if nbgrader failed."""
    rows = rows_of(course)
    columns = ["student", "number", *QUESTIONS, "total", "to grade by hand", "seconds", "notes", "key"]
    with replacing(course / "marks.csv") as path, open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(rows)
    print(f"Marks: {course / 'marks.csv'}")
    config = f"c = get_config()\nc.CourseDirectory.root = {str(course)!r}\nc.CourseDirectory.course_id = {HANDOUT!r}\n"
    (course / "nbgrader_config.py").write_text(config, encoding="utf-8")  # whatever course the teacher's own one names
    command = [sys.executable, "-m", "nbgrader", "generate_feedback", ASSIGNMENT, "--force", "--log-level=ERROR"]
    environment = os.environ | {"JUPYTER_CONFIG_DIR": str(course / "no-config")}  # the teacher's own course is another
    feedback = subprocess.run(command, cwd=course, env=environment, capture_output=True, text=True)
    if feedback.returncode:
        log = course / "logs" / "feedback.txt"
        log.parent.mkdir(exist_ok=True)
        log.write_text(feedback.stderr, encoding="utf-8")
        last = (feedback.stderr.strip() or "no word").splitlines()[-1]
        print(f"nbgrader could not write all feedback pages: {last} ({log})", file=sys.stderr)
        return None
    return rows


def feedback_zip(course, facts):
    """All feedback pages in one zip, in the layout in which Moodle takes them back: a folder per student."""
    path = course / "feedback.zip"
    with replacing(path) as aside, zipfile.ZipFile(aside, "w", zipfile.ZIP_DEFLATED) as archive:
        for page in sorted((course / "feedback").glob("*/*/*.html")):
            who = page.parts[-3]
            archive.write(page, f"{facts.get(who, {}).get('folder', who)}/{page.name}")
    return path
