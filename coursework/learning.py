"""Networks in training: the weights after some of the epochs."""

import dataclasses
from collections.abc import Iterable

from coursework.backend import keras
from coursework.data import Data
from coursework.experiment import Experiment
from coursework.sweep import train_all


def networks_by_epoch(
    experiments: Iterable[Experiment], data: Data, epochs: Iterable[int] = (1, 2, 5)
) -> dict[str, dict[int, keras.Model]]:
    """The networks of some experiments after fewer epochs: {label: {epoch: network}}.

    An experiment with a constant learning rate takes the same steps whatever the number of epochs, so one of k epochs
    is the longer one after epoch k, up to rounding. They are trained and stored as by `train_all`.

    Raises:
        ValueError: an experiment whose learning rate follows a schedule.

    Notebook 3, "Draw a digit".
    """
    experiments = list(experiments)
    for experiment in experiments:
        if experiment.schedule != "constant":
            raise ValueError(
                f"{experiment.label}: its learning rate depends on the number of epochs"
            )
    earlier = {
        e: [dataclasses.replace(e, epochs=k) for k in epochs if k < e.epochs] for e in experiments
    }
    trained = train_all([each for shorter in earlier.values() for each in shorter], data)
    return {
        e.label: {each.epochs: trained[each].model for each in shorter}
        for e, shorter in earlier.items()
    }
