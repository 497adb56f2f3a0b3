"""The hand-out, and the grading of submissions: python -m teaching student | grade SUBMISSIONS | marks."""

import argparse
import concurrent.futures
import contextlib
import fcntl
import os
import signal
import sys
import tempfile
from pathlib import Path

from nbgrader.utils import determine_grade

from coursework.files import ROOT, RUNS
from coursework.variants import variant
from teaching import Refused, lms, marks, sandbox
from teaching.grading import Grader
from teaching.handout import NAMES, make_course, student
from teaching.submissions import collect

USAGE = "make grade SUBMISSIONS=folder, which holds one folder or one zip per student, or an export of Moodle or Canvas"
NO_SANDBOX = """No sandbox: bubblewrap is missing, or may not build one here, and submissions could do all that you can.
apt-get install bubblewrap, or use a container, or say UNSAFE=1 if you trust them."""


def grade(options):
    """Grade a folder of submissions, and write what is known then; returns the exit code."""
    place = Path(options.submissions).resolve()
    if not options.submissions or not place.exists() or place in (ROOT, *ROOT.parents):
        raise Refused(f"no submissions in {options.submissions!r}: {USAGE}")
    submissions, complaints = collect(place)
    if not submissions:
        raise Refused(f"nothing to grade in {place}: {USAGE}")
    with tempfile.TemporaryDirectory(prefix="grading-") as folder:
        if not options.unsafe and not sandbox.works(Path(folder)):
            raise Refused(NO_SANDBOX)
        course = make_course(RUNS / "grading", options.epochs, options.variants)
        grader = Grader(course, Path(folder), options)
        for submission in submissions:
            submission.student = submission.name if options.variants else ""
            if variant(submission.student).number not in grader.models and not reference(grader, submission.student):
                return 1
        with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
            jobs = {pool.submit(grader.grade, submission): submission for submission in submissions}
            try:
                for job in concurrent.futures.as_completed(jobs):
                    who, (pages, notes, seconds) = jobs[job], job.result()
                    facts = {"name": who.name, "number": who.number, "folder": who.folder, "seconds": round(seconds, 1)}
                    notes = marks.save(course, who.key, pages, **facts, notes=notes)
                    grader.tidy(who.key, notes)
                    print(f"{who.name}: {seconds:.0f} s{''.join(f'; {note}' for note in notes)}", flush=True)
            except BaseException:  # Ctrl-C above all
                sandbox.STOP.set()
                pool.shutdown(cancel_futures=True)
                raise
    for complaint in complaints:
        print(complaint, file=sys.stderr)
    return report(options)


def reference(grader, name):
    """Grade our own solution in the variant of a student; does it earn every point that a machine gives?"""
    (ours,), _ = collect(grader.course / "source")
    number = variant(name).number
    ours.key, ours.student = f"_reference-{number}", name
    pages, notes, seconds = grader.grade(ours)
    for question, cell in marks.graded_cells(pages.values()).items():
        points, most = determine_grade(cell)
        notes += [f"{question} has {points:g} points of {most:g}"] if points not in (None, most) else []
    if notes or len(pages) < len(NAMES):
        print(f"our own solution fails here: {'; '.join(notes)}", file=sys.stderr)
        grader.tidy(ours.key, notes)
        return False
    print(f"our solution: every point that a machine gives, {seconds:.0f} s", flush=True)
    grader.models[number] = grader.place / ours.key / "check" / "own" / "runs" / "models"
    return True


def report(options):
    """Write what is known: marks, feedback, the class report, and the sheet of an LMS; returns the exit code."""
    course = RUNS / "grading"
    if not (course / "facts.json").exists():
        raise Refused("nothing is graded yet: make grade SUBMISSIONS=folder")
    rows = marks.report(course)
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
    if options.action == "grade" and os.path.isfile(options.data):  # the sandbox works in other folders
        options.data = str(Path(options.data).resolve())
    place = RUNS / ("student" if options.action == "student" else "grading")
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with alone(place):
            if options.action == "student":
                print(f"Hand-out: {student(options.epochs, options.variants)}")
                return 0
            return grade(options) if options.action == "grade" else report(options)
    except Refused as why:
        print(why, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
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
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield


if __name__ == "__main__":
    sys.exit(main())
