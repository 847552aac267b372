import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Batch } from '../../data/batch.ts';
import { makeBatches } from '../../data/batch.ts';
import type { Encoding } from '../../data/tokenizer.ts';

/** An encoding of `length` tokens whose ids say whose they are. */
const encoding = (row: number, length: number): Encoding => ({
  ids: Array.from({ length }, (_, j) => 1 + row * 100 + j),
  types: Array.from({ length }, (_, j) => (j > 1 ? 1 : 0)),
});

const problem = fc.record({
  encodings: fc
    .array(fc.integer({ min: 1, max: 40 }), { maxLength: 300 })
    .map((lengths) => lengths.map((n, i) => encoding(i, n))),
  batchSize: fc.integer({ min: 1, max: 9 }),
  seed: fc.nat(),
  shuffle: fc.boolean(),
  padId: fc.constantFrom(0, -7),
});

/** The encodings read back from the rows of the batches, by index. */
function unpadded(batches: readonly Batch[], count: number, padId: number): Encoding[] {
  const out: Encoding[] = Array.from({ length: count });
  for (const { index, ids, types, mask, length } of batches) {
    index.forEach((i, row) => {
      expect(out[i]).toBeUndefined();
      const cut = (array: Int32Array): number[] => [...array.subarray(row * length, (row + 1) * length)];
      const real = cut(mask).filter((m) => m === 1).length;
      expect(cut(mask)).toEqual(Array.from({ length }, (_, j) => (j < real ? 1 : 0)));
      expect(
        cut(ids)
          .slice(real)
          .every((id) => id === padId),
      ).toBe(true);
      expect(
        cut(types)
          .slice(real)
          .every((type) => type === 0),
      ).toBe(true);
      out[i] = { ids: cut(ids).slice(0, real), types: cut(types).slice(0, real) };
    });
  }
  return out;
}

describe('makeBatches', () => {
  it('holds every encoding exactly once, whole, padded to the longest of its batch', () => {
    fc.assert(
      fc.property(problem, ({ encodings, ...options }) => {
        const batches = makeBatches(encodings, options);
        expect(unpadded(batches, encodings.length, options.padId)).toEqual(encodings);
        for (const batch of batches) {
          expect(batch.batch).toBe(batch.index.length);
          expect(batch.length).toBe(Math.max(...batch.index.map((i) => encodings[i]!.ids.length)));
        }
        const short = batches.filter((batch) => batch.batch < options.batchSize);
        expect(short.length).toBe(encodings.length % options.batchSize === 0 ? 0 : 1);
      }),
    );
  });

  it('repeats by seed, and another seed gives another order', () => {
    const encodings = Array.from({ length: 200 }, (_, i) => encoding(i, 1 + (i % 17)));
    const order = (seed: number, shuffle = true): string =>
      makeBatches(encodings, { batchSize: 8, seed, shuffle })
        .map((batch) => batch.index.join())
        .join(';');
    expect(order(1)).toBe(order(1));
    expect(order(1)).not.toBe(order(2));
    expect(order(1, false)).toBe(order(2, false));
  });

  it('wastes little on padding: lengths within a batch of a large pool differ by at most a few', () => {
    // 4,000 encodings of lengths 1..40 alike often: a pool of 400 holds about ten of each length.
    const encodings = Array.from({ length: 4000 }, (_, i) => encoding(i, 1 + ((i * 7) % 40)));
    for (const shuffle of [true, false]) {
      const batches = makeBatches(encodings, { batchSize: 8, seed: 3, shuffle });
      const padded = batches.reduce((sum, batch) => sum + batch.batch * batch.length, 0);
      const real = encodings.reduce((sum, e) => sum + e.ids.length, 0);
      expect(padded / real).toBeLessThan(1.05);
    }
  });

  it('without shuffling goes from short to long, ties in the order given', () => {
    const batches = makeBatches(
      [3, 1, 2, 1].map((n, i) => encoding(i, n)),
      { batchSize: 2, seed: 0, shuffle: false },
    );
    expect(batches.map((batch) => batch.index)).toEqual([
      [1, 3],
      [2, 0],
    ]);
  });

  it('refuses a batch size that is no positive integer', () => {
    for (const batchSize of [0, -1, 1.5, Number.NaN]) {
      expect(() => makeBatches([], { batchSize, seed: 0, shuffle: true })).toThrow('not a positive integer');
    }
  });
});
