/** The folder beside `--out` in which a training stands until it is done: what it is, and the last place to go on from. */
import { readdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { InputError, RefusedError } from '../common/errors.ts';
import { exists, writeDurably, writeFolder } from '../checkpoints/files.ts';
import { readSafetensors, type Tensor, writeSafetensors } from '../checkpoints/index.ts';
import type { RunProgress } from './recipe/run.ts';

/** Everything that decides the bits of a run, as JSON. */
export type RunIdentity = Readonly<Record<string, unknown>>;

const IDENTITY = 'run-identity.json';
const CHECKPOINT = /^checkpoint-(\d+)-(\d+)$/;

/** Path of the first field in which two JSON values differ; undefined: equal. */
export function firstDifference(a: unknown, b: unknown, path = ''): string | undefined {
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) {
    return Object.is(a, b) ? undefined : `${path} was ${JSON.stringify(a)} and is ${JSON.stringify(b)}`;
  }
  for (const key of new Set([...Object.keys(a), ...Object.keys(b)])) {
    const at = (of: object): unknown => (of as Record<string, unknown>)[key];
    const found = firstDifference(at(a), at(b), path === '' ? key : `${path}.${key}`);
    if (found !== undefined) return found;
  }
  return undefined;
}

/** Stage and step of a checkpoint's name, in one number that grows along the run. */
const order = (name: string): number => {
  const [, stage, step] = CHECKPOINT.exec(name)!;
  return Number(stage) * 2 ** 32 + Number(step);
};

/** A run's own folder. Checkpoints in it appear whole or not at all; the last one stays. */
export class WorkFolder {
  readonly path: string;

  constructor(path: string) {
    this.path = path;
  }

  /**
   * Opens the folder of this run, or begins it; what a killed process left half-written is removed.
   * @throws RefusedError naming the first difference if it belongs to another run
   */
  async open(identity: RunIdentity): Promise<RunProgress | undefined> {
    const file = join(this.path, IDENTITY);
    const now = JSON.parse(JSON.stringify(identity)) as unknown;
    if (!(await exists(this.path))) {
      await writeFolder(this.path, false, (folder) =>
        writeDurably(join(folder, IDENTITY), JSON.stringify(now, null, 2)),
      );
      return undefined;
    }
    const text = await readFile(file, 'utf8').catch(() => undefined);
    if (text === undefined) {
      throw new RefusedError(`${this.path}: no folder of a training`, 'Choose another --out, or remove this folder.');
    }
    const difference = firstDifference(JSON.parse(text), now);
    if (difference !== undefined) {
      throw new RefusedError(
        `${this.path} holds an unfinished run that is not this one: ${difference}`,
        'Give the same options and data to go on, choose another --out, or remove that folder to begin anew.',
      );
    }
    const names = await readdir(this.path);
    for (const name of names.filter((n) => n.startsWith('.'))) await rm(join(this.path, name), { recursive: true });
    const last = names.filter((name) => CHECKPOINT.test(name)).toSorted((a, b) => order(b) - order(a))[0];
    return last === undefined ? undefined : this.#read(join(this.path, last));
  }

  /** Writes a checkpoint, then removes the ones before it. @throws InputError if it cannot be written */
  async save(run: RunProgress): Promise<void> {
    const name = `checkpoint-${run.stage}-${run.at.step}`;
    const { state, best, ...at } = run.at;
    const chosen = best === undefined ? undefined : { value: best.value, point: best.point };
    try {
      await writeFolder(join(this.path, name), true, async (folder) => {
        await writeSafetensors(join(folder, 'state.safetensors'), state, { dtype: 'F32' });
        if (best !== undefined)
          await writeSafetensors(join(folder, 'best.safetensors'), best.tensors, { dtype: 'F32' });
        await writeDurably(join(folder, 'progress.json'), JSON.stringify({ ...run, at: { ...at, best: chosen } }));
      });
    } catch (error) {
      const { code, message } = error as NodeJS.ErrnoException;
      if (code === undefined) throw error;
      throw new InputError(
        `${this.path}: cannot be written (${message})`,
        'Make room or repair it, then run the same command: it goes on from the last checkpoint there.',
      );
    }
    for (const other of await readdir(this.path)) {
      if (CHECKPOINT.test(other) && other !== name) await rm(join(this.path, other), { recursive: true });
    }
  }

  async hasCheckpoint(): Promise<boolean> {
    return (await readdir(this.path)).some((name) => CHECKPOINT.test(name));
  }

  /** The run is done, or has nothing worth keeping. */
  async remove(): Promise<void> {
    await rm(this.path, { recursive: true, force: true });
  }

  async #read(folder: string): Promise<RunProgress> {
    const tensors = async (name: string): Promise<ReadonlyMap<string, Tensor>> =>
      (await readSafetensors(join(folder, name))).tensors as ReadonlyMap<string, Tensor>;
    const stored = JSON.parse(await readFile(join(folder, 'progress.json'), 'utf8')) as RunProgress;
    const { best, ...at } = stored.at;
    const state = await tensors('state.safetensors');
    const chosen = best === undefined ? undefined : { ...best, tensors: await tensors('best.safetensors') };
    return { ...stored, at: { ...at, state, best: chosen } };
  }
}
