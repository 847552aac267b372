/** The assistant's side of one connection of a party: opens, deals, streams. It never receives anything of an input. */
import type { Failure } from '../../common/errors.ts';
import { PeerError, RefusedError } from '../../common/errors.ts';
import type { Program } from '../../protocol/program.ts';
import { wireTypes } from '../../protocol/resolve.ts';
import type { Words } from '../../ring/index.ts';
import type { Secret } from '../../ring/secret.ts';
import type { Channel } from '../channel.ts';
import { deal, encodeCorrections } from '../deal.ts';
import { encodeSession, equalBytes, hex, type Certificates, type SessionFields } from '../encoding.ts';
import { maskSource, sessionContext, type Entropy } from '../keys.ts';
import { AssistantSessions, type OpenRequest } from '../session.ts';
import { decodeOpen, HANDSHAKE_LIMIT, type Open } from '../wire.ts';

/** What an assistant serves. */
export interface AssistantModel {
  readonly program: Program;
  readonly session: Omit<SessionFields, 'lengths'>;
  /** HKDF(M_i, "smpc/check/1") of both parties. */
  readonly checks: readonly [Uint8Array, Uint8Array];
  /** B in ring n; one per process. */
  maskedWeight(name: string, n: number): Words;
}

export interface AssistantOptions {
  readonly certificates: Omit<Certificates, 'client'>;
  /** Milliseconds one party waits for the other. */
  readonly patience: number;
  readonly entropy: Entropy;
}

interface Waiting {
  readonly channel: Channel;
  readonly open: Open;
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
      const { payload } = await channel.receive(['open'], HANDSHAKE_LIMIT);
      const open = decodeOpen(payload, channel.peer);
      this.#check(party, open);
      await this.#open(party, channel, open);
    } catch (error) {
      await channel.send('failed', new Uint8Array(0)).catch(() => {});
      throw error;
    } finally {
      channel.close();
    }
  }

  #check(party: 0 | 1, open: Open): void {
    const { session, client } = open.hello;
    const own = { ...this.#model.session, lengths: session.lengths };
    if (!equalBytes(encodeSession(own), encodeSession(session))) {
      throw new RefusedError(
        `party ${party} has another export (theirs ${hex(session.exportDigest).slice(0, 16)}…, ours ${hex(own.exportDigest).slice(0, 16)}…)`,
        'give all roles the bundles of one export',
      );
    }
    if (!equalBytes(open.check, this.#model.checks[party])) {
      throw new RefusedError(
        `party ${party} has another static seed than this assistant`,
        'give all roles the bundles of one export',
      );
    }
    const ctx = sessionContext(own, { ...this.#options.certificates, client });
    if (!equalBytes(ctx, open.ctx)) {
      throw new RefusedError(`party ${party} means another session context`, 'give all roles the same deployment file');
    }
    wireTypes(this.#model.program, { lengths: session.lengths, heads: this.#model.program.heads });
  }

  async #open(party: 0 | 1, channel: Channel, open: Open): Promise<void> {
    const request: OpenRequest = { reference: open.hello.reference, ctx: open.ctx, sid: open.sid, nonces: open.nonces };
    const key = hex(request.reference);
    const first = this.#waiting.get(key);
    let seeds: readonly [Secret, Secret] | undefined;
    try {
      seeds = this.#sessions.open(party, request);
    } catch (error) {
      this.#waiting.delete(key);
      first?.reject(error as Failure);
      throw error;
    }
    if (seeds === undefined) {
      await this.#wait(key, channel, open, request);
      return;
    }
    this.#waiting.delete(key);
    const channels: [Channel, Channel] = party === 1 ? [first!.channel, channel] : [channel, first!.channel];
    try {
      await this.#deal(channels, open, request, seeds);
      first!.resolve();
    } catch (error) {
      first!.reject(error as Failure);
      throw error;
    }
  }

  /** The first of the two parties: done when the second one's session is. */
  async #wait(key: string, channel: Channel, open: Open, request: OpenRequest): Promise<void> {
    let timer: ReturnType<typeof setTimeout> | undefined;
    try {
      await new Promise<void>((resolve, reject) => {
        this.#waiting.set(key, { channel, open, resolve, reject });
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
      await deal(program, dims, { masks, maskedWeight }, async (gate, corrections) => {
        await channels[1].send('deal', encodeCorrections(gate, corrections));
        await new Promise((resolve) => setImmediate(resolve));
      });
    } finally {
      for (const secret of [...seeds, ...keys]) secret.erase();
    }
    // A party hangs up when it has all it needs.
    await Promise.all(channels.map((channel) => channel.closed));
  }
}
