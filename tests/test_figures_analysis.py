"""Figures of notebook 3: all that is given is drawn, and stands in the text for readers who can't see it."""

import numpy as np
import pytest

import helpers
from conftest import refused

rng = np.random.default_rng(0)
IMAGES = rng.integers(0, 2, (10, 28, 28)).astype(np.float32)
H = np.tanh(rng.normal(size=(10, 28, 8)))
LABELS = np.arange(10)


def test_each_curve_is_drawn_in_its_own_style(shown):
    helpers.plot_by_step("accuracy", {f"model {k}": np.linspace(0.1, 0.9, 28) for k in range(8)})
    ((figure, alt),) = shown
    lines = figure.axes[0].lines
    assert len({(line.get_color(), line.get_linestyle()) for line in lines}) == len(lines) == 8
    assert alt.count("at step 1,") == 8


def test_intervals_points_and_marks(shown):
    values = np.linspace(0.1, 0.9, 28)
    helpers.plot_by_step(
        "accuracy", {"a": (values, values - 0.1, values + 0.1)}, {"known": {28: 0.9, 27: 0.8}}, {5: "ink"}
    )
    ((figure, alt),) = shown
    axes = figure.axes[0]
    assert len(axes.collections) == 1 and len(axes.texts) == 1
    assert "0.90 at step 28, 0.80 at step 27" in alt


def test_titles_that_are_numbers(shown):
    helpers.plot_images(IMAGES, LABELS)
    assert [axes.get_title() for axes in shown[0][0].axes] == [str(label) for label in LABELS]
    for labels in (LABELS[:9], [*LABELS, 0]):
        with refused("zip"):
            helpers.plot_images(IMAGES, labels)


@pytest.mark.parametrize("scale", [1, 400])
def test_colour_scales_hold_what_is_drawn_or_say_so(shown, scale):
    helpers.plot_over_time(IMAGES[:2], {"h": scale * H[:2]}, ["h"])
    helpers.plot_states(IMAGES[:2], scale * H[:2], LABELS[:2])
    helpers.plot_class_means(scale * H)
    for figure, _ in shown:
        drawn = [image for axes in figure.axes for image in axes.images if image.get_cmap().name != "gray_r"]
        ((low, high),) = {image.get_clim() for image in drawn}
        bars = [axes._colorbar.extend for axes in figure.axes if hasattr(axes, "_colorbar")]
        if scale == 1:
            assert (low, high) == (-1, 1) and bars == ["neither"]
        else:
            assert high > 100 and low == -high and bars == ["both"]


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


def test_row_influence_and_film(shown):
    maps = rng.normal(size=(2, 28, 28))
    helpers.plot_row_influence(IMAGES[:2], np.abs(maps), maps, ["a 0", "a 1"])
    helpers.plot_film_strip(IMAGES[:3], rng.dirichlet(np.ones(10), size=(3, 28)), LABELS[:3])
    (influence, alt), (_, film) = shown
    assert sum(len(axes.images) for axes in influence.axes if axes.get_label() != "<colorbar>") == 6
    assert f"a 1: at the last step, row {maps[1, -1].argmax() + 1} is missed most" in alt
    assert film.count("at step") == 3


def test_a_reading_has_a_column_for_each_of_its_steps(shown):
    chances = rng.dirichlet(np.ones(10), size=28)
    helpers.plot_reading(IMAGES[0], H[0], chances, 3, [1, 28])
    ((figure, alt),) = shown
    assert len(figure.axes) == 6 and alt.endswith(f"{chances[27].argmax()} after row 28.")
    for step in (0, 29):
        with refused("step must be"):
            helpers.plot_reading(IMAGES[0], H[0], chances, 3, [step])
    with refused("h has shape"):
        helpers.plot_reading(IMAGES[0], H[0][:5], chances, 3, [1])


def test_comparisons_are_shown_and_returned(capsys):
    right = {"a": np.ones(60, bool), "b": np.arange(60) >= 30, "c": np.ones(60, bool)}
    verdicts = helpers.show_comparisons([("a", "b"), ("b", "a"), ("a", "c")], right)
    assert verdicts == {("a", "b"): "better", ("b", "a"): "worse", ("a", "c"): "not separable"}


def test_summary_table_draws_and_writes_a_csv(runs):
    pairs = [(0.1, 0.97), (0.09, 0.975), (0.08, 0.98), (0.1, 0.97)]
    assert helpers.plot_summary_table({"LSTM": pairs, "GRU": pairs}) is None
    lines = (runs / "summary.csv").read_text().splitlines()
    assert lines[0] == "model,test cross-entropy,test accuracy"
    assert lines[1] == "LSTM 32,0.1,0.97" and lines[8] == "GRU 3 x 32,0.1,0.97"
    with refused("GRU: expected 4 pairs"):
        helpers.plot_summary_table({"LSTM": pairs, "GRU": pairs[:3]})
