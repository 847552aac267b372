/**
 * The cells of a guard against the specification's vectors: tables, looked-up bits, counts, refusals. The specification flips
 * every table by a bit s, opens the bit it looks up and turns it into an additive count; that part is written down here.
 */
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { cellBits, cellTables } from '../../protocol/gates/guard-cells.ts';
import type { Gate } from '../../protocol/program.ts';
import { add, checkWords, fromBigInts, toBigInts, xor, type Words } from '../../ring/index.ts';
import { runGates } from '../support/gate-harness.ts';
import { readJson, type SpecProgramCase } from '../support/spec-program.ts';
import { decode, decodeUnchecked, integers, readVector, VECTORS, vectorFiles, type Encoded, type NegativeCase, type SpecCase } from '../support/spec-vectors.ts'; // prettier-ignore

interface GuardCase extends SpecCase {
  readonly expected_between: readonly [Encoded, Encoded];
}
type Params = { readonly n: number; readonly m: number; readonly offset: number; readonly free: number; readonly n_count: number }; // prettier-ignore

/** Bits of the tables, listed cell by cell, as one word a table. */
const asTables = (bits: Encoded, m: number): Words => {
  const M = 2 ** m;
  const v = integers(bits);
  const word = (i: number): bigint =>
    v.slice(i * M, (i + 1) * M).reduce((sum, bit, cell) => sum | (bit << BigInt(cell)), 0n);
  return fromBigInts(Array.from({ length: v.length / M }, (_, i) => word(i)), M); // prettier-ignore
};

/** All ones where the bit is set. */
const repeated = (s: readonly bigint[], M: number): Words => fromBigInts(s.map((bit) => -bit), M); // prettier-ignore

/** Rows of the specification's counts: party i's shares of Σ f over the last axis. */
function counts(o: readonly bigint[], s: readonly bigint[], party: 0 | 1, cols: number, n: number): bigint[] {
  const each = o.map((bit, j) => (1n - 2n * bit) * s[j]! + (party === 0 ? bit : 0n));
  return Array.from({ length: o.length / cols }, (_, row) =>
    BigInt.asUintN(
      n,
      each.slice(row * cols, (row + 1) * cols).reduce((a, b) => a + b, 0n),
    ),
  );
}

function runCase(c: SpecCase): { rows: number; cols: number; steps: ReturnType<typeof runGates> } {
  const { n, m, offset, free } = c.params as unknown as Params;
  const [rows, cols] = c.inputs['x']!.shape as [number, number];
  const shape = { rows: 'token', cols } as const;
  const base = { in: [0], f: 0, shape };
  const gates: Gate[] = [
    { ...base, name: 'x', n, op: 'phase' },
    { ...base, name: 'g', in: [1], n: 1, op: 'guard', m, levels: [{ n, offset, free }] },
  ];
  const words: Record<string, () => Words> = {
    'x.r.0': () => decode(c.random['r0']!, n),
    'x.r.1': () => decode(c.random['r1']!, n),
    'g.cells.pad': () => asTables(c.random['table.pad']!, m),
  };
  const shares = c.input_shares['x']!.map((x) => decode(x, n)) as [Words, Words];
  const steps = runGates({
    dims: { lengths: [rows], heads: 1 },
    inputs: [{ n, f: 0, shape, shares }],
    gates,
    random: (name) => words[name]!(),
    tolerant: true,
  });
  return { rows, cols, steps };
}

describe('guard.json', () => {
  const { gate, cases } = readVector<{ gate: string; cases: GuardCase[] }>('guard.json');
  it('has cases', () => {
    expect(gate).toBe('guard');
    expect(cases.length).toBeGreaterThan(0);
  });

  it.each(cases.map((c, i) => [i, String((c.params as { note?: unknown }).note), c] as const))(
    '%i: %s',
    (_, _note, c) => {
      const { n, m, offset, free, n_count } = c.params as unknown as Params;
      const level = { n, offset, free };
      const { cols, steps } = runCase(c);
      const [phase, guard] = steps as [(typeof steps)[0], (typeof steps)[0]];
      const s = integers(c.random['s']!);
      expect(toBigInts(phase.sent[0]![0])).toEqual(integers(c.sent['c']![0]));
      expect(toBigInts(phase.sent[0]![1])).toEqual(integers(c.sent['c']![1]));
      expect(toBigInts(phase.opened[0]!)).toEqual(integers(c.opened['c']!));

      const dealt = guard.dealt.get('cells')!;
      const flip = repeated(s, 2 ** m);
      expect(toBigInts(dealt[0])).toEqual(toBigInts(asTables(c.dealt['table']![0], m)));
      expect(toBigInts(xor(dealt[1], flip))).toEqual(toBigInts(asTables(c.dealt['table']![1], m)));

      const bits = dealt.map((table) => Array.from(cellBits(phase.opened[0]!, table, level, m), BigInt));
      const sent = [bits[0]!, bits[1]!.map((bit, j) => bit ^ s[j]!)];
      expect(sent).toEqual(c.sent['o']!.map(integers));
      const o = sent[0]!.map((bit, j) => bit ^ sent[1]![j]!);
      expect(o).toEqual(integers(c.opened['o']!));
      const shares = c.dealt['s']!.map(integers);
      const counted = ([0, 1] as const).map((i) => counts(o, shares[i]!, i, cols, n_count));
      expect(counted).toEqual(c.output_shares.map(integers));
      const total = counted[0]!.map((a, row) => BigInt.asUintN(n_count, a + counted[1]![row]!));
      expect(total).toEqual(integers(c.output));
      const [must, may] = c.expected_between.map(integers);
      total.forEach((v, row) => expect(v >= must![row]! && v <= may![row]!).toBe(true));

      expect(guard.refusal !== undefined).toBe(total.some((v) => v > 0n));
      // our form: the flags themselves, in XOR shares
      const flags = bits[0]!.map((bit, j) => bit ^ bits[1]![j]!);
      expect(flags.reduce((a, b) => a + b, 0n)).toBe(total.reduce((a, b) => a + b, 0n));
      const [a, b] = guard.party;
      if (a.kind !== 'bits' || b.kind !== 'bits') throw new Error('a guard gives bits');
      const packed = toBigInts(xor(a.x, b.x));
      expect(flags.map((_bit, j) => (packed[j >> 6]! >> BigInt(j & 63)) & 1n)).toEqual(flags);
    },
  );
});

describe('negative vectors of the guard', () => {
  const { cases } = readVector<{ cases: NegativeCase[] }>('negative.json');
  const own = cases.filter((c) => c.gate === 'guard');
  it('has cases', () => expect(own.length).toBeGreaterThan(0));

  it.each(own.map((c) => [c.why, c.at, c] as const))('%s (%s)', (why, at, c) => {
    const { m } = c.params as unknown as Params;
    if (at.startsWith('run time')) {
      const receive = (): void => {
        for (const name of ['s', 'table.pad']) {
          const x = c.random[name]!;
          checkWords(decodeUnchecked(x, 1)!, 1, x.v.length, name);
        }
      };
      expect(receive, why).toThrow();
    } else if (at.startsWith('program load')) {
      // A table is made of `free` and m, never given: as many flags as cells, whatever the program says.
      const given = (c.params as unknown as { flags: number[] }).flags.length;
      expect(given).not.toBe(2 ** m);
      expect(cellTables(fromBigInts([5n], 16), { n: 16, offset: 0, free: 14 }, m).n).toBe(2 ** m);
    } else {
      throw new Error(`nobody answers for "${at}"`);
    }
  });
});

type Triple = readonly [number, number, number];
interface GuardedPlan {
  readonly norm: Readonly<Record<string, { readonly guard: Triple }>>;
  readonly tanh: { readonly guard: Triple };
  readonly layers: readonly { readonly D: { readonly guard: Triple }; readonly groups: readonly { readonly guard: Triple }[] }[];
} // prettier-ignore

/** The cells of one guarded opening of a program of the specification. */
function triple(plan: GuardedPlan, wire: string): Triple {
  if (wire === 'tanh') return plan.tanh.guard;
  const norm = /^(.*)\.inv$/.exec(wire)?.[1];
  const [, layer, rest] = /^(\d+)\.(.*)$/.exec(wire) ?? [];
  if (rest === 'D.inv') return plan.layers[Number(layer)]!.D.guard;
  const group = /^gelu(\d+)$/.exec(rest ?? '')?.[1];
  if (group !== undefined) return plan.layers[Number(layer)]!.groups[Number(group)]!.guard;
  return norm === undefined ? [4, 0, 7] : plan.norm[norm]!.guard;
}

const programs = vectorFiles().filter((name) => /^program_.*_guard$/.test(name));

describe.each(programs)('every guarded opening of %s', (folder) => {
  const dir = join(VECTORS, folder);
  const plan = readJson<GuardedPlan>(join(dir, 'plan.json'));
  it.each(['full.json', 'outlier.json'])('%s: tables, bits and counts', (file) => {
    const test = readJson<SpecProgramCase & { readonly guard_total: { readonly value: number } }>(join(dir, file));
    const random = (name: string): Words => fromBigInts(integers(test.random[name]!), test.random[name]!.bits);
    const guards = test.dealt.filter(({ name }) => name.endsWith('.guard.table')).map(({ name }) => name.slice(0, -12));
    expect(guards.length).toBeGreaterThan(0);
    let flagged = 0n;
    for (const wire of guards) {
      const [m, offset, free] = triple(plan, wire);
      const c = test.opened.find(({ name }) => name === wire)!;
      const level = { n: c.bits, offset, free };
      const table = cellTables(add(random(`${wire}.r.0`), random(`${wire}.r.1`)), level, m);
      const pad = asTables(test.random[`${wire}.guard.table.pad`]!, m);
      const s = integers(test.random[`${wire}.guard.s`]!);
      const own = xor(xor(table, repeated(s, 2 ** m)), pad);
      const listed = test.dealt.find(({ name }) => name === `${wire}.guard.table`)!.party1;
      expect(toBigInts(own), wire).toEqual(toBigInts(asTables(listed, m)));
      const value = decode(c.value, c.bits);
      const sent = test.opened.find(({ name }) => name === `${wire}.guard`)!.sent.map(integers);
      expect(Array.from(cellBits(value, pad, level, m), BigInt), wire).toEqual(sent[0]);
      expect(Array.from(cellBits(value, own, level, m), BigInt), wire).toEqual(sent[1]);
      flagged += Array.from(cellBits(value, table, level, m), BigInt).reduce((a, b) => a + b, 0n);
    }
    if (folder.includes('centred')) expect(flagged).toBe(BigInt(test.guard_total.value));
  });
});
