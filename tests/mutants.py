"""Break helpers.py and run.py on purpose, one line at a time, and count how many of the breaks the tests notice.

python tests/mutants.py [NAME ...]        (`make mutants`)

Each mutant runs the test files that should catch it, in a fork: TensorFlow is imported once. Needs os.fork.
"""

import importlib.util
import os
import sys
import tempfile
import time
from pathlib import Path

import papermill  # noqa: F401  (imported here, once)
import pytest
import sklearn.linear_model  # noqa: F401

import helpers  # noqa: F401  (its libraries; the mutants take its place)

ROOT = Path(__file__).resolve().parents[1]

# name: (file, what stands there, what stands there instead, arguments of pytest)
GATES, TRACE, CHECKS = "tests/test_gates.py", "tests/test_analysis.py", "tests/test_checks.py"
TRAIN, DATA, FAULTS, SAFE = (
    "tests/test_training.py",
    "tests/test_data.py",
    "tests/test_faults.py",
    "tests/test_machines.py",
)
MUTANTS = {
    # equations
    "input and forget gate swapped": ("state=f * c_prev + i * g", "state=i * c_prev + f * g", GATES),
    "LSTM's output without tanh": ("output=o * sp.tanh(c))", "output=o * c)", GATES),
    "GRU keeps what it should replace": (
        "state = z * h_prev + (1 - z) * g if z_keeps",
        "state = (1 - z) * h_prev + z * g if z_keeps",
        GATES,
    ),
    "one convention for both": ("else (1 - z) * h_prev + z * g", "else z * h_prev + (1 - z) * g", GATES),
    "reset gate left out": ("else dot(U, r * h_prev)", "else dot(U, h_prev)", GATES),
    "gate's bias dropped": (
        "return sigmoid(dot(W, x) + dot(U, h_prev) + b)",
        "return sigmoid(dot(W, x) + dot(U, h_prev))",
        GATES,
    ),
    "recurrent bias not reset": (
        'r * (dot(U, h_prev) + _symbol("b_U"))',
        '(r * dot(U, h_prev) + _symbol("b_U"))',
        GATES,
    ),
    "Keras's order of the LSTM's gates": ('"LSTM": ("_i", "_f", "", "_o")', '"LSTM": ("_f", "_i", "", "_o")', GATES),
    "Keras's order of the GRU's gates": ('"GRU": ("_z", "_r", "")', '"GRU": ("_r", "_z", "")', GATES),
    "weights transposed": ("lambda matrix, vector: vector @ matrix.T", "lambda matrix, vector: vector @ matrix", GATES),
    "time shifted in the equations": ('step({"x": x[:, t],', 'step({"x": x[:, t - 1],', GATES),
    # checks
    "accepts everything": ("            return Verdict(False, str(wrong))", "            return Verdict(True)", GATES),
    "keeps 0.999": ("if _sign(1 - kept) != 0:", "if 1 - kept > 0.001:", GATES),
    "candidate's memory forgotten": ("if sp.diff(candidate, old) != 0:", "if False:", GATES),
    "store accepts a leak": ("if kept.free_symbols or _sign(kept) != 0:", "if kept.free_symbols:", GATES),
    "gates beyond 1": ("if _sign(number) < 0 or _sign(1 - number) < 0:", "if _sign(number) < 0:", GATES),
    "text is a number": (
        "if isinstance(value, (str, bytes)):\n        raise",
        "if isinstance(value, (str, bytes)):\n        return sp.sympify(value)\n        raise",
        f"{GATES} {SAFE} -k misconceptions or odd_values or evaluated",
    ),
    "LSTM reaches less": (
        "(c if _sign(c) > 0 else sp.S.Zero) + (sp.tanh(a)",
        "(c if _sign(c) > 0 else sp.S.Zero) + 0 * (sp.tanh(a)",
        GATES,
    ),
    "one side only": ("and _gru_above_lstm(_mirrored(numbers)) <= 0", "", GATES),
    "any c_prev is consistent": ("    if room(h, c) > 0:\n", "    if True:\n", GATES),
    "touching is outside": ("if _gru_above_lstm(numbers) <= 0 and", "if _gru_above_lstm(numbers) < 0 and", GATES),
    "a few digits decide": ("for digits in (5, 50, 500, 4000):", "for digits in (5,):", GATES),
    "logarithms of any size": (
        "if any(term.has(sp.log) and",
        "if False and any(term.has(sp.log) and",
        f"{GATES} -k logarithms",
    ),
    # checks of Q2 and Q3
    "any loss": ("if abs(loss - true_loss) <= 0.01 + 0.01 * true_loss and _same_share(", "if _same_share(", CHECKS),
    "any accuracy": ("0.01 * true_loss and _same_share(", "0.01 * true_loss or _same_share(", CHECKS),
    "any recipe": ("if all(getattr(e, name) != wanted for e in of_this_size):", "if False:", CHECKS),
    "guessing is enough": ("least = 0.95 if len(data.y_train) >= 50_000 else 0.5", "least = 0", CHECKS),
    "any output over time": ("- output).max((1, 2)).min() > 1e-4", "- output).max((1, 2)).min() > 1e4", CHECKS),
    "one right step is enough": ("(np.diag(agree) >= 0.99).all()", "(np.diag(agree) >= 0.99).any()", CHECKS),
    "read out a step late": ("return [classes[:, -1 - back]", "return [classes[:, -2 - back]", CHECKS),
    "any gates": ("if np.abs(array - truth[name]).max() <= 1e-3:", "if True:", CHECKS),
    # data
    "training and test data mixed up": (
        "x_train, y_train, x_test, y_test = images",
        "x_test, y_test, x_train, y_train = images",
        DATA,
    ),
    "test set is a part of the training set": (
        '        *_checked(name, "test", arrays["x_test"], arrays["y_test"]),',
        '        *_checked(name, "test", arrays["x_train"][:20], arrays["y_train"][:20]),',
        DATA,
    ),
    "digits lie on their side": (
        "images = np.pad(images, ((0, 0), (4, 4), (4, 4)))",
        "images = np.pad(images, ((0, 0), (4, 4), (4, 4))).swapaxes(1, 2)",
        DATA,
    ),
    "threshold": ("def binarize(images, threshold=0.1)", "def binarize(images, threshold=0.11)", DATA),
    "no checksum of the cache": (
        "if hashlib.sha256(cached.read_bytes()).hexdigest() == MNIST_SHA256:",
        "if True:",
        DATA,
    ),
    "no checksum of the download": ("MNIST_URL, file_hash=MNIST_SHA256,", "MNIST_URL,", DATA),
    "no time limit": ("return outcome.result(seconds)", "return outcome.result(25)", f"{DATA} -k network"),
    "download straight into the cache": ("cache_dir=str(folder)", "cache_dir=str(cached.parent.parent)", DATA),
    "pickles are read": (
        "np.load(path, allow_pickle=False)",
        "np.load(path, allow_pickle=True)",
        f"{SAFE} -k pickle or unpickled",
    ),
    "no size limit": ("if usual and size <= MAX_NPZ_BYTES:", "if usual:", "tests/test_fuzz.py -k bombs"),
    "any compression": ("usual = all(", "usual = True or all(", "tests/test_fuzz.py -k never_writes"),
    "headers are believed": ('_check_claim(file.zip, f"{key}.npy")', "pass", "tests/test_fuzz.py -k claims"),
    "NaN pixels": ("if not 0 <= low <= high <= 255:", "if low < 0 or high > 255:", DATA),
    "data can be changed": ("array.flags.writeable = False", "pass", DATA),
    "binary images are darkened": (
        "scale = 255 if high > 1 else 1",
        'scale = 255 if high > 1 or x.dtype.kind in "ui" else 1',
        DATA,
    ),
    "silent substitution": ("    if why:\n        print(", "    if False:\n        print(", DATA),
    # training
    "training on the test images": (
        "    shift, size = experiment.shift, experiment.batch_size\n",
        "    shift, size = experiment.shift, experiment.batch_size\n"
        "    data = Data(data.name, data.x_test, data.y_test, data.x_test, data.y_test)\n",
        TRAIN,
    ),
    "accuracy on the training images": (
        "validation_data=(data.x_test, targets(data.y_test))",
        "validation_data=(data.x_train, targets(data.y_train))",
        TRAIN,
    ),
    "no shuffling between epochs": ("seed=[experiment.seed, epoch])", "seed=[experiment.seed, 0])", TRAIN),
    "seed ignored": ("np.random.SeedSequence(experiment.seed)", "np.random.SeedSequence(0)", TRAIN),
    "softmax twice": (
        "SparseCategoricalCrossentropy(from_logits=True)",
        "SparseCategoricalCrossentropy(from_logits=False)",
        TRAIN,
    ),
    "ReLU left out": ('body += [keras.layers.ReLU(), dense(64, "relu")]', 'body += [dense(64, "relu")]', TRAIN),
    "key without the data": (
        "facts = [dataclasses.asdict(experiment), data.digest, *",
        "facts = [dataclasses.asdict(experiment), *",
        TRAIN,
    ),
    "key without the code": (
        "return [TRAINING_CODE, keras.__version__, tf.__version__, *numbers",
        "return [keras.__version__, tf.__version__, *numbers",
        TRAIN,
    ),
    "key without Keras's version": (
        "return [TRAINING_CODE, keras.__version__, tf.__version__, *numbers",
        "return [TRAINING_CODE, tf.__version__, *numbers",
        f"{FAULTS} -k another_keras",
    ),
    "key without Keras's settings": (
        "tf.__version__, *numbers, *threads]",
        "tf.__version__, *threads]",
        f"{FAULTS} -k settings_of_keras",
    ),
    "links stay in the models' place": ("if os.path.lexists(folder):", "if folder.exists():", f"{FAULTS} -k link"),
    "no checksum of models": (
        'facts["sha256"] != _checksum(facts, folder) or',
        "",
        f"{TRAIN} {FAULTS} -k damaged or flipped",
    ),
    "any experiment's model": (
        'or facts["experiment"] != dataclasses.asdict(experiment)',
        "",
        f"{FAULTS} -k another_name",
    ),
    "models written in place": (
        '    aside = folder.with_name(f".unfinished-{uuid.uuid4().hex}")\n',
        "    aside = folder\n",
        f"{TRAIN} {FAULTS} -k unfinished or fills",
    ),
    "no look at the disk before training": ("file.write(os.urandom(2**16))", "pass", f"{FAULTS} -k full_disk"),
    "no space set aside": ("spare.truncate(0)", "pass", f"{FAULTS} -k fills_up"),
    "tables written in place": (
        '    aside = path.with_name(f".unfinished-{os.getpid()}-{path.name}")\n    try:\n        yield aside',
        "    aside = path\n    try:\n        yield aside",
        f"{FAULTS} -k table",
    ),
    # trace
    "time shifted in the trace": (
        "values = step(cell, parameters, inputs[:, row], *states)",
        "values = step(cell, parameters, inputs[:, row - 1], *states)",
        TRACE,
    ),
    "traced gates swapped": (
        "    i, f, g, o = keras.ops.split(total, 4, axis=-1)",
        "    f, i, g, o = keras.ops.split(total, 4, axis=-1)",
        TRACE,
    ),
    "trace without bias": ("h @ recurrent_kernel + (0 if bias is None else bias)", "h @ recurrent_kernel", TRACE),
    "backwards read forwards": (
        "order = range(steps)[::-1] if recurrent.go_backwards else range(steps)",
        "order = range(steps)",
        TRACE,
    ),
    "masked steps counted": (
        "values = [tf.where(seen, value, before)",
        "values = [value if len(old) else tf.where(seen, value, before)",
        TRACE,
    ),
    "first 2000 images twice": ("arrays[name][part, t] = value", "arrays[name][: len(x[part]), t] = value", TRACE),
    # analysis
    "steps counted from 0": (
        "def commit_step(predictions):",
        "def commit_step(predictions):\n    return _commit_step(predictions) - 1\n\n\ndef _commit_step(predictions):",
        TRACE,
    ),
    "McNemar's p one-sided": (
        "stats.binomtest(only_a, only_a + only_b).pvalue",
        "stats.binomtest(only_a, only_a + only_b, alternative='less').pvalue",
        TRACE,
    ),
}


def source(name):
    """helpers.py with one break in it."""
    old, new, _ = MUTANTS[name]
    text = (ROOT / "helpers.py").read_text(encoding="utf-8")
    if text.count(old) != 1:
        raise SystemExit(f"mutant {name!r}: its line stands {text.count(old)} times in helpers.py, not once")
    return text.replace(old, new)


def caught(name):
    """Does a test fail? In a fork, so that the next mutant finds everything as it was."""
    process = os.fork()
    if process:
        return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == 1
    code = 3
    try:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "helpers.py")
            path.write_text(source(name), encoding="utf-8")
            os.environ["PYTHONPATH"] = f"{folder}{os.pathsep}{ROOT}"  # for the processes that tests start
            files, _, words = MUTANTS[name][2].partition(" -k ")
            arguments = [
                "-x",
                "-q",
                "--timeout=300",
                "-p",
                "no:cacheprovider",
                *(["-k", words] if words else []),
                *files.split(),
            ]
            with open(os.environ.get("MUTANTS_LOG", os.devnull), "a", encoding="utf-8") as log:
                os.dup2(log.fileno(), 1)
                os.dup2(log.fileno(), 2)
                try:
                    spec = importlib.util.spec_from_file_location("helpers", path)
                    sys.modules["helpers"] = module = importlib.util.module_from_spec(spec)
                    spec.loader.exec_module(module)
                except Exception:
                    code = 1  # a mutant that does not even start is caught by anything
                else:
                    code = int(pytest.main(arguments))
    finally:
        os._exit(code)


def main(names):
    """Run the mutants and print a line for each; the exit code is the number that was missed."""
    os.chdir(ROOT)
    names = names or list(MUTANTS)
    for name in names:
        source(name)
    missed = []
    for name in names:
        start = time.monotonic()
        found = caught(name)
        missed += [] if found else [name]
        print(f"{'caught' if found else 'MISSED':7} {name}  ({time.monotonic() - start:.0f} s)", flush=True)
    print(f"{len(names) - len(missed)} of {len(names)} mutants caught")
    return len(missed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
