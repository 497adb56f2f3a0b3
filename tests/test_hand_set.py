"""The equations, and Keras layers with hand-set weights against them; notebook 1 itself asserts more of it."""

import keras
import numpy as np
import pytest
import sympy as sp

from conftest import refused
from coursework.cells import equations
from coursework.formulas import one_unit, sigmoid, symbols
from coursework.hand_set import final_state, keras_layer, run_equations, two_step_lstm

X = np.random.default_rng(1).normal(size=(2, 6, 3))


@pytest.mark.parametrize("reset_after", [False, True])
def test_the_two_conventions_of_z(reset_after):
    z = symbols("z")
    keeping, replacing = (equations("GRU", keeps, reset_after) for keeps in (1, 0))
    assert sp.expand(keeping.state.subs(z, 1 - z) - replacing.state) == 0
    assert keeping.state.subs(z, 1) == replacing.state.subs(z, 0) == symbols("h_prev")


def test_one_unit_and_the_sigmoid_can_be_calculated_with():
    x, h_prev, r, W, U, b = sp.symbols("x h_prev r W U b", real=True)
    assert (
        sp.expand(one_unit(equations("GRU").candidate).args[0] - (W * x + U * r * h_prev + b)) == 0
    )
    assert sigmoid(b).diff(b) == sigmoid(b) * (1 - sigmoid(b))
    assert float(sp.tanh(sigmoid(sp.pi))) == pytest.approx(
        np.tanh(1 / (1 + np.exp(-np.pi))), abs=1e-15
    )
    with refused("'GRU' or 'LSTM'"):
        equations("SRN")
    with refused("1 or 0"):
        equations("GRU", z_keeps=2)


def random_layer(cell, units=4, features=3, **options):
    layer = keras_layer(cell, {}, units, features, dtype="float64", **options)
    rng = np.random.default_rng(0)
    layer.set_weights([rng.normal(size=weight.shape) for weight in layer.get_weights()])
    return layer


def test_states_are_those_of_keras_and_the_comparison_can_fail():
    """A layer in which the input and the forget gate are swapped is told apart."""
    layer = random_layer("LSTM")
    right, c = run_equations(layer, X)
    np.testing.assert_allclose(right, layer(X), atol=1e-12)
    np.testing.assert_allclose(c[:, -1], final_state(layer, X), atol=1e-12)
    layer.set_weights([np.roll(weight, 4, axis=-1) for weight in layer.get_weights()])
    assert np.abs(right - np.asarray(layer(X))).max() > 0.01
    for reset_after in (True, False):
        layer = random_layer("GRU", reset_after=reset_after)
        np.testing.assert_allclose(run_equations(layer, X)[0], layer(X), atol=1e-12)
    # A state goes on where it was.
    np.testing.assert_allclose(
        final_state(layer, X[:, 3:], final_state(layer, X[:, :3])), final_state(layer, X)
    )


@pytest.mark.parametrize(
    "options",
    [
        {"recurrent_activation": "hard_sigmoid"},
        {"activation": "relu"},
        {"go_backwards": True},
        {"use_bias": False},
    ],
    ids=str,
)
@pytest.mark.parametrize("cell", [keras.layers.LSTM, keras.layers.GRU])
def test_what_the_equations_do_not_follow_is_refused(cell, options):
    layer = cell(4, **options)
    layer.build((None, None, 3))
    with refused(f"^the equations have {next(iter(options))}="):
        run_equations(layer, np.zeros((1, 2, 3)))


SQUARE = keras_layer("GRU", {"W": np.arange(784).reshape(28, 28) / 784, "U": 0.1})


@pytest.mark.parametrize("function", [run_equations, final_state])
@pytest.mark.parametrize(
    ("layer", "x", "message"),
    [
        (
            SQUARE,
            np.ones((28, 28)),
            r"^x has shape \(28, 28\)",
        ),  # which would fit 28 units by broadcasting
        (SQUARE, np.ones((1, 28, 3)), "^x has shape"),
        (SQUARE, np.ones((1, 0, 28)), "^x has shape"),
        (keras.layers.Dense(3), X, "expected an LSTM or GRU layer or a model with one, got Dense"),
        (keras.layers.LSTM(3), X, "no weights yet"),
    ],
)
def test_what_can_not_be_run_is_refused(function, layer, x, message):
    with refused(message):
        function(layer, x)


def test_hand_set_weights_arrive():
    layer = keras_layer("LSTM", {"W": [[1, 2, 3]], "b_f": 5, "U_o": 7}, units=1, features=3)
    kernel, recurrent, bias = layer.get_weights()
    assert (
        kernel[:, 2].tolist() == [1, 2, 3] and kernel.sum() == 6
    )  # Keras's order: i, f, candidate, o
    assert recurrent.tolist() == [[0, 0, 0, 7]] and bias.tolist() == [0, 5, 0, 0]
    layer = keras_layer("GRU", {"b": 1, "b_U": 2, "b_r": 3}, units=1, features=1, reset_after=True)
    assert layer.get_weights()[2].tolist() == [[0, 3, 1], [0, 0, 2]]
    assert SQUARE.get_weights()[0][1, -28] == pytest.approx(
        1 / 784
    )  # W is (units, features), Keras's is turned


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ({"b_x": 1}, r"^unknown weight 'b_x': a GRU has W_z, "),
        ({"W": np.zeros((28, 64))}, r"^W has shape \(28, 64\), expected \(64, 28\)$"),
        ({"U_r": np.zeros(64)}, r"^U_r has shape \(64,\), expected \(64, 64\)"),
        ({"b": np.full(64, np.nan)}, r"^b holds NaN"),
        ({"b_z": None}, r"^b_z must be an array of numbers"),
        ({1: 1}, r"^unknown weight 1: "),
        ([np.zeros((28, 64))], r"^weights is of type list; a dict from name to array is needed$"),
    ],
)
def test_a_wrong_weight_is_named(weights, message):
    with refused(message):
        keras_layer("GRU", weights, units=64)


def test_the_two_step_lstm_follows_its_gru_for_two_steps():
    x = np.random.default_rng(2).uniform(-4, 4, (50, 3, 1))
    h = np.zeros(50)
    wanted = []
    for step in range(3):  # the GRU by hand: z = 1/2, U = 1, b = 1/2, r = sigma(x)
        reset = 1 / (1 + np.exp(-x[:, step, 0]))
        h = h / 2 + np.tanh(h * reset + 0.5) / 2
        wanted.append(h)
    offset = {1: wanted[0][0] / 2, 2: 0}
    for units in (1, 2):
        output = np.asarray(two_step_lstm(units)(x)).sum(axis=-1) + offset[units]
        np.testing.assert_allclose(output[:, 0], wanted[0], atol=1e-12)
        np.testing.assert_allclose(output[:, 1], wanted[1], atol=1e-12)
        assert np.abs(output[:, 2] - wanted[2]).max() > 1e-3
    with refused("units"):
        two_step_lstm(3)
