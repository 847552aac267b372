/** The sessions of the assistant without I/O: what has been opened by whom, and that nothing is dealt twice. */
import { RefusedError } from '../common/errors.ts';
import { Secret } from '../ring/secret.ts';
import { AGAIN, BurntSids } from './burnt-sids.ts';
import { equalBytes, fields, text, type Nonces } from './encoding.ts';
import { sessionId, sessionKey, type Entropy } from './keys.ts';

/** What a party asks the assistant for. */
export interface OpenRequest {
  readonly reference: Uint8Array;
  readonly ctx: Uint8Array;
  readonly sid: Uint8Array;
  readonly nonces: Nonces;
  /** The deal it claims, where it was dealt ahead. */
  readonly deal?: Uint8Array;
}

const requestBytes = (r: OpenRequest): Uint8Array =>
  fields(
    text('smpc/open/1'),
    r.reference,
    r.ctx,
    r.sid,
    r.nonces.client,
    r.nonces.party0,
    r.nonces.party1,
    r.deal ?? new Uint8Array(0),
  );

/** The assistant's side: what has been opened by whom, and that nothing is dealt twice. */
export class AssistantSessions {
  readonly #entropy: Entropy;
  readonly #burnt = new BurntSids();
  readonly #half = new Map<string, { readonly party: 0 | 1; readonly request: Uint8Array }>();

  constructor(entropy: Entropy) {
    this.#entropy = entropy;
  }

  /**
   * A party's request. The first is remembered; true once the other party has made an equal one; a second one from the same
   * party, for a session already dealt, or a different one is refused, and the session is dead.
   */
  both(party: 0 | 1, request: OpenRequest): boolean {
    const key = Buffer.from(request.reference).toString('base64');
    const bytes = requestBytes(request);
    if (!equalBytes(request.sid, sessionId(request.ctx, request.nonces)))
      throw new RefusedError(`party ${party} opened a session whose identifier is not that of its nonces`, AGAIN);
    if (this.#burnt.has(request.sid))
      throw new RefusedError(`party ${party} opened a session a second time; nothing is dealt twice`, AGAIN);
    const first = this.#half.get(key);
    if (first === undefined) {
      this.#half.set(key, { party, request: bytes });
      return false;
    }
    this.#half.delete(key);
    this.#burnt.burn(request.sid);
    if (first.party === party)
      throw new RefusedError(`party ${party} opened a session a second time; nothing is dealt twice`, AGAIN);
    if (!equalBytes(first.request, bytes)) throw new RefusedError('the parties opened different sessions', AGAIN);
    return true;
  }

  /** S_0 and S_1 of a live session, drawn now. Call it once, where `both` said so. */
  seeds({ reference }: OpenRequest): readonly [Secret, Secret] {
    return [new Secret(this.#entropy.draw('seed0', reference)), new Secret(this.#entropy.draw('seed1', reference))];
  }

  /** Key of K_i for a dealt session. */
  key(request: OpenRequest, seed: Secret): Secret {
    return sessionKey(this.#entropy.salt(request.sid, request.reference), seed);
  }

  /** Forgets a session whose other party never came; its sid stays burnt. */
  abandon(request: OpenRequest): void {
    this.#half.delete(Buffer.from(request.reference).toString('base64'));
    if (!this.#burnt.has(request.sid)) this.#burnt.burn(request.sid);
  }
}
