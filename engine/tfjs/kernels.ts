/** What each op of `engine/graph/ops` and `engine/bert` is in TensorFlow.js. */
import type { Tensor } from '@tensorflow/tfjs-core';
import type { Node } from '../graph/index.ts';
import type { Shape } from '../graph/shape.ts';
import { erf } from './erf.ts';
import type { Tf } from './load.ts';
import { product } from './matmul.ts';
import { TYPES } from './tensors.ts';

/** One run of a graph. */
export interface Run {
  readonly tf: Tf;
  readonly backend: string;
  /** Lengths of a shape in this run. */
  lengths(shape: Shape): number[];
  /** Gives a symbol its length, where a value decides it. */
  bind(symbol: string, length: number): void;
}

/** Inputs are not changed; intermediates are freed by the caller's `tidy`. Several outputs come as an array. */
export type Kernel = (run: Run, node: Node, inputs: readonly Tensor[]) => Tensor | Tensor[];

const unary =
  (f: (tf: Tf, x: Tensor) => Tensor): Kernel =>
  ({ tf }, _node, [x]) =>
    f(tf, x!);
const binary =
  (f: (tf: Tf, a: Tensor, b: Tensor) => Tensor): Kernel =>
  ({ tf }, _node, [a, b]) =>
    f(tf, a!, b!);
/** A sum over no axes is the identity, squared or not. */
const reduction =
  (f: (tf: Tf, x: Tensor, axes: number[], keep: boolean) => Tensor): Kernel =>
  ({ tf }, node, [x]) =>
    f(tf, x!, [...(node.attributes['axes'] as readonly number[])], node.attributes['keep'] === true);

const number = (node: Node, name: string): number => node.attributes[name] as number;
/** Row numbers as the one-column index that scatters take. */
const column = (tf: Tf, ids: Tensor): Tensor => tf.reshape(ids, [-1, 1]);

const erfOf = (tf: Tf, backend: string, x: Tensor): Tensor => (backend === 'tensorflow' ? tf.erf(x) : erf(tf, x));

const same: Kernel = ({ tf }, _node, inputs) => tf.clone(inputs.at(-1)!);

export const KERNELS: Readonly<Record<string, Kernel>> = {
  add: binary((tf, a, b) => tf.add(a, b)),
  sub: binary((tf, a, b) => tf.sub(a, b)),
  mul: binary((tf, a, b) => tf.mul(a, b)),
  div: binary((tf, a, b) => tf.div(a, b)),
  maximum: binary((tf, a, b) => tf.maximum(a, b)),
  minimum: binary((tf, a, b) => tf.minimum(a, b)),
  equal: binary((tf, a, b) => tf.equal(a, b)),
  less: binary((tf, a, b) => tf.less(a, b)),
  greater: binary((tf, a, b) => tf.greater(a, b)),

  neg: unary((tf, x) => tf.neg(x)),
  sqrt: unary((tf, x) => tf.sqrt(x)),
  exp: unary((tf, x) => tf.exp(x)),
  log: unary((tf, x) => tf.log(x)),
  tanh: unary((tf, x) => tf.tanh(x)),
  erf: ({ tf, backend }, _node, [x]) => erfOf(tf, backend, x!),
  gelu: ({ tf, backend }, _node, [x]) =>
    tf.mul(x!, tf.add(tf.mul(erfOf(tf, backend, tf.mul(x!, Math.SQRT1_2)), 0.5), 0.5)),
  relu: unary((tf, x) => tf.relu(x)),
  abs: unary((tf, x) => tf.abs(x)),
  sign: unary((tf, x) => tf.sign(x)),
  unitAffine: ({ tf }, node, [x]) => tf.add(tf.mul(x!, number(node, 'slope')), number(node, 'intercept')),

  softmax: unary((tf, x) => tf.softmax(x)),
  logSoftmax: unary((tf, x) => tf.logSoftmax(x)),
  sum: reduction((tf, x, axes, keep) => tf.sum(x, axes, keep)),
  mean: reduction((tf, x, axes, keep) => tf.mean(x, axes, keep)),
  max: reduction((tf, x, axes, keep) => tf.max(x, axes, keep)),
  min: reduction((tf, x, axes, keep) => tf.min(x, axes, keep)),
  sumSquares: reduction((tf, x, axes, keep) => tf.sum(tf.square(x), axes, keep)),
  size: ({ tf, lengths }, node) =>
    tf.scalar(lengths(node.attributes['dims'] as Shape).reduce((n, length) => n * length, 1)),

  where: ({ tf }, _node, [condition, a, b]) => tf.where(condition!, a!, b!),
  cast: ({ tf }, node, [x]) => tf.cast(x!, TYPES[node.dtype]),
  stopGradient: same,
  withGradient: same,
  adam: same,
  /** Given output `index` of its operand. */
  part: same,

  reshape: ({ tf, lengths }, node, [x]) => tf.reshape(x!, lengths(node.shape)),
  expand: ({ tf, lengths }, node, [x]) => tf.broadcastTo(x!, lengths(node.shape)),
  transpose: ({ tf }, node, [x]) => tf.transpose(x!, [...(node.attributes['order'] as readonly number[])]),
  slice: ({ tf, lengths }, node, [x]) => {
    const [axis, from] = [number(node, 'axis'), number(node, 'from')];
    const size = lengths(node.shape);
    // The WebAssembly backend reads on beyond the end.
    if (from + size[axis]! > x!.shape[axis]!)
      throw new Error(`slice: ${size[axis]} from ${from} on of an axis of length ${x!.shape[axis]}`);
    return tf.slice(
      x!,
      size.map((_, i) => (i === axis ? from : 0)),
      size,
    );
  },
  pad: ({ tf, lengths }, node, [x]) => {
    const before = number(node, 'from');
    const paddings = lengths(node.shape).map((length, axis): [number, number] =>
      axis === number(node, 'axis') ? [before, length - before - x!.shape[axis]!] : [0, 0],
    );
    return tf.pad(x!, paddings);
  },
  concat: ({ tf }, node, inputs) => tf.concat([...inputs], number(node, 'axis')),

  gather: ({ tf }, _node, [table, ids]) => tf.gather(table!, ids!, 0),
  // Ascending, where tf.unique keeps the order of first sight; ids are few and on the host.
  unique: ({ tf, bind }, node, [ids]) => {
    const all = ids!.dataSync();
    const distinct = Int32Array.from(new Set(all)).toSorted();
    bind(node.shape[0] as string, distinct.length);
    const places = new Map([...distinct].map((id, i) => [id, i]));
    return [
      tf.tensor1d(distinct, 'int32'),
      tf.tensor1d(
        Int32Array.from(all, (id) => places.get(id)!),
        'int32',
      ),
    ];
  },
  // A product with 0 and 1: no backend has to add into the same row from several threads.
  segmentSum: ({ tf, backend }, _node, [rows, place, wanted]) => {
    const places = tf.reshape(tf.range(0, wanted!.shape[0]!, 1, 'int32'), [-1, 1]);
    const chosen = tf.cast(tf.equal(places, tf.reshape(place!, [1, -1])), 'float32');
    return product(tf, backend, chosen, rows!, false, false);
  },
  scatterRows: ({ tf, lengths }, node, [ids, rows]) => tf.scatterND(column(tf, ids!), rows!, lengths(node.shape)),
  putRows: ({ tf }, _node, [table, ids, rows]) => tf.tensorScatterUpdate(table!, column(tf, ids!), rows!),
  arange: ({ tf, lengths }, node) => tf.range(0, lengths(node.shape)[0]!, 1, 'int32'),

  matmul: ({ tf, backend }, node, [a, b]) => {
    const { transposeA, transposeB } = node.attributes;
    const ab = product(tf, backend, a!, b!, transposeA === true, transposeB === true);
    return number(node, 'alpha') === 1 ? ab : tf.mul(ab, number(node, 'alpha'));
  },
  linear: ({ tf, backend }, _node, [x, w, b]) => tf.add(product(tf, backend, x!, w!, false, true), b!),

  /** With the mean and 1/√(var + ε) of each row as outputs 1 and 2. */
  layerNorm: ({ tf }, node, [x, gamma, beta]) => {
    const mean = tf.mean(x!, -1, true);
    const centred = tf.sub(x!, mean);
    const inverse = tf.rsqrt(tf.add(tf.mean(tf.square(centred), -1, true), number(node, 'eps')));
    return [tf.add(tf.mul(tf.mul(centred, inverse), gamma!), beta!), mean, inverse];
  },
};
