"""The hand-out, and the grading: python -m teaching student | collect | grade | texts | oral | marks | forget."""

import argparse
import concurrent.futures
import contextlib
import fcntl
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import nbformat
from nbformat import NotebookNode
from nbgrader.utils import determine_grade

from coursework.files import ROOT, RUNS
from coursework.variants import variant, words_of
from teaching import Refused, Trouble, hand_ins, key, lms, marks, sandbox, texts, who, work
from teaching.cells import with_parameters
from teaching.class_report import write_class_report
from teaching.feedback import configure, write_feedback
from teaching.grading import Grader
from teaching.handout import ASSIGNMENT, NAMES, make_course, own_answers, student
from teaching.likeness import MEASURE
from teaching.oral import PAGE, oral
from teaching.people import same_person
from teaching.spread import graders
from teaching.submissions import WHO, Collection, Submission, collect
from teaching.versions import notebooks_of

USAGE = "SUBMISSIONS=folder, which holds one folder or one zip per student, or an export of an LMS"
NO_SANDBOX = """No sandbox: bubblewrap is missing, or may not build one here, and submissions could do all that you can.
apt-get install bubblewrap, or use a container, or say UNSAFE=1 if you trust them."""
Result = tuple[dict[str, NotebookNode], list[str], float]  # pages, notes, seconds


# Collect -------------------------------------------------------------------------------------------------------------
def collected(
    options: argparse.Namespace, course: Path, handout: who.HandOut
) -> tuple[Collection, list[Submission]]:
    """(what lies in the folder of submissions, what of it is graded), after the table has been printed and written.

    Refused if anything is unclear.
    """
    place = place_of(options)
    collection = collect(place, handout.which())
    if not collection.submissions and not collection.unclear:
        raise Refused(f"nothing to grade in {place}: {USAGE}")
    facts = marks.known(course)
    taken: dict[str, dict] = dict(facts)
    left_out = {}
    for submission in collection.submissions:
        submission.key = hand_ins.key_in(taken, submission)
        taken.setdefault(submission.key, {"identity": submission.identity})
        known = facts.get(submission.key, {})
        if why := hand_ins.older(submission, known) if WHO not in submission.owner.why else "":
            left_out[submission.key] = why
    rows = who.rows_of(collection, handout, left_out)
    course.mkdir(parents=True, exist_ok=True)
    who.write(rows, collection, course / "collected.csv")
    who.show(rows)
    wanted = [each for each in collection.submissions if each.key not in left_out]
    print(
        f"{len(rows)} files of {len(collection.submissions)} students: {course / 'collected.csv'}",
        flush=True,
    )
    if collection.unclear:
        raise Refused(who.ask(collection, place))
    return collection, wanted


def place_of(options: argparse.Namespace) -> Path:
    """The folder or zip of submissions; Refused if there is none."""
    place = Path(options.submissions).resolve()
    if not options.submissions or not place.exists() or place in (ROOT, *ROOT.parents):
        raise Refused(f"no submissions in {options.submissions!r}: {USAGE}")
    return place


def show_collected(options: argparse.Namespace) -> int:
    """Print and write the table of what was handed in; returns the exit code."""
    course = RUNS / "grading"
    place_of(options)
    key.settle(options, key.remembered(course))
    with tempfile.TemporaryDirectory(prefix="grading-") as folder:
        fresh = make_course(Path(folder), options.epochs, options.variants)
        collected(options, course, who.HandOut(fresh))
    return 0


# Grade ---------------------------------------------------------------------------------------------------------------
def grade(options: argparse.Namespace) -> int:
    """Grade a folder of submissions, or all that are kept, and write what is known then; returns the exit code."""
    course = RUNS / "grading"
    if options.submissions or not options.regrade:
        place_of(options)
    key.settle(options, key.remembered(course))
    with tempfile.TemporaryDirectory(prefix="grading-") as name:
        folder = Path(name)
        (folder / "fresh").mkdir()
        fresh = make_course(folder / "fresh", options.epochs, options.variants)
        new = key.key_of(fresh, options)
        same_key(course, new, options.regrade)
        todo = to_grade(options, course, fresh)
        if todo and not options.unsafe and not sandbox.works(folder):
            raise Refused(NO_SANDBOX)
        if key.remembered(course) != new:
            marks.renew(course, fresh)
            key.remember(course, new)
        if todo and not grade_all(course, folder / "work", options, todo):
            return 1
    return report(options)


def grade_all(
    course: Path, place: Path, options: argparse.Namespace, todo: list[Submission]
) -> bool:
    """Grade submissions, and put their marks into the course; False if our own solution fails here."""
    mark = key.short(key.remembered(course))
    with Grader(course, place, options) as grader:
        handout = who.HandOut(course)
        for submission in todo:
            submission.student = chosen_name(submission, handout) if options.variants else ""
            if not grader.at_hand(variant(submission.student).number) and not reference(
                grader, submission.student
            ):
                return False
        for submission, result in graded(grader, todo, options.jobs):
            take(course, submission, result, mark, grader)
    return True


def same_key(course: Path, new: dict, regrade: bool) -> None:
    """Refused if a grading would differ from the one before, and nobody has asked for that."""
    facts, remedy = marks.known(course), "REGRADE=1 grades everybody again; points by hand stay"
    if regrade or not facts:
        return
    if differs := key.differences(key.remembered(course), new):
        raise Refused(
            f"this grading would differ from the last one: {'; '.join(differs)}. {remedy}"
        )
    others = [
        known
        for known in facts.values()
        if known.get("key") != key.short(new) and not known.get("failed")
    ]
    if others:
        raise Refused(f"{len(others)} students have marks of an older key. {remedy}")


def to_grade(options: argparse.Namespace, course: Path, fresh: Path) -> list[Submission]:
    """What has to be graded: what is new, and with REGRADE=1 all that is kept."""
    facts = marks.known(course)
    new: list[Submission] = []
    if options.submissions or not options.regrade:
        _, new = collected(options, course, who.HandOut(fresh))
    if not options.regrade:
        again = [each for each in new if not is_done(each, facts.get(each.key, {}))]
        if len(again) < len(new):
            print(
                f"{len(new) - len(again)} students handed in nothing new: their marks stay",
                flush=True,
            )
        return again
    if not facts and not new:
        raise Refused("nothing is graded yet: make grade SUBMISSIONS=folder")
    here = {each.key for each in new}
    stored = [
        hand_ins.kept(course, each, known) for each, known in facts.items() if each not in here
    ]
    return new + [each for each in stored if each is not None]


def is_done(submission: Submission, facts: dict) -> bool:
    """Are the marks those of these very files?"""
    done = facts.get("fingerprint") == submission.fingerprint() and not facts.get("failed")
    return done and facts.get("members") == hand_ins.facts_on(submission)["members"]


def chosen_name(submission: Submission, handout: who.HandOut) -> str:
    """The name that decides a student's variant: as the student writes it, if the LMS made its own of that one."""
    notebooks_of(submission, handout.notebooks, handout.known)
    name = submission.owner.name
    names = [name, *(member.name for member in submission.members)]  # a group works for one of them
    for written in sorted(submission.written):
        if any(same_person(written, each) for each in names):
            return written
        if words_of(written) != words_of(name):
            submission.told.append(
                f"student = {written!r} in the notebook; variant and cells are those of {name!r}"
            )
    return name


def graded(
    grader: Grader, submissions: list[Submission], jobs: int
) -> Iterator[tuple[Submission, Result]]:
    """(submission, what came of it), in the order in which they are ready."""
    with (
        graders(grader, jobs) as (grade_one, many),
        concurrent.futures.ThreadPoolExecutor(many) as pool,
    ):
        waiting = {pool.submit(grade_one, submission): submission for submission in submissions}
        try:
            for job in concurrent.futures.as_completed(waiting):
                yield waiting.pop(job), job.result()  # whose pages are not kept here
        except BaseException:  # Ctrl-C above all
            sandbox.STOP.set()
            pool.shutdown(cancel_futures=True)
            raise


def take(course: Path, submission: Submission, result: Result, mark: str, grader: Grader) -> None:
    """Put the marks of a submission into the gradebook; if the grading failed, those of before stay."""
    pages, notes, seconds = result
    before = marks.known(course).get(submission.key, {})
    kept = {"hand-ins": hand_ins.keep(course, submission, before)}
    failed = why_failed(pages, notes, submission, before)
    if failed and before.get("fingerprint"):
        old = [note for note in before["notes"] if not note.startswith(FAILED)]
        notes = [*old, f"{FAILED}: {failed}; the marks are those of before"]
        marks.learn(course, submission.key, notes=notes, failed=True, **kept)
    else:
        facts = hand_ins.facts_on(submission) | hand_ins.facts_of_files(submission, before) | kept
        facts |= {
            "notebooks": list(pages),
            "seconds": round(seconds, 1),
            "key": mark,
            "failed": bool(failed),
        }
        notes = marks.save(course, submission.key, pages, **facts, notes=notes)
        work.keep(course, submission.key, grader.place / submission.key)
    grader.tidy(submission.key, notes)
    said = "; ".join([f"{submission.name}: {seconds:.0f} s", *notes])
    print(said, flush=True)


FAILED = "the last grading failed"


def why_failed(pages: dict, notes: list[str], submission: Submission, before: dict) -> str:
    """What kept a grading from its end; '' if nothing did."""
    trouble: list[str] = [note for note in notes if isinstance(note, Trouble)]
    had = before.get("notebooks", [])
    lost = [name for name in had if name not in pages]
    if lost and (
        submission.trouble or any("no readable" in said for said in submission.problems.values())
    ):
        trouble += [f"{' and '.join(lost)} could not be read"]
    return "; ".join(trouble)


def reference(grader: Grader, name: str) -> bool:
    """Grade our own solution in the variant of a student; does it earn every point that a machine gives?"""
    number = variant(name).number
    with tempfile.TemporaryDirectory(prefix="grading-") as folder:
        (ours,) = collect(solution_of(grader.course, name, Path(folder))).submissions
        ours.key, ours.student = f"_reference-{number}", name
        pages, notes, seconds = grader.grade(ours)
    for question, cell in marks.graded_cells(pages.values()).items():
        points, most = determine_grade(cell)
        notes += (
            [f"{question} has {points:g} points of {most:g}"] if points not in (None, most) else []
        )
    if notes or len(pages) < len(NAMES):
        print(f"our own solution fails here: {'; '.join(notes)}", file=sys.stderr)
        grader.tidy(ours.key, notes)
        return False
    print(f"our solution: every point that a machine gives, {seconds:.0f} s", flush=True)
    grader.keep(number, ours.key)
    return True


def solution_of(course: Path, name: str, folder: Path) -> Path:
    """Our own solution for one student, in a folder: that of the course, with the name and answers about own cells."""
    source = folder / "source"
    shutil.copytree(course / "source" / ASSIGNMENT, source / ASSIGNMENT)
    for path in (source / ASSIGNMENT).glob("*.ipynb"):
        notebook = own_answers(nbformat.read(path, as_version=4), name)
        for cell in notebook.cells:
            if cell.id == "parameters":
                cell.source = with_parameters(cell.source, student=name or None)
        nbformat.write(notebook, path)
    return source


# Give back -----------------------------------------------------------------------------------------------------------
def report(options: argparse.Namespace) -> int:
    """Write what is known: marks, the sheet of an LMS, feedback, the class report; returns the exit code."""
    course = RUNS / "grading"
    facts = marks.known(course)
    if not facts:
        raise Refused("nothing is graded yet: make grade SUBMISSIONS=folder")
    for line in texts.take(course, options.texts):
        print(line, file=sys.stderr)
    rows = marks.rows_of(course)
    print(f"Marks: {marks.write_marks(course, rows)}", flush=True)
    if options.sheet:
        people = lms.people_of(rows, facts)
        lms.fill(
            course, people, options.sheet, options.column, marks.most_points(course), options.scale
        )
    configure(course)
    write_feedback(course)
    print(f"Feedback: {course / 'feedback'}, and for an LMS {course / 'feedback.zip'}")
    print(f"Class: {write_class_report(course, rows)}")
    return 0


def write_texts(options: argparse.Namespace) -> int:
    """Write a spreadsheet and a page for each text question; returns the exit code."""
    course = RUNS / "grading"
    for line in texts.write(course, options.anonymous):
        print(line, file=sys.stderr)
    print(
        f"Texts: {course / texts.FOLDER}: a .csv to fill in and a .html to read for each question"
    )
    print(f"Alike texts follow each other. Measure: {MEASURE}.")
    return 0


def talks(options: argparse.Namespace) -> int:
    """Write five questions for a talk with each student; returns the exit code."""
    return oral(RUNS / "grading", options)


def forget(options: argparse.Namespace) -> int:
    """Remove a student from the marks, with all that was kept; returns the exit code."""
    course, wanted = RUNS / "grading", options.student
    facts = marks.known(course)
    found = [each for each, known in facts.items() if wanted == each]
    found = found or [each for each, known in facts.items() if wanted in names_of(known)]
    if len(found) != 1:
        whom = " or ".join(sorted(found or facts)) or "nobody, as nothing is graded yet"
        raise Refused(
            f"{wanted!r} is {'several' if found else 'nobody'} here: STUDENT= takes {whom}"
        )
    marks.forget(course, found[0])
    print(f"forgotten: {found[0]}")
    (course / PAGE).unlink(missing_ok=True)
    texts.forget(course)
    if len(facts) == 1:
        for name in (
            "marks.csv",
            "feedback.zip",
            "feedback-canvas.zip",
            "class.html",
            "feedback.json",
        ):
            (course / name).unlink(missing_ok=True)
        return 0
    return report(options)


def names_of(facts: dict) -> set[str]:
    """How a student may be called."""
    members = facts.get("members", [])
    return {facts.get("group", "")} | {
        each[name] for each in members for name in ("name", "number")
    } - {""}


# The command line ----------------------------------------------------------------------------------------------------
def positive(text: str) -> int:
    """An argparse type: a whole number of at least 1."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number of at least 1, not {text!r}")
    return int(text)


def parser_of() -> argparse.ArgumentParser:
    """The options of all actions."""
    parser = argparse.ArgumentParser(prog="python -m teaching", description=__doc__)
    parser.set_defaults(sheet=None, column=None, scale=False, texts=None)
    actions = parser.add_subparsers(dest="action", required=True)
    handout = actions.add_parser("student", help="write the hand-out")
    collecting = actions.add_parser(
        "collect", help="whose is each file, and what is wrong with it?"
    )
    grading = actions.add_parser("grade", help="grade a folder with one folder or zip per student")
    marking = actions.add_parser(
        "marks", help="write marks and feedback again, after grading by hand"
    )
    writing = actions.add_parser("texts", help="a spreadsheet and a page for each text question")
    writing.add_argument("--anonymous", action="store_true", help="without names")
    talking = actions.add_parser("oral", help="five questions for a talk with each student")
    forgetting = actions.add_parser("forget", help="remove a student with all that is kept")
    for action in (handout, collecting, grading):
        action.add_argument(
            "--epochs", type=positive, help="epochs of each model, instead of the sheet's"
        )
        switch = argparse.BooleanOptionalAction
        action.add_argument(
            "--variants", action=switch, default=None, help="a variant per student, by name"
        )
    marking.add_argument("--sheet", help="an LMS's table of grades to fill in")
    marking.add_argument(
        "--texts",
        choices=("sheet", "gradebook"),
        help="which counts where the points or comments for a text differ",
    )
    marking.add_argument("--column", help="the column of points in it, where that is not clear")
    marking.add_argument(
        "--scale", action="store_true", help="scale the points to the maximum of that table"
    )
    forgetting.add_argument("student", help="key, number or name")
    for action in (collecting, grading):
        action.add_argument("submissions", nargs="?", default="")
        action.add_argument("--data", help="what the submissions are run on (default: digits)")
        action.add_argument(
            "--cell-seconds", type=positive, help="time limit of a cell (default: 600)"
        )
        action.add_argument(
            "--seconds", type=positive, help="time limit of a submission (default: 1800)"
        )
        action.add_argument(
            "--memory-mib", type=positive, help="memory limit of a submission (default: 4096)"
        )
    grading.add_argument(
        "--regrade", action="store_true", help="with another key: grade all that is kept, too"
    )
    for action in (grading, talking):
        action.add_argument(
            "--unsafe",
            action="store_true",
            help="without a sandbox: submissions can do all that you can",
        )
        action.add_argument(
            "--jobs", type=positive, default=os.cpu_count(), help="submissions at a time"
        )
    return parser


def run(options: argparse.Namespace) -> int:
    """Do what the command line says; returns the exit code."""
    if options.action == "student":
        print(f"Hand-out: {student(options.epochs, bool(options.variants))}")
        return 0
    if getattr(options, "data", None) and os.path.isfile(
        options.data
    ):  # the sandbox works in other folders
        options.data = str(Path(options.data).resolve())
    actions = {"collect": show_collected, "grade": grade, "marks": report, "forget": forget}
    actions |= {"oral": talks, "texts": write_texts}
    return actions[options.action](options)


def main(arguments: list[str] | None = None) -> int:
    """Parse the command line, do it, and return the exit code."""
    options = parser_of().parse_args(arguments)
    place = RUNS / ("student" if options.action == "student" else "grading")
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with alone(place):
            return run(options)
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
def alone(folder: Path) -> Iterator[None]:
    """Keep others out of a folder; BlockingIOError if somebody is in it. A lock dies with its process."""
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / ".lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield


if __name__ == "__main__":
    sys.exit(main())
