import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { InputError } from '../common/errors.ts';
import type { ColumnOptions } from './columns.ts';
import type { GluePart, TaskMetric } from './glue.ts';
import { GLUE } from './glue.ts';
import { labelsOf, targetsOf } from './labels.ts';
import { packageRoot } from '../common/package-root.ts';
import type { Dataset } from './read.ts';
import { readExamples } from './read.ts';

/** What a task asks for, whatever its data. */
export interface TaskInfo {
  /** As on the command line; `file` for a user's own data. */
  readonly name: string;
  /** Class names, index = class; one name for regression. */
  readonly labels: readonly string[];
  readonly regression: boolean;
  /** The task's score is their mean. */
  readonly metrics: readonly TaskMetric[];
  readonly parts: readonly GluePart[];
}

/** A task with its three usual parts. Only bundled tasks have labels in `test`. */
export interface Task extends TaskInfo {
  readonly train: Dataset;
  readonly dev: Dataset;
  readonly test: Dataset;
}

export interface TaskOptions {
  /** Folder of the official GLUE download, with CoLA/, SST-2/, …; needed by every task that is not bundled. */
  readonly folder?: string | undefined;
}

const BUNDLED: Readonly<Record<string, TaskInfo>> = {
  polarity: {
    name: 'polarity',
    labels: ['negative', 'positive'],
    regression: false,
    metrics: ['accuracy'],
    parts: ['train', 'dev', 'test'],
  },
};

/** Names of the bundled data sets. */
export const TASK_NAMES: readonly string[] = Object.keys(BUNDLED);
/** Names of the tasks read from a GLUE folder. */
export const GLUE_NAMES: readonly string[] = Object.keys(GLUE);

/** Also SST-2, sst2, STS_B: names are compared by their letters and digits. */
const plain = (name: string): string => name.toLowerCase().replace(/[-_]/g, '');

/**
 * Labels, metrics and parts of a task by name, without reading data.
 * @throws InputError for an unknown name.
 */
export function taskInfo(name: string): TaskInfo {
  const known = [...TASK_NAMES, ...GLUE_NAMES].find((candidate) => plain(candidate) === plain(name));
  if (known === undefined) {
    throw new InputError(
      `no task '${name}'`,
      `Bundled: ${TASK_NAMES.join(', ')}; from a GLUE folder: ${GLUE_NAMES.join(', ')}.`,
    );
  }
  const bundled = BUNDLED[known];
  if (bundled !== undefined) return bundled;
  const { labels, regression, metrics, files } = GLUE[known]!;
  return { name: known, labels, regression, metrics, parts: Object.keys(files) as GluePart[] };
}

/**
 * One part of a task, labels as its file writes them. GLUE's test sets have none.
 * @throws InputError for an unknown name or part, no folder, an absent file (naming it), or a label that is not the task's.
 */
export async function loadTaskPart(name: string, part: GluePart, { folder }: TaskOptions = {}): Promise<Dataset> {
  const info = taskInfo(name);
  if (!info.parts.includes(part)) {
    throw new InputError(`task ${info.name} has no part '${part}'`, `Its parts: ${info.parts.join(', ')}.`);
  }
  if (TASK_NAMES.includes(info.name)) {
    const file = join(packageRoot(), 'data', info.name, `${part}.tsv`);
    return { ...(await readExamples(file)), source: `${info.name}/${part}` };
  }
  if (folder === undefined) {
    throw new InputError(
      `task ${info.name} is not bundled`,
      `Give the folder of the GLUE download, the one that holds ${GLUE[info.name]!.folder}/, with --glue.`,
    );
  }
  return readGlue(info, part, folder);
}

async function readGlue(info: TaskInfo, part: GluePart, root: string): Promise<Dataset> {
  const { folder, files, columns, testColumns, written, brokenRows } = GLUE[info.name]!;
  const file = join(root, folder, files[part]!);
  if (!existsSync(file)) {
    throw new InputError(
      `${file}: no such file`,
      `GLUE's official folder has ${folder}/${files[part]}; to use another file, give it with --train or --dev.`,
    );
  }
  let omitted = 0;
  const isTest = part.startsWith('test');
  const data = await readExamples(file, {
    ...(isTest ? { ...columns, labelColumn: undefined, ...testColumns } : columns),
    ...(brokenRows ? { onBrokenRow: () => omitted++ } : {}),
  });
  if (!isTest) targetsOf(data, written ?? info.labels, info.regression);
  return omitted === 0 ? data : { ...data, omitted };
}

/**
 * A bundled task, or one of GLUE from `folder`, all three parts.
 * @throws InputError as `loadTaskPart`.
 */
export async function loadTask(name: string, options: TaskOptions = {}): Promise<Task> {
  const part = (which: GluePart): Promise<Dataset> => loadTaskPart(name, which, options);
  return { ...taskInfo(name), train: await part('train'), dev: await part('dev'), test: await part('test') };
}

/** A user's own files and how to read them. */
export interface FileTask extends ColumnOptions {
  readonly train: string;
  readonly dev?: string | undefined;
  /** Labels are scores; otherwise class names. */
  readonly regression?: boolean | undefined;
}

/**
 * A user's own data as a task. The classes are those of the training file, sorted; the dev file must have no other.
 * @throws InputError naming file and example of a label that is missing, unknown or no score; as `readExamples`.
 */
export async function fileTask(
  files: FileTask,
): Promise<TaskInfo & { readonly train: Dataset; readonly dev: Dataset | undefined }> {
  const regression = files.regression ?? false;
  const train = await readExamples(files.train, files);
  const dev = files.dev === undefined ? undefined : await readExamples(files.dev, files);
  const labels = regression ? ['score'] : labelsOf(train);
  for (const data of [train, dev]) if (data !== undefined) targetsOf(data, labels, regression);
  return {
    name: 'file',
    labels,
    regression,
    metrics: regression ? ['pearson', 'spearman'] : ['accuracy'],
    parts: dev === undefined ? ['train'] : ['train', 'dev'],
    train,
    dev,
  };
}
