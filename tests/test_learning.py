"""Networks in training: the weights after each epoch are those of the training that made the network."""

import dataclasses

import numpy as np
import pytest

import helpers
from conftest import tiny
from coursework import learning


def same_weights(one, other):
    return all(map(np.array_equal, one.get_weights(), other.get_weights()))


@pytest.mark.parametrize("schedule", ["constant", "cosine"])
def test_the_last_epoch_is_the_stored_network_to_the_bit(data, runs, schedule):
    experiment = tiny("GRU", epochs=3, schedule=schedule)
    network = helpers.train_all([experiment], data)[experiment]
    stages = helpers.networks_by_epoch([experiment], data)[experiment.label]
    assert list(stages) == [1, 2, 3] and same_weights(stages[3], network.model)
    for epoch, stage in stages.items():
        accuracy = (helpers.predictions_of(stage, data.x_test) == data.y_test).mean()
        assert accuracy == pytest.approx(network.history["val_accuracy"][epoch - 1], abs=1e-6)


def test_they_are_kept_and_a_damaged_file_is_made_anew(data, runs, monkeypatch):
    experiment = tiny("LSTM", epochs=2)
    first = helpers.networks_by_epoch([experiment], data)
    (kept,) = (runs / "models").glob("*.epochs.npy")
    with monkeypatch.context() as patched:
        patched.setattr(learning, "_job", None)  # nothing is trained
        again = helpers.networks_by_epoch([experiment], data)
    assert same_weights(first[experiment.label][1], again[experiment.label][1])
    kept.write_bytes(kept.read_bytes()[:500])
    third = helpers.networks_by_epoch([experiment], data)
    assert same_weights(first[experiment.label][1], third[experiment.label][1])
    other = dataclasses.replace(experiment, seed=1)
    assert not same_weights(
        helpers.networks_by_epoch([other], data)[other.label][1], first[experiment.label][1]
    )
