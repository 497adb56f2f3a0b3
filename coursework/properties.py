"""What a cell can do, decided from its equations: store its input, keep its state, forget it, stay bounded."""

import dataclasses
import itertools
import math
import random
from fractions import Fraction

import sympy as sp

from coursework.cells import as_cell
from coursework.formulas import Cell, one_unit, symbols, tree_of
from coursework.settings import (
    BEFORE,
    before,
    follows,
    gate_intervals,
    gate_values,
    gates_in,
    holds,
    interval_of,
    intervals,
    is_weight,
    same,
    setting_names,
    shares,
    state_under,
    values_of,
    with_output,
)


@dataclasses.dataclass(frozen=True)
class Property:
    """One thing that a cell can do, or can't.

    Attributes:
        possible: whether it can.
        setting: dict from name to number, with which it does; None if it can't, and where no setting is needed.
        why: one line: what the setting does, or why none exists.
    """

    possible: bool
    setting: dict[str, int | float] | None
    why: str


def properties(cell: Cell | str) -> dict[str, Property]:
    """What a cell can do, by proof: no setting is called impossible because none was found.

    Settings are as in `check_gates`: gates held at constants, the limits 0 and 1 of a sigmoid included; "U" = 0 for all
    weights with which the candidate reads the step before.

    Args:
        cell: a name in `CELLS`, or a Cell of one's own.

    Returns:
        dict from name to Property:
            "store_input": with constant gates, the new state is an injective function of the candidate's input alone.
            "keep_state": with constant gates, the new state is the old one, whatever x is.
            "forget": with constant gates, the new state does not depend on the old one.
            "bounded": from the zero state, the state never leaves a bound, whatever the weights, gates and inputs are.
            "linear": the new state is an affine function of the old one, gates and candidate included; then all steps
                can be computed at once.
            "reads_past": some gate reads h_prev or c_prev, by itself or through another gate.

    Raises:
        ValueError: no cell.

    See docs/cells.md.
    """
    cell = as_cell(cell)
    found = {behaviour: _can(cell, behaviour) for behaviour in ("store_input", "keep_state", "forget")}
    return found | {"bounded": _bounded(cell), "linear": _linear(cell), "reads_past": _reads_the_past(cell)}


# --- Is there a setting? ----------------------------------------------------------------------------------------------


def _can(cell, behaviour):
    """The Property for a behaviour that a setting may have."""
    for setting in _likely_settings(cell):
        if holds(cell, behaviour, setting):
            return _with_setting(cell, behaviour, _without_needless(cell, behaviour, setting))
    open_boxes = list(_open_boxes(cell, behaviour))
    if not open_boxes:
        return Property(False, None, _reason(cell, behaviour))
    for setting in map(_nearby, open_boxes):
        if holds(cell, behaviour, setting):
            return _with_setting(cell, behaviour, setting)
    return Property(False, None, "not decided: no setting that was tried does it, and not all could be ruled out")


def _with_setting(cell, behaviour, setting):
    old, new = cell.old_state, state_under(cell, setting)
    whatever = {
        "store_input": f"an injective function of the input, and nothing of {old} is left",
        "keep_state": "whatever x is",
        "forget": f"whatever {old} was",
    }
    plain = {name: int(value) if value.is_Integer else float(value) for name, value in setting.items()}
    shown = str(new).replace(BEFORE, "_prev")
    return Property(True, plain, f"the new state is {shown}, {whatever[behaviour]}")


def _likely_settings(cell):
    """Settings of all gates, at 1, 0, 1/2 or -1: first with the gates of the output open, then with any."""
    names = setting_names(cell)
    inner = {name: _likely_numbers(cell, name) for name in cell.gate_names if not follows(cell, name)}
    wide_open = {name: [sp.S.One] for name in gates_in(cell, cell.output) if sp.S.One in inner.get(name, ())}
    extras = [{}, {"U": sp.S.Zero}] if "U" in names else [{}]
    before = [name for name in names if name not in (*cell.gate_names, "U")]
    closed = [{name: number} for name in before for number in (sp.S.Zero, sp.S.One)]
    for choices, more in ((inner | wide_open, extras), (inner, [*extras, *closed])):
        for extra in more:
            for numbers in itertools.product(*choices.values()):
                yield dict(zip(choices, numbers, strict=True)) | extra


def _likely_numbers(cell, gate):
    reached = gate_intervals(cell)[gate]
    return [number for number in (sp.S.One, sp.S.Zero, sp.S.Half, -sp.S.One) if float(number) in reached]


def _without_needless(cell, behaviour, setting):
    """The setting without the names that may as well be anything."""
    for name in list(setting):
        fewer = {other: value for other, value in setting.items() if other != name}
        ends = [{name: number} for number in (sp.S.Zero, sp.S.One)]
        if holds(cell, behaviour, fewer) and all(holds(cell, behaviour, fewer | end) for end in ends):
            setting = fewer
    return setting


# --- There is none: all gates at once, in boxes that shrink -----------------------------------------------------------

MOST_BOXES = 2000
NARROW = 1 / 64


def _open_boxes(cell, behaviour):
    """Boxes of gates in which a setting may still hide; there is none, and that is proved, if none is left.

    What a behaviour demands is an equation in the gates at each input, weight and old state. An interval of the gates
    gives an interval that holds all values of its left side; where that is clear of 0, no setting is in the box.
    """
    for extra in _freedoms(cell, behaviour):
        equations = _demands(cell, behaviour, extra)
        for box in _not_ruled_out(equations, _whole_box(cell)):
            yield box | extra


def _freedoms(cell, behaviour):
    """U = 0 allows all that a free U does; but where it scales the input too, a free one may store."""
    if "U" not in setting_names(cell):
        return [{}]
    return [{"U": sp.S.Zero}, {}] if behaviour == "store_input" else [{"U": sp.S.Zero}]


def _whole_box(cell):
    """All values that the gates can be held at, now and in the step before."""
    reached = gate_intervals(cell)
    free = {name: reached[name] for name in cell.gate_names if not follows(cell, name)}
    return free | {f"{name}{BEFORE}": interval for name, interval in free.items()}


def _demands(cell, behaviour, setting, count=6):
    """Formulas of the gates that must all be 0 for a behaviour, one for each of some inputs, weights and old states."""
    new = state_under(cell, setting)
    gates = {sp.Symbol(name, real=True) for name in _whole_box(cell)}
    rest = sorted((new.free_symbols | {cell.old_state, symbols("x")}) - gates, key=str)
    past = [symbol for symbol in rest if symbol == cell.old_state or symbol.name.endswith(BEFORE)]
    chance = random.Random(0)
    for _ in range(count):
        point = {symbol: _some_number(chance) for symbol in rest}
        if behaviour == "keep_state":
            yield new.xreplace(point) - point[cell.old_state]
            continue
        other_past = point | {symbol: _some_number(chance) for symbol in past}
        change = sp.factor(new.xreplace(point) - new.xreplace(other_past))
        if behaviour == "store_input":
            other_input = point | {symbols("x"): _some_number(chance)}
            change = _relative(change, sp.factor(new.xreplace(point) - new.xreplace(other_input)))
        yield change


def _some_number(chance):
    return sp.Rational(chance.choice((-1, 1)) * chance.randint(8, 32), 32)


def _relative(by_past, by_input):
    """What the old state does to the new one, in units of what the input does.

    Without these units, no box could be ruled out around gates that let in neither.
    """
    return sp.S.One if by_input == 0 else sp.cancel(by_past / by_input)


def _not_ruled_out(equations, box):
    """Those parts of a box of gates that no equation rules out; each is narrow, or what was left when time was up."""
    trees = [tree_of(equation) for equation in equations]
    waiting, seen = [box], 0
    while waiting:
        box = waiting.pop()
        seen += 1
        read = {name: interval for name, interval in box.items()}
        if any(_is_clear_of_zero(interval_of(tree, read)) for tree in trees):
            continue
        widest = max(box, key=lambda name: box[name].delta, default=None)
        if widest is None or box[widest].delta < NARROW or seen > MOST_BOXES:
            yield box
        else:
            waiting += [box | {widest: half} for half in _halves(box[widest])]


def _is_clear_of_zero(interval, slack=1e-9):
    """Rounding is far below the slack."""
    return interval.a > slack or interval.b < -slack


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


def _nearby(box):
    """The simplest fractions in a narrow box, as a setting."""
    setting = {}
    for name, value in box.items():
        if name.endswith(BEFORE):
            name = name.replace(BEFORE, "_prev")
        if not isinstance(value, sp.Expr):
            value = sp.Rational(Fraction(float(value.mid)).limit_denominator(12))
        setting[name] = value
    return setting


# --- Why there is none ------------------------------------------------------------------------------------------------


def _reason(cell, behaviour):
    """Which demand no gates meet, in one line."""
    old = cell.old_state
    parts = shares(cell)
    if parts is None:
        wanted = "equal" if behaviour == "keep_state" else "be free of"
        return f"no constant gates let the new state {cell.state} {wanted} {old}"
    kept, taken = (sp.factor(share.xreplace(gate_values(cell, {}))) for share in parts)
    wanted = 1 if behaviour == "keep_state" else 0
    if _never(cell, kept - wanted):
        return f"the share of {old} in the new state is {kept}, which is never {wanted}"
    if behaviour == "keep_state":
        if _never(cell, taken):
            return f"the share of the candidate in the new state is {taken}, which is never 0"
        return f"the share of {old} is {kept}, and 1 only where that of the candidate, {taken}, is not 0"
    if not cell.candidate.has(symbols("x")):
        return "the candidate does not read x"
    if _never(cell, sp.cancel(kept / taken)):
        return f"the share of {old} is {kept}, and 0 only where that of the candidate, {taken}, is 0 too"
    return f"the candidate is {cell.candidate}, and brings the old state in wherever the state itself forgets it"


def _never(cell, formula):
    """Is a formula of gates never 0? True is proved."""
    return not list(_not_ruled_out([formula], _whole_box(cell)))


# --- What holds for all gates -----------------------------------------------------------------------------------------


def _reads_the_past(cell):
    """Property: does a gate read the past?"""
    reading = [name for name in cell.gate_names if _past_of(cell, cell.gates[symbols(name)])]
    if reading:
        told = ", ".join(f"{name} reads {_past_of(cell, cell.gates[symbols(name)])}" for name in reading)
        return Property(True, None, told)
    return Property(False, None, "the gates read x alone" if cell.gates else "there is no gate")


def _not_weights(formula):
    return [symbol for symbol in formula.free_symbols if not is_weight(symbol)]


def _past_of(cell, formula):
    """What a formula reads of the step before, through other gates too, in words; empty for nothing."""
    read = _written_out(cell, formula).free_symbols
    return " and ".join(past for past in ("h_prev", "c_prev") if symbols(past) in read)


def _written_out(cell, formula):
    """A formula with the equations of gates and candidate put in, so that weights, x and the past are left."""
    formulas = dict(cell.formulas())
    for name, _ in reversed(cell.lines):
        if name not in ("h", "c"):
            formula = formula.xreplace({symbols(name): formulas[name]})
    return formula


def _linear(cell):
    """Property: is the new state an affine function of the old one, gates and candidate included?"""
    old = cell.old_state
    new = with_output(cell, {}, _written_out(cell, cell.state))
    for name, formula in cell.gates.items():  # those of the step before, in what that step put out
        earlier = one_unit(_written_out(cell, formula))
        earlier = earlier.xreplace({read: before(read) for read in _not_weights(earlier)})
        new = new.xreplace({before(name): earlier})
    past = [old, before(symbols("h_prev")), before(symbols("c_prev"))]
    slopes = [sp.diff(sp.expand(new), symbol) for symbol in past]
    if not any(slope.has(*past) for slope in slopes):
        return Property(True, None, f"the new state is A {old} + B, where A and B read x alone")
    reading = _reads_the_past(cell)
    if reading.possible:
        return Property(False, None, reading.why)
    if _past_of(cell, cell.candidate):
        return Property(False, None, f"the candidate is {cell.candidate}, which is no straight line in the past")
    return Property(False, None, f"the new state is {cell.state}, which is no straight line in {old}")


def _bounded(cell):
    """Property: does the state stay within a bound, from the zero state on?"""
    for attempt in (_bounded_at_once, _bounded_by_shares):
        found = attempt(cell)
        if found is not None:
            return found
    return _bounded_by_itself(cell)


def _largest(cell, formula, **known):
    """A bound of the absolute value of a formula, with the gates within their ranges; infinite if there is none."""
    interval = values_of(formula, gate_intervals(cell) | known)
    return float(abs(interval).b)


def _bounded_at_once(cell):
    """The state's own formula has a bound, whatever the old state was."""
    bound = _largest(cell, cell.full_state)
    if bound < math.inf:
        return Property(True, None, f"|{cell.memory}| is at most {bound:g}: the new state is {cell.state}")
    return None


def _bounded_by_shares(cell):
    """The state is shared out between the old one and the candidate."""
    parts = shares(cell)
    if parts is None:
        return None
    kept, taken = (share.xreplace(gate_values(cell, {})) for share in parts)
    bound = _largest(cell, cell.candidate)
    if not _is_mean(cell, kept, taken):
        return _bounded_at_corners(cell, kept, taken, bound)
    between = "the new state lies between the old one and the candidate"
    if bound == math.inf:
        return Property(False, None, f"{between} {cell.candidate}, which has no bound")
    return Property(True, None, f"|{cell.memory}| is at most {bound:g}: {between}")


def _is_mean(cell, kept, taken):
    """Are both shares never negative, and their sum 1?"""
    reached = gate_intervals(cell)
    positive = all(values_of(share, reached).a >= 0 for share in (kept, taken))
    return positive and same(kept + taken, sp.S.One)


def _bounded_at_corners(cell, kept, taken, bound):
    """|new| <= |kept| |old| + |taken| |g|: in each gate by itself a straight line, so a corner of the box is the worst.

    A common denominator changes nothing, as long as it keeps its sign.
    """
    gates = sorted(kept.free_symbols | taken.free_symbols, key=str)
    top, bottom = sp.fraction(sp.together(kept + symbols("g") * taken))
    limits, signs = [0.0], set()
    for corner in _corners(cell, gates):
        sign = sp.sign(bottom.xreplace(corner))
        if sign == 0:
            continue
        signs.add(sign)
        limit = _limit(abs(kept.xreplace(corner)), abs(taken.xreplace(corner)), bound)
        if limit == math.inf:
            told = " and ".join(f"{gate} = {number}" for gate, number in corner.items()) or "no gate in the way"
            new = cell.state.xreplace(gate_values(cell, {gate.name: number for gate, number in corner.items()}))
            return Property(False, None, f"with {told} the new state is {new}, and grows without a bound")
        limits.append(limit)
    straight = all(sp.diff(part, gate, 2) == 0 for part in (top, bottom) for gate in gates)
    if straight and len(signs) == 1 and all(gate_intervals(cell)[gate.name].delta < math.inf for gate in gates):
        return Property(True, None, f"|{cell.memory}| is at most {max(limits):g}, with gates at their limits")
    return None


def _corners(cell, gates):
    """Dicts from gate to one of its ends."""
    ends = [_ends(gate_intervals(cell)[gate.name]) for gate in gates]
    for corner in itertools.product(*ends):
        yield dict(zip(gates, corner, strict=True))


def _limit(kept, taken, bound):
    """Where s = kept * s + taken * bound ends, from 0."""
    if kept > 1 or (kept == 1 and taken != 0):
        return math.inf
    return float(taken) * bound / (1 - float(kept)) if taken != 0 else 0.0


def _ends(interval):
    """Both ends as numbers; a gate without a limit gets well past 1."""
    low, high = max(interval.a, -2), min(interval.b, 2)
    return sp.nsimplify(float(low)), sp.nsimplify(float(high))


def _bounded_by_itself(cell):
    """A state within the bound of its candidate stays there; otherwise nothing is known."""
    bound = _largest(cell, cell.candidate)
    if 0 < bound < math.inf:
        old = {cell.old_state.name: intervals.mpf([-bound, bound])}
        if _largest(cell, cell.full_state, **old) <= bound:
            return Property(True, None, f"|{cell.memory}| is at most {bound:g}: within it, the state stays there")
    return Property(False, None, f"the ranges of its parts put no bound on {cell.state}")
