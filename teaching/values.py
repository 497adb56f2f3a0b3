"""Answers as plain data: written as Python expressions where the student's code runs, read by `decode` where ours does.

The expressions hold literals and calls of the few functions in KNOWN; nothing is evaluated or unpickled. What has no
such form becomes other('name of its type'), which a check then refuses in its own words.
"""

import ast
import base64
import functools
import io
from decimal import Decimal
from fractions import Fraction

import numpy as np
import sympy as sp

from coursework.experiment import Experiment
from coursework.formulas import sigmoid

MOST_BYTES = 64_000_000  # of one array
MOST_PARTS = 100_000  # of one answer
MOST_BITS = 100_000  # of one whole number
DEPTH = 20  # of lists in lists
HEADS = [sp.Add, sp.Mul, sp.Pow, sp.Abs, sp.log, sp.exp, sp.tanh, sp.atanh, sp.atan, sp.sinh, sp.cosh, sigmoid]
CONSTANTS = ["pi", "E", "EulerGamma", "GoldenRatio", "I", "oo", "nan", "zoo"]


def answers_of(space, names):
    """dict from those of the names that have a value in `space` other than ... and None to it, as an expression."""
    answers = {}
    for name in names:
        value = space.get(name, ...)
        if value is not ... and value is not None:
            try:
                answers[name] = encode(value, [MOST_PARTS])
            except (Exception, SystemExit):  # whatever an object of the student's own does when it is looked at
                answers[name] = f"other({type(value).__name__!r})"
    return answers


def encode(value, left, depth=0):
    """A value as an expression; `left` holds the number of parts that it may still have."""
    left[0] -= 1
    other = f"other({type(value).__name__!r})"
    if left[0] < 0 or depth > DEPTH:
        return other
    part = functools.partial(encode, left=left, depth=depth + 1)

    def parts(values):
        return f"[{', '.join(map(part, values))}]"

    if value is None or value is ... or isinstance(value, bool):
        return "..." if value is ... else repr(value)
    if isinstance(value, str):
        return repr(str(value)[:1000])
    if isinstance(value, int):
        return hex(int(value)) if int(value).bit_length() <= MOST_BITS else other
    if isinstance(value, (np.ndarray, np.generic)):
        if isinstance(value, np.ma.MaskedArray) or value.nbytes > MOST_BYTES or value.dtype.kind not in "biufcO":
            return other
        if value.dtype.kind == "O":
            return part(value.tolist())
        np.save(file := io.BytesIO(), value, allow_pickle=False)
        return f"array({base64.b64encode(file.getvalue()).decode()!r})"
    if isinstance(value, float):
        return repr(float(value)) if value == value else "NaN"
    for kind in (Fraction, Decimal):
        if isinstance(value, kind):
            return f"{kind.__name__}({str(value)!r})"
    for kind in (list, tuple, set):
        if isinstance(value, kind):
            return f"{kind.__name__}({parts(kind.__iter__(value))})"
    if isinstance(value, dict):
        return f"dict({parts(dict.items(value))})"
    if isinstance(value, Experiment):
        return f"Experiment({part(vars(value))})"
    if isinstance(value, sp.Expr):
        return sp.srepr(value, order="none")
    if isinstance(value, sp.NDimArray):
        return part(value.tolist())
    if hasattr(type(value), "__array__"):  # tensors, variables, tables, matrices
        return part(np.asarray(value))
    return other


def kept(head, *parts):
    """One of SymPy's own, as it was written."""
    if not all(isinstance(part, sp.Basic) for part in parts):  # SymPy would evaluate a string
        raise TypeError(f"{head} of {parts}")
    return head(*parts, evaluate=False)


def array(text):
    """An array from NumPy's own format; one without dimensions is a number."""
    return np.load(io.BytesIO(base64.b64decode(text)), allow_pickle=False)[()]


KNOWN = {
    **{kind.__name__: kind for kind in (list, tuple, set, dict, Fraction, Decimal, array)},
    **{head.__name__: functools.partial(kept, head) for head in HEADS},
    **{name: getattr(sp, name) for name in CONSTANTS},
    "inf": float("inf"),
    "NaN": float("nan"),
    "Integer": lambda number: sp.Integer(int(number)),
    "Rational": lambda *two: sp.Rational(*map(int, two)),
    "Float": lambda text, precision: sp.Float(str(text), precision=min(int(precision), MOST_BITS)),
    "Symbol": lambda name, **_: sp.Symbol(str(name)[:40]),
    "Experiment": lambda fields: Experiment(**fields),
    "other": lambda name: type(str(name)[:40], (), {})(),
}


def decode(node):
    """What `encode` wrote, as a value; an error of some type if it is anything else."""
    match node:
        case str():
            return decode(ast.parse(node, mode="eval").body)
        case ast.Constant(value):
            return value
        case ast.UnaryOp(ast.USub(), operand):
            return -decode(operand)
        case ast.List(entries):
            return list(map(decode, entries))
        case ast.Name(name) if not callable(KNOWN[name]):
            return KNOWN[name]
        case ast.Call(ast.Name(name), arguments, keywords):
            return KNOWN[name](*map(decode, arguments), **{word.arg: decode(word.value) for word in keywords})
    raise ValueError(f"not written by encode: {node}")


def decoded(answers):
    """dict from name to value, from a dict that may hold anything."""
    values = {}
    for name, data in answers.items():
        try:
            values[name] = decode(data)
        except (Exception, MemoryError):  # forged, damaged, or settings that no Experiment takes
            values[name] = type("damaged", (), {})()
    return values
