"""Any input at all: only documented errors, one line each, in bounded time and memory.

A few hundred cases by default; `make fuzz` runs COURSEWORK_FUZZ of them (12,000) and prints the counts.
"""

import collections
import contextlib
import json
import os
import re
import subprocess
import sys
import time
import tracemalloc
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import keras
import numpy as np
import pytest
import sympy as sp
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import helpers
from coursework import files, verdicts

ROOT = Path(__file__).resolve().parents[1]
CASES = int(os.environ.get("COURSEWORK_FUZZ") or 400)
COUNTS = collections.Counter()


def cases(share):
    """Settings for a share of all cases; the same code gets the same cases (Hypothesis tries the code's constants)."""
    options = {"deadline": None, "suppress_health_check": list(HealthCheck), "database": None, "derandomize": True}
    return settings(max_examples=max(20, int(share * CASES)), **options)


@pytest.fixture(scope="module", autouse=True)
def counts():
    yield
    with open(os.environ.get("COURSEWORK_FUZZ_COUNTS") or os.devnull, "a", encoding="utf-8") as file:
        for (target, outcome), number in sorted(COUNTS.items()):
            print(f"{target:22} {outcome:34} {number:6,}", file=file)
        print(f"{'all':57} {sum(COUNTS.values()):6,}", file=file)


def mostly(usual, odd):
    """Three cases of four from `usual`. (In `one_of` every branch of every branch is as likely as any other.)"""
    return st.integers(1, 4).flatmap(lambda number: odd if number == 4 else usual)


@contextlib.contextmanager
def bounded(target, errors, seconds=20.0, megabytes=200):
    """One case: an error of another kind, of more than a line, or too much time or memory fails the test.

    Yields a list in which the text of the error stands afterwards. What the case puts there is counted as its outcome.
    """
    tracemalloc.start()
    start, said = time.process_time(), []
    try:
        yield said
        outcome = said[0] if said else "accepted"
    except errors as error:
        outcome = type(error).__name__
        text = str(error)
        said.append(text)
        assert text and len(text.splitlines()) == 1 and len(text) < 700, text
        assert type(error) in errors, f"{type(error).__name__} is not documented"
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert time.process_time() - start < seconds, "took too long"
    assert peak < megabytes * 2**20, f"took {peak:,} bytes"
    COUNTS[target, outcome] += 1


# --------------------------------------------------------------------------------------------------------- load_data
DTYPES = ["u1", "i1", "<i8", ">u2", "<f4", ">f8", "f2", "?", "c8", "S3", "<U2", "<M8[s]", "O", "V4", "S0", "<f8,<i4"]
SHAPES = st.sampled_from([(), (0,), (3,), (3, 28, 28), (3, 28, 27), (1, 28, 28), (0, 28, 28), (3, 1), (28, 28, 3)])


LOAD_ERRORS = (ValueError, FileNotFoundError)


@cases(0.15)
@given(
    st.one_of(
        st.text(max_size=30),
        st.text(max_size=10).map(lambda text: text + ".npz"),
        st.sampled_from(
            ["~nobody-here/x.npz", "~/x.npz", "a" * 5000, "a" * 5000 + ".npz", "\0.npz", "x\n\x1b[31my.npz"]
        ),
        st.sampled_from(["/dev/null", "/", ".", "/dev/zero.npz", "/proc/self/mem", "\ud800.npz", "mnist ", "DIGITS"]),
        st.binary(max_size=9),
        st.integers(),
        st.none(),
        st.floats(),
        st.booleans(),
        st.just(object()),
        st.lists(st.none()),
        st.sampled_from([Path("nowhere"), Path(), np.zeros(3), {}, keras, str]),
    ).filter(lambda source: not isinstance(source, str) or source not in ("auto", "mnist", "digits"))
)
def test_any_source(source):
    with bounded("load_data, any source", LOAD_ERRORS):
        helpers.load_data(source)


# ------------------------------------------------------------------------------------------------------------ checks
NUMBERS = st.one_of(
    st.sampled_from([0, 1, 0.5, True, np.float32(0.3), sp.pi / 4, sp.Rational(1, 3), Fraction(2, 3), Decimal("0.1")]),
    st.integers(),
    st.floats(),
    st.fractions(),
    st.decimals(),
    st.complex_numbers(),
    st.text(max_size=9),
    st.binary(),
    st.none(),
    st.just(...),
    st.booleans(),
    st.lists(st.integers(), max_size=3),
    st.dictionaries(st.text(), st.none()),
    st.sampled_from(
        [10**4000, 2.0**-1074, np.nan, sp.oo, sp.nan, sp.zoo, sp.I, sp.Symbol("q"), sp.exp(10**9), object()]
    ),
    st.sampled_from(["__import__('os').abort()", "1; 0", sp.exp(-sp.exp(99)), sp.tanh(10**6), 1 - 2**-53, 2**-1000]),
    hnp.arrays(
        st.sampled_from(["f8", "i4", "?", "O", "S3", "c8"]), hnp.array_shapes(min_dims=0, max_dims=2, max_side=2)
    ),
    st.floats(width=16).map(np.float16),
    st.integers(0, 255).map(np.uint8),
    st.builds(
        lambda f, n: f(sp.Rational(n, 7)),
        st.sampled_from([sp.sin, sp.tanh, sp.exp, sp.sqrt, sp.log]),
        st.integers(1, 9),
    ),
)
SMALL = mostly(st.sampled_from([0, 0, 1, 1, 0.5, -0.5, 0.25, 2, 0.1, sp.Rational(1, 3), ...]), st.floats(-3, 3))


def a_verdict(verdict):
    """ "right" or "wrong", for a Verdict that is whole."""
    assert isinstance(verdict, verdicts.Verdict) and verdict.ok in (True, False)
    assert "\n" not in verdict.hint and len(verdict.hint) < 300 and bool(verdict.hint) != verdict.ok
    return "right" if verdict else "wrong"


ARRAYS = hnp.arrays(
    st.sampled_from(["f4", "f8", "f2", "i4", "u1", "?", "c8", "O", "S2", "M8[s]"]),
    st.one_of(
        st.sampled_from([(2, 5, 4), (1, 5, 4), (5, 4), (0, 5, 4), (2, 0, 4), (2, 5, 3), (2, 5)]), hnp.array_shapes()
    ),
)
ODD = st.one_of(NUMBERS, ARRAYS, st.just([[1], [2, 3]]), st.lists(ARRAYS, max_size=3))


NOISE = np.random.default_rng(0).integers(0, 2, (4, 28, 28)).astype(np.float32)
NOISY = helpers.Data("noise", NOISE, np.arange(4), NOISE, np.arange(4))
CLASSIFIERS = [
    keras.Sequential([keras.Input((28, 28)), layer(3), keras.layers.Dense(10)])
    for layer in (keras.layers.GRU, keras.layers.LSTM)
]
FIVE = st.one_of(
    st.lists(mostly(SMALL, NUMBERS), min_size=4, max_size=6),
    st.fixed_dictionaries({step: mostly(SMALL, ODD) for step in range(24, 29)}),
    hnp.arrays(st.sampled_from(["f4", "i8", "O"]), st.sampled_from([(5,), (5, 4), (4, 5), ()])),
)
GATES = st.dictionaries(st.sampled_from("ifoh"), mostly(st.just(np.zeros((4, 28, 3))), ODD))


class Hostile:
    """What a student's object may do when it is looked at."""

    def __array__(self, *_, **__):
        raise RuntimeError("no array")

    def __float__(self):
        raise KeyError("no float")


@cases(0.04)
@given(mostly(st.one_of(FIVE, GATES), st.one_of(ODD, st.just(Hostile()), st.just([Hostile()] * 5))))
def test_any_answer_to_q3(answer):
    gru, lstm = CLASSIFIERS
    with bounded("checks of Q3", ()):
        a_verdict(helpers.check_output(answer, gru, NOISE))
        a_verdict(helpers.check_predictions(answer, gru, NOISY))
        a_verdict(helpers.check_accuracies(answer, gru, NOISY))
        for verdict in helpers.check_gates_over_time(answer, lstm, NOISE).values():
            a_verdict(verdict)


PAIR = mostly(st.tuples(SMALL, SMALL), st.one_of(NUMBERS, st.tuples(NUMBERS, SMALL), st.just(Hostile()), ODD))
PAIRS = mostly(st.lists(PAIR, min_size=4, max_size=4), st.one_of(st.lists(PAIR, max_size=5), ODD))
TABLES = mostly(st.dictionaries(st.sampled_from(["GRU", "GRU", "LSTM", "gru"]), PAIRS), ODD)
KNOWN = [helpers.Experiment("GRU"), helpers.Experiment("GRU", layers=3), helpers.Experiment("LSTM", 64), None, "GRU", 3]
RECIPES = mostly(st.lists(st.sampled_from(KNOWN)), ODD)


@cases(0.04)
@given(RECIPES, TABLES)
def test_any_answer_to_q2(tmp_path_factory, experiments, results):
    with pytest.MonkeyPatch.context() as patch, bounded("checks of Q2", ()):
        patch.setattr(files, "RUNS", tmp_path_factory.getbasetemp() / "none")
        for verdict in helpers.check_results(
            "GRU", ("32", "3 x 32"), {"epochs": 10}, experiments, results, NOISY
        ).values():
            a_verdict(verdict)


# ------------------------------------------------------------------------------------------------ notebook parameters
PARAMETERS = st.one_of(
    NUMBERS, st.sampled_from([0, -1, 10, 2.5, True, "10", 10**30, 1e-3, np.int64(3), float("inf"), "GRU", "softmax"])
)
FIELDS = {
    **dict.fromkeys(("units", "layers", "epochs", "batch_size"), st.integers(1, 300)),
    **dict.fromkeys(("seed", "shift"), st.integers(0, 3) | st.sampled_from([np.int64(1), np.uint8(2)])),
    **dict.fromkeys(("learning_rate", "clipnorm"), st.floats(1e-6, 1) | st.sampled_from([1, np.float32(0.1)])),
    "gate_bias": st.floats(-3, 3),
    "schedule": st.sampled_from(["constant", "cosine"]),
    "every_step": st.booleans(),
}


@cases(0.1)
@given(
    mostly(st.sampled_from(["LSTM", "GRU", "GRU", "softmax", "MLP", "CNN"]), PARAMETERS),
    st.fixed_dictionaries({}, optional=FIELDS),
    mostly(st.just({}), st.dictionaries(st.sampled_from(sorted(FIELDS)), PARAMETERS)),
)
def test_any_recipe(family, usual, changes):
    with bounded("Experiment", (ValueError,)):
        experiment = helpers.Experiment(family, **usual | changes)
        assert json.loads(json.dumps(experiment.__dict__, default=int)) and experiment.label


BAD = [  # (notebook, parameter)
    (2, {"epochs": "ten"}),
    (3, {"seeds": 0}),
    (1, {"data": "nonsense"}),
    (2, {"data": 3}),
    (3, {"data": "a\nb.npz"}),
    (1, {"seed": "x"}),
    (2, {"seed": -1}),
    (2, {"epochs": 0}),
    (3, {"epochs": 1.5}),
    (2, {"batch_size": 0}),
    (3, {"batch_size": "large"}),
    (2, {"learning_rate": "fast"}),
    (2, {"learning_rate": float("nan")}),
    (2, {"n_jobs": "all"}),
    (2, {"n_jobs": 0}),
]


@pytest.mark.parametrize(("number", "bad"), BAD if CASES > 1000 else BAD[:2], ids=str)
def test_bad_parameters_of_a_notebook_end_in_one_line(tmp_path, number, bad):
    """Real papermill; the error is that of the first cell that uses the parameter."""
    script = "import run, sys, json; run.NOTEBOOKS = [run.NOTEBOOKS[int(sys.argv[1]) - 1]]; "
    script += "sys.exit(run.run(json.loads(sys.argv[2])))"
    environment = {**os.environ, "COURSEWORK_RUNS": str(tmp_path), "COURSEWORK_DATA": ""}
    parameters = json.dumps({"data": "digits", "epochs": 1, **bad})
    command = [sys.executable, "-c", script, str(number), parameters]
    result = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=ROOT, timeout=300)
    last = result.stderr.strip().splitlines()[-1]
    (name,) = bad
    said = rf"0{number}_\w+\.ipynb: cell \d+ failed: (ValueError|FileNotFoundError): .*(data|{name}).*\(see .*\)"
    assert result.returncode == 1 and re.fullmatch(said, last), result.stderr
    COUNTS["notebook parameters", "one line"] += 1
