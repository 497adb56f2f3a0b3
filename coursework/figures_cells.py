"""Figures of notebook 4: cells side by side, and far beyond the lengths that they were trained on."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.lines import Line2D

from coursework.arguments import as_numbers, check_dict
from coursework.figure import Figure, new_figure, new_row, show_figure
from coursework.style import LINES, colors_of

Interval = tuple[float, float, float]
STYLES = [style for _, style, _ in LINES]  # of curves, beside their colours


def plot_cells(groups: Mapping[str, Mapping[str, Sequence[Interval]]]) -> Figure:
    """Accuracies of cells with their intervals, a panel for each group: read at T, and read at T - 4.

    Args:
        groups: dict from a panel's title to a dict from a cell's name to two triples (mean, low, high): what is read
            out after the last step, and four steps before. The cells of all panels are those of the first.

    Returns:
        The figure, which has been shown; ValueError for what is no such dict.

    Notebook 4.
    """
    check_dict("groups", groups, "from a panel's title to a dict from a cell to two triples")
    cells = list(next(iter(groups.values())))
    colors = colors_of(cells)
    figure, panels = new_row((8, 4.2), len(groups), sharex=True)
    facts = []
    for axes, (title, group) in zip(panels, groups.items(), strict=True):
        for place, cell in enumerate(cells):
            points = as_numbers(f"{title}, {cell}", group[cell], (2, 3))
            _draw_pair(axes, place, points, colors[cell])
            facts.append(f"{cell} {points[0, 0]:.2f} and {points[1, 0]:.2f}")
        facts[-len(cells)] = f"{title}, {facts[-len(cells)]}"
        axes.set(title=title, xlabel="accuracy", yticks=range(len(cells)), yticklabels=cells)
        axes.grid(axis="x")
    panels[0].set(xlim=(0, 1.02), ylim=(len(cells) - 0.5, -0.5))  # the first cell on top
    _explain(figure)
    return show_figure(figure, "Accuracy at T and at T - 4 by cell", facts)


def _draw_pair(axes, place, points, color):
    """The two accuracies of a cell on its line: a disc for T, an empty square for T - 4."""
    for (mean, low, high), marker, fill in zip(points, "os", (color, "white"), strict=True):
        axes.errorbar(
            mean,
            place,
            xerr=[[mean - low], [high - mean]],
            fmt=marker,
            color=color,
            markerfacecolor=fill,
            markersize=7,
            capsize=3,
        )


def _explain(figure):
    """What disc and square are, below the panels, where they cover nothing."""
    look: dict[str, Any] = {"color": "#555555", "markersize": 7, "linestyle": "none"}
    disc = Line2D([], [], marker="o", label="read at T", **look)
    square = Line2D([], [], marker="s", markerfacecolor="white", label="read at T - 4", **look)
    figure.legend(handles=[disc, square], loc="outside lower center", ncols=2)


def plot_beyond(
    lengths: np.ndarray, curves: Mapping[str, np.ndarray], longest: int, **labels: str
) -> Figure:
    """A line for each cell over the length of a sequence; grey up to the longest of the training.

    Args:
        lengths: (K,).
        curves: dict from a cell's name to what it reaches at each length, (K,). "right", if it is there, is what should
            be reached: a thin black line.
        longest: the longest length in the training.
        labels: `xlabel` and `ylabel`.

    Returns:
        The figure, which has been shown; ValueError for curves of another length.

    Notebook 4.
    """
    check_dict("curves", curves, "from a cell's name to numbers")
    lengths = as_numbers("lengths", lengths, ("K",))
    figure, axes = new_figure((8, 4))
    axes.axvspan(0, longest, color="#DDDDDD", label="lengths of the training")
    facts = []
    colors = colors_of([name for name in curves if name != "right"])
    for number, (name, values) in enumerate(curves.items()):
        values = as_numbers(name, values, (len(lengths),))
        if name == "right":
            axes.plot(lengths, values, color="black", linewidth=1, label=name)
            continue
        style = STYLES[number % len(STYLES)]
        axes.plot(lengths, values, color=colors[name], linestyle=style, linewidth=2, label=name)
        facts.append(f"{name} {values[-1]:.3g}")
    axes.set(xlim=(0, lengths[-1]), **labels)
    axes.grid()
    axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.5))
    what = f"{axes.get_ylabel()} over {axes.get_xlabel()}"
    return show_figure(figure, f"{what}; at {lengths[-1]:g}", facts)
