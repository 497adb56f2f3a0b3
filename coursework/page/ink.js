// The drawing: strokes of a pen on a pad, and the image of 28 x 28 that a network is given.

import { ROWS, bytes, each, inRange, range, zeros } from "./arithmetic.js";

export const PAD = 4 * ROWS; // the drawing pad has 4 x 4 points for each pixel
export const PEN = 5.5; // radius of the pen, in points of the pad
const THRESHOLD = 0.1; // the sheet's: a pixel with more ink than this is 1
const FINE = 255 / PAD; // points of a stroke are kept as bytes, so that an address can hold them

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

/** The nearest point that an address can hold. */
export const onGrid = (point) => point.map((v) => inRange(Math.round(v * FINE), 0, 255) / FINE);

/** Strokes as text for an address: for each its number of points in two bytes, then x and y in one each. */
export function packStrokes(strokes) {
  const numbers = strokes.flatMap((points) => [
    points.length >> 8,
    points.length & 255,
    ...points.flat().map((v) => inRange(Math.round(v * FINE), 0, 255)),
  ]);
  return btoa(String.fromCharCode(...numbers)).replace(/\+/g, "-").replace(/\//g, "_").replace(/=/g, "");
}

/** The strokes that `packStrokes` wrote; what is no such text gives as many whole strokes as it holds. */
export function unpackStrokes(text) {
  let numbers;
  try {
    numbers = bytes(text.replace(/-/g, "+").replace(/_/g, "/"));
  } catch {
    return [];
  }
  const strokes = [];
  for (let k = 0; k + 4 <= numbers.length; ) {
    const count = 256 * numbers[k] + numbers[k + 1];
    const end = k + 2 + 2 * count;
    if (!count || end > numbers.length) break;
    strokes.push(range(count).map((n) => [numbers[k + 2 + 2 * n] / FINE, numbers[k + 3 + 2 * n] / FINE]));
    k = end;
  }
  return strokes;
}

/** The part of the pad that has ink, or null. */
function inkBox(ink) {
  let [top, left, bottom, right] = [PAD, PAD, -1, -1];
  for (let y = 0; y < PAD; y++) {
    for (let x = 0; x < PAD; x++) {
      if (!(ink[y * PAD + x] > 0)) continue;
      [top, bottom] = [Math.min(top, y), y];
      [left, right] = [Math.min(left, x), Math.max(right, x)];
    }
  }
  return bottom < 0 ? null : { top, left, height: bottom + 1 - top, width: right + 1 - left };
}

/** Of each of `parts` equal parts of a length: the points that it touches, and how much of each it covers. */
function split(length, parts) {
  return range(parts).map((k) => {
    const [start, end] = [(k * length) / parts, ((k + 1) * length) / parts];
    const touched = [];
    for (let y = Math.floor(start); y < end; y++) touched.push([y, Math.min(end, y + 1) - Math.max(start, y)]);
    return touched;
  });
}

/** Mean ink of a box of the pad in each of rows x columns equal parts. */
function scaled(ink, { top, left, height, width }, rows, columns) {
  const across = split(width, columns);
  const size = (height * width) / (rows * columns);
  return split(height, rows).map((ys) =>
    each(columns, (j) => {
      let sum = 0;
      for (const [y, share] of ys) {
        const start = (top + y) * PAD + left;
        for (const [x, part] of across[j]) sum += share * part * ink[start + x];
      }
      return sum / size;
    }));
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
  let [sum, sumI, sumJ] = [0, 0, 0];
  small.forEach((row, i) => row.forEach((value, j) => {
    sum += value;
    sumI += value * i;
    sumJ += value * j;
  }));
  // Half a pixel is rounded down, with room for rounding errors: a full box of 20 gets margins of 4 on both sides.
  const start = (length, centre) => inRange(Math.ceil(13.5 - centre - 1e-6), 0, ROWS - length);
  const [top, left] = [start(rows, sumI / sum), start(columns, sumJ / sum)];
  const image = Array.from({ length: ROWS }, () => zeros(ROWS));
  small.forEach((row, i) => image[top + i].set(row, left));
  return image;
}

/** Plain arrays of 0 and 1, which travel to Python as JSON. */
export const binarized = (image) => image.map((row) => Array.from(row, (value) => (value > THRESHOLD ? 1 : 0)));

/** The image moved down by so many rows; what leaves it at the bottom is lost. */
export function movedDown(image, rows) {
  const blank = () => Array(ROWS).fill(0);
  return [...range(rows).map(blank), ...image.slice(0, ROWS - rows)];
}

/** The 28 rows of an image that travels as 784 bits in base64. */
export function unpackImage(base64) {
  const packed = bytes(base64);
  const bit = (k) => (packed[k >> 3] >> (7 - (k & 7))) & 1;
  return Array.from({ length: ROWS }, (_, y) => each(ROWS, (x) => bit(y * ROWS + x)));
}

/** The ink of strokes, each a list of points. */
export function inkOf(strokes) {
  const ink = zeros(PAD * PAD);
  for (const points of strokes) points.forEach((point, k) => stroke(ink, points[Math.max(k - 1, 0)], point));
  return ink;
}

/** An image of the content on the pad: its strokes drawn with the pen, or its pixels, each as 4 x 4 points. */
export function padOf({ strokes, pixels }) {
  if (!pixels) return inkOf(strokes);
  const rows = unpackImage(pixels);
  return each(PAD * PAD, (k) => rows[Math.floor(k / PAD / 4)][Math.floor((k % PAD) / 4)]);
}
