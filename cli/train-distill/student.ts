import type { Command } from 'commander';
import { InputError } from '../../common/errors.ts';
import { CounterRandom } from '../../common/random.ts';
import { loadModel, requireHead } from '../../checkpoints/index.ts';
import type { Encoding } from '../../data/tokenizer.ts';
import { loadTokenizer } from '../../data/tokenizer-files.ts';
import type { Engine } from '../../engine/engine.ts';
import { selectEngine } from '../../engine/select.ts';
import type { ModelConfig } from '../../model/config.ts';
import { prepare } from '../../train/examples.ts';
import { beginStudent } from '../../train/head.ts';
import {
  builtInPresets,
  DEFAULT_PRESET,
  findPreset,
  layerMap,
  studentConfig,
  type Preset,
} from '../../train/preset.ts';
import { ablate } from '../../train/recipe/ablation.ts';
import { overrideRecipe, type Recipe } from '../../train/recipe/recipe.ts';
import { builtInRecipes, DEFAULT_RECIPE, findRecipe } from '../../train/recipe/recipes.ts';
import { chooseShifts } from '../../train/shift.ts';
import type { Model } from '../../train/stage.ts';
import type { Interruption } from '../ui/interrupt.ts';
import { progress } from '../ui/progress.ts';
import {
  EXIT_CODES,
  addOutput,
  addEngine,
  addTraining,
  numeric,
  overrides,
  trainingData,
  type TrainingFlags,
} from './options.ts';
import { checkDtype, fittingLength } from './teacher.ts';
import { runAndPrint } from './seeds.ts';
import { refuseExisting, trainAndSave } from './training.ts';

export interface StudentFlags extends TrainingFlags {
  readonly teacher: string;
  readonly preset: string;
  readonly swapOnly: boolean;
  readonly layers?: number;
  readonly hidden?: number;
  readonly heads?: number;
  readonly intermediate?: number;
  readonly layerMap?: number[];
  readonly stage1: boolean;
  readonly distillation: boolean;
  readonly randomStart: boolean;
}

/** The preset with the sizes given on the command line. */
const sized = (preset: Preset, flags: StudentFlags): Preset => ({
  ...preset,
  num_hidden_layers: flags.layers ?? preset.num_hidden_layers,
  hidden_size: flags.hidden ?? preset.hidden_size,
  num_attention_heads: flags.heads ?? preset.num_attention_heads,
  intermediate_size: flags.intermediate ?? preset.intermediate_size,
  layer_map: flags.layerMap ?? (flags.layers === undefined ? preset.layer_map : undefined),
});

/** What the flags make of the recipe they name. */
export async function studentRecipe(flags: StudentFlags): Promise<Recipe> {
  const found = await findRecipe(flags.recipe, 'student', flags.task);
  const ablated = ablate(found, { noStage1: !flags.stage1, noDistillation: !flags.distillation });
  const whole = overrideRecipe(ablated, overrides(flags));
  return flags.swapOnly ? { ...whole, stages: [] } : whole;
}

async function student(flags: StudentFlags, signal: Interruption): Promise<Record<string, unknown>> {
  const began = new Date();
  await refuseExisting(flags);
  checkDtype(flags.dtype);
  const preset = sized(await findPreset(flags.preset), flags);
  const recipe = await studentRecipe(flags);
  const data = await trainingData(flags);
  const teacher = await loadModel(flags.teacher, flags.tokenizer === undefined ? {} : { tokenizer: flags.tokenizer });
  requireHead(teacher, flags.teacher);
  const { config, tensors } = teacher;
  const tokenizer = await loadTokenizer(teacher.tokenizerDir);
  const how = {
    labels: config.labels,
    regression: config.num_labels === 1,
    maxLength: fittingLength(recipe.maxLength, config.max_position_embeddings),
    needLabels: recipe.stages.some(({ losses }) => losses.labels > 0),
  };
  const train = prepare(data.train, tokenizer, how);
  const dev = data.dev === undefined ? undefined : prepare(data.dev, tokenizer, how);
  const engine = await selectEngine(flags.engine, flags);

  const shape = studentConfig(config, preset, 5);
  const map = layerMap(config.num_hidden_layers, shape.num_hidden_layers, preset.layer_map);
  const sample = new CounterRandom(recipe.seed, 'shift texts')
    .shuffle(train.encodings.map((_, i) => i))
    .slice(0, recipe.shiftTexts)
    .map((i) => train.encodings[i]!);
  const shift = await studentShift(preset, teacher, { shape, map, sample, engine, padId: tokenizer.padId, quiet: flags.quiet }); // prettier-ignore
  const begin = { map, seed: recipe.seed, random: flags.randomStart };
  return trainAndSave({
    command: 'student',
    flags,
    recipe,
    model: beginStudent({ config, tensors }, { ...shape, softmax_c: shift }, begin),
    teacher: { config, tensors, layerMap: map },
    train,
    dev,
    padId: tokenizer.padId,
    engine,
    rawConfig: teacher.rawConfig,
    tokenizerDir: teacher.tokenizerDir,
    modelHash: { teacher: teacher.sha256 },
    config: {
      task: flags.task ?? 'file',
      preset: flags.preset,
      shift,
      start: flags.randomStart || shape.hidden_size !== config.hidden_size ? 'random' : 'teacher',
      layers: map.join(','),
    },
    began,
    signal,
  });
}

/**
 * c of the student's 2Quad: the preset's number, or per layer and head by KL on the sample, or what the teacher has.
 * @throws InputError where c comes from the teacher's heads and the student has another number
 */
async function studentShift(
  preset: Preset,
  teacher: Model,
  options: {
    readonly shape: ModelConfig;
    readonly map: readonly number[];
    readonly sample: readonly Encoding[];
    readonly engine: Engine;
    readonly padId: number;
    readonly quiet: boolean;
  },
): Promise<number | number[][]> {
  const { shape, map, sample, engine, padId, quiet } = options;
  const { softmax_c: own, num_attention_heads: heads } = teacher.config;
  if (typeof preset.softmax_c === 'number') return preset.softmax_c;
  if (preset.softmax_c === undefined && typeof own === 'number') return own;
  if (shape.num_attention_heads !== heads) {
    throw new InputError(
      `preset ${preset.name} takes c from the teacher's heads, of which there are ${heads}, not ${shape.num_attention_heads}`,
      `Keep ${heads} heads, or choose a preset with one c, such as secformer.`,
    );
  }
  const ofStudent = (c: readonly (readonly number[])[]): number[][] => map.map((layer) => [...c[layer - 1]!]);
  if (preset.softmax_c === undefined) return ofStudent(own as readonly (readonly number[])[]);
  const bar = progress('Shift c of every head, by KL to softmax', quiet);
  const c = ofStudent(await chooseShifts(teacher, sample, engine, { centred: shape.softmax_act === '2quad_centred', padId })); // prettier-ignore
  const values = c.flat();
  const range = `${Math.min(...values).toFixed(2)} to ${Math.max(...values).toFixed(2)}`;
  bar.succeed(`Shift c of ${values.length} heads: ${range}`);
  return c;
}

const whole = (flag: string): ((text: string) => number) => numeric(flag, { whole: true, min: 1 });
const layerList = (text: string): number[] => text.split(',').map((part) => whole('--layer-map')(part));
const described = (all: readonly { readonly name: string; readonly description: string }[]): string =>
  all.map(({ name, description }) => `  ${name.padEnd(20)}${description}`).join('\n');

/** Adds the subcommand `student` to the program. */
export function addStudent(program: Command): void {
  const command = program
    .command('student')
    .description('distil a teacher into a student whose softmax is replaced by 2Quad')
    .requiredOption('--teacher <dir>', 'Hugging Face folder of the teacher')
    .option('--preset <name|file>', 'student architecture: a built-in preset or JSON file', DEFAULT_PRESET)
    .option('--swap-only', 'put the preset in and save, without training', false)
    .option('--layers <n>', 'a shallower student: so many layers, copied from the teacher', whole('--layers'))
    .option('--layer-map <list>', 'its teacher layers, from 1, such as 2,4,6; else evenly spread', layerList)
    .option('--hidden <n>', 'a narrower student: hidden size; it begins random', whole('--hidden'))
    .option('--heads <n>', 'attention heads of the student', whole('--heads'))
    .option('--intermediate <n>', 'feed-forward size of the student', whole('--intermediate'))
    .option('--no-stage1', 'ablation: compare no hidden states and no scores')
    .option('--no-distillation', 'ablation: learn from labels in place of the teacher')
    .option('--random-start', "ablation: begin with random weights, by the seed, not with the teacher's", false);
  addTraining(command, DEFAULT_RECIPE.student)
    .option(
      '--stage1-steps <n>',
      'steps of the first stage; 0 leaves it out',
      numeric('--stage1-steps', { whole: true }),
    )
    .option(
      '--stage2-steps <n>',
      'steps of the second stage; 0 leaves it out',
      numeric('--stage2-steps', { whole: true }),
    )
    .option('--stage1-lr <x>', 'peak learning rate of the first stage', numeric('--stage1-lr', { above: true }))
    .option('--stage2-lr <x>', 'peak learning rate of the second stage', numeric('--stage2-lr', { above: true }));
  addOutput(addEngine(command))
    .addHelpText(
      'after',
      `
Presets (files in train/presets/, to copy and change):
${described(builtInPresets())}

Recipes (files in train/recipes/, to copy and change):
${described(builtInRecipes().filter((recipe) => recipe.for === 'student'))}

Examples:
  train-distill student --teacher runs/teacher --task polarity --out runs/student
  train-distill student --teacher runs/teacher --task polarity --preset secformer --recipe published --out runs/published
  train-distill student --teacher runs/teacher --task polarity --no-distillation --out runs/labels-only
  train-distill student --teacher runs/teacher --task polarity --layers 3 --recipe fast --out runs/half
  train-distill student --teacher runs/teacher --train texts.txt --recipe fast --out runs/student
${EXIT_CODES}`,
    )
    .action((flags: StudentFlags) => runAndPrint({ command: 'student', preset: flags.preset }, flags, student));
}
