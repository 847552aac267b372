/** What outlives the process of a folder of deals besides its names: `state.json` with its epoch and the other roles' tallies. */
import { open, readFile, rename } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { InputError } from '../../common/errors.ts';
import { syncFolder } from '../../common/sync-folder.ts';
import { fromHex, hex } from '../encoding.ts';
import { HOLDERS, type Holder } from './deal-file.ts';
import { BOOT_BYTES, isOlder, type Remembered, type Tally } from './tally.ts';

const STATE_FILE = 'state.json';
const COUNT = z.int().min(0).max(2 ** 32 - 1); // prettier-ignore
const MET = z.strictObject({ epoch: COUNT, boot: z.string().regex(/^[0-9a-f]{32}$/), most: COUNT });
const STATE = z.strictObject({
  version: z.literal(1),
  epoch: COUNT,
  met: z.strictObject({ party0: MET.optional(), party1: MET.optional(), assistant: MET.optional() }),
});

type Met = Partial<Record<Holder, Remembered>>;

/** The epoch of a folder of deals, and what its role remembers of the others. */
export class StockState {
  readonly #dir: string;
  readonly #met: Met;
  #epoch: number;
  /** The last write, and one that has not begun. */
  #saved: Promise<void> = Promise.resolve();
  #queued: Promise<void> | undefined;

  private constructor(dir: string, epoch: number, met: Met) {
    this.#dir = dir;
    this.#epoch = epoch;
    this.#met = met;
  }

  /** The state of a folder, or that of a new one. @throws InputError if its file is damaged */
  static async read(dir: string): Promise<StockState> {
    const file = join(dir, STATE_FILE);
    const text = await readFile(file, 'utf8').catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return undefined;
      throw error;
    });
    if (text === undefined) return new StockState(dir, 1, {});
    try {
      const { epoch, met } = STATE.parse(JSON.parse(text));
      const entries = HOLDERS.flatMap((role) => {
        const one = met[role];
        return one === undefined ? [] : [[role, { ...one, boot: fromHex(one.boot) }] as const];
      });
      return new StockState(dir, epoch, Object.fromEntries(entries));
    } catch {
      throw new InputError(
        `${file}: cannot be read`,
        'discard this stock: remove its deals and this file, then deal again',
      );
    }
  }

  get epoch(): number {
    return this.#epoch;
  }

  remembered(of: Holder): Remembered {
    return this.#met[of] ?? { epoch: 0, boot: new Uint8Array(BOOT_BYTES), most: 0 };
  }

  /** Notes another role's tally. False if its folder is older than one that was seen of it. */
  note(of: Holder, tally: Tally): boolean {
    const known = this.remembered(of);
    if (isOlder(tally, known)) return false;
    const most = tally.epoch === known.epoch ? Math.max(known.most, tally.now) : tally.now;
    this.#met[of] = { epoch: tally.epoch, boot: tally.boot, most };
    // On the disk when the next deal is burnt, at the latest; a failure shows there.
    this.#save().catch(() => {});
    return true;
  }

  /** Begins an epoch later than this one and `than`, on the disk when it resolves. */
  begin(than: number): Promise<void> {
    this.#epoch = Math.max(this.#epoch, than) + 1;
    return this.#save();
  }

  /** Resolves when everything noted so far is on the disk. */
  saved(): Promise<void> {
    return this.#saved;
  }

  /** Writes what should outlive the process; what changes while it writes is written next. */
  #save(): Promise<void> {
    if (this.#queued === undefined) {
      const begin = (): Promise<void> => {
        this.#queued = undefined;
        return this.#write();
      };
      this.#queued = this.#saved.then(begin, begin);
      this.#saved = this.#queued;
    }
    return this.#queued;
  }

  async #write(): Promise<void> {
    const met = Object.entries(this.#met).map(([role, { epoch, boot, most }]) => [role, { epoch, boot: hex(boot), most }]); // prettier-ignore
    const file = join(this.#dir, STATE_FILE);
    const handle = await open(`${file}.tmp`, 'w', 0o600);
    try {
      await handle.writeFile(`${JSON.stringify({ version: 1, epoch: this.#epoch, met: Object.fromEntries(met) })}\n`);
      await handle.sync();
    } finally {
      await handle.close();
    }
    await rename(`${file}.tmp`, file);
    await syncFolder(this.#dir);
  }
}
