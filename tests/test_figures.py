"""Figures: all that is given is drawn, and stands in the text for readers who can't see it."""

import base64
import io
import itertools
import os
from fractions import Fraction
from types import SimpleNamespace

import nbclient
import nbformat
import numpy as np
import pytest
from matplotlib.text import Text
from matplotlib.transforms import Bbox
from PIL import Image

import helpers
from conftest import ROOT, python, refused
from coursework import style
from coursework.figure import as_png
from helpers import Experiment

rng = np.random.default_rng(0)
IMAGES = rng.integers(0, 2, (10, 28, 28)).astype(np.float32)
H = np.tanh(rng.normal(size=(10, 28, 8)))
LABELS = np.arange(10)


# --------------------------------------------------------------------------------------------------------- notebook 1
def test_panels():
    image, states = (
        (np.eye(28), "pixel"),
        (np.linspace(-2, 1, 28 * 3).reshape(28, 3), "hidden unit"),
    )
    figure = helpers.plot_panels({"input": image, "h": states})
    assert figure.axes[1].images[0].get_clim() == (
        -2,
        2,
    )  # all of a state that leaves [-1, 1] is drawn
    assert "h between -2.00 and 1.00" in figure.alt
    assert (
        len(helpers.plot_panels({"input": image}).axes) == 1
    )  # no state, so no colour bar for states


def test_a_state_at_rest_is_white():
    states = (np.array([[-0.5, 0.0, 0.25]]), "hidden unit")
    figure = helpers.plot_panels({"h": states})
    (picture,) = figure.axes[0].images
    red, rest, blue = picture.to_rgba(picture.get_array())[0, :, :3]
    assert rest.min() > 0.95 and red[0] > red[2] and blue[2] > blue[0]


def test_keeping():
    fading = np.linspace([-1, 0, 1], [0, 0, 0], 29)
    staying = np.tile([-1.0, 0, 1], (29, 1))
    figure = helpers.plot_keeping({"fades": fading, "stays": staying})
    assert figure.alt.endswith(
        "fades: 3 numbers at the start, 1 at the end; stays: 3 numbers at the start, 3 at the end."
    )
    axes = figure.axes[0]
    np.testing.assert_array_equal(axes.lines[0].get_xdata(), np.arange(29))
    np.testing.assert_array_equal(axes.lines[0].get_ydata(), fading[:, 0])


def test_margins():
    gaps = {"LSTM, c": np.ones(4), "GRU, quick": np.array([0.5, 0.25, 0, 0])}
    figure = helpers.plot_margins(gaps, 2 / np.arange(1, 5))
    assert "LSTM, c: 1 at n = 1, above 0 up to n = 4" in figure.alt
    assert "GRU, quick: 0.5 at n = 1, above 0 up to n = 2" in figure.alt
    lstm, gru, bound = figure.axes[0].lines
    assert gru.get_xdata().tolist() == [1, 2] and bound.get_ydata()[3] == 0.5
    assert lstm.get_color() == style.COLORS["LSTM"] and gru.get_color() == style.COLORS["GRU"]
    with refused("^GRU has shape"):
        helpers.plot_margins({"GRU": np.ones(3)}, np.ones(4))


SLIDE = 13.33  # inches: a figure that fills a slide of usual size is as wide


@pytest.mark.parametrize(
    "draw", ["keeping", "panels", "error", "reachable", "imitation", "margins"]
)
def test_a_slide_shows_notebook_1_in_13_points(draw):
    panel = (np.eye(28), "hidden unit")
    error = {(cell, "keep_state"): np.ones(5) for cell in ("LSTM", "GRU")}
    error |= {(cell, "store_input"): np.ones(5) for cell in ("LSTM", "GRU")}
    bounds = {"store_input": np.ones(5), "keep_state": np.ones(5)}
    values = {"x": 1, "h_prev": 0, "c_prev": 0, "w": 3, "u": 0, "b": 0, "z": 0, "r": 1}
    label = "LSTM, 1024 units"
    figure = {
        "keeping": lambda: helpers.plot_keeping(dict.fromkeys("abc", np.zeros((29, 7)))),
        "panels": lambda: helpers.plot_panels(dict.fromkeys("abcde", panel)),
        "error": lambda: helpers.plot_gate_error(np.arange(5), bounds, error),
        "reachable": lambda: helpers.plot_reachable({"range": values}),
        "imitation": lambda: helpers.plot_imitation(np.ones(28), {label: np.ones(28)}),
        "margins": lambda: helpers.plot_margins({"GRU, z = 1 - 1/1024": np.ones(9)}, np.ones(9)),
    }[draw]()
    width = Image.open(io.BytesIO(as_png(figure))).width / figure.dpi
    shown = [text for text in figure.findobj(Text) if text.get_text() and text.get_visible()]
    smallest = min(text.get_fontsize() for text in shown)
    assert smallest * SLIDE / width >= 13
    assert figure.get_facecolor() == (1, 1, 1, 1)  # on a dark page, too


def test_gate_error():
    biases = np.arange(5)
    errors = {
        ("LSTM", "store_input"): np.array([1, 0.1, 0.01, 0, 0]),
        ("GRU", "keep_state"): np.array([1, 0, 0, 0, 0]),
    }
    errors |= {("mine", "keep_state"): np.zeros(5), ("mine", "store_input"): np.ones(5)}
    figure = helpers.plot_gate_error(
        biases, {"store_input": np.ones(5), "keep_state": np.ones(5)}, errors
    )
    assert "LSTM, store: one step, 3" in figure.alt and "GRU, keep: 28 steps, 1" in figure.alt
    assert "mine, keep: 28 steps, 0" in figure.alt and "mine, store: one step, none" in figure.alt
    assert figure.axes[0].lines[0].get_ydata().tolist() == [1, 0.1, 0.01, 1e-20, 1e-20]
    colors = {
        line.get_color()
        for axes in figure.axes
        for line in axes.lines
        if "Keras" in line.get_label()
    }
    assert len(colors) == 3
    one = helpers.plot_gate_error(
        biases, {"keep_state": np.ones(5)}, {("GRU", "keep_state"): np.zeros(5)}
    )
    assert len(one.axes) == 1
    with refused("^bounds has no 'keep_state'; it has store_input$"):
        helpers.plot_gate_error(biases, {"store_input": np.ones(5)}, errors)


def test_reachable():
    values = {
        "x": Fraction(1, 4),
        "h_prev": -0.5,
        "c_prev": -1,
        "w": 1,
        "u": 2,
        "b": 0,
        "z": 0,
        "r": 0,
    }
    figure = helpers.plot_reachable({"r = 0": values, "r = 1": values | {"r": 1}})
    assert figure.alt.startswith(
        "r = 0: the LSTM reaches -0.93 to 0.00, the GRU is at 0.24; r = 1: "
    )
    bar, dot = figure.axes[0].lines[:2]
    np.testing.assert_allclose(bar.get_xdata(), [np.tanh(-1 - np.tanh(0.75)), 0], atol=1e-12)
    np.testing.assert_allclose(dot.get_xdata(), [np.tanh(0.25)])


def minimal_cell():
    """A cell that is none of the bundle's."""
    x, h_prev, g, k, W, W_k, b_k = helpers.symbols("x h_prev g k W W_k b_k")
    gates = {k: helpers.sigmoid(helpers.dot(W_k, x) + b_k)}
    return helpers.Cell("mine", gates, candidate=helpers.dot(W, x), state=k * h_prev + (1 - k) * g)


# -------------------------------------------------------------------------------------------------- notebooks 2 and 3
# A crowd: what the networks of notebook 3 reach on 1,000 images.
CROWD = {
    "LSTM 32": (10570, 931),
    "LSTM 64": (28618, 937),
    "LSTM 128": (89290, 960),
    "LSTM 3 x 32": (27210, 944),
}
CROWD |= {
    "GRU 32": (8714, 933),
    "GRU 64": (22858, 949),
    "GRU 128": (69578, 952),
    "GRU 3 x 32": (21386, 954),
}
CROWD |= {
    "softmax": (7850, 903),
    "MLP 32": (25450, 927),
    "MLP 2 x 32": (26506, 936),
    "CNN 32": (13570, 966),
}
CROWD |= {"MLP 11": (8755, 908), "MLP 13": (10345, 919)}


def accuracy_by_size(networks):
    return helpers.plot_accuracy_by_size(
        *({name: pair[k] for name, pair in networks.items()} for k in (0, 1)), 1000
    )


def test_no_name_covers_another_or_the_legend_or_a_bar():
    figure = accuracy_by_size(CROWD)
    (axes,) = figure.axes
    assert {text.get_text() for text in axes.texts} == set(
        CROWD
    ) and "GRU 64 5.1 % with 22,858" in figure.alt
    boxes = [artist.get_window_extent() for artist in (*axes.texts, axes.get_legend())]
    assert not any(a.overlaps(b) for a, b in itertools.combinations(boxes, 2))
    bars = [
        Bbox(axes.transData.transform(ends))
        for lines in axes.collections
        for ends in lines.get_segments()
    ]
    assert len(bars) == len(CROWD) and not any(box.overlaps(bar) for box in boxes for bar in bars)


def test_a_network_without_errors_and_one_without_hits_are_drawn():
    figure = accuracy_by_size({"GRU 32": (8714, 1000), "CNN 32": (13570, 990), "MLP 11": (8755, 0)})
    (axes,) = figure.axes
    heights = [container.lines[0].get_ydata().tolist() for container in axes.containers]
    assert (
        heights[0] == [0] and heights[1] == pytest.approx([1, 100]) and "GRU 32 0.0 %" in figure.alt
    )
    low, high = axes.get_ylim()
    assert low < 0 and high > 100  # on the paper, with all of the marker
    bars = [ends for lines in axes.collections for ends in lines.get_segments()]
    assert bars[0][0, 1] == 0 < bars[0][1, 1] < 1  # its interval begins at 0
    feet = [text.get_window_extent().y0 for text in axes.texts]
    assert len(feet) == 3 and min(feet) > axes.get_window_extent().y0 - 20


def test_cells_of_any_name_have_their_own_look():
    networks = {
        "LSTM 32": (10570, 931),
        "mine 32": (9000, 900),
        "mine 3 x 32": (9500, 910),
        "its own 8": (900, 800),
    }
    figure = accuracy_by_size(networks | {"softmax": (7850, 903)})
    looks = {
        box.get_label(): (box.lines[0].get_color(), box.lines[0].get_marker())
        for box in figure.axes[0].containers
    }
    assert (
        list(looks) == ["LSTM", "whole image", "mine", "its own"] and len(set(looks.values())) == 4
    )
    assert looks["LSTM"] == (style.COLORS["LSTM"], style.MARKERS["LSTM"])


PAIRS = [(0.1, 0.97), (0.09, 0.975), (0.08, 0.98), (0.1, 0.97)]


def test_the_summary_is_a_table_of_its_own_and_a_picture(runs):
    header, rows = helpers.summary_table({"LSTM": PAIRS, "GRU": np.array(PAIRS)})
    assert header == ("model", "test cross-entropy", "test accuracy")
    assert rows[0] == ("LSTM 32", 0.1, 0.97) and rows[7] == ("GRU 3 x 32", 0.1, 0.97)
    figure = helpers.plot_summary_table({"LSTM": PAIRS, "GRU": PAIRS})
    assert "LSTM 64: 0.0900, 0.9750" in figure.alt and not runs.exists()  # a picture writes no file
    cells = {cell.get_text().get_text() for cell in figure.axes[0].tables[0].get_celld().values()}
    assert {"test accuracy", "GRU 3 x 32", "0.9750"} <= cells


def learning(*experiments, **history):
    """Results of training as `plot_learning_curves` takes them."""
    curves = {
        "loss": [0.2, 0.1],
        "val_loss": [0.3, 0.2],
        "accuracy": [0.9, 1.0],
        "val_accuracy": [0.8, 0.9],
    } | history
    return {
        e: SimpleNamespace(history=curves, accuracy=curves["val_accuracy"][-1]) for e in experiments
    }


def test_learning_curves_down_to_no_error():
    sheet = [
        Experiment(family, *size, epochs=2)
        for family in ("LSTM", "GRU")
        for size in helpers.MODEL_SIZES
    ]
    figure = helpers.plot_learning_curves(learning(*sheet))
    assert [axes.get_title() for axes in figure.axes[:4]] == [
        f"{size} units" for size in ("32", "64", "128", "3 x 32")
    ]
    assert all(len(axes.lines) == 4 for axes in figure.axes) and "GRU 3 x 32 10.00 %" in figure.alt
    training, below = figure.axes[4].lines[0].get_ydata(), figure.axes[4].get_ylim()[0]
    assert training == pytest.approx([10, 0]) and below < 0  # 0 % lies on the paper
    assert figure.axes[4].get_yticks().tolist() == [
        0,
        10,
        20,
    ]  # linear from 0 to the smallest error
    assert {axes.get_yscale() for axes in figure.axes[:4]} == {"log"}
    both = helpers.plot_learning_curves(
        learning(Experiment("GRU", 7), Experiment(minimal_cell(), 7))
    )
    assert [axes.get_title() for axes in both.axes] == ["7 units", ""]
    curves = {line.get_label(): line.get_color() for line in both.axes[0].lines}
    assert curves["GRU, test"] == style.COLORS["GRU"] != curves["mine, test"]


def test_curves_have_their_own_styles_and_imitations_are_all_drawn():
    curve = np.linspace(0.1, 0.9, 28)
    eight = helpers.plot_by_step("accuracy", {f"model {k}": curve for k in range(8)})
    lines = eight.axes[0].lines
    assert len({(line.get_color(), line.get_linestyle()) for line in lines}) == len(lines) == 8
    assert eight.alt.count("at step 1,") == 8
    interval = curve, curve - 0.1, curve + 0.1
    one = helpers.plot_by_step(
        "accuracy", {"a": interval}, {"known": {28: 0.9, 27: 0.8}}, {5: "ink"}
    )
    assert len(one.axes[0].collections) == len(one.axes[0].texts) == 1
    assert "0.90 at step 28, 0.80 at step 27" in one.alt
    imitation = helpers.plot_imitation(
        curve, {f"LSTM {shift}": curve + shift / 10 for shift in range(6)}
    )
    assert len(imitation.axes[0].lines) == 7 and "LSTM 5 by at most 0.500" in imitation.alt
    without_interval = curve, np.full(28, np.nan), np.full(28, np.nan)  # one run alone
    assert helpers.plot_by_step("accuracy", {"a": without_interval}).alt.startswith("accuracy over")


def test_titles_that_are_numbers():
    figure = helpers.plot_images(IMAGES, LABELS)
    assert [axes.get_title() for axes in figure.axes] == [str(label) for label in LABELS]


@pytest.mark.parametrize("scale", [1, 400])
def test_colour_scales_hold_what_is_drawn_or_say_so(scale):
    figures = [
        helpers.plot_over_time(IMAGES[:2], {"h": scale * H[:2]}, ["h"]),
        helpers.plot_states(IMAGES[:2], scale * H[:2], LABELS[:2]),
        helpers.plot_class_means(scale * H),
    ]
    for figure in figures:
        drawn = [
            image
            for axes in figure.axes
            for image in axes.images
            if image.get_cmap().name != "gray_r"
        ]
        ((low, high),) = {image.get_clim() for image in drawn}
        bars = [axes._colorbar.extend for axes in figure.axes if hasattr(axes, "_colorbar")]
        assert low == -high and (high == 1 if scale == 1 else high > 100)
        assert bars == ["neither" if scale == 1 else "both"]


def test_every_gate_and_every_unit_of_any_cell_is_drawn():
    traced = {
        "LSTM": {name: np.abs(H) for name in "ifo"} | {"c": H},
        "GRU": {name: np.abs(H) for name in "zr"} | {"h": H},
        "mine": {name: np.abs(H) for name in ("write", "i", "k2", "k3")} | {"g": H, "h": H},
        "plain": {"g": H, "h": H},  # has no gates
    }
    means, saturation = helpers.plot_gate_means(traced), helpers.plot_saturation(traced)
    assert sum(len(axes.images) for axes in means.axes if axes.get_label() != "<colorbar>") == 9
    points = [
        [line for line in axes.lines if line.get_marker() != "None"] for axes in saturation.axes
    ]
    assert [len(lines) for lines in points] == [3, 2, 4]
    assert (
        len({line.get_color() for line in points[2]})
        == len({line.get_marker() for line in points[2]})
        == 4
    )
    for figure in (means, saturation):
        assert all(
            name in figure.alt
            for name in ("LSTM i", "LSTM f", "LSTM o", "GRU z", "GRU r", "mine write")
        )
    over_time = helpers.plot_over_time(IMAGES, traced["mine"], ["write", "g"])
    assert over_time.alt.count("gate write (mean") == 1
    assert [over_time.axes[place].images[0].get_clim() for place in (1, 2)] == [(0, 1), (-1, 1)]
    with refused("no gates to draw: plain has none"):
        helpers.plot_gate_means({"plain": traced["plain"]})
    with refused("^mine k holds values from -"):
        helpers.plot_saturation({"mine": {"k": H}})


def test_commit_steps_of_each_reader_add_up_to_all_images():
    ink, steps = np.array([0, 20, 25, 28]), np.array([1, 28, 28, 40])
    figure = helpers.plot_commit_steps({"head": steps, "probe": ink + 1}, ink)
    filled = figure.axes[0].containers[0]
    assert sum(bar.get_height() for bar in filled) == pytest.approx(100)  # images without ink, too
    assert "head: 28" in figure.alt and "probe: 23.5" in figure.alt


def test_row_influence_film_and_reading():
    maps, chances = rng.normal(size=(2, 28, 28)), rng.dirichlet(np.ones(10), size=(3, 28))
    influence = helpers.plot_row_influence(IMAGES[:2], np.abs(maps), maps, ["a 0", "a 1"])
    assert sum(len(axes.images) for axes in influence.axes if axes.get_label() != "<colorbar>") == 6
    assert influence.alt.endswith(f"row {maps[1, -1].argmax() + 1} of a 1.")
    assert helpers.plot_film_strip(IMAGES[:3], chances, LABELS[:3]).alt.count("at step") == 3
    for units in (8, 7, 1):  # any width
        reading = helpers.plot_reading(IMAGES[0], H[0][:, :units], chances[0], 3, [1, 28])
        assert len(reading.axes) == 6 and reading.alt.endswith(
            f"{chances[0, 27].argmax()} after row 28."
        )


def test_a_moving_picture_has_every_row(runs):
    helpers.save_reading("reading.gif", IMAGES[0], H[0], rng.dirichlet(np.ones(10), size=28), 3)
    with Image.open(runs / "reading.gif") as picture:
        assert picture.n_frames >= 28 and picture.size == (224, 352)
    assert [path.name for path in runs.iterdir()] == ["reading.gif"]


CHANCES = np.full((10, 28, 10), 0.1)
STORY = IMAGES[0], H[0], CHANCES[0]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: helpers.plot_panels([IMAGES]), "^panels is of type list; a dict from title to"),
        (lambda: helpers.plot_panels({}), "^panels is empty"),
        (lambda: helpers.plot_panels({"x": IMAGES[0]}), "^x: a pair .values, unit. is needed"),
        (
            lambda: helpers.plot_panels({"x": (IMAGES[0], "row")}),
            "^unknown unit 'row': use 'pixel' or",
        ),
        (
            lambda: helpers.plot_panels({"x": (IMAGES, "pixel")}),
            r"^x has shape \(10, 28, 28\), expected \(T, width\)",
        ),
        (
            lambda: helpers.plot_gate_error(
                range(3), {"keep_state": np.ones(4)}, {("GRU", "keep_state"): np.ones(3)}
            ),
            "^the bound of",
        ),
        (lambda: helpers.plot_reachable({"a": {"x": 1}}), "^a has no 'h_prev'; it has x$"),
        (lambda: helpers.plot_reachable([]), "^examples is of type list"),
        (
            lambda: helpers.plot_imitation(np.ones(3), {"wide": np.ones(4)}),
            r"^wide has shape \(4,\), expected \(3,\)",
        ),
        (lambda: helpers.plot_rows_as_steps(IMAGES, [1]), "^image has shape"),
        (lambda: helpers.plot_rows_as_steps(IMAGES[0], [29]), "^step must be at most 28"),
        (
            lambda: helpers.plot_rows_as_steps(IMAGES[0], 3),
            "^steps must be a list of time steps from 1 to 28, not 3",
        ),
        (lambda: helpers.plot_rows_as_steps(IMAGES[0], []), "^steps must be a list"),
        (
            lambda: helpers.plot_summary_table({"GRU": PAIRS[:3]}),
            "^GRU: expected 4 pairs .loss, accuracy., got 3",
        ),
        (
            lambda: helpers.plot_summary_table({"GRU": [1, 2, 3, 4]}),
            r"^GRU 32 has shape \(\), expected \(2,\)",
        ),
        (
            lambda: helpers.plot_summary_table({"GRU": 3}),
            "^GRU: expected 4 pairs .loss, accuracy., got 3",
        ),
        (lambda: helpers.plot_summary_table(PAIRS), "^experiment_results is of type list"),
        (
            lambda: helpers.plot_learning_curves({}),
            "^results is empty; a dict from Experiment to Result",
        ),
        (
            lambda: helpers.plot_accuracy_by_size({}, {"GRU 32": 3}, 10),
            "^parameters has no 'GRU 32'",
        ),
        (
            lambda: helpers.plot_accuracy_by_size({"GRU 32": 3}, {"GRU 32": 0.5}, 10),
            "must be numbers of images",
        ),
        (lambda: helpers.plot_accuracy_by_size({"GRU 32": 3}, {"GRU 32": 5}, 0), "^total must be"),
        (lambda: helpers.plot_accuracy_by_size({}, {}, 10), "^hits is empty"),
        (lambda: helpers.plot_images(IMAGES, LABELS[:9]), "^10 images, but 9 titles$"),
        (lambda: helpers.plot_images(IMAGES[0], "a"), "^images has shape"),
        (lambda: helpers.plot_images(IMAGES[:0], []), "^images has shape"),
        (lambda: helpers.plot_over_time(IMAGES, {"h": H}, ["q"]), "^traced has no 'q'; it has h"),
        (lambda: helpers.plot_over_time(IMAGES, {"h": H[:3]}, ["h"]), "^h has shape"),
        (lambda: helpers.plot_over_time(IMAGES, H, ["h"]), "^traced is of type ndarray"),
        (
            lambda: helpers.show_comparisons([("a", "b")], {"a": np.ones(3, bool)}),
            "^right has no 'b'; it has a",
        ),
        (lambda: helpers.plot_states(IMAGES, H, LABELS[:3]), "^10 images, but 3 labels"),
        (lambda: helpers.plot_states(IMAGES, H[:, :3], LABELS), "^h has shape"),
        (lambda: helpers.plot_class_means(H[:9]), "^means has shape"),
        (lambda: helpers.plot_by_step("y", [1, 2]), "^curves is of type list"),
        (lambda: helpers.plot_by_step("y", {}), "^curves is empty"),
        (lambda: helpers.plot_by_step("y", {"a": H}), "^a: numbers per step"),
        (lambda: helpers.plot_by_step("y", {"a": "text"}), "^a: numbers per step"),
        (
            lambda: helpers.plot_by_step("y", {"a": ([1, 2], [1], [2])}),
            "^a: an interval is a tuple",
        ),
        (lambda: helpers.plot_by_step("y", {"a": ([1, 2], [1, 2])}), "^a: an interval is a tuple"),
        (lambda: helpers.plot_by_step("y", {"a": [1]}, {"known": [1]}), "^known is of type list"),
        (
            lambda: helpers.plot_film_strip(IMAGES, 2 * CHANCES + 1, LABELS),
            "^probabilities holds values from 1.2",
        ),
        (
            lambda: helpers.plot_film_strip(IMAGES, CHANCES[:, 1:], LABELS),
            "^probabilities has shape",
        ),
        (lambda: helpers.plot_commit_steps({}, LABELS), "^readers is empty"),
        (lambda: helpers.plot_commit_steps({"head": H}, LABELS), "^head has shape"),
        (lambda: helpers.plot_row_influence(IMAGES, H, H, LABELS), "^gradient has shape"),
        (lambda: helpers.plot_gate_means({"GRU": H}), "^traced.'GRU'. is of type ndarray"),
        (lambda: helpers.plot_gate_means({"GRU": {"z": H[0]}}), "^GRU z has shape"),
        (lambda: helpers.plot_saturation({}), "^traced is empty"),
        (lambda: helpers.plot_reading(*STORY, 3, [0]), "^step must be"),
        (lambda: helpers.plot_reading(*STORY, 3, []), "^steps must be a list"),
        (lambda: helpers.plot_reading(*STORY, 10, [1]), "^label must be at most 9"),
        (lambda: helpers.plot_reading(IMAGES[0], H[0][:5], CHANCES[0], 3, [1]), "^h has shape"),
        (
            lambda: helpers.save_reading("reading.png", *STORY, 3),
            "^the name 'reading.png' must end in .gif",
        ),
    ],
)
def test_a_figure_of_anything_else_is_refused_in_one_line(call, message):
    with refused(message):
        call()


def test_comparisons_are_shown_and_returned():
    right = {"a": np.ones(60, bool), "b": np.arange(60) >= 30, "c": np.ones(60, bool)}
    verdicts = helpers.show_comparisons([("a", "b"), ("b", "a"), ("a", "c")], right)
    assert verdicts == {("a", "b"): "better", ("b", "a"): "worse", ("a", "c"): "not separable"}
    assert helpers.show_comparisons([], right) == {}


# ------------------------------------------------------------------------------------------------------------- showing
SETUP = (
    "import sys; sys.path.insert(0, '..'); from coursework.figure import new_figure, show_figure"
)
DRAW = """
def plot():
    figure, axes = new_figure((3, 2))
    axes.plot([1, 2])
    return show_figure(figure, 'two points')
"""


def run_cells(*cells, **environment):
    """Execute cells in a new kernel; returns the outputs of each."""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    client = nbclient.NotebookClient(
        notebook, kernel_name="python3", resources={"metadata": {"path": ROOT / "tests"}}
    )
    client.execute(env={**os.environ, **environment})
    return [cell.outputs for cell in notebook.cells]


@pytest.mark.parametrize("backend", ["agg", "svg", "module://matplotlib_inline.backend_inline"])
def test_a_figure_comes_out_once_whatever_the_backend(backend):
    _, _, last, kept, later, saved = run_cells(
        SETUP,
        DRAW,
        "plot()",
        "figure = plot()",
        "figure",
        "import io; file = io.BytesIO(); plot().savefig(file); file.tell()",
        MPLBACKEND=backend,
    )
    for outputs in (last, kept, later):
        (output,) = outputs
        assert output.output_type == "display_data"
        assert output.data["text/plain"] == "<Figure size 300x200 with 1 Axes>"
        assert output.metadata["image/png"]["alt"] == "two points"
        with Image.open(io.BytesIO(base64.b64decode(output.data["image/png"]))) as picture:
            assert picture.width > 200 and len(picture.convert("L").getcolors(256)) > 10
    assert int(saved[-1].data["text/plain"]) > 2000  # bytes: an empty picture has fewer


@pytest.mark.parametrize(
    ("formats", "kinds"), [("svg", ["image/svg+xml"]), ("retina", ["image/png"])]
)
def test_a_figure_comes_in_the_formats_that_the_reader_has_chosen(formats, kinds):
    setting = f"%matplotlib inline\n%config InlineBackend.figure_formats = ['{formats}']\n"
    *_, (output,) = run_cells(setting + SETUP, DRAW, "plot()")
    assert [kind for kind in output.data if kind.startswith("image/")] == kinds
    facts = output.metadata[kinds[0]]
    assert facts["alt"] == "two points" and ("width" in facts) == (formats == "retina")


def test_in_a_script_the_words_are_printed():
    result = python(
        "-c", f"{SETUP.replace('..', '.')}\n{DRAW}\nplot().savefig({os.devnull!r}, format='png')"
    )
    assert (result.returncode, result.stdout) == (0, "two points\n"), result.stderr


def test_no_colour_means_two_things():
    lines = {color for color, _, _ in style.LINES}
    models = {style.COLORS[name] for name in style.MARKERS}
    assert not lines & models and style.HIGHLIGHT not in {
        *lines,
        *style.COLORS.values(),
        *style.FREE_COLORS,
    }
