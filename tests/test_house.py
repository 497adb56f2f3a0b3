"""The house as CONTRIBUTING.md describes it: sizes, floors, the front door, and where each function is taught."""

import ast
import inspect
import json
import re
import subprocess
import types
from pathlib import Path

import pytest

import coursework
import helpers
from conftest import ROOT, python
from coursework.files import NOTEBOOKS

FLOORS = [line.split() for line in re.findall(r"^\d (.+)$", coursework.__doc__, re.M)]
ROOMS = {path.stem: path for path in (ROOT / "coursework").glob("[a-z]*.py")}
ROOMS["cells"] = ROOT / "coursework" / "cells" / "__init__.py"
CODE = [ROOT / "helpers.py", ROOT / "run.py", *ROOMS.values()]
CODE += [
    path for folder in ("tools", "teaching", "benchmarks") for path in (ROOT / folder).glob("*.py")
]
QUESTION = re.compile(r"\bQ\d\.\d|\bbonus\b", re.I)


def tree(path):
    return ast.parse(path.read_text(encoding="utf-8"))


def imports(path):
    """The rooms that a file imports, wherever in it."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            yield from (
                alias.name.split(".")[1]
                for alias in node.names
                if alias.name.startswith("coursework.")
            )
        elif isinstance(node, ast.ImportFrom) and node.module == "coursework":
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("coursework."):
            yield node.module.split(".")[1]


def uses():
    """Each name of helpers in the notebooks: {name: {(number of the notebook, question of the section or None)}}."""
    found = {}
    for path in NOTEBOOKS:
        question, imported = None, set()
        for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
            source = "".join(cell["source"])
            if cell["cell_type"] == "markdown":
                for heading in re.findall(r"^#+ .*$", source, re.M):
                    named = QUESTION.search(heading)
                    question = (
                        named[0].lower()
                        if named
                        else question
                        if heading.startswith("###")
                        else None
                    )
            else:
                for name in names_of_helpers(source, imported):
                    found.setdefault(name, set()).add((int(path.stem[:2]), question))
    return found


def names_of_helpers(source, imported):
    """Each name of helpers that a cell uses: `helpers.trace`, and `trace` after `from helpers import trace`."""
    lines = [line for line in source.splitlines() if not line.startswith("%")]
    for node in ast.walk(ast.parse("\n".join(lines))):
        if isinstance(node, ast.ImportFrom) and node.module == "helpers":
            imported.update(alias.name for alias in node.names)
        elif isinstance(node, ast.Attribute) and getattr(node.value, "id", None) == "helpers":
            yield node.attr
        elif isinstance(node, ast.Name) and node.id in imported:
            yield node.id


USES = uses()


@pytest.mark.parametrize("path", CODE, ids=lambda path: str(path.relative_to(ROOT)))
def test_files_and_functions_fit_a_page(path):
    lines = len(path.read_text(encoding="utf-8").splitlines())
    assert lines <= (150 if path.name == "helpers.py" else 600)
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert node.end_lineno - node.lineno < 80, node.name


def test_every_room_has_a_floor_and_a_line_in_the_house():
    assert sorted(ROOMS) == sorted(room for floor in FLOORS for room in floor)
    house = (ROOT / "docs" / "house.md").read_text(encoding="utf-8").split("\nBeside")[0]
    named = re.findall(r"`(\w+)(?:\.py|/)`", house)
    assert sorted({"helpers", "coursework", "page", *ROOMS}) == sorted(set(named))


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_imports_lower_floors_only(room):
    level = next(
        level for level, floor in enumerate(FLOORS) if room in floor
    )  # the highest floor stands first
    below = {name for floor in FLOORS[level + 1 :] for name in floor}
    assert set(imports(ROOMS[room])) <= below


@pytest.mark.parametrize(
    ("modules", "without"),
    [
        (
            "coursework.files, coursework.text, coursework.arguments",
            "tensorflow keras matplotlib sympy scipy",
        ),
        ("coursework.formulas, coursework.checks_gates", "tensorflow keras matplotlib"),
        (
            "coursework.sweep",
            "coursework.style",
        ),  # each worker loads it; Keras itself loads Matplotlib
        ("run, tools.refresh", "tensorflow keras matplotlib sympy"),
    ],
)
def test_nothing_heavy_is_loaded_for_nothing(modules, without):
    result = python(
        "-c",
        f"import sys, {modules}; print(*[name for name in {without.split()} if name in sys.modules])",
    )
    assert (result.returncode, result.stdout.split()) == (0, []), result.stderr


def test_the_front_door_is_what_the_notebooks_use():
    # For data of one's own; the sheet's name; what the layers are made of; for the hand-out of a class with variants.
    contracts = {"Data", "binarize", "keras", "practice", "variant"}
    contracts |= {"check_own_cell", "own_cell", "image_with_output"}  # for the hand-out
    contracts |= {
        "CELLS",
        "named_weights",
    }  # a cell of one's own: docs/cells.md
    assert sorted(helpers.__all__) == sorted({*USES, *contracts})


def test_each_public_docstring_says_where_it_is_taught():
    """It ends with 'All notebooks.', 'Notebook 3, Q3.3.' or a section's title, and that is true."""
    for name in sorted(set(helpers.__all__) & USES.keys()):
        if not isinstance(getattr(helpers, name), type | types.FunctionType):
            continue
        numbers = {number for number, _ in USES[name]}
        numbers = sorted(numbers - {4} or numbers)  # notebook 4 uses what the others teach
        books = f"Notebook{'s' * (len(numbers) > 1)} {' and '.join(map(str, numbers))}"
        books = "All notebooks" if numbers == [1, 2, 3] else books
        ending = rf'\b{books}(?:, (?:"(.+)"|((?:Q\d\.\d|bonus|,| |and|to)+)))?\.$'
        told = re.search(ending, inspect.getdoc(getattr(helpers, name)))
        assert told, f"{name}: {USES[name]}"
        assert {found.lower() for found in QUESTION.findall(told[2] or "")} <= {
            found for _, found in USES[name]
        }, name
        texts = [NOTEBOOKS[number - 1].read_text("utf-8") for number in numbers]
        assert not told[1] or any(f"# {told[1]}" in text for text in texts), name


def test_public_functions_have_type_hints():
    for name in helpers.__all__:
        if inspect.isfunction(thing := getattr(helpers, name)):
            signature = inspect.signature(thing)
            hints = [value.annotation for value in signature.parameters.values()] + [
                signature.return_annotation
            ]
            assert inspect.Parameter.empty not in hints, name


def test_types():
    """By mypy; pyproject.toml names the rooms that are not clean yet."""
    result = python("-m", "mypy")
    assert result.returncode == 0, result.stdout + result.stderr


def test_nothing_personal_is_committed():
    """A user's folders; a hook of .pre-commit-config.yaml looks for keys."""
    listed = subprocess.run(
        ["git", "-C", str(ROOT), "ls-files", "-z"], capture_output=True, text=True
    )
    if listed.returncode:
        pytest.skip("not a git checkout")
    pattern = re.compile(r"/(?:home|Users)/(?!runner\b)[a-z]\w+/|C:\\\\Users\\\\(?!\w*%)\w+")
    for name in filter(None, listed.stdout.split("\0")):
        path = Path(ROOT, name)
        text = path.read_bytes().decode("utf-8", "ignore") if path.is_file() else ""
        assert name == "tests/test_house.py" or not pattern.search(text), (
            f"{name}: {pattern.search(text)[0]}"
        )
