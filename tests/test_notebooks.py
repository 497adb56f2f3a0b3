"""The committed notebooks as they are, and nbval's word on them."""

import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
MACHINE_PATH = re.compile(r"(?<![\w.])/(home|Users|root|tmp|work|mnt|opt|private|var)/|[A-Z]:\\")


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code" and cell.source.strip()]


def texts(cell):
    """Every text that the outputs of a cell hold."""
    for output in cell.outputs:
        yield output.get("text", "")
        yield from (value for kind, value in output.get("data", {}).items() if not kind.startswith("image/"))


@pytest.fixture(params=NOTEBOOKS, ids=lambda path: path.stem)
def notebook(request):
    return nbformat.read(request.param, as_version=4)


def test_all_three_are_there():
    assert [path.name for path in NOTEBOOKS] == ["01_gate_settings.ipynb", "02_training.ipynb", "03_analysis.ipynb"]


def test_every_code_cell_was_executed_in_order(notebook):
    cells = code_cells(notebook)
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))


def test_cells_that_show_something_hold_it(notebook):
    for cell in code_cells(notebook):
        if re.search(r"^ *(helpers\.plot_\w+|plt\.show)\(", cell.source, re.M):
            assert any("image/png" in output.get("data", {}) for output in cell.outputs), cell.source
        if re.search(r"^(print|helpers\.print_\w+)\(", cell.source, re.M):
            assert any(output.output_type == "stream" for output in cell.outputs), cell.source


def test_outputs_are_clean(notebook):
    assert "widgets" not in notebook.metadata
    for cell in code_cells(notebook):
        for output in cell.outputs:
            assert output.output_type != "error"
            assert output.get("name") != "stderr", output.text
            assert not {"image/svg+xml", "application/vnd.jupyter.widget-view+json"} & set(output.get("data", {}))
        for text in texts(cell):
            assert not MACHINE_PATH.search(text), text


def test_the_kernel_is_python3(notebook):
    assert notebook.metadata.kernelspec.name == "python3"


def test_no_cell_is_long_and_prose_stands_between(notebook):
    row = 0
    for cell in notebook.cells:
        row = row + 1 if cell.cell_type == "code" else 0
        assert row < 3, f"three code cells in a row at {cell.id}"
        if cell.cell_type == "code":
            assert len(cell.source.splitlines()) <= 25, cell.id
            assert not cell.source.rstrip().endswith(";"), f"{cell.id}: nbval ignores a trailing ;"


def test_parameters_are_tagged(notebook):
    (cell,) = [cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", [])]
    assert re.search(r'^data = "auto"$', cell.source, re.M) and re.search(r"^seed = 0$", cell.source, re.M)


def test_the_outputs_come_from_a_full_run_on_mnist():
    for path in NOTEBOOKS[1:]:
        notebook = nbformat.read(path, as_version=4)
        assert "mnist, 60,000 training and 10,000 test images" in "".join(
            text for cell in code_cells(notebook) for text in texts(cell)
        )
        (cell,) = [cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", [])]
        assert re.search(r"^epochs = 10$", cell.source, re.M)


def run_nbval(path):
    command = [sys.executable, "-m", "pytest", "--nbval", str(path), "-q", "-p", "no:cacheprovider"]
    command += ["-c", str(ROOT / "pyproject.toml"), "--rootdir", str(ROOT)]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT)


FRESH = "exact 12, measured ≈0.97, verdict ≈[not separable] end\n|  ≈1.5 |\n"
STORED = {
    FRESH: True,
    "exact 12, measured ≈11.3, verdict ≈[GRU ahead] end\n| ≈10.5 |\n": True,
    FRESH.replace("12", "13"): False,
    FRESH.replace("≈0.97", "0.97"): False,
    FRESH.replace("end", "END"): False,
    FRESH.replace("|  ≈1.5 |\n", ""): False,
}


def test_nbval_masks_what_was_measured_and_nothing_else(tmp_path):
    notebook = nbformat.v4.new_notebook(metadata={"kernelspec": {"name": "python3", "display_name": "Python 3"}})
    for stored in STORED:
        output = nbformat.v4.new_output("stream", name="stdout", text=stored)
        notebook.cells.append(
            nbformat.v4.new_code_cell(f"print({FRESH!r}, end='')", execution_count=1, outputs=[output])
        )
    path = tmp_path / "small.ipynb"
    nbformat.write(notebook, path)
    result = run_nbval(path)
    passed = [f"Cell {number} " not in result.stdout for number in range(len(STORED))]
    assert passed == list(STORED.values()), result.stdout
    assert f"{sum(STORED.values())} passed" in result.stdout


def test_nbval_fails_when_a_stored_output_is_altered(tmp_path):
    notebook = nbformat.read(NOTEBOOKS[0], as_version=4)
    # As far as the first printed line that is not measured, so that the test stays short.
    printed = []
    for length in range(1, len(notebook.cells) + 1):
        outputs = notebook.cells[length - 1].get("outputs", [])
        printed = [output for output in outputs if output.output_type == "stream" and "≈" not in output.text]
        if printed:
            break
    notebook.cells = notebook.cells[:length]
    folder = tmp_path / "notebooks"
    folder.mkdir()
    (tmp_path / "helpers.py").symlink_to(ROOT / "helpers.py")
    (tmp_path / "coursework").symlink_to(ROOT / "coursework")
    path = folder / "copy.ipynb"
    nbformat.write(notebook, path)
    result = run_nbval(path)
    assert result.returncode == 0, result.stdout
    printed[0].text = "x" + printed[0].text[1:]
    nbformat.write(notebook, path)
    result = run_nbval(path)
    assert result.returncode == 1 and "1 failed" in result.stdout, result.stdout
