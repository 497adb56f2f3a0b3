"""Answers as plain data: written as Python expressions where the student's code runs, read by `decode` where ours does.

The expressions hold literals and calls of the few functions in KNOWN; nothing is evaluated or unpickled. What a check
at home understands has such a form (`coursework.checks_gates` has the list of numbers); what has none becomes
other('name of its type'), which a check then refuses in its own words, as it does at home.
"""

import ast
import base64
import dataclasses
import functools
import io
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import sympy as sp

import helpers
from coursework.checks_gates import MOST_ENTRIES, SEQUENCES
from coursework.experiment import Experiment

MOST_BYTES = 2_000_000  # of one array
MOST_BITS = 100_000  # of one whole number
DEPTH = 20  # of lists in lists
DIGITS = 300  # of a number that has no other form: fewer bits than the checks take at most
# Everything of SymPy's that a number may be written with.
PARTS = (sp.Function, sp.Add, sp.Mul, sp.Pow, sp.Max, sp.Min)
HEADS = {
    name: head
    for name, head in vars(sp).items()
    if isinstance(head, type) and issubclass(head, PARTS)
}
HEADS["sigmoid"] = helpers.sigmoid
CONSTANTS = {str(value): value for value in (sp.I, sp.oo, sp.nan, sp.zoo)}
CONSTANTS |= {str(kind()): kind() for kind in sp.NumberSymbol.__subclasses__()}
CONSTANTS["E"] = CONSTANTS.pop("E", sp.E)


# NumPy's numbers that Python's own hold exactly.
SHORT = {
    np.dtype(name)
    for name in ("bool", "float16", "float32", "float64", "int8", "int16", "int32", "int64")
}
SHORT |= {np.dtype(name) for name in ("uint8", "uint16", "uint32", "uint64")}


class Unknown(Exception):
    """A value has no form that travels."""


def answers_of(space: Mapping[str, object], names: Iterable[str]) -> dict[str, str]:
    """dict from those of the names that have a value in `space` other than ... and None to it, as an expression."""
    values = {name: space.get(name) for name in names}
    return {
        name: written(value)
        for name, value in values.items()
        if value is not None and value is not ...
    }


def written(value: object) -> str:
    """A value as an expression, whatever an object of the student's own does when it is looked at."""
    try:
        return encode(value, [MOST_ENTRIES])
    except (Exception, SystemExit):
        return other(value)


def other(value: object) -> str:
    """What stands for a value that does not travel."""
    return f"other({type(value).__name__!r})"


def encode(value: object, left: list[int], depth: int = 0) -> str:
    """A value as an expression; `left` holds the number of parts that it may still have."""
    left[0] -= 1
    if left[0] < 0 or depth > DEPTH:
        return other(value)
    part = functools.partial(encode, left=left, depth=depth + 1)
    try:
        for kinds, write in FORMS:
            if isinstance(value, kinds):
                return write(value, part)
        if hasattr(type(value), "__array__"):  # tensors, variables, tables
            return part(np.asarray(value))
    except Unknown:
        pass
    return other(value)


# One function for each form: it gets the value, and what writes its parts. ------------------------------------------
Part = Callable[[object], str]


def _literal(value: object, part: Part) -> str:
    return "..." if value is ... else repr(value)


def _text(value: str, part: Part) -> str:
    return repr(str(value)[:1000])


def _integer(value: int, part: Part) -> str:
    if int(value).bit_length() > MOST_BITS:
        raise Unknown
    return hex(int(value))


def _float(value: float, part: Part) -> str:
    return repr(float(value)) if value == value else "NaN"


def _exact(value: Fraction | Decimal, part: Part) -> str:
    kind = Fraction if isinstance(value, Fraction) else Decimal
    return f"{kind.__name__}({str(value)!r})"


def _number(value: np.generic, part: Part) -> str:
    """One of NumPy's numbers; an array's form would take hundreds of characters for each entry of a list."""
    kind = value.dtype
    if kind not in SHORT:
        return _array(value, part)
    return f"{kind.name}({value.item()!r})" if value == value else f"{kind.name}(NaN)"


def _array(value: np.ndarray | np.generic, part: Part) -> str:
    plain = value.dtype.kind in "biufcO" and value.nbytes <= MOST_BYTES
    if isinstance(value, np.ma.MaskedArray) or not plain:
        raise Unknown
    if value.dtype.kind == "O":
        return part(value.tolist())
    np.save(file := io.BytesIO(), value, allow_pickle=False)
    return f"array({base64.b64encode(file.getvalue()).decode()!r})"


def _sequence(value: Iterable, part: Part) -> str:
    kind: Any = next(
        kind for kind in (*SEQUENCES, set) if isinstance(value, kind)
    )  # not what a class of theirs has
    return f"{kind.__name__}([{', '.join(map(part, kind.__iter__(value)))}])"


def _dict(value: dict, part: Part) -> str:
    return f"dict([{', '.join(map(part, dict.items(value)))}])"


def _experiment(value: Experiment, part: Part) -> str:
    fields = {field.name: getattr(value, field.name) for field in dataclasses.fields(Experiment)}
    # A cell is known to the checks by its name.
    plain = {name: getattr(field, "name", field) for name, field in fields.items()}
    return f"Experiment({part(plain)})"


def _matrix(value: sp.MatrixBase | sp.NDimArray, part: Part) -> str:
    return part(value.tolist())


def _formula(value: sp.Expr, part: Part) -> str:
    if all(_has_form(node) for node in sp.preorder_traversal(value)):
        return sp.srepr(value, order="none")
    if value.free_symbols:
        raise Unknown
    number = value.evalf(DIGITS)
    if not number.is_Float:
        raise Unknown
    return sp.srepr(number)


def _has_form(node: sp.Basic) -> bool:
    """Does `decode` read this node of a formula?"""
    if isinstance(node, (sp.Number, sp.Symbol)) or node in CONSTANTS.values():
        return True
    return HEADS.get(type(node).__name__) is type(node)


FORMS: tuple[tuple[type | tuple[type, ...], Callable[..., str]], ...] = (
    ((type(None), type(...), bool), _literal),
    (str, _text),
    (int, _integer),
    (np.generic, _number),
    (np.ndarray, _array),
    (float, _float),
    ((Fraction, Decimal), _exact),
    ((*SEQUENCES, set), _sequence),
    (dict, _dict),
    (Experiment, _experiment),
    ((sp.MatrixBase, sp.NDimArray), _matrix),
    (sp.Expr, _formula),
)


# And back -----------------------------------------------------------------------------------------------------------
def kept(head: type, *parts: object) -> object:
    """One of SymPy's own, as it was written."""
    if not all(isinstance(part, sp.Basic) for part in parts):  # SymPy would evaluate a string
        raise TypeError(f"{head} of {parts}")
    return head(*parts, evaluate=False)


def array(text: str) -> np.ndarray:
    """An array from NumPy's own format; one without dimensions is a number."""
    return np.load(io.BytesIO(base64.b64decode(text)), allow_pickle=False)[()]


def experiment(fields: dict) -> object:
    """An Experiment; what takes none of these settings costs itself, and not the list that it stands in."""
    try:
        return Experiment(**fields)
    except (ValueError, TypeError):
        return stranger("Experiment")


def stranger(name: str) -> object:
    """An object of a type with this name, and nothing more."""
    return type(str(name)[:40], (), {})()


KNOWN = {
    **{kind.__name__: kind for kind in (list, tuple, set, deque, dict, Fraction, Decimal)},
    **{name: functools.partial(kept, head) for name, head in HEADS.items()},
    **CONSTANTS,
    **{kind.name: kind.type for kind in SHORT},
    "array": array,
    "inf": float("inf"),
    "NaN": float("nan"),
    "Integer": lambda number: sp.Integer(int(number)),
    "Rational": lambda *two: sp.Rational(*map(int, two)),
    "Float": lambda text, precision: sp.Float(str(text), precision=min(int(precision), MOST_BITS)),
    "Symbol": lambda name, **_: sp.Symbol(str(name)[:40]),
    "Experiment": experiment,
    "other": stranger,
}


def decode(node: str | ast.AST) -> object:
    """What `encode` wrote, as a value; an error of some type if it is anything else."""
    match node:
        case str():
            return decode(ast.parse(node, mode="eval").body)
        case ast.Constant(value):
            return value
        case ast.UnaryOp(ast.USub(), operand):
            return -decode(operand)  # type: ignore[operator]
        case ast.List(entries):
            return list(map(decode, entries))
        case ast.Tuple(entries):
            return tuple(map(decode, entries))
        case ast.Name(name) if not callable(KNOWN[name]):
            return KNOWN[name]
        case ast.Call(ast.Name(name), arguments, keywords):
            named = {word.arg: decode(word.value) for word in keywords if word.arg}
            return KNOWN[name](*map(decode, arguments), **named)
    raise ValueError(f"not written by encode: {node}")


def decoded(answers: Mapping[str, str]) -> dict[str, object]:
    """dict from name to value, from a dict that may hold anything."""
    values: dict[str, object] = {}
    for name, data in answers.items():
        try:
            values[name] = decode(data)
        except (Exception, MemoryError):  # forged, or damaged
            values[name] = stranger("unreadable")
    return values
