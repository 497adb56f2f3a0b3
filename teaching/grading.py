"""One submission: run as it is in a sandbox, answers taken by name, the checks on them in a fresh process of ours."""

import ast
import contextlib
import json
import os
import shutil
import sys
import time
import uuid
from pathlib import Path

import matplotlib
import nbformat
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from nbgrader.utils import is_grade, is_solution

from coursework.files import ROOT
from coursework.variants import variant
from teaching import sandbox
from teaching.cells import STUB, answers_in_words, name_of, names_in, plain, read, with_parameters, with_pictures
from teaching.handout import ASSIGNMENT, NAMES, answer_names
from teaching.submissions import notebooks_of

OURS = [ROOT / name for name in ("helpers.py", "coursework", "teaching")]  # what a sandbox can read


class Grader:
    """Grades one submission at a time; the attributes are the same for all."""

    def __init__(self, course, place, options):
        self.course, self.place, self.options = course, place.resolve(), options
        self.handouts = {n: read((course / "release" / ASSIGNMENT / f"{n}.ipynb").read_bytes()) for n in NAMES}
        (course / "logs").mkdir(exist_ok=True)
        self.models = {}  # by variant: the folder of our own solution's trained ones, which submissions find at hand

    def grade(self, submission):
        """(dict from notebook to the page for its student, notes, seconds); no submission may end the grading."""
        start, pages = time.monotonic(), {}
        self.tidy(submission.key)
        try:
            notebooks, notes = notebooks_of(submission, self.handouts)
            if notebooks:
                pages = self.pages(submission, notebooks, notes)
        except Exception as error:
            notes = [f"could not be graded ({type(error).__name__}: {error})"]
        return pages, notes, time.monotonic() - start

    def tidy(self, who, notes=()):
        """Remove what the grading of a student has left; if there are notes, the end of the logs stays."""
        logs = [path.read_bytes()[-200_000:] for path in sorted((self.place / who).glob("*/log.txt"))]
        kept = self.course / "logs" / f"{who}.txt"
        kept.unlink(missing_ok=True)
        if notes and logs:
            kept.write_bytes(b"".join(logs))
        shutil.rmtree(self.place / who, ignore_errors=True)

    def pages(self, submission, notebooks, notes):
        """Run what was handed in, then the checks; adds to the notes what went wrong.

        What ends a run costs its notebook only. Of each notebook the first error is named.
        """
        base, student = self.place / submission.key, submission.student or None
        models = self.models.get(variant(submission.student).number)
        seconds = self.options.cell_seconds if models else self.options.seconds  # ours trains all models in one cell
        checks, tasks, answers = {}, {}, {}
        for name, notebook in notebooks.items():
            checks[name] = checks_of(notebook, self.handouts[name], student)
            tasks[name] = task_of(notebook, self.handouts[name], student)
        while tasks:
            trouble = self.inside(base / "run", models, tasks, notebooks, seconds, answers)
            for name in list(tasks)[:1]:  # the first that did not come to its end ended the run
                notes.append(f"{name}: {trouble or 'left no result'}")
                del tasks[name]
        for name, notebook in notebooks.items():
            values = {n: answers.get((name, n), "...") for n in answer_names(self.handouts[name])}
            tasks[name] = {"more": [], "names": [], "values": values}
            for place, cell in enumerate(notebook.cells):
                error = next((out for out in cell.get("outputs", []) if out.output_type == "error"), None)
                if error:
                    where = name_of(cell, self.handouts[name]) or f"cell {place + 1}"
                    notes.append(f"{name}: {where}: {error.ename}: {error.evalue}"[:200])
                    break
        adopt(base / "run" / "own" / "runs" / "models", base / "check" / "own" / "runs" / "models", models)
        trouble = self.inside(base / "check", models, tasks, checks, self.options.cell_seconds, {})
        notes += [f"the checks failed: {trouble}"] if trouble else []
        return {name: page(notebook, checks[name]) for name, notebook in notebooks.items()}

    def inside(self, stage, models, tasks, notebooks, seconds, answers):
        """Run the cells of tasks in a sandbox; removes the tasks that came to their end. What went wrong, or ''.

        What the cells wrote goes to the notebooks, and answers to the dict from (notebook, name).
        """
        own, job, result = stage / "own", stage / "job.json", stage / "result.txt"
        if not job.exists():  # later, a link may lie anywhere in `own`
            for folder in ("home/tmp", "runs"):
                (own / folder).mkdir(parents=True, exist_ok=True)
            # With a cache of fonts at hand, no process builds its own and says so.
            shutil.copytree(matplotlib.get_cachedir(), own / "home" / "matplotlib")
            if models:
                shutil.copytree(models, own / "runs" / "models", dirs_exist_ok=True)
        (own / "work").mkdir(exist_ok=True)
        cells = {name: [c.source if c.cell_type == "code" else "" for c in notebooks[name].cells] for name in tasks}
        todo = {name: {**task, "cells": cells[name]} for name, task in tasks.items()}
        job.write_text(json.dumps({"notebooks": todo, "seconds": seconds}), encoding="utf-8")
        result.write_bytes(b"")
        cache = Path(os.environ.get("KERAS_HOME") or "~/.keras").expanduser()
        given = [path for path in (cache, Path(self.options.data)) if path.is_absolute() and path.exists()]
        environment = {name: os.environ[name] for name in ("PATH", "LANG", "LC_ALL") if name in os.environ}
        environment |= {"COURSEWORK_DATA": self.options.data, "COURSEWORK_RUNS": str(own / "runs")}
        environment |= {"HOME": str(own / "home"), "TMPDIR": str(own / "home" / "tmp"), "KERAS_HOME": str(cache)}
        environment |= {"MPLCONFIGDIR": str(own / "home" / "matplotlib"), "PYTHONPATH": str(ROOT)}
        code = f"from teaching.inside import main; main({str(job)!r}, {str(result)!r})"
        command = [sys.executable, "-B", "-c", code]
        if not self.options.unsafe:
            command = [*sandbox.walls(own, [*OURS, *given, job], [result]), *command]
        trouble = sandbox.run(command, own, stage / "log.txt", environment, self.options)
        with open(result, encoding="utf-8", errors="replace") as lines:
            for line in lines:
                with contextlib.suppress(Exception):  # empty, cut off or forged
                    said = json.loads(line)
                    if said.get("done"):
                        del tasks[said["notebook"]]
                        continue
                    answers |= {(said["notebook"], name): str(value) for name, value in said["answers"].items()}
                    outputs = [new_output(**nbformat.from_dict(output)) for output in said["outputs"]]
                    notebooks[said["notebook"]].cells[said["cell"]].outputs = outputs
        return trouble


def task_of(notebook, handout, student):
    """What to run of a notebook: what was handed in, with the grader's parameters; code in Markdown is code again.

    `more` are the given cells of the hand-out that it has no longer, or not as they were.
    """
    names, cells = answer_names(handout), []
    blank = next(cell.source for cell in handout.cells if cell.id == "parameters")
    parameters = with_parameters(blank, student=student)
    for cell in notebook.cells:
        stored = set(names_in(cell.source, ast.Store))
        if cell.cell_type != "code" and stored & set(names):
            cell = nbformat.from_dict({**cell, "cell_type": "code", "outputs": [], "execution_count": None})
        if plain(cell.source) == plain(blank):  # the name is not filled in
            cell = nbformat.from_dict({**cell, "source": parameters})
        cells.append(cell)
        given = stored & set(names_in(parameters, ast.Store))
        if given and (name_of(cell, handout) == "parameters" or len(given) > 2) and cell.source != parameters:
            cells.append(new_code_cell(parameters))
    notebook.cells, here = cells, {plain(cell.source) for cell in cells}
    more = [
        parameters if cell.id == "parameters" else cell.source
        for cell in handout.cells
        if cell.cell_type == "code" and not is_solution(cell) and not is_grade(cell) and plain(cell.source) not in here
    ]
    return {"more": more, "names": names, "values": {}}


def checks_of(notebook, handout, student):
    """Of the hand-out's notebook what its checks need: the cells that make their names; with this one's texts."""
    texts, needed, cells = answers_in_words(notebook, handout), set(), []
    missing = new_output("error", ename="NotRun", evalue="this check did not run", traceback=["this check did not run"])
    for cell in reversed(handout.cells):
        if cell.cell_type == "markdown" and is_grade(cell):
            cells.append(nbformat.from_dict({**cell, "source": texts[cell.id] or STUB}))
        if cell.cell_type == "markdown" or is_solution(cell):
            continue
        if is_grade(cell) or needed & set(names_in(cell.source, ast.Store)):
            source = with_parameters(cell.source, student=student)
            cells.append(nbformat.from_dict({**cell, "source": source, "outputs": [missing]}))
            needed |= set(names_in(cell.source, ast.Load))
    return new_notebook(cells=cells[::-1], metadata=handout.metadata)


def page(ran, checked):
    """The notebook that a person sees: the student's cells and outputs, then the checks and the texts with points."""
    for cell in ran.cells:
        cell.metadata, cell.id = nbformat.NotebookNode(), uuid.uuid4().hex[:12]
        if cell.cell_type != "code":
            cell.source = with_pictures(cell.source, cell.pop("attachments", {}))
    points = new_markdown_cell("---\n# Points\n\nThe checks, on the values that this notebook left.")
    notebook = new_notebook(cells=[*ran.cells, points, *filter(is_grade, checked.cells)], metadata=checked.metadata)
    nbformat.writes(notebook).encode()  # what JSON can say, a file may not be able to hold
    return notebook


def adopt(theirs, ours, models):
    """Copy the models that a submission has added to those that it found. No link is followed."""
    ours.mkdir(parents=True)
    for path in theirs.glob("*") if theirs.resolve() == theirs else ():
        model = path.suffix in (".keras", ".json") and path.is_file() and not path.is_symlink()
        if model and not (models and (models / path.name).exists()):
            shutil.copyfile(path, ours / path.name)
