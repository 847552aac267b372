/** The folder beside `--out` in which a training stands until it is done: what it is, and the last place to go on from. */
import { mkdir, readdir, readFile, rename, rm, rmdir } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { InputError, RefusedError } from '../common/errors.ts';
import { syncFolder } from '../common/sync-folder.ts';
import { exists, writeDurably, writeFolder } from '../checkpoints/files.ts';
import { readSafetensors, type Tensor, writeSafetensors } from '../checkpoints/index.ts';
import { type Lock, takeLock } from './lock.ts';
import type { RunProgress } from './recipe/run.ts';

/** Everything that decides the bits of a run, as JSON. */
export type RunIdentity = Readonly<Record<string, unknown>>;

/** A place to go on from, with what the record says of all processes of the run together. */
export interface Checkpoint {
  readonly run: RunProgress;
  /** When the first process began, ISO 8601. */
  readonly started: string;
  /** Of work that this checkpoint holds. */
  readonly seconds: number;
  readonly peakRssBytes: number;
}

/** Of what is in the folder; another version's is refused as another run's. */
const VERSION = 1;
const IDENTITY = 'run-identity.json';
const LOCK = 'lock';
/** The result, until it takes the name of --out. */
const MODEL = 'model';
/** Where `kept.ts` keeps checkpoints, here and then in the result. */
export const KEPT = 'checkpoints';
/** Says that the result is whole: without MODEL beside it, it has been moved. */
const DONE = 'done';
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

/** @throws InputError in place of a full disk or a folder that cannot be written */
async function writing<T>(path: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    const { code, syscall, message } = error as NodeJS.ErrnoException;
    if (code === undefined || syscall === undefined) throw error;
    throw new InputError(
      `${path}: cannot be written (${message})`,
      'Make room or repair it, then give the same command: it goes on from the last checkpoint, if there is one.',
    );
  }
}

/** A run's own folder. Checkpoints in it appear whole or not at all; the last one stays. */
export class WorkFolder {
  readonly path: string;
  #lock: Lock | undefined;

  constructor(path: string) {
    this.path = path;
  }

  /**
   * Opens the folder of this run, or begins it, and locks it; what a killed process left half-written is removed.
   * @throws RefusedError naming the first difference if it belongs to another run, or if a process still writes there
   */
  async open(identity: RunIdentity): Promise<Checkpoint | undefined> {
    const now = JSON.parse(JSON.stringify({ version: VERSION, ...identity })) as unknown;
    const file = join(this.path, IDENTITY);
    await writing(this.path, () => mkdir(this.path, { recursive: true }));
    try {
      // A process killed at its very beginning leaves a folder without identity.
      const strange = (await readdir(this.path)).some((name) => name !== LOCK && !name.startsWith('.'));
      if (strange && !(await exists(file))) {
        throw new RefusedError(`${this.path}: no folder of a training`, 'Choose another --out, or remove this folder.');
      }
      this.#lock = await writing(this.path, () => takeLock(join(this.path, LOCK)));
      await this.#clean();
      if (!(await exists(file))) {
        await writing(this.path, () => this.#begin(now));
        return undefined;
      }
      const difference = firstDifference(await this.#parsed(IDENTITY), now);
      if (difference !== undefined) {
        throw new RefusedError(
          `${this.path} holds an unfinished run that is not this one: ${difference}`,
          'Give the same options and data to go on, choose another --out, or remove that folder to begin anew.',
        );
      }
      const last = (await this.#checkpoints()).toSorted((a, b) => order(b) - order(a))[0];
      return last === undefined ? undefined : await this.#read(last);
    } catch (error) {
      await this.close();
      // Empty, if this process made it.
      await rmdir(this.path).catch(() => undefined);
      throw error;
    }
  }

  /** Writes a checkpoint, then removes the ones before it. @throws InputError if it cannot be written */
  async save({ run, ...told }: Checkpoint): Promise<void> {
    const name = `checkpoint-${run.stage}-${run.at.step}`;
    const { state, best, ...at } = run.at;
    const chosen = best === undefined ? undefined : { value: best.value, point: best.point };
    await writing(this.path, () =>
      writeFolder(join(this.path, name), true, async (folder) => {
        await writeSafetensors(join(folder, 'state.safetensors'), state, { dtype: 'F32' });
        if (best !== undefined)
          await writeSafetensors(join(folder, 'best.safetensors'), best.tensors, { dtype: 'F32' });
        const progress = { ...told, run: { ...run, at: { ...at, best: chosen } } };
        await writeDurably(join(folder, 'progress.json'), JSON.stringify(progress));
      }),
    );
    for (const other of await this.#checkpoints()) {
      if (other !== name) await rm(join(this.path, other), { recursive: true });
    }
  }

  /**
   * Ends the run: `save` writes the model into a folder within, which then takes the name `out`, and the rest goes.
   * @throws InputError if it cannot be written; RefusedError if `out` exists. The last checkpoint is then still there.
   */
  async finish(out: string, save: (folder: string) => Promise<void>): Promise<void> {
    const model = join(this.path, MODEL);
    await writing(out, async () => {
      await rm(model, { recursive: true, force: true });
      await save(model);
      if (await exists(join(this.path, KEPT))) await rename(join(this.path, KEPT), join(model, KEPT));
      await writeDurably(join(this.path, DONE), '');
      if (await exists(out)) {
        throw new RefusedError(`${out}: exists already`, 'Remove it, then give the same command: it only saves.');
      }
      await rename(model, out);
      await syncFolder(dirname(resolve(out)));
    });
    await this.remove();
  }

  /** Removes what a process left that was killed after its result had taken its name. */
  async sweep(): Promise<void> {
    if ((await exists(join(this.path, DONE))) && !(await exists(join(this.path, MODEL)))) await this.remove();
  }

  async hasCheckpoint(): Promise<boolean> {
    return (await this.#checkpoints()).length > 0;
  }

  /** Lets another process go on. */
  async close(): Promise<void> {
    await this.#lock?.release();
    this.#lock = undefined;
  }

  /** The run is done, or has nothing worth keeping. */
  async remove(): Promise<void> {
    await this.close();
    await rm(this.path, { recursive: true, force: true });
  }

  /** Says whose folder it is; whole or not at all. */
  async #begin(identity: unknown): Promise<void> {
    const temporary = join(this.path, `.${IDENTITY}`);
    try {
      await writeDurably(temporary, JSON.stringify(identity, null, 2));
      await rename(temporary, join(this.path, IDENTITY));
    } catch (error) {
      await rm(temporary, { force: true });
      throw error;
    }
  }

  /** Back to where only checkpoints are: what is half-written goes, and a result that did not take its name. */
  async #clean(): Promise<void> {
    await rm(join(this.path, DONE), { force: true });
    const kept = join(this.path, MODEL, KEPT);
    if (await exists(kept)) await rename(kept, join(this.path, KEPT));
    await rm(join(this.path, MODEL), { recursive: true, force: true });
    for (const folder of [this.path, join(this.path, KEPT)]) {
      const names = await readdir(folder).catch(() => []);
      for (const name of names.filter((n) => n.startsWith('.'))) await rm(join(folder, name), { recursive: true });
    }
  }

  async #checkpoints(): Promise<string[]> {
    return (await readdir(this.path)).filter((name) => CHECKPOINT.test(name));
  }

  /** @throws InputError for a file of the folder that a hand or a disk has damaged; safetensors are checked where they are read */
  async #parsed(...names: readonly string[]): Promise<unknown> {
    const file = join(this.path, ...names);
    try {
      return JSON.parse(await readFile(file, 'utf8'));
    } catch (error) {
      throw new InputError(
        `${file}: cannot be read (${(error as Error).message})`,
        `Repair it, or remove ${this.path} to begin anew.`,
      );
    }
  }

  async #read(name: string): Promise<Checkpoint> {
    const tensors = async (file: string): Promise<ReadonlyMap<string, Tensor>> =>
      (await readSafetensors(join(this.path, name, file))).tensors as ReadonlyMap<string, Tensor>;
    const stored = (await this.#parsed(name, 'progress.json')) as Checkpoint;
    const { best, ...at } = stored.run.at;
    const state = await tensors('state.safetensors');
    const chosen = best === undefined ? undefined : { ...best, tensors: await tensors('best.safetensors') };
    return { ...stored, run: { ...stored.run, at: { ...at, state, best: chosen } } };
  }
}
