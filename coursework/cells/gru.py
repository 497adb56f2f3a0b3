"""The gated recurrent unit, in its two conventions for z and its two places for the reset gate."""

import sympy as sp

from coursework.formulas import Cell, KerasLayer, dot, sigmoid, symbols

x, h_prev, g, z, r = symbols("x h_prev g z r")
W, U, b, W_z, U_z, b_z, W_r, U_r, b_r, b_U = symbols("W U b W_z U_z b_z W_r U_r b_r b_U")


def _gru(z_keeps: int, reset_after: bool) -> Cell:
    recurrent = r * (dot(U, h_prev) + b_U) if reset_after else dot(U, r * h_prev)
    return Cell(
        "GRU",
        gates={
            z: sigmoid(dot(W_z, x) + dot(U_z, h_prev) + b_z),
            r: sigmoid(dot(W_r, x) + dot(U_r, h_prev) + b_r),
        },
        candidate=sp.tanh(dot(W, x) + recurrent + b),
        state=z * h_prev + (1 - z) * g if z_keeps else (1 - z) * h_prev + z * g,
        titles={"z": "update gate z", "r": "reset gate r"},
        color="#D55E00",
        source="Cho et al. 2014; z_keeps=0: Chung et al. 2014; reset_after: Keras",
        keras=KerasLayer("GRU", ("_z", "_r", ""), {"reset_after": reset_after})
        if z_keeps
        else KerasLayer(),
    )


VARIANTS = {(z_keeps, after): _gru(z_keeps, after) for z_keeps in (1, 0) for after in (False, True)}
CELL = VARIANTS[1, False]
