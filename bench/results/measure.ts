/** Makes what is missing: trains, evaluates, exports and asks by the product's own commands, and appends a line for each. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { exists, sha256File } from '../../checkpoints/files.ts';
import { readRunRecord, RUN_RECORD_FILE, type RunRecord } from '../../checkpoints/run-record.ts';
import { InputError, RefusedError } from '../../common/errors.ts';
import { taskInfo } from '../../data/tasks.ts';
import { packageFile } from '../../cli/ui/package.ts';
import { real, runJson, shown, type Places } from './commands.ts';
import { appendLine, readLines, thisMachine, type Line } from './lines.ts';
import { otherRecipe, recipeOf } from './recipe.ts';
import { calibrationFlags, evaluationFlags, keyOf, splitOf, type Run } from './rows.ts';

export interface MeasureOptions {
  readonly places: Places;
  /** The file of lines. */
  readonly results: string;
  readonly threads: number;
  /** No progress. */
  readonly quiet: boolean;
}

const folderOnDisk = (run: Run, places: Places): string =>
  run.folder.startsWith('$') ? real(run.folder, places) : packageFile(run.folder);

/** The record of a run that is complete: its folder appears whole, and with it run.json. */
async function recordOf(run: Run, places: Places): Promise<RunRecord | undefined> {
  const folder = folderOnDisk(run, places);
  const file = join(folder, RUN_RECORD_FILE);
  return (await exists(file)) ? readRunRecord(file) : undefined;
}

/** @throws RefusedError if the folder holds another run than the row asks for: its figures would stand in the wrong row */
async function checkRecord(run: Run, record: RunRecord): Promise<void> {
  const named = (value: unknown): string => (typeof value === 'string' ? taskInfo(value).name : '');
  const wrong =
    record.command !== (run.variant === 'teacher' ? 'teacher' : 'student')
      ? `a ${record.command}`
      : record.seed !== run.seed
        ? `seed ${record.seed}`
        : run.preset !== undefined && record.config['preset'] !== run.preset
          ? `preset ${String(record.config['preset'])}`
          : named(record.config['task']) !== taskInfo(run.task).name
            ? `task ${String(record.config['task'])}`
            : undefined;
  if (wrong !== undefined)
    throw new RefusedError(`${run.folder} is a run of ${wrong}`, 'Move it to the folder of its own row, or remove it.');
  const other = run.command === undefined ? undefined : await otherRecipe(record, run.command);
  if (other !== undefined)
    throw new RefusedError(`${run.folder} was not made by its row: ${other}`, 'Correct the flags of the row, or train it again.'); // prettier-ignore
}

const official = (task: string, from: Readonly<Record<string, unknown>>): Record<string, number> =>
  Object.fromEntries(taskInfo(task).metrics.map((name) => [name, from[name] as number]));

/** A model that is there: a run and when it began, or a brought folder and the digest of its weights. */
export interface Trained {
  readonly run: Run;
  readonly id: string;
}

/** A brought model; undefined if nobody said where it is. @throws InputError if the folder has no weights */
async function broughtModel(run: Run, places: Places): Promise<Trained | undefined> {
  if (run.folder.startsWith('$BROUGHT') && places.BROUGHT === undefined) return undefined;
  const file = join(folderOnDisk(run, places), 'model.safetensors');
  if (!(await exists(file))) throw new InputError(`${file}: no such file`, 'Give the folder of the brought models with --brought.'); // prettier-ignore
  return { run, id: `weights ${await sha256File(file)}` };
}

/** Trains the run unless its folder is complete, and evaluates it unless the file has its line. */
export async function measureModel(run: Run, train: boolean, options: MeasureOptions): Promise<Trained | undefined> {
  const { places, results, threads } = options;
  if (run.brought) return broughtModel(run, places);
  let record = await recordOf(run, places);
  if (record === undefined) {
    if (!train || run.command === undefined) return undefined;
    await runJson(run.command, options);
    record = (await recordOf(run, places))!;
  }
  const { task, variant, preset, name, seed, folder, command } = run;
  const known = (await readLines(results)).some(
    (line) => line.kind === 'model' && keyOf(line) === keyOf(run) && line.run === record.started,
  );
  if (known) return { run, id: record.started };
  await checkRecord(run, record);
  const measured = await runJson(
    ['train-distill', 'evaluate', folder, ...evaluationFlags(task), '--threads', String(threads)],
    options,
  );
  const machine = await thisMachine();
  await appendLine(results, {
    kind: 'model',
    task,
    variant,
    preset,
    name,
    seed,
    run: record.started,
    command: command === undefined ? undefined : shown(command),
    recipe: recipeOf(record),
    split: splitOf(task),
    examples: measured['examples'] as number,
    metrics: official(task, measured),
    score: measured['score'] as number,
    seconds: record.seconds,
    threads: record.threads,
    // The training's processor; the rest is of the machine that evaluates, which is the same one but for copied runs.
    machine: { ...machine, processor: record.versions['processor'] ?? machine.processor },
  });
  return { run, id: record.started };
}

export interface SecureOptions extends MeasureOptions {
  /** Texts asked of the three processes; the interpreter takes all. */
  readonly texts: number;
  readonly plan: string;
  readonly calibrateSize: number;
  readonly maxLength: number | undefined;
  /** The interpreter alone. */
  readonly clearOnly: boolean;
}

/** Exports the student once, then interprets all texts and asks some in secret, whatever of the two has no line yet. */
export async function measureSecured({ run, id }: Trained, options: SecureOptions): Promise<void> {
  const { results, threads, plan } = options;
  const { task, variant, preset, name, seed } = run;
  const lines = await readLines(results);
  const has = (path: string): boolean =>
    lines.some(
      (line) =>
        line.kind === 'secured' &&
        keyOf(line) === keyOf(run) &&
        line.run === id &&
        line.path === path &&
        line.plan === plan &&
        (path === 'clear' || line.examples >= Math.min(options.texts, everything(line.task, lines))),
    );
  const paths = options.clearOnly ? (['clear'] as const) : (['clear', 'secured'] as const);
  const missing = paths.filter((path) => !has(path));
  if (missing.length === 0) return;
  const work = await mkdtemp(join(tmpdir(), 'bench-results-'));
  const within = { places: { ...options.places, WORK: work }, quiet: options.quiet };
  try {
    const [bundles, float] = ['$WORK/bundles', '$WORK/float.jsonl'];
    const exporting = [
      ...['export-shares', run.folder, ...calibrationFlags(task), '--calibrate-size', String(options.calibrateSize)],
      ...(options.maxLength === undefined ? [] : ['--max-length', String(options.maxLength)]),
      ...['--plan', plan, '--threads', String(threads), '--out', bundles],
    ];
    const exported = await runJson(exporting, within);
    const predicting = [
      ...['train-distill', 'evaluate', run.folder, ...evaluationFlags(task)],
      // texts longer than any calibrated one are cut; the float model is asked the same
      ...['--max-length', String(exported['longest'])],
      ...['--threads', String(threads), '--predictions', float],
    ];
    await runJson(predicting, within);
    for (const path of missing) {
      const evaluating = [
        ...['secure-infer', 'evaluate', bundles, ...evaluationFlags(task), '--truncate', '--against', float],
        ...(path === 'clear' ? ['--clear'] : ['--examples', String(options.texts)]),
      ];
      const measured = await runJson(evaluating, within);
      const machine = await thisMachine();
      const number = (field: string): number => measured[field] as number;
      const line: Line = {
        kind: 'secured',
        ...{ task, variant, preset, name, seed, run: id, path, plan },
        commands: [exporting, predicting, evaluating].map(shown),
        split: splitOf(task),
        examples: number('examples'),
        withheld: number('withheld'),
        metrics: official(task, measured),
        score: number('score'),
        float: official(task, measured['float'] as Record<string, unknown>),
        agreement: measured['agreement'] as number | undefined,
        maxLogitError: number('maxLogitError'),
        meanLogitError: number('meanLogitError'),
        seconds: number('seconds'),
        rounds: measured['meanRounds'] as number | undefined,
        sentBytes: measured['meanSentBytes'] as number | undefined,
        machine: { ...machine, kernels: measured['kernels'] as string },
      };
      await appendLine(results, line);
    }
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}

/** Examples of a task's part, by any line of a model of it. */
const everything = (task: string, lines: readonly Line[]): number =>
  lines.reduce((most, line) => (line.kind !== 'speed' && line.task === task ? Math.max(most, line.examples) : most), 0);
