"""Networks in training: what a shorter training gives is the longer one after so many epochs."""

import pytest

import helpers
from conftest import refused, tiny


def test_the_shorter_training_is_the_longer_one_on_its_way(data, runs):
    """The same weights as those of the longer training after the same epoch, up to rounding; stored like any other."""
    experiment = tiny("GRU", epochs=2)
    networks = helpers.networks_by_epoch([experiment], data, (1, 5))
    assert list(networks) == [experiment.label] and list(networks[experiment.label]) == [1]
    history = helpers.train_all([experiment], data)[experiment].history
    for epoch, network in networks[experiment.label].items():
        accuracy = (helpers.predictions_of(network, data.x_test) == data.y_test).mean()
        assert accuracy == pytest.approx(history["val_accuracy"][epoch - 1], abs=0.011)
    assert len(list((runs / "models").glob("*.keras"))) == 2


def test_a_schedule_is_refused(data):
    with refused("^GRU 4.*: its learning rate depends on the number of epochs"):
        helpers.networks_by_epoch([tiny("GRU", epochs=3, schedule="cosine")], data)
