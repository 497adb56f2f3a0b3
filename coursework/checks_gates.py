"""Checks of the answers to Q1, by mathematics: SymPy, exact fractions and intervals."""

import functools
import math
import operator
import sys
from collections import deque
from decimal import Decimal
from fractions import Fraction
from numbers import Integral, Number, Real
from typing import Any

import mpmath
import sympy as sp

from coursework import settings
from coursework.cells import equations
from coursework.formulas import Cell, one_unit, symbols
from coursework.verdicts import Verdict, Wrong, as_verdict, kind_of
from coursework.words import check_choice, short_repr

MAX_BITS = 1100  # of the numerator and of the denominator of a number in an answer: enough for every 64-bit float
LIKE_A_BIAS, MOST_BIAS = 3, 1000  # an activation that is typed in is hardly as far from [0, 1]
DIGITS = 1000  # decimal digits of what is no fraction
# What an answer may be made of, beside NumPy's and SymPy's arrays; teaching/values.py takes all of it to the grader.
SEQUENCES = (list, tuple, deque)
MOST_ENTRIES = 100_000
MOST_OPERATIONS = 100  # of a formula for a gate
intervals = mpmath.MPIntervalContext()  # of our own: mpmath.iv keeps its precision
intervals.dps = DIGITS
judged = functools.partial(as_verdict, needed="a dict from name to number")


def check_gates(cell: Cell | str, behaviour: str, answer: dict, z_keeps: int = 1) -> Verdict:
    """Does a setting of the gates make the cell store its input (Q1.1), or keep its state (Q1.2)?

    The setting is put into the symbolic update (`equations`), and the property is decided there (`settings.holds`).
    Store: the new state does not depend on the old h or c, and is an injective function of the candidate's input
    W x + b. Keep: the new state equals the old one, which may be any number, whatever x is. The state is c for a cell
    with an output formula, such as the LSTM, and h for the others, such as the GRU.

    Args:
        cell: a name in `CELLS` (the GRU has its reset gate before the recurrent weights, as in Cho et al. 2014), or a
            Cell of one's own.
        behaviour: "store_input" or "keep_state".
        answer: dict from gate (i, f, o or z, r) to activation, a real number of any type from 0 to 1 (or what else the
            gate's formula reaches), or an array whose entries all agree. Also "U", all weights with which the candidate
            reads the step before (only U = 0 says anything), and for a gate o in the output "o_prev", the same gate in
            the step before; without it, o stands for both. What is left out is free: it may take any value, unless it
            follows from other gates. `...` and None: not answered yet.
        z_keeps: 1: z = 1 keeps the GRU's state (Cho et al. 2014, Keras); 0: z = 1 replaces it (Chung et al. 2014).

    Raises:
        ValueError: unknown cell, behaviour or convention; never for a wrong answer.

    Notebook 1, Q1.1 and Q1.2.
    """
    check_choice("behaviour", behaviour, ("store_input", "keep_state"))
    check_choice("z_keeps", z_keeps, (1, 0))
    step = equations(cell, int(z_keeps))
    has_conventions = equations(cell, 1) != equations(cell, 0)
    return _judge_gates(step, behaviour, answer, has_conventions)


@judged
def _judge_gates(step, behaviour, answer, has_conventions):
    values = _read_answer(answer, settings.setting_names(step))
    for name in values:
        if name != "U":
            _check_held(step, name, values, answer)
    if settings.holds(step, behaviour, values):
        return
    if step.gates and not any(name in values for name in step.gate_names):
        raise Wrong(f"not answered yet: no gate is set; the gates are {', '.join(step.gate_names)}")
    Explanation(step, answer, values, has_conventions).tell(behaviour)


def check_half(cell: Cell, behaviour: str, answer: dict) -> Verdict:
    """Does a setting do the first half of it: keep the whole of the old state, or shut all of it out?

    Of a cell whose state is shared out between the old one and the candidate, see `Explanation`. Where no setting does
    both halves, one that does the first shows why.
    """
    return _judge_half(cell, behaviour, answer)


@judged
def _judge_half(cell, behaviour, answer):
    values = _read_answer(answer, settings.setting_names(cell))
    for name in values:
        if name != "U":
            _check_held(cell, name, values, answer)
    explanation = Explanation(cell, answer, values, has_conventions=False)
    kept = sp.expand(explanation.shares[0].xreplace(explanation.setting))
    half = explanation.kept_whole if behaviour == "keep_state" else explanation.shut_out
    half(kept)


def _check_held(step, name, values, answer):
    """Can the equations hold this gate at the answer's value?"""
    gate = name if name in step.gate_names else name.removesuffix("_prev")
    shown = f"{name} = {short_repr(answer[name])}"
    if settings.follows(step, gate):
        _check_follower(step, name, gate, values, shown)
        return
    _check_range(values[name], shown, *settings.gate_range(step, gate))


def _check_follower(step, name, gate, values, shown):
    """A gate that is a formula of others is what that formula says."""
    symbol = symbols(gate)
    equation = f"{gate} = {step.gates[symbol]}"
    settled = settings.gate_values(step, values)[symbol]
    if name != gate or settled.free_symbols:
        raise Wrong(f"{name} is no free choice: {equation} follows from other gates; set those")
    if not settings.same(settled, values[name]):
        raise Wrong(f"{shown} contradicts {equation}, which is {settled} here")


class Explanation:
    """Why a setting does not have a property: the first requirement that fails, as a hint in one line.

    Most states are shared out between the old state and the candidate: new = kept * old + taken * g, with shares that
    hold gates alone. Then the hint names the gate; for other states it shows the new state.
    """

    def __init__(self, step, answer, values, has_conventions):
        self.step, self.answer, self.values = step, answer, values
        self.old = step.old_state
        self.setting = settings.gate_values(step, values)
        found = settings.shares(step)
        self.has_shares = found is not None
        self.shares = found or (sp.S.Zero, sp.S.Zero)
        self.meaning = ""
        if self.has_shares and has_conventions:
            self.meaning = f"; in this convention the old state's share is {self.shares[0]}"

    def tell(self, behaviour):
        """Raise Wrong with the hint."""
        new = settings.state_under(self.step, self.values)
        if settings.is_undefined(new):
            raise Wrong("with this setting the new state is 0/0, which is no number")
        if self.has_shares:
            kept_and_taken = [sp.expand(share.xreplace(self.setting)) for share in self.shares]
            requirements = self.keeping if behaviour == "keep_state" else self.storing
            requirements(*kept_and_taken)
        wanted = f"not {self.old} whatever x is"
        if behaviour == "store_input":
            wanted = "no injective function of the candidate's input alone"
        shown = short_repr(new).replace(settings.BEFORE, "_prev")
        raise Wrong(f"with this setting the new state is {shown}, {wanted}")

    def keeping(self, kept, taken):
        """What keeping the state asks of both shares."""
        self.kept_whole(kept)
        if not settings.same(taken, 0):
            subject = self.given(self.shares[1], taken)
            raise Wrong(
                f"the new state still depends on the input x, which enters with the candidate: {subject}"
            )

    def kept_whole(self, kept):
        """The old state's share has to be 1."""
        kept_formula = self.shares[0]
        if kept.free_symbols:
            subject = self.given(kept_formula, kept)
            raise Wrong(f"{subject}, so nothing says how much of {self.old} survives the step")
        subject = self.given(kept_formula)
        s = "" if " and " in subject else "s"
        if settings.same(kept, 0):
            raise Wrong(f"{subject} erase{s} {self.old} in a single step{self.meaning}")
        if not 0 < kept <= 1:
            share = str(kept.n(4))
            raise Wrong(
                f"{subject} let{s} {self.old} grow or change its sign: its share is {share}"
            )
        if not settings.same(kept, 1):
            pace = _decay(kept)
            raise Wrong(f"{subject} keep{s} less than the whole of {self.old} in each step: {pace}")

    def storing(self, kept, taken):
        """What storing the input asks of both shares, and then of the candidate."""
        taken_formula = self.shares[1]
        if taken.free_symbols:
            gates = self.given(taken_formula, taken)
            raise Wrong(f"{gates}: it could shut the input out, or change from step to step")
        if settings.same(taken, 0):
            gates = self.given(taken_formula)
            raise Wrong(
                f"nothing of the current input gets into the new state: {gates}{self.meaning}"
            )
        self.shut_out(kept)
        if not settings.independent(settings.candidate_under(self.step, self.values)):
            self.candidate_reads()

    def shut_out(self, kept):
        """The old state's share has to be 0."""
        if not settings.same(kept, 0):
            gates = self.given(self.shares[0], kept)
            raise Wrong(
                f"the new state still depends on the old state {self.old}: {gates}{self.meaning}"
            )

    def candidate_reads(self):
        """The candidate brings in what should be out."""
        candidate = self.step.candidate
        has_gates = any(gate in candidate.free_symbols for gate in self.step.gates)
        named = f" ({self.given(candidate)})" if has_gates else ""
        steps_before = {
            "h_prev": "the output of the step before",
            "c_prev": "the state of the step before",
        }
        for past, what in steps_before.items():
            if symbols(past) in candidate.free_symbols:
                why = f"the candidate reads {past}, {what}{named}"
                raise Wrong(
                    f"the new state still depends on the old state through the candidate: {why}"
                )

    def given(self, formula, settled=None):
        """What the answer says of the gates in a formula; of those that are left free alone, if some are."""
        gates = [gate for gate in self.step.gates if gate in formula.free_symbols]
        if settled is not None and settled.free_symbols:
            gates = [gate for gate in gates if self.setting[gate].free_symbols]
        if not gates:
            return f"the equation {self.step.memory} = {self.step.state}"
        return " and ".join(map(self.told, gates))

    def told(self, gate):
        """One gate, as the answer has it."""
        if gate.name in self.values:
            return f"{gate} = {short_repr(self.answer[gate.name])}"
        value = self.setting[gate]
        if value == gate:
            return f"{gate} is left free"
        if value.is_Rational and value.q > 1000:  # of a float
            value = value.n(4)
        return f"{gate} = {value}"


COUNTEREXAMPLE_NAMES = ("x", "h_prev", "c_prev", "w", "u", "b", "z", "r")


def check_counterexample(values: dict) -> Verdict:
    """Do these numbers give a GRU step that no LSTM gates can reproduce (Q1.3)?

    Both cells have one unit, the same old h, the same input and the same candidate weights; z = 1 keeps the old state.
    c_prev is part of the example. Right exactly when the GRU's new h lies outside the closed interval that the LSTM
    reaches from there with all gates in [0, 1] (`reachable_by_lstm`). Fractions and floats are taken exactly, other
    numbers and tanh as intervals 1e-1000 wide; what these can't tell apart is refused. The one allowance: if h_prev or
    c_prev is a float, and |h_prev| exceeds tanh|c_prev| by no more than rounding explains, then c_prev is read as
    artanh(h_prev).

    Args:
        values: dict with a real number for each of x, h_prev, c_prev, w, u, b and the GRU's gates z and r in [0, 1].
            The candidate is tanh(w x + u h + b). c_prev must be consistent: h_prev = o_prev tanh(c_prev) for some
            o_prev in [0, 1]. A wrong answer never raises.

    Who thinks that an LSTM can always do what a GRU does, may instead give its gates f, i and o, as numbers
    or as formulas of z, r and the other names: they are refuted with numbers (`refute`).

    Notebook 1, Q1.3.
    """
    return _judge_counterexample(values)


@judged
def _judge_counterexample(values):
    if isinstance(values, dict) and values and set(values) <= set(LSTM_GATES):
        refute(values)
    numbers = _read_answer(values, COUNTEREXAMPLE_NAMES)
    missing = [name for name in COUNTEREXAMPLE_NAMES if name not in numbers]
    if missing:
        raise Wrong(f"not answered yet: {', '.join(missing)}")
    for name in "zr":
        _check_range(numbers[name], f"{name} = {short_repr(values[name])}")
    open_gate = numbers["r"] == 1
    numbers = {name: as_interval(number) for name, number in numbers.items()}
    numbers["c_prev"] = _consistent_c(numbers, values)
    h, (low, high) = gru_step(numbers), reachable_by_lstm(numbers)
    if h.b < low.a or h.a > high.b:
        return
    why = f"the GRU's new h is {_rounded(h)}, and with suitable gates the LSTM reaches all of "
    why += f"[{_rounded(low)}, {_rounded(high)}]"
    if h.a < low.b or h.b > high.a:
        why += ", whose end can't be told from it: an end counts as reached"
    if open_gate:
        why += "; with r = 1 both cells have the same candidate"
    raise Wrong(why)


LSTM_GATES = ("f", "i", "o")
# Steps of a GRU that some gates of an LSTM can do, so that none of them is a counter-example.
INNOCENT = (
    (1, Fraction(1, 2), 1, 1, 1, 0, Fraction(1, 2), Fraction(1, 2)),
    (1, Fraction(1, 2), 2, 1, 1, 0, Fraction(1, 2), Fraction(1, 2)),
    (1, Fraction(1, 4), 1, 2, 1, 0, Fraction(1, 4), 1),
    (-1, Fraction(-1, 2), -1, 1, 1, 0, 0, 1),
)


def refute(gates: dict) -> None:
    """Raise Wrong with a step in which an LSTM with these gates f, i and o does not do what the GRU does.

    A gate is a number, or a formula of the names of a counter-example. Notebook 1, Q1.3.
    """
    missing = [name for name in LSTM_GATES if gates.get(name) in (None, ...)]
    if missing:
        raise Wrong(f"not answered yet: {', '.join(missing)}")
    formulas = {name: _formula_of_gate(name, gates[name]) for name in LSTM_GATES}
    for values in INNOCENT:
        numbers = dict(zip(COUNTEREXAMPLE_NAMES, values, strict=True))
        held = {name: _at(name, formula, numbers) for name, formula in formulas.items()}
        _compare_steps(numbers, held)
    raise Wrong(
        f"the LSTM gives the GRU's output in {len(INNOCENT)} steps that were tried; is there a step in which it can't?"
    )


def _formula_of_gate(name, value):
    """A gate's formula, which reads what a counter-example names, or its number."""
    if isinstance(value, str):
        names = 'z, r = helpers.symbols("z r")'
        raise Wrong(
            f"{name} is text, and text is never evaluated; {names} makes names for formulas"
        )
    if not (isinstance(value, sp.Expr) and value.free_symbols):
        return exact(name, value)
    unknown = {symbol.name for symbol in value.free_symbols} - {*COUNTEREXAMPLE_NAMES}
    if unknown:
        known = ", ".join(COUNTEREXAMPLE_NAMES)
        raise Wrong(f"{name} reads {', '.join(sorted(unknown))}; a gate may read {known}")
    if value.count_ops() > MOST_OPERATIONS:
        raise Wrong(f"{name} is too involved a formula; a shorter one is needed")
    return value


def _at(name, formula, numbers):
    """The number that a gate's formula gives in a step."""
    values = {symbol: sp.Rational(numbers[symbol.name]) for symbol in formula.free_symbols}
    number = sp.N(formula.subs(values))
    if not number.is_Float and not number.is_Integer:
        raise Wrong(f"{name} is no real number {_where(numbers)}")
    if not 0 <= number <= 1:
        raise Wrong(f"{name} is {number:.4g}, outside [0, 1], {_where(numbers)}")
    return float(number)


def _compare_steps(numbers, held):
    """Raise Wrong unless both cells put out the same in a step."""
    exactly = {name: as_interval(sp.Rational(number)) for name, number in numbers.items()}
    gru = float(gru_step(exactly).mid)
    lstm = _lstm_step(exactly, held)
    if abs(gru - lstm) > 1e-9:
        gates = ", ".join(f"{name} = {number:.4g}" for name, number in held.items())
        raise Wrong(
            f"{_where(numbers)}, the GRU's new h is {gru:.4f};"
            f" with {gates} the LSTM's is {lstm:.4f}"
        )


def _lstm_step(exactly, held):
    """The new h of an LSTM with these gates."""
    candidate = _on_intervals(one_unit(equations("LSTM").candidate), exactly)
    state = held["f"] * exactly["c_prev"] + held["i"] * candidate
    return held["o"] * math.tanh(state.mid)


def _where(numbers):
    """A step in words."""
    return "where " + ", ".join(f"{name} = {number}" for name, number in numbers.items())


def gru_step(numbers: dict) -> mpmath.ctx_iv.ivmpf:
    """The GRU's new h (one unit, z = 1 keeps) from intervals for x, h_prev, w, u, b, z, r. Notebook 1, Q1.3."""
    return _on_intervals(one_unit(equations("GRU").full_state), numbers)


def reachable_by_lstm(numbers: dict) -> tuple[mpmath.ctx_iv.ivmpf, mpmath.ctx_iv.ivmpf]:
    """Both ends of h = o tanh(f c_prev + i g) for gates in the closed [0, 1], with g = tanh(w x + u h_prev + b).

    f c_prev + i g fills [min(0, c_prev) + min(0, g), max(0, c_prev) + max(0, g)], and this interval contains 0. tanh is
    increasing and o only shrinks towards 0, so h fills exactly [tanh(low), tanh(high)], ends included. From intervals
    for x, h_prev, c_prev, w, u, b. Notebook 1, Q1.3.
    """
    terms = numbers["c_prev"], _on_intervals(one_unit(equations("LSTM").candidate), numbers)
    high = sum(map(_positive_part, terms))
    low = -sum(_positive_part(-term) for term in terms)
    return _tanh(low), _tanh(high)


def as_interval(number: sp.Expr) -> mpmath.ctx_iv.ivmpf:
    """The smallest interval that is sure to hold a number of `exact`."""
    if number.is_Rational:
        return intervals.mpf(number.p) / number.q
    near = as_interval(sp.Rational(number.evalf(DIGITS)))
    return near * (1 + intervals.mpf([-1, 1]) * intervals.mpf(10) ** (1 - DIGITS))


def _on_intervals(formula, numbers):
    """A formula of the equations with intervals put in; W and U are called w and u in a counter-example."""
    symbols = list(formula.free_symbols)
    function = sp.lambdify(symbols, formula, modules=[{"tanh": _tanh}])
    return function(
        *(numbers[{"W": "w", "U": "u"}.get(symbol.name, symbol.name)] for symbol in symbols)
    )


def _tanh(a):
    return 1 - 2 / (intervals.exp(2 * a) + 1)


def _positive_part(a):
    return intervals.mpf([max(0, a.a), max(0, a.b)])


def _consistent_c(numbers, values):
    """c_prev, if h_prev = o_prev tanh(c_prev) has a solution o_prev in [0, 1] (up to the rounding of floats)."""
    h, c = numbers["h_prev"], numbers["c_prev"]
    if not -1 < h < 1:
        raise Wrong(
            f"h_prev = {short_repr(values['h_prev'])} is no LSTM's output: |o_prev tanh(c_prev)| stays below 1"
        )
    if h == 0:
        return c
    if not h * c > 0:
        raise Wrong(
            "h_prev and c_prev contradict each other: h_prev = o_prev tanh(c_prev) has the sign of c_prev"
        )
    if abs(h) < _tanh(abs(c)):
        return c
    slack = 4 * max(_rounding(values["h_prev"]), _rounding(values["c_prev"]))
    if (abs(h) * (1 - slack)).a <= _tanh(abs(c) * (1 + slack)).b:
        return intervals.log((1 + h) / (1 - h)) / 2  # artanh
    limit = _rounded(_tanh(abs(c)))
    raise Wrong(
        f"h_prev and c_prev contradict each other: |o_prev tanh(c_prev)| is {limit} at most, |h_prev| is more"
    )


def _rounding(value):
    """Relative rounding error of a float, or of the floats in an array; 0 for numbers that are exact."""
    value = _entries(value)[0]
    if isinstance(value, sp.Float):
        return 2.0**-value._prec
    if getattr(getattr(value, "dtype", None), "kind", "") == "f":
        import numpy as np

        return float(np.finfo(value.dtype).eps)
    return sys.float_info.epsilon if isinstance(value, float) else 0


def _read_answer(answer, names):
    """dict from name to exact SymPy number; `Wrong` for everything that is no such thing."""
    if answer is None or answer is ...:
        raise Wrong("not answered yet")
    if not isinstance(answer, dict):
        raise Wrong(f"the answer is {kind_of(answer)}; a dict from name to number is needed")
    for name in answer:
        _check_name(name, names)
    told = [name for name in names if name in answer]
    open_names = [name for name in told if answer[name] is None or answer[name] is ...]
    if open_names:
        raise Wrong(f"not answered yet: {', '.join(open_names)}")
    return {name: exact(name, answer[name]) for name in told}


def _check_name(name, names):
    is_text = isinstance(name, str)
    if not is_text and short_repr(name) in names:
        raise Wrong(f"the name {name} is {kind_of(name)}; write it as text: '{name}'")
    if is_text:
        _check_letters(name, names)
    if not is_text or name not in names:
        known = ", ".join(names) or "none"
        raise Wrong(f"unknown name {short_repr(name)}; the names are {known}")


def _check_letters(name, names):
    """Is a name one of these, but for capital letters and blanks?"""
    plain = name.strip().lower()
    for known in names:
        if plain == known.lower() and name not in names:
            raise Wrong(f"unknown name {short_repr(name)}: here it is written '{known}'")


def _entries(value):
    """The numbers in an array, a tensor, a matrix or a list, in one list; a single number stands for itself."""
    if isinstance(value, (sp.MatrixBase, sp.NDimArray)):
        value = value.tolist()
    elif hasattr(type(value), "__array__") and not isinstance(value, (sp.Basic, Number)):
        import numpy as np  # here: without arrays, tensors and tables, the checks do without NumPy

        array = np.asarray(value)
        return list((array.astype(int) if array.dtype == bool else array).flat)
    if isinstance(value, SEQUENCES):
        return [entry for part in value for entry in _entries(part)]
    return [value]


def exact(name: str, value) -> sp.Expr:
    """The SymPy number that a value stands for, exactly: a float is the binary fraction that it is.

    Arrays, matrices and lists whose entries all agree stand for that entry. What is returned is a fraction, or a number
    that is known to be none of 0 and 1. Notebook 1, Q1.3.
    """
    entries = _entries(value)
    if len(entries) > MOST_ENTRIES:
        raise Wrong(f"{name} has more than {MOST_ENTRIES} entries; a single number is enough")
    numbers = {_exact_number(name, entry) for entry in entries}
    if len(numbers) != 1 or type(value).__name__.startswith("Masked"):
        shape = f" of shape {getattr(value, 'shape', (len(value),))}" if numbers else ""
        raise Wrong(
            f"{name} is an array{shape} whose entries do not all agree; a single number is needed"
        )
    return numbers.pop()


def _exact_number(name, value):
    """One entry as a SymPy number, see `exact`."""
    if isinstance(value, (str, bytes)):
        raise Wrong(
            f"{name} is text, and text is never evaluated; write a number without quotation marks"
        )
    shown = f"{name} = {short_repr(value)}"
    if not isinstance(value, sp.Expr):
        value = _as_fraction(name, value, shown)
    if value.free_symbols:
        raise Wrong(f"{name} is a formula with symbols; a number is needed")
    if any(
        power.exp.has(sp.exp) for power in value.atoms(sp.exp)
    ):  # digits of such towers take for ever
        raise Wrong(
            f"{name} is too involved a formula; write the number as a fraction or as a float"
        )
    is_fraction = value.is_Rational or value.is_Float
    near = value if is_fraction else _with_digits(value)
    if not (near.is_Rational or near.is_Float):
        raise Wrong(f"{shown} is not a finite real number")
    if not is_fraction and (near.is_zero or (near - 1).is_zero):
        raise Wrong(f"{shown} can't be told from 0 or from 1; write it as a fraction")
    if _bits(near if is_fraction else near.n(60)) > MAX_BITS:
        raise Wrong(f"{name} has more than {MAX_BITS} binary digits; a shorter number is needed")
    return sp.Rational(value) if is_fraction else value


def _as_fraction(name, value, shown):
    """A number of Python or NumPy as the fraction that it is."""
    number: Any = value
    if not isinstance(value, (Real, Decimal)):
        raise Wrong(f"{name} is {kind_of(value)}; a real number is needed")
    if isinstance(value, Integral):
        return sp.Integer(
            operator.index(value)
        )  # no time span, which NumPy counts among them, is an index
    try:
        top, bottom = number.as_integer_ratio()
        return sp.Rational(int(top), int(bottom))
    except (ValueError, OverflowError):
        raise Wrong(f"{shown} is not a finite number") from None


def _with_digits(number):
    """A Float with many digits; 0 if so many do not tell it from 0."""
    try:
        return number.evalf(DIGITS, maxn=2 * DIGITS, strict=True)
    except sp.core.evalf.PrecisionExhausted:
        return sp.S.Zero


def _bits(number):
    """Length of a fraction's longer part; of a Float without writing it as a fraction, which may be a huge one."""
    if number.is_Float:
        _, _, exponent, length = number._mpf_
        return max(length, length + exponent, -exponent)
    return max(number.p.bit_length(), number.q.bit_length())


def _check_range(number, shown, low=0, high=1):
    """Is a number an activation? One far outside is likely to be meant as a bias, or as a percentage."""
    if low <= number <= high:
        return
    hint = f"{shown} lies outside [{low:g}, {high:g}], where a gate's activation lives"
    if LIKE_A_BIAS <= abs(number) <= MOST_BIAS:
        rest = sp.N(1 / (1 + sp.exp(abs(number))), 3)
        activation = f"1 - {rest:g}" if number > 0 else f"{rest:g}"
        bias = f"{float(number):g}"
        hint += f"; it looks like a bias, whose activation is σ({bias}) = {activation}"
    raise Wrong(hint)


def _decay(kept):
    """How fast a state fades that keeps a share below 1 per step, in words."""
    if 1 - kept < sp.Rational(1, 1000):
        return f"half of it is gone after about {sp.N(sp.log(2) / (1 - kept), 2)!s} steps"
    return f"after 28 steps (rows) a share of {sp.N(kept**28, 2)!s} is left"


def _rounded(interval, digits=4):
    return str(sp.Float(interval.mid._mpi_[0], DIGITS).n(digits))
