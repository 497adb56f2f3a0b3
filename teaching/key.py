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
from teaching.handout import ASSIGNMENT, UNGRADED

# What a mark depends on: an option and what it is if nobody says anything.
DEFAULTS: dict[str, Any] = {"data": "digits", "epochs": None, "variants": False}
DEFAULTS |= {"cell_seconds": 600, "seconds": 1800, "memory_mib": 4096}
LIBRARIES = (
    "tensorflow",
    "keras",
    "numpy",
    "scipy",
    "sympy",
    "scikit-learn",
    "nbgrader",
    "ipython",
)
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
    checks: dict[str, nbformat.NotebookNode] = {}
    given: dict[str, str] = {}
    without_points = {path.name for path in UNGRADED}
    for path in sorted(release.glob("*.ipynb")):
        if path.name in without_points:
            continue
        cells = nbformat.read(path, as_version=4).cells
        checks |= {cell.id: cell for cell in cells if is_grade(cell)}
        given[path.stem] = digest(" ".join(cell.source for cell in cells).encode())
    return {
        "options": {name: getattr(options, name) for name in DEFAULTS},
        "data": of_files([Path(options.data)]),
        "versions": versions(),
        "checks": {
            name: digest(f"{cell.source}\n{cell.metadata.nbgrader.points}".encode())
            for name, cell in checks.items()
        },
        "hand-out": given,
        "code": of_files(code()),
    }


def versions() -> dict[str, str]:
    """Python's version and those of the libraries."""
    return {"python": platform.python_version()} | {
        name: importlib.metadata.version(name) for name in LIBRARIES
    }


def code() -> list[Path]:
    """The files whose code decides a mark."""
    rooms = [ROOT / "teaching" / f"{room}.py" for room in ROOMS]
    return [ROOT / "helpers.py", *sorted((ROOT / "coursework").rglob("*.py")), *rooms]


def of_files(paths: list[Path]) -> dict[str, str]:
    """dict from the files that there are to a hash of what they hold."""
    found = {}
    for path in filter(Path.is_file, paths):
        name = path.relative_to(ROOT) if path.is_relative_to(ROOT) else path
        found[str(name)] = digest(path.read_bytes())
    return found


def digest(content: bytes) -> str:
    """A short hash."""
    return hashlib.sha256(content).hexdigest()[:16]


def short(key: dict[str, dict]) -> str:
    """A key in a word."""
    return digest(json.dumps(key, sort_keys=True).encode())


def differences(old: dict[str, dict], new: dict[str, dict]) -> list[str]:
    """What differs between two keys, in a few words each."""
    found = []
    for part, now in new.items():
        before = old.get(part, {})
        names = [name for name in {**before, **now} if before.get(name) != now.get(name)]
        if part in ("options", "versions"):
            found += [f"{name} was {before.get(name)}, is {now.get(name)}" for name in names]
        elif names:
            more = [f"and {len(names) - FEW} more"] if len(names) > FEW else []
            found.append(f"{part}: {', '.join(names[:FEW] + more)}")
    return found


def remembered(course: Path) -> dict[str, dict]:
    """The key of the last grading in a course folder; {} before the first."""
    path = course / "grading.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def remember(course: Path, key: dict[str, dict]) -> None:
    """Write the key of a grading beside its marks."""
    write_text(course / "grading.json", json.dumps(key, indent=1))
