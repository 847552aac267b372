/** One training, or the same for several seeds with what they give together. */
import { readdir, rmdir } from 'node:fs/promises';
import { join } from 'node:path';
import { InputError, RefusedError } from '../../common/errors.ts';
import { readRunRecord, RUN_RECORD_FILE, type RunRecord } from '../../checkpoints/run-record.ts';
import { defaultMetric } from '../../train/evaluate.ts';
import { onError } from '../ui/colour.ts';
import { figure } from '../ui/figures.ts';
import { interruptions, Stopped, type Interruption } from '../ui/interrupt.ts';
import { writeWhole } from './evaluate.ts';
import type { TrainingFlags } from './options.ts';
import { printResult } from './training.ts';

const SUMMARY = 'summary.json';
const PARTS = /^(seed-\d+(\.partial)?|summary\.json)$/;

interface Spread {
  readonly mean: number;
  /** Of the sample: the root of the sum of squares over n − 1. */
  readonly deviation: number;
}

/** Mean and standard deviation (n − 1) of two values or more. */
export function spread(values: readonly number[]): Spread {
  const mean = values.reduce((a, b) => a + b, 0) / values.length;
  const squares = values.reduce((sum, v) => sum + (v - mean) ** 2, 0);
  return { mean, deviation: Math.sqrt(squares / (values.length - 1)) };
}

/** What runs of several seeds gave: each, their spread by metric, and which is best by the metric of checkpoints. */
export function summaryOf(records: readonly RunRecord[]) {
  const runs = records.map(({ seed, metrics, seconds }) => ({ seed, folder: `seed-${seed}`, metrics, seconds }));
  const metrics = Object.fromEntries(
    Object.keys(runs[0]!.metrics).map((name) => [name, spread(runs.map((run) => run.metrics[name]!))]),
  );
  const { metric } = records[0]!.config['recipe'] as { metric?: string };
  const name = `dev.${metric ?? defaultMetric('dev.pearson' in metrics ? 1 : 2)}`;
  if (!(name in metrics)) return { runs, metrics };
  // Of equally good runs the first.
  const best = runs.reduce((a, b) => (b.metrics[name]! > a.metrics[name]! ? b : a));
  return { runs, metrics, best: { seed: best.seed, folder: best.folder, metric: name, value: best.metrics[name]! } };
}

/** @throws RefusedError for a folder with anything in it but runs of seeds */
async function seedsFolder(out: string): Promise<void> {
  const names = await readdir(out).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return [];
    throw new InputError(`${out}: cannot be read (${error.message})`, 'Give another --out.');
  });
  const strange = names.find((name) => !PARTS.test(name) && !name.startsWith('.'));
  if (strange === undefined) return;
  throw new RefusedError(`${out}: holds ${strange}, so it is no folder of --seeds`, 'Choose another --out.');
}

/** A training by its flags, which holds signals while it has something to keep. */
export type Train<F> = (flags: F, signal: Interruption) => Promise<Record<string, unknown>>;

/**
 * Runs `train` once, or for every seed of `--seeds` that is not done yet, and prints what came of it.
 * @throws Stopped after a signal, where something is left to do
 */
export async function runAndPrint<F extends TrainingFlags>(
  head: Readonly<Record<string, string>>,
  flags: F,
  train: Train<F>,
): Promise<void> {
  const signal = interruptions('stopped before the first step; nothing is lost, and the same command goes on');
  try {
    await trainAll(head, flags, train, signal);
  } finally {
    signal.end();
  }
}

async function trainAll<F extends TrainingFlags>(
  head: Readonly<Record<string, string>>,
  flags: F,
  train: Train<F>,
  signal: Interruption,
): Promise<void> {
  const { out, seeds } = flags;
  if (seeds === undefined) return printResult({ ...head, ...(await train(flags, signal)) }, flags.json);
  if (flags.seed !== undefined) throw new InputError('--seed beside --seeds', 'Give one of them.');
  await seedsFolder(out);
  const records: RunRecord[] = [];
  for (const [i, seed] of seeds.entries()) {
    const folder = join(out, `seed-${seed}`);
    if (!flags.quiet) process.stderr.write(onError.bold(`Seed ${seed} (${i + 1} of ${seeds.length})\n`));
    await train({ ...flags, seed, out: folder }, signal).catch(async (error: unknown) => {
      // Nothing stays of what came to nothing; a folder with runs is not removed by this.
      await rmdir(out).catch(() => undefined);
      throw error;
    });
    records.push(await readRunRecord(join(folder, RUN_RECORD_FILE)));
    const code = signal.code();
    if (code !== undefined && i + 1 < seeds.length)
      throw new Stopped(`stopped after seed ${seed}; the same command goes on`, code);
  }
  const summary = summaryOf(records);
  await writeWhole(join(out, SUMMARY), `${JSON.stringify({ ...head, ...summary }, null, 2)}\n`);
  if (flags.json) return printResult({ ...head, out, ...summary }, true);
  const lines = Object.entries(summary.metrics).map(([name, s]) => [name, `${figure(name, s.mean).replace(' %', '')} ± ${figure(name, s.deviation)}`]); // prettier-ignore
  const best = summary.best === undefined ? {} : { best: `${summary.best.folder} (${summary.best.metric} ${figure(summary.best.metric, summary.best.value)})` }; // prettier-ignore
  printResult({ ...head, out, seeds: seeds.join(', '), ...Object.fromEntries(lines), ...best }, false);
}
