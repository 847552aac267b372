/** Walks a plan: one TensorFlow.js call, or a few, for every node. */
import type { Tensor } from '@tensorflow/tfjs-core';
import type { Node } from '../graph/index.ts';
import { factors, type Dim } from '../graph/shape.ts';
import { KERNELS, type Run } from './kernels.ts';
import type { Loaded } from './load.ts';
import type { Plan } from './plan.ts';

/** Values of one run. What was given stays the giver's; what was computed is freed by `free`. */
export class Values {
  readonly #given: ReadonlyMap<Node, Tensor>;
  readonly #computed = new Map<Node, readonly Tensor[]>();

  constructor(given: ReadonlyMap<Node, Tensor>) {
    this.#given = given;
  }

  /** Output `index` of a node. */
  get(node: Node, index = 0): Tensor {
    const value = this.#given.get(node) ?? this.#computed.get(node)?.[index];
    if (value === undefined) throw new Error(`node ${node.id} (${node.op.name}) has no value`);
    return value;
  }

  set(node: Node, value: Tensor | readonly Tensor[]): void {
    this.#computed.set(node, Array.isArray(value) ? (value as readonly Tensor[]) : [value as Tensor]);
  }

  free(nodes: Iterable<Node>): void {
    for (const node of nodes) {
      for (const tensor of this.#computed.get(node) ?? []) tensor.dispose();
      this.#computed.delete(node);
    }
  }

  freeAll(): void {
    this.free([...this.#computed.keys()]);
  }
}

/** Computes the plan's outputs into `values`; on an error everything computed is freed. */
export function interpret({ tf, backend }: Loaded, plan: Plan, values: Values, symbols: Map<string, number>): void {
  const length = (dim: Dim): number => {
    if (typeof dim === 'number') return dim;
    const known = symbols.get(dim);
    if (known !== undefined) return known;
    const { factor, symbols: names } = factors(dim);
    return names.reduce((n, name) => {
      const each = symbols.get(name);
      if (each === undefined) throw new Error(`no length is known for ${name}`);
      return n * each;
    }, factor);
  };
  const run: Run = {
    tf,
    backend,
    lengths: (shape) => shape.map(length),
    bind: (symbol, n) => symbols.set(symbol, n),
  };
  try {
    for (const { node, free } of plan.steps) {
      const kernel = KERNELS[node.op.name]!;
      const output = node.op.name === 'part' ? (node.attributes['index'] as number) : 0;
      const inputs = node.inputs.map((x) => values.get(x, output));
      values.set(
        node,
        tf.tidy(() => kernel(run, node, inputs)),
      );
      checkShape(node, values.get(node).shape, run.lengths(node.shape));
      values.free(free);
    }
  } catch (error) {
    values.freeAll();
    throw error;
  }
}

/** Lengths that do not fit show here on every backend, whatever it makes of them. */
function checkShape(node: Node, actual: readonly number[], declared: readonly number[]): void {
  if (actual.length === declared.length && actual.every((n, i) => n === declared[i])) return;
  throw new Error(`${node.op.name}: shape (${actual.join(', ')}), and the graph says (${declared.join(', ')})`);
}
