import type { Op } from '../graph/node.ts';
import { part } from '../graph/ops/composite.ts';
import { matmul, mul, product, reshape, sub, sum, withGradient, type Node } from '../graph/index.ts';

const layerNormOp: Op = {
  name: 'layerNorm',
  emit: (e, node, inputs) =>
    e.nodes('LayerNormalization', inputs, 3, {
      int: { axis: -1 },
      float: { epsilon: node.attributes['eps'] as number },
    }),
};

/**
 * γ·(x − mean)/√(var + ε) + β over the last axis (Ba et al. 2016, eq. 3–4), biased variance.
 *
 * With x̂ = (x − mean)/σ and h = g·γ the gradient is dx = (h − mean(h) − x̂·mean(h·x̂))/σ, dγ = Σ g·x̂, dβ = Σ g. Both
 * means are taken as products with γ/H, which read g and g·x̂ once and write one number a row.
 */
export function layerNorm(x: Node, gamma: Node, beta: Node, eps: number): Node {
  const width = gamma.shape[0] as number;
  const rows = product(...x.shape.slice(0, -1));
  const y = x.graph.create(layerNormOp, [x, gamma, beta], { eps }, x.dtype, x.shape);
  return withGradient([x, gamma, beta], y, (gradient) => {
    const statistics = [...x.shape.slice(0, -1), 1];
    const g = reshape(gradient, [rows, width]);
    const inverse = reshape(part(y, 2, statistics), [rows, 1]);
    const normal = mul(sub(reshape(x, [rows, width]), reshape(part(y, 1, statistics), [rows, 1])), inverse);
    const correlated = mul(g, normal);
    const rowMean = (node: Node): Node => matmul(node, reshape(gamma, [width, 1]), { alpha: 1 / width });
    const dx = mul(sub(sub(mul(g, gamma), rowMean(g)), mul(normal, rowMean(correlated))), inverse);
    return [reshape(dx, x.shape), sum(correlated, [0]), sum(g, [0])];
  });
}
