"""What a notebook's page needs to be read by everybody: ways in and out of it, and tables that say what heads what."""

import re

# A place to go to: its address and what it is called.
Place = tuple[str, str]
HEADING = re.compile(r'<h2 id="([^"]+)">(.*?)<a class="anchor-link"', re.S)
EMPTY_STOPS = re.compile(r' tabindex="0"')
BARE_HEADER = re.compile(r"<th(?=[ >])(?![^>]*\bscope=)")
BODY = re.compile(r"<body[^>]*>")


def readable(page: str, before: Place | None, after: Place | None) -> str:
    """A notebook's page with a skip link, its contents, the pages beside it, and no cell that Tab stops at in vain."""
    page = EMPTY_STOPS.sub("", page)
    page = BARE_HEADER.sub('<th scope="col"', page)
    page = page.replace("<main", '<main id="main"', 1)
    skip = '<a class="skip" href="#main">Skip to the notebook</a>'
    page = BODY.sub(lambda body: body[0] + skip, page, count=1)
    ways = navigation(before, after)
    page = page.replace("<!-- ways -->", ways, 1)
    page = page.replace("<!-- contents -->", contents(page), 1)
    return page.replace("</main>", f"{ways}</main>", 1)


def contents(page: str) -> str:
    """Links to the sections of a page, as a part that opens; nothing if there are fewer than two."""
    sections = HEADING.findall(page)
    if len(sections) < 2:
        return ""
    items = "".join(f'<li><a href="#{name}">{title.strip()}</a></li>' for name, title in sections)
    return f'<nav aria-label="contents"><details open><summary>Contents</summary><ol>{items}</ol></details></nav>'


def navigation(before: Place | None, after: Place | None) -> str:
    """Links to the page before, the first page and the page after."""
    links = [
        link(before, "&larr; {}"),
        link(("index.html", "All notebooks"), "{}"),
        link(after, "{} &rarr;"),
    ]
    return f'<div class="ways">{"".join(links)}</div>'


def link(place: Place | None, form: str) -> str:
    """A link, or an empty place."""
    if place is None:
        return "<span></span>"
    address, title = place
    return f'<a href="{address}">{form.format(title)}</a>'
