import { expect, it } from 'vitest';
import { dropoutMask } from '../../common/random.ts';
import type { DropoutSite } from '../../engine/bert.ts';
import { DropoutMasks } from '../../engine/dropout.ts';

const SITES: readonly DropoutSite[] = [
  { name: 'a', site: 'probs.0', shape: ['B', 3, 'L', 'L'], rate: 0.1 },
  { name: 'b', site: 'output.1', shape: ['B', 'L', 5], rate: 0.37 },
  { name: 'c', site: 'pooled', shape: ['B', 7], rate: 1e-12 },
  { name: 'd', site: 'embeddings', shape: ['B', 'L', 2], rate: 0.5 },
];

it.each([true, false])('masks are those of dropoutMask, also in arrays used before (native code: %s)', (native) => {
  const masks = new DropoutMasks(SITES, native);
  for (const [batch, length, step] of [
    [4, 9, 0],
    [2, 5, 1],
    [3, 33, 2],
  ] as const) {
    const feeds = masks.feeds({ batch, length }, 11, step, 2);
    expect(Object.keys(feeds)).toEqual(['a', 'b', 'c', 'd']);
    for (const { name, site, shape, rate } of SITES) {
      const lengths = shape.map((d) => (d === 'B' ? batch : d === 'L' ? length : (d as number)));
      const count = lengths.reduce((x, y) => x * y, 1);
      expect(feeds[name]!.shape).toEqual(lengths);
      expect(feeds[name]!.data).toEqual(dropoutMask(11, step, site, count, rate));
    }
  }
});
