"""Figures: all that is given is drawn, and stands in the text for readers who can't see it."""

import itertools
from fractions import Fraction

import numpy as np
import pytest
from matplotlib.transforms import Bbox

import helpers
from conftest import refused
from coursework import figures_gates

rng = np.random.default_rng(0)
IMAGES = rng.integers(0, 2, (10, 28, 28)).astype(np.float32)
H = np.tanh(rng.normal(size=(10, 28, 8)))
LABELS = np.arange(10)


# --------------------------------------------------------------------------------------------------------- notebook 1
def test_panels(shown):
    states = {"h": (np.linspace(-2, 1, 28 * 3).reshape(28, 3), "hidden unit")}
    helpers.plot_panels({"input": (np.eye(28), "pixel")} | states)
    ((figure, alt),) = shown
    assert figure.axes[1].images[0].get_clim() == (-2, 2)  # all of a state that leaves [-1, 1] is drawn
    assert "h between -2.00 and 1.00" in alt


def test_gate_error(shown):
    biases = np.arange(5)
    errors = {("LSTM", "store_input"): np.array([1, 0.1, 0.01, 0, 0]), ("GRU", "keep_state"): np.array([1, 0, 0, 0, 0])}
    helpers.plot_gate_error(biases, {"store_input": np.ones(5), "keep_state": np.ones(5)}, errors)
    ((figure, alt),) = shown
    assert "LSTM, store: one step, 3" in alt and "GRU, keep: 28 steps, 1" in alt
    assert figure.axes[0].lines[0].get_ydata().tolist() == [1, 0.1, 0.01, 1e-20, 1e-20]


def test_reachable(shown):
    values = {"x": Fraction(1, 4), "h_prev": -0.5, "c_prev": -1, "w": 1, "u": 2, "b": 0, "z": 0, "r": 0}
    helpers.plot_reachable({"r = 0": values, "r = 1": values | {"r": 1}})
    ((figure, alt),) = shown
    assert alt.startswith("r = 0: the LSTM reaches -0.93 to 0.00, the GRU is at 0.24; r = 1: ")
    bar, dot = figure.axes[0].lines[:2]
    np.testing.assert_allclose(bar.get_xdata(), [np.tanh(-1 - np.tanh(0.75)), 0], atol=1e-12)
    np.testing.assert_allclose(dot.get_xdata(), [np.tanh(0.25)])


def test_the_playground_draws_its_starting_values_and_moves(shown, monkeypatch):
    widgets = []
    monkeypatch.setattr(figures_gates, "show_widget", widgets.append)
    helpers.gate_playground(np.eye(28))
    assert len(widgets) == 1 and "LSTM: c between" in shown[0][1]
    before = widgets[0].children[-1].value
    widgets[0].children[0].children[0].value = 8  # the first slider
    assert widgets[0].children[-1].value != before
    with refused(r"^digit has shape \(1, 28, 28\), expected \(28, 28\)$"):
        helpers.gate_playground(np.zeros((1, 28, 28)))


# -------------------------------------------------------------------------------------------------- notebooks 2 and 3
# A crowd: what the networks of notebook 3 reach on 1,000 images.
CROWD = {"LSTM 32": (10570, 931), "LSTM 64": (28618, 937), "LSTM 128": (89290, 960), "LSTM 3 x 32": (27210, 944)}
CROWD |= {"GRU 32": (8714, 933), "GRU 64": (22858, 949), "GRU 128": (69578, 952), "GRU 3 x 32": (21386, 954)}
CROWD |= {"softmax": (7850, 903), "MLP 32": (25450, 927), "MLP 2 x 32": (26506, 936), "CNN 32": (13570, 966)}
CROWD |= {"MLP 11": (8755, 908), "MLP 13": (10345, 919)}


def test_no_name_covers_another_or_the_legend_or_a_bar(shown):
    helpers.plot_accuracy_by_size(*({name: pair[k] for name, pair in CROWD.items()} for k in (0, 1)), 1000)
    ((figure, alt),) = shown
    (axes,) = figure.axes
    assert {text.get_text() for text in axes.texts} == set(CROWD) and "GRU 64 5.1 % with 22,858" in alt
    boxes = [artist.get_window_extent() for artist in (*axes.texts, axes.get_legend())]
    assert not any(a.overlaps(b) for a, b in itertools.combinations(boxes, 2))
    bars = [Bbox(axes.transData.transform(ends)) for lines in axes.collections for ends in lines.get_segments()]
    assert len(bars) == len(CROWD) and not any(box.overlaps(bar) for box in boxes for bar in bars)


def test_summary_table_draws_and_writes_a_csv(runs):
    pairs = [(0.1, 0.97), (0.09, 0.975), (0.08, 0.98), (0.1, 0.97)]
    helpers.plot_summary_table({"LSTM": pairs, "GRU": pairs})
    lines = (runs / "summary.csv").read_text().splitlines()
    assert lines[0] == "model,test cross-entropy,test accuracy"
    assert lines[1] == "LSTM 32,0.1,0.97" and lines[8] == "GRU 3 x 32,0.1,0.97"
    with refused("GRU: expected 4 pairs"):
        helpers.plot_summary_table({"LSTM": pairs, "GRU": pairs[:3]})


def test_curves_have_their_own_styles_and_imitations_are_all_drawn(shown):
    curve = np.linspace(0.1, 0.9, 28)
    helpers.plot_by_step("accuracy", {f"model {k}": curve for k in range(8)})
    interval = curve, curve - 0.1, curve + 0.1
    helpers.plot_by_step("accuracy", {"a": interval}, {"known": {28: 0.9, 27: 0.8}}, {5: "ink"})
    helpers.plot_imitation(curve, {f"LSTM {shift}": curve + shift / 10 for shift in range(6)})
    (eight, names), (one, points), (imitation, gaps) = ((figure.axes[0], alt) for figure, alt in shown)
    assert len({(line.get_color(), line.get_linestyle()) for line in eight.lines}) == len(eight.lines) == 8
    assert names.count("at step 1,") == 8
    assert len(one.collections) == 1 and len(one.texts) == 1 and "0.90 at step 28, 0.80 at step 27" in points
    assert len(imitation.lines) == 7 and "LSTM 5 by at most 0.500" in gaps


def test_titles_that_are_numbers(shown):
    helpers.plot_images(IMAGES, LABELS)
    assert [axes.get_title() for axes in shown[0][0].axes] == [str(label) for label in LABELS]
    with refused("10 images, but 9 titles"):
        helpers.plot_images(IMAGES, LABELS[:9])


@pytest.mark.parametrize("scale", [1, 400])
def test_colour_scales_hold_what_is_drawn_or_say_so(shown, scale):
    helpers.plot_over_time(IMAGES[:2], {"h": scale * H[:2]}, ["h"])
    helpers.plot_states(IMAGES[:2], scale * H[:2], LABELS[:2])
    helpers.plot_class_means(scale * H)
    for figure, _ in shown:
        drawn = [image for axes in figure.axes for image in axes.images if image.get_cmap().name != "gray_r"]
        ((low, high),) = {image.get_clim() for image in drawn}
        bars = [axes._colorbar.extend for axes in figure.axes if hasattr(axes, "_colorbar")]
        assert low == -high and (high == 1 if scale == 1 else high > 100)
        assert bars == ["neither" if scale == 1 else "both"]


def test_every_gate_and_every_unit_is_drawn(shown):
    traced = {
        "LSTM": {name: np.abs(H) for name in "ifo"} | {"c": H},
        "GRU": {name: np.abs(H) for name in "zr"} | {"h": H},
    }
    helpers.plot_gate_means(traced)
    helpers.plot_saturation(traced)
    (means, alt), (saturation, words) = shown
    assert sum(len(axes.images) for axes in means.axes) >= 5
    assert [sum(line.get_marker() != "None" for line in axes.lines) for axes in saturation.axes] == [3, 2]
    for text in (alt, words):
        assert all(name in text for name in ("LSTM i", "LSTM f", "LSTM o", "GRU z", "GRU r"))


def test_commit_steps_of_each_reader_add_up_to_all_images(shown):
    ink, steps = np.array([0, 20, 25, 28]), np.array([1, 28, 28, 40])
    helpers.plot_commit_steps({"head": steps, "probe": ink + 1}, ink)
    ((figure, alt),) = shown
    filled = figure.axes[0].containers[0]
    assert sum(bar.get_height() for bar in filled) == pytest.approx(100)  # images without ink, too
    assert "head: 28" in alt and "probe: 23.5" in alt


def test_row_influence_film_and_reading(shown):
    maps, chances = rng.normal(size=(2, 28, 28)), rng.dirichlet(np.ones(10), size=(3, 28))
    helpers.plot_row_influence(IMAGES[:2], np.abs(maps), maps, ["a 0", "a 1"])
    helpers.plot_film_strip(IMAGES[:3], chances, LABELS[:3])
    helpers.plot_reading(IMAGES[0], H[0], chances[0], 3, [1, 28])
    (influence, alt), (_, film), (reading, guesses) = shown
    assert sum(len(axes.images) for axes in influence.axes if axes.get_label() != "<colorbar>") == 6
    assert f"a 1: at the last step, row {maps[1, -1].argmax() + 1} is missed most" in alt
    assert film.count("at step") == 3
    assert len(reading.axes) == 6 and guesses.endswith(f"{chances[0, 27].argmax()} after row 28.")
    for step in (0, 29):
        with refused("step must be"):
            helpers.plot_reading(IMAGES[0], H[0], chances[0], 3, [step])
    with refused("h has shape"):
        helpers.plot_reading(IMAGES[0], H[0][:5], chances[0], 3, [1])


def test_comparisons_are_shown_and_returned():
    right = {"a": np.ones(60, bool), "b": np.arange(60) >= 30, "c": np.ones(60, bool)}
    verdicts = helpers.show_comparisons([("a", "b"), ("b", "a"), ("a", "c")], right)
    assert verdicts == {("a", "b"): "better", ("b", "a"): "worse", ("a", "c"): "not separable"}
