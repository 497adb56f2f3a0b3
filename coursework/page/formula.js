// A formula's tree as a reader writes it, with names or with numbers.

export const number = (value, digits = Number.isInteger(value) ? 0 : 2) =>
  value.toFixed(digits).replace(/^-(0(\.0*)?)$/, "$1").replace("-", "\u2212");

const isNegative = (tree) => Array.isArray(tree) && tree[0] === "multiply" && factors(tree)[0] < 0;

/** The factors of a product, which is written as products of two. */
const factors = (tree) =>
  Array.isArray(tree) && tree[0] === "multiply" ? [...factors(tree[1]), ...factors(tree[2])] : [tree];

/** What a negative product is without its sign. */
function negated(tree) {
  const [first, ...others] = factors(tree);
  const parts = first === -1 ? others : [-first, ...others];
  return parts.reduce((left, right) => ["multiply", left, right]);
}

const isDivisor = (tree) => Array.isArray(tree) && tree[0] === "power" && tree[2] === -1;
const inBrackets = (text) => `(${text})`;

/** The text of a tree. `leaf(part)` gives the text of a symbol's name and of ["dot", matrix, vector]. */
export function written(tree, leaf) {
  if (typeof tree === "number") return number(tree);
  if (typeof tree === "string" || tree[0] === "dot") return leaf(tree);
  const [operation, ...parts] = tree;
  const text = (part) => written(part, leaf);
  if (operation === "add") {
    const [left, right] = parts.map(text);
    return right.startsWith("\u2212") ? `${left} \u2212 ${right.slice(1)}` : `${left} + ${right}`;
  }
  if (operation === "multiply") return writtenProduct(tree, leaf);
  if (isDivisor(tree)) return `1 / ${factor(parts[0], leaf)}`;
  if (operation === "power") return `${factor(parts[0], leaf)}^${text(parts[1])}`;
  if (operation === "abs") return `|${text(parts[0])}|`;
  const name = { sigmoid: "\u03c3", maximum: "max", minimum: "min" }[operation] ?? operation;
  return `${name}(${parts.map(text).join(", ")})`;
}

function writtenProduct(tree, leaf) {
  if (isNegative(tree)) return `\u2212${factor(negated(tree), leaf)}`;
  const all = factors(tree);
  const above = all.filter((part) => !isDivisor(part)).map((part) => factor(part, leaf));
  const below = all.filter(isDivisor).map(([, base]) => factor(base, leaf));
  return [above.join(" \u00b7 ") || "1", ...below].join(" / ");
}

/** A part as it stands in a product: sums and negative numbers in brackets. */
function factor(tree, leaf) {
  const text = written(tree, leaf);
  const isSum = Array.isArray(tree) && tree[0] === "add";
  return isSum || text.startsWith("\u2212") ? inBrackets(text) : text;
}

/** All matrices that a tree multiplies by, with the tree of each vector: [[name, vector], ...]. */
export function products(tree) {
  if (!Array.isArray(tree)) return [];
  const own = tree[0] === "dot" ? [[tree[1], tree[2]]] : [];
  return [...own, ...tree.slice(1).flatMap(products)];
}
