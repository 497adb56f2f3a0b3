"""Figures of notebook 3: states and gates over time."""

from collections.abc import Mapping, Sequence

import matplotlib
import numpy as np

from coursework.analysis import STATES
from coursework.arguments import as_numbers, check_dict, check_names
from coursework.figure import Figure, new_figure, show_figure
from coursework.style import (
    NO_GATES,
    STEP,
    as_images,
    colors_of,
    draw_digit,
    draw_steps,
    gates_of,
    title_of,
)


def _range_of(values):
    """The limit of a colour scale that holds all values: 1 for what stays between -1 and 1."""
    return max(1, np.ceil(np.nanmax(np.abs(values))))


def _large_enough(width):
    """Fonts of a figure of so many inches that have 13 pt on a slide of 12 inches."""
    return matplotlib.rc_context({"font.size": max(10, 13 * width / 12)})


def _lowest(name, values, high):
    """The lower end of a colour scale that goes up to `high`: 0 for gates that have nothing below it."""
    return 0 if name not in NO_GATES and values.min() >= 0 else -high


def plot_over_time(
    images: np.ndarray, traced: Mapping[str, np.ndarray], names: Sequence[str]
) -> Figure:
    """Each image beside what a recurrent layer does while it reads it, row by row.

    What has a sign is drawn with 0 in white; what stays between -1 and 1 on this range, anything else on its own.

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
    width = 1.9 * (len(arrays) + 1)
    with _large_enough(width):
        return _draw_over_time(images, arrays, (width, 1.9 * len(images) + 1))


def _draw_over_time(images, arrays, size):
    rows, columns = len(images), len(arrays) + 1
    figure, grid = new_figure(size, rows, columns, squeeze=False, sharey=True)
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
    high = _range_of(values)
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
    )


def plot_class_means(means: np.ndarray) -> Figure:
    """The mean state of each class over time, (10, T, units) as from `class_means`, one panel per digit.

    Returns the figure, which has been shown; ValueError for another shape. Notebook 3, Q3.2.
    """
    if np.ndim(means) != 3 or len(means) != 10:
        raise ValueError(
            f"means has shape {np.shape(means)}, expected (10, T, units) as from class_means"
        )
    with _large_enough(10):
        return _draw_class_means(means)


def _draw_class_means(means):
    high = _range_of(means)
    figure, grid = new_figure((10, 4.6), 2, 5, sharex=True, sharey=True)
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
    figure.colorbar(picture, ax=grid, label="mean output h", shrink=0.8)
    spread = np.nanstd(means, axis=0).mean(-1)
    early = min(3, len(spread))
    facts = [f"{spread[early - 1]:.2f} at step {early}", f"{spread[-1]:.2f} at the last"]
    words = "Mean output h of each digit over the time steps. Standard deviation between the digits"
    return show_figure(figure, words, facts)


def plot_gate_histograms(
    trained: Mapping[str, Mapping[str, np.ndarray]],
    untrained: Mapping[str, Mapping[str, np.ndarray]],
) -> Figure:
    """How often each gate has which value, over all images, steps and units: trained networks beside untrained ones.

    Args:
        trained, untrained: from a cell's name to the dict of its `trace`; a row of panels per cell, one per gate.

    Returns:
        The figure, which has been shown; ValueError for arrays that are none, gates beyond [0, 1], or an untrained
        network without one of the gates.

    Notebook 3, bonus.
    """
    gates = _gates_by_cell(trained)
    columns = max(map(len, gates.values()))
    figure, grid = new_figure(
        (2.7 * columns, 2.3 * len(gates)),
        len(gates),
        columns,
        squeeze=False,
        sharex=True,
        sharey=True,
    )
    facts = []
    for row, (cell, of_cell) in zip(grid, gates.items(), strict=True):
        check_names("untrained", [cell], untrained)
        check_names(f"untrained[{cell!r}]", of_cell, untrained[cell])
        for axes in row[len(of_cell) :]:
            axes.axis("off")
        for axes, (name, gate) in zip(row, of_cell.items(), strict=False):
            before = as_numbers(f"{cell} {name}", untrained[cell][name], STATES, 0, 1)
            _draw_histogram(axes, gate, before, colors_of([cell])[cell])
            axes.set_title(f"{cell}: {name}")
            facts.append(f"{cell} {name} {(gate > 0.9).mean():.0%}")
        row[0].set_ylabel("share (%)")
    for column in grid.T:
        lowest = [axes for axes in column if axes.axison][-1]
        lowest.set_xlabel("value of the gate")
        lowest.tick_params(labelbottom=True)
    grid.flat[min(1, grid.size - 1)].legend(loc="upper left")  # an LSTM's f has room there
    words = "Histograms of the values of each gate, trained and untrained. Above 0.9 when trained"
    return show_figure(figure, words, facts)


def _draw_histogram(axes, trained, untrained, color):
    """Shares, in percent, of the values of a gate in twenty bins: filled when trained, a line when not."""
    bins = np.linspace(0, 1, 21)
    for values, look in (
        (trained, {"color": color, "label": "trained"}),
        (untrained, {"color": "black", "histtype": "step", "label": "untrained"}),
    ):
        counts, _ = np.histogram(values, bins)
        axes.hist(bins[:-1], bins, weights=100 * counts / counts.sum(), **look)


def _gates_by_cell(traced):
    """The gates of each cell that has some, as arrays (N, T, units) of values from 0 to 1."""
    check_dict("traced", traced, "from a cell's name to what trace returns")
    found = {}
    for cell, values in traced.items():
        check_dict(f"traced[{cell!r}]", values, "of arrays, as from trace")
        gates = {}
        for name in gates_of(values):
            gates[name] = as_numbers(f"{cell} {name}", values[name], STATES, 0, 1)
        if gates:
            found[cell] = gates
    if not found:
        raise ValueError(f"no gates to draw: {', '.join(map(str, traced))} has none")
    return found
