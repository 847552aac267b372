/**
 * Words of Z_2^n. A word is kept as its representative in [0, 2^n) in a slot of 32, 64 or 128 bits, little endian, so
 * that every ring has one storage and kernels never box a BigInt.
 */
import { limbs } from './region.ts';

export interface Words {
  /** Ring width in bits, 1..128. */
  readonly n: number;
  /** Number of words. */
  readonly length: number;
  /** length · slots(n) little-endian 32-bit limbs. Treat as immutable once handed on. */
  readonly data: Uint32Array;
}

/** 32-bit limbs a word of ring n occupies in memory: 1 (n ≤ 32), 2 (n ≤ 64) or 4 (n ≤ 128). */
export const slots = (n: number): 1 | 2 | 4 => (n <= 32 ? 1 : n <= 64 ? 2 : 4);

if (new Uint8Array(Uint32Array.of(1).buffer)[0] !== 1) throw new Error('ring words need a little-endian machine');

/** Throws unless 1 ≤ n ≤ 128. */
export function checkRing(n: number): void {
  if (!Number.isInteger(n) || n < 1 || n > 128) throw new Error(`ring width ${n}: not in 1..128`);
}

/** `length` words of ring n of any content, for kernels that write them all. */
export function blank(n: number, length: number): Words {
  checkRing(n);
  if (!Number.isInteger(length) || length < 0) throw new Error(`${length} words`);
  return { n, length, data: limbs(length * slots(n)) };
}

/** `length` zeros of ring n. */
export function zeros(n: number, length: number): Words {
  const out = blank(n, length);
  out.data.fill(0);
  return out;
}

/** Words over existing limbs (not copied); each must already be reduced. */
export function wrap(n: number, data: Uint32Array): Words {
  checkRing(n);
  if (data.length % slots(n) !== 0) throw new Error(`${data.length} limbs do not make words of ring ${n}`);
  return { n, length: data.length / slots(n), data };
}

/** Bits of the top limb of a word in use. */
const topMask = (n: number): number => {
  const bits = n - 32 * (Math.ceil(n / 32) - 1);
  return bits === 32 ? 0xffffffff : 2 ** bits - 1;
};

/** Clears what stands above bit n in every word. */
function reduceInPlace(w: Words): Words {
  const s = slots(w.n);
  const used = Math.ceil(w.n / 32);
  const mask = topMask(w.n);
  for (let i = 0; i < w.data.length; i += s) {
    w.data[i + used - 1]! &= mask;
    for (let j = used; j < s; j++) w.data[i + j] = 0;
  }
  return w;
}

/** Integers |v| ≤ 2^53 in two's complement, reduced modulo 2^n. Throws for anything else. */
export function fromNumbers(values: ArrayLike<number>, n: number): Words {
  const out = zeros(n, values.length);
  const s = slots(n);
  for (let i = 0; i < values.length; i++) {
    const v = values[i]!;
    if (!Number.isInteger(v) || v > 2 ** 53 || v < -(2 ** 53))
      throw new Error(`word ${i}: ${v} is not an integer of at most 53 bits`);
    out.data[i * s] = v; // ToUint32 is reduction modulo 2^32
    if (s > 1) {
      out.data[i * s + 1] = Math.floor(v / 2 ** 32);
      if (s > 2 && v < 0) out.data.fill(0xffffffff, i * s + 2, i * s + 4);
    }
  }
  return reduceInPlace(out);
}

/** Any integers, reduced modulo 2^n. For tests and scalars: BigInt is slow. */
export function fromBigInts(values: readonly bigint[], n: number): Words {
  const out = zeros(n, values.length);
  const s = slots(n);
  for (let i = 0; i < values.length; i++) {
    let v = BigInt.asUintN(n, values[i]!);
    for (let j = 0; j < s; j++, v >>= 32n) out.data[i * s + j] = Number(v & 0xffffffffn);
  }
  return out;
}

/** Representatives in [0, 2^n). */
export function toBigInts(w: Words): bigint[] {
  const s = slots(w.n);
  return Array.from({ length: w.length }, (_, i) => {
    let v = 0n;
    for (let j = s - 1; j >= 0; j--) v = (v << 32n) | BigInt(w.data[i * s + j]!);
    return v;
  });
}

/** Representatives in [−2^(n−1), 2^(n−1)) as numbers; throws if one is beyond ±2^53. */
export function toSigned(w: Words): Float64Array {
  const { n, data } = w;
  const s = slots(n);
  const used = Math.ceil(n / 32);
  const up = 32 * used - n;
  const out = new Float64Array(w.length);
  for (let i = 0; i < w.length; i++) {
    const at = i * s;
    // The top limb in use, sign-extended, then the lower ones; sums beyond 2^53 round but stay beyond it.
    let v = (data[at + used - 1]! << up) >> up;
    for (let j = used - 2; j >= 0; j--) v = v * 2 ** 32 + data[at + j]!;
    if (v > 2 ** 53 || v < -(2 ** 53)) throw new Error(`word ${i} of ring ${n} is beyond 2^53`);
    out[i] = v;
  }
  return out;
}

/** Throws unless `w` is `length` words of ring n, each in [0, 2^n). `what` names it in the message; values are not shown. */
export function checkWords(w: Words, n: number, length: number, what: string): Words {
  if (w.n !== n) throw new Error(`${what}: ring ${w.n}, ${n} expected`);
  if (w.length !== length) throw new Error(`${what}: ${w.length} words, ${length} expected`);
  if (w.data.length !== length * slots(n))
    throw new Error(`${what}: ${w.data.length} limbs for ${length} words of ring ${n}`);
  const s = slots(n);
  const used = Math.ceil(n / 32);
  const high = ~topMask(n);
  let wide = 0;
  for (let i = 0; i < w.data.length; i += s) {
    wide |= w.data[i + used - 1]! & high;
    for (let j = used; j < s; j++) wide |= w.data[i + j]!;
  }
  if (wide !== 0) throw new Error(`${what}: a word is not reduced modulo 2^${n}`);
  return w;
}

/** Same ring, same length, same words. Takes the same time wherever they differ. */
export function equal(a: Words, b: Words): boolean {
  if (a.n !== b.n || a.length !== b.length) return false;
  let difference = 0;
  for (let i = 0; i < a.data.length; i++) difference |= a.data[i]! ^ b.data[i]!;
  return difference === 0;
}

/** Words from..to (end excluded) where they lie. */
export function view(a: Words, from: number, to: number): Words {
  if (!(from >= 0 && from <= to && to <= a.length)) throw new Error(`view ${from}..${to} of ${a.length} words`);
  const s = slots(a.n);
  return { n: a.n, length: to - from, data: a.data.subarray(from * s, to * s) };
}

/** Words from..to (end excluded), a copy. */
export function slice(a: Words, from: number, to: number): Words {
  if (!(from >= 0 && from <= to && to <= a.length)) throw new Error(`slice ${from}..${to} of ${a.length} words`);
  const s = slots(a.n);
  const out = blank(a.n, to - from);
  out.data.set(a.data.subarray(from * s, to * s));
  return out;
}

/** One after the other; all of the same ring, at least one. */
export function concatWords(parts: readonly Words[]): Words {
  if (parts.length === 0) throw new Error('nothing to concatenate');
  const { n } = parts[0]!;
  const out = blank(
    n,
    parts.reduce((sum, p) => sum + p.length, 0),
  );
  let at = 0;
  for (const p of parts) {
    if (p.n !== n) throw new Error(`concatenation of rings ${n} and ${p.n}`);
    out.data.set(p.data, at);
    at += p.data.length;
  }
  return out;
}
