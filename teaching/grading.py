"""One submission: run as it is in a sandbox, its answers taken at their checks, the checks on them in a run of ours."""

import argparse
import ast
import contextlib
import json
import os
import re
import shutil
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from nbformat import NotebookNode, from_dict
from nbformat.v4 import new_code_cell, new_notebook, new_output
from nbgrader.utils import determine_grade, is_grade, is_solution

from coursework.files import ROOT, replacing, write_text
from coursework.variants import variant
from teaching import Trouble, sandbox, work
from teaching.cells import (
    STUB,
    answers_in_words,
    is_prose,
    name_of,
    names_in,
    plain,
    read,
    with_parameters,
)
from teaching.folders import MOST_LOG, adopt, furnish, last_line, lines_of, tail
from teaching.handout import ASSIGNMENT, NAMES, answer_names
from teaching.key import key_of, short
from teaching.pages import page
from teaching.submissions import Submission
from teaching.versions import notebooks_of

OURS = [ROOT / name for name in ("helpers.py", "coursework", "teaching")]  # what a sandbox can read
MOST_VALUES = 10  # of one check, of which the best counts
ATTEMPTS = 5  # of a run in which cells end their process
# A second try does not help after these.
FINAL = {
    "Limit",
    "LeftOut",
    "SyntaxError",
    "IndentationError",
    "AssertionError",
    "ModuleNotFoundError",
}
FINAL |= {"MemoryError", "CalledProcessError"}
DIED = "the kernel died, or could not be stopped"

# What our helpers would set as well: threads and messages of TensorFlow.
SETTINGS = {"KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "3"}
SETTINGS |= {"TF_NUM_INTRAOP_THREADS": "1", "TF_NUM_INTEROP_THREADS": "1"}

Answers = dict[str, str]  # from the name of an answer to its value, as an expression


class Step(NamedTuple):
    """A part of a run: a piece of code, and whose it is."""

    source: str
    cell: int | None = None  # its place in the notebook; None if the notebook has it no longer
    check: str | None = None  # the name of the check that it is
    values: Answers | None = None  # what is given to it
    number: int = 0  # of its cell as it was handed in, counted from 1

    def failed(self, ran: "Ran", place: int) -> tuple[str, str] | None:
        """(type, text) of the error that it ended in; None if it did not."""
        errors = [output for output in ran.outputs.get(place, []) if output.output_type == "error"]
        return (errors[0].ename, errors[0].evalue) if errors else None


class Taken(NamedTuple):
    """The values that a check was asked about, in one place."""

    check: str
    step: int
    values: Answers
    own: bool  # in the check's own cell


class Ran:
    """What came of a run, by the places of its steps."""

    def __init__(self) -> None:
        self.outputs: dict[int, list[NotebookNode]] = {}
        self.shown: dict[
            int, dict[str, str]
        ] = {}  # the values that were given, as people read them
        self.taken: list[Taken] = []
        self.last: Answers = {}
        self.current: int | None = None  # where it is, or where it ended; None at the end
        self.trouble = ""
        self.reached: dict[
            str, list[float]
        ] = {}  # loss and accuracy of stored models, by the hash of their files

    def hear(self, said: dict) -> None:
        """Take in a line of the result. It may be forged: what comes of that are other answers."""
        match said:
            case {"begins": int(place)}:
                self.current = place
            case {"step": int(place), "outputs": list(outputs), "shown": dict(shown)}:
                self.outputs[place] = [new_output(**from_dict(output)) for output in outputs]
                self.shown[place] = {str(name): str(value) for name, value in shown.items()}
            case {"name": str(name), "value": str(value)}:
                self.last[name] = value
            case {
                "check": str(check),
                "step": int(place),
                "values": dict(values),
                "own": bool(own),
            }:
                texts = {str(name): str(value) for name, value in values.items()}
                self.taken.append(Taken(check, place, texts, own))
            case {"digest": str(digest), "reached": list(values)}:
                self.reached[digest] = [float(value) for value in values]
            case {"done": True}:
                self.current = None


class Try(NamedTuple):
    """A run from the top: what it ran, what came of it, and in words how it differs from the notebook."""

    steps: list[Step]
    ran: Ran
    how: str


GIVEN = ", in a second try from the top with the given cells of the hand-out in their places"
LATER = ", in a second try from the top in which cells that had failed come last"


class Choice(NamedTuple):
    """The values that one check gets, and where they come from, in words."""

    values: Answers
    origin: str
    how: str  # of a second try: how it differs from the notebook


class Grader:
    """Grades one submission at a time; the attributes are the same for all."""

    def __init__(self, course: Path, place: Path, options: argparse.Namespace):
        self.course, self.place, self.options = course, place.resolve(), options
        release = course / "release" / ASSIGNMENT
        self.handouts = {name: read((release / f"{name}.ipynb").read_bytes()) for name in NAMES}
        (course / "logs").mkdir(exist_ok=True)
        # Our own solution's trained models, which submissions find at hand, by variant; and what they reach.
        self.models: dict[int, Path] = {}
        self.reached: dict[str, list[float]] = {}
        self.kept = course / "models" / short(key_of(course, options))
        self.cache = Path(os.environ.get("KERAS_HOME") or "~/.keras").expanduser()
        furnish(self.place / "nursery", None)
        environment = self.environment(self.place / "nursery")
        self.nursery = sandbox.Nursery(environment, self.place / "nursery.txt")

    def __enter__(self) -> "Grader":
        return self

    def __exit__(self, *_: object) -> None:
        self.nursery.close()

    def grade(self, submission: Submission) -> tuple[dict[str, NotebookNode], list[str], float]:
        """(dict from notebook to the page for its student, notes, seconds); no submission may end the grading."""
        start, pages = time.monotonic(), {}
        self.tidy(submission.key)
        try:
            notebooks, notes = notebooks_of(submission, self.handouts)
            if notebooks:
                pages = Grading(self, submission.key, submission.student, notes).pages(notebooks)
        except Exception as error:
            notes = [Trouble(f"could not be graded ({type(error).__name__}: {error})"[:500])]
        return pages, notes, time.monotonic() - start

    def at_hand(self, number: int) -> bool:
        """Are our own models of a variant known, from now or from an earlier grading with the same key?"""
        if (self.kept / str(number)).exists():
            self.models[number] = self.kept / str(number)
            self.reached |= json.loads((self.kept / f"{number}.json").read_text(encoding="utf-8"))
        return number in self.models

    def keep(self, number: int, who: str) -> None:
        """Keep the models that the grading of our own solution has left; those of another key go."""
        for other in self.kept.parent.glob("*"):
            if other != self.kept:
                shutil.rmtree(other, ignore_errors=True)
        write_text(self.kept / f"{number}.json", json.dumps(self.reached))
        with replacing(self.kept / str(number)) as folder:
            shutil.copytree(self.place / who / "check" / "own" / "runs" / "models", folder)
        self.models[number] = self.kept / str(number)

    def tidy(self, who: str, notes: Iterable[str] = ()) -> None:
        """Remove what the grading of a student has left; if there are notes, the end of the logs stays."""
        logs = [tail(path, MOST_LOG) for path in sorted((self.place / who).glob("*/log.txt"))]
        kept = self.course / "logs" / f"{who}.txt"
        kept.unlink(missing_ok=True)
        if notes and logs:
            kept.write_bytes(b"".join(logs))
        shutil.rmtree(self.place / who, ignore_errors=True)

    def environment(self, own: Path) -> dict[str, str]:
        """The environment of what runs in a folder: the school's settings, and nothing else of ours."""
        environment = {
            name: os.environ[name] for name in ("PATH", "LANG", "LC_ALL") if name in os.environ
        }
        home = own / "home"
        places = {"HOME": home, "TMPDIR": home / "tmp", "MPLCONFIGDIR": home / "matplotlib"}
        places |= {"COURSEWORK_RUNS": own / "runs", "KERAS_HOME": self.cache, "PYTHONPATH": ROOT}
        environment |= {name: str(path) for name, path in places.items()}
        return environment | SETTINGS | {"COURSEWORK_DATA": self.options.data}


class Grading:
    """The grading of one submission."""

    def __init__(self, grader: Grader, key: str, student: str, notes: list[str]):
        self.grader, self.options, self.notes = grader, grader.options, notes
        self.base, self.student = grader.place / key, student or None
        self.models = grader.models.get(variant(student).number)
        self.end = time.monotonic() + self.options.seconds
        self.chosen: dict[str, Answers] = {}  # by check

    def pages(self, notebooks: dict[str, NotebookNode]) -> dict[str, NotebookNode]:
        """Run what was handed in, then the checks; adds to the notes what went wrong."""
        books = {
            name: prepared(book, self.grader.handouts[name], self.student)
            for name, book in notebooks.items()
        }
        checks = {
            name: checks_of(book, self.grader.handouts[name], self.student)
            for name, book in books.items()
        }
        choices = {name: self.answers(name, book) for name, book in books.items()}
        adopt(self.runs("run") / "models", self.runs("check") / "models", self.models)
        pages = {}
        for name, book in books.items():
            self.check(name, checks[name], choices[name])
            pages[name] = page(book, checks[name])
        work.write_answers(self.base, self.student, self.chosen)
        return pages

    def runs(self, stage: str) -> Path:
        """The folder in which a stage of the grading keeps its models."""
        return self.base / stage / "own" / "runs"

    # Its answers -----------------------------------------------------------------------------------------------------
    def answers(self, name: str, notebook: NotebookNode) -> dict[str, list[Choice]]:
        """Run a notebook, once more if that may help; returns by check the values that it may get."""
        handout = self.grader.handouts[name]
        steps = steps_of(notebook, handout)
        tries = [Try(steps, self.run("run", steps, handout), "")]
        for place, step in enumerate(steps):
            if step.cell is not None:
                notebook.cells[step.cell].outputs = tries[0].ran.outputs.get(place, [])
        self.notes += troubles(name, notebook, handout, tries[0].ran)
        for plan, how in ((restored, GIVEN), (deferred, LATER)):
            before = tries[-1]
            if steps := plan(before.steps, before.ran, notebook, handout):
                tries.append(Try(steps, self.run("run", steps, handout), how))
        return {
            check: choices(check, names, tries) for check, names in checked_names(handout).items()
        }

    def run(self, stage: str, steps: list[Step], handout: NotebookNode, ours: bool = False) -> Ran:
        """Run steps from the top, in a fresh process; again without the cell that ended it, if one did."""
        left_out: dict[int, str] = {}
        for _ in range(ATTEMPTS):
            kept = [
                step._replace(source="") if place in left_out else step
                for place, step in enumerate(steps)
            ]
            ran = self.attempt(stage, kept, handout, ours)
            if ran.current is None or ran.trouble in ("stopped", sandbox.TIME):
                break
            left_out[ran.current] = ran.trouble if ran.trouble.startswith("stopped") else DIED
        for place, why in left_out.items():
            why = f"{why}: the notebook was run again without this cell"
            ran.outputs[place] = [new_output("error", ename="LeftOut", evalue=why, traceback=[why])]
        return ran

    def attempt(self, stage: str, steps: list[Step], handout: NotebookNode, ours: bool) -> Ran:
        """Run steps once, in a sandbox of their own, whatever becomes of it."""
        folder = self.base / stage
        own, result, log = folder / "own", folder / "result.txt", folder / "log.txt"
        furnish(own, self.models)
        job = {
            "steps": [described(step, handout) for step in steps],
            "ours": ours,
            "data": self.options.data,
        }
        job["reached"] = self.grader.reached
        job |= {
            "names": [] if ours else answer_names(handout),
            "checks": {} if ours else check_sources(handout),
        }
        seconds = self.options.cell_seconds if ours or self.models else self.options.seconds
        (folder / "job.json").write_text(json.dumps(job | {"seconds": seconds}), encoding="utf-8")
        result.write_bytes(b"")
        given = [
            path
            for path in (self.grader.cache, Path(self.options.data))
            if path.is_absolute() and path.exists()
        ]
        ran = Ran()
        ran.current = 0
        with contextlib.ExitStack() as stack:
            inmate = (
                None
                if self.options.unsafe
                else stack.enter_context(sandbox.sandbox(own, [*OURS, *given]))
            )
            request: dict = {
                "job": str(folder / "job.json"),
                "result": str(result),
                "log": str(log),
                "inmate": inmate,
            }
            request |= {"environment": self.grader.environment(own), "work": str(own / "work")}
            request |= {"runs": str(own / "runs"), "memory_mib": self.options.memory_mib}
            process = self.grader.nursery.fork(request)
            left = self.options.seconds if ours else self.end - time.monotonic()
            limits = sandbox.Limits(left, self.options.memory_mib)
            ran.trouble = sandbox.watch([process, *([inmate] if inmate else [])], own, limits)
        for said in lines_of(result):
            with contextlib.suppress(Exception):  # cut off or forged
                ran.hear(said)
        if ran.current is not None and not ran.trouble:
            ran.trouble = last_line(log) or "ended without a word"
        return ran

    # The checks on them ----------------------------------------------------------------------------------------------
    def check(self, name: str, checks: NotebookNode, choices: dict[str, list[Choice]]) -> None:
        """Run the checks of a notebook on each of the values that they may get; the best outcome goes to its cells."""
        handout, steps = self.grader.handouts[name], []
        for place, cell in enumerate(checks.cells):
            if cell.cell_type == "code":
                answers = choices.get(cell.id) if is_grade(cell) else None
                steps += [
                    Step(cell.source, place, values=choice.values) for choice in answers or []
                ]
                steps += [] if answers else [Step(cell.source, place)]
        ran = self.run("check", steps, handout, ours=True)
        if not self.models:  # these are our own
            self.grader.reached |= ran.reached
        if ran.current is not None:
            self.notes.append(Trouble(f"{name}: the checks failed: {ran.trouble}"))
        again: dict[str, list[str]] = {}
        for place, cell in enumerate(checks.cells):
            outcomes = [number for number, step in enumerate(steps) if step.cell == place]
            if not outcomes or not is_grade(cell):
                continue
            best = max(outcomes, key=lambda number: points_of(cell, ran.outputs.get(number)))
            cell.outputs = ran.outputs.get(best) or cell.outputs
            if choices.get(cell.id):
                choice = choices[cell.id][best - outcomes[0]]
                self.chosen[cell.id] = choice.values
                cell.metadata["origin"] = [choice.origin + choice.how, ran.shown.get(best, {})]
                again.setdefault(choice.how, []).append(cell.id)
        again.pop("", None)
        self.notes += [
            f"{name}: {' and '.join(names)} count as they were{how}" for how, names in again.items()
        ]


# A run's steps -------------------------------------------------------------------------------------------------------
def prepared(notebook: NotebookNode, handout: NotebookNode, student: str | None) -> NotebookNode:
    """What was handed in, with the grader's parameters; code in Markdown is code again, and prose in code is text."""
    names, cells = set(answer_names(handout)), []
    blank = next(cell.source for cell in handout.cells if cell.id == "parameters")
    parameters = with_parameters(blank, student=student)
    for cell in notebook.cells:
        stored = set(names_in(cell.source, ast.Store))
        if cell.cell_type != "code" and stored & names:
            cell = from_dict({**cell, "cell_type": "code", "outputs": [], "execution_count": None})
        if plain(cell.source) == plain(blank):  # the name is not filled in
            cell = from_dict({**cell, "source": parameters})
        cells.append(cell)
        given = stored & set(names_in(parameters, ast.Store))
        if (
            given
            and (name_of(cell, handout) == "parameters" or len(given) > 2)
            and cell.source != parameters
        ):
            cells.append(new_code_cell(parameters, metadata={"ours": True}))
    return new_notebook(cells=cells, metadata=notebook.metadata)


def steps_of(notebook: NotebookNode, handout: NotebookNode) -> list[Step]:
    """The run of a notebook as it was handed in."""
    checks, steps, number = checked_names(handout), [], 0
    for place, cell in enumerate(notebook.cells):
        number += not cell.metadata.get("ours", False)
        if cell.cell_type == "code" and not is_prose(cell.source):
            name = name_of(cell, handout)
            check = name if name in checks else None
            steps.append(Step(cell.source, place, check, number=number))
    return steps


def restored(
    steps: list[Step], ran: Ran, notebook: NotebookNode, handout: NotebookNode
) -> list[Step]:
    """The same with the given cells of the hand-out that it has no longer, or not as they were; [] if that is no help.

    Each stands where it stood: after the cell that the hand-out has before it.
    """
    if not any(may_be_helped(step.failed(ran, place)) for place, step in enumerate(steps)):
        return []
    here = {plain(step.source) for step in steps}
    names = {place: name_of(cell, handout) for place, cell in enumerate(notebook.cells)}
    plan, added, after = list(steps), False, 0
    for cell in handout.cells:
        given = cell.cell_type == "code" and not is_solution(cell) and not is_grade(cell)
        if given and plain(cell.source) not in here:
            plan.insert(after, Step(cell.source))
            added, after = True, after + 1
        places = [
            n
            for n, step in enumerate(plan)
            if step.cell is not None and names[step.cell] == cell.id
        ]
        after = max(after, places[0] + 1) if places else after
    return plan if added else []


def deferred(
    steps: list[Step], ran: Ran, notebook: NotebookNode, handout: NotebookNode
) -> list[Step]:
    """The same with the cells that failed at the end, if a name was missing that stands below; [] if none was."""
    failed = {
        place: error for place, step in enumerate(steps) if (error := step.failed(ran, place))
    }
    missing = {
        place: re.findall(r"name '(\w+)' is not defined", text)
        for place, (_, text) in failed.items()
    }
    helped = [
        place
        for place, names in missing.items()
        if any(
            set(names) & set(names_in(step.source, ast.Store))
            for step in steps[place + 1 :]
            if not step.check
        )
    ]
    if not any(steps[place].check is None for place in helped):
        return []
    last = [place for place, (kind, _) in failed.items() if kind not in FINAL]
    return [step for place, step in enumerate(steps) if place not in last] + [
        steps[place] for place in last
    ]


def may_be_helped(error: tuple[str, str] | None) -> bool:
    """May a cell that ended in this error do better in a second try?"""
    return error is not None and error[0] not in FINAL


def described(step: Step, handout: NotebookNode) -> dict:
    """A step as a part of a job."""
    said: dict = {"source": step.source, "values": step.values or {}}
    if step.check:
        said["is"] = {step.check: checked_names(handout)[step.check]}
    return said


def checked_names(handout: NotebookNode) -> dict[str, list[str]]:
    """dict from the name of each check to the names of the answers that it reads."""
    answers = set(answer_names(handout))
    return {
        name: [read for read in names_in(source, ast.Load) if read in answers]
        for name, source in check_sources(handout).items()
    }


def check_sources(handout: NotebookNode) -> dict[str, str]:
    """dict from the name of each check to its source."""
    return {
        cell.id: cell.source
        for cell in handout.cells
        if cell.cell_type == "code" and is_grade(cell)
    }


# Values --------------------------------------------------------------------------------------------------------------
def choices(check: str, names: list[str], tries: list[Try]) -> list[Choice]:
    """The values that a check may get, of which the best counts; from each try those that it was asked about."""
    if not names:
        return []
    found: dict[str, Choice] = {}
    blank = dict.fromkeys(names, "...")
    for each in tries:
        for values, origin in in_one_try(check, names, each.steps, each.ran):
            if values and len(found) < MOST_VALUES:
                key = json.dumps(values, sort_keys=True)
                found.setdefault(key, Choice(blank | values, origin, each.how))
    return list(found.values()) or [Choice(blank, "not answered", "")]


def in_one_try(
    check: str, names: list[str], steps: list[Step], ran: Ran
) -> Iterator[tuple[Answers, str]]:
    """(values, where they come from) of a check, in one try.

    Where the check's own cell stands, that is its place; else the cells that call it; else the end of the notebook.
    What had no value yet in its place, has the last one.
    """
    taken = [
        record for record in ran.taken if record.check == check and 0 <= record.step < len(steps)
    ]
    own = [record for record in taken if record.own]
    if not any(step.check == check for step in steps):
        own = list({record.step: record for record in taken}.values())
    last = {name: ran.last[name] for name in names if name in ran.last}
    for record in own:
        values = {name: value for name, value in record.values.items() if name in names}
        where = f"as it was at its check in {place_of(steps[record.step])}"
        if missing := [name for name in names if name not in values and name in last]:
            where += (
                f"; {' and '.join(missing)}: the last value"
                if values
                else "; it had none there: the last value"
            )
        yield last | values, where
    if not own:
        yield last, "the last value, as its check was not run"


def place_of(step: Step) -> str:
    """Where a step stands in the notebook, in words."""
    return f"cell {step.number}" if step.cell is not None else "a cell of the hand-out"


def points_of(cell: NotebookNode, outputs: list[NotebookNode] | None) -> float:
    """The points that the outputs of a check's cell are worth, -1 if there are none."""
    if not outputs:
        return -1
    points, _ = determine_grade(from_dict({**cell, "outputs": outputs}))
    return points or 0


def troubles(name: str, notebook: NotebookNode, handout: NotebookNode, ran: Ran) -> Iterator[str]:
    """What went wrong in a notebook as it was handed in: what ended it, and its first error."""
    if ran.current is not None:
        yield Trouble(f"{name}: {ran.trouble}")
    for place, cell in enumerate(notebook.cells):
        error = next((out for out in cell.get("outputs", []) if out.output_type == "error"), None)
        if error:
            where = name_of(cell, handout) or f"cell {place + 1}"
            yield f"{name}: {where}: {error.ename}: {plain(error.evalue)}"[:200]
            return


def checks_of(notebook: NotebookNode, handout: NotebookNode, student: str | None) -> NotebookNode:
    """Of the hand-out's notebook what its checks need: the cells that make their names; with this one's texts."""
    texts, needed, cells = answers_in_words(notebook, handout), set[str](), []
    missing = new_output(
        "error",
        ename="NotRun",
        evalue="this check did not run",
        traceback=["this check did not run"],
    )
    for cell in reversed(handout.cells):
        if cell.cell_type == "markdown" and is_grade(cell):
            cells.append(from_dict({**cell, "source": texts[cell.id] or STUB}))
        if cell.cell_type == "markdown" or is_solution(cell):
            continue
        if is_grade(cell) or needed & set(names_in(cell.source, ast.Store)):
            source = with_parameters(cell.source, student=student)
            cells.append(from_dict({**cell, "source": source, "outputs": [missing]}))
            needed |= set(names_in(cell.source, ast.Load))
    return new_notebook(cells=cells[::-1], metadata=handout.metadata)
