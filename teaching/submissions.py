"""Who handed in what: folders, zips, exports of Moodle and Canvas, under whatever names."""

import ast
import functools
import re
import time
import unicodedata
import zipfile
from collections.abc import Callable
from pathlib import PurePosixPath
from typing import NamedTuple

from teaching.cells import name_of, names_in, own_words, plain, read
from teaching.handout import NAMES, answer_names

MOST_BYTES = 2**28  # of one notebook
MOODLE = re.compile(r"((.+?)_(\d+)_assignsubmission_[a-z]+_?).*")  # of a folder or a file
CANVAS = re.compile(r"([^_]+)_(?:LATE_)?(\d{3,})_\d{3,}_.+")  # of a file
PASSED_OVER = re.compile(r"\.|__MACOSX$|Thumbs\.db$|desktop\.ini$")


class File(NamedTuple):
    """A file, wherever it lies: in a folder, in a zip, in a zip in that zip."""

    parts: tuple  # of its path below the folder of all submissions
    when: tuple  # year, month, day, hour, minute
    open: Callable  # gives a binary file

    @property
    def name(self):
        """Its path below the student's folder, or its name."""
        return "/".join(self.parts[1:] or self.parts)


class Submission:
    """What one student handed in: name and number as the LMS has them, files, and what could not be read."""

    student = ""  # the name that decides the variant, if there are any

    def __init__(self, name, number="", folder=""):
        self.name, self.number, self.folder = name, number, folder or name
        self.files, self.trouble = [], []
        # A name for nbgrader and for folders: letters and digits of any alphabet, and . _ @ -
        key = re.sub(r"[^\w.@-]+", "_", unicodedata.normalize("NFC", name)).strip("._-")[:60]
        self.key = "_".join(filter(None, [key or "nameless", number]))


def collect(place):
    """list of Submission from a folder, or from a zip of all; and a list of complaints."""
    found, complaints = {}, []
    for entry in [place] if place.is_file() else sorted(place.iterdir()):
        if PASSED_OVER.match(entry.name):
            continue
        trouble = []
        paths = [] if entry.is_symlink() else [entry, *sorted(entry.rglob("*"))]
        files = [file for path in paths for file in listing(path, place, trouble)]
        if not files and entry != place:  # an empty folder, a damaged zip: somebody's all the same
            files = [File((readable(entry.name), ""), (), open)]
        inside = [CANVAS.fullmatch(file.parts[1]) for file in files if len(file.parts) > 1]
        for file in files:
            who = owner(file.parts, place, exported=bool(inside) and all(inside))
            if not who:
                complaints.append(f"{'/'.join(file.parts)}: belongs to nobody; one folder or zip per student is graded")
                continue
            submission = found.setdefault(who[:2], Submission(*who))
            submission.files += [file] if file.name else []
            submission.trouble += [line for line in trouble if line not in submission.trouble]
    taken = set()
    for submission in found.values():
        while submission.key.casefold() in taken:
            submission.key += "_"
        taken.add(submission.key.casefold())
    return list(found.values()), complaints


def owner(parts, place, exported):
    """(name, number, folder's name) of the student whose file this is, or None; `exported`: from a zip of Canvas's."""
    for match in filter(None, map(MOODLE.fullmatch, parts)):
        return match[2], match[3], match[1]
    for match in filter(None, map(CANVAS.fullmatch, parts[: 1 + exported])):
        return match[1], match[2], match[1]
    top = PurePosixPath(parts[0])
    if len(parts) > 1:
        return top.stem if top.suffix.lower() == ".zip" else top.name, "", ""
    if top.suffix.lower() == ".ipynb":
        name = re.sub("|".join(NAMES), "", top.stem, flags=re.I).strip(" _-.()")
        return name or place.resolve().stem, "", ""
    return None


def readable(name):
    """A file's name without the bytes that are no text, as other systems' zips leave them."""
    return name.encode("utf-8", "replace").decode()


def listing(path, place, trouble):
    """The file at a path below `place`, or what lies in it if it is a zip. No link is followed."""
    parts = tuple(map(readable, path.relative_to(place).parts))
    if path.is_file() and not path.is_symlink() and not any(map(PASSED_OVER.match, parts)):
        when = time.localtime(path.stat().st_mtime)[:5]
        yield from unpacked(
            File(parts or (readable(path.name),), when, functools.partial(open, path, "rb")), parts, trouble
        )


def unpacked(file, parts, trouble, depth=3):
    """The file, or if it is a zip, what lies in it and in the zips in it; adds to `trouble` what could not be read."""
    if not file.parts[-1].lower().endswith(".zip") or not depth:
        yield file
        return
    try:
        with file.open() as archive:
            members = zipfile.ZipFile(archive).infolist()
        for member in members:
            below = PurePosixPath(member.filename.replace("\\", "/")).parts
            below = tuple(part for part in below if part not in ("..", "/"))
            if below and not member.is_dir() and not any(map(PASSED_OVER.match, below)):
                inner = functools.partial(opened, file, member)
                yield from unpacked(File(parts + below, member.date_time[:5], inner), parts + below, trouble, depth - 1)
    except Exception as error:  # zipfile and its decompressors raise a dozen types
        trouble.append(f"{'/'.join(file.parts)} is not readable ({type(error).__name__})")


def opened(file, member):
    """A member of a zip as a binary file; the zips of a whole class would fill the memory, so each is opened anew."""
    return zipfile.ZipFile(file.open()).open(member)


def notebooks_of(submission, handouts):
    """dict from notebook to its NotebookNode, and a list of notes.

    Which notebook a file is, its cells say; if none does, its name. Of several, the one with most answers is taken,
    then the newest, then the one that lies least deep.
    """
    versions, broken, others, taken, notes = {name: [] for name in NAMES}, {}, [], {}, list(submission.trouble)
    for file in submission.files:
        name = next((name for name in NAMES if name.lower() in file.name.lower()), None)
        if not file.name.lower().endswith(".ipynb"):
            others.append(file.name)
            continue
        try:
            with file.open() as content:
                notebook = read(content.read(MOST_BYTES))
            found = {name: work_in(notebook, handout) for name, handout in handouts.items()}
        except Exception as error:  # anything at all may be wrong with a file from outside
            broken[file.name] = name, type(error).__name__
            continue
        second, most = sorted(shared for shared, _ in found.values())[-2:]
        name = max(found, key=found.get) if most > second else name
        if name:
            rank = found[name][1], file.when, -len(file.parts), file.name == f"{name}.ipynb"
            versions[name].append((rank, file.name, notebook))
        else:
            others.append(file.name)
    for name, found in versions.items():
        found.sort(key=lambda version: version[:2], reverse=True)
        errors = [f"{file!r}: {error}" for file, (named, error) in broken.items() if named in (name, None)]
        if found:
            (_, file, taken[name]), *older = found
            if older or PurePosixPath(file).name != f"{name}.ipynb":
                notes.append(f"{name}: {file!r} is taken" + "".join(f", not {other[1]!r}" for other in older))
        elif errors:
            notes.append(f"{name} is no readable notebook ({'; '.join(errors)})")
        else:
            there = f"; there is {', '.join(map(repr, others[:5]))}" if others else ""
            notes.append(f"{name} was not handed in{there}")
    return taken, notes


def work_in(notebook, handout):
    """(number of cells and answers that a notebook shares with one of the hand-out, number of answers and texts)."""
    given = {plain(cell.source) for cell in handout.cells}
    own = [cell for cell in notebook.cells if plain(cell.source) not in given]
    answered = {name for cell in own for name in names_in(cell.source, ast.Store)} & set(answer_names(handout))
    texts = [cell for cell in own if own_words(cell, name_of(cell, handout), handout)]
    shared = {name_of(cell, handout) for cell in notebook.cells} - {None}
    return len(shared) + len(answered), len(answered) + len(texts)
