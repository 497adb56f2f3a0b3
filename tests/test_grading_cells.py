"""Whose cell is it, and what does it say? Texts in whatever cells a student or an editor has put them."""

import ast
import copy

import nbformat
import pytest
from situations import THREE, at, own, put

from teaching.cells import answers_in_words, is_prose, names_in, own_words, read, with_pictures
from teaching.handout import ASSIGNMENT, make_course

QUESTIONS = ["q31-answer", "q32-answer", "q33-answer", "bonus-answer"]
PROSE = "The GRU uses the same weights in each row (a dense layer has others), so it needs fewer of them."
CHINESE = "循环网络在每一行使用相同的权重，所以参数更少。"


@pytest.fixture(scope="module")
def handout(tmp_path_factory):
    course = make_course(tmp_path_factory.mktemp("course"), epochs=1)
    return read((course / "release" / ASSIGNMENT / f"{THREE}.ipynb").read_bytes())


@pytest.fixture
def book(handout):
    return copy.deepcopy(handout)


def replaced(book, name, source, kind="code"):
    """A cell of the student's own in place of an answer's."""
    place = at(book, name)
    del book.cells[place]
    return own(book, place, source, kind)


def test_texts_are_found_by_name_by_id_and_by_place(handout, book):
    assert set(answers_in_words(book, handout).values()) == {""}
    put(book, "q31-answer", "by name").id = "other"
    put(book, "q32-answer", "by id").metadata = nbformat.NotebookNode()
    found = answers_in_words(book, handout)
    assert found == {
        "q31-answer": "by name",
        "q32-answer": "by id",
        "q33-answer": "",
        "bonus-answer": "",
    }
    own(book, at(book, "q33-answer") + 1, "by place", "markdown")
    own(book, 0, "anywhere", "markdown")
    found = answers_in_words(book, handout)
    assert found["q33-answer"] == "by place" and found["bonus-answer"] == "anywhere\n\nby place"


def test_a_picture_goes_into_the_text_and_a_missing_one_is_taken_out():
    text = with_pictures(
        "![a](attachment:a%20b.png) ![c](attachment:c.png)",
        {"a b.png": {"image/png": "iVBO\nRw=="}},
    )
    assert text == "![a](data:image/png;base64,iVBORw==) ![c](missing-picture-c.png)"


TEXTS = {
    "prose in a new code cell": lambda book, name: own(book, at(book, name) + 1, PROSE),
    "the blank cell deleted": lambda book, name: replaced(book, name, PROSE),
    "a code cell with the answer's id": lambda book, name: setattr(
        replaced(book, name, PROSE), "id", name
    ),
    "comments below code": lambda book, name: own(
        book, at(book, name) + 1, f"x = 1\nprint(x)\n# {PROSE[:50]}\n# {PROSE[50:]}"
    ),
    "comments alone": lambda book, name: own(book, at(book, name) + 1, f"# {PROSE}"),
    "a string": lambda book, name: own(book, at(book, name) + 1, f'"""{PROSE}"""'),
    "a raw cell": lambda book, name: book.cells.insert(
        at(book, name) + 1, nbformat.v4.new_raw_cell(PROSE)
    ),
    "in the question": lambda book, name: setattr(
        book.cells[at(book, name) - 1],
        "source",
        f"{book.cells[at(book, name) - 1].source}\n\n{PROSE}",
    ),
    "without blanks": lambda book, name: own(book, at(book, name) + 1, CHINESE),
    "%%markdown": lambda book, name: own(book, at(book, name) + 1, f"%%markdown\n{PROSE}"),
    "under a tool's line": lambda book, name: put(book, name, f"Created in Deepnote\n\n{PROSE}"),
    "a comment in the check's cell": lambda book, name: setattr(
        book.cells[at(book, "bonus-check")],
        "source",
        book.cells[at(book, "bonus-check")].source + f"\n# {PROSE}",
    ),
}


@pytest.mark.parametrize("kind", TEXTS)
def test_a_text_is_found_wherever_it_stands(handout, book, kind):
    name = "bonus-answer"
    TEXTS[kind](book, name)
    text = "".join(answers_in_words(book, handout)[name].split())
    assert "".join((CHINESE if kind == "without blanks" else PROSE).split()) in text


NONE = [
    "<a style='text-decoration:none' href='https://deepnote.com?utm_source=x'>Created in <b>Deepnote</b></a>",
    '<a href="https://colab.research.google.com/github/x"><img src="https://colab.research.google.com/assets/colab-badge.svg"></a>',
    "Name: Ana María\nMatriculation number: 1234567",
    "**Student ID:** 42",
    "# My homework",
    "<!-- a note of an editor, of more than five words -->",
    "---",
    "Not answered yet.",
]


@pytest.mark.parametrize("line", NONE)
def test_a_line_of_a_tool_or_a_name_is_no_answer(handout, book, line):
    own(book, 0, line, "markdown")
    own(book, len(book.cells), line, "markdown")
    assert set(answers_in_words(book, handout).values()) == {""}


CODE = [
    "output = helpers.layer_outputs(gru_model.layers[0], d.x_test[first_of[7]][None])[0",
    "for row in range(28)\n    print(row)",
    "# q33_accuracies = (q33_predictions == d.y_test).mean(1)",
    "# TODO",
    "x = 1  # the input of the first step of all of the images",
    'plt.title("hidden units")',
]


@pytest.mark.parametrize("source", CODE)
def test_code_is_no_answer_in_words(handout, book, source):
    own(book, at(book, "bonus-answer") + 1, source)
    assert set(answers_in_words(book, handout).values()) == {""}


def test_two_answers_in_one_cell_wait_for_both_questions(handout, book):
    put(book, "q33-answer", f"Q3.2: The states part at once.\n\nQ3.3: {PROSE}")
    found = answers_in_words(book, handout)
    assert (
        PROSE in found["q32-answer"] and PROSE in found["q33-answer"] and found["q31-answer"] == ""
    )
    put(book, "q33-answer", f"The states part at once, in the first rows with ink.\n\n{PROSE}")
    found = answers_in_words(book, handout)
    assert (
        PROSE in found["q32-answer"]
        and PROSE in found["bonus-answer"]
        and found["q31-answer"] == ""
    )
    put(book, "q33-answer", f"{PROSE} An accuracy of 3.1% is 3.2 % less than 3.14.")
    assert answers_in_words(book, handout)["q32-answer"] == ""


def test_our_own_cells_hold_no_words_of_the_students(handout):
    for cell in handout.cells:
        assert own_words(cell, cell.id, handout) == ""


@pytest.mark.parametrize(
    ("source", "names"),
    [
        ("%%time\nx = 1", ["x"]),
        ("!pip install \\\n  a\nx = 1", ["x"]),
        ("x = !ls\ny = %pwd", ["x", "y"]),
        ('text = """\n!ls\n%time\n"""\nx = 1', ["text", "x"]),
        ("x?\n", []),
        (
            "%matplotlib inline\nimport a.b as c, d.e\nx, (y, *z) = 1, (2, 3)",
            ["x", "y", "z", "c", "d"],
        ),
        ("x = [\n!ls", []),
        ("(" * 1000, []),
    ],
)
def test_names_in_a_cell_with_magics(source, names):
    assert names_in(source, ast.Store) == names


@pytest.mark.parametrize(
    "text",
    [
        PROSE,
        CHINESE,
        "It can't tell two blank images apart",
        "Die GRU hat weniger Gewichte = besser",
    ],
)
def test_prose_is_told_from_code(text):
    assert is_prose(text)
