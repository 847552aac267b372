import {
  arange,
  cast,
  div,
  equal,
  logSoftmax,
  mean,
  mul,
  neg,
  reshape,
  sum,
  type Node,
} from '../../engine/graph/index.ts';

/**
 * Mean over the batch of −log softmax(z)_y, for logits z (B, C) and int64 classes y (B). With `weights`, one per class, the
 * weighted mean Σ w_y·(−log softmax(z)_y) / Σ w_y, as PyTorch's `CrossEntropyLoss(weight=w)`.
 */
export function crossEntropy(logits: Node, labels: Node, weights?: readonly number[]): Node {
  const [b, classes] = logits.shape;
  const oneHot = cast(equal(reshape(labels, [b!, 1]), arange(labels, classes!)), 'float32');
  if (weights === undefined) return neg(mean(sum(mul(oneHot, logSoftmax(logits)), [-1])));
  const weighted = mul(oneHot, logits.graph.constant(weights, [1, weights.length]));
  return neg(div(sum(mul(weighted, logSoftmax(logits))), sum(weighted)));
}
