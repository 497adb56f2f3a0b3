// Draw a digit, and watch a trained LSTM or GRU read it row by row.
//
// One module without dependencies, on the anywidget contract: Jupyter runs it as a widget, and reader.py writes it into
// a page. The first half is arithmetic that needs no browser (tests/test_reader.py runs it in node); the second half is
// what one sees. Rows are time steps, counted from 1 on the screen and from 0 in arrays.

export const ROWS = 28; // rows of an image, and pixels of a row
export const BLANK = 12; // blank rows that 'keep reading' adds
export const PAD = 4 * ROWS; // the drawing pad has 4 x 4 points for each pixel
export const PEN = 5.5; // radius of the pen, in points of the pad
const THRESHOLD = 0.1; // the sheet's: a pixel with more ink than this is 1

// --- Weights ---------------------------------------------------------------------------------------------------------

const bytes = (base64) => Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));

/** float32 numbers from base64. DataView, because the bytes are little-endian whatever the machine is. */
export function floats(base64) {
  const view = new DataView(bytes(base64).buffer);
  return new Float32Array(view.byteLength / 4).map((_, k) => view.getFloat32(4 * k, true));
}

/** Cut a network's weights into the arrays that Keras names, in Keras's order. */
export function openNetwork({ label, cell, layers, shapes, weights, probe }) {
  const all = floats(weights);
  let start = 0;
  const arrays = shapes.map((shape) => all.subarray(start, (start += shape.reduce((a, b) => a * b))));
  const recurrent = [], dense = [];
  while (recurrent.length < layers) {
    const [kernel, recurrentKernel, bias] = arrays.splice(0, 3);
    recurrent.push({ kernel, recurrentKernel, bias, units: shapes[3 * recurrent.length + 1][0] });
  }
  while (arrays.length) {
    const [kernel, bias] = arrays.splice(0, 2);
    dense.push({ kernel, bias });
  }
  return { label, cell, recurrent, dense, probe: probe ? floats(probe) : null };
}

// --- The network -----------------------------------------------------------------------------------------------------

const range = (n) => Array.from({ length: n }, (_, k) => k);
const inRange = (value, low, high) => Math.min(Math.max(value, low), high);
const zeros = (n) => new Float64Array(n);
const each = (n, value) => zeros(n).map((_, k) => value(k));
const sigmoid = (a) => 1 / (1 + Math.exp(-a));
const relu = (a) => Math.max(a, 0);

/** x W + b, with W (inputs x outputs) stored row by row. */
export function affine(x, kernel, bias) {
  const y = Float64Array.from(bias);
  const n = y.length;
  for (let i = 0; i < x.length; i++) {
    if (x[i] === 0) continue; // most pixels are blank
    for (let j = 0; j < n; j++) y[j] += x[i] * kernel[i * n + j];
  }
  return y;
}

/** One step of Keras's LSTM; its kernels hold input gate, forget gate, candidate and output gate side by side. */
export function lstmStep({ kernel, recurrentKernel, bias }, x, { h, c }) {
  const n = h.length;
  const fromX = affine(x, kernel, bias);
  const fromH = affine(h, recurrentKernel, zeros(4 * n));
  const total = (block, k) => fromX[block * n + k] + fromH[block * n + k];
  const i = each(n, (k) => sigmoid(total(0, k)));
  const f = each(n, (k) => sigmoid(total(1, k)));
  const g = each(n, (k) => Math.tanh(total(2, k)));
  const o = each(n, (k) => sigmoid(total(3, k)));
  const newC = each(n, (k) => f[k] * c[k] + i[k] * g[k]);
  return { i, f, g, o, c: newC, h: each(n, (k) => o[k] * Math.tanh(newC[k])) };
}

/** One step of Keras's GRU; its kernels hold update gate, reset gate and candidate side by side. */
export function gruStep({ kernel, recurrentKernel, bias }, x, { h }) {
  const n = h.length;
  const resetAfter = bias.length === 6 * n; // Keras's default: a second bias, which the reset gate multiplies too
  const fromX = affine(x, kernel, bias.subarray(0, 3 * n));
  const fromH = affine(h, recurrentKernel, resetAfter ? bias.subarray(3 * n) : zeros(3 * n));
  const z = each(n, (k) => sigmoid(fromX[k] + fromH[k]));
  const r = each(n, (k) => sigmoid(fromX[n + k] + fromH[n + k]));
  const resetFirst = resetAfter ? null : affine(each(n, (k) => r[k] * h[k]), recurrentKernel, zeros(3 * n));
  const past = (k) => (resetAfter ? r[k] * fromH[2 * n + k] : resetFirst[2 * n + k]);
  const g = each(n, (k) => Math.tanh(fromX[2 * n + k] + past(k)));
  return { z, r, g, h: each(n, (k) => z[k] * h[k] + (1 - z[k]) * g[k]) };
}

export function softmax(logits) {
  const top = Math.max(...logits);
  const powers = logits.map((a) => Math.exp(a - top));
  const sum = powers.reduce((a, b) => a + b);
  return powers.map((p) => p / sum);
}

/** What a network computes over `rows`: {layers, head, probe}, each with one entry per row.
 *
 * layers[k][t] holds the gates and states of recurrent layer k; head[t] the ten probabilities that the classification
 * layers read from the last layer's h, as if row t were the last; probe[t] those of the linear probe, which has weights
 * for each of the 28 rows of an image (null where none was fitted). */
export function read(network, rows) {
  const step = network.cell === "LSTM" ? lstmStep : gruStep;
  let inputs = rows;
  const layers = network.recurrent.map((weights) => {
    let state = { h: zeros(weights.units), c: zeros(weights.units) };
    const states = inputs.map((x) => (state = step(weights, x, state)));
    inputs = states.map(({ h }) => h);
    return states;
  });
  const logits = (h) => network.dense.reduce((x, { kernel, bias }) => affine(x.map(relu), kernel, bias), h);
  const size = 10 * (inputs[0].length + 1); // of one row's probe: a weight per unit and class, then the biases
  const probed = (h, t) => {
    const part = network.probe.subarray(t * size, (t + 1) * size);
    return softmax(affine(h, part, part.subarray(size - 10)));
  };
  return {
    layers,
    head: inputs.map((h) => softmax(logits(h))),
    probe: network.probe && inputs.slice(0, ROWS).map(probed),
  };
}

export const mostProbable = (probabilities) => probabilities.indexOf(Math.max(...probabilities));

/** After how many of the 28 rows the answer has its last value and never changes again: the commit step. */
export function commitStep(probabilities) {
  const answers = probabilities.slice(0, ROWS).map(mostProbable);
  const last = answers.at(-1);
  return answers.findLastIndex((answer) => answer !== last) + 2;
}

// --- Ink -------------------------------------------------------------------------------------------------------------

/** A stroke of the pen from (x0, y0) to (x1, y1), in points of the pad, with an edge that is one point soft. */
export function stroke(ink, [x0, y0], [x1, y1]) {
  const [dx, dy] = [x1 - x0, y1 - y0];
  const length2 = dx * dx + dy * dy || 1;
  const inside = (v) => inRange(Math.round(v), 0, PAD);
  for (let y = inside(Math.min(y0, y1) - PEN - 1); y < inside(Math.max(y0, y1) + PEN + 1); y++) {
    for (let x = inside(Math.min(x0, x1) - PEN - 1); x < inside(Math.max(x0, x1) + PEN + 1); x++) {
      const [px, py] = [x + 0.5 - x0, y + 0.5 - y0];
      const along = inRange((px * dx + py * dy) / length2, 0, 1);
      const distance = Math.hypot(px - along * dx, py - along * dy);
      ink[y * PAD + x] = Math.max(ink[y * PAD + x], inRange(PEN + 0.5 - distance, 0, 1));
    }
  }
}

/** The part of the pad that has ink, or null. */
function inkBox(ink) {
  let [top, left, bottom, right] = [PAD, PAD, 0, 0];
  ink.forEach((value, k) => {
    if (value === 0) return;
    const [y, x] = [Math.floor(k / PAD), k % PAD];
    [top, bottom] = [Math.min(top, y), Math.max(bottom, y + 1)];
    [left, right] = [Math.min(left, x), Math.max(right, x + 1)];
  });
  return bottom ? { top, left, height: bottom - top, width: right - left } : null;
}

/** Mean ink of a box of the pad in each of rows x columns equal parts. */
function scaled(ink, { top, left, height, width }, rows, columns) {
  const overlap = (start, end, k) => Math.min(end, k + 1) - Math.max(start, k);
  const [dy, dx] = [height / rows, width / columns];
  return Array.from({ length: rows }, (_, i) =>
    each(columns, (j) => {
      let sum = 0;
      for (let y = Math.floor(i * dy); y < (i + 1) * dy && y < height; y++) {
        for (let x = Math.floor(j * dx); x < (j + 1) * dx && x < width; x++) {
          const share = overlap(i * dy, (i + 1) * dy, y) * overlap(j * dx, (j + 1) * dx, x);
          sum += share * ink[(top + y) * PAD + left + x];
        }
      }
      return sum / (dx * dy);
    }),
  );
}

/** The pad as an image, 28 rows of 28, every pixel with the mean of its ink. */
export const asDrawn = (ink) => scaled(ink, { top: 0, left: 0, height: PAD, width: PAD }, ROWS, ROWS);

/** The pad as MNIST's images were made: the ink fits 20 x 20 pixels, and its centre of mass is on pixel 14, 14. */
export function asMnist(ink) {
  const box = inkBox(ink);
  if (!box) return asDrawn(ink);
  const size = (length) => Math.max(1, Math.round((20 * length) / Math.max(box.height, box.width)));
  const [rows, columns] = [size(box.height), size(box.width)];
  const small = scaled(ink, box, rows, columns);
  const mass = small.flatMap((row, i) => Array.from(row, (value, j) => [value, value * i, value * j]));
  const [sum, sumI, sumJ] = [0, 1, 2].map((part) => mass.reduce((total, entry) => total + entry[part], 0));
  // Half a pixel is rounded down, with room for rounding errors: a full box of 20 gets margins of 4 on both sides.
  const start = (length, centre) => inRange(Math.ceil(13.5 - centre - 1e-6), 0, ROWS - length);
  const [top, left] = [start(rows, sumI / sum), start(columns, sumJ / sum)];
  const image = Array.from({ length: ROWS }, () => zeros(ROWS));
  small.forEach((row, i) => image[top + i].set(row, left));
  return image;
}

/** Plain arrays of 0 and 1, which travel to Python as JSON. */
export const binarized = (image) => image.map((row) => Array.from(row, (value) => (value > THRESHOLD ? 1 : 0)));

/** The 28 rows of an image that travels as 784 bits in base64. */
export function unpackImage(base64) {
  const packed = bytes(base64);
  const bit = (k) => (packed[k >> 3] >> (7 - (k & 7))) & 1;
  return Array.from({ length: ROWS }, (_, y) => each(ROWS, (x) => bit(y * ROWS + x)));
}

// --- What one sees ---------------------------------------------------------------------------------------------------

const STYLE = `
.reader { --row: 9px; --line: #D55E00; font: 15px/1.45 system-ui, sans-serif; max-width: 84rem; }
.reader :is(button, select, input) { font: inherit; }
.reader :focus-visible { outline: 3px solid #56B4E9; outline-offset: 2px; }
.reader label { white-space: nowrap; }
.reader fieldset { border: 0; margin: 0; padding: 0; }
.reader canvas { display: block; image-rendering: pixelated; }
.reader-parts, .reader-strips, .reader-bar, .reader-key { display: flex; flex-wrap: wrap; align-items: flex-start; }
.reader-parts { gap: .6rem 2rem; }
.reader-bar { gap: .4rem .9rem; align-items: center; margin: .5rem 0; }
.reader-bar button { min-width: 5rem; padding: .3rem .7rem; }
.reader-bar [type=number] { width: 4em; }
.reader-bar [type=range] { width: 7em; }
.reader-key { gap: .1rem 1.1rem; font-size: .85em; }
.reader-key svg { width: 2rem; height: .7rem; vertical-align: middle; }
.reader-draw { width: 20rem; max-width: 100%; }
.reader-pad { width: 252px; height: 252px; background: #fff; border: 1px solid #888; cursor: crosshair; touch-action: none; }
.reader-images { display: grid; grid-template-columns: repeat(10, 1fr); gap: 3px; margin: .5rem 0; }
.reader-images button { padding: 0; border: 1px solid #888; background: #fff; cursor: pointer; }
.reader-images button[aria-pressed=true] { outline: 3px solid var(--line); }
.reader-images canvas { width: 100%; }
.reader-read { flex: 1 1 24rem; min-width: 0; max-width: 52rem; }
.reader-say { min-height: 4.4em; margin: .4rem 0; font-size: 1.07em; }
.reader-scrub { display: flex; gap: .8rem; align-items: center; }
.reader-scrub input { flex: 1; min-width: 0; }
.reader-scrub output { width: 4em; font-variant-numeric: tabular-nums; }
.reader-chances { display: grid; grid-template-columns: repeat(10, 1fr); height: 8.5rem; max-width: 36rem; margin: .6rem 0 .2rem; padding: 0; list-style: none; }
.reader-chances li { display: grid; grid-template-rows: 1fr auto auto; text-align: center; line-height: 1.25; min-width: 0; }
.reader-chances div { position: relative; border-bottom: 1px solid #888; }
.reader-chances i { position: absolute; left: 20%; right: 20%; bottom: 0; background: #999; }
.reader-chances b { position: absolute; left: 8%; right: 8%; height: 0; border-top: 2px dashed; }
.reader-chances small { font-size: .75em; font-variant-numeric: tabular-nums; }
.reader-chances [aria-current] span { font-weight: bold; text-decoration: underline; text-underline-offset: .15em; }
.reader-strips { gap: 1rem; margin: 1rem 0 .6rem; }
.reader-strips figure { margin: 0; flex: 1 1 7.5rem; max-width: 17rem; }
.reader-strips .reader-classes { flex: 1 1 7rem; max-width: 10rem; }
.reader-strips .reader-image { flex: 0 0 auto; max-width: none; margin: 0 4.6rem 0 1.6rem; }
.reader-strips figcaption { font-size: .85em; line-height: 1.25; height: 2.5em; display: flex; align-items: end; padding-bottom: .3em; }
.reader-strip { position: relative; background: #8883; }
.reader-strip canvas { width: 100%; height: calc(var(--row) * var(--rows)); }
.reader-image .reader-strip { width: calc(var(--row) * 28); background: #fff; outline: 1px solid #888; cursor: pointer; }
.reader-units canvas { cursor: pointer; }
.reader-cursor { position: absolute; left: 0; right: 0; height: 0; border-top: 2px solid var(--line); pointer-events: none; }
.reader-unit { position: absolute; top: 100%; border: .3rem solid transparent; border-bottom-color: currentColor; margin: -.25rem 0 0 -.3rem; }
.reader-mark, .reader-tick { position: absolute; font-size: .78em; line-height: 1; white-space: nowrap; transform: translateY(-50%); }
.reader-mark { left: 100%; padding-left: .15rem; }
.reader-mark::before { content: ""; display: inline-block; border: solid transparent; border-width: .3rem .35rem .3rem 0; border-right-color: var(--line); margin-right: .2rem; }
.reader-tick { right: 100%; padding-right: .35rem; }
.reader-digits { display: grid; grid-template-columns: repeat(10, 1fr); font-size: .7em; line-height: 1.5; text-align: center; }
.reader-scale { display: flex; gap: .3rem; align-items: center; font-size: .85em; line-height: 1; margin-top: .6rem; }
.reader-digits + .reader-scale { margin-top: 0; }
.reader-scale span { flex: 0 1 5rem; height: .5rem; }
.reader-chart { max-width: 60rem; }
.reader-curves { display: grid; grid-template: "top curves" 1fr "low curves" auto "none rows" auto / 2.4rem 1fr; font-size: .78em; line-height: 1; }
.reader-curves svg { grid-area: curves; width: 100%; height: 9rem; border: solid #888; border-width: 0 0 1px 1px; box-sizing: border-box; }
.reader-curves [data-rows] { grid-area: rows; display: flex; justify-content: space-between; padding: .3rem 0 .5rem; }
.reader-chart polyline, .reader-chart line { fill: none; stroke-width: 2; vector-effect: non-scaling-stroke; }
@media (max-width: 30rem) { .reader-strips figure:not(.reader-image) { --row: 5px; } .reader-say { min-height: 8.8em; } .reader-strips .reader-image { margin-right: 3.5rem; } }
`;
const STRIPS = { LSTM: ["h", "c", "i", "f", "o"], GRU: ["h", "z", "r"] };
const DASHES = { h: "", c: "", g: "2 3", i: "8 3", f: "10 3 2 3", o: "4 2", z: "10 3 2 3", r: "8 3" };
const SPEEDS = { slow: 2, normal: 6, fast: 20 }; // rows per second
const OPENING = 10; // rows read when the page opens: something to see, and something left to predict

/** An HTML element with attributes (a function listens to the event of that name) and children. */
function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") element.addEventListener(name, value);
    else if (value !== false) element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
}

function choice(options, chosen, listener) {
  const select = make("select", { change: () => listener(select.selectedIndex) });
  select.append(...options.map((option) => make("option", {}, option)));
  select.selectedIndex = chosen;
  return select;
}


/** Paint values[t][k] as one pixel each; colour(value, t) gives [red, green, blue, opacity]. */
function paint(canvas, values, colour) {
  [canvas.width, canvas.height] = [values[0].length, values.length];
  const image = new ImageData(canvas.width, canvas.height);
  values.forEach((row, t) => row.forEach((v, k) => image.data.set(colour(v, t), 4 * (t * row.length + k))));
  canvas.getContext("2d").putImageData(image, 0, 0);
}

/** An image of the content on the pad: its strokes drawn with the pen, or its pixels, each as 4 x 4 points. */
export function padOf({ strokes, pixels }) {
  const ink = zeros(PAD * PAD);
  if (pixels) {
    const rows = unpackImage(pixels);
    return ink.map((_, k) => rows[Math.floor(k / PAD / 4)][Math.floor((k % PAD) / 4)]);
  }
  for (const points of strokes) points.forEach((point, k) => stroke(ink, points[Math.max(k - 1, 0)], point));
  return ink;
}

const inkColour = (value) => [0, 0, 0, 255 * value];
const percent = (share) => `${100 * share}%`;
const format = (value, digits = Number.isInteger(value) ? 0 : 1) => value.toFixed(digits).replace("-", "\u2212");
const rowsOf = (values, width) => range(values.length / width).map((t) => values.subarray(t * width, (t + 1) * width));
const button = (text, click) => make("button", { type: "button", click }, text);

class Reader {
  constructor(model, content) {
    Object.assign(this, { model, content });
    this.viridis = bytes(content.viridis);
    this.pads = content.images.map(padOf);
    this.likeMnist = true;
    this.erased = 0; // rows at the bottom whose ink is taken away
    this.blank = 0; // rows read after the last one
    this.speed = SPEEDS.normal;
    this.unit = 0;
    this.timer = null;
    this.root = make("div", { class: "reader", role: "group", "aria-label": "A network reads a digit row by row" });
    this.build();
    this.chosen = Math.max(0, content.images.findIndex(({ label }) => label === 2)); // null for a drawing
    this.ink = this.pads[this.chosen].slice(); // PAD x PAD, from 0 to 1
    this.rewind(OPENING);
    this.openNetwork(0);
  }

  // --- What is read, and how much of the reading has been shown

  /** The network reads what is on the pad now. `finished`: the image is complete, so Python may have it. */
  readAgain(finished = true) {
    const exact = this.chosen !== null && this.content.images[this.chosen].pixels; // a test image stays as it is
    const image = binarized(this.likeMnist && !exact ? asMnist(this.ink) : asDrawn(this.ink));
    image.fill(Array(ROWS).fill(0), ROWS - this.erased);
    this.rows = [...image, ...Array(this.blank).fill(Array(ROWS).fill(0))];
    this.result = read(this.network, this.rows);
    this.goTo(this.step);
    if (!finished) return;
    this.model.set("image", image);
    this.model.save_changes();
  }

  openNetwork(number) {
    this.network = openNetwork(this.content.networks[number]);
    this.layer = this.network.recurrent.length - 1;
    this.buildStrips();
    if (this.chosen !== null) this.rewind(OPENING);
    this.readAgain();
  }

  choose(number) {
    this.chosen = number;
    this.ink = this.pads[number].slice();
    this.rewind(OPENING);
    this.readAgain();
  }

  /** A new drawing on an empty pad; it is shown with its whole reading, while it grows. */
  clear() {
    this.chosen = null;
    this.ink = zeros(PAD * PAD);
    this.rewind(ROWS);
  }

  /** Begin a reading anew: what comes after row `step` stays hidden until it has been played. */
  rewind(step, guess = null) {
    this.pause();
    Object.assign(this, { step, seen: step, guess });
  }

  goTo(step) {
    this.step = inRange(step, 0, this.rows.length);
    this.seen = Math.max(this.seen, this.step);
    if (this.step === this.rows.length) this.pause();
    this.draw();
  }

  play() {
    const from = this.step === this.rows.length ? 0 : this.step;
    this.timer = setInterval(() => this.goTo(this.step + 1), 1000 / this.speed);
    this.goTo(from);
  }

  pause() {
    clearInterval(this.timer);
    this.timer = null;
  }

  /** Note after which row the reader expects the answer to stay, and hide the reading. */
  predict(row) {
    this.rewind(0, inRange(row, 1, ROWS));
    this.draw();
  }

  // --- The parts of the page

  build() {
    this.say = make("p", { class: "reader-say" });
    this.playButton = button("Play", () => {
      if (!this.timer) return this.play();
      this.pause();
      this.draw();
    });
    const step = button("Step", () => {
      this.pause();
      this.goTo(this.step + 1);
    });
    const speed = choice(Object.keys(SPEEDS), 1, (k) => {
      this.speed = Object.values(SPEEDS)[k];
      if (!this.timer) return;
      this.pause();
      this.play();
    });
    const network = choice(this.content.networks.map(({ label }) => label), 0, (k) => this.openNetwork(k));
    this.layers = make("span");
    const scrub = (event) => {
      this.pause();
      this.goTo(Number(event.target.value));
    };
    this.scrubber = make("input", { type: "range", min: 0, "aria-label": "rows read", input: scrub });
    this.position = make("output");
    this.strips = make("div", { class: "reader-strips" });
    this.root.append(
      make("div", { class: "reader-parts" },
        this.buildPad(),
        make("div", { class: "reader-read" },
          make("div", { class: "reader-bar" }, make("label", {}, "network ", network), this.layers),
          this.say,
          make("div", { class: "reader-bar" }, this.playButton, step, make("label", {}, "speed ", speed)),
          make("div", { class: "reader-scrub" }, this.scrubber, this.position),
          this.buildChances())),
      this.strips,
      this.buildChart());
  }

  buildPad() {
    this.pad = make("canvas", { class: "reader-pad", role: "img", "aria-label": "Pad to draw a digit on" });
    let last = null; // where the pen was
    const put = (event) => {
      const box = this.pad.getBoundingClientRect();
      const moves = event.getCoalescedEvents?.() ?? [];
      for (const { clientX, clientY } of moves.length ? moves : [event]) {
        const point = [((clientX - box.left) / box.width) * PAD, ((clientY - box.top) / box.height) * PAD];
        stroke(this.ink, last ?? point, point);
        last = point;
      }
      this.readAgain(false);
    };
    const lift = () => {
      if (last) this.readAgain();
      last = null;
    };
    this.pad.addEventListener("pointerdown", (event) => {
      if (event.button !== 0 || !event.isPrimary) return;
      this.pad.setPointerCapture(event.pointerId);
      if (this.chosen !== null) this.clear();
      this.rewind(this.rows.length);
      put(event);
    });
    this.pad.addEventListener("pointermove", (event) => last && put(event));
    this.pad.addEventListener("pointerup", lift);
    this.pad.addEventListener("pointercancel", lift);
    this.samples = this.content.images.map(({ label }, number) => {
      const picture = make("canvas");
      paint(picture, rowsOf(this.pads[number], PAD), inkColour);
      const name = `a ${label}, image ${number + 1}`;
      return make("button", { type: "button", "aria-label": name, click: () => this.choose(number) }, picture);
    });
    const clear = button("Clear", () => {
      this.clear();
      this.readAgain();
    });
    const option = (text, likeMnist) => {
      const change = () => {
        this.likeMnist = likeMnist;
        this.readAgain();
      };
      const input = make("input", { type: "radio", name: `reader-${id}`, change });
      input.checked = likeMnist === this.likeMnist;
      return make("label", {}, input, ` ${text} `);
    };
    const id = Math.random();
    const erasedRows = make("output", {}, "0 rows");
    const erase = make("input", { type: "range", min: 0, max: ROWS / 2, value: 0, input: () => {
      this.erased = Number(erase.value);
      erasedRows.value = `${this.erased} rows`;
      this.readAgain();
    } });
    const longer = make("input", { type: "checkbox", change: () => {
      this.blank = longer.checked ? BLANK : 0;
      this.readAgain();
    } });
    return make("div", { class: "reader-draw" },
      make("div", {}, "Draw a digit here, or choose one below:"),
      this.pad,
      make("div", { class: "reader-images", role: "group", "aria-label": this.content.source }, ...this.samples),
      make("div", { class: "reader-bar" }, clear, make("fieldset", {}, option("as MNIST", true), option("as drawn", false))),
      make("label", { class: "reader-bar" }, "erase the last ", erase, erasedRows),
      make("label", { class: "reader-bar" }, longer, `keep reading: ${BLANK} blank rows more`));
  }

  buildChances() {
    this.chances = Array.from({ length: 10 }, (_, digit) => {
      const [bar, line, value] = [make("i"), make("b"), make("small")];
      return { bar, line, value, item: make("li", {}, make("div", {}, bar, line), make("span", {}, `${digit}`), value) };
    });
    this.chancesKey = make("div", { class: "reader-key" });
    return make("div", {},
      make("ol", { class: "reader-chances", "aria-label": "class probabilities" }, ...this.chances.map((c) => c.item)),
      this.chancesKey);
  }

  /** A panel for each thing that the network holds, all with time steps downwards and on one scale of rows. */
  buildStrips() {
    const { cell, recurrent, probe } = this.network;
    const { titles } = this.content;
    const { units } = recurrent[0];
    this.unit = Math.min(this.unit, units - 1);
    const layers = choice(recurrent.map((_, k) => `${k + 1}`), this.layer, (k) => {
      this.layer = k;
      this.draw();
    });
    this.layers.replaceChildren(...(recurrent.length > 1 ? [make("label", {}, "layer shown ", layers)] : []));
    this.panels = [
      { title: "image: click a row to predict", values: () => this.rows, kind: "image" },
      { title: "class probabilities by its head", values: () => this.result.head, kind: "classes" },
      ...(probe ? [{ title: "class probabilities by a linear probe", values: () => this.result.probe, kind: "classes" }] : []),
      ...STRIPS[cell].map((name) => ({
        title: titles[name],
        values: () => this.result.layers[this.layer].map((state) => state[name]),
        kind: "units",
        signed: "hc".includes(name),
        name,
      })),
    ];
    const lines = probe ? "; dashed: a linear probe of the same state" : "";
    this.chancesKey.textContent = `bars: the network's own head${lines}; underlined: what the image shows`;
    this.strips.replaceChildren(...this.panels.map((panel) => this.buildPanel(panel)));
    this.unitNumber.max = units;
    this.unitNumber.value = this.unit + 1;
  }

  buildPanel(panel) {
    panel.canvas = make("canvas", { role: "img" });
    panel.cursor = make("div", { class: "reader-cursor" });
    panel.extra = make("div");
    const strip = make("div", { class: "reader-strip" }, panel.canvas, panel.cursor, panel.extra);
    const parts = [make("figcaption", {}, panel.title), strip];
    const place = (event) => {
      const box = panel.canvas.getBoundingClientRect();
      return [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
    };
    if (panel.kind === "image") {
      this.reading = panel;
      const label = "row after which you expect the answer to stay";
      const attributes = { role: "slider", tabindex: 0, "aria-label": label, "aria-valuemin": 1, "aria-valuemax": ROWS };
      for (const [name, value] of Object.entries(attributes)) panel.canvas.setAttribute(name, value);
      panel.canvas.addEventListener("click", (event) => this.predict(Math.ceil(place(event)[1] * this.rows.length)));
      panel.canvas.addEventListener("keydown", (event) => {
        const move = { ArrowUp: -1, ArrowLeft: -1, ArrowDown: 1, ArrowRight: 1 }[event.key];
        if (!move) return;
        event.preventDefault();
        this.predict((this.guess ?? ROWS / 2) + move);
      });
    } else if (panel.kind === "units") {
      panel.canvas.addEventListener("click", (event) => this.showUnit(Math.floor(place(event)[0] * panel.canvas.width)));
    }
    if (panel.kind === "classes") parts.push(make("div", { class: "reader-digits" }, ...range(10).map((k) => make("span", {}, `${k}`))));
    if (panel.kind !== "image") {
      panel.low = make("small");
      panel.high = make("small");
      const stops = [0, 64, 128, 192, 255].map((k) => `rgb(${this.viridis.slice(3 * k, 3 * k + 3).join()})`);
      const colours = make("span", { style: `background: linear-gradient(90deg, ${stops.join()})` });
      parts.push(make("div", { class: "reader-scale" }, panel.low, colours, panel.high));
    }
    return make("figure", { class: `reader-${panel.kind}` }, ...parts);
  }

  showUnit(number) {
    this.unit = inRange(number, 0, this.network.recurrent[0].units - 1);
    this.unitNumber.value = this.unit + 1;
    this.draw();
  }

  buildChart() {
    this.unitNumber = make("input", { type: "number", min: 1, value: 1, input: (event) => this.showUnit(event.target.value - 1) });
    this.chartKey = make("div", { class: "reader-key" });
    this.chart = make("div", { class: "reader-curves", role: "img" });
    return make("div", { class: "reader-chart" },
      make("div", { class: "reader-bar" }, make("label", {}, "hidden unit ", this.unitNumber), "over time; or click a column above"),
      this.chart,
      this.chartKey);
  }

  // --- Drawing what is known after `step` rows

  draw() {
    const { step, rows, root } = this;
    root.style.setProperty("--rows", rows.length);
    this.scrubber.max = rows.length;
    this.scrubber.value = step;
    this.scrubber.setAttribute("aria-valuetext", `${step} of ${rows.length} rows read`);
    this.position.value = `row ${step}`;
    this.playButton.textContent = this.timer ? "Pause" : "Play";
    this.say.setAttribute("aria-live", this.timer ? "off" : "polite");
    this.say.textContent = this.sentence();
    this.samples.forEach((sample, k) => sample.setAttribute("aria-pressed", k === this.chosen));
    paint(this.pad, rowsOf(this.ink, PAD), inkColour);
    this.drawChances();
    this.panels.forEach((panel) => this.drawPanel(panel));
    this.drawMarks();
    this.drawChart();
  }

  /** What the image shows, null where nobody knows. */
  digit() {
    return this.chosen === null ? null : this.content.images[this.chosen].label;
  }

  drawChances() {
    const { head, probe } = this.result;
    const [known, probed] = [head[this.step - 1], probe?.[this.step - 1]];
    const top = known && mostProbable(known);
    const digit = this.digit();
    this.chances.forEach(({ item, bar, line, value }, k) => {
      item.toggleAttribute("aria-current", k === digit);
      bar.style.height = percent(known?.[k] ?? 0);
      bar.style.background = k === top ? this.content.colors[this.network.cell] : "";
      line.hidden = !(probed?.[k] > 0.01); // ten lines on the axis would only be clutter
      line.style.bottom = percent(probed?.[k] ?? 0);
      value.textContent = known ? known[k].toFixed(2) : "";
    });
  }

  drawPanel(panel) {
    const { rows, step, seen } = this;
    const values = panel.values();
    const width = values[0].length;
    let [low, high] = panel.signed ? [-1, 1] : [0, 1];
    if (panel.name === "c") {
      high = Math.max(...values.map((row) => Math.max(...row.map(Math.abs)))) || 1;
      low = -high;
    }
    const opacity = (t) => (t < step ? 255 : t < seen ? 90 : 0);
    const colour = (v, t) => {
      const k = Math.round((255 * (v - low)) / (high - low));
      return [...this.viridis.slice(3 * k, 3 * k + 3), opacity(t)];
    };
    const unread = (v, t) => [0, 0, 0, v * (t < step ? 255 : 60)];
    const missing = Array(width).fill(NaN);
    paint(panel.canvas, rows.map((_, t) => values[t] ?? missing), panel.kind === "image" ? unread : colour);
    panel.cursor.style.top = percent(step / rows.length);
    if (panel.low) panel.low.textContent = format(low);
    if (panel.high) panel.high.textContent = format(high);
    if (panel.kind !== "image") panel.canvas.setAttribute("aria-label", `${panel.title}, after each row read`);
    if (panel.kind === "units") {
      const left = percent((this.unit + 0.5) / width);
      panel.extra.replaceChildren(make("div", { class: "reader-unit", style: `left: ${left}` }));
    }
  }

  /** Beside the image: where the reader expects the answer to stay, and where it does, once all rows were shown. */
  drawMarks() {
    const { head, probe } = this.result;
    const marks = [["you", this.guess]];
    if (this.seen >= ROWS) marks.push(["head", commitStep(head)], ["probe", probe && commitStep(probe)]);
    let free = 0; // labels of neighbouring rows must not lie on each other
    const labels = marks.filter(([, row]) => row !== null).sort((a, b) => a[1] - b[1]).map(([who, row]) => {
      free = Math.max(row - 0.5, free);
      const mark = make("span", { class: "reader-mark", style: `top: ${percent(free / this.rows.length)}` }, `${who} ${row}`);
      free += 1.7;
      return mark;
    });
    const ticks = [1, 7, 14, 21, 28, 34, 40].filter((row) => row <= this.rows.length).map((row) =>
      make("span", { class: "reader-tick", style: `top: ${percent((row - 0.5) / this.rows.length)}` }, `${row}`));
    this.reading.extra.replaceChildren(...labels, ...ticks);
    this.reading.canvas.setAttribute("aria-valuenow", this.guess ?? ROWS / 2);
    this.reading.canvas.setAttribute("aria-valuetext", this.guess ? `row ${this.guess}` : "no row chosen yet");
  }

  drawChart() {
    const { titles, colors } = this.content;
    const shown = this.result.layers[this.layer].slice(0, this.seen);
    const names = [...STRIPS[this.network.cell], "g"];
    // c has no bounds: it is drawn as a share of its largest value.
    const most = Math.max(1, ...shown.map((state) => Math.abs(state.c?.[this.unit] ?? 0)));
    const [width, height] = [this.rows.length, 100];
    const y = (value, name) => (height / 2) * (1 - value / (name === "c" ? most : 1));
    const line = (name, points) =>
      `<polyline points="${points}" stroke="${colors[name] ?? "currentColor"}" stroke-dasharray="${DASHES[name]}"/>`;
    const curve = (name) => line(name, shown.map((state, t) => `${t + 1},${y(state[name][this.unit], name).toFixed(2)}`).join(" "));
    const zero = `<line x1="0" x2="${width}" y1="${y(0)}" y2="${y(0)}" stroke="#888" stroke-width="1"/>`;
    const now = `<line x1="${this.step}" x2="${this.step}" y1="0" y2="${height}" stroke="${colors.GRU}"/>`;
    this.chart.innerHTML = `<span>1</span><span style="grid-area: low">${format(-1)}</span>` +
      `<svg viewBox="0 0 ${width} ${height}" preserveAspectRatio="none">${zero}${names.map(curve).join("")}${now}</svg>` +
      `<div data-rows><span>row 0</span><span>${width}</span></div>`;
    const values = this.step ? this.result.layers[this.layer][this.step - 1] : null;
    const key = (name) => {
      const sample = `<svg viewBox="0 0 32 10">${line(name, "0,5 32,5")}</svg> `;
      const value = values ? ` ${format(values[name][this.unit], 2)}` : "";
      const scale = name === "c" && most > 1 ? ` (drawn on a scale to ${format(most)})` : "";
      return `<span>${sample}${titles[name]}${value}${scale}</span>`;
    };
    this.chartKey.innerHTML = names.map(key).join("");
    const label = `Gates and state of hidden unit ${this.unit + 1} after each of ${shown.length} rows`;
    this.chart.setAttribute("aria-label", label);
  }

  /** What to look for now, in words. */
  sentence() {
    const { step, guess, result, network, rows } = this;
    const said = (t) => mostProbable(result.head[t - 1]);
    const sure = (t) => Math.max(...result.head[t - 1]).toFixed(2);
    const ink = rows.findLastIndex((row) => row.includes(1)) + 1;
    const digit = this.digit();
    const what = digit === null ? "Your drawing" : `This ${digit}`;
    if (!ink) return `There is no ink in any row, and ${network.label} answers all the same: ${said(ROWS)}. Draw a digit.`;
    if (step > ROWS) {
      return `${step - ROWS} blank rows past the last row, where the training never asked for an answer: ` +
        `${network.label} now says ${said(step)} (${sure(step)}). After row ${ROWS} it said ${said(ROWS)} (${sure(ROWS)}).`;
    }
    if (this.seen < ROWS) {
      const now = step ? `After ${step} of ${ROWS} rows of ${what.replace(/^T|^Y/, (a) => a.toLowerCase())}, ${network.label} says ${said(step)} (${sure(step)}). ` :
        `${network.label} has read nothing yet. `;
      return now + (guess ? `You expect its answer to stay from row ${guess} on. ${this.timer ? "" : "Press Play and watch the bars."}` :
        "From which row on will its answer stay the same? Click that row in the image below, then press Play and watch the bars.");
    }
    const right = digit === null ? "" : said(ROWS) === digit ? ", which is right" : `, but it is a ${digit}`;
    const head = commitStep(result.head);
    const yours = guess ? ` (you expected ${guess})` : "";
    const late = head > ink ? `; the ink ends in row ${ink}, so it changed with nothing left to read` : "";
    const probe = result.probe ? ` The probe's answer stays from row ${commitStep(result.probe)} on.` : "";
    const now = step < ROWS && step ? ` After row ${step} it said ${said(step)} (${sure(step)}).` : "";
    return `${what} is read as ${said(ROWS)} (${sure(ROWS)})${right}. The answer stays from row ${head} on${yours}${late}.${probe}${now}`;
  }
}

/** The anywidget contract: show `model` in `el`, and return what ends it. */
function render({ model, el }) {
  const content = model.get("content");
  el.append(make("style", {}, STYLE));
  if (!content?.networks?.length || !content.images?.length) {
    el.append(make("p", {}, "Nothing to show: the reader was given no network or no image."));
    return;
  }
  const reader = new Reader(model, content);
  el.append(reader.root);
  return () => reader.pause();
}

export default { render };
