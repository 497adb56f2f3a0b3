"""Figures of notebook 3: states and gates over time."""

import itertools
from collections.abc import Mapping, Sequence

import numpy as np

from coursework.analysis import STATES, saturation
from coursework.arguments import as_numbers, check_count, check_dict, check_names
from coursework.figure import Figure, new_figure, new_row, show_figure
from coursework.style import (
    FREE_MARKERS,
    NO_GATES,
    STEP,
    as_images,
    beside_images,
    colors_of,
    draw_digit,
    draw_steps,
    gates_of,
    title_of,
)

GATE_MARKERS = ("o", "s", "^", *FREE_MARKERS)  # of the gates of one cell, in order


def _range_of(values):
    """(limit of a colour scale, which of its ends go on)."""
    size = np.abs(values)
    if np.nanmax(size) <= 1:
        return 1, "neither"
    return np.ceil(np.nanpercentile(size, 98)), "both"


def _lowest(name, values, high):
    """The lower end of a colour scale that goes up to `high`: 0 for gates that have nothing below it."""
    return 0 if name not in NO_GATES and values.min() >= 0 else -high


def plot_over_time(
    images: np.ndarray, traced: Mapping[str, np.ndarray], names: Sequence[str]
) -> Figure:
    """Each image beside what a recurrent layer does while it reads it, row by row.

    What stays between -1 and 1 is drawn on this range, anything else on that of all but its 2 % largest values.

    Args:
        images: (N, T, pixels).
        traced: dict of arrays (N, T, units), as from `trace`, of any cell.
        names: which of them, from left to right.

    Returns:
        The figure, which has been shown; ValueError for another shape, or a name that `traced` has not.

    Notebook 3, bonus.
    """
    images = as_images(images)
    check_dict("traced", traced, "of arrays, as from trace")
    check_names("traced", names, traced)
    shape = (*images.shape[:2], "units")
    arrays = {name: as_numbers(name, traced[name], shape) for name in names}
    figure, grid = new_figure(
        (2.1 * (len(arrays) + 1), 1.9 * len(images) + 0.9),
        rows=len(images),
        columns=len(arrays) + 1,
        squeeze=False,
        sharey=True,
    )
    first, *others = grid.T
    for axes, image in zip(first, images, strict=True):
        draw_digit(axes, image, ylabel=STEP)
    first[0].set_title("image")
    first[-1].set_xlabel("pixel")
    facts = []
    for column, (name, values) in zip(others, arrays.items(), strict=True):
        _draw_column(figure, column, name, values)
        facts.append(f"{title_of(name)} (mean {values.mean():.2f})")
    words = f"{len(images)} digits, each beside these arrays of time steps by hidden units"
    return show_figure(figure, words, facts)


def _draw_column(figure, column, name, values):
    """An array (N, T, units), a panel for each image, on one colour scale."""
    high, extend = _range_of(values)
    low = _lowest(name, values, high)
    for axes, of_image in zip(column, values, strict=True):
        picture = draw_steps(axes, of_image, low, high)
    column[0].set_title(title_of(name))
    column[-1].set_xlabel("hidden unit")
    figure.colorbar(
        picture,
        ax=column,
        ticks=[low, (low + high) / 2, high],
        format="{x:g}",
        orientation="horizontal",
        aspect=12,
        extend=extend,
    )


def plot_states(images: np.ndarray, h: np.ndarray, labels: np.ndarray) -> Figure:
    """Each image (N, T, pixels) with its label (N,), beside the output h (N, T, units) over time.

    Returns the figure, which has been shown; ValueError for another shape. Notebook 3, Q3.2.
    """
    images = as_images(images)
    h = as_numbers("h", h, (*images.shape[:2], "units"))
    check_count(images, labels=labels)
    high, extend = _range_of(h)
    figure, panels = beside_images(images, labels, width=0.8)
    titles = {"xlabel": "hidden unit", "title": "output h"}
    for axes, states in zip(panels, h, strict=True):
        picture = draw_steps(axes, states, -high, high, width=0.8, **titles)
    figure.colorbar(picture, ax=panels, label="output h", aspect=15, extend=extend)
    digits = ", ".join(map(str, labels))
    words = "each beside the output h: alike in the blank rows at the top, different below."
    return show_figure(figure, f"The digits {digits}, {words}")


def plot_class_means(means: np.ndarray) -> Figure:
    """The mean state of each class over time, (10, T, units) as from `class_means`, one panel per digit.

    Returns the figure, which has been shown; ValueError for another shape. Notebook 3, Q3.2.
    """
    if np.ndim(means) != 3 or len(means) != 10:
        raise ValueError(
            f"means has shape {np.shape(means)}, expected (10, T, units) as from class_means"
        )
    high, extend = _range_of(means)
    figure, grid = new_figure((11, 4.8), 2, 5, sharex=True, sharey=True)
    for digit, axes in enumerate(grid.flat):
        picture = draw_steps(
            axes,
            means[digit],
            -high,
            high,
            title=f"digit {digit}",
            xlabel="hidden unit",
            ylabel=STEP,
        )
        axes.label_outer()
    figure.colorbar(picture, ax=grid, label="mean output h", shrink=0.8, extend=extend)
    spread = np.nanstd(means, axis=0).mean(-1)
    early = min(3, len(spread))
    facts = [f"{spread[early - 1]:.2f} at step {early}", f"{spread[-1]:.2f} at the last"]
    words = "Mean output h of each digit over the time steps. Standard deviation between the digits"
    return show_figure(figure, words, facts)


def plot_gate_means(traced: Mapping[str, Mapping[str, np.ndarray]]) -> Figure:
    """Mean of every gate over the images, each unit at each step: a row per cell, which has the dict of its `trace`.

    A cell without gates is left out. Returns the figure, which has been shown; ValueError for arrays that are none.
    Notebook 3, bonus.
    """
    gates = _gates_by_cell(traced)
    every = [gate for of_cell in gates.values() for gate in of_cell.values()]
    high = max(_range_of(gate)[0] for gate in every)  # one colour scale for all
    columns = max(map(len, gates.values()))
    size = (2.6 * columns + 1, 2.6 * len(gates))
    figure, grid = new_figure(size, len(gates), columns, sharey=True, squeeze=False)
    facts = []
    for row, (cell, of_cell) in zip(grid, gates.items(), strict=True):
        row[0].set_ylabel(STEP)
        for axes in row:
            axes.axis("off")
        for axes, (name, gate) in zip(row, of_cell.items(), strict=False):
            axes.axis("on")
            picture, fact = _draw_mean(axes, f"{cell}: {title_of(name)}", gate, high)
            facts.append(f"{cell} {name} {fact}")
    extend = "neither" if high == 1 else "both"
    figure.colorbar(
        picture,
        ax=grid,
        label="mean of the gate",
        shrink=0.8,
        extend=extend,
    )
    return show_figure(
        figure, "Mean of each gate over the images, by time step and hidden unit", facts
    )


def _draw_mean(axes, title, gate, high):
    """Mean of a gate (N, T, units) over the images; returns (picture, how it goes over time in words)."""
    mean = gate.mean(0)
    low = 0 if gate.min() >= 0 else -high
    picture = draw_steps(axes, mean, low, high, xlabel="hidden unit")
    axes.set_title(title, fontsize=9)
    by_step = mean.mean(-1)
    return picture, f"from {by_step[0]:.2f} at step 1 to {by_step[-1]:.2f} at the last"


def _gates_by_cell(traced, low=-np.inf, high=np.inf):
    """The gates of each cell that has some, as arrays (N, T, units) of values from `low` to `high`."""
    check_dict("traced", traced, "from a cell's name to what trace returns")
    found = {}
    for cell, values in traced.items():
        check_dict(f"traced[{cell!r}]", values, "of arrays, as from trace")
        gates = {}
        for name in gates_of(values):
            gates[name] = as_numbers(f"{cell} {name}", values[name], STATES, low, high)
        if gates:
            found[cell] = gates
    if not found:
        raise ValueError(f"no gates to draw: {', '.join(map(str, traced))} has none")
    return found


def plot_saturation(traced: Mapping[str, Mapping[str, np.ndarray]]) -> Figure:
    """How often each unit's gate is nearly closed and nearly open: a panel per cell, which has the dict of its `trace`.

    A point per unit, a marker per gate; a cell without gates is left out. Returns the figure, which has been shown;
    ValueError for arrays that are none, or gates beyond [0, 1]. Notebook 3, bonus.
    """
    gates = _gates_by_cell(traced, 0, 1)
    size = (4.6 * len(gates), 4.3)
    figure, panels = new_row(size, len(gates), sharex=True)
    facts = []
    for axes, (cell, of_cell) in zip(panels, gates.items(), strict=True):
        colors = colors_of(of_cell)
        markers = itertools.cycle(GATE_MARKERS)
        for name, gate in of_cell.items():
            closed, opened = saturation(gate)
            axes.plot(
                closed,
                opened,
                next(markers),
                color=colors[name],
                markersize=6,
                markeredgecolor="black",
                alpha=0.8,
                label=title_of(name),
            )
            facts.append(f"{cell} {name} {closed.mean():.2f} below and {opened.mean():.2f} above")
        axes.plot([0, 1], [1, 0], "--", color="#888888", linewidth=1)
        axes.set(title=f"{cell}", xlabel="share of steps with the gate below 0.1")
        axes.grid()
        axes.legend()
    panels[0].set_ylabel("share of steps with the gate above 0.9")
    words = "Share of steps with a gate below 0.1 and above 0.9, mean over the units"
    return show_figure(figure, words, facts)
