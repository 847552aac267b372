/**
 * Kernels of the Fourier gate, y = Σ_k a_k cos(2πkx/2^b) + b_k sin(2πkx/2^b), in integers only: both parties and the dealer
 * must get the same bits, so cosines come from one shipped table, never from Math.cos. With G = 28 and phase = hi·2^l + lo:
 *   cos = (Ch Cl − Sh Sl + 2^27) >> 28, sin = (Sh Cl + Ch Sl + 2^27) >> 28,
 *   A_k = (a_k cos + b_k sin + 2^27) >> 28, B_k = (a_k sin − b_k cos + 2^27) >> 28 at phase k·c mod 2^b,
 *   dealer words (cos + 2^(27−g1)) >> (28−g1) at phase k·r (unchanged if g1 = 28).
 */
import { kernels } from './kernels/kernels.ts';
import { type Words, blank } from './words.ts';

/** Fraction bits of the trig table. */
export const TRIG_BITS = 28;

export interface TrigSpec {
  /** Period 2^b of the input; at most 62. */
  readonly b: number;
  /** Low phase bits: phase = hi·2^l + lo. hiCos and hiSin have 2^(b−l) entries, loCos and loSin 2^l, all at scale 2^28. */
  readonly l: number;
  readonly hiCos: Int32Array;
  readonly hiSin: Int32Array;
  readonly loCos: Int32Array;
  readonly loSin: Int32Array;
  /** Cosine coefficients a_1..a_K at scale 2^g2; |a_k| + |b_k| < 2^34, so that products with a table entry fit int64. */
  readonly a: BigInt64Array;
  /** Sine coefficients b_1..b_K at scale 2^g2. */
  readonly bk: BigInt64Array;
  /** Scale of the dealer's words, at most 28. */
  readonly g1: number;
  readonly g2: number;
}

const COEFFICIENT_LIMIT = 1n << 34n;

/** Throws unless the tables have their lengths and the integers their bounds. */
export function checkTrig(spec: TrigSpec): void {
  const { b, l, g1, a, bk } = spec;
  if (!(b >= 1 && b <= 62 && l >= 0 && l <= b)) throw new Error(`trig table: b = ${b}, l = ${l}`);
  if (!(g1 >= 0 && g1 <= TRIG_BITS)) throw new Error(`trig table: g1 = ${g1}`);
  const sizes = [spec.hiCos.length, spec.hiSin.length, spec.loCos.length, spec.loSin.length];
  const expected = [2 ** (b - l), 2 ** (b - l), 2 ** l, 2 ** l];
  if (sizes.some((s, i) => s !== expected[i]))
    throw new Error(`trig table of period 2^${b}: lengths ${sizes}, not ${expected}`);
  if (a.length !== bk.length) throw new Error(`Fourier coefficients: ${a.length} cosines, ${bk.length} sines`);
  a.forEach((v, k) => {
    const w = bk[k]!;
    if ((v < 0n ? -v : v) + (w < 0n ? -w : w) >= COEFFICIENT_LIMIT)
      throw new Error(`Fourier coefficient ${k + 1}: beyond 2^34`);
  });
}

function checkInput(c: Words, spec: TrigSpec, what: string): void {
  checkTrig(spec);
  if (c.n !== spec.b) throw new Error(`${what} in ring ${c.n}, the Fourier gate has period 2^${spec.b}`);
}

/** A_1..A_K, B_1..B_K at scale 2^g2 for every opened c (ring b): 2K words of ring 64 an element, two's complement. */
export function fourierPublic(c: Words, spec: TrigSpec): Words {
  checkInput(c, spec, 'c');
  const K = spec.a.length;
  const out = blank(64, c.length * 2 * K);
  kernels().fourierPublic(c.data, spec.hiCos, spec.hiSin, spec.loCos, spec.loSin, spec.a, spec.bk, out.data, c.length, K, spec.b, spec.l); // prettier-ignore
  return out;
}

/** cos_1..cos_K, sin_1..sin_K at scale 2^g1 for every mask r (ring b): 2K words of ring n an element. */
export function fourierSecret(
  r: Words,
  spec: TrigSpec,
  n: number,
  out = blank(n, r.length * 2 * spec.a.length),
): Words {
  checkInput(r, spec, 'r');
  const K = spec.a.length;
  if (out.n !== n || out.length !== r.length * 2 * K)
    throw new Error(`Fourier words: room for ${out.length} of ring ${out.n}`);
  kernels().fourierSecret(r.data, spec.hiCos, spec.hiSin, spec.loCos, spec.loSin, out.data, r.length, K, spec.b, spec.l, spec.g1, n); // prettier-ignore
  return out;
}

/** Σ_j fourierPublic(c)_j · T_j mod 2^n for every c, without the intermediate. T: 2K words of ring n an element. */
export function fourierDot(c: Words, T: Words, spec: TrigSpec, n: number, out = blank(n, c.length)): Words {
  checkInput(c, spec, 'c');
  const K = spec.a.length;
  if (T.n !== n || T.length !== c.length * 2 * K)
    throw new Error(`Fourier words: ${T.length} of ring ${T.n}, ${c.length * 2 * K} of ring ${n} expected`);
  if (out.n !== n || out.length !== c.length) throw new Error(`Fourier sums: room for ${out.length} of ring ${out.n}`);
  kernels().fourierDot(c.data, T.data, spec.hiCos, spec.hiSin, spec.loCos, spec.loSin, spec.a, spec.bk, out.data, c.length, K, spec.b, spec.l, n); // prettier-ignore
  return out;
}
