"""Whose cell is it? The hand-out's are known by nbgrader's name, by id or by text, whatever an editor did to them."""

import ast
import contextlib
import re

import nbformat

STUB = "Not answered yet."
MAGIC = re.compile(r"^([ \t]*)([%!])", re.M)  # what IPython reads and Python does not


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


def nbgrader_of(cell):
    """nbgrader's metadata of a cell, a dict."""
    data = cell.metadata.get("nbgrader")
    return data if isinstance(data, dict) else {}


def name_of(cell, handout):
    """The id of the hand-out's cell that this one is, or was before it was changed; None for the student's own."""
    known = {mine.id: plain(mine.source) for mine in handout.cells}
    for name in (nbgrader_of(cell).get("grade_id"), cell.get("id")):
        if name in known:
            return name
    text = plain(cell.source)
    return next((name for name, mine in known.items() if mine == text), None)


def is_answer(cell):
    """Does this cell of the hand-out hold an answer?"""
    return bool(nbgrader_of(cell).get("solution"))


def is_check(cell):
    """Is this cell of the hand-out a check, which gives points?"""
    return bool(nbgrader_of(cell).get("grade")) and not is_answer(cell)


def error_of(cell, but=()):
    """The error that a cell ended in, or None; `but` names types of error that do not count."""
    errors = (output for output in cell.get("outputs", []) if output.output_type == "error")
    return next((error for error in errors if error.ename not in but), None)


def parsed(source):
    """A piece of Python, in which magics may stand, as a tree; None if it is none."""
    with contextlib.suppress(SyntaxError, ValueError, RecursionError, MemoryError):
        return ast.parse(MAGIC.sub(r"\1pass  # \2", source))


def names_in(source, kind):
    """The names that a piece of Python stores (kind: ast.Store; definitions too) or loads (ast.Load), in order."""
    nodes = list(ast.walk(parsed(source) or ast.Module([], [])))
    found = [node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, kind)]
    if kind is ast.Store:
        found += [node.name for node in nodes if isinstance(node, (ast.FunctionDef, ast.ClassDef))]
        found += [(node.asname or node.name).split(".")[0] for node in nodes if isinstance(node, ast.alias)]
    return list(dict.fromkeys(found))


def with_parameters(source, **values):
    """The source of the parameters' cell with these values, where it has them; None leaves one as it is."""
    for name, value in values.items():
        if value is not None:
            source = re.sub(rf"^{name} = .*$", lambda line, new=f"{name} = {value!r}": new, source, flags=re.M)
    return source
