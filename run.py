"""Run the notebooks in order, keep the executed copies in `runs/`, and write an HTML report that needs no network.

python run.py [--data NAME_OR_PATH] [--epochs N] [--seed N]
python run.py --refresh [--data NAME_OR_PATH]     (store fresh outputs in notebooks/ itself)
"""

import argparse
import csv
import os
import sys
import time
from pathlib import Path

import jinja2
import latex2mathml.converter
import nbclient
import nbformat
import papermill
from nbconvert import HTMLExporter
from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath

ROOT = Path(__file__).resolve().parent
NOTEBOOKS = sorted((ROOT / "notebooks").glob("[0-9]*.ipynb"))
RUNS = Path(os.environ.get("COURSEWORK_RUNS") or ROOT / "runs")


def main(arguments=None):
    """Parse the command line, run, and return the exit code."""
    parser = argparse.ArgumentParser(description="Run the notebooks in order into runs/, with an HTML report.")
    parser.add_argument("--data", help="auto, mnist, digits or the path of an .npz file")
    parser.add_argument("--epochs", type=whole_number(1), help="training epochs of each model")
    parser.add_argument("--seed", type=whole_number(0), help="seed of weights and shuffling")
    parser.add_argument("--refresh", action="store_true", help="store fresh outputs in notebooks/ itself")
    options = vars(parser.parse_args(arguments))
    if options["data"] and Path(options["data"]).is_file():  # the kernels work in another folder
        options["data"] = str(Path(options["data"]).resolve())
    if options.pop("refresh"):
        return refresh(options)
    return run({name: value for name, value in options.items() if value is not None})


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
            papermill.execute_notebook(
                str(notebook),
                str(copy),
                parameters={name: value for name, value in parameters.items() if name in known},
                kernel_name="python3",
                cwd=str(notebook.parent),
            )
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
            resources={"metadata": {"path": str(path.parent)}},
            record_timing=False,
            store_widget_state=False,
        )
        client.execute()
        without_widgets(notebook)
        nbformat.write(notebook, path)
        print(f"{path.name}: outputs stored")
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


# Jupyter's own page without the scripts that it loads from the web, and with a text for each picture.
OFFLINE_TEMPLATE = """
{%- extends 'lab/index.html.j2' -%}
{%- block html_head_js -%}{%- endblock -%}
{%- block html_head_js_mathjax -%}{%- endblock -%}
{%- block html_head_js_mermaidjs -%}{%- endblock -%}
{%- block data_png scoped -%}
<div class="jp-RenderedImage jp-OutputArea-output">
<img src="data:image/png;base64,{{ output.data['image/png'] }}" alt="{{ output.metadata.alt | e }}">
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
                if "image/png" in data:
                    output.metadata["alt"] = text  # the sentence that leads into the cell
                elif "text/latex" in data:
                    latex = data["text/latex"].strip().strip("$").replace(r"\displaystyle", "")
                    data["text/html"] = mathml(latex, "block")
        return super().from_notebook_node(notebook, resources, **options)


INDEX = jinja2.Template(
    """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>LSTM and GRU gates</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>
body { font: 16px/1.5 sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; } td, th { padding: .2rem 1rem .2rem 0; text-align: left; }
.notebooks { display: flex; flex-wrap: wrap; gap: 2rem; } .notebooks a { width: 17rem; }
img { width: 100%; height: 11rem; object-fit: contain; border: 1px solid #ccc; }
</style></head><body>
<h1>LSTM and GRU gates</h1>
<div class="notebooks">{% for page, title, picture in pages %}
<a href="{{ page }}">{% if picture %}<img src="data:image/png;base64,{{ picture }}" alt="">{% endif %}
<br>{{ title | e }}</a>{% endfor %}
</div>
{% if table %}<h2>Results</h2>
<table><tr>{% for cell in table[0] %}<th>{{ cell | e }}</th>{% endfor %}</tr>
{% for row in table[1:] %}<tr>{% for cell in row %}<td>{{ cell | e }}</td>{% endfor %}</tr>
{% endfor %}</table>{% endif %}
</body></html>
"""
)


def report(executed):
    """Write `runs/report/`: a page per notebook and `index.html`; returns the path of the index."""
    folder = RUNS / "report"
    folder.mkdir(parents=True, exist_ok=True)
    pages = []
    for path in executed:
        notebook = nbformat.read(path, as_version=4)
        title = next(cell.source for cell in notebook.cells if cell.cell_type == "markdown").splitlines()[0].strip("# ")
        notebook.metadata["title"] = title
        body, _ = OfflineExporter().from_notebook_node(notebook)
        page = folder / f"{path.stem}.html"
        page.write_text(body, encoding="utf-8")
        pictures = [
            output.data["image/png"]
            for cell in notebook.cells
            for output in cell.get("outputs", [])
            if "image/png" in output.get("data", {})
        ]
        pages.append((page.name, title, pictures[-1] if pictures else None))
    index = folder / "index.html"
    index.write_text(INDEX.render(pages=pages, table=results_table()), encoding="utf-8")
    return index


def results_table():
    """The rows of `runs/summary.csv` with rounded numbers, or None."""
    try:
        with open(RUNS / "summary.csv", encoding="utf-8", newline="") as file:
            header, *rows = csv.reader(file)
    except FileNotFoundError:
        return None
    return [header, *([name, *(f"{float(value):.4f}" for value in values)] for name, *values in rows)]


if __name__ == "__main__":
    sys.exit(main())
