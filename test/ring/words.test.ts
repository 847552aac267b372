import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import * as ring from '../../ring/index.ts';
import { mod, signed } from '../support/ring-twin.ts';

const width = fc.integer({ min: 1, max: 128 });

describe('words', () => {
  it('takes integers of up to 53 bits in two’s complement', () => {
    const integer = fc.oneof(
      fc.maxSafeInteger(),
      fc.constantFrom(0, -0, 1, -1, 2 ** 53, -(2 ** 53), 2 ** 32, -(2 ** 32), 2 ** 31, -(2 ** 31)),
    );
    fc.assert(
      fc.property(width, fc.array(integer), (n, values) => {
        const w = ring.fromNumbers(values, n);
        expect(ring.toBigInts(w)).toEqual(values.map((v) => mod(BigInt(v), n)));
        ring.checkWords(w, n, values.length, 'w');
        if (n > 54) expect([...ring.toSigned(w)]).toEqual(values.map((v) => v + 0));
      }),
    );
    for (const bad of [0.5, NaN, Infinity, 2 ** 53 + 2]) expect(() => ring.fromNumbers([1, bad], 64)).toThrow('word 1');
  });

  it('gives back signed representatives, and refuses beyond 2^53', () => {
    fc.assert(
      fc.property(width, fc.array(fc.bigInt({ min: -(1n << 130n), max: 1n << 130n })), (n, values) => {
        const w = ring.fromBigInts(values, n);
        const expected = values.map((v) => signed(v, n));
        if (expected.some((v) => v > 2n ** 53n || v < -(2n ** 53n)))
          expect(() => ring.toSigned(w)).toThrow('beyond 2^53');
        else expect([...ring.toSigned(w)].map(BigInt)).toEqual(expected);
      }),
      { numRuns: 300 },
    );
    expect([...ring.toSigned(ring.fromBigInts([1n << 53n, -(1n << 53n)], 128))]).toEqual([2 ** 53, -(2 ** 53)]);
  });

  it('refuses words of another ring, number or width', () => {
    for (const n of [1, 31, 32, 33, 64, 65, 127, 128]) {
      const w = ring.fromBigInts([(1n << BigInt(n)) - 1n, 0n], n);
      expect(ring.checkWords(w, n, 2, 'x')).toBe(w);
      expect(() => ring.checkWords(w, n, 3, 'x')).toThrow('x: 2 words, 3 expected');
      expect(() => ring.checkWords(w, n === 1 ? 2 : n - 1, 2, 'x')).toThrow(`x: ring ${n}`);
      expect(() => ring.checkWords({ ...w, data: w.data.slice(1) }, n, 2, 'x')).toThrow('limbs');
      // Every bit from n up to the end of the slot.
      for (let bit = n; bit < 32 * ring.slots(n); bit++) {
        const data = w.data.slice();
        data[ring.slots(n) + (bit >> 5)]! |= 1 << (bit & 31);
        expect(() => ring.checkWords({ ...w, data }, n, 2, 'x')).toThrow('not reduced');
      }
    }
  });

  it('compares, cuts and concatenates', () => {
    const a = ring.fromNumbers([1, 2, 3], 40);
    expect(ring.equal(a, ring.concatWords([ring.slice(a, 0, 1), ring.slice(a, 1, 1), ring.slice(a, 1, 3)]))).toBe(true);
    expect(ring.equal(a, ring.fromNumbers([1, 2, 4], 40))).toBe(false);
    expect(ring.equal(a, ring.fromNumbers([1, 2, 3], 41))).toBe(false);
    expect(ring.equal(a, ring.fromNumbers([1, 2], 40))).toBe(false);
    expect(() => ring.slice(a, 2, 4)).toThrow('slice');
    expect(() => ring.concatWords([a, ring.zeros(41, 1)])).toThrow('rings 40 and 41');
    expect(() => ring.concatWords([])).toThrow('nothing');
    expect(() => ring.wrap(40, new Uint32Array(3))).toThrow('limbs');
  });

  it('refuses operands that do not fit together', () => {
    const a = ring.zeros(40, 6);
    const refused: [() => unknown, string][] = [
      [() => ring.zeros(0, 1), 'ring width 0'],
      [() => ring.zeros(129, 1), 'ring width 129'],
      [() => ring.add(a, ring.zeros(41, 6)), 'rings 40 and 41'],
      [() => ring.add(a, ring.zeros(40, 5)), '6 and 5 words'],
      [() => ring.mulRows(a, ring.zeros(40, 3), 3), '6 and 3 words'],
      [() => ring.mulCols(a, ring.zeros(40, 4)), 'rows of 4'],
      [() => ring.sumRows(a, 4), 'rows of 4'],
      [() => ring.shiftRight(a, 40), 'shift by 40'],
      [() => ring.truncateReduce(0, a, -1), 'shift by -1'],
      [() => ring.roundingWord(a, 41), '41 bits'],
      [() => ring.shiftLeft(a, -1), 'shift left'],
      [() => ring.select(a, a, a), 'ring 40'],
      [() => ring.matmul(a, a, 2, 3, 3), '2x3 times 3x3'],
      [() => ring.matmul(a, ring.zeros(39, 6), 2, 3, 2), 'rings 40 and 39'],
      [() => ring.encode([1], -1, 40), 'scale'],
      [() => ring.decode(a, 1.5), 'scale'],
    ];
    for (const [call, message] of refused) expect(call).toThrow(message);
  });

  it('refuses Fourier tables and coefficients out of their bounds', () => {
    const table = new Int32Array(16);
    const spec: ring.TrigSpec = { b: 8, l: 4, hiCos: table, hiSin: table, loCos: table, loSin: table, a: BigInt64Array.of(1n), bk: BigInt64Array.of(1n), g1: 20, g2: 20 }; // prettier-ignore
    const c = ring.zeros(8, 2);
    expect(ring.fourierPublic(c, spec).length).toBe(4);
    const bad: [Partial<ring.TrigSpec>, string][] = [
      [{ l: 3 }, 'lengths'],
      [{ loSin: new Int32Array(15) }, 'lengths'],
      [{ g1: 29 }, 'g1'],
      [{ b: 63 }, 'b = 63'],
      [{ a: BigInt64Array.of(1n << 34n) }, '2^34'],
      [{ a: BigInt64Array.of(-(1n << 33n)), bk: BigInt64Array.of(1n << 33n) }, '2^34'],
      [{ bk: BigInt64Array.of(1n, 2n) }, '1 cosines, 2 sines'],
    ];
    for (const [change, message] of bad) expect(() => ring.fourierPublic(c, { ...spec, ...change })).toThrow(message);
    expect(() => ring.fourierPublic(ring.zeros(9, 2), spec)).toThrow('ring 9');
    expect(() => ring.fourierDot(c, ring.zeros(30, 3), spec, 30)).toThrow('3 of ring 30');
  });
});
