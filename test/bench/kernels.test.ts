import { expect, it } from 'vitest';
import { benchKernels } from '../../bench/kernels.ts';
import { kernels } from '../../ring/index.ts';
import { availableKernels } from '../../ring/kernels/node.ts';

it('measures every kernel set at every size and leaves the process as it was', async () => {
  const before = kernels();
  const figures = await benchKernels({ shapes: [[3, 4, 5]], rings: [32, 64], words: 64, seconds: 0 });
  const sets = (await availableKernels()).map((set) => set.name);
  expect(kernels()).toBe(before);
  for (const name of sets) {
    const own = figures.filter((f) => f.kernels === name);
    expect(own.filter((f) => f.what === 'matmul').map((f) => f.n)).toEqual([32, 64]);
    expect(new Set(own.map((f) => f.what))).toEqual(new Set(['matmul', 'key stream', 'pack', 'unpack']));
  }
  for (const f of figures) expect(f.value).toBeGreaterThan(0);
});
