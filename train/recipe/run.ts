/** Runs a recipe: its stages one after the other, each from the weights the last one gave. */
import { InputError } from '../../common/errors.ts';
import type { Engine } from '../../engine/engine.ts';
import { parameterShapes } from '../../model/names.ts';
import type { Prepared } from '../examples.ts';
import type { Guide } from '../objective.ts';
import { runStage, type CurvePoint, type Model, type StageOptions } from '../stage.ts';
import type { Recipe, Stage } from './recipe.ts';

export interface RunOptions {
  readonly recipe: Recipe;
  readonly model: Model;
  readonly teacher?: (Model & Guide) | undefined;
  readonly train: Prepared;
  readonly dev?: Prepared | undefined;
  readonly padId: number;
  readonly engine: Engine;
  readonly onStage?: (stage: Stage, index: number) => Pick<StageOptions, 'onStep' | 'onEvaluation'>;
}

export interface RunResult extends Model {
  readonly curve: readonly CurvePoint[];
  /** Metrics by name, with `dev.` before it, of the weights given; empty without labelled dev data. */
  readonly metrics: Readonly<Record<string, number>>;
}

/** @throws InputError if labels or a teacher are needed and absent; Failure if training diverges */
export async function runRecipe(options: RunOptions): Promise<RunResult> {
  const { recipe, train } = options;
  for (const { name, losses } of recipe.stages) {
    if (losses.labels > 0 && train.targets === undefined) {
      throw new InputError(`stage ${name} learns from labels, and ${train.source} has none`, 'Give labelled data.');
    }
    if (losses.logits + losses.hidden + losses.scores > 0 && options.teacher === undefined) {
      throw new InputError(`stage ${name} learns from a teacher, and there is none`, 'Use train-distill student.');
    }
  }
  let model = options.model;
  let metrics: Readonly<Record<string, number>> = {};
  const curve: CurvePoint[] = [];
  for (const [index, stage] of recipe.stages.entries()) {
    const hooks = options.onStage?.(stage, index) ?? {};
    const result = await runStage({ ...options, ...hooks, stage, index, model });
    model = { config: model.config, tensors: result.tensors };
    metrics = result.metrics;
    curve.push(...result.curve);
  }
  // Projections to a wider teacher go on from stage to stage, and end here.
  const shapes = parameterShapes(model.config);
  const tensors = new Map([...model.tensors].filter(([name]) => shapes.has(name)));
  return { config: model.config, tensors, curve, metrics };
}
