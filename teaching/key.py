"""The key of a grading: all that decides a mark beside what was handed in. It is the same for everybody.

It is remembered in `grading.json`: options, data, versions of the libraries, and hashes of the checks, the hand-out and
the code.
"""

import argparse
import hashlib
import importlib.metadata
import json
import platform
from pathlib import Path
from typing import Any

import nbformat
from nbgrader.utils import is_grade

from coursework.files import ROOT, write_text
from teaching.handout import ASSIGNMENT

# What a mark depends on: an option and what it is if nobody says anything.
DEFAULTS: dict[str, Any] = {"data": "digits", "epochs": None, "variants": False}
DEFAULTS |= {"cell_seconds": 600, "seconds": 1800, "memory_mib": 4096}
LIBRARIES = ("tensorflow", "keras", "numpy", "scipy", "sympy", "scikit-learn", "nbgrader", "ipython")
# Of the teacher's rooms those that run a submission, choose its files and take its answers.
ROOMS = ("cells", "grading", "inside", "sandbox", "values", "versions")
FEW = 6  # differences that are named


def settle(options: argparse.Namespace, remembered: dict) -> None:
    """Give each option that was not given the value of the last grading, or the usual one."""
    last = remembered.get("options", {})
    for name, usual in DEFAULTS.items():
        if getattr(options, name) is None:
            setattr(options, name, last.get(name, usual))


def key_of(course: Path, options: argparse.Namespace) -> dict[str, dict]:
    """The key of a grading with these options; `course` is a course folder with its hand-out."""
    release = course / "release" / ASSIGNMENT
    notebooks = {path.stem: nbformat.read(path, as_version=4) for path in sorted(release.glob("*.ipynb"))}
    checks = {cell.id: cell for book in notebooks.values() for cell in book.cells if is_grade(cell)}
    given = {name: " ".join(cell.source for cell in book.cells) for name, book in notebooks.items()}
    code = [ROOT / "helpers.py", *sorted((ROOT / "coursework").rglob("*.py"))]
    code += [ROOT / "teaching" / f"{room}.py" for room in ROOMS]
    return {
        "options": {name: getattr(options, name) for name in DEFAULTS},
        "data": {options.data: digest(Path(options.data).read_bytes())} if Path(options.data).is_file() else {},
        "versions": {"python": platform.python_version()}
        | {name: importlib.metadata.version(name) for name in LIBRARIES},
        "checks": {name: digest(f"{c.source}\n{c.metadata.nbgrader.points}".encode()) for name, c in checks.items()},
        "hand-out": {name: digest(text.encode()) for name, text in given.items()},
        "code": {str(path.relative_to(ROOT)): digest(path.read_bytes()) for path in code if path.exists()},
    }


def digest(content: bytes) -> str:
    """A short hash."""
    return hashlib.sha256(content).hexdigest()[:16]


def short(key: dict[str, dict]) -> str:
    """A key in a word."""
    return digest(json.dumps(key, sort_keys=True).encode())


def differences(old: dict[str, dict], new: dict[str, dict]) -> list[str]:
    """What differs between two keys, in a few words each."""
    found = []
    for part in new:
        before, now = old.get(part, {}), new[part]
        names = [name for name in {**before, **now} if before.get(name) != now.get(name)]
        if part in ("options", "versions"):
            found += [f"{name} was {before.get(name)}, is {now.get(name)}" for name in names]
        elif names:
            more = f" and {len(names) - FEW} more" if len(names) > FEW else ""
            found.append(f"{part}: {', '.join(names[:FEW])}{more}")
    return found


def remembered(course: Path) -> dict[str, dict]:
    """The key of the last grading in a course folder; {} before the first."""
    path = course / "grading.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def remember(course: Path, key: dict[str, dict]) -> None:
    """Write the key of a grading beside its marks."""
    write_text(course / "grading.json", json.dumps(key, indent=1))
