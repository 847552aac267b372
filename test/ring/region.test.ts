import { describe, expect, it } from 'vitest';
import {
  add,
  fromNumbers,
  Holders,
  kernels,
  outside,
  recycle,
  Region,
  setKernels,
  storageOf,
  toSigned,
  zeros,
} from '../../ring/index.ts';
import { availableKernels } from '../../ring/kernels/node.ts';

const POISON = 0xdeadbeef;
const words = (...values: number[]) => fromNumbers(values, 20);

describe('regions', () => {
  it('recycle what was made within them, except what lives on', () => {
    const region = new Region();
    const [temporary, result] = region.run(() => {
      const sum = add(words(1, 2, 3), words(10, 20, 30));
      return [sum, add(sum, sum)];
    });
    region.release(new Set([result!.data]));
    expect([...temporary!.data]).toEqual([POISON, POISON, POISON]);
    expect([...toSigned(result!)]).toEqual([22, 44, 66]);
    recycle(result!.data);
    expect(result!.data[0]).toBe(POISON);
  });

  it('give the same storage out again, zeroed where zeros are asked for', () => {
    const region = new Region();
    const first = region.run(() => zeros(20, 777));
    region.release(new Set());
    const again = region.run(() => zeros(20, 777));
    expect(again.data).toBe(first.data);
    expect(again.data.every((v) => v === 0)).toBe(true);
    // Twice given back, once given out.
    region.release(new Set());
    recycle(again.data);
    const [a, b] = region.run(() => [zeros(20, 777), zeros(20, 777)]);
    expect(a!.data).not.toBe(b!.data);
  });

  it('free the sizes not used for longest where the pool is full, and keep the others', async () => {
    const native = (await availableKernels()).find(({ detach }) => detach !== undefined);
    if (native === undefined) return;
    const before = kernels();
    setKernels(native);
    try {
      // 60 MiB each of four sizes: the pool holds three.
      const region = new Region();
      const made = region.run(() => [0, 1, 2, 3].map((i) => zeros(32, 15 * 2 ** 20 + i).data));
      region.release(new Set());
      expect(made.map(({ byteLength }) => byteLength > 0)).toEqual([false, true, true, true]);
      const again = region.run(() => [1, 2, 3].map((i) => zeros(32, 15 * 2 ** 20 + i).data));
      expect(again.every((data, i) => data === made[i + 1])).toBe(true);
      const fresh = region.run(() => zeros(32, 15 * 2 ** 20));
      expect(fresh.length).toBe(15 * 2 ** 20);
      region.release(new Set());
    } finally {
      setKernels(before);
    }
  });

  it('leave alone what was made outside, or for something that outlives them', () => {
    const before = words(5);
    const region = new Region();
    const cached = region.run(() => outside(() => words(7)));
    region.release(new Set());
    recycle(before.data);
    expect([toSigned(before)[0], toSigned(cached)[0]]).toEqual([5, 7]);
  });

  it('end with their work even if it throws', () => {
    const region = new Region();
    expect(() =>
      region.run(() => {
        throw new Error('stop');
      }),
    ).toThrow('stop');
    const after = words(9);
    region.release(new Set());
    expect(toSigned(after)[0]).toBe(9);
  });

  it('recycle shared storage with its last holder', () => {
    const region = new Region();
    const x = region.run(() => words(3));
    const holders = new Holders();
    const [wire, alias] = [storageOf({ kind: 'share', x }), storageOf({ kind: 'operand', E: x, A: x })];
    holders.hold(wire);
    holders.hold(alias);
    holders.drop(wire);
    expect(toSigned(x)[0]).toBe(3);
    holders.drop(alias);
    expect(x.data[0]).toBe(POISON);
  });
});
