"""One submission: run as it is in a sandbox, answers taken by name, the checks on them in a fresh process of ours."""

import json
import os
import shutil
import sys
from pathlib import Path

import matplotlib
import nbformat

from coursework.files import ROOT
from teaching import sandbox
from teaching.cells import error_of, name_of, read, with_parameters
from teaching.checking import check_notebook, page
from teaching.handout import ASSIGNMENT, NAMES, answer_names
from teaching.texts import answers_in_words

OURS = [ROOT / name for name in ("helpers.py", "coursework", "teaching")]  # what both sandboxes can read
MOST_RESULT = 2**28  # bytes of a file that a sandbox leaves and we read


class Grader:
    """Grades one student at a time; the attributes are the same for all."""

    def __init__(self, course, place, options):
        self.course, self.place, self.options = course, place.resolve(), options
        self.release = self.place / "_handout"  # a submission may read this copy, and nothing of the course
        shutil.copytree(course / "release" / ASSIGNMENT, self.release)
        self.handouts = {name: read((self.release / f"{name}.ipynb").read_bytes()) for name in NAMES}

    def grade(self, key, notebooks, models, student=None):
        """(dict from notebook to the page for its student, with checks and their points, notes).

        `models` are trained ones that a submission finds at hand; `student` is its parameter, if there are variants.
        """
        ran, answers, notes = self.run(self.place / key, notebooks, models, student)
        checked, trouble = self.check(self.place / key, notebooks, answers, models, student)
        notes += [f"the checks failed: {trouble}"] if trouble else []
        return {name: page(ran[name], notebook) for name, notebook in checked.items()}, notes

    def run(self, base, notebooks, models, student):
        """Run what was handed in: dicts from notebook to what ran, with outputs, and to answers; notes.

        What ends a run costs its notebook only. A note names a notebook's first error.
        """
        own, tasks, notes, ran = base / "own", {}, [], {}
        out = own / "out"
        out.mkdir(parents=True)
        if models:
            shutil.copytree(models, own / "runs" / "models")
        for name, notebook in notebooks.items():
            nbformat.write(notebook, out / f"{name}.ipynb")
            given = [c.source for c in self.handouts[name].cells if "parameters" in c.metadata.get("tags", [])]
            tasks[name] = {
                "handout": str(self.release / f"{name}.ipynb"),
                "answers": answer_names(self.handouts[name]),
                "parameters": with_parameters("".join(given), student=student),
            }
        seconds = self.options.cell_seconds if models else self.options.seconds  # ours trains all models in one cell
        job = {"cell_seconds": seconds, "most_bytes": sandbox.MOST_FILE, "out": str(out)}
        while tasks:
            (base / "job.json").write_text(json.dumps({**job, "notebooks": tasks}), encoding="utf-8")
            code = f"from teaching.runner import main; main({str(base / 'job.json')!r})"
            trouble = self.sandboxed([sys.executable, "-c", code], own, [base / "job.json"])
            for name in list(tasks):
                del tasks[name]
                text = left_behind(out / f"{name}.run.ipynb")
                ran[name] = nbformat.reads(text, as_version=4) if text else notebooks[name]
                if text is None:  # the first one without a result ended the run
                    notes.append(f"{name}: {trouble or 'left no result'}")
                    break
                errors = [(place, error) for place, cell in enumerate(ran[name].cells) if (error := error_of(cell))]
                for place, error in errors[:1]:
                    where = name_of(ran[name].cells[place], self.handouts[name]) or f"cell {place + 1}"
                    notes.append(f"{name}: {where}: {error.ename}: {error.evalue}"[:200])
        return ran, {name: json.loads(left_behind(out / f"{name}.json") or "{}") for name in notebooks}, notes

    def check(self, base, notebooks, answers, models, student):
        """(dict from notebook to its checks with their outputs, what went wrong or '')."""
        own = base / "check"
        own.mkdir()
        for name, notebook in notebooks.items():
            texts = answers_in_words(notebook, self.handouts[name])
            nbformat.write(check_notebook(self.handouts[name], texts, student), own / f"{name}.ipynb")
            (own / f"{name}.json").write_text(json.dumps(answers[name]), encoding="utf-8")
        adopt(base / "own" / "runs", own / "runs", models)
        command = [sys.executable, "-c", f"from teaching.checking import main; main({str(own)!r})"]
        trouble = self.sandboxed(command, own, [])
        return {path.stem: nbformat.read(path, as_version=4) for path in sorted(own.glob("*.checked"))}, trouble

    def sandboxed(self, command, own, readable):
        """Run a command with a home and an environment of its own; what went wrong, or ''."""
        if not os.path.lexists(own / "home"):  # once, as later a link may lie anywhere in `own`
            for folder in ("work", "home/tmp", "runs"):
                (own / folder).mkdir(parents=True, exist_ok=True)
            # With a cache of fonts at hand, no kernel builds its own and says so.
            shutil.copytree(matplotlib.get_cachedir(), own / "home" / "matplotlib")
        (own / "work").mkdir(exist_ok=True)
        data = [self.options.data] if os.path.isfile(self.options.data) else []
        cache = [path for path in [Path(os.environ.get("KERAS_HOME") or "~/.keras").expanduser()] if path.is_dir()]
        environment = {
            **{name: os.environ[name] for name in ("PATH", "LANG", "LC_ALL") if name in os.environ},
            "HOME": str(own / "home"),
            "TMPDIR": str(own / "home" / "tmp"),
            "MPLCONFIGDIR": str(own / "home" / "matplotlib"),
            "JUPYTER_CONFIG_DIR": str(own / "home"),
            "COURSEWORK_DATA": self.options.data,
            "COURSEWORK_RUNS": str(own / "runs"),
            "PYTHONPATH": str(ROOT),
            "PYTHONDONTWRITEBYTECODE": "1",
            **({"KERAS_HOME": str(cache[0])} if cache else {}),
        }
        readable = [*OURS, self.release, *data, *cache, *readable]
        return sandbox.run(command, own, readable, environment, self.options)


def left_behind(path):
    """The text of a file that a submission left, or None; no link is followed, nothing huge is read."""
    if not path.is_file() or path.resolve() != path or path.stat().st_size > MOST_RESULT:
        return None
    return path.read_text(encoding="utf-8", errors="replace")


def adopt(theirs, ours, models):
    """Copy the shared models, and those files that a submission has added to them; theirs replace none of ours."""
    if models:
        shutil.copytree(models, ours / "models")
    for path in sorted(theirs.rglob("*"))[:1000]:
        target = ours / path.relative_to(theirs)
        if path.suffix in (".keras", ".json") and left_behind(path) is not None and not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)
