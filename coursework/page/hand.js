// The hand on the pad: pen, finger or mouse draw, the keyboard moves a pen from pixel to pixel, and a guess is aimed.

import { ROWS, inRange } from "./arithmetic.js";
import { PAD } from "./ink.js";
import { place } from "./draw.js";

const PIXEL = PAD / ROWS;
const MOVES = { ArrowUp: [0, -1], ArrowDown: [0, 1], ArrowLeft: [-1, 0], ArrowRight: [1, 0] };

/** One pointer draws a stroke; a second finger or the heel of a hand does nothing, and doesn't end it. */
export function listenToPen(pad, stage) {
  let pen = null;
  const points = (event) => {
    const moves = event.getCoalescedEvents?.() ?? [];
    return (moves.length ? moves : [event]).map((move) => place(pad, move).map((share) => share * PAD));
  };
  pad.addEventListener("pointerdown", (event) => {
    if (event.button !== 0 || pen !== null) return;
    if (stage.aiming) {
      stage.takeGuess(Math.ceil(place(pad, event)[1] * ROWS));
      return;
    }
    pen = event.pointerId;
    pad.setPointerCapture(pen);
    stage.beginStroke(points(event));
  });
  pad.addEventListener("pointermove", (event) => {
    if (stage.aiming) stage.aim(Math.ceil(place(pad, event)[1] * ROWS));
    else if (event.pointerId === pen) stage.continueStroke(points(event));
  });
  for (const kind of ["pointerup", "pointercancel", "lostpointercapture"]) {
    pad.addEventListener(kind, (event) => {
      if (event.pointerId !== pen) return;
      pen = null;
      stage.endStroke();
    });
  }
}

/** Arrows move a cursor, space sets the pen down and lifts it; Home and End, Page Up and Page Down go to the edges. */
export function listenToKeys(pad, cursor, stage) {
  let [x, y] = [ROWS / 2, ROWS / 2];
  let isDown = false;
  const point = () => [(x + 0.5) * PIXEL, (y + 0.5) * PIXEL];
  const show = () => {
    cursor.hidden = stage.aiming;
    cursor.style.setProperty("--x", x);
    cursor.style.setProperty("--y", y);
    cursor.classList.toggle("reader-down", isDown);
    stage.announce(`row ${y + 1}, pixel ${x + 1}, pen ${isDown ? "down" : "up"}`);
  };
  const lift = () => {
    if (isDown) stage.endStroke();
    isDown = false;
  };
  const press = () => {
    isDown = !isDown;
    if (isDown) stage.beginStroke([point()]);
    else stage.endStroke();
  };
  const go = (newX, newY) => {
    [x, y] = [inRange(newX, 0, ROWS - 1), inRange(newY, 0, ROWS - 1)];
    if (isDown) stage.continueStroke([point()]);
  };
  const edges = { Home: () => go(0, y), End: () => go(ROWS - 1, y), PageUp: () => go(x, 0), PageDown: () => go(x, ROWS - 1) };
  pad.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const move = MOVES[event.key];
    if (stage.aiming) {
      if (!stage.aimByKey(event.key)) return;
    } else if (move) go(x + move[0], y + move[1]);
    else if (edges[event.key]) edges[event.key]();
    else if (event.key === " ") press();
    else return;
    event.preventDefault();
    if (!stage.aiming) show();
  });
  pad.addEventListener("focus", () => pad.matches(":focus-visible") && !stage.aiming && show());
  pad.addEventListener("blur", () => {
    lift();
    cursor.hidden = true;
  });
}
