"""A GRU whose gate and candidate read the input alone, so that all steps can be computed at once."""

from coursework.formulas import Cell, dot, sigmoid, symbols

x, h_prev, g, z, W, b, W_z, b_z = symbols("x h_prev g z W b W_z b_z")

CELL = Cell(
    "minGRU",
    gates={z: sigmoid(dot(W_z, x) + b_z)},
    candidate=dot(W, x) + b,
    state=(1 - z) * h_prev + z * g,
    titles={"z": "update gate z"},
    color="#56B4E9",
    source="Feng et al. 2024, arXiv:2410.01201",
)
