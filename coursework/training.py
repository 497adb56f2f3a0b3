"""An Experiment decides a network to the bit: the model, its recipe, its training."""

import dataclasses
import inspect
import math

import numpy as np

from coursework.arguments import MOST, check_integer, short_repr
from coursework.backend import keras, tf


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
        if not isinstance(self.family, str) or self.family not in ("LSTM", "GRU", "softmax", "MLP", "CNN"):
            raise ValueError(f"unknown family {short_repr(self.family)}: use 'LSTM', 'GRU', 'softmax', 'MLP' or 'CNN'")
        for field, least, most in (
            *((name, 1, MOST) for name in ("units", "epochs", "batch_size")),
            ("layers", 1, 15),  # each has two of the 32 seeds in `build_model`, the head the last two
            ("seed", 0, MOST),
            ("shift", 0, 28),
        ):
            check_integer(least, most, **{field: getattr(self, field)})
            object.__setattr__(self, field, int(getattr(self, field)))  # Keras takes no numbers of NumPy
        for field, allowed, wanted in (
            ("learning_rate", lambda value: 0 < value < math.inf, "a positive number"),
            ("clipnorm", lambda value: 0 <= value < math.inf, "0 (off) or a positive number"),
            ("gate_bias", math.isfinite, "a finite number"),
        ):
            value = _float(getattr(self, field))
            if not allowed(value):
                raise ValueError(f"{field} must be {wanted}, not {short_repr(getattr(self, field))}")
            object.__setattr__(self, field, value)  # 1 and 1.0 are the same setting and the same key
        if self.schedule not in ("constant", "cosine"):
            raise ValueError(f"unknown schedule {short_repr(self.schedule)}: use 'constant' or 'cosine'")
        if self.gate_bias and self.family != "GRU":
            raise ValueError(f"gate_bias is for 'GRU', not {self.family!r}")
        if not isinstance(self.every_step, bool):
            raise ValueError(f"every_step must be True or False, not {short_repr(self.every_step)}")
        if self.every_step and self.family not in ("LSTM", "GRU"):
            raise ValueError(f"every_step is for 'LSTM' and 'GRU', not {self.family!r}")

    @property
    def label(self):
        """Name in tables and plots: "GRU 32", "LSTM 3 x 32", "softmax"."""
        width = f"{self.units}" if self.layers == 1 else f"{self.layers} x {self.units}"
        label = self.family if self.family == "softmax" else f"{self.family} {width}"
        if self.schedule == "cosine":
            label += ", tuned"
        elif self.gate_bias:
            label += f", gate bias {self.gate_bias:g}"
        return label + (", loss at every step" if self.every_step else "")


def _float(value):
    """A number as a float; NaN for what is none, text included."""
    try:
        return math.nan if isinstance(value, (str, bytes, bool)) else float(value)
    except (TypeError, ValueError, OverflowError):
        return math.nan


def tuned(experiment):
    """The same network, epochs and seed with a better recipe; notebook 2 tests its parts."""
    narrow, wide, gru = experiment.units < 64, experiment.units >= 128, experiment.family == "GRU"
    return dataclasses.replace(
        experiment,
        batch_size=-(-experiment.batch_size // 2) if narrow else experiment.batch_size,
        learning_rate=0.005 if wide and gru else 0.01,
        schedule="cosine",
        clipnorm=1.0,
        shift=2 if wide else 1,  # wide ones learn their images sooner by heart
        gate_bias=1.0 if gru else 0.0,
    )


def quick(experiment):
    """The same network and seed after one epoch only: the tuned recipe with small batches and a still higher rate."""
    size = min(128, experiment.batch_size)
    return dataclasses.replace(tuned(experiment), epochs=1, batch_size=size, learning_rate=0.02, shift=0)


def build_model(experiment):
    """The untrained network, from rows (N, 28, 28) to logits (N, 10); every initial weight follows from the seed.

    Keras draws the seeds of unseeded initialisers from Python's global `random`, which other threads move. So each
    layer gets its own.
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


def compile_model(model, experiment, updates=1):
    """Adam on the cross-entropy of the logits, returns the model; `updates`: how many an epoch has, for a schedule."""
    rate = experiment.learning_rate
    if experiment.schedule == "cosine":
        warm_up = -(-updates // 3)
        rate = keras.optimizers.schedules.CosineDecay(
            0.0, experiment.epochs * updates - warm_up, warmup_target=rate, warmup_steps=warm_up
        )
    model.compile(
        optimizer=keras.optimizers.Adam(rate, clipnorm=experiment.clipnorm or None),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=[keras.metrics.SparseCategoricalAccuracy(name="accuracy")],
    )
    # With the variables of optimiser and metric in place, TensorFlow traces the training step once instead of twice.
    model.optimizer.build(model.trainable_variables)
    return model


def fit(experiment, data, after_epoch=lambda epoch: None):
    """Train one model here and now, without files.

    Args:
        experiment: Experiment.
        data: Data.
        after_epoch: called with the number of each finished epoch, counted from 0.

    Returns:
        (model, history): history maps "loss", "accuracy" (training) and "val_loss", "val_accuracy" (test images, looked
        at after each epoch but never used to choose anything) to one number per epoch.
    """
    shift, size = experiment.shift, experiment.batch_size

    def targets(labels):
        return np.repeat(labels[:, None], 28, axis=1) if experiment.every_step else labels

    # A margin on all sides, in which the window of 28 x 28 pixels can move.
    images = tf.constant(np.pad(data.x_train, ((0, 0), (shift, shift), (shift, shift))))
    labels = tf.constant(targets(data.y_train))

    def shuffled(epoch):
        # Shuffled here rather than by Keras, so that the order follows from the seed alone.
        rows = tf.random.experimental.stateless_shuffle(tf.range(len(data.y_train)), seed=[experiment.seed, epoch])
        return tf.data.Dataset.from_tensor_slices(rows).batch(size)

    def batch(number, rows):
        x = tf.gather(images, rows)
        if shift:
            corners = tf.random.stateless_uniform(
                (2, tf.size(rows), 1), [experiment.seed, number], 0, 2 * shift + 1, tf.int32
            )
            down, right = tf.unstack(corners + tf.range(28))
            x = tf.gather(x, down, batch_dims=1)
            x = tf.transpose(tf.gather(tf.transpose(x, (0, 2, 1)), right, batch_dims=1), (0, 2, 1))
        return x, tf.gather(labels, rows)

    updates = -(-len(data.y_train) // size)
    batches = tf.data.Dataset.range(experiment.epochs).flat_map(shuffled).enumerate().map(batch).prefetch(2)
    model = compile_model(build_model(experiment), experiment, updates)
    past = model.fit(
        batches,
        epochs=experiment.epochs,
        steps_per_epoch=updates,
        validation_data=(data.x_test, targets(data.y_test)),
        validation_batch_size=1000,
        shuffle=False,
        callbacks=[keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: after_epoch(epoch))],
        verbose=0,
    )
    return model, past.history


# What decides a model's weights, beside its Experiment and the data. Read once, at import: `inspect` looks into the
# file, which may be edited while a kernel runs.
TRAINING_CODE = "".join(inspect.getsource(function) for function in (build_model, compile_model, fit))


def batch_size_for(data, batch_size=256):
    """The batch size, smaller on a small data set: an epoch has at least 20 updates, a batch at least 32 images."""
    check_integer(batch_size=batch_size)
    return min(batch_size, max(32, len(data.y_train) // 20))


MODEL_SIZES = ("32", "64", "128", "3 x 32")
