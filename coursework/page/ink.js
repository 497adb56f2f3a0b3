// The drawing: strokes of a pen on a pad, and the image of 28 x 28 that a network is given.

import { ROWS, bytes, each, inRange, range, zeros } from "./arithmetic.js";

export const PAD = 4 * ROWS; // the drawing pad has 4 x 4 points for each pixel
export const PEN = 5.5; // radius of the pen, in points of the pad
const THRESHOLD = 0.1; // the sheet's: a pixel with more ink than this is 1

/** A stroke of the pen from (x0, y0) to (x1, y1), in points of the pad, with an edge that is one point soft. */
export function stroke(ink, [x0, y0], [x1, y1]) {
  const [dx, dy] = [x1 - x0, y1 - y0];
  const length2 = dx * dx + dy * dy || 1;
  const inside = (v) => inRange(Math.round(v), 0, PAD);
  for (let y = inside(Math.min(y0, y1) - PEN - 1); y < inside(Math.max(y0, y1) + PEN + 1); y++) {
    for (let x = inside(Math.min(x0, x1) - PEN - 1); x < inside(Math.max(x0, x1) + PEN + 1); x++) {
      const [px, py] = [x + 0.5 - x0, y + 0.5 - y0];
      const along = inRange((px * dx + py * dy) / length2, 0, 1);
      const distance = Math.hypot(px - along * dx, py - along * dy);
      ink[y * PAD + x] = Math.max(ink[y * PAD + x], inRange(PEN + 0.5 - distance, 0, 1));
    }
  }
}

/** The part of the pad that has ink, or null. */
function inkBox(ink) {
  const inked = range(PAD * PAD).filter((k) => ink[k] > 0);
  if (!inked.length) return null;
  const [ys, xs] = [inked.map((k) => Math.floor(k / PAD)), inked.map((k) => k % PAD)];
  const [top, left] = [Math.min(...ys), Math.min(...xs)];
  return { top, left, height: Math.max(...ys) + 1 - top, width: Math.max(...xs) + 1 - left };
}

/** Mean ink of a box of the pad in each of rows x columns equal parts. */
function scaled(ink, { top, left, height, width }, rows, columns) {
  // Of each part of a side: the points it touches, and how much of them it covers.
  const split = (length, parts) => range(parts).map((k) => {
    const [start, end] = [(k * length) / parts, ((k + 1) * length) / parts];
    const overlap = (y) => [y, Math.min(end, y + 1) - Math.max(start, y)];
    return range(length).map(overlap).filter(([, share]) => share > 0);
  });
  const [down, across] = [split(height, rows), split(width, columns)];
  const sum = (terms, value) => terms.reduce((total, [k, share]) => total + share * value(k), 0);
  const row = (ys, xs) => sum(ys, (y) => sum(xs, (x) => ink[(top + y) * PAD + left + x]));
  return down.map((ys) => each(columns, (j) => (row(ys, across[j]) * rows * columns) / (height * width)));
}

/** The pad as an image, 28 rows of 28, every pixel with the mean of its ink. */
export const asDrawn = (ink) => scaled(ink, { top: 0, left: 0, height: PAD, width: PAD }, ROWS, ROWS);

/** The pad as MNIST's images were made: the ink fits 20 x 20 pixels, and its centre of mass is on pixel 14, 14. */
export function asMnist(ink) {
  const box = inkBox(ink);
  if (!box) return asDrawn(ink);
  const size = (length) => Math.max(1, Math.round((20 * length) / Math.max(box.height, box.width)));
  const [rows, columns] = [size(box.height), size(box.width)];
  const small = scaled(ink, box, rows, columns);
  const mass = small.flatMap((row, i) => Array.from(row, (value, j) => [value, value * i, value * j]));
  const [sum, sumI, sumJ] = [0, 1, 2].map((part) => mass.reduce((total, entry) => total + entry[part], 0));
  // Half a pixel is rounded down, with room for rounding errors: a full box of 20 gets margins of 4 on both sides.
  const start = (length, centre) => inRange(Math.ceil(13.5 - centre - 1e-6), 0, ROWS - length);
  const [top, left] = [start(rows, sumI / sum), start(columns, sumJ / sum)];
  const image = Array.from({ length: ROWS }, () => zeros(ROWS));
  small.forEach((row, i) => image[top + i].set(row, left));
  return image;
}

/** Plain arrays of 0 and 1, which travel to Python as JSON. */
export const binarized = (image) => image.map((row) => Array.from(row, (value) => (value > THRESHOLD ? 1 : 0)));

/** The 28 rows of an image that travels as 784 bits in base64. */
export function unpackImage(base64) {
  const packed = bytes(base64);
  const bit = (k) => (packed[k >> 3] >> (7 - (k & 7))) & 1;
  return Array.from({ length: ROWS }, (_, y) => each(ROWS, (x) => bit(y * ROWS + x)));
}

/** An image of the content on the pad: its strokes drawn with the pen, or its pixels, each as 4 x 4 points. */
export function padOf({ strokes, pixels }) {
  const ink = zeros(PAD * PAD);
  if (pixels) {
    const rows = unpackImage(pixels);
    return ink.map((_, k) => rows[Math.floor(k / PAD / 4)][Math.floor((k % PAD) / 4)]);
  }
  for (const points of strokes) points.forEach((point, k) => stroke(ink, points[Math.max(k - 1, 0)], point));
  return ink;
}
