/**
 * GF(2^64) = GF(2)[x] / (x^64 + x^4 + x^3 + x + 1), elements as words of ring 64: bit i is the coefficient of x^i. Addition is
 * `xor`. No branch and no index depends on an element.
 * Source: Seroussi, Table of low-weight binary irreducible polynomials, HP Labs 1998 (64, 4, 3, 1).
 */
import { zeros, type Words } from '../ring/index.ts';

/** x^64 modulo the polynomial. */
const REDUCTION = 0b11011;

function checkField(a: Words, b: Words): void {
  if (a.n !== 64 || b.n !== 64 || a.length !== b.length)
    throw new Error(`GF(2^64): ${a.length} words of ring ${a.n}, ${b.length} of ${b.n}`);
}

/** a_i · b_i, added into out_(at(i)). */
function multiplyInto(out: Words, a: Words, b: Words, at: (i: number) => number): void {
  checkField(a, b);
  for (let i = 0; i < a.length; i++) {
    let [low, high] = [a.data[2 * i]!, a.data[2 * i + 1]!];
    let [sumLow, sumHigh] = [0, 0];
    for (let half = 0; half < 2; half++) {
      const bits = b.data[2 * i + half]!;
      for (let j = 0; j < 32; j++) {
        const take = -((bits >>> j) & 1);
        sumLow ^= low & take;
        sumHigh ^= high & take;
        const carry = high >>> 31;
        high = (high << 1) | (low >>> 31);
        low = (low << 1) ^ (-carry & REDUCTION);
      }
    }
    const to = 2 * at(i);
    out.data[to]! ^= sumLow;
    out.data[to + 1]! ^= sumHigh;
  }
}

/** a_i · b_i. */
export function gfMultiply(a: Words, b: Words): Words {
  const out = zeros(64, a.length);
  multiplyInto(out, a, b, (i) => i);
  return out;
}

/** Σ a_i b_i over consecutive runs of `sizes` words: one word a run. */
export function gfDots(a: Words, b: Words, sizes: readonly number[]): Words {
  const ends: number[] = [];
  for (const size of sizes) ends.push((ends.at(-1) ?? 0) + size);
  if ((ends.at(-1) ?? 0) !== a.length) throw new Error(`GF(2^64): runs of ${ends.at(-1) ?? 0} words over ${a.length}`);
  const out = zeros(64, sizes.length);
  let run = 0;
  multiplyInto(out, a, b, (i) => {
    while (i >= ends[run]!) run++;
    return run;
  });
  return out;
}
