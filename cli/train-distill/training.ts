/** What teacher and student have in common: running a recipe with progress, and saving model and record. */
import { cpus } from 'node:os';
import { join } from 'node:path';
import { Failure, InputError, RefusedError } from '../../common/errors.ts';
import { saveModel, type SaveOptions } from '../../checkpoints/index.ts';
import { exists } from '../../checkpoints/files.ts';
import { readRunRecord, RUN_RECORD_FILE, runRecordJson, type RunRecord } from '../../checkpoints/run-record.ts';
import type { Engine } from '../../engine/engine.ts';
import { parameterShapes } from '../../model/names.ts';
import type { Prepared } from '../../train/examples.ts';
import { KeptModels, MEASURED } from '../../train/kept.ts';
import { predict } from '../../train/predict.ts';
import type { Guide } from '../../train/objective.ts';
import type { Recipe } from '../../train/recipe/recipe.ts';
import { runRecipe, type RunOptions, type RunPause, type StageOutcome } from '../../train/recipe/run.ts';
import { type Checkpoint, firstDifference, KEPT, WorkFolder } from '../../train/work-folder.ts';
import { evaluationOf, measureRanges } from '../../train/report/measure.ts';
import { Diverged, stageSteps, type Model } from '../../train/stage.ts';
import { figure, resultLine } from '../ui/figures.ts';
import { Stopped, type Interruption } from '../ui/interrupt.ts';
import { progress, type Progress } from '../ui/progress.ts';
import { version } from '../ui/run.ts';
import type { TrainingFlags } from './options.ts';
import { onError } from '../ui/colour.ts';

/** Refuses a folder that exists before hours are spent, not after. One of several seeds may be done. */
export async function refuseExisting({ out, seeds }: TrainingFlags): Promise<void> {
  await new WorkFolder(`${out}.partial`).sweep();
  if (seeds === undefined && (await exists(out)))
    throw new RefusedError(`${out}: exists already`, 'Choose another folder, or remove this one.');
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
  /** Held while there is something to keep. */
  readonly signal: Interruption;
}

/** Six digits are enough to draw a curve and keep the record readable. */
const rounded = (values: Readonly<Record<string, number>>): Record<string, number> =>
  Object.fromEntries(Object.entries(values).map(([name, value]) => [name, Number(value.toPrecision(6))]));

const short = (x: number): string => (x === 0 || Math.abs(x) >= 1e-3 ? x.toFixed(4) : x.toExponential(2));

/** Most memory of this process so far, bytes. */
const peakRss = (): number => process.resourceUsage().maxRSS * 1024;

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
  { dev, engine, padId, flags, signal }: Training,
  model: Model,
): Promise<Pick<RunRecord, 'evaluation' | 'ranges'>> {
  if (dev?.targets === undefined) return {};
  const bar = progress('Examining the result on dev data', flags.quiet);
  const onProgress = (done: number, total: number): void => {
    const code = signal.code();
    // The checkpoint of the last step is there.
    if (code !== undefined) throw new Stopped('stopped after the last step; the same command goes on', code);
    bar.update(done, total);
  };
  try {
    const logits = await predict(model, dev.encodings, engine, { padId, onProgress });
    const evaluation = evaluationOf(logits, dev.targets, model.config.labels);
    const ranges = await measureRanges(model, dev.encodings, engine, { padId, onProgress });
    bar.succeed('Result examined on dev data');
    return { evaluation, ranges };
  } catch (error) {
    bar.stop();
    throw error;
  }
}

/** What the run is, as its record has it, and everything that decides its bits. */
const identityOf = ({ command, config, flags, recipe, train, dev, modelHash, engine }: Training) => ({
  command,
  config: { ...config, recipe: JSON.parse(JSON.stringify(recipe)), dtype: flags.dtype },
  dataHash: { train: train.hash, ...(dev === undefined ? {} : { dev: dev.hash }) },
  modelHash: { ...modelHash },
  threads: engine.threads,
  versions: versionsOf(engine),
});

/** Measures but losses, as a person reads them. */
const measures = (values: Readonly<Record<string, number>>): string =>
  Object.entries(values)
    .filter(([name]) => !name.endsWith('loss'))
    .map(([name, value]) => `${name} ${figure(name, value)}`)
    .join(' · ');

/** Lines about the stages as they go: loss, rate, time left, memory; of an ended one what it gave. */
function watch({ recipe, flags }: Training): {
  onStage: NonNullable<RunOptions['onStage']>;
  ended(outcome: StageOutcome): void;
  finish(): void;
  stop(): void;
} {
  let bar: Progress | undefined;
  let said = '';
  const finish = (): void => {
    bar?.succeed(`${said} · peak memory ${(peakRss() / 2 ** 20).toFixed(0)} MiB`);
    bar = undefined;
  };
  return {
    finish,
    stop: () => bar?.stop(),
    ended: ({ steps, chosenStep, metrics }) => {
      const measured = Object.keys(metrics).length === 0 ? '' : `: ${measures(metrics)}`;
      said += ` · kept step ${chosenStep} of ${steps}${measured}`;
    },
    onStage: (stage, index) => {
      finish();
      const now = progress(`Stage ${index + 1} of ${recipe.stages.length}: ${stage.name}`, flags.quiet);
      let measured = '';
      let loss: number | undefined;
      bar = now;
      said = `Stage ${stage.name}`;
      return {
        onStep: (done, total, values) => {
          // An average of the recent past reads better than single batches.
          loss = loss === undefined ? values['loss']! : 0.95 * loss + 0.05 * values['loss']!;
          said = `Stage ${stage.name}: loss ${short(loss)}`;
          now.update(done, total, `loss ${short(loss)} · rate ${values['rate']!.toExponential(1)}${measured}`);
        },
        onEvaluation: ({ values }) => {
          measured = ` · ${measures(values)}`;
        },
      };
    },
  };
}

/** Keeps the best checkpoints as --keep asks. @throws InputError without anything to tell the best by */
function keeper(t: Training, folder: string): ((pause: RunPause) => Promise<void>) | undefined {
  const { keep } = t.flags;
  if (keep === undefined) return undefined;
  if (t.dev?.targets === undefined) throw new InputError('--keep without labelled dev data', 'Give --dev with labels.');
  const kept = new KeptModels(folder, keep, t.recipe.stages.length);
  const { config } = t.model;
  const shapes = parameterShapes(config);
  return async ({ mark, index, stage, step, weights }) => {
    if (mark?.value === undefined) return;
    const measured = { stage: stage.name, step, value: mark.value, metrics: mark.metrics };
    await kept.offer(index, measured, (path, text) =>
      saveModel(path, {
        ...savedLike(t),
        config,
        // Without projections to a wider teacher.
        tensors: new Map([...weights()].filter(([name]) => shapes.has(name))),
        extra: { [MEASURED]: text },
        overwrite: true,
      }),
    );
  };
}

const savedLike = ({ rawConfig, tokenizerDir, flags }: Training): Omit<SaveOptions, 'config' | 'tensors'> => ({
  rawConfig,
  tokenizerDir,
  dtype: flags.dtype,
});

/**
 * The record of the same run if it is done. Whatever decides the bits must be the same.
 * @throws RefusedError naming the first difference
 */
async function finished(t: Training): Promise<RunRecord | undefined> {
  const { out } = t.flags;
  if (!(await exists(out))) return undefined;
  const record = await readRunRecord(join(out, RUN_RECORD_FILE));
  const identity = JSON.parse(JSON.stringify(identityOf(t))) as Record<string, unknown>;
  const made = Object.fromEntries(Object.keys(identity).map((name) => [name, record[name as keyof RunRecord]]));
  const difference = firstDifference(made, identity);
  if (difference === undefined) return record;
  throw new RefusedError(
    `${out} holds a run that is not this one: ${difference}`,
    'Give the same options and data, choose another --out, or remove that folder to train it anew.',
  );
}

const printed = (out: string, record: RunRecord): Record<string, unknown> => ({
  out,
  steps: record.curve.filter(({ values }) => 'loss' in values).length,
  seconds: Math.round(record.seconds * 10) / 10,
  ...record.metrics,
});

/**
 * Trains (nothing if the recipe has no stages left), saves, and returns what is printed.
 * @throws Stopped after a signal; Failure if training diverges or a file cannot be written
 */
export async function trainAndSave(t: Training): Promise<Record<string, unknown>> {
  const { flags, recipe, train, dev } = t;
  if (flags.seeds !== undefined) {
    const record = await finished(t);
    if (record !== undefined) return printed(flags.out, record);
  }
  for (const data of [train, dev]) {
    if (data !== undefined && data.truncated > 0 && !flags.quiet) {
      const many = `${data.truncated} of ${data.encodings.length}`;
      process.stderr.write(onError.yellow(`${data.source}: ${many} texts cut to ${recipe.maxLength} tokens\n`));
    }
  }
  if (recipe.stages.length > 0 && dev?.targets === undefined && !flags.quiet) {
    process.stderr.write(onError.dim('no labelled dev data (--dev): every stage gives the weights of its last step\n'));
  }
  const work = new WorkFolder(`${flags.out}.partial`);
  t.signal.hold();
  try {
    const tried = await exists(work.path);
    const last = await work.open(identityOf(t));
    if (!flags.quiet && last !== undefined) {
      process.stderr.write(onError.dim(`going on from stage ${last.run.stage + 1}, step ${last.run.at.step}\n`));
    } else if (!flags.quiet && tried) {
      const why = `${work.path}: the process before ended before its first checkpoint, so nothing was saved`;
      process.stderr.write(onError.yellow(`${why}; beginning anew\n`));
    }
    return printed(flags.out, await trainOrClean(work, last, t));
  } finally {
    t.signal.release();
  }
}

/** Trains in the folder, which goes if it has nothing to go on from. */
async function trainOrClean(work: WorkFolder, last: Checkpoint | undefined, t: Training): Promise<RunRecord> {
  try {
    return await trainIn(work, last, t);
  } catch (error) {
    // Without a checkpoint there is nothing to go on from.
    if (!(await work.hasCheckpoint())) await work.remove();
    else if (error instanceof Diverged) {
      throw new Failure(
        error.message,
        `${error.hint} ${work.path} keeps the last checkpoint; to train with other options choose another --out, or remove that folder.`,
      );
    }
    throw error;
  } finally {
    await work.close();
  }
}

async function trainIn(work: WorkFolder, last: Checkpoint | undefined, t: Training): Promise<RunRecord> {
  const { flags, recipe, signal } = t;
  const started = last?.started ?? t.began.toISOString();
  const seconds = (): number => (last?.seconds ?? 0) + (Date.now() - t.began.getTime()) / 1000;
  const peakRssBytes = (): number => Math.max(last?.peakRssBytes ?? 0, peakRss());
  const keep = keeper(t, join(work.path, KEPT));
  const shown = watch(t);
  let saved = Date.now();
  const onPause = async (pause: RunPause): Promise<void> => {
    await keep?.(pause);
    if (pause.ended) shown.ended(pause.progress().outcomes.at(-1)!);
    const stopping = signal.code() !== undefined;
    if (pause.mark !== undefined || stopping || Date.now() - saved >= CHECKPOINT_EVERY) {
      await work.save({ run: pause.progress(), started, seconds: seconds(), peakRssBytes: peakRssBytes() });
      saved = Date.now();
    }
    if (stopping) {
      const where = `step ${pause.step} of stage ${pause.stage.name}`;
      throw new Stopped(`stopped at ${where}; the same command goes on`, signal.code()!);
    }
  };
  const result = await runRecipe({ ...t, from: last?.run, onPause, onStage: shown.onStage }).finally(shown.stop);
  shown.finish();
  const examined = await examine(t, result);
  const record: RunRecord = {
    format: 'run-record',
    version: 1,
    started,
    seconds: seconds(),
    ...identityOf(t),
    seed: recipe.seed,
    curve: result.curve.map((point) => ({ ...point, values: rounded(point.values) })),
    outcomes: result.outcomes.map(({ name, steps, chosenStep, metrics }, i) => ({
      stage: name,
      steps,
      chosenStep,
      stoppedEarly: steps < stageSteps(recipe.stages[i]!, t.train.encodings.length),
      metrics: { ...metrics },
    })),
    peakRssBytes: peakRssBytes(),
    metrics: { ...result.metrics },
    ...examined,
  };
  await work.finish(flags.out, (folder) =>
    saveModel(folder, {
      ...savedLike(t),
      config: result.config,
      tensors: result.tensors,
      extra: { [RUN_RECORD_FILE]: runRecordJson(record) },
    }),
  );
  return record;
}

/** The result: one JSON object, or lines a person reads. */
export function printResult(result: Readonly<Record<string, unknown>>, json: boolean): void {
  if (json) process.stdout.write(`${JSON.stringify(result)}\n`);
  else {
    for (const [name, value] of Object.entries(result)) {
      const text = typeof value === 'number' ? figure(name, value) : Array.isArray(value) ? value.join(', ') : String(value); // prettier-ignore
      process.stdout.write(resultLine(name, text));
    }
  }
}
