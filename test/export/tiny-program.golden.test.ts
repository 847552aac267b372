/** Whole programs against the specification: every word drawn, dealt, opened and computed, and the clear interpreter. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { interpret, integersOf, type Tape } from '../../export/clear.ts';
import { lower } from '../../export/lower.ts';
import { RefusedError } from '../../common/errors.ts';
import { programCost } from '../../protocol/cost.ts';
import { clientPadding } from '../../protocol/gates/padding.ts';
import { checkProgram } from '../../protocol/resolve.ts';
import { add, fromBigInts, toBigInts, zeros, type Words } from '../../ring/index.ts';
import {
  edited,
  programCases,
  programFolders,
  readJson,
  runSpecProgram,
  specFolded,
  type NegativePlan,
  type SpecProgramCase,
} from '../support/spec-program.ts';
import { integers, signedIntegers, type Encoded } from '../support/spec-vectors.ts';

/** Opening names of the specification where they are not the gate's. */
const openingName = (gate: string): string => (gate === 'emb' ? 'emb.M' : gate);

const plans = programFolders();
const ours = plans.filter((p) => p.runs);
const left = plans.filter((p) => !p.runs).map((p) => p.name);
process.stdout.write(
  `programs: ${ours.length} folders; guard of an older design, left out: ${left.join(', ') || 'none'}\n`,
);

function same(actual: Words, want: Encoded, what: string): number {
  const expected = integers(want);
  const got = toBigInts(actual);
  if (got.length !== expected.length || got.some((v, i) => v !== expected[i]))
    expect(got.map(String), what).toEqual(expected.map(String));
  return got.length;
}

function sameSigned(actual: Words, want: Encoded, what: string): number {
  return same(fromBigInts(signedIntegers(actual), 128), { shape: want.shape, v: integers(want).map((v) => String(BigInt.asUintN(128, v))) }, what); // prettier-ignore
}

describe.each(ours)('$name', ({ dir, plan }) => {
  const folded = specFolded(join(dir, 'folded.safetensors'));
  const { program, tensors } = lower(plan, folded);
  const cases = programCases(dir);

  it('has cases and passes every check of a program', () => {
    expect(cases.length).toBeGreaterThan(0);
    checkProgram(program, (bytes) => createHash('sha256').update(bytes).digest('hex'));
  });

  it.each(cases)('%s: every word of both parties, the assistant and the client', async (file) => {
    const test = readJson<SpecProgramCase>(join(dir, file));
    const run = await runSpecProgram(program, tensors, test);
    let compared = 0;

    expect(run.parties.map((p) => p.rounds)).toEqual([test.rounds, test.rounds]);
    expect(run.unused).toEqual([]);
    // the operand μ, which its client sends: ours sends bits, and the parties open the same word E = μ − A
    const [mu, ...more] = run.opened.filter((o) => o.gate === 'mu');
    const opened = run.opened.filter((o) => o.gate !== 'mu');
    expect(more).toEqual([]);
    expect(opened.map((o) => [o.round + 1, openingName(o.gate), o.sum.n])).toEqual(
      test.opened.map((o) => [o.round, o.name, o.bits]),
    );
    test.opened.forEach((want, i) => {
      const o = opened[i]!;
      compared += same(o.sent, want.sent[0], `${want.name} of party 0`);
      compared += same(o.received, want.sent[1], `${want.name} of party 1`);
      compared += same(o.sum, want.value, want.name);
    });
    const dealtNames = [...run.dealt.keys()].filter((name) => name !== 'mu.share.a');
    expect(dealtNames.toSorted()).toEqual(test.dealt.map((d) => d.name).toSorted());
    for (const { name, bits, party1 } of test.dealt) {
      const words = run.dealt.get(name)!;
      expect([name, words.n]).toEqual([name, bits]);
      compared += same(words, party1, name);
    }
    const messages: Record<string, Words> = {
      'emb.E1': run.client.E1,
      'emb.E2': run.client.E2,
      ...(mu && { mu: mu.sum }),
    };
    expect(test.client_messages.map((m) => [m.name, m.to]).toSorted()).toEqual(Object.keys(messages).map((m) => [m, 'both']).toSorted()); // prettier-ignore
    for (const m of test.client_messages) {
      expect([m.name, messages[m.name]!.n]).toEqual([m.name, m.bits]);
      compared += same(messages[m.name]!, m, m.name);
    }
    for (const { name, bits, scale, shares, value } of test.wires) {
      const wire = run.wires.get(name);
      expect([name, wire?.gate.n, wire?.gate.f]).toEqual([name, bits, scale]);
      compared += same(wire!.shares[0], shares[0], `${name} at party 0`);
      compared += same(wire!.shares[1], shares[1], `${name} at party 1`);
      compared += sameSigned(add(...wire!.shares), value, name);
    }
    const order = new Map(program.gates.map((gate, i) => [gate.name, i]));
    const inOrder = (names: Iterable<string>): string[] => [...names].toSorted((a, b) => order.get(a)! - order.get(b)!);
    expect(inOrder([...run.rounding.keys(), ...run.fourierMasks.keys()])).toEqual(test.tape.map((t) => t.name));
    for (const t of test.tape)
      compared += same((t.kind === 'u' ? run.rounding : run.fourierMasks).get(t.name)!, t, `tape ${t.name}`);
    const out = run.wires.get(program.gates[program.output]!.name)!;
    expect([out.gate.n, out.gate.f]).toEqual([test.logits_fixed.bits, test.logits_fixed.scale]);
    compared += sameSigned(add(...out.shares), test.logits_fixed, 'logits');

    // n bits a row opened and dealt, and a bit sent, in place of n sent
    const rows = mu === undefined ? 0 : test.ids.length;
    const wide = rows * (mu?.sum.n ?? 0);
    const opened_per_party = test.bits.opened_per_party + wide;
    const dealt = test.bits.dealt + wide;
    const client = test.bits.client - wide + rows;
    expect(run.parties.map((p) => p.openedBits)).toEqual([opened_per_party, opened_per_party]);
    expect(run.dealtBits).toBe(dealt);
    const { total } = programCost(program, { lengths: [test.ids.length], heads: program.heads });
    expect([total.rounds, total.openedBits, total.dealtBits, total.clientBits]).toEqual([test.rounds, opened_per_party, dealt, client]); // prettier-ignore
    process.stdout.write(`${file}: ${compared} words equal\n`);
  });

  it.each(cases)('%s: the clear interpreter, from plan, inputs and tape alone', (file) => {
    const test = readJson<SpecProgramCase>(join(dir, file));
    const word = (kind: 'u' | 'r', name: string, n: number, length: number): Words => {
      const t = test.tape.find((entry) => entry.kind === kind && entry.name === name);
      if (t === undefined || t.v.length !== length) throw new Error(`tape ${kind} ${name}`);
      return fromBigInts(integers(t), n);
    };
    const tape: Tape = {
      rounding: (gate, by, length) => word('u', gate.name, by, length),
      fourierMask: (gate, b, length) => word('r', gate.name, b, length),
    };
    const wires = new Map<string, Words>();
    const logits = interpret(
      program,
      integersOf(program, tensors),
      [{ ...test, valid: test.mask }],
      tape,
      (gate, value) => {
        wires.set(gate.name, value);
      },
    );
    for (const { name, bits, value } of test.wires) {
      expect([name, wires.get(name)?.n]).toEqual([name, bits]);
      sameSigned(wires.get(name)!, value, name);
    }
    sameSigned(logits, test.logits_fixed, 'logits');
  });

  const negatives = join(dir, 'negative_plans.json');
  it.runIf(existsSync(negatives))('refuses every edited plan by the name of its precondition', () => {
    const edits = readJson<NegativePlan[]>(negatives);
    // a mask is no input of a public program: such an edit cannot be expressed there
    const masks = edits.filter((e) => e.field === 'mask');
    if (plan.length === 'secret')
      for (const { value, message } of masks)
        expect(() => clientPadding([value as number[]], zeros(1, (value as number[]).length))).toThrow(message);
    const others = edits.filter((e) => e.field !== 'mask');
    expect(others.length).toBeGreaterThan(0);
    for (const edit of others) {
      let refusal: unknown;
      try {
        lower(edited(plan, edit), folded);
      } catch (error) {
        refusal = error;
      }
      expect(refusal, `${edit.layer ?? ''} ${edit.field}`).toBeInstanceOf(RefusedError);
      expect((refusal as Error).message.startsWith(edit.message), `${(refusal as Error).message} / ${edit.message}`).toBe(true); // prettier-ignore
    }
    process.stdout.write(
      `${others.length} edited plans refused, ${masks.length} masks ${plan.length === 'secret' ? 'refused' : 'not expressible at public length'}\n`,
    );
  });
});

it('at least one program ran', () => expect(ours.length).toBeGreaterThan(0));
