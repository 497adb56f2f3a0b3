"""Verdicts and points."""

import pytest

from coursework.verdicts import Verdict, answered, award


def test_a_verdict_is_its_own_truth():
    assert Verdict(True) and repr(Verdict(True)) == "Right."
    assert not Verdict(False, "why") and repr(Verdict(False, "why")) == "Not yet: why"


def test_points_are_shared_among_the_verdicts(capsys):
    yes, no = Verdict(True), Verdict(False, "why")
    assert award(10, yes) == 10 and award(10, no) == 0
    assert award(15, {"a": yes, "b": yes, "c": no}) == 10
    assert award(10, {"a": yes, "b": no, "c": no}) == pytest.approx(3.33)
    assert "c: Not yet: why" in capsys.readouterr().out


def test_what_is_not_answered_is_said(capsys):
    assert answered(0, [], False) and not answered(1, ...) and not answered(None)
    assert capsys.readouterr().out == "not answered yet\n" * 2
