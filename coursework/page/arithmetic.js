// What a network computes: weights from text, equations from trees, and both over the rows of an image.
//
// A cell comes as data (`Cell.as_data` in formulas.py): its equations are lines of [name, tree], in the order in which
// they are evaluated. A tree is a number, a symbol's name, or [operation, part, ...]. Nothing here knows a cell by name.

export const ROWS = 28; // rows of an image, and pixels of a row

// --- Small tools -----------------------------------------------------------------------------------------------------

export const range = (n) => Array.from({ length: n }, (_, k) => k);
export const inRange = (value, low, high) => Math.min(Math.max(value, low), high);
export const zeros = (n) => new Float64Array(n);
export const each = (n, value) => zeros(n).map((_, k) => value(k));
export const bytes = (base64) => Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
const product = (shape) => shape.reduce((a, b) => a * b, 1);

/** float32 numbers from base64. DataView, because the bytes are little-endian whatever the machine is. */
export function floats(base64) {
  const view = new DataView(bytes(base64).buffer);
  return new Float32Array(view.byteLength / 4).map((_, k) => view.getFloat32(4 * k, true));
}

/** Numbers as reader.py packs them: float32 in base64, or {steps, whole}: whole numbers of sixteen bits in base64, and
 * for each part of them its length and what one step is worth, [[count, step], ...]. */
export function numbers(packed) {
  if (typeof packed === "string") return floats(packed);
  const view = new DataView(bytes(packed.whole).buffer);
  const values = new Float32Array(view.byteLength / 2);
  let k = 0;
  for (const [count, step] of packed.steps) {
    for (const end = k + count; k < end; k++) values[k] = step * view.getInt16(2 * k, true);
  }
  return values;
}

// --- Equations -------------------------------------------------------------------------------------------------------

const OPERATIONS = {
  add: (a, b) => a + b,
  multiply: (a, b) => a * b,
  power: (a, b) => a ** b,
  maximum: Math.max,
  minimum: Math.min,
  sigmoid: (a) => 1 / (1 + Math.exp(-a)),
  tanh: Math.tanh,
  exp: Math.exp,
  log: Math.log,
  sin: Math.sin,
  cos: Math.cos,
  abs: Math.abs,
};

/** x W + b, with W (inputs x outputs) stored row by row. */
export function affine(x, kernel, bias) {
  const y = new Float64Array(bias);
  const n = y.length;
  for (let i = 0; i < x.length; i++) {
    const value = x[i];
    if (value === 0) continue; // most pixels are blank
    const start = i * n;
    for (let j = 0; j < n; j++) y[j] += value * kernel[start + j];
  }
  return y;
}

/** A function from the arrays by name to the array that a tree stands for, `length` numbers.
 *
 * A tree is taken apart once; what is left for each time step are loops over arrays that exist already. */
function compile(tree, length, units, weights) {
  if (typeof tree === "number") {
    const constant = zeros(length).fill(tree);
    return () => constant;
  }
  if (typeof tree === "string") return (known) => known[tree];
  const [operation, ...parts] = tree;
  if (operation === "dot") {
    const [name, vector] = parts;
    const matrix = weights[name];
    const inputs = compile(vector, matrix.length / units, units, weights);
    const nothing = zeros(units);
    return (known) => affine(inputs(known), matrix, nothing);
  }
  const apply = OPERATIONS[operation];
  if (!apply) throw new Error(`the page has no operation ${operation}`);
  const [left, right] = parts.map((part) => compile(part, length, units, weights));
  const result = zeros(length);
  if (!right) {
    return (known) => {
      const values = left(known);
      for (let k = 0; k < length; k++) result[k] = apply(values[k]);
      return result;
    };
  }
  return (known) => {
    const [a, b] = [left(known), right(known)];
    for (let k = 0; k < length; k++) result[k] = apply(a[k], b[k]);
    return result;
  };
}

/** The number that a tree stands for at unit k; `known` has the arrays by name, weights too. */
export function valueAt(tree, k, known, units) {
  if (typeof tree === "number") return tree;
  if (typeof tree === "string") return known[tree][k];
  const [operation, ...parts] = tree;
  if (operation !== "dot") return OPERATIONS[operation](...parts.map((part) => valueAt(part, k, known, units)));
  const [name, vector] = parts;
  const matrix = known[name];
  let sum = 0;
  for (let i = 0; i < matrix.length / units; i++) sum += valueAt(vector, i, known, units) * matrix[i * units + k];
  return sum;
}

/** One time step of a cell: a function of x, the old state {h, c} and what is held, to the arrays of all equations.
 *
 * Weights by name: matrices as (inputs x units), row by row; vectors (units). `hold`: {gate: number}, in place of the
 * gate's equation. */
export function compileStep(cell, units, weights) {
  const lines = cell.lines.map(([name, tree]) => [name, compile(tree, units, units, weights)]);
  return (x, { h, c }, hold = {}) => {
    const known = { ...weights, x, h_prev: h, c_prev: c };
    const values = {};
    for (const [name, formula] of lines) {
      const held = name in hold;
      known[name] = values[name] = held ? zeros(units).fill(hold[name]) : new Float64Array(formula(known));
    }
    return values;
  };
}

// --- The network -----------------------------------------------------------------------------------------------------

/** A network from its packed form, as reader.py makes it; `stage`: number of an epoch's weights, null: the last ones.
 *
 * Without a head it is a cell with weights set by hand, which begins at a state other than 0. */
export function openNetwork(packed, stage = null) {
  const { label, cell, layers, head, weights, probe, epochs, start } = packed;
  const all = numbers(stage === null ? weights : epochs[stage].weights);
  let place = 0;
  const take = (shape) => all.subarray(place, (place += product(shape)));
  const recurrent = layers.map(({ units, shapes }) => {
    const named = Object.fromEntries(shapes.map(([name, shape]) => [name, take(shape)]));
    const first = { h: zeros(units), c: zeros(units) };
    if (start) first[cell.memory] = Float64Array.from(start);
    return { units, weights: named, first, step: compileStep(cell, units, named) };
  });
  const dense = head && head.map(([kernel, bias]) => [take(kernel), take(bias)]);
  const probes = probe && stage === null ? numbers(probe) : null; // the probes were fitted to the last weights
  return { label, cell, recurrent, head: dense, probe: probes };
}

export function softmax(logits) {
  const top = Math.max(...logits);
  const powers = logits.map((a) => Math.exp(a - top));
  const sum = powers.reduce((a, b) => a + b);
  return powers.map((p) => p / sum);
}

const relu = (a) => Math.max(a, 0);

/** The ten probabilities that the classification layers read from an output h. */
function classify(head, h) {
  return softmax(head.reduce((x, [kernel, bias]) => affine(x.map(relu), kernel, bias), h));
}

/** What a network computes over `rows`: {layers, head, probe}, each with one entry per row.
 *
 * layers[k][t] holds the gates and states of recurrent layer k; head[t] the ten probabilities that the classification
 * layers read from the last layer's h, as if row t were the last (null without such layers); probe[t] those of the linear probe, which has weights
 * for each of the 28 rows of an image (null where none was fitted). `hold`, {gate: number}, holds gates at a value, in
 * all layers and at all steps. */
export function read(network, rows, hold = {}) {
  const unknown = Object.keys(hold).find((name) => !network.cell.gates.includes(name));
  if (unknown) throw new Error(`${unknown} is no gate of ${network.label}: ${network.cell.gates.join(", ")}`);
  let inputs = rows;
  const layers = network.recurrent.map(({ first, step }) => {
    let state = first;
    const states = inputs.map((x) => (state = step(x, state, hold)));
    inputs = states.map(({ h }) => h);
    return states;
  });
  const size = 10 * (inputs[0].length + 1); // of one row's probe: a weight per unit and class, then the biases
  const probed = (h, t) => {
    const part = network.probe.subarray(t * size, (t + 1) * size);
    return softmax(affine(h, part, part.subarray(size - 10)));
  };
  return {
    layers,
    head: network.head && inputs.map((h) => classify(network.head, h)),
    probe: network.probe && inputs.slice(0, ROWS).map(probed),
  };
}

// --- Answers ---------------------------------------------------------------------------------------------------------

export const mostProbable = (probabilities) => probabilities.indexOf(Math.max(...probabilities));

/** After how many of the 28 rows the answer has its last value and never changes again: the commit step. */
export function commitStep(probabilities) {
  const answers = probabilities.slice(0, ROWS).map(mostProbable);
  const last = answers[answers.length - 1];
  let step = answers.length;
  while (step > 1 && answers[step - 2] === last) step--;
  return step;
}
