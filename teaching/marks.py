"""The gradebook of the class, and what is made of it: marks.csv, feedback pages, a report on the class."""

import csv
import html
import json
import re
import shutil
import warnings
import zipfile
from collections import Counter, defaultdict

import nbformat
import numpy as np
from nbgrader.api import Gradebook
from nbgrader.utils import determine_grade, is_grade
from sklearn.feature_extraction.text import TfidfVectorizer
from sqlalchemy.exc import SAWarning

from coursework.files import replacing
from teaching.handout import ASSIGNMENT, HANDOUT, nbgrader

warnings.simplefilter("ignore", SAWarning)  # nbgrader's own queries
# The columns of the marks, and the cells that belong to them by the beginning of their names.
QUESTIONS = {"Q1.1": "q11-", "Q1.2": "q12-", "Q1.3": "q13-"}
QUESTIONS |= {"Q2 LSTM": "q2-lstm-check", "Q2 LSTM 3 x 32": "q2-lstm-deep-"}
QUESTIONS |= {"Q2 GRU": "q2-gru-check", "Q2 GRU 3 x 32": "q2-gru-deep-"}
QUESTIONS |= {"Q3.1": "q31-", "Q3.2": "q32-", "Q3.3": "q33-", "bonus": "bonus-"}
ALIKE = 0.6  # cosine of two texts from which on they are listed
PAIRS = 20
PAGE = """<!DOCTYPE html><html lang="en"><meta charset="utf-8"><title>The class</title>
<style>body { font: 16px/1.5 sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #222 }
td { padding: .1rem .6rem; vertical-align: top }
.bar { height: 1em; background: #0072b2; forced-color-adjust: none }</style><main>"""


def question_of(cell):
    """The column of a cell's points."""
    return next(question for question, prefix in QUESTIONS.items() if cell.startswith(prefix))


def book(course):
    """The gradebook in a course folder."""
    return Gradebook(f"sqlite:///{course / 'gradebook.db'}", HANDOUT)


# One student ---------------------------------------------------------------------------------------------------------
def graded_cells(pages):
    """dict from the name of each cell with points to the cell, for the pages of one student."""
    return {cell.metadata.nbgrader.grade_id: cell for page in pages for cell in page.cells if is_grade(cell)}


def kept_cells(folder):
    """The same for the pages that lie in a folder."""
    return graded_cells(nbformat.read(path, as_version=4) for path in sorted(folder.glob("*.ipynb")))


def save(course, who, pages, **facts):
    """Put the pages of one student into the course, points into its gradebook, facts beside them; returns their notes.

    Points given by hand stay. Where the text has changed since, a person is asked again, with the old points in place.
    """
    target, notes = course / "autograded" / who / ASSIGNMENT, facts.setdefault("notes", [])
    before, now = kept_cells(target), graded_cells(pages.values())
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    for name, page in pages.items():
        nbformat.write(page, target / f"{name}.ipynb")
    with book(course) as gradebook:
        gradebook.update_or_create_student(who)
        submission = gradebook.update_or_create_submission(ASSIGNMENT, who)
        for grade in (grade for notebook in submission.notebooks for grade in notebook.grades):
            grade.auto_score = determine_grade(now[grade.name])[0] if grade.name in now else 0
            if grade.manual_score is None:
                grade.needs_manual_grade = grade.auto_score is None
            elif before.get(grade.name, {}).get("source") != now.get(grade.name, {}).get("source"):
                grade.needs_manual_grade = True
                notes.append(f"{question_of(grade.name)}: changed since it was given {grade.manual_score:g}")
        gradebook.db.commit()
    everybody = known(course)
    everybody[who] = everybody.get(who, {}) | facts
    with replacing(course / "facts.json") as path:
        path.write_text(json.dumps(everybody, indent=1), encoding="utf-8")
    return notes


def known(course):
    """What is known of each student beside the marks, from earlier runs too: name, number, folder, seconds, notes."""
    path = course / "facts.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


# The class -----------------------------------------------------------------------------------------------------------
def rows_of(course):
    """One dict per student: what marks.csv holds."""
    facts, rows = known(course), []
    with book(course) as gradebook:
        for submission in sorted(gradebook.assignment_submissions(ASSIGNMENT), key=lambda s: s.student.id):
            key, grades = submission.student.id, [grade for book in submission.notebooks for grade in book.grades]
            own = {"name": key, "number": "", "seconds": "", "notes": []} | facts.get(key, {})
            points = dict.fromkeys(QUESTIONS, 0.0)
            for grade in grades:
                points[question_of(grade.name)] += grade.score
            waiting = {question_of(grade.name) for grade in grades if grade.needs_manual_grade}
            row = {"student": own["name"], "number": own["number"], **points, "total": sum(points.values())}
            row |= {"to grade by hand": " ".join(question for question in QUESTIONS if question in waiting)}
            row |= {"seconds": own["seconds"], "notes": "; ".join(own["notes"]), "key": key}
            rows.append(
                {name: f"{value:g}" if isinstance(value, float) else safe(value) for name, value in row.items()}
            )
    return rows


def safe(text):
    """Text for a cell of a table: what a spreadsheet would take for a formula becomes text."""
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text


def report(course):
    """Write marks.csv, the feedback pages and the report on the class; returns the rows of the first."""
    rows, facts = rows_of(course), known(course)
    with replacing(course / "marks.csv") as path, open(path, "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([rows[0], *map(dict.values, rows)])
    print(f"Marks: {course / 'marks.csv'}")
    # For Formgrader, whatever course the teacher's own settings name.
    config = f"c = get_config()\nc.CourseDirectory.root = {str(course)!r}\nc.CourseDirectory.course_id = {HANDOUT!r}\n"
    (course / "nbgrader_config.py").write_text(config, encoding="utf-8")
    nbgrader(course, "generate_feedback")
    # All pages in the layout in which Moodle takes them back: a folder per student.
    with replacing(course / "feedback.zip") as path, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for page in sorted((course / "feedback").glob("*/*/*.html")):
            who = page.parts[-3]
            archive.write(page, f"{facts.get(who, {}).get('folder', who)}/{page.name}")
    print(f"Feedback: {course / 'feedback'}, and for an LMS {course / 'feedback.zip'}")
    with replacing(course / "class.html") as path:
        path.write_text("\n".join(report_on_class(course, rows)), encoding="utf-8")
    print(f"Class: {course / 'class.html'}")
    return rows


def report_on_class(course, rows):
    """The parts of class.html, which loads nothing from anywhere."""
    pages = sorted((course / "autograded").glob(f"*/{ASSIGNMENT}"))
    yield f"{PAGE}<h1>{len(rows)} submissions</h1><h2>Points per question</h2>"
    yield "<p>Points, and how many submissions have them.</p>"
    for question in QUESTIONS:
        counts = Counter(float(row[question]) for row in rows)
        yield f"<h3>{question}</h3>{bars((f'{points:g}', counts[points]) for points in sorted(counts))}"
    hints = Counter(hint for folder in pages for hint in set(hints_of(folder)))
    yield f"<h2>What the checks said, and to how many</h2>{bars(hints.most_common())}"
    pairs = table((f"{alike:.2f}", question, *two) for alike, question, *two in similar(pages))
    yield f"<h2>Texts that resemble each other</h2><p>Perhaps by chance: read both.</p>{pairs}"
    seconds = {row["key"]: float(row["seconds"]) for row in rows if row["seconds"]}
    total, most = sum(seconds.values()), max(seconds.values(), default=0)
    yield f"<h2>Time</h2><p>{total:.0f} seconds in all; {most:.0f} for the slowest.</p>"
    yield f"{bars(seconds.items())}</main></html>"


def table(rows):
    """Rows of text as an HTML table."""
    cells = ("".join(f"<td>{html.escape(str(cell))}</td>" for cell in row) for row in rows)
    return as_table(cells)


def as_table(rows):
    """Rows of cells, which are HTML already, as a table."""
    return f"<table>{''.join(f'<tr>{row}</tr>' for row in rows)}</table>"


def bars(pairs):
    """A bar for each pair (label, number)."""
    pairs = list(pairs)
    most = max([number for _, number in pairs], default=1) or 1
    return as_table(bar(label, number, 15 * number / most) for label, number in pairs)


def bar(label, number, width):
    """The cells of a line with a bar of so many rem, which is nothing to read aloud."""
    drawn = f'<td><div class="bar" style="width: {width:.1f}rem"></div></td>'
    return f"<td>{html.escape(str(label))}</td><td>{number:g}</td>{drawn}"


def hints_of(folder):
    """The hints on the pages of one student, with their question, without numbers."""
    for name, cell in kept_cells(folder).items():
        for output in cell.get("outputs", []):
            for hint in re.findall(r"Not yet: (.*)", output.get("text", "")):
                yield f"{question_of(name)}: {re.sub(r'-?[0-9][0-9.]*', '#', hint)[:150]}"


def similar(pages):
    """(cosine, question, student, student) for the most similar texts of each question, by TF-IDF of their words."""
    texts, found = defaultdict(dict), []
    for folder in pages:
        for name, cell in kept_cells(folder).items():
            if cell.cell_type == "markdown" and len(cell.source.split()) >= 8:  # shorter ones are alike by chance
                texts[name][folder.parent.name] = cell.source
    for name, by_student in texts.items():
        who, words = list(by_student), TfidfVectorizer(ngram_range=(1, 2)).fit_transform(by_student.values())
        alike = np.triu((words @ words.T).toarray(), 1)
        found += [(alike[i, j], question_of(name), who[i], who[j]) for i, j in np.argwhere(alike >= ALIKE)]
    return sorted(found, reverse=True)[:PAIRS]
