/** One step of Adam for one parameter tensor. */
import type { Node, Op } from '../node.ts';
import { add, div, mul, sub } from './arithmetic.ts';
import { gather, putRows } from './gather.ts';
import { sqrt } from './unary.ts';

export interface AdamStep {
  readonly parameter: Node;
  /** First and second moment. */
  readonly m: Node;
  readonly v: Node;
  /** Of the whole tensor; with `rows`, of those rows, the others being 0. */
  readonly gradient: Node;
  /** Distinct row numbers, int64 (U). */
  readonly rows: Node | undefined;
  readonly beta1: number;
  readonly beta2: number;
  /** Scalars: factors of g and g² in the moments, rate, ε, and the factor of the parameter itself (absent: 1). */
  readonly weight1: Node;
  readonly weight2: Node;
  readonly rate: Node;
  readonly epsilon: Node;
  readonly decay: Node | undefined;
}

/** Next values. */
export interface Adam {
  readonly parameter: Node;
  readonly m: Node;
  readonly v: Node;
}

/**
 * The next value of a parameter. Its last operand computes it with the graph's other ops; from those before it an engine that
 * can change its state in place does the whole step in one pass over memory (`adamOperands`).
 */
const adamOp: Op = { name: 'adam', emit: (_e, _n, inputs) => inputs.at(-1)! };

/** m ← β₁m + w₁g, v ← β₂v + w₂g², p ← decay·p − rate·m/(√v + ε), each operation rounded. */
export function adamStep(step: AdamStep): Adam {
  const { parameter, gradient: g, rows, beta1, beta2, weight1, weight2, rate, epsilon, decay } = step;
  const moment = (old: Node, beta: number, gained: Node): Node => {
    const decayed = mul(old, beta);
    // Read from the old moment, so that the runtime may write the rows into the decayed one in place.
    return rows === undefined
      ? add(decayed, gained)
      : putRows(decayed, rows, add(mul(gather(old, rows), beta), gained));
  };
  const m = moment(step.m, beta1, mul(g, weight1));
  const v = moment(step.v, beta2, mul(mul(g, g), weight2));
  const next = sub(decay === undefined ? parameter : mul(parameter, decay), mul(div(m, add(sqrt(v), epsilon)), rate));
  const fixed = [parameter, step.m, step.v, g, weight1, weight2, rate, epsilon, m, v];
  const operands = [...fixed, ...[decay, rows].filter((x) => x !== undefined), next];
  const attributes = { beta1, beta2, decays: decay !== undefined, sparse: rows !== undefined };
  return { parameter: parameter.graph.create(adamOp, operands, attributes, 'float32', parameter.shape), m, v };
}

/** What the next value of a parameter is made from, and the moments that go with it; undefined if it is no Adam step. */
export function adamOperands(node: Node): { readonly step: AdamStep; readonly next: Adam } | undefined {
  if (node.op !== adamOp) return undefined;
  const [parameter, m, v, gradient, weight1, weight2, rate, epsilon, nextM, nextV, ...rest] = node.inputs as Ten;
  const decay = node.attributes['decays'] === true ? rest.shift() : undefined;
  const rows = node.attributes['sparse'] === true ? rest.shift() : undefined;
  const [beta1, beta2] = [node.attributes['beta1'] as number, node.attributes['beta2'] as number];
  const step = { parameter, m, v, gradient, rows, beta1, beta2, weight1, weight2, rate, epsilon, decay };
  return { step, next: { parameter: node, m: nextM, v: nextV } };
}

type Ten = [Node, Node, Node, Node, Node, Node, Node, Node, Node, Node, ...Node[]];
