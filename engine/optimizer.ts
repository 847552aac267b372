/** The Adam family with clipped gradients, as nodes of the training graph. */
import { scalar, elements, type Feeds } from './engine.ts';
import { add, div, minimum, mul, sqrt, square, sumSquares, type Graph, type Node } from './graph/index.ts';
import { adamStep } from './graph/ops/adam.ts';
import { scatterRowsOp } from './graph/ops/gather.ts';

export interface OptimizerOptions {
  readonly beta1?: number;
  readonly beta2?: number;
  readonly epsilon?: number;
  /** Not applied to biases and LayerNorm parameters. */
  readonly weightDecay?: number;
  /** Gradients are scaled by min(1, maxNorm/(norm + 1e-6)), of which norm depends on the method; undefined: no clipping. */
  readonly maxNorm?: number | undefined;
}

export interface Optimizer {
  /** Next values of parameters and moments, for `compileStep`. */
  readonly updates: ReadonlyMap<string, Node>;
  /** Zero moments, to be put into the state beside the parameters. */
  readonly moments: ReadonlyMap<string, { readonly shape: readonly number[]; readonly data: Float32Array }>;
  /** Global gradient norm before clipping: a scalar. */
  readonly norm: Node;
  /** What the update needs to be fed; `step` counts from 1. */
  feeds(step: number, learningRate: number): Feeds;
}

/** Names of the moments of a parameter in the state. */
export const firstMoment = (parameter: string): string => `adam.m.${parameter}`;
export const secondMoment = (parameter: string): string => `adam.v.${parameter}`;

/** No decay for biases and LayerNorm parameters, as in Hugging Face's and the published training code. */
export const decays = (parameter: string): boolean => !parameter.endsWith('bias') && !parameter.includes('LayerNorm');

/**
 * Updates for the parameters that have a gradient; the others stay as they are, without decay. To freeze a parameter,
 * leave it out of `gradientOf`.
 */
export type MakeOptimizer = (
  graph: Graph,
  gradientOf: ReadonlyMap<string, Node>,
  options?: OptimizerOptions,
) => Optimizer;

/** AdamW (Loshchilov & Hutter 2019, algorithm 2), ε = 1e-8; gradients are clipped by their global norm. */
export const adamW: MakeOptimizer = (graph, gradientOf, options = {}) =>
  adam(graph, gradientOf, { epsilon: 1e-8, ...options }, 'adamw');

/**
 * The optimiser of BERT's release and of the published distillation code: no bias correction, ε = 1e-6, and the gradient of
 * **each** parameter tensor is clipped by its own norm. The first updates are large: 0.1/√0.001 ≈ 3.16 rates an element.
 */
export const bertAdam: MakeOptimizer = (graph, gradientOf, options = {}) =>
  adam(graph, gradientOf, { epsilon: 1e-6, ...options }, 'bertadam');

/** By name, as recipes write it. */
export const OPTIMIZERS = { adamw: adamW, bertadam: bertAdam } as const satisfies Record<string, MakeOptimizer>;
export type OptimizerName = keyof typeof OPTIMIZERS;
export const OPTIMIZER_NAMES = Object.keys(OPTIMIZERS) as OptimizerName[];

function adam(
  graph: Graph,
  gradientOf: ReadonlyMap<string, Node>,
  options: OptimizerOptions & { readonly epsilon: number },
  method: OptimizerName,
): Optimizer {
  const { beta1 = 0.9, beta2 = 0.999, epsilon, weightDecay = 0.01 } = options;
  const maxNorm = 'maxNorm' in options ? options.maxNorm : 1;
  const input = (name: string): Node => graph.input(`adam.${name}`, 'float32', []);

  const squares = new Map([...gradientOf].map(([name, g]) => [name, sumSquares(stored(g).values)] as const));
  // A sum of partial sums in a fixed order.
  const norm = sqrt([...squares.values()].reduce((a, b) => add(a, b)));
  /** Factors of g and of g² in the moments. */
  const weights = (from: Node): [Node, Node] => {
    if (maxNorm === undefined) return [graph.constant(1 - beta1), graph.constant(1 - beta2)];
    const clip = minimum(div(maxNorm, add(from, 1e-6)), 1);
    return [mul(clip, 1 - beta1), mul(square(clip), 1 - beta2)];
  };
  const whole = weights(norm);

  const updates = new Map<string, Node>();
  const moments = new Map<string, { shape: number[]; data: Float32Array }>();
  for (const [name, gradient] of gradientOf) {
    const shape = gradient.shape as number[];
    const p = graph.parameter(name, shape);
    const { rows, values: g } = stored(gradient);
    const [weight1, weight2] = method === 'bertadam' ? weights(sqrt(squares.get(name)!)) : whole;
    // Rows that no token touched have gradient 0: there the moments only decay.
    const next = adamStep({
      parameter: p,
      m: graph.parameter(firstMoment(name), shape),
      v: graph.parameter(secondMoment(name), shape),
      gradient: g,
      rows,
      beta1,
      beta2,
      weight1,
      weight2,
      rate: input('rate'),
      epsilon: input('epsilon'),
      decay: weightDecay !== 0 && decays(name) ? input('decay') : undefined,
    });
    updates.set(name, next.parameter).set(firstMoment(name), next.m).set(secondMoment(name), next.v);
    for (const stateName of [firstMoment(name), secondMoment(name)])
      moments.set(stateName, { shape, data: new Float32Array(elements(shape)) });
  }
  const needsDecay = weightDecay !== 0 && [...gradientOf.keys()].some(decays);

  // m̂/(√v̂ + ε) with m̂ = m/(1 − β₁ᵗ), v̂ = v/(1 − β₂ᵗ) equals (√(1−β₂ᵗ)/(1−β₁ᵗ))·m/(√v + ε√(1−β₂ᵗ)).
  const feeds = (step: number, learningRate: number): Feeds => {
    if (!Number.isInteger(step) || step < 1) throw new Error(`step ${step}: counted from 1`);
    const [first, root] = method === 'bertadam' ? [1, 1] : [1 - beta1 ** step, Math.sqrt(1 - beta2 ** step)];
    return {
      'adam.rate': scalar((learningRate * root) / first),
      'adam.epsilon': scalar(epsilon * root),
      ...(needsDecay ? { 'adam.decay': scalar(1 - learningRate * weightDecay) } : {}),
    };
  };
  return { updates, moments, norm, feeds };
}

/** The part of a gradient that can differ from zero: some rows of an embedding table, or all of it. */
function stored(gradient: Node): { readonly rows: Node | undefined; readonly values: Node } {
  if (gradient.op !== scatterRowsOp) return { rows: undefined, values: gradient };
  return { rows: gradient.inputs[0]!, values: gradient.inputs[1]! };
}
