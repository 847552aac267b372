/**
 * Interval guard on an opening c = x + r mod 2^n with r uniform: the arithmetic of its cells, without shares of anything else.
 *
 * One level looks at c modulo 2^n_l and divides that ring into M = 2^m cells of w = 2^(n_l − m), cell 0 beginning at `offset`.
 * Write k = cell(c − offset) and ρ = r >> (n_l − m) mod M. Then k − ρ is the cell of x − offset or the next one: the carry out
 * of the low bits of r decides. With cells 1..free unflagged, the flag of cell k − ρ is therefore
 *   never set  where x − offset is in cells 1..free−1,   i.e. x ∈ [offset + w, offset + free w)        "safe"
 *   always set where x − offset is outside cells 0..free, i.e. x ∉ [offset, offset + (free + 1) w)     "passes"
 * modulo 2^n_l, and set with a probability that falls linearly over the one cell between. The dealer knows r, hence the whole
 * rotated table (M bits) before c exists; k is public; the bit is looked up, not computed.
 *
 * Nested levels, from wide to narrow: a value passes if it passes every level. A narrower level alone has one window in every
 * period 2^n_l; the wider ones leave an interval S that only one of these windows meets (`guardSpan` refuses otherwise), so
 * what passes all levels is one interval of the widest ring, as sharp as the narrowest cell.
 * Source: masked-suite design, section 8 (Guard); specification guard.py, which fixes the rotation and the unflagged cells.
 */
import {
  addScalar, cellFlags, cellTables as rotatedTables, resize, shiftRight, zeros, type Words,
} from '../../ring/index.ts'; // prettier-ignore
import type { GuardLevel } from '../program.ts';
import { blocks, type Dims, type Shape } from '../shape.ts';

/** Largest m: a table is one word of ring 2^m, of at most two limbs. */
export const MAX_CELL_BITS = 6;

/** Flags of a word of the `bits` wire. */
export const FLAGS_PER_WORD = 64;

export const cellWidth = (level: GuardLevel, m: number): bigint => 1n << BigInt(level.n - m);

/** Half-open intervals in units of the opening: what may pass unflagged, and what is never flagged. */
export interface GuardSpan {
  readonly passes: readonly [bigint, bigint];
  readonly safe: readonly [bigint, bigint];
}

const least = (a: bigint, b: bigint): bigint => (a < b ? a : b);
const greatest = (a: bigint, b: bigint): bigint => (a > b ? a : b);
const floorDiv = (a: bigint, b: bigint): bigint => (a >= 0n ? a / b : -((-a + b - 1n) / b));

/**
 * Both intervals of nested levels, modulo the ring of the widest; undefined where the levels do not nest: a level has no cell
 * on either side of its window, or two of its windows meet what the wider ones leave.
 */
export function guardSpan(levels: readonly GuardLevel[], m: number): GuardSpan | undefined {
  let span: GuardSpan | undefined;
  for (const level of levels) {
    const { n, free } = level;
    if (!(n > m && free >= 2 && free <= 2 ** m - 2)) return undefined;
    const [w, offset, period] = [cellWidth(level, m), BigInt(level.offset), 1n << BigInt(n)];
    const window = [offset, offset + BigInt(free + 1) * w] as const;
    let shift = 0n;
    if (span !== undefined) {
      const [from, to] = span.passes;
      // The first copy that ends after `from`, and the one after it.
      shift = (floorDiv(from - window[1], period) + 1n) * period;
      if (window[0] + shift >= to || window[0] + shift + period < to) return undefined;
    }
    const passes = [window[0] + shift, window[1] + shift] as const;
    const safe = [passes[0] + w, passes[1] - w] as const;
    span =
      span === undefined
        ? { passes, safe }
        : {
            passes: [greatest(passes[0], span.passes[0]), least(passes[1], span.passes[1])],
            safe: [greatest(safe[0], span.safe[0]), least(safe[1], span.safe[1])],
          };
  }
  return span !== undefined && span.safe[0] < span.safe[1] ? span : undefined;
}

/** The flags of the unrotated cells: bit j is set except for 1..free. */
const unrotated = ({ free }: GuardLevel, m: number): bigint =>
  ((1n << BigInt(2 ** m)) - 1n) ^ ((1n << BigInt(free + 1)) - 2n);

/** The m top bits of x − offset modulo 2^n_l, one number a word. */
function cellsOf(x: Words, n: number, offset: number, m: number): Uint32Array {
  const reduced = x.n === n ? x : resize(x, n);
  return shiftRight(offset === 0 ? reduced : addScalar(reduced, -BigInt(offset)), n - m).data;
}

/** For every mask r the table of one level: bit i of a word of ring 2^m is the flag of cell i − ρ. No branch depends on r. */
export const cellTables = (r: Words, level: GuardLevel, m: number): Words =>
  rotatedTables(r, level.n, m, unrotated(level, m));

/**
 * The bit of every table that the public c points at: this party's XOR share of the flag. The tables of c are the words from
 * `from` on.
 */
export function cellBits(c: Words, tables: Words, level: GuardLevel, m: number, from = 0): Uint8Array {
  const at = cellsOf(c, level.n, level.offset, m);
  const limbs = m > 5 ? 2 : 1;
  const out = new Uint8Array(c.length);
  for (let i = 0, table = from * limbs; i < out.length; i++, table += limbs)
    out[i] = (tables.data[table + (at[i]! >>> 5)]! >>> (at[i]! & 31)) & 1;
  return out;
}

/** Words of ring 64 that the flags of each text take. */
export const flagWords = (levels: number, shape: Shape, dims: Dims): number[] =>
  blocks(shape, dims).map(({ rows, cols }) => Math.ceil((levels * rows * cols) / FLAGS_PER_WORD));

/** Flags of all levels, 64 to a word: text by text, level by level, each text padded with zeros to a whole word. */
export function packFlags(bits: readonly Uint8Array[], shape: Shape, dims: Dims): Words {
  const sizes = flagWords(bits.length, shape, dims);
  const out = zeros(
    FLAGS_PER_WORD,
    sizes.reduce((a, b) => a + b, 0),
  );
  let start = 0;
  blocks(shape, dims).forEach(({ offset, rows, cols }, text) => {
    let at = start;
    for (const level of bits)
      for (let i = offset; i < offset + rows * cols; i++, at++) out.data[at >>> 5]! |= level[i]! << (at & 31);
    start += sizes[text]! * FLAGS_PER_WORD;
  });
  return out;
}

/** `packFlags` of the `cellBits` of every level, whose tables follow one another. */
export function flagShares(
  c: Words,
  tables: Words,
  levels: readonly GuardLevel[],
  m: number,
  shape: Shape,
  dims: Dims,
): Words {
  const sizes = flagWords(levels.length, shape, dims);
  const out = zeros(
    FLAGS_PER_WORD,
    sizes.reduce((a, b) => a + b, 0),
  );
  let start = 0;
  for (const [text, { offset: first, rows, cols }] of blocks(shape, dims).entries()) {
    const end = first + rows * cols;
    levels.forEach((level, l) => {
      const from = start + l * (end - first);
      cellFlags(c, tables, level, m, { first, end, table: l * c.length + first, bits: out.data, from });
    });
    start += sizes[text]! * FLAGS_PER_WORD;
  }
  return out;
}
