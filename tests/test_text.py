"""The ground floor: what is shown to the reader, files that are whole or not there, verdicts and points."""

import csv
import os
import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conftest import cases, python
from coursework import files, text, verdicts
from coursework.verdicts import Verdict, answered, award


@pytest.fixture
def shown(monkeypatch):
    """The outputs of `say` and `show_table`, as dicts from their kind."""
    outputs = []
    monkeypatch.setattr(text, "display", lambda data, raw: outputs.append(data))
    return outputs


def test_marks_become_spans_and_nothing_else_does(shown):
    text.say(
        f"a < b: {text.measured(0.5, '.0%')}, {text.measured('GRU & co')} ({text.measured(-1.5)})."
    )
    (output,) = shown
    assert output["text/plain"] == "a < b: ≈50%, ≈[GRU & co] (≈-1.5)."
    span = '<span class="measured">{}</span>'.format
    assert (
        output["text/html"]
        == f"<p>a &lt; b: {span('50%')}, {span('GRU &amp; co')} ({span('-1.5')}).</p>"
    )


@cases()
@given(st.floats(allow_nan=True), st.sampled_from(["", ".4f", "+.2f", ".0%", ".1e", ",.0f"]))
def test_every_number_is_masked_whole(value, spec):
    assert text.MARK.sub("", f"x {text.measured(value, spec)}, y") == "x , y"


def test_tables_in_html_and_as_text(shown):
    text.show_table(
        ["model", "accuracy"], [["GRU <32>", text.measured(0.96589, ".4f")], ["softmax", "x" * 200]]
    )
    (output,) = shown
    lines = output["text/plain"].splitlines()
    words = [["model", "accuracy"], ["GRU", "<32>", "≈0.9659"], ["softmax", "x" * 200]]
    assert [line.split() for line in lines] == words
    assert len(set(map(len, lines))) == 1  # numbers stand on the right
    html = output["text/html"]
    assert 'scope="row" style="text-align: left">GRU &lt;32&gt;</th>' in html and "x" * 200 in html
    assert '<td><span class="measured">0.9659</span></td>' in html and html.count("<tr") == 3


@cases()
@given(st.floats(0, 1e9), st.floats(0, 1e9))
def test_measured_values_do_not_move_the_other_columns(a, b):
    one, other = (
        text._as_text(["name", "a", "b"], [["x", text.measured(v), "1"], ["y", "22", "333"]])
        for v in (a, b)
    )
    lines = [[line for line in table.splitlines() if "≈" not in line] for table in (one, other)]
    assert lines[0] == lines[1]


SCRIPT = """
import helpers, json, sys
d = helpers.load_data("auto")
helpers.say(f"Test images: {helpers.measured(len(d.y_test))} of \u0394")
helpers.show_table(("model", "accuracy"), [("GRU 32", helpers.measured(0.5, ".2f"))])
helpers.award(1, helpers.check_gates("GRU", "keep_state", {"z": 1}))
"""


@pytest.mark.parametrize(
    ("encoding", "mark", "delta"), [("cp1252", "~", r"\u0394"), ("utf-8", "≈", "\u0394")]
)
def test_a_plain_script_prints_the_plain_text_in_any_encoding(encoding, mark, delta):
    result = python(
        "-c",
        SCRIPT,
        PYTHONIOENCODING=f"{encoding}:strict",
        COURSEWORK_DATA="digits",
        PYTHONUTF8="0",
    )
    assert result.returncode == 0, result.stderr
    data, sentence, _, row, right = result.stdout.splitlines()
    assert data.startswith("Data: digits, ") and sentence == f"Test images: {mark}360 of {delta}"
    assert row.split() == ["GRU", "32", f"{mark}0.50"] and right == "Right."


@pytest.mark.parametrize(
    ("place", "wish", "runs"),
    [
        ("site-packages", None, "runs"),
        ("bundle", " ", "bundle/runs"),
        ("bundle", " ~/my runs ", "home/my runs"),
        ("bundle", "class", "bundle/class"),
        ("site-packages", "class", "class"),
    ],
)
def test_results_go_where_somebody_looks_for_them(place, wish, runs, tmp_path):
    """For a checkout, for an installed copy, and with a folder named as a shell or an .env file has it."""
    tmp_path = tmp_path.resolve()
    room = tmp_path / place / "coursework"
    room.mkdir(parents=True)
    shutil.copy(files.__file__, room)
    environment = {
        "PYTHONPATH": str(room.parent),
        "COURSEWORK_RUNS": wish,
        "HOME": str(tmp_path / "home"),
    }
    environment |= {"USERPROFILE": str(tmp_path / "home")}
    result = python(
        "-c", "from coursework.files import RUNS; print(RUNS)", cwd=tmp_path, **environment
    )
    assert Path(result.stdout.strip()) == tmp_path / runs, result.stderr


def test_two_containers_that_share_a_folder_do_not_share_an_unfinished_file(runs, monkeypatch):
    """Each may have the same process id."""
    monkeypatch.setattr(os, "getpid", lambda: 7)
    with files.replacing(runs / "model") as one, files.replacing(runs / "model") as other:
        one.write_text("one")
        other.write_text("other")
    assert (runs / "model").read_text() == "one" and len(list(runs.iterdir())) == 1


def test_a_table_is_written_whole_or_not_at_all(runs):
    files.write_csv("table.csv", ["a", "b"], [[1, "x,y"]])
    with pytest.raises(ZeroDivisionError):
        files.write_csv("table.csv", ["a"], ([1 / n] for n in (1, 0)))
    with open(runs / "table.csv", encoding="utf-8", newline="") as file:
        assert list(csv.reader(file)) == [["a", "b"], ["1", "x,y"]]
    with files.replacing(runs / "file") as path:
        path.write_text("half")
        assert not (runs / "file").exists()
    assert (runs / "file").read_text() == "half" and len(list(runs.iterdir())) == 2


def test_verdicts_are_their_own_truth_and_share_the_points(capsys):
    yes, no = Verdict(True), Verdict(False, "why")
    assert yes and repr(yes) == "Right." and not no and repr(no) == "Not yet: why"
    assert (
        award(10, yes) == 10
        and award(10, no) == 0
        and award(15, {"a": yes, "b": yes, "c": no}) == 10
    )
    assert award(10, {"a": yes, "b": no, "c": no}) == 3.33
    printed = ["Right.", "Not yet: why", "a: Right.", "b: Right.", "c: Not yet: why"]
    assert capsys.readouterr().out.splitlines()[:5] == printed
    unanswered = Verdict(False, "not answered yet: f")
    assert repr(unanswered) == "Not yet answered: f" and not award(5, unanswered)
    capsys.readouterr()
    assert answered(0, [], False) and not answered(1, ...) and not answered(None)
    assert capsys.readouterr().out == "not answered yet\n" * 2


def test_a_verdict_on_a_page_has_the_points_in_its_sentence(monkeypatch):
    outputs = []
    monkeypatch.setattr(verdicts, "display", outputs.append)
    no = Verdict(False, "f < 1 & i")
    points = award(5, no)
    verdict = outputs.pop()
    assert verdict["text/plain"] == "Not yet: f < 1 & i"
    assert "<b>Not yet (0 of 5 points).</b> f &lt; 1 &amp; i" in verdict["text/html"]
    assert repr(points) == "0" and points._repr_html_() == ""  # the number is for nbgrader alone
    award(15, {"a": Verdict(True), "b": no, "c": Verdict(False, "not answered yet")})
    text = outputs.pop()["text/html"]
    assert text.startswith("<p><b>5 of 15 points.</b><br>a: <b>Right.</b>")
    assert text.endswith("c: <b>Not yet answered.</b></p>")
    for hint, begins in (("the state is h", "The state"), ("z is left free", "z is")):
        assert f"</b> {begins}" in Verdict(False, hint)._repr_html_()
    award(10, {"GRU 3 x 32": Verdict(True)})
    assert outputs.pop()["text/html"] == "<p>GRU 3 x 32: <b>Right (10 of 10 points).</b></p>"
