/** `docs/results.md` from the list of rows and the lines measured so far. */
import type { TaskMetric } from '../../data/glue.ts';
import { taskInfo } from '../../data/tasks.ts';
import { compareSection, mean, signed } from './compare.ts';
import type { Machine, Line, ModelLine, SecuredLine, SpeedLine } from './lines.ts';
import { latest } from './lines.ts';
import { mdTable, NOT_RUN } from './markdown.ts';
import { keyOf, labelOf, splitOf, type Model, type Run } from './rows.ts';
import { speedSections } from './speed.ts';

/** The five tasks over which the mean of student − teacher is taken. */
export const FIVE = ['sst-2', 'mrpc', 'cola', 'sts-b', 'polarity'] as const;

/** Metrics as tables call them. */
const METRIC_NAMES: Readonly<Record<TaskMetric, string>> = {
  accuracy: 'accuracy',
  f1: 'F1',
  matthews: 'Matthews',
  pearson: 'Pearson',
  spearman: 'Spearman',
};

/** Machines in the order in which they appear, by letters. */
class Machines {
  readonly #known: string[] = [];

  letter(machine: Machine): string {
    const text = JSON.stringify(machine);
    if (!this.#known.includes(text)) this.#known.push(text);
    return String.fromCharCode(65 + this.#known.indexOf(text));
  }

  section(): string[] {
    const lines = this.#known.map((text, i) => {
      const { processor, cores, memoryGiB, node, kernels } = JSON.parse(text) as Machine;
      return `- **${String.fromCharCode(65 + i)}**: ${processor}, ${cores} core${cores === 1 ? '' : 's'} allowed, ${memoryGiB} GiB, Node ${node.slice(1)}, ring kernels ${kernels}`;
    });
    return lines.length === 0 ? [] : ['## Machines', '', ...lines, ''];
  }
}

const percent = (value: number): string => (100 * value).toFixed(2);
const time = (seconds: number): string =>
  seconds < 100 ? `${seconds.toFixed(1)} s` : seconds < 5400 ? `${(seconds / 60).toFixed(0)} min` : `${(seconds / 3600).toFixed(1)} h`; // prettier-ignore
const code = (text: string): string => `\`${text}\``;

const metricNames = (task: string): string => {
  const names = taskInfo(task).metrics.map((name) => METRIC_NAMES[name]);
  return `${names.join(' / ')}${splitOf(task) === 'dev' ? '' : `, ${splitOf(task)}`}`;
};
const scores = (task: string, line: Pick<ModelLine, 'metrics'> | undefined): string =>
  line === undefined
    ? NOT_RUN
    : taskInfo(task)
        .metrics.map((name) => percent(line.metrics[name]!))
        .join(' / ');

/** What is measured of every model; a later training of it replaces an earlier one. */
class Measured {
  readonly #models = new Map<string, ModelLine>();
  readonly secured: SecuredLine[];
  readonly speed: SpeedLine[];

  constructor(runs: readonly Run[], lines: readonly Line[]) {
    const brought = new Set(runs.filter((run) => run.brought).map(keyOf));
    const last = latest(lines);
    for (const line of last) if (line.kind === 'model') this.#models.set(keyOf(line), line);
    // Figures of a student that was trained again since are of another model.
    this.secured = last.filter(
      (line) => line.kind === 'secured' && (brought.has(keyOf(line)) || this.model(line)?.run === line.run),
    ) as SecuredLine[];
    this.speed = last.filter((line) => line.kind === 'speed');
  }

  model(model: Model): ModelLine | undefined {
    return this.#models.get(keyOf(model));
  }
}

/** Points of student − teacher in the task's score; undefined if one is not run. */
function difference(measured: Measured, student: Model): number | undefined {
  const teacher = measured.model({ task: student.task, variant: 'teacher', seed: 1 });
  const own = measured.model(student);
  return teacher === undefined || own === undefined ? undefined : 100 * (own.score - teacher.score);
}

/** Mean over the five tasks (of the mean over the seeds that ran) for each preset, or what is missing. */
function meanDifferences(runs: readonly Run[], measured: Measured): string[] {
  const students = runs.filter(
    (run) => run.variant === 'student' && (!run.optional || measured.model(run) !== undefined),
  );
  return [...new Set(students.map(labelOf))].flatMap((label) => {
    const tasks = FIVE.map((task) => {
      const own = students.filter((run) => labelOf(run) === label && run.task === task);
      const found = own.flatMap((run) => difference(measured, run) ?? []);
      return { task, of: own.length, found };
    });
    const missing = tasks.filter(({ found, of }) => of === 0 || found.length < of).map(({ task }) => task);
    const present = tasks.filter(({ found }) => found.length > 0);
    // An optional row of some tasks only is compared with others on the same tasks, below.
    const asked = students.some((run) => labelOf(run) === label && !run.optional);
    if (!asked && present.length < FIVE.length) return [];
    if (present.length === 0) return `- ${label}: ${NOT_RUN}`;
    const value = mean(present.map(({ found }) => mean(found)));
    const honest = missing.length === 0 ? 'over the five tasks' : `over ${present.length} of the five tasks (not run in full: ${missing.join(', ')})`; // prettier-ignore
    return `- ${label}: **${signed(value)} points** ${honest}`;
  });
}

function studentsSection(runs: readonly Run[], measured: Measured, machines: Machines): string[] {
  const students = runs.filter(({ variant }) => variant === 'student');
  // An optional row is shown once there is something to show.
  const wanted = students.filter((run) => !run.optional || measured.model(run) !== undefined);
  const rows = wanted.map((run) => {
    const { task, preset } = run;
    const own = measured.model(run);
    const gap = difference(measured, run);
    return [
      task,
      metricNames(task),
      labelOf(run),
      String(run.seed),
      scores(task, measured.model({ task, variant: 'teacher', seed: 1 })),
      scores(task, measured.model({ task, variant: 'swapped', preset, seed: 1 })),
      scores(task, measured.model({ task, variant: 'labels-only', preset, seed: 1 })),
      scores(task, own),
      gap === undefined ? NOT_RUN : signed(gap),
      own === undefined ? NOT_RUN : time(own.seconds),
      own === undefined ? '' : String(own.threads),
      own === undefined ? '' : machines.letter(own.machine),
      own?.recipe ?? '',
    ];
  });
  const head = ['task', 'metric', 'preset', 'seed', 'teacher', 'swapped', 'without distillation', 'student', 'student − teacher', 'time', 'threads', 'machine', 'recipe']; // prettier-ignore
  const trained = runs.filter((run) => !run.optional || measured.model(run) !== undefined);
  return [
    '## Students, in float32',
    '',
    'Percent. *Swapped*: the teacher with 2Quad put in, untrained. *Without distillation*: the swapped model trained for as long on the',
    'labels alone. Student − teacher is the difference of the task’s score (the mean of its metrics), in points.',
    '',
    ...mdTable(head, rows, 'lllrrrrrrrrll'),
    '',
    'Mean of student − teacher, over seeds first and then over tasks:',
    '',
    ...meanDifferences(runs, measured),
    '',
    ...compareSection(runs, (model) => measured.model(model)),
    '### Every training run',
    '',
    ...mdTable(
      ['task', 'model', 'score', 'time', 'command'],
      trained.map((run) => {
        const line = measured.model(run);
        const name = [run.variant, run.name, run.preset, run.variant === 'student' ? `seed ${run.seed}` : undefined];
        const command = line === undefined ? run.command : line.command?.split(' ').slice(1);
        return [
          run.task,
          name.filter((part) => part !== undefined).join(' '),
          line === undefined ? NOT_RUN : percent(line.score),
          line === undefined ? '' : time(line.seconds),
          command === undefined ? `bundled: ${run.folder}` : code(['npx', ...command].join(' ')),
        ];
      }),
      'llrrl',
    ),
    '',
  ];
}

function securedSection(runs: readonly Run[], measured: Measured, machines: Machines): string[] {
  const head = ['task', 'preset', 'seed', 'path', 'plan', 'texts', 'float', 'score', 'labels as float', 'withheld', 'max logit error', 'mean', 'per text', 'rounds', 'sent', 'machine', 'command']; // prettier-ignore
  const students = runs.filter(
    (run) =>
      run.secured &&
      (run.brought ? measured.secured.some((line) => keyOf(line) === keyOf(run)) : measured.model(run) !== undefined),
  );
  const rows = students.flatMap((run) => {
    const own = measured.secured.filter((line) => keyOf(line) === keyOf(run));
    const name = [run.task, labelOf(run), run.brought ? '' : String(run.seed)];
    const shown = own.map((line) => [
      ...name,
      line.path === 'clear' ? 'interpreter' : 'three processes',
      line.plan,
      String(line.examples),
      scores(run.task, { metrics: line.float }),
      scores(run.task, line),
      line.agreement === undefined ? '–' : percent(line.agreement),
      String(line.withheld),
      line.maxLogitError.toFixed(4),
      line.meanLogitError.toFixed(4),
      `${(line.seconds / line.examples).toFixed(3)} s`,
      line.rounds === undefined ? '–' : String(Math.round(line.rounds)),
      line.sentBytes === undefined ? '–' : `${(line.sentBytes / 1e6).toFixed(2)} MB`,
      machines.letter(line.machine),
      code(line.commands.at(-1)!),
    ]);
    return shown.length > 0 || run.optional
      ? shown
      : [[...name, NOT_RUN, ...new Array<string>(head.length - name.length - 1).fill('')]];
  });
  if (rows.length === 0) return ['## Secured', '', `${NOT_RUN}.`, ''];
  const exported = measured.secured[0]?.commands.slice(0, 2) ?? [];
  return [
    '## Secured',
    '',
    'The fixed-point interpreter on the whole part, and three role processes with mutual TLS on loopback (the first texts of it). Metrics are',
    'over the answered texts; *float* is the float student on the same texts, to which labels and logits are compared. Seconds are wall clock divided by texts, dealing',
    'included, three sessions under way at once. Before each command, as here for the first row:',
    '',
    ...(exported.length === 0 ? [] : ['```sh', ...exported, '```', '']),
    ...mdTable(head, rows, 'llrllrrrrrrrrrrll'),
    '',
  ];
}

/** The whole page. Equal rows and lines give equal text. */
export function render(runs: readonly Run[], lines: readonly Line[]): string {
  const measured = new Measured(runs, lines);
  const machines = new Machines();
  const page = [
    '# Results',
    '',
    'Written by `npm run --silent bench -- results render` from `docs/results.jsonl` and `bench/results/rows.json`; not to be edited. Every row has',
    'its command; `$MINILM` is a MiniLM-L6 folder in Hugging Face format (`$TOKENIZER` its tokeniser files, where they lie elsewhere), `$GLUE` the official download,',
    `\`$RUNS\` any folder, \`$WORK\` a temporary one. *${NOT_RUN}* means what it says.`,
    '',
    ...studentsSection(runs, measured, machines),
    ...securedSection(runs, measured, machines),
    ...speedSections(measured.speed, (line) => machines.letter(line.machine)),
    ...machines.section(),
    '## To repeat it',
    '',
    '```sh',
    'npm run --silent bench -- results train --runs $RUNS --from $MINILM --glue $GLUE   # whatever is missing',
    'npm run --silent bench -- results secured --runs $RUNS --glue $GLUE --texts 200',
    'npm run --silent bench -- results record -- secure --shape bert-base --seq 128',
    '```',
    '',
    'A run whose folder is complete is not run again, and a measurement that has its line is not made again: an interrupted command is',
    'started again as it is.',
  ];
  return `${page.join('\n')}\n`;
}
