/**
 * The engine on TensorFlow.js, whichever backend the user has installed (`tfjs/load.ts`). It interprets the graph node by
 * node; int64 is int32 there, so larger integers are refused when they are fed.
 */
import type { Tensor } from '@tensorflow/tfjs-core';
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
import { interpret, Values } from './tfjs/interpret.ts';
import { loadTfjs, type Importer, type Loaded, type Tf } from './tfjs/load.ts';
import { makePlan } from './tfjs/plan.ts';
import { constantTensor, fromTensor, hostValues, TYPES } from './tfjs/tensors.ts';

export interface TfjsOptions {
  /** A wish: the engine says how many its backend uses. */
  readonly threads: number;
  /** The package that provides the backend, e.g. `@tensorflow/tfjs-backend-cpu`; by default the fastest one installed. */
  readonly provider?: string;
  /** Loads packages; for tests. */
  readonly importer?: Importer;
}

/**
 * @throws InputError if no TensorFlow.js is installed
 * @throws Failure if one is installed but does not start
 */
export async function createTfjsEngine({ threads, provider, importer }: TfjsOptions): Promise<Engine> {
  if (!Number.isInteger(threads) || threads < 1) throw new Error(`threads: ${threads}`);
  const loaded = await loadTfjs(threads, importer, provider);
  const own = (state: State | undefined): TfjsState | undefined => {
    if (state === undefined || (state instanceof TfjsState && state.tf === loaded.tf)) return state;
    throw new Error('the state belongs to another engine');
  };
  return {
    name: loaded.name,
    threads: loaded.threads,
    createState: (tensors) => new TfjsState(loaded.tf, tensors),
    compile: async (graph, outputs, state) => compile(loaded, graph, outputs, new Map(), own(state)),
    compileStep: async (graph, outputs, updates, state) => compile(loaded, graph, outputs, updates, own(state)),
  };
}

class TfjsState implements State {
  readonly tf: Tf;
  readonly slots = new Map<string, Tensor>();
  /** A step is under way. */
  stepping = false;

  constructor(tf: Tf, tensors: Parameters<Engine['createState']>[0]) {
    this.tf = tf;
    for (const [name, tensor] of tensors) this.write(name, tensor);
  }

  get names(): readonly string[] {
    return [...this.slots.keys()];
  }

  read(name: string): TensorData & { dtype: 'float32' } {
    const slot = this.slots.get(name);
    if (slot === undefined) throw new Error(`the state has no tensor ${name}`);
    return { dtype: 'float32', shape: slot.shape.slice(), data: Float32Array.from(slot.dataSync()) };
  }

  write(name: string, value: { readonly shape: readonly number[]; readonly data: Float32Array }): void {
    if (value.data.length !== elements(value.shape))
      throw new Error(`${name}: ${value.data.length} values for shape (${value.shape.join(', ')})`);
    this.replace(name, this.tf.tensor(value.data.slice(), [...value.shape], 'float32'));
  }

  release(): void {
    for (const tensor of this.slots.values()) tensor.dispose();
    this.slots.clear();
  }

  /** Takes over a tensor. */
  replace(name: string, tensor: Tensor): void {
    this.slots.get(name)?.dispose();
    this.slots.set(name, tensor);
  }
}

/** Type and shape of a held tensor, without fetching its values. */
const described = ({ shape }: Tensor): TensorData => ({ dtype: 'float32', shape, data: new Float32Array(0) });

function compile(
  loaded: Loaded,
  graph: Graph,
  outputs: Readonly<Record<string, Node>>,
  updates: ReadonlyMap<string, Node>,
  state: TfjsState | undefined,
): Executable {
  for (const [name, node] of updates) {
    const slot = state?.slots.get(name);
    if (slot === undefined) throw new Error(`update of ${name}, which the state does not hold`);
    if (node.shape.join() !== slot.shape.join() || node.dtype !== 'float32')
      throw new Error(`update of ${name} has shape (${node.shape.join(', ')}), the state (${slot.shape.join(', ')})`);
  }
  const { tf } = loaded;
  const plan = makePlan(graph, [...Object.values(outputs), ...updates.values()]);
  const constants = new Map(plan.constants.map((node) => [node, constantTensor(tf, node)] as const));
  let released = false;

  const run = async (feeds: Feeds): Promise<Record<string, TensorData>> => {
    if (released) throw new Error('the executable has been released');
    const symbols = new Map<string, number>();
    const given = new Map<Node, Tensor>(constants);
    const fed: Tensor[] = [];
    const values = new Values(given);
    try {
      for (const [name, declared] of plan.inputs) {
        const slot = feeds[name] === undefined && graph.parameters.has(name) ? state?.slots.get(name) : undefined;
        const value = slot === undefined ? feeds[name] : described(slot);
        checkFeed(name, declared, value, symbols);
        if (slot !== undefined) given.set(declared, slot);
        else {
          const data = hostValues(name, value, plan.rows.get(name));
          const tensor = tf.tensor(data, [...value.shape], TYPES[value.dtype]);
          fed.push(tensor);
          given.set(declared, tensor);
        }
      }
      interpret(loaded, plan, values, symbols);
      const results = await Promise.all(
        Object.entries(outputs).map(
          async ([name, node]) => [name, await fromTensor(values.get(node), node.dtype)] as const,
        ),
      );
      // All clones first: an update may be the present value of another.
      const next = [...updates].map(([name, node]) => [name, tf.clone(values.get(node))] as const);
      for (const [name, tensor] of next) state!.replace(name, tensor);
      return Object.fromEntries(results);
    } finally {
      values.freeAll();
      for (const tensor of fed) tensor.dispose();
    }
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
  return {
    run: updates.size === 0 ? run : step,
    release: async () => {
      released = true;
      for (const tensor of constants.values()) tensor.dispose();
    },
  };
}
