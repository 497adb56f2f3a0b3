// The same as tables: one row by row, and one for each canvas, kept up to date for those who can't see it.

import { ROWS, mostProbable, range } from "./arithmetic.js";
import { make } from "./draw.js";
import { number } from "./formula.js";
import { stripsOf, valuesOf } from "./views.js";

export const PIXELS = range(ROWS).map((k) => k + 1);
const DIGITS = range(10);
let count = 0; // of the tables on this page, which may hold several stages: a canvas names its table by its id

/** A table in a fold of its own. */
export function foldedTable(title) {
  const table = make("table", { id: `reader-table-${++count}` });
  const scroll = make("div", { class: "reader-scroll", tabindex: 0, role: "region", "aria-label": title }, table);
  return { table, fold: make("details", {}, make("summary", {}, title), scroll) };
}

/** Fill a table; `lines` are [head, texts]. */
export function fill(table, caption, corner, columns, lines) {
  const line = ([head, texts]) => `<tr><th scope="row">${head}</th><td>${texts.join("</td><td>")}</td></tr>`;
  const body = make("tbody");
  body.innerHTML = lines.map(line).join("");
  const heads = [corner, ...columns].map((text) => make("th", { scope: "col" }, `${text}`));
  table.replaceChildren(make("caption", {}, caption), make("thead", {}, make("tr", {}, ...heads)), body);
}

/** A folded table for the image and for each strip, whose canvases name them. */
export function buildTables(box, stage) {
  const { image, pad } = stage.part;
  const shown = foldedTable("The image that is read");
  stage.imageTable = shown.table;
  for (const canvas of [image, pad]) canvas.setAttribute("aria-details", shown.table.id);
  const folds = [shown.fold];
  for (const reading of stage.readings) {
    for (const each of reading.strips) {
      const { fold, table } = foldedTable(`${reading.network.label}: ${each.title}`);
      each.table = table;
      each.canvas.setAttribute("aria-details", table.id);
      folds.push(fold);
    }
  }
  const weights = foldedTable("The weights that meet a row");
  stage.weightsTable = weights.table;
  box.replaceChildren(...folds, weights.fold);
}

export function drawTables(stage) {
  drawTable(stage.part.table, stage);
  const { rows, readings, state: { seen } } = stage;
  const numbered = (texts) => rows.map((row, t) => [t + 1, texts(row, t)]);
  fill(stage.imageTable, "Ink (1) in each pixel of each row", "row", PIXELS, numbered((row) => Array.from(row)));
  for (const reading of readings) {
    for (const each of reading.strips) {
      const values = valuesOf(reading, each, stage);
      const columns = each.name ? range(values[0].length).map((k) => k + 1) : DIGITS;
      const text = (t) => (value) => (t < seen ? number(value, 2) : "");
      const lines = numbered((_, t) => Array.from(values[t] ?? [], text(t)));
      const caption = `${each.title}, ${reading.network.label}: a column for each ${each.name ? "hidden unit" : "digit"}`;
      fill(each.table, caption, "row", columns, lines);
    }
  }
}

const inkedPixels = (row) => {
  const inked = range(row.length).filter((k) => row[k]);
  return inked.length ? `${inked[0] + 1}\u2013${inked[inked.length - 1] + 1}` : "none";
};

/** Row by row: the ink, the answers, and what one unit holds. */
function drawTable(table, stage) {
  const { readings, rows, state: { seen, unit, guess, step }, digit } = stage;
  const { cell } = readings[0].network;
  const states = stage.statesOf(readings[0]);
  const names = [...stripsOf(cell), "g"];
  const head = ["row", "ink in pixels"];
  for (const { network, result } of readings) if (result.head) head.push(`${network.label} says`, "probability");
  if (readings[0].result.probe) head.push("probe says");
  head.push(...names.map((name) => `${cell.titles[name]}, unit ${unit + 1}`));
  const line = (row, t) => {
    const values = [inkedPixels(row)];
    for (const { result } of readings) {
      if (!result.head) continue;
      if (t < seen) values.push(mostProbable(result.head[t]), Math.max(...result.head[t]).toFixed(3));
      else values.push("hidden", "");
    }
    const { probe } = readings[0].result;
    if (probe) values.push(t < seen && probe[t] ? mostProbable(probe[t]) : "");
    values.push(...names.map((name) => (t < seen ? number(states[t][name][unit], 3) : "")));
    return make("tr", t + 1 === step ? { "aria-current": "step" } : {}, make("th", { scope: "row" }, `${t + 1}`),
      ...values.map((value) => make("td", {}, `${value}`)));
  };
  const what = digit === null ? "A drawing" : `A ${digit}`;
  table.replaceChildren(
    make("caption", {}, `${what}, row by row${guess === null ? "" : `; you expect the answer to stay from row ${guess} on`}`),
    make("thead", {}, make("tr", {}, ...head.map((title) => make("th", { scope: "col" }, title)))),
    make("tbody", {}, ...rows.map(line)),
  );
}
