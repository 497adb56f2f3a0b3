"""Runs the cells of notebooks: the one room that works inside the sandbox, so that nothing it says is believed.

A job names notebooks, each with its `cells`, `more` cells to run if one fails, the `names` of its answers and `values`
that are there from the start. A line of JSON in the result says what a cell wrote, and which answers are new.
"""

import contextlib
import faulthandler
import functools
import io
import json
import multiprocessing
import os
import re
import resource
import signal
import sys
from pathlib import Path

from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

import coursework.data
import helpers
from teaching.sandbox import MOST_FILE
from teaching.values import answers_of, decoded

MOST_OUTPUT = 5_000_000  # characters that are kept of a cell's output
ENDLESS = 20 * MOST_OUTPUT  # a cell that writes more than this is stopped
GRACE = 20  # seconds in which a cell has to stop, or its process ends
FINAL = ("Limit", "SyntaxError", "IndentationError")  # no second try helps
# Lines that can do nothing here: there is no network, and pictures are inline anyway.
IDLE = re.compile(r"^(\s*)([%!]\s*(?:matplotlib|pip|conda|uv|apt|apt-get|wget|curl|git)\b)", re.M)


class Limit(BaseException):
    """Raised in a cell that takes too long or writes too much; `except Exception` does not stop it."""


class Stream(io.TextIOBase):
    """What stands for sys.stdout or sys.stderr while a cell runs."""

    encoding = "utf-8"

    def __init__(self, write):
        self.write = write


class Shell(InteractiveShell):
    """IPython without a terminal or a kernel: a cell's outputs are collected as nbformat has them."""

    def __init__(self):
        config = Config(HistoryManager={"enabled": False})
        config.IPKernelApp.sign = "of a notebook, which our helpers look for"
        super().__init__(config=config)
        self.outputs, self.written = [], 0
        self.display_trap.hook, self.display_pub.publish = self.value, self.display
        self.display_pub.clear_output = lambda wait=False: self.outputs.clear()
        self.ask_exit = self.enable_gui = lambda *_: None  # exit() in a cell ends nothing

    def add(self, kind, name="", text="", **fields):
        """One more output; texts of a stream are joined."""
        self.written += len(text) + len(str(fields))
        if self.written > MOST_OUTPUT and kind != "error":
            if self.written > ENDLESS:
                raise Limit("stopped, as it wrote without end")
        elif kind != "stream":
            self.outputs.append({"output_type": kind, **fields})
        elif self.outputs and self.outputs[-1].get("name") == name:
            self.outputs[-1]["text"].append(str(text))
        else:
            self.outputs.append({"output_type": kind, "name": name, "text": [str(text)]})

    def value(self, value):
        """Show the value of a cell's last line."""
        if value is not None:
            data, metadata = self.display_formatter.format(value)
            self.displayhook.update_user_ns(value)
            self.add("execute_result", data=data, metadata=metadata, execution_count=None)

    def display(self, data, metadata=None, *, update=False, **_):
        """Show what a cell displays; updates are not followed, and a page has no widgets."""
        if not update and "application/vnd.jupyter.widget-view+json" not in data:
            self.add("display_data", data=data, metadata=metadata or {})

    def _showtraceback(self, etype, evalue, stb):
        self.add("error", ename=etype.__name__, evalue=str(evalue), traceback=list(stb))

    def run(self, source, seconds):
        """Run a cell; returns its outputs."""
        self.outputs, self.written = [], 0
        out, err = (Stream(functools.partial(self.add, "stream", name)) for name in ("stdout", "stderr"))
        faulthandler.dump_traceback_later(seconds + GRACE, exit=True, file=sys.__stderr__)
        signal.setitimer(signal.ITIMER_REAL, seconds)
        with contextlib.suppress(BaseException), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            self.run_cell(IDLE.sub(r"\1pass  # \2", source))
        signal.setitimer(signal.ITIMER_REAL, 0)
        faulthandler.cancel_dump_traceback_later()
        if self.written > MOST_OUTPUT:
            self.outputs.append({"output_type": "stream", "name": "stdout", "text": "[more output is not shown]\n"})
        return [{**out, "text": "".join(out["text"])} if "text" in out else out for out in self.outputs]


def run(name, task, seconds, left_out, current, lines):
    """Run the cells of a notebook in this process; `current` holds the place of the one that is running, -1 at the end.

    Cells that failed run once more: what they miss may stand below, or in a cell of the hand-out that is gone.
    """
    shell = Shell.instance()
    shell.enable_matplotlib("inline")
    shell.user_ns |= decoded(task["values"])
    known, cells, count = {}, [*task["cells"], *task["more"]], len(task["cells"])

    def fails(place):
        if place in left_out or not cells[place].strip():
            return False
        current.value = place
        outputs, answers = shell.run(cells[place], seconds), answers_of(shell.user_ns, task["names"])
        said = {"notebook": name, "cell": place, "outputs": outputs}
        said["answers"] = dict(answers.items() - known.items())
        known.update(answers)
        print("\n", json.dumps(said, default=str, skipkeys=True, ensure_ascii=False), file=lines, flush=True)
        return any(output["output_type"] == "error" and output["ename"] not in FINAL for output in outputs)

    if failed := [place for place in range(count) if fails(place)]:
        for place in (*range(count, len(cells)), *failed):
            fails(place)
    current.value = -1
    os._exit(0)  # whatever threads and processes a submission has left


def main(job, result):
    """Run all notebooks of a job, each in a fork of this process, which has done the slow imports.

    A cell that ends its process, or can't be stopped, is left out in another try.
    """
    job, load = json.loads(Path(job).read_text(encoding="utf-8")), helpers.load_data

    @functools.wraps(load)
    def school_data(source="auto", *args, **kwargs):  # whatever file the student has at home
        return load(os.environ["COURSEWORK_DATA"], *args, **kwargs)

    def stop(*_):
        raise Limit(f"stopped after {job['seconds']} seconds")

    helpers.load_data = coursework.data.load_data = school_data
    signal.signal(signal.SIGALRM, stop)
    resource.setrlimit(resource.RLIMIT_FSIZE, (MOST_FILE, MOST_FILE))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    fork = multiprocessing.get_context("fork")
    current = fork.RawValue("i")
    with open(result, "a", encoding="utf-8", errors="replace") as lines:
        for name, task in job["notebooks"].items():
            left_out = set()
            for _ in range(4):
                current.value = 0
                process = fork.Process(target=run, args=(name, task, job["seconds"], left_out, current, lines))
                process.start()
                process.join()
                if current.value < 0:
                    break
                left_out.add(current.value)
                why = "the kernel died, or could not be stopped: the notebook was run again without this cell"
                error = {"output_type": "error", "ename": "LeftOut", "evalue": why, "traceback": [why]}
                said = {"notebook": name, "cell": current.value, "outputs": [error], "answers": {}}
                print("\n", json.dumps(said), file=lines, flush=True)
            print("\n", json.dumps({"notebook": name, "done": True}), file=lines, flush=True)
