"""The playground of notebook 1: what its stage computes, and its two tasks, against NumPy and the proofs of Q1."""

import numpy as np
import pytest
from in_node import needs_node, node

import helpers
from conftest import refused
from coursework import playground
from coursework.cells import CELLS

DIGIT = np.eye(28)


@pytest.fixture
def content(monkeypatch):
    """What the widget is given, for all cells."""
    shown = []
    monkeypatch.setattr(playground, "show_widget", shown.append)
    figure = helpers.gate_playground(DIGIT, list(CELLS))
    assert "peephole LSTM: c between" in figure.alt
    return shown[0].content


READ = """
for (const [number, packed] of data.networks.entries()) {
  const network = reader.openNetwork(packed);
  const hold = Object.fromEntries(network.cell.gates.map((gate) => [gate, data.begin.hold[gate]]));
  const { layers: [states] } = reader.read(network, reader.unpackImage(data.images[0].pixels), hold);
  for (const name of Object.keys(states[0])) put(`${number} ${name}`, states.flatMap((state) => [...state[name]]));
}"""


@needs_node
def test_all_cells_run_as_in_numpy(content):
    """From the stripes, with gates held: with U half of the identity, and without."""
    found = node(READ, content)
    number = 0
    for cell in CELLS.values():
        for diagonal in (0.5, 0):
            weights = playground.by_hand(cell, diagonal)
            expected = playground.run_held(cell, weights, DIGIT, playground.activations(cell))
            for name, values in expected.items():
                assert np.abs(found[f"{number} {name}"] - values.ravel()).max() < 1e-6, (
                    cell.name,
                    diagonal,
                    name,
                )
            number += 1
    assert number == len(content["networks"]) == 2 * len(CELLS)


SOLVED = {  # whether these gates solve a task, without U: what Q1 proves
    ("LSTM", "store"): {"i": 1, "f": 0, "o": 1},
    ("LSTM", "keep"): {"i": 0, "f": 1, "o": 0.5},
    ("GRU", "store"): {"z": 0, "r": 0.3},
    ("GRU", "keep"): {"z": 1, "r": 0.3},
    ("minGRU", "keep"): {"z": 0},
    ("JANET", "store"): {"f": 0},
}


@needs_node
@pytest.mark.parametrize(("cell", "task"), SOLVED)
def test_the_tasks(content, cell, task):
    """The answer of Q1 solves a task; with any gate moved that matters, or with U, it is not solved."""
    code = """
    const tried = (label, hold) => {
      const network = reader.openNetwork(data.content.networks.find((each) => each.label === label));
      return Number(reader.tryTask(network, hold, data.task).ok);
    };
    put("right", [tried(`${data.cell}, U = 0`, data.hold)]);
    put("other", [tried(`${data.cell}, U = 0`, Object.fromEntries(Object.keys(data.hold).map((gate) => [gate, 0.5])))]);
    put("withU", [tried(data.cell, data.hold)]);"""
    found = node(code, {"content": content, "cell": cell, "task": task, "hold": SOLVED[cell, task]})
    assert found["right"] == 1 and found["other"] == 0
    candidate_reads_past = cell in ("LSTM", "GRU", "JANET")
    assert found["withU"] == (0 if task == "store" and candidate_reads_past else 1)


@needs_node
def test_storing_in_spite_of_u(content):
    """As in Q1.1: with U, the constant o = 0 makes the LSTM's output 0, so nothing of the past comes in; r = 0 too."""
    code = """
    for (const [label, hold] of data.settings) {
      const network = reader.openNetwork(data.content.networks.find((each) => each.label === label));
      put(label, [Number(reader.tryTask(network, hold, "store").ok)]);
    }"""
    settings = [("LSTM", {"i": 0.5, "f": 0, "o": 0}), ("GRU", {"z": 0, "r": 0})]
    found = node(code, {"content": content, "settings": settings})
    assert found == {"LSTM": 1, "GRU": 1}


def test_the_picture_is_the_stage_at_its_start():
    """The playground's stripes fade as the gates at the start say: a share of f each row, where no ink comes in."""
    lstm = CELLS["LSTM"]
    hold = playground.activations(lstm)
    assert hold == {"i": 0.27, "f": 0.82, "o": 0.88}
    history = playground.run_held(lstm, playground.by_hand(lstm, 0), np.zeros((5, 28)), hold)
    np.testing.assert_allclose(history["c"][4], playground.START * 0.82**5)


def test_what_is_no_playground():
    with refused(r"^digit has shape \(1, 28, 28\), expected \(28, 28\)$"):
        helpers.gate_playground(np.zeros((1, 28, 28)))
    with refused("^unknown cell 'gru'"):
        helpers.gate_playground(DIGIT, ["gru"])
    with refused("^no cell to play with"):
        helpers.gate_playground(DIGIT, [])
