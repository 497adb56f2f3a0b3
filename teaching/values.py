"""Answers as plain data: written as JSON in the student's kernel, read in a process of ours; nothing is unpickled.

A value is null, a bool, a string, or a list whose first entry says what it is, such as ["int", "0x1f"]. What has no
such form becomes ["other", "name of its type"], which a check then refuses in its own words.
"""

import ast
import base64
import dataclasses
import json
import sys
from decimal import Decimal
from fractions import Fraction

import numpy as np

MOST_BYTES = 64_000_000  # of one array
MOST_PARTS = 100_000  # of one answer
MOST_BITS = 100_000  # of one whole number
HEADS = [
    "Add",
    "Mul",
    "Pow",
    "Abs",
    "log",
    "exp",
    "tanh",
    "atanh",
    "atan",
    "sinh",
    "cosh",
]  # of a SymPy expression that is kept
CONSTANTS = ["pi", "E", "EulerGamma", "GoldenRatio", "I", "oo", "nan", "zoo"]


def names_in(source, kind):
    """The names that a piece of Python stores (kind: ast.Store; definitions too) or loads (ast.Load), in order."""
    try:
        nodes = list(ast.walk(ast.parse(source)))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return []
    found = [node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, kind)]
    if kind is ast.Store:
        found += [node.name for node in nodes if isinstance(node, (ast.FunctionDef, ast.ClassDef))]
        found += [(node.asname or node.name).split(".")[0] for node in nodes if isinstance(node, ast.alias)]
    return list(dict.fromkeys(found))


def take(names, path):
    """Write those of the named variables of this kernel that are answered to a JSON file."""
    from IPython import get_ipython

    space, answers = get_ipython().user_ns, {}
    for name in names:
        value = space.get(name, ...)
        if value is not ... and value is not None:
            try:
                answers[name] = encode(value, [MOST_PARTS])
            except Exception:  # whatever an object of the student's own does when it is looked at
                answers[name] = ["other", type(value).__name__]
    with open(path, "w", encoding="utf-8") as file:
        json.dump(answers, file)


def encode(value, left, depth=0):
    """A value as JSON can say it; `left` holds the number of parts that it may still have."""
    left[0] -= 1
    other = ["other", type(value).__name__]
    if left[0] < 0 or depth > 20:
        return other

    def parts(values):
        return [encode(part, left, depth + 1) for part in values]

    if value is None or isinstance(value, (bool, str)):
        return str(value)[:1000] if isinstance(value, str) else value
    if value is ...:
        return ["..."]
    if isinstance(value, int):
        return ["int", hex(int(value))] if int(value).bit_length() <= MOST_BITS else other
    if isinstance(value, (np.ndarray, np.generic)):
        return _encode_array(value, parts, other)
    if isinstance(value, float):
        return ["float", float(value).hex()]
    if isinstance(value, Fraction):
        return ["Fraction", *parts([value.numerator, value.denominator])]
    if isinstance(value, Decimal):
        return ["Decimal", str(value)[:2000]]
    for kind, items in ((list, list.__iter__), (tuple, tuple.__iter__), (set, set.__iter__)):
        if isinstance(value, kind):
            return [kind.__name__, *parts(items(value))]
    if isinstance(value, dict):
        return ["dict", *([encode(k, left, depth + 1), encode(v, left, depth + 1)] for k, v in dict.items(value))]
    if dataclasses.is_dataclass(value) and type(value).__name__ == "Experiment":
        return ["Experiment", *parts([vars(value)])]
    sympy = sys.modules.get("sympy")
    if sympy and isinstance(value, sympy.Expr):
        return _encode_sympy(value, sympy, parts, other)
    if sympy and isinstance(value, sympy.NDimArray):
        return encode(value.tolist(), left, depth + 1)
    if hasattr(type(value), "__array__"):  # tensors, variables, tables, matrices
        return encode(np.asarray(value), left, depth + 1)
    return other


def _encode_array(value, parts, other):
    if isinstance(value, np.ma.MaskedArray) or value.nbytes > MOST_BYTES:
        return other
    if value.dtype.kind == "O":
        return ["objects", list(value.shape), *parts(np.asarray(value).ravel())]
    if value.dtype.kind not in "biufc":
        return other
    text = base64.b64encode(np.ascontiguousarray(value).tobytes()).decode()
    return ["array" if isinstance(value, np.ndarray) else "scalar", value.dtype.str, list(value.shape), text]


def _encode_sympy(value, sympy, parts, other):
    if value.is_Rational:
        return ["Rational", *parts([int(value.p), int(value.q)])]
    if isinstance(value, sympy.Float):
        return ["Float", *parts([int(number) for number in (*value._mpf_, value._prec)])]
    if value.is_Symbol:
        return ["Symbol", value.name[:40]]
    for name in CONSTANTS:
        if value is getattr(sympy, name):
            return ["constant", name]
    name = type(value).__name__
    return ["expression", name, *parts(value.args)] if name in [*HEADS, "sigmoid"] else other


def decode(data):
    """What `encode` wrote, as a value; a stand-in of the right type's name for all that is not to be trusted."""
    if data is None or isinstance(data, (bool, str)):
        return data
    kind, *rest = data
    if kind in DECODERS:
        return DECODERS[kind](*rest)
    return type(str(rest[0])[:40] if kind == "other" else "unknown", (), {})()


def _array(dtype, shape, text):
    kind = np.dtype(dtype)
    if kind.kind not in "biufc":
        raise ValueError(f"no numbers: {dtype}")
    return np.frombuffer(base64.b64decode(text), kind).reshape(shape).copy()


def _objects(shape, *parts):
    array = np.empty(len(parts), object)
    for place, part in enumerate(parts):
        array[place] = decode(part)
    return array.reshape(shape)


def _expression(name, *parts):
    import sympy

    from coursework.equations import sigmoid

    head = sigmoid if name == "sigmoid" else getattr(sympy, name if name in HEADS else "nan")
    return head(*map(decode, parts), evaluate=False)


def _sympy(name, *parts):
    import sympy

    if name == "Float":
        *number, precision = map(decode, parts)
        return sympy.Float(tuple(number), precision=min(precision, MOST_BITS))
    if name == "constant":
        return getattr(sympy, parts[0] if parts[0] in CONSTANTS else "nan")
    return sympy.Symbol(str(parts[0])) if name == "Symbol" else sympy.Rational(*map(decode, parts))


def _experiment(fields):
    from coursework.training import Experiment

    return Experiment(**decode(fields))


DECODERS = {
    "...": lambda: ...,
    "int": lambda text: int(text, 16),
    "float": float.fromhex,
    "Fraction": lambda *parts: Fraction(*map(decode, parts)),
    "Decimal": Decimal,
    "list": lambda *parts: list(map(decode, parts)),
    "tuple": lambda *parts: tuple(map(decode, parts)),
    "set": lambda *parts: set(map(decode, parts)),
    "dict": lambda *pairs: {decode(key): decode(value) for key, value in pairs},
    "array": _array,
    "scalar": lambda *parts: _array(*parts)[()],
    "objects": _objects,
    "expression": _expression,
    "Experiment": _experiment,
    **{name: (lambda *parts, name=name: _sympy(name, *parts)) for name in ("Float", "constant", "Symbol", "Rational")},
}


def decoded(answers):
    """dict from name to value, from a dict that may hold anything."""
    values = {}
    for name, data in answers.items():
        try:
            values[name] = decode(data)
        except Exception:  # forged, damaged, or settings that no Experiment takes
            values[name] = type("damaged", (), {})()
    return values
