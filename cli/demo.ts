#!/usr/bin/env node
/**
 * The whole pipeline on real text, by the same commands a user types: bundled teacher → student → share bundles → three role
 * processes → secured answers, with the accuracy of every step on the same sentences.
 */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { Command } from 'commander';
import { InputError } from '../common/errors.ts';
import { run, type Step } from './demo/commands.ts';
import { accuracy, labelsOf, report, type DemoResult } from './demo/report.ts';
import { runCommand, version } from './ui/run.ts';
import { packageFile } from './ui/package.ts';
import { onError } from './ui/colour.ts';

const BIT_EXACT_TEXTS = 8;

interface Prediction {
  readonly label: string;
  readonly logits: readonly number[];
}
interface SecuredLine extends Prediction {
  readonly rounds: number;
  readonly sentBytes: number;
  /** A guard flagged the sentence. */
  readonly withheld?: boolean;
}

const lines = <T>(text: string): T[] =>
  text
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as T);

async function demo(options: { examples: number; keep?: string; json: boolean; threads: number }): Promise<void> {
  if (!Number.isInteger(options.examples) || options.examples < 1) {
    throw new InputError('--examples must be a whole number of at least 1', 'e.g. --examples 200');
  }
  const start = Date.now();
  const work = options.keep ?? mkdtempSync(join(tmpdir(), 'secformer-demo-'));
  mkdirSync(work, { recursive: true });
  const at = (name: string): string => join(work, name);
  const teacher = packageFile('checkpoints/polarity-teacher');
  const steps: Step[] = [];
  const step = (title: string, command: string, args: readonly string[]): Promise<string> =>
    run({ title, command, args, steps, teacher, work });
  const task = ['--task', 'polarity', '--threads', String(options.threads)];

  const evaluate = async (title: string, model: string, file: string): Promise<Prediction[]> => {
    await step(title, 'train-distill', [
      'evaluate',
      model,
      ...task,
      '--split',
      'test',
      '--predictions',
      file,
      '--json',
    ]);
    return lines<Prediction>(readFileSync(file, 'utf8'));
  };

  try {
    const rows = readFileSync(packageFile('data/polarity/test.tsv'), 'utf8').trimEnd().split('\n').slice(1);
    const gold = rows.map((row) => row.slice(row.lastIndexOf('\t') + 1));
    const texts = rows.slice(0, options.examples).map((row) => row.slice(0, row.lastIndexOf('\t')));
    writeFileSync(at('texts.txt'), `${texts.join('\n')}\n`);
    writeFileSync(at('few.txt'), `${texts.slice(0, BIT_EXACT_TEXTS).join('\n')}\n`);

    const teacherOut = await evaluate('Teacher on the test set', teacher, at('teacher.jsonl'));
    const distil = (preset: string, out: string, extra: readonly string[]): readonly string[] => [
      ...['student', '--teacher', teacher, ...task, '--preset', preset, '--out', out, '--json'],
      ...extra,
    ];
    const centred = 'secformer-centred';
    await step(
      'Softmax swapped for 2Quad, no training',
      'train-distill',
      distil(centred, at('swapped'), ['--swap-only']),
    );
    const swappedOut = await evaluate('Swapped model on the test set', at('swapped'), at('swapped.jsonl'));
    await step('Student distilled', 'train-distill', distil(centred, at('student'), ['--recipe', 'demo']));
    const studentOut = await evaluate('Student on the test set', at('student'), at('student.jsonl'));

    const calibration = packageFile('data/polarity/train.tsv');
    await step('Student exported as share bundles', 'export-shares', [
      ...[at('student'), '--calibrate', calibration, '--calibrate-size', '1000', '--out', at('bundles'), '--json'],
    ]);
    const secured = lines<SecuredLine>(
      await step(`${texts.length} sentences secured by three processes`, 'secure-infer', [
        ...['local', at('bundles'), '--file', at('texts.txt'), '--json'],
      ]),
    );
    const fixed = lines<Prediction>(
      await step('The same sentences in the fixed-point interpreter', 'secure-infer', [
        ...['interpret', at('bundles'), '--file', at('texts.txt'), '--json'],
      ]),
    );
    const seed = ['--seed', 'demo', '--transcript', at('transcript'), '--json'];
    const few = ['--file', at('few.txt')];
    const seeded = lines<SecuredLine>(
      await step(`${BIT_EXACT_TEXTS} sentences secured with known masks`, 'secure-infer', [
        ...['local', at('bundles'), ...few, ...seed],
      ]),
    );
    const replayed = lines<Prediction>(
      await step('Interpreted with the same masks', 'secure-infer', ['interpret', at('bundles'), ...few, ...seed]),
    );

    const n = texts.length;
    const mean = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0) / values.length;
    const student = labelsOf(studentOut);
    // a withheld answer has no label: it counts as wrong
    const answered = secured.filter((line) => line.withheld !== true);
    const result: DemoResult = {
      examples: n,
      teacher: accuracy(labelsOf(teacherOut).slice(0, n), gold),
      swapped: accuracy(labelsOf(swappedOut).slice(0, n), gold),
      student: accuracy(student.slice(0, n), gold),
      fixed: accuracy(labelsOf(fixed), gold),
      secured: accuracy(labelsOf(secured), gold),
      agreement: accuracy(labelsOf(secured), student),
      bitExact:
        seeded.length === replayed.length &&
        seeded.every((line, i) => line.logits.every((v, j) => Object.is(v, replayed[i]!.logits[j]))),
      testTeacher: accuracy(labelsOf(teacherOut), gold),
      testStudent: accuracy(student, gold),
      testSwapped: accuracy(labelsOf(swappedOut), gold),
      seconds: Math.round((Date.now() - start) / 100) / 10,
      secondsPerSentence: steps.find((s) => s.title.endsWith('three processes'))!.seconds / n,
      sentBytesPerSentence: Math.round(mean(answered.map((s) => s.sentBytes))),
      rounds: mean(answered.map((s) => s.rounds)),
      withheld: n - answered.length,
    };
    process.stderr.write(report(result, steps));
    if (options.json) process.stdout.write(`${JSON.stringify(result)}\n`);
  } finally {
    if (options.keep === undefined) rmSync(work, { recursive: true, force: true });
    else process.stderr.write(onError.dim(`kept in ${work}\n`));
  }
}

const program = new Command('demo')
  .description('Runs the whole pipeline on the bundled data: teacher → student → shares → three-role secure inference.')
  .version(version)
  .option('--examples <n>', 'test sentences to secure', Number, 200)
  .option('--threads <n>', 'threads of the training engine', Number, Math.min(2, cpus().length))
  .option('--keep <dir>', 'work in this new folder and keep student, bundles and answers')
  .option('--json', 'print the figures as one JSON line at the end', false)
  .addHelpText(
    'after',
    '\nExamples:\n  npm run demo\n  npm run --silent demo -- --json\n  npm run demo -- --keep runs/demo\n',
  )
  .action(demo);

await runCommand(program);
