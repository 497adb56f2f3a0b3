"""Texts graded question by question: sheets that teachers fill in with any program, and the gradebook beside them."""

import csv
import io
import re

import pytest
import teachers
from nbformat import NotebookNode
from teachers import OTHER, TEXT, THREE, answers

from teaching import marks, texts
from teaching.handout import ASSIGNMENT
from teaching.likeness import in_order
from teaching.rubric import read_rubric
from teaching.tables import read_table

made, room = teachers.made, teachers.room  # fixtures
Q31, Q32 = "q31-answer", "q32-answer"


@pytest.fixture
def class_of_three(room):
    """Kim and Lee wrote almost the same, Max something else; all of them for Q3.1 only."""
    for who, text in (("Kim", TEXT), ("Max", OTHER), ("Lee", TEXT.replace("places", "pixels"))):
        room.hand_in(who, answers({Q31: text}, q11_check="4"))
    room.hand_in("Nobody", answers(q11_check="5"))
    room.grade()
    assert room.call("texts") == 0
    return Sheets(room)


class Sheets:
    """What a teacher does with the sheets."""

    def __init__(self, room):
        self.room, self.folder = room, room.course / "texts"

    def rows(self, cell=Q31):
        table = read_table(self.folder / f"{cell}.csv")
        lines = [dict(zip(table.header, line, strict=True)) for line in table.rows.values.tolist()]
        return {line["student"] or line["row"]: line for line in lines}

    def save(self, rows, cell=Q31, separator=",", encoding="utf-8-sig", header=None):
        """The rows as a program saves them."""
        text = io.StringIO()
        writer = csv.DictWriter(
            text, header or list(texts.HEADER), "", "ignore", delimiter=separator
        )
        writer.writeheader()
        writer.writerows(rows)
        (self.folder / f"{cell}.csv").write_bytes(text.getvalue().encode(encoding))

    def fill(self, who, cell=Q31, **cells):
        rows = self.rows(cell)
        rows[who] |= cells
        self.save(rows.values(), cell)

    def given(self, who, cell=Q31):
        """(points, comment, does it wait) in the gradebook."""
        with marks.book(self.room.course) as gradebook:
            grade = gradebook.find_grade(cell, THREE, ASSIGNMENT, who)
            comment = gradebook.find_comment(cell, THREE, ASSIGNMENT, who).manual_comment
            return grade.manual_score, comment or "", grade.needs_manual_grade


# What is written -----------------------------------------------------------------------------------------------------
def test_each_question_has_a_sheet_and_a_page_and_each_student_a_row(class_of_three):
    folder = class_of_three.folder
    sheets = sorted(path.stem for path in folder.glob("*-answer.csv"))
    assert sheets == ["bonus-answer", "q31-answer", "q32-answer", "q33-answer"]
    assert (folder / f"{Q31}.csv").read_bytes().startswith(b"\xef\xbb\xbf")
    rows = class_of_three.rows()
    assert set(rows) == {"Kim", "Lee", "Max", "Nobody"}
    assert rows["Kim"]["text"] == TEXT and rows["Kim"]["of"] == "5" and rows["Nobody"]["note"]
    page = (folder / f"{Q31}.html").read_text("utf-8")
    assert TEXT in page and rows["Kim"]["row"] in page and "Nobody" in page and "http" not in page


def test_alike_texts_follow_each_other(class_of_three):
    order = list(class_of_three.rows())
    assert abs(order.index("Kim") - order.index("Lee")) == 1 and order[-1] == "Nobody"
    second = class_of_three.rows()[max("Kim", "Lee", key=order.index)]
    assert float(second["alike"]) > 0.8


def test_the_order_is_that_of_the_texts_and_not_of_the_names():
    words = ["all rows share weights", "all rows share their weights"]
    words += ["pixels are apart", "pixels stand apart"]
    for places in ((0, 1, 2, 3), (3, 0, 2, 1)):
        order, alike = in_order([words[place] for place in places])
        said = [words[places[place]][:3] for place in order]
        assert said in (["all", "all", "pix", "pix"], ["pix", "pix", "all", "all"])
        assert alike[1] > alike[2] < alike[3]


def test_without_names_nothing_says_who_it_is(room, capsys):
    for who in ("Kim", "Lee"):
        room.hand_in(who, answers({Q31: TEXT if who == "Kim" else OTHER}))
    room.grade()
    capsys.readouterr()
    assert room.call("texts", "--anonymous") == 0
    read = capsys.readouterr()
    pages = [path.read_text("utf-8-sig") for path in (room.course / "texts").glob("q*")]
    sheets = Sheets(room)
    row = next(line["row"] for line in sheets.rows().values() if line["text"] == TEXT)
    sheets.fill(row, points="9")
    room.call("marks")
    said = "".join([read.out, read.err, *pages, capsys.readouterr().err])
    assert "9 points, and there are 0 to 5" in said and not re.search("Kim|Lee", said)
    sheets.fill(row, points="4")
    room.call("marks")
    assert sheets.given("Kim")[0] == 4 and room.rows()["Kim"]["Q3.1"] == "4"


def test_a_text_is_no_formula_and_no_program(room):
    room.hand_in("Kim", answers({Q31: '=cmd|"/c calc"!A1 and <img src=x onerror=alert(1)> words'}))
    room.grade()
    room.call("texts")
    raw = (room.course / "texts" / f"{Q31}.csv").read_text("utf-8-sig")
    assert "'=cmd" in raw and "<img" not in (room.course / "texts" / f"{Q31}.html").read_text(
        "utf-8"
    )


# What is read back ---------------------------------------------------------------------------------------------------
@pytest.mark.pages
def test_points_codes_and_comments_reach_marks_and_feedback(class_of_three, capsys):
    sheets = class_of_three
    sheets.fill("Kim", points="3,5", codes="Shared; numbers", comment="Well said, Kim.")
    sheets.fill("Max", codes="places")
    capsys.readouterr()
    assert sheets.room.call("marks") == 0
    said = capsys.readouterr().err
    assert "Q3.1: 1 of 3 texts have no points yet: Lee" in said
    rows = sheets.room.rows()
    assert (rows["Kim"]["Q3.1"], rows["Max"]["Q3.1"], rows["Lee"]["to grade by hand"]) == (
        "3.5",
        "1",
        "Q3.1",
    )
    rubric = read_rubric(sheets.folder / "rubric.csv")
    page = next((sheets.room.course / "feedback" / "Kim").rglob(f"{THREE}.html")).read_text("utf-8")
    for sentence in (rubric["shared"].sentence, rubric["numbers"].sentence, "Well said, Kim."):
        assert sentence in page
    other = next((sheets.room.course / "feedback" / "Max").rglob(f"{THREE}.html")).read_text(
        "utf-8"
    )
    assert "Well said" not in other and rubric["places"].sentence in other


@pytest.mark.parametrize(
    ("separator", "encoding"),
    [(";", "utf-8-sig"), ("\t", "utf-16"), (",", "utf-8"), (";", "utf-8")],
)
def test_a_sheet_may_come_from_any_program_in_any_order(class_of_three, separator, encoding):
    rows = class_of_three.rows()
    rows["Kim"] |= {"points": "2,5", "codes": "shared", "comment": "=1+1; really"}
    header = ["note", "points", "student", "mine", "codes", "row", "comment"]
    class_of_three.save(
        reversed(rows.values()), separator=separator, encoding=encoding, header=header
    )
    assert class_of_three.room.call("marks") == 0
    points, comment, waits = class_of_three.given("Kim")
    assert (points, waits) == (2.5, False) and comment.endswith("=1+1; really")
    assert class_of_three.room.call("texts") == 0  # and back again
    assert class_of_three.rows()["Kim"]["comment"] == "'=1+1; really"
    assert read_table(class_of_three.folder / f"{Q31}.csv").separator == separator
    class_of_three.room.call("marks")
    assert class_of_three.given("Kim") == (points, comment, waits)


@pytest.mark.parametrize(
    ("cells", "said"),
    [
        ({"points": "5.5"}, "5.5 points, and there are 0 to 5"),
        ({"points": "-1"}, "-1 points, and there are 0 to 5"),
        ({"points": "=2+2"}, "'=2+2' is no number"),
        ({"points": "3. May"}, "'3. May' is no number"),
        ({"codes": "shard"}, "'shard' is no code"),
        ({"codes": "shared places memory evidence"}, "6 points, and there are 0 to 5"),
    ],
)
def test_what_can_not_be_taken_is_told_with_student_and_question(
    class_of_three, capsys, cells, said
):
    class_of_three.fill("Kim", **cells)
    class_of_three.fill("Max", points="3")
    capsys.readouterr()
    assert class_of_three.room.call("marks") == 0
    lines = [line for line in capsys.readouterr().err.splitlines() if "nothing of this row" in line]
    assert len(lines) == 1 and lines[0].startswith("Q3.1: Kim: ") and said in lines[0]
    assert class_of_three.given("Kim") == (None, "", True) and class_of_three.given("Max")[0] == 3


def test_rows_that_are_gone_double_or_renamed_are_told(class_of_three, capsys):
    rows = class_of_three.rows()
    for who in rows:
        rows[who]["points"] = "2" if who != "Nobody" else ""
    renamed = {**rows["Kim"], "row": rows["Kim"]["row"].replace("-", "b-")}
    class_of_three.save([renamed, rows["Max"], {**rows["Max"], "points": "4"}, rows["Nobody"]])
    capsys.readouterr()
    class_of_three.room.call("marks")
    said = capsys.readouterr().err
    assert f"{renamed['row']!r} is nobody's row" in said and "Q3.1: Max has several rows" in said
    assert "no row in the sheet for" in said and "Lee" in said
    assert {who: class_of_three.given(who)[0] for who in ("Kim", "Lee", "Max")} == dict.fromkeys(
        ("Kim", "Lee", "Max")
    )
    class_of_three.save([rows["Max"], rows["Max"]])  # twice the same is no question
    class_of_three.room.call("marks")
    assert class_of_three.given("Max")[0] == 2


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"row;punkte;codes;comment\n", "no column 'points'"),
        (b"row,points,points,codes,comment\n", "two columns 'points'"),
        ("row;points;codes;comment\nx;1;;schön\n".encode("cp1252"), "save it as 'CSV UTF-8'"),
        (b"", "the table is empty"),
    ],
)
def test_a_file_that_is_no_sheet_is_refused_before_anything_is_taken(
    class_of_three, capsys, content, said
):
    class_of_three.room.hand_in("Ola", answers({Q32: TEXT}))
    class_of_three.room.grade()
    class_of_three.room.call("texts")
    class_of_three.fill("Kim", points="3")
    (class_of_three.folder / f"{Q32}.csv").write_bytes(content)
    for action in ("marks", "texts"):
        capsys.readouterr()
        assert class_of_three.room.call(action) == 2
        error = capsys.readouterr().err
        assert said in error and error.count("\n") == 1 and Q32 in error
    assert class_of_three.given("Kim")[0] is None


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("code,points,sentence\na,1,x\nA,2,y\n", "a is there twice"),
        ("code,points,sentence\na,much,x\n", "'much' is no number"),
        ("code,points,sentence\na b,1,x\n", "a code is one word"),
        ("code,sentence\na,x\n", "no column 'points'"),
    ],
)
def test_a_rubric_that_can_not_be_read_is_refused_in_a_line(class_of_three, capsys, content, said):
    (class_of_three.folder / "rubric.csv").write_text(content, encoding="utf-8")
    capsys.readouterr()
    assert class_of_three.room.call("marks") == 2
    error = capsys.readouterr().err
    assert said in error and error.count("\n") == 1


# Beside Formgrader ---------------------------------------------------------------------------------------------------
def differences(room, capsys, *arguments):
    capsys.readouterr()
    assert room.call("marks", *arguments) == 0
    return [line for line in capsys.readouterr().err.splitlines() if "TEXTS=" in line]


@pytest.mark.parametrize("choice", ["sheet", "gradebook"])
def test_sheet_and_gradebook_never_disagree_in_silence(class_of_three, capsys, choice):
    room = class_of_three.room
    room.by_hand("Kim", {Q31: 4}, comment="in Formgrader")
    class_of_three.fill("Kim", points="2")
    class_of_three.fill("Max", points="3")
    lines = differences(room, capsys)
    assert len(lines) == 1 and lines[0].startswith("Q3.1: Kim: the sheet says 2, the gradebook 4")
    assert class_of_three.given("Kim") == (4, "in Formgrader", False)
    assert class_of_three.given("Max")[0] == 3
    assert len(differences(room, capsys)) == 1  # until somebody decides
    assert not differences(room, capsys, "--texts", choice)
    assert class_of_three.given("Kim")[:2] == (
        {"sheet": 2, "gradebook": 4}[choice],
        "in Formgrader",
    )
    assert not differences(room, capsys)
    assert class_of_three.rows()["Kim"]["points"] == {"sheet": "2", "gradebook": "4"}[choice]


def test_a_sheet_may_be_changed_again_and_again_and_what_formgrader_changed_since_is_told(
    class_of_three, capsys
):
    room = class_of_three.room
    for points in ("2", "3"):
        class_of_three.fill("Kim", points=points, comment=f"for {points}")
        assert not differences(room, capsys)
        assert class_of_three.given("Kim") == (float(points), f"for {points}", False)
    room.by_hand("Kim", {Q31: 5})
    assert len(differences(room, capsys)) == 1 and class_of_three.given("Kim")[0] == 5
    class_of_three.fill(
        "Kim", points="", comment="for 3"
    )  # who types no points says nothing on them
    assert not differences(room, capsys) and class_of_three.given("Kim")[0] == 5


def test_what_is_deleted_in_the_sheet_is_taken_back(class_of_three):
    room = class_of_three.room
    class_of_three.fill("Kim", points="2", comment="too short")
    room.call("marks")
    class_of_three.fill("Kim", points="", comment="")
    room.call("marks")
    assert class_of_three.given("Kim") == (None, "", True)
    assert room.rows()["Kim"]["to grade by hand"] == "Q3.1"


def test_points_with_many_digits_are_the_same_in_the_sheet(class_of_three, capsys):
    class_of_three.room.by_hand("Kim", {Q31: 10 / 3})
    class_of_three.room.call("texts")
    assert not differences(class_of_three.room, capsys)
    assert class_of_three.given("Kim")[0] == 10 / 3


def test_a_comment_of_formgraders_is_not_replaced(class_of_three, capsys):
    class_of_three.room.by_hand("Kim", {Q31: 3}, comment="in Formgrader")
    class_of_three.fill("Kim", points="3", comment="in the sheet")
    (line,) = differences(class_of_three.room, capsys)
    assert line.startswith("Q3.1: Kim") and "comments" in line
    assert class_of_three.given("Kim")[1] == "in Formgrader"


def test_what_formgrader_has_stands_in_a_new_sheet(class_of_three):
    class_of_three.room.by_hand("Kim", {Q31: 3.5}, comment="in Formgrader")
    class_of_three.fill("Max", codes="shared", comment="typed")
    class_of_three.room.call("texts")
    rows = class_of_three.rows()
    assert (rows["Kim"]["points"], rows["Kim"]["comment"]) == ("3.5", "in Formgrader")
    assert (rows["Max"]["points"], rows["Max"]["codes"], rows["Max"]["comment"]) == (
        "",
        "shared",
        "typed",
    )


# Through a year ------------------------------------------------------------------------------------------------------
def test_points_for_a_text_that_has_changed_are_not_taken(class_of_three, capsys):
    room = class_of_three.room
    class_of_three.fill("Kim", points="2", comment="too short")
    room.call("marks")
    class_of_three.fill("Kim", points="3")  # and meanwhile there is another text
    room.hand_in("Kim", answers({Q31: f"{TEXT} And more."}, q11_check="4"))
    capsys.readouterr()
    room.grade()
    assert "Q3.1: Kim: the text has changed" in capsys.readouterr().err
    assert class_of_three.given("Kim") == (2, "too short", True)
    room.call("texts")
    row = class_of_three.rows()["Kim"]
    assert row["points"] == "" and "before: 3" in row["note"] and "more" in row["text"]
    room.call("marks")
    assert class_of_three.given("Kim") == (2, "too short", True)  # nobody has looked yet
    class_of_three.fill("Kim", points="4")
    room.call("marks")
    assert class_of_three.given("Kim") == (4, "too short", False)


def test_a_late_student_is_missing_until_the_sheet_is_written_again(class_of_three, capsys):
    room = class_of_three.room
    class_of_three.fill("Kim", points="2")
    room.hand_in("Ola", answers({Q31: OTHER + " I think."}))
    capsys.readouterr()
    room.grade()
    assert "Q3.1: no row in the sheet for Ola" in capsys.readouterr().err
    room.call("texts")
    assert class_of_three.rows()["Kim"]["points"] == "2" and "Ola" in class_of_three.rows()


def test_who_is_forgotten_is_in_no_sheet(class_of_three):
    class_of_three.fill("Lee", points="2")
    class_of_three.room.call("texts")
    assert class_of_three.room.call("forget", "Kim") == 0
    left = [
        path for path in class_of_three.folder.iterdir() if "Kim" in path.read_text("utf-8-sig")
    ]
    assert not left and class_of_three.rows()["Lee"]["points"] == "2"
    for who in ("Lee", "Max", "Nobody"):
        class_of_three.room.call("forget", who)
    assert not class_of_three.folder.exists()


def test_a_group_has_one_row(room):
    for number in (1, 2):
        name = f"Group A-Name {number}_{number}_assignsubmission_file_"
        room.hand_in(name, answers({Q31: TEXT}, q11_check="4"))
    room.grade()
    room.call("texts")
    sheets = Sheets(room)
    assert list(sheets.rows()) == ["Group A"]
    sheets.fill("Group A", points="5")
    room.call("marks")
    assert [row["Q3.1"] for row in room.rows().values()] == ["5", "5"]


def test_texts_before_a_grading_are_refused(room, capsys):
    assert room.call("texts") == 2 and "nothing is graded yet" in capsys.readouterr().err


def test_a_page_may_have_lost_a_question():
    assert texts.text_in(None) == "" and texts.text_in(NotebookNode(metadata={}, source="x")) == "x"
