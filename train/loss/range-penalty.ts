import { add, div, log, mean, mul, relu, reshape, square, sub, sum, type Node } from '../../engine/graph/index.ts';
import { softmaxShift, type ModelConfig } from '../../model/config.ts';
import type { Probes } from './layers.ts';

/** Wanted of log₂(D/n) for 2Quad's denominators D with n real keys. */
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
 * Keeps intervals narrow on which the secure protocols approximate: the sum over layers of means over real tokens (and over
 * heads or units) of
 * - relu(2.5 − log₂(D/n))² + relu(log₂(D/n) − 7.5)², for 2Quad's denominators D with n real keys;
 * - 0.05·(relu(u − 4)² + relu(−5 − u)²), for the inputs u of the activation;
 * - 0.05·relu(log₂(var + ε) − 4)², for the variance of the inputs of each of the two LayerNorms, ε the LayerNorm's own.
 *
 * The embedding's LayerNorm has no term: its variance is that of table entries, far below the limit.
 */
export function rangePenalty(probes: Probes, mask: Node, config: ModelConfig): Node {
  const [b, l] = mask.shape;
  const keys = reshape(mask, [b!, 1, 1, l!]);
  const queries = reshape(mask, [b!, 1, l!, 1]);
  const tokens = reshape(mask, [b!, l!, 1]);
  const n = sum(keys, [-1], true);
  const real = sum(mask);
  const centred = config.softmax_act === '2quad_centred';

  const denominators = (s: Node, c: readonly number[]): Node => {
    const x = centred ? sub(s, div(sum(mul(s, keys), [-1], true), n)) : s;
    const squares = mul(square(add(x, mask.graph.constant(c, [c.length, 1, 1]))), keys);
    const d = log2(div(sum(squares, [-1], true), n));
    return div(sum(mul(outside(d, DENOMINATOR_INTERVAL), queries)), mul(real, c.length));
  };
  const activations = (u: Node): Node => div(mean(sum(mul(outside(u, ACTIVATION_INTERVAL), tokens), [0, 1])), real);
  const variances = (x: Node): Node => {
    const variance = mean(square(sub(x, mean(x, [-1], true))), [-1], true);
    const excess = square(relu(sub(log2(add(variance, config.layer_norm_eps)), VARIANCE_LIMIT)));
    return div(sum(mul(excess, tokens)), real);
  };

  const terms: Node[] = [];
  for (let layer = 0; layer < config.num_hidden_layers; layer++) {
    const c = softmaxShift(config, layer);
    if (c.length > 0) terms.push(denominators(probes.get(`scores.${layer}`)!, c));
    terms.push(mul(activations(probes.get(`ffn.${layer}`)!), SMALL));
    for (const name of [`attention.pre.${layer}`, `hidden.pre.${layer + 1}`])
      terms.push(mul(variances(probes.get(name)!), SMALL));
  }
  return terms.reduce((a, t) => add(a, t));
}
