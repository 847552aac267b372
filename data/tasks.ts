import { join } from 'node:path';
import { InputError } from '../common/errors.ts';
import { packageRoot } from './package-root.ts';
import type { Dataset } from './read.ts';
import { readExamples } from './read.ts';

/** A bundled data set: three disjoint parts and its label names, index = class. */
export interface Task {
  readonly train: Dataset;
  readonly dev: Dataset;
  readonly test: Dataset;
  readonly labels: readonly string[];
}

const TASKS: Readonly<Record<string, readonly string[]>> = { polarity: ['negative', 'positive'] };

/** Names of the bundled data sets. */
export const TASK_NAMES: readonly string[] = Object.keys(TASKS);

/**
 * A bundled data set by name; provenance and licence lie beside its files.
 * @throws InputError for an unknown name.
 */
export async function loadTask(name: string): Promise<Task> {
  const labels = Object.hasOwn(TASKS, name) ? TASKS[name] : undefined;
  if (labels === undefined) throw new InputError(`no bundled task '${name}'`, `Bundled: ${TASK_NAMES.join(', ')}.`);
  const part = async (which: string): Promise<Dataset> => ({
    ...(await readExamples(join(packageRoot(), 'data', name, `${which}.tsv`))),
    source: `${name}/${which}`,
  });
  return { train: await part('train'), dev: await part('dev'), test: await part('test'), labels };
}
