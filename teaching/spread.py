"""Submissions on the workers of a Dask scheduler: `make grade SCHEDULER=tcp://...`. The same sandbox, the same marks.

The choice among a student's files stays here; a worker gets notebooks, and gives pages back. One that dies costs the
submission that it was at, which another one then grades from the top.
"""

import argparse
import atexit
import contextlib
import os
import platform
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import nbformat
from nbformat import NotebookNode

from teaching import Refused, Trouble, key, sandbox, work
from teaching.cells import read
from teaching.folders import MOST_LOG, tail
from teaching.grading import Grader, Grading
from teaching.handout import ASSIGNMENT
from teaching.submissions import Submission
from teaching.versions import notebooks_of

Grade = Callable[[Submission], tuple[dict[str, NotebookNode], list[str], float]]


class Setting(NamedTuple):
    """What a worker needs to know for all submissions."""

    options: dict[str, Any]
    handouts: dict[str, str]  # notebooks as JSON
    models: dict[int, dict[str, bytes]]  # by variant, by file name
    reached: dict[str, list[float]]
    key: dict[str, dict]


class Task(NamedTuple):
    """What a worker needs to know of a submission."""

    who: str
    student: str
    notebooks: dict[str, str]  # as JSON


class Graded(NamedTuple):
    """What came of it."""

    pages: dict[str, str]  # as JSON
    notes: list[tuple[bool, str]]  # (is it a Trouble, what it says)
    log: bytes
    seconds: float
    left: dict[str, bytes]  # for the talk, by path


# Here ----------------------------------------------------------------------------------------------------------------
@contextlib.contextmanager
def graders(grader: Grader, jobs: int) -> Iterator[tuple[Grade, int]]:
    """(what grades a submission, how many at a time): on this machine, or on the workers of COURSEWORK_SCHEDULER.

    Refused if no scheduler answers, or it has no workers.
    """
    scheduler = os.environ.get("COURSEWORK_SCHEDULER")
    if not scheduler:
        yield grader.grade, jobs
        return
    with client_of(scheduler) as client:
        known = setting_of(grader)
        unfit = [why for why in client.run(probe, known).values() if why]
        if unfit:
            raise Refused("; ".join(sorted(set(unfit))))
        threads = sum(client.nthreads().values())
        # With each submission: what is laid on a worker beforehand would be lost with it, and with that all that waits.
        yield lambda submission: grade_far(client, known, grader, submission), 2 * threads


def client_of(scheduler: str) -> Any:
    """A client of a scheduler that has workers."""
    try:
        import distributed

        client = distributed.Client(scheduler, timeout="10s", set_as_default=False)
    except ImportError:
        raise Refused("a scheduler needs Dask: pip install distributed") from None
    except (OSError, ValueError):
        raise Refused(
            f"no Dask scheduler at {scheduler}: start one with 'dask scheduler'"
        ) from None
    if not client.nthreads():
        client.close()
        raise Refused(
            f"the Dask scheduler at {scheduler} has no workers: start some with 'dask worker'"
        )
    return client


def setting_of(grader: Grader) -> Setting:
    """What all submissions of a grading share."""
    handouts = {name: nbformat.writes(book) for name, book in grader.handouts.items()}
    models = {
        number: {path.name: path.read_bytes() for path in sorted(folder.iterdir())}
        for number, folder in grader.models.items()
    }
    mark = key.key_of(grader.course, grader.options)
    return Setting(vars(grader.options), handouts, models, grader.reached, mark)


def grade_far(
    client: Any, setting: Any, grader: Grader, submission: Submission
) -> tuple[dict, list[str], float]:
    """Let a worker grade a submission; no submission may end the grading."""
    start = time.monotonic()
    grader.tidy(submission.key)
    try:
        notebooks, notes = notebooks_of(submission, grader.handouts)
        if not notebooks:
            return {}, notes, time.monotonic() - start
        books = {name: nbformat.writes(book) for name, book in notebooks.items()}
        task = Task(submission.key, submission.student, books)
        there = result_of(client, client.submit(grade_here, setting, task, pure=False))
    except Exception as error:
        return (
            {},
            [Trouble(f"could not be graded ({type(error).__name__}: {error})"[:500])],
            time.monotonic() - start,
        )
    folder = grader.place / submission.key / "run"
    folder.mkdir(parents=True)
    (folder / "log.txt").write_bytes(there.log)
    work.write(folder.parent, there.left)
    notes += [Trouble(note) if trouble else note for trouble, note in there.notes]
    return (
        {name: nbformat.reads(page, as_version=4) for name, page in there.pages.items()},
        notes,
        there.seconds,
    )


def result_of(client: Any, future: Any) -> Graded:
    """What a worker has found out; OSError if all of them have gone for a minute."""
    gone = 0
    while gone < 2:
        with contextlib.suppress(TimeoutError):
            return future.result(timeout=30)
        gone = 0 if client.nthreads() else gone + 1
    future.cancel()
    raise OSError("no worker is left")


# On the worker -------------------------------------------------------------------------------------------------------
GRADERS: dict[str, Grader] = {}
ONE_AT_A_TIME = threading.Lock()


def grade_here(setting: Setting, task: Task) -> Graded:
    """Grade a submission on this machine."""
    start = time.monotonic()
    grader = grader_of(setting)
    notes: list[str] = []
    grading = Grading(grader, task.who, task.student, notes)
    try:
        pages = grading.pages({name: read(book) for name, book in task.notebooks.items()})
        logs = [tail(path, MOST_LOG) for path in sorted(grading.base.glob("*/log.txt"))]
        ours = {path.name for folder in grader.models.values() for path in folder.iterdir()}
        left = work.left_in(grading.base, ours)
    finally:
        shutil.rmtree(grading.base, ignore_errors=True)
    said = [(isinstance(note, Trouble), str(note)) for note in notes]
    books = {name: nbformat.writes(page) for name, page in pages.items()}
    return Graded(books, said, b"".join(logs), time.monotonic() - start, left)


def probe(setting: Setting) -> str:
    """Why this worker can't grade, in a line; '' if it can."""
    try:
        grader_of(setting)
    except Exception as error:
        return str(error)
    return ""


def grader_of(setting: Setting) -> Grader:
    """This worker's Grader for a setting; RuntimeError if it would not give the same marks, or has no sandbox."""
    with ONE_AT_A_TIME:
        mark = key.short(setting.key)
        if mark not in GRADERS:
            GRADERS[mark] = new_grader(setting)
        return GRADERS[mark]


def new_grader(setting: Setting) -> Grader:
    """A Grader in a folder of its own, which goes when the worker ends."""
    folder = Path(tempfile.mkdtemp(prefix="grading-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    options = argparse.Namespace(**setting.options)
    course, release = folder / "course", folder / "course" / "release" / ASSIGNMENT
    release.mkdir(parents=True)
    for name, book in setting.handouts.items():
        (release / f"{name}.ipynb").write_text(book, encoding="utf-8")
    if differs := key.differences(setting.key, key.key_of(course, options)):
        raise RuntimeError(
            f"the worker on {platform.node()} would give other marks: {'; '.join(differs)}"
        )
    if not options.unsafe and not sandbox.works(folder):
        raise RuntimeError(
            f"the worker on {platform.node()} has no sandbox: install bubblewrap there"
        )
    grader = Grader(course, folder / "place", options)
    atexit.register(grader.nursery.close)
    for number, files in setting.models.items():
        grader.models[number] = folder / "models" / str(number)
        grader.models[number].mkdir(parents=True)
        for name, content in files.items():
            (grader.models[number] / name).write_bytes(content)
    grader.reached = dict(setting.reached)
    return grader
