"""The equations against Keras, and the checks of an answer against independent numeric oracles."""

import itertools
import re
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
import sympy as sp
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

import helpers
from coursework import cells, checks_gates
from helpers import check_counterexample, check_gates

FEW = settings(max_examples=150, deadline=None)


# The equations --------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(("cell", "reset_after"), [("LSTM", False), ("GRU", False), ("GRU", True)])
@pytest.mark.parametrize("seed", [0, 1])
def test_equations_are_those_of_keras(cell, reset_after, seed):
    assert helpers.deviation_from_keras(cell, reset_after, seed=seed, dtype="float64") < 1e-12
    assert helpers.deviation_from_keras(cell, reset_after, seed=seed, dtype="float32") < 5e-6


def test_comparison_can_fail():
    """A layer in which the input and the forget gate are swapped is told apart."""
    rng = np.random.default_rng(0)
    layer = helpers.keras_layer("LSTM", {}, units=4, features=4, dtype="float64")
    weights = [rng.normal(size=weight.shape) for weight in layer.get_weights()]
    layer.set_weights(weights)
    x = rng.normal(size=(2, 5, 4))
    right = cells.run_equations(layer, x)[0]
    np.testing.assert_allclose(right, layer(x), atol=1e-12)
    layer.set_weights([np.roll(weight, 4, axis=-1) for weight in weights])
    assert np.abs(right - np.asarray(layer(x))).max() > 0.01


def test_c_is_that_of_keras():
    rng = np.random.default_rng(0)
    layer = helpers.keras_layer("LSTM", {}, units=4, features=3, dtype="float64")
    layer.set_weights([rng.normal(size=weight.shape) for weight in layer.get_weights()])
    x = rng.normal(size=(2, 6, 3))
    np.testing.assert_allclose(cells.run_equations(layer, x)[1][:, -1], helpers.final_state(layer, x), atol=1e-12)


@pytest.mark.parametrize("reset_after", [False, True])
def test_the_two_conventions_of_z(reset_after):
    z = sp.Symbol("z", real=True)
    keeping, replacing = (helpers.equations("GRU", keeps, reset_after) for keeps in (1, 0))
    assert sp.expand(keeping.state.subs(z, 1 - z) - replacing.state) == 0
    assert keeping.state.subs(z, 1) == replacing.state.subs(z, 0) == sp.Symbol("h_prev", real=True)


def test_equations_refuse_unknown_choices():
    with pytest.raises(ValueError, match="'LSTM' or 'GRU'"):
        helpers.equations("RNN")
    with pytest.raises(ValueError, match="1 or 0"):
        helpers.equations("GRU", z_keeps=2)


def test_hand_set_weights_arrive():
    layer = helpers.keras_layer("LSTM", {"W": [[1, 2, 3]], "b_f": 5, "U_o": 7}, units=1, features=3)
    kernel, recurrent, bias = layer.get_weights()
    assert kernel[:, 2].tolist() == [1, 2, 3] and kernel.sum() == 6  # Keras's order: i, f, candidate, o
    assert recurrent.tolist() == [[0, 0, 0, 7]] and bias.tolist() == [0, 5, 0, 0]
    layer = helpers.keras_layer("GRU", {"b": 1, "b_U": 2, "b_r": 3}, units=1, features=1, reset_after=True)
    assert layer.get_weights()[2].tolist() == [[0, 3, 1], [0, 0, 2]]
    with pytest.raises(ValueError, match="unknown weight 'b_x'"):
        helpers.keras_layer("GRU", {"b_x": 1})
    with pytest.raises(ValueError):
        helpers.keras_layer("GRU", {"W": np.ones((3, 3))})


@pytest.mark.parametrize("cell", ["LSTM", "GRU"])
def test_gate_errors_stay_below_their_bounds(cell):
    biases = np.arange(0, 41, 2)
    share = 1 / (1 + np.exp(1.0 * biases))
    signs = {"LSTM": {"b_i": 1, "b_f": -1}, "GRU": {"b_z": -1}}[cell]
    opposite = {name: -sign for name, sign in signs.items()}
    store = helpers.measure_gate_error(cell, "store_input", signs, biases)
    keep = helpers.measure_gate_error(cell, "keep_state", opposite, biases)
    assert (store <= 2 * share + 1e-6).all() and store[0] > 0.5 and store[-1] == 0
    assert (keep <= 2 * (1 - (1 - share) ** 28) + 1e-5).all() and keep[0] > 0.5 and keep[-1] == 0


# check_gates: an oracle that knows nothing of SymPy -------------------------------------------------------------------
GATES = {"LSTM": ("i", "f", "o"), "GRU": ("z", "r")}


def new_state(cell, gates, x, h_prev, c_prev, U, z_keeps):
    """One unit with w = 1, b = 0.1, in plain NumPy."""
    if cell == "LSTM":
        return gates["f"] * c_prev + gates["i"] * np.tanh(x + U * h_prev + 0.1)
    keep = gates["z"] if z_keeps else 1 - gates["z"]
    return keep * h_prev + (1 - keep) * np.tanh(x + U * gates["r"] * h_prev + 0.1)


def has_property(cell, behaviour, values, z_keeps):
    """Tries random values for everything that is free; sound for values that are multiples of 1/8."""
    rng, size = np.random.default_rng(0), 400
    free = {name: values[name] if name in values else rng.uniform(size=size) for name in GATES[cell]}
    U = values["U"] if "U" in values else rng.normal(size=size)
    x = rng.normal(size=size)

    def run(x, c_prev, o_prev):
        h_prev = o_prev * np.tanh(c_prev) if cell == "LSTM" else c_prev
        return new_state(cell, free, x, h_prev, c_prev, U, z_keeps), c_prev if cell == "LSTM" else h_prev

    def old_state():
        return rng.uniform(-1, 1, size), values["o_prev"] if "o_prev" in values else rng.uniform(size=size)

    if behaviour == "keep_state":
        new, old = run(x, *old_state())
        return bool(np.abs(new - old).max() < 1e-9)
    first, second = run(x, *old_state())[0], run(x, *old_state())[0]
    forgets = np.abs(first - second).max() < 1e-9
    fixed = all(np.ptp(new) < 1e-9 for new in [run(np.full(size, 0.3), *old_state())[0]])
    injective = np.abs(run(x + 0.5, *old_state())[0] - first).min() > 1e-9
    return bool(forgets and fixed and injective)


NUMBER_TYPES = {
    "int": int,
    "bool": bool,
    "float": float,
    "float16": np.float16,
    "float32": np.float32,
    "float64": np.float64,
    "longdouble": np.longdouble,
    "int8": np.int8,
    "uint64": np.uint64,
    "0-d array": lambda value: np.array(float(value)),
    "0-d object array": lambda value: np.array(value, dtype=object),
    "Fraction": Fraction,
    "Decimal": lambda value: Decimal(value.numerator) / Decimal(value.denominator),
    "Rational": lambda value: sp.Rational(value.numerator, value.denominator),
    "Float": lambda value: sp.Float(float(value)),
}
WHOLE_ONLY = ("int", "bool", "int8", "uint64")


@st.composite
def settings_of_gates(draw):
    """(cell, behaviour, exact values, the same values in random number types, convention)."""
    cell = draw(st.sampled_from(["LSTM", "GRU"]))
    names = [*GATES[cell], "U"] + ["o_prev"] * (cell == "LSTM")
    exact, typed = {}, {}
    for name in names:
        # Ends are what matters; a third of the names stays free.
        eighths = draw(st.sampled_from([None, None, None, 0, 0, 0, 8, 8, 1, 4, 7]))
        if eighths is None:
            continue
        value = Fraction(eighths, 8)
        kinds = [kind for kind in NUMBER_TYPES if value.denominator == 1 or kind not in WHOLE_ONLY]
        exact[name] = float(value)
        typed[name] = NUMBER_TYPES[draw(st.sampled_from(kinds))](value)
    assume(any(name in exact for name in GATES[cell]))
    behaviour = draw(st.sampled_from(["store_input", "keep_state"]))
    return cell, behaviour, exact, typed, draw(st.sampled_from([0, 1]))


@settings(max_examples=500, deadline=None)
@given(settings_of_gates())
def test_gates_are_judged_as_by_trying(case):
    cell, behaviour, exact, typed, z_keeps = case
    verdict = check_gates(cell, behaviour, typed, z_keeps)
    assert verdict.ok == has_property(cell, behaviour, exact, z_keeps)
    assert bool(verdict.hint) != verdict.ok and "\n" not in verdict.hint


def test_all_corners_and_gaps():
    """Every answer made of 0, 1/2, 1 and left out, for both cells, behaviours and conventions."""
    right = 0
    for cell, names in {"LSTM": ("i", "f", "U", "o_prev"), "GRU": ("z", "r", "U")}.items():
        for values in itertools.product([None, 0.0, 0.5, 1.0], repeat=len(names)):
            answer = {name: value for name, value in zip(names, values, strict=True) if value is not None}
            if not set(answer) & set(GATES[cell]):
                continue
            for behaviour, z_keeps in itertools.product(["store_input", "keep_state"], [0, 1]):
                ok = check_gates(cell, behaviour, answer, z_keeps).ok
                assert ok == has_property(cell, behaviour, answer, z_keeps), (cell, behaviour, answer, z_keeps)
                right += ok
    # LSTM store: f = 0, i in {1/2, 1}, U = 0 or o_prev = 0 (7 of 16); keep: f = 1, i = 0 (all 16). GRU store: z fixed,
    # r = 0 or U = 0 (7 of 16); keep: z fixed (all 16). Each in both conventions.
    assert right == 2 * (2 * 7 + 16 + 7 + 16)


@pytest.mark.parametrize("make", NUMBER_TYPES.values(), ids=NUMBER_TYPES)
def test_number_types(make):
    zero, one = make(Fraction(0)), make(Fraction(1))
    assert check_gates("LSTM", "store_input", {"f": zero, "i": one, "U": zero})
    assert check_gates("LSTM", "keep_state", {"f": one, "i": zero})
    assert check_gates("GRU", "keep_state", {"z": one})
    assert not check_gates("GRU", "keep_state", {"z": zero})


@pytest.mark.parametrize("tiny", [5e-324, Fraction(1, 10**300), sp.Rational(1, 10**30), np.float16(6e-8)])
def test_nearly_is_not_exactly(tiny):
    assert check_gates("LSTM", "store_input", {"f": 0, "i": tiny, "U": 0})  # injective all the same
    assert not check_gates("LSTM", "store_input", {"f": tiny, "i": 1, "U": 0})
    assert not check_gates("LSTM", "keep_state", {"f": 1, "i": tiny})
    assert not check_gates("GRU", "keep_state", {"z": 1 - sp.Rational(1, 10**40)})


def test_constants_of_sympy():
    assert check_gates("LSTM", "store_input", {"f": 0, "i": sp.sqrt(2) / 2, "U": 0})
    assert not check_gates("GRU", "keep_state", {"z": sp.pi / 4})
    assert not check_gates("GRU", "keep_state", {"z": sp.tanh(10**6)})  # so close to 1 that digits don't tell


STORE, KEEP = "store_input", "keep_state"
MISCONCEPTIONS = {
    "the candidate forgets by itself": ("LSTM", STORE, {"f": 0, "i": 1}, 1, "candidate reads h_prev"),
    "o silences this step's candidate": ("LSTM", STORE, {"f": 0, "i": 1, "o": 0}, 1, "o only acts on the output"),
    "an open forget gate is harmless": ("LSTM", STORE, {"f": 1, "i": 1, "U": 0}, 1, "old state c_prev: f = 1"),
    "what is not said does not matter": ("LSTM", STORE, {"i": 1, "U": 0}, 1, "c_prev: f is left free"),
    "i need not be said": ("LSTM", STORE, {"f": 0, "U": 0}, 1, "i is left free: it could shut"),
    "storing with a closed input gate": ("LSTM", STORE, {"f": 0, "i": 0, "U": 0}, 1, "nothing of the current input"),
    "some U is as good as none": ("LSTM", STORE, {"f": 0, "i": 1, "U": 0.5}, 1, "through the candidate"),
    "z = 0 is enough": ("GRU", STORE, {"z": 0}, 1, "r is left free"),
    "the reset gate must be open": ("GRU", STORE, {"z": 0, "r": 1}, 1, r"\(r = 1\)"),
    "half a GRU gate": ("GRU", STORE, {"z": 0.5, "r": 0}, 1, "old state h_prev: z = 0.5"),
    "store in the other convention": ("GRU", STORE, {"z": 1, "r": 0}, 1, "the old state's share is z$"),
    "store in Keras's convention": ("GRU", STORE, {"z": 0, "r": 0}, 0, "the old state's share is 1 - z$"),
    "f = 1 is enough": ("LSTM", KEEP, {"f": 1}, 1, "depends on the input x.*i is left free"),
    "keep, and take in a little": ("LSTM", KEEP, {"f": 1, "i": 0.1}, 1, "input x.*i = 0.1"),
    "f and i swapped": ("LSTM", KEEP, {"f": 0, "i": 1}, 1, "f = 0 erases c_prev"),
    "i = 0 is enough": ("LSTM", KEEP, {"i": 0}, 1, "f is left free"),
    "0.9 is nearly 1": ("LSTM", KEEP, {"f": 0.9, "i": 0}, 1, "after 28 steps .* 0.052 is left"),
    "a float just below 1": ("GRU", KEEP, {"z": 1 - 2**-53}, 1, r"half of it is gone after about 6.2e\+15"),
    "the reset gate keeps": ("GRU", KEEP, {"r": 1}, 1, "z is left free"),
    "keep in the other convention": ("GRU", KEEP, {"z": 0}, 1, "the old state's share is z$"),
    "keep in Keras's convention": ("GRU", KEEP, {"z": 1}, 0, "the old state's share is 1 - z$"),
    "an LSTM's gate in a GRU": ("GRU", KEEP, {"f": 1}, 1, "unknown name 'f'; the names are z, r, U"),
    "a capital letter": ("LSTM", KEEP, {"F": 1, "i": 0}, 1, "unknown name 'F'"),
    "a gate above 1": ("LSTM", KEEP, {"f": 2, "i": 0}, 1, "f = 2 lies outside"),
    "a negative gate": ("LSTM", KEEP, {"f": 1, "i": -1}, 1, "i = -1 lies outside"),
    "text": ("LSTM", KEEP, {"f": "1", "i": 0}, 1, "f is text"),
    "a tower of powers": ("LSTM", KEEP, {"f": sp.exp(-sp.exp(sp.exp(100))), "i": 0}, 1, "too involved a formula"),
    "a formula": ("LSTM", KEEP, {"f": sp.Symbol("f"), "i": 0}, 1, "formula with symbols"),
    "a gate per unit": ("LSTM", KEEP, {"f": np.ones(3), "i": 0}, 1, r"array of shape \(3,\)"),
    "NaN": ("LSTM", KEEP, {"f": float("nan"), "i": 0}, 1, "not a finite number"),
    "a gap not filled in": ("LSTM", KEEP, {"f": 1, "i": ...}, 1, "not answered yet: i"),
    "nothing at all": ("LSTM", KEEP, {}, 1, "not answered yet"),
    "no dictionary": ("LSTM", KEEP, (1, 0), 1, "a dict from name to number"),
}


@pytest.mark.parametrize(
    ("cell", "behaviour", "answer", "z_keeps", "hint"), MISCONCEPTIONS.values(), ids=MISCONCEPTIONS
)
def test_misconceptions_get_their_hint(cell, behaviour, answer, z_keeps, hint):
    verdict = check_gates(cell, behaviour, answer, z_keeps)
    assert not verdict
    assert re.search(hint, verdict.hint), verdict.hint


class Bomb:
    """Anything that looks at it closely fails."""

    def __repr__(self):
        raise RuntimeError("looked at")

    __str__ = __repr__


ODD_VALUES = [
    "0", "__import__('os').abort()", b"1", "", float("nan"), float("inf"), -float("inf"), 10**5000, -(10**5000),
    np.array([0.0, 1.0]), np.array([]), np.array("1"), np.array(None), np.ma.masked, np.datetime64("2020"), 1j, 1 + 0j,
    [], [1], {}, set(), object(), Bomb(), int, len, sp.Symbol("q"), sp.Symbol("q") * 0.5, sp.I, sp.oo, sp.nan, sp.zoo,
    sp.true, sp.Matrix([1]), sp.Integral(sp.Symbol("t"), (sp.Symbol("t"), 0, 1)), Decimal("NaN"), Decimal("sNaN"),
    Decimal("Infinity"), np.float32("nan"), np.float64("inf"), np.longdouble("nan"), sp.Float("nan"),
]  # fmt: skip


@pytest.mark.parametrize("value", ODD_VALUES, ids=lambda value: type(value).__name__)
def test_odd_values_never_raise(value):
    for answer in (value, {"f": value, "i": 0}, {"f": 1, "i": 0, "o": value}, {"f": 1, "i": 0, "U": value}):
        verdict = check_gates("LSTM", "keep_state", answer)
        assert not verdict and verdict.hint
        assert "\n" not in verdict.hint and len(verdict.hint) < 250
    for name in checks_gates.COUNTEREXAMPLE_NAMES:
        verdict = check_counterexample(RESET | {name: value})
        assert not verdict and "\n" not in verdict.hint and len(verdict.hint) < 250
    assert not check_counterexample(value)


LONG_VALUES = {
    "int": 10**5000,
    "fraction": Fraction(10**5000, 10**5000 + 1),
    "longer fraction": Fraction(10**200000, 10**200000 + 1),
    "large Decimal": Decimal("1e999999"),
    "small Decimal": Decimal("1e-999999"),
    "long Decimal": Decimal("0." + "1" * 100000),
    "time": np.timedelta64(1, "s"),
    "tower": sp.exp(-sp.exp(sp.exp(100))),
    "wave of a large number": sp.sin(sp.exp(10**9)),
    "large": sp.exp(10**9),
    "small": sp.exp(-(10**9)),
    "power": sp.Pow(2, -(10**9), evaluate=False),
    "factorial": sp.factorial(10**6, evaluate=False),
    "sum": sp.Add(*[sp.sqrt(number) for number in range(2, 500)], evaluate=False),
    "zero in disguise": sp.sqrt(2) + sp.sqrt(3) - sp.sqrt(5 + 2 * sp.sqrt(6)),
    "close to 1": sp.tanh(sp.exp(10**4)),
    "Float": sp.Float("1e-3000"),
    "long number in a formula": sp.sqrt(2) * sp.Integer(10) ** 5000,
}


@pytest.mark.parametrize("value", LONG_VALUES.values(), ids=LONG_VALUES)
def test_long_numbers_are_refused_before_anything_is_computed(value):
    for name in ("U", "i"):
        verdict = check_gates("LSTM", "store_input", {"f": 0, "i": 1, "U": 0} | {name: value})
        assert not verdict and len(verdict.hint) < 250
    for name in checks_gates.COUNTEREXAMPLE_NAMES:
        assert not check_counterexample(RESET | {name: value})


def test_no_hint_names_the_value_that_is_right():
    """What a wrong answer says about the GRU's convention is the old state's share, and no setting."""
    for z_keeps, z in ((1, 0), (0, 1)):
        assert not re.search("z = [01] (keeps|replaces)", check_gates("GRU", "keep_state", {"z": z}, z_keeps).hint)


@pytest.mark.parametrize("name", [1, None, ..., (), "f\ni", "x" * 10_000, 10**5000, Bomb()], ids=type)
def test_odd_names_never_raise(name):
    for verdict in (check_gates("LSTM", "keep_state", {name: 1}), check_counterexample({name: 1})):
        assert "unknown name" in verdict.hint and "\n" not in verdict.hint and len(verdict.hint) < 250


@settings(max_examples=50, deadline=None)
@given(st.text())
def test_text_is_refused_unread(text):
    assert "never evaluated" in check_gates("GRU", "keep_state", {"z": text}).hint


@pytest.mark.parametrize(
    ("call", "choices"),
    [
        (("lstm", "keep_state", {}), "'LSTM' or 'GRU'"),
        ((["LSTM"], "keep_state", {}), "'LSTM' or 'GRU'"),
        (("LSTM", "keep", {}), "'store_input' or 'keep_state'"),
        (("LSTM", None, {}), "'store_input' or 'keep_state'"),
        (("GRU", "keep_state", {}, 2), "1 or 0"),
        (("GRU", "keep_state", {}, np.array([0, 1])), "1 or 0"),
    ],
)
def test_wrong_calls_name_the_choices(call, choices):
    with pytest.raises(ValueError, match=choices) as caught:
        check_gates(*call)
    assert "\n" not in str(caught.value)


def test_verdict_reads_well():
    right, wrong = check_gates("GRU", "keep_state", {"z": 1}), check_gates("GRU", "keep_state", {"z": 0.5})
    assert right and right.ok and right.hint == "" and repr(right) == "Right."
    assert not wrong and repr(wrong) == f"Not yet: {wrong.hint}"


# check_counterexample -------------------------------------------------------------------------------------------------
RESET = {"x": Fraction(1, 4), "h_prev": Fraction(-1, 2), "c_prev": -1, "w": 1, "u": 2, "b": 0, "z": 0, "r": 0}
RANGE = {"x": 1, "h_prev": 0, "c_prev": 0, "w": 3, "u": 0, "b": 0, "z": 0, "r": 1}
GRID = np.stack(np.meshgrid(*[np.linspace(0, 1, 9)] * 3)).reshape(3, -1)


def margin(values):
    """How far the GRU's output lies outside a grid of LSTM outputs (negative: inside). The grid has all corners."""
    v = {name: float(value) for name, value in values.items()}
    candidate = np.tanh(v["w"] * v["x"] + v["u"] * v["h_prev"] + v["b"])
    i, f, o = GRID
    reached = o * np.tanh(f * v["c_prev"] + i * candidate)
    gru = np.tanh(v["w"] * v["x"] + v["u"] * v["r"] * v["h_prev"] + v["b"])
    gru = v["z"] * v["h_prev"] + (1 - v["z"]) * gru
    return max(gru - reached.max(), reached.min() - gru)


def consistent(values):
    h, c = float(values["h_prev"]), float(values["c_prev"])
    return h == 0 or (h * c > 0 and abs(h) < np.tanh(abs(c)) - 1e-9)


def numbers(low, high):
    floats, ratios = st.floats(low, high), st.fractions(low, high, max_denominator=64)
    return st.one_of(floats.map(np.float32), floats, ratios, ratios.map(sp.Rational))


@settings(max_examples=200, deadline=None)
@given(
    st.fixed_dictionaries(
        {name: numbers(-3, 3) for name in ("x", "c_prev", "w", "u", "b")}
        | {name: st.one_of(st.sampled_from([0, 1]), numbers(0, 1)) for name in ("z", "r", "o_prev")}
    )
)
def test_counterexamples_are_judged_as_by_a_grid(values):
    o_prev = values.pop("o_prev")
    values["h_prev"] = float(o_prev) * float(np.tanh(float(values["c_prev"])))
    assume(consistent(values))
    outside = margin(values)
    assume(abs(outside) > 1e-9)
    assert check_counterexample(values).ok == (outside > 0)


@FEW
@given(numbers(-0.9375, 0.9375), numbers(-3, 3))
def test_inconsistent_states_are_refused(h_prev, c_prev):
    values = RESET | {"h_prev": h_prev, "c_prev": c_prev, "u": 40, "w": 8}
    h, c = float(h_prev), float(c_prev)
    assume(h == 0 or abs(abs(h) - np.tanh(abs(c))) > 1e-4)
    assert ("contradict" in check_counterexample(values).hint) == (not consistent(values))


@FEW
@given(st.floats(0.01, 15), st.sampled_from([float, np.float32, np.float64]))
@example(18.0, float)
def test_rounding_of_a_float_is_no_contradiction(c, kind):
    """h_prev = tanh(c_prev), computed in floats, may exceed the exact tanh by half a unit in the last place."""
    h = kind(np.tanh(kind(c)))
    assume(h < 1)
    values = RESET | {"h_prev": -h, "c_prev": -kind(c), "u": 2 / Fraction(float(h))}
    assert check_counterexample(values)
    assert check_counterexample({name: -values[name] if name in "x h_prev c_prev" else values[name] for name in values})


def test_known_counterexamples():
    assert check_counterexample(RESET) and check_counterexample(RANGE)
    assert check_counterexample({name: float(value) for name, value in RESET.items()})
    assert check_counterexample(RANGE | {"w": sp.pi})
    assert check_counterexample(RESET | {"h_prev": -sp.tanh(1) / 2}) and check_counterexample(
        RESET | {"h_prev": -sp.tanh(1)}
    )


@pytest.mark.parametrize("size", [Fraction(1, 10**300), 1, 30, 1000, 10**6, 1e300, 10**300])
def test_ends_are_decided_exactly(size):
    """z = 0, no recurrent weight: the GRU gives tanh(b), the LSTM's top is tanh(c + tanh(b)) for c >= 0."""
    base = {"x": 0, "w": 0, "h_prev": 0, "u": 0, "z": 0, "r": 0}
    assert check_counterexample(base | {"c_prev": 0, "b": size})  # tanh(b) < b for every b > 0, however close
    assert not check_counterexample(base | {"c_prev": size, "b": size})
    assert check_counterexample(base | {"c_prev": sp.Rational(size), "b": sp.Rational(size) + 1})
    assert not check_counterexample(base | {"c_prev": sp.Rational(size) + 1, "b": sp.Rational(size)})


def test_touching_an_end_is_inside():
    """The gates' interval is closed. Candidates of the LSTM at most 0, so that its top is tanh(c_prev)."""
    base = {"x": 0, "w": 0, "z": 0, "r": 0, "h_prev": Fraction(1, 2), "u": -20}
    assert not check_counterexample(base | {"b": 2, "c_prev": 2})
    assert check_counterexample(base | {"b": 2 + Fraction(1, 2**1000), "c_prev": 2})
    assert not check_counterexample(base | {"b": 2 - Fraction(1, 2**1000), "c_prev": 2})
    assert not check_counterexample(base | {"b": 0, "c_prev": 2, "z": 1})
    # The same float as both, where rounding alone would decide.
    assert not check_counterexample(base | {"b": 0.7, "c_prev": 0.7})
    assert check_counterexample(base | {"b": np.nextafter(0.7, 1), "c_prev": 0.7})


@pytest.mark.parametrize("h", [5e-324, 1e-300, 1e-50, 1e-20, 1e-16, 1e-14, 1e-8, 0.01, 0.4999, 0.5, 0.8, 0.96])
@pytest.mark.parametrize("sign", [1, -1])
def test_small_and_large_states_are_decided_exactly(h, sign):
    """c_prev is read as artanh(h_prev) where rounding asks for it. SymPy takes the log of 1 + 1e-16 for 0."""
    c = h if h < 1e-9 else float(np.arctanh(h))
    state = {"h_prev": sign * h, "c_prev": sign * c, "u": 0, "b": 0, "r": 0}
    wrong = [{"x": -sign, "w": 1, "z": 1}, {"x": sign, "w": h, "z": 0.9}]  # an exact touch; well inside
    for change in wrong:
        assert not check_counterexample(state | change)
    outside = {"x": sign, "w": 100, "u": -300 / Fraction(h), "z": 0}  # candidates tanh(100) and tanh(-200)
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
    "a gate above 1": ({"z": 1.5}, "z = 1.5 lies outside"),
    "a negative reset gate": ({"r": -1}, "r = -1 lies outside"),
    "text": ({"x": "1/4"}, "x is text"),
    "a gap not filled in": ({"x": None, "u": ...}, "not answered yet: x, u"),
    "an LSTM's gate": ({"f": 1}, "unknown name 'f'"),
    "a number out of all range": ({"w": 10**400}, "more than 1100 binary digits"),
}


@pytest.mark.parametrize(("change", "hint"), COUNTEREXAMPLE_HINTS.values(), ids=COUNTEREXAMPLE_HINTS)
def test_wrong_counterexamples_get_their_hint(change, hint):
    verdict = check_counterexample(RESET | change)
    assert not verdict
    assert re.search(hint, verdict.hint), verdict.hint


def test_incomplete_counterexamples():
    assert check_counterexample({}).hint == "not answered yet: x, h_prev, c_prev, w, u, b, z, r"
    assert check_counterexample(None).hint == check_counterexample(...).hint == "not answered yet"
    assert "z, r" in check_counterexample({name: RESET[name] for name in RESET if name not in "zr"}).hint


@FEW
@given(st.fixed_dictionaries({name: numbers(-3, 3) for name in ("x", "c_prev", "w", "u", "b")}), numbers(0, 1))
def test_interval_is_what_the_grid_spans(values, o_prev):
    exact = {
        name: value if isinstance(value, sp.Rational) else sp.Rational(*map(int, value.as_integer_ratio()))
        for name, value in values.items()
    }
    exact["h_prev"] = sp.Rational(float(o_prev) * float(np.tanh(float(exact["c_prev"]))))
    low, high = map(float, checks_gates.reachable_by_lstm(exact))
    candidate = np.tanh(float(exact["w"] * exact["x"] + exact["u"] * exact["h_prev"] + exact["b"]))
    i, f, o = GRID
    reached = o * np.tanh(f * float(exact["c_prev"]) + i * candidate)
    assert low == pytest.approx(reached.min(), abs=1e-12) and high == pytest.approx(reached.max(), abs=1e-12)


# ------------------------------------------------------------------------------------------- what once went wrong
@pytest.mark.parametrize(
    "values",
    [
        {"x": 0, "h_prev": 0.01, "c_prev": 1, "w": 1, "u": 0.01, "b": -0.0001, "z": 0.001, "r": 0},
        {
            "x": 0,
            "h_prev": Fraction(1, 2),
            "c_prev": 1,
            "w": 1,
            "u": 2,
            "b": -1 - Fraction(1, 10**22),
            "z": 0.001,
            "r": 0,
        },
    ],
    ids=["float", "fraction"],
)
def test_a_candidate_close_to_zero_needs_many_digits(values):
    """With these, the LSTM's candidate is -1e-21 or so: the bar ends just below 0 and the GRU lies clearly below."""
    assert helpers.check_counterexample(values)


INVOLVED = "too involved a formula"


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    ("f", "hint"),
    [
        (sp.Pow(sp.Float(2.5), sp.Integer(10) ** 8, evaluate=False), INVOLVED),
        (sp.Pow(sp.Float(2.5), sp.Float(1e8), evaluate=False), INVOLVED),
        (sp.exp(sp.Mul(-(10**9), sp.log(3), evaluate=False), evaluate=False), INVOLVED),
        (sp.tanh(sp.log(1999) / 2), "after 28 steps"),  # 1 - f is 1/1000 exactly, which SymPy does not see
    ],
    ids=str,
)
def test_numbers_that_sympy_would_work_on_for_ever(f, hint):
    verdict = helpers.check_gates("LSTM", "keep_state", {"f": f, "i": 0})
    assert not verdict and hint in verdict.hint


@pytest.mark.timeout(60)
def test_logarithms_with_large_factors_are_refused():
    values = {"x": sp.log(3) * 10**9, "h_prev": 0.9, "c_prev": 1.5, "w": 1, "u": -5, "b": 0, "z": 0.5, "r": 0}
    assert "a logarithm is multiplied by something large" in helpers.check_counterexample(values).hint
    values |= {"x": 1, "h_prev": sp.tanh(sp.log(3) / 2), "c_prev": sp.log(3) / 2}
    assert "contradict each other" in helpers.check_counterexample(values).hint or helpers.check_counterexample(values)


def test_numbers_and_dicts_of_the_students_own_classes():
    class Same(float):
        pass

    class Broken(float):
        def as_integer_ratio(self):
            raise KeyError

    class Closed(dict):
        def __iter__(self):
            raise RuntimeError

        __contains__ = __getitem__ = get = __iter__

    assert helpers.check_gates("GRU", "keep_state", {"z": Same(1)})
    assert helpers.check_gates("GRU", "keep_state", Closed(z=1))
    assert helpers.check_gates("GRU", "keep_state", {"z": Broken(1)}).hint == "z = 1.0 is not a finite number"
    values = {"x": 1, "h_prev": 0.9, "c_prev": Same(0.5), "w": 1, "u": -5, "b": 0, "z": 0.5, "r": 0}
    assert "contradict each other" in helpers.check_counterexample(values).hint
