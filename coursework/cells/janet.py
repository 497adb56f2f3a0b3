"""An LSTM with its forget gate alone: what is forgotten is replaced, and h is the state (the paper's beta is 0)."""

import sympy as sp

from coursework.formulas import Cell, dot, sigmoid, symbols

x, h_prev, g, f, W, U, b, W_f, U_f, b_f = symbols("x h_prev g f W U b W_f U_f b_f")

CELL = Cell(
    "JANET",
    gates={f: sigmoid(dot(W_f, x) + dot(U_f, h_prev) + b_f)},
    candidate=sp.tanh(dot(W, x) + dot(U, h_prev) + b),
    state=f * h_prev + (1 - f) * g,
    titles={"f": "forget gate f"},
    color="#332288",
    source="van der Westhuizen and Lasenby 2018, arXiv:1804.04849",
)
