"""Whose cell is it, and what does it say? An editor may have changed everything about a cell."""

import ast
import contextlib
import re
from collections.abc import Iterable, Iterator
from urllib.parse import unquote

import nbformat
from IPython.core.inputtransformer2 import TransformerManager
from nbformat import NotebookNode
from nbgrader.utils import is_grade, is_solution

STUB = "Not answered yet."
PROSE = 5  # words that make a text of a comment, or of code that is none
LONG = 8  # words of a string in code that may be an answer
WORDS = re.compile(r"%%(markdown|html|latex)\b.*\n")
CELL_MAGIC = re.compile(r"\s*%%\w+.*\n")


def read(text: bytes | str) -> NotebookNode:
    """A notebook of any version from text or bytes; an error of any type if it is none."""
    notebook = nbformat.reads(
        text.decode("utf-8-sig") if isinstance(text, bytes) else text, as_version=4
    )
    for cell in notebook.cells:
        cell.source = str(cell.source).replace("\r\n", "\n")
        cell.metadata = cell.metadata if isinstance(cell.metadata, dict) else NotebookNode()
        if cell.cell_type == "code":
            cell.outputs = []
    nbformat.writes(notebook).encode()  # what JSON can say, a file may not be able to hold
    return notebook


def plain(text: str) -> str:
    """A text without the differences that nobody sees."""
    return " ".join(text.split())


def name_of(cell: NotebookNode, handout: NotebookNode) -> str | None:
    """The id of the hand-out's cell that this one is, or was before it was changed; None for the student's own."""
    known = {mine.id: plain(mine.source) for mine in handout.cells}
    for name in ((cell.metadata.get("nbgrader") or {}).get("grade_id"), cell.get("id")):
        if name in known:
            return name
    text = plain(cell.source)
    return next((name for name, mine in known.items() if mine == text), None)


# Code ----------------------------------------------------------------------------------------------------------------
def tree(source: str) -> ast.Module | None:
    """A piece of Python with IPython's magics in it, read as IPython reads it; None if it is none."""
    source = CELL_MAGIC.sub("", source, count=1) if CELL_MAGIC.match(source) else source
    with contextlib.suppress(Exception, RecursionError, MemoryError):
        return ast.parse(TransformerManager().transform_cell(source))
    return None


def nodes(source: str) -> list[ast.AST]:
    """The parts of a piece of Python; none if it is none."""
    found = tree(source)
    with contextlib.suppress(RecursionError):
        return list(ast.walk(found)) if found else []
    return []


def names_in(source: str, kind: type[ast.expr_context]) -> list[str]:
    """The names that a piece of Python stores (kind: ast.Store; definitions too) or loads (ast.Load), in order."""
    parts = nodes(source)
    found = [node.id for node in parts if isinstance(node, ast.Name) and isinstance(node.ctx, kind)]
    if kind is ast.Store:
        found += [node.name for node in parts if isinstance(node, (ast.FunctionDef, ast.ClassDef))]
        found += [
            (node.asname or node.name).split(".")[0]
            for node in parts
            if isinstance(node, ast.alias)
        ]
    return list(dict.fromkeys(found))


def with_parameters(source: str, **values: object) -> str:
    """The source of the parameters' cell with these values, where it has them; None leaves one as it is."""
    for name, value in values.items():
        if value is not None:
            new = f"{name} = {value!r}"
            source = re.sub(rf"^{name} = .*$", lambda _, new=new: new, source, flags=re.M)  # type: ignore[misc]
    return source


# Words ---------------------------------------------------------------------------------------------------------------
def count_words(text: str) -> int:
    """How many words a text has; a sign of a script without blanks counts as one."""
    runs = re.findall(r"[^\W\d_]+", text)
    return sum(len(run) if run[0] >= "\u2e80" else 1 for run in runs)


def is_prose(text: str) -> bool:
    """Is this a sentence, and not a line of code that lacks a bracket?"""
    words, signs = count_words(text), len(re.findall(r"[=()\[\]{}<>_#@*/\\+]", text))
    return words >= PROSE and signs <= words / 2 and tree(text) is None


# What tools write into a notebook, and what says who handed it in.
LINKS = r"colab\.research\.google|colab-badge|deepnote|mybinder|kaggle\.com|open in (vs ?code|colab)|view in colab"
TOOLS = re.compile(
    rf"({LINKS}|(created|generated|made|exported|converted) (in|with|by|from|using) \w+)", re.I
)
LABELS = r"(full |first |last |student'?s? )?names?|students?|authors?|date|group|team"
LABELS += r"|((student|matri\w*) )?(id|number|no\.?)|matri\w*"
LABELS += r"|course|class|e-?mail|tutor|teacher|version|last (updated|modified|edited)|due"
LABELS += r"|semester|university|assignment"
LABEL = re.compile(rf"^\W*({LABELS})\W*:.{{0,80}}$", re.I)
HEADING = re.compile(r"^\s*(#{1,6}\s|<h\d)")


def own_lines(text: str) -> str:
    """A text without the lines that tools write, and those that say who the student is; a heading alone is none."""
    text = re.sub(r"<!--.*?-->", "", text, flags=re.S)
    lines = [line for line in text.split("\n") if not LABEL.match(line)]
    lines = [
        line
        for line in lines
        if not (TOOLS.search(line) and count_words(re.sub(r"<.*?>|\(.*?\)", "", line)) < 10)
    ]
    said = [
        line
        for line in lines
        if line.strip() and not (HEADING.match(line) and count_words(line) < PROSE)
    ]
    return "\n".join(lines).strip() if any(re.search(r"\w|!\[", line) for line in said) else ""


def comments_in(source: str) -> list[str]:
    """The comments of a piece of code that are sentences: lines of their own, taken together where they follow."""
    blocks = re.findall(r"(?:^[ \t]*#[^\n]*(?:\n|$))+", source, flags=re.M)
    texts = [re.sub(r"^[ \t]*#+ ?", "", block, flags=re.M).strip() for block in blocks]
    return [text for text in texts if is_prose(text)]


def strings_in(source: str) -> list[str]:
    """The strings of a piece of code that are long enough to be an answer."""
    values = [node.value for node in nodes(source) if isinstance(node, ast.Constant)]
    return [value for value in values if isinstance(value, str) and count_words(value) >= LONG]


def given_source(name: str | None, handout: NotebookNode) -> str:
    """What the hand-out has in the cell of this name."""
    return next((mine.source for mine in handout.cells if mine.id == name), "")


def own_words(cell: NotebookNode, name: str | None, handout: NotebookNode) -> str:
    """What of a cell is the student's own text.

    In a code cell that is %%markdown, a string or comments alone, and what is no Python but sentences.
    """
    source = cell.source.replace(STUB, "").strip()
    given = given_source(name, handout).strip()
    if name is not None and is_code(name, handout) and plain(source) == plain(given):
        return ""
    if name is not None:
        source = source.replace(given, "").strip() if given else source
    if cell.cell_type != "code":
        return own_lines(source)
    if WORDS.match(source):
        return WORDS.sub("", source)
    parts = nodes(source)
    if len(parts) == 1:  # comments alone
        return "\n\n".join(comments_in(source))
    if parts and all(isinstance(part, (ast.Module, ast.Expr, ast.Constant)) for part in parts):
        return own_lines(source) if any(map(str.isalpha, source)) else ""
    return source if is_prose(source) else ""


def is_code(name: str, handout: NotebookNode) -> bool:
    """Is the hand-out's cell of this name one of code?"""
    return any(mine.id == name and mine.cell_type == "code" for mine in handout.cells)


# Answers in words ----------------------------------------------------------------------------------------------------
def questions_in_words(handout: NotebookNode) -> list[str]:
    """The names of the cells that take a text for an answer, in order."""
    return [
        cell.id
        for cell in handout.cells
        if cell.cell_type == "markdown" and is_solution(cell) and is_grade(cell)
    ]


def texts_in_places(
    notebook: NotebookNode, handout: NotebookNode
) -> tuple[dict[str, list[str]], dict[str, list[str]], list[str]]:
    """What the student wrote: (texts by question, comments below code by question, texts in cells of their own).

    What stands in the answer's cell (or in a copy), in the question's, or between them and the next cell of the
    hand-out, belongs to the question.
    """
    texts: dict[str, list[str]] = {name: [] for name in questions_in_words(handout)}
    comments: dict[str, list[str]] = {name: [] for name in texts}
    places, elsewhere, place = dict(answer_places(handout, texts)), [], None
    for cell in notebook.cells:
        name = name_of(cell, handout)
        place = places.get(name) if name else place
        text = with_pictures(own_words(cell, name, handout), cell.get("attachments", {}))
        beside = [] if text or cell.cell_type != "code" else own_comments(cell, name, handout)
        if place:
            texts[place] += [text] if text else []
            comments[place] += beside
        if name is None or not place:
            elsewhere += [text] if text else beside
        if name is None and not text and not beside:
            elsewhere += strings_in(cell.source)
    return texts, comments, elsewhere


def own_comments(cell: NotebookNode, name: str | None, handout: NotebookNode) -> list[str]:
    """The comments of a code cell that the hand-out does not have."""
    given = plain(given_source(name, handout))
    return [text for text in comments_in(cell.source) if plain(text) not in given]


def answer_places(handout: NotebookNode, answers: Iterable[str]) -> Iterator[tuple[str, str]]:
    """(name of a cell, name of the answer that belongs there): the answer's own cell and the question's above it."""
    for before, cell in zip(handout.cells, handout.cells[1:], strict=False):
        if cell.id in answers:
            yield cell.id, cell.id
            if before.cell_type == "markdown":
                yield before.id, cell.id


def answers_in_words(notebook: NotebookNode, handout: NotebookNode) -> dict[str, str]:
    """dict from the name of a question to its text; '' if its student wrote none that may belong to it.

    What stands in its place is the answer. A question without any gets what a neighbour's text says of it, comments
    below code, and all text in cells of the student's own: a person has to decide.
    """
    texts, comments, elsewhere = texts_in_places(notebook, handout)
    found = {name: list(parts) for name, parts in texts.items()}
    for name, parts in found.items():
        if not parts:
            parts += dict.fromkeys([*comments[name], *beside(name, texts), *elsewhere])
    return {name: "\n\n".join(parts) for name, parts in found.items()}


def beside(name: str, texts: dict[str, list[str]]) -> Iterator[str]:
    """The texts at other questions that may hold this one's answer.

    Those are texts that name the question, and a neighbour's of several paragraphs.
    """
    order, label = list(texts), label_of(name)
    for other, parts in texts.items():
        near = abs(order.index(other) - order.index(name)) == 1
        for text in parts if other != name else ():
            paragraphs = [part for part in re.split(r"\n\s*\n", text) if count_words(part) >= PROSE]
            if label.search(text) or (near and len(paragraphs) > 1):
                yield text


def label_of(name: str) -> re.Pattern[str]:
    """How a text names the question that the name of a cell belongs to: q32-answer is 3.2."""
    start = name.split("-")[0]
    numbered = re.fullmatch(r"q(\d)(\d)", start)
    label = (
        rf"(?<![\d.]){numbered[1]}[.,)-]{numbered[2]}(?![\d%]|\.\d| %)"
        if numbered
        else rf"\b{re.escape(start)}\b"
    )
    return re.compile(label, re.I)


def with_pictures(text: str, attached: dict) -> str:
    """A text with the pictures that were pasted into it; one that is gone would end every page of a student."""

    def picture(match: re.Match[str]) -> str:
        for kind, data in (attached.get(match[1]) or attached.get(unquote(match[1])) or {}).items():
            return f"data:{kind};base64,{''.join(data.split())}"
        return f"missing-picture-{match[1]}"

    return re.sub(r"attachment:([^)\s\"'>]+)", picture, text)
