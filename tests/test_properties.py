"""What cells can do, against brute force in NumPy: a grid of gates, random weights, float64."""

import functools
import itertools
import random

import numpy as np
import pytest

from conftest import FUZZ, python, refused
from coursework.cells import CELLS
from coursework.checks_gates import check_gates
from coursework.formulas import Cell, dot, sigmoid, symbols
from coursework.properties import properties
from coursework.settings import follows, setting_names
import sympy as sp

STORE, KEEP, FORGET = "store_input", "keep_state", "forget"
x, h_prev, c_prev, c, g, U, b, p = symbols("x h_prev c_prev c g U b p")

# Brute force: one unit, many samples at once, each with weights of its own -------------------------------------------
SIZE = 200
GRID = (0.0, 0.25, 0.5, 0.75, 1.0)


class Samples:
    """Random weights, inputs and states for a cell, and its step with gates held: SIZE layers of one unit."""

    def __init__(self, cell, seed=0):
        self.cell, self.rng = cell, np.random.default_rng(seed)
        self.weights = {name: self.number() for name in cell.weights}
        self.library = {
            "dot": lambda matrix, vector: self.weights[matrix] * vector,
            "sigmoid": lambda a: 1 / (1 + np.exp(-a)),
            **{name: getattr(np, name) for name in ("tanh", "exp", "log", "sin", "cos", "abs", "maximum", "minimum")},
        }

    def number(self):
        """Numbers of both signs, not near 0."""
        return self.rng.uniform(0.3, 1.2, SIZE) * self.rng.choice([-1, 1], SIZE)

    def draw(self):
        """A past: old states, the input before, and gates that are free."""
        past = {name: self.number() for name in ("h_prev", "c_prev", "x")}
        free = {name: self.rng.uniform(*GATES_GO[name[0]], SIZE) for name in self.cell.gate_names}
        return past, free, {name: self.rng.uniform(*GATES_GO[name[0]], SIZE) for name in self.cell.gate_names}

    def new(self, setting, x, drawn):
        """The new state and the old one, under a setting; `drawn` is the past."""
        past, free, free_before = drawn
        held, weights = self.held(setting, free), dict(self.weights)
        before = self.held(setting, free_before) | {
            name.removesuffix("_prev"): value for name, value in setting.items() if name.endswith("_prev")
        }
        h = past["h_prev"]
        if self.cell.memory == "c":  # what the step before put out, its new state being today's old one
            with np.errstate(all="ignore"):
                h = self.cell.step(past | weights, self.library, before | {"c": past["c_prev"]})["h"]
        values = weights | {"x": x, "h_prev": h, "c_prev": past["c_prev"]}
        if setting.get("U") == 0:
            held["g"] = self.candidate_without(values, held)
        with np.errstate(all="ignore"):
            new = self.cell.step(values, self.library, held)[self.cell.memory]
        old = past[str(self.cell.old_state)]
        return new + np.zeros(SIZE), old

    def held(self, setting, free):
        """Gates at the setting's numbers; a gate that is left free at random ones, unless it follows from others."""
        own = [name for name in self.cell.gate_names if not follows(self.cell, name)]
        return {name: setting[name] + np.zeros(SIZE) if name in setting else free[name] for name in own}

    def candidate_without(self, values, held):
        """The candidate if all weights with which it reads the past are 0: the past itself is put to 0 in it."""
        with np.errstate(all="ignore"):
            gates = {name: self.cell.step(values, self.library, held)[name] for name in self.cell.gate_names}
            nothing = {"h_prev": np.zeros(SIZE), "c_prev": np.zeros(SIZE)}
            return self.cell.step(values | nothing, self.library, gates)["g"]


GATES_GO = {"t": (-1, 1)}
GATES_GO |= {name: (0, 1) for name in "ifozrqs"}


def shows(cell, behaviour, setting):
    """Does a setting have a property, as far as random numbers tell?"""
    samples = Samples(cell)
    x = samples.number()
    first, second = samples.draw(), samples.draw()
    new, old = samples.new(setting, x, first)
    if behaviour == KEEP:
        return bool(np.abs(new - old).max() < 1e-9)
    other, _ = samples.new(setting, x, second)
    forgets = np.abs(new - other).max() < 1e-9
    if behaviour == FORGET or not forgets:
        return bool(forgets)
    path = np.stack([samples.new(setting, point + np.zeros(SIZE), first)[0] for point in np.linspace(-1, 1, 9)])
    steps = np.diff(path, axis=0)
    return bool(((steps > 1e-9).all(0) | (steps < -1e-9).all(0)).all())


def settings_on_grid(cell):
    """All gates at numbers of the grid, U free or 0, gates of the step before as now or 0 or 1."""
    own = [name for name in cell.gate_names if not follows(cell, name)]
    extras = [[(name, value) for value in (None, 0, 1)] for name in setting_names(cell) if name.endswith("_prev")]
    extras += [[("U", value) for value in (None, 0)]] * ("U" in setting_names(cell))
    numbers = [(*GRID, -1.0) if name[0] == "t" else GRID for name in own]
    for extra in itertools.product(*extras):
        for values in itertools.product(*numbers):
            named = dict(zip(own, values, strict=True))
            yield named | {name: value for name, value in extra if value is not None}


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
    drive = dot(W, x) + b + chance.choice([0, dot(U, h_prev)]) + chance.choice([0, 0, p * chance.choice(reads)])
    if others and kind == 2:
        drive += chance.choice(others)
    return sp.tanh(drive) if gate.name == "t" else sigmoid(drive)


def random_share(chance, gates):
    """A formula of gates: a gate, its rest to 1, products and such."""
    if not gates or chance.random() < 0.15:
        return sp.Integer(1)
    gate, other = chance.choice(gates), chance.choice(gates)
    return chance.choice([gate, 1 - gate, gate, 1 - gate, gate * other, 1 - gate * other, gate * (1 - other), 2 * gate])


def random_state(chance, one, old):
    kept, taken = one(), one()
    shared = kept * old + taken * g
    forms = [shared] * 6 + [kept * old + (1 - kept) * g] * 4
    forms += [g, old + taken * g, old * g, sp.tanh(shared), sp.Max(kept * old, taken * g), shared / 2, shared**3]
    if kept.free_symbols and taken.free_symbols:
        forms += [shared / (kept + taken)] * 2
    return chance.choice(forms)


CELLS_AT_RANDOM = [random_cell(seed) for seed in range(300 * FUZZ)]
