/**
 * Counter-based pseudo-random numbers for everything that must repeat but need not be secret: shuffles, dropout, initial
 * weights, drawn samples. **Never for shares, masks or keys**: Philox is not a cipher.
 *
 * Philox-4x32-10 of Salmon et al., "Parallel random numbers: as easy as 1, 2, 3" (SC 2011): a bijection of a 128-bit counter
 * under a 64-bit key. A generator is named by (seed, ...key); two names give unrelated streams, so a number depends on
 * what it is for, never on how many were drawn before it elsewhere.
 */

const M0 = 0xd2511f53;
const M1 = 0xcd9e8d57;
const W0 = 0x9e3779b9;
const W1 = 0xbb67ae85;

/** High 32 bits of the 64-bit product of two 32-bit words. */
function mulHigh(a: number, b: number): number {
  const ah = a >>> 16;
  const al = a & 0xffff;
  const bh = b >>> 16;
  const bl = b & 0xffff;
  const mid = (Math.imul(ah, bl) >>> 0) + (Math.imul(al, bl) >>> 16);
  const low = (Math.imul(al, bh) >>> 0) + (mid & 0xffff);
  return (Math.imul(ah, bh) + (mid >>> 16) + (low >>> 16)) | 0;
}

/** Ten rounds of Philox-4x32: `counter` (4 words) under key (k0, k1), written to `out` (4 words; may be `counter`). */
export function philox4x32(counter: Uint32Array, k0: number, k1: number, out: Uint32Array): void {
  let a = counter[0]! | 0;
  let b = counter[1]! | 0;
  let c = counter[2]! | 0;
  let d = counter[3]! | 0;
  for (let round = 0; round < 10; round++) {
    const high0 = mulHigh(M0, a);
    const low0 = Math.imul(M0, a);
    const high1 = mulHigh(M1, c);
    const low1 = Math.imul(M1, c);
    a = high1 ^ b ^ k0;
    b = low1;
    c = high0 ^ d ^ k1;
    d = low0;
    k0 = (k0 + W0) | 0;
    k1 = (k1 + W1) | 0;
  }
  out[0] = a;
  out[1] = b;
  out[2] = c;
  out[3] = d;
}

/** One injective byte string per (seed, ...key): a tag, then a float64, or a length and UTF-8. */
function nameBytes(parts: readonly (number | string)[]): Uint8Array {
  const chunks: Uint8Array[] = [];
  for (const part of parts) {
    if (typeof part === 'string') {
      const text = new TextEncoder().encode(part);
      const head = new Uint8Array(5);
      head[0] = 2;
      new DataView(head.buffer).setUint32(1, text.length, true);
      chunks.push(head, text);
    } else {
      if (!Number.isFinite(part)) throw new Error(`CounterRandom: key part ${part} is not finite`);
      const bytes = new Uint8Array(9);
      bytes[0] = 1;
      new DataView(bytes.buffer).setFloat64(1, part, true);
      chunks.push(bytes);
    }
  }
  const length = chunks.reduce((sum, chunk) => sum + chunk.length, 0);
  const out = new Uint8Array((length + 7) & ~7);
  let at = 0;
  for (const chunk of chunks) {
    out.set(chunk, at);
    at += chunk.length;
  }
  return out;
}

/** A stream of numbers named by a seed and any further key parts. */
export class CounterRandom {
  readonly #k0: number;
  readonly #k1: number;
  /** Words 0 and 1 count blocks; words 2 and 3 belong to the name. */
  readonly #counter = new Uint32Array(4);
  readonly #block = new Uint32Array(4);
  #used = 4;
  #spareNormal: number | undefined;

  constructor(seed: number | string, ...key: readonly (number | string)[]) {
    // The name is absorbed 8 bytes at a time with Philox as a Davies–Meyer compression function.
    const bytes = nameBytes([seed, ...key]);
    const view = new DataView(bytes.buffer);
    const state = new Uint32Array([0, 0, bytes.length, 0]);
    const mixed = new Uint32Array(4);
    for (let at = 0; at < bytes.length; at += 8) {
      philox4x32(state, view.getInt32(at, true), view.getInt32(at + 4, true), mixed);
      for (let i = 0; i < 4; i++) state[i]! ^= mixed[i]!;
    }
    this.#k0 = state[0]! | 0;
    this.#k1 = state[1]! | 0;
    this.#counter[2] = state[2]!;
    this.#counter[3] = state[3]!;
  }

  /** Four words that name this stream, for other implementations of it: the key, and the upper half of the counter. */
  get name(): Uint32Array {
    return Uint32Array.of(this.#k0, this.#k1, this.#counter[2]!, this.#counter[3]!);
  }

  /** A uniform word in [0, 2^32). */
  uint32(): number {
    if (this.#used === 4) {
      philox4x32(this.#counter, this.#k0, this.#k1, this.#block);
      this.#counter[0]!++;
      if (this.#counter[0] === 0) this.#counter[1]!++;
      this.#used = 0;
    }
    return this.#block[this.#used++]!;
  }

  /** Uniform in [0, 1), a multiple of 2^-53. */
  uniform(): number {
    const high = this.uint32() >>> 5;
    const low = this.uint32() >>> 6;
    return (high * 0x4000000 + low) / 0x20000000000000;
  }

  /** Uniform integer in [0, n), 1 ≤ n ≤ 2^32, without modulo bias. */
  int(n: number): number {
    if (!Number.isInteger(n) || n < 1 || n > 0x100000000) throw new Error(`CounterRandom.int: ${n} is not in 1..2^32`);
    const limit = 0x100000000 - (0x100000000 % n);
    let word = this.uint32();
    while (word >= limit) word = this.uint32();
    return word % n;
  }

  /** Standard normal (Box and Muller). */
  normal(): number {
    if (this.#spareNormal !== undefined) {
      const spare = this.#spareNormal;
      this.#spareNormal = undefined;
      return spare;
    }
    const radius = Math.sqrt(-2 * Math.log(1 - this.uniform()));
    const angle = 2 * Math.PI * this.uniform();
    this.#spareNormal = radius * Math.sin(angle);
    return radius * Math.cos(angle);
  }

  /** Shuffles in place, every order equally likely (Fisher and Yates); returns the same array. */
  shuffle<A extends unknown[] | Int32Array | Uint32Array>(array: A): A {
    for (let i = array.length - 1; i > 0; i--) {
      const j = this.int(i + 1);
      const swap = array[i]!;
      array[i] = array[j]!;
      array[j] = swap;
    }
    return array;
  }

  /** Fills with mean + deviation · standard normal. */
  fillNormal(out: Float32Array, mean = 0, deviation = 1): Float32Array {
    for (let i = 0; i < out.length; i++) out[i] = mean + deviation * this.normal();
    return out;
  }

  /**
   * Fills with inverted-dropout factors: 0 with probability `rate` (to 2^-32), else 1/(1 − rate). Bit-sliced: 32
   * comparisons of a lazily drawn uniform with `rate` at once, most significant bit first, until all are decided; about 7
   * words for 32 elements.
   */
  fillDropout(out: Float32Array, rate: number): Float32Array {
    const { threshold, keep } = dropoutLevel(rate);
    if (threshold === 0) return out.fill(1);
    for (let at = 0; at < out.length; at += 32) {
      let undecided = 0xffffffff | 0;
      let kept = 0;
      for (let bit = 31; bit >= 0 && undecided !== 0; bit--) {
        const word = this.#used < 4 ? this.#block[this.#used++]! : this.uint32();
        if (((threshold >>> bit) & 1) === 1) {
          undecided &= word;
        } else {
          kept |= undecided & word;
          undecided &= ~word;
        }
      }
      // What equals the threshold in all 32 bits is not below it.
      kept |= undecided;
      const end = Math.min(32, out.length - at);
      for (let i = 0; i < end; i++) out[at + i] = ((kept >>> i) & 1) * keep;
    }
    return out;
  }
}

/** 2^32 times the rate, and the float32 factor of what is kept. */
export function dropoutLevel(rate: number): { readonly threshold: number; readonly keep: number } {
  if (!(rate >= 0 && rate < 1)) throw new Error(`dropout rate ${rate} is not in [0, 1)`);
  return { threshold: Math.min(Math.round(rate * 0x100000000), 0xffffffff), keep: Math.fround(1 / (1 - rate)) };
}

/** The generator of one dropout site of one training step. */
export const dropoutStream = (seed: number, step: number, site: string): CounterRandom =>
  new CounterRandom(seed, 'dropout', step, site);

/** The dropout factors (0 or 1/(1 − rate)) of one site of one training step; equal arguments, equal bits. */
export function dropoutMask(seed: number, step: number, site: string, count: number, rate: number): Float32Array {
  return dropoutStream(seed, step, site).fillDropout(new Float32Array(count), rate);
}
