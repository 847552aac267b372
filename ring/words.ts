/**
 * Words of Z_2^n. A word is kept as its representative in [0, 2^n) in a slot of 32, 64 or 128 bits, little endian, so
 * that every ring has one storage and kernels never box a BigInt.
 */
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
