"""The notebooks as texts, as far as that can be measured."""

import itertools
import re
from collections import Counter

import nbformat
import pytest

import run

LABELS = {  # one name for one thing, on every axis
    *("time step (row)", "pixel", "hidden unit", "class", "digit", "epoch"),
    *("accuracy", "cross-entropy (nats)", "error (%)", "test error (%)", "number of parameters", "images (%)"),
    *("gate bias B", "largest error of the state", "output h", "state h", "probability", "prediction settled (row)"),
    *("variance of the state", "distance moved by the state", "mean output h", "mean of the gate", "state"),
    *("share of steps with the gate below 0.1", "share of steps with the gate above 0.9"),
}
POINTS = {"01_gate_settings": 30, "02_training": 50, "03_analysis": 30}


@pytest.fixture(params=run.NOTEBOOKS, ids=lambda path: path.stem)
def path(request):
    return request.param


@pytest.fixture
def cells(path):
    return [cell for cell in nbformat.read(path, as_version=4).cells if cell.source.strip()]


def text_of(cells):
    return "\n\n".join(cell.source for cell in cells if cell.cell_type == "markdown")


def test_it_opens_like_the_others(cells, path):
    title = cells[0].source
    assert re.match(rf"# {int(path.stem[:2])}\. \w[^\n]+\n", title)
    places = [title.find(mark) for mark in ("**Q", "**What you will learn**", "**Time.**")]
    assert -1 not in places and places == sorted(places), places
    learned = title[places[1] : places[2]]
    assert 3 <= len(re.findall(r"^- ", learned, re.M)) <= 6


def test_it_ends_with_a_summary(cells):
    headings = re.findall(r"^## (.+)$", text_of(cells), re.M)
    assert "Summary" in headings[-2:] and headings[-1] in ("Summary", "References")
    assert cells[-1].cell_type == "markdown"


def test_headings_and_their_points(cells, path):
    text = text_of(cells)
    assert len(re.findall(r"^# ", text, re.M)) == 1
    levels = [len(marks) for marks in re.findall(r"^(#+) ", text, re.M)]
    assert all(b <= a + 1 for a, b in itertools.pairwise(levels)), "a level of headings is left out"
    points = re.findall(r"^##[^\n]*\((\d+) points\)", text, re.M)
    assert sum(map(int, points)) == POINTS[path.stem]


def test_code_comes_in_small_cells_with_text_between(cells):
    lengths = [len(cell.source.splitlines()) for cell in cells if cell.cell_type == "code"]
    assert max(lengths) <= 25
    assert sum(length < 8 for length in lengths) >= 0.7 * len(lengths)
    kinds = "".join(cell.cell_type[0] for cell in cells)
    assert "ccc" not in kinds  # an answer and its check may stand together, no more
    assert kinds.startswith("m") and kinds.endswith("m"), "a lead-in before, a reading after"


def test_nothing_is_said_twice(cells):
    said = re.split(r"(?<=[.?:])\s+", " ".join(text_of(cells).split()))
    assert not [sentence for sentence, count in Counter(said).items() if count > 1 and len(sentence) > 30]


def test_no_measured_value_stands_in_the_text(cells):
    """A number with decimals in a sentence could contradict the next run; the code prints them."""
    for cell in cells:
        if cell.cell_type == "markdown":
            text = re.sub(r"arXiv:\S+|\]\([^)]*\)", "", cell.source)
            assert not re.search(r"\b0\.\d{2,}|\d\d\.\d+ ?%", text), cell.id


def test_plain_language(cells):
    text = text_of(cells)
    assert "!" not in re.sub(r"!\[", "", text)
    assert not re.search(r"\b(simply|obviously|of course|clearly shows|very|really)\b", text, re.I)


def test_symbols_are_written_in_one_way(cells):
    text = re.sub(r"`[^`]*`", "", text_of(cells))
    assert not re.search(r"h_\{?t ?- ?1|h_\(t|c_\{?t ?- ?1|\\tilde|\\odot|\\mathbf", text), "the old state is h_{prev}"
    assert not re.search(r"\bnotebook 0\d", text)


def test_labels_are_the_same_everywhere():
    sources = [path.read_text(encoding="utf-8") for path in (run.ROOT / "coursework").glob("*.py")]
    for notebook in run.NOTEBOOKS:
        sources += [cell.source for cell in nbformat.read(notebook, as_version=4).cells if cell.cell_type == "code"]
    found = set()
    for source in sources:
        found |= set(re.findall(r"(?:[xy]label=|set_[xy]label\(|colorbar\([^\n]*label=)\"([^\"]+)\"", source))
        found |= set(re.findall(r"plot_by_step\(\"([^\"]+)\"", source))
    assert len(found) > 15 and found <= LABELS, found - LABELS
