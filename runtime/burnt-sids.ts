/** Session identifiers are used once. */
import { RefusedError } from '../common/errors.ts';

/** What to do about a session that was given up. */
export const AGAIN = 'ask again: a new session draws new nonces and masks';

/**
 * Session identifiers this process has seen. One is never used twice, whether its session ended well or not. The latest are
 * remembered, `most` of them at least: an older one comes back only if nonces of 32 random bytes do, and a server that never
 * ends must not remember for ever (a set of V8 holds 2^24).
 */
export class BurntSids {
  readonly #most: number;
  #seen = new Set<string>();
  #before = new Set<string>();

  constructor(most = 2 ** 20) {
    this.#most = most;
  }

  /** Burns `sid`; refuses one that is burnt already. */
  burn(sid: Uint8Array): void {
    if (this.has(sid)) throw new RefusedError('a session identifier came a second time', AGAIN);
    if (this.#seen.size >= this.#most) [this.#before, this.#seen] = [this.#seen, new Set()];
    this.#seen.add(keyOf(sid));
  }

  has(sid: Uint8Array): boolean {
    const key = keyOf(sid);
    return this.#seen.has(key) || this.#before.has(key);
  }
}

const keyOf = (sid: Uint8Array): string => Buffer.from(sid).toString('base64');
