/** Elementwise binary operations with broadcasting. */
import type { Node, Op, Operand } from '../node.ts';
import { broadcast } from '../shape.ts';
import { sumTo } from './reduce.ts';
import { where } from './select.ts';
import { neg } from './unary.ts';

function binary(op: Op, a: Operand, b: Operand, dtype?: 'bool'): Node {
  const like = typeof a === 'number' ? b : a;
  if (typeof like === 'number') throw new Error(`${op.name}: at least one operand must be a node`);
  const x = typeof a === 'number' ? like.graph.constant(a, [], like.dtype) : a;
  const y = typeof b === 'number' ? like.graph.constant(b, [], like.dtype) : b;
  if (x.dtype !== y.dtype) throw new Error(`${op.name}: operands are ${x.dtype} and ${y.dtype}`);
  return like.graph.create(op, [x, y], {}, dtype ?? x.dtype, broadcast(x.shape, y.shape, op.name));
}

/** The value of a constant scalar node. */
function scalar(x: Operand): number | undefined {
  if (typeof x === 'number') return x;
  return x.op.name === 'constant' && x.shape.length === 0
    ? (x.attributes['values'] as readonly number[])[0]
    : undefined;
}

const addOp: Op = {
  name: 'add',
  emit: (e, _n, ab) => e.node('Add', ab),
  gradient: ({ inputs: [a, b] }, g) => [sumTo(g, a!.shape), sumTo(g, b!.shape)],
};
/** a + b. */
export const add = (a: Operand, b: Operand): Node => binary(addOp, a, b);

const subOp: Op = {
  name: 'sub',
  emit: (e, _n, ab) => e.node('Sub', ab),
  gradient: ({ inputs: [a, b] }, g) => [sumTo(g, a!.shape), neg(sumTo(g, b!.shape))],
};
/** a − b. */
export const sub = (a: Operand, b: Operand): Node => binary(subOp, a, b);

const mulOp: Op = {
  name: 'mul',
  emit: (e, _n, ab) => e.node('Mul', ab),
  gradient: ({ inputs: [a, b] }, g) => [sumTo(mul(g, b!), a!.shape), sumTo(mul(g, a!), b!.shape)],
};
/** a·b elementwise; multiplying by the constant 1 gives the operand itself. */
export function mul(a: Operand, b: Operand): Node {
  if (scalar(b) === 1 && typeof a !== 'number') return a;
  if (scalar(a) === 1 && typeof b !== 'number') return b;
  return binary(mulOp, a, b);
}

const divOp: Op = {
  name: 'div',
  emit: (e, _n, ab) => e.node('Div', ab),
  gradient: (node, g) => {
    const [a, b] = node.inputs;
    const ga = div(g, b!);
    return [sumTo(ga, a!.shape), neg(sumTo(mul(ga, node), b!.shape))];
  },
};
/** a / b elementwise. */
export const div = (a: Operand, b: Operand): Node => binary(divOp, a, b);

const maximumOp: Op = {
  name: 'maximum',
  emit: (e, _n, ab) => e.node('Max', ab),
  gradient: ({ inputs: [a, b] }, g) => {
    const second = less(a!, b!);
    return [sumTo(where(second, 0, g), a!.shape), sumTo(where(second, g, 0), b!.shape)];
  },
};
/** The larger of a and b; a tie gives its gradient to a. */
export const maximum = (a: Operand, b: Operand): Node => binary(maximumOp, a, b);

const minimumOp: Op = {
  name: 'minimum',
  emit: (e, _n, ab) => e.node('Min', ab),
  gradient: ({ inputs: [a, b] }, g) => {
    const second = less(b!, a!);
    return [sumTo(where(second, 0, g), a!.shape), sumTo(where(second, g, 0), b!.shape)];
  },
};
/** The smaller of a and b; a tie gives its gradient to a. */
export const minimum = (a: Operand, b: Operand): Node => binary(minimumOp, a, b);

const equalOp: Op = { name: 'equal', emit: (e, _n, ab) => e.node('Equal', ab) };
/** Bool a = b. */
export const equal = (a: Operand, b: Operand): Node => binary(equalOp, a, b, 'bool');

const lessOp: Op = { name: 'less', emit: (e, _n, ab) => e.node('Less', ab) };
/** Bool a < b. */
export const less = (a: Operand, b: Operand): Node => binary(lessOp, a, b, 'bool');

const greaterOp: Op = { name: 'greater', emit: (e, _n, ab) => e.node('Greater', ab) };
/** Bool a > b. */
export const greater = (a: Operand, b: Operand): Node => binary(greaterOp, a, b, 'bool');
