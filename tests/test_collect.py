"""Who handed in what: exports of six systems, folders and zips, and a class of 300 with forty odd ones."""

import io
import itertools
import random
import unicodedata
import zipfile

import nbformat
import pytest

from teaching import Refused, who
from teaching.archives import files_in
from teaching.handout import NAMES, UNGRADED, make_course
from teaching.submissions import WHO, by_file_name, collect
from teaching.tables import read_table
from teaching.versions import notebooks_of

ONE, TWO, THREE = NAMES


@pytest.fixture(scope="module")
def course(tmp_path_factory):
    return make_course(tmp_path_factory.mktemp("course"), epochs=1)


@pytest.fixture(scope="module")
def handout(course):
    return who.HandOut(course)


@pytest.fixture(scope="module")
def solved(course):
    """The bytes of our own notebooks."""
    return {name: (course / "source" / "gates" / f"{name}.ipynb").read_bytes() for name in NAMES}


def notebook(*sources):
    cells = [
        nbformat.v4.new_code_cell(source, id=f"own-{place}") for place, source in enumerate(sources)
    ]
    return nbformat.writes(nbformat.v4.new_notebook(cells=cells)).encode()


def work(mark):
    """A small notebook with answers to notebook 1, different for each mark."""
    return notebook(f"q11_lstm = {{'f': 0}}  # {mark}", "q11_gru = {'z': 0}")


def zipped(**files):
    """The bytes of a zip; double underscores in names stand for a slash, a dict for what is in it."""
    return zip_of({name.replace("__", "/"): content for name, content in files.items()})


def zip_of(files, when=(2026, 1, 5, 12, 0, 0)):
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name, when), content)
    return target.getvalue()


def lay(place, files):
    """Write files below a folder; returns the folder."""
    place.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        path = place / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return place


def found(place, **options):
    """dict from (name, number) to the number of files, when nothing is unclear."""
    collection = collect(place, **options)
    assert not collection.unclear, collection.unclear
    return {(each.name, each.number): len(each.work) for each in collection.submissions}


# The systems' own rules -------------------------------------------------------------------------------------
MOODLE = {
    f"First Last_12345_assignsubmission_file_/{ONE}.ipynb": ("First Last", "12345"),
    f"Ana María Núñez_12346_assignsubmission_file/{ONE}.ipynb": ("Ana María Núñez", "12346"),
    "Jörg Weiß_12347_assignsubmission_onlinetext_/onlinetext.html": ("Jörg Weiß", "12347"),
    f"Zoë O'Neil_77_assignsubmission_file_{ONE}.ipynb": ("Zoë O'Neil", "77"),
    f"Teilnehmerin_78_assignsubmission_file_/{ONE}.ipynb": ("Teilnehmerin", "78"),
    f"Participant_79_assignsubmission_file_/{ONE}.ipynb": ("Participant", "79"),
}
CANVAS = {
    f"doejane_111_900_{ONE}.ipynb": ("doejane", "111"),
    "roerichard_LATE_7_901_homework.zip": ("roerichard", "7"),
    f"李雷_10000000000123_902_{ONE}-1.ipynb": ("李雷", "10000000000123"),
    "leekim_112_text.html": ("leekim", "112"),
}
CANVAS_ANONYMOUS = {
    f"anon_aB3dE_900_{ONE}.ipynb": ("anon aB3dE", "aB3dE"),
    f"LATE_anon_12345_901_{ONE}.ipynb": ("anon 12345", "12345"),
}
BLACKBOARD = {
    f"Homework 1_jdoe_attempt_2026-01-05-10-11-12_{ONE}.ipynb": ("jdoe", "jdoe"),
    "Homework 1_rroe_attempt_2026-01-05-10-11-12.txt": ("rroe", "rroe"),
    f"Homework 1_s0123_attempt_2026-01-05-10-11-12_{ONE}.ipynb": ("s0123", "s0123"),
}
ILIAS = {
    f"Abgaben/Doe_Jane_jdoe_501/{ONE}.ipynb": ("Doe Jane", "501"),
    f"Abgaben/von Roe_Rick_rroe_502/{ONE}.ipynb": ("von Roe Rick", "502"),
}
GRADESCOPE = {
    f"assignment_1_export/submission_9001/{ONE}.ipynb": ("Jane Doe", "s1"),
    f"assignment_1_export/submission_9002/{ONE}.ipynb": ("Rick Roe", "s2"),
}
GITHUB = {
    f"gates-submissions/gates-janedoe/{ONE}.ipynb": ("gates-janedoe", ""),
    f"gates-submissions/gates-rroe/{ONE}.ipynb": ("gates-rroe", ""),
}
PLAIN = {
    f"anna/{ONE}.ipynb": ("anna", ""),
    f"李 雷/work/{ONE}.ipynb": ("李 雷", ""),
    f"=cmd()/{ONE}.ipynb": ("=cmd()", ""),
    f"kim_{ONE}.ipynb": ("kim", ""),
    f"ben@x.org/{ONE}.ipynb": ("ben@x.org", ""),
    "12345.zip": ("12345", ""),
}
METADATA = b"""---
submission_9001:
  :submitters:
  - :name: Jane Doe
    :sid: s1
    :email: jane@x.org
submission_9002:
  :submitters:
  - :name: Rick Roe
    :sid: s2
    :email: rick@x.org
"""


def contents(names):
    """Different content for each name, and a zip where the name says so."""
    files = {name: work(name) for name in names}
    return {
        name: zip_of({f"{ONE}.ipynb": text}) if name.endswith(".zip") else text
        for name, text in files.items()
    }


@pytest.mark.parametrize("packed", [False, True], ids=["unpacked", "a zip"])
@pytest.mark.parametrize(
    "names",
    [MOODLE, CANVAS, CANVAS_ANONYMOUS, BLACKBOARD, ILIAS, GRADESCOPE, GITHUB, PLAIN],
    ids=[
        "Moodle",
        "Canvas",
        "Canvas, anonymous",
        "Blackboard",
        "ILIAS",
        "Gradescope",
        "GitHub Classroom",
        "plain",
    ],
)
def test_each_system_is_read_by_its_own_rules(tmp_path, names, packed):
    files = contents(names)
    if names is GRADESCOPE:
        files["assignment_1_export/submission_metadata.yml"] = METADATA
    if packed:
        files = {"export.zip": zip_of(files)}
    place = lay(tmp_path / "submissions", files)
    expected = {}
    for person in names.values():
        expected[person] = expected.get(person, 0) + 1
    assert found(place) == expected
    if packed:  # the zip itself may be named
        assert found(place / "export.zip") == expected


def test_what_lies_beside_an_export_is_nobodys_and_no_question(tmp_path):
    files = contents(MOODLE) | {
        "Grades-Course.csv": b"Identifier,Grade\n",
        "notes.txt": b"",
        ".DS_Store": b"",
    }
    collection = collect(lay(tmp_path, files))
    assert len(collection.submissions) == len(MOODLE) and not collection.unclear
    assert sorted(file.path for file in collection.nobodys) == ["Grades-Course.csv", "notes.txt"]


def test_two_exports_side_by_side_are_one_class(tmp_path):
    files = {"moodle.zip": zip_of(contents(MOODLE)), "canvas.zip": zip_of(contents(CANVAS))}
    assert len(found(lay(tmp_path, files))) == len(MOODLE) + len(CANVAS)


def test_a_number_is_a_person_of_its_own_system_only(tmp_path):
    files = {"m.zip": zip_of({f"Lee Kim_111_assignsubmission_file_/{ONE}.ipynb": work(1)})}
    files["c.zip"] = zip_of({f"leekim_111_900_{ONE}.ipynb": work(2)})
    assert found(lay(tmp_path, files)) == {("Lee Kim", "111"): 1, ("leekim", "111"): 1}


def test_two_of_one_name_are_two(tmp_path):
    files = {f"Kim Lee_{n}_assignsubmission_file_/{ONE}.ipynb": work(n) for n in (1, 2)}
    submissions = collect(lay(tmp_path, files)).submissions
    assert [each.key for each in submissions] == ["Kim_Lee_1", "Kim_Lee_2"]


def test_blackboard_says_who_a_login_with_an_underscore_is(tmp_path):
    start = "Homework_1_kim_lee_attempt_2026-01-05-10-11-12"
    files = {
        f"{start}_{ONE}.ipynb": work(1),
        f"{start}.txt": b"Name: Kim Lee (kim_lee)\nAssignment: Homework_1\n",
    }
    files["Homework_1_roe_attempt_2026-01-05-10-11-12_a.ipynb"] = work(2)
    assert found(lay(tmp_path, files)) == {("Kim Lee", "kim_lee"): 2, ("roe", "roe"): 1}


def test_what_lies_in_a_students_own_zip_says_nothing_of_who_it_is(tmp_path):
    inside = zip_of({f"roerichard_222_assignsubmission_file_/{ONE}.ipynb": work(1)})
    files = {"doejane_111_900_homework.zip": inside, f"roerichard_222_901_{ONE}.ipynb": work(2)}
    assert found(lay(tmp_path, files)) == {("doejane", "111"): 1, ("roerichard", "222"): 1}


@pytest.mark.parametrize("ending", [".zip", ""])
def test_a_surname_a_year_and_a_number_are_not_canvas(tmp_path, ending):
    for style in (
        ("lee_2025_001_homework", "lee_2025_002_homework"),
        ("lee_2025_101_hw", "kim_2025_102_hw"),
    ):
        files = {}
        for name in style:
            text = work(name)
            files |= (
                {f"{name}.zip": zip_of({f"{ONE}.ipynb": text})}
                if ending
                else {f"{name}/{ONE}.ipynb": text}
            )
        assert len(found(lay(tmp_path / style[0], files))) == 2


def test_two_submitters_of_gradescope_are_a_group(tmp_path):
    files = {f"export/submission_{n}/{ONE}.ipynb": work(n) for n in (1, 2)}
    both = "submission_1:\n  :submitters:\n  - :name: A\n    :sid: s1\n  - :name: B\n    :sid: s2\n"
    files["export/submission_metadata.yml"] = (
        f"{both}submission_2:\n  :submitters:\n  - :name: C\n".encode()
    )
    first, second = collect(lay(tmp_path, files)).submissions
    assert first.group == "A and B" and [member.number for member in first.members] == ["s1", "s2"]
    assert (second.name, second.number) == ("C", "2")


def test_accents_in_another_form_are_the_same_name(tmp_path):
    folders = [unicodedata.normalize(form, "Jörg Weiß") for form in ("NFC", "NFD")]
    place = lay(tmp_path, {f"{folder}/{ONE}.ipynb": work(n) for n, folder in enumerate(folders)})
    ((_, line),) = questions(place).items()
    (place / WHO).write_text(f"file,student\n{line}\n", encoding="utf-8")
    assert found(place) == {("Jörg Weiß", ""): 1}


def test_a_folder_per_notebook_is_a_question_and_each_student_one(tmp_path, handout):
    texts = {ONE: lambda n: work(n), TWO: lambda n: notebook(f"experiments = [{n}]")}
    files = {
        f"{name}/{who}.ipynb": texts[name](who) for name in (ONE, TWO) for who in ("anna", "ben")
    }
    place = lay(tmp_path, files)
    assert set(questions(place, handout.which())) == {ONE, TWO}
    (place / WHO).write_text(f"file,student\n{ONE},*\n{TWO},*\n")
    assert found(place, which=handout.which()) == {("anna", ""): 2, ("ben", ""): 2}


@pytest.mark.parametrize(
    "wrapper", ["Abgaben", "gates-submissions", "assignment_1_export", "Homework 1 submissions"]
)
def test_an_only_student_in_a_folder_of_submissions_is_one(tmp_path, wrapper):
    assert set(found(lay(tmp_path, {f"{wrapper}/kim/{ONE}.ipynb": work(1)}))) == {("kim", "")}


# One folder too high, or too deep ---------------------------------------------------------------------------
@pytest.mark.parametrize("above", ["submissions/", "a/b/", "Abgaben/"])
def test_a_folder_too_high_is_looked_through(tmp_path, above):
    files = {f"{above}{name}/{ONE}.ipynb": work(name) for name in ("anna", "ben", "cleo")}
    assert set(found(lay(tmp_path, files))) == {("anna", ""), ("ben", ""), ("cleo", "")}


def test_so_is_a_zip_of_the_folder(tmp_path):
    inside = {f"class/{name}.zip": zip_of({f"{ONE}.ipynb": work(name)}) for name in ("anna", "ben")}
    assert set(found(lay(tmp_path, {"class.zip": zip_of(inside)}))) == {("anna", ""), ("ben", "")}


@pytest.mark.parametrize(
    "names",
    [
        [f"homework/{ONE}.ipynb"],
        [f"{ONE}.ipynb", f"{TWO}.ipynb"],
        [f"drafts/{ONE}.ipynb", f"final/{ONE}.ipynb"],
        [f"{ONE}.ipynb", f"old/{ONE}.ipynb"],
        [f"q1/{ONE}.ipynb", f"q2/{TWO}.ipynb"],
    ],
)
def test_one_students_zip_is_one_student(tmp_path, names):
    files = {name: work(name) for name in names}
    lay(tmp_path, {"kim.zip": zip_of(files)})
    assert found(tmp_path / "kim.zip") == {("kim", ""): len(names)}
    assert found(lay(tmp_path / "lee", {f"lee/{name}": text for name, text in files.items()})) == {
        ("lee", ""): len(names)
    }


def test_the_folder_itself_may_be_a_students(tmp_path):
    place = lay(
        tmp_path / "kim",
        {f"{ONE}.ipynb": work(1), f"{TWO}.ipynb": work(2), f"drafts/{ONE}.ipynb": work(3)},
    )
    assert found(place) == {("kim", ""): 3}


def test_files_of_any_name_in_an_only_folder_are_a_question(tmp_path, handout):
    place = lay(tmp_path, {"class/anna.ipynb": work(1), "class/ben.ipynb": work(2)})
    (unclear,) = collect(place, handout.which()).unclear
    assert unclear.line == "class,*"
    (place / WHO).write_text("file,student\nclass,*\n")
    assert set(found(place, which=handout.which())) == {("anna", ""), ("ben", "")}
    lay(
        place / "b",
        {"kim/anna.ipynb": work(1), "kim/ben.ipynb": work(2), f"lee/{ONE}.ipynb": work(3)},
    )
    assert set(found(place / "b", which=handout.which())) == {("kim", ""), ("lee", "")}  # versions


def test_a_class_in_one_of_several_folders_is_a_question(tmp_path):
    files = {f"monday/{name}/{ONE}.ipynb": work(name) for name in ("anna", "ben")} | {
        f"cleo/{ONE}.ipynb": work(3)
    }
    place = lay(tmp_path, files)
    (unclear,) = collect(place).unclear
    assert unclear.path == "monday" and unclear.line == "monday,*"
    (place / WHO).write_text(f"file,student\n{unclear.line}\n")
    assert set(found(place)) == {("anna", ""), ("ben", ""), ("cleo", "")}
    (place / WHO).write_text("file,student\nmonday,monday\n")
    assert set(found(place)) == {("monday", ""), ("cleo", "")}


# What is not clear, and the line that decides ---------------------------------------------------------------
def questions(place, which=by_file_name):
    return {unclear.path: unclear.line for unclear in collect(place, which).unclear}


def test_a_second_hand_in_is_a_question_unless_it_is_the_same(tmp_path):
    place = lay(
        tmp_path, {"kim.zip": zip_of({f"{ONE}.ipynb": work(1)}), f"kim/{ONE}.ipynb": work(1)}
    )
    assert found(place) == {("kim", ""): 1}
    lay(place, {f"kim/{ONE}.ipynb": work(2)})
    ((path, line),) = questions(place).items()
    assert path in ("kim", "kim.zip") and line == f"{path},-"
    (place / WHO).write_text(f"file,student\n{line}\n")
    assert found(place) == {("kim", ""): 1}
    (place / WHO).write_text(
        "file,student\nkim,kim\nkim.zip,kim\n"
    )  # both count: the newer notebook will
    assert found(place) == {("kim", ""): 2}


def test_two_exports_with_one_student_are_a_question(tmp_path):
    export = {
        f"Kim Lee_1_assignsubmission_file_/{ONE}.ipynb": work(1),
        f"A B_2_assignsubmission_file_/{ONE}.ipynb": work(2),
    }
    newer = export | {f"Kim Lee_1_assignsubmission_file_/{ONE}.ipynb": work(3)}
    place = lay(tmp_path, {"a.zip": zip_of(export), "b.zip": zip_of(newer)})
    assert questions(place) == {
        "b.zip/Kim Lee_1_assignsubmission_file_": "b.zip/Kim Lee_1_assignsubmission_file_,-"
    }


@pytest.mark.parametrize(
    "names",
    [("Kim Lee", "kim lee"), ("kim", "kim (1)"), ("kim", "kim - Copy"), ("Lee, Kim", "Kim Lee")],
)
def test_names_that_differ_by_little_are_a_question(tmp_path, names):
    place = lay(tmp_path, {f"{name}/{ONE}.ipynb": work(name) for name in names})
    ((path, _),) = questions(place).items()
    (place / WHO).write_text(f'file,student\n"{path}",another\n')
    assert {name for name, _ in found(place)} == {"another", *names} - {path}


def test_names_of_emoji_only_are_two(tmp_path):
    place = lay(tmp_path, {f"{name}/{ONE}.ipynb": work(name) for name in "🦊🐼"})
    keys = {each.name: each.key for each in collect(place).submissions}
    assert len(set(keys.values())) == 2
    alone = collect(lay(tmp_path / "b", {f"🐼/{ONE}.ipynb": work(2)})).submissions
    assert [each.key for each in alone] == [keys["🐼"]]


@pytest.mark.parametrize("archive", ["cy.tar.gz", "di.7z", "ed.rar"])
def test_an_archive_that_is_not_opened_has_a_row_and_is_a_question(tmp_path, archive):
    place = lay(tmp_path, {archive: b"?", f"anna/{ONE}.ipynb": work(1), f"ben/{archive}": b"?"})
    name = archive.split(".")[0]
    assert questions(place) == {
        archive: f"{archive},{name}",
        f"ben/{archive}": f"ben/{archive},ben",
    }
    (place / WHO).write_text(f"file,student\n{archive},{name}\nben/{archive},ben\n")
    assert set(found(place)) == {("anna", ""), ("ben", ""), (name, "")}


def test_a_file_that_names_nobody_is_a_question(tmp_path):
    place = lay(
        tmp_path, {f"{ONE}.ipynb": work(1), f"anna/{ONE}.ipynb": work(2), "thesis.pdf": b"%PDF"}
    )
    assert set(questions(place)) == {f"{ONE}.ipynb", "thesis.pdf"}
    (place / WHO).write_text(f"file,student\n{ONE}.ipynb,ben\nthesis.pdf,-\n")
    assert found(place) == {("anna", ""): 1, ("ben", ""): 1}


def test_an_export_beside_a_students_own_folder_is_a_question(tmp_path):
    place = lay(tmp_path, {"late.zip": zip_of(contents(MOODLE)), f"anna/{ONE}.ipynb": work(2)})
    assert questions(place) == {"late.zip": "late.zip,*"}
    (place / WHO).write_text("file,student\nlate.zip,*\n")
    assert len(found(place)) == len(MOODLE) + 1


def test_groups_are_graded_once_where_moodle_names_them_for_everybody(tmp_path):
    members = {
        f"Group {g}-Name {n}_{n}_assignsubmission_file_/{ONE}.ipynb": work(g)
        for n, g in ((1, 1), (2, 1), (3, 2))
    }
    submissions = {each.name: each for each in collect(lay(tmp_path, members)).submissions}
    assert [member.number for member in submissions["Group 1"].members] == ["1", "2"]
    assert len(submissions) == 2 and len(submissions["Group 1"].work) == 1


def test_same_files_of_some_who_share_a_first_name_are_a_question(tmp_path):
    names = ["Anna-Lena Meier_1", "Anna-Maria Roth_2", "Ben Roe_3"]
    place = lay(
        tmp_path,
        {f"{n}_assignsubmission_file_/{ONE}.ipynb": work(n if "Ben" in n else 0) for n in names},
    )
    lines = questions(place)
    assert len(lines) == 2
    (place / WHO).write_text("\n".join(["file,student,group", *lines.values()]))
    assert [each.name for each in collect(place).submissions] == ["Anna", "Ben Roe"]
    (place / WHO).write_text(
        "\n".join(["file,student", *(line.rsplit(",", 1)[0] for line in lines.values())])
    )
    assert len(found(place)) == 3


def test_the_teachers_list_may_come_from_excel_and_names_its_columns(tmp_path):
    place = lay(tmp_path, {f"ä;b/{ONE}.ipynb": work(1), f"c/{ONE}.ipynb": work(2)})
    (place / WHO).write_bytes('file;student;group\r\n"ä;b";Ä;\r\n'.encode("utf-8-sig"))
    assert set(found(place)) == {("Ä", ""), ("c", "")}
    (place / WHO).write_text("Datei,Name\na,b\n")
    with pytest.raises(Refused, match="file,student"):
        collect(place)


# What can't be read -----------------------------------------------------------------------------------------
@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2])
def test_a_damaged_zip_costs_its_own_student_only(tmp_path, handout, method):
    for name in ("kim", "lee"):
        with zipfile.ZipFile(tmp_path / f"{name}.zip", "w", method) as archive:
            archive.writestr(f"{ONE}.ipynb", random.Random(0).randbytes(3000).hex())
    whole = (tmp_path / "kim.zip").read_bytes()
    for place in range(30, len(whole), 397):
        (tmp_path / "kim.zip").write_bytes(
            whole[:place] + bytes([whole[place] ^ 255]) + whole[place + 1 :]
        )
        collection = collect(tmp_path)
        assert [each.name for each in collection.submissions] == [
            "kim",
            "lee",
        ] and not collection.unclear
        for each in collection.submissions:
            assert notebooks_of(each, handout.notebooks, handout.known)[0] == {}


def test_a_bomb_of_zips_costs_no_time_and_its_own_student_only(tmp_path, monkeypatch):
    import teaching.archives

    monkeypatch.setattr(teaching.archives, "MOST_UNPACKED", 10_000)
    monkeypatch.setattr(teaching.archives, "MOST_FILES", 50)
    read = []
    monkeypatch.setattr(
        teaching.archives, "opened", lambda file, member: read.append(file) or io.BytesIO(b"")
    )
    inner = zip_of({f"{n}.txt": b"0" * 4000 for n in range(5)})
    lay(
        tmp_path,
        {
            "a.zip": zip_of({f"{n}.zip": inner for n in range(9)}),
            "b.zip": zip_of(dict.fromkeys(map(str, range(99)), b"")),
        },
    )
    troubles = {file.parts[0]: file.trouble for file in files_in(tmp_path) if file.trouble}
    assert "too large" in troubles["a.zip"] and "more than 50 files" in troubles["b.zip"]
    assert len(read) <= 1


def test_a_link_is_told_and_not_followed(tmp_path):
    lay(tmp_path, {f"secret/{ONE}.ipynb": work(1)})
    place = lay(tmp_path / "s", {f"anna/{ONE}.ipynb": work(2)})
    (place / "ben").symlink_to(tmp_path / "secret")
    submissions = {each.name: each for each in collect(place).submissions}
    assert not submissions["ben"].work and "a link" in submissions["ben"].trouble[0]


# A class of 300 ---------------------------------------------------------------------------------------------
FIRST = [
    "Anna",
    "Ben",
    "Cleo",
    "Dan",
    "Eve",
    "Finn",
    "Gwen",
    "Hal",
    "Ida",
    "Jon",
    "Kim",
    "Léa",
    "Max",
    "Nora",
    "Olaf",
    "Pia",
    "Quin",
    "Rosa",
    "Sam",
    "Zoë",
]
LAST = [
    "Abel",
    "Braun",
    "Costa",
    "Diaz",
    "Ek",
    "Fox",
    "Garcia",
    "Hall",
    "Ito",
    "Jansen",
    "Khan",
    "Lee",
    "Müller",
    "Novak",
    "O'Neil",
]


def test_of_a_class_of_300_nobody_is_lost_and_nobody_there_twice(tmp_path, handout, solved):
    people = [f"{first} {last}" for first, last in itertools.product(FIRST, LAST)]
    assert len(people) == 300
    files, odd = {}, {}
    for number, name in enumerate(people, 1000):
        files[f"{name}_{number}_assignsubmission_file_/{ONE}.ipynb"] = work(number)
    names = iter([(name, number) for number, name in enumerate(people, 1000)][::7])

    def strange(content, expected, folder="{}_{}_assignsubmission_file_"):
        """Replace what the next one handed in."""
        name, number = next(names)
        del files[f"{name}_{number}_assignsubmission_file_/{ONE}.ipynb"]
        for path, text in content.items():
            files[f"{folder.format(name, number)}/{path}"] = text
        odd[str(number)] = expected

    mine = solved[ONE]
    blank = (handout.notebooks[ONE], nbformat.writes(handout.notebooks[ONE]).encode())[1]
    whole = nbformat.v4.new_notebook(
        cells=[c for n in NAMES for c in nbformat.reads(solved[n].decode(), 4).cells]
    )
    for place, cell in enumerate(whole.cells):
        cell.id = f"cell-{place}"
    three = {f"{name}.ipynb": text for name, text in solved.items()}
    strange(three, NAMES)
    strange({"homework.ipynb": nbformat.writes(whole).encode()}, NAMES)
    strange({"homework.zip": zip_of(three)}, NAMES)
    strange({"a.zip": zip_of({"b.zip": zip_of({"c.zip": zip_of(three)})})}, NAMES)
    strange(
        {
            f"{ONE}.ipynb.txt": mine,
            f"{TWO}.ipynb.json": solved[TWO],
            f"{THREE}.json": solved[THREE],
        },
        NAMES,
    )
    strange({f"{ONE}.ipynb": mine.decode().encode("utf-16")}, [ONE])
    strange({f"{ONE}.ipynb": b"\xef\xbb\xbf" + mine}, [ONE])
    strange({f"Copy of {ONE} (3).IPYNB": mine}, [ONE])
    strange({"untitled.ipynb": mine}, [ONE])
    strange({f"deep/er/est/{ONE}.ipynb": mine}, [ONE])
    strange({f"drafts/{ONE}.ipynb": blank, f"{ONE}.ipynb": mine}, [ONE])
    strange({f"{ONE}.ipynb": blank}, [ONE])
    strange(
        {f"{ONE}.ipynb": notebook("import pandas", "2 + 2")}, [ONE]
    )  # another course's: a person has to look
    strange({f"{ONE}.ipynb": notebook()}, [])
    strange({f"{ONE}.ipynb": b""}, [])
    strange({f"{ONE}.ipynb": mine[:5000]}, [])
    strange({f"{ONE}.ipynb": b"<html>not found</html>"}, [])
    strange({"report.pdf": b"%PDF"}, [])
    strange({f"{ONE}.py": b"q11_lstm = {}"}, [])
    strange({"homework.zip": b"PK\x03\x04 and no more"}, [])
    strange({"homework.zip": zip_of({})}, [])
    strange({f".ipynb_checkpoints/{ONE}-checkpoint.ipynb": mine, f"{ONE}.ipynb": mine}, [ONE])
    strange({f"__MACOSX/._{ONE}.ipynb": b"\0", f"{ONE}.ipynb": mine}, [ONE])
    strange(
        {f"{ONE}.ipynb": mine, "coursework/cells.py": b"", "helpers.py": b"", "README.md": b""},
        [ONE],
    )
    strange({f"Somebody Else_1000_assignsubmission_file_/{ONE}.ipynb": mine}, [ONE])
    strange({f"doejane_1001_900_{ONE}.ipynb": mine}, [ONE])
    strange({f"{ONE}.ipynb": mine}, [ONE], "{}_{}_assignsubmission_file")
    strange({"onlinetext.html": b"<p>see above</p>"}, [], "{}_{}_assignsubmission_onlinetext_")
    strange({f"{ONE}.ipynb": mine, f"{ONE}-Copy1.ipynb": mine}, [ONE])
    strange({f"{TWO}.ipynb": mine}, [ONE])  # under the wrong name
    strange({f"{ONE}.ipynb": solved[TWO], f"{TWO}.ipynb": mine}, [ONE, TWO])  # exchanged
    strange({"q1.ipynb": notebook("q11_lstm = {'f': 0}")}, [ONE])
    strange(
        {"all.ipynb": notebook("q11_lstm = {'f': 0}", "experiments = [1]", "bonus_gates = 1")},
        NAMES,
    )
    strange(
        {
            "x.tar": b"?",
            f"{ONE}.ipynb": mine,
            f"{TWO}.ipynb": solved[TWO],
            f"{THREE}.ipynb": solved[THREE],
        },
        NAMES,
    )
    strange({'a;b,c"d/' + f"{ONE}.ipynb": mine}, [ONE])
    strange({"=cmd()/" + f"{ONE}.ipynb": mine}, [ONE])
    strange({"文件/" + f"{ONE}.ipynb": mine}, [ONE])
    strange({f"{ONE}.ipynb": mine.replace(b"\n", b"\r\n")}, [ONE])
    strange({f"{ONE}.ipynb": mine, "data.json": b'{"a": 1}', "big.csv": b"1,2\n" * 9}, [ONE])
    strange({f"{ONE}.ipynb": mine, "log.txt": b"{not a notebook"}, [ONE])
    locked = bytearray(zip_of({f"{ONE}.ipynb": mine}))
    locked[6] |= 1  # as with a password
    locked[locked.find(b"PK\x01\x02") + 8] |= 1
    strange({"homework.zip": bytes(locked)}, [])
    assert len(odd) == 41

    place = lay(tmp_path / "in", {"export.zip": zip_of(files)})
    collection = collect(place, handout.which())
    assert not collection.unclear and not collection.nobodys
    assert sorted(each.number for each in collection.submissions) == [
        str(1000 + n) for n in range(300)
    ]
    rows = who.rows_of(collection, handout, {})
    for each in collection.submissions:
        wanted = list(odd.get(each.number, [ONE]))
        taken, notes = notebooks_of(each, handout.notebooks, handout.known)
        assert list(taken) == wanted, (each.name, each.number, notes)
        noise = [note for note in notes if "was not handed in" not in note]
        assert each.number in odd or not noise, noise
    who.write(rows, collection, tmp_path / "collected.csv")
    table = read_table(tmp_path / "collected.csv")
    assert {row for row in table.rows[2]} == {str(1000 + n) for n in range(300)}
    assert not any(cell.startswith("=") for cell in table.rows.values.ravel())


# Which version ----------------------------------------------------------------------------------------------
def versions(tmp_path, handout, files, dates=()):
    place = lay(tmp_path, {})
    with zipfile.ZipFile(place / "kim.zip", "w") as archive:
        for (name, text), when in zip(
            files.items(), dates or itertools.repeat((2026, 1, 5, 12, 0, 0)), strict=False
        ):
            archive.writestr(zipfile.ZipInfo(name, when), text)
    (place / WHO).write_text("file,student\nkim.zip,kim\n")
    (submission,) = collect(place / "kim.zip", handout.which()).submissions
    _, notes = notebooks_of(submission, handout.notebooks, handout.known)
    return {
        name: submission.names[file] for file, names in submission.counts.items() for name in names
    }, notes


OLD, NEW = (2026, 1, 4, 12, 0, 0), (2026, 1, 6, 12, 0, 0)


def test_finished_beats_noted(tmp_path, handout, solved):
    draft = nbformat.reads(solved[ONE].decode(), 4)
    for note in (
        "still wrong",
        "ask Ben",
        "try z = 1",
        "look at the second equation again, it can't be right",
    ):
        draft.cells.append(nbformat.v4.new_markdown_cell(note))
    files = {f"drafts/{ONE}.ipynb": nbformat.writes(draft).encode(), f"{ONE}.ipynb": solved[ONE]}
    chosen, notes = versions(tmp_path, handout, files, (OLD, NEW))
    assert chosen == {ONE: f"{ONE}.ipynb"}
    assert [note for note in notes if ONE in note and "not 'drafts/" in note]


def test_newest_beats_older_and_more_answers_beat_newer(tmp_path, handout, solved):
    other = solved[ONE].replace(b"q11_lstm", b"q11_lstm ", 1)
    files = {"a.ipynb": solved[ONE], "b.ipynb": other}
    assert versions(tmp_path / "1", handout, files, (OLD, NEW))[0] == {ONE: "b.ipynb"}
    assert versions(tmp_path / "2", handout, files, (NEW, OLD))[0] == {ONE: "a.ipynb"}
    blank = nbformat.writes(handout.notebooks[ONE]).encode()
    assert versions(
        tmp_path / "3", handout, {"a.ipynb": solved[ONE], "b.ipynb": blank}, (OLD, NEW)
    )[0] == {ONE: "a.ipynb"}


def test_no_note_without_a_choice_and_a_true_one_with_it(tmp_path, handout, solved):
    files = {f"{name}.ipynb": text for name, text in solved.items()}
    assert versions(tmp_path / "1", handout, files)[1] == []
    renamed = {f"Copy of {name} (1).ipynb": text for name, text in solved.items()}
    assert versions(tmp_path / "2", handout, renamed)[1] == []
    same = files | {f"again/{ONE}.ipynb": solved[ONE]}
    assert versions(tmp_path / "3", handout, same)[1] == []
    chosen, (note,) = versions(
        tmp_path / "4", handout, files | {f"old/{ONE}.ipynb": work(1)}, [OLD] * 3 + [NEW]
    )
    assert chosen[ONE] == f"{ONE}.ipynb" and note.startswith(
        f"{ONE}: '{ONE}.ipynb' is taken (5 answers, 2026-01-04"
    )
    assert f"not 'old/{ONE}.ipynb' (2 answers, 2026-01-06" in note


def test_all_in_one_keeps_its_code_and_gives_no_text_of_another_notebook(tmp_path, handout, solved):
    whole = nbformat.v4.new_notebook(
        cells=[c for n in NAMES for c in nbformat.reads(solved[n].decode(), 4).cells]
    )
    lay(tmp_path, {"kim/homework.ipynb": nbformat.writes(whole).encode()})
    (submission,) = collect(tmp_path, handout.which()).submissions
    taken, notes = notebooks_of(submission, handout.notebooks, handout.known)
    assert list(taken) == NAMES and not notes
    code = {cell.source for cell in whole.cells if cell.cell_type == "code"}
    for name, book in taken.items():
        assert code == {cell.source for cell in book.cells if cell.cell_type == "code"}
        texts = {
            cell.source
            for other in NAMES
            if other != name
            for cell in handout.notebooks[other].cells
        }
        own = {cell.source for cell in handout.notebooks[name].cells}
        markdown = {cell.source for cell in book.cells if cell.cell_type == "markdown"}
        assert not markdown & (texts - own)


def test_a_text_in_another_file_has_a_note(tmp_path, handout, solved):
    blank = {f"{name}.ipynb": nbformat.writes(handout.notebooks[name]).encode() for name in NAMES}
    _, notes = versions(tmp_path / "1", handout, blank | {"answers to Q3.pdf": b"%PDF"})
    assert notes == ["not read, though a text is missing: 'answers to Q3.pdf'"]
    full = {f"{name}.ipynb": text for name, text in solved.items()}
    assert versions(tmp_path / "2", handout, full | {"plot.png": b"", "README.md": b""})[1] == []


def test_a_notebook_that_answers_a_question_of_another_one_does_not_replace_it(
    tmp_path, handout, solved
):
    three = nbformat.reads(solved[THREE].decode(), 4)
    three.cells.append(nbformat.v4.new_code_cell("experiments = [1]\nexperiment_results = {1: 2}"))
    files = {f"{TWO}.ipynb": solved[TWO], f"{THREE}.ipynb": nbformat.writes(three).encode()}
    assert versions(tmp_path, handout, files, (OLD, NEW))[0] == {
        TWO: f"{TWO}.ipynb",
        THREE: f"{THREE}.ipynb",
    }


@pytest.mark.parametrize("name", ["{}.ipynb", "practice/{} (1).ipynb", "mine.ipynb"])
def test_a_notebook_without_points_changes_nothing(tmp_path, handout, solved, name):
    """Whatever it is called, and even if a name in it is that of an answer."""
    (path,) = UNGRADED
    extra = nbformat.read(path, as_version=4)
    extra.cells.append(nbformat.v4.new_code_cell("experiments = q11_lstm = [1]"))
    extra = {name.format(path.stem): nbformat.writes(extra).encode()}
    full = {f"{each}.ipynb": text for each, text in solved.items()}
    assert versions(tmp_path / "1", handout, full | extra) == versions(
        tmp_path / "2", handout, full
    )
    one = {f"{ONE}.ipynb": solved[ONE]}
    assert versions(tmp_path / "3", handout, one | extra) == versions(tmp_path / "4", handout, one)


def test_the_name_of_a_notebook_without_points_is_no_persons(tmp_path):
    (path,) = UNGRADED
    lay(tmp_path / "kim", {f"{ONE}.ipynb": work(1), path.name: b"{}"})
    assert found(tmp_path / "kim") == {("kim", ""): 2}
    lay(tmp_path / "all", {f"kim_{ONE}.ipynb": work(1), f"kim_{path.name}": b"{}"})
    assert found(tmp_path / "all") == {("kim", ""): 2}
