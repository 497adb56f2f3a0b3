"""The hand-out: nbgrader's release of what the masters in notebooks/ hold for students, with the texts of docs/."""

import ast
import copy
import os
import re
import shutil
import sys
import tempfile
from pathlib import Path

import nbformat
from nbgrader.apps import NbGraderAPI
from nbgrader.converters import GenerateAssignment
from nbgrader.preprocessors import ClearSolutions
from traitlets.config import Config

from coursework.files import NOTEBOOKS, ROOT, RUNS
from teaching.cells import STUB, is_answer, is_check, names_in, with_parameters

NAMES = [path.stem for path in NOTEBOOKS]
ASSIGNMENT = "gates"
HANDOUT = "lstm-gru-gates"
os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"  # nbgrader starts `alembic`


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


class Stubs(ClearSolutions):
    """nbgrader's ClearSolutions, but a whole answer cell keeps its names: each `name = answer` becomes `name = ...`."""

    def preprocess_cell(self, cell, resources, cell_index):
        """Shorten a solution cell; regions between BEGIN SOLUTION and END SOLUTION are nbgrader's own business."""
        names = []
        answer = cell.cell_type == "code" and cell.metadata.get("nbgrader", {}).get("solution")
        if answer and self.begin_solution_delimeter not in cell.source:
            names = [target.id for line in ast.parse(cell.source).body for target in line.targets]
        cell, resources = super().preprocess_cell(cell, resources, cell_index)
        if names:
            cell.source = "\n".join(f"{name} = ..." for name in names)
        return cell, resources


def handout_texts():
    """docs/handout.md as a dict: "README" or (notebook, "before" or "after", cell) -> Markdown."""
    parts = re.split(r"^<!-- (.+) -->\n", (ROOT / "docs" / "handout.md").read_text(encoding="utf-8"), flags=re.M)
    texts = {}
    for key, text in zip(parts[1::2], parts[2::2], strict=True):
        texts["README" if key == "README" else tuple(key.split())] = text.strip() + "\n"
    return texts


def reduced(master, name, texts, variants):
    """The part of a master that a student gets, still with its solutions.

    Kept are the cells that nbgrader knows (given, answer, check), with the texts of docs/handout.md in place of ours.
    If each student has a variant, cells and texts say so.
    """
    notebook = nbformat.v4.new_notebook(metadata=copy.deepcopy(master.metadata))
    pictures = {
        cell.id: output.data["image/png"]
        for cell in master.cells
        for output in cell.get("outputs", [])
        if "image/png" in output.get("data", {})
    }
    for cell in master.cells:
        if "nbgrader" not in cell.metadata:
            continue
        cell = copy.deepcopy(cell)
        # In the hand-out helpers.py lies beside the notebooks.
        cell.source = re.sub(r'import sys\n+sys\.path\.insert\(0, "\.\."\).*\n+', "", cell.source)
        around = {place: texts.pop((name, place, cell.id), "") for place in ("before", "variant", "after")}
        if variants:
            around["before"] += "\n" * bool(around["before"]) + around["variant"]
            for start, old, new in VARIED:
                if cell.id.startswith(start):
                    if old not in cell.source:
                        raise ValueError(f"{name}: {old!r} is not in cell {cell.id}, where variants replace it")
                    cell.source = cell.source.replace(old, new)
        notebook.cells += [*in_words(around["before"], f"before-{cell.id}", pictures), cell]
        notebook.cells += in_words(around["after"], f"after-{cell.id}", pictures)
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
        cell.setdefault("attachments", {})[f"{picture}.png"] = {"image/png": pictures[picture].strip()}
    return [cell]


def answer_names(handout):
    """The names of the answers that the checks of a notebook of the hand-out read."""
    read = {name for cell in handout.cells if is_check(cell) for name in names_in(cell.source, ast.Load)}
    answers = [cell for cell in handout.cells if cell.cell_type == "code" and is_answer(cell)]
    return [name for cell in answers for name in names_in(cell.source, ast.Store) if name in read]


def make_course(folder, epochs=None, variants=False):
    """A course folder for nbgrader: `source` (with solutions) and, made by nbgrader, `release` and the gradebook."""
    source = folder / "source" / ASSIGNMENT
    shutil.rmtree(source, ignore_errors=True)
    source.mkdir(parents=True)
    texts = handout_texts()
    readme = texts.pop("README")
    for path in NOTEBOOKS:
        notebook = reduced(nbformat.read(path, as_version=4), path.stem, texts, variants)
        for cell in notebook.cells:
            if "parameters" in cell.metadata.get("tags", []):
                cell.source = with_parameters(cell.source, epochs=epochs)
        nbformat.write(notebook, source / path.name)
    if texts:
        raise ValueError(f"docs/handout.md names a cell that is not handed out: {' '.join(next(iter(texts)))}")
    (source / "README.md").write_text(readme, encoding="utf-8")
    shutil.copy(ROOT / "helpers.py", source)
    shutil.copytree(ROOT / "coursework", source / "coursework", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("requirements.txt", "requirements.lock"):
        shutil.copy(ROOT / name, source)

    config = Config()
    config.CourseDirectory.root = str(folder)
    config.CourseDirectory.course_id = HANDOUT
    config.GenerateAssignment.preprocessors = [
        Stubs if step is ClearSolutions else step for step in GenerateAssignment().preprocessors
    ]
    config.ClearSolutions.code_stub = {"python": "..."}
    config.ClearSolutions.text_stub = STUB
    config.NbGrader.log_level = config.Application.log_level = "ERROR"
    result = NbGraderAPI(config=config).generate_assignment(ASSIGNMENT)
    if not result["success"]:
        raise RuntimeError(f"nbgrader could not make the hand-out:\n{result.get('log') or result.get('error')}")
    return folder


def student(epochs=None, variants=False):
    """Write the hand-out to `runs/student/`: a folder and a zip; returns the zip's path."""
    target = RUNS / "student"
    with tempfile.TemporaryDirectory() as course:
        release = make_course(Path(course), epochs, variants) / "release" / ASSIGNMENT
        shutil.rmtree(target / HANDOUT, ignore_errors=True)
        shutil.copytree(release, target / HANDOUT)
    return Path(shutil.make_archive(str(target / HANDOUT), "zip", target, HANDOUT))
