"""Build and train the network that an Experiment describes."""

import ast
import dataclasses
import functools
import inspect
import linecache
import threading
from collections.abc import Callable
from typing import Protocol

import numpy as np

from coursework.backend import keras, settings, tf
from coursework.experiment import Experiment
from coursework.formulas import Cell, evaluate
from coursework.keras_cells import ByFormula, FormulaCell, set_gate_bias, stacks

ROWS = 28  # of an image, and pixels of a row


def build_model(experiment: Experiment) -> keras.Sequential:
    """The untrained network, from rows (N, 28, 28) to logits (N, 10); every initial weight follows from the seed.

    Keras draws the seeds of unseeded initialisers from Python's global `random`, which other threads move. So each
    layer gets its own. Notebook 2.
    """
    seeds = iter(np.random.SeedSequence(experiment.seed).generate_state(32).tolist())
    if experiment.is_recurrent:
        body = _recurrent_body(experiment, seeds)
    elif experiment.family == "CNN":
        body = _convolutional_body(experiment, seeds)
    else:
        widths = [experiment.units] * experiment.layers if experiment.family == "MLP" else []
        body = [keras.layers.Flatten(), *(_dense(units, seeds, "relu") for units in widths)]
    model = keras.Sequential([keras.Input((28, 28)), *body, _dense(10, seeds)])
    if experiment.gate_bias:
        for layer in model.layers[: experiment.layers]:
            set_gate_bias(layer, experiment.gate_bias)
    return model


def _glorot(seeds):
    return keras.initializers.GlorotUniform(seed=next(seeds))


def _dense(units, seeds, activation=None):
    return keras.layers.Dense(units, activation, kernel_initializer=_glorot(seeds))


def _recurrent_body(experiment, seeds):
    layers = []
    for number in range(experiment.layers):
        is_last = number == experiment.layers - 1
        layers.append(
            _recurrent_layer(
                experiment, seeds, return_sequences=experiment.every_step or not is_last
            )
        )
    return [*layers, keras.layers.ReLU(), _dense(64, seeds, "relu")]


def _recurrent_layer(experiment, seeds, return_sequences):
    """Keras's layer for the sheet's families, a cell from its equations for any other."""
    initializers = {"kernel_initializer": _glorot(seeds)}
    initializers["recurrent_initializer"] = keras.initializers.Orthogonal(seed=next(seeds))
    if isinstance(experiment.family, Cell):
        cell = FormulaCell(experiment.family, experiment.units, **initializers)
        layer = keras.layers.RNN(cell, return_sequences=return_sequences)
    else:
        kind = getattr(keras.layers, experiment.family)
        layer = kind(experiment.units, return_sequences=return_sequences, **initializers)
    return layer


def _convolutional_body(experiment, seeds):
    layers = [keras.layers.Reshape((28, 28, 1))]
    for _ in range(2):
        layers.append(
            keras.layers.Conv2D(
                8, 3, padding="same", activation="relu", kernel_initializer=_glorot(seeds)
            )
        )
        layers.append(keras.layers.MaxPooling2D())
    dense = [_dense(experiment.units, seeds, "relu") for _ in range(experiment.layers)]
    return [*layers, keras.layers.Flatten(), *dense]


def compile_model(
    model: keras.Model, experiment: Experiment, updates: int = 1, **options: object
) -> keras.Model:
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
        rate = keras.optimizers.schedules.CosineDecay(
            0.0, down, warmup_target=rate, warmup_steps=warm_up
        )
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
    return experiment.is_recurrent and updates >= 300


class Images(Protocol):
    """What is read of a `Data`: images (N, 28, 28) of any type that holds them, and labels (N,)."""

    @property
    def x_train(self) -> np.ndarray: ...  # noqa: D102
    @property
    def y_train(self) -> np.ndarray: ...  # noqa: D102
    @property
    def x_test(self) -> np.ndarray: ...  # noqa: D102
    @property
    def y_test(self) -> np.ndarray: ...  # noqa: D102


def fit(
    experiment: Experiment, data: Images, after_epoch: Callable[[int], None] = lambda epoch: None
) -> tuple[keras.Model, dict]:
    """Train one model here and now, without files.

    Args:
        experiment: Experiment.
        data: a Data, or its arrays. An epoch leaves out the images that fill no batch, other ones each time.
        after_epoch: called with the number of each finished epoch, counted from 0.

    Returns:
        (model, history): history maps "loss", "accuracy" (training) and "val_loss", "val_accuracy" (test images, looked
        at after each epoch; the training does not depend on them) to one number per epoch.
    """
    size = min(experiment.batch_size, len(data.y_train))
    updates = len(data.y_train) // size
    model = _fresh(experiment, updates)
    trained = build_model(experiment)
    model.set_weights(trained.get_weights())
    tests = tf.data.Dataset.from_tensor_slices((data.x_test, _targets(experiment, data.y_test)))
    after = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: after_epoch(epoch))
    past = model.fit(
        _untuned(_batches(experiment, data, size)),
        epochs=experiment.epochs,
        steps_per_epoch=updates,
        validation_data=_untuned(tests.batch(1000)),
        shuffle=False,
        callbacks=[after],
        verbose=0,
    )
    trained.set_weights(model.get_weights())
    return compile_model(trained, experiment, updates), past.history


def _targets(experiment, labels):
    """A label for each image, or one for each of its rows."""
    return np.repeat(labels[:, None], ROWS, axis=1) if experiment.every_step else labels


def _untuned(dataset):
    """Without the autotuner, for whose sleep a dataset waits at its end: half a minute after an hour of training."""
    options = tf.data.Options()
    options.autotune.enabled = False
    return dataset.with_options(options)


def _batches(experiment, data, size):
    """All batches of all epochs, as a dataset of (images, targets)."""
    seed, shift, count = experiment.seed, experiment.shift, len(data.y_train)
    updates = count // size
    margin = (shift, shift)  # on all sides, in which the window of 28 x 28 pixels can move
    images = np.pad(data.x_train, ((0, 0), margin, margin)) if shift else data.x_train
    images = tf.constant(images)
    labels = tf.constant(_targets(experiment, data.y_train))

    def shuffled(epoch):
        # Shuffled here rather than by Keras, so that the order follows from the seed alone.
        rows = tf.random.experimental.stateless_shuffle(tf.range(count), seed=[seed, epoch])
        full = rows[: updates * size]
        return tf.data.Dataset.from_tensor_slices(tf.reshape(full, (updates, size)))

    def batch(number, rows):
        x = tf.gather(images, rows)
        if shift:
            corners = tf.random.stateless_uniform(
                (2, size, 1), [seed, number], 0, 2 * shift + 1, tf.int32
            )
            down, right = tf.unstack(corners + tf.range(ROWS))
            x = tf.gather(x, down, batch_dims=1)
            turned = tf.gather(tf.transpose(x, (0, 2, 1)), right, batch_dims=1)
            x = tf.transpose(turned, (0, 2, 1))
        return tf.cast(x, tf.float32), tf.gather(labels, rows)

    epochs = tf.data.Dataset.range(experiment.epochs)
    return epochs.flat_map(shuffled).enumerate().map(batch).prefetch(2)


def _fresh(experiment, updates):
    """A model whose training step is compiled, with a new optimiser.

    What compiling costs is paid once for all experiments that differ in their weights, images or constant rate only.
    Their weights and the state of the optimiser are set anew, so the result is the same to the bit.
    """
    is_constant = experiment.schedule == "constant"
    program = dataclasses.replace(experiment, seed=0, gate_bias=0.0, shift=0)
    if is_constant:
        program = dataclasses.replace(program, epochs=1, learning_rate=1.0)
    compile_it = pays_to_compile(experiment, experiment.epochs * updates)
    world = training_code(), *settings(), threading.get_ident()
    model, state = _compiled(program, updates, compile_it, world)
    for variable, value in zip(model.optimizer.variables, state, strict=True):
        variable.assign(value)
    if is_constant:
        model.optimizer.learning_rate = experiment.learning_rate
    return model


@functools.lru_cache(16)
def _compiled(program, updates, compile_it, world):
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
    count = experiment.layers
    cells = [_quickest(layer.cell) for layer in model.layers[:count]]
    recurrent = keras.layers.RNN(cells, return_sequences=experiment.every_step)
    return keras.Sequential([keras.Input((28, 28)), recurrent, *model.layers[count:]])


def _quickest(cell):
    """The cell itself, or one with new weights that trains faster: `fit` sets all weights anew."""
    return ByFormula(cell.units) if type(cell) is keras.layers.GRUCell else cell


def training_code() -> str:
    """The source of what decides a model's weights, beside its Experiment and the data, as this process runs it."""
    functions: list[Callable] = [
        build_model,
        _recurrent_body,
        _recurrent_layer,
        _convolutional_body,
        _dense,
        _glorot,
    ]
    functions += [
        compile_model,
        pays_to_compile,
        fit,
        _targets,
        _batches,
        _fresh,
        _compiled,
        _in_one_loop,
        _quickest,
    ]
    functions += [FormulaCell.call, ByFormula.call, set_gate_bias, stacks, evaluate]
    return "\n".join(_source(inspect.unwrap(function).__code__) for function in functions)


@functools.cache
def _source(code):
    """The text of a code object's function or class, read once: its file may be edited while a kernel runs."""
    linecache.checkcache(code.co_filename)
    text = "".join(linecache.getlines(code.co_filename))
    name = code.co_qualname.partition(".")[0]  # by name, as `%autoreload` gives lines of its own
    found = [node for node in ast.parse(text).body if getattr(node, "name", None) == name]
    return (
        ast.get_source_segment(text, found[-1])
        if found
        else str((code.co_code, code.co_names, code.co_consts))
    )


training_code()  # now, while the file is what was imported
