/** `bench results`: the tables of `docs/results.md`, measured by the product's own commands, resumable. */
import { readFile } from 'node:fs/promises';
import type { Command } from 'commander';
import { numeric } from '../cli/train-distill/options.ts';
import { writeWhole } from '../cli/train-distill/evaluate.ts';
import { packageFile } from '../cli/ui/package.ts';
import { InputError } from '../common/errors.ts';
import { taskInfo } from '../data/tasks.ts';
import { lastLine, runBench, shown, type Places } from './results/commands.ts';
import { appendLine, readLines, thisMachine } from './results/lines.ts';
import { measureModel, measureSecured } from './results/measure.ts';
import { render } from './results/render.ts';
import { readRows, runsOf, VARIANTS, type Run, type Variant } from './results/rows.ts';

interface Files {
  readonly rows: string;
  readonly results: string;
  readonly out: string;
}

interface MeasureFlags extends Files {
  readonly runs: string;
  readonly from?: string;
  readonly tokenizer?: string;
  readonly glue?: string;
  readonly brought?: string;
  readonly only?: string[];
  readonly variants?: readonly Variant[];
  readonly optional: boolean;
  readonly threads: number;
  readonly quiet: boolean;
}

const positive = (flag: string): ((text: string) => number) => numeric(flag, { whole: true, min: 1 });
const list = (text: string): string[] => text.split(',').map((part) => part.trim());

function variants(text: string): Variant[] {
  return list(text).map((name) => {
    const found = VARIANTS.find((variant) => variant === name);
    if (found === undefined) throw new InputError(`--variants: no '${name}'`, `Give some of ${VARIANTS.join(', ')}.`);
    return found;
  });
}

const addFiles = (command: Command): Command =>
  command
    .option('--rows <file>', 'what is to be measured', packageFile('bench/results/rows.json'))
    .option('--results <file>', 'lines of what was measured, appended to', packageFile('docs/results.jsonl'))
    .option('--out <file>', 'the page', packageFile('docs/results.md'));

const addMeasure = (command: Command): Command =>
  addFiles(command)
    .requiredOption('--runs <dir>', 'models: TASK/teacher, TASK/PRESET/swapped, …/labels-only, …/seed-N')
    .option('--from <dir>', 'pretrained model that teachers start from')
    .option('--tokenizer <dir>', 'its tokeniser files, if the folder has none')
    .option('--glue <dir>', 'folder of the official GLUE download')
    .option('--brought <dir>', 'folder of the students that were trained elsewhere')
    .option('--only <names>', 'rows whose task, TASK/PRESET or TASK/NAME is given, separated by commas', list)
    .option('--variants <names>', `only these models: ${VARIANTS.join(', ')}`, variants)
    .option('--optional', 'optional rows too', false)
    .option('--threads <n>', 'threads of training and export', positive('--threads'), 2)
    .option('--quiet', 'no progress on standard error', false);

const placesOf = ({ runs, from, tokenizer, glue, brought }: MeasureFlags): Places => ({
  RUNS: runs,
  ...(from === undefined ? {} : { MINILM: from }),
  ...(tokenizer === undefined ? {} : { TOKENIZER: tokenizer }),
  ...(glue === undefined ? {} : { GLUE: glue }),
  ...(brought === undefined ? {} : { BROUGHT: brought }),
});

/** Runs that the flags choose. A teacher is needed by every preset of its task. @throws InputError if there is none */
function chosen(runs: readonly Run[], { only, optional, variants: some }: MeasureFlags): Run[] {
  const wanted = only?.map((name) => {
    const [task, preset] = name.split('/');
    return { task: taskInfo(task!).name, preset };
  });
  const found = runs.filter(
    (run) =>
      (optional || !run.optional) &&
      (some === undefined || some.includes(run.variant)) &&
      (wanted === undefined ||
        wanted.some(
          ({ task, preset }) =>
            task === taskInfo(run.task).name &&
            (preset === undefined || run.preset === undefined || preset === (run.name ?? run.preset)),
        )),
  );
  if (found.length === 0) throw new InputError('no row is chosen', 'Name tasks of --rows with --only, as mrpc or mrpc/secformer.'); // prettier-ignore
  return found;
}

/** The runs of the rows; what is shown does not depend on where a tokeniser lies. */
async function allRuns({
  rows,
  threads,
  tokenizer,
}: {
  rows: string;
  threads: number;
  tokenizer?: string;
}): Promise<Run[]> {
  // prettier-ignore
  return runsOf(await readRows(rows), { threads, tokenizer: tokenizer !== undefined });
}

async function renderPage({ rows, results, out }: Files): Promise<void> {
  const runs = runsOf(await readRows(rows), { threads: 2, tokenizer: false });
  await writeWhole(out, render(runs, await readLines(results)));
}

async function train(flags: MeasureFlags & { readonly train: boolean; readonly print: boolean }): Promise<void> {
  const runs = chosen(await allRuns(flags), flags);
  const options = { places: placesOf(flags), results: flags.results, threads: flags.threads, quiet: flags.quiet };
  for (const run of runs) {
    if (flags.print) {
      if (run.command !== undefined) process.stdout.write(`${shown(run.command)}\n`);
    } else if ((await measureModel(run, flags.train, options)) === undefined) {
      process.stderr.write(`${run.folder}: not run\n`);
    } else await renderPage(flags);
  }
}

interface SecuredFlags extends MeasureFlags {
  readonly texts: number;
  readonly plan: string;
  readonly calibrateSize: number;
  readonly maxLength?: number;
  readonly clearOnly: boolean;
}

async function secured(flags: SecuredFlags): Promise<void> {
  const runs = chosen(await allRuns(flags), flags).filter((run) => run.secured);
  const { results, threads, quiet, texts, plan, calibrateSize, maxLength, clearOnly } = flags;
  const options = {
    places: placesOf(flags),
    results,
    threads,
    quiet,
    texts,
    plan,
    calibrateSize,
    maxLength,
    clearOnly,
  };
  for (const run of runs) {
    const trained = await measureModel(run, false, options);
    if (trained === undefined) process.stderr.write(`${run.folder}: not run\n`);
    else {
      await measureSecured(trained, options);
      await renderPage(flags);
    }
  }
}

async function record(words: readonly string[], flags: Files & { readonly output?: string }): Promise<void> {
  const output =
    flags.output === undefined ? await runBench(words) : lastLine(await readFile(flags.output, 'utf8').catch((error: Error) => { throw new InputError(`${flags.output}: ${error.message}`, 'Give what the command printed with --json.'); })); // prettier-ignore
  const command = `npm run --silent bench -- ${words.filter((word) => word !== '--json').join(' ')}`;
  await appendLine(flags.results, {
    kind: 'speed',
    bench: words[0]!,
    command,
    output: JSON.parse(JSON.stringify(output)),
    machine: await thisMachine(),
  });
  await renderPage(flags);
}

/** `bench results`. */
export function addResultsBench(program: Command): void {
  const results = program
    .command('results')
    .description('The tables of docs/results.md: trains, secures and times what is missing, and writes the page.')
    .addHelpText(
      'after',
      `
Every figure comes from a command of the toolkit, which is shown beside it. A finished row has its line in docs/results.jsonl and is not
measured again; a run whose folder is complete (run.json) is not trained again.

Examples:
  npm run --silent bench -- results train --runs runs --from MiniLM --glue GLUE
  npm run --silent bench -- results train --runs runs --from MiniLM --glue GLUE --only mrpc/secformer --print
  npm run --silent bench -- results secured --runs runs --glue GLUE --only mrpc,sts-b --texts 200
  npm run --silent bench -- results record -- secure --shape bert-base --seq 128
  npm run --silent bench -- results render
`,
    );
  addMeasure(results.command('train'))
    .description('Trains the models of the rows that are missing, and evaluates every model in float.')
    .option('--no-train', 'evaluate only the runs that are complete')
    .option('--print', 'print the commands of the runs instead', false)
    .action(train);
  addMeasure(results.command('secured'))
    .description('Exports every student that is there; interprets the whole part and asks some texts in secret.')
    .option('--texts <n>', 'texts for the three processes', positive('--texts'), 200)
    .option('--plan <name>', 'of export-shares', 'balanced')
    .option('--clear-only', 'the interpreter alone', false)
    .option('--calibrate-size <n>', 'of export-shares', positive('--calibrate-size'), 4000)
    .option('--max-length <n>', 'of export-shares', positive('--max-length'))
    .action(secured);
  addFiles(results.command('record <bench...>'))
    .description('Runs `bench secure`, `kernels` or `train` and records what it prints.')
    .option('--output <file>', 'what the command printed with --json earlier on this machine, instead of running it')
    .action(record);
  addFiles(results.command('render')).description('Writes the page from the lines.').action(renderPage);
}
