import type { Command } from 'commander';
import { InputError } from '../../common/errors.ts';
import { CounterRandom } from '../../common/random.ts';
import { loadModel, requireHead } from '../../checkpoints/index.ts';
import { loadTokenizer } from '../../data/tokenizer-files.ts';
import { selectEngine } from '../../engine/select.ts';
import { prepare } from '../../train/examples.ts';
import { PRESET_NAMES, PRESETS, studentConfig, type Preset, type PresetName } from '../../train/preset.ts';
import { overrideRecipe } from '../../train/recipe/recipe.ts';
import { findRecipe } from '../../train/recipe/recipes.ts';
import { chooseShifts } from '../../train/shift.ts';
import { progress } from '../ui/progress.ts';
import { addOutput, addEngine, addTraining, numeric, overrides, trainingData, type TrainingFlags } from './options.ts';
import { checkDtype, fittingLength } from './teacher.ts';
import { printResult, refuseExisting, trainAndSave } from './training.ts';

interface StudentFlags extends TrainingFlags {
  readonly teacher: string;
  readonly preset: string;
  readonly swapOnly: boolean;
}

function findPreset(name: string): Preset {
  if (Object.hasOwn(PRESETS, name)) return PRESETS[name as PresetName];
  throw new InputError(`no preset '${name}'`, `Presets: ${PRESET_NAMES.join(', ')}.`);
}

async function student(flags: StudentFlags): Promise<void> {
  const began = new Date();
  await refuseExisting(flags.out);
  checkDtype(flags.dtype);
  const preset = findPreset(flags.preset);
  const whole = overrideRecipe(await findRecipe(flags.recipe, 'student'), overrides(flags));
  const recipe = flags.swapOnly ? { ...whole, stages: [] } : whole;
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

  let shift: number | number[][] = config.softmax_act === 'softmax' ? 5 : (config.softmax_c as number);
  if (typeof preset.shift === 'number') shift = preset.shift;
  else if (preset.shift === 'kl') {
    const bar = progress('Shift c of every head, by KL to softmax', flags.quiet);
    const order = new CounterRandom(recipe.seed, 'shift texts').shuffle(train.encodings.map((_, i) => i));
    const sample = order.slice(0, recipe.shiftTexts).map((i) => train.encodings[i]!);
    const options = { centred: preset.softmax === '2quad_centred', padId: tokenizer.padId };
    shift = await chooseShifts(teacher, sample, engine, options);
    const all = shift.flat();
    bar.succeed(`Shift c of ${all.length} heads: ${Math.min(...all).toFixed(2)} to ${Math.max(...all).toFixed(2)}`);
  }
  const result = await trainAndSave({
    command: 'student',
    flags,
    recipe,
    model: { config: studentConfig(config, preset, shift), tensors },
    teacher: { config, tensors },
    train,
    dev,
    padId: tokenizer.padId,
    engine,
    rawConfig: teacher.rawConfig,
    tokenizerDir: teacher.tokenizerDir,
    modelHash: { teacher: teacher.sha256 },
    config: { task: flags.task ?? 'file', preset: flags.preset, shift },
    began,
  });
  printResult({ command: 'student', preset: flags.preset, ...result }, flags.json);
}

/** Adds the subcommand `student` to the program. */
export function addStudent(program: Command): void {
  const command = program
    .command('student')
    .description('distil a teacher into a student whose softmax is replaced by 2Quad')
    .requiredOption('--teacher <dir>', 'Hugging Face folder of the teacher')
    .option('--preset <name>', `student architecture: ${PRESET_NAMES.join(', ')}`, 'secformer-centred')
    .option('--swap-only', 'put the preset in and save, without training', false);
  addTraining(command, 'two-stage')
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
  const presets = PRESET_NAMES.map((name) => `  ${name.padEnd(20)}${PRESETS[name].description}`).join('\n');
  addOutput(addEngine(command))
    .addHelpText(
      'after',
      `
Presets:
${presets}

Recipes: two-stage (best accuracy), fast (one epoch of stage two), demo (two minutes), or a JSON file.

Examples:
  train-distill student --teacher runs/teacher --task polarity --out runs/student
  train-distill student --teacher runs/teacher --task polarity --preset secformer --stage1-steps 800 --out runs/published
  train-distill student --teacher runs/teacher --train texts.txt --recipe fast --out runs/student
`,
    )
    .action(student);
}
