/** Operations that move or re-label elements. */
import type { Node, Op } from '../node.ts';
import { broadcast, normaliseAxes, product, sameShape, showShape, type Dim, type Shape } from '../shape.ts';
import { sumTo } from './reduce.ts';

const reshapeOp: Op = {
  name: 'reshape',
  emit: (e, node, [x]) => {
    // One unknown length is left to the runtime (-1); more are read from the inputs.
    const unknown = node.shape.filter((d) => typeof d === 'string').length;
    const target =
      unknown <= 1
        ? e.constant(
            'int64',
            [node.shape.length],
            node.shape.map((d) => (typeof d === 'string' ? -1 : d)),
          )
        : e.lengths(node.shape);
    return e.node('Reshape', [x!, target]);
  },
  gradient: ({ inputs: [x] }, g) => [reshape(g, x!.shape)],
};
/** The same elements in another shape; `reshape(x, ['B*L', H])` merges two axes. */
export function reshape(x: Node, shape: Shape): Node {
  if (sameShape(x.shape, shape)) return x;
  if (product(...x.shape) !== product(...shape))
    throw new Error(`reshape: ${showShape(x.shape)} has not as many elements as ${showShape(shape)}`);
  const from = x.op === reshapeOp ? x.inputs[0]! : x;
  return sameShape(from.shape, shape) ? from : x.graph.create(reshapeOp, [from], {}, x.dtype, shape);
}

const expandOp: Op = {
  name: 'expand',
  emit: (e, node, [x]) => e.node('Expand', [x!, e.lengths(node.shape)]),
  gradient: ({ inputs: [x] }, g) => [sumTo(g, x!.shape)],
};
/** Repeats axes of length 1 (and adds leading ones). */
export function expand(x: Node, shape: Shape): Node {
  if (sameShape(x.shape, shape)) return x;
  if (!sameShape(broadcast(x.shape, shape, 'expand'), shape))
    throw new Error(`expand: ${showShape(x.shape)} does not broadcast to ${showShape(shape)}`);
  return x.graph.create(expandOp, [x], {}, x.dtype, shape);
}

const transposeOp: Op = {
  name: 'transpose',
  emit: (e, node, x) => e.node('Transpose', x, { ints: { perm: node.attributes['order'] as readonly number[] } }),
  gradient: (node, g) => {
    const order = node.attributes['order'] as readonly number[];
    return [
      transpose(
        g,
        order.map((_, i) => order.indexOf(i)),
      ),
    ];
  },
};
/** Axis i of the result is axis order[i] of x. */
export function transpose(x: Node, order: readonly number[]): Node {
  if (
    order.length !== x.shape.length ||
    new Set(order).size !== order.length ||
    order.some((a) => x.shape[a] === undefined)
  )
    throw new Error(`transpose: order ${order.join()} for ${showShape(x.shape)}`);
  return x.graph.create(
    transposeOp,
    [x],
    { order },
    x.dtype,
    order.map((a) => x.shape[a]!),
  );
}

const sliceOp: Op = {
  name: 'slice',
  emit: (e, node, [x]) => {
    const axis = node.attributes['axis'] as number;
    const from = node.attributes['from'] as number;
    const start = e.constant('int64', [1], [from]);
    const length = e.lengths([node.shape[axis]!]);
    const end = from === 0 ? length : e.node('Add', [start, length]);
    return e.node('Slice', [x!, start, end, e.constant('int64', [1], [axis])]);
  },
  gradient: (node, g) => [
    pad(g, node.attributes['axis'] as number, node.attributes['from'] as number, node.inputs[0]!),
  ],
};
/** `length` elements of one axis from `from` on. */
export function slice(x: Node, axis: number, from: number, length: Dim): Node {
  const [a] = normaliseAxes([axis], x.shape.length);
  const shape = x.shape.map((d, i) => (i === a ? length : d));
  if (from === 0 && sameShape(shape, x.shape)) return x;
  return x.graph.create(sliceOp, [x], { axis: a!, from }, x.dtype, shape);
}

const padOp: Op = {
  name: 'pad',
  emit: (e, node, [g]) => {
    const axis = node.attributes['axis'] as number;
    const from = e.constant('int64', [1], [node.attributes['from'] as number]);
    const have = e.lengths([node.inputs[0]!.shape[axis]!]);
    const whole = e.lengths([node.shape[axis]!]);
    const behind = e.node('Sub', [whole, e.node('Add', [have, from])]);
    const pads = e.node('Concat', [from, behind], { int: { axis: 0 } });
    return e.node('Pad', [g!, pads, '', e.constant('int64', [1], [axis])]);
  },
  gradient: (node, g) => {
    const axis = node.attributes['axis'] as number;
    return [slice(g, axis, node.attributes['from'] as number, node.inputs[0]!.shape[axis]!)];
  },
};
/** The gradient of a slice: zeros around g, to the shape of `whole`. */
function pad(g: Node, axis: number, from: number, whole: Node): Node {
  return g.graph.create(padOp, [g], { axis, from }, g.dtype, whole.shape);
}

const concatOp: Op = {
  name: 'concat',
  emit: (e, node, inputs) => e.node('Concat', inputs, { int: { axis: node.attributes['axis'] as number } }),
  gradient: (node, g) => {
    const axis = node.attributes['axis'] as number;
    let from = 0;
    return node.inputs.map((x) => {
      const length = x.shape[axis] as number;
      from += length;
      return slice(g, axis, from - length, length);
    });
  },
};
/** Joins along an axis whose lengths are all known numbers. */
export function concat(parts: readonly Node[], axis: number): Node {
  const [first] = parts;
  if (first === undefined) throw new Error('concat: nothing to join');
  const [a] = normaliseAxes([axis], first.shape.length);
  let total = 0;
  for (const x of parts) {
    const length = x.shape[a!];
    const others = (s: Shape): Shape => s.filter((_, i) => i !== a);
    if (typeof length !== 'number' || !sameShape(others(x.shape), others(first.shape)) || x.dtype !== first.dtype)
      throw new Error(`concat: ${showShape(x.shape)} does not join ${showShape(first.shape)} along axis ${axis}`);
    total += length;
  }
  const shape = first.shape.map((d, i) => (i === a ? total : d));
  return parts.length === 1 ? first : first.graph.create(concatOp, parts, { axis: a! }, first.dtype, shape);
}
