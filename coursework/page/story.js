// The story: six steps that set the stage. Each looks for the digit that shows its point best, with this network.

import { ROWS, mostProbable, range, read } from "./arithmetic.js";
import { movedDown } from "./ink.js";

const share = (p) => p.toFixed(2);
const best = (list, value) => list.reduce((a, b) => (value(b) > value(a) ? b : a));
const says = (probabilities) => `${mostProbable(probabilities)} (${share(Math.max(...probabilities))})`;

/** The image and the row at which the probe is right and the head is wrong, both most surely. */
function earlyKnowledge(digits, network) {
  const moments = digits.flatMap(({ image, label, rows }) => {
    const { head, probe } = read(network, rows);
    return range(ROWS).map((t) => {
      const wrong = mostProbable(head[t]) === label ? 0 : Math.max(...head[t]);
      return { image, label, t, head: head[t], probe: probe[t], weight: wrong * probe[t][label] };
    });
  });
  return best(moments, ({ weight }) => weight);
}

/** By how many rows the digits are best moved down so that many are taken for the same one, and for which. */
function downfall(digits, network) {
  const tried = range(8).map((k) => {
    const answers = digits.map(({ rows }) => mostProbable(read(network, movedDown(rows, k + 1)).head[ROWS - 1]));
    const counts = range(10).map((digit) => answers.filter((answer) => answer === digit).length);
    const digit = mostProbable(counts);
    const place = answers.findIndex((answer, n) => answer === digit && digits[n].label !== digit);
    return { down: k + 1, digit, count: counts[digit], place: Math.max(place, 0) };
  });
  return best(tried, ({ count }) => count);
}

/** The digit whose answer changes most surely between the last row and twelve blank rows later. */
function forgotten(digits, network) {
  const blank = Array(ROWS).fill(0);
  const tried = digits.map((digit) => {
    const { head } = read(network, [...digit.rows, ...range(12).map(() => blank)]);
    const [last, late] = [head[ROWS - 1], head[ROWS + 11]];
    const changed = mostProbable(last) !== mostProbable(late);
    return { ...digit, last, late, weight: changed ? Math.max(...last) + Math.max(...late) : 0 };
  });
  return best(tried, ({ weight }) => weight);
}

/** The second step, which shows a probe; where there is none, it says so. */
function stateKnowsFirst(digits, network) {
  const title = "2 of 6: the state knows first";
  if (!network.probe) {
    return { title, text: "A linear probe, ten weighted sums fitted to the states after one row, can be right before the \
head is. None was fitted to a network of this page.", set: {} };
  }
  const { image, label, t, head, probe } = earlyKnowledge(digits, network);
  return {
    title,
    text: `After row ${t + 1} of this ${label} the head says ${says(head)}. The dashed lines are a linear probe: ten \
weighted sums of the same state, fitted to this row alone. It says ${says(probe)}. So the state knows; the head was \
trained on the last row only, and can't read it yet.`,
    set: { image, step: t + 1, seen: ROWS },
  };
}
stateKnowsFirst.needsProbe = true;

/** The six steps for a network: functions that give {title, text, set}, where `set` is what changes in the state.
 *
 * `digits`: [{image, label, rows}], one of each class. */
export const CHAPTERS = [
  () => ({
    title: "1 of 6: guess",
    text: "The network reads an image from the top, one row at a time, and keeps what it needs in its state, a list of \
numbers. Its head, two small layers, names a digit from the state after every row. From which row on will the answer stay? \
Click that row of the digit; then it plays.",
    set: {},
    guess: true,
  }),
  stateKnowsFirst,
  (digits, network) => {
    const [{ image, label, rows }] = digits.slice(3);
    const blank = Array(ROWS).fill(0);
    const cut = read(network, rows.map((row, t) => (t < ROWS - 10 ? row : blank))).head[ROWS - 1];
    return {
      title: "3 of 6: erase the ink",
      text: `The last ten rows of this ${label} are blank now. With all its ink it was read as \
${says(read(network, rows).head[ROWS - 1])}, without them as ${says(cut)}. Move the slider "erase the last" \
under "How it is read", below, to find the row that matters.`,
      set: { image, erased: 10, step: ROWS, seen: ROWS },
      open: "settings",
    };
  },
  (digits, network) => {
    const { image, label, last, late, weight } = forgotten(digits, network);
    const end = weight ? "The state is no storage: each row, blank ones too, moves it." : "This one is remembered; try others.";
    return {
      title: "4 of 6: keep reading, and it forgets",
      text: `Twelve blank rows follow the image, for which the network was never trained. After row ${ROWS} of this \
${label} it said ${says(last)}, after row ${ROWS + 12} it says ${says(late)}. ${end}`,
      set: { image, longer: true, step: ROWS + 12, seen: ROWS + 12 },
    };
  },
  (digits, network) => {
    const { place, down, digit, count } = downfall(digits, network);
    return {
      title: `5 of 6: everything ends as a ${digit}`,
      text: `MNIST's digits end a few rows above the bottom edge. Moved down by ${down}, ${count} of the \
${digits.length} here are taken for a ${digit}: the head was trained on states that blank rows had followed, and these \
come too early for it.`,
      set: { image: digits[place].image, down, step: ROWS, seen: ROWS },
    };
  },
  (digits, network) => {
    const [gate] = network.cell.gates;
    const title = "6 of 6: hold a gate";
    if (!gate) return { title, text: "Gates are numbers from 0 to 1 that say how much passes. This cell has none.", set: {} };
    const { image, label, rows } = digits[2];
    const held = read(network, rows, { [gate]: 1 }).head[ROWS - 1];
    return {
      title,
      text: `A gate is a number from 0 to 1 for each unit and row: how much passes. The ${network.cell.titles[gate]} is \
held at 1 now, everywhere. This ${label} is read as ${says(held)}; before, as ${says(read(network, rows).head[ROWS - 1])}. \
Move the sliders below the strips; × sets a gate free.`,
      set: { image, hold: { [gate]: 1 }, step: ROWS, seen: ROWS },
    };
  },
];
