/** The model in real numbers, row-vector convention: y = x·W + b with W (in, out). */
import type { ModelConfig } from '../model/config.ts';
import { structure, type Structure } from './trace.ts';

/** As `checkpoints/` loads them: shapes and order of Hugging Face, W (out, in). */
export type Tensors = ReadonlyMap<string, { readonly shape: readonly number[]; readonly data: Float32Array | Float64Array }>; // prettier-ignore

export interface Dense {
  readonly in: number;
  readonly out: number;
  readonly W: Float64Array;
  readonly b: Float64Array;
}

export interface Affine {
  readonly gamma: Float64Array;
  readonly beta: Float64Array;
}

export interface RealLayer {
  readonly query: Dense;
  readonly key: Dense;
  readonly value: Dense;
  readonly output: Dense;
  readonly norm1: Affine;
  readonly inner: Dense;
  readonly outer: Dense;
  readonly norm2: Affine;
  /** (A) shift of the 2Quad square. */
  readonly c: readonly number[];
}

export interface RealModel {
  readonly H: number;
  readonly A: number;
  readonly F: number;
  readonly V: number;
  readonly positions: number;
  readonly labels: number;
  readonly eps: number;
  readonly act: 'gelu' | 'gelu_new';
  readonly normaliser: '2quad' | '2quad_centred';
  readonly word: Float32Array | Float64Array;
  readonly position: Float32Array | Float64Array;
  /** Two rows; a model with one token type has its row twice. */
  readonly type: Float64Array;
  readonly embeddingNorm: Affine;
  readonly layers: readonly RealLayer[];
  readonly pooler: Dense;
  readonly classifier: Dense;
}

/** @throws RefusedError for models the masked suite cannot run */
export function realModel(config: ModelConfig, tensors: Tensors, found: Structure = structure(config)): RealModel {
  const get = (name: string): Float32Array | Float64Array => {
    const t = tensors.get(name);
    if (t === undefined) throw new Error(`no tensor ${name}`);
    return t.data;
  };
  const table = (name: string): Float32Array | Float64Array => get(`${found.embeddings}.${name}_embeddings.weight`);
  const dense = (name: string): Dense => {
    const b = Float64Array.from(get(`${name}.bias`));
    const W = get(`${name}.weight`);
    const [rows, cols] = [b.length, W.length / b.length];
    return { in: cols, out: rows, W: transposed(W, rows, cols), b };
  };
  const affine = (name: string): Affine => ({
    gamma: Float64Array.from(get(`${name}.weight`)),
    beta: Float64Array.from(get(`${name}.bias`)),
  });
  const H = config.hidden_size;
  const type = new Float64Array(2 * H);
  type.set(table('token_type').subarray(0, 2 * H));
  if (config.type_vocab_size === 1) type.copyWithin(H, 0, H);
  const block = found.layers[0]!;
  return {
    H,
    A: config.num_attention_heads,
    F: config.intermediate_size,
    V: config.vocab_size,
    positions: config.max_position_embeddings,
    labels: config.num_labels,
    eps: found.eps,
    act: block.act as RealModel['act'],
    normaliser: block.normaliser.act as RealModel['normaliser'],
    word: table('word'),
    position: table('position'),
    type,
    embeddingNorm: affine(found.embeddingNorm),
    layers: found.layers.map((l) => ({
      query: dense(l.query),
      key: dense(l.key),
      value: dense(l.value),
      output: dense(l.output),
      norm1: affine(l.norm1),
      inner: dense(l.inner),
      outer: dense(l.outer),
      norm2: affine(l.norm2),
      c: l.normaliser.c,
    })),
    pooler: dense(found.pooler),
    classifier: dense(found.classifier),
  };
}

/** (rows, cols) → (cols, rows). */
function transposed(a: ArrayLike<number>, rows: number, cols: number): Float64Array {
  const out = new Float64Array(rows * cols);
  for (let i = 0; i < rows; i++) for (let j = 0; j < cols; j++) out[j * rows + i] = a[i * cols + j]!;
  return out;
}
