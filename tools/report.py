"""The HTML report of a run: a page for each notebook and an index, which load nothing from anywhere."""

import base64
import os
import platform
import re
from datetime import datetime
from importlib.metadata import version
from pathlib import Path

import jinja2
import latex2mathml.converter
import nbformat
from nbconvert import HTMLExporter
from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath

from coursework.files import ROOT, RUNS, read_csv, write_text
from coursework.machine import processor
from tools.readable import Place, readable

TEMPLATES = jinja2.FileSystemLoader(Path(__file__).parent)
MARKED_WORDS = re.compile(r"≈\[([^\]\n]*)\]")  # as `helpers.measured` marks words, for nbval alone
PACKAGES = ("tensorflow", "keras", "numpy", "sympy")  # whose versions the first page tells


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
    latex = latex.replace(
        "{aligned}", "{align*}"
    )  # the only one of the two that latex2mathml knows
    latex = re.sub(r"_\{([a-z]{2,})\}", r"_{\\text{\1}}", latex)  # a word, not a product of letters
    latex = re.sub(r"(?<=[\w}]) (?=\\tanh)", r" \\, ", latex)  # else o tanh reads as one word
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


class OfflineExporter(HTMLExporter):
    """A page that shows the same without network: nothing is loaded from elsewhere."""

    def __init__(self, **options):
        super().__init__(template_file="notebook.html.j2", extra_loaders=[TEMPLATES], **options)

    @jinja2.pass_context
    def markdown2html(self, context, source):
        """Markdown to HTML."""
        source = source.replace("](../runs/", "](")  # what lies in runs/ lies beside the page
        return MarkdownWithMath(renderer=OfflineRenderer(escape=False)).render(source)

    def from_notebook_node(self, nb, resources=None, **options):
        """Prepare the outputs, then convert."""
        without_widgets(nb)
        text = ""
        for cell in nb.cells:
            if cell.cell_type == "markdown":
                text = cell.source.strip().splitlines()[-1]
                continue
            for output in cell.get("outputs", []):
                prepare(output, text)
        return super().from_notebook_node(nb, resources, **options)


def prepare(output: nbformat.NotebookNode, text: str) -> None:
    """Make an output of a cell fit for a page without network; `text` is for a picture that has none of its own."""
    data = output.get("data", {})
    if "text" in output:
        output.text = MARKED_WORDS.sub(r"\1", output.text)
    if "image/png" in data:
        output.metadata.setdefault("image/png", {}).setdefault("alt", text)
    elif "text/latex" in data:
        latex = data["text/latex"].strip().strip("$").replace(r"\displaystyle", "")
        data["text/html"] = mathml(latex, "block")
    elif "text/plain" in data:
        data["text/plain"] = MARKED_WORDS.sub(r"\1", data["text/plain"])


def report(executed: list[Path]) -> Path:
    """Write `runs/report/`: a page per notebook, the reader if there is one, `index.html`; returns the index's path."""
    folder = RUNS / "report"
    folder.mkdir(parents=True, exist_ok=True)
    notebooks = [nbformat.read(path, as_version=4) for path in executed]
    facts = facts_of(notebooks)
    places = [
        (f"{path.stem}.html", title_of(notebook))
        for notebook, path in zip(notebooks, executed, strict=True)
    ]
    before, after = [None, *places], [*places[1:], None]
    pages = [
        page(notebook, folder / place[0], before[number], after[number])
        for number, (notebook, place) in enumerate(zip(notebooks, places, strict=True))
    ]
    if reader := (RUNS / "reader.html").is_file():
        stage = (RUNS / "reader.html").read_text(encoding="utf-8")
        back = '<p class="about"><a href="index.html">All notebooks and results</a></p>'
        write_text(folder / "reader.html", stage.replace("<!-- back -->", back, 1))
    index = folder / "index.html"
    table = results_table(RUNS / "summary.csv")
    contents = jinja2.Environment(loader=TEMPLATES, autoescape=True).get_template(
        "contents.html.j2"
    )
    shown = {"reader": reader, "stage": stage_picture(), "conclusions": conclusions(notebooks)}
    write_text(index, contents.render(pages=pages, table=table, facts=facts, **shown))
    return index


def title_of(notebook: nbformat.NotebookNode) -> str:
    """The title of a notebook: its first heading."""
    first = next(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    return first.splitlines()[0].strip("# ")


def page(
    notebook: nbformat.NotebookNode,
    path: Path,
    before: Place | None = None,
    after: Place | None = None,
) -> tuple[str, str, bool, str | None, str | None]:
    """Write the page of a notebook; returns its name and title, whether it failed, its picture and the text for it."""
    title = title_of(notebook)
    notebook.metadata["title"] = title
    body, _ = OfflineExporter().from_notebook_node(notebook)
    write_text(path, readable(body, before, after))
    failed = any(output.output_type == "error" for output in outputs_of(notebook))
    return path.name, title, failed, *thumbnail(notebook)


def conclusions(notebooks: list[nbformat.NotebookNode]) -> list[str]:
    """What the cells tagged `conclusion` say, as HTML: sentences with numbers from this run."""
    cells = [cell for notebook in notebooks for cell in notebook.cells]
    sentences = []
    for cell in cells:
        if "conclusion" not in cell.metadata.get("tags", []):
            continue
        for output in cell.get("outputs", []):
            text = output.get("data", {}).get("text/html", "")
            sentences.append(re.sub(r"</?(p|span)[^>]*>", "", text))
    return [sentence for sentence in sentences if sentence and "<" not in sentence]


def stage_picture() -> str | None:
    """The committed picture of the stage, in base64, or None."""
    picture = ROOT / "docs" / "reader.png"
    return base64.b64encode(picture.read_bytes()).decode() if picture.is_file() else None


def outputs_of(notebook: nbformat.NotebookNode) -> list[nbformat.NotebookNode]:
    """The outputs of all cells, in order."""
    return [output for cell in notebook.cells for output in cell.get("outputs", [])]


def facts_of(notebooks: list[nbformat.NotebookNode]) -> dict[str, str]:
    """What the first page says of a run: its data, day and time, versions, processor."""
    runs = [notebook.metadata.get("papermill", {}) for notebook in notebooks]
    facts = {"Data": data_taken(notebooks)}
    ends = [run["end_time"] for run in runs if run.get("end_time")]
    if ends:
        last = datetime.fromisoformat(max(ends)).astimezone()
        facts["Run on"] = f"{last:%d %B %Y, %H:%M}"
    seconds = sum(run.get("duration") or 0 for run in runs)
    if seconds:
        facts["Time"] = f"{seconds:,.0f} seconds"
    versions = [f"{package} {version(package)}" for package in PACKAGES]
    facts["Versions"] = ", ".join([f"Python {platform.python_version()}", *versions])
    facts["Processor"] = f"{processor()}, {os.cpu_count()} cores"
    return facts


def data_taken(notebooks: list[nbformat.NotebookNode]) -> str:
    """The data that the notebooks took: as "auto" says in a line of its own, else as it was chosen."""
    for notebook in notebooks:
        for output in outputs_of(notebook):
            text = output.get("text") or output.get("data", {}).get("text/plain", "")
            said = re.search(r"^Data: (.*)$", text, re.M)
            if said:
                return MARKED_WORDS.sub(r"\1", said[1])
    for notebook in notebooks:
        chosen = notebook.metadata.get("papermill", {}).get("parameters", {})
        if "data" in chosen:
            return Path(str(chosen["data"])).name
    return "as in the notebooks"


def thumbnail(notebook: nbformat.NotebookNode) -> tuple[str | None, str | None]:
    """(PNG in base64, text for it) of the cell tagged `thumbnail`, else of the last picture; (None, None) without."""
    last: tuple[str | None, str | None] = (None, None)
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            if "image/png" in output.get("data", {}):
                last = output.data["image/png"], output.metadata["image/png"]["alt"]
                if "thumbnail" in cell.metadata.get("tags", []):
                    return last
    return last


def results_table(path: Path) -> list[list[str]]:
    """The header and the rows of a results file with numbers of four decimals; empty if there is no such file."""
    if not path.is_file():
        return []
    header, *rows = read_csv(path)
    table = [header]
    for name, *values in rows:
        table.append([name, *(f"{float(value):.4f}" for value in values)])
    return table
