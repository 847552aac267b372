/**
 * GF(2^64) = GF(2)[x] / (x^64 + x^4 + x^3 + x + 1), elements as words of ring 64: bit i is the coefficient of x^i. Addition is
 * `xor`. No branch and no index depends on an element.
 * Source: Seroussi, Table of low-weight binary irreducible polynomials, HP Labs 1998 (64, 4, 3, 1).
 */
import { blank, kernels, type Words } from '../ring/index.ts';

/** a_i · b_i. */
export const gfMultiply = (a: Words, b: Words): Words => gfDots(a, b, new Array<number>(a.length).fill(1));

/** Σ a_i b_i over consecutive runs of `sizes` words: one word a run. */
export function gfDots(a: Words, b: Words, sizes: readonly number[]): Words {
  if (a.n !== 64 || b.n !== 64 || a.length !== b.length)
    throw new Error(`GF(2^64): ${a.length} words of ring ${a.n}, ${b.length} of ${b.n}`);
  const words = sizes.reduce((sum, size) => sum + size, 0);
  if (words !== a.length) throw new Error(`GF(2^64): runs of ${words} words over ${a.length}`);
  const out = blank(64, sizes.length);
  kernels().gfDots(a.data, b.data, Uint32Array.from(sizes), out.data, sizes.length);
  return out;
}
