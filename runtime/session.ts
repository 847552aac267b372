/**
 * The session of one party as a state machine without I/O (docs/PROTOCOLS.md, "Sessions and keys"):
 * IDLE → HELLO → BOUND → DEALT → INPUT → RUN → CHECK → OUT → DONE, and DEAD on any error.
 * It holds the session's secrets and is the only place that decides whether a step may be taken.
 */
import { createHash } from 'node:crypto';
import { PeerError, type Failure } from '../common/errors.ts';
import type { Kind } from '../protocol/gate.ts';
import { extract, leaf } from '../ring/prg-node.ts';
import { Secret } from '../ring/secret.ts';
import { AGAIN, type BurntSids } from './burnt-sids.ts';
import { concat, encodeSession, equalBytes, type Certificates, type Nonces, type SessionFields } from './encoding.ts';
import { maskLabel, maskSource, sessionContext, sessionId, sessionKey, type Entropy, type MaskSource } from './keys.ts';
import { Transcript } from './transcript.ts';

export const STATES = ['IDLE', 'HELLO', 'BOUND', 'DEALT', 'INPUT', 'RUN', 'CHECK', 'OUT', 'DONE', 'DEAD'] as const;
export type State = (typeof STATES)[number];

const hashed = (bytes: Uint8Array): Uint8Array => Uint8Array.from(createHash('sha256').update(bytes).digest());

/** Kinds whose leaves a client may have: the masks of its own input. */
const CLIENT_KINDS: ReadonlySet<Kind> = new Set(['A1', 'A2', 'beta']);

/** One session of a party; every method is a step that only its state allows. */
export class PartySession {
  readonly party: 0 | 1;
  readonly #entropy: Entropy;
  readonly #burnt: BurntSids;
  #state: State = 'IDLE';
  #reason: Failure | undefined;
  #reference = new Uint8Array(0);
  #ctx: Uint8Array | undefined;
  #nonce: Uint8Array | undefined;
  #sid: Uint8Array | undefined;
  #key: Secret | undefined;
  #input: Uint8Array | undefined;
  #transcript: Transcript | undefined;
  #round = -1;
  #sent: Uint8Array | undefined;
  #digest: Uint8Array | undefined;
  #coin: Uint8Array | undefined;

  constructor(party: 0 | 1, entropy: Entropy, burnt: BurntSids) {
    this.party = party;
    this.#entropy = entropy;
    this.#burnt = burnt;
  }

  get state(): State {
    return this.#state;
  }

  /** Why the session died. */
  get reason(): Failure | undefined {
    return this.#reason;
  }

  /** 32 public bytes, known from BOUND on. */
  get sid(): Uint8Array {
    if (this.#sid === undefined) throw new Error('no sid yet');
    return this.#sid;
  }

  get ctx(): Uint8Array {
    if (this.#ctx === undefined) throw new Error('no ctx yet');
    return this.#ctx;
  }

  /**
   * IDLE → HELLO: client, other party and this party name the same session. Draws this party's nonce, only now.
   * `reference` is what the client calls the session.
   */
  hello(
    own: SessionFields,
    others: readonly SessionFields[],
    certificates: Certificates,
    reference: Uint8Array,
  ): Uint8Array {
    this.#from('IDLE', 'HELLO');
    const mine = encodeSession(own);
    for (const theirs of others)
      if (!equalBytes(mine, encodeSession(theirs))) this.#refuse('the roles do not mean the same session');
    this.#ctx = sessionContext(own, certificates);
    this.#reference = Uint8Array.from(reference);
    this.#nonce = this.#entropy.draw(this.party === 0 ? 'nonce0' : 'nonce1', reference);
    return this.#nonce;
  }

  /** Still HELLO: all nonces are known. Burns and returns the sid, to be compared with the other party's. */
  identify(nonces: Nonces): Uint8Array {
    this.#in('HELLO');
    const own = this.party === 0 ? nonces.party0 : nonces.party1;
    if (this.#sid !== undefined || !equalBytes(own, this.#nonce!)) this.#refuse('nonces of another session');
    const sid = sessionId(this.ctx, nonces);
    try {
      this.#burnt.burn(sid);
    } catch (error) {
      throw this.die(error as Failure);
    }
    this.#sid = sid;
    return sid;
  }

  /** HELLO → BOUND: the other party computed the same sid. */
  bind(theirs: Uint8Array): void {
    this.#from('HELLO', 'BOUND');
    if (this.#sid === undefined || !equalBytes(this.#sid, theirs))
      this.#refuse('the parties have different session identifiers');
  }

  /**
   * BOUND → DEALT: K_i is derived from the assistant's S_i, which is erased. Where it was dealt ahead, `deal` takes the place of the
   * sid: the masks are one-time because the deal is burnt.
   */
  dealt(seed: Secret, deal?: Uint8Array): void {
    this.#from('BOUND', 'DEALT');
    this.#key = sessionKey(deal ?? this.#entropy.salt(this.sid, this.#reference), seed);
    seed.erase();
  }

  /** DEALT: what reads the corrections that were dealt ahead; the key itself stays here. */
  readStock<T>(read: (key: Secret) => T): T {
    this.#in('DEALT');
    return read(this.#key!);
  }

  /** DEALT: the leaf of this party's mask of the client's input; no other leaf ever leaves. */
  clientLeaf(gate: number, kind: Kind, n: number, length: number): Uint8Array {
    this.#in('DEALT');
    if (!CLIENT_KINDS.has(kind)) this.#refuse('only the leaves of a client’s own input masks leave a party');
    return leaf(this.#key!, maskLabel(gate, kind, n, length));
  }

  /** DEALT: the client's message. Returns its hash, to be compared with the other party's. */
  input(message: Uint8Array): Uint8Array {
    this.#in('DEALT');
    if (this.#input !== undefined) this.#refuse('a second input');
    this.#input = hashed(message);
    return this.#input;
  }

  /** DEALT → INPUT: the other party got the same message from the client. */
  inputAgreed(theirs: Uint8Array): void {
    this.#from('DEALT', 'INPUT');
    if (this.#input === undefined || !equalBytes(this.#input, theirs))
      this.#refuse('the client sent the parties different inputs');
  }

  /** From DEALT on: this party's masks, for work ahead of the input; none after RUN. */
  masks(): MaskSource {
    this.#in('DEALT');
    const source = maskSource(this.#key!);
    return (...mask) => {
      if (this.#state !== 'DEALT' && this.#state !== 'INPUT') this.#in('RUN');
      return source(...mask);
    };
  }

  /** INPUT → RUN. */
  run(): void {
    this.#from('INPUT', 'RUN');
    this.#transcript = new Transcript(this.sid);
  }

  /** RUN k: message k is computed and sent once. The same bytes may be sent again, other bytes never. */
  sending(round: number, message: Uint8Array): void {
    this.#in('RUN');
    if (round === this.#round && this.#sent !== undefined) {
      if (!equalBytes(this.#sent, message)) this.#refuse(`other bytes for message ${round}, which was sent`);
      return;
    }
    if (round !== this.#round + 1 || this.#sent !== undefined) this.#refuse(`message ${round} is out of turn`);
    this.#round = round;
    this.#sent = message;
  }

  /** RUN k: the other party's message k, once. */
  received(round: number, message: Uint8Array): void {
    this.#in('RUN');
    const sent = this.#sent;
    if (round !== this.#round || sent === undefined) throw this.#refuse(`message ${round} was not awaited`);
    this.#transcript!.round(...(this.party === 0 ? ([sent, message] as const) : ([message, sent] as const)));
    this.#sent = undefined;
  }

  /** RUN → CHECK: nothing is computed any more, keys are erased. Returns the transcript hash for the other party. */
  check(): Uint8Array {
    this.#from('RUN', 'CHECK');
    if (this.#sent !== undefined) this.#refuse('a message is unanswered');
    this.#key?.erase();
    this.#digest = this.#transcript!.digest();
    return this.#digest;
  }

  /** CHECK: what this party throws in for a coin, drawn only now that every opening is made. */
  coin(): Uint8Array {
    this.#in('CHECK');
    this.#coin ??= this.#entropy.draw(this.party === 0 ? 'coin0' : 'coin1', this.#reference);
    return this.#coin;
  }

  /** OUT: the key of the common coin. The caller erases it. */
  tossed(theirs: Uint8Array): Secret {
    this.#in('OUT');
    if (this.#coin === undefined) this.#refuse('a coin was not thrown');
    const [first, second] = this.party === 0 ? [this.#coin, theirs] : [theirs, this.#coin];
    return extract(this.#entropy.salt(this.sid, this.#reference), concat(first, second));
  }

  /** CHECK → OUT: both parties saw the same transcript, so the output share may leave. */
  checked(theirs: Uint8Array): void {
    this.#from('CHECK', 'OUT');
    if (!equalBytes(this.#digest!, theirs)) this.#refuse('the parties’ transcripts differ');
  }

  /** OUT → DONE: the output share has left. */
  done(): void {
    this.#from('OUT', 'DONE');
  }

  /** DEAD: keys erased, sid burnt, no way back. Returns the first reason. */
  die(reason: Failure): Failure {
    if (this.#state === 'DONE' || this.#state === 'DEAD') return this.#reason ?? reason;
    this.#state = 'DEAD';
    this.#reason = reason;
    this.#key?.erase();
    this.#key = undefined;
    this.#transcript = undefined;
    this.#sent = undefined;
    this.#coin = undefined;
    return reason;
  }

  #in(state: State): void {
    if (this.#state !== state) this.#refuse(`a step of ${state} was taken in ${this.#state}`);
  }

  #from(state: State, next: State): void {
    this.#in(state);
    this.#state = next;
  }

  #refuse(what: string): never {
    throw this.die(new PeerError(`the session was given up: ${what}`, AGAIN));
  }
}
