"""`trace` against Keras's own layers and TensorFlow's own cell, and read-outs against the models themselves."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import log_softmax

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


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: keras.Sequential([keras.Input((9, 5)), keras.layers.Dense(3)]), "no recurrent layer"),
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
        (random_x((9, 5)), r"a single one is x\[None\]"),
        (random_x((0, 9, 5)), r"shape \(0, 9, 5\)"),
        (random_x((2, 0, 5)), r"shape \(2, 0, 5\)"),
        (np.full((2, 9, 5), np.nan), "NaN"),
        (np.full((2, 9, 5), "a"), "array of numbers"),
        ([[1, 2], [3]], "must be an array"),
        (None, "array of numbers"),
    ],
)
def test_x_that_does_not_fit(x, message):
    with pytest.raises(ValueError, match=message):
        helpers.trace(random_layer("GRU"), x)


@pytest.mark.parametrize("steps", [1, 7])
def test_the_lstm_of_tensorflow_as_a_second_witness(steps):
    """`BlockLSTMV2` takes a Keras LSTM's weights as they are, and hands out its gates."""
    layer, x = random_layer("LSTM"), random_x((6, steps, 5))
    kernel, recurrent, bias = layer.get_weights()
    zero, none = tf.zeros((6, 7)), tf.zeros(7)
    witness = tf.raw_ops.BlockLSTMV2(
        seq_len_max=steps, x=x.transpose(1, 0, 2), cs_prev=zero, h_prev=zero, w=np.concatenate([kernel, recurrent]),
        wci=none, wcf=none, wco=none, b=bias, cell_clip=0, use_peephole=False,
    )  # fmt: skip
    traced = helpers.trace(layer, x)
    for name, other in {"i": "i", "f": "f", "g": "ci", "o": "o", "c": "cs", "h": "h"}.items():
        np.testing.assert_allclose(traced[name], np.asarray(getattr(witness, other)).transpose(1, 0, 2), atol=1e-5)


@pytest.mark.parametrize("policy", ["float64", "float16", "mixed_float16", "mixed_bfloat16"])
def test_other_precisions(policy):
    layer = keras.layers.GRU(5, return_sequences=True, dtype=keras.DTypePolicy(policy))
    layer.build((None, None, 3))
    traced = helpers.trace(layer, random_x((4, 6, 3)))
    assert {a.dtype for a in traced.values()} == {np.dtype("float64" if policy == "float64" else "float32")}


def test_layers_of_another_model_under_a_new_head():
    base = helpers.build_model(helpers.Experiment("GRU", 8))
    model = keras.Sequential([keras.Input((28, 28)), *base.layers[:-1], keras.layers.Dense(5)])
    x = helpers.binarize(np.random.default_rng(0).random((4, 28, 28)), 0.8)
    h = helpers.trace(model, x)["h"]
    np.testing.assert_array_equal(h, helpers.trace(base, x)["h"])
    np.testing.assert_allclose(helpers.read_out(model, h)[:, -1], model(x), atol=1e-5)


def test_a_layer_that_does_something_else_is_refused():
    """The guard: gates that do not give the layer's own output are not handed out."""

    class Doubled(keras.layers.GRU):
        def call(self, *args, **kwargs):
            return 2 * super().call(*args, **kwargs)

    layer = Doubled(3, return_sequences=True)
    layer.build((None, None, 5))
    with pytest.raises(ValueError, match="does something that trace does not follow"):
        helpers.trace(layer, random_x())


def functional(make):
    inputs = keras.Input((9, 5))
    outputs = make(inputs)
    return keras.Model(inputs, outputs)


def with_initial_state(inputs):
    states = keras.layers.LSTM(7, return_state=True)(inputs)[1:]
    return keras.layers.LSTM(7, name="decoder")(inputs, initial_state=states)


def two_heads(inputs):
    h = keras.layers.LSTM(10)(inputs)
    return [keras.layers.Dense(10)(h), keras.layers.Dense(10)(h)]


def beside_the_input(inputs):
    parts = [keras.layers.LSTM(8)(inputs), keras.layers.Flatten()(inputs)]
    return keras.layers.Dense(10)(keras.layers.Concatenate()(parts))


@pytest.mark.filterwarnings("error::UserWarning")
def test_masks_and_initial_states_are_refused_by_name():
    masking, lstm = keras.layers.Masking(), keras.layers.LSTM(4, return_sequences=True)
    for layer in (lstm, keras.layers.Bidirectional(lstm)):
        model = keras.Sequential([keras.Input((9, 5)), masking, layer])
        with pytest.raises(ValueError, match="given a mask"):
            helpers.trace(model, random_x())
    with pytest.raises(ValueError, match="given an initial state"):
        helpers.trace(functional(with_initial_state), random_x(), layer="decoder")
    with pytest.raises(ValueError, match=r"expected \(N, 28, 28\)"):
        helpers.trace(helpers.build_model(helpers.Experiment("LSTM", 8)), random_x())
    with pytest.raises(ValueError, match="a single layer is given"):
        helpers.trace(random_layer("LSTM"), random_x(), layer=0)
    assert helpers.trace(functional(two_heads), random_x())["h"].shape == (6, 9, 10)  # and without a warning


@pytest.mark.parametrize("x", [random_x((9, 5)), random_x((6, 9, 4)), np.ma.masked_less(random_x(), 0), "x"], ids=str)
@pytest.mark.parametrize("function", [helpers.trace, helpers.layer_outputs])
def test_any_door_refuses_x_that_does_not_fit(function, x):
    with pytest.raises(ValueError) as caught:
        function(random_layer("GRU"), x)
    assert "\n" not in str(caught.value)


# --------------------------------------------------------------------------------------------------------- read-outs
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


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (two_heads, "2 outputs|one output"),
        (lambda inputs: list(keras.layers.LSTM(10, return_state=True)(inputs)), "3 outputs|one output"),
        (
            lambda inputs: {"a": keras.layers.Dense(10)(keras.layers.GRU(3)(inputs)), "b": inputs},
            "2 outputs|one output",
        ),
        (lambda inputs: keras.layers.Dense(1)(keras.layers.GRU(3)(inputs)), "two or more classes"),
    ],
)
def test_outputs_that_are_no_logits_are_refused(make, message):
    model = functional(make)
    units = next(layer.units for layer in model.layers if hasattr(layer, "cell"))
    with pytest.raises(ValueError, match=message):
        helpers.predictions_of(model, random_x())
    with pytest.raises(ValueError, match=message):
        helpers.read_out(model, np.zeros((2, 9, units)))


def test_heads_of_every_form():
    def answer(*layers):
        return keras.Sequential([keras.Input((9, 5)), *layers])

    every = keras.layers.GRU(3, return_sequences=True)
    for model in (
        answer(every, keras.layers.TimeDistributed(keras.layers.Dense(4))),
        answer(every, keras.layers.Dense(4)),
    ):
        np.testing.assert_allclose(
            helpers.read_out(model, helpers.trace(model, random_x())["h"]), model(random_x()), atol=1e-5
        )
    with pytest.raises(ValueError, match="mix the steps"):
        helpers.read_out(answer(every, keras.layers.Flatten(), keras.layers.Dense(4)), np.zeros((2, 9, 3)))
    with pytest.raises(ValueError, match="one output that depends on"):
        helpers.read_out(functional(beside_the_input), np.zeros((2, 9, 8)))


def test_the_influence_of_a_row_is_what_its_definition_says():
    model = helpers.build_model(helpers.Experiment("GRU", 6, seed=3))
    x, classes = np.random.default_rng(0).random((3, 28, 28)).astype(np.float32), np.array([1, 4, 9])

    def log_chances(x):
        logits = helpers.read_out(model, helpers.layer_outputs(model.layers[0], x))
        return log_softmax(logits, axis=-1)[np.arange(3), :, classes]

    gradient, erasure = helpers.row_influence(model, x, classes)
    for row in (0, 11, 27):
        blank, moved = x.copy(), x.copy()
        blank[:, row] = 0
        assert np.allclose(erasure[:, :, row], log_chances(x) - log_chances(blank), atol=1e-5)
        assert not gradient[:, :row, row].any() and not erasure[:, :row, row].any()
        moved[:, row, 5] += 0.05  # no derivative is longer than the gradient
        slope = np.abs(log_chances(moved) - log_chances(x)) / 0.05
        assert (slope <= 1.05 * gradient[:, :, row] + 1e-4).all() and gradient[:, row:, row].min() > 0
