"""The site: the stage in front, Q1 with its checks in the page, the notebooks as pages; all from one place.

python -m tools.site              build runs/site/
python -m tools.site --url=URL    build it for the address that it will have
python -m tools.site --serve      show it on the loopback address
"""

import argparse
import contextlib
import hashlib
import html
import importlib.metadata
import io
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import jinja2
import nbformat

from coursework.files import NOTEBOOKS, ROOT, RUNS, write_text

SITE = RUNS / "site"
PARTS = Path(__file__).with_name("site")  # what stands in the page: HTML, CSS, JavaScript
# Python for the page. A new version: its tarball's `sha256sum`, after `npm pack pyodide@VERSION`.
PYODIDE = "314.0.7"
PYODIDE_SHA256 = "66b7949e5a0cba2250b586d7e368bf12fb482800748d182c4618254b685ffaa0"
CORE = (
    "pyodide.mjs",
    "pyodide.asm.mjs",
    "pyodide.asm.wasm",
    "python_stdlib.zip",
    "pyodide-lock.json",
)
FETCHED = (
    "pyodide.asm.wasm",
    "python_stdlib.zip",
    "pyodide-lock.json",
    "packages.zip",
)  # what the bar counts
# Taken from this environment, where the lock file has pinned them: the page checks with what the grading checks with.
PACKAGES = ("sympy", "mpmath", "latex2mathml")
NAV = [
    ("index.html", "Draw a digit"),
    ("q1.html", "Set the gates"),
    ("notebooks/index.html", "Notebooks"),
]


class NotBuilt(Exception):
    """Why there is no site, in one line."""


def main(arguments: list[str] | None = None) -> int:
    """Parse the command line, build or serve, and return the exit code."""
    parser = argparse.ArgumentParser(description="Build runs/site/, or show it.")
    parser.add_argument("--serve", action="store_true", help="show the site that was built")
    parser.add_argument("--port", type=int, default=8000, help="0: any that is free")
    parser.add_argument("--url", default="", help="the address that the site will have, for links")
    options = parser.parse_args(arguments)
    try:
        if options.serve:
            serve(options.port)
        else:
            build(options.url)
            print(f"{SITE}: {size_of(SITE) / 1e6:.1f} MB; make serve shows it")
    except NotBuilt as error:
        print(f"no site: {error}", file=sys.stderr)
        return 1
    return 0


def build(url: str = "") -> Path:
    """Write the site and return its folder. It replaces the old one when it is complete.

    `url`: the address that it will have. Whoever shows a link with a picture wants the picture's whole address, which
    files don't know by themselves; without it, that of the picture is relative.
    """
    with replacing_folder(SITE) as folder:
        python = pack_python(folder)
        stage = write_stage(folder, url)
        write_q1(folder, python, stage)
        write_notebooks(folder)
    return SITE


@contextlib.contextmanager
def replacing_folder(path: Path) -> Iterator[Path]:
    """A folder to fill, which replaces `path` at the end of the block; on an error it is removed."""
    aside = path.with_name(f".unfinished-{path.name}")
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir(parents=True)
    try:
        yield aside
        shutil.rmtree(path, ignore_errors=True)
        aside.rename(path)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def size_of(folder: Path) -> int:
    """Bytes of all files in a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


# --- Python for the page ----------------------------------------------------------------------------------------------


def pack_python(folder: Path) -> Path:
    """Pyodide's core, the packages and our rooms, in a folder whose name changes with its content."""
    target = folder / "python"
    target.mkdir()
    with tarfile.open(fileobj=io.BytesIO(core())) as archive:
        for name in CORE:
            member = archive.extractfile(f"package/{name}")
            assert member is not None, name  # the hash has said that this is the package
            (target / name).write_bytes(member.read())
    packages = target / "packages.zip"
    write_packages(packages)
    run("node", PARTS / "compile.mjs", target, packages)
    shutil.copyfile(PARTS / "worker.js", target / "worker.js")
    digest = hashlib.sha256()
    for path in sorted(target.iterdir()):
        digest.update(path.read_bytes())
    return target.rename(folder / f"python-{digest.hexdigest()[:12]}")


def core() -> bytes:
    """Pyodide's tarball, from runs/ or else through npm."""
    name = f"pyodide-{PYODIDE}.tgz"
    kept = RUNS / name
    if not kept.is_file():
        RUNS.mkdir(parents=True, exist_ok=True)
        run("npm", "pack", f"pyodide@{PYODIDE}", "--silent", "--pack-destination", RUNS)
    content = kept.read_bytes()
    if hashlib.sha256(content).hexdigest() != PYODIDE_SHA256:
        kept.unlink()
        raise NotBuilt(
            f"{name} is not the file that tools/site.py names by its SHA-256; it was removed"
        )
    return content


def run(program: str, *arguments: str | Path) -> None:
    """Run a program of Node.js; NotBuilt in one line if it is missing or fails."""
    path = shutil.which(program)
    if not path:
        raise NotBuilt(f"{program} is missing: install Node.js 20 or newer")
    result = subprocess.run(
        [path, *map(str, arguments)], capture_output=True, text=True, encoding="utf-8"
    )
    if result.returncode:
        lines = [
            line.strip()
            for line in result.stderr.splitlines()
            if "rror" in line and len(line) < 400
        ]
        why = "is there a network?" if program == "npm" else (lines or ["it gave no reason"])[-1]
        raise NotBuilt(f"{program} {Path(arguments[0]).name} failed: {why}")


def write_packages(path: Path) -> None:
    """A zip of the packages without their tests, and of the rooms that Q1 needs; the same bytes each time."""
    files = {}
    for package in PACKAGES:
        for entry in importlib.metadata.files(package) or ():
            if is_needed(package, str(entry)):
                files[str(entry)] = Path(entry.locate()).read_bytes()
    rooms = [*rooms_of_q1(), *(ROOT / "coursework" / "cells").glob("*.py")]
    files |= {room.relative_to(ROOT).as_posix(): room.read_bytes() for room in rooms}
    with zipfile.ZipFile(path, "w") as archive:
        for name in sorted(files):
            archive.writestr(zipfile.ZipInfo(name), files[name], zipfile.ZIP_DEFLATED)


def rooms_of_q1() -> list[Path]:
    """Our files that `tools/desk.py` loads, and itself."""
    program = "import sys, tools.desk\nfor module in [*sys.modules.values()]: print(getattr(module, '__file__', ''))"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    result = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True
    )
    loaded = [Path(line) for line in result.stdout.splitlines()]
    return [path for path in loaded if path.parent in (ROOT / "coursework", ROOT / "tools")]


def is_needed(package: str, name: str) -> bool:
    """Is a file of an installed package needed to import it?"""
    if re.search(r"/(tests|testing|benchmarks|__pycache__)/", name):
        return False
    return name.startswith(f"{package}/") or name.endswith(".dist-info/METADATA")


# --- Pages ------------------------------------------------------------------------------------------------------------


def nav(here: str) -> str:
    """Links to the pages of the site."""
    up = "../" * here.count("/")
    current = ' aria-current="page"'
    links = (
        f'<a href="{up}{page}"{current if page == here else ""}>{title}</a>' for page, title in NAV
    )
    return f'<nav aria-label="Site">{" ".join(links)}</nav>'


def write_stage(folder: Path, url: str = "") -> str:
    """The committed page that reads what one draws, in front; returns it as it was."""
    text = (ROOT / "docs" / "reader.html").read_text("utf-8")
    front = text.replace("<body>", f"<body>{nav('index.html')}", 1)
    if url:
        place = html.escape(url.rstrip("/") + "/")
        front = front.replace('content="reader.png"', f'content="{place}reader.png"', 1)
        front = front.replace(
            "<meta property", f'<meta property="og:url" content="{place}">\n<meta property', 1
        )
    write_text(folder / "index.html", front)
    shutil.copyfile(ROOT / "docs" / "reader.png", folder / "reader.png")
    return text


def write_q1(folder: Path, python: Path, stage: str) -> None:
    """Q1, with the equations of all cells, and with the stage's digit to show what a setting does."""
    from tools.desk import cells_of_the_page

    cells = cells_of_the_page()
    data = {
        "python": python.name,
        "bytes": sum((python / name).stat().st_size for name in FETCHED),
        "cells": {
            name: {part: cell[part] for part in cell if part != "equations"}
            for name, cell in cells.items()
        },
        "image": digit_of(stage),
    }
    template = jinja2.Environment().from_string((PARTS / "q1.html").read_text("utf-8"))
    content = json.dumps(data, separators=(",", ":")).replace("<", "\\u003c")
    write_text(
        folder / "q1.html", template.render(cells=cells, content=content, nav=nav("q1.html"))
    )
    for name in ("q1.js", "q1.css"):
        shutil.copyfile(PARTS / name, folder / name)
    for name in ("arithmetic.js", "ink.js"):
        shutil.copyfile(ROOT / "coursework" / "page" / name, folder / name)


def digit_of(stage: str) -> dict:
    """The digit with which the stage opens, as its script takes it."""
    _, _, rest = stage.partition('id="content">')
    content = json.loads(rest.partition("</script>")[0])
    return content["images"][content["opening"]]


def write_notebooks(folder: Path) -> None:
    """A page for each notebook with its contents, and the list of them."""
    from tools.report import page, title_of  # takes a second, which --serve need not wait for

    (folder / "notebooks").mkdir()
    paths = notebooks_to_show()
    notebooks = [nbformat.read(path, as_version=4) for path in paths]
    places = []
    for path, notebook in zip(paths, notebooks, strict=True):
        places.append((f"{path.stem}.html", title_of(notebook)))
    for number, notebook in enumerate(notebooks):
        before = places[number - 1] if number else None
        after = places[number + 1] if number + 1 < len(places) else None
        page(notebook, folder / "notebooks" / places[number][0], before, after)
    template = jinja2.Environment(autoescape=True).from_string(
        (PARTS / "notebooks.html").read_text("utf-8")
    )
    write_text(folder / NAV[2][0], template.render(pages=places, nav=nav(NAV[2][0])))


def notebooks_to_show() -> list[Path]:
    """Those of the last run if it has all, else the committed ones."""
    executed = [RUNS / path.name for path in NOTEBOOKS]
    return executed if all(path.is_file() for path in executed) else NOTEBOOKS


# --- Serve ------------------------------------------------------------------------------------------------------------

POLICY = "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; connect-src 'self'"


class Handler(SimpleHTTPRequestHandler):
    """Files with the types that browsers insist on, whatever this machine's registry says; no line for each request."""

    extensions_map = SimpleHTTPRequestHandler.extensions_map | {
        ".js": "text/javascript",
        ".mjs": "text/javascript",
        ".wasm": "application/wasm",
    }

    def end_headers(self):
        """The policy of the worker, as pages carry their own; and what need not be asked for again.

        The folder of Python changes its name with its content. Other servers say "not modified" instead.
        """
        if self.path.endswith(".js"):
            self.send_header("Content-Security-Policy", POLICY)
        if self.path.startswith("/python-"):
            self.send_header("Cache-Control", "public, max-age=31536000, immutable")
        super().end_headers()

    def log_message(self, *_):
        """Nothing."""


def server_of(port: int) -> ThreadingHTTPServer:
    """A server of the site on the loopback address; NotBuilt if there is no site."""
    if not (SITE / "q1.html").is_file():
        raise NotBuilt("make site builds it")
    handler = partial(Handler, directory=str(SITE))
    try:
        return ThreadingHTTPServer(("127.0.0.1", port), handler)
    except OSError:  # taken
        return ThreadingHTTPServer(("127.0.0.1", 0), handler)


def serve(port: int) -> None:
    """Show the site until Ctrl-C."""
    with server_of(port) as server:
        print(f"http://127.0.0.1:{server.server_port}/ (Ctrl-C ends it)", flush=True)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            print()


if __name__ == "__main__":
    sys.exit(main())
