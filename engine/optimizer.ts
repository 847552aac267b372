/** AdamW (Loshchilov & Hutter 2019, algorithm 2) with clipping by the global norm, as nodes of the training graph. */
import { scalar, elements, type Feeds } from './engine.ts';
import {
  add,
  div,
  gather,
  minimum,
  mul,
  putRows,
  sqrt,
  square,
  sub,
  sumSquares,
  type Graph,
  type Node,
} from './graph/index.ts';
import { scatterRowsOp } from './graph/ops/gather.ts';

export interface AdamWOptions {
  readonly beta1?: number;
  readonly beta2?: number;
  readonly epsilon?: number;
  /** Not applied to biases and LayerNorm parameters. */
  readonly weightDecay?: number;
  /** Gradients are scaled by min(1, maxNorm/(norm + 1e-6)); undefined: no clipping. */
  readonly maxNorm?: number | undefined;
}

export interface AdamW {
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
export const firstMoment = (parameter: string): string => `adamw.m.${parameter}`;
export const secondMoment = (parameter: string): string => `adamw.v.${parameter}`;

/** No decay for biases and LayerNorm parameters, as in Hugging Face's and the published training code. */
export const decays = (parameter: string): boolean => !parameter.endsWith('bias') && !parameter.includes('LayerNorm');

/**
 * Updates for the parameters that have a gradient; the others stay as they are, without decay. To freeze a parameter,
 * leave it out of `gradientOf`.
 */
export function adamW(graph: Graph, gradientOf: ReadonlyMap<string, Node>, options: AdamWOptions = {}): AdamW {
  const { beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8, weightDecay = 0.01 } = options;
  const maxNorm = 'maxNorm' in options ? options.maxNorm : 1;
  const input = (name: string): Node => graph.input(`adamw.${name}`, 'float32', []);

  // A sum of partial sums in a fixed order.
  const norm = sqrt([...gradientOf.values()].map((g) => sumSquares(stored(g).values)).reduce((a, b) => add(a, b)));
  const clip = maxNorm === undefined ? undefined : minimum(div(maxNorm, add(norm, 1e-6)), 1);
  const weight1 = clip === undefined ? graph.constant(1 - beta1) : mul(clip, 1 - beta1);
  const weight2 = clip === undefined ? graph.constant(1 - beta2) : mul(square(clip), 1 - beta2);

  const updates = new Map<string, Node>();
  const moments = new Map<string, { shape: number[]; data: Float32Array }>();
  for (const [name, gradient] of gradientOf) {
    const shape = gradient.shape as number[];
    const p = graph.parameter(name, shape);
    const { rows, values: g } = stored(gradient);
    // Rows that no token touched have gradient 0: there the moment only decays.
    const moment = (stateName: string, beta: number, gained: Node): Node => {
      const old = graph.parameter(stateName, shape);
      const decayed = mul(old, beta);
      // Read from the old moment, so that the runtime may write the rows into the decayed one in place.
      return rows === undefined
        ? add(decayed, gained)
        : putRows(decayed, rows, add(mul(gather(old, rows), beta), gained));
    };
    const m = moment(firstMoment(name), beta1, mul(g, weight1));
    const v = moment(secondMoment(name), beta2, mul(mul(g, g), weight2));
    const step = mul(div(m, add(sqrt(v), input('epsilon'))), input('rate'));
    const kept = weightDecay !== 0 && decays(name) ? mul(p, input('decay')) : p;
    updates.set(name, sub(kept, step)).set(firstMoment(name), m).set(secondMoment(name), v);
    for (const stateName of [firstMoment(name), secondMoment(name)])
      moments.set(stateName, { shape, data: new Float32Array(elements(shape)) });
  }
  const needsDecay = weightDecay !== 0 && [...gradientOf.keys()].some(decays);

  // m̂/(√v̂ + ε) with m̂ = m/(1 − β₁ᵗ), v̂ = v/(1 − β₂ᵗ) equals (√(1−β₂ᵗ)/(1−β₁ᵗ))·m/(√v + ε√(1−β₂ᵗ)).
  const feeds = (step: number, learningRate: number): Feeds => {
    if (!Number.isInteger(step) || step < 1) throw new Error(`step ${step}: counted from 1`);
    const root = Math.sqrt(1 - beta2 ** step);
    return {
      'adamw.rate': scalar((learningRate * root) / (1 - beta1 ** step)),
      'adamw.epsilon': scalar(epsilon * root),
      ...(needsDecay ? { 'adamw.decay': scalar(1 - learningRate * weightDecay) } : {}),
    };
  };
  return { updates, moments, norm, feeds };
}

/** The part of a gradient that can differ from zero: some rows of an embedding table, or all of it. */
function stored(gradient: Node): { readonly rows: Node | undefined; readonly values: Node } {
  if (gradient.op !== scatterRowsOp) return { rows: undefined, values: gradient };
  return { rows: gradient.inputs[0]!, values: gradient.inputs[1]! };
}
