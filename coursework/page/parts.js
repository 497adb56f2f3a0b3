// The parts of the stage as HTML. `name` is for the script, `data-part` for whoever looks from outside.

import { make, options } from "./draw.js";
import { ROWS, range } from "./arithmetic.js";
import { BLANK, MOST_DOWN, MOST_ERASED } from "./state.js";

const PARTS = `
<div class="reader-body">
<div class="reader-bar reader-head">
  <label>network <select name="network" data-part="network"></select></label>
  <label name="others">beside <select name="other"></select></label>
  <label name="layers">layer <select name="layer"></select></label>
  <label name="epochs">after epoch <input name="epoch" type="range" min="0" value="0"> <span name="epochSays"></span></label>
  <button type="button" name="tell" aria-expanded="false">Tell the story</button>
</div>
<div class="reader-stage" name="stage">
  <div class="reader-rail">
    <input name="row" data-part="row" type="range" min="0" value="0" aria-label="rows read" orient="vertical">
    <div name="marks" aria-hidden="true"></div>
  </div>
  <div class="reader-sheet" name="sheet">
    <canvas name="pad" data-part="pad" class="reader-ink" tabindex="0" role="application"></canvas>
    <canvas name="image" class="reader-image" aria-hidden="true"></canvas>
    <div class="reader-erased" aria-hidden="true"></div>
    <div class="reader-past" aria-hidden="true"></div>
    <div class="reader-cursor" name="cursor" aria-hidden="true" hidden></div>
    <div class="reader-aim" name="aim" aria-hidden="true" hidden></div>
    <div class="reader-invite" name="invite" aria-hidden="true">draw a digit here</div>
  </div>
  <div class="reader-answer">
    <div class="reader-answers" data-part="answer" name="answers"></div>
    <ol name="bars" data-part="bars" class="reader-bars" aria-label="class probabilities"></ol>
    <div name="tasks" class="reader-tasks"></div>
    <div name="chapter" class="reader-chapter" role="group" aria-label="the story" hidden>
      <h2 name="chapterTitle"></h2><p name="chapterText"></p>
      <div class="reader-bar"><button type="button" name="back">Back</button>
        <button type="button" name="next">Next</button>
        <button type="button" name="leave">Leave</button></div>
    </div>
    <p name="say" class="reader-say"></p>
  </div>
  <div name="groups" class="reader-groups"></div>
</div>
<div class="reader-bar reader-controls">
  <button type="button" name="play" data-part="play" class="reader-main">Play</button>
  <button type="button" name="stepOn" data-part="step">Step</button>
  <label>speed <select name="speed"><option value="3">slow</option><option value="12" selected>normal</option>
    <option value="28">fast</option></select></label>
  <button type="button" name="guess" aria-pressed="false">Guess the row</button>
  <button type="button" name="undo">Undo</button>
  <button type="button" name="clear">Clear</button>
  <label name="drewLabel">you drew a <select name="drew"></select></label>
  <span name="score" class="reader-score"></span>
</div>
<div name="images" class="reader-images" role="radiogroup" aria-label="digits to choose from"></div>
<details name="settings"><summary>How it is read</summary>
  <div class="reader-bar">
    <label>placed <select name="placing"><option>as MNIST</option><option>as drawn</option></select></label>
    <label>erase the last <input name="erased" type="range" max="${MOST_ERASED}" value="0">
      <span name="erasedSays"></span></label>
    <label>move down by <input name="down" type="range" max="${MOST_DOWN}" value="0"> <span name="downSays"></span></label>
    <label><input name="longer" type="checkbox"> keep reading: ${BLANK} blank rows more</label>
    <label><input name="aloud" type="checkbox"> announce each row while it plays</label>
  </div>
</details>
<details name="inside"><summary>One unit: its curves, and the sum behind a number</summary>
  <div class="reader-bar"><label>hidden unit <input name="unit" type="number" min="1" value="1"></label>
    <label>equation <select name="line"></select></label>
    <span>or click a cell of a strip</span></div>
  <div class="reader-inside">
    <div><div name="chart" class="reader-curves" role="img"></div>
      <div name="chartKey" class="reader-key"></div></div>
    <div name="sum" class="reader-sum"></div>
  </div>
</details>
<details name="learning"><summary>How it learned</summary>
  <p name="learningSays"></p><div name="learned" class="reader-learned" role="img"></div>
</details>
<details name="data"><summary>The same as tables</summary>
  <div class="reader-scroll" tabindex="0" role="region" aria-label="what was read, row by row"><table name="table"></table></div>
  <div name="tables"></div>
</details>
<p name="live" class="reader-live" role="status"></p>
</div>`;

const CONTROLS = "button, input, select, summary, canvas[tabindex], [tabindex]";

/** Keys that are typed on a control are the control's: JupyterLab would take them for commands on its cells. */
export function keepKeys(root) {
  for (const control of root.querySelectorAll(CONTROLS)) control.setAttribute("data-lm-suppress-shortcuts", "true");
}

/** The root of the stage, and its parts by name. */
export function build(label) {
  const root = make("div", { class: "reader", role: "group", "aria-label": label });
  root.innerHTML = PARTS;
  const part = {};
  for (const element of root.querySelectorAll("[name]")) part[element.getAttribute("name")] = element;
  options(part.drew, ["?", ...range(10).map(String)], 0);
  return { root, part };
}

/** Ticks of the time axis: row 1, each seventh, and the end of what is read beyond the image. */
export const ticks = (rows) => [1, 7, 14, 21, ROWS, 34, 40].filter((row) => row <= rows);
