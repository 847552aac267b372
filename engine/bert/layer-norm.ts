import type { Op } from '../graph/node.ts';
import { part } from '../graph/ops/composite.ts';
import { columnSum, matmul, mul, product, reshape, sub, withGradient, type Node } from '../graph/index.ts';

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
 * With r = 1/√(var + ε), x̂ = (x − mean)·r and h = g·γ the gradient is dx = (h − mean(h) − x̂·mean(h·x̂))·r, dγ = Σ g·x̂,
 * dβ = Σ g. Written so that x̂ is never stored: with a = mean(h), b = mean(h·x̂) = (mean(h·x) − mean·a)·r it is
 * dx = h·r − x·(b·r²) − (a·r − mean·b·r²), and dγ = Σ r·(g·x) − Σ (mean·r)·g. The means are products with γ/H, the sums over
 * rows products with a row: each reads its operand once.
 */
export function layerNorm(x: Node, gamma: Node, beta: Node, eps: number): Node {
  const width = gamma.shape[0] as number;
  const rows = product(...x.shape.slice(0, -1));
  const y = x.graph.create(layerNormOp, [x, gamma, beta], { eps }, x.dtype, x.shape);
  return withGradient([x, gamma, beta], y, (gradient) => {
    const statistics = [...x.shape.slice(0, -1), 1];
    const [g, flat] = [reshape(gradient, [rows, width]), reshape(x, [rows, width])];
    const [mean, r] = [reshape(part(y, 1, statistics), [rows, 1]), reshape(part(y, 2, statistics), [rows, 1])];
    const gx = mul(g, flat);
    const rowMean = (node: Node): Node => matmul(node, reshape(gamma, [width, 1]), { alpha: 1 / width });
    const a = rowMean(g);
    const slope = mul(mul(sub(rowMean(gx), mul(mean, a)), r), mul(r, r));
    const dx = sub(sub(mul(mul(g, gamma), r), mul(flat, slope)), sub(mul(a, r), mul(mean, slope)));
    return [reshape(dx, x.shape), sub(columnSum(gx, r), columnSum(g, mul(mean, r))), columnSum(g)];
  });
}
