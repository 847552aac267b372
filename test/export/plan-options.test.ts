/**
 * What a plan may leave out or rescale without changing the answer: rows of the last layer nobody reads, and the growth of scores
 * with the length. Every variant against the float model, and secured against the clear interpreter.
 */
import { beforeAll, describe, expect, it } from 'vitest';
import type { Encoding } from '../../data/tokenizer.ts';
import { createEngine } from '../../engine/onnxruntime.ts';
import { boundsOf } from '../../export/bounds.ts';
import { calibrate } from '../../export/calibrate.ts';
import { fixedPredict, integersOf, interpret, seededTape } from '../../export/clear.ts';
import { fold } from '../../export/fold.ts';
import { lower } from '../../export/lower.ts';
import { BALANCED, makePlan } from '../../export/make-plan.ts';
import { floatLogits } from '../../export/random-model.ts';
import type { Ranges } from '../../export/ranges.ts';
import { realModel } from '../../export/real-model.ts';
import type { ModelConfig } from '../../model/config.ts';
import { programCost } from '../../protocol/cost.ts';
import { toBigInts } from '../../ring/index.ts';
import { runInMemory, splitModel } from '../../runtime/memory.ts';
import { randomTexts } from '../support/random-texts.ts';
import { tinyConfig, tinyTensors } from '../support/tiny-model.ts';

/** Fixed point of the tiny models against float: what the specification allows its own. */
const LOGITS = 0.02;
const [SHORTEST, LONGEST] = [2, 13];

const texts = (config: ModelConfig, each: number, seed: number): Encoding[] =>
  randomTexts({ shortest: SHORTEST, longest: LONGEST, vocab: config.vocab_size }, each, seed);

describe.each(['2quad', '2quad_centred'] as const)('%s', (softmax_act) => {
  const config = tinyConfig({ softmax_act, softmax_c: [[3, 4, 5], [4, 3, 6]], hidden_act: 'gelu', type_vocab_size: 2 }); // prettier-ignore
  const tensors = tinyTensors(config, 5);
  const model = realModel(config, tensors);
  const bounds = boundsOf(model);
  const served = texts(config, 1, 9);
  const engine = createEngine({ threads: 1 });
  let ranges: Ranges;
  const float: Float64Array[] = [];

  beforeAll(async () => {
    const encodings = [...texts(config, 12, 4), ...served];
    ranges = await calibrate({ encodings, shortest: SHORTEST, longest: LONGEST }, { engine, config, tensors });
    for (const text of served) float.push((await floatLogits(engine, config, tensors, [text]))[0]!);
  });

  const make = (change: { perLength: boolean; clsOnly: boolean }) => {
    const plan = makePlan({ ...model, bounds }, ranges, { ...BALANCED, ...change });
    return { plan, ...lower(plan, fold(model, plan)) };
  };

  it.each([
    { perLength: false, clsOnly: false },
    { perLength: true, clsOnly: false },
    { perLength: false, clsOnly: true },
    { perLength: true, clsOnly: true },
  ])('%o: the float model at every length, one by one and together', (change) => {
    const { program, tensors: integers } = make(change);
    for (const tokens of [1, 1000])
      fixedPredict(program, integersOf(program, integers), served, { tokens }).forEach((logits, i) => {
        if (logits instanceof Error) throw logits;
        logits.forEach((v, j) => expect(Math.abs(v - float[i]![j]!), `text ${i} logit ${j}`).toBeLessThan(LOGITS));
      });
  });

  it('secured, a batch of three lengths gives the logits of the clear interpreter, at the declared cost', async () => {
    const { program, tensors: integers } = make({ perLength: true, clsOnly: true });
    const batch = [0, 4, 11].map((i) => served[i]!);
    const run = await runInMemory(splitModel(program, (name) => integersOf(program, integers)(name, program.tensors[name]!.n), 3), batch, 1); // prettier-ignore
    const clear = interpret(program, integersOf(program, integers), batch, run.tape);
    expect(toBigInts(run.logits)).toEqual(toBigInts(clear));
    const { total } = programCost(program, { lengths: batch.map((t) => t.ids.length), heads: program.heads });
    expect([run.rounds, run.openedBits, run.dealtBits]).toEqual([total.rounds, total.openedBits, total.dealtBits]);
  });

  it('every bounded wire keeps its bound on calibrated texts, and none of them is loose by more than the margins allow', () => {
    const { program, tensors: integers } = make({ perLength: true, clsOnly: true });
    const largest = new Map<string, number>();
    interpret(program, integersOf(program, integers), served, seededTape(3, program), (gate, value) => {
      if (gate.bound === undefined) return;
      const words = toBigInts(value).map((v) => BigInt.asIntN(value.n, v));
      largest.set(gate.name, Number(words.reduce((a, v) => (v > a ? v : -v > a ? -v : a), 0n)) / gate.bound);
    });
    const bounded = program.gates.filter(({ op, bound }) => bound !== undefined || op === 'ext' || op === 'fourier');
    expect([...largest.keys()]).toEqual(bounded.map(({ name }) => name));
    for (const [name, part] of largest) {
      expect(part, name).toBeLessThanOrEqual(1);
      // sums of squares: margin 2 above the calibrated largest, which is among these texts
      if (name.endsWith('.D')) expect(part, name).toBeGreaterThan(0.2);
    }
  });

  it('an embedding fitted a second time, for its 64-bit product, is no step beyond the last', () => {
    const seen: number[][] = [];
    const finer = { ...BALANCED, ft_e: 26, fe: 28 };
    const plan = makePlan({ ...model, bounds }, ranges, finer, (_what, done, total) => void seen.push([done, total]));
    expect(plan.ft_e).toBeLessThan(finer.ft_e);
    expect(seen.at(-1)).toEqual([10, 10]);
    for (const [done, total] of seen) expect(done).toBeLessThanOrEqual(total!);
  });

  it('denominators of scaled scores keep a narrower range', () => {
    const ratio = (l: number, perLength: boolean): number => {
      const { interval } = make({ perLength, clsOnly: true }).plan.layers[l]!.D;
      return interval[1] / interval[0];
    };
    // lengths differ by 6.5; the shortest text is not always the one of least D per token
    for (const l of [0, 1]) expect(ratio(l, true)).toBeLessThan(ratio(l, false) / 2);
  });

  it('one row of the last layer costs a row', () => {
    const dims = { lengths: [LONGEST], heads: config.num_attention_heads };
    const [all, one] = [false, true].map((clsOnly) => programCost(make({ perLength: true, clsOnly }).program, dims));
    expect(one!.total.rounds).toBe(all!.total.rounds);
    const of = (cost: typeof all, name: string): number => cost!.gates.find((g) => g.name === name)!.cost.openedBits;
    for (const name of ['1.E_q', '1.o_S', '1.E_p', '1.o_PV', '1.E_o', '1.E_n1', '1.E_y', '1.ln2.x'])
      expect([name, of(all, name)]).toEqual([name, LONGEST * of(one, name)]);
    for (const name of ['1.E_n', '1.E_k', '1.E_v', '0.E_y'])
      expect([name, of(all, name)]).toEqual([name, of(one, name)]);
  });
});
