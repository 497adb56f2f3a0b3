"""Long short-term memory."""

import sympy as sp

from coursework.formulas import Cell, KerasLayer, dot, sigmoid, symbols

x, h_prev, c_prev, c, g, i, f, o = symbols("x h_prev c_prev c g i f o")
W, U, b, W_i, U_i, b_i, W_f, U_f, b_f, W_o, U_o, b_o = symbols(
    "W U b W_i U_i b_i W_f U_f b_f W_o U_o b_o"
)

CELL = Cell(
    "LSTM",
    gates={
        i: sigmoid(dot(W_i, x) + dot(U_i, h_prev) + b_i),
        f: sigmoid(dot(W_f, x) + dot(U_f, h_prev) + b_f),
        o: sigmoid(dot(W_o, x) + dot(U_o, h_prev) + b_o),
    },
    candidate=sp.tanh(dot(W, x) + dot(U, h_prev) + b),
    state=f * c_prev + i * g,
    output=o * sp.tanh(c),
    titles={"i": "input gate i", "f": "forget gate f", "o": "output gate o"},
    color="#0072B2",
    source="Hochreiter and Schmidhuber 1997, with the forget gate of Gers, Schmidhuber and Cummins 2000",
    keras=KerasLayer("LSTM", ("_i", "_f", "", "_o")),
)
