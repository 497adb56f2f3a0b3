"""What a notebook's page needs to be read by everybody."""

from tools.readable import readable

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
