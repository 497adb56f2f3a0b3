"""Tables and figures of notebook 2."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator

from coursework.arguments import as_numbers, check_dict, check_steps, short_repr
from coursework.experiment import MODEL_SIZES, Size
from coursework.figure import Figure, new_figure, new_row, show_figure
from coursework.style import HIGHLIGHT, STEP, colors_of, draw_digit, log_scale, markers_of


def plot_rows_as_steps(image: np.ndarray, steps: Sequence[int]) -> Figure:
    """Draw what a network that reads rows has seen: a panel per step, the current row framed, the rows to come hidden.

    Args:
        image: shape (T, pixels), values in [0, 1].
        steps: the time steps to show, counted from 1.

    Returns:
        The figure, which has been shown; ValueError for another shape, or a step that the image has not.

    Notebook 2.
    """
    image = as_numbers("image", image, ("T", "pixels"), 0, 1)
    check_steps(steps, len(image))
    size = (2 * len(steps), 2.4)
    figure, panels = new_row(size, len(steps))
    for axes, step in zip(panels, steps, strict=True):
        seen = image.astype(float)
        seen[step:] = np.nan
        draw_digit(axes, seen, title=f"step {step}", xlabel="pixel")
        axes.set_facecolor("#DDDDDD")
        axes.add_patch(_frame_around(step, image.shape[1]))
    panels[0].set_ylabel(STEP)
    shown = ", ".join(map(str, steps))
    return show_figure(
        figure, f"A digit after {shown} of its {len(image)} rows; the rows to come are hidden."
    )


def _frame_around(row, pixels):
    """A frame around a row of an image, counted from 1."""
    return Rectangle(
        (0.5, row - 0.5),
        width=pixels,
        height=1,
        fill=False,
        color=HIGHLIGHT,
        linewidth=2,
    )


def summary_table(experiment_results: Mapping) -> tuple[tuple, list[tuple]]:
    """Header and rows of the table of the eight models: label, test cross-entropy, test accuracy.

    Args:
        experiment_results: {"LSTM": [(loss, accuracy), ...], "GRU": [...]}, each in the order of `MODEL_SIZES`: 32, 64,
            128, 3 x 32; the loss in nats, the accuracy between 0 and 1. ValueError for anything else.

    Notebook 2.
    """
    check_dict("experiment_results", experiment_results, "from family to pairs (loss, accuracy)")
    rows = []
    for family, pairs in experiment_results.items():
        found = len(pairs) if hasattr(pairs, "__len__") else short_repr(pairs)
        if found != len(MODEL_SIZES):
            raise ValueError(
                f"{family}: expected {len(MODEL_SIZES)} pairs (loss, accuracy), got {found}"
            )
        for size, pair in zip(MODEL_SIZES, pairs, strict=True):
            label = f"{family} {size}"
            loss, accuracy = as_numbers(label, pair, (2,)).tolist()
            rows.append((label, loss, accuracy))
    header = ("model", "test cross-entropy", "test accuracy")
    return header, rows


def plot_summary_table(experiment_results: Mapping) -> Figure:
    """Draw test cross-entropy and accuracy of the eight models, which are given as to `summary_table`.

    Returns the figure, which has been shown. Notebook 2.
    """
    header, rows = summary_table(experiment_results)
    texts = [(label, f"{loss:.4f}", f"{accuracy:.4f}") for label, loss, accuracy in rows]
    figure, axes = new_figure((6, 0.3 * len(rows) + 0.6))
    axes.axis("off")
    table = axes.table(
        texts,
        colLabels=header,
        loc="center",
        cellLoc="center",
        bbox=[0, 0, 1, 1],
    )
    for cell in table.get_celld().values():
        cell.set_edgecolor("#CCCCCC")
    for column in range(len(header)):
        table[0, column].set_text_props(weight="bold")
    colors = colors_of(experiment_results)
    families = np.repeat(list(experiment_results), len(MODEL_SIZES))
    for row, family in enumerate(families, start=1):
        table[row, 0].set_text_props(color=colors[family], weight="bold")
    facts = [f"{label}: {loss}, {accuracy}" for label, loss, accuracy in texts]
    return show_figure(figure, "Test cross-entropy and accuracy", facts)


def plot_learning_curves(results: Mapping) -> Figure:
    """Cross-entropy and error by epoch, training (dashed) and test (solid), a panel per size, a colour per cell.

    The results are those of `train_all`, a dict from Experiment to Result; where one is 0, its axis goes down to 0.
    Returns the figure, which has been shown. Notebook 2.
    """
    check_dict("results", results, "from Experiment to Result, as of train_all")
    sizes = list(dict.fromkeys(_size_of(experiment) for experiment in results))
    figure, rows = new_figure(
        (max(2.5 * len(sizes), 5), 5.5),
        rows=2,
        columns=len(sizes),
        sharex=True,
        sharey="row",
        squeeze=False,
    )
    families = dict.fromkeys(experiment.name for experiment in results)
    colors, markers = colors_of(families), markers_of(families)
    for experiment, result in results.items():
        family = experiment.name
        panels = rows[:, sizes.index(_size_of(experiment))]
        look = {"color": colors[family], "marker": markers[family]}
        _draw_history(
            panels,
            result.history,
            "",
            label=f"{family}, training",
            ls="--",
            **look,
        )
        _draw_history(
            panels,
            result.history,
            "val_",
            label=f"{family}, test",
            ls="-",
            **look,
        )
    for row, what in zip(rows, ("cross-entropy (nats)", "error (%)"), strict=True):
        lines = [line for axes in row for line in axes.lines]
        log_scale(row[0], np.concatenate([line.get_ydata() for line in lines]))
        row[0].set_ylabel(what)
    for (above, below), size in zip(rows.T, sizes, strict=True):
        above.set_title(f"{size} units")
        below.set_xlabel("epoch")
    rows[0][0].xaxis.set_major_locator(MaxNLocator(integer=True))
    one_of_each = {line.get_label(): line for axes in rows[0] for line in axes.lines}
    rows[0][0].legend(handles=list(one_of_each.values()), fontsize=10)
    facts = [
        f"{experiment.label} {100 * (1 - result.accuracy):.2f} %"
        for experiment, result in results.items()
    ]
    words = "Cross-entropy and error fall with every epoch. Test error after the last one"
    return show_figure(figure, words, facts)


def _size_of(experiment):
    return Size(experiment.units, experiment.layers)


def _draw_history(panels, history, prefix, **style):
    """The curves of the training images, or with the prefix "val_" of the test images, in the two panels of a size."""
    above, below = panels
    loss = history[f"{prefix}loss"]
    accuracy = np.array(history[f"{prefix}accuracy"])
    epochs = range(1, len(loss) + 1)
    above.plot(epochs, loss, **style)
    below.plot(epochs, 100 * (1 - accuracy), **style)
