"""What is shown to the reader: marks, sentences, tables."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conftest import cases
from coursework import text


@pytest.fixture
def shown(monkeypatch):
    """The outputs of `say` and `show_table`, as dicts from their kind."""
    outputs = []
    monkeypatch.setattr(text, "display", lambda data, raw: outputs.append(data))
    return outputs


def test_marks_become_spans_and_nothing_else_does(shown):
    text.say(f"a < b: {text.measured(0.5, '.0%')}, {text.measured('GRU & co')} ({text.measured(-1.5)}).")
    (output,) = shown
    assert output["text/plain"] == "a < b: ≈50%, ≈[GRU & co] (≈-1.5)."
    span = '<span class="measured">{}</span>'.format
    assert output["text/html"] == f"<p>a &lt; b: {span('50%')}, {span('GRU &amp; co')} ({span('-1.5')}).</p>"


@cases()
@given(st.floats(allow_nan=True), st.sampled_from(["", ".4f", "+.2f", ".0%", ".1e", ",.0f"]))
def test_every_number_is_masked_whole(value, spec):
    sentence = f"x {text.measured(value, spec)}, y"
    assert text.MARK.sub("", sentence) == "x , y"


def test_tables_in_html_and_as_text(shown):
    text.show_table(["model", "accuracy"], [["GRU <32>", text.measured(0.96589, ".4f")], ["softmax", "x" * 200]])
    (output,) = shown
    lines = output["text/plain"].splitlines()
    assert [line.split() for line in lines] == [
        ["model", "accuracy"],
        ["GRU", "<32>", "≈0.9659"],
        ["softmax", "x" * 200],
    ]
    assert len(set(map(len, lines))) == 1  # numbers stand on the right
    html = output["text/html"]
    assert 'scope="row" style="text-align: left">GRU &lt;32&gt;</th>' in html and "x" * 200 in html
    assert '<td><span class="measured">0.9659</span></td>' in html and html.count("<tr") == 3


@cases()
@given(st.floats(0, 1e9), st.floats(0, 1e9))
def test_measured_values_do_not_move_the_other_columns(a, b):
    one, other = (text._as_text(["name", "a", "b"], [["x", text.measured(v), "1"], ["y", "22", "333"]]) for v in (a, b))
    lines = [[line for line in table.splitlines() if "≈" not in line] for table in (one, other)]
    assert lines[0] == lines[1]
