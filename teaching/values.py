"""Answers as plain data: written as Python expressions in the student's kernel, read by `decode` in a process of ours.

The expressions hold literals and calls of the few functions in `known`; nothing is evaluated or unpickled. What has no
such form becomes other('name of its type'), which a check then refuses in its own words.
"""

import ast
import base64
import dataclasses
import functools
import io
import json
import sys
from decimal import Decimal
from fractions import Fraction

import numpy as np

from coursework.files import replacing

MOST_BYTES = 64_000_000  # of one array
MOST_PARTS = 100_000  # of one answer
MOST_BITS = 100_000  # of one whole number
HEADS = ["Add", "Mul", "Pow", "Abs", "log", "exp", "tanh", "atanh", "atan", "sinh", "cosh"]  # of SymPy, kept
CONSTANTS = ["pi", "E", "EulerGamma", "GoldenRatio", "I", "oo", "nan", "zoo"]


def keep(space, names, path):
    """Write those of the named variables in `space` that are answered to a JSON file, beside what is in it already."""
    answers = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    for name in names:
        value = space.get(name, ...)
        if value is not ... and value is not None:
            try:
                answers[name] = encode(value, [MOST_PARTS])
            except (Exception, SystemExit):  # whatever an object of the student's own does when it is looked at
                answers[name] = f"other({type(value).__name__!r})"
    with replacing(path) as aside:  # whoever ends the kernel, the file is whole
        aside.write_text(json.dumps(answers), encoding="utf-8")


def encode(value, left, depth=0):
    """A value as an expression; `left` holds the number of parts that it may still have."""
    left[0] -= 1
    other = f"other({type(value).__name__!r})"
    if left[0] < 0 or depth > 20:
        return other
    part = functools.partial(encode, left=left, depth=depth + 1)

    def parts(values):
        return f"[{', '.join(map(part, values))}]"

    sympy = sys.modules.get("sympy")
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
            return f"objects({list(value.shape)}, {parts(np.asarray(value).ravel())})"
        np.save(file := io.BytesIO(), value, allow_pickle=False)
        return (
            f"{'array' if isinstance(value, np.ndarray) else 'scalar'}({base64.b64encode(file.getvalue()).decode()!r})"
        )
    if isinstance(value, float):
        return repr(float(value)) if value == value else "NaN"
    if isinstance(value, Fraction):
        return f"Fraction({part(value.numerator)}, {part(value.denominator)})"
    if isinstance(value, Decimal):
        return f"Decimal({str(value)[:2000]!r})"
    for kind, items in ((list, list.__iter__), (tuple, tuple.__iter__), (set, set.__iter__)):
        if isinstance(value, kind):
            return f"{kind.__name__}({parts(items(value))})"
    if isinstance(value, dict):
        return f"dict([{', '.join(f'({part(key)}, {part(entry)})' for key, entry in dict.items(value))}])"
    if dataclasses.is_dataclass(value) and type(value).__name__ == "Experiment":
        return f"Experiment({part(vars(value))})"
    if sympy and isinstance(value, sympy.Expr):
        return sympy.srepr(value, order="none")
    if sympy and isinstance(value, sympy.NDimArray):
        return part(value.tolist())
    if hasattr(type(value), "__array__"):  # tensors, variables, tables, matrices
        return part(np.asarray(value))
    return other


@functools.cache
def known():
    """The names that an expression may use."""
    import sympy

    from coursework.equations import sigmoid
    from coursework.training import Experiment

    def kept(head, *parts):
        if not all(isinstance(part, sympy.Basic) for part in parts):  # SymPy would evaluate a string
            raise TypeError(f"{head} of {parts}")
        return head(*parts, evaluate=False)

    def array(text):
        return np.load(io.BytesIO(base64.b64decode(text)), allow_pickle=False)

    def objects(shape, parts):
        array = np.empty(len(parts), object)
        array[:] = parts
        return array.reshape(shape)

    return {
        **{kind.__name__: kind for kind in (list, tuple, set, dict, Fraction, Decimal)},
        **{name: functools.partial(kept, getattr(sympy, name)) for name in HEADS},
        **{name: getattr(sympy, name) for name in CONSTANTS},
        "array": array, "scalar": lambda text: array(text)[()], "objects": objects,
        "inf": float("inf"), "NaN": float("nan"), "sigmoid": functools.partial(kept, sigmoid),
        "Integer": lambda number: sympy.Integer(int(number)), "Rational": lambda *two: sympy.Rational(*map(int, two)),
        "Float": lambda text, precision: sympy.Float(str(text), precision=min(int(precision), MOST_BITS)),
        "Symbol": lambda name, **_: sympy.Symbol(str(name)[:40]),
        "Experiment": lambda fields: Experiment(**fields),
        "other": lambda name: type(str(name)[:40], (), {})(),
    }  # fmt: skip


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
        case ast.Tuple(entries):
            return tuple(map(decode, entries))
        case ast.Name(name) if not callable(known()[name]):
            return known()[name]
        case ast.Call(ast.Name(name), arguments, keywords):
            return known()[name](*map(decode, arguments), **{word.arg: decode(word.value) for word in keywords})
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
