"""Train what is not trained yet, several models at a time."""

import contextlib
import io
import os
import platform
import tempfile
import threading
import time
import types
import warnings
from collections.abc import Iterable
from pathlib import Path

import joblib
import numpy as np
import tqdm
import tqdm.notebook
from joblib.externals.loky import get_reusable_executor
from joblib.externals.loky.process_executor import TerminatedWorkerError

from coursework.arguments import check_integer, short_repr
from coursework.backend import settings, tf, use_settings
from coursework.data import Data
from coursework.experiment import Experiment
from coursework.machine import free_memory, processor
from coursework.store import Result, cache_key, check_place, model_path, store, stored
from coursework.text import in_notebook, notify, show_widget
from coursework.training import build_model, fit


def train_all(
    experiments: Iterable[Experiment], data: Data, n_jobs: int | None = None
) -> dict[Experiment, Result]:
    """Train what is not trained yet, several models at a time, and return everything.

    A finished model is stored under `runs/models` at once and never trained again; its key covers the experiment, the
    data, the training code and the versions of Keras and TensorFlow. A stored model that can't be read is trained
    again, and a line says so.

    Args:
        experiments: iterable of Experiment.
        data: Data.
        n_jobs: number of worker processes on this machine; None: one per core as far as the memory goes, or a single
            one where there is a GPU. If the environment variable COURSEWORK_SCHEDULER has the address of a Dask
            scheduler, such as "tcp://10.0.0.1:8786", its workers train instead.

    Returns:
        dict from Experiment to Result, in the order given. On processors of one kind the weights have the same bits,
        whichever process trained them; a model from a cluster's processor of another kind is named in a line.

    Raises:
        ValueError: n_jobs is no whole number of at least 1, experiments holds something else, data is no Data.
        OSError: if no model can be kept; before the training, unless the disk fills up later.
        ConnectionError: if no scheduler answers, or it has no workers.
        ImportError: if there is a scheduler's address and Dask is not installed.
        RuntimeError: if a worker process was killed, or a cluster's worker has other code. Finished models are kept.

    Notebooks 2 and 3.
    """
    n_jobs = _usual_jobs() if n_jobs is None else n_jobs
    check_integer(n_jobs=n_jobs)
    if not isinstance(data, Data):
        raise ValueError(f"data must be what load_data returns, not {short_repr(data)}")
    experiments = list(experiments) if isinstance(experiments, Iterable) else [experiments]
    for experiment in experiments:
        if not isinstance(experiment, Experiment):
            raise ValueError(
                f"experiments must be a list of Experiment; it holds {short_repr(experiment)}"
            )
    experiments = list(dict.fromkeys(experiments))
    found = {experiment: stored(experiment, data) for experiment in experiments}
    missing = [experiment for experiment, result in found.items() if result is None]
    missing.sort(
        key=_cost, reverse=True
    )  # longest first, so that no core waits for a late long one
    results = {experiment: result for experiment, result in found.items() if result is not None}
    if not missing:
        return results
    check_place()
    packed, key = _as_bytes(data), cache_key()
    with (
        _progress_bar(experiments, missing) as marks,
        _workers(min(n_jobs, len(missing))) as parallel,
    ):
        jobs = (
            joblib.delayed(_train_job)(experiment, packed, marks, key, settings())
            for experiment in missing
        )
        for experiment, weights, history, where in parallel(jobs):
            model = build_model(experiment)
            model.set_weights(weights)
            results[experiment] = Result(
                experiment, history, model_path(experiment, data), trained=True
            )
            store(model, results[experiment])
            if where != processor():
                notify(
                    f"{experiment.label} was trained on {where}: its last bits may differ from this machine's."
                )
            for epoch in range(
                experiment.epochs
            ):  # for the bar, if the worker sits on another machine
                _mark(marks, experiment, epoch)
    return {experiment: results[experiment] for experiment in experiments}


# loky replaces a worker whose memory has grown, and says so; no job is lost by it.
warnings.filterwarnings(
    "ignore", "A worker stopped while some jobs were given to the executor", UserWarning
)


def _usual_jobs():
    """One worker per core, of 1.3 GB each at MNIST's size; cuDNN wants the whole GPU for one process."""
    if tf.config.list_physical_devices("GPU"):
        return 1
    return max(1, min(joblib.cpu_count(), int(free_memory() / 1.3e9)))


@contextlib.contextmanager
def _workers(n_jobs):
    """A `joblib.Parallel` that yields results as they come: on this machine, or on the cluster of a Dask scheduler."""
    options = {"return_as": "generator_unordered", "batch_size": 1, "pre_dispatch": "all"}
    if scheduler := os.environ.get("COURSEWORK_SCHEDULER"):
        with _dask_client(scheduler) as client, joblib.parallel_config("dask", client=client):
            yield joblib.Parallel(**options)
        return
    try:
        # Idle workers stay for a while: the next call often follows soon, and a new one imports TensorFlow first.
        options |= {
            "initializer": _exit_with_parent,
            "initargs": (os.getpid(),),
            "idle_worker_timeout": 10,
        }
        yield joblib.Parallel(n_jobs, **options)
    except BaseException as error:
        if n_jobs > 1:
            with contextlib.suppress(
                OSError
            ):  # without /dev/shm there are none: joblib works in this process
                get_reusable_executor().shutdown(kill_workers=True)  # else they would train on
        if isinstance(error, TerminatedWorkerError):
            raise RuntimeError(
                "a training process was killed, perhaps for want of memory; finished models are kept: run this again, "
                "with n_jobs=1 if memory is short"
            ) from None
        raise


def _dask_client(scheduler):
    try:
        import distributed

        client = distributed.Client(scheduler, timeout="10s", set_as_default=False)
    except ImportError:
        raise ImportError("a scheduler needs Dask: pip install distributed") from None
    except (OSError, ValueError) as error:
        raise ConnectionError(
            f"no Dask scheduler at {scheduler}: start one with 'dask scheduler'"
        ) from error
    if not client.ncores():
        client.close()
        raise ConnectionError(
            f"the Dask scheduler at {scheduler} has no workers: start some with 'dask worker'"
        )
    return client


def _as_bytes(data):
    """The data as compressed bytes, 3 MB for MNIST: what each job carries, so that no worker depends on another."""
    # Binary pixels as uint8 take a quarter of the memory; Keras makes floats of them by the batch.
    small = [
        x.astype(np.uint8) if ((x == 0) | (x == 1)).all() else x
        for x in (data.x_train, data.x_test)
    ]
    file = io.BytesIO()
    np.savez_compressed(
        file, x_train=small[0], y_train=data.y_train, x_test=small[1], y_test=data.y_test
    )
    return file.getvalue()


def _cost(experiment):
    """Rough training time: recurrent layers first, then by size."""
    return experiment.is_recurrent, experiment.layers * (64 + experiment.units) * experiment.epochs


def _train_job(experiment, packed, marks, key, wanted):
    """One model, in a worker process or here; leaves a mark in the folder `marks` after each epoch."""
    use_settings(wanted)
    if key != cache_key():
        node = platform.node()
        raise RuntimeError(
            f"the worker on {node} has other training code, Keras or TensorFlow, or another number of threads: install "
            "the same there"
        )
    with np.load(io.BytesIO(packed), allow_pickle=False) as arrays:
        data = types.SimpleNamespace(**arrays)  # as checked by `Data` already, and smaller
    model, history = fit(experiment, data, lambda epoch: _mark(marks, experiment, epoch))
    return experiment, model.get_weights(), history, processor()


def _exit_with_parent(parent):
    """End this worker process when its parent, the notebook's kernel, has died."""

    def watch():
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _mark(marks, experiment, epoch):
    with contextlib.suppress(OSError):  # a worker on another machine has no such folder
        Path(marks, f"{joblib.hash(experiment)}-{epoch}").touch()


@contextlib.contextmanager
def _progress_bar(experiments, missing):
    """A bar over all epochs of all models with the time left; yields the folder whose marks it counts."""
    done = sum(experiment.epochs for experiment in experiments if experiment not in missing)
    bar = _notebook_bar if in_notebook() else tqdm.tqdm
    finished = threading.Event()
    with tempfile.TemporaryDirectory(prefix="epochs-") as marks:
        with bar(
            total=sum(e.epochs for e in experiments), initial=done, desc="Training", unit="epoch"
        ) as progress:

            def follow():
                last = False
                while not last:
                    last = finished.wait(0.5)
                    progress.update(done + len(os.listdir(marks)) - progress.n)

            thread = threading.Thread(target=follow, daemon=True)
            thread.start()
            try:
                yield marks
            finally:
                finished.set()
                thread.join()


def _notebook_bar(**options):
    bar = tqdm.notebook.tqdm(**options, display=False)
    show_widget(bar.container)
    return bar
