"""A figure that no backend of Matplotlib knows, and how it is shown: as a picture and in words."""

import base64
import io
from collections.abc import Sequence
from typing import Any

import IPython
import matplotlib.figure
from matplotlib.backends.backend_agg import FigureCanvasAgg


class Figure(matplotlib.figure.Figure):
    """A figure that pyplot does not know: it looks the same whatever the backend, and opens no window.

    Attributes:
        alt: what it shows, in words.
    """

    alt = ""
    _cell = None  # number of the notebook's cell that has shown it

    def _ipython_display_(self):
        """For Jupyter, when a figure is the value of a cell: the cell that has drawn it does not show it twice."""
        if self._cell is None or self._cell != _running_cell():
            show_figure(self, self.alt)


def new_figure(size: tuple, rows: int = 1, columns: int = 1, **options: Any) -> tuple:
    """A figure and its axes, as of `plt.subplots`, but no backend knows it: `show_figure` shows it.

    Args:
        size: (width, height) in inches.
        rows, columns: number of axes below and beside each other.
        options: for `Figure.subplots`.

    Returns:
        (figure, axes): one of them, or an array.

    Notebook 3, Q3.2.
    """
    figure = Figure(figsize=size)
    FigureCanvasAgg(figure)
    return figure, figure.subplots(rows, columns, **options)


def new_row(size: tuple, count: int, **options: Any) -> tuple:
    """A figure of so many inches, and its panels beside each other: an array of `count` axes that share y."""
    figure, (panels,) = new_figure(
        size,
        columns=count,
        sharey=True,
        squeeze=False,
        **options,
    )
    return figure, panels


def show_figure(figure: Figure, words: str, facts: Sequence[str] = ()) -> Figure:
    """Show a figure, with a text in its place for readers who can't see it (nbconvert's `alt`), and return it.

    Outside of IPython the text is printed; `figure.savefig` keeps the picture.

    Args:
        figure: as of `new_figure`.
        words: what it shows.
        facts: what can be read from it, if anything; they follow the words after a colon.

    Notebook 3, Q3.2.
    """
    figure.alt = f"{words}: {'; '.join(facts)}." if facts else words
    figure._cell = _running_cell()
    shell = IPython.get_ipython()
    if shell is None:
        print(figure.alt)
        return figure
    data, metadata = {"text/plain": repr(figure)}, {}
    for kind, (picture, about) in _pictures(figure, shell).items():
        data[kind] = picture
        metadata[kind] = {**about, "alt": figure.alt}
    IPython.display.display(data, metadata=metadata, raw=True)
    return figure


def _running_cell():
    """The number of the cell that a notebook runs now, or None."""
    shell = IPython.get_ipython()
    return shell and shell.execution_count


def _pictures(figure, shell):
    """{MIME type: (picture, its size)}, in the formats that `%config InlineBackend.figure_formats` names, or PNG.

    Only the inline backend knows such formats: any other leaves it to us.
    """
    pictures = {}
    for kind, formatter in shell.display_formatter.formatters.items():
        if not kind.startswith("image/"):
            continue
        picture = formatter(figure)
        if picture is not None:
            pictures[kind] = picture if isinstance(picture, tuple) else (picture, {})
    if not pictures:
        png = base64.b64encode(as_png(figure))
        pictures["image/png"] = png.decode(), {}
    return pictures


def as_png(figure: Figure) -> bytes:
    """The figure as a PNG file."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()
