"""Run the notebooks in order, keep the executed copies in `runs/`, and write an HTML report that needs no network.

python run.py [--data NAME_OR_PATH] [--epochs N] [--seed N]
"""

import argparse
import logging
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import papermill
from nbclient.exceptions import DeadKernelError

from coursework.files import NOTEBOOKS, RUNS
from tools.report import report

# Kernels listen on this machine only: no warning that others could hear them. None tells of a cell that was stopped, or
# of what it could not write or had not finished when it ended.
QUIET = [
    "--log-level=CRITICAL",
    "--IPKernelApp.exec_lines=__import__('logging').raiseExceptions = False; "
    "__import__('logging').getLogger('asyncio').setLevel('CRITICAL')",
]


def main(arguments: list[str] | None = None) -> int:
    """Parse the command line, run, and return the exit code."""
    parser = argparse.ArgumentParser(description="Run the notebooks in order into runs/, with an HTML report.")
    parser.add_argument("--data", type=data, help="auto, mnist, mnist5k, digits or the path of an .npz file")
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
        raise argparse.ArgumentTypeError(f"rename the file {text!r}: a notebook can't hold its name") from None


def integer(least: int) -> Callable[[str], int]:
    """An argparse type: a whole number of at least `least`."""

    def parse(text):
        if not text.isdecimal() or int(text) < least:
            raise argparse.ArgumentTypeError(f"must be a whole number of at least {least}, not {text!r}")
        return int(text)

    return parse


def in_one_line(job: Callable[..., int], *arguments) -> int:
    """The exit code of `job`; what stops it is told in one line."""
    for stream in filter(None, (sys.stdout, sys.stderr)):
        stream.reconfigure(errors="backslashreplace")  # a terminal that can't show a letter is no reason to stop
    try:
        return job(*arguments)
    except OSError as error:
        place = error.filename or RUNS
        why = f"Can't write {place}: {error.strerror or error}; COURSEWORK_RUNS names another folder"
    except DeadKernelError:
        why = "The kernel was killed, perhaps for want of memory. Run again: it goes on where it stopped"
    except KeyboardInterrupt:
        logging.getLogger("asyncio").setLevel(logging.CRITICAL)  # or it tells of the cell that was stopped
        print("\nStopped. Run again: it goes on where it stopped", file=sys.stderr)
        return 130
    print(why, file=sys.stderr)
    return 1


def run(parameters: dict) -> int:
    """Execute every notebook through papermill, then write the report; stop at the first failing cell."""
    RUNS.mkdir(parents=True, exist_ok=True)
    executed = []
    for notebook in NOTEBOOKS:
        start = time.perf_counter()
        copy = RUNS / notebook.name
        try:
            execute(notebook, copy, parameters)
        except papermill.PapermillExecutionError as error:
            cell = f"cell {error.exec_count}" if error.exec_count else "a cell"
            print(f"{notebook.name}: {cell} failed: {error.ename}: {error.evalue} (see {copy})", file=sys.stderr)
            return 1
        executed.append(copy)
        print(f"{notebook.name}: {time.perf_counter() - start:.0f} s")
    print(f"Report: {report(executed)}")
    return 0


def execute(notebook: Path, copy: Path, parameters: dict) -> None:
    """Run one notebook with the parameters that it has; `copy` is replaced at the end, even by a failed run."""
    known = papermill.inspect_notebook(str(notebook))
    with tempfile.TemporaryDirectory(prefix=".unfinished-", dir=RUNS) as folder:  # another run may work beside
        unfinished = Path(folder, notebook.name)
        try:
            papermill.execute_notebook(
                str(notebook),
                str(unfinished),
                parameters={name: value for name, value in parameters.items() if name in known},
                kernel_name="python3",
                cwd=str(notebook.parent),
                request_save_on_cell_execute=False,  # it would write the whole copy twice for each cell
                extra_arguments=QUIET,
            )
        finally:
            if unfinished.exists():
                os.replace(unfinished, copy)


if __name__ == "__main__":
    sys.exit(main())
