import type { HiddenAct } from '../../model/config.ts';
import { add, erf, exp, mul, relu, tanh, unitAffine, withGradient, type Node } from '../graph/index.ts';

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

/** The erf form; its derivative is Φ(u) + u·φ(u), with Φ kept from the forward pass. */
function gelu(u: Node): Node {
  const cumulative = unitAffine(erf(mul(u, Math.SQRT1_2)), 0.5, 0.5);
  return withGradient([u], mul(u, cumulative), (g) => {
    const density = mul(exp(mul(mul(u, u), -0.5)), 1 / Math.sqrt(2 * Math.PI));
    return [mul(g, add(cumulative, mul(u, density)))];
  });
}
