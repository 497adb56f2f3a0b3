"""Models and their training."""

import concurrent.futures
import dataclasses
import json
import numbers

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import helpers
from conftest import cases, refused, tiny
from coursework import training
from coursework.arguments import MOST
from helpers import Experiment


@pytest.mark.parametrize(
    ("family", "units", "layers", "parameters"),
    [
        # By the textbook's formulas, plus 64 fully connected units and 10 logits; notebook 2 counts all eight.
        ("LSTM", 32, 3, 4 * 32 * (28 + 32 + 1) + 2 * 4 * 32 * (32 + 32 + 1) + 33 * 64 + 650),
        ("GRU", 128, 1, 3 * 128 * (28 + 128 + 2) + 129 * 64 + 650),
        ("softmax", 32, 1, 785 * 10),
        ("MLP", 32, 2, 785 * 32 + 33 * 32 + 33 * 10),
        ("CNN", 32, 1, 10 * 8 + (72 + 1) * 8 + (7 * 7 * 8 + 1) * 32 + 33 * 10),
    ],
)
def test_the_networks_and_the_recipe_are_the_sheets(family, units, layers, parameters):
    e = Experiment(family, units, layers)
    model = helpers.compile_model(helpers.build_model(e), e)
    assert model.count_params() == parameters and model.output_shape == (None, 10)
    if family in ("LSTM", "GRU"):
        kinds = [type(layer).__name__ for layer in model.layers]
        assert kinds == [family] * layers + ["ReLU", "Dense", "Dense"]
        assert (
            model.layers[-2].units == 64 and model.layers[-2].activation is keras.activations.relu
        )
    assert model.layers[-1].activation is keras.activations.linear
    assert (e.epochs, e.batch_size) == (10, 256) and isinstance(
        model.optimizer, keras.optimizers.Adam
    )
    assert float(model.optimizer.learning_rate) == pytest.approx(0.001)
    assert (
        model.loss.from_logits
        if hasattr(model.loss, "from_logits")
        else model.loss._fn_kwargs["from_logits"]
    )


def test_initial_weights_follow_from_the_seed_alone():
    def weights(seed):
        return helpers.build_model(Experiment("GRU", 8, 2, seed=seed)).get_weights()

    first = weights(3)
    keras.utils.set_random_seed(99)
    assert all(map(np.array_equal, first, weights(3)))
    assert not np.array_equal(first[0], weights(4)[0])
    assert not np.array_equal(
        first[1], first[4]
    )  # no two layers start alike: each has its own seed
    # The bias of the gates reaches no candidate.
    bias = helpers.build_model(Experiment("GRU", 5, gate_bias=1.0)).layers[0].cell.bias.numpy()[0]
    assert (bias[:10] == 1).all() and (bias[10:] == 0).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"family": "SRN"}, "unknown family 'SRN'"),
        ({"schedule": "linear"}, "unknown schedule 'linear'"),
        ({"every_step": []}, "unknown every_step"),
        ({"family": "MLP", "gate_bias": 1.0}, "gate_bias is for recurrent networks, not MLP"),
        ({"family": "CNN", "every_step": True}, "every_step is for recurrent networks, not CNN"),
        ({"learning_rate": "fast"}, "learning_rate must be a positive number, not 'fast'"),
        ({"gate_bias": float("inf")}, "gate_bias must be a finite number, not inf"),
        ({"seed": 2**64}, "seed must be at most 2147483647, not 18446744073709551616"),
    ],
)
def test_bad_settings_get_one_clear_line(arguments, message):
    with refused(message):
        Experiment(**{"family": "GRU", **arguments})


SIZE, LARGEST = (1, MOST), float(np.finfo("f4").max)
WHOLE = {
    "units": SIZE,
    "epochs": SIZE,
    "batch_size": SIZE,
    "layers": (1, 15),
    "seed": (0, MOST),
    "shift": (0, 28),
}
REAL = {
    "learning_rate": (np.finfo("f4").tiny, LARGEST),
    "clipnorm": (0, LARGEST),
    "gate_bias": (-LARGEST, LARGEST),
}
ODD = st.sampled_from(
    [None, True, "1", b"1", [], np.int64(1), np.uint8(2), np.float32(0.5), MOST, MOST + 1]
)
NUMBERS = st.integers(-2, 40) | st.integers() | st.floats()


@cases(300)
@given(st.sampled_from([*WHOLE, *REAL]), ODD | NUMBERS)
def test_a_number_is_taken_as_it_is_or_refused_by_its_name(name, value):
    least, most = (WHOLE | REAL)[name]
    kind = numbers.Integral if name in WHOLE else numbers.Real
    if isinstance(value, kind) and not isinstance(value, bool) and least <= value <= most:
        e = Experiment("GRU", **{name: value})
        assert json.loads(json.dumps(e.__dict__))[name] == pytest.approx(value) and e.label
    else:
        with refused(f"^{name} must be "):
            Experiment("GRU", **{name: value})


def test_the_deepest_networks_are_built():
    assert len(helpers.build_model(Experiment("GRU", np.int64(2), np.int16(15))).layers) == 15 + 3


def test_the_cosine_schedule_rises_in_a_third_of_an_epoch_and_ends_at_zero():
    e = tiny("GRU", epochs=2, learning_rate=0.01, schedule="cosine", clipnorm=0.5)
    optimizer = helpers.compile_model(helpers.build_model(e), e, updates=30).optimizer
    rates = [float(optimizer._learning_rate(step)) for step in (0, 5, 10, 35, 60)]
    assert rates == pytest.approx([0, 0.005, 0.01, 0.005, 0], abs=1e-6)
    assert optimizer.clipnorm == 0.5


@pytest.fixture
def fed(monkeypatch):
    """fed(experiment, data): (x, y, steps per epoch), the batches that Keras would be given, (batch, image, ...)."""

    def fed(experiment, data):
        seen = []

        def look(self, batches, **options):
            seen.extend([*map(np.stack, zip(*batches, strict=True)), options["steps_per_epoch"]])
            raise StopIteration

        monkeypatch.setattr(keras.Sequential, "fit", look)
        with pytest.raises(StopIteration):
            training.fit(experiment, data)
        return seen

    return fed


def test_shifted_images_are_the_images_moved_by_a_pixel_anew_in_each_epoch(data, fed):
    seen = fed(tiny(epochs=2, shift=1), data)[0].reshape(-1, 28, 28)
    padded = np.pad(data.x_train, ((0, 0), (1, 1), (1, 1)))
    moved = {(i, j): padded[:, i : i + 28, j : j + 28] for i in range(3) for j in range(3)}
    counts = dict.fromkeys(moved, 0)
    for image in seen:
        ways = [way for way, images in moved.items() if (images == image).all((1, 2)).any()]
        counts[ways[0]] += 1  # nothing but moved images
    assert min(counts.values()) > 30  # 640 images, 9 ways
    first, second = np.split(seen, 2)
    assert not all((second == image).all((1, 2)).any() for image in first)


def test_an_epoch_shows_each_image_once_at_most_in_an_order_of_its_own(data, fed):
    numbered = dataclasses.replace(data, y_train=np.arange(320) % 10)
    (_, first, steps), (_, other, _) = (
        fed(tiny(epochs=2, batch_size=96, seed=seed), numbered) for seed in (0, 1)
    )
    assert first.shape == (6, 96) and steps == 3  # 32 of the 320 images wait for another epoch
    assert not np.array_equal(first[:3], first[3:]) and not np.array_equal(first, other)
    assert all(np.bincount(epoch.ravel()).max() <= 32 for epoch in (first[:3], first[3:]))


def test_no_entry_of_a_dict_by_label_is_lost():
    changes = [{}, {"learning_rate": 0.01}, {"seed": 1}, {"shift": 1, "learning_rate": 0.01}]
    experiments = [Experiment("GRU", **change) for change in changes]
    experiments += [Experiment("LSTM"), helpers.tuned(Experiment("GRU"))]
    labels = helpers.by_label({e: number for number, e in enumerate(experiments)})
    assert list(labels.values()) == list(range(6)) and list(labels)[4:] == [
        "LSTM 32",
        "GRU 32, tuned",
    ]
    assert list(labels)[1] == "GRU 32, learning rate 0.01, seed 0, shift 0"
    alone = helpers.by_label({e: e for e in experiments[::4]})
    assert list(alone) == ["GRU 32", "LSTM 32"]
    mine = [dataclasses.replace(helpers.CELLS[name], name="mine") for name in ("MGU", "minGRU")]
    with refused("two cells have the name 'mine'"):
        helpers.by_label({Experiment(cell): 1 for cell in mine})


def test_labels_and_the_tuned_recipe_which_changes_the_training_only():
    experiments = (
        Experiment("GRU"),
        Experiment("LSTM", 32, 3),
        Experiment("softmax"),
        Experiment("MLP", layers=2),
    )
    assert [e.label for e in experiments] == ["GRU 32", "LSTM 3 x 32", "softmax", "MLP 2 x 32"]
    for e in (
        Experiment("GRU"),
        Experiment("LSTM", 64),
        Experiment("GRU", 128, seed=3),
        Experiment("LSTM", layers=3),
    ):
        for better in (helpers.tuned(e), helpers.quick(e)):
            assert (better.family, better.units, better.layers, better.seed) == (
                e.family,
                e.units,
                e.layers,
                e.seed,
            )
            assert better.label == f"{e.label}, tuned"
        assert helpers.tuned(e).epochs == 5 and helpers.quick(e).epochs == 1


def test_small_data_gets_small_batches_and_a_higher_rate(data):
    large = dataclasses.replace(
        data, x_train=np.zeros((20_000, 28, 28)), y_train=np.zeros(20_000, int)
    )
    for images, given_by_hand, recipe in (
        (data, (), (32, 0.003)),
        (data, (8, 0.01), (8, 0.03)),
        (large, (), (256, 0.001)),
        (large, (100, 0.5), (100, 0.5)),
    ):
        found = helpers.recipe_for(images, *given_by_hand)
        assert found == dict(zip(("batch_size", "learning_rate"), recipe, strict=True))
    for bad in ({"batch_size": 0}, {"learning_rate": "fast"}, {"learning_rate": 0}):
        with refused(f"^{next(iter(bad))} must be"):
            helpers.recipe_for(data, **bad)


def test_compiling_is_for_recurrent_networks_with_many_updates(monkeypatch):
    """As benchmarks/README.md has it measured: a compiled CNN would take two to three times the time."""
    sheet = [
        Experiment(f, u, n)
        for f in ("LSTM", "GRU")
        for u, n in ((32, 1), (64, 1), (128, 1), (32, 3))
    ]
    assert all(
        training.pays_to_compile(e, 300) and not training.pays_to_compile(e, 299) for e in sheet
    )
    assert not any(
        training.pays_to_compile(Experiment(f), 10**6) for f in ("softmax", "MLP", "CNN")
    )
    monkeypatch.setattr(
        training.tf.config, "list_physical_devices", lambda kind: [kind]
    )  # where cuDNN is faster
    assert not any(training.pays_to_compile(e, 10**6) for e in sheet)


@pytest.mark.parametrize("family", ["LSTM", "GRU"])
def test_one_loop_computes_what_kerass_layers_do(family):
    e, rng = Experiment(family, 5, layers=2, every_step=True), np.random.default_rng(0)
    model = helpers.build_model(e)
    model.set_weights(
        [rng.normal(size=w.shape) for w in model.get_weights()]
    )  # no bias is 0, as all are at first
    loop = training._in_one_loop(model, e)
    loop.set_weights(model.get_weights())
    x = rng.random((4, 28, 28), np.float32)
    assert np.allclose(loop.predict_on_batch(x), model.predict_on_batch(x), atol=1e-4)


def test_compiling_changes_the_time_and_not_what_is_learned(data, monkeypatch):
    # Two layers, which are compiled as one loop; an answer at every step, too.
    e, made = tiny("GRU", layers=2, epochs=2, shift=1, every_step=True), training._compiled
    other = dataclasses.replace(e, seed=1, gate_bias=1.0, shift=0)
    made.cache_clear()
    weights = []
    for compiled in (True, False):
        monkeypatch.setattr(training, "pays_to_compile", lambda *_, compiled=compiled: compiled)
        for experiment in (e, other, e):
            weights.append(training.fit(experiment, data)[0].get_weights())
    assert (
        made.cache_info().misses == 2
    )  # one program for all three, whatever they start from and read
    made.cache_clear()
    with concurrent.futures.ThreadPoolExecutor(2) as threads:  # as a Dask worker has them
        weights += [
            model.get_weights()
            for model, _ in threads.map(lambda _: training.fit(e, data), range(2))
        ]
    first, _, again, plain, _, plain_again, *threaded = weights
    for a, b, c, d, *others in zip(first, again, plain, plain_again, *threaded, strict=True):
        assert np.array_equal(a, b) and np.allclose(a, c, atol=1e-4)
        assert all(np.array_equal(c, values) for values in (d, *others))


def test_one_program_serves_all_constant_rates_and_keeps_none_of_them(data):
    slow, fast = tiny("MLP"), tiny("MLP", epochs=2, learning_rate=0.02)
    alone, made = {}, training._compiled
    for e in (slow, fast):
        made.cache_clear()
        alone[e] = training.fit(e, data)[0].get_weights()
    for e in (slow, fast):
        model = training.fit(e, data)[0]
        assert all(map(np.array_equal, model.get_weights(), alone[e]))
        assert float(model.optimizer.learning_rate) == pytest.approx(e.learning_rate)
    assert made.cache_info().misses == 1
    assert not np.array_equal(alone[slow][0], alone[fast][0])


def test_no_dataset_has_an_autotuner_whose_sleep_the_end_of_a_training_waits_for(data, monkeypatch):
    """benchmarks/autotune.md has what it costs. Keras sets nothing of its own on datasets that it is given."""
    datasets = []

    def look(self, batches, validation_data, shuffle, **options):
        datasets.extend([batches, validation_data])
        assert not shuffle  # or Keras warns that it can't
        raise StopIteration

    monkeypatch.setattr(keras.Sequential, "fit", look)
    with pytest.raises(StopIteration):
        training.fit(tiny(), data)
    assert [dataset.options().autotune.enabled for dataset in datasets] == [False, False]
    assert [len(x) for x, _ in datasets[1]] == [len(data.x_test)]


def test_training_learns_and_reports_the_test_images(data):
    model, history = training.fit(Experiment("MLP", epochs=8, batch_size=16), data)
    assert history["loss"][-1] < history["loss"][0] and history["val_accuracy"][-1] > 0.5
    seen = history["val_loss"][-1], history["val_accuracy"][-1]
    assert seen == pytest.approx(model.evaluate(data.x_test, data.y_test, verbose=0), abs=1e-4)
    assert history["accuracy"][-1] != pytest.approx(seen[1], abs=1e-6)


def test_weights_come_from_the_training_images_alone(data):
    rng = np.random.default_rng(0)
    other = dataclasses.replace(
        data, x_test=rng.permutation(data.x_test, axis=2), y_test=rng.permutation(data.y_test)
    )
    few = dataclasses.replace(data, x_train=data.x_train[:128], y_train=data.y_train[:128])
    here, there, fewer = (training.fit(tiny(), d)[0].get_weights() for d in (data, other, few))
    assert all(map(np.array_equal, here, there))
    assert not np.array_equal(here[0], fewer[0])
