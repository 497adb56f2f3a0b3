// Q1 in the page: what is chosen and typed goes to Python in a worker; its verdict comes back, and is drawn.

import { ROWS, compileStep, each, inRange, zeros } from "./arithmetic.js";
import { asMnist, binarized, padOf } from "./ink.js";

const LIMIT = 10; // seconds for one answer
const content = JSON.parse(document.getElementById("content").textContent);
const part = (id) => document.getElementById(id);
const [cell, question, answer] = ["cell", "question", "answer"].map(part);

const say = (id, text) => {
  if (part(id).textContent !== text) part(id).textContent = text;
};
const megabytes = (bytes) => (bytes / 1e6).toFixed(1);

// --- Python ----------------------------------------------------------------------------------------------------------

let worker, clock, number = 0;
let isReady = false;
const waiting = new Map(); // number of a request to what it is for

function start() {
  isReady = false;
  say("status", "Loading Python ...");
  worker = new Worker(`${content.python}/worker.js`, { type: "module" });
  worker.onmessage = ({ data }) => hear(data);
  worker.onerror = () => fail("Python could not be started here: load this page again, or use a newer browser.");
}

function hear({ received, ready, failed, number: answered, answer: text }) {
  if (received) progress(received);
  if (ready) begin();
  if (answered === undefined) {
    if (failed) fail(`Python could not be started: ${failed}. Load this page again.`);
    return;
  }
  const { told } = waiting.get(answered) ?? {};
  waiting.delete(answered);
  clearTimeout(clock);
  if (failed) told?.({ failed });
  else told?.(JSON.parse(text));
  sendNext();
}

function progress(received) {
  part("progress").value = received / content.bytes;
  say("status", `Loading Python: ${megabytes(received)} of ${megabytes(content.bytes)} MB. Read on meanwhile.`);
}

function begin() {
  isReady = true;
  part("progress").hidden = true;
  say("status", "Ready: answers are checked here.");
  sendNext();
}

function fail(text) {
  part("progress").hidden = true;
  worker = null;
  say("status", text);
  say("verdict", "");
}

/** A question to Python; one after the other, each with its time limit. */
function ask(request) {
  return new Promise((told) => {
    waiting.set(++number, { request, told });
    if (isReady && waiting.size === 1) sendNext();
  });
}

function sendNext() {
  const [next] = waiting;
  if (!isReady || !next) return;
  const [number, { request }] = next;
  worker.postMessage({ number, request: JSON.stringify(request) });
  clock = setTimeout(() => stop(number), 1000 * LIMIT);
}

/** What takes too long is ended, with the worker that computes it; a new one starts from the browser's store. */
function stop(number) {
  const { told } = waiting.get(number);
  waiting.delete(number);
  worker.terminate();
  part("progress").hidden = false;
  start();
  told({ ok: false, verdict: `Not yet: stopped after ${LIMIT} seconds; write the answer with plain numbers` });
}

// --- The question ----------------------------------------------------------------------------------------------------

const askedText = () => question.selectedOptions[0].dataset.text;
const NUMBERS = ["x", "h_prev", "c_prev", "w", "u", "b", "z", "r"];
const extra = {}; // cells that were put in or made up: name in the menu to {cell, equations, names, and text or task}
const chosen = () => content.cells[cell.value] ?? extra[cell.value];

function showQuestion() {
  const { names, equations, task, z_keeps } = chosen();
  const isCounter = !task && question.value === "counterexample";
  question.disabled = Boolean(task);
  for (const list of document.querySelectorAll("[data-cell]")) {
    list.hidden = isCounter ? !["LSTM", "GRU"].includes(list.dataset.cell) : list.dataset.cell !== cell.value;
  }
  part("shown").hidden = !equations || isCounter;
  part("shown").innerHTML = (equations ?? []).map((line) => `<li>${line}</li>`).join("");
  const convention = z_keeps === 0 && !isCounter ? " Here z = 1 replaces the old state." : "";
  say("text", task ? task.text : askedText() + convention);
  const used = isCounter ? NUMBERS : names;
  say("names", used.join(", "));
  say("example", `${used[0]} = 0`);
  say("example-dict", `{"${used[0]}": 0}`);
  forget();
}

/** No verdict stands beside a question that it is not about. */
function forget() {
  say("verdict", "");
  say("why", "");
  part("pictures").hidden = part("line").hidden = true;
}

function showChange() {
  showQuestion();
  const { task } = chosen();
  const told = task ? { practice: task.seed, level: task.level } : { cell: cell.value, question: question.value };
  if (chosen().text === undefined) history.replaceState(null, "", `#${new URLSearchParams(told)}`);
}

function choose(name, shown) {
  if (!extra[name]) cell.append(new Option(name));
  extra[name] = shown;
  cell.value = name;
}

// --- The answer ------------------------------------------------------------------------------------------------------

async function check(event) {
  event.preventDefault();
  if (!worker) return part("status").scrollIntoView(); // which says why
  const { task, text, is, z_keeps = 1 } = chosen();
  forget();
  say("verdict", isReady ? "Checking ..." : "Checked as soon as Python is loaded ...");
  delete part("verdict").dataset.ok;
  const typed = { answer: answer.value };
  const request = task
    ? { ask: "judge_practice", seed: task.seed, level: task.level, ...typed }
    : { ask: "judge", cell: text ?? is ?? cell.value, question: question.value, z_keeps, ...typed };
  const asked = chosen();
  const told = await ask(request);
  if (asked !== chosen()) return;
  if (told.failed) return say("verdict", `This could not be checked: ${told.failed}`);
  say("verdict", told.verdict);
  part("verdict").dataset.ok = told.ok;
  say("why", told.why ?? "");
  if (told.line) drawLine(told.line);
  if (told.setting && Object.keys(told.setting).length) drawStates(asked.cell, told.setting);
}

// --- Pictures --------------------------------------------------------------------------------------------------------

const image = binarized(asMnist(padOf(content.image))).map((row) => Float64Array.from(row));
const ink = image.map((row) => row.reduce((sum, value) => sum + value));
const fullest = image[ink.indexOf(Math.max(...ink))];

/** Weights by hand: unit k sees pixel k; the candidate also reads its neighbour's past, unless the setting has U = 0. */
function handSet({ lines, gates }, setting) {
  const names = new Set(JSON.stringify(lines).match(/"[WUbp]\w*"/g)?.map((name) => name.slice(1, -1)));
  const matrix = (shift, value) => each(ROWS * ROWS, (k) => ((Math.floor(k / ROWS) + shift) % ROWS === k % ROWS ? value : 0));
  const past = "U" in setting ? 0 : 0.7;
  const ofGate = (name) => gates.some((gate) => name.slice(1) === `_${gate}`);
  const weight = (name) => {
    if (name[0] === "W") return matrix(0, ofGate(name) ? 0 : 1);
    if (name[0] === "U") return matrix(1, ofGate(name) ? 0 : past);
    return zeros(ROWS).fill(name[0] === "p" && !ofGate(name) ? past : 0);
  };
  return Object.fromEntries([...names].map((name) => [name, weight(name)]));
}

/** The states after each row, with the gates of a setting held. "o_prev" is the gate o in the step before. */
function statesUnder(cell, setting) {
  const hold = Object.fromEntries(Object.entries(setting).filter(([name]) => cell.gates.includes(name)));
  const before = { ...hold };
  for (const gate of cell.gates) if (`${gate}_prev` in setting) before[gate] = setting[`${gate}_prev`];
  const step = compileStep(cell, ROWS, handSet(cell, setting));
  let old = { h: fullest, c: fullest };
  return image.map((row) => {
    const state = step(row, old, hold)[cell.memory];
    const { h } = step(row, old, before);
    old = cell.memory === "c" ? { h, c: state } : { h: state, c: state };
    return state;
  });
}

function drawStates(cell, setting) {
  const states = statesUnder(cell, setting);
  paint("digit", image);
  paint("state", states);
  const apart = (one, other) => Math.max(...one.map((value, k) => Math.abs(value - other[k])));
  const kept = states.every((state) => apart(state, fullest) < 1e-9);
  const scale = Math.max(...states.map((state) => Math.max(...state.map(Math.abs))));
  say("picture-says", kept
    ? "The state stays what it was before the first row: each row of the picture is the same."
    : `The state changes as the rows come in; its largest entry is ${scale.toFixed(2)}.`);
  part("pictures").hidden = false;
}

/** Blue is above 0, orange below, white 0; full colour at 1 and beyond. */
function paint(id, rows) {
  const context = part(id).getContext("2d");
  const picture = context.createImageData(ROWS, ROWS);
  rows.forEach((row, y) => row.forEach((value, x) => {
    const share = Number.isNaN(value) ? 0 : inRange(value, -1, 1);
    const end = share > 0 ? [0, 60, 110] : [200, 80, 0];
    const colour = end.map((channel) => 255 + Math.abs(share) * (channel - 255));
    picture.data.set([...colour, 255], 4 * (y * ROWS + x));
  }));
  context.putImageData(picture, 0, 0);
}

function drawLine({ low, high, h }) {
  const shapes = [["line", { x1: -1, x2: 1, y1: 0, y2: 0 }, ""]];
  for (const at of [-1, -0.5, 0, 0.5, 1]) {
    shapes.push(["line", { x1: at, x2: at, y1: -0.03, y2: 0.03 }, ""], ["text", { x: at, y: 0.14 }, String(at)]);
  }
  shapes.push(["line", { x1: low, x2: high, y1: 0, y2: 0, class: "reached" }, ""]);
  shapes.push(["circle", { cx: inRange(h, -1.05, 1.05), cy: 0, r: 0.035 }, ""]);
  part("axis").replaceChildren(...shapes.map(([tag, attributes, text]) => {
    const shape = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [name, value] of Object.entries(attributes)) shape.setAttribute(name, value);
    shape.textContent = text;
    return shape;
  }));
  const place = h < low || h > high ? "outside" : "inside";
  say("line-says", `With all its gates, the LSTM reaches the bar from ${low.toFixed(4)} to ${high.toFixed(4)}. The GRU's new h, the dot, is ${h.toFixed(4)}: ${place}.`);
  part("line").hidden = false;
}

// --- Another cell, a cell of one's own -------------------------------------------------------------------------------

async function practice(seed, level) {
  const before = cell.value;
  say("verdict", isReady ? "" : "The cell is shown as soon as Python is loaded ...");
  const told = await ask({ ask: "show_practice", seed, level });
  if (cell.value !== before) return; // another one was chosen meanwhile
  if (told.failed || !told.cell) return say("verdict", told.failed ?? told.verdict);
  part("level").value = String(level);
  choose(`practice ${level}.${seed}`, { ...told, task: { seed, level, text: told.text }, text: undefined });
  answer.value = "";
  showChange();
}

async function putIn() {
  const text = part("own").value;
  say("own-says", isReady ? "" : "Read as soon as Python is loaded ...");
  const told = await ask({ ask: "show_cell", text });
  if (!told.cell) return say("own-says", told.error ?? told.failed ?? told.verdict);
  say("own-says", "It stands in the menu of cells now, and its question above.");
  choose(`${told.cell.name} (yours)`, { ...told, text });
  showChange();
}

/** A link may carry a question, never an answer; what it says that is not in a menu is ignored. */
function readAddress() {
  const told = new URLSearchParams(location.hash.slice(1));
  for (const menu of [cell, question]) {
    const wanted = told.get(menu.id);
    if ([...menu.options].some((option) => option.value === wanted)) menu.value = wanted;
  }
  showQuestion();
  const [seed, level] = [Number(told.get("practice")), Number(told.get("level") ?? 1)];
  if (told.has("practice") && Number.isSafeInteger(seed) && [1, 2, 3].includes(level)) practice(seed, level);
}

cell.onchange = question.onchange = showChange;
part("form").onsubmit = check;
answer.onkeydown = (event) => {
  if (event.key === "Enter" && !event.shiftKey && !event.isComposing) check(event);
};
part("another").onclick = () => practice(Math.floor(Math.random() * 1e9), Number(part("level").value));
part("put-in").onclick = putIn;
window.onhashchange = readAddress;

if (typeof WebAssembly === "object") {
  part("progress").hidden = false;
  start();
} else {
  say("status", "This browser has no WebAssembly, which the checks need: use a newer one, or the notebooks of the bundle.");
}
readAddress();
