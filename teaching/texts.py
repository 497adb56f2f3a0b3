"""Texts graded question by question: a spreadsheet and a page for each, which `make marks` reads back.

A row is found by its code, which stands for the student and for the text: sheets may be sorted, and saved by any
program. What the gradebook says otherwise is never replaced without a word.
"""

import hashlib
import re
import shutil
from collections import defaultdict
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from nbgrader.api import Grade, Gradebook

from coursework.files import write_text
from teaching import Refused, marks
from teaching.cells import STUB
from teaching.cleaning import PICTURE
from teaching.handout import ASSIGNMENT
from teaching.likeness import in_order
from teaching.rubric import FILE, Code, column, number, read_rubric, typed
from teaching.tables import Table, read_table, safe, write_table
from teaching.texts_page import Shown, page_of

FOLDER = "texts"
HEADER = ("row", "student", "alike", "text", "of", "points", "codes", "comment", "note")
LETTERS = (
    "bcdfghjkmnpqrstvwxyz"  # of codes: no spreadsheet takes them for a number, a date or a formula
)
CODE = re.compile(rf"([{LETTERS}]{{9}})-([{LETTERS}]{{4}})")
MOST_CELL = 30_000  # characters of a cell; Excel takes 32,767


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
    if not (course / FOLDER).exists():
        return []
    texts, sheets = texts_of(course), {}
    rubric = read_rubric(course / FOLDER / FILE)
    for cell, some in texts.items():
        if sheet_of(course, cell).exists():
            sheets[cell] = read_sheet(sheet_of(course, cell), some, rubric)
    lines: list[str] = []
    with marks.book(course) as gradebook:
        taken = Taken(course, gradebook, rubric, choice)
        for cell, sheet in sheets.items():
            lines += sheet.problems + taken.all_of(sheet, texts[cell])
        gradebook.db.commit()
    taken.remember()
    for cell, sheet in sheets.items():
        now = [taken.now.get((cell, text.who), text) for text in texts[cell]]
        lines += missing(cell, now, sheet)
    if choice == "gradebook" and taken.kept:
        write_sheets(course, all(sheet.hidden for sheet in sheets.values()), taken.kept)
    return lines


class Given(NamedTuple):
    """What a text is given."""

    points: float | None
    comment: str


class Taken:
    """Puts entries into the gradebook, and remembers which, so that a later change of a sheet is one."""

    def __init__(
        self, course: Path, gradebook: Gradebook, rubric: dict[str, Code], choice: str | None
    ):
        self.course, self.gradebook, self.rubric, self.choice = course, gradebook, rubric, choice
        self.facts = marks.known(course)
        self.kept: set[str] = set()  # the rows where the gradebook's points were chosen
        self.now: dict[tuple[str, str], Text] = {}  # what has been given, by cell and student

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
        worth, last = entry.worth(self.rubric), self.last(text)
        new = given_by(entry, text, last, self.rubric)
        same_points = text.waits or text.points in (None, last.points, new.points)
        same_comment = text.comment in ("", last.comment, new.comment)
        if self.choice == "sheet" or (same_points and same_comment):
            if new != last or new != (text.points, text.comment) or text.waits:
                self.put(text, new, done=worth is not None)
            return ""
        self.kept.add(text.row)
        if self.choice == "gradebook":
            return ""
        return comments_differ() if same_points else points_differ(text, new)

    def last(self, text: Text) -> Given:
        """What was taken from the sheet the last time."""
        taken = self.facts.get(text.who, {}).get("sheets", {})
        return Given(*taken.get(text.cell, (None, "")))

    def put(self, text: Text, new: Given, done: bool) -> None:
        """Write points and comment into the gradebook."""
        waits = not done and (text.waits or (new.points is None and bool(text.text)))
        self.now[text.cell, text.who] = text._replace(points=new.points, waits=waits)
        submission = self.gradebook.find_submission(ASSIGNMENT, text.who)
        for notebook in submission.notebooks:
            for grade in notebook.grades:
                if grade.name == text.cell:
                    grade.manual_score = new.points
                    grade.needs_manual_grade = waits
            for comment in notebook.comments:
                if comment.name == text.cell:
                    comment.manual_comment = new.comment or None
        known = self.facts.setdefault(text.who, {})
        known["sheets"] = known.get("sheets", {}) | {text.cell: list(new)}

    def remember(self) -> None:
        """Write down what was taken."""
        marks.write_known(self.course, self.facts)


def given_by(entry: Entry, text: Text, last: Given, rubric: dict[str, Code]) -> Given:
    """What a text is given by its row; what is empty says nothing, or takes back what the sheet has said before."""
    points, comment = entry.worth(rubric), entry.said(rubric)
    if points is None and (text.waits or text.points != last.points):
        points = text.points
    if not comment and (text.waits or text.comment != last.comment):
        comment = text.comment
    return Given(points, comment)


REMEDY = "nothing is replaced; TEXTS=sheet or TEXTS=gradebook says which counts"


def points_differ(text: Text, new: Given) -> str:
    """How a sheet differs from the gradebook, and what to do."""
    return f"the sheet says {new.points:g}, the gradebook {text.points:g}: {REMEDY}"


def comments_differ() -> str:
    """The same of comments."""
    return f"the sheet and the gradebook have different comments: {REMEDY}"


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


def write_sheets(course: Path, anonymous: bool, reset: Collection[str] = ()) -> list[Path]:
    """Write a sheet and a page for each text question; the rows in `reset` get what the gradebook has.

    Returns where the sheets of before lie of which not all is in the new ones.
    """
    rubric, copies = read_rubric(course / FOLDER / FILE), []
    for cell, texts in texts_of(course).items():
        path = sheet_of(course, cell)
        before = read_sheet(path, texts, rubric) if path.exists() else None
        rows, seen = [], []
        for text, alike in ordered(texts):
            entry, note = filled(text, None if text.row in reset else before)
            name = "" if anonymous else text.name
            shown = Shown(f"{text.row}-{text.version}", name, text.text, alike)
            seen.append(shown)
            rows.append(row_of(text, shown, entry, note))
        if before:
            copy = shutil.copy(path, path.with_name(f"{cell}-before.csv"))
            copies += [Path(copy)] if before.problems else []
        write_table(path, HEADER, rows, separator_of(path))
        write_text(path.with_suffix(".html"), page_of(course, cell, seen, rubric))
    return copies


def ordered(texts: list[Text]) -> Iterator[tuple[Text, float]]:
    """(text, how alike it is to the one before it), alike ones together; who wrote none comes last."""
    by_code = sorted(texts, key=lambda text: text.row)  # whatever their names are
    written = [text for text in by_code if text.text]
    order, alike = in_order([text.text for text in written])
    for place, share in zip(order, alike, strict=True):
        yield written[place], share
    for text in by_code:
        if not text.text:
            yield text, 0.0


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


def shortest(value: float) -> str:
    """A number as it is typed, and no other number."""
    text = f"{value:g}"
    return text if float(text) == value else repr(value)


def row_of(text: Text, shown: Shown, entry: Entry, note: str) -> list[str]:
    """A line of a sheet."""
    written = PICTURE.sub("[picture]", text.text)
    if len(written) > MOST_CELL:
        written = written[:MOST_CELL]
        note = f"{note} the whole text is on the page".strip()
    cells = {
        "row": shown.row,
        "student": shown.who,
        "alike": f"{shown.alike:.2f}" if shown.alike else "",
        "text": written,
        "of": f"{text.most:g}",
        "points": "" if entry.points is None else shortest(entry.points),
        "codes": " ".join(entry.codes),
        "comment": entry.comment,
        "note": note,
    }
    return [safe(cells[name]) for name in HEADER]
