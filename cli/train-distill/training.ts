/** What teacher and student have in common: running a recipe with progress, and saving model and record. */
import { cpus } from 'node:os';
import { RefusedError } from '../../common/errors.ts';
import { saveModel } from '../../checkpoints/index.ts';
import { exists } from '../../checkpoints/files.ts';
import { RUN_RECORD_FILE, runRecordJson, type RunRecord } from '../../checkpoints/run-record.ts';
import type { Engine } from '../../engine/engine.ts';
import type { Prepared } from '../../train/examples.ts';
import { predict } from '../../train/predict.ts';
import type { Guide } from '../../train/objective.ts';
import type { Recipe } from '../../train/recipe/recipe.ts';
import { runRecipe } from '../../train/recipe/run.ts';
import { WorkFolder } from '../../train/work-folder.ts';
import { evaluationOf, measureRanges } from '../../train/report/measure.ts';
import type { Model } from '../../train/stage.ts';
import { progress } from '../ui/progress.ts';
import { version } from '../ui/run.ts';
import type { TrainingFlags } from './options.ts';
import { onError } from '../ui/colour.ts';

/** Refuses a folder that exists before hours are spent, not after. */
export async function refuseExisting(out: string): Promise<void> {
  if (await exists(out)) throw new RefusedError(`${out}: exists already`, 'Choose another folder, or remove this one.');
}

export interface Training {
  readonly command: 'teacher' | 'student';
  readonly flags: TrainingFlags;
  readonly recipe: Recipe;
  readonly model: Model;
  readonly teacher?: Model & Guide;
  readonly train: Prepared;
  readonly dev: Prepared | undefined;
  readonly padId: number;
  readonly engine: Engine;
  readonly rawConfig: Readonly<Record<string, unknown>>;
  readonly tokenizerDir: string;
  /** sha256 of the weights the run began with, by role. */
  readonly modelHash: Readonly<Record<string, string>>;
  /** Further facts for the record. */
  readonly config: Readonly<Record<string, string | number | number[][]>>;
  readonly began: Date;
}

/** Six digits are enough to draw a curve and keep the record readable. */
const rounded = (values: Readonly<Record<string, number>>): Record<string, number> =>
  Object.fromEntries(Object.entries(values).map(([name, value]) => [name, Number(value.toPrecision(6))]));

const short = (x: number): string => (x === 0 || Math.abs(x) >= 1e-3 ? x.toFixed(4) : x.toExponential(2));

/** Milliseconds between checkpoints, beside those at every evaluation. */
const CHECKPOINT_EVERY = 300_000;

const versionsOf = (engine: Engine): Record<string, string> => ({
  toolkit: version,
  engine: engine.name,
  node: process.version,
  platform: `${process.platform} ${process.arch}`,
  processor: cpus()[0]?.model ?? 'unknown',
});

/** What the record holds of the weights given besides metrics; nothing without labelled dev data. */
async function examine(
  { dev, engine, padId, flags }: Training,
  model: Model,
): Promise<Pick<RunRecord, 'evaluation' | 'ranges'>> {
  if (dev?.targets === undefined) return {};
  const bar = progress('Examining the result on dev data', flags.quiet);
  const logits = await predict(model, dev.encodings, engine, { padId });
  const evaluation = evaluationOf(logits, dev.targets, model.config.labels);
  const ranges = await measureRanges(model, dev.encodings, engine, { padId });
  bar.succeed('Result examined on dev data');
  return { evaluation, ranges };
}

/** Trains (nothing if the recipe has no stages left), saves, and returns what is printed. */
export async function trainAndSave(t: Training): Promise<Record<string, unknown>> {
  const { flags, recipe, train, dev, engine } = t;
  for (const data of [train, dev]) {
    if (data !== undefined && data.truncated > 0 && !flags.quiet) {
      const many = `${data.truncated} of ${data.encodings.length}`;
      process.stderr.write(onError.yellow(`${data.source}: ${many} texts cut to ${recipe.maxLength} tokens\n`));
    }
  }
  const identity = {
    command: t.command,
    config: { ...t.config, recipe, dtype: flags.dtype },
    dataHash: { train: train.hash, ...(dev === undefined ? {} : { dev: dev.hash }) },
    modelHash: t.modelHash,
    threads: engine.threads,
    versions: versionsOf(engine),
  };
  const work = new WorkFolder(`${flags.out}.partial`);
  const from = await work.open(identity);
  if (from !== undefined && !flags.quiet) {
    process.stderr.write(onError.dim(`going on from stage ${from.stage + 1}, step ${from.at.step}\n`));
  }
  let saved = Date.now();
  let finish: (() => void) | undefined;
  const result = await runRecipe({
    ...t,
    from,
    onPause: async ({ mark, progress: here }) => {
      if (mark === undefined && Date.now() - saved < CHECKPOINT_EVERY) return;
      await work.save(here());
      saved = Date.now();
    },
    onStage: (stage, index) => {
      finish?.();
      const bar = progress(`Stage ${index + 1} of ${recipe.stages.length}: ${stage.name}`, flags.quiet);
      let measured = '';
      let loss: number | undefined;
      finish = () => bar.succeed(`Stage ${stage.name}: loss ${short(loss ?? Number.NaN)}${measured}`);
      return {
        onStep: (done, total, values) => {
          // An average of the recent past reads better than single batches.
          loss = loss === undefined ? values['loss']! : 0.95 * loss + 0.05 * values['loss']!;
          bar.update(done, total, `loss ${short(loss)} · rate ${values['rate']!.toExponential(1)}${measured}`);
        },
        onEvaluation: ({ values }) => {
          const shown = Object.entries(values).filter(([name]) => !name.endsWith('loss'));
          measured = ` · ${shown.map(([name, value]) => `${name} ${value.toFixed(4)}`).join(' · ')}`;
        },
      };
    },
  }).catch(async (error: unknown) => {
    // Without a checkpoint there is nothing to go on from.
    if (!(await work.hasCheckpoint())) await work.remove();
    throw error;
  });
  finish?.();
  const examined = await examine(t, result);
  const seconds = (Date.now() - t.began.getTime()) / 1000;
  const record = runRecordJson({
    format: 'run-record',
    version: 1,
    command: t.command,
    started: t.began.toISOString(),
    seconds,
    config: { ...t.config, recipe: JSON.parse(JSON.stringify(recipe)), dtype: flags.dtype },
    dataHash: { train: train.hash, ...(dev === undefined ? {} : { dev: dev.hash }) },
    modelHash: { ...t.modelHash },
    seed: recipe.seed,
    threads: engine.threads,
    versions: versionsOf(engine),
    curve: result.curve.map((point) => ({ ...point, values: rounded(point.values) })),
    metrics: { ...result.metrics },
    ...examined,
  });
  await saveModel(flags.out, {
    config: result.config,
    rawConfig: t.rawConfig,
    tensors: result.tensors,
    tokenizerDir: t.tokenizerDir,
    dtype: flags.dtype,
    extra: { [RUN_RECORD_FILE]: record },
  });
  await work.remove();
  const steps = result.curve.filter(({ values }) => 'loss' in values).length;
  return { out: flags.out, steps, seconds: Math.round(seconds * 10) / 10, ...result.metrics };
}

/** The result: one JSON object, or lines a person reads. */
export function printResult(result: Readonly<Record<string, unknown>>, json: boolean): void {
  if (json) process.stdout.write(`${JSON.stringify(result)}\n`);
  else
    for (const [name, value] of Object.entries(result)) process.stdout.write(`${name.padEnd(16)} ${String(value)}\n`);
}
