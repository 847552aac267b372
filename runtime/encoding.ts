/**
 * Byte layout of session fields and handshake messages. All integers are big-endian; a field is a u32 length and its bytes.
 * Pure byte work, so that browser and server share it.
 */
import { PeerError } from '../common/errors.ts';

/** Version of the messages between roles; raised with every change of meaning. */
export const WIRE_VERSION = 1;

const utf8 = new TextEncoder();

export const text = (s: string): Uint8Array => utf8.encode(s);

/** All parts, one after the other. */
export function concat(...parts: readonly Uint8Array[]): Uint8Array {
  const out = new Uint8Array(parts.reduce((sum, p) => sum + p.length, 0));
  let at = 0;
  for (const p of parts) {
    out.set(p, at);
    at += p.length;
  }
  return out;
}

/** Big-endian 32-bit integers. */
export function u32(...values: readonly number[]): Uint8Array {
  const out = new Uint8Array(4 * values.length);
  const view = new DataView(out.buffer);
  values.forEach((v, i) => view.setUint32(4 * i, v));
  return out;
}

export const readU32 = (bytes: Uint8Array, at = 0): number =>
  new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength).getUint32(at);

/** Length-prefixed concatenation: no two lists of fields have the same bytes. */
export const fields = (...values: readonly Uint8Array[]): Uint8Array =>
  concat(...values.flatMap((v) => [u32(v.length), v]));

/** The inverse of `fields`. Refuses another count, a field that ends outside, and bytes after the last. */
export function parseFields(bytes: Uint8Array, count: number, what: string): Uint8Array[] {
  const malformed = (): never => {
    throw new PeerError(`${what}: malformed message`, 'run the same version of secure-infer everywhere');
  };
  const out: Uint8Array[] = [];
  let at = 0;
  for (let i = 0; i < count; i++) {
    if (at + 4 > bytes.length) malformed();
    const length = readU32(bytes, at);
    at += 4;
    if (at + length > bytes.length) malformed();
    out.push(bytes.subarray(at, at + length));
    at += length;
  }
  if (at !== bytes.length) malformed();
  return out;
}

export const equalBytes = (a: Uint8Array, b: Uint8Array): boolean =>
  a.length === b.length && a.every((v, i) => v === b[i]);

export const hex = (bytes: Uint8Array): string => Array.from(bytes, (b) => b.toString(16).padStart(2, '0')).join('');

/** Bytes of lower-case hexadecimal. */
export function fromHex(s: string): Uint8Array {
  if (!/^([0-9a-f]{2})*$/.test(s)) throw new Error('not lower-case hexadecimal');
  return Uint8Array.from(s.match(/../g) ?? [], (b) => Number.parseInt(b, 16));
}

/** What a session is about: equal at all four roles, or there is no session. */
export interface SessionFields {
  readonly suite: string;
  /** 32 bytes each. */
  readonly modelId: Uint8Array;
  readonly exportDigest: Uint8Array;
  /** SHA-256 of the program with its tables. */
  readonly programDigest: Uint8Array;
  /** Tokens of each text. */
  readonly lengths: readonly number[];
}

/** SHA-256 of the DER certificates, 32 bytes each. */
export interface Certificates {
  readonly party0: Uint8Array;
  readonly party1: Uint8Array;
  readonly assistant: Uint8Array;
  readonly client: Uint8Array;
}

const FIELD_COUNT = 7;

const sessionValues = (f: SessionFields): Uint8Array[] => [
  text(f.suite),
  u32(WIRE_VERSION),
  f.modelId,
  f.exportDigest,
  f.programDigest,
  u32(f.lengths.length),
  u32(...f.lengths),
];

export const encodeSession = (f: SessionFields): Uint8Array => fields(...sessionValues(f));

/** Reads what `encodeSession` wrote; refuses another wire version. */
export function decodeSession(bytes: Uint8Array, who: string): SessionFields {
  const [suite, version, modelId, exportDigest, programDigest, batch, lengths] = parseFields(
    bytes,
    FIELD_COUNT,
    who,
  ) as [Uint8Array, Uint8Array, Uint8Array, Uint8Array, Uint8Array, Uint8Array, Uint8Array];
  if (version.length !== 4 || readU32(version) !== WIRE_VERSION) {
    throw new PeerError(
      `${who} speaks another version of the protocol (ours: ${WIRE_VERSION})`,
      'run the same version of secure-infer everywhere',
    );
  }
  const wellFormed =
    [modelId, exportDigest, programDigest].every((d) => d.length === 32) &&
    batch.length === 4 &&
    lengths.length === 4 * readU32(batch) &&
    lengths.length > 0;
  if (!wellFormed)
    throw new PeerError(`${who}: malformed session fields`, 'run the same version of secure-infer everywhere');
  return {
    suite: new TextDecoder().decode(suite),
    modelId,
    exportDigest,
    programDigest,
    lengths: Array.from({ length: lengths.length / 4 }, (_, i) => readU32(lengths, 4 * i)),
  };
}

/** Pre-image of ctx: the domain, then every field length-prefixed, the four certificate hashes last. */
export const contextBytes = (f: SessionFields, c: Certificates): Uint8Array =>
  concat(text('smpc/ctx/1'), fields(...sessionValues(f), c.party0, c.party1, c.assistant, c.client));

/** The nonces of a session, 32 bytes each. */
export interface Nonces {
  readonly client: Uint8Array;
  readonly party0: Uint8Array;
  readonly party1: Uint8Array;
}

/** Pre-image of sid: every part has 32 bytes, so none is prefixed. */
export function sidBytes(ctx: Uint8Array, n: Nonces): Uint8Array {
  const parts = [ctx, n.client, n.party0, n.party1];
  if (parts.some((p) => p.length !== 32)) throw new Error('ctx and nonces have 32 bytes each');
  return concat(text('smpc/sid/1'), ...parts);
}
