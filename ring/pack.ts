/** Words on the wire and in bundles: n bits a word, little-endian bit order, the last byte padded with zero bits. */
import { InputError } from '../common/errors.ts';
import { kernels } from './kernels/kernels.ts';
import { type Words, blank } from './words.ts';

/** Bytes of `length` packed words of ring n. */
export const packedBytes = (n: number, length: number): number => Math.ceil((n * length) / 8);

/** Words as n bits each, least significant bit first, padded with zero bits to a whole byte. */
export function pack(w: Words): Uint8Array {
  const bytes = new Uint8Array(packedBytes(w.n, w.length));
  packInto(w, bytes);
  return bytes;
}

/** Packs into exactly the bytes given. */
export function packInto(w: Words, bytes: Uint8Array): void {
  const size = packedBytes(w.n, w.length);
  if (bytes.length !== size) throw new Error(`${bytes.length} bytes for ${size} of packed words`);
  kernels().pack(w.data, bytes, w.length, w.n);
}

/** @throws InputError on a wrong number of bytes */
export function checkUnpack(bytes: Uint8Array, n: number, length: number): void {
  if (bytes.length !== packedBytes(n, length))
    throw new InputError(
      `${bytes.length} bytes for ${length} packed words of ${n} bits, ${packedBytes(n, length)} expected`,
      'the data was cut, or written for another shape or ring',
    );
}

export const paddingSet = (n: number, length: number): InputError =>
  new InputError(
    `${length} packed words of ${n} bits: a padding bit is set`,
    'the data is damaged, or of another ring',
  );

/** @throws InputError on a wrong number of bytes or a set padding bit. */
export function unpack(bytes: Uint8Array, n: number, length: number): Words {
  return unpackInto(bytes, blank(n, length));
}

/** Fills `out`. @throws InputError on a wrong number of bytes or a set padding bit. */
export function unpackInto(bytes: Uint8Array, out: Words): Words {
  const { n, length } = out;
  checkUnpack(bytes, n, length);
  if (kernels().unpack(bytes, out.data, length, n) !== 0) throw paddingSet(n, length);
  return out;
}
