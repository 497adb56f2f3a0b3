"""class.html: how the points are spread, what the checks said, which texts resemble each other. It ends nothing."""

import html
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.sparse import csr_matrix
from sklearn.feature_extraction.text import CountVectorizer

from coursework.files import write_text
from teaching import marks
from teaching.handout import ASSIGNMENT

LENGTH = 7  # characters of a piece of text by which texts are compared
FEWEST = 25  # pieces of a text: shorter ones are alike by chance
ALIKE = 0.5  # share of the shorter text's pieces from which on a pair is listed
OURS = "our own solution"
PAGE = """<!DOCTYPE html><html lang="en"><meta charset="utf-8"><title>The class</title>
<style>body { font: 16px/1.5 sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #222 }
td, th { padding: .1rem .6rem; vertical-align: top; text-align: left }
meter { width: 12rem }</style><main>"""
Row = dict[str, str]


class Pair(NamedTuple):
    """Two texts that resemble each other."""

    alike: float  # share of the shorter text's pieces that the other one has, too
    question: str
    one: str
    other: str


def write_class_report(course: Path, rows: list[Row]) -> Path:
    """Write class.html, which loads nothing from anywhere; returns its path."""
    sections: dict[str, Callable[[Path, list[Row]], Iterable[str]]] = {
        "Points in all": in_all,
        "Points per question": per_question,
        "What the checks said, and to how many": hints,
        "Texts that resemble each other": resemblance,
        "Time": seconds,
    }
    parts = [f"{PAGE}<h1>{len(rows)} students</h1>"]
    for title, section in sections.items():
        parts.append(f"<h2>{title}</h2>")
        try:
            parts += section(course, rows)
        except Exception as error:  # marks are more important than a picture of them
            parts.append(
                f"<p>This part could not be made: {html.escape(f'{type(error).__name__}: {error}')}</p>"
            )
    write_text(course / "class.html", "\n".join([*parts, "</main></html>"]))
    return course / "class.html"


def in_all(course: Path, rows: list[Row]) -> Iterator[str]:
    """Mean, spread, what waits, and whose marks are of another key."""
    totals = pd.Series([float(row["total"]) for row in rows])
    yield f"<p>Of {marks.most_points(course):g} points with the bonus:</p>"
    spread = totals.describe()[["mean", "50%", "min", "max"]]
    titles = ("mean", "median", "lowest", "highest")
    yield table([titles, [f"{value:.1f}" for value in spread]])
    waiting = [row for row in rows if row["to grade by hand"]]
    if waiting:
        yield f"<p>Texts of {len(waiting)} students wait for a person; their points are not in here yet.</p>"
    older = [row["student"] for row in rows if marks.OLDER_KEY in row["notes"]]
    if older:
        yield f"<p>Graded with an older key: {html.escape(', '.join(older))}.</p>"


def per_question(course: Path, rows: list[Row]) -> Iterator[str]:
    """How many have how many points; a text that waits counts for itself."""
    yield "<p>Points, and how many students have them.</p>"
    with marks.book(course) as gradebook:
        columns = marks.columns_of(gradebook)
    for question in columns:
        graded = [row for row in rows if not waits(row, question)]
        counts = Counter(float(row[question]) for row in graded)
        pairs = [(f"{points:g}", counts[points]) for points in sorted(counts)]
        pairs += [("waits", len(rows) - len(graded))] if len(graded) < len(rows) else []
        yield f"<h3>{html.escape(question)}</h3>{bars(pairs)}"


def waits(row: Row, question: str) -> bool:
    """Does an answer of this student wait for a person?"""
    return f" {question} " in f" {row['to grade by hand']} "


def hints(course: Path, rows: list[Row]) -> Iterator[str]:
    """What the checks said, and to how many."""
    pages = sorted((course / "autograded").glob(f"*/{ASSIGNMENT}"))
    said = Counter(hint for folder in pages for hint in set(hints_of(folder)))
    yield bars(said.most_common())


def hints_of(folder: Path) -> Iterator[str]:
    """The hints on the pages of one student, with their question, without numbers."""
    for name, cell in marks.kept_cells(folder).items():
        for output in cell.get("outputs", []):
            text = output.get("text") or output.get("data", {}).get("text/plain", "")
            for hint in re.findall(r"(?:Not yet: |Not yet (?=answered))(.*)", str(text)):
                yield f"{marks.question_of(name)}: {re.sub(r'-?[0-9][0-9.]*', '#', hint)[:150]}"


def resemblance(course: Path, rows: list[Row]) -> Iterator[str]:
    """A table of the pairs, with names."""
    names = {OURS: OURS} | {row["key"]: row["group"] or row["student"] for row in rows}
    pairs = similar(course)
    yield f"<p>{len(pairs)} pairs share half of the shorter text or more. Perhaps by chance: read both.</p>"
    lines = [("share", "question", "who", "and who")]
    for pair in pairs:
        lines.append((f"{pair.alike:.2f}", pair.question, names[pair.one], names[pair.other]))
    yield table(lines)


def seconds(course: Path, rows: list[Row]) -> Iterator[str]:
    """How long each submission took."""
    times = {row["key"]: float(row["seconds"]) for row in rows if row["seconds"]}
    yield f"<p>{sum(times.values()):.0f} seconds in all.</p>{bars(times.items())}"


def table(rows: Iterable[Iterable[object]]) -> str:
    """Rows of text as an HTML table; the first one is the header."""
    lines = [[html.escape(str(cell)) for cell in row] for row in rows]
    head = "".join(f'<th scope="col">{cell}</th>' for cell in lines[0])
    body = ("".join(f"<td>{cell}</td>" for cell in line) for line in lines[1:])
    return f"<table><tr>{head}</tr>{''.join(f'<tr>{line}</tr>' for line in body)}</table>"


def bars(pairs: Iterable[tuple[str, float]]) -> str:
    """A bar for each pair (label, number)."""
    pairs = list(pairs)
    most = max([number for _, number in pairs], default=1) or 1
    lines = []
    for label, number in pairs:
        name = html.escape(str(label))
        bar = f'<meter aria-label="{name}" max="{most:g}" value="{number:g}"></meter>'
        lines.append(f'<tr><th scope="row">{name}</th><td>{number:g}</td><td>{bar}</td></tr>')
    return f"<table>{''.join(lines)}</table>"


# Texts ---------------------------------------------------------------------------------------------------------------
def similar(course: Path) -> list[Pair]:
    """All pairs of texts that share much, by their pieces of a few letters, question by question.

    What stands in the hand-out is nobody's. Our own solution takes part, and what a text has from it counts for that
    pair only.
    """
    texts: dict[str, dict[str, str]] = defaultdict(dict)
    for folder in sorted((course / "autograded").glob(f"*/{ASSIGNMENT}")):
        for name, text in texts_in(folder).items():
            texts[name][folder.parent.name] = letters(text)
    given = letters(
        " ".join(cell.source for page in pages(course, "release") for cell in page.cells)
    )
    ours = texts_in(course / "source" / ASSIGNMENT)
    found: list[Pair] = []
    for name, by_student in texts.items():
        found += pairs_of(name, by_student, letters(ours.get(name, "")), given)
    return sorted(found, reverse=True)


def pairs_of(name: str, by_student: dict[str, str], ours: str, given: str) -> Iterator[Pair]:
    """The pairs of one question."""
    who, question = list(by_student), marks.question_of(name)
    count = CountVectorizer(
        analyzer="char", ngram_range=(LENGTH, LENGTH), binary=True, lowercase=False
    )
    try:
        pieces = count.fit_transform([*by_student.values(), ours, given])
    except ValueError:  # no text has a piece
        return
    pieces = without(pieces, pieces[-1])[:-1]
    for student in alike(pieces, len(who)):
        yield Pair(student.share, question, who[student.one], OURS)
    pieces = without(pieces, pieces[-1])[:-1]
    for one in range(len(who)):
        for pair in alike(pieces, one):
            if pair.one > one:
                yield Pair(pair.share, question, who[one], who[pair.one])


class Match(NamedTuple):
    """A text that resembles another one."""

    one: int
    share: float


def without(pieces: csr_matrix, taken: csr_matrix) -> csr_matrix:
    """The pieces (texts, kinds of pieces) without the kinds that one text has."""
    return pieces[:, np.setdiff1d(np.arange(pieces.shape[1]), taken.indices)]


def alike(pieces: csr_matrix, one: int) -> list[Match]:
    """The other texts that share much with one of them, as a share of the shorter one; short texts are left out."""
    sizes = np.asarray(pieces.sum(axis=1)).ravel()
    common = (pieces @ pieces[one].T).toarray().ravel()
    shorter = np.minimum(sizes, sizes[one])
    share = common / np.maximum(shorter, 1)
    share[shorter < FEWEST] = 0
    share[one] = 0
    found = np.flatnonzero(share >= ALIKE)
    return [Match(int(other), float(share[other])) for other in found]


def texts_in(folder: Path) -> dict[str, str]:
    """The texts on the pages that lie in a folder, by question."""
    return {
        name: marks.text_of(cell)
        for name, cell in marks.kept_cells(folder).items()
        if cell.cell_type == "markdown"
    }


def pages(course: Path, part: str) -> Iterable:
    """The notebooks of a part of the course."""
    return marks.pages_in(course / part / ASSIGNMENT).values()


def letters(text: str) -> str:
    """A text's letters and digits alone."""
    text = re.sub(r"data:[\w/+]+;base64,[\w+/=]+", "", text)
    return "".join(filter(str.isalnum, text.casefold()))
