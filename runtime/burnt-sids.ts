/** Session identifiers are used once. */
import { RefusedError } from '../common/errors.ts';

/** What to do about a session that was given up. */
export const AGAIN = 'ask again: a new session draws new nonces and masks';

/** Session identifiers this process has seen. One is never used twice, whether its session ended well or not. */
export class BurntSids {
  readonly #seen = new Set<string>();

  /** Burns `sid`; refuses one that is burnt already. */
  burn(sid: Uint8Array): void {
    const key = Buffer.from(sid).toString('base64');
    if (this.#seen.has(key)) throw new RefusedError('a session identifier came a second time', AGAIN);
    this.#seen.add(key);
  }

  has(sid: Uint8Array): boolean {
    return this.#seen.has(Buffer.from(sid).toString('base64'));
  }
}
