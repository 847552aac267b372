/**
 * Contexts, session identifiers and session keys (docs/PROTOCOLS.md, "Sessions and keys"). Node only; a client needs no keys
 * and makes the two hashes by WebCrypto from the same bytes (`encoding.ts`).
 */
import { createHash, randomBytes } from 'node:crypto';
import { KINDS, type Kind } from '../protocol/gate.ts';
import type { LeafLabel, Words } from '../ring/index.ts';
import { expand, expand32, expandInto, extract, leaf } from '../ring/prg-node.ts';
import { Secret } from '../ring/secret.ts';
import {
  contextBytes,
  fields,
  sidBytes,
  text,
  type Certificates,
  type Nonces,
  type SessionFields,
} from './encoding.ts';

const sha256 = (bytes: Uint8Array): Uint8Array => Uint8Array.from(createHash('sha256').update(bytes).digest());

export const KEY_BYTES = 32;

/** ctx: 32 bytes that name everything the session is about. */
export const sessionContext = (f: SessionFields, c: Certificates): Uint8Array => sha256(contextBytes(f, c));

/** sid: ctx and three fresh nonces. */
export const sessionId = (ctx: Uint8Array, nonces: Nonces): Uint8Array => sha256(sidBytes(ctx, nonces));

/** K_i = HKDF-Extract-SHA256(salt = sid, ikm = S_i). The caller erases S_i. */
export const sessionKey = (sid: Uint8Array, seed: Secret): Secret => extract(sid, seed);

/** HKDF(salt = model_id, ikm = M_i, "smpc/check/1"): tells two seeds apart without telling the seed. */
export function masterCheck(modelId: Uint8Array, master: Secret): Uint8Array {
  const key = extract(modelId, master);
  const check = expand32(key, text('smpc/check/1'));
  key.erase();
  return check;
}

/**
 * Label of a one-time mask or pad. A gate has one output wire, numbered as the gate, so `gate` and `wire` are equal; masks
 * are flat: one row of `length` words.
 */
export const maskLabel = (gate: number, kind: Kind, n: number, length: number): LeafLabel => ({
  gate,
  kind: KINDS[kind],
  wire: gate,
  n,
  rows: 1,
  cols: length,
});

/** One party's one-time words by gate index and kind; with `into`, only the words from `from` on that it has room for. */
export type MaskSource = (gate: number, kind: Kind, n: number, length: number, into?: Words, from?: number) => Words;

/** The masks and pads under a session key. The same label gives the same words, so a caller must use each once. */
export const maskSource =
  (key: Secret): MaskSource =>
  (gate, kind, n, length, into, from = 0) => {
    const bytes = leaf(key, maskLabel(gate, kind, n, length));
    return into === undefined ? expand(bytes, n, length) : expandInto(bytes, into, from);
  };

/** Where nonces, session seeds and coins come from. */
export interface Entropy {
  /** 32 bytes; `purpose` and `reference` (the session's, chosen by the client) matter only to a deterministic source. */
  draw(purpose: 'nonce0' | 'nonce1' | 'seed0' | 'seed1' | 'coin0' | 'coin1', reference: Uint8Array): Uint8Array;
  /** Salt of K_i: the sid, except where runs must repeat. */
  salt(sid: Uint8Array, reference: Uint8Array): Uint8Array;
  readonly deterministic: boolean;
}

/** The operating system's generator. */
export const SYSTEM_ENTROPY: Entropy = {
  draw: () => Uint8Array.from(randomBytes(KEY_BYTES)),
  salt: (sid) => sid,
  deterministic: false,
};

/**
 * Everything from a number: NO secrecy. For comparing runs with the clear interpreter; only `secure-infer local` may use it.
 * The salt does not depend on certificates, so that two runs with one seed draw the same masks.
 */
export function seededEntropy(seed: string | number): Entropy {
  const hash = (domain: string, reference: Uint8Array): Uint8Array =>
    sha256(fields(text('smpc/debug/1'), text(domain), text(String(seed)), reference));
  return {
    draw: (purpose, reference) => hash(purpose, reference),
    salt: (_, reference) => hash('salt', reference),
    deterministic: true,
  };
}

/** K_0 and K_1 of a deterministic run, for oracles. */
export function seededKeys(seed: string | number, reference: Uint8Array): [Secret, Secret] {
  const entropy = seededEntropy(seed);
  const salt = entropy.salt(new Uint8Array(0), reference);
  const key = (purpose: 'seed0' | 'seed1'): Secret => sessionKey(salt, new Secret(entropy.draw(purpose, reference)));
  return [key('seed0'), key('seed1')];
}
