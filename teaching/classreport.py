"""The class on one page: points per question, which hints how often, texts that resemble each other, time."""

import collections
import html
import re

import nbformat
from sklearn.feature_extraction.text import TfidfVectorizer

from coursework.files import replacing
from teaching.cells import nbgrader_of
from teaching.handout import ASSIGNMENT
from teaching.marks import QUESTIONS, question_of, texts_of

ALIKE = 0.6  # cosine of two texts from which on they are listed
PAIRS = 20
STYLE = """body { font: 16px/1.5 sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #222 }
td { padding: .1rem .6rem; vertical-align: top } td:nth-child(3) { color: #0072b2; white-space: nowrap }"""


def write(course, rows):
    """Write class.html, which loads nothing from anywhere; returns its path."""
    pages = sorted((course / "autograded").glob(f"*/{ASSIGNMENT}"))
    seconds = [float(row["seconds"]) for row in rows if row["seconds"] != ""]
    parts = [f"<h1>{len(rows)} submissions</h1>", "<h2>Points per question</h2>"]
    for question in QUESTIONS:
        counts = collections.Counter(float(row[question]) for row in rows)
        parts += [f"<h3>{question}</h3>", bars([(f"{points:g}", counts[points]) for points in sorted(counts)])]
    hints = collections.Counter(hint for folder in pages for hint in set(hints_of(folder)))
    parts += ["<h2>What the checks said, and to how many</h2>", bars(hints.most_common())]
    parts += ["<h2>Texts that resemble each other</h2>", "<p>Perhaps by chance: read both.</p>"]
    parts += [table((f"{alike:.2f}", question, *pair) for alike, question, *pair in similar(pages))]
    if seconds:
        parts += ["<h2>Time</h2>", f"<p>{sum(seconds):.0f} seconds in all; {max(seconds):.0f} for the slowest.</p>"]
        parts += [bars([(row["key"], float(row["seconds"])) for row in rows if row["seconds"] != ""])]
    page = f'<!DOCTYPE html><html lang="en"><meta charset="utf-8"><title>The class</title><style>{STYLE}</style>'
    with replacing(course / "class.html") as path:
        path.write_text(page + "\n".join(parts) + "</html>", encoding="utf-8")
    return course / "class.html"


def table(rows):
    """Rows of text as an HTML table."""
    cells = ("".join(f"<td>{html.escape(str(cell))}</td>" for cell in row) for row in rows)
    return f"<table>{''.join(f'<tr>{row}</tr>' for row in cells)}</table>"


def bars(pairs):
    """A bar for each pair (label, number)."""
    most = max([number for _, number in pairs], default=1) or 1
    return table((label, f"{number:g}", "█" * round(24 * number / most)) for label, number in pairs)


def hints_of(folder):
    """The hints on the pages of one student, with their question, without numbers."""
    for path in sorted(folder.glob("*.ipynb")):
        for cell in nbformat.read(path, as_version=4).cells:
            data = nbgrader_of(cell)
            for output in cell.get("outputs", []) if data.get("grade") else []:
                for line in re.findall(r"Not yet: (.*)", output.get("text", "")):
                    yield f"{question_of(data['grade_id'])}: {re.sub(r'-?[0-9][0-9.]*', '#', line)[:150]}"


def similar(pages):
    """(cosine, question, student, student) for the most similar texts of each question, by TF-IDF of their words."""
    texts = collections.defaultdict(dict)
    for folder in pages:
        for name, text in texts_of(folder).items():
            if len(text.split()) >= 8:  # shorter ones are alike by chance
                texts[name][folder.parent.name] = text
    found = []
    for name, by_student in texts.items():
        if len(by_student) > 1:
            who = list(by_student)
            vectors = TfidfVectorizer(ngram_range=(1, 2)).fit_transform(by_student.values())
            alike = (vectors @ vectors.T).tocoo()
            found += [
                (value, question_of(name), who[i], who[j])
                for i, j, value in zip(alike.row, alike.col, alike.data, strict=True)
                if i < j and value >= ALIKE
            ]
    return sorted(found, reverse=True)[:PAIRS]
