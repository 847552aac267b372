/** Which deals of a folder were ever begun: one empty file each, `burned/ID`, on the disk before anything made of a deal leaves. */
import { mkdir, open, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { InputError, RefusedError } from '../../common/errors.ts';
import { syncFolder } from '../../common/sync-folder.ts';
import { DEAL_NAME } from './deal-file.ts';

/** The deals of a folder that are burnt, by the hex of their identifiers. They only become more. */
export class BurntDeals {
  readonly #folder: string;
  readonly #burnt: Set<string>;
  /** Burnt by this process. */
  readonly #begun = new Set<string>();
  #durable: number;

  private constructor(folder: string, burnt: Set<string>) {
    this.#folder = folder;
    this.#burnt = burnt;
    this.#durable = burnt.size;
  }

  /** Of the role's folder `dir`. */
  static async open(dir: string): Promise<BurntDeals> {
    const folder = join(dir, 'burned');
    await mkdir(folder, { recursive: true, mode: 0o700 });
    await syncFolder(dir);
    return new BurntDeals(folder, new Set((await readdir(folder)).filter((name) => DEAL_NAME.test(name))));
  }

  /** How many are burnt on the disk: a count that another role remembers must survive a crash. */
  get durable(): number {
    return this.#durable;
  }

  has(name: string): boolean {
    return this.#burnt.has(name);
  }

  /** Whether it was burnt by this process. */
  begun(name: string): boolean {
    return this.#begun.has(name);
  }

  /** `burned/ID` exists from here on, whatever happens. @throws RefusedError if it is burnt already */
  async mark(name: string): Promise<void> {
    this.#burnt.add(name);
    this.#begun.add(name);
    const handle = await open(join(this.#folder, name), 'wx', 0o600).catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'EEXIST') throw usedOnce(name);
      throw new InputError(
        `${this.#folder}: cannot be written (${error.message})`,
        'give a folder of this role on a disk with room',
      );
    });
    await handle.sync().finally(() => handle.close());
    await syncFolder(this.#folder);
    this.#durable++;
  }
}

/** What is said of a deal that was begun before. */
export const usedOnce = (name: string): RefusedError =>
  new RefusedError(`deal ${name.slice(0, 16)}… was begun before: dealt material is used once`, 'ask again');
