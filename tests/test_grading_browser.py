"""A student's HTML in the teacher's browser: twelve ways to script, in a Formgrader with a teacher's cookie.

Run by `make browser-test`. What each of them would do, is to write a file through the teacher's JupyterLab, and to
give itself points.
"""

import base64
import hashlib
import json
import os
import secrets
import socket
import subprocess
import sys
import time
import urllib.request

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output, new_raw_cell
from situations import THREE
from test_browser import SHOTS, browser  # noqa: F401

from teaching import __main__ as program
from teaching import cleaning, grading, marks, pages
from teaching.handout import ASSIGNMENT
from teaching.versions import notebooks_of

pytestmark = pytest.mark.browser

ATTACK = (
    "fetch('/api/contents/hacked.txt',{method:'PUT',headers:{'X-XSRFToken':(document.cookie.match(/_xsrf=([^;]+)/)||[])[1]},"
    "body:JSON.stringify({type:'file',format:'text',content:'x'})});"
    "fetch('/formgrader/api/grades?submission_id='+location.pathname.split('/')[3]).then(r=>r.json()).then(all=>all.forEach("
    "g=>fetch('/formgrader/api/grade/'+g.id,{method:'PUT',headers:{'X-XSRFToken':(document.cookie.match(/_xsrf=([^;]+)/)||[])[1]},"
    "body:JSON.stringify({manual_score:g.max_score})})))"
)
BASE64 = base64.b64encode(ATTACK.encode()).decode()
CODED = "".join(f"&#{ord(sign)};" for sign in ATTACK)
AS_HTML = {
    "script": f"<script>{ATTACK}</script>",
    "image": f'<img src=x onerror="{CODED}">',
    "svg": f'<svg onload="{CODED}"><circle r=9></svg>',
    "details": f'<details open ontoggle="{CODED}"><summary>x</summary></details>',
    "focus": f'<input autofocus onfocus="{CODED}">',
    "frame": f"<iframe srcdoc=\"&lt;script&gt;parent.eval(atob('{BASE64}'))&lt;/script&gt;\"></iframe>",
    "link": f'<a id="attack-link" href="javascript:{CODED}">my answer</a>',
    "animation": f'<style>@keyframes x {{}}</style><p style="animation: x 1s" onanimationstart="{CODED}">x</p>',
    "object": f'<object data="data:text/html,x" onload="{CODED}"></object><video><source onerror="{CODED}"></video>',
    "form": '<form action="/api/contents" method="post"><button id="attack-button">my answer</button></form>',
}


def attacks():
    """The student's cells: each way in a text, in a formula, in an output and a raw cell, and those of outputs only."""
    cells = []
    for source in AS_HTML.values():
        cells += [
            new_markdown_cell(source),
            new_raw_cell(source),
            new_markdown_cell(f"$$\n{source}\n$$"),
        ]
        cells.append(
            new_code_cell(
                "HTML(x)", outputs=[new_output("display_data", data={"text/html": source})]
            )
        )
    forms = {
        "application/javascript": ATTACK,
        "image/svg+xml": AS_HTML["svg"],
        "text/markdown": AS_HTML["image"],
    }
    forms["text/latex"] = rf"$\href{{javascript:{ATTACK}}}{{x}}$"
    cells += [
        new_code_cell("x", outputs=[new_output("display_data", data={form: text})])
        for form, text in forms.items()
    ]
    cells.append(new_code_cell("x", outputs=[new_output("stream", text=AS_HTML["image"])]))
    picture = {"image/png": f'x" onerror="{CODED}'}
    cells.append(new_code_cell("x", outputs=[new_output("display_data", data=picture)]))
    cells.append(
        new_markdown_cell(
            rf"$\href{{javascript:{ATTACK}}}{{\text{{my answer}}}}$ [x](javascript:{ATTACK[:20]})"
        )
    )
    return cells


class Faked:
    """What stands for the grader: nothing is run, the outputs are given."""

    def __init__(self, course, place, options):
        self.handouts = {
            THREE: nbformat.read(course / "release" / ASSIGNMENT / f"{THREE}.ipynb", as_version=4)
        }

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def at_hand(self, number):
        return True

    def tidy(self, who, notes=()):
        pass

    def grade(self, submission):
        books, _ = notebooks_of(submission, self.handouts)
        checks = grading.checks_of(books[THREE], self.handouts[THREE], None)
        return {THREE: pages.page(new_notebook(cells=attacks()), checks)}, [], 1.0


@pytest.fixture
def course(tmp_path, monkeypatch, request):
    """A graded course with one submission, whose pages hold every way; cleaned, or as they are."""
    monkeypatch.setattr(program, "RUNS", tmp_path / "runs")
    monkeypatch.setattr(program, "Grader", Faked)
    if not request.param:
        monkeypatch.setattr(cleaning, "clean_markdown", lambda text: text)
        monkeypatch.setattr(cleaning, "clean_output", lambda output: output)
    folder = tmp_path / "in" / "kim"
    folder.mkdir(parents=True)
    texts = [
        new_markdown_cell(AS_HTML["image"], id="q31-answer"),
        new_markdown_cell(AS_HTML["svg"], id="q32-answer"),
    ]
    texts += [
        new_code_cell("bonus_gates = 1", id="own"),
        new_markdown_cell(AS_HTML["link"], id="q33-answer"),
    ]
    nbformat.write(new_notebook(cells=texts), folder / f"{THREE}.ipynb")
    assert program.main(["grade", str(tmp_path / "in"), "--unsafe", "--epochs", "1"]) == 0
    return tmp_path / "runs" / "grading"


@pytest.fixture
def lab(course, tmp_path):
    """A JupyterLab in the course's folder, as the teacher starts it: (address, token)."""
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
    command += ["--allow-root"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
    environment = {**os.environ, "JUPYTER_TOKEN": token, "HOME": str(tmp_path)}
    with open(tmp_path / "lab.log", "w") as log:
        server = subprocess.Popen(command, cwd=course, env=environment, stdout=log, stderr=log)
        address = f"http://127.0.0.1:{port}"
        try:
            for _ in range(120):
                try:
                    urllib.request.urlopen(f"{address}/api?token={token}", timeout=5)
                    break
                except OSError:
                    assert server.poll() is None, (tmp_path / "lab.log").read_text()
                    time.sleep(1)
            yield address, token
        finally:
            server.terminate()
            server.wait(30)


def state(course):
    """Names and contents of all files that count, and every score."""
    files = sorted(
        path for path in course.rglob("*") if path.is_file() and "jupyter" not in path.name
    )
    kept = [
        path
        for path in files
        if path.suffix in (".ipynb", ".csv", ".json", ".html", ".txt") and "logs" not in path.parts
    ]
    with marks.book(course) as gradebook:
        submission = gradebook.find_submission(ASSIGNMENT, "kim")
        scores = [
            (grade.name, grade.manual_score, grade.auto_score)
            for book in submission.notebooks
            for grade in book.grades
        ]
        ids = [book.id for book in submission.notebooks if book.name == THREE]
    return (
        [(str(path), hashlib.sha256(path.read_bytes()).hexdigest()) for path in kept],
        sorted(map(str, scores)),
        ids[0],
    )


@pytest.mark.parametrize("course", [True, False], indirect=True, ids=["cleaned", "as they are"])
def test_twelve_ways_to_script(browser, course, lab, request):  # noqa: F811
    """The second time the pages are not cleaned: so the ways do work, and the test would notice."""
    cleaned = request.node.callspec.params["course"]
    address, token = lab
    *before, submission = state(course)
    context = browser.new_context(viewport={"width": 1200, "height": 900})
    page, asked = context.new_page(), []
    page.goto(f"{address}/formgrader/submissions/{submission}/?token={token}")  # the cookie is set
    page.on("request", lambda request: asked.append(f"{request.method} {request.url}"))
    page.on("dialog", lambda dialog: dialog.dismiss())
    page.goto(f"{address}/formgrader/submissions/{submission}/")
    page.wait_for_load_state("load")
    page.wait_for_timeout(3000)
    if cleaned:  # the curious teacher
        page.evaluate(
            """() => [...document.querySelectorAll('a, button')].forEach(
               one => /my answer|^x$/.test(one.innerText) && one.click())"""
        )
        page.wait_for_timeout(3000)
        page.screenshot(path=SHOTS / "formgrader-cleaned.png", full_page=True)
    text = page.inner_text("body") if cleaned else ""
    for shown in (
        course / "feedback" / "kim" / ASSIGNMENT / f"{THREE}.html",
        course / "class.html",
    ):
        page.goto(shown.as_uri())
        page.wait_for_timeout(500)
    context.close()
    *after, _ = state(course)
    attempts = [
        line for line in asked if "hacked" in line or line.startswith(("PUT", "POST", "DELETE"))
    ]
    if cleaned:
        assert not attempts and after == before, attempts
        assert "my answer" in text
    else:
        there = [line for line in attempts if address in line]
        assert len(there) >= 12 and "hacked.txt" in there[0], json.dumps(asked[:40])
