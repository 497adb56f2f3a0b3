"""run.py from end to end: papermill for real, on digits with three epochs (the fixture `finished`)."""

import os
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

import run

ROOT = Path(__file__).resolve().parents[1]


def command(*arguments, cwd, **environment):
    return subprocess.run(
        [sys.executable, str(ROOT / "run.py"), *arguments],
        capture_output=True,
        text=True,
        cwd=cwd,
        env={**os.environ, **environment},
    )


def test_every_notebook_is_executed_with_the_parameters(finished):
    runs, _ = finished
    for name in ("01_gate_settings", "02_training", "03_analysis"):
        notebook = nbformat.read(runs / f"{name}.ipynb", as_version=4)
        cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
        assert all(cell.execution_count for cell in cells)
        (injected,) = [cell for cell in cells if "injected-parameters" in cell.metadata.get("tags", [])]
        assert 'data = "digits"' in injected.source and "seed = 1" in injected.source
        assert ("epochs = 3" in injected.source) == (name != "01_gate_settings")
    assert len(list((runs / "models").glob("*-digits-3epochs-seed1-*"))) >= 12


def test_tables_and_models_are_kept(finished):
    runs, _ = finished
    assert len((runs / "summary.csv").read_text().splitlines()) == 9
    assert not list((runs / "models").glob(".unfinished*"))


def test_the_report_is_whole_and_needs_no_network(finished):
    runs, stdout = finished
    report = runs / "report"
    assert f"Report: {report / 'index.html'}" in stdout
    index = (report / "index.html").read_text(encoding="utf-8")
    for page in ("01_gate_settings.html", "02_training.html", "03_analysis.html"):
        assert f'href="{page}"' in index
        text = re.sub(r"base64,[^\"]*", "", (report / page).read_text(encoding="utf-8"))
        assert not re.findall(r"<(?:script|link|img)[^>]+(?:src|href)=[\"']?(?!data:)[^\"' >]+", text)
        assert "@import" not in text and "cdn" not in text.lower()
        assert not re.search(r"\$\\[a-z]+", text) and ("<math" in text or page.startswith("03"))
        assert text.count("<img") == len(re.findall(r'<img [^>]*alt="[^"]+', text)) > 0
    assert "<td>GRU 3 x 32</td>" in index and "Data: digits" in index
    assert len(re.findall(r'<img [^>]*alt="[^"]{20,}"', index)) == 3


def test_each_figure_has_a_text_of_its_own(finished):
    runs, _ = finished
    texts = []
    for path in sorted(runs.glob("*.ipynb")):
        for cell in nbformat.read(path, as_version=4).cells:
            for output in cell.get("outputs", []):
                if "image/png" in output.get("data", {}) and "plt." not in cell.source:
                    texts.append(output.metadata["image/png"]["alt"])
    assert len(texts) > 20 and len(set(texts)) == len(texts)
    assert all(30 < len(text) < 900 for text in texts), texts


def test_a_failing_cell_gives_a_nonzero_exit_code_and_one_line(tmp_path):
    result = command("--data", "nonsense", cwd=tmp_path, COURSEWORK_RUNS=str(tmp_path / "runs"))
    assert result.returncode == 1
    last = result.stderr.strip().splitlines()[-1]
    assert "01_gate_settings.ipynb" in last and "unknown data 'nonsense'" in last


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--epochs", "0"], "must be a whole number of at least 1, not '0'"),
        (["--epochs", "many"], "must be a whole number of at least 1, not 'many'"),
        (["--seed", "-1"], "must be a whole number of at least 0"),
        (["--refresh", "--epochs", "3"], "--refresh uses the notebooks' own parameters"),
    ],
)
def test_bad_arguments_are_refused_before_anything_runs(capsys, arguments, message):
    try:
        code = run.main(arguments)
    except SystemExit as stop:
        code = stop.code
    assert code == 2 and message in capsys.readouterr().err


def test_a_failing_cell_leaves_the_stored_notebooks_alone(tmp_path, monkeypatch, capsys):
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("raise RuntimeError('no')")])
    nbformat.write(notebook, tmp_path / "tiny.ipynb")
    before = (tmp_path / "tiny.ipynb").read_bytes()
    monkeypatch.setattr(run, "NOTEBOOKS", [tmp_path / "tiny.ipynb"])
    assert run.main(["--refresh"]) == 1
    assert capsys.readouterr().err == "tiny.ipynb: a cell failed: RuntimeError: no; its outputs were not stored\n"
    assert (tmp_path / "tiny.ipynb").read_bytes() == before


@pytest.mark.parametrize("content", [None, "", "model,loss\nGRU,low\n"])
def test_a_missing_or_broken_table_is_told_in_one_line(tmp_path, monkeypatch, capsys, content):
    monkeypatch.setattr(run, "RESULTS", tmp_path / "results.csv")
    if content is not None:
        run.RESULTS.write_text(content)
    assert run.main(["--readme"]) == 1
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "is missing or no table of results: make refresh writes it" in said


@pytest.mark.skipif(sys.platform != "linux", reason="needs file names that are no UTF-8")
def test_a_file_whose_name_no_notebook_can_hold(tmp_path, capsys):
    name = os.fsdecode(bytes(tmp_path) + b"/caf\xe9.npz")
    open(name, "w").close()
    assert run.main(["--data", name]) == 2 and "a notebook can't hold its name" in capsys.readouterr().err


def test_closed_streams_do_not_matter(tmp_path):
    """As a scheduler or a script may start it."""
    closed = ["sh", "-c", 'exec "$@" >&- 2>&-', "sh", sys.executable, "-c"]
    environment = {**os.environ, "PYTHONPATH": str(run.ROOT)}
    script = f"import helpers, run; run.RESULTS = run.Path({str(tmp_path / 'no')!r}); "
    script += "raise SystemExit(run.main(['--readme']))"
    assert subprocess.run([*closed, script], env=environment).returncode == 1
    assert subprocess.run([*closed, "import helpers; raise SystemExit(7)"], env=environment).returncode == 7
