"""Draw a digit and watch a network read it: `reader.js` as a widget and as a page that needs nothing else.

The script computes everything itself, from the weights: Python packs them, and takes the drawn image back.
"""

import base64
import json
import re
from collections.abc import Mapping
from pathlib import Path

import anywidget
import numpy as np
import traitlets
from matplotlib import colormaps
from scipy.interpolate import splev, splprep
from scipy.special import softmax

from coursework.backend import keras
from coursework.data import Data
from coursework.figure import new_figure, show_figure
from coursework.files import RUNS, write_text
from coursework.formulas import Cell
from coursework.keras_cells import cell_of, is_followed, named_weights
from coursework.layers import layer_outputs
from coursework.readout import read_out
from coursework.style import SIGNED, STEP, TITLES, draw_classes, draw_digit, draw_steps
from coursework.text import show_widget
from coursework.trace import trace

SCRIPT = Path(__file__).with_name("reader.js")
# Of the folder page/, each after those that it reads.
MODULES = [
    "arithmetic",
    "ink",
    "formula",
    "state",
    "draw",
    "parts",
    "hand",
    "story",
    "tables",
    "views",
]
MODULES += ["reading", "acting", "stage", "playground"]
STYLE = SCRIPT.with_suffix(".css")
PAGE = SCRIPT.with_suffix(".html")
SMALL = ("GRU 32", "LSTM 32")  # the networks of the committed page
MOST = 300_000  # bytes of the committed page
OPENING = 2  # the digit shown first: many a network makes up its mind about it late

# The digits of the committed page, which may hold no part of MNIST: drawn by us as curves through these points, from
# left to right and from top to bottom in percent of the pad. A digit may take several strokes.
STROKES = {
    0: ["50,14 32,24 27,52 34,80 51,87 67,76 72,48 65,22 51,14"],
    1: ["54,13 52,38 49,62 47,87"],
    2: ["30,31 38,16 56,13 68,25 64,42 48,62 28,84", "28,84 44,82 58,85 74,83"],
    3: ["30,20 46,12 63,19 62,36 44,46", "44,46 62,50 70,66 58,84 40,87 27,78"],
    4: ["36,14 32,34 29,54", "29,54 48,52 72,49", "64,16 61,42 58,66 56,88"],
    5: ["70,15 54,15 38,17", "38,17 35,32 33,46", "33,46 50,40 66,50 68,68 56,85 38,87 26,80"],
    6: ["62,12 44,26 33,48 31,68 40,86 57,86 66,72 58,58 43,60 33,72"],
    7: ["27,19 44,17 58,17 72,16", "72,16 62,38 52,62 44,88"],
    8: ["66,22 50,13 36,23 40,38 55,50 65,66 58,84 43,86 34,74 40,58 56,44 66,32 66,22"],
    9: ["66,26 54,14 38,19 33,35 43,47 58,43 66,28", "66,26 65,46 62,68 58,88"],
}


def script() -> str:
    """`reader.js` and its modules joined to one module, which imports nothing: for the widget and for the page.

    Comments and indentation stay behind.
    """
    files = [*(SCRIPT.parent / "page" / f"{name}.js" for name in MODULES), SCRIPT]
    text = "\n".join(path.read_text("utf-8") for path in files)
    text = re.sub(r'^(import|export \*)[^;]* from "\./[^"]*";\n', "", text, flags=re.M)
    return re.sub(r"^ *(//|/\*\*| \*).*\n|^\n|^ +", "", text, flags=re.M)


class Reader(anywidget.AnyWidget):
    """The widget: `content` goes to the script once, `image` comes back with each finished drawing.

    Attributes:
        image: (28, 28) of 0 and 1, float32, as the networks read it: `helpers.trace(model, reader.image[None])`.
    """

    _esm = script()
    _css = STYLE
    content = traitlets.Dict().tag(sync=True)
    image = traitlets.Instance(np.ndarray).tag(
        sync=True,
        to_json=lambda image, _: image.tolist(),
        from_json=lambda rows, _: np.array(rows, np.float32),
    )


def draw_and_read(
    networks: Mapping, data: Data, probes: Mapping | None = None, epochs: Mapping | None = None
) -> Reader:
    """Show a pad to draw a digit on, and what the networks make of it row by row; returns the widget.

    Where widgets don't run, a picture of the first network reading a test image remains.

    Args:
        networks: dict from label to trained network, of any recurrent cell, as `build_model` makes them.
        data: gives the test images to choose from.
        probes: dict from label to what `fit_probes` returns for the last recurrent layer, for any of the networks.
        epochs: dict from label to the same network in training, as of `networks_by_epoch`, for any of the networks.

    Raises:
        ValueError: no network, one of another shape, or images that are not black and white.

    Notebook 3, "Draw a digit".
    """
    content = make_content(networks, test_images(data), probes, learning(networks, epochs, data))
    digit = content["images"][content["opening"]]["label"]
    image = data.x_test[np.flatnonzero(data.y_test == digit)[0]]
    reader = Reader(content=content, image=image)
    show_widget(reader)
    _show_reading(*next(iter(networks.items())), image, digit)
    return reader


def save_reader(
    networks: Mapping, data: Data, probes: Mapping | None = None, epochs: Mapping | None = None
) -> None:
    """Write `runs/reader.html` with all networks and test images, and `runs/reader-small.html` for publication.

    The second page holds GRU 32 and LSTM 32 alone, and digits that were drawn for it instead of test images; of the
    weights in training it has what fits. Arguments and errors are those of `draw_and_read`. Notebook 3, "Draw a digit".
    """
    about = (
        f"The images are test images ({data.name}), as black and white as the networks saw them."
    )
    learned = learning(networks, epochs, data)
    write_text(
        RUNS / "reader.html", reader_page(networks, test_images(data), probes, about, learned)
    )
    small = {label: networks[label] for label in SMALL if label in networks} or networks
    write_text(RUNS / "reader-small.html", small_page(small, probes, learned))


def small_page(networks: Mapping, probes: Mapping | None, learned: Mapping) -> str:
    """A page with drawn digits; of the first network with its probe and as many epochs as MOST bytes allow."""
    about = "The digits to choose from were drawn for this page; they belong to no data set."
    first = next(iter(networks))
    probes = {label: probe for label, probe in (probes or {}).items() if label == first}
    stages = learned.get(first, {}).get("epochs", [])
    page = reader_page(networks, drawn_images(), probes, about, small=True)
    for count in range(1, len(stages)):
        chosen = {first: learned[first] | {"epochs": [*stages[:count], stages[-1]]}}
        larger = reader_page(networks, drawn_images(), probes, about, chosen, small=True)
        if len(larger) > MOST:
            break
        page = larger
    return page


def reader_page(
    networks: Mapping,
    images: list[dict],
    probes: Mapping | None = None,
    about: str = "",
    learned: Mapping = {},
    small: bool = False,
) -> str:
    """The whole page as HTML, which loads nothing from anywhere.

    `images` are those of `test_images` or `drawn_images`, `about` is a sentence on them in HTML, `learned` is what
    `learning` returns; a `small` page holds the probes with sixteen bits for a number.
    """
    made = make_content(networks, images, probes, learned, small)
    content = json.dumps(made, separators=(",", ":")).replace("<", "\\u003c")
    page = PAGE.read_text("utf-8").replace("%ABOUT%", about).replace("%CONTENT%", content)
    return page.replace("%STYLE%", STYLE.read_text("utf-8")).replace("%SCRIPT%", script())


def test_images(data: Data) -> list[dict]:
    """The first two test images of each class, as the script takes them: label, and 784 bits in base64.

    ValueError for images that are not black and white: the page could not show what the networks saw.
    """
    if not np.isin(data.x_test, (0, 1)).all():
        raise ValueError(
            "the page draws black and white, and these images hold grey: pass data with binary=True"
        )
    chosen = [_test_image(data, digit, number) for number in range(2) for digit in range(10)]
    return [image for image in chosen if image]


def _test_image(data, digit, number):
    """The test image of a digit that comes as number 0, 1, ... of them, or None."""
    places = np.flatnonzero(data.y_test == digit)
    if number >= len(places):
        return None
    pixels = np.packbits(data.x_test[places[number]] > 0.1)
    return {"label": digit, "pixels": in_base64(pixels)}


def drawn_images() -> list[dict]:
    """A digit of each class as strokes, lists of [x, y] in points of the pad (112 x 112)."""
    return [
        {"label": digit, "strokes": [_smooth(points) for points in strokes]}
        for digit, strokes in STROKES.items()
    ]


def make_content(
    networks: Mapping,
    images: list[dict],
    probes: Mapping | None = None,
    learned: Mapping = {},
    small: bool = False,
) -> dict:
    """All that the script needs, ready for JSON; arguments as for `reader_page`."""
    if not networks:
        raise ValueError("no network to read with: give a dict from label to network")
    return {
        "networks": [
            _packed(label, model, (probes or {}).get(label), small) | learned.get(label, {})
            for label, model in networks.items()
        ],
        "images": images,
        "opening": next((k for k, image in enumerate(images) if image["label"] == OPENING), 0),
        **color_maps(),
    }


def color_maps() -> dict:
    """256 colours as red, green, blue each: for gates, from 0 to 1, and for signed values, with 0 in the middle."""
    maps = {"viridis": colormaps["viridis"], "diverging": colormaps[SIGNED]}
    return {
        name: in_base64(colours(range(256), bytes=True)[:, :3]) for name, colours in maps.items()
    }


def _packed(label, model, probe, small):
    """One network: the cell's equations, and all weights as float32, little-endian, layer by layer."""
    recurrent = _layers(model, label)
    layers, arrays = _arrays(model)
    network = {
        "label": label,
        "cell": page_cell(cell_of(recurrent[0])),
        "layers": layers,
        "head": [[array.shape for array in dense.get_weights()] for dense in _dense(model)],
        "weights": _floats(arrays),
    }
    pack = _sixteen_bits if small else _floats
    return network | ({} if probe is None else {"probe": pack([probe])})


def _dense(model):
    return [layer for layer in model.layers if isinstance(layer, keras.layers.Dense)]


def _arrays(model):
    """(units and shapes of each recurrent layer, all weights of a network in the page's order)."""
    packed = [pack_weights(named_weights(layer)) for layer in _layers(model)]
    arrays = [array for _, named in packed for array in named]
    return [layer for layer, _ in packed], arrays + [
        array for dense in _dense(model) for array in dense.get_weights()
    ]


def pack_layers(weights: list[Mapping]) -> tuple[list[dict], str]:
    """(units and shapes, weights in base64) of layers without a head, each given by its named weights."""
    packed = [pack_weights(named) for named in weights]
    return [layer for layer, _ in packed], _floats(
        [array for _, arrays in packed for array in arrays]
    )


def page_cell(cell: Cell) -> dict:
    """A cell as the page takes it: `Cell.as_data` with a title for everything that it computes."""
    data = cell.as_data()
    titles = {gate: f"gate {gate}" for gate in cell.gate_names}
    titles |= {name: TITLES[name] for name in ("g", "c", "h")}
    return data | {"titles": titles | data["titles"]}


def pack_weights(weights: Mapping[str, np.ndarray]) -> tuple[dict, list[np.ndarray]]:
    """The weights of one layer for the page, from those of `named_weights`: (units and shapes, arrays in that order).

    Matrices are transposed, to inputs x units: the page walks along the inputs, and leaves out those that are 0.
    """
    arrays = [np.transpose(array) for array in weights.values()]
    shapes = [[name, array.shape] for name, array in zip(weights, arrays, strict=True)]
    return {"units": arrays[0].shape[-1], "shapes": shapes}, arrays


def learning(networks: Mapping, epochs: Mapping | None, data: Data) -> dict:
    """What the page needs to show networks in training: {label: {epochs, rounding, apart}}.

    Each of the epochs holds its number, the accuracy on the first 1,000 test images after each row, and its weights;
    the last one is the network itself and has none. A weight has sixteen bits if that moves no probability of 100 of
    these images by more than 0.001, else it is float32. (Whole numbers of a step: float16 moves some by 0.004.)
    `apart`: the largest difference between a weight of the network and one of the last epoch, which was trained anew.
    `epochs` as for `draw_and_read`.
    """
    return {
        label: _learned(networks[label], stages, data)
        for label, stages in (epochs or {}).items()
        if label in networks
    }


def _learned(network, stages, data):
    x, labels = data.x_test[:1000], data.y_test[:1000]
    *earlier, last = sorted(stages)
    rounding = max((_rounding(stages[epoch], x[:100]) for epoch in earlier), default=0.0)
    pack = _sixteen_bits if rounding <= 1e-3 else _floats
    models = {epoch: stages[epoch] for epoch in earlier} | {last: network}
    kept = []
    for epoch, model in models.items():
        kept.append({"epoch": epoch, "accuracy": _accuracy_by_row(model, x, labels)})
        if epoch != last:
            kept[-1]["weights"] = pack(_arrays(model)[1])
    return {
        "epochs": kept,
        "rounding": f"{rounding:.1g}" if pack is _sixteen_bits else None,
        "apart": _apart(network, stages[last]),
    }


def _apart(network, other):
    """The largest difference of two weights."""
    pairs = zip(network.get_weights(), other.get_weights(), strict=True)
    return float(max(np.abs(a - b).max() for a, b in pairs))


def _chances_by_row(network, x):
    """Class probabilities read out after each row, (N, 28, 10)."""
    for layer in _layers(network):
        x = layer_outputs(layer, x)
    return softmax(read_out(network, x), axis=-1)


def _accuracy_by_row(network, x, labels):
    right = _chances_by_row(network, x).argmax(-1) == labels[:, None]
    return right.mean(0).round(4).tolist()


def _rounding(network, x):
    """By how much weights of sixteen bits move a probability, at most."""
    exact, weights = _chances_by_row(network, x), network.get_weights()
    network.set_weights([_step(array) * np.round(array / _step(array)) for array in weights])
    rounded = _chances_by_row(network, x)
    network.set_weights(weights)
    return float(np.abs(rounded - exact).max())


def _step(array):
    """The unit in which sixteen bits with a sign hold an array."""
    return np.float32(np.abs(array).max() / 32767 or 1)


def _sixteen_bits(arrays):
    """Arrays as whole numbers of steps, for `numbers` in arithmetic.js."""
    whole = [np.round(np.ravel(array) / _step(array)) for array in arrays]
    steps = [[array.size, float(_step(array))] for array in arrays]
    return {"steps": steps, "whole": in_base64(np.concatenate(whole).astype("<i2"))}


HEAD = [("ReLU", None), ("Dense", "relu"), ("Dense", "linear")]


def _layers(model, label="the network"):
    """The recurrent layers of a network, or a ValueError if the page can't compute it."""
    recurrent = [layer for layer in model.layers if isinstance(layer, keras.layers.RNN)]
    others = model.layers[len(recurrent) :]
    found = ", ".join(type(layer).__name__ for layer in model.layers)
    why = None
    if not recurrent or model.layers[: len(recurrent)] != recurrent or _kinds(others) != HEAD:
        why = f"takes recurrent layers, ReLU, Dense, Dense, as of build_model; got {found}"
    elif (model.input_shape[1:], model.output_shape[1:]) != ((28, 28), (10,)):
        why = f"takes (28, 28) and gives (10,); got {model.input_shape[1:]} and {model.output_shape[1:]}"
    elif not all(dense.use_bias for dense in others[1:]):
        why = "takes dense layers with a bias; got use_bias=False"
    else:
        why = next(filter(None, map(_odd, recurrent)), None)
    if why is None and any(cell_of(layer) != cell_of(recurrent[0]) for layer in recurrent):
        why = f"takes one kind of cell in all layers; got {found}"
    if why:
        raise ValueError(f"{label}: the reader {why}")
    return recurrent


def _kinds(layers):
    return [(type(layer).__name__, layer.get_config().get("activation")) for layer in layers]


def _odd(layer):
    """What the page can't compute in a recurrent layer, or None."""
    if not is_followed(layer.cell):
        return f"takes cells whose equations are known; got {type(layer.cell).__name__}"
    if layer.go_backwards:
        return "takes rows from the top; got go_backwards=True"
    config = layer.get_config()
    for option, wanted in (("activation", "tanh"), ("recurrent_activation", "sigmoid")):
        if config.get(option, wanted) != wanted:
            return f"takes {option} {wanted!r} alone; got {config[option]!r}"
    return None


def _floats(arrays):
    """Arrays as float32, little-endian, one after the other."""
    return in_base64(np.concatenate([np.ravel(array) for array in arrays]).astype("<f4"))


def in_base64(array: np.ndarray) -> str:
    """The bytes of an array as text."""
    return base64.b64encode(array.tobytes()).decode()


def _smooth(points):
    """A curve through the points, in points of the pad."""
    x, y = np.array([point.split(",") for point in points.split()], float).T * 1.12
    curve = splev(np.linspace(0, 1, 8 * len(x)), splprep([x, y], s=0, k=min(3, len(x) - 1))[0])
    return np.round(np.transpose(curve), 1).tolist()


def _show_reading(label, model, image, digit):
    """A picture in place of the widget: the image, the class probabilities and the state after each row."""
    layer = len(_layers(model, label)) - 1
    h = trace(model, image[None], layer=layer)["h"]
    chances = softmax(read_out(model, h), axis=-1)[0]
    figure, (left, middle, right) = new_figure((8.5, 2.5), 1, 3, sharey=True)
    draw_digit(left, image, title=f"a {digit}", xlabel="pixel", ylabel=STEP)
    figure.colorbar(
        draw_classes(middle, chances, title=f"{label}: read out"), ax=middle, label="probability"
    )
    state = draw_steps(right, h[0], -1, 1, title=TITLES["h"], xlabel="hidden unit")
    figure.colorbar(state, ax=right, label=TITLES["h"])
    show_figure(
        figure,
        f"{label} reads a {digit}: the image, the class probabilities and the output h after each row; after the last "
        f"row it says {chances[-1].argmax()}.",
    )
