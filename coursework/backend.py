"""Keras on TensorFlow: silent, and with one thread for each model."""

import contextlib
import os


@contextlib.contextmanager
def _stderr_to_null():
    """Silence file descriptor 2: TensorFlow's C++ code logs there, past `sys.stderr` and its own log level."""
    try:
        saved = os.dup(2)
    except OSError:  # closed by whoever started this
        yield
        return
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 2)
    try:
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)
        os.close(null)


os.environ["KERAS_BACKEND"] = "tensorflow"  # whatever the user's own setting is
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# One thread for each model, and models side by side: these networks gain next to nothing from a second thread, and the
# last bits of some of them (the CNN's) depend on the number of threads. joblib limits OpenMP's threads only.
os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")
os.environ.setdefault("TF_NUM_INTEROP_THREADS", "1")
with _stderr_to_null():
    import keras
    import tensorflow as tf
keras.config.set_image_data_format(
    "channels_last"
)  # as all that is written here, whatever keras.json says
tf.get_logger().setLevel("ERROR")  # no advice about retracing: each model is evaluated once

# What a process may have set and weights depend on: how to read it, and how to give another process the same.
SETTINGS = (
    (keras.config.floatx, keras.config.set_floatx),
    (keras.config.epsilon, keras.config.set_epsilon),
    (lambda: keras.config.dtype_policy().name, keras.config.set_dtype_policy),
    (keras.config.image_data_format, keras.config.set_image_data_format),
    (
        tf.config.experimental.tensor_float_32_execution_enabled,
        tf.config.experimental.enable_tensor_float_32_execution,
    ),
    (tf.config.optimizer.get_jit, tf.config.optimizer.set_jit),
    (tf.config.functions_run_eagerly, tf.config.run_functions_eagerly),
)


def settings() -> list:
    """The values of `SETTINGS` in this process."""
    return [read() for read, _ in SETTINGS]


def use_settings(values: list) -> None:
    """Take over the settings of another process."""
    for (read, write), value in zip(SETTINGS, values, strict=True):
        if read() != value:
            write(value)
