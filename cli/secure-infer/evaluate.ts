/** `secure-infer evaluate`: the metrics of secured (or interpreted) answers, and how far their logits are from the float model's. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Command } from 'commander';
import { InputError, RefusedError } from '../../common/errors.ts';
import { targetsOf } from '../../data/labels.ts';
import type { Example } from '../../data/read.ts';
import { taskInfo } from '../../data/tasks.ts';
import { loadTokenizer } from '../../data/tokenizer-files.ts';
import { fixedPredict } from '../../export/clear.ts';
import { readBundle } from '../../export/bundle.ts';
import { loadProvider } from '../../export/provider.ts';
import { kernels } from '../../ring/index.ts';
import { loadKernels } from '../../ring/kernels/node.ts';
import { WithheldError } from '../../runtime/client/ask.ts';
import { measure } from '../../train/evaluate.ts';
import { argmax } from '../../train/predict.ts';
import { taskScore } from '../../train/task-score.ts';
import { addLabelledData, labelledData, type LabelledDataFlags } from '../train-distill/evaluate.ts';
import { progress } from '../ui/progress.ts';
import { tokenise } from './asker.ts';
import { answerAll, withFlight, withLocal, type LocalCommandOptions } from './client-commands.ts';
import { wholeNumber } from './options.ts';

interface EvaluateOptions extends LocalCommandOptions, LabelledDataFlags {
  readonly examples?: number;
  readonly clear?: boolean;
  readonly against?: string;
}

/** What a run said: logits of every text, undefined where its answer was withheld. */
interface Answers {
  readonly logits: readonly (readonly number[] | undefined)[];
  /** Means over the answered texts, each with its part of a shared session; absent without communication. */
  readonly cost?: { readonly rounds: number; readonly sentBytes: number };
  /** From the first question to the last answer: processes are running and texts tokenised by then. */
  readonly seconds: number;
}

/** The three roles on this host. */
async function secured(bundles: string, options: EvaluateOptions, examples: readonly Example[]): Promise<Answers> {
  let result: Answers | undefined;
  await withLocal(bundles, options, examples, async (asker) => {
    const logits = new Array<readonly number[] | undefined>(examples.length).fill(undefined);
    const all = asker.tokenise(examples);
    let rounds = 0;
    let sentBytes = 0;
    const start = performance.now();
    const withheld = await answerAll(
      asker,
      all,
      (answer, session, index) => {
        logits[index] = answer.logits;
        rounds += session.rounds / session.texts;
        sentBytes += session.sentBytes / session.texts;
      },
      () => {},
    );
    const seconds = (performance.now() - start) / 1000;
    const n = Math.max(1, examples.length - withheld);
    const cost = { rounds: rounds / n, sentBytes: Math.round(sentBytes / n) };
    result = { logits, cost, seconds };
  });
  return result!;
}

/** The fixed-point interpreter on plaintext, with rounding words of its own. */
async function interpreted(bundles: string, options: EvaluateOptions, examples: readonly Example[]): Promise<Answers> {
  await loadKernels();
  const dir = join(bundles, 'provider');
  const { program, integers } = await loadProvider(dir);
  const texts = tokenise(await loadTokenizer(dir), program.longest, examples, options.truncate === true);
  const bar = progress(`Interpreting ${texts.length} texts`);
  const start = performance.now();
  const fixed = fixedPredict(program, integers, texts, {
    ...(options.seed === undefined ? {} : { seed: options.seed }),
    progress: (done, total) => bar.update(done, total),
  });
  const seconds = (performance.now() - start) / 1000;
  bar.succeed(`${texts.length} texts interpreted`);
  const logits = fixed.map((row) => (row instanceof RefusedError ? undefined : [...row]));
  return { logits, seconds };
}

/** Logits of the first `texts` texts, as `train-distill evaluate --predictions` writes them. */
async function readPredictions(file: string, outputs: number, texts: number): Promise<number[][]> {
  const hint = 'Give what `train-distill evaluate STUDENT --predictions FILE` wrote for the same texts.';
  const text = await readFile(file, 'utf8').catch((error: Error) => {
    throw new InputError(`${file}: cannot be read (${error.message})`, hint);
  });
  const lines = text.trimEnd().split('\n');
  if (lines.length < texts) throw new InputError(`${file}: ${lines.length} lines for ${texts} texts`, hint);
  return lines.slice(0, texts).map((line, i) => {
    let logits: unknown;
    try {
      logits = (JSON.parse(line) as { logits?: unknown } | null)?.logits;
    } catch {
      // Told below, with the line.
    }
    if (Array.isArray(logits) && logits.length === outputs && logits.every(Number.isFinite)) return logits as number[];
    throw new InputError(`${file}, line ${i + 1}: no ${outputs} logits`, hint);
  });
}

export interface Agreement {
  /** Share of answered texts with the label of the float model; absent for regression. */
  readonly agreement?: number;
  /** Over all logits of all answered texts. */
  readonly maxLogitError: number;
  readonly meanLogitError: number;
}

/** Answers beside the float model's; undefined answers are left out. */
export function agreement(
  answers: readonly (readonly number[] | undefined)[],
  float: readonly (readonly number[])[],
): Agreement {
  let [texts, equal, logits, sum, most] = [0, 0, 0, 0, 0];
  answers.forEach((row, i) => {
    if (row === undefined) return;
    texts++;
    if (argmax(row) === argmax(float[i]!)) equal++;
    row.forEach((value, j) => {
      const error = Math.abs(value - float[i]![j]!);
      logits++;
      sum += error;
      most = Math.max(most, error);
    });
  });
  const classes = float[0]?.length !== 1;
  return { ...(classes ? { agreement: equal / texts } : {}), maxLogitError: most, meanLogitError: sum / logits };
}

/** Every metric that fits and, for a task, its official score. */
function metricsOf(
  rows: readonly (readonly number[])[],
  targets: readonly number[],
  task: string | undefined,
): Record<string, number> {
  const { loss: _, ...metrics } = measure(rows, targets);
  const values = Object.fromEntries(Object.entries(metrics).map(([name, { value }]) => [name, value]));
  if (task === undefined) return values;
  const answers = rows.map((row) => (row.length === 1 ? row[0]! : argmax(row)));
  return { ...values, score: taskScore(taskInfo(task), answers, targets).mean };
}

async function evaluate(bundles: string, options: EvaluateOptions): Promise<void> {
  const whole = await labelledData(options);
  const data = { ...whole, examples: whole.examples.slice(0, options.examples) };
  const { examples } = data;
  const role = options.clear === true ? 'provider' : 'client';
  const { labels } = (await readBundle(join(bundles, role), role)).manifest;
  const regression = labels.length === 1;
  const targets = targetsOf(data, labels, regression);
  const float =
    options.against === undefined ? undefined : await readPredictions(options.against, labels.length, examples.length);
  const run = options.clear === true ? interpreted : secured;
  const { logits, cost, seconds } = await run(bundles, options, examples);
  const answered = logits.flatMap((row, i) => (row === undefined ? [] : [i]));
  const withheld = examples.length - answered.length;
  if (answered.length === 0) throw new RefusedError('every answer was withheld', new WithheldError().hint);
  const gold = answered.map((i) => targets[i]!);
  const values = metricsOf(
    answered.map((i) => logits[i]!),
    gold,
    options.task,
  );
  const compared =
    float === undefined
      ? undefined
      : {
          ...agreement(logits, float),
          float: metricsOf(
            answered.map((i) => float[i]!),
            gold,
            options.task,
          ),
        };
  const result = {
    command: 'evaluate',
    path: options.clear === true ? 'clear' : 'secured',
    data: data.source,
    examples: examples.length,
    withheld,
    ...values,
    ...compared,
    ...(cost === undefined ? {} : { meanRounds: cost.rounds, meanSentBytes: cost.sentBytes }),
    kernels: kernels().name,
    seconds: Math.round(seconds * 1000) / 1000,
  };
  if (options.json) process.stdout.write(`${JSON.stringify(result)}\n`);
  else {
    const told = (of: Record<string, number>): string =>
      Object.entries(of)
        .map(([name, value]) => `${name} ${(100 * value).toFixed(2)}`)
        .join(', ');
    const bytes = cost === undefined ? '' : `, ${(cost.sentBytes / 1e6).toFixed(2)} MB a text`;
    process.stdout.write(`${told(values)} on ${answered.length} texts${bytes}${withheld === 0 ? '' : `; ${withheld} answers withheld`}\n`); // prettier-ignore
    if (compared !== undefined) {
      const { float: other, ...rest } = compared;
      process.stdout.write(`the float model on the same texts: ${told(other)}\n`);
      for (const [name, value] of Object.entries(rest)) process.stdout.write(`${name} ${String(value)}\n`);
    }
  }
}

/** The subcommand `evaluate`. */
export function addEvaluateCommand(program: Command): void {
  addLabelledData(withFlight(program.command('evaluate <bundles>')))
    .description('Metrics of secured answers on labelled texts, with the three roles on this host.')
    .option('--examples <n>', 'only the first n texts', wholeNumber)
    .option('--truncate', 'cut texts that are too long instead of refusing them')
    .option('--ahead', 'deal for all texts to disk first: `seconds` are then those of the online part')
    .option('--clear', 'without secrecy: the fixed-point interpreter on plaintext, from bundles/provider')
    .option('--seed <seed>', 'with --clear: seed of the rounding; else every mask comes from it: NO SECRECY')
    .option('--against <file>', 'predictions of the float model: adds agreement and logit errors')
    .addHelpText(
      'after',
      `
Metrics are over the answered texts; withheld ones are counted beside them.

Examples:
  secure-infer evaluate bundles --file dev.tsv
  secure-infer evaluate bundles --task mrpc --glue GLUE --examples 200 --json
  train-distill evaluate runs/student --file dev.tsv --predictions float.jsonl
  secure-infer evaluate bundles --file dev.tsv --clear --against float.jsonl --json
`,
    )
    .action(evaluate);
}
