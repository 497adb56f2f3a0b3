"""Marks in the table that an LMS gave and takes back: Moodle's grading worksheet, Canvas's CSV of grades."""

import csv
import io
import re
import sys
import unicodedata
from pathlib import Path

from coursework.files import replacing

# Columns that say who a student is, the surest first.
PEOPLE = ["Identifier", "ID", "SIS Login ID", "Username", "ID number", "SIS User ID"]
PEOPLE += ["Email address", "Full name", "Student"]


def fill(course, rows, sheet, column):
    """Write a copy of `sheet` with the points of all students to the course's folder; returns the exit code."""
    try:
        text = Path(sheet).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        print(f"can't read {sheet!r}: {getattr(error, 'strerror', None) or 'no text in UTF-8'}", file=sys.stderr)
        return 2
    separator = max(",;\t", key=text.partition("\n")[0].count)
    header, *table = [*csv.reader(io.StringIO(text), delimiter=separator)] or [[]]
    people = [header.index(name) for name in PEOPLE if name in header]
    points = points_column(header, column)
    if points is None or not people:
        print(f"{sheet}: which column takes the points? make marks SHEET=... COLUMN='{header[-1:]}'", file=sys.stderr)
        return 2
    filled, most = set(), None
    for line in table:
        line += [""] * (len(header) - len(line))
        if "Points Possible" in line[0]:  # Canvas's second row
            most = number(line[points])
            continue
        matches = [[row for row in rows if same(line[place], row)] for place in people]
        row = next((found[0] for found in matches if len(found) == 1), None)
        if row:
            filled.add(row["key"])
            limit = number(line[header.index("Maximum Grade")]) if "Maximum Grade" in header else most
            line[points] = f"{min(float(row['total']), limit or float('inf')):g}"
    with replacing(course / Path(sheet).name) as aside, open(aside, "w", newline="", encoding="utf-8-sig") as file:
        csv.writer(file, delimiter=separator).writerows([header, *table])
    print(f"Sheet: {course / Path(sheet).name}: {len(filled)} of {len(rows)} students are in it")
    for row in rows:
        if row["key"] not in filled:
            print(f"not in the sheet, or more than once: {row['student']}", file=sys.stderr)
    return 0


def points_column(header, column):
    """The place of the column for points: the one asked for, Moodle's Grade, or Canvas's only assignment."""
    if column:
        return header.index(column) if column in header else None
    if "Grade" in header:
        return header.index("Grade")
    assignments = [place for place, name in enumerate(header) if re.search(r"\(\d+\)$", name)]
    ours = [place for place in assignments if re.search(r"gate|lstm|gru", header[place], re.I)]
    return next((found[0] for found in (assignments, ours) if len(found) == 1), None)


def same(cell, row):
    """Does a cell of the sheet name this student, by number ('Participant 12345') or by name in any order?"""
    if row["number"] and re.fullmatch(rf"(\w+ )?{row['number']}", cell.strip()):
        return True
    return bool(letters(cell)) and letters(cell) in (letters(row["student"]), letters(row["key"]))


def letters(name):
    """A name's words in alphabetical order, without case and commas; Canvas writes 'Last, First' and 'lastfirst'."""
    words = re.findall(r"[\w@.]+", unicodedata.normalize("NFKC", name).replace("_", " ").casefold())
    return "".join(sorted(words)) if len(words) > 1 else "".join(words)


def number(text):
    """A number as a float, or None."""
    try:
        return float(text.replace(",", "."))
    except ValueError:
        return None
