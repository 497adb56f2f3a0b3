"""Questions without end: our answer holds, answers that nearly hold are refused with a hint, brute force agrees."""

import json
import random
import time

import pytest
from test_properties import settings_on_grid, shows

from conftest import python, refused
from coursework.cells import CELLS
from coursework.checks_gates import check_gates
from coursework.formulas import Cell
from coursework.practice import LEVELS, practice
from coursework.settings import follows, setting_names
from coursework.typed import answer_of, cell_of

SEEDS = range(20)  # of each level; `make test-long` takes 1,000 in all


def near_misses(task):
    """Settings that look right: the right one with one thing changed, for what is impossible any setting of 0 and 1."""
    chance = random.Random(task.seed)
    names = [name for name in setting_names(task.cell) if not name.endswith("_prev")]
    own = [name for name in names if name == "U" or not follows(task.cell, name)]
    if task.solution.possible:
        yield "impossible"
        for name, value in task.solution.setting.items():
            others = {
                other: number for other, number in task.solution.setting.items() if other != name
            }
            yield others
            for changed in (1 - value, 0.5, 0.9 * value + 0.05):
                yield others | {name: changed}
    while True:
        yield {name: chance.choice([0, 1, 0.5]) for name in chance.sample(own, len(own))}


def wrong_ones(task, count=5):
    """So many near misses that brute force finds to be wrong."""
    found = []
    for answer in near_misses(task):
        if answer == "impossible" or not shows(task.cell, task.behaviour, answer).all():
            found.append(answer)
        if len(found) == count:
            return found


def ask(seeds, level):
    """Our answer and five near misses to each seed; (how many are possible, those that took more than a second)."""
    possible, slow = 0, []
    for seed in seeds:
        start = time.process_time()
        task = practice(seed, level)
        slow += [seed] * (time.process_time() - start > 1)
        answer = task.solution.setting if task.solution.possible else "impossible"
        verdict = task.check(answer)
        assert verdict.ok, (seed, answer, verdict)
        for answer in wrong_ones(task):
            verdict = task.check(answer)
            assert not verdict and verdict.hint and "\n" not in verdict.hint, (
                seed,
                answer,
                verdict,
            )
        possible += task.solution.possible
    return possible, slow


@pytest.mark.parametrize("level", LEVELS)
def test_our_answer_holds_and_five_near_misses_do_not(level):
    possible, _ = ask(SEEDS, level)
    assert 0.4 < possible / len(SEEDS) < 0.9  # two in three


@pytest.mark.long
@pytest.mark.parametrize("level", LEVELS)
def test_a_thousand_seeds(level):
    seeds = range(1000)
    possible, slow = ask(seeds, level)
    print(f"level {level}: {possible} of {len(seeds)} possible; more than a second took {slow}")
    assert 0.6 < possible / len(seeds) < 0.74 and len(slow) < 10
    wrong = [seed for seed in seeds if not brute_force_agrees(practice(seed, level))]
    assert not wrong


def brute_force_agrees(task):
    """What is said to hold does on random states and inputs; what is impossible does with no setting of a grid."""
    if task.solution.possible:
        return shows(task.cell, task.behaviour, task.solution.setting).all()
    grid = settings_on_grid(task.cell)
    return not any(shows(task.cell, task.behaviour, settings).any() for settings in grid)


@pytest.mark.parametrize("level", LEVELS)
def test_brute_force_agrees(level):
    for seed in SEEDS[::3]:
        assert brute_force_agrees(practice(seed, level)), seed


@pytest.mark.parametrize("level", LEVELS)
def test_a_level_is_as_hard_for_all(level):
    for seed in SEEDS[:20]:
        task = practice(seed, level)
        names = [name for name in setting_names(task.cell) if not name.endswith("_prev")]
        to_decide = [name for name in names if name == "U" or not follows(task.cell, name)]
        assert len(to_decide) == level + 1, seed
        assert not task.solution.possible or len(task.solution.setting) == {1: 2, 2: 2, 3: 3}[level]


def test_the_same_seed_is_the_same_question_everywhere():
    one, other = practice(5, 2), practice(5, 2)
    assert (one.cell, one.behaviour, one.question) == (other.cell, other.behaviour, other.question)
    assert practice(6, 2).cell != one.cell and practice(5, 3).cell != one.cell
    program = "import helpers; task = helpers.practice(5, 2); print(task.cell.key, task.behaviour)"
    assert (
        python("-c", program, PYTHONHASHSEED="7").stdout.split("\n")[0]
        == f"{one.cell.key} {one.behaviour}"
    )


@pytest.mark.parametrize(
    ("seed", "level"), [(1, 0), (1, 4), (1, "1"), (1.5, 1), ("a", 1), (None, 1)]
)
def test_a_wrong_call_is_refused(seed, level):
    with refused("level|seed"):
        practice(seed, level)


# Text -----------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("f = 0, i = 1/2", {"f": 0, "i": 0.5}),
        ("{“f”: 0, 'i': −1 + 2 * 3}", {"f": 0, "i": 5}),
        ("{f: 0}", {"f": 0}),
        ("f: 0\n i: 1,", {"f": 0, "i": 1}),
        ("f = 0; i = 2 ** -1;", {"f": 0, "i": 0.5}),
        ("dict(f=0)", {"f": 0}),
        ("f = [0, 0], o = ..., i = None", {"f": [0, 0], "o": ..., "i": None}),
        ("", {}),
    ],
)
def test_answers_as_they_are_typed(text, answer):
    assert answer_of(text) == answer


NO_ANSWERS = [
    "f",
    "f = 0,5",
    "f = 0 i = 1",
    "f = 1/0",
    "f = 'a' + 1",
    "f = 10.0 ** 1000",
    "f = 0, f = 1",
    "1: 2",
    "{**f}",
]
NO_ANSWERS += [
    "f = __import__('os').getcwd()",
    "f = (lambda: 0)()",
    "f = open('x')",
    "f = i",
    "f = 1 if 1 else 0",
    "f = 1 < 2",
]
NO_ANSWERS += [
    "(" * 5000,
    "f = " + "-" * 9000 + "1",
    "f = 1" * 9000,
    "\0",
    "f = f'{1}'",
    "dict(*[1])",
    "dict(**f)",
    "f = [x for x in y]",
]


@pytest.mark.parametrize("text", NO_ANSWERS, ids=range(len(NO_ANSWERS)))
def test_other_texts_are_refused_in_one_line(text):
    with refused():
        answer_of(text)


@pytest.mark.parametrize("cell", CELLS.values(), ids=CELLS)
def test_cells_come_back_from_text(cell):
    assert cell_of(repr(cell)) == cell
    assert cell_of(json.dumps(cell.as_data())) == cell
    gates = ", ".join(f"{gate}: {formula}" for gate, formula in cell.gates.items())
    output = f", output={cell.output}" if cell.output is not None else ""
    written = (
        f"Cell('mine', gates={{{gates}}}, candidate={cell.candidate}, state={cell.state}{output})"
    )
    assert cell_of(f"from helpers import Cell\nmine = {written}\nmine") == cell


NO_CELLS = [
    "",
    "g = 1",
    "import os",
    "g = open('x')",
    "g = x.y",
    "g = tanh(dot(W, x))\nh = g + 'a'",
    "{",
    "{}",
    "[]",
    "z = (",
]
NO_CELLS += [
    '{"lines": [["g", {"a": 1}]], "memory": "h", "gates": []}',
    "g += 1",
    "g = h = x",
    "Cell()",
    "Cell('a', gates=3)",
]
NO_CELLS += [
    "g = " + "(" * 300 + "x",
    "g = x if x else x",
    "g = tanh(dot(W, x), evaluate=False)\nh = g",
    "g = x % 2\nh = g",
    "g = not x",
]
BAD_NAME = CELLS["GRU"].as_data()
BAD_NAME = json.dumps(BAD_NAME).replace('"W_z"', '"W<img>"')
NO_CELLS += [BAD_NAME]


@pytest.mark.parametrize("text", NO_CELLS, ids=range(len(NO_CELLS)))
def test_what_is_no_cell_is_refused_in_one_line(text):
    with refused():
        cell_of(text)


def test_typing_a_cell_checks_as_writing_it():
    text = "z = sigmoid(W_z @ x + b_z)\ng = sp.tanh(dot(W, x) + dot(U, z*h_prev) + b)\nh = z*h_prev + (1 - z)*g"
    cell = cell_of(text)
    assert isinstance(cell, Cell) and cell.gate_names == ["z"]
    assert check_gates(cell, "keep_state", {"z": 1}) and check_gates(cell, "store_input", {"z": 0})
