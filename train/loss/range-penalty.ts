import { add, div, log, mean, mul, relu, reshape, square, sub, sum, type Node } from '../../engine/graph/index.ts';
import { DEFAULT_SOFTMAX_C, softmaxShift, type ModelConfig } from '../../model/config.ts';
import type { Probes } from './layers.ts';

/** Wanted of `denominators` below: of log₂(D/n) for 2Quad's denominators D with n real keys, where c is 5. */
export const DENOMINATOR_INTERVAL = [2.5, 7.5] as const;
/** Wanted of the inputs of the activation. */
export const ACTIVATION_INTERVAL = [-5, 4] as const;
/** Wanted at most of log₂(variance + ε) of what a LayerNorm normalises. */
export const VARIANCE_LIMIT = 4;
/** Weight of the activation and variance terms beside the denominators'. */
const SMALL = 0.05;

const log2 = (x: Node): Node => mul(log(x), Math.LOG2E);
/** Squared distance to [low, high]. */
const outside = (x: Node, [low, high]: readonly [number, number]): Node =>
  add(square(relu(sub(x, high))), square(relu(sub(low, x))));

/**
 * log₂(D/n) of the denominators D of 2Quad with n real keys, for scores (B, A, L, L), the mask (B, L) and c per head: (B, A, L, 1).
 *
 * 2Quad does not change when scores and c are scaled together, and the exporter scales each head, so a head's D means something
 * only beside its c²: all are given at the scale at which c is 5, as log₂(D/n) + 2·log₂(5/|c|).
 */
export function denominators(scores: Node, mask: Node, c: readonly number[], centred: boolean): Node {
  const [b, l] = mask.shape;
  const keys = reshape(mask, [b!, 1, 1, l!]);
  const n = sum(keys, [-1], true);
  const perHead = (f: (c: number) => number): Node => mask.graph.constant(c.map(f), [c.length, 1, 1]);
  const x = centred ? sub(scores, div(sum(mul(scores, keys), [-1], true), n)) : scores;
  const squares = mul(
    square(
      add(
        x,
        perHead((v) => v),
      ),
    ),
    keys,
  );
  const scale = perHead((v) => (v === 0 ? 0 : 2 * Math.log2(DEFAULT_SOFTMAX_C / Math.abs(v))));
  return add(log2(div(sum(squares, [-1], true), n)), scale);
}

/** log₂(variance + ε) of the rows of x (B, L, H), as a LayerNorm divides by its root: (B, L, 1). */
export const logVariance = (x: Node, eps: number): Node =>
  log2(add(mean(square(sub(x, mean(x, [-1], true))), [-1], true), eps));

/**
 * Keeps intervals narrow on which the secure protocols approximate: the sum over layers of means over real tokens (and over
 * heads or units) of
 * - relu(2.5 − d)² + relu(d − 7.5)², for d = log₂(D/n) of 2Quad's denominators, see `denominators`;
 * - 0.05·(relu(u − 4)² + relu(−5 − u)²), for the inputs u of the activation;
 * - 0.05·relu(log₂(var + ε) − 4)², for the variance of the inputs of each of the two LayerNorms, ε the LayerNorm's own.
 *
 * The embedding's LayerNorm has no term: its variance is that of table entries, far below the limit. Row-centred 2Quad has
 * D/n ≥ c², so there d ≥ 4.64 and only the upper bound acts.
 */
export function rangePenalty(probes: Probes, mask: Node, config: ModelConfig): Node {
  const [b, l] = mask.shape;
  const queries = reshape(mask, [b!, 1, l!, 1]);
  const tokens = reshape(mask, [b!, l!, 1]);
  const real = sum(mask);
  const centred = config.softmax_act === '2quad_centred';

  const quotients = (s: Node, c: readonly number[]): Node => {
    const excess = outside(denominators(s, mask, c, centred), DENOMINATOR_INTERVAL);
    return div(sum(mul(excess, queries)), mul(real, c.length));
  };
  const activations = (u: Node): Node => div(mean(sum(mul(outside(u, ACTIVATION_INTERVAL), tokens), [0, 1])), real);
  const variances = (x: Node): Node => {
    const excess = square(relu(sub(logVariance(x, config.layer_norm_eps), VARIANCE_LIMIT)));
    return div(sum(mul(excess, tokens)), real);
  };

  const terms: Node[] = [];
  for (let layer = 0; layer < config.num_hidden_layers; layer++) {
    const c = softmaxShift(config, layer);
    if (c.length > 0) terms.push(quotients(probes.get(`scores.${layer}`)!, c));
    terms.push(mul(activations(probes.get(`ffn.${layer}`)!), SMALL));
    for (const name of [`attention.pre.${layer}`, `hidden.pre.${layer + 1}`])
      terms.push(mul(variances(probes.get(name)!), SMALL));
  }
  return terms.reduce((a, t) => add(a, t));
}
