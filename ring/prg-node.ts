/** The key stream of prg.ts on node:crypto. */
import { createCipheriv, createHmac } from 'node:crypto';
import { hasKernels, kernels } from './kernels/kernels.ts';
import { leafInfo, type LeafLabel, staticInfo, stretch } from './prg.ts';
import { Secret, secretBytes } from './secret.ts';
import { fromKeyStream } from './stream.ts';
import { type Words, blank } from './words.ts';

const hmac = (key: Uint8Array, ...parts: Uint8Array[]): Uint8Array => {
  const h = createHmac('sha256', key);
  for (const part of parts) h.update(part);
  return new Uint8Array(h.digest());
};

/** HKDF-Extract-SHA256 (RFC 5869). */
export const extract = (salt: Uint8Array, ikm: Secret | Uint8Array): Secret => new Secret(hmac(salt, secretBytes(ikm)));

/** HKDF-Expand-SHA256 (RFC 5869) to at most 32 bytes: one block, T(1). */
export const expand32 = (K: Secret | Uint8Array, info: Uint8Array): Uint8Array =>
  hmac(secretBytes(K), info, Uint8Array.of(1));

/** The leaf of one-time words: AES-128 key ‖ initial counter. */
export const leaf = (K: Secret | Uint8Array, label: LeafLabel): Uint8Array => expand32(K, leafInfo(label));

/** The leaf of a tensor's static words. */
export const staticLeaf = (K: Secret | Uint8Array, tensor: string, n: number, rows: number, cols: number): Uint8Array =>
  expand32(K, staticInfo(tensor, n, rows, cols));

const ZEROS = new Uint8Array(1 << 22);

/** Elements from `offset` on of a leaf, as many as `out` has room for, in its ring. */
export function expandInto(leafBytes: Uint8Array, out: Words, offset = 0): Words {
  const { key, counter, skip } = stretch(leafBytes, out.n, out.length, offset);
  const set = hasKernels() ? kernels() : undefined;
  if (set?.keyStream !== undefined && skip === 0) set.keyStream(key, counter, out.data, out.length, out.n);
  else out.data.set(expand(leafBytes, out.n, out.length, offset).data);
  return out;
}

/** Elements offset..offset+length of a leaf as words of ring n. */
export function expand(leafBytes: Uint8Array, n: number, length: number, offset = 0): Words {
  const { key, counter, skip, bytes } = stretch(leafBytes, n, length, offset);
  const set = hasKernels() ? kernels() : undefined;
  if (set?.keyStream !== undefined && skip === 0) {
    const out = blank(n, length);
    set.keyStream(key, counter, out.data, length, n);
    return out;
  }
  const cipher = createCipheriv('aes-128-ctr', key, counter);
  if (skip > 0) cipher.update(ZEROS.subarray(0, skip));
  const out = new Uint8Array(bytes);
  for (let at = 0; at < bytes; at += ZEROS.length)
    out.set(cipher.update(ZEROS.subarray(0, Math.min(ZEROS.length, bytes - at))), at);
  return fromKeyStream(out, n, length);
}
