import { add, div, log, mean, mul, relu, reshape, square, sub, sum, type Node } from '../../engine/graph/index.ts';
import { softmaxShift, type ModelConfig } from '../../model/config.ts';
import type { Probes } from './layers.ts';

/** Wanted of log₂(D/n) for 2Quad's denominators D with n real keys. */
export const DENOMINATOR_INTERVAL = [2.5, 7.5] as const;
/** Wanted of the inputs of the activation. */
export const ACTIVATION_INTERVAL = [-5, 4] as const;

/**
 * Keeps intervals narrow on which the secure protocols approximate, over real tokens and averaged per layer:
 * relu(2.5 − log₂(D/n))² + relu(log₂(D/n) − 7.5)² for 2Quad's denominators D with n real keys, and
 * 0.05·(relu(u − 4)² + relu(−5 − u)²) for the inputs u of the activation.
 */
export function rangePenalty(probes: Probes, mask: Node, config: ModelConfig): Node {
  const [b, l] = mask.shape;
  const keys = reshape(mask, [b!, 1, 1, l!]);
  const queries = reshape(mask, [b!, 1, l!, 1]);
  const tokens = reshape(mask, [b!, l!, 1]);
  const n = sum(keys, [-1], true);
  const real = sum(mask);
  const terms: Node[] = [];
  for (let layer = 0; layer < config.num_hidden_layers; layer++) {
    const c = softmaxShift(config, layer);
    if (c.length > 0) {
      const s = probes.get(`scores.${layer}`)!;
      const rowMean = div(sum(mul(s, keys), [-1], true), n);
      const x = config.softmax_act === '2quad_centred' ? sub(s, rowMean) : s;
      const squares = mul(square(add(x, mask.graph.constant(c, [c.length, 1, 1]))), keys);
      const log2 = mul(log(div(sum(squares, [-1], true), n)), Math.LOG2E);
      const outside = add(
        square(relu(sub(DENOMINATOR_INTERVAL[0], log2))),
        square(relu(sub(log2, DENOMINATOR_INTERVAL[1]))),
      );
      terms.push(div(sum(mul(outside, queries)), mul(real, c.length)));
    }
    const u = probes.get(`ffn.${layer}`)!;
    const beyond = add(square(relu(sub(u, ACTIVATION_INTERVAL[1]))), square(relu(sub(ACTIVATION_INTERVAL[0], u))));
    terms.push(mul(div(mean(sum(mul(beyond, tokens), [0, 1])), real), 0.05));
  }
  return terms.reduce((a, t) => add(a, t));
}
