"""Points in the table that an LMS gave and takes back. Each line is found by the LMS's number, in any language.

Only where nothing that was handed in has a number are names compared, and only those that are there once.
"""

import re
import sys
import unicodedata
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from teaching import Refused
from teaching.tables import Table, read_table, write_table

# Words for the column of points: Moodle in English, German, French, Spanish; GitHub Classroom.
POINTS = ("grade", "bewertung", "note", "calificación", "points_awarded")
MOST = ("maximum grade", "bestwertung", "note maximale", "calificación máxima", "points_available")
CANVAS_POINTS = re.compile(r".+\(\d+\)$")
BLACKBOARD_POINTS = re.compile(r".+\[[^\]]*?:.*?([\d.,]+).*\].*\|\d+$")
OURS = re.compile(r"gate|lstm|gru", re.I)
NUMBER = re.compile(r"\s*(\d+(?:[.,]\d+)?)\s*")
MOODLE, LIKELY = 2, 1  # the surest column, and one by its name
SHORTEST = 5  # letters of its word for a participant
PARTICIPANT = re.compile(r"\D*?(\d+)")  # Moodle's identifier: a word and a number


class Person(NamedTuple):
    """A student as the marks have them."""

    key: str
    name: str
    number: str
    system: str
    also: tuple[str, ...]  # other names that are unique
    total: float
    waits: int  # texts


class Sheet(NamedTuple):
    """What was found out about a table."""

    table: Table
    points: int  # the column that takes them
    people: int  # the column that says who
    most: float | None  # the maximum of the activity


def people_of(rows: list[dict[str, str]], facts: dict[str, dict[str, Any]]) -> list[Person]:
    """The students of marks.csv, with all that makes them unique."""
    found = []
    members = {who: list(known.get("members", [])) for who, known in facts.items()}
    for row in rows:
        mine = members.get(row["key"]) or [{}]
        member = mine.pop(0) if len(mine) > 1 else mine[0]
        also = tuple(member.get("also", ()))
        waits = len(row["to grade by hand"].split())
        system, number = member.get("system", ""), row["number"]
        name = member.get("name", row["student"])
        found.append(Person(row["key"], name, number, system, also, float(row["total"]), waits))
    return found


def fill(
    course: Path, people: list[Person], file: str, column: str | None, most: float, scale: bool
) -> Path:
    """Write a copy of a table with the points of all students to the course's folder; returns its path.

    Args:
        course: the folder of the course.
        people: the students.
        file: the LMS's table.
        column: the column that takes the points, where that is not clear.
        most: the points of somebody who has all.
        scale: may points be scaled to the table's maximum?

    Raises:
        Refused: it is not clear who is who, which column takes points, or the maximum is another one.
    """
    table = read_table(Path(file))
    points = points_column(table, column, file)
    sheet = Sheet(table, points, people_column(table, people, file), maximum(table, points))
    factor = factor_of(sheet, most, scale)
    lines = lines_of(sheet, people)
    for person, line in lines.items():
        sheet.table.rows.iloc[line, points] = written(person.total * factor, sheet)
    target = course / f"graded-{Path(file).stem}.csv"
    if target.exists() and target.samefile(file):
        raise Refused(f"{file} is what make marks has written; give it the table of the LMS")
    write_table(target, table.header, table.rows.values.tolist(), table.separator)
    tell(lines, people, factor, target)
    return target


def tell(lines: dict[Person, int], people: list[Person], factor: float, target: Path) -> None:
    """Say what has been written, and what has not."""
    scaled = f", points times {factor:.4g}" if factor != 1 else ""
    print(f"Sheet: {target}: {len(lines)} of {len(people)} students are in it{scaled}")
    for person in people:
        if person not in lines:
            print(
                f"not in the sheet, or more than once: {person.name} {person.number}".rstrip(),
                file=sys.stderr,
            )
    waiting = [person for person in lines if person.waits]
    if waiting:
        texts = sum(person.waits for person in waiting)
        print(
            f"{texts} answers of {len(waiting)} students still wait for you; the sheet lacks their points",
            file=sys.stderr,
        )


# Columns -------------------------------------------------------------------------------------------------------------
def points_column(table: Table, column: str | None, file: str) -> int:
    """The column that takes the points: the one asked for, the LMS's, or the only one that looks like ours."""
    header = [name.strip() for name in table.header]
    words = [name.casefold() for name in header]
    if column is not None:
        wanted = [place for place, name in enumerate(header) if name == column.strip()]
    else:
        wanted = [place for place, name in enumerate(words) if name in POINTS][:1]
        activities = [
            p
            for p, name in enumerate(header)
            if CANVAS_POINTS.fullmatch(name) or BLACKBOARD_POINTS.fullmatch(name)
        ]
        wanted = wanted or (
            activities
            if len(activities) == 1
            else [p for p in activities if OURS.search(header[p])]
        )
    if len(wanted) != 1:
        choice = ", ".join(repr(name) for name in header if name)
        raise Refused(
            f"{file}: which column takes the points? COLUMN=... names it; there are {choice}"
        )
    return wanted[0]


def people_column(table: Table, people: list[Person], file: str) -> int:
    """The one column that says who is who; an LMS's numbers if there are any, and never another column beside them."""
    columns = list(table.rows.columns)
    numbers = any(person.number for person in people)
    if numbers:
        surest = max(sure(table, place) for place in columns)
        columns = [place for place in columns if sure(table, place) == surest]
    found = {}
    for place in columns:
        lines = matches(table, place, people).values()
        found[place] = sum(len(each) == 1 for each in lines)
    best = max(found, key=lambda place: found[place])
    if not found[best]:
        raise Refused(
            f"{file}: no column says who your students are: is it the table of the same activity?"
        )
    rivals = [place for place in columns if found[place] == found[best]]
    if len(rivals) > 1 and numbers:
        names = " and ".join(repr(table.header[place]) for place in rivals)
        raise Refused(
            f"{file}: {names} both fit the numbers of your students: delete the wrong column in a copy"
        )
    return best


def sure(table: Table, place: int) -> int:
    """How surely a column holds an LMS's own numbers, by what Moodle writes into the first one, or by its name."""
    cells = [cell.strip() for cell in table.rows[place] if cell.strip()]
    words = {cell.rstrip("0123456789") for cell in cells}  # Moodle: "Participant 12345"
    numbered = all(map(PARTICIPANT.fullmatch, cells))
    if place == 0 and numbered and len(words) == 1 and len(words.pop()) >= SHORTEST:
        return MOODLE
    title = table.header[place].strip().casefold()
    return LIKELY if title in ("id", "username", "login", "sid") else 0


def matches(table: Table, place: int, people: list[Person]) -> dict[Person, list[int]]:
    """dict from each student to the lines of a column that say so. Moodle's numbers and others' never meet."""
    by_cell: dict[str, list[int]] = {}
    for line, cell in enumerate(table.rows[place]):
        for text in readings(cell):
            by_cell.setdefault(text, []).append(line)
    numbers = [person for person in people if person.number]
    moodles = sure(table, place) == MOODLE
    same = Counter(name_of(person) for person in people)
    found = {}
    for person in numbers or people:
        keys = [person.number, *person.also] if person.number else [name_of(person)]
        other = person.system and (person.system == "Moodle") != moodles
        if not (other if person.number else same[name_of(person)] > 1):
            found[person] = sorted({line for key in keys for line in by_cell.get(key, [])})
    return found


def readings(cell: str) -> set[str]:
    """What a cell may say: a number, a number after a word, a name in any order."""
    text = cell.strip()
    number = PARTICIPANT.fullmatch(text)
    return {text, number[1] if number else text, f"name {letters(text)}"} if text else set()


def name_of(person: Person) -> str:
    """A student's name, as a reading of a cell."""
    return f"name {letters(person.name)}"


def letters(name: str) -> str:
    """A name's words in alphabetical order, without case and commas; Canvas writes 'Last, First' and 'lastfirst'."""
    words = re.findall(r"[\w@.]+", unicodedata.normalize("NFKC", name).replace("_", " ").casefold())
    return "".join(sorted(words))


def lines_of(sheet: Sheet, people: list[Person]) -> dict[Person, int]:
    """dict from each student to the one line that is theirs; who has several, or shares one, has none."""
    found = matches(sheet.table, sheet.people, people)
    used = Counter(line for lines in found.values() for line in lines)
    return {
        person: lines[0]
        for person, lines in found.items()
        if len(lines) == 1 and used[lines[0]] == 1
    }


# Points --------------------------------------------------------------------------------------------------------------
def maximum(table: Table, points: int) -> float | None:
    """The maximum that a table states: in a column of its own, in Canvas's second line, in Blackboard's header."""
    for place, title in enumerate(table.header):
        if title.strip().casefold() in MOST:
            return constant(table.rows[place])
    if match := BLACKBOARD_POINTS.fullmatch(table.header[points].strip()):
        return number(match[1])
    if CANVAS_POINTS.fullmatch(table.header[points].strip()):
        return canvas_maximum(table, points)
    return (
        constant(table.rows[points + 1]) if points + 1 in table.rows else None
    )  # Moodle in yet another language


def canvas_maximum(table: Table, points: int) -> float | None:
    """What stands in the column of points before the first line with a student's number."""
    for line in range(len(table.rows)):
        cells = list(table.rows.iloc[line])
        if any(re.fullmatch(r"\d+", cell.strip()) for cell in cells[:3]):
            return None
        if number(cells[points]) is not None:
            return number(cells[points])
    return None


def constant(cells: pd.Series) -> float | None:
    """The number that stands in each line of a column; None if there is no such."""
    values = {number(cell) for cell in cells if cell.strip()}
    return values.pop() if len(values) == 1 else None


def number(text: str) -> float | None:
    """A number with a point or a comma; None if it is none."""
    match = NUMBER.fullmatch(text)
    return float(match[1].replace(",", ".")) if match else None


def factor_of(sheet: Sheet, most: float, scale: bool) -> float:
    """What points are multiplied by: nothing is ever cut off."""
    if sheet.most is None:
        if scale:
            raise Refused("the sheet states no maximum, so that nothing can be scaled to it")
        print(f"The sheet states no maximum; ours is {most:g}.")
        return 1
    if scale and sheet.most > 0:
        return sheet.most / most
    if sheet.most < most:
        why = f"its maximum is {sheet.most:g}, and ours {most:g} with the bonus"
        raise Refused(
            f"{why}: SCALE=1 scales all points to it, or set the maximum in the LMS to {most:g}"
        )
    return 1


def written(points: float, sheet: Sheet) -> str:
    """Points as the table writes numbers."""
    text = f"{round(points, 2):g}"
    commas = any(re.fullmatch(r"\s*\d+,\d+\s*", cell) for cell in sheet.table.rows.values.ravel())
    return text.replace(".", ",") if commas or sheet.table.separator == ";" else text
