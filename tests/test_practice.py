"""Questions without end: our answer holds, answers that nearly hold are refused with a hint, brute force agrees."""

import itertools
import json
import random
import time

import pytest
from test_properties import settings_on_grid, shows

import helpers
from conftest import python, refused
from coursework.cells import CELLS
from coursework.checks_gates import check_gates
from coursework.formulas import Cell, symbols
from coursework.practice import LEVELS, check_own_cell, own_answer, own_task, practice
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


# A student's own ------------------------------------------------------------------------------------------------------
NAMES = [
    f"{first} {last}"
    for first in ("Ana", "Ben", "Chloé", "Đức", "Eve")
    for last in ("Lee", "Núñez", "Roe")
]


def own_misses(task):
    """Five answers that nearly hold: settings that brute force refuses, and the word without what shows it."""
    yield "impossible" if task.solution.possible else ("impossible", {})
    yield from [answer for answer in wrong_ones(task) if answer != "impossible"][:4]


def ask_own(names):
    """Our answer, and five near misses, for both cells of each name; returns the questions by name."""
    tasks = {}
    for name in names:
        for memory in "hc":
            task = tasks[name, memory] = own_task(name, memory)
            (verdict,) = check_own_cell(name, memory, own_answer(task)).values()
            assert verdict, (name, memory, verdict)
            misses = list(own_misses(task))
            assert len(misses) >= 4
            for answer in misses:
                (verdict,) = check_own_cell(name, memory, answer).values()
                assert not verdict and "\n" not in verdict.hint, (name, memory, answer)
    return tasks


def are_others_no_answers(tasks):
    """Nobody's two answers are somebody else's."""
    names = list(dict.fromkeys(name for name, _ in tasks))
    answers = {who: own_answer(task) for who, task in tasks.items()}
    for one, other in itertools.permutations(names, 2):
        taken = [
            bool(*check_own_cell(other, memory, answers[one, memory]).values()) for memory in "hc"
        ]
        assert not all(taken), (one, other)


def test_own_cells_hold_for_their_owner_alone():
    tasks = ask_own(NAMES)
    assert len({task.cell.key for task in tasks.values()}) == len(tasks)
    are_others_no_answers(tasks)


@pytest.mark.long
def test_a_thousand_names():
    tasks = ask_own([f"student {number}" for number in range(1000)])
    assert len({task.cell.key for task in tasks.values()}) == len(tasks)
    possible = sum(task.solution.possible for task in tasks.values())
    assert 0.6 < possible / len(tasks) < 0.74


@pytest.mark.long
def test_no_two_of_300_can_copy():
    are_others_no_answers({(f"{n}", m): own_task(f"{n}", m) for n in range(300) for m in "hc"})


def test_own_cells_are_equally_hard():
    for memory in "hc":
        possible = [own_task(name, memory).solution.possible for name in NAMES]
        assert 0.4 < sum(possible) / len(NAMES) < 0.95
    for name in NAMES:
        tasks = [own_task(name, memory) for memory in "hc"]
        assert [task.cell.memory for task in tasks] == ["h", "c"]
        assert {task.behaviour for task in tasks} == {"store_input", "keep_state"}
        assert any(task.solution.possible for task in tasks)
        for task in tasks:
            names = [n for n in setting_names(task.cell) if not n.endswith("_prev")]
            assert len([n for n in names if n == "U" or not follows(task.cell, n)]) == 3
            answer = own_answer(task)
            needed = answer if task.solution.possible else answer[1]
            assert 1 <= len(needed) <= 2
            ways = task.cell.candidate.free_symbols & {*symbols("h_prev c_prev")}
            assert len(ways) <= 1  # of the step before into the candidate


def test_the_spelling_of_a_name_does_not_matter():
    cell = own_task("Ana Núñez", "h").cell
    for name in ("ana núñez", "Núñez, Ana", "ANA NUNEZ", "Ana Nu\u0301n\u0303ez", " Ana  Núñez"):
        assert own_task(name, "h").cell == cell
    assert own_task("Ana Núñes", "h").cell != cell
    assert own_task("🦊", "h").cell != own_task("🐼", "h").cell


def test_an_own_cell_says_whose_it_is_and_what_is_asked_and_no_more():
    cell = helpers.own_cell("Jane Doe", "c")
    task = own_task("Jane Doe", "c")
    assert repr(task.cell) in repr(cell) and "impossible" in cell.question
    assert "aligned" in cell._repr_markdown_() and not hasattr(cell, "solution")
    ((name, verdict),) = check_own_cell("Jane Doe", "c", ...).items()
    assert "Jane Doe" in name and verdict.hint == "not answered yet"


@pytest.mark.parametrize(
    ("student", "memory"), [(..., "h"), ("", "h"), (" ", "c"), ("a", "x"), ("a", 1)]
)
def test_a_wrong_call_for_an_own_cell_is_refused(student, memory):
    for call in (helpers.own_cell, lambda *who: check_own_cell(*who, {})):
        with refused("student is not filled in|memory"):
            call(student, memory)


def test_the_word_alone_tells_nothing_and_its_reason_is_decided():
    tasks = {
        task.solution.possible: (name, m, task)
        for name in NAMES
        for m in "hc"
        for task in [own_task(name, m)]
    }
    for possible, (name, memory, task) in tasks.items():

        def hint(answer, name=name, memory=memory):
            (verdict,) = check_own_cell(name, memory, answer).values()
            return verdict.hint

        assert hint("impossible").startswith("impossible alone")  # whether it is or not
        gate = task.cell.gate_names[0]
        wrong = hint(("Impossible", {gate: 0.5}))
        assert ("it can be done" in wrong) == possible and wrong
        for odd in (
            ("impossible", 3),
            ("impossible", ...),
            ("impossible", {"q": 1}),
            [],
            "perhaps",
            (1, 2),
        ):
            assert hint(odd)


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
