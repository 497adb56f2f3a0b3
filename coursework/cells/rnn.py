"""The plain recurrent network, without gates."""

import sympy as sp

from coursework.formulas import Cell, KerasLayer, dot, symbols

x, h_prev, g, W, U, b = symbols("x h_prev g W U b")

CELL = Cell(
    "RNN",
    gates={},
    candidate=sp.tanh(dot(W, x) + dot(U, h_prev) + b),
    state=g,
    color="#595959",
    source="Elman 1990",
    keras=KerasLayer("SimpleRNN", ("",)),
)
