"""The look of all figures: one colour for each thing, panels, axes."""

import itertools
import re
from collections.abc import Iterable, Mapping

import matplotlib
import numpy as np
from matplotlib.rcsetup import cycler
from matplotlib.ticker import LogLocator, NullFormatter

from coursework.arguments import as_numbers
from coursework.cells import CELLS
from coursework.figure import new_row

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
FREE_COLORS = (
    "#009E73",
    "#CC79A7",
    "#E69F00",
    "#56B4E9",
    "#000000",
    "#882255",
    "#0072B2",
    "#D55E00",
)
FREE_MARKERS = ("D", "v", "P", "X", "<", ">", "p", "h")
LINES = (  # colour, line style and marker of the curves of one figure, in order; no colour is that of a model
    ("#332288", "-", "o"),
    ("#009E73", "--", "s"),
    ("#882255", ":", "^"),
    ("#E69F00", "-.", "D"),
    ("#000000", (0, (5, 1, 1, 1, 1, 1)), "v"),
)
TITLES = {name: title for cell in CELLS.values() for name, title in cell.titles.items()}
TITLES |= {"g": "candidate g", "h": "output h", "c": "state c"}
NO_GATES = ("g", "c", "h")  # what `trace` returns beside the gates
STEP = "time step (row)"
SIGNED = "RdBu"  # colour map of what has a sign, such as states: white is 0, rest
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
        "axes.prop_cycle": cycler(color=[color for color, _, _ in LINES]),
    }
)


def family_of(label: str) -> str:
    """The kind of a network from its label, "GRU" of "GRU 3 x 32, tuned"; "whole image" if it reads no rows."""
    name, _, _ = label.partition(",")
    family = re.sub(r" (\d+ x )?\d+( from its equations)?$", "", name)
    return "whole image" if family in WHOLE_IMAGE else family


def colors_of(names: Iterable[str]) -> dict[str, str]:
    """A colour for each of the names: its own, or one that none of the others has."""
    return _own_or_free(names, COLORS, FREE_COLORS)


def markers_of(names: Iterable[str]) -> dict[str, str]:
    """A marker for each of the names: its own, or one that none of the others has."""
    return _own_or_free(names, MARKERS, FREE_MARKERS)


def _own_or_free(names, own, free):
    found = {name: own.get(name) for name in names}
    taken = found.values()
    left = itertools.cycle([style for style in free if style not in taken])
    for name, style in found.items():
        found[name] = style or next(left)
    return found


def title_of(name: str) -> str:
    """What a gate or another array of `trace` is called in figures."""
    return TITLES.get(name, f"gate {name}")


def gates_of(traced: Mapping) -> list[str]:
    """The names of the gates among what `trace` returns, whatever the cell."""
    return [name for name in traced if name not in NO_GATES]


def as_images(value, size: str | int = "pixels") -> np.ndarray:
    """The images to draw, (N, T, pixels), as an array; ValueError in one line for anything else."""
    return as_numbers("images", value, ("N", "T", size))


def draw_steps(axes, values, low, high, width=1, **labels):
    """Rows of `values` (T, units) as time steps 1 to T, downwards; the panel is `width` times as wide as high.

    On a scale with as much below 0 as above it, white is 0.
    """
    steps, columns = values.shape
    axes.set_box_aspect(1 / width)
    axes.set(**labels)
    return axes.imshow(
        values,
        vmin=low,
        vmax=high,
        aspect="auto",
        cmap=SIGNED if low == -high else None,
        extent=(0.5, columns + 0.5, steps + 0.5, 0.5),
    )


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
    ratios = [1, width] * len(images)
    size = (1.75 * sum(ratios), 2.1)
    figure, panels = new_row(size, len(ratios), width_ratios=ratios)
    for axes, image, label in zip(panels[::2], images, labels, strict=True):
        draw_digit(axes, image, xlabel="pixel", title=f"a {label}")
    panels[0].set_ylabel(STEP)
    return figure, panels[1::2]


def log_ticks(axis, steps=(1, 2, 5), form="{x:g}"):
    """Plain numbers on a logarithmic axis that may span less than a factor of ten."""
    axis.set_major_locator(LogLocator(subs=steps))
    axis.set_major_formatter(form)
    axis.set_minor_formatter(NullFormatter())


def log_scale(axes, values, steps=(1, 2, 5)):
    """A logarithmic y axis for the values, with plain numbers; a 0 among them is drawn too, on a linear foot."""
    values = np.asarray(values)
    if not (values == 0).any():
        axes.set_yscale("log")
        log_ticks(axes.yaxis, steps)
        return
    positive = values[values > 0]
    least = positive.min() if positive.size else 1.0
    axes.set_yscale("symlog", linthresh=least)
    _, top = axes.get_ylim()
    marks = LogLocator(subs=steps).tick_values(least, top)
    axes.set_yticks([0, *(mark for mark in marks if least <= mark <= top)])
    axes.yaxis.set_major_formatter("{x:g}")
    axes.minorticks_off()
