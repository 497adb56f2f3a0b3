"""Figures of notebook 1."""

import itertools
from collections.abc import Mapping

import numpy as np

from coursework.arguments import as_numbers, check_choice
from coursework.checks_gates import COUNTEREXAMPLE_NAMES, as_interval, exact, gru_step, reachable_by_lstm
from coursework.style import (
    LINES,
    STEP,
    Figure,
    check_dict,
    check_names,
    colors_of,
    draw_digit,
    draw_steps,
    markers_of,
    new_figure,
    show_figure,
)

UNITS = ("pixel", "hidden unit")
EPSILON = 2.0**-24  # rounding of float32
EXACT = 1e-20  # an error of 0 is drawn here
BEHAVIOURS = {"store_input": "store: one step", "keep_state": "keep: 28 steps"}


def plot_panels(panels: Mapping[str, tuple[np.ndarray, str]]) -> Figure:
    """Draw arrays over time side by side, time steps downwards; what is measured in pixels as an image.

    Args:
        panels: dict from title to (values, unit): values (T, width), unit "pixel" or "hidden unit".

    Returns:
        The figure, which has been shown; ValueError for panels of another form.

    Notebook 1, Q1.1 and Q1.2.
    """
    figure = _panels_figure(panels)
    ranges = [f"{title} between {np.min(values):.2f} and {np.max(values):.2f}" for title, (values, _) in panels.items()]
    return show_figure(figure, "Side by side over the time steps: " + "; ".join(ranges) + ".")


def _panels_figure(panels):
    check_dict("panels", panels, "from title to (values, unit)")
    arrays, units = {}, {}
    for title, panel in panels.items():
        if not isinstance(panel, (tuple, list)) or len(panel) != 2:
            raise ValueError(f"{title}: a pair (values, unit) is needed")
        values, units[title] = panel
        check_choice("unit", units[title], UNITS)
        arrays[title] = as_numbers(title, values, ("T", "width"))
    low, high = _range_of_states([values for title, values in arrays.items() if units[title] != "pixel"])
    size = (2.2 * len(arrays) + 0.8, 2.5)
    figure, (row,) = new_figure(size, 1, len(arrays), sharey=True, squeeze=False)
    states = None
    for axes, (title, values) in zip(row, arrays.items(), strict=True):
        if units[title] == "pixel":
            draw_digit(axes, values, title=title, xlabel="pixel")
        else:
            states = draw_steps(axes, values, low, high, title=title, xlabel="hidden unit")
    row[0].set_ylabel(STEP)
    if states:
        figure.colorbar(states, ax=row, label="state", aspect=15)
    return figure


def _range_of_states(states):
    """(low, high) of the colour scale: [-1, 1] or more, from 0 if nothing lies below it."""
    high = max([1.0, *(float(np.abs(values).max()) for values in states)])
    below = any(values.min() < -1e-3 for values in states)
    return -high if below else 0, high


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
    bounds = {of: as_numbers(f"the bound of {of}", bound, biases.shape, 0) for of, bound in bounds.items()}
    errors = {of: as_numbers(f"the error of {of[0]}", error, biases.shape, 0) for of, error in errors.items()}
    figure, (row,) = new_figure((5 * len(bounds), 3.8), 1, len(bounds), sharey=True, squeeze=False)
    cells = list(dict.fromkeys(cell for cell, _ in errors))
    colors, markers = colors_of(cells), markers_of(cells)
    for axes, (behaviour, bound) in zip(row, bounds.items(), strict=True):
        for place, cell in enumerate(cells):
            if (cell, behaviour) in errors:
                drawn = np.maximum(errors[cell, behaviour], EXACT)
                style = {"color": colors[cell], "marker": markers[cell], "label": f"Keras {cell}, float32"}
                axes.plot(biases, drawn, ls="", **style, **_mark_number(place))
        axes.plot(biases, bound, color="#000000", lw=1, label="bound")
        axes.set(title=BEHAVIOURS.get(behaviour, behaviour), xlabel="gate bias B")
        _error_axis(axes, biases[-1])
    row[0].set_ylabel("largest error of the state")
    row[0].legend()
    ends = [f"{cell}, {BEHAVIOURS.get(of, of)}, {_exact_from(biases, error)}" for (cell, of), error in errors.items()]
    words = "The error falls with the gate bias B along the bound, then to exactly 0. First B with 0: "
    return show_figure(figure, words + "; ".join(ends))


def _mark_number(place):
    """Marks of the cells in order: the first large and hollow, under small and full ones, because most coincide."""
    return {"ms": 7, "mfc": "none"} if place == 0 else {"ms": 3}


def _error_axis(axes, right):
    """Powers of ten, what float32 rounds, and below a dashed line, where the axis is no longer logarithmic, 0."""
    axes.set(yscale="log", ylim=(EXACT / 10, 10))
    axes.axhline(EPSILON, color="#999999", lw=0.8)
    axes.text(right, EPSILON * 1.4, "rounding of float32", ha="right", fontsize=8, color="#555555")
    axes.axhline(EXACT * 20, color="#000000", lw=0.8, ls=(0, (6, 4)))
    axes.minorticks_off()
    axes.set_yticks([1.0, 1e-4, 1e-8, 1e-12, EXACT])
    axes.set_yticklabels(["1", "$10^{-4}$", "$10^{-8}$", "$10^{-12}$", "exactly 0"])


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
        axes.plot([low, high], [line, line], **bar, label="LSTM, any gates" if line == 0 else None)
        axes.plot(h, line, "o", **dot, label="GRU" if line == 0 else None)
        facts.append(f"{label}: the LSTM reaches {low:.2f} to {high:.2f}, the GRU is at {h:.2f}")
    axes.set_yticks(range(len(examples)), examples)
    axes.set(xlabel="output h", xlim=(-1.05, 1.05), ylim=(len(examples) - 0.4, -0.6))
    axes.legend(loc="upper left", bbox_to_anchor=(1, 1))
    return show_figure(figure, "; ".join(facts) + ".")


def _reached(values):
    """(low, high) of what an LSTM reaches, and the GRU's new h, as floats."""
    numbers = {name: as_interval(exact(name, value)) for name, value in values.items()}
    low, high = reachable_by_lstm(numbers)
    return float(low.mid), float(high.mid), float(gru_step(numbers).mid)


def plot_imitation(gru: np.ndarray, lstms: Mapping[str, np.ndarray]) -> Figure:
    """A GRU's state over time (T,), thick, and what the read-outs of LSTMs, by label, make of it, each (T,).

    Returns the figure, which has been shown; ValueError for another shape. Notebook 1, Q1.3.
    """
    gru = as_numbers("gru", gru, ("T",))
    check_dict("lstms", lstms, "from label to (T,)")
    lstms = {label: as_numbers(label, values, gru.shape) for label, values in lstms.items()}
    figure, axes = new_figure((8, 3.4))
    steps = np.arange(1, len(gru) + 1)
    axes.plot(steps, gru, lw=6, alpha=0.35, color=colors_of(["GRU"])["GRU"], label="GRU, 1 unit")
    styles = itertools.cycle(LINES)
    for (label, values), (color, line, marker) in zip(lstms.items(), styles, strict=False):
        axes.plot(steps, values, color=color, ls=line, marker=marker, ms=3, lw=1, label=label)
    axes.set(xlabel=STEP, ylabel="output h")
    axes.legend(loc="upper left", bbox_to_anchor=(1, 1))
    gaps = [f"{label} by at most {np.abs(values - gru).max():.3f}" for label, values in lstms.items()]
    words = "The GRU's state over the rows, and wide LSTMs that follow it: "
    return show_figure(figure, words + "; ".join(gaps) + ".")
