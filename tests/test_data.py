"""load_data: every source, and one clear line for every bad one."""

import hashlib
import http.server
import inspect
import threading
import time
import zipfile

import keras
import numpy as np
import pytest

import helpers
from coursework import data as data_room


def arrays(n_train=30, n_test=20):
    rng = np.random.default_rng(0)
    return {
        "x_train": rng.integers(0, 256, (n_train, 28, 28), dtype=np.uint8),
        "y_train": rng.integers(0, 10, n_train, dtype=np.uint8),
        "x_test": rng.integers(0, 256, (n_test, 28, 28), dtype=np.uint8),
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
    raw = arrays()["x_test"]
    expected = helpers.load_data(npz(), binary=False).x_test
    assert np.array_equal(helpers.load_data(npz(x_test=raw.astype(float)), binary=False).x_test, expected)
    assert np.allclose(helpers.load_data(npz(x_test=raw / 255), binary=False).x_test, expected)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"x_test": None}, "lacks the array 'x_test'"),
        ({"x_train": np.zeros((30, 27, 28))}, r"x_train has shape \(30, 27, 28\), expected \(N, 28, 28\)"),
        ({"x_train": np.zeros((30, 784))}, r"x_train has shape \(30, 784\)"),
        ({"x_test": np.zeros((0, 28, 28)), "y_test": np.zeros(0, int)}, "with N > 0"),
        ({"y_train": np.zeros(29, int)}, r"y_train has shape \(29,\), expected \(30,\)"),
        ({"y_train": np.zeros((30, 10), int)}, r"y_train has shape \(30, 10\)"),
        ({"y_train": np.full(30, 10)}, "labels from 10 to 10, expected 0-9"),
        ({"y_test": np.full(20, -1)}, "labels from -1 to -1"),
        ({"y_test": np.zeros(20)}, "y_test integers"),
        ({"x_test": np.full((20, 28, 28), np.nan)}, "pixels from nan"),
        ({"x_test": np.full((20, 28, 28), 300)}, "expected 0-255 or 0-1"),
        ({"x_test": np.full((20, 28, 28), "a")}, "must hold numbers"),
        ({"y_train": np.array([object()] * 30)}, "y_train holds pickled objects"),
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


def test_a_zip_bomb_is_refused_by_its_size(npz, monkeypatch):
    path = npz()
    monkeypatch.setattr(data_room, "MAX_NPZ_BYTES", 1000)
    with pytest.raises(ValueError, match="would unpack to"):
        helpers.load_data(path)


@pytest.mark.parametrize("source", ["imagenet", "", 3, None])
def test_an_unknown_name_lists_the_choices(source):
    with pytest.raises(ValueError, match=r"unknown data .*'mnist', 'digits'|must be a name or a path"):
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


class Server:
    """A local web server in MNIST's place that plays one fault."""

    def __init__(self, monkeypatch, behaviour):
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                behaviour(self)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        monkeypatch.setattr(data_room, "MNIST_URL", f"http://127.0.0.1:{self.server.server_port}/mnist.npz")


def send(handler, body, length=None, status=200):
    handler.send_response(status)
    handler.send_header("Content-Length", str(len(body) if length is None else length))
    handler.end_headers()
    handler.wfile.write(body)


def trickle(handler):
    handler.send_response(200)
    handler.send_header("Content-Length", "1000000")
    handler.end_headers()
    for _ in range(30):
        handler.wfile.write(b"x")
        time.sleep(1)


FAULTS = {
    "an altered file": (
        lambda handler: send(handler, b"PK" + bytes(5000)),
        "what arrived is not MNIST; a login page, perhaps",
    ),
    "a cut-off file": (lambda handler: send(handler, bytes(100), length=5000), "MNIST could not be downloaded"),
    "a captive portal": (
        lambda handler: send(handler, b"<html>log in</html>"),
        "what arrived is not MNIST; a login page, perhaps",
    ),
    "an error page": (lambda handler: send(handler, b"", status=503), "MNIST could not be downloaded"),
    "no answer": (lambda handler: time.sleep(30), "MNIST did not arrive within 2 seconds"),
    "a trickle": (trickle, "MNIST did not arrive within 2 seconds"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_bad_network_falls_back_to_digits_and_says_so(monkeypatch, capfd, tmp_path, fault):
    behaviour, message = FAULTS[fault]
    server = Server(monkeypatch, behaviour)
    original = data_room._images
    # Two seconds instead of ten, so that the test is short.
    monkeypatch.setattr(data_room, "_images", lambda source, seconds=300: original(source, min(seconds, 2)))
    start = time.monotonic()
    data = helpers.load_data("auto")
    assert time.monotonic() - start < 20  # the server would go on for 30
    assert data.name == "digits"
    out, err = capfd.readouterr()
    assert out == f"Data: ≈[digits, 1,437 training and 360 test images ({message})]\n" and not err
    assert not list((tmp_path / "keras").rglob("*.npz*"))  # nothing broken in the cache
    server.server.shutdown()


def test_no_server_at_all(monkeypatch, capsys):
    monkeypatch.setattr(data_room, "MNIST_URL", "http://127.0.0.1:9/mnist.npz")
    assert helpers.load_data("auto").name == "digits"
    assert "MNIST could not be downloaded" in capsys.readouterr().out
    with pytest.raises(ConnectionError, match="MNIST could not be downloaded"):
        helpers.load_data("mnist")


def test_a_good_download_is_cached_and_a_damaged_cache_replaced(monkeypatch, npz, tmp_path, capsys):
    whole = npz().read_bytes()
    requests = []
    Server(monkeypatch, lambda handler: (requests.append(1), send(handler, whole)))
    monkeypatch.setattr(data_room, "MNIST_SHA256", hashlib.sha256(whole).hexdigest())
    cached = tmp_path / "keras" / "datasets" / "mnist.npz"
    for expected_requests in (1, 1):  # the second time comes from the cache
        assert helpers.load_data("mnist").name == "mnist"
        assert cached.read_bytes() == whole and len(requests) == expected_requests
    cached.write_bytes(whole[:-1])
    assert len(helpers.load_data("auto").y_train) == 30
    assert cached.read_bytes() == whole and len(requests) == 2
    assert capsys.readouterr().out.count("\n") == 1
    cached.write_bytes(whole[:-1])
    monkeypatch.setattr(data_room, "MNIST_URL", "http://127.0.0.1:9/mnist.npz")
    with pytest.raises(ConnectionError, match=r"the cached mnist\.npz is damaged"):
        helpers.load_data("mnist")


def test_the_download_works_where_nothing_can_be_kept(monkeypatch, npz, tmp_path):
    whole = npz().read_bytes()
    Server(monkeypatch, lambda handler: send(handler, whole))
    monkeypatch.setattr(data_room, "MNIST_SHA256", hashlib.sha256(whole).hexdigest())
    (tmp_path / "keras").write_text("a file where the folder should be")
    assert len(helpers.load_data("mnist").y_train) == 30


def test_address_and_checksum_are_kerass_own():
    source = inspect.getsource(inspect.getmodule(keras.datasets.mnist.load_data))
    assert data_room.MNIST_SHA256 in source and data_room.MNIST_URL.rpartition("/")[0] in source


def test_images_that_are_binary_already_keep_their_ink(npz):
    binary = np.random.default_rng(0).integers(0, 2, (30, 28, 28), dtype=np.uint8)
    data = helpers.load_data(npz(x_train=binary))
    assert np.array_equal(data.x_train, binary) and data.x_test.any()


def test_data_can_only_be_read():
    """Its digest is taken once: arrays that change would keep the models of the old ones."""
    data = helpers.load_data("digits")
    with pytest.raises(ValueError, match="read-only"):
        data.x_train[0] = 0
