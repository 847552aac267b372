import type { Normaliser } from '../../model/ops.ts';
import {
  add,
  div,
  equal,
  matmul,
  mul,
  relu,
  reshape,
  rowDot,
  size,
  softmax,
  sub,
  sum,
  sumSquares,
  where,
  withGradient,
  type Dim,
  type Node,
} from '../graph/index.ts';

/** ε of 2ReLU, spread over the keys of a row. */
const RELU_EPSILON = 1e-12;

/** Added to the scores of masked keys: exp of it is 0 in float32 beside any score of a real key. */
const MASKED = -1e30;

/**
 * Attention weights from scores (B, A, L, L) and mask (B, L); of fewer queries, for scores of fewer rows. Texts without any real token get all zeros, never NaN; only
 * 2relu_published spreads weight over padding.
 */
export function normalise(scores: Node, mask: Node, { act, c }: Normaliser): Node {
  const [b, heads, , l] = scores.shape;
  const keys = reshape(mask, [b!, 1, 1, l!]);
  switch (act) {
    case 'softmax':
      return maskedSoftmax(scores, keys);
    case '2quad':
    case '2quad_centred': {
      const shift = scores.graph.constant(c, [heads as number, 1, 1]);
      return quadratic(scores, keys, shift, act === '2quad_centred');
    }
    case '2relu':
    case '2relu_real_n':
    case '2relu_published':
      return relu2(scores, keys, act);
  }
}

/** x where it is not 0, else 1: a denominator of rows without any weight. */
const nonZero = (x: Node): Node => where(equal(x, 0), 1, x);

/** ds = p ⊙ (g − Σ g⊙p); rows of zeros give zeros. */
function maskedSoftmax(scores: Node, keys: Node): Node {
  const weights = mul(softmax(add(scores, mul(sub(1, keys), MASKED))), keys);
  const p: Node = withGradient([scores], weights, (g) => [mul(weights, sub(g, rowDot(g, p)))]);
  return p;
}

/**
 * 2Quad, m(s + c)²/Σ m(s + c)² (MPCFormer, section 3.2), or the same on s − mean of s over the real keys.
 *
 * With t = m(s + c), p = t²/Σt²: ds = (2/Σt²)·t ⊙ (g − Σ g⊙p); the centring takes the mean of ds over real keys off them.
 */
function quadratic(scores: Node, keys: Node, shift: Node, centred: boolean): Node {
  const [b, , , l] = scores.shape as [Dim, Dim, Dim, Dim];
  // Real keys of each text and their share of the mean, as columns for products with (B, A, L, L).
  const share = div(reshape(keys, [b, 1, l, 1]), nonZero(sum(reshape(keys, [b, 1, l, 1]), [2], true)));
  const offset = centred ? sub(shift, matmul(scores, share)) : shift;
  const t = mul(add(scores, offset), keys);
  const total = nonZero(sumSquares(t, [-1], true));
  const p: Node = withGradient([scores], div(mul(t, t), total), (g) => {
    const ds = mul(mul(sub(g, rowDot(g, p)), t), div(2, total));
    if (!centred) return [ds];
    return [sub(ds, mul(sum(ds, [-1], true), reshape(share, [b, 1, 1, l])))];
  });
  return p;
}

/** 2ReLU, (m relu(s) + εw)/(Σ m relu(s) + ε); w, what ε is spread over, is m/L, m/n with n real keys, or 1/L. */
function relu2(scores: Node, keys: Node, act: '2relu' | '2relu_real_n' | '2relu_published'): Node {
  const positive = mul(relu(scores), keys);
  const length = size(scores, [scores.shape[3]!]);
  const spread = act === '2relu_published' ? keys.graph.constant(1) : keys;
  const over = act === '2relu_real_n' ? nonZero(sum(keys, [-1], true)) : length;
  const share = div(mul(spread, RELU_EPSILON), over);
  return div(add(positive, share), add(sum(positive, [-1], true), RELU_EPSILON));
}
