"""The minimal gated unit: one forget gate does the work of a GRU's two."""

import sympy as sp

from coursework.formulas import Cell, dot, sigmoid, symbols

x, h_prev, g, f, W, U, b, W_f, U_f, b_f = symbols("x h_prev g f W U b W_f U_f b_f")

CELL = Cell(
    "MGU",
    gates={f: sigmoid(dot(W_f, x) + dot(U_f, h_prev) + b_f)},
    candidate=sp.tanh(dot(W, x) + dot(U, f * h_prev) + b),
    state=(1 - f) * h_prev + f * g,
    titles={"f": "forget gate f"},
    color="#E69F00",
    source="Zhou et al. 2016, arXiv:1603.09420",
)
