import { mean, reshape, square, sub, type Node } from '../../engine/graph/index.ts';

/** Mean over the batch of (z − y)², for a regression model's output z (B, 1) and scores y (B). */
export function meanSquaredError(output: Node, targets: Node): Node {
  return mean(square(sub(reshape(output, targets.shape), targets)));
}
