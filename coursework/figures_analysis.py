"""Tables and figures of notebook 3."""

from collections.abc import Iterable, Mapping, Sequence

import matplotlib
import numpy as np
from matplotlib.animation import FuncAnimation, PillowWriter
from matplotlib.ticker import MaxNLocator
from matplotlib.transforms import Bbox

from coursework import files
from coursework.analysis import commit_step, saturation
from coursework.arguments import as_numbers, check_integer, short_repr
from coursework.files import replacing
from coursework.statistics import holm, mcnemar, wilson
from coursework.style import (
    FREE_MARKERS,
    HIGHLIGHT,
    LINES,
    MARKERS,
    NO_GATES,
    STEP,
    Figure,
    as_images,
    beside_images,
    check_count,
    check_dict,
    check_names,
    check_steps,
    colors_of,
    draw_classes,
    draw_digit,
    draw_steps,
    ends_and_middle,
    family_of,
    gates_of,
    log_scale,
    log_ticks,
    markers_of,
    new_figure,
    show_figure,
    title_of,
)
from coursework.text import measured, show_table

GATE_MARKERS = ("o", "s", "^", *FREE_MARKERS)  # of the gates of one cell, in order


# ------------------------------------------------------------------------------------------------ networks side by side
def plot_accuracy_by_size(parameters: Mapping[str, int], hits: Mapping[str, int], total: int) -> Figure:
    """Test error over the number of parameters with 95 % intervals; a marker per kind of model.

    Args:
        parameters, hits: dicts from a model's label to its number of parameters, of test images it got right.
        total: number of test images.

    Returns:
        The figure, which has been shown; a network without errors stands on the lower edge. ValueError for labels
        without parameters, and for what is no number of images.

    Notebook 3, Q3.1.
    """
    check_dict("hits", hits, "from a model's label to a number of images")
    check_names("parameters", hits, parameters)
    check_integer(1, total=total)
    points = {label: (parameters[label], *_error_of(hits[label], total)) for label in hits}
    families = {label: family_of(label) for label in hits}
    kinds = [*(kind for kind in MARKERS if kind in families.values()), *families.values()]
    colors, markers = colors_of(kinds), markers_of(kinds)
    figure, axes = new_figure((8, 4.5))
    for kind in colors:
        size, error, low, high = np.transpose([point for label, point in points.items() if families[label] == kind])
        bars = [error - low, high - error]
        axes.errorbar(size, error, bars, fmt=markers[kind], color=colors[kind], capsize=3, markersize=7, label=kind)
    axes.set(xscale="log", xlabel="number of parameters", ylabel="test error (%)")
    log_ticks(axes.xaxis, form="{x:,.0f}")
    log_scale(axes, [low for _, _, low, _ in points.values()], (1, 2, 3, 5))
    axes.margins(0.15)
    axes.grid()
    axes.legend()
    _name_points(axes, points, {label: colors[kind] for label, kind in families.items()})
    facts = "; ".join(f"{label} {error:.1f} % with {size:,}" for label, (size, error, _, _) in points.items())
    return show_figure(figure, f"Test error over the number of parameters: {facts}.")


def _error_of(hits, total):
    """Test error in percent, and both ends of its interval."""
    low, high = wilson(hits, total)
    return tuple(float(100 * (1 - share)) for share in (hits / total, high, low))


def _name_points(axes, points, colors):
    """Write the name of each point (x, y, ends of its bar) where it covers least of what is there."""
    axes.figure.draw_without_rendering()  # now it is known where all lies on the screen
    taken = [axes.get_legend().get_window_extent()]
    for x, _, low, high in points.values():
        foot, top = axes.transData.transform([(x, low), (x, high)])
        taken.append(Bbox([foot, top]).padded(5, 0))
    places = [(side, up) for up in (5, -5, 15, -15, 25, -25, 35, -35, 45, -45) for side in (7, -7)]
    for name, (x, y, _, _) in points.items():
        options = {"textcoords": "offset points", "fontsize": 8, "va": "center"}
        text = axes.annotate(name, (x, y), (0, 0), color=colors[name], **options)
        text.set_in_layout(False)
        boxes = [_box_at(text, place) for place in places]
        covered = [_area_in_common(box, taken) for box in boxes]
        best = int(np.argmin(covered))
        taken.append(_box_at(text, places[best]))


def _box_at(text, place):
    """Move a text to a place beside its point, in points; returns the box that it fills there, in pixels."""
    side, _ = place
    text.set(position=place, ha="left" if side > 0 else "right")
    return text.get_window_extent()


def _area_in_common(box, others):
    shared = [Bbox.intersection(box, other) for other in others]
    return sum(part.width * part.height for part in shared if part)


def show_comparisons(pairs: Iterable[tuple[str, str]], right: Mapping[str, np.ndarray]) -> dict[tuple[str, str], str]:
    """Compare classifiers pair by pair on the same images, show the table, and return the verdicts.

    Args:
        pairs: labels of classifiers.
        right: dict from a label to which images it got right, (N,) of bool.

    Returns:
        dict from a pair to what the first one is: "better", "worse" or "not separable", by McNemar's test with Holm's
        rule for all pairs of the table. ValueError for a label that `right` has not.

    Notebook 3, Q3.1.
    """
    results = {}
    for a, b in pairs:
        check_names("right", (a, b), right)
        results[a, b] = mcnemar(right[a], right[b])
    adjusted = holm([result.p for result in results.values()])
    rows, verdicts = [], {}
    for (a, b), result, p in zip(results, results.values(), adjusted, strict=True):
        verdicts[a, b] = result.verdict(p)
        rows.append((f"{a} - {b}", *_numbers_of(result, p), measured(verdicts[a, b])))
    header = ("pair", "points", "95 % interval", "only first", "only second", "p (Holm)", "the first is")
    show_table(header, rows)
    return verdicts


def _numbers_of(result, p):
    """The measured cells of a row: difference and interval in points, images that only one got right, p-value."""
    difference = measured(100 * result.difference, "+.2f")
    interval = measured(f"{100 * result.low:+.2f} to {100 * result.high:+.2f}")
    only = measured(result.only_a, "d"), measured(result.only_b, "d")
    return difference, interval, *only, measured(f"{p:.3f}" if p >= 0.001 else "<.001")


def plot_images(images: np.ndarray, titles: Sequence) -> Figure:
    """Binarised images (N, T, pixels), ten in a row, each with its title.

    Returns the figure, which has been shown; ValueError for another shape or number. Notebook 3, Q3.1.
    """
    images = as_images(images)
    check_count(images, titles=titles)
    rows = -(-len(images) // 10)
    figure, grid = new_figure((11, 1.45 * rows), rows, 10, squeeze=False)
    for axes in grid.flat:
        axes.axis("off")
    for axes, image, title in zip(grid.flat[: len(images)], images, titles, strict=True):
        draw_digit(axes, image)
        axes.set_title(title, fontsize=9)
    return show_figure(figure, f"{len(images)} images of digits: {'; '.join(map(str, titles))}.")


# ---------------------------------------------------------------------------------------------------- states over time
def _range_of(values):
    """(limit of a colour scale, which of its ends go on)."""
    size = np.abs(values)
    if np.nanmax(size) <= 1:
        return 1, "neither"
    return np.ceil(np.nanpercentile(size, 98)), "both"


def _lowest(name, values, high):
    """The lower end of a colour scale that goes up to `high`: 0 for gates that have nothing below it."""
    return 0 if name not in NO_GATES and values.min() >= 0 else -high


def plot_over_time(images: np.ndarray, traced: Mapping[str, np.ndarray], names: Sequence[str]) -> Figure:
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
    arrays = {name: as_numbers(name, traced[name], (*images.shape[:2], "units")) for name in names}
    size = (2.1 * (len(arrays) + 1), 1.9 * len(images) + 0.9)
    figure, grid = new_figure(size, len(images), len(arrays) + 1, squeeze=False, sharey=True)
    for axes, image in zip(grid[:, 0], images, strict=True):
        draw_digit(axes, image, ylabel=STEP)
    grid[0][0].set_title("image")
    grid[-1][0].set_xlabel("pixel")
    for column, (name, values) in zip(grid.T[1:], arrays.items(), strict=True):
        _draw_column(figure, column, name, values)
    means = ", ".join(f"{title_of(name)} (mean {values.mean():.2f})" for name, values in arrays.items())
    words = "digits, each beside these arrays of time steps by hidden units"
    return show_figure(figure, f"{len(images)} {words}: {means}.")


def _draw_column(figure, column, name, values):
    """An array (N, T, units), a panel for each image, on one colour scale."""
    high, extend = _range_of(values)
    low = _lowest(name, values, high)
    for axes, of_image in zip(column, values, strict=True):
        picture = draw_steps(axes, of_image, low, high)
    column[0].set_title(title_of(name))
    column[-1].set_xlabel("hidden unit")
    ticks = [low, (low + high) / 2, high]
    options = {"orientation": "horizontal", "aspect": 12, "extend": extend}
    figure.colorbar(picture, ax=column, ticks=ticks, format="{x:g}", **options)


def plot_states(images: np.ndarray, h: np.ndarray, labels: np.ndarray) -> Figure:
    """Each image (N, T, pixels) with its label (N,), beside the output h (N, T, units) over time.

    Returns the figure, which has been shown; ValueError for another shape. Notebook 3, Q3.2.
    """
    images = as_images(images)
    h = as_numbers("h", h, (*images.shape[:2], "units"))
    check_count(images, labels=labels)
    high, extend = _range_of(h)
    figure, panels = beside_images(images, labels, width=0.8)
    for axes, states in zip(panels, h, strict=True):
        picture = draw_steps(axes, states, -high, high, width=0.8, xlabel="hidden unit", title="output h")
    figure.colorbar(picture, ax=panels, label="output h", aspect=15, extend=extend)
    digits = ", ".join(map(str, labels))
    words = "each beside the output h: alike in the blank rows at the top, different below."
    return show_figure(figure, f"The digits {digits}, {words}")


def plot_class_means(means: np.ndarray) -> Figure:
    """The mean state of each class over time, (10, T, units) as from `class_means`, one panel per digit.

    Returns the figure, which has been shown; ValueError for another shape. Notebook 3, Q3.2.
    """
    if np.ndim(means) != 3 or len(means) != 10:
        raise ValueError(f"means has shape {np.shape(means)}, expected (10, T, units) as from class_means")
    high, extend = _range_of(means)
    figure, grid = new_figure((11, 4.8), 2, 5, sharex=True, sharey=True)
    for digit, axes in enumerate(grid.flat):
        labels = {"title": f"digit {digit}", "xlabel": "hidden unit", "ylabel": STEP}
        picture = draw_steps(axes, means[digit], -high, high, **labels)
        axes.label_outer()
    figure.colorbar(picture, ax=grid, label="mean output h", shrink=0.8, extend=extend)
    spread = np.nanstd(means, axis=0).mean(-1)
    step = min(3, len(spread))
    parts = f"{spread[step - 1]:.2f} at step {step}, {spread[-1]:.2f} at the last"
    words = "Mean output h of each digit over the time steps. Standard deviation between the digits"
    return show_figure(figure, f"{words}: {parts}.")


def plot_gate_means(traced: Mapping[str, Mapping[str, np.ndarray]]) -> Figure:
    """Mean of every gate over the images, each unit at each step: a row per cell, which has the dict of its `trace`.

    Returns the figure, which has been shown; ValueError for arrays that are none. Notebook 3, bonus.
    """
    means = {cell: _mean_gates(cell, values) for cell, values in _traces(traced).items()}
    columns = max(map(len, means.values()))
    every = [mean for of_cell in means.values() for mean in of_cell.values()]
    high, extend = _range_of(np.concatenate(every, axis=None))
    size = (2.6 * columns + 1, 2.6 * len(means))
    figure, grid = new_figure(size, len(means), columns, sharey=True, squeeze=False)
    facts = []
    for row, (cell, of_cell) in zip(grid, means.items(), strict=True):
        for axes, (name, mean) in zip(row, of_cell.items(), strict=False):
            labels = {"title": f"{cell}: {title_of(name)}", "xlabel": "hidden unit"}
            picture = draw_steps(axes, mean, _lowest(name, mean, high), high, **labels)
            facts.append(f"{cell} {name} from {mean[0].mean():.2f} at step 1 to {mean[-1].mean():.2f} at the last")
        for axes in row[len(of_cell) :]:
            axes.axis("off")
        row[0].set_ylabel(STEP)
    figure.colorbar(picture, ax=grid, label="mean of the gate", shrink=0.8, extend=extend)
    words = "Mean of each gate over the images, by time step and hidden unit: "
    return show_figure(figure, words + "; ".join(facts) + ".")


def _traces(traced):
    """The cells of `traced` that have gates; a ValueError if none has, or if it is no dict of dicts."""
    check_dict("traced", traced, "from a cell's name to what trace returns")
    for cell, values in traced.items():
        check_dict(f"traced[{cell!r}]", values, "of arrays, as from trace")
    with_gates = {cell: values for cell, values in traced.items() if gates_of(values)}
    if not with_gates:
        raise ValueError(f"no gates to draw: {', '.join(map(str, traced))} has none")
    return with_gates


def _mean_gates(cell, values):
    """Mean of each gate over the images: dict from its name to (T, units)."""
    return {name: as_numbers(f"{cell} {name}", values[name], ("N", "T", "units")).mean(0) for name in gates_of(values)}


def plot_saturation(traced: Mapping[str, Mapping[str, np.ndarray]]) -> Figure:
    """How often each unit's gate is nearly closed and nearly open: a panel per cell, which has the dict of its `trace`.

    A point per unit, a marker per gate. Returns the figure, which has been shown; ValueError for arrays that are none,
    or gates beyond [0, 1]. Notebook 3, bonus.
    """
    traced = _traces(traced)
    size = (4.6 * len(traced), 4.3)
    figure, (panels,) = new_figure(size, 1, len(traced), sharex=True, sharey=True, squeeze=False)
    facts = []
    for axes, (cell, values) in zip(panels, traced.items(), strict=True):
        names = gates_of(values)
        colors = colors_of(names)
        for place, name in enumerate(names):
            closed, opened = saturation(as_numbers(f"{cell} {name}", values[name], ("N", "T", "units"), 0, 1))
            style = {"color": colors[name], "markersize": 6, "alpha": 0.8, "markeredgecolor": "black"}
            marker = GATE_MARKERS[place % len(GATE_MARKERS)]
            axes.plot(closed, opened, marker, label=title_of(name), **style)
            facts.append(f"{cell} {name} {closed.mean():.2f} below and {opened.mean():.2f} above")
        axes.plot([0, 1], [1, 0], "--", color="#888888", linewidth=1)
        axes.set(title=f"{cell}", xlabel="share of steps with the gate below 0.1")
        axes.grid()
        axes.legend()
    panels[0].set_ylabel("share of steps with the gate above 0.9")
    words = "Share of steps with a gate below 0.1 and above 0.9, mean over the units: "
    return show_figure(figure, words + "; ".join(facts) + ".")


# --------------------------------------------------------------------------------------------------- answers over time
def _line_style(place):
    """Colour, line style and marker of a curve; after as many as there are colours, each has another style."""
    color, _, _ = LINES[place % len(LINES)]
    _, style, marker = LINES[(place + place // len(LINES)) % len(LINES)]
    return {"color": color, "linestyle": style, "marker": marker}


def plot_by_step(ylabel: str, curves: Mapping, points: Mapping | None = None, marks: Mapping | None = None) -> Figure:
    """Curves over the time step.

    Args:
        ylabel: what is measured, with its unit.
        curves: dict from a label to values per step (T,), or to (values, low, high) with an interval; NaN is left out.
        points: dict from a label to {step: value}, drawn as single large markers.
        marks: dict from a step to the word that stands at a thin vertical line there.

    Returns:
        The figure, which has been shown; ValueError for curves of another form.

    Notebook 3.
    """
    check_dict("curves", curves, "from a label to values per step")
    figure, axes = new_figure((8.5, 4))
    facts = []
    for place, (label, curve) in enumerate(curves.items()):
        values, *interval = (_curve(label, part) for part in (curve if isinstance(curve, tuple) else (curve,)))
        if interval and [part.shape for part in interval] != [values.shape] * 2:
            raise ValueError(f"{label}: an interval is a tuple (values, low, high) of arrays of one length")
        steps = np.arange(1, len(values) + 1)
        style = _line_style(place)
        axes.plot(steps, values, label=label, **style)
        if interval:
            axes.fill_between(steps, *interval, color=style["color"], alpha=0.25, linewidth=0)
        facts.append(f"{label}, {values[0]:.2f} at step 1, {values[-1]:.2f} at step {len(values)}")
    for label, values in (points or {}).items():
        check_dict(label, values, "from step to value")
        axes.plot(list(values), list(values.values()), "*", color="black", markersize=11, label=label)
        facts.append(f"{label}, " + ", ".join(f"{value:.2f} at step {step}" for step, value in values.items()))
    for step, word in (marks or {}).items():
        _draw_mark(axes, step, word)
    axes.set(xlabel=STEP, ylabel=ylabel)
    axes.set_xticks([1, *range(4, int(axes.get_xlim()[1]) + 1, 4)])
    axes.grid()
    axes.legend()
    return show_figure(figure, f"{ylabel} over the time steps: " + "; ".join(facts) + ".")


def _curve(label, values):
    """One curve (T,), which may have NaN."""
    array = np.asarray(values)
    if array.dtype.kind not in "biuf" or array.ndim != 1 or not array.size:
        raise ValueError(f"{label}: numbers per step, of shape (T,), are needed, not {short_repr(values)}")
    return array


def _draw_mark(axes, step, word):
    """A thin vertical line at a step, with a word at its foot."""
    axes.axvline(step, color="#888888", linewidth=1)
    foot = {"transform": axes.get_xaxis_transform(), "va": "bottom"}
    axes.text(step + 0.15, 0.02, word, fontsize=8, color="#555555", **foot)


def plot_film_strip(images: np.ndarray, probabilities: np.ndarray, labels: np.ndarray) -> Figure:
    """Each image (N, T, pixels) with its label (N,), beside the probabilities (N, T, 10) read out after each row.

    Returns the figure, which has been shown; ValueError for another shape, or values that are no probabilities.
    Notebook 3, Q3.3.
    """
    images = as_images(images)
    probabilities = as_numbers("probabilities", probabilities, (*images.shape[:2], 10), 0, 1)
    check_count(images, labels=labels)
    figure, panels = beside_images(images, labels, width=0.6)
    steps = commit_step(probabilities.argmax(-1))
    for axes, chances, step in zip(panels, probabilities, steps, strict=True):
        picture = draw_classes(axes, chances, width=0.6, title=f"settled at {step}")
        axes.axhline(step - 0.5, color="white", linestyle="--", linewidth=1.5)
    figure.colorbar(picture, ax=panels, label="probability", aspect=15)
    facts = ", ".join(f"the {label} at step {step}" for label, step in zip(labels, steps, strict=True))
    words = "Digits beside their class probabilities after each row. The prediction settles"
    return show_figure(figure, f"{words}: {facts}.")


def plot_commit_steps(readers: Mapping[str, np.ndarray], ink: np.ndarray) -> Figure:
    """Histograms of when each reader's predictions settle, (N,) of `commit_step`, and of `last_ink` (N,).

    Returns the figure, which has been shown; ValueError for another shape. Notebook 3, Q3.3.
    """
    check_dict("readers", readers, "from a label to (N,)")
    ink = as_numbers("ink", ink, ("N",), 0)
    readers = {label: as_numbers(label, steps, ("N",), 0) for label, steps in readers.items()}
    last = max(values.max() for values in (ink, *readers.values()))
    bins = np.arange(-0.5, last + 1)
    figure, axes = new_figure((8.5, 4))
    axes.hist(ink, bins, weights=_percent_each(ink), color="#CCCCCC", label="last row with ink")
    for (label, steps), (color, style, _) in zip(readers.items(), LINES * len(readers), strict=False):
        line = {"histtype": "step", "linewidth": 2, "color": color, "linestyle": style}
        axes.hist(steps, bins, weights=_percent_each(steps), label=label, **line)
    axes.set(xlabel="commit step (row)", ylabel="images (%)")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend()
    medians = ", ".join(f"{label}: {np.median(steps):g}" for label, steps in readers.items())
    words = f"Histograms of the last row with ink, median {np.median(ink):g}, and of commit steps"
    return show_figure(figure, f"{words}, medians {medians}.")


def _percent_each(values):
    """The weight of each of N values in a histogram in percent."""
    return np.full(len(values), 100 / len(values))


def plot_row_influence(images: np.ndarray, gradient: np.ndarray, erasure: np.ndarray, titles: Sequence) -> Figure:
    """Images beside what each of their rows does to the read-out after each step: by gradient, and by erasing the row.

    Args:
        images: (N, T, pixels), or means of images. gradient, erasure: (N, T, T), as of `row_influence`. titles: (N,).

    Returns:
        The figure, which has been shown; ValueError for another shape.

    Notebook 3, Q3.3.
    """
    images = as_images(images)
    count, steps, _ = images.shape
    gradient = as_numbers("gradient", gradient, (count, steps, steps))
    erasure = as_numbers("erasure", erasure, (count, steps, steps))
    check_count(images, titles=titles)
    figure, grid = new_figure((8.4, 2.6 * count), count, 3, squeeze=False)
    for (left, _, _), image, title in zip(grid, images, titles, strict=True):
        draw_digit(left, image, title=title, ylabel="row of the image")
    slope, fall = np.percentile(gradient, 99), np.percentile(np.abs(erasure), 99)
    _draw_maps(figure, grid[:, 1], gradient, (0, slope, "viridis"), label="gradient", extend="max")
    _draw_maps(figure, grid[:, 2], erasure, (-fall, fall, "PuOr"), label="log p lost", extend="both")
    for axes in grid[:, 1]:
        axes.set_ylabel("read out after step")
    grid[0][1].set_title("gradient by row")
    grid[0][2].set_title("erasure of one row")
    for axes, name in zip(grid[-1], ("pixel", "row", "row"), strict=True):
        axes.set_xlabel(name)
    missed = erasure[:, -1].argmax(-1) + 1
    facts = [
        f"{title}: at the last step, row {row} is missed most when erased"
        for title, row in zip(titles, missed, strict=True)
    ]
    words = "Images beside two maps of step by row, gradient and erasure. "
    return show_figure(figure, words + "; ".join(facts) + ".")


def _draw_maps(figure, column, maps, scale, **bar):
    """Maps (N, T, T) of step by row below each other, each with its colour bar; scale: (low, high, colour map)."""
    low, high, colors = scale
    for axes, values in zip(column, maps, strict=True):
        picture = draw_steps(axes, values, low, high)
        picture.set_cmap(colors)
        axes.set_xticks(ends_and_middle(values.shape[1]))
        figure.colorbar(picture, ax=axes, pad=0.02, **bar)


# ------------------------------------------------------------------------------------------------ one digit being read
def plot_reading(image: np.ndarray, h: np.ndarray, chances: np.ndarray, label: int, steps: Sequence[int]) -> Figure:
    """One digit being read, as a strip: image, state and class probabilities after each of `steps` rows.

    Args:
        image: (T, pixels). h: (T, units). chances: (T, 10). label: the true class.
        steps: row numbers, 1 to T.

    Returns:
        The figure, which has been shown; ValueError for another shape, label or row number.

    Notebook 3, "One digit being read".
    """
    image, h, chances = _story(image, h, chances, label)
    check_steps(steps, len(image))
    size = (1.45 * len(steps), 3.6)
    figure, grid = new_figure(size, 3, len(steps), squeeze=False, height_ratios=[2, 0.7, 1])
    for column, step in zip(grid.T, steps, strict=True):
        _draw_reading(column, image, h, chances, label, step)
    grid[1][0].set_ylabel("state h", fontsize=8)
    grid[2][0].set_ylabel("probability", fontsize=8)
    for axes in grid[2]:
        axes.set_xlabel("class", fontsize=8)
    guesses = ", ".join(f"{chances[step - 1].argmax()} after row {step}" for step in steps)
    words = f"A {label} being read: its rows so far, the state h and the class probabilities."
    return show_figure(figure, f"{words} Most probable: {guesses}.")


def _story(image, h, chances, label):
    """The arrays of one digit being read, if they fit each other."""
    image = as_numbers("image", image, ("T", "pixels"))
    check_integer(0, 9, label=label)
    h = as_numbers("h", h, (len(image), "units"))
    return image, h, as_numbers("chances", chances, (len(image), 10), 0, 1)


def _draw_reading(panels, image, h, chances, label, step):
    """What is known after `step` rows: rows read so far, the state as a strip, the class probabilities."""
    above, middle, below = panels
    for axes in panels:
        axes.clear()
    read = np.arange(len(image))[:, None] < step
    above.imshow(np.where(read, image, 0.12 * image), cmap="gray_r", vmin=0, vmax=1)
    above.axhline(step - 0.5, color=HIGHLIGHT, linewidth=2)
    above.set_title(f"after row {step}", fontsize=10)
    above.axis("off")
    state = h[step - 1]
    rows = next(rows for rows in (4, 3, 2, 1) if len(state) % rows == 0)
    middle.imshow(state.reshape(rows, -1), vmin=-1, vmax=1, aspect="auto")
    middle.set(xticks=[], yticks=[])
    bars = below.bar(range(10), chances[step - 1], color="#BBBBBB")
    bars[label].set_color(HIGHLIGHT)
    below.set(ylim=(0, 1), xticks=range(10), yticks=[0, 1])
    below.tick_params(labelsize=7)


def save_reading(name: str, image: np.ndarray, h: np.ndarray, chances: np.ndarray, label: int) -> None:
    """The same as `plot_reading` with every row, as the animated GIF `runs/NAME`: 5 rows a second, the last one longer.

    ValueError as for `plot_reading`, and for a name that does not end in .gif. Notebook 3, "One digit being read".
    """
    story = *_story(image, h, chances, label), label
    if not str(name).endswith(".gif"):
        raise ValueError(f"the name {short_repr(name)} must end in .gif")
    rows = [*range(1, len(image) + 1), *[len(image)] * 8]
    place = {"left": 0.12, "right": 0.97, "top": 0.93, "bottom": 0.06, "hspace": 0.12}
    with matplotlib.rc_context({"savefig.bbox": "standard", "figure.constrained_layout.use": False}):
        # Every frame has the same size.
        figure, panels = new_figure((2.8, 4.4), 3, gridspec_kw=place, height_ratios=[2, 0.6, 1])
        animation = FuncAnimation(figure, lambda row: _draw_reading(panels, *story, row), rows)
        with replacing(files.RUNS / name) as path:
            animation.save(path, writer=PillowWriter(fps=5), dpi=80)
