"""Figures of notebook 1: what is drawn, and the words for it."""

from fractions import Fraction

import numpy as np

from conftest import refused
from coursework import figures_gates


def test_panels(shown):
    states = {"h": (np.linspace(-2, 1, 28 * 3).reshape(28, 3), "hidden unit")}
    figures_gates.plot_panels({"input": (np.eye(28), "pixel")} | states)
    ((figure, alt),) = shown
    assert figure.axes[1].images[0].get_clim() == (-2, 2)  # all of a state that leaves [-1, 1] is drawn
    assert "h between -2.00 and 1.00" in alt


def test_gate_error(shown):
    biases = np.arange(5)
    errors = {("LSTM", "store_input"): np.array([1, 0.1, 0.01, 0, 0]), ("GRU", "keep_state"): np.array([1, 0, 0, 0, 0])}
    figures_gates.plot_gate_error(biases, {"store_input": np.ones(5), "keep_state": np.ones(5)}, errors)
    ((figure, alt),) = shown
    assert "LSTM, store: one step, 3" in alt and "GRU, keep: 28 steps, 1" in alt
    assert figure.axes[0].lines[0].get_ydata().tolist() == [1, 0.1, 0.01, 1e-20, 1e-20]


def test_reachable(shown):
    values = {"x": Fraction(1, 4), "h_prev": -0.5, "c_prev": -1, "w": 1, "u": 2, "b": 0, "z": 0, "r": 0}
    figures_gates.plot_reachable({"r = 0": values, "r = 1": values | {"r": 1}})
    ((figure, alt),) = shown
    assert alt.startswith("r = 0: the LSTM reaches -0.93 to 0.00, the GRU is at 0.24; r = 1: ")
    bar, dot = figure.axes[0].lines[:2]
    np.testing.assert_allclose(bar.get_xdata(), [np.tanh(-1 - np.tanh(0.75)), 0], atol=1e-12)
    np.testing.assert_allclose(dot.get_xdata(), [np.tanh(0.25)])


def test_imitation_draws_every_curve(shown):
    gru = np.linspace(0, 1, 28)
    figures_gates.plot_imitation(gru, {f"LSTM {shift}": gru + shift / 10 for shift in range(6)})
    ((figure, alt),) = shown
    assert len(figure.axes[0].lines) == 7 and "LSTM 5 by at most 0.500" in alt


def test_the_playground_draws_its_starting_values(shown, monkeypatch):
    widgets = []
    monkeypatch.setattr(figures_gates, "show_widget", widgets.append)
    figures_gates.gate_playground(np.eye(28))
    assert len(widgets) == 1 and "LSTM: c between" in shown[0][1]
    before = widgets[0].children[-1].value
    widgets[0].children[0].children[0].value = 8  # the first slider
    assert widgets[0].children[-1].value != before
    with refused(r"^digit has shape \(1, 28, 28\), expected \(28, 28\)$"):
        figures_gates.gate_playground(np.zeros((1, 28, 28)))
