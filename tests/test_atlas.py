"""The atlas: the file is whole and read as it is; a damaged one is refused; rows made again are compared."""

import numpy as np
import pytest

import helpers
from conftest import ROOT, refused
from coursework import atlas, files
from coursework.analysis import commit_step
from coursework.store import Result
from coursework.training import build_model
from tools import atlas as tool

ROWS = atlas.read_rows(atlas.ATLAS)


def test_the_file_has_each_network_from_each_seed_once():
    keys = [tuple(row[name] for name in atlas.NETWORK) for row in ROWS]
    every = {
        (cell, str(size.units), str(size.layers), str(seed))
        for cell in ("LSTM", "GRU")
        for size in helpers.MODEL_SIZES
        for seed in range(tool.SEEDS)
    }
    assert len(keys) == 256 and set(keys) == every
    for name in atlas.MADE_WITH:  # one kind of machine and one set of versions made all of it
        assert len({row[name] for row in ROWS}) == 1 and ROWS[0][name]
    assert (ROOT / "docs" / "atlas.csv").read_bytes() == atlas.ATLAS.read_bytes()


def test_what_is_read_is_what_stands_there():
    read = helpers.read_atlas()
    assert list(read) == [
        f"{cell} {size}" for cell in ("LSTM", "GRU") for size in helpers.MODEL_SIZES
    ]
    for row in ROWS:
        columns = read[atlas.label_of(row)]
        for name in atlas.MEASURED:
            assert columns[name].shape == (tool.SEEDS,)
            assert columns[name][int(row["seed"])] == float(row[name])


def test_the_numbers_are_those_of_trained_networks():
    for columns in helpers.read_atlas().values():
        assert (columns["accuracy"] > 0.9).all() and len(np.unique(columns["accuracy"])) > 5
        assert (columns["cross_entropy"] < 0.4).all()
        assert (columns["t_minus_4"] < columns["accuracy"]).mean() > 0.9
        assert (columns["commit_median"] % 0.5 == 0).all()


TEXT = atlas.ATLAS.read_text(encoding="utf-8")
LINES = TEXT.splitlines(keepends=True)
ACCURACY, LOSS = LINES[5].split(",")[4:6]
DAMAGED = {
    "empty": "",
    "another thing": '"' + "x" * 200_000,
    "header alone": LINES[0],
    "other header": TEXT.replace("t_minus_4", "t_minus_3"),
    "a row less": "".join(LINES[:40] + LINES[41:]),
    "a row twice": "".join([*LINES[:40], LINES[39], *LINES[40:]]),
    "a network less": "".join(LINES[: -tool.SEEDS]),
    "cut in a number": TEXT[: len(TEXT) // 2],
    "cut in the last word": TEXT[:-3],
    "no number": TEXT.replace(LOSS, "nan"),
    "a percentage": TEXT.replace(ACCURACY, "93.1"),
    "another network": TEXT.replace("LSTM,64,1,3,", "LSTM,65,1,3,"),
    "no width": TEXT.replace("LSTM,64,1,3,", "LSTM,,1,3,"),
}


@pytest.mark.parametrize("how", DAMAGED)
def test_a_damaged_file_is_refused_in_one_line(how, tmp_path, monkeypatch):
    assert DAMAGED[how] != TEXT
    monkeypatch.setattr(atlas, "ATLAS", tmp_path / "atlas.csv")
    atlas.ATLAS.write_text(DAMAGED[how], encoding="utf-8")
    with refused("^atlas.csv is damaged .*make atlas$"):
        helpers.read_atlas()


def test_no_text_and_no_file(tmp_path, monkeypatch):
    monkeypatch.setattr(atlas, "ATLAS", tmp_path / "atlas.csv")
    with refused("^atlas.csv is missing.*make atlas$", FileNotFoundError):
        helpers.read_atlas()
    atlas.ATLAS.write_bytes(b"\xff\xfe")
    with refused("^atlas.csv is damaged"):
        helpers.read_atlas()


class Trainer:
    """In place of `train_all`: networks that have learned nothing; from `other`, they come out otherwise."""

    other = 0

    def __call__(self, experiments, data):
        self.store = files.RUNS
        return {e: self.untrained(e) for e in experiments}

    def untrained(self, experiment):
        accuracy = (experiment.seed + self.other) / 1000
        history = {"val_loss": [2.3], "val_accuracy": [accuracy]}
        result = Result(experiment, history, files.RUNS, trained=True)
        result.__dict__["model"] = build_model(experiment)
        return result


@pytest.fixture(scope="module")
def written(data, tmp_path_factory):
    """The text of an atlas of one seed, as the tool writes it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tool, "ATLAS", tmp_path_factory.mktemp("atlas") / "atlas.csv")
        patch.setattr(tool, "load_data", lambda name: data)
        patch.setattr(tool, "train_all", Trainer())
        assert tool.write(range(1)) == 0
        return tool.ATLAS.read_text(encoding="utf-8")


@pytest.fixture
def trainer(written, runs, tmp_path, monkeypatch, data):
    """That atlas is in place of ours, and what is trained has learned nothing."""
    for room in (atlas, tool):
        monkeypatch.setattr(room, "ATLAS", tmp_path / "atlas.csv")
    atlas.ATLAS.write_text(written, encoding="utf-8")
    monkeypatch.setattr(tool, "load_data", lambda name: data)
    monkeypatch.setattr(tool, "train_all", Trainer())
    return tool.train_all


def test_what_the_tool_writes_can_be_read(trainer):
    read = helpers.read_atlas()
    assert [columns["accuracy"].tolist() for columns in read.values()] == [[0.0]] * 8


def answers(network, x, rows):
    """What a network says that has read so many rows and no more."""
    x = x[:, :rows]
    for layer in network.layers:
        x = layer(x)
    return np.argmax(x, axis=-1)


@pytest.mark.parametrize("layers", [1, 3])
def test_the_head_is_read_four_steps_before_the_last(trainer, data, layers):
    network = build_model(helpers.Experiment("GRU", 32, layers))
    by_row = np.array([answers(network, data.x_test, row) for row in range(1, 29)])
    label = "GRU 32" if layers == 1 else "GRU 3 x 32"
    (accuracy,) = helpers.read_atlas()[label]["t_minus_4"]
    assert accuracy == np.mean(by_row[23] == data.y_test).round(4)
    (median,) = helpers.read_atlas()[label]["commit_median"]
    assert median == np.median(commit_step(by_row.T))


def test_rows_made_again_fit_and_come_from_no_store(trainer, runs, capsys):
    assert tool.main(["--rows", "3"]) == 0
    said = capsys.readouterr().out.splitlines()
    assert len(said) == 3 and all(line.endswith(": fits") for line in said)
    assert trainer.store != runs and runs == files.RUNS


@pytest.mark.parametrize(
    ("other", "made_with", "code"),
    [(1, {}, 1), (1, {"processor": "slow"}, 0), (1, {"keras": "4"}, 0), (50, {"keras": "4"}, 1)],
)
def test_rows_that_come_out_otherwise_are_told(trainer, capsys, other, made_with, code):
    """By the last digit where they were made alike, else by more than rounding can do."""
    rows = atlas.read_rows(atlas.ATLAS)
    files.write_csv(
        str(atlas.ATLAS), atlas.HEADER, [list((row | made_with).values()) for row in rows]
    )
    trainer.other = other
    assert tool.main(["--rows", "2"]) == code
    said = capsys.readouterr().out.splitlines()
    assert len(said) == 2
    assert all(("accuracy 0.0" in line) == bool(code) for line in said)


def test_a_damaged_atlas_is_told_in_one_line_before_anything_is_trained(trainer, capsys):
    atlas.ATLAS.write_text("nothing", encoding="utf-8")
    assert tool.main(["--rows", "2"]) == 1
    assert capsys.readouterr().err.startswith("atlas.csv is damaged") and not hasattr(
        trainer, "store"
    )
