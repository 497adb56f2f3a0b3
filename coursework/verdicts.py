"""What a check of an answer says, and the points that it is worth."""

import dataclasses
import functools

from coursework.text import print_line


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
        return "Right." if self.ok else f"Not yet: {self.hint}"


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
        print("not answered yet")
    return not missing


def award(points: float, verdicts: Verdict | dict[str, Verdict]) -> float:
    """Print what a check says, and return the points it is worth, which nbgrader takes from the cell as its mark.

    In a dict from name to Verdict, each is worth the same share of the question's points. All notebooks.
    """
    if isinstance(verdicts, Verdict):
        print_line(verdicts)
        return points if verdicts else 0
    for name, verdict in verdicts.items():
        print_line(f"{name}: {verdict}")
    earned = points * sum(map(bool, verdicts.values())) / len(verdicts)
    return int(earned) if earned == int(earned) else round(earned, 2)


def kind_of(value):
    """The type of a value, in words."""
    return f"of type {type(value).__name__}"
