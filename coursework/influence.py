"""Which rows of an image matter for what is read out after each step."""

import numpy as np

from coursework.arguments import as_labels
from coursework.backend import keras, tf
from coursework.layers import every_step, input_for, layer_outputs, parts, recurrent_layer, rest_of
from coursework.readout import read_out


def row_influence(
    model: keras.Model, x: np.ndarray, classes: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Which rows of the images x (N, T, pixels) matter for what is read out about `classes` (N,) after each step?

    The model is a Sequential classifier whose first layer, and no other, is recurrent; ValueError for another one.

    Returns:
        (gradient, erasure), arrays (N, T, T) of step by row. Gradient: length of the derivative of log p(class), read
        out after the step, with respect to the pixels of the row. Erasure: by how much log p(class) falls if the row is
        blank. Both are 0 for rows that are still to come.

    Notebook 3, Q3.3.
    """
    layer = recurrent_layer(model)
    x = input_for(model, x).astype(np.float32)
    classes = as_labels("classes", classes, len(x))
    h = layer_outputs(layer, x[:1])
    if read_out(model, h).shape[-1] != 10:
        raise ValueError("row_influence needs logits of ten classes")
    steps = x.shape[1]
    read = _reader(model, layer, steps)
    gradient = np.empty((len(x), steps, steps), np.float32)
    erasure = np.empty_like(gradient)
    for some in parts(len(x), 50):
        gradient[some], after = _gradients(read, x[some], classes[some])
        erasure[some] = after[:, :, None] - _without_a_row(read, x[some], classes[some])
    return gradient, erasure


def _reader(model, layer, steps):
    """A function: log p(class) after each step, (images, copies, T), of (images, copies, T, pixels) and (images,)."""
    rest = rest_of(model, layer, steps)
    one_state = not layer.return_sequences

    def read(images, classes):
        count, copies, *image = images.shape
        sequences = tf.reshape(images, (-1, *image))
        with every_step(layer):
            h = layer(sequences)
        if one_state:
            h = tf.reshape(h, (-1, h.shape[-1]))
        logits = tf.cast(rest(h), tf.float32)
        values = tf.nn.log_softmax(logits)
        values = tf.reshape(values, (count, copies, steps, 10))
        chosen = tf.one_hot(classes, 10)
        return tf.einsum("ncsk,nk->ncs", values, chosen)

    return read


def _gradients(read, x, classes):
    """Lengths of the derivatives (N, T, T), and log p(class) after each step, (N, T)."""
    copies = tf.repeat(
        x[:, None], x.shape[1], axis=1
    )  # one for each step, so that one pass backwards serves them all
    with tf.GradientTape() as tape:
        tape.watch(copies)
        after = read(copies, classes)
        own = tf.reduce_sum(tf.linalg.diag_part(after))
    return tf.norm(tape.gradient(own, copies), axis=-1), after.numpy()[:, 0]


def _without_a_row(read, x, classes):
    """log p(class) after each step (N, T, T), when the row of the last axis is blank."""
    others = 1 - np.eye(x.shape[1], dtype=np.float32)
    left = read(x[:, None] * others[:, :, None], classes)
    return left.numpy().transpose(0, 2, 1)
