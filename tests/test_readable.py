"""What a notebook's page needs to be read by everybody."""

import nbformat

from tools.readable import readable
from tools.refresh import fold_what_is_guessed
from tools.report import OfflineExporter

PAGE = """<html><body class="x"><!-- ways --><!-- contents --><main>
<div tabindex="0"><h2 id="One">One<a class="anchor-link" href="#One">¶</a></h2></div>
<h2 id="Two">Two &amp; a half<a class="anchor-link" href="#Two">¶</a></h2>
<table><thead><tr><th style="text-align: left">a</th><th>b</th></tr></thead><tr><th scope="row">c</th></tr></table>
</main></body></html>"""


def test_ways_contents_and_headers():
    page = readable(PAGE, ("first.html", "The first"), None)
    assert "tabindex" not in page and page.count("scope=") == page.count("<th ") == 3
    assert (
        page.count('<a href="first.html">&larr; The first</a>')
        == 2
        == page.count('<a href="index.html">')
    )
    assert '<li><a href="#Two">Two &amp; a half</a></li>' in page
    assert (
        page.index("Skip to the notebook") < page.index("first.html") and '<main id="main">' in page
    )


def test_a_page_with_one_section_has_no_contents():
    assert "<nav" not in readable(PAGE.replace('<h2 id="Two"', '<h3 id="Two"'), None, None)


def test_what_the_reader_guesses_is_folded_until_a_click():
    shown = nbformat.v4.new_output("display_data", {"text/plain": "the answer"})
    code = [nbformat.v4.new_code_cell("1", outputs=[shown]) for _ in range(2)]
    texts = [nbformat.v4.new_markdown_cell(text) for text in ("Look.", "**Guess:** what comes?")]
    cells = [texts[0], code[0], texts[1], code[1]]
    notebook = nbformat.v4.new_notebook(cells=cells)
    fold_what_is_guessed(notebook)
    page, _ = OfflineExporter().from_notebook_node(notebook)
    open_part, _, folded = page.partition('<details class="guess">')
    assert open_part.count("the answer") == folded.count("the answer") == 1
    assert folded.index("<summary>") < folded.index("the answer") < folded.index("</details>")
