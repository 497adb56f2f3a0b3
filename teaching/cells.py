"""Whose cell is it, and what does it say? An editor may have changed everything about a cell."""

import ast
import contextlib
import re
from urllib.parse import unquote

import nbformat
from nbgrader.utils import is_solution

STUB = "Not answered yet."
MAGIC = re.compile(r"^([ \t]*)([%!])", re.M)  # what IPython reads and Python does not
WORDS = re.compile(r"%%(markdown|html|latex)\b.*\n")


def read(text):
    """A notebook of any version from text or bytes; an error of any type if it is none."""
    notebook = nbformat.reads(text.decode("utf-8-sig") if isinstance(text, bytes) else text, as_version=4)
    for cell in notebook.cells:
        cell.source = str(cell.source).replace("\r\n", "\n")
        cell.metadata = cell.metadata if isinstance(cell.metadata, dict) else nbformat.NotebookNode()
        if cell.cell_type == "code":
            cell.outputs = []
    nbformat.writes(notebook).encode()  # what JSON can say, a file may not be able to hold
    return notebook


def plain(text):
    """A text without the differences that nobody sees."""
    return " ".join(text.split())


def name_of(cell, handout):
    """The id of the hand-out's cell that this one is, or was before it was changed; None for the student's own."""
    known = {mine.id: plain(mine.source) for mine in handout.cells}
    for name in ((cell.metadata.get("nbgrader") or {}).get("grade_id"), cell.get("id")):
        if name in known:
            return name
    text = plain(cell.source)
    return next((name for name, mine in known.items() if mine == text), None)


# Code ----------------------------------------------------------------------------------------------------------------
def nodes(source):
    """The parts of a piece of Python, in which magics may stand; none if it is none."""
    with contextlib.suppress(SyntaxError, ValueError, RecursionError, MemoryError):
        return list(ast.walk(ast.parse(MAGIC.sub(r"\1pass  # \2", source))))
    return []


def names_in(source, kind):
    """The names that a piece of Python stores (kind: ast.Store; definitions too) or loads (ast.Load), in order."""
    parts = nodes(source)
    found = [node.id for node in parts if isinstance(node, ast.Name) and isinstance(node.ctx, kind)]
    if kind is ast.Store:
        found += [node.name for node in parts if isinstance(node, (ast.FunctionDef, ast.ClassDef))]
        found += [(node.asname or node.name).split(".")[0] for node in parts if isinstance(node, ast.alias)]
    return list(dict.fromkeys(found))


def with_parameters(source, **values):
    """The source of the parameters' cell with these values, where it has them; None leaves one as it is."""
    for name, value in values.items():
        if value is not None:
            source = re.sub(rf"^{name} = .*$", lambda line, new=f"{name} = {value!r}": new, source, flags=re.M)
    return source


# Answers in words ----------------------------------------------------------------------------------------------------
def own_words(cell, name, handout):
    """What of a cell is the student's own text; a comment, a string alone or %%markdown in a code cell is text, too."""
    source = cell.source.replace(STUB, "").strip()
    given = next((mine for mine in handout.cells if mine.id == name), None)
    if given is not None:
        own = source.replace(given.source.strip(), "").strip()
        return own if given.cell_type != "code" and plain(source) != plain(given.source) else ""
    if cell.cell_type != "code":
        return source
    if WORDS.match(source):
        return WORDS.sub("", source)
    text_only = all(isinstance(part, (ast.Module, ast.Expr, ast.Constant)) for part in nodes(source) or [None])
    return source if text_only and any(map(str.isalpha, source)) else ""


def answers_in_words(notebook, handout):
    """dict from the name of a question to its text; '' if its student wrote none that may belong to it.

    What stands in the answer's cell (or in a copy), in the question's, or between them and the next cell of the
    hand-out, is the answer. A question without any gets all text in cells of the student's own: a person has to decide.
    """
    found = {cell.id: [] for cell in handout.cells if cell.cell_type == "markdown" and is_solution(cell)}
    places = {name: name for name in found}
    for before, cell in zip(handout.cells, handout.cells[1:], strict=False):
        if cell.id in found and before.cell_type == "markdown":
            places[before.id] = cell.id
    elsewhere, place = [], None
    for cell in notebook.cells:
        name = name_of(cell, handout)
        place = places.get(name) if name else place
        text = with_pictures(own_words(cell, name, handout), cell.get("attachments", {}))
        if text:
            if place:
                found[place].append(text)
            if name is None or not place:
                elsewhere.append(text)
        elif name is None:  # a string in code may be long enough to be an answer
            strings = [node.value for node in nodes(cell.source) if isinstance(node, ast.Constant)]
            elsewhere += [text for text in strings if isinstance(text, str) and len(text.split()) >= 8]
    return {name: "\n\n".join(texts or elsewhere) for name, texts in found.items()}


def with_pictures(text, attached):
    """A text with the pictures that were pasted into it; one that is gone would end every page of a student."""

    def picture(match):
        for kind, data in (attached.get(match[1]) or attached.get(unquote(match[1])) or {}).items():
            return f"data:{kind};base64,{''.join(data.split())}"
        return f"missing-picture-{match[1]}"

    return re.sub(r"attachment:([^)\s\"'>]+)", picture, text)
