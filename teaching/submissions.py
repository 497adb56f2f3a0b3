"""Who handed in what: folders, zips, exports of Moodle and Canvas, under whatever names."""

import ast
import functools
import io
import re
import time
import unicodedata
import zipfile
from collections.abc import Callable
from pathlib import PurePosixPath
from typing import NamedTuple

from teaching.cells import name_of, names_in, plain, read
from teaching.handout import NAMES, answer_names
from teaching.texts import own_words

MOST_BYTES = 2**28  # of one file
MOST_FILES = 5000  # of one zip
MOODLE = re.compile(r"((.+?)_(\d+)_assignsubmission_[a-z]+_?).*")  # of a folder or a file
CANVAS = re.compile(r"([^_]+)_(?:LATE_)?(\d{3,})_\d{3,}_.+")  # of a file
PASSED_OVER = re.compile(r"\.|__MACOSX$|Thumbs\.db$|desktop\.ini$")


class File(NamedTuple):
    """A file, wherever it lies: in a folder, in a zip, in a zip in that zip."""

    parts: tuple  # of its path below the folder of all submissions
    when: tuple  # year, month, day, hour, minute
    size: int
    source: Callable  # gives its bytes

    @property
    def name(self):
        """Its path below the student's folder, or its name."""
        return "/".join(self.parts[1:] or self.parts)

    def read(self):
        """Its bytes."""
        if self.size > MOST_BYTES:
            raise ValueError(f"{self.size / 1e6:.0f} MB")
        return self.source()


class Submission:
    """What one student handed in: name and number as the LMS has them, files, and what could not be read."""

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
        files = list(listing(entry, () if entry == place else (entry.name,), trouble))
        if not files and entry != place:  # an empty folder, a damaged zip: somebody's all the same
            files = [File((entry.name, ""), (), 0, bytes)]
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


def listing(path, parts, trouble):
    """The files of a file, a folder or a zip; adds to `trouble` what could not be read. No link is followed."""
    if path.is_dir() and not path.is_symlink():
        for entry in sorted(path.iterdir()):
            if not PASSED_OVER.match(entry.name):
                yield from listing(entry, (*parts, entry.name), trouble)
    elif path.is_file() and not path.is_symlink():
        when = time.localtime(path.stat().st_mtime)[:5]
        file = File(parts or (path.name,), when, path.stat().st_size, path.read_bytes)
        yield from unpacked(file, parts, trouble) if path.suffix.lower() == ".zip" else [file]


def unpacked(file, parts, trouble, depth=3):
    """The same of a zip, and of the zips in it."""
    try:
        with zipfile.ZipFile(io.BytesIO(file.read())) as archive:
            members = archive.infolist()
        if len(members) > MOST_FILES:
            raise ValueError(f"{len(members)} files")
        for member in members:
            below = PurePosixPath(member.filename.replace("\\", "/")).parts
            below = tuple(part for part in below if part not in ("..", "/"))
            if member.is_dir() or not below or any(map(PASSED_OVER.match, below)):
                continue
            source = functools.partial(read_member, file, member)
            inner = File(parts + below, member.date_time[:5], member.file_size, source)
            zipped = below[-1].lower().endswith(".zip") and depth > 1
            yield from unpacked(inner, inner.parts, trouble, depth - 1) if zipped else [inner]
    except Exception as error:  # zipfile and its decompressors raise a dozen types
        trouble.append(f"{'/'.join(file.parts)} is not readable ({type(error).__name__})")


def read_member(file, member):
    """The bytes of a member of a zip, which is read anew: the zips of a whole class would fill the memory."""
    with zipfile.ZipFile(io.BytesIO(file.read())) as archive:
        return archive.read(member)


def notebooks_of(submission, handouts):
    """dict from notebook to its NotebookNode, and a list of notes.

    Which notebook a file is, its cells say; if none does, its name. Of several, the one with most answers is taken,
    then the newest, then the one that lies least deep.
    """
    versions, broken, notes = {}, {}, list(submission.trouble)
    for file in submission.files:
        if not file.name.lower().endswith(".ipynb"):
            continue
        named = next((name for name in NAMES if name.lower() in file.name.lower()), None)
        try:
            notebook = read(file.read())
            name = identified(notebook, handouts) or named
        except Exception as error:  # anything at all may be wrong with a file from outside
            broken[file.name] = named, type(error).__name__
            continue
        if name:
            rank = work_in(notebook, handouts[name]), file.when, -len(file.parts), file.name == f"{name}.ipynb"
            versions.setdefault(name, []).append((rank, file.name, notebook))
    taken = {}
    for name in NAMES:
        ordered = sorted(versions.get(name, []), key=lambda version: version[:2], reverse=True)
        if ordered:
            (_, file, taken[name]), *others = ordered
            if PurePosixPath(file).name != f"{name}.ipynb" or others:
                notes.append(f"{name}: {file!r} is taken" + "".join(f", not {other[1]!r}" for other in others))
            continue
        errors = [f"{file!r}: {error}" for file, (named, error) in broken.items() if named in (name, None)]
        if errors:
            notes.append(f"{name} is no readable notebook ({'; '.join(errors)})")
            continue
        known = {version[1] for several in versions.values() for version in several} | set(broken)
        there = [file.name for file in submission.files if file.name not in known]
        what = f"; there is {', '.join(map(repr, there[:5]))}" if there else ""
        notes.append(f"{name} was not handed in{what}")
    return taken, notes


def identified(notebook, handouts):
    """The notebook of the hand-out with which this one shares most cells and answers, or None."""
    shared = sorted(
        (len({name_of(cell, handout) for cell in notebook.cells} - {None}) + len(answered(notebook, handout)), name)
        for name, handout in handouts.items()
    )
    (second, _), (first, name) = shared[-2:]
    return name if first > second else None


def own_cells(notebook, handout):
    """The cells that are not as they were handed out."""
    given = {plain(cell.source) for cell in handout.cells}
    return [cell for cell in notebook.cells if plain(cell.source) not in given]


def answered(notebook, handout):
    """The names of answers that are set in cells of the student's."""
    names = {name for cell in own_cells(notebook, handout) for name in names_in(cell.source, ast.Store)}
    return names & set(answer_names(handout))


def work_in(notebook, handout):
    """How much of a notebook is answered: names of answers, and texts."""
    texts = [cell for cell in own_cells(notebook, handout) if own_words(cell, name_of(cell, handout), handout)]
    return len(answered(notebook, handout)) + len(texts)
