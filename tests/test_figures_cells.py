"""The figures of notebook 4."""

import numpy as np
import pytest

import helpers
from conftest import refused

PAIR = [(0.9, 0.8, 1.0), (0.5, 0.3, 0.7)]


def test_plot_cells_draws_both_readings_of_each_cell_in_its_colour():
    groups = {
        "32 units": {"GRU": PAIR, "mine": PAIR},
        "as many weights": {"mine": PAIR, "GRU": PAIR},
    }
    figure = helpers.plot_cells(groups)
    names = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert names == ["GRU", "mine"]
    for axes in figure.axes:
        discs = [bars.lines[0] for bars in axes.containers]
        assert [disc.get_xdata()[0] for disc in discs] == [0.9, 0.5, 0.9, 0.5]
        assert discs[0].get_color() == helpers.CELLS["GRU"].color != discs[2].get_color()
    assert "as many weights, GRU 0.90 and 0.50" in figure.alt


def test_plot_beyond_tells_what_is_reached_at_the_longest():
    lengths = np.arange(1, 11)
    curves = {"right": lengths, "GRU": lengths / 2, "minGRU": lengths / 4}
    figure = helpers.plot_beyond(lengths, curves, 5, xlabel="number of a's", ylabel="accuracy")
    assert figure.alt == "accuracy over number of a's; at 10: GRU 5; minGRU 2.5."
    colors = {line.get_label(): line.get_color() for line in figure.axes[0].lines}
    assert colors["GRU"] == helpers.CELLS["GRU"].color and colors["right"] == "black"


@pytest.mark.parametrize("pair", [None, PAIR[:1], [(1, 2), (3, 4)], "ab"])
def test_what_is_no_pair_of_triples_is_refused(pair):
    with refused("32 units, GRU"):
        helpers.plot_cells({"32 units": {"GRU": pair}})


def test_curves_are_as_long_as_their_lengths():
    with refused("GRU"):
        helpers.plot_beyond(np.arange(3), {"GRU": [1, 2]}, 1)
