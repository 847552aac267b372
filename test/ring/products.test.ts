import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import * as ring from '../../ring/index.ts';
import { availableKernels } from '../../ring/kernels/node.ts';
import { expand } from '../../ring/prg-node.ts';
import { runs, width, words } from '../support/ring-arbitrary.ts';
import * as twin from '../support/ring-twin.ts';

const { fromBigInts, toBigInts } = ring;
const sets = await availableKernels();

describe.each(sets)('products on $name kernels', (set) => {
  const before = ring.kernels();
  beforeAll(() => ring.setKernels(set));
  afterAll(() => ring.setKernels(before));

  it('multiplies matrices of any shape in any ring', () => {
    const dim = fc.oneof(fc.integer({ min: 0, max: 12 }), fc.constantFrom(16, 17, 25, 33));
    fc.assert(
      fc.property(
        fc
          .tuple(width, dim, dim, dim)
          .chain(([n, m, k, cols]) =>
            fc.tuple(fc.constant([n, m, k, cols] as const), words(n, m * k), words(n, k * cols)),
          ),
        ([[n, m, k, cols], a, b]) => {
          everyWay(n, [m, k, cols], a, b);
        },
      ),
      { numRuns: 60 },
    );
  });

  it.each([
    [16, 140, 600, 50],
    [32, 3, 513, 97],
    [32, 66, 300, 49],
    [43, 130, 520, 26],
    [48, 31, 259, 41],
    [49, 31, 259, 41],
    [52, 67, 257, 24],
    [53, 67, 257, 24],
    [64, 66, 300, 50],
    [64, 2, 300, 50],
    [128, 65, 257, 5],
  ])('ring %i: %ix%i times a matrix of %i columns crosses every block edge', (n, m, k, cols) => {
    const draw = (count: number, salt: bigint): bigint[] =>
      Array.from({ length: count }, (_, i) =>
        twin.mod((((BigInt(i) + salt) * 0x9e3779b97f4a7c15f39cc0605cedc835n) ** 3n) >> 7n, n),
      );
    const a = draw(m * k, 1n);
    const b = draw(k * cols, 77n);
    everyWay(n, [m, k, cols], a, b);
  });

  it.each([32, 48, 52, 64, 128])('multiplies with digits of ring %i at their limits', (n) => {
    // Every digit, half and product as large as it gets, and the signed halves on either side of their sign.
    const top = 1n << BigInt(n);
    const corners = [0n, 1n, top - 1n, top / 2n, top / 2n - 1n, 0x8000n, 0x7fffn, 0xffffn, top - 0x8000n, (top - 1n) ^ 0x7fffn]; // prettier-ignore
    const [m, k, cols] = [7, 613, 33];
    const pick = (count: number, step: number): bigint[] =>
      Array.from({ length: count }, (_, i) => corners[(i * step) % corners.length]!);
    const uniform = (count: number): bigint[] => Array.from({ length: count }, () => top - 1n);
    for (const [a, b] of [
      [pick(m * k, 7), pick(k * cols, 3)],
      [uniform(m * k), uniform(k * cols)],
    ] as const) {
      const packed = ring.packMatrix(fromBigInts(b, n), k, cols);
      expect(toBigInts(ring.matmulPacked(fromBigInts(a, n), packed, m))).toEqual(twin.matmul(a, b, m, k, cols, n));
    }
  });

  it('multiplies in a narrower ring with a matrix packed in a wider one', () => {
    const [m, k, cols] = [5, 37, 29];
    for (const [wide, narrow] of [
      [32, 19],
      [43, 38],
      [43, 30],
      [52, 52],
      [64, 33],
      [60, 7],
      [128, 90],
      [100, 40],
    ] as const) {
      // prettier-ignore
      const [a, b] = [draw(narrow, m * k, 5), draw(wide, k * cols, 6)];
      const expected = twin.matmul(toBigInts(a), toBigInts(b), m, k, cols, narrow);
      const packed = ring.packMatrix(b, k, cols);
      expect(toBigInts(ring.matmulPacked(a, packed, m))).toEqual(expected);
    }
    const packed = ring.packMatrix(draw(19, k * cols, 6), k, cols);
    expect(() => ring.matmulPacked(draw(20, m * k, 5), packed, m)).toThrow('ring 20');
    expect(() => ring.matmulPacked(draw(19, m * k + 1, 5), packed, m)).toThrow('words');
    expect(() => ring.matmulPacked(draw(19, m * k, 5), { ...packed, kernels: 'others' }, m)).toThrow('others');
  });

  it('gives the same words on several threads', () => {
    // Above the least work for two threads: cut by rows, by columns, and a Fourier sum.
    const products = ([[32, 201, 300, 165], [64, 19, 1000, 501], [43, 402, 128, 165], [128, 70, 500, 260]] as const).map(
      ([n, m, k, cols]) => () => ring.matmul(draw(n, m * k, 1), draw(n, k * cols, 2), m, k, cols),
    ); // prettier-ignore
    const packed = ([[32, 201, 300, 165], [43, 19, 1000, 501], [64, 25, 500, 501]] as const).map(([n, m, k, cols]) => {
      const matrix = ring.packMatrix(draw(n, k * cols, 2), k, cols);
      return () => ring.matmulPacked(draw(n, m * k, 1), matrix, m);
    }); // prettier-ignore
    const K = 9;
    const spec = trigSpec(14, Array(K).fill(-12345n) as bigint[], Array(K).fill(777n) as bigint[], 20);
    const sums = [27, 43].map((n) => () => ring.fourierDot(draw(14, 70_001, 3), draw(n, 70_001 * 2 * K, 4), spec, n));
    for (const f of [...products, ...packed, ...sums]) {
      set.setThreads(1);
      const one = f();
      for (const threads of [2, 3]) {
        set.setThreads(threads);
        expect(ring.equal(f(), one)).toBe(true);
      }
    }
    set.setThreads(1);
  });

  it('evaluates Fourier series in integers', () => {
    const coefficient = fc.bigInt(-(1n << 33n) + 1n, (1n << 33n) - 1n);
    fc.assert(
      fc.property(
        fc
          .tuple(
            fc.constantFrom(1, 2, 5, 8, 11, 14),
            fc.integer({ min: 0, max: 9 }),
            width,
            fc.integer({ min: 0, max: 9 }),
          )
          .chain(([b, K, n, len]) =>
            fc.tuple(
              fc.constant([b, n] as const),
              fc.array(coefficient, { minLength: K, maxLength: K }),
              fc.array(coefficient, { minLength: K, maxLength: K }),
              words(b, len),
              words(n, 2 * K * len),
              fc.constantFrom(0, 5, 20, 27, 28),
            ),
          ),
        ([[b, n], a, bk, c, T, g1]) => {
          const spec = trigSpec(b, a, bk, g1);
          const w = fromBigInts(c, b);
          expect(toBigInts(ring.fourierPublic(w, spec))).toEqual(
            twin.fourierPublic(c, spec).map((v) => twin.mod(v, 64)),
          );
          expect(toBigInts(ring.fourierSecret(w, spec, n))).toEqual(twin.fourierSecret(c, spec, n));
          expect(toBigInts(ring.fourierDot(w, fromBigInts(T, n), spec, n))).toEqual(twin.fourierDot(c, T, spec, n));
        },
      ),
      runs,
    );
  });

  it.each([
    [27, 8],
    [45, 6],
    [52, 20],
    [53, 17],
    [84, 9],
  ])('evaluates Fourier series of ordinary coefficients in ring %i, %i harmonics', (n, K) => {
    const coefficients = (salt: number): bigint[] =>
      toBigInts(draw(31, K, salt)).map((v, i) => (i % 2 === 0 ? v : -v - 1n));
    const spec = trigSpec(15, coefficients(8), coefficients(9), 10);
    const [c, T] = [draw(15, 77, 10), draw(n, 77 * 2 * K, 11)];
    expect(toBigInts(ring.fourierDot(c, T, spec, n))).toEqual(twin.fourierDot(toBigInts(c), toBigInts(T), spec, n));
    expect(toBigInts(ring.fourierSecret(c, spec, n))).toEqual(twin.fourierSecret(toBigInts(c), spec, n));
  });

  it('evaluates a Fourier series over a period wider than 32 bits', () => {
    const spec = trigSpec(36, [3n << 30n, -5n], [7n, -(1n << 33n) + 9n], 24);
    const c = Array.from({ length: 25 }, (_, i) => twin.mod(BigInt(i) * 0x9e3779b97f4a7c15n, 36));
    const w = fromBigInts(c, 36);
    expect(toBigInts(ring.fourierPublic(w, spec))).toEqual(twin.fourierPublic(c, spec).map((v) => twin.mod(v, 64)));
    expect(toBigInts(ring.fourierSecret(w, spec, 43))).toEqual(twin.fourierSecret(c, spec, 43));
  });
});

/** a (m × k) · b (k × cols) is the twin's, of b as it is, transposed and packed. */
function everyWay(
  n: number,
  [m, k, cols]: readonly [number, number, number],
  a: readonly bigint[],
  b: readonly bigint[],
): void {
  const expected = twin.matmul(a, b, m, k, cols, n);
  expect(toBigInts(ring.matmul(fromBigInts(a, n), fromBigInts(b, n), m, k, cols))).toEqual(expected);
  const bT = transpose(b, k, cols);
  expect(toBigInts(timesTransposed(fromBigInts(a, n), fromBigInts(bT, n), m, k, cols))).toEqual(expected);
  const packed = ring.packMatrix(fromBigInts(b, n), k, cols);
  expect(toBigInts(ring.matmulPacked(fromBigInts(a, n), packed, m))).toEqual(expected);
}

/** a · bTᵀ, as a batch of one. */
function timesTransposed(a: ring.Words, bT: ring.Words, m: number, k: number, n: number): ring.Words {
  const out = ring.zeros(a.n, m * n);
  const whole = (matrix: ring.Words): ring.Matrices => ({ words: matrix, from: 0, step: 0, row: k });
  ring.addProducts(out, 0, whole(a), whole(bT), { count: 1, m, k, n }, true);
  return out;
}

/** b (rows × cols) as cols × rows. */
const transpose = (b: readonly bigint[], rows: number, cols: number): bigint[] =>
  Array.from({ length: cols * rows }, (_, i) => b[(i % rows) * cols + Math.floor(i / rows)]!);

/** Reproducible words. */
const draw = (n: number, count: number, salt: number): ring.Words => expand(new Uint8Array(32).fill(salt), n, count);

/** A spec with honest tables for period 2^b, l = floor(b/2). */
function trigSpec(b: number, a: bigint[], bk: bigint[], g1: number): ring.TrigSpec {
  const l = b >> 1;
  const table = (count: number, step: number, f: (x: number) => number): Int32Array =>
    Int32Array.from({ length: count }, (_, i) => Math.round(f((2 * Math.PI * i * step) / 2 ** b) * 2 ** 28));
  return {
    b,
    l,
    hiCos: table(2 ** (b - l), 2 ** l, Math.cos),
    hiSin: table(2 ** (b - l), 2 ** l, Math.sin),
    loCos: table(2 ** l, 1, Math.cos),
    loSin: table(2 ** l, 1, Math.sin),
    a: BigInt64Array.from(a),
    bk: BigInt64Array.from(bk),
    g1,
    g2: 20,
  };
}
