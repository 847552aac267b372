/** Options that subcommands share. */
import type { Command } from 'commander';
import { readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { InputError } from '../../common/errors.ts';
import { readExamples, type Dataset } from '../../data/read.ts';
import { GLUE_NAMES, loadTaskPart, TASK_NAMES, taskInfo } from '../../data/tasks.ts';
import { ENGINE_NAMES } from '../../engine/select.ts';
import type { Overrides, Recipe } from '../../train/recipe/recipe.ts';
import { builtInRecipes } from '../../train/recipe/recipes.ts';

/** A parser for commander: a number within bounds, else an InputError that names the option. */
export const numeric =
  (flag: string, { whole = false, min = 0, above = false }: { whole?: boolean; min?: number; above?: boolean } = {}) =>
  (text: string): number => {
    const value = Number(text);
    if (
      text.trim() !== '' &&
      Number.isFinite(value) &&
      (!whole || Number.isInteger(value)) &&
      (above ? value > min : value >= min)
    )
      return value;
    const kind = `a ${whole ? 'whole ' : ''}number ${above ? 'above' : 'of at least'} ${min}`;
    throw new InputError(`${flag} is '${text}'`, `Give ${kind}.`);
  };

/** `balanced`, or a JSON file with a weight for each class name. */
function classWeightsOf(text: string): NonNullable<Recipe['classWeights']> {
  if (text === 'balanced') return text;
  const hint = 'Give balanced, or a JSON file such as {"rare": 5, "common": 1}.';
  let json: unknown;
  try {
    json = JSON.parse(readFileSync(text, 'utf8'));
  } catch (error) {
    throw new InputError(`--class-weights ${text}: cannot be read (${(error as Error).message})`, hint);
  }
  if (typeof json !== 'object' || json === null || Array.isArray(json)) {
    throw new InputError(`--class-weights ${text}: no JSON object`, hint);
  }
  for (const [name, weight] of Object.entries(json)) {
    if (typeof weight === 'number' && weight > 0 && Number.isFinite(weight)) continue;
    throw new InputError(`--class-weights ${text}: '${name}' is ${JSON.stringify(weight)}`, 'Give numbers above 0.');
  }
  return json as Record<string, number>;
}

/** Two or more different seeds. */
function seedList(text: string): number[] {
  const seeds = list(text).map(numeric('--seeds', { whole: true }));
  if (seeds.length > 1 && new Set(seeds).size === seeds.length) return seeds;
  throw new InputError(`--seeds is '${text}'`, 'Give two or more different numbers, such as 1,2,3; for one, --seed.');
}

const list = (text: string): string[] => text.split(',').map((part) => part.trim());

export interface ColumnFlags {
  readonly textColumn?: string;
  readonly pairColumn?: string;
  readonly labelColumn?: string;
}

export interface TrainingFlags extends ColumnFlags {
  readonly task?: string;
  readonly glue?: string;
  readonly train?: string;
  readonly dev?: string;
  readonly out: string;
  readonly dtype: 'F16' | 'F32';
  readonly tokenizer?: string;
  readonly recipe: string;
  readonly seed?: number;
  readonly seeds?: readonly number[];
  readonly engine: string;
  readonly threads: number;
  readonly steps?: number;
  readonly epochs?: number;
  readonly lr?: number;
  readonly batch?: number;
  readonly maxLength?: number;
  readonly dropout?: number;
  readonly freeze?: string[];
  readonly metric?: string;
  readonly evaluations?: number;
  readonly patience?: number;
  readonly accumulate?: number;
  readonly keep?: number;
  readonly classWeights?: NonNullable<Recipe['classWeights']>;
  readonly stage1Steps?: number;
  readonly stage2Steps?: number;
  readonly stage1Lr?: number;
  readonly stage2Lr?: number;
  readonly json: boolean;
  readonly quiet: boolean;
}

export const addColumns = (command: Command): Command =>
  command
    .option('--text-column <name>', 'column of the text (TSV, CSV, JSONL, Parquet)')
    .option('--pair-column <name>', 'column of the second text of a pair')
    .option('--label-column <name>', 'column of the label');

export const addEngine = (command: Command): Command =>
  command
    .option(
      '--engine <name>',
      `${ENGINE_NAMES.join(' or ')} (TensorFlow.js, which you install beside)`,
      ENGINE_NAMES[0],
    )
    .option(
      '--threads <n>',
      'threads of the engine; with the seed they decide the bits',
      numeric('--threads', { whole: true, min: 1 }),
      Math.min(availableParallelism(), 8),
    );

export const addOutput = (command: Command): Command =>
  command
    .option('--json', 'print the result as one JSON object on standard output', false)
    .option('--quiet', 'no progress on standard error', false);

/** Help of the options that name a task. */
export const TASK_HELP = `bundled data: ${TASK_NAMES.join(', ')}; with --glue: ${GLUE_NAMES.join(', ')}`;
export const GLUE_HELP = 'folder of the official GLUE download, which holds CoLA/, SST-2/, …';

/** Exit codes of every command, for the help. */
export const EXIT_CODES = `
Exit codes: 0 done, 2 bad input or file, 3 refused (a folder that exists, another run's work), 1 anything else; stopped by a
signal: 130 or 143, and a training that was stopped goes on with the same command.
`;

/** What options that change a recipe say of the value they change, with that of the recipe that runs if none is named. */
function defaults(
  name: string,
): Record<
  | 'seed'
  | 'steps'
  | 'epochs'
  | 'lr'
  | 'batch'
  | 'maxLength'
  | 'dropout'
  | 'freeze'
  | 'evaluations'
  | 'patience'
  | 'accumulate',
  string
> {
  // prettier-ignore
  const { seed, maxLength, stages } = builtInRecipes().find((recipe) => recipe.name === name)!;
  const said = (value: string): string => `(default: the recipe's; ${name}: ${value})`;
  const ofStages = (value: (stage: Recipe['stages'][number]) => string | number): string =>
    said([...new Set(stages.map(value))].join(', then '));
  const length = ofStages((s) => (s.steps === undefined ? `${s.epochs} epochs` : `${s.steps} steps`));
  return {
    seed: said(String(seed)),
    steps: length,
    epochs: length,
    lr: ofStages((s) => s.learningRate.toExponential().replace('e+0', '')),
    batch: ofStages((s) => s.batchSize),
    maxLength: said(String(maxLength)),
    dropout: ofStages((s) => s.dropout ?? 'those of config.json'),
    freeze: ofStages((s) => s.frozen.join(',') || 'none'),
    evaluations: ofStages((s) => s.evaluations),
    patience: ofStages((s) => s.patience ?? 'no early end'),
    accumulate: ofStages((s) => s.accumulate),
  };
}

/** Options of teacher and student. */
export function addTraining(command: Command, recipe: string): Command {
  const of = defaults(recipe);
  command
    .option('--task <name>', TASK_HELP)
    .option('--glue <dir>', GLUE_HELP)
    .option('--train <file>', 'training data: .tsv, .csv, .jsonl, .parquet or .txt')
    .option(
      '--dev <file>',
      'labelled data on which the best checkpoint is chosen; without it every stage gives its last step',
    );
  addColumns(command)
    .requiredOption('--out <dir>', 'new folder for the model, in Hugging Face format with run.json')
    .option('--dtype <dtype>', 'numbers of the weight file: F16 or F32', 'F32')
    .option('--tokenizer <dir>', 'tokenizer files, if the model folder has none')
    .option('--recipe <name|file>', 'built-in recipe or JSON file', recipe)
    .option('--seed <n>', `names every random choice ${of.seed}`, numeric('--seed', { whole: true }))
    .option('--seeds <list>', 'a run for each, such as 1,2,3, in OUT/seed-1, …; mean and deviation', seedList)
    .option(
      '--steps <n>',
      `optimiser steps, for recipes of one stage ${of.steps}`,
      numeric('--steps', { whole: true, min: 1 }),
    )
    .option(
      '--epochs <x>',
      `passes over the data, for recipes of one stage ${of.epochs}`,
      numeric('--epochs', { above: true }),
    )
    .option('--lr <x>', `peak learning rate of every stage ${of.lr}`, numeric('--lr', { above: true }))
    .option('--batch <n>', `examples per step ${of.batch}`, numeric('--batch', { whole: true, min: 1 }))
    .option(
      '--max-length <n>',
      `cut texts of more tokens ${of.maxLength}`,
      numeric('--max-length', { whole: true, min: 2 }),
    )
    .option('--dropout <p>', `dropout rate ${of.dropout}`, numeric('--dropout'))
    .option('--freeze <names>', `beginnings of parameter names not to train, separated by commas ${of.freeze}`, list)
    .option(
      '--evaluations <n>',
      `evaluations on dev data per stage ${of.evaluations}`,
      numeric('--evaluations', { whole: true, min: 1 }),
    )
    .option(
      '--patience <n>',
      `end a stage after so many evaluations without a better one ${of.patience}`,
      numeric('--patience', { whole: true, min: 1 }),
    )
    .option(
      '--accumulate <k>',
      `compute each step’s batch in k parts, for less memory ${of.accumulate}`,
      numeric('--accumulate', { whole: true, min: 1 }),
    )
    .option(
      '--class-weights <how>',
      'balanced: all classes count alike in the loss; or a JSON file {class: weight}',
      classWeightsOf,
    )
    .option(
      '--keep <n>',
      'keep the n best checkpoints as model folders in OUT/checkpoints',
      numeric('--keep', { whole: true, min: 1 }),
    )
    .option(
      '--metric <name>',
      "metric of the best checkpoint: accuracy, f1, matthews, pearson, spearman (default: the recipe's, else the task's, else accuracy, for scores pearson)",
    );
  return command;
}

export const overrides = (flags: TrainingFlags): Overrides => ({
  seed: flags.seed,
  maxLength: flags.maxLength,
  metric: flags.metric,
  taskMetric: flags.task === undefined ? undefined : taskInfo(flags.task).metrics[0],
  stageSteps: [flags.stage1Steps, flags.stage2Steps],
  stageLearningRate: [flags.stage1Lr, flags.stage2Lr],
  steps: flags.steps,
  epochs: flags.epochs,
  learningRate: flags.lr,
  batchSize: flags.batch,
  dropout: flags.dropout,
  frozen: flags.freeze,
  evaluations: flags.evaluations,
  patience: flags.patience,
  accumulate: flags.accumulate,
  classWeights: flags.classWeights,
});

export interface TrainingData {
  readonly train: Dataset;
  readonly dev: Dataset | undefined;
  /** Class names if the task has them. */
  readonly labels: readonly string[] | undefined;
  readonly regression: boolean;
}

/** A task's data, or files in place of its parts, or files alone. @throws InputError if none is given or readable */
export async function trainingData(flags: TrainingFlags & { readonly regression?: boolean }): Promise<TrainingData> {
  if (flags.task === undefined && flags.train === undefined) {
    throw new InputError('give --task or --train', `Tasks: ${[...TASK_NAMES, ...GLUE_NAMES].join(', ')}.`);
  }
  if (flags.task !== undefined) {
    const { labels, regression } = taskInfo(flags.task);
    if (flags.regression === true && !regression) {
      throw new InputError(`--regression with --task ${flags.task}`, 'The task has classes.');
    }
    const options = { folder: flags.glue };
    const { task } = flags;
    // A file given takes the place of that part of the task.
    const part = (name: 'train' | 'dev', file: string | undefined): Promise<Dataset> =>
      file === undefined ? loadTaskPart(task, name, options) : readExamples(file, flags);
    return { train: await part('train', flags.train), dev: await part('dev', flags.dev), labels, regression };
  }
  const train = await readExamples(flags.train!, flags);
  const dev = flags.dev === undefined ? undefined : await readExamples(flags.dev, flags);
  return { train, dev, labels: undefined, regression: flags.regression === true };
}
