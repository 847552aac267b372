import { expect, it } from 'vitest';
import { InputError } from '../../common/errors.ts';
import { benchBatch, buildStep, parseShapes, stepFlops, trainStep } from '../../bench/train-step.ts';
import { createEngine } from '../../engine/onnxruntime.ts';

it('the training-step benchmark runs small and reports consistent figures', async () => {
  const result = await trainStep({
    threads: 2,
    shapes: [[2, 8]],
    repeats: 1,
    normaliser: '2quad_centred',
  });
  expect(Object.keys(result)).toEqual(['steps', 'peakGflops', 'threads']);
  expect(Object.keys(result.steps[0]!)).toEqual(['batch', 'length', 'seconds', 'gflops']);
  const { steps, peakGflops, threads } = result;
  expect(threads).toBe(2);
  expect(peakGflops).toBeGreaterThan(0);
  expect(steps).toHaveLength(1);
  const { batch, length, seconds, gflops } = steps[0]!;
  expect([batch, length]).toEqual([2, 8]);
  // Layers of 4·384² + 2·384·1536 weights, forward and twice backward, plus 2·L·384 products a query for attention: five of 16
  // tokens, and one of 16 keys and values but 2 queries.
  const query = 2 * 384 ** 2 + 2 * 384 * 1536 + 2 * 8 * 384;
  const flops = 6 * (5 * 16 * (2 * 384 ** 2 + query) + 16 * 2 * 384 ** 2 + 2 * query);
  expect(gflops * seconds * 1e9).toBeCloseTo(flops, -2);
  const small = { hidden_size: 1, intermediate_size: 1, num_hidden_layers: 1 } as never;
  expect(stepFlops(small, 1, 1, 'labels')).toBe(6 * (4 + 2 + 2));
  expect(stepFlops(small, 1, 1, 'distil')).toBe(8 * (4 + 2 + 2));
});

it('reads shapes, and refuses what is none', () => {
  expect(parseShapes('32x64, 8x512')).toEqual([
    [32, 64],
    [8, 512],
  ]);
  for (const wrong of ['', '32', '0x4', '4x513', '4x8x2', '4*8']) expect(() => parseShapes(wrong)).toThrow(InputError);
});

it('takes a distilling step: the loss of teacher and student falls', async () => {
  const step = await buildStep(createEngine({ threads: 2 }), 'distil', '2quad_centred');
  const batch = benchBatch(2, 8);
  const losses: number[] = [];
  for (let i = 0; i < 3; i++) losses.push((await step.run(batch)).loss);
  await step.release();
  expect(losses).toEqual(losses.toSorted((a, b) => b - a));
});
