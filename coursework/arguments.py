"""Checks of arguments, shared by all rooms: each gives the value in its plain form or refuses it in one line."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from coursework.words import check_choice, short_repr  # noqa: F401 (other rooms take them from here)

MOST = 2**31 - 1  # what fits every integer of TensorFlow


def check_integer(least: int = 1, most: int = MOST, **values: object) -> None:
    """ValueError, in one line, if one of the named values is no whole number from `least` to `most`.

    Notebooks 1 and 3.
    """
    for name, value in values.items():
        if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < least:
            raise ValueError(
                f"{name} must be a whole number of at least {least}, not {short_repr(value)}"
            )
        if value > most:
            raise ValueError(f"{name} must be at most {most}, not {short_repr(value)}")


def as_numbers(
    name: str, value, shape: tuple | None = None, low: float = -np.inf, high: float = np.inf
) -> np.ndarray:
    """`value` as an array of real numbers, floats finite in float32.

    Args:
        name: how the error calls the value.
        value: array, tensor, list or number.
        shape: what it must have; a letter stands for any length of at least 1, the same letter for the same length.
        low, high: the range of its values.

    Raises:
        ValueError: in one line, with the shape that was found and the one that is expected.
    """
    wanted = "" if shape is None else f" of shape {_shape_text(shape)}"
    array = _as_array(name, value, wanted)
    if shape is not None and not _fits(array.shape, shape):
        hint = f"; a single one is {name}[None]" if array.ndim == len(shape) - 1 else ""
        raise ValueError(f"{name} has shape {array.shape}, expected {_shape_text(shape)}{hint}")
    if array.size == 0:
        return array
    _check_range(name, array, low, high)
    return array


def _check_range(name, array, low, high):
    """ValueError if an array holds NaN, what is no number in float32, or values outside the range."""
    smallest, largest = float(array.min()), float(array.max())
    is_float = array.dtype.kind == "f"
    if is_float and not (smallest >= -LARGEST and largest <= LARGEST):  # NaN is neither
        raise ValueError(f"{name} holds NaN, or values that are infinite in float32")
    if smallest < low or largest > high:
        found = f"from {smallest:g} to {largest:g}"
        raise ValueError(f"{name} holds values {found}, expected {low:g} to {high:g}")


LARGEST = float(np.finfo(np.float32).max)


def _as_array(name, value, wanted):
    """`value` as an array of real numbers."""
    if isinstance(value, np.ma.MaskedArray):
        raise ValueError(
            f"{name} is a masked array, whose mask would be lost; give a plain array{wanted}"
        )
    try:
        array = np.asarray(value)
    except Exception as error:  # ragged lists, or whatever an object's own conversion raises
        raise ValueError(f"{name} must be an array of numbers{wanted}") from error
    if (
        array.dtype.name == "bfloat16"
    ):  # which TensorFlow gives, and NumPy does not count among its floats
        array = array.astype(np.float32)
    if array.dtype.kind not in "biuf":
        raise ValueError(f"{name} must be an array of numbers{wanted}, not of {array.dtype}")
    return array


def as_labels(name: str, value, count: int | None = None) -> np.ndarray:
    """`value` as digits 0 to 9, int64 of shape (N,): also from (N, 1), from one-hot (N, 10), and from whole floats.

    ValueError in one line, which calls the value `name`, for anything else, and if there are not `count` of them.
    """
    labels = as_numbers(name, value)
    if _is_one_hot(labels):
        labels = labels.argmax(1)
    elif labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    expected = "(N,)" if count is None else f"({count},)"
    if labels.ndim != 1 or len(labels) == 0 or count not in (None, len(labels)):
        raise ValueError(
            f"{name} has shape {labels.shape}, expected labels {expected}, or one-hot rows of ten"
        )
    if labels.dtype == bool:
        raise ValueError(f"{name} holds True and False, expected whole numbers 0-9")
    smallest, largest = labels.min(), labels.max()
    whole = (labels == np.floor(labels)).all()
    if not whole or smallest < 0 or largest > 9:
        raise ValueError(
            f"{name} holds labels from {smallest} to {largest}, expected whole numbers 0-9"
        )
    return labels.astype(np.int64)


def _is_one_hot(labels):
    """Ten columns of 0 and 1, with a single 1 in each row?"""
    if labels.ndim != 2 or labels.shape[1] != 10:
        return False
    return np.isin(labels, (0, 1)).all() and (labels.sum(1) == 1).all()


def check_dict(name: str, value, holds: str) -> None:
    """ValueError in one line unless the value is a dict with something in it."""
    if not isinstance(value, Mapping):
        raise ValueError(f"{name} is of type {type(value).__name__}; a dict {holds} is needed")
    if not value:
        raise ValueError(f"{name} is empty; a dict {holds} is needed")


def check_names(name: str, wanted: Iterable, value: Mapping) -> None:
    """ValueError in one line if the dict `value`, called `name`, lacks one of the keys."""
    missing = [key for key in wanted if key not in value]
    if missing:
        raise ValueError(
            f"{name} has no {short_repr(missing[0])}; it has {', '.join(map(str, value))}"
        )


def check_count(images: Sequence | np.ndarray, **others: Sequence | np.ndarray) -> None:
    """ValueError in one line unless each of the named sequences has a value for each image."""
    for name, values in others.items():
        if np.ndim(values) != 1:
            raise ValueError(f"{name} must be a list, one for each image, not {short_repr(values)}")
        if len(values) != len(images):
            raise ValueError(f"{len(images)} images, but {len(values)} {name}")


def check_steps(steps: Sequence[int], most: int) -> None:
    """ValueError in one line unless `steps` are one or more whole numbers from 1 to `most`."""
    if np.ndim(steps) != 1 or len(steps) == 0:
        raise ValueError(
            f"steps must be a list of time steps from 1 to {most}, not {short_repr(steps)}"
        )
    for step in steps:
        check_integer(1, most, step=step)


def _fits(found, wanted):
    lengths: dict[str, int] = {}
    return len(found) == len(wanted) and all(
        size == (lengths.setdefault(want, size) if isinstance(want, str) else want) and size > 0
        for size, want in zip(found, wanted, strict=True)
    )


def _shape_text(shape):
    return f"({', '.join(map(str, shape))}{',' if len(shape) == 1 else ''})"
