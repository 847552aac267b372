import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { availableKernels } from '../../ring/kernels/node.ts';
import * as ring from '../../ring/index.ts';
import { length, runs, width, words } from '../support/ring-arbitrary.ts';
import * as twin from '../support/ring-twin.ts';

const { fromBigInts, toBigInts } = ring;

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
});
