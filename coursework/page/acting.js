// What one does: draw, play, guess, hear the story. Each changes the state and has it read and shown again.

import { ROWS, commitStep, inRange, zeros } from "./arithmetic.js";
import { setText } from "./draw.js";
import { PAD, onGrid, stroke } from "./ink.js";
import { Reading } from "./reading.js";
import { BLANK, ROUND, score } from "./state.js";
import { CHAPTERS } from "./story.js";

const FREE = { hold: {}, erased: 0, down: 0, longer: false }; // nothing held, the image as it is
const PAUSE = 350; // milliseconds between the last stroke and the sweep: a digit may take several strokes
export const isStill = () => globalThis.matchMedia?.("(prefers-reduced-motion: reduce)").matches;

export class Acting extends Reading {
  guesses = []; // of this round: {guess, row}
  timer = null; // while it plays
  waiting = null; // between a stroke and the sweep
  drawing = false; // while the pen is down
  aiming = false; // while a row is guessed

  /** Change the state, and read again. */
  set(changes) {
    this.pause();
    Object.assign(this.state, changes);
    this.readAgain();
  }

  choose(image) {
    const length = this.state.longer ? ROWS + BLANK : ROWS;
    const { asksGuess } = this;
    if (!asksGuess) this.state.story = null; // its words are about another digit
    this.set({ image, strokes: [], drew: null, guess: null, step: length, seen: length });
    if (this.wantsGuess || asksGuess) this.askGuess();
    else this.play();
  }

  goTo(step) {
    this.state.step = inRange(step, 0, this.rows.length);
    this.state.seen = Math.max(this.state.seen, this.state.step);
    const atEnd = this.state.step === this.rows.length;
    if (atEnd) this.pause();
    this.draw();
    if (!this.timer) this.drawAtRest();
    if (atEnd) this.countGuess();
  }

  stopAt(step) {
    this.pause();
    this.goTo(step);
    this.announce(this.rowInWords());
  }

  /** Sweep over the rows from where it stands, or from the top; at once where motion is not wanted. */
  play() {
    this.pause();
    if (this.state.step >= this.rows.length) this.state.step = 0;
    if (isStill()) {
      this.stopAt(this.rows.length);
      return;
    }
    const rowsPerSecond = Number(this.part.speed.value);
    this.timer = setInterval(() => {
      this.goTo(this.state.step + 1);
      if (this.part.aloud.checked || !this.timer) this.announce(this.rowInWords());
    }, 1000 / rowsPerSecond);
    this.draw();
  }

  pause() {
    clearInterval(this.timer);
    clearTimeout(this.waiting);
    this.timer = this.waiting = null;
  }

  // --- Drawing

  beginStroke(points) {
    this.pause();
    const { state } = this;
    if (state.image !== null) Object.assign(state, { image: null, strokes: [], drew: null });
    if (!state.strokes.length) this.ink = zeros(PAD * PAD);
    this.drawing = true;
    state.guess = state.story = null;
    state.step = state.seen = this.rows.length;
    state.strokes.push([]);
    this.continueStroke(points);
  }

  continueStroke(points) {
    const line = this.state.strokes[this.state.strokes.length - 1];
    for (const point of points.map(onGrid)) {
      const last = line[line.length - 1];
      if (last && last[0] === point[0] && last[1] === point[1]) continue;
      stroke(this.ink, last ?? point, point);
      line.push(point);
    }
    this.readAgain(false);
  }

  endStroke() {
    if (!this.drawing) return;
    this.drawing = false;
    this.readAgain();
    if (isStill()) this.announce(this.rowInWords());
    else this.waiting = setTimeout(() => this.sweep(), PAUSE);
  }

  sweep() {
    this.state.step = 0;
    this.play();
  }

  undo() {
    if (this.state.image === null && this.state.strokes.length) this.set({ strokes: this.state.strokes.slice(0, -1), drew: null });
  }

  clear() {
    this.set({ image: null, strokes: [], drew: null, guess: null, step: this.rows.length, seen: this.rows.length });
  }

  // --- Guessing

  /** Is the chapter of the story that asks for a guess told? */
  get asksGuess() {
    return this.state.story !== null && Boolean(this.chapter?.guess);
  }

  /** Hide the reading, and let the next click on a row of the pad be the guess. */
  askGuess() {
    this.pause();
    this.aiming = true;
    Object.assign(this.state, { guess: null, step: 0, seen: 0 });
    this.aimedAt = ROWS / 2;
    this.draw();
    this.drawAtRest();
  }

  aim(row) {
    this.aimedAt = inRange(row, 1, ROWS);
    this.drawAim();
  }

  aimByKey(key) {
    const moves = { ArrowUp: -1, ArrowLeft: -1, ArrowDown: 1, ArrowRight: 1, Home: -ROWS, End: ROWS };
    if (key === "Enter" || key === " ") this.takeGuess(this.aimedAt);
    else if (key === "Escape") this.leaveGuess();
    else if (moves[key]) this.aim(this.aimedAt + moves[key]);
    else return false;
    if (this.aiming) this.announce(`row ${this.aimedAt}; Enter takes it`);
    return true;
  }

  takeGuess(row) {
    this.aiming = false;
    this.state.guess = inRange(row, 1, ROWS);
    this.pending = true;
    this.play();
  }

  leaveGuess() {
    this.aiming = this.wantsGuess = false;
    this.stopAt(this.rows.length);
  }

  /** A guess counts once, when the reading has come to its end. */
  countGuess() {
    if (!this.pending || this.state.guess === null) return;
    this.pending = false;
    if (this.guesses.length === ROUND) this.guesses = [];
    this.guesses.push({ guess: this.state.guess, row: commitStep(this.readings[0].result.head) });
    setText(this.part.score, score(this.guesses));
  }

  // --- The story

  tell(number) {
    this.pause();
    this.wantsGuess = this.aiming = false;
    if (number === null || number < 0 || number >= CHAPTERS.length) {
      Object.assign(this.state, FREE, { story: null });
      this.part.tell.focus();
    } else {
      const { networks } = this.content;
      if (CHAPTERS[number].needsProbe && !networks[this.state.network].probe && networks.some(({ probe }) => probe)) {
        this.change({ network: networks.findIndex(({ probe }) => probe), epoch: null });
      }
      this.chapter = CHAPTERS[number](this.digits, this.readings[0].network);
      const image = this.state.image ?? this.content.opening;
      const plain = { ...FREE, image, strokes: [], guess: null, drew: null };
      Object.assign(this.state, plain, { story: number }, this.chapter.set);
      if (this.chapter.open) this.part[this.chapter.open].open = true;
    }
    this.readAgain();
    if (this.asksGuess) this.askGuess();
    if (this.state.story !== null) this.announce(`${this.chapter.title}. ${this.chapter.text}`);
  }
}
