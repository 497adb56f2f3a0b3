"""What a talk is about: a student's answers, and the networks, built anew with nothing but numbers from their files."""

import functools
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

import helpers
from coursework.data import Data
from coursework.experiment import MODEL_SIZES, Experiment, Size
from coursework.layers import layer_outputs, recurrent_layer
from coursework.readout import read_out
from coursework.store import model_path, stored
from coursework.verdicts import Wrong

MOST_IMAGES = 1000  # of the test images, among which one is chosen
SHEETS = [f"{family} {size}" for family in ("LSTM", "GRU") for size in MODEL_SIZES]
OF_NOTEBOOK_1 = ("q11_lstm", "q11_gru", "q12_lstm", "q12_gru", "q13_counterexample")
OF_NOTEBOOK_3 = ("output_GRU_over_time", "q33_predictions", "q33_accuracies", "bonus_gates")


class Question(NamedTuple):
    """A question of a talk.

    Attributes:
        asks: the question.
        answer: what is right, computed from what was handed in.
        further: what to ask next.
        picture: a PNG in base64.
        alt: what the picture shows, in words.
    """

    asks: str
    answer: str
    further: str
    picture: str
    alt: str


class Network:
    """A network of a student's; what it does is computed when it is asked for."""

    def __init__(self, label: str, experiment: Experiment, model: Any, data: Data):
        self.label, self.experiment, self.model, self.data = label, experiment, model, data
        self.x, self.y = data.x_test[:MOST_IMAGES], data.y_test[:MOST_IMAGES]

    @functools.cached_property
    def layer(self) -> Any:
        """Its recurrent layer."""
        return recurrent_layer(self.model)

    @functools.cached_property
    def h(self) -> np.ndarray:
        """The layer's output for the images, (N, T, units)."""
        return layer_outputs(self.layer, self.x)

    @functools.cached_property
    def classes(self) -> np.ndarray:
        """The class read out after each row, (N, T)."""
        return read_out(self.model, self.h).argmax(-1)

    @functools.cached_property
    def right(self) -> np.ndarray:
        """Which of all test images it gets right, (N,) of bool."""
        return helpers.predictions_of(self.model, self.data.x_test) == self.data.y_test


class Work:
    """What a student handed in.

    Attributes:
        answers: dict from name to value; what was not answered is not in it.
        z_keeps: the student's convention of z.
        student: the name that decides the variant; "" in a class without.
        networks: dict from label to Network.
        lines: what is missing or broken, a sentence each.
    """

    def __init__(self, answers: Mapping[str, Any], settings: Mapping[str, Any], data: Data):
        self.answers = {name: value for name, value in answers.items() if value not in MISSING}
        self.z_keeps = int(settings["z_keeps"])
        self.student = str(settings.get("student", ""))
        self.data = data
        self.networks: dict[str, Network] = {}
        self.lines: list[str] = []
        self.broken: dict[str, list[str]] = {}  # from what is wrong to the labels of networks
        if not any(name in self.answers for name in OF_NOTEBOOK_1):
            self.lines.append("Nothing of Q1 was answered.")
        self.find_networks(settings)

    def find_networks(self, settings: Mapping[str, Any]) -> None:
        """The networks of the experiments, and those that notebook 3 works with."""
        named = experiments_in(self.answers.get("experiments"))
        if not named:
            self.lines.append("No experiments of notebook 2 were handed in.")
        used = any(name in self.answers for name in OF_NOTEBOOK_3)
        sheets = sheet_experiments(self.data, settings) if used else []
        models = {}
        for experiment in dict.fromkeys([*sheets, *named]):
            if model := self.model_of(experiment):
                models[experiment] = model
        for label, (experiment, model) in by_label(models).items():
            self.networks[label] = Network(label, experiment, model, self.data)
        sizes = [f"{each.family} {Size(each.units, each.layers)}" for each in models]
        for why, labels in self.broken.items():
            self.lines.append(f"{', '.join(labels)} can't be used: {why}.")
        missing = [name for name in SHEETS if name not in sizes]
        if missing == SHEETS:
            self.lines.append("No network to ask about.")
        elif missing:
            self.lines.append(f"No network to ask about: {', '.join(missing)}.")

    def model_of(self, experiment: Experiment) -> Any:
        """The model of an experiment; None if there is none, or it can't be used, which a line says."""
        try:
            result = stored(experiment, self.data)
            if result is None:
                if model_path(experiment, self.data).exists():
                    raise Wrong("the file is damaged")
                return None
            model = result.model
        except (Wrong, ValueError, OSError) as error:
            self.broken.setdefault(str(error), []).append(experiment.label)
            return None
        if not all(np.isfinite(weights).all() for weights in model.get_weights()):
            why = "not all of its weights are numbers"
            self.broken.setdefault(why, []).append(experiment.label)
            return None
        return model

    def plain(self, *families: str) -> list[Network]:
        """The networks with one recurrent layer; of some families only, if any are named."""
        return [
            network
            for network in self.networks.values()
            if network.experiment.layers == 1
            and network.experiment.family in (families or ("LSTM", "GRU"))
        ]


class Missing:
    """What stands for no answer; an array is compared with nothing."""

    def __contains__(self, value: object) -> bool:
        return value is None or value is ...


MISSING = Missing()


def by_label(models: Mapping[Experiment, Any]) -> dict[str, tuple[Experiment, Any]]:
    """dict from label to (experiment, model)."""
    return helpers.by_label({each: (each, model) for each, model in models.items()})


def experiments_in(value: object) -> list[Experiment]:
    """The Experiments of an answer, whatever holds them."""
    if isinstance(value, dict):
        value = [*value, *value.values()]
    if not isinstance(value, (list, tuple, set)):
        return []
    found = [each for each in value if isinstance(each, Experiment)]
    return (
        sorted(found, key=lambda each: (each.label, each.seed)) if isinstance(value, set) else found
    )


def sheet_experiments(data: Data, settings: Mapping[str, Any]) -> list[Experiment]:
    """The two networks that the given cells of notebook 3 train."""
    recipe = {"epochs": settings["epochs"], "seed": settings["seed"], **helpers.recipe_for(data)}
    return [Experiment(family, **recipe) for family in ("LSTM", "GRU")]
