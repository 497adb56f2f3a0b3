"""What is kept of a graded submission for the talk with its student: the answers that counted, and the weights."""

import json
import shutil
from pathlib import Path
from typing import Any

FOLDER = "work"
ANSWERS = "answers.json"
MODELS = Path("check") / "own" / "runs" / "models"  # below the folder of a grading
MOST_ANSWER = 200_000  # characters of one that is kept: nobody is asked about longer ones
MOST_MODELS = 64 * 2**20  # bytes of a student's own models that are kept


def write_answers(base: Path, student: str | None, chosen: dict[str, dict[str, str]]) -> None:
    """Leave the answers that counted in the folder of a grading: by check, by name, as expressions."""
    answers = {}
    for values in chosen.values():
        for name, value in values.items():
            if len(value) <= MOST_ANSWER:
                answers[name] = value
    facts = json.dumps({"student": student or "", "answers": answers})
    base.mkdir(parents=True, exist_ok=True)
    (base / ANSWERS).write_text(facts, encoding="utf-8")


def left_in(base: Path, ours: set[str]) -> dict[str, bytes]:
    """dict from path to content of what a grading has left in its folder; `ours` are the names of our own models."""
    found, left = {}, MOST_MODELS
    if (base / ANSWERS).exists():
        found[ANSWERS] = (base / ANSWERS).read_bytes()
    for path in sorted((base / MODELS).glob("*")):
        if path.name not in ours and path.is_file():
            left -= path.stat().st_size
            if left >= 0:
                found[str(MODELS / path.name)] = path.read_bytes()
    return found


def write(base: Path, files: dict[str, bytes]) -> None:
    """Put such files into a folder."""
    for name, content in files.items():
        (base / name).parent.mkdir(parents=True, exist_ok=True)
        (base / name).write_bytes(content)


def keep(course: Path, who: str, base: Path) -> None:
    """Keep in a course what the grading of a student has left, in place of what was there."""
    ours = {path.name for path in (course / "models").glob("*/*/*")}
    files = left_in(base, ours)
    shutil.rmtree(course / FOLDER / who, ignore_errors=True)
    write(course / FOLDER / who, files)


def of(course: Path, who: str) -> tuple[str, dict[str, str]] | None:
    """(the name that decides the variant, the answers as expressions); None if a student's were not kept."""
    path = course / FOLDER / who / ANSWERS
    if not path.exists():
        return None
    facts: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return facts["student"], facts["answers"]
