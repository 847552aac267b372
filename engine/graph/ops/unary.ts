/** Elementwise functions of one operand (float32). */
import type { Node, Op } from '../node.ts';
import { div, greater, mul, sub } from './arithmetic.ts';
import { cast } from './select.ts';

const unary = (op: Op, x: Node): Node => x.graph.create(op, [x], {}, x.dtype, x.shape);

const negOp: Op = { name: 'neg', emit: (e, _n, x) => e.node('Neg', x), gradient: (_n, g) => [neg(g)] };
export const neg = (x: Node): Node => unary(negOp, x);

const sqrtOp: Op = {
  name: 'sqrt',
  emit: (e, _n, x) => e.node('Sqrt', x),
  gradient: (node, g) => [div(mul(g, 0.5), node)],
};
export const sqrt = (x: Node): Node => unary(sqrtOp, x);

const expOp: Op = { name: 'exp', emit: (e, _n, x) => e.node('Exp', x), gradient: (node, g) => [mul(g, node)] };
export const exp = (x: Node): Node => unary(expOp, x);

const logOp: Op = { name: 'log', emit: (e, _n, x) => e.node('Log', x), gradient: ({ inputs: [x] }, g) => [div(g, x!)] };
/** Natural logarithm. */
export const log = (x: Node): Node => unary(logOp, x);

const tanhOp: Op = {
  name: 'tanh',
  emit: (e, _n, x) => e.node('Tanh', x),
  gradient: (node, g) => [mul(g, sub(1, mul(node, node)))],
};
export const tanh = (x: Node): Node => unary(tanhOp, x);

const erfOp: Op = {
  name: 'erf',
  emit: (e, _n, x) => e.node('Erf', x),
  gradient: ({ inputs: [x] }, g) => [mul(mul(g, 2 / Math.sqrt(Math.PI)), exp(neg(mul(x!, x!))))],
};
export const erf = (x: Node): Node => unary(erfOp, x);

const reluOp: Op = {
  name: 'relu',
  emit: (e, _n, x) => e.node('Relu', x),
  gradient: ({ inputs: [x] }, g) => [mul(g, cast(greater(x!, 0), 'float32'))],
};
/** max(x, 0); derivative 0 at 0. */
export const relu = (x: Node): Node => unary(reluOp, x);

const absOp: Op = {
  name: 'abs',
  emit: (e, _n, x) => e.node('Abs', x),
  gradient: ({ inputs: [x] }, g) => [mul(g, sign(x!))],
};
/** |x|; derivative 0 at 0. */
export const abs = (x: Node): Node => unary(absOp, x);

const signOp: Op = { name: 'sign', emit: (e, _n, x) => e.node('Sign', x), gradient: () => [undefined] };
export const sign = (x: Node): Node => unary(signOp, x);

export const square = (x: Node): Node => mul(x, x);

const unitAffineOp: Op = {
  name: 'unitAffine',
  emit: (e, node, x) =>
    e.node('HardSigmoid', x, {
      float: { alpha: node.attributes['slope'] as number, beta: node.attributes['intercept'] as number },
    }),
  gradient: (node, g) => [mul(g, node.attributes['slope'] as number)],
};
/** slope·x + intercept for an x for which 0 ≤ slope·x + intercept ≤ 1: one pass over memory where mul and add take two. */
export const unitAffine = (x: Node, slope: number, intercept: number): Node =>
  x.graph.create(unitAffineOp, [x], { slope, intercept }, x.dtype, x.shape);
