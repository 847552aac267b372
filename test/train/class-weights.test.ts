import { expect, it } from 'vitest';
import { float32, int64 } from '../../engine/engine.ts';
import { gradients, Graph } from '../../engine/graph/index.ts';
import { createEngine } from '../../engine/onnxruntime.ts';
import { crossEntropy } from '../../train/loss/cross-entropy.ts';

// torch 2.15.0, float64: CrossEntropyLoss(weight=[0.5, 2, 1.25])(z, y).backward()
const LOSS = 0.7652153429375318;
const GRADIENT = [
  ...[-0.06685009585894355, 0.054654932105370646, 0.01219516375357291],
  ...[0.010133178821298671, 0.0037277881620696495, -0.013860966983368313],
  ...[0.11594202898550723, -0.2318840579710145, 0.11594202898550723],
  ...[0.03876781601746183, -0.1740807896301861, 0.13531297361272424],
];

it('weighs classes in the cross-entropy as PyTorch does', async () => {
  const graph = new Graph();
  const z = graph.parameter('z', [4, 3]);
  const loss = crossEntropy(z, graph.input('y', 'int64', [4]), [0.5, 2, 1.25]);
  const gradient = gradients(loss, [z]).get(z)!;
  const run = await createEngine({ threads: 1 }).compile(graph, { loss, gradient });
  const results = await run.run({
    z: float32([4, 3], [1, 2, 0.5, 0, -1, 3, 2, 2, 2, -1, 0.5, 0.25]),
    y: int64([4], [0, 2, 1, 1]),
  });
  // A dozen float32 roundings of numbers below 4.
  const tolerance = 12 * 4 * 2 ** -24;
  expect(Math.abs(Number(results['loss']!.data[0]) - LOSS)).toBeLessThan(tolerance);
  GRADIENT.forEach((g, i) => expect(Math.abs(Number(results['gradient']!.data[i]) - g)).toBeLessThan(tolerance));
  await run.release();
});
