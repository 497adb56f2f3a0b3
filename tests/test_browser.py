"""What a person sees: every notebook in JupyterLab, and the report, in a real Chromium. Run by `make browser-test`.

Screenshots go to `runs/browser/`, for a person to look at.
"""

import os
import re
import secrets
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import nbformat
import pytest

import run
from teaching import class_report

pytestmark = pytest.mark.browser

ROOT = Path(__file__).resolve().parents[1]
SHOTS = ROOT / "runs" / "browser"
CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
OPTIONS = ["--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]
OPTIONS += ["--disable-component-update", "--disable-sync"]
MINUTES = 20  # for one notebook; the first one that trains takes two or three
# All cells in the page, also those out of sight; no question whether to fetch news from the web.
SETTINGS = """{
  "@jupyterlab/notebook-extension:tracker": {"windowingMode": "none"},
  "@jupyterlab/apputils-extension:notification": {"fetchNews": "false", "checkForUpdates": false}
}"""


@pytest.fixture(scope="session")
def browser():
    from playwright.sync_api import sync_playwright  # in requirements-dev.txt alone

    if not CHROMIUM:
        pytest.fail(
            "no Chromium found: install it, or name it in the environment variable CHROMIUM"
        )
    SHOTS.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(**launching())
        yield chromium
        chromium.close()


def launching():
    """The options with which Playwright starts Chromium."""
    is_root = hasattr(os, "geteuid") and os.geteuid() == 0
    return {
        "executable_path": CHROMIUM,
        "args": [*OPTIONS, "--no-sandbox"] if is_root else OPTIONS,
    }


@pytest.fixture(scope="session")
def lab(tmp_path_factory):
    """A JupyterLab on the loopback address over a copy of the bundle, with digits and two epochs: (address, folder)."""
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
    token = secrets.token_hex(16)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [
        sys.executable,
        "-m",
        "jupyter",
        "lab",
        "--no-browser",
        "--ip=127.0.0.1",
        f"--port={port}",
    ]
    command += [
        "--ServerApp.port_retries=0",
        f"--ServerApp.root_dir={folder}",
        f"--LabApp.app_settings_dir={settings}",
    ]
    command += ["--allow-root"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
    environment = {**os.environ, "JUPYTER_TOKEN": token, "COURSEWORK_DATA": "digits"}
    environment |= {
        "COURSEWORK_RUNS": str(folder / "runs"),
        "JUPYTERLAB_WORKSPACES_DIR": str(folder / "workspaces"),
    }
    with open(folder / "lab.log", "w") as log:
        server = subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log)
        address = f"http://127.0.0.1:{port}"
        try:
            for _ in range(120):
                try:
                    urllib.request.urlopen(f"{address}/api?token={token}", timeout=5)
                    break
                except OSError:
                    assert server.poll() is None, (folder / "lab.log").read_text()
                    time.sleep(1)
            yield address, token, folder
        finally:
            server.terminate()
            server.wait(30)


@pytest.fixture(scope="session")
def axe(tmp_path_factory):
    """The source of npm's axe-core, fetched once for these tests; the environment variable AXE may name its file."""
    if given := os.environ.get("AXE"):
        return Path(given).read_text(encoding="utf-8")
    folder, npm = tmp_path_factory.mktemp("axe"), shutil.which("npm")
    if not npm:
        pytest.skip("needs npm, to fetch axe-core")
    command = [npm, "install", "--no-save", "--prefix", str(folder), "axe-core@4"]
    if subprocess.run(command, capture_output=True, timeout=300).returncode:
        pytest.skip("npm could not fetch axe-core")
    return (folder / "node_modules" / "axe-core" / "axe.min.js").read_text(encoding="utf-8")


def violations(page, axe):
    """What axe-core finds on a page: WCAG 2.2 A and AA, and best practice."""
    page.evaluate(axe)
    found = (
        "axe.run().then(({ violations }) => violations.map(({ id, nodes }) => [id, nodes[0].html]))"
    )
    return page.evaluate(found)


def cells_without_number(page):
    return page.evaluate(
        """() => [...document.querySelectorAll('.jp-CodeCell')].filter(cell =>
           !/\\[\\d+\\]/.test(cell.querySelector('.jp-InputPrompt')?.textContent || '')).length"""
    )


def open_and_run_all(page, lab, name):
    """Open a notebook, choose 'Run All Cells', and return the texts that the progress bars showed on the way."""
    address, token, folder = lab
    code = [
        cell
        for cell in nbformat.read(folder / "notebooks" / name, as_version=4).cells
        if cell.cell_type == "code"
    ]
    page.goto(f"{address}/lab/tree/notebooks/{name}?token={token}&reset")
    ready = "document.querySelector('.jp-Notebook-ExecutionIndicator')?.dataset.status === 'idle'"
    ready += f" && document.querySelectorAll('.jp-CodeCell').length === {len(code)}"
    for _ in range(4):  # the kernel is idle for a moment before it connects
        page.wait_for_function(ready, timeout=120_000)
        page.wait_for_timeout(1500)
    page.click("#jp-MainMenu >> text=Run")
    page.click(".lm-Menu-itemLabel >> text=/^Run All Cells$/")
    seen, end = [], time.monotonic() + 60 * MINUTES
    while cells_without_number(page):
        assert time.monotonic() < end, f"{name} is still running"
        assert not page.query_selector("[data-mime-type='application/vnd.jupyter.error']"), (
            page.inner_text("[data-mime-type='application/vnd.jupyter.error']")
        )
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


def stored_outputs(page, lab, name):
    """Save as a person would, and read the file."""
    page.click(".jp-Notebook .jp-Cell >> nth=0")
    page.keyboard.press("Control+s")
    page.wait_for_timeout(3000)
    return nbformat.read(lab[2] / "notebooks" / name, as_version=4)


@pytest.mark.parametrize("name", [path.name for path in run.NOTEBOOKS])
def test_run_all_in_jupyterlab(browser, lab, name):
    page = browser.new_page(viewport={"width": 1400, "height": 1000})
    complaints = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    bars = open_and_run_all(page, lab, name)
    look(page, name)
    assert not page.query_selector_all("[data-mime-type='application/vnd.jupyter.stderr']")
    assert not page.query_selector_all("mjx-merror, .MathJax_Error")
    assert "error displaying widget" not in page.inner_text(".jp-Notebook").lower()
    if name.startswith("01"):
        assert page.query_selector_all("mjx-container")  # equations are drawn
        assert page.query_selector("[data-part=hold-f]")  # the playground
    if name.startswith("02"):  # the bar fills, and says how long it will take
        counts = {}  # by the bar's total: one bar for each sweep, the eight networks first
        for done, total in (pair for text in bars for pair in re.findall(r"(\d+)/(\d+)\s\[", text)):
            counts.setdefault(total, []).append(int(done))
        total = max(counts, key=int)
        eight = counts[total][
            : counts[total].index(int(total)) + 1
        ]  # a later sweep may have as many epochs
        assert eight == sorted(eight) and len(set(eight)) > 2, bars
        assert any(re.search(r"\[\d+:\d+<\d+:\d+", text) for text in bars), bars
    notebook = stored_outputs(page, lab, name)
    page.close()
    cells = [cell for cell in notebook.cells if cell.cell_type == "code" and cell.source]
    assert all(cell.execution_count for cell in cells)
    kinds = {(output.output_type, output.get("name")) for cell in cells for output in cell.outputs}
    assert not kinds & {("error", None), ("stream", "stderr")}
    assert not complaints, complaints


def test_the_class_report_is_for_everybody(browser, axe, tmp_path):
    """Its parts as they are put together."""
    page, counts = browser.new_page(), class_report.bars([("Q1.1", 3), ("Q1.2 <", 0)])
    title, rows = (
        "<h1>2 students</h1><h2>Points</h2>",
        class_report.table([("share", "who"), ("0.6", "b")]),
    )
    (tmp_path / "class.html").write_text(
        f"{class_report.PAGE}{title}{counts}{rows}</main></html>", encoding="utf-8"
    )
    page.goto((tmp_path / "class.html").as_uri())
    assert violations(page, axe) == []
    page.close()


def test_the_report_without_network(browser, lab, axe):
    """Opened from disk with the network off: everything is drawn, and nothing is asked of the web."""
    environment = {**os.environ, "COURSEWORK_RUNS": str(lab[2] / "runs")}
    command = [sys.executable, str(ROOT / "run.py"), "--data", "digits", "--epochs", "2"]
    result = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    look_at_report(browser, lab[2] / "runs" / "report", axe)


def look_at_report(browser, folder, axe):
    context = browser.new_context(offline=True, viewport={"width": 1280, "height": 900})
    page, asked = context.new_page(), []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: asked.append(message.text))
    page.goto((folder / "index.html").as_uri())
    page.screenshot(path=SHOTS / "report.png")
    assert page.locator("td", has_text="GRU 3 x 32").count() == 1
    assert violations(page, axe) == []
    assert page.locator("li").count() >= 3  # what this run found
    pages = page.eval_on_selector_all(".notebooks a", "links => links.map(link => link.href)")
    assert len(pages) == len(run.NOTEBOOKS)
    for address in pages:
        page.goto(address)
        name = Path(address).stem
        page.screenshot(path=SHOTS / f"report-{name}.png")
        images = page.eval_on_selector_all(
            "img", "all => all.map(i => [i.naturalWidth, i.alt.length])"
        )
        assert images and all(width > 100 and length > 20 for width, length in images)
        sizes = page.eval_on_selector_all(
            "math", "all => all.map(m => m.getBoundingClientRect().width)"
        )
        assert sizes or name.startswith("02"), "no equations"
        assert all(width > 3 for width in sizes)
        left = page.evaluate(
            "document.body.innerText.match(/\\\\\\\\(frac|sigma|tanh|begin)|\\\\$[a-z]/g)"
        )
        assert not left, left
        if page.locator("mtd").count():
            page.locator("mtd").first.scroll_into_view_if_needed()
            page.screenshot(path=SHOTS / f"report-{name}-equations.png")
        assert page.evaluate("document.documentElement.scrollWidth") <= 1280
        assert violations(page, axe) == []
        assert page.locator("[tabindex='0']").count() == 0  # Tab stops at links alone
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.textContent") == "Skip to the notebook"
    assert all(url.startswith(("file:", "data:")) for url in asked), asked
    context.close()
