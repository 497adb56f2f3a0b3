"""Verdicts and points."""

from coursework.verdicts import Verdict, answered, award


def test_verdicts_are_their_own_truth_and_share_the_points(capsys):
    yes, no = Verdict(True), Verdict(False, "why")
    assert yes and repr(yes) == "Right." and not no and repr(no) == "Not yet: why"
    assert award(10, yes) == 10 and award(10, no) == 0 and award(15, {"a": yes, "b": yes, "c": no}) == 10
    assert award(10, {"a": yes, "b": no, "c": no}) == 3.33
    assert capsys.readouterr().out.splitlines()[:5] == [
        "Right.",
        "Not yet: why",
        "a: Right.",
        "b: Right.",
        "c: Not yet: why",
    ]


def test_what_is_not_answered_is_said(capsys):
    assert answered(0, [], False) and not answered(1, ...) and not answered(None)
    assert capsys.readouterr().out == "not answered yet\n" * 2
