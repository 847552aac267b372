/** A batch computed in parts has the losses and the gradient of the whole batch, for every loss. */
import { expect, it } from 'vitest';
import { CounterRandom } from '../../common/random.ts';
import { createEngine } from '../../engine/onnxruntime.ts';
import type { Prepared } from '../../train/examples.ts';
import { parseRecipe, type RecipeInput } from '../../train/recipe/recipe.ts';
import { runRecipe } from '../../train/recipe/run.ts';
import type { StageProgress } from '../../train/stage.ts';
import { tinyConfig, tinyTensors } from '../support/tiny-model.ts';

/** Lengths from 3 to 12, so that parts hold unequal numbers of real tokens. */
const BATCH = 10;
const LONGEST = 12;
function examples(regression: boolean): Prepared {
  const random = new CounterRandom(3, 'texts');
  const encodings = Array.from({ length: BATCH }, () => {
    const ids = [2, ...Array.from({ length: 1 + random.int(LONGEST - 2) }, () => 5 + random.int(8)), 3];
    return { ids, types: ids.map(() => 0) };
  });
  const targets = encodings.map(({ ids }) => (regression ? ids.length / 4 : Number(ids.includes(5))));
  return { encodings, targets, hash: '0'.repeat(64), source: 'made up', truncated: 0 };
}

type StageInput = RecipeInput['stages'][number];
type Values = Readonly<Record<string, number>>;

/** Losses of one step, and the optimiser's first moments after it: a tenth of the clipped gradient. */
async function step(
  change: Partial<StageInput>,
  accumulate: number,
  regression: boolean,
): Promise<[Values, StageProgress['state']]> {
  // prettier-ignore
  const stage = { name: 's', losses: { labels: 1 }, steps: 1, learningRate: 1e-3, batchSize: BATCH, dropout: 0, accumulate, ...change }; // prettier-ignore
  const classes = regression ? { id2label: { 0: 'score' } } : {};
  const teacher = tinyConfig(classes);
  const config = tinyConfig({ ...classes, softmax_act: '2quad_centred', softmax_c: 3 });
  let state: StageProgress['state'] = new Map();
  const { curve } = await runRecipe({
    recipe: parseRecipe({ name: 'r', for: 'student', stages: [stage] }, 'r'),
    model: { config, tensors: tinyTensors(config) },
    teacher: { config: teacher, tensors: tinyTensors(teacher, 2) },
    train: examples(regression),
    padId: 0,
    engine: createEngine({ threads: 1 }),
    onPause: async (pause) => {
      if (!pause.ended) state = pause.progress().at.state;
    },
  });
  return [curve[0]!.values, state];
}

/**
 * Both ways add the same numbers in another order. A sum of n float32 numbers is off by at most n·2^-24 of the sum of their
 * magnitudes; the longest sums are over the tokens of a batch (a weight's gradient), and about 2^5 roundings lie before one.
 */
const TOLERANCE = (BATCH * LONGEST + 2 ** 5) * 2 ** -24;

it.each<[string, Partial<StageInput>, boolean]>([
  ['labels', { losses: { labels: 1 } }, false],
  ['labels of regression', { losses: { labels: 1 } }, true],
  ['logits', { losses: { logits: 1 }, temperature: 3 }, false],
  ['logits, published', { losses: { logits: 1 }, softConvention: 'published' }, false],
  ['logits of regression', { losses: { logits: 1 } }, true],
  ['hidden', { losses: { hidden: 1 } }, false],
  ['hidden, mean_all', { losses: { hidden: 1 }, layerConvention: 'mean_all' }, false],
  ['scores', { losses: { scores: 1 } }, false],
  ['scores, mean_all', { losses: { scores: 1 }, layerConvention: 'mean_all', centredScores: false }, false],
  ['ranges', { losses: { logits: 1, ranges: 1 } }, false],
  ['all', { losses: { labels: 0.5, logits: 1, hidden: 1, scores: 0.1, ranges: 0.1 } }, false],
])('%s', async (_, change, regression) => {
  const [whole, gradient] = await step(change, 1, regression);
  const [parts, summed] = await step(change, 3, regression);
  expect(Object.keys(parts).toSorted()).toEqual(Object.keys(whole).toSorted());
  for (const [name, value] of Object.entries(whole)) {
    expect(Math.abs(parts[name]! - value), name).toBeLessThanOrEqual(TOLERANCE * Math.abs(value));
  }
  const moments = [...gradient.keys()].filter((name) => name.startsWith('adam.m.'));
  expect(moments.length).toBeGreaterThan(10);
  const most = (values: readonly number[]): number => values.reduce((max, v) => Math.max(max, Math.abs(v)), 0);
  // Some gradients are 0 but for rounding (a row's constant does not change centred scores): their terms are as large as others'.
  const largest = most(moments.map((name) => most([...gradient.get(name)!.data])));
  for (const name of moments) {
    const [a, b] = [gradient.get(name)!.data, summed.get(name)!.data];
    expect(most([...a].map((v, i) => v - b[i]!)), name).toBeLessThanOrEqual(TOLERANCE * largest);
  }
});
