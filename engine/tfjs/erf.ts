import type { Tensor } from '@tensorflow/tfjs-core';
import type { Tf } from './load.ts';

/**
 * Coefficients of odd x·P(x²)/Q(x²) for |x| ≤ 4, from Eigen's and XLA's float32 erf, highest power first. TensorFlow.js
 * itself uses Abramowitz & Stegun 7.1.26, whose error of 1.5e-7 is a relative 1e-5 near 0.
 */
const P = [
  -2.72614225801306e-10, 2.77068142495902e-8, -2.10102402082508e-6, -5.69250639462346e-5, -7.34990630326855e-4,
  -2.954600038597e-3, -1.60960333262415e-2,
];
const Q = [
  -1.45660718464996e-5, -2.13374055278905e-4, -1.68282697438203e-3, -7.37332916720468e-3, -1.42647390514189e-2,
];

/** erf to within a few units of float32, of any backend's additions, products and a quotient. */
export function erf(tf: Tf, x: Tensor): Tensor {
  const u = tf.clipByValue(x, -4, 4);
  const square = tf.mul(u, u);
  const horner = ([first, ...rest]: readonly number[]): Tensor =>
    rest.reduce<Tensor>((sum, c) => tf.add(tf.mul(sum, square), c), tf.scalar(first!));
  return tf.div(tf.mul(u, horner(P)), horner(Q));
}
