"""Runs the cells of a notebook: the one room that works inside the sandbox, so that nothing it says is believed.

A job names the `steps` of a run, in order: each has a `source`, and `values` that are given before it. While they
run, the values that the checks are asked about are taken right where they are asked. A line of JSON says what a step
has written, another one what a check got there.
"""

import ast
import contextlib
import faulthandler
import functools
import hashlib
import inspect
import io
import json
import os
import re
import resource
import signal
import socket
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import matplotlib.figure
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

import coursework.checks_networks
import coursework.store
import helpers
from coursework.backend import keras, tf
from coursework.training import build_model, compile_model
from coursework.verdicts import Wrong
from teaching import sandbox
from teaching.values import answers_of, decoded

MOST_OUTPUT = 2_000_000  # characters that are kept of a cell's output
MOST_OUTPUTS = 5 * MOST_OUTPUT  # of all cells together
ENDLESS = 20 * MOST_OUTPUT  # a cell that writes more than this is stopped
MOST_FILE = 512 * 2**20  # bytes of a file that a submission writes
GRACE = 20  # seconds in which a cell has to stop, or its process ends
# Programs that can do nothing here: there is no network, and pictures are inline anyway.
IDLE = re.compile(
    r"\s*(sudo\s+)?(matplotlib|pip3?|python3? -m pip|conda|mamba|uv|apt|apt-get|wget|curl|git)\b"
)
# The environment that the school has set, and no submission changes.
SCHOOLS = re.compile(r"(COURSEWORK|KERAS|TF|XLA|CUDA|OMP|OPENBLAS|MKL)_")


class Limit(BaseException):
    """Raised in a cell that takes too long or writes too much; `except Exception` does not stop it."""


class Stream(io.TextIOBase):
    """What stands for sys.stdout or sys.stderr while a cell runs."""

    encoding = "utf-8"

    def __init__(self, write: Callable[[str], Any]):
        self.write = write  # type: ignore[method-assign]


class Shell(InteractiveShell):
    """IPython without a terminal or a kernel: a cell's outputs are collected as nbformat has them."""

    def __init__(self) -> None:
        config = Config(HistoryManager={"enabled": False})
        config.IPKernelApp.sign = "of a notebook, which our helpers look for"
        super().__init__(config=config)
        self.outputs: list[dict] = []
        self.written, self.written_before = 0, 0
        places: Any = self
        places.display_trap.hook, places.display_pub.publish = self.value, self.display
        places.display_pub.clear_output = lambda wait=False: self.outputs.clear()
        places.ask_exit = places.enable_gui = lambda *_: None  # exit() in a cell ends nothing
        for name in ("pip", "conda", "mamba", "uv", "matplotlib"):
            places.register_magic_function(lambda line: None, "line", name)

    def system(self, cmd: str) -> None:
        """What `!` runs."""
        if not IDLE.match(cmd):
            super().system(cmd)

    def add(self, kind: str, name: str = "", text: str = "", **fields: Any) -> None:
        """One more output; texts of a stream are joined."""
        self.written += len(text) + len(str(fields))
        if self.is_full() and kind != "error":
            if self.written > ENDLESS:
                raise Limit("stopped, as it wrote without end")
        elif kind != "stream":
            self.outputs.append({"output_type": kind, **fields})
        elif self.outputs and self.outputs[-1].get("name") == name:
            self.outputs[-1]["text"].append(str(text))
        else:
            self.outputs.append({"output_type": kind, "name": name, "text": [str(text)]})

    def is_full(self) -> bool:
        """Has this cell, or have all together, written more than is kept?"""
        return self.written > MOST_OUTPUT or self.written_before + self.written > MOST_OUTPUTS

    def value(self, value: object) -> None:
        """Show the value of a cell's last line."""
        if value is not None and self.display_formatter:
            data, metadata = self.display_formatter.format(value)
            self.displayhook.update_user_ns(value)
            self.add("execute_result", data=data, metadata=metadata, execution_count=None)

    def display(
        self, data: dict, metadata: dict | None = None, *, update: bool = False, **_: object
    ) -> None:
        """Show what a cell displays; updates are not followed, and a page has no widgets."""
        if not update and "application/vnd.jupyter.widget-view+json" not in data:
            self.add("display_data", data=data, metadata=metadata or {})

    def _showtraceback(self, etype: type, evalue: object, stb: list[str]) -> None:
        self.add(
            "error", ename=etype.__name__, evalue=str(evalue)[:10_000], traceback=list(stb)[:100]
        )

    def run(self, source: str, seconds: int) -> list[dict]:
        """Run a cell; returns its outputs."""
        self.outputs, self.written_before, self.written = (
            [],
            self.written_before + min(self.written, MOST_OUTPUT),
            0,
        )
        out, err = (
            Stream(functools.partial(self.add, "stream", name)) for name in ("stdout", "stderr")
        )
        faulthandler.dump_traceback_later(seconds + GRACE, exit=True, file=2)
        signal.setitimer(signal.ITIMER_REAL, seconds)
        with (
            contextlib.suppress(BaseException),
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
        ):
            self.run_cell(source)
        signal.setitimer(signal.ITIMER_REAL, 0)
        faulthandler.cancel_dump_traceback_later()
        if self.is_full():
            self.outputs.append(
                {"output_type": "stream", "name": "stdout", "text": "[more output is not shown]\n"}
            )
        return [
            {**out, "text": "".join(out["text"])} if "text" in out else out for out in self.outputs
        ]


# The school's settings -----------------------------------------------------------------------------------------------
class School:
    """The settings that every submission is run with, whatever it sets itself."""

    def __init__(self, data: str):
        self.data = data
        self.environment = {
            name: value for name, value in os.environ.items() if SCHOOLS.match(name)
        }

    def restore(self) -> None:
        """Set everything again that decides about data and networks."""
        for name in filter(SCHOOLS.match, list(os.environ)):
            if name not in self.environment:
                del os.environ[name]
        os.environ.update(self.environment)
        keras.config.set_floatx("float32")
        keras.config.set_epsilon(1e-7)
        keras.config.set_image_data_format("channels_last")
        if keras.config.dtype_policy().name != "float32":
            keras.config.set_dtype_policy("float32")
        if tf.config.functions_run_eagerly():
            tf.config.run_functions_eagerly(False)

    def before(self, function: Callable) -> Callable:
        """The function, with these settings whenever it is called."""

        @functools.wraps(function)
        def called(*args: Any, **kwargs: Any) -> Any:
            self.restore()
            return function(*args, **kwargs)

        return called

    def load_data(self, load: Callable) -> Callable:
        """`load_data`, which gives the school's data whatever file the student has at home."""

        @functools.wraps(load)
        def called(source: object = "auto", *args: Any, **kwargs: Any) -> Any:
            self.restore()
            return load(self.data, *args, **kwargs)

        return called


def replace(name: str, make: Callable[[Callable], Callable]) -> None:
    """Put make(function) in place of one of the helpers' functions, wherever it is known."""
    before = getattr(helpers, name)
    after = make(before)
    for module in list(sys.modules.values()):
        ours = getattr(module, "__name__", "").split(".")[0] in ("helpers", "coursework")
        if ours and vars(module).get(name) is before:
            setattr(module, name, after)


# What the checks are asked about -------------------------------------------------------------------------------------
class Question(NamedTuple):
    """A call in the cell of a check: which helper, what is fixed about it, and which answers it is asked about."""

    function: str
    fixed: dict[str, object]
    answers: dict[str, str]  # from parameter to the answer's name

    def values(self, arguments: dict[str, object]) -> dict[str, object]:
        """dict from name to value if this call with other arguments is the same question, else an empty one."""
        for name, value in self.fixed.items():
            given = arguments.get(name)
            given = tuple(given) if isinstance(given, list) else given
            if type(given) is not type(value) or given != value:
                return {}
        return {
            name: arguments[parameter]
            for parameter, name in self.answers.items()
            if parameter in arguments
        }


def questions_in(source: str, names: list[str]) -> list[Question]:
    """The questions that a check's cell of the hand-out asks about answers of these names."""
    found = []
    for node in ast.walk(ast.parse(source)):
        name = called_helper(node)
        function = getattr(helpers, name, None)
        if not isinstance(node, ast.Call) or not inspect.isfunction(function):
            continue
        bound = inspect.signature(function).bind(
            *node.args, **{word.arg: word.value for word in node.keywords if word.arg}
        )
        fixed, answers = {}, {}
        for parameter, part in bound.arguments.items():
            if isinstance(part, ast.Name) and part.id in names:
                answers[parameter] = part.id
            with contextlib.suppress(ValueError):
                fixed[parameter] = ast.literal_eval(part)
        if answers:
            found.append(Question(name, fixed, answers))
    return found


def called_helper(node: ast.AST) -> str:
    """The name of the helper that is called here, or ''."""
    match node:
        case ast.Call(ast.Attribute(ast.Name("helpers"), name)):
            return name
    return ""


class Witness:
    """Takes the values that checks are asked about, when they are asked."""

    def __init__(self, checks: dict[str, str], names: list[str]):
        self.questions = {check: questions_in(source, names) for check, source in checks.items()}
        self.taken: dict[str, dict[str, str]] = {}  # since the last step: by check, by name

    def watch(self) -> None:
        """From now on, be there when a check is called."""
        for name in {
            question.function for questions in self.questions.values() for question in questions
        }:
            replace(name, self.present)

    def present(self, function: Callable) -> Callable:
        """The function, with a witness."""
        signature = inspect.signature(function)

        @functools.wraps(function)
        def called(*args: Any, **kwargs: Any) -> Any:
            with contextlib.suppress(Exception):
                self.take(function.__name__, signature.bind(*args, **kwargs).arguments)
            return function(*args, **kwargs)

        return called

    def take(self, function: str, arguments: dict[str, object]) -> None:
        """Write down what a call asks about."""
        for check, questions in self.questions.items():
            for question in questions:
                if question.function == function:
                    values = question.values(arguments)
                    self.taken[check] = self.taken.get(check, {}) | answers_of(values, values)


# A run ---------------------------------------------------------------------------------------------------------------
def run(job: dict, say: Callable[..., None]) -> None:
    """Run the steps of a job in this process, and say what came of each."""
    shell, witness = Shell.instance(), Witness(job["checks"], job["names"])
    shell.enable_matplotlib("inline")
    school = School(job["data"])
    replace("load_data", school.load_data)
    replace("train_all", school.before)
    witness.watch()
    known: dict[str, str] = {}
    for place, step in enumerate(job["steps"]):
        if step["source"] is None or not step["source"].strip():
            continue
        say(begins=place)
        school.restore()
        given = decoded(step.get("values", {}))
        shell.user_ns |= given
        witness.taken = {}
        outputs = shell.run(step["source"], job["seconds"])
        shown = {name: in_a_line(value) for name, value in given.items()}
        say(step=place, outputs=outputs, shown=shown)
        last = answers_of(shell.user_ns, job["names"])
        for name in last:
            if last[name] != known.get(name):
                say(name=name, value=last[name])
        known |= last
        for check, names in step.get(
            "is", {}
        ).items():  # the check itself: what it did not ask for, has its value now
            values = {name: last[name] for name in names if name in last} | witness.taken.pop(
                check, {}
            )
            say(check=check, step=place, values=values, own=True)
        for check, values in witness.taken.items():
            say(check=check, step=place, values=values, own=False)
    say(done=True)


def in_a_line(value: object) -> str:
    """A value as people read it, on a line of 200 characters at most."""
    try:
        text = " ".join(repr(value).split())
    except Exception:  # such as an integer too long to print
        text = f"(a long {type(value).__name__})"
    return text if len(text) <= 200 else text[:197] + "..."


def rebuilt(result: coursework.store.Result) -> keras.Model:
    """The model of an experiment with the weights of a stored one: another network has no place for them."""
    model = build_model(result.experiment)
    try:
        model.load_weights(result.path)
    except Exception:
        raise Wrong("the stored model is not the network of this experiment") from None
    return compile_model(model, result.experiment)


class Measured:
    """What stored models reach on the test images, by the hash of their files: what is known is not computed again."""

    def __init__(self, known: dict[str, list[float]], say: Callable[..., None]):
        self.known, self.say = known, say

    def stored(self, stored: Callable) -> Callable:
        """`stored` for the checks: the models that it gives know what they reach."""

        @functools.wraps(stored)
        def called(*args: Any) -> Any:
            result = stored(*args)
            return result and SimpleNamespace(
                **vars(result), model=SimpleNamespace(evaluate=self.evaluate(result))
            )

        return called

    def evaluate(self, result: coursework.store.Result) -> Callable:
        """The method of a model that gives its loss and accuracy."""
        digest = hashlib.sha256(result.path.read_bytes()).hexdigest()

        def called(*args: Any, **kwargs: Any) -> list[float]:
            if digest not in self.known:
                self.known[digest] = [
                    float(value) for value in result.model.evaluate(*args, **kwargs)
                ]
                self.say(digest=digest, reached=self.known[digest])
            return self.known[digest]

        return called


def main(job: dict, result: int) -> None:
    """Do a job; `result` is the descriptor of the file that the lines go to."""

    def say(**said: object) -> None:
        line = json.dumps(said, default=str, skipkeys=True, ensure_ascii=False)
        os.write(result, f"\n{line}\n".encode("utf-8", "replace"))

    def stop(*_: object) -> None:
        raise Limit(f"stopped after {job['seconds']} seconds")

    if job[
        "ours"
    ]:  # the checks: nothing of a student's runs, and nothing of theirs decides what a network is
        model = functools.cached_property(rebuilt)
        model.__set_name__(coursework.store.Result, "model")
        coursework.store.Result.model = model  # type: ignore[assignment]
    measured = Measured(job["reached"], say)
    coursework.checks_networks.stored = measured.stored(coursework.checks_networks.stored)
    signal.signal(signal.SIGALRM, stop)
    run(job, say)


# Into the sandbox ----------------------------------------------------------------------------------------------------
def nursery(talk: int) -> None:
    """Fork a child for each line that names a job, and say its process id; until nobody is there any more."""
    warm_up()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for them here
    with (
        socket.socket(fileno=talk) as connection,
        connection.makefile("rw", encoding="utf-8") as lines,
    ):
        while line := lines.readline():
            child = os.fork()
            if not child:
                os.close(talk)
                attempt(json.loads(line))
            print(child, file=lines, flush=True)


def warm_up() -> None:
    """What every child would do first, but nothing of TensorFlow's: its threads don't survive a fork."""
    figure = matplotlib.figure.Figure()
    figure.text(0, 0, "$x$")
    figure.savefig(io.BytesIO())
    helpers.check_gates("LSTM", "store_input", {"f": 0, "i": 1, "U": 0})
    helpers.check_gates("GRU", "keep_state", {"z": 1})


def attempt(request: dict) -> None:
    """Do what a line of the nursery's asks for, in a child behind the walls; this process waits for it, and ends."""
    os.setsid()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    log = os.open(request["log"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    result = os.open(request["result"], os.O_WRONLY | os.O_APPEND)
    os.dup2(log, 1)
    os.dup2(log, 2)
    with open(request["job"], encoding="utf-8") as file:
        job = json.load(file)
    walled = request["inmate"] is not None
    if walled:
        sandbox.enter(request["inmate"])
    child = os.fork()
    if child:
        os.waitpid(child, 0)
        os._exit(0)
    if walled:
        sandbox.give_up_privileges()
    try:
        os.environ.clear()
        os.environ.update(request["environment"])
        os.chdir(request["work"])
        tempfile.tempdir = None  # the nursery's
        resource.setrlimit(resource.RLIMIT_FSIZE, (MOST_FILE, MOST_FILE))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        memory = request["memory_mib"] * 2**20
        resource.setrlimit(resource.RLIMIT_DATA, (memory, memory))
        for module in list(sys.modules.values()):
            if getattr(module, "__name__", "").startswith("coursework.") and "RUNS" in vars(module):
                module.RUNS = Path(request["runs"])  # type: ignore[attr-defined]
        main(job, result)
    finally:
        os._exit(0)  # whatever threads and processes a submission has left
