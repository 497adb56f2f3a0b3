"""Tables and figures of notebook 3."""

from collections.abc import Iterable, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.animation import FuncAnimation, PillowWriter
from matplotlib.ticker import MaxNLocator
from matplotlib.transforms import Bbox

from coursework import files
from coursework.analysis import commit_step, saturation
from coursework.arguments import as_numbers, check_integer
from coursework.files import replacing
from coursework.statistics import holm, mcnemar, wilson
from coursework.style import (
    COLORS,
    LINES,
    MARKERS,
    STEP,
    TITLES,
    beside_images,
    draw_classes,
    draw_digit,
    draw_steps,
    log_ticks,
    show_figure,
)
from coursework.text import measured, show_table

GATE_MARKERS = {"i": "o", "f": "s", "o": "^", "z": "o", "r": "s"}


def plot_accuracy_by_size(parameters: dict[str, int], hits: dict[str, int], total: int) -> None:
    """Test error over the number of parameters with 95 % intervals; a marker per kind of model.

    Args:
        parameters, hits: dicts from a model's label to its number of parameters, of test images it got right.
        total: number of test images.

    Notebook 3, Q3.1.
    """
    _, axes = plt.subplots(figsize=(8, 4.5))
    points = []
    for family, marker in MARKERS.items():
        labels = [name for name in hits if (name.split()[0] if name.split()[0] in COLORS else "whole image") == family]
        if not labels:
            continue
        size, right = np.array([parameters[name] for name in labels]), np.array([hits[name] for name in labels])
        low, high = wilson(right, total)
        low, error, high = (100 * (1 - share) for share in (high, right / total, low))
        bars = np.maximum([error - low, high - error], 0)
        axes.errorbar(size, error, bars, fmt=marker, color=COLORS[family], capsize=3, markersize=7, label=family)
        points += zip(labels, size, error, low, high, strict=True)
    axes.set(xscale="log", yscale="log", xlabel="number of parameters", ylabel="test error (%)")
    axes.margins(0.15)
    log_ticks(axes.xaxis, form="{x:,.0f}")
    log_ticks(axes.yaxis, (1, 2, 3, 5))
    axes.grid()
    axes.legend()
    _name_points(axes, points)
    facts = (f"{name} {y:.1f} % with {x:,}" for name, x, y, _, _ in points)
    show_figure("Test error over the number of parameters: " + "; ".join(facts) + ".")


def _name_points(axes, points):
    """Write the name of each (name, x, y, lower and upper end of its bar) where it covers least of what is there."""
    axes.figure.draw_without_rendering()  # now it is known where all lies on the screen
    taken = [axes.get_legend().get_window_extent()]
    for _, x, _, low, high in points:
        bar = axes.transData.transform([(x, low), (x, high)])
        taken.append(Bbox([bar[0] - (5, 0), bar[1] + (5, 0)]))
    places = [(side, up) for up in (5, -5, 15, -15, 25, -25, 35, -35, 45, -45) for side in (7, -7)]
    for name, x, y, _, _ in points:
        color = COLORS.get(name.split()[0], COLORS["whole image"])
        text = axes.annotate(name, (x, y), (0, 0), textcoords="offset points", fontsize=8, color=color, va="center")
        text.set_in_layout(False)

        def covered(place, text=text):
            text.set(position=place, ha="left" if place[0] > 0 else "right")
            boxes = (Bbox.intersection(text.get_window_extent(), other) for other in taken)
            return sum(box.width * box.height for box in boxes if box)

        covered(min(places, key=covered))
        taken.append(text.get_window_extent())


def plot_images(images: np.ndarray, titles: Sequence) -> None:
    """Binarised images (N, T, pixels), ten in a row, each with its title. Notebook 3, Q3.1."""
    if len(images) != len(titles):
        raise ValueError(f"{len(images)} images, but {len(titles)} titles")
    rows = max(1, -(-len(images) // 10))
    _, grid = plt.subplots(rows, 10, figsize=(11, 1.45 * rows), squeeze=False)
    for axes in grid.flat:
        axes.axis("off")
    for axes, image, title in zip(grid.flat[: len(images)], images, titles, strict=True):
        draw_digit(axes, image)
        axes.set_title(title, fontsize=9)
    show_figure(f"{len(images)} images of digits: {'; '.join(map(str, titles))}.")


def _range_of(values):
    """(limit of a colour scale, which of its ends go on)."""
    if np.nanmax(np.abs(values)) <= 1:
        return 1, "neither"
    return np.ceil(np.nanpercentile(np.abs(values), 98)), "both"


def plot_over_time(images: np.ndarray, traced: dict[str, np.ndarray], names: Sequence[str]) -> None:
    """Each image beside what a recurrent layer does while it reads it, row by row.

    What stays between -1 and 1 is drawn on this range, anything else on that of all but its 2 % largest values.

    Args:
        images: (N, T, 28).
        traced: dict of arrays (N, T, units), as from `trace`.
        names: which of them, from left to right.

    Notebook 3, bonus.
    """
    size = (2.1 * (len(names) + 1), 1.9 * len(images) + 0.9)
    figure, grid = plt.subplots(len(images), len(names) + 1, figsize=size, squeeze=False, sharey=True)
    for axes, image in zip(grid[:, 0], images, strict=True):
        draw_digit(axes, image, ylabel=STEP)
    for column, name in zip(grid.T[1:], names, strict=True):
        high, extend = _range_of(traced[name])
        low = 0 if name in "ifozr" else -high
        for axes, values in zip(column, traced[name], strict=True):
            picture = draw_steps(axes, values, low, high)
        column[0].set_title(TITLES[name])
        column[-1].set_xlabel("hidden unit")
        options = {"orientation": "horizontal", "aspect": 12, "extend": extend}
        figure.colorbar(picture, ax=column, ticks=[low, (low + high) / 2, high], format="{x:g}", **options)
    grid[0][0].set_title("image")
    grid[-1][0].set_xlabel("pixel")
    shown = ", ".join(f"{TITLES[name]} (mean {np.nanmean(traced[name]):.2f})" for name in names)
    show_figure(f"{len(images)} digits, each beside these arrays of time steps by hidden units: {shown}.")


def show_comparisons(pairs: Iterable[tuple[str, str]], right: dict[str, np.ndarray]) -> dict[tuple[str, str], str]:
    """Compare classifiers pair by pair on the same images, show the table, and return the verdicts.

    Args:
        pairs: labels of classifiers.
        right: dict from a label to which images it got right, (N,) of bool.

    Returns:
        dict from a pair to what the first one is: "better", "worse" or "not separable", by McNemar's test with Holm's
        rule for all pairs of the table.

    Notebook 3, Q3.1.
    """
    results = {pair: mcnemar(*(right[name] for name in pair)) for pair in pairs}
    adjusted = holm([result.p for result in results.values()])
    rows, verdicts = [], {}
    for ((a, b), result), p in zip(results.items(), adjusted, strict=True):
        verdicts[a, b] = result.verdict(p)
        interval = f"{100 * result.low:+.2f} to {100 * result.high:+.2f}"
        numbers = measured(100 * result.difference, "+.2f"), measured(interval), measured(result.only_a, "d")
        p = f"{p:.3f}" if p >= 0.001 else "<.001"
        rows.append((f"{a} - {b}", *numbers, measured(result.only_b, "d"), measured(p), measured(verdicts[a, b])))
    header = ("pair", "points", "95 % interval", "only first", "only second", "p (Holm)", "the first is")
    show_table(header, rows)
    return verdicts


def plot_states(images: np.ndarray, h: np.ndarray, labels: np.ndarray) -> None:
    """Each image (N, T, 28) with its label (N,), beside the output h (N, T, units) over time. Notebook 3, Q3.2."""
    high, extend = _range_of(h)
    figure, panels = beside_images(images, labels, width=0.8)
    for axes, states in zip(panels, h, strict=True):
        picture = draw_steps(axes, states, -high, high, width=0.8, xlabel="hidden unit", title="output h")
    figure.colorbar(picture, ax=panels, label="output h", aspect=15, extend=extend)
    digits = ", ".join(map(str, labels))
    show_figure(f"The digits {digits}, each beside the output h: alike in the blank rows at the top, different below.")


def plot_class_means(means: np.ndarray) -> None:
    """The mean state of each class over time, (10, T, units), one panel per digit. Notebook 3, Q3.2."""
    if np.ndim(means) != 3 or len(means) != 10:
        raise ValueError(f"means has shape {np.shape(means)}, expected (10, T, units) as from class_means")
    high, extend = _range_of(means)
    figure, grid = plt.subplots(2, 5, figsize=(11, 4.8), sharex=True, sharey=True)
    for digit, axes in enumerate(grid.flat):
        labels = {"title": f"digit {digit}", "xlabel": "hidden unit", "ylabel": STEP}
        picture = draw_steps(axes, means[digit], -high, high, **labels)
        axes.label_outer()
    figure.colorbar(picture, ax=grid, label="mean output h", shrink=0.8, extend=extend)
    spread = np.nanstd(means, axis=0).mean(-1)
    show_figure(
        "Mean output h of each digit over the time steps. Standard deviation between the digits: "
        f"{spread[2]:.2f} at step 3, {spread[-1]:.2f} at the last."
    )


def plot_by_step(ylabel: str, curves: dict, points: dict | None = None, marks: dict | None = None) -> None:
    """Curves over the time step.

    Args:
        ylabel: what is measured, with its unit.
        curves: dict from a label to values per step, or to (values, low, high) with an interval.
        points: dict from a label to {step: value}, drawn as single large markers.
        marks: dict from a step to the word that stands at a thin vertical line there.

    Notebook 3.
    """
    _, axes = plt.subplots(figsize=(8.5, 4))
    facts = []
    for place, (label, values) in enumerate(curves.items()):
        color, _, _ = LINES[place % len(LINES)]
        _, style, marker = LINES[(place + place // len(LINES)) % len(LINES)]  # a sixth curve is not the first again
        values, low, high = values if isinstance(values, tuple) else (values, None, None)
        steps = np.arange(1, len(values) + 1)
        axes.plot(steps, values, linestyle=style, color=color, marker=marker, label=label)
        if low is not None:
            axes.fill_between(steps, low, high, color=color, alpha=0.25, linewidth=0)
        facts.append(f"{label}, {values[0]:.2f} at step {steps[0]}, {values[-1]:.2f} at step {steps[-1]}")
    for label, values in (points or {}).items():
        axes.plot(*zip(*values.items(), strict=True), "*", color="black", markersize=11, label=label)
        facts.append(f"{label}, " + ", ".join(f"{value:.2f} at step {step}" for step, value in values.items()))
    for step, word in (marks or {}).items():
        axes.axvline(step, color="#888888", linewidth=1)
        foot = {"transform": axes.get_xaxis_transform(), "va": "bottom"}
        axes.text(step + 0.15, 0.02, word, fontsize=8, color="#555555", **foot)
    axes.set(xlabel=STEP, ylabel=ylabel)
    axes.set_xticks([1, *range(4, axes.get_xlim()[1].astype(int) + 1, 4)])
    axes.grid()
    axes.legend()
    show_figure(f"{ylabel} over the time steps: " + "; ".join(facts) + ".")


def plot_film_strip(images: np.ndarray, probabilities: np.ndarray, labels: np.ndarray) -> None:
    """Each image (N, T, 28) with its label (N,), beside the probabilities (N, T, 10) read out after each of its rows.

    Notebook 3, Q3.3.
    """
    figure, panels = beside_images(images, labels, width=0.6)
    steps = commit_step(probabilities.argmax(-1))
    for axes, chances, step in zip(panels, probabilities, steps, strict=True):
        picture = draw_classes(axes, chances, width=0.6, title=f"settled at {step}")
        axes.axhline(step - 0.5, color="white", linestyle="--", linewidth=1.5)
    figure.colorbar(picture, ax=panels, label="probability", aspect=15)
    facts = ", ".join(f"the {label} at step {step}" for label, step in zip(labels, steps, strict=True))
    show_figure(f"Digits beside their class probabilities after each row. The prediction settles: {facts}.")


def plot_commit_steps(readers: dict[str, np.ndarray], ink: np.ndarray) -> None:
    """Histograms of when each reader's predictions settle, (N,) of `commit_step`, and of `last_ink` (N,).

    Notebook 3, Q3.3.
    """
    _, axes = plt.subplots(figsize=(8.5, 4))
    bins = np.arange(-0.5, max(ink.max(), *(steps.max() for steps in readers.values())) + 1)
    axes.hist(ink, bins, weights=np.full(len(ink), 100 / len(ink)), color="#CCCCCC", label="last row with ink")
    for place, (label, steps) in enumerate(readers.items()):
        color, style, _ = LINES[place % len(LINES)]
        share = np.full(len(steps), 100 / len(steps))
        axes.hist(steps, bins, weights=share, histtype="step", linewidth=2, color=color, linestyle=style, label=label)
    axes.set(xlabel="commit step (row)", ylabel="images (%)")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend()
    medians = ", ".join(f"{label}: {np.median(steps):g}" for label, steps in readers.items())
    show_figure(
        f"Histograms of the last row with ink, median {np.median(ink):g}, and of commit steps, medians {medians}."
    )


def plot_row_influence(images: np.ndarray, gradient: np.ndarray, erasure: np.ndarray, titles: Sequence) -> None:
    """Images beside what each of their rows does to the read-out after each step: by gradient, and by erasing the row.

    Args:
        images: (N, T, 28), or means of images. gradient, erasure: (N, T, T), as of `row_influence`. titles: (N,).

    Notebook 3, Q3.3.
    """
    figure, grid = plt.subplots(len(images), 3, figsize=(8.4, 2.6 * len(images)), squeeze=False)
    high, fall = np.percentile(gradient, 99), np.percentile(np.abs(erasure), 99)
    facts = []
    for row, image, slopes, falls, title in zip(grid, images, gradient, erasure, titles, strict=True):
        draw_digit(row[0], image, title=title, ylabel="row of the image")
        pictures = draw_steps(row[1], slopes, 0, high), draw_steps(row[2], falls, -fall, fall)
        pictures[1].set_cmap("PuOr")
        row[1].set_ylabel("read out after step")
        for axes, picture, label in zip(row[1:], pictures, ("gradient", "log p lost"), strict=True):
            axes.set_xticks([1, 14, 28])
            figure.colorbar(picture, ax=axes, label=label, pad=0.02, extend="max" if label == "gradient" else "both")
        facts.append(f"{title}: at the last step, row {falls[-1].argmax() + 1} is missed most when erased")
    for axes, name in zip(grid[0][1:], ("gradient by row", "erasure of one row"), strict=True):
        axes.set_title(name)
    for axes, name in zip(grid[-1], ("pixel", "row", "row"), strict=True):
        axes.set_xlabel(name)
    show_figure("Images beside two maps of step by row, gradient and erasure. " + "; ".join(facts) + ".")


def plot_gate_means(traced: dict[str, dict[str, np.ndarray]]) -> None:
    """Mean of every gate over the images, each unit at each step: a row per cell, which has the dict of its `trace`.

    Notebook 3, bonus.
    """
    gates = {cell: [name for name in "ifozr" if name in values] for cell, values in traced.items()}
    columns = max(map(len, gates.values()))
    size = (2.6 * columns + 1, 2.6 * len(traced))
    figure, grid = plt.subplots(len(traced), columns, figsize=size, sharey=True, squeeze=False)
    facts = []
    for row, (cell, names) in zip(grid, gates.items(), strict=True):
        for axes in row[len(names) :]:
            axes.axis("off")
        for axes, name in zip(row[: len(names)], names, strict=True):
            means = traced[cell][name].mean(0)
            picture = draw_steps(axes, means, 0, 1, title=f"{cell}: {TITLES[name]}", xlabel="hidden unit")
            facts.append(f"{cell} {name} from {means[0].mean():.2f} at step 1 to {means[-1].mean():.2f} at the last")
        row[0].set_ylabel(STEP)
    figure.colorbar(picture, ax=grid, label="mean of the gate", shrink=0.8)
    show_figure("Mean of each gate over the images, by time step and hidden unit: " + "; ".join(facts) + ".")


def plot_saturation(traced: dict[str, dict[str, np.ndarray]]) -> None:
    """How often each unit's gate is nearly closed and nearly open: a panel per cell, which has the dict of its `trace`.

    A point per unit, a marker per gate. Notebook 3, bonus.
    """
    size = (4.6 * len(traced), 4.3)
    _, panels = plt.subplots(1, len(traced), figsize=size, sharex=True, sharey=True, squeeze=False)
    facts = []
    for axes, (cell, values) in zip(panels[0], traced.items(), strict=True):
        for name in (gate for gate in "ifozr" if gate in values):
            closed, opened = saturation(values[name])
            style = {"color": COLORS[name], "markersize": 6, "alpha": 0.8, "markeredgecolor": "black"}
            axes.plot(closed, opened, GATE_MARKERS[name], label=TITLES[name], **style)
            facts.append(f"{cell} {name} {closed.mean():.2f} below and {opened.mean():.2f} above")
        axes.plot([0, 1], [1, 0], "--", color="#888888", linewidth=1)
        axes.set(title=f"{cell}", xlabel="share of steps with the gate below 0.1")
        axes.grid()
        axes.legend()
    panels[0][0].set_ylabel("share of steps with the gate above 0.9")
    show_figure("Share of steps with a gate below 0.1 and above 0.9, mean over the units: " + "; ".join(facts) + ".")


def _draw_reading(panels, image, h, chances, label, step):
    """What is known after `step` rows: rows read so far, the state as a strip, the class probabilities."""
    check_integer(1, len(image), step=step)
    h, chances = as_numbers("h", h, (len(image), "units")), as_numbers("chances", chances, (len(image), 10))
    above, middle, below = panels
    for axes in panels:
        axes.clear()
    seen = np.where(np.arange(len(image))[:, None] < step, image, 0.12 * image)
    above.imshow(seen, cmap="gray_r", vmin=0, vmax=1)
    above.axhline(step - 0.5, color=COLORS["GRU"], linewidth=2)
    above.set_title(f"after row {step}", fontsize=10)
    above.axis("off")
    middle.imshow(h[step - 1].reshape(4, -1), vmin=-1, vmax=1, aspect="auto")
    middle.set(xticks=[], yticks=[])
    bars = below.bar(range(10), chances[step - 1], color="#BBBBBB")
    bars[label].set_color(COLORS["GRU"])
    below.set(ylim=(0, 1), xticks=range(10), yticks=[0, 1])
    below.tick_params(labelsize=7)


def plot_reading(image: np.ndarray, h: np.ndarray, chances: np.ndarray, label: int, steps: Sequence[int]) -> None:
    """One digit being read, as a strip: image, state and class probabilities after each of `steps` rows.

    Args:
        image: (T, 28). h: (T, units), units a multiple of 4. chances: (T, 10). label: the true class.
        steps: row numbers, 1 to T.

    Notebook 3, "One digit being read".
    """
    size = (1.45 * len(steps), 3.6)
    _, grid = plt.subplots(3, len(steps), figsize=size, squeeze=False, height_ratios=[2, 0.7, 1])
    for column, step in enumerate(steps):
        _draw_reading(grid[:, column], image, h, chances, label, step)
    grid[1][0].set_ylabel("state h", fontsize=8)
    grid[2][0].set_ylabel("probability", fontsize=8)
    for axes in grid[2]:
        axes.set_xlabel("class", fontsize=8)
    guesses = ", ".join(f"{chances[step - 1].argmax()} after row {step}" for step in steps)
    show_figure(
        f"A {label} being read: its rows so far, the state h and the class probabilities. Most probable: {guesses}."
    )


def save_reading(name: str, image: np.ndarray, h: np.ndarray, chances: np.ndarray, label: int) -> None:
    """The same as `plot_reading` with every row, as the animated GIF `runs/NAME`: 5 rows a second, the last one longer.

    Notebook 3, "One digit being read".
    """
    steps = [*range(1, len(image) + 1), *[len(image)] * 8]
    size = {"left": 0.12, "right": 0.97, "top": 0.93, "bottom": 0.06, "hspace": 0.12, "height_ratios": [2, 0.6, 1]}
    with plt.ioff(), plt.rc_context({"savefig.bbox": "standard"}):  # every frame has the same size
        figure, panels = plt.subplots(3, 1, figsize=(2.8, 4.4), layout="none", gridspec_kw=size)
        animation = FuncAnimation(figure, lambda step: _draw_reading(panels, image, h, chances, label, step), steps)
        with replacing(files.RUNS / name) as path:
            animation.save(path, writer=PillowWriter(fps=5), dpi=80)
        plt.close(figure)
