/**
 * Labels and geometry of the key stream, shared by its two implementations (prg-node.ts, prg-web.ts).
 *
 *   K    = HKDF-Extract-SHA256(salt, ikm)
 *   leaf = HKDF-Expand-SHA256(K, info, 32) = AES-128 key (16 bytes) ‖ initial counter (16 bytes)
 *   info = "smpc/leaf/1" ‖ u32 gate ‖ u8 kind ‖ u32 wire ‖ u8 n ‖ u32 rows ‖ u32 cols            one-time words
 *        = "smpc/static/1" ‖ u16 bytes of the name ‖ name in UTF-8 ‖ u8 n ‖ u32 rows ‖ u32 cols   words of a model version
 *
 * All integers are big-endian. The key stream is AES-128 in counter mode over zeros, the counter one 128-bit big-endian integer
 * that wraps (NIST SP 800-38A, B.1). Element j is the low n bits of the little-endian slot at byte j·slotBytes(n): every
 * element is where it is whoever asks for it, never "the next bytes". A leaf has at most 2^32 blocks.
 */
import { checkRing } from './words.ts';

export interface LeafLabel {
  readonly gate: number;
  /** Differs for every sort of mask and pad. */
  readonly kind: number;
  readonly wire: number;
  readonly n: number;
  readonly rows: number;
  readonly cols: number;
}

const MAX_BLOCKS = 2 ** 32;
const BLOCK = 16;

/** Bytes an element of ring n takes in the key stream: n bits rounded up to 8, 16, 32, 64 or 128. */
export const slotBytes = (n: number): 1 | 2 | 4 | 8 | 16 => (n <= 8 ? 1 : n <= 16 ? 2 : n <= 32 ? 4 : n <= 64 ? 8 : 16);

function label(
  prefix: Uint8Array,
  fields: readonly (readonly [value: number, bytes: 1 | 2 | 4, name: string])[],
): Uint8Array {
  const out = new Uint8Array(prefix.length + fields.reduce((sum, [, bytes]) => sum + bytes, 0));
  out.set(prefix);
  let at = prefix.length;
  for (const [value, bytes, name] of fields) {
    if (!Number.isInteger(value) || value < 0 || value >= 256 ** bytes)
      throw new Error(`leaf label: ${name} = ${value}`);
    for (let i = bytes - 1; i >= 0; i--) out[at++] = Math.floor(value / 256 ** i) % 256;
  }
  return out;
}

const utf8 = (text: string): Uint8Array => new TextEncoder().encode(text);
const LEAF = utf8('smpc/leaf/1');
const STATIC = utf8('smpc/static/1');

/** The HKDF info of one-time words. */
export function leafInfo(l: LeafLabel): Uint8Array {
  checkRing(l.n);
  return label(LEAF, [
    [l.gate, 4, 'gate'],
    [l.kind, 1, 'kind'],
    [l.wire, 4, 'wire'],
    [l.n, 1, 'n'],
    [l.rows, 4, 'rows'],
    [l.cols, 4, 'cols'],
  ]);
}

/** The HKDF info of a tensor's static words. */
export function staticInfo(tensor: string, n: number, rows: number, cols: number): Uint8Array {
  checkRing(n);
  const name = utf8(tensor);
  const prefix = label(STATIC, [[name.length, 2, 'bytes of the tensor name']]);
  const head = new Uint8Array(prefix.length + name.length);
  head.set(prefix);
  head.set(name, prefix.length);
  return label(head, [
    [n, 1, 'n'],
    [rows, 4, 'rows'],
    [cols, 4, 'cols'],
  ]);
}

/** Where `length` elements from element `offset` on lie in a leaf's key stream. */
export interface Stretch {
  /** AES-128 key. */
  readonly key: Uint8Array;
  /** Counter of the first block needed. */
  readonly counter: Uint8Array;
  /** Bytes of that block before the first element. */
  readonly skip: number;
  /** Bytes of the elements. */
  readonly bytes: number;
}

/** @throws Error (a bug) on a leaf that is not 32 bytes, or elements beyond its 2^32 blocks. */
export function stretch(leaf: Uint8Array, n: number, length: number, offset: number): Stretch {
  checkRing(n);
  if (leaf.length !== 32) throw new Error(`a leaf of ${leaf.length} bytes, 32 expected`);
  if (!Number.isSafeInteger(length) || !Number.isSafeInteger(offset) || length < 0 || offset < 0)
    throw new Error(`key stream: ${length} elements from ${offset}`);
  const from = offset * slotBytes(n);
  const bytes = length * slotBytes(n);
  if (from + bytes > MAX_BLOCKS * BLOCK)
    throw new Error(`key stream: ${length} elements from ${offset} exceed the 2^32 blocks of a leaf`);
  return {
    key: leaf.subarray(0, 16),
    counter: addToCounter(leaf.subarray(16), Math.floor(from / BLOCK)),
    skip: from % BLOCK,
    bytes,
  };
}

/** counter + blocks mod 2^128, the counter big-endian, 0 ≤ blocks ≤ 2^53. */
export function addToCounter(counter: Uint8Array, blocks: number): Uint8Array {
  const out = counter.slice();
  for (let i = 15, carry = blocks; i >= 0 && carry > 0; i--) {
    carry += out[i]!;
    out[i] = carry % 256;
    carry = Math.floor(carry / 256);
  }
  return out;
}
