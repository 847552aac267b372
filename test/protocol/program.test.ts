/** Loading a program: schema, structure, preconditions at every length, digests, costs. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { InputError } from '../../common/errors.ts';
import { MAX_PROGRAM_BYTES, canonicalJson, parseProgram, programDigest } from '../../protocol/codec.ts';
import { programCost } from '../../protocol/cost.ts';
import { PlanError } from '../../protocol/errors.ts';
import type { Gate, Program } from '../../protocol/program.ts';
import { centringBits, checkProgram, gateType, resolve, wireTypes } from '../../protocol/resolve.ts';
import { masked } from '../../protocol/suite/masked.ts';
import { Draw, OPS, makeCase } from '../support/gate-cases.ts';
import { runGates } from '../support/gate-harness.ts';
import { sha256, tinyProgram } from '../support/tiny-program.ts';

/** A program as loose JSON, to be spoilt. */
// oxlint-disable-next-line no-explicit-any
type Loose = any;
const loose = (): Loose => JSON.parse(JSON.stringify(tinyProgram()));
const named = (program: Loose, name: string): Loose => program.gates.find((gate: Gate) => gate.name === name);
const dims = (...lengths: number[]) => ({ lengths, heads: 2 });

describe('codec', () => {
  it('reads what was written, from text and from a value', () => {
    const program = tinyProgram();
    const hidden = tinyProgram(true);
    expect(new Set(hidden.gates.map((gate) => gate.op))).toEqual(new Set(Object.keys(masked)));
    for (const p of [program, hidden]) expect(parseProgram(JSON.stringify(p))).toEqual(p);
    expect(parseProgram(loose())).toEqual(program);
  });

  it.each<[string, (program: Loose) => unknown, RegExp]>([
    ['unknown op', (p) => (p.gates[3].op = 'relu'), /gates\.3/],
    ['wrong version', (p) => (p.version = 2), /version/],
    ['no version', (p) => delete p.version, /version/],
    ['unknown field', (p) => (p.gates[0].secret = 1), /gates\.0/],
    ['unknown field at the top', (p) => (p.extra = {}), /top level/],
    ['missing field', (p) => delete p.gates[0].split, /gates\.0\.split/],
    ['ring of 129 bits', (p) => (p.gates[2].n = 129), /gates\.2/],
    ['ring of half a bit', (p) => (p.gates[2].n = 20.5), /gates\.2/],
    ['a bucket of no tokens', (p) => (p.buckets = [0]), /buckets/],
    ['unknown length mode', (p) => (p.length = 'hidden'), /length/],
    ['coefficient beyond 64 bits', (p) => (named(p, 'emb.inv').table.a[0] = '9223372036854775808'), /table\.a\.0/],
    ['coefficient that is no integer', (p) => (named(p, 'emb.inv').table.a0 = '1e9'), /table\.a0/],
    ['a thousand inputs', (p) => (p.gates[1].in = Array.from({ length: 1000 }, () => 0)), /gates\.1\.in/],
    ['long name', (p) => (p.gates[1].name = 'x'.repeat(101)), /gates\.1\.name/],
    ['many gates', (p) => (p.gates = Array.from({ length: 20_001 }, () => p.gates[0])), /gates/],
  ])('refuses: %s', (_, spoil, where) => {
    const program = loose();
    spoil(program);
    expect(() => parseProgram(program, 'program.json')).toThrow(InputError);
    expect(() => parseProgram(program, 'program.json')).toThrow(where);
    expect(() => parseProgram(program, 'program.json')).toThrow(/^program\.json: /);
  });

  it('refuses oversize text and what is not JSON', () => {
    expect(() => parseProgram(' '.repeat(MAX_PROGRAM_BYTES + 1))).toThrow(/at most/);
    expect(() => parseProgram('{"version":')).toThrow(/not JSON/);
  });

  it.each<[string, (program: Loose) => unknown, RegExp]>([
    ['dangling input', (p) => (p.gates[2].in = [999]), /999/],
    ['a gate that reads itself', (p) => (p.gates[2].in = [2]), /input wires \[2\]/],
    ['duplicate name', (p) => (p.gates[4].name = p.gates[3].name), /name is taken/],
    ['no such output', (p) => (p.output = p.gates.length), /output wire/],
  ])('refuses: %s', (_, spoil, what) => {
    const program = loose();
    spoil(program);
    expect(() => parseProgram(program)).toThrow(PlanError);
    expect(() => parseProgram(program)).toThrow(what);
  });
});

describe('digest', () => {
  it('is that of the canonical text: sorted keys, no white space', () => {
    expect(canonicalJson({ b: [1, { d: 'x', c: null }], a: true })).toBe('{"a":true,"b":[1,{"c":null,"d":"x"}]}');
    const program = tinyProgram();
    const shuffled = Object.fromEntries(Object.entries(program).toReversed()) as unknown as Program;
    expect(programDigest(shuffled, sha256)).toBe(programDigest(program, sha256));
    expect(programDigest(program, sha256)).toMatch(/^[0-9a-f]{64}$/);
  });

  it('changes with any gate', () => {
    const program = tinyProgram();
    const digest = programDigest(program, sha256);
    program.gates.forEach((gate, i) => {
      const gates = program.gates.with(i, { ...gate, f: gate.f + 1 });
      expect(programDigest({ ...program, gates }, sha256)).not.toBe(digest);
    });
  });

  it('a table altered by one unit is refused before the first gate', () => {
    const program = loose();
    const { table } = named(program, '0.gelu1');
    table.a[1] = String(Number(table.a[1]) + 1);
    expect(() => checkProgram(parseProgram(program), sha256)).toThrow(/0\.gelu1.*digest/);
    const other = loose();
    other.trig['14'].loSin[3] += 1;
    expect(() => checkProgram(parseProgram(other), sha256)).toThrow(/digest/);
    other.trig['14'].loSin.pop();
    expect(() => checkProgram(parseProgram(other), sha256)).toThrow(/malformed/);
  });
});

describe('checkProgram', () => {
  it('accepts the tiny program', () => expect(() => checkProgram(tinyProgram(), sha256)).not.toThrow());

  it.each<[string, (program: Loose) => unknown, RegExp]>([
    ['unknown suite', (p) => (p.suite = 'paper'), /suite/],
    ['no legal length', (p) => (p.shortest = 10), /lengths/],
    ['heads that do not divide', (p) => (p.heads = 3), /heads/],
    ['a missing tensor', (p) => delete p.tensors.Wo, /0\.Wo|Wo/],
    ['a missing trig table', (p) => delete p.trig['15'], /2\^15/],
    ['too few positions', (p) => (p.tensors.positions.rows = 8), /emb\+.*positions/],
    ['a weight in a smaller ring than its gate', (p) => (p.tensors.Wo.n = 27), /0\.Wo.*27/],
    ['a mask tensor used as a share', (p) => (p.tensors.bq.role = 'masked'), /0\.Wq\+.*masked/],
    ['centring without its bits', (p) => (named(p, '0.Wk').n = 30), /0\.K.*truncation|0\.K/],
    ['a scale that does not fit', (p) => (named(p, '0.Y').f = 21), /0\.Y.*scale/],
    ['a matmul of the wrong wires', (p) => (named(p, '0.S').in = [0, 1]), /0\.S.*inputs/],
    ['the wrong output', (p) => (p.output = 0), /output/],
    ['a lift below the square', (p) => (named(p, '0.o_S').lift = 29), /0\.P.*lift/],
  ])('refuses: %s', (_, spoil, what) => {
    const program = loose();
    spoil(program);
    expect(() => checkProgram(parseProgram(program), sha256)).toThrow(PlanError);
    expect(() => checkProgram(parseProgram(program), sha256)).toThrow(what);
  });

  it('finds a ring that is too small only at some legal length', () => {
    const program = loose();
    // Enough for 8 keys (k = 3), one bit short for 9 (k = 4).
    named(program, '0.Wk').n = 30;
    expect(() => wireTypes(parseProgram(program), dims(8))).not.toThrow();
    expect(() => checkProgram(parseProgram(program), sha256)).toThrow(/0\.K/);
  });

  it('what it accepts, every session accepts', () => {
    const program = tinyProgram();
    const lengths = fc.array(fc.integer({ min: 1, max: program.longest }), { minLength: 1, maxLength: 4 });
    fc.assert(
      fc.property(lengths, (texts) => void wireTypes(program, dims(...texts))),
      { numRuns: 50 },
    );
  });
});

describe('resolve', () => {
  it('adds the centring bits of the longest text, and of any that is no power of two', () => {
    expect(centringBits(dims(8))).toEqual({ keys: 3, queries: 0 });
    expect(centringBits(dims(8, 3))).toEqual({ keys: 3, queries: 9 });
    expect(centringBits(dims(1))).toEqual({ keys: 0, queries: 0 });
    const gates = resolve(tinyProgram(), dims(9, 4));
    expect(gates.find(({ name }) => name === '0.Wk')!.n).toBe(27 + 4);
    expect(gates.find(({ name }) => name === '0.Wq')!.n).toBe(27 + 9);
  });

  it.each([[[]], [[0]], [[10]], [[3, 10]], [[2.5]]])('refuses texts of %j tokens', (lengths) =>
    expect(() => resolve(tinyProgram(), dims(...lengths))).toThrow(PlanError),
  );

  it('refuses other heads', () => expect(() => resolve(tinyProgram(), { lengths: [3], heads: 4 })).toThrow(/heads/));
});

describe('cost of a program', () => {
  it('adds up its gates; rounds are the depth', () => {
    const { gates, total } = programCost(tinyProgram(), dims(5, 3));
    const sum = (part: 'openedBits' | 'dealtBits' | 'clientBits') => gates.reduce((s, { cost }) => s + cost[part], 0);
    expect([total.openedBits, total.dealtBits, total.clientBits]).toEqual([
      sum('openedBits'),
      sum('dealtBits'),
      sum('clientBits'),
    ]);
    // embedding, norm 3, E_n, E_q and E_k and E_v, o_S, E_p beside D.inv, o_PV beside D.io, E_o, E_n1, gelu, E_cls.
    expect(total.rounds).toBe(1 + 3 + 1 + 1 + 1 + 1 + 1 + 1 + 1 + 1 + 1);
    expect(total.clientBits).toBe(30 * 8 * (5 + 2));
  });
});

describe('every gate refuses', () => {
  const at = (op: Gate['op']) => {
    const draw = new Draw(11);
    const session = { lengths: [3, 4], heads: 2 };
    const made = makeCase(op, draw, session);
    const steps = runGates({ ...made, dims: session, random: draw.random });
    const { gate } = steps.at(-1)!;
    const inputs = gate.in.map((w) => {
      const outer = made.inputs[w];
      return outer ? { ...outer, kind: 'share' as const } : steps[w - made.inputs.length]!.type;
    });
    const tensor = (name: string) => made.tensors![name]!.spec;
    return {
      gate,
      inputs,
      check: (g: Loose, types: Loose[] = inputs, specs: Loose = tensor) => gateType(g, types, specs, session),
    };
  };

  it.each(OPS)('%s: rings out of 1..128, other shapes, kinds and numbers of inputs, with its name', (op) => {
    const { gate, inputs, check } = at(op);
    expect(() => check(gate)).not.toThrow();
    const ring1 = (input: Loose, i: number): [string, () => unknown] => [
      'an input in ring 1',
      () => check({ ...gate, n: Math.max(gate.n, 2) }, inputs.with(i, { ...input, n: 1, lift: 1 })),
    ];
    const wrong: [string, () => unknown][] = [
      ['ring 0', () => check({ ...gate, n: 0 })],
      ['ring 129', () => check({ ...gate, n: 129 })],
      ['rows', () => check({ ...gate, shape: { ...gate.shape, rows: gate.shape.rows === 'text' ? 'token' : 'text' } })],
      ['columns', () => check({ ...gate, shape: { ...gate.shape, cols: 77 } })],
      [
        'one input more',
        () => check(gate, [...inputs, { kind: 'share', n: 9, f: 0, shape: { rows: 'text', cols: 1 } }]),
      ],
      ...inputs.flatMap((input, i): [string, () => unknown][] => [
        ['one input less', () => check(gate, inputs.slice(1))],
        ['another kind', () => check(gate, inputs.with(i, { ...input, kind: 'bits' }))],
        ...(input.kind === 'padding' ? [] : [ring1(input, i)]), // bits
      ]),
    ];
    for (const [what, attempt] of wrong) {
      // Ring 1 is as good as any where n may be smaller than its input's.
      expect(attempt, what).toThrow(PlanError);
      expect(attempt, what).toThrow(new RegExp(`gate ${gate.name} \\(${op}\\): `));
    }
  });

  it.each<[Gate['op'], string, (gate: Loose) => Loose, RegExp]>([
    ['truncate', 'another ring than its input − by', (g) => ({ ...g, n: g.n - 1 }), /is not ring/],
    ['truncate', 'all bits', (g) => ({ ...g, by: g.n + g.by }), /truncation by/],
    ['truncate', 'a negative number of bits', (g) => ({ ...g, by: -1 }), /truncation by -1/],
    ['product', 'a ring not above its first input', (g) => ({ ...g, n: 3 }), /not above ring/],
    ['square', 'a ring below its input + 2', (g) => ({ ...g, n: 4 }), /below ring/],
    ['ext', 'a lift to its own ring', (g) => ({ ...g, lift: g.n }), /lift/],
    ['ext', 'a lift above 128', (g) => ({ ...g, lift: 129 }), /lift/],
    ['ext', 'two bits', (g) => ({ ...g, n: 2 }), /in range/],
    ['scale', 'a factor of 2^31', (g) => ({ ...g, by: 2 ** 31 }), /factor/],
    ['fourier', 'a ring all truncated', (g) => ({ ...g, n: g.table.g1 + g.table.g2 - g.table.fOut }), /to truncate/],
    [
      'fourier',
      'an output finer than the words',
      (g) => ({ ...g, table: { ...g.table, fOut: g.table.g1 + g.table.g2 + 1 } }),
      /to truncate/,
    ],
    ['fourier', 'a period above its input', (g) => ({ ...g, table: { ...g.table, b: 26 } }), /period/],
    ['fourier', 'more cosines than sines', (g) => ({ ...g, table: { ...g.table, a: [...g.table.a, '1'] } }), /cosines/],
    [
      'fourier',
      'coefficients of 2^34',
      (g) => ({ ...g, table: { ...g.table, a: g.table.a.map(() => String(2 ** 34)) } }),
      /too large/,
    ],
    ['fourier', 'columns beyond its input', (g) => ({ ...g, columns: [0, 99] }), /columns/],
  ])('%s: %s', (op, _, spoil, what) => {
    const { gate, check } = at(op);
    expect(() => check(spoil(gate))).toThrow(PlanError);
    expect(() => check(spoil(gate))).toThrow(what);
  });

  it.each(['embedding', 'bias', 'linear'] as const)('%s: a tensor of another role, shape or smaller ring', (op) => {
    const { gate, inputs, check } = at(op);
    const spec = { role: op === 'bias' ? 'share' : 'masked', n: 128, rows: 0, cols: 0 };
    expect(() => check(gate, inputs, () => spec)).toThrow(/tensor W is 0 × 0/);
    expect(() => check(gate, inputs, () => ({ ...spec, role: 'other' }))).toThrow(/tensor W is other/);
    expect(() => check(gate, inputs, () => ({ ...spec, n: gate.n - 1 }))).toThrow(/tensor W/);
  });
});
