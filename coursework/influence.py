"""Which rows of an image matter for what is read out after each step."""

import numpy as np

from coursework.arguments import as_labels
from coursework.backend import keras, tf
from coursework.layers import copy_of, every_step, input_of, parts, recurrent_layer
from coursework.readout import read_out


def row_influence(model: keras.Model, x: np.ndarray, classes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Which rows of the images x (N, T, pixels) matter for what is read out about `classes` (N,) after each step?

    The model is a Sequential classifier whose first layer, and no other, is recurrent; ValueError for another one.

    Returns:
        (gradient, erasure), arrays (N, T, T) of step by row. Gradient: length of the derivative of log p(class), read
        out after the step, with respect to the pixels of the row. Erasure: by how much log p(class) falls if the row is
        blank. Both are 0 for rows that are still to come.

    Notebook 3, Q3.3.
    """
    layer, twin = recurrent_layer(model), every_step(recurrent_layer(model))
    x = input_of(layer, x).astype(np.float32)
    chosen = np.eye(10, dtype=np.float32)[as_labels("classes", classes, len(x))]
    if read_out(model, np.zeros((1, 1, layer.cell.units))).shape[-1] != 10:
        raise ValueError("row_influence needs logits of ten classes")
    head = keras.Sequential([keras.Input((layer.cell.units,)), *copy_of(model).layers[1:]])
    steps = x.shape[1]
    gradient, erasure = np.empty((2, len(x), steps, steps), np.float32)

    def log_chances(x, chosen):
        """For (images, copies) of x: log p(class) after each step."""
        h = keras.ops.reshape(twin(keras.ops.reshape(x, (-1, *x.shape[2:]))), (-1, layer.cell.units))
        values = keras.ops.reshape(keras.ops.log_softmax(head(h)), (*x.shape[:2], steps, 10))
        return keras.ops.sum(values * chosen[:, None, None], -1)

    # A copy of an image for each step, so that one pass backwards serves them all; and one for each row that is blank.
    for some in parts(len(x), 50):
        copies = tf.repeat(x[some, None], steps, axis=1)
        with tf.GradientTape() as tape:
            tape.watch(copies)
            after = log_chances(copies, chosen[some])
            own = tf.reduce_sum(tf.linalg.diag_part(after))
        gradient[some] = tf.norm(tape.gradient(own, copies), axis=-1)
        left = log_chances(copies * (1 - np.eye(steps, dtype=np.float32))[:, :, None], chosen[some]).numpy()
        erasure[some] = after.numpy()[:, 0, :, None] - left.transpose(0, 2, 1)
    return gradient, erasure
