/** Elementwise arithmetic of Z_2^n. All operands of a function are in one ring; results are reduced modulo 2^n. */
import { kernels } from './kernels/kernels.ts';
import { blank, fromBigInts, fromNumbers, type Words, zeros } from './words.ts';

const ADD = 0, SUB = 1, MUL = 2, REVERSE_SUB = 3; // prettier-ignore
const SAME = 0, ROW = 1, COLUMN = 2, SCALAR = 3; // prettier-ignore

function zip(op: number, mode: number, a: Words, s: Words, rows: number, cols: number): Words {
  const operands = mode === SAME ? a.length : mode === ROW ? rows : mode === COLUMN ? cols : 1;
  if (a.n !== s.n) throw new Error(`operands in rings ${a.n} and ${s.n}`);
  if (a.length !== rows * cols || s.length !== operands)
    throw new Error(`operands of ${a.length} and ${s.length} words, ${rows * cols} and ${operands} expected`);
  const out = blank(a.n, a.length);
  kernels().zip(op, mode, a.data, s.data, out.data, rows, cols, a.n);
  return out;
}

/** rows of `cols` words in a; throws if they do not divide. */
function rowsOf(a: Words, cols: number): number {
  if (cols === 0 && a.length === 0) return 0;
  if (!Number.isInteger(cols) || cols < 1 || a.length % cols !== 0)
    throw new Error(`${a.length} words in rows of ${cols}`);
  return a.length / cols;
}

const scalar = (k: number | bigint, n: number): Words =>
  typeof k === 'bigint' ? fromBigInts([k], n) : fromNumbers([k], n);

export const add = (a: Words, b: Words): Words => zip(ADD, SAME, a, b, 1, a.length);
export const sub = (a: Words, b: Words): Words => zip(SUB, SAME, a, b, 1, a.length);
export const mul = (a: Words, b: Words): Words => zip(MUL, SAME, a, b, 1, a.length);
export const neg = (a: Words): Words => zip(REVERSE_SUB, SCALAR, a, zeros(a.n, 1), 1, a.length);
/** k·a, k an integer of at most 53 bits (or a bigint). */
export const scale = (a: Words, k: number | bigint): Words => zip(MUL, SCALAR, a, scalar(k, a.n), 1, a.length);
export const addScalar = (a: Words, k: number | bigint): Words => zip(ADD, SCALAR, a, scalar(k, a.n), 1, a.length);
/** a·2^s mod 2^n, 0 ≤ s. */
export function shiftLeft(a: Words, s: number): Words {
  if (!Number.isInteger(s) || s < 0) throw new Error(`shift left by ${s}`);
  return scale(a, s >= a.n ? 0n : 1n << BigInt(s));
}

/** a (rows × cols) with row i multiplied by s_i. */
export const mulRows = (a: Words, s: Words, cols: number): Words => zip(MUL, ROW, a, s, rowsOf(a, cols), cols);
/** a (rows × cols) with s_i added to row i. */
export const addRows = (a: Words, s: Words, cols: number): Words => zip(ADD, ROW, a, s, rowsOf(a, cols), cols);
/** a (rows × cols) with column j multiplied by v_j; cols is the length of v. */
export const mulCols = (a: Words, v: Words): Words => zip(MUL, COLUMN, a, v, rowsOf(a, v.length), v.length);
/** a (rows × cols) with v_j added to column j; cols is the length of v. */
export const addCols = (a: Words, v: Words): Words => zip(ADD, COLUMN, a, v, rowsOf(a, v.length), v.length);

function sum(a: Words, cols: number, axis: 0 | 1): Words {
  const rows = rowsOf(a, cols);
  const out = blank(a.n, axis === 0 ? cols : rows);
  kernels().sum(a.data, out.data, rows, cols, axis, a.n);
  return out;
}
/** One word a row: Σ_j a_ij of a (rows × cols). */
export const sumRows = (a: Words, cols: number): Words => sum(a, cols, 1);
/** One word a column: Σ_i a_ij of a (rows × cols). */
export const sumCols = (a: Words, cols: number): Words => sum(a, cols, 0);

/** a[index_0], a[index_1], … */
export function gather(a: Words, index: Uint32Array): Words {
  const out = blank(a.n, index.length);
  const bad = kernels().gather(a.data, index, out.data, index.length, a.length, a.n);
  if (bad !== 0) throw new Error(`gather: index ${index[bad - 1]} of ${a.length} words`);
  return out;
}

/** a_i where bit_i = 1, else b_i; no branch depends on a bit. bits is in ring 1. */
export function select(bits: Words, a: Words, b: Words): Words {
  if (bits.n !== 1 || bits.length !== a.length || a.length !== b.length || a.n !== b.n)
    throw new Error(`select: ${bits.length} words of ring ${bits.n}, ${a.length} of ${a.n}, ${b.length} of ${b.n}`);
  const out = blank(a.n, a.length);
  kernels().choose(bits.data, a.data, b.data, out.data, a.length, a.n);
  return out;
}
