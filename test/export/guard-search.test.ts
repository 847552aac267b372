/**
 * Inputs that no calibration has seen, up to 512 tokens, through dealer, both parties and client: random tokens, one token
 * repeated, tokens far from all others, the longest texts. Each is answered near the float model or withheld, never wrongly.
 */
import { beforeAll, describe, expect, it } from 'vitest';
import { CounterRandom } from '../../common/random.ts';
import type { Encoding } from '../../data/tokenizer.ts';
import { createEngine } from '../../engine/onnxruntime.ts';
import { integersOf } from '../../export/clear.ts';
import { compile } from '../../export/compile.ts';
import { BALANCED } from '../../export/make-plan.ts';
import { floatLogits } from '../../export/random-model.ts';
import type { Program } from '../../protocol/program.ts';
import { programCost } from '../../protocol/cost.ts';
import { bucketOf } from '../../protocol/gates/padding.ts';
import { decode } from '../../ring/index.ts';
import { runInMemory, splitModel, type MemoryModel } from '../../runtime/memory.ts';
import { tinyConfig, tinyTensors } from '../support/tiny-model.ts';

/** Fixed point of the tiny models against float: what the specification allows its own. */
const LOGITS = 0.02;
const [SHORTEST, LONGEST] = [2, 512];
const VOCAB = 17;
/** Tokens from here on are never calibrated; the rows of the last four are ever farther from the others. */
const UNSEEN = 11;
const FAR = [0.75, 1.5, 4, 30];

const config = tinyConfig({ softmax_act: '2quad_centred', softmax_c: [[3, 4, 5], [4, 3, 6]], hidden_act: 'gelu', max_position_embeddings: LONGEST }); // prettier-ignore
const tensors = tinyTensors(config, 5);
const words = tensors.get('bert.embeddings.word_embeddings.weight')!;
FAR.forEach((distance, i) => {
  const row = Float32Array.from({ length: config.hidden_size }, (_, j) => distance * [1, -0.7, 0.8, 0, 0, 0, 0, 0, 0, 0, -0.5, -0.6][j]!); // prettier-ignore
  words.data.set(row, (VOCAB - FAR.length + i) * config.hidden_size);
});

const random = new CounterRandom(3, 'guard search');
const text = (ids: readonly number[]): Encoding => ({ ids: [...ids], types: ids.map(() => 0) });
const drawn = (length: number, below: number): Encoding => text(Array.from({ length }, () => random.int(below)));
const engine = createEngine({ threads: 1 });

interface Served {
  readonly program: Program;
  readonly model: MemoryModel;
}
const calibrated = [2, 3, 5, 8, 13, 30, 70, 160, 300, LONGEST].flatMap((length) => Array.from({ length: length < 100 ? 24 : 6 }, () => drawn(length, UNSEEN))); // prettier-ignore

describe.each([
  ['public lengths', undefined],
  ['hidden lengths', [16, 64, LONGEST]],
])('%s', (_name, buckets) => {
  let served: Served;
  async function exported(guard: boolean): Promise<Served> {
    const sample = { encodings: calibrated, shortest: SHORTEST, longest: LONGEST };
    const compiled = await compile({
      engine,
      config,
      tensors,
      sample,
      plan: { ...BALANCED, guard, ...(buckets && { buckets }) },
    });
    const { program } = compiled;
    const integers = integersOf(program, compiled.tensors);
    return { program, model: splitModel(program, (name) => integers(name, program.tensors[name]!.n), 3) };
  }

  beforeAll(async () => {
    served = await exported(true);
  });

  /** What the client gets, and how far it is from float; undefined where it is withheld. */
  async function distances(
    texts: readonly Encoding[],
    seed: number,
    { program, model } = served,
  ): Promise<(number | undefined)[]> {
    const { disclosed } = await runInMemory(model, texts, seed);
    const float = await Promise.all(texts.map(async (t) => (await floatLogits(engine, config, tensors, [t]))[0]!));
    return disclosed.map((row, i) => {
      if (row === undefined) return undefined;
      const logits = decode(row, program.gates[program.output]!.f);
      return Math.max(...[...logits].map((v, j) => Math.abs(v - float[i]![j]!)));
    });
  }

  describe('answers of a guarded, centred program of 512 tokens', () => {
    it('answers the longest calibrated texts as float does, at the declared cost', async () => {
      const longest = calibrated.filter(({ ids }) => ids.length === LONGEST).slice(0, 2);
      for (const [i, one] of longest.entries()) {
        const [distance] = await distances([one], i);
        expect(distance, `text ${i}`).toBeLessThan(LOGITS);
      }
      const { model, program } = served;
      const run = await runInMemory(model, [longest[0]!, calibrated[0]!], 9);
      const { total } = programCost(program, {
        lengths: [LONGEST, bucketOf(calibrated[0]!.ids.length, buckets)],
        heads: program.heads,
      });
      expect([run.rounds, run.openedBits, run.dealtBits]).toEqual([total.rounds, total.openedBits, total.dealtBits]);
    });

    it('answers near float, or withholds, whatever it is asked', async () => {
      const lengths = (most: number, count: number): number[] => Array.from({ length: count }, () => SHORTEST + random.int(most - SHORTEST + 1)); // prettier-ignore
      const kinds: Record<string, Encoding[]> = {
        'calibrated tokens': lengths(60, 12).map((length) => drawn(length, UNSEEN)),
        'random tokens': lengths(60, 24).map((length) => drawn(length, VOCAB)),
        'one token repeated': Array.from({ length: VOCAB }, (_, id) => text(new Array<number>(lengths(60, 1)[0]!).fill(id))), // prettier-ignore
        'one far token among others': FAR.map((_, i) => text([...drawn(20, UNSEEN).ids, VOCAB - FAR.length + i])),
        'two tokens in turn': lengths(60, 8).map((length) => {
          const pair = [random.int(VOCAB), random.int(VOCAB)];
          return text(Array.from({ length }, (_, i) => pair[i % 2]!));
        }),
        longest: [drawn(LONGEST, VOCAB), text(new Array<number>(LONGEST).fill(UNSEEN)), text(new Array<number>(LONGEST).fill(VOCAB - 1))], // prettier-ignore
      };
      const counts: string[] = [];
      let [answered, withheld] = [0, 0];
      for (const [kind, texts] of Object.entries(kinds)) {
        const batch = kind === 'longest' ? 1 : texts.length;
        const found: (number | undefined)[] = [];
        for (let i = 0; i < texts.length; i += batch)
          found.push(...(await distances(texts.slice(i, i + batch), 20 + i)));
        found.forEach((distance, i) => {
          if (distance !== undefined) expect(distance, `${kind} ${i}: ${texts[i]!.ids.slice(0, 40).join(' ')}`).toBeLessThan(LOGITS); // prettier-ignore
        });
        const given = found.filter((distance) => distance !== undefined).length;
        counts.push(`${kind} ${given} of ${found.length}`);
        answered += given;
        withheld += found.length - given;
        if (kind === 'calibrated tokens') expect(given, kind).toBe(found.length);
      }
      process.stdout.write(`answered: ${counts.join(', ')}\n`);
      expect([answered > 0, withheld > 0]).toEqual([true, true]);
    });

    it('would answer some of these wrongly without its guards', async () => {
      const texts = Array.from({ length: 12 }, () => drawn(30, VOCAB));
      const bare = await distances(texts, 50, await exported(false));
      expect(bare.some((distance) => distance! > 10 * LOGITS)).toBe(true);
      const guarded = await distances(texts, 50);
      guarded.forEach((distance, i) => {
        if (bare[i]! > LOGITS) expect(distance, texts[i]!.ids.join(' ')).toBeUndefined();
      });
    });
  });
});
