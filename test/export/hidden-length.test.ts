/** Hidden lengths end to end: a text padded to its bucket is answered as at its own length, and nothing sent tells the length. */
import { createHash } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Failure } from '../../common/errors.ts';
import type { Encoding } from '../../data/tokenizer.ts';
import { createEngine } from '../../engine/onnxruntime.ts';
import { integersOf, interpret } from '../../export/clear.ts';
import { compile, type Compiled } from '../../export/compile.ts';
import { BALANCED } from '../../export/plans.ts';
import { writeExport } from '../../export/provider.ts';
import { floatLogits } from '../../export/random-model.ts';
import { programCost } from '../../protocol/cost.ts';
import { padText } from '../../protocol/gates/padding.ts';
import { checkProgram, PlanError, resolve } from '../../protocol/resolve.ts';
import { decode, equal, toBigInts } from '../../ring/index.ts';
import { SYSTEM_ENTROPY } from '../../runtime/keys.ts';
import { runInMemory, splitModel, type MemoryModel } from '../../runtime/memory.ts';
import { converse, readBundles, recorder, type Bundles } from '../support/conversation.ts';
import { tinyTokenizer } from '../support/tiny-export.ts';
import { randomTexts } from '../support/random-texts.ts';
import { tinyConfig, tinyTensors } from '../support/tiny-model.ts';

/** Fixed point of the tiny models against float: what the specification allows its own. */
const LOGITS = 0.02;
const LONGEST = 13;
const BUCKETS = [8, LONGEST];
/** Tokens below are calibrated; the last one never occurs. */
const OUTLIER = 16;

const engine = createEngine({ threads: 1 });

const texts = (shortest: number, each: number, seed: number): Encoding[] =>
  randomTexts({ shortest, longest: LONGEST, vocab: OUTLIER }, each, seed);

// a single token has denominators far below all others without centred scores: a Newton step more, which has tests of its own
describe.each([
  ['2quad', 2],
  ['2quad_centred', 1],
] as const)('%s', (softmax_act, shortest) => {
  const served = texts(shortest, 2, 9);
  const sample = { encodings: [...texts(shortest, 12, 4), ...served], shortest, longest: LONGEST };
  const config = tinyConfig({ softmax_act, softmax_c: [[3, 4, 5], [4, 3, 6]], hidden_act: 'gelu', type_vocab_size: 2 }); // prettier-ignore
  const tensors = tinyTensors(config, 5);
  // a token whose row is far from all others after LayerNorm too
  tensors.get('bert.embeddings.word_embeddings.weight')!.data.set([30, -20, 25, 0, 0, 0, 0, 0, 0, 0, -15, -20], OUTLIER * config.hidden_size); // prettier-ignore
  let hidden: Compiled;
  let memory: MemoryModel;
  let bundles: Bundles;
  let dir: string;

  beforeAll(async () => {
    hidden = await compile({ engine, config, tensors, sample, plan: { ...BALANCED, buckets: BUCKETS } });
    const { program, tensors: integers } = hidden;
    memory = splitModel(program, (name) => integersOf(program, integers)(name, program.tensors[name]!.n), 3);
    dir = await mkdtemp(join(tmpdir(), 'hidden-length-'));
    await writeExport(join(dir, 'bundles'), hidden, { labels: config.labels, tokenizerDir: tinyTokenizer() });
    bundles = await readBundles(join(dir, 'bundles'));
  });
  afterAll(() => rm(dir, { recursive: true, force: true }));

  const clear = (text: Encoding & { valid?: readonly number[] }, tape: Parameters<typeof interpret>[3]) =>
    interpret(hidden.program, integersOf(hidden.program, hidden.tensors), [text], tape);

  describe('a program of hidden lengths', () => {
    it('passes every check, in as many rounds as with public lengths and one a layer for scores that are scaled and centred by the hidden length, at the declared cost', async () => {
      const { program } = hidden;
      checkProgram(program, (bytes) => createHash('sha256').update(bytes).digest('hex'));
      const batch = [0, 9, 23].map((i) => served[i]!);
      const run = await runInMemory(memory, batch, 1);
      const lengths = batch.map(({ ids }) => padText({ ids, types: ids }, BUCKETS).ids.length);
      expect(lengths).toEqual([8, 8, 13]);
      const { total } = programCost(program, { lengths, heads: program.heads });
      expect(total.rounds).toBe(16 * 2 + 7);
      expect([run.rounds, run.openedBits, run.dealtBits]).toEqual([total.rounds, total.openedBits, total.dealtBits]);
      expect(run.disclosed.every((answer) => answer !== undefined)).toBe(true);
    });

    it('refuses a length that is no bucket', () => {
      expect(() => resolve(hidden.program, { lengths: [7], heads: config.num_attention_heads })).toThrow(PlanError);
    });

    it('answers every text near the float model at its own length, bit for bit the clear interpreter', async () => {
      const { program } = hidden;
      for (const [i, text] of served.entries()) {
        const run = await runInMemory(memory, [text], i);
        const [answer] = run.disclosed;
        expect(answer, `text ${i}`).toBeDefined();
        expect(toBigInts(answer!)).toEqual(toBigInts(clear(text, run.tape)));
        const [float] = await floatLogits(engine, config, tensors, [text]);
        decode(answer!, program.gates[program.output]!.f).forEach((v, j) => expect(Math.abs(v - float![j]!), `text ${i}`).toBeLessThan(LOGITS)); // prettier-ignore
      }
    });

    it('withholds for an uncalibrated token in a real row, and for none in the padding', async () => {
      for (let i = 0; i < 4; i++) {
        const padded = padText(served[i]!, BUCKETS);
        const last = padded.ids.length - 1;
        const garbage = { ...padded, ids: padded.ids.with(last, OUTLIER) };
        const strange = { ...garbage, valid: padded.valid!.with(last, 1) };
        const [plain, behind, within] = await Promise.all([padded, garbage, strange].map((t) => runInMemory(memory, [t], i))); // prettier-ignore
        expect(behind!.disclosed[0]).toBeDefined();
        expect(within!.disclosed[0]).toBeUndefined();
        // what stands in the padding does not reach the answer: the same masks and rounding words give the same bits
        expect(equal(behind!.logits, clear(garbage as never, behind!.tape))).toBe(true);
        const [a, b] = [plain!, behind!].map(({ logits }) => [...decode(logits, hidden.program.gates[hidden.program.output]!.f)]); // prettier-ignore
        a!.forEach((v, j) => expect(Math.abs(v - b![j]!)).toBeLessThan(LOGITS));
      }
    });
  });

  describe('sessions of hidden lengths', () => {
    const asked = async (question: Encoding) => {
      const { seen, faults } = recorder((message) => message.length);
      const { answer } = await converse(bundles, { entropy: SYSTEM_ENTROPY, question, faults, timeout: 20_000 });
      if (answer instanceof Failure) throw answer;
      return { answer, seen };
    };

    it('answers, and everything sent has the same size for two lengths of one bucket, another for another bucket', async () => {
      const [short, long, next] = [shortest, 8, 9].map((length) => served.find(({ ids }) => ids.length === length)!);
      expect([short, long, next].map((t) => t!.ids.length)).toEqual([shortest, 8, 9]);
      const [a, b, c] = [await asked(short!), await asked(long!), await asked(next!)];
      expect([...a.seen]).toEqual([...b.seen]);
      expect([...a.seen]).not.toEqual([...c.seen]);
      for (const [text, { answer }] of [
        [short!, a],
        [long!, b],
        [next!, c],
      ] as const) {
        // prettier-ignore
        const [float] = await floatLogits(engine, config, tensors, [text]);
        answer.logits.forEach((v, j) => expect(Math.abs(v - float![j]!)).toBeLessThan(LOGITS));
      }
    });
  });
});
