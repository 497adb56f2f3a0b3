"""One time step of an LSTM and of a GRU in SymPy.

x: input, h: output, c: the LSTM's state, g: candidate; i, f, o and z, r: gates; h_prev, c_prev: of the step before.
W, U, b: weights of the input, recurrent weights and bias, of the candidate; W_i and so on: of a gate.
"""

import dataclasses
import functools

import sympy as sp

from coursework.arguments import check_choice


class dot(sp.Function):
    """A weight matrix times a vector. `one_unit` turns it into a plain product of two numbers."""

    nargs = 2

    @classmethod
    def eval(cls, matrix, vector):
        """Zero if a factor is; otherwise left as it stands."""
        return sp.S.Zero if matrix.is_zero or vector.is_zero else None

    def fdiff(self, argindex=1):
        """Derivative by the first or the second factor: the other one."""
        return self.args[2 - argindex]

    def _latex(self, printer):
        matrix, vector = map(printer.doprint, self.args)
        return f"{matrix} {vector}" if self.args[1].is_Atom else rf"{matrix} \left({vector}\right)"


class sigmoid(sp.Function):
    """The gates' activation, 1 / (1 + exp(-a)); `.rewrite(sympy.exp)` writes it out. Notebook 1, Q1.2 and Q1.3."""

    nargs = 1

    @classmethod
    def eval(cls, a):
        """The limits at both infinities."""
        return {sp.oo: sp.S.One, -sp.oo: sp.S.Zero}.get(a)

    def fdiff(self, argindex=1):
        """Derivative: s (1 - s)."""
        return self * (1 - self)

    def _eval_rewrite_as_exp(self, a, **_):
        return 1 / (1 + sp.exp(-a))

    def _eval_evalf(self, precision):
        return self.rewrite(sp.exp)._eval_evalf(precision)

    def _latex(self, printer):
        return rf"\sigma\left({printer.doprint(self.args[0])}\right)"


@dataclasses.dataclass(frozen=True)
class Equations:
    """One time step of a cell in SymPy. All symbols are real and named as in the code: h_prev is the old h.

    Attributes:
        cell: "LSTM" or "GRU".
        gates: dict from gate (symbol) to its formula.
        candidate: formula of the candidate g.
        state: formula of the new state from the gates, g and the old state: c for the LSTM, h for the GRU.
        output: formula of the new h; the LSTM's contains the symbol c.
    """

    cell: str
    gates: dict
    candidate: sp.Expr
    state: sp.Expr
    output: sp.Expr

    @property
    def old_state(self):
        """The symbol of what the cell remembers: c_prev or h_prev."""
        return real_symbol("c_prev" if self.cell == "LSTM" else "h_prev")

    @property
    def full_state(self):
        """The new state with the candidate put in; the gates stay symbols."""
        return self.state.subs(real_symbol("g"), self.candidate)

    def _lines(self):
        new = real_symbol("c" if self.cell == "LSTM" else "h")
        lines = [*self.gates.items(), (real_symbol("g"), self.candidate), (new, self.state)]
        return lines if self.cell == "GRU" else [*lines, (real_symbol("h"), self.output)]

    def __repr__(self):
        return "\n".join(f"{left} = {right}" for left, right in self._lines())

    def _repr_latex_(self):
        lines = (f"{sp.latex(left)} &= {sp.latex(right)}" for left, right in self._lines())
        return r"$\displaystyle \begin{aligned}" + r" \\ ".join(lines) + r"\end{aligned}$"


def real_symbol(name: str) -> sp.Symbol:
    """A real SymPy symbol; the same name is the same symbol."""
    return sp.Symbol(name, real=True)


@functools.cache
def equations(cell: str, z_keeps: int = 1, reset_after: bool = False) -> Equations:
    """The update of a cell. Proofs, checks and the comparison with Keras take it from here.

    Products of two vectors are taken element by element; `dot` is a matrix times a vector.

    Args:
        cell: "LSTM" (Hochreiter & Schmidhuber 1997, with the forget gate of Gers et al. 2000) or "GRU" (Cho et al.
            2014).
        z_keeps: the GRU's convention. 1: z = 1 keeps the old state (Cho et al. 2014, Keras, this course);
            0: z = 1 replaces it (Chung et al. 2014).
        reset_after: where the GRU's reset gate acts. False: on h_prev, before the recurrent weights (Cho et al. 2014,
            this course); True: after them, with a bias b_U of its own (Keras's default).

    Raises:
        ValueError: unknown cell or convention.

    Notebook 1, "The two cells, written down once".
    """
    check_choice("cell", cell, ("LSTM", "GRU"))
    check_choice("z_keeps", z_keeps, (1, 0))
    x, h_prev, c_prev, g, c = map(real_symbol, ("x", "h_prev", "c_prev", "g", "c"))
    W, U, b = map(real_symbol, "WUb")

    def gate(name):
        W, U, b = (real_symbol(f"{weight}_{name}") for weight in "WUb")
        return sigmoid(dot(W, x) + dot(U, h_prev) + b)

    gates = {real_symbol(name): gate(name) for name in ("ifo" if cell == "LSTM" else "zr")}
    if cell == "LSTM":
        i, f, o = gates
        candidate = sp.tanh(dot(W, x) + dot(U, h_prev) + b)
        return Equations(cell, gates, candidate, state=f * c_prev + i * g, output=o * sp.tanh(c))
    z, r = gates
    recurrent = r * (dot(U, h_prev) + real_symbol("b_U")) if reset_after else dot(U, r * h_prev)
    state = z * h_prev + (1 - z) * g if z_keeps else (1 - z) * h_prev + z * g
    return Equations(cell, gates, candidate=sp.tanh(dot(W, x) + recurrent + b), state=state, output=state)


def one_unit(formula: sp.Expr) -> sp.Expr:
    """The formula for a layer of one unit with one input: every `dot` becomes a product. Notebook 1, Q1.3."""
    return formula.replace(dot, lambda matrix, vector: matrix * vector)
