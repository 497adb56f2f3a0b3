"""A recurrent cell as its equations in SymPy, and what follows from them: LaTeX, a tree for any library, a key.

x: input, h: output, c: the state of a cell that has an output formula, g: candidate; h_prev, c_prev: of the step
before. Names of weights begin with their kind: W (units, features), U (units, units), b and p (units,).
"""

import dataclasses
import functools
import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import sympy as sp


class dot(sp.Function):
    """A weight matrix times a vector: `dot(W, x)`. `one_unit` turns it into a plain product of two numbers.

    Notebook 4.
    """

    nargs = 2

    @classmethod
    def eval(cls, matrix: sp.Expr, vector: sp.Expr) -> sp.Expr | None:
        """Zero if a factor is; otherwise left as it stands."""
        return sp.S.Zero if matrix.is_zero or vector.is_zero else None

    def fdiff(self, argindex: int = 1) -> sp.Expr:
        """Derivative by the first or the second factor: the other one."""
        return self.args[2 - argindex]

    def _latex(self, printer):
        matrix, vector = map(printer.doprint, self.args)
        return f"{matrix} {vector}" if self.args[1].is_Atom else rf"{matrix} \left({vector}\right)"


class sigmoid(sp.Function):
    """The gates' activation, 1 / (1 + exp(-a)); `.rewrite(sympy.exp)` writes it out. Notebook 1, Q1.2."""

    nargs = 1

    @classmethod
    def eval(cls, a: sp.Expr) -> sp.Expr | None:
        """The limits at both infinities."""
        return {sp.oo: sp.S.One, -sp.oo: sp.S.Zero}.get(a)

    def fdiff(self, argindex: int = 1) -> sp.Expr:
        """Derivative: s (1 - s)."""
        return self * (1 - self)

    def _eval_is_real(self):
        return self.args[0].is_extended_real

    def _eval_rewrite_as_exp(self, a, **_):
        return 1 / (1 + sp.exp(-a))

    def _eval_evalf(self, precision):
        return self.rewrite(sp.exp)._eval_evalf(precision)

    def _latex(self, printer):
        return rf"\sigma\left({printer.doprint(self.args[0])}\right)"


def symbols(names: str) -> Any:
    """Real SymPy symbols, as many as there are names: `x, h_prev = symbols("x h_prev")`; one name gives one symbol.

    The same name is the same symbol wherever it is asked for. See docs/cells.md. Notebook 4.
    """
    return sp.symbols(names, real=True)


def one_unit(formula: sp.Expr) -> sp.Expr:
    """The formula for a layer of one unit with one input: every `dot` becomes a product. Notebook 1, Q1.3."""
    return formula.replace(dot, lambda matrix, vector: matrix * vector)


# --- Trees: a formula as nested lists, which JSON, Keras, NumPy and the page can read ---------------------------------

Tree = str | float | list  # a symbol's name, a number, or [operation, part, ...]

# SymPy's functions of one number, under the names that keras.ops and NumPy have for them.
FUNCTIONS = {
    sp.tanh: "tanh",
    sigmoid: "sigmoid",
    sp.exp: "exp",
    sp.log: "log",
    sp.sin: "sin",
    sp.cos: "cos",
    sp.Abs: "abs",
}
FOLDED = {
    sp.Add: "add",
    sp.Mul: "multiply",
    sp.Max: "maximum",
    sp.Min: "minimum",
}  # of two parts each
KNOWN = ", ".join([*FUNCTIONS.values(), "Max", "Min", "dot"])


def tree_of(formula: sp.Expr) -> Tree:
    """A formula as nested lists: `z h_prev` is ["multiply", "h_prev", "z"].

    Raises:
        ValueError: a function that Keras or the page doesn't have, or a number that is not real and finite.
    """
    if formula.is_Symbol:
        return formula.name
    if formula.is_number:
        return _number(formula)
    parts = (
        sorted(formula.args, key=sp.default_sort_key) if formula.func in FOLDED else formula.args
    )
    trees = [tree_of(part) for part in parts]
    if formula.func in FOLDED:
        operation = FOLDED[formula.func]
        return functools.reduce(lambda left, right: [operation, left, right], trees)
    if formula.func in FUNCTIONS:
        return [FUNCTIONS[formula.func], *trees]
    if formula.func is dot:
        return ["dot", *trees]
    if formula.is_Pow and formula.exp.is_number:
        return ["power", *trees]
    raise ValueError(
        f"{formula.func.__name__} is not among the functions that Keras and the page have: {KNOWN}"
    )


def _number(formula):
    if not (formula.is_real and formula.is_finite):
        raise ValueError(f"{formula} is no finite real number")
    return int(formula) if formula.is_Integer else float(formula)


def evaluate(tree: Tree, values: Mapping[str, Any], library: Mapping[str, Callable]) -> Any:
    """The value of a tree.

    Args:
        tree: of `tree_of`.
        values: an array for each symbol. A matrix is looked up by `library["dot"]`, which is given its name.
        library: a function for each operation but add, multiply and power, which arrays have themselves.
    """
    if isinstance(tree, str):
        return values[tree]
    if not isinstance(tree, list):
        return tree
    operation, *parts = tree
    if operation == "dot":
        matrix, vector = parts
        return library["dot"](matrix, evaluate(vector, values, library))
    arguments = [evaluate(part, values, library) for part in parts]
    if operation == "add":
        return arguments[0] + arguments[1]
    if operation == "multiply":
        return arguments[0] * arguments[1]
    if operation == "power":
        return arguments[0] ** arguments[1]
    return library[operation](*arguments)


# --- The cell ---------------------------------------------------------------------------------------------------------

KINDS = {"W": ("units", "features"), "U": ("units", "units"), "b": ("units",), "p": ("units",)}
GIVEN = ("x", "h_prev", "c_prev")
RESERVED: dict[
    str, set[str]
] = {}  # names of the bundle's own cells and networks, each with the keys it may stand for


@dataclasses.dataclass(frozen=True)
class KerasLayer:
    """Keras's own layer of a cell: see `Cell.keras`. Without a name there is none."""

    name: str = ""
    blocks: tuple[str, ...] = ()
    options: dict = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Cell:
    """One time step of a recurrent cell. Its equations are written here, once; everything else follows from them.

    Products of two vectors are taken element by element; `dot` is a matrix times a vector. Two cells are equal if their
    equations are, whatever they are called. See docs/cells.md.

    Attributes:
        name: such as "GRU".
        gates: dict from symbol to formula, of x, h_prev, c_prev, weights and other gates.
        candidate: formula of what may be taken in; the other formulas call it g.
        state: formula of the new state, of g, the gates and the old state: h_prev, or c_prev for a cell with an output.
        output: formula of h from the new state c and the gates; None: the state itself is h.
        titles: dict from a gate's name to what figures call it.
        color: of the cell in figures, as "#RRGGBB".
        source: where the cell was published.
        keras: for a cell that Keras has: its layer's name and options, and the endings of the weights' names in the
            order in which Keras stacks them ("" is the candidate).

    Raises:
        ValueError: in one line, for equations that are no cell.

    Notebook 4.
    """

    name: str
    gates: dict[sp.Symbol, sp.Expr] = dataclasses.field(default_factory=dict)
    candidate: sp.Expr = None  # refused below, in one line of ours
    state: sp.Expr = None
    output: sp.Expr | None = None
    titles: dict[str, str] = dataclasses.field(default_factory=dict)
    color: str = "#CC79A7"
    source: str = ""
    keras: KerasLayer = KerasLayer()

    def __post_init__(self):
        if not isinstance(self.name, str) or not self.name.strip():
            raise ValueError("the name of a cell is text, such as 'mine'")
        if not isinstance(self.gates, Mapping):
            raise ValueError(
                "gates must be a dict from symbol to formula, such as {z: sigmoid(dot(W_z, x) + b_z)}"
            )
        gates = {
            _gate_symbol(gate): _formula(f"the gate {gate}", formula)
            for gate, formula in self.gates.items()
        }
        object.__setattr__(self, "gates", gates)
        for part, needed in (("candidate", True), ("state", True), ("output", False)):
            formula = getattr(self, part)
            if formula is not None or needed:
                object.__setattr__(self, part, _formula(f"the {part}", formula))
        object.__setattr__(
            self, "titles", {str(name): title for name, title in self.titles.items()}
        )
        _check_symbols(self)
        _check_shapes(self)
        _check_order(self)
        _check_reading(self)
        if self.name in RESERVED and self.key not in RESERVED[self.name]:
            raise ValueError(
                f"the name {self.name!r} is taken by other equations: choose another one"
            )

    # --- What the other rooms ask

    @property
    def memory(self) -> str:
        """What the cell remembers: "h", or "c" if there is an output formula."""
        return "h" if self.output is None else "c"

    @property
    def gate_names(self) -> list[str]:
        """Names of the gates, in the order in which they were written."""
        return [gate.name for gate in self.gates]

    @property
    def states(self) -> tuple[str, ...]:
        """What one step hands on to the next: ("h",) or ("h", "c")."""
        return ("h",) if self.memory == "h" else ("h", "c")

    @property
    def traced(self) -> list[str]:
        """What one step gives: gates and g, in Keras's order where Keras has the cell; then c, if any, and h."""
        values = [ending[1:] or "g" for ending in self.keras.blocks] or [*self.gate_names, "g"]
        return [*values, *reversed(self.states)]

    @property
    def old_state(self) -> sp.Symbol:
        """The symbol of what the cell remembers: h_prev or c_prev."""
        return symbols(f"{self.memory}_prev")

    @property
    def full_state(self) -> sp.Expr:
        """The new state with the candidate put in; the gates stay symbols."""
        return self.state.subs(symbols("g"), self.candidate)

    @functools.cached_property
    def weights(self) -> dict[str, tuple[str, ...]]:
        """Name of each weight, in the order of the equations, and its shape in words: {"W": ("units", "features")}."""
        no_weights = {*GIVEN, "g", "c", *self.gate_names}
        found: dict[str, tuple[str, ...]] = {}
        for _, formula in self.formulas():
            names = {symbol.name for symbol in formula.free_symbols} - no_weights
            in_order = sorted(names, key=lambda name: ([*KINDS].index(name[0]), name))
            found |= {name: KINDS[name[0]] for name in in_order}
        return found

    @functools.cached_property
    def lines(self) -> list[tuple[str, Tree]]:
        """Name and tree of each equation, each after those that it reads."""
        ordered: list[str] = []

        def visit(name):
            for read in _reads(self, name):
                if read not in ordered:
                    visit(read)
            if name not in ordered:
                ordered.append(name)

        for name, _ in self.formulas():
            visit(name)
        formulas = dict(self.formulas())
        return [(name, tree_of(formulas[name])) for name in ordered]

    def formulas(self) -> Iterator[tuple[str, sp.Expr]]:
        """Name and formula of each equation, as written: the gates, g, the state (c or h), and h if it is not that."""
        yield from ((gate.name, formula) for gate, formula in self.gates.items())
        yield "g", self.candidate
        yield self.memory, self.state
        if self.output is not None:
            yield "h", self.output

    @functools.cached_property
    def key(self) -> str:
        """The equations as text: the same for the same equations in another order, another for any other letter."""
        return json.dumps(
            {name: tree_of(formula) for name, formula in self.formulas()}, sort_keys=True
        )

    def __eq__(self, other):
        return isinstance(other, Cell) and self.key == other.key

    def __hash__(self):
        return hash(self.key)

    # --- One step, for any library of arrays

    def step(
        self, values: Mapping[str, Any], library: Mapping[str, Callable], hold: Mapping = {}
    ) -> dict[str, Any]:
        """One time step: {each gate, "g", "c" if there is one, "h"} from x, h_prev, c_prev and the vectors of weights.

        Args:
            values: an array for each of these names.
            library: as for `evaluate`.
            hold: dict from gate to a number that stands in place of its formula.
        """
        known = dict(values)
        for name, tree in self.lines:
            known[name] = hold[name] if name in hold else evaluate(tree, known, library)
        return {name: known[name] for name in self.traced}

    def as_data(self) -> dict:
        """The equations as JSON can hold them: for the page, and for a stored model. `cell_from_data` reads it."""
        return {
            "name": self.name,
            "gates": self.gate_names,
            "memory": self.memory,
            "lines": [list(line) for line in self.lines],
            "titles": self.titles,
            "color": self.color,
        }

    # --- As a reader sees it

    def __repr__(self):
        return "\n".join(f"{name} = {formula}" for name, formula in self.formulas())

    def _repr_latex_(self):
        lines = (
            f"{sp.latex(symbols(name))} &= {sp.latex(formula)}" for name, formula in self.formulas()
        )
        return r"$\displaystyle \begin{aligned}" + r" \\ ".join(lines) + r"\end{aligned}$"


def cell_from_data(data: Mapping) -> Cell:
    """The Cell that `as_data` wrote down; nothing in it is run."""
    formulas = {name: _from_tree(tree) for name, tree in data["lines"]}
    memory = data["memory"]
    return Cell(
        data["name"],
        gates={symbols(gate): formulas[gate] for gate in data["gates"]},
        candidate=formulas["g"],
        state=formulas[memory],
        output=formulas["h"] if memory == "c" else None,
        titles=dict(data["titles"]),
        color=data["color"],
    )


def _from_tree(tree):
    if isinstance(tree, str):
        return symbols(tree)
    if not isinstance(tree, list):
        return sp.sympify(tree)
    operation, *parts = tree
    functions = {name: function for function, name in (FUNCTIONS | FOLDED).items()}
    functions |= {"dot": dot, "power": sp.Pow}
    return functions[operation](*map(_from_tree, parts))


# --- What is no cell, in one line each --------------------------------------------------------------------------------


def _gate_symbol(gate):
    if not isinstance(gate, sp.Symbol):
        raise ValueError(
            f"a gate is a symbol, not {gate!r}: write {{z: ...}} with z = symbols('z')"
        )
    if gate.name in (*GIVEN, "g", "c", "h"):
        raise ValueError(f"the name {gate.name} is taken: it is no gate's, choose another one")
    if gate.name[0] in KINDS:
        raise ValueError(
            f"the name {gate.name} is taken: names that begin with {gate.name[0]} are weights"
        )
    return symbols(gate.name)


def _formula(what, formula):
    """A formula with real symbols, each known by its name alone."""
    if formula is None:
        raise ValueError(f"{what} is missing: a cell needs a candidate and a state")
    if isinstance(formula, str):
        raise ValueError(
            f"{what} is text, and text is never evaluated: write it with the symbols of symbols(...)"
        )
    if isinstance(formula, bool):
        raise ValueError(f"{what} is a truth value; a formula is needed")
    if isinstance(formula, (int, float)):
        formula = sp.sympify(formula)
    if not isinstance(formula, sp.Expr):
        raise ValueError(f"{what} is of type {type(formula).__name__}; a SymPy formula is needed")
    formula = formula.xreplace(
        {symbol: symbols(symbol.name) for symbol in formula.atoms(sp.Symbol)}
    )
    try:
        tree_of(formula)
    except ValueError as error:
        raise ValueError(f"{what}: {error}") from None
    return formula


def _check_symbols(cell):
    """Each symbol is given, a gate, g, c in the output, or a weight."""
    gates = set(cell.gate_names)
    for name, formula in cell.formulas():
        is_output = name == "h" and cell.memory == "c"
        what = _what(cell, name)
        for symbol in sorted(symbol.name for symbol in formula.free_symbols):
            if symbol in gates or symbol in ("x", "h_prev"):
                continue
            if symbol == "g":
                if name == "g":
                    raise ValueError("the candidate reads g, which is the candidate itself")
            elif symbol == "h":
                raise ValueError(
                    f"{what} reads h, which is not known yet: write h_prev, the output of the step before"
                )
            elif symbol == "c":
                if not is_output:
                    raise ValueError(
                        f"{what} reads c, which only the output may read: write c_prev"
                    )
            elif symbol == "c_prev":
                if cell.memory == "h":
                    raise ValueError(
                        f"{what} reads c_prev, but without an output the state is h: write h_prev"
                    )
            elif symbol[0] not in KINDS:
                raise ValueError(
                    f"{what} reads the unknown symbol {symbol}: it is no gate, and weights begin with W or U "
                    "(matrices), b or p (vectors)"
                )


def _what(cell, name):
    if name in cell.gate_names:
        return f"the gate {name}"
    return {"g": "the candidate", cell.memory: "the state"}.get(name, "the output")


def _check_shapes(cell):
    for name, formula in cell.formulas():
        try:
            shape = _shape(formula)
        except ValueError as error:
            raise ValueError(f"{_what(cell, name)}: {error}") from None
        if shape == "features":
            raise ValueError(
                f"{_what(cell, name)} has an entry for each feature of x: write dot(W, x), one for each unit"
            )


def _shape(formula):
    """ "units" or "features" for a vector, "number" for what fits both; ValueError where shapes don't fit."""
    if formula.is_Symbol:
        if formula.name[0] in "WU":
            vector = "x" if formula.name[0] == "W" else "h_prev"
            raise ValueError(
                f"{formula} is a matrix: write dot({formula}, {vector}), not a product with *"
            )
        return "features" if formula.name == "x" else "units"
    if formula.func is dot:
        return _shape_of_product(*formula.args)
    shapes = {_shape(part) for part in formula.args} - {"number"}
    if len(shapes) > 1:
        raise ValueError(
            "x has an entry for each feature, the rest one for each unit: write dot(W, x) in place of x"
        )
    return shapes.pop() if shapes else "number"


def _shape_of_product(matrix, vector):
    if not (matrix.is_Symbol and matrix.name[0] in "WU"):
        raise ValueError(
            f"dot takes a matrix first, a symbol that begins with W or U, not {matrix}"
        )
    shape = _shape(vector)
    if matrix.name[0] == "W" and shape != "features":
        raise ValueError(
            f"{matrix} takes x, not {vector}: a matrix for a vector of units begins with U"
        )
    if matrix.name[0] == "U" and shape != "units":
        raise ValueError(
            f"{matrix} takes a vector of units such as h_prev, not {vector}: a matrix for x begins with W"
        )
    return "units"


def _reads(cell, name):
    """The equations that an equation reads, in the order in which they are written."""
    formulas = dict(cell.formulas())
    read = {symbol.name for symbol in formulas[name].free_symbols}
    return [other for other in formulas if other in read]


def _check_order(cell):
    """No gate depends on itself, be it through others."""

    def visit(name, path):
        if name in path:
            circle = " -> ".join([*path[path.index(name) :], name])
            raise ValueError(
                f"{_what(cell, name)} depends on itself ({circle}): let it read the step before"
            )
        for read in _reads(cell, name):
            visit(read, [*path, name])

    for name, _ in cell.formulas():
        visit(name, [])


def _check_reading(cell):
    """The state reads its candidate, an output the state, and something the step before."""
    if _shape(cell.candidate) != "units":
        raise ValueError("the candidate is a number; it must read x or the step before")
    if "g" not in _read_in_the_end(cell, cell.memory):
        raise ValueError("the state never reads its candidate g: nothing could be taken in")
    if cell.memory == "c" and "c" not in _read_in_the_end(cell, "h"):
        raise ValueError("the output never reads the state c: leave it out, or let it read c")
    read = {symbol.name for _, formula in cell.formulas() for symbol in formula.free_symbols}
    if not {"h_prev", "c_prev"} & read:
        raise ValueError(
            "there is no state: no formula reads h_prev or c_prev, so nothing is remembered"
        )


def _read_in_the_end(cell, name):
    """The equations that an equation reads, by itself or through others."""
    read = _reads(cell, name)
    return set(read).union(*(_read_in_the_end(cell, other) for other in read))
