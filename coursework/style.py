"""The look of all figures: one colour for each thing, and words for those who can't see them."""

import IPython
import matplotlib.pyplot as plt
from matplotlib.ticker import LogLocator, NullFormatter

# One colour per model and per gate everywhere: Okabe and Ito's set, which colour-blind readers can tell apart. Models
# have a marker too, and curves a line style, so that they are apart in grey print.
COLORS = {
    "LSTM": "#0072B2",
    "GRU": "#D55E00",
    "whole image": "#555555",
    "i": "#009E73",
    "f": "#E69F00",
    "o": "#CC79A7",
    "z": "#E69F00",
    "r": "#009E73",
}
MARKERS = {"LSTM": "s", "GRU": "o", "whole image": "^"}
LINES = (  # colour, line style and marker of the curves of one figure, in order
    ("#D55E00", "-", "o"),
    ("#009E73", "--", "s"),
    ("#0072B2", ":", "^"),
    ("#000000", "-.", "D"),
    ("#CC79A7", (0, (5, 1, 1, 1, 1, 1)), "v"),
)
TITLES = {
    "i": "input gate i",
    "f": "forget gate f",
    "o": "output gate o",
    "z": "update gate z",
    "r": "reset gate r",
    "g": "candidate g",
    "h": "output h",
    "c": "state c",
}
STEP = "time step (row)"
plt.rcParams.update(
    {
        "figure.dpi": 100,
        "figure.constrained_layout.use": True,
        "savefig.bbox": "tight",
        "font.size": 10,
        "legend.fontsize": 9,
        "lines.markersize": 4,
        "grid.alpha": 0.3,
        "image.cmap": "viridis",  # perceptually uniform, and monotone in grey
        "image.interpolation": "nearest",
        "axes.prop_cycle": plt.cycler(color=[color for color, _, _ in LINES]),
    }
)


def show_figure(alt):
    """Show the current figure, with a text in its place for readers who can't see it (nbconvert's `alt`)."""
    figure = plt.gcf()
    IPython.display.display(figure, metadata={"image/png": {"alt": alt}})
    plt.close(figure)


def draw_steps(axes, values, low, high, width=1, **labels):
    """Rows of `values` (T, units) as time steps 1 to T, downwards; the panel is `width` times as wide as high."""
    steps, columns = values.shape
    axes.set_box_aspect(1 / width)
    axes.set(**labels)
    return axes.imshow(values, vmin=low, vmax=high, aspect="auto", extent=(0.5, columns + 0.5, steps + 0.5, 0.5))


def draw_digit(axes, image, **labels):
    """An image (T, pixels) in black on white, its rows numbered as time steps, in a square panel."""
    draw_steps(axes, image, 0, 1, **labels).set_cmap("gray_r")
    axes.set_xticks([1, 14, 28])


def draw_classes(axes, chances, **labels):
    """Class probabilities (T, 10) over the time steps, in a narrow panel."""
    axes.set(xlabel="class", xticks=range(1, 11, 3), xticklabels=range(0, 10, 3))
    return draw_steps(axes, chances, 0, 1, **labels)


def beside_images(images, labels, width):
    """A row of images titled by their labels, each with a panel to be filled, `width` times as wide, on its right.

    Returns:
        (figure, the empty panels).
    """
    size = (1.75 * len(images) * (1 + width), 2.1)
    ratios = [1, width] * len(images)
    figure, (panels,) = plt.subplots(1, len(ratios), figsize=size, sharey=True, squeeze=False, width_ratios=ratios)
    for axes, image, label in zip(panels[::2], images, labels, strict=True):
        draw_digit(axes, image, xlabel="pixel", title=f"a {label}")
    panels[0].set_ylabel(STEP)
    return figure, panels[1::2]


def log_ticks(axis, steps=(1, 2, 5), form="{x:g}"):
    """Plain numbers on a logarithmic axis that may span less than a factor of ten."""
    axis.set_major_locator(LogLocator(subs=steps))
    axis.set_major_formatter(form)
    axis.set_minor_formatter(NullFormatter())
