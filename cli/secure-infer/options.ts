/** Options that several subcommands share, and what they mean. */
import { InvalidArgumentError, Option, type Command } from 'commander';
import { dirname, join } from 'node:path';
import { InputError } from '../../common/errors.ts';
import { PLANS, type PlanOptions } from '../../export/make-plan.ts';
import { MAX_TEXTS } from '../../runtime/role/admission.ts';

export interface QuestionOptions {
  readonly file?: string;
  readonly text?: string;
  readonly pair?: string;
  readonly textColumn?: string;
  readonly pairColumn?: string;
  readonly truncate?: boolean;
}

export const TRUNCATE_HELP = 'cut texts longer than any calibrated one (default: refuse them)';

/** For the help of every subcommand. */
export const EXIT_CODES = `Exit codes: 0 done, 2 bad option, input or file, 3 refused (a text, a bundle, a peer’s key; every answer withheld),
4 a peer failed or is absent, 130 interrupted, 1 anything else.`;

export const withQuestions = (command: Command): Command =>
  command
    .option('--file <file>', 'texts: .txt (one a line), .tsv, .csv, .jsonl or .parquet')
    .option('--text <text>', 'one text')
    .option('--pair <text>', 'the second text of a pair')
    .option('--text-column <name>', 'column of the text in --file (default: by its name, such as text or sentence)')
    .option(
      '--pair-column <name>',
      'column of the second text in --file (default: by its name, unless --text-column is given)',
    )
    .option('--truncate', TRUNCATE_HELP);

export const seconds = (text: string): number => {
  const value = Number(text);
  if (!(value > 0 && value <= 86_400)) throw new InvalidArgumentError('a number of seconds is due.');
  return value * 1000;
};

export const wholeNumber = (text: string): number => {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 1) throw new InvalidArgumentError('a whole number of at least 1 is due.');
  return value;
};

/** Texts of one session. */
export function batchSize(text: string): number {
  const value = wholeNumber(text);
  if (value > MAX_TEXTS) throw new InvalidArgumentError(`at most ${MAX_TEXTS} texts share a session.`);
  return value;
}

/** @throws InputError for a plan nobody defined */
export function planOf(name: string): PlanOptions {
  const plan = Object.hasOwn(PLANS, name) ? PLANS[name] : undefined;
  if (plan === undefined)
    throw new InputError(`--plan ${name}: no such plan`, `choose one of ${Object.keys(PLANS).join(', ')}`);
  return plan;
}

export interface Waits {
  readonly timeout: number;
  readonly patience: number;
}

export const withWaits = (command: Command): Command =>
  command
    .addOption(
      new Option('--timeout <seconds>', 'longest silence within a session').argParser(seconds).default(60_000, '60'),
    )
    .addOption(
      new Option('--patience <seconds>', 'how long to wait for another role to appear')
        .argParser(seconds)
        .default(10_000, '10'),
    );

/** The deployment file given, or the one beside the key folder, where keygen puts it. */
export const deploymentFile = (options: { deployment?: string; keys: string }): string =>
  options.deployment ?? join(dirname(options.keys), 'deployment.json');
