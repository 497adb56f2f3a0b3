"""Models, training and what is kept of it."""

import dataclasses
import inspect
import json
import os
import shutil
import signal
import subprocess
import sys

import keras
import numpy as np
import psutil
import pytest

import helpers
from conftest import ROOT, wait_for
from coursework import files, store, sweep, training
from helpers import Experiment, train_all


@pytest.fixture(autouse=True)
def runs(monkeypatch, tmp_path):
    monkeypatch.setattr(files, "RUNS", tmp_path)
    return tmp_path


def tiny(family="GRU", **changes):
    return Experiment(family, **{"units": 4, "epochs": 1, "batch_size": 64, **changes})


@pytest.mark.parametrize(
    ("family", "units", "layers", "parameters"),
    [
        # Recurrent layers by the textbook's formulas, plus 64 fully connected units and 10 logits.
        ("LSTM", 32, 1, 4 * 32 * (28 + 32 + 1) + 33 * 64 + 650),
        ("LSTM", 32, 3, 4 * 32 * (28 + 32 + 1) + 2 * 4 * 32 * (32 + 32 + 1) + 33 * 64 + 650),
        ("GRU", 128, 1, 3 * 128 * (28 + 128 + 2) + 129 * 64 + 650),
        ("GRU", 32, 3, 3 * 32 * (28 + 32 + 2) + 2 * 3 * 32 * (32 + 32 + 2) + 33 * 64 + 650),
        ("softmax", 32, 1, 785 * 10),
        ("MLP", 32, 1, 785 * 32 + 33 * 10),
        ("MLP", 32, 2, 785 * 32 + 33 * 32 + 33 * 10),
        ("CNN", 32, 1, 10 * 8 + (72 + 1) * 8 + (7 * 7 * 8 + 1) * 32 + 33 * 10),
    ],
)
def test_the_networks_are_the_sheets(family, units, layers, parameters):
    model = helpers.build_model(Experiment(family, units, layers))
    assert model.count_params() == parameters
    assert model.output_shape == (None, 10)


def test_a_recurrent_network_is_recurrent_relu_dense_relu_logits():
    layers = helpers.build_model(Experiment("LSTM", layers=3)).layers
    assert [type(layer).__name__ for layer in layers] == ["LSTM", "LSTM", "LSTM", "ReLU", "Dense", "Dense"]
    assert layers[4].units == 64 and layers[4].activation is keras.activations.relu
    assert layers[5].activation is keras.activations.linear


def test_the_recipe_is_the_sheets():
    e = Experiment("GRU")
    model = helpers.compile_model(helpers.build_model(e), e)
    assert (e.epochs, e.batch_size) == (10, 256)
    assert isinstance(model.optimizer, keras.optimizers.Adam)
    assert float(model.optimizer.learning_rate) == pytest.approx(0.001)
    assert model.loss.from_logits if hasattr(model.loss, "from_logits") else model.loss._fn_kwargs["from_logits"]


def test_initial_weights_follow_from_the_seed_alone():
    def weights(seed):
        return helpers.build_model(Experiment("GRU", 8, 2, seed=seed)).get_weights()

    first = weights(3)
    keras.utils.set_random_seed(99)
    np.random.default_rng(1)
    assert all(np.array_equal(a, b) for a, b in zip(first, weights(3), strict=True))
    assert not np.array_equal(first[0], weights(4)[0])
    # No two layers start alike: each has its own seed.
    assert not np.array_equal(first[1], first[4])


def test_gate_bias_reaches_the_gates_only():
    z_r, candidate = np.split(
        helpers.build_model(Experiment("GRU", 5, gate_bias=1.0)).layers[0].cell.bias.numpy()[0], [10]
    )
    assert (z_r == 1).all() and (candidate == 0).all()


def test_every_step_gives_logits_after_every_row(data):
    model, history = training.fit(tiny(every_step=True), data)
    assert model.predict(data.x_test[:3], verbose=0).shape == (3, 28, 10)
    assert np.isfinite(history["loss"]).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"family": "RNN"}, "unknown family 'RNN'"),
        ({"epochs": 0}, "epochs must be a whole number of at least 1, not 0"),
        ({"epochs": 2.5}, "epochs must be a whole number"),
        ({"epochs": True}, "epochs must be a whole number"),
        ({"units": -1}, "units must be"),
        ({"seed": -1}, "seed must be"),
        ({"batch_size": 0}, "batch_size must be"),
        ({"learning_rate": 0}, "learning_rate must be a positive number"),
        ({"learning_rate": float("nan")}, "learning_rate must be a positive number"),
        ({"family": "LSTM", "gate_bias": 1.0}, "gate_bias is for 'GRU'"),
        ({"family": "CNN", "every_step": True}, "every_step is for"),
        ({"schedule": "linear"}, "unknown schedule 'linear'"),
        ({"clipnorm": -1}, "clipnorm must be 0"),
        ({"shift": -1}, "shift must be"),
        ({"seed": 2**64}, "seed must be at most 2147483647, not 18446744073709551616"),
        ({"layers": 16}, "layers must be at most 15"),
        ({"every_step": []}, "every_step must be True or False"),
    ],
)
def test_bad_settings_get_one_clear_line(arguments, message):
    with pytest.raises(ValueError, match=message) as caught:
        Experiment(**{"family": "GRU", **arguments})
    assert "\n" not in str(caught.value)


def test_numpys_numbers_and_the_deepest_networks_are_built():
    deep = Experiment("GRU", np.int64(2), np.int16(15), epochs=1)
    assert len(helpers.build_model(deep).layers) == 15 + 3 and deep == Experiment("GRU", 2, 15, epochs=1)


def test_the_tuned_recipe_changes_the_training_only():
    for e in (Experiment("GRU"), Experiment("LSTM", 64), Experiment("GRU", 128, seed=3), Experiment("LSTM", layers=3)):
        for better in (helpers.tuned(e), helpers.quick(e)):
            assert (better.family, better.units, better.layers, better.seed) == (e.family, e.units, e.layers, e.seed)
            assert better.label == f"{e.label}, tuned" and helpers.build_model(better).count_params()
        assert helpers.tuned(e).epochs == e.epochs and helpers.quick(e).epochs == 1


def test_the_cosine_schedule_rises_in_a_third_of_an_epoch_and_ends_at_zero():
    e = Experiment("GRU", 4, epochs=2, learning_rate=0.01, schedule="cosine", clipnorm=0.5)
    optimizer = helpers.compile_model(helpers.build_model(e), e, updates=30).optimizer
    rates = [float(optimizer._learning_rate(step)) for step in (0, 5, 10, 35, 60)]
    assert rates == pytest.approx([0, 0.005, 0.01, 0.005, 0], abs=1e-6)
    assert optimizer.clipnorm == 0.5


def test_shifted_images_are_the_images_moved_by_a_pixel_anew_in_each_epoch(data, monkeypatch):
    seen = []

    def look(self, batches, **options):
        seen.append(np.concatenate([x for x, _ in batches]))
        raise StopIteration

    monkeypatch.setattr(keras.Sequential, "fit", look)
    with pytest.raises(StopIteration):
        training.fit(tiny("softmax", epochs=2, shift=1), data)
    padded = np.pad(data.x_train, ((0, 0), (1, 1), (1, 1)))
    moved = {(i, j): padded[:, i : i + 28, j : j + 28] for i in range(3) for j in range(3)}
    counts = dict.fromkeys(moved, 0)
    for image in seen[0]:
        ways = [way for way, images in moved.items() if (images == image).all((1, 2)).any()]
        assert ways  # nothing but moved images
        counts[ways[0]] += 1
    assert min(counts.values()) > 30  # 640 images, 9 ways
    first, second = np.split(seen[0], 2)
    assert not all((second == image).all((1, 2)).any() for image in first)


def test_labels():
    labels = [
        e.label
        for e in (Experiment("GRU"), Experiment("LSTM", 32, 3), Experiment("softmax"), Experiment("MLP", layers=2))
    ]
    assert labels == ["GRU 32", "LSTM 3 x 32", "softmax", "MLP 2 x 32"]


def test_batch_size_shrinks_only_on_small_data(data):
    assert helpers.batch_size_for(data) == 32
    large = dataclasses.replace(data, y_train=np.zeros(60_000, int))
    assert helpers.batch_size_for(large) == 256 and helpers.batch_size_for(large, 100) == 100


def test_training_learns_and_reports_the_test_images(data):
    model, history = training.fit(Experiment("MLP", epochs=8, batch_size=16), data)
    assert history["loss"][-1] < history["loss"][0] and history["val_accuracy"][-1] > 0.5
    loss, accuracy = model.evaluate(data.x_test, data.y_test, verbose=0)
    assert history["val_loss"][-1] == pytest.approx(loss, abs=1e-4)
    assert history["val_accuracy"][-1] == pytest.approx(accuracy, abs=1e-4)
    assert history["accuracy"][-1] != pytest.approx(accuracy, abs=1e-6)


def test_weights_come_from_the_training_images_alone(data):
    rng = np.random.default_rng(0)
    other = dataclasses.replace(data, x_test=rng.permutation(data.x_test, axis=2), y_test=rng.permutation(data.y_test))
    few = dataclasses.replace(data, x_train=data.x_train[:128], y_train=data.y_train[:128])
    here, there, fewer = (training.fit(tiny("softmax"), d)[0].get_weights() for d in (data, other, few))
    assert all(np.array_equal(a, b) for a, b in zip(here, there, strict=True))
    assert not np.array_equal(here[0], fewer[0])


@pytest.fixture(scope="module")
def trained(data, tmp_path_factory):
    """Two small models trained once, by two workers; tests work on copies."""
    folder = tmp_path_factory.mktemp("trained")
    before, files.RUNS = files.RUNS, folder
    results = train_all([tiny(), tiny("softmax")], data, n_jobs=2)
    files.RUNS = before
    return folder, results


@pytest.fixture
def at_hand(trained, runs):
    shutil.copytree(trained[0], runs, dirs_exist_ok=True)
    return trained[1]


def test_workers_give_what_one_process_gives(trained, data):
    for e, result in trained[1].items():
        model, history = training.fit(e, data)
        assert result.trained and result.history == history
        for here, there in zip(model.get_weights(), result.model.get_weights(), strict=True):
            assert np.array_equal(here, there)
        loss, accuracy = result.model.evaluate(data.x_test, data.y_test, verbose=0)
        assert (result.loss, result.accuracy) == pytest.approx((loss, accuracy), abs=1e-4)


def test_at_least_one_worker(data):
    with pytest.raises(ValueError, match="n_jobs must be a whole number of at least 1, not 0"):
        train_all([tiny()], data, n_jobs=0)


@pytest.mark.parametrize(
    ("limit", "workers"), [("max", 16), ("4294967296", 2), ("1000", 1), (None, 16), (str(2**62), 16)]
)
def test_as_many_workers_as_the_containers_memory_allows(limit, workers, tmp_path, monkeypatch):
    """On a machine of 16 cores and 64 GB, in a process that has taken 1 GB."""
    gigabytes = psutil.virtual_memory()._replace(available=64 * 10**9)
    monkeypatch.setattr(sweep.psutil, "virtual_memory", lambda: gigabytes)
    monkeypatch.setattr(sweep.psutil.Process, "memory_info", lambda self: type("Memory", (), {"rss": 10**9}))
    monkeypatch.setattr(sweep.joblib, "cpu_count", lambda: 16)
    monkeypatch.setattr(sweep, "MEMORY_LIMITS", (tmp_path / "none", tmp_path / "limit"))
    if limit:
        (tmp_path / "limit").write_text(f"{limit}\n")
    assert sweep._usual_jobs() == workers


SWEEP = """
import signal, sys, tempfile
import helpers
if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs are deaf to Ctrl-C
    tempfile.tempdir = sys.argv[1]
    digits = helpers.load_data("digits")
    sweep = [helpers.Experiment("GRU", 4, epochs=500, seed=seed) for seed in range(3)]
    helpers.train_all([helpers.Experiment("softmax", epochs=1), *sweep], digits, n_jobs=2)
"""


@pytest.mark.skipif(os.name == "nt", reason="signals")
@pytest.mark.parametrize("who", ["parent, Ctrl-C", "parent, SIGKILL", "worker, SIGKILL", "start, SIGKILL"])
def test_a_killed_sweep_leaves_no_processes_and_no_half_written_files(who, tmp_path):
    (tmp_path / "sweep.py").write_text(SWEEP)
    environment = {**os.environ, "COURSEWORK_RUNS": str(tmp_path / "runs"), "PYTHONPATH": str(ROOT)}
    sweep = psutil.Popen(
        [sys.executable, "sweep.py", str(tmp_path)], cwd=tmp_path, env=environment, stderr=subprocess.PIPE, text=True
    )
    if "start" in who:  # the parent again, while the workers still import what they need
        wait_for(lambda: any("LokyProcess" in " ".join(child.cmdline()) for child in sweep.children()), seconds=300)
    else:
        wait_for(lambda: len({mark.name.split("-")[0] for mark in tmp_path.glob("epochs-*/*")}) >= 2, seconds=300)
    family = sweep.children(recursive=True)
    if who == "worker, SIGKILL":
        next(process for process in family if "LokyProcess" in " ".join(process.cmdline())).kill()
    else:
        sweep.send_signal(signal.SIGINT if "Ctrl-C" in who else signal.SIGKILL)
    errors = sweep.communicate(timeout=300)[1]
    assert sweep.returncode != 0
    if who == "worker, SIGKILL":
        assert "RuntimeError: a training process was killed, perhaps for want of memory" in errors
    _, alive = psutil.wait_procs(family, timeout=60)
    assert not alive
    assert not list((tmp_path / "runs").rglob(".unfinished*")) and not list((tmp_path / "runs").rglob("GRU*"))


def test_a_finished_model_is_not_trained_again(at_hand, data, monkeypatch, capsys):
    monkeypatch.setattr(sweep, "_train_job", None)  # training would fail
    again = train_all(at_hand, data, n_jobs=1)
    assert [result.trained for result in again.values()] == [False] * 2
    assert [result.history for result in again.values()] == [result.history for result in at_hand.values()]
    assert capsys.readouterr().out == ""


def test_only_what_is_missing_is_trained_and_the_order_is_kept(at_hand, data, monkeypatch):
    experiments = [tiny("MLP"), *at_hand, tiny("MLP")]
    results = train_all(experiments, data, n_jobs=1)
    assert list(results) == [tiny("MLP"), *at_hand]
    assert [result.trained for result in results.values()] == [True, False, False]


def test_an_interrupted_run_keeps_what_was_finished(data, monkeypatch):
    original, calls = training.fit, []

    def interrupted(experiment, *rest):
        calls.append(experiment)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return original(experiment, *rest)

    monkeypatch.setattr(sweep, "fit", interrupted)
    with pytest.raises(KeyboardInterrupt):
        train_all([tiny("MLP"), tiny("softmax")], data, n_jobs=1)
    monkeypatch.setattr(sweep, "fit", original)
    results = train_all([tiny("MLP"), tiny("softmax")], data, n_jobs=1)
    assert [result.trained for result in results.values()] == [False, True]


@pytest.mark.parametrize(
    "damage",
    [
        lambda folder: (folder / "model.keras").write_bytes(b"PK, but no model"),
        lambda folder: (folder / "model.keras").unlink(),
        lambda folder: (folder / "result.json").write_text("{"),
        lambda folder: (folder / "result.json").write_text("[]"),
        lambda folder: (folder / "result.json").write_text(json.dumps({"sha256": "0"})),
    ],
)
def test_a_damaged_model_is_trained_again_with_a_word(at_hand, data, capsys, damage):
    e = tiny("softmax")
    damage(store.model_folder(e, data))
    results = train_all([e], data, n_jobs=1)
    assert results[e].trained and "softmax is damaged" in capsys.readouterr().out
    assert not train_all([e], data, n_jobs=1)[e].trained


def test_the_key_covers_settings_data_and_code(data, monkeypatch):
    def key(**changes):
        return store.model_folder(tiny(**changes), data)

    folders = {
        key(),
        key(seed=1),
        key(epochs=2),
        key(units=5),
        key(batch_size=32),
        key(learning_rate=0.01),
        key(gate_bias=1.0),
    }
    assert len(folders) == 7
    changed = data.x_train.copy()
    changed[0, 0, 0] = 1 - changed[0, 0, 0]
    assert store.model_folder(tiny(), dataclasses.replace(data, x_train=changed)) not in folders
    assert key(gate_bias=1) == key(gate_bias=1.0)
    for function in (helpers.build_model, helpers.compile_model, training.fit):
        assert inspect.getsource(function) in training.TRAINING_CODE
    monkeypatch.setattr(store, "TRAINING_CODE", training.TRAINING_CODE.replace("False", "True"))
    assert key() not in folders


def test_nothing_unfinished_is_left_under_a_models_name(data, monkeypatch, runs):
    def full_disk(self, path, *rest, **options):
        path.write_bytes(b"half a model")
        raise OSError("no space left on device")

    monkeypatch.setattr(keras.Model, "save", full_disk)
    with pytest.raises(OSError, match=r"no space left.*COURSEWORK_RUNS"):
        train_all([tiny("softmax")], data, n_jobs=1)
    assert store.stored(tiny("softmax"), store.model_folder(tiny("softmax"), data)) is None
    assert not list((runs / "models").glob("softmax*"))


def test_measured_marks_numbers_and_words():
    assert helpers.measured(0.96594, ".3f") == "≈0.966"
    assert helpers.measured("not separable") == "≈[not separable]"


def test_print_table_aligns(capsys):
    helpers.print_table(("model", "n"), [("a", "1"), ("longer", "1,000")])
    assert capsys.readouterr().out == "model       n\na           1\nlonger  1,000\n"


def test_summary_table_draws_and_writes_a_csv(runs):
    pairs = [(0.1, 0.97), (0.09, 0.975), (0.08, 0.98), (0.1, 0.97)]
    assert helpers.plot_summary_table({"LSTM": pairs, "GRU": pairs}) is None
    lines = (runs / "summary.csv").read_text().splitlines()
    assert lines[0] == "model,test cross-entropy,test accuracy"
    assert lines[1] == "LSTM 32,0.1,0.97" and lines[8] == "GRU 3 x 32,0.1,0.97"
    with pytest.raises(ValueError, match="GRU: expected 4 pairs"):
        helpers.plot_summary_table({"LSTM": pairs, "GRU": pairs[:3]})
