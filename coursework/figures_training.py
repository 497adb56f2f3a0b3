"""Figures of notebook 2."""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.ticker import MaxNLocator

from coursework.experiment import MODEL_SIZES
from coursework.files import write_csv
from coursework.style import COLORS, MARKERS, STEP, draw_digit, log_ticks, show_figure


def plot_rows_as_steps(image: np.ndarray, steps: np.ndarray) -> None:
    """Draw what a network that reads rows has seen: a panel per step, the current row framed, the rows to come hidden.

    Args:
        image: shape (T, pixels), values in [0, 1].
        steps: the time steps to show, counted from 1.

    Notebook 2.
    """
    _, panels = plt.subplots(1, len(steps), figsize=(2.1 * len(steps), 2.4), sharey=True)
    frame = {"fill": False, "color": COLORS["GRU"], "linewidth": 2}
    for axes, step in zip(panels, steps, strict=True):
        seen = np.where(np.arange(1, len(image) + 1)[:, None] <= step, image, np.nan)
        draw_digit(axes, seen, title=f"step {step}", xlabel="pixel")
        axes.set_facecolor("#DDDDDD")
        axes.add_patch(plt.Rectangle((0.5, step - 0.5), image.shape[1], 1, **frame))
    panels[0].set_ylabel(STEP)
    show_figure(f"A digit after {', '.join(map(str, steps))} of its {len(image)} rows; the rows to come are hidden.")


def plot_summary_table(experiment_results: dict) -> None:
    """Draw test cross-entropy and accuracy of the eight models, and write them to `runs/summary.csv`.

    Args:
        experiment_results: {"LSTM": [(loss, accuracy), ...], "GRU": [...]}, each in the order 32, 64, 128, 3 x 32;
            the loss in nats, the accuracy between 0 and 1.

    Notebook 2.
    """
    rows = []
    for family, pairs in experiment_results.items():
        if len(pairs) != len(MODEL_SIZES):
            raise ValueError(f"{family}: expected {len(MODEL_SIZES)} pairs (loss, accuracy), got {len(pairs)}")
        rows += [(f"{family} {size}", *pair) for size, pair in zip(MODEL_SIZES, pairs, strict=True)]
    header = ("model", "test cross-entropy", "test accuracy")
    write_csv("summary.csv", header, rows)
    _, axes = plt.subplots(figsize=(6, 0.3 * len(rows) + 0.6))
    axes.axis("off")
    texts = [(name, f"{loss:.4f}", f"{accuracy:.4f}") for name, loss, accuracy in rows]
    table = axes.table(texts, colLabels=header, loc="center", cellLoc="center", bbox=[0, 0, 1, 1])
    for (row, column), cell in table.get_celld().items():
        cell.set_edgecolor("#CCCCCC")
        if row == 0:
            cell.set_text_props(weight="bold")
        elif column == 0:
            cell.set_text_props(color=COLORS[texts[row - 1][0].split()[0]], weight="bold")
    show_figure("Test cross-entropy and accuracy. " + "; ".join(f"{name}: {a}, {b}" for name, a, b in texts) + ".")


def plot_learning_curves(results: dict) -> None:
    """Cross-entropy and error by epoch, training (dashed) and test (solid), a panel per size, a colour per cell.

    The results are those of `train_all` for LSTM and GRU of the sizes in MODEL_SIZES. Notebook 2.
    """
    _, rows = plt.subplots(2, len(MODEL_SIZES), figsize=(11, 5.5), sharex=True, sharey="row")
    for experiment, result in results.items():
        family, size = experiment.family, (experiment.units, experiment.layers)
        for part, prefix, line in (("training", "", "--"), ("test", "val_", "-")):
            style = {"ls": line, "color": COLORS[family], "marker": MARKERS[family], "label": f"{family}, {part}"}
            error = 100 * (1 - np.array(result.history[f"{prefix}accuracy"]))
            values = result.history[f"{prefix}loss"], error
            for axes, curve in zip(rows[:, MODEL_SIZES.index(size)], values, strict=True):
                axes.plot(range(1, experiment.epochs + 1), curve, **style)
    for axes in rows.flat:
        axes.set_yscale("log")
        log_ticks(axes.yaxis)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    for (above, below), size in zip(rows.T, MODEL_SIZES, strict=True):
        above.set_title(f"{size} units")
        below.set_xlabel("epoch")
    rows[0][0].set_ylabel("cross-entropy (nats)")
    rows[1][0].set_ylabel("error (%)")
    rows[0][0].legend(fontsize=8)
    ends = [f"{e.label} {100 * (1 - r.accuracy):.2f} %" for e, r in results.items()]
    show_figure(
        "Cross-entropy and error fall with every epoch. Test error after the last one: " + ", ".join(ends) + "."
    )
