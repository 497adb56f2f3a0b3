"""Questions on Q1: what a student has set, and what would be if one of it were something else."""

import random
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

import helpers
from coursework.checks_gates import as_interval, exact, gru_step, reachable_by_lstm
from coursework.practice import ASKED, Practice, check_own_cell, own_task
from teaching import talk_figures as figures
from teaching.talk_work import Question, Work

# The answers of Q1.1 and Q1.2: (question, cell, what the cell has to do).
SETTINGS = {
    "q11_lstm": ("Q1.1", "LSTM", "store_input"),
    "q11_gru": ("Q1.1", "GRU", "store_input"),
    "q12_lstm": ("Q1.2", "LSTM", "keep_state"),
    "q12_gru": ("Q1.2", "GRU", "keep_state"),
}
DOES = {"store_input": "stores its input", "keep_state": "keeps its state"}
NAMES = {"LSTM": ("f", "i", "U", "o_prev"), "GRU": ("z", "r", "U")}
GATES = {"LSTM": ("f", "i"), "GRU": ("z", "r")}
STEPS = 12  # that a picture shows


class Setting(NamedTuple):
    """A student's setting of the gates."""

    question: str
    cell: str
    behaviour: str
    values: dict[str, Any]
    z_keeps: int

    def judged(self, values: dict[str, Any] | None = None, z_keeps: int | None = None) -> Any:
        """The verdict on this setting, or on another one in its place."""
        values = self.values if values is None else values
        z_keeps = self.z_keeps if z_keeps is None else z_keeps
        return helpers.check_gates(self.cell, self.behaviour, values, z_keeps)

    def begins(self) -> str:
        """The beginning of a question, in words."""
        said = in_words(self.values)
        return f"{self.question}: for the {self.cell} that {DOES[self.behaviour]} you set {said}."


def settings_of(work: Work, *cells: str) -> list[Setting]:
    """The settings that a student has handed in; of some cells only, if any are named."""
    found = []
    for name, (question, cell, behaviour) in SETTINGS.items():
        values = work.answers.get(name)
        if isinstance(values, dict) and values and cell in (cells or NAMES):
            given = {key: value for key, value in values.items() if value not in (None, ...)}
            found.append(Setting(question, cell, behaviour, given, work.z_keeps))
    return [setting for setting in found if setting.values]


def in_words(values: dict[str, Any]) -> str:
    """A setting in words."""
    return (
        ", ".join(f"{str(name)[:10]} = {shown(value)}" for name, value in values.items())
        or "nothing"
    )


def shown(value: Any) -> str:
    """A number as people write it, whatever its type."""
    text = " ".join(str(value).split())
    return text if len(text) <= 24 else f"{text[:21]}..."


# One gate otherwise --------------------------------------------------------------------------------------------------
def change(work: Work, draw: random.Random) -> Question | None:
    """One gate set free, or set to another value."""
    settings = settings_of(work)
    if not settings:
        return None
    setting = draw.choice(settings)
    if not (verdict := setting.judged()):
        return not_right(setting, verdict)
    words, values, if_it_holds = draw.choice(changes(setting))
    verdict = setting.judged(values)
    answer = f"Yes: {if_it_holds}." if verdict else f"No: {verdict.hint}."
    return Question(
        f"{setting.begins()} Now {words}. Does the cell still do it, and why?",
        answer,
        f"Show it in {rule(setting)}.",
        *two_starts(setting, values),
    )


def changes(setting: Setting) -> list[tuple[str, dict[str, Any], str]]:
    """(in words, the new setting, why it does as well if it does) of all that may be asked about."""
    found = []
    for name in setting.values:
        rest = {other: value for other, value in setting.values.items() if other != name}
        if rest:
            found.append((f"{name} is free: it may be anything", rest, f"{name} plays no part"))
        if name != "U":  # of which only 0 says anything
            half = {**setting.values, name: 0.5}
            found.append((f"{name} is 1/2", half, f"{name} = 1/2 serves as well"))
    free = [name for name in GATES[setting.cell] if name not in setting.values]
    for name in free:
        opened = {**setting.values, name: 0}
        found.append((f"{name} is 0 in one row and 1 in the next", opened, f"{name} plays no part"))
    return found


def not_right(setting: Setting, verdict: Any) -> Question:
    """What a setting lacks that is not right."""
    return Question(
        f"{setting.begins()} The check does not accept that. What does the cell do instead?",
        f"{verdict.hint[:1].upper()}{verdict.hint[1:]}.",
        "What would you set, and how many other settings would do as well?",
        *two_starts(setting, setting.values),
    )


def rule(setting: Setting) -> str:
    """The update of a cell's state, in the convention of z that the student has."""
    if setting.cell == "LSTM":
        return "c = f c_prev + i g"
    return "h = z h_prev + (1 - z) g" if setting.z_keeps else "h = (1 - z) h_prev + z g"


def two_starts(setting: Setting, values: dict[str, Any]) -> tuple[str, str]:
    """(picture, words): one unit with this setting, from two states; what is free changes from row to row."""
    rows = np.random.default_rng(0)
    x = rows.uniform(-1.5, 1.5, STEPS)
    gates = {}
    for name in ("o_prev", "f", "i", "z", "r"):
        gates[name] = rows.uniform(0.2, 0.9, STEPS)
    gates["U"] = np.ones(STEPS)
    for name, value in values.items():
        if name in gates:
            gates[name] = np.full(STEPS, float(exact(name, value)))
    if not setting.z_keeps:
        gates["z"] = 1 - gates["z"]
    lines = {}
    for start in (0.9, -0.6):
        lines[f"from {start:+.1f}"] = one_unit(setting.cell, gates, x, start)
    state = "c" if setting.cell == "LSTM" else "h"
    alt = f"The state {state} of one unit over {STEPS} rows with this setting, from two states."
    return figures.curves(lines, "row", f"state {state}"), alt


def one_unit(cell: str, gates: dict[str, np.ndarray], x: np.ndarray, start: float) -> np.ndarray:
    """The state of one unit over time, the start included: (STEPS + 1,)."""
    lstm = cell == "LSTM"
    keep = gates["f"] if lstm else gates["z"]
    let = gates["i"] if lstm else 1 - gates["z"]
    read = gates["U"] * (gates["o_prev"] if lstm else gates["r"])  # of the state before
    states = [start]
    for t in range(len(x)):
        old = states[-1]
        h = np.tanh(old) if lstm else old
        g = np.tanh(x[t] + read[t] * h)
        states.append(keep[t] * old + let[t] * g)
    return np.array(states)


# A cell of one's own -------------------------------------------------------------------------------------------------
def own(work: Work, draw: random.Random) -> Question | None:
    """One of the two made-up cells of a student, in a class with variants."""
    for memory in draw.sample("hc", 2):
        answer = work.answers.get(f"q14_{memory}")
        if work.student and answer:
            task = own_task(work.student, memory)
            verdict = check_own_cell(work.student, memory, answer)
            return about_own(task, memory, answer, all(verdict.values()), draw)
    return None


def about_own(
    task: Practice, memory: str, answer: Any, right: bool, draw: random.Random
) -> Question:
    """A question on a made-up cell: a setting with one value changed, or why there is none."""
    goal = ASKED[task.behaviour]
    begins = f"Q1.4: your cell that remembers {memory} has {memory} = {task.cell.state}. "
    possible = task.solution.possible
    said = f"It is {'possible' if possible else 'impossible'}: {task.solution.why}."
    if not isinstance(answer, dict):
        asks = f"{begins}You say that nothing makes it {goal}. Is that so, and why?"
    elif not right:
        asks = f"{begins}To make it {goal} you set {in_words(answer)}. What does that not do?"
        said = f"It lacks this: {helpers.check_gates(task.cell, task.behaviour, answer).hint}."
    else:
        name = draw.choice([name for name in answer if name != "U"] or [*answer])
        changed = {**answer, name: 0.5}
        verdict = helpers.check_gates(task.cell, task.behaviour, changed)
        asks = f"{begins}To make it {goal} you set {in_words(answer)}. "
        asks += f"Let {name} be 1/2: does the cell still do it, and why?"
        said = f"Yes: {name} = 1/2 serves as well." if verdict else f"No: {verdict.hint}."
    lines = repr(task.cell).splitlines()
    further = "How does it compare with the LSTM and the GRU: which gate of theirs does that work?"
    return Question(asks, said, further, figures.lines(lines), "The cell: " + "; ".join(lines))


# The other convention, and the sigmoid ------------------------------------------------------------------------------
def other_convention(work: Work, draw: random.Random) -> Question | None:
    """The GRU's setting where z = 1 means the opposite."""
    settings = [setting for setting in settings_of(work, "GRU") if setting.judged()]
    if not settings:
        return None
    setting = draw.choice(settings)
    now, then = ("keeps", "replaces") if setting.z_keeps else ("replaces", "keeps")
    other = setting._replace(z_keeps=1 - setting.z_keeps)
    verdict, goal = other.judged(), "store" if setting.behaviour == "store_input" else "keep"
    opposite = "keep_state" if goal == "store" else "store_input"
    does = helpers.check_gates("GRU", opposite, setting.values, other.z_keeps)
    said = f"It does not: {verdict.hint}." if not verdict else "It does."
    said += f" Now it {DOES[opposite]}." if does else ""
    return Question(
        f"{setting.begins()} There z = 1 {now} the state; in another book z = 1 {then} it. "
        f"Does the same setting {goal} there?",
        said,
        "Keras and PyTorch: which convention do they have? How do you find out by one call?",
        *two_starts(other, setting.values),
    )


def sigmoid(work: Work, draw: random.Random) -> Question | None:
    """How much of a state is left if its gate is a sigmoid."""
    bias = draw.randrange(2, 7)
    rows = draw.randrange(8, 29)
    cell, gate, state = draw.choice((("LSTM", "f", "c"), ("GRU", "z", "h")))
    setting = work.answers.get(f"q12_{cell.lower()}")
    begins = f"Q1.2 takes {gate} = 1"
    if isinstance(setting, dict) and gate in setting and work.z_keeps:
        begins = f"Q1.2: you set {gate} = {shown(setting[gate])}"
    kept = 1 / (1 + np.exp(-bias))
    left = kept ** np.arange(29)
    enough = -np.log(2 ** (1 / 28) - 1)  # sigma of it, 28 times, is 1/2
    asks = f"{begins} to keep the {cell}'s {state}. A trained gate is a sigmoid; "
    asks += f"let its input be {bias} in every row. About how much of {state} is left "
    asks += f"after {rows} rows: all of it, half, or next to nothing?"
    further = "How large must the input be for half of it to be left after 28 rows?"
    curve = {f"sigma({bias})^rows": left}
    return Question(
        asks,
        f"sigma({bias}) = {kept:.4f}, and {kept:.4f}^{rows} = {left[rows]:.3f}.",
        f"{further} ({enough:.2f})",
        figures.curves(curve, "rows", f"share of {state}", rows),
        f"The share of {state} that is left after so many rows; {rows} are marked.",
    )


# The counterexample --------------------------------------------------------------------------------------------------
def counterexample(work: Work, draw: random.Random) -> Question | None:
    """The student's numbers with one changed."""
    values = work.answers.get("q13_counterexample")
    if not isinstance(values, dict):
        return None
    verdict = helpers.check_counterexample(values)
    if not verdict:
        return Question(
            f"Q1.3: your numbers {in_words(values)} are not accepted. What is wrong with them?",
            f"{verdict.hint[:1].upper()}{verdict.hint[1:]}.",
            "Which of the numbers would you change first?",
            *reach(values),
        )
    others = {"r": (0, 1, 0.5), "z": (0.5, 0.9), "u": (0,), "x": (0, -1, 1)}
    name = draw.choice(sorted(others))
    value = draw.choice([each for each in others[name] if each != values[name]])
    changed = {**values, name: value}
    verdict = helpers.check_counterexample(changed)
    answer = "Yes" if verdict else "No"
    return Question(
        f"Q1.3: your counterexample is {in_words(values)}. Let {name} be {value} instead. Is it still one?",
        f"{answer}: {reached(changed)}.",
        "What in the two equations makes the difference here?",
        *reach(changed),
    )


def numbers_in(values: dict[str, Any]) -> tuple[float, float, float]:
    """(the least and the largest h that the LSTM reaches, the GRU's new h)."""
    numbers = {name: as_interval(exact(name, value)) for name, value in values.items()}
    low, high = reachable_by_lstm(numbers)
    return float(low.mid), float(high.mid), float(gru_step(numbers).mid)


def reached(values: dict[str, Any]) -> str:
    """What both cells reach, in words."""
    low, high, h = numbers_in(values)
    return f"the LSTM reaches [{low:.3f}, {high:.3f}], the GRU gives {h:.3f}"


def reach(values: dict[str, Any]) -> tuple[str, str]:
    """(picture, words) of the same; of the rule alone where the numbers give no step."""
    try:
        low, high, h = numbers_in(values)
    except Exception:  # wrong numbers, of whatever kind
        return "", ""
    picture = figures.interval(low, high, h, ("the LSTM reaches", "the GRU gives"))
    return picture, f"On a line of h: {reached(values)}."


MAKERS: dict[str, Callable[[Work, random.Random], Question | None]] = {
    "change": change,
    "convention": other_convention,
    "sigmoid": sigmoid,
    "counterexample": counterexample,
    "own": own,
}
