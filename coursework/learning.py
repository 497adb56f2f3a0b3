"""Networks in training: the weights after each epoch."""

import contextlib
import io
import types
from collections.abc import Iterable
from pathlib import Path

import joblib
import numpy as np

from coursework.backend import keras, settings, use_settings
from coursework.data import Data
from coursework.experiment import Experiment
from coursework.files import replacing
from coursework.store import model_path
from coursework.sweep import _as_bytes, _mark, _progress_bar, _usual_jobs, _workers
from coursework.training import _fresh, build_model, fit

Weights = list[np.ndarray]


def networks_by_epoch(
    experiments: Iterable[Experiment], data: Data
) -> dict[str, dict[int, keras.Model]]:
    """The networks of some experiments after each of their epochs: {label: {epoch: network}}.

    `train_all` keeps the last weights alone. So each experiment is trained once more, by the same code and to the
    same bits on the same processor, and all its weights are kept beside its network: the next call reads them.

    Notebook 3, "Draw a digit".
    """
    experiments = list(dict.fromkeys(experiments))
    kept = {}
    for experiment in experiments:
        if stages := _kept(experiment, data):
            kept[experiment] = stages
    for experiment, stages in _train_again([e for e in experiments if e not in kept], data):
        _keep(_place(experiment, data), stages)
        kept[experiment] = stages
    return {experiment.label: _networks(experiment, kept[experiment]) for experiment in experiments}


def _networks(experiment, stages):
    return {epoch: _network(experiment, weights) for epoch, weights in enumerate(stages, 1)}


def _network(experiment, weights):
    model = build_model(experiment)
    model.set_weights(weights)
    return model


def _train_again(experiments, data):
    """(experiment, weights after each epoch) as they come, from several processes, under a bar."""
    if not experiments:
        return
    packed = _as_bytes(data)
    jobs = min(_usual_jobs(), len(experiments))
    with _progress_bar(experiments, experiments) as marks, _workers(jobs) as parallel:
        yield from parallel(
            joblib.delayed(_job)(experiment, packed, marks, settings())
            for experiment in experiments
        )


def _job(experiment, packed, marks, wanted):
    """One training, in a worker process or here: (experiment, weights after each epoch)."""
    use_settings(wanted)
    with np.load(io.BytesIO(packed), allow_pickle=False) as arrays:
        data = types.SimpleNamespace(**arrays)
    updates = len(data.y_train) // min(experiment.batch_size, len(data.y_train))
    model = _fresh(experiment, updates)  # this thread's only one, which `fit` trains
    stages = []

    def keep(epoch):
        stages.append(model.get_weights())
        _mark(marks, experiment, epoch)

    trained, _ = fit(experiment, data, keep)
    assert all(map(np.array_equal, stages[-1], trained.get_weights())), "fit trained another model"
    return experiment, stages


# --- Kept beside the network ---


def _place(experiment: Experiment, data: Data) -> Path:
    return model_path(experiment, data).with_suffix(".epochs.npy")


def _keep(path: Path, stages: list[Weights]) -> None:
    """A line of numbers for each epoch."""
    lines = [np.concatenate([np.ravel(array) for array in weights]) for weights in stages]
    with contextlib.suppress(OSError):  # no room: then they are trained again the next time
        with replacing(path) as aside, open(aside, "wb") as file:
            np.save(file, np.stack(lines))


def _kept(experiment: Experiment, data: Data) -> list[Weights] | None:
    """What `_keep` wrote for all epochs, or None if it is not there or damaged."""
    shapes = [array.shape for array in build_model(experiment).get_weights()]
    ends = np.cumsum([np.prod(shape, dtype=int) for shape in shapes])
    try:
        lines = np.load(_place(experiment, data), allow_pickle=False)
        lines = lines.reshape(experiment.epochs, ends[-1])
    except (OSError, ValueError, EOFError):
        return None
    return [
        [part.reshape(shape) for part, shape in zip(np.split(line, ends[:-1]), shapes, strict=True)]
        for line in lines
    ]
