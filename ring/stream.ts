import { kernels } from './kernels/kernels.ts';
import { slotBytes } from './prg.ts';
import { slots, type Words, blank } from './words.ts';

/** Words of ring n from a stretch of key stream: `bytes` holds `length` slots, read little-endian, low n bits each. */
export function fromKeyStream(bytes: Uint8Array, n: number, length: number): Words {
  if (bytes.length !== length * slotBytes(n))
    throw new Error(`${bytes.length} bytes of key stream for ${length} words of ring ${n}`);
  const sameSlots = slotBytes(n) === 4 * slots(n) && bytes.byteOffset % 4 === 0;
  if (sameSlots && n === 32 * slots(n))
    return { n, length, data: new Uint32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4) };
  const out = blank(n, length);
  kernels().narrow(bytes, out.data, length, n);
  return out;
}
