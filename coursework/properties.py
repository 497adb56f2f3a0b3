"""What a cell can do, decided from its equations: store its input, keep its state, forget it, stay bounded."""

import dataclasses
import itertools
import math
from fractions import Fraction

import sympy as sp

from coursework.cells import as_cell
from coursework.formulas import Cell, one_unit, symbols
from coursework.impossible import is_never_zero, settings_left, worth_a_proof
from coursework.settings import (
    BEFORE,
    before,
    follows,
    gate_intervals,
    gate_values,
    gates_in,
    holds,
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
    setting: dict[str, int | float | Fraction] | None
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

    See docs/cells.md. Notebook 4.
    """
    cell = as_cell(cell)
    found = {
        behaviour: can(cell, behaviour) for behaviour in ("store_input", "keep_state", "forget")
    }
    return found | {
        "bounded": _bounded(cell),
        "linear": _linear(cell),
        "reads_past": _reads_the_past(cell),
    }


# --- Is there a setting? ----------------------------------------------------------------------------------------------


def can(cell: Cell, behaviour: str) -> Property:
    """The Property of "store_input", "keep_state" or "forget" alone, for `practice`. See docs/site.md."""
    for setting in worth_a_proof(cell, behaviour, _likely_settings(cell)):
        if holds(cell, behaviour, setting):
            return _with_setting(cell, behaviour, _without_needless(cell, behaviour, setting))
    left = list(settings_left(cell, behaviour))
    if not left:
        return Property(False, None, _reason(cell, behaviour))
    different = {str(setting): setting for setting in left}
    for setting in list(different.values())[:20]:
        if holds(cell, behaviour, setting):
            return _with_setting(cell, behaviour, _without_needless(cell, behaviour, setting))
    return Property(
        False,
        None,
        "not decided: no setting that was tried does it, and not all could be ruled out",
    )


def _with_setting(cell, behaviour, setting):
    old, new = cell.old_state, state_under(cell, setting)
    whatever = {
        "store_input": f"an injective function of the input, and nothing of {old} is left",
        "keep_state": "whatever x is",
        "forget": f"whatever {old} was",
    }
    numbers = {name: _plain(value) for name, value in setting.items()}
    shown = str(new).replace(BEFORE, "_prev")
    return Property(True, numbers, f"the new state is {shown}, {whatever[behaviour]}")


def _plain(number):
    """An int, a float if that is exact, or else a fraction."""
    if number.is_Integer:
        return int(number)
    exact = Fraction(number.p, number.q)
    return float(exact) if Fraction(float(exact)) == exact else exact


def _likely_settings(cell):
    """Settings of all gates at likely numbers: first with the gates of the output open, then with any."""
    numbers = {
        name: _likely_numbers(cell, name) for name in cell.gate_names if not follows(cell, name)
    }
    in_output = gates_in(cell, cell.output)
    with_open_output = numbers | {
        name: [sp.S.One] for name in in_output if sp.S.One in numbers.get(name, ())
    }
    extras: list[dict] = [{}]
    if "U" in setting_names(cell):
        extras.append({"U": sp.S.Zero})
    for extra in extras:
        yield from _settings(with_open_output, extra)
    for name in in_output:
        extras += [{f"{name}_prev": number} for number in (sp.S.Zero, sp.S.One)]
    for extra in extras:
        yield from _settings(numbers, extra)


def _settings(choices, extra):
    """All settings that take one of the numbers for each gate."""
    for numbers in itertools.product(*choices.values()):
        yield dict(zip(choices, numbers, strict=True)) | extra


def _likely_numbers(cell, gate):
    reached = gate_intervals(cell)[gate]
    return [
        number for number in (sp.S.One, sp.S.Zero, sp.S.Half, -sp.S.One) if float(number) in reached
    ]


def _without_needless(cell, behaviour, setting):
    """The setting without the names that may as well be anything: free, 0 or 1."""
    for name in list(setting):
        fewer = {other: value for other, value in setting.items() if other != name}
        variants = [fewer, fewer | {name: sp.S.Zero}, fewer | {name: sp.S.One}]
        if all(holds(cell, behaviour, variant) for variant in variants):
            setting = fewer
    return setting


# --- Why there is none ------------------------------------------------------------------------------------------------


def _reason(cell, behaviour):
    """Which demand no gates meet, in one line."""
    old = cell.old_state
    parts = shares(cell)
    if parts is None:
        missed = "equal" if behaviour == "keep_state" else "be free of"
        return f"no constant gates let the new state {cell.state} {missed} {old}"
    kept, taken = (sp.factor(share.xreplace(gate_values(cell, {}))) for share in parts)
    wanted = 1 if behaviour == "keep_state" else 0
    if is_never_zero(cell, kept - wanted):
        return f"the share of {old} in the new state is {kept}, which is never {wanted}"
    if behaviour == "keep_state":
        if is_never_zero(cell, taken):
            return f"the share of the candidate in the new state is {taken}, which is never 0"
        return f"the share of {old} is {kept}, and 1 only where that of the candidate, {taken}, is not 0"
    if not cell.candidate.has(symbols("x")):
        return "the candidate does not read x"
    if is_never_zero(cell, sp.cancel(kept / taken)):
        return f"the share of {old} is {kept}, and 0 only where that of the candidate, {taken}, is 0 too"
    return f"where the share of {old}, {kept}, is 0, the candidate {cell.candidate} reads the past, or lets no input in"


# --- What holds for all gates -----------------------------------------------------------------------------------------


def _reads_the_past(cell):
    """Property: does a gate read the past?"""
    told = []
    for gate, formula in cell.gates.items():
        past = _past_of(cell, formula)
        if past:
            told.append(f"{gate} reads {past}")
    if told:
        return Property(True, None, ", ".join(told))
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
    if all(_is_straight(new, symbol, past) for symbol in past):
        return Property(True, None, f"the new state is A {old} + B, where A and B read x alone")
    reading = _reads_the_past(cell)
    if reading.possible:
        return Property(False, None, reading.why)
    bent = f"the new state is {cell.state}"
    if _past_of(cell, cell.candidate):
        bent = f"the candidate is {cell.candidate}"
    return Property(False, None, f"{bent}, which is no straight line in the past")


def _is_straight(formula, symbol, past):
    """Is the slope free of the past? A formula that only looks bent is expanded before it is told so."""
    slope = sp.diff(formula, symbol)
    return same(slope, slope.xreplace({other: before(before(other)) for other in past}))


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
        return Property(
            True, None, f"|{cell.memory}| is at most {bound:g}: the new state is {cell.state}"
        )
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
        kept_here, taken_here = kept.xreplace(corner), taken.xreplace(corner)
        limit = _limit(abs(kept_here), abs(taken_here), bound)
        if limit == math.inf:
            return _growing(cell, corner)
        limits.append(limit)
    reached = gate_intervals(cell)
    is_straight = all(sp.diff(part, gate, 2) == 0 for part in (top, bottom) for gate in gates)
    is_finite = all(reached[gate.name].delta < math.inf for gate in gates)
    if is_straight and is_finite and len(signs) == 1:
        return Property(
            True, None, f"|{cell.memory}| is at most {max(limits):g}, with gates at their limits"
        )
    return None


def _growing(cell, corner):
    setting = {gate.name: number for gate, number in corner.items()}
    new = cell.state.xreplace(gate_values(cell, setting))
    told = " and ".join(f"{name} = {number}" for name, number in setting.items())
    return Property(
        False,
        None,
        f"{f'with {told}' if told else 'always'} the new state is {new}: it grows without a bound",
    )


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
    """A state within the bound of its candidate may stay there; otherwise nothing is known."""
    bound = _largest(cell, cell.candidate)
    if 0 < bound < math.inf:
        name = cell.old_state.name
        within = intervals.mpf([-bound, bound])
        if _largest(cell, cell.full_state, **{name: within}) <= bound:
            return Property(
                True,
                None,
                f"|{cell.memory}| is at most {bound:g}: within it, the state stays there",
            )
    return Property(False, None, f"the ranges of its parts put no bound on {cell.state}")
