"""Questions of the kind of Q1 without end: made-up cells, each decided as `properties` decides."""

import dataclasses
import functools
import itertools
import operator
import random
from typing import Any

import sympy as sp

from coursework.checks_gates import check_gates, check_half
from coursework.formulas import Cell, dot, sigmoid, symbols
from coursework.properties import Property, can
from coursework.settings import follows, setting_names
from coursework.variants import person_of
from coursework.verdicts import Verdict
from coursework.words import check_choice

LEVELS = (1, 2, 3)
ASKED = {"store_input": "store its input", "keep_state": "keep its state, whatever x is"}
IMPOSSIBLE = "impossible"


@dataclasses.dataclass(frozen=True, repr=False)
class Practice:
    """A made-up cell, and one question about it.

    Attributes:
        seed, level: with which it is drawn again, the same everywhere.
        cell: the Cell.
        behaviour: "store_input" or "keep_state", as in `check_gates`.
        solution: the Property that decides: `.possible`, `.setting` and `.why`.
    """

    seed: int
    level: int
    cell: Cell
    behaviour: str
    solution: Property

    @property
    def question(self) -> str:
        """What is asked, in words."""
        return f'{self.which} If none does: "{IMPOSSIBLE}".'

    @property
    def which(self) -> str:
        """The first sentence of the question."""
        cell = self.cell
        given = {name for name in cell.gate_names if follows(cell, name)}  # by other gates
        names = [name for name in setting_names(cell) if name not in given]
        free = ", ".join(name for name in names if not name.endswith("_prev"))
        return f"Which setting of {free} makes this cell {ASKED[self.behaviour]}?"

    def check(self, answer: Any) -> Verdict:
        """Is this a setting that does it, as in `check_gates`, or, where there is none, the word "impossible"?"""
        if not (isinstance(answer, str) and answer.strip().lower() == IMPOSSIBLE):
            return check_gates(self.cell, self.behaviour, answer)
        if self.solution.possible:
            return Verdict(False, "it can be done: a setting of the gates does it")
        return Verdict(True)

    def __repr__(self):
        return f"{self.question}\n{self.cell}"

    def _repr_markdown_(self):
        return f"{self.question}\n\n{self.cell._repr_latex_()}"


def practice(seed: int, level: int = 1) -> Practice:
    """A made-up cell with a question: can its gates be set so that it stores its input, or keeps its state?

    One in three is impossible. Within a level, questions are equally hard: so many names may be set (gates, and "U"
    where the candidate reads the step before), and so many must be: 2 of 2 in level 1, 2 of 3 in level 2, 3 of 4 in
    level 3.

    Args:
        seed: any whole number; the same one gives the same question, in Python and in the page.
        level: 1, 2 or 3.

    Raises:
        ValueError: a seed or level that is no such number.

    See docs/site.md. Notebook 4.
    """
    check_choice("level", level, LEVELS)
    try:
        seed = operator.index(seed)
    except TypeError:
        raise ValueError(f"seed must be a whole number, not {seed!r}") from None
    chance = random.Random(f"practice {level} {seed}")
    behaviour, possible = chance.choice([*ASKED]), chance.random() < 2 / 3
    ways = WAYS[level, behaviour]
    while True:
        draft = _Draft(chance, level, chance.sample(LETTERS, len(LETTERS)))
        cell = draft.cell(f"practice {level}.{seed}", behaviour, possible, ways)
        solution = can(cell, behaviour)
        if solution.possible == possible and _is_as_hard(solution, level):
            return Practice(seed, int(level), cell, behaviour, solution)


def _is_as_hard(solution, level):
    """Does a setting need as many names as others of its level? Is the impossible proved to be so?"""
    if solution.possible:
        return len(solution.setting) == NEEDED[level]
    return not solution.why.startswith("not decided")


# --- Cells of one's own -----------------------------------------------------------------------------------------------

OWN_LEVEL = 2
MEMORIES = ("h", "c")
# What shows that it is impossible: the first half of what is asked, with what it does to the other half.
HALVES = {
    "store_input": "shuts the old state out, and the input with it",
    "keep_state": "keeps the whole of the old state, but lets the input in",
}


class OwnCell:
    """A made-up cell of one student, and the question about it.

    Attributes:
        student: whose it is.
        memory: what the cell remembers, "h" or "c".
        question: what is asked, in words.
    """

    def __init__(self, student: str, memory: str):
        self.student, self.memory = student, memory
        task = own_task(student, memory)
        why = f'"{IMPOSSIBLE}", and a setting that {HALVES[task.behaviour]}'
        self.question = f"{task.which} If none does, the answer has two parts: {why}."
        self._text, self._latex = repr(task.cell), task.cell._repr_latex_()

    def __repr__(self):
        return f"{self.question}\n{self._text}"

    def _repr_markdown_(self):
        return f"{self.question}\n\n{self._latex}"


def own_cell(student: str, memory: str) -> OwnCell:
    """The made-up cell of a student that remembers h, or the one that remembers c.

    One of the two is asked to store its input, the other to keep its state; one of them at most can't. All students
    have cells of level 2 of `practice`; the gates' names are drawn, too, so an answer is of no use to others.

    Args:
        student: a name; the order of its words, case and accents don't matter.
        memory: "h" or "c".

    Raises:
        ValueError: the name is not filled in; another memory.

    The hand-out of a class with variants, Q1.4.
    """
    check_choice("memory", memory, MEMORIES)
    return OwnCell(student, memory)


def check_own_cell(student: str, memory: str, answer: object) -> dict[str, Verdict]:
    """Does an answer hold for the made-up cell of this student? The Verdict stands under the cell's owner.

    Args:
        student, memory: as for `own_cell`.
        answer: a setting, a dict as for `check_gates`; or, where none does what is asked, a pair of the word
            "impossible" and a setting that does the first half of it (`check_half`).

    The hand-out of a class with variants, Q1.4.
    """
    check_choice("memory", memory, MEMORIES)
    verdict = _judge_own(own_task(student, memory), answer)
    return {f"the cell of {student} that remembers {memory}": verdict}


def _judge_own(task, answer):
    word, half = _two_parts(answer)
    if word != IMPOSSIBLE:
        return check_gates(task.cell, task.behaviour, answer)
    if half is None:
        needed = f'"{IMPOSSIBLE}", {{...}}, with a setting that {HALVES[task.behaviour]}'
        return Verdict(False, f"{IMPOSSIBLE} alone says nothing about this cell: {needed}")
    if task.solution.possible:
        return Verdict(False, "it can be done: a setting of the gates does it")
    return check_half(task.cell, task.behaviour, half)


def _two_parts(answer):
    """(the word in an answer, the setting beside it); None for what is not there."""
    parts = answer if isinstance(answer, (list, tuple)) else [answer]
    words = [part.strip().lower() for part in parts if isinstance(part, str)]
    others = [part for part in parts if not isinstance(part, str)]
    return next(iter(words), None), next(iter(others), None)


def own_task(student: str, memory: str) -> Practice:
    """The question about a student's own cell, with its solution: for the teacher."""
    return _own_task(person_of(student), memory)


@functools.lru_cache(maxsize=1000)
def _own_task(person, memory):
    chance = random.Random(f"own cells of {person}")
    asked = dict(zip(MEMORIES, chance.sample([*ASKED], 2), strict=True))
    impossible = chance.choice([None, *MEMORIES])
    chance = random.Random(f"own cell {memory} of {person}")
    while True:
        task = _own_draft(chance, memory, asked[memory], memory != impossible)
        if task is not None:
            return task


def _own_draft(chance, memory, behaviour, possible):
    """A question about a made-up cell with this memory; None if it is none that may be asked."""
    draft = _Draft(chance, OWN_LEVEL, _own_names(chance))
    ways = []
    for way in WAYS[OWN_LEVEL, behaviour]:
        if ("c" in way[1]) == (memory == "c"):
            ways.append(way)
    cell = draft.cell(f"own {memory}", behaviour, possible, ways)
    solution = can(cell, behaviour)
    if solution.possible != possible or not _is_as_hard(solution, OWN_LEVEL):
        return None
    task = Practice(0, OWN_LEVEL, cell, behaviour, solution)
    return task if own_answer(task) is not None else None


def _own_names(chance):
    """Names for gates, in any order: so many that two students hardly have the same."""
    letters = chance.sample(LETTERS, len(LETTERS))
    return [f"{letter}{chance.randint(2, 9)}" for letter in letters]


def own_answer(task: Practice) -> dict | tuple | None:
    """An answer to an `own_task` that holds; None if nothing shows that it is impossible."""
    if task.solution.possible:
        return task.solution.setting
    gates = [name for name in task.cell.gate_names if not follows(task.cell, name)]
    for count in range(1, len(gates) + 1):
        for names in itertools.combinations(gates, count):
            for values in itertools.product((0, 1), repeat=count):
                half = dict(zip(names, values, strict=True))
                if check_half(task.cell, task.behaviour, half):
                    return IMPOSSIBLE, half
    return None


# --- Cells at random --------------------------------------------------------------------------------------------------

x, h_prev, c_prev, g, c = symbols("x h_prev c_prev g c")
LETTERS = "adfikmnoqrsvz"  # names of gates; the others are taken, or hard to tell from 1 and 0
NEEDED = {1: 2, 2: 2, 3: 3}  # names in a setting that does it

# How a cell may be built, by level and question: the number of gates that share out the state, and what is read of the
# step before: U: the candidate reads h_prev; r: through a reset gate; c: the state is c, and h has a gate of its own.
WAYS = {
    (1, "keep_state"): [(2, "")],
    (1, "store_input"): [(2, ""), (1, "U")],
    (2, "keep_state"): [(2, "U"), (2, "c")],
    (2, "store_input"): [(1, "Ur"), (1, "Uc"), (2, "c")],
    (3, "keep_state"): [(3, "U"), (3, "c")],
    (3, "store_input"): [(2, "Ur"), (2, "Uc"), (3, "c")],
}

# Shares (kept, taken) of the old state and of the candidate, from the gates' shares s, t, u. The second entry of a key
# says whether the question can be answered with a setting.
FORMS = {
    ("keep_state", True, 2): [lambda s, t: (s, t), lambda s, t: (s * t, 1 - s * t)],
    ("keep_state", False, 2): [lambda s, t: (s * t, s), lambda s, t: (s * t, sp.Max(s, t))],
    ("keep_state", True, 3): [
        lambda s, t, u: (s * t, u),
        lambda s, t, u: (s * t * u, 1 - s * t * u),
    ],
    ("keep_state", False, 3): [
        lambda s, t, u: (s * t * u, s),
        lambda s, t, u: (s * t, sp.Max(s, u)),
    ],
    ("store_input", True, 1): [lambda s: (s, 1 - s), lambda s: (s, 1)],
    ("store_input", False, 1): [lambda s: (1, s), lambda s: (s, s)],
    ("store_input", True, 2): [lambda s, t: (s, t), lambda s, t: (s, (1 - s) * t)],
    ("store_input", False, 2): [lambda s, t: (s, s * t), lambda s, t: (1 - s * t, 1 - s)],
    ("store_input", True, 3): [lambda s, t, u: (s, t * u), lambda s, t, u: (s, (1 - s) * t * u)],
    ("store_input", False, 3): [
        lambda s, t, u: (s, s * t * u),
        lambda s, t, u: (1 - s * t, (1 - s) * u),
    ],
}


def _clipped(a):
    """The hard sigmoid, which reaches 0 and 1."""
    return sp.Min(1, sp.Max(0, a))


class _Draft:
    """A cell in the making: `chance` decides what a level leaves open."""

    def __init__(self, chance, level, letters):
        self.chance, self.level, self.letters = chance, level, letters
        self.gates = {}

    def cell(self, name, behaviour, possible, ways):
        """A cell for a question that can be answered with a setting, or can't; built in one of these WAYS."""
        if not possible:  # with "Uc", a proof that nothing does it takes seconds
            ways = [way for way in ways if way[1] != "Uc"]
        count, past = self.chance.choice(ways)
        form = self.chance.choice(FORMS[behaviour, possible, count])
        shares = [self.share() for _ in range(count)]
        kept, taken = map(self.perhaps_tied, form(*shares))
        candidate = self.candidate(past)
        if "c" not in past:
            return Cell(name, self.gates, candidate, kept * h_prev + taken * g)
        output = self.gate() * sp.tanh(c)
        return Cell(name, self.gates, candidate, kept * c_prev + taken * g, output)

    def gate(self):
        """A new gate, which reads x and h_prev, most often through a sigmoid."""
        letter = self.letters.pop()
        W, U, b = symbols(f"W_{letter} U_{letter} b_{letter}")
        gate = symbols(letter)
        squash = self.chance.choice([sigmoid, sigmoid, sigmoid, _clipped])
        self.gates[gate] = squash(dot(W, x) + dot(U, h_prev) + b)
        return gate

    def share(self):
        """A share from 0 to 1 that a gate gives: the gate or its complement."""
        gate = self.gate()
        return self.chance.choice([gate, 1 - gate])

    def perhaps_tied(self, share):
        """The share, sometimes by way of a gate that follows from others, and so is none to decide about."""
        is_plain = isinstance(share, int) or share.is_Symbol
        if is_plain or self.level == 1 or self.chance.random() < 0.7:
            return share
        gate = symbols(self.letters.pop())
        self.gates[gate] = share
        return gate

    def candidate(self, past):
        """What may be taken in: squashed or not, with or without the step before."""
        W, U, b = symbols("W U b")
        inside = dot(W, x) + b
        if "r" in past:
            gate = self.gate()
            reset = self.chance.choice([gate, 1 - gate])
            inside += self.chance.choice([dot(U, reset * h_prev), reset * dot(U, h_prev)])
        elif "U" in past:
            inside += dot(U, h_prev)
        return self.chance.choice([sp.tanh, sp.tanh, sigmoid, lambda a: a])(inside)
