/** The engine on onnxruntime-node (CPU). Everything particular to ONNX Runtime is in this file. */
import { InferenceSession, Tensor } from 'onnxruntime-node';
import { createRequire } from 'node:module';
import { Failure } from '../common/errors.ts';
import {
  checkFeed,
  elements,
  type Engine,
  type Executable,
  type Feeds,
  type State,
  type TensorData,
} from './engine.ts';
import type { Graph, Node } from './graph/index.ts';
import { planInPlace } from './in-place.ts';
import { loadNative, type Native } from './native.ts';
import { emitOnnx, type OnnxModel } from './onnx/emit.ts';

export interface EngineOptions {
  /** Threads inside one operation; part of what decides the bits. */
  readonly threads: number;
  /** Take optimiser steps in place in native code (default: where it was built). The bits are the same. */
  readonly native?: boolean;
}

/** An engine with a fixed number of threads; operations run one after the other. */
export function createEngine({ threads, native = true }: EngineOptions): Engine {
  if (!Number.isInteger(threads) || threads < 1) throw new Error(`threads: ${threads}`);
  const { version } = createRequire(import.meta.url)('onnxruntime-node/package.json') as { version: string };
  const addon = native ? loadNative() : undefined;
  return {
    name: `onnxruntime-node ${version}`,
    threads,
    createState: (tensors) => new HostState(tensors),
    compile: (graph, outputs, state) => compile(threads, undefined, graph, outputs, new Map(), own(state)),
    compileStep: (graph, outputs, updates, state) => compile(threads, addon, graph, outputs, updates, own(state)),
  };
}

function own(state: State | undefined): HostState | undefined {
  if (state === undefined || state instanceof HostState) return state;
  throw new Error('the state belongs to another engine');
}

class HostState implements State {
  readonly slots = new Map<string, Tensor>();
  /** A step is under way. */
  stepping = false;

  constructor(tensors: Parameters<Engine['createState']>[0]) {
    for (const [name, tensor] of tensors) this.write(name, tensor);
  }

  get names(): readonly string[] {
    return [...this.slots.keys()];
  }

  read(name: string): TensorData & { dtype: 'float32' } {
    const slot = this.slots.get(name);
    if (slot === undefined) throw new Error(`the state has no tensor ${name}`);
    return { dtype: 'float32', shape: slot.dims, data: (slot.data as Float32Array).slice() };
  }

  write(name: string, value: { readonly shape: readonly number[]; readonly data: Float32Array }): void {
    if (value.data.length !== elements(value.shape))
      throw new Error(`${name}: ${value.data.length} values for shape (${value.shape.join(', ')})`);
    this.slots.set(name, new Tensor('float32', value.data.slice(), value.shape));
  }

  release(): void {
    this.slots.clear();
  }
}

const toTensor = (value: TensorData): Tensor =>
  value.dtype === 'float32'
    ? new Tensor('float32', value.data, value.shape)
    : value.dtype === 'int64'
      ? new Tensor('int64', value.data, value.shape)
      : new Tensor('bool', value.data, value.shape);

function fromTensor(tensor: Tensor): TensorData {
  const shape = tensor.dims;
  if (tensor.data instanceof Float32Array) return { dtype: 'float32', shape, data: tensor.data };
  if (tensor.data instanceof BigInt64Array) return { dtype: 'int64', shape, data: tensor.data };
  if (tensor.data instanceof Uint8Array) return { dtype: 'bool', shape, data: tensor.data };
  throw new Error(`an output has type ${tensor.type}`);
}

async function createSession(model: OnnxModel, threads: number): Promise<InferenceSession> {
  try {
    return await InferenceSession.create(model.bytes, {
      executionProviders: ['cpu'],
      intraOpNumThreads: threads,
      interOpNumThreads: 1,
      executionMode: 'sequential',
      graphOptimizationLevel: 'all',
      logSeverityLevel: 3,
    });
  } catch (error) {
    throw new Failure(
      `ONNX Runtime refused the graph: ${error instanceof Error ? error.message : String(error)}`,
      'this is a bug of the engine: please report the model configuration',
    );
  }
}

const NEXT = 'next:';

async function compile(
  threads: number,
  native: Native | undefined,
  graph: Graph,
  outputs: Readonly<Record<string, Node>>,
  updates: ReadonlyMap<string, Node>,
  state: HostState | undefined,
): Promise<Executable> {
  const all: Record<string, Node> = { ...outputs };
  for (const [name, node] of updates) {
    const slot = state?.slots.get(name);
    if (slot === undefined) throw new Error(`update of ${name}, which the state does not hold`);
    if (node.shape.join() !== slot.dims.join() || node.dtype !== 'float32')
      throw new Error(`update of ${name} has shape (${node.shape.join(', ')}), the state (${slot.dims.join(', ')})`);
  }
  const inPlace = native === undefined ? undefined : planInPlace(updates, native, threads);
  const replaced = new Map([...updates].filter(([name]) => inPlace?.names.has(name) !== true));
  for (const [name, node] of replaced) all[NEXT + name] = node;
  Object.assign(all, inPlace?.outputs);
  const model = emitOnnx(graph, all);
  const session = await createSession(model, threads);

  const gather = (feeds: Feeds): Record<string, Tensor> => {
    const symbols = new Map<string, number>();
    const given: Record<string, Tensor> = {};
    for (const [name, declared] of model.inputs) {
      const slot = feeds[name] === undefined && graph.parameters.has(name) ? state?.slots.get(name) : undefined;
      const value = slot === undefined ? feeds[name] : fromTensor(slot);
      checkFeed(name, declared, value, symbols);
      given[name] = slot ?? toTensor(value);
    }
    return given;
  };
  const run = async (feeds: Feeds): Promise<Record<string, TensorData>> => {
    const results = await session.run(gather(feeds));
    // The binding copies every output into a new tensor even if it is given one to write to, so the returned tensor
    // becomes the state.
    // What is done in place comes first: it reads values of before the step.
    inPlace?.apply(
      (name) => state!.slots.get(name)?.data as Float32Array | undefined,
      (name) => fromTensor(results[name] as Tensor).data,
      (name) => feeds[name]?.data,
    );
    for (const name of replaced.keys()) state!.slots.set(name, results[NEXT + name] as Tensor);
    return Object.fromEntries(Object.keys(outputs).map((name) => [name, fromTensor(results[name] as Tensor)]));
  };
  const step = async (feeds: Feeds): Promise<Record<string, TensorData>> => {
    if (state!.stepping) throw new Error('a step began before the one before it had ended');
    state!.stepping = true;
    try {
      return await run(feeds);
    } finally {
      state!.stepping = false;
    }
  };
  return { run: updates.size === 0 ? run : step, release: () => session.release() };
}
