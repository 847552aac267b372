/** Where a party's correlated randomness comes from: the assistant now, or a deal it made ahead, which the session binds to its sid. */
import { PeerError } from '../../common/errors.ts';
import type { Program } from '../../protocol/program.ts';
import type { Dims } from '../../protocol/shape.ts';
import { Secret } from '../../ring/secret.ts';
import { expect, type Channel } from '../channel.ts';
import { concat, type SessionFields } from '../encoding.ts';
import type { PartySession } from '../session.ts';
import { encodeClaim, encodeOpen, HASH_BYTES, type Open } from '../wire.ts';
import { Agreement, discarded, type StockUse } from './agreement.ts';
import type { Deal } from './deal-file.ts';
import { DealtStream } from './dealt-stream.ts';
import { decodeRemembered, encodeTally, REMEMBERED_BYTES } from './tally.ts';

/** The randomness of one session, from the agreement on its source to the stream of its corrections. */
export class Preprocessing {
  readonly #session: PartySession;
  readonly #stock: StockUse | undefined;
  readonly #agreement: Agreement;
  #deal: Deal | undefined;

  /** `own`: what is asked; `stock`: absent where the assistant deals live. */
  constructor(session: PartySession, own: SessionFields, stock: StockUse | undefined) {
    this.#session = session;
    this.#stock = stock;
    this.#agreement = new Agreement(session.party, stock, own);
  }

  /** What goes behind this party's nonce. */
  note(): Promise<Uint8Array> {
    return this.#agreement.note();
  }

  /** What came behind the other party's nonce. @throws RefusedError if this party's stock is an older copy */
  heard(note: Uint8Array): Promise<void> {
    return this.#agreement.heard(note);
  }

  /** Compares sids; with them party 1 tells which deal it took, if sessions are dealt ahead. From here on the deal is burnt. */
  async bind(peer: Channel, sid: Uint8Array): Promise<void> {
    const agreement = this.#agreement;
    if (this.#session.party === 1) {
      const { deal, choice } = await agreement.choose();
      await this.#keep(deal);
      await peer.send('bind', concat(sid, choice));
      this.#session.bind(await expect(peer, 'bind', HASH_BYTES));
      agreement.checkOther();
      return;
    }
    await peer.send('bind', sid);
    const theirs = await expect(peer, 'bind', HASH_BYTES + agreement.choiceBytes);
    this.#session.bind(theirs.subarray(0, HASH_BYTES));
    agreement.checkOther();
    await this.#keep(await agreement.chosen(theirs.subarray(HASH_BYTES)));
  }

  /**
   * Asks the assistant for this party's seed, of a live session or of the deal it burnt. Party 1 gets its corrections from there or
   * from the deal, as a stream that holds up to `budget` bytes; party 0 needs none.
   */
  async seed(
    open: Open,
    assistant: Channel,
    program: Program,
    dims: Dims,
    budget?: number,
  ): Promise<DealtStream | undefined> {
    const { party } = this.#session;
    const deal = this.#deal;
    if (deal === undefined) {
      await assistant.send('open', encodeOpen(open));
      this.#session.dealt(new Secret(Uint8Array.from(await expect(assistant, 'seed', HASH_BYTES))));
      if (party === 1) {
        const next = async (limit: number): Promise<Uint8Array> => (await assistant.receive(['deal'], limit)).payload;
        return new DealtStream(next, program, dims, budget);
      }
      assistant.close();
      return undefined;
    }
    const { stock } = this.#stock!;
    await assistant.send('claim', encodeClaim({ open, deal: deal.header.id, tally: encodeTally(stock.tally) }));
    const { type, payload } = await assistant.receive(['seed', 'stale'], HASH_BYTES);
    if (payload.length !== (type === 'seed' ? HASH_BYTES : REMEMBERED_BYTES))
      throw new PeerError('the assistant sent a malformed message', 'run the same version everywhere');
    if (type === 'stale') throw await discarded(stock, decodeRemembered(payload));
    this.#session.dealt(new Secret(Uint8Array.from(payload)), deal.header.id);
    assistant.close();
    if (party === 0) return undefined;
    const records = this.#session.readStock((key) => deal.records(key));
    return new DealtStream((limit) => records.next(limit), program, dims, budget);
  }

  async close(): Promise<void> {
    await this.#deal?.close();
  }

  async #keep(deal: Deal | undefined): Promise<void> {
    this.#deal = deal;
    // Given up while the deal was being burnt: nobody else closes it.
    if (this.#session.state === 'DEAD') await deal?.close();
  }
}
