import { describe, expect, it } from 'vitest';
import { Failure, InputError } from '../../common/errors.ts';
import { CounterRandom } from '../../common/random.ts';
import { createEngine } from '../../engine/onnxruntime.ts';
import type { ModelConfig } from '../../model/config.ts';
import type { Prepared } from '../../train/examples.ts';
import { predict } from '../../train/predict.ts';
import { parseRecipe, type RecipeInput } from '../../train/recipe/recipe.ts';
import { runRecipe, type RunResult } from '../../train/recipe/run.ts';
import { tinyConfig, tinyTensors } from '../support/tiny-model.ts';

/** Texts of unequal length with many repeated tokens; the class is whether token 5 occurs. */
function examples(count: number, targets: (ids: number[]) => number, seed = 7): Prepared {
  const random = new CounterRandom(seed, 'texts');
  const encodings = Array.from({ length: count }, () => {
    const ids = [2, ...Array.from({ length: 2 + random.int(8) }, () => 5 + random.int(4)), 3];
    return { ids, types: ids.map(() => 0) };
  });
  const hash = '0'.repeat(64);
  return { encodings, targets: encodings.map(({ ids }) => targets(ids)), hash, source: 'made up', truncated: 0 };
}
const shareOfFive = (ids: number[]): number => ids.filter((id) => id === 5).length / ids.length;
const hasFive = (ids: number[]): number => Number(ids.includes(5));

type StageInput = RecipeInput['stages'][number];
interface Change {
  readonly recipe?: Partial<RecipeInput>;
  readonly config?: ModelConfig;
  readonly teacher?: boolean;
  readonly threads?: number;
  readonly train?: Prepared;
  readonly dev?: Prepared;
}
function run(stage: Partial<StageInput>, change: Change = {}): Promise<RunResult> {
  const config = change.config ?? tinyConfig();
  const full: StageInput = { name: 's', losses: { labels: 1 }, steps: 6, learningRate: 1e-2, batchSize: 8, ...stage };
  return runRecipe({
    recipe: parseRecipe({ name: 'test', for: 'teacher', stages: [full], ...change.recipe }, 'test'),
    model: { config, tensors: tinyTensors(config) },
    teacher: change.teacher === true ? { config: tinyConfig(), tensors: tinyTensors(tinyConfig(), 2) } : undefined,
    train: change.train ?? examples(64, hasFive),
    dev: change.dev,
    padId: 0,
    engine: createEngine({ threads: change.threads ?? 2 }),
  });
}

const bits = ({ tensors }: RunResult): Map<string, Uint32Array> =>
  new Map([...tensors].map(([name, { data }]) => [name, new Uint32Array(data.slice().buffer)]));
const losses = ({ curve }: RunResult): number[] => curve.flatMap(({ values }) => values['loss'] ?? []);

describe('a stage of training', () => {
  it('gives the same bits for the same seed and two threads, with dropout and repeated tokens', async () => {
    const [a, b] = [await run({ steps: 9 }), await run({ steps: 9 })];
    expect(bits(a)).toEqual(bits(b));
    expect(a.curve).toEqual(b.curve);
    const other = await run({ steps: 9 }, { recipe: { seed: 2 } });
    expect(losses(other)).not.toEqual(losses(a));
  });

  it('moves the embeddings of the tokens in the texts, and not of padding', async () => {
    const name = 'bert.embeddings.word_embeddings.weight';
    // Weight decay moves every row of the table; without it only gradients do.
    const after = (await run({ weightDecay: 0 })).tensors.get(name)!.data;
    const before = tinyTensors(tinyConfig()).get(name)!.data;
    const moved = Array.from({ length: 17 }, (_, row) =>
      after.slice(row * 12, (row + 1) * 12).some((v, i) => v !== before[row * 12 + i]),
    );
    expect(moved).toEqual(moved.map((_, row) => [2, 3, 5, 6, 7, 8].includes(row)));
  });

  it('learns', async () => {
    const dev = examples(64, hasFive, 8);
    const { metrics, curve } = await run({ steps: 150, dropout: 0, evaluations: 3 }, { dev });
    expect(metrics['dev.accuracy']).toBeGreaterThan(0.95);
    expect(curve.filter(({ values }) => 'dev.accuracy' in values).map(({ step }) => step)).toEqual([50, 100, 150]);
  });

  it('gives the weights whose dev metrics it reports', async () => {
    const dev = examples(40, hasFive, 8);
    // A rate at which the last checkpoint is not the best.
    const { metrics, curve, config, tensors } = await run({ steps: 40, learningRate: 0.05, evaluations: 8 }, { dev });
    const accuracies = curve.flatMap(({ values }) => values['dev.accuracy'] ?? []);
    expect(metrics['dev.accuracy']).toBe(Math.max(...accuracies));
    const logits = await predict({ config, tensors }, dev.encodings, createEngine({ threads: 2 }));
    const right = logits.filter((z, i) => Number(z[1]! > z[0]!) === dev.targets![i]).length;
    expect(right / 40).toBe(metrics['dev.accuracy']);
  });

  it('distils: hidden states, scores and logits come closer to the teacher', async () => {
    const config = tinyConfig({ softmax_act: '2quad_centred', softmax_c: 2 });
    const weights = { losses: { logits: 1, hidden: 1, scores: 1, ranges: 0.1 }, steps: 80, dropout: 0 };
    const result = await run(weights, { config, teacher: true });
    for (const term of ['hidden', 'scores']) {
      const values = result.curve.map((point) => point.values[term]!);
      expect(values.at(-1)! / values[0]!, term).toBeLessThan(0.7);
    }
    expect(result.config.softmax_act).toBe('2quad_centred');

    const { encodings } = examples(64, hasFive);
    const engine = createEngine({ threads: 2 });
    const logits = (model: Pick<RunResult, 'config' | 'tensors'>) => predict(model, encodings, engine);
    const target = await logits({ config: tinyConfig(), tensors: tinyTensors(tinyConfig(), 2) });
    const distance = (from: Float32Array[]): number =>
      from.reduce((sum, z, i) => sum + Math.abs(z[1]! - z[0]! - (target[i]![1]! - target[i]![0]!)), 0);
    const before = distance(await logits({ config, tensors: tinyTensors(config) }));
    expect(distance(await logits(result)) / before).toBeLessThan(0.5);
  });

  it('does not move the student off a teacher it equals', async () => {
    const config = tinyConfig();
    const result = await runRecipe({
      recipe: parseRecipe(
        {
          name: 'test',
          for: 'student',
          stages: [
            { name: 's', losses: { hidden: 1, scores: 1 }, steps: 2, learningRate: 1, dropout: 0, weightDecay: 0 },
          ],
        },
        'test',
      ),
      model: { config, tensors: tinyTensors(config) },
      teacher: { config, tensors: tinyTensors(config) },
      train: examples(32, hasFive),
      padId: 0,
      engine: createEngine({ threads: 1 }),
    });
    expect(losses(result)).toEqual([0, 0]);
  });

  it('trains regression', async () => {
    const config = tinyConfig({ id2label: { 0: 'score' } });
    const change = { config, train: examples(64, shareOfFive), dev: examples(32, shareOfFive, 9) };
    const { metrics } = await run({ steps: 150, dropout: 0 }, change);
    expect(metrics['dev.pearson']).toBeGreaterThan(0.8);
    expect(metrics['dev.spearman']).toBeDefined();
  });

  it('leaves frozen parameters as they are, to the bit', async () => {
    const frozen = ['bert.embeddings', 'bert.encoder.layer.0.'];
    const before = tinyTensors(tinyConfig());
    const { tensors } = await run({ frozen });
    for (const [name, { data }] of tensors) {
      const same = data.every((v, i) => v === before.get(name)!.data[i]);
      expect(same, name).toBe(frozen.some((start) => name.startsWith(start)));
    }
  });

  it('refuses to freeze what does not exist, and everything', async () => {
    await expect(run({ frozen: ['bert.embedings'] })).rejects.toThrow(InputError);
    await expect(run({ frozen: ['bert', 'classifier'] })).rejects.toThrow('every parameter is frozen');
  });

  it('stops at a loss that is not finite, naming stage, step and remedy', async () => {
    const failed = await run({ steps: 50, learningRate: 1e30, warmup: 0, decay: 'constant' }).catch((e: unknown) => e);
    expect(failed).toBeInstanceOf(Failure);
    expect((failed as Failure).message).toMatch(/stage s, step \d+: \w+ is (NaN|Infinity)/);
    expect((failed as Failure).hint).toContain('learning rate');
  });

  it('needs the teacher and the labels that its losses name', async () => {
    await expect(run({ losses: { logits: 1 } })).rejects.toThrow('learns from a teacher');
    const train = { ...examples(8, hasFive), targets: undefined };
    await expect(run({}, { train })).rejects.toThrow('learns from labels');
  });
});
