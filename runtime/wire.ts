/** Payloads of the handshake frames that more than one role writes or reads. */
import {
  concat,
  decodeSession,
  encodeSession,
  fields,
  parseFields,
  readU32,
  u32,
  type Nonces,
  type SessionFields,
} from './encoding.ts';
import { PeerError } from '../common/errors.ts';

/** Bytes of a nonce, a digest, a certificate hash. */
export const HASH_BYTES = 32;
/** Bytes of the name a client gives a session until it has a sid. */
export const REFERENCE_BYTES = 16;
/** Largest hello, nonce, open and leaves message. */
export const HANDSHAKE_LIMIT = 1 << 16;

const sized = (value: Uint8Array, bytes: number, who: string): Uint8Array => {
  if (value.length !== bytes)
    throw new PeerError(`${who}: malformed message`, 'run the same version of secure-infer everywhere');
  return Uint8Array.from(value);
};

export interface Hello {
  readonly session: SessionFields;
  readonly reference: Uint8Array;
  /** SHA-256 of the client's certificate; all zero where the client itself speaks. */
  readonly client: Uint8Array;
}

export const encodeHello = (h: Hello): Uint8Array => fields(encodeSession(h.session), h.reference, h.client);

/** @throws PeerError naming `who` if the message is not a HELLO */
export function decodeHello(bytes: Uint8Array, who: string): Hello {
  const [session, reference, client] = parseFields(bytes, 3, who) as [Uint8Array, Uint8Array, Uint8Array];
  return {
    session: decodeSession(session, who),
    reference: sized(reference, REFERENCE_BYTES, who),
    client: sized(client, HASH_BYTES, who),
  };
}

/** What a party sends the other: the client's nonce as it got it, and its own. */
export const encodeNonces = (client: Uint8Array, own: Uint8Array): Uint8Array => concat(client, own);

export const decodeNonces = (bytes: Uint8Array): { client: Uint8Array; own: Uint8Array } => ({
  client: bytes.slice(0, HASH_BYTES),
  own: bytes.slice(HASH_BYTES),
});

export interface Open {
  readonly hello: Hello;
  /** HKDF(M_i, "smpc/check/1"). */
  readonly check: Uint8Array;
  readonly ctx: Uint8Array;
  readonly sid: Uint8Array;
  readonly nonces: Nonces;
}

export const encodeOpen = (o: Open): Uint8Array =>
  fields(encodeHello(o.hello), o.check, o.ctx, o.sid, o.nonces.client, o.nonces.party0, o.nonces.party1);

/** @throws PeerError naming `who` if the message is not an OPEN */
export function decodeOpen(bytes: Uint8Array, who: string): Open {
  const [hello, ...rest] = parseFields(bytes, 7, who) as [Uint8Array, ...Uint8Array[]];
  const [check, ctx, sid, client, party0, party1] = rest.map((value) => sized(value, HASH_BYTES, who)) as [
    Uint8Array, Uint8Array, Uint8Array, Uint8Array, Uint8Array, Uint8Array,
  ]; // prettier-ignore
  return { hello: decodeHello(hello, who), check, ctx, sid, nonces: { client, party0, party1 } };
}

/** OPEN for a session whose randomness was dealt ahead: the deal, and the tally of the party's stock (`role/tally.ts`). */
export interface Claim {
  readonly open: Open;
  readonly deal: Uint8Array;
  readonly tally: Uint8Array;
}

export const encodeClaim = (c: Claim): Uint8Array => fields(encodeOpen(c.open), c.deal, c.tally);

/** @throws PeerError naming `who` if the message is not a CLAIM; `tallyBytes` are due in its tally */
export function decodeClaim(bytes: Uint8Array, who: string, tallyBytes: number): Claim {
  const [open, deal, tally] = parseFields(bytes, 3, who) as [Uint8Array, Uint8Array, Uint8Array];
  return { open: decodeOpen(open, who), deal: sized(deal, HASH_BYTES, who), tally: sized(tally, tallyBytes, who) };
}

/** What the client gets once its session is bound and dealt for. */
export interface Leaves {
  readonly nonces: { readonly party0: Uint8Array; readonly party1: Uint8Array };
  readonly sid: Uint8Array;
  /** Leaves of this party's masks A1 and A2 of the embedding gate. */
  readonly A1: Uint8Array;
  readonly A2: Uint8Array;
  /** Leaf of the bits that mask μ; only where lengths are hidden. */
  readonly beta?: Uint8Array;
}

export const encodeLeaves = (l: Leaves): Uint8Array =>
  concat(l.nonces.party0, l.nonces.party1, l.sid, l.A1, l.A2, ...(l.beta === undefined ? [] : [l.beta]));

/** Bytes of a LEAVES message; one leaf more where lengths are hidden. */
export const LEAVES_BYTES = 5 * HASH_BYTES;
export const HIDDEN_LEAVES_BYTES = LEAVES_BYTES + HASH_BYTES;

/** The parts of a LEAVES message; its length has been checked by the channel. */
export function decodeLeaves(bytes: Uint8Array): Leaves {
  const part = (i: number): Uint8Array => bytes.slice(i * HASH_BYTES, (i + 1) * HASH_BYTES);
  const leaves = { nonces: { party0: part(0), party1: part(1) }, sid: part(2), A1: part(3), A2: part(4) };
  return bytes.length === LEAVES_BYTES ? leaves : { ...leaves, beta: part(5) };
}

/** What a party counted at its socket to the other party, for one session. */
export interface Counted {
  /** Messages of the program's rounds. */
  readonly rounds: number;
  /** All bytes of all frames, handshake included. */
  readonly sentBytes: number;
}

export const COUNTED_BYTES = 12;

export const encodeOut = (share: Uint8Array, c: Counted): Uint8Array =>
  concat(u32(c.rounds, Math.floor(c.sentBytes / 2 ** 32), c.sentBytes >>> 0), share);

export const decodeOut = (bytes: Uint8Array): { share: Uint8Array; counted: Counted } => ({
  share: bytes.subarray(COUNTED_BYTES),
  counted: { rounds: readU32(bytes), sentBytes: readU32(bytes, 4) * 2 ** 32 + readU32(bytes, 8) },
});
