"""Figures of notebook 1."""

import itertools
from collections.abc import Mapping

import numpy as np

from coursework.arguments import as_numbers, check_choice, check_dict, check_names
from coursework.checks_gates import (
    COUNTEREXAMPLE_NAMES,
    as_interval,
    exact,
    gru_step,
    reachable_by_lstm,
)
from coursework.figure import Figure, new_figure, new_row, show_figure
from coursework.style import LINES, STEP, colors_of, draw_digit, draw_steps, markers_of

UNITS = ("pixel", "hidden unit")
EPSILON = 2.0**-24  # rounding of float32
EXACT = 1e-20  # an error of 0 is drawn here
BEHAVIOURS = {"store_input": "store: one step", "keep_state": "keep: 28 steps"}


def plot_keeping(paths: Mapping[str, np.ndarray]) -> Figure:
    """What plain recurrent units make of their numbers over time, a panel for each.

    Args:
        paths: dict from title to (T + 1, K), the state of a unit from K starting values, at the start and after each
            step.

    Returns:
        The figure, which has been shown; ValueError for paths of another form.

    Notebook 1, "A network that can't keep a number".
    """
    check_dict("paths", paths, "from title to (T + 1, K)")
    size = (3 * len(paths), 2.9)
    figure, row = new_row(size, len(paths))
    row[0].set_ylabel("state h")
    look = {"color": colors_of(["RNN"])["RNN"]}
    facts = []
    for axes, (title, path) in zip(row, paths.items(), strict=True):
        path = as_numbers(title, path, ("T", "K"))
        first, last = path[0], path[-1]
        axes.plot(path, lw=1, **look)
        axes.plot(np.zeros_like(first), first, "o", **look)
        axes.set(title=title, xlabel=STEP)
        left = len(np.unique(last.round(2)))
        facts.append(f"{title}: {len(first)} numbers at the start, {left} at the end")
    words = "The states of plain recurrent units over time"
    return show_figure(figure, words, facts)


def plot_panels(panels: Mapping[str, tuple[np.ndarray, str]]) -> Figure:
    """Draw arrays over time side by side, time steps downwards; what is measured in pixels as an image.

    Args:
        panels: dict from title to (values, unit): values (T, width), unit "pixel" or "hidden unit".

    Returns:
        The figure, which has been shown; ValueError for panels of another form.

    Notebook 1, Q1.1 and Q1.2.
    """
    figure = _panels_figure(panels)
    facts = []
    for title, (values, _) in panels.items():
        facts.append(f"{title} between {np.min(values):.2f} and {np.max(values):.2f}")
    return show_figure(figure, "Side by side over the time steps", facts)


def _panels_figure(panels):
    arrays, units = _arrays_of(panels)
    states = [values for title, values in arrays.items() if units[title] != "pixel"]
    high = max([1.0, *(float(np.abs(values).max()) for values in states)])
    size = (1.75 * len(arrays) + 1.1, 2.3)
    figure, row = new_row(size, len(arrays))
    picture = None
    for axes, (title, values) in zip(row, arrays.items(), strict=True):
        labels = {"title": title, "xlabel": units[title]}
        if units[title] == "pixel":
            draw_digit(axes, values, **labels)
        else:
            picture = draw_steps(axes, values, -high, high, **labels)
    row[0].set_ylabel(STEP)
    if picture:
        figure.colorbar(picture, ax=row, label="state", aspect=15)
    return figure


def _arrays_of(panels):
    """Two dicts by title, values and units; ValueError for what is no panel."""
    check_dict("panels", panels, "from title to (values, unit)")
    arrays, units = {}, {}
    for title, panel in panels.items():
        if not isinstance(panel, (tuple, list)) or len(panel) != 2:
            raise ValueError(f"{title}: a pair (values, unit) is needed")
        values, unit = panel
        check_choice("unit", unit, UNITS)
        arrays[title] = as_numbers(title, values, ("T", "width"))
        units[title] = unit
    return arrays, units


def plot_gate_error(biases: np.ndarray, bounds: Mapping, errors: Mapping) -> Figure:
    """Error of finite gates against their bias: bound (line) and float32 measurement (marks), a panel per behaviour.

    Args:
        biases: (K,).
        bounds: dict from behaviour to (K,), the proved bound.
        errors: dict from (cell, behaviour) to (K,), of `measure_gate_error`; 0 is drawn below a dashed line.

    Returns:
        The figure, which has been shown; ValueError for arrays of other lengths, or errors without a bound.

    Notebook 1, Q1.2.
    """
    biases = as_numbers("biases", biases, ("K",))
    check_dict("bounds", bounds, "from behaviour to (K,)")
    check_dict("errors", errors, "from (cell, behaviour) to (K,)")
    check_names("bounds", [behaviour for _, behaviour in errors], bounds)
    size = (4.5 * len(bounds), 3.6)
    figure, row = new_row(size, len(bounds))
    panels = dict(zip(bounds, row, strict=True))
    facts = _draw_errors(panels, biases, errors)
    for behaviour, axes in panels.items():
        what = f"the bound of {behaviour}"
        bound = as_numbers(what, bounds[behaviour], biases.shape, 0)
        axes.plot(biases, bound, color="#000000", lw=1, label="bound")
        axes.set(title=BEHAVIOURS.get(behaviour, behaviour), xlabel="gate bias B")
        _error_axis(axes, biases[-1])
    row[0].set_ylabel("largest error of the state")
    row[0].legend()
    words = (
        "The error falls with the gate bias B along the bound, then to exactly 0. First B with 0"
    )
    return show_figure(figure, words, facts)


def _draw_errors(panels, biases, errors):
    """Marks for each cell in the panel of each behaviour; returns from which bias on each error is 0, in words."""
    cells = list(dict.fromkeys(cell for cell, _ in errors))
    colors, markers = colors_of(cells), markers_of(cells)
    facts = []
    for (cell, behaviour), error in errors.items():
        error = as_numbers(f"the error of {cell}", error, biases.shape, 0)
        panels[behaviour].plot(
            biases,
            np.maximum(error, EXACT),
            ls="",
            color=colors[cell],
            marker=markers[cell],
            label=f"Keras {cell}, float32",
            # The first cell's are large and hollow, under small and full ones, because most coincide.
            markersize=7 if cell == cells[0] else 3,
            markerfacecolor="none" if cell == cells[0] else colors[cell],
        )
        facts.append(
            f"{cell}, {BEHAVIOURS.get(behaviour, behaviour)}, {_exact_from(biases, error)}"
        )
    return facts


def _error_axis(axes, right):
    """Powers of ten, what float32 rounds, and below a dashed line, where the axis is no longer logarithmic, 0."""
    axes.set(yscale="log", ylim=(EXACT / 10, 10))
    axes.minorticks_off()
    axes.set_yticks([1.0, 1e-4, 1e-8, 1e-12, EXACT])
    axes.set_yticklabels(["1", "$10^{-4}$", "$10^{-8}$", "$10^{-12}$", "exactly 0"])
    axes.axhline(EXACT * 20, color="#000000", lw=0.8, ls=(0, (6, 4)))
    axes.axhline(EPSILON, color="#999999", lw=0.8)
    axes.text(
        right,
        EPSILON * 1.4,
        "rounding of float32",
        ha="right",
        fontsize=9,
        color="#555555",
    )


def _exact_from(biases, error):
    """The first of the biases (K,) from which on the error (K,) is 0, or "none"."""
    wrong = np.flatnonzero(error)
    first = wrong[-1] + 1 if len(wrong) else 0
    return biases[first] if first < len(biases) else "none"


def plot_reachable(examples: Mapping[str, Mapping]) -> Figure:
    """What an LSTM reaches with any gates (bar), and the GRU's new h (dot): a line for each labelled example.

    The examples are values as for `check_counterexample`; ValueError if one has not all of them. Returns the figure,
    which has been shown. Notebook 1, Q1.3.
    """
    check_dict("examples", examples, "from label to values")
    figure, axes = new_figure((8, 0.5 * len(examples) + 0.9))
    colors, facts = colors_of(["LSTM", "GRU"]), []
    bar = {"lw": 9, "color": colors["LSTM"], "solid_capstyle": "butt"}
    dot = {"ms": 10, "color": colors["GRU"], "mec": "white", "mew": 1.5}
    for line, (label, values) in enumerate(examples.items()):
        check_names(label, COUNTEREXAMPLE_NAMES, values)
        low, high, h = _reached(values)
        (reached,) = axes.plot([low, high], [line, line], **bar)
        (new,) = axes.plot([h], [line], "o", **dot)
        facts.append(f"{label}: the LSTM reaches {low:.2f} to {high:.2f}, the GRU is at {h:.2f}")
    axes.set_yticks(range(len(examples)), examples)
    axes.set(
        xlabel="output h",
        xlim=(-1.05, 1.05),
        ylim=(len(examples) - 0.4, -0.6),
    )
    _legend_on_the_right(axes, [reached, new], ["LSTM, any gates", "GRU"])
    return show_figure(figure, "; ".join(facts) + ".")


def _reached(values):
    """(low, high) of what an LSTM reaches, and the GRU's new h, as floats."""
    numbers = {name: as_interval(exact(name, value)) for name, value in values.items()}
    low, high = reachable_by_lstm(numbers)
    new = gru_step(numbers)
    return float(low.mid), float(high.mid), float(new.mid)


def _legend_on_the_right(axes, lines, labels):
    axes.legend(lines, labels, loc="upper left", bbox_to_anchor=(1, 1))


def plot_imitation(gru: np.ndarray, lstms: Mapping[str, np.ndarray]) -> Figure:
    """A GRU's state over time (T,), thick, and what the read-outs of LSTMs, by label, make of it, each (T,).

    Returns the figure, which has been shown; ValueError for another shape. Notebook 1, Q1.3.
    """
    gru = as_numbers("gru", gru, ("T",))
    check_dict("lstms", lstms, "from label to (T,)")
    figure, axes = new_figure((8, 3.4))
    steps = np.arange(1, len(gru) + 1)
    color = colors_of(["GRU"])["GRU"]
    lines = axes.plot(steps, gru, lw=6, alpha=0.35, color=color)
    looks = itertools.cycle(LINES)
    facts = []
    for label, values in lstms.items():
        values = as_numbers(label, values, gru.shape)
        color, style, marker = next(looks)
        lines += axes.plot(
            steps,
            values,
            color=color,
            ls=style,
            marker=marker,
            ms=3,
            lw=1,
        )
        facts.append(f"{label} by at most {np.abs(values - gru).max():.3f}")
    axes.set(xlabel=STEP, ylabel="output h")
    _legend_on_the_right(axes, lines, ["GRU, 1 unit", *lstms])
    return show_figure(
        figure, "The GRU's state over the rows, and wide LSTMs that follow it", facts
    )


def plot_margins(gaps: Mapping[str, np.ndarray], bound: np.ndarray) -> Figure:
    """How far each count lies from the one before, in a state that counts: a line per unit, on logarithmic axes.

    Args:
        gaps: dict from label, which begins with the name of the cell, to (N,): the distance of count n from count
            n - 1, for n = 1, ..., N. A line ends where the distance is 0.
        bound: (N,), what no bounded state exceeds.

    Returns:
        The figure, which has been shown; ValueError for arrays of other lengths.

    Notebook 1, Q1.3.
    """
    check_dict("gaps", gaps, "from label to (N,)")
    bound = as_numbers("bound", bound, ("N",))
    counts = np.arange(1, len(bound) + 1)
    figure, axes = new_figure((8.5, 3.6))
    colors = colors_of(["LSTM", "GRU"])
    styles = {cell: itertools.cycle(["-", "--", ":"]) for cell in colors}
    facts = []
    for label, values in gaps.items():
        values = as_numbers(label, values, bound.shape, 0)
        cell, *_ = label.split(",")
        end = _first_zero(values)
        look = {"color": colors[cell], "ls": next(styles[cell])}
        axes.plot(counts[:end], values[:end], label=label, **look)
        facts.append(f"{label}: {values[0]:.1g} at n = 1, above 0 up to n = {end:,}")
    axes.plot(counts, bound, color="#000000", lw=0.8, label="2 / n, for any GRU unit")
    axes.set(xscale="log", yscale="log")
    axes.set(xlabel="count n", ylabel="gap to the count before")
    axes.legend(loc="upper left", bbox_to_anchor=(1, 1))
    words = "The gap between neighbouring counts"
    return show_figure(figure, words, facts)


def _first_zero(values):
    """How many of the values (N,) come before the first 0."""
    zeros = np.flatnonzero(values == 0)
    return int(zeros[0]) if len(zeros) else len(values)
