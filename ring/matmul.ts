import { kernels } from './kernels/kernels.ts';
import { resize } from './rings.ts';
import { slots, type Words, blank } from './words.ts';

/** a (m × k) · b (k × n), row-major, in one ring; an empty inner axis gives zeros. */
export function matmul(a: Words, b: Words, m: number, k: number, n: number): Words {
  if (a.n !== b.n) throw new Error(`matrix product of rings ${a.n} and ${b.n}`);
  if (a.length !== m * k || b.length !== k * n)
    throw new Error(`matrix product: ${a.length} and ${b.length} words for ${m}x${k} times ${k}x${n}`);
  const out = blank(a.n, m * n);
  kernels().matmul(a.data, b.data, out.data, m, k, n, 0, n, a.n);
  return out;
}

/** Matrices of one shape within `words`: each begins `step` words after the one before, the first at `from`; rows lie `row` words apart. */
export interface Matrices {
  readonly words: Words;
  readonly from: number;
  readonly step: number;
  readonly row: number;
}

/** `count` products of m × k and k × n. */
export interface ProductSizes {
  readonly count: number;
  readonly m: number;
  readonly k: number;
  readonly n: number;
}

/** The limbs of matrices of `rows` × `cols`, from the first on. */
function limbsOf({ words, from, step, row }: Matrices, count: number, rows: number, cols: number): Uint32Array {
  const last = count * rows * cols === 0 ? from : from + (count - 1) * step + (rows - 1) * row + cols;
  const valid = [from, step, row].every((v) => Number.isInteger(v) && v >= 0) && last <= words.length;
  if (!valid) throw new Error(`${count} matrices of ${rows}x${cols} from ${from} on by ${step} and ${row} in ${words.length} words`); // prettier-ignore
  return words.data.subarray(from * slots(words.n));
}

/**
 * c_i += a_i · b_i for many small matrices at once, in one ring; b_i given as n × k where `transposed`. The c_i are whole, one after
 * the other from word `at` of c on, which is changed.
 */
export function addProducts(
  c: Words,
  at: number,
  a: Matrices,
  b: Matrices,
  sizes: ProductSizes,
  transposed = false,
): void {
  const { count, m, k, n } = sizes;
  if (a.words.n !== c.n || b.words.n !== c.n)
    throw new Error(`matrix products of rings ${a.words.n}, ${b.words.n}, ${c.n}`);
  const [left, right] = [limbsOf(a, count, m, k), transposed ? limbsOf(b, count, n, k) : limbsOf(b, count, k, n)];
  const out = limbsOf({ words: c, from: at, step: m * n, row: n }, count, m, n);
  kernels().matmulBatch(left, right, out, count, m, k, n, a.step, a.row, b.step, b.row, transposed ? 1 : 0, c.n);
}

/** A matrix in the order in which the kernels that packed it multiply with it: as large as its words, edges apart. */
export interface PackedMatrix {
  /** Ring of its words; products in every ring ≤ n can be had. */
  readonly n: number;
  readonly rows: number;
  readonly cols: number;
  /** Name of the kernels. */
  readonly kernels: string;
  readonly data: Uint32Array;
}

/** Packs b (rows × cols) once, for many products. */
export function packMatrix(b: Words, rows: number, cols: number): PackedMatrix {
  if (b.length !== rows * cols) throw new Error(`${b.length} words for a matrix of ${rows}x${cols}`);
  const set = kernels();
  const size = set.packedLimbs(rows, cols, b.n);
  const room = new Uint32Array(size + 15);
  const from = set.unaligned(room);
  const data = room.subarray(from, from + size);
  set.packMatrix(b.data, data, rows, cols, b.n);
  return { n: b.n, rows, cols, kernels: set.name, data };
}

/** A static matrix: as words, or packed once. */
export type Factor = Words | PackedMatrix;

export const isPacked = (b: Factor): b is PackedMatrix => 'kernels' in b;

/** a (m × rows of b) · b in the ring of a, at most that of b. */
export function matmulPacked(a: Words, b: PackedMatrix, m: number): Words {
  const set = kernels();
  if (set.name !== b.kernels) throw new Error(`a matrix packed for ${b.kernels} kernels, ${set.name} in use`);
  if (a.n > b.n) throw new Error(`matrix product of ring ${a.n} with a matrix of ring ${b.n}`);
  if (a.length !== m * b.rows) throw new Error(`matrix product: ${a.length} words for ${m}x${b.rows}`);
  // A narrower slot than that of b: its words are the same integers in a wider one.
  if (slots(a.n) !== slots(b.n)) return resize(matmulPacked(resize(a, b.n), b, m), a.n);
  const out = blank(a.n, m * b.cols);
  set.matmulPacked(a.data, b.data, out.data, m, b.rows, b.cols, 0, b.cols, b.n, a.n);
  return out;
}

/** a (m × k) · b (k × n) in the ring of a, whichever way b is kept. */
export const times = (a: Words, b: Factor, m: number, k: number, n: number): Words =>
  isPacked(b) ? matmulPacked(a, b, m) : matmul(a, b, m, k, n);
