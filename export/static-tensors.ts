/** Integer matrices of the program, from the folded tensors. */
import type { IntegerTensor } from './plan.ts';

/** Integers of one static tensor, row-major. */
export interface Matrix {
  readonly rows: number;
  readonly cols: number;
  readonly data: Int32Array | Float64Array;
}

export const asMatrix = (t: IntegerTensor): Matrix => ({ rows: t.shape[0]!, cols: t.shape[1]!, data: t.data });
export const asRow = (t: IntegerTensor): Matrix => ({ rows: 1, cols: t.shape[0]!, data: t.data });

/** Rows [from, to). */
export function rows(m: Matrix | IntegerTensor, from: number, to: number): Matrix {
  const cols = 'cols' in m ? m.cols : m.shape[1]!;
  return { rows: to - from, cols, data: m.data.subarray(from * cols, to * cols) };
}

/**
 * Two-level table of `embedding.py`: row a of (V1 + 1, V2·H) holds the embeddings of tokens a·V2 .. a·V2 + V2 − 1, the last
 * row V2 copies of type_1 − type_0.
 */
export function embeddingTable(word: IntegerTensor, type: IntegerTensor, split: number): Matrix {
  const [V, H] = word.shape as readonly [number, number];
  const V1 = Math.ceil(V / split);
  const data = new Int32Array((V1 + 1) * split * H);
  data.set(word.data);
  for (let b = 0; b < split; b++) data.set(type.data, (V1 * split + b) * H);
  return { rows: V1 + 1, cols: split * H, data };
}
