"""The table of what was handed in: every file, whose it is, why, which notebook, and what is wrong."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import nbformat

from teaching.archives import File
from teaching.cells import read
from teaching.handout import ASSIGNMENT, NAMES
from teaching.submissions import WHO, Collection, Submission, by_file_name
from teaching.tables import safe, write_table
from teaching.versions import Known, held, is_ours, known_of, notebook_in, notebooks_of, works_in

WIDEST = 90  # characters of a column on the screen
COLUMNS = ("file", "student", "number", "why", "notebook", "problem")


class Row(NamedTuple):
    """A file of the table."""

    file: str
    student: str
    number: str
    why: str
    notebook: str
    problem: str


class HandOut:
    """The hand-out's notebooks, and what they are recognised by."""

    def __init__(self, course: Path):
        release = course / "release" / ASSIGNMENT
        self.notebooks: dict[str, nbformat.NotebookNode] = {}
        for name in NAMES:
            self.notebooks[name] = read((release / f"{name}.ipynb").read_bytes())
        self.known: dict[str, Known] = known_of(self.notebooks)

    def which(self) -> Callable[[File], frozenset[str]]:
        """A function that says which notebooks a file holds, and reads each file once."""
        seen: dict[str, frozenset[str]] = {}

        def which(file: File) -> frozenset[str]:
            if file.path not in seen:
                seen[file.path] = self.notebooks_in(file)
            return seen[file.path]

        return which

    def notebooks_in(self, file: File) -> frozenset[str]:
        """The notebooks that a file holds; by its name, if nothing in it says so."""
        try:
            notebook = notebook_in(file)
        except Exception:  # anything at all may be wrong with a file from outside
            notebook = None
        if notebook is None:
            return by_file_name(file)
        return frozenset(held(works_in(notebook, self.known))) or by_file_name(file)


def rows_of(collection: Collection, handout: HandOut, left_out: dict[str, str]) -> list[Row]:
    """The table; `left_out` says why a student's hand-in is not graded."""
    rows: list[Row] = []
    for submission in collection.submissions:
        notebooks_of(submission, handout.notebooks, handout.known)
        rows += rows_of_one(submission, left_out.get(submission.key, ""))
    rows += [Row(file.path, "", "", "nobody's", "", "") for file in collection.nobodys]
    return sorted(rows)


def rows_of_one(submission: Submission, left_out: str) -> Iterator[Row]:
    """The rows of a student's files; the hand-out's own files come back with it, and are no work."""
    for file in submission.files:
        if is_ours(submission.names[file.path]):
            continue
        notebooks = " ".join(submission.counts.get(file.path, []))
        problem = file.trouble or submission.problems.get(file.path, "")
        said = "; ".join(filter(None, [problem, left_out]))
        owner = submission.owner
        yield Row(file.path, submission.name, submission.number, owner.why, notebooks, said)


def write(rows: list[Row], collection: Collection, path: Path) -> None:
    """Write the table as CSV, with what is not clear."""
    lines = []
    for row in rows:
        asked = [each for each in collection.unclear if f"{row.file}/".startswith(f"{each.path}/")]
        said = [f"{each.question} {WHO}: {each.line}" for each in asked]
        row = row._replace(problem="; ".join(filter(None, [row.problem, *said])))
        lines.append([safe(cell) for cell in row])
    write_table(path, COLUMNS, lines)


def show(rows: list[Row]) -> None:
    """Print the table."""
    lines = [COLUMNS, *([safe(cell) for cell in row] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        cells = (cell.ljust(min(width, WIDEST)) for cell, width in zip(line, widths, strict=True))
        print("  ".join(cells).rstrip())


def ask(collection: Collection, place: Path) -> str:
    """What the teacher has to decide, and how."""
    path = (place if place.is_dir() else place.parent) / WHO
    lines = [f"{len(collection.unclear)} questions; nothing is graded until they are answered."]
    lines += [f"  {unclear.path}: {unclear.question}" for unclear in collection.unclear]
    lines += [
        f"Answer them in {path}, a table that you keep. As it could look; change the second column where needed:"
    ]
    header = (
        "file,student,group"
        if any(unclear.line.count(",") > 1 for unclear in collection.unclear)
        else "file,student"
    )
    lines += [
        "  " + line
        for line in (
            *([] if path.exists() else [header]),
            *(each.line for each in collection.unclear),
        )
    ]
    return "\n".join(lines)
