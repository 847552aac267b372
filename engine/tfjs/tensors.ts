/** Between host tensors and TensorFlow.js, which has int32 where the graph says int64. */
import type { DataTypeMap, Tensor } from '@tensorflow/tfjs-core';
import { elements, FeedError, type TensorData } from '../engine.ts';
import type { DType, Node } from '../graph/index.ts';
import type { Tf } from './load.ts';

export const TYPES = { float32: 'float32', int64: 'int32', bool: 'bool' } as const satisfies Record<
  DType,
  keyof DataTypeMap
>;

const INT32_MIN = -(2 ** 31);
const INT32_MAX = 2 ** 31 - 1;

/** The integers of a fed tensor; those used as rows of tables must lie in 0…rows − 1. */
function integers(name: string, data: BigInt64Array, rows: number | undefined): Int32Array {
  const out = new Int32Array(data.length);
  for (let i = 0; i < data.length; i++) {
    const value = Number(data[i]!);
    if (value < INT32_MIN || value > INT32_MAX)
      throw new FeedError(name, `holds ${data[i]!}, which TensorFlow.js's int32 cannot`);
    if (rows !== undefined && (value < 0 || value >= rows))
      throw new FeedError(name, `holds ${value}, and the table has rows 0 to ${rows - 1}`);
    out[i] = value;
  }
  return out;
}

/** A checked feed in the backend's types. Floats and bools are not copied. */
export function hostValues(
  name: string,
  value: TensorData,
  rows: number | undefined,
): Float32Array | Int32Array | Uint8Array {
  return value.dtype === 'int64' ? integers(name, value.data, rows) : value.data;
}

/** The tensor of a constant node; int64 becomes int32 where every value fits. */
export function constantTensor(tf: Tf, node: Node): Tensor {
  const values = node.attributes['values'] as readonly number[];
  if (node.dtype === 'int64' && values.some((v) => v < INT32_MIN || v > INT32_MAX))
    throw new Error(`constant of node ${node.id}: outside int32`);
  const data =
    node.dtype === 'float32'
      ? Float32Array.from(values)
      : node.dtype === 'int64'
        ? Int32Array.from(values)
        : Uint8Array.from(values);
  return tf.tensor(data, node.shape as number[], TYPES[node.dtype]);
}

/** A copy that no tensor shares. */
export async function fromTensor(tensor: Tensor, dtype: DType): Promise<TensorData> {
  const values = await tensor.data();
  const shape = tensor.shape.slice();
  if (values.length !== elements(shape)) throw new Error(`${values.length} values of shape (${shape.join(', ')})`);
  switch (dtype) {
    case 'float32':
      return { dtype, shape, data: Float32Array.from(values) };
    case 'int64':
      return { dtype, shape, data: BigInt64Array.from(values as Int32Array, BigInt) };
    case 'bool':
      return { dtype, shape, data: Uint8Array.from(values) };
  }
}
