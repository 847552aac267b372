/** Runs a recipe: its stages one after the other, each from the weights the last one gave. */
import { InputError } from '../../common/errors.ts';
import { classWeights } from '../../data/labels.ts';
import type { Engine } from '../../engine/engine.ts';
import type { ModelConfig } from '../../model/config.ts';
import { parameterShapes } from '../../model/names.ts';
import type { Prepared } from '../examples.ts';
import type { Guide } from '../objective.ts';
import { runStage, stageStart, type CurvePoint, type Model, type Pause, type StageOptions, type StageProgress } from '../stage.ts'; // prettier-ignore
import type { Recipe, Stage } from './recipe.ts';

/** What became of a stage. */
export interface StageOutcome {
  readonly name: string;
  /** Steps done: fewer than planned if patience ran out. */
  readonly steps: number;
  /** Step whose weights were kept. */
  readonly chosenStep: number;
  /** Of these weights on dev data. */
  readonly metrics: Readonly<Record<string, number>>;
}

/** Where a run stands: between two steps of a stage, or before a stage, or (`stage` = number of stages) at its end. */
export interface RunProgress {
  readonly stage: number;
  /** Points of the stages before. */
  readonly curve: readonly CurvePoint[];
  readonly outcomes: readonly StageOutcome[];
  readonly at: StageProgress;
}

/** A pause in a run: as in a stage, also at the end of each. */
export interface RunPause extends Pick<Pause, 'step' | 'mark' | 'weights'> {
  readonly stage: Stage;
  readonly index: number;
  readonly ended: boolean;
  progress(): RunProgress;
}

export interface RunOptions {
  readonly recipe: Recipe;
  readonly model: Model;
  readonly teacher?: (Model & Guide) | undefined;
  readonly train: Prepared;
  readonly dev?: Prepared | undefined;
  readonly padId: number;
  readonly engine: Engine;
  /** Where an interrupted run of the same options stood. */
  readonly from?: RunProgress | undefined;
  readonly onStage?: (stage: Stage, index: number) => Pick<StageOptions, 'onStep' | 'onEvaluation'>;
  /** Called after every step and after every stage; what it throws stops the run. */
  readonly onPause?: (pause: RunPause) => Promise<void>;
}

export interface RunResult extends Model {
  readonly curve: readonly CurvePoint[];
  readonly outcomes: readonly StageOutcome[];
  /** Metrics by name, with `dev.` before it, of the weights given; empty without labelled dev data. */
  readonly metrics: Readonly<Record<string, number>>;
}

/**
 * Weights in the order of the model's classes; undefined: all alike.
 * @throws InputError for regression, a class without example or weight, or a name that is no class
 */
export function resolveClassWeights(recipe: Recipe, config: ModelConfig, train: Prepared): number[] | undefined {
  const { classWeights: wanted } = recipe;
  if (wanted === undefined) return undefined;
  if (config.num_labels === 1) throw new InputError('class weights with regression', 'Leave --class-weights out.');
  if (recipe.stages.length > 0 && recipe.stages.every(({ losses }) => losses.labels === 0)) {
    throw new InputError(
      `class weights with recipe ${recipe.name}, which does not learn from labels`,
      'Leave --class-weights out, or choose a recipe with the loss `labels`.',
    );
  }
  if (wanted === 'balanced')
    return train.targets === undefined ? undefined : classWeights(train.targets, config.labels);
  const classes = `The classes are: ${config.labels.join(', ')}.`;
  const unknown = Object.keys(wanted).find((name) => !config.labels.includes(name));
  if (unknown !== undefined) throw new InputError(`class weights: '${unknown}' is none of the classes`, classes);
  return config.labels.map((name) => {
    if (!Object.hasOwn(wanted, name)) throw new InputError(`class weights: none for '${name}'`, classes);
    return wanted[name]!;
  });
}

/** @throws InputError if labels or a teacher are needed and absent; Failure if training diverges */
export async function runRecipe(options: RunOptions): Promise<RunResult> {
  const { recipe, train, onPause } = options;
  const { config } = options.model;
  for (const { name, losses } of recipe.stages) {
    if (losses.labels > 0 && train.targets === undefined) {
      throw new InputError(`stage ${name} learns from labels, and ${train.source} has none`, 'Give labelled data.');
    }
    if (losses.logits + losses.hidden + losses.scores > 0 && options.teacher === undefined) {
      throw new InputError(`stage ${name} learns from a teacher, and there is none`, 'Use train-distill student.');
    }
  }
  const weights = resolveClassWeights(recipe, config, train);
  let run: RunProgress = options.from ?? { stage: 0, curve: [], outcomes: [], at: stageStart(options.model.tensors) };
  while (run.stage < recipe.stages.length) {
    const { stage: index, at } = run;
    const before = run;
    const stage = recipe.stages[index]!;
    const hooks = options.onStage?.(stage, index) ?? {};
    const result = await runStage({
      ...options,
      ...hooks,
      stage,
      index,
      config,
      from: at,
      classWeights: weights,
      onPause: async (pause) =>
        onPause?.({ ...pause, stage, index, ended: false, progress: () => ({ ...before, at: pause.progress() }) }),
    });
    const { steps, chosenStep, metrics } = result;
    const next: RunProgress = {
      stage: index + 1,
      curve: [...run.curve, ...result.curve],
      outcomes: [...run.outcomes, { name: stage.name, steps, chosenStep, metrics }],
      at: stageStart(result.tensors),
    };
    run = next;
    await onPause?.({ step: steps, weights: () => next.at.state, stage, index, ended: true, progress: () => next });
  }
  // Projections to a wider teacher go on from stage to stage, and end here.
  const shapes = parameterShapes(config);
  const tensors = new Map([...run.at.state].filter(([name]) => shapes.has(name)));
  return { config, tensors, curve: run.curve, outcomes: run.outcomes, metrics: run.outcomes.at(-1)?.metrics ?? {} };
}
