/**
 * One session's randomness on disk, dealt before anybody asks (docs/FORMATS.md, "Dealt ahead"). The file of each role names
 * the same deal; the deal's identifier is the hash of everything it is for, so a changed header is another deal.
 */
import { createCipheriv, createDecipheriv, createHash } from 'node:crypto';
import type { FileHandle } from 'node:fs/promises';
import { RefusedError } from '../../common/errors.ts';
import { expand32 } from '../../ring/prg-node.ts';
import type { Secret } from '../../ring/secret.ts';
import type { Certificates, SessionFields } from '../encoding.ts';
import { concat, decodeSession, encodeSession, equalBytes, fields, parseFields, readU32, text, u32 } from '../encoding.ts'; // prettier-ignore

export const HOLDERS = ['party0', 'party1', 'assistant'] as const;
/** Whose part of a deal a file or folder has. */
export type Holder = (typeof HOLDERS)[number];
const NAMES: Readonly<Record<Holder, string>> = { party0: 'party 0', party1: 'party 1', assistant: 'the assistant' };

/** Bytes of a deal's identifier, and the hex that names its file. */
export const DEAL_ID_BYTES = 32;
export const DEAL_NAME = /^[0-9a-f]{64}$/;
const DOMAIN = text('smpc/deal/1');
const HEADER_LIMIT = 1 << 16;
/** u32 length of the header, u8 holder, u64 bytes of the body. */
const PREFIX_BYTES = 13;
const TAG_BYTES = 16;
/** Read at once. */
const CHUNK_BYTES = 1 << 20;

/** What a deal is for. */
export interface DealTerms {
  readonly session: SessionFields;
  readonly certificates: Omit<Certificates, 'client'>;
  /** Seconds since 1970. */
  readonly created: number;
  readonly expires: number;
  /** 32 bytes of the operating system: no two deals are the same. */
  readonly nonce: Uint8Array;
}

export interface DealHeader extends DealTerms {
  readonly id: Uint8Array;
  readonly holder: Holder;
  readonly bodyBytes: number;
  /** Where the body begins in the file. */
  readonly bodyAt: number;
}

const u64 = (value: number): Uint8Array => u32(Math.floor(value / 2 ** 32), value >>> 0);
const readU64 = (bytes: Uint8Array, at = 0): number => readU32(bytes, at) * 2 ** 32 + readU32(bytes, at + 4);

export const encodeTerms = (t: DealTerms): Uint8Array =>
  fields(
    DOMAIN,
    encodeSession(t.session),
    t.certificates.party0,
    t.certificates.party1,
    t.certificates.assistant,
    u64(t.created),
    u64(t.expires),
    t.nonce,
  );

/** SHA-256 of the encoded terms. */
export const dealId = (terms: Uint8Array): Uint8Array => Uint8Array.from(createHash('sha256').update(terms).digest());

/** Everything of a file before its body. */
export const encodePrefix = (terms: Uint8Array, holder: Holder, bodyBytes: number): Uint8Array =>
  concat(u32(terms.length), Uint8Array.of(HOLDERS.indexOf(holder)), u64(bodyBytes), terms);

const AGAIN = 'take it away and deal again (secure-infer deal)';

/**
 * Reads the header of an open file of `size` bytes, which must be the part of `holder` under the identifier of its name.
 * @throws RefusedError naming `file` if it was cut, lengthened, changed, or is of another role
 */
export async function readHeader(
  handle: FileHandle,
  size: number,
  file: string,
  id: Uint8Array,
  holder: Holder,
): Promise<DealHeader> {
  const broken = (what: string): RefusedError => new RefusedError(`${file}: ${what}`, AGAIN);
  const prefix = new Uint8Array(PREFIX_BYTES);
  if ((await handle.read(prefix, 0, PREFIX_BYTES, 0)).bytesRead < PREFIX_BYTES) throw broken('was cut short');
  const length = readU32(prefix);
  const of = HOLDERS[prefix[4]!];
  const bodyBytes = readU64(prefix, 5);
  const bodyAt = PREFIX_BYTES + length;
  if (length > HEADER_LIMIT || of === undefined) throw broken('is not dealt material');
  if (size !== bodyAt + bodyBytes) throw broken(`has ${size} bytes, should have ${bodyAt + bodyBytes}`);
  const terms = new Uint8Array(length);
  if ((await handle.read(terms, 0, length, PREFIX_BYTES)).bytesRead < length) throw broken('was cut short');
  if (!equalBytes(dealId(terms), id)) throw broken('was changed: its header has another hash than its name');
  if (of !== holder) throw broken(`is the part of ${NAMES[of]}, not of ${NAMES[holder]}`);
  const parts = parseFields(terms, 8, file) as [Uint8Array, Uint8Array, Uint8Array, Uint8Array, Uint8Array, Uint8Array, Uint8Array, Uint8Array]; // prettier-ignore
  const [domain, session, party0, party1, assistant, created, expires, nonce] = parts;
  if (!equalBytes(domain, DOMAIN)) throw broken('has another version');
  return {
    session: decodeSession(session, file),
    certificates: { party0, party1, assistant },
    created: readU64(created),
    expires: readU64(expires),
    nonce,
    id,
    holder,
    bodyBytes,
    bodyAt,
  };
}

/** The key of a body: of party 1's under its session key K_1, of the assistant's under the key of its two static seeds. */
export const bodyKey = (key: Secret, id: Uint8Array): Uint8Array => expand32(key, concat(text('smpc/stock/1'), id));

const iv = (index: number): Uint8Array => u32(0, 0, index);

/** Record `index` of a body: u32 length, AES-256-GCM ciphertext, tag; bound to the deal and to its place. */
export function sealRecord(key: Uint8Array, id: Uint8Array, index: number, plain: Uint8Array): Uint8Array[] {
  const cipher = createCipheriv('aes-256-gcm', key, iv(index)).setAAD(id);
  const body = cipher.update(plain);
  cipher.final();
  return [u32(plain.length + TAG_BYTES), body, cipher.getAuthTag()];
}

/** Bytes a record adds to its content. */
export const RECORD_BYTES = 4 + TAG_BYTES;

/** The records of a body, in order, from an open file whose name may be gone. */
export class RecordReader {
  readonly #handle: FileHandle;
  readonly #header: DealHeader;
  readonly #file: string;
  readonly #key: Uint8Array;
  #at: number;
  #left: number;
  #ready: Uint8Array = new Uint8Array(0);
  #index = 0;

  constructor(handle: FileHandle, header: DealHeader, file: string, key: Uint8Array) {
    this.#handle = handle;
    this.#header = header;
    this.#file = file;
    this.#key = key;
    this.#at = header.bodyAt;
    this.#left = header.bodyBytes;
  }

  /** The next record, of at most `limit` bytes. @throws RefusedError if there is none, or it is not what was dealt */
  async next(limit: number): Promise<Uint8Array> {
    const changed = (): RefusedError =>
      new RefusedError(`${this.#file}: record ${this.#index} is not what the assistant dealt`, AGAIN);
    const length = readU32(await this.#read(4, changed));
    if (length < TAG_BYTES || length > limit + TAG_BYTES) throw changed();
    const sealed = await this.#read(length, changed);
    const decipher = createDecipheriv('aes-256-gcm', this.#key, iv(this.#index)).setAAD(this.#header.id);
    decipher.setAuthTag(sealed.subarray(length - TAG_BYTES));
    let plain: Buffer;
    try {
      plain = decipher.update(sealed.subarray(0, length - TAG_BYTES));
      decipher.final();
    } catch {
      throw changed();
    }
    this.#index++;
    return new Uint8Array(plain.buffer, plain.byteOffset, plain.length);
  }

  /** The next bytes, a view of what was read; good until the next call. */
  async #read(bytes: number, short: () => RefusedError): Promise<Uint8Array> {
    if (this.#ready.length < bytes) {
      // Many records are small: one read has several.
      const chunk = new Uint8Array(Math.max(bytes, Math.min(CHUNK_BYTES, this.#ready.length + this.#left)));
      chunk.set(this.#ready);
      const { bytesRead } = await this.#handle.read(chunk, this.#ready.length, chunk.length - this.#ready.length, this.#at); // prettier-ignore
      this.#ready = chunk.subarray(0, this.#ready.length + bytesRead);
      this.#at += bytesRead;
      this.#left -= bytesRead;
      if (this.#ready.length < bytes) throw short();
    }
    const out = this.#ready.subarray(0, bytes);
    this.#ready = this.#ready.subarray(bytes);
    return out;
  }
}

/** A burnt deal: its material has no name on the disk any more, and is read once through the open file. */
export class Deal {
  readonly header: DealHeader;
  readonly #handle: FileHandle;
  readonly #file: string;
  readonly #closed: () => void;

  constructor(header: DealHeader, handle: FileHandle, file: string, closed: () => void) {
    this.header = header;
    this.#handle = handle;
    this.#file = file;
    this.#closed = closed;
  }

  /** The sealed records, under a key of `key`. */
  records(key: Secret): RecordReader {
    return new RecordReader(this.#handle, this.header, this.#file, bodyKey(key, this.header.id));
  }

  close(): Promise<void> {
    this.#closed();
    return this.#handle.close();
  }
}
