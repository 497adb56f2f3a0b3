"""Who handed in what: folders, zips, exports of Moodle and Canvas, under whatever names."""

import ast
import io
import os
import re
import time
import unicodedata
import zipfile
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from teaching.cells import name_of, names_in, plain, read
from teaching.handout import NAMES, answer_names
from teaching.texts import own_words

MOST_BYTES = 2**28  # of one file
MOST_FILES = 5000  # of one zip
LMS = (
    re.compile(r"(?P<name>.+?)_(?P<number>\d+)_assignsubmission_[a-z]+_?(?P<rest>.*)"),  # Moodle
    re.compile(r"(?P<name>[^_]+)_(?:LATE_)?(?P<number>\d+)_\d+_(?P<rest>.+)"),  # Canvas
)
PASSED_OVER = re.compile(r"\.|__MACOSX$|Thumbs\.db$|desktop\.ini$")


class File(NamedTuple):
    """A file on disk (`inside` is empty), or in a zip, or in a zip in that zip."""

    disk: Path
    inside: tuple
    parts: tuple  # of its path below the folder of all submissions
    when: float
    size: int

    @property
    def name(self):
        """Its path below the student's folder, or its name."""
        return "/".join(self.parts[1:] or self.parts)

    def read(self):
        """Its bytes."""
        if self.size > MOST_BYTES:
            raise ValueError(f"{self.size / 1e6:.0f} MB")
        data = self.disk.read_bytes()
        for member in self.inside:
            with zipfile.ZipFile(io.BytesIO(data)) as archive:
                data = archive.read(member)
        return data


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
    entries = [place] if place.is_file() else sorted(place.iterdir())
    for entry in entries:
        if PASSED_OVER.match(entry.name):
            continue
        files, trouble = listing(entry, () if entry == place else (entry.name,))
        if not files and entry != place:  # an empty folder, a damaged zip: somebody's all the same
            files = [File(entry, (), (entry.name, ""), 0, 0)]
        for file in files:
            who = owner(file.parts, place)
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


def owner(parts, place):
    """(name, number, folder's name) of the student whose file this is, or None."""
    for part in parts:
        for form in LMS:
            if match := form.fullmatch(part):
                folder = part[: match.start("rest")] if "assignsubmission" in part else match["name"]
                return match["name"], match["number"], folder
    top = PurePosixPath(parts[0])
    if len(parts) > 1:
        return top.stem if top.suffix.lower() == ".zip" else top.name, "", ""
    if top.suffix.lower() == ".ipynb":
        name = re.sub("|".join(NAMES), "", top.stem, flags=re.I).strip(" _-.()")
        return name or place.resolve().stem, "", ""
    return None


def listing(path, parts):
    """(list of File, list of what could not be read) of a file, a folder or a zip; links are not followed."""
    if path.is_symlink():
        return [], []
    if path.is_dir():
        files, trouble = [], []
        for folder, folders, names in os.walk(path):
            folders[:] = sorted(name for name in folders if not PASSED_OVER.match(name))
            below = parts + Path(folder).relative_to(path).parts
            for name in sorted(names):
                if not PASSED_OVER.match(name) and (Path(folder) / name).is_file():
                    more = listing(Path(folder) / name, (*below, name))
                    files, trouble = files + more[0], trouble + more[1]
        return files, trouble
    facts = path.stat()
    file = File(path, (), parts or (path.name,), facts.st_mtime, facts.st_size)
    return unpacked(file, parts) if path.suffix.lower() == ".zip" else ([file], [])


def unpacked(file, parts):
    """The same of a zip, and of the zips in it."""
    files, trouble = [], []
    try:
        with zipfile.ZipFile(io.BytesIO(file.read())) as archive:
            members = archive.infolist()
        if len(members) > MOST_FILES:
            raise ValueError(f"{len(members)} files")
        for member in members:
            below = PurePosixPath(member.filename.replace("\\", "/")).parts
            if member.is_dir() or not below or any(PASSED_OVER.match(part) for part in below if part != ".."):
                continue
            below = tuple(part for part in below if part not in ("..", "/"))
            when = time.mktime((*member.date_time, 0, 0, -1))
            inner = File(file.disk, (*file.inside, member.filename), parts + below, when, member.file_size)
            zipped = below[-1].lower().endswith(".zip") and len(inner.inside) < 3
            more = unpacked(inner, inner.parts) if zipped else ([inner], [])
            files, trouble = files + more[0], trouble + more[1]
    except Exception as error:  # zipfile and its decompressors raise a dozen types
        trouble.append(f"{'/'.join(file.parts)} is not readable ({type(error).__name__})")
    return files, trouble


def notebooks_of(submission, handouts):
    """dict from notebook to its NotebookNode, and a list of notes.

    Which notebook a file is, its cells say; if none does, its name. Of several, the one with most answers is taken,
    then the newest, then the one that lies least deep.
    """
    versions, notes = {}, list(submission.trouble)
    broken = {}
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
            rank = work_in(notebook, handouts[name]), file.when // 120, -len(file.parts), file.name == f"{name}.ipynb"
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
    """The notebook of the hand-out with which this one shares most cells, or None."""
    shared = {
        name: len({name_of(cell, handout) for cell in notebook.cells} - {None}) for name, handout in handouts.items()
    }
    best = max(shared, key=shared.get)
    return best if shared[best] > max([0, *(count for name, count in shared.items() if name != best)]) else None


def work_in(notebook, handout):
    """How much of a notebook is answered: names of answers that are set in cells of the student's, and own texts."""
    given = {plain(cell.source) for cell in handout.cells}
    own = [cell for cell in notebook.cells if plain(cell.source) not in given]
    names = {name for cell in own for name in names_in(cell.source, ast.Store)} & set(answer_names(handout))
    return len(names) + sum(bool(own_words(cell, name_of(cell, handout), handout)) for cell in own)
