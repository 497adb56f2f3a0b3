"""Trained models on disk: whole, found by all that decides them, and never taken for another."""

import dataclasses
import inspect
import json
import os

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import helpers
from conftest import cases, refused, tiny
from coursework import files, store, training
from helpers import train_all


@pytest.fixture(scope="module")
def kept(data, tmp_path_factory):
    """A small model, trained once; each test has a copy of its files."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(files, "RUNS", tmp_path_factory.mktemp("kept"))
        result = train_all([tiny()], data, n_jobs=1)[tiny()]
    return result, {path.name: path.read_bytes() for path in result.path.parent.iterdir()}


@pytest.fixture
def result(kept, data, runs):
    result, copies = kept
    (runs / "models").mkdir(parents=True)
    for name, content in copies.items():
        (runs / "models" / name).write_bytes(content)
    return dataclasses.replace(result, path=store.model_path(tiny(), data))


def trained_again(data, e=None):
    e = e or tiny()
    return train_all([e], data, n_jobs=1)[e].trained


def test_a_model_is_an_ordinary_keras_file_and_a_json_beside_it(result, data):
    """Anybody can open the one with Keras and check it against the other by `sha256sum`."""
    assert sorted(path.suffix for path in result.path.parent.iterdir()) == [".json", ".keras"]
    facts = json.loads(result.path.with_suffix(".json").read_text())
    assert facts["history"] == result.history and facts["sha256"] == store._sha256(result.path)
    logits = keras.models.load_model(result.path).predict(data.x_test, verbose=0)
    assert np.mean(logits.argmax(1) == data.y_test) == pytest.approx(result.accuracy)
    again = store.stored(tiny(epochs=np.int64(1), learning_rate=np.float64(0.001)), data)  # the same settings
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
@given(st.one_of(st.binary(max_size=200), st.recursive(st.none() | st.text(max_size=5), st.lists).map(json.dumps)))
def test_any_json(result, data, content):
    result.path.with_suffix(".json").write_bytes(content if isinstance(content, bytes) else content.encode())
    assert store.stored(tiny(), data) is None


def test_the_key_covers_settings_data_and_code(data, monkeypatch):
    def key(**changes):
        return store.model_path(tiny("GRU", **changes), data)

    changes = {"seed": 1, "epochs": 2, "units": 5, "batch_size": 32, "learning_rate": 0.01, "gate_bias": 1.0}
    paths = {key(), *(key(**{name: value}) for name, value in changes.items())}
    assert len(paths) == 7 and key(gate_bias=1) in paths
    changed = data.x_train.copy()
    changed[0, 0, 0] = 1 - changed[0, 0, 0]
    assert store.model_path(tiny("GRU"), dataclasses.replace(data, x_train=changed)) not in paths
    for function in (helpers.build_model, helpers.compile_model, training.pays_to_compile, training.fit):
        assert inspect.getsource(function) in training.TRAINING_CODE
    with monkeypatch.context() as patch:
        patch.setattr(keras.config, "floatx", lambda: "float64")
        assert key() not in paths
    monkeypatch.setattr(store, "TRAINING_CODE", training.TRAINING_CODE.replace("False", "True"))
    assert key() not in paths


def test_what_other_versions_trained_is_trained_again_with_a_line(result, data, monkeypatch, capsys):
    with monkeypatch.context() as patch:
        patch.setattr(store, "TRAINING_CODE", training.TRAINING_CODE + "# changed")
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
    with refused(r"^the trained model softmax can't be kept in .*No space left.*COURSEWORK_RUNS", OSError):
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


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere")
def test_what_is_finished_can_be_read_where_nothing_can_be_written(result, data):
    result.path.parent.chmod(0o555)
    assert not trained_again(data)
    with refused(r"Permission denied.*COURSEWORK_RUNS", OSError):
        trained_again(data, tiny("MLP"))
    result.path.parent.chmod(0o755)


def test_a_model_with_code_in_it_is_not_run(result, data):
    """Even one whose checksum is right: Keras loads it in safe mode."""
    trap = keras.Sequential([keras.Input((28, 28)), keras.layers.Lambda(lambda x: x), keras.layers.Flatten()])
    trap.save(result.path)
    facts = json.loads(result.path.with_suffix(".json").read_text()) | {"sha256": store._sha256(result.path)}
    result.path.with_suffix(".json").write_text(json.dumps(facts))
    with pytest.raises(ValueError, match=r"Lambda|unsafe"):
        _ = store.stored(tiny(), data).model
