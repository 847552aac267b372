import type { Command } from 'commander';
import { randomBytes } from 'node:crypto';
import { rename, rm, writeFile } from 'node:fs/promises';
import { InputError } from '../../common/errors.ts';
import { loadModel, MAX_LENGTH, requireHead, trainedLength } from '../../checkpoints/index.ts';
import { readExamples, type Dataset } from '../../data/read.ts';
import { GLUE_NAMES, loadTaskPart, TASK_NAMES, taskInfo } from '../../data/tasks.ts';
import { loadTokenizer } from '../../data/tokenizer-files.ts';
import { selectEngine } from '../../engine/select.ts';
import { measure } from '../../train/evaluate.ts';
import { prepare } from '../../train/examples.ts';
import { argmax, predict } from '../../train/predict.ts';
import { prediction } from '../../train/predictions.ts';
import { taskScore } from '../../train/task-score.ts';
import { progress } from '../ui/progress.ts';
import {
  addColumns,
  addOutput,
  addEngine,
  EXIT_CODES,
  GLUE_HELP,
  numeric,
  TASK_HELP,
  type ColumnFlags,
} from './options.ts';
import { fittingLength } from './teacher.ts';
import { printResult } from './training.ts';

const SPLITS = ['train', 'dev', 'test', 'dev_mismatched', 'test_mismatched'] as const;

/** Labelled texts: a part of a task, or a file. */
export interface LabelledDataFlags extends ColumnFlags {
  readonly task?: string;
  readonly glue?: string;
  readonly split: string;
  readonly file?: string;
}

interface EvaluateFlags extends LabelledDataFlags {
  readonly tokenizer?: string;
  readonly maxLength?: number;
  readonly predictions?: string;
  readonly engine: string;
  readonly threads: number;
  readonly json: boolean;
  readonly quiet: boolean;
}

/** @throws InputError unless exactly one source is given, or the data cannot be read */
export async function labelledData(flags: LabelledDataFlags): Promise<Dataset> {
  if ((flags.task === undefined) === (flags.file === undefined)) {
    throw new InputError('give either --task or --file', `Tasks: ${[...TASK_NAMES, ...GLUE_NAMES].join(', ')}.`);
  }
  if (flags.file !== undefined) return readExamples(flags.file, flags);
  const split = SPLITS.find((name) => name === flags.split);
  if (split === undefined) throw new InputError(`--split is '${flags.split}'`, `Give ${SPLITS.join(', ')}.`);
  return loadTaskPart(flags.task!, split, { folder: flags.glue });
}

/** The file appears whole or not at all. */
export async function writeWhole(file: string, content: string | Uint8Array): Promise<void> {
  const temporary = `${file}.${randomBytes(6).toString('hex')}.tmp`;
  try {
    await writeFile(temporary, content, { flag: 'wx' });
    await rename(temporary, file);
  } catch (error) {
    await rm(temporary, { force: true });
    throw new InputError(
      `${file}: cannot be written (${(error as Error).message})`,
      'Give a path that can be written.',
    );
  }
}

async function evaluate(dir: string, flags: EvaluateFlags): Promise<void> {
  const began = Date.now();
  const data = await labelledData(flags);
  const model = await loadModel(dir, flags.tokenizer === undefined ? {} : { tokenizer: flags.tokenizer });
  requireHead(model, dir);
  const { config } = model;
  const positions = config.max_position_embeddings;
  const tokenizer = await loadTokenizer(model.tokenizerDir);
  const { encodings, targets, truncated } = prepare(data, tokenizer, {
    labels: config.labels,
    regression: config.num_labels === 1,
    maxLength:
      flags.maxLength === undefined
        ? await trainedLength(dir, positions)
        : fittingLength(flags.maxLength, positions, '--max-length'),
    needLabels: flags.predictions === undefined,
  });
  const bar = progress(`Evaluating ${encodings.length} texts`, flags.quiet);
  const engine = await selectEngine(flags.engine, flags);
  const logits = await predict(model, encodings, engine, {
    padId: tokenizer.padId,
    onProgress: (done, total) => bar.update(done, total),
  });
  bar.succeed(`${encodings.length} texts evaluated`);
  if (flags.predictions !== undefined) {
    await writeWhole(
      flags.predictions,
      logits.map((z, i) => `${JSON.stringify(prediction(config, z, encodings[i]!))}\n`).join(''),
    );
  }
  const measured = targets === undefined ? {} : measure(logits, targets);
  const answers = config.num_labels === 1 ? logits.map((z) => z[0]!) : logits.map(argmax);
  // The task's official score: its metric, or the mean of its two.
  const scored =
    flags.task === undefined || targets === undefined
      ? {}
      : { score: taskScore(taskInfo(flags.task), answers, targets).mean };
  printResult(
    {
      command: 'evaluate',
      model: dir,
      data: data.source,
      examples: encodings.length,
      ...(truncated > 0 ? { truncated } : {}),
      ...Object.fromEntries(Object.entries(measured).map(([name, { value }]) => [name, value])),
      ...scored,
      // A correlation with a constant is 0/0: reported as 0, and named here.
      ...(Object.values(measured).every((m) => m.defined)
        ? {}
        : { undefined: Object.keys(measured).filter((name) => !measured[name]!.defined) }),
      seconds: Math.round((Date.now() - began) / 100) / 10,
    },
    flags.json,
  );
}

export const addLabelledData = (command: Command): Command =>
  addColumns(
    command
      .option('--task <name>', TASK_HELP)
      .option('--glue <dir>', GLUE_HELP)
      .option('--split <name>', `part of the task: ${SPLITS.join(', ')}`, 'dev')
      .option('--file <file>', 'other data: .tsv, .csv, .jsonl, .parquet or .txt'),
  );

/** Adds the subcommand `evaluate` to the program. */
export function addEvaluate(program: Command): void {
  const command = program
    .command('evaluate')
    .description('float accuracy of a model folder on labelled texts')
    .argument('<model>', 'Hugging Face folder of teacher or student');
  addLabelledData(command)
    .option('--tokenizer <dir>', 'tokenizer files, if the model folder has none')
    .option(
      '--max-length <n>',
      `cut longer texts (default: the length the model was trained at, as its run.json says, else ${MAX_LENGTH} or its positions)`,
      numeric('--max-length', { whole: true, min: 2 }),
    )
    .option(
      '--predictions <file>',
      'write label, probabilities, logits and the digest of the tokens of every text, one JSON object a line',
    );
  addOutput(addEngine(command))
    .addHelpText(
      'after',
      `
Examples:
  train-distill evaluate runs/student --task polarity --split test --json
  train-distill evaluate runs/student --file texts.txt --predictions answers.jsonl
${EXIT_CODES}`,
    )
    .action(evaluate);
}
