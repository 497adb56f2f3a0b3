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
    # The column of points: the one asked for, Moodle's, Canvas's only assignment, or the only one that looks like ours.
    assignments = [name for name in header if re.search(r"\(\d+\)$", name)]
    ours = [name for name in assignments if re.search(r"gate|lstm|gru", name, re.I)]
    wanted = [[column]] if column else [["Grade"] if "Grade" in header else [], assignments, ours]
    points = next((header.index(names[0]) for names in wanted if len(names) == 1 and names[0] in header), None)
    if points is None or not people:
        print(f"{sheet}: which column takes the points? make marks SHEET=... COLUMN='{header[-1:]}'", file=sys.stderr)
        return 2
    filled, limit = set(), ""
    for line in table:
        line += [""] * (len(header) - len(line))
        possible = "Points Possible" in line[0]  # Canvas's second row
        if possible or "Maximum Grade" in header:
            limit = line[points if possible else header.index("Maximum Grade")].replace(",", ".")
        matches = [[row for row in rows if same(line[place], row)] for place in people]
        row = next((found[0] for found in matches if len(found) == 1 and not possible), None)
        if row:
            filled.add(row["key"])
            most = float(limit) if re.fullmatch(r"\s*\d+(\.\d*)?\s*", limit) else 0
            line[points] = f"{min(float(row['total']), most or float('inf')):g}"
    with replacing(course / Path(sheet).name) as aside, open(aside, "w", newline="", encoding="utf-8-sig") as file:
        csv.writer(file, delimiter=separator).writerows([header, *table])
    print(f"Sheet: {course / Path(sheet).name}: {len(filled)} of {len(rows)} students are in it")
    for row in rows:
        if row["key"] not in filled:
            print(f"not in the sheet, or more than once: {row['student']}", file=sys.stderr)
    return 0


def same(cell, row):
    """Does a cell of the sheet name this student, by number ('Participant 12345') or by name in any order?"""
    if row["number"] and re.fullmatch(rf"(\w+ )?{row['number']}", cell.strip()):
        return True
    return bool(letters(cell)) and letters(cell) in (letters(row["student"]), letters(row["key"]))


def letters(name):
    """A name's words in alphabetical order, without case and commas; Canvas writes 'Last, First' and 'lastfirst'."""
    words = re.findall(r"[\w@.]+", unicodedata.normalize("NFKC", name).replace("_", " ").casefold())
    return "".join(sorted(words))
