import type { Normaliser } from '../../model/ops.ts';
import { add, div, equal, mul, relu, reshape, softmax, square, sub, sum, where, type Node } from '../graph/index.ts';

/** ε of 2ReLU, spread over the keys of a row. */
const RELU_EPSILON = 1e-12;

/** Attention weights (B, A, L, L) from scores and mask (B, L). Texts without any real token get all zeros, never NaN. */
export function normalise(scores: Node, mask: Node, { act, c }: Normaliser): Node {
  const [b, heads, l] = scores.shape;
  const keys = reshape(mask, [b!, 1, 1, l!]);
  const graph = scores.graph;
  switch (act) {
    case 'softmax':
      return mul(softmax(add(scores, mul(sub(1, keys), -1e30))), keys);
    case '2quad':
    case '2quad_centred': {
      const shift = graph.constant(c, [heads as number, 1, 1]);
      const centred = act === '2quad' ? scores : sub(scores, div(sum(mul(scores, keys), [-1], true), real(keys)));
      const squares = mul(square(add(centred, shift)), keys);
      const total = sum(squares, [-1], true);
      return div(squares, where(equal(total, 0), 1, total));
    }
    case '2relu': {
      const positive = mul(relu(scores), keys);
      const share = div(mul(keys, RELU_EPSILON), sum(add(mul(keys, 0), 1), [-1], true));
      return div(add(positive, share), add(sum(positive, [-1], true), RELU_EPSILON));
    }
  }
}

/** Number of real keys, (B, 1, 1, 1); 1 for a text without any. */
function real(keys: Node): Node {
  const n = sum(keys, [-1], true);
  return where(equal(n, 0), 1, n);
}
