/** Fixed point: a real x at scale 2^f is round(x·2^f) mod 2^n. */
import { RefusedError } from '../common/errors.ts';
import { kernels } from './kernels/kernels.ts';
import { type Words, blank } from './words.ts';

const MAX_SCALE = 512;

function checkScale(f: number): void {
  if (!Number.isInteger(f) || f < 0 || f > MAX_SCALE) throw new Error(`scale 2^${f}: not in 0..${MAX_SCALE}`);
}

/**
 * Reals to words, rounded to nearest, ties to even.
 * @throws RefusedError if a value is not finite or its rounded product lies outside [−2^(n−1), 2^(n−1)).
 */
export function encode(values: ArrayLike<number>, f: number, n: number): Words {
  checkScale(f);
  const x = values instanceof Float64Array ? values : Float64Array.from(values);
  const out = blank(n, x.length);
  const bad = kernels().encode(x, out.data, x.length, f, n);
  if (bad !== 0)
    throw new RefusedError(
      `value ${bad - 1} does not fit: not finite, or outside the signed range of ${n} bits at scale 2^${f}`,
      'use a wider ring or a smaller scale, or mend the value',
    );
  return out;
}

/** Signed words divided by 2^f, rounded once to binary64 (nearest, ties to even). */
export function decode(w: Words, f: number): Float64Array {
  checkScale(f);
  const x = new Float64Array(w.length);
  kernels().decode(w.data, x, w.length, f, w.n);
  return x;
}
