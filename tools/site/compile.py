"""Runs in Pyodide: /packages.zip, which is unpacked in /packages, with the modules that Q1 loads compiled."""

import importlib.util
import json
import sys
import zipfile

sys.dont_write_bytecode = True
sys.path.insert(0, "/packages")

from tools.desk import reply  # noqa: E402

NUMBERS = "x=1, h_prev=0, c_prev=0, w=1, u=1, b=0, z=0, r=0"
EXERCISE = [
    {"ask": "judge", "cell": "LSTM", "question": "keep_state", "answer": "f = 1, i = 1/2"},
    {"ask": "judge", "cell": "GRU", "question": "store_input", "answer": "z = 0, r = 0"},
    {
        "ask": "judge",
        "cell": "GRU",
        "question": "counterexample",
        "answer": NUMBERS,
    },
    {"ask": "show_practice", "seed": 0, "level": 3},
    {"ask": "show_cell", "text": "g = tanh(dot(W, x) + dot(U, h_prev))\nh = g"},
]
for request in EXERCISE:
    reply(json.dumps(request))

FROM = "/packages/"
files = [getattr(module, "__file__", None) or "" for module in sys.modules.values()]
loaded = {file.removeprefix(FROM) for file in files if file.startswith(FROM)}

with (
    zipfile.ZipFile("/packages.zip") as source,
    zipfile.ZipFile("/compiled.zip", "w", zipfile.ZIP_DEFLATED) as target,
):
    for name in source.namelist():
        content = source.read(name)
        if name in loaded:
            code = compile(content, name, "exec", dont_inherit=True)
            content = importlib._bootstrap_external._code_to_timestamp_pyc(code)  # type: ignore[attr-defined]
            name += "c"
        target.writestr(zipfile.ZipInfo(name), content, zipfile.ZIP_DEFLATED)
