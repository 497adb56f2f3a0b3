"""What is shown to the reader: measured values and their mark, sentences, tables, one-line notices, widgets."""

import html
import re
import sys
from collections.abc import Iterable, Sequence

from coursework.files import rows_of

# The two forms of `measured`; the sanitize file of the tests masks the same two, and the span made from them.
MARK = re.compile(r"≈(?:\[([^\]\n]*)\]|([^\s\[]*[^\s\[.,;:)]))")


WORDS = re.compile(r"≈\[([^\]\n]*)\]")


def measured(value: object, spec: str = "") -> str:
    """Mark what may differ on the next machine or data set, so that nbval compares everything but it.

    Numbers become ``≈0.9659`` (formatted by `spec`), words become ``≈[not separable]``. `say` and `show_table` turn the
    mark into something that only nbval sees.

    All notebooks.
    """
    text = format(value, spec)
    return f"≈[{text}]" if isinstance(value, str) else f"≈{text}"


def display(data: dict, raw: bool = True) -> None:
    """IPython's `display` for a dict from kind to text; the plain text of it in a script or another console."""
    if _shell() is not None:
        sys.modules["IPython"].display.display(data, raw=raw)
    elif "text/plain" in data:
        print_line(WORDS.sub(r"\1", data["text/plain"]))  # the brackets are for nbval alone


def _shell():
    """The IPython that this code runs in, or None; it is not imported for this, as it is loaded where it runs."""
    ipython = sys.modules.get("IPython")
    return ipython and ipython.get_ipython()


def print_line(text: object) -> None:
    """Print, also where the stream can't show every letter: ~ for ≈, and others as escapes."""
    encoding, text = getattr(sys.stdout, "encoding", None) or "utf-8", str(text)
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        text = text.replace("≈", "~").encode(encoding, "backslashreplace").decode(encoding)
    print(f"{text}\n", end="")  # in one piece: between two, a kernel may send what it has so far


def say(sentence: str) -> None:
    """Show a sentence that may hold measured values: a paragraph, or plain text with marks. All notebooks."""
    display({"text/plain": sentence, "text/html": f"<p>{_as_html(sentence)}</p>"}, raw=True)


def show_table(header: Sequence, rows: Iterable[Sequence]) -> None:
    """Show a table whose first column names the rows; with aligned columns in a console. All notebooks."""
    import pandas as pd  # here: the ground floor of `run.py` and of the workers does without

    rows = rows_of(header, rows)
    cells = [[_as_html(str(cell)) for cell in row] for row in rows]
    frame = pd.DataFrame(cells, columns=[_as_html(str(name)) for name in header])
    names = frame.columns[0]
    frame = frame.set_index(names).rename_axis(
        index=None, columns=names
    )  # one line of headings, not two
    with pd.option_context("display.max_colwidth", None):
        table = frame.to_html(escape=False, border=0)
    head, body = table.split("<tbody>")
    head = head.replace("<th>", '<th style="text-align: left">', 1)
    body = body.replace("<th>", '<th scope="row" style="text-align: left">')
    display({"text/plain": _as_text(header, rows), "text/html": f"{head}<tbody>{body}"}, raw=True)


def _as_html(text):
    """The text with its marks as spans."""
    text = MARK.sub(lambda mark: f"\0{mark[1] if mark[1] is not None else mark[2]}\1", text)
    text = (
        html.escape(text, quote=False)
        .replace("\0", '<span class="measured">')
        .replace("\1", "</span>")
    )
    return text.replace("\n", "<br>")


def _as_text(header, rows):
    """Aligned columns: the first one to the left, the others to the right.

    What was measured has no say in the widths: nbval compares all the rest, spaces too.
    """
    cells = [[str(cell) for cell in row] for row in [header, *rows]]
    widths = [
        max(len(cell) for cell in column if not MARK.search(cell))
        for column in zip(*cells, strict=True)
    ]
    lines = []
    for first, *others in cells:
        first = first if MARK.search(first) else first.ljust(widths[0])
        right = [cell.rjust(width) for cell, width in zip(others, widths[1:], strict=True)]
        lines.append("  ".join([first, *right]).rstrip())
    return "\n".join(lines)


def in_notebook() -> bool:
    """Does this code run in a Jupyter kernel?"""
    shell = _shell()
    return shell is not None and "IPKernelApp" in shell.config


def show_widget(widget) -> None:
    """Show an ipywidget, and nothing where widgets do not run.

    Without the text that IPython adds for plain consoles: nbval would compare it, and a web page would show it.
    """
    view = {"version_major": 2, "version_minor": 0, "model_id": widget.model_id}
    display({"application/vnd.jupyter.widget-view+json": view}, raw=True)


def notify(text: str) -> None:
    """One line for the reader, in notebooks as a widget, which nbval does not compare."""
    if not in_notebook():
        print_line(text)
        return
    import ipywidgets

    show_widget(ipywidgets.Label(text))
