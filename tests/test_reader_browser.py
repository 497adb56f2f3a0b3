# ruff: noqa: F401, F811 (fixtures are imported, and asked for by name)
"""The reader in real browsers: Chromium through Playwright, Firefox through WebDriver BiDi. Run by `make browser-test`.

Screenshots go to `runs/browser/`, for a person to look at.
"""

import base64
import json
import re
import shutil
import subprocess

import nbformat
import numpy as np
import pytest
from in_node import arrays, script
from test_browser import SHOTS, browser, lab, open_and_run_all
from test_reader import assert_it_computes_what_keras_computes, data, networks, probes

from coursework import reader

pytestmark = pytest.mark.browser

FIREFOX = shutil.which("firefox-esr") or shutil.which("firefox")
SEVEN = [(60, 60), (180, 60), (120, 210)]  # in pixels of the pad
# How long the page works on each movement of the pen: its listeners stand between these two.
TIMED = """
window.times = [];
addEventListener("pointermove", () => (window.began = performance.now()), true);
addEventListener("pointermove", () => window.times.push(performance.now() - window.began));
"""


def as_json(code):
    """An expression whose value is what the statements return, as JSON."""
    return f"(async () => JSON.stringify((await (async () => {{ {code} }})()) ?? null))()"


def draw(page, points):
    page.mouse.move(*points[0])
    page.mouse.down()
    for point in points[1:]:
        page.mouse.move(*point, steps=10)
    page.mouse.up()


class Chromium:
    """A page of its own in Playwright's Chromium, without network."""

    def __init__(self, browser, folder, **options):
        self.context = browser.new_context(**{"offline": True, "viewport": {"width": 1400, "height": 1100}} | options)
        self.page, self.asked, self.errors = self.context.new_page(), [], []
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.on("console", lambda message: message.type == "error" and self.errors.append(message.text))
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))

    def open(self, address):
        self.page.goto(address)

    def run(self, code):
        return json.loads(self.page.evaluate(as_json(code)))

    def draw(self, points):
        draw(self.page, points)

    def shoot(self, name):
        self.page.screenshot(path=SHOTS / name, full_page=True)

    def close(self):
        self.context.close()


class Firefox:
    """A page in Debian's Firefox, over WebDriver BiDi: Playwright drives only a Firefox of its own."""

    def __init__(self, browser, folder):
        import websocket

        if not FIREFOX:
            pytest.skip("no Firefox found: install it to test the reader in it")
        command = [FIREFOX, "--headless", "--no-remote", "--profile", str(folder), "--remote-debugging-port", "0"]
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
        line = next(line for line in self.process.stderr if "BiDi listening" in line)
        address = re.search(r"ws://\S+", line)[0] + "/session"
        self.socket = websocket.create_connection(address, suppress_origin=True, timeout=120)
        self.sent, self.asked, self.errors = 0, [], []
        self.send("session.new", capabilities={})
        self.send("session.subscribe", events=["log.entryAdded", "network.beforeRequestSent"])
        self.tab = self.send("browsingContext.getTree")["contexts"][0]["context"]
        size = {"width": 1400, "height": 1100}
        self.send("browsingContext.setViewport", context=self.tab, viewport=size)

    def send(self, method, **parameters):
        self.sent += 1
        self.socket.send(json.dumps({"id": self.sent, "method": method, "params": parameters}))
        while True:
            message = json.loads(self.socket.recv())
            if message["type"] == "event" and message["method"] == "network.beforeRequestSent":
                self.asked.append(message["params"]["request"]["url"])
            elif message["type"] == "event" and message["params"]["level"] == "error":
                self.errors.append(message["params"]["text"])
            elif message.get("id") == self.sent:
                assert message["type"] == "success", message
                return message["result"]

    def open(self, address):
        self.send("browsingContext.navigate", context=self.tab, url=address, wait="complete")

    def run(self, code):
        target = {"context": self.tab}
        result = self.send("script.evaluate", expression=as_json(code), target=target, awaitPromise=True)
        assert result["type"] == "success", result["exceptionDetails"]["text"]
        return json.loads(result["result"]["value"])

    def draw(self, points):
        (x, y), *others = [(round(x), round(y)) for x, y in points]
        moves = [{"type": "pointerMove", "x": x, "y": y}, {"type": "pointerDown", "button": 0}]
        moves += [{"type": "pointerMove", "x": x, "y": y, "duration": 200} for x, y in others]
        pen = {"type": "pointer", "id": "pen", "actions": [*moves, {"type": "pointerUp", "button": 0}]}
        self.send("input.performActions", context=self.tab, actions=[pen])

    def shoot(self, name):
        shot = self.send("browsingContext.captureScreenshot", context=self.tab, origin="document")
        (SHOTS / name).write_bytes(base64.b64decode(shot["data"]))

    def close(self):
        self.send("browser.close")
        self.socket.close()
        self.process.wait(60)


@pytest.fixture(params=[Chromium, Firefox])
def either(request, browser, tmp_path):
    opened = request.param(browser, tmp_path)
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def page_file(networks, probes, data, tmp_path_factory):
    """The page with all networks and probes, as the report holds it."""
    path = tmp_path_factory.mktemp("a page") / "reader.html"
    path.write_text(reader.reader_page(networks, reader.test_images(data), probes), encoding="utf-8")
    return path


@pytest.fixture
def chromium(browser, page_file, request):
    """The page in Chromium; the test's parameter, if it has one, are the context's options."""
    opened = Chromium(browser, None, **getattr(request, "param", {}))
    opened.open(page_file.as_uri())
    yield opened
    opened.close()
    assert opened.asked == [page_file.as_uri()] and not opened.errors, (opened.asked, opened.errors)


def said(opened):
    return opened.run("return document.querySelector('.reader-say').textContent")


def on_pad(opened, points):
    left, top = opened.run(
        "const box = document.querySelector('.reader-pad').getBoundingClientRect(); return [box.left, box.top]"
    )
    return [(left + x, top + y) for x, y in points]


def ink_read(opened):
    """The image in the first strip, (rows, 28) of bool."""
    values = opened.run(
        "const c = document.querySelector('.reader-image canvas');"
        "return [...c.getContext('2d').getImageData(0, 0, c.width, c.height).data].filter((_, k) => k % 4 === 3)"
    )
    return np.array(values).reshape(-1, 28) > 0


def test_the_same_numbers_as_keras(either, networks, probes, data, tmp_path):
    blank = tmp_path / "blank.html"
    blank.write_text("<!DOCTYPE html><title>blank</title>")
    either.open(blank.as_uri())

    def run(code, content):
        return arrays(either.run(f"return {script(code, content)}"))

    assert_it_computes_what_keras_computes(run, networks, probes, data.x_test[:100])


def test_a_drawing_is_answered_at_once(either, page_file):
    """128 units and 40 steps, from a file, with the network off: nothing is asked of anyone."""
    either.open(page_file.as_uri())
    assert re.match(r"After 10 of 28 rows of this 2, LSTM 32 says \d", said(either))
    either.run(TIMED)
    either.run(
        "const network = document.querySelector('.reader [name=network]'); network.selectedIndex = 2;"
        "network.dispatchEvent(new Event('input', {bubbles: true})); document.querySelector('[type=checkbox]').click()"
    )
    either.draw(on_pad(either, SEVEN))
    times = either.run("return window.times")
    print(f"{type(either).__name__}: {np.median(times):.1f} ms, at most {max(times):.1f} ms per movement of the pen")
    assert len(times) > 5 and np.median(times) < 500  # 50 are asked for; a loaded machine may take longer
    assert said(either).startswith("12 blank rows past the last row")
    assert ink_read(either).shape == (40, 28) and ink_read(either)[:28].any()
    either.shoot(f"reader-{type(either).__name__.lower()}.png")
    assert set(either.asked) <= {page_file.as_uri(), "data:,"}, either.asked  # the second one is the empty icon
    assert not either.errors, either.errors


def test_predict_first_and_by_keyboard_alone(chromium):
    """Choose an image, a network and a row, play to the end; the true row stands beside the guess."""
    page = chromium.page
    reached = []
    for _ in range(60):
        page.keyboard.press("Tab")
        focused = "document.activeElement"
        reached.append(page.evaluate(f"{focused}.getAttribute('aria-label') || {focused}.tagName"))
    for part in ("a 7, image 8", "SELECT", "BUTTON", "rows read", "row after which you expect the answer to stay"):
        assert part in reached, (part, reached)
    page.get_by_role("button", name="a 7, image 8").focus()
    page.keyboard.press("Enter")
    assert "of this 7, LSTM 32 says" in said(chromium)
    page.get_by_label("speed").focus()
    page.keyboard.press("f")
    page.get_by_role("slider", name="row after which").focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    assert "You expect its answer to stay from row 16 on. Press Play" in said(chromium)
    assert page.locator(".reader-mark").all_inner_texts() == ["you 16"]
    page.get_by_role("button", name="Play").focus()
    page.keyboard.press("Enter")
    page.get_by_text("you expected 16").wait_for(timeout=20_000)
    marks = page.locator(".reader-mark").all_inner_texts()
    assert {mark.split()[0] for mark in marks} == {"you", "head", "probe"}
    page.get_by_role("spinbutton", name="hidden unit").focus()
    page.keyboard.press("ArrowUp")
    assert page.locator(".reader-curves").get_attribute("aria-label").startswith("Gates and state of hidden unit 2")


def test_nothing_moves_while_it_plays(chromium):
    page = chromium.page
    page.get_by_label("speed").select_option("fast")
    parts = "[...document.querySelectorAll('.reader figure, .reader button, .reader-curves')]"
    places = f"JSON.stringify({parts}.map(part => part.getBoundingClientRect()))"
    before = page.evaluate(places)
    page.get_by_role("button", name="Play").click()
    for _ in range(10):
        page.wait_for_timeout(100)
        assert page.evaluate(places) == before
    assert said(chromium).startswith("This 2 is read as")


def test_as_drawn_erased_and_longer(chromium):
    """The switches: where the ink is read, how much of it, and for how long."""
    page = chromium.page
    chromium.draw(on_pad(chromium, [(20, 20), (60, 20), (40, 70)]))
    centred = ink_read(chromium)
    assert centred[14].any() and np.nonzero(centred.any(1))[0].max() >= 20
    page.get_by_label("read it").select_option("as drawn")
    drawn = ink_read(chromium)
    assert not drawn[12:].any() and drawn[2].any()
    page.get_by_label("read it").select_option("as MNIST")
    page.get_by_label("erase the last").fill("14")
    assert not ink_read(chromium)[14:].any() and (ink_read(chromium)[:14] == centred[:14]).all()
    page.get_by_label("keep reading").check()
    assert ink_read(chromium).shape == (40, 28)
    page.get_by_label("rows read").fill("40")
    assert said(chromium).startswith("12 blank rows past the last row")


def test_odd_drawings(chromium):
    """Nothing drawn, a point, clicks outside, all ink, no ink in the first rows: always a sentence, never an error."""
    page = chromium.page
    page.get_by_role("button", name="Clear").click()
    assert "There is no ink in any row" in said(chromium)
    assert page.locator(".reader-chances small").first.inner_text()
    page.mouse.click(*on_pad(chromium, [(-40, -10)])[0])
    page.mouse.click(*on_pad(chromium, [(400, 300)])[0])
    assert "There is no ink in any row" in said(chromium)
    page.mouse.click(*on_pad(chromium, [(100, 100)])[0])
    assert said(chromium).startswith("Your drawing is read as")
    chromium.draw(on_pad(chromium, [(100, 100), (900, 240), (-300, 240)]))  # the pen leaves the pad and comes back
    assert said(chromium).startswith("Your drawing is read as")
    page.get_by_label("read it").select_option("as drawn")
    page.get_by_role("button", name="Clear").click()
    chromium.draw(on_pad(chromium, [(x % 2 * 252 + 0.5, x) for x in range(1, 252, 12) for x in (x, x + 1)]))
    assert ink_read(chromium).mean() > 0.9
    page.get_by_role("button", name="Clear").click()
    chromium.draw(on_pad(chromium, [(60, 230), (180, 230)]))
    assert not ink_read(chromium)[:20].any() and said(chromium).startswith("Your drawing is read as")


def test_every_network_opens(chromium):
    page = chromium.page
    for label in page.get_by_role("combobox", name="network").locator("option").all_inner_texts():
        page.get_by_role("combobox", name="network").select_option(label)
        assert f"{label} says" in said(chromium)
        layers = page.get_by_label("layer shown")
        assert layers.is_visible() == ("3 x" in label)
        if layers.is_visible():
            layers.select_option("1")
        page.locator(".reader-units canvas").first.click(position={"x": 5, "y": 50})
        titles = page.locator(".reader-units figcaption").all_inner_texts()
        assert titles[-1] == ("output gate o" if "LSTM" in label else "reset gate r")


@pytest.mark.parametrize(
    ("chromium", "name"),
    [
        ({"viewport": {"width": 1400, "height": 1000}}, "wide"),
        ({"viewport": {"width": 820, "height": 1100}}, "tablet"),
        ({"viewport": {"width": 360, "height": 740}, "has_touch": True, "is_mobile": True}, "phone"),
        ({"viewport": {"width": 1400, "height": 1000}, "color_scheme": "dark"}, "dark"),
    ],
    indirect=["chromium"],
)
def test_it_fits_and_can_be_read(chromium, name):
    page = chromium.page
    assert page.evaluate("document.documentElement.scrollWidth") <= page.viewport_size["width"]
    text = re.findall(r"\d+", page.evaluate("getComputedStyle(document.body).color"))
    assert all(int(part) > 200 if name == "dark" else int(part) < 60 for part in text[:3]), text
    page.get_by_label("rows read").fill("28")
    if name == "phone":
        chromium.run("document.querySelector('.reader-pad').scrollIntoView()")
        touch(chromium, on_pad(chromium, SEVEN))
    chromium.shoot(f"reader-{name}.png")


def touch(chromium, points):
    """A finger that draws on the pad does not move the page."""
    before = chromium.page.evaluate("scrollY")
    session = chromium.context.new_cdp_session(chromium.page)
    for kind, places in [("touchStart", points[:1]), *(("touchMove", [p]) for p in points[1:]), ("touchEnd", [])]:
        fingers = [{"x": x, "y": y} for x, y in places]
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": fingers})
    chromium.page.wait_for_timeout(200)
    assert said(chromium).startswith("Your drawing is read as")
    assert chromium.page.evaluate("scrollY") == before


def test_scripts_off(browser, page_file):
    context = browser.new_context(java_script_enabled=False, offline=True)
    page = context.new_page()
    page.goto(page_file.as_uri())
    assert "needs JavaScript" in page.locator("noscript").inner_text()
    context.close()


CELLS = """import sys
sys.path.insert(0, "..")
import numpy as np
import helpers
from coursework import reader
sizes = [(32, 1), (64, 1), (128, 1), (32, 3)]
eight = [helpers.Experiment(cell, *size) for cell in ("LSTM", "GRU") for size in sizes]
models = {experiment.label: helpers.build_model(experiment) for experiment in eight}
probes = {label: np.zeros((28, model.layers[0].units + 1, 10)) for label, model in models.items()}
###
drawing = reader.draw_and_read(models, helpers.load_data("digits"), probes)
###
print("ink", int(drawing.image.sum()), helpers.trace(models["GRU 32"], drawing.image[None])["h"].shape)"""


def test_the_widget_in_jupyterlab(browser, lab):
    """What is drawn in the notebook is an array in Python, and `trace` takes it; with all eight networks, 2.3 MB."""
    cells = [nbformat.v4.new_code_cell(source) for source in CELLS.split("\n###\n")]
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=kernel), lab[2] / "notebooks" / "reader.ipynb")
    page, complaints = browser.new_page(viewport={"width": 1400, "height": 1200}), []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    open_and_run_all(page, lab, "reader.ipynb")
    last, pad = page.locator(".jp-CodeCell").last, page.locator(".reader-pad")
    pad.wait_for(timeout=60_000)
    pad.scroll_into_view_if_needed()
    assert re.match(r"ink \d+ \(1, 28, 32\)", last.locator(".jp-OutputArea-output").inner_text())
    box = pad.bounding_box()
    draw(page, [(box["x"] + x, box["y"] + y) for x, y in SEVEN])
    page.screenshot(path=SHOTS / "reader-jupyterlab.png")
    assert page.locator(".reader-say").inner_text().startswith("Your drawing is read as")
    ink = page.evaluate(
        "(() => { const c = document.querySelector('.reader-image canvas');"
        "return c.getContext('2d').getImageData(0, 0, 28, 28).data.filter((v, k) => k % 4 === 3 && v > 0).length })()"
    )
    last.locator(".cm-content").click()
    page.keyboard.press("Control+Enter")
    page.get_by_text(f"ink {ink} (1, 28, 32)").wait_for(timeout=60_000)
    assert not complaints, complaints
    page.close()
