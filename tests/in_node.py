"""The page's script in node, without a browser: whatever is computed there comes back as arrays."""

import base64
import json
import shutil
import subprocess

import numpy as np
import pytest

from coursework import reader

NODE = shutil.which("node")
needs_node = pytest.mark.skipif(
    not NODE, reason="needs node, which runs the reader's script without a browser"
)
PUT = """
const answer = {};
const put = (name, values) => {
  const bytes = new Uint8Array(Float64Array.from(values).buffer);
  let text = "";
  for (let k = 0; k < bytes.length; k += 30000) text += String.fromCharCode(...bytes.subarray(k, k + 30000));
  answer[name] = btoa(text);
};
const flat = (image) => image.flatMap((row) => [...row]);
"""


def script(code, data):
    """`code` with all of the page's script as `reader` and with `data`, as an expression; gives what was `put`."""
    source = base64.b64encode(reader.script().encode()).decode()
    head = f"const reader = await import('data:text/javascript;base64,{source}'); const data = {json.dumps(data)};"
    return f"(async () => {{ {head} {PUT} {code}; return JSON.stringify(answer); }})()"


def arrays(answer):
    """{name: flat array of float64}, of what was `put`."""
    return {
        name: np.frombuffer(base64.b64decode(text)) for name, text in json.loads(answer).items()
    }


def node(code, data=None):
    program = f"console.log(await {script(code, data)});"
    command = [NODE, "--input-type=module"]
    result = subprocess.run(command, input=program, capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stderr
    return arrays(result.stdout)


STEPS = """
const [{ units, shapes }] = data.layers, all = reader.floats(data.weights);
let start = 0;
const weights = {};
for (const [name, shape] of shapes) {
  weights[name] = all.subarray(start, (start += shape.reduce((a, b) => a * b)));
}
const step = reader.compileStep(data.cell, units, weights);
const found = data.x.map((rows) => {
  let state = { h: new Float64Array(units), c: new Float64Array(units) };
  return rows.map((row) => (state = step(row, state, data.hold)));
});
for (const name of Object.keys(found[0][0])) put(name, found.flat().flatMap((state) => [...state[name]]));
"""


def run_in_node(cell, weights, x, hold=None):
    """{each gate, g, (c), h: (N, T, units)} of a Cell by the page's arithmetic, for x (N, T, features).

    `weights` are those of `named_weights`; `hold` is a dict from gate to a number.
    """
    layer, packed = reader.pack_weights(weights)
    data = {"cell": reader.page_cell(cell), "layers": [layer], "weights": reader._floats(packed)}
    found = node(STEPS, data | {"x": x.tolist(), "hold": hold or {}})
    return {name: values.reshape(*x.shape[:2], layer["units"]) for name, values in found.items()}
