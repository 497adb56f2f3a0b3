"""Who handed in what: folders, zips and exports of an LMS become one submission per student, or a question.

A name is never believed alone: a student is the LMS's unique number, or the folder's name. Where that does not
decide, the table says so, and a line in `who.csv`, which lies beside the submissions, does.
"""

import hashlib
import re
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

from teaching import Refused
from teaching.archives import CLOSED, File, files_in
from teaching.handout import NAMES
from teaching.people import NEUTRAL, WRAPPER, Owner, is_state, left_of, letters, named, owners_of
from teaching.tables import read_table

WHO = "who.csv"
SAME, EMPTY = "the same once more", "empty folder"
QUIET = (SAME, EMPTY)  # worth a word in the table, none in the marks
NOBODY, EXPORT = "-", "*"  # what who.csv says in place of a student
Parts = tuple[str, ...]
Which = Callable[[File], frozenset[str]]


class Unclear(NamedTuple):
    """A question to the teacher: what is unclear about a path, and the line of who.csv that would decide."""

    path: str
    question: str
    line: str


class Submission:
    """What one student handed in, or one group.

    Attributes:
        owner: whose it is; members: the same of each member of a group.
        files: File of theirs, those too that hold nothing; names: from a file's path to the one below its folder.
        key: a name for the gradebook and for folders, which no other student can get.
        student: the name that decides the variant, "" if there are none.
        counts: from a file's path to the notebooks that are taken from it, once they have been chosen.
        problems: from a file's path to what is wrong with it.
        told: what could not be read at an earlier time.
        written: the names that stand in its notebooks.
    """

    def __init__(self, owner: Owner):
        self.owner, self.members, self.group = owner, [owner], ""
        self.files: list[File] = []
        self.names: dict[str, str] = {}
        self.counts: dict[str, list[str]] = {}
        self.problems: dict[str, str] = {}
        self.told: list[str] = []
        self.written: set[str] = set()
        self.key, self.student = key_of(owner), ""
        self._contents: dict[str, str] = {}

    def add(self, place: Parts, files: Iterable[File]) -> None:
        """More files, which lie at a place."""
        for file in files:
            self.files.append(file)
            self.names[file.path] = (
                "/".join(filter(None, file.parts[len(place) :])) or file.parts[len(place) - 1]
            )

    @property
    def name(self) -> str:
        """As people read it."""
        return self.group or self.owner.name

    @property
    def number(self) -> str:
        """The LMS's, or ''."""
        return "" if self.group else self.owner.number

    @property
    def trouble(self) -> list[str]:
        """What could not be read, in a line each."""
        said = [
            f"{self.names[file.path]}: {file.trouble}"
            for file in self.files
            if file.trouble and file.trouble not in QUIET
        ]
        closed = [
            f"{self.names[file.path]}: an archive that is not opened"
            for file in self.work
            if is_closed(file)
        ]
        return list(dict.fromkeys([*said, *closed, *self.told]))

    @property
    def work(self) -> list[File]:
        """The files in which something could stand."""
        return [file for file in self.files if file.parts[-1]]

    @property
    def identity(self) -> tuple[str, str]:
        """What makes two hand-ins those of the same student, or of the same group."""
        return ("group", self.group) if self.group else self.owner.identity

    @property
    def when(self) -> tuple[int, ...]:
        """The newest date of its files; () if none has one. Zips begin at 1980, which stands for no date."""
        return max(
            [file.when for file in self.work if file.when and file.when[0] > 1980], default=()
        )

    def fingerprint(self) -> str:
        """The same for the same files, whatever they are called."""
        if not self._contents:
            self._contents = {file.path: digest(file) for file in self.work}
        return hashlib.sha256(" ".join(sorted(self._contents.values())).encode()).hexdigest()


class Collection(NamedTuple):
    """What lies in a folder of submissions: whose, what is nobody's, and what is not clear."""

    submissions: list[Submission]
    unclear: list[Unclear]
    nobodys: list[File]


# One student ---------------------------------------------------------------------------------------------------------
def key_of(owner: Owner) -> str:
    """A name for nbgrader and for folders: letters and digits of any alphabet, and . _ @ -

    It does not depend on who else hands in: where letters are lost, a hash of the name stands for them.
    """
    name = unicodedata.normalize("NFC", owner.name)
    short = slug(name)
    if owner.number:
        return "_".join(dict.fromkeys(filter(None, [short, slug(owner.number)])))
    if short == name:
        return short
    mark = hashlib.sha256(name.encode()).hexdigest()[:6]
    return f"{short or 'nameless'}-{mark}"


def slug(name: str) -> str:
    """What of a name may be a folder's."""
    return re.sub(r"[^\w.@-]+", "_", name).strip("._-")[:60]


def digest(file: File) -> str:
    """SHA-256 of a file, or what is wrong with it."""
    try:
        return hashlib.sha256(file.read()).hexdigest()
    except Exception as error:  # zipfile and its decompressors raise a dozen types
        return f"{type(error).__name__} {file.size}"


def is_closed(file: File) -> bool:
    """Is it an archive of a kind that is not opened?"""
    return bool(CLOSED.search(file.parts[-1]))


# who.csv -------------------------------------------------------------------------------------------------------------
class Line(NamedTuple):
    """What who.csv says of a path: whose it is, and in which group; either may be blank."""

    student: str
    group: str


def lines_of(place: Path) -> dict[str, Line]:
    """dict from a path to its line in the teacher's who.csv, which lies in the folder, or beside the zip."""
    path = (place if place.is_dir() else place.parent) / WHO
    if not path.exists():
        return {}
    table = read_table(path)
    header = [name.strip().casefold() for name in table.header]
    if header not in (["file", "student"], ["file", "student", "group"]):
        raise Refused(f"{path}: its first line must be file,student or file,student,group")
    lines = {}
    for row in table.rows.itertuples(index=False):
        file, student, group = [*map(str.strip, row), ""][:3]
        lines[file.replace("\\", "/").strip("/")] = Line(student, group)
    return lines


def line_for(parts: Parts, lines: dict[str, Line]) -> Line | None:
    """The line of a path, or of the nearest folder around it."""
    for length in range(len(parts), 0, -1):
        line = lines.get("/".join(filter(None, parts[:length])))
        if line is not None and line.student != EXPORT:
            return line
    return None


# The class -----------------------------------------------------------------------------------------------------------
class Collector:
    """Walks through the folders, and decides entry by entry whose it is."""

    def __init__(self, place: Path, which: Which, lines: dict[str, Line]):
        self.place, self.which, self.lines = place, which, lines
        self.found: list[tuple[Parts, Owner, list[File]]] = []  # a hand-in: where, whose, what
        self.unclear: list[Unclear] = []
        self.nobodys: list[File] = []

    def held(self, part: Submission) -> set[str]:
        """The notebooks that a hand-in holds; something that nobody can read counts as one, too."""
        found = set().union(*map(self.which, part.work))
        return found or {"?"}

    def ask(self, path: str, question: str, *answer: str) -> None:
        """One more question to the teacher, and a line of who.csv that answers it."""
        self.unclear.append(Unclear(path, question, ",".join(map(quoted, (path, *answer)))))

    def level(self, files: list[File], depth: int) -> None:
        """Decide about everything that lies side by side in a folder or zip."""
        entries = by_part(files, depth)
        parent = files[0].parts[depth - 1] if depth else self.place.resolve().name
        owners = owners_of(entries, parent, depth)
        rest = {}
        for name, inside in entries.items():
            line = self.lines.get("/".join(inside[0].parts[: depth + 1]))
            if line is not None and line.student:
                self.told(name, inside, depth, line.student, owners.get(name))
            elif name in owners:
                self.hand_in(inside, depth, owners[name])
            else:
                rest[name] = inside
        self.by_name(rest, depth, parent, alone=not owners)

    def told(
        self, name: str, files: list[File], depth: int, said: str, owner: Owner | None
    ) -> None:
        """An entry of which who.csv has a line."""
        if said == EXPORT and any(len(file.parts) > depth + 1 for file in files):
            self.level(files, depth + 1)
        elif said == NOBODY:
            self.nobodys += files
        elif owner and said in (owner.number, owner.name):
            self.hand_in(files, depth, owner._replace(why=f"{owner.why}, and {WHO}"))
        else:
            self.hand_in(files, depth, named(said, WHO, stem(name)))

    def hand_in(self, files: list[File], depth: int, owner: Owner) -> None:
        """These files are this student's."""
        if owner.when:
            files = [file._replace(when=owner.when) for file in files]
        self.found.append((files[0].parts[: depth + 1], owner, files))

    def by_name(self, entries: dict[str, list[File]], depth: int, parent: str, alone: bool) -> None:
        """Entries that no LMS has named: exports and folders of a class are looked into, others name a student."""
        loose = {name: files for name, files in entries.items() if len(files[0].parts) == depth + 1}
        boxes = {name: files for name, files in entries.items() if name not in loose}
        works = [
            name
            for name, files in loose.items()
            if not NEUTRAL.search(name) or self.which(files[0])
        ]
        exports = [name for name, files in boxes.items() if self.is_export(files, depth + 1)]
        only = alone and len(boxes) == 1 and not works
        if only and not exports:
            exports = [name for name, files in boxes.items() if self.is_around(name, files, depth)]
        if alone and not exports and self.is_one_student(works, boxes, depth):
            everything = [file for files in entries.values() for file in files]
            self.hand_in(everything, depth - 1, named(stem(parent), "the folder's name"))
            return
        clear = len(exports) == len(boxes) and not works
        for name, files in boxes.items():
            if clear:
                self.level(files, depth + 1)
            else:
                self.box(name, files, depth, name in exports, only)
        for name, files in loose.items():
            self.loose(name, files, depth)

    def box(self, name: str, files: list[File], depth: int, is_export: bool, only: bool) -> None:
        """A folder or zip that names its student; of an only one it has to be sure that it is not the class."""
        path = "/".join(files[0].parts[: depth + 1])
        if is_export:
            self.ask(path, f"an export of an LMS ({EXPORT}), or a student's own work?", EXPORT)
        elif is_state(stem(name)) and not only:
            self.ask(
                path,
                f"its name is no student's: whose is it? ({EXPORT} if it holds students)",
                "NAME",
            )
        elif self.is_class(files, depth + 1, by_any_name=only):
            self.ask(path, f"several students ({EXPORT}), or one with several versions?", EXPORT)
        kind = "folder" if stem(name) == name else "zip"
        self.hand_in(files, depth, named(stem(name), f"the {kind}'s name"))

    def loose(self, name: str, files: list[File], depth: int) -> None:
        """A file beside the folders."""
        path, (file,) = files[0].path, files
        person = left_of(name)
        if self.which(file) or is_closed(file) or name.lower().endswith(".ipynb"):
            if not person:
                self.ask(path, "whose is it? Its name says nothing", "NAME")
                self.nobodys.append(file)
                return
            self.hand_in(files, depth, named(person, "the file's name"))
        elif NEUTRAL.search(name):
            self.nobodys.append(file)
        else:
            self.ask(path, f"whose is it? Nobody's: {NOBODY}", person or NOBODY)
            self.nobodys.append(file)

    def is_export(self, files: list[File], depth: int) -> bool:
        """Did an LMS name what lies in a folder or zip?"""
        inside = [file for file in files if len(file.parts) > depth]
        if not inside:
            return False
        entries = by_part(inside, depth)
        if owners_of(entries, inside[0].parts[depth - 1], depth):
            return True
        return len(entries) == 1 and self.is_export(inside, depth + 1)

    def is_class(self, files: list[File], depth: int, by_any_name: bool = False) -> bool:
        """Do several folders, zips or persons' files in it hold the same notebook, and none is called a draft?

        A file is a person's if its name has a person's beside the notebook's; `by_any_name`: or any name at all.
        """
        boxes: dict[str, set[str]] = defaultdict(set)
        people: dict[str, set[str]] = defaultdict(set)
        for file in files:
            if len(file.parts) <= depth or not file.parts[-1]:
                continue
            if len(file.parts) > depth + 1:
                boxes[file.parts[depth]] |= self.which(file)
            elif self.which(file):
                name = left_of(file.parts[-1]) if by_any_name or by_file_name(file, depth) else ""
                people[name] |= self.which(file)
        if len(boxes) == 1 and not people:  # a folder in the folder
            return self.is_class(files, depth + 1, by_any_name)
        if any(is_state(stem(name)) for name in boxes) or "" in people:
            return False
        held = [name for inside in (*boxes.values(), *people.values()) for name in inside]
        return len(held) > len(set(held))

    def is_around(self, name: str, files: list[File], depth: int) -> bool:
        """Does the only folder, or zip, hold the class?"""
        if WRAPPER.fullmatch(stem(name)) and all(len(file.parts) > depth + 2 for file in files):
            return True
        return self.is_class(files, depth + 1)

    def is_one_student(self, works: list[str], boxes: dict[str, list[File]], depth: int) -> bool:
        """Is the folder itself a student's? Its files have the notebooks' names, its folders no person's."""
        if any(left_of(name) for name in works):
            return False
        with_work = {
            name: files for name, files in boxes.items() if any(map(self.which, worked(files)))
        }
        if not all(is_state(stem(name)) for name in with_work):
            return False
        several = [
            name for name, files in with_work.items() if self.is_class(files, depth + 1, True)
        ]
        return bool(works or with_work) and not several


def by_part(files: list[File], depth: int) -> dict[str, list[File]]:
    """Files by a part of their paths."""
    entries: dict[str, list[File]] = defaultdict(list)
    for file in files:
        entries[file.parts[depth]].append(file)
    return entries


def worked(files: list[File]) -> list[File]:
    """Those that hold something."""
    return [file for file in files if file.parts[-1]]


def stem(name: str) -> str:
    """A folder's name, or a zip's without its ending."""
    return re.sub(r"\.zip$", "", name, flags=re.I).strip() or name


def quoted(text: str) -> str:
    """A text as a cell of a CSV file."""
    return '"{}"'.format(text.replace('"', '""')) if re.search(r'[,;"\n]', text) else text


def by_file_name(file: File, depth: int = 0) -> frozenset[str]:
    """Which notebooks a file may be, by its name alone, from a part of its path on."""
    path = "/".join(file.parts[depth:]).lower()
    return (
        frozenset(name for name in NAMES if name.lower() in path)
        if "ipynb" in path
        else frozenset()
    )


def collect(place: Path, which: Which = by_file_name, wanted: int = len(NAMES)) -> Collection:
    """Whose is each file in a folder, or in a zip?

    Args:
        place: a folder with one folder or zip per student, an export of an LMS or several; or a zip.
        which: tells which notebooks a file holds.
        wanted: the number of notebooks from which on nothing is missed in an archive that can't be opened.
    """
    files = files_in(place)
    filled = {
        file.parts[:length] for file in files if file.parts[-1] for length in range(len(file.parts))
    }
    files = [file for file in files if file.parts[-1] or file.parts[:-1] not in filled]
    collector = Collector(place, which, lines_of(place))
    files = [file for file in files if file.parts != (WHO,)]
    if files:
        collector.level(files, 0)
    submissions = joined(collector)
    for submission in submissions:
        closed_archives(submission, collector, wanted)
    twins(submissions, collector)
    groups(submissions, collector)
    return Collection(submissions, collector.unclear, collector.nobodys)


def closed_archives(submission: Submission, collector: Collector, wanted: int) -> None:
    """An archive that is not opened is a question, if a notebook is missing that may be in it."""
    closed = [file for file in submission.work if is_closed(file)]
    if closed and len(set().union(*map(collector.which, submission.work))) < wanted:
        for file in closed:
            line = line_for(file.parts, collector.lines)
            if line is None or not line.student:
                question = "an archive that is not opened: unpack it into a folder, or let it count as it is"
                collector.ask(file.path, question, submission.owner.number or submission.owner.name)


def joined(collector: Collector) -> list[Submission]:
    """One submission for each student; several hand-ins of one are a question, unless they are the same."""
    known = {}
    for _, owner, _ in collector.found:
        known[owner.number or owner.name] = owner
    found: dict[tuple[str, str], list[tuple[Parts, Owner, list[File]]]] = defaultdict(list)
    for place, owner, files in collector.found:
        if owner.why == WHO and owner.name in known:  # a line of who.csv may give a number, too
            other = known[owner.name]
            owner = other if other.number else owner
        found[owner.identity].append((place, owner, files))
    submissions = []
    for hand_ins in found.values():
        submissions.append(one_of(hand_ins, collector))
    return submissions


def one_of(hand_ins: list[tuple[Parts, Owner, list[File]]], collector: Collector) -> Submission:
    """The submission of one student, who may have handed in at several places."""
    parts: dict[tuple, Submission] = {}
    for place, owner, files in hand_ins:
        # What an LMS names file by file belongs together, as long as it lies side by side under one name.
        where = (place[:-1], owner.name) if owner.number else place
        part = parts.setdefault(where, Submission(owner))
        part.add(place, files)
        part.owner = owner if owner.upload and not part.owner.upload else part.owner
    first, *others = parts.values()
    told = [part for part in parts.values() if WHO in part.owner.why]
    notebooks = (
        collector.held(first) if others else set()
    )  # who hands in notebook by notebook: each counts
    for part in others:
        same = part.fingerprint() == first.fingerprint()
        if same:
            part.files = [
                file._replace(parts=(*file.parts, ""), trouble=SAME) for file in part.files
            ]
        elif len(told) < len(parts) - 1 and notebooks & collector.held(part):
            question = (
                f"another hand-in of {first.owner.name}, beside {top_of(first)}: which one counts?"
            )
            collector.ask(top_of(part), question, NOBODY)
        notebooks |= collector.held(part)
        first.files += part.files
        first.names |= part.names
    late = any(part.owner.late for part in parts.values())
    first.owner = first.owner._replace(late=late)
    first.members = list(first.owner.group) or [first.owner]
    first.group = first.owner.name if first.owner.group else ""
    return first


def top_of(part: Submission) -> str:
    """The path of a hand-in."""
    path = part.files[0].path
    return path.removesuffix(part.names[path]).strip("/") or path


def twins(submissions: list[Submission], collector: Collector) -> None:
    """Two names that differ by case, blanks, accents' form or the number of a copy may be one student, or two."""
    alike: dict[str, list[Submission]] = defaultdict(list)
    for submission in submissions:
        if not submission.owner.number and WHO not in submission.owner.why:
            alike[letters(unicodedata.normalize("NFKC", submission.owner.name))].append(submission)
    for name, found in alike.items():
        for submission in found[1:] if name else []:
            question = f"the same student as {found[0].owner.name!r}, or another one?"
            collector.ask(top_of(submission), question, submission.owner.name)


def groups(submissions: list[Submission], collector: Collector) -> None:
    """Make one submission of what Moodle lists for each member of a group: the same files, under `Group-Name`.

    If Moodle names a group for everybody, it is one; if not, the teacher is asked: copied work is the same, too.
    """
    teams: dict[str, list[Submission]] = defaultdict(list)
    moodle = [submission for submission in submissions if submission.owner.system == "Moodle"]
    everybody = all("-" in submission.owner.name for submission in moodle)
    for submission in submissions:
        line = line_for(submission.files[0].parts, collector.lines)
        group, dash, _ = submission.owner.name.partition("-")
        if line and line.group:
            teams[line.group].append(submission)
        elif dash and not line and submission in moodle and submission.work:
            teams[f"{group}\n{submission.fingerprint()}"].append(submission)
    for name, members in teams.items():
        group, guessed, _ = name.partition("\n")
        if not guessed or (everybody and len(members) > 1):
            unite(group, members, submissions)
        else:
            for member in members if len(members) > 1 else []:
                question = f"the same files as {len(members) - 1} more of {group!r}: a group, or copied (no group)?"
                collector.ask(top_of(member), question, member.owner.number, group)


def unite(group: str, members: list[Submission], submissions: list[Submission]) -> None:
    """One submission in place of those of a group's members."""
    first, *others = members
    first.group, first.members = group, [member.owner for member in members]
    first.key = key_of(named(group, ""))
    for other in others:
        submissions.remove(other)
        first.files += [f._replace(parts=(*f.parts, ""), trouble=SAME) for f in other.files]
        first.names |= other.names
