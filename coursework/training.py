"""An Experiment decides a network to the bit: the model, its recipe, its training."""

import dataclasses
import functools
import inspect
import numbers
import threading
from collections.abc import Callable

import numpy as np

from coursework.arguments import MOST, check_choice, check_integer, short_repr
from coursework.backend import keras, tf
from coursework.data import Data

FAMILIES = ("LSTM", "GRU", "softmax", "MLP", "CNN")
NUMBERS = {"learning_rate": "positive", "clipnorm": "positive (0: any)", "gate_bias": "finite"}


@dataclasses.dataclass(frozen=True)
class Experiment:
    """One model and how it is trained; the key of everything that is known about it.

    Attributes:
        family: "LSTM" or "GRU" (rows one by one); "softmax", "MLP" or "CNN" (the whole image at once).
        units: width of each recurrent or hidden layer ("softmax" has none and ignores it).
        layers: number of recurrent or hidden layers.
        epochs, batch_size, learning_rate: the recipe; the defaults are the sheet's.
        seed: of the initial weights and of the order of the training images.
        gate_bias: initial bias of a GRU's two gates; Keras's default is 0, TensorFlow 1's was 1.
        schedule: "constant" learning rate, or "cosine": up to `learning_rate` in the first third of an epoch, then down
            to 0 along half a cosine.
        clipnorm: longest norm that the gradient of one weight array may have; 0: any.
        shift: each training image is moved by up to so many pixels up or down, and left or right, anew in each epoch.
        every_step: a recurrent network gives logits, and is trained, after every row: (N, 28, 10) instead of (N, 10).

    Notebooks 2 and 3.
    """

    family: str
    units: int = 32
    layers: int = 1
    epochs: int = 10
    batch_size: int = 256
    learning_rate: float = 0.001
    seed: int = 0
    gate_bias: float = 0.0
    schedule: str = "constant"
    clipnorm: float = 0.0
    shift: int = 0
    every_step: bool = False

    def __post_init__(self):
        check_choice("family", self.family, FAMILIES)
        check_choice("schedule", self.schedule, ("constant", "cosine"))
        check_choice("every_step", self.every_step, (False, True))
        # `layers`: each has two of the 32 seeds in `build_model`, the head the last two.
        whole = {"units": (1, MOST), "epochs": (1, MOST), "batch_size": (1, MOST)}
        for name, (least, most) in (whole | {"layers": (1, 15), "seed": (0, MOST), "shift": (0, 28)}).items():
            check_integer(least, most, **{name: getattr(self, name)})
        tiny, largest = (float(getattr(np.finfo(np.float32), end)) for end in ("tiny", "max"))
        for name, least in (("learning_rate", tiny), ("clipnorm", 0), ("gate_bias", -largest)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, numbers.Real) or not least <= value <= largest:
                raise ValueError(f"{name} must be a {NUMBERS[name]} number, not {short_repr(value)}")
        for field in dataclasses.fields(self):  # 1 and 1.0 and NumPy's 1 are the same setting and the same key
            object.__setattr__(self, field.name, field.type(getattr(self, field.name)))
        recurrent = {"gate_bias": ("GRU",), "every_step": ("LSTM", "GRU")}
        for name, families in recurrent.items():
            if getattr(self, name) and self.family not in families:
                raise ValueError(f"{name} is for {' and '.join(families)}, not {self.family}")

    @property
    def label(self) -> str:
        """Name in tables and plots: "GRU 32", "LSTM 3 x 32", "softmax"."""
        width = f"{self.units}" if self.layers == 1 else f"{self.layers} x {self.units}"
        label = self.family if self.family == "softmax" else f"{self.family} {width}"
        if self.schedule == "cosine":
            label += ", tuned"
        elif self.gate_bias:
            label += f", gate bias {self.gate_bias:g}"
        return label + (", loss at every step" if self.every_step else "")


def tuned(experiment: Experiment) -> Experiment:
    """The same network and seed with a better recipe and half the epochs. Notebook 2."""
    narrow, wide, gru = experiment.units < 64, experiment.units >= 128, experiment.family == "GRU"
    return dataclasses.replace(
        experiment,
        epochs=-(-experiment.epochs // 2),
        batch_size=-(-experiment.batch_size // 2) if narrow else experiment.batch_size,
        learning_rate=0.005 if wide and gru else 0.01,
        schedule="cosine",
        clipnorm=1.0,
        shift=2 if wide else 1,  # wide networks overfit sooner
        gate_bias=1.0 if gru else 0.0,
    )


def quick(experiment: Experiment) -> Experiment:
    """The same network and seed after one epoch: the tuned recipe, small batches, a still higher rate. Notebook 2."""
    size = min(128, experiment.batch_size)
    return dataclasses.replace(tuned(experiment), epochs=1, batch_size=size, learning_rate=0.02, shift=0)


def build_model(experiment: Experiment) -> keras.Sequential:
    """The untrained network, from rows (N, 28, 28) to logits (N, 10); every initial weight follows from the seed.

    Keras draws the seeds of unseeded initialisers from Python's global `random`, which other threads move. So each
    layer gets its own. Notebook 2.
    """
    seeds = iter(np.random.SeedSequence(experiment.seed).generate_state(32).tolist())
    glorot = keras.initializers.GlorotUniform

    def dense(units, activation=None):
        return keras.layers.Dense(units, activation, kernel_initializer=glorot(seed=next(seeds)))

    def recurrent(return_sequences):
        return getattr(keras.layers, experiment.family)(
            experiment.units,
            return_sequences=return_sequences,
            kernel_initializer=glorot(seed=next(seeds)),
            recurrent_initializer=keras.initializers.Orthogonal(seed=next(seeds)),
        )

    def convolution():
        return keras.layers.Conv2D(8, 3, padding="same", activation="relu", kernel_initializer=glorot(seed=next(seeds)))

    hidden = range(experiment.layers)
    if experiment.family in ("LSTM", "GRU"):
        last = experiment.layers - 1
        body = [recurrent(return_sequences=layer < last or experiment.every_step) for layer in hidden]
        body += [keras.layers.ReLU(), dense(64, "relu")]
    elif experiment.family == "CNN":
        body = [keras.layers.Reshape((28, 28, 1)), convolution(), keras.layers.MaxPooling2D()]
        body += [convolution(), keras.layers.MaxPooling2D(), keras.layers.Flatten()]
        body += [dense(experiment.units, "relu") for _ in hidden]
    else:
        body = [keras.layers.Flatten()]
        body += [dense(experiment.units, "relu") for _ in hidden if experiment.family == "MLP"]
    model = keras.Sequential([keras.Input((28, 28)), *body, dense(10)])
    if experiment.gate_bias:
        for layer in model.layers[: experiment.layers]:
            bias = layer.cell.bias.numpy()  # (2, 3 * units): input and recurrent bias of z, r and the candidate
            bias[0, : 2 * experiment.units] = experiment.gate_bias
            layer.cell.bias.assign(bias)
    return model


def compile_model(model: keras.Model, experiment: Experiment, updates: int = 1, **options: object) -> keras.Model:
    """Adam on the cross-entropy of the logits; returns the model.

    Args:
        model: as from `build_model`.
        experiment: its recipe.
        updates: how many an epoch has, for a schedule.
        options: for Keras's `compile`, such as `jit_compile`.

    Notebook 2.
    """
    rate = experiment.learning_rate
    if experiment.schedule == "cosine":
        warm_up = -(-updates // 3)
        down = max(1, experiment.epochs * updates - warm_up)
        rate = keras.optimizers.schedules.CosineDecay(0.0, down, warmup_target=rate, warmup_steps=warm_up)
    model.compile(
        optimizer=keras.optimizers.Adam(rate, clipnorm=experiment.clipnorm or None),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=[keras.metrics.SparseCategoricalAccuracy(name="accuracy")],
        **options,
    )
    # With the variables of optimiser and metric in place, TensorFlow traces the training step once instead of twice.
    model.optimizer.build(model.trainable_variables)
    return model


def pays_to_compile(experiment: Experiment, updates: int) -> bool:
    """Does it pay to compile so many updates with XLA? As measured on one CPU thread: benchmarks/README.md."""
    if tf.config.list_physical_devices("GPU"):
        return False  # cuDNN has these layers, and XLA can't compile cuDNN
    return experiment.family in ("LSTM", "GRU") and updates >= 300


def fit(
    experiment: Experiment, data: Data, after_epoch: Callable[[int], None] = lambda epoch: None
) -> tuple[keras.Model, dict]:
    """Train one model here and now, without files.

    Args:
        experiment: Experiment.
        data: Data. An epoch leaves out the images that fill no batch, other ones each time.
        after_epoch: called with the number of each finished epoch, counted from 0.

    Returns:
        (model, history): history maps "loss", "accuracy" (training) and "val_loss", "val_accuracy" (test images, looked
        at after each epoch; the training does not depend on them) to one number per epoch.
    """
    seed, shift, count = experiment.seed, experiment.shift, len(data.y_train)
    size = min(experiment.batch_size, count)
    updates = count // size

    def targets(labels):
        return np.repeat(labels[:, None], 28, axis=1) if experiment.every_step else labels

    # A margin on all sides, in which the window of 28 x 28 pixels can move.
    images = tf.constant(np.pad(data.x_train, ((0, 0), (shift, shift), (shift, shift))) if shift else data.x_train)
    labels = tf.constant(targets(data.y_train))

    def shuffled(epoch):
        # Shuffled here rather than by Keras, so that the order follows from the seed alone.
        rows = tf.random.experimental.stateless_shuffle(tf.range(count), seed=[seed, epoch])
        return tf.data.Dataset.from_tensor_slices(tf.reshape(rows[: updates * size], (updates, size)))

    def batch(number, rows):
        x = tf.gather(images, rows)
        if shift:
            corners = tf.random.stateless_uniform((2, size, 1), [seed, number], 0, 2 * shift + 1, tf.int32)
            down, right = tf.unstack(corners + tf.range(28))
            x = tf.gather(x, down, batch_dims=1)
            x = tf.transpose(tf.gather(tf.transpose(x, (0, 2, 1)), right, batch_dims=1), (0, 2, 1))
        return tf.cast(x, tf.float32), tf.gather(labels, rows)

    batches = tf.data.Dataset.range(experiment.epochs).flat_map(shuffled).enumerate().map(batch).prefetch(2)
    tests = tf.data.Dataset.from_tensor_slices((data.x_test, targets(data.y_test))).batch(1000)
    # The end of a dataset waits for its autotuner, which sleeps: up to half a minute after an hour's training.
    untuned = tf.data.Options()
    untuned.autotune.enabled = False
    # What compiling costs is paid once for all experiments that differ in their weights, images or constant rate only.
    # The weights and the state of the optimiser are set anew, so the result is the same to the bit.
    program = dataclasses.replace(experiment, seed=0, gate_bias=0.0, shift=0)
    if experiment.schedule == "constant":
        program = dataclasses.replace(program, epochs=1, learning_rate=1.0)
    compile_it = pays_to_compile(experiment, experiment.epochs * updates)
    model, state = _compiled(program, updates, compile_it, threading.get_ident())
    trained = build_model(experiment)
    model.set_weights(trained.get_weights())
    for variable, value in zip(model.optimizer.variables, state, strict=True):
        variable.assign(value)
    if experiment.schedule == "constant":
        model.optimizer.learning_rate = experiment.learning_rate
    past = model.fit(
        batches.with_options(untuned),
        epochs=experiment.epochs,
        steps_per_epoch=updates,
        validation_data=tests.with_options(untuned),
        shuffle=False,
        callbacks=[keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: after_epoch(epoch))],
        verbose=0,
    )
    trained.set_weights(model.get_weights())
    return compile_model(trained, experiment, updates), past.history


@functools.lru_cache(16)
def _compiled(program, updates, compile_it, thread):
    """A model with its training step, and the state of a new optimiser; two threads never share one."""
    # Several updates without Python between them; an interrupt waits for the end of such a group.
    group = max(steps for steps in range(1, 51) if updates % steps == 0)
    model = build_model(program)
    if compile_it:
        model = _in_one_loop(model, program)
    compile_model(model, program, updates, jit_compile=compile_it, steps_per_execution=group)
    return model, [variable.numpy() for variable in model.optimizer.variables]


def _in_one_loop(model, experiment):
    """The same network, with one loop over the rows for all its recurrent layers instead of one each."""
    layers = experiment.layers
    cells = [layer.cell for layer in model.layers[:layers]]
    if experiment.family == "GRU":
        cells = [_GRUCell(experiment.units) for _ in cells]  # with weights of their own: `fit` sets all weights anew
    recurrent = keras.layers.RNN(cells, return_sequences=experiment.every_step)
    return keras.Sequential([keras.Input((28, 28)), recurrent, *model.layers[layers:]])


class _GRUCell(keras.layers.GRUCell):
    """Keras's cell with its weights, for XLA: two splits are faster than six slices (benchmarks/README.md)."""

    def call(self, inputs, states, training=False):
        (h,) = states
        x_z, x_r, x_g = keras.ops.split(inputs @ self.kernel + self.bias[0], 3, axis=1)
        h_z, h_r, h_g = keras.ops.split(h @ self.recurrent_kernel + self.bias[1], 3, axis=1)
        z, r = keras.ops.sigmoid(x_z + h_z), keras.ops.sigmoid(x_r + h_r)
        g = keras.ops.tanh(x_g + r * h_g)
        h = g + z * (h - g)
        return h, [h]


# What decides a model's weights, beside its Experiment and the data. Read once, at import: `inspect` looks into the
# file, which may be edited while a kernel runs.
TRAINING_CODE = "".join(
    inspect.getsource(part)
    for part in (build_model, compile_model, pays_to_compile, fit, _compiled, _in_one_loop, _GRUCell)
)


def recipe_for(data: Data, batch_size: int = 256, learning_rate: float = 0.001) -> dict:
    """Batch size and learning rate: the sheet's, or on fewer than 20,000 images smaller steps, more of them.

    Args:
        data: Data.
        batch_size, learning_rate: what is wanted on all of MNIST. A small data set gets batches of 32 at most, and
            three times the rate: 10 epochs of large batches would be too few updates to learn much.

    Returns:
        {"batch_size": ..., "learning_rate": ...} for an Experiment. Notebooks 2 and 3.
    """
    Experiment("GRU", batch_size=batch_size, learning_rate=learning_rate)  # refuses what is no recipe
    if len(data.y_train) < 20_000:
        batch_size, learning_rate = min(batch_size, 32), 3 * learning_rate
    return {"batch_size": batch_size, "learning_rate": learning_rate}


MODEL_SIZES = ("32", "64", "128", "3 x 32")
