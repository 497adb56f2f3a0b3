"""Keras layers with hand-set weights against the equations."""

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from conftest import cases, refused
from coursework.cells import (
    deviation_from_keras,
    final_state,
    keras_layer,
    measure_gate_error,
    run_equations,
    wide_lstm,
)

X = np.random.default_rng(1).normal(size=(2, 6, 3))


@pytest.mark.parametrize(("cell", "reset_after"), [("LSTM", False), ("GRU", False), ("GRU", True)])
@pytest.mark.parametrize("seed", [0, 1])
def test_equations_are_those_of_keras(cell, reset_after, seed):
    assert deviation_from_keras(cell, reset_after, seed=seed, dtype="float64") < 1e-12
    assert deviation_from_keras(cell, reset_after, seed=seed, dtype="float32") < 5e-6


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
    layer = random_layer("GRU")  # a state goes on where it was
    np.testing.assert_allclose(final_state(layer, X[:, 3:], final_state(layer, X[:, :3])), final_state(layer, X))


@pytest.mark.parametrize(
    "options",
    [{"recurrent_activation": "hard_sigmoid"}, {"activation": "relu"}, {"go_backwards": True}, {"use_bias": False}],
    ids=str,
)
@pytest.mark.parametrize("cell", [keras.layers.LSTM, keras.layers.GRU])
def test_what_the_equations_do_not_follow_is_refused(cell, options):
    layer = cell(4, **options)
    layer.build((None, None, 3))
    with pytest.raises(ValueError, match=f"^the equations have {next(iter(options))}=[^\n]*$"):
        run_equations(layer, np.zeros((1, 2, 3)))


def test_other_layers_and_layers_without_weights_are_refused():
    for function in (run_equations, final_state):
        with pytest.raises(ValueError, match="expected an LSTM or GRU layer or a model with one, got Dense"):
            function(keras.layers.Dense(3), np.zeros((1, 2, 3)))
        with pytest.raises(ValueError, match="no weights yet"):
            function(keras.layers.LSTM(3), np.zeros((1, 2, 3)))


SQUARE = keras_layer("GRU", {"W": np.arange(784).reshape(28, 28) / 784, "U": 0.1})


@cases(60)
@given(
    st.sampled_from(["f4", "f8", "u1", "?", "O", "c8", "S2"]),
    st.sampled_from([(28, 28), (1, 2, 28), (2, 28, 28), (0, 3, 28), (1, 0, 28), (1, 28, 3), (28,), (1, 1, 28, 28)]),
)
def test_any_input_is_run_or_refused_in_one_line(dtype, shape):
    """A single image, (28, 28), would fit a layer of 28 units by broadcasting."""
    x = np.ones(shape, dtype)
    fits = x.ndim == 3 and x.size and x.shape[2] == 28 and x.dtype.kind in "fub"
    for function in (run_equations, final_state):
        try:
            found = function(SQUARE, x)
        except ValueError as error:
            assert not fits and "\n" not in str(error) and str(error).startswith("x ")
        else:
            assert fits and np.shape(found)[-1] == 28


def test_hand_set_weights_arrive():
    layer = keras_layer("LSTM", {"W": [[1, 2, 3]], "b_f": 5, "U_o": 7}, units=1, features=3)
    kernel, recurrent, bias = layer.get_weights()
    assert kernel[:, 2].tolist() == [1, 2, 3] and kernel.sum() == 6  # Keras's order: i, f, candidate, o
    assert recurrent.tolist() == [[0, 0, 0, 7]] and bias.tolist() == [0, 5, 0, 0]
    layer = keras_layer("GRU", {"b": 1, "b_U": 2, "b_r": 3}, units=1, features=1, reset_after=True)
    assert layer.get_weights()[2].tolist() == [[0, 3, 1], [0, 0, 2]]
    assert SQUARE.get_weights()[0][1, -28] == pytest.approx(1 / 784)  # W is (units, features), Keras's is turned


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


@pytest.mark.parametrize("cell", ["LSTM", "GRU"])
def test_gate_errors_stay_below_their_bounds(cell):
    biases = np.arange(0, 41, 4)
    share = 1 / (1 + np.exp(1.0 * biases))
    signs = {"LSTM": {"b_i": 1, "b_f": -1}, "GRU": {"b_z": -1}}[cell]
    opposite = {name: -sign for name, sign in signs.items()}
    store = measure_gate_error(cell, "store_input", signs, biases)
    keep = measure_gate_error(cell, "keep_state", opposite, biases)
    assert (store <= 2 * share + 1e-6).all() and store[0] > 0.5 and store[-1] == 0
    assert (keep <= 2 * (1 - (1 - share) ** 28) + 1e-5).all() and keep[0] > 0.5 and keep[-1] == 0
    assert 0 < measure_gate_error(cell, "store_input", signs, biases, blank=True)[-1] < 1e-15


def test_wider_lstms_follow_a_gru_more_closely():
    gru = keras_layer("GRU", {"U": -8, "b": 1, "W_r": 1}, units=1, features=1, dtype="float64")
    x = np.random.default_rng(1).uniform(-3, 3, (50, 20, 1))
    misses = []
    for units in (16, 128):
        lstm, V = wide_lstm(gru, units)
        misses.append(np.abs(np.asarray(lstm(x)) @ V - np.asarray(gru(x))[..., 0]).mean())
    assert 0.5 > misses[0] > 5 * misses[1] > 0
