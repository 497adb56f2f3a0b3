// Draw a digit, and watch a trained network read it row by row.
//
// Modules without dependencies, on the anywidget contract: reader.py joins them to one script, which Jupyter runs as a
// widget and which stands in the page. page/arithmetic.js and page/ink.js need no browser (tests/test_reader.py runs
// them in node). Rows are time steps, counted from 1 on the screen and from 0 in arrays.

import { ROWS, bytes, commitStep, inRange, mostProbable, openNetwork, range, read, zeros } from "./page/arithmetic.js";
import { PAD, asDrawn, asMnist, binarized, padOf, stroke } from "./page/ink.js";

export * from "./page/arithmetic.js";
export * from "./page/ink.js";

export const BLANK = 12; // blank rows that 'keep reading' adds

// --- What one sees ---------------------------------------------------------------------------------------------------

const PARTS = `
<div class="reader-parts">
  <div class="reader-draw">
    <div>Draw a digit here, or choose one below:</div>
    <canvas name="pad" class="reader-pad" role="img" aria-label="Pad to draw a digit on"></canvas>
    <div name="images" class="reader-images" role="group" aria-label="Images to choose from"></div>
    <div class="reader-bar"><button type="button" name="clear">Clear</button>
      <label>read it <select name="placing"><option>as MNIST</option><option>as drawn</option></select></label></div>
    <label class="reader-bar">erase the last <input name="erased" type="range" max="14" value="0">
      <output name="erasedRows">0 rows</output></label>
    <label class="reader-bar"><input name="longer" type="checkbox">keep reading: ${BLANK} blank rows more</label>
  </div>
  <div class="reader-read">
    <div class="reader-bar"><label>network <select name="network"></select></label>
      <label name="layers">layer shown <select name="layer"></select></label></div>
    <p name="say" class="reader-say"></p>
    <div class="reader-bar"><button type="button" name="play">Play</button>
      <button type="button" name="step">Step</button>
      <label>speed <select name="speed"><option value="2">slow</option><option value="6" selected>normal</option>
        <option value="20">fast</option></select></label></div>
    <div class="reader-scrub"><input name="scrubber" type="range" min="0" aria-label="rows read">
      <output name="position"></output></div>
    <ol name="chances" class="reader-chances" aria-label="class probabilities"></ol>
    <div name="chancesKey" class="reader-key"></div>
  </div>
</div>
<div class="reader-strips">
  <figure class="reader-image"><figcaption>image: click a row to predict</figcaption>
    <div class="reader-strip"><canvas name="reading" role="slider" tabindex="0" aria-valuemin="1"
      aria-valuemax="${ROWS}" aria-label="row after which you expect the answer to stay"></canvas>
      <div name="marks"></div></div></figure>
  <div name="strips"></div>
</div>
<div class="reader-chart">
  <div class="reader-bar"><label>hidden unit <input name="unit" type="number" min="1" value="1"></label>
    over time; or click a column above</div>
  <div name="chart" class="reader-curves" role="img"></div>
  <div name="chartKey" class="reader-key"></div>
</div>`;
const COLOURS = ["#009E73", "#E69F00", "#CC79A7", "#0072B2", "#7B5EA7"]; // of the gates, by place
const DASHES = ["8 3", "10 3 2 3", "4 2", "1 2", "6 2 1 2"];
const OPENING = 10; // rows read when an image is chosen: something to see, and something left to predict

/** An HTML element with attributes (a function listens to the event of that name) and children. */
function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") element.addEventListener(name, value);
    else element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
}

/** Paint values[t][k] as one pixel each; colour(value, t) gives [red, green, blue, opacity]. */
function paint(canvas, values, colour) {
  [canvas.width, canvas.height] = [values[0].length, values.length];
  const image = new ImageData(canvas.width, canvas.height);
  values.forEach((row, t) => row.forEach((v, k) => image.data.set(colour(v, t), 4 * (t * row.length + k))));
  canvas.getContext("2d").putImageData(image, 0, 0);
}

/** The pad: black, as opaque as there is ink. */
function paintInk(canvas, ink) {
  paint(canvas, range(PAD).map((y) => ink.subarray(y * PAD, (y + 1) * PAD)), (value) => [0, 0, 0, 255 * value]);
}

const percent = (share) => `${100 * share}%`;
const format = (value, digits = Number.isInteger(value) ? 0 : 1) => value.toFixed(digits).replace("-", "\u2212");
const capital = (text) => text[0].toUpperCase() + text.slice(1);
const options = (select, names, chosen) => {
  select.replaceChildren(...names.map((name) => make("option", {}, name)));
  select.selectedIndex = chosen;
};
/** Where in an element the pointer is: shares of its width and height. */
const place = (element, { clientX, clientY }) => {
  const box = element.getBoundingClientRect();
  return [(clientX - box.left) / box.width, (clientY - box.top) / box.height];
};

class Reader {
  constructor(model, content) {
    Object.assign(this, { model, content });
    this.viridis = bytes(content.viridis);
    this.pads = content.images.map(padOf);
    this.unit = 0; // of the chart
    this.timer = null; // while it plays
    this.chosen = content.opening; // number of the image on the pad, null for a drawing
    this.ink = this.pads[this.chosen].slice(); // PAD x PAD, from 0 to 1
    this.build();
    this.openNetwork(0);
  }

  // --- What is read, and how much of the reading has been shown

  /** The network reads what is on the pad now. `finished`: the image is complete, so Python may have it. */
  readAgain(finished = true) {
    const { placing, erased, longer } = this.part;
    const exact = this.chosen !== null && this.content.images[this.chosen].pixels; // a test image stays as it is
    const image = binarized(placing.selectedIndex === 0 && !exact ? asMnist(this.ink) : asDrawn(this.ink));
    const blank = Array(ROWS).fill(0);
    image.fill(blank, ROWS - erased.value);
    this.rows = [...image, ...Array(longer.checked ? BLANK : 0).fill(blank)];
    this.result = read(this.network, this.rows);
    this.goTo(this.step);
    if (!finished) return;
    this.model.set("image", image);
    this.model.save_changes();
  }

  openNetwork(number) {
    this.network = openNetwork(this.content.networks[number]);
    this.buildStrips();
    if (this.chosen !== null) this.rewind(OPENING);
    this.readAgain();
  }

  /** Put an image on the pad; null: nothing, for a drawing, which is shown with its whole reading while it grows. */
  choose(number) {
    this.chosen = number;
    this.ink = number === null ? zeros(PAD * PAD) : this.pads[number].slice();
    this.rewind(number === null ? this.rows.length : OPENING);
    this.readAgain();
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

  stopAt(step) {
    this.pause();
    this.goTo(step);
  }

  play() {
    this.pause();
    if (this.step === this.rows.length) this.step = 0;
    const rowsPerSecond = this.part.speed.value;
    this.timer = setInterval(() => this.goTo(this.step + 1), 1000 / rowsPerSecond);
    this.draw();
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
    this.root = make("div", { class: "reader", role: "group", "aria-label": "A network reads a digit row by row" });
    this.root.innerHTML = PARTS;
    this.part = {};
    for (const part of this.root.querySelectorAll("[name]")) this.part[part.getAttribute("name")] = part;
    const actions = {
      clear: () => this.choose(null),
      network: ({ selectedIndex }) => this.openNetwork(selectedIndex),
      layer: () => this.draw(),
      unit: ({ value }) => this.showUnit(value - 1),
      play: () => (this.timer ? this.stopAt(this.step) : this.play()),
      step: () => this.stopAt(this.step + 1),
      scrubber: ({ value }) => this.stopAt(Number(value)),
      speed: () => this.timer && this.play(),
    };
    for (const name of ["placing", "erased", "longer"]) actions[name] = () => this.readAgain();
    for (const [name, act] of Object.entries(actions)) {
      const control = this.part[name];
      control.addEventListener(control.localName === "button" ? "click" : "input", () => act(control));
    }
    options(this.part.network, this.content.networks.map(({ label }) => label), 0);
    this.samples = this.content.images.map(({ label }, number) => {
      const picture = make("canvas");
      paintInk(picture, this.pads[number]);
      const attributes = { type: "button", "aria-label": `a ${label}, image ${number + 1}` };
      return make("button", { ...attributes, click: () => this.choose(number) }, picture);
    });
    this.part.images.append(...this.samples);
    this.listenToPen(this.part.pad);
    this.listenToPrediction(this.part.reading);
  }

  listenToPen(pad) {
    let last = null; // where the pen was, in points of the pad
    let pen = null; // the pointer that draws; a second finger or the heel of the hand draws nothing
    const put = (event) => {
      const moves = event.getCoalescedEvents?.() ?? [];
      for (const move of moves.length ? moves : [event]) {
        const point = place(pad, move).map((share) => share * PAD);
        stroke(this.ink, last ?? point, point);
        last = point;
      }
      this.readAgain(false);
    };
    const lift = (event) => {
      if (event.pointerId !== pen) return;
      [last, pen] = [null, null];
      this.readAgain();
    };
    pad.addEventListener("pointerdown", (event) => {
      if (event.button !== 0 || pen !== null) return;
      pen = event.pointerId;
      pad.setPointerCapture(pen);
      if (this.chosen !== null) this.choose(null);
      this.rewind(this.rows.length);
      put(event);
    });
    pad.addEventListener("pointermove", (event) => event.pointerId === pen && put(event));
    pad.addEventListener("pointerup", lift);
    pad.addEventListener("pointercancel", lift);
  }

  /** A strip for each thing that the network says or holds, with time steps downwards and on one scale of rows. */
  buildStrips() {
    const { recurrent, probe } = this.network;
    const { layer, layers, unit, chancesKey, strips } = this.part;
    options(layer, recurrent.map((_, k) => `${k + 1}`), recurrent.length - 1);
    layers.hidden = recurrent.length === 1;
    unit.max = recurrent[0].units;
    this.unit = Math.min(this.unit, recurrent[0].units - 1);
    const lines = probe ? "; dashed: a linear probe of the same state" : "";
    chancesKey.textContent = `bars: the network's own head${lines}; underlined: what the image shows`;
    const state = (name) =>
      this.buildStrip(this.network.cell.titles[name], () => this.states.map((values) => values[name]), name);
    this.strips = [
      this.buildStrip("class probabilities by its head", () => this.result.head),
      ...(probe ? [this.buildStrip("class probabilities by a linear probe", () => this.result.probe)] : []),
      ...this.names.map(state),
    ];
    strips.replaceChildren(...this.strips.map(({ figure }) => figure));
  }

  /** The values after each row as colours; those of hidden units have a name, the others are of classes. */
  buildStrip(title, values, name = null) {
    const canvas = make("canvas", { role: "img", "aria-label": `${title}, after each row read` });
    const digits = make("div", { class: "reader-digits" }, ...range(10).map((k) => make("span", {}, `${k}`)));
    const [low, high] = [make("small"), make("small")];
    const figure = make(
      "figure",
      { class: name ? "reader-units" : "reader-classes" },
      make("figcaption", {}, title),
      make("div", { class: "reader-strip" }, canvas),
      name ? "" : digits,
      make("div", { class: "reader-scale" }, low, make("span"), high),
    );
    if (name) canvas.addEventListener("click", (event) => this.showUnit(place(canvas, event)[0] * canvas.width));
    return { figure, canvas, values, name, low, high };
  }

  /** The image that is read takes the reader's prediction, by a click on a row or by the arrow keys. */
  listenToPrediction(canvas) {
    canvas.addEventListener("click", (event) => this.predict(Math.ceil(place(canvas, event)[1] * this.rows.length)));
    canvas.addEventListener("keydown", (event) => {
      const move = { ArrowUp: -1, ArrowLeft: -1, ArrowDown: 1, ArrowRight: 1 }[event.key];
      if (!move) return;
      event.preventDefault();
      this.predict((this.guess ?? ROWS / 2) + move);
    });
  }

  showUnit(number) {
    this.unit = inRange(Math.floor(number) || 0, 0, this.network.recurrent[0].units - 1);
    this.draw();
  }

  // --- Drawing what is known after `step` rows

  draw() {
    const { step, rows, part } = this;
    const sizes = { rows: rows.length, step, unit: (this.unit + 0.5) / this.network.recurrent[0].units };
    for (const [name, value] of Object.entries(sizes)) this.root.style.setProperty(`--${name}`, value);
    part.scrubber.max = rows.length;
    part.scrubber.value = step;
    part.scrubber.setAttribute("aria-valuetext", `${step} of ${rows.length} rows read`);
    part.position.value = `row ${step}`;
    part.erasedRows.value = `${part.erased.value} rows`;
    part.play.textContent = this.timer ? "Pause" : "Play";
    part.say.setAttribute("aria-live", this.timer ? "off" : "polite");
    part.say.textContent = this.sentence();
    this.samples.forEach((sample, k) => sample.setAttribute("aria-pressed", k === this.chosen));
    paintInk(part.pad, this.ink);
    paint(part.reading, rows, (value, t) => [0, 0, 0, value * (t < step ? 255 : 60)]);
    this.drawChances();
    this.strips.forEach((strip) => this.drawStrip(strip));
    this.drawMarks();
    this.drawChart();
  }

  /** What the image shows, null where nobody knows. */
  get digit() {
    return this.chosen === null ? null : this.content.images[this.chosen].label;
  }

  /** What has a strip of its own: output, state if there is another one, and the gates. */
  get names() {
    const { memory, gates } = this.network.cell;
    return ["h", ...(memory === "c" ? ["c"] : []), ...gates];
  }

  /** Gates and states of the chosen layer after each row. */
  get states() {
    return this.result.layers[this.part.layer.selectedIndex];
  }

  drawChances() {
    const { head, probe } = this.result;
    const [known, probed] = [head[this.step - 1], probe?.[this.step - 1]];
    const column = (k) => {
      const colour = known && k === mostProbable(known) ? this.network.cell.color : "";
      const parts = [make("i", { style: `height: ${percent(known?.[k] ?? 0)}; background: ${colour}` })];
      // Ten lines on the axis would only be clutter.
      if (probed?.[k] > 0.01) parts.push(make("b", { style: `bottom: ${percent(probed[k])}` }));
      const texts = [make("span", {}, `${k}`), make("small", {}, known?.[k].toFixed(2) ?? "")];
      return make("li", { class: k === this.digit ? "reader-true" : "" }, make("div", {}, ...parts), ...texts);
    };
    this.part.chances.replaceChildren(...range(10).map(column));
  }

  drawStrip({ canvas, values, name, low, high }) {
    const { rows, step, seen } = this;
    const shown = values();
    const most = name === "c" ? Math.max(...shown.flatMap((row) => Array.from(row, Math.abs))) || 1 : 1;
    const least = name === "h" || name === "c" ? -most : 0;
    const opacity = (t) => (t < step ? 255 : t < seen ? 90 : 0);
    const colour = (value, t) => {
      const k = 3 * Math.round((255 * (value - least)) / (most - least));
      return [...this.viridis.subarray(k, k + 3), opacity(t)];
    };
    const missing = shown[0].map(() => NaN); // the probe has nothing to say about blank rows; NaN has no colour
    paint(canvas, rows.map((_, t) => shown[t] ?? missing), colour);
    [low.textContent, high.textContent] = [format(least), format(most)];
  }

  /** Beside the image: where the reader expects the answer to stay, and where it does, once all rows were shown. */
  drawMarks() {
    const { head, probe } = this.result;
    const label = (kind, row, text) =>
      make("span", { class: `reader-${kind}`, style: `top: calc(var(--row) * ${row - 0.5})` }, text);
    const marks = [["you", this.guess]];
    if (this.seen >= ROWS) marks.push(["head", commitStep(head)], ["probe", probe && commitStep(probe)]);
    let free = 0; // labels of neighbouring rows must not lie on each other
    const found = marks.filter(([, row]) => row !== null).sort((a, b) => a[1] - b[1]);
    const labels = found.map(([who, row]) => {
      const at = Math.max(row, free);
      free = at + 1.7;
      return label("mark", at, `${who} ${row}`);
    });
    const ticks = [1, 7, 14, 21, 28, 34, 40].filter((row) => row <= this.rows.length);
    const { marks: beside, reading } = this.part;
    beside.replaceChildren(...labels, ...ticks.map((row) => label("tick", row, `${row}`)));
    reading.setAttribute("aria-valuenow", this.guess ?? ROWS / 2);
    reading.setAttribute("aria-valuetext", this.guess ? `row ${this.guess}` : "no row chosen yet");
  }

  /** The gates and the state of one unit as curves. c has no bounds: it is drawn as a share of its largest value. */
  drawChart() {
    const { states, step, unit } = this;
    const { titles, gates, color } = this.network.cell;
    const shown = states.slice(0, this.seen);
    const names = [...this.names, "g"];
    const place = (name) => gates.indexOf(name);
    const look = (name) => ({ g: ["#56B4E9", "2 3"], c: ["#888888", ""], h: ["currentColor", ""] })[name] ??
      [COLOURS[place(name) % COLOURS.length], DASHES[place(name) % DASHES.length]];
    const most = Math.max(1, ...shown.map((state) => Math.abs(state.c?.[unit] ?? 0)));
    const width = this.rows.length;
    const y = (value, name) => (50 * (1 - value / (name === "c" ? most : 1))).toFixed(2);
    const line = (name, points) =>
      `<polyline points="${points}" stroke="${look(name)[0]}" stroke-dasharray="${look(name)[1]}"/>`;
    const curve = (name) => line(name, shown.map((state, t) => `${t + 1},${y(state[name][unit], name)}`).join(" "));
    this.part.chart.innerHTML = `<span>1</span><span style="grid-area: low">${format(-1)}</span>
      <svg viewBox="0 0 ${width} 100" preserveAspectRatio="none"><line x2="${width}" y1="50" y2="50" stroke="#888"/>
        ${names.map(curve).join("")}<line x1="${step}" x2="${step}" y2="100" stroke="${color}"/></svg>
      <div><span>row 0</span><span>${width}</span></div>`;
    const key = (name) => {
      const value = step ? format(states[step - 1][name][unit], 2) : "";
      const scale = name === "c" && most > 1 ? ` (drawn on a scale to ${format(most)})` : "";
      return `<span><svg viewBox="0 0 32 10">${line(name, "0,5 32,5")}</svg> ${titles[name]} ${value}${scale}</span>`;
    };
    this.part.chartKey.innerHTML = names.map(key).join("");
    if (this.part.unit !== document.activeElement) this.part.unit.value = unit + 1;
    const label = `Gates and state of hidden unit ${unit + 1} after each of ${shown.length} rows`;
    this.part.chart.setAttribute("aria-label", label);
  }

  /** What to look for now, in words. */
  sentence() {
    const { step, guess, result, rows } = this;
    const { digit, network: { label } } = this;
    const image = digit === null ? "your drawing" : `this ${digit}`;
    const says = (t) => `${mostProbable(result.head[t - 1])} (${Math.max(...result.head[t - 1]).toFixed(2)})`; // t > 0
    const ink = rows.reduce((last, row, t) => (row.includes(1) ? t + 1 : last), 0);
    if (!ink) return `There is no ink in any row, and ${label} answers all the same: ${says(ROWS)}. Draw a digit.`;
    if (step > ROWS) {
      return `${step - ROWS} blank rows past the last row, where the training never asked for an answer: ${label} now \
says ${says(step)}. After row ${ROWS} it said ${says(ROWS)}.`;
    }
    if (this.seen < ROWS) {
      const answer = `After ${step} of ${ROWS} rows of ${image}, ${label} says `;
      const now = step ? `${answer}${says(step)}.` : "No row is read yet.";
      const then = this.timer ? "" : " Press Play and watch the bars.";
      if (guess) return `${now} You expect its answer to stay from row ${guess} on.${then}`;
      return `${now} From which row on will its answer stay the same? Click that row in the image below, then press \
Play and watch the bars.`;
    }
    const answer = mostProbable(result.head[ROWS - 1]);
    const right = digit === null ? "" : answer === digit ? ", which is right" : `, but it is a ${digit}`;
    const stays = commitStep(result.head);
    const yours = guess ? ` (you expected ${guess})` : "";
    const late = stays > ink ? `; the ink ends in row ${ink}, so it changed with nothing left to read` : "";
    const probe = result.probe ? ` The probe's answer stays from row ${commitStep(result.probe)} on.` : "";
    const now = step < ROWS && step ? ` After row ${step} it said ${says(step)}.` : "";
    return `${capital(image)} is read as ${says(ROWS)}${right}. The answer stays from row ${stays} on${yours}${late}.\
${probe}${now}`;
  }
}

/** The anywidget contract: show `model` in `el`, and return what ends it. */
function render({ model, el }) {
  const reader = new Reader(model, model.get("content"));
  el.append(reader.root);
  return () => reader.pause();
}

export default { render };
