import { div, logSoftmax, mean, mul, neg, softmax, sum, type Node } from '../../engine/graph/index.ts';

/**
 * `standard` sums over classes and averages over the batch; `published` averages over batch and classes (the code of
 * MPCFormer), smaller by the factor C.
 */
export const SOFT_CONVENTIONS = ['standard', 'published'] as const;
export type SoftConvention = (typeof SOFT_CONVENTIONS)[number];

/**
 * −Σ softmax(t/T)·log softmax(s/T) of the student's and the teacher's logits (B, C) (Hinton et al. 2015, without its
 * factor T²; stage two of MPCFormer).
 */
export function softCrossEntropy(student: Node, teacher: Node, temperature: number, convention: SoftConvention): Node {
  const terms = mul(softmax(div(teacher, temperature)), logSoftmax(div(student, temperature)));
  return neg(convention === 'published' ? mean(terms) : mean(sum(terms, [-1])));
}
