/** The built-in recipes, JSON files in `train/recipes/`, and the user's. */
import { InputError } from '../../common/errors.ts';
import { builtIns, readNamed } from '../built-in.ts';
import { parseRecipe, type Recipe } from './recipe.ts';

/** What a command runs if no recipe is named. */
export const DEFAULT_RECIPE = { teacher: 'fine-tune', student: 'fast' } as const;

/** Every built-in recipe as it is written, for any task. */
export function builtInRecipes(): Recipe[] {
  return [...builtIns('recipe')].map(([name, json]) => parseRecipe(json, `recipe ${name}`));
}

/**
 * The built-in recipe of that name, else the JSON file, with what it says for `task` (a name of `data/tasks.ts`) put in.
 * @throws InputError if it is neither, or for the other command
 */
export async function findRecipe(
  nameOrFile: string,
  command: 'teacher' | 'student',
  task?: string | undefined,
): Promise<Recipe> {
  const { json, where } = await readNamed('recipe', nameOrFile);
  const recipe = parseRecipe(json, where, task);
  if (recipe.for !== command) {
    throw new InputError(`recipe ${recipe.name} is for a ${recipe.for}, not a ${command}`, 'Choose another recipe.');
  }
  return recipe;
}
