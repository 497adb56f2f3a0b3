"""The pages that students get back, and the zips in which an LMS takes them. Only what has changed is written."""

import hashlib
import json
import re
import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from nbgrader.api import Gradebook

from coursework.files import replacing, write_text
from teaching import marks
from teaching.handout import ASSIGNMENT, HANDOUT, nbgrader

LOOK = "1"  # raise it where a change of `finished` has to reach pages that are written already


def write_feedback(course: Path) -> None:
    """Write the pages of everybody whose points, comments or answers have changed, and the zips."""
    facts, path = marks.known(course), course / "feedback.json"
    written = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    with marks.book(course) as gradebook:
        states = {who: state_of(course, who, gradebook) for who in facts}
    for who, state in states.items():
        folder = course / "feedback" / who / ASSIGNMENT
        if not any(
            (course / "autograded" / who / ASSIGNMENT).glob("*.ipynb")
        ):  # nothing that could be read
            shutil.rmtree(folder, ignore_errors=True)
            written[who] = state
        elif written.get(who) != state or not folder.exists():
            nbgrader(course, "generate_feedback", who)
            for page in folder.glob("*.html"):
                write_text(page, finished(page.read_text(encoding="utf-8")))
            written[who] = state
            write_text(path, json.dumps(written))
    write_text(path, json.dumps({who: written[who] for who in states}))
    write_zips(course, facts)


def state_of(course: Path, who: str, gradebook: Gradebook) -> str:
    """A hash of all that a student's pages show."""
    submission = gradebook.find_submission(ASSIGNMENT, who)
    state = hashlib.sha256(LOOK.encode())
    for notebook in submission.notebooks:
        shown: list[tuple] = [
            (grade.name, grade.score, grade.max_score) for grade in notebook.grades
        ]
        shown += [(comment.name, comment.comment) for comment in notebook.comments]
        state.update(repr(sorted(shown, key=str)).encode())
    for page in sorted((course / "autograded" / who / ASSIGNMENT).glob("*.ipynb")):
        state.update(page.read_bytes())
    return state.hexdigest()


def finished(page: str) -> str:
    """A page of nbgrader's with its language, and links that say where they lead."""
    page = page.replace("<html>", '<html lang="en">', 1)
    return re.sub(r'<a href="#(comment-)?([\w-]+)">([\w -]+)</a>', renamed_link, page)


def renamed_link(match: re.Match) -> str:
    """A link with its question's name, if it leads to a box for points."""
    if match[3] not in LINKS:
        return match[0]
    return f'<a href="#{match[1] or ""}{match[2]}">{marks.question_of(match[2])}: {LINKS[match[3]]}</a>'


LINKS = {
    "Test cell": "check",
    "Coding free-response": "check",
    "Written response": "text",
    "Comment": "comment",
}


def write_zips(course: Path, facts: dict[str, dict[str, Any]]) -> None:
    """feedback.zip with a folder per student, as Moodle and ILIAS take it; feedback-canvas.zip with Canvas's names."""
    folders, canvas = list(in_folders(course, facts)), list(for_canvas(course, facts))
    for name, pages in (("feedback.zip", folders), ("feedback-canvas.zip", canvas)):
        if not pages:
            (course / name).unlink(missing_ok=True)
            continue
        with (
            replacing(course / name) as path,
            zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive,
        ):
            for page, place in pages:
                archive.write(page, place)


def in_folders(course: Path, facts: dict[str, dict[str, Any]]) -> Iterator[tuple[Path, str]]:
    """(page, its place in the zip), for each member of a group too; no two students share a folder."""
    taken: set[str] = set()
    for who, known in facts.items():
        for member in known.get("members") or [{"folder": who}]:
            folder = member["folder"]
            while folder.casefold() in taken:
                folder = f"{folder} {who}"
            taken.add(folder.casefold())
            for page in pages_of(course, who):
                yield page, f"{folder}/{page.name}"


def for_canvas(course: Path, facts: dict[str, dict[str, Any]]) -> Iterator[tuple[Path, str]]:
    """(page, its name), as *Re-upload submissions* finds a student: by the numbers that the download had."""
    for who, known in facts.items():
        for member in known.get("members", []):
            for page in pages_of(course, who) if member.get("upload") else []:
                yield page, f"{member['upload']}{page.name}"


def pages_of(course: Path, who: str) -> list[Path]:
    """The feedback pages of a student."""
    return sorted((course / "feedback" / who / ASSIGNMENT).glob("*.html"))


def configure(course: Path) -> None:
    """Write nbgrader's settings for Formgrader, whatever course the teacher's own settings name."""
    settings = f"c = get_config()\nc.CourseDirectory.root = {str(course)!r}\n"
    write_text(
        course / "nbgrader_config.py", f"{settings}c.CourseDirectory.course_id = {HANDOUT!r}\n"
    )
