/** What is to be measured: a list of rows, the training runs they need, and the command and folder of each run. */
import { readFile } from 'node:fs/promises';
import { z } from 'zod';
import { InputError } from '../../common/errors.ts';
import { TASK_NAMES, taskInfo } from '../../data/tasks.ts';

const flagList = z.array(z.string()).default([]);
const taskName = z.string().min(1);

const SCHEMA = z.strictObject({
  /** One for each task: trained with `flags`, or a folder that is there already (beside package.json). */
  teachers: z.array(
    z.strictObject({
      task: taskName,
      flags: flagList,
      folder: z.string().optional(),
      optional: z.boolean().default(false),
    }),
  ),
  /** Flags that make of a row's student one that is trained without its teacher. */
  labelsOnly: flagList,
  students: z.array(
    z.strictObject({
      task: taskName,
      preset: z.string().min(1),
      /** Tells rows of one task and preset apart that differ in flags; the folder is named by it in place of the preset. */
      name: z.string().min(1).optional(),
      seeds: z.array(z.int().min(0)).min(1),
      flags: flagList,
      optional: z.boolean().default(false),
      /** Whether the secure path evaluates such a student. */
      secured: z.boolean().default(true),
    }),
  ),
  /** Students trained elsewhere, each in its folder: evaluated and secured like those of the rows, compared with no teacher. */
  brought: z
    .array(
      z.strictObject({ task: taskName, preset: z.string().min(1), name: z.string().min(1), folder: z.string().min(1) }),
    )
    .default([]),
});

export type RowList = z.infer<typeof SCHEMA>;

/** @throws InputError naming the file and field, a task nobody knows, or a row without its teacher */
export async function readRows(file: string): Promise<RowList> {
  const hint = 'Write it like bench/results/rows.json.';
  let json: unknown;
  try {
    json = JSON.parse(await readFile(file, 'utf8'));
  } catch (error) {
    throw new InputError(`${file}: ${(error as Error).message}`, hint);
  }
  const parsed = SCHEMA.safeParse(json);
  if (!parsed.success) {
    const issue = parsed.error.issues[0]!;
    throw new InputError(`${file}: ${issue.path.join('.')}: ${issue.message}`, hint);
  }
  const list = parsed.data;
  for (const row of [...list.teachers, ...list.students, ...list.brought]) taskInfo(row.task);
  const orphan = list.students.find((row) => !list.teachers.some((teacher) => teacher.task === row.task));
  if (orphan !== undefined) throw new InputError(`${file}: no teacher for ${orphan.task}`, hint);
  return list;
}

export const VARIANTS = ['teacher', 'swapped', 'labels-only', 'student'] as const;
export type Variant = (typeof VARIANTS)[number];

/** Names a trained model: what a result is of. */
export interface Model {
  readonly task: string;
  readonly variant: Variant;
  /** Absent for a teacher. */
  readonly preset?: string | undefined;
  /** Of a row that differs from its preset's usual one. */
  readonly name?: string | undefined;
  readonly seed: number;
}

export const keyOf = ({ task, variant, preset, name, seed }: Model): string =>
  [task, variant, preset ?? '', name ?? '', seed].join(' ');

/** A student's preset, and what tells it from others of the preset, in Markdown. */
export const labelOf = ({ preset, name }: Model): string =>
  name === undefined ? `\`${preset}\`` : `\`${preset}\`, ${name}`;

/** One training run. Words may begin with a place: `$RUNS`, `$GLUE`, `$MINILM`, `$TOKENIZER`, `$BROUGHT` (`commands.ts`). */
export interface Run extends Model {
  readonly folder: string;
  /** The whole command; undefined if the folder is there already. */
  readonly command: readonly string[] | undefined;
  /** A student trained elsewhere: it has no record of its training. */
  readonly brought: boolean;
  readonly optional: boolean;
  /** A student that is to be exported and asked in secret. */
  readonly secured: boolean;
}

export interface CommandOptions {
  readonly threads: number;
  /** Whether $TOKENIZER is given. */
  readonly tokenizer: boolean;
}

const taskFlags = (name: string): string[] => [
  ...['--task', name],
  ...(TASK_NAMES.includes(taskInfo(name).name) ? [] : ['--glue', '$GLUE']),
];

/** The folder of a model below $RUNS. */
export function folderOf({ task, variant, preset, name, seed }: Model): string {
  if (variant === 'teacher') return `$RUNS/${task}/teacher`;
  return `$RUNS/${task}/${name ?? preset}/${variant === 'student' ? `seed-${seed}` : variant}`;
}

/** Every run that the rows need, in an order in which they can be made: teachers first. */
export function runsOf(list: RowList, { threads, tokenizer }: CommandOptions): Run[] {
  const engine = ['--threads', String(threads)];
  const teachers = list.teachers.map((row): Run & { readonly command: readonly string[] | undefined } => {
    const model = { task: row.task, variant: 'teacher', seed: 1 } as const;
    const folder = row.folder ?? folderOf(model);
    const from = ['--from', '$MINILM', ...(tokenizer ? ['--tokenizer', '$TOKENIZER'] : [])];
    const command =
      row.folder === undefined
        ? ['train-distill', 'teacher', ...from, ...taskFlags(row.task), ...row.flags, ...engine, '--out', folder]
        : undefined;
    return { ...model, folder, command, brought: false, optional: row.optional, secured: false };
  });
  const seen = new Set<string>();
  const students = list.students.flatMap((row) => {
    const teacher = teachers.find((run) => run.task === row.task)!.folder;
    const run = (variant: Variant, seed: number, more: readonly string[]): Run[] => {
      const model = {
        task: row.task,
        variant,
        preset: row.preset,
        name: variant === 'student' ? row.name : undefined,
        seed,
      };
      if (seen.has(keyOf(model))) return [];
      seen.add(keyOf(model));
      const folder = folderOf(model);
      const command = [
        ...['train-distill', 'student', '--teacher', teacher, ...taskFlags(row.task), '--preset', row.preset],
        ...[...more, '--seed', String(seed), ...engine, '--out', folder],
      ];
      const ask = variant === 'student' && row.secured;
      return [{ ...model, folder, command, brought: false, optional: row.optional, secured: ask }];
    };
    return [
      ...run('swapped', 1, ['--swap-only']),
      ...row.seeds.flatMap((seed) => run('student', seed, row.flags)),
      ...run('labels-only', 1, [...row.flags, ...list.labelsOnly]),
    ];
  });
  const brought = list.brought.map((row): Run => {
    const model = { ...row, variant: 'student', seed: 0 } as const;
    return { ...model, command: undefined, brought: true, optional: true, secured: true };
  });
  return [...teachers, ...students, ...brought];
}

/** The part that results are of: a bundled task's labelled test set, else dev, as GLUE keeps the labels of its test sets. */
export const splitOf = (name: string): 'dev' | 'test' => (TASK_NAMES.includes(taskInfo(name).name) ? 'test' : 'dev');

/** Names task, folder and part for the commands that evaluate. */
export const evaluationFlags = (name: string): string[] => [...taskFlags(name), '--split', splitOf(name)];

/** Names a task's training texts for the calibration. */
export const calibrationFlags = taskFlags;
