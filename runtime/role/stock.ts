/**
 * A role's folder of deals: `deals/ID.deal`, and `burned/ID` for every deal that was ever begun. A deal is burnt, on the disk,
 * before anything made of it leaves: after a crash it is lost, never used twice. Counters that the roles tell each other
 * show a folder that came back from a backup; what it has is discarded then.
 */
import { randomBytes } from 'node:crypto';
import { mkdir, open, readdir, readFile, rename, rm, type FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import { Failure, InputError, RefusedError } from '../../common/errors.ts';
import { encodeSession, equalBytes, fromHex, hex, readU32, type Certificates, type SessionFields, concat, u32 } from '../encoding.ts'; // prettier-ignore
import { bodyKey, readHeader, RecordReader, type DealHeader, type Holder } from './deal-file.ts';
import type { Secret } from '../../ring/secret.ts';

/** Most deals a party offers for one session. */
export const MAX_OFFERED = 16;
const SUFFIX = '.deal';
const NAME = /^[0-9a-f]{64}$/;

/** How often this folder was used, as another role is told: a count that only grows, unless the folder is an older copy. */
export interface Tally {
  /** Of this process. */
  readonly boot: Uint8Array;
  /** Deals burnt when the process began, and now. */
  readonly start: number;
  readonly now: number;
}

/** What a role remembers of another's tally. */
export interface Remembered {
  readonly boot: Uint8Array;
  readonly most: number;
}

const BOOT_BYTES = 16;
export const TALLY_BYTES = BOOT_BYTES + 8;
export const REMEMBERED_BYTES = BOOT_BYTES + 4;
export const encodeTally = (t: Tally): Uint8Array => concat(t.boot, u32(t.start, t.now));
export const decodeTally = (b: Uint8Array): Tally => ({
  boot: b.slice(0, BOOT_BYTES),
  start: readU32(b, BOOT_BYTES),
  now: readU32(b, BOOT_BYTES + 4),
});
export const encodeRemembered = (r: Remembered): Uint8Array => concat(r.boot, u32(r.most));
export const decodeRemembered = (b: Uint8Array): Remembered => ({
  boot: b.slice(0, BOOT_BYTES),
  most: readU32(b, BOOT_BYTES),
});

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

  constructor(header: DealHeader, handle: FileHandle, file: string) {
    this.header = header;
    this.#handle = handle;
    this.#file = file;
  }

  /** The sealed records, under a key of `key`. */
  records(key: Secret): RecordReader {
    return new RecordReader(this.#handle, this.header, this.#file, bodyKey(key, this.header.id));
  }

  close(): Promise<void> {
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
  readonly #remembered: Partial<Record<Holder, Remembered>>;
  /** Processes of other roles met by this one. */
  readonly #met = new Set<string>();
  readonly #headers = new Map<string, DealHeader>();
  readonly #bad = new Set<string>();
  readonly #boot = Uint8Array.from(randomBytes(BOOT_BYTES));
  readonly #start: number;
  /** Burnt on the disk: a count that another role remembers must survive a crash. */
  #durable: number;
  #writing: Promise<void> = Promise.resolve();

  private constructor(
    dir: string,
    options: StockOptions,
    burnt: Set<string>,
    remembered: Partial<Record<Holder, Remembered>>,
  ) {
    this.#dir = dir;
    this.#options = options;
    this.#burnt = burnt;
    this.#remembered = remembered;
    this.#start = burnt.size;
    this.#durable = burnt.size;
  }

  /** @throws InputError if there is no folder of deals */
  static async open(dir: string, options: StockOptions): Promise<Stock> {
    await readdir(join(dir, 'deals')).catch(() => {
      throw new InputError(`${dir}: no folder of deals`, 'give the folder of this role that secure-infer deal wrote');
    });
    await mkdir(join(dir, 'burned'), { recursive: true, mode: 0o700 });
    await syncFolder(dir);
    const burnt = new Set((await readdir(join(dir, 'burned'))).filter((name) => NAME.test(name)));
    return new Stock(dir, options, burnt, await readMet(join(dir, 'met.json')));
  }

  get tally(): Tally {
    return { boot: this.#boot, start: this.#start, now: this.#durable };
  }

  remembered(of: Holder): Remembered {
    return this.#remembered[of] ?? { boot: new Uint8Array(BOOT_BYTES), most: 0 };
  }

  /** Whether what another role remembers of this one is newer than this folder was when the process began. */
  restored({ boot, most }: Remembered): boolean {
    return !equalBytes(boot, this.#boot) && most > this.#start;
  }

  /** Notes another role's tally. False if its folder is older than one that was seen of it. */
  async note(of: Holder, tally: Tally): Promise<boolean> {
    const key = hex(tally.boot);
    const known = this.#remembered[of];
    const same = this.#met.has(key) || (known !== undefined && equalBytes(known.boot, tally.boot));
    if (!same && known !== undefined && tally.start < known.most) return false;
    this.#met.add(key);
    this.#remembered[of] = { boot: tally.boot, most: Math.max(known?.most ?? 0, tally.now) };
    await this.#remember();
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

  burnt(id: Uint8Array): boolean {
    return this.#burnt.has(hex(id));
  }

  /**
   * Burns a deal and takes its name from the disk; only then may anything of it be used.
   * @throws RefusedError if it is burnt already, is not here, or is not what its name says
   */
  async burn(id: Uint8Array): Promise<Deal> {
    const name = hex(id);
    await this.#mark(name);
    const file = this.#file(name);
    this.#headers.delete(name);
    const handle = await open(file, 'r').catch(() => {
      throw new RefusedError(`${file}: is not there`, 'give all roles the deals of one secure-infer deal');
    });
    try {
      const header = await readHeader(handle, (await handle.stat()).size, file, id, this.#options.holder);
      this.#check(header, file);
      if (header.expires <= this.#now())
        throw new RefusedError(`${file}: expired at ${new Date(header.expires * 1000).toISOString()}`, 'deal again');
      await rm(file);
      await syncFolder(join(this.#dir, 'deals'));
      return new Deal(header, handle, file);
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

  /** Burns everything here: the folder came back from a backup. Resolves to how many deals that were. */
  async discardAll(): Promise<number> {
    const all = await this.#names();
    await this.discard(all.map(fromHex));
    return all.length;
  }

  #file(name: string): string {
    return join(this.#dir, 'deals', `${name}${SUFFIX}`);
  }

  async #names(): Promise<string[]> {
    const files = await readdir(join(this.#dir, 'deals'));
    return files.filter((f) => f.endsWith(SUFFIX)).map((f) => f.slice(0, -SUFFIX.length)).filter((f) => NAME.test(f)); // prettier-ignore
  }

  /** `burned/ID` exists from here on, whatever happens. */
  async #mark(name: string): Promise<void> {
    const again = (): RefusedError =>
      new RefusedError(`deal ${name.slice(0, 16)}… was begun before: dealt material is used once`, 'ask again');
    if (this.#burnt.has(name)) throw again();
    this.#burnt.add(name);
    this.#begun.add(name);
    const folder = join(this.#dir, 'burned');
    const handle = await open(join(folder, name), 'wx', 0o600).catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'EEXIST') throw again();
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
    const names = await this.#names();
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

  async #remember(): Promise<void> {
    const text = Object.fromEntries(
      Object.entries(this.#remembered).map(([role, { boot, most }]) => [role, { boot: hex(boot), most }]),
    );
    // Notes of sessions under way at once follow each other.
    this.#writing = this.#writing.then(async () => {
      const file = join(this.#dir, 'met.json');
      const handle = await open(`${file}.tmp`, 'w', 0o600);
      try {
        await handle.writeFile(`${JSON.stringify(text)}\n`);
        await handle.sync();
      } finally {
        await handle.close();
      }
      await rename(`${file}.tmp`, file);
      await syncFolder(this.#dir);
    });
    await this.#writing;
  }
}

async function readMet(file: string): Promise<Partial<Record<Holder, Remembered>>> {
  const text = await readFile(file, 'utf8').catch(() => '{}');
  try {
    const json = JSON.parse(text) as Record<string, { boot: string; most: number }>;
    return Object.fromEntries(Object.entries(json).map(([role, { boot, most }]) => [role, { boot: fromHex(boot), most }])); // prettier-ignore
  } catch {
    throw new InputError(`${file}: cannot be read`, 'discard this stock: remove its deals, then deal again');
  }
}
