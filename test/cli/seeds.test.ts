/** Several seeds at once, kept checkpoints, class weights from a file, and what the record says of stages. */
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { loadModel } from '../../checkpoints/index.ts';
import { readRunRecord } from '../../checkpoints/run-record.ts';
import { spread } from '../../cli/train-distill/seeds.ts';
import { Failure, InputError, RefusedError } from '../../common/errors.ts';
import type { Measured } from '../../train/kept.ts';
import { TINY_COLUMNS, tinyTraining } from '../support/tiny-training.ts';
import { trainDistill } from '../support/in-process.ts';

let dir: string;
const at = (...names: string[]): string => join(dir, ...names);
beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), 'seeds-'));
  await tinyTraining(dir, ['dull', 'fine']);
});
afterAll(() => rmSync(dir, { recursive: true }));

const common = (): string[] => ['--train', at('train.csv'), '--dev', at('dev.csv'), ...TINY_COLUMNS, '--max-length', '16', '--threads', '1', '--batch', '8']; // prettier-ignore
const teacher = async (out: string, ...more: string[]): Promise<Record<string, unknown>> =>
  JSON.parse(await trainDistill('teacher', '--from', at('base'), ...common(), '--lr', '1e-3', '--steps', '12', '--out', at(out), '--json', ...more)) as Record<string, unknown>; // prettier-ignore
const weights = (...names: string[]): Buffer => readFileSync(at(...names, 'model.safetensors'));

interface Summary {
  readonly metrics: Record<string, { mean: number; deviation: number }>;
  readonly best: { seed: number; value: number; metric: string };
}

it('spread is the mean and the deviation of a sample', () => {
  // 2, 4, 9: mean 5, squares 9 + 1 + 16 over n − 1 = 2.
  expect(spread([2, 4, 9])).toEqual({ mean: 5, deviation: Math.sqrt(13) });
});

describe('--seeds', () => {
  it('trains each, sums up, and goes on where it was stopped', async () => {
    await teacher('alone', '--seed', '5');
    const all = (await teacher('many', '--seeds', '4,5,6')) as unknown as Summary;
    expect(readdirSync(at('many')).toSorted()).toEqual(['seed-4', 'seed-5', 'seed-6', 'summary.json']);
    expect(weights('many', 'seed-5').equals(weights('alone'))).toBe(true);
    expect(weights('many', 'seed-4').equals(weights('alone'))).toBe(false);
    const records = await Promise.all([4, 5, 6].map((seed) => readRunRecord(at('many', `seed-${seed}`, 'run.json'))));
    for (const name of ['dev.accuracy', 'dev.loss']) {
      const values = records.map(({ metrics }) => metrics[name]!);
      const mean = (values[0]! + values[1]! + values[2]!) / 3;
      expect(all.metrics[name]!.mean).toBeCloseTo(mean, 12);
      // Σ(v − mean)² = Σv² − n·mean²
      const squares = values.reduce((sum, v) => sum + v * v, 0) - 3 * mean * mean;
      expect(all.metrics[name]!.deviation ** 2).toBeCloseTo(squares / 2, 10);
    }
    expect(all.best.metric).toBe('dev.accuracy');
    expect(all.best.value).toBe(Math.max(...records.map(({ metrics }) => metrics['dev.accuracy']!)));
    const summary = JSON.parse(readFileSync(at('many', 'summary.json'), 'utf8')) as Summary;
    expect(summary).toMatchObject({ metrics: all.metrics, best: all.best, command: 'teacher' });

    // As if killed before the last was begun: only that one is trained.
    const { mtimeMs, ino } = statSync(at('many', 'seed-4'));
    const last = weights('many', 'seed-6');
    rmSync(at('many', 'seed-6'), { recursive: true });
    rmSync(at('many', 'summary.json'));
    const again = (await teacher('many', '--seeds', '4,5,6')) as unknown as Summary;
    expect({ metrics: again.metrics, best: again.best }).toEqual({ metrics: all.metrics, best: all.best });
    expect(statSync(at('many', 'seed-4'))).toMatchObject({ mtimeMs, ino });
    expect(weights('many', 'seed-6').equals(last)).toBe(true);
  });

  it('prints lines for people, of students too', async () => {
    const student = ['student', '--teacher', at('alone'), ...common(), '--steps', '4', '--lr', '1e-3'];
    const out = await trainDistill(...student, '--seeds', '1,2', '--out', at('students'));
    expect(out).toMatch(/^dev\.accuracy +\d+\.\d\d ± \d+\.\d\d %$/m);
    expect(out).toMatch(/^best +seed-[12] \(dev\.accuracy \d+\.\d\d %\)$/m);
  });

  it('refuses seeds done otherwise, a folder of something else, and lists that are none', async () => {
    await expect(teacher('many', '--seeds', '4,5', '--lr', '2e-3')).rejects.toThrow(/seed-4 holds a run that is not this one: config\.recipe\.stages\.0\.learningRate was 0\.001 and is 0\.002/); // prettier-ignore
    await expect(teacher('alone', '--seeds', '1,2')).rejects.toThrow(RefusedError);
    await expect(teacher('x', '--seeds', '1')).rejects.toThrow("--seeds is '1'");
    await expect(teacher('x', '--seeds', '1,1')).rejects.toThrow(InputError);
    await expect(teacher('x', '--seeds', '1,2', '--seed', '3')).rejects.toThrow('--seed beside --seeds');
    await expect(teacher('x', '--seeds', '1,2', '--lr', '1e30')).rejects.toThrow(
      'stage fine-tune, step 2: a logit on dev data is NaN',
    );
    expect(existsSync(at('x'))).toBe(false);
  });
});

describe('--keep', () => {
  it('keeps the best checkpoints as models, the best of all with them', async () => {
    const file = at('two.json');
    const stage = { losses: { labels: 1 }, steps: 10, learningRate: 3e-3, batchSize: 8, evaluations: 5 };
    writeFileSync(file, JSON.stringify({ name: 'two', for: 'teacher', stages: [{ ...stage, name: 'a' }, { ...stage, name: 'b' }] })); // prettier-ignore
    const flags = ['--train', at('train.csv'), '--dev', at('dev.csv'), ...TINY_COLUMNS, '--max-length', '16', '--threads', '1', '--out', at('kept')]; // prettier-ignore
    await trainDistill('teacher', '--from', at('base'), ...flags, '--recipe', file, '--keep', '3');
    const { curve, outcomes, metrics } = await readRunRecord(at('kept', 'run.json'));
    const points = curve.filter(({ values }) => 'dev.accuracy' in values);
    expect(points).toHaveLength(10);
    // By accuracy; of equal ones the later.
    const expected = points
      .map(({ stage: name, step, values }, i) => ({
        folder: `stage-${name === 'a' ? 1 : 2}-step-${step}`,
        i,
        value: values['dev.accuracy']!,
      })) // prettier-ignore
      .toSorted((a, b) => b.value - a.value || b.i - a.i)
      .slice(0, 3);
    expect(readdirSync(at('kept', 'checkpoints')).toSorted()).toEqual(expected.map(({ folder }) => folder).toSorted());
    for (const { folder, value } of expected) {
      await loadModel(at('kept', 'checkpoints', folder));
      const measured = JSON.parse(readFileSync(at('kept', 'checkpoints', folder, 'measured.json'), 'utf8')) as Measured;
      expect(measured.value).toBeCloseTo(value, 6);
      const evaluated = JSON.parse(await trainDistill('evaluate', at('kept', 'checkpoints', folder), '--file', at('dev.csv'), ...TINY_COLUMNS, '--max-length', '16', '--threads', '1', '--json')) as { accuracy: number }; // prettier-ignore
      expect(evaluated.accuracy).toBeCloseTo(value, 6);
    }
    const last = outcomes!.at(-1)!;
    expect(weights('kept').equals(weights('kept', 'checkpoints', `stage-2-step-${last.chosenStep}`))).toBe(
      expected.some(({ folder }) => folder === `stage-2-step-${last.chosenStep}`),
    );
    expect(last.metrics).toEqual(metrics);
  });

  it('needs something to tell the best by', async () => {
    const flags = ['--train', at('train.csv'), ...TINY_COLUMNS, '--max-length', '16', '--threads', '1'];
    const run = trainDistill('teacher', '--from', at('base'), ...flags, '--out', at('y'), '--keep', '1');
    await expect(run).rejects.toThrow('--keep without labelled dev data');
    expect(readdirSync(dir).filter((name) => name.startsWith('y'))).toEqual([]);
  });
});

it('training that diverges says what of it is kept', async () => {
  const stage = { losses: { labels: 1 }, steps: 4, batchSize: 8, warmup: 0 };
  const stages = [{ ...stage, name: 'a', learningRate: 1e-3 }, { ...stage, name: 'b', learningRate: 1e30 }]; // prettier-ignore
  writeFileSync(at('wild.json'), JSON.stringify({ name: 'wild', for: 'teacher', stages }));
  const flags = ['--train', at('train.csv'), '--dev', at('dev.csv'), ...TINY_COLUMNS, '--max-length', '16', '--threads', '1', '--recipe', at('wild.json')]; // prettier-ignore
  const run = (): Promise<string> => trainDistill('teacher', '--from', at('base'), ...flags, '--out', at('wild'));
  const error = (await run().catch((e: unknown) => e)) as Failure;
  expect(error).toBeInstanceOf(Failure);
  expect(error.message).toMatch(/^stage b, step [1-4]: .* is (NaN|Infinity)$/);
  expect(error.hint).toMatch(/lower the learning rate .*wild\.partial keeps the last checkpoint; .* or remove that folder\.$/); // prettier-ignore
  expect(readdirSync(at('wild.partial')).toSorted()).toEqual(['checkpoint-0-4', 'run-identity.json']);
  await expect(run()).rejects.toThrow(error.message);
});

it('the record says what became of a stage, and of the memory', async () => {
  await teacher('patient', '--steps', '30', '--evaluations', '15', '--patience', '2', '--lr', '1e-30');
  const { outcomes, peakRssBytes, seconds } = await readRunRecord(at('patient', 'run.json'));
  // Nothing changes after the first evaluation, of two steps; of equal ones the latest is kept.
  expect(outcomes).toMatchObject([{ stage: 'fine-tune', steps: 6, chosenStep: 6, stoppedEarly: true }]);
  expect(peakRssBytes).toBeGreaterThan(2 ** 25);
  expect(seconds).toBeGreaterThan(0);
});

describe('--class-weights with a file', () => {
  const write = (json: unknown): string => {
    writeFileSync(at('w.json'), JSON.stringify(json));
    return at('w.json');
  };
  it('is the same as in a recipe file', async () => {
    const recipe = { name: 'w', for: 'teacher', classWeights: { fine: 3, dull: 1 }, stages: [{ name: 'labels', losses: { labels: 1 }, steps: 5, learningRate: 1e-3 }] }; // prettier-ignore
    writeFileSync(at('recipe.json'), JSON.stringify({ ...recipe, classWeights: undefined }));
    const flags = ['--recipe', at('recipe.json'), '--steps', '5'];
    await teacher('w-file', ...flags, '--class-weights', write({ fine: 3, dull: 1 }));
    await teacher('w-none', ...flags);
    writeFileSync(at('recipe.json'), JSON.stringify(recipe));
    await teacher('w-recipe', ...flags);
    expect(weights('w-file').equals(weights('w-recipe'))).toBe(true);
    expect(weights('w-file').equals(weights('w-none'))).toBe(false);
  });
  it.each([
    [{ fine: 1 }, "none for 'dull'"],
    [{ fine: 1, dull: 1, grim: 1 }, "'grim' is none of the classes"],
    [{ fine: 1, dull: -1 }, "'dull' is -1"],
    [[1, 2], 'no JSON object'],
  ])('%j is refused', async (json, message) => {
    await expect(teacher('z', '--class-weights', write(json))).rejects.toThrow(message);
    expect(readdirSync(dir).filter((name) => name.startsWith('z'))).toEqual([]);
  });
});
