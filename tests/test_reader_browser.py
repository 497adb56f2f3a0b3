# ruff: noqa: F401, F811 (fixtures are imported, and asked for by name)
"""The reader in real browsers: an installed Chromium, and Firefox if there is one. Run by `make browser-test`.

Screenshots go to `runs/browser/`, for a person to look at.
"""

import re
import shutil

import nbformat
import numpy as np
import pytest
from test_browser import SHOTS, browser, lab, open_and_run_all, playwright
from test_reader import data, networks, probes

from coursework import reader

pytestmark = pytest.mark.browser

FIREFOX = shutil.which("firefox-esr") or shutil.which("firefox")
SEVEN = [(60, 60), (180, 60), (120, 210)]  # in pixels of the pad
DESK = {"viewport": {"width": 1400, "height": 1000}}
# How long the page works on each movement of the pen: its listeners stand between these two.
TIMED = """(() => {
window.times = [];
addEventListener("pointermove", () => (window.began = performance.now()), true);
addEventListener("pointermove", () => window.times.push(performance.now() - window.began));
})()"""
INK = """(() => {
const c = document.querySelector('.reader-image canvas');
return [...c.getContext('2d').getImageData(0, 0, c.width, c.height).data].filter((_, k) => k % 4 === 3);
})()"""


@pytest.fixture(scope="session")
def firefox(playwright):
    if not FIREFOX:
        pytest.skip("no Firefox found: install it to test the reader in it")
    launched = playwright.firefox.launch(executable_path=FIREFOX, channel="moz-firefox")  # over WebDriver BiDi
    yield launched
    launched.close()


@pytest.fixture(scope="module")
def page_file(networks, probes, data, tmp_path_factory):
    """The page with all networks and probes, as the report holds it."""
    path = tmp_path_factory.mktemp("a page") / "reader.html"
    path.write_text(reader.reader_page(networks, reader.test_images(data), probes), encoding="utf-8")
    return path


@pytest.fixture
def page(page_file, request):
    """The page from a file, without network; the test's parameter, if it has one: (browser, options of its context).

    Whatever a test does there, nothing is asked of anyone and no script fails.
    """
    name, options = getattr(request, "param", ("browser", DESK))
    context = request.getfixturevalue(name).new_context(offline=True, **options)
    page, asked, errors = context.new_page(), [], []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: message.type == "error" and errors.append(message.text))
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(page_file.as_uri())
    yield page
    context.close()
    assert set(asked) <= {page_file.as_uri(), "data:,"} and not errors, (asked, errors)  # "data:,": the empty icon


def said(page):
    return page.locator(".reader-say").inner_text()


def on_pad(page, points):
    box = page.locator(".reader-pad").bounding_box()
    return [(box["x"] + x, box["y"] + y) for x, y in points]


def draw(page, points):
    first, *others = on_pad(page, points)
    page.mouse.move(*first)
    page.mouse.down()
    for point in others:
        page.mouse.move(*point, steps=10)
    page.mouse.up()


def ink_read(page):
    """The image in the first strip, (rows, 28) of bool."""
    return np.array(page.evaluate(INK)).reshape(-1, 28) > 0


@pytest.mark.parametrize("page", [("browser", DESK), ("firefox", DESK)], indirect=True, ids=["Chromium", "Firefox"])
def test_a_drawing_is_answered_at_once(page, request):
    """128 units and 40 steps."""
    assert re.match(r"After 10 of 28 rows of this 2, LSTM 32 says \d", said(page))
    page.evaluate(TIMED)
    page.get_by_role("combobox", name="network").select_option("LSTM 128")
    page.get_by_label("keep reading").check()
    draw(page, SEVEN)
    times = page.evaluate("window.times")
    print(f"{np.median(times):.1f} ms, at most {max(times):.1f} ms per movement of the pen")
    assert len(times) > 5 and np.median(times) < 500  # 50 are asked for; a loaded machine may take longer
    assert said(page).startswith("12 blank rows past the last row")
    assert ink_read(page).shape == (40, 28) and ink_read(page)[:28].any()
    page.screenshot(path=SHOTS / f"reader-{request.node.callspec.id}.png", full_page=True)


def test_predict_first_and_by_keyboard_alone(page):
    """Choose an image, a network and a row, play to the end; the true row stands beside the guess."""
    reached = []
    for _ in range(60):
        page.keyboard.press("Tab")
        focused = "document.activeElement"
        reached.append(page.evaluate(f"{focused}.getAttribute('aria-label') || {focused}.tagName"))
    for part in ("a 7, image 8", "SELECT", "BUTTON", "rows read", "row after which you expect the answer to stay"):
        assert part in reached, (part, reached)
    page.get_by_role("button", name="a 7, image 8").press("Enter")
    assert "of this 7, LSTM 32 says" in said(page)
    page.get_by_label("speed").press("f")
    page.get_by_role("slider", name="row after which").press("ArrowDown")
    page.keyboard.press("ArrowDown")
    assert "You expect its answer to stay from row 16 on. Press Play" in said(page)
    assert page.locator(".reader-mark").all_inner_texts() == ["you 16"]
    page.get_by_role("button", name="Play").press("Enter")
    page.get_by_text("you expected 16").wait_for(timeout=20_000)
    marks = page.locator(".reader-mark").all_inner_texts()
    assert {mark.split()[0] for mark in marks} == {"you", "head", "probe"}
    page.get_by_role("spinbutton", name="hidden unit").press("ArrowUp")
    assert page.locator(".reader-curves").get_attribute("aria-label").startswith("Gates and state of hidden unit 2")


def test_nothing_moves_while_it_plays(page):
    page.get_by_label("speed").select_option("fast")
    parts = "[...document.querySelectorAll('.reader figure, .reader button, .reader-curves')]"
    places = f"JSON.stringify({parts}.map(part => part.getBoundingClientRect()))"
    before = page.evaluate(places)
    page.get_by_role("button", name="Play").click()
    for _ in range(10):
        page.wait_for_timeout(100)
        assert page.evaluate(places) == before
    assert said(page).startswith("This 2 is read as")


def test_as_drawn_erased_and_longer(page):
    """The switches: where the ink is read, how much of it, and for how long."""
    draw(page, [(20, 20), (60, 20), (40, 70)])
    centred = ink_read(page)
    assert centred[14].any() and np.nonzero(centred.any(1))[0].max() >= 20
    page.get_by_label("read it").select_option("as drawn")
    drawn = ink_read(page)
    assert not drawn[12:].any() and drawn[2].any()
    page.get_by_label("read it").select_option("as MNIST")
    page.get_by_label("erase the last").fill("14")
    assert not ink_read(page)[14:].any() and (ink_read(page)[:14] == centred[:14]).all()
    page.get_by_label("keep reading").check()
    page.get_by_label("rows read").fill("40")
    assert ink_read(page).shape == (40, 28) and said(page).startswith("12 blank rows past the last row")


def test_odd_drawings(page):
    """Nothing drawn, a point, clicks outside, all ink, no ink in the first rows: always a sentence, never an error."""
    page.get_by_role("button", name="Clear").click()
    for place in on_pad(page, [(-40, -10), (400, 300)]):
        page.mouse.click(*place)
    assert "There is no ink in any row" in said(page) and page.locator(".reader-chances small").first.inner_text()
    page.mouse.click(*on_pad(page, [(100, 100)])[0])
    assert said(page).startswith("Your drawing is read as")
    draw(page, [(100, 100), (900, 240), (-300, 240)])  # the pen leaves the pad and comes back
    assert said(page).startswith("Your drawing is read as")
    page.get_by_label("read it").select_option("as drawn")
    page.get_by_role("button", name="Clear").click()
    draw(page, [(x % 2 * 252 + 0.5, x) for x in range(1, 252, 12) for x in (x, x + 1)])
    assert ink_read(page).mean() > 0.9
    page.get_by_role("button", name="Clear").click()
    draw(page, [(60, 230), (180, 230)])
    assert not ink_read(page)[:20].any() and said(page).startswith("Your drawing is read as")


def test_every_network_opens(page):
    for label in page.get_by_role("combobox", name="network").locator("option").all_inner_texts():
        page.get_by_role("combobox", name="network").select_option(label)
        assert f"{label} says" in said(page)
        layers = page.get_by_label("layer shown")
        assert layers.is_visible() == ("3 x" in label)
        if layers.is_visible():
            layers.select_option("1")
        page.locator(".reader-units canvas").first.click(position={"x": 5, "y": 50})
        titles = page.locator(".reader-units figcaption").all_inner_texts()
        assert titles[-1] == ("output gate o" if "LSTM" in label else "reset gate r")


SCREENS = {
    "wide": DESK,
    "tablet": {"viewport": {"width": 820, "height": 1100}},
    "phone": {"viewport": {"width": 360, "height": 740}, "has_touch": True, "is_mobile": True},
    "dark": DESK | {"color_scheme": "dark"},
}


@pytest.mark.parametrize(
    ("page", "name"), [(("browser", options), name) for name, options in SCREENS.items()], indirect=["page"]
)
def test_it_fits_and_can_be_read(page, name):
    assert page.evaluate("document.documentElement.scrollWidth") <= page.viewport_size["width"]
    text = re.findall(r"\d+", page.evaluate("getComputedStyle(document.body).color"))
    assert all(int(part) > 200 if name == "dark" else int(part) < 60 for part in text[:3]), text
    page.get_by_label("rows read").fill("28")
    if name == "phone":
        touch(page)
    page.screenshot(path=SHOTS / f"reader-{name}.png", full_page=True)


def touch(page):
    """A finger that draws on the pad does not move the page."""
    page.locator(".reader-pad").evaluate("pad => pad.scrollIntoView()")
    first, *others = on_pad(page, SEVEN)
    before = page.evaluate("scrollY")
    session = page.context.new_cdp_session(page)
    for kind, places in [("touchStart", [first]), *(("touchMove", [place]) for place in others), ("touchEnd", [])]:
        fingers = [{"x": x, "y": y} for x, y in places]
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": fingers})
    page.wait_for_timeout(200)
    assert said(page).startswith("Your drawing is read as") and page.evaluate("scrollY") == before


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
sizes = [(32, 1), (64, 1), (128, 1), (32, 3)]
eight = [helpers.Experiment(cell, *size) for cell in ("LSTM", "GRU") for size in sizes]
models = {experiment.label: helpers.build_model(experiment) for experiment in eight}
probes = {label: np.zeros((28, model.layers[0].units + 1, 10)) for label, model in models.items()}
###
drawing = helpers.draw_and_read(models, helpers.load_data("digits"), probes)
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
    draw(page, SEVEN)
    page.screenshot(path=SHOTS / "reader-jupyterlab.png")
    assert said(page).startswith("Your drawing is read as")
    ink = int(ink_read(page)[:28].sum())
    last.locator(".cm-content").click()
    page.keyboard.press("Control+Enter")
    page.get_by_text(f"ink {ink} (1, 28, 32)").wait_for(timeout=60_000)
    assert not complaints, complaints
    page.close()
