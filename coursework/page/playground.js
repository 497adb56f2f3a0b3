// The playground of notebook 1: the stage with weights set by hand, and tasks that are checked on the spot.

import { ROWS, range } from "./arithmetic.js";
import { make, setText } from "./draw.js";
import { number } from "./formula.js";

const EXACT = 1e-6; // what counts as the same number

/** Rows of 0 and 1 that look random and are the same each time. */
const someRows = (seed) =>
  range(6).map((t) => range(ROWS).map((k) => Math.floor(1e4 * Math.abs(Math.sin(seed + 31 * t + 7 * k))) % 2));

/** What a layer remembers after some rows, from a state with all entries at `start`. */
function after(layer, memory, rows, start, hold) {
  let state = { ...layer.first, [memory]: layer.first[memory].map(() => start) };
  for (const row of rows) state = layer.step(row, state, hold);
  return state;
}

const gap = (a, b) => a.reduce((most, value, k) => Math.max(most, Math.abs(value - b[k])), 0);

/** Do held gates make a cell store its input, or keep its state? {ok, text}, by trying it out on several states. */
export function tryTask(network, hold, task) {
  const { cell, recurrent: [layer] } = network;
  const { memory } = cell;
  const [past, other] = [someRows(1), someRows(2)];
  const before = [after(layer, memory, past, 0.7, hold), after(layer, memory, other, -0.4, hold)];
  const row = someRows(3)[0];
  if (task === "keep") {
    const moved = Math.max(...before.map((state) => gap(layer.step(row, state, hold)[memory], state[memory])));
    const text = moved <= EXACT ? `Right: ${memory} stays as it is, whatever comes in.`
      : `Not yet: a row still moves ${memory}, by up to ${number(moved, 2)}.`;
    return { ok: moved <= EXACT, text };
  }
  const [one, two] = before.map((state) => layer.step(row, state, hold)[memory]);
  const left = gap(one, two);
  if (left > EXACT) return { ok: false, text: `Not yet: ${memory} still depends on what was there before, by up to ${number(left, 2)}.` };
  const opposite = layer.step(row.map((value) => 1 - value), before[0], hold)[memory];
  const least = opposite.reduce((smallest, value, k) => Math.min(smallest, Math.abs(value - one[k])), Infinity);
  if (least <= EXACT) return { ok: false, text: "Not yet: nothing of the row gets in." };
  return { ok: true, text: `Right: ${memory} is the row that came last, and nothing else.` };
}

const TASKS = [["store", "Make it store each row"], ["keep", "Make it keep its state"]];

/** What stands in place of the answers: a fixed scale, activations with their biases, and the tasks. */
export const playground = {
  scale: (name) => (name === "h" ? 1 : 2),

  /** The activation, with the bias that gives it. */
  says(gate, value) {
    const bias = Math.log(value / (1 - value));
    const shown = Number.isFinite(bias) ? number(bias, 1) : bias > 0 ? "\u221e" : "\u2212\u221e";
    return `\u03c3(${shown}) = ${value.toFixed(2)}`;
  },

  draw({ part: { tasks }, readings: [{ network }], state: { hold } }) {
    if (!tasks.children.length) {
      tasks.append(make("p", {}, "The gates are constant: each is \u03c3(b) of its bias b. A unit sees its own pixel."),
        ...TASKS.map(([, title]) => make("div", {}, make("h2", {}, title), make("p", { "aria-live": "polite" }))));
    }
    TASKS.forEach(([task], k) => {
      const { ok, text } = tryTask(network, hold, task);
      const box = tasks.children[k + 1];
      box.className = ok ? "reader-done" : "";
      setText(box.lastChild, text);
    });
  },
};
