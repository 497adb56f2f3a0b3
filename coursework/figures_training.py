"""Tables and figures of notebook 2."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator

from coursework.arguments import as_numbers, short_repr
from coursework.experiment import MODEL_SIZES, Size
from coursework.style import (
    HIGHLIGHT,
    STEP,
    Figure,
    check_dict,
    check_steps,
    colors_of,
    draw_digit,
    log_scale,
    markers_of,
    new_figure,
    show_figure,
)


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
    size = (2.1 * len(steps), 2.4)
    figure, (panels,) = new_figure(size, 1, len(steps), sharey=True, squeeze=False)
    rows = np.arange(1, len(image) + 1)[:, None]
    for axes, step in zip(panels, steps, strict=True):
        seen = np.where(rows <= step, image, np.nan)
        draw_digit(axes, seen, title=f"step {step}", xlabel="pixel")
        axes.set_facecolor("#DDDDDD")
        frame = Rectangle((0.5, step - 0.5), image.shape[1], 1, fill=False, color=HIGHLIGHT, linewidth=2)
        axes.add_patch(frame)
    panels[0].set_ylabel(STEP)
    shown = ", ".join(map(str, steps))
    return show_figure(figure, f"A digit after {shown} of its {len(image)} rows; the rows to come are hidden.")


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
            raise ValueError(f"{family}: expected {len(MODEL_SIZES)} pairs (loss, accuracy), got {found}")
        for size, pair in zip(MODEL_SIZES, pairs, strict=True):
            loss, accuracy = as_numbers(f"{family} {size}", pair, (2,)).tolist()
            rows.append((f"{family} {size}", loss, accuracy))
    return ("model", "test cross-entropy", "test accuracy"), rows


def plot_summary_table(experiment_results: Mapping) -> Figure:
    """Draw test cross-entropy and accuracy of the eight models, which are given as to `summary_table`.

    Returns the figure, which has been shown. Notebook 2.
    """
    header, rows = summary_table(experiment_results)
    texts = [(name, f"{loss:.4f}", f"{accuracy:.4f}") for name, loss, accuracy in rows]
    figure, axes = new_figure((6, 0.3 * len(rows) + 0.6))
    axes.axis("off")
    table = axes.table(texts, colLabels=header, loc="center", cellLoc="center", bbox=[0, 0, 1, 1])
    colors = colors_of(experiment_results)
    families = [family for family in experiment_results for _ in MODEL_SIZES]
    for cell in table.get_celld().values():
        cell.set_edgecolor("#CCCCCC")
    for column in range(len(header)):
        table[0, column].set_text_props(weight="bold")
    for row, family in enumerate(families, 1):
        table[row, 0].set_text_props(color=colors[family], weight="bold")
    facts = "; ".join(f"{name}: {loss}, {accuracy}" for name, loss, accuracy in texts)
    return show_figure(figure, f"Test cross-entropy and accuracy. {facts}.")


def plot_learning_curves(results: Mapping) -> Figure:
    """Cross-entropy and error by epoch, training (dashed) and test (solid), a panel per size, a colour per cell.

    The results are those of `train_all`, a dict from Experiment to Result; an error of 0 stands on the lower edge.
    Returns the figure, which has been shown. Notebook 2.
    """
    check_dict("results", results, "from Experiment to Result, as of train_all")
    sizes = list(dict.fromkeys(Size(e.units, e.layers) for e in results))
    width = max(2.75 * len(sizes), 5)
    figure, rows = new_figure((width, 5.5), 2, len(sizes), sharex=True, sharey="row", squeeze=False)
    families = dict.fromkeys(e.family for e in results)
    colors, markers = colors_of(families), markers_of(families)
    drawn = {}
    for experiment, result in results.items():
        family = experiment.family
        column = rows[:, sizes.index((experiment.units, experiment.layers))]
        for part, line in (("training", "--"), ("test", "-")):
            style = {"ls": line, "color": colors[family], "marker": markers[family], "label": f"{family}, {part}"}
            for axes, curve in zip(column, _curves(result, part), strict=True):
                (drawn[style["label"]],) = axes.plot(range(1, len(curve) + 1), curve, **style)
    for row in rows:
        log_scale(row[0], np.concatenate([line.get_ydata() for axes in row for line in axes.lines]))
    rows[0][0].xaxis.set_major_locator(MaxNLocator(integer=True))
    for (above, below), size in zip(rows.T, sizes, strict=True):
        above.set_title(f"{size} units")
        below.set_xlabel("epoch")
    rows[0][0].set_ylabel("cross-entropy (nats)")
    rows[1][0].set_ylabel("error (%)")
    rows[0][0].legend(handles=list(drawn.values()), fontsize=8)
    ends = ", ".join(f"{e.label} {100 * (1 - result.accuracy):.2f} %" for e, result in results.items())
    return show_figure(figure, f"Cross-entropy and error fall with every epoch. Test error after the last one: {ends}.")


def _curves(result, part):
    """Cross-entropy (nats) and error (%) of a Result by epoch, on the images of one part."""
    prefix = "val_" if part == "test" else ""
    accuracy = np.array(result.history[f"{prefix}accuracy"])
    return np.array(result.history[f"{prefix}loss"]), 100 * (1 - accuracy)
