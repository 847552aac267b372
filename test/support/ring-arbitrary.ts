import fc from 'fast-check';
import { mod } from './ring-twin.ts';

/** Every width meets a test; the edges of a slot, and of the 52-bit product, more often. */
export const width = fc.oneof(
  fc.constantFrom(1, 2, 8, 14, 16, 31, 32, 33, 43, 52, 53, 63, 64, 65, 127, 128),
  fc.integer({ min: 1, max: 128 }),
);
/** Uniform words, and the extremes where carries and signs break. */
export const word = (n: number): fc.Arbitrary<bigint> =>
  fc.oneof(
    { weight: 3, arbitrary: fc.bigInt(0n, (1n << BigInt(n)) - 1n) },
    fc
      .constantFrom(0n, 1n, 1n << BigInt(n - 1), (1n << BigInt(n)) - 1n, ((1n << BigInt(n)) - 1n) >> 1n)
      .map((v) => mod(v, n)),
  );
export const words = (n: number, length: number): fc.Arbitrary<bigint[]> =>
  fc.array(word(n), { minLength: length, maxLength: length });
export const length = fc.integer({ min: 0, max: 37 });
export const runs = { numRuns: 150 };
