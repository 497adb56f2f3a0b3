// What one sees of a reading: bars, strips, curves, sums and tables. Each view draws a stage as it is now.

import { ROWS, commitStep, mostProbable, range, valueAt } from "./arithmetic.js";
import { colourOf, grey, make, paint, percent, setText } from "./draw.js";
import { number, products, written } from "./formula.js";
import { ticks } from "./parts.js";
import { PIXELS, fill } from "./tables.js";

/** What has a strip of its own: output, state if that is another thing, and the gates. */
export const stripsOf = ({ memory, gates }) => ["h", ...(memory === "c" ? ["c"] : []), ...gates];
const isSigned = (cell, name) => !cell.gates.includes(name);
const most = (rows) => rows.reduce((top, row) => row.reduce((high, value) => Math.max(high, Math.abs(value)), top), 0);

// --- Answer and bars

/** The bars, once for a network or two; `drawBars` moves them. */
export function buildBars(list, readings) {
  const bars = readings.map(({ network }) => {
    const bar = make("i");
    bar.style.setProperty("--own", network.cell.color);
    return bar;
  });
  const column = (k) => {
    const track = make("div", { "aria-hidden": "true" }, ...bars.map((bar) => bar.cloneNode()), make("b", { hidden: "" }));
    return make("li", {}, track, make("span", {}, `${k}`), make("small"));
  };
  list.replaceChildren(...range(10).map(column));
}

export function drawBars(list, stage) {
  const { readings, state: { step }, digit } = stage;
  const known = readings.map(({ result }) => result.head[step - 1]);
  const probed = readings[0].result.probe?.[step - 1];
  [...list.children].forEach((item, k) => {
    const [track, , text] = item.children;
    known.forEach((probabilities, n) => {
      track.children[n].style.height = percent(probabilities?.[k] ?? 0);
      track.children[n].classList.toggle("reader-top", Boolean(probabilities) && mostProbable(probabilities) === k);
    });
    const dash = track.lastChild;
    dash.hidden = !(probed?.[k] > 0.01); // ten lines on the axis would only be clutter
    dash.style.bottom = percent(probed?.[k] ?? 0);
    setText(text, known[0] ? known.map((probabilities) => probabilities[k].toFixed(2)).join(" ") : "");
    item.classList.toggle("reader-true", k === digit);
  });
}

/** What each network says now: a large digit, and how sure it is. */
export function drawAnswers(box, stage) {
  const { readings, state: { step } } = stage;
  if (box.children.length !== readings.length) {
    box.replaceChildren(...readings.map(() => make("div", {}, make("strong"), make("span"))));
  }
  readings.forEach(({ network, result }, n) => {
    const [large, small] = box.children[n].children;
    const head = result.head[step - 1];
    setText(large, head ? `${mostProbable(head)}` : "\u2013");
    large.style.setProperty("--own", network.cell.color);
    setText(small, `${network.label} ${head ? Math.max(...head).toFixed(2) : "has read no row"}`);
  });
}

// --- Strips

/** A strip for each thing that a cell holds, and one for the answers; `hold(gate)` gives the gate's control. */
export function buildStrips(reading, stage, hold) {
  const { network } = reading;
  const { cell } = network;
  reading.strips = stripsOf(cell).map((name) => strip(cell.titles[name], name, stage));
  if (network.head) reading.strips.push(strip("head\u2019s answers", null, stage));
  if (network.probe) reading.strips.push(strip("probe\u2019s answers", null, stage, "probe"));
  for (const { figure, name } of reading.strips) if (cell.gates.includes(name)) figure.append(hold(name, cell));
  const title = make("div", { class: "reader-group-title" }, network.label);
  return make("div", { class: "reader-group", role: "group", "aria-label": network.label }, title,
    ...reading.strips.map(({ figure }) => figure));
}

function strip(title, name, stage, kind = "head") {
  const canvas = make("canvas", { role: "img", "aria-label": `${title} after each row read; a table below says the same` });
  if (name) canvas.addEventListener("click", (event) => stage.pickCell(canvas, name, event));
  const ends = [make("small"), make("small")];
  const bar = make("span", { "aria-hidden": "true" });
  const scale = name
    ? make("div", { class: "reader-scale" }, ends[0], bar, ends[1])
    : make("div", { class: "reader-digits", "aria-hidden": "true" }, ...range(10).map((k) => make("span", {}, `${k}`)));
  const figure = make("figure", { class: name ? "reader-units" : "reader-classes" },
    make("figcaption", {}, title), make("div", { class: "reader-strip" }, canvas), scale);
  return { figure, canvas, title, name, kind, ends, bar };
}

/** What a strip shows: for each row the values of all units, or the ten answers. */
export const valuesOf = (reading, { name, kind }, stage) =>
  name ? stage.statesOf(reading).map((state) => state[name]) : reading.result[kind];

/** The values after each row as colours: gates from 0 to 1, signed values on a map with 0 in its middle. */
export function drawStrips(reading, stage) {
  const { state: { step, seen }, rows, maps } = stage;
  const { network: { cell }, strips } = reading;
  for (const { canvas, name, kind, ends, bar } of strips) {
    const values = valuesOf(reading, { name, kind }, stage);
    const signed = name && isSigned(cell, name);
    const top = signed ? stage.scaleOf(name, values) : 1;
    const { full, faded } = signed ? maps.diverging : maps.sequential;
    const low = signed ? -top : 0;
    const missing = values[0].map(() => NaN); // the probe has nothing to say about rows beyond the image
    const colour = (value, t) => (t < seen ? colourOf(t < step ? full : faded, value, low, top) : undefined);
    paint(canvas, rows.map((_, t) => values[t] ?? missing), colour);
    if (!name) continue;
    setText(ends[0], number(low));
    setText(ends[1], number(top));
    bar.style.background = (signed ? maps.diverging : maps.sequential).bar;
  }
}

export const scaleOfState = (name, values) => (name === "h" ? 1 : Math.max(1, Math.ceil(most(values))));

// --- The time axis

/** What tells a network from the other one in a narrow place: its cell, or what its label has beside it. */
function shortName({ network: { label, cell } }, readings) {
  if (readings.length === 1) return "head";
  const same = readings.every(({ network }) => network.cell.name === cell.name);
  return same ? label.replace(cell.name, "").trim() : cell.name;
}

/** Where labels for these rows, in order, stand with a gap: lower where one is in the way, higher again at the end. */
export function apart(wanted, gap, last) {
  const places = [];
  for (const row of wanted) places.push(Math.max(row, (places.at(-1) ?? -Infinity) + gap));
  let lowest = last;
  for (let k = places.length - 1; k >= 0; k--) {
    places[k] = Math.min(places[k], lowest);
    lowest = places[k] - gap;
  }
  return places;
}

/** Beside the rows: their numbers, the reader's guess, and where the answer does stay, once all rows were shown. */
export function drawMarks(box, stage) {
  const { readings, rows, state: { guess, seen } } = stage;
  const label = (kind, row, who, text) => {
    const mark = make("span", { class: `reader-${kind}` }, make("span", {}, who), text);
    put(mark, row);
    return mark;
  };
  const put = (mark, row) => (mark.style.top = percent((row - 0.5) / rows.length));
  const found = guess === null ? [] : [["you", guess]];
  if (seen >= ROWS && readings[0].result.head) {
    for (const reading of readings) found.push([shortName(reading, readings), commitStep(reading.result.head)]);
    if (readings[0].result.probe) found.push(["probe", commitStep(readings[0].result.probe)]);
  }
  found.sort((a, b) => a[1] - b[1]);
  const labels = found.map(([who, row]) => label("mark", row, `${who} `, `${row}`));
  box.replaceChildren(...labels);
  const gap = Math.max(2, (labels[0]?.offsetHeight * rows.length) / box.clientHeight) || 2; // rows; 2 while not shown
  const places = apart(found.map(([, row]) => row), gap, rows.length);
  labels.forEach((mark, k) => put(mark, places[k]));
  const taken = (row) => places.some((other) => Math.abs(other - row) < gap);
  const numbers = ticks(rows.length).filter((row) => !taken(row));
  box.append(...numbers.map((row) => label("tick", row, "", `${row}`)));
}

// --- One unit

const DASHES = ["8 3", "10 3 2 3", "4 2", "1 2", "6 2 1 2"];

/** The look of a curve: colours come from the style sheet, which has some for light and for dark grounds. */
function look(name, gates) {
  if (name === "g") return ["var(--curve-g)", "2 3"];
  if (name === "c") return ["var(--curve-c)", ""];
  const place = gates.indexOf(name);
  return place < 0 ? ["currentColor", ""] : [`var(--curve-${place % 5})`, DASHES[place % 5]];
}

/** Gates and state of one unit as curves; time runs down, as everywhere. */
export function drawChart(box, key, stage) {
  const { state: { step, seen, unit }, rows } = stage;
  const { cell } = stage.readings[0].network;
  const states = stage.statesOf(stage.readings[0]);
  const names = [...stripsOf(cell), "g"];
  const top = Math.max(1, ...["c", "g", "h"].flatMap((name) => states.map((state) => Math.abs(state[name]?.[unit] ?? 0))));
  const x = (value) => (50 * (1 + value / top)).toFixed(2);
  const line = (name, points) => {
    const [colour, dashes] = look(name, cell.gates);
    return `<polyline points="${points}" style="stroke: ${colour}" stroke-dasharray="${dashes}"/>`;
  };
  const curve = (name) => line(name, states.slice(0, seen).map((state, t) => `${x(state[name][unit])},${t + 1}`).join(" "));
  box.innerHTML = `<div><span>${number(-top, 1)}</span><span>0</span><span>${number(top, 1)}</span></div>
    <svg aria-hidden="true" viewBox="0 0 100 ${rows.length}" preserveAspectRatio="none"><line x1="50" x2="50" y2="${rows.length}"/>
    ${names.map(curve).join("")}<line class="reader-now" x2="100" y1="${step}" y2="${step}"/></svg>`;
  box.setAttribute("aria-label", `Gates and state of hidden unit ${unit + 1} after each of ${Math.min(seen, rows.length)} rows`);
  const entry = (name) => {
    const value = step ? number(states[step - 1][name][unit], 2) : "";
    const sample = make("span");
    sample.innerHTML = `<svg viewBox="0 0 32 10" aria-hidden="true">${line(name, "0,5 32,5")}</svg>`;
    return make("span", {}, sample, ` ${cell.titles[name]} ${value}`);
  };
  key.replaceChildren(...names.map(entry));
}

/** The sum behind one number: the equation with names, with numbers, its value, and the rows of W that it reads. */
export function drawSum(box, stage) {
  const { state: { step, unit, line, hold }, rows, readings: [reading] } = stage;
  const { cell, recurrent } = reading.network;
  if (!step) return box.replaceChildren(make("p", {}, "No row is read yet: press Step."));
  const { units, weights, first } = recurrent[stage.layerOf(reading)];
  const states = stage.statesOf(reading);
  const old = states[step - 2] ?? first;
  const below = stage.layerOf(reading) ? reading.result.layers[stage.layerOf(reading) - 1][step - 1].h : rows[step - 1];
  const known = { ...weights, ...states[step - 1], x: below, h_prev: old.h, c_prev: old.c };
  const name = cell.lines.some(([each]) => each === line) ? line : "h";
  const [, tree] = cell.lines.find(([each]) => each === name);
  const named = (leaf) => (typeof leaf === "string" ? leaf : `${leaf[1]}\u00b7${vectorName(leaf[2])}`);
  const valued = (leaf) => number(valueAt(leaf, unit, known, units), 2);
  const sum = number(valueAt(tree, unit, known, units), 4);
  const lines = [make("p", {}, `${cell.titles[name]}, unit ${unit + 1}, row ${step}`)];
  lines.push(make("code", {}, `${name} = ${written(tree, named)}`), make("code", {}, `  = ${written(tree, valued)}`),
    make("code", {}, `  = ${sum}${name in hold ? `, but held at ${number(hold[name], 2)}` : ""}`));
  const met = products(tree).filter(([, vector]) => vector === "x").map(([matrix]) => matrix);
  for (const matrix of met) lines.push(...weightsOfRow(matrix, weights[matrix], known.x, unit, units, stage));
  box.replaceChildren(...lines);
}

const vectorName = (tree) => (typeof tree === "string" ? tree : `(${written(tree, (leaf) => leaf)})`);

/** The row of the image above the weights that this unit has for its pixels. */
function weightsOfRow(name, matrix, x, unit, units, stage) {
  const row = Array.from(x, (_, k) => matrix[k * units + unit]);
  const top = most([row]) || 1;
  const canvas = make("canvas", { class: "reader-weights", role: "img" });
  canvas.setAttribute("aria-label", `the row of the image, and below it the weights ${name} of unit ${unit + 1}`);
  canvas.setAttribute("aria-details", stage.weightsTable.id);
  const numbers = row.map((value) => number(value, 3));
  fill(stage.weightsTable, `Row ${stage.state.step} of the image and the weights ${name} of unit ${unit + 1}`, "pixel", PIXELS,
    [["ink", Array.from(x, (value) => number(value))], [name, numbers]]);
  const ink = (value) => grey(Math.min(1, Math.abs(value)));
  paint(canvas, [x, row], (value, t) => (t ? colourOf(stage.maps.diverging.full, value, -top, top) : ink(value)));
  const text = `${name} of unit ${unit + 1}, from \u2212${top.toFixed(1)} (red) to ${top.toFixed(1)} (blue), under the row \
that it meets`;
  return [canvas, make("small", {}, text)];
}

// --- How it learned

/** Accuracy after each row of the test images, a curve for each epoch; time runs down, too. */
export function drawLearning(box, text, stage) {
  const packed = stage.content.networks[stage.state.network];
  const { epochs } = packed;
  const chosen = stage.state.epoch ?? epochs.length - 1;
  const curve = ({ accuracy }, k) =>
    `<polyline class="${k === chosen ? "reader-chosen" : ""}" points="${accuracy.map((a, t) => `${100 * a},${t + 1}`).join(" ")}"/>`;
  box.innerHTML = `<div><span>0</span><span>accuracy</span><span>1</span></div>
    <svg aria-hidden="true" viewBox="0 0 100 ${ROWS}" preserveAspectRatio="none">${epochs.map(curve).join("")}</svg>`;
  const { epoch, accuracy } = epochs[chosen];
  const last = range(5).map((k) => `T${k < 4 ? ` \u2212 ${4 - k}` : ""}: ${accuracy[ROWS - 5 + k].toFixed(3)}`).join(", ");
  setText(text, `Share of the test images read rightly after each row, with the weights of epoch ${epoch}. ${last}. The \
thin curves are those of the other epochs. ${origin(packed)}`);
  box.setAttribute("aria-label", `Curves of the accuracy after each row, in which epoch ${epoch} is thick`);
}

/** Where the weights of the earlier epochs come from, and how exact they are. */
function origin({ rounding, apart }) {
  const end = apart ? `ended up to ${apart.toPrecision(1)} away from the weights shown last` : "ended at the same weights, to the bit";
  const stored = rounding ? `with sixteen bits each, which moves no probability by more than ${rounding}` : "in full precision";
  return `The weights of the earlier epochs come from the same training, run a second time; it ${end}. They are stored ${stored}.`;
}
