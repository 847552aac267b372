/** The built-in recipes. Costs are of a 6-layer, 384-wide model on two cores, texts of about 30 tokens. */
import { InputError } from '../../common/errors.ts';
import { parseRecipe, readRecipe, type Recipe, type RecipeInput } from './recipe.ts';

const WORDS = 'bert.embeddings.word_embeddings';

const JOINT = {
  name: 'joint',
  losses: { logits: 1, hidden: 1, scores: 0.1 },
  learningRate: 1e-4,
  dropout: 0,
  // Half of the parameters, and the part that a swapped attention needs least to change.
  frozen: [WORDS],
};

const RECIPES: readonly RecipeInput[] = [
  {
    name: 'fine-tune',
    description: 'Fine-tunes a pretrained encoder with a new classifier; the best of the dev evaluations is kept.',
    for: 'teacher',
    stages: [{ name: 'fine-tune', losses: { labels: 1 }, epochs: 3, learningRate: 5e-5, evaluations: 6 }],
  },
  {
    name: 'two-stage',
    description:
      'Both stages of MPCFormer and SecFormer: hidden states and scores over real tokens, then the logits. ' +
      'Best accuracy, the default for students.',
    for: 'student',
    stages: [
      {
        name: 'layers',
        losses: { hidden: 1, scores: 1 },
        epochs: 3,
        learningRate: 5e-5,
        select: 'last',
      },
      { name: 'logits', losses: { logits: 1 }, epochs: 2, learningRate: 5e-5, evaluations: 4 },
    ],
  },
  {
    name: 'fast',
    description:
      'All three losses at once, one epoch without dropout: minutes, for a student whose swap already lost little. ' +
      'Hidden states and scores say more per text than the logits of a teacher that is sure of itself.',
    for: 'student',
    stages: [{ ...JOINT, epochs: 1, evaluations: 2 }],
  },
  {
    name: 'demo',
    description: 'The recipe `fast`, cut to 200 steps: one to two minutes on two free cores.',
    for: 'student',
    stages: [{ ...JOINT, steps: 200, select: 'last' }],
  },
];

export const RECIPE_NAMES: readonly string[] = RECIPES.map((r) => r.name);

/** The built-in recipe of that name, else the JSON file. @throws InputError if it is neither, or for the other command */
export async function findRecipe(nameOrFile: string, command: 'teacher' | 'student'): Promise<Recipe> {
  const builtIn = RECIPES.find((r) => r.name === nameOrFile);
  if (builtIn === undefined && !nameOrFile.endsWith('.json')) {
    throw new InputError(`no recipe '${nameOrFile}'`, `Built in: ${RECIPE_NAMES.join(', ')}; or give a JSON file.`);
  }
  const recipe = builtIn === undefined ? await readRecipe(nameOrFile) : parseRecipe(builtIn, `recipe ${nameOrFile}`);
  if (recipe.for !== command) {
    throw new InputError(`recipe ${recipe.name} is for a ${recipe.for}, not a ${command}`, 'Choose another recipe.');
  }
  return recipe;
}
