import { add, div, mean, mul, sqrt, square, sub, type Node } from '../graph/index.ts';

/** γ·(x − mean)/√(var + ε) + β over the last axis (Ba et al. 2016, eq. 3–4), biased variance. */
export function layerNorm(x: Node, gamma: Node, beta: Node, eps: number): Node {
  const centred = sub(x, mean(x, [-1], true));
  const deviation = sqrt(add(mean(square(centred), [-1], true), eps));
  return add(mul(div(centred, deviation), gamma), beta);
}
