"""The hand-out, and the grading of submissions: python -m teaching student | grade SUBMISSIONS | marks."""

import argparse
import concurrent.futures
import contextlib
import os
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

from coursework.files import ROOT, RUNS
from coursework.variants import variant
from teaching import classreport, lms, marks, sandbox
from teaching.cells import read
from teaching.grading import Grader
from teaching.handout import ASSIGNMENT, NAMES, make_course, student
from teaching.submissions import collect, notebooks_of

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

USAGE = "make grade SUBMISSIONS=folder, which holds one folder or one zip per student, or an export of Moodle or Canvas"
NO_SANDBOX = """No sandbox: bubblewrap is missing, or may not build one here, and submissions could do all that you can.
apt-get install bubblewrap, or use a container, or say UNSAFE=1 if you trust them."""


def grade(options):
    """Grade a folder of submissions; returns the exit code."""
    place = Path(options.submissions).resolve()
    if not options.submissions or not place.exists() or place in (ROOT, *ROOT.parents):
        return refuse(f"no submissions in {options.submissions!r}: {USAGE}")
    submissions, complaints = collect(place)
    if not submissions:
        return refuse(f"nothing to grade in {place}: {USAGE}")
    with tempfile.TemporaryDirectory(prefix="grading-") as folder:
        if not options.unsafe and not sandbox.works(Path(folder)):
            return refuse(NO_SANDBOX)
        course = make_course(RUNS / "grading", options.epochs, options.variants)
        grader = Grader(course, Path(folder), options)
        models = {}  # of our own solution, by variant
        for submission in submissions:
            submission.student = submission.name if options.variants else None
            submission.variant = variant(submission.name).number if options.variants else 0
            if submission.variant not in models:
                models[submission.variant] = reference(grader, submission)
                if not models[submission.variant]:
                    return 1
        facts = marks.read_facts(course)
        with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
            jobs = [pool.submit(one, grader, submission, models) for submission in submissions]
            for future in concurrent.futures.as_completed(jobs):
                submission, pages, notes, seconds = future.result()
                who = submission.key
                notes += marks.save(course, who, pages)
                keep_log(grader, who, notes)
                shutil.rmtree(grader.place / who, ignore_errors=True)
                facts[who] = {"name": submission.name, "number": submission.number, "folder": submission.folder}
                facts[who] |= {"seconds": round(seconds, 1), "notes": notes}
                marks.write_facts(course, facts)
                print(f"{submission.name}: {seconds:.0f} s{''.join(f'; {note}' for note in notes)}", flush=True)
    for complaint in complaints:
        print(complaint, file=sys.stderr)
    return report(options)


def refuse(why):
    """Say why a call can't be followed; returns the exit code."""
    print(why, file=sys.stderr)
    return 2


def reference(grader, submission):
    """Grade our own solution in the variant of a submission; the folder of its trained models, or None if it fails.

    It has to earn every point that a machine gives. The models are what submissions of this variant find at hand.
    """
    who, start = f"_reference-{submission.variant}", time.monotonic()
    source = grader.course / "source" / ASSIGNMENT
    notebooks = {name: read((source / f"{name}.ipynb").read_bytes()) for name in NAMES}
    pages, notes = grader.grade(who, notebooks, None, submission.student)
    earned = marks.points_of(pages).items()
    notes += [
        f"{cell} has {points:g} points of {most:g}" for cell, (points, most) in earned if points not in (None, most)
    ]
    if notes or len(pages) < len(NAMES):
        print(f"our own solution fails here: {'; '.join(notes)}", file=sys.stderr)
        keep_log(grader, who, notes)
        return None
    print(f"our solution: every point that a machine gives, {time.monotonic() - start:.0f} s", flush=True)
    return grader.place / who / "check" / "runs" / "models"


def one(grader, submission, models):
    """Grade one submission; nobody's may cost the others their marks."""
    start, pages = time.monotonic(), {}
    try:
        notebooks, notes = notebooks_of(submission, grader.handouts)
        if notebooks:
            pages, more = grader.grade(submission.key, notebooks, models[submission.variant], submission.student)
            notes += more
    except sandbox.Stopped:
        raise
    except Exception as error:
        notes = [f"could not be graded ({type(error).__name__}: {error})"]
    return submission, pages, notes, time.monotonic() - start


def keep_log(grader, who, notes):
    """Keep the logs of a student whose grading left a note."""
    target = grader.course / "logs" / f"{who}.txt"
    target.unlink(missing_ok=True)
    logs = [path.read_bytes()[-200_000:] for path in sorted((grader.place / who).glob("*.log"))]
    if notes and logs:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(b"".join(logs))


def report(options):
    """Write what is known: marks, feedback, the class report, and the sheet of an LMS; returns the exit code."""
    course = RUNS / "grading"
    if not (course / "gradebook.db").exists():
        return refuse("nothing is graded yet: make grade SUBMISSIONS=folder")
    rows = marks.report(course)
    if rows is None:
        return 1
    print(f"Feedback: {course / 'feedback'}, and for an LMS {marks.feedback_zip(course, marks.read_facts(course))}")
    print(f"Class: {classreport.write(course, rows)}")
    return lms.fill(course, rows, options.sheet, options.column) if options.sheet else 0


def positive(text):
    """An argparse type: a whole number of at least 1."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number of at least 1, not {text!r}")
    return int(text)


def main(arguments=None):
    """Parse the command line, do it, and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m teaching", description=__doc__)
    parser.set_defaults(sheet=None)
    actions = parser.add_subparsers(dest="action", required=True)
    handout = actions.add_parser("student", help="write the hand-out")
    grading = actions.add_parser("grade", help="grade a folder with one folder or zip per student")
    marking = actions.add_parser("marks", help="write marks and feedback again, after grading by hand")
    for action in (handout, grading):
        action.add_argument("--epochs", type=positive, help="epochs of each model, instead of the sheet's")
        action.add_argument("--variants", action="store_true", help="a variant per student, by name")
    marking.add_argument("--sheet", help="an LMS's table of grades to fill in: Moodle's worksheet or Canvas's CSV")
    marking.add_argument("--column", help="the column of points in it, where that is not clear")
    grading.add_argument("submissions")
    grading.add_argument("--data", default="digits", help="what the submissions are run on (default: digits)")
    grading.add_argument("--unsafe", action="store_true", help="without a sandbox: submissions can do all that you can")
    grading.add_argument("--jobs", type=positive, default=os.cpu_count(), help="submissions at a time")
    grading.add_argument("--cell-seconds", type=positive, default=600, help="time limit of a cell")
    grading.add_argument("--seconds", type=positive, default=1800, help="time limit of a submission")
    grading.add_argument("--memory-mib", type=positive, default=4096, help="memory limit of a submission")
    options = parser.parse_args(arguments)
    if options.action == "grade" and os.path.isfile(options.data):  # the kernels work in other folders
        options.data = str(Path(options.data).resolve())
    place = RUNS / ("student" if options.action == "student" else "grading")
    try:
        with alone(place):
            if options.action == "student":
                print(f"Hand-out: {student(options.epochs, options.variants)}")
                return 0
            if options.action == "marks":
                return report(options)
            for signum in (signal.SIGINT, signal.SIGTERM):
                signal.signal(signum, lambda *_: sandbox.STOP.set())
            return grade(options)
    except sandbox.Stopped:
        print("stopped; nothing that was running goes on", file=sys.stderr)
    except BlockingIOError:
        print(f"another one is at work in {place}: wait until it has finished", file=sys.stderr)
    except OSError as error:
        what = f"{error.filename or place}: {error.strerror or error}"
        print(f"Can't write or read {what}; COURSEWORK_RUNS names another folder", file=sys.stderr)
    return 1


@contextlib.contextmanager
def alone(folder):
    """Keep others out of a folder; BlockingIOError if somebody is in it. A lock dies with its process."""
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / ".lock", "w") as lock:
        if fcntl:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield


if __name__ == "__main__":
    sys.exit(main())
