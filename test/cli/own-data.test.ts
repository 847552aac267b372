/** A user's own file through every command: teacher, student, report, evaluation, export, fixed point. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { addExport } from '../../cli/export-shares/command.ts';
import { addEvaluateCommand } from '../../cli/secure-infer/evaluate.ts';
import { TINY_COLUMNS, tinyCsv, tinyTraining } from '../support/tiny-training.ts';
import { inProcess, trainDistill } from '../support/in-process.ts';

let dir: string;
const at = (...names: string[]): string => join(dir, ...names);
beforeEach(() => (dir = mkdtempSync(join(tmpdir(), 'own-data-'))));
afterEach(() => rmSync(dir, { recursive: true }));

type Result = Readonly<Record<string, number>>;
const parsed = (text: string): Result => JSON.parse(text) as Result;

it.each([
  ['two classes', ['poor, very', 'fine'], [], 'accuracy', 0.95],
  ['three classes', ['angry', 'happy', 'neither'], [], 'accuracy', 0.95],
  ['scores', ['-1', '4.5'], ['--regression'], 'pearson', 0.95],
] as const)('%s', async (_, names, kind, metric, least) => {
  // A label with a comma is quoted in the file.
  const labels = names.map((name) => (name.includes(',') ? `"${name}"` : name));
  await tinyTraining(dir, labels);
  writeFileSync(at('test.csv'), tinyCsv(labels, 40, 3));
  const common = ['--train', at('train.csv'), '--dev', at('dev.csv'), ...TINY_COLUMNS, '--max-length', '16', '--threads', '1', '--json', '--quiet']; // prettier-ignore
  const train = (...args: string[]): Promise<string> => trainDistill(...args, ...common, '--dropout', '0', '--batch', '16'); // prettier-ignore
  const teacher = parsed(await train('teacher', '--from', at('base'), '--steps', '120', '--lr', '1e-2', ...kind, '--out', at('teacher'))); // prettier-ignore
  expect(teacher[`dev.${metric}`]).toBeGreaterThan(least);
  const student = parsed(await train('student', '--teacher', at('teacher'), '--steps', '60', '--lr', '3e-3', '--out', at('student'))); // prettier-ignore
  expect(student[`dev.${metric}`]).toBeGreaterThan(least);

  await trainDistill('report', at('teacher'), at('student'), '--out', at('report.html'), '--json');
  const html = readFileSync(at('report.html'), 'utf8');
  for (const name of kind.length > 0 ? ['Residual'] : names) expect(html).toContain(name);

  const file = ['--file', at('test.csv'), ...TINY_COLUMNS];
  const float = parsed(await trainDistill('evaluate', at('student'), ...file, '--max-length', '16', '--threads', '1', '--predictions', at('float.jsonl'), '--json', '--quiet')); // prettier-ignore
  expect(float[metric]).toBeGreaterThan(least);

  await inProcess([addExport], [at('student'), '--calibrate', at('train.csv'), '--text-column', 'message', '--out', at('bundles'), '--threads', '1', '--quiet', '--json']); // prettier-ignore
  const fixed = parsed(await inProcess([addEvaluateCommand], ['evaluate', at('bundles'), ...file, '--clear', '--against', at('float.jsonl'), '--json'])); // prettier-ignore
  expect(fixed).toMatchObject({ examples: 40, withheld: 0 });
  // Classes far from a tie are the same in fixed point; scores differ by its noise alone.
  if (metric === 'accuracy') expect(fixed).toMatchObject({ agreement: 1, accuracy: float['accuracy'] });
  else expect(fixed['maxLogitError']).toBeLessThan(0.05);
});
