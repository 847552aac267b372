import { arange, cast, equal, logSoftmax, mean, mul, neg, reshape, sum, type Node } from '../../engine/graph/index.ts';

/** Mean over the batch of −log softmax(z)_y, for logits z (B, C) and int64 classes y (B). */
export function crossEntropy(logits: Node, labels: Node): Node {
  const [b, classes] = logits.shape;
  const oneHot = cast(equal(reshape(labels, [b!, 1]), arange(labels, classes!)), 'float32');
  return neg(mean(sum(mul(oneHot, logSoftmax(logits)), [-1])));
}
