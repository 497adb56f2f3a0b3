"""An LSTM whose gates and candidate read the input alone; the gates are scaled to a sum of 1, and h is the state."""

from coursework.formulas import Cell, dot, sigmoid, symbols

x, h_prev, g, i, f = symbols("x h_prev g i f")
W, b, W_i, b_i, W_f, b_f = symbols("W b W_i b_i W_f b_f")

CELL = Cell(
    "minLSTM",
    gates={i: sigmoid(dot(W_i, x) + b_i), f: sigmoid(dot(W_f, x) + b_f)},
    candidate=dot(W, x) + b,
    state=f / (f + i) * h_prev + i / (f + i) * g,
    titles={"i": "input gate i", "f": "forget gate f"},
    color="#009E73",
    source="Feng et al. 2024, arXiv:2410.01201",
)
