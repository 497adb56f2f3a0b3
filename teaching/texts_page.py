"""A page to read for each text question, in the order of its sheet."""

import html
import re
from pathlib import Path
from typing import NamedTuple

from teaching import marks
from teaching.cleaning import PICTURE
from teaching.handout import ASSIGNMENT
from teaching.likeness import MEASURE
from teaching.rubric import FILE, Code

PAGE = """<!DOCTYPE html><html lang="en"><meta charset="utf-8"><title>{title}</title>
<style>body {{ font: 16px/1.5 sans-serif; max-width: 46rem; margin: 2rem auto; padding: 0 1rem; color: #222 }}
td, th {{ padding: .1rem .6rem; vertical-align: top; text-align: left }}
.text {{ white-space: pre-wrap; overflow-wrap: anywhere }} img {{ max-width: 100% }}
article {{ border-top: 1px solid #999; margin-top: 1.5rem }} h2 {{ font-size: 1rem }}</style><main>"""


class Shown(NamedTuple):
    """A text on a page.

    Attributes:
        row: the code of its row in the sheet.
        who: its student; "" if that is nobody's business.
        text: what was written; "" for nothing.
        alike: how alike it is to the one above it, from 0 to 1.
    """

    row: str
    who: str
    text: str
    alike: float


def page_of(course: Path, cell: str, texts: list[Shown], rubric: dict[str, Code]) -> str:
    """A page with all texts of a question."""
    title = html.escape(marks.question_of(cell))
    question = html.escape(question_before(course, cell))
    parts = [
        PAGE.format(title=title),
        f"<h1>{title}</h1>",
        f'<div class="text">{question}</div>',
        f"<details><summary>Codes of {FILE}</summary>{codes_in(rubric)}</details>",
        f"<p>Alike texts follow each other. Measure: {MEASURE}.</p>",
    ]
    empty = []
    for each in texts:
        if each.text:
            parts.append(article(each))
        else:
            empty.append(each.who or each.row)
    if empty:
        parts.append(f"<p>No text: {html.escape(', '.join(empty))}.</p>")
    parts.append("</main></html>")
    return "\n".join(parts)


def codes_in(rubric: dict[str, Code]) -> str:
    """The codes as a table."""
    rows = []
    for name, code in rubric.items():
        sentence = f"<td>{code.points:g}</td><td>{html.escape(code.sentence)}</td>"
        rows.append(f"<tr><th>{html.escape(name)}</th>{sentence}</tr>")
    return f"<table>{''.join(rows)}</table>"


def question_before(course: Path, cell: str) -> str:
    """What the hand-out asks above an answer."""
    for book in marks.pages_in(course / "release" / ASSIGNMENT).values():
        for before, each in zip(book.cells, book.cells[1:], strict=False):
            if each.id == cell:
                return re.sub(r"(?<!\n)\n(?!\n)", " ", before.source)  # as Markdown has it
    return ""


def article(each: Shown) -> str:
    """A text with its row's code."""
    alike = f", {each.alike:.2f} like the one above" if each.alike else ""
    title = html.escape(f"{each.row} {each.who}{alike}")
    return f'<article><h2>{title}</h2><div class="text">{shown(each.text)}</div></article>'


def shown(text: str) -> str:
    """A text as it was typed, with its pictures."""
    parts, end = [], 0
    for match in PICTURE.finditer(text):
        source = re.sub(r"\s", "", match[0])
        parts += [html.escape(text[end : match.start()]), f'<img alt="" src="{source}">']
        end = match.end()
    return "".join([*parts, html.escape(text[end:])])
