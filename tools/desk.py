"""What the page of Q1 asks, and what it is told: text in JSON in, text in JSON out. Runs in the page and in tests."""

import functools
import json
import re

import latex2mathml.converter
import mpmath
import sympy as sp

from coursework.cells import CELLS, equations
from coursework.checks_gates import (
    COUNTEREXAMPLE_NAMES,
    as_interval,
    check_counterexample,
    check_gates,
    exact,
    gru_step,
    reachable_by_lstm,
)
from coursework.formulas import Cell, symbols
from coursework.practice import IMPOSSIBLE, practice
from coursework.settings import setting_names
from coursework.typed import answer_of, cell_of
from coursework.verdicts import Verdict


def reply(request: str) -> str:
    """The answer to a request of the page; both are JSON.

    A request has `ask`, the name of a function in ASKED, and that function's arguments.
    """
    arguments = json.loads(request)
    return json.dumps(ASKED[arguments.pop("ask")](**arguments))


def judge(cell: str, question: str, answer: str, z_keeps: int = 1) -> dict:
    """The verdict on a typed answer, and what the page draws of it.

    Args:
        cell: a name in CELLS, or the text of a cell of one's own.
        question: "store_input", "keep_state" or "counterexample".
        answer: as it was typed.
        z_keeps: the convention of the GRU.
    """
    try:
        values = answer_of(answer)
    except ValueError as error:
        return _told(Verdict(False, str(error)))
    if question == "counterexample":
        return _told(check_counterexample(values)) | {"line": number_line(values)}
    verdict = check_gates(chosen(cell), question, values, z_keeps)
    return _told(verdict) | {"setting": as_floats(values)}


def judge_practice(seed: int, level: int, answer: str) -> dict:
    """The verdict on an answer to a question of `practice`; when it is right, also why."""
    task = asked(seed, level)
    if answer.strip(" \"'.").lower() == IMPOSSIBLE:
        verdict, values = task.check(IMPOSSIBLE), {}
    else:
        try:
            values = answer_of(answer)
        except ValueError as error:
            return _told(Verdict(False, str(error)))
        verdict = task.check(values)
    return _told(verdict) | {
        "setting": as_floats(values),
        "why": task.solution.why if verdict else "",
    }


def show_practice(seed: int, level: int) -> dict:
    """A question of `practice`, as the page shows it."""
    task = asked(seed, level)
    return {"text": task.question} | shown(task.cell)


def show_cell(text: str) -> dict:
    """A cell that was put in, as the page shows it; {"error": line} if it is none."""
    try:
        return shown(cell_of(text))
    except ValueError as error:
        return {"error": str(error)}


def shown(cell: Cell) -> dict:
    """A cell as the page shows it: its equations, the names that an answer may use, and its data for the picture."""
    return {"equations": mathml(cell), "names": setting_names(cell), "cell": cell.as_data()}


ASKED = {
    function.__name__: function for function in (judge, judge_practice, show_practice, show_cell)
}

asked = functools.lru_cache(practice)


@functools.lru_cache
def chosen(cell: str) -> Cell | str:
    """A name in CELLS as it is, any other text as the cell that it describes."""
    return cell if cell in CELLS else cell_of(cell)


def _told(verdict):
    return {"ok": verdict.ok, "verdict": repr(verdict)}


def as_floats(values: dict) -> dict:
    """The numbers among an answer's values, for the picture."""
    numbers = {}
    for name, value in values.items():
        if isinstance(value, (bool, int, float)) and abs(value) <= 1:
            numbers[name] = float(value)
    return numbers


def number_line(values: dict) -> dict | None:
    """Both ends of what an LSTM reaches, and the GRU's new h; None unless all numbers are there."""
    try:
        numbers = {name: as_interval(exact(name, values[name])) for name in COUNTEREXAMPLE_NAMES}
        low, high = reachable_by_lstm(numbers)
        ends = {"low": low, "high": high, "h": gru_step(numbers)}
    except Exception:  # whatever the check has said already, in words
        return None
    return {name: float(mpmath.mpf(interval.mid)) for name, interval in ends.items()}


def mathml(cell: Cell) -> list[str]:
    """The equations of a cell as MathML, one each."""
    lines = []
    for name, formula in cell.formulas():
        latex = f"{sp.latex(symbols(name))} = {sp.latex(formula)}"
        latex = re.sub(
            r"_\{([a-z]{2,})\}", r"_{\\text{\1}}", latex
        )  # a word, not a product of letters
        latex = re.sub(r"(?<=[\w}]) (?=\\tanh)", r" \\, ", latex)  # else o tanh reads as one word
        lines.append(latex2mathml.converter.convert(latex))
    return lines


def cells_of_the_page() -> dict[str, dict]:
    """{name: what `shown` gives, and "z_keeps"} of the bundle's cells and of the GRU's other convention."""
    known = {name: shown(cell) | {"z_keeps": 1} for name, cell in CELLS.items()}
    known["GRU, z = 1 replaces"] = shown(equations("GRU", 0)) | {"z_keeps": 0, "is": "GRU"}
    return known
