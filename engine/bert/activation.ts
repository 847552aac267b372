import type { HiddenAct } from '../../model/config.ts';
import { add, erf, mul, relu, tanh, type Node } from '../graph/index.ts';

/**
 * gelu: u·Φ(u) (Hendrycks & Gimpel 2016); gelu_new: its tanh form; quad: 0.125u² + 0.25u + 0.5 (MPCFormer, section 3.2).
 */
export function activation(u: Node, act: HiddenAct): Node {
  switch (act) {
    case 'gelu':
      return mul(u, add(mul(erf(mul(u, Math.SQRT1_2)), 0.5), 0.5));
    case 'gelu_new': {
      const inner = mul(mul(u, add(mul(mul(u, u), 0.044715), 1)), Math.sqrt(2 / Math.PI));
      return mul(mul(u, 0.5), add(tanh(inner), 1));
    }
    case 'relu':
      return relu(u);
    case 'quad':
      return add(mul(u, add(mul(u, 0.125), 0.25)), 0.5);
  }
}
