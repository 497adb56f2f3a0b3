// The stage: one place for the pad, the image that is read, the sweep over it and the guess; what it is built of and shows.

import { ROWS, inRange } from "./arithmetic.js";
import { Acting, isStill } from "./acting.js";
import { gradient, grey, make, options, paint, paintInk, palette, place, setText } from "./draw.js";
import { listenToKeys, listenToPen } from "./hand.js";
import { build, keepKeys } from "./parts.js";
import { CHAPTERS } from "./story.js";
import { buildTables, drawTables } from "./tables.js";
import {
  buildBars, buildStrips, drawAnswers, drawBars, drawChart, drawLearning, drawMarks, drawStrips, drawSum,
} from "./views.js";

const UNUSED = ["answers", "bars", "guess", "settings"]; // where there are tasks in place of answers
const [BLACK, PALE] = [grey(1), grey(0.25)]; // ink that was read, and ink that was not

export class Stage extends Acting {
  constructor(model, content, tasks = null) {
    super(model, content, tasks);
    const map = (base64) => ({ full: palette(base64), faded: palette(base64, 0.3), bar: gradient(base64) });
    this.maps = { sequential: map(content.viridis), diverging: map(content.diverging) };
    Object.assign(this, build(tasks ? "Hold the gates of a cell" : "A network reads a digit row by row"));
    this.listen();
    if (tasks) for (const name of UNUSED) this.part[name].hidden = true;
    this.open();
    if (this.asksGuess && this.state.guess === null) this.askGuess();
    keepKeys(this.root);
    if (this.isFresh && !tasks) this.sweep();
  }

  // --- Building

  buildViews() {
    const { part, readings, content, state } = this;
    const [{ network }] = readings;
    options(part.network, this.labels, state.network);
    options(part.other, ["none", ...this.labels], state.other === null ? 0 : state.other + 1);
    options(part.layer, network.recurrent.map((_, k) => `${k + 1}`), this.layerOf(readings[0]));
    const equations = network.cell.lines.map(([name]) => name);
    options(part.line, equations.map((name) => network.cell.titles[name] ?? name), Math.max(0, equations.indexOf(state.line)));
    const { epochs } = content.networks[state.network];
    part.others.hidden = Boolean(this.tasks) || this.labels.length < 2;
    part.layers.hidden = network.recurrent.length === 1;
    part.epochs.hidden = part.learning.hidden = !epochs;
    part.epoch.max = epochs ? epochs.length - 1 : 0;
    state.unit = Math.min(state.unit, network.recurrent[0].units - 1);
    part.unit.max = network.recurrent[0].units;
    if (network.head) buildBars(part.bars, readings);
    this.holds = {};
    const groups = readings.map((reading) => buildStrips(reading, this, (gate, cell) => this.buildHold(gate, cell)));
    part.groups.replaceChildren(...groups);
    this.root.classList.toggle("reader-two", readings.length > 1);
    this.root.style.setProperty("--strips", Math.max(...readings.map(({ strips }) => strips.length)));
    buildTables(part.tables, this);
    for (const place of [part.groups, part.tables]) keepKeys(place);
  }

  /** The control that holds a gate at a number: any movement of the slider holds it, the button sets it free. */
  buildHold(gate, cell) {
    const title = cell.titles[gate];
    const first = !this.holds[gate];
    const slider = make("input", {
      type: "range", min: 0, max: 1, step: 0.01, "aria-label": `hold ${title} at`,
      "data-part": first ? `hold-${gate}` : null,
      input: ({ target }) => this.set({ hold: { ...this.state.hold, [gate]: Number(target.value) } }),
    });
    const free = make("button", {
      type: "button", "aria-label": `set ${title} free`, title: "set free",
      click: () => {
        const { [gate]: _, ...others } = this.state.hold;
        this.set({ hold: others });
        slider.focus();
      },
    }, "\u00d7");
    const text = make("span");
    (this.holds[gate] ??= []).push({ slider, free, text });
    return make("div", { class: "reader-hold" }, slider, text, free);
  }

  listen() {
    const { part } = this;
    const actions = {
      network: ({ selectedIndex }) => this.change({ network: selectedIndex, epoch: null }),
      other: ({ selectedIndex }) => this.change({ other: selectedIndex ? selectedIndex - 1 : null }),
      layer: ({ selectedIndex }) => this.set({ layer: selectedIndex }),
      epoch: ({ value, max }) => this.change({ epoch: value === max ? null : Number(value) }),
      row: ({ value }) => this.stopAt(Number(value)),
      play: () => (this.timer ? this.stopAt(this.state.step) : this.play()),
      stepOn: () => this.stopAt(this.state.step < this.rows.length ? this.state.step + 1 : 1),
      speed: () => this.timer && this.play(),
      guess: () => this.toggleGuess(),
      undo: () => this.undo(),
      clear: () => this.clear(),
      drew: ({ selectedIndex }) => this.set({ drew: selectedIndex ? selectedIndex - 1 : null }),
      placing: ({ selectedIndex }) => this.set({ asDrawn: selectedIndex === 1 }),
      erased: ({ value }) => this.set({ erased: Number(value) }),
      down: ({ value }) => this.set({ down: Number(value) }),
      longer: ({ checked }) => this.lengthen(checked),
      unit: ({ value }) => value && this.pickUnit(Number(value) - 1),
      line: ({ selectedIndex }) => this.pickLine(this.readings[0].network.cell.lines[selectedIndex][0]),
      tell: () => this.tell(this.state.story === null ? 0 : null),
      back: () => this.tell(this.state.story - 1),
      next: () => this.tell(this.state.story + 1),
      leave: () => this.tell(null),
    };
    for (const [name, act] of Object.entries(actions)) {
      const control = part[name];
      control.addEventListener(control.localName === "button" ? "click" : "input", () => act(control));
    }
    part.row.addEventListener("keydown", (event) => this.moveByKey(event));
    part.unit.addEventListener("change", () => (part.unit.value = this.state.unit + 1));
    for (const name of ["inside", "data", "learning"]) part[name].addEventListener("toggle", () => this.drawAtRest());
    this.listenToSamples();
    listenToPen(part.pad, this);
    listenToKeys(part.pad, part.cursor, this);
    if (this.model.get("address")) addEventListener("hashchange", () => this.follow());
  }

  /** The rows run down, so keys that point down or right read on. */
  moveByKey(event) {
    const moves = { ArrowDown: 1, ArrowRight: 1, ArrowUp: -1, ArrowLeft: -1, PageDown: 5, PageUp: -5, Home: -99, End: 99 };
    if (!moves[event.key]) return;
    event.preventDefault();
    this.stopAt(this.state.step + moves[event.key]);
  }

  /** One of the digits has the focus; arrows go to its neighbours and choose them. */
  listenToSamples() {
    this.samples = this.content.images.map(({ label }, number) => {
      const picture = make("canvas", { "aria-hidden": "true" });
      paintInk(picture, this.pads[number]);
      const attributes = { type: "button", role: "radio", "aria-label": `a ${label}, image ${number + 1}` };
      return make("button", { ...attributes, click: () => this.choose(number) }, picture);
    });
    const { images } = this.part;
    images.hidden = this.samples.length < 2;
    images.append(...this.samples);
    images.addEventListener("keydown", (event) => {
      const count = this.samples.length;
      const at = this.samples.indexOf(document.activeElement);
      const to = { ArrowRight: at + 1, ArrowDown: at + 1, ArrowLeft: at - 1, ArrowUp: at - 1, Home: 0, End: count - 1 }[event.key];
      if (to === undefined) return;
      event.preventDefault();
      const next = (to + count) % count;
      this.samples[next].focus();
      this.choose(next);
    });
  }

  /** Another network: what is on the pad, the row, the guess and what is held stay. */
  change(changes) {
    this.pause();
    Object.assign(this.state, changes);
    if (this.state.other === this.state.network) this.state.other = null;
    this.chapter = null; // its numbers are another network's
    this.open();
  }

  lengthen(longer) {
    const end = this.state.step >= this.rows.length;
    this.set({ longer });
    if (end) this.stopAt(this.rows.length);
  }

  toggleGuess() {
    if (this.aiming) {
      this.leaveGuess();
      return;
    }
    this.wantsGuess = true;
    this.askGuess();
    this.part.pad.focus();
  }

  pickUnit(unit) {
    this.state.unit = inRange(Math.floor(unit) || 0, 0, this.readings[0].network.recurrent[0].units - 1);
    this.draw();
    this.drawAtRest();
  }

  pickLine(line) {
    this.state.line = line;
    this.drawAtRest();
  }

  /** A cell of a strip: its unit, its row and its equation. */
  pickCell(canvas, name, event) {
    const [x, y] = place(canvas, event);
    this.state.line = name;
    this.state.unit = inRange(Math.floor(x * canvas.width), 0, this.readings[0].network.recurrent[0].units - 1);
    this.part.line.selectedIndex = this.readings[0].network.cell.lines.findIndex(([other]) => other === name);
    this.part.inside.open = true;
    this.stopAt(Math.ceil(y * this.rows.length));
    this.part.sum.scrollIntoView({ block: "nearest", behavior: isStill() ? "auto" : "smooth" });
  }

  follow() {
    if (location.hash === this.kept) return;
    const state = this.restored();
    if (!state) return;
    this.pause();
    this.state = state;
    this.aiming = false;
    this.chapter = null;
    this.open();
    if (this.asksGuess && state.guess === null) this.askGuess();
  }

  // --- Showing

  announce(text) {
    setText(this.part.live, text);
  }

  /** All that changes while it plays. */
  draw() {
    const { state, rows, part, root } = this;
    const { units } = this.readings[0].network.recurrent[0];
    const sizes = { rows: rows.length, step: state.step, erased: state.erased, unit: (state.unit + 0.5) / units };
    for (const [name, value] of Object.entries(sizes)) root.style.setProperty(`--${name}`, value);
    part.row.max = rows.length;
    part.row.value = state.step;
    part.row.setAttribute("aria-valuetext", `${state.step} of ${rows.length} rows read`);
    setText(part.play, this.timer ? "Pause" : "Play");
    part.sheet.classList.toggle("reader-drawing", this.drawing);
    part.sheet.classList.toggle("reader-aiming", this.aiming);
    part.guess.setAttribute("aria-pressed", this.aiming);
    if (this.drawing) paintInk(part.pad, this.ink);
    paint(part.image, this.rows, (value, t) => (value ? (t < state.step ? BLACK : PALE) : undefined));
    for (const reading of this.readings) drawStrips(reading, this);
    if (this.readings[0].network.head) {
      drawAnswers(part.answers, this);
      drawBars(part.bars, this);
    }
    setText(part.say, this.tasks ? "" : this.sentence());
    if (part.inside.open) drawChart(part.chart, part.chartKey, this);
  }

  /** What changes only when something was done: controls, marks, sums and tables, which need no sixty frames. */
  drawAtRest() {
    const { state, part, content } = this;
    const digit = state.image === null ? "your drawing" : `a ${this.digit}`;
    const how = this.aiming
      ? "Arrow keys choose the row from which you expect the answer to stay, Enter takes it"
      : "Arrow keys move the pen, space sets it down and lifts it";
    part.pad.setAttribute("aria-label", `Pad with ${digit}. ${how}.`);
    paintInk(part.pad, this.ink);
    part.invite.hidden = state.image !== null || state.strokes.length > 0;
    part.undo.disabled = state.image !== null || !state.strokes.length;
    part.drewLabel.hidden = Boolean(this.tasks) || state.image !== null || !state.strokes.length;
    part.drew.selectedIndex = state.drew === null ? 0 : state.drew + 1;
    part.placing.selectedIndex = Number(state.asDrawn);
    part.layer.selectedIndex = this.layerOf(this.readings[0]);
    for (const name of ["erased", "down"]) {
      part[name].value = state[name];
      setText(part[`${name}Says`], `${state[name]} rows`);
    }
    part.longer.checked = state.longer;
    const { epochs } = content.networks[state.network];
    if (epochs) {
      part.epoch.value = state.epoch ?? epochs.length - 1;
      setText(part.epochSays, `${epochs[part.epoch.value].epoch}`);
      part.epoch.setAttribute("aria-valuetext", `epoch ${epochs[part.epoch.value].epoch}`);
      if (part.learning.open) drawLearning(part.learned, part.learningSays, this);
    }
    if (part.unit !== document.activeElement) part.unit.value = state.unit + 1;
    this.samples.forEach((sample, k) => {
      sample.setAttribute("aria-checked", k === state.image);
      sample.tabIndex = k === (state.image ?? 0) ? 0 : -1;
    });
    this.drawHolds();
    this.drawAim();
    drawMarks(part.marks, this);
    this.drawChapter();
    if (part.inside.open) {
      drawChart(part.chart, part.chartKey, this);
      drawSum(part.sum, this);
    }
    this.tasks?.draw(this);
    clearTimeout(this.later); // what nobody looks at while a slider moves
    this.later = setTimeout(() => {
      drawTables(this);
      this.keepAddress();
    }, 100);
  }

  drawHolds() {
    for (const [gate, controls] of Object.entries(this.holds)) {
      const value = this.state.hold[gate];
      const isFree = value === undefined;
      for (const { slider, free, text } of controls) {
        if (isFree) slider.value = 0.5;
        else slider.value = value;
        slider.parentElement.classList.toggle("reader-free", isFree);
        const words = isFree ? "free" : (this.tasks?.says(gate, value) ?? value.toFixed(2));
        setText(text, words);
        slider.setAttribute("aria-valuetext", words);
        free.disabled = isFree;
        free.hidden = Boolean(this.tasks);
      }
    }
  }

  drawAim() {
    const { aim, say } = this.part;
    aim.hidden = !this.aiming;
    aim.style.setProperty("--aimed", this.aimedAt ?? 0);
    aim.textContent = `row ${this.aimedAt}`;
    setText(say, this.tasks ? "" : this.sentence());
  }

  drawChapter() {
    const { part, state } = this;
    const isTold = state.story !== null;
    if (isTold) this.chapter ??= CHAPTERS[Math.min(state.story, CHAPTERS.length - 1)](this.digits, this.readings[0].network);
    part.tell.hidden = Boolean(this.tasks);
    part.tell.setAttribute("aria-expanded", isTold);
    part.chapter.hidden = !isTold;
    const isGuessed = this.asksGuess && state.guess !== null && state.seen >= ROWS;
    part.say.hidden = (isTold && !isGuessed) || Boolean(this.tasks);
    if (!isTold) return;
    setText(part.chapterTitle, this.chapter.title);
    setText(part.chapterText, this.chapter.text);
    part.back.disabled = state.story === 0;
    setText(part.next, state.story === CHAPTERS.length - 1 ? "End" : "Next");
  }
}
