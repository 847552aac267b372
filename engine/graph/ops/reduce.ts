/** Reductions over axes; `keep` keeps them with length 1. */
import type { Node, Op } from '../node.ts';
import { normaliseAxes, product, sameShape, type Shape } from '../shape.ts';
import { div, equal, mul } from './arithmetic.ts';
import { cast } from './select.ts';
import { expand, reshape } from './layout.ts';

const axesOf = (node: Node): readonly number[] => node.attributes['axes'] as readonly number[];

const reduction = (type: string): Op['emit'] => {
  return (e, node, [x]) =>
    e.node(type, [x!, e.constant('int64', [axesOf(node).length], axesOf(node))], {
      int: { keepdims: node.attributes['keep'] === true ? 1 : 0, noop_with_empty_axes: 1 },
    });
};

const keptShape = (x: Node, axes: readonly number[]): Shape => x.shape.map((d, i) => (axes.includes(i) ? 1 : d));

function reduce(op: Op, x: Node, axes: readonly number[] | undefined, keep: boolean): Node {
  const list = normaliseAxes(axes, x.shape.length);
  const shape = keep ? keptShape(x, list) : x.shape.filter((_, i) => !list.includes(i));
  return x.graph.create(op, [x], { axes: list, keep }, x.dtype, shape);
}

/** The gradient of a reduction with its axes put back, of length 1. */
const kept = (node: Node, g: Node): Node => reshape(g, keptShape(node.inputs[0]!, axesOf(node)));

const sumOp: Op = {
  name: 'sum',
  emit: reduction('ReduceSum'),
  gradient: (node, g) => [expand(kept(node, g), node.inputs[0]!.shape)],
};
/** Sum over axes (all if none are given). */
export const sum = (x: Node, axes?: readonly number[], keep = false): Node => reduce(sumOp, x, axes, keep);

const meanOp: Op = {
  name: 'mean',
  emit: reduction('ReduceMean'),
  gradient: (node, g) => {
    const x = node.inputs[0]!;
    const n = size(
      x,
      axesOf(node).map((a) => x.shape[a]!),
    );
    return [expand(div(kept(node, g), n), x.shape)];
  },
};
/** Mean over axes. */
export const mean = (x: Node, axes?: readonly number[], keep = false): Node => reduce(meanOp, x, axes, keep);

/** Where several elements share the extremum they share its gradient equally. */
const extremumGradient = (node: Node, g: Node): Node[] => {
  const x = node.inputs[0]!;
  const hit = cast(equal(x, kept(node, node)), 'float32');
  return [mul(hit, div(kept(node, g), sum(hit, axesOf(node), true)))];
};
const maxOp: Op = { name: 'max', emit: reduction('ReduceMax'), gradient: extremumGradient };
/** Largest element over axes. */
export const max = (x: Node, axes?: readonly number[], keep = false): Node => reduce(maxOp, x, axes, keep);

const minOp: Op = { name: 'min', emit: reduction('ReduceMin'), gradient: extremumGradient };
/** Smallest element over axes. */
export const min = (x: Node, axes?: readonly number[], keep = false): Node => reduce(minOp, x, axes, keep);

const sumSquaresOp: Op = {
  name: 'sumSquares',
  // Over no axes ONNX Runtime would give x itself.
  emit: (e, node, inputs) =>
    axesOf(node).length === 0 ? e.node('Mul', [inputs[0]!, inputs[0]!]) : reduction('ReduceSumSquare')(e, node, inputs),
  gradient: (node, g) => [mul(node.inputs[0]!, mul(kept(node, g), 2))],
};
/** Σ x², in one pass. */
export const sumSquares = (x: Node, axes?: readonly number[], keep = false): Node =>
  reduce(sumSquaresOp, x, axes, keep);

const sizeOp: Op = {
  name: 'size',
  emit: (e, node) => {
    const lengths = e.lengths(node.attributes['dims'] as Shape);
    const count = e.node('ReduceProd', [lengths], { int: { keepdims: 0 } });
    return e.node('Cast', [count], { int: { to: 1 } });
  },
};
/** Number of elements in a tensor of these lengths, as a float32 scalar; a constant if they are all known. */
export function size(like: Node, dims: Shape): Node {
  const n = product(...dims);
  if (typeof n === 'number') return like.graph.constant(n);
  return like.graph.create(sizeOp, [], { dims }, 'float32', []);
}

/** Undoes broadcasting: sums g over the axes along which `shape` was repeated. */
export function sumTo(g: Node, shape: Shape): Node {
  if (sameShape(g.shape, shape)) return g;
  const lead = g.shape.length - shape.length;
  const axes = g.shape.flatMap((d, i) => (i < lead || (shape[i - lead] === 1 && d !== 1) ? [i] : []));
  const summed = axes.length === 0 ? g : sum(g, axes, true);
  return reshape(summed, shape);
}
