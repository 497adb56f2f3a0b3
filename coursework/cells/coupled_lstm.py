"""The LSTM with coupled gates: its input gate is 1 - f, so what is forgotten is replaced."""

import sympy as sp

from coursework.formulas import Cell, dot, sigmoid, symbols

x, h_prev, c_prev, c, g, f, o = symbols("x h_prev c_prev c g f o")
W, U, b, W_f, U_f, b_f, W_o, U_o, b_o = symbols("W U b W_f U_f b_f W_o U_o b_o")

CELL = Cell(
    "coupled LSTM",
    gates={
        f: sigmoid(dot(W_f, x) + dot(U_f, h_prev) + b_f),
        o: sigmoid(dot(W_o, x) + dot(U_o, h_prev) + b_o),
    },
    candidate=sp.tanh(dot(W, x) + dot(U, h_prev) + b),
    state=f * c_prev + (1 - f) * g,
    output=o * sp.tanh(c),
    titles={"f": "forget gate f", "o": "output gate o"},
    color="#8C564B",
    source="Greff et al. 2017, arXiv:1503.04069: CIFG",
)
