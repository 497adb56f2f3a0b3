"""Answers and cells that were typed as text: read as literals, arithmetic and names. Nothing of them is evaluated."""

import ast
import json
import operator
from collections.abc import Callable, Iterator

import sympy as sp

from coursework.formulas import Cell, cell_from_data, dot, sigmoid, symbols

LONGEST = 20_000  # characters; the largest cell of the bundle takes 800
STRAIGHT = str.maketrans(
    {"“": '"', "”": '"', "‘": "'", "’": "'", "−": "-", "\N{NO-BREAK SPACE}": " "}
)
ARITHMETIC: dict[type, Callable] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Pow: operator.pow,
}
SIGNS: dict[type, Callable] = {ast.UAdd: operator.pos, ast.USub: operator.neg}
CALLED = {
    "sigmoid": sigmoid,
    "tanh": sp.tanh,
    "exp": sp.exp,
    "log": sp.log,
    "sin": sp.sin,
    "cos": sp.cos,
    "sqrt": sp.sqrt,
    "abs": sp.Abs,
    "max": sp.Max,
    "min": sp.Min,
    "dot": dot,
}


# --- Answers ----------------------------------------------------------------------------------------------------------


def answer_of(text: str) -> dict:
    """The dict that stands in a text such as `o = 0, r = 1/2`, `o: 0, r: 1/2` or `{"o": 0, "r": 1/2}`.

    Values are literals and arithmetic of literals, with the results that Python has for them.

    Raises:
        ValueError: in one line, for any other text.
    """
    text = _plain(text)
    separated = ", ".join(
        filter(None, (part.strip(" ,") for part in text.replace(";", "\n").split("\n")))
    )
    for form in (text, f"dict({separated})", f"{{{separated}}}"):
        node = _parsed(form)
        if isinstance(node, ast.Dict):
            return _collected(
                (_name_of(key), value) for key, value in zip(node.keys, node.values, strict=True)
            )
        if _is_call_of(node, "dict") and not node.args:
            return _collected((word.arg, word.value) for word in node.keywords)
    raise ValueError(
        "this can't be read: write names and numbers, such as o = 0, r = 1/2 (with a decimal point)"
    )


def _plain(text):
    """The text with straight quotation marks, as no phone writes them."""
    if len(text) > LONGEST:
        raise ValueError(f"this text has more than {LONGEST:,} characters: write a shorter one")
    return text.translate(STRAIGHT).strip()


def _parsed(text):
    """The expression that a text is, or None."""
    try:
        return ast.parse(text, mode="eval").body
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        return None


def _is_call_of(node, name):
    return isinstance(node, ast.Call) and _function_name(node) == name


def _function_name(call):
    """The name of a called function, be it written tanh or sp.tanh."""
    match call.func:
        case ast.Name(name) | ast.Attribute(ast.Name(), name):
            return name
    return ""


def _name_of(key):
    match key:
        case ast.Name(name) | ast.Constant(str(name)):
            return name
    raise ValueError("each value needs a name, such as o in o = 0")


def _collected(pairs):
    """dict from name to value; ValueError for a name that is given twice."""
    answer = {}
    for name, node in pairs:
        if name is None:
            raise ValueError("each value needs a name, such as o in o = 0")
        if name in answer:
            raise ValueError(f"{name} is given twice: which one is meant?")
        answer[name] = _value(name, node)
    return answer


def _value(name, node):
    """The value of literals and arithmetic."""
    try:
        return _computed(node)
    except RecursionError:
        raise ValueError(f"{name} is nested too deeply: write a plain number") from None
    except (ArithmeticError, MemoryError, TypeError) as error:
        raise ValueError(f"{name} can't be computed: {error}") from None
    except LookupError:
        raise ValueError(
            f"{name} is no number: write digits and + - * / **, such as {name} = 1/2"
        ) from None


def _computed(node):
    """As `_value`; LookupError for anything that is neither a literal nor arithmetic."""
    match node:
        case ast.Constant(value):
            return value
        case ast.List(entries) | ast.Tuple(entries):
            return [_computed(entry) for entry in entries]
        case ast.UnaryOp(sign, operand):
            return SIGNS[type(sign)](_computed(operand))
        case ast.BinOp(left, operation, right):
            return ARITHMETIC[type(operation)](_computed(left), _computed(right))
    raise LookupError


# --- Cells ------------------------------------------------------------------------------------------------------------


def cell_of(text: str) -> Cell:
    """The Cell that stands in a text.

    It may be written as the equations that a Cell shows (`z = sigmoid(...)`, one a line: the gates, g, c if there is
    one, h), as `Cell("mine", gates={...}, ...)`, or as the JSON of `Cell.as_data`.

    Raises:
        ValueError: in one line, for any other text, and for equations that are no cell.
    """
    text = _plain(text)
    try:
        cell = (
            cell_from_data(json.loads(text))
            if text.startswith("{")
            else _written_cell(ast.parse(text))
        )
    except SyntaxError as error:
        raise ValueError(
            f"line {error.lineno} can't be read: write such as g = tanh(dot(W, x) + b)"
        ) from None
    except RecursionError:
        raise ValueError("this is nested too deeply for a cell") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"line {error.lineno} is no JSON: {error.msg}") from None
    except (LookupError, TypeError, AttributeError) as error:
        raise ValueError(f"this is no cell: {type(error).__name__} at {error}") from None
    for name in (*cell.gate_names, *cell.weights):
        if not name.isidentifier():
            raise ValueError(f"{name!r} is no name: it takes letters, digits and _")
    return cell


def _written_cell(tree):
    """A cell from a program's tree: from its call of Cell, else from its equations."""
    calls = [node for node in ast.walk(tree) if _is_call_of(node, "Cell")]
    if calls:
        return _called_cell(calls[-1])
    formulas = {name: _formula(node) for name, node in _assigned(tree)}
    candidate, state, output = (formulas.pop(name, None) for name in "gch")
    if state is None:
        state, output = output, None
    gates = {symbols(name): formula for name, formula in formulas.items()}
    return Cell("mine", gates, candidate, state, output)


def _assigned(tree) -> Iterator[tuple[str, ast.expr]]:
    """Name and value of each line."""
    for line in tree.body:
        match line:
            case ast.Assign([ast.Name(name)], value):
                yield name, value
            case _:
                raise ValueError(
                    f"line {line.lineno} is no equation: write one such as z = sigmoid(dot(W_z, x) + b_z)"
                )


def _called_cell(call):
    """The cell of `Cell("mine", gates={...}, candidate=..., state=..., output=...)`."""
    order = ("name", "gates", "candidate", "state", "output")
    given = dict(zip(order, call.args, strict=False))
    given |= {word.arg: word.value for word in call.keywords}
    name, gates = given.get("name"), given.get("gates")
    name = str(name.value) if isinstance(name, ast.Constant) else "mine"
    held = {} if gates is None else _called_gates(gates)
    parts = {part: _formula(given[part]) for part in order[2:] if part in given}
    return Cell(name, held, **parts)


def _called_gates(node):
    if not isinstance(node, ast.Dict):
        raise ValueError(
            "gates must be a dict from symbol to formula, such as {z: sigmoid(dot(W_z, x) + b_z)}"
        )
    pairs = zip(node.keys, node.values, strict=True)
    return {symbols(_name_of(gate)): _formula(formula) for gate, formula in pairs}


def _formula(node):
    """A SymPy formula of names, numbers, arithmetic and the functions in CALLED."""
    match node:
        case ast.Name(name):
            return symbols(name)
        case ast.Constant(int() | float() as number):
            return sp.sympify(number)
        case ast.Constant(None):
            return None
        case ast.UnaryOp(sign, operand) if type(sign) in SIGNS:
            return SIGNS[type(sign)](_formula(operand))
        case ast.BinOp(matrix, ast.MatMult(), vector):
            return dot(_formula(matrix), _formula(vector))
        case ast.BinOp(left, operation, right) if type(operation) in ARITHMETIC:
            return ARITHMETIC[type(operation)](_formula(left), _formula(right))
        case ast.Call(_, parts, []):
            name = _function_name(node)
            if name.lower() in CALLED:
                return CALLED[name.lower()](*map(_formula, parts))
            raise ValueError(
                f"the function {name or '?'} is not known: there are {', '.join(CALLED)}"
            )
    raise ValueError(f"line {node.lineno} holds more than names, numbers, arithmetic and functions")
