"""What was handed in, kept: a zip for each hand-in, so that a class can be graded again, and an older one is known."""

import time
import zipfile
from pathlib import Path
from typing import Any

from coursework.files import replacing
from teaching.archives import MOST_BYTES, File, date, files_in
from teaching.people import Owner
from teaching.submissions import Submission

FOLDER = "handed-in"
KEPT = ("system", "number", "name", "folder", "late", "upload", "also")  # of an Owner


def facts_on(submission: Submission) -> dict[str, Any]:
    """Who a submission is from, as JSON has it."""
    members = [{name: getattr(member, name) for name in KEPT} for member in submission.members]
    members = [{**member, "also": list(member["also"])} for member in members]
    return {"identity": list(submission.identity), "group": submission.group, "members": members}


def facts_of_files(submission: Submission, before: dict[str, Any]) -> dict[str, Any]:
    """Which hand-in counts, and which ones have counted."""
    mark = submission.fingerprint()
    return {
        "fingerprint": mark,
        "when": submission.when,
        "counted": [*before.get("counted", []), mark],
    }


def key_in(facts: dict[str, dict], submission: Submission) -> str:
    """The key of a student: the one from earlier gradings, whatever the name is now; or a new one that nobody has."""
    for who, known in facts.items():
        if tuple(known.get("identity", ())) == submission.identity:
            return who
    taken = {who.casefold() for who in facts}
    key = submission.key
    return f"{key}-{submission.identity[0]}" if key.casefold() in taken else key


def keep(course: Path, submission: Submission, facts: dict[str, Any]) -> list[dict[str, Any]]:
    """Store the files of a submission, if that has not been done; returns the list of all hand-ins of its student."""
    before = list(facts.get("hand-ins", []))
    mark = submission.fingerprint()
    if any(each["fingerprint"] == mark for each in before):
        return before
    folder = course / FOLDER / submission.key
    folder.mkdir(parents=True, exist_ok=True)
    name = f"{len(before) + 1}.zip"
    with (
        replacing(folder / name) as aside,
        zipfile.ZipFile(aside, "w", zipfile.ZIP_DEFLATED) as archive,
    ):
        left, taken = MOST_BYTES, set[str]()
        for file in sorted(submission.work, key=lambda file: "ipynb" not in file.path.lower()):
            left -= file.size
            if left >= 0:
                pack(archive, file, unused(submission.names[file.path], taken))
    record = {
        "zip": name,
        "fingerprint": mark,
        "when": submission.when,
        "trouble": submission.trouble,
    }
    return [*before, record | {"kept": time.strftime("%Y-%m-%d %H:%M")}]


def unused(name: str, taken: set[str]) -> str:
    """A name in a zip that no other file has."""
    while name in taken:
        name = f"again/{name}"
    taken.add(name)
    return name


def pack(archive: zipfile.ZipFile, file: File, name: str) -> None:
    """Put a file into a zip, with its date."""
    try:
        content = file.read()
    except Exception:  # a damaged file is told of already
        return
    when = file.when if file.when and 1980 <= file.when[0] < 2108 else (1980, 1, 1, 0, 0, 0)
    year, month, day, hour, minute, second = (*when, 0)[:6]
    archive.writestr(
        zipfile.ZipInfo(name, (year, month, day, hour, minute, second)),
        content,
        zipfile.ZIP_DEFLATED,
    )


def kept(course: Path, who: str, facts: dict[str, Any]) -> Submission | None:
    """The hand-in that counts of a student, from what was stored; None if nothing is."""
    for each in facts.get("hand-ins", []):
        path = course / FOLDER / who / each["zip"]
        if each["fingerprint"] == facts.get("fingerprint") and path.exists():
            owners = [
                Owner(**{**member, "also": tuple(member["also"]), "why": "kept"})
                for member in facts["members"]
            ]
            submission = Submission(owners[0])
            submission.members, submission.group, submission.key = (
                owners,
                facts.get("group", ""),
                who,
            )
            submission.add((path.name,), files_in(path))
            submission.told = each["trouble"]
            return submission
    return None


def older(submission: Submission, facts: dict[str, Any]) -> str:
    """Why a hand-in is older than the one that is graded; '' if it is not."""
    mark, counts = submission.fingerprint(), facts.get("fingerprint")
    if not counts or mark == counts:
        return ""
    if mark in facts.get("counted", []):
        return "an older hand-in, which was graded before the one that counts"
    when = tuple(facts.get("when") or ())
    if submission.when and when and submission.when < when:
        return f"an older hand-in than the one that counts, which is of {date(when)}"
    return ""
