// What is on the pad, what the networks make of it, and that in words: the part of the stage that needs no element.

import { ROWS, commitStep, inRange, mostProbable, openNetwork, range, read } from "./arithmetic.js";
import { asDrawn, asMnist, binarized, inkOf, movedDown, padOf } from "./ink.js";
import { BLANK, beginning, fromAddress, toAddress } from "./state.js";
import { scaleOfState } from "./views.js";

const capital = (text) => text[0].toUpperCase() + text.slice(1);

export class Reading {
  /** `model` and `content` as in the anywidget contract; `tasks`: what stands in place of answers (playground.js). */
  constructor(model, content, tasks) {
    Object.assign(this, { model, content, tasks });
    this.labels = content.networks.map(({ label }) => label);
    this.pads = content.images.map(padOf);
    this.networks = new Map(); // opened, by number and epoch
    const restored = this.restored();
    this.isFresh = !restored;
    this.state = restored ?? this.opened();
  }

  opened() {
    const state = beginning(this.content.opening);
    const all = ROWS;
    return Object.assign(state, { step: all, seen: all }, this.content.begin ?? {});
  }

  // --- The address

  restored() {
    if (!this.model.get("address")) return null;
    const state = fromAddress(location.hash, this.labels, this.content.images.length);
    if (!state) return null;
    if (state.image === null && !state.strokes.length && !location.hash.includes("ink=")) state.image = null;
    const { epochs } = this.content.networks[state.network];
    if (state.epoch !== null && state.epoch >= (epochs?.length ?? 0) - 1) state.epoch = null;
    return state;
  }

  keepAddress() {
    if (!this.model.get("address")) return;
    const hash = `#${toAddress(this.state, this.labels)}`;
    if (hash !== location.hash) history.replaceState(null, "", hash);
    this.kept = location.hash;
  }

  // --- What is read

  /** Open the networks that the state names, and build what shows them. */
  open() {
    const { state } = this;
    const numbers = state.other === null ? [state.network] : [state.network, state.other];
    this.readings = numbers.map((number, n) => ({ number, network: this.opening(number, n ? null : state.epoch) }));
    this.buildViews();
    this.readAgain();
  }

  opening(number, epoch) {
    const key = `${number} ${epoch}`;
    if (!this.networks.has(key)) this.networks.set(key, openNetwork(this.content.networks[number], epoch));
    return this.networks.get(key);
  }

  /** All networks read what is on the pad now. `finished`: the image is complete, so Python may have it. */
  readAgain(finished = true) {
    const { state } = this;
    if (finished) this.ink = state.image === null ? inkOf(state.strokes) : this.pads[state.image];
    this.image = this.placed(this.ink);
    const blank = Array(ROWS).fill(0);
    this.rows = [...this.image, ...Array(state.longer ? BLANK : 0).fill(blank)];
    state.step = Math.min(state.step, this.rows.length);
    state.seen = inRange(state.seen, state.step, this.rows.length);
    for (const reading of this.readings) reading.result = read(reading.network, this.rows, this.heldIn(reading));
    this.draw();
    if (!finished) return;
    this.drawAtRest();
    this.model.set("image", this.image);
    this.model.save_changes();
  }

  /** The ink as 28 rows of 0 and 1, after all that the switches do to it. */
  placed(ink) {
    const { image, asDrawn: stays, down, erased } = this.state;
    const exact = image !== null && this.content.images[image].pixels; // a test image stays as it is
    const rows = movedDown(binarized(stays || exact ? asDrawn(ink) : asMnist(ink)), down);
    return rows.map((row, t) => (t < ROWS - erased ? row : row.map(() => 0)));
  }

  heldIn({ network }) {
    return Object.fromEntries(Object.entries(this.state.hold).filter(([gate]) => network.cell.gates.includes(gate)));
  }

  layerOf({ network }) {
    return inRange(this.state.layer ?? Infinity, 0, network.recurrent.length - 1);
  }

  /** Gates and states of the layer shown after each row. */
  statesOf(reading) {
    return reading.result.layers[this.layerOf(reading)];
  }

  scaleOf(name, values) {
    return this.tasks ? this.tasks.scale(name) : scaleOfState(name, values);
  }

  /** What the image shows, null where nobody knows. */
  get digit() {
    const { image, drew } = this.state;
    return image === null ? drew : this.content.images[image].label;
  }

  // --- In words

  get digits() {
    const first = range(10).map((digit) => this.content.images.findIndex(({ label }) => label === digit));
    return first.filter((image) => image >= 0).map((image) => {
      const { label, pixels } = this.content.images[image];
      const rows = binarized(pixels ? asDrawn(this.pads[image]) : asMnist(this.pads[image]));
      return { image, label, rows };
    });
  }

  rowInWords() {
    const { step } = this.state;
    const [{ result }] = this.readings;
    if (!step || !result.head) return `Row ${step}`;
    return `Row ${step}: ${mostProbable(result.head[step - 1])}, ${Math.max(...result.head[step - 1]).toFixed(2)}`;
  }

  /** What to look for now, in words, and how the image is read where that is not the usual way. */
  sentence() {
    const ways = this.ways();
    return ways.length ? `${this.finding()} The image is read ${ways.join(", ")}.` : this.finding();
  }

  ways() {
    const { state: { image, asDrawn, step, down, erased }, readings } = this;
    const ways = [];
    const titles = Object.assign({}, ...readings.map(({ network }) => network.cell.titles));
    const held = Object.assign({}, ...readings.map((reading) => this.heldIn(reading)));
    if (this.aiming) return ways;
    if (image === null && !asDrawn && step === ROWS) ways.push("centred and scaled as MNIST's digits are");
    if (down) ways.push(`moved down by ${down}`);
    if (erased) ways.push(`without its last ${erased} rows`);
    for (const [gate, value] of Object.entries(held)) ways.push(`with the ${titles[gate]} held at ${value.toFixed(2)}`);
    return ways;
  }

  finding() {
    const { state: { step, seen, guess, image }, rows, digit, readings: [{ network: { label }, result }] } = this;
    const what = image === null ? "your drawing" : `this ${digit}`;
    const says = (t) => `${mostProbable(result.head[t - 1])} (${Math.max(...result.head[t - 1]).toFixed(2)})`; // t > 0
    const ink = rows.reduce((last, row, t) => (row.includes(1) ? t + 1 : last), 0);
    if (this.aiming) return "From which row on will its answer stay the same? Click that row, and watch.";
    if (!ink) return `There is no ink in any row, and ${label} answers all the same: ${says(ROWS)}. Draw a digit.`;
    if (seen < Math.min(ROWS, rows.length)) {
      if (!step) return "No row is read yet.";
      const expected = guess ? ` You expect its answer to stay from row ${guess} on.` : "";
      return `After ${step} of ${ROWS} rows of ${what}, ${label} says ${says(step)}.${expected}`;
    }
    if (step > ROWS) {
      return `${step - ROWS} blank rows past the last row, where the training never asked for an answer: ${label} now \
says ${says(step)}. After row ${ROWS} it said ${says(ROWS)}.`;
    }
    if (step < ROWS) return step ? `After row ${step}, ${label} says ${says(step)}.` : "No row is read yet.";
    const answer = mostProbable(result.head[ROWS - 1]);
    const right = digit === null ? "" : answer === digit ? ", which is right" : `, but it is a ${digit}`;
    const stays = commitStep(result.head);
    const yours = guess ? ` (you expected ${guess})` : "";
    const late = stays > ink ? `; the ink ends in row ${ink}, so it changed with nothing left to read` : "";
    const probe = result.probe ? ` The dashed answer of a linear probe, weighted sums \
of the state, stays from row ${commitStep(result.probe)} on.` : "";
    return `${capital(what)} is read as ${says(ROWS)}${right}. The answer stays from row ${stays} on${yours}${late}.${probe}`;
  }
}
