"""Tables and figures of notebook 3: networks side by side."""

from collections.abc import Iterable, Mapping

import numpy as np
from matplotlib.transforms import Bbox

from coursework.arguments import check_dict, check_integer, check_names
from coursework.figure import Figure, new_figure, show_figure
from coursework.statistics import holm, mcnemar, wilson
from coursework.style import (
    MARKERS,
    colors_of,
    family_of,
    log_scale,
    log_ticks,
    markers_of,
)
from coursework.text import measured, show_table


def plot_accuracy_by_size(
    parameters: Mapping[str, int], hits: Mapping[str, int], total: int
) -> Figure:
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
    known = [kind for kind in MARKERS if kind in families.values()]  # first in the legend
    kinds = list(dict.fromkeys([*known, *families.values()]))
    colors, markers = colors_of(kinds), markers_of(kinds)
    figure, axes = new_figure((8, 4.5))
    for kind in kinds:
        of_kind = [points[label] for label in points if families[label] == kind]
        size, error, low, high = np.transpose(of_kind)
        axes.errorbar(
            size,
            error,
            [error - low, high - error],
            fmt=markers[kind],
            color=colors[kind],
            capsize=3,
            markersize=7,
            label=kind,
        )
    axes.set(xscale="log", xlabel="number of parameters", ylabel="test error (%)")
    log_ticks(axes.xaxis, form="{x:,.0f}")
    axes.margins(0.15)
    lowest = [low for _, _, low, _ in points.values()]
    log_scale(axes, lowest, steps=(1, 2, 3, 5))
    axes.grid()
    axes.legend()
    _name_points(axes, points, {label: colors[kind] for label, kind in families.items()})
    facts = [
        f"{label} {error:.1f} % with {size:,}" for label, (size, error, _, _) in points.items()
    ]
    return show_figure(figure, "Test error over the number of parameters", facts)


def _error_of(hits, total):
    """Test error in percent, and both ends of its interval."""
    low, high = wilson(hits, total)
    return tuple(float(100 * (1 - share)) for share in (hits / total, high, low))


SIDES = (7, -7)  # places of a name beside its point: to the right, to the left, in points
HEIGHTS = (5, -5, 15, -15, 25, -25, 35, -35, 45, -45)
PLACES = [(side, up) for up in HEIGHTS for side in SIDES]


def _name_points(axes, points, colors):
    """Write the name of each point (x, y, ends of its bar) where it covers least of what is there."""
    axes.figure.draw_without_rendering()  # now it is known where all lies on the screen
    taken = [axes.get_legend().get_window_extent()]
    for x, _, low, high in points.values():
        ends = axes.transData.transform([(x, low), (x, high)])
        taken.append(Bbox(ends).padded(5, 0))
    for name, (x, y, _, _) in points.items():
        text = axes.annotate(
            name,
            (x, y),
            (0, 0),
            textcoords="offset points",
            fontsize=9,
            color=colors[name],
            va="center",
        )
        text.set_in_layout(False)
        covered = [_area_in_common(_box_at(text, place), taken) for place in PLACES]
        best = PLACES[np.argmin(covered)]
        taken.append(_box_at(text, best))


def _box_at(text, place):
    """Move a text to a place beside its point; returns the box that it fills there, in pixels."""
    side, _ = place
    text.set(position=place, ha="left" if side > 0 else "right")
    return text.get_window_extent()


def _area_in_common(box, others):
    shared = [Bbox.intersection(box, other) for other in others]
    return sum(part.width * part.height for part in shared if part)


def show_comparisons(
    pairs: Iterable[tuple[str, str]], right: Mapping[str, np.ndarray]
) -> dict[tuple[str, str], str]:
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
    adjusted = holm(np.array([result.p for result in results.values()]))
    rows, verdicts = [], {}
    for pair, p in zip(results, adjusted, strict=True):
        result = results[pair]
        verdicts[pair] = result.verdict(p)
        numbers = _numbers_of(result, p)
        rows.append((" - ".join(pair), *numbers, measured(verdicts[pair])))
    header = (
        "pair",
        "points",
        "95 % interval",
        "only first",
        "only second",
        "p (Holm)",
        "the first is",
    )
    show_table(header, rows)
    return verdicts


def _numbers_of(result, p):
    """The measured cells of a row: difference and interval in points, images that only one got right, p-value."""
    p = f"{p:.3f}" if p >= 0.001 else "<.001"
    return (
        measured(100 * result.difference, "+.2f"),
        measured(f"{100 * result.low:+.2f} to {100 * result.high:+.2f}"),
        measured(result.only_a, "d"),
        measured(result.only_b, "d"),
        measured(p),
    )
