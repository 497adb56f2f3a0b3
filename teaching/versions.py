"""Which of a student's files is which notebook, and which of several versions counts.

Finished beats noted: what counts is the number of answers in their places. Of two with as many the newer one counts.
"""

import ast
import functools
import itertools
import warnings
from collections.abc import Iterable
from typing import NamedTuple

from nbformat import NotebookNode, from_dict
from nbformat.warnings import DuplicateCellId
from nbgrader.utils import is_solution

from teaching.archives import File, date
from teaching.cells import STUB, names_in, nodes, plain, read
from teaching.handout import NAMES, UNGRADED, answer_names
from teaching.people import is_state
from teaching.submissions import Submission

warnings.simplefilter("ignore", DuplicateCellId)  # of notebooks that were put together by hand
OUR_OWN = ("coursework/", "helpers.py", "requirements", "README.md")  # comes back with the hand-out
PROSE = (
    ".pdf",
    ".doc",
    ".docx",
    ".odt",
    ".rtf",
    ".tex",
    ".txt",
    ".md",
    ".html",
    ".htm",
    ".pages",
    ".jpg",
    ".jpeg",
    ".png",
)
MOST_NOTED = 5  # files that a note names
FEW = 3  # cells of ours from which on a notebook is one of ours without any answer


class Known:
    """By what a notebook of the hand-out is recognised: its cells and answers that no other one has."""

    def __init__(self, handouts: dict[str, NotebookNode], name: str):
        cells = handouts[name].cells
        elsewhere: set[str] = set()
        for other, book in handouts.items():
            if other != name:
                elsewhere |= {cell.id for cell in book.cells}
                elsewhere |= {plain(cell.source) for cell in book.cells}
        texts = {plain(cell.source): cell.id for cell in cells}
        self.given = set(texts)
        self.ids = {cell.id for cell in cells} - elsewhere
        self.texts = {text: name for text, name in texts.items() if text not in elsewhere}
        self.answers = set(answer_names(handouts[name]))
        self.questions = {
            cell.id for cell in cells if cell.cell_type == "markdown" and is_solution(cell)
        }
        self.asked_in: dict[str, str] = {}  # from the text of a question to its answer's cell
        for before, cell in itertools.pairwise(cells):
            if cell.id in self.questions:
                self.asked_in[plain(before.source)] = cell.id

    def name_of(self, cell: NotebookNode) -> str | None:
        """The name of the cell of this notebook alone that a cell is, by its id or by its text."""
        named = [name for name in ids_of(cell) if name in self.ids]
        return named[0] if named else self.texts.get(plain(cell.source))


class Work(NamedTuple):
    """What of a notebook of the hand-out stands in a file."""

    cells: int  # of ours
    answers: int  # values of ours that were given, and texts in their places
    texts: int  # of these, texts


class Version(NamedTuple):
    """A file that may be a notebook of the hand-out, in the order in which versions count."""

    sure: bool  # it has answers, and is this notebook rather than another one
    answers: int
    when: tuple[int, ...]
    finished: bool  # nothing in its path says that it is a draft
    depth: int  # the less deep, the higher
    file: File
    notebook: NotebookNode


def known_of(handouts: dict[str, NotebookNode]) -> dict[str, Known]:
    """Known of each notebook of the hand-out."""
    return {name: Known(handouts, name) for name in handouts}


def notebook_in(file: File) -> NotebookNode | None:
    """The notebook in a file, whatever it is called; None if it is none. ValueError if it looks like one."""
    with file.open() as content:
        start = content.read(400)
    wide = start.startswith((b"\xff\xfe", b"\xfe\xff"))
    text = start.decode("utf-16" if wide else "utf-8-sig", "replace").strip()
    promised = ".ipynb" in file.parts[-1].lower()
    if not promised and not text.startswith("{"):
        return None
    raw = file.read()
    if not raw.strip():
        raise ValueError("an empty file")
    try:
        notebook = read(raw.decode("utf-16") if wide else raw)
    except Exception:  # anything at all may be wrong with a file from outside
        if promised or b'"nbformat"' in raw:
            raise
        return None
    return notebook


def work_in(notebook: NotebookNode, known: Known) -> Work:
    """How much of a notebook of the hand-out stands in another one."""
    cells, values, texts = set[str](), set[str](), set[str]()
    question = None  # whose answer the next text is
    for cell in notebook.cells:
        text = plain(cell.source)
        name = known.name_of(cell)
        answered = name if name in known.questions else question if name is None else None
        if answered and cell.cell_type != "code":
            texts |= {answered} if text.replace(STUB, "").strip() else set()
        elif text not in known.given:
            values |= given_in(cell.source)
        cells |= {name} if name else set()
        question = known.asked_in.get(text, question if name is None else None)
    answers = len(values & known.answers)
    return Work(len(cells), answers + len(texts), len(texts))


def works_in(notebook: NotebookNode, known: dict[str, Known]) -> dict[str, Work]:
    """How much of each notebook of the hand-out stands in another one; nothing in one of ours without points."""
    works = {name: work_in(notebook, book) for name, book in known.items()}
    if is_ungraded(notebook) and all(work.cells < FEW for work in works.values()):
        return dict.fromkeys(known, Work(0, 0, 0))
    return works


def is_ungraded(notebook: NotebookNode) -> bool:
    """Is a notebook without points in it?"""
    return sum(not ungraded_cells().isdisjoint(ids_of(cell)) for cell in notebook.cells) >= FEW


@functools.cache
def ungraded_cells() -> set[str]:
    """The names of the cells of all notebooks without points."""
    books = [read(path.read_bytes()) for path in UNGRADED]
    return {cell.id for book in books for cell in book.cells}


def ids_of(cell: NotebookNode) -> Iterable[str]:
    """The names that a cell may have from the hand-out."""
    nbgrader = cell.metadata.get("nbgrader") or {}
    return [
        str(name)
        for name in (
            nbgrader.get("grade_id") if isinstance(nbgrader, dict) else None,
            cell.get("id"),
        )
    ]


def given_in(source: str) -> set[str]:
    """The names that get a value in a piece of Python; `...` and None are none."""
    stored = set(names_in(source, ast.Store))
    for node in nodes(source) if stored else []:
        if isinstance(node, ast.Assign) and is_blank(node.value):
            stored -= {target.id for target in node.targets if isinstance(target, ast.Name)}
    return stored


def is_blank(value: ast.expr) -> bool:
    """Does an expression stand for no answer?"""
    return isinstance(value, ast.Constant) and value.value in (None, ...)


def held(works: dict[str, Work]) -> list[str]:
    """The notebooks of which a file holds something: it may be all of them in one."""
    return [name for name, work in works.items() if work.cells >= FEW or work.answers]


def alone(notebook: NotebookNode, name: str, known: dict[str, Known]) -> NotebookNode:
    """One notebook of several in a file: their code may need each other, their texts would be taken for answers."""
    cells = [
        cell
        for cell in notebook.cells
        if cell.cell_type == "code"
        or not any(book.name_of(cell) for other, book in known.items() if other != name)
    ]
    return from_dict({**notebook, "cells": [dict(cell) for cell in cells]})


class Shelf:
    """A student's files, sorted by notebook."""

    def __init__(self, submission: Submission, known: dict[str, Known]):
        self.submission, self.known = submission, known
        self.versions: dict[str, list[Version]] = {name: [] for name in known}
        self.strangers: dict[str, list[Version]] = {name: [] for name in known}
        self.broken: dict[str, str] = {}  # from a file's name to what is wrong with it
        self.others: list[str] = []
        for file in submission.work:
            self.sort(file, submission.names[file.path])

    def sort(self, file: File, name: str) -> None:
        """Put a file where it belongs."""
        try:
            notebook = notebook_in(file)
            works = works_in(notebook, self.known) if notebook else {}
        except Exception as error:  # anything at all may be wrong with a file from outside
            locked = "locked with a password" if "encrypted" in str(error) else type(error).__name__
            said = str(error) if type(error) is ValueError else locked
            self.broken[name] = self.submission.problems[file.path] = (
                f"no readable notebook ({said})"
            )
            return
        if notebook is None:
            self.others.append(name)
            return
        main = max(works, key=lambda book: works[book])
        called = next((book for book in self.known if book.lower() in name.lower()), None)
        for book in held(works):
            cells = alone(notebook, book, self.known) if len(held(works)) > 1 else notebook
            is_main = book == main or works[book].cells >= FEW
            self.versions[book].append(version(file, name, cells, works[book].answers, is_main))
        if not held(works) and not is_ungraded(notebook):
            what = "nothing of ours is in it" if notebook.cells else "it has no cells"
            self.broken[name] = self.submission.problems[file.path] = what
            if called and notebook.cells:
                self.strangers[called].append(version(file, name, notebook, 0, False))


def version(file: File, name: str, notebook: NotebookNode, answers: int, is_main: bool) -> Version:
    """A file as one of several."""
    folders = name.split("/")[:-1]
    finished = not any(map(is_draft, [*folders, file.parts[-1]]))
    return Version(
        is_main and answers > 0, answers, file.when, finished, -len(folders), file, notebook
    )


def is_draft(name: str) -> bool:
    """Does a name of a file or folder say that it is no final version?"""
    words = name.casefold().replace("_", " ").replace("-", " ").split()
    return is_state(name) and any(
        word in ("draft", "drafts", "old", "backup", "copy", "entwurf") for word in words
    )


def notebooks_of(
    submission: Submission, handouts: dict[str, NotebookNode], known: dict[str, Known] | None = None
) -> tuple[dict[str, NotebookNode], list[str]]:
    """dict from notebook to what counts as it, and a list of notes.

    Which notebook a file is, its cells and answers say; if none does, its name.
    """
    known = known or known_of(handouts)
    shelf = Shelf(submission, known)
    taken: dict[str, NotebookNode] = {}
    notes = list(submission.trouble)
    submission.counts.clear()
    submission.written = set()
    for name, versions in shelf.versions.items():
        found = sorted(
            versions or shelf.strangers[name], key=lambda version: version[:5], reverse=True
        )
        if found:
            taken[name] = found[0].notebook
            submission.written |= names_written(found[0].notebook)
            submission.counts.setdefault(found[0].file.path, []).append(name)
            notes += choice(name, found, submission, sure=bool(versions))
        else:
            notes.append(missing(name, shelf))
    for file in (version.file.path for found in shelf.versions.values() for version in found):
        if file not in submission.counts:
            submission.problems[file] = "another version counts"
    asked = sum(len(book.questions) for book in known.values())
    written = sum(work_in(taken[name], known[name]).texts for name in taken)
    prose = [name for name in shelf.others if name.lower().endswith(PROSE) and not is_ours(name)]
    if prose and written < asked and len(taken) == len(known):
        notes.append(
            f"not read, though a text is missing: {', '.join(map(repr, prose[:MOST_NOTED]))}"
        )
    return taken, notes


def names_written(notebook: NotebookNode) -> set[str]:
    """The names that a student has filled in: `student = "Kim Lee"`."""
    found = set[str]()
    for cell in notebook.cells:
        lines = nodes(cell.source) if cell.cell_type == "code" and "student" in cell.source else []
        for line in lines:
            if isinstance(line, ast.Assign) and ast.unparse(line.targets[0]) == "student":
                value = getattr(line.value, "value", None)
                found |= {value} if isinstance(value, str) else set()
    return found


def choice(name: str, found: list[Version], submission: Submission, sure: bool) -> list[str]:
    """A note on what counts, if there was a choice or a doubt."""
    best, *older = found
    file = submission.names[best.file.path]
    if not sure:
        return [f"{name}: {file!r} is taken, though nothing of ours is in it"]
    older = [other for other in older if sources(other) != sources(best)]
    if not older:
        return []
    others = [
        f"not {submission.names[other.file.path]!r} ({facts(other)})"
        for other in older[:MOST_NOTED]
    ]
    if len(older) > MOST_NOTED:
        others.append(f"nor {len(older) - MOST_NOTED} more")
    return [f"{name}: {file!r} is taken ({facts(best)}), {', '.join(others)}"]


def sources(version: Version) -> list[str]:
    """What stands in the cells."""
    return [plain(cell.source) for cell in version.notebook.cells]


def facts(version: Version) -> str:
    """What decides between versions, for people."""
    answers = "1 answer" if version.answers == 1 else f"{version.answers} answers"
    return f"{answers}, {date(version.when)}" if version.when else answers


def missing(name: str, shelf: Shelf) -> str:
    """A note on a notebook that is not there, and on what is."""
    there = []
    for file, said in shelf.broken.items():
        called = [book for book in NAMES if book.lower() in file.lower()]
        if name in called or not called:
            there.append(f"{file!r} ({said})")
    there += [repr(file) for file in shelf.others if not is_ours(file)]
    note = f"{name} was not handed in"
    return f"{note}; there is {', '.join(there[:MOST_NOTED])}" if there else note


def is_ours(name: str) -> bool:
    """Is it a file of the hand-out, which comes back with it?"""
    return f"/{name}".rpartition("coursework/")[1] != "" or name.rpartition("/")[2].startswith(
        OUR_OWN
    )
