/**
 * A role's folder of deals: `deals/ID.deal`, and `burned/ID` for every deal that was ever begun. A deal is burnt, on the disk,
 * before anything made of it leaves: after a crash it is lost, never used twice. Counters that the roles tell each other
 * show a folder that came back from a backup; what it has is discarded then.
 */
import { randomBytes } from 'node:crypto';
import { mkdir, open, readdir, readFile, rename, rm, type FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { Failure, InputError, RefusedError } from '../../common/errors.ts';
import { encodeSession, equalBytes, fromHex, hex, readU32, type Certificates, type SessionFields, concat, u32 } from '../encoding.ts'; // prettier-ignore
import { bodyKey, HOLDERS, readHeader, RecordReader, type DealHeader, type Holder } from './deal-file.ts';
import type { Secret } from '../../ring/secret.ts';

/** Most deals a party offers for one session. */
export const MAX_OFFERED = 16;
const SUFFIX = '.deal';
const STATE_FILE = 'state.json';
const NAME = /^[0-9a-f]{64}$/;

/**
 * How often this folder was used, as the other roles are told. Within an epoch the count only grows; a folder that turns out to be an
 * older copy begins a new epoch, later than any that another role has seen of it.
 */
export interface Tally {
  readonly epoch: number;
  /** Of this process. */
  readonly boot: Uint8Array;
  /** Deals burnt when the process began, and now. */
  readonly start: number;
  readonly now: number;
}

/** What a role remembers of another's tally. */
export interface Remembered {
  readonly epoch: number;
  readonly boot: Uint8Array;
  readonly most: number;
}

const BOOT_BYTES = 16;
export const TALLY_BYTES = BOOT_BYTES + 12;
export const REMEMBERED_BYTES = BOOT_BYTES + 8;
export const encodeTally = (t: Tally): Uint8Array => concat(t.boot, u32(t.epoch, t.start, t.now));
export const decodeTally = (b: Uint8Array): Tally => ({
  boot: b.slice(0, BOOT_BYTES),
  epoch: readU32(b, BOOT_BYTES),
  start: readU32(b, BOOT_BYTES + 4),
  now: readU32(b, BOOT_BYTES + 8),
});
export const encodeRemembered = (r: Remembered): Uint8Array => concat(r.boot, u32(r.epoch, r.most));
export const decodeRemembered = (b: Uint8Array): Remembered => ({
  boot: b.slice(0, BOOT_BYTES),
  epoch: readU32(b, BOOT_BYTES),
  most: readU32(b, BOOT_BYTES + 4),
});

/** Whether a role with this tally is an older copy of the one remembered. */
export function isOlder(tally: Tally, { epoch, boot, most }: Remembered): boolean {
  if (tally.epoch !== epoch) return tally.epoch < epoch;
  return !equalBytes(tally.boot, boot) && tally.start < most;
}

/** Writes the names in a folder to the disk (Windows has no such call and needs none). */
async function syncFolder(dir: string): Promise<void> {
  if (process.platform === 'win32') return;
  const handle = await open(dir, 'r');
  await handle.sync().finally(() => handle.close());
}

/** A burnt deal: its material has no name on the disk any more, and is read once through the open file. */
export class Deal {
  readonly header: DealHeader;
  readonly #handle: FileHandle;
  readonly #file: string;
  readonly #closed: () => void;

  constructor(header: DealHeader, handle: FileHandle, file: string, closed: () => void) {
    this.header = header;
    this.#handle = handle;
    this.#file = file;
    this.#closed = closed;
  }

  /** The sealed records, under a key of `key`. */
  records(key: Secret): RecordReader {
    return new RecordReader(this.#handle, this.header, this.#file, bodyKey(key, this.header.id));
  }

  close(): Promise<void> {
    this.#closed();
    return this.#handle.close();
  }
}

export interface StockOptions {
  readonly holder: Holder;
  readonly session: Omit<SessionFields, 'lengths'>;
  readonly certificates: Omit<Certificates, 'client'>;
  /** A file that cannot be used, once each. */
  refused(reason: Failure): void;
  /** Seconds since 1970; the clock if absent. */
  readonly now?: () => number;
}

/** The deals of one role in one folder. One process at a time. */
export class Stock {
  readonly #dir: string;
  readonly #options: StockOptions;
  readonly #burnt: Set<string>;
  /** Burnt by this process. */
  readonly #begun = new Set<string>();
  /** Of sessions under way. */
  readonly #inUse = new Set<string>();
  readonly #remembered: Partial<Record<Holder, Remembered>>;
  readonly #headers = new Map<string, DealHeader>();
  readonly #bad = new Set<string>();
  #boot = Uint8Array.from(randomBytes(BOOT_BYTES));
  #epoch: number;
  #start: number;
  /** Deals that were here when the process began: what a backup could have brought back. */
  readonly #found: readonly string[];
  /** Burnt on the disk: a count that another role remembers must survive a crash. */
  #durable: number;
  /** The last write of the state, and one that has not begun. */
  #saved: Promise<void> = Promise.resolve();
  #queued: Promise<void> | undefined;

  private constructor(dir: string, options: StockOptions, state: State, burnt: Set<string>, found: readonly string[]) {
    this.#dir = dir;
    this.#options = options;
    this.#burnt = burnt;
    this.#found = found;
    this.#remembered = { ...state.met };
    this.#epoch = state.epoch;
    this.#start = burnt.size;
    this.#durable = burnt.size;
  }

  /** @throws InputError if there is no folder of deals */
  static async open(dir: string, options: StockOptions): Promise<Stock> {
    const found = await dealNames(dir).catch(() => {
      throw new InputError(`${dir}: no folder of deals`, 'give the folder of this role that secure-infer deal wrote');
    });
    await mkdir(join(dir, 'burned'), { recursive: true, mode: 0o700 });
    await syncFolder(dir);
    const burnt = new Set((await readdir(join(dir, 'burned'))).filter((name) => NAME.test(name)));
    return new Stock(dir, options, await readState(dir), burnt, found);
  }

  get tally(): Tally {
    return { epoch: this.#epoch, boot: this.#boot, start: this.#start, now: this.#durable };
  }

  remembered(of: Holder): Remembered {
    return this.#remembered[of] ?? { epoch: 0, boot: new Uint8Array(BOOT_BYTES), most: 0 };
  }

  /** Notes another role's tally. False if its folder is older than one that was seen of it. */
  note(of: Holder, tally: Tally): boolean {
    const known = this.remembered(of);
    if (isOlder(tally, known)) return false;
    const most = tally.epoch === known.epoch ? Math.max(known.most, tally.now) : tally.now;
    this.#remembered[of] = { epoch: tally.epoch, boot: tally.boot, most };
    // On the disk when the next deal is burnt, at the latest; a failure shows there.
    this.#save().catch(() => {});
    return true;
  }

  /** Identifiers of unused deals for exactly this session, those that expire first before the others. */
  async find(session: SessionFields, most = MAX_OFFERED): Promise<Uint8Array[]> {
    await this.#scan();
    const wanted = encodeSession(session);
    return [...this.#headers.values()]
      .filter((header) => equalBytes(encodeSession(header.session), wanted))
      .sort((a, b) => a.expires - b.expires || (hex(a.id) < hex(b.id) ? -1 : 1))
      .slice(0, most)
      .map(({ id }) => id);
  }

  /** Unused deals by the lengths of their texts, for people. */
  async count(): Promise<ReadonlyMap<string, number>> {
    await this.#scan();
    const counts = new Map<string, number>();
    for (const { session } of this.#headers.values()) {
      const key = session.lengths.join('+');
      counts.set(key, (counts.get(key) ?? 0) + 1);
    }
    return counts;
  }

  has(id: Uint8Array): boolean {
    return this.#headers.has(hex(id));
  }

  /** Whether a deal was burnt, in a session that is over. */
  spent(id: Uint8Array): boolean {
    const name = hex(id);
    return this.#burnt.has(name) && !this.#inUse.has(name);
  }

  /**
   * Burns a deal and takes its name from the disk; only then may anything of it be used.
   * @throws RefusedError if it is burnt already, is not here, or is not what its name says
   */
  async burn(id: Uint8Array): Promise<Deal> {
    const name = hex(id);
    if (this.#burnt.has(name)) throw usedOnce(name);
    this.#headers.delete(name);
    this.#inUse.add(name);
    const done = (): void => void this.#inUse.delete(name);
    try {
      await Promise.all([this.#mark(name), this.#saved]);
      return await this.#begin(id, this.#file(name), done);
    } catch (error) {
      done();
      throw error;
    }
  }

  /** Opens the file of a deal that is burnt, and takes its name away. */
  async #begin(id: Uint8Array, file: string, done: () => void): Promise<Deal> {
    const handle = await open(file, 'r').catch(() => {
      throw new RefusedError(`${file}: is not there`, 'give all roles the deals of one secure-infer deal');
    });
    try {
      const header = await readHeader(handle, (await handle.stat()).size, file, id, this.#options.holder);
      this.#check(header, file);
      if (header.expires <= this.#now())
        throw new RefusedError(`${file}: expired at ${new Date(header.expires * 1000).toISOString()}`, 'deal again');
      // Not synced: should the name come back after a crash, the marker is there.
      await rm(file);
      return new Deal(header, handle, file, done);
    } catch (error) {
      await handle.close();
      throw error;
    }
  }

  /** Burns deals without using them; those that are gone already too. */
  async discard(ids: readonly Uint8Array[]): Promise<void> {
    for (const id of ids) {
      const name = hex(id);
      this.#headers.delete(name);
      if (!this.#burnt.has(name)) await this.#mark(name);
      await rm(this.#file(name), { force: true });
    }
    await syncFolder(join(this.#dir, 'deals'));
  }

  /**
   * This folder is an older copy than another role remembers: burns the deals it was found with and begins a new epoch. Resolves to
   * how many deals that were.
   */
  async discardOlder(than: Remembered): Promise<number> {
    const older = this.#found.filter((name) => !this.#burnt.has(name));
    await this.discard(older.map(fromHex));
    this.#epoch = Math.max(this.#epoch, than.epoch) + 1;
    this.#boot = Uint8Array.from(randomBytes(BOOT_BYTES));
    this.#start = this.#durable;
    await this.#save();
    return older.length;
  }

  #file(name: string): string {
    return join(this.#dir, 'deals', `${name}${SUFFIX}`);
  }

  /** `burned/ID` exists from here on, whatever happens. */
  async #mark(name: string): Promise<void> {
    this.#burnt.add(name);
    this.#begun.add(name);
    const folder = join(this.#dir, 'burned');
    const handle = await open(join(folder, name), 'wx', 0o600).catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'EEXIST') throw usedOnce(name);
      throw new InputError(
        `${folder}: cannot be written (${error.message})`,
        'give a folder of this role on a disk with room',
      );
    });
    await handle.sync().finally(() => handle.close());
    await syncFolder(folder);
    this.#durable++;
  }

  /** Reads the headers of files it has not seen; takes away what expired or was begun before. */
  async #scan(): Promise<void> {
    const names = await dealNames(this.#dir);
    const there = new Set(names);
    for (const name of this.#headers.keys()) if (!there.has(name)) this.#headers.delete(name);
    for (const name of names) {
      if (this.#headers.has(name) || this.#bad.has(name) || this.#begun.has(name)) continue;
      const file = this.#file(name);
      try {
        const handle = await open(file, 'r').catch(() => undefined);
        if (handle === undefined) continue;
        try {
          if (this.#burnt.has(name)) throw new RefusedError(`${file}: was begun before; taken away`, 'deal again');
          const header = await readHeader(handle, (await handle.stat()).size, file, fromHex(name), this.#options.holder); // prettier-ignore
          this.#check(header, file);
          // Burnt meanwhile by another session?
          if (!this.#begun.has(name)) this.#headers.set(name, header);
        } finally {
          await handle.close();
        }
      } catch (error) {
        if (!(error instanceof Failure)) throw error;
        this.#bad.add(name);
        this.#options.refused(error);
        if (this.#burnt.has(name) && !this.#begun.has(name)) await rm(file, { force: true });
      }
    }
    const expired = [...this.#headers.values()].filter(({ expires }) => expires <= this.#now());
    if (expired.length === 0) return;
    this.#options.refused(new RefusedError(`${this.#dir}: ${expired.length} deals expired and were discarded`, 'deal again')); // prettier-ignore
    await this.discard(expired.map(({ id }) => id));
  }

  #now(): number {
    return this.#options.now?.() ?? Date.now() / 1000;
  }

  #check({ session, certificates }: DealHeader, file: string): void {
    const own = this.#options;
    if (!equalBytes(encodeSession({ ...own.session, lengths: session.lengths }), encodeSession(session)))
      throw new RefusedError(`${file}: was dealt for another export`, 'deal for the bundles that are served');
    for (const role of ['party0', 'party1', 'assistant'] as const)
      if (!equalBytes(certificates[role], own.certificates[role]))
        throw new RefusedError(`${file}: was dealt for another deployment (${role})`, 'deal with the deployment file that is served'); // prettier-ignore
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
    const met = Object.entries(this.#remembered).map(([role, { epoch, boot, most }]) => [role, { epoch, boot: hex(boot), most }]); // prettier-ignore
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

const usedOnce = (name: string): RefusedError =>
  new RefusedError(`deal ${name.slice(0, 16)}… was begun before: dealt material is used once`, 'ask again');

/** Names of the files of deals in a role's folder, without their suffix. */
async function dealNames(dir: string): Promise<string[]> {
  const files = await readdir(join(dir, 'deals'));
  return files.filter((f) => f.endsWith(SUFFIX)).map((f) => f.slice(0, -SUFFIX.length)).filter((f) => NAME.test(f)); // prettier-ignore
}

const COUNT = z.int().min(0).max(2 ** 32 - 1); // prettier-ignore
const MET = z.strictObject({ epoch: COUNT, boot: z.string().regex(/^[0-9a-f]{32}$/), most: COUNT });
const STATE = z.strictObject({
  version: z.literal(1),
  epoch: COUNT,
  met: z.strictObject({ party0: MET.optional(), party1: MET.optional(), assistant: MET.optional() }),
});

interface State {
  readonly epoch: number;
  readonly met: Partial<Record<Holder, Remembered>>;
}

async function readState(dir: string): Promise<State> {
  const file = join(dir, STATE_FILE);
  const text = await readFile(file, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return undefined;
    throw error;
  });
  if (text === undefined) return { epoch: 1, met: {} };
  try {
    const { epoch, met } = STATE.parse(JSON.parse(text));
    const entries = HOLDERS.flatMap((role) => {
      const one = met[role];
      return one === undefined ? [] : [[role, { ...one, boot: fromHex(one.boot) }] as const];
    });
    return { epoch, met: Object.fromEntries(entries) };
  } catch {
    throw new InputError(
      `${file}: cannot be read`,
      'discard this stock: remove its deals and this file, then deal again',
    );
  }
}
