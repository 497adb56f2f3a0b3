"""Figures of notebook 1."""

import io
import itertools

import ipywidgets
import matplotlib.pyplot as plt
import numpy as np

from coursework.arguments import as_numbers
from coursework.checks_gates import as_interval, exact, gru_step, reachable_by_lstm
from coursework.hand_set import keras_layer, run_equations
from coursework.style import COLORS, LINES, MARKERS, STEP, draw_digit, draw_steps, show_figure
from coursework.text import show_widget


def plot_panels(panels: dict[str, tuple[np.ndarray, str]]) -> None:
    """Draw arrays over time side by side, time steps downwards; what is measured in pixels as an image.

    Args:
        panels: dict from title to (values, unit): values (T, width), unit "pixel" or "hidden unit", the latter at
            least once.

    Notebook 1, Q1.1 and Q1.2.
    """
    _panels_figure(panels)
    states = [f"{title} between {values.min():.2f} and {values.max():.2f}" for title, (values, _) in panels.items()]
    show_figure("Side by side over the time steps: " + "; ".join(states) + ".")


def _panels_figure(panels):
    states = [values for values, unit in panels.values() if unit != "pixel"]
    scale = max(1.0, *(float(np.abs(values).max()) for values in states))
    low = -scale if any(np.min(values) < -1e-3 for values in states) else 0
    figure, row = plt.subplots(1, len(panels), figsize=(2.2 * len(panels) + 0.8, 2.5), sharey=True)
    for axes, (title, (values, unit)) in zip(row, panels.items(), strict=True):
        if unit == "pixel":
            draw_digit(axes, values, title=title, xlabel=unit)
        else:
            picture = draw_steps(axes, values, low, scale, title=title, xlabel=unit)
    row[0].set_ylabel(STEP)
    figure.colorbar(picture, ax=row, label="state", aspect=15)
    return figure


def plot_gate_error(biases: np.ndarray, bounds: dict, errors: dict) -> None:
    """Error of finite gates against their bias: bound (line) and float32 measurement (marks), a panel per behaviour.

    Args:
        biases: (K,).
        bounds: dict from behaviour to (K,), the proved bound.
        errors: dict from (cell, behaviour) to (K,), of `measure_gate_error`; 0 is drawn below a dashed line.

    Notebook 1, Q1.2.
    """
    _, row = plt.subplots(1, len(bounds), figsize=(10, 3.8), sharey=True)
    foot, titles = 1e-20, {"store_input": "store: one step", "keep_state": "keep: 28 steps"}
    for axes, (behaviour, bound) in zip(row, bounds.items(), strict=True):
        for (cell, of), error in errors.items():
            if of == behaviour:  # large and hollow under small and full, because most marks coincide
                style = {"ms": 7, "mfc": "none"} if cell == "LSTM" else {"ms": 3}
                style |= {"marker": MARKERS[cell], "ls": "", "color": COLORS[cell]}
                axes.plot(biases, np.maximum(error, foot), **style, label=f"Keras {cell}, float32")
        axes.plot(biases, bound, color="#000000", lw=1, label="bound")
        axes.axhline(2.0**-24, color="#999999", lw=0.8)
        axes.text(biases[-1], 2.0**-24 * 1.4, "rounding of float32", ha="right", fontsize=8, color="#555555")
        axes.axhline(foot * 20, color="#000000", lw=0.8, ls=(0, (6, 4)))  # below it the axis is no longer logarithmic
        axes.set(title=titles[behaviour], xlabel="gate bias B", yscale="log", ylim=(foot / 10, 10))
        axes.minorticks_off()
    row[0].set_ylabel("largest error of the state")
    ticks = [1.0, 1e-4, 1e-8, 1e-12, foot]
    row[0].set_yticks(ticks, ["1", "$10^{-4}$", "$10^{-8}$", "$10^{-12}$", "exactly 0"])
    row[0].legend()
    ends = [f"{cell}, {titles[of]}, {biases[error > 0].max() + 1}" for (cell, of), error in errors.items()]
    show_figure(
        "The error falls with the gate bias B along the bound, then to exactly 0. First B with 0: " + "; ".join(ends)
    )


def plot_reachable(examples: dict[str, dict]) -> None:
    """What an LSTM reaches with any gates (bar), and the GRU's new h (dot): a line for each labelled example.

    The examples are values as for `check_counterexample`. Notebook 1, Q1.3.
    """
    _, axes = plt.subplots(figsize=(8, 0.5 * len(examples) + 0.9))
    facts = []
    for line, (label, values) in enumerate(examples.items()):
        numbers = {name: as_interval(exact(name, value)) for name, value in values.items()}
        low, high, h = (float(interval.mid) for interval in (*reachable_by_lstm(numbers), gru_step(numbers)))
        facts.append(f"{label}: the LSTM reaches {low:.2f} to {high:.2f}, the GRU is at {h:.2f}")
        bar = {"lw": 9, "color": COLORS["LSTM"], "solid_capstyle": "butt"}
        axes.plot([low, high], [line, line], **bar, label="LSTM, any gates" if line == 0 else None)
        point = {"ms": 10, "color": COLORS["GRU"], "mec": "white", "mew": 1.5}
        axes.plot(h, line, "o", **point, label="GRU" if line == 0 else None)
    axes.set_yticks(range(len(examples)), examples)
    axes.set(xlabel="output h", xlim=(-1.05, 1.05), ylim=(len(examples) - 0.4, -0.6))
    axes.legend(loc="upper left", bbox_to_anchor=(1, 1))
    show_figure("; ".join(facts) + ".")


def plot_imitation(gru: np.ndarray, lstms: dict[str, np.ndarray]) -> None:
    """A GRU's state over time (T,), thick, and what the read-outs of LSTMs, by label, make of it. Notebook 1, Q1.3."""
    gru = as_numbers("gru", gru, ("T",))
    lstms = {label: as_numbers(label, values, gru.shape) for label, values in lstms.items()}
    _, axes = plt.subplots(figsize=(8, 3.4))
    steps = np.arange(1, len(gru) + 1)
    axes.plot(steps, gru, lw=6, alpha=0.35, color=COLORS["GRU"], label="GRU, 1 unit")
    styles = itertools.cycle(LINES[1:4])
    for (label, values), (color, line, marker) in zip(lstms.items(), styles, strict=False):
        axes.plot(steps, values, color=color, ls=line, marker=marker, ms=3, lw=1, label=label)
    axes.set(xlabel=STEP, ylabel="output h")
    axes.legend(loc="upper left", bbox_to_anchor=(1, 1))
    gaps = [f"{label} by at most {np.abs(values - gru).max():.3f}" for label, values in lstms.items()]
    show_figure("The GRU's state over the rows, and wide LSTMs that follow it: " + "; ".join(gaps) + ".")


PLAYGROUND_BIASES = {"b_i": -1.0, "b_f": 1.5, "b_o": 2.0, "b_z": 1.5, "b_r": 0.0}


def gate_playground(digit: np.ndarray) -> None:
    """Sliders for the constant gate biases of an LSTM and a GRU, and their states over the rows of a digit (28, 28).

    Both have 28 units, W = identity and U = identity / 2. Without widgets, the picture of the starting values remains.
    ValueError for another shape. Notebook 1, Q1.2.
    """
    digit = as_numbers("digit", digit, (28, 28))
    sliders = {
        name: ipywidgets.FloatSlider(bias, min=-8, max=8, step=0.5, description=name, continuous_update=False)
        for name, bias in PLAYGROUND_BIASES.items()
    }
    picture = ipywidgets.Image()

    def panels():
        found = {"input": (digit, "pixel")}
        for cell, gates in (("LSTM", "ifo"), ("GRU", "zr")):
            biases = {f"b_{gate}": sliders[f"b_{gate}"].value for gate in gates}
            h, c = run_equations(keras_layer(cell, {"W": np.eye(28), "U": np.eye(28) / 2} | biases), digit[None])
            found |= {"LSTM: c": (c[0], "hidden unit")} if cell == "LSTM" else {}
            found[f"{cell}: h"] = (h[0], "hidden unit")
        return found

    def redraw(_=None):
        figure, buffer = _panels_figure(panels()), io.BytesIO()
        figure.savefig(buffer, format="png")
        plt.close(figure)
        picture.value = buffer.getvalue()

    redraw()
    for slider in sliders.values():
        slider.observe(redraw, names="value")
    rows = [[sliders[f"b_{gate}"] for gate in gates] for gates in ("ifo", "zr")]
    show_widget(ipywidgets.VBox([*map(ipywidgets.HBox, rows), picture]))
    plot_panels(panels())
