/** A trained classifier as an ONNX model by itself, for other runtimes. */
import { RefusedError } from '../common/errors.ts';
import type { ModelConfig } from '../model/config.ts';
import { parameterShapes } from '../model/names.ts';
import { BATCH, bertGraph, LENGTH } from './bert.ts';
import { elements } from './engine.ts';
import { Graph } from './graph/index.ts';
import { emitOnnx } from './onnx/emit.ts';

/** What one protobuf message may hold. */
const MOST_BYTES = 2 ** 31 - 1;

/**
 * Forward pass with its weights in float32: int64 `input_ids`, `attention_mask`, `token_type_ids` (batch_size, sequence_length) to
 * `logits` (batch_size, C), named as Hugging Face exports name them. Standard ops of opset 20.
 * @throws RefusedError if the weights exceed 2 GiB
 */
export function exportOnnx(
  config: ModelConfig,
  tensors: ReadonlyMap<string, { readonly shape: readonly number[]; readonly data: Float32Array }>,
): Uint8Array {
  const shapes = parameterShapes(config);
  const bytes = 4 * [...shapes.values()].reduce((sum, shape) => sum + elements(shape), 0);
  if (bytes > MOST_BYTES - 2 ** 20)
    throw new RefusedError(`${(bytes / 2 ** 30).toFixed(1)} GiB of weights`, 'One ONNX file holds less than 2 GiB.');
  const graph = new Graph();
  const input = (name: string): ReturnType<Graph['input']> => graph.input(name, 'int64', [BATCH, LENGTH]);
  const inputs = { ids: input('input_ids'), mask: input('attention_mask'), types: input('token_type_ids') };
  const { logits } = bertGraph(config, {
    graph,
    inputs,
    parameter: (name) => graph.parameter(name, shapes.get(name)!),
  });
  const symbols = { [BATCH]: 'batch_size', [LENGTH]: 'sequence_length' };
  return emitOnnx(graph, { logits }, { weights: tensors, standard: true, symbols }).bytes;
}
