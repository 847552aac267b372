/** What must be computed for some outputs, in which order, and when each value is no longer needed. */
import type { Graph, Node } from '../graph/index.ts';
import { factors, type Shape } from '../graph/shape.ts';
import { KERNELS } from './kernels.ts';

export interface Plan {
  /** Graph inputs to be fed: those the outputs need, and those that give a needed symbol its length. */
  readonly inputs: ReadonlyMap<string, Node>;
  readonly constants: readonly Node[];
  /** Nodes to compute, in order, each with the computed nodes that nothing later reads. */
  readonly steps: readonly { readonly node: Node; readonly free: readonly Node[] }[];
  /** Inputs used as row numbers, and the least number of rows. */
  readonly rows: ReadonlyMap<string, number>;
}

/** Ops that may yield int64: they move or choose values, so that what fits int32 stays so. */
const INTEGER_OPS = new Set(
  `input constant reshape expand transpose slice pad concat gather unique arange where part stopGradient withGradient
   maximum minimum max min`.split(/\s+/),
);

const LEAVES = new Set(['input', 'constant']);

/** Orders the nodes that the outputs need, and says after which step each value may be freed. */
export function makePlan(graph: Graph, outputs: Iterable<Node>): Plan {
  const kept = new Set(outputs);
  const wanted = new Set<Node>();
  const pending = [...kept];
  while (pending.length > 0) {
    const node = pending.pop()!;
    if (wanted.has(node)) continue;
    wanted.add(node);
    pending.push(...node.inputs);
  }
  // Ids are a topological order.
  const order = [...wanted].toSorted((a, b) => a.id - b.id);
  for (const node of order) checkNode(node);

  const lastUse = new Map<Node, Node>();
  for (const node of order) {
    lastUse.set(node, node);
    for (const x of node.inputs) lastUse.set(x, node);
  }
  const free = new Map<Node, Node[]>();
  for (const [node, last] of lastUse) {
    if (LEAVES.has(node.op.name) || kept.has(node)) continue;
    free.set(last, [...(free.get(last) ?? []), node]);
  }
  const inputs = new Map(
    order.filter((n) => n.op.name === 'input').map((n) => [n.attributes['name'] as string, n] as const),
  );
  bindSymbols(graph, order, inputs);
  return {
    inputs,
    constants: order.filter((n) => n.op.name === 'constant'),
    steps: order.filter((n) => !LEAVES.has(n.op.name)).map((node) => ({ node, free: free.get(node) ?? [] })),
    rows: rowLimits(order),
  };
}

function checkNode(node: Node): void {
  const { name } = node.op;
  if (!LEAVES.has(name) && KERNELS[name] === undefined) throw new Error(`${name} has no form in TensorFlow.js`);
  const fromBool = name === 'cast' && node.inputs[0]!.dtype === 'bool';
  if (node.dtype === 'int64' && !INTEGER_OPS.has(name) && !fromBool)
    throw new Error(`${name} of int64: TensorFlow.js has only 32 bits, and this could leave them`);
}

const symbolsOf = (shape: Shape): string[] => shape.flatMap((d) => [...factors(d).symbols]);

/** Adds graph inputs whose only use is that their shape has a symbol that some node's shape needs. */
function bindSymbols(graph: Graph, order: readonly Node[], inputs: Map<string, Node>): void {
  const bound = new Set<string>();
  for (const node of inputs.values()) for (const d of node.shape) if (typeof d === 'string') bound.add(d);
  for (const node of order) if (node.op.name === 'unique') bound.add(node.shape[0] as string);
  for (const node of order) {
    for (const symbol of symbolsOf([...node.shape, ...((node.attributes['dims'] as Shape | undefined) ?? [])])) {
      if (bound.has(symbol)) continue;
      const source = [...graph.inputs].find(([, input]) => input.shape.includes(symbol));
      if (source === undefined) throw new Error(`no input has an axis of length ${symbol}`);
      inputs.set(...source);
      for (const d of source[1].shape) if (typeof d === 'string') bound.add(d);
    }
  }
}

/** Ops that only move values, so that the row numbers they give are those of their operands. */
const MOVING = new Set(['reshape', 'expand', 'transpose', 'slice', 'concat', 'unique', 'stopGradient']);

/** Row numbers are checked where they are fed: of the backends, some refuse a row outside the table and some read zeros. */
function rowLimits(order: readonly Node[]): Map<string, number> {
  const limits = new Map<string, number>();
  const visit = (ids: Node, rows: number): void => {
    if (ids.op.name === 'input') {
      const name = ids.attributes['name'] as string;
      limits.set(name, Math.min(limits.get(name) ?? rows, rows));
    } else if (ids.op.name === 'constant') {
      const outside = (ids.attributes['values'] as readonly number[]).find((v) => v < 0 || v >= rows);
      if (outside !== undefined) throw new Error(`gather: row ${outside} of a table of ${rows}`);
    } else if (MOVING.has(ids.op.name)) for (const x of ids.inputs) visit(x, rows);
  };
  for (const { op, inputs } of order) if (op.name === 'gather') visit(inputs[1]!, inputs[0]!.shape[0] as number);
  return limits;
}
