"""The reader: what its script computes, in node, against Keras and NumPy; the page and the widget around it."""

import dataclasses
import json
import re

import keras
import numpy as np
import pytest
import sympy as sp
from in_node import needs_node, node, run_in_node
from scipy.special import softmax

from conftest import refused
from coursework import reader
from coursework.analysis import commit_step
from coursework.cells import CELLS
from coursework.data import load_data
from coursework.experiment import MODEL_SIZES, Experiment
from coursework.files import ROOT
from coursework.formulas import symbols, tree_of
from coursework.keras_cells import FormulaCell, cell_of, named_weights, run_step
from coursework.readout import read_out
from coursework.trace import trace
from coursework.training import build_model

SIZES = [(32, 1), (64, 1), (128, 1), (32, 3)]


@pytest.fixture(scope="module")
def data():
    return load_data("digits")


@pytest.fixture(scope="module")
def networks():
    """The eight networks of Q2 by label, untrained, with weights and biases of the size that training gives them."""
    made, rng = {}, np.random.default_rng(0)
    for cell in ("LSTM", "GRU"):
        for (units, layers), size in zip(SIZES, MODEL_SIZES, strict=True):
            model = build_model(Experiment(cell, units, layers))
            model.set_weights(
                [
                    w + rng.normal(0, 0.3 if w.ndim == 1 else 0.1, w.shape)
                    for w in model.get_weights()
                ]
            )
            made[f"{cell} {size}"] = model
    return made


@pytest.fixture(scope="module")
def probes(networks):
    rng = np.random.default_rng(1)
    shapes = {label: (28, model.layers[0].units + 1, 10) for label, model in networks.items()}
    return {label: rng.normal(0, 1, shape).astype(np.float32) for label, shape in shapes.items()}


READ = """
const [packed] = data.networks, network = reader.openNetwork(packed);
const results = data.images.map((image) => reader.read(network, reader.unpackImage(image)));
for (let k = 0; k < packed.layers.length; k++) {
  for (const name of Object.keys(results[0].layers[k][0])) {
    put(`${k} ${name}`, results.flatMap(({ layers }) => layers[k].flatMap((state) => [...state[name]])));
  }
}
for (const name of ["head", "probe"]) put(name, results.flatMap((result) => flat(result[name])));
"""


def assert_it_computes_what_keras_computes(run, networks, probes, x):
    """h, every gate and the probabilities of images, for each row, of all networks and a probe of each."""
    for label, model in networks.items():
        content = reader.make_content({label: model}, [], {label: probes[label]})
        content["images"] = [reader.in_base64(np.packbits(image > 0)) for image in x]
        computed, expected = run(READ, content), {}
        for k in range(len(model.layers) - 3):
            traced = trace(model, x, layer=k)
            expected |= {f"{k} {name}": values for name, values in traced.items()}
        expected["head"] = softmax(read_out(model, traced["h"]), axis=-1)
        logits = np.einsum("ntu,tuc->ntc", traced["h"].astype(np.float64), probes[label][:, :-1])
        expected["probe"] = softmax(logits + probes[label][:, -1], axis=-1)
        assert set(computed) == set(expected)
        differences = {
            name: np.abs(computed[name] - values.ravel()).max() for name, values in expected.items()
        }
        last = computed["head"].reshape(len(x), 28, 10)[:, -1]
        differences["model"] = np.abs(last - softmax(np.asarray(model(x)), axis=-1)).max()
        print(label, f"largest difference {max(differences.values()):.1e}")
        assert max(differences.values()) < 1e-5, (label, differences)


@needs_node
def test_all_networks_compute_what_keras_computes(networks, probes, data):
    assert_it_computes_what_keras_computes(node, networks, probes, data.x_test[:30])


@needs_node
@pytest.mark.parametrize("name", CELLS)
@pytest.mark.parametrize("held", [False, True])
def test_every_cell_steps_as_in_numpy(name, held):
    """Random weights and inputs, all gates free or all but one held; also what no sheet's network has."""
    cell, rng = CELLS[name], np.random.default_rng(5)
    sizes = {"units": 6, "features": 4}
    shapes = {weight: [sizes[side] for side in shape] for weight, shape in cell.weights.items()}
    weights = {
        weight: rng.normal(0, 0.7, shape).astype(np.float32) for weight, shape in shapes.items()
    }
    x = rng.normal(0, 1, (3, 9, 4))
    hold = (
        dict(zip(cell.gate_names[1 - len(cell.gate_names) :], (0.3, 1, 0), strict=False))
        if held
        else {}
    )
    found, states = (
        run_in_node(cell, weights, x, hold),
        {f"{s}_prev": np.zeros((3, 6)) for s in cell.states},
    )
    for t in range(9):
        values = run_step(cell, weights, {"x": x[:, t]} | states, hold=hold)
        states = {f"{s}_prev": values[s] for s in cell.states}
        assert set(found) == set(values)
        for part, expected in values.items():
            assert np.abs(found[part][:, t] - expected).max() < 1e-5, (part, t)


@needs_node
def test_gates_held_in_a_network(networks, data):
    """Each gate of a stacked network at three values: h of the last layer as by NumPy with the gate replaced."""
    code = """
    const network = reader.openNetwork(data.networks[0]), rows = reader.unpackImage(data.images[0]);
    for (const gate of network.cell.gates) for (const value of [0, 0.4, 1]) {
      const { layers, head } = reader.read(network, rows, { [gate]: value });
      put(`${gate} ${value}`, layers[layers.length - 1].flatMap(({ h }) => [...h]));
    }
    try { reader.read(network, rows, { q: 1 }); } catch ({ message }) { put(message, []); }"""
    for label in ("GRU 3 x 32", "LSTM 3 x 32"):
        model = networks[label]
        content = reader.make_content({label: model}, [])
        content["images"] = [reader.in_base64(np.packbits(data.x_test[0] > 0))]
        found = node(code, content)
        assert any(message.startswith("q is no gate of") for message in found)
        for gate in cell_of(model.layers[0]).gate_names:
            for value in (0, 0.4, 1):
                inputs = data.x_test[:1]
                for layer in model.layers[:3]:
                    inputs = held_outputs(layer, inputs, {gate: value})
                assert np.abs(found[f"{gate} {value}"] - inputs.ravel()).max() < 1e-5


def held_outputs(layer, x, hold):
    cell, weights = cell_of(layer), named_weights(layer)
    states, outputs = {f"{s}_prev": np.zeros((len(x), layer.units)) for s in cell.states}, []
    for row in x.swapaxes(0, 1):
        values = run_step(cell, weights, {"x": row} | states, hold=hold)
        states = {f"{s}_prev": values[s] for s in cell.states}
        outputs.append(values["h"])
    return np.stack(outputs, 1)


@needs_node
@pytest.mark.parametrize("name", CELLS)
def test_a_network_of_every_cell(name, data):
    """What trains any cell goes into the page, and is read there as by Keras."""
    layer = keras.layers.RNN(FormulaCell(name, 12))
    model = keras.Sequential(
        [keras.Input((28, 28)), layer, keras.layers.ReLU(), RELU64(), keras.layers.Dense(10)]
    )
    content = reader.make_content({name: model}, [])
    x = data.x_test[:5]
    content["images"] = [reader.in_base64(np.packbits(image > 0)) for image in x]
    code = """
    const network = reader.openNetwork(data.networks[0]);
    put("head", data.images.flatMap((i) => [...reader.read(network, reader.unpackImage(i)).head[27]]));"""
    assert (
        np.abs(node(code, content)["head"] - softmax(np.asarray(model(x)), -1).ravel()).max() < 1e-5
    )


# The drawing

PAD = 112


def mean_ink(box, rows, columns):
    """Mean of an array in rows x columns equal parts, for any sizes: repeat each point, then take means of blocks."""
    height, width = box.shape
    fine = box.repeat(rows, 0).repeat(columns, 1)
    return fine.reshape(rows, height, columns, width).mean((1, 3))


def as_mnist(ink):
    """The reference: the ink's box to 20 x 20, its centre of mass on pixel 14, 14 of 28 x 28."""
    image = np.zeros((28, 28))
    if not ink.any():
        return image
    box = ink[tuple(slice(places.min(), places.max() + 1) for places in np.nonzero(ink))]
    size = [max(1, int(np.floor(20 * length / max(box.shape) + 0.5))) for length in box.shape]
    small = mean_ink(box, *size)
    start = []
    for axis, length in enumerate(size):
        profile = small.sum(1 - axis)
        centre = (profile * np.arange(length)).sum() / profile.sum()
        start.append(int(np.clip(np.ceil(13.5 - centre - 1e-6), 0, 28 - length)))
    image[start[0] : start[0] + size[0], start[1] : start[1] + size[1]] = small
    return image


def drawings():
    """Pads to try: strokes, a point, ink in corners, lines, all ink, no ink."""
    rng, pads = np.random.default_rng(2), np.zeros((36, PAD, PAD))
    for pad in pads[:30]:
        (top, left), (height, width) = rng.integers(0, 80, 2), rng.integers(1, 33, 2)
        pad[top : top + height, left : left + width] = rng.random((height, width)) ** 2
    pads[30, 50, 60] = pads[31, -1, -1] = 1
    pads[32, :, 3] = pads[33, 100] = 0.7
    pads[34] = 1
    return pads


@needs_node
def test_centring_and_threshold_equal_numpy():
    pads = drawings()
    code = """
    const pads = data.map((pad) => Float64Array.from(pad));
    for (const name of ["asMnist", "asDrawn"]) {
      put(name, pads.flatMap((pad) => flat(reader[name](pad))));
      if (!reader.binarized(reader[name](pads[0])).every(Array.isArray)) throw name; // else no JSON
      put(name + "1", pads.flatMap((pad) => flat(reader.binarized(reader[name](pad)))));
    }"""
    found = node(code, pads.reshape(len(pads), -1).tolist())
    for name, reference in (("asMnist", as_mnist), ("asDrawn", lambda pad: mean_ink(pad, 28, 28))):
        expected = np.array([reference(pad) for pad in pads]).ravel()
        assert np.abs(found[name] - expected).max() < 1e-12
        assert (found[f"{name}1"] == (expected > 0.1)).all()


@needs_node
def test_a_test_image_is_read_as_it_is(data):
    """Its pixels are put on the pad as 4 x 4 points each, and taken from there unchanged."""
    images = reader.test_images(data)
    found = node("put('x', data.flatMap((i) => flat(reader.asDrawn(reader.padOf(i)))));", images)
    assert [image["label"] for image in images] == [*range(10)] * 2
    first = [np.flatnonzero(data.y_test == digit)[0] for digit in range(10)]
    assert (found["x"].reshape(20, 28, 28)[:10] == data.x_test[first]).all()


@needs_node
def test_the_pen_reaches_no_further_than_the_pad():
    """Strokes that leave the pad, or lie outside it, throw nothing and mark no other row."""
    code = """
    const pad = new Float64Array(reader.PAD ** 2);
    for (const end of [[-500, 50], [50, 1e6], [300, -300]]) reader.stroke(pad, end, end);
    put("outside", pad);
    reader.stroke(pad, [-20, 56], [20, 56]);
    put("pad", pad);"""
    found = node(code)
    pad = found["pad"].reshape(PAD, PAD)
    assert not found["outside"].any() and pad.max() == 1 and pad[56, :20].min() == 1
    assert not pad[:, 30:].any() and not pad[:49].any() and not pad[63:].any()


@needs_node
def test_moved_down_and_out():
    """Rows that leave the image at the bottom are lost, and blank ones come in at the top."""
    image = np.random.default_rng(4).integers(0, 2, (28, 28))
    found = node(
        "for (const k of [0, 3, 28]) put(k, flat(reader.movedDown(data, k)));", image.tolist()
    )
    for k in (0, 3, 28):
        assert (
            found[str(k)].reshape(28, 28) == np.vstack([np.zeros((k, 28)), image[: 28 - k]])
        ).all()


@needs_node
def test_an_address_keeps_strokes_and_state():
    """Written and read back, everything is the same; a text that is no address gives whole strokes or none."""
    code = """
    const strokes = data.strokes.map((points) => points.map(reader.onGrid));
    const state = { ...reader.beginning(null), strokes, network: 1, other: 0, step: 17, seen: 28,
      hold: { z: 0.25, r: 1 },
      erased: 3, down: 2, longer: true, story: 4, unit: 30, line: "z", drew: 7, epoch: 1, layer: 0, guess: 12 };
    const again = reader.fromAddress(`#${reader.toAddress(state, data.labels)}`, data.labels, 20);
    put("same", [Number(JSON.stringify(state) === JSON.stringify(again))]);
    put("strokes", again.strokes.flat(2));
    put("foreign", [Number(reader.fromAddress("#net=nobody", data.labels, 20) === null)]);
    for (const text of ["%%%", "AAA", "AAH_", "AAE", "AAJhYmM"]) put(text, reader.unpackStrokes(text).flat(2));"""
    rng = np.random.default_rng(5)
    strokes = [rng.uniform(0, 112, (n, 2)).tolist() for n in (1, 7, 300)]
    found = node(code, {"strokes": strokes, "labels": ["GRU 32", "LSTM 3 x 32"]})
    assert found["same"] == 1 and found["foreign"] == 1
    assert np.abs(found["strokes"] - np.concatenate(strokes).ravel()).max() <= 112 / 255 / 2 + 1e-9
    assert all(not len(found[text]) for text in found if text not in ("same", "foreign", "strokes"))


@needs_node
def test_a_formula_as_one_writes_it():
    """Every equation of every cell, written out and evaluated as text, is the tree's value; signs and brackets hold."""
    code = """
    const values = (name) => data.values[name] ?? 0.37;
    const leaf = (part) => typeof part === "string" ? `(${values(part)})` : "(0.21)";
    const run = (tree) => {
      const text = reader.written(tree, leaf).replaceAll("\u2212", "-").replaceAll("\u00b7", "*").replaceAll("^", "**")
        .replaceAll("\u03c3", "sigmoid").replace(/\\|([^|]*)\\|/g, "abs($1)");
      const { tanh, exp, log, sin, cos, abs, max, min } = Math;
      const sigmoid = (a) => 1 / (1 + exp(-a));
      return eval(text);
    };
    const dots = (tree) => Array.isArray(tree) ? (tree[0] === "dot" ? "d" : tree.map(dots)) : tree;
    const known = new Proxy({}, { get: (_, name) => [name === "d" ? 0.21 : values(name)] });
    put("written", data.trees.map(run));
    put("computed", data.trees.map((tree) => reader.valueAt(dots(tree), 0, known, 1)));"""
    x, y, z, w = (symbols(name) for name in ("x", "y", "z", "w"))
    odd = [
        x - (y - z),
        -x * (y - z),
        x / (y * z),
        -x / y - z,
        (x - y) ** 2,
        sp.Max(x, -y) - sp.Abs(z - x),
        -(x + y),
        1 / x,
    ]
    odd += [
        x * (-y),
        sp.exp(-x) - sp.log(y),
        (1 - z) * w - x * sp.sin(-y) * sp.cos(z),
        x - 2 * y,
        sp.sqrt(x) - sp.Min(x, y),
    ]
    trees = [tree for cell in CELLS.values() for _, tree in cell.lines] + [
        tree_of(formula) for formula in odd
    ]
    found = node(
        code,
        {
            "trees": trees,
            "values": {"z": 0.9, "x": 0.3, "g": -0.6, "h_prev": -0.4, "f": 0.8, "y": 1.7},
        },
    )
    np.testing.assert_allclose(found["written"], found["computed"], atol=0.011 * 3)


@needs_node
def test_labels_beside_the_rows_lie_apart():
    """In order and a gap apart, also where all want the last row; who has room stays at its row."""
    wanted = [[3, 10, 28], [1, 1, 1], [28, 28, 28, 28], [20, 26, 26, 28]]
    found = node("data.forEach((rows, k) => put(k, reader.apart(rows, 2, 28)));", wanted)
    places = [found[str(k)] for k in range(len(wanted))]
    assert all((np.diff(each) >= 2).all() and each[0] >= 1 and each[-1] <= 28 for each in places)
    assert (places[0] == wanted[0]).all() and places[3][0] == 20


@needs_node
def test_the_score_of_guesses():
    guesses = [{"guess": 10, "row": 12}, {"guess": 20, "row": 12}]
    found = node(
        "put(reader.score(data), []); put(reader.score(Array(10).fill(data[0])), []);", guesses
    )
    first, whole = found
    assert first == "2 of 10 guesses: 1 within 2 rows; on average 5.0 rows away."
    assert whole == "All 10 guesses: 10 within 2 rows; on average 2.0 rows away."


@needs_node
def test_the_story_says_what_the_networks_do(networks, probes, data):
    """Each step for each network, with numbers that reading gives; a network without a probe has its own words."""
    code = """
    const digits = data.images.slice(0, 10).map(({ label, pixels }, image) =>
      ({ image, label, rows: reader.binarized(reader.unpackImage(pixels)) }));
    for (const packed of data.networks) {
      const network = reader.openNetwork(packed);
      const steps = reader.CHAPTERS.map((chapter) => chapter(digits, network));
      for (const { title, text } of steps) if (!title || text.length > 420 || /undefined|NaN/.test(text)) throw text;
      const { set, text } = steps[1];
      if (!packed.probe) continue;
      const { head, probe } = reader.read(network, digits[set.image].rows);
      const says = (chances) => `${reader.mostProbable(chances)} (${Math.max(...chances).toFixed(2)})`;
      put(packed.label, [Number(text.includes(says(head[set.step - 1])) && text.includes(says(probe[set.step - 1])))]);
    }"""
    chosen = {label: networks[label] for label in ("GRU 32", "LSTM 3 x 32", "GRU 64")}
    given = {label: probes[label] for label in ("GRU 32", "LSTM 3 x 32")}
    found = node(code, reader.make_content(chosen, reader.test_images(data), given))
    assert found == {"GRU 32": 1, "LSTM 3 x 32": 1}


@needs_node
def test_weights_of_an_epoch_in_sixteen_bits(networks, data):
    """Rounded weights give the probabilities of the exact ones to 1e-3, else they are float32; the page says which."""
    model = networks["GRU 32"]
    learned = reader.learning({"GRU 32": model}, {"GRU 32": {1: model, 2: model}}, data)
    stage = learned["GRU 32"]
    assert [each["epoch"] for each in stage["epochs"]] == [1, 2] and stage["apart"] == 0
    assert all(len(each["accuracy"]) == 28 for each in stage["epochs"])
    content = reader.make_content({"GRU 32": model}, [], learned=learned)
    content["images"] = [reader.in_base64(np.packbits(image > 0)) for image in data.x_test[:20]]
    code = """
    for (const stage of [null, 0]) {
      const network = reader.openNetwork(data.networks[0], stage);
      const heads = data.images.map((image) => reader.read(network, reader.unpackImage(image)).head);
      put(`${stage}`, heads.flatMap(flat));
    }
    put("numbers", reader.numbers(data.numbers));"""
    arrays = [np.array([0, 1, -2.5, 1e-5]), np.zeros(2), np.array([-7e-6, 2e-6])]
    found = node(code, content | {"numbers": reader._sixteen_bits(arrays)})
    steps = np.repeat([2.5 / 32767, 0, 7e-6 / 32767], [4, 2, 2])
    assert (np.abs(found["numbers"] - np.concatenate(arrays)) <= 0.51 * steps).all()
    moved = np.abs(found["null"] - found["0"]).max()
    assert 0 < moved <= 1.1e-3 if stage["rounding"] else moved == 0


def test_what_was_trained_otherwise_is_told(networks, data):
    """Weights that end elsewhere come from another training than the network's: the page says how far."""
    model, other = networks["GRU 32"], keras.models.clone_model(networks["GRU 32"])
    other.set_weights([array + 0.25 for array in model.get_weights()])
    learned = reader.learning({"GRU 32": model}, {"GRU 32": {1: other, 2: other}}, data)
    assert learned["GRU 32"]["apart"] == pytest.approx(0.25, abs=1e-5)


@needs_node
def test_commit_step():
    rng = np.random.default_rng(3)
    chances = (
        rng.random((50, 28, 10)) + 2 * np.eye(10)[np.sort(rng.integers(0, 3, (50, 28)), axis=1)]
    )
    chances[0] = 0.1
    found = node("put('steps', data.map(reader.commitStep));", chances.tolist())
    assert (found["steps"] == commit_step(chances.argmax(-1))).all()


# The page and the widget


def test_files_of_a_run(networks, data, tmp_path, monkeypatch):
    """The pages ask the web for nothing; the small one, as the committed one, holds two networks and no image."""
    monkeypatch.setattr(reader, "RUNS", tmp_path)
    reader.save_reader(
        networks,
        data,
        {label: np.zeros((28, 33, 10), np.float32) for label in ("GRU 32", "LSTM 32")},
    )
    pages = {path.name: path.read_text(encoding="utf-8") for path in tmp_path.iterdir()}
    assert set(pages) == {"reader.html", "reader-small.html"}
    assert all(f'"label":"{label}"' in pages["reader.html"] for label in networks)
    for page in (
        pages["reader-small.html"],
        (ROOT / "docs" / "reader.html").read_text(encoding="utf-8"),
    ):
        assert len(page) < 300_000 and sorted(re.findall(r'"label":"([^"]+)"', page)) == [
            "GRU 32",
            "LSTM 32",
        ]
        assert '"strokes":' in page and '"pixels":' not in page
        assert reader.script() in page and reader.STYLE.read_text("utf-8") in page, (
            "run: make refresh"
        )
    page = pages["reader.html"]
    assert not re.search(r"https?:|src=|@import|url\(|import\(|fetch\(", page)
    assert "default-src 'none'" in page  # the browser refuses what the search above may have missed
    assert "<noscript>" in page and page.count("</script>") == 2


def test_the_widget_gives_the_image_as_an_array(networks, data):
    widget = reader.draw_and_read({"GRU 32": networks["GRU 32"]}, data)
    assert widget.image.shape == (28, 28)
    drawn = np.eye(28, dtype=int)
    widget.set_state({"image": drawn.tolist()})  # as the browser sends it
    assert widget.image.dtype == np.float32 and (widget.image == drawn).all()
    assert trace(networks["GRU 32"], widget.image[None])["h"].shape == (1, 28, 32)
    json.dumps(widget.get_state())


def RELU64():
    return keras.layers.Dense(64, "relu")


def head():
    return [keras.layers.ReLU(), RELU64(), keras.layers.Dense(10)]


@pytest.mark.parametrize(
    ("layers", "found"),
    [
        ([keras.layers.GRU(4, go_backwards=True), *head()], "go_backwards"),
        ([keras.layers.Flatten(), keras.layers.Dense(10)], "Flatten, Dense"),
        ([keras.layers.GRU(4), keras.layers.Dense(10)], "GRU, Dense"),
        (
            [keras.layers.GRU(4), keras.layers.ReLU(), *map(keras.layers.Dense, (64, 10))],
            "GRU, ReLU, Dense, Dense",
        ),
        ([keras.layers.GRU(4, activation="relu"), *head()], "activation 'tanh' alone; got 'relu'"),
        (
            [keras.layers.LSTM(4, recurrent_activation="hard_sigmoid"), *head()],
            "got 'hard_sigmoid'",
        ),
        (
            [keras.layers.GRU(4, return_sequences=True), keras.layers.LSTM(4), *head()],
            "one kind of cell",
        ),
        (
            [keras.layers.RNN(keras.layers.StackedRNNCells([keras.layers.GRUCell(4)])), *head()],
            "StackedRNNCells",
        ),
    ],
)
def test_a_network_the_script_cannot_compute_is_refused(layers, found, data):
    model = keras.Sequential([keras.Input((28, 28)), *layers])
    with refused(f"^CNN 8: the reader takes .*{found}"):
        reader.draw_and_read({"CNN 8": model}, data)


def test_no_network(data):
    with refused(r"^no network to read with: "):
        reader.draw_and_read({}, data)


def test_grey_images_are_refused(networks, data):
    """The page would make black and white of what the networks saw grey."""
    grey = dataclasses.replace(data, x_test=data.x_test * 0.7)
    with refused("^the page draws black and white"):
        reader.draw_and_read({"GRU 32": networks["GRU 32"]}, grey)
