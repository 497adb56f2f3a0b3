"""Runs notebooks as they were handed in: inside the sandbox, as nothing that it says is believed.

A job names notebooks, each with the path of the hand-out's, the names of the answers and the parameters. Beside each,
there appear NAME.run.ipynb, with outputs, and NAME.json: answers and notes.
"""

import ast
import contextlib
import functools
import json
import multiprocessing
import os
import re
import resource
import time
from pathlib import Path

import nbformat
from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import AsyncKernelManager
from jupyter_client.provisioning import LocalProvisioner
from nbclient import NotebookClient
from nbclient.exceptions import CellTimeoutError, DeadKernelError

from teaching.cells import is_answer, is_check, name_of, names_in, plain, read

MOST_OUTPUT = 5_000_000  # characters that are kept of a cell's output
ENDLESS = 20 * MOST_OUTPUT  # a cell that writes more than this is interrupted
# Lines that can do nothing here: there is no network, and pictures are inline anyway.
IDLE = re.compile(r"^(\s*)([%!]\s*(?:matplotlib|pip|conda|uv|apt|apt-get|wget|curl|git)\b)", re.M)


# The kernel ----------------------------------------------------------------------------------------------------------
def kernel(connection_file):
    """A kernel in a process that has imported `helpers` already."""
    from ipykernel.kernelapp import launch_new_instance
    from ipykernel.zmqshell import ZMQInteractiveShell

    import coursework.data
    import helpers

    load = helpers.load_data

    @functools.wraps(load)
    def school_data(source="auto", *args, **kwargs):
        return load(os.environ["COURSEWORK_DATA"], *args, **kwargs)  # whatever file the student has at home

    helpers.load_data = coursework.data.load_data = school_data
    ZMQInteractiveShell.ask_exit = lambda shell: None  # exit() in a cell ends nothing
    launch_new_instance(argv=["-f", connection_file, "--matplotlib=inline", "--HistoryManager.enabled=False"])


class Forked(LocalProvisioner):
    """Starts a kernel as a fork of a process that has done the slow imports."""

    async def launch_kernel(self, cmd, **kwargs):
        """See LocalProvisioner."""
        self.process = multiprocessing.get_context("forkserver").Process(target=kernel, args=cmd[:1])
        self.process.start()
        self.process.poll = lambda: self.process.exitcode
        self.process.wait = self.process.join
        self.process.send_signal = functools.partial(os.kill, self.process.pid)
        self.process.stdin = self.process.stdout = self.process.stderr = None
        return self.connection_info


class Client(NotebookClient):
    """nbclient, but a cell's output is cut off while it runs."""

    written = 0

    def process_message(self, msg, cell, cell_index):
        """See NotebookClient."""
        if msg["msg_type"] in ("stream", "display_data", "execute_result", "error", "update_display_data"):
            before, self.written = self.written, self.written + len(str(msg["content"]))
            if before <= ENDLESS < self.written:
                self.km.interrupt_kernel()
            if self.written > MOST_OUTPUT:
                if before <= MOST_OUTPUT:
                    cell.outputs.append(nbformat.v4.new_output("stream", text="\n[more output is not shown]\n"))
                return None
        return super().process_message(msg, cell, cell_index)


# One notebook --------------------------------------------------------------------------------------------------------
def prepared(notebook, handout, job):
    """The cells to run: what was handed in, with the grader's parameters; code in Markdown is code again."""
    cells = []
    for cell in notebook.cells:
        if cell.cell_type != "code" and set(names_in(cell.source, ast.Store)) & set(job["answers"]):
            cell = nbformat.v4.new_code_cell(cell.source, metadata=cell.metadata, id=cell.get("id"))
        cells.append(cell)
        parameters = set(names_in(job["parameters"], ast.Store))
        given = parameters and parameters & set(names_in(cell.source, ast.Store))
        if given and (name_of(cell, handout) == "parameters" or len(given) > 2) and cell.source != job["parameters"]:
            cells.append(nbformat.v4.new_code_cell(job["parameters"], metadata={"tags": ["injected-parameters"]}))
    return cells


def failed(cell):
    """The error that a cell ended in, or None."""
    return next((output for output in cell.get("outputs", []) if output.output_type == "error"), None)


def label(cell, place, handout):
    """How notes call a cell."""
    return name_of(cell, handout) or f"cell {place + 1}"


class Run:
    """One notebook on its way: the answers so far, and the cells that a second run leaves out."""

    def __init__(self, notebook, handout, job, seconds, partly):
        self.handout, self.job, self.seconds, self.partly = handout, job, seconds, partly
        self.notebook, self.answers, self.left_out = notebook, {}, {}
        self.notebook.cells = prepared(notebook, handout, job)

    def whole(self):
        """Run all cells. A cell that ends the kernel, or can't be interrupted, is left out in another try."""
        for _ in range(4):
            manager = AsyncKernelManager(kernel_name="python3")
            manager._kernel_spec = KernelSpec(argv=["{connection_file}"], language="python", interrupt_mode="message")
            manager.provisioner = Forked(kernel_spec=manager._kernel_spec, parent=manager)
            client = Client(
                self.notebook, km=manager, timeout=self.seconds, interrupt_on_timeout=True, allow_errors=True,
                error_on_timeout={"ename": "Timeout"}, iopub_timeout=20, raise_on_iopub_timeout=True,
                shutdown_kernel="immediate", store_widget_state=False,
            )  # fmt: skip
            with client.setup_kernel(cleanup_kc=True):
                places = [place for place, cell in enumerate(self.notebook.cells) if cell.cell_type == "code"]
                if all(self.one(client, place) for place in places):
                    self.second_chance(client, places)
                    return

    def one(self, client, place):
        """Run a cell and take the answers that it may have set; False if that ended the kernel."""
        cell = self.notebook.cells[place]
        if place in self.left_out:
            text = f"{self.left_out[place]}: the notebook was run again without this cell"
            cell.outputs = [nbformat.v4.new_output("error", ename="LeftOut", evalue=text, traceback=[text])]
            return True
        try:
            self.execute(client, cell.source, cell, place)
            mentioned = [name for name in self.job["answers"] if name in cell.source]
            if mentioned:
                self.take(client, mentioned)
            return True
        except (DeadKernelError, CellTimeoutError) as error:
            self.left_out[place] = "the kernel died" if isinstance(error, DeadKernelError) else "it can't be stopped"
            return False

    def execute(self, client, source, cell, place):
        """Run some source as a cell; idle magics become comments."""
        client.written, shown, start = 0, cell.source, time.monotonic()
        cell.source = IDLE.sub(r"\1pass  # \2", source)
        try:
            client.execute_cell(cell, place, store_history=False)
        finally:
            cell.source = shown
        if time.monotonic() - start >= self.seconds:
            text = f"stopped after {self.seconds} seconds"
            cell.outputs = [output for output in cell.outputs if output.output_type != "error"]
            cell.outputs.append(nbformat.v4.new_output("error", ename="TimeLimit", evalue=text, traceback=[text]))

    def aside(self, client, source):
        """Run source that is no cell of the notebook."""
        self.notebook.cells.append(nbformat.v4.new_code_cell(source))
        try:
            self.execute(client, source, self.notebook.cells[-1], len(self.notebook.cells) - 1)
        finally:
            self.notebook.cells.pop()

    def take(self, client, names):
        """Keep the present value of each of these answers that has one."""
        path = Path(os.environ["TMPDIR"]) / "answers.json"
        path.unlink(missing_ok=True)
        self.aside(client, f"__import__('teaching.values').values.take({names!r}, {str(path)!r})")
        with contextlib.suppress(OSError, ValueError):
            self.answers |= json.loads(path.read_text(encoding="utf-8"))
            self.partly.write_text(json.dumps(self.answers), encoding="utf-8")  # this run may be ended any time

    def second_chance(self, client, places):
        """Run failed cells once more: what they miss may stand below, or in a cell of the hand-out that is gone."""
        again = [place for place in places if (error := failed(self.notebook.cells[place])) and error.ename not in
                 ("KeyboardInterrupt", "TimeLimit", "LeftOut", "SyntaxError", "IndentationError")]  # fmt: skip
        if again:
            here = {plain(cell.source) for cell in self.notebook.cells}
            for cell in self.handout.cells:
                given = cell.cell_type == "code" and not is_answer(cell) and not is_check(cell)
                if given and plain(cell.source) not in here:
                    self.aside(client, self.job["parameters"] if cell.id == "parameters" else cell.source)
            for place in again:
                self.one(client, place)


def main(path):
    """Run all notebooks of a job."""
    job = json.loads(Path(path).read_text(encoding="utf-8"))
    limit = job["file_mib"] * 2**20
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    multiprocessing.get_context("forkserver").set_forkserver_preload(
        ["helpers", "teaching.runner", "ipykernel.kernelapp"]
    )
    out = Path(job["out"])
    for name, task in job["notebooks"].items():
        notebook, handout = (read(path.read_bytes()) for path in (out / f"{name}.ipynb", Path(task["handout"])))
        run = Run(notebook, handout, task, job["cell_seconds"], out / f"{name}.partly.json")
        run.whole()
        cells = run.notebook.cells
        errors = [(place, error) for place, cell in enumerate(cells) if (error := failed(cell))]
        notes = [f"{label(cells[place], place, run.handout)}: {e.ename}: {e.evalue}"[:200] for place, e in errors]
        nbformat.write(run.notebook, out / f"{name}.run.ipynb")
        (out / f"{name}.json").write_text(json.dumps({"answers": run.answers, "notes": notes}), encoding="utf-8")
