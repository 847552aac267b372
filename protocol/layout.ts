/**
 * Moves and row operations on wires. A wire whose columns are the keys has rows of different lengths in different texts:
 * those go block by block, all others in one call.
 */
import { add, addScalar, blank, concatWords, resize, slice, slots, sub, sumRows, type Words } from '../ring/index.ts';
import { blocks, type Dims, type Rows, type Shape } from './shape.ts';

/** The low n bits of words of a ring ≥ n. */
export function reduce(x: Words, n: number): Words {
  if (n > x.n) throw new Error(`ring ${x.n} cannot be reduced to ${n}`);
  return n === x.n ? x : resize(x, n);
}

/** Signed representative of ring x.n as a word of ring N ≥ x.n (clear values only: a share cannot be extended). */
export function signExtend(x: Words, N: number): Words {
  if (N === x.n) return x;
  const half = 1n << BigInt(x.n - 1);
  return addScalar(resize(addScalar(x, half), N), -half);
}

/** `op` on the rows of x and one word per row of s. */
export function byRow(
  op: (x: Words, s: Words, cols: number) => Words,
  x: Words,
  s: Words,
  shape: Shape,
  dims: Dims,
): Words {
  if (shape.cols !== 'keys') return op(x, s, shape.cols);
  let row = 0;
  const parts = blocks(shape, dims).map(({ offset, rows, cols }) => {
    const part = op(slice(x, offset, offset + rows * cols), slice(s, row, row + rows), cols);
    row += rows;
    return part;
  });
  return concatWords(parts);
}

/** Σ over the columns: (rows, cols) → (rows, 1). */
export function sumColumns(x: Words, shape: Shape, dims: Dims): Words {
  if (shape.cols !== 'keys') return sumRows(x, shape.cols);
  return concatWords(
    blocks(shape, dims).map(({ offset, rows, cols }) => sumRows(slice(x, offset, offset + rows * cols), cols)),
  );
}

/** Columns [from, to) of a wire of `cols` columns. */
export function columns(x: Words, cols: number, from: number, to: number): Words {
  if (from === 0 && to === cols) return x;
  const rows = x.length / cols;
  const out = blank(x.n, rows * (to - from));
  for (let i = 0; i < rows; i++) copy(x, i * cols + from, out, i * (to - from), to - from);
  return out;
}

/** `count` words of x from word `from` on to those of `out` from word `at` on. */
function copy(x: Words, from: number, out: Words, at: number, count: number): void {
  const s = slots(x.n);
  out.data.set(x.data.subarray(from * s, (from + count) * s), at * s);
}

/** Wires side by side. All have the same rows; cols[i] columns each. */
export function joinColumns(parts: readonly Words[], cols: readonly number[], rows: number): Words {
  const width = cols.reduce((sum, c) => sum + c, 0);
  const { n } = parts[0]!;
  const out = blank(n, rows * width);
  let left = 0;
  parts.forEach((part, p) => {
    const own = cols[p]!;
    if (part.n !== n || part.length !== rows * own)
      throw new Error(`columns of ${part.length} words of ring ${part.n}`);
    for (let i = 0; i < rows; i++) copy(part, i * own, out, i * width + left, own);
    left += own;
  });
  return out;
}

/** (head, D) → (token, heads·D): the heads of a text, each an L × D block, side by side. */
export function mergeHeads(x: Words, hidden: number, dims: Dims): Words {
  const out = blank(x.n, x.length);
  const D = hidden / dims.heads;
  let from = 0;
  let start = 0;
  for (const length of dims.lengths) {
    for (let h = 0; h < dims.heads; h++)
      for (let i = 0; i < length; i++, from += D) copy(x, from, out, start + i * hidden + h * D, D);
    start += length * hidden;
  }
  return out;
}

/** Row 0 of every text. */
export function firstRows(x: Words, cols: number, rows: Rows, dims: Dims): Words {
  const parts = blocks({ rows, cols }, dims).map(({ offset }) => slice(x, offset, offset + cols));
  return concatWords(parts);
}

export const plus = (x: Words, y: Words, sign: 1 | -1): Words => (sign === 1 ? add(x, y) : sub(x, y));
