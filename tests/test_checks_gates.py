"""The checks of the answers to Q1 against independent numeric oracles."""

import itertools
import re
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
import sympy as sp
from hypothesis import assume, example, given
from hypothesis import strategies as st

from conftest import cases, refused
from coursework.checks_gates import (
    COUNTEREXAMPLE_NAMES,
    as_interval,
    check_counterexample,
    check_gates,
    exact,
    reachable_by_lstm,
)
from coursework.formulas import sigmoid
from coursework.verdicts import Verdict

# check_gates: an oracle that knows nothing of SymPy -------------------------------------------------------------------
GATES = {"LSTM": ("i", "f", "o"), "GRU": ("z", "r")}
STORE, KEEP = "store_input", "keep_state"


def new_state(cell, gates, x, h_prev, c_prev, U, z_keeps):
    """One unit with w = 1, b = 0.1, in plain NumPy."""
    if cell == "LSTM":
        return gates["f"] * c_prev + gates["i"] * np.tanh(x + U * h_prev + 0.1)
    keep = gates["z"] if z_keeps else 1 - gates["z"]
    return keep * h_prev + (1 - keep) * np.tanh(x + U * gates["r"] * h_prev + 0.1)


def has_property(cell, behaviour, values, z_keeps):
    """Tries random values for everything that is free; sound for values that are multiples of 1/8."""
    rng, size = np.random.default_rng(0), 400
    free = {
        name: values[name] if name in values else rng.uniform(size=size) for name in GATES[cell]
    }
    U = values["U"] if "U" in values else rng.normal(size=size)
    x = rng.normal(size=size)

    def run(x):
        """(new state, old state) for new random old states."""
        o_prev = values.get(
            "o_prev", values.get("o")
        )  # a constant output gate is the same in the step before
        old, o_prev = rng.uniform(-1, 1, size), rng.uniform(size=size) if o_prev is None else o_prev
        return new_state(
            cell, free, x, o_prev * np.tanh(old) if cell == "LSTM" else old, old, U, z_keeps
        ), old

    if behaviour == KEEP:
        new, old = run(x)
        return bool(np.abs(new - old).max() < 1e-9)
    first, second = run(x)[0], run(x)[0]
    forgets = np.abs(first - second).max() < 1e-9
    fixed = np.ptp(run(np.full(size, 0.3))[0]) < 1e-9
    injective = np.abs(run(x + 0.5)[0] - first).min() > 1e-9
    return bool(forgets and fixed and injective)


def as_rational(value):
    return sp.Rational(value.numerator, value.denominator)


WHOLE_TYPES = [int, bool, np.int8, np.uint64]
NUMBER_TYPES = [float, np.float16, np.float32, np.float64, np.longdouble, Fraction, as_rational]
NUMBER_TYPES += [
    lambda value: np.array(float(value)),
    lambda value: np.array(value, dtype=object),
    lambda value: Decimal(value.numerator) / Decimal(value.denominator),
    lambda value: sp.Float(float(value)),
    lambda value: np.full(3, float(value)),
    lambda value: [float(value)] * 2,
    lambda value: sp.ones(2) * as_rational(value),
    lambda value: sp.Array([[as_rational(value)] * 2]),
]


def test_all_corners_and_gaps():
    """Every answer made of 0, 1/2, 1 and left out, for both cells, behaviours and conventions."""
    some, ends, right = [None, 0.0, 0.5, 1.0], [None, 0.0, 1.0], 0
    for cell, choices in {
        "LSTM": {"i": some, "f": some, "U": ends, "o_prev": ends, "o": ends},
        "GRU": {"z": some, "r": some, "U": some},
    }.items():
        for values in itertools.product(*choices.values()):
            answer = {
                name: value
                for name, value in zip(choices, values, strict=True)
                if value is not None
            }
            if not set(answer) & set(GATES[cell]):
                continue
            for behaviour, z_keeps in itertools.product([STORE, KEEP], [0, 1]):
                ok = check_gates(cell, behaviour, answer, z_keeps).ok
                assert ok == has_property(cell, behaviour, answer, z_keeps), (
                    cell,
                    behaviour,
                    answer,
                    z_keeps,
                )
                right += ok
    # LSTM store: f = 0, i in {1/2, 1}, and U = 0 or an output gate that was 0 (17 of 27); keep: f = 1, i = 0 (all 27).
    # GRU store: z fixed, r = 0 or U = 0 (7 of 16); keep: z fixed (all 16). Each in both conventions.
    assert right == 2 * (2 * 17 + 27 + 7 + 16)


@pytest.mark.parametrize("make", WHOLE_TYPES + NUMBER_TYPES)
def test_number_types(make):
    zero, one = make(Fraction(0)), make(Fraction(1))
    assert check_gates("LSTM", KEEP, {np.str_("f"): one, np.str_("i"): zero})
    assert check_gates("LSTM", STORE, {"f": zero, "i": one, "U": zero})
    assert check_gates("GRU", KEEP, {"z": one}) and not check_gates("GRU", KEEP, {"z": zero})
    assert make in WHOLE_TYPES or exact("i", make(Fraction(7, 8))) == sp.Rational(7, 8)


@pytest.mark.parametrize(
    "tiny", [5e-324, Fraction(1, 10**300), sp.Rational(1, 10**30), np.float16(6e-8)]
)
def test_nearly_is_not_exactly(tiny):
    assert check_gates("LSTM", STORE, {"f": 0, "i": tiny, "U": 0})  # injective all the same
    assert not check_gates("LSTM", STORE, {"f": tiny, "i": 1, "U": 0})
    assert not check_gates("LSTM", KEEP, {"f": 1, "i": tiny})
    assert not check_gates("GRU", KEEP, {"z": 1 - sp.Rational(1, 10**40)})


def test_constants_of_sympy_and_the_sigmoid_of_the_course():
    assert check_gates("LSTM", STORE, {"f": 0, "i": sp.sqrt(2) / 2, "U": 0})
    assert not check_gates("GRU", KEEP, {"z": sp.pi / 4})
    assert "told from 0 or from 1" in check_gates("GRU", KEEP, {"z": sp.tanh(10**6)}).hint
    assert check_gates("LSTM", STORE, {"f": sigmoid(-sp.oo), "i": sigmoid(sp.oo), "U": 0})
    assert check_gates("LSTM", STORE, {"f": 0, "i": sigmoid(2), "U": 0})
    assert "share of 0.029" in check_gates("GRU", KEEP, {"z": sigmoid(2)}).hint
    open_gate = {
        "x": 1,
        "h_prev": 0.4,
        "c_prev": 0.5,
        "w": 1,
        "u": -3,
        "b": 0,
        "z": sigmoid(-1),
        "r": 0,
    }
    assert check_counterexample(open_gate)


MISCONCEPTIONS = {
    "the candidate forgets by itself": (
        "LSTM",
        STORE,
        {"f": 0, "i": 1},
        1,
        "candidate reads h_prev",
    ),
    "some o is as good as none": (
        "LSTM",
        STORE,
        {"f": 0, "i": 1, "o": 0.5},
        1,
        "candidate reads h_prev",
    ),
    "only this step's o is 0": (
        "LSTM",
        STORE,
        {"f": 0, "i": 1, "o": 0, "o_prev": 1},
        1,
        "candidate reads h_prev",
    ),
    "an open forget gate is harmless": (
        "LSTM",
        STORE,
        {"f": 1, "i": 1, "U": 0},
        1,
        "old state c_prev: f = 1",
    ),
    "what is not said does not matter": (
        "LSTM",
        STORE,
        {"i": 1, "U": 0},
        1,
        "c_prev: f is left free",
    ),
    "i need not be said": ("LSTM", STORE, {"f": 0, "U": 0}, 1, "i is left free: it could shut"),
    "storing with a closed input gate": (
        "LSTM",
        STORE,
        {"f": 0, "i": 0, "U": 0},
        1,
        "nothing of the current input",
    ),
    "some U is as good as none": (
        "LSTM",
        STORE,
        {"f": 0, "i": 1, "U": 0.5},
        1,
        "through the candidate",
    ),
    "z = 0 is enough": ("GRU", STORE, {"z": 0}, 1, "r is left free"),
    "the reset gate must be open": ("GRU", STORE, {"z": 0, "r": 1}, 1, r"\(r = 1\)"),
    "half a GRU gate": ("GRU", STORE, {"z": 0.5, "r": 0}, 1, "old state h_prev: z = 0.5"),
    "store in the other convention": (
        "GRU",
        STORE,
        {"z": 1, "r": 0},
        1,
        "the old state's share is z$",
    ),
    "store in Keras's convention": (
        "GRU",
        STORE,
        {"z": 0, "r": 0},
        0,
        "the old state's share is 1 - z$",
    ),
    "f = 1 is enough": ("LSTM", KEEP, {"f": 1}, 1, "depends on the input x.*i is left free"),
    "keep, and take in a little": ("LSTM", KEEP, {"f": 1, "i": 0.1}, 1, "input x.*i = 0.1"),
    "f and i swapped": ("LSTM", KEEP, {"f": 0, "i": 1}, 1, "f = 0 erases c_prev"),
    "i = 0 is enough": ("LSTM", KEEP, {"i": 0}, 1, "f is left free"),
    "0.9 is nearly 1": ("LSTM", KEEP, {"f": 0.9, "i": 0}, 1, "after 28 steps .* 0.052 is left"),
    "a float just below 1": (
        "GRU",
        KEEP,
        {"z": 1 - 2**-53},
        1,
        r"half of it is gone after about 6.2e\+15",
    ),
    "the reset gate keeps": ("GRU", KEEP, {"r": 1}, 1, "z is left free"),
    "keep in the other convention": ("GRU", KEEP, {"z": 0}, 1, "the old state's share is z$"),
    "keep in Keras's convention": ("GRU", KEEP, {"z": 1}, 0, "the old state's share is 1 - z$"),
    "an LSTM's gate in a GRU": (
        "GRU",
        KEEP,
        {"f": 1},
        1,
        "unknown name 'f'; the names are z, r, U",
    ),
    "a capital letter": ("LSTM", KEEP, {"F": 1, "i": 0}, 1, "unknown name 'F'"),
    "a gate above 1": ("LSTM", KEEP, {"f": 2, "i": 0}, 1, "f = 2 lies outside"),
    "a negative gate": ("LSTM", KEEP, {"f": 1, "i": -1}, 1, "i = -1 lies outside"),
    "text": ("LSTM", KEEP, {"f": "1", "i": 0}, 1, "f is text, and text is never evaluated"),
    "a tower of powers": (
        "LSTM",
        KEEP,
        {"f": sp.exp(-sp.exp(sp.exp(100))), "i": 0},
        1,
        "too involved a formula",
    ),
    "a formula": ("LSTM", KEEP, {"f": sp.Symbol("f"), "i": 0}, 1, "formula with symbols"),
    "a gate per unit": (
        "LSTM",
        KEEP,
        {"f": np.arange(3), "i": 0},
        1,
        r"shape \(3,\) whose entries",
    ),
    "NaN": ("LSTM", KEEP, {"f": float("nan"), "i": 0}, 1, "not a finite number"),
    "a symbol as a name": (
        "LSTM",
        KEEP,
        {sp.Symbol("i"): 0},
        1,
        "the name i is of type Symbol; write it as text: 'i'",
    ),
    "a gap not filled in": ("LSTM", KEEP, {"f": 1, "i": ...}, 1, "not answered yet: i"),
    "nothing at all": ("LSTM", KEEP, {}, 1, "not answered yet"),
    "no dictionary": ("LSTM", KEEP, (1, 0), 1, "a dict from name to number"),
}


@pytest.mark.parametrize(
    ("cell", "behaviour", "answer", "z_keeps", "hint"), MISCONCEPTIONS.values(), ids=MISCONCEPTIONS
)
def test_misconceptions_get_their_hint(cell, behaviour, answer, z_keeps, hint):
    verdict = check_gates(cell, behaviour, answer, z_keeps)
    assert not verdict and re.search(hint, verdict.hint), verdict.hint
    # What a wrong answer says about the GRU's convention is the old state's share, and no setting.
    assert not re.search("z = [01] (keeps|replaces)", verdict.hint)


class Bomb:
    """Anything that looks at it closely fails."""

    def __repr__(self):
        raise RuntimeError("looked at")

    __str__ = __array__ = __len__ = __float__ = __repr__


class Closed(dict):
    def __iter__(self):
        raise RuntimeError

    __contains__ = __getitem__ = get = items = __iter__


ODD_VALUES = [
    "0", "__import__('os').abort()", b"1", "", float("nan"), float("inf"), 10**5000, Fraction(10**5000, 10**5000 + 1),
    np.array([0.0, 1.0]), np.array([]), np.array("1"), np.array(None), np.ma.masked, np.datetime64("2020"), 1j,
    np.timedelta64(1, "s"), [], [[]], {}, set(), object(), Bomb(), [Bomb()], int, len, sp.Symbol("q"), sp.I, sp.oo,
    sp.nan, sp.zoo, sp.true, sp.Matrix([0, sp.Symbol("q")]), Decimal("NaN"), Decimal("sNaN"), Decimal("Infinity"),
    Decimal("1e99999"), np.float32("nan"), np.longdouble("nan"), sp.Float("nan"), sp.exp(-sp.exp(sp.exp(100))),
    sp.exp(10**9), sp.Pow(sp.Float(2.5), sp.Integer(10) ** 8, evaluate=False), sp.Float("1e-3000"),
    sp.sqrt(2) + sp.sqrt(3) - sp.sqrt(5 + 2 * sp.sqrt(6)), sp.sqrt(2) * sp.Integer(10) ** 5000, 1 + 0j, np.complex64(0),
]  # fmt: skip
ODD_NAMES = [1, None, ..., (), "f\ni", "x" * 10_000, 10**5000, Bomb(), sp.Symbol("f")]
USUAL = st.sampled_from(
    [0, 1, 0.5, -0.5, 0.25, 2, np.float32(0.1), sp.Rational(1, 3), Fraction(-2, 3), sp.pi / 4]
)


def one_of(values):
    return st.integers(0, len(values) - 1).map(
        lambda number: values[number]
    )  # some can't be printed


ANY_ODD = one_of(ODD_VALUES)
ANY_VALUE = st.one_of(USUAL, USUAL, ANY_ODD, st.floats(), st.text(), st.decimals(), st.fractions())


def answers(names):
    """Dicts that are nearly right, with odd names and values here and there, and what is no dict at all."""
    dicts = st.dictionaries(st.one_of(*[st.sampled_from(names)] * 9, one_of(ODD_NAMES)), ANY_VALUE)
    whole = st.fixed_dictionaries(dict.fromkeys(names, ANY_VALUE))
    return st.one_of(
        dicts, dicts, whole, whole, ANY_ODD, st.sampled_from([None, ..., Closed(z=1), (1, 0)])
    )


def one_line(verdict):
    assert isinstance(verdict, Verdict) and bool(verdict.hint) != verdict.ok
    return "\n" not in verdict.hint and len(verdict.hint) < 250


@cases(120)
@given(
    st.sampled_from(["LSTM", "GRU"]),
    answers([*"ifozrU", "o_prev"]),
    answers(list(COUNTEREXAMPLE_NAMES)),
)
def test_any_answer_gets_one_line(cell, gates, values):
    assert all(one_line(check_gates(cell, behaviour, gates)) for behaviour in (STORE, KEEP))
    assert one_line(check_counterexample(values))


@pytest.mark.parametrize("value", ODD_VALUES, ids=lambda value: type(value).__name__)
def test_odd_values_are_never_right(value):
    for answer in (
        value,
        {"f": value, "i": 0},
        {"f": 1, "i": 0, "o": value},
        {"f": 1, "i": 0, "U": value},
    ):
        assert not check_gates("LSTM", KEEP, answer)
    for name in COUNTEREXAMPLE_NAMES:
        assert not check_counterexample(RESET | {name: value})


@pytest.mark.parametrize(
    ("call", "choices"),
    [
        (("lstm", KEEP, {}), "'GRU' or 'LSTM' or .* or a Cell of your own"),
        ((["LSTM"], KEEP, {}), "'GRU' or 'LSTM' or .* or a Cell of your own"),
        (("LSTM", "keep", {}), "'store_input' or 'keep_state'"),
        (("LSTM", None, {}), "'store_input' or 'keep_state'"),
        (("GRU", KEEP, {}, 2), "1 or 0"),
        (("GRU", KEEP, {}, np.array([0, 1])), "1 or 0"),
    ],
)
def test_wrong_calls_name_the_choices(call, choices):
    with refused(choices):
        check_gates(*call)


# check_counterexample -------------------------------------------------------------------------------------------------
RESET = {
    "x": Fraction(1, 4),
    "h_prev": Fraction(-1, 2),
    "c_prev": -1,
    "w": 1,
    "u": 2,
    "b": 0,
    "z": 0,
    "r": 0,
}
RANGE = {"x": 1, "h_prev": 0, "c_prev": 0, "w": 3, "u": 0, "b": 0, "z": 0, "r": 1}
GRID = np.stack(np.meshgrid(*[np.linspace(0, 1, 9)] * 3)).reshape(3, -1)


def by_grid(values):
    """(the GRU's new h, the least and the largest h on a grid of the LSTM's gates, which has all corners), in NumPy."""
    v = {name: float(value) for name, value in values.items()}
    i, f, o = GRID
    reached = o * np.tanh(
        f * v["c_prev"] + i * np.tanh(v["w"] * v["x"] + v["u"] * v["h_prev"] + v["b"])
    )
    candidate = np.tanh(v["w"] * v["x"] + v["u"] * v["r"] * v["h_prev"] + v["b"])
    return v["z"] * v["h_prev"] + (1 - v["z"]) * candidate, reached.min(), reached.max()


def consistent(values):
    h, c = float(values["h_prev"]), float(values["c_prev"])
    return h == 0 or (h * c > 0 and abs(h) < np.tanh(abs(c)) - 1e-9)


def numbers(low, high):
    floats, ratios = st.floats(low, high), st.fractions(low, high, max_denominator=64)
    return st.one_of(floats.map(np.float32), floats, ratios, ratios.map(sp.Rational))


@cases(50)
@given(
    st.fixed_dictionaries(
        {name: numbers(-3, 3) for name in ("x", "c_prev", "w", "u", "b")}
        | {name: st.one_of(st.sampled_from([0, 1]), numbers(0, 1)) for name in ("z", "r", "o_prev")}
    )
)
def test_counterexamples_are_judged_as_by_a_grid(values):
    values["h_prev"] = float(values.pop("o_prev")) * float(np.tanh(float(values["c_prev"])))
    h, *span = by_grid(values)
    ends = reachable_by_lstm(
        {name: as_interval(exact(name, value)) for name, value in values.items()}
    )
    assert [float(end.mid) for end in ends] == pytest.approx(span, abs=1e-12)
    outside = max(h - span[1], span[0] - h)
    assume(consistent(values) and abs(outside) > 1e-9)
    assert check_counterexample(values).ok == (outside > 0)


@cases(60)
@given(numbers(-0.9375, 0.9375), numbers(-3, 3))
def test_inconsistent_states_are_refused(h_prev, c_prev):
    values = RESET | {"h_prev": h_prev, "c_prev": c_prev, "u": 40, "w": 8}
    h, c = float(h_prev), float(c_prev)
    assume(h == 0 or abs(abs(h) - np.tanh(abs(c))) > 1e-4)
    assert ("contradict" in check_counterexample(values).hint) == (not consistent(values))


@cases(40)
@given(st.floats(0.01, 15), st.sampled_from([float, np.float32, np.float64]))
@example(18.0, float)
def test_rounding_of_a_float_is_no_contradiction(c, kind):
    """h_prev = tanh(c_prev), computed in floats, may exceed the exact tanh by half a unit in the last place."""
    h = kind(np.tanh(kind(c)))
    assume(h < 1)
    values = RESET | {"h_prev": -h, "c_prev": -kind(c), "u": 2 / Fraction(float(h))}
    assert check_counterexample(values)
    assert check_counterexample(
        {name: -values[name] if name in "x h_prev c_prev" else values[name] for name in values}
    )


@pytest.mark.parametrize("size", [Fraction(1, 10**300), 1, 30, 300])
def test_ends_are_decided_exactly(size):
    """z = 0, no recurrent weight: the GRU gives tanh(b), the LSTM's top is tanh(c + tanh(b)) for c >= 0."""
    base = {"x": 0, "w": 0, "h_prev": 0, "u": 0, "z": 0, "r": 0}
    assert check_counterexample(base | {"c_prev": 0, "b": size})  # tanh(b) < b for every b > 0
    assert not check_counterexample(base | {"c_prev": size, "b": size})
    assert check_counterexample(base | {"c_prev": sp.Rational(size), "b": sp.Rational(size) + 1})
    assert not check_counterexample(
        base | {"c_prev": sp.Rational(size) + 1, "b": sp.Rational(size)}
    )


# Candidates of the LSTM at most 0, so that its top is tanh(c_prev); the GRU is at tanh(b).
TOUCH = {"x": 0, "w": 0, "z": 0, "r": 0, "h_prev": Fraction(1, 2), "u": -20, "c_prev": 2, "b": 2}
# The LSTM's candidate is -1e-21 or so, which needs many digits: the bar ends just below 0, the GRU lies clearly below.
CLOSE = {"x": 0, "c_prev": 1, "w": 1, "z": 0.001, "r": 0}


@pytest.mark.parametrize(
    "values",
    [
        RESET,
        {name: float(value) for name, value in RESET.items()},
        RANGE,
        RANGE | {"w": sp.pi},
        RESET | {"h_prev": -sp.tanh(1) / 2},
        RESET | {"h_prev": -sp.tanh(1)},
        RESET | {"c_prev": -sp.atanh(sp.Rational(1, 2))},  # exactly, and in no time
        TOUCH | {"b": 2 + Fraction(1, 2**1000)},
        TOUCH | {"b": np.nextafter(0.7, 1), "c_prev": 0.7},
        CLOSE | {"h_prev": 0.01, "u": 0.01, "b": -0.0001},
        CLOSE | {"h_prev": Fraction(1, 2), "u": 2, "b": -1 - Fraction(1, 10**22)},
    ],
)
def test_known_counterexamples(values):
    assert check_counterexample(values)


@pytest.mark.parametrize(
    "h", [5e-324, 1e-300, 1e-50, 1e-20, 1e-16, 1e-14, 1e-8, 0.01, 0.4999, 0.5, 0.8, 0.96]
)
@pytest.mark.parametrize("sign", [1, -1])
def test_small_and_large_states_are_decided_exactly(h, sign):
    """c_prev is read as artanh(h_prev) where rounding asks for it. SymPy takes the log of 1 + 1e-16 for 0."""
    c = h if h < 1e-9 else float(np.arctanh(h))
    state = {"h_prev": sign * h, "c_prev": sign * c, "u": 0, "b": 0, "r": 0}
    for change in (
        {"x": -sign, "w": 1, "z": 1},
        {"x": sign, "w": h, "z": 0.9},
    ):  # an exact touch; well inside
        assert not check_counterexample(state | change)
    outside = {
        "x": sign,
        "w": 100,
        "u": -300 / Fraction(h),
        "z": 0,
    }  # candidates tanh(100) and tanh(-200)
    assert check_counterexample(state | outside)


COUNTEREXAMPLE_HINTS = {
    "an open reset gate": ({"r": 1}, "r = 1 both cells have the same candidate"),
    "the update gate keeps": ({"z": 1}, "the LSTM reaches all of"),
    "a reset gate half open": ({"r": 0.5}, "the GRU's new h is -0.2449, .* reaches all of"),
    "c_prev of the other sign": ({"c_prev": 1}, "contradict.*sign of c_prev"),
    "c_prev too small": ({"c_prev": Fraction(-1, 2)}, "contradict.*0.4621 at most"),
    "c_prev = 0": ({"c_prev": 0}, "contradict"),
    "an output that tanh never reaches": ({"h_prev": -1}, "stays below 1"),
    "a float that tanh rounds to": ({"h_prev": -np.tanh(20.0), "c_prev": -20.0}, "stays below 1"),
    "a negative reset gate": ({"r": -1}, "r = -1 lies outside"),
    "a gap not filled in": ({"x": None, "u": ...}, "not answered yet: x, u"),
    "just below the end": (TOUCH | {"b": 2 - Fraction(1, 2**1000)}, "reaches all of"),
    "inside, by z": (TOUCH | {"b": 0, "z": 1}, "reaches all of"),
    "the same float twice": (
        TOUCH | {"b": 0.7, "c_prev": 0.7},
        "reaches all of",
    ),  # rounding alone would decide
    "a touch, as the interval is closed": (TOUCH, "whose end can't be told from it"),
    "1e-2000 from it": (
        TOUCH | {"b": sp.atanh(sp.tanh(2) - sp.Rational(1, 10**2000))},
        "can't be told from it",
    ),
    "a number out of all range": ({"w": 10**400}, "more than 1100 binary digits"),
}


@pytest.mark.parametrize(
    ("change", "hint"), COUNTEREXAMPLE_HINTS.values(), ids=COUNTEREXAMPLE_HINTS
)
def test_wrong_counterexamples_get_their_hint(change, hint):
    verdict = check_counterexample(RESET | change)
    assert not verdict and re.search(hint, verdict.hint), verdict.hint


def test_incomplete_counterexamples():
    assert check_counterexample({}).hint == "not answered yet: x, h_prev, c_prev, w, u, b, z, r"
    assert check_counterexample(None).hint == check_counterexample(...).hint == "not answered yet"


@cases(60)
@given(st.one_of(numbers(-3, 3), st.sampled_from([sp.pi, sp.sqrt(2), sigmoid(-1)])))
def test_an_interval_holds_its_number(value):
    number = exact("x", value)
    interval = as_interval(number)
    assert interval.a <= interval.b and float(interval.mid) == pytest.approx(
        float(value), abs=1e-15
    )
    for end, side in ((interval.a, -1), (interval.b, 1)):
        assert side * (sp.Float(end._mpi_[0], 1100) - sp.N(number, 1100)) >= 0
