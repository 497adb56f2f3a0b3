"""That no setting of a cell's gates does something, proved for all numbers at once."""

import dataclasses
import itertools
import math
import random
from collections.abc import Iterable, Iterator
from fractions import Fraction

import mpmath
import sympy as sp

from coursework.formulas import Cell, Tree, dot, symbols, tree_of
from coursework.settings import (
    BEFORE,
    INCREASING,
    follows,
    gate_intervals,
    interval_of,
    intervals,
    recurrent_weights,
    setting_names,
    state_under,
    without_outer,
)

MOST_BOXES = 500
NARROW = 1 / 32
Box = dict[str, mpmath.ctx_iv.ivmpf]


def settings_left(cell: Cell, behaviour: str) -> Iterator[dict]:
    """Settings near which a behaviour could not be ruled out; if there is none, it is impossible, and that is proved.

    What a behaviour demands is an equation in the gates at each input, weight and old state. If the gates lie in a box,
    an interval holds all values of its left side; where that is clear of 0, no setting is in the box. The box of all
    gates is halved until all parts are ruled out, or some are narrow.

    Args:
        cell: whose gates may be anything that their formulas reach.
        behaviour: as in `settings.holds`.

    See docs/cells.md.
    """
    box = _whole_box(cell)
    for extra in _freedoms(cell):
        demands = list(_demands(cell, behaviour, extra))
        simpler = [_simpler(demand) for demand in demands]
        if any(_faces_forbid(demand, box) for demand in simpler):
            continue
        for part in _not_ruled_out(demands + simpler, box):
            yield _nearby(cell, part) | extra


def worth_a_proof(cell: Cell, behaviour: str, settings: Iterable[dict]) -> Iterator[dict]:
    """Those settings of all gates that meet the demands at a few points: a quick look. See docs/cells.md."""
    trees = {}
    for setting in settings:
        extra = {"U": setting["U"]} if "U" in setting else {}
        if len(extra) not in trees:
            demands = _demands(cell, behaviour, extra, count=3)
            trees[len(extra)] = [tree_of(demand.zero) for demand in demands]
        point = _as_box(cell, setting)
        if not any(_is_clear_of_zero(tree, point) for tree in trees[len(extra)]):
            yield setting


def _as_box(cell, setting):
    """A setting as a box of no width; a gate of the step before is as it is now, unless that is told."""
    box = {}
    for name in _whole_box(cell):
        gate = name.removesuffix(BEFORE)
        number = setting[gate]
        if name != gate:
            number = setting.get(f"{gate}_prev", number)
        box[name] = intervals.mpf(float(number))
    return box


def is_never_zero(cell: Cell, formula: sp.Expr) -> bool:
    """Is a formula of gates 0 nowhere? True is proved. See docs/cells.md."""
    return not list(_not_ruled_out([Demand(formula)], _whole_box(cell)))


def _freedoms(cell):
    """U = 0 allows all that a free U does; only where a matrix takes the input and the past together, try both."""
    weights = recurrent_weights(cell)
    if not weights:
        return [{}]
    without = {"U": sp.S.Zero}
    for product in cell.candidate.atoms(dot):
        matrix, vector = product.args
        if matrix in weights and vector.has(symbols("x")):
            return [without, {}]
    return [without]


def _whole_box(cell):
    """All values that the gates can be held at, now and in the step before."""
    reached = gate_intervals(cell)
    free = {name: reached[name] for name in cell.gate_names if not follows(cell, name)}
    return free | {f"{name}{BEFORE}": interval for name, interval in free.items()}


# --- What a behaviour demands of the gates ----------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Demand:
    """Two formulas of gates, at one input, weight and old state: the first must be 0, the second must not."""

    zero: sp.Expr
    other: sp.Expr = sp.S.One


def _demands(cell, behaviour, setting, count=6):
    """The demands of a behaviour at some inputs, weights and old states."""
    new = state_under(cell, setting)
    bottom = sp.Mul(*(power.base for power in new.atoms(sp.Pow) if power.exp.is_negative))
    if behaviour != "keep_state":
        new = without_outer(new)
    gates = {sp.Symbol(name, real=True) for name in _whole_box(cell)}
    rest = sorted((new.free_symbols | {cell.old_state, symbols("x")}) - gates, key=str)
    past = [symbol for symbol in rest if symbol == cell.old_state or symbol.name.endswith(BEFORE)]
    chance = random.Random(0)
    for _ in range(count):
        point = {symbol: _some_number(chance) for symbol in rest}
        other_past = {symbol: _some_number(chance) for symbol in past}
        other_input = {symbols("x"): _some_number(chance)}
        here = new.xreplace(point)
        by_past = here - new.xreplace(point | other_past)
        if behaviour == "keep_state":
            yield Demand(here - point[cell.old_state], bottom.xreplace(point))
        elif behaviour == "forget":
            yield Demand(by_past, bottom.xreplace(point))
        else:
            yield Demand(by_past, here - new.xreplace(point | other_input))
    if behaviour == "store_input":
        yield from _flat_pieces(new, rest, past)


def _some_number(chance):
    return sp.Rational(chance.choice((-1, 1)) * chance.randint(8, 32), 32)


def _flat_pieces(new, rest, past):
    """Two inputs must not give the same; those at which Max or Min is flat, and what is even, are worth a try."""
    point = {symbol: sp.Integer(symbol.name[0] not in "bp") for symbol in rest} | dict.fromkeys(
        past, sp.S.Zero
    )
    for one, other in ((1, 2), (-1, -2), (1, -1)):
        values = [new.xreplace(point | {symbols("x"): sp.Integer(x)}) for x in (one, other)]
        yield Demand(sp.S.Zero, sp.factor(values[0] - values[1], deep=True))


def _simpler(demand):
    """The same demand in fewer factors: where one of the second formula is 0, the demand fails in any case."""
    if demand.other == 0:
        return Demand(sp.S.One)
    if demand.zero == 0:
        return demand
    others = _zeros(demand.other)
    own = [factor for factor in _zeros(demand.zero) if factor not in others]
    return Demand(sp.Mul(*own), sp.Mul(*others))


def _zeros(formula):
    """Factors whose zeros are those of the formula: each once, and no tanh around what is 0 where it is."""
    top, _ = sp.fraction(sp.factor(formula))
    found = []
    for factor in sp.Mul.make_args(top):
        base, _ = factor.as_base_exp()
        found += _inner_zeros(base)
    return list(dict.fromkeys(found))


def _inner_zeros(factor):
    """tanh(a) is 0 where a is, and tanh(a) - tanh(b) where a - b is; the same for other increasing functions."""
    if isinstance(factor, sp.tanh):
        return _zeros(factor.args[0])
    parts = [part.as_coeff_Mul() for part in sp.Add.make_args(factor)]
    if len(parts) == 2:
        (number, one), (other_number, other) = parts
        are_alike = isinstance(one, INCREASING) and one.func == other.func
        is_odd = isinstance(one, sp.tanh)
        balance = other_number == -number or (is_odd and other_number == number)
        if are_alike and balance:
            return _zeros(number * one.args[0] + other_number * other.args[0])
    return [_of_one_sign(factor)]


def _of_one_sign(factor):
    """The same factor for 3 - 3 q and q - 1."""
    _, factor = factor.as_content_primitive()
    return -factor if factor.could_extract_minus_sign() else factor


# --- Two ways to rule gates out ---------------------------------------------------------------------------------------


def _faces_forbid(demand, box):
    """Is the second formula 0 wherever the first one is, by the box's faces?

    A formula that is a straight line in each gate is a mean of its values at the corners of the face in which the gates
    lie. If those have one sign, it can be 0 only on a face on which it is 0 throughout.
    """
    gates = [symbol for symbol in sorted(demand.zero.free_symbols, key=str) if symbol.name in box]
    ends = [_ends(box[gate.name]) for gate in gates]
    if any(end.is_infinite for pair in ends for end in pair):
        return False
    if any(sp.diff(demand.zero, gate, 2) != 0 for gate in gates):
        return False
    at_corners = [sp.expand(demand.zero.xreplace(corner)) for corner in _faces(gates, ends)]
    if min(at_corners) < 0 < max(at_corners):
        return False
    for face in _faces(gates, [(*pair, None) for pair in ends]):
        is_zero_here = sp.expand(demand.zero.xreplace(face)) == 0
        if is_zero_here and sp.expand(demand.other.xreplace(face)) != 0:
            return False
    return True


def _faces(gates, choices):
    """Dicts from gate to number, without the gates for which None was chosen."""
    for numbers in itertools.product(*choices):
        pairs = zip(gates, numbers, strict=True)
        yield {gate: number for gate, number in pairs if number is not None}


def _ends(interval):
    return tuple(sp.nsimplify(float(end)) for end in (interval.a, interval.b))


def _not_ruled_out(demands, box):
    """The parts of a box that no demand rules out; each is narrow, or what was left when enough had been looked at."""
    zero = [tree_of(demand.zero) for demand in demands]
    other = [tree_of(demand.other) for demand in demands if demand.zero == 0]
    read = {
        symbol.name
        for demand in demands
        for symbol in demand.zero.free_symbols | demand.other.free_symbols
    }
    waiting = [{name: interval for name, interval in box.items() if name in read}]
    seen = 0
    while waiting:
        box = waiting.pop()
        seen += 1
        if any(_is_clear_of_zero(tree, box) for tree in zero) or any(
            _is_zero(tree, box) for tree in other
        ):
            continue
        widest = max(box, key=lambda name: box[name].delta, default=None)
        if widest is None or box[widest].delta < NARROW or seen > MOST_BOXES:
            yield box
        else:
            waiting += [box | {widest: half} for half in _halves(box[widest])]


def _is_clear_of_zero(tree: Tree, box: Box, slack: float = 1e-9) -> bool:
    """Rounding is far below the slack."""
    interval = interval_of(tree, box)
    return interval.a > slack or interval.b < -slack


def _is_zero(tree, box):
    interval = interval_of(tree, box)
    return interval.a == 0 == interval.b


def _halves(interval):
    low, high = float(interval.a), float(interval.b)
    if math.isinf(low) and math.isinf(high):
        middle = 0.0
    elif math.isinf(low):
        middle = min(2 * high, -1.0)
    elif math.isinf(high):
        middle = max(2 * low, 1.0)
    else:
        middle = (low + high) / 2
    return intervals.mpf([low, middle]), intervals.mpf([middle, high])


def _nearby(cell, box):
    """The simplest fractions in a narrow box, as a setting."""
    setting = {}
    for name, interval in box.items():
        name = name.replace(BEFORE, "_prev")
        middle = Fraction(float(interval.mid)) if interval.delta < math.inf else Fraction(0)
        if name in setting_names(cell):
            setting[name] = sp.Rational(middle.limit_denominator(12))
    return setting
