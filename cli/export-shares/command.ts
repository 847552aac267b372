/** `export-shares`: a student's folder → the bundles of all roles. */
import type { Command } from 'commander';
import { availableParallelism } from 'node:os';
import { resolve } from 'node:path';
import { loadModel, requireHead, trainedLength } from '../../checkpoints/index.ts';
import { InputError, RefusedError } from '../../common/errors.ts';
import { encodeAll } from '../../data/encode.ts';
import { readExamples, type Dataset } from '../../data/read.ts';
import { loadTaskPart } from '../../data/tasks.ts';
import { loadTokenizer } from '../../data/tokenizer-files.ts';
import { createEngine } from '../../engine/onnxruntime.ts';
import { sample } from '../../export/calibrate.ts';
import { compile, type Compiled } from '../../export/compile.ts';
import { fidelity } from '../../export/fidelity.ts';
import { missedFits } from '../../export/make-plan.ts';
import { PLANS } from '../../export/plans.ts';
import { structure } from '../../export/trace.ts';
import { writeExport } from '../../export/provider.ts';
import { exists } from '../../checkpoints/files.ts';
import type { Measured } from '../../export/bundle/format.ts';
import { bucketOf } from '../../protocol/gates/padding.ts';
import { loadKernels } from '../../ring/kernels/node.ts';
import { costByGate, costTable } from './costs.ts';
import { fitName } from './names.ts';
import { bucketList } from '../bucket-list.ts';
import { addColumns, GLUE_HELP, numeric, TASK_HELP, type ColumnFlags } from '../train-distill/options.ts';
import { onError } from '../ui/colour.ts';
import { progress, type Progress } from '../ui/progress.ts';

interface Flags extends ColumnFlags {
  readonly calibrate?: string;
  readonly task?: string;
  readonly glue?: string;
  readonly calibrateSize: number;
  readonly out: string;
  readonly plan: string;
  readonly guard: boolean;
  readonly maxLength?: number;
  readonly hideLength?: readonly number[];
  readonly tokenizer?: string;
  readonly seed: number;
  readonly threads: number;
  readonly costLength?: number;
  readonly gates: boolean;
  readonly overwrite: boolean;
  readonly json: boolean;
  readonly quiet: boolean;
}

const STAGES = { calibrate: 'Calibrating', plan: 'Fitting and planning', fold: 'Folding' } as const;

/** Texts of the file, or of a task's training data. @throws InputError unless exactly one is given, or it cannot be read */
function calibrationTexts(flags: Flags): Promise<Dataset> {
  const { calibrate, task, glue } = flags;
  if ((calibrate === undefined) === (task === undefined))
    throw new InputError('give either --calibrate or --task', 'Calibrate on texts like those to be served.');
  return task === undefined ? readExamples(calibrate!, flags) : loadTaskPart(task, 'train', { folder: glue });
}

async function run(dir: string, flags: Flags): Promise<void> {
  const start = Date.now();
  const plan = Object.hasOwn(PLANS, flags.plan) ? PLANS[flags.plan] : undefined;
  if (plan === undefined)
    throw new InputError(`--plan ${flags.plan}: no such plan`, `Choose one of ${Object.keys(PLANS).join(', ')}.`);
  if (!flags.overwrite && (await exists(flags.out)))
    throw new RefusedError(`${flags.out}: exists already`, 'Choose another folder, or replace it with --overwrite.');
  await loadKernels();
  const model = await loadModel(dir, flags.tokenizer === undefined ? {} : { tokenizer: flags.tokenizer });
  structure(model.config); // refuses what no calibration can help
  requireHead(model, dir);
  for (const warning of model.warnings) if (!flags.quiet) process.stderr.write(`${warning}\n`);

  const tokenizer = await loadTokenizer(model.tokenizerDir);
  const data = await calibrationTexts(flags);
  const positions = model.config.max_position_embeddings;
  if (flags.maxLength !== undefined && flags.maxLength > positions)
    throw new InputError(`--max-length ${flags.maxLength}: the model has ${positions} positions`, `Give at most ${positions}.`); // prettier-ignore
  const buckets = flags.hideLength;
  const largest = buckets?.at(-1);
  if (largest !== undefined && largest > positions)
    throw new InputError(
      `--hide-length ${largest}: the model has ${positions} positions`,
      `Give at most ${positions}.`,
    );
  const maxLength = flags.maxLength ?? largest ?? (await trainedLength(dir, positions));
  const { encodings, truncated } = encodeAll(data.examples, tokenizer, maxLength);
  if (truncated > 0 && !flags.quiet)
    process.stderr.write(onError.yellow(`${data.source}: ${truncated} of ${encodings.length} texts cut to ${maxLength} tokens\n`)); // prettier-ignore
  const chosen = sample(encodings, flags.calibrateSize, flags.seed, flags.maxLength);

  const engine = createEngine({ threads: flags.threads });
  const compiled = await stages(flags.quiet, (report) =>
    compile({
      engine,
      config: model.config,
      tensors: model.tensors,
      sample: chosen,
      plan: { ...plan, guard: flags.guard, ...(buckets && { buckets }) },
      progress: report,
    }),
  );
  const missed = missedFits(compiled.plan, plan);
  if (!flags.quiet)
    for (const { wire, error, tolerance } of missed)
      process.stderr.write(
        `  fit of ${fitName(wire)}: error ${error.toExponential(1)}, wanted ${tolerance.toExponential(0)}\n`,
      );
  const check = progress('Measuring the error', flags.quiet);
  const measured = await fidelity({
    engine,
    config: model.config,
    tensors: model.tensors,
    lowered: compiled,
    texts: chosen.encodings,
  });
  check.succeed(errorLine(measured));
  const bar = progress('Writing bundles', flags.quiet);
  const { labels } = model.config;
  const written = await writeExport(flags.out, compiled, {
    labels,
    plan: flags.plan,
    measured,
    pairs: data.examples.some(({ pair }) => pair !== undefined),
    tokenizerDir: model.tokenizerDir,
    overwrite: flags.overwrite,
  });
  bar.succeed(`Bundles of five roles in ${flags.out}`);

  const { program } = compiled;
  const length = Math.min(flags.costLength ?? median(chosen.encodings.map((e) => e.ids.length)), program.longest);
  const costs = costByGate(program, bucketOf(Math.max(length, program.shortest), program.buckets));
  if (flags.json) {
    const result = {
      command: 'export-shares',
      out: resolve(flags.out),
      ...written,
      plan: flags.plan,
      guard: flags.guard,
      calibrated: chosen.encodings.length,
      ...(truncated > 0 ? { truncated } : {}),
      shortest: program.shortest,
      longest: program.longest,
      ...(program.buckets && { buckets: program.buckets }),
      labels,
      missedFits: missed,
      measured,
      cost: { tokens: costs.tokens, ...costs.total, gates: costs.rows },
      seconds: (Date.now() - start) / 1000,
    };
    process.stdout.write(`${JSON.stringify(result)}\n`);
  } else {
    process.stdout.write(
      `${costTable(costs, flags.gates)}\n${flags.out}: ${program.shortest} to ${program.longest} tokens, ` +
        `calibrated on ${chosen.encodings.length} texts, ${labels.length} label${labels.length === 1 ? '' : 's'}\n${errorLine(measured)}\n` +
        `Give every role only its own folder. The assistant must never get party0, party1 or provider.\n`,
    );
  }
}

/** What was measured, in a line. */
function errorLine({ texts, refused, maxError, meanError, labelsEqual }: Measured): string {
  const answered = texts - refused;
  const labels = labelsEqual === undefined ? '' : `, ${labelsEqual} of ${answered} labels equal`;
  const left = refused === 0 ? '' : `; ${refused} refused`;
  return `Fixed point against float on ${texts} calibrated texts: logits off by ${maxError.toFixed(4)} at most, ${meanError.toFixed(4)} on average${labels}${left}`;
}

/** One bar per stage of the compiler. */
async function stages(
  quiet: boolean,
  work: (report: (stage: keyof typeof STAGES, done: number, total: number, note?: string) => void) => Promise<Compiled>,
): Promise<Compiled> {
  let now: { stage: keyof typeof STAGES; bar: Progress } | undefined;
  const end = (): void => now?.bar.succeed(STAGES[now.stage]);
  try {
    const compiled = await work((stage, done, total, note) => {
      if (now?.stage !== stage) {
        end();
        now = { stage, bar: progress(STAGES[stage], quiet) };
      }
      now.bar.update(done, total, note && fitName(note));
    });
    end();
    return compiled;
  } catch (error) {
    now?.bar.fail(STAGES[now.stage]);
    throw error;
  }
}

function median(values: readonly number[]): number {
  return [...values].toSorted((a, b) => a - b)[Math.floor(values.length / 2)]!;
}

const positive = (flag: string): ((text: string) => number) => numeric(flag, { whole: true, min: 1 });

/** Describes the command and what it does on `program`. */
export function addExport(program: Command): void {
  addColumns(program)
    .description(
      'Compiles a 2Quad student to a fixed-point program and writes the share bundles of party 0, party 1, assistant, client and provider.',
    )
    .argument('<model>', 'Hugging Face folder of the student')
    .option('--calibrate <file>', 'texts like those to be served: .tsv, .csv, .jsonl, .parquet or .txt')
    .option('--task <name>', `calibrate on a task’s training texts; ${TASK_HELP}`)
    .option('--glue <dir>', GLUE_HELP)
    .requiredOption('--out <dir>', 'new folder for the bundles')
    .option(
      '--calibrate-size <n>',
      'texts to calibrate on, half of them the longest',
      positive('--calibrate-size'),
      4000,
    )
    .option('--plan <name>', `scales: ${Object.keys(PLANS).join(', ')}`, 'balanced')
    .option('--no-guard', 'answer also where a value left its calibrated range, at random: for comparisons only')
    .option(
      '--max-length <n>',
      'cut longer texts, and refuse if none is as long (default: cut at the largest of --hide-length, else at the length the student was trained at, as its run.json says, else at 128)',
      positive('--max-length'),
    )
    .option(
      '--hide-length <sizes>',
      'pad every text to the next of these numbers of tokens, e.g. 32,64,128: the parties see which, not its own length (default: lengths are public)',
      bucketList,
    )
    .option('--tokenizer <dir>', 'tokenizer files, if the model folder has none')
    .option('--seed <n>', 'names the choice of texts; masks are always fresh', numeric('--seed', { whole: true }), 1)
    .option('--threads <n>', 'threads of the calibration', positive('--threads'), Math.min(availableParallelism(), 8))
    .option(
      '--cost-length <n>',
      'tokens of the text whose cost is printed (default: the median)',
      positive('--cost-length'),
    )
    .option('--gates', 'print the cost of every sort of wire, not of every kind of gate', false)
    .option('--overwrite', 'replace the folder', false)
    .option('--json', 'print the result as one JSON object on standard output', false)
    .option('--quiet', 'no progress on standard error', false)
    .addHelpText(
      'after',
      `
Examples:
  export-shares runs/student --calibrate train.tsv --hide-length 32,64,128 --out bundles
  export-shares runs/student --calibrate train.tsv --out bundles
  export-shares runs/student --calibrate pairs.csv --text-column question --pair-column passage --out bundles
  export-shares runs/student --task mrpc --glue GLUE --plan precise --out bundles
  export-shares runs/student --calibrate texts.txt --calibrate-size 1000 --max-length 128 --out bundles --json

The longest legal text is the longest calibrated one: nothing is known of the ranges of longer ones. A student calibrated on pairs
answers pairs, one calibrated on single texts single texts.

Exit codes: 0 done, 2 bad input or file, 3 refused (a model the suite cannot run, a folder that exists),
130 interrupted, 1 anything else.
`,
    )
    .action(run);
}
