"""Runs notebooks as they were handed in: inside the sandbox, as nothing that it says is believed.

A job names notebooks, each with the path of the hand-out's, the names of the answers and the parameters. Beside each,
there appear NAME.run.ipynb, with outputs, and NAME.json, the answers.
"""

import ast
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

from teaching.cells import error_of, is_answer, is_check, name_of, names_in, plain, read
from teaching.values import keep

MOST_OUTPUT = 5_000_000  # characters that are kept of a cell's output
ENDLESS = 20 * MOST_OUTPUT  # a cell that writes more than this is interrupted
FINAL = ("KeyboardInterrupt", "TimeLimit", "LeftOut", "SyntaxError", "IndentationError")  # no second try helps
# Lines that can do nothing here: there is no network, and pictures are inline anyway.
IDLE = re.compile(r"^(\s*)([%!]\s*(?:matplotlib|pip|conda|uv|apt|apt-get|wget|curl|git)\b)", re.M)


# The kernel ----------------------------------------------------------------------------------------------------------
def kernel(connection_file, names, path):
    """A kernel in a process that has imported `helpers` already; after each cell it writes the answers to a file."""
    from ipykernel.kernelapp import IPKernelApp
    from ipykernel.zmqshell import ZMQInteractiveShell

    import coursework.data
    import helpers

    load = helpers.load_data

    @functools.wraps(load)
    def school_data(source="auto", *args, **kwargs):
        return load(os.environ["COURSEWORK_DATA"], *args, **kwargs)  # whatever file the student has at home

    helpers.load_data = coursework.data.load_data = school_data
    ZMQInteractiveShell.ask_exit = lambda shell: None  # exit() in a cell ends nothing
    app = IPKernelApp.instance()
    app.initialize(["-f", connection_file, "--matplotlib=inline", "--HistoryManager.enabled=False"])
    answers = functools.partial(keep, app.shell.user_ns, names.split(), Path(path))
    app.shell.events.register("post_run_cell", lambda result: answers())
    app.start()


class Forked(LocalProvisioner):
    """Starts a kernel as a fork of a process that has done the slow imports."""

    async def launch_kernel(self, cmd, **kwargs):
        """See LocalProvisioner."""
        self.process = multiprocessing.get_context("forkserver").Process(target=kernel, args=cmd[:3])
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

    def attempt(self, place):
        """Run a cell; idle magics become comments."""
        cell = self.nb.cells[place]
        self.written, shown, start = 0, cell.source, time.monotonic()
        cell.source = IDLE.sub(r"\1pass  # \2", shown)
        try:
            self.execute_cell(cell, place, store_history=False)
        finally:
            cell.source = shown
        if time.monotonic() - start >= self.timeout:
            end_in(cell, "TimeLimit", f"stopped after {self.timeout} seconds")


def end_in(cell, name, text):
    """Let a cell end in an error of ours."""
    cell.outputs = [output for output in cell.get("outputs", []) if output.output_type != "error"]
    cell.outputs.append(nbformat.v4.new_output("error", ename=name, evalue=text, traceback=[text]))


# One notebook --------------------------------------------------------------------------------------------------------
def prepared(notebook, handout, task):
    """The cells to run: what was handed in, with the grader's parameters; code in Markdown is code again."""
    cells, parameters = [], set(names_in(task["parameters"], ast.Store))
    for cell in notebook.cells:
        if cell.cell_type != "code" and set(names_in(cell.source, ast.Store)) & set(task["answers"]):
            cell = nbformat.v4.new_code_cell(cell.source, metadata=cell.metadata, id=cell.get("id"))
        cells.append(cell)
        given = parameters & set(names_in(cell.source, ast.Store))
        if given and (name_of(cell, handout) == "parameters" or len(given) > 2) and cell.source != task["parameters"]:
            cells.append(nbformat.v4.new_code_cell(task["parameters"], metadata={"tags": ["injected-parameters"]}))
    return cells


def gone(notebook, handout, task):
    """The given cells of the hand-out that a notebook has no longer, or not as they were."""
    here = {plain(cell.source) for cell in notebook.cells}
    for cell in handout.cells:
        if cell.cell_type == "code" and not is_answer(cell) and not is_check(cell) and plain(cell.source) not in here:
            yield nbformat.v4.new_code_cell(task["parameters"] if cell.id == "parameters" else cell.source)


def run(notebook, handout, task, seconds, answers):
    """Run all cells. One that ends the kernel, or can't be interrupted, is left out in another try.

    Cells that failed run once more: what they miss may stand below, or in a cell of the hand-out that is gone.
    """
    notebook.cells, left_out = prepared(notebook, handout, task), set()
    count = len(notebook.cells)
    for _ in range(4):
        manager = AsyncKernelManager(kernel_name="python3")
        argv = ["{connection_file}", " ".join(task["answers"]), str(answers)]
        manager._kernel_spec = KernelSpec(argv=argv, language="python", interrupt_mode="message")
        manager.provisioner = Forked(kernel_spec=manager._kernel_spec, parent=manager)
        client = Client(
            notebook, km=manager, timeout=seconds, interrupt_on_timeout=True, allow_errors=True,
            error_on_timeout={"ename": "Timeout"}, iopub_timeout=20, raise_on_iopub_timeout=True,
            shutdown_kernel="immediate", store_widget_state=False,
        )  # fmt: skip
        with client.setup_kernel(cleanup_kc=True):
            try:
                for place in sorted({*range(count)} - left_out):
                    client.attempt(place)
                again = [place for place, cell in enumerate(notebook.cells) if error_of(cell, FINAL)]
                notebook.cells += gone(notebook, handout, task) if again else []
                for place in [*range(count, len(notebook.cells)), *again]:
                    client.attempt(place)
                return
            except (DeadKernelError, CellTimeoutError) as error:
                left_out.add(place)
                why = "the kernel died" if isinstance(error, DeadKernelError) else "it can't be stopped"
                end_in(notebook.cells[place], "LeftOut", f"{why}: the notebook was run again without this cell")
            finally:
                del notebook.cells[count:]


def main(path):
    """Run all notebooks of a job."""
    job = json.loads(Path(path).read_text(encoding="utf-8"))
    resource.setrlimit(resource.RLIMIT_FSIZE, (job["most_bytes"], job["most_bytes"]))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    multiprocessing.get_context("forkserver").set_forkserver_preload(
        ["helpers", "teaching.runner", "ipykernel.kernelapp"]
    )
    out = Path(job["out"])
    for name, task in job["notebooks"].items():
        notebook, handout = (read(path.read_bytes()) for path in (out / f"{name}.ipynb", Path(task["handout"])))
        run(notebook, handout, task, job["cell_seconds"], out / f"{name}.json")
        nbformat.write(notebook, out / f"{name}.run.ipynb")
