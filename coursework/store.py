"""Trained models on disk: one `.keras` file and one JSON beside it, found by all that decides the weights."""

import dataclasses
import functools
import hashlib
import json
import os
import re
from pathlib import Path

from coursework import files
from coursework.backend import keras, settings, tf
from coursework.data import Data
from coursework.experiment import Experiment
from coursework.files import replacing, write_text
from coursework.text import notify
from coursework.training import build_model, compile_model, training_code


@dataclasses.dataclass(frozen=True)
class Result:
    """A trained model and what is known of it.

    Attributes:
        experiment: what was trained.
        history: numbers per epoch, see `fit`.
        path: the model's `.keras` file, under `runs/models`; `keras.models.load_model` opens it.
        trained: True if this call trained it, False if it was at hand.

    Notebook 2.
    """

    experiment: Experiment
    history: dict
    path: Path
    trained: bool

    @property
    def loss(self) -> float:
        """Test cross-entropy after the last epoch, in nats."""
        return self.history["val_loss"][-1]

    @property
    def accuracy(self) -> float:
        """Test accuracy after the last epoch, between 0 and 1."""
        return self.history["val_accuracy"][-1]

    @functools.cached_property
    def model(self) -> keras.Model:
        """The trained Keras model, compiled for `evaluate`."""
        # Built anew from the experiment, so that nothing but numbers is taken from the file. The optimiser's state,
        # which only further training would need, was not kept.
        model = build_model(self.experiment)
        try:
            model.load_weights(self.path)
        except (ValueError, KeyError, OSError) as error:
            raise ValueError(
                f"{self.path.name} holds other weights than those of {self.experiment.label}"
            ) from error
        return compile_model(model, self.experiment)


def cache_key() -> list:
    """What decides a model's weights, beside its Experiment and the data."""
    threads = [os.environ.get(name) for name in ("TF_NUM_INTRAOP_THREADS", "TF_ENABLE_ONEDNN_OPTS")]
    return [training_code(), keras.__version__, tf.__version__, *settings(), *threads]


def model_path(experiment: Experiment, data: Data) -> Path:
    """The file a model is kept in; its name ends in a hash of all that its weights depend on, and is found by that."""
    equations = experiment.cell.key if experiment.cell else ""
    facts = [experiment.facts(), equations, data.digest, *cache_key()]
    key = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:12]
    folder = files.RUNS / "models"
    for found in folder.glob(f"*-{key}.keras"):  # a cell of one's own may have been renamed since
        return found
    # The data's name is that of a file, which may be long or in any alphabet.
    name = re.sub(r"[^\w.-]+", "_", f"{experiment.label}-{data.name}", flags=re.ASCII)
    return folder / f"{name[:80]}-{experiment.epochs}epochs-seed{experiment.seed}-{key}.keras"


def store(model: keras.Model, result: Result) -> None:
    """Write a finished model and its Result. The JSON comes last: without it the model is not there."""
    try:
        with replacing(result.path) as path:
            model.save(path)
            checksum = _sha256(path)
        facts = {"experiment": result.experiment.facts(), "history": result.history}
        facts |= {"versions": _versions(), "sha256": checksum}
        write_text(result.path.with_suffix(".json"), json.dumps(facts, indent=1))
    except OSError as error:
        raise _cannot_keep(f"the trained model {result.experiment.label}", error) from error


def check_place() -> None:
    """OSError if nothing can be written where models are kept: asked before the training, not after it."""
    probe = files.RUNS / "models" / "probe"
    try:
        with replacing(probe) as path:
            path.write_bytes(
                os.urandom(2**20)
            )  # the size of the largest of the eight; not zeros, which may take none
        probe.unlink(missing_ok=True)
    except OSError as error:
        raise _cannot_keep("trained models", error) from error


def stored(experiment: Experiment, data: Data) -> Result | None:
    """The finished Result of an experiment, or None if there is none or it can't be trusted, which it says."""
    path = model_path(experiment, data)
    try:
        facts = json.loads(path.with_suffix(".json").read_text())
        if facts["sha256"] != _sha256(path) or facts["experiment"] != experiment.facts():
            raise ValueError("the model has changed")
        return Result(experiment, facts["history"], path, trained=False)
    except FileNotFoundError:
        _say_if_outdated(experiment, path)
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        notify(
            f"The stored model {experiment.label} is damaged ({type(error).__name__}) and is trained again."
        )
    return None


def _sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _versions():
    code = hashlib.sha256(training_code().encode()).hexdigest()[:12]
    return {"Keras": keras.__version__, "TensorFlow": tf.__version__, "training code": code}


def _say_if_outdated(experiment, path):
    """One line if the same experiment lies there, trained by other code: why it is not used."""
    for other in path.parent.glob(path.stem.rpartition("-")[0] + "-*.json"):
        try:
            facts = json.loads(other.read_text())
            before, now = facts["versions"], _versions()
            changed = [f"{name} {before[name]}" for name in now if before[name] != now[name]]
            if changed and facts["experiment"] == experiment.facts():
                notify(
                    f"{experiment.label} was trained with other versions ({', '.join(changed)}): trained again."
                )
                return
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            continue


def _cannot_keep(what, error):
    """The OSError that says why something can't be kept, and what to do."""
    why = " ".join(str(error.strerror or error).split())[:200]
    return OSError(
        f"{what} can't be kept in {files.RUNS / 'models'} ({why}): make room there, or set COURSEWORK_RUNS"
    )
