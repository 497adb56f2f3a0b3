// Elements, canvases and colours: what all views draw with.

import { PAD } from "./ink.js";
import { bytes, inRange } from "./arithmetic.js";

/** An HTML element with attributes (a function listens to the event of that name) and children. */
export function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") element.addEventListener(name, value);
    else if (value !== null) element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
}

/** Set the text of an element, if it is another one: what has not changed is not announced again. */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** Fill a select with options; the values are their numbers. */
export function options(select, names, chosen) {
  select.replaceChildren(...names.map((name) => make("option", {}, name)));
  select.selectedIndex = chosen;
}

/** Where in an element the pointer is: shares of its width and height. */
export function place(element, { clientX, clientY }) {
  const box = element.getBoundingClientRect();
  return [(clientX - box.left) / box.width, (clientY - box.top) / box.height];
}

const opaque = (red, green, blue) => new Uint32Array(new Uint8ClampedArray([red, green, blue, 255]).buffer)[0];
const PAPER = opaque(255, 255, 255);

/** A grey from 0 (white) to 1 (black). */
export const grey = (share) => opaque(...Array(3).fill(255 * (1 - share)));

/** Paint values[t][k] as one pixel each; `colour(value, t)` gives a colour of `opaque`, undefined for paper.
 *
 * Paper is painted too: dark and high-contrast screens leave it white. */
export function paint(canvas, values, colour) {
  const [width, height] = [values[0].length, values.length];
  if (canvas.width !== width) canvas.width = width;
  if (canvas.height !== height) canvas.height = height;
  const image = new ImageData(width, height);
  const pixels = new Uint32Array(image.data.buffer);
  for (let t = 0; t < height; t++) {
    const row = values[t];
    for (let k = 0; k < width; k++) pixels[t * width + k] = colour(row[k], t) ?? PAPER;
  }
  canvas.getContext("2d").putImageData(image, 0, 0);
}

/** The ink of a pad, black on white. */
export function paintInk(canvas, ink) {
  if (canvas.width !== PAD) [canvas.width, canvas.height] = [PAD, PAD];
  const image = new ImageData(PAD, PAD);
  for (let k = 0; k < ink.length; k++) {
    const grey = 255 * (1 - ink[k]);
    image.data[4 * k] = image.data[4 * k + 1] = image.data[4 * k + 2] = grey;
    image.data[4 * k + 3] = 255;
  }
  canvas.getContext("2d").putImageData(image, 0, 0);
}

/** 256 colours from base64, each mixed with paper so that a `share` of it is left. */
export function palette(base64, share = 1) {
  const table = bytes(base64);
  const mixed = (k) => table[k] * share + 255 * (1 - share);
  return Array.from({ length: 256 }, (_, k) => opaque(mixed(3 * k), mixed(3 * k + 1), mixed(3 * k + 2)));
}

/** The colour of a number between low and high. */
export const colourOf = (colours, value, low, high) =>
  colours[inRange(Math.round((255 * (value - low)) / (high - low)), 0, 255)];

/** A colour map as a CSS background. */
export function gradient(base64) {
  const table = bytes(base64);
  const stops = [0, 32, 64, 96, 128, 160, 192, 224, 255].map((k) => `rgb(${table.subarray(3 * k, 3 * k + 3).join(" ")})`);
  return `linear-gradient(90deg, ${stops.join(", ")})`;
}

export const percent = (share) => `${100 * share}%`;
