"""What cells can do, against brute force in NumPy: a grid of gates, random weights, float64."""

import functools
import itertools
import random
import re
from fractions import Fraction

import numpy as np
import pytest
import sympy as sp

from conftest import FUZZ, python, refused
from coursework.cells import CELLS
from coursework.checks_gates import check_gates
from coursework.formulas import Cell, dot, sigmoid, symbols
from coursework.properties import properties
from coursework.settings import follows, setting_names

STORE, KEEP, FORGET = "store_input", "keep_state", "forget"
x, h_prev, c_prev, c, g, U, b, p = symbols("x h_prev c_prev c g U b p")

# Brute force: one unit, many layers at once, each with weights of its own ---------------------------------------------
SIZE = 60
GRID = (0.0, 0.25, 0.5, 0.75, 1.0)
FUNCTIONS = {
    name: getattr(np, name)
    for name in ("tanh", "exp", "log", "sin", "cos", "abs", "maximum", "minimum")
}
FUNCTIONS["sigmoid"] = lambda a: 1 / (1 + np.exp(-a))


class Layers:
    """Layers of one unit with random weights: SIZE in a row, and a row for each setting."""

    def __init__(self, cell, seed=0):
        self.cell, self.rng = cell, np.random.default_rng(seed)
        self.weights = {name: self.number() for name in cell.weights}
        self.library = FUNCTIONS | {"dot": lambda matrix, vector: self.weights[matrix] * vector}

    def number(self):
        """Numbers of both signs, not near 0."""
        return self.rng.uniform(0.3, 1.2, SIZE) * self.rng.choice([-1, 1], SIZE)

    def free(self):
        """A random number in place of each gate that is left free."""
        return {
            name: self.rng.uniform(-1 if name == "t" else 0, 1, SIZE)
            for name in self.cell.gate_names
        }

    def draw(self):
        """A past: old states and the input before, free gates now and then."""
        return {name: self.number() for name in ("h_prev", "c_prev", "x")}, self.free(), self.free()

    def step(self, values, held):
        """One step, also where it is 0/0."""
        with np.errstate(all="ignore"):
            return self.cell.step(values | self.weights, self.library, held)

    def new(self, setting, x, drawn):
        """The new state under a setting."""
        past, free, free_before = drawn
        values = past | {"x": x, "h_prev": self.h_before(setting, past, free_before)}
        held = self.held(setting, free)
        if "U" in setting:  # the candidate reads nothing of the past
            gates = {name: self.step(values, held)[name] for name in self.cell.gate_names}
            held["g"] = self.step(
                values | {"h_prev": np.zeros(SIZE), "c_prev": np.zeros(SIZE)}, gates
            )["g"]
        return self.step(values, held)[self.cell.memory]

    def h_before(self, setting, past, free_before):
        """What the step before put out, when its new state was today's old one."""
        if self.cell.memory == "h":
            return past["h_prev"]
        told = {
            name.removesuffix("_prev"): value
            for name, value in setting.items()
            if name.endswith("_prev")
        }
        return self.step(past, self.held(setting, free_before) | told | {"c": past["c_prev"]})["h"]

    def held(self, setting, free):
        """Gates at the setting's numbers; free ones at random; those that follow from others do so."""
        return {name: np.atleast_1d(setting.get(name, free[name])) for name in own_gates(self.cell)}


def own_gates(cell):
    return [name for name in cell.gate_names if not follows(cell, name)]


def shows(cell, behaviour, setting):
    """Do settings, one a row, have a property, as far as random numbers tell?"""
    setting = {name: np.asarray(value, float) for name, value in setting.items()}
    layers = Layers(cell)
    x, first, second = layers.number(), layers.draw(), layers.draw()
    new = layers.new(setting, x, first)
    if behaviour == KEEP:
        return np.abs(new - first[0][str(cell.old_state)]).max(-1) < 1e-9
    forgets = np.abs(layers.new(setting, x, second) - new).max(-1) < 1e-9
    if behaviour == FORGET:
        return forgets
    path = [layers.new(setting, np.full(SIZE, point), first) for point in np.linspace(-1, 1, 9)]
    steps = np.diff(path, axis=0)
    rises, falls = (steps > 1e-9).all(0), (steps < -1e-9).all(0)
    return forgets & (rises | falls).all(-1)


def settings_on_grid(cell):
    """All gates at numbers of the grid, U free or 0, gates of the step before as now or at 0 or 1."""
    own = own_gates(cell)
    numbers = [(*GRID, -1.0, -0.5) if name == "t" else GRID for name in own]
    rows = list(itertools.product(*numbers))
    table = np.array(rows).reshape(len(rows), len(own))
    columns = {name: column[:, None] for name, column in zip(own, table.T, strict=True)}
    names = [name for name in setting_names(cell) if name not in cell.gate_names]
    choices = [[None, 0.0] if name == "U" else [None, 0.0, 1.0] for name in names]
    for extra in itertools.product(*choices):
        yield columns | {
            name: number for name, number in zip(names, extra, strict=True) if number is not None
        }


def found_by_force(cell, behaviour):
    """Does any setting of the grid have a property?"""
    return any(np.any(shows(cell, behaviour, settings)) for settings in settings_on_grid(cell))


# Random cells ---------------------------------------------------------------------------------------------------------
GATES = symbols("i f o z r q t")


def random_cell(seed):
    """A cell of no particular sense: h or c memory, gates that read each other, shares of many forms."""
    chance = random.Random(seed)
    old, gates = chance.choice([h_prev, c_prev]), {}
    reads = [h_prev, c_prev] if old == c_prev else [h_prev]
    for gate in chance.sample(GATES, chance.randint(0, 3)):
        gates[gate] = random_gate(chance, gate, reads, list(gates))
    one = functools.partial(random_share, chance, list(gates))
    weights = symbols("W")
    inside = chance.choice([1, 1, one()]) * dot(weights, x) + chance.choice([0, b])
    inside += chance.choice([0, 1]) * dot(U, chance.choice([1, one()]) * h_prev)
    inside += chance.choice([0, 0, 0, p * chance.choice(reads)])
    candidate = chance.choice([1, 1, 1, one()]) * chance.choice([sp.tanh(inside), inside])
    output = None if old == h_prev else chance.choice([1, one()]) * chance.choice([sp.tanh(c), c])
    state = random_state(chance, one, old)
    try:
        return Cell(f"random {seed}", gates, candidate, state, output)
    except ValueError:  # such as one that remembers nothing
        return random_cell(seed + 10_000)


def random_gate(chance, gate, reads, others):
    kind = chance.randrange(8)
    if others and kind == 0:
        return 1 - chance.choice(others)
    if others and kind == 1:
        return chance.choice(others) * chance.choice(others)
    W, U, b, p = symbols(f"W_{gate} U_{gate} b_{gate} p_{gate}")
    drive = (
        dot(W, x)
        + b
        + chance.choice([0, dot(U, h_prev)])
        + chance.choice([0, 0, p * chance.choice(reads)])
    )
    if others and kind == 2:
        drive += chance.choice(others)
    return sp.tanh(drive) if gate.name == "t" else sigmoid(drive)


def random_share(chance, gates):
    """A formula of gates: a gate, its rest to 1, products and such."""
    if not gates or chance.random() < 0.15:
        return sp.Integer(1)
    gate, other = chance.choice(gates), chance.choice(gates)
    return chance.choice(
        [
            gate,
            1 - gate,
            gate,
            1 - gate,
            gate * other,
            1 - gate * other,
            gate * (1 - other),
            2 * gate,
        ]
    )


def random_state(chance, one, old):
    kept, taken = one(), one()
    shared = kept * old + taken * g
    forms = [shared] * 6 + [kept * old + (1 - kept) * g] * 4
    forms += [
        g,
        old + taken * g,
        old * g,
        sp.tanh(shared),
        sp.Max(kept * old, taken * g),
        shared / 2,
        shared**3,
    ]
    if kept.free_symbols and taken.free_symbols:
        forms += [shared / (kept + taken)] * 2
    return chance.choice(forms)


CELLS_AT_RANDOM = [random_cell(seed) for seed in range(min(40 * FUZZ, 300))]  # `make fuzz`: all 300


@pytest.mark.parametrize("cell", [*CELLS.values(), *CELLS_AT_RANDOM], ids=lambda cell: cell.name)
def test_decisions_are_those_of_brute_force(cell):
    decided = properties(cell)
    for behaviour in (STORE, KEEP, FORGET):
        found = decided[behaviour]
        assert found.possible == found_by_force(cell, behaviour), (behaviour, found, cell)
        assert (found.setting is None) == (not found.possible)
        assert "not decided" not in found.why and "\n" not in found.why
        if found.possible:
            assert np.all(shows(cell, behaviour, found.setting))
            assert behaviour == FORGET or check_gates(cell, behaviour, found.setting)


@pytest.mark.parametrize(
    "cell", [*CELLS.values(), *CELLS_AT_RANDOM[:60]], ids=lambda cell: cell.name
)
def test_verdicts_are_those_of_brute_force(cell):
    """On random settings, with gates left out."""
    chance = random.Random(cell.name)
    names = [
        *own_gates(cell),
        *(name for name in setting_names(cell) if name not in cell.gate_names),
    ]
    for _ in range(12):
        setting = {
            name: chance.choice([0, 0, 1, 1, 0.5]) for name in names if chance.random() < 0.8
        }
        if "U" in setting:
            setting["U"] = 0
        for behaviour in (STORE, KEEP):
            verdict = check_gates(cell, behaviour, setting)
            assert verdict.ok == bool(np.all(shows(cell, behaviour, setting))), (
                behaviour,
                setting,
                verdict,
            )
            assert (
                verdict.ok != bool(verdict.hint)
                and "\n" not in verdict.hint
                and len(verdict.hint) < 250
            )


# What holds for all gates ---------------------------------------------------------------------------------------------


def states_over_time(cell, gates, x, steps):
    """The state from zero on; `gates` and `x` give numbers for each step."""
    layers = Layers(cell)
    state = {"h_prev": np.zeros(SIZE), "c_prev": np.zeros(SIZE)}
    for _ in range(steps):
        found = layers.step(state | {"x": x()}, gates())
        state = {f"{name}_prev": value for name, value in found.items() if name in "hc"}
        yield found[cell.memory]


@pytest.mark.parametrize("cell", [*CELLS.values(), *CELLS_AT_RANDOM], ids=lambda cell: cell.name)
def test_bounds_are_kept_and_missed(cell):
    bounded = properties(cell)["bounded"]
    rng, own = np.random.default_rng(0), own_gates(cell)

    def extremes():
        return {
            name: rng.choice([-1 if name == "t" else 0, 0, 1, rng.uniform()], SIZE) for name in own
        }

    if bounded.possible:
        bound = float(re.search(r"at most ([\d.]+)", bounded.why)[1])
        for state in states_over_time(cell, extremes, lambda: rng.normal(0, 10, SIZE), 60):
            assert np.nanmax(np.abs(state), initial=0) <= bound + 1e-9
    elif "put no bound" not in bounded.why:
        rows = np.array(
            list(itertools.product(*[(-1, 0.5, 1) if name == "t" else (0, 0.5, 1) for name in own]))
        )
        corners = dict(zip(own, rows.T[:, :, None].astype(float), strict=True))
        *_, state = states_over_time(cell, lambda: corners, lambda: np.full(SIZE, 100.0), 200)
        assert np.nanmax(np.abs(state)) > 20


@pytest.mark.parametrize("cell", [*CELLS.values(), *CELLS_AT_RANDOM], ids=lambda cell: cell.name)
def test_straight_lines_and_gates_that_read_the_past(cell):
    layers, decided = Layers(cell), properties(cell)
    x, x_before = layers.number(), layers.number()
    start, way = np.array([[layers.number() for _ in range(3)] for _ in range(2)])

    def step(share):
        """One step from (h, c before; the old state), moved a share of the way."""
        h, c, old = start + share * way
        if cell.memory == "c":
            h, c = layers.step({"x": x_before, "h_prev": h, "c_prev": c}, {"c": old})["h"], old
        return layers.step({"x": x, "h_prev": h, "c_prev": c}, {})

    states = [step(share)[cell.memory] for share in (-1, 0, 1)]
    bend = np.abs(states[0] - 2 * states[1] + states[2]).max()
    assert decided["linear"].possible == bool(bend < 1e-9), (decided["linear"], cell)
    moves = any(
        np.ptp([step(share)[name] for share in (0, 1)], axis=0).max() > 0
        for name in cell.gate_names
    )
    assert decided["reads_past"].possible == moves


LITERATURE = {  # store, keep, forget, bounded, linear, reads the past
    "LSTM": (True, True, True, False, False, True),
    "GRU": (True, True, True, True, False, True),
    "RNN": (True, False, True, True, False, False),
    "minGRU": (True, True, True, False, True, False),
    "minLSTM": (True, True, True, False, True, False),
    "MGU": (True, True, True, True, False, True),
    "JANET": (True, True, True, True, False, True),
    "coupled LSTM": (True, True, True, True, False, True),
    "peephole LSTM": (True, True, True, False, False, True),
}


@pytest.mark.parametrize("name", LITERATURE)
def test_the_cells_of_the_bundle_are_what_their_papers_say(name):
    assert tuple(found.possible for found in properties(name).values()) == LITERATURE[name]


def test_settings_say_no_more_than_they_must():
    assert properties("LSTM")[STORE].setting == {"i": 1, "f": 0, "U": 0}
    assert properties("GRU")[STORE].setting == {"z": 0, "r": 0}
    assert properties("GRU")[KEEP].setting == {"z": 1}
    assert properties("MGU")[STORE].setting == {"f": 1, "U": 0}


z, f, i = symbols("z f i")
ONE = sigmoid(dot(symbols("W_f"), x) + symbols("b_f"))


@pytest.mark.parametrize(
    ("cell", "behaviour", "setting"),
    [
        (
            Cell(
                "a third", {f: ONE}, sp.tanh(dot(symbols("W"), x)), 3 * f * h_prev + (1 - 3 * f) * g
            ),
            KEEP,
            Fraction(1, 3),
        ),
        (
            Cell(
                "coupled the wrong way", {f: ONE}, sp.tanh(dot(symbols("W"), x)), f * h_prev + f * g
            ),
            KEEP,
            None,
        ),
        (
            Cell("the same", {f: ONE}, sp.tanh(dot(symbols("W"), x)), f * h_prev + f * g),
            STORE,
            None,
        ),
        (Cell("even", {f: ONE}, dot(symbols("W"), x) ** 2, f * h_prev + (1 - f) * g), STORE, None),
        (
            Cell(
                "half open",
                {f: 1 - ONE / 2},
                sp.tanh(dot(symbols("W"), x)),
                f * h_prev + (1 - f) * g,
            ),
            STORE,
            None,
        ),
    ],
    ids=lambda value: getattr(value, "name", None),
)
def test_numbers_that_no_grid_has_and_what_no_number_does(cell, behaviour, setting):
    found = properties(cell)[behaviour]
    assert found.setting == (None if setting is None else {"f": setting})
    assert "not decided" not in found.why


def test_gates_that_follow_from_others_are_not_set():
    cell = Cell("coupled", {f: ONE, i: 1 - f}, sp.tanh(dot(symbols("W"), x)), f * h_prev + i * g)
    assert properties(cell)[KEEP].setting == {"f": 1}
    assert check_gates(cell, KEEP, {"f": 1, "i": 0})
    assert "contradicts i = 1 - f" in check_gates(cell, KEEP, {"f": 1, "i": 1}).hint
    assert "no free choice" in check_gates(cell, KEEP, {"i": 0}).hint


def test_what_is_no_cell_is_refused():
    with refused("'GRU' or 'LSTM'"):
        properties("lstm")


def test_the_rooms_of_the_proofs_need_no_numpy():
    """They run in a browser."""
    rooms = "formulas cells settings impossible properties verdicts words checks_gates"
    imports = "; ".join(f"import coursework.{room}" for room in rooms.split())
    use = "from coursework.checks_gates import check_gates as c; assert c('GRU', 'keep_state', {'z': 1.0})"
    use += "; assert not c('GRU', 'keep_state', {'z': [0.5, 1]})"
    result = python(
        "-c",
        f"import sys; sys.modules['numpy'] = sys.modules['tensorflow'] = None; {imports}; {use}",
    )
    assert result.returncode == 0, result.stderr
