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
from nbgrader.utils import compute_checksum, is_grade, is_solution
from traitlets.config import Config

from coursework.files import NOTEBOOKS, ROOT, RUNS
from coursework.practice import own_answer, own_task
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

# With variants: the points of each of a student's two cells of Q1.4. They are said here, and nowhere else.
OWN_POINTS = 5
OWN_CELLS_AFTER = "q13-check"  # in notebook 1


def handout_texts():
    """docs/handout.md as a dict: "README", or (notebook, "before", "variant" or "after", cell), to Markdown."""
    parts = re.split(
        r"^<!-- (.+) -->\n", (ROOT / "docs" / "handout.md").read_text(encoding="utf-8"), flags=re.M
    )
    texts = {}
    for key, text in zip(parts[1::2], parts[2::2], strict=True):
        text = text.strip().replace("(own points)", f"{2 * OWN_POINTS}") + "\n"
        texts[key if key.startswith("README") else tuple(key.split())] = text
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
    given = [cell for cell in master.cells if "nbgrader" in cell.metadata]
    if variants:
        given = with_own_cells(given)
    for cell in given:
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


def with_own_cells(cells):
    """The cells of notebook 1 with those of Q1.4; another notebook's as they are."""
    found = []
    for cell in cells:
        found.append(cell)
        if cell.id == OWN_CELLS_AFTER:
            found += own_cell("h") + own_cell("c")
    return found


def own_cell(memory):
    """The cells about one of a student's own: the question, the answer and the check.

    The answer is another one for everybody; so the course has none, and `own_answers` is asked for one.
    """
    call = f'helpers.check_own_cell(student, "{memory}", q14_{memory})'
    return [
        for_nbgrader(f"q14-cell-{memory}", f'helpers.own_cell(student, "{memory}")'),
        for_nbgrader(f"q14-answer-{memory}", f"q14_{memory} = ...", solution=True, locked=False),
        for_nbgrader(
            f"q14-check-{memory}",
            f"helpers.award({OWN_POINTS}, {call})",
            grade=True,
            points=OWN_POINTS,
        ),
    ]


def for_nbgrader(name, source, **more):
    """A code cell that nbgrader knows: a given one, unless `more` of its metadata says otherwise."""
    known = {"grade": False, "locked": True, "solution": False, "task": False, "schema_version": 3}
    cell = nbformat.v4.new_code_cell(source, id=name)
    cell.metadata["nbgrader"] = {"grade_id": name, **known, **more}
    return cell


def own_answers(notebook, student):
    """Notebook 1 of the course with the answers of this student to Q1.4, if it has that question."""
    for cell in notebook.cells:
        if cell.id.startswith("q14-answer-"):
            memory = cell.id[-1]
            cell.source = f"q14_{memory} = {own_answer(own_task(student, memory))!r}"
    return notebook


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
    """The cells of a text: Markdown with its pictures, and code for each block of Python in it."""
    cells = []
    for place, part in enumerate(re.split(r"^```python\n(.*?)^```$", text, flags=re.M | re.S)):
        part_name = f"{name}-{place}" if place else name
        if place % 2:
            cells.append(nbformat.v4.new_code_cell(part.strip(), id=part_name))
        elif part.strip():
            cells.append(words(part.strip() + "\n" * (part.endswith("\n")), part_name, pictures))
    return cells


def words(text, name, pictures):
    """A cell with a text and its pictures."""
    cell = nbformat.v4.new_markdown_cell(text, id=name)
    for picture in re.findall(r"\(picture:([\w-]+)\)", text):
        if picture not in pictures:
            raise ValueError(f"{name}: no picture is stored in cell {picture}: make refresh")
        cell.source = cell.source.replace(f"(picture:{picture})", f"(attachment:{picture}.png)")
        cell.setdefault("attachments", {})[f"{picture}.png"] = {
            "image/png": pictures[picture].strip()
        }
    return cell


# What is left over ----------------------------------------------------------------------------------------------------
def tidy(notebook):
    """Remove what the solutions or our own texts needed: names that nothing in the hand-out reads."""
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    before = None
    while before != (sources := [cell.source for cell in code]):
        before = sources
        read = {name for source in sources for name in names_read(source)}
        for cell in code:
            cell.source = without_unread(cell.source, read) or cell.source
    for cell in code:
        if "checksum" in cell.metadata.get("nbgrader", {}):
            cell.metadata.nbgrader.checksum = compute_checksum(cell)


def names_read(source):
    """The names that a cell reads, but for a check of parameters, which is no use of them."""
    lines = [line for line in ast.parse(source).body if not is_parameter_check(line)]
    return set(names_in("\n".join(map(ast.unparse, lines)), ast.Load))


def is_parameter_check(line):
    """Is a statement a call of `check_integer`?"""
    return isinstance(line, ast.Expr) and ast.unparse(line).startswith("helpers.check_integer(")


def without_unread(source, read):
    """The source without the statements that only make names which nobody reads."""
    lines: list[str | None] = list(source.split("\n"))
    for node in ast.parse(source).body:
        if (shorter := read_part(node, read)) is not None:
            first, *others = range(node.lineno - 1, node.end_lineno)
            lines[first] = shorter or None
            for number in others:
                lines[number] = None
    return "\n".join(line for line in lines if line is not None).strip("\n")


def read_part(node, read):
    """What a statement becomes if some of its names are not read: '' if none is, None if it stays as it is."""
    match node:
        case ast.ImportFrom(module="sympy"):
            return None  # an answer may be a fraction
        case ast.ImportFrom():
            used = [name for name in node.names if (name.asname or name.name) in read]
            if len(used) == len(node.names):
                return None
            return ast.unparse(ast.ImportFrom(node.module, used, node.level)) if used else ""
        case ast.Assign(targets=[ast.Name(name)]):
            return "" if name not in read else None
        case ast.Expr() if is_parameter_check(node):
            checked = set(names_in(ast.unparse(node), ast.Load))
            return None if checked <= {*read, "helpers"} else ""
    return None


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
    readme, more = texts.pop("README"), texts.pop("README variant")
    readme += f"\n{more}" * variants
    for path in MASTERS:
        nbformat.write(reduced(path, texts, epochs, variants), source / path.name)
    if not variants:  # texts that nobody gets
        own = {cell.id for memory in "hc" for cell in own_cell(memory)}
        texts = {key: text for key, text in texts.items() if key[2] not in own}
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
            if "parameters" in cell.metadata.get("tags", []):
                cell.metadata.pop("editable", None)  # for the student's name, and other data
        tidy(notebook)
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
