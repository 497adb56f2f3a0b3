"""Run the notebooks in order, keep the executed copies in `runs/`, and write an HTML report that needs no network.

python run.py [--data NAME_OR_PATH] [--epochs N] [--seed N]
"""

import argparse
import hashlib
import json
import logging
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))  # PYTHONSAFEPATH leaves it out

import nbformat
import papermill
from nbclient.exceptions import DeadKernelError

from coursework.files import NOTEBOOKS, RUNS
from tools.report import report

# Kernels listen on this machine only: no warning that others could hear them. None tells that a cell was stopped, or
# what could not be written or was unfinished when the kernel ended.
QUIET = [
    "--log-level=CRITICAL",
    "--IPKernelApp.exec_lines=__import__('logging').raiseExceptions = False; "
    "__import__('logging').getLogger('asyncio').setLevel('CRITICAL')",
]
KERNEL_SECONDS = 600  # a machine under load starts a kernel slowly
SOURCES = "sources of this run"  # in a copy's metadata: a hash of its cells as they were executed


def main(arguments: list[str] | None = None) -> int:
    """Parse the command line, run, and return the exit code."""
    parser = argparse.ArgumentParser(
        description="Run the notebooks in order into runs/, with an HTML report."
    )
    parser.add_argument(
        "--data", type=data, help="auto, mnist, mnist5k, digits or the path of an .npz file"
    )
    parser.add_argument("--epochs", type=integer(1), help="training epochs of each model")
    parser.add_argument("--seed", type=integer(0), help="seed of weights and shuffling")
    options = vars(parser.parse_args(arguments))
    return in_one_line(run, {name: value for name, value in options.items() if value is not None})


def data(text: str) -> str:
    """An argparse type: the name of a data set, or the path of a file as the kernels need it, who work elsewhere."""
    if not os.path.isfile(text):
        return text
    try:
        return str(Path(text).resolve()).encode().decode()
    except UnicodeEncodeError:
        raise argparse.ArgumentTypeError(
            f"rename the file {text!r}: a notebook can't hold its name"
        ) from None


def integer(least: int) -> Callable[[str], int]:
    """An argparse type: a whole number of at least `least`."""

    def parse(text):
        if not text.isdecimal() or int(text) < least:
            raise argparse.ArgumentTypeError(
                f"must be a whole number of at least {least}, not {text!r}"
            )
        return int(text)

    return parse


def in_one_line(job: Callable[..., int], *arguments: object) -> int:
    """The exit code of `job`; what stops it is told in one line."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a notebook's stream has none, and a closed one is None
            stream.reconfigure(
                errors="backslashreplace"
            )  # a terminal that can't show a letter is no reason to stop
    use_our_kernels()
    try:
        return job(*arguments)
    except OSError as error:
        place = error.filename or RUNS
        print(
            f"Can't write {place}: {error.strerror or error}; COURSEWORK_RUNS names another folder",
            file=sys.stderr,
        )
    except KeyboardInterrupt:
        logging.getLogger("asyncio").setLevel(
            logging.CRITICAL
        )  # or it tells of the cell that was stopped
        print("\nStopped. Run again: it goes on where it stopped", file=sys.stderr)
        return 130
    return 1


def use_our_kernels() -> None:
    """Kernels run this Python and draw into the notebook, whatever the user's own settings are."""
    os.environ["JUPYTER_PATH"] = str(
        Path(sys.prefix, "share", "jupyter")
    )  # a user may have a kernel `python3`
    os.environ.pop("MPLBACKEND", None)


def run(parameters: dict) -> int:
    """Execute every notebook through papermill, then write the report on all of them; 1 if one has failed."""
    RUNS.mkdir(parents=True, exist_ok=True)
    executed, failed = [], False
    for notebook in NOTEBOOKS:
        start = time.perf_counter()
        copy = RUNS / notebook.name
        if why := why_it_failed(notebook, copy, parameters):
            failed = True
            print(f"{notebook.name}: {why}", file=sys.stderr)
        else:
            print(f"{notebook.name}: {time.perf_counter() - start:.0f} s")
        executed.append(copy)
    print(f"Report: {report([copy for copy in executed if copy.exists()])}")
    return int(failed)


def why_it_failed(notebook: Path, copy: Path, parameters: dict) -> str:
    """Execute one notebook; one line on what stopped it, or nothing."""
    try:
        execute(notebook, copy, parameters)
    except papermill.PapermillExecutionError as error:
        cell = f"cell {error.exec_count}" if error.exec_count else "a cell"
        return f"{cell} failed: {error.ename}: {error.evalue} (see {copy})"
    except DeadKernelError:
        return "the kernel was killed, perhaps for want of memory. Run again: it goes on where it stopped"
    except RuntimeError as error:  # so Jupyter says that a kernel did not start
        return f"no kernel: {' '.join(str(error).split())}"
    return ""


def execute(notebook: Path, copy: Path, parameters: dict) -> None:
    """Run one notebook with the parameters that it has; `copy` is replaced at the end, even by a failed run."""
    known = papermill.inspect_notebook(as_it_is(notebook))
    with tempfile.TemporaryDirectory(
        prefix=".unfinished-", dir=RUNS
    ) as folder:  # another run may work beside
        unfinished = Path(folder, notebook.name)
        try:
            papermill.execute_notebook(
                as_it_is(notebook),
                as_it_is(unfinished),
                parameters={name: value for name, value in parameters.items() if name in known},
                kernel_name="python3",
                cwd=str(notebook.parent),
                start_timeout=KERNEL_SECONDS,
                request_save_on_cell_execute=False,  # it would write the whole copy twice for each cell
                extra_arguments=QUIET,
            )
        finally:
            if unfinished.exists():
                put(unfinished, copy)


def as_it_is(path: Path) -> str:
    """A path for papermill, which takes braces in it for the names of parameters."""
    return str(path).replace("{", "{{").replace("}", "}}")


def put(unfinished: Path, copy: Path) -> None:
    """Put the executed notebook in its place; one there that somebody has edited stays, under another name."""
    if is_edited(copy):
        kept = free_name(copy)
        os.replace(copy, kept)
        print(f"{copy.name} in {RUNS.name}/ was edited: it is kept as {kept.name}")
    notebook = nbformat.read(unfinished, as_version=4)
    notebook.metadata[SOURCES] = hash_of(notebook)
    nbformat.write(notebook, unfinished)
    os.replace(unfinished, copy)


def free_name(copy: Path) -> Path:
    """A name beside `copy` that nothing has."""
    kept, number = copy.with_name(f"{copy.stem}-edited.ipynb"), 1
    while kept.exists():
        number += 1
        kept = copy.with_name(f"{copy.stem}-edited{number}.ipynb")
    return kept


def is_edited(copy: Path) -> bool:
    """Are the cells of an executed notebook others than those that were executed?"""
    if not copy.exists():
        return False
    try:
        notebook = nbformat.read(copy, as_version=4)
        return notebook.metadata.get(SOURCES) != hash_of(notebook)
    except (ValueError, AttributeError):  # no notebook any more
        return True


def hash_of(notebook: nbformat.NotebookNode) -> str:
    """A hash of the sources of all cells."""
    sources = json.dumps([cell.source for cell in notebook.cells])
    return hashlib.sha256(sources.encode()).hexdigest()


if __name__ == "__main__":
    sys.exit(main())
