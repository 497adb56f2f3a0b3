"""What a submission's run leaves: which value counts, whose settings, what a second try may do, and what ends what.

All on notebook 01, which needs no trained network, in the real sandbox where there is one.
"""

import argparse
import copy
import json

import nbformat
import pytest
from nbgrader.utils import determine_grade, is_grade
from situations import ONE, at, own, put, twin

from teaching import sandbox
from teaching.cells import read
from teaching.folders import lines_of
from teaching.grading import Grader, Grading
from teaching.handout import ASSIGNMENT, make_course

RIGHT_LSTM, RIGHT_GRU = '{"f": 0, "i": 1, "U": 0}', '{"z": 0, "r": 0}'
Q11 = f"q11_lstm = {RIGHT_LSTM}\nq11_gru = {RIGHT_GRU}"
ALL = {"q11-check": 5, "q11-check-gru": 5, "q12-check": 5, "q12-check-gru": 5, "q13-check": 10}


@pytest.fixture(scope="module")
def course(tmp_path_factory):
    return make_course(tmp_path_factory.mktemp("course"), epochs=1)


@pytest.fixture(scope="module")
def grader(course, tmp_path_factory):
    options = argparse.Namespace(data="digits", epochs=1, variants=False, unsafe=True)
    vars(options).update(cell_seconds=60, seconds=300, memory_mib=3000)
    options.unsafe = not sandbox.works(tmp_path_factory.mktemp("walls"))
    with Grader(course, tmp_path_factory.mktemp("place"), options) as grader:
        yield grader


@pytest.fixture
def book(course):
    book = read((course / "source" / ASSIGNMENT / f"{ONE}.ipynb").read_bytes())
    put(book, "playground", "")  # which takes a second
    return book


@pytest.fixture
def grade(grader):
    def grade(book, who="kim"):
        grader.tidy(who)
        notes = []
        page = Grading(grader, who, "", notes).pages({ONE: book})[ONE]
        return (
            {
                c.metadata.nbgrader.grade_id: determine_grade(c)[0]
                for c in page.cells
                if is_grade(c)
            },
            notes,
            page,
        )

    return grade


def lost(points):
    """Which checks have less than all points."""
    return {name for name, most in ALL.items() if points[name] < most}


def text_of(page):
    return "\n".join(cell.source + str(cell.get("outputs", "")) for cell in page.cells)


# The moment ----------------------------------------------------------------------------------------------------------
def used_again(book):
    own(
        book,
        at(book, "q11-check-gru") + 1,
        'q11_lstm = {"i": 0.25}\nq11_gru["z"] = 1\ndel q12_lstm, q12_gru',
    )


def first_try_with_assert(book):
    wrong = 'q11_lstm = {"f": 1}\nq11_gru = {"z": 1}\n'
    wrong += 'assert helpers.check_gates("LSTM", "store_input", q11_lstm), "not yet"'
    own(book, at(book, "q11-answer"), wrong)


def appended(book):
    """A list that grows in a cell whose last line fails for another reason."""
    source = 'numbers = []\nfor gate in "fi":\n    numbers.append(gate)\nimport nosuchmodule'
    put(book, "q12-answer", source + "\nq12_lstm = {}")
    own(book, at(book, "q12-answer"), "numbers = []")
    put(
        book,
        "q12-answer",
        'numbers.append(1)\nq12_lstm = {"f": sum(numbers), "i": 0}\nq12_gru = {"z": 1}\nnosuchname',
    )


def toggled(book):
    own(book, at(book, "q12-answer"), "z = 0")
    put(
        book, "q12-answer", 'q12_lstm = {"f": 1, "i": 0}\nz = 1 - z\nq12_gru = {"z": z}\nnosuchname'
    )


def counted(book):
    """An effect outside of the names: a file."""
    source = "from pathlib import Path\nlog = Path('log.txt')\n"
    source += "log.write_text((log.read_text() if log.exists() else '') + 'x')"
    put(
        book,
        "q12-answer",
        source + '\nq12_lstm = {"f": len(log.read_text()), "i": 0}\nq12_gru = {"z": 1}\nnosuchname',
    )


def check_copied_below(book):
    """The correction and a copy of the check below the wrong one."""
    put(book, "q11-answer", f"q11_lstm = {{}}\nq11_gru = {RIGHT_GRU}")
    twin(book, "q11-check", book.cells[at(book, "q11-check")].source)
    own(book, at(book, "copy"), f"q11_lstm = {RIGHT_LSTM}")


def own_call(book):
    """The check's cell is gone, the student's own cell asks; then the name is used again."""
    del book.cells[at(book, "q11-check")]
    own(
        book,
        at(book, "q11-check-gru"),
        'verdict = helpers.check_gates(cell="LSTM", behaviour="store_input", answer=q11_lstm)',
    )
    own(book, len(book.cells), "q11_lstm = 3")


def other_name_in_the_check(book):
    """A slip in a name, and the check's cell adapted to it."""
    put(book, "q11-answer", f"q11_LSTM = {RIGHT_LSTM}\nq11_gru = {RIGHT_GRU}")
    put(book, "q11-check", 'helpers.award(5, helpers.check_gates("LSTM", "store_input", q11_LSTM))')


def assigned_in_the_check(book):
    put(book, "q11-answer", f"q11_lstm = ...\nq11_gru = {RIGHT_GRU}")
    check = book.cells[at(book, "q11-check")].source
    put(book, "q11-check", f"q11_lstm = {RIGHT_LSTM}\n{check}\nq11_lstm = 0")


def answered_below_the_check(book):
    put(book, "q11-answer", "q11_lstm = ...\nq11_gru = ...")
    own(book, len(book.cells), Q11)


def merged_checks(book):
    """Both checks merged into one cell, the name used again below."""
    both = "\n".join(book.cells[at(book, name)].source for name in ("q11-check", "q11-check-gru"))
    del book.cells[at(book, "q11-check-gru")]
    put(book, "q11-check", both)
    own(book, at(book, "q11-check") + 1, "q11_lstm = q11_gru = None")


def changed_in_place(book):
    own(
        book, at(book, "q13-check") + 1, 'q13_counterexample["x"] = 100\nq13_counterexample.clear()'
    )


def changed_before_its_check(book):
    own(book, at(book, "q11-check"), "q11_lstm = {}")


def right_one_below_only(book):
    """An experiment below that happens to be right, and that no check was asked about."""
    put(book, "q11-answer", f"q11_lstm = {{}}\nq11_gru = {RIGHT_GRU}")
    own(book, len(book.cells), f"q11_lstm = {RIGHT_LSTM}")


def tried_in_a_loop(book):
    """All settings tried through the check; the answer was never given."""
    put(book, "q11-answer", f"q11_lstm = ...\nq11_gru = {RIGHT_GRU}")
    source = "for i in (0, 1):\n    print(helpers.check_gates('LSTM', 'store_input', {'f': 0, 'i': i, 'U': 0}))"
    own(book, at(book, "q11-check") + 1, source)


def wrong_answer_twice(book):
    """What is wrong as it was handed in does not become right by being run twice."""
    own(book, at(book, "q12-answer"), "z = 1")
    put(
        book, "q12-answer", 'q12_lstm = {"f": 1, "i": 0}\nz = 1 - z\nq12_gru = {"z": z}\nnosuchname'
    )


MOMENTS = [
    (used_again, set()),
    (first_try_with_assert, set()),
    (appended, set()),
    (toggled, set()),
    (counted, set()),
    (check_copied_below, set()),
    (own_call, set()),
    (other_name_in_the_check, set()),
    (assigned_in_the_check, set()),
    (answered_below_the_check, set()),
    (merged_checks, set()),
    (changed_in_place, set()),
    (changed_before_its_check, {"q11-check"}),
    (right_one_below_only, {"q11-check"}),
    (tried_in_a_loop, {"q11-check"}),
    (wrong_answer_twice, {"q12-check-gru"}),
]


@pytest.mark.parametrize(
    ("edit", "wrong"), MOMENTS, ids=lambda value: getattr(value, "__name__", "")
)
def test_the_value_at_its_check_counts(grade, book, edit, wrong):
    edit(book)
    points, notes, _ = grade(book)
    assert lost(points) == wrong, notes


def test_the_page_says_which_value_was_taken_from_which_cell(grade, book):
    used_again(book)
    place = at(book, "q11-check") + 1
    _, _, page = grade(book)
    (above,) = [
        before
        for before, cell in zip(page.cells, page.cells[1:], strict=False)
        if named(cell, "q11-check")
    ]
    assert (
        f"at its check in cell {place}" in above.source
        and "'U': 0" in above.source
        and "q11_lstm" in above.source
    )


def named(cell, name):
    return cell.metadata.get("nbgrader", {}).get("grade_id") == name


# The second try ------------------------------------------------------------------------------------------------------
def without_setup(book):
    for name in ("setup", "data", "parameters"):
        del book.cells[at(book, name)]
    own(book, at(book, "q12-answer"), "shape = d.x_test.shape")
    put(
        book, "q12-answer", 'q12_lstm = {"f": shape[0] // 360, "i": 0}\nq12_gru = {"z": np.ones(1)}'
    )


def needs_what_stands_below(book):
    put(book, "q12-answer", 'q12_lstm = {"f": one, "i": 0}\nq12_gru = {"z": one}')
    own(book, len(book.cells), "one = 1")


def setup_spoilt(book):
    put(book, "setup", "import helper")
    put(book, "q12-answer", 'q12_lstm = {"f": np.ones(1), "i": 0}\nq12_gru = {"z": 1}')


@pytest.mark.parametrize(
    "edit", [without_setup, needs_what_stands_below, setup_spoilt], ids=lambda edit: edit.__name__
)
def test_a_second_try_has_the_given_cells_in_their_places(grade, book, edit):
    edit(book)
    points, notes, _ = grade(book)
    assert not lost(points), notes
    assert any("second try" in note for note in notes)


def test_there_is_no_second_try_where_none_can_help(grade, book, monkeypatch):
    own(book, at(book, "q12-answer"), "assert False, 'not yet'")
    own(book, at(book, "q12-answer"), "import nosuchmodule")
    runs = []
    attempt = Grading.attempt
    monkeypatch.setattr(
        Grading,
        "attempt",
        lambda self, stage, *rest: runs.append(stage) or attempt(self, stage, *rest),
    )
    points, _, _ = grade(book)
    assert runs == ["run", "check"] and not lost(points)


# The school's settings -----------------------------------------------------------------------------------------------
SETTINGS = {
    "environment": "import os\nos.environ['COURSEWORK_DATA'] = 'mnist5k'\nos.environ['COURSEWORK_RUNS'] = '/nowhere'",
    "magic": "%env COURSEWORK_DATA=mnist\n%set_env KERAS_BACKEND=torch\n%env TF_NUM_INTRAOP_THREADS=7",
    "putenv": "import os\nos.environ.clear()\nos.environ.update(COURSEWORK_DATA='mnist', HOME='/nowhere')",
    "dtype": "helpers.keras.config.set_dtype_policy('mixed_float16')\nhelpers.keras.config.set_floatx('float64')",
    "eager": "import tensorflow as tf\ntf.config.run_functions_eagerly(True)\nhelpers.keras.config.set_epsilon(0.1)",
    "own helpers": "%%writefile helpers.py\ndef load_data(*a, **k):\n    raise OSError('my own copy')",
    "reload": "import importlib\nimportlib.reload(helpers)\nimport sys\ndel sys.modules['helpers']\nimport helpers",
    "another file": "data = '/media/kim/mnist.npz'",
}


@pytest.mark.parametrize("name", SETTINGS)
def test_the_schools_settings_win(grade, book, name):
    own(book, at(book, "parameters") + 1, SETTINGS[name])
    if name == "own helpers":
        own(book, at(book, "parameters") + 2, "import helpers, sys\nsys.path.insert(0, '.')")
    tell = "import os\nprint('DATA', helpers.load_data('mnist').name, d.name, os.environ.get('COURSEWORK_DATA'))\n"
    tell += "print(helpers.keras.config.floatx(), helpers.keras.config.dtype_policy().name)\n"
    tell += "print(os.environ['KERAS_BACKEND'], os.environ['TF_NUM_INTRAOP_THREADS'], helpers.keras.config.epsilon())"
    own(book, at(book, "q11-answer"), tell)
    points, notes, page = grade(book)
    assert not lost(points), notes
    said = text_of(page)
    assert (
        "DATA digits digits digits" in said
        and "float32 float32" in said
        and "tensorflow 1 1e-07" in said
    ), notes


MAGICS = {
    "over two lines": "!pip install \\\n    nothing\n",
    "over three lines": "%pip install \\\n  one \\\n  two\n",
    "in a string": 'text = """\n!pip install nothing\n%matplotlib widget\n"""\nassert "!pip" in text and "%" in text\n',
    "indented": "if True:\n    !pip install nothing\n    %matplotlib widget\n",
    "assigned": "said = !pip list\n",
    "as root": "!sudo apt-get install nothing\n!python -m pip install nothing\n",
    "capture": "%%capture\n!pip install nothing\n",
    "question mark": "q = 1\nq?\n",
}


@pytest.mark.parametrize("name", MAGICS)
def test_what_is_left_out_of_a_cell_does_not_break_the_rest(grade, book, name):
    put(book, "q11-answer", MAGICS[name] + Q11)
    points, notes, _ = grade(book)
    assert not lost(points) and not notes


# What ends what ------------------------------------------------------------------------------------------------------
ENDINGS = {
    "memory": ("import numpy as np\nx = np.ones(10**10)\nx[:] = 2", "MemoryError"),
    "memory of others": (
        "import subprocess, sys\ncode = 'x = bytearray(2_500_000_000); x[:] = x; import time; time.sleep(60)'\n"
        "[subprocess.Popen([sys.executable, '-c', code]) for _ in range(2)]\nimport time\ntime.sleep(60)",
        "of memory: the notebook was run again without this cell",
    ),
    "os._exit": ("import os\nos._exit(0)", "the kernel died"),
    "a signal": ("import os\nos.kill(os.getpid(), 9)", "the kernel died"),
    "its parent": (
        "import os\nfor p in range(1, 50):\n    try:\n        os.kill(p, 9)\n    except OSError:\n        pass",
        "",
    ),
}


@pytest.mark.parametrize("name", ENDINGS)
def test_a_cell_costs_itself_only(grade, book, name):
    source, note = ENDINGS[name]
    own(book, at(book, "q12-answer"), source)
    points, notes, _ = grade(book)
    assert not lost(points), notes
    assert note in " ".join(notes)


def test_forged_results_are_bounded_before_they_are_read(tmp_path):
    path = tmp_path / "result.txt"
    path.write_bytes(
        b'{"a": 1}\n'
        + b"[" * 20_000_000
        + b"\n"
        + b"[1]\n"
        + b'{"b": '
        + b"[" * 100_000
        + b"\n"
        + b'{"c": 2}\n'
    )
    assert list(lines_of(path)) == [{"a": 1}, {"c": 2}]


def test_forged_lines_give_no_points(grade, book):
    put(book, "q11-answer", "q11_lstm = {}\nq11_gru = {}")
    lines = [
        {"step": 10**9, "outputs": [], "shown": {}},
        {
            "step": -1,
            "outputs": [
                {"output_type": "execute_result", "data": {"text/plain": "5"}, "metadata": {}}
            ],
            "shown": {},
        },
        {"check": "q11-check", "step": -3, "values": {"q11_lstm": "Verdict(True)"}, "own": True},
        {
            "check": "q11-check",
            "step": 3,
            "values": {"q11_lstm": "other('Right')", "recipe": "1"},
            "own": True,
        },
        {"digest": "0", "reached": [0, 1]},
    ]
    source = f"import os\nfor line in {[json.dumps(line) for line in lines]!r}:\n    for fd in range(3, 60):\n"
    source += "        try:\n            os.write(fd, f'\\n{line}\\n'.encode())\n"
    source += "        except OSError:\n            pass"
    own(book, at(book, "q11-check") + 1, source)
    points, notes, _ = grade(book)
    assert lost(points) == {"q11-check", "q11-check-gru"}, notes


def test_what_one_run_leaves_the_next_one_does_not_find(grade, book):
    other = copy.deepcopy(book)
    source = "import os, pathlib\nfor place in ('.', '/tmp', '/dev/shm', os.environ['HOME'], os.environ['TMPDIR']):\n"
    own(book, 1, source + "    pathlib.Path(place, 'left-behind').write_text('x')")
    own(
        other,
        1,
        source + "    print('FOUND' if pathlib.Path(place, 'left-behind').exists() else 'nothing')",
    )
    grade(book)
    _, _, page = grade(other)
    said = "".join(str(cell.get("outputs", "")) for cell in page.cells)
    assert "FOUND" not in said and "nothing" in said


def test_folders_replaced_by_links_lead_nowhere(grade, book, tmp_path):
    (tmp_path / "precious").write_text("precious")
    source = "import os, shutil\nbase = os.path.dirname(os.getcwd())\nfor name in ('home', 'runs', 'work'):\n"
    source += "    shutil.rmtree(f'{base}/{name}', ignore_errors=True)\n"
    source += f"    os.symlink({str(tmp_path)!r}, f'{{base}}/{{name}}')\n"
    own(book, at(book, "q12-answer"), source + "os.chmod(base, 0)\nos._exit(0)")
    points, notes, _ = grade(book)
    assert not lost(points), notes
    assert [path.name for path in tmp_path.iterdir()] == ["precious"]


def test_the_page_is_a_notebook_that_any_file_can_hold(grade, book):
    own(book, 0, "print('\\ud800'); raise ValueError('\\udfff')")
    _, _, page = grade(book)
    nbformat.writes(page).encode()


def test_a_nursery_that_was_killed_is_started_again(grade, grader, book):
    grader.nursery.process.kill()
    points, notes, _ = grade(book)
    assert not lost(points) and not notes
