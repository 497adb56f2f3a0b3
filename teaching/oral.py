"""oral.html: a page a student, with five questions for a talk of five minutes about what this student handed in."""

import argparse
import concurrent.futures
import html
import json
import re
import shutil
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

from coursework.files import write_text
from coursework.variants import variant
from teaching import Refused, key, marks, sandbox, work
from teaching.grading import Grader, Grading, Step
from teaching.kinds import KINDS

PAGE = "oral.html"
LONGEST = 420  # characters of a text of a question
MOST_LINES = 4  # that say what is missing, on a page
REDRAWN = 20  # times that equal sheets are drawn again
PARTS = ("kind", "asks", "answer", "further", "picture", "alt")
PICTURE = re.compile(r"[A-Za-z0-9+/=]+")
SOURCE = "import teaching.talk\nprint(teaching.talk.as_json(globals(), {settings!r}, {people!r}))"
HEAD = """<!DOCTYPE html><html lang="en"><meta charset="utf-8"><title>Talks</title>
<style>
@page { size: A4; margin: 12mm }
body { font: 10pt/1.35 sans-serif; color: #222; margin: 0 auto; max-width: 186mm }
section { break-after: page; break-inside: avoid; padding-top: 2mm }
section:last-of-type { break-after: auto }
h1 { font-size: 13pt; margin: 0 }
.missing { margin: 1mm 0 0; font-size: 8.5pt }
article { border-top: .3mm solid #999; margin-top: 2.5mm; padding-top: 1.5mm; break-inside: avoid;
  display: grid; grid-template-columns: 1fr 70mm; gap: 4mm }
h2 { font-size: 10pt; margin: 0 }
p { margin: .8mm 0 0; overflow-wrap: anywhere }
img { width: 70mm; display: block }
@media screen { section { border-bottom: 1mm solid #999; padding: 8mm 0 } }
</style><main>"""


class Sheet(NamedTuple):
    """The page of one student.

    Attributes:
        name: for people to read.
        number: the LMS's; "" if there is none.
        lines: what is missing or broken.
        questions: a dict each, with the texts in PARTS.
    """

    name: str
    number: str
    lines: list[str]
    questions: list[dict[str, str]]

    @property
    def asks(self) -> tuple[str, ...]:
        """What is asked: two students are asked different things."""
        return tuple(question["asks"] for question in self.questions)


def oral(course: Path, options: argparse.Namespace) -> int:
    """Write the pages of all whose submissions are graded; returns the exit code."""
    facts = marks.known(course)
    if not facts:
        raise Refused("nothing is graded yet: make grade SUBMISSIONS=folder")
    same_installation(course, options)
    with tempfile.TemporaryDirectory(prefix="oral-") as name:
        if not options.unsafe and not sandbox.works(Path(name)):
            raise Refused("no sandbox here: install bubblewrap, or say UNSAFE=1")
        with Grader(course, Path(name) / "work", options) as grader:
            sheets = sheets_of_class(grader, facts, options.jobs)
    write_text(course / PAGE, page(sheets))
    print(
        f"{course / PAGE}: {len(sheets)} students, a page each. The kinds of questions, to hand out beforehand:"
    )
    print("\n".join(f"- {kind.about}: {kind.words}" for kind in KINDS.values()))
    for sheet in sheets:
        for line in sheet.lines:
            print(f"{sheet.name}: {line}")
    return 0


def same_installation(course: Path, options: argparse.Namespace) -> None:
    """Settle the options as the grading had them; Refused if networks would be other ones here."""
    for name in key.DEFAULTS:
        vars(options).setdefault(name, None)
    key.settle(options, key.remembered(course))
    if differs := key.differences(key.remembered(course), key.key_of(course, options)):
        why = f"what was graded is of another key: {'; '.join(differs)}"
        raise Refused(
            f"{why}. REGRADE=1 with make grade grades everybody again; points by hand stay"
        )


# The class -----------------------------------------------------------------------------------------------------------
def sheets_of_class(grader: Grader, facts: dict[str, dict[str, Any]], jobs: int) -> list[Sheet]:
    """The sheets of everybody, by name; no two students have the same questions."""
    mark = key.short(key.remembered(grader.course))
    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        waiting = [pool.submit(sheets_of, grader, who, known, mark) for who, known in facts.items()]
        found = {who: job.result() for who, job in zip(facts, waiting, strict=True)}
    for turn in range(1, REDRAWN):
        equal = with_equal_sheets(found)
        for who in equal:
            found[who] = sheets_of(grader, who, facts[who], mark, turn)
        if not equal:
            break
    return sorted(
        (sheet for sheets in found.values() for sheet in sheets), key=lambda each: each[:2]
    )


def with_equal_sheets(found: dict[str, list[Sheet]]) -> list[str]:
    """Whose sheets are those of somebody else before them."""
    seen: set[tuple[str, ...]] = set()
    equal = []
    for who, sheets in found.items():
        for sheet in sheets:
            if sheet.asks and sheet.asks in seen and who not in equal:
                equal.append(who)
            seen.add(sheet.asks)
    return equal


def sheets_of(
    grader: Grader, who: str, known: dict[str, Any], mark: str, turn: int = 0
) -> list[Sheet]:
    """The sheets of the members of one submission; the draw is another one in each turn."""
    members = known.get("members") or [{"name": who}]
    people = [f"{who} {member.get('number') or member['name']} {turn}" for member in members]
    kept = work.of(grader.course, who)
    student, answers = kept or ("", {})
    lines = [] if kept else [why_nothing(known)]
    lines += ["Graded with an older key: make grade REGRADE=1."] if known.get("key") != mark else []
    number = variant(student).number
    lines += (
        []
        if grader.at_hand(number)
        else ["Our own networks are not at hand: make grade REGRADE=1."]
    )
    drawn = draw(grader, who, student, answers, people)
    if isinstance(drawn, str):
        lines, drawn = [*lines, f"No questions could be made: {drawn}."], [{}] * len(members)
    sheets = []
    for member, each in zip(members, drawn, strict=True):
        said = [*lines, *each.get("lines", [])]
        name, its_number = str(member["name"]), str(member.get("number") or "")
        sheets.append(Sheet(name, its_number, said, each.get("questions", [])))
    return sheets


def why_nothing(known: dict[str, Any]) -> str:
    """Why no answers of a student were kept."""
    if not known.get("notebooks"):
        return "No notebook that could be read was handed in."
    return "Graded before answers were kept for talks: make grade REGRADE=1."


def draw(
    grader: Grader, who: str, student: str, answers: dict[str, str], people: list[str]
) -> list[dict[str, Any]] | str:
    """What `talk` finds for the people of a submission, in the grader's sandbox; or why there is nothing."""
    base = grader.place / who
    shutil.rmtree(base, ignore_errors=True)
    if (grader.course / work.FOLDER / who).exists():
        shutil.copytree(grader.course / work.FOLDER / who, base)
    mine, handout = variant(student), grader.handouts["03_analysis"]
    settings: dict[str, Any] = {"student": student, "z_keeps": mine.z_keeps, "seed": mine.seed}
    settings["epochs"] = epochs_of(handout)
    source = SOURCE.format(settings=settings, people=people)
    try:
        ran = Grading(grader, who, student, []).run(
            "check", [Step(source, values=answers)], handout, ours=True
        )
        return read(ran.outputs.get(0, []), len(people)) or ran.trouble or "no reason given"
    except Exception as error:  # nobody's submission may keep the others from their sheets
        return f"{type(error).__name__}: {error}"
    finally:
        shutil.rmtree(base, ignore_errors=True)


def epochs_of(handout: Any) -> int:
    """The epochs that the hand-out's notebook trains."""
    source = next(cell.source for cell in handout.cells if cell.id == "parameters")
    found = re.search(r"^epochs = (\d+)", source, re.M)
    return int(found[1]) if found else 10


def read(outputs: list, count: int) -> list[dict[str, Any]] | str:
    """The sheets that a run has printed, its error, or ''."""
    for output in outputs:
        if output.output_type == "error":
            return f"{output.ename}: {output.evalue}"
        for line in str(output.get("text", "")).splitlines():
            if line.startswith("[{"):
                sheets = json.loads(line)
                return sheets if len(sheets) == count else "damaged"
    return ""


# The pages -----------------------------------------------------------------------------------------------------------
def page(sheets: list[Sheet]) -> str:
    """All sheets as one document, which loads nothing from anywhere."""
    return "\n".join([HEAD, *map(section, sheets), "</main></html>"])


def section(sheet: Sheet) -> str:
    """The page of one student."""
    number = f" ({sheet.number})" if sheet.number else ""
    parts = [f"<section><h1>{escaped(sheet.name + number)}</h1>"]
    lines = sheet.lines[:MOST_LINES]
    if more := len(sheet.lines) - len(lines):
        lines.append(f"And {more} more lines of this kind.")
    for line in lines:
        parts.append(f'<p class="missing">{escaped(line)}</p>')
    for place, question in enumerate(sheet.questions, 1):
        parts.append(article(place, question))
    return "\n".join([*parts, "</section>"])


def article(number: int, question: dict[str, str]) -> str:
    """A question, its answer, what to ask next, and its picture."""
    kind, asks, answer, further, picture, alt = (str(question[part]) for part in PARTS)
    about = KINDS[kind].about
    shown = ""
    if PICTURE.fullmatch(picture):
        shown = f'<img alt="{escaped(alt)}" src="data:image/png;base64,{picture}">'
    texts = f"<h2>{number}. {about}</h2><p>{escaped(asks)}</p>"
    texts += f"<p><b>Answer.</b> {escaped(answer)}</p><p><i>Then:</i> {escaped(further)}</p>"
    return f"<article><div>{texts}</div><div>{shown}</div></article>"


def escaped(text: str) -> str:
    """A text for a page, cut off where nothing of ours is as long."""
    text = text if len(text) <= LONGEST else text[: LONGEST - 3] + "..."
    return html.escape(text)
