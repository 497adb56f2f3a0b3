"""Run the notebooks in order, keep the executed copies in `runs/`, and write an HTML report that needs no network.

python run.py [--data NAME_OR_PATH] [--epochs N] [--seed N]
python run.py --refresh [--data NAME_OR_PATH]     (store fresh outputs in notebooks/ itself and in docs/)
python run.py --readme                            (write the results table of README.md from docs/results.csv)
"""

import argparse
import csv
import io
import logging
import os
import re
import shutil
import sys
import tempfile
import time
from pathlib import Path

import jinja2
import latex2mathml.converter
import nbclient
import nbformat
import papermill
from nbclient.exceptions import CellExecutionError, DeadKernelError
from nbconvert import HTMLExporter
from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath

ROOT = Path(__file__).resolve().parent
NOTEBOOKS = sorted((ROOT / "notebooks").glob("[0-9]*.ipynb"))
RUNS = ROOT / (os.environ.get("COURSEWORK_RUNS") or "runs")
RESULTS = ROOT / "docs" / "results.csv"
README = ROOT / "README.md"
# Kernels listen on this machine only: no warning that others could hear them. None tells of a cell that was stopped.
QUIET = ["--log-level=CRITICAL"]


def main(arguments=None):
    """Parse the command line, run, and return the exit code."""
    parser = argparse.ArgumentParser(description="Run the notebooks in order into runs/, with an HTML report.")
    parser.add_argument("--data", help="auto, mnist, digits or the path of an .npz file")
    parser.add_argument("--epochs", type=whole_number(1), help="training epochs of each model")
    parser.add_argument("--seed", type=whole_number(0), help="seed of weights and shuffling")
    parser.add_argument("--refresh", action="store_true", help="store fresh outputs in notebooks/ itself")
    parser.add_argument("--readme", action="store_true", help="write the results table of README.md, run nothing")
    options = vars(parser.parse_args(arguments))
    for stream in filter(None, (sys.stdout, sys.stderr)):
        stream.reconfigure(errors="backslashreplace")  # a terminal that can't show a letter is no reason to stop
    if options["data"] and os.path.isfile(options["data"]):  # the kernels work in another folder
        options["data"] = str(Path(options["data"]).resolve())
        try:
            options["data"].encode()
        except UnicodeEncodeError:
            print(f"rename the file {options['data']!r}: a notebook can't hold its name", file=sys.stderr)
            return 2
    try:
        if options.pop("readme"):
            return write_readme_table()
        if options.pop("refresh"):
            return refresh(options)
        return run({name: value for name, value in options.items() if value is not None})
    except OSError as error:
        place = error.filename or RUNS
        print(f"Can't write {place}: {error.strerror or error}; COURSEWORK_RUNS names another folder", file=sys.stderr)
    except DeadKernelError:
        print(
            "The kernel was killed, perhaps for want of memory. Run again: it goes on where it stopped", file=sys.stderr
        )
    except KeyboardInterrupt:
        logging.getLogger("asyncio").setLevel(logging.CRITICAL)  # or it tells of the cell that was stopped
        print("\nStopped. Run again: it goes on where it stopped", file=sys.stderr)
        return 130
    return 1


def whole_number(least):
    """An argparse type: a whole number of at least `least`."""

    def parse(text):
        try:
            value = int(text)
        except ValueError:
            value = least - 1
        if value < least:
            raise argparse.ArgumentTypeError(f"must be a whole number of at least {least}, not {text!r}")
        return value

    return parse


def run(parameters):
    """Execute every notebook through papermill, then write the report; stop at the first failing cell."""
    RUNS.mkdir(parents=True, exist_ok=True)
    executed = []
    for notebook in NOTEBOOKS:
        start = time.perf_counter()
        known = papermill.inspect_notebook(str(notebook))
        copy = RUNS / notebook.name
        try:
            with tempfile.TemporaryDirectory(prefix=".unfinished-", dir=RUNS) as folder:  # another run may work beside
                aside = Path(folder, notebook.name)
                try:
                    papermill.execute_notebook(
                        str(notebook),
                        str(aside),
                        parameters={name: value for name, value in parameters.items() if name in known},
                        kernel_name="python3",
                        cwd=str(notebook.parent),
                        extra_arguments=QUIET,
                    )
                finally:
                    if aside.exists():
                        os.replace(aside, copy)
        except papermill.PapermillExecutionError as error:
            cell = f"cell {error.exec_count}" if error.exec_count else "a cell"
            print(f"{notebook.name}: {cell} failed: {error.ename}: {error.evalue} (see {copy})", file=sys.stderr)
            return 1
        executed.append(copy)
        print(f"{notebook.name}: {time.perf_counter() - start:.0f} s")
    print(f"Report: {report(executed)}")
    return 0


def refresh(options):
    """Execute the notebooks where they are, with their own parameters, and store the outputs in them."""
    if options["epochs"] or options["seed"]:
        print("--refresh uses the notebooks' own parameters: leave out --epochs and --seed", file=sys.stderr)
        return 2
    if options["data"]:
        os.environ["COURSEWORK_DATA"] = options["data"]
    for path in NOTEBOOKS:
        notebook = nbformat.read(path, as_version=4)
        client = nbclient.NotebookClient(
            notebook,
            kernel_name="python3",
            extra_arguments=QUIET,
            resources={"metadata": {"path": str(path.parent)}},
            record_timing=False,
            store_widget_state=False,
        )
        try:
            client.execute()
        except CellExecutionError as error:
            why = f"{error.ename}: {error.evalue}"
            print(f"{path.name}: a cell failed: {why}; its outputs were not stored", file=sys.stderr)
            return 1
        without_widgets(notebook)
        write(path, nbformat.writes(notebook) + "\n")
        print(f"{path.name}: outputs stored")
    return publish()


def publish():
    """Put what the README shows of the last run, the moving picture and the results, where it can be committed."""
    shutil.copyfile(RUNS / "reading.gif", RESULTS.parent / "reading.gif")
    table = io.StringIO()
    csv.writer(table, lineterminator="\n").writerows(results_table(RUNS / "summary.csv"))
    write(RESULTS, table.getvalue())
    return write_readme_table()


def write_readme_table():
    """Put the results of `docs/results.csv` between the two marks in README.md."""
    try:
        header, *rows = results_table(RESULTS)
    except (TypeError, ValueError):
        print(f"{RESULTS} is missing or no table of results: make refresh writes it", file=sys.stderr)
        return 1
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
    table = "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
    marks = re.compile(r"(<!-- results -->\n).*?(\n<!-- end of results -->)", re.S)
    text, count = marks.subn(rf"\g<1>\n{table}\n\g<2>", README.read_text(encoding="utf-8"))
    if count != 1:
        print("README.md needs the marks <!-- results --> and <!-- end of results --> once each", file=sys.stderr)
        return 1
    write(README, text)
    return 0


def without_widgets(notebook):
    """Drop what only a live kernel can show."""
    notebook.metadata.pop("widgets", None)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = [
                output
                for output in cell.outputs
                if "application/vnd.jupyter.widget-view+json" not in output.get("data", {})
            ]


def mathml(latex, display):
    """LaTeX as MathML, which browsers draw by themselves."""
    latex = latex.replace("{aligned}", "{align*}")  # the only one of the two that latex2mathml knows
    latex = re.sub(r"_\{([a-z]{2,})\}", r"_{\\text{\1}}", latex)  # a word, not a product of letters
    return latex2mathml.converter.convert(latex, display=display)


class OfflineRenderer(IPythonRenderer):
    """Markdown with its equations as MathML instead of MathJax from the web."""

    def inline_math(self, body):
        """`$...$`."""
        return mathml(body, "inline")

    def block_math(self, body):
        """`$$...$$`."""
        return mathml(body, "block")

    def latex_environment(self, name, body):
        r"""`\begin{...} ... \end{...}`."""
        return self.block_math(rf"\begin{{{name}}}{body}\end{{{name}}}")


# Jupyter's own page without the scripts that it loads from the web; no line is too long to read, and each picture has
# a text.
OFFLINE_TEMPLATE = """
{%- extends 'lab/index.html.j2' -%}
{%- block html_head_js -%}{%- endblock -%}
{%- block html_head_js_mathjax -%}{%- endblock -%}
{%- block html_head_js_mermaidjs -%}{%- endblock -%}
{%- block extra_css -%}
<style>main { max-width: 72rem; margin: auto; } nav { padding: 0.5rem 80px; }
mtd[columnalign="right"] { text-align: right; } mtd[columnalign="left"] { text-align: left; }</style>
{%- endblock -%}
{%- block body_header -%}
{{ super() }}
<nav><a href="index.html">All notebooks</a></nav>
{%- endblock -%}
{%- block data_png scoped -%}
<div class="jp-RenderedImage jp-OutputArea-output">
<img src="data:image/png;base64,{{ output.data['image/png'] }}"
 alt="{{ output | get_metadata('alt', 'image/png') | e }}">
</div>
{%- endblock -%}
"""


class OfflineExporter(HTMLExporter):
    """A page that shows the same without network: nothing is loaded from elsewhere."""

    def __init__(self, **options):
        loader = jinja2.DictLoader({"offline.html.j2": OFFLINE_TEMPLATE})
        super().__init__(template_file="offline.html.j2", extra_loaders=[loader], **options)

    @jinja2.pass_context
    def markdown2html(self, context, source):
        """Markdown to HTML."""
        return MarkdownWithMath(renderer=OfflineRenderer(escape=False)).render(source)

    def from_notebook_node(self, notebook, resources=None, **options):
        """Prepare the outputs, then convert."""
        without_widgets(notebook)
        text = ""
        for cell in notebook.cells:
            if cell.cell_type == "markdown":
                text = cell.source.strip().splitlines()[-1]
                continue
            for output in cell.get("outputs", []):
                data = output.get("data", {})
                if "image/png" in data:  # without a text of its own, the sentence that leads into the cell
                    output.metadata.setdefault("image/png", {}).setdefault("alt", text)
                elif "text/latex" in data:
                    latex = data["text/latex"].strip().strip("$").replace(r"\displaystyle", "")
                    data["text/html"] = mathml(latex, "block")
        return super().from_notebook_node(notebook, resources, **options)


INDEX = jinja2.Template(
    """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>LSTM and GRU gates</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>
body { font: 16px/1.5 sans-serif; max-width: 64rem; margin: 2rem auto; padding: 0 1rem; color: #222; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
td, th { padding: .2rem 1.5rem .2rem 0; text-align: right; border-bottom: 1px solid #ddd; }
td:first-child, th:first-child { text-align: left; }
.notebooks { display: grid; grid-template-columns: repeat(auto-fit, minmax(17rem, 1fr)); gap: 1.5rem; }
.notebooks a { color: inherit; text-decoration: none; border: 1px solid #ccc; border-radius: 4px; overflow: hidden; }
.notebooks a:hover, .notebooks a:focus { border-color: #0072B2; }
.notebooks span { display: block; padding: .5rem .8rem; color: #0072B2; }
.notebooks img { display: block; width: 100%; height: 11rem; object-fit: cover; object-position: left; }
</style></head><body>
<h1>LSTM and GRU gates</h1>
<div class="notebooks">{% for page, title, picture, alt in pages %}
<a href="{{ page }}">{% if picture %}<img src="data:image/png;base64,{{ picture }}" alt="{{ alt | e }}">{% endif %}
<span>{{ title | e }}</span></a>{% endfor %}
</div>
{% if table %}<h2>Results</h2>
<table><tr>{% for cell in table[0] %}<th scope="col">{{ cell | e }}</th>{% endfor %}</tr>
{% for row in table[1:] %}<tr>{% for cell in row %}<td>{{ cell | e }}</td>{% endfor %}</tr>
{% endfor %}</table>{% endif %}
{% if data %}<p>Data: {{ data | e }}</p>{% endif %}
</body></html>
"""
)


def report(executed):
    """Write `runs/report/`: a page per notebook and `index.html`; returns the path of the index."""
    folder = RUNS / "report"
    folder.mkdir(parents=True, exist_ok=True)
    pages, data = [], None
    for path in executed:
        notebook = nbformat.read(path, as_version=4)
        title = next(cell.source for cell in notebook.cells if cell.cell_type == "markdown").splitlines()[0].strip("# ")
        notebook.metadata["title"] = title
        body, _ = OfflineExporter().from_notebook_node(notebook)
        page = folder / f"{path.stem}.html"
        write(page, body)
        pages.append((page.name, title, *thumbnail(notebook)))
        text = "".join(output.get("text", "") for cell in notebook.cells for output in cell.get("outputs", []))
        chosen = notebook.metadata.get("papermill", {}).get("parameters", {}).get("data")
        data = data or chosen or next(iter(re.findall(r"^Data: ≈\[(.*)\]$", text, re.M)), None)
    index = folder / "index.html"
    table = results_table(RUNS / "summary.csv")
    write(index, INDEX.render(pages=pages, table=table, data=data))
    return index


def write(path, text):
    """Write a file that is never seen half written, even if another run writes it too."""
    aside = path.with_name(f".unfinished-{os.getpid()}-{path.name}")
    try:
        aside.write_text(text, encoding="utf-8")
        os.replace(aside, path)
    finally:
        aside.unlink(missing_ok=True)


def thumbnail(notebook):
    """(PNG in base64, text for it) of the cell tagged `thumbnail`, else of the last picture; (None, None) without."""
    pictures = [
        ("thumbnail" in cell.metadata.get("tags", []), output.data["image/png"], output.metadata["image/png"]["alt"])
        for cell in notebook.cells
        for output in cell.get("outputs", [])
        if "image/png" in output.get("data", {})
    ]
    return sorted(pictures, key=lambda picture: picture[0])[-1][1:] if pictures else (None, None)


def results_table(path):
    """The rows of a results file with numbers of four decimals, or None if there is no such file."""
    try:
        with open(path, encoding="utf-8", newline="") as file:
            header, *rows = csv.reader(file)
    except FileNotFoundError:
        return None
    return [header, *([name, *(f"{float(value):.4f}" for value in values)] for name, *values in rows)]


if __name__ == "__main__":
    sys.exit(main())
