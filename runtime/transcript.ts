/** The running hash over everything the two parties sent each other, in an order both know. */
import { createHash, type Hash } from 'node:crypto';
import { fields, text, u32 } from './encoding.ts';

/** Running hash over the messages of all rounds, party 0's before party 1's. */
export class Transcript {
  #hash: Hash;
  #rounds = 0;

  /** `sid` binds the hash to the session. */
  constructor(sid: Uint8Array) {
    this.#hash = createHash('sha256').update(text('smpc/transcript/1')).update(fields(sid));
  }

  /** Messages of the next round, party 0's first. */
  round(fromParty0: Uint8Array, fromParty1: Uint8Array): void {
    this.#hash.update(u32(this.#rounds++, fromParty0.length)).update(fromParty0);
    this.#hash.update(u32(fromParty1.length)).update(fromParty1);
  }

  digest(): Uint8Array {
    return Uint8Array.from(this.#hash.copy().update(u32(this.#rounds)).digest());
  }
}
