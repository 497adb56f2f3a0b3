"""The look of all figures: one colour for each thing, and words for those who can't see them."""

import base64
import io
from collections.abc import Iterable, Mapping, Sequence

import IPython
import matplotlib
import matplotlib.figure
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.ticker import LogLocator, NullFormatter, SymmetricalLogLocator

from coursework.arguments import as_numbers, check_integer, short_repr
from coursework.cells import CELLS

# One colour per model and per gate everywhere: Okabe and Ito's set, which colour-blind readers can tell apart. Models
# have a marker too, and curves a line style, so that they are apart in grey print.
COLORS = {name: cell.color for name, cell in CELLS.items()} | {
    "whole image": "#555555",
    "i": "#009E73",
    "f": "#E69F00",
    "o": "#CC79A7",
    "z": "#E69F00",
    "r": "#009E73",
}
MARKERS = {"LSTM": "s", "GRU": "o", "whole image": "^"}
HIGHLIGHT = "#EE3377"  # the row that is read now, the true class; nothing else has this colour
WHOLE_IMAGE = ("softmax", "MLP", "CNN")  # families of networks that see all rows at once
# For names that have none of their own.
FREE_COLORS = ("#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#882255", "#0072B2", "#D55E00")
FREE_MARKERS = ("D", "v", "P", "X", "<", ">", "p", "h")
LINES = (  # colour, line style and marker of the curves of one figure, in order; no colour is that of a model
    ("#000000", "-", "o"),
    ("#009E73", "--", "s"),
    ("#882255", ":", "^"),
    ("#E69F00", "-.", "D"),
    ("#332288", (0, (5, 1, 1, 1, 1, 1)), "v"),
)
TITLES = {name: title for cell in CELLS.values() for name, title in cell.titles.items()}
TITLES |= {"g": "candidate g", "h": "output h", "c": "state c"}
NO_GATES = ("g", "c", "h")  # what `trace` returns beside the gates
STEP = "time step (row)"
matplotlib.rcParams.update(
    {
        "figure.dpi": 100,
        "figure.constrained_layout.use": True,
        "savefig.bbox": "tight",
        "font.size": 10,
        "legend.fontsize": 9,
        "lines.markersize": 4,
        "grid.alpha": 0.3,
        "image.cmap": "viridis",  # perceptually uniform, and monotone in grey
        "image.interpolation": "nearest",
        "axes.prop_cycle": matplotlib.cycler(color=[color for color, _, _ in LINES]),
    }
)


# ------------------------------------------------------------------------------------------------------------- figures
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


def new_figure(size: tuple, rows: int = 1, columns: int = 1, **options: object) -> tuple:
    """A figure of so many inches (width, height), and its grid of axes; the options are those of `Figure.subplots`."""
    figure = Figure(figsize=size)
    FigureCanvasAgg(figure)
    return figure, figure.subplots(rows, columns, **options)


def show_figure(figure: Figure, alt: str) -> Figure:
    """Show a figure, with a text in its place for readers who can't see it (nbconvert's `alt`), and return it.

    Outside of IPython the text is printed; `figure.savefig` keeps the picture.
    """
    figure.alt, figure._cell = alt, _running_cell()
    shell = IPython.get_ipython()
    if shell is None:
        print(alt)
        return figure
    data, metadata = {"text/plain": repr(figure)}, {}
    for kind, (picture, facts) in _pictures(figure, shell).items():
        data[kind] = picture
        metadata[kind] = {**facts, "alt": alt}
    IPython.display.display(data, metadata=metadata, raw=True)
    return figure


def _running_cell():
    """The number of the cell that a notebook runs now, or None."""
    shell = IPython.get_ipython()
    return shell and shell.execution_count


def _pictures(figure, shell):
    """{MIME type: (picture, facts on it)}, in the formats that `%config InlineBackend.figure_formats` names, or PNG.

    Only the inline backend knows such formats: any other leaves it to us.
    """
    pictures = {}
    for kind, formatter in shell.display_formatter.formatters.items():
        picture = formatter(figure) if kind.startswith("image/") else None
        if picture is not None:
            pictures[kind] = picture if isinstance(picture, tuple) else (picture, {})
    return pictures or {"image/png": (base64.b64encode(as_png(figure)).decode(), {})}


def as_png(figure: Figure) -> bytes:
    """The figure as a PNG file."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()


# ------------------------------------------------------------------------------------------------------------ of names
def family_of(label: str) -> str:
    """The kind of a network from its label, "GRU" of "GRU 3 x 32, tuned"; "whole image" if it reads no rows."""
    words = label.split(",")[0].split()
    while len(words) > 1 and (words[-1].isdecimal() or words[-1] == "x"):
        words.pop()
    family = " ".join(words)
    return "whole image" if family in WHOLE_IMAGE else family


def colors_of(names: Iterable[str]) -> dict[str, str]:
    """A colour for each of the names: its own, or one that none of the others has."""
    return _own_or_free(names, COLORS, FREE_COLORS)


def markers_of(names: Iterable[str]) -> dict[str, str]:
    """A marker for each of the names: its own, or one that none of the others has."""
    return _own_or_free(names, MARKERS, FREE_MARKERS)


def _own_or_free(names, own, free):
    found = {name: own.get(name) for name in names}
    left = [style for style in free if style not in found.values()]
    unnamed = [name for name, style in found.items() if style is None]
    for place, name in enumerate(unnamed):
        found[name] = left[place % len(left)]
    return found


def title_of(name: str) -> str:
    """What a gate or another array of `trace` is called in figures."""
    return TITLES.get(name, f"gate {name}")


def gates_of(traced: Mapping) -> list[str]:
    """The names of the gates among what `trace` returns, whatever the cell."""
    return [name for name in traced if name not in NO_GATES]


# ------------------------------------------------------------------------------------------------------- of arguments
def check_dict(name: str, value, holds: str) -> None:
    """ValueError in one line unless the value is a dict with something in it."""
    if not isinstance(value, Mapping):
        raise ValueError(f"{name} is of type {type(value).__name__}; a dict {holds} is needed")
    if not value:
        raise ValueError(f"{name} is empty; a dict {holds} is needed")


def check_names(name: str, wanted: Iterable, value: Mapping) -> None:
    """ValueError in one line if the dict `value`, called `name`, lacks one of the keys."""
    missing = [key for key in wanted if key not in value]
    if missing:
        raise ValueError(f"{name} has no {short_repr(missing[0])}; it has {', '.join(map(str, value))}")


def check_count(images: Sequence, **others: Sequence) -> None:
    """ValueError in one line unless each of the named sequences has a value for each image."""
    for name, values in others.items():
        if np.ndim(values) != 1 or len(values) != len(images):
            found = f"{len(values)}" if np.ndim(values) == 1 else f"an array of shape {np.shape(values)} as"
            raise ValueError(f"{len(images)} images, but {found} {name}")


def check_steps(steps: Sequence[int], most: int) -> None:
    """ValueError in one line unless `steps` are one or more whole numbers from 1 to `most`."""
    if np.ndim(steps) != 1 or len(steps) == 0:
        raise ValueError(f"steps must be a list of time steps from 1 to {most}, not {short_repr(steps)}")
    for step in steps:
        check_integer(1, most, step=step)


def as_images(value, size: str | int = "pixels") -> np.ndarray:
    """The images to draw, (N, T, pixels), as an array; ValueError in one line for anything else."""
    return as_numbers("images", value, ("N", "T", size))


# ---------------------------------------------------------------------------------------------------------- of panels
def draw_steps(axes, values, low, high, width=1, **labels):
    """Rows of `values` (T, units) as time steps 1 to T, downwards; the panel is `width` times as wide as high."""
    steps, columns = values.shape
    axes.set_box_aspect(1 / width)
    axes.set(**labels)
    return axes.imshow(values, vmin=low, vmax=high, aspect="auto", extent=(0.5, columns + 0.5, steps + 0.5, 0.5))


def draw_digit(axes, image, **labels):
    """An image (T, pixels) in black on white, its rows numbered as time steps, in a square panel."""
    draw_steps(axes, image, 0, 1, **labels).set_cmap("gray_r")
    axes.set_xticks(ends_and_middle(image.shape[1]))


def ends_and_middle(count: int) -> list[int]:
    """Ticks for 1 to `count`: the first, the middle, the last."""
    return sorted({1, (count + 1) // 2, count})


def draw_classes(axes, chances, **labels):
    """Class probabilities (T, 10) over the time steps, in a narrow panel."""
    axes.set(xlabel="class", xticks=range(1, 11, 3), xticklabels=range(0, 10, 3))
    return draw_steps(axes, chances, 0, 1, **labels)


def beside_images(images, labels, width):
    """A row of images titled by their labels, each with a panel to be filled, `width` times as wide, on its right.

    Returns:
        (figure, the empty panels).
    """
    size = (1.75 * len(images) * (1 + width), 2.1)
    ratios = [1, width] * len(images)
    figure, (panels,) = new_figure(size, 1, len(ratios), sharey=True, squeeze=False, width_ratios=ratios)
    for axes, image, label in zip(panels[::2], images, labels, strict=True):
        draw_digit(axes, image, xlabel="pixel", title=f"a {label}")
    panels[0].set_ylabel(STEP)
    return figure, panels[1::2]


def log_ticks(axis, steps=(1, 2, 5), form="{x:g}"):
    """Plain numbers on a logarithmic axis that may span less than a factor of ten."""
    _plain_ticks(axis, LogLocator(subs=steps), form)


def log_scale(axes, values, steps=(1, 2, 5)):
    """A logarithmic y axis for the values, with plain numbers; a 0 among them is drawn too, on a linear foot."""
    values = np.asarray(values)
    if not (values == 0).any():
        axes.set_yscale("log")
        log_ticks(axes.yaxis, steps)
        return
    least = values[values > 0].min(initial=1)
    axes.set_yscale("symlog", linthresh=least)
    _plain_ticks(axes.yaxis, SymmetricalLogLocator(base=10, linthresh=least, subs=steps), "{x:g}")


def _plain_ticks(axis, locator, form):
    axis.set_major_locator(locator)
    axis.set_major_formatter(form)
    axis.set_minor_formatter(NullFormatter())
