"""run.py from end to end: papermill for real, on digits (the fixture `finished`), and its report."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

import run
from conftest import LONG, ROOT, python
from coursework import files
from tools import refresh, report

# The notebooks' own values, so that nbval finds the models of this run at hand (`make test`).
ARGUMENTS = ["--data", "digits", "--epochs", "10", "--seed", "0"]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """(folder of the run, what was printed), started from another folder, with blanks in the name of the runs'."""
    folder = tmp_path_factory.mktemp("out of the way")
    runs = Path(os.environ.get("COURSEWORK_RUNS") or folder / "r u n s")
    result = python(ROOT / "run.py", *ARGUMENTS, cwd=folder, COURSEWORK_RUNS=str(runs), PYTHONPATH=None)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "WARNING" not in result.stderr
    return runs, result.stdout


# ---------------------------------------------------------------------------------------------------------- a full run
def test_every_notebook_is_executed_with_the_parameters(finished):
    runs, texts = finished[0], []
    for path in files.NOTEBOOKS:
        notebook = nbformat.read(runs / path.name, as_version=4)
        cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
        assert all(cell.execution_count for cell in cells)
        texts += [
            output.metadata["image/png"]["alt"]
            for cell in cells
            for output in cell.outputs
            if "image/png" in output.get("data", {}) and "plt." not in cell.source
        ]
        (injected,) = [cell for cell in cells if "injected-parameters" in cell.metadata.get("tags", [])]
        assert 'data = "digits"' in injected.source and "seed = 0" in injected.source
        assert ("epochs = 10" in injected.source) == (path.stem != "01_gate_settings")
    assert len(list((runs / "models").glob("*-digits-10epochs-seed0-*.keras"))) >= 8
    assert len((runs / "summary.csv").read_text().splitlines()) == 9
    assert not list(runs.glob(".unfinished*"))
    assert len(texts) > 20 and len(set(texts)) == len(texts)  # each figure has a text of its own
    assert all(30 < len(text) < 900 for text in texts), texts


def test_the_report_is_whole_and_needs_no_network(finished):
    runs, stdout = finished
    folder = runs / "report"
    assert f"Report: {folder / 'index.html'}" in stdout
    index = (folder / "index.html").read_text(encoding="utf-8")
    for page in (f"{path.stem}.html" for path in files.NOTEBOOKS):
        assert f'href="{page}"' in index
        text = re.sub(r"base64,[^\"]*", "", (folder / page).read_text(encoding="utf-8"))
        assert not re.findall(r"<(?:script|link|img)[^>]+(?:src|href)=[\"']?(?!data:)[^\"' >]+", text)
        assert "@import" not in text and "cdn" not in text.lower()
        assert not re.search(r"\$\\[a-z]+", text) and ("<math" in text or page.startswith("03"))
        assert text.count("<img") == len(re.findall(r'<img [^>]*alt="[^"]+', text)) > 0
    assert "<td>GRU 3 x 32</td>" in index and "Data: digits" in index
    assert len(re.findall(r'<img [^>]*alt="[^"]{20,}"', index)) == 3
    reader = folder / "reader.html"
    assert reader.exists() == ('href="reader.html"' in index) == (runs / "reader.html").exists()


@pytest.mark.skipif(not LONG, reason="run by `make faults`; test_readme.py asks papermill for each option")
def test_one_notebook_alone_as_the_readme_says(finished, tmp_path):
    """From the bundle's folder, with the models at hand."""
    (line,) = re.findall(r"^\.venv/bin/python (-m papermill .*)$", (ROOT / "README.md").read_text("utf-8"), re.M)
    words = [str(tmp_path / word) if word == "out.ipynb" else word for word in shlex.split(line)]
    result = python(*words, COURSEWORK_RUNS=str(finished[0]), PYTHONPATH=None)
    assert result.returncode == 0, result.stderr[-2000:]


# ------------------------------------------------------------------------------------------------------------- refresh
@pytest.fixture
def readme(tmp_path, monkeypatch):
    """A copy of README.md that the tools take for the real one."""
    copy = tmp_path / "README.md"
    shutil.copy(ROOT / "README.md", copy)
    monkeypatch.setattr(refresh, "README", copy)
    return copy


def test_a_fresh_run_is_published(finished, readme, tmp_path, monkeypatch):
    before = readme.read_text(encoding="utf-8")
    monkeypatch.setattr(refresh, "RESULTS", tmp_path / "results.csv")
    monkeypatch.setattr(refresh, "RUNS", finished[0])
    assert refresh.publish() == 0
    fresh = report.results_table(finished[0] / "summary.csv")
    assert report.results_table(tmp_path / "results.csv") == fresh
    text = readme.read_text(encoding="utf-8")
    assert text != before and all(f"| {' | '.join(row)} |" in text for row in fresh[1:])
    assert (tmp_path / "reading.gif").read_bytes()[:4] == b"GIF8"


def test_the_table_is_the_one_of_the_results_file(readme, capsys):
    before = readme.read_text(encoding="utf-8")
    assert refresh.main(["--readme"]) == 0
    assert readme.read_text(encoding="utf-8") == before, "run: make readme"
    readme.write_text("# No marks\n")
    assert refresh.main(["--readme"]) == 1 and "marks" in capsys.readouterr().err


@pytest.mark.parametrize("content", [None, "", "model,loss\nGRU,low\n"])
def test_a_missing_or_broken_table_is_told_in_one_line(tmp_path, monkeypatch, capsys, content):
    monkeypatch.setattr(refresh, "RESULTS", tmp_path / "results.csv")
    if content is not None:
        refresh.RESULTS.write_text(content)
    assert refresh.main(["--readme"]) == 1
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "is missing or no table of results: make refresh writes it" in said


def test_a_failing_cell_leaves_the_stored_notebooks_alone(tmp_path, monkeypatch, capsys):
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("raise RuntimeError('no')")])
    nbformat.write(notebook, tmp_path / "tiny.ipynb")
    before = (tmp_path / "tiny.ipynb").read_bytes()
    monkeypatch.setattr(refresh, "NOTEBOOKS", [tmp_path / "tiny.ipynb"])
    assert refresh.main([]) == 1
    assert capsys.readouterr().err == "tiny.ipynb: a cell failed: RuntimeError: no; its outputs were not stored\n"
    assert (tmp_path / "tiny.ipynb").read_bytes() == before


# ---------------------------------------------------------------------------------------------------------- the report
def test_tables_of_a_notebook_and_the_reader_are_in_the_report(tmp_path, monkeypatch):
    """Tables as HTML, a sentence with a formula, what only a live kernel can show."""
    cell = nbformat.v4.new_code_cell("show()")
    shown = [
        {"text/html": "<table><tr><td>GRU 32</td></tr></table>", "text/plain": "GRU 32"},
        {"text/markdown": "The *answer* is $x_t$.", "text/plain": "The answer"},
        {"application/vnd.jupyter.widget-view+json": {"model_id": "1"}, "text/plain": "a widget"},
        {"text/html": "Data: mnist", "text/plain": "Data: ≈[mnist]"},
    ]
    cell.outputs = [nbformat.v4.new_output("display_data", data=data) for data in shown]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell("# A title"), cell])
    nbformat.write(notebook, tmp_path / "tiny.ipynb")
    monkeypatch.setattr(report, "RUNS", tmp_path)
    (tmp_path / "reader.html").write_text("<p>draw</p>")
    index = report.report([tmp_path / "tiny.ipynb"]).read_text(encoding="utf-8")
    assert 'href="reader.html"' in index and (tmp_path / "report" / "reader.html").read_text() == "<p>draw</p>"
    assert "A title" in index and "Data: mnist" in index
    page = (tmp_path / "report" / "tiny.html").read_text(encoding="utf-8")
    assert "<td>GRU 32</td>" in page and "<em>answer</em>" in page and "<math" in page and "a widget" not in page


# ----------------------------------------------------------------------------------------------------- what goes wrong
BAD = [(1, {"data": "nonsense"})]
if LONG:
    second = {"data": 3, "seed": -1, "epochs": 0, "batch_size": 0, "learning_rate": "fast", "n_jobs": "all"}
    third = {"data": "a\nb.npz", "seeds": 0, "seed": "x", "epochs": "ten", "batch_size": "large"}
    BAD += [(number, dict([bad])) for number, all_bad in ((2, second), (3, third)) for bad in all_bad.items()]


@pytest.mark.parametrize(("number", "bad"), BAD, ids=str)
def test_bad_parameters_of_a_notebook_end_in_one_line(tmp_path, monkeypatch, capfd, number, bad):
    """The error is that of the first cell that uses the parameter."""
    monkeypatch.setattr(run, "RUNS", tmp_path)
    monkeypatch.setattr(run, "NOTEBOOKS", [run.NOTEBOOKS[number - 1]])
    monkeypatch.setenv("COURSEWORK_RUNS", str(tmp_path))
    assert run.run({"data": "digits", "epochs": 1, **bad}) == 1
    last = capfd.readouterr().err.strip().splitlines()[-1]
    said = rf"0{number}_\w+\.ipynb: cell \d+ failed: (Value|FileNotFound)Error: .*(data|{next(iter(bad))}).*\(see .*\)"
    assert re.fullmatch(said, last), last


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--epochs", "0"], "must be a whole number of at least 1, not '0'"),
        (["--epochs", "many"], "must be a whole number of at least 1, not 'many'"),
        (["--seed", "-1"], "must be a whole number of at least 0"),
    ],
)
def test_bad_arguments_are_refused_before_anything_runs(capsys, arguments, message):
    with pytest.raises(SystemExit) as stop:
        run.main(arguments)
    assert stop.value.code == 2 and message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (KeyboardInterrupt(), 130, "Stopped. Run again"),
        (run.DeadKernelError("died"), 1, "The kernel was killed"),
        (OSError(28, "No space left on device", "x.npz"), 1, "Can't write x.npz: No space left on device"),
    ],
)
def test_what_stops_a_run_is_told_in_one_line(capsys, error, code, said):
    def job():
        raise error

    assert run.in_one_line(job) == code
    message = capsys.readouterr().err.strip()
    assert said in message and "\n" not in message


@pytest.mark.skipif(sys.platform != "linux", reason="needs file names that are no UTF-8")
def test_a_file_whose_name_no_notebook_can_hold(tmp_path, capsys):
    name = os.fsdecode(bytes(tmp_path) + b"/caf\xe9.npz")
    open(name, "w").close()
    with pytest.raises(SystemExit):
        run.main(["--data", name])
    assert "a notebook can't hold its name" in capsys.readouterr().err


def test_closed_streams_do_not_matter(tmp_path):
    """As a scheduler or a script may start it."""
    closed = ["sh", "-c", 'exec "$@" >&- 2>&-', "sh", sys.executable, "-c"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    for script in ("import helpers; raise SystemExit(7)", "import run; raise SystemExit(run.in_one_line(lambda: 7))"):
        assert subprocess.run([*closed, script], env=environment).returncode == 7
