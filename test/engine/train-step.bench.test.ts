import { expect, it } from 'vitest';
import { stepFlops, trainStep } from '../../bench/train-step.ts';

it('the training-step benchmark runs small and reports consistent figures', async () => {
  const { steps, peakGflops, threads } = await trainStep({
    threads: 2,
    shapes: [[2, 8]],
    repeats: 1,
    normaliser: '2quad_centred',
  });
  expect(threads).toBe(2);
  expect(peakGflops).toBeGreaterThan(0);
  expect(steps).toHaveLength(1);
  const { batch, length, seconds, gflops } = steps[0]!;
  expect([batch, length]).toEqual([2, 8]);
  // Six layers of 4·384² + 2·384·1536 weights, forward and twice backward, plus 2·L·384 products a token for attention.
  const flops = 6 * 16 * 6 * (4 * 384 ** 2 + 2 * 384 * 1536 + 2 * 8 * 384);
  expect(gflops * seconds * 1e9).toBeCloseTo(flops, -2);
  expect(stepFlops({ hidden_size: 1, intermediate_size: 1, num_hidden_layers: 1 } as never, 1, 1)).toBe(
    6 * (4 + 2 + 2),
  );
});
