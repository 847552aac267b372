import type { Command } from 'commander';
import { stat } from 'node:fs/promises';
import { basename, dirname, join, relative, resolve, sep } from 'node:path';
import { InputError } from '../../common/errors.ts';
import { readRunRecord, RUN_RECORD_FILE } from '../../checkpoints/run-record.ts';
import { reportHtml, type Run } from '../../train/report/report.ts';
import { writeWhole } from './evaluate.ts';
import { EXIT_CODES } from './options.ts';
import { printResult } from './training.ts';

interface ReportFlags {
  readonly out: string;
  readonly title?: string;
  readonly json: boolean;
}

/** The record of a run given as its folder or as the file itself. */
async function recordFile(run: string): Promise<string> {
  const found = await stat(run).catch(() => undefined);
  if (found === undefined) throw new InputError(`${run}: no such file or folder`, 'Give the --out folder of a training run.'); // prettier-ignore
  return found.isDirectory() ? join(run, RUN_RECORD_FILE) : run;
}

/** Short names that tell the runs apart: the folder's own, or as much of its path as differs. */
export function runNames(files: readonly string[]): string[] {
  const folders = files.map((file) => (basename(file) === RUN_RECORD_FILE ? dirname(resolve(file)) : resolve(file)));
  const repeated = folders.find((folder, i) => folders.indexOf(folder) !== i);
  if (repeated !== undefined) throw new InputError(`${repeated} is given twice`, 'Give every run once.');
  const own = folders.map((folder) => basename(folder));
  if (new Set(own).size === own.length) return own;
  const parts = folders.map((folder) => folder.split(sep));
  const common = parts[0]!.findIndex((part, i) => parts.some((other) => other[i] !== part));
  return folders.map((folder) => relative(parts[0]!.slice(0, common).join(sep) || sep, folder));
}

async function report(runs: readonly string[], flags: ReportFlags): Promise<void> {
  const files = await Promise.all(runs.map(recordFile));
  const names = runNames(files);
  const records: Run[] = [];
  for (const [i, file] of files.entries()) records.push({ name: names[i]!, record: await readRunRecord(file) });
  const html = reportHtml(records, flags.title);
  await writeWhole(flags.out, html);
  printResult({ command: 'report', out: flags.out, runs: runs.length, bytes: Buffer.byteLength(html) }, flags.json);
}

/** The subcommand `report`. */
export function addReport(program: Command): void {
  program
    .command('report')
    .description('one self-contained HTML page about one or several training runs')
    .argument('<run...>', `model folders that train-distill wrote, or their ${RUN_RECORD_FILE}`)
    .requiredOption('--out <file>', 'the page; a file of that name is replaced')
    .option('--title <text>', 'heading of the page')
    .option('--json', 'print the result as one JSON object on standard output', false)
    .addHelpText(
      'after',
      `
The page holds the curves of every loss and metric, the errors by layer, the answers on dev data, the activation ranges, and for
several runs their results side by side. It needs no network and follows the reader's light or dark scheme.

Examples:
  train-distill report runs/student --out report.html
  train-distill report runs/seed1 runs/seed2 runs/seed3 --out seeds.html --title "MRPC, three seeds"
${EXIT_CODES}`,
    )
    .action(report);
}
