"""The table of an LMS takes the points: by number, in any language, scaled or refused, never cut off."""

import csv
import io

import pytest

from teaching import Refused
from teaching.lms import Person, fill
from teaching.tables import read_table, safe, write_table


def person(name, number="", total=50.0, system="", also=(), waits=0):
    return Person(f"{name} {number}", name, number, system, also, total, waits)


MOODLERS = [
    person("First Last", "12345", 104.5, "Moodle"),
    person("Zoë O'Neil", "77", 50, "Moodle"),
]
CANVASSERS = [person("lastfirst", "12345", 104.5, "Canvas"), person("oneilzoë", "9", 50, "Canvas")]
LOGINS = [person("x", "jdoe", 60, "Blackboard"), person("y", "rroe", 70, "Blackboard")]
FOLDERS = [person("First Last", total=104.5), person("O'Neil, Zoë")]
# The words of the four languages' packs: identifier, participant, name, e-mail, state, grade, maximum.
WORDS = {
    "English": (
        "Identifier",
        "Participant ",
        "Full name",
        "Email address",
        "Status",
        "Grade",
        "Maximum grade",
    ),
    "German": (
        "ID",
        "Teilnehmer/in",
        "Vollständiger Name",
        "E-Mail-Adresse",
        "Status",
        "Bewertung",
        "Bestwertung",
    ),
    "French": (
        "Identifiant",
        "Participant",
        "Nom complet",
        "Adresse de courriel",
        "Statut",
        "Note",
        "Note maximale",
    ),
    "Spanish": (
        "Identificador",
        "Participante",
        "Nombre",
        "Dirección",
        "Estado",
        "Calificación",
        "Calificación máxima",
    ),
}


def moodle(language="English", most="110.00", more=(), numbers=("12345", "77", "9")):
    identifier, participant, name, mail, state, grade, maximum = WORDS[language]
    header = [identifier, name, mail, state, grade, maximum, "Feedback"]
    names = ["First Last", "Zoë O'Neil", "Nobody"]
    lines = [
        [f"{participant}{n}", who, "x@y", "-", "", most, "two\nlines"]
        for n, who in zip(numbers, names, strict=True)
    ]
    return table([header, *lines, *more])


def table(lines, separator=","):
    text = io.StringIO()
    csv.writer(text, delimiter=separator).writerows(lines)
    return text.getvalue()


CANVAS = table(
    [
        [
            "Student",
            "ID",
            "SIS User ID",
            "SIS Login ID",
            "Section",
            "LSTM gates (77)",
            "Essay (78)",
            "Final Score",
        ],
        ["    Points Possible", "", "", "", "", "110", "20", "(read only)"],
        ["Last, First", "12345", "9", "fl", "A", "", "3", ""],
        ["O'Neil, Zoë", "9", "12345", "zo", "A", "", "4", ""],
        ["Student, Test", "", "", "", "A", "", "", ""],
    ]
)
BLACKBOARD = table(
    [
        [
            "Last Name",
            "First Name",
            "Username",
            "Student ID",
            "Gates [Total Pts: 110 Score] |8123",
            "Essay [Total Pts: 9 Score] |9",
        ],
        ["Doe", "Jane", "jdoe", "rroe", "", ""],
        ["Roe", "Rick", "rroe", "jdoe", "", ""],
    ],
    "\t",
)
GITHUB = table([["assignment_name", "github_username", "student_repository_name", "points_awarded", "points_available"],
                ["gates", "janedoe", "gates-janedoe", "", "110"]])  # fmt: skip


def filled(tmp_path, text, people, column=None, scale=False, most=110, encoding="utf-8-sig"):
    (tmp_path / "course").mkdir(exist_ok=True)
    sheet = tmp_path / "sheet.csv"
    sheet.write_bytes(text.encode(encoding))
    before = sheet.read_bytes()
    target = fill(tmp_path / "course", people, str(sheet), column, most, scale)
    assert sheet.read_bytes() == before and target.read_bytes().startswith(b"\xef\xbb\xbf")
    separator = max(",;\t", key=target.read_text("utf-8-sig").split("\n")[0].count)
    with open(target, encoding="utf-8-sig", newline="") as file:
        return list(csv.reader(file, delimiter=separator))


def points(lines, column):
    place = next(place for place, name in enumerate(lines[0]) if column in name)
    return [line[place] for line in lines[1:]]


@pytest.mark.parametrize("language", WORDS)
def test_moodles_worksheet_is_filled_in_in_every_language(tmp_path, capsys, language):
    text = moodle(language)
    lines = filled(tmp_path, text, MOODLERS)
    assert points(lines, WORDS[language][5]) == ["104.5", "50", ""]
    before = list(csv.reader(io.StringIO(text, newline="")))
    assert [line[:4] + line[5:] for line in lines] == [line[:4] + line[5:] for line in before]
    assert "2 of 2 students" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("text", "people", "column", "expected"),
    [
        (CANVAS, CANVASSERS, "LSTM", ["110", "104.5", "50", ""]),
        (BLACKBOARD, LOGINS, "Gates", ["60", "70"]),
        (GITHUB, [person("gates-janedoe", total=60)], "points_awarded", ["60"]),
        (moodle(), FOLDERS, "Grade", ["104.5", "50", ""]),
        (table([["SID", "Email", "Grade"], ["s1", "j@x", ""], ["s2", "r@x", ""]]),
         [person("J", "s1", 60, "Gradescope", ("s1", "j@x"))], "Grade", ["60", ""]),
        (table([["Name", "Login", "Mark", "Grade"], ["D", "jdoe", "", ""]]),
         [person("Doe Jane", "501", 60, "ILIAS", ("jdoe",))], "Grade", ["60"]),
    ],
    ids=["Canvas", "Blackboard", "GitHub Classroom", "folders", "Gradescope", "ILIAS"],
)  # fmt: skip
def test_each_systems_table_is_filled_in_by_its_own_numbers(
    tmp_path, text, people, column, expected
):
    assert points(filled(tmp_path, text, people), column) == expected


def test_two_of_one_name_get_their_own_points_and_who_handed_in_nothing_gets_none(tmp_path, capsys):
    text = moodle(more=[["Participant 12346", "First Last", "z@y", "-", "", "110.00", ""]])
    assert points(filled(tmp_path, text, MOODLERS), "Grade") == ["104.5", "50", "", ""]
    lines = filled(tmp_path, text, FOLDERS)  # names alone decide nothing here
    assert points(lines, "Grade") == ["", "50", "", ""]
    assert "not in the sheet, or more than once: First Last" in capsys.readouterr().err
    lines = filled(tmp_path, moodle(), [*FOLDERS, person("Last First", total=1)])
    assert points(lines, "Grade") == ["", "50", ""]


def test_a_matriculation_number_is_nobodys_participant_number(tmp_path):
    header = ["Identifier", "Full name", "ID number", "Grade", "Maximum grade"]
    lines = [
        ["Participant 1", "A", "12345", "", "110"],
        ["Participant 12345", "B", "77", "", "110"],
    ]
    assert points(filled(tmp_path, table([header, *lines]), MOODLERS), "Grade") == ["", "104.5"]
    lines = [["Participant 1", "A", "12345", "", "110"], ["Participant 2", "B", "77", "", "110"]]
    with pytest.raises(Refused, match="the same activity"):
        filled(tmp_path, table([header, *lines]), MOODLERS)


def test_numbers_of_one_system_do_not_meet_those_of_another(tmp_path):
    people = [MOODLERS[0], person("lastfirst", "77", 1, "Canvas")]
    assert points(filled(tmp_path, moodle(), people), "Grade") == ["104.5", "", ""]


def test_two_columns_that_could_be_the_numbers_are_a_question(tmp_path):
    text = table([["number", "other number", "Grade"], ["12345", "9", ""], ["9", "12345", ""]])
    with pytest.raises(Refused, match="'number' and 'other number'"):
        filled(tmp_path, text, CANVASSERS)


# The maximum ------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("most", ["20.00", "20,00", "100", "109.9"])
def test_a_smaller_maximum_is_refused_and_scaled_on_request(tmp_path, capsys, most):
    with pytest.raises(Refused, match="SCALE=1"):
        filled(tmp_path, moodle(most=most), MOODLERS)
    assert not list((tmp_path / "course").iterdir())
    limit = float(most.replace(",", "."))
    wanted = [round(total * limit / 110, 2) for total in (104.5, 50)]
    got = points(filled(tmp_path, moodle(most=most), MOODLERS, scale=True), "Grade")
    assert [float(value.replace(",", ".")) for value in got[:2]] == wanted and max(wanted) < limit
    assert not any("." in value for value in got if "," in most)
    assert f"points times {limit / 110:.4g}" in capsys.readouterr().out


@pytest.mark.parametrize(
    "text",
    [CANVAS.replace('"", "110"', "").replace(",110,", ",20,"), BLACKBOARD.replace("110", "20")],
)
def test_the_maximum_of_canvas_and_blackboard_is_seen_too(tmp_path, text):
    people = CANVASSERS if "SIS" in text else [person("x", "jdoe", 60, "Blackboard")]
    with pytest.raises(Refused, match="its maximum is 20"):
        filled(tmp_path, text, people)


def test_without_a_maximum_points_are_written_as_they_are_and_that_is_said(tmp_path, capsys):
    text = table([["Identifier", "Grade"], ["Participant 12345", ""]])
    assert points(filled(tmp_path, text, MOODLERS), "Grade") == ["104.5"]
    assert "states no maximum" in capsys.readouterr().out
    with pytest.raises(Refused, match="nothing can be scaled"):
        filled(tmp_path, text, MOODLERS, scale=True)


def test_who_still_waits_is_told(tmp_path, capsys):
    filled(tmp_path, moodle(), [MOODLERS[0]._replace(waits=3), MOODLERS[1]])
    assert "3 answers of 1 students still wait" in capsys.readouterr().err


# The file ---------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("start", ["", "sep=;\r\n"])
def test_what_a_spreadsheet_makes_of_the_table_is_read(tmp_path, encoding, start):
    lines = [
        ["ID", "Name", "Bewertung", "Bestwertung"],
        ["Teilnehmer/in12345", "Zoë", "", "110,00"],
    ]
    text = start + table(lines, ";")
    assert points(filled(tmp_path, text, MOODLERS, encoding=encoding), "Bewertung") == ["104,5"]


def test_the_teachers_file_is_never_overwritten(tmp_path):
    course = tmp_path / "course"
    course.mkdir()
    for name in ("marks.csv", "sheet.csv"):
        (course / name).write_text(moodle(), encoding="utf-8")
        before = (course / name).read_bytes()
        target = fill(course, MOODLERS, str(course / name), None, 110, False)
        assert target.name == f"graded-{name}" and (course / name).read_bytes() == before
    (course / "x.csv").hardlink_to(course / "graded-marks.csv")
    (course / "graded-x.csv").hardlink_to(course / "x.csv")
    with pytest.raises(Refused, match="the table of the LMS"):
        fill(course, MOODLERS, str(course / "x.csv"), None, 110, False)


@pytest.mark.parametrize(
    ("text", "column", "message"),
    [
        ("a,b\n1,2\n", None, "which column takes the points"),
        (
            CANVAS.replace("LSTM gates", "Sheet 3"),
            None,
            "which column takes the points.*'Sheet 3 .77.'",
        ),
        (moodle(), "Mark", "which column takes the points.*'Grade'"),
        ("", None, "empty"),
    ],
)
def test_what_is_no_table_for_points_is_refused_in_one_line(tmp_path, text, column, message):
    with pytest.raises(Refused, match=message) as refused:
        filled(tmp_path, text, MOODLERS, column)
    assert "\n" not in str(refused.value)


def test_text_in_another_encoding_and_a_missing_file_are_refused(tmp_path):
    with pytest.raises(Refused, match="UTF-8"):
        filled(tmp_path, moodle(), MOODLERS, encoding="cp1252")
    with pytest.raises(Refused, match="can't read"):
        fill(tmp_path, MOODLERS, str(tmp_path / "nowhere.csv"), None, 110, False)


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@a", "\tx", "\r=1", "\n=1", "＝1"])
def test_no_cell_begins_as_a_formula(tmp_path, text):
    write_table(tmp_path / "t.csv", ["a"], [[safe(text)]])
    (cell,) = read_table(tmp_path / "t.csv").rows[0]
    assert cell.startswith("'") or not cell.strip().startswith(("=", "+", "-", "@", "＝"))
