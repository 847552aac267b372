import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { InputError } from '../../common/errors.ts';
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
});
