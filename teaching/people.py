"""Whose is it? What the names of files and folders say, by the rules of the system that wrote them.

Moodle: mod/assign/locallib.php, download_submissions. Canvas: lib/content_zipper.rb. Blackboard: Assignment File
Download. ILIAS: the folder of an exercise's submissions. Gradescope: Export Submissions.
"""

import itertools
import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable
from typing import NamedTuple

import yaml

from coursework.variants import words_of
from teaching.archives import CLOSED, File
from teaching.handout import NAMES, UNGRADED

OUR_NAMES = "|".join([*NAMES, *(path.stem for path in UNGRADED)])  # of notebooks
MOODLE = re.compile(r"((?P<name>.+)_(?P<number>\d+)_assignsubmission_[a-z]+_?).*", re.S)
CANVAS = re.compile(
    r"(?P<upload>(?P<name>[^\W_].*?)_(?P<late>LATE_)?(?P<number>[1-9]\d*)_(?:[1-9]\d*_|(?=text|link)))(.+)"
)
CANVAS_ANONYMOUS = re.compile(
    r"(?P<upload>(?P<late>LATE_)?anon_(?P<number>[^\W_]+)_(?:[1-9]\d*_|(?=text|link)))(.+)"
)
BLACKBOARD = re.compile(r".+_(?P<number>[^_]+)_attempt_(?P<when>\d{4}(?:-\d\d){5})(?:_.*|\.txt)")
BLACKBOARD_TEXT = re.compile(r"^\S+?:\s*(?P<name>.+?)\s*\((?P<number>[^()\s]+)\)\s*$", re.M)
ILIAS = re.compile(r"(?P<name>.+_[^_]+)_(?P<login>[^_]+)_(?P<number>\d+)")
ILIAS_FOLDER = re.compile(r"Abgaben|Submissions|Entregas|Soumissions|Remises", re.I)
WRAPPER = re.compile(
    r"(.*[-_ ])?(submissions|abgaben|entregas|soumissions|remises|export)([-_ .].*)?", re.I
)
GRADESCOPE = re.compile(r"submission_(?P<number>\d+)")
# What lies beside submissions and is nobody's: tables, lists, notes.
NEUTRAL = re.compile(r"\.(csv|tsv|xlsx?|ods|txt|md|ya?ml|json|log|ini|html?)$", re.I)
# Words for the state of a work, which name no person.
STATES = set(
    [
        "draft",
        "drafts",
        "old",
        "final",
        "new",
        "backup",
        "copy",
        "copies",
        "version",
        "versions",
        "attempt",
        "try",
        "entwurf",
        "entwurfe",
        "kopie",
        "versuch",
        "brouillon",
        "ancien",
        "copie",
        "borrador",
        "viejo",
        "nuevo",
        "tmp",
        "temp",
        "archive",
        "homework",
        "hw",
        "work",
        "notebook",
        "notebooks",
        "submission",
        "submitted",
        "assignment",
        "abgabe",
        "solution",
        "lstm",
        "gru",
        "gates",
        "gate",
        "lab",
        "exercise",
        "task",
        "finished",
        "fertig",
        "v",
        "q",
    ]
)


MOST_WORDS = 6  # of a name that is tried in any order


class Owner(NamedTuple):
    """A student, as a name of a file or folder says it.

    Attributes:
        system: which rule the name follows; "folder" for a name alone.
        number: the system's unique number or login; "" for a name alone.
        name: for people to read; decides the variant, if there are any.
        folder: the name under which the system takes feedback back.
        why: how it was told, for the table.
        late: the system says so.
        when: of the attempt, if the name has it.
        upload: what begins the names of files that Canvas takes back.
        also: other unique names of the same person: a login, an address.
        group: the members, if it is a group's.
    """

    system: str
    number: str
    name: str
    folder: str
    why: str
    late: bool = False
    when: tuple[int, ...] = ()
    upload: str = ""
    also: tuple[str, ...] = ()
    group: tuple["Owner", ...] = ()

    @property
    def identity(self) -> tuple[str, str]:
        """What makes two names the same student."""
        return (self.system, self.number) if self.number else ("folder", self.name)


def named(name: str, why: str, folder: str = "") -> Owner:
    """The student whom a folder or a file is named after."""
    return Owner("folder", "", unicodedata.normalize("NFC", name), folder or name, why)


def owners_of(entries: dict[str, list[File]], parent: str, depth: int) -> dict[str, Owner]:
    """Whose the entries of a folder or zip are, as far as an LMS has named them."""
    found = of_moodle(entries)
    files = [name for name in entries if name not in found and is_file(name, entries, depth)]
    found |= of_canvas(files, entries)
    found |= of_blackboard({name: entries[name] for name in entries if name not in found})
    folders = [name for name in entries if name not in found and not is_file(name, entries, depth)]
    return found | of_ilias(folders, parent) | of_gradescope(folders, entries)


def of_moodle(entries: Iterable[str]) -> dict[str, Owner]:
    """Moodle's names, of folders and files."""
    found = {}
    for name in entries:
        if match := MOODLE.fullmatch(name):
            found[name] = Owner("Moodle", match["number"], match["name"], match[1], "Moodle's name")
    return found


def is_file(name: str, entries: dict[str, list[File]], depth: int) -> bool:
    """Is an entry a file? A zip is one, too."""
    return name.lower().endswith(".zip") or any(
        len(file.parts) == depth + 1 for file in entries[name]
    )


def of_canvas(names: list[str], entries: Iterable[str]) -> dict[str, Owner]:
    """Canvas's names, if most are: a number belongs to one name, and what does not fit is nobody's work."""
    found: dict[str, Owner] = {}
    people: dict[str, set[str]] = defaultdict(set)
    for name in names:
        anonymous = CANVAS_ANONYMOUS.fullmatch(name)
        if match := anonymous or CANVAS.fullmatch(name):
            number = match["number"]
            who = f"anon {number}" if anonymous else match["name"]
            people[number].add(who)
            late = bool(match["late"])
            found[name] = Owner(
                "Canvas", number, who, f"{who}_{number}", "Canvas's name", late, (), match["upload"]
            )
    works = [name for name in entries if not NEUTRAL.search(name) or name in found]
    if len(found) * 2 <= len(works) or any(len(who) > 1 for who in people.values()):
        return {}
    return found


def of_blackboard(entries: dict[str, list[File]]) -> dict[str, Owner]:
    """Blackboard's names; a login that holds `_` is told by the text that Blackboard puts beside the files."""
    matches = {name: match for name in entries if (match := BLACKBOARD.fullmatch(name))}
    names: dict[str, str] = {}
    for name in matches:
        names |= told_by_blackboard(name, entries[name][0])
    found = {}
    for name, match in matches.items():
        login = next((login for login in names if f"_{login}_attempt_" in name), match["number"])
        when = tuple(int(part) for part in match["when"].split("-"))
        found[name] = Owner(
            "Blackboard", login, names.get(login, login), login, "Blackboard's name", False, when
        )
    return found


def told_by_blackboard(name: str, file: File) -> dict[str, str]:
    """dict from a login to its name, if a file is the text in which Blackboard says so."""
    if not name.endswith(".txt") or file.size > 2**20:
        return {}
    said = BLACKBOARD_TEXT.search(file.read().decode("utf-8-sig", "replace"))
    ours = said and f"_{said['number']}_attempt_" in name
    return {said["number"]: said["name"]} if said and ours else {}


def of_ilias(folders: list[str], parent: str) -> dict[str, Owner]:
    """ILIAS's names, if all folders have one and no number is there twice."""
    matches = {name: ILIAS.fullmatch(name) for name in folders}
    found = [match for match in matches.values() if match]
    distinct = len({match["number"] for match in found}) == len(folders)
    if not folders or not distinct or not (ILIAS_FOLDER.fullmatch(parent) or len(folders) > 1):
        return {}
    people = {}
    for match in found:
        name, login = match["name"].replace("_", " "), match["login"]
        people[match[0]] = Owner(
            "ILIAS", match["number"], name, match[0], "ILIAS's name", also=(login,)
        )
    return people


def of_gradescope(folders: list[str], entries: dict[str, list[File]]) -> dict[str, Owner]:
    """Gradescope's folders; who they are stands in a file beside them."""
    said = (
        submitters(entries["submission_metadata.yml"][0])
        if "submission_metadata.yml" in entries
        else {}
    )
    people = {}
    for folder in folders:
        if match := GRADESCOPE.fullmatch(folder):
            unknown = Owner("Gradescope", match["number"], folder, folder, "Gradescope's name")
            members = [
                submitter(person, unknown)
                for person in said.get(folder, [])
                if isinstance(person, dict)
            ]
            people[folder] = members[0] if len(members) == 1 else unknown
            if len(members) > 1:
                name, number = (
                    " and ".join(part)
                    for part in zip(*((m.name, m.number) for m in members), strict=True)
                )
                people[folder] = unknown._replace(name=name, number=number, group=tuple(members))
    return people


def submitter(person: dict, unknown: Owner) -> Owner:
    """A person of Gradescope's metadata, whose own number outlives a second hand-in."""
    unique = tuple(str(person[key]) for key in (":sid", ":email") if person.get(key))
    number = unique[0] if unique else unknown.number
    return unknown._replace(
        name=str(person.get(":name") or unknown.name), number=number, also=unique
    )


def submitters(file: File) -> dict:
    """dict from folder to its submitters, of Gradescope's metadata; none if it can't be read."""
    try:
        said = yaml.safe_load(file.read().decode("utf-8-sig"))
        return {str(folder): facts.get(":submitters") or [] for folder, facts in said.items()}
    except (yaml.YAMLError, ValueError, AttributeError):
        return {}


def left_of(name: str) -> str:
    """What a file's name says beside the notebook's name and the state of the work: a person, or ''."""
    stem = (
        re.split(r"\.ipynb\b", name, flags=re.I)[0]
        if ".ipynb" in name.lower()
        else name.rpartition(".")[0] or name
    )
    stem = re.sub(OUR_NAMES, " ", CLOSED.sub("", stem), flags=re.I)
    stem = re.sub(r"\(\d+\)|[-_ ]*copy ?\d*\b|-\d+$", "", stem, flags=re.I).strip(" _-.()")
    return "" if is_state(stem) else stem


def is_state(name: str) -> bool:
    """Does a name speak of the state of a work only: 'drafts', 'final v2', '02_training'?"""
    rest = re.sub(OUR_NAMES, " ", name, flags=re.I)
    words = re.findall(r"[^\W\d_]+", rest)
    if not words:  # a number of three digits may be a person's
        digits = re.sub(r"[ _.()-]", "", rest)
        return not digits or (digits.isdecimal() and len(digits) < 3)
    return all(word.casefold() in STATES for word in words)


def letters(name: str) -> str:
    """A name's words in alphabetical order, without case, commas and the number of a copy."""
    words = re.findall(
        r"[^\W_]+|[@.]", re.sub(r"\(\d+\)\s*$|[-_ ]copy$", "", name, flags=re.I).casefold()
    )
    return "".join(sorted(words))


def same_person(written: str, name: str) -> bool:
    """Is a name as its bearer writes it the one that an LMS made 'doejane' of, or 'Group 1-Jane Doe'?"""
    words = words_of(written)
    for made in (name, name.partition("-")[2]):
        letters = "".join(words_of(made))
        if (
            words
            and len(words) <= MOST_WORDS
            and letters in map("".join, itertools.permutations(words))
        ):
            return True
    return False
