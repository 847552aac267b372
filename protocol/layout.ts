/**
 * Moves and row operations on wires. A wire whose columns are the keys has rows of different lengths in different texts:
 * those go block by block, all others in one call.
 */
import { add, addScalar, concatWords, gather, resize, slice, sub, sumRows, type Words } from '../ring/index.ts';
import { blocks, rowCount, type Dims, type Rows, type Shape } from './shape.ts';

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
  const width = to - from;
  const index = new Uint32Array(rows * width);
  for (let i = 0, at = 0; i < rows; i++) for (let j = from; j < to; j++) index[at++] = i * cols + j;
  return gather(x, index);
}

/** Wires side by side. All have the same rows; cols[i] columns each. */
export function joinColumns(parts: readonly Words[], cols: readonly number[], rows: number): Words {
  const width = cols.reduce((sum, c) => sum + c, 0);
  const index = new Uint32Array(rows * width);
  let start = 0;
  let left = 0;
  for (const c of cols) {
    for (let i = 0; i < rows; i++) for (let j = 0; j < c; j++) index[i * width + left + j] = start + i * c + j;
    start += rows * c;
    left += c;
  }
  return gather(concatWords(parts), index);
}

/** For every word of (head, D) its place in (token, heads·D). */
function headIndex(hidden: number, dims: Dims): Uint32Array {
  const width = hidden / dims.heads;
  const index = new Uint32Array(rowCount('token', dims) * hidden);
  let at = 0;
  let start = 0;
  for (const length of dims.lengths) {
    for (let h = 0; h < dims.heads; h++)
      for (let i = 0; i < length; i++) for (let j = 0; j < width; j++) index[at++] = start + i * hidden + h * width + j;
    start += length * hidden;
  }
  return index;
}

/** (token, H) → (head, H / heads): every head of a text becomes one L × D block. */
export const splitHeads = (x: Words, hidden: number, dims: Dims): Words => gather(x, headIndex(hidden, dims));

/** (head, D) → (token, heads·D). */
export function mergeHeads(x: Words, hidden: number, dims: Dims): Words {
  const to = headIndex(hidden, dims);
  const from = new Uint32Array(to.length);
  for (let i = 0; i < to.length; i++) from[to[i]!] = i;
  return gather(x, from);
}

/** Row 0 of every text. */
export function firstRows(x: Words, cols: number, rows: Rows, dims: Dims): Words {
  const parts = blocks({ rows, cols }, dims).map(({ offset }) => slice(x, offset, offset + cols));
  return concatWords(parts);
}

export const plus = (x: Words, y: Words, sign: 1 | -1): Words => (sign === 1 ? add(x, y) : sub(x, y));
