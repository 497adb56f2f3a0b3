"""Talks: what is asked of whom, whether the answers are right, and that nobody is left out.

The answers are held against the networks asked row by row, layer by layer, without our own tracing and reading.
"""

import argparse
import random
import re
import shutil

import numpy as np
import pytest
import sympy as sp
import teachers
from situations import ONE, put
from teachers import Quick, answers

import helpers
from coursework.files import ROOT
from coursework.practice import own_answer, own_task
from coursework.store import model_path, stored
from teaching import kinds, oral, sandbox, talk, talk_figures, talk_gates, talk_work, work
from teaching.cells import read
from teaching.grading import Grader, Grading
from teaching.handout import ASSIGNMENT
from teaching.values import written

made, room = teachers.made, teachers.room  # fixtures
PICTURES = ("digits", "reading", "curves", "bars", "interval", "lines")
SETTINGS = {"z_keeps": 1, "seed": 0, "epochs": 3}
Q1 = {
    "q11_lstm": {"f": 0, "i": 1, "U": 0},
    "q11_gru": {"z": 0, "r": 0},
    "q12_lstm": {"f": 1, "i": 0},
    "q12_gru": {"z": 1},
    "q13_counterexample": {
        **{"x": sp.Rational(1, 4), "h_prev": sp.Rational(-1, 2), "c_prev": -1},
        **{"w": 1, "u": 2, "b": 0, "z": 0, "r": 0},
    },
}


@pytest.fixture(scope="module")
def data():
    return helpers.load_data("digits")


@pytest.fixture(scope="module")
def results(data):
    """Two small networks, which get some digits wrong."""
    recipe = {"epochs": 3, "seed": 0, **helpers.recipe_for(data)}
    experiments = [helpers.Experiment(family, **recipe) for family in ("LSTM", "GRU")]
    return helpers.train_all(experiments, data, 1)


@pytest.fixture(scope="module")
def handed_in(results, data):
    return talk_work.Work({**Q1, "experiments": [*results]}, SETTINGS, data)


def after(network, images, rows):
    """The classes that a network gives after so many rows: its layers, one after the other, on no more."""
    value = images[:, :rows]
    for layer in network.model.layers:
        value = layer(value)
    return np.asarray(value).argmax(-1)


def asked(name, handed_in, seeds=40):
    """(question, network, numbers in the question, numbers in the answer), of some draws of a kind; undrawn."""
    for seed in range(seeds):
        with pytest.MonkeyPatch.context() as patch:
            for picture in PICTURES:
                patch.setattr(talk_figures, picture, lambda *_: "UE5H")
            question = talk.MAKERS[name](handed_in, random.Random(seed))
        if question:
            labels = [label for label in handed_in.networks if label in question.asks]
            network = handed_in.networks[labels[0]] if labels else None
            yield question, network, numbers(question.asks), numbers(question.answer)


def numbers(text):
    return [float(number) for number in re.findall(r"-?\d+(?:\.\d+)?", text)]


def image_in(question):
    return int(re.search(r"[Tt]est image (\d+)", question.asks)[1])


# Is it right? --------------------------------------------------------------------------------------------------------
def test_reading_early_and_blanking_are_what_the_network_does(handed_in, data):
    for question, network, _, answer in asked("early", handed_in, 6):
        back = int(re.search(r"read at T - (\d)", question.asks)[1])
        x, y = data.x_test, data.y_test
        blank = x.copy()
        blank[:, 28 - back :] = 0
        shares = [
            (after(network, *how) == y).mean() for how in ((x, 28 - back), (blank, 28), (x, 28))
        ]
        assert f"gets {shares[0]:.3f} of" in question.asks
        assert (
            answer[0] == pytest.approx(shares[1], abs=6e-4)
            and f"{shares[2]:.3f}" in question.answer
        )
        word = "More" if shares[1] > shares[0] else "Less" if shares[1] < shares[0] else "The same"
        assert question.answer.startswith(word)


def test_the_row_at_which_the_right_class_is_left(handed_in, data):
    found = 0
    for question, network, _, answer in asked("leave", handed_in, 8):
        image = image_in(question)
        classes = [int(after(network, data.x_test[[image]], rows)[0]) for rows in range(1, 29)]
        true, last = data.y_test[image], int(answer[0])
        assert classes[last - 1] == true and true not in classes[last:] and last < 28
        found += 1
    assert found


def test_the_row_from_which_on_nothing_changes(handed_in, data):
    for question, network, _, answer in asked("settle", handed_in, 6):
        image, row = image_in(question), int(answer[0])
        classes = [int(after(network, data.x_test[[image]], rows)[0]) for rows in range(1, 29)]
        assert set(classes[row - 1 :]) == {data.y_test[image]} and classes[row - 2] != classes[-1]
        ink = int(re.search(r"ends in row (\d+)", question.asks)[1])
        assert data.x_test[image, ink - 1].any() and not data.x_test[image, ink:].any()
        assert ("after the last ink" in question.answer) == (row > ink)


def test_blank_rows_below_a_digit(handed_in, data):
    for question, network, _, answer in asked("longer", handed_in, 4):
        more = int(re.search(r"Now (\d+) blank", question.asks)[1])
        longer = np.pad(data.x_test, ((0, 0), (0, more), (0, 0)))
        classes = after(network, longer, 28 + more)
        assert classes[image_in(question)] == answer[0]
        assert f"{(classes == data.y_test).mean():.3f} are right" in question.answer


def test_where_two_networks_part(handed_in, data):
    one, other = handed_in.networks.values()
    found = 0
    for question, _, _, answer in asked("apart", handed_in, 8):
        image = data.x_test[[image_in(question)]]
        differ = [
            after(one, image, rows)[0] != after(other, image, rows)[0] for rows in range(1, 29)
        ]
        row = int(answer[0])
        assert all(differ[row - 1 :]) and (row == 1 or not differ[row - 2])
        found += 1
    assert found


def test_states_are_the_same_where_the_rows_are(handed_in, data):
    for question, network, _, answer in asked("same", handed_in, 6):
        images = [int(each) for each in re.search(r"(\d+) and (\d+)", question.asks).groups()]
        rows = int(answer[0])
        states = [
            np.asarray(network.layer(data.x_test[images][:, :end])) for end in (rows, rows + 1)
        ]
        assert np.array_equal(*states[0]) and not np.array_equal(*states[1])
        assert np.linalg.norm(states[0][0]) == pytest.approx(answer[1 + 1], abs=6e-3)


def test_a_step_and_a_half_life_can_be_computed_from_what_is_said(handed_in, data):
    for name in ("step", "half"):
        for question, _, _, _ in asked(name, handed_in, 12):
            said = {
                word: float(value)
                for word, value in re.findall(r"\b(\w+) (?:=|is) (-?\d\.\d+)", question.asks)
            }
            if name == "half":
                (value,) = said.values()
                rows = float(re.search(r"= (.*) rows", question.answer)[1])
                assert 2 ** (-1 / rows) == pytest.approx(value, abs=0.02)
            elif "c_prev" in said:
                new = said["f"] * said["c_prev"] + said["i"] * said["g"]
                assert float(question.answer.split("= ")[1][:-1]) == pytest.approx(new, abs=0.05)
            else:
                new = said["z"] * said["h_prev"] + (1 - said["z"]) * said["g"]
                assert float(question.answer.split("= ")[1][:-1]) == pytest.approx(new, abs=0.02)


def test_a_step_is_one_of_the_network(handed_in, data):
    for question, network, _, _ in asked("step", handed_in, 12):
        unit, row = (int(re.search(rf"{word} (\d+)", question.asks)[1]) for word in ("unit", "row"))
        if "h_prev" in question.asks:
            image = data.x_test[[image_in(question)]]
            h = [
                float(np.asarray(network.layer(image[:, :end]))[0, unit - 1])
                for end in (row - 1, row)
            ]
            assert f"h_prev = {h[0]:.2f}" in question.asks and f"= {h[1]:.2f}." in question.answer


def test_the_numbers_that_a_layer_learns(handed_in):
    for question, network, _, _ in asked("weights", handed_in, 6):
        assert f"{network.layer.count_params():,}" in question.answer


def test_two_networks_are_compared_on_all_images(handed_in, data):
    one, other = handed_in.networks.values()
    right = {each.label: after(each, data.x_test, 28) == data.y_test for each in (one, other)}
    for question, *_ in asked("gap", handed_in, 4):
        for label, others in ((one.label, other.label), (other.label, one.label)):
            only = int((right[label] & ~right[others]).sum())
            assert f"{only} only {label}" in question.answer
            assert f"{label} {right[label].mean():.4f}" in question.asks


@pytest.mark.parametrize("z_keeps", [1, 0])
def test_a_changed_gate_is_judged_by_the_mathematics(data, z_keeps):
    """`ways` says what holds: which of the gates of the sheet's settings may be set otherwise."""
    swapped = {
        "q11_gru": {"z": 1 - 0 if not z_keeps else 0, "r": 0},
        "q12_gru": {"z": int(z_keeps)},
    }
    mine = talk_work.Work(Q1 | swapped, {**SETTINGS, "z_keeps": z_keeps}, data)
    seen = set()
    for question, *_ in asked("change", mine, 120):
        change = re.search(r"Now (\w+) is (free|1/2|0)", question.asks).groups()
        cell = "LSTM" if "LSTM" in question.asks else "GRU"
        place = (question.asks[:4], cell, *change)
        seen.add(place)
        holds = place in {
            ("Q1.1", "LSTM", "i", "1/2"),
            ("Q1.2", "GRU", "r", "0"),
        }
        assert question.answer.startswith("Yes" if holds else "No"), question
    assert len(seen) >= 12


@pytest.mark.parametrize("right", [True, False])
def test_a_cell_of_ones_own_is_asked_about_as_it_was_answered(data, right):
    for student in ("Kim Lee", "Jane Doe", "Max Roe"):
        for memory in "hc":
            task = own_task(student, memory)
            answer = own_answer(task)
            wrong = {task.cell.gate_names[0]: 0.3} if isinstance(answer, dict) else "impossible"
            given = {f"q14_{memory}": answer if right else wrong}
            mine = talk_work.Work(given, {**SETTINGS, "student": student}, data)
            (question, *_) = next(asked("own", mine))
            assert f"remembers {memory}" in question.asks and question.picture
            if not isinstance(answer, dict):
                assert question.answer == f"It is impossible: {task.solution.why}."
            elif right:
                name = re.search(r"Let (\w+) be 1/2", question.asks)[1]
                still = helpers.check_gates(task.cell, task.behaviour, {**answer, name: 0.5})
                assert question.answer.startswith("Yes" if still else "No")
            else:
                assert "It lacks" in question.answer


def test_the_picture_of_a_setting_follows_the_equations():
    """A stored input makes both runs one; a kept state stays."""
    rows = np.linspace(-1, 1, 5)
    gates = {"f": np.zeros(5), "i": np.ones(5), "U": np.zeros(5), "o_prev": np.ones(5)}
    one, other = (talk_gates.one_unit("LSTM", gates, rows, start) for start in (0.9, -0.6))
    assert np.array_equal(one[1:], other[1:]) and np.allclose(one[1:], np.tanh(rows))
    kept = {"z": np.ones(5), "r": rows, "U": np.ones(5)}
    assert np.array_equal(talk_gates.one_unit("GRU", kept, rows, 0.9), np.full(6, 0.9))


def test_a_wrong_setting_is_asked_about_as_it_is(data):
    mine = talk_work.Work({"q12_gru": {"z": 0}}, SETTINGS, data)
    (question, *_) = next(asked("change", mine))
    assert (
        "z = 0" in question.asks
        and "does not accept" in question.asks
        and "erases" in question.answer
    )


# For whom? -----------------------------------------------------------------------------------------------------------
def test_everybody_gets_five_different_questions_and_others_than_anybody_else(handed_in):
    sheets = [talk.sheet(handed_in, f"student {number}") for number in range(6)]
    for sheet in sheets:
        asks = [question["asks"] for question in sheet["questions"]]
        assert len(set(asks)) == 5 and all(question["picture"] for question in sheet["questions"])
        abouts = {kinds.KINDS[question["kind"]].about for question in sheet["questions"]}
        assert abouts == set(kinds.ABOUT)
    assert len({str(sheet["questions"]) for sheet in sheets}) == 6
    assert talk.sheet(handed_in, "student 3") == sheets[3]


def test_every_kind_has_its_question_and_is_handed_out():
    assert set(kinds.KINDS) == set(talk.MAKERS)
    page = (ROOT / "docs" / "teaching.md").read_text(encoding="utf-8")
    rows = [f"| {kind.about} | {kind.words} |" for kind in kinds.KINDS.values()]
    assert "\n".join(rows) in page


@pytest.mark.parametrize(
    ("given", "lines"),
    [
        ({}, ["Nothing of Q1", "No experiments", "No network to ask about."]),
        (Q1, ["No experiments", "No network to ask about."]),
        ({"experiments": "all of them"}, ["No experiments", "No network to ask about."]),
        ({"experiments": ...}, ["No experiments", "No network to ask about."]),
        ({"q11_lstm": {"f": "no"}, "q13_counterexample": {"x": 1}}, ["No network to ask about."]),
    ],
)
def test_who_has_no_networks_gets_other_questions_and_a_line(data, given, lines):
    sheet = talk.sheet(talk_work.Work(given, SETTINGS, data), "kim")
    assert len({question["asks"] for question in sheet["questions"]}) == 5
    for line in lines:
        assert any(line in said for said in sheet["lines"])


def test_half_of_the_networks_are_asked_about_and_the_others_named(results, data):
    (lstm, _) = results
    mine = talk_work.Work({"experiments": {lstm}}, SETTINGS, data)
    assert list(mine.networks) == ["LSTM 32"]
    assert "LSTM 64, LSTM 128, LSTM 3 x 32, GRU 32" in mine.lines[-1]
    asks = " ".join(question["asks"] for question in talk.sheet(mine, "kim")["questions"])
    assert "LSTM 32" in asks and "GRU 32" not in asks


def test_the_networks_of_notebook_3_are_found_without_notebook_2(results, data):
    mine = talk_work.Work({"q33_accuracies": [0.5] * 5}, SETTINGS, data)
    assert set(mine.networks) == {"LSTM 32", "GRU 32"}


@pytest.mark.parametrize("what", ["no numbers", "another network", "a damaged file"])
def test_a_broken_network_is_named_and_nothing_else_stops(results, data, monkeypatch, what):
    lstm, gru = results
    result = stored(gru, data)
    weights = result.model.get_weights()
    if what == "no numbers":
        result.model.set_weights([np.full_like(each, np.nan) for each in weights])
    elif what == "another network":
        result = type(result)(gru, result.history, stored(lstm, data).path, False)
    else:
        result = type(result)(gru, result.history, result.path.with_name("nothing.keras"), False)
    find = {lstm: stored(lstm, data), gru: result}
    monkeypatch.setattr(talk_work, "stored", lambda experiment, data: find[experiment])
    mine = talk_work.Work({"experiments": [lstm, gru]}, SETTINGS, data)
    assert list(mine.networks) == ["LSTM 32"] and any(
        "GRU 32 can't be used" in line for line in mine.lines
    )
    assert len(talk.sheet(mine, "kim")["questions"]) == 5


def test_a_damaged_file_is_told(data):
    experiment = helpers.Experiment("GRU", 64, epochs=3, **helpers.recipe_for(data))
    path = model_path(experiment, data)
    path.write_bytes(b"PK and no more")
    mine = talk_work.Work({"experiments": [experiment]}, SETTINGS, data)
    path.unlink()
    assert not mine.networks and "GRU 64 can't be used: the file is damaged." in mine.lines


# The command ---------------------------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def walled(tmp_path_factory):
    return sandbox.works(tmp_path_factory.mktemp("walls"))


@pytest.fixture
def talks(room, results, data, walled, monkeypatch):
    """A graded class, with what a grading has left of it; call it to write the pages."""
    for who in ("Kim", "Lee", "Max", "Ola <b>"):
        room.hand_in(who, answers(q11_check="4"))
    room.grade("in", "--epochs", "3")
    left = {"Kim": {**Q1, "experiments": [*results]}, "Lee": Q1, "Max": {}}
    for who, given in left.items():
        base = room.path / "left" / who
        work.write_answers(
            base, None, {"check": {name: written(each) for name, each in given.items()}}
        )
        if who == "Kim":
            for result in results.values():
                (base / work.MODELS).mkdir(parents=True, exist_ok=True)
                for path in (result.path, result.path.with_suffix(".json")):
                    shutil.copy(path, base / work.MODELS)
        work.keep(room.course, who, base)
    return lambda: room.call("oral", *([] if walled else ["--unsafe"]))


def test_a_page_a_student_computed_where_submissions_are_opened(talks, room, capsys):
    capsys.readouterr()
    assert talks() == 0
    said = capsys.readouterr().out
    assert all(kind.words in said for kind in kinds.KINDS.values())
    page = (room.course / "oral.html").read_text("utf-8")
    sections = {part[: part.index("</h1>")]: part for part in page.split("<h1>")[1:]}
    assert list(sections) == ["Kim", "Lee", "Max", "Ola &lt;b&gt;"]
    assert all(section.count("<article>") == 5 for section in sections.values())
    assert "GRU 32" in sections["Kim"] and "No network to ask about: LSTM 64" in sections["Kim"]
    assert "No experiments of notebook 2" in sections["Lee"] and "Q1.1" in sections["Lee"]
    assert "Graded before" in sections["Ola &lt;b&gt;"] and "Ola <b>: Graded before" in said
    assert "http" not in page and "<script" not in page
    assert talks() == 0 and (room.course / "oral.html").read_text("utf-8") == page


@pytest.mark.pages
def test_nothing_of_a_talk_is_in_the_feedback(talks, room):
    before = {path: path.read_bytes() for path in (room.course / "feedback").rglob("*.html")}
    assert before and talks() == 0 and room.call("marks") == 0
    assert {
        path: path.read_bytes() for path in (room.course / "feedback").rglob("*.html")
    } == before


def test_equal_sheets_are_drawn_again(talks, room, monkeypatch):
    def draw(grader, who, student, answers, people):
        turn = people[0].rpartition(" ")[2]
        question = dict.fromkeys(oral.PARTS, turn) | {"kind": "step", "asks": f"question {turn}"}
        return [{"questions": [question], "lines": []} for _ in people]

    monkeypatch.setattr(oral, "draw", draw)
    assert talks() == 0
    page = (room.course / "oral.html").read_text("utf-8")
    assert sorted(re.findall(r"question \d", page)) == [f"question {turn}" for turn in range(4)]


def test_another_installation_is_refused_in_a_line(talks, room, capsys, monkeypatch):
    monkeypatch.setattr(oral.key, "versions", lambda: {"keras": "9"})
    capsys.readouterr()
    assert talks() == 2
    said = capsys.readouterr().err
    assert (
        "keras was" in said and said.count("\n") == 1 and not (room.course / "oral.html").exists()
    )


def test_talks_before_a_grading_are_refused(room, capsys):
    assert room.call("oral") == 2 and "nothing is graded yet" in capsys.readouterr().err


def test_who_is_forgotten_is_on_no_page(talks, room):
    assert talks() == 0 and room.call("forget", "Kim") == 0
    assert not (room.course / "oral.html").exists() and work.of(room.course, "Kim") is None


def test_a_grading_leaves_the_answers_that_counted(made, tmp_path, walled):
    """By the real grader; a wrong first try above the right answer does not count."""
    options = argparse.Namespace(data="digits", epochs=1, variants=False, unsafe=not walled)
    vars(options).update(cell_seconds=60, seconds=300, memory_mib=3000)
    book = read((made / "source" / ASSIGNMENT / f"{ONE}.ipynb").read_bytes())
    put(book, "playground", "")
    put(book, "parameters", 'q12_gru = {"z": 0.25}\ndata = "auto"\nseed = 0')
    with Grader(made, tmp_path / "place", options) as grader:
        Grading(grader, "kim", "", []).pages({ONE: book})
        work.keep(tmp_path / "course", "kim", grader.place / "kim")
    student, left = work.of(tmp_path / "course", "kim")
    assert student == "" and left["q12_gru"] == written({"z": 1}) and "q13_counterexample" in left


def test_the_last_grading_that_came_to_its_end_is_talked_about(room, monkeypatch):
    """What stands for the grader leaves a new answer with each grading."""
    grade = Quick.grade

    def leave(grader, submission):
        given = {"check": {"q12_gru": written({"z": len(Quick.graded)})}}
        work.write_answers(grader.place / submission.key, "", given)
        return grade(grader, submission)

    monkeypatch.setattr(Quick, "grade", leave)
    for points, fails, left in (("4", (), 0), ("5", ("kim",), 0), ("3", (), 2)):
        room.hand_in("kim", answers(q11_check=points))
        monkeypatch.setattr(Quick, "fails", fails)
        room.grade()
        assert work.of(room.course, "kim") == ("", {"q12_gru": written({"z": left})})


@pytest.mark.browser
def test_each_student_has_one_sheet_of_paper(handed_in, data, tmp_path):
    from playwright.sync_api import sync_playwright

    wrong = {
        "q12_gru": {"z": 0, "r": "text " * 30},
        "q13_counterexample": {"x": 0.1234567891234 * 3},
    }
    worst = talk_work.Work(wrong, SETTINGS, data)
    sheets = []
    for number in range(8):
        drawn = talk.sheet(handed_in if number % 2 else worst, str(number))
        lines = [*drawn["lines"], *["A line that is as long as they get. " * 12] * 6]
        sheets.append(oral.Sheet("Name " * 6, "12345", lines, drawn["questions"]))
    (tmp_path / "oral.html").write_text(oral.page(sheets), encoding="utf-8")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        page = browser.new_page()
        page.goto((tmp_path / "oral.html").as_uri())
        pdf = page.pdf(prefer_css_page_size=True)
        browser.close()
    assert len(re.findall(rb"/Type\s*/Page\b", pdf)) == len(sheets)
