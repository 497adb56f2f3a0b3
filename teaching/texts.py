"""Texts graded question by question: a spreadsheet and a page for each, which `make marks` reads back.

A row is found by its code, which stands for the student and for the text: sheets may be sorted, and saved by any
program. What the gradebook says otherwise is never replaced without a word.
"""

import hashlib
import html
import itertools
import re
import shutil
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from nbgrader.api import Grade, Gradebook
from scipy.cluster.hierarchy import leaves_list, linkage
from scipy.spatial.distance import squareform
from sklearn.feature_extraction.text import TfidfVectorizer

from coursework.files import write_text
from teaching import Refused, marks
from teaching.cells import STUB
from teaching.cleaning import PICTURE
from teaching.handout import ASSIGNMENT
from teaching.rubric import FILE, Code, column, number, read_rubric, typed
from teaching.tables import Table, read_table, safe, write_table

FOLDER = "texts"
HEADER = ("row", "student", "alike", "text", "of", "points", "codes", "comment", "note")
LETTERS = (
    "bcdfghjkmnpqrstvwxyz"  # of codes: no spreadsheet takes them for a number, a date or a formula
)
CODE = re.compile(rf"([{LETTERS}]{{9}})-([{LETTERS}]{{4}})")
MOST_CELL = 30_000  # characters of a cell; Excel takes 32,767
MOST_ALIKE = 3000  # texts that are put in order together
MOST_OPTIMAL = 600  # of these, until which neighbours are the best that the tree allows
MEASURE = (
    "cosine of the counts of pieces of 3 to 5 letters, rare ones counting more; average linkage"
)
PAGE = """<!DOCTYPE html><html lang="en"><meta charset="utf-8"><title>{title}</title>
<style>body {{ font: 16px/1.5 sans-serif; max-width: 46rem; margin: 2rem auto; padding: 0 1rem; color: #222 }}
td, th {{ padding: .1rem .6rem; vertical-align: top; text-align: left }}
.text {{ white-space: pre-wrap; overflow-wrap: anywhere }} img {{ max-width: 100% }}
article {{ border-top: 1px solid #999; margin-top: 1.5rem }} h2 {{ font-size: 1rem }}</style><main>"""


Line = dict[str, str]  # of a sheet, by the names of its columns


class Text(NamedTuple):
    """An answer in words.

    Attributes:
        cell: the name of its cell.
        who: the student's key.
        name: the student's, or the group's.
        text: what was written; "" for nothing.
        most: points of a full answer.
        points: what a person has given; None if nobody has.
        comment: likewise.
        waits: a person has to look at it.
    """

    cell: str
    who: str
    name: str
    text: str
    most: float
    points: float | None
    comment: str
    waits: bool

    @property
    def row(self) -> str:
        """The code of its student's row."""
        return letters_of(f"{self.cell} {self.who}", 9)

    @property
    def version(self) -> str:
        """The code of what was written."""
        return letters_of(self.text, 4)


class Entry(NamedTuple):
    """What a person has typed into a row."""

    points: float | None
    codes: tuple[str, ...]
    comment: str

    def worth(self, rubric: dict[str, Code]) -> float | None:
        """Its points: those that were typed, or those of its codes; None if there are neither."""
        if self.points is not None or not self.codes:
            return self.points
        return sum(rubric[code].points for code in self.codes)

    def said(self, rubric: dict[str, Code]) -> str:
        """What the student reads."""
        sentences = [rubric[code].sentence for code in self.codes]
        return " ".join(filter(None, [*sentences, self.comment]))


class Sheet(NamedTuple):
    """A sheet that was read back.

    Attributes:
        entries: by the code of a student's row, for the present texts.
        rows: the codes of all rows that are there.
        old: entries for texts that have changed since.
        problems: what was not taken, a line each.
        hidden: the sheet has no names.
    """

    entries: dict[str, Entry]
    rows: set[str]
    old: dict[str, Entry]
    problems: list[str]
    hidden: bool

    def called(self, text: "Text") -> str:
        """What a student is called in a line: nobody's name is given away."""
        return f"row {text.row}" if self.hidden else text.name


def letters_of(text: str, count: int) -> str:
    """So many letters that stand for a text."""
    digest = int.from_bytes(hashlib.sha256(text.encode("utf-8", "replace")).digest(), "big")
    found = ""
    for _ in range(count):
        digest, place = divmod(digest, len(LETTERS))
        found += LETTERS[place]
    return found


# What was written ----------------------------------------------------------------------------------------------------
def texts_of(course: Path) -> dict[str, list[Text]]:
    """dict from the cell of each text question to the texts of all students."""
    found: dict[str, list[Text]] = defaultdict(list)
    facts = marks.known(course)
    with marks.book(course) as gradebook:
        for submission in gradebook.assignment_submissions(ASSIGNMENT):
            who = submission.student.id
            pages = marks.kept_cells(course / "autograded" / who / ASSIGNMENT)
            for notebook in submission.notebooks:
                comments = {each.name: each.manual_comment or "" for each in notebook.comments}
                for grade in notebook.grades:
                    if grade.cell.cell_type == "markdown":
                        text = text_in(pages.get(grade.name))
                        name = name_of(who, facts.get(who, {}))
                        found[grade.name].append(
                            text_of(grade, who, name, text, comments.get(grade.name, ""))
                        )
    return dict(found)


def text_of(grade: Grade, who: str, name: str, text: str, comment: str) -> Text:
    """A text with what the gradebook says of it."""
    waits = grade.needs_manual_grade and bool(text)
    return Text(grade.name, who, name, text, grade.max_score, grade.manual_score, comment, waits)


def text_in(cell: Any) -> str:
    """What a student wrote; "" for nothing."""
    text = marks.text_of(cell).strip() if cell is not None else ""
    return "" if text == STUB else text


def name_of(who: str, facts: dict[str, Any]) -> str:
    """A student's name, or that of a group."""
    members = facts.get("members") or [{"name": who}]
    return facts.get("group") or str(members[0]["name"])


# Read back -----------------------------------------------------------------------------------------------------------
def take(course: Path, choice: str | None = None) -> list[str]:
    """Put what the sheets say into the gradebook; returns what has to be said about it, a line each.

    Args:
        course: the folder of the course.
        choice: which counts where a sheet and the gradebook differ: "sheet" or "gradebook"; None: nothing is replaced.

    Raises:
        Refused: a sheet or the rubric can't be read; nothing was taken then.
    """
    texts = {
        cell: some for cell, some in texts_of(course).items() if sheet_of(course, cell).exists()
    }
    if not texts:
        return []
    rubric = read_rubric(course / FOLDER / FILE)
    sheets = {
        cell: read_sheet(sheet_of(course, cell), some, rubric) for cell, some in texts.items()
    }
    lines: list[str] = []
    differ: dict[str, list[str]] = {}
    with marks.book(course) as gradebook:
        taken = Taken(course, gradebook, rubric, choice)
        for cell, some in texts.items():
            lines += sheets[cell].problems
            differ[cell] = taken.all_of(sheets[cell], some)
            lines += differ[cell]
        gradebook.db.commit()
    taken.remember()
    for cell, some in texts_of(course).items():
        if cell in sheets:
            lines += missing(cell, some, sheets[cell])
    if choice == "gradebook" and taken.kept:
        write_sheets(course, all(sheet.hidden for sheet in sheets.values()), taken.kept)
    return lines


class Taken:
    """Puts entries into the gradebook, and remembers which, so that a later change of a sheet is one."""

    def __init__(
        self, course: Path, gradebook: Gradebook, rubric: dict[str, Code], choice: str | None
    ):
        self.course, self.gradebook, self.rubric, self.choice = course, gradebook, rubric, choice
        self.facts = marks.known(course)
        self.kept: set[str] = set()  # the rows where the gradebook's points were chosen

    def all_of(self, sheet: Sheet, texts: list[Text]) -> list[str]:
        """Take the entries of a sheet; returns a line for each that differs from the gradebook."""
        lines = []
        for text in texts:
            entry = sheet.entries.get(text.row)
            if entry and (differs := self.one(text, entry)):
                lines.append(f"{marks.question_of(text.cell)}: {sheet.called(text)}: {differs}")
        return lines

    def one(self, text: Text, entry: Entry) -> str:
        """Take an entry; returns how it differs from what the gradebook has, '' if it has been taken."""
        points, comment = entry.worth(self.rubric), entry.said(self.rubric)
        last = self.facts.get(text.who, {}).get("sheets", {}).get(text.cell, [None, ""])
        new = (text.points if points is None else points, comment or text.comment)
        free = text.waits or text.points in (None, last[0], new[0])
        free = free and text.comment in ("", last[1], new[1])
        if not free and self.choice != "sheet":
            self.kept.add(text.row)
            return "" if self.choice == "gradebook" else difference(text, new)
        self.put(text, new, points is not None)
        return ""

    def put(self, text: Text, new: tuple[float | None, str], done: bool) -> None:
        """Write points and comment into the gradebook."""
        submission = self.gradebook.find_submission(ASSIGNMENT, text.who)
        for notebook in submission.notebooks:
            for grade in notebook.grades:
                if grade.name == text.cell:
                    grade.manual_score = new[0]
                    grade.needs_manual_grade = grade.needs_manual_grade and not done
            for comment in notebook.comments:
                if comment.name == text.cell:
                    comment.manual_comment = new[1] or None
        known = self.facts.setdefault(text.who, {})
        known["sheets"] = known.get("sheets", {}) | {text.cell: list(new)}

    def remember(self) -> None:
        """Write down what was taken."""
        marks.write_known(self.course, self.facts)


def difference(text: Text, new: tuple[float | None, str]) -> str:
    """How a sheet differs from the gradebook, and what to do."""
    remedy = "nothing is replaced; TEXTS=sheet or TEXTS=gradebook says which counts"
    if text.points != new[0] and not text.waits:
        return f"the sheet says {new[0]:g}, the gradebook {text.points:g}: {remedy}"
    return f"the sheet and the gradebook have different comments: {remedy}"


def sheet_of(course: Path, cell: str) -> Path:
    """Where the sheet of a question lies."""
    return course / FOLDER / f"{cell}.csv"


def read_sheet(path: Path, texts: list[Text], rubric: dict[str, Code]) -> Sheet:
    """What a person has typed into a sheet; Refused if it is none."""
    table = read_table(path)
    student = [n for n, title in enumerate(table.header) if title.strip().casefold() == "student"]
    hidden = not any(table.rows[n].str.strip().any() for n in student)
    known = {text.row: text for text in texts}
    found: dict[str, list[Line]] = defaultdict(list)
    problems = []
    for line in lines_of(table, path):
        match = CODE.fullmatch(line["row"].casefold())
        if match and match[1] in known:
            found[match[1]].append(line | {"row": match[2]})
        else:
            problems.append(f"{path.name}: {line['row']!r} is nobody's row: nothing of it is taken")
    sheet = Sheet({}, set(found), {}, problems, hidden)
    for row, lines in found.items():
        sort_in(sheet, known[row], lines, rubric)
    return sheet


def sort_in(sheet: Sheet, text: Text, lines: list[Line], rubric: dict[str, Code]) -> None:
    """Put the row of a text where it belongs in a sheet, or a line among its problems."""
    who = f"{marks.question_of(text.cell)}: {sheet.called(text)}"
    line = lines[0]
    if any(other != line for other in lines):
        sheet.problems.append(f"{who} has several rows, which differ: nothing of them is taken")
        return
    try:
        entry = entry_of(line, text, rubric)
    except ValueError as error:
        sheet.problems.append(f"{who}: {error}: nothing of this row is taken")
        return
    if line["row"] == text.version:
        sheet.entries[text.row] = entry
    else:
        sheet.old[text.row] = entry
        why = "the text has changed since the sheet was written"
        sheet.problems.append(f"{who}: {why}: make texts writes it again")


def lines_of(table: Table, path: Path) -> Iterator[Line]:
    """The rows of a sheet, as typed, by the names of its columns."""
    places = {name: column(table, name, path) for name in ("row", "points", "codes", "comment")}
    for cells in table.rows.values.tolist():
        line = {name: typed(cells[n]) for name, n in places.items()}
        if any(line.values()):
            yield line


def entry_of(line: Line, text: Text, rubric: dict[str, Code]) -> Entry:
    """What stands in a row; ValueError if it can't be taken."""
    points = number(line["points"])
    if points is None and line["points"]:
        raise ValueError(f"{line['points']!r} is no number of points")
    codes = tuple(dict.fromkeys(re.findall(r"[^\s,;]+", line["codes"].casefold())))
    for code in codes:
        if code not in rubric:
            raise ValueError(f"{code!r} is no code of {FILE}")
    entry = Entry(points, codes, line["comment"])
    worth = entry.worth(rubric)
    if worth is not None and not 0 <= worth <= text.most:
        raise ValueError(f"{worth:g} points, and there are 0 to {text.most:g}")
    return entry


def missing(cell: str, texts: list[Text], sheet: Sheet) -> Iterator[str]:
    """Whose row is not there, and whose text still waits."""
    question = marks.question_of(cell)
    written = [text for text in texts if text.text]
    gone = [sheet.called(text) for text in written if text.row not in sheet.rows]
    waiting = [sheet.called(text) for text in written if text.waits]
    if gone:
        remedy = "make texts writes it again; what was given stays"
        yield f"{question}: no row in the sheet for {', '.join(gone)}: {remedy}"
    if waiting:
        count = f"{len(waiting)} of {len(written)} texts have no points yet"
        yield f"{question}: {count}: {', '.join(waiting)}"


# Write ---------------------------------------------------------------------------------------------------------------
def write(course: Path, anonymous: bool) -> list[str]:
    """Take what the sheets say, and write them again with all texts; returns what has to be said.

    Refused if nothing is graded yet, or a sheet that is there can't be read.
    """
    if not marks.known(course):
        raise Refused("nothing is graded yet: make grade SUBMISSIONS=folder")
    (course / FOLDER).mkdir(exist_ok=True)
    if not (course / FOLDER / FILE).exists():
        shutil.copy(Path(__file__).with_name(FILE), course / FOLDER / FILE)
    lines = take(course)
    before = write_sheets(course, anonymous)
    return lines + [f"{path}: the sheet as it was" for path in before]


def write_sheets(
    course: Path, anonymous: bool, reset: frozenset[str] | set[str] = frozenset()
) -> list[Path]:
    """Write a sheet and a page for each text question; the rows in `reset` get what the gradebook has.

    Returns where the sheets of before lie of which not all is in the new ones.
    """
    rubric, copies = read_rubric(course / FOLDER / FILE), []
    for cell, texts in texts_of(course).items():
        path = sheet_of(course, cell)
        before = read_sheet(path, texts, rubric) if path.exists() else None
        ordered, alike = in_order(texts)
        rows = []
        for text, share in zip(ordered, alike, strict=True):
            entry, note = filled(text, None if text.row in reset else before)
            rows.append(row_of(text, share, entry, note, anonymous))
        if before:
            copy = shutil.copy(path, path.with_name(f"{cell}-before.csv"))
            copies += [Path(copy)] if before.problems else []
        write_table(path, HEADER, rows, separator_of(path))
        page = page_of(course, cell, ordered, alike, rubric, anonymous)
        write_text(path.with_suffix(".html"), page)
    return copies


def separator_of(path: Path) -> str:
    """What a sheet has between its cells: where a comma is a decimal sign, Excel wants it to stay."""
    return read_table(path).separator if path.exists() else ","


def forget(course: Path) -> None:
    """Write the sheets again after somebody is gone; nothing of before stays."""
    folder, sheets = course / FOLDER, []
    for path in folder.glob("*.csv"):
        if path.name.endswith("-before.csv"):
            path.unlink()
        elif path.name != FILE:
            sheets.append(path)
    if marks.known(course) and sheets:
        table = read_table(sheets[0])
        write_sheets(course, not table.rows[column(table, "student", sheets[0])].any())
        for path in folder.glob("*-before.csv"):
            path.unlink()
    else:
        shutil.rmtree(folder, ignore_errors=True)


def filled(text: Text, before: Sheet | None) -> tuple[Entry, str]:
    """(what stands in the row of a text, a note)."""
    entry = before.entries.get(text.row) if before else None
    old = before.old.get(text.row) if before else None
    if old:
        given = f"{old.points:g} " if old.points is not None else ""
        return Entry(
            None, (), ""
        ), f"changed; before: {given}{' '.join(old.codes)} {old.comment}".strip()
    if text.waits and text.points is not None and not entry:
        return Entry(None, (), ""), f"changed since it was given {text.points:g}"
    if entry and entry != Entry(None, (), ""):
        return entry, ""
    return Entry(text.points, (), text.comment), "" if text.text else "no text"


def row_of(text: Text, share: float, entry: Entry, note: str, anonymous: bool) -> list[str]:
    """A line of a sheet."""
    name = "" if anonymous else safe(text.name)
    points = "" if entry.points is None else f"{entry.points:g}"
    alike = f"{share:.2f}" if share else ""
    written = PICTURE.sub("[picture]", text.text)
    if len(written) > MOST_CELL:
        written, note = written[:MOST_CELL], f"{note} the whole text is on the page".strip()
    cells = [name, alike, safe(written), f"{text.most:g}", points]
    cells += [" ".join(entry.codes), safe(entry.comment), safe(note)]
    return [f"{text.row}-{text.version}", *cells]


def in_order(texts: list[Text]) -> tuple[list[Text], list[float]]:
    """(the texts so that neighbours are alike, how alike each is to the one before it); who wrote none comes last."""
    written = sorted((text for text in texts if text.text), key=lambda text: text.row)
    ordered: list[Text] = []
    alike: list[float] = []
    for start in range(0, len(written), MOST_ALIKE):
        some = written[start : start + MOST_ALIKE]
        likeness = likenesses([text.text for text in some])
        order = leaves(likeness)
        ordered += [some[place] for place in order]
        alike += [0.0, *(float(likeness[a, b]) for a, b in itertools.pairwise(order))]
    empty = sorted((text for text in texts if not text.text), key=lambda text: text.row)
    return ordered + empty, alike + [0.0] * len(empty)


def likenesses(texts: list[str]) -> np.ndarray:
    """How alike texts are, by MEASURE: (N, N), from 0 to 1."""
    pieces = TfidfVectorizer(analyzer="char_wb", ngram_range=(3, 5), sublinear_tf=True)
    try:
        counts = pieces.fit_transform([PICTURE.sub(" ", text) for text in texts])
    except ValueError:  # no text has a piece
        return np.eye(len(texts))
    return np.clip((counts @ counts.T).toarray(), 0, 1)


def leaves(likeness: np.ndarray) -> list[int]:
    """The order of texts in a tree of those that are alike."""
    if len(likeness) < 3:
        return list(range(len(likeness)))
    distance = 1 - likeness
    np.fill_diagonal(distance, 0)
    best = len(likeness) <= MOST_OPTIMAL
    tree = linkage(squareform(distance, checks=False), "average", optimal_ordering=best)
    return [int(place) for place in leaves_list(tree)]


# The page ------------------------------------------------------------------------------------------------------------
def page_of(
    course: Path,
    cell: str,
    texts: list[Text],
    alike: list[float],
    rubric: dict[str, Code],
    anonymous: bool,
) -> str:
    """A page with all texts of a question, in the order of its sheet."""
    title = html.escape(marks.question_of(cell))
    parts = [PAGE.format(title=title), f"<h1>{title}</h1>"]
    parts.append(f'<div class="text">{html.escape(question_before(course, cell))}</div>')
    codes = "".join(
        f"<tr><th>{html.escape(name)}</th><td>{code.points:g}</td><td>{html.escape(code.sentence)}</td></tr>"
        for name, code in rubric.items()
    )
    parts.append(f"<details><summary>Codes of {FILE}</summary><table>{codes}</table></details>")
    parts.append(f"<p>Alike texts follow each other. Measure: {MEASURE}.</p>")
    for text, share in zip(texts, alike, strict=True):
        if text.text:
            parts.append(article(text, share, anonymous))
    empty = [text.row if anonymous else text.name for text in texts if not text.text]
    if empty:
        parts.append(f"<p>No text: {html.escape(', '.join(empty))}.</p>")
    return "\n".join([*parts, "</main></html>"])


def question_before(course: Path, cell: str) -> str:
    """What the hand-out asks above an answer."""
    for book in marks.pages_in(course / "release" / ASSIGNMENT).values():
        for before, each in zip(book.cells, book.cells[1:], strict=False):
            if each.id == cell:
                return str(before.source)
    return ""


def article(text: Text, share: float, anonymous: bool) -> str:
    """A text with its row's code."""
    name = "" if anonymous else f" {text.name}"
    alike = f", {share:.2f} like the one above" if share else ""
    title = html.escape(f"{text.row}-{text.version}{name}{alike}")
    return f'<article><h2>{title}</h2><div class="text">{shown(text.text)}</div></article>'


def shown(text: str) -> str:
    """A text as it was typed, with its pictures."""
    parts, end = [], 0
    for match in PICTURE.finditer(text):
        source = re.sub(r"\s", "", match[0])
        parts += [html.escape(text[end : match.start()]), f'<img alt="" src="{source}">']
        end = match.end()
    return "".join([*parts, html.escape(text[end:])])
