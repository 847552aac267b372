/**
 * Shapes symbolic in batch and length. A session answers B texts of L_1..L_B tokens, T = Σ L_b. Texts are stacked, never
 * padded: every wire is the concatenation over b of its per-text block, row-major.
 */
export type Rows =
  /** L_b rows per text. */
  | 'token'
  /** A·L_b rows per text, head-major: row (h, i) of a text stands at h·L_b + i. */
  | 'head'
  /** One row per text. */
  | 'text'
  /** A rows per text: the first token's row of every head. */
  | 'headText';

export interface Shape {
  readonly rows: Rows;
  /** A fixed number of columns, or `keys`: L_b columns in text b. */
  readonly cols: number | 'keys';
}

export interface Dims {
  /** L_1..L_B, each ≥ 1. */
  readonly lengths: readonly number[];
  readonly heads: number;
}

/** One text's block of a wire. */
export interface Block {
  /** First word of the block. */
  readonly offset: number;
  readonly rows: number;
  readonly cols: number;
}

function rowsOf(rows: Rows, length: number, heads: number): number {
  switch (rows) {
    case 'token':
      return length;
    case 'head':
      return heads * length;
    case 'text':
      return 1;
    case 'headText':
      return heads;
  }
}

/** Where each text's block lies on a wire of this shape, in the order of the texts. */
export function blocks(shape: Shape, dims: Dims): Block[] {
  let offset = 0;
  return dims.lengths.map((length) => {
    const block = {
      offset,
      rows: rowsOf(shape.rows, length, dims.heads),
      cols: shape.cols === 'keys' ? length : shape.cols,
    };
    offset += block.rows * block.cols;
    return block;
  });
}

/** Number of words of a wire. */
export const count = (shape: Shape, dims: Dims): number =>
  blocks(shape, dims).reduce((sum, b) => sum + b.rows * b.cols, 0);

/** Number of rows over all texts. */
export const rowCount = (rows: Rows, dims: Dims): number =>
  dims.lengths.reduce((sum, length) => sum + rowsOf(rows, length, dims.heads), 0);
