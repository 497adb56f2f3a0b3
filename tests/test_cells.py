"""Every cell through the whole chain: its equations, Keras, the trace, training and the store, for all cells alike."""

import shutil

import in_node
import numpy as np
import pytest
import sympy as sp
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

import helpers
from conftest import ROOT, cases, python, refused
from coursework import store
from coursework.backend import keras
from coursework.cells import CELLS, equations
from coursework.formulas import Cell, cell_from_data, dot, sigmoid, symbols
from coursework.keras_cells import (
    FormulaCell,
    cell_of,
    named_weights,
    new_layer,
    run_step,
    set_named_weights,
)

FEATURES, UNITS, STEPS = 5, 4, 6
ALL = {
    **CELLS,
    "GRU, reset after": equations("GRU", reset_after=True),
    "GRU, z replaces": equations("GRU", z_keeps=0),
}
x, h_prev, c_prev, c, g, i, f, o, z, r = symbols("x h_prev c_prev c g i f o z r")
W, U, b, W_z, U_z, b_z, W_r, p_z = symbols("W U b W_z U_z b_z W_r p_z")

every_cell = pytest.mark.parametrize("cell", ALL.values(), ids=list(ALL))


def mine(**changes):
    """A small cell with one gate, which no file of the bundle has."""
    parts = {
        "gates": {z: sigmoid(dot(W_z, x) + dot(U_z, h_prev) + b_z)},
        "candidate": sp.tanh(dot(W, x) + dot(U, z * h_prev)),
        "state": z * h_prev + (1 - z) * g,
    }
    return Cell("mine", **{**parts, **changes})


def random_weights(cell, rng, scale=0.7):
    lengths = {"units": UNITS, "features": FEATURES}
    return {
        name: rng.normal(0, scale, [lengths[kind] for kind in shape])
        for name, shape in cell.weights.items()
    }


def by_formula(cell, dtype="float64", **options):
    """An RNN around a FormulaCell, built."""
    layer = keras.layers.RNN(
        FormulaCell(cell, UNITS, dtype=dtype), return_sequences=True, dtype=dtype, **options
    )
    layer.build((None, None, FEATURES))
    return layer


def over_time(cell, weights, rows):
    """{name: (N, T, units)} of the equations, step by step."""
    h = c = np.zeros((len(rows), UNITS))
    steps = []
    for t in range(rows.shape[1]):
        new = run_step(cell, weights, {"x": rows[:, t], "h_prev": h, "c_prev": c})
        h, c = new["h"], new.get("c", c)
        steps.append(new)
    return {
        name: np.stack([np.broadcast_to(step[name], h.shape) for step in steps], 1)
        for name in steps[0]
    }


def check_chain(cell, seed=0):
    """Equations, Keras cell and trace agree, and what as_data wrote down is the same cell."""
    rng = np.random.default_rng(seed)
    weights, rows = random_weights(cell, rng), rng.normal(size=(3, STEPS, FEATURES))
    expected = over_time(cell, weights, rows)
    layer = by_formula(cell)
    set_named_weights(layer, weights)
    for name, weight in named_weights(layer).items():
        np.testing.assert_array_equal(weight, weights[name])
    np.testing.assert_allclose(layer(rows), expected["h"], atol=1e-10)
    traced = helpers.trace(layer, rows)
    assert list(traced) == cell.traced and set(traced) == {*cell.gate_names, "g", *cell.states}
    for name, values in traced.items():
        np.testing.assert_allclose(values, expected[name], atol=1e-10)
    assert cell_from_data(cell.as_data()) == cell
    if in_node.NODE:
        on_page = in_node.run_in_node(cell, weights, rows)
        for name, values in on_page.items():
            np.testing.assert_allclose(
                values, expected[name], atol=1e-5 * max(1, np.abs(values).max())
            )


@every_cell
def test_equations_keras_cell_and_trace_agree(cell):
    check_chain(cell)


@every_cell
def test_hand_set_layers_of_every_cell(cell):
    rng = np.random.default_rng(1)
    weights, rows = random_weights(cell, rng), rng.normal(size=(2, STEPS, FEATURES))
    layer = helpers.keras_layer(cell, weights, UNITS, FEATURES, dtype="float64")
    assert cell_of(layer) == cell
    np.testing.assert_allclose(layer(rows), over_time(cell, weights, rows)["h"], atol=1e-10)


# ------------------------------------------------------------------------------------------------- Keras's own layers
SETTINGS = [
    {},
    {"use_bias": False},
    {"activation": "relu"},
    {"recurrent_activation": "hard_sigmoid"},
    {"go_backwards": True},
]
ACTIVATIONS = {
    "relu": lambda a: sp.Max(a, 0),
    "hard_sigmoid": lambda a: sp.Min(1, sp.Max(0, a / 6 + sp.Rational(1, 2))),
}


def with_activations(cell, activation="tanh", recurrent_activation="sigmoid", **_):
    """The cell with other functions in place of tanh and sigmoid, and under a name of its own."""

    def changed(formula):
        if formula is None:
            return None
        if activation != "tanh":
            formula = formula.replace(sp.tanh, ACTIVATIONS[activation])
        if recurrent_activation != "sigmoid":
            formula = formula.replace(sigmoid, ACTIVATIONS[recurrent_activation])
        return formula

    gates = {gate: changed(formula) for gate, formula in cell.gates.items()}
    return Cell("changed", gates, *map(changed, (cell.candidate, cell.state, cell.output)))


@pytest.mark.parametrize("setting", SETTINGS, ids=str)
@pytest.mark.parametrize("name", [name for name, cell in ALL.items() if cell.keras.name])
def test_keras_layers_are_their_equations_forwards_and_in_their_gradients(name, setting):
    """float64, random weights, several steps: outputs and all gradients to 1e-10."""
    cell, rng = ALL[name], np.random.default_rng(2)
    if "recurrent_activation" in setting and not cell.gates:
        pytest.skip("has no gates")
    kind = getattr(keras.layers, cell.keras.name)
    layer = kind(UNITS, return_sequences=True, dtype="float64", **cell.keras.options, **setting)
    layer.build((None, None, FEATURES))
    layer.set_weights([rng.normal(0, 0.7, weight.shape) for weight in layer.get_weights()])
    formula = by_formula(
        with_activations(cell, **setting), go_backwards=setting.get("go_backwards", False)
    )
    set_named_weights(formula, named_weights(layer))
    rows = tf.constant(rng.normal(size=(3, STEPS, FEATURES)))
    found = {}
    for which in (layer, formula):
        with tf.GradientTape() as tape:
            tape.watch(rows)
            out = which(rows)
            loss = tf.reduce_sum(tf.sin(out) * tf.cast(tf.range(1, STEPS + 1), tf.float64)[:, None])
        variables = [variable.value for variable in which.trainable_variables]
        by_rows, *by_weights = tape.gradient(loss, [rows, *variables])
        which.set_weights([gradient.numpy() for gradient in by_weights])
        found[which] = out.numpy(), by_rows.numpy(), named_weights(which)
    for own, expected in zip(found[layer][:2], found[formula][:2], strict=True):
        np.testing.assert_allclose(own, expected, atol=1e-10)
    for weight, expected in found[formula][2].items():
        if setting.get("use_bias", True) or weight[0] in "WU":
            # With reset_after, the two biases of a gate have this gradient each, and their names stand for the sum.
            twice = cell.keras.options.get("reset_after") and weight in ("b_z", "b_r")
            np.testing.assert_allclose(
                found[layer][2][weight], expected * (1 + bool(twice)), atol=1e-10
            )


# ------------------------------------------------------------------------------------------------ cells of one's own
@st.composite
def random_cells(draw):
    """A cell with up to three gates: products, coupled gates, gates that read each other, with and without c."""
    has_c = draw(st.booleans())
    old = c_prev if has_c else h_prev
    gates = {}
    for gate in symbols("q s t")[: draw(st.integers(0, 3))]:
        W_, U_, b_, p_ = symbols(f"W_{gate} U_{gate} b_{gate} p_{gate}")
        terms = [dot(W_, x), dot(U_, h_prev), b_, p_ * old, *gates]
        chosen = draw(st.lists(st.sampled_from(terms), min_size=1, max_size=3, unique=True))
        gates[gate] = draw(st.sampled_from([sigmoid, sp.tanh]))(sum(chosen))
    factors = [sp.Integer(1), *gates, *(1 - gate for gate in gates)]
    inner = draw(st.sampled_from(factors)) * h_prev
    candidate = (
        dot(W, x) + draw(st.sampled_from([0, dot(U, inner)])) + draw(st.sampled_from([0, b]))
    )
    candidate = draw(st.sampled_from([candidate, sp.tanh(candidate), sp.Max(candidate, 0)]))
    state = draw(st.sampled_from(factors)) * old + draw(st.sampled_from(factors)) * g
    state = draw(st.sampled_from([state, sp.tanh(state)]))
    output = draw(st.sampled_from(factors)) * sp.tanh(c) if has_c else None
    return Cell("random", gates, candidate, state, output)


@cases(30)
@given(random_cells(), st.integers(0, 99))
def test_random_cells_go_through_the_whole_chain(cell, seed):
    check_chain(cell, seed)


def test_the_order_of_lines_and_the_name_do_not_matter_and_each_letter_does():
    gates = {z: sigmoid(dot(W_z, x) + b_z), r: sigmoid(dot(W_r, x))}
    state = z * h_prev + (1 - z) * r * g
    first = mine(gates=gates, state=state)
    turned = mine(gates=dict(reversed(gates.items())), state=g * r * (1 - z) + h_prev * z)
    assert first == turned and hash(first) == hash(turned)
    assert first == Cell(
        "other", gates, first.candidate, state, color="#000000", titles={"z": "a gate"}
    )
    assert first != mine(gates=gates | {r: sigmoid(dot(W_z, x))}, state=state)
    assert (
        helpers.Experiment(first) == helpers.Experiment(turned) != helpers.Experiment(first, seed=1)
    )


BAD = {
    "an unknown symbol": ({"candidate": sp.tanh(dot(W, x) + symbols("q"))}, "unknown symbol q"),
    "h for h_prev": ({"candidate": sp.tanh(dot(W, x) + dot(U, symbols("h")))}, "write h_prev"),
    "c for c_prev": ({"output": sp.tanh(c), "state": z * c + g}, "write c_prev"),
    "c_prev without an output": ({"state": z * c_prev + g}, "write h_prev"),
    "a gate of itself": ({"gates": {z: sigmoid(dot(W_z, x) + z)}}, r"depends on itself \(z -> z\)"),
    "gates in a circle": ({"gates": {z: sigmoid(dot(W_z, x) + r), r: sigmoid(z)}}, r"z -> r -> z"),
    "a candidate of itself": ({"candidate": sp.tanh(dot(W, x) + g)}, "the candidate itself"),
    "no candidate in the state": ({"state": z * h_prev}, "never reads its candidate"),
    "no state in the output": ({"output": sp.tanh(z)}, "never reads the state"),
    "a product of two vectors": ({"candidate": sp.tanh(W * x)}, r"write dot\(W, x\)"),
    "x as it is": ({"candidate": sp.tanh(x)}, r"write dot\(W, x\)"),
    "x beside units": ({"candidate": sp.tanh(b * x)}, r"write dot\(W, x\)"),
    "U for x": ({"candidate": sp.tanh(dot(U, x))}, "a matrix for x begins with W"),
    "W for h": (
        {"candidate": sp.tanh(dot(W, h_prev))},
        "a matrix for a vector of units begins with U",
    ),
    "a vector for a matrix": ({"candidate": sp.tanh(dot(b, h_prev))}, "dot takes a matrix first"),
    "an unknown function": ({"candidate": sp.asin(dot(W, x))}, "asin is not among the functions"),
    "cases": (
        {"candidate": sp.Piecewise((dot(W, x), z > 0), (0, True))},
        "not among the functions",
    ),
    "a power of a vector": ({"candidate": dot(W, x) ** z}, "not among the functions"),
    "a complex number": ({"candidate": sp.I * dot(W, x)}, "I is no finite real number"),
    "infinity": ({"candidate": dot(W, x) + sp.zoo}, "no finite real number"),
    "a taken gate": ({"gates": {h_prev: sigmoid(dot(W_z, x))}}, "the name h_prev is taken"),
    "a gate like a weight": (
        {"gates": {W: sigmoid(dot(W_z, x))}},
        "names that begin with W are weights",
    ),
    "a gate as text": ({"gates": {"z": sigmoid(dot(W_z, x))}}, "a gate is a symbol"),
    "gates in a list": ({"gates": [z]}, "gates must be a dict"),
    "text": ({"candidate": "tanh(x)"}, "text is never evaluated"),
    "a matrix of SymPy": ({"candidate": sp.Matrix([1])}, "a SymPy formula is needed"),
    "no state": ({"state": None}, "the state is missing"),
    "nothing of the past": (
        {"gates": {}, "candidate": sp.tanh(dot(W, x)), "state": g},
        "there is no state",
    ),
    "a number for a candidate": ({"candidate": 1}, "the candidate is a number"),
}


@pytest.mark.parametrize(("changes", "message"), BAD.values(), ids=list(BAD))
def test_what_is_no_cell_gets_one_line(changes, message):
    with refused(message):
        mine(**changes)


@pytest.mark.parametrize("name", ["GRU", "minGRU", "CNN", "", " ", 3, None])
def test_a_name_that_is_taken_or_none(name):
    with refused(r"is taken by other equations|is text"):
        Cell(name, mine().gates, mine().candidate, mine().state)


def test_symbols_are_known_by_their_names():
    """Those of SymPy itself are as good, whatever they assume."""
    plain = sp.symbols("x h_prev z g W U W_z U_z b_z")
    x_, h_, z_, g_, W_, U_, W_z_, U_z_, b_z_ = plain
    gates = {z_: sigmoid(dot(W_z_, x_) + dot(U_z_, h_) + b_z_)}
    assert (
        Cell("mine", gates, sp.tanh(dot(W_, x_) + dot(U_, z_ * h_)), z_ * h_ + (1 - z_) * g_)
        == mine()
    )
    assert symbols("x") is symbols("x h_prev")[0]


def test_a_gate_that_is_a_number_or_another_gate():
    gates = {z: sigmoid(dot(W_z, x) + b_z), r: 1 - z, o: sp.Rational(1, 4)}
    check_chain(mine(gates=gates, state=z * h_prev + r * o * g))


def test_a_matrix_that_meets_two_vectors():
    check_chain(
        mine(candidate=sp.tanh(dot(W, x) + dot(U, h_prev) + dot(U, z * h_prev) + dot(W_z, 2 * x)))
    )


# ------------------------------------------------------------------------------------------------- training and storing
def test_a_cell_of_ones_own_is_trained_found_again_and_read(data, runs):
    cell = mine()
    experiment = helpers.Experiment(cell, 6, layers=2, epochs=2, batch_size=32, gate_bias=0.5)
    trained = helpers.train_all([experiment], data, n_jobs=1)[experiment]
    assert trained.trained and experiment.label == "mine 2 x 6, gate bias 0.5"
    renamed = Cell("renamed", cell.gates, cell.candidate, cell.state)
    again = helpers.Experiment(renamed, 6, layers=2, epochs=2, batch_size=32, gate_bias=0.5)
    found = helpers.train_all([again], data, n_jobs=1)[again]
    assert not found.trained and found.path == trained.path
    np.testing.assert_array_equal(
        helpers.predictions_of(found.model, data.x_test),
        helpers.predictions_of(trained.model, data.x_test),
    )
    assert (
        store.stored(
            helpers.Experiment(mine(candidate=sp.tanh(dot(W, x) + dot(U_z, z * h_prev))), 6), data
        )
        is None
    )
    traced = helpers.trace(trained.model, data.x_test[:3], layer=1)
    assert list(traced) == ["z", "g", "h"] and traced["z"].shape == (3, 28, 6)


def test_gate_biases_are_those_of_the_gates():
    for family in ("GRU", "LSTM", *(name for name in CELLS if CELLS[name].gates)):
        layer = helpers.build_model(helpers.Experiment(family, UNITS, gate_bias=2.5)).layers[0]
        named = named_weights(layer)
        cell = cell_of(layer)
        in_gates = {f"b_{gate}" for gate in cell.gate_names}
        assert {
            name for name, weight in named.items() if name[0] == "b" and (weight == 2.5).all()
        } == in_gates
        assert all((weight == 0).all() for name, weight in named.items() if name in ("b", "b_U"))


def test_worker_processes_train_cells_of_ones_own(data, runs):
    experiments = [helpers.Experiment(mine(), 4, epochs=1, seed=seed) for seed in (0, 1)]
    results = helpers.train_all(experiments, data, n_jobs=2)
    assert [result.trained for result in results.values()] == [True, True]
    here = store.stored(experiments[0], data).model.get_weights()
    shutil.rmtree(runs)
    alone = helpers.train_all(experiments[:1], data, n_jobs=1)[experiments[0]].model.get_weights()
    assert all(map(np.array_equal, here, alone))


TENTH = '''"""A cell of the test."""

import sympy as sp

from coursework.formulas import Cell, dot, sigmoid, symbols

x, h_prev, g, k, W, U, b, W_k, b_k = symbols("x h_prev g k W U b W_k b_k")
CELL = Cell("tenth", {k: sigmoid(dot(W_k, x) + b_k)}, sp.tanh(dot(W, x) + dot(U, h_prev) + b), k * h_prev + (1 - k) * g)
'''
USE = """
import helpers, numpy as np
from coursework.reader import make_content, drawn_images
data = helpers.load_data("digits")
assert "tenth" in helpers.CELLS
assert helpers.check_gates("tenth", "keep_state", {"k": 1}) and not helpers.check_gates("tenth", "keep_state", {"k": 0})
assert helpers.properties("tenth")["keep_state"].setting == {"k": 1}
experiment = helpers.Experiment("tenth", 8, epochs=1)
model = helpers.train_all([experiment], data, n_jobs=1)[experiment].model
traced = helpers.trace(model, data.x_test[:4])
assert list(traced) == ["k", "g", "h"]
helpers.plot_over_time(data.x_test[:4], traced, list(traced))
content = make_content({experiment.label: model}, drawn_images())
helpers.save_reader({experiment.label: model}, data)
print(content["networks"][0]["label"])
"""


def test_a_file_is_all_that_a_tenth_cell_takes(tmp_path):
    """In a copy of the bundle: proved, trained, traced and read, with nothing else changed."""
    shutil.copytree(ROOT / "coursework", tmp_path / "coursework")
    shutil.copy(ROOT / "helpers.py", tmp_path)
    (tmp_path / "coursework" / "cells" / "tenth.py").write_text(TENTH)
    result = python("-c", USE, cwd=tmp_path, PYTHONPATH=str(tmp_path))
    assert (result.returncode, result.stdout.splitlines()[-1:]) == (0, ["tenth 8"]), result.stderr


def test_a_new_layer_is_kerass_own_where_it_has_the_cell():
    kinds = {name: type(new_layer(cell, 2, "float32")).__name__ for name, cell in ALL.items()}
    assert kinds["LSTM"] == "LSTM" and kinds["GRU"] == kinds["GRU, reset after"] == "GRU"
    assert kinds["GRU, z replaces"] == kinds["minGRU"] == "RNN" and kinds["RNN"] == "SimpleRNN"


def test_a_saved_model_is_opened_without_code_of_ours(tmp_path):
    """Keras reads the equations as data: `load_model` in its safe mode."""
    model = keras.Sequential(
        [keras.Input((STEPS, FEATURES)), keras.layers.RNN(FormulaCell(mine(), UNITS))]
    )
    model.save(tmp_path / "mine.keras")
    again = keras.models.load_model(tmp_path / "mine.keras")
    rows = np.random.default_rng(0).normal(size=(2, STEPS, FEATURES))
    np.testing.assert_array_equal(again(rows), model(rows))
    assert cell_of(again.layers[0]) == mine()
