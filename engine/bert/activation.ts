import type { HiddenAct } from '../../model/config.ts';
import { add, erf, exp, mul, relu, sub, tanh, unitAffine, withGradient, type Node } from '../graph/index.ts';
import type { Op } from '../graph/node.ts';

/**
 * gelu: u·Φ(u) (Hendrycks & Gimpel 2016); gelu_new: its tanh form; quad: 0.125u² + 0.25u + 0.5 (MPCFormer, section 3.2).
 */
export function activation(u: Node, act: HiddenAct): Node {
  switch (act) {
    case 'gelu':
      return gelu(u);
    case 'gelu_new': {
      const inner = mul(mul(u, add(mul(mul(u, u), 0.044715), 1)), Math.sqrt(2 / Math.PI));
      return mul(u, unitAffine(tanh(inner), 0.5, 0.5));
    }
    case 'relu':
      return relu(u);
    case 'quad':
      return add(mul(u, add(mul(u, 0.125), 0.25)), 0.5);
  }
}

const geluOp: Op = { name: 'gelu', emit: (e, _n, u) => e.node('Gelu', u) };

/**
 * The erf form; its derivative is Φ(u) + u·φ(u). With w = u/√2: Φ = (1 + erf w)/2 and u·φ(u) = w·exp(−w²)/√π, the division
 * inside the exponent. Backwards Φ is computed again: it costs less than keeping it from a forward pass that is one operation.
 */
function gelu(u: Node): Node {
  return withGradient([u], u.graph.create(geluOp, [u], {}, u.dtype, u.shape), (g) => {
    const w = mul(u, Math.SQRT1_2);
    const cumulative = unitAffine(erf(w), 0.5, 0.5);
    const density = exp(sub(-0.5 * Math.log(Math.PI), mul(w, w)));
    return [mul(g, add(cumulative, mul(w, density)))];
  });
}
