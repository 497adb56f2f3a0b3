"""The folders in which a submission runs, and what is read from them afterwards, within bounds."""

import contextlib
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import matplotlib

MOST_LINE = 8 * 2**20  # bytes of a line of a result
MOST_RESULT = 128 * 2**20  # bytes of a result that are read
MOST_LOG = 200_000  # bytes of a log that are kept


def furnish(own: Path, models: Path | None) -> None:
    """A folder as a run finds it: empty but for trained models, ours and the student's; all else is gone."""
    own.mkdir(parents=True, exist_ok=True)
    own.chmod(0o700)
    for name in ("work", "home", "before"):
        discard(own / name)
    if (own / "runs").exists() or (own / "runs").is_symlink():
        (own / "runs").rename(own / "before")
    for folder in ("work", "home/tmp"):
        (own / folder).mkdir(parents=True)
    # With a cache of fonts at hand, no process builds its own and says so.
    shutil.copytree(matplotlib.get_cachedir(), own / "home" / "matplotlib")
    adopt(own / "before" / "models", own / "runs" / "models", models)
    discard(own / "before")


def discard(path: Path) -> None:
    """Remove what lies at a path, and follow no link."""
    if path.is_symlink() or path.is_file():
        path.unlink()
    shutil.rmtree(path, ignore_errors=True)


def adopt(theirs: Path, ours: Path, models: Path | None) -> None:
    """Copy the models that a submission has added to those that it found. No link is followed."""
    ours.mkdir(parents=True, exist_ok=True)
    if models:
        shutil.copytree(models, ours, dirs_exist_ok=True)
    for path in theirs.glob("*") if theirs.resolve() == theirs else ():
        model = path.suffix in (".keras", ".json") and path.is_file() and not path.is_symlink()
        if model and not (models and (models / path.name).exists()):
            shutil.copyfile(path, ours / path.name)


def lines_of(result: Path) -> Iterator[dict]:
    """The lines of a result; what is too long is left out before it is read, and a result has an end."""
    with open(result, "rb") as file:
        while file.tell() < MOST_RESULT and (line := file.readline(MOST_LINE)):
            if line.endswith(b"\n") and line.strip():
                with contextlib.suppress(ValueError, RecursionError):
                    said = json.loads(line.decode("utf-8", "replace"))
                    if isinstance(said, dict):
                        yield said
            while line and not line.endswith(b"\n"):  # the rest of a line that is too long
                line = file.readline(MOST_LINE)


def tail(path: Path, most: int) -> bytes:
    """The end of a file."""
    with open(path, "rb") as file:
        file.seek(max(0, os.fstat(file.fileno()).st_size - most))
        return file.read(most)


def last_line(log: Path) -> str:
    """The last line of a log that says something."""
    lines = tail(log, 10_000).decode("utf-8", "replace").split("\n") if log.exists() else []
    return next((line.strip()[:200] for line in reversed(lines) if line.strip()), "")


# Pages ---------------------------------------------------------------------------------------------------------------
