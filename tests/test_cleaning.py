"""Nothing of a student's runs in the teacher's browser: what is written to a page, and what nbconvert makes of it."""

import re
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nbconvert import HTMLExporter
from nbconvert.filters.markdown import markdown2html
from nbformat import from_dict
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output, new_raw_cell
from nbgrader.utils import compute_checksum, determine_grade

from conftest import cases
from teaching.cells import STUB
from teaching.cleaning import MOST_MARKDOWN, MOST_TAGS, clean_html, clean_markdown, clean_output
from teaching.pages import page

SCRIPT = "<script>alert(1)</script>"
IMAGE = "<img src=x onerror=alert(1)>"
HARMFUL = [
    SCRIPT,
    IMAGE,
    "<svg onload=alert(1)>",
    "<iframe srcdoc='<script>alert(1)</script>'></iframe>",
]
HARMFUL += [
    "<a href='javascript:alert(1)'>x</a>",
    "[x](javascript:alert(1))",
    "<javascript:alert(1)>",
]
HARMFUL += [
    "[x]: javascript:alert(1)\n\n[x]",
    "[x](&#106;avascript:alert(1))",
    "<math href='javascript:alert(1)'>x</math>",
]
HARMFUL += [
    r"$\href{javascript:alert(1)}{x}$",
    "$$" + IMAGE + "$$",
    "```mermaid\n" + IMAGE + "\n```",
    "`" + IMAGE,
]
HARMFUL += [
    "<form action=/formgrader/api/grade/1 method=post><input name=x><button>x</button></form>"
]
HARMFUL += [
    "<meta http-equiv=refresh content='0;url=javascript:alert(1)'>",
    "<base href=//evil>",
    "<link rel=stylesheet href=//evil>",
]
HARMFUL += [
    "<style>* {display: none}</style>",
    "<p style='position:fixed;top:0;left:0;width:100%;height:100%'>x</p>",
]
HARMFUL += [
    '![x](x"onerror="alert(1))',
    "<img src='/api/shutdown'>",
    "<a href='/formgrader/api/x'>x</a>",
    "<noscript><p title='</noscript>" + IMAGE + "'>",
]
HARMFUL += [
    "<math><mtext><table><mglyph><style><!--</style><img title='--&gt;" + IMAGE + "'>",
    "\\begin{x}" + IMAGE + "\\end{x}",
]
RUNS = {
    "script",
    "iframe",
    "object",
    "embed",
    "form",
    "input",
    "button",
    "style",
    "meta",
    "base",
    "link",
    "svg",
    "math",
}
RUNS |= {
    "video",
    "audio",
    "frame",
    "frameset",
    "template",
    "noscript",
    "select",
    "textarea",
    "dialog",
}


class Harm(HTMLParser):
    """What in a piece of HTML could run, load or lead into the teacher's server, as a browser reads it."""

    def __init__(self, text):
        super().__init__()
        self.found = [r"\href"] if r"\href" in text else []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.found += [tag] if tag in RUNS else []
        for name, value in attributes:
            bad = name.startswith("on") or name in (
                "style",
                "srcdoc",
                "action",
                "formaction",
                "id",
                "name",
                "srcset",
            )
            leads = name in ("href", "src") and not re.match(
                r"https?://|mailto:|#|data:image/", value or ""
            )
            self.found += [(tag, name, value)] if bad or leads else []


def harm_in(text):
    return Harm(text).found


@pytest.mark.parametrize("text", HARMFUL)
def test_a_text_is_shown_and_nothing_of_it_runs(text):
    cleaned = clean_markdown(f"Before\n\n{text}\n\nand after")
    shown = markdown2html(cleaned)
    assert not harm_in(cleaned) and not harm_in(shown), shown
    assert "Before" in shown and (
        "and after" in shown or "mglyph" in text
    )  # an attack may lose what follows


@cases(300)
@given(
    st.lists(
        st.sampled_from(
            [*HARMFUL, "\n\n", "    ", "- ", "> ", "`", "$", "&lt;", "**", "\\", "|", "word "]
        ),
        max_size=8,
    ).map("".join)
)
def test_whatever_is_put_together_stays_harmless_and_as_it_is(text):
    cleaned = clean_markdown(text)
    assert markdown2html(cleaned).strip() == cleaned and not harm_in(cleaned)
    assert not harm_in(clean_html(text))


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("**bold** and `a < b`", "<strong>bold</strong> and <code>a &lt; b</code>"),
        ("$a_b < c$ and $d_e$", "$a_b &lt; c$ and $d_e$"),
        ("| a |\n|---|\n| 1 |", "<td>1</td>"),
        ("# Heading", "<h1>Heading</h1>"),
        ("![a](data:image/png;base64,iVBORw==)", 'src="data:image/png;base64,iVBORw=="'),
        ("![a](missing-picture-gone.png)", "[missing-picture-gone.png]"),
        ("[x](https://example.org)", 'href="https://example.org"'),
        ("<p>The GRU <b>shares</b> its weights.</p>", "The GRU <b>shares</b>"),
        ("```python\nif a < b:\n\n    pass\n```", "&#10;&#10;    <span>pass</span>"),
    ],
)
def test_a_harmless_text_looks_as_it_did(text, shown):
    assert shown in clean_markdown(text)


def test_what_a_parser_would_take_too_long_for_is_shown_as_typed():
    assert clean_markdown("<b>x" * MOST_MARKDOWN).startswith("<div><pre>&lt;b&gt;x")
    assert clean_html("<div>" * (MOST_TAGS + 1)).startswith("<pre>&lt;div&gt;")


FORMS = {
    "text/html": IMAGE, "text/markdown": IMAGE, "image/svg+xml": "<svg onload=alert(1)>",
    "text/latex": r"$\href{javascript:alert(1)}{x}$",
    "application/javascript": "alert(1)", "image/png": 'x" onerror="alert(1)', "text/plain": IMAGE,
    "application/vnd.jupyter.widget-view+json": {"model_id": SCRIPT}, "application/pdf": "x", "text/vnd.mermaid": IMAGE,
}  # fmt: skip


@pytest.mark.parametrize("form", FORMS)
def test_an_output_keeps_what_can_only_be_looked_at(form):
    output = new_output(
        "display_data",
        data={form: FORMS[form]},
        metadata={"image/png": {"width": '1" onload="alert(1)'}, "isolated": True},
    )
    cleaned = clean_output(output)
    assert set(cleaned.data) <= {"text/plain", "text/html", "image/png"} and not cleaned.metadata
    assert not harm_in(cleaned.data.get("text/html", "")) and "image/png" not in cleaned.data


def test_pictures_and_tables_stay():
    data = {"image/png": "iVBORw==\n", "text/plain": "<Figure>"}
    cleaned = clean_output(
        new_output(
            "display_data",
            data=data,
            metadata={"image/png": {"width": 640, "height": 480, "alt": "x"}},
        )
    )
    assert cleaned.data == data and cleaned.metadata == {"image/png": {"width": 640, "height": 480}}
    table = '<table border="1" class="dataframe"><tr><td>1</td></tr></table>'
    assert (
        "<td>1</td>"
        in clean_output(new_output("display_data", data={"text/html": table})).data["text/html"]
    )


def test_a_forged_output_has_a_name_and_texts_only():
    stream = from_dict({"output_type": "stream", "name": '"><script>', "text": SCRIPT, "more": 1})
    assert clean_output(stream) == {"output_type": "stream", "name": "stdout", "text": SCRIPT}
    error = from_dict(
        {"output_type": "error", "ename": SCRIPT, "evalue": "", "traceback": [SCRIPT, {"a": 1}]}
    )
    assert all(isinstance(line, str) for line in clean_output(error).traceback)


def test_a_page_as_nbgrader_shows_it(monkeypatch):
    """All of it at once, in cells of each kind, through the exporter that nbgrader builds on."""
    cells = [new_markdown_cell(text) for text in HARMFUL] + [new_raw_cell(text) for text in HARMFUL]
    cells += [new_code_cell(text) for text in HARMFUL]
    cells[0].attachments = {"x.png": {"image/png": 'x" onerror="alert(1)'}}
    cells[1].source += "![x](attachment:x.png)"
    cells[0].metadata = {"tags": [SCRIPT]}
    outputs = [new_output("display_data", data={form: value}) for form, value in FORMS.items()]
    cells.append(new_code_cell("1", outputs=[*outputs, new_output("stream", text=SCRIPT)]))
    given = new_markdown_cell(
        IMAGE,
        metadata={
            "nbgrader": {"grade": True, "solution": True, "grade_id": "q31-answer", "points": 5}
        },
    )
    whole = page(new_notebook(cells=cells), new_notebook(cells=[given]))
    before, _ = HTMLExporter(template_name="classic").from_notebook_node(new_notebook())
    after, _ = HTMLExporter(template_name="classic").from_notebook_node(whole)
    scripts = [text.count("<script") for text in (before, after)]
    assert scripts[0] == scripts[1] and not [
        part for part in harm_in(after) if part[1:2] in ("onerror", "onload")
    ]
    assert "onerror" in after  # as text
    assert whole.cells[-1].metadata.text == IMAGE


def test_an_answer_that_is_not_there_stays_none():
    """By its text, nbgrader knows that nobody has to look at it."""
    marked = {"grade": True, "solution": True, "grade_id": "q31-answer", "points": 5}
    given = new_markdown_cell(STUB, metadata={"nbgrader": marked})
    given.metadata.nbgrader["checksum"] = compute_checksum(given)
    for text, points in ((STUB, 0), ("An answer.", None)):
        cell = from_dict({**given, "source": text})
        whole = page(new_notebook(), new_notebook(cells=[cell]))
        assert determine_grade(whole.cells[-1]) == (points, 5)
