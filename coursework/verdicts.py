"""What a check of an answer says, and the points that it is worth."""

import dataclasses
import functools
import html

from coursework.text import display

UNANSWERED = "not answered yet"
# Hints may begin with the name of a gate, which keeps its letter; these are words.
FIRST_WORDS = {"a", "at", "it", "nothing", "the", "these", "this", "unknown", "where", "with"}


@dataclasses.dataclass(frozen=True)
class Verdict:
    """Whether an answer holds.

    Attributes:
        ok: True if it does. A Verdict is true exactly then.
        hint: one line on what is still wrong; empty if nothing is.
    """

    ok: bool
    hint: str = ""

    def __bool__(self):
        return self.ok

    def __repr__(self):
        word, more = self.parts()
        return f"{word}: {more}" if more else f"{word}."

    def _repr_html_(self):
        return f"<p>{self.as_html()}</p>"

    def as_html(self, worth: str = "") -> str:
        """The verdict as HTML; `worth` is said in brackets: "0 of 5 points"."""
        word, more = self.parts()
        first = more.partition(" ")[0]
        if first in FIRST_WORDS:
            more = more[0].upper() + more[1:]
        brackets = f" ({worth})" if worth else ""
        shown = html.escape(more, quote=False)
        return f"<b>{word}{brackets}.</b> {shown}".rstrip()

    def parts(self) -> tuple[str, str]:
        """(Right, Not yet or Not yet answered; what is to be said beside that)."""
        if self.ok:
            return "Right", ""
        if self.hint.startswith(UNANSWERED):
            return "Not yet answered", self.hint.removeprefix(UNANSWERED).removeprefix(": ")
        return "Not yet", self.hint


class Points(float):
    """The points of a check. As text they are the number that nbgrader reads; a page has them in the verdict."""

    def __repr__(self):
        return f"{self:g}"

    def _repr_html_(self):
        return ""


class Wrong(Exception):
    """Raised inside a check: the answer is wrong, and this is the hint."""


def as_verdict(check, needed=None):
    """Make a function that raises `Wrong` into one that returns a Verdict.

    With `needed`, the answer's form in words, there is one net for whatever else an answer may do when it is looked at;
    the call itself must be checked before.
    """

    @functools.wraps(check)
    def wrapper(*args, **kwargs):
        try:
            check(*args, **kwargs)
        except Wrong as wrong:
            return Verdict(False, str(wrong))
        except Exception:
            if needed is None:
                raise
            return Verdict(False, f"this answer can't be read: {needed} is needed")
        return Verdict(True)

    return wrapper


def answered(*answers: object) -> bool:
    """Are these answers there? Says 'not answered yet' if not. Notebooks 2 and 3."""
    missing = any(answer is None or answer is ... for answer in answers)
    if missing:
        print(UNANSWERED)
    return not missing


def award(points: float, verdicts: Verdict | dict[str, Verdict]) -> float:
    """Show what a check says, and return the points it is worth, which nbgrader takes from the cell as its mark.

    In a dict from name to Verdict, each is worth the same share of the question's points. All notebooks.
    """
    by_name = {"": verdicts} if isinstance(verdicts, Verdict) else verdicts
    right = sum(map(bool, by_name.values()))
    earned = Points(round(points * right / len(by_name), 2))
    page = _as_html(by_name, f"{earned} of {points:g} points")
    forms = {
        "text/plain": _as_text(by_name),
        "text/html": f"<p>{page}</p>",
    }
    display(forms)
    return earned


def _as_text(by_name):
    """Verdicts as text, a line each."""
    lines = []
    for name, verdict in by_name.items():
        lines.append(f"{name}: {verdict}" if name else f"{verdict}")
    return "\n".join(lines)


def _as_html(by_name, worth):
    """Verdicts as HTML: the points stand in a single one, and above several."""
    several = len(by_name) > 1
    lines = [f"<b>{worth.capitalize()}.</b>"] if several else []
    for name, verdict in by_name.items():
        named = f"{html.escape(name)}: " if name else ""
        lines.append(named + verdict.as_html("" if several else worth))
    return "<br>".join(lines)


def kind_of(value):
    """The type of a value, in words."""
    return f"of type {type(value).__name__}"
