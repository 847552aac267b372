/** The key stream of prg.ts on WebCrypto: the same words as prg-node.ts, asynchronously. */
import { leafInfo, type LeafLabel, staticInfo, stretch } from './prg.ts';
import { Secret, secretBytes } from './secret.ts';
import { fromKeyStream } from './stream.ts';
import type { Words } from './words.ts';

/** WebCrypto wants bytes that are surely not shared between threads. */
const own = (bytes: Uint8Array): Uint8Array<ArrayBuffer> => new Uint8Array(bytes);

async function hmac(key: Uint8Array, message: Uint8Array): Promise<Uint8Array> {
  const algorithm = { name: 'HMAC', hash: 'SHA-256' };
  // An empty HMAC key equals one of zeros, which is RFC 5869's default salt; WebCrypto refuses the empty one.
  const imported = await crypto.subtle.importKey(
    'raw',
    key.length === 0 ? new Uint8Array(32) : own(key),
    algorithm,
    false,
    ['sign'],
  );
  return new Uint8Array(await crypto.subtle.sign(algorithm, imported, own(message)));
}

/** HKDF-Extract-SHA256 (RFC 5869). */
export const extract = async (salt: Uint8Array, ikm: Secret | Uint8Array): Promise<Secret> =>
  new Secret(await hmac(salt, secretBytes(ikm)));

/** HKDF-Expand-SHA256 (RFC 5869) to at most 32 bytes: one block, T(1). */
export const expand32 = (K: Secret | Uint8Array, info: Uint8Array): Promise<Uint8Array> =>
  hmac(secretBytes(K), Uint8Array.of(...info, 1));

/** The leaf of one-time words: AES-128 key ‖ initial counter. */
export const leaf = async (K: Secret | Uint8Array, label: LeafLabel): Promise<Uint8Array> =>
  expand32(K, leafInfo(label));

/** The leaf of a tensor's static words. */
export const staticLeaf = async (
  K: Secret | Uint8Array,
  tensor: string,
  n: number,
  rows: number,
  cols: number,
): Promise<Uint8Array> => expand32(K, staticInfo(tensor, n, rows, cols));

/** Elements offset..offset+length of a leaf as words of ring n. */
export async function expand(leafBytes: Uint8Array, n: number, length: number, offset = 0): Promise<Words> {
  const { key, counter, skip, bytes } = stretch(leafBytes, n, length, offset);
  const imported = await crypto.subtle.importKey('raw', own(key), 'AES-CTR', false, ['encrypt']);
  const algorithm = { name: 'AES-CTR', counter: own(counter), length: 128 };
  const stream = new Uint8Array(await crypto.subtle.encrypt(algorithm, imported, new Uint8Array(skip + bytes)));
  return fromKeyStream(stream.subarray(skip), n, length);
}
