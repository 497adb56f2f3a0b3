"""The equations: conventions, and what SymPy may do with them."""

import numpy as np
import pytest
import sympy as sp

from conftest import refused
from coursework.equations import equations, one_unit, real_symbol, sigmoid


@pytest.mark.parametrize("reset_after", [False, True])
def test_the_two_conventions_of_z(reset_after):
    z = real_symbol("z")
    keeping, replacing = (equations("GRU", keeps, reset_after) for keeps in (1, 0))
    assert sp.expand(keeping.state.subs(z, 1 - z) - replacing.state) == 0
    assert keeping.state.subs(z, 1) == replacing.state.subs(z, 0) == real_symbol("h_prev")


def test_equations_can_be_read_in_both_forms_and_refuse_unknown_choices():
    lstm = equations("LSTM")
    assert "c = c_prev*f + g*i" in repr(lstm) and r"\sigma\left(" in lstm._repr_latex_()
    with refused("'LSTM' or 'GRU'"):
        equations("RNN")
    with refused("1 or 0"):
        equations("GRU", z_keeps=2)


def test_the_sigmoid_is_the_logistic_function():
    a = sp.Symbol("a", real=True)
    assert sigmoid(a).diff(a) == sigmoid(a) * (1 - sigmoid(a))
    assert [sigmoid(end) for end in (-sp.oo, sp.oo)] == [0, 1]
    assert float(sigmoid(-1)) == pytest.approx(1 / (1 + np.e), abs=1e-16)
    assert float(sp.tanh(sigmoid(sp.pi))) == pytest.approx(np.tanh(1 / (1 + np.exp(-np.pi))), abs=1e-15)


def test_one_unit_is_made_of_plain_products():
    x, h_prev, r, W, U, b, b_U = sp.symbols("x h_prev r W U b b_U", real=True)
    assert sp.expand(one_unit(equations("GRU").candidate).args[0] - (W * x + U * r * h_prev + b)) == 0
    after = one_unit(equations("GRU", reset_after=True).candidate).args[0]
    assert sp.expand(after - (W * x + r * (U * h_prev + b_U) + b)) == 0
