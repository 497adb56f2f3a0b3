"""Figures of notebook 3: what is read out after each row."""

from collections.abc import Mapping
from typing import Any

import matplotlib
import numpy as np
from matplotlib.animation import FuncAnimation, PillowWriter

from coursework import files
from coursework.analysis import commit_step
from coursework.arguments import (
    as_numbers,
    check_count,
    check_dict,
    check_integer,
    short_repr,
)
from coursework.figure import Figure, new_figure, show_figure
from coursework.files import replacing
from coursework.style import (
    HIGHLIGHT,
    LINES,
    SIGNED,
    STEP,
    as_images,
    beside_images,
    draw_classes,
)


def _line_style(place):
    """Colour, line style and marker of a curve; after as many as there are colours, each has another style."""
    color, _, _ = LINES[place % len(LINES)]
    _, style, marker = LINES[(place + place // len(LINES)) % len(LINES)]
    return {"color": color, "linestyle": style, "marker": marker}


def plot_by_step(
    ylabel: str, curves: Mapping, points: Mapping | None = None, marks: Mapping | None = None
) -> Figure:
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
    figure, axes = new_figure((8, 3.8))
    facts = []
    for place, (label, curve) in enumerate(curves.items()):
        values = _draw_curve(axes, label, curve, _line_style(place))
        facts.append(f"{label}, {values[0]:.2f} at step 1, {values[-1]:.2f} at step {len(values)}")
    for label, by_step in (points or {}).items():
        known = _draw_points(axes, label, by_step)
        facts.append(f"{label}, {known}")
    for step, word in (marks or {}).items():
        _draw_mark(axes, step, word)
    axes.set(xlabel=STEP, ylabel=ylabel)
    last = int(axes.get_xlim()[1])
    axes.set_xticks([1, *range(4, last + 1, 4)])
    axes.grid()
    axes.legend()
    return show_figure(figure, f"{ylabel} over the time steps", facts)


def _draw_curve(axes, label, curve, style):
    """Values per step, or (values, low, high) with the interval as a band; returns the values."""
    parts = curve if isinstance(curve, tuple) else (curve,)
    values, *interval = (_per_step(label, part) for part in parts)
    steps = np.arange(1, len(values) + 1)
    axes.plot(steps, values, label=label, **style)
    if interval:
        if [part.shape for part in interval] != [values.shape] * 2:
            raise ValueError(
                f"{label}: an interval is a tuple (values, low, high) of arrays of one length"
            )
        axes.fill_between(
            steps,
            *interval,
            color=style["color"],
            alpha=0.25,
            linewidth=0,
        )
    return values


def _draw_points(axes, label, by_step):
    """Large markers at some steps; returns their values in words."""
    check_dict(label, by_step, "from step to value")
    values = list(by_step.values())
    axes.plot(list(by_step), values, "*", color="black", markersize=11, label=label)
    return ", ".join(f"{value:.2f} at step {step}" for step, value in by_step.items())


def _per_step(label, values):
    """Numbers (T,), NaN among them or not."""
    array = np.asarray(values)
    if array.dtype.kind not in "biuf" or array.ndim != 1 or not array.size:
        raise ValueError(
            f"{label}: numbers per step, of shape (T,), are needed, not {short_repr(values)}"
        )
    return array


def _draw_mark(axes, step, word):
    """A thin vertical line at a step, with a word at its foot."""
    axes.axvline(step, color="#888888", linewidth=1)
    foot = {"transform": axes.get_xaxis_transform(), "va": "bottom"}
    axes.text(step + 0.15, 0.02, word, fontsize=9, color="#555555", **foot)


def plot_film_strip(images: np.ndarray, probabilities: np.ndarray, labels: np.ndarray) -> Figure:
    """Each image (N, T, pixels) with its label (N,), beside the probabilities (N, T, 10) read out after each row.

    Returns the figure, which has been shown; ValueError for another shape, or values that are no probabilities.
    Notebook 3, "A 1 that is a 7".
    """
    images = as_images(images)
    count, steps, _ = images.shape
    probabilities = as_numbers("probabilities", probabilities, (count, steps, 10), 0, 1)
    check_count(images, labels=labels)
    figure, panels = beside_images(images, labels, width=0.6)
    settled = commit_step(probabilities.argmax(-1))
    for axes, chances, step in zip(panels, probabilities, settled, strict=True):
        picture = draw_classes(axes, chances, width=0.6, title=f"stays from\nrow {step}")
        axes.axhline(step - 0.5, color="white", linestyle="--", linewidth=1.5)
    figure.colorbar(picture, ax=panels, label="probability", aspect=15)
    facts = [f"the {label} at step {step}" for label, step in zip(labels, settled, strict=True)]
    words = "Digits beside their class probabilities after each row. The prediction settles"
    return show_figure(figure, words, facts)


# ------------------------------------------------------------------------------------------------ one digit being read
def _story(image, h, chances, label):
    """The arrays of one digit being read, if they fit each other."""
    image = as_numbers("image", image, ("T", "pixels"))
    check_integer(0, 9, label=label)
    h = as_numbers("h", h, (len(image), "units"))
    return image, h, as_numbers("chances", chances, (len(image), 10), 0, 1)


def _draw_reading(panels, image, h, chances, label, step):
    """What is known after `step` rows: rows read so far, the state as a strip, the class probabilities."""
    for axes in panels:
        axes.clear()
    above, middle, below = panels
    seen = image.astype(float)
    seen[step:] *= 0.12  # rows to come are hardly seen
    above.imshow(seen, cmap="gray_r", vmin=0, vmax=1)
    above.axhline(step - 0.5, color=HIGHLIGHT, linewidth=2)
    above.set_title(f"after row {step}", fontsize=10)
    above.axis("off")
    state = h[step - 1]
    rows = next(rows for rows in (4, 3, 2, 1) if len(state) % rows == 0)
    middle.imshow(state.reshape(rows, -1), vmin=-1, vmax=1, aspect="auto", cmap=SIGNED)
    middle.set(xticks=[], yticks=[])
    bars = below.bar(range(10), chances[step - 1], color="#BBBBBB")
    bars[label].set_color(HIGHLIGHT)
    below.set(ylim=(0, 1), xticks=range(10), yticks=[0, 1])
    below.tick_params(labelsize=7)


def save_reading(
    name: str, image: np.ndarray, h: np.ndarray, chances: np.ndarray, label: int
) -> None:
    """One digit being read, as the animated GIF `runs/NAME`: 5 rows a second, the last one longer.

    Above the rows so far, then the units of the state on a scale from -1 to 1, below the class probabilities.

    Args:
        name: of the file, which ends in .gif.
        image: (T, pixels). h: (T, units). chances: (T, 10). label: the true class.

    Raises:
        ValueError: another shape, label or ending.

    Notebook 3, "A 1 that is a 7".
    """
    image, h, chances = _story(image, h, chances, label)
    if not str(name).endswith(".gif"):
        raise ValueError(f"the name {short_repr(name)} must end in .gif")
    last = len(image)
    rows = [*range(1, last + 1), *[last] * 8]
    # Every frame has the same size.
    fixed: Any = {"savefig.bbox": "standard", "figure.constrained_layout.use": False}
    with matplotlib.rc_context(fixed), replacing(files.RUNS / name) as path:
        figure, panels = new_figure((2.8, 4.4), 3, height_ratios=[2, 0.6, 1])
        figure.subplots_adjust(
            left=0.12,
            right=0.97,
            top=0.93,
            bottom=0.06,
            hspace=0.12,
        )

        def draw(row):
            _draw_reading(panels, image, h, chances, label, row)

        animation = FuncAnimation(figure, draw, rows)
        animation.save(path, writer=PillowWriter(fps=5), dpi=80)
