/** How much a party computes at once: its memory grows with the tokens of all sessions under way, not with their number. */
import { RefusedError } from '../../common/errors.ts';
import { MAX_TOKENS } from './admission.ts';

/** Tokens of all sessions at once, unless a party is told otherwise. */
export const MAX_TOKENS_AT_ONCE = 4 * MAX_TOKENS;

/** What is left of it. */
export class Capacity {
  readonly #most: number;
  #taken = 0;

  constructor(tokens = MAX_TOKENS_AT_ONCE) {
    this.#most = tokens;
  }

  /** Takes `tokens` for a session, until what it returns is called. @throws RefusedError if there are not as many left */
  take(tokens: number): () => void {
    if (this.#taken + tokens > this.#most)
      throw new RefusedError(
        `a session of ${tokens} tokens beside ${this.#taken} under way, at most ${this.#most} at once`,
        'let the client ask again later, or serve more (party --max-tokens)',
      );
    this.#taken += tokens;
    let held = true;
    return () => {
      if (held) this.#taken -= tokens;
      held = false;
    };
  }
}
