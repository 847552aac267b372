/** Properties of every gate at random rings, shapes and batches. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ext as asExt, operand } from '../../protocol/check.ts';
import { RefusedError } from '../../common/errors.ts';
import { clientEmbedding } from '../../protocol/gates/embedding.ts';
import { paddingMask } from '../../protocol/gates/padding.ts';
import { centreConstants } from '../../protocol/gates/centre.ts';
import { lengthConstants, lengthFraction, mostDropped } from '../../protocol/gates/length-scale.ts';
import { definitionOf, masked } from '../../protocol/suite/masked.ts';
import { blocks, count, type Dims } from '../../protocol/shape.ts';
import { add, concatWords, extShare, slice, sub, toBigInts, xor, zeros, type Words } from '../../ring/index.ts';
import { Draw, OPS, makeCase, type Case } from '../support/gate-cases.ts';
import { joined, runGates, type Step } from '../support/gate-harness.ts';
import { signedIntegers } from '../support/spec-vectors.ts';

const session = fc.record({
  lengths: fc.array(fc.integer({ min: 1, max: 6 }), { minLength: 1, maxLength: 3 }),
  heads: fc.integer({ min: 1, max: 3 }),
  seed: fc.nat(),
});

/** The value a step's parties hold together; for an ext wire what it lifts to, in its widest ring. */
function held(step: Step): Words {
  const [a, b] = step.party;
  if (a.kind === 'share') return joined(step);
  if (a.kind === 'operand') return add(add(a.E, a.A), operand(b).A);
  if (a.kind === 'ext') return add(extShare(0, a, a.lift), extShare(1, asExt(b), a.lift));
  if (a.kind === 'bits' && b.kind === 'bits') return xor(a.x, b.x);
  if (a.kind === 'padding') return xor(a.beta, paddingMask(step.dealer));
  // What a phase wire stands for: the value, once its mask is taken off.
  const { r } = step.dealer as Extract<typeof step.dealer, { kind: 'phase' }>;
  return sub((a as Extract<typeof a, { kind: 'phase' }>).c, r);
}

const run = (made: Case, dims: Dims, draw: Draw): Step => runGates({ ...made, dims, random: draw.random }).at(-1)!;

describe('every gate of the suite has cases here', () => {
  it('and only those', () => expect(OPS.toSorted()).toEqual(Object.keys(masked).toSorted()));
});

describe.each(OPS)('%s', (op) => {
  it('the shares join to the clear value, with the same tape', () => {
    fc.assert(
      fc.property(session, ({ lengths, heads, seed }) => {
        const draw = new Draw(seed);
        const dims = { lengths, heads };
        const made = makeCase(op, draw, dims);
        const step = run(made, dims, draw);
        expect(step.gate.op).toBe(op);
        if (step.type.kind !== 'bits') expect(held(step).length).toBe(count(step.type.shape, dims));
        // Signed: an ext wire holds the same integer in its larger ring.
        expect(signedIntegers(held(step))).toEqual(signedIntegers(step.clear.x));
        if (!['ext', 'bits'].includes(step.type.kind)) expect(held(step).n).toBe(step.type.n);
      }),
      { numRuns: 60 },
    );
  });

  it('a batch is its texts one by one', () => {
    fc.assert(
      fc.property(session, ({ lengths, heads, seed }) => {
        const draw = new Draw(seed);
        const dims = { lengths, heads };
        const made = makeCase(op, draw, dims);
        const whole = run(made, dims, draw);
        const alone = lengths.map((length, b) => {
          const one: Dims = { lengths: [length], heads };
          const inputs = made.inputs.map((wire) => {
            const { offset, rows, cols } = blocks(wire.shape, dims)[b]!;
            const [s0, s1] = wire.shares;
            const part = (x: Words): Words => slice(x, offset, offset + rows * cols);
            return { ...wire, shares: [part(s0), part(s1)] as const };
          });
          const ids = made.ids?.slice(b, b + 1);
          const types = made.types?.slice(b, b + 1);
          const valid = made.valid?.slice(b, b + 1);
          return run({ ...made, inputs, ...(ids && types && { ids, types }), ...(valid && { valid }) }, one, draw);
        });
        const apart = sub(concatWords(alone.map(held)), held(whole));
        // The rounding of a Fourier gate depends on its mask, that of a scaled static share on its pad: twice the declared error.
        // Everything else is exact.
        const most = ['fourier', 'paddedFourier', 'bias'].includes(op)
          ? 2 * definitionOf(whole.gate).error(whole.gate)
          : 0;
        for (const difference of signedIntegers(apart)) expect(Math.abs(Number(difference))).toBeLessThanOrEqual(most);
      }),
      { numRuns: 30 },
    );
  });

  it('every opening says why it may be public', () => {
    const draw = new Draw(7);
    const dims = { lengths: [3, 2], heads: 2 };
    const step = run(makeCase(op, draw, dims), dims, draw);
    for (const reason of step.reasons) expect(reason).toMatch(/uniform/);
  });
});

describe('the client’s embedding', () => {
  const gate = { name: 'emb', vocab: 7, split: 2, n: 20 };
  const masks = (tokens: number): [Words, Words] => [zeros(20, tokens * 5), zeros(20, tokens * 2)];
  it('is one-hot in both levels, the type last', () => {
    const { E1, E2 } = clientEmbedding(gate, [6, 1], [0, 1], ...masks(2));
    expect(toBigInts(E1)).toEqual([0n, 0n, 0n, 1n, 0n, 1n, 0n, 0n, 0n, 1n]);
    expect(toBigInts(E2)).toEqual([1n, 0n, 0n, 1n]);
  });
  it.each([
    [[7], [0]],
    [[-1], [0]],
    [[1.5], [0]],
    [[1], [2]],
    [[1], []],
  ])('refuses ids %j with types %j', (ids, types) =>
    expect(() => clientEmbedding(gate, ids, types, ...masks(ids.length))).toThrow(RefusedError),
  );
});

describe('lengthScale', () => {
  const factors = [1, 2, 3, 61, 64, 100, 512].flatMap((longest) =>
    [0, 2, 3, 8].flatMap((bits) => [true, false].map((centred) => ({ longest, bits, centred }))),
  );
  it.each(factors)('%o: F is √(longest / L) to within half a unit of its last bit', (factor) => {
    for (let L = 1; L <= factor.longest; L++) {
      const { by, drop } = lengthFraction(L, factor);
      const wanted = Math.sqrt(factor.longest / L);
      expect(Math.abs(by / 2 ** drop / wanted - 1)).toBeLessThanOrEqual(2 ** -(factor.bits + 1) * (1 + 1e-12));
      expect(drop).toBeLessThanOrEqual(mostDropped(factor));
      expect(by).toBeLessThan(2 ** 31);
      // queries are multiplied by m / 2^s, keys of centred scores by L / 2^k: together F
      const { m, s } = lengthConstants(L, factor);
      expect(s).toBeLessThanOrEqual(factor.bits);
      const keys = factor.centred ? L / 2 ** centreConstants(L).k : 1;
      expect((m / 2 ** s) * keys).toBe(by / 2 ** drop);
    }
  });
});

describe('centre', () => {
  it('has the constants of the specification: m = round(2^(e+k) / L), e = 0 for powers of two', () => {
    for (let L = 1; L <= 1024; L++) {
      const { k, e, m } = centreConstants(L);
      expect(2 ** k >= L && 2 ** (k - 1) < L).toBe(true);
      expect(e).toBe(Number.isInteger(Math.log2(L)) ? 0 : 9);
      expect(Math.abs(m - 2 ** (e + k) / L)).toBeLessThanOrEqual(0.5);
      expect(Math.abs((m * L) / 2 ** (e + k) - 1)).toBeLessThanOrEqual(2 ** -10 + 1e-15);
    }
  });
});
