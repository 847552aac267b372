/** Recipes: what is trained in which stages, as readable objects or JSON files. */
import { z } from 'zod';
import { InputError } from '../../common/errors.ts';
import { taskInfo } from '../../data/tasks.ts';
import { OPTIMIZER_NAMES } from '../../engine/optimizer.ts';
import { LAYER_CONVENTIONS } from '../loss/layers.ts';
import { SOFT_CONVENTIONS } from '../loss/soft-cross-entropy.ts';
import { METRICS, type MetricName } from '../metrics.ts';
import { DECAYS } from '../schedule.ts';

const positive = z.number('must be a number').positive('must be above 0');
const count = z.int('must be a whole number').min(1, 'must be at least 1');
const fraction = z.number('must be a number').min(0, 'must be at least 0').max(1, 'must be at most 1');
const weight = z.number('must be a number').min(0, 'must be at least 0').default(0);

/** Weights of the losses in their sum; see `train/loss/`. */
const LOSSES = z
  .strictObject({
    /** Cross-entropy with the labels; mean squared error for regression. */
    labels: weight,
    /** Soft cross-entropy with the teacher's logits; mean squared error for regression. */
    logits: weight,
    /** MSE of hidden states, embedding output included. */
    hidden: weight,
    /** MSE of attention scores; see `centredScores`. */
    scores: weight,
    /** Keeps the intervals narrow on which the secure protocols must be exact (`loss/range-penalty.ts`). */
    ranges: weight,
  })
  .refine((w) => w.labels + w.logits + w.hidden + w.scores > 0, 'at least one loss must have a weight');

const STAGE = z
  .strictObject({
    name: z.string().min(1),
    losses: LOSSES,
    /** Optimiser steps; else `epochs` (fractions allowed) decides. */
    steps: count.optional(),
    epochs: positive.optional(),
    /** Examples of an optimiser step. */
    batchSize: count.default(32),
    /** Parts in which a step's batch is computed, one after the other, for less memory; the result is the same up to rounding. */
    accumulate: count.default(1),
    learningRate: positive,
    /** Share of the steps over which the rate rises from 0. */
    warmup: fraction.default(0.1),
    decay: z.enum(DECAYS).default('linear'),
    /** `bertadam` is that of the published distillation code, see `engine/optimizer.ts`. */
    optimizer: z.enum(OPTIMIZER_NAMES).default('adamw'),
    weightDecay: z.number().min(0).default(0.01),
    /** Gradients are clipped to this norm: the global one, for `bertadam` that of each tensor. */
    maxNorm: positive.default(1),
    /** Replaces the rates of config.json while training; absent: those. The teacher never drops. */
    dropout: z.number().min(0).lt(1).optional(),
    /** Beginnings of parameter names that stay as they are, e.g. bert.embeddings.word_embeddings. */
    frozen: z.array(z.string().min(1)).default([]),
    temperature: positive.default(1),
    softConvention: z.enum(SOFT_CONVENTIONS).default('standard'),
    layerConvention: z.enum(LAYER_CONVENTIONS).default('mean_real'),
    /** Compare scores minus their row mean; absent: where the student's normaliser is row-centred 2Quad. */
    centredScores: z.boolean('must be true or false').optional(),
    /** Which weights the stage gives: the best on the dev set among evaluations, or the last. */
    select: z.enum(['best', 'last']).default('best'),
    /** Evaluations on the dev set, evenly spread, the last after the last step. */
    evaluations: count.default(1),
    /** The stage ends after so many evaluations in a row without a higher metric; absent: never early. */
    patience: count.optional(),
  })
  .refine((s) => (s.steps === undefined) !== (s.epochs === undefined), 'give either steps or epochs');

const RECIPE = z.strictObject({
  name: z.string().min(1),
  /** What it is for, what it costs, what to expect. */
  description: z.string().default(''),
  for: z.enum(['teacher', 'student']),
  seed: z.int('must be a whole number').min(0, 'must be at least 0').default(1),
  /** Longer texts are cut, [CLS] and [SEP] included. */
  maxLength: z.int('must be a whole number').min(2, 'must be at least 2').default(128),
  /** Training texts from which the per-head shifts of a student are chosen. */
  shiftTexts: count.default(64),
  /** Metric of the best checkpoint; absent: accuracy, for regression Pearson's correlation. */
  metric: z.enum(Object.keys(METRICS) as [MetricName, ...MetricName[]]).optional(),
  /**
   * Weights of the classes in the loss `labels`: `balanced`, by which all classes count alike (`data/labels.ts`), or one for
   * each class name; absent: every example counts alike.
   */
  classWeights: z.union([z.literal('balanced'), z.record(z.string(), positive)]).optional(),
  stages: z.array(STAGE).min(1, 'must have a stage'),
});

/** What a recipe says otherwise for one task: fields of the recipe, and of its stages by position. */
const CHANGE = z.strictObject({
  maxLength: z.int('must be a whole number').optional(),
  metric: z.string().optional(),
  stages: z.array(z.record(z.string(), z.unknown())).default([]),
});
const TASKS = z.looseObject({ tasks: z.record(z.string(), CHANGE).default({}) });

export type Recipe = z.infer<typeof RECIPE>;
export type Stage = z.infer<typeof STAGE>;
/** As written: fields with a default may be absent, and tasks may change some. */
export type RecipeInput = z.input<typeof RECIPE> & { readonly tasks?: Record<string, z.input<typeof CHANGE>> };

function check<T>(schema: z.ZodType<T>, json: unknown, where: string): T {
  const parsed = schema.safeParse(json);
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0]!;
  throw new InputError(
    `${where}: ${issue.path.join('.') || 'recipe'}: ${issue.message}`,
    'Correct the field; train/recipes/ holds whole recipes.',
  );
}

/** A stage with changed fields; its length is in steps or in epochs, so either replaces the other. */
function changedStage(stage: unknown, change: Readonly<Record<string, unknown>>): unknown {
  const { steps, epochs, ...rest } = stage as Record<string, unknown>;
  const length = 'steps' in change || 'epochs' in change ? {} : { steps, epochs };
  return { ...rest, ...length, ...change };
}

/**
 * The recipe of a JSON value, with what its `tasks` say of `task` put in; every task's is checked.
 * @throws InputError naming `where` and the field, or a task that does not exist
 */
export function parseRecipe(json: unknown, where: string, task?: string | undefined): Recipe {
  const { tasks, ...written } = check(TASKS, json, where);
  const recipe = check(RECIPE, written, where);
  const wanted = task === undefined ? undefined : taskInfo(task).name;
  let found = recipe;
  for (const [name, { stages, ...fields }] of Object.entries(tasks)) {
    const at = `${where}: tasks.${name}`;
    if (stages.length > recipe.stages.length) {
      throw new InputError(`${at}: ${stages.length} stages of ${recipe.stages.length}`, 'Leave the further ones out.');
    }
    const whole = (written['stages'] as unknown[]).map((stage, i) => changedStage(stage, stages[i] ?? {}));
    const changed = check(RECIPE, { ...written, ...fields, stages: whole }, at);
    if (taskInfo(name).name === wanted) found = changed;
  }
  return found;
}

/** What a command line may change in a recipe. A field given for all stages changes each. */
export interface Overrides {
  readonly seed?: number | undefined;
  readonly maxLength?: number | undefined;
  readonly metric?: string | undefined;
  /** The task's own metric, for recipes that name none. */
  readonly taskMetric?: string | undefined;
  /** Of stage 1, 2, …; 0 steps leave the stage out. */
  readonly stageSteps?: readonly (number | undefined)[];
  readonly stageLearningRate?: readonly (number | undefined)[];
  readonly steps?: number | undefined;
  readonly epochs?: number | undefined;
  readonly learningRate?: number | undefined;
  readonly batchSize?: number | undefined;
  readonly dropout?: number | undefined;
  readonly frozen?: readonly string[] | undefined;
  readonly accumulate?: number | undefined;
  readonly evaluations?: number | undefined;
  readonly patience?: number | undefined;
  readonly classWeights?: Recipe['classWeights'];
}

const metricOf = (metric: string | undefined): { metric?: string } => (metric === undefined ? {} : { metric });

/** @throws InputError if the result is no recipe, or a number for one stage is given to a recipe of several */
export function overrideRecipe(recipe: Recipe, o: Overrides): Recipe {
  const many = recipe.stages.length > 1;
  for (const [flag, value] of [
    ['--steps', o.steps],
    ['--epochs', o.epochs],
  ] as const) {
    if (many && value !== undefined) {
      throw new InputError(
        `${flag} with recipe ${recipe.name}, which has ${recipe.stages.length} stages`,
        'Give --stage1-steps and --stage2-steps.',
      );
    }
  }
  const given = [...(o.stageSteps ?? []), ...(o.stageLearningRate ?? [])].filter((v) => v !== undefined);
  const beyond = [
    ...(o.stageSteps ?? []).slice(recipe.stages.length),
    ...(o.stageLearningRate ?? []).slice(recipe.stages.length),
  ];
  if (given.length > 0 && beyond.some((v) => v !== undefined)) {
    throw new InputError(
      `recipe ${recipe.name} has ${recipe.stages.length === 1 ? 'one stage' : `${recipe.stages.length} stages`}`,
      'Leave the option of the further stage out, or choose a recipe that has it.',
    );
  }
  const stages = recipe.stages.flatMap((stage, i) => {
    const steps = o.stageSteps?.[i] ?? o.steps;
    if (o.stageSteps?.[i] === 0) return [];
    const { steps: recipeSteps, epochs: recipeEpochs, ...rest } = stage;
    const length =
      steps !== undefined
        ? { steps }
        : o.epochs !== undefined
          ? { epochs: o.epochs }
          : recipeSteps !== undefined
            ? { steps: recipeSteps }
            : { epochs: recipeEpochs };
    return [
      {
        ...rest,
        ...length,
        learningRate: o.stageLearningRate?.[i] ?? o.learningRate ?? stage.learningRate,
        batchSize: o.batchSize ?? stage.batchSize,
        ...(o.dropout === undefined ? {} : { dropout: o.dropout }),
        frozen: o.frozen ?? stage.frozen,
        accumulate: o.accumulate ?? stage.accumulate,
        evaluations: o.evaluations ?? stage.evaluations,
        patience: o.patience ?? stage.patience,
      },
    ];
  });
  const changed = {
    ...recipe,
    seed: o.seed ?? recipe.seed,
    maxLength: o.maxLength ?? recipe.maxLength,
    classWeights: o.classWeights ?? recipe.classWeights,
    ...metricOf(o.metric ?? recipe.metric ?? o.taskMetric),
    stages,
  };
  return parseRecipe(changed, `recipe ${recipe.name} with the options given`);
}
