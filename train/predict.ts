/** Float predictions of a checkpoint. */
import type { Encoding } from '../data/tokenizer.ts';
import { makeBatches } from '../data/batch.ts';
import { bertFeeds, bertGraph } from '../engine/bert.ts';
import type { Engine, Executable, State } from '../engine/engine.ts';
import { Graph } from '../engine/graph/index.ts';
import type { ModelConfig } from '../model/config.ts';
import { parameterShapes } from '../model/names.ts';

/** Parameters by canonical name (`model/names.ts`). */
export type Tensors = ReadonlyMap<string, { readonly shape: readonly number[]; readonly data: Float32Array }>;

export interface PredictOptions {
  readonly batchSize?: number;
  /** Id of the padding token; 0 if absent. */
  readonly padId?: number;
  readonly onProgress?: (done: number, total: number) => void;
}

export interface Predictor {
  /** Logits (C) of each encoding, in the order given. Equal arguments and threads give equal bits. */
  predict(encodings: readonly Encoding[], options?: PredictOptions): Promise<Float32Array[]>;
  release(): Promise<void>;
}

/** Compiles the forward pass without dropout. Given a state, it follows the state's present values. */
export async function createPredictor(
  config: ModelConfig,
  weights: { readonly tensors: Tensors } | { readonly state: State },
  engine: Engine,
): Promise<Predictor> {
  const graph = new Graph();
  const shapes = parameterShapes(config);
  const { logits } = bertGraph(config, {
    graph,
    parameter: (name) => graph.parameter(name, shapes.get(name)!),
    firstTokenOnly: true,
  });
  const state = 'state' in weights ? weights.state : engine.createState(weights.tensors);
  const executable: Executable = await engine.compile(graph, { logits }, state);
  return {
    async predict(encodings, { batchSize = 32, padId = 0, onProgress } = {}) {
      const out: Float32Array[] = [];
      let done = 0;
      for (const batch of makeBatches(encodings, { batchSize, seed: 0, shuffle: false, padId })) {
        const { logits: result } = await executable.run(bertFeeds(batch));
        const data = result!.data as Float32Array;
        const classes = config.num_labels;
        batch.index.forEach((i, row) => (out[i] = data.slice(row * classes, (row + 1) * classes)));
        done += batch.batch;
        onProgress?.(done, encodings.length);
      }
      return out;
    },
    release: async () => {
      await executable.release();
      if (!('state' in weights)) state.release();
    },
  };
}

/** Logits of each encoding, in the order given, for a model used once. */
export async function predict(
  model: { readonly config: ModelConfig; readonly tensors: Tensors },
  encodings: readonly Encoding[],
  engine: Engine,
  options: PredictOptions = {},
): Promise<Float32Array[]> {
  const predictor = await createPredictor(model.config, model, engine);
  try {
    return await predictor.predict(encodings, options);
  } finally {
    await predictor.release();
  }
}

/** Index of the largest logit, the lower one of equals. */
export function argmax(logits: ArrayLike<number>): number {
  let best = 0;
  for (let i = 1; i < logits.length; i++) if (logits[i]! > logits[best]!) best = i;
  return best;
}

/** exp(z)/Σexp(z), computed without overflow. */
export function probabilities(logits: ArrayLike<number>): number[] {
  const top = Array.from(logits).reduce((a, b) => Math.max(a, b), -Infinity);
  const e = Array.from(logits, (z) => Math.exp(z - top));
  const sum = e.reduce((a, b) => a + b, 0);
  return e.map((v) => v / sum);
}
