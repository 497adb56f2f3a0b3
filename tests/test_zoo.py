"""Models of every shape that people put around an LSTM or a GRU.

Each gives the model's own h, logits and classes, to the rounding of what computed them, or is refused in one line that
is true. `h` of None: what comes out of the layer is the model's own. A text: part of the line that refuses.
"""

from typing import NamedTuple

import numpy as np
import pytest

import helpers
from conftest import refused
from coursework.backend import keras, tf
from coursework.layers import ask, tolerance

L = keras.layers
RNG = np.random.default_rng(0)
X = RNG.normal(size=(4, 5, 5)).astype(np.float32)
IMAGES = RNG.random((4, 28, 28)).astype(np.float32)
TOKENS = RNG.integers(1, 20, (4, 5))
MIX, LOOK_AHEAD, GATES = "mix the steps", "moves with later ones", "its gates do not give h"


class Case(NamedTuple):
    """A model, what it reads, and what is expected of trace, read_out and predictions_of."""

    model: keras.Model
    x: np.ndarray = X
    h: str | None = None
    logits: str | None = None
    classes: str | None = None
    layer: int | str | None = None


ZOO = {}


def animal(make):
    ZOO[make.__name__] = make
    return make


def chain(*layers, shape=(5, 5), dtype=None):
    return keras.Sequential([keras.Input(shape, dtype=dtype), *layers])


def functional(make, shape=(5, 5)):
    inputs = keras.Input(shape)
    return keras.Model(inputs, make(inputs))


def head(classes=4, **options):
    return L.Dense(classes, **options)


@animal
def last_state():
    return Case(chain(L.LSTM(7), L.ReLU(), L.Dense(6, "relu"), head()))


@animal
def built_by_a_call():
    model = keras.Sequential([L.GRU(7), head()])
    model(X)
    return Case(model)


@animal
def not_built():
    why = "must be built"
    return Case(keras.Sequential([L.GRU(7), head()]), h=why, logits=why, classes=why)


@animal
def free_length():
    return Case(chain(L.LSTM(7, return_sequences=True), head(), shape=(None, 5)))


@animal
def fixed_batch():
    return Case(keras.Sequential([keras.Input(batch_shape=(4, 5, 5)), L.GRU(7), head()]))


@animal
def answer_at_each_step():
    return Case(chain(L.GRU(7, return_sequences=True), L.TimeDistributed(head())))


@animal
def a_stack():
    return Case(
        chain(L.LSTM(7, return_sequences=True), L.GRU(4, return_sequences=True), L.LSTM(5), head()),
        layer=2,
    )


@animal
def middle_of_a_stack():
    return Case(
        chain(L.LSTM(7, return_sequences=True), L.GRU(4, return_sequences=True), L.LSTM(5), head()),
        layer=1,
    )


@animal
def read_backwards():
    return Case(chain(L.LSTM(7, go_backwards=True), head()))


@animal
def a_model_in_front():
    front = chain(L.Dense(8, "tanh"), L.Rescaling(3.0))
    return Case(chain(front, L.GRU(7), head()))


@animal
def a_model_as_head():
    return Case(chain(L.GRU(7), chain(L.Dense(6, "relu"), head(), shape=(7,))))


@animal
def all_in_a_model_of_its_own():
    why = "has no recurrent layer"
    return Case(chain(chain(L.LSTM(7), L.ReLU()), head()), h=why, logits=why)


@animal
def layers_of_two_models():
    lstm, dense = L.LSTM(7), head()
    first = chain(lstm, dense)
    return Case(chain(L.Rescaling(2.0), lstm, L.ReLU(), dense)) if first.built else None


@animal
def normalised():
    normalization = L.Normalization(axis=None)
    normalization.adapt(100 * X + 7)
    return Case(chain(normalization, L.LSTM(7), head()), x=100 * X + 7)


@animal
def normalised_by_feature():
    normalization = L.Normalization()
    normalization.adapt(100 * X + 7)
    return Case(functional(lambda x: head()(L.GRU(7)(normalization(x)))), x=100 * X + 7)


@animal
def pixels_to_255():
    return Case(
        chain(L.Rescaling(1 / 255), L.GRU(7), head(), shape=(28, 28)),
        x=(255 * IMAGES).astype(np.uint8),
    )


@animal
def a_lambda():
    return Case(chain(L.Lambda(lambda x: x / 3), L.LSTM(7), head()))


class Scale(L.Layer):
    def __init__(self, factor=1.0, **options):
        super().__init__(**options)
        self.factor = factor

    def call(self, x):
        return x * self.factor

    def get_config(self):
        return super().get_config()  # forgets the factor


@animal
def a_layer_that_forgets():
    return Case(chain(Scale(0.2), L.LSTM(7), Scale(3.0), head()))


@animal
def operations_of_keras():
    return Case(functional(lambda x: head()(keras.ops.tanh(L.GRU(7)(2 * x + 1)))))


@animal
def words():
    return Case(chain(L.Embedding(20, 5), L.LSTM(7), head(), shape=(5,), dtype="int32"), x=TOKENS)


@animal
def padded_words():
    model = chain(L.Embedding(20, 5, mask_zero=True), L.LSTM(7), head(), shape=(5,), dtype="int32")
    return Case(model, x=TOKENS, h="given a mask")


@animal
def masked():
    return Case(chain(L.Masking(), L.LSTM(7, return_sequences=True), head()), h="given a mask")


@animal
def both_directions():
    why = "forward_layer and backward_layer"
    return Case(chain(L.Bidirectional(L.LSTM(7)), head()), h=why, logits="has no recurrent layer")


@animal
def both_directions_above():
    model = chain(
        L.GRU(7, return_sequences=True), L.Bidirectional(L.GRU(7, return_sequences=True)), head()
    )
    return Case(model, layer=0, logits=LOOK_AHEAD)


@animal
def one_direction_in_a_model_above():
    inner = chain(L.GRU(7, return_sequences=True), L.Dense(5), shape=(5, 7))
    return Case(chain(L.GRU(7, return_sequences=True), inner, head()))


@animal
def convolution_above():
    return Case(
        chain(L.GRU(7, return_sequences=True), L.Conv1D(6, 3, padding="same"), head()),
        logits=LOOK_AHEAD,
    )


@animal
def causal_convolution_above():
    return Case(chain(L.GRU(7, return_sequences=True), L.Conv1D(6, 3, padding="causal"), head()))


@animal
def convolution_below():
    return Case(chain(L.Conv1D(6, 3, padding="same"), L.MaxPooling1D(2), L.LSTM(7), head()))


@animal
def normalised_over_units():
    return Case(chain(L.LSTM(7, return_sequences=True), L.LayerNormalization(), head()))


@animal
def normalised_over_time():
    return Case(
        chain(L.LSTM(7, return_sequences=True), L.LayerNormalization(axis=1), head()),
        logits=LOOK_AHEAD,
    )


@animal
def normalised_by_batch():
    return Case(chain(L.BatchNormalization(), L.GRU(7), L.BatchNormalization(), head()))


def attention(causal):
    def make(x):
        h = L.GRU(7, return_sequences=True)(x)
        return head()(L.MultiHeadAttention(2, 3)(h, h, use_causal_mask=causal))

    return functional(make)


@animal
def attention_above():
    return Case(attention(causal=False), logits=LOOK_AHEAD)


@animal
def causal_attention_above():
    return Case(attention(causal=True))


@animal
def attention_below():
    return Case(functional(lambda x: head()(L.LSTM(7)(L.MultiHeadAttention(2, 3)(x, x)))))


@animal
def attention_by_additive_scores():
    def make(x):
        h = L.LSTM(7, return_sequences=True)(x)
        weights = L.Softmax(axis=1)(L.Dense(1, "tanh")(h))
        return head()(keras.ops.sum(weights * h, axis=1))

    return Case(functional(make), logits=MIX)


@animal
def mean_over_time():
    return Case(
        chain(L.GRU(7, return_sequences=True), L.GlobalAveragePooling1D(), head()), logits=MIX
    )


@animal
def last_step_by_a_lambda():
    model = chain(L.GRU(7, return_sequences=True), L.Lambda(lambda h: h[:, -1]), head())
    return Case(model, logits=MIX)


@animal
def all_steps_at_once():
    return Case(chain(L.GRU(7, return_sequences=True), L.Flatten(), head()), logits=MIX)


@animal
def dropout_and_noise():
    model = chain(
        L.GaussianNoise(0.5), L.LSTM(7, dropout=0.5, recurrent_dropout=0.5), L.Dropout(0.5), head()
    )
    return Case(model)


RANDOM = "answers otherwise when it is asked again"


@animal
def dropout_that_is_always_on():
    return Case(functional(lambda x: head()(L.Dropout(0.5)(L.LSTM(7)(x), training=True))))


def noise():
    return L.Lambda(lambda x: x + keras.random.normal(keras.ops.shape(x)))


@animal
def noise_that_is_always_on():
    return Case(chain(noise(), L.LSTM(7), head()), h=RANDOM, classes=RANDOM)


@animal
def noise_above_that_is_always_on():
    return Case(chain(L.LSTM(7), noise(), head()), logits=f"{RANDOM}|depends on", classes=RANDOM)


@animal
def mixes_the_batch():
    model = chain(L.Lambda(lambda x: x - keras.ops.mean(x, axis=0)), L.LSTM(7), head())
    return Case(model, h=RANDOM, classes=RANDOM)


@animal
def two_answers():
    def make(x):
        h = L.LSTM(7)(x)
        return [head()(h), head(3)(h)]

    return Case(functional(make), logits="2 outputs", classes="2 outputs")


@animal
def two_inputs():
    inputs = [keras.Input((5, 5)), keras.Input((5, 5))]
    why = "has 2 inputs"
    return Case(
        keras.Model(inputs, head()(L.LSTM(7)(L.Add()(inputs)))), h=why, logits=why, classes=why
    )


@animal
def an_input_with_a_name():
    inputs = keras.Input((5, 5), name="rows")
    return Case(keras.Model({"rows": inputs}, head()(L.LSTM(7)(inputs))))


@animal
def an_answer_with_a_name():
    inputs = keras.Input((5, 5))
    return Case(keras.Model(inputs, {"logits": head()(L.LSTM(7)(inputs))}))


@animal
def stateful():
    why = "stateful"
    model = keras.Sequential([keras.Input(batch_shape=(4, 5, 5)), L.LSTM(7, stateful=True), head()])
    return Case(model, h=why, logits=why, classes=why)


@animal
def stateful_inside():
    inner = keras.Sequential([keras.Input(batch_shape=(4, 5, 5)), L.LSTM(7, stateful=True)])
    model = keras.Sequential([keras.Input(batch_shape=(4, 5, 5)), inner, head()])
    why = "stateful"
    return Case(model, h=why, logits=why, classes=why)


@animal
def low_rank():
    model = chain(L.LSTM(7), L.Dense(16), head())
    model.layers[1].enable_lora(2)
    return Case(model)


@animal
def quantised():
    model = chain(L.LSTM(7), L.Dense(16), head())
    model.layers[1].quantize("int8")
    return Case(model)


def of_policy(policy, *layers):
    usual = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        return chain(*(make() for make in layers))
    finally:
        keras.config.set_dtype_policy(usual)


def in_policy(policy, cell):
    def make():
        return Case(of_policy(policy, lambda: cell(7), lambda: L.Dense(8, "relu"), head))

    make.__name__ = f"{cell.__name__}_in_{policy}"
    return animal(make)


for policy in ("float64", "float16", "mixed_float16", "mixed_bfloat16"):
    for cell in (L.LSTM, L.GRU):
        in_policy(policy, cell)


@animal
def probabilities():
    return Case(chain(L.LSTM(7), head(activation="softmax")), logits="gives probabilities")


@animal
def probabilities_in_half():
    def last():
        return head(activation="softmax")

    return Case(of_policy("mixed_float16", lambda: L.GRU(7), last), logits="gives probabilities")


@animal
def probabilities_by_a_layer():
    model = chain(
        L.LSTM(7, return_sequences=True),
        L.TimeDistributed(head()),
        L.Activation("softmax", dtype="float32"),
    )
    return Case(model, logits="gives probabilities")


@animal
def probabilities_by_an_operation():
    return Case(
        functional(lambda x: keras.ops.softmax(head()(L.LSTM(7)(x)))), logits="gives probabilities"
    )


@animal
def a_probability_for_each():
    return Case(chain(L.LSTM(7), head(activation="sigmoid")), logits="gives probabilities")


@animal
def log_probabilities():
    return Case(chain(L.LSTM(7), head(activation="log_softmax")))


@animal
def one_number():
    why = "two or more classes"
    return Case(chain(L.LSTM(7), head(1)), logits=why, classes=why)


@animal
def translator():
    inputs = keras.Input((5, 5))
    _, *states = L.LSTM(7, return_state=True)(inputs)
    answer = L.LSTM(7, return_sequences=True, name="decoder")(inputs, initial_state=states)
    return Case(keras.Model(inputs, head()(answer)), layer="decoder", h="given an initial state")


@animal
def autoencoder():
    model = chain(
        L.LSTM(7), L.RepeatVector(4), L.GRU(6, return_sequences=True), L.TimeDistributed(head())
    )
    return Case(model, layer=1)


@animal
def residual():
    def make(x):
        low = L.LSTM(7, return_sequences=True)(x)
        return head()(L.Add()([low, L.LSTM(7, return_sequences=True)(low)]))

    return Case(functional(make), layer=1, logits="depends on the last recurrent")


@animal
def beside_the_input():
    model = functional(lambda x: head()(L.Concatenate()([L.LSTM(7)(x), L.Flatten()(x)])))
    return Case(model, logits="depends on the last recurrent")


@animal
def two_branches():
    model = functional(lambda x: head()(L.Concatenate()([L.LSTM(7)(x), L.GRU(7)(x)])))
    return Case(model, layer=0, logits="depends on the last recurrent")


@animal
def with_its_states():
    return Case(functional(lambda x: head()(L.LSTM(7, return_state=True)(x)[0])))


@animal
def from_its_state():
    model = functional(lambda x: head()(L.LSTM(7, return_state=True)(x)[2]))
    return Case(model, logits="depends on the last recurrent")


@animal
def used_twice():
    layer = L.GRU(5, return_sequences=True)
    model = functional(lambda x: head()(layer(layer(x))))
    return Case(model, h="more than once", logits="uses it 2 times")


@animal
def a_film():
    model = chain(
        L.TimeDistributed(L.Conv2D(2, 3)),
        L.TimeDistributed(L.Flatten()),
        L.LSTM(7),
        head(),
        shape=(3, 8, 8, 1),
    )
    return Case(model, x=RNG.normal(size=(4, 3, 8, 8, 1)))


@animal
def flat_images():
    return Case(
        chain(L.Reshape((28, 28)), L.GRU(7), head(), shape=(784,)), x=IMAGES.reshape(4, 784)
    )


@animal
def a_channel():
    return Case(
        chain(L.Reshape((28, 28)), L.LSTM(7), head(), shape=(28, 28, 1)), x=IMAGES[..., None]
    )


@animal
def columns_as_steps():
    return Case(chain(L.Permute((2, 1)), L.LSTM(7), head()))


@animal
def sentences_of_words():
    model = chain(L.TimeDistributed(L.LSTM(7)), L.GRU(5), head(), shape=(3, 4, 5))
    return Case(model, x=RNG.normal(size=(4, 3, 4, 5)))


@animal
def convolutional_cell():
    why = "ConvLSTM"
    model = chain(L.ConvLSTM1D(3, 2), L.Flatten(), head(), shape=(3, 8, 1))
    return Case(model, x=RNG.normal(size=(4, 3, 8, 1)), h=why, logits=why)


@animal
def stacked_cells():
    model = chain(L.RNN([L.LSTMCell(7), L.GRUCell(5)]), head())
    return Case(model, h="StackedRNNCells", logits="StackedRNNCells")


@animal
def a_cell_in_a_layer():
    return Case(chain(L.RNN(L.GRUCell(7)), head()))


@animal
def simple():
    return Case(chain(L.SimpleRNN(7), head()))


class NormalisedGRU(L.GRU):
    def call(self, sequences, initial_state=None, mask=None, training=False):
        return keras.ops.layer_normalization(super().call(sequences, initial_state, mask, training))


@animal
def a_cell_of_ones_own():
    return Case(chain(NormalisedGRU(7), head()), h=GATES)


class Forgets(L.LSTM):
    def __init__(self, units, factor=1.0, **options):
        super().__init__(units, **options)
        self.factor = factor

    def call(self, sequences, initial_state=None, mask=None, training=False):
        return super().call(sequences * self.factor, initial_state, mask, training)


@animal
def a_layer_that_scales_what_it_reads():
    return Case(chain(Forgets(7, factor=0.1), head()), h=GATES)


@animal
def wrapped_head():
    return Case(chain(L.LSTM(7), L.SpectralNormalization(L.Dense(6)), head()))


class Own(keras.Model):
    def __init__(self):
        super().__init__()
        self.lstm, self.dense = L.LSTM(7), head()

    def call(self, x):
        return self.dense(self.lstm(x))


@animal
def a_class():
    model, why = Own(), "must be built, and Sequential or functional"
    model(X)
    return Case(model, h=why, logits=why, classes=why)


class Doubling(keras.Model):
    def call(self, x, training=False):
        return super().call(2 * x, training=training)


@animal
def a_functional_class():
    inputs = keras.Input((5, 5))
    return Case(Doubling(inputs, head()(L.GRU(7)(inputs))))


@animal
def compiled_by_tensorflow():
    model, why = chain(L.LSTM(7), head()), "calls a layer by a tf.function"
    model.call = tf.function(model.call)
    return Case(model, h=why, logits=why)


@animal
def saved_and_loaded(tmp_path):
    chain(L.LSTM(7), head()).save(tmp_path / "model.keras")
    return Case(keras.models.load_model(tmp_path / "model.keras"))


def randomise(model):
    """Other weights, biases included, so that nothing that is left out goes unseen."""
    for variable in model.trainable_variables:
        if variable.dtype in ("int8", "uint8"):
            continue
        variable.assign(
            np.random.default_rng(variable.shape.num_elements()).normal(0, 0.5, variable.shape)
        )


def own_h(model, choice, x):
    """What the model itself puts out at its layer: the input of the layer above, which the model is told to keep."""
    recurrent = [layer for layer in model.layers if isinstance(layer, (L.RNN, L.Bidirectional))]
    layer = (
        recurrent[choice]
        if isinstance(choice, int)
        else model.get_layer(choice or recurrent[0].name)
    )
    seen, call = [], layer.__class__.__call__
    try:
        layer.__class__.__call__ = lambda self, *a, **k: keep(
            call(self, *a, **k), self is layer, seen
        )
        ask(model, x)
    finally:
        layer.__class__.__call__ = call
    h = seen[-1][0] if isinstance(seen[-1], (list, tuple)) else seen[-1]
    return np.asarray(keras.ops.cast(h, "float32")), layer


def keep(value, this, seen):
    if this:
        seen.append(value)
    return value


def expect(message, call):
    """What the call gives, or None where it is refused as expected."""
    if message is None:
        return call()
    with refused(message):
        call()
    return None


@pytest.mark.filterwarnings("ignore:The structure of")
@pytest.mark.parametrize("name", ZOO)
def test_a_model_is_followed_or_refused(name, tmp_path):
    case = ZOO[name](tmp_path) if ZOO[name].__code__.co_argcount else ZOO[name]()
    model, x = case.model, case.x
    randomise(model)
    before = [np.array(weight) for weight in model.get_weights()]
    settings = [layer.get_config() for layer in model.layers]
    traced = expect(case.h, lambda: helpers.trace(model, x, layer=case.layer))
    units = next(
        (
            layer.cell.units
            for layer in model.layers[::-1]
            if hasattr(getattr(layer, "cell", 0), "units")
        ),
        7,
    )
    h = RNG.uniform(-1, 1, (4, 5, units)).astype(np.float32) if traced is None else traced["h"]
    if traced is not None:
        expected, layer = own_h(model, case.layer, x)
        found = h if layer.return_sequences else h[:, -1]
        np.testing.assert_allclose(found, expected, atol=tolerance(layer.compute_dtype), rtol=1e-5)
    if traced is None or h.shape[-1] == units:
        logits = expect(case.logits, lambda: helpers.read_out(model, h))
    answers = None if case.classes else expect_answers(model, x)
    classes = expect(case.classes, lambda: helpers.predictions_of(model, x))
    if classes is not None:
        assert (classes == answers.reshape(len(x), -1, answers.shape[-1])[:, -1].argmax(-1)).all()
    is_last = (
        traced is not None
        and layer is [part for part in model.layers if isinstance(part, L.RNN)][-1]
    )
    if is_last and case.logits is None:
        found = logits if answers.ndim == 3 else logits[:, -1]
        np.testing.assert_allclose(
            found, answers, atol=tolerance(model.compute_dtype) * np.abs(answers).max(), rtol=1e-5
        )
    assert all(map(np.array_equal, before, model.get_weights()))
    assert [layer.get_config() for layer in model.layers] == settings
    assert not any("call" in vars(layer) for layer in model.layers)


def expect_answers(model, x):
    (answer,) = keras.tree.flatten(ask(model, x))
    return np.asarray(keras.ops.cast(answer, "float32"))
