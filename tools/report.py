"""The HTML report of a run: a page for each notebook and an index, which load nothing from anywhere."""

import re
import shutil
from pathlib import Path

import jinja2
import latex2mathml.converter
import nbformat
from nbconvert import HTMLExporter
from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath

from coursework.files import RUNS, read_csv, replacing


def without_widgets(notebook: nbformat.NotebookNode) -> None:
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
.jp-InputArea pre { white-space: pre-wrap; }
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
{% if reader %}<p><a href="reader.html">Draw a digit and watch a network read it</a></p>{% endif %}
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


def report(executed: list[Path]) -> Path:
    """Write `runs/report/`: a page per notebook, the reader if there is one, `index.html`; returns the index's path."""
    folder = RUNS / "report"
    folder.mkdir(parents=True, exist_ok=True)
    pages, data = [], None
    for path in executed:
        notebook = nbformat.read(path, as_version=4)
        title = next(cell.source for cell in notebook.cells if cell.cell_type == "markdown").splitlines()[0].strip("# ")
        notebook.metadata["title"] = title
        body, _ = OfflineExporter().from_notebook_node(notebook)
        page = folder / f"{path.stem}.html"
        write_text(page, body)
        pages.append((page.name, title, *thumbnail(notebook)))
        outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
        text = "\n".join(output.get("text") or output.get("data", {}).get("text/plain", "") for output in outputs)
        chosen = notebook.metadata.get("papermill", {}).get("parameters", {}).get("data")
        data = data or chosen or next(iter(re.findall(r"^Data: ≈\[(.*)\]$", text, re.M)), None)
    if reader := (RUNS / "reader.html").is_file():
        with replacing(folder / "reader.html") as copy:
            shutil.copyfile(RUNS / "reader.html", copy)
    index = folder / "index.html"
    table = results_table(RUNS / "summary.csv")
    write_text(index, INDEX.render(pages=pages, reader=reader, table=table, data=data))
    return index


def write_text(path: Path, text: str) -> None:
    """Replace a text file, whole or not at all."""
    with replacing(path) as unfinished:
        unfinished.write_text(text, encoding="utf-8")


def thumbnail(notebook):
    """(PNG in base64, text for it) of the cell tagged `thumbnail`, else of the last picture; (None, None) without."""
    pictures = [
        ("thumbnail" in cell.metadata.get("tags", []), output.data["image/png"], output.metadata["image/png"]["alt"])
        for cell in notebook.cells
        for output in cell.get("outputs", [])
        if "image/png" in output.get("data", {})
    ]
    return sorted(pictures, key=lambda picture: picture[0])[-1][1:] if pictures else (None, None)


def results_table(path: Path) -> list[list[str]] | None:
    """The rows of a results file with numbers of four decimals, or None if there is no such file."""
    if not path.is_file():
        return None
    header, *rows = read_csv(path)
    return [header, *([name, *(f"{float(value):.4f}" for value in values)] for name, *values in rows)]
