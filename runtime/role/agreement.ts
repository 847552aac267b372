/**
 * Which deal two parties take for a session, without a message of its own. Party 0 says with its nonce what it has; party 1 burns
 * one that it has too and says so with the sid; then party 0 burns it. Each also hears what the other remembers of its folder.
 */
import { PeerError, RefusedError } from '../../common/errors.ts';
import { concat, equalBytes, hex, readU32, u32, type SessionFields } from '../encoding.ts';
import { HASH_BYTES } from '../wire.ts';
import { DEAL_ID_BYTES, type Deal } from './deal-file.ts';
import { MAX_OFFERED, type Stock } from './stock.ts';
import { decodeRemembered, decodeTally, encodeRemembered, encodeTally, isOlder, REMEMBERED_BYTES, TALLY_BYTES, type Remembered } from './tally.ts'; // prettier-ignore

/** A party's stock, and whether it may go on without. */
export interface StockUse {
  readonly stock: Stock;
  /** Where nothing fits, the assistant deals live, and `fellBack` is told of which lengths. */
  readonly live?: { fellBack(lengths: readonly number[]): void };
}

const HEAD_BYTES = TALLY_BYTES + REMEMBERED_BYTES;
const NONE = new Uint8Array(DEAL_ID_BYTES);
/** Most bytes of a note, and of party 1's choice. */
export const NOTE_LIMIT = HEAD_BYTES + MAX_OFFERED * DEAL_ID_BYTES;
const CHOICE_BYTES = DEAL_ID_BYTES + 4;

/** The deal of one session as one party sees it; `use` is absent where the party has no stock. */
export class Agreement {
  readonly #party: 0 | 1;
  readonly #use: StockUse | undefined;
  readonly #session: SessionFields;
  #offered: readonly Uint8Array[] = [];
  #theirs: Uint8Array = new Uint8Array(0);
  #older = false;

  constructor(party: 0 | 1, use: StockUse | undefined, session: SessionFields) {
    this.#party = party;
    this.#use = use;
    this.#session = session;
  }

  /** What goes behind this party's nonce: nothing, where it has no stock. */
  async note(): Promise<Uint8Array> {
    if (this.#use === undefined) return new Uint8Array(0);
    const { stock } = this.#use;
    if (this.#party === 0) this.#offered = await stock.find(this.#session);
    const head = concat(encodeTally(stock.tally), encodeRemembered(stock.remembered(this.#party === 0 ? 'party1' : 'party0'))); // prettier-ignore
    return concat(head, ...this.#offered);
  }

  /**
   * What came behind the other party's nonce.
   * @throws RefusedError if this party's folder is older than the other remembers: its deals are discarded
   */
  async heard(note: Uint8Array): Promise<void> {
    // A copy: the channel may use its buffer again.
    this.#theirs = Uint8Array.from(note);
    if (note.length === 0) return;
    const ids = note.length - HEAD_BYTES;
    if (ids < 0 || ids % DEAL_ID_BYTES !== 0 || (this.#party === 0 && ids > 0))
      throw new PeerError('the other party sent a malformed note of its stock', 'run the same version everywhere');
    if (this.#use === undefined) return;
    const { stock } = this.#use;
    const known = decodeRemembered(note.subarray(TALLY_BYTES));
    if (isOlder(stock.tally, known)) throw await discarded(stock, known);
    this.#older = !stock.note(this.#party === 0 ? 'party1' : 'party0', decodeTally(note));
  }

  /** @throws RefusedError if the other party's folder is an older copy. Later than `heard`, so that it can find out by itself. */
  checkOther(): void {
    if (this.#older)
      throw new RefusedError(`party ${1 - this.#party} serves an older copy of its stock`, 'it discards what it has; ask again'); // prettier-ignore
  }

  /** Party 1, once the sid is known: the deal it chose and burnt, and what goes behind its sid. */
  async choose(): Promise<{ readonly deal: Deal | undefined; readonly choice: Uint8Array }> {
    const offer = this.#theirs.subarray(HEAD_BYTES);
    if (this.#theirs.length === 0) return { deal: this.#none(), choice: new Uint8Array(0) };
    const ids = Array.from({ length: offer.length / DEAL_ID_BYTES }, (_, i) => offer.slice(i * DEAL_ID_BYTES, (i + 1) * DEAL_ID_BYTES)); // prettier-ignore
    const stock = this.#use?.stock;
    if (this.#older) return { deal: undefined, choice: concat(NONE, u32(0)) };
    const own = new Set((await stock?.find(this.#session, Number.POSITIVE_INFINITY))?.map(hex));
    // Another session may have begun one since.
    const wanted = ids.find((id) => own.has(hex(id)) && stock!.has(id));
    // Party 0 throws away what this party has used: they differ after a crash.
    const used = ids.reduce((bits, id, i) => (stock?.spent(id) === true ? bits | (1 << i) : bits), 0);
    const deal = wanted === undefined ? this.#none() : await stock!.burn(wanted);
    return { deal, choice: concat(wanted ?? NONE, u32(used >>> 0)) };
  }

  /** Party 0: bytes that party 1's sid message has. */
  get choiceBytes(): number {
    return this.#use === undefined ? 0 : CHOICE_BYTES;
  }

  /** Party 0, with what came behind party 1's sid: burns the same deal. */
  async chosen(choice: Uint8Array): Promise<Deal | undefined> {
    if (this.#use === undefined) return undefined;
    const { stock } = this.#use;
    const id = choice.slice(0, DEAL_ID_BYTES);
    const used = readU32(choice, DEAL_ID_BYTES);
    await stock.discard(this.#offered.filter((_, i) => (used & (1 << i)) !== 0));
    if (equalBytes(id, NONE)) return this.#none();
    if (!this.#offered.some((offered) => equalBytes(offered, id)))
      throw new PeerError('party 1 chose a deal that was not offered', 'run the same version everywhere');
    return stock.burn(id);
  }

  /** @throws RefusedError unless this party may go on with the assistant dealing live */
  #none(): undefined {
    const { lengths } = this.#session;
    if (this.#use === undefined) return undefined;
    if (this.#use.live === undefined)
      throw new RefusedError(
        `nothing is dealt ahead, at both parties, for ${lengths.length === 1 ? 'a text' : 'texts'} of ${lengths.join(', ')} tokens`,
        `deal more (secure-infer deal --lengths …), or let the assistant deal live (--live)`,
      );
    this.#use.live.fellBack(lengths);
    return undefined;
  }
}

/** Burns what an older copy of a folder brought back. */
export async function discarded(stock: Stock, than: Remembered): Promise<RefusedError> {
  const count = await stock.discardOlder(than);
  return new RefusedError(
    `this stock is an older copy of one that was used since (restored from a backup?): its ${count} deals were discarded`,
    'deal anew (secure-infer deal)',
  );
}

/** Nonces message: n_C, the party's own nonce, its note. */
export const NONCES_BYTES = 2 * HASH_BYTES;
