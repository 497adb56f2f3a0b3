"""load_data: every source, and one clear line for every bad one."""

import copy
import dataclasses
import inspect
import json
import pickle
import zipfile
from pathlib import Path

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import helpers
from conftest import cases, python, refused
from coursework import data as data_room

rng = np.random.default_rng(0)
RAW = {
    f"{kind}_{part}": np.where(rng.random((n, 28, 28)) < 0.3, rng.integers(26, 256, (n, 28, 28)), 0)
    if kind == "x"
    else rng.integers(0, 10, n, dtype=np.uint8)
    for part, n in (("train", 30), ("test", 20))
    for kind in "xy"
}


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch, tmp_path):
    monkeypatch.delenv("COURSEWORK_DATA", raising=False)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))


@pytest.fixture
def npz(tmp_path):
    """npz(name=array or None, ...): the path of a file with these changes."""

    def write(**changes):
        path = tmp_path / "some digits.npz"
        np.savez(
            path, **{name: value for name, value in {**RAW, **changes}.items() if value is not None}
        )
        return path

    return write


def test_binarize_uses_the_sheets_threshold():
    assert helpers.binarize([0.0, 0.1, 0.11, 1.0]).tolist() == [0.0, 0.0, 1.0, 1.0]
    assert helpers.binarize(np.zeros((2, 28, 28))).dtype == np.float32
    assert helpers.binarize(np.float32([0.1, 0.2]), np.float64(0.1)).tolist() == [0.0, 1.0]
    for threshold in (128, -1, np.nan, [0.1, 0.2], "0.1", None):
        with refused("^threshold "):
            helpers.binarize(np.zeros(3), threshold)


@pytest.mark.parametrize(
    ("name", "train", "test"), [("mnist5k", 4000, 1000), ("digits", 1437, 360)]
)
def test_the_data_at_hand(name, train, test):
    data = helpers.load_data(name)
    assert (data.name, len(data.y_train), len(data.y_test)) == (name, train, test)
    for x, y in ((data.x_train, data.y_train), (data.x_test, data.y_test)):
        assert x.shape == (len(y), 28, 28) and x.dtype == np.float32
        assert set(np.unique(x)) == {0.0, 1.0} and set(np.unique(y)) == set(range(10))
    # Rows are time: a one is taller than wide, so a transposed image would fail.
    ones = data.x_train[data.y_train == 1]
    assert ones.any(axis=2).sum() > 1.3 * ones.any(axis=1).sum()
    if name == "digits":
        grey = helpers.load_data(name, binary=False)
        assert grey.x_test.dtype == np.float32 and grey.x_test.min() >= 0 and grey.x_test.max() == 1
        assert np.array_equal(helpers.binarize(grey.x_test), data.x_test)
        assert (
            not data.x_train[:, :4].any() and not data.x_train[:, 24:].any()
        )  # the frame, as in MNIST
        assert not data.x_train[:, :, :4].any()
    else:
        assert set(np.bincount(data.y_train)) == {400} and set(np.bincount(data.y_test)) == {100}
        assert data.y_test[:12].tolist() == [
            0,
            1,
            2,
            3,
            4,
            5,
            6,
            7,
            8,
            9,
            0,
            1,
        ]  # any stretch of it holds all digits
        images = np.concatenate([data.x_train, data.x_test]).reshape(5000, -1)
        assert len(np.unique(images, axis=0)) > 4990 and 0.1 < images.mean() < 0.2


@pytest.mark.parametrize("kind", [str, Path])
def test_a_file_by_path(npz, kind, capsys):
    data = helpers.load_data(kind(npz()))
    assert data.name == "some digits" and not capsys.readouterr().out
    assert np.array_equal(data.x_train, (RAW["x_train"] / 255 > 0.1).astype(np.float32))
    assert np.array_equal(data.y_test, RAW["y_test"]) and data.y_test.dtype == np.int64


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"x_test": None}, "lacks the array 'x_test'"),
        (
            {"x_train": np.zeros((30, 27, 28))},
            r"x_train has shape \(30, 27, 28\), expected \(N, 28, 28\)",
        ),
        ({"x_train": np.zeros((28, 28))}, r"x_train has shape \(28, 28\)"),
        ({"x_test": np.zeros((0, 28, 28)), "y_test": np.zeros(0, int)}, "with N > 0"),
        ({"y_train": np.zeros(29, int)}, r"y_train has shape \(29,\), expected labels \(30,\)"),
        (
            {"y_test": np.full(20, 10)},
            "y_test holds labels from 10 to 10, expected whole numbers 0-9",
        ),
        ({"x_test": np.full((20, 28, 28), np.nan)}, "x_test holds NaN"),
        ({"x_test": np.full((20, 28, 28), 300)}, "expected 0-255 or 0-1"),
        ({"x_test": np.full((20, 28, 28), -1)}, "pixels from -1 to -1, expected 0-255 or 0-1"),
        ({"x_test": np.full((20, 28, 28), "a")}, "x_test must be an array of numbers"),
        ({"y_train": np.array([object()] * 30)}, "plain arrays, without pickled objects"),
        # One scale holds for the whole file, and no image is ever blank because of it.
        ({"x_test": RAW["x_test"] / 255}, "x_test: 100% of the images have no ink"),
        (
            {name: RAW[name] / 255**2 for name in ("x_train", "x_test")},
            "no ink.*is it scaled twice",
        ),
        (
            {name: RAW[name] // 16 for name in ("x_train", "x_test")},
            "the pixels end at 15, expected 0-255 or 0-1",
        ),
        ({name: RAW[name] / 254.99 for name in ("x_train", "x_test")}, "the pixels end at 1.00003"),
    ],
)
def test_bad_arrays_get_one_clear_line(npz, changes, message):
    with refused(message):
        helpers.load_data(npz(**changes))


def test_bad_files_get_one_clear_line(npz, tmp_path):
    with refused(r"no data file at .*missing\.npz", FileNotFoundError):
        helpers.load_data(tmp_path / "missing.npz")
    whole, bad = npz().read_bytes(), tmp_path / "bad.npz"
    np.save(tmp_path / "one.npy", np.zeros(3))
    for content in (
        b"<html>not an archive</html>",
        whole[: len(whole) // 3],
        (tmp_path / "one.npy").read_bytes(),
    ):
        bad.write_bytes(content)
        with refused(r"bad\.npz.*not a readable \.npz"):
            helpers.load_data(bad)
    with zipfile.ZipFile(bad, "w") as archive:
        archive.writestr("x_train.npy", b"no array")
    with refused("lacks the array"):
        helpers.load_data(bad)


LAYOUTS = {
    "a channel": lambda x: x[..., None],
    "a channel first": lambda x: x[:, None],
    "rows of 784": lambda x: x.reshape(-1, 784),
    "float16": lambda x: x.astype(np.float16),
    "Fortran's order": np.asfortranarray,
    "big endian": lambda x: x.astype(">i4"),
    "from 0 to 1": lambda x: x / 255,
    "floats to 255": lambda x: x.astype(np.float32),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_usual_layouts_are_read_as_what_they_are(npz, layout):
    """Labels are one-hot here and there; tests/test_arguments.py has all their forms."""
    expected = helpers.load_data(npz(), binary=False)
    images = {name: LAYOUTS[layout](RAW[name]) for name in ("x_train", "x_test")}
    data = helpers.load_data(
        npz(**images, y_train=np.eye(10, dtype=bool)[RAW["y_train"]]), binary=False
    )
    assert all(np.allclose(getattr(data, name), getattr(expected, name)) for name in RAW)
    assert data.x_train.dtype == np.float32 and data.y_train.dtype == np.int64


@pytest.mark.parametrize("dtype", [bool, np.uint8])
def test_images_that_are_binary_already_keep_their_ink(npz, dtype):
    data = helpers.load_data(
        npz(**{name: (RAW[name] > 25).astype(dtype) for name in ("x_train", "x_test")})
    )
    assert np.array_equal(data.x_test, RAW["x_test"] > 25) and data.x_test.any()


def test_inverted_images_are_taken_with_a_line(npz, capsys):
    helpers.load_data(npz(x_train=255 - RAW["x_train"], x_test=255 - RAW["x_test"]))
    assert (
        capsys.readouterr().out.count("if the digits are dark on light, give 255 - x instead\n")
        == 2
    )


SHAPES = hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=3)
USUAL = st.sampled_from([(2, 28, 28), (1, 784), (3, 28, 28, 1), (2, 1, 28, 28), (28, 28)])


@cases(60)
@given(
    x=hnp.arrays(
        st.sampled_from(["u1", "i1", "i8", "f2", "f4", "f8", "?", "c8", "U1"]), SHAPES | USUAL
    ),
    y=hnp.arrays(
        st.sampled_from(["u1", "i8", "f4", "?", "U1"]),
        hnp.array_shapes(min_dims=0, max_dims=2, max_side=10),
    ),
)
def test_any_arrays_are_taken_or_refused_in_one_line(npz, x, y):
    try:
        data = helpers.load_data(npz(x_test=x, y_test=y), binary=False)
    except ValueError as error:
        assert (
            "\n" not in str(error) and "some digits.npz" in str(error) and error.__cause__ is None
        )
        return
    assert (
        data.x_test.shape == (len(data.y_test), 28, 28)
        and data.x_test.max() > 0.1
        and data.x_test.max() <= 1
    )
    assert set(data.y_test) <= set(range(10))


ODD_PATHS = [
    "~nobody-here/x.npz",
    "~/x.npz",
    "a" * 5000,
    "a" * 5000 + ".npz",
    "\0.npz",
    "x\n\x1b[31my.npz",
    "/",
    "",
]
ODD_PATHS += [
    "/dev/null",
    "\ud800.npz",
    ".",
    "/dev/zero.npz",
    "/proc/self/mem",
    "mnist ",
    "DIGITS",
    "imagenet",
]
ODD_THINGS = [object(), [None], np.zeros(3), {}, keras, str, Path("nowhere"), Path()]


@cases(60)
@given(
    st.sampled_from(ODD_PATHS + ODD_THINGS)
    | st.text(max_size=30).filter(lambda name: name not in data_room.NAMES)
    | st.text(max_size=10).map("{}.npz".format)
    | st.one_of(st.binary(max_size=9), st.integers(), st.none(), st.floats(), st.booleans())
)
def test_any_other_source_is_refused_in_one_line(source):
    with pytest.raises((ValueError, FileNotFoundError)) as caught:
        helpers.load_data(source)
    said = str(caught.value)
    assert len(said.splitlines()) == 1 and len(said) < 700
    reasons = (
        "'mnist', 'mnist5k', 'digits' or",
        "name or a path",
        "no readable .npz",
        "not a readable .npz",
    )
    assert caught.type is FileNotFoundError or any(reason in said for reason in reasons)


def in_order(x, y):
    """The pairs of images and labels, whatever their order."""
    return sorted((label, image.tobytes()) for image, label in zip(x, y.tolist(), strict=True))


@pytest.mark.parametrize(
    "order", [np.argsort, lambda y: np.argsort(y % 8), lambda y: np.arange(len(y))]
)
def test_what_is_held_out_is_of_each_class_whatever_the_order_of_the_file(order):
    digits = helpers.load_data("digits", binary=False)
    place = order(digits.y_train)
    data = dataclasses.replace(digits, x_train=digits.x_train[place], y_train=digits.y_train[place])
    inner = helpers.hold_out(data)
    assert len(inner.y_test) == 179 and set(np.bincount(inner.y_test)) <= {17, 18, 19}
    both = [
        np.concatenate(pair)
        for pair in ((inner.x_train, inner.x_test), (inner.y_train, inner.y_test))
    ]
    assert in_order(*both) == in_order(data.x_train, data.y_train)
    assert inner.digest != data.digest and inner.digest == helpers.hold_out(data).digest


@cases(40)
@given(st.lists(st.integers(0, 9), min_size=1, max_size=40))
def test_of_few_images_some_are_held_back_but_no_class_as_a_whole(labels):
    y = np.array(labels)
    x = np.zeros((len(y), 28, 28))
    if len(set(labels)) == len(y):
        with refused("too few training images"):
            helpers.hold_out(helpers.Data("few", x, y, x, y))
        return
    inner = helpers.hold_out(helpers.Data("few", x, y, x, y))
    assert set(inner.y_train) == set(labels) and 1 <= len(inner.y_test) <= max(1, len(y) // 8)


def test_nothing_changes_data_that_are_made(npz):
    x, y = RAW["x_test"] / 255, RAW["y_test"].copy()
    data = helpers.Data("own", x, y, x, y)
    again, digest = [copy.deepcopy(data), pickle.loads(pickle.dumps(data))], data.digest
    kept = data.x_test.copy()
    x[:] = 0
    y[:] = 0
    for made in (data, *again):
        assert np.array_equal(made.x_test, kept) and np.array_equal(made.y_test, RAW["y_test"])
        assert made.x_test.dtype == np.float32 and made.digest == digest
        with pytest.raises(ValueError, match="read-only"):
            made.x_train += 1
        with pytest.raises(ValueError, match="WRITEABLE"):  # a usual answer to the error before
            made.x_train.flags.writeable = True
    assert helpers.Data("own", x, y, x, y).digest != digest


def test_digits_that_are_missing_are_named():
    data = helpers.load_data("digits")
    helpers.check_classes(data)
    few, no_zero = data.y_train != 7, ~np.isin(data.y_test, (0, 3))
    with refused("^the training images have no 7; the notebooks need all ten"):
        helpers.check_classes(
            dataclasses.replace(data, x_train=data.x_train[few], y_train=data.y_train[few])
        )
    with refused("^the test images have no 0 and no 3; "):
        helpers.check_classes(
            dataclasses.replace(data, x_test=data.x_test[no_zero], y_test=data.y_test[no_zero])
        )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"x_train": np.zeros((3, 28, 27))},
            r"x_train has shape \(3, 28, 27\), expected \(N, 28, 28\)",
        ),
        ({"x_test": np.full((20, 28, 28), np.nan)}, "x_test holds NaN"),
        ({"y_test": [1, 2]}, r"y_test has shape \(2,\), expected labels \(20,\)"),
    ],
)
def test_data_of_ones_own_is_checked(npz, changes, message):
    data = helpers.load_data(npz())
    with refused(message):
        dataclasses.replace(data, **changes)


def test_auto_obeys_the_environment_and_says_so(monkeypatch, npz, capsys):
    monkeypatch.setenv("COURSEWORK_DATA", "digits")
    assert helpers.load_data().name == "digits"
    said = "Data: digits, 1,437 training and 360 test images (as COURSEWORK_DATA says)\n"
    assert capsys.readouterr().out == said
    monkeypatch.setenv("COURSEWORK_DATA", str(npz()))
    assert helpers.load_data("auto").name == "some digits"
    assert capsys.readouterr().out.count("\n") == 1
    monkeypatch.setenv("COURSEWORK_DATA", "nonsense")
    with refused("unknown data 'nonsense'"):
        helpers.load_data("auto")


def test_a_users_keras_json_changes_no_image_and_no_network(tmp_path):
    settings = {
        "backend": "jax",
        "image_data_format": "channels_first",
        "floatx": "float32",
        "epsilon": 1e-7,
    }
    (tmp_path / "keras.json").write_text(json.dumps(settings))
    script = "import helpers as H; print(H.load_data('digits').digest, "
    script += "H.build_model(H.Experiment('CNN')).count_params())"
    result = python("-c", script, KERAS_HOME=str(tmp_path))
    digest, parameters = result.stdout.split()
    assert digest == helpers.load_data("digits").digest
    assert int(parameters) == helpers.build_model(helpers.Experiment("CNN")).count_params()


def test_address_and_checksum_are_kerass_own():
    source = inspect.getsource(inspect.getmodule(keras.datasets.mnist.load_data))
    assert data_room.MNIST_SHA256 in source and data_room.MNIST_URL.rpartition("/")[0] in source
