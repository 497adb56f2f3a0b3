"""The site in a real Chromium, from a server on the loopback address. Run by `make browser-test`."""

import contextlib
import html
import io
import json
import re
import shutil
import subprocess
import threading
import time
import zipfile
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest
from test_browser import SHOTS, browser, launching  # noqa: F401 (a fixture, asked for by name)

from conftest import python
from coursework.cells import CELLS
from coursework.checks_gates import check_counterexample, check_gates
from coursework.practice import practice
from tools import desk, site

AXE = "4.14.1"
VERDICT = re.compile("^(Right|Not yet|This could)")
LONG = 240_000  # milliseconds until Python is there on a machine that is busy with other tests
needs_node = pytest.mark.skipif(
    not (shutil.which("node") and shutil.which("npm")), reason="needs Node.js"
)


# Without a browser ----------------------------------------------------------------------------------------------------
def test_what_the_page_runs_needs_no_numpy():
    """Everything that the page imports, and what it answers, from the files that are packed for it."""
    program = """
import sys
for name in ("numpy", "IPython", "tensorflow", "matplotlib", "scipy", "pandas"):
    sys.modules[name] = None
from tools.desk import reply
print(reply('{"ask": "judge", "cell": "GRU", "question": "keep_state", "answer": "z = [1, 1.0]"}'))
print(reply('{"ask": "show_practice", "seed": 1, "level": 3}')[:8])
rooms = {name.split(".")[1] for name in sys.modules if name.startswith("coursework.")}
print(*sorted(rooms))
"""
    result = python("-c", program)
    verdict, shown, rooms = (
        result.stdout.splitlines() if result.returncode == 0 else pytest.fail(result.stderr)
    )
    assert json.loads(verdict)["verdict"] == "Right." and shown.startswith('{"text"')
    packed = {path.stem for path in site.rooms_of_q1()}
    assert {*rooms.split()} <= packed | {"cells"} and {"desk", "formulas"} <= packed


def test_packages_are_the_installed_ones_without_tests(tmp_path):
    site.write_packages(tmp_path / "one.zip")
    site.write_packages(tmp_path / "two.zip")
    assert (tmp_path / "one.zip").read_bytes() == (tmp_path / "two.zip").read_bytes()
    names = zipfile.ZipFile(tmp_path / "one.zip").namelist()
    assert {"sympy/__init__.py", "tools/desk.py", "coursework/cells/gru.py"} <= set(names)
    assert not [name for name in names if "/tests/" in name or name.endswith(".pyc")]


def test_a_changed_download_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(site, "RUNS", tmp_path)
    (tmp_path / f"pyodide-{site.PYODIDE}.tgz").write_bytes(b"something else")
    with pytest.raises(site.NotBuilt, match="SHA-256"):
        site.core()
    assert not list(tmp_path.iterdir())


def test_without_network_one_line_says_so(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(site, "RUNS", tmp_path)
    monkeypatch.setattr(site, "SITE", tmp_path / "site")
    monkeypatch.setattr(
        site, "run", lambda *_: (_ for _ in ()).throw(site.NotBuilt("npm pack failed: no network"))
    )
    assert site.main([]) == 1
    assert capsys.readouterr().err == "no site: npm pack failed: no network\n"
    assert not (tmp_path / "site").exists()
    assert site.main(["--serve"]) == 1 and "make site" in capsys.readouterr().err


def test_a_front_page_knows_its_address_when_it_is_told(tmp_path):
    for url, picture in (
        ("", "reader.png"),
        ("https://example.org/gates", "https://example.org/gates/reader.png"),
    ):
        site.write_stage(tmp_path, url)
        front = (tmp_path / "index.html").read_text("utf-8")
        assert f'<meta property="og:image" content="{picture}">' in front
        assert ('property="og:url"' in front) == bool(url)
    assert (tmp_path / "reader.png").is_file()


def test_equations_of_every_cell_are_mathml():
    for name, cell in desk.cells_of_the_page().items():
        assert len(cell["equations"]) >= 2 and all(
            line.startswith("<math") for line in cell["equations"]
        ), name
        assert "\\" not in "".join(cell["equations"]) and "style=" not in "".join(cell["equations"])


# In the browser -------------------------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def address():
    """The address of the site; it is built if it is not there."""
    if not (site.SITE / "q1.html").is_file():
        site.build()
    with site.server_of(0) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture(scope="module")
def context(browser):  # noqa: F811
    context = browser.new_context(viewport={"width": 390, "height": 844}, has_touch=True)
    context.complaints = []
    context.on("console", lambda message: context.complaints.append(message.text))
    context.on("weberror", lambda error: context.complaints.append(str(error.error)))
    context.asked = []
    context.on("request", lambda request: context.asked.append(request.url))
    yield context
    context.close()


@pytest.fixture(scope="module")
def page(context, address):
    page = context.new_page()
    start = time.monotonic()
    page.goto(f"{address}/q1.html")
    assert page.inner_text("h1") == "Set the gates"  # can be read at once
    assert "MB" in text_of(page, "status", re.compile("MB"))
    text_of(page, "status", re.compile("^Ready"))
    print(f"Python was there after {time.monotonic() - start:.1f} s")
    yield page
    page.close()


def text_of(page, name, pattern):
    """The text of an element, when it matches. No function is sent to the page: its policy would refuse it."""
    from playwright.sync_api import expect

    expect(page.locator(f"#{name}")).to_have_text(pattern, timeout=LONG)
    return page.text_content(f"#{name}")


def typed(page, answer):
    page.fill("#answer", answer)
    page.click("#check")
    return text_of(page, "verdict", VERDICT)


STARS = [
    {"x": 0.25, "h_prev": -0.5, "c_prev": -1, "w": 1, "u": 2, "b": 0, "z": 0, "r": 0},
    {"x": 1, "h_prev": 0, "c_prev": 0, "w": 3, "u": 0, "b": 0, "z": 0, "r": 0},
    {"x": 0.25, "h_prev": 0.5, "c_prev": -1, "w": 1, "u": 2, "b": 0, "z": 0, "r": 0},
    {"x": 0.25, "h_prev": -0.5, "c_prev": -1, "w": 1, "u": 2, "b": 0, "z": 0, "r": 2},
    {"x": 0.25, "h_prev": -0.5},
]
ANSWERS = [
    {},
    {"f": 0, "i": 1},
    {"f": 0, "i": 1, "U": 0},
    {"z": 1},
    {"z": 0, "r": 0},
    {"f": 0.9, "i": 0},
    {"U": 0},
]
ANSWERS += [{"z": 1 / 3}, {"f": 1, "i": 1e-300, "o": None}, {"f": [0, 1], "i": 2}]


def cases():
    """(cell, question, answer, verdict of this Python): more than 60."""
    for name in CELLS:
        for number, answer in enumerate(ANSWERS):
            behaviour = ("store_input", "keep_state")[(number + len(name)) % 2]
            yield name, behaviour, answer, check_gates(name, behaviour, answer)
    for answer in STARS:
        yield "LSTM", "counterexample", answer, check_counterexample(answer)


@pytest.mark.browser
@needs_node
def test_verdicts_are_those_of_cpython_to_the_letter(page):
    count, times = 0, []
    for name, question, answer, verdict in cases():
        page.select_option("#cell", name)
        page.select_option("#question", question)
        start = time.monotonic()
        shown = typed(
            page,
            repr(answer) if count % 2 else ", ".join(f"{key} = {answer[key]!r}" for key in answer),
        )
        times.append(time.monotonic() - start)
        assert shown == repr(verdict), (name, question, answer)
        count += 1
    times.sort()
    print(
        f"{count} answers; half of them within {times[count // 2]:.2f} s, the slowest {times[-1]:.2f} s"
    )
    assert count >= 60


@pytest.mark.browser
@needs_node
def test_pictures_say_what_the_setting_does(page):
    page.select_option("#cell", "LSTM")
    page.select_option("#question", "keep_state")
    typed(page, "f = 1, i = 0")
    assert "stays" in page.inner_text("#picture-says")
    typed(page, "f = 0, i = 1")
    assert "changes" in page.inner_text("#picture-says")
    page.select_option("#question", "counterexample")
    typed(page, ", ".join(f"{name} = {value}" for name, value in STARS[0].items()))
    assert (
        "0.2449: outside" in page.inner_text("#line-says")
        and page.locator("#axis circle").count() == 1
    )
    page.screenshot(path=SHOTS / "q1-phone.png", full_page=True)


@pytest.mark.browser
@needs_node
def test_a_cell_of_ones_own(page):
    text = "z = sigmoid(dot(W_z, x) + b_z)\ng = tanh(dot(W, x) + dot(U, z*h_prev) + b)\nh = (1 - z)*h_prev + z*g"
    page.click("summary")
    page.fill("#own", "z = open('x')")
    page.click("#put-in")
    assert "not known" in text_of(page, "own-says", re.compile("open"))
    for form in (text, json.dumps(CELLS["MGU"].as_data() | {"name": "mine too"})):
        page.fill("#own", form)
        page.click("#put-in")
        text_of(page, "own-says", re.compile("^It stands"))
        assert page.locator("#shown math").count() >= 3
        page.select_option("#question", "keep_state")
        gate = page.inner_text("#names").split(",")[0]
        assert typed(page, f"{gate} = 0") == "Right."


@pytest.mark.browser
@needs_node
def test_practice_is_that_of_python(page, address):
    for seed, level in ((3, 1), (4, 2), (5, 3)):
        page.goto(f"{address}/q1.html#practice={seed}&level={level}")
        task = practice(seed, level)
        assert text_of(page, "text", re.compile("^Which")) == task.question
        answer = task.solution.setting if task.solution.possible else "impossible"
        assert typed(page, str(answer)) == "Right."
        assert page.inner_text("#why") == task.solution.why
        wrong = "impossible" if task.solution.possible else f"{task.cell.gate_names[0]} = 1"
        assert typed(page, wrong).startswith("Not yet: ")
    from playwright.sync_api import expect

    before = page.url
    page.click("#another")
    expect(page).not_to_have_url(before, timeout=LONG)
    assert "practice=" in page.url and "answer" not in page.url


@pytest.mark.browser
@needs_node
def test_what_takes_too_long_is_stopped(page, address):
    page.goto(f"{address}/q1.html#cell=GRU&question=keep_state")
    page.select_option("#cell", "GRU")
    assert "stopped after 10 seconds" in typed(page, "z = 9**9**9")
    assert typed(page, "z = 1") == "Right."  # by the next worker


@pytest.mark.browser
@needs_node
def test_by_keyboard_alone(page, address):
    page.goto(f"{address}/q1.html#cell=LSTM&question=keep_state")
    page.select_option("#cell", "LSTM")
    page.focus("#question")
    page.keyboard.press("Tab")
    assert page.locator("#answer:focus").count() == 1
    page.keyboard.press("Control+a")
    page.keyboard.type("f = 1, ")
    page.keyboard.press("Shift+Enter")
    page.keyboard.type("i = 0")
    page.keyboard.press("Enter")
    assert text_of(page, "verdict", VERDICT) == "Right."
    for wanted in ("#check", "#level", "#another", "summary"):
        page.keyboard.press("Tab")
        assert page.locator(f"{wanted}:focus").count() == 1, wanted


@pytest.mark.browser
@needs_node
def test_pages_load_little_and_nothing_from_elsewhere(browser, address):  # noqa: F811
    assert site.size_of(site.SITE) <= 30e6
    context = browser.new_context(viewport={"width": 390, "height": 844})
    page, asked = context.new_page(), []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(f"{address}/")
    links = page.eval_on_selector_all("nav a", "all => all.map(link => link.href)")
    assert [link.removeprefix(f"{address}/") for link in links] == [name for name, _ in site.NAV]
    front = [url for url in asked if url.startswith(address)]
    assert (
        sum(
            (site.SITE / (url.removeprefix(f"{address}/") or "index.html")).stat().st_size
            for url in front
        )
        < 1e6
    )
    page.goto(f"{address}/notebooks/index.html")
    for link in page.eval_on_selector_all("li a", "all => all.map(link => link.href)"):
        page.goto(link)
        assert page.locator("details li a").count() > 3
        target = page.get_attribute("details li a >> nth=1", "href")
        assert page.locator(f"[id='{html.unescape(target[1:])}']").count() == 1
    assert all(url.startswith((address, "data:", "blob:")) for url in asked)
    context.close()


def visits(chromium, folder, address, server):
    """What the server sent of Python's folder on two visits: [(status, file) of each answer] twice."""
    # With a folder, as a person's browser has it: what is kept in memory alone has no room for large files.
    context, sent = chromium.launch_persistent_context(folder, **launching()), []
    for _ in range(2):
        server.answers = []
        page = context.new_page()
        start = time.monotonic()
        page.goto(f"{address}/q1.html")
        text_of(page, "status", re.compile("^Ready"))
        print(f"Python was there after {time.monotonic() - start:.1f} s: {server.answers}")
        page.close()
        sent.append([status for status, _ in server.answers])
    context.close()
    return sent


def noting(handler):
    """A handler that notes for its server how it answered what Python's folder was asked for."""

    class Noting(handler):
        def send_response(self, code, message=None):
            if "/python-" in self.path:
                self.server.answers.append((int(code), self.path.rpartition("/")[2]))
            super().send_response(code, message)

        def log_message(self, *_):
            pass

    return partial(Noting, directory=str(site.SITE))


@pytest.mark.browser
@needs_node
@pytest.mark.parametrize(
    ("handler", "again"),
    [(site.Handler, set()), (SimpleHTTPRequestHandler, {304})],
    ids=["make serve", "another server"],
)
def test_a_second_visit_comes_from_the_browsers_store(browser, address, tmp_path, handler, again):  # noqa: F811
    """`make serve` is asked for nothing; any web server for no more than whether something has changed."""
    with ThreadingHTTPServer(("127.0.0.1", 0), noting(handler)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        where = f"http://127.0.0.1:{server.server_port}"
        first, second = visits(browser.browser_type, tmp_path, where, server)
        server.shutdown()
    assert set(first) == {200} and len(first) >= 5
    assert set(second) <= again, second


@pytest.mark.browser
@needs_node
def test_where_it_cannot_run_one_line_says_what_to_do(browser, address):  # noqa: F811
    """Opened as a file, without WebAssembly, without JavaScript: a line says so, and the question can be read."""
    context = browser.new_context()
    page = context.new_page()
    page.goto((site.SITE / "q1.html").as_uri())
    assert "make serve" in page.inner_text("#status") and page.is_visible("#text")
    page.close()
    page = context.new_page()
    page.add_init_script("delete globalThis.WebAssembly")
    page.goto(f"{address}/q1.html#cell=GRU&question=keep_state")
    assert "no WebAssembly" in page.inner_text("#status") and not page.is_visible("#progress")
    page.click("#check")
    assert page.inner_text("#verdict") == ""
    assert page.inner_text("#text").startswith("Set the gates so that the new state equals")
    context.close()
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{address}/q1.html")
    assert "JavaScript switched on" in page.inner_text("#status")
    context.close()


@pytest.mark.browser
@needs_node
@pytest.mark.parametrize("size", [(390, 844), (768, 1024), (1280, 600)], ids=str)
def test_it_fits_and_fingers_reach(browser, address, size):  # noqa: F811
    """Nothing is wider than the screen; what is pressed is at least 24 pixels high (WCAG 2.5.8)."""
    context = browser.new_context(
        viewport=dict(zip(("width", "height"), size, strict=True)), has_touch=True
    )
    page = context.new_page()
    page.add_init_script("delete globalThis.WebAssembly")  # the looks need no Python
    page.goto(f"{address}/q1.html#cell=LSTM&question=store_input")
    assert page.evaluate("document.documentElement.scrollWidth") <= size[0]
    for control in page.locator("button, select, textarea, summary, nav a").all():
        if control.is_visible():
            assert control.bounding_box()["height"] >= 24, control.inner_text()
    page.screenshot(path=SHOTS / f"q1-{size[0]}.png", full_page=True)
    context.close()


@pytest.mark.browser
@needs_node
def test_axe_finds_nothing(context, page, address, tmp_path_factory):
    folder = tmp_path_factory.mktemp("axe")
    with contextlib.redirect_stdout(io.StringIO()):
        subprocess.run(
            [shutil.which("npm"), "pack", f"axe-core@{AXE}", "--silent"], cwd=folder, check=True
        )
    subprocess.run(
        ["tar", "xzf", f"axe-core-{AXE}.tgz", "package/axe.min.js"], cwd=folder, check=True
    )
    script = (folder / "package" / "axe.min.js").read_text("utf-8")
    typed(page, "f = 0")
    for name in ("q1.html", "notebooks/index.html", "index.html"):
        if name not in page.url:
            page.goto(f"{address}/{name}")
        page.evaluate(script)
        found = page.evaluate("() => axe.run()")["violations"]
        assert not found, [(item["id"], [node["html"] for node in item["nodes"]]) for item in found]


@pytest.mark.browser
@needs_node
def test_nothing_was_complained_about(context, page):
    """Runs last: no error, no breach of the policy, no request to elsewhere in all of the above."""
    assert page.viewport_size["width"] == 390
    width = page.evaluate("document.documentElement.scrollWidth")
    assert width <= 390
    assert not context.complaints
    assert all(url.startswith(("http://127.0.0.1:", "data:", "blob:")) for url in context.asked)
