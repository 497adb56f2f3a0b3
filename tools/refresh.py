"""Store fresh outputs in notebooks/ itself, and in docs/ and README.md what they show of them.

python -m tools.refresh [--data NAME_OR_PATH]
python -m tools.refresh --readme     (only the results table of README.md, from docs/results.csv)
"""

import argparse
import itertools
import os
import re
import shutil
import sys
from pathlib import Path

import nbclient
import nbformat
from nbclient.exceptions import CellExecutionError

from coursework.files import NOTEBOOKS, ROOT, RUNS, replacing, write_csv, write_text
from run import KERNEL_SECONDS, QUIET, data, in_one_line
from tools.report import results_table, without_widgets

RESULTS = ROOT / "docs" / "results.csv"
README = ROOT / "README.md"
GUESS = "**Guess:**"  # in a text: the next cell shows what happens


def main(arguments: list[str] | None = None) -> int:
    """Parse the command line, do what it says, and return the exit code."""
    parser = argparse.ArgumentParser(
        description="Store fresh outputs in notebooks/, docs/ and README.md."
    )
    parser.add_argument(
        "--data", type=data, help="auto, mnist, mnist5k, digits or the path of an .npz file"
    )
    parser.add_argument(
        "--readme", action="store_true", help="write the results table of README.md, run nothing"
    )
    options = parser.parse_args(arguments)
    if options.data:
        os.environ["COURSEWORK_DATA"] = options.data
    return in_one_line(write_readme_table if options.readme else refresh)


def refresh() -> int:
    """Execute the notebooks where they are, with their own parameters, and store the outputs in them."""
    for path in NOTEBOOKS:
        notebook = nbformat.read(path, as_version=4)
        try:
            nbclient.execute(
                notebook,
                str(path.parent),
                kernel_name="python3",
                startup_timeout=KERNEL_SECONDS,
                extra_arguments=QUIET,
                record_timing=False,
                store_widget_state=False,
            )
        except CellExecutionError as error:
            why = f"{error.ename}: {error.evalue}"
            print(
                f"{path.name}: a cell failed: {why}; its outputs were not stored", file=sys.stderr
            )
            return 1
        except RuntimeError as error:  # of a kernel that has died, or did not start
            why = " ".join(str(error).split())
            print(f"{path.name}: no kernel: {why}; its outputs were not stored", file=sys.stderr)
            return 1
        if not store_outputs(notebook, path):
            print(
                f"{path.name} was changed while it ran: no outputs were stored, refresh again",
                file=sys.stderr,
            )
            return 1
        print(f"{path.name}: outputs stored")
    return publish()


def store_outputs(executed: nbformat.NotebookNode, path: Path) -> bool:
    """Put outputs into the notebook as it is now; False if its code is no longer what was executed."""
    now = nbformat.read(path, as_version=4)
    cells, done = code_cells(now), code_cells(executed)
    if [cell.source for cell in cells] != [cell.source for cell in done]:
        return False
    for cell, fresh in zip(cells, done, strict=True):
        cell.outputs = fresh.outputs
        cell.execution_count = fresh.execution_count
    now.metadata.language_info = executed.metadata.language_info
    without_widgets(now)
    fold_what_is_guessed(now)
    write_text(path, nbformat.writes(now) + "\n")
    return True


def fold_what_is_guessed(notebook: nbformat.NotebookNode) -> None:
    """Fold the output of each cell whose lead-in asks for a guess: JupyterLab opens it when the cell is run."""
    for lead_in, cell in itertools.pairwise(notebook.cells):
        if cell.cell_type == "code" and GUESS in lead_in.source:
            cell.metadata.setdefault("jupyter", {})["outputs_hidden"] = True


def code_cells(notebook: nbformat.NotebookNode) -> list[nbformat.NotebookNode]:
    """The cells that are executed."""
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def publish() -> int:
    """Put what the README shows of the last run, the moving picture, the reader and the results, into docs/."""
    for name, source in {"reading.gif": "reading.gif", "reader.html": "reader-small.html"}.items():
        if (RUNS / source).is_file():
            with replacing(RESULTS.parent / name) as copy:
                shutil.copyfile(RUNS / source, copy)
    header, *rows = results_table(RUNS / "summary.csv")
    write_csv(str(RESULTS), header, rows)
    return write_readme_table()


def write_readme_table() -> int:
    """Put the results of `docs/results.csv` between the two marks in README.md."""
    try:
        header, *rows = results_table(RESULTS)
    except ValueError:
        print(
            f"{RESULTS} is missing or no table of results: make refresh writes it", file=sys.stderr
        )
        return 1
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
    table = "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
    marks = re.compile(r"(<!-- results -->\n).*?(\n<!-- end of results -->)", re.S)
    text, count = marks.subn(rf"\g<1>\n{table}\n\g<2>", README.read_text(encoding="utf-8"))
    if count != 1:
        print(
            "README.md needs the marks <!-- results --> and <!-- end of results --> once each",
            file=sys.stderr,
        )
        return 1
    write_text(README, text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
