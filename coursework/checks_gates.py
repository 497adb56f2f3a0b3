"""Checks of the answers to Q1, by mathematics: SymPy alone."""

import contextlib
import itertools
from decimal import Decimal
from fractions import Fraction

import numpy as np
import sympy as sp

from coursework.arguments import check_choice, short_repr
from coursework.equations import equations, one_unit, real_symbol, sigmoid
from coursework.verdicts import Wrong, as_verdict, kind_of, plain

MAX_BITS = 1100  # of the numerator and of the denominator of a number in an answer: enough for every 64-bit float
MAX_PARTS = 50  # of a SymPy expression in an answer


@as_verdict
def check_gates(cell, behaviour, answer, z_keeps=1):
    """Does a setting of the gates make the cell store its input (Q1.1), or keep its state (Q1.2)?

    The setting is put into the symbolic update (`equations`), and the property is decided there. Store: the new state
    does not depend on the old h or c, and is an injective function of the candidate's input W x + b. Keep: the new
    state equals the old one whatever x is. The state is c for the LSTM, h for the GRU.

    Args:
        cell: "LSTM" or "GRU" (with the reset gate before the recurrent weights, as in Cho et al. 2014).
        behaviour: "store_input" or "keep_state".
        answer: dict from gate (i, f, o or z, r) to activation, a real number of any type from 0 to 1, of `MAX_BITS`
            binary digits at most, as in all checks. Also "U", the recurrent weights of the candidate (only U = 0 says
            anything), and for the LSTM "o_prev", the output gate of the step before. What is left out is free: it may
            take any value. `...` and None: not answered yet.
        z_keeps: 1: z = 1 keeps the state (Cho et al. 2014, Keras); 0: z = 1 replaces it (Chung et al. 2014).

    Returns:
        Verdict. A wrong answer never raises.

    Raises:
        ValueError: unknown cell, behaviour or convention.
    """
    check_choice("cell", cell, ("LSTM", "GRU"))
    check_choice("behaviour", behaviour, ("store_input", "keep_state"))
    check_choice("z_keeps", z_keeps, (1, 0))
    step = equations(cell, int(z_keeps))
    gates = [symbol.name for symbol in step.gates]
    answer = plain(answer)
    values = _read_answer(answer, [*gates, "U"] + ["o_prev"] * (cell == "LSTM"))
    for name in values:
        if name != "U":
            _check_range(name, values[name], answer[name])
    if not any(name in values for name in gates):
        raise Wrong(f"not answered yet: no gate is set; the gates are {', '.join(gates)}")

    setting = {real_symbol(name): value for name, value in values.items()}
    old, g, h_prev = step.old_state, real_symbol("g"), real_symbol("h_prev")
    # The update is linear in the old state and in the candidate: new = kept * old + taken * g.
    kept_formula, taken_formula = sp.diff(step.state, old), sp.diff(step.state, g)
    kept, taken = kept_formula.subs(setting), taken_formula.subs(setting)
    keeper, taker = (next(iter(formula.free_symbols)).name for formula in (kept_formula, taken_formula))
    meaning = f"; in this convention the old state's share is {kept_formula}" if cell == "GRU" else ""

    def given(name):
        return f"{name} = {short_repr(answer[name])}" if name in values else f"{name} is left free"

    if behaviour == "keep_state":
        if kept.free_symbols:
            raise Wrong(f"{given(keeper)}, so nothing says how much of {old} survives the step")
        if _sign(kept) == 0:
            raise Wrong(f"{given(keeper)} erases {old} in a single step{meaning}")
        if _sign(1 - kept) != 0:
            raise Wrong(f"{given(keeper)} keeps less than the whole of {old} in each step: {_decay(kept)}")
        if taken.free_symbols or _sign(taken) != 0:
            raise Wrong(f"the new state still depends on the input x, which enters with the candidate: {given(taker)}")
        return
    if taken.free_symbols:
        raise Wrong(f"{given(taker)}: it could shut the input out, or change from step to step")
    if _sign(taken) == 0:
        raise Wrong(f"nothing of the current input gets into the new state: {given(taker)}{meaning}")
    if kept.free_symbols or _sign(kept) != 0:
        raise Wrong(f"the new state still depends on the old state {old}: {given(keeper)}{meaning}")
    candidate = step.candidate.subs(setting)
    if cell == "LSTM":
        candidate = candidate.subs(h_prev, values.get("o_prev", real_symbol("o_prev")) * sp.tanh(old))
    # tanh is strictly increasing, so taken * tanh(W x + b) is injective in W x + b as soon as h_prev is gone.
    if sp.diff(candidate, old) != 0:
        why = "the candidate reads h_prev, the output of the step before"
        if cell == "GRU":
            why += f" ({given('r')})"
        elif "o" in values and "o_prev" not in values:
            why += "; o only acts on the output of this step"
        raise Wrong(f"the new state still depends on the old state through the candidate: {why}")


COUNTEREXAMPLE_NAMES = ("x", "h_prev", "c_prev", "w", "u", "b", "z", "r")


@as_verdict
def check_counterexample(values):
    """Do these numbers give a GRU step that no LSTM gates can reproduce (Q1.3)?

    Both cells have one unit, the same old h, the same input and the same candidate weights; z = 1 keeps the old state.
    Right exactly when the GRU's new h lies outside the closed interval that the LSTM reaches with all gates in [0, 1]
    (`reachable_by_lstm`). Every number is taken exactly, a float as the fraction that it is, and the comparison is
    exact too. The one allowance: if h_prev or c_prev is a float, and |h_prev| exceeds tanh|c_prev| by no more than
    rounding explains, then c_prev is read as artanh(h_prev).

    Args:
        values: dict with a real number for each of x, h_prev, c_prev, w, u, b and the GRU's gates z and r in [0, 1].
            The candidate is tanh(w x + u h + b). c_prev must be consistent: h_prev = o_prev tanh(c_prev) for some
            o_prev in [0, 1].

    Returns:
        Verdict. A wrong answer never raises.
    """
    values = plain(values)
    numbers = _read_answer(values, COUNTEREXAMPLE_NAMES)
    missing = [name for name in COUNTEREXAMPLE_NAMES if name not in numbers]
    if missing:
        raise Wrong(f"not answered yet: {', '.join(missing)}")
    for name in "zr":
        _check_range(name, numbers[name], values[name])
    numbers["c_prev"] = _consistent_c(numbers, values)
    if _gru_above_lstm(numbers) <= 0 and _gru_above_lstm(_mirrored(numbers)) <= 0:
        h, (low, high) = gru_step(numbers), reachable_by_lstm(numbers)
        reach = f"[{_rounded(low)}, {_rounded(high)}]"
        why = f"the GRU's new h is {_rounded(h)}, and with suitable gates the LSTM reaches all of {reach}"
        if numbers["r"] == 1:
            why += "; with r = 1 both cells have the same candidate"
        raise Wrong(why)


def gru_step(numbers):
    """The GRU's new h (one unit, z = 1 keeps) as an exact SymPy number.

    Args:
        numbers: dict with SymPy numbers for x, h_prev, w, u, b, z, r.
    """
    return one_unit(equations("GRU").full_state).subs(_cell_symbols(numbers))


def reachable_by_lstm(numbers):
    """All that h = o tanh(f c_prev + i g) can be for gates in the closed [0, 1], with g = tanh(w x + u h_prev + b).

    f c_prev + i g fills [min(0, c_prev) + min(0, g), max(0, c_prev) + max(0, g)], and this interval contains 0. tanh is
    increasing and o only shrinks towards 0, so h fills exactly [tanh(low), tanh(high)], ends included.

    Args:
        numbers: dict with SymPy numbers for x, h_prev, c_prev, w, u, b.

    Returns:
        (low, high), exact SymPy numbers.
    """
    return -sp.tanh(_top_of_c(_mirrored(numbers))), sp.tanh(_top_of_c(numbers))


def _top_of_c(numbers):
    """Largest f c_prev + i g for gates in [0, 1]."""
    c, a = numbers["c_prev"], _pre_activation("LSTM", numbers)
    return (c if _sign(c) > 0 else sp.S.Zero) + (sp.tanh(a) if _sign(a) > 0 else sp.S.Zero)


def _gru_above_lstm(numbers):
    """Is the GRU's new h above everything the LSTM reaches? Sign: 1 above, -1 below the top, 0 equal to it."""
    h, z, a = numbers["h_prev"], numbers["z"], _pre_activation("GRU", numbers)

    def gap(a):  # 1 - tanh(a), which tells numbers apart whose tanh agree in a million digits
        return 2 / (_exp_of_twice(a.replace(sp.atanh, _log_of_artanh)) + 1)  # exp(log q) becomes q: a touch stays exact

    top = _top_of_c(numbers).replace(sp.tanh, lambda a: 1 - gap(a))
    if z == 0:  # tanh(a) against tanh(top)
        return _sign(a - top)
    # h_GRU = z h + (1 - z) tanh(a), so 1 - h_GRU = z (1 - h) + (1 - z) gap(a).
    return _sign(gap(top) - z * (1 - h) - (1 - z) * gap(a))


def _pre_activation(cell, numbers):
    """What stands inside the candidate's tanh."""
    return one_unit(equations(cell).candidate).args[0].subs(_cell_symbols(numbers))


def _mirrored(numbers):
    """The same step with x, b and the old state turned round: every h changes its sign, the gates stay."""
    return numbers | {name: -numbers[name] for name in ("x", "h_prev", "c_prev", "b") if name in numbers}


def _cell_symbols(numbers):
    """From the names in a counter-example to the symbols of the equations, where w and u are W and U."""
    names = {"w": "W", "u": "U"}
    return {real_symbol(names.get(name, name)): number for name, number in numbers.items()}


def _consistent_c(numbers, values):
    """c_prev, if h_prev = o_prev tanh(c_prev) has a solution o_prev in [0, 1] (up to the rounding of floats)."""
    h, c = numbers["h_prev"], numbers["c_prev"]
    if _sign(1 - abs(h)) <= 0:
        raise Wrong(f"h_prev = {short_repr(values['h_prev'])} is no LSTM's output: |o_prev tanh(c_prev)| stays below 1")
    if _sign(h) == 0:
        return c
    if _sign(h) != _sign(c):
        raise Wrong("h_prev and c_prev contradict each other: h_prev = o_prev tanh(c_prev) has the sign of c_prev")

    def room(h, c):  # sign of tanh|c| - |h|, by their distances from 1
        return _sign(1 - abs(h) - 2 / (_exp_of_twice(abs(c)) + 1))

    if room(h, c) > 0:
        return c
    slack = 4 * max(_rounding(values["h_prev"]), _rounding(values["c_prev"]))
    if room(h * (1 - slack), c * (1 + slack)) >= 0:
        # SymPy takes log of a number too close to 1 for 0, and atanh of a number too close to 1 for infinity.
        return sp.atanh(h) if _sign(sp.S.Half - abs(h)) > 0 else _log_of_artanh(h)
    limit = _rounded(sp.tanh(abs(c)))
    raise Wrong(f"h_prev and c_prev contradict each other: |o_prev tanh(c_prev)| is {limit} at most, |h_prev| is more")


def _exp_of_twice(a):
    """exp(2 a). SymPy makes exp(n log q) the number q**n, which must not be too long to be worked with."""
    if any(term.has(sp.log) and _sign(abs(term) - 500) > 0 for term in sp.Add.make_args(sp.expand(a))):
        raise Wrong("a logarithm is multiplied by something large; write the numbers as fractions or as floats")
    return sp.exp(2 * a)


def _log_of_artanh(h):
    """artanh(h) by its definition."""
    return sp.log((1 + h) / (1 - h)) / 2


def _rounding(value):
    """Relative rounding error of a float as an exact number; 0 for numbers that are exact."""
    if isinstance(value, np.ndarray):
        value = value.item() if value.dtype.kind == "O" else value[()]
    if isinstance(value, sp.Float):
        return sp.Rational(1, 2**value._prec)
    if isinstance(value, (float, np.floating)):
        kind = type(value) if isinstance(value, np.floating) else float
        return sp.Rational(*map(int, np.finfo(kind).eps.as_integer_ratio()))
    return sp.S.Zero


def _read_answer(answer, names):
    """dict from name to exact SymPy number; `Wrong` for everything that is no such thing."""
    if answer is None or answer is ...:
        raise Wrong("not answered yet")
    if not isinstance(answer, dict):
        raise Wrong(f"the answer is {kind_of(answer)}; a dict from name to number is needed")
    for name in answer:
        if type(name) is not str or name not in names:
            raise Wrong(f"unknown name {short_repr(name)}; the names are {', '.join(names)}")
    open_names = [name for name in names if name in answer and (answer[name] is None or answer[name] is ...)]
    if open_names:
        raise Wrong(f"not answered yet: {', '.join(open_names)}")
    return {name: exact(name, answer[name]) for name in names if name in answer}


def exact(name, value):
    """The SymPy number that a value stands for, exactly: a float is the binary fraction that it is."""
    if isinstance(value, (str, bytes)):
        raise Wrong(f"{name} is text, and text is never evaluated; write a number without quotation marks")
    if isinstance(value, np.ndarray):
        if value.ndim or isinstance(value, np.ma.MaskedArray):
            raise Wrong(f"{name} is an array of shape {value.shape}; a single number is needed")
        value = value.item() if value.dtype.kind == "O" else value[()]
    if isinstance(value, sp.Expr):
        return _exact_expression(name, value)
    whole, broken = (int, np.bool_, np.integer), (float, np.floating, Fraction, Decimal)
    if not isinstance(value, whole + broken) or isinstance(value, np.timedelta64):
        raise Wrong(f"{name} is {kind_of(value)}; a real number is needed")
    try:
        digits = 0
        if isinstance(value, Decimal) and value.is_finite() and value != 0:
            digits = max(abs(value.adjusted()), len(value.as_tuple().digits))
        if isinstance(value, whole):
            ratio = value, 1
        else:  # 330 digits are about MAX_BITS binary ones; more would take long to convert
            ratio = (0, 1) if digits > 330 or value == 0 else value.as_integer_ratio()
        numerator, denominator = map(int, ratio)
    except Exception:  # NaN, infinity, or whatever a number of the student's own raises
        raise Wrong(f"{name} = {short_repr(value)} is not a finite number") from None
    if digits > 330:
        raise Wrong(f"{name} has too many digits; a shorter number is needed")
    return _short_ratio(name, numerator, denominator)


def _short_ratio(name, numerator, denominator=1):
    """The fraction, if both parts are short enough to be worked with in no time."""
    if max(numerator.bit_length(), denominator.bit_length()) > MAX_BITS:
        raise Wrong(f"{name} has more than {MAX_BITS} binary digits; a shorter number is needed")
    return sp.Rational(numerator, denominator)


GROWING = (sp.exp, sp.sinh, sp.cosh)
ELEMENTARY = (sp.Add, sp.Mul, sp.Pow, sp.Abs, sp.log, sp.tanh, sp.atanh, sp.atan, sigmoid, *GROWING)


def _exact_expression(name, value):
    """The number that a SymPy expression stands for; `Wrong` before anything is evaluated that could take long."""
    too_involved = Wrong(f"{name} is too involved a formula; write the number as a fraction or as a float")
    parts = list(itertools.islice(sp.preorder_traversal(value), MAX_PARTS + 1))
    if len(parts) > MAX_PARTS:
        raise too_involved
    for part in parts:
        if isinstance(part, sp.Float):
            _, mantissa, exponent, _ = map(int, part._mpf_)
            if max(mantissa.bit_length() + exponent, -exponent) > MAX_BITS:
                raise Wrong(f"{name} has more than {MAX_BITS} binary digits; a shorter number is needed")
        elif part.is_Rational:
            _short_ratio(name, part.p, part.q)
    if value.free_symbols:
        raise Wrong(f"{name} is a formula with symbols; a number is needed")
    for part in parts:
        inner = itertools.islice(sp.preorder_traversal(part), 1, None)
        towers = _grows(part) and any(map(_grows, inner))
        if isinstance(part, sp.Pow):
            power = sp.Rational(part.exp) if isinstance(part.exp, sp.Float) else part.exp
            if not power.is_Rational or max(abs(power.p), power.q) > 100:
                raise too_involved
        if isinstance(part, GROWING) and part.has(sp.log):  # SymPy makes exp(n log q) the number q**n, whatever n is
            raise too_involved
        if towers or not (part.is_Atom or isinstance(part, ELEMENTARY)):
            raise too_involved
    try:
        value = value.xreplace({part: sp.Rational(part) for part in parts if isinstance(part, sp.Float)})
        finite = value.is_number and value.is_real and value.is_finite
    except ArithmeticError:  # too many digits for SymPy
        raise too_involved from None
    if value.is_Rational:
        return _short_ratio(name, value.p, value.q)
    if not finite:
        raise Wrong(f"{name} = {short_repr(value)} is not a finite real number")
    if 0 in (_sign(value), _sign(1 - value)):
        raise Wrong(f"{name} = {short_repr(value)} can't be told from 0 or from 1; write it as a fraction")
    if _sign(2**MAX_BITS - abs(value)) <= 0 or _sign(abs(value) - sp.Rational(1, 2**MAX_BITS)) <= 0:
        raise Wrong(f"{name} = {short_repr(value)} has too many digits; a shorter number is needed")
    return value


def _grows(part):
    """Can a part of an expression be of another order than its arguments? Towers of those take for ever."""
    if isinstance(part, sp.Pow):
        return not (part.exp.is_Rational and abs(part.exp) <= 1)
    return isinstance(part, GROWING)


def _check_range(name, number, value):
    if _sign(number) < 0 or _sign(1 - number) < 0:
        raise Wrong(f"{name} = {short_repr(value)} lies outside [0, 1], where a gate's activation lives")


def _sign(number):
    """-1, 0 or 1, decided with as many digits as it takes; 0 also if 4,000 digits do not tell a number from 0."""
    if number.is_Rational:
        return int(sp.sign(number))
    for digits in (5, 50, 500, 4000):  # in a sum, SymPy looks no further than about twice the digits it is asked for
        # Suppressed: too few digits, or something that has none.
        with contextlib.suppress(ArithmeticError, NotImplementedError, TypeError):
            return int(sp.sign(number.evalf(digits, maxn=4000, strict=True)))
    return 0


def _decay(kept):
    """How fast a state fades that keeps a share below 1 per step, in words."""
    if _sign(1 - kept - sp.Rational(1, 1000)) < 0:
        return f"half of it is gone after about {_rounded(sp.log(2) / (1 - kept), 2)} steps"
    return f"after 28 steps (rows) a share of {_rounded(kept**28, 2)} is left"


def _rounded(number, digits=4):
    return str(sp.N(number, digits))
