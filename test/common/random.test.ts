import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { CounterRandom, dropoutMask, philox4x32 } from '../../common/random.ts';

/** Known answers published with Random123 (`kat_vectors`, rows `philox4x32 10`): counter, key, output. */
const KNOWN = [
  ['00000000 00000000 00000000 00000000', '00000000 00000000', '6627e8d5 e169c58d bc57ac4c 9b00dbd8'],
  ['ffffffff ffffffff ffffffff ffffffff', 'ffffffff ffffffff', '408f276d 41c83b0e a20bc7c6 6d5451fd'],
  ['243f6a88 85a308d3 13198a2e 03707344', 'a4093822 299f31d0', 'd16cfe09 94fdcceb 5001e420 24126ea1'],
] as const;

const words = (text: string): Uint32Array => Uint32Array.from(text.split(' '), (word) => Number.parseInt(word, 16));

const mean = (x: number[]): number => x.reduce((a, b) => a + b, 0) / x.length;

const low = (x: bigint): bigint => x & 0xffffffffn;

/** Philox in BigInt arithmetic, straight from the definition: the independent twin of the 16-bit-split one. */
function philoxTwin(counter: Uint32Array, key: Uint32Array): number[] {
  let [a, b, c, d] = [...counter].map(BigInt) as [bigint, bigint, bigint, bigint];
  let [k0, k1] = [...key].map(BigInt) as [bigint, bigint];
  for (let round = 0; round < 10; round++) {
    const p = 0xd2511f53n * a;
    const q = 0xcd9e8d57n * c;
    [a, b, c, d] = [(q >> 32n) ^ b ^ k0, low(q), (p >> 32n) ^ d ^ k1, low(p)];
    [k0, k1] = [low(k0 + 0x9e3779b9n), low(k1 + 0xbb67ae85n)];
  }
  return [a, b, c, d].map(Number);
}

describe('Philox-4x32-10', () => {
  for (const [counter, key, output] of KNOWN) {
    it(`maps ${counter} as published`, () => {
      const [k0, k1] = words(key) as unknown as [number, number];
      const out = new Uint32Array(4);
      philox4x32(words(counter), k0, k1, out);
      expect([...out]).toEqual([...words(output)]);
    });
  }

  it('agrees with a BigInt twin on arbitrary counters and keys', () => {
    const word = fc.integer({ min: 0, max: 0xffffffff });
    fc.assert(
      fc.property(fc.tuple(word, word, word, word), fc.tuple(word, word), (counter, key) => {
        const out = new Uint32Array(4);
        philox4x32(Uint32Array.from(counter), key[0], key[1], out);
        expect([...out]).toEqual(philoxTwin(Uint32Array.from(counter), Uint32Array.from(key)));
      }),
    );
  });
});

/** Draws of the first numbers of a stream. */
const draw = (random: CounterRandom, count: number): number[] => Array.from({ length: count }, () => random.uint32());

describe('CounterRandom', () => {
  it('repeats by name, and differs for names that only look alike', () => {
    expect(draw(new CounterRandom(7, 'a', 1), 9)).toEqual(draw(new CounterRandom(7, 'a', 1), 9));
    const names: (number | string)[][] = [
      [7],
      ['7'],
      [7, 0],
      [7, ''],
      [7, 'a', 'b'],
      [7, 'ab'],
      [7, 'b', 'a'],
      [8],
      [7.5],
      [-7],
    ];
    const streams = names.map(([seed, ...key]) => draw(new CounterRandom(seed!, ...key), 4).join());
    expect(new Set(streams).size).toBe(names.length);
  });

  it('uniform has the moments of U(0,1), normal those of N(0,1), to five standard errors', () => {
    const n = 100_000;
    const random = new CounterRandom(1, 'moments');
    const u = Array.from({ length: n }, () => random.uniform());
    expect(u.every((x) => x >= 0 && x < 1)).toBe(true);
    expect(Math.abs(mean(u) - 0.5)).toBeLessThan(5 * Math.sqrt(1 / 12 / n));
    const z = Array.from({ length: n }, () => random.normal());
    expect(Math.abs(mean(z))).toBeLessThan(5 / Math.sqrt(n));
    expect(Math.abs(mean(z.map((x) => x * x)) - 1)).toBeLessThan(5 * Math.sqrt(2 / n));
    expect(Math.abs(mean(z.map((x) => x ** 4)) - 3)).toBeLessThan(5 * Math.sqrt(96 / n));
  });

  it('int is uniform (chi-squared, 6 degrees of freedom, 1 in 10^6) and refuses what is no range', () => {
    const counts = Array.from({ length: 7 }, () => 0);
    const random = new CounterRandom(2);
    for (let i = 0; i < 70_000; i++) counts[random.int(7)]!++;
    const chi = counts.reduce((sum, c) => sum + (c - 10_000) ** 2 / 10_000, 0);
    expect(chi).toBeLessThan(38.3);
    for (const wrong of [0, -1, 1.5, 2 ** 32 + 1, Number.NaN])
      expect(() => random.int(wrong)).toThrow('not in 1..2^32');
  });

  it('shuffle permutes, and each of the 24 orders of four is equally likely', () => {
    const counts = new Map<string, number>();
    const random = new CounterRandom(3);
    for (let i = 0; i < 24_000; i++) {
      const order = random.shuffle([0, 1, 2, 3]).join('');
      counts.set(order, (counts.get(order) ?? 0) + 1);
    }
    expect(counts.size).toBe(24);
    const chi = [...counts.values()].reduce((sum, c) => sum + (c - 1000) ** 2 / 1000, 0);
    expect(chi).toBeLessThan(73.7); // 23 degrees of freedom, 1 in 10^6
  });
});

describe('dropout', () => {
  it('drops at the rate asked, independently by lane, and keeps the expectation', () => {
    for (const rate of [0.1, 0.25, 0.5, 1 / 3, 0.999]) {
      const n = 320_000;
      const mask = dropoutMask(5, 3, 'output.1', n, rate);
      const dropped = mask.reduce((sum, x) => sum + (x === 0 ? 1 : 0), 0);
      expect(Math.abs(dropped / n - rate)).toBeLessThan(5 * Math.sqrt((rate * (1 - rate)) / n));
      expect(new Set(mask)).toEqual(new Set([0, Math.fround(1 / (1 - rate))]));
      const both = mask.reduce((sum, x, i) => sum + (i > 0 && x === 0 && mask[i - 1] === 0 ? 1 : 0), 0);
      expect(Math.abs(both / n - rate * rate)).toBeLessThan(10 * Math.sqrt((rate * rate) / n));
    }
  });

  it('repeats by (seed, step, site); each of the three matters; a prefix is a prefix', () => {
    const base = dropoutMask(1, 2, 'probs.0', 1000, 0.3);
    expect(dropoutMask(1, 2, 'probs.0', 1000, 0.3)).toEqual(base);
    for (const other of [
      dropoutMask(2, 2, 'probs.0', 1000, 0.3),
      dropoutMask(1, 3, 'probs.0', 1000, 0.3),
      dropoutMask(1, 2, 'probs.1', 1000, 0.3),
    ]) {
      expect(other).not.toEqual(base);
    }
    expect(dropoutMask(1, 2, 'probs.0', 77, 0.3)).toEqual(base.slice(0, 77));
    expect(dropoutMask(1, 2, 'probs.0', 40, 0)).toEqual(new Float32Array(40).fill(1));
    for (const wrong of [1, -0.1, Number.NaN]) expect(() => dropoutMask(1, 1, 'x', 4, wrong)).toThrow('not in [0, 1)');
  });
});
