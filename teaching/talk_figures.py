"""The pictures of a talk's questions: small, in grey print too."""

import base64
import io
from collections.abc import Mapping, Sequence

import numpy as np

from coursework.figure import Figure, new_figure
from coursework.style import COLORS, HIGHLIGHT

SIZE = (2.75, 1.35)  # inches, as they are printed
LETTERS = {"fontsize": 7}


def png(figure: Figure) -> str:
    """A figure as a PNG in base64."""
    figure.savefig(content := io.BytesIO(), format="png", dpi=150, metadata={"Software": None})
    return base64.b64encode(content.getvalue()).decode()


def small(axes, **labels: str) -> None:
    """Small letters for an axis."""
    axes.tick_params(labelsize=6.5, length=2, pad=1)
    for name, text in labels.items():
        getattr(axes, f"set_{name}")(text, **LETTERS)


def draw_digit(axes, image: np.ndarray, row: int | None, title: str) -> None:
    """An image (rows, pixels); `row` is the number of a row to point at."""
    rows, pixels = image.shape
    axes.imshow(image, cmap="gray_r", extent=(0.5, pixels + 0.5, rows + 0.5, 0.5))
    if row is not None:
        axes.axhline(row, color=HIGHLIGHT, linewidth=1)
    axes.set_xticks([])
    small(axes, ylabel="row")
    axes.set_title(title, **LETTERS)


def digits(images: Sequence[np.ndarray], titles: Sequence[str], row: int | None = None) -> str:
    """Images beside each other."""
    figure, axes = new_figure(SIZE, columns=len(images), squeeze=False)
    for each, image, title in zip(axes[0], images, titles, strict=True):
        draw_digit(each, image, row, title)
    return png(figure)


def reading(image: np.ndarray, tracks: dict[str, np.ndarray], row: int | None = None) -> str:
    """An image (rows, pixels), and the class that networks read after each row; there may be more rows of tracks."""
    figure, (left, right) = new_figure(SIZE, columns=2, width_ratios=(1, 2))
    draw_digit(left, image, None, "")  # which a student may see
    for (name, track), style in zip(tracks.items(), ("-", "--"), strict=False):
        steps = np.arange(1, len(track) + 1)
        color = COLORS.get(name.split()[0], "#555555")
        right.step(steps, track, style, where="mid", color=color, linewidth=1, label=name)
    right.set_yticks(range(0, 10, 3))
    right.set_ylim(-0.5, 9.5)
    if row is not None:
        right.axvline(row, color=HIGHLIGHT, linewidth=1)
    right.legend(fontsize=6, frameon=False)
    small(right, xlabel="rows read", ylabel="class")
    return png(figure)


def curves(
    lines: dict[str, np.ndarray], xlabel: str, ylabel: str, mark: float | None = None
) -> str:
    """Curves over the numbers 0, 1, 2, ...; `mark` is a place on the horizontal axis."""
    figure, axes = new_figure(SIZE)
    for (name, values), style in zip(lines.items(), ("-", "--", ":", "-."), strict=False):
        axes.plot(np.arange(len(values)), values, style, linewidth=1.2, label=name)
    if mark is not None:
        axes.axvline(mark, color=HIGHLIGHT, linewidth=1)
    axes.legend(fontsize=6, frameon=False)
    small(axes, xlabel=xlabel, ylabel=ylabel)
    return png(figure)


def bars(values: Mapping[str, float], xlabel: str) -> str:
    """Horizontal bars with their numbers."""
    figure, axes = new_figure(SIZE)
    drawn = axes.barh(list(values), list(values.values()), color="#999999", height=0.6)
    axes.bar_label(drawn, fmt="%.4g", padding=2, fontsize=7)
    axes.invert_yaxis()
    axes.margins(x=0.3)
    small(axes, xlabel=xlabel)
    return png(figure)


def lines(texts: Sequence[str]) -> str:
    """Lines of text, such as the equations of a cell."""
    figure, axes = new_figure(SIZE)
    axes.axis("off")
    size = min(6.5, 300 / max(map(len, texts)))  # so that the longest line fits
    axes.text(0, 1, "\n".join(texts), va="top", family="monospace", fontsize=size, linespacing=1.6)
    return png(figure)


def interval(low: float, high: float, point: float, names: tuple[str, str]) -> str:
    """An interval on a line, and a point."""
    figure, axes = new_figure(SIZE)
    axes.plot([low, high], [0, 0], linewidth=6, color=COLORS["LSTM"], label=names[0])
    axes.plot([point], [0], "o", color=COLORS["GRU"], label=names[1])
    axes.set_yticks([])
    axes.set_ylim(-1, 2)
    axes.legend(fontsize=6, frameon=False, loc="upper center", ncols=2)
    small(axes, xlabel="new h")
    return png(figure)
