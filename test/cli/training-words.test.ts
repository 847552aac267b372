/** What a training says: what is new, what is kept, what was lost, and figures that a person reads. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { readRunRecord } from '../../checkpoints/run-record.ts';
import { addEvaluate } from '../../cli/train-distill/evaluate.ts';
import { addStudent } from '../../cli/train-distill/student.ts';
import { addTeacher } from '../../cli/train-distill/teacher.ts';
import { inProcess } from '../support/in-process.ts';
import { endAll, Run } from '../support/processes.ts';
import { TINY_COLUMNS, tinyCsv, tinyTraining } from '../support/tiny-training.ts';

let dir: string;
const at = (...names: string[]): string => join(dir, ...names);
beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), 'training-words-'));
  await tinyTraining(dir, ['dull', 'fine']);
  // The words mean the other class: the longer it learns, the worse it is here.
  writeFileSync(at('swapped.csv'), tinyCsv(['fine', 'dull'], 40, 2));
});
afterEach(endAll);
afterAll(() => rmSync(dir, { recursive: true }));

const teacher = (out: string, ...more: string[]): string[] => [
  ...['teacher', '--from', at('base'), '--train', at('train.csv'), ...TINY_COLUMNS, '--max-length', '16'],
  ...['--threads', '1', '--batch', '16', '--lr', '1e-2', '--dropout', '0', '--steps', '60', '--out', at(out), ...more],
];
async function told(args: string[]): Promise<{ out: string; err: string }> {
  let err = '';
  const out = await inProcess([addTeacher, addStudent, addEvaluate], args, (text) => (err += text));
  return { out, err };
}
/** The value after a name in the printed result. */
const value = (out: string, name: string): string => new RegExp(`^${name} +(.+)$`, 'm').exec(out)![1]!;

describe('a training', () => {
  it('says which step is kept, with its measures and not the last ones, as percentages', async () => {
    const { out, err } = await told(teacher('kept', '--dev', at('swapped.csv'), '--evaluations', '6'));
    const { curve, outcomes, metrics } = await readRunRecord(at('kept', 'run.json'));
    const accuracies = curve.flatMap(({ step, values }) => ('dev.accuracy' in values ? [{ step, accuracy: values['dev.accuracy']! }] : [])); // prettier-ignore
    const best = accuracies.reduce((a, b) => (b.accuracy >= a.accuracy ? b : a));
    expect(best.step).toBeLessThan(60);
    expect(best.accuracy).toBeGreaterThan(accuracies.at(-1)!.accuracy);
    expect(outcomes![0]!.chosenStep).toBe(best.step);
    const percent = `${(best.accuracy * 100).toFixed(2)} %`;
    expect(/^✔ Stage.*$/m.exec(err)![0]).toContain(` · kept step ${best.step} of 60: dev.accuracy ${percent} · `);
    expect(value(out, 'dev.accuracy')).toBe(percent);
    expect(Number(value(out, 'dev.loss'))).toBe(Number(metrics['dev.loss']!.toPrecision(4)));
    expect(err).not.toContain('no labelled dev data');
    // The classifier of the base model fits these two classes.
    expect(err).not.toContain('new layers');
  });

  it('says which layers begin random, where the base has none for these classes', async () => {
    writeFileSync(at('three.csv'), tinyCsv(['dull', 'fine', 'neither'], 40, 3));
    const { err } = await told(teacher('three', '--train', at('three.csv'), '--steps', '1', '--seed', '7'));
    expect(err).toContain('new layers with random weights (seed 7): classifier\n');
  });

  it('says that without dev data it keeps the last step', async () => {
    const { err } = await told(teacher('no-dev'));
    expect(err).toContain('no labelled dev data (--dev): every stage gives the weights of its last step\n');
    expect(/^✔ Stage.*$/m.exec(err)![0]).toContain(' · kept step 60 of 60 · ');
    expect((await told(teacher('quiet', '--quiet'))).err).toBe('');
    const swap = ['student', '--teacher', at('no-dev'), '--train', at('train.csv'), ...TINY_COLUMNS, '--max-length', '16', '--threads', '1']; // prettier-ignore
    expect((await told([...swap, '--swap-only', '--out', at('swap')])).err).not.toContain('last step');
  });

  it('says that a process killed before its first checkpoint saved nothing', async () => {
    const args = teacher('killed', '--dev', at('dev.csv'), '--evaluations', '1');
    const run = new Run([...args, '--steps', '100000'], { command: 'train-distill' });
    await run.says(/Stage 1 of 1/);
    run.child.kill('SIGKILL');
    const ended = await run.ended;
    expect(ended.err).not.toContain('anew');
    // What it left, as the same command finds it.
    const again = new Run([...args, '--steps', '100000'], { command: 'train-distill' });
    await again.says(/killed\.partial: the process before ended before its first checkpoint, so nothing was saved; beginning anew\n/); // prettier-ignore
    await again.says(/Stage 1 of 1/);
  });
});

describe('evaluation', () => {
  it('prints percentages with two decimals and losses to four digits; JSON has the numbers', async () => {
    await told(teacher('model', '--dev', at('dev.csv'), '--steps', '10'));
    const args = ['evaluate', at('model'), '--file', at('dev.csv'), ...TINY_COLUMNS, '--threads', '1', '--quiet'];
    const json = JSON.parse((await told([...args, '--json'])).out) as Record<string, number>;
    const { out } = await told(args);
    for (const name of ['accuracy', 'matthews', 'f1']) {
      expect(value(out, name)).toBe(`${(100 * json[name]!).toFixed(2)} %`);
    }
    expect(json['accuracy']).toBeLessThanOrEqual(1);
    expect(value(out, 'loss')).toBe(String(Number(json['loss']!.toPrecision(4))));
    expect(value(out, 'examples')).toBe('40');
  });
});

describe('help', () => {
  const help = async (command: string): Promise<string> => {
    const { out } = await new Run([command, '--help'], { command: 'train-distill' }).ended;
    return out.replaceAll(/\s+/g, ' ');
  };
  /** The recipe as it is written, not as the program reads it. */
  const written = (name: string): Record<string, unknown> =>
    (JSON.parse(readFileSync(join(import.meta.dirname, `../../train/recipes/${name}.json`), 'utf8')) as { stages: Record<string, unknown>[] }).stages[0]!; // prettier-ignore

  it.each([
    ['teacher', 'fine-tune', '5e-5'],
    ['student', 'fast', '1e-4'],
  ])('%s states what it does without an option', async (command, name, rate) => {
    const text = await help(command);
    const { evaluations, epochs, learningRate } = written(name);
    expect(learningRate).toBe(Number(rate));
    for (const [flag, said] of [
      ['--seed <n>', '1'],
      ['--steps <n>', `${String(epochs)} epochs`],
      ['--epochs <x>', `${String(epochs)} epochs`],
      ['--lr <x>', rate],
      ['--batch <n>', '32'],
      ['--max-length <n>', '128'],
      ['--evaluations <n>', String(evaluations)],
    ]) {
      const line = text.slice(text.indexOf(` ${flag!} `) + 1);
      expect(line.slice(0, line.indexOf(')') + 1), flag).toMatch(new RegExp(`\\(default: the recipe's; ${name}: ${said}\\)$`)); // prettier-ignore
    }
    expect(text).toContain("(default: the recipe's, else the task's, else accuracy, for scores pearson)");
    expect(text).toContain('without it every stage gives its last step');
    expect(text).toContain('(TSV, CSV, JSONL, Parquet)');
  });

  it.each(['teacher', 'student', 'evaluate', 'report', 'onnx'])('%s lists the exit codes', async (command) => {
    expect(await help(command)).toContain('Exit codes: 0 done, 2 bad input or file, 3 refused');
  });
});
