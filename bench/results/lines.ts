/** `results.jsonl`: one line for each finished measurement, appended, never changed. Of lines with one key the last counts. */
import { appendFile, readFile, truncate } from 'node:fs/promises';
import { cpus, totalmem, availableParallelism } from 'node:os';
import { z } from 'zod';
import { InputError } from '../../common/errors.ts';
import { loadKernels } from '../../ring/kernels/node.ts';
import { keyOf, VARIANTS } from './rows.ts';

const MACHINE = z.strictObject({
  processor: z.string(),
  /** That the command may use. */
  cores: z.int().min(1),
  memoryGiB: z.number(),
  node: z.string(),
  /** Of the ring: what the processor allows. */
  kernels: z.string(),
});
export type Machine = z.infer<typeof MACHINE>;

/** This machine, as this process may use it. */
export async function thisMachine(): Promise<Machine> {
  return {
    processor: cpus()[0]?.model ?? 'unknown',
    cores: availableParallelism(),
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    node: process.version,
    kernels: (await loadKernels()).name,
  };
}

const METRICS = z.record(z.string(), z.number());
const MODEL = {
  task: z.string(),
  variant: z.enum(VARIANTS),
  preset: z.string().optional(),
  name: z.string().optional(),
  seed: z.int(),
  /** When the run of the model began, or the digest of a brought one: a model trained again has other results. */
  run: z.string(),
};

const LINE = z.discriminatedUnion('kind', [
  z.strictObject({
    kind: z.literal('model'),
    ...MODEL,
    /** The training, as typed; absent for a model that was brought. */
    command: z.string().optional(),
    /** Recipe and stages of the run. */
    recipe: z.string(),
    split: z.string(),
    examples: z.int(),
    /** The task's official metrics and their mean, as fractions. */
    metrics: METRICS,
    score: z.number(),
    /** Wall clock of the training, and its threads. */
    seconds: z.number(),
    threads: z.int(),
    machine: MACHINE,
  }),
  z.strictObject({
    kind: z.literal('secured'),
    ...MODEL,
    /** The interpreter on plaintext, or the three processes. */
    path: z.enum(['clear', 'secured']),
    plan: z.string(),
    /** Export, float predictions, evaluation. */
    commands: z.array(z.string()),
    split: z.string(),
    examples: z.int(),
    withheld: z.int(),
    metrics: METRICS,
    score: z.number(),
    /** Metrics of the float model on the same texts. */
    float: METRICS,
    agreement: z.number().optional(),
    maxLogitError: z.number(),
    meanLogitError: z.number(),
    /** All texts, from the first question to the last answer. */
    seconds: z.number(),
    rounds: z.number().optional(),
    /** Sent by one party, mean of a text. */
    sentBytes: z.number().optional(),
    machine: MACHINE,
  }),
  z.strictObject({
    kind: z.literal('speed'),
    /** `secure`, `kernels` or `train`. */
    bench: z.string(),
    command: z.string(),
    /** What the command printed. */
    output: z.json(),
    machine: MACHINE,
  }),
]);
export type Line = z.infer<typeof LINE>;
export type ModelLine = Extract<Line, { kind: 'model' }>;
export type SecuredLine = Extract<Line, { kind: 'secured' }>;
export type SpeedLine = Extract<Line, { kind: 'speed' }>;

/** All lines of the file, none if it is absent. A last line that a crash cut off is left out. @throws InputError naming the line */
export async function readLines(file: string): Promise<Line[]> {
  const text = await readFile(file, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return '';
    throw new InputError(`${file}: cannot be read (${error.message})`, 'Give a file of results.');
  });
  const whole = text.slice(0, text.lastIndexOf('\n') + 1);
  return whole
    .split('\n')
    .slice(0, -1)
    .map((line, i) => {
      let json: unknown;
      try {
        json = JSON.parse(line);
      } catch {
        throw new InputError(`${file}, line ${i + 1}: not JSON`, 'Remove the line: its measurement is made again.');
      }
      const parsed = LINE.safeParse(json);
      if (parsed.success) return parsed.data;
      const issue = parsed.error.issues[0]!;
      throw new InputError(
        `${file}, line ${i + 1}: ${issue.path.join('.')}: ${issue.message}`,
        'Remove the line: its measurement is made again.',
      );
    });
}

/** Appends a line; what a crash left of one before is cut off. */
export async function appendLine(file: string, line: Line): Promise<void> {
  const before = await readFile(file).catch(() => Buffer.alloc(0));
  const whole = before.lastIndexOf(0x0a) + 1;
  if (whole < before.length) await truncate(file, whole);
  await appendFile(file, `${JSON.stringify(LINE.parse(line))}\n`);
}

const securedKey = (l: SecuredLine): string => `${modelKey(l)} ${l.path} ${l.plan} ${l.examples}`;
const modelKey = (line: ModelLine | SecuredLine): string => `${keyOf(line)} ${line.run}`;

const keyOfLine = (line: Line): string =>
  line.kind === 'speed' ? line.command : line.kind === 'model' ? modelKey(line) : securedKey(line);

/** Of lines with one key the last, in the order of their first. */
export const latest = (lines: readonly Line[]): Line[] => [
  ...new Map(lines.map((line) => [`${line.kind} ${keyOfLine(line)}`, line])).values(),
];
