"""The hand-out and the grading of submissions, with nbgrader.

python grading.py student                 the hand-out: a folder and a zip under runs/
python grading.py grade SUBMISSIONS       a folder with one folder, or one zip, per student: marks and feedback pages
python grading.py report                  marks and feedback pages again, after grading texts by hand
"""

import argparse
import ast
import concurrent.futures
import contextlib
import copy
import csv
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import zipfile
from pathlib import Path

import matplotlib
import nbformat
import psutil
from nbgrader.api import Gradebook
from nbgrader.apps import NbGraderAPI
from nbgrader.converters import GenerateAssignment
from nbgrader.preprocessors import ClearSolutions
from traitlets.config import Config

from run import whole_number

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

ROOT = Path(__file__).resolve().parent
RUNS = (ROOT / (os.environ.get("COURSEWORK_RUNS") or "runs")).resolve()
NOTEBOOKS = sorted((ROOT / "notebooks").glob("[0-9]*.ipynb"))
NAMES = [path.stem for path in NOTEBOOKS]
ASSIGNMENT = "gates"
HANDOUT = "lstm-gru-gates"
REFERENCE = "_reference"  # our own solution, graded before any submission

# The columns of the marks, and the cells that belong to them by the beginning of their names.
QUESTIONS = {
    "Q1.1": "q11-",
    "Q1.2": "q12-",
    "Q1.3": "q13-",
    "Q2 LSTM": "q2-lstm-check",
    "Q2 LSTM 3 x 32": "q2-lstm-deep-",
    "Q2 GRU": "q2-gru-check",
    "Q2 GRU 3 x 32": "q2-gru-deep-",
    "Q3.1": "q31-",
    "Q3.2": "q32-",
    "Q3.3": "q33-",
    "bonus": "bonus-",
}
HIDDEN = ("notebooks", "tests", "docs", "runs", ".git")  # folders of this one that a submission must not see
MAX_NOTEBOOK_BYTES = 50_000_000
os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"  # nbgrader starts `alembic`
STUDENT_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")


# ---------------------------------------------------------------------------------------------------------------------
# The hand-out
# ---------------------------------------------------------------------------------------------------------------------
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


def reduced(master, name, texts):
    """The part of a master that a student gets, still with its solutions.

    Kept are the cells that nbgrader knows (given, answer, check), with the texts of docs/handout.md in place of ours.
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
        around = {place: texts.pop((name, place, cell.id), None) for place in ("before", "after")}
        for place in ("before", "cell", "after"):
            if place == "cell":
                notebook.cells.append(cell)
            elif around[place]:
                text = nbformat.v4.new_markdown_cell(around[place], id=f"{place}-{cell.id}")
                for picture in re.findall(r"\(picture:([\w-]+)\)", text.source):
                    file = f"{picture}.png"
                    text.source = text.source.replace(f"(picture:{picture})", f"(attachment:{file})")
                    text.setdefault("attachments", {})[file] = {"image/png": pictures[picture].strip()}
                notebook.cells.append(text)
    return notebook


def make_course(folder, epochs=None):
    """A course folder for nbgrader: `source` (with solutions) and, made by nbgrader, `release` and the gradebook."""
    source = folder / "source" / ASSIGNMENT
    shutil.rmtree(source, ignore_errors=True)
    source.mkdir(parents=True)
    texts = handout_texts()
    readme = texts.pop("README")
    for path in NOTEBOOKS:
        notebook = reduced(nbformat.read(path, as_version=4), path.stem, texts)
        for cell in notebook.cells:
            if epochs and "parameters" in cell.metadata.get("tags", []):
                cell.source = re.sub(r"^epochs = \d+$", f"epochs = {epochs}", cell.source, flags=re.M)
        nbformat.write(notebook, source / path.name)
    if texts:
        raise ValueError(f"docs/handout.md names a cell that is not handed out: {' '.join(next(iter(texts)))}")
    (source / "README.md").write_text(readme, encoding="utf-8")
    shutil.copy(ROOT / "helpers.py", source)
    shutil.copytree(ROOT / "coursework", source / "coursework", ignore=shutil.ignore_patterns("__pycache__"))
    needed, mark, _ = (ROOT / "requirements.txt").read_text(encoding="utf-8").partition("# Running and testing them")
    assert mark, "requirements.txt has lost the line that divides it"
    (source / "requirements.txt").write_text(needed.strip() + "\n", encoding="utf-8")

    config = Config()
    config.CourseDirectory.root = str(folder)
    config.CourseDirectory.course_id = HANDOUT
    config.GenerateAssignment.preprocessors = [
        Stubs if step is ClearSolutions else step for step in GenerateAssignment().preprocessors
    ]
    config.ClearSolutions.code_stub = {"python": "..."}
    config.ClearSolutions.text_stub = "Not answered yet."
    config.NbGrader.log_level = config.Application.log_level = "ERROR"
    result = NbGraderAPI(config=config).generate_assignment(ASSIGNMENT)
    if not result["success"]:
        raise RuntimeError(f"nbgrader could not make the hand-out:\n{result.get('log') or result.get('error')}")
    return folder


def student(epochs=None):
    """Write the hand-out to `runs/student/`: a folder and a zip; returns the zip's path."""
    target = RUNS / "student"
    with tempfile.TemporaryDirectory() as course:
        release = make_course(Path(course), epochs) / "release" / ASSIGNMENT
        shutil.rmtree(target / HANDOUT, ignore_errors=True)
        shutil.copytree(release, target / HANDOUT)
    return Path(shutil.make_archive(str(target / HANDOUT), "zip", target, HANDOUT))


# ---------------------------------------------------------------------------------------------------------------------
# Reading submissions
# ---------------------------------------------------------------------------------------------------------------------
def read_submissions(folder):
    """dict from student to {notebook's name: its bytes}, from a folder or zip per student; and a list of complaints."""
    found, complaints = {}, []
    for entry in sorted(Path(folder).iterdir()):
        zipped = entry.suffix.lower() == ".zip"
        name = entry.stem if zipped else entry.name
        if name.startswith((".", "__MACOSX")):
            continue
        if not (entry.is_dir() or zipped):
            complaints.append(f"{entry.name}: skipped; one folder or one zip per student is graded")
            continue
        if not STUDENT_NAME.fullmatch(name) or name in found:
            complaints.append(f"{entry.name}: skipped; a name has letters, digits and . _ @ - only, and is there once")
            continue
        try:
            found[name] = {stem: text for stem, text in _files(entry) if stem in NAMES}
        except Exception as error:  # zipfile and its decompressors raise a dozen types
            found[name] = {}
            complaints.append(f"{entry.name}: not readable ({type(error).__name__})")
    return found, complaints


def _files(entry):
    """(stem, text) of each notebook in a folder or a zip, at any depth, never through a link."""
    if entry.is_dir():
        for path in sorted(entry.rglob("*.ipynb")):
            regular = path.is_file() and entry.resolve() in path.resolve().parents and not path.is_symlink()
            if regular and path.stat().st_size <= MAX_NOTEBOOK_BYTES and ".ipynb_checkpoints" not in path.parts:
                yield path.stem, path.read_bytes()
        return
    with zipfile.ZipFile(entry) as archive:
        for member in archive.infolist():
            path = Path(member.filename)
            wanted = path.suffix == ".ipynb" and not {".ipynb_checkpoints", "__MACOSX"} & set(path.parts)
            if wanted and member.file_size <= MAX_NOTEBOOK_BYTES:
                yield path.stem, archive.read(member)


def mend(skeleton, text):
    """A submitted notebook brought into the order of the hand-out, whatever was deleted, copied or moved in it.

    Given cells and checks are the hand-out's own. Answers are found by their nbgrader name, or stay where the student
    put them: a cell that the hand-out does not know keeps its place after the last known cell before it.
    """
    theirs = nbformat.reads(text.decode("utf-8"), as_version=4)
    known = {cell.metadata.nbgrader.grade_id: cell for cell in skeleton.cells if "nbgrader" in cell.metadata}
    by_source = {cell.source.strip(): name for name, cell in known.items()}
    texts = {cell.source.strip() for cell in skeleton.cells}
    answers, own, last = {}, {}, None
    for cell in theirs.cells:
        source = str(cell.source)
        metadata = cell.metadata.get("nbgrader")
        name = metadata.get("grade_id") if isinstance(metadata, dict) else None
        name = name if name in known else by_source.get(source.strip())
        if name:
            last = name
            if known[name].metadata.nbgrader.solution:
                if name in answers:  # a copy: the one that says more recently what it says wins, the other one runs too
                    own.setdefault(name, []).append(copy.copy(answers[name]))
                answers[name] = source
        elif cell.cell_type == "code" and source.strip() and source.strip() not in texts:
            own.setdefault(last, []).append(source)
    mended = copy.deepcopy(skeleton)
    mended.cells = [nbformat.v4.new_code_cell(source) for source in own.get(None, [])]
    for cell in copy.deepcopy(skeleton.cells):
        name = cell.metadata.get("nbgrader", {}).get("grade_id")
        if name in known and known[name].metadata.nbgrader.solution:
            if name not in answers and not cell.metadata.nbgrader.grade:
                cell = None  # deleted: its variables may be set in a cell of the student's own
            elif name in answers:
                cell.source = answers[name]
        if cell:
            mended.cells.append(cell)
        mended.cells += [nbformat.v4.new_code_cell(source) for source in own.get(name, []) if name]
    return mended


# ---------------------------------------------------------------------------------------------------------------------
# Running one submission
# ---------------------------------------------------------------------------------------------------------------------
# What a kernel is started through. Everything becomes read-only but its own folders, what must not be seen becomes
# empty, other processes are out of sight, no privilege is left to undo it. (unshare and setpriv belong to util-linux.)
INSIDE = r"""
set -e
ulimit -c 0
ulimit -f {file_blocks}
unset JPY_PARENT_PID
if [ "$SANDBOX" = 1 ]; then
  for folder in "$PWD" "$HOME" "$COURSEWORK_RUNS"; do mount --bind "$folder" "$folder"; done
  while read -r _ _ _ _ target _; do
    target=$(printf '%b' "$target")
    case "$target" in
      "$PWD"|"$HOME"|"$COURSEWORK_RUNS"|/proc|/proc/*|/dev|/dev/*|/sys|/sys/*) ;;
      *) mount -o remount,bind,ro "$target" 2>/dev/null || true ;;
    esac
  done < /proc/self/mountinfo
  printf '%s\n' "$SANDBOX_HIDE" | while read -r folder; do
    if [ -d "$folder" ]; then mount -t tmpfs -o ro,size=4k none "$folder"; fi
  done
  mount -t tmpfs -o size=1g none /dev/shm
  cd "$PWD"
  unset SANDBOX_HIDE
  exec setpriv --no-new-privs --bounding-set=-all --inh-caps=-all "$@"
fi
exec "$@"
"""


def sandbox_command():
    """The command that gives a process its own view of files and processes, or [] where the system has none."""
    command = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
    command += [] if hasattr(os, "geteuid") and os.geteuid() == 0 else ["--map-root-user"]
    trial = [
        "sh",
        "-c",
        "mount -t tmpfs none /tmp && exec setpriv --no-new-privs --bounding-set=-all true",
    ]
    try:
        works = subprocess.run([*command, *trial], capture_output=True, timeout=20).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        works = False
    return command if works else []


CONFIG = """
c = get_config()
c.CourseDirectory.course_id = {course!r}
c.Execute.timeout = {cell_seconds}
c.Execute.startup_timeout = 300
c.Execute.iopub_timeout = 60
"""


class Grader:
    """Grades notebooks of one student at a time; the attributes are the same for all."""

    def __init__(self, template, place, models, hidden, options):
        self.template, self.place, self.models, self.hidden, self.options = template, place, models, hidden, options
        self.command = sandbox_command()
        self.skeletons = {
            name: nbformat.read(template / "release" / ASSIGNMENT / f"{name}.ipynb", as_version=4) for name in NAMES
        }

    def prepare(self, who, texts):
        """Write the mended notebooks of a student; returns notes on those that can't be read."""
        notes = []
        for name in NAMES:
            if name not in texts:
                notes.append(f"{name} was not handed in")
                continue
            try:
                notebook = (
                    mend(self.skeletons[name], texts[name])
                    if who != REFERENCE
                    else nbformat.reads(texts[name], as_version=4)
                )
                content = nbformat.writes(notebook).encode()  # what JSON can say, a file may not be able to hold
            except Exception as error:  # anything at all may be wrong with a file from outside
                notes.append(f"{name} is no readable notebook ({type(error).__name__})")
                continue
            folder = self.place / who / "submitted" / who / ASSIGNMENT
            folder.mkdir(parents=True, exist_ok=True)
            (folder / f"{name}.ipynb").write_bytes(content)
        return notes

    def grade(self, who):
        """Run nbgrader on what is prepared; on trouble, notebook by notebook. Returns (folders by notebook, notes)."""
        base = self.place / who
        submitted = base / "submitted" / who / ASSIGNMENT
        names = sorted(path.stem for path in submitted.glob("*.ipynb"))
        if not names:
            return {}, []
        trouble = self.autograde(base, who)
        if not trouble:
            return dict.fromkeys(names, base), []
        if len(names) == 1:
            return {}, [f"{names[0]}: {trouble}"]
        graded, notes = {}, []
        for name in names:
            alone = base / f"only-{name}"
            target = alone / "submitted" / who / ASSIGNMENT
            target.mkdir(parents=True)
            shutil.copy(submitted / f"{name}.ipynb", target)
            trouble = self.autograde(alone, who)
            if trouble:
                notes.append(f"{name}: {trouble}")
            else:
                graded[name] = alone
        return graded, notes

    def autograde(self, base, who):
        """One call of nbgrader in a course folder of its own; returns what went wrong, or ''."""
        options = self.options
        shutil.copy(self.template / "gradebook.db", base)
        source = base / "source" / ASSIGNMENT
        source.mkdir(parents=True)
        shutil.copy(self.template / "source" / ASSIGNMENT / "helpers.py", source)
        shutil.copytree(self.template / "source" / ASSIGNMENT / "coursework", source / "coursework")
        # Our own solution trains all models in one cell.
        cell_seconds = options.seconds if who == REFERENCE else options.cell_seconds
        config = CONFIG.format(course=HANDOUT, cell_seconds=cell_seconds)
        (base / "nbgrader_config.py").write_text(config, encoding="utf-8")
        for folder in ("home/tmp", "runs", "jupyter/kernels/python3"):
            (base / folder).mkdir(parents=True)
        if self.models.exists():
            shutil.copytree(self.models, base / "runs" / "models")
        # With a cache of fonts at hand, no kernel builds its own and says so.
        shutil.copytree(matplotlib.get_cachedir(), base / "home" / "matplotlib")
        inside = INSIDE.format(file_blocks=2 * 1024 * options.file_mib)
        kernel = ["sh", "-c", inside, "kernel", sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
        spec = {"argv": [*self.command, *kernel], "display_name": "Python 3", "language": "python"}
        spec |= {"interrupt_mode": "message"}
        (base / "jupyter" / "kernels" / "python3" / "kernel.json").write_text(json.dumps(spec))
        siblings = [path for path in self.place.iterdir() if path != self.place / who]
        environment = {
            **{name: os.environ[name] for name in ("PATH", "LANG", "LC_ALL", "KERAS_HOME") if name in os.environ},
            "HOME": str(base / "home"),
            "TMPDIR": str(base / "home" / "tmp"),
            "MPLCONFIGDIR": str(base / "home" / "matplotlib"),
            "JUPYTER_PATH": str(base / "jupyter"),
            "COURSEWORK_DATA": options.data,
            "COURSEWORK_RUNS": str(base / "runs"),
            "SANDBOX": "1" if self.command else "0",
            "SANDBOX_HIDE": "\n".join(str(path) for path in [*self.hidden, *siblings]),
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        command = [sys.executable, "-m", "nbgrader", "autograde", ASSIGNMENT, "--student", who]
        with open(base / "log.txt", "w") as log:
            process = subprocess.Popen(
                command, cwd=base, env=environment, stdout=log, stderr=log, start_new_session=True
            )
            trouble = watch(process, options.seconds, options.memory_mib)
        if not trouble and process.returncode:
            log = (base / "log.txt").read_bytes()  # a submission can write into it what it likes
            trouble = "the kernel died" if b"DeadKernelError" in log else "nbgrader failed"
        return trouble


STOP = threading.Event()  # set by Ctrl-C: nothing that this program started may go on


class Stopped(Exception):
    """Raised where the grading was waiting when it was stopped."""


def watch(process, seconds, memory_mib, processes=200):
    """Wait for a process; kill it and all it has started once it goes over a limit; returns which, or ''."""
    start, trouble = time.monotonic(), ""
    while process.poll() is None:
        time.sleep(0.2)
        tree = family(process.pid)
        used = 0
        for member in tree:
            try:
                used += member.memory_info().rss
            except psutil.Error:
                continue
        if STOP.is_set():
            trouble = "stopped"
        elif time.monotonic() - start > seconds:
            trouble = f"stopped after {seconds} seconds"
        elif used > memory_mib * 2**20:
            trouble = f"stopped: more than {memory_mib} MiB of memory"
        elif len(tree) > processes:
            trouble = f"stopped: more than {processes} processes"
        if trouble:
            for member in [*family(process.pid), psutil.Process(process.pid)]:
                try:
                    member.kill()
                except psutil.Error:
                    continue
            process.wait()
    if STOP.is_set():
        raise Stopped
    return trouble


def family(pid):
    """All that a process has started, and what that has started."""
    try:
        return psutil.Process(pid).children(recursive=True)
    except psutil.Error:
        return []


# ---------------------------------------------------------------------------------------------------------------------
# Marks
# ---------------------------------------------------------------------------------------------------------------------
def grade(options):
    """Grade a folder of submissions; returns the exit code."""
    submissions = Path(options.submissions).resolve()
    if not submissions.is_dir():
        print(f"no folder at {options.submissions!r}: make grade SUBMISSIONS=folder", file=sys.stderr)
        return 2
    found, complaints = read_submissions(submissions)
    for complaint in complaints:
        print(complaint, file=sys.stderr)
    if not found:
        print(f"nothing to grade in {submissions}: one folder or one zip per student is needed", file=sys.stderr)
        return 2
    course = make_course(RUNS / "grading", options.epochs)
    (course / "nbgrader_config.py").write_text(CONFIG.format(course=HANDOUT, cell_seconds=options.cell_seconds))
    models = course / "models"
    with tempfile.TemporaryDirectory(prefix="grading-") as place:
        template = make_course(Path(place) / "template", options.epochs)
        hidden = [ROOT / name for name in HIDDEN] + [RUNS, submissions]
        students = Path(place) / "students"
        grader = Grader(template, students, models, [*hidden, template], options)
        if not grader.command:
            print("No sandbox on this system: submissions can read and write what you can. Use a container.")
        # Our own solution first: it trains the models that all others find ready, and must earn every point.
        reference = {path.stem: path.read_text("utf-8") for path in (template / "source" / ASSIGNMENT).glob("*.ipynb")}
        start = time.monotonic()
        grader.prepare(REFERENCE, reference)
        graded, notes = grader.grade(REFERENCE)
        missing = [points for points in marks(graded, REFERENCE) if points["earned"] not in (None, points["max"])]
        if notes or missing or len(graded) < len(NAMES):
            lost = ", ".join(points["cell"] for points in missing)
            print(f"our own solution fails here: {'; '.join(notes) or lost}", file=sys.stderr)
            return 1
        print(f"our solution: every point that a machine gives, {time.monotonic() - start:.0f} s")
        shutil.rmtree(models, ignore_errors=True)
        for folder in set(graded.values()):
            shutil.copytree(folder / "runs" / "models", models, dirs_exist_ok=True)
        shutil.rmtree(students / REFERENCE)

        remarks = {who: grader.prepare(who, texts) for who, texts in found.items()}
        for who in found:
            (students / who).mkdir(parents=True, exist_ok=True)

        def one(who):
            start = time.monotonic()
            try:
                graded, notes = grader.grade(who)
            except Stopped:
                raise
            except Exception as error:  # nobody's submission may cost the others their marks
                graded, notes = {}, [f"could not be graded ({type(error).__name__}: {error})"]
            return who, graded, notes, time.monotonic() - start

        facts = read_facts(course)
        with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
            for future in concurrent.futures.as_completed([pool.submit(one, who) for who in found]):
                who, graded, notes, seconds = future.result()
                merge(course, who, graded)
                facts[who] = {"seconds": round(seconds, 1), "notes": remarks[who] + notes}
                write_facts(course, facts)
                print(f"{who}: {seconds:.0f} s{''.join(f'; {note}' for note in facts[who]['notes'])}", flush=True)
                shutil.rmtree(students / who, ignore_errors=True)
    return report()


def marks(graded, who):
    """What nbgrader gave, cell by cell, in the folders where the notebooks of a student were graded."""
    for name, folder in graded.items():
        with Gradebook(f"sqlite:///{folder / 'gradebook.db'}") as gradebook:
            for grade in gradebook.find_submission_notebook(name, ASSIGNMENT, who).grades:
                earned = None if grade.needs_manual_grade else grade.auto_score
                comment = gradebook_comment(gradebook, grade.name, name, who)
                yield {"notebook": name, "cell": grade.name, "max": grade.max_score, "earned": earned, "says": comment}


def gradebook_comment(gradebook, cell, notebook, who):
    """nbgrader's own word on an answer, such as "No response."."""
    comments = gradebook.find_submission_notebook(notebook, ASSIGNMENT, who).comments
    return next((comment.auto_comment for comment in comments if comment.name == cell), None)


def merge(course, who, graded):
    """Carry the marks and the graded notebooks of one student over into the gradebook of the course."""
    found = {(points["notebook"], points["cell"]): points for points in marks(graded, who)}
    with Gradebook(f"sqlite:///{course / 'gradebook.db'}", HANDOUT) as gradebook:
        gradebook.update_or_create_student(who)
        gradebook.update_or_create_submission(ASSIGNMENT, who)
        for name in NAMES:
            notebook = gradebook.find_submission_notebook(name, ASSIGNMENT, who)
            for grade in notebook.grades:
                points = found.get((name, grade.name), {"earned": 0})
                grade.auto_score = points["earned"]
                grade.needs_manual_grade = points["earned"] is None and grade.manual_score is None
            for comment in notebook.comments:
                comment.auto_comment = found.get((name, comment.name), {}).get("says")
        gradebook.db.commit()
    target = course / "autograded" / who / ASSIGNMENT
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    for name, folder in graded.items():
        shutil.copy(folder / "autograded" / who / ASSIGNMENT / f"{name}.ipynb", target)


def read_facts(course):
    """Seconds and notes of each student, from earlier runs."""
    path = course / "facts.json"
    return json.loads(path.read_text()) if path.exists() else {}


def write_facts(course, facts):
    """Seconds and notes of each student, for `marks.csv`; the file is whole at any moment."""
    aside = course / ".facts.json"
    aside.write_text(json.dumps(facts, indent=1))
    os.replace(aside, course / "facts.json")


def report():
    """Write `runs/grading/marks.csv` and the feedback pages; returns the exit code."""
    course = RUNS / "grading"
    if not (course / "gradebook.db").exists():
        print("nothing is graded yet: make grade SUBMISSIONS=folder", file=sys.stderr)
        return 2
    command = [sys.executable, "-m", "nbgrader", "generate_feedback", ASSIGNMENT, "--force", "--log-level=ERROR"]
    feedback = subprocess.run(command, cwd=course, capture_output=True, text=True)
    facts, rows = read_facts(course), []
    with Gradebook(f"sqlite:///{course / 'gradebook.db'}", HANDOUT) as gradebook:
        for submission in sorted(gradebook.assignment_submissions(ASSIGNMENT), key=lambda s: s.student.id):
            grades = [grade for notebook in submission.notebooks for grade in notebook.grades]
            row = {"student": submission.student.id}
            for question, prefix in QUESTIONS.items():
                row[question] = f"{sum(g.score for g in grades if g.name.startswith(prefix)):g}"
            row["total"] = f"{sum(grade.score for grade in grades):g}"
            waiting = [
                q for q, p in QUESTIONS.items() if any(g.needs_manual_grade for g in grades if g.name.startswith(p))
            ]
            row["to grade by hand"] = " ".join(waiting)
            own = facts.get(submission.student.id, {})
            row |= {"seconds": own.get("seconds", ""), "notes": "; ".join(own.get("notes", []))}
            rows.append(row)
    with open(course / "marks.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, ["student", *QUESTIONS, "total", "to grade by hand", "seconds", "notes"])
        writer.writeheader()
        writer.writerows(rows)
    print(f"Marks: {course / 'marks.csv'}")
    if feedback.returncode:
        print(f"nbgrader could not write all feedback pages:\n{feedback.stderr}", file=sys.stderr)
        return 1
    print(f"Feedback: {course / 'feedback'}")
    return 0


def main(arguments=None):
    """Parse the command line, do it, and return the exit code."""
    parser = argparse.ArgumentParser(description="The hand-out, and the grading of submissions, with nbgrader.")
    actions = parser.add_subparsers(dest="action", required=True)
    handout = actions.add_parser("student", help="write the hand-out")
    number = whole_number(1)
    grading = actions.add_parser("grade", help="grade a folder with one folder or zip per student")
    actions.add_parser("report", help="write marks and feedback again, after grading by hand")
    for action in (handout, grading):
        action.add_argument("--epochs", type=number, help="epochs of each model, instead of the sheet's")
    grading.add_argument("submissions")
    grading.add_argument("--data", default="digits", help="what the submissions are run on (default: digits)")
    grading.add_argument("--jobs", type=number, default=os.cpu_count(), help="submissions at a time")
    grading.add_argument("--cell-seconds", type=number, default=600, help="time limit of a cell")
    grading.add_argument("--seconds", type=number, default=1800, help="time limit of a submission")
    grading.add_argument("--memory-mib", type=number, default=4096, help="memory limit of a submission")
    grading.add_argument("--file-mib", type=number, default=512, help="size limit of a file that a submission writes")
    options = parser.parse_args(arguments)
    if options.action == "grade" and os.path.isfile(options.data):  # the kernels work in other folders
        options.data = str(Path(options.data).resolve())
    place = RUNS / ("student" if options.action == "student" else "grading")
    try:
        with alone(place):
            if options.action == "student":
                print(f"Hand-out: {student(options.epochs)}")
                return 0
            if options.action == "report":
                return report()
            for number in (signal.SIGINT, signal.SIGTERM):
                signal.signal(number, lambda *_: STOP.set())
            return grade(options)
    except Stopped:
        print("stopped; nothing that was running goes on", file=sys.stderr)
    except BlockingIOError:
        print(f"another one is at work in {place}: wait until it has finished", file=sys.stderr)
    except OSError as error:
        what = f"{error.filename or place}: {error.strerror or error}"
        print(f"Can't write or read {what}; COURSEWORK_RUNS names another folder", file=sys.stderr)
    return 1


@contextlib.contextmanager
def alone(folder):
    """Keep others out of a folder; BlockingIOError if somebody is in it. A lock dies with its process."""
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / ".lock", "w") as lock:
        if fcntl:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield


if __name__ == "__main__":
    sys.exit(main())
