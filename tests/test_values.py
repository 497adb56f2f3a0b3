"""Answers as plain data: what says *Right* at home says so when it is graded, and forged data do no harm."""

import json
from collections import deque
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
import sympy as sp
from hypothesis import given
from hypothesis import strategies as st

from conftest import cases
from coursework.backend import tf
from coursework.checks_gates import MOST_ENTRIES, check_counterexample, check_gates
from coursework.experiment import Experiment
from teaching.values import answers_of, decode, decoded, encode, written

X = sp.Symbol("x")
GOOD = [
    1,
    -(10**300),
    True,
    None,
    0.1,
    float("inf"),
    "text",
    Fraction(1, 3),
    Decimal("0.1"),
    np.float32(0.5),
    np.int8(3),
]
GOOD += [
    [1, (2, {3: [4]})],
    {"f": 1, "i": 0.5},
    {1, 2},
    ...,
    sp.Rational(1, 3),
    sp.sqrt(2) / 3,
    sp.pi,
    sp.tanh(2),
    X + 1,
]
GOOD += [
    sp.Float("0.1", 50),
    sp.exp(-sp.sqrt(2)),
    Experiment("GRU", 64, 1, 3),
    deque([1, 2]),
    np.float64(0.1),
    np.bool_(True),
]
GOOD += [
    sp.cos(1) / 2,
    sp.erf(1),
    sp.Max(sp.sqrt(2), sp.pi),
    sp.asinh(2),
    sp.Catalan,
    sp.Abs(sp.Rational(-1, 2), evaluate=False),
]


def travelled(value):
    """A value after its way from the student's process to ours."""
    return decoded(json.loads(json.dumps(answers_of({"answer": value}, ["answer"]))))["answer"]


@pytest.mark.parametrize("value", GOOD, ids=str)
def test_a_value_survives_the_way_through_json(value):
    after = decode(json.loads(json.dumps(written(value))))
    assert after == value and type(after) is type(value)


@pytest.mark.parametrize(
    "value", [np.arange(6).reshape(2, 3), np.array(0.5), np.ones((2, 0), ">f4")], ids=str
)
def test_an_array_survives_it_too(value):
    after = decode(json.loads(json.dumps(written(value))))
    assert after.dtype == value.dtype and after.shape == value.shape and (after == value).all()


def test_what_is_no_plain_value_keeps_the_name_of_its_type_only():
    endless = []
    endless.append(endless)
    for value in (print, json, range(3), np.ma.array([1]), np.array(["a"]), 1 << 200_000):
        after = decode(written(value))
        assert type(after).__name__ == type(value).__name__ and not isinstance(
            after, (type(value), str)
        )
    assert isinstance(decode(written(endless)), list)


def test_one_setting_that_no_experiment_takes_costs_itself_and_not_the_list():
    class OfTheirOwn:
        name = "mine"

    odd = Experiment("GRU")
    object.__setattr__(odd, "family", OfTheirOwn())
    known = Experiment("GRU")
    object.__setattr__(known, "family", type("Cell", (), {"name": "GRU"})())
    after = travelled([Experiment("LSTM"), odd, known])
    assert (
        after[0] == Experiment("LSTM")
        and after[2] == Experiment("GRU")
        and not isinstance(after[1], Experiment)
    )


def test_a_long_list_of_numpys_numbers_stays_short():
    predictions = [list(np.arange(10_000) % 10) for _ in range(5)]
    assert len(written(predictions)) < 2_000_000 and travelled(predictions) == predictions


FORGED = [
    "array('AAAA')",
    "system('ls')",
    "sympify('1')",
    "exp",
    "Add('print(1)')",
    "Symbol(5)",
    "Rational(1, 0)",
]
FORGED += [
    "Experiment([('other', 'GRU')])",
    "().__class__",
    "lambda: 1",
    "[" * 10_000,
    "",
    "open('x')",
    "f'{1}'",
    {"a": 1},
]
FORGED += [
    "deque",
    "int64('x')",
    "Function('f')",
    "Lambda(1, 2)",
    "log(Symbol('__import__(1)'))",
    "Max('x')",
]


@pytest.mark.parametrize("forged", FORGED, ids=lambda forged: str(forged)[:20])
def test_forged_values_do_no_harm(forged):
    (value,) = decoded({"q": forged}).values()
    assert not callable(value) and isinstance(value, (object, sp.Expr))


# At home and at the grader -------------------------------------------------------------------------------------------
FRACTIONS = st.fractions(0, 1, max_denominator=1000)
REALS = st.floats(allow_nan=True, allow_infinity=True) | st.sampled_from([0.0, 1.0, 0.5])
PLAIN = st.one_of(
    st.integers(-2, 2), FRACTIONS, REALS, st.booleans(), st.decimals(allow_nan=True), st.text(max_size=3), st.none(),
    st.just(...), st.complex_numbers(max_magnitude=2), st.just(print), st.just(b"1"), st.just(object()),
)  # fmt: skip
NUMPY = st.one_of(
    REALS.map(np.float64), st.floats(width=32).map(np.float32), st.integers(0, 1).map(np.int16),
    st.booleans().map(np.bool_),
    REALS.map(np.longdouble), st.integers(0, 1).map(lambda n: np.timedelta64(n, "s")), st.just(np.str_("1")),
)  # fmt: skip
FUNCTIONS = st.sampled_from(
    [
        sp.sin,
        sp.cos,
        sp.tanh,
        sp.exp,
        sp.log,
        sp.sqrt,
        sp.erf,
        sp.asinh,
        sp.gamma,
        sp.zeta,
        sp.floor,
    ]
)
SYMPY = st.one_of(
    FRACTIONS.map(sp.Rational), REALS.map(sp.Float), st.builds(lambda f, x: f(sp.Rational(x)), FUNCTIONS, FRACTIONS),
    st.sampled_from([sp.pi / 4, sp.E / 3, sp.Catalan, sp.I, sp.oo, sp.nan, sp.zoo, X, X - X + 1, sp.GoldenRatio - 1]),
    FRACTIONS.map(lambda x: sp.Max(sp.Rational(x), sp.sqrt(2) / 3)), st.just(sp.CRootOf(X**5 - X + 1, 0) / -2),
    st.just(sp.Integral(X, (X, 0, 1))), st.just(sp.UnevaluatedExpr(sp.Rational(1, 2))), st.just(sp.true),
    FRACTIONS.map(lambda x: sp.Mul(2, sp.Rational(x), evaluate=False)),
    FRACTIONS.map(lambda x: sp.Float(sp.Rational(x), 60)),
)  # fmt: skip
SINGLE = PLAIN | NUMPY | SYMPY


def wrapped(numbers):
    """A number in all that may hold some."""
    return st.one_of(
        numbers, numbers.map(lambda x: [x, x]), numbers.map(lambda x: (x,)), numbers.map(lambda x: deque([x])),
        numbers.map(lambda x: [[x], [x]]), st.floats(0, 1).map(lambda x: np.array([[x, x]])),
        numbers.map(lambda x: {1: x}),
        FRACTIONS.map(lambda x: sp.ImmutableMatrix([[sp.Rational(x)]])),
        FRACTIONS.map(lambda x: sp.Matrix([sp.Rational(x)])),
        FRACTIONS.map(lambda x: sp.Array([sp.Rational(x)])), FRACTIONS.map(lambda x: np.array([x], object)),
        st.floats(0, 1).map(tf.constant), st.floats(0, 1).map(lambda x: np.ma.array([x])), st.just(range(1)),
    )  # fmt: skip


GATES = st.sampled_from("fioUzr")


@cases(300)
@given(
    st.sampled_from(["LSTM", "GRU"]),
    st.sampled_from(["store_input", "keep_state"]),
    st.dictionaries(GATES, wrapped(SINGLE), max_size=4),
)
def test_right_at_home_is_right_when_it_is_graded(cell, behaviour, answer):
    at_home, graded = (
        check_gates(cell, behaviour, answer),
        check_gates(cell, behaviour, travelled(answer)),
    )
    assert at_home.ok == graded.ok, (at_home, graded)


COUNTEREXAMPLE = {"x": 0.25, "h_prev": -0.5, "c_prev": -1, "w": 1, "u": 2, "b": 0, "z": 0, "r": 0}


@cases(100)
@given(st.dictionaries(st.sampled_from(list(COUNTEREXAMPLE)), wrapped(SINGLE), max_size=2))
def test_so_is_a_counterexample(changed):
    values = COUNTEREXAMPLE | changed
    assert check_counterexample(values).ok == check_counterexample(travelled(values)).ok


@pytest.mark.parametrize(
    "value",
    [
        tf.constant(0.5),
        tf.Variable(0.5),
        sp.cos(1),
        deque([0.5]),
        sp.ImmutableMatrix([[0.5]]),
        sp.Max(0, 0.5),
    ],
    ids=str,
)
def test_these_are_right_in_both_places(value):
    answer = {"f": 0, "i": value, "U": 0}
    assert check_gates("LSTM", "store_input", answer) and check_gates(
        "LSTM", "store_input", travelled(answer)
    )


def test_what_does_not_travel_is_refused_at_home():
    for value in (np.ones(MOST_ENTRIES + 1), [0.5] * (MOST_ENTRIES + 1), range(1), {0.5}):
        answer = {"f": 0, "i": value, "U": 0}
        assert not check_gates("LSTM", "store_input", answer) and not check_gates(
            "LSTM", "store_input", travelled(answer)
        )


def test_encoding_counts_parts():
    assert "other" in encode([1, 2, 3], [3])
