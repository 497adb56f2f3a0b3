// What the stage shows, apart from how: all that an address holds, and the score of the reader's guesses.

import { ROWS, inRange } from "./arithmetic.js";
import { packStrokes, unpackStrokes } from "./ink.js";

export const BLANK = 12; // blank rows that 'keep reading' adds
export const MOST_ERASED = 14;
export const MOST_DOWN = 8;

/** What is shown at first. Rows are counted from 0 (nothing is read yet) to 28. */
export const beginning = (image) => ({
  image, // number of the image on the pad, null for a drawing
  strokes: [], // of a drawing
  drew: null, // the digit that the drawing is meant to be
  network: 0,
  other: null, // a second network, read beside it
  layer: null, // of a network with several; null: the last
  epoch: null, // number of an epoch's weights; null: the last
  step: 0, // rows read
  seen: 0, // rows that were shown once: what lies after them stays hidden
  guess: null, // the row from which the answer is expected to stay
  hold: {}, // gates held at a number, at all steps
  unit: 0,
  line: "h", // the equation whose sum is shown
  story: null, // the step of the story, null outside of it
  asDrawn: false, // read where it was drawn, or as MNIST's images were made
  erased: 0, // rows at the bottom
  down: 0, // rows by which the image is moved down
  longer: false, // keep reading blank rows
});

const SHORT = { image: "i", drew: "d", step: "r", seen: "n", guess: "g", unit: "u", line: "q", story: "t", erased: "e" };
Object.assign(SHORT, { down: "m", layer: "l", epoch: "w" });
const NUMBERS = ["image", "drew", "step", "seen", "guess", "unit", "story", "erased", "down", "layer", "epoch"];

/** The state as the part of an address behind #; `labels` are the networks'. */
export function toAddress(state, labels) {
  const parts = new URLSearchParams({ net: labels[state.network] });
  if (state.other !== null) parts.set("and", labels[state.other]);
  if (state.strokes.length) parts.set("ink", packStrokes(state.strokes));
  const start = beginning(null);
  for (const [name, short] of Object.entries(SHORT)) {
    if (state[name] !== start[name]) parts.set(short, state[name]);
  }
  for (const [gate, value] of Object.entries(state.hold)) parts.append("hold", `${gate}:${value}`);
  for (const name of ["asDrawn", "longer"]) if (state[name]) parts.set(name, 1);
  return parts.toString();
}

/** The state that an address holds, or null; what does not fit these networks and images is left out. */
export function fromAddress(text, labels, images) {
  const parts = new URLSearchParams(text.replace(/^#/, ""));
  if (!labels.includes(parts.get("net"))) return null;
  const state = beginning(null);
  state.network = labels.indexOf(parts.get("net"));
  state.other = labels.includes(parts.get("and")) ? labels.indexOf(parts.get("and")) : null;
  state.strokes = unpackStrokes(parts.get("ink") ?? "");
  for (const name of NUMBERS) {
    const value = Number(parts.get(SHORT[name]) ?? NaN);
    if (Number.isInteger(value) && value >= 0) state[name] = value;
  }
  state.line = parts.get(SHORT.line) ?? "h";
  for (const held of parts.getAll("hold")) {
    const [gate, value] = held.split(":");
    if (value !== "" && Number.isFinite(Number(value))) state.hold[gate] = inRange(Number(value), 0, 1);
  }
  state.asDrawn = parts.has("asDrawn");
  state.longer = parts.has("longer");
  if (state.image !== null && state.image >= images) state.image = null;
  state.erased = inRange(state.erased, 0, MOST_ERASED);
  state.down = inRange(state.down, 0, MOST_DOWN);
  state.drew = state.drew === null ? null : inRange(state.drew, 0, 9);
  const rows = ROWS + (state.longer ? BLANK : 0);
  state.step = inRange(state.step, 0, rows);
  state.seen = inRange(state.seen, state.step, rows);
  return state;
}

export const ROUND = 10; // guesses of a round
export const NEAR = 2; // rows: a guess as near as that counts as a hit

/** The score of some guesses, [{guess, row}], in words. */
export function score(guesses) {
  const off = guesses.map(({ guess, row }) => Math.abs(guess - row));
  const hits = off.filter((rows) => rows <= NEAR).length;
  const mean = off.reduce((sum, rows) => sum + rows, 0) / (off.length || 1);
  const whole = guesses.length < ROUND ? `${guesses.length} of ${ROUND} guesses` : `All ${ROUND} guesses`;
  return `${whole}: ${hits} within ${NEAR} rows; on average ${mean.toFixed(1)} rows away.`;
}
