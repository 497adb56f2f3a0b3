"""The committed notebooks: whole and clean outputs, nbval's mask, and their texts as far as those can be measured."""

import copy
import itertools
import re
import subprocess
import sys
from collections import Counter

import nbclient
import nbformat
import pytest

from conftest import ROOT, what_nbval_compares
from coursework.files import NOTEBOOKS
from tools.refresh import GUESS

MACHINE_PATH = re.compile(r"(?<![\w.])/(home|Users|root|tmp|work|mnt|opt|private|var)/|[A-Z]:\\")
LABELS = {  # one name for one thing, on every axis
    *("time step (row)", "pixel", "hidden unit", "class", "epoch"),
    *(
        "accuracy",
        "cross-entropy (nats)",
        "error (%)",
        "test error (%)",
        "number of parameters",
        "images (%)",
    ),
    *("gate bias B", "largest error of the state", "output h", "state h", "probability"),
    *("variance of the state", "mean output h", "mean of the gate", "state"),
    *(
        "commit step (row)",
        "length of a step of the state",
        "read out after step",
        "row of the image",
    ),
    *("count n", "gap to the count before"),
    *("share of steps with the gate below 0.1", "share of steps with the gate above 0.9"),
    *("time step", "length of the sequence", "number of a's"),
    "number of b's until they have caught up",
}
POINTS = {"01_gate_settings": 30, "02_training": 50, "03_analysis": 30, "04_your_own_cell": 0}
DATA = {  # what each that trains says of its data
    "02_training": "mnist, 60,000 training and 10,000 test images",
    "03_analysis": "mnist, 60,000 training and 10,000 test images",
    "04_your_own_cell": "mnist5k, 4,000 training and 1,000 test images",
}


APPENDIX = "For the curious"


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code" and cell.source.strip()]


def texts(cell):
    """Every text that the outputs of a cell hold."""
    for output in cell.outputs:
        yield output.get("text", "")
        yield from (
            value for kind, value in output.get("data", {}).items() if not kind.startswith("image/")
        )


def prose_of(notebook):
    return "\n\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")


BOOKS = {path.stem: nbformat.read(path, as_version=4) for path in NOTEBOOKS}


each_notebook = pytest.mark.parametrize("name", POINTS)


@each_notebook
def test_the_notebook_was_executed_in_order_and_shows_what_it_should(name):
    assert (
        BOOKS[name].metadata.kernelspec.name == "python3" and "widgets" not in BOOKS[name].metadata
    )
    cells = code_cells(BOOKS[name])
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    for cell in cells:
        if re.search(r"^ *helpers\.(plot_\w+|show_figure)\(", cell.source, re.M):
            assert any("image/png" in output.get("data", {}) for output in cell.outputs), (
                cell.source
            )
        if re.search(r"^(print|helpers\.say|helpers\.show_table)\(", cell.source, re.M):
            assert any(texts(cell)), cell.source
        for output in cell.outputs:
            assert output.output_type != "error" and output.get("name") != "stderr"
            assert not {"image/svg+xml", "application/vnd.jupyter.widget-view+json"} & set(
                output.get("data", {})
            )
        for shown in texts(cell):
            assert not MACHINE_PATH.search(shown), shown


@each_notebook
def test_parameters_are_tagged_and_the_outputs_come_from_a_full_run(name):
    (cell,) = [cell for cell in BOOKS[name].cells if "parameters" in cell.metadata.get("tags", [])]
    assert {'data = "auto"', "seed = 0"} <= set(cell.source.splitlines())
    if name in DATA:
        assert "epochs = 10" in cell.source.splitlines()
        shown = "".join("".join(texts(cell)) for cell in code_cells(BOOKS[name]))
        assert DATA[name] in shown


FRESH = """helpers.say(f"exact 12, measured {helpers.measured(0.97)}, verdict {helpers.measured('not separable')} end")
helpers.show_table(["name", "value"], [["a", helpers.measured(1.5)], ["b", "exact"]])"""
STORED = {  # what is stored in place of what a cell shows -> does nbval accept it?
    ("", ""): True,
    ("0.97", "11.3"): True,
    ("not separable", "GRU ahead"): True,
    (">1.5<", ">10.5<"): True,
    ("12", "13"): False,
    ("end", "END"): False,
    ("exact</td>", "other</td>"): False,
    ('<span class="measured">0.97</span>', "0.97"): False,
    ("≈0.97", "0.97"): False,
}


def test_nbval_masks_what_was_measured_and_nothing_else(tmp_path):
    notebook = nbformat.v4.new_notebook(
        metadata={"kernelspec": {"name": "python3", "display_name": "Python 3"}}
    )
    setup = f"import sys; sys.path.insert(0, {str(ROOT)!r}); import coursework.text as helpers"
    cells = [setup, *[FRESH] * len(STORED)]
    notebook.cells = [nbformat.v4.new_code_cell(source) for source in cells]
    path = tmp_path / "small.ipynb"
    nbclient.NotebookClient(notebook, kernel_name="python3").execute()
    fresh = copy.deepcopy(notebook.cells[1])
    for cell, (shown, stored) in zip(notebook.cells[1:], STORED, strict=True):
        assert any(shown in text for output in cell.outputs for text in output.data.values())
        for data in (output.data for output in cell.outputs):
            data.update(
                {kind: text.replace(shown, stored) for kind, text in data.items()} if shown else {}
            )
    nbformat.write(notebook, path)
    command = [sys.executable, "-m", "pytest", "--nbval", str(path), "-q", "-p", "no:cacheprovider"]
    command += ["-c", str(ROOT / "pyproject.toml"), "--rootdir", str(ROOT)]
    result = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    passed = [f"Cell {number} " not in result.stdout for number in range(1, len(cells))]
    assert passed == list(STORED.values()), result.stdout
    # And so does the comparison of `make test`, which executes nothing.
    ours = [what_nbval_compares(cell) == what_nbval_compares(fresh) for cell in notebook.cells[1:]]
    assert ours == list(STORED.values())


@each_notebook
def test_it_opens_like_the_others_and_ends_with_a_summary(name):
    title, prose = BOOKS[name].cells[0].source, prose_of(BOOKS[name])
    assert re.match(rf"# {int(name[:2])}\. \w[^\n]+\n", title)
    marks = ["**Q"] * bool(POINTS[name]) + ["**Time.**"]
    places = [title.find(mark) for mark in marks]
    assert min(places) > 100, "a puzzle comes first"
    assert places == sorted(places)
    headings = re.findall(r"^## (.+)$", prose, re.M)
    after = headings[headings.index("Summary") + 1 :]
    assert after in ([], ["References"], [APPENDIX, "References"]), after
    levels = [len(marks) for marks in re.findall(r"^(#+) ", prose, re.M)]
    assert levels.count(1) == 1
    assert all(b <= a + 1 for a, b in itertools.pairwise(levels)), "a level of headings is left out"
    assert sum(map(int, re.findall(r"^##[^\n]*\((\d+) points\)", prose, re.M))) == POINTS[name]


def test_the_main_line_of_notebook_1_is_short_and_its_time_is_that_of_its_words():
    prose = prose_of(BOOKS["01_gate_settings"])
    appendix = re.search(rf"^## {APPENDIX}$.*?(?=^## )", prose, re.M | re.S)[0]
    extra = len(appendix.split())
    words = len(prose.split()) - extra
    assert words <= 3300
    minutes = [int(number) for number in re.findall(r"(\d+) minutes", prose)]
    assert minutes == [round(words / 200), round(extra / 200)], (words, extra)


@each_notebook
def test_code_comes_in_small_cells_with_text_between(name):
    cells = [cell for cell in BOOKS[name].cells if cell.source.strip()]
    lengths = [len(cell.source.splitlines()) for cell in code_cells(BOOKS[name])]
    assert max(lengths) <= 25 and sum(length < 8 for length in lengths) >= 0.7 * len(lengths)
    kinds = "".join(cell.cell_type[0] for cell in cells)
    assert "ccc" not in kinds  # an answer and its check may stand together, no more
    assert kinds.startswith("m") and kinds.endswith("m"), "a lead-in before, a reading after"


@each_notebook
def test_sentences_and_symbols(name):
    prose = prose_of(BOOKS[name])
    said = re.split(r"(?<=[.?:])\s+", " ".join(prose.split()))
    assert not [
        sentence for sentence, count in Counter(said).items() if count > 1 and len(sentence) > 30
    ]
    # A number with decimals in a sentence could contradict the next run; the code prints them.
    assert not re.search(r"\b0\.\d{2,}|\d\d\.\d+ ?%", re.sub(r"arXiv:\S+|\]\([^)]*\)", "", prose))
    assert "!" not in re.sub(r"!\[", "", prose)
    assert not re.search(
        r"\b(simply|obviously|of course|clearly shows|very|really|notebook 0\d)\b", prose, re.I
    )
    symbols = r"h_\{?t ?- ?1|h_\(t|c_\{?t ?- ?1|\\tilde|\\odot|\\mathbf"
    assert not re.search(symbols, re.sub(r"`[^`]*`", "", prose)), "the old state is h_{prev}"


@each_notebook
def test_what_is_guessed_is_folded_and_nothing_else(name):
    for lead_in, cell in itertools.pairwise(BOOKS[name].cells):
        asks = lead_in.cell_type == "markdown" and GUESS in lead_in.source
        folded = cell.metadata.get("jupyter", {}).get("outputs_hidden", False)
        assert folded == asks, lead_in.source
        if asks:
            assert lead_in.source.splitlines()[-1].startswith(GUESS), "the question comes last"
            assert cell.outputs, cell.source


def test_labels_are_the_same_everywhere():
    sources = [path.read_text(encoding="utf-8") for path in (ROOT / "coursework").glob("*.py")]
    sources += [cell.source for notebook in BOOKS.values() for cell in code_cells(notebook)]
    found = set()
    for source in sources:
        found |= set(
            re.findall(r"(?:[xy]label=|set_[xy]label\(|colorbar\([^\n]*label=)\"([^\"]+)\"", source)
        )
        found |= set(re.findall(r"plot_by_step\(\"([^\"]+)\"", source))
    assert len(found) > 15 and found <= LABELS, found - LABELS
