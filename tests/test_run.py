"""run.py from end to end: papermill for real, on digits (the fixture `finished`), and its report."""

import copy
import io
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
from conftest import ROOT, differing_cells, python
from coursework import files
from tools import refresh, report

# Two epochs, since nothing here depends on how well the networks read; the data are those of COURSEWORK_DATA.
EPOCHS = "2"
ARGUMENTS = ["--epochs", EPOCHS, "--seed", "0"]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """(folder of the run, what was printed), started from another folder, with blanks in the name of the runs'."""
    folder = tmp_path_factory.mktemp("out of the way")
    odd = {
        "PYTHONPATH": None,
        "PYTHONSAFEPATH": "1",
        "MPLBACKEND": "agg",
    }  # as a user's shell may have it
    result = python(ROOT / "run.py", *ARGUMENTS, cwd=folder, **odd)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "WARNING" not in result.stderr
    return Path(os.environ["COURSEWORK_RUNS"]), result.stdout


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
        (injected,) = [
            cell for cell in cells if "injected-parameters" in cell.metadata.get("tags", [])
        ]
        assert "seed = 0" in injected.source
        assert (f"epochs = {EPOCHS}" in injected.source) == (path.stem != "01_gate_settings")
    assert len(list((runs / "models").glob(f"*-digits-{EPOCHS}epochs-seed0-*.keras"))) >= 8
    assert len((runs / "summary.csv").read_text().splitlines()) == 9
    assert not list(runs.glob(".unfinished*"))
    assert len(texts) > 20 and len(set(texts)) == len(texts)  # each figure has a text of its own
    assert all(30 < len(text) < 900 for text in texts), texts


@pytest.mark.parametrize("path", files.NOTEBOOKS, ids=lambda path: path.stem)
def test_stored_outputs_are_what_the_cells_give(finished, path):
    """What `pytest --nbval` asks, and without a second run; the stored ones come from MNIST."""
    stored, executed = (
        nbformat.read(folder / path.name, as_version=4) for folder in (path.parent, finished[0])
    )
    assert differing_cells(stored, executed) == []


def test_the_report_is_whole_and_needs_no_network(finished):
    runs, stdout = finished
    folder = runs / "report"
    assert f"Report: {folder / 'index.html'}" in stdout
    index = (folder / "index.html").read_text(encoding="utf-8")
    for page in (f"{path.stem}.html" for path in files.NOTEBOOKS):
        assert f'href="{page}"' in index
        text = re.sub(r"base64,[^\"]*", "", (folder / page).read_text(encoding="utf-8"))
        assert not re.findall(
            r"<(?:script|link|img)[^>]+(?:src|href)=[\"']?(?!data:)[^\"' >]+", text
        )
        assert "@import" not in text and "cdn" not in text.lower()
        assert (
            "≈[" not in text
            and not re.search(r"\$\\[a-z]+", text)
            and ("<math" in text or page.startswith("03"))
        )
        assert text.count("<img") == len(re.findall(r'<img [^>]*alt="[^"]+', text)) > 0
    assert "<td>GRU 3 x 32</td>" in index
    facts = dict(re.findall('<tr><th scope="row">(.+)</th><td>(.+)</td></tr>', index))
    assert facts["Data"] == "digits, 1,437 training and 360 test images (as COURSEWORK_DATA says)"
    assert {"Run on", "Time", "Versions", "Processor"} < facts.keys()
    # The stage, and a picture of each notebook.
    assert len(re.findall(r'<img [^>]*alt="[^"]{20,}"', index)) == 1 + len(files.NOTEBOOKS)
    reader = folder / "reader.html"
    assert reader.exists() == ('href="reader.html"' in index) == (runs / "reader.html").exists()


@pytest.mark.long
def test_one_notebook_alone_as_the_readme_says(finished, tmp_path):
    """From the bundle's folder, with the models at hand."""
    page = (ROOT / "docs" / "install.md").read_text("utf-8")
    (line,) = re.findall(r"^\.venv/bin/python (-m papermill .*)$", page, re.M)
    words = [str(tmp_path / word) if word == "out.ipynb" else word for word in shlex.split(line)]
    result = python(*words, COURSEWORK_RUNS=str(finished[0]), PYTHONPATH=None)
    assert result.returncode == 0, result.stderr[-2000:]


# ------------------------------------------------------------------------------------------------------------- refresh
@pytest.fixture
def readme(tmp_path, monkeypatch):
    """A copy of README.md that the tools take for the real one."""
    page = tmp_path / "README.md"
    shutil.copy(ROOT / "README.md", page)
    monkeypatch.setattr(refresh, "README", page)
    return page


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
    assert (
        said.count("\n") == 1
        and "is missing or no table of results: make refresh writes it" in said
    )


def test_a_failing_cell_leaves_the_stored_notebooks_alone(tmp_path, monkeypatch, capsys):
    notebook = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell("raise RuntimeError('no')")]
    )
    nbformat.write(notebook, tmp_path / "tiny.ipynb")
    before = (tmp_path / "tiny.ipynb").read_bytes()
    monkeypatch.setattr(refresh, "NOTEBOOKS", [tmp_path / "tiny.ipynb"])
    assert refresh.main([]) == 1
    assert (
        capsys.readouterr().err
        == "tiny.ipynb: a cell failed: RuntimeError: no; its outputs were not stored\n"
    )
    assert (tmp_path / "tiny.ipynb").read_bytes() == before


def test_outputs_go_into_the_notebook_as_it_is_now_or_nowhere(tmp_path):
    """Somebody edits it during the minutes that a refresh takes."""
    path = tmp_path / "tiny.ipynb"
    code, text = nbformat.v4.new_code_cell("print(1)"), nbformat.v4.new_markdown_cell("Before")
    written = nbformat.v4.new_notebook(
        cells=[code, text], metadata={"language_info": {"name": "python"}}
    )
    executed = copy.deepcopy(written)
    executed.cells[0].outputs = [nbformat.v4.new_output("stream", text="1\n")]
    written.cells[1].source = "After"
    nbformat.write(written, path)
    assert refresh.store_outputs(executed, path)
    now = nbformat.read(path, as_version=4)
    assert now.cells[1].source == "After" and now.cells[0].outputs == executed.cells[0].outputs
    written.cells[0].source = "print(2)"
    nbformat.write(written, path)
    assert not refresh.store_outputs(executed, path)
    assert nbformat.read(path, as_version=4) == written


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
    assert (
        'href="reader.html"' in index
        and (tmp_path / "report" / "reader.html").read_text() == "<p>draw</p>"
    )
    assert "A title" in index and '<th scope="row">Data</th><td>mnist</td>' in index
    page = (tmp_path / "report" / "tiny.html").read_text(encoding="utf-8")
    assert (
        "<td>GRU 32</td>" in page
        and "<em>answer</em>" in page
        and "<math" in page
        and "a widget" not in page
    )


# ----------------------------------------------------------------------------------------------------- what goes wrong
PYTHON = {
    "kernelspec": {"name": "python3", "display_name": "Python"},
    "language_info": {"name": "python"},
}
WRONG = {
    2: {
        "data": 3,
        "seed": -1,
        "epochs": 0,
        "batch_size": 0,
        "learning_rate": "fast",
        "n_jobs": "all",
    },
    3: {"data": "a\nb.npz", "seeds": 0, "seed": "x", "epochs": "ten", "batch_size": "large"},
}
BAD = [(1, {"data": "nonsense"})]
BAD += [
    pytest.param(number, {name: value}, marks=pytest.mark.long)
    for number, wrong in WRONG.items()
    for name, value in wrong.items()
]


@pytest.mark.parametrize(("number", "bad"), BAD, ids=str)
def test_bad_parameters_of_a_notebook_end_in_one_line(tmp_path, monkeypatch, capfd, number, bad):
    """The error is that of the first cell that uses the parameter."""
    monkeypatch.setattr(run, "RUNS", tmp_path)
    monkeypatch.setattr(report, "RUNS", tmp_path)
    monkeypatch.setattr(run, "NOTEBOOKS", [run.NOTEBOOKS[number - 1]])
    monkeypatch.setenv("COURSEWORK_RUNS", str(tmp_path))
    assert run.run({"data": "digits", "epochs": 1, **bad}) == 1
    last = capfd.readouterr().err.strip().splitlines()[-1]
    said = rf"0{number}_\w+\.ipynb: cell \d+ failed: (Value|FileNotFound)Error: .*(data|{next(iter(bad))}).*\(see .*\)"
    assert re.fullmatch(said, last), last


@pytest.fixture
def three(tmp_path, monkeypatch):
    """`runs/` of three small notebooks in the place of ours, of which the second fails; with braces in the path."""
    folder = tmp_path / "{data} {0}"
    folder.mkdir()
    sources = {
        "1_good": "print(data)",
        "2_bad": "raise RuntimeError('no')",
        "3_good": "print(seed)",
    }
    for name, source in sources.items():
        parameters = nbformat.v4.new_code_cell(
            'data = "auto"\nseed = 0', metadata={"tags": ["parameters"]}
        )
        cells = [
            nbformat.v4.new_markdown_cell(f"# {name}"),
            parameters,
            nbformat.v4.new_code_cell(source),
        ]
        notebook = nbformat.v4.new_notebook(cells=cells, metadata=PYTHON)
        nbformat.write(notebook, folder / f"{name}.ipynb")
    monkeypatch.setattr(run, "NOTEBOOKS", sorted(folder.glob("*.ipynb")))
    for module in (run, report):
        monkeypatch.setattr(module, "RUNS", folder / "runs")
    return folder / "runs"


def test_a_notebook_that_fails_stops_no_other_and_is_in_the_report(three, capfd):
    assert run.main(["--data", "digits", "--seed", "7"]) == 1
    said = capfd.readouterr()
    failed = [line for line in said.err.splitlines() if "failed" in line]
    assert len(failed) == 1
    assert re.fullmatch(
        r"2_bad\.ipynb: cell \d failed: RuntimeError: no \(see .*2_bad\.ipynb\)", failed[0]
    )
    last_cells = {
        path.stem: nbformat.read(path, as_version=4).cells[-1] for path in three.glob("*.ipynb")
    }
    shown = {name: cell.outputs[0].get("text") for name, cell in last_cells.items()}
    assert shown["1_good"] == "digits\n" and shown["3_good"] == "7\n"
    index = (three / "report" / "index.html").read_text(encoding="utf-8")
    assert index.count("stopped at an error") == 1 and all(
        f'href="{name}.html"' in index for name in shown
    )


def test_an_edited_copy_is_kept_beside_the_new_one(three, monkeypatch, capfd):
    monkeypatch.setattr(run, "NOTEBOOKS", run.NOTEBOOKS[:1])
    made = three / "1_good.ipynb"
    for kept in ("1_good-edited.ipynb", "1_good-edited2.ipynb"):
        assert run.main([]) == 0
        notebook = nbformat.read(made, as_version=4)
        notebook.cells.append(nbformat.v4.new_markdown_cell("My notes"))
        nbformat.write(notebook, made)
        assert run.main([]) == 0 and f"it is kept as {kept}" in capfd.readouterr().out
        assert nbformat.read(three / kept, as_version=4).cells[-1].source == "My notes"
    assert run.main([]) == 0  # nobody has edited this one
    assert len(list(three.glob("*.ipynb"))) == 3


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
        (
            OSError(28, "No space left on device", "x.npz"),
            1,
            "Can't write x.npz: No space left on device",
        ),
    ],
)
def test_what_stops_a_run_is_told_in_one_line(capsys, error, code, said):
    def job():
        raise error

    assert run.in_one_line(job) == code
    message = capsys.readouterr().err.strip()
    assert said in message and "\n" not in message


def test_a_stream_of_another_kind_is_no_reason_to_stop(monkeypatch):
    """A notebook's `sys.stdout` can't be reconfigured."""
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    assert run.in_one_line(lambda: 7) == 7


@pytest.mark.skipif(sys.platform != "linux", reason="needs file names that are no UTF-8")
def test_a_file_whose_name_no_notebook_can_hold(tmp_path, capsys):
    name = os.fsdecode(bytes(tmp_path) + b"/caf\xe9.npz")
    open(name, "w").close()
    with pytest.raises(SystemExit):
        run.main(["--data", name])
    assert "a notebook can't hold its name" in capsys.readouterr().err


LATE = "no kernel: Kernel didn't respond in 600 seconds"
DEAD = "the kernel was killed, perhaps for want of memory. Run again: it goes on where it stopped"


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (RuntimeError("Kernel didn't respond in 600 seconds\n"), LATE),
        (run.DeadKernelError("Kernel died"), DEAD),
    ],
)
def test_a_kernel_that_does_not_start_or_dies_is_one_line(three, monkeypatch, capsys, error, said):
    def fail(*_, **__):
        raise error

    monkeypatch.setattr(run, "execute", fail)
    assert run.main([]) == 1
    assert capsys.readouterr().err.splitlines() == [
        f"{path.name}: {said}" for path in run.NOTEBOOKS
    ]
    monkeypatch.setattr(refresh.nbclient, "execute", fail)
    monkeypatch.setattr(refresh, "NOTEBOOKS", run.NOTEBOOKS[:1])
    assert refresh.main([]) == 1
    assert re.fullmatch(
        r"1_good.ipynb: no kernel: .*; its outputs were not stored\n", capsys.readouterr().err
    )


def test_the_kernel_is_this_python_and_shows_figures(three, tmp_path, monkeypatch):
    """Whatever kernel the user calls python3, and whatever backend the user's shell names."""
    theirs = tmp_path / "jupyter" / "kernels" / "python3"
    theirs.mkdir(parents=True)
    (theirs / "kernel.json").write_text(
        '{"argv": ["false"], "display_name": "Theirs", "language": "python"}'
    )
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "jupyter"))
    monkeypatch.setenv("MPLBACKEND", "agg")
    notebook = nbformat.read(run.NOTEBOOKS[0], as_version=4)
    source = "import sys\nimport matplotlib.pyplot as plt\nplt.plot([1, 2])\nprint(sys.executable)\nplt.show()"
    notebook.cells[-1].source = source
    nbformat.write(notebook, run.NOTEBOOKS[0])
    monkeypatch.setattr(run, "NOTEBOOKS", run.NOTEBOOKS[:1])
    assert run.main([]) == 0
    outputs = nbformat.read(three / "1_good.ipynb", as_version=4).cells[-1].outputs
    assert outputs[0].text == f"{sys.executable}\n" and "image/png" in outputs[-1].data


@pytest.mark.long
def test_closed_streams_do_not_matter(tmp_path):
    """As a scheduler or a script may start it."""
    closed = ["sh", "-c", 'exec "$@" >&- 2>&-', "sh", sys.executable, "-c"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    for script in (
        "import helpers; raise SystemExit(7)",
        "import run; raise SystemExit(run.in_one_line(lambda: 7))",
    ):
        assert subprocess.run([*closed, script], env=environment).returncode == 7
