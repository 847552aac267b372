/** Stage one of MPCFormer (Li et al. 2023, section 4): the student's layers against the teacher's. */
import { add, div, mean, mul, reshape, square, sub, sum, type Node } from '../../engine/graph/index.ts';

/**
 * What a mean runs over. `mean_real`: hidden states of real tokens, scores of real queries and real keys. `mean_all`
 * (published code): everything, padding included, with the scores of masked keys 0 on both sides.
 */
export const LAYER_CONVENTIONS = ['mean_real', 'mean_all'] as const;
export type LayerConvention = (typeof LAYER_CONVENTIONS)[number];

/** MSE of hidden states (B, L, H); `mask` is (B, L) float32, 1 for a real token. */
export function hiddenError(student: Node, teacher: Node, mask: Node, convention: LayerConvention): Node {
  const error = square(sub(student, teacher));
  if (convention === 'mean_all') return mean(error);
  const tokens = reshape(mask, [...mask.shape, 1]);
  return div(sum(mul(error, tokens)), mul(sum(mask), error.shape[2] as number));
}

/**
 * MSE of attention scores (B, A, L, L) before any mask. With `centred`, of s − its mean over the real keys of the row: what
 * a shift-invariant normaliser sees of them.
 */
export function scoreError(
  student: Node,
  teacher: Node,
  mask: Node,
  convention: LayerConvention,
  centred: boolean,
): Node {
  const [b, heads, l] = student.shape as [Node['shape'][0], number, Node['shape'][0]];
  const keys = reshape(mask, [b!, 1, 1, l!]);
  const queries = reshape(mask, [b!, 1, l!, 1]);
  let difference = sub(student, teacher);
  // Centring is linear, so it may act on the difference.
  if (centred) difference = sub(difference, div(sum(mul(difference, keys), [-1], true), sum(keys, [-1], true)));
  const error = square(difference);
  if (convention === 'mean_all') return mean(mul(error, keys));
  const pairs = sum(square(sum(mask, [1])));
  return div(sum(mul(error, mul(queries, keys))), mul(pairs, heads));
}

/** Intermediates of a forward pass by their public name (`model/forward.ts`). */
export type Probes = ReadonlyMap<string, Node>;

const total = (terms: readonly Node[]): Node => terms.reduce((a, b) => add(a, b));

/** The terms `hidden.0` … `hidden.N` for N layers, and their sum. */
export function hiddenLoss(
  student: Probes,
  teacher: Probes,
  mask: Node,
  layers: number,
  convention: LayerConvention,
): { terms: Map<string, Node>; sum: Node } {
  return sumOf('hidden', layers + 1, (name) => hiddenError(student.get(name)!, teacher.get(name)!, mask, convention));
}

/** The terms `scores.0` … `scores.{N−1}`, and their sum. */
export function scoreLoss(
  student: Probes,
  teacher: Probes,
  mask: Node,
  layers: number,
  convention: LayerConvention,
  centred: boolean,
): { terms: Map<string, Node>; sum: Node } {
  return sumOf('scores', layers, (name) =>
    scoreError(student.get(name)!, teacher.get(name)!, mask, convention, centred),
  );
}

function sumOf(kind: string, count: number, term: (name: string) => Node): { terms: Map<string, Node>; sum: Node } {
  const terms = new Map(Array.from({ length: count }, (_, l) => [`${kind}.${l}`, term(`${kind}.${l}`)] as const));
  return { terms, sum: total([...terms.values()]) };
}
