/** The published ablations: a recipe without one of its parts. */
import { InputError } from '../../common/errors.ts';
import type { Recipe, Stage } from './recipe.ts';

export interface Ablations {
  /** Without the comparison of layers (stage one): neither hidden states nor scores. */
  readonly noStage1?: boolean;
  /** Without any teacher: the labels take the place of the logits. */
  readonly noDistillation?: boolean;
}

const learns = ({ losses }: Stage): boolean => losses.labels + losses.logits + losses.hidden + losses.scores > 0;

/**
 * The recipe without what is ablated. A stage left without a loss is left out; without distillation one that has the loss
 * `logits` learns from labels alone, with the weight the two had.
 * @throws InputError if nothing is left
 */
export function ablate(recipe: Recipe, { noStage1 = false, noDistillation = false }: Ablations): Recipe {
  if (!noStage1 && !noDistillation) return recipe;
  const stages = recipe.stages
    .map((stage): Stage => {
      const losses = { ...stage.losses, hidden: 0, scores: 0 };
      if (!noDistillation) return { ...stage, losses };
      return { ...stage, losses: { ...losses, labels: losses.labels + losses.logits, logits: 0 } };
    })
    .filter(learns);
  if (stages.length > 0) return { ...recipe, stages };
  throw new InputError(
    `recipe ${recipe.name} is nothing but what ${noDistillation ? '--no-distillation' : '--no-stage1'} leaves out`,
    'Choose a recipe with a stage that learns from logits or labels.',
  );
}
