"""A cell whose gates are held at constant numbers: its update, and what it does, whatever else may be.

Because constants commute with matrices, a layer of one unit with one input tells the same as a wide one. All that a
setting leaves open may be any number: the input, the weights, the old state, a gate that is left free.
"""

import random
from collections.abc import Mapping

import mpmath
import sympy as sp

from coursework.formulas import Cell, Tree, dot, evaluate, one_unit, sigmoid, symbols, tree_of

PRECISE = {
    "maxn": 2500,
    "strict": True,
}  # decimal digits that may be spent until a number is told from 0
BEFORE = " before"  # no name of a user's has a blank
Setting = Mapping[str, sp.Expr]


# --- What a setting may name ------------------------------------------------------------------------------------------


def setting_names(cell: Cell) -> list[str]:
    """What a setting may name: the gates, "U" for the `recurrent_weights`, "o_prev" for a gate o in the output.

    See docs/cells.md.
    """
    names = list(cell.gate_names)
    if recurrent_weights(cell):
        names.append("U")
    return names + [f"{name}_prev" for name in gates_in(cell, cell.output)]


def recurrent_weights(cell: Cell) -> list[sp.Symbol]:
    """All weights with which the candidate reads the step before: what "U" stands for.

    Matrices, and vectors such as p in p * h_prev; not those that scale the input too. See docs/cells.md.
    """
    products = [part for part in cell.candidate.atoms(sp.Mul) if not part.has(symbols("x"))]
    products += cell.candidate.atoms(dot)
    found = {
        part
        for product in products
        if _reads_past(product)
        for part in product.args
        if is_weight(part)
    }
    return sorted(found, key=str)


def _reads_past(formula):
    return bool({"h_prev", "c_prev"} & {symbol.name for symbol in formula.free_symbols})


def is_weight(part: sp.Expr) -> bool:
    """Is a part of a formula a single weight? See docs/cells.md."""
    return part.is_Symbol and part.name[0] in "WUbp"


def gates_in(cell: Cell, formula: sp.Expr | None) -> list[str]:
    """Names of the gates in a formula, in the cell's order; none if there is no formula. See docs/cells.md."""
    found = set() if formula is None else {symbol.name for symbol in formula.free_symbols}
    return [name for name in cell.gate_names if name in found]


def follows(cell: Cell, gate: str) -> bool:
    """Is a gate given by other gates alone, such as 1 - f? Then nothing can hold it at a value of its own."""
    reads = {symbol.name for symbol in cell.gates[symbols(gate)].free_symbols}
    return reads <= set(cell.gate_names)


def gate_values(cell: Cell, setting: Setting) -> dict[sp.Symbol, sp.Expr]:
    """What each gate is under a setting: a number, itself if it is free, or a formula of gates that it follows from.

    See docs/cells.md.
    """
    values: dict[sp.Symbol, sp.Expr] = {}
    for name in _in_order(cell):
        gate = symbols(name)
        if follows(cell, name):
            values[gate] = cell.gates[gate].xreplace(values)
        else:
            values[gate] = setting.get(name, gate)
    return values


def _in_order(cell):
    """Names of the gates, each after those that it reads."""
    return [name for name, _ in cell.lines if name in cell.gate_names]


# --- The update under a setting ---------------------------------------------------------------------------------------


def candidate_under(cell: Cell, setting: Setting) -> sp.Expr:
    """The candidate of one unit, with the numbers of a setting put in."""
    return with_output(cell, setting, _candidate(cell, setting))


def state_under(cell: Cell, setting: Setting) -> sp.Expr:
    """The new state of one unit as a formula of what a setting leaves open, expanded."""
    values = gate_values(cell, setting) | {symbols("g"): _candidate(cell, setting)}
    return with_output(cell, setting, cell.state.xreplace(values))


def _candidate(cell, setting):
    values = gate_values(cell, setting)
    if setting.get("U") == 0:
        values |= dict.fromkeys(recurrent_weights(cell), sp.S.Zero)
    return cell.candidate.xreplace(values)


def with_output(cell, setting, formula):
    """A formula in which h_prev is what the step before put out, if that is something else than the state."""
    if cell.memory == "c":
        formula = formula.xreplace({symbols("h_prev"): _output_before(cell, setting)})
    return sp.expand(
        one_unit(formula), multinomial=False
    )  # a power stays one, and shows that it is monotone


def _output_before(cell, setting):
    """h_prev by the output's formula. A gate that is constant was the same in the step before, unless that is told."""
    values = {read: before(read) for read in symbols("x h_prev c_prev")}
    values[symbols("c")] = symbols("c_prev")
    for gate, value in gate_values(cell, setting).items():
        earlier = {free: before(free) for free in value.free_symbols}
        name = f"{gate.name}_prev"
        values[gate] = setting.get(name, value.xreplace(earlier))
    return cell.output.xreplace(values)


def before(symbol: sp.Symbol) -> sp.Symbol:
    """The same symbol in the step before. See docs/cells.md."""
    return sp.Symbol(f"{symbol.name}{BEFORE}", real=True)


# --- The decisions ----------------------------------------------------------------------------------------------------


def holds(cell: Cell, behaviour: str, setting: Setting) -> bool:
    """Does the cell show a behaviour under a setting, whatever the setting leaves open?

    Args:
        cell: whose update is meant.
        behaviour: "keep_state": the new state equals the old one, which may be any number. "forget": it depends on x
            and weights alone. "store_input": it does, and is a strictly monotone function of the candidate's input.
        setting: dict from a name in `setting_names` to a SymPy number.

    See docs/cells.md.
    """
    new = state_under(cell, setting)
    if is_undefined(new):
        return False
    if behaviour == "keep_state":
        return same(new, cell.old_state)
    if not independent(new):
        return False
    return behaviour == "forget" or is_injective(new)


def is_undefined(formula: sp.Expr) -> bool:
    """Is a formula no number, such as f / (f + i) with both gates at 0? See docs/cells.md."""
    return formula.has(sp.nan, sp.zoo, sp.oo)


def independent(formula: sp.Expr) -> bool:
    """Does a formula depend on x and weights alone, and on no free gate and on nothing that was?"""
    loose = [
        symbol for symbol in formula.free_symbols if not is_weight(symbol) and symbol.name != "x"
    ]
    return same(formula, formula.xreplace({symbol: before(symbol) for symbol in loose}))


def same(one: sp.Expr, other: sp.Expr) -> bool:
    """Are two formulas equal for all values of their symbols? 'No' comes from a point at which they differ."""
    difference = one - other
    if difference == 0:
        return True
    if any(_is_clearly_not_zero(difference.xreplace(point)) for point in _points(difference, 2)):
        return False
    difference = sp.expand(difference)
    if difference == 0:
        return True
    if any(differs_from_zero(difference.xreplace(point)) for point in _points(difference)):
        return False
    return sp.simplify(difference) == 0


def _is_clearly_not_zero(number):
    near = number.evalf(15)
    return bool(near.is_comparable and abs(near) > 1e-6)


def differs_from_zero(number: sp.Expr) -> bool:
    """Is a number surely not 0?"""
    try:
        return bool(number.evalf(5, **PRECISE) != 0)
    except sp.core.evalf.PrecisionExhausted:
        return False


def _points(formula, count=12):
    """Fractions for the symbols of a formula, the same in each run: in [0, 1] for gates, in [-4, 4] for the rest."""
    chance = random.Random(0)
    free = sorted(formula.free_symbols, key=str)
    for _ in range(count if free else 1):
        point = {}
        for symbol in free:
            number = sp.Rational(chance.randint(1, 63), 64)
            point[symbol] = number if _is_gate(symbol) else 8 * number - 4
        yield point


def _is_gate(symbol):
    name = symbol.name.split()[0]
    return not is_weight(symbol) and name not in ("x", "h_prev", "c_prev")


def is_injective(formula: sp.Expr) -> bool:
    """Is a formula strictly monotone in x? Weights are what they are in general: not 0, and of any sign."""
    return direction(formula) not in (None, 0)


INCREASING = (sp.tanh, sigmoid, sp.exp, sp.log)


def without_outer(formula: sp.Expr) -> sp.Expr:
    """What stands inside tanh, a cube and other functions that take different numbers to different ones.

    See docs/cells.md.
    """
    factor, rest = formula.as_coeff_Mul()
    if isinstance(rest, INCREASING) or (rest.is_Pow and _is_monotone_power(rest)):
        return without_outer(rest.args[0])
    return rest if factor != 0 else formula


def direction(formula: sp.Expr) -> sp.Expr | None:
    """A factor with the sign of the slope in x: 0 if x is not there, None if the sign may change.

    tanh(W x + b) has the direction W. See docs/cells.md.
    """
    x = symbols("x")
    if not formula.has(x):
        return sp.S.Zero
    if formula == x:
        return sp.S.One
    if sp.diff(formula, x, 2) == 0:  # a straight line
        return sp.diff(formula, x)
    if isinstance(formula, INCREASING):
        return direction(formula.args[0])
    if formula.is_Pow and _is_monotone_power(formula):
        slope = direction(formula.base)
        return None if slope is None else sp.sign(formula.exp) * slope
    if formula.is_Mul:
        constant, rest = formula.as_independent(x, as_Add=False)
        slope = None if rest.is_Mul else direction(rest)
        return None if slope is None else constant * slope
    if formula.is_Add:
        return _common_direction([part for part in formula.args if part.has(x)])
    return None


def _is_monotone_power(formula):
    """x**3, or any power of what is positive."""
    base, exponent = formula.args
    return exponent.is_number and (bool(base.is_positive) or (exponent.is_odd and exponent > 0))


def _common_direction(parts):
    """The direction of a sum: that of its parts, if they all go the same way."""
    slopes = [slope for part in parts if (slope := direction(part)) is not None]
    if len(slopes) < len(parts):
        return None
    agree = all(sp.cancel(slope / slopes[0]).is_positive for slope in slopes)
    return slopes[0] if agree else None


# --- Shares and ranges ------------------------------------------------------------------------------------------------


def shares(cell: Cell) -> tuple[sp.Expr, sp.Expr] | None:
    """Shares (kept, taken) of a new state that is kept * old state + taken * candidate, as formulas of gates.

    None for a state of any other form, such as tanh(f h_prev + i g). See docs/cells.md.
    """
    old, g = cell.old_state, symbols("g")
    kept = sp.diff(cell.state, old)
    taken = sp.diff(cell.state, g)
    read = kept.free_symbols | taken.free_symbols
    rest = cell.state.xreplace({old: sp.S.Zero, g: sp.S.Zero})
    if read <= set(cell.gates) and sp.simplify(rest) == 0:
        return kept, taken
    return None


intervals = mpmath.MPIntervalContext()  # of our own: mpmath.iv keeps its precision
REAL = intervals.mpf(["-inf", "inf"])
ON_INTERVALS = {
    "tanh": lambda a: 1 - 2 / (intervals.exp(2 * a) + 1),
    "sigmoid": lambda a: 1 / (1 + intervals.exp(-a)),
    "exp": intervals.exp,
    "log": intervals.log,
    "sin": intervals.sin,
    "cos": intervals.cos,
    "abs": abs,
    "maximum": lambda a, b: _end_by_end(max, a, b),
    "minimum": lambda a, b: _end_by_end(min, a, b),
    "dot": lambda matrix, vector: REAL,
}


def _end_by_end(choose, a, b):
    a, b = intervals.mpf(a), intervals.mpf(b)
    return intervals.mpf([choose(a.a, b.a), choose(a.b, b.b)])


def values_of(formula: sp.Expr, known: Mapping) -> mpmath.ctx_iv.ivmpf:
    """An interval that holds all values of a formula; a symbol that is not known may be any number.

    See docs/cells.md.
    """
    values = {symbol.name: REAL for symbol in formula.free_symbols} | dict(known)
    return interval_of(tree_of(formula), values)


def interval_of(tree: Tree, values: Mapping) -> mpmath.ctx_iv.ivmpf:
    """The same for a tree of `tree_of`, and an interval for each symbol. See docs/cells.md."""
    return intervals.mpf(1) * evaluate(tree, values, ON_INTERVALS)


def gate_range(cell: Cell, gate: str) -> tuple[float, float]:
    """Least and largest number at which a gate can be held: the limits of its formula, 0 and 1 for a sigmoid.

    See docs/cells.md.
    """
    reached = gate_intervals(cell)[gate]
    return float(reached.a), float(reached.b)


def gate_intervals(cell: Cell) -> dict[str, mpmath.ctx_iv.ivmpf]:
    """The same for all gates, as intervals. See docs/cells.md."""
    known: dict[str, mpmath.ctx_iv.ivmpf] = {}
    for name in _in_order(cell):
        known[name] = values_of(cell.gates[symbols(name)], known)
    return known
