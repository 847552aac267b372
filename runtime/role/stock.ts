/**
 * A role's folder of deals: `deals/ID.deal`, and `burned/ID` for every deal that was ever begun. A deal is burnt, on the disk,
 * before anything made of it leaves: after a crash it is lost, never used twice. Counters that the roles tell each other
 * show a folder that came back from a backup; what it has is discarded then.
 */
import { randomBytes } from 'node:crypto';
import { open, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { Failure, InputError, RefusedError } from '../../common/errors.ts';
import { syncFolder } from '../../common/sync-folder.ts';
import { encodeSession, equalBytes, fromHex, hex, type Certificates, type SessionFields } from '../encoding.ts';
import { BurntDeals, usedOnce } from './burnt-deals.ts';
import { Deal, DEAL_NAME, readHeader, type DealHeader, type Holder } from './deal-file.ts';
import { StockState } from './stock-state.ts';
import { BOOT_BYTES, type Remembered, type Tally } from './tally.ts';

/** Most deals a party offers for one session. */
export const MAX_OFFERED = 16;
const SUFFIX = '.deal';

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
  readonly #burnt: BurntDeals;
  readonly #state: StockState;
  /** Of sessions under way. */
  readonly #inUse = new Set<string>();
  readonly #headers = new Map<string, DealHeader>();
  readonly #bad = new Set<string>();
  #boot = Uint8Array.from(randomBytes(BOOT_BYTES));
  #start: number;
  /** Deals that were here when the process began: what a backup could have brought back. */
  readonly #found: readonly string[];

  private constructor(
    dir: string,
    options: StockOptions,
    state: StockState,
    burnt: BurntDeals,
    found: readonly string[],
  ) {
    this.#dir = dir;
    this.#options = options;
    this.#state = state;
    this.#burnt = burnt;
    this.#found = found;
    this.#start = burnt.durable;
  }

  /** @throws InputError if there is no folder of deals */
  static async open(dir: string, options: StockOptions): Promise<Stock> {
    const found = await dealNames(dir).catch(() => {
      throw new InputError(`${dir}: no folder of deals`, 'give the folder of this role that secure-infer deal wrote');
    });
    const burnt = await BurntDeals.open(dir);
    return new Stock(dir, options, await StockState.read(dir), burnt, found);
  }

  get tally(): Tally {
    return { epoch: this.#state.epoch, boot: this.#boot, start: this.#start, now: this.#burnt.durable };
  }

  remembered(of: Holder): Remembered {
    return this.#state.remembered(of);
  }

  /** Notes another role's tally. False if its folder is older than one that was seen of it. */
  note(of: Holder, tally: Tally): boolean {
    return this.#state.note(of, tally);
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
      await Promise.all([this.#burnt.mark(name), this.#state.saved()]);
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
      if (!this.#burnt.has(name)) await this.#burnt.mark(name);
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
    this.#boot = Uint8Array.from(randomBytes(BOOT_BYTES));
    this.#start = this.#burnt.durable;
    await this.#state.begin(than.epoch);
    return older.length;
  }

  #file(name: string): string {
    return join(this.#dir, 'deals', `${name}${SUFFIX}`);
  }

  /** Reads the headers of files it has not seen; takes away what expired or was begun before. */
  async #scan(): Promise<void> {
    const names = await dealNames(this.#dir);
    const there = new Set(names);
    for (const name of this.#headers.keys()) if (!there.has(name)) this.#headers.delete(name);
    for (const name of names) {
      if (this.#headers.has(name) || this.#bad.has(name) || this.#burnt.begun(name)) continue;
      const file = this.#file(name);
      try {
        const handle = await open(file, 'r').catch(() => undefined);
        if (handle === undefined) continue;
        try {
          if (this.#burnt.has(name)) throw new RefusedError(`${file}: was begun before; taken away`, 'deal again');
          const header = await readHeader(handle, (await handle.stat()).size, file, fromHex(name), this.#options.holder); // prettier-ignore
          this.#check(header, file);
          // Burnt meanwhile by another session?
          if (!this.#burnt.begun(name)) this.#headers.set(name, header);
        } finally {
          await handle.close();
        }
      } catch (error) {
        if (!(error instanceof Failure)) throw error;
        this.#bad.add(name);
        this.#options.refused(error);
        if (this.#burnt.has(name) && !this.#burnt.begun(name)) await rm(file, { force: true });
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
}

/** Names of the files of deals in a role's folder, without their suffix. */
async function dealNames(dir: string): Promise<string[]> {
  const files = await readdir(join(dir, 'deals'));
  return files.filter((f) => f.endsWith(SUFFIX)).map((f) => f.slice(0, -SUFFIX.length)).filter((f) => DEAL_NAME.test(f)); // prettier-ignore
}
