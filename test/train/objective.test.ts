import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { bertFeeds } from '../../engine/bert.ts';
import { elements, float32, int64, type Feeds } from '../../engine/engine.ts';
import { gradients } from '../../engine/graph/index.ts';
import type { ModelConfig } from '../../model/config.ts';
import { parameterShapes } from '../../model/names.ts';
import { buildObjective, TEACHER, type Objective } from '../../train/objective.ts';
import { parseRecipe, type RecipeInput, type Stage } from '../../train/recipe/recipe.ts';
import { ENGINES } from '../support/engines.ts';
import { expectClose } from '../support/golden-case.ts';
import { tinyConfig } from '../support/tiny-model.ts';

interface Size {
  readonly hidden: number;
  readonly heads: number;
  readonly layers: number;
  readonly inner: number;
}
interface Vectors {
  readonly teacher: Size;
  readonly student: Size;
  readonly shift: number[][];
  readonly map: number[];
  readonly weights: Stage['losses'];
  readonly temperature: number;
  readonly ids: number[][];
  readonly types: number[][];
  readonly mask: number[][];
  readonly targets: number[];
  readonly expected: Readonly<Record<string, number[]>>;
  readonly tolerance: Readonly<Record<string, number>>;
}
const vectors = JSON.parse(
  readFileSync(join(import.meta.dirname, '../vectors/train/smaller-student.json'), 'utf8'),
) as Vectors;

const configOf = ({ hidden, heads, layers, inner }: Size, more: Record<string, unknown> = {}): ModelConfig =>
  tinyConfig({
    hidden_size: hidden,
    num_attention_heads: heads,
    num_hidden_layers: layers,
    intermediate_size: inner,
    ...more,
  });
const stageOf = (stage: Partial<RecipeInput['stages'][number]>): Stage =>
  parseRecipe(
    {
      name: 'r',
      for: 'student',
      stages: [{ name: 's', losses: { hidden: 1 }, steps: 1, learningRate: 1, dropout: 0, ...stage }],
    },
    'test',
  ).stages[0]!;

/** The values that `smaller-student.py` gives its parameters. */
const waves = (shapes: Iterable<readonly [string, readonly number[]]>, height: number, prefix = ''): Feeds =>
  Object.fromEntries(
    [...shapes].map(([name, shape], k) => {
      const one = name.endsWith('LayerNorm.weight') ? 1 : 0;
      const data = Float32Array.from({ length: elements(shape) }, (_, i) => one + height * Math.sin(1.3 * k + 0.7 * i));
      return [prefix + name, float32(shape, data)];
    }),
  );

describe.each(ENGINES)('the objective of a narrower, shallower student on $name', (engine) => {
  const teacher = configOf(vectors.teacher);
  const student = configOf(vectors.student, { softmax_act: '2quad_centred', softmax_c: vectors.shift });

  it('is what PyTorch computes, every loss and the gradient of every parameter', async () => {
    const { weights: losses, temperature } = vectors;
    const { graph, outputs, parameters, loss, initial } = buildObjective(
      stageOf({ losses, temperature }),
      student,
      { config: teacher, layerMap: vectors.map },
      1,
    );
    const found = gradients(loss, parameters.values());
    const wanted = Object.fromEntries([...parameters].map(([name, node]) => [`grad.${name}`, found.get(node)!]));
    const step = await engine.compile(graph, { ...outputs, ...wanted });
    const flat = (rows: number[][]): Int32Array => Int32Array.from(rows.flat());
    const results = await step.run({
      ...bertFeeds({
        batch: 2,
        length: 5,
        ids: flat(vectors.ids),
        types: flat(vectors.types),
        mask: flat(vectors.mask),
      }),
      targets: int64([2], vectors.targets),
      ...waves(parameterShapes(teacher), 0.3, TEACHER),
      ...waves(parameterShapes(student), 0.5),
      ...waves([...initial].map(([name, { shape }]) => [name, shape] as const), 0.4), // prettier-ignore
    });
    await step.release();
    expect(Object.keys(results).toSorted()).toEqual(Object.keys(vectors.expected).toSorted());
    for (const [name, expected] of Object.entries(vectors.expected))
      expectClose(results[name]!.data as Float32Array, expected, vectors.tolerance[name], name);
  });
});

describe('projections to a wider teacher', () => {
  const teacher = configOf(vectors.teacher);
  const student = configOf(vectors.student, { softmax_act: '2quad', softmax_c: 5 });
  const build = (stage: Parameters<typeof stageOf>[0], config = student, seed = 1): Objective =>
    buildObjective(stageOf(stage), config, { config: teacher }, seed);

  it('are there where hidden states of other width are compared, and begin by the seed', () => {
    const first = build({}).initial;
    expect([...first].map(([name, { shape }]) => [name, shape])).toEqual([
      ['projection.embeddings.weight', [6, 12]],
      ['projection.layers.weight', [6, 12]],
    ]);
    expect(build({}).initial).toEqual(first);
    expect(build({}, student, 2).initial).not.toEqual(first);
    expect(build({ losses: { logits: 1, scores: 1 } }).initial.size).toBe(0);
    const asWide = configOf({ ...vectors.student, hidden: 12 });
    expect(build({}, asWide).initial.size).toBe(0);
  });

  it('do not help scores: other numbers of heads are refused', () => {
    const heads = configOf({ ...vectors.student, heads: 2 });
    expect(() => build({ losses: { scores: 1 } }, heads)).toThrow('the student has 2 heads, its teacher 3');
    expect(() => build({ losses: { hidden: 1 } }, heads)).not.toThrow();
  });
});

describe('scores', () => {
  it('are compared centred where the normaliser is, unless the stage says otherwise', async () => {
    const [engine] = ENGINES;
    const loss = async (act: string, centredScores?: boolean): Promise<number> => {
      const config = tinyConfig({ softmax_act: act, num_hidden_layers: 1 });
      const stage = stageOf({ losses: { scores: 1 }, ...(centredScores === undefined ? {} : { centredScores }) });
      const { graph, outputs } = buildObjective(stage, config, { config: tinyConfig({ num_hidden_layers: 1 }) }, 1);
      const step = await engine!.compile(graph, { 'scores.0': outputs['scores.0']! });
      const one = (length: number): Int32Array => Int32Array.from({ length }, (_, i) => i + 1);
      const results = await step.run({
        ...bertFeeds({ batch: 1, length: 4, ids: one(4), types: new Int32Array(4), mask: new Int32Array(4).fill(1) }),
        ...waves(parameterShapes(config), 0.5),
        ...waves(parameterShapes(config), 0.4, TEACHER),
      });
      await step.release();
      return results['scores.0']!.data[0] as number;
    };
    const [plain, centred] = [await loss('2quad'), await loss('2quad_centred')];
    expect(centred).not.toBeCloseTo(plain, 2);
    expect(await loss('2quad', true)).toBe(centred);
    expect(await loss('2quad_centred', false)).toBe(plain);
  });
});
