"""The LSTM whose gates see its state: i and f the old one, the output's gate the new one.

That last gate reads c, so it stands inside the output.
"""

import sympy as sp

from coursework.formulas import Cell, dot, sigmoid, symbols

x, h_prev, c_prev, c, g, i, f = symbols("x h_prev c_prev c g i f")
W, U, b, W_i, U_i, b_i, W_f, U_f, b_f, W_o, U_o, b_o = symbols(
    "W U b W_i U_i b_i W_f U_f b_f W_o U_o b_o"
)
p_i, p_f, p_o = symbols("p_i p_f p_o")

CELL = Cell(
    "peephole LSTM",
    gates={
        i: sigmoid(dot(W_i, x) + dot(U_i, h_prev) + p_i * c_prev + b_i),
        f: sigmoid(dot(W_f, x) + dot(U_f, h_prev) + p_f * c_prev + b_f),
    },
    candidate=sp.tanh(dot(W, x) + dot(U, h_prev) + b),
    state=f * c_prev + i * g,
    output=sigmoid(dot(W_o, x) + dot(U_o, h_prev) + p_o * c + b_o) * sp.tanh(c),
    titles={"i": "input gate i", "f": "forget gate f"},
    color="#7B5EA7",
    source="Gers and Schmidhuber 2000, as in Greff et al. 2017, arXiv:1503.04069",
)
