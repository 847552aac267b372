import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { InputError } from '../../common/errors.ts';
import { ablate } from '../../train/recipe/ablation.ts';
import { overrideRecipe, parseRecipe } from '../../train/recipe/recipe.ts';
import { builtInRecipes, DEFAULT_RECIPE, findRecipe } from '../../train/recipe/recipes.ts';

const dir = mkdtempSync(join(tmpdir(), 'recipe-'));
afterAll(() => rmSync(dir, { recursive: true }));

const twoEpochs = (name: string) => ({ name, losses: { logits: 1 }, epochs: 2, learningRate: 1e-4 });

describe('recipes', () => {
  it('are found by name, each for its command', async () => {
    const names = builtInRecipes().map(({ name }) => name);
    expect(names).toEqual(expect.arrayContaining(['demo', 'fast', 'published', ...Object.values(DEFAULT_RECIPE)]));
    for (const name of names) {
      // A file is named after the recipe in it.
      const found = await Promise.allSettled([findRecipe(name, 'teacher'), findRecipe(name, 'student')]);
      expect(found.map(({ status }) => status).toSorted()).toEqual(['fulfilled', 'rejected']);
    }
    await expect(findRecipe('fastest', 'student')).rejects.toThrow(InputError);
  });

  it('are read from files, and say which field is wrong', async () => {
    const file = join(dir, 'r.json');
    const stage = { name: 'a', losses: { logits: 1 }, steps: 3, learningRate: 1e-4 };
    const write = (recipe: unknown): void => writeFileSync(file, JSON.stringify(recipe));
    write({ name: 'mine', for: 'student', stages: [stage] });
    const recipe = await findRecipe(file, 'student');
    expect(recipe.stages[0]).toMatchObject({ steps: 3, batchSize: 32, weightDecay: 0.01, decay: 'linear' });
    for (const [change, message] of [
      [{ learningRate: -1 }, 'stages.0.learningRate'],
      [{ epochs: 2 }, 'either steps or epochs'],
      [{ losses: { ranges: 1 } }, 'at least one loss'],
      [{ losses: { logit: 1 } }, 'stages.0.losses'],
      [{ dropout: 1 }, 'stages.0.dropout'],
    ] as const) {
      write({ name: 'mine', for: 'student', stages: [{ ...stage, ...change }] });
      await expect(findRecipe(file, 'student')).rejects.toThrow(message);
    }
    writeFileSync(file, '{');
    await expect(findRecipe(file, 'student')).rejects.toThrow(InputError);
  });

  const two = parseRecipe({ name: 'two', for: 'student', stages: [twoEpochs('a'), twoEpochs('b')] }, 'test');
  const one = parseRecipe({ name: 'one', for: 'student', stages: [twoEpochs('a')] }, 'test');

  it('are changed by options', () => {
    const changed = overrideRecipe(one, { steps: 7, learningRate: 2e-5, batchSize: 4, seed: 9, frozen: ['bert'] });
    expect(changed.seed).toBe(9);
    expect(changed.stages[0]).toMatchObject({ steps: 7, learningRate: 2e-5, batchSize: 4, frozen: ['bert'] });
    expect(changed.stages[0]!.epochs).toBeUndefined();
    const dropped = overrideRecipe(two, { stageSteps: [0, 5], stageLearningRate: [undefined, 3e-5] });
    expect(dropped.stages).toHaveLength(1);
    expect(dropped.stages[0]).toMatchObject({ name: 'b', steps: 5, learningRate: 3e-5 });
  });

  it('refuse options that do not fit them', () => {
    expect(() => overrideRecipe(two, { steps: 5 })).toThrow('--steps');
    expect(() => overrideRecipe(one, { stageSteps: [5, 5] })).toThrow('one stage');
    expect(() => overrideRecipe(two, { stageSteps: [0, 0] })).toThrow('must have a stage');
    expect(() => overrideRecipe(one, { metric: 'bleu' })).toThrow('metric');
  });

  it('say otherwise for some tasks, by any spelling of their names', () => {
    const json = {
      name: 'r',
      for: 'student',
      stages: [twoEpochs('a'), twoEpochs('b')],
      tasks: { 'sts-b': { maxLength: 64, stages: [{ steps: 9 }, { losses: { labels: 1 }, batchSize: 4 }] } },
    };
    const base = parseRecipe(json, 'r');
    expect(parseRecipe(json, 'r', 'cola')).toEqual(base);
    const changed = parseRecipe(json, 'r', 'STSB');
    expect(changed.maxLength).toBe(64);
    // Either length takes the other's place.
    expect(changed.stages[0]).toEqual({ ...base.stages[0], steps: 9, epochs: undefined });
    expect(changed.stages[1]).toMatchObject({ losses: { labels: 1, logits: 0 }, batchSize: 4, epochs: 2 });
    const wrong =
      (tasks: unknown): (() => unknown) =>
      () =>
        parseRecipe({ ...json, tasks }, 'r');
    expect(wrong({ cola: { stages: [{ epoch: 1 }] } })).toThrow('r: tasks.cola: stages.0');
    expect(wrong({ cola: { stages: [{}, {}, {}] } })).toThrow('3 stages of 2');
    expect(wrong({ kola: {} })).toThrow("no task 'kola'");
    expect(wrong({ cola: { seed: 1 } })).toThrow('tasks.cola');
  });
});

/**
 * Stage one's epochs as in MPCFormer's task_distill.py (`default_params`), which has none for WNLI; stage two's five epochs and
 * both rates as in its exp2.py; batches of 8 for the small tasks as in the paper.
 */
describe('the published schedule', () => {
  it.each([
    ['cola', 50, 8],
    ['sst-2', 10, 32],
    ['mrpc', 20, 8],
    ['sts-b', 100, 32],
    ['qqp', 5, 32],
    ['mnli', 5, 32],
    ['qnli', 10, 32],
    ['rte', 50, 8],
  ])('%s: %d epochs of stage one, batches of %d', async (task, epochs, batchSize) => {
    for (const name of ['published', 'published-code']) {
      const { stages, maxLength } = await findRecipe(name, 'student', task);
      expect(maxLength).toBe(128);
      expect(stages).toHaveLength(2);
      expect(stages[0]).toMatchObject({ epochs, batchSize, learningRate: 5e-5, warmup: 0, decay: 'constant' });
      expect(stages[0]!.losses).toEqual({ labels: 0, logits: 0, hidden: 1, scores: 1, ranges: 0 });
      expect(stages[1]).toMatchObject({ epochs: 5, batchSize, learningRate: 1e-5, warmup: 0.1, decay: 'linear' });
      expect(stages[1]).toMatchObject({ temperature: 1, select: 'best', weightDecay: 0.01, maxNorm: 1 });
      const target = task === 'sts-b' ? 'labels' : 'logits';
      expect(stages[1]!.losses).toEqual({ labels: 0, logits: 0, hidden: 0, scores: 0, ranges: 0, [target]: 1 });
    }
  });

  it('has the conventions of the published code as a recipe of its own', async () => {
    const { stages: own } = await findRecipe('published', 'student');
    expect(own[0]).toMatchObject({ optimizer: 'adamw', layerConvention: 'mean_real' });
    expect(own[1]).toMatchObject({ optimizer: 'adamw', softConvention: 'standard' });
    const { stages: code } = await findRecipe('published-code', 'student');
    expect(code[0]).toMatchObject({ optimizer: 'bertadam', layerConvention: 'mean_all' });
    expect(code[1]).toMatchObject({ optimizer: 'bertadam', softConvention: 'published' });
  });
});

describe('ablations', () => {
  it('without stage one nothing of the layers is compared', async () => {
    const two = await findRecipe('two-stage', 'student');
    expect(ablate(two, { noStage1: true }).stages).toEqual([two.stages[1]]);
    const joint = await findRecipe('fast', 'student');
    expect(ablate(joint, { noStage1: true }).stages[0]!.losses).toMatchObject({ logits: 1, hidden: 0, scores: 0 });
    expect(ablate(two, {})).toBe(two);
  });

  it('without distillation labels take the place of logits', async () => {
    const { stages } = ablate(await findRecipe('two-stage', 'student'), { noDistillation: true });
    expect(stages.map(({ name, losses }) => [name, losses])).toEqual([
      ['logits', { labels: 1, logits: 0, hidden: 0, scores: 0, ranges: 0 }],
    ]);
  });

  it('that leave nothing are refused', () => {
    const layers = { name: 'a', losses: { hidden: 1, ranges: 1 }, steps: 1, learningRate: 1 };
    const recipe = parseRecipe({ name: 'layers', for: 'student', stages: [layers] }, 'test');
    expect(() => ablate(recipe, { noStage1: true })).toThrow('--no-stage1');
    expect(() => ablate(recipe, { noDistillation: true })).toThrow('--no-distillation');
  });
});
