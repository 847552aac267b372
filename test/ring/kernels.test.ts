import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { availableKernels } from '../../ring/kernels/node.ts';
import { expand } from '../../ring/prg-node.ts';
import * as ring from '../../ring/index.ts';
import * as twin from '../support/ring-twin.ts';

const { fromBigInts, toBigInts } = ring;

/** Every width meets a test; the edges of a slot, and of the 52-bit product, more often. */
const width = fc.oneof(
  fc.constantFrom(1, 2, 8, 14, 16, 31, 32, 33, 43, 52, 53, 63, 64, 65, 127, 128),
  fc.integer({ min: 1, max: 128 }),
);
/** Uniform words, and the extremes where carries and signs break. */
const word = (n: number): fc.Arbitrary<bigint> =>
  fc.oneof(
    { weight: 3, arbitrary: fc.bigInt(0n, (1n << BigInt(n)) - 1n) },
    fc
      .constantFrom(0n, 1n, 1n << BigInt(n - 1), (1n << BigInt(n)) - 1n, ((1n << BigInt(n)) - 1n) >> 1n)
      .map((v) => twin.mod(v, n)),
  );
const words = (n: number, length: number): fc.Arbitrary<bigint[]> =>
  fc.array(word(n), { minLength: length, maxLength: length });
const length = fc.integer({ min: 0, max: 37 });
const runs = { numRuns: 150 };

const sets = await availableKernels();
const names = sets.map((set) => set.name);

it('holds every kernel set of this machine to the twins', () => {
  process.stdout.write(`ring kernels under test: ${names.join(', ')}\n`);
  expect(names.at(-1)).toBe('wasm');
});

describe.each(sets)('$name kernels', (set) => {
  const before = ring.kernels();
  beforeAll(() => ring.setKernels(set));
  afterAll(() => ring.setKernels(before));

  it.each(['add', 'sub', 'mul'] as const)('%s of words of every ring', (op) => {
    fc.assert(
      fc.property(
        fc.tuple(width, length).chain(([n, len]) => fc.tuple(fc.constant(n), words(n, len), words(n, len))),
        ([n, a, b]) => {
          expect(toBigInts(ring[op](fromBigInts(a, n), fromBigInts(b, n)))).toEqual(twin.zip(twin.OPS[op], a, b, n));
        },
      ),
      runs,
    );
  });

  it('every width, every length around a vector', () => {
    for (let n = 1; n <= 128; n++) {
      for (const len of [0, 1, 3, 16, 17]) {
        const a = Array.from({ length: len }, (_, i) =>
          twin.mod(0x9e3779b97f4a7c15f39cc0605cedc835n * BigInt(i * 131 + n), n),
        );
        const b = a.toReversed();
        const w = fromBigInts(a, n);
        expect(toBigInts(w)).toEqual(a);
        expect(toBigInts(ring.mul(w, fromBigInts(b, n)))).toEqual(twin.zip(twin.OPS.mul, a, b, n));
        expect(toBigInts(ring.neg(w))).toEqual(a.map((v) => twin.mod(-v, n)));
        expect(ring.pack(w)).toEqual(twin.pack(a, n));
        expect(ring.unpack(ring.pack(w), n, len)).toEqual(w);
        ring.checkWords(w, n, len, 'w');
      }
    }
  });

  it('broadcasts over rows and columns, and sums them', () => {
    fc.assert(
      fc.property(
        fc
          .tuple(width, fc.integer({ min: 0, max: 7 }), fc.integer({ min: 1, max: 19 }))
          .chain(([n, rows, cols]) =>
            fc.tuple(fc.constant([n, rows, cols] as const), words(n, rows * cols), words(n, rows), words(n, cols)),
          ),
        ([[n, , cols], a, s, v]) => {
          const [wa, ws, wv] = [a, s, v].map((x) => fromBigInts(x, n)) as [ring.Words, ring.Words, ring.Words];
          const { add, mul } = twin.OPS;
          expect(toBigInts(ring.addRows(wa, ws, cols))).toEqual(twin.rowwise(add, a, s, cols, n));
          expect(toBigInts(ring.mulRows(wa, ws, cols))).toEqual(twin.rowwise(mul, a, s, cols, n));
          expect(toBigInts(ring.addCols(wa, wv))).toEqual(twin.colwise(add, a, v, n));
          expect(toBigInts(ring.mulCols(wa, wv))).toEqual(twin.colwise(mul, a, v, n));
          expect(toBigInts(ring.sumRows(wa, cols))).toEqual(twin.sumRows(a, cols, n));
          expect(toBigInts(ring.sumCols(wa, cols))).toEqual(twin.sumCols(a, cols, n));
        },
      ),
      runs,
    );
  });

  it('multiplies and adds a scalar, shifts left', () => {
    const k = fc.integer({ min: -(2 ** 53), max: 2 ** 53 });
    fc.assert(
      fc.property(
        fc
          .tuple(width, length)
          .chain(([n, len]) => fc.tuple(fc.constant(n), words(n, len), k, fc.integer({ min: 0, max: 130 }))),
        ([n, a, by, s]) => {
          const w = fromBigInts(a, n);
          expect(toBigInts(ring.scale(w, by))).toEqual(a.map((v) => twin.mod(v * BigInt(by), n)));
          expect(toBigInts(ring.addScalar(w, by))).toEqual(a.map((v) => twin.mod(v + BigInt(by), n)));
          expect(toBigInts(ring.addScalar(w, -(1n << 100n)))).toEqual(a.map((v) => twin.mod(v - (1n << 100n), n)));
          expect(toBigInts(ring.shiftLeft(w, s))).toEqual(a.map((v) => twin.mod(v << BigInt(s), n)));
        },
      ),
      runs,
    );
  });

  it('changes rings and shifts right', () => {
    fc.assert(
      fc.property(
        fc
          .tuple(width, width, length)
          .chain(([n, m, len]) =>
            fc.tuple(fc.constant([n, m] as const), words(n, len), fc.integer({ min: 0, max: n - 1 })),
          ),
        ([[n, m], a, f]) => {
          const w = fromBigInts(a, n);
          const shift = BigInt(f);
          expect(toBigInts(ring.resize(w, m))).toEqual(a.map((v) => twin.mod(v, m)));
          expect(toBigInts(ring.resizeSigned(w, m))).toEqual(a.map((v) => twin.mod(twin.signed(v, n), m)));
          expect(toBigInts(ring.shiftRight(w, f))).toEqual(a.map((v) => v >> shift));
          expect(toBigInts(ring.shiftRightSigned(w, f))).toEqual(a.map((v) => twin.mod(twin.signed(v, n) >> shift, n)));
          expect(toBigInts(ring.topBit(w))).toEqual(a.map((v) => v >> BigInt(n - 1)));
          const u = ring.roundingWord(w, f);
          expect(u.n).toBe(Math.max(f, 1));
          expect(toBigInts(u)).toEqual(a.map((v) => (f === 0 ? 0n : twin.mod(-v, f))));
        },
      ),
      runs,
    );
  });

  it('truncates shares so that the sum is floor((z + u) / 2^f) modulo 2^(n−f)', () => {
    fc.assert(
      fc.property(
        fc
          .tuple(width, length)
          .chain(([n, len]) =>
            fc.tuple(fc.constant(n), words(n, len), words(n, len), fc.integer({ min: 0, max: n - 1 })),
          ),
        ([n, z, pad, f]) => {
          const [x0, x1] = [fromBigInts(pad, n), ring.split(fromBigInts(z, n), fromBigInts(pad, n))];
          const t0 = ring.truncateReduce(0, x0, f);
          const t1 = ring.truncateReduce(1, x1, f);
          expect(toBigInts(t0)).toEqual(twin.truncateReduce(0, pad, f, n));
          expect(toBigInts(t1)).toEqual(twin.truncateReduce(1, toBigInts(x1), f, n));
          const u = toBigInts(ring.roundingWord(x1, f));
          expect(toBigInts(ring.join(t0, t1))).toEqual(z.map((v, i) => twin.mod((v + u[i]!) >> BigInt(f), n - f)));
        },
      ),
      runs,
    );
  });

  it('selects and gathers', () => {
    fc.assert(
      fc.property(
        fc
          .tuple(width, fc.integer({ min: 1, max: 37 }))
          .chain(([n, len]) =>
            fc.tuple(
              fc.constant(n),
              words(n, len),
              words(n, len),
              words(1, len),
              fc.array(fc.integer({ min: 0, max: len - 1 })),
            ),
          ),
        ([n, a, b, bits, index]) => {
          const [wa, wb] = [fromBigInts(a, n), fromBigInts(b, n)];
          expect(toBigInts(ring.select(fromBigInts(bits, 1), wa, wb))).toEqual(
            bits.map((bit, i) => (bit ? a[i] : b[i])),
          );
          expect(toBigInts(ring.gather(wa, Uint32Array.from(index)))).toEqual(index.map((i) => a[i]));
          expect(() => ring.gather(wa, Uint32Array.of(0, a.length))).toThrow(`index ${a.length}`);
        },
      ),
      runs,
    );
  });

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
          const expected = twin.matmul(a, b, m, k, cols, n);
          expect(toBigInts(ring.matmul(fromBigInts(a, n), fromBigInts(b, n), m, k, cols))).toEqual(expected);
          const bT = transpose(b, k, cols);
          expect(toBigInts(ring.matmulTransposed(fromBigInts(a, n), fromBigInts(bT, n), m, k, cols))).toEqual(expected);
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
    [52, 67, 257, 24],
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
    const expected = twin.matmul(a, b, m, k, cols, n);
    expect(toBigInts(ring.matmul(fromBigInts(a, n), fromBigInts(b, n), m, k, cols))).toEqual(expected);
    const bT = transpose(b, k, cols);
    expect(toBigInts(ring.matmulTransposed(fromBigInts(a, n), fromBigInts(bT, n), m, k, cols))).toEqual(expected);
  });

  it('gives the same words on several threads', () => {
    // Above the least work for two threads: cut by rows, by columns, and a Fourier sum.
    const products = ([[32, 201, 300, 165], [64, 19, 1000, 501], [43, 402, 128, 165], [128, 70, 500, 260]] as const).map(
      ([n, m, k, cols]) => () => ring.matmul(draw(n, m * k, 1), draw(n, k * cols, 2), m, k, cols),
    ); // prettier-ignore
    const K = 9;
    const spec = trigSpec(14, Array(K).fill(-12345n) as bigint[], Array(K).fill(777n) as bigint[], 20);
    const sums = [27, 43].map((n) => () => ring.fourierDot(draw(14, 70_001, 3), draw(n, 70_001 * 2 * K, 4), spec, n));
    for (const f of [...products, ...sums]) {
      set.setThreads(1);
      const one = f();
      for (const threads of [2, 3]) {
        set.setThreads(threads);
        expect(ring.equal(f(), one)).toBe(true);
      }
    }
    set.setThreads(1);
  });

  it('packs n bits a word and refuses cut bytes and set padding', () => {
    fc.assert(
      fc.property(
        fc.tuple(width, length).chain(([n, len]) => fc.tuple(fc.constant(n), words(n, len))),
        ([n, a]) => {
          const w = fromBigInts(a, n);
          const bytes = ring.pack(w);
          expect(bytes).toEqual(twin.pack(a, n));
          expect(bytes.length).toBe(ring.packedBytes(n, a.length));
          expect(ring.unpack(bytes, n, a.length)).toEqual(w);
          expect(() => ring.unpack(new Uint8Array(bytes.length + 1), n, a.length)).toThrow('expected');
          for (let bit = (n * a.length) % 8; bit > 0 && bit < 8; bit++) {
            const damaged = bytes.slice();
            damaged[damaged.length - 1]! |= 1 << bit;
            expect(() => ring.unpack(damaged, n, a.length)).toThrow('padding');
          }
        },
      ),
      runs,
    );
  });

  it('encodes as exact rational arithmetic does, and refuses what does not fit', () => {
    const real = fc.oneof(
      fc.double(),
      fc.double({ min: -300, max: 300 }),
      fc.integer({ min: -4096, max: 4096 }).map((v) => v / 16),
    );
    fc.assert(
      fc.property(
        width,
        fc.constantFrom(0, 1, 3, 12, 16, 30, 62, 100),
        fc.array(real, { maxLength: 20 }),
        (n, f, values) => {
          const expected = values.map((x) => twin.encode(x, f, n));
          const bad = expected.indexOf(undefined);
          if (bad >= 0) expect(() => ring.encode(values, f, n)).toThrow(`value ${bad} `);
          const fit = values.filter((_, i) => expected[i] !== undefined);
          const w = ring.encode(fit, f, n);
          expect(toBigInts(w)).toEqual(expected.filter((v) => v !== undefined));
          // Number() of a BigInt rounds to nearest, ties to even; division by a power of two is exact.
          expect([...ring.decode(w, f)]).toEqual(toBigInts(w).map((v) => Number(twin.signed(v, n)) / 2 ** f));
        },
      ),
      { numRuns: 300 },
    );
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

  it('evaluates a Fourier series over a period wider than 32 bits', () => {
    const spec = trigSpec(36, [3n << 30n, -5n], [7n, -(1n << 33n) + 9n], 24);
    const c = Array.from({ length: 25 }, (_, i) => twin.mod(BigInt(i) * 0x9e3779b97f4a7c15n, 36));
    const w = fromBigInts(c, 36);
    expect(toBigInts(ring.fourierPublic(w, spec))).toEqual(twin.fourierPublic(c, spec).map((v) => twin.mod(v, 64)));
    expect(toBigInts(ring.fourierSecret(w, spec, 43))).toEqual(twin.fourierSecret(c, spec, 43));
  });
});

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
