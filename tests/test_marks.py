"""The gradebook through a year: points by hand, one key, hand-ins that follow each other, what goes back."""

import re
import shutil
import zipfile
from types import SimpleNamespace

import nbformat
import pandas as pd
import pytest
import teachers
from nbformat.v4 import new_code_cell, new_markdown_cell
from teachers import ONE, OTHER, TEXT, THREE, Quick, answers, hand_in

from teaching import __main__ as program
from teaching import class_report, feedback, key, marks
from teaching.handout import ASSIGNMENT
from teaching.people import named, same_person
from teaching.submissions import Submission

made, room = teachers.made, teachers.room  # fixtures


# Points by hand ---------------------------------------------------------------------------------------------
@pytest.mark.pages
def test_points_by_hand_stay_and_wait_where_the_answer_has_changed(room):
    room.hand_in("kim", answers({"q31-answer": TEXT, "q32-answer": OTHER}, q11_check="5"))
    assert room.grade() == 0
    assert room.rows()["kim"]["to grade by hand"] == "Q3.1 Q3.2"
    room.by_hand("kim", {"q31-answer": 3.5, "q32-answer": 2}, comment="well said")
    assert room.call("marks") == 0
    assert (room.rows()["kim"]["total"], room.rows()["kim"]["to grade by hand"]) == ("10.5", "")

    room.hand_in(
        "kim", answers({"q31-answer": TEXT + " And more.", "q32-answer": OTHER}, q11_check="5")
    )
    assert room.grade() == 0
    row = room.rows()["kim"]
    assert (
        row["total"] == "10.5"
        and row["to grade by hand"] == "Q3.1"
        and "Q3.1: changed since it was given 3.5" in row["notes"]
    )
    with marks.book(room.course) as gradebook:
        assert gradebook.find_comment("q31-answer", THREE, ASSIGNMENT, "kim").comment == "well said"


@pytest.mark.parametrize(
    ("points", "value"), [("5", "1"), ("4", "2")], ids=["other points", "another answer"]
)
def test_points_by_hand_for_a_check_wait_when_the_machine_would_give_others_or_the_answer_is_another(
    room, points, value
):
    room.hand_in("kim", answers(q11_check="4", q12_check="3"))
    room.grade()
    room.by_hand("kim", {"q11-check": 2, "q12-check": 1})
    room.hand_in(
        "kim", answers(q11_check=points, q12_check="3", value=value if points == "4" else "1")
    )
    room.grade()
    row = room.rows()["kim"]
    assert row["Q1.1"] == "2" and "Q1.1" in row["to grade by hand"]
    assert ("Q1.2" in row["to grade by hand"]) == (value == "2")


def test_the_same_files_again_are_not_graded_again(room):
    room.hand_in("kim", answers(q11_check="4"))
    room.hand_in("lee", answers(q11_check="5"))
    room.grade()
    room.hand_in("max", answers(q11_check="3"))
    room.grade()
    assert sorted(Quick.graded[:2]) == ["kim", "lee"] and Quick.graded[2:] == ["max"]
    assert {who: row["total"] for who, row in room.rows().items()} == {
        "kim": "4",
        "lee": "5",
        "max": "3",
    }


# One hand-in after the other --------------------------------------------------------------------------------
@pytest.mark.parametrize("dates", [(None, None), (2e9, 1e9)], ids=["seen before", "by its date"])
def test_an_older_hand_in_never_replaces_a_newer_one(room, capsys, dates):
    first = answers(q11_check="2")
    if dates[0] is None:
        room.hand_in("kim", first, "first")
        room.grade("first")
    room.hand_in("kim", answers(q11_check="5"), "second", when=dates[0])
    room.grade("second")
    room.hand_in("kim", first, "again", when=dates[1])
    room.hand_in("lee", answers(q11_check="1"), "again")
    assert room.grade("again") == 0
    assert "an older hand-in" in capsys.readouterr().out
    assert {who: row["total"] for who, row in room.rows().items()} == {"kim": "5", "lee": "1"}
    (room.path / "again" / "who.csv").write_text("file,student\nkim,kim\n")  # the teacher wants it
    room.grade("again")
    assert room.rows()["kim"]["total"] == "2"


def test_a_student_is_the_same_under_another_name_and_another_one_under_the_same(room):
    for name, points in (("Kim Lee_7", 1), ("Kim Lee_8", 2)):
        room.hand_in(f"{name}_assignsubmission_file_", answers(q11_check=points), "a")
    room.grade("a")
    room.hand_in("Kim Roe_7_assignsubmission_file_", answers(q11_check="4"), "b")
    room.grade("b")
    table = pd.read_csv(room.course / "marks.csv", dtype=str, encoding="utf-8-sig")
    assert table[["student", "number", "total"]].values.tolist() == [
        ["Kim Roe", "7", "4"],
        ["Kim Lee", "8", "2"],
    ]


def test_a_failed_grading_replaces_nothing_and_is_told(room, monkeypatch):
    room.hand_in("kim", answers({"q31-answer": TEXT}, q11_check="4"))
    room.grade()
    room.by_hand("kim", {"q31-answer": 5})
    room.hand_in("kim", answers({"q31-answer": TEXT}, q11_check="5"))
    monkeypatch.setattr(Quick, "fails", ("kim",))
    room.grade()
    row = room.rows()["kim"]
    assert (row["total"], row["to grade by hand"]) == (
        "9",
        "",
    ) and "the last grading failed: out of memory" in row["notes"]
    monkeypatch.setattr(Quick, "fails", ())
    room.grade()  # the same files, once more
    row = room.rows()["kim"]
    assert row["total"] == "10" and "failed" not in row["notes"]


def test_a_damaged_second_hand_in_replaces_nothing(room):
    room.hand_in("kim", answers(q11_check="4"))
    room.grade()
    shutil.rmtree(room.path / "in" / "kim")
    (room.path / "in" / "kim.zip").write_bytes(b"PK\x03\x04 and no more")
    room.grade()
    assert room.rows()["kim"]["total"] == "4" and "failed" in room.rows()["kim"]["notes"]


# One key ----------------------------------------------------------------------------------------------------
def test_a_grading_takes_the_options_of_the_last_one_or_says_what_differs(room, capsys):
    room.hand_in("kim", answers(q11_check="4"))
    assert room.grade("in", "--epochs", "1", "--seconds", "99") == 0
    room.hand_in("lee", answers(q11_check="5"))
    assert room.grade() == 0
    options = key.remembered(room.course)["options"]
    assert (options["epochs"], options["seconds"], options["data"]) == (1, 99, "digits")
    capsys.readouterr()
    assert room.grade("in", "--data", "mnist", "--variants") == 2
    said = capsys.readouterr().err
    assert (
        "data was digits, is mnist" in said
        and "variants was False, is True" in said
        and "REGRADE=1" in said
    )
    assert said.count("\n") == 1 and key.remembered(room.course)["options"] == options


def test_with_another_key_all_that_is_kept_is_graded_again_and_points_by_hand_stay(room, capsys):
    room.hand_in("kim", answers({"q31-answer": TEXT}, q11_check="4"), "a")
    room.grade("a")
    room.hand_in("lee", answers(q11_check="5"), "b")
    room.grade("b")
    room.by_hand("kim", {"q31-answer": 4})
    shutil.rmtree(room.path / "a")
    monkey = {"q11-check": 3}

    def fewer(name, book):
        for cell in book.cells:
            if cell.metadata.get("nbgrader", {}).get("grade_id") in monkey:
                cell.metadata.nbgrader.points = monkey[cell.metadata.nbgrader.grade_id]

    room.changed(fewer)
    room.hand_in("max", answers(q11_check="3"), "c")
    assert room.grade("c") == 2 and "checks: q11-check" in capsys.readouterr().err
    Quick.graded.clear()
    assert room.grade("c", "--regrade") == 0
    assert sorted(Quick.graded) == ["kim", "lee", "max"]
    rows = room.rows()
    assert {who: row["total"] for who, row in rows.items()} == {"kim": "7", "lee": "3", "max": "3"}
    assert rows["kim"]["to grade by hand"] == "" and not any(
        marks.OLDER_KEY in row["notes"] for row in rows.values()
    )
    Quick.graded.clear()
    assert room.call("grade", "--regrade", "--unsafe") == 0 and len(Quick.graded) == 3


def test_marks_of_an_older_key_are_told_where_a_regrading_stopped_or_failed(
    room, capsys, monkeypatch
):
    for who in ("kim", "lee"):
        room.hand_in(who, answers(q11_check="4"))
    room.grade()
    monkeypatch.setattr(Quick, "fails", ("kim",))
    room.grade("in", "--epochs", "2", "--regrade")
    rows = room.rows()
    assert marks.OLDER_KEY in rows["kim"]["notes"] and marks.OLDER_KEY not in rows["lee"]["notes"]
    assert "Graded with an older key: kim" in (room.course / "class.html").read_text("utf-8")
    facts = marks.known(room.course)
    marks.learn(room.course, "lee", key="another")  # as after a stop
    assert room.grade() == 2 and "1 students have marks of an older key" in capsys.readouterr().err
    assert facts["lee"]["key"] == key.short(key.remembered(room.course))


@pytest.mark.parametrize("part", ["checks", "hand-out", "code", "versions", "data"])
def test_each_part_of_the_key_counts(room, part):
    options = program.parser_of().parse_args(["grade"])
    key.settle(options, {})
    one = key.key_of(room.made, options)
    other = {**one, part: {**one[part], "something": "else"}}
    assert key.short(one) != key.short(other) and [
        line for line in key.differences(one, other) if "something" in line
    ]


# Questions come and go --------------------------------------------------------------------------------------
def cell_of(book, name):
    return next((cell for cell in book.cells if cell.id == name), None)


def test_a_question_may_be_added_removed_and_renamed(room, capsys):
    room.hand_in(
        "kim",
        answers(
            {"q31-answer": TEXT, "q32-answer": OTHER, "q33-answer": OTHER + TEXT}, q11_check="4"
        ),
    )
    room.grade()
    room.by_hand("kim", {"q31-answer": 4, "q32-answer": 3, "q11-check": 5})

    def change(name, book):
        if name == THREE:
            book.cells.remove(cell_of(book, "q32-answer"))
            text = cell_of(book, "q31-answer")
            text.id = text.metadata.nbgrader.grade_id = "q31-explained"
            meta = {
                **cell_of(book, "q32-check").metadata.nbgrader,
                "grade_id": "q34-check",
                "points": 7,
            }
            book.cells.append(
                new_code_cell("helpers.award(7, q34)", id="q34-check", metadata={"nbgrader": meta})
            )

    room.changed(change)
    one, three = answers(q11_check="4").values()
    three.cells += [
        new_markdown_cell(TEXT, id="q31-explained"),
        new_code_cell("bonus_gates = 2 # 6 points for q34-check"),
    ]
    room.hand_in("lee", {ONE: one, THREE: three})
    assert room.grade() == 2
    assert "q34-check" in capsys.readouterr().err
    assert room.grade("in", "--regrade") == 0
    rows = room.rows()
    assert rows["lee"]["Q3.4"] == "6"
    assert list(rows["lee"]).index("Q3.4") + 1 == list(rows["lee"]).index("total")
    assert (
        rows["kim"]["Q1.1"] == "5"
        and "q32-answer is no question any more; by hand it had 3" in rows["kim"]["notes"]
    )
    assert (
        "q31-answer" in marks.known(room.course)["kim"]["by hand"]
    )  # under that name there is no answer any more
    one, three = answers({"q31-explained": TEXT}, q11_check="4").values()
    room.hand_in("kim", {ONE: one, THREE: three})
    assert room.grade() == 0
    assert room.rows()["kim"]["total"] == "5"
    assert (room.course / "gradebook-before.db").exists()


def test_a_renamed_question_keeps_its_points(room):
    """The name in the student's notebook is the old one; the text is found by its place, so the answer is the same."""
    before = {THREE: page({"q31-answer": TEXT})}
    now = {THREE: page({"q31-why": TEXT, "q32-answer": OTHER})}
    said = marks.under_new_names(
        {"q31-answer": [4, None, False, None]},
        ["q31-why", "q32-answer"],
        marks.Answers(before, now, set()),
    )
    assert {name: each.points for name, each in said.items()} == {"q31-why": 4}


def page(texts):
    cells = []
    for name, text in texts.items():
        meta = {
            "grade": True,
            "solution": True,
            "grade_id": name,
            "points": 5,
            "schema_version": 3,
            "locked": False,
        }
        cells.append(new_markdown_cell(text, metadata={"nbgrader": meta}))
    return nbformat.v4.new_notebook(cells=cells)


# Out of the course ------------------------------------------------------------------------------------------
@pytest.mark.pages
@pytest.mark.parametrize("wanted", ["Kim Lee_7", "7", "Kim_Lee_7"])
def test_forget_removes_one_student_and_all_else_goes_on(room, capsys, wanted):
    room.hand_in("Kim Lee_7_assignsubmission_file_", answers({"q31-answer": TEXT}, q11_check="4"))
    room.hand_in("Max Roe_8_assignsubmission_file_", answers(q11_check="5"))
    room.grade()
    if wanted == "Kim Lee_7":
        assert (
            room.call("forget", wanted) == 2 and "Kim_Lee_7 or Max_Roe_8" in capsys.readouterr().err
        )
        wanted = "Kim Lee"
    assert room.call("forget", wanted) == 0
    assert list(room.rows()) == ["Max Roe"]
    left = [path for path in room.course.rglob("*Kim*") if "collected" not in path.name]
    assert not left and "Kim" not in (room.course / "facts.json").read_text("utf-8")
    assert room.call("marks") == 0
    assert room.call("forget", "8") == 0 and not (room.course / "marks.csv").exists()
    assert room.call("marks") == 2 and "nothing is graded yet" in capsys.readouterr().err
    assert room.grade() == 0 and len(room.rows()) == 2


# What goes back ---------------------------------------------------------------------------------------------
def test_marks_open_in_a_spreadsheet_and_hold_no_formula(room):
    room.hand_in("=cmd()", answers(q11_check="4"))
    room.hand_in("Zoë", answers(q11_check="4"))
    room.grade()
    raw = (room.course / "marks.csv").read_bytes()
    assert raw.startswith(b"\xef\xbb\xbf") and "Zoë".encode() in raw
    marks.learn(room.course, "Zoë", notes=["two\nlines", "=1+1"])
    room.call("marks")
    table = pd.read_csv(
        room.course / "marks.csv", dtype=str, keep_default_na=False, encoding="utf-8-sig"
    )
    assert not any(
        cell.startswith(("=", "+", "-", "@")) or "\n" in cell for cell in table.values.ravel()
    )


@pytest.mark.pages
def test_only_pages_that_have_changed_are_written_again(room):
    for who in ("kim", "lee"):
        room.hand_in(who, answers({"q31-answer": TEXT if who == "kim" else OTHER}, q11_check="4"))
    room.grade()
    pages = sorted((room.course / "feedback").rglob("*.html"))
    before = {path: path.stat().st_mtime_ns for path in pages}
    room.by_hand("lee", {"q31-answer": 1}, comment="too short")
    assert room.call("marks") == 0
    written = {path.parts[-3] for path in pages if path.stat().st_mtime_ns != before[path]}
    assert written == {"lee"} and len(pages) == 4
    assert "too short" in next(
        path for path in pages if path.parts[-3] == "lee" and THREE in path.name
    ).read_text("utf-8")


@pytest.mark.pages
def test_pages_have_a_language_and_links_that_say_where_they_lead(room):
    room.hand_in("kim", answers({"q31-answer": TEXT}, q11_check="4"))
    room.grade()
    for page in (room.course / "feedback").rglob("*.html"):
        text = page.read_text("utf-8")
        assert '<html lang="en">' in text
        table = re.search(r'<div id="toc">.*?</div>', text, re.S)[0]
        links = re.findall(r"<a href[^>]*>([^<]*)</a>", table)
        assert (
            links
            and all(re.match(r"(Q\d|bonus)", link) for link in links)
            and "Test cell" not in links
        )
    seen = nbformat.read(
        room.course / "autograded" / "kim" / ASSIGNMENT / f"{THREE}.ipynb", as_version=4
    )
    places = [
        place
        for place, cell in enumerate(seen.cells)
        if cell.metadata.get("nbgrader", {}).get("grade")
    ]
    titles = [seen.cells[place - 1].source for place in places]
    assert titles[0] == "### Q3.1: the text" and "### Q3.3: the check" in titles


@pytest.mark.pages
def test_feedback_goes_back_by_number_as_moodle_and_canvas_take_it(room):
    for number in (7, 8):
        room.hand_in(f"Kim Lee_{number}_assignsubmission_file_", answers(q11_check=number - 4), "a")
    room.grade("a")
    place = room.path / "b"
    for who, attachment in (("leekim_111", 900), ("leekim_LATE_222", 901)):
        nbformat.write(
            answers(q11_check="4")[ONE], hand_in(place, {}) / f"{who}_{attachment}_{ONE}.ipynb"
        )
    room.grade("b")
    with zipfile.ZipFile(room.course / "feedback.zip") as archive:
        names = archive.namelist()
    assert len(set(names)) == len(names) and f"Kim Lee_7_assignsubmission_file_/{ONE}.html" in names
    with zipfile.ZipFile(room.course / "feedback-canvas.zip") as archive:
        names = sorted(archive.namelist())
    assert names == [f"leekim_111_900_{ONE}.html", f"leekim_LATE_222_901_{ONE}.html"]
    for name in names:  # Canvas takes the first two parts that are numbers
        assert [part for part in name.split("_") if part.isdigit()][:2] in (
            ["111", "900"],
            ["222", "901"],
        )
    table = pd.read_csv(
        room.course / "marks.csv", dtype=str, keep_default_na=False, encoding="utf-8-sig"
    )
    assert dict(zip(table["number"], table["late"], strict=True))["222"] == "late"


@pytest.mark.pages
def test_a_group_is_graded_once_and_has_a_row_and_pages_for_each(room):
    notebooks = answers({"q31-answer": TEXT}, q11_check="4")
    for number in (1, 2):
        room.hand_in(f"Group A-Name {number}_{number}_assignsubmission_file_", notebooks)
    room.hand_in("Group B-Name 3_3_assignsubmission_file_", answers(q11_check="5"))
    room.grade()
    assert len(Quick.graded) == 2
    rows = room.rows()
    assert {who: row["total"] for who, row in rows.items()} == {
        "Group A-Name 1": "4",
        "Group A-Name 2": "4",
        "Group B-Name 3": "5",
    }
    with zipfile.ZipFile(room.course / "feedback.zip") as archive:
        assert len({name.split("/")[0] for name in archive.namelist()}) == 3
    assert not class_report.similar(room.course)


# The class --------------------------------------------------------------------------------------------------
def test_nothing_in_the_class_report_stops_the_marks(room, monkeypatch):
    room.hand_in("kim", answers({"q31-answer": "? ? ? ? ? ? ? ?"}, q11_check="4"))
    assert room.grade() == 0
    assert "could not be made" not in (room.course / "class.html").read_text("utf-8")
    monkeypatch.setattr(class_report, "similar", lambda course: 1 / 0)
    assert room.call("marks") == 0
    text = (room.course / "class.html").read_text("utf-8")
    assert "could not be made: ZeroDivisionError" in text and "Time" in text and "src=" not in text


FILLER = " ".join(f"word{n} that fills another line of this long answer" for n in range(30))


def test_texts_that_resemble_each_other_are_found_whatever_surrounds_them(room):
    given = next(
        cell.source
        for cell in marks.pages_in(room.made / "release" / ASSIGNMENT)[THREE].cells
        if "Q3.1" in cell.source
    )
    ours = class_report.texts_in(room.made / "source" / ASSIGNMENT)["q31-answer"]
    chinese = "循环神经网络在所有行之间共享它的权重,而卷积网络在图像的不同位置之间共享权重,"
    chinese += "因此它们都比全连接网络少得多的参数。"
    texts = {
        "a": TEXT, "b": FILLER + TEXT.upper(), "c": OTHER, "d": chinese, "e": "我认为" + chinese, "f": "? ?",
        "g": given + " " + TEXT[::-1], "h": given + " " + OTHER[::-1], "i": ours, "j": "It is " + ours,
    }  # fmt: skip
    for who, text in texts.items():
        room.hand_in(who, answers({"q31-answer": text}))
    room.grade()
    pairs = {(pair.one, pair.other) for pair in class_report.similar(room.course)}
    assert pairs == {("a", "b"), ("d", "e"), ("i", class_report.OURS), ("j", class_report.OURS)}


def test_all_pairs_over_the_bound_are_listed(room):
    for who in "abcdefghij":
        room.hand_in(
            who, answers({"q31-answer": TEXT}, q11_check=str("abcdefghij".index(who) / 10))
        )
    room.grade()
    assert len(class_report.similar(room.course)) == 45
    assert "45 pairs" in (room.course / "class.html").read_text("utf-8")


# Variants ---------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("written", "name", "same"),
    [
        ("Jane Doe", "doejane", True),
        ("Doe, Jane", "doejane", True),
        ("Ana María Núñez", "núñezanamaría", True),
        ("Jane Doe", "Group 1-Jane Doe", True),
        ("Ana Nunez", "Group 1-Núñez Ana", True),
        ("Jane Roe", "doejane", False),
        ("", "doejane", False),
        ("Jane", "doejane", False),
    ],
)
def test_a_name_is_known_in_what_an_lms_makes_of_it(written, name, same):
    assert same_person(written, name) == same


def test_the_variant_is_that_of_the_name_as_the_student_writes_it_or_there_is_a_note(
    room, monkeypatch
):
    chosen = {}
    grade = Quick.grade
    monkeypatch.setattr(
        Quick,
        "grade",
        lambda self, each: chosen.update({each.number: each.student}) or grade(self, each),
    )
    place = hand_in(room.path / "in", {})
    for who, written in (("doejane_1_9", "Jane Doe"), ("roerick_2_9", "Somebody Else")):
        notebook = answers(q11_check="4")[ONE]
        notebook.cells.insert(0, new_code_cell(f"student = {written!r}"))
        nbformat.write(notebook, place / f"{who}_{ONE}.ipynb")
    room.grade("in", "--variants")
    assert chosen == {"1": "Jane Doe", "2": "roerick"}
    notes = {row["number"]: row["notes"] for row in room.rows().values()}
    assert "student = 'Somebody Else'" in notes["2"] and "student =" not in notes["1"]


def test_a_group_works_with_the_name_of_any_member(monkeypatch):
    monkeypatch.setattr(
        program, "notebooks_of", lambda *_: None
    )  # reads the names that are written
    jane, kim = named("Jane Doe", "a folder"), named("Kim Roe", "a folder")
    submission = Submission(jane)
    submission.members, submission.group = [jane, kim], "Team"
    for written, chosen in (
        ("Roe, Kim", "Roe, Kim"),
        ("JANE DOE", "JANE DOE"),
        ("Ana", "Jane Doe"),
    ):
        submission.written = {written}
        assert program.chosen_name(submission, SimpleNamespace(notebooks={}, known={})) == chosen
    assert len(submission.told) == 1 and "student = 'Ana'" in submission.told[0]


def test_collect_writes_the_table_and_stops_at_a_question(room, capsys):
    room.hand_in("kim", answers(q11_check="4"))
    assert room.call("collect", room.path / "in") == 0
    out = capsys.readouterr().out
    assert "kim/01_gate_settings.ipynb" in out and (room.course / "collected.csv").exists()
    room.hand_in("Kim", answers(q11_check="5"))
    for action in (["collect"], ["grade", "--unsafe"]):
        assert room.call(*action, room.path / "in") == 2
        said = capsys.readouterr()
        assert (
            "file,student\n  kim,kim" in said.err and str(room.path / "in" / "who.csv") in said.err
        )
    assert not (room.course / "marks.csv").exists()
    assert not Quick.graded


def test_feedback_state_is_another_one_for_other_points(room):
    room.hand_in("kim", answers({"q31-answer": TEXT}))
    room.grade()
    with marks.book(room.course) as gradebook:
        before = feedback.state_of(room.course, "kim", gradebook)
    room.by_hand("kim", {"q31-answer": 2})
    with marks.book(room.course) as gradebook:
        assert feedback.state_of(room.course, "kim", gradebook) != before
