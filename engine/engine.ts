/** What a tensor engine offers. `onnxruntime.ts` is one; another need only read graphs. */
import { Failure } from '../common/errors.ts';
import type { DType, Graph, Node } from './graph/index.ts';

/** A tensor on the host, row-major. */
export type TensorData =
  | { readonly dtype: 'float32'; readonly shape: readonly number[]; readonly data: Float32Array }
  | { readonly dtype: 'int64'; readonly shape: readonly number[]; readonly data: BigInt64Array }
  | { readonly dtype: 'bool'; readonly shape: readonly number[]; readonly data: Uint8Array };

export type Feeds = Readonly<Record<string, TensorData>>;

/** A compiled graph without state changes. */
export interface Executable {
  /** Every input of the graph that the outputs need, except what the state holds. Results belong to the caller. */
  run(feeds: Feeds): Promise<Record<string, TensorData>>;
  release(): Promise<void>;
}

/**
 * Named tensors that stay in the engine between runs: weights, moments. Executables compiled with a state read their
 * parameters from it without copies; a step replaces them.
 */
export interface State {
  readonly names: readonly string[];
  /** A copy of the present value. */
  read(name: string): TensorData & { dtype: 'float32' };
  /** Replaces a value (copied in), or adds one. */
  write(name: string, value: { readonly shape: readonly number[]; readonly data: Float32Array }): void;
  /** Frees the tensors; whoever created the state does so, after the executables that read it. */
  release(): void;
}

export interface Engine {
  /** For the run record, with version. */
  readonly name: string;
  /** The same seed, feeds and number of threads give the same bits. */
  readonly threads: number;
  createState(tensors: ReadonlyMap<string, { readonly shape: readonly number[]; readonly data: Float32Array }>): State;
  /** Parameters not found in `state` must be fed. */
  compile(graph: Graph, outputs: Readonly<Record<string, Node>>, state?: State): Promise<Executable>;
  /**
   * One training step: computes the outputs and the next value of each parameter in `updates`, which takes effect when
   * the run has succeeded.
   */
  compileStep(
    graph: Graph,
    outputs: Readonly<Record<string, Node>>,
    updates: ReadonlyMap<string, Node>,
    state: State,
  ): Promise<Executable>;
}

/** Elements of a shape. */
export const elements = (shape: readonly number[]): number => shape.reduce((a, d) => a * d, 1);

export const float32 = (shape: readonly number[], data: Float32Array | readonly number[]): TensorData =>
  checked({ dtype: 'float32', shape, data: data instanceof Float32Array ? data : Float32Array.from(data) });

export const scalar = (value: number): TensorData => float32([], [value]);

/** int64 from numbers. */
export function int64(shape: readonly number[], data: BigInt64Array | Int32Array | readonly number[]): TensorData {
  if (data instanceof BigInt64Array) return checked({ dtype: 'int64', shape, data });
  const out = new BigInt64Array(data.length);
  for (let i = 0; i < data.length; i++) out[i] = BigInt(data[i]!);
  return checked({ dtype: 'int64', shape, data: out });
}

function checked(tensor: TensorData): TensorData {
  if (tensor.data.length !== elements(tensor.shape))
    throw new Error(`${tensor.data.length} values for a tensor of shape (${tensor.shape.join(', ')})`);
  return tensor;
}

/** A feed that does not fit the graph. */
export class FeedError extends Failure {
  constructor(name: string, problem: string) {
    super(`input ${name}: ${problem}`, 'the feeds must match the inputs that the graph declares', 1);
  }
}

/** Throws FeedError unless the value has the declared type and shape; `symbols` collects the lengths met. */
export function checkFeed(
  name: string,
  declared: { readonly dtype: DType; readonly shape: readonly (number | string)[] },
  value: TensorData | undefined,
  symbols: Map<string, number>,
): asserts value is TensorData {
  if (value === undefined) throw new FeedError(name, 'not fed');
  if (value.dtype !== declared.dtype) throw new FeedError(name, `is ${value.dtype}, declared ${declared.dtype}`);
  const fits =
    value.shape.length === declared.shape.length &&
    declared.shape.every((d, i) => {
      const length = value.shape[i]!;
      if (typeof d === 'number') return d === length;
      const known = symbols.get(d);
      if (known === undefined) symbols.set(d, length);
      return known === undefined || known === length;
    });
  if (!fits) {
    const now = declared.shape.map((d) => (typeof d === 'string' && symbols.has(d) ? `${d}=${symbols.get(d)}` : d));
    throw new FeedError(name, `has shape (${value.shape.join(', ')}), declared (${now.join(', ')})`);
  }
}
