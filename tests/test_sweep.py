"""Train what is missing, here, in worker processes, on a cluster: the same bits everywhere, whole, and found again."""

import dataclasses
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections import Counter

import distributed
import keras
import numpy as np
import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from conftest import ROOT, cases, python, refused, tiny, wait_for
from coursework import backend, files, machine, store, sweep, training
from helpers import Cell, dot, sigmoid, symbols, train_all


@pytest.fixture(scope="module")
def trained(data, tmp_path_factory):
    """Two small models trained once, by two workers; tests work on copies."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(files, "RUNS", tmp_path_factory.mktemp("trained"))
        return files.RUNS, train_all([tiny("GRU"), tiny()], data, n_jobs=2)


@pytest.fixture
def at_hand(trained, runs):
    shutil.copytree(trained[0], runs)
    return trained[1]


@pytest.fixture
def result(at_hand, data):
    """That of the small model."""
    return dataclasses.replace(at_hand[tiny()], path=store.model_path(tiny(), data))


def test_workers_give_what_one_process_gives(trained, data):
    for e, result in trained[1].items():
        model, history = training.fit(e, data)
        assert result.trained and result.history == history
        assert all(map(np.array_equal, model.get_weights(), result.model.get_weights()))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([tiny()], None, 0), "n_jobs must be a whole number of at least 1, not 0"),
        (([tiny()], None), "data must be what load_data returns, not None"),
        ((["GRU"], ...), "it holds 'GRU'"),
        ((3, ...), "experiments must be a list of Experiment; it holds 3"),
    ],
)
def test_a_call_that_can_not_work_gets_one_line(data, arguments, message):
    with refused(message):
        train_all(*(data if argument is ... else argument for argument in arguments))


@pytest.mark.parametrize(
    ("limit", "workers"),
    [("max", 16), ("4294967296", 2), ("1000", 1), (None, 16), (str(2**62), 16)],
)
def test_as_many_workers_as_the_containers_memory_allows(limit, workers, tmp_path, monkeypatch):
    """On a machine of 16 cores and 64 GB, in a process that has taken 1 GB."""
    gigabytes = psutil.virtual_memory()._replace(available=64 * 10**9)
    monkeypatch.setattr(machine.psutil, "virtual_memory", lambda: gigabytes)
    monkeypatch.setattr(
        machine.psutil.Process, "memory_info", lambda self: type("Memory", (), {"rss": 10**9})
    )
    monkeypatch.setattr(sweep.joblib, "cpu_count", lambda: 16)
    monkeypatch.setattr(machine, "MEMORY_LIMITS", (tmp_path / "none", tmp_path / "limit"))
    if limit:
        (tmp_path / "limit").write_text(f"{limit}\n")
    assert sweep._usual_jobs() == workers


def test_a_worker_of_another_kind_is_named(data, runs, monkeypatch, capsys):
    """Its last bits may differ; here two threads of one machine, of which this one is told another name."""
    monkeypatch.setattr(sweep, "processor", iter(["an older one", "this one"]).__next__)
    train_all([tiny()], data, n_jobs=1)
    assert "softmax was trained on an older one" in capsys.readouterr().out


def test_only_what_is_missing_is_trained_and_the_order_is_kept(at_hand, data, monkeypatch, capsys):
    results = train_all([tiny("MLP"), *at_hand, tiny("MLP")], data, n_jobs=1)
    assert list(results) == [tiny("MLP"), *at_hand]
    assert [result.trained for result in results.values()] == [True, False, False]
    capsys.readouterr()
    monkeypatch.setattr(sweep, "_train_job", None)  # training would fail
    again = train_all(at_hand, data, n_jobs=1)
    assert [result.history for result in again.values()] == [
        result.history for result in at_hand.values()
    ]
    assert capsys.readouterr().out == ""


def test_an_interrupted_run_keeps_what_was_finished(data, monkeypatch, runs):
    def interrupted(experiment, *rest):
        if experiment == tiny():
            raise KeyboardInterrupt
        return training.fit(experiment, *rest)

    monkeypatch.setattr(sweep, "fit", interrupted)
    with pytest.raises(KeyboardInterrupt):
        train_all([tiny("MLP"), tiny()], data, n_jobs=1)
    assert store.stored(tiny("MLP"), data) and not store.stored(tiny(), data)


# ------------------------------------------------------------------------------------------------------------- store
def trained_again(data, e=None):
    e = e or tiny()
    return train_all([e], data, n_jobs=1)[e].trained


def test_a_model_is_an_ordinary_keras_file_and_a_json_beside_it(result, data):
    """Anybody can open the one with Keras and check it against the other by `sha256sum`."""
    assert sorted(path.suffix for path in result.path.parent.glob("softmax*")) == [
        ".json",
        ".keras",
    ]
    facts = json.loads(result.path.with_suffix(".json").read_text())
    assert facts["history"] == result.history and facts["sha256"] == store._sha256(result.path)
    logits = keras.models.load_model(result.path).predict(data.x_test, verbose=0)
    assert np.mean(logits.argmax(1) == data.y_test) == pytest.approx(result.accuracy)
    again = store.stored(
        tiny(epochs=np.int64(1), learning_rate=np.float64(0.001)), data
    )  # the same settings
    assert not again.trained and dataclasses.replace(again, trained=True) == result


def flip_a_bit(path):
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))


DAMAGES = {
    "another file": lambda model, facts: model.write_bytes(b"PK, but no model"),
    "another bit": lambda model, facts: flip_a_bit(model),
    "no JSON": lambda model, facts: facts.write_text("{"),
    "too deep": lambda model, facts: facts.write_text("[" * 10**5),
    "no key": lambda model, facts: facts.write_text(json.dumps({"sha256": "0"})),
    "a link to itself": lambda model, facts: (model.unlink(), model.symlink_to(model)),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_model_is_noticed_and_a_line_says_so(result, data, capsys, damage):
    DAMAGES[damage](result.path, result.path.with_suffix(".json"))
    assert store.stored(tiny(), data) is None
    assert capsys.readouterr().out.startswith("The stored model softmax is damaged (")
    if damage == "a link to itself":  # the one over which a new model might stumble
        assert trained_again(data) and not trained_again(data)


@pytest.mark.parametrize("suffix", [".keras", ".json"])
def test_half_of_a_model_is_none(result, data, capsys, suffix):
    result.path.with_suffix(suffix).unlink()
    assert store.stored(tiny(), data) is None and not capsys.readouterr().out


@cases(40)
@given(
    st.one_of(
        st.binary(max_size=200),
        st.recursive(st.none() | st.text(max_size=5), st.lists).map(json.dumps),
    )
)
def test_any_json(result, data, content):
    result.path.with_suffix(".json").write_bytes(
        content if isinstance(content, bytes) else content.encode()
    )
    assert store.stored(tiny(), data) is None


def test_the_key_covers_settings_data_and_code(data, monkeypatch):
    def key(**changes):
        return store.model_path(tiny("GRU", **changes), data)

    changes = {
        "seed": 1,
        "epochs": 2,
        "units": 5,
        "batch_size": 32,
        "learning_rate": 0.01,
        "gate_bias": 1.0,
    }
    paths = {key(), *(key(**{name: value}) for name, value in changes.items())}
    assert len(paths) == 7 and key(gate_bias=1) in paths
    changed = data.x_train.copy()
    changed[0, 0, 0] = 1 - changed[0, 0, 0]
    assert store.model_path(tiny("GRU"), dataclasses.replace(data, x_train=changed)) not in paths
    for other in (
        ["float64", *backend.settings()[1:]],
        [*backend.settings()[:-1], True],
    ):  # eagerly
        usual = backend.settings()
        backend.use_settings(other)
        assert key() not in paths
        backend.use_settings(usual)
    for name in ("build_model", "compile_model", "pays_to_compile", "fit", "_in_one_loop"):
        with monkeypatch.context() as patch:
            patch.setattr(training, name, lambda *arguments: None)
            assert key() not in paths
    assert key() in paths


@pytest.mark.long
def test_settings_of_the_process_reach_key_program_and_workers(data, runs):
    experiments, usual, histories = [tiny("GRU"), tiny("LSTM")], backend.settings(), {}
    try:
        for policy in ("float32", "mixed_float16", "mixed_bfloat16", "float32"):
            keras.config.set_dtype_policy(policy)
            results = train_all(experiments, data, n_jobs=1)
            for e, result in results.items():
                assert result.history == histories.setdefault((policy, e), result.history)
                assert result.model.layers[0].dtype_policy.name == policy
        assert len(set(map(str, histories.values()))) == 6  # each policy gives other numbers
        keras.config.set_dtype_policy("mixed_bfloat16")
        shutil.rmtree(runs)
        for e, result in train_all(experiments, data, n_jobs=2).items():
            assert result.trained and result.history == histories["mixed_bfloat16", e]
    finally:
        backend.use_settings(usual)


RELOADS = """
import os, pathlib, helpers
from IPython.extensions.autoreload import ModuleReloader
from coursework import store, training
data, reloader = helpers.load_data("digits"), ModuleReloader()
room = pathlib.Path(training.__file__)
def facts():
    reloader.check(check_all=reload)
    model = helpers.build_model(helpers.Experiment("GRU", 4))
    print(store.model_path(helpers.Experiment("GRU", 4), data).name, model.layers[-2].activation.__name__)
reload = True
facts()
for reload, old, new in ((False, "relu", "tanh"), (True, "", ""), (True, "tanh", "relu")):
    text = room.read_text(encoding="utf-8").replace(f'dense(64, seeds, "{old}")', f'dense(64, seeds, "{new}")')
    room.write_text(text, encoding="utf-8")
    os.utime(room, (room.stat().st_atime, room.stat().st_mtime + 9))
    facts()
"""


@pytest.mark.long
def test_the_key_is_of_the_code_that_runs_however_it_came_there(tmp_path):
    """A kernel with `%autoreload` whose file is edited, and edited back."""
    shutil.copytree(ROOT / "coursework", tmp_path / "coursework")
    shutil.copy(ROOT / "helpers.py", tmp_path)
    result = python("-c", RELOADS, cwd=tmp_path, PYTHONPATH=str(tmp_path))
    assert result.returncode == 0, result.stderr
    first, edited, loaded, back = map(str.split, result.stdout.splitlines())
    assert first == edited == back and first[1] == "relu"
    assert loaded[1] == "tanh" and loaded[0] != first[0]


def test_what_other_versions_trained_is_trained_again_with_a_line(
    result, data, monkeypatch, capsys
):
    with monkeypatch.context() as patch:
        patch.setattr(training, "build_model", lambda experiment: None)
        assert store.stored(tiny(), data) is None
        assert "other versions (training code" in capsys.readouterr().out
    version = keras.__version__
    monkeypatch.setattr(keras, "__version__", "3.99.0")
    assert trained_again(data)
    assert f"softmax was trained with other versions (Keras {version}" in capsys.readouterr().out
    assert not trained_again(data)


def test_a_model_put_under_another_name_is_not_used(result, data, capsys):
    other = store.model_path(tiny(seed=1), data)
    result.path.rename(other)
    result.path.with_suffix(".json").rename(other.with_suffix(".json"))
    assert store.stored(tiny(seed=1), data) is None and "is damaged" in capsys.readouterr().out


def test_a_file_with_a_long_foreign_name_gets_a_model(data, runs):
    foreign = dataclasses.replace(data, name="Ziffern für Übungen " * 12)
    assert train_all([tiny()], foreign, n_jobs=1)[tiny()].path.exists()


def test_nothing_unfinished_is_left_where_saving_fails(data, monkeypatch, runs):
    def full_disk(self, path, *rest, **options):
        path.write_bytes(b"half a model")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(keras.Model, "save", full_disk)
    with refused(
        r"^the trained model softmax can't be kept in .*No space left.*COURSEWORK_RUNS", OSError
    ):
        train_all([tiny()], data, n_jobs=1)
    assert store.stored(tiny(), data) is None and not list((runs / "models").iterdir())


def test_a_disk_without_room_is_noticed_before_training(data, runs):
    """A limit on the size of files stands in for the full disk."""
    resource = pytest.importorskip("resource")
    usual = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, usual[1]))
    try:
        with refused("^trained models can't be kept in .* set COURSEWORK_RUNS", OSError):
            train_all([tiny()], data, n_jobs=1)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, usual)


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere"
)
def test_what_is_finished_can_be_read_where_nothing_can_be_written(result, data):
    result.path.parent.chmod(0o555)
    assert not trained_again(data)
    with refused(r"Permission denied.*COURSEWORK_RUNS", OSError):
        trained_again(data, tiny("MLP"))
    result.path.parent.chmod(0o755)


def test_a_model_with_code_in_it_is_not_run(result, data):
    """Even one whose checksum is right: the network is built from the experiment, and numbers alone are read."""
    trap = keras.Sequential(
        [keras.Input((28, 28)), keras.layers.Lambda(lambda x: x), keras.layers.Flatten()]
    )
    trap.save(result.path)
    facts = json.loads(result.path.with_suffix(".json").read_text()) | {
        "sha256": store._sha256(result.path)
    }
    result.path.with_suffix(".json").write_text(json.dumps(facts))
    with pytest.raises(ValueError, match=r"holds other weights than those of softmax$"):
        _ = store.stored(tiny(), data).model


# ----------------------------------------------------------------------------------------------------------- cluster
@pytest.fixture
def dask(tmp_path):
    """dask(command): one of the README's, as on another machine, where helpers.py is found by PYTHONPATH alone."""
    processes = []

    def dask(*command):
        environment = os.environ | {"PYTHONPATH": str(ROOT)}
        processes.append(
            subprocess.Popen(
                [sys.executable, "-m", "dask", *command], cwd=tmp_path, env=environment
            )
        )
        return processes[-1]

    yield dask
    for process in processes:
        process.kill()
        process.wait()


def cell_of_ones_own():
    """It is in no file, so a worker knows it from its equations alone."""
    x, h_prev, g, q, W, W_q, b_q = symbols("x h_prev g q W W_q b_q")
    return Cell("own", {q: sigmoid(dot(W_q, x) + b_q)}, dot(W, x), q * h_prev + (1 - q) * g)


@pytest.mark.long
def test_a_cluster(data, runs, tmp_path, dask, monkeypatch):
    """Without workers, with workers of other code, and with one that is killed in the middle, which costs its model."""
    here, known = ("--host", "127.0.0.1", "--no-dashboard"), tmp_path / "scheduler.json"
    dask("scheduler", *here, "--port", "0", "--scheduler-file", str(known))
    scheduler = wait_for(
        lambda: known.exists() and re.search(r"tcp://[\d.]+:\d+", known.read_text())
    )[0]
    monkeypatch.setenv("COURSEWORK_SCHEDULER", scheduler)
    with refused("has no workers: start some with 'dask worker'", ConnectionError):
        train_all([tiny()], data)
    workers = [dask("worker", scheduler, *here, "--nthreads", "1", "--no-nanny") for _ in range(2)]
    with distributed.Client(scheduler, set_as_default=False) as client:
        client.wait_for_workers(2)
    with monkeypatch.context() as patch:
        patch.setattr(store, "training_code", lambda: "other code")
        with refused(
            r"^the worker on .* has other training code, Keras or TensorFlow", RuntimeError
        ):
            train_all([tiny(), tiny(seed=1)], data)  # one for each, so that both have started
    experiments = [tiny("GRU", epochs=50, seed=seed) for seed in range(3)]
    experiments += [tiny("CNN", epochs=2, shift=1), tiny(cell_of_ones_own())]
    marks = runs / "temporary"
    marks.mkdir(parents=True)
    monkeypatch.setattr(tempfile, "tempdir", str(marks))

    def kill():
        def busy():  # two models under way, neither of them finished
            epochs = Counter(mark.name.rsplit("-", 1)[0] for mark in marks.glob("epochs-*/*"))
            return sum(1 < count < 50 for count in epochs.values()) == 2

        wait_for(busy)
        workers[0].send_signal(signal.SIGKILL)

    thread = threading.Thread(target=kill)
    thread.start()
    there = train_all(experiments, data)
    thread.join()
    assert workers[0].wait() == -signal.SIGKILL and workers[1].poll() is None
    assert [result.trained for result in there.values()] == [True] * 5
    for e, result in there.items():
        model, history = training.fit(e, data)
        assert history == result.history and all(
            map(np.array_equal, model.get_weights(), result.model.get_weights())
        )


def test_without_a_scheduler_or_dask_one_line_says_what_to_do(data, monkeypatch, runs):
    for address in ("tcp://127.0.0.1:9", "nonsense:"):
        monkeypatch.setenv("COURSEWORK_SCHEDULER", address)
        with refused(
            f"^no Dask scheduler at {address}: start one with 'dask scheduler'$", ConnectionError
        ):
            train_all([tiny()], data)
    monkeypatch.setitem(sys.modules, "distributed", None)
    with refused("a scheduler needs Dask: pip install distributed", ImportError):
        train_all([tiny()], data)
