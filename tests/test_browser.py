# ruff: noqa: F401, F811 (fixtures are imported, and asked for by name)
"""What a person sees: every notebook in JupyterLab, the report and the reader, in an installed Chromium.

The reader in Firefox too, if there is one. Run by `make browser-test`.

Screenshots go to `runs/browser/`, for a person to look at.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import numpy as np
import pytest
from test_reader import data, networks, probes

import run
from conftest import ROOT, python, wait_for
from coursework import reader

pytestmark = pytest.mark.browser

SHOTS = ROOT / "runs" / "browser"
CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
FIREFOX = shutil.which("firefox-esr") or shutil.which("firefox")
OPTIONS = ["--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]
OPTIONS += ["--disable-component-update", "--disable-sync"]
MINUTES = 20  # for one notebook; the first one that trains takes two or three
# All cells in the page, also those out of sight; no question whether to fetch news from the web.
SETTINGS = """{
  "@jupyterlab/notebook-extension:tracker": {"windowingMode": "none"},
  "@jupyterlab/apputils-extension:notification": {"fetchNews": "false", "checkForUpdates": false}
}"""


@pytest.fixture(scope="session")
def playwright():
    from playwright.sync_api import sync_playwright  # here: without it, the other tests can be collected

    SHOTS.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as started:
        yield started


@pytest.fixture(scope="session")
def browser(playwright):
    if not CHROMIUM:
        pytest.fail("no Chromium found: install it, or name it in the environment variable CHROMIUM")
    options = [*OPTIONS, "--no-sandbox"] if hasattr(os, "geteuid") and os.geteuid() == 0 else OPTIONS
    chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=options)
    yield chromium
    chromium.close()


@pytest.fixture(scope="session")
def firefox(playwright):
    if not FIREFOX:
        pytest.skip("no Firefox found: install it to test the reader in it")
    launched = playwright.firefox.launch(executable_path=FIREFOX, channel="moz-firefox")  # over WebDriver BiDi
    yield launched
    launched.close()


@pytest.fixture(scope="session")
def lab(tmp_path_factory):
    """A JupyterLab over a copy of the bundle, with digits and two epochs: (address, token, folder)."""
    folder = tmp_path_factory.mktemp("lab")
    shutil.copy(ROOT / "helpers.py", folder)
    shutil.copytree(ROOT / "coursework", folder / "coursework")
    (folder / "notebooks").mkdir()
    for path in run.NOTEBOOKS:
        notebook = nbformat.read(path, as_version=4)
        for cell in notebook.cells:
            if cell.cell_type == "code":
                cell.outputs, cell.execution_count = [], None
            if "parameters" in cell.metadata.get("tags", []):
                cell.source = re.sub(r"^epochs = .*$", "epochs = 2", cell.source, flags=re.M)
        nbformat.write(notebook, folder / "notebooks" / path.name)
    settings = folder / "settings"
    settings.mkdir()
    (settings / "overrides.json").write_text(SETTINGS)
    command = [sys.executable, "-m", "jupyter", "lab", "--no-browser", "--allow-root", "--ip=127.0.0.1"]
    command += [f"--ServerApp.root_dir={folder}", f"--LabApp.app_settings_dir={settings}"]
    places = {"COURSEWORK_RUNS": "runs", "JUPYTERLAB_WORKSPACES_DIR": "workspaces", "JUPYTER_RUNTIME_DIR": "runtime"}
    places = {name: str(folder / place) for name, place in places.items()}
    with open(folder / "lab.log", "w") as log:
        environment = os.environ | places | {"COURSEWORK_DATA": "digits"}
        server = subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log)
    try:  # it writes down where it listens
        told = wait_for(lambda: "".join(path.read_text() for path in folder.glob("runtime/jpserver-*.json")))
        yield json.loads(told)["url"], json.loads(told)["token"], folder
    finally:
        server.terminate()
        server.wait(30)


ERROR = "[data-mime-type='application/vnd.jupyter.error']"


def open_and_run_all(page, lab, name):
    """Open a notebook, choose 'Run All Cells', and return the texts that the progress bars showed on the way."""
    address, token, folder = lab
    code = [cell for cell in nbformat.read(folder / "notebooks" / name, as_version=4).cells if cell.cell_type == "code"]
    page.goto(f"{address}lab/tree/notebooks/{name}?token={token}&reset")
    ready = "document.querySelector('.jp-Notebook-ExecutionIndicator')?.dataset.status === 'idle'"
    ready += f" && document.querySelectorAll('.jp-CodeCell').length === {len(code)}"
    for _ in range(4):  # the kernel is idle for a moment before it connects
        page.wait_for_function(ready, timeout=120_000)
        page.wait_for_timeout(1500)
    page.click("#jp-MainMenu >> text=Run")
    page.click(".lm-Menu-itemLabel >> text=/^Run All Cells$/")
    seen, end = [], time.monotonic() + 60 * MINUTES
    without_number = "cell => !/\\[\\d+\\]/.test(cell.querySelector('.jp-InputPrompt')?.textContent || '')"
    while page.evaluate(f"[...document.querySelectorAll('.jp-CodeCell')].some({without_number})"):
        assert time.monotonic() < end, f"{name} is still running"
        failed = page.query_selector(ERROR)
        assert not failed, failed.inner_text()
        for bar in page.query_selector_all(".jupyter-widgets.widget-hbox"):
            text = bar.inner_text()
            if "epoch" in text and text not in seen:
                bar.scroll_into_view_if_needed()
                page.screenshot(path=SHOTS / f"{Path(name).stem}-training.png")
                seen.append(text)
        page.wait_for_timeout(500)
    return seen


def look(page, name):
    """A screenshot for each screenful of the notebook."""
    for place, cell in enumerate(page.query_selector_all(".jp-Notebook .jp-Cell")):
        if place % 12 == 0:
            cell.scroll_into_view_if_needed()
            page.wait_for_timeout(300)
            page.screenshot(path=SHOTS / f"{Path(name).stem}-{place:03}.png")


@pytest.mark.parametrize("name", [path.name for path in run.NOTEBOOKS])
def test_run_all_in_jupyterlab(browser, lab, name):
    page = browser.new_page(viewport={"width": 1400, "height": 1000})
    complaints = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    bars = open_and_run_all(page, lab, name)
    look(page, name)
    assert not page.query_selector_all(f"{ERROR}, [data-mime-type='application/vnd.jupyter.stderr']")
    assert not page.query_selector_all("mjx-merror, .MathJax_Error")
    assert "error displaying widget" not in page.inner_text(".jp-Notebook").lower()
    if name.startswith("01"):
        assert page.query_selector_all("mjx-container")  # equations are drawn
        moves_with_its_slider(page)
    if name.startswith("02"):  # the bar fills, and says how long it will take
        counts = {}  # by the bar's total: one bar for each sweep, the eight networks first
        for done, total in (pair for text in bars for pair in re.findall(r"(\d+)/(\d+)\s\[", text)):
            counts.setdefault(total, []).append(int(done))
        total = max(counts, key=int)
        eight = counts[total][: counts[total].index(int(total)) + 1]  # a later sweep may have as many epochs
        assert eight == sorted(eight) and len(set(eight)) > 2, bars
        assert any(re.search(r"\[\d+:\d+<\d+:\d+", text) for text in bars), bars
    page.close()
    assert not complaints, complaints


def moves_with_its_slider(page):
    picture, slider = page.query_selector(".jupyter-widgets img"), page.query_selector(".widget-slider .noUi-handle")
    slider.scroll_into_view_if_needed()
    before = picture.get_attribute("src")
    slider.focus()
    for _ in range(6):
        page.keyboard.press("ArrowRight")
    page.wait_for_function("([img, old]) => img.src !== old", arg=[picture, before], timeout=60_000)
    page.wait_for_timeout(1500)
    page.screenshot(path=SHOTS / "playground.png")


def test_the_report_without_network(browser, lab):
    """Opened from disk with the network off: everything is drawn, and nothing is asked of the web."""
    result = python("run.py", "--data", "digits", "--epochs", 2, COURSEWORK_RUNS=str(lab[2] / "runs"))
    assert result.returncode == 0, result.stderr
    folder = lab[2] / "runs" / "report"
    context = browser.new_context(offline=True, viewport={"width": 1280, "height": 900})
    page, asked = context.new_page(), []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: asked.append(message.text))
    page.goto((folder / "index.html").as_uri())
    page.screenshot(path=SHOTS / "report.png")
    assert page.locator("td", has_text="GRU 3 x 32").count() == 1
    pages = page.eval_on_selector_all(".notebooks a", "links => links.map(link => link.href)")
    assert len(pages) == 3
    for address in pages:
        page.goto(address)
        name = Path(address).stem
        page.screenshot(path=SHOTS / f"report-{name}.png")
        images = page.eval_on_selector_all("img", "all => all.map(i => [i.naturalWidth, i.alt.length])")
        assert images and all(width > 100 and length > 20 for width, length in images)
        sizes = page.eval_on_selector_all("math", "all => all.map(m => m.getBoundingClientRect().width)")
        assert sizes or name.startswith("02"), "no equations"
        assert all(width > 3 for width in sizes)
        left = page.evaluate("document.body.innerText.match(/\\\\\\\\(frac|sigma|tanh|begin)|\\\\$[a-z]/g)")
        assert not left, left
        if page.locator("mtd").count():
            page.locator("mtd").first.scroll_into_view_if_needed()
            page.screenshot(path=SHOTS / f"report-{name}-equations.png")
        assert page.evaluate("document.documentElement.scrollWidth") <= 1280
    assert all(url.startswith(("file:", "data:")) for url in asked), asked
    context.close()


# ------------------------------------------------------------------------------------------------------------ reader
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
