/** The native key stream against OpenSSL's AES-128-CTR, for every set of kernels that has one. */
import { createCipheriv } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { type Kernels, slotBytes, slots } from '../../ring/index.ts';
import { availableKernels } from '../../ring/kernels/node.ts';

const sets = (await availableKernels()).filter(
  (set): set is Kernels & Required<Pick<Kernels, 'keyStream'>> => set.keyStream !== undefined,
);

/** Words as limbs, from the definition: low n bits of little-endian slots. */
function expected(key: Uint8Array, counter: Uint8Array, length: number, n: number): number[] {
  const bytes = createCipheriv('aes-128-ctr', key, counter).update(new Uint8Array(length * slotBytes(n)));
  const limbs: number[] = [];
  for (let i = 0; i < length; i++) {
    for (let limb = 0; limb < slots(n); limb++) {
      let value = 0;
      for (let bit = 0; bit < 32; bit++) {
        const at = 32 * limb + bit;
        if (at < n && ((bytes[i * slotBytes(n) + (at >> 3)]! >> (at & 7)) & 1) === 1) value += 2 ** bit;
      }
      limbs.push(value);
    }
  }
  return limbs;
}

const KEY = Uint8Array.from({ length: 16 }, (_, i) => 17 * i + 3);
const COUNTERS: Record<string, Uint8Array> = {
  ordinary: Uint8Array.from({ length: 16 }, (_, i) => 200 - 11 * i),
  'wraps at 64 bits': Uint8Array.from({ length: 16 }, (_, i) => (i < 8 ? 5 : i === 15 ? 0xfd : 0xff)),
  'wraps at 128 bits': new Uint8Array(16).fill(0xff),
};

describe.runIf(sets.length > 0).each(sets.map((set) => [set.name, set] as const))('key stream of %s', (_, set) => {
  it.each(Object.entries(COUNTERS))('is AES-128-CTR: %s', (_name, counter) => {
    for (const n of [1, 7, 8, 9, 14, 16, 17, 31, 32, 33, 43, 63, 64, 65, 97, 128]) {
      // Around one block, the blocks in flight, and the 4,096 bytes expanded at once.
      for (const length of [0, 1, 15, 16, 17, 129, 4096 / slotBytes(n) + 3]) {
        const out = new Uint32Array(length * slots(n));
        set.keyStream(KEY, counter, out, length, n);
        expect([...out]).toEqual(expected(KEY, counter, length, n));
      }
    }
  });
});
