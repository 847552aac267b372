/** Guarded programs end to end: what was calibrated is answered as without guards, what left its range is withheld. */
import { createHash } from 'node:crypto';
import { beforeAll, describe, expect, it } from 'vitest';
import { RefusedError } from '../../common/errors.ts';
import { CounterRandom } from '../../common/random.ts';
import type { Encoding } from '../../data/tokenizer.ts';
import { createEngine } from '../../engine/onnxruntime.ts';
import { boundsOf } from '../../export/bounds.ts';
import { calibrate } from '../../export/calibrate.ts';
import { integersOf, interpret } from '../../export/clear.ts';
import { fold } from '../../export/fold.ts';
import { lower } from '../../export/lower.ts';
import { BALANCED, makePlan } from '../../export/make-plan.ts';
import { checkPlan, type Folded, type Plan } from '../../export/plan.ts';
import { floatLogits } from '../../export/random-model.ts';
import type { Ranges } from '../../export/ranges.ts';
import { realModel } from '../../export/real-model.ts';
import type { ModelConfig } from '../../model/config.ts';
import { programCost } from '../../protocol/cost.ts';
import { checkProgram } from '../../protocol/resolve.ts';
import { decode, equal, toBigInts } from '../../ring/index.ts';
import { runInMemory, splitModel, type MemoryModel } from '../../runtime/memory.ts';
import { tinyConfig, tinyTensors } from '../support/tiny-model.ts';

/** Fixed point of the tiny models against float: what the specification allows its own. */
const LOGITS = 0.02;
const [SHORTEST, LONGEST] = [2, 13];
/** Tokens below are calibrated; the last one never occurs. */
const OUTLIER = 16;

function texts(config: ModelConfig, each: number, seed: number): Encoding[] {
  const random = new CounterRandom(seed, 'texts');
  return Array.from({ length: (LONGEST - SHORTEST + 1) * each }, (_, i) => {
    const length = SHORTEST + Math.floor(i / each);
    return {
      ids: Array.from({ length }, () => random.int(config.vocab_size - 1)),
      types: Array.from({ length }, (_v, j) => (2 * j >= length ? 1 : 0)),
    };
  });
}

describe.each(['2quad', '2quad_centred'] as const)('%s', (softmax_act) => {
  const config = tinyConfig({ softmax_act, softmax_c: [[3, 4, 5], [4, 3, 6]], hidden_act: 'gelu', type_vocab_size: 2 }); // prettier-ignore
  const tensors = tinyTensors(config, 5);
  // a token whose row is far from all others after LayerNorm too
  const words = tensors.get('bert.embeddings.word_embeddings.weight')!;
  words.data.set([30, -20, 25, 0, 0, 0, 0, 0, 0, 0, -15, -20], OUTLIER * config.hidden_size);
  const model = realModel(config, tensors);
  const served = texts(config, 2, 9);
  const engine = createEngine({ threads: 1 });
  let ranges: Ranges;
  let plan: Plan;
  let folded: Folded;
  let memory: MemoryModel;

  beforeAll(async () => {
    const encodings = [...texts(config, 12, 4), ...served];
    ranges = await calibrate({ encodings, shortest: SHORTEST, longest: LONGEST }, { engine, config, tensors });
    plan = makePlan({ ...model, bounds: boundsOf(model) }, ranges, { ...BALANCED, guard: true });
    folded = fold(model, plan);
    const { program, tensors: integers } = lower(plan, folded);
    memory = splitModel(program, (name) => integersOf(program, integers)(name, program.tensors[name]!.n), 3);
  });

  it('is a program like any other: checks, rounds, declared cost', async () => {
    const { program } = lower(plan, folded);
    checkProgram(program, (bytes) => createHash('sha256').update(bytes).digest('hex'));
    const guards = program.gates.filter(({ op }) => op === 'guard').map(({ name }) => name);
    expect(program.guard).toHaveLength(guards.length);
    // every ext and phase wire is watched but the inverses, whose Fourier sums are bounded
    for (const { op, name } of program.gates)
      if (op === 'ext' && !name.endsWith('.back.y')) expect(guards).toContain(`${name}.guard`);
    for (let l = 0; l < 2; l++)
      for (const wire of [`${l}.gelu0`, `${l}.D.back.c`, `${l}.ln1.back.c`, `${l}.ln2.back.v`])
        expect(guards).toContain(`${wire}.guard`);
    const batch = [0, 9, 23].map((i) => served[i]!);
    const { total } = programCost(program, { lengths: batch.map((t) => t.ids.length), heads: program.heads });
    expect(total.rounds).toBe(15 * 2 + 7);
    const run = await runInMemory(memory, batch, 1);
    expect([run.rounds, run.openedBits, run.dealtBits]).toEqual([total.rounds, total.openedBits, total.dealtBits]);
  });

  it('answers every calibrated text, bit for bit the clear interpreter, near the float model', async () => {
    const { program, tensors: integers } = lower(plan, folded);
    for (const [i, text] of served.entries()) {
      const run = await runInMemory(memory, [text], i);
      const [answer] = run.disclosed;
      expect(answer, `text ${i}`).toBeDefined();
      expect(toBigInts(answer!)).toEqual(toBigInts(run.logits));
      expect(toBigInts(interpret(program, integersOf(program, integers), [text], run.tape))).toEqual(
        toBigInts(answer!),
      );
      const [float] = await floatLogits(engine, config, tensors, [text]);
      decode(answer!, program.gates[program.output]!.f).forEach((v, j) => expect(Math.abs(v - float![j]!)).toBeLessThan(LOGITS)); // prettier-ignore
    }
  });

  it('withholds the answer to an uncalibrated token, and no other of its batch', async () => {
    const { program, tensors: integers } = lower(plan, folded);
    for (let i = 0; i < 6; i++) {
      const [first, second, third] = [served[3 * i]!, served[3 * i + 1]!, served[3 * i + 2]!];
      const strange = { ...second, ids: second.ids.with(second.ids.length - 1, OUTLIER) };
      const run = await runInMemory(memory, [first, strange, third], i);
      expect(run.disclosed.map((answer) => answer !== undefined)).toEqual([true, false, true]);
      const both = await runInMemory(memory, [first, third], i);
      expect(both.disclosed.every((answer) => answer !== undefined)).toBe(true);
      expect(() => interpret(program, integersOf(program, integers), [first, strange, third], run.tape)).toThrow(
        RefusedError,
      );
    }
  });

  it('is withheld exactly where the clear interpreter with the same tape refuses', async () => {
    const { program, tensors: integers } = lower(plan, folded);
    const random = new CounterRandom(21, 'edge');
    const counts = { given: 0, withheld: 0 };
    // texts that repeat one token, all types 1: not calibrated, some in range and some not
    for (let i = 0; i < 40; i++) {
      const length = SHORTEST + random.int(LONGEST - SHORTEST + 1);
      const id = random.int(config.vocab_size - 1);
      const text = { ids: Array.from({ length }, () => id), types: Array.from({ length }, () => i % 2) };
      const run = await runInMemory(memory, [text], i);
      let clear: unknown;
      try {
        clear = interpret(program, integersOf(program, integers), [text], run.tape);
      } catch (error) {
        expect(error).toBeInstanceOf(RefusedError);
      }
      expect(run.disclosed[0] !== undefined, `text ${i}`).toBe(clear !== undefined);
      if (clear !== undefined) expect(equal(run.logits, clear as typeof run.logits)).toBe(true);
      counts[clear === undefined ? 'withheld' : 'given']++;
    }
    expect(counts.given).toBeGreaterThan(0);
  });

  it('refuses plans whose guards would miss or flag, and such as disclose more of the logits than an answer', () => {
    const edits: [RegExp, (p: Plan) => Plan][] = [
      [/emb\.x: the weights allow/, (p) => ({ ...p, reach: { ...p.reach!, embedding: 1e3 } })],
      [/0\.o_S: the weights allow/, (p) => layer(p, (q) => ({ ...q, reach: { ...q.reach!, score: 1e6 } }))],
      [/0\.o_PV: the weights allow/, (p) => layer(p, (q) => ({ ...q, reach: { ...q.reach!, context: 1e9 } }))],
      [/0\.ln1\.x: the weights allow/, (p) => layer(p, (q) => ({ ...q, reach: { ...q.reach!, norm1: 1e9 } }))],
      [/0\.gelu0: the weights allow/, (p) => group(p, (u) => ({ ...u, reach: 8 * u.period }))],
      [/0\.gelu0: a calibrated value/, (p) => group(p, (u) => ({ ...u, seen: [u.lo, u.hi] }))],
      [/tanh: the weights allow/, (p) => ({ ...p, tanh_fit: { ...p.tanh_fit, reach: 1e4 } })],
      [/logits: the weights allow/, (p) => ({ ...p, reach: { ...p.reach!, logits: 1e9 } })],
      // the bits below the answer's are the weights' own: 24 is what the classifier makes
      [/fraction bits of the logits \(wire logits\.t: 15 bits, at most 14\)/, (p) => ({ ...p, fl: 15 })],
      [/fraction bits of the logits \(wire logits\.t: 24 bits, at most 14\)/, (p) => ({ ...p, fl: 24 })],
      [/0\.D: the fit is off/, (p) => layer(p, (q) => ({ ...q, D: { ...q.D, fit_error: 0.4 } }))],
    ];
    const layer = (p: Plan, edit: (q: Plan['layers'][0]) => Plan['layers'][0]): Plan => ({
      ...p,
      layers: p.layers.with(0, edit(p.layers[0]!)),
    });
    const group = (p: Plan, edit: (u: Plan['layers'][0]['groups'][0]) => Plan['layers'][0]['groups'][0]): Plan =>
      layer(p, (q) => ({ ...q, groups: q.groups.with(0, edit(q.groups[0]!)) }));
    expect(() => checkPlan(plan)).not.toThrow();
    for (const [what, edit] of edits) {
      expect(() => checkPlan(edit(plan)), String(what)).toThrow(RefusedError);
      expect(() => checkPlan(edit(plan)), String(what)).toThrow(what);
    }
  });
});
