/** GF(2^64) against BigInt polynomials; answers that are disclosed exactly where no flag is set. */
import { createHash } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { fingerprints, seal, unseal, type CoinWords } from '../../protocol/disclosure.ts';
import { cellBits, flagShares, flagWords, packFlags } from '../../protocol/gates/guard-cells.ts';
import { count } from '../../protocol/shape.ts';
import { Draw } from '../support/gate-cases.ts';
import { gfDots, gfMultiply } from '../../protocol/gf64.ts';
import type { GuardGate, Program } from '../../protocol/program.ts';
import { add, equal, fromBigInts, resize, slots, sub, toBigInts, xor, zeros, type Words } from '../../ring/index.ts';
import { tinyProgram } from '../support/tiny-program.ts';

const POLYNOMIAL = (1n << 64n) | 0b11011n;

/** Schoolbook product of polynomials over GF(2), then long division. */
function product(a: bigint, b: bigint): bigint {
  let p = 0n;
  for (let i = 0n; i < 64n; i++) if ((b >> i) & 1n) p ^= a << i;
  for (let i = 127n; i >= 64n; i--) if ((p >> i) & 1n) p ^= POLYNOMIAL << (i - 64n);
  return p;
}

const element = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n });
const words = (...v: bigint[]): Words => fromBigInts(v, 64);

describe('GF(2^64)', () => {
  it('multiplies as polynomials do', () => {
    const check = (a: bigint, b: bigint): void => {
      expect(toBigInts(gfMultiply(words(a), words(b)))).toEqual([product(a, b)]);
    };
    fc.assert(fc.property(element, element, check));
    const ends = [0n, 1n, 2n, 1n << 31n, 1n << 32n, 1n << 63n, 2n ** 64n - 1n];
    for (const a of ends) for (const b of ends) check(a, b);
  });

  it('has a field’s inverses: a^(2^64 − 1) = 1', () => {
    for (const a of [2n, 3n, 0x9e3779b97f4a7c15n]) {
      // a^(2^64 − 1) = Π a^(2^i)
      let [power, square] = [words(1n), words(a)];
      for (let i = 0; i < 64; i++) {
        power = gfMultiply(power, square);
        square = gfMultiply(square, square);
      }
      expect(toBigInts(power)).toEqual([1n]);
      expect(toBigInts(square)).toEqual([a]);
    }
  });

  it('adds products in runs, empty ones too', () => {
    fc.assert(
      fc.property(fc.array(fc.array(fc.tuple(element, element), { maxLength: 4 }), { maxLength: 4 }), (runs) => {
        const flat = runs.flat();
        const out = gfDots(words(...flat.map(([a]) => a)), words(...flat.map(([, b]) => b)), runs.map((run) => run.length)); // prettier-ignore
        expect(toBigInts(out)).toEqual(runs.map((run) => run.reduce((sum, [a, b]) => sum ^ product(a, b), 0n)));
      }),
    );
    expect(() => gfDots(words(1n), words(1n), [2])).toThrow();
    expect(() => gfMultiply(words(1n), fromBigInts([1n], 32))).toThrow();
  });
});

/** Words by hashing labels: the coin of a test. */
function coinOf(seed: string): CoinWords {
  const draw = (label: string, n: number, length: number): Words => {
    const data = new Uint32Array(length * slots(n));
    for (let i = 0; i < data.length; i++)
      data[i] = createHash('sha256').update(`${seed}/${label}/${i}`).digest().readUInt32LE(0);
    return resize({ n: 32 * slots(n), length, data }, n);
  };
  const hex = (key: Words): string => toBigInts(key)[0]!.toString(16);
  return {
    alpha: (gate, length) => draw(`alpha ${gate}`, 64, length),
    rho: (texts) => draw('rho', 64, texts),
    sigma: (texts) => draw('sigma', 64, texts),
    pad: (text, key, n, length) => draw(`pad ${text} ${hex(key)}`, n, length),
    tag: (text, key) => draw(`tag ${text} ${hex(key)}`, 128, 1),
  };
}

const program: Program = tinyProgram();
const guards = program.guard!.map((wire) => program.gates[wire] as GuardGate);
const dims = { lengths: [5, 1, 9], heads: program.heads };
const LABELS = program.labels;
const sizes = guards.map((gate) => flagWords(gate.levels.length, gate.shape, dims));

/** A session in which the flags at [guard, word, bit] are set, all of them shared anew. */
function session(set: readonly (readonly [number, number, bigint])[], seed: string) {
  const coin = coinOf(seed);
  const flags = sizes.map((perText) => zeros(64, perText.reduce((a, b) => a + b, 0))); // prettier-ignore
  for (const [g, word, bit] of set) flags[g]!.data.set(fromBigInts([1n << bit], 64).data, 2 * word);
  const share0 = flags.map((f, g) => coinOf(`${seed} shares`).alpha(1000 + g, f.length));
  const share1 = flags.map((f, g) => xor(f, share0[g]!));
  const y = fromBigInts(Array.from({ length: 3 * LABELS }, (_, i) => BigInt(i * 1234567)), 27); // prettier-ignore
  const y0 = coinOf(`${seed} answer`).pad(0, words(0n), 27, y.length);
  const [h0, h1] = [share0, share1].map((s) => fingerprints(program, s, dims, coin)) as [Words, Words];
  const sealed = [seal(0, y0, h0, coin), seal(1, sub(y, y0), h1, coin)] as const;
  return { y, h: [h0, h1] as const, sealed, answers: unseal(sealed, LABELS) };
}

const row = (y: Words, text: number): bigint[] => toBigInts(y).slice(text * LABELS, (text + 1) * LABELS);

describe('conditional disclosure', () => {
  it('discloses every text if no flag is set', () => {
    for (let i = 0; i < 20; i++) {
      const { y, h, answers } = session([], `clear ${i}`);
      expect(equal(...h)).toBe(true);
      answers.forEach((answer, text) => expect(toBigInts(answer!)).toEqual(row(y, text)));
    }
  });

  it('withholds exactly the texts with a flag, whichever flag it is', () => {
    for (const [g, perText] of sizes.entries()) {
      let start = 0;
      perText.forEach((size, text) => {
        for (let word = start; word < start + size; word++)
          for (const bit of [0n, 17n, 31n, 32n, 63n]) {
            const { y, answers } = session([[g, word, bit]], `${g} ${word} ${bit}`);
            answers.forEach((answer, t) => {
              if (t === text) expect(answer).toBeUndefined();
              else expect(toBigInts(answer!)).toEqual(row(y, t));
            });
          }
        start += size;
      });
    }
  });

  it('flags of several gates do not cancel', () => {
    for (let i = 0; i < 50; i++) {
      const { answers } = session([[0, 0, 0n], [1, 0, 0n]], `both ${i}`); // prettier-ignore
      expect(answers[0]).toBeUndefined();
    }
  });

  it('what is withheld is uniform: the messages do not add up to the answer, nor to a constant away from it', () => {
    const apart = Array.from({ length: 300 }, (_, i) => {
      const { y, sealed } = session([[0, 0, 3n]], `hidden ${i}`);
      return toBigInts(sub(add(sealed[0].y, sealed[1].y), y))[0]!;
    });
    expect(new Set(apart).size).toBeGreaterThan(290);
    // every bit of the difference is set about half the time: 150 ± 6 standard deviations of √75
    for (let bit = 0n; bit < 27n; bit++) {
      const ones = apart.filter((v) => (v >> bit) & 1n).length;
      expect(Math.abs(ones - 150)).toBeLessThan(6 * Math.sqrt(75));
    }
  });

  it('messages have one size, flagged or not', () => {
    const [plain, flagged] = [session([], 'a'), session([[0, 0, 3n]], 'a')];
    const size = ({ sealed }: ReturnType<typeof session>) => sealed.map(({ y, tags }) => [y.n, y.length, tags.n, tags.length]);
    expect(size(flagged)).toEqual(size(plain));
  }); // prettier-ignore
});

describe('flags packed in one pass', () => {
  it('are the bits of every level, text by text', () => {
    const draw = new Draw(17);
    for (let t = 0; t < 200; t++) {
      const own = { lengths: Array.from({ length: draw.int(1, 3) }, () => draw.int(1, 9)), heads: draw.int(1, 3) };
      const shape = { rows: 'head', cols: draw.int(0, 1) === 0 ? 'keys' : draw.int(1, 5) } as const;
      const [n, m] = [draw.int(8, 40), draw.int(2, 6)];
      const size = count(shape, own);
      const c = draw.random('c', n, size);
      const levels = Array.from({ length: draw.int(1, 4) }, () => ({
        n: draw.int(m + 1, n),
        offset: draw.int(0, 2 ** 20) - 2 ** 19,
        free: 2,
      }));
      const tables = draw.random('tables', 2 ** m, levels.length * size);
      const bits = levels.map((level, l) => cellBits(c, tables, level, m, l * size));
      expect(equal(flagShares(c, tables, levels, m, shape, own), packFlags(bits, shape, own))).toBe(true);
    }
  });
});
