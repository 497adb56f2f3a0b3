"""`trace` against Keras's own layers and TensorFlow's own cell, and read-outs against the models themselves."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

import helpers
from conftest import cases, refused

LAYERS = {"LSTM": keras.layers.LSTM, "GRU": keras.layers.GRU}
NAMES = {"LSTM": ["i", "f", "g", "o", "c", "h"], "GRU": ["z", "r", "g", "h"]}
IMAGES = helpers.binarize(np.random.default_rng(0).random((4, 28, 28)), 0.8)


def random_layer(kind, features=5, units=7, seed=0, **options):
    """A layer with random weights everywhere, biases included, so that a swapped gate shows."""
    layer = LAYERS.get(kind, kind)(units, return_sequences=True, **options)
    layer.build((6 if layer.stateful else None, None, features))
    rng = np.random.default_rng(seed)
    layer.set_weights([rng.normal(size=w.shape).astype(np.float32) for w in layer.get_weights()])
    return layer


def random_x(shape=(6, 9, 5), seed=1):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def network(*layers, shape=(9, 5)):
    return keras.Sequential([keras.Input(shape), *layers])


def functional(make, inputs=None):
    inputs = keras.Input((9, 5)) if inputs is None else inputs
    return keras.Model(inputs, make(inputs))


def assert_h(traced, expected):
    np.testing.assert_allclose(traced["h"], expected, atol=1e-5, rtol=1e-5)


SETTINGS = {
    "use_bias": st.booleans(),
    "go_backwards": st.booleans(),
    "activation": st.sampled_from(["tanh", "relu6", "sigmoid", "softsign", "linear"]),
    "recurrent_activation": st.sampled_from(["sigmoid", "hard_sigmoid", "tanh"]),
    "units": st.integers(1, 6),
    "seed": st.integers(0, 1000),
}
# Those of a GRU alone, and those without effect in prediction.
OTHERS = [
    {"reset_after": True},
    {"reset_after": False},
    {"unroll": True},
    {"implementation": 1},
    {"use_cudnn": False},
]
OTHERS += [{"dropout": 0.5, "recurrent_dropout": 0.5}, {}]
ANY_OPTIONS = st.fixed_dictionaries({}, optional=SETTINGS)


@cases(40)
@given(st.sampled_from(["LSTM", "GRU"]), ANY_OPTIONS, st.sampled_from(OTHERS), st.integers(1, 6))
def test_h_is_the_layers_output_and_nothing_changes(kind, options, others, steps):
    options |= others if kind == "GRU" or "reset_after" not in others else {}
    layer, x = random_layer(kind, **options), random_x((3, steps, 5))
    weights, before = [w.copy() for w in layer.get_weights()], x.copy()
    traced = helpers.trace(layer, x)
    assert list(traced) == NAMES[kind]
    assert all(
        a.shape == (3, steps, layer.units) and a.dtype == np.float32 for a in traced.values()
    )
    assert_h(traced, layer(x))
    assert all(map(np.array_equal, [x, *layer.get_weights()], [before, *weights]))


@pytest.mark.parametrize("steps", [1, 7])
def test_the_lstm_of_tensorflow_as_a_witness(steps):
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
        np.testing.assert_allclose(
            traced[name], np.asarray(getattr(witness, other)).transpose(1, 0, 2), atol=1e-5
        )


@pytest.mark.parametrize("reset_after", [True, False])
def test_gru_gates_one_by_one(reset_after):
    """Each array against the equation written out with the slice of the weights that Keras documents."""
    layer, x = random_layer("GRU", reset_after=reset_after), random_x()
    w, u, b = (np.split(a, 3, axis=-1) for a in layer.get_weights())
    t = helpers.trace(layer, x)
    h = np.concatenate([np.zeros_like(t["h"][:, :1]), t["h"][:, :-1]], 1)
    b = b if reset_after else [(part, 0) for part in b]
    for place, name in enumerate(["z", "r"]):
        total = x @ w[place] + b[place][0] + h @ u[place] + b[place][1]
        np.testing.assert_allclose(t[name], 1 / (1 + np.exp(-total)), atol=1e-5)
    recurrent = t["r"] * (h @ u[2] + b[2][1]) if reset_after else (t["r"] * h) @ u[2]
    np.testing.assert_allclose(t["g"], np.tanh(x @ w[2] + b[2][0] + recurrent), atol=1e-5)
    assert_h(t, t["z"] * h + (1 - t["z"]) * t["g"])


def test_rnn_around_a_cell_and_more_sequences_than_one_chunk():
    around = keras.layers.RNN(keras.layers.LSTMCell(4), return_sequences=True)
    for layer, x in ((around, random_x()), (random_layer("GRU"), random_x((2003, 3, 5)))):
        expected = layer(x)
        assert_h(helpers.trace(layer, x), expected)


@pytest.mark.parametrize("kind", LAYERS)
def test_a_chosen_layer_of_a_stack(kind):
    model = helpers.build_model(helpers.Experiment(kind, 8, 3))
    expected = IMAGES
    for number in range(3):
        layer = LAYERS[kind].from_config(
            {**model.layers[number].get_config(), "return_sequences": True}
        )
        layer.build(expected.shape)
        layer.set_weights(model.layers[number].get_weights())
        expected = layer(expected)
        assert_h(helpers.trace(model, IMAGES, layer=number), expected)
    assert_h(helpers.trace(model, IMAGES, layer=model.layers[2].name), expected)
    with refused(r"3 recurrent layers; choose one with layer= \(0: "):
        helpers.trace(model, IMAGES)
    with refused("no recurrent layer 3"):
        helpers.trace(model, IMAGES, layer=3)


def test_a_model_that_was_saved_and_loaded_and_layers_under_a_new_head(tmp_path):
    model = helpers.build_model(helpers.Experiment("GRU", 8))
    model.save(tmp_path / "model.keras")
    h = helpers.trace(model, IMAGES)["h"]
    new = network(*model.layers[:-1], keras.layers.Dense(5), shape=(28, 28))
    for other in (keras.models.load_model(tmp_path / "model.keras"), model.layers[0], new):
        np.testing.assert_array_equal(helpers.trace(other, IMAGES)["h"], h)
    logits = helpers.read_out(new, h)
    np.testing.assert_allclose(logits[:, -1], new(IMAGES), atol=1e-5)
    assert (helpers.predictions_of(new, IMAGES) == logits[:, -1].argmax(-1)).all()
    assert (helpers.predictions_by_step(new, IMAGES) == logits.argmax(-1)).all()


def test_read_out_of_networks_with_an_answer_at_every_step():
    model = helpers.build_model(helpers.Experiment("LSTM", 8, every_step=True))
    logits = helpers.read_out(model, helpers.trace(model, IMAGES)["h"])
    np.testing.assert_allclose(logits, model(IMAGES), atol=1e-5)
    assert (helpers.predictions_of(model, IMAGES) == logits[:, -1].argmax(-1)).all()
    for head in (keras.layers.TimeDistributed(keras.layers.Dense(4)), keras.layers.Dense(4)):
        model = network(EVERY, head)
        expected = model(random_x())
        np.testing.assert_allclose(
            helpers.read_out(model, helpers.trace(model, random_x())["h"]), expected, atol=1e-5
        )


@pytest.mark.parametrize("policy", ["float64", "float16", "mixed_float16", "mixed_bfloat16"])
def test_other_precisions(policy):
    layer = keras.layers.GRU(5, return_sequences=True, dtype=keras.DTypePolicy(policy))
    layer.build((None, None, 3))
    traced = helpers.trace(layer, random_x((4, 6, 3)))
    assert {a.dtype for a in traced.values()} == {
        np.dtype("float64" if policy == "float64" else "float32")
    }


@pytest.mark.parametrize("family", ["LSTM", "GRU"])
def test_a_push_is_the_derivative_along_it_and_the_gates_alone_are_their_product(family):
    model = helpers.build_model(helpers.Experiment(family, 5, seed=3))
    random = np.random.default_rng(0)
    x = random.integers(0, 2, (3, 28, 28)).astype(np.float32)
    ways = random.normal(size=(3, 5))
    traced = helpers.trace(model, x)
    for step in (1, 20, 27):
        whole, gates = helpers.push_state(model, x, step, ways)
        kept = traced["f" if family == "LSTM" else "z"][:, step:].prod(1)
        unit = ways / np.linalg.norm(ways, axis=1, keepdims=True)
        assert np.allclose(gates, np.linalg.norm(kept * unit, axis=1), atol=1e-5)
        assert np.allclose(
            whole, _tangent(model.layers[0], traced, x, step, unit), rtol=0.02, atol=1e-4
        )
        assert np.allclose(helpers.push_state(model, x, step, 7 * ways)[0], whole)
        parts = [
            helpers.push_state(model, x, step, ways, np.tile(axis, (3, 1))) for axis in np.eye(5)
        ]
        for length, of in zip((whole, gates), np.transpose(parts, (1, 0, 2)), strict=True):
            assert np.allclose(np.linalg.norm(of, axis=0), length)
        along_gates = np.diagonal(np.transpose(parts, (1, 2, 0))[1] @ np.sign(unit).T)
        assert np.allclose(along_gates, np.abs(kept * unit).sum(1), atol=1e-5)  # with their signs
    with refused("points nowhere"):
        helpers.push_state(model, x, 3, np.zeros((3, 5)))
    with refused("^along holds .* points nowhere"):
        helpers.push_state(model, x, 3, ways, along=np.zeros((3, 5)))
    with refused("^step must be"):
        helpers.push_state(model, x, 28, ways)


def _tangent(layer, traced, x, step, unit):
    """The length of the derivative of the last state along a unit vector at `step`, by Keras's own cell."""
    is_lstm = "c" in traced
    state = tf.constant(traced["c" if is_lstm else "h"][:, step - 1])
    with tf.autodiff.ForwardAccumulator(state, tf.constant(unit, tf.float32)) as forward:
        states = [traced["o"][:, step - 1] * tf.tanh(state), state] if is_lstm else [state]
        for row in range(step, x.shape[1]):
            _, states = layer.cell(x[:, row], states)
    return np.linalg.norm(forward.jvp(states[-1]), axis=-1)


@pytest.mark.parametrize("family", ["LSTM", "GRU"])
def test_a_unit_that_is_held_stays_and_the_others_see_it(family):
    model = helpers.build_model(helpers.Experiment(family, 5, seed=2))
    x = np.random.default_rng(0).integers(0, 2, (3, 28, 28)).astype(np.float32)
    h = helpers.layer_outputs(model.layers[0], x)
    assert np.allclose(helpers.hold_unit(model, x, 3, 28), h[:, -1], atol=1e-5)
    held = helpers.hold_unit(model, x, 3, 10)
    assert (np.abs(held - h[:, -1]) > 1e-4).any(0).all()
    if family == "GRU":
        assert np.allclose(held[:, 3], h[:, 9, 3], atol=1e-5)
    with refused("^unit must be at most 4"):
        helpers.hold_unit(model, x, 5, 10)


def test_only_keras_lstm_and_gru_are_pushed():
    model = helpers.build_model(helpers.Experiment("MGU", 4))
    with refused("^a Keras LSTM or GRU is needed here, not MGU$"):
        helpers.hold_unit(model, np.zeros((1, 28, 28)), 0, 1)


def test_a_layer_is_as_it_was_even_if_its_answer_fails():
    layer = random_layer("LSTM", return_state=True)
    settings, attributes = layer.get_config(), set(vars(layer))
    model = functional(lambda inputs: keras.layers.Dense(4)(layer(inputs)[0]))

    def stop(*arguments, **options):
        raise KeyboardInterrupt

    for function in (
        lambda: helpers.trace(model, random_x()),
        lambda: helpers.read_out(model, random_x((2, 9, 7))),
    ):
        function()
        with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(keras.layers.Dense, "call", stop)
            function()
        assert layer.get_config() == settings and set(vars(layer)) == attributes
    assert model.layers[1].output[0].shape == (None, 9, 7)  # in one graph only, as before


# ---------------------------------------------------------------------------------------------------- what is refused
EVERY = keras.layers.GRU(3, return_sequences=True)


def shared_layer():
    layer = keras.layers.GRU(5, return_sequences=True)
    return functional(lambda inputs: layer(layer(inputs)))


def with_initial_state(inputs):
    states = keras.layers.LSTM(7, return_state=True)(inputs)[1:]
    return keras.layers.LSTM(7, name="decoder")(inputs, initial_state=states)


def masked(wrap=lambda layer: layer):
    return network(keras.layers.Masking(), wrap(keras.layers.LSTM(4, return_sequences=True)))


class Doubled(keras.layers.GRU):
    def call(self, *args, **kwargs):
        return 2 * super().call(*args, **kwargs)


TRACE = {
    "no recurrent layer": lambda: network(keras.layers.Dense(3)),
    "no weights yet|must be built": lambda: keras.Sequential([keras.layers.GRU(3)]),
    "no weights yet": lambda: keras.layers.GRU(3),
    "expected an LSTM or GRU layer or a model with one, got Dense": lambda: keras.layers.Dense(3),
    "got LSTMCell": lambda: keras.layers.LSTMCell(3),
    "got NoneType": lambda: None,
    "forward_layer and backward_layer": lambda: keras.layers.Bidirectional(keras.layers.GRU(3)),
    "is stateful, which is not supported": lambda: random_layer("GRU", stateful=True),
    "has 2 inputs": lambda: functional(
        keras.layers.Add(), [keras.Input((9, 5)), keras.Input((9, 5))]
    ),
    "more than once": shared_layer,
    # The guard: gates that do not give its output.
    "does something that trace does not follow": lambda: random_layer(Doubled),
    "given a mask": masked,
    "(given a mask)": lambda: masked(keras.layers.Bidirectional),
    r"expected \(N, 28, 28\)": lambda: helpers.build_model(helpers.Experiment("LSTM", 8)),
}


@pytest.mark.parametrize("message", TRACE)
@pytest.mark.filterwarnings("error::UserWarning")
def test_what_trace_refuses(message):
    with refused(message):
        helpers.trace(TRACE[message](), random_x())


def test_what_trace_refuses_of_a_chosen_layer():
    with refused("given an initial state"):
        helpers.trace(functional(with_initial_state), random_x(), layer="decoder")
    with refused("a single layer is given"):
        helpers.trace(random_layer("LSTM"), random_x(), layer=0)


@pytest.mark.parametrize("function", [helpers.trace, helpers.layer_outputs])
@pytest.mark.parametrize(
    ("x", "message"),
    [
        (random_x((6, 9, 4)), r"shape \(6, 9, 4\), expected \(N, T, 5\)"),
        (random_x((9, 5)), r"a single one is x\[None\]"),
        (random_x((2, 0, 5)), r"shape \(2, 0, 5\)"),
    ],
)
def test_x_that_does_not_fit(function, x, message):
    with refused(message):
        function(random_layer("GRU"), x)


@pytest.mark.parametrize("by", [255, 16, 3])
def test_pixels_of_another_scale_are_refused_at_each_door_of_a_network(by):
    model, x = helpers.build_model(helpers.Experiment("GRU", 4)), by * IMAGES
    doors = [helpers.trace, helpers.predictions_of, helpers.predictions_by_step]
    doors.append(lambda model, x: helpers.hold_unit(model, x, 0, 1))
    for door in doors:
        door(model, IMAGES)
        with refused(
            f"^x holds pixels up to {by}, and no layer scales them: give pixels from 0 to 1$"
        ):
            door(model, x)
    scaled = network(keras.layers.Rescaling(1 / by), *model.layers, shape=(28, 28))
    assert (helpers.predictions_of(scaled, x) == helpers.predictions_of(model, IMAGES)).all()
    assert_h(helpers.trace(scaled, x), helpers.trace(model, IMAGES)["h"])


def two_heads(inputs):
    h = keras.layers.LSTM(10)(inputs)
    return [keras.layers.Dense(10)(h), keras.layers.Dense(10)(h)]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (two_heads, "2 outputs|one output"),
        (
            lambda inputs: list(keras.layers.LSTM(10, return_state=True)(inputs)),
            "3 outputs|one output",
        ),
        (
            lambda x: {"a": keras.layers.Dense(10)(keras.layers.GRU(3)(x)), "b": x},
            "2 outputs|one output",
        ),
        (lambda inputs: keras.layers.Dense(1)(keras.layers.GRU(3)(inputs)), "two or more classes"),
    ],
)
def test_outputs_that_are_no_logits_are_refused(make, message):
    model = functional(make)
    h = helpers.trace(model, random_x())["h"]  # which does not ask about outputs
    for function, x in ((helpers.predictions_of, random_x()), (helpers.read_out, h)):
        with refused(message):
            function(model, x)


def beside_the_input(inputs):
    parts = [keras.layers.LSTM(8)(inputs), keras.layers.Flatten()(inputs)]
    return keras.layers.Dense(10)(keras.layers.Concatenate()(parts))


def test_what_would_be_read_wrongly_is_refused():
    h, x, gru, dense = (
        np.zeros((2, 9, 8)),
        random_x((2, 9, 5)),
        keras.layers.GRU,
        keras.layers.Dense,
    )
    lost = network(gru(8), dense(10))
    lost.set_weights([np.full_like(weight, np.nan) for weight in lost.get_weights()])
    for message, function, model, *values in (
        (r"expected \(N, T, 3\)", helpers.read_out, network(gru(3), dense(10)), h),
        ("no recurrent layer", helpers.read_out, network(keras.layers.Flatten(), dense(10)), h),
        (
            "mix the steps",
            helpers.read_out,
            network(EVERY, keras.layers.Flatten(), dense(4)),
            h[..., :3],
        ),
        ("one output that depends on", helpers.read_out, functional(beside_the_input), h),
        ("softmax", helpers.read_out, network(gru(8), dense(10, "softmax")), h),
        (
            "go_backwards",
            helpers.predictions_by_step,
            network(gru(8, go_backwards=True), dense(10)),
            x,
        ),
        ("has diverged", helpers.predictions_of, lost, x),
        ("ends in a recurrent layer", helpers.predictions_of, network(gru(8)), x),
    ):
        with refused(message):
            function(model, *values)


@pytest.mark.parametrize("rows", [9, 28, 40])
def test_read_out_goes_on_after_the_last_row_and_stops_before_it(rows):
    """As the network says of the first rows alone, with any rows after them."""
    model = helpers.build_model(helpers.Experiment("GRU", 4))
    x = random_x((5, 40, 28))
    found = helpers.predictions_by_step(model, x[:, :rows])
    assert found.shape == (5, rows)
    np.testing.assert_array_equal(found, helpers.predictions_by_step(model, x)[:, :rows])
    if rows >= 28:
        np.testing.assert_array_equal(found[:, 27], helpers.predictions_of(model, x[:, :28]))
