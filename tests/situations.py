"""What students hand in, as functions that make it from our own solution; each with the marks that it must have.

A function gets the notebooks, solved, and the folder to write to. `@situation("Q1.1=10 ...")` names the marks, 0 where
it does not, then the questions that wait for a person, and a part of the notes.
"""

import copy
import json
import os
import zipfile

import nbformat

ONE = "01_gate_settings"
TWO = "02_training"
THREE = "03_analysis"
Q1 = "Q1.1=10 Q1.2=10 Q1.3=10"
Q2 = "Q2_LSTM=15 Q2_LSTM_3_x_32=10 Q2_GRU=15 Q2_GRU_3_x_32=10"
Q3 = "Q3.2=2 Q3.3=6 bonus=8"
TEXTS = "Q3.1 Q3.2 Q3.3 bonus"
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
SITUATIONS = {}


def situation(marks, by_hand="", note=""):
    """Register a function under its name with `-` for `_`: (function, marks, by hand, part of the notes)."""

    def register(function):
        points = {}
        for pair in marks.split():
            question, value = pair.split("=")
            points[question.replace("_", " ")] = float(value)
        SITUATIONS[function.__name__.replace("_", "-")] = function, points, by_hand, note
        return function

    return register


def at(notebook, name):
    """The place of a cell."""
    return next(place for place, cell in enumerate(notebook.cells) if cell.id == name)


def put(notebook, name, source):
    """Change a cell's source; returns the cell."""
    notebook.cells[at(notebook, name)].source = source
    return notebook.cells[at(notebook, name)]


def twin(notebook, name, source, after=True, cell_id="copy"):
    """A copy of a cell, metadata included, with another source, beside it."""
    cell = copy.deepcopy(notebook.cells[at(notebook, name)])
    cell.source, cell.id = source, cell_id
    notebook.cells.insert(at(notebook, name) + after, cell)
    return cell


def own(notebook, place, source, kind="code"):
    """A cell of the student's own before `place`."""
    new = nbformat.v4.new_code_cell if kind == "code" else nbformat.v4.new_markdown_cell
    notebook.cells.insert(place, new(source))
    return notebook.cells[place]


def save(folder, notebooks, *names):
    """Write notebooks into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in names or notebooks:
        (folder / f"{name}.ipynb").write_text(nbformat.writes(notebooks[name]), encoding="utf-8")


@situation(f"{Q1} {Q2} {Q3}", TEXTS)
def ours(books, folder):
    """Our own solution."""
    save(folder, books)


@situation(f"{Q1} {Q3}", TEXTS)
def no_metadata(books, folder):
    """An editor that drops the metadata of cells."""
    for book in books.values():
        for cell in book.cells:
            cell.metadata = {}
    save(folder, books, ONE, THREE)


@situation(f"{Q1} {Q3}", TEXTS)
def no_metadata_no_ids(books, folder):
    """Colab, an old format: neither metadata nor ids."""
    folder.mkdir()
    for name in (ONE, THREE):
        book = json.loads(nbformat.writes(books[name]))
        for cell in book["cells"]:
            cell["metadata"] = {}
            del cell["id"]
        book["nbformat_minor"] = 2
        (folder / f"{name}.ipynb").write_text(json.dumps(book), encoding="utf-8")


@situation(Q3, TEXTS)
def texts_below(books, folder):
    """Texts in new cells below 'Not answered yet.'"""
    book = books[THREE]
    for name in ("q31-answer", "q32-answer", "q33-answer", "bonus-answer"):
        text = put(book, name, "Not answered yet.")
        own(
            book, at(book, name) + 1, f"My text for {name}: {text.id} is answered here.", "markdown"
        )
    save(folder, books, THREE)


@situation(Q3, TEXTS)
def texts_elsewhere(books, folder):
    """A text in the question's cell, one as a comment in a code cell, a blank copy at the end, all else at the end."""
    book = books[THREE]
    for name in ("q31-answer", "q32-answer", "q33-answer"):
        put(book, name, "Not answered yet.")
    book.cells[at(book, "q31-answer") - 1].source += "\n\nMy own words in the question's cell."
    own(book, at(book, "q32-answer") + 1, "# My own words as a comment in a code cell.")
    blank = copy.deepcopy(book.cells[at(book, "bonus-answer")])
    blank.source, blank.id = "Not answered yet.", "blank-copy"
    book.cells.append(blank)
    own(
        book,
        len(book.cells),
        "Everything that I have to say on Q3.3 stands at the end.",
        "markdown",
    )
    save(folder, books, THREE)


@situation("", "")
def texts_blank(books, folder):
    """No text at all, and no code that works."""
    book = books[THREE]
    for cell in book.cells:
        if cell.metadata.get("nbgrader", {}).get("solution"):
            cell.source = "Not answered yet." if cell.cell_type == "markdown" else "pass"
    save(folder, books, THREE)


@situation(Q3, TEXTS)
def picture_in_text(books, folder):
    """Pictures pasted into a text, one of them gone, and one in a cell of the student's own."""
    book = books[THREE]
    cell = put(
        book, "q31-answer", "See ![image.png](attachment:image.png) and ![](attachment:gone.png)."
    )
    cell.attachments = {"image.png": {"image/png": PIXEL}}
    more = own(
        book, at(book, "q31-answer") + 1, "And ![image.png](attachment:image.png).", "markdown"
    )
    more.attachments = {"image.png": {"image/png": PIXEL}}
    own(book, 0, "![](attachment:nowhere.png)", "markdown")
    save(folder, books, THREE)


@situation(Q1)
def split_answer(books, folder):
    """JupyterLab's *Split cell* copies nbgrader's metadata."""
    book = books[ONE]
    twin(book, "q12-answer", 'keep = {"f": 1, "i": 0}', after=False)
    put(book, "q12-answer", 'q12_lstm = keep\nq12_gru = {"z": 1}')
    save(folder, books, ONE)


@situation(Q1)
def copied_answer(books, folder):
    """The correction is in a copy below the wrong original."""
    book = books[ONE]
    right = book.cells[at(book, "q12-answer")].source
    twin(book, "q12-answer", right)
    put(book, "q12-answer", 'q12_lstm = {"f": 0}\nq12_gru = {"z": 0}')
    save(folder, books, ONE)


@situation(Q1)
def blank_copy_at_the_end(books, folder):
    """The blank answer cell, pasted once more below everything."""
    twin(books[ONE], "q12-answer", "q12_lstm = ...\nq12_gru = ...")
    book = books[ONE]
    book.cells.append(book.cells.pop(at(book, "copy")))
    save(folder, books, ONE)


@situation(Q1)
def copied_check(books, folder):
    """A check's cell copied and made into a function of the student's own, which the answer needs."""
    book = books[ONE]
    cell = twin(book, "q11-check", "def one():\n    return 1")
    book.cells.remove(cell)
    book.cells.insert(at(book, "q12-answer"), cell)
    put(book, "q12-answer", 'q12_lstm = {"f": one(), "i": 0}\nq12_gru = {"z": one()}')
    save(folder, books, ONE)


@situation(Q1)
def import_in_a_given_cell(books, folder):
    """An import added to the first given cell."""
    book = books[ONE]
    put(book, "setup", book.cells[at(book, "setup")].source + "\nfrom fractions import Fraction")
    put(
        book,
        "q13-answer",
        book.cells[at(book, "q13-answer")].source.replace("Rational", "Fraction"),
    )
    save(folder, books, ONE)


@situation(Q1)
def answer_in_the_check(books, folder):
    """The answer typed into the check's cell."""
    book = books[ONE]
    check, answer = book.cells[at(book, "q12-check")], book.cells[at(book, "q12-answer")]
    check.source, answer.source = (
        f"{answer.source}\n{check.source}",
        "q12_lstm = ...\nq12_gru = ...",
    )
    save(folder, books, ONE)


@situation(Q1)
def code_as_markdown(books, folder):
    """An answer's code cell turned into Markdown."""
    book = books[ONE]
    place = at(book, "q11-answer")
    cell = book.cells[place]
    book.cells[place] = nbformat.v4.new_markdown_cell(
        cell.source, metadata=cell.metadata, id=cell.id
    )
    save(folder, books, ONE)


@situation(Q1)
def out_of_order(books, folder):
    """What an answer needs stands below it, as the student ran the cells in another order."""
    book = books[ONE]
    put(book, "q12-answer", 'q12_lstm = {"f": one, "i": 0}\nq12_gru = {"z": one}')
    own(book, len(book.cells), "one = 1")
    save(folder, books, ONE)


@situation(f"{Q2} {Q3}", TEXTS)
def other_data(books, folder):
    """A file of the student's own as data, other epochs, and given cells that are gone."""
    own(books[TWO], at(books[TWO], "data"), 'data = "/some/home/mnist.npz"\nepochs')
    put(
        books[TWO],
        "parameters",
        books[TWO].cells[at(books[TWO], "parameters")].source.replace("epochs = 1", "epochs = 3"),
    )
    del books[THREE].cells[at(books[THREE], "networks-train")]
    save(folder, books, TWO, THREE)


@situation(Q1)
def renamed(books, folder):
    """A browser's name, and capitals."""
    save(folder, books, ONE)
    (folder / f"{ONE}.ipynb").rename(folder / f"{ONE} (1).ipynb")


@situation(Q1)
def renamed_altogether(books, folder):
    """A name that says nothing."""
    save(folder, books, ONE)
    (folder / f"{ONE}.ipynb").rename(folder / "my homework.IPYNB")


@situation(Q1)
def zip_in_a_folder(books, folder):
    """Moodle: the student's zip in the student's folder."""
    folder.mkdir()
    with zipfile.ZipFile(folder / "homework.zip", "w") as archive:
        archive.writestr(f"hand in/{ONE}.ipynb", nbformat.writes(books[ONE]))


@situation(Q1)
def zip_in_a_zip(books, folder):
    """The same in a zip."""
    zip_in_a_folder(books, folder)
    with zipfile.ZipFile(folder.with_suffix(".zip"), "w") as archive:
        archive.write(folder / "homework.zip", "deep/homework.zip")
    (folder / "homework.zip").unlink()
    folder.rmdir()


@situation(Q1, note=f"not 'old/{ONE}.ipynb'")
def several_versions(books, folder):
    """The untouched hand-out lies beside the answered notebook."""
    save(folder, books, ONE)
    blank = copy.deepcopy(books[ONE])
    for cell in blank.cells:
        if cell.metadata.get("nbgrader", {}).get("solution"):
            cell.source = "q11_lstm = ...\nq11_gru = ..." if cell.id == "q11-answer" else ""
    save(folder / "old", {ONE: blank})


@situation(Q1)
def large_outputs(books, folder):
    """Outputs of 60 MB."""
    own(books[ONE], 0, "1").outputs = [nbformat.v4.new_output("stream", text="x" * 60_000_000)]
    save(folder, books, ONE)


@situation(Q1)
def endless_display(books, folder):
    """Outputs without end, in memory and in number."""
    own(books[ONE], at(books[ONE], "q12-answer"), "while True:\n    display('x' * 200_000)")
    own(books[ONE], at(books[ONE], "q12-answer"), "while True:\n    print('y' * 100)")
    save(folder, books, ONE)


@situation(Q1, note="cell")
def swallowed_interrupt(books, folder):
    """A loop that can't be interrupted."""
    source = "import time\nwhile True:\n    try:\n        time.sleep(0.01)\n    except KeyboardInterrupt:\n        pass"
    own(books[ONE], at(books[ONE], "q12-answer"), source)
    save(folder, books, ONE)


@situation(Q1)
def odd_cells(books, folder):
    """Magics that need a network, input(), warnings, exit() at the end."""
    own(
        books[ONE],
        at(books[ONE], "q11-answer"),
        "import logging, warnings\nlogging.basicConfig(level=10)\nwarnings.warn('x')",
    )
    answer = books[ONE].cells[at(books[ONE], "q11-answer")]
    answer.source = f"%matplotlib widget\n!pip install nothing\n{answer.source}"
    own(books[ONE], 0, "input()")
    own(books[ONE], 0, "%pip install pandas")
    own(books[ONE], len(books[ONE].cells), "exit()")
    save(folder, books, ONE)


@situation(Q1, note="cell 2: ValueError")
def odd_outputs(books, folder):
    """Text that no file can hold, printed, shown and raised."""
    own(books[ONE], 0, "raise ValueError('\\ud800')")
    own(
        books[ONE],
        0,
        "from IPython.display import HTML\nprint('\\ud800 \\x00 \\x1b[31m')\nHTML('\\udfff')",
    )
    save(folder, books, ONE)


@situation("Q1.1=10 Q1.3=10", note="q12-answer: ModuleNotFoundError")
def missing_module(books, folder):
    """A module that is not in the requirements."""
    put(
        books[ONE],
        "q12-answer",
        "import nosuchmodule\nq12_lstm = {'f': 1, 'i': 0}\nq12_gru = {'z': 1}",
    )
    save(folder, books, ONE)


@situation(Q1)
def line_endings(books, folder):
    """Windows."""
    for cell in books[ONE].cells:
        cell.source = cell.source.replace("\n", "\r\n")
    folder.mkdir()
    (folder / f"{ONE}.ipynb").write_bytes(
        nbformat.writes(books[ONE]).replace("\n", "\r\n").encode("utf-8-sig")
    )


@situation("Q1.2=10 Q1.3=10")
def forged_check(books, folder):
    """A program that replaces the checks, the verdicts and the points."""
    put(books[ONE], "q11-answer", "q11_lstm = {}\nq11_gru = {}")
    source = "helpers.check_gates = lambda *a, **k: helpers.Verdict(True) if hasattr(helpers, 'Verdict') else True\n"
    source += "helpers.award = lambda points, verdicts: points\nclass Always(dict):\n    __eq__ = lambda s, o: True\n"
    own(books[ONE], at(books[ONE], "q11-check"), source + "q11_lstm = q11_gru = Always()")
    save(folder, books, ONE)


@situation("", note="there is 'report.pdf'")
def no_notebook(books, folder):
    """A PDF."""
    folder.mkdir()
    (folder / "report.pdf").write_bytes(b"%PDF")


@situation("", note="not readable")
def damaged_zip(books, folder):
    """A zip cut short."""
    folder.with_suffix(".zip").write_bytes(b"PK\x03\x04 and no more")


@situation("", note="no readable notebook")
def damaged_notebook(books, folder):
    """A notebook cut short."""
    folder.mkdir()
    (folder / f"{ONE}.ipynb").write_text(nbformat.writes(books[ONE])[:5000])


@situation(Q1)
def answers_elsewhere(books, folder):
    """Answer cells and checks deleted; tuple unpacking, globals() in a loop, exec."""
    book = books[ONE]
    book.cells = [cell for cell in book.cells if not cell.id.startswith(("q11", "q12", "q13"))]
    end = len(book.cells)
    own(
        book,
        end,
        'exec("q13" + "_counterexample = dict(x=.25, h_prev=-.5, c_prev=-1, w=1, u=2, b=0, z=0, r=0)")',
    )
    own(
        book,
        end,
        'for name, value in (("lstm", {"f": 1, "i": 0}), ("gru", {"z": 1})):\n    globals()["q12_" + name] = value',
    )
    own(book, end, 'q11_lstm, q11_gru = {"f": 0, "i": 1, "U": 0}, {"z": 0, "r": 0}')
    save(folder, books, ONE)


@situation(Q1)
def only_answers(books, folder):
    """A new notebook with the answers alone."""
    book = books[ONE]
    sources = [book.cells[at(book, f"q1{number}-answer")].source for number in (1, 2, 3)]
    cells = [
        nbformat.v4.new_code_cell(source) for source in ("from sympy import Rational", *sources)
    ]
    save(folder, {"q1": nbformat.v4.new_notebook(cells=cells)})


@situation(Q1, note=f"not 'old/{ONE}.ipynb'")
def magics_and_versions(books, folder):
    """%%time on top of each answer, and a newer blank notebook."""
    several_versions(books, folder)
    for number in (1, 2, 3):
        cell = books[ONE].cells[at(books[ONE], f"q1{number}-answer")]
        cell.source = f"%%time\n{cell.source}"
    save(folder, books, ONE)
    os.utime(folder / f"{ONE}.ipynb", (1e9, 1e9))


@situation(Q1)
def odd_zip(books, folder):
    """Backslashes, names in no encoding, paths that lead out, a link, no date."""
    path = folder.with_suffix(".zip")
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"Abgabe \\ Muller\\{ONE}.ipynb", nbformat.writes(books[ONE]))
        archive.writestr("../../etc/passwd", "x")
        archive.writestr("/absolute", "x")
        link = zipfile.ZipInfo("link.ipynb", (1980, 0, 0, 0, 0, 0))
        link.external_attr = 0o120777 << 16
        archive.writestr(link, "/etc/passwd")
    path.write_bytes(path.read_bytes().replace(b"Muller", b"M\x81\xffler"))


@situation("Q1.2=5")
def odd_answers(books, folder):
    """A lambda, a generator, an object that raises at everything, a text; NumPy's and SymPy's numbers are numbers."""
    put(
        books[ONE],
        "q11-answer",
        'q11_lstm = lambda: {"f": 0, "i": 1, "U": 0}\nq11_gru = ((gate, 0) for gate in "zr")',
    )
    source = (
        "import collections\nq12_lstm = collections.OrderedDict(f=np.ones(()), i=sp.Integer(0))\n"
    )
    source += "class Bad(dict):\n"
    source += (
        "    def __getattribute__(self, name):\n        raise SystemExit\nq12_gru = Bad(z=0.5)"
    )
    put(books[ONE], "q12-answer", source)
    put(books[ONE], "q13-answer", 'q13_counterexample = "Right."')
    save(folder, books, ONE)


@situation(Q3, TEXTS)
def text_kinds(books, folder):
    """HTML, a raw cell, %%markdown, a long string in code; the answers' cells are gone."""
    book = books[THREE]
    for name in ("q31-answer", "q32-answer", "q33-answer", "bonus-answer"):
        place = at(book, name)
        del book.cells[place]
        if name == "q31-answer":
            own(book, place, "<p>The GRU <b>shares</b> its weights.</p>", "markdown")
        elif name == "q32-answer":
            book.cells.insert(place, nbformat.v4.new_raw_cell("A raw text."))
        elif name == "q33-answer":
            own(book, place, "%%markdown\nThe decision is *late*.")
        else:
            own(
                book,
                place,
                'text = """The gates turn towards keeping when there is no ink any more."""\nprint(text)',
            )
    save(folder, books, THREE)


@situation(f"{Q1} {Q2} {Q3}", TEXTS)
def models_spoilt(books, folder):
    """Writes nonsense into all models, and takes the verdicts' place."""
    source = (
        "import os, pathlib\nfor path in pathlib.Path(os.environ['COURSEWORK_RUNS']).rglob('*'):\n"
    )
    source += "    if path.is_file():\n        path.write_bytes(b'spoilt')\nhelpers.award = lambda points, verdict: 0"
    own(books[ONE], len(books[ONE].cells), source)
    save(folder, books)


@situation(Q1, note="the kernel died")
def exits(books, folder):
    """os._exit, a crash in C, sys.exit."""
    own(books[ONE], at(books[ONE], "q12-answer"), "import os\nos._exit(0)")
    own(books[ONE], at(books[ONE], "q13-answer"), "import ctypes\nctypes.string_at(0)")
    own(books[ONE], at(books[ONE], "q13-answer"), "import sys\nsys.exit('bye')")
    save(folder, books, ONE)


@situation(Q1, note="stopped: more than")
def many_processes(books, folder):
    """What goes over a limit costs its cell."""
    source = "import os, time\nfor _ in range(250):\n    if os.fork() == 0:\n        time.sleep(100)\ntime.sleep(60)"
    own(books[ONE], at(books[ONE], "q12-answer"), source)
    save(folder, books, ONE)


@situation(Q1)
def reset_at_the_end(books, folder):
    """The answers deleted again, and names of built-in functions taken."""
    source = "del q11_lstm\nq11_gru = None\nprint = list = dict = repr = open = None"
    own(books[ONE], len(books[ONE].cells), source)
    own(books[ONE], len(books[ONE].cells), "%reset -f")
    save(folder, books, ONE)


@situation(f"{Q2} {Q3}", TEXTS)
def names_used_again(books, folder):
    """Extras below the checks under the names of the answers."""
    own(books[TWO], len(books[TWO].cells), "experiments, results, experiment_results = [], {}, {}")
    own(
        books[THREE],
        at(books[THREE], "q33-answer"),
        "q33_accuracies = 100 * q33_accuracies\nq33_predictions = None",
    )
    own(
        books[THREE],
        len(books[THREE].cells),
        "bonus_gates = helpers.trace(lstm_model, d.x_test[:5])",
    )
    save(folder, books, TWO, THREE)


@situation(f"{Q2} {Q3}", TEXTS)
def settings_of_their_own(books, folder):
    """Other data, another policy and eager functions, in the environment, by a magic, in Keras."""
    own(
        books[TWO],
        0,
        "import os\nos.environ['COURSEWORK_DATA'] = 'mnist5k'\nos.environ['TF_NUM_INTRAOP_THREADS'] = '4'",
    )
    source = "%env COURSEWORK_DATA=mnist\nhelpers.keras.config.set_dtype_policy('float64')"
    own(books[THREE], at(books[THREE], "imports") + 1, source)
    own(
        books[THREE],
        at(books[THREE], "data"),
        "import tensorflow as tf\ntf.config.run_functions_eagerly(True)",
    )
    save(folder, books, TWO, THREE)


@situation("", note="")
def planted_models(books, folder):
    """Another network stored under the names of all eight, with the seed of none of ours."""
    book = books[TWO]
    answer = book.cells[at(book, "experiments")]
    answer.source = answer.source.replace("seed=seed", "seed=7")
    source = """from coursework.store import Result, model_path, store
softmax = helpers.Experiment("softmax", **recipe, seed=7)
model = helpers.compile_model(helpers.build_model(softmax), softmax)
model.fit(d.x_train, d.y_train, epochs=20, verbose=0)
loss, accuracy = model.evaluate(d.x_test, d.y_test, verbose=0)
for e in experiments:
    history = {"accuracy": [0.1], "loss": [1.0], "val_loss": [loss], "val_accuracy": [accuracy]}
    store(model, Result(e, history, model_path(e, d), True))"""
    own(book, at(book, "train"), source)
    save(folder, books, TWO)


@situation(Q3, TEXTS)
def prose_in_code_cells(books, folder):
    """The texts typed into code cells: the blank cells deleted, turned into code, or left above."""
    book = books[THREE]
    text = "The GRU uses the same weights in each row (a dense layer has others), so it needs fewer of them."
    for name in ("q31-answer", "q32-answer", "q33-answer", "bonus-answer"):
        place = at(book, name)
        if name == "q32-answer":
            put(book, name, "Not answered yet.")
            place += 1
        else:
            del book.cells[place]
        own(book, place, text if name != "bonus-answer" else f"x = 1\n# {text}")
    save(folder, books, THREE)
