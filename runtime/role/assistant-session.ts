/** The assistant's side of one connection of a party: opens, deals, streams. It never receives anything of an input. */
import type { Failure } from '../../common/errors.ts';
import { PeerError, RefusedError } from '../../common/errors.ts';
import type { Program } from '../../protocol/program.ts';
import { wireTypes } from '../../protocol/resolve.ts';
import type { Factor } from '../../ring/index.ts';
import type { Secret } from '../../ring/secret.ts';
import { AssistantSessions, type OpenRequest } from '../assistant-sessions.ts';
import type { Channel } from '../channel.ts';
import { giveBack } from '../buffers.ts';
import { deal } from '../deal.ts';
import { encodeSession, equalBytes, hex, type Certificates, type SessionFields } from '../encoding.ts';
import { maskSource, sessionContext, type Entropy } from '../keys.ts';
import { decodeClaim, decodeOpen, HANDSHAKE_LIMIT, HASH_BYTES, type Open } from '../wire.ts';
import { sameExport } from './admission.ts';
import { splitSeeds } from './deal-ahead.ts';
import type { Stock } from './stock.ts';
import { decodeTally, encodeRemembered, TALLY_BYTES } from './tally.ts';

/** What an assistant serves. */
export interface AssistantModel {
  readonly program: Program;
  readonly session: Omit<SessionFields, 'lengths'>;
  /** HKDF(M_i, "smpc/check/1") of both parties. */
  readonly checks: readonly [Uint8Array, Uint8Array];
  /** B for products in ring n; one per process. */
  maskedWeight(name: string, n: number): Factor;
}

export interface AssistantOptions {
  readonly certificates: Omit<Certificates, 'client'>;
  /** Milliseconds one party waits for the other. */
  readonly patience: number;
  readonly entropy: Entropy;
  /** Deals it made ahead, and the key under which it keeps their seeds. */
  readonly ahead?: { readonly stock: Stock; readonly keeper: Secret };
}

interface Waiting {
  readonly channel: Channel;
  readonly request: OpenRequest;
  /** The session is over for the first party too. */
  resolve(): void;
  reject(error: Failure): void;
}

/** The assistant's side of all sessions: pairs the two OPEN messages, then deals once. */
export class Assistant {
  readonly #model: AssistantModel;
  readonly #options: AssistantOptions;
  readonly #sessions: AssistantSessions;
  readonly #waiting = new Map<string, Waiting>();

  constructor(model: AssistantModel, options: AssistantOptions) {
    this.#model = model;
    this.#options = options;
    this.#sessions = new AssistantSessions(options.entropy);
  }

  /**
   * Serves one connection of `party` (known by its certificate) to its end. Resolves when its session has been dealt for.
   * @throws Failure if the session was given up; the party has been told so
   */
  async serve(party: 0 | 1, channel: Channel): Promise<void> {
    try {
      const { type, payload } = await channel.receive(['open', 'claim'], HANDSHAKE_LIMIT);
      if (type === 'open') {
        const open = decodeOpen(payload, channel.peer);
        this.#check(party, open);
        await this.#open(party, channel, open, undefined);
      } else {
        const { open, deal: id, tally } = decodeClaim(payload, channel.peer, TALLY_BYTES);
        this.#check(party, open);
        await this.#tally(party, channel, tally);
        await this.#open(party, channel, open, id);
      }
    } catch (error) {
      await channel.send('failed', new Uint8Array(0)).catch(() => {});
      throw error;
    } finally {
      channel.close();
    }
  }

  #check(party: 0 | 1, open: Open): void {
    const { session, client } = open.hello;
    sameExport(this.#model.session, session, `party ${party}`);
    if (!equalBytes(open.check, this.#model.checks[party])) {
      throw new RefusedError(
        `party ${party} has another static seed than this assistant`,
        'give all roles the bundles of one export',
      );
    }
    const ctx = sessionContext(session, { ...this.#options.certificates, client });
    if (!equalBytes(ctx, open.ctx)) {
      throw new RefusedError(`party ${party} means another session context`, 'give all roles the same deployment file');
    }
    wireTypes(this.#model.program, { lengths: session.lengths, heads: this.#model.program.heads });
  }

  /** A party whose folder came back from a backup is told so, and gets nothing. */
  async #tally(party: 0 | 1, channel: Channel, tally: Uint8Array): Promise<void> {
    const stock = this.#options.ahead?.stock;
    if (stock === undefined) {
      throw new RefusedError(
        `party ${party} claims a deal; this assistant serves none`,
        'start it with the --stock that secure-infer deal wrote for it',
      );
    }
    if (stock.note(`party${party}`, decodeTally(tally))) return;
    await channel.send('stale', encodeRemembered(stock.remembered(`party${party}`)));
    throw new RefusedError(`party ${party} serves an older copy of its stock`, 'it discards what it has');
  }

  async #open(party: 0 | 1, channel: Channel, open: Open, id: Uint8Array | undefined): Promise<void> {
    const { ctx, sid, nonces } = open;
    const request: OpenRequest = { reference: open.hello.reference, ctx, sid, nonces, ...(id && { deal: id }) };
    const key = hex(request.reference);
    const first = this.#waiting.get(key);
    let both: boolean;
    try {
      both = this.#sessions.both(party, request);
    } catch (error) {
      if (first !== undefined) {
        this.#waiting.delete(key);
        this.#sessions.abandon(first.request);
        first.reject(error as Failure);
      }
      throw error;
    }
    if (!both) {
      await this.#wait(key, channel, request);
      return;
    }
    this.#waiting.delete(key);
    const channels: [Channel, Channel] = party === 1 ? [first!.channel, channel] : [channel, first!.channel];
    try {
      if (id === undefined) await this.#deal(channels, open, request, this.#sessions.seeds(request));
      else await this.#release(channels, open, id);
      first!.resolve();
    } catch (error) {
      first!.reject(error as Failure);
      throw error;
    }
  }

  /** The first of the two parties: done when the second one's session is. */
  async #wait(key: string, channel: Channel, request: OpenRequest): Promise<void> {
    let timer: ReturnType<typeof setTimeout> | undefined;
    try {
      await new Promise<void>((resolve, reject) => {
        this.#waiting.set(key, { channel, request, resolve, reject });
        const seconds = this.#options.patience / 1000;
        // Once the second party has opened, this one may hang up (party 0 does: it needs no more than its seed).
        const alone = (reason: Failure): void => {
          if (this.#waiting.get(key)?.channel === channel) reject(reason);
        };
        const late = `only ${channel.peer} opened the session within ${seconds} s`;
        timer = setTimeout(
          () => alone(new PeerError(late, 'see whether the other party runs')),
          this.#options.patience,
        );
        void channel.closed.then(alone);
      });
    } catch (error) {
      if (this.#waiting.get(key)?.channel === channel) {
        this.#waiting.delete(key);
        this.#sessions.abandon(request);
      }
      throw error;
    } finally {
      clearTimeout(timer);
    }
  }

  /** Gives out the seeds of a deal that was made ahead, after burning it: party 1 has the corrections. */
  async #release(channels: [Channel, Channel], open: Open, id: Uint8Array): Promise<void> {
    const { stock, keeper } = this.#options.ahead!;
    const kept = await stock.burn(id);
    try {
      if (!equalBytes(encodeSession(kept.header.session), encodeSession(open.hello.session)))
        throw new RefusedError('the parties claim a deal for texts of other lengths', 'ask again');
      const seeds = splitSeeds(await kept.records(keeper).next(2 * HASH_BYTES));
      await Promise.all(channels.map((channel, i) => channel.send('seed', seeds[i]!.bytes)));
      for (const seed of seeds) seed.erase();
    } finally {
      await kept.close();
    }
    await Promise.all(channels.map((channel) => channel.closed));
  }

  async #deal(
    channels: [Channel, Channel],
    open: Open,
    request: OpenRequest,
    seeds: readonly [Secret, Secret],
  ): Promise<void> {
    const { program, maskedWeight } = this.#model;
    const keys = seeds.map((seed) => this.#sessions.key(request, seed)) as [Secret, Secret];
    try {
      await Promise.all(channels.map((channel, i) => channel.send('seed', seeds[i]!.bytes)));
      const dims = { lengths: open.hello.session.lengths, heads: program.heads };
      const masks = [maskSource(keys[0]), maskSource(keys[1])] as const;
      let sending = Promise.resolve();
      await deal(program, dims, { masks, maskedWeight }, async (_, message) => {
        // One message is under way while the next is made, not more: a slow reader slows the dealing.
        await sending;
        sending = channels[1].send('deal', message).then(() => giveBack(message));
        sending.catch(() => {});
        await new Promise((resolve) => setImmediate(resolve));
      });
      await sending;
    } finally {
      for (const secret of [...seeds, ...keys]) secret.erase();
    }
    // A party hangs up when it has all it needs.
    await Promise.all(channels.map((channel) => channel.closed));
  }
}
