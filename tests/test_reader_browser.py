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
from test_browser import SHOTS, axe, browser, lab, open_and_run_all, violations
from test_reader import assert_it_computes_what_keras_computes, data, networks, probes

from coursework import playground, reader
from coursework.cells import CELLS
from coursework.trace import trace

pytestmark = pytest.mark.browser

FIREFOX = shutil.which("firefox-esr") or shutil.which("firefox")
SEVEN = [(0.25, 0.25), (0.7, 0.25), (0.5, 0.85)]  # in shares of the pad
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
        self.context = browser.new_context(
            **{"offline": True, "viewport": {"width": 1400, "height": 1100}} | options
        )
        self.page, self.asked, self.errors = self.context.new_page(), [], []
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.on(
            "console", lambda message: message.type == "error" and self.errors.append(message.text)
        )
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
        command = [
            FIREFOX,
            "--headless",
            "--no-remote",
            "--profile",
            str(folder),
            "--remote-debugging-port",
            "0",
        ]
        self.process = subprocess.Popen(
            command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
        )
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
        result = self.send(
            "script.evaluate", expression=as_json(code), target=target, awaitPromise=True
        )
        assert result["type"] == "success", result["exceptionDetails"]["text"]
        return json.loads(result["result"]["value"])

    def draw(self, points):
        (x, y), *others = [(round(x), round(y)) for x, y in points]
        moves = [{"type": "pointerMove", "x": x, "y": y}, {"type": "pointerDown", "button": 0}]
        moves += [{"type": "pointerMove", "x": x, "y": y, "duration": 200} for x, y in others]
        pen = {
            "type": "pointer",
            "id": "pen",
            "actions": [*moves, {"type": "pointerUp", "button": 0}],
        }
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
def learned(networks, data):
    return reader.learning(networks, {"GRU 32": dict.fromkeys((1, 2, 3), networks["GRU 32"])}, data)


@pytest.fixture(scope="module")
def page_file(networks, probes, data, learned, tmp_path_factory):
    """The page with all networks and probes, as the report holds it."""
    path = tmp_path_factory.mktemp("a page") / "reader.html"
    page = reader.reader_page(networks, reader.test_images(data), probes, "", learned)
    path.write_text(page, encoding="utf-8")
    return path


@pytest.fixture
def chromium(browser, page_file, request):
    """The page in Chromium; the test's parameter, if it has one, are the context's options."""
    opened = Chromium(browser, None, **{"reduced_motion": "reduce"} | getattr(request, "param", {}))
    opened.open(page_file.as_uri())
    yield opened
    opened.close()
    asked = {address.partition("#")[0] for address in opened.asked}
    assert asked == {page_file.as_uri()} and not opened.errors, (opened.asked, opened.errors)


moving = pytest.mark.parametrize("chromium", [{"reduced_motion": "no-preference"}], indirect=True)


def part(name):
    return f"[data-part={name}]"


def text(opened, selector):
    return opened.run(f"return document.querySelector({selector!r}).textContent")


def said(opened):
    return text(opened, ".reader-say")


def on_pad(opened, points):
    left, top, width, height = opened.run(
        "const box = document.querySelector('[data-part=pad]').getBoundingClientRect();"
        "return [box.left, box.top, box.width, box.height]"
    )
    return [(left + width * x, top + height * y) for x, y in points]


def ink_read(opened):
    """The image that is read, (rows, 28) of bool."""
    values = opened.run(
        "const c = document.querySelector('.reader-image');"
        "return [...c.getContext('2d').getImageData(0, 0, c.width, c.height).data].filter((_, k) => k % 4 === 0)"
    )
    return np.array(values).reshape(-1, 28) < 255


def rows_read(opened):
    return int(opened.run("return document.querySelector('[data-part=row]').value"))


def choose(opened, selector, value):
    opened.page.locator(selector).select_option(value)


def slide(opened, selector, value):
    opened.page.locator(selector).fill(str(value))


def test_the_same_numbers_as_keras(either, networks, probes, data, tmp_path):
    blank = tmp_path / "blank.html"
    blank.write_text("<!DOCTYPE html><title>blank</title>")
    either.open(blank.as_uri())

    def run(code, content):
        return arrays(either.run(f"return {script(code, content)}"))

    assert_it_computes_what_keras_computes(run, networks, probes, data.x_test[:20])


def test_a_drawing_is_answered_at_once(either, page_file):
    """128 units and 40 steps, from a file, with the network off: nothing is asked of anyone."""
    either.open(page_file.as_uri())
    either.run(TIMED)
    either.run(
        "const network = document.querySelector('[data-part=network]'); network.selectedIndex = 6;"
        "network.dispatchEvent(new Event('input', {bubbles: true}));"
        "document.querySelector('[name=longer]').click()"
    )
    either.draw(on_pad(either, SEVEN))
    times = either.run("return window.times")
    print(
        f"{type(either).__name__}: {np.median(times):.1f} ms, at most {max(times):.1f} ms per movement of the pen"
    )
    assert (
        len(times) > 5 and np.median(times) < 500
    )  # 16 are asked for; a loaded machine may take longer
    assert ink_read(either).shape == (40, 28) and ink_read(either)[:28].any()
    either.shoot(f"reader-{type(either).__name__.lower()}.png")
    asked = {
        address.partition("#")[0] for address in either.asked if not address.startswith("data:")
    }
    assert asked <= {page_file.as_uri()}, (
        either.asked
    )  # the empty icon, and Firefox's own font, are data
    assert not either.errors, either.errors


@moving
def test_lift_the_pen_and_it_plays(chromium):
    """The line sweeps over the drawing by itself; a second stroke stops it, the last one is read to the end."""
    chromium.draw(on_pad(chromium, SEVEN[:2]))
    chromium.draw(on_pad(chromium, SEVEN[1:]))
    seen = set()
    for _ in range(200):
        seen.add(rows_read(chromium))
        if 28 in seen and len(seen) > 3:
            break
        chromium.page.wait_for_timeout(25)
    assert 28 in seen and len(seen) > 3
    chromium.page.get_by_text("Your drawing is read as").wait_for(timeout=20_000)


def test_reduced_motion_shows_the_end_at_once(chromium):
    chromium.draw(on_pad(chromium, SEVEN))
    assert rows_read(chromium) == 28 and said(chromium).startswith("Your drawing is read as")


SIZES = {
    "phone": {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True},
    "tablet": {"viewport": {"width": 768, "height": 1024}},
    "laptop": {"viewport": {"width": 1280, "height": 650}},
    "hall": {"viewport": {"width": 1536, "height": 864}, "device_scale_factor": 1.25},
    "dark": {"viewport": {"width": 1280, "height": 650}, "color_scheme": "dark"},
    "contrast": {
        "viewport": {"width": 1280, "height": 650},
        "color_scheme": "dark",
        "forced_colors": "active",
    },
}
ON_SCREEN = {
    "phone": (700, ["pad", "answer", "bars"]),
    "laptop": (600, ["pad", "answer", "bars", "row", "play"]),
}


@pytest.mark.parametrize(
    ("chromium", "name"), [(SIZES[n], n) for n in SIZES], indirect=["chromium"]
)
def test_it_fits_and_can_be_read(chromium, name):
    page = chromium.page
    assert page.evaluate("document.documentElement.scrollWidth") <= page.viewport_size["width"]
    height, parts = ON_SCREEN.get(name, (0, []))
    for each in parts:
        box = page.locator(part(each)).bounding_box()
        assert box["y"] >= 0 and box["y"] + box["height"] <= height, (each, box)
    if name in ("laptop", "hall"):  # all that moves, strips too
        bottoms = page.eval_on_selector_all(
            ".reader-strip", "all => all.map(s => s.getBoundingClientRect().bottom)"
        )
        assert max(bottoms) <= 600 if name == "laptop" else 864
        widths = page.eval_on_selector_all(
            ".reader-strip", "all => all.map(s => s.getBoundingClientRect().width)"
        )
        assert max(widths) - min(widths) < 1
    paper = chromium.run(
        "const c = document.querySelector('.reader-image');return [...c.getContext('2d').getImageData(0, 0, 1, 1).data]"
    )
    assert paper == [255] * 4  # ink on paper, whatever the colours of the screen
    chromium.shoot(f"reader-{name}.png")


@pytest.mark.parametrize("chromium", [{"viewport": {"width": 1280, "height": 600}}], indirect=True)
@pytest.mark.parametrize("other", ["none", "LSTM 32"])
def test_600_pixels_hold_all_that_moves(chromium, other):
    """Strips, holds, controls and the digits to choose from, also with two networks; nothing is cut."""
    page = chromium.page
    choose(chromium, part("network"), "GRU 32")
    choose(chromium, "[name=other]", other)
    places = ".reader-strip, .reader-hold, .reader-answer, .reader-sheet, .reader-controls, .reader-images"
    bottoms = page.eval_on_selector_all(
        places, "all => all.map(each => each.getBoundingClientRect().bottom)"
    )
    assert max(bottoms) <= 600
    chromium.shoot(f"reader-600-{other}.png")


def test_each_canvas_has_its_table(chromium, networks, data):
    """The table that a canvas names has the numbers that trace gives, of each unit, and follows what is done."""
    page = chromium.page
    choose(chromium, part("network"), "GRU 32")
    page.get_by_role("radio", name="a 3, image 4").click()
    page.locator("summary", has_text="One unit").click()
    choose(chromium, "[name=line]", "update gate z")
    page.wait_for_timeout(300)
    named = page.eval_on_selector_all(
        ".reader canvas:not(.reader-images canvas)",
        "all => all.map(c => c.getAttribute('aria-details'))",
    )
    assert len(named) >= 7 and all(page.locator(f"#{each}").count() == 1 for each in named)

    def numbers(title):
        cells = "all => all.map(row => [...row.querySelectorAll('td')].map(td => td.textContent))"
        return page.locator(f"details:has(> summary:text-is('{title}')) tbody tr").evaluate_all(
            cells
        )

    x = data.x_test[np.flatnonzero(data.y_test == 3)[:1]]
    traced = trace(networks["GRU 32"], x)
    assert (np.array(numbers("The image that is read"), float) == x[0]).all()
    shown = np.array(numbers("GRU 32: reset gate r"), float)
    assert np.abs(shown - traced["r"][0]).max() <= 0.0051
    signed = [[text.replace("\u2212", "-") for text in row] for row in numbers("GRU 32: output h")]
    assert np.abs(np.array(signed, float) - traced["h"][0]).max() <= 0.0051
    weights = numbers("The weights that meet a row")
    assert np.array(weights[0], float).tolist() == x[0, -1].tolist() and len(weights[1]) == 28
    slide(chromium, part("hold-z"), 0.25)
    page.wait_for_timeout(300)
    assert set(np.ravel(numbers("GRU 32: update gate z"))) == {"0.25"}


def test_every_control_has_a_name(chromium):
    """As a screen reader is told it: the accessibility tree, with all folds open."""
    page = chromium.page
    page.evaluate("for (const fold of document.querySelectorAll('details')) fold.open = true")
    page.get_by_role("button", name="Tell the story").click()
    page.get_by_text("No row is read yet: press Step.").wait_for()
    tree = page.locator(".reader").aria_snapshot()
    kinds = "button|combobox|slider|spinbutton|checkbox|radio|application|img|region|group"
    controls = re.findall(rf"^ *- ((?:{kinds})\b.*)$", tree, re.M)
    assert len(controls) > 40
    unnamed = [control for control in controls if '"' not in control and "group" not in control]
    assert not unnamed, unnamed
    assert len(re.findall(r"^ *- status", tree, re.M)) == 1  # one live region


def test_one_announcement_a_row(chromium):
    page = chromium.page
    page.evaluate("""
      window.heard = [];
      for (const live of document.querySelectorAll("[aria-live], [role=status], output")) {
        const hear = new MutationObserver(() => window.heard.push(live.textContent));
        hear.observe(live, { childList: true, subtree: true, characterData: true });
      }""")
    slide(chromium, part("row"), 3)
    page.locator(part("row")).focus()
    for _ in range(4):
        page.keyboard.press("ArrowDown")
        page.wait_for_timeout(150)
    heard = page.evaluate("window.heard")
    assert [text.partition(":")[0] for text in heard] == [f"Row {row}" for row in (3, 4, 5, 6, 7)]


def test_the_playground_moves_with_the_slider(browser, tmp_path):
    """A gate is moved at each of 120 frames: all is drawn again and both tasks are checked, well within a frame."""
    content = json.dumps(playground._content(np.eye(28), [CELLS["LSTM"]]))
    page = reader.PAGE.read_text("utf-8").replace("%CONTENT%", content.replace("<", "\\u003c"))
    page = page.replace("%STYLE%", reader.STYLE.read_text("utf-8")).replace(
        "%SCRIPT%", reader.script()
    )
    (tmp_path / "playground.html").write_text(page, encoding="utf-8")
    opened = Chromium(browser, None)
    opened.open((tmp_path / "playground.html").as_uri())
    frames = opened.run("""
      const slider = document.querySelector("[data-part=hold-f]"), times = [], starts = [];
      for (let k = 0; k < 120; k++) {
        starts.push(await new Promise(requestAnimationFrame));
        const start = performance.now();
        slider.value = (k % 100) / 100;
        slider.dispatchEvent(new Event("input", { bubbles: true }));
        document.body.offsetHeight;
        times.push(performance.now() - start);
      }
      return { times, gaps: starts.slice(1).map((start, k) => start - starts[k]) };""")
    work, gap = np.median(frames["times"]), np.median(frames["gaps"])
    print(f"playground: {work:.1f} ms of work a frame, {1000 / gap:.0f} frames a second")
    assert text(opened, ".reader-hold span") and len(frames["times"]) == 120
    assert work < 160  # a frame has 16.7; a loaded machine may take longer
    opened.close()


@pytest.mark.parametrize("chromium", [SIZES["phone"]], indirect=True)
def test_fingers(chromium):
    """One finger draws without moving the page; a second one draws nothing, and its lifting ends nothing."""
    session = chromium.context.new_cdp_session(chromium.page)
    points = on_pad(chromium, [(0.5, 0.1), (0.5, 0.3), (0.5, 0.5), (0.5, 0.7), (0.5, 0.9)])
    other = on_pad(chromium, [(0.1, 0.9), (0.2, 0.8)])

    def touch(kind, *fingers):
        points = [{"x": x, "y": y, "id": number} for number, (x, y) in enumerate(fingers)]
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    def strokes(with_second_finger):
        chromium.page.get_by_role("button", name="Clear").click()
        touch("touchStart", points[0])
        for k, point in enumerate(points[1:]):
            if with_second_finger and k == 1:
                touch("touchStart", point, other[0])
                touch("touchMove", point, other[1])
                touch("touchEnd", point)
            touch("touchMove", point)
        touch("touchEnd")
        return ink_read(chromium)

    before = chromium.page.evaluate("scrollY")
    alone = strokes(False)
    assert alone.any(1).sum() >= 18 and (strokes(True) == alone).all()
    assert chromium.page.evaluate("scrollY") == before


def test_gates_are_held(chromium):
    """Bars, strips and answer follow at once; the button sets the gate free; what is held survives another network."""
    page = chromium.page
    choose(chromium, part("network"), "GRU 32")
    before = text(chromium, part("bars"))
    slide(chromium, part("hold-z"), 1)
    held = text(chromium, part("bars"))
    assert held != before
    pixels = chromium.run(
        "const c = [...document.querySelectorAll('.reader-units')].find((f) => f.textContent.includes('update gate'))"
        ".querySelector('canvas'); return [...c.getContext('2d').getImageData(0, 0, c.width, c.height).data]"
    )
    assert len(set(np.array(pixels).reshape(-1, 4)[:, 0])) == 1  # one value everywhere
    assert text(chromium, ".reader-hold span") == "1.00"
    choose(chromium, part("network"), "LSTM 32")
    choose(chromium, part("network"), "GRU 32")
    assert text(chromium, part("bars")) == held
    page.get_by_role("button", name="set update gate z free").click()
    assert text(chromium, part("bars")) == before


def test_another_network_keeps_all_else(chromium):
    page = chromium.page
    chromium.draw(on_pad(chromium, SEVEN))
    drawn = ink_read(chromium)
    slide(chromium, part("row"), 13)
    for label in page.locator(part("network")).locator("option").all_inner_texts():
        choose(chromium, part("network"), label)
        assert rows_read(chromium) == 13 and (ink_read(chromium) == drawn).all()
        assert label in text(chromium, part("answer"))
        layers = page.locator("[name=layer]")
        assert layers.is_visible() == ("3 x" in label)
        if layers.is_visible():
            layers.select_option("1")
    choose(chromium, "[name=other]", "GRU 32")
    both = text(chromium, part("answer"))
    assert "GRU 32" in both and "GRU 3 x 32" in both
    assert page.locator(".reader-group").count() == 2


def test_guesses_and_their_score(chromium):
    page = chromium.page
    page.get_by_role("radio", name="a 7, image 8").click()
    page.get_by_role("button", name="Guess the row").click()
    assert rows_read(chromium) == 0 and not text(chromium, part("bars")).count(".")
    page.mouse.click(*on_pad(chromium, [(0.5, 15.5 / 28)])[0])
    assert "you expected 16" in said(chromium)
    assert text(chromium, ".reader-score").startswith("1 of 10 guesses:")
    page.get_by_role("radio", name="a 4, image 5").click()  # the round goes on
    page.locator(part("pad")).focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    assert "you expected 15" in said(chromium)
    assert text(chromium, ".reader-score").startswith("2 of 10 guesses:")
    marks = page.locator(".reader-mark").all_inner_texts()
    assert {mark.split()[0] for mark in marks} == {"you", "head", "probe"}


def test_a_digit_drawn_by_keyboard(chromium):
    """Space sets the pen down, arrows move it, space lifts it; the drawing is the one of the mouse."""
    page = chromium.page
    page.locator(part("pad")).focus()
    for key in ["PageUp", *["ArrowDown"] * 6, " ", *["ArrowDown"] * 15, " "]:
        page.keyboard.press(key)
    by_keys = ink_read(chromium)
    assert said(chromium).startswith("Your drawing is read as") and by_keys.any(1).sum() >= 19
    page.get_by_role("button", name="Clear").click()
    chromium.draw(on_pad(chromium, [(14.5 / 28, 6.5 / 28), (14.5 / 28, 21.5 / 28)]))
    assert (ink_read(chromium) == by_keys).all()
    page.get_by_role("button", name="Undo").click()
    assert not ink_read(chromium).any() and "There is no ink" in said(chromium)


def test_all_controls_by_keyboard(chromium):
    """Tab reaches each control, the ten or twenty digits as one; arrows, Home and End move along the rows."""
    page = chromium.page
    page.get_by_role("button", name="Step").focus()
    page.locator(part("row")).focus()
    for key, row in (
        ("Home", 0),
        ("ArrowDown", 1),
        ("ArrowRight", 2),
        ("ArrowUp", 1),
        ("End", 28),
        ("PageUp", 23),
    ):
        page.keyboard.press(key)
        assert rows_read(chromium) == row, key
    page.evaluate("document.activeElement.blur()")
    reached = []
    for _ in range(60):
        page.keyboard.press("Tab")
        kind = "document.activeElement.getAttribute('role') ?? document.activeElement.localName"
        reached.append(page.evaluate(kind))
        if len(reached) > 5 and reached[-1] == "body":
            break
    assert (
        reached.count("radio") <= 2 and "application" in reached and reached.count("summary") >= 3
    )
    page.get_by_role("radio", name="a 2, image 3").focus()
    page.keyboard.press("ArrowRight")
    assert page.evaluate("document.activeElement.getAttribute('aria-label')") == "a 3, image 4"
    page.get_by_role("radio", name="a 3, image 4").press("End")
    assert page.evaluate("document.activeElement.getAttribute('aria-checked')") == "true"


@moving
def test_nothing_but_the_line_moves_and_nothing_is_announced_while_it_plays(chromium):
    page = chromium.page
    page.get_by_text("The answer stays from row").wait_for(timeout=20_000)
    said_aloud = "window.heard = []; new MutationObserver(() => "
    said_aloud += "window.heard.push(document.querySelector('[role=status]')"
    page.evaluate(
        said_aloud
        + ".textContent)).observe(document.querySelector('[role=status]'), {childList: true})"
    )
    choose(chromium, "[name=speed]", "fast")
    parts = "[...document.querySelectorAll('.reader figure, .reader button, .reader-bars, .reader-sheet')]"
    places = f"JSON.stringify({parts}.map(part => part.getBoundingClientRect()))"
    before = page.evaluate(places)
    page.get_by_role("button", name="Play").click()
    while rows_read(chromium) < 28:
        assert page.evaluate(places) == before
    assert len(page.evaluate("window.heard")) <= 1 and re.fullmatch(
        r"Row 28: \d, \d\.\d\d", text(chromium, ".reader-live")
    )
    page.get_by_role("button", name="Step").click()
    assert re.fullmatch(r"Row 1: \d, \d\.\d\d", text(chromium, ".reader-live"))


def test_an_address_holds_the_state(chromium, browser, page_file):
    """A reload loses nothing, and a link opens the same: strokes, networks, row, what is held, the switches."""
    page = chromium.page
    choose(chromium, part("network"), "GRU 64")
    choose(chromium, "[name=other]", "LSTM 32")
    page.locator("summary", has_text="How it is read").click()
    slide(chromium, "[name=erased]", 3)
    slide(chromium, "[name=down]", 2)
    chromium.draw(on_pad(chromium, SEVEN))
    slide(chromium, part("hold-r"), 0.25)
    choose(chromium, "[name=drew]", "7")
    slide(chromium, part("row"), 17)
    page.wait_for_timeout(300)
    before = (
        [text(chromium, s) for s in (part("answer"), part("bars"), ".reader table")],
        ink_read(chromium),
    )
    address = page.evaluate("location.href")
    page.reload()
    second = Chromium(browser, None, reduced_motion="reduce")
    second.open(address)
    for opened in (chromium, second):
        opened.page.wait_for_timeout(300)
        assert [text(opened, s) for s in (part("answer"), part("bars"), ".reader table")] == before[
            0
        ]
        assert (ink_read(opened) == before[1]).all() and rows_read(opened) == 17
    second.close()


@pytest.mark.parametrize(
    "hash", ["#", "#net=nobody", "#net=GRU 32&r=99&i=77&u=1000&hold=q:1&hold=z:x&ink=%%%&t=40&w=9"]
)
def test_an_odd_address_opens_something(browser, page_file, hash):
    opened = Chromium(browser, None, reduced_motion="reduce")
    opened.open(page_file.as_uri() + hash)
    assert said(opened) and not opened.errors, opened.errors
    opened.close()


def test_the_story(chromium):
    """Six steps that say what is seen; leaving sets the reader free."""
    page = chromium.page
    choose(chromium, part("network"), "GRU 32")
    page.get_by_role("button", name="Tell the story").click()
    titles = []
    for _ in range(6):
        titles.append(text(chromium, ".reader-chapter h2"))
        page.locator("[name=next]").click()
    assert [title[0] for title in titles] == [*"123456"] and len(set(titles)) == 6
    assert (
        not page.locator(".reader-chapter").is_visible()
        and page.locator(".reader-say").is_visible()
    )
    assert "held" not in said(chromium) and page.evaluate("document.activeElement.name") == "tell"


def test_the_story_asks_for_a_guess_and_tells_how_it_went(chromium):
    """Also with another digit, and from an address; a held gate is named when the story is left for a digit."""
    page = chromium.page
    choose(chromium, part("network"), "GRU 32")
    page.get_by_role("button", name="Tell the story").click()
    page.get_by_role("radio", name="a 4, image 5").click()
    page.wait_for_timeout(300)
    page.reload()
    assert page.get_by_role("button", name="Guess the row", pressed=True).is_visible()
    page.mouse.click(*on_pad(chromium, [(0.5, 15.5 / 28)])[0])
    assert page.locator(".reader-say").is_visible() and "you expected 16" in said(chromium)
    for _ in range(5):
        page.locator("[name=next]").click()
    assert text(chromium, ".reader-live").startswith(text(chromium, ".reader-chapter h2"))
    page.get_by_role("radio", name="a 7, image 8").click()
    assert not page.locator(".reader-chapter").is_visible()
    assert "update gate z held at 1.00" in said(chromium)
    page.evaluate("location.hash = '#net=GRU+32&i=2&t=0'")
    page.get_by_role("button", name="Guess the row", pressed=True).wait_for()


def test_the_pen_of_the_keyboard_is_seen(chromium):
    """With the focus on the pad, the cursor still lies above all that the sheet shows."""
    page = chromium.page
    page.locator(part("pad")).focus()
    page.keyboard.press("ArrowDown")
    (x, y), *_ = on_pad(chromium, [(14.5 / 28, 15.5 / 28)])
    page.add_style_tag(content=".reader-cursor { pointer-events: auto !important; }")
    top = page.evaluate("([x, y]) => document.elementFromPoint(x, y).className", [x, y])
    assert "reader-cursor" in top
    assert (
        page.evaluate("getComputedStyle(document.querySelector('.reader-sheet')).outlineWidth")
        == "3px"
    )


def test_a_cell_shows_its_sum(chromium):
    """Click a cell: the equation with its numbers gives the value that the strip shows."""
    page = chromium.page
    choose(chromium, part("network"), "GRU 32")
    page.locator(".reader-units canvas").first.click(position={"x": 30, "y": 200})
    lines = page.locator(".reader-sum code").all_inner_texts()
    assert "h_prev" in lines[0] and "z" in lines[0] and lines[0].startswith("h = ")
    shown = lines[1].replace("\u2212", "-").replace("\u00b7", "*").replace("=", "")
    assert abs(eval(shown) - float(lines[2].replace("\u2212", "-").strip(" ="))) < 0.02
    choose(chromium, "[name=line]", "update gate z")
    assert (
        text(chromium, ".reader-sum code").startswith("z = \u03c3(")
        and page.locator(".reader-weights").count() == 1
    )


def test_learning_in_view(chromium):
    """The slider of epochs opens other weights of the same network: the first of these are the last, rounded."""
    page = chromium.page
    choose(chromium, part("network"), "GRU 32")
    last = [float(p) for p in re.findall(r"\d\.\d\d", text(chromium, part("bars")))]
    slide(chromium, "[name=epoch]", 0)
    first = [float(p) for p in re.findall(r"\d\.\d\d", text(chromium, part("bars")))]
    assert (
        np.abs(np.subtract(first, last)).max() < 0.011 and text(chromium, "[name=epochSays]") == "1"
    )
    page.locator("summary", has_text="How it learned").click()
    page.get_by_text("to the bit").wait_for()
    assert (
        "T \u2212 4:" in text(chromium, "[name=learningSays]")
        and page.locator(".reader-learned polyline").count() == 3
    )
    choose(chromium, part("network"), "LSTM 32")
    assert not page.locator("[name=epoch]").is_visible()


def test_as_drawn_erased_moved_and_longer(chromium):
    """The switches: where the ink is read, how much of it, and for how long."""
    page = chromium.page
    page.locator("summary", has_text="How it is read").click()
    chromium.draw(on_pad(chromium, [(0.1, 0.1), (0.25, 0.1), (0.17, 0.3)]))
    centred = ink_read(chromium)
    assert centred[14].any() and np.nonzero(centred.any(1))[0].max() >= 20
    choose(chromium, "[name=placing]", "as drawn")
    drawn = ink_read(chromium)
    assert not drawn[12:].any() and drawn[2].any()
    choose(chromium, "[name=placing]", "as MNIST")
    slide(chromium, "[name=down]", 4)
    assert (ink_read(chromium)[4:] == centred[:-4]).all()
    slide(chromium, "[name=down]", 0)
    slide(chromium, "[name=erased]", 14)
    assert not ink_read(chromium)[14:].any() and (ink_read(chromium)[:14] == centred[:14]).all()
    page.locator("[name=longer]").check()
    assert ink_read(chromium).shape == (40, 28)
    slide(chromium, part("row"), 40)
    assert said(chromium).startswith("12 blank rows past the last row")


def test_odd_drawings(chromium):
    """Nothing drawn, a point, clicks outside, all ink, no ink in the first rows: always a sentence, never an error."""
    page = chromium.page
    page.locator("summary", has_text="How it is read").click()
    page.get_by_role("button", name="Clear").click()
    assert "There is no ink in any row" in said(chromium)
    page.mouse.click(*on_pad(chromium, [(0.4, 0.4)])[0])
    assert said(chromium).startswith("Your drawing is read as")
    chromium.draw(
        on_pad(chromium, [(0.4, 0.4), (2.5, 0.9), (-0.2, 0.9)])
    )  # the pen leaves the pad and comes back
    assert said(chromium).startswith("Your drawing is read as")
    choose(chromium, "[name=placing]", "as drawn")
    page.get_by_role("button", name="Clear").click()
    zigzag = [(0.01 + 0.98 * (k % 2), k / 60) for k in range(60)]
    chromium.draw(on_pad(chromium, zigzag))
    assert ink_read(chromium).mean() > 0.9
    page.get_by_role("button", name="Clear").click()
    chromium.draw(on_pad(chromium, [(0.2, 0.9), (0.7, 0.9)]))
    assert not ink_read(chromium)[:20].any() and said(chromium).startswith(
        "Your drawing is read as"
    )
    choose(chromium, "[name=drew]", "3")
    assert "which is right" in said(chromium) or "but it is a 3" in said(chromium)


@pytest.mark.parametrize(
    "chromium", [{"color_scheme": "light"}, {"color_scheme": "dark"}], indirect=True
)
def test_axe_finds_nothing(chromium, axe):
    """WCAG 2.2 AA and best practice, with all that can be opened open, in the story and while a row is guessed."""
    page = chromium.page
    page.evaluate("for (const part of document.querySelectorAll('details')) part.open = true")
    for act in ("Tell the story", "Next", "Guess the row"):
        page.get_by_role("button", name=act, exact=True).click()
        page.wait_for_timeout(300)
        assert violations(page, axe) == []


def test_scripts_off(browser, page_file):
    context = browser.new_context(java_script_enabled=False, offline=True)
    page = context.new_page()
    page.goto(page_file.as_uri())
    assert "needs JavaScript" in page.locator("noscript").inner_text()
    assert not page.locator(".old").is_visible()
    context.close()


CODE = """import sys
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


def notebook_with(lab, *sources):
    cells = [nbformat.v4.new_code_cell(source) for source in sources]
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    nbformat.write(
        nbformat.v4.new_notebook(cells=cells, metadata=kernel),
        lab[2] / "notebooks" / "reader.ipynb",
    )


def test_the_widget_in_jupyterlab(browser, lab):
    """What is drawn is an array in Python, and `trace` takes it; keys on a control are its own, not JupyterLab's."""
    notebook_with(lab, *CODE.split("\n###\n"))
    page, complaints = browser.new_page(viewport={"width": 1400, "height": 1200}), []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    open_and_run_all(page, lab, "reader.ipynb")
    last, pad = page.locator(".jp-CodeCell").last, page.locator(part("pad"))
    pad.wait_for(timeout=60_000)
    pad.scroll_into_view_if_needed()
    assert re.match(r"ink \d+ \(1, 28, 32\)", last.locator(".jp-OutputArea-output").inner_text())
    box = pad.bounding_box()
    draw(page, [(box["x"] + box["width"] * x, box["y"] + box["height"] * y) for x, y in SEVEN])
    page.get_by_text("Your drawing is read as").wait_for(timeout=20_000)
    page.screenshot(path=SHOTS / "reader-jupyterlab.png")
    ink = page.evaluate(
        "(() => { const c = document.querySelector('.reader-image');"
        "return c.getContext('2d').getImageData(0, 0, 28, 28).data.filter((v, k) => k % 4 === 0 && v < 255).length })()"
    )
    last.locator(".cm-content").click()
    page.keyboard.press("Control+Enter")
    page.get_by_text(f"ink {ink} (1, 28, 32)").wait_for(timeout=60_000)
    page.evaluate(
        "for (const part of document.querySelectorAll('.reader details')) part.open = true"
    )
    count = page.locator(".jp-Cell").count()
    controls = page.locator(".reader").locator("button, input, select, summary, [tabindex='0']")
    for k in range(controls.count()):
        control = controls.nth(k)
        if not control.is_visible() or control.is_disabled():
            continue
        control.focus()
        for key in ("ArrowDown", "ArrowUp", "d", "d", "a", "Escape"):
            page.keyboard.press(key)
        name = control.evaluate("c => c.outerHTML.slice(0, 90)")
        assert page.locator(".jp-Cell").count() == count, name
    assert not complaints, complaints
    page.close()


def test_the_playground_in_jupyterlab(browser, lab):
    """Sliders with names; both tasks can be solved, and the page says so on the spot."""
    code = "import sys\nsys.path.insert(0, '..')\nimport numpy as np, helpers\nhelpers.gate_playground(np.eye(28))"
    notebook_with(lab, code)
    page = browser.new_page(viewport={"width": 1400, "height": 1200})
    open_and_run_all(page, lab, "reader.ipynb")
    page.locator(part("hold-f")).wait_for(timeout=60_000)
    assert page.locator(".reader").count() == 1
    assert not page.locator(
        ".jp-RenderedImage"
    ).first.is_visible()  # the still picture, for where widgets don't run
    for gate, value in (("f", 1), ("i", 0)):
        page.locator(part(f"hold-{gate}")).fill(str(value))
    assert page.locator(".reader-done").inner_text().startswith("Make it keep")
    page.locator(part("network")).select_option("LSTM, U = 0")
    for gate, value in (("f", 0), ("i", 1)):
        page.locator(part(f"hold-{gate}")).fill(str(value))
    assert page.locator(".reader-done").inner_text().startswith("Make it store")
    page.locator(part("pad")).scroll_into_view_if_needed()
    page.screenshot(path=SHOTS / "playground.png")
    page.close()
