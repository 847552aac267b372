import { expect, it } from 'vitest';
import { benchKernels } from '../../bench/kernels.ts';
import { kernels } from '../../ring/index.ts';
import { availableKernels } from '../../ring/kernels/node.ts';

it('measures every kernel set at every size and leaves the process as it was', async () => {
  const before = kernels();
  const figures = await benchKernels({ shapes: [[3, 4, 5]], rings: [32, 43, 64], words: 512, seconds: 0 });
  const sets = (await availableKernels()).map((set) => set.name);
  expect(kernels()).toBe(before);
  for (const name of sets) {
    const own = figures.filter((f) => f.kernels === name);
    expect(own.filter((f) => f.what === 'product').map((f) => f.n)).toEqual([32, 43, 64]);
    // Every kernel in every set: none is left out of the comparison.
    expect(own.map((f) => `${f.what} ${f.n}`)).toEqual(figures.filter((f) => f.kernels === sets[0]).map((f) => `${f.what} ${f.n}`)); // prettier-ignore
    expect(own.map((f) => f.what)).toEqual(expect.arrayContaining(['matmul', 'key stream', 'mask and pack', 'square', 'guard flags', 'Fourier sum'])); // prettier-ignore
  }
  for (const f of figures) {
    expect(f.limit).toBeGreaterThan(0);
    expect(f.ratio).toBe(f.value / f.limit);
  }
});
