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
  select.replaceChildren(...names.map((name, k) => make("option", { value: k }, name)));
  select.selectedIndex = chosen;
}

/** Where in an element the pointer is: shares of its width and height. */
export function place(element, { clientX, clientY }) {
  const box = element.getBoundingClientRect();
  return [(clientX - box.left) / box.width, (clientY - box.top) / box.height];
}

const PAPER = [255, 255, 255, 255];

/** Paint values[t][k] as one pixel each on paper, which dark and high-contrast screens leave white.
 *
 * `colour(value, t)` gives [red, green, blue, share], null for paper. */
export function paint(canvas, values, colour) {
  const [width, height] = [values[0].length, values.length];
  if (canvas.width !== width) canvas.width = width;
  if (canvas.height !== height) canvas.height = height;
  const image = new ImageData(width, height);
  let k = 0;
  for (let t = 0; t < height; t++) {
    for (let column = 0; column < width; column++, k += 4) {
      const [red, green, blue, share] = colour(values[t][column], t) ?? PAPER;
      const rest = 255 * (1 - share);
      image.data[k] = red * share + rest;
      image.data[k + 1] = green * share + rest;
      image.data[k + 2] = blue * share + rest;
      image.data[k + 3] = 255;
    }
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

/** A map from numbers between low and high to colours, from 256 colours in base64. */
export function colourMap(base64) {
  const table = bytes(base64);
  return (value, low, high, share = 1) => {
    const k = 3 * inRange(Math.round((255 * (value - low)) / (high - low)), 0, 255);
    return [table[k], table[k + 1], table[k + 2], share];
  };
}

/** A colour map as a CSS background. */
export function gradient(base64) {
  const table = bytes(base64);
  const stops = [0, 32, 64, 96, 128, 160, 192, 224, 255].map((k) => `rgb(${table.subarray(3 * k, 3 * k + 3).join(" ")})`);
  return `linear-gradient(90deg, ${stops.join(", ")})`;
}

export const percent = (share) => `${100 * share}%`;
