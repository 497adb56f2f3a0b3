"""Draw a digit and watch a network read it: `reader.js` as a widget and as a page that needs nothing else.

The script computes everything itself, from the weights: Python packs them, and takes the drawn image back.
"""

import base64
import json
from collections.abc import Mapping
from pathlib import Path

import anywidget
import matplotlib.pyplot as plt
import numpy as np
import traitlets
from scipy.interpolate import splev, splprep
from scipy.special import softmax

from coursework.data import Data
from coursework.figure import new_figure, show_figure
from coursework.files import RUNS, write_text
from coursework.style import COLORS, STEP, TITLES, draw_classes, draw_digit, draw_steps
from coursework.text import show_widget
from coursework.trace import read_out, trace

SCRIPT = Path(__file__).with_name("reader.js")
STYLE = SCRIPT.with_suffix(".css")
PAGE = SCRIPT.with_suffix(".html")
SMALL = ("GRU 32", "LSTM 32")  # the networks of the committed page
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


class Reader(anywidget.AnyWidget):
    """The widget: `content` goes to the script once, `image` comes back with each finished drawing.

    Attributes:
        image: (28, 28) of 0 and 1, float32, as the networks read it: `helpers.trace(model, reader.image[None])`.
    """

    _esm = SCRIPT
    _css = STYLE
    content = traitlets.Dict().tag(sync=True)
    image = traitlets.Instance(np.ndarray).tag(
        sync=True,
        to_json=lambda image, _: image.tolist(),
        from_json=lambda rows, _: np.array(rows, np.float32),
    )


def draw_and_read(networks: Mapping, data: Data, probes: Mapping | None = None) -> Reader:
    """Show a pad to draw a digit on, and what the networks make of it row by row; returns the widget.

    Where widgets don't run, a picture of the first network reading a test image remains.

    Args:
        networks: dict from label to trained network, LSTM or GRU, as `build_model` makes them.
        data: gives the test images to choose from.
        probes: dict from label to what `fit_probes` returns for the last recurrent layer, for any of the networks.

    Raises:
        ValueError: no network, or one of another shape.

    Notebook 3, "Draw a digit".
    """
    content = make_content(networks, test_images(data), probes)
    digit = content["images"][content["opening"]]["label"]
    image = data.x_test[np.flatnonzero(data.y_test == digit)[0]]
    reader = Reader(content=content, image=image)
    show_widget(reader)
    _show_reading(*next(iter(networks.items())), image, digit)
    return reader


def save_reader(networks: Mapping, data: Data, probes: Mapping | None = None) -> None:
    """Write `runs/reader.html` with all networks and test images, and `runs/reader-small.html` for publication.

    The second page holds GRU 32 and LSTM 32 alone, and digits that were drawn for it instead of test images. Arguments
    and errors are those of `draw_and_read`. Notebook 3, "Draw a digit".
    """
    about = f"The images are test images ({data.name}), as black and white as the networks saw them."
    small = {label: networks[label] for label in SMALL if label in networks}
    drawn = "The digits to choose from were drawn for this page; they belong to no data set."
    write_text(RUNS / "reader.html", reader_page(networks, test_images(data), probes, about))
    write_text(RUNS / "reader-small.html", reader_page(small or networks, drawn_images(), probes, drawn))


def reader_page(networks: Mapping, images: list[dict], probes: Mapping | None = None, about: str = "") -> str:
    """The whole page as HTML, which loads nothing from anywhere.

    `images` are those of `test_images` or `drawn_images`, `about` is a sentence on them in HTML.
    """
    content = json.dumps(make_content(networks, images, probes), separators=(",", ":")).replace("<", "\\u003c")
    page, style, script = (path.read_text("utf-8") for path in (PAGE, STYLE, SCRIPT))
    page = page.replace("%ABOUT%", about).replace("%CONTENT%", content)
    return page.replace("%STYLE%", style).replace("%SCRIPT%", script)


def test_images(data: Data) -> list[dict]:
    """The first two test images of each class, as the script takes them: label, and 784 bits in base64."""
    places = [np.flatnonzero(data.y_test == digit) for digit in range(10)]
    order = [place[k] for k in range(2) for place in places if len(place) > k]
    return [{"label": int(data.y_test[k]), "pixels": in_base64(np.packbits(data.x_test[k] > 0.1))} for k in order]


def drawn_images() -> list[dict]:
    """A digit of each class as strokes, lists of [x, y] in points of the pad (112 x 112)."""
    return [{"label": digit, "strokes": [_smooth(points) for points in strokes]} for digit, strokes in STROKES.items()]


def make_content(networks: Mapping, images: list[dict], probes: Mapping | None = None) -> dict:
    """All that the script needs, ready for JSON; arguments as for `reader_page`."""
    if not networks:
        raise ValueError("no network to read with: give a dict from label to network")
    return {
        "networks": [_packed(label, model, (probes or {}).get(label)) for label, model in networks.items()],
        "images": images,
        "opening": next((k for k, image in enumerate(images) if image["label"] == OPENING), 0),
        "colors": COLORS | {"g": "#56B4E9", "c": "#888888"},
        "titles": TITLES,
        "viridis": in_base64(plt.get_cmap("viridis")(range(256), bytes=True)[:, :3]),
    }


def _packed(label, model, probe):
    """One network: its weights in Keras's order, float32, little-endian."""
    depth = _depth(model, label)
    weights = model.get_weights()
    packed = {"label": label, "cell": type(model.layers[0]).__name__, "layers": depth}
    packed |= {"shapes": [array.shape for array in weights], "weights": _floats(weights)}
    return packed | ({} if probe is None else {"probe": _floats([probe])})


def _depth(model, label="the network"):
    """How many recurrent layers a network has, or a ValueError if the script can't compute it."""
    configs = [layer.get_config() for layer in model.layers]
    layers = [(type(layer).__name__, c.get("activation")) for layer, c in zip(model.layers, configs, strict=True)]
    cells = [layer for layer in layers if layer in (("LSTM", "tanh"), ("GRU", "tanh"))]
    wanted = [*cells[:1] * len(cells), ("ReLU", None), ("Dense", "relu"), ("Dense", "linear")]
    odd = any(c.get("recurrent_activation", "sigmoid") != "sigmoid" or c.get("go_backwards") for c in configs)
    shapes = model.input_shape[1:], model.output_shape[1:]
    odd |= shapes != ((28, 28), (10,)) or len(model.get_weights()) != 3 * len(cells) + 4
    if not cells or layers != wanted or odd:
        found = ", ".join(name for name, _ in layers)
        raise ValueError(f"{label}: the reader takes LSTMs or GRUs, ReLU, Dense, Dense, as of build_model; got {found}")
    return len(cells)


def _floats(arrays):
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
    layer = _depth(model, label) - 1
    h = trace(model, image[None], layer=layer)["h"]
    chances = softmax(read_out(model, h), axis=-1)[0]
    figure, (left, middle, right) = new_figure((8.5, 2.5), 1, 3, sharey=True)
    draw_digit(left, image, title=f"a {digit}", xlabel="pixel", ylabel=STEP)
    figure.colorbar(draw_classes(middle, chances, title=f"{label}: read out"), ax=middle, label="probability")
    state = draw_steps(right, h[0], -1, 1, title=TITLES["h"], xlabel="hidden unit")
    figure.colorbar(state, ax=right, label=TITLES["h"])
    show_figure(
        figure,
        f"{label} reads a {digit}: the image, the class probabilities and the output h after each row; after the last "
        f"row it says {chances[-1].argmax()}.",
    )
