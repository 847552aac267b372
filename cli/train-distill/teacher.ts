import type { Command } from 'commander';
import { InputError } from '../../common/errors.ts';
import { loadModel } from '../../checkpoints/index.ts';
import { labelsOf } from '../../data/labels.ts';
import { loadTokenizer } from '../../data/tokenizer-files.ts';
import { selectEngine } from '../../engine/select.ts';
import { prepare } from '../../train/examples.ts';
import { withHead } from '../../train/head.ts';
import { overrideRecipe, type Recipe } from '../../train/recipe/recipe.ts';
import { DEFAULT_RECIPE, findRecipe } from '../../train/recipe/recipes.ts';
import {
  EXIT_CODES,
  addOutput,
  addEngine,
  addTraining,
  overrides,
  trainingData,
  type TrainingFlags,
} from './options.ts';
import { runAndPrint } from './seeds.ts';
import { refuseExisting, trainAndSave } from './training.ts';
import { onError } from '../ui/colour.ts';
import type { Interruption } from '../ui/interrupt.ts';

interface TeacherFlags extends TrainingFlags {
  readonly from: string;
  readonly regression: boolean;
}

/** What the flags make of the recipe they name. */
export const teacherRecipe = async (flags: TrainingFlags): Promise<Recipe> =>
  overrideRecipe(await findRecipe(flags.recipe, 'teacher', flags.task), overrides(flags));

async function teacher(flags: TeacherFlags, signal: Interruption): Promise<Record<string, unknown>> {
  const began = new Date();
  await refuseExisting(flags);
  checkDtype(flags.dtype);
  const recipe = await teacherRecipe(flags);
  const data = await trainingData(flags);
  const base = await loadModel(flags.from, flags.tokenizer === undefined ? {} : { tokenizer: flags.tokenizer });
  const { regression } = data;
  const labels = regression ? ['score'] : (data.labels ?? labelsOf(data.train));
  const model = withHead(base, labels, recipe.seed);
  if (!flags.quiet && model.made.length > 0) {
    process.stderr.write(
      onError.dim(`new layers with random weights (seed ${recipe.seed}): ${model.made.join(', ')}\n`),
    );
  }
  const tokenizer = await loadTokenizer(base.tokenizerDir);
  const maxLength = fittingLength(recipe.maxLength, base.config.max_position_embeddings);
  const how = { labels, regression, maxLength, needLabels: true };
  return trainAndSave({
    command: 'teacher',
    flags,
    recipe,
    model,
    train: prepare(data.train, tokenizer, how),
    dev: data.dev === undefined ? undefined : prepare(data.dev, tokenizer, how),
    padId: tokenizer.padId,
    engine: await selectEngine(flags.engine, flags),
    rawConfig: base.rawConfig,
    tokenizerDir: base.tokenizerDir,
    modelHash: { base: base.sha256 },
    config: { task: flags.task ?? 'file', labels: labels.join(',') },
    began,
    signal,
  });
}

/** @throws InputError for a weight format other than F16 and F32 */
export function checkDtype(dtype: string): void {
  if (dtype !== 'F16' && dtype !== 'F32') throw new InputError(`--dtype is '${dtype}'`, 'Give F16 or F32.');
}

/** @throws InputError if the model has fewer positions than the length, named `what`, asks for */
export function fittingLength(maxLength: number, positions: number, what = 'max length'): number {
  if (maxLength <= positions) return maxLength;
  throw new InputError(`${what} ${maxLength}: the model has ${positions} positions`, `Give --max-length ${positions}.`);
}

/** Adds the subcommand `teacher` to the program. */
export function addTeacher(program: Command): void {
  const command = program
    .command('teacher')
    .description('fine-tune a pretrained encoder (or a classifier) on labelled texts')
    .requiredOption('--from <dir>', 'Hugging Face folder of the pretrained model');
  addTraining(command, DEFAULT_RECIPE.teacher).option('--regression', 'labels are numbers; one output', false);
  addOutput(addEngine(command))
    .addHelpText(
      'after',
      `
Examples:
  train-distill teacher --from MiniLM --task polarity --out runs/teacher
  train-distill teacher --from MiniLM --train train.tsv --dev dev.tsv --label-column label --lr 5e-5 --out runs/t
  train-distill teacher --from MiniLM --train sts.tsv --dev sts-dev.tsv --regression --out runs/similarity
${EXIT_CODES}`,
    )
    .action((flags: TeacherFlags) => runAndPrint({ command: 'teacher' }, flags, teacher));
}
