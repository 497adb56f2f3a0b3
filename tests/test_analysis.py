"""`trace` against Keras's own layers, and the numerics of the analysis against brute force."""

import math

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression

import helpers
from coursework import training

LAYERS = {"LSTM": keras.layers.LSTM, "GRU": keras.layers.GRU}
NAMES = {"LSTM": ["i", "f", "g", "o", "c", "h"], "GRU": ["z", "r", "g", "h"]}


def random_layer(kind, features=5, units=7, seed=0, **options):
    """A layer with random weights everywhere, biases included, so that a swapped gate shows."""
    layer = LAYERS[kind](units, return_sequences=True, **options)
    layer.build((None, None, features))
    rng = np.random.default_rng(seed)
    layer.set_weights([rng.normal(size=w.shape).astype(np.float32) for w in layer.get_weights()])
    return layer


def random_x(shape=(6, 9, 5), seed=1):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


# ------------------------------------------------------------------------------------------------------------ trace
@settings(max_examples=40, deadline=None)
@given(
    kind=st.sampled_from(["LSTM", "GRU"]),
    use_bias=st.booleans(),
    reset_after=st.booleans(),
    go_backwards=st.booleans(),
    activation=st.sampled_from(["tanh", "relu6", "sigmoid", "softsign", "linear"]),
    recurrent_activation=st.sampled_from(["sigmoid", "hard_sigmoid", "tanh"]),
    units=st.integers(1, 6),
    steps=st.integers(1, 6),
    seed=st.integers(0, 1000),
)
def test_h_is_the_layers_output(
    kind, use_bias, reset_after, go_backwards, activation, recurrent_activation, units, steps, seed
):
    options = {"reset_after": reset_after} if kind == "GRU" else {}
    layer = random_layer(
        kind,
        units=units,
        seed=seed,
        use_bias=use_bias,
        go_backwards=go_backwards,
        activation=activation,
        recurrent_activation=recurrent_activation,
        **options,
    )
    x = random_x((3, steps, 5), seed)
    traced = helpers.trace(layer, x)
    assert list(traced) == NAMES[kind]
    assert all(a.shape == (3, steps, units) and a.dtype == np.float32 for a in traced.values())
    np.testing.assert_allclose(traced["h"], layer(x), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("kind", LAYERS)
@pytest.mark.parametrize(
    "options",
    [{"unroll": True}, {"implementation": 1}, {"dropout": 0.5, "recurrent_dropout": 0.5}, {"use_cudnn": False}],
)
def test_settings_without_effect_in_prediction(kind, options):
    layer = random_layer(kind, **options)
    np.testing.assert_allclose(helpers.trace(layer, random_x())["h"], layer(random_x()), atol=1e-5)


def test_lstm_gates_one_by_one():
    """Each array against the equation written out with the slice of the weights that Keras documents."""
    layer, x = random_layer("LSTM"), random_x()
    w, u, b = (np.split(a, 4, axis=-1) for a in layer.get_weights())
    t = helpers.trace(layer, x)
    h, c = (np.concatenate([np.zeros_like(t[n][:, :1]), t[n][:, :-1]], 1) for n in "hc")
    for place, name in enumerate(["i", "f", "g", "o"]):
        total = x @ w[place] + h @ u[place] + b[place]
        np.testing.assert_allclose(t[name], np.tanh(total) if name == "g" else 1 / (1 + np.exp(-total)), atol=1e-5)
    np.testing.assert_allclose(t["c"], t["f"] * c + t["i"] * t["g"], atol=1e-5)
    np.testing.assert_allclose(t["h"], t["o"] * np.tanh(t["c"]), atol=1e-5)


@pytest.mark.parametrize("reset_after", [True, False])
def test_gru_gates_one_by_one(reset_after):
    layer, x = random_layer("GRU", reset_after=reset_after), random_x()
    w, u, b = (np.split(a, 3, axis=-1) for a in layer.get_weights())
    t = helpers.trace(layer, x)
    h = np.concatenate([np.zeros_like(t["h"][:, :1]), t["h"][:, :-1]], 1)
    bias = lambda k: b[k] if reset_after else (b[k], 0)  # noqa: E731
    for place, name in enumerate(["z", "r"]):
        total = x @ w[place] + bias(place)[0] + h @ u[place] + bias(place)[1]
        np.testing.assert_allclose(t[name], 1 / (1 + np.exp(-total)), atol=1e-5)
    recurrent = t["r"] * (h @ u[2] + bias(2)[1]) if reset_after else (t["r"] * h) @ u[2]
    np.testing.assert_allclose(t["g"], np.tanh(x @ w[2] + bias(2)[0] + recurrent), atol=1e-5)
    np.testing.assert_allclose(t["h"], t["z"] * h + (1 - t["z"]) * t["g"], atol=1e-5)


@pytest.mark.parametrize("kind", LAYERS)
def test_initial_state(kind):
    layer, x = random_layer(kind), random_x()
    state = [random_x((6, 7), seed) for seed in range(1 if kind == "GRU" else 2)]
    np.testing.assert_allclose(
        helpers.trace(layer, x, initial_state=state)["h"], layer(x, initial_state=state), atol=1e-5
    )
    if kind == "GRU":
        np.testing.assert_array_equal(
            helpers.trace(layer, x, initial_state=state[0])["h"], helpers.trace(layer, x, initial_state=state)["h"]
        )


def test_rnn_around_a_cell():
    layer = keras.layers.RNN(keras.layers.LSTMCell(4), return_sequences=True)
    expected = layer(random_x())
    np.testing.assert_allclose(helpers.trace(layer, random_x())["h"], expected, atol=1e-5)


def test_more_sequences_than_one_chunk():
    layer, x = random_layer("GRU"), random_x((2003, 3, 5))
    np.testing.assert_allclose(helpers.trace(layer, x)["h"], layer(x), atol=1e-5)


@pytest.mark.parametrize("kind", LAYERS)
def test_a_chosen_layer_of_a_stack(kind):
    model = helpers.build_model(helpers.Experiment(kind, 8, 3))
    x = helpers.binarize(np.random.default_rng(0).random((4, 28, 28)), 0.8)
    expected = x
    for number in range(3):
        layer = LAYERS[kind].from_config({**model.layers[number].get_config(), "return_sequences": True})
        layer.build(expected.shape)
        layer.set_weights(model.layers[number].get_weights())
        expected = layer(expected)
        np.testing.assert_allclose(helpers.trace(model, x, layer=number)["h"], expected, atol=1e-5)
    np.testing.assert_array_equal(
        helpers.trace(model, x, layer=model.layers[1].name)["h"], helpers.trace(model, x, layer=1)["h"]
    )
    with pytest.raises(ValueError, match=r"3 recurrent layers; choose one with layer= \(0: "):
        helpers.trace(model, x)
    with pytest.raises(ValueError, match="no recurrent layer 3"):
        helpers.trace(model, x, layer=3)


def test_a_model_that_was_saved_and_loaded(tmp_path):
    model = helpers.build_model(helpers.Experiment("GRU", 8))
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    x = helpers.binarize(np.random.default_rng(0).random((4, 28, 28)), 0.8)
    np.testing.assert_array_equal(helpers.trace(loaded, x)["h"], helpers.trace(model, x)["h"])
    np.testing.assert_array_equal(helpers.trace(model.layers[0], x)["h"], helpers.trace(model, x)["h"])


@pytest.mark.parametrize("kind", LAYERS)
@pytest.mark.parametrize("go_backwards", [False, True])
def test_masked_steps(kind, go_backwards):
    inputs = keras.Input((9, 5))
    layer = random_layer(kind, go_backwards=go_backwards)
    model = keras.Model(inputs, layer(keras.layers.Masking()(inputs)))
    x = random_x()
    x[0, 6:], x[1, 2], x[2, :3] = 0, 0, 0
    traced = helpers.trace(model, x)
    np.testing.assert_allclose(traced["h"], model(x), atol=1e-5)
    seen = x.any(-1)[:, ::-1] if go_backwards else x.any(-1)
    np.testing.assert_array_equal(np.isnan(traced["g"]).all(-1), ~seen)


def test_masks_that_change_the_output_too_are_refused():
    inputs = keras.Input((7, 3))
    layer = keras.layers.LSTM(4, return_sequences=True, zero_output_for_mask=True)
    model = keras.Model(inputs, layer(keras.layers.Masking()(inputs)))
    x = np.ones((2, 7, 3), np.float32)
    assert helpers.trace(model, x)["h"].shape == (2, 7, 4)
    x[:, 3] = 0
    with pytest.raises(ValueError, match="does not treat masked steps as trace does"):
        helpers.trace(model, x)


def test_state_from_another_layer_of_the_model():
    inputs = keras.Input((9, 5))
    states = keras.layers.LSTM(7, return_state=True, name="encoder")(inputs)[1:]
    outputs = keras.layers.LSTM(7, return_sequences=True, name="decoder")(inputs, initial_state=states)
    model = keras.Model(inputs, outputs)
    np.testing.assert_allclose(helpers.trace(model, random_x(), "decoder")["h"], model(random_x()), atol=1e-5)


def test_trace_changes_nothing():
    layer, x = random_layer("LSTM"), random_x()
    weights, before = [w.copy() for w in layer.get_weights()], x.copy()
    helpers.trace(layer, x)
    np.testing.assert_array_equal(x, before)
    assert all(np.array_equal(a, b) for a, b in zip(weights, layer.get_weights(), strict=True))


def two_inputs():
    a, b = keras.Input((9, 5)), keras.Input((9, 5))
    return keras.Model([a, b], keras.layers.GRU(3)(keras.layers.Add()([a, b])))


def shared_layer():
    inputs, layer = keras.Input((9, 5)), keras.layers.GRU(5, return_sequences=True)
    return keras.Model(inputs, layer(layer(inputs)))


def nested_model():
    inner = keras.Sequential([keras.Input((9, 5)), keras.layers.GRU(3)], name="inner")
    return keras.Sequential([keras.Input((9, 5)), inner])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: keras.Sequential([keras.Input((9, 5)), keras.layers.Dense(3)]), "no recurrent layer"),
        (nested_model, "trace the model inside it: 'inner'"),
        (lambda: keras.Sequential([keras.layers.GRU(3)]), "no weights yet|must be built"),
        (lambda: keras.layers.GRU(3), "no weights yet"),
        (lambda: keras.layers.SimpleRNN(3), "SimpleRNN with SimpleRNNCell"),
        (lambda: keras.layers.Dense(3), "expected an LSTM or GRU layer or a model with one, got Dense"),
        (lambda: keras.layers.LSTMCell(3), "got LSTMCell"),
        (lambda: None, "got NoneType"),
        (lambda: keras.layers.Bidirectional(keras.layers.GRU(3)), "forward_layer and backward_layer"),
        (lambda: random_layer("GRU", stateful=True), "stateful"),
        (two_inputs, "has 2 inputs"),
        (shared_layer, "more than once"),
    ],
)
def test_what_trace_refuses(make, message):
    with pytest.raises(ValueError, match=message):
        helpers.trace(make(), random_x())


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (random_x((6, 9, 4)), r"shape \(6, 9, 4\), expected \(N, T, 5\)"),
        (random_x((9, 5)), r"a single sequence is x\[None\]"),
        (random_x((0, 9, 5)), "at least one sequence"),
        (random_x((2, 0, 5)), "one step"),
        (np.full((2, 9, 5), np.nan), "NaN"),
        (np.full((2, 9, 5), "a"), "array of numbers"),
        ([[1, 2], [3]], "must be an array"),
        (None, "array of numbers"),
    ],
)
def test_x_that_does_not_fit(x, message):
    with pytest.raises(ValueError, match=message):
        helpers.trace(random_layer("GRU"), x)


def test_model_input_and_states_that_do_not_fit():
    model, layer = helpers.build_model(helpers.Experiment("LSTM", 8)), random_layer("LSTM")
    with pytest.raises(ValueError, match=r"expected \(N, 28, 28\)"):
        helpers.trace(model, random_x())
    with pytest.raises(ValueError, match="for a layer alone"):
        helpers.trace(model, np.zeros((1, 28, 28)), initial_state=np.zeros((1, 8)))
    with pytest.raises(ValueError, match=r"must be \[h, c\], each of shape \(6, 7\)"):
        helpers.trace(layer, random_x(), initial_state=[np.zeros((6, 7))])
    with pytest.raises(ValueError, match="a single layer is given"):
        helpers.trace(layer, random_x(), layer=0)


# --------------------------------------------------------------------------------------------------------- numerics
@pytest.fixture(scope="module")
def trained():
    """A GRU that has learned something, and 200 images it has not seen."""
    data = helpers.load_data("digits")
    model, history = training.fit(helpers.Experiment("GRU", 16, epochs=3, batch_size=32, learning_rate=0.01), data)
    return model, history, data


def test_read_out_at_the_last_step_is_the_models_own_prediction(trained):
    model, history, data = trained
    logits = helpers.read_out(model, helpers.trace(model, data.x_test)["h"])
    assert logits.shape == (len(data.y_test), 28, 10)
    np.testing.assert_allclose(logits[:, -1], model.predict(data.x_test, verbose=0), atol=1e-4)
    accuracy = (logits[:, -1].argmax(-1) == data.y_test).mean()
    assert accuracy == pytest.approx(history["val_accuracy"][-1], abs=1e-6)
    assert (helpers.predictions_of(model, data.x_test) == logits[:, -1].argmax(-1)).all()


def test_read_out_of_a_network_with_a_loss_at_every_step():
    model = helpers.build_model(helpers.Experiment("LSTM", 8, every_step=True))
    x = helpers.binarize(np.random.default_rng(0).random((4, 28, 28)), 0.8)
    logits = helpers.read_out(model, helpers.trace(model, x)["h"])
    np.testing.assert_allclose(logits, model(x), atol=1e-5)
    assert (helpers.predictions_of(model, x) == logits[:, -1].argmax(-1)).all()


def test_read_out_refuses_what_does_not_fit():
    model = helpers.build_model(helpers.Experiment("GRU", 8))
    with pytest.raises(ValueError, match=r"expected \(N, T, 8\)"):
        helpers.read_out(model, np.zeros((3, 28, 9)))
    with pytest.raises(ValueError, match="no recurrent layer"):
        helpers.read_out(helpers.build_model(helpers.Experiment("MLP", 8)), np.zeros((3, 28, 8)))


@pytest.mark.parametrize(("only_a", "only_b"), [(0, 0), (1, 0), (5, 5), (9, 2), (3, 14)])
def test_mcnemar_against_the_definition(only_a, only_b):
    right_a = np.array([True] * only_a + [False] * only_b + [True] * 20 + [False] * 3)
    right_b = np.array([False] * only_a + [True] * only_b + [True] * 20 + [False] * 3)
    result = helpers.mcnemar(right_a, right_b)
    n = only_a + only_b
    splits = [math.comb(n, k) / 2**n for k in range(n + 1)]
    assert result.p == pytest.approx(sum(s for s in splits if s <= splits[only_a] * (1 + 1e-9)))
    assert (result.only_a, result.only_b) == (only_a, only_b)
    assert result.difference == pytest.approx(right_a.mean() - right_b.mean())
    assert result.low < result.difference < result.high
    other = helpers.mcnemar(right_b, right_a)
    assert (other.p, other.low, other.high) == pytest.approx((result.p, -result.high, -result.low))


def test_mcnemar_verdicts():
    a, b = np.ones(30, bool), np.arange(30) >= 15
    assert helpers.mcnemar(a, b).verdict() == "better"
    assert helpers.mcnemar(b, a).verdict() == "worse"
    assert helpers.mcnemar(a, a).verdict() == "not separable"
    assert helpers.mcnemar(a, b).verdict(p=0.06) == "not separable"
    with pytest.raises(ValueError, match="boolean arrays"):
        helpers.mcnemar(a, b.astype(int))


def test_the_interval_of_the_difference_covers_the_truth():
    """About 95 of 100 intervals should; 2,000 simulated test sets of 300 images."""
    rng = np.random.default_rng(0)
    cells = rng.multinomial(300, [0.9, 0.05, 0.03, 0.02], size=2000)  # both, only a, only b, neither
    covered = 0
    for both, only_a, only_b, neither in cells:
        a = np.repeat([True, True, False, False], [both, only_a, only_b, neither])
        b = np.repeat([True, False, True, False], [both, only_a, only_b, neither])
        result = helpers.mcnemar(a, b)
        covered += result.low <= 0.02 <= result.high
    assert 0.93 < covered / 2000 < 0.97


def test_wilson_against_the_quadratic_it_solves():
    """Its ends are where the distance from the observed proportion is 1.96 standard errors of the end itself."""
    low, high = helpers.wilson([0, 3, 50, 99, 100], 100)
    for end in (low, high):
        np.testing.assert_allclose(
            (np.array([0, 0.03, 0.5, 0.99, 1]) - end) ** 2, 1.959964**2 * end * (1 - end) / 100, atol=1e-9
        )
    assert (low >= -1e-12).all() and (high <= 1 + 1e-12).all()
    assert np.isnan(helpers.wilson(0, 0)).all()


def test_holm_on_a_worked_example():
    np.testing.assert_allclose(helpers.holm([0.01, 0.04, 0.03, 0.005]), [0.03, 0.06, 0.06, 0.02])
    np.testing.assert_allclose(helpers.holm([0.9, 0.8]), [1, 1])


def test_commit_step_on_hand_made_predictions():
    predictions = [[3, 3, 3, 3], [1, 3, 3, 3], [3, 3, 1, 3], [3, 1, 3, 3], [0, 1, 2, 3]]
    assert helpers.commit_step(predictions).tolist() == [1, 2, 4, 3, 4]
    with pytest.raises(ValueError, match="expected"):
        helpers.commit_step([1, 2])


@given(st.lists(st.lists(st.integers(0, 2), min_size=6, max_size=6), min_size=1, max_size=5))
def test_commit_step_against_the_definition(predictions):
    for row, step in zip(predictions, helpers.commit_step(predictions), strict=True):
        assert step == min(t for t in range(1, 7) if len(set(row[t - 1 :])) == 1)


def test_first_and_last_ink():
    x = np.zeros((3, 28, 28))
    x[0, 4, 9] = x[0, 20, 3] = x[1, 0, 0] = 1
    assert helpers.first_ink(x).tolist() == [5, 1, 29]
    assert helpers.last_ink(x).tolist() == [21, 1, 0]


def test_separation_from_none_to_all():
    rng = np.random.default_rng(0)
    y = np.repeat(np.arange(10), 200)
    h = np.stack([np.zeros((2000, 3)), rng.normal(size=(2000, 3)), np.stack([y] * 3, 1)], axis=1)
    between, within = helpers.separation(h, y)
    assert (between + within) == pytest.approx(h.var(0).sum(-1))
    assert between[0] == within[0] == within[2] == 0
    assert between[1] / within[1] == pytest.approx(9 / 1999, rel=0.5)
    mixed = h[:, 2:] + 3 * rng.normal(size=(2000, 1, 3))
    within = sum(((mixed[y == k] - mixed[y == k].mean(0)) ** 2).sum() for k in range(10))
    assert helpers.separation(mixed, y)[1] == pytest.approx(within / 2000)


def test_separation_with_a_class_missing():
    y = np.repeat([0, 1], 5)
    between, within = helpers.separation(y[:, None, None] * np.ones((10, 2, 3)), y)
    assert between.tolist() == [0.75, 0.75] and within.tolist() == [0, 0]


def test_movement():
    h = np.array([[[3.0, 4.0], [3.0, 4.0], [0.0, 0.0]]])
    np.testing.assert_allclose(helpers.movement(h), [[5, 0, 5]])


def test_probe_finds_what_a_line_separates_and_nothing_else():
    rng = np.random.default_rng(0)
    y = np.repeat(np.arange(10), 60)
    noise = rng.normal(size=(600, 12))
    seen = np.eye(12)[y] + 0.05 * noise
    h = np.stack([noise, seen], axis=1)
    train = rng.random(600) < 0.5
    right = helpers.probe_accuracy(h[train], y[train], h[~train], y[~train])
    assert right[:, 0].mean() < 0.25 and right[:, 1].mean() > 0.99


def test_probe_is_scikit_learns_logistic_regression(trained):
    model, _, data = trained
    h_train, h_test = (helpers.trace(model, x)["h"][:, 20:22] for x in (data.x_train, data.x_test))
    right = helpers.probe_accuracy(h_train, data.y_train, h_test, data.y_test)
    middle, scale = h_train[:, 0].mean(0), h_train[:, 0].std(0) + 1e-3
    plain = LogisticRegression(C=10.0, max_iter=1000).fit((h_train[:, 0] - middle) / scale, data.y_train)
    expected = (plain.predict((h_test[:, 0] - middle) / scale) == data.y_test).mean()
    assert right[:, 0].mean() == pytest.approx(expected, abs=0.02)


def test_saturation():
    gate = np.array([[[0.05, 0.5], [0.95, 0.5]]])
    left, right = helpers.saturation(gate)
    assert left.tolist() == [0.5, 0] and right.tolist() == [0.5, 0]
