/** Every gate half against the specification's vectors: dealt words, messages, opened values, output shares, clear values, refusals. */
import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { ext as asExt } from '../../protocol/check.ts';
import { fourierDigest } from '../../protocol/digest.ts';
import { PlanError } from '../../protocol/errors.ts';
import { TRIG_BITS, fourierError } from '../../protocol/gates/fourier.ts';
import { definitionOf } from '../../protocol/suite/masked.ts';
import { RefusedError } from '../../common/errors.ts';
import { add, checkWords, extShare, slots, toBigInts, type Words } from '../../ring/index.ts';
import { joined, type Step } from '../support/gate-harness.ts';
import { fourierTable, plans, runCase, trigTables, typeCase } from '../support/spec-gates.ts';
import {
  VECTORS, decodeUnchecked, integers, readVector, signedIntegers, vectorFiles,
  type Encoded, type NegativeCase, type SpecCase,
} from '../support/spec-vectors.ts'; // prettier-ignore

const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

const GATES = [
  'truncate_reduce',
  'ext_lift',
  'square',
  'product',
  'static_linear',
  'beaver',
  'fourier',
  'centre',
  'embedding',
];
/** Guards have their own test (guard.golden), whole programs theirs. */
const NOT_COVERED = /^(guard\.json|program_.*)$/;

/** The name of a step's opening in the vectors. */
const openingName = ({ gate }: Step): string =>
  gate.op === 'embedding' ? 'M' : gate.op === 'open' ? (gate.name === 'y' ? 'D' : 'E') : 'c';

interface FourierCase extends SpecCase {
  readonly wide_shares: readonly [Encoded, Encoded];
  readonly real_value: readonly number[];
}

function check(gate: string, c: SpecCase, planner: Parameters<typeof runCase>[0]): number {
  const { steps, layout } = runCase(planner, c);
  const last = steps.at(-1)!;
  let compared = 0;
  const same = (actual: Words, name: string, want: Encoded): void => {
    expect(toBigInts(actual), name).toEqual(integers(layout(name, want)));
    compared += actual.length;
  };
  const opened = new Map(steps.flatMap((step) => step.opened.map((v) => [openingName(step), { v, step }] as const)));
  // μ is the client's message there and opened by the parties here: one word, E = μ − A
  const sent = [...Object.keys(c.sent), ...('mu' in c.inputs ? ['E'] : [])];
  expect([...opened.keys()].toSorted()).toEqual(sent.toSorted());
  for (const [name, { v, step }] of opened) {
    if (c.sent[name] === undefined) {
      same(v, name, c.opened[name]!);
      continue;
    }
    const as = name === 'E' ? 'x' : name === 'D' ? 'y' : name;
    same(step.sent[0]![0], as, c.sent[name]![0]);
    same(step.sent[0]![1], as, c.sent[name]![1]);
    same(v, as, c.opened[name]!);
  }
  const dealt = new Map(steps.flatMap((step) => [...step.dealt]));
  expect([...dealt.keys()].toSorted()).toEqual(Object.keys(c.dealt).toSorted());
  for (const [kind, words] of dealt)
    for (const i of [0, 1] as const) same(words[i], kind === 'AC' ? 'AC.pad' : kind, c.dealt[kind]![i]);
  for (const [name, words] of steps.flatMap((step) => [...step.client])) same(words, name, c.opened[name]!);

  const N = gate === 'ext_lift' ? c.params['N']! : last.type.n;
  const outputs = ([0, 1] as const).map((i) => {
    const value = last.party[i];
    if (gate === 'ext_lift') return extShare(i, asExt(value), N);
    if (value.kind !== 'share') throw new Error('not a share');
    return value.x;
  });
  // Rows and columns beyond the case's are zero only before masking: there party 1 holds what party 0 does not.
  const out = gate === 'beaver' ? 'AC.pad' : 'output';
  const inCase = (x: Words): bigint[] => pick(x, c.output.shape, layout(out, c.output).shape);
  for (const i of [0, 1] as const) expect(inCase(outputs[i]!)).toEqual(integers(c.output_shares[i]));
  const total = add(outputs[0]!, outputs[1]!);
  expect(pickSigned(total, c, layout(out, c.output).shape)).toEqual(integers(c.output));
  expect(pickSigned(total, c, layout(out, c.output).shape)).toEqual(integers(c.expected));
  const clear =
    gate === 'ext_lift' ? signedIntegers(last.clear.x) : pickSigned(last.clear.x, c, layout(out, c.output).shape);
  expect(clear).toEqual(integers(c.expected));
  compared += 5 * c.output.v.length;
  if (c.rounding_word !== undefined && last.rounding !== undefined)
    same(last.rounding, 'rounding_word', c.rounding_word);
  return compared;
}

/** The case's part of a matrix that was embedded in a larger one. */
function pick(x: Words, shape: readonly number[], held: readonly number[]): bigint[] {
  const words = toBigInts(x);
  if (shape.length !== 2 || shape[1] === held[1])
    return words.slice(
      0,
      shape.reduce((a, b) => a * b, 1),
    );
  return Array.from({ length: shape[0]! * shape[1]! }, (_, i) => {
    const [row, col] = [Math.floor(i / shape[1]!), i % shape[1]!];
    return words[row * held[1]! + col]!;
  });
}
const pickSigned = (x: Words, c: SpecCase, held: readonly number[]): bigint[] =>
  pick(x, c.output.shape, held).map((word) => BigInt.asIntN(x.n, word));

describe(`vectors in ${VECTORS}`, () => {
  it('are all known', () => {
    const known = new Set([...GATES, 'trig_tables', 'negative'].map((name) => `${name}.json`));
    const names = vectorFiles();
    const left = names.filter((name) => NOT_COVERED.test(name));
    expect(names.filter((name) => !known.has(name) && !left.includes(name))).toEqual([]);
    expect(names.filter((name) => known.has(name)).length).toBe(known.size);
    process.stdout.write(`specification: ${left.length} files of guards and whole programs are left to other tests\n`);
  });

  it.each(GATES)('%s: every word, message and value', (gate) => {
    const { gate: named, cases } = readVector<{ gate: string; cases: SpecCase[] }>(`${gate}.json`);
    expect(named).toBe(gate);
    let compared = 0;
    for (const c of cases) for (const planner of plans(gate)) compared += check(gate, c, planner);
    process.stdout.write(`${gate}: ${cases.length} cases, ${compared} words equal\n`);
    expect(compared).toBeGreaterThan(0);
  });

  it('fourier: wide words, error bound and digest are the specification’s', () => {
    const { cases } = readVector<{ cases: FourierCase[] }>('fourier.json');
    const tables = trigTables();
    for (const c of cases) {
      const table = fourierTable(c.params.gate!);
      expect(fourierDigest(table, tables.get(table.b)!, sha256)).toBe(c.params.gate!.digest);
      expect(fourierError(table) + 2 ** -table.fOut).toBeCloseTo(c.error_bound, 12);
      const [wide, cut] = runCase(plans('fourier')[0]!, c).steps.filter(({ gate }) => gate.op !== 'open');
      signedIntegers(joined(cut!)).forEach((y, i) => {
        expect(Math.abs(Number(y) / 2 ** table.fOut - c.real_value[i]!)).toBeLessThanOrEqual(c.error_bound);
      });
      for (const i of [0, 1] as const) {
        const value = wide!.party[i];
        expect(value.kind === 'share' && toBigInts(value.x)).toEqual(integers(c.wide_shares[i]));
      }
    }
  });

  it('truncate_reduce: the declared error is the specification’s bound', () => {
    const { cases } = readVector<{ cases: SpecCase[] }>('truncate_reduce.json');
    for (const c of cases) {
      const { gate } = runCase(plans('truncate_reduce')[0]!, c).steps[0]!;
      expect(definitionOf(gate).error(gate as never)).toBe(c.error_bound);
    }
  });

  it('trig tables: a unit circle at 2^28, hi and lo parts', () => {
    const tables = trigTables();
    expect(tables.size).toBeGreaterThan(0);
    for (const [b, { l, hiCos, hiSin, loCos, loSin }] of tables) {
      expect(l).toBe(Math.floor(b / 2));
      const sides: [number[], number[], number][] = [
        [[...hiCos], [...hiSin], 2 ** (b - l)],
        [[...loCos], [...loSin], 2 ** l],
      ];
      for (const [cos, sin, length] of sides) {
        expect([cos.length, sin.length]).toEqual([length, length]);
        cos.forEach((x, i) => {
          const radius = Math.hypot(x, sin[i]!) / 2 ** TRIG_BITS;
          // Each of the two integers is within half a unit.
          expect(Math.abs(radius - 1)).toBeLessThan(2 ** -TRIG_BITS);
        });
      }
    }
  });
});

/** Rings of the arrays of a case. */
const ringOf = ({ gate, params }: NegativeCase, name: string): number => {
  const { n, N, nw, nE, nD, nW } = params as Record<string, number>;
  if (gate === 'fourier' && /^A[01]$/.test(name)) return params['n_mu']!;
  if (gate === 'fourier')
    return name === 'T.pad' || name === 'TA.pad'
      ? params['n_out']! + params.gate!.g1 + params.gate!.g2 - params.gate!.f_out
      : params.gate!.b;
  if (/^(q|qm|mA)\.pad$/.test(name)) return N! - n!;
  if (name === 'delta.pad') return N! - n! - 1;
  if (/^(r2|rA)\.pad$/.test(name)) return N!;
  if (gate === 'product' && /^(A[01]|w\.share0)$/.test(name)) return nw!;
  if ((gate === 'static_linear' || gate === 'beaver') && /^(A[01]|x\.share0)$/.test(name)) return nE!;
  if (gate === 'static_linear' && /^B[01]$/.test(name)) return nW!;
  if (gate === 'beaver' && /^(C[01]|y\.share0)$/.test(name)) return nD!;
  return n!;
};

describe('negative vectors are refused where they can be seen', () => {
  const { cases } = readVector<{ cases: NegativeCase[] }>('negative.json');
  const covered = cases.filter((c) => c.gate !== 'guard');
  process.stdout.write(`negative: ${covered.length} cases, ${cases.length - covered.length} of guards left out\n`);

  it('has cases', () => expect(covered.length).toBeGreaterThan(0));

  /** Words a party may receive or draw: as many as the gate asks for, each inside its ring. */
  const receives = (c: NegativeCase): void => {
    for (const [name, x] of Object.entries(c.random)) {
      const n = ringOf(c, name);
      const length =
        name === 'T.pad' || name === 'TA.pad' ? 2 * c.params.gate!.a.length * c.inputs['x']!.v.length : x.v.length;
      const words = decodeUnchecked(x, n);
      // A word that its storage cannot hold: the ring fills its slot, the value is one more bit.
      if (words === undefined) {
        expect(n).toBe(32 * slots(n));
        throw new Error(`${name}: a word does not fit ${n} bits`);
      }
      checkWords(words, n, length, name);
    }
  };

  it.each(covered.map((c, i) => [i, c.gate, c.why, c.at, c] as const))('%i %s: %s (%s)', (_, gate, why, at, c) => {
    if (at.startsWith('run time')) {
      expect(() => receives(c)).toThrow();
    } else if (at.startsWith('before the first gate')) {
      const tables = trigTables();
      const [own, other] = [fourierTable(c.params.gate!), fourierTable(c.params.gate_party1!)];
      const trig = tables.get(own.b)!;
      expect(fourierDigest(own, trig, sha256)).toBe(own.digest);
      expect(fourierDigest(other, trig, sha256)).not.toBe(fourierDigest(own, trig, sha256));
    } else if (at.startsWith('program load')) {
      expect(() => typeCase(plans(gate)[0]!, c), why).toThrow(PlanError);
    } else if (at.startsWith('client') || at.startsWith('exporter or clear interpreter')) {
      expect(() => runCase(plans(gate)[0]!, c), why).toThrow(RefusedError);
    } else {
      throw new Error(`nobody answers for "${at}"`);
    }
  });
});

describe('the guards of these tests', () => {
  it('a case with one wrong word fails', () => {
    const { cases } = readVector<{ cases: SpecCase[] }>('square.json');
    const c = cases[0]!;
    const wrong = { ...c, expected: { ...c.expected, v: c.expected.v.map((v, i) => (i === 0 ? Number(v) + 1 : v)) } };
    expect(() => check('square', wrong, plans('square')[0]!)).toThrow();
  });

  it('one unit more in a mask changes what is sent, and nothing else passes for it', () => {
    const { cases } = readVector<{ cases: SpecCase[] }>('product.json');
    const c = cases[0]!;
    const A0 = c.random['A0']!;
    const v = A0.v.map((word, i) => (i === 0 ? Number(BigInt.asUintN(c.params['nw']!, BigInt(word) + 1n)) : word));
    expect(() => check('product', { ...c, random: { ...c.random, A0: { ...A0, v } } }, plans('product')[0]!)).toThrow();
  });
});
