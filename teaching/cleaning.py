"""Nothing of a student's runs in the teacher's browser: what a page shows is cleaned before it is written.

nbgrader's pages show the HTML of texts and outputs as it is, in the origin of the teacher's JupyterLab. So each text
becomes the HTML that it would be shown as, without anything that could run, load or reach beyond its cell; and an
output keeps the forms that can only be looked at.
"""

import base64
import binascii
import contextlib
import html
import re
from typing import Any

import nh3
from nbconvert.filters.markdown import markdown2html
from nbformat import NotebookNode
from nbformat.v4 import new_output

MOST_MARKDOWN = (
    20_000  # characters of a text that are rendered; a longer one is shown as it was typed
)
MOST_HTML = 500_000
MOST_TAGS = 20_000  # a parser of HTML takes quadratic time for some nested ones
MOST_SOURCE = 200_000  # of a cell of code
PICTURE = re.compile(r"data:image/(png|jpeg|gif|webp|svg\+xml);base64,[A-Za-z0-9+/=\s]*", re.I)
LINK = re.compile(r"(https?://|mailto:|#)", re.I)
ANCHOR = re.compile(
    r'<a class="anchor-link" href="[^"]*">(¶|&#182;)</a>'
)  # Markdown's, at each heading
MISSING = re.compile(r'<img [^>]*src="(missing-picture-[^"]*)"[^>]*>')
UNCLOSED = re.compile(r"<!--(?!.*?-->)", re.S)  # a comment that would take all that follows
PICTURES = ("image/png", "image/jpeg")
# Macros with which a formula makes links, loads more, or takes a place and a look that are not its own.
MACRO = re.compile(
    r"\\(?=(href|url|style|class|cssId|data|require|unicode|mmlToken|html\w*|enclose|toggle|action\w*)\b)"
)


def attribute(tag: str, name: str, value: str) -> str | None:
    """The value of an attribute if it may stay: a picture lies in the page itself, a link leads out of it."""
    if name == "src":
        return value if tag == "img" and PICTURE.fullmatch(value) else None
    if name == "href":
        return value if LINK.match(value.strip()) else None
    return None if name in ("cite", "background") else value


SCHEMES = {"http", "https", "mailto", "data"}
OF_OUTPUTS = nh3.Cleaner(attribute_filter=attribute, url_schemes=SCHEMES)  # a table's <style> goes
# Nothing of a text goes: what stands in a <style> that is never closed may be all of an answer.
OF_TEXTS = nh3.Cleaner(attribute_filter=attribute, url_schemes=SCHEMES, clean_content_tags=set())


def clean_html(text: str, cleaner: nh3.Cleaner = OF_OUTPUTS) -> str:
    """HTML without anything that could run, load or post."""
    if len(text) > MOST_HTML or text.count("<") > MOST_TAGS:
        return typed(text)
    return MACRO.sub("", cleaner.clean(text))


def typed(text: str) -> str:
    """A text as it was typed, with nothing in it that HTML, Markdown or MathJax would read."""
    signs = {"$": "&#36;", "\\": "&#92;", "\n": "&#10;"}
    return f"<pre>{''.join(signs.get(sign, sign) for sign in html.escape(text[:MOST_HTML]))}</pre>"


def clean_markdown(text: str) -> str:
    """A text in Markdown as one line of clean HTML, which Markdown shows as it is."""
    shown = typed(text)
    if len(text) <= MOST_MARKDOWN:
        with contextlib.suppress(Exception):  # nested too deep, for one
            rendered = MISSING.sub(r"[\1]", ANCHOR.sub("", markdown2html(text)))
            shown = clean_html(UNCLOSED.sub("&lt;!--", rendered), OF_TEXTS)
    block = f"<div>{shown.strip()}</div>".replace("\n", "&#10;")
    return block if is_shown_as_it_is(block) else f"<div>{typed(text)}</div>"


def is_shown_as_it_is(block: str) -> bool:
    """Does Markdown read nothing into a block of HTML?"""
    return markdown2html(block).strip() == block


def clean_output(output: NotebookNode) -> NotebookNode:
    """An output in the forms that can only be looked at, made anew."""
    kind = output.output_type
    if kind == "stream":
        name = "stderr" if output.name == "stderr" else "stdout"
        return new_output("stream", name=name, text=str(output.text))
    if kind == "error":
        lines = [str(line) for line in output.traceback]
        return new_output(
            "error", ename=str(output.ename), evalue=str(output.evalue), traceback=lines
        )
    data = clean_data(output.data)
    metadata = {
        form: sizes(output.get("metadata", {}).get(form)) for form in PICTURES if form in data
    }
    return new_output(
        kind, data=data, metadata={form: size for form, size in metadata.items() if size}
    )


def clean_data(data: dict[str, Any]) -> dict[str, str]:
    """The forms of an output: plain text, a picture, clean HTML."""
    text = {
        form: "".join(value) if isinstance(value, list) else value for form, value in data.items()
    }
    text = {form: value for form, value in text.items() if isinstance(value, str)}
    kept = {form: text[form] for form in PICTURES if form in text and is_base64(text[form])}
    if "text/plain" in text:
        kept["text/plain"] = text["text/plain"]
    if shown := as_html(text):
        kept["text/html"] = shown
    return kept or {
        "text/plain": f"[an output that is not shown: {', '.join(map(str, data))[:100]}]"
    }


def as_html(text: dict[str, str]) -> str:
    """The form of an output that is shown as HTML, if it has one."""
    if "text/html" in text:
        return clean_html(text["text/html"])
    if "text/markdown" in text:
        return clean_markdown(text["text/markdown"])
    if "image/svg+xml" in text:
        picture = base64.b64encode(text["image/svg+xml"].encode("utf-8", "replace")).decode()
        return f'<img src="data:image/svg+xml;base64,{picture}">'
    if "text/latex" in text:
        return f"<div>{MACRO.sub('', html.escape(text['text/latex'][:MOST_HTML]))}</div>"
    return ""


def is_base64(text: str) -> bool:
    """Is this a file as base64, and no text that looks like the end of an attribute?"""
    try:
        return bool(base64.b64decode("".join(text.split()), validate=True))
    except (binascii.Error, ValueError):
        return False


def sizes(metadata: object) -> dict[str, int]:
    """Width and height of a picture, in pixels."""
    found = metadata if isinstance(metadata, dict) else {}
    plain = {name: found.get(name) for name in ("width", "height")}
    return {
        name: size for name, size in plain.items() if isinstance(size, int) and 0 < size < 10_000
    }
