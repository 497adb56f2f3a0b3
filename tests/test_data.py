"""load_data: every source, and one clear line for every bad one."""

import dataclasses
import inspect
import zipfile

import keras
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes
from hypothesis.extra.numpy import arrays as arrays_of

import helpers
from coursework import data as data_room


def arrays(n_train=30, n_test=20):
    rng = np.random.default_rng(0)
    return {
        "x_train": np.where(rng.random((n_train, 28, 28)) < 0.3, rng.integers(26, 256, (n_train, 28, 28)), 0),
        "y_train": rng.integers(0, 10, n_train, dtype=np.uint8),
        "x_test": np.where(rng.random((n_test, 28, 28)) < 0.3, rng.integers(26, 256, (n_test, 28, 28)), 0),
        "y_test": rng.integers(0, 10, n_test, dtype=np.uint8),
    }


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch, tmp_path):
    monkeypatch.delenv("COURSEWORK_DATA", raising=False)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))


@pytest.fixture
def npz(tmp_path):
    def write(**changes):
        path = tmp_path / "some digits.npz"
        np.savez(path, **{name: value for name, value in {**arrays(), **changes}.items() if value is not None})
        return path

    return write


def test_binarize_uses_the_sheets_threshold():
    assert helpers.binarize([0.0, 0.1, 0.11, 1.0]).tolist() == [0.0, 0.0, 1.0, 1.0]
    assert helpers.binarize(np.zeros((2, 28, 28))).dtype == np.float32


def test_mnist5k_is_mnist_in_small_split_fixed_and_evenly():
    data = helpers.load_data("mnist5k")
    assert data.name == "mnist5k" and len(data.y_train) == 4000 and len(data.y_test) == 1000
    assert set(np.bincount(data.y_train)) == {400} and set(np.bincount(data.y_test)) == {100}
    assert data.y_test[:12].tolist() == [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1]  # any stretch of it holds all digits
    images = np.concatenate([data.x_train, data.x_test])
    assert set(np.unique(images)) == {0.0, 1.0} and len(np.unique(images.reshape(5000, -1), axis=0)) > 4990
    assert 0.1 < images.mean() < 0.2
    ones = data.x_train[data.y_train == 1]
    assert ones.any(axis=2).sum() > 1.3 * ones.any(axis=1).sum()  # rows are time


def test_digits_are_the_scans_of_scikit_learn():
    data = helpers.load_data("digits")
    assert data.name == "digits" and len(data.y_train) + len(data.y_test) == 1797
    for x, y in ((data.x_train, data.y_train), (data.x_test, data.y_test)):
        assert x.shape == (len(y), 28, 28) and x.dtype == np.float32
        assert set(np.unique(x)) == {0.0, 1.0} and set(np.unique(y)) == set(range(10))
        assert not x[:, :4].any() and not x[:, 24:].any() and not x[:, :, :4].any()  # the frame, as in MNIST
    # Rows are time: a one is taller than wide, so a transposed image would fail.
    ones = data.x_train[data.y_train == 1]
    assert ones.any(axis=2).sum() > 1.3 * ones.any(axis=1).sum()


def test_grey_values_and_binary_agree():
    grey, binary = helpers.load_data("digits", binary=False), helpers.load_data("digits")
    assert grey.x_test.dtype == np.float32 and grey.x_test.min() >= 0 and grey.x_test.max() == 1
    assert np.array_equal(helpers.binarize(grey.x_test), binary.x_test)


@pytest.mark.parametrize("kind", [str, lambda path: path])
def test_a_file_by_path(npz, kind):
    raw = arrays()
    data = helpers.load_data(kind(npz()))
    assert data.name == "some digits"
    assert np.array_equal(data.x_train, (raw["x_train"] / 255 > 0.1).astype(np.float32))
    assert np.array_equal(data.y_test, raw["y_test"]) and data.y_test.dtype == np.int64


def test_training_and_test_arrays_are_not_mixed_up(npz):
    data = helpers.load_data(npz())
    assert len(data.y_train) == 30 and len(data.y_test) == 20


def test_floats_may_be_on_either_scale(npz):
    x_train, x_test = arrays()["x_train"], arrays()["x_test"]
    expected = helpers.load_data(npz(), binary=False).x_test
    for scale, dtype in ((1, np.float64), (255, np.float64), (255, np.float32)):
        changes = {"x_train": (x_train / scale).astype(dtype), "x_test": (x_test / scale).astype(dtype)}
        assert np.allclose(helpers.load_data(npz(**changes), binary=False).x_test, expected)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"x_test": None}, "lacks the array 'x_test'"),
        ({"x_train": np.zeros((30, 27, 28))}, r"x_train has shape \(30, 27, 28\), expected \(N, 28, 28\)"),
        ({"x_train": np.zeros((30, 783))}, r"x_train has shape \(30, 783\)"),
        ({"x_train": np.zeros((28, 28))}, r"x_train has shape \(28, 28\)"),
        ({"x_train": np.zeros(())}, r"x_train has shape \(\)"),
        ({"x_test": np.zeros((0, 28, 28)), "y_test": np.zeros(0, int)}, "with N > 0"),
        ({"y_train": np.zeros(29, int)}, r"y_train has shape \(29,\), expected labels \(30,\)"),
        ({"y_train": np.zeros((30, 10), int)}, r"y_train has shape \(30, 10\)"),
        ({"y_train": np.full(30, 10)}, "labels from 10 to 10, expected whole numbers 0-9"),
        ({"y_test": np.full(20, -1)}, "labels from -1 to -1"),
        ({"y_test": np.full(20, 0.5)}, "y_test holds labels from 0.5 to 0.5, expected whole numbers"),
        ({"y_test": np.full(20, "seven")}, "y_test must be an array of numbers"),
        ({"x_test": np.full((20, 28, 28), np.nan)}, "x_test holds NaN"),
        ({"x_test": np.full((20, 28, 28), 300)}, "expected 0-255 or 0-1"),
        ({"x_test": np.full((20, 28, 28), -1)}, "pixels from -1 to -1, expected 0-255 or 0-1"),
        ({"x_test": np.full((20, 28, 28), "a")}, "x_test must be an array of numbers"),
        ({"y_train": np.array([object()] * 30)}, "plain arrays, without pickled objects"),
        # One scale holds for the whole file, and no image is ever blank because of it.
        ({"x_test": arrays()["x_test"] / 255}, "x_test has no ink"),
        ({"x_train": np.zeros((30, 28, 28))}, "x_train has no ink"),
        ({name: arrays()[name] / 255**2 for name in ("x_train", "x_test")}, "no ink.*is it scaled twice"),
        ({name: arrays()[name] // 16 for name in ("x_train", "x_test")}, "the pixels end at 15, expected 0-255 or 0-1"),
        ({name: arrays()[name] / 254.99 for name in ("x_train", "x_test")}, "the pixels end at 1.00003"),
    ],
)
def test_bad_arrays_get_one_clear_line(npz, changes, message):
    with pytest.raises(ValueError, match=message) as caught:
        helpers.load_data(npz(**changes))
    assert "\n" not in str(caught.value)


def test_bad_files_get_one_clear_line(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no data file at .*missing\.npz"):
        helpers.load_data(tmp_path / "missing.npz")
    text = tmp_path / "text.npz"
    text.write_text("<html>not an archive</html>")
    with pytest.raises(ValueError, match=r"not a readable \.npz"):
        helpers.load_data(text)
    one_array = tmp_path / "one.npy"
    np.save(one_array, np.zeros(3))
    with pytest.raises(ValueError, match=r"not a readable \.npz"):
        helpers.load_data(one_array)
    other_zip = tmp_path / "other.npz"
    with zipfile.ZipFile(other_zip, "w") as archive:
        archive.writestr("x_train.npy", b"no array")
        archive.writestr("y_train.npy", b"no array")
    with pytest.raises(ValueError, match="lacks the array"):
        helpers.load_data(other_zip)


def test_a_truncated_file_is_refused(npz, tmp_path):
    whole = npz().read_bytes()
    for keep in (0.3, 0.9):
        part = tmp_path / "part.npz"
        part.write_bytes(whole[: int(keep * len(whole))])
        with pytest.raises(ValueError, match=r"part\.npz"):
            helpers.load_data(part)


LAYOUTS = {
    "a channel": lambda x: x[..., None],
    "a channel first": lambda x: x[:, None],
    "rows of 784": lambda x: x.reshape(-1, 784),
    "float16": lambda x: x.astype(np.float16),
    "Fortran's order": np.asfortranarray,
    "big endian": lambda x: x.astype(">i4"),
}
LABELS = {
    "a column": lambda y: y[:, None],
    "one-hot": lambda y: np.eye(10)[y],
    "floats": lambda y: y.astype(np.float64),
    "int8": lambda y: y.astype(np.int8),
    "boolean one-hot": lambda y: np.eye(10, dtype=bool)[y],
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("labels", LABELS)
def test_usual_layouts_are_read_as_what_they_are(npz, layout, labels):
    expected, raw = helpers.load_data(npz(), binary=False), arrays()
    changes = {name: (LAYOUTS[layout] if name[0] == "x" else LABELS[labels])(array) for name, array in raw.items()}
    data = helpers.load_data(npz(**changes), binary=False)
    for name in raw:
        assert np.array_equal(getattr(data, name), getattr(expected, name)), name
    assert data.x_train.dtype == np.float32 and data.y_train.dtype == np.int64


def test_boolean_images_and_labels_of_another_layout_in_each_part(npz):
    raw = arrays()
    data = helpers.load_data(npz(x_train=raw["x_train"] > 25, x_test=raw["x_test"] > 25, y_test=raw["y_test"][:, None]))
    assert np.array_equal(data.x_test, raw["x_test"] > 25) and np.array_equal(data.y_test, raw["y_test"])


def test_inverted_images_are_taken_with_a_line(npz, capsys):
    helpers.load_data(npz())
    assert not capsys.readouterr().out
    raw = arrays()
    helpers.load_data(npz(x_train=255 - raw["x_train"], x_test=255 - raw["x_test"]))
    assert capsys.readouterr().out.count("if the digits are dark on light, give 255 - x instead\n") == 2


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    x=arrays_of(
        st.sampled_from(["u1", "i1", "i8", "f2", "f4", "f8", "?", "c8", "U1"]),
        st.one_of(
            array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=3),
            st.sampled_from([(2, 28, 28), (1, 784), (3, 28, 28, 1), (2, 1, 28, 28), (28, 28)]),
        ),
    ),
    y=arrays_of(st.sampled_from(["u1", "i8", "f4", "?", "U1"]), array_shapes(min_dims=0, max_dims=2, max_side=10)),
)
def test_any_arrays_are_taken_or_refused_in_one_line(npz, x, y):
    try:
        data = helpers.load_data(npz(x_test=x, y_test=y), binary=False)
    except ValueError as error:
        assert "\n" not in str(error) and "some digits.npz" in str(error) and error.__cause__ is None
        return
    assert data.x_test.shape == (len(data.y_test), 28, 28) and data.x_test.max() > 0.1 and data.x_test.max() <= 1
    assert set(data.y_test) <= set(range(10))


def test_what_is_held_out_comes_from_the_training_images(npz):
    data = helpers.load_data(npz())
    inner = helpers.hold_out(data)
    assert len(inner.y_train) == 27 and len(inner.y_test) == 3
    assert np.array_equal(np.concatenate([inner.x_train, inner.x_test]), data.x_train)
    assert np.array_equal(np.concatenate([inner.y_train, inner.y_test]), data.y_train)
    assert inner.digest != data.digest


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"x_train": np.zeros((3, 28, 27))}, r"x_train has shape \(3, 28, 27\), expected \(N, 28, 28\)"),
        ({"x_test": np.full((20, 28, 28), np.nan)}, "x_test holds NaN"),
        ({"y_test": [1, 2]}, r"y_test has shape \(2,\), expected labels \(20,\)"),
        ({"y_train": None}, "y_train must be an array of numbers"),
    ],
)
def test_data_of_ones_own_is_checked(npz, changes, message):
    data = helpers.load_data(npz())
    with pytest.raises(ValueError, match=message) as caught:
        dataclasses.replace(data, **changes)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("source", ["imagenet", "", 3, None])
def test_an_unknown_name_lists_the_choices(source):
    with pytest.raises(ValueError, match=r"unknown data .*'mnist', 'mnist5k', 'digits' or|must be a name or a path"):
        helpers.load_data(source)


def test_auto_obeys_the_environment_and_says_so(monkeypatch, npz, capsys):
    monkeypatch.setenv("COURSEWORK_DATA", "digits")
    assert helpers.load_data().name == "digits"
    assert capsys.readouterr().out == (
        "Data: ≈[digits, 1,437 training and 360 test images (as COURSEWORK_DATA says)]\n"
    )
    monkeypatch.setenv("COURSEWORK_DATA", str(npz()))
    assert helpers.load_data("auto").name == "some digits"
    assert capsys.readouterr().out.count("\n") == 1
    monkeypatch.setenv("COURSEWORK_DATA", "nonsense")
    with pytest.raises(ValueError, match="unknown data 'nonsense'"):
        helpers.load_data("auto")


def test_address_and_checksum_are_kerass_own():
    source = inspect.getsource(inspect.getmodule(keras.datasets.mnist.load_data))
    assert data_room.MNIST_SHA256 in source and data_room.MNIST_URL.rpartition("/")[0] in source


def test_images_that_are_binary_already_keep_their_ink(npz):
    binary = (arrays()["x_train"] > 0).astype(np.uint8)
    data = helpers.load_data(npz(x_train=binary, x_test=binary[:20]))
    assert np.array_equal(data.x_train, binary) and data.x_test.any()


def test_data_can_only_be_read():
    """Its digest is taken once: arrays that change would keep the models of the old ones."""
    data = helpers.load_data("digits")
    with pytest.raises(ValueError, match="read-only"):
        data.x_train[0] = 0
