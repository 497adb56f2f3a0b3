"""Five questions for the talk with a student, from the answers and the networks that were handed in.

This works inside the sandbox, in a process in which nothing of a student's runs. `oral` puts the questions on paper.
"""

import hashlib
import json
import random
from collections.abc import Mapping
from typing import Any

import helpers
from coursework.verdicts import Wrong
from teaching import talk_gates, talk_networks
from teaching.kinds import ABOUT, KINDS
from teaching.talk_work import Question, Work

HOW_MANY = 5
ENDLESS = ["change", "step", "sigmoid"]  # kinds of which there are always more
TRIES = 4  # of a kind that has found nothing to ask
MAKERS = talk_gates.MAKERS | talk_networks.MAKERS


def sheet(work: Work, person: str) -> dict[str, Any]:
    """The questions of one student: the same for the same person and the same work."""
    draw = random.Random(hashlib.sha256(person.encode()).digest())
    lines = list(work.lines)
    found: dict[str, dict[str, str]] = {}  # by what is asked

    def add(name: str) -> bool:
        question = asked(name, work, draw, lines)
        if question:
            found.setdefault(question.asks, {"kind": name, **question._asdict()})
        return question is not None

    rest = []
    for about in ABOUT:  # one of each part, if there is one
        names = [name for name, kind in KINDS.items() if kind.about == about]
        draw.shuffle(names)
        while names and not add(names.pop()):
            pass
        rest += names
    draw.shuffle(rest)
    for name in rest + ENDLESS * HOW_MANY:
        if len(found) < HOW_MANY:
            add(name)
    questions = sorted(found.values(), key=part_of)
    return {"questions": questions, "lines": list(dict.fromkeys(lines))}


def part_of(question: dict[str, str]) -> int:
    """The place of the part of the sheet that a question is about."""
    return ABOUT.index(KINDS[question["kind"]].about)


def asked(name: str, work: Work, draw: random.Random, lines: list[str]) -> Question | None:
    """A question of a kind; None if nothing was handed in that it could be asked about."""
    for _ in range(TRIES):
        try:
            if question := MAKERS[name](work, draw):
                return question
        except Exception as error:  # a question less is better than no sheet
            why = str(error) if isinstance(error, Wrong) else f"{type(error).__name__}: {error}"
            lines.append(f"{KINDS[name].about}: a question could not be asked: {why}.")
            return None
    return None


def as_json(answers: Mapping[str, Any], settings: Mapping[str, Any], people: list[str]) -> str:
    """The sheets of the people of one submission."""
    work = Work(answers, settings, helpers.load_data())
    return json.dumps([sheet(work, person) for person in people])
