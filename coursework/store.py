"""Trained models on disk: one key each, whole or not there."""

import contextlib
import dataclasses
import functools
import hashlib
import json
import os
import re
import shutil
import tempfile
import time
import uuid
from pathlib import Path

from coursework import files
from coursework.backend import keras, tf
from coursework.text import notify
from coursework.training import TRAINING_CODE, Experiment, build_model, compile_model


@dataclasses.dataclass(frozen=True)
class Result:
    """A trained model and what is known of it.

    Attributes:
        experiment: what was trained.
        history: numbers per epoch, see `fit`.
        seconds: wall time of the training.
        folder: where the model lies, under `runs/models`.
        trained: True if this call trained it, False if it was at hand.
    """

    experiment: Experiment
    history: dict
    seconds: float
    folder: Path
    trained: bool

    @property
    def loss(self):
        """Test cross-entropy after the last epoch."""
        return self.history["val_loss"][-1]

    @property
    def accuracy(self):
        """Test accuracy after the last epoch."""
        return self.history["val_accuracy"][-1]

    @functools.cached_property
    def model(self):
        """The trained Keras model, compiled for `evaluate`."""
        # Stored without the optimiser's state, which only further training would need.
        model = keras.models.load_model(self.folder / "model.keras", compile=False)
        return compile_model(model, self.experiment)


def training_facts():
    """What decides a model's weights, beside its Experiment and the data."""
    numbers = [keras.config.floatx(), keras.config.epsilon(), keras.config.dtype_policy().name]
    threads = [os.environ.get(name) for name in ("TF_NUM_INTRAOP_THREADS", "TF_ENABLE_ONEDNN_OPTS")]
    return [TRAINING_CODE, keras.__version__, tf.__version__, *numbers, *threads]


def model_folder(experiment, data):
    """Where a model is kept; the name ends in a hash of all that its weights depend on."""
    facts = [dataclasses.asdict(experiment), data.digest, *training_facts()]
    key = hashlib.sha256(json.dumps(facts, sort_keys=True, default=int).encode()).hexdigest()[:12]
    # The data's name is that of a file, which may be long or in any alphabet.
    name = re.sub(r"[^\w.-]+", "_", f"{experiment.label}-{data.name}", flags=re.ASCII)
    return files.RUNS / "models" / f"{name[:80]}-{experiment.epochs}epochs-seed{experiment.seed}-{key}"


def store(folder, experiment, weights, history, seconds):
    """Write a finished model; it appears under its name only when it is whole.

    If another run was faster, its model stays. An OSError says in one line why nothing could be kept.
    """
    model = build_model(experiment)
    model.set_weights(weights)
    aside = folder.with_name(f".unfinished-{uuid.uuid4().hex}")
    try:
        _remove_unfinished(folder.parent)
        aside.mkdir(parents=True)
        model.save(aside / "model.keras")
        facts = {
            "experiment": dataclasses.asdict(experiment),
            "history": history,
            "seconds": seconds,
            "made by": _made_by(),
        }
        facts["sha256"] = _checksum(facts, aside)
        (aside / "result.json").write_text(json.dumps(facts, indent=1, default=int))
        facts_of(experiment, aside)  # reads it back: not every file system says when it is full
        if os.path.lexists(folder):
            with contextlib.suppress(*UNREADABLE):
                facts_of(experiment, folder)
                return
            folder.rename(aside.with_name(aside.name + "-damaged"))  # renamed, as no one may see it half deleted
        os.rename(aside, folder)
    except UNREADABLE as error:
        with contextlib.suppress(*UNREADABLE):
            facts_of(experiment, folder)  # another run stored it in this very moment
            return
        raise OSError(f"the trained model {experiment.label} {not_kept(folder.parent, error)}") from error
    finally:
        for rest in (aside, aside.with_name(aside.name + "-damaged")):
            with contextlib.suppress(OSError):
                _remove(rest)


def stored(experiment, folder):
    """The finished Result in `folder`, or None if there is none or it can't be trusted, which it says."""
    try:
        facts = facts_of(experiment, folder)
        return Result(experiment, facts["history"], facts["seconds"], folder, trained=False)
    except UNREADABLE as error:
        if folder.is_symlink() or os.path.exists(folder):
            notify(f"The stored model {experiment.label} is damaged ({type(error).__name__}) and is trained again.")
        else:
            _say_if_outdated(experiment, folder)
    return None


@contextlib.contextmanager
def space_set_aside(place):
    """Disk space for the models of a sweep, as an open file; emptied, it makes room on a disk that filled up meanwhile.

    An OSError where nothing can be kept: before an hour of training, not after it.
    """
    with contextlib.ExitStack() as stack:
        try:
            place.mkdir(parents=True, exist_ok=True)
            file = stack.enter_context(tempfile.TemporaryFile(dir=place, buffering=0))
            for _ in range(LEAST_SPACE // 2**16):
                file.write(os.urandom(2**16))  # zeros take no space on some disks
        except OSError as error:
            raise OSError(f"trained models {not_kept(place, error)}") from error
        yield file


UNREADABLE = (OSError, ValueError, KeyError, TypeError, RecursionError)  # what a damaged or missing model may raise
LEAST_SPACE = 2**22  # bytes; the largest of the eight models takes a quarter of it


def facts_of(experiment, folder):
    """What is known of the model in `folder`, or one of `UNREADABLE` if a byte of it has changed."""
    facts = json.loads((folder / "result.json").read_text())
    if facts["sha256"] != _checksum(facts, folder) or facts["experiment"] != dataclasses.asdict(experiment):
        raise ValueError("the model has changed")
    return facts


def _checksum(facts, folder):
    """Of the model's file and of all that is written beside it."""
    text = json.dumps({name: value for name, value in facts.items() if name != "sha256"}, sort_keys=True, default=int)
    return hashlib.sha256((folder / "model.keras").read_bytes() + text.encode()).hexdigest()


def _made_by():
    code = hashlib.sha256(TRAINING_CODE.encode()).hexdigest()[:12]
    return {"Keras": keras.__version__, "TensorFlow": tf.__version__, "training code": code}


def _say_if_outdated(experiment, folder):
    """One line if the same experiment lies there, trained by other code: why it is not used."""
    for other in folder.parent.glob(folder.name.rpartition("-")[0] + "-*"):
        with contextlib.suppress(*UNREADABLE):
            before, now = facts_of(experiment, other)["made by"], _made_by()
            changed = [f"{name} {before[name]}" for name in now if before[name] != now[name]]
            if changed:
                notify(f"{experiment.label} was trained with other versions ({', '.join(changed)}): trained again.")
                return


def not_kept(place, error):
    """Why nothing can be kept in `place`, and what to do."""
    text = " ".join(str(getattr(error, "strerror", None) or error).split())
    why = (text or type(error).__name__)[:200]
    return f"can't be kept in {place} ({why}): make room there, or set COURSEWORK_RUNS to another folder"


def _remove_unfinished(place):
    """What killed runs left behind; an hour is long enough for any model to be written."""
    for rest in place.glob(".unfinished-*"):
        with contextlib.suppress(OSError):
            if time.time() - rest.lstat().st_mtime > 3600:
                _remove(rest)


def _remove(path):
    """Delete a folder with all that is in it, or a file or a link."""
    shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
