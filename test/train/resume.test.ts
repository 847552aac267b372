import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { RefusedError } from '../../common/errors.ts';
import { CounterRandom } from '../../common/random.ts';
import { createEngine } from '../../engine/onnxruntime.ts';
import type { Prepared } from '../../train/examples.ts';
import { parseRecipe } from '../../train/recipe/recipe.ts';
import { runRecipe, type RunResult } from '../../train/recipe/run.ts';
import { KEPT, WorkFolder } from '../../train/work-folder.ts';
import { tinyConfig, tinyTensors } from '../support/tiny-model.ts';

function examples(count: number, seed: number): Prepared {
  const random = new CounterRandom(seed, 'texts');
  const encodings = Array.from({ length: count }, () => {
    const ids = [2, ...Array.from({ length: 2 + random.int(8) }, () => 5 + random.int(4)), 3];
    return { ids, types: ids.map(() => 0) };
  });
  const targets = encodings.map(({ ids }) => Number(ids.includes(5)));
  return { encodings, targets, hash: '0'.repeat(64), source: 'made up', truncated: 0 };
}

// Two stages over several epochs, dropout as configured, the best of several evaluations.
const stage = { losses: { labels: 1 }, steps: 14, batchSize: 8, evaluations: 4, learningRate: 1e-2 };
const recipe = (change: object = {}) =>
  parseRecipe({ name: 'r', for: 'teacher', stages: [{ ...stage, name: 'a', ...change }, { ...stage, name: 'b', ...change }] }, 'r'); // prettier-ignore
const options = (change: object = {}) => ({
  recipe: recipe(change),
  model: { config: tinyConfig(), tensors: tinyTensors(tinyConfig()) },
  train: examples(40, 1),
  dev: examples(30, 2),
  padId: 0,
  engine: createEngine({ threads: 2 }),
});
const bits = ({ tensors }: RunResult): [string, Uint32Array][] =>
  [...tensors].map(([name, { data }]) => [name, new Uint32Array(data.slice().buffer)]);

let dir: string;
beforeEach(() => (dir = mkdtempSync(join(tmpdir(), 'resume-'))));
afterEach(() => rmSync(dir, { recursive: true }));

const told = { started: '2025-01-01T00:00:00Z', seconds: 1, peakRssBytes: 1 };

describe('a run that is stopped and goes on from its folder', () => {
  for (const [name, change] of [
    ['in whole batches', {}],
    ['in parts', { accumulate: 3 }],
  ] as const) {
    it(`gives the bits of the uninterrupted run, ${name}`, async () => {
      const whole = await runRecipe(options(change));
      let result: RunResult | undefined;
      let stops = 0;
      while (result === undefined) {
        const folder = new WorkFolder(join(dir, 'run.partial'));
        const last = await folder.open({ recipe: recipe(change) });
        let steps = 0;
        result = await runRecipe({
          ...options(change),
          from: last?.run,
          onPause: async (pause) => {
            // Every third step is written; the process ends two steps later, which are lost.
            if (++steps % 3 === 0) await folder.save({ ...told, run: pause.progress() });
            if (steps === 5) throw new Error('stopped');
          },
        }).catch(async (error: Error) => {
          if (error.message !== 'stopped') throw error;
          stops++;
          await folder.close();
          return undefined;
        });
      }
      expect(stops).toBeGreaterThan(5);
      expect(bits(result)).toEqual(bits(whole));
      expect(result.curve).toEqual(whole.curve);
      expect(result.outcomes).toEqual(whole.outcomes);
    });
  }

  it('refuses the folder of another run and names what differs', async () => {
    const path = join(dir, 'run.partial');
    const first = new WorkFolder(path);
    await first.open({ recipe: { seed: 1 } });
    const beside = await new WorkFolder(path).open({ recipe: { seed: 1 } }).catch((e: unknown) => e);
    expect(beside).toBeInstanceOf(RefusedError);
    expect((beside as Error).message).toContain(`another run writes there (process ${process.pid} on `);
    await first.close();
    const error = await new WorkFolder(path).open({ recipe: { seed: 2 } }).catch((e: unknown) => e);
    expect(error).toBeInstanceOf(RefusedError);
    expect((error as Error).message).toContain('recipe.seed was 1 and is 2');
    expect(readdirSync(path)).toEqual(['run-identity.json']);
  });
});

it('a damaged folder is refused with the file that is', async () => {
  const path = join(dir, 'run.partial');
  mkdirSync(path);
  writeFileSync(join(path, 'run-identity.json'), '{"ver');
  await expect(new WorkFolder(path).open({})).rejects.toThrow(/run-identity\.json: cannot be read/);
  // Of a version before versions were counted.
  writeFileSync(join(path, 'run-identity.json'), '{"recipe":{"seed":1}}');
  await expect(new WorkFolder(path).open({ recipe: { seed: 1 } })).rejects.toThrow('version was undefined and is 1');
  writeFileSync(join(path, 'run-identity.json'), '{"version":1}');
  mkdirSync(join(path, 'checkpoint-0-3'));
  writeFileSync(join(path, 'checkpoint-0-3', 'progress.json'), '');
  await expect(new WorkFolder(path).open({})).rejects.toThrow(/checkpoint-0-3.progress\.json: cannot be read/);
});

describe('the end of a run', () => {
  const save = async (folder: string): Promise<void> => {
    mkdirSync(folder);
    writeFileSync(join(folder, 'weights'), 'w');
  };
  const identity = { recipe: { seed: 1 } };

  it('is one rename: a result that cannot take its name is made again, with the kept checkpoints', async () => {
    const [path, out] = [join(dir, 'run.partial'), join(dir, 'run')];
    const first = new WorkFolder(path);
    await first.open(identity);
    mkdirSync(join(path, KEPT, 'step-1'), { recursive: true });
    mkdirSync(out);
    await expect(first.finish(out, save)).rejects.toThrow(RefusedError);
    await first.close();
    expect(readdirSync(path).toSorted()).toEqual(['done', 'model', 'run-identity.json']);
    await first.sweep();
    rmSync(out, { recursive: true });
    const second = new WorkFolder(path);
    await second.open(identity);
    expect(readdirSync(path).toSorted()).toEqual([KEPT, 'lock', 'run-identity.json']);
    await second.finish(out, save);
    expect(readdirSync(dir)).toEqual(['run']);
    expect(readdirSync(out).toSorted()).toEqual([KEPT, 'weights']);
  });

  it('sweeps what a process left that was killed after that rename, and nothing else', async () => {
    const path = join(dir, 'run.partial');
    const folder = new WorkFolder(path);
    await folder.open(identity);
    await folder.close();
    await folder.sweep();
    expect(readdirSync(path)).toEqual(['run-identity.json']);
    writeFileSync(join(path, 'done'), '');
    await folder.sweep();
    expect(readdirSync(dir)).toEqual([]);
  });
});

describe('a stage', () => {
  it('ends when patience runs out', async () => {
    // At a rate near 0 nothing improves after the first evaluation.
    const { outcomes } = await runRecipe(options({ learningRate: 1e-30, evaluations: 14, patience: 3 }));
    expect(outcomes.map(({ steps }) => steps)).toEqual([4, 4]);
  });
});
