"""An Experiment decides a network to the bit: which one, its recipe, its seed."""

import dataclasses
import numbers
from collections.abc import Mapping
from typing import NamedTuple, TypeVar

import numpy as np

from coursework.arguments import MOST, check_choice, check_integer, short_repr
from coursework.cells import CELLS, equations
from coursework.data import Data
from coursework.formulas import Cell

RECURRENT = ("LSTM", "GRU")  # the sheet's networks, which are Keras's layers
FAMILIES = (*RECURRENT, "softmax", "MLP", "CNN")
NUMBERS = {"learning_rate": "positive", "clipnorm": "positive (0: any)", "gate_bias": "finite"}

T = TypeVar("T")


class Size(NamedTuple):
    """How wide and how deep the recurrent part of a network is; as text "32", or "3 x 32" for three layers."""

    units: int
    layers: int = 1

    def __str__(self):
        return f"{self.units}" if self.layers == 1 else f"{self.layers} x {self.units}"


MODEL_SIZES = (
    Size(32),
    Size(64),
    Size(128),
    Size(32, layers=3),
)  # the sheet's, of each of the two cells


@dataclasses.dataclass(frozen=True)
class Experiment:
    """One model and how it is trained; the key of everything that is known about it.

    Attributes:
        family: "LSTM" or "GRU": Keras's layers, which read the rows one by one. Another name in `CELLS`, or a Cell: a
            network with that cell, from its equations. "softmax", "MLP" or "CNN": the whole image at once.
        units: width of each recurrent or hidden layer ("softmax" has none and ignores it).
        layers: number of recurrent or hidden layers.
        epochs, batch_size, learning_rate: the recipe; the defaults are the sheet's.
        seed: of the initial weights and of the order of the training images.
        gate_bias: initial bias of every gate of a recurrent network. 0: as it is without this setting, which is 0 but
            for the forget gate of Keras's LSTM, with 1. TensorFlow 1's GRU had 1.
        schedule: "constant" learning rate, or "cosine": up to `learning_rate` in the first third of an epoch, then down
            to 0 along half a cosine.
        clipnorm: longest norm that the gradient of one weight array may have; 0: any.
        shift: each training image is moved by up to so many pixels up or down, and left or right, anew in each epoch.
        every_step: a recurrent network gives logits, and is trained, after every row: (N, 28, 10) instead of (N, 10).

    Raises:
        ValueError: in one line, for a setting that is none.

    Notebooks 2 and 3.
    """

    family: str | Cell
    units: int = 32
    layers: int = 1
    epochs: int = 10
    batch_size: int = 256
    learning_rate: float = 0.001
    seed: int = 0
    gate_bias: float = 0.0
    schedule: str = "constant"
    clipnorm: float = 0.0
    shift: int = 0
    every_step: bool = False

    def __post_init__(self):
        object.__setattr__(self, "family", _family(self.family))
        check_choice("schedule", self.schedule, ("constant", "cosine"))
        check_choice("every_step", self.every_step, (False, True))
        _check_whole_numbers(self)
        _check_real_numbers(self)
        for field in dataclasses.fields(self)[
            1:
        ]:  # 1 and 1.0 and NumPy's 1 are the same setting and the same key
            plain = type(getattr(Experiment, field.name))
            object.__setattr__(self, field.name, plain(getattr(self, field.name)))
        for name in ("gate_bias", "every_step"):
            if getattr(self, name) and not self.is_recurrent:
                raise ValueError(f"{name} is for recurrent networks, not {self.name}")

    @property
    def is_recurrent(self) -> bool:
        """Does the network read the rows one by one?"""
        return isinstance(self.family, Cell) or self.family in RECURRENT

    @property
    def name(self) -> str:
        """The family's or the cell's name."""
        return self.family.name if isinstance(self.family, Cell) else self.family

    @property
    def cell(self) -> Cell | None:
        """The equations of a recurrent network's layers."""
        if isinstance(self.family, Cell):
            return self.family
        return equations(self.family, reset_after=True) if self.is_recurrent else None

    @property
    def label(self) -> str:
        """Name in tables and plots: "GRU 32", "LSTM 3 x 32", "softmax"."""
        size = Size(self.units, self.layers)
        label = self.name if self.name == "softmax" else f"{self.name} {size}"
        if isinstance(self.family, Cell) and self.name in RECURRENT:
            label += " from its equations"
        if self.schedule == "cosine":
            label += ", tuned"
        elif self.gate_bias:
            label += f", gate bias {self.gate_bias:g}"
        return label + (", loss at every step" if self.every_step else "")

    def facts(self) -> dict:
        """All settings as JSON can hold them: a cell by its equations and by nothing else."""
        facts = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        if isinstance(self.family, Cell):
            facts["family"] = {"equations": self.family.key}
        return facts


def by_label(results: Mapping[Experiment, T]) -> dict[str, T]:
    """The values under the labels of their Experiments, in the same order.

    Experiments that share a label are told apart by the settings in which they differ: "GRU 32, learning rate 0.01".
    Notebooks 2 and 3.
    """
    named = {}
    for experiment, value in results.items():
        alike = [other for other in results if other.label == experiment.label]
        label = ", ".join([experiment.label, *_differences(experiment, alike)])
        if label in named:
            raise ValueError(
                f"two cells have the name {experiment.name!r}: give one of them another"
            )
        named[label] = value
    return named


def _differences(experiment, others):
    """The settings of an Experiment, in words, that are not the same in all the others."""
    for field in dataclasses.fields(experiment)[1:]:
        value = getattr(experiment, field.name)
        if any(getattr(other, field.name) != value for other in others):
            yield f"{field.name.replace('_', ' ')} {value}"


def _family(family):
    if isinstance(family, Cell):
        return family
    check_choice("family", family, dict.fromkeys((*FAMILIES, *CELLS)))
    return family if family in FAMILIES else CELLS[family]


def _check_whole_numbers(experiment):
    # `layers`: each has two of the 32 seeds in `build_model`, the head the last two.
    ranges = {"units": (1, MOST), "epochs": (1, MOST), "batch_size": (1, MOST)}
    ranges |= {"layers": (1, 15), "seed": (0, MOST), "shift": (0, 28)}
    for name, (least, most) in ranges.items():
        check_integer(least, most, **{name: getattr(experiment, name)})


def _check_real_numbers(experiment):
    limits = np.finfo(np.float32)
    largest = float(limits.max)
    for name, least in (
        ("learning_rate", float(limits.tiny)),
        ("clipnorm", 0),
        ("gate_bias", -largest),
    ):
        value = getattr(experiment, name)
        is_number = isinstance(value, numbers.Real) and not isinstance(value, bool)
        if not is_number or not least <= value <= largest:
            raise ValueError(f"{name} must be a {NUMBERS[name]} number, not {short_repr(value)}")


# Where the tuned recipe differs for one of the sheet's networks.
WIDE_RATES = {"GRU": 5e-3}
GATE_BIASES = {"GRU": 1.0}


def tuned(experiment: Experiment) -> Experiment:
    """The same network and seed with a better recipe and half the epochs. Notebook 2."""
    narrow, wide = experiment.units < 64, experiment.units >= 128
    return dataclasses.replace(
        experiment,
        epochs=-(-experiment.epochs // 2),
        batch_size=-(-experiment.batch_size // 2) if narrow else experiment.batch_size,
        learning_rate=WIDE_RATES.get(experiment.name, 0.01) if wide else 0.01,
        schedule="cosine",
        clipnorm=1.0,
        shift=2 if wide else 1,  # wide ones overfit sooner
        gate_bias=GATE_BIASES.get(experiment.name, 0.0),
    )


def quick(experiment: Experiment) -> Experiment:
    """The same network and seed after one epoch: the tuned recipe, small batches, a still higher rate. Notebook 2."""
    size = min(128, experiment.batch_size)
    return dataclasses.replace(
        tuned(experiment), epochs=1, batch_size=size, learning_rate=0.02, shift=0
    )


def recipe_for(data: Data, batch_size: int = 256, learning_rate: float = 0.001) -> dict:
    """Batch size and learning rate: the sheet's, or on fewer than 20,000 images smaller steps, more of them.

    Args:
        data: Data.
        batch_size, learning_rate: what is wanted on all of MNIST. A small data set gets batches of 32 at most, and
            three times the rate: 10 epochs of large batches would be too few updates to learn much.

    Returns:
        {"batch_size": ..., "learning_rate": ...} for an Experiment. Notebooks 2 and 3.
    """
    Experiment(
        "GRU", batch_size=batch_size, learning_rate=learning_rate
    )  # refuses what is no recipe
    if len(data.y_train) < 20_000:
        batch_size, learning_rate = min(batch_size, 32), 3 * learning_rate
    return {"batch_size": batch_size, "learning_rate": learning_rate}
