"""Values and choices in one line of words, for errors and hints; standard library only."""

import numbers
from fractions import Fraction


def check_choice(name: str, value, choices) -> None:
    """ValueError in one line unless `value` is one of the choices (True and False count as 1 and 0)."""
    if not isinstance(value, (str, numbers.Integral)) or value not in choices:
        raise ValueError(
            f"unknown {name} {short_repr(value)}: use {' or '.join(map(repr, choices))}"
        )


def short_repr(value) -> str:
    """A value on one line of 40 characters at most."""
    is_plain = isinstance(value, Fraction) or type(value).__module__ == "numpy"
    try:
        text = str(value) if is_plain else repr(value)
        text = " ".join(text.split())
    except Exception:  # such as an integer too long to print
        return f"(a long {type(value).__name__})"
    return text if len(text) <= 40 else text[:37] + "..."
