"""The hand-out: nbgrader's release of what the masters in notebooks/ hold for students, with the texts of docs/."""

import ast
import os
import re
import shutil
import sys
import tempfile
from pathlib import Path

import nbformat
from nbgrader.apps import NbGraderAPI
from nbgrader.utils import is_grade, is_solution
from traitlets.config import Config

from coursework.files import NOTEBOOKS, ROOT, RUNS
from teaching import Refused
from teaching.cells import STUB, names_in, with_parameters

# With points: nbgrader's masters. The others go out as they are, and don't come back.
MASTERS = [path for path in NOTEBOOKS if '"grade_id"' in path.read_text(encoding="utf-8")]
UNGRADED = [path for path in NOTEBOOKS if path not in MASTERS]
NAMES = [path.stem for path in MASTERS]
ASSIGNMENT = "gates"
HANDOUT = "lstm-gru-gates"
os.environ["PATH"] = (
    f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"  # nbgrader starts `alembic`
)


# What a variant per student changes: the beginning of a cell's name, what stands there, what stands there then.
VARIED = (
    ("parameters", "seed = 0", "student = ...\nmine = helpers.variant(student)\nseed = mine.seed"),
    ("gru-equations", '"GRU"', '"GRU", mine.z_keeps'),
    ("q11-answer", '"z": 0', '"z": 1 - mine.z_keeps'),
    ("q11-check-gru", "q11_gru", "q11_gru, mine.z_keeps"),
    ("q12-answer", '"z": 1', '"z": mine.z_keeps'),
    ("q12-check-gru", "q12_gru", "q12_gru, mine.z_keeps"),
    ("q2-", "recipe", '{**recipe, "seed": seed}'),
    ("q32-output", "first_of[7]", "first_of[mine.digit]"),
    ("q32-check", "d.x_test", "d.x_test[d.y_test == mine.digit]"),
    ("bonus-images", "first_of[3], first_of[7]", "first_of[digit] for digit in mine.pair"),
)


def handout_texts():
    """docs/handout.md as a dict: "README" or (notebook, "before" or "after", cell) -> Markdown."""
    parts = re.split(
        r"^<!-- (.+) -->\n", (ROOT / "docs" / "handout.md").read_text(encoding="utf-8"), flags=re.M
    )
    texts = {}
    for key, text in zip(parts[1::2], parts[2::2], strict=True):
        texts["README" if key == "README" else tuple(key.split())] = text.strip() + "\n"
    return texts


def reduced(path, texts, epochs, variants):
    """The part of a master that a student gets, still with its solutions.

    Kept are the cells that nbgrader knows (given, answer, check), with the texts of docs/handout.md in place of ours.
    If each student has a variant, cells and texts say so.
    """
    master, cells = nbformat.read(path, as_version=4), list[nbformat.NotebookNode]()
    pictures: dict[str, str] = {}
    for cell in master.cells:
        for output in cell.get("outputs", []):
            pictures |= (
                {cell.id: output.data["image/png"]} if "image/png" in output.get("data", {}) else {}
            )
    for cell in master.cells:
        if "nbgrader" not in cell.metadata:
            continue
        cell.source = with_parameters(beside_helpers(cell.source), epochs=epochs)
        before, variant, after = (
            texts.pop((path.stem, at, cell.id), "") for at in ("before", "variant", "after")
        )
        if variants:
            before += "\n" * bool(before) + variant
            for start, old, new in VARIED:
                if cell.id.startswith(start):
                    if old not in cell.source:
                        raise ValueError(
                            f"{path.stem}: {old!r} is not in cell {cell.id}, where variants replace it"
                        )
                    cell.source = cell.source.replace(old, new)
        cells += [*in_words(before, f"before-{cell.id}", pictures), cell]
        cells += in_words(after, f"after-{cell.id}", pictures)
    return nbformat.v4.new_notebook(metadata=master.metadata, cells=cells)


def beside_helpers(source):
    """The source of a cell for a folder in which helpers.py lies beside the notebooks."""
    return re.sub(r'import sys\n+sys\.path\.insert\(0, "\.\."\).*\n+', "", source)


def as_it_is(path, epochs):
    """A notebook without points for the hand-out: all of it, without outputs, as students run it themselves."""
    notebook = nbformat.read(path, as_version=4)
    for cell in notebook.cells:
        cell.metadata.pop("jupyter", None)  # nothing to fold
        if cell.cell_type == "code":
            cell.source = with_parameters(beside_helpers(cell.source), epochs=epochs)
            cell.outputs, cell.execution_count = [], None
    return notebook


def in_words(text, name, pictures):
    """A list with the cell of a text and its pictures; none if there is no text."""
    if not text:
        return []
    cell = nbformat.v4.new_markdown_cell(text, id=name)
    for picture in re.findall(r"\(picture:([\w-]+)\)", text):
        if picture not in pictures:
            raise ValueError(f"{name}: no picture is stored in cell {picture}: make refresh")
        cell.source = cell.source.replace(f"(picture:{picture})", f"(attachment:{picture}.png)")
        cell.setdefault("attachments", {})[f"{picture}.png"] = {
            "image/png": pictures[picture].strip()
        }
    return [cell]


def answer_names(handout):
    """The names of the answers that the checks of a notebook of the hand-out read."""
    code = [cell for cell in handout.cells if cell.cell_type == "code"]
    read = {name for cell in code if is_grade(cell) for name in names_in(cell.source, ast.Load)}
    return [
        n
        for cell in code
        if is_solution(cell)
        for n in names_in(cell.source, ast.Store)
        if n in read
    ]


def make_course(folder, epochs=None, variants=False):
    """A course folder for nbgrader: `source` (with solutions) and, made by nbgrader, `release` and the gradebook."""
    source = folder / "source" / ASSIGNMENT
    shutil.rmtree(source, ignore_errors=True)
    source.mkdir(parents=True)
    texts = handout_texts()
    readme = texts.pop("README")
    for path in MASTERS:
        nbformat.write(reduced(path, texts, epochs, variants), source / path.name)
    if texts:
        raise ValueError(
            f"docs/handout.md names a cell that is not handed out: {' '.join(next(iter(texts)))}"
        )
    (source / "README.md").write_text(readme, encoding="utf-8")
    shutil.copytree(
        ROOT / "coursework", source / "coursework", ignore=shutil.ignore_patterns("__pycache__")
    )
    for name in ("helpers.py", "requirements.txt"):
        shutil.copy(ROOT / name, source)
    nbgrader(folder, "generate_assignment")
    for path in sorted((folder / "release" / ASSIGNMENT).glob("*.ipynb")):
        notebook = nbformat.read(path, as_version=4)
        solved = {
            cell.id: cell.source for cell in nbformat.read(source / path.name, as_version=4).cells
        }
        for cell in notebook.cells:
            if cell.source == "...":  # all of the cell is the solution: its names stay
                names = [
                    target.id for line in ast.parse(solved[cell.id]).body for target in line.targets
                ]
                cell.source = "\n".join(f"{name} = ..." for name in names)
        nbformat.write(notebook, path)
    for path in UNGRADED:  # now, so that nbgrader's gradebook knows nothing of them
        nbformat.write(as_it_is(path, epochs), folder / "release" / ASSIGNMENT / path.name)
    return folder


def nbgrader(folder: Path, step: str, student: str | None = None) -> None:
    """Let nbgrader take a step with the course in a folder, whatever course its user's own settings name."""
    config = Config()
    config.CourseDirectory.root = str(folder)
    config.CourseDirectory.course_id = HANDOUT
    config.ClearSolutions.code_stub = {"python": "..."}
    config.ClearSolutions.text_stub = STUB
    config.NbGrader.log_level = config.Application.log_level = "ERROR"
    arguments = {"student_id": student} if student else {}
    result = getattr(NbGraderAPI(config=config), step)(ASSIGNMENT, **arguments)
    if not result["success"]:
        log, said = folder / "logs" / f"{step}.txt", result.get("log") or result["error"]
        log.parent.mkdir(exist_ok=True)
        log.write_text(said, encoding="utf-8")
        lines = [line for line in said.splitlines() if line.strip()] or ["no reason given"]
        reason = next(
            (line for line in reversed(lines) if re.match(r"[\w.]*(Error|Exception)\b", line)),
            lines[-1],
        )
        raise Refused(f"nbgrader could not {step.replace('_', ' ')}: {reason} ({log})")


def student(epochs=None, variants=False):
    """Write the hand-out to `runs/student/`: a folder and a zip; returns the zip's path."""
    target = RUNS / "student"
    with tempfile.TemporaryDirectory() as course:
        release = make_course(Path(course), epochs, variants) / "release" / ASSIGNMENT
        shutil.rmtree(target / HANDOUT, ignore_errors=True)
        shutil.copytree(release, target / HANDOUT)
    return Path(shutil.make_archive(str(target / HANDOUT), "zip", target, HANDOUT))
