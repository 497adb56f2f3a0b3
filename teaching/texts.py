"""Answers in words, wherever a student wrote them: in the answer's cell, below the question, or anywhere."""

import ast
import re
from urllib.parse import unquote

import nbformat

from teaching.cells import STUB, is_answer, name_of, parsed, plain

WORDS = re.compile(r"%%(markdown|html|latex)\b.*\n")


def own_words(cell, name, handout):
    """What of a cell is the student's own text; a comment, a string alone or %%markdown in a code cell is text, too."""
    source = cell.source.replace(STUB, "").strip()
    original = next((mine for mine in handout.cells if mine.id == name), None)
    if original is not None and original.cell_type == "code":
        return ""
    if original is not None and original.source.strip():
        return "" if plain(source) == plain(original.source) else source.replace(original.source.strip(), "").strip()
    if cell.cell_type != "code" or original is not None:
        return source
    if WORDS.match(source):
        return WORDS.sub("", source)
    lines = parsed(source)
    alone = lines and all(isinstance(line, ast.Expr) and isinstance(line.value, ast.Constant) for line in lines.body)
    return source if alone and any(map(str.isalpha, source)) else ""


def long_strings(source):
    """The strings in a piece of Python that are long enough to be an answer."""
    strings = [node.value for node in ast.walk(parsed(source) or ast.Module([], [])) if isinstance(node, ast.Constant)]
    return "\n\n".join(text for text in strings if isinstance(text, str) and len(text.split()) >= 8)


def answers_in_words(notebook, handout):
    """dict from the name of a question to (text, attachments); '' if its student wrote no text that may belong to it.

    What stands in the answer's cell (or in a copy), in the question's, or between them and the next cell of the
    hand-out, is the answer. A question without any gets all text in cells of the student's own: a person has to decide.
    """
    questions = [cell.id for cell in handout.cells if cell.cell_type == "markdown" and is_answer(cell)]
    places = {name: name for name in questions}
    for before, cell in zip(handout.cells, handout.cells[1:], strict=False):
        if cell.id in questions and before.cell_type == "markdown":
            places[before.id] = cell.id
    found, elsewhere, place = {name: [] for name in questions}, [], None
    for cell in notebook.cells:
        name = name_of(cell, handout)
        place = places.get(name) if name else place
        text = own_words(cell, name, handout)
        if text:
            piece = text, cell.get("attachments", {})
            if place:
                found[place].append(piece)
            if name is None or not place:
                elsewhere.append(piece)
        elif name is None and (text := long_strings(cell.source)):
            elsewhere.append((text, {}))
    return {name: joined(pieces or elsewhere) for name, pieces in found.items()}


def joined(pieces):
    """One text of several, and all their attachments, under names of their own."""
    texts, attachments = [], {}
    for place, (text, pictures) in enumerate(pieces):
        for name, picture in (pictures if isinstance(pictures, dict) else {}).items():
            new = f"{place}-{name}" if name in attachments else name
            text = text.replace(f"attachment:{name}", f"attachment:{new}")
            attachments[new] = picture
        texts.append(text)
    return "\n\n".join(texts), attachments


def whole(cell):
    """Take out of a text what nbconvert can't show: a picture that is not there would end every page of a student."""
    attachments = cell.get("attachments", {})
    for name in set(re.findall(r"attachment:([^)\s\"'>]+)", cell.source)):
        if name not in attachments and unquote(name) not in attachments:
            cell.source = cell.source.replace(f"attachment:{name}", f"missing-picture-{name}")
    return cell


def text_cell(cell, text, attachments):
    """The answer's cell of the hand-out with a text in it."""
    new = nbformat.from_dict({**cell, "source": text or STUB})
    if attachments:
        new.attachments = nbformat.from_dict(attachments)
    return whole(new)
