/** From one ring to another: reduction, shifts, truncation. */
import { kernels } from './kernels/kernels.ts';
import { blank, type Words, zeros } from './words.ts';

const NEGATE_FIRST = 1, NEGATE_LAST = 2, SIGNED = 4; // prettier-ignore

function convert(a: Words, m: number, shift: number, flags = 0): Words {
  const out = blank(m, a.length);
  kernels().convert(a.data, out.data, a.length, a.n, m, shift, flags);
  return out;
}

function checkShift(a: Words, f: number): void {
  if (!Number.isInteger(f) || f < 0 || f >= a.n) throw new Error(`shift by ${f} in ring ${a.n}`);
}

/** Modulo 2^n where n is narrower; where it is wider, the representative in [0, 2^a.n) as it is (zero-extended). */
export const resize = (a: Words, n: number): Words => convert(a, n, 0);
/** As resize, but a wider ring gets the representative in [−2^(a.n−1), 2^(a.n−1)). */
export const resizeSigned = (a: Words, n: number): Words => convert(a, n, 0, SIGNED);

/** floor(a / 2^f) of the representative in [0, 2^n), in ring n − f. 0 ≤ f < n. */
export function shiftRight(a: Words, f: number): Words {
  checkShift(a, f);
  return convert(a, a.n - f, f);
}

/** floor(a / 2^f) of the signed representative, in the same ring. 0 ≤ f < n. */
export function shiftRightSigned(a: Words, f: number): Words {
  checkShift(a, f);
  return convert(a, a.n, f, SIGNED);
}

/**
 * Truncate-reduce of one party's share of z in ring n: [z']_0 = z_0 >> f, [z']_1 = −((−z_1 mod 2^n) >> f), both in ring n − f.
 * The sum is floor((z + u) / 2^f) with u = `roundingWord(z_1, f)`: unbiased, never off by more (masked suite, section 2;
 * Escudero et al., ePrint 2020/338). f = 0 changes nothing.
 */
export function truncateReduce(party: 0 | 1, a: Words, f: number): Words {
  checkShift(a, f);
  return convert(a, a.n - f, f, party === 0 ? 0 : NEGATE_FIRST | NEGATE_LAST);
}

/** u = (−a) mod 2^f, the rounding word of party 1's share, in ring max(f, 1) (zeros if f = 0). 0 ≤ f ≤ n. */
export function roundingWord(a: Words, f: number): Words {
  if (!Number.isInteger(f) || f < 0 || f > a.n) throw new Error(`rounding word of ${f} bits in ring ${a.n}`);
  return f === 0 ? zeros(1, a.length) : convert(a, f, 0, NEGATE_FIRST);
}

/** The bit of weight 2^(n−1), in ring 1. */
export const topBit = (a: Words): Words => convert(a, 1, a.n - 1);
