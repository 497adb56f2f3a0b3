"""The HTML report of a run: a page for each notebook and an index, which load nothing from anywhere."""

import re
import shutil
from pathlib import Path

import jinja2
import latex2mathml.converter
import nbformat
from nbconvert import HTMLExporter
from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath

from coursework.files import RUNS, read_csv, replacing, write_text

TEMPLATES = jinja2.FileSystemLoader(Path(__file__).parent)


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


class OfflineExporter(HTMLExporter):
    """A page that shows the same without network: nothing is loaded from elsewhere."""

    def __init__(self, **options):
        super().__init__(template_file="notebook.html.j2", extra_loaders=[TEMPLATES], **options)

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
    contents = jinja2.Environment(loader=TEMPLATES, autoescape=True).get_template("contents.html.j2")
    write_text(index, contents.render(pages=pages, reader=reader, table=table, data=data))
    return index


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
