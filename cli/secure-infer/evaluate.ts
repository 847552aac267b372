/** `secure-infer evaluate`: the metrics of secured (or interpreted) answers, and how far their logits are from the float model's. */
import { join } from 'node:path';
import type { Command } from 'commander';
import { RefusedError } from '../../common/errors.ts';
import { targetsOf } from '../../data/labels.ts';
import { taskInfo } from '../../data/tasks.ts';
import type { Encoding } from '../../data/tokenizer.ts';
import { loadTokenizer } from '../../data/tokenizer-files.ts';
import { fixedPredict } from '../../export/clear.ts';
import { readBundle, type ClientBundle } from '../../export/bundle.ts';
import { loadProvider, type Provider } from '../../export/provider.ts';
import { kernels } from '../../ring/index.ts';
import { loadKernels } from '../../ring/kernels/node.ts';
import { WithheldError } from '../../runtime/client/ask.ts';
import { measure } from '../../train/evaluate.ts';
import { argmax } from '../../train/predict.ts';
import { readPredictions } from '../../train/predictions.ts';
import { taskScore } from '../../train/task-score.ts';
import { addLabelledData, labelledData, type LabelledDataFlags } from '../train-distill/evaluate.ts';
import { counted, figure, resultLine } from '../ui/figures.ts';
import { progress } from '../ui/progress.ts';
import { answerAll, withFlight, withLocal, type LocalCommandOptions } from './client-commands.ts';
import { TRUNCATE_HELP, wholeNumber } from './options.ts';
import { textsOf, tokenise } from './texts.ts';

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
async function secured(
  bundles: string,
  client: ClientBundle,
  options: EvaluateOptions,
  all: readonly Encoding[],
): Promise<Answers> {
  let result: Answers | undefined;
  await withLocal(bundles, client, options, all, async (asker) => {
    const logits = new Array<readonly number[] | undefined>(all.length).fill(undefined);
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
    const n = Math.max(1, all.length - withheld);
    const cost = { rounds: rounds / n, sentBytes: Math.round(sentBytes / n) };
    result = { logits, cost, seconds };
  });
  return result!;
}

/** The fixed-point interpreter on plaintext, with rounding words of its own. */
function interpreted({ program, integers }: Provider, options: EvaluateOptions, all: readonly Encoding[]): Answers {
  const bar = progress(`Interpreting ${counted(all.length, 'text')}`);
  const start = performance.now();
  const fixed = fixedPredict(program, integers, all, {
    ...(options.seed === undefined ? {} : { seed: options.seed }),
    progress: (done, total) => bar.update(done, total),
  });
  const seconds = (performance.now() - start) / 1000;
  bar.succeed(`${counted(all.length, 'text')} interpreted`);
  const logits = fixed.map((row) => (row instanceof RefusedError ? undefined : [...row]));
  return { logits, seconds };
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
  const texts = textsOf(whole, options.examples);
  const data = { ...whole, examples: texts.examples };
  const clear = options.clear === true;
  await loadKernels();
  const dir = join(bundles, clear ? 'provider' : 'client');
  const provider = clear ? await loadProvider(dir) : undefined;
  const bundle = provider?.bundle ?? (await readBundle(dir, 'client'));
  const { labels } = bundle.manifest;
  const targets = targetsOf(data, labels, labels.length === 1);
  const tokenizer = await loadTokenizer(dir);
  const { encodings: all, truncated } = tokenise(tokenizer, bundle.manifest, texts, options.truncate === true);
  const float = options.against === undefined ? undefined : await readPredictions(options.against, labels.length, all);
  const { logits, cost, seconds } =
    provider === undefined
      ? await secured(bundles, bundle as ClientBundle, options, all)
      : interpreted(provider, options, all);

  const answered = logits.flatMap((row, i) => (row === undefined ? [] : [i]));
  if (answered.length === 0) throw new RefusedError('every answer was withheld', new WithheldError().hint);
  const measured = (rows: readonly (readonly number[] | undefined)[]): Record<string, number> =>
    metricsOf(answered.map((i) => rows[i]!), answered.map((i) => targets[i]!), options.task); // prettier-ignore
  const result: Result = {
    command: 'evaluate',
    path: clear ? 'clear' : 'secured',
    data: data.source,
    examples: all.length,
    ...(truncated > 0 && { truncated }),
    withheld: all.length - answered.length,
    withheldAt: logits.flatMap((row, i) => (row === undefined ? [whole.places?.[i] ?? `example ${i + 1}`] : [])),
    metrics: measured(logits),
    ...(float && { compared: { ...agreement(logits, float), float: measured(float) } }),
    ...(cost && { meanRounds: cost.rounds, meanSentBytes: cost.sentBytes }),
    kernels: kernels().name,
    seconds: Math.round(seconds * 1000) / 1000,
  };
  const { metrics, compared, ...rest } = result;
  process.stdout.write(options.json ? `${JSON.stringify({ ...rest, ...metrics, ...compared })}\n` : resultText(result));
}

/** What a run of the subcommand gave; in JSON `metrics` and `compared` are spread. */
interface Result {
  readonly command: 'evaluate';
  readonly path: 'clear' | 'secured';
  readonly data: string;
  readonly examples: number;
  /** Texts that were cut; absent: none. */
  readonly truncated?: number;
  readonly withheld: number;
  /** Where the withheld texts stand in the data. */
  readonly withheldAt: readonly string[];
  readonly metrics: Readonly<Record<string, number>>;
  readonly compared?: Agreement & { readonly float: Readonly<Record<string, number>> };
  readonly meanRounds?: number;
  readonly meanSentBytes?: number;
  readonly kernels: string;
  readonly seconds: number;
}

/** Withheld texts that the result names for people; --json has all. */
const NAMED = 20;

/** The result in lines that people read. */
export function resultText(r: Result): string {
  const { examples, withheld, withheldAt, metrics, compared, meanRounds, meanSentBytes, seconds } = r;
  const more = withheld > NAMED ? ` and ${withheld - NAMED} more (--json names all)` : '';
  const lines: [string, string][] = [
    ['data', r.data],
    ['examples', `${examples}${withheld === 0 ? '' : `, ${counted(examples - withheld, 'answer')}, ${withheld} withheld`}`],
  ]; // prettier-ignore
  if (r.truncated !== undefined) lines.push(['truncated', String(r.truncated)]);
  if (withheld > 0) lines.push(['withheld', withheldAt.slice(0, NAMED).join(', ') + more]);
  for (const [name, value] of Object.entries(metrics)) {
    const other = compared?.float[name];
    lines.push([name, figure(name, value) + (other === undefined ? '' : ` (float model ${figure(name, other)})`)]);
  }
  if (compared?.agreement !== undefined) lines.push(['agreement', figure('agreement', compared.agreement)]);
  if (compared !== undefined)
    lines.push(['logit error', `${figure('', compared.maxLogitError)} at most, ${figure('', compared.meanLogitError)} on average`]); // prettier-ignore
  if (meanRounds !== undefined)
    lines.push(['a text', `${figure('', meanRounds)} rounds, ${(meanSentBytes! / 1e6).toFixed(2)} MB sent by each party`]); // prettier-ignore
  lines.push(['seconds', figure('', seconds)]);
  return lines.map(([name, value]) => resultLine(name, value)).join('');
}

const JSON_HELP =
  'one JSON object: metrics as shares of one (with --against: of the float model too, agreement, maxLogitError, meanLogitError), examples, truncated, withheld, withheldAt, meanRounds and meanSentBytes a text, seconds';

/** The subcommand `evaluate`. */
export function addEvaluateCommand(program: Command): void {
  addLabelledData(withFlight(program.command('evaluate <bundles>'), JSON_HELP))
    .description('Metrics of secured answers on labelled texts, with the three roles on this host.')
    .option('--examples <n>', 'only the first n texts (default: all)', wholeNumber)
    .option('--truncate', TRUNCATE_HELP)
    .option('--ahead', 'deal for all texts to disk first: `seconds` are then those of the online part')
    .option('--clear', 'without secrecy: the fixed-point interpreter on plaintext, from bundles/provider')
    .option(
      '--seed <seed>',
      'with --clear: seed of the rounding (default: 0); else every mask comes from it: NO SECRECY (default: secret masks)',
    )
    .option(
      '--against <file>',
      'predictions of the float model (train-distill evaluate --predictions): adds agreement and logit errors',
    )
    .addHelpText(
      'after',
      `
Metrics are over the answered texts; withheld ones are named beside them. --truncate cuts at the longest
calibrated length; --against refuses predictions that were made of other texts, or of the same cut at another length.

Examples:
  secure-infer evaluate bundles --file dev.tsv
  secure-infer evaluate bundles --task mrpc --glue GLUE --examples 200 --json
  train-distill evaluate runs/student --file dev.tsv --predictions float.jsonl
  secure-infer evaluate bundles --file dev.tsv --clear --against float.jsonl --json
`,
    )
    .action(evaluate);
}
