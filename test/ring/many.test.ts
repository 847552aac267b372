/** Kernels that do many small pieces of work in one call. */
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import * as ring from '../../ring/index.ts';
import { availableKernels } from '../../ring/kernels/node.ts';
import { expand } from '../../ring/prg-node.ts';
import { runs, width } from '../support/ring-arbitrary.ts';
import * as twin from '../support/ring-twin.ts';

const { fromBigInts, toBigInts } = ring;
const sets = await availableKernels();

/** Reproducible words. */
const draw = (n: number, count: number, salt: number): ring.Words => expand(new Uint8Array(32).fill(salt), n, count);

/** Matrix i of `rows` × `cols`, element by element. */
const matrix = ({ words, from, step, row }: ring.Matrices, i: number, rows: number, cols: number): bigint[] => {
  const all = toBigInts(words);
  return Array.from({ length: rows * cols }, (_, e) => all[from + i * step + Math.floor(e / cols) * row + (e % cols)]!);
};

const transpose = (b: readonly bigint[], rows: number, cols: number): bigint[] =>
  Array.from({ length: cols * rows }, (_, i) => b[(i % rows) * cols + Math.floor(i / rows)]!);

describe.each(sets)('$name kernels, many at once', (set) => {
  const before = ring.kernels();
  beforeAll(() => ring.setKernels(set));
  afterAll(() => ring.setKernels(before));

  it('adds products of matrices that lie apart, one after the other or side by side', () => {
    const dim = fc.oneof(fc.integer({ min: 0, max: 9 }), fc.constantFrom(16, 25, 33));
    const gap = fc.constantFrom(0, 0, 1, 5);
    const shape = fc.record({ n: width, count: fc.integer({ min: 0, max: 4 }), m: dim, k: dim, cols: dim, at: gap });
    const property = fc.property(
      shape,
      gap,
      fc.boolean(),
      fc.boolean(),
      ({ n, count, m, k, cols, at }, apart, side, transposed) => {
        const place = (rows: number, across: number, salt: number): ring.Matrices => {
          const [step, row] = side ? [across + apart, count * (across + apart)] : [rows * across + apart, across];
          const length = at + count * rows * (across + apart) + count * apart;
          return { words: draw(n, length, salt), from: at, step, row };
        };
        const a = place(m, k, 1);
        const b = transposed ? place(cols, k, 2) : place(k, cols, 2);
        const c = draw(n, at + count * m * cols + 3, 3);
        const expected = toBigInts(c);
        for (let i = 0; i < count; i++) {
          const right = transposed ? transpose(matrix(b, i, cols, k), cols, k) : matrix(b, i, k, cols);
          twin.matmul(matrix(a, i, m, k), right, m, k, cols, n).forEach((v, e) => {
            expected[at + i * m * cols + e] = twin.mod(expected[at + i * m * cols + e]! + v, n);
          });
        }
        ring.addProducts(c, at, a, b, { count, m, k, n: cols }, transposed);
        expect(toBigInts(c)).toEqual(expected);
      },
    );
    fc.assert(property, { numRuns: 80 });
  });

  it('adds products deeper than a block, the same on several threads', () => {
    const [count, m, k, cols] = [5, 13, 700, 130];
    for (const n of [32, 45, 64, 128]) {
      const a = { words: draw(n, count * m * k, 1), from: 0, step: k, row: count * k };
      const b = { words: draw(n, count * k * cols, 2), from: 0, step: k * cols, row: cols };
      const sum = (): ring.Words => {
        const c = draw(n, count * m * cols, 3);
        ring.addProducts(c, 0, a, b, { count, m, k, n: cols });
        return c;
      };
      const one = sum();
      const start = toBigInts(draw(n, count * m * cols, 3));
      const last = twin.matmul(matrix(a, 4, m, k), matrix(b, 4, k, cols), m, k, cols, n);
      expect(toBigInts(one).slice(4 * m * cols)).toEqual(last.map((v, e) => twin.mod(v + start[4 * m * cols + e]!, n)));
      set.setThreads(3);
      expect(ring.equal(sum(), one)).toBe(true);
      set.setThreads(1);
    }
  });

  it('refuses matrices that reach beyond their words, and mixed rings', () => {
    const [a, c] = [draw(32, 12, 1), draw(32, 8, 2)];
    const place = (from: number, step: number, row: number): ring.Matrices => ({ words: a, from, step, row });
    const sizes = { count: 2, m: 2, k: 2, n: 2 };
    const good = place(0, 4, 2);
    expect(() => ring.addProducts(c, 0, good, good, sizes)).not.toThrow();
    expect(() => ring.addProducts(c, 1, good, good, sizes)).toThrow('in 8 words');
    expect(() => ring.addProducts(c, 0, place(5, 4, 2), good, sizes)).toThrow('in 12 words');
    expect(() => ring.addProducts(c, 0, good, place(0, 9, 2), sizes)).toThrow('in 12 words');
    expect(() => ring.addProducts(c, 0, good, place(-1, 4, 2), sizes)).toThrow('from -1');
    expect(() => ring.addProducts(c, 0, good, { ...good, words: draw(31, 12, 1) }, sizes)).toThrow('rings');
  });

  it('sums by XOR in every ring', () => {
    fc.assert(
      fc.property(width, fc.integer({ min: 0, max: 40 }), (n, length) => {
        const [a, b] = [draw(n, length, 4), draw(n, length, 5)];
        const other = toBigInts(b);
        expect(toBigInts(ring.xor(a, b))).toEqual(toBigInts(a).map((v, i) => v ^ other[i]!));
      }),
      runs,
    );
  });

  it('sums products in GF(2^64)', () => {
    // Schoolbook polynomials, reduced bit by bit from the top: another way than the kernel's.
    const product = (a: bigint, b: bigint): bigint => {
      let p = 0n;
      for (let i = 0n; i < 64n; i++) if ((b >> i) & 1n) p ^= a << i;
      for (let i = 126n; i >= 64n; i--) if ((p >> i) & 1n) p ^= ((1n << 64n) | 0b11011n) << (i - 64n);
      return p;
    };
    const word = fc.oneof(fc.bigInt(0n, (1n << 64n) - 1n), fc.constantFrom(0n, 1n, (1n << 64n) - 1n, 1n << 63n));
    const run = fc.array(fc.tuple(word, word), { maxLength: 37 });
    fc.assert(
      fc.property(fc.array(run, { maxLength: 4 }), (all) => {
        const [a, b] = [all.flat().map(([x]) => x), all.flat().map(([, y]) => y)];
        const out = ring.blank(64, all.length);
        const sizes = Uint32Array.from(all, (r) => r.length);
        set.gfDots(fromBigInts(a, 64).data, fromBigInts(b, 64).data, sizes, out.data, all.length);
        expect(toBigInts(out)).toEqual(all.map((r) => r.reduce((sum, [x, y]) => sum ^ product(x, y), 0n)));
      }),
      runs,
    );
  });
});
