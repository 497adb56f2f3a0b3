"""The reader: what its script computes, in node, against Keras and NumPy; the page and the widget around it."""

import json
import re
import shutil
import subprocess

import keras
import numpy as np
import pytest
from scipy.special import softmax

from coursework import reader
from coursework.data import load_data
from coursework.files import ROOT
from coursework.trace import read_out, trace
from coursework.training import MODEL_SIZES, Experiment, build_model

NODE = shutil.which("node")
in_node = pytest.mark.skipif(not NODE, reason="needs node, which runs the reader's script without a browser")
SIZES = [(32, 1), (64, 1), (128, 1), (32, 3)]


def node(code, folder, *arguments):
    """Run code that can use all of reader.js as `reader` and the JSON file `data.json` of the folder as `data`."""
    lines = [
        "import { readFileSync, writeFileSync } from 'node:fs';",
        # As text, because Node takes a file named .js for the older kind of module.
        f"const source = readFileSync({json.dumps(str(reader.SCRIPT))});",
        "const reader = await import('data:text/javascript;base64,' + source.toString('base64'));",
        f"const data = JSON.parse(readFileSync({json.dumps(str(folder / 'data.json'))}));",
        f"const folder = {json.dumps(str(folder))};",
        "const save = (name, values) => writeFileSync(folder + '/' + name, Float64Array.from(values));",
        code,
    ]
    command = [NODE, "--input-type=module", "--eval", "\n".join(lines)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stderr
    return result.stdout


def saved(folder, name, *shape):
    return np.fromfile(folder / name).reshape(shape)


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
            model.set_weights([w + rng.normal(0, 0.3 if w.ndim == 1 else 0.1, w.shape) for w in model.get_weights()])
            made[f"{cell} {size}"] = model
    return made


READ = """
const images = data.images.map(reader.unpackImage);
for (const packed of data.networks) {
  const network = reader.openNetwork(packed);
  const results = images.map((rows) => reader.read(network, rows));
  for (let k = 0; k < packed.layers; k++) {
    for (const name of Object.keys(results[0].layers[k][0])) {
      const values = results.flatMap(({ layers }) => layers[k].flatMap((state) => [...state[name]]));
      save(`${packed.label} ${k} ${name}`, values);
    }
  }
  for (const name of ["head", "probe"]) {
    save(`${packed.label} ${name}`, results.flatMap((result) => result[name].flatMap((row) => [...row])));
  }
}
"""


@in_node
def test_all_networks_compute_what_keras_computes(networks, data, tmp_path):
    """h, every gate and the probabilities of 100 images, for each row, of all eight networks and a probe of each."""
    x, rng = data.x_test[:100], np.random.default_rng(1)
    probes = {
        label: rng.normal(0, 1, (28, model.layers[0].units + 1, 10)).astype(np.float32)
        for label, model in networks.items()
    }
    content = reader.make_content(networks, [], probes)
    content["images"] = [reader.in_base64(np.packbits(image > 0)) for image in x]
    (tmp_path / "data.json").write_text(json.dumps(content))
    node(READ, tmp_path)
    for label, model in networks.items():
        differences = {}
        depth = len(model.layers) - 3
        for k in range(depth):
            traced = trace(model, x, layer=k)
            for name, values in traced.items():
                computed = saved(tmp_path, f"{label} {k} {name}", *values.shape)
                differences[f"{k} {name}"] = np.abs(computed - values).max()
        chances = saved(tmp_path, f"{label} head", 100, 28, 10)
        differences["read-out"] = np.abs(chances - softmax(read_out(model, traced["h"]), axis=-1)).max()
        differences["model"] = np.abs(chances[:, -1] - softmax(np.asarray(model(x)), axis=-1)).max()
        h = traced["h"].astype(np.float64)
        logits = np.einsum("ntu,tuc->ntc", h, probes[label][:, :-1]) + probes[label][:, -1]
        probed = saved(tmp_path, f"{label} probe", 100, 28, 10)
        differences["probe"] = np.abs(probed - softmax(logits, axis=-1)).max()
        print(label, f"largest difference {max(differences.values()):.1e}")
        assert max(differences.values()) < 1e-5, (label, differences)


@in_node
@pytest.mark.parametrize("reset_after", [True, False])
def test_both_kinds_of_gru(reset_after, data, tmp_path):
    layer = keras.layers.GRU(8, reset_after=reset_after, bias_initializer="normal", return_sequences=True)
    h = np.asarray(layer(data.x_test[:5]))
    arrays = layer.get_weights()
    kernels = [reader.in_base64(array.astype("<f4")) for array in arrays]
    (tmp_path / "data.json").write_text(json.dumps({"kernels": kernels, "x": data.x_test[:5].tolist()}))
    code = """
    const [kernel, recurrentKernel, bias] = data.kernels.map(reader.floats);
    save("h", data.x.flatMap((rows) => {
      let state = { h: new Float64Array(8) };
      return rows.flatMap((row) => [...(state = reader.gruStep({ kernel, recurrentKernel, bias }, row, state)).h]);
    }));"""
    node(code, tmp_path)
    assert np.abs(saved(tmp_path, "h", *h.shape) - h).max() < 1e-5


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
    where = np.nonzero(ink)
    box = ink[tuple(slice(places.min(), places.max() + 1) for places in where)]
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
    """Pads to try: strokes, a point, all ink, no ink, ink in corners, lines, noise."""
    rng, pads = np.random.default_rng(2), []
    for _ in range(30):
        pad = np.zeros((PAD, PAD))
        (top, left), (height, width) = rng.integers(0, 80, 2), rng.integers(1, 33, 2)
        pad[top : top + height, left : left + width] = rng.random((height, width)) ** 2
        pads.append(pad)
    lone = np.zeros((4, PAD, PAD))
    lone[0, 50, 60] = lone[1, -1, -1] = 1
    lone[2, :, 3] = lone[3, 100] = 0.7
    return np.array([*pads, *lone, np.ones((PAD, PAD)), np.zeros((PAD, PAD))])


@in_node
def test_centring_and_threshold_equal_numpy(tmp_path):
    pads = drawings()
    (tmp_path / "data.json").write_text(json.dumps(pads.reshape(len(pads), -1).tolist()))
    code = """
    const flat = (image) => image.flatMap((row) => [...row]);
    for (const name of ["asMnist", "asDrawn"]) {
      save(name, data.flatMap((pad) => flat(reader[name](Float64Array.from(pad)))));
      if (!reader.binarized(reader[name](Float64Array.from(data[0]))).every(Array.isArray)) throw name; // else no JSON
      save(name + "1", data.flatMap((pad) => flat(reader.binarized(reader[name](Float64Array.from(pad))))));
    }"""
    node(code, tmp_path)
    for name, reference in (("asMnist", as_mnist), ("asDrawn", lambda pad: mean_ink(pad, 28, 28))):
        expected = np.array([reference(pad) for pad in pads])
        assert np.abs(saved(tmp_path, name, *expected.shape) - expected).max() < 1e-12
        assert (saved(tmp_path, f"{name}1", *expected.shape) == (expected > 0.1)).all()


@in_node
def test_a_test_image_is_read_as_it_is(data, tmp_path):
    """Its pixels are put on the pad as 4 x 4 points each, and taken from there unchanged."""
    images = reader.test_images(data)
    (tmp_path / "data.json").write_text(json.dumps(images))
    node("save('x', data.flatMap((i) => reader.asDrawn(reader.padOf(i)).flatMap((row) => [...row])));", tmp_path)
    labels = [image["label"] for image in images]
    assert labels == [*range(10)] * 2
    first = [np.flatnonzero(data.y_test == digit)[0] for digit in range(10)]
    assert (saved(tmp_path, "x", 20, 28, 28)[:10] == data.x_test[first]).all()


@in_node
def test_the_pen_reaches_no_further_than_the_pad(tmp_path):
    """Strokes that leave the pad, or lie outside it, throw nothing and mark no other row."""
    (tmp_path / "data.json").write_text("{}")
    code = """
    const pad = new Float64Array(reader.PAD ** 2);
    for (const end of [[-500, 50], [50, 1e6], [300, -300]]) reader.stroke(pad, end, end);
    console.log(pad.reduce((a, b) => a + b));
    reader.stroke(pad, [-20, 56], [20, 56]);
    save("pad", pad);"""
    assert float(node(code, tmp_path)) == 0
    pad = saved(tmp_path, "pad", PAD, PAD)
    assert pad.max() == 1 and pad[56, :20].min() == 1
    assert not pad[:, 30:].any() and not pad[:49].any() and not pad[63:].any()


@in_node
def test_commit_step(tmp_path):
    from coursework.analysis import commit_step

    rng = np.random.default_rng(3)
    chances = rng.random((50, 28, 10)) + 2 * np.eye(10)[np.sort(rng.integers(0, 3, (50, 28)), axis=1)]
    chances[0] = 0.1
    (tmp_path / "data.json").write_text(json.dumps(chances.tolist()))
    node("save('steps', data.map(reader.commitStep));", tmp_path)
    assert (saved(tmp_path, "steps", 50) == commit_step(chances.argmax(-1))).all()


# The page and the widget


def test_the_page_asks_the_web_for_nothing(networks, data):
    page = reader.reader_page(networks, reader.test_images(data))
    assert not re.search(r"https?:|src=|@import|url\(|import\(|fetch\(", page)
    assert "default-src 'none'" in page  # the browser refuses what the search above may have missed
    assert "<noscript>" in page
    assert page.count("</script>") == 2


def test_files_of_a_run(networks, data, tmp_path, monkeypatch):
    monkeypatch.setattr(reader, "RUNS", tmp_path)
    probes = {label: np.zeros((28, 33, 10), np.float32) for label in ("GRU 32", "LSTM 32")}
    reader.save_reader(networks, data, probes)
    pages = {path.name: path.read_text(encoding="utf-8") for path in tmp_path.iterdir()}
    assert set(pages) == {"reader.html", "reader-small.html"}
    assert all(f'"label":"{label}"' in pages["reader.html"] for label in networks)
    assert len(pages["reader-small.html"]) < 300_000
    assert "LSTM 64" not in pages["reader-small.html"] and '"pixels":' not in pages["reader-small.html"]


def test_the_widget_gives_the_image_as_an_array(networks, data):
    widget = reader.draw_and_read({"GRU 32": networks["GRU 32"]}, data)
    assert widget.image.shape == (28, 28)
    drawn = np.eye(28, dtype=int)
    widget.set_state({"image": drawn.tolist()})  # as the browser sends it
    assert widget.image.dtype == np.float32 and (widget.image == drawn).all()
    assert trace(networks["GRU 32"], widget.image[None])["h"].shape == (1, 28, 32)
    json.dumps(widget.get_state())


@pytest.mark.parametrize(
    ("layers", "found"),
    [
        ([keras.layers.Flatten(), keras.layers.Dense(10)], "Flatten, Dense"),
        ([keras.layers.GRU(4), keras.layers.Dense(10)], "GRU, Dense"),
        ([keras.layers.GRU(4, activation="relu"), keras.layers.ReLU(), *map(keras.layers.Dense, (64, 10))], "GRU"),
        ([keras.layers.LSTM(4, use_bias=False), keras.layers.ReLU(), *map(keras.layers.Dense, (64, 10))], "LSTM"),
    ],
)
def test_a_network_the_script_cannot_compute_is_refused(layers, found, data):
    model = keras.Sequential([keras.Input((28, 28)), *layers])
    with pytest.raises(ValueError, match=f"^CNN 8: the reader takes .*; got {found}"):
        reader.draw_and_read({"CNN 8": model}, data)


def test_no_network(data):
    with pytest.raises(ValueError, match=r"^no network to read with: "):
        reader.draw_and_read({}, data)


def test_the_committed_page():
    """Small enough, with the two networks and no image of a data set."""
    page = (ROOT / "docs" / "reader.html").read_text(encoding="utf-8")
    assert len(page) < 300_000
    assert re.findall(r'"label":"([^"]+)"', page) == ["GRU 32", "LSTM 32"]
    assert '"strokes":' in page and '"pixels":' not in page
