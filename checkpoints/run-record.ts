/** What a training run was and gave, as `run.json` beside the model: enough to repeat it bit for bit, and its results. */
import { z } from 'zod';
import { InputError } from '../common/errors.ts';
import { exists, readText, writeDurably } from './files.ts';

export const RUN_RECORD_FILE = 'run.json';

const sha256Hex = z.string().regex(/^[0-9a-f]{64}$/, 'must be 64 lower-case hex digits');
const number = z.number('must be a finite number');
const count = z.int('must be a whole number').min(0, 'must be at least 0');

const EVALUATION = z.discriminatedUnion('kind', [
  z.strictObject({
    kind: z.literal('classes'),
    labels: z.array(z.string()).min(2),
    /** Examples by actual (row) and predicted class (column). */
    confusion: z.array(z.array(count)),
  }),
  z.strictObject({
    kind: z.literal('scores'),
    /** Target and prediction of each example, or of an even sample of them. */
    pairs: z.array(z.tuple([number, number])).min(1),
  }),
]);

const OUTCOME = z.strictObject({
  stage: z.string().min(1),
  /** Optimiser steps done. */
  steps: count,
  /** Step whose weights it gave. */
  chosenStep: count,
  /** Whether patience ran out. */
  stoppedEarly: z.boolean('must be true or false'),
  /** Of these weights on dev data. */
  metrics: z.record(z.string(), number),
});

const RANGE = z.strictObject({
  /** What is measured, as a person reads it: `input of the activation`. */
  wire: z.string().min(1),
  layer: count,
  min: number,
  max: number,
  /** Where the secured path wants the values; without a least one, null. */
  interval: z.tuple([number.nullable(), number]).optional(),
});

const SCHEMA = z.strictObject({
  format: z.literal('run-record'),
  version: z.literal(1),
  /** The command without paths: `teacher`, `student`. */
  command: z.string().min(1),
  /** When the run began, ISO 8601 in UTC. */
  started: z.iso.datetime(),
  /** Wall-clock duration, seconds: of a run that was interrupted, of all its processes without work that was lost. */
  seconds: number.min(0),
  /** Every hyper-parameter as used, defaults included. */
  config: z.record(z.string(), z.json()),
  /** sha256 of each data set as read, by role: train, dev, test. */
  dataHash: z.record(z.string(), sha256Hex),
  /** sha256 of each weight file the run started from, by role: teacher, base. */
  modelHash: z.record(z.string(), sha256Hex),
  seed: count,
  /** Engine threads: the bits of a result depend on it. */
  threads: count.min(1),
  /** Versions of toolkit, engine, Node; platform and processor. */
  versions: z.record(z.string(), z.string()),
  /** Optimiser steps in order: which stage, its losses and rates by name. */
  curve: z.array(z.strictObject({ stage: z.string(), step: count, values: z.record(z.string(), number) })),
  /** Results by name: accuracy and loss per data set. */
  metrics: z.record(z.string(), number),
  /** What became of each stage; absent in records of older versions. */
  outcomes: z.array(OUTCOME).optional(),
  /** Most memory a process of the run had at once, bytes (resident set). */
  peakRssBytes: count.optional(),
  /** The saved weights on the dev set, example by example. */
  evaluation: EVALUATION.optional(),
  /** Least and greatest activations of the saved weights on dev texts. */
  ranges: z.array(RANGE).optional(),
});

export type RunRecord = z.infer<typeof SCHEMA>;

/** @throws InputError naming `where` and the field */
export function parseRunRecord(json: unknown, where: string): RunRecord {
  const parsed = SCHEMA.safeParse(json);
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0]!;
  const field = issue.path.join('.') || 'the record';
  throw new InputError(
    `${where}: ${field}: ${issue.message}`,
    'Give a run.json that train-distill of this version wrote.',
  );
}

/** @throws InputError if the file is absent, no JSON or no run record */
export async function readRunRecord(file: string): Promise<RunRecord> {
  const hint = 'Give a run.json that train-distill wrote.';
  const text = await readText(file, hint);
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (error) {
    throw new InputError(`${file}: not valid JSON (${(error as Error).message})`, hint);
  }
  return parseRunRecord(json, file);
}

/** The text of `run.json`, checked: pass it to saveModel as `extra`. */
export function runRecordJson(record: RunRecord): string {
  return `${JSON.stringify(parseRunRecord(record, RUN_RECORD_FILE), null, 2)}\n`;
}

/** Writes a new file. @throws InputError if it exists */
export async function writeRunRecord(file: string, record: RunRecord): Promise<void> {
  if (await exists(file)) throw new InputError(`${file}: exists already`, 'Choose another file, or remove this one.');
  await writeDurably(file, runRecordJson(record));
}
