import type { Tensor } from '@tensorflow/tfjs-core';
import { elements } from '../engine.ts';
import { broadcast } from '../graph/shape.ts';
import type { Tf } from './load.ts';

/** a·b over the last two axes, either read transposed; leading axes broadcast. */
export function product(
  tf: Tf,
  backend: string,
  a: Tensor,
  b: Tensor,
  transposeA: boolean,
  transposeB: boolean,
): Tensor {
  const [batchA, batchB] = [a.shape.slice(0, -2), b.shape.slice(0, -2)];
  let [left, right] = [a, b];
  // The CPU and WebAssembly kernels pair matrix i of a with matrix i mod n of b's n, which is broadcasting only if n is 1
  // or the leading axes agree.
  if (elements(batchA) !== 1 && elements(batchB) !== 1 && batchA.join() !== batchB.join()) {
    const batch = broadcast(batchA, batchB, 'matmul') as number[];
    left = tf.broadcastTo(a, [...batch, ...a.shape.slice(-2)]);
    right = tf.broadcastTo(b, [...batch, ...b.shape.slice(-2)]);
  }
  if (backend !== 'wasm') return tf.matMul(left, right, transposeA, transposeB);
  // Only its products of plain operands are fast.
  return tf.matMul(transposeA ? swapped(tf, left) : left, transposeB ? swapped(tf, right) : right);
}

function swapped(tf: Tf, x: Tensor): Tensor {
  const axes = x.shape.map((_, i) => i);
  return tf.transpose(x, [...axes.slice(0, -2), axes.at(-1)!, axes.at(-2)!]);
}
