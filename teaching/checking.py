"""The checks of the hand-out on the values that a submission left, in a process of ours where none of its code runs."""

import ast
import contextlib
import io
import json
import traceback
import uuid
from pathlib import Path

import nbformat

from teaching.cells import is_answer, names_in, nbgrader_of, with_parameters
from teaching.texts import text_cell, whole
from teaching.values import decoded

MOST_PAGE = 20_000_000  # characters of outputs on a page


def check_notebook(handout, texts, student):
    """Of the hand-out's notebook what its checks need: the cells that make their names, the answers, the texts."""
    needed, cells = set(), []
    for cell in reversed(handout.cells):
        grade = nbgrader_of(cell).get("grade")
        if cell.cell_type == "markdown" and grade:
            cells.append(text_cell(cell, *texts[cell.id]))
        elif cell.cell_type == "code" and (grade or needed & set(names_in(cell.source, ast.Store))):
            cells.append(nbformat.from_dict({**cell, "source": with_parameters(cell.source, student=student)}))
            needed |= set() if is_answer(cell) else set(names_in(cell.source, ast.Load))
    return nbformat.v4.new_notebook(cells=cells[::-1], metadata=handout.metadata)


def main(folder):
    """Run the notebooks in a folder; instead of running an answer's cell, its names get the values in NAME.json."""
    for path in sorted(Path(folder).glob("*.ipynb")):
        notebook, space = nbformat.read(path, as_version=4), {"__name__": "__main__"}
        values = decoded(json.loads(path.with_suffix(".json").read_text(encoding="utf-8")))
        for cell in notebook.cells:
            if cell.cell_type == "code" and is_answer(cell):
                space |= {name: values.get(name, ...) for name in names_in(cell.source, ast.Store)}
            elif cell.cell_type == "code":
                cell.outputs = outputs_of(cell.source, space)
        nbformat.write(notebook, path.with_suffix(".checked"))


def outputs_of(source, space):
    """Run source; its outputs as nbformat has them: what was printed, the last value, an error."""
    printed, outputs, value = io.StringIO(), [], None
    try:
        *body, last = ast.parse(source).body
        if not isinstance(last, ast.Expr):
            body, last = [*body, last], None
        with contextlib.redirect_stdout(printed):
            exec(compile(ast.Module(body, []), "<cell>", "exec"), space)
            if last:
                value = eval(compile(ast.Expression(last.value), "<cell>", "eval"), space)
    except Exception as error:  # a check that fails is ours to repair; the cell gets no points and says why
        outputs = [nbformat.v4.new_output("error", ename=type(error).__name__, evalue=str(error),
                                          traceback=traceback.format_exc().splitlines())]  # fmt: skip
    if value is not None and not outputs:
        outputs = [nbformat.v4.new_output("execute_result", {"text/plain": repr(value)}, execution_count=1)]
    if printed.getvalue():
        outputs.insert(0, nbformat.v4.new_output("stream", name="stdout", text=printed.getvalue()))
    return outputs


def page(ran, checked):
    """The notebook that a person sees: the student's cells and outputs, then the checks and the texts with points."""
    cells, left = [], MOST_PAGE
    for cell in ran.cells:
        cell.metadata, cell.id = nbformat.NotebookNode(), uuid.uuid4().hex[:12]
        if cell.cell_type == "code":
            left -= len(json.dumps(cell.outputs))
            cell.outputs = cell.outputs if left > 0 else []
        cells.append(whole(cell) if cell.cell_type == "markdown" else cell)
    cells.append(nbformat.v4.new_markdown_cell("---\n# Points\n\nThe checks, on the values that this notebook left."))
    cells += [cell for cell in checked.cells if nbgrader_of(cell).get("grade")]
    return nbformat.v4.new_notebook(cells=cells, metadata=checked.metadata)
