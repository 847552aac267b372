/** Softmax and its logarithm over the last axis. */
import type { Node, Op } from '../node.ts';
import { mul, sub } from './arithmetic.ts';
import { sum } from './reduce.ts';
import { exp } from './unary.ts';

const softmaxOp: Op = {
  name: 'softmax',
  emit: (e, _n, x) => e.node('Softmax', x, { int: { axis: -1 } }),
  gradient: (p, g) => [mul(p, sub(g, sum(mul(g, p), [-1], true)))],
};
export const softmax = (x: Node): Node => x.graph.create(softmaxOp, [x], {}, x.dtype, x.shape);

const logSoftmaxOp: Op = {
  name: 'logSoftmax',
  emit: (e, _n, x) => e.node('LogSoftmax', x, { int: { axis: -1 } }),
  gradient: (y, g) => [sub(g, mul(exp(y), sum(g, [-1], true)))],
};
export const logSoftmax = (x: Node): Node => x.graph.create(logSoftmaxOp, [x], {}, x.dtype, x.shape);
