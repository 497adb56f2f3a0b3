"""What a person sees of a submission: the student's cells and outputs, then the checks and texts with points."""

import json
import uuid

import nbformat
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from nbgrader.utils import is_grade

from teaching import cleaning
from teaching.cells import STUB, is_prose, with_pictures

# Characters of a page that are cleaned; what follows is shown as it was typed.
MOST_CLEANED = 5_000_000


def page(ran: NotebookNode, checked: NotebookNode) -> NotebookNode:
    """The notebook that a person sees: the student's cells and outputs, then the checks and the texts with points."""
    cells = [as_seen(cell) for cell in ran.cells]
    cells.append(
        new_markdown_cell(
            "---\n# Points\n\nThe checks, on the values that stand above each of them."
        )
    )
    for cell in filter(is_grade, checked.cells):
        if "origin" in cell.metadata:
            cells.append(new_markdown_cell(origin_of(*cell.metadata.pop("origin"))))
        cells.append(cell)
    left = MOST_CLEANED
    for cell in cells:
        left -= clean(cell, left)
    notebook = new_notebook(cells=cells, metadata=checked.metadata)
    nbformat.writes(notebook).encode()  # what JSON can say, a file may not be able to hold
    return notebook


def as_seen(cell: NotebookNode) -> NotebookNode:
    """A cell of the student's as a page shows it: without metadata, pictures in the text, prose as text."""
    code = cell.cell_type == "code" and not is_prose(cell.source)
    source = cell.source if code else with_pictures(cell.source, cell.get("attachments", {}))
    seen = new_code_cell(source) if code else new_markdown_cell(source)
    seen.id = uuid.uuid4().hex[:12]
    if code:
        seen.outputs = cell.get("outputs", [])
    return seen


def origin_of(origin: str, shown: dict[str, str]) -> str:
    """Which values a check got, and from where, for its student."""
    values = [
        f"- `{name}` = `{value.replace('`', chr(39))}`"
        for name, value in shown.items()
        if value != "Ellipsis"
    ]
    return "\n".join([f"**Taken:** {origin}.", "", *values])


def clean(cell: NotebookNode, left: int) -> int:
    """Make a cell one that can only be looked at; returns how many characters that took."""
    before = len(json.dumps(cell))
    if before > left and not is_grade(cell):
        cell.source = cell.source[: cleaning.MOST_MARKDOWN]
        if cell.cell_type == "code":
            cell.outputs = [
                new_output("stream", text="[this page has grown too long: outputs are not shown]\n")
            ]
    if cell.cell_type == "code":
        cell.source = cell.source[: cleaning.MOST_SOURCE]
        cell.outputs = [cleaning.clean_output(output) for output in cell.outputs]
    elif cell.source != STUB:  # by which nbgrader knows that there is no answer
        cell.metadata["text"] = cell.source
        cell.source = cleaning.clean_markdown(cell.source)
    return before
