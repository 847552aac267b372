/** Values with a hand-written gradient, and second outputs of ops that have several. */
import type { DType, Node, Op } from '../node.ts';
import type { Shape } from '../shape.ts';

/**
 * `value`, built from `inputs` in any way, differentiated by `rule` instead of through its construction: fewer passes over
 * memory, or a form that stays finite. `rule(g)` gives one gradient per input. Emits nothing of its own.
 */
export function withGradient(
  inputs: readonly Node[],
  value: Node,
  rule: (g: Node) => readonly (Node | undefined)[],
): Node {
  const op: Op = {
    name: 'withGradient',
    emit: (_e, _n, names) => names.at(-1)!,
    gradient: (_n, g) => [...rule(g), undefined],
  };
  return value.graph.create(op, [...inputs, value], {}, value.dtype, value.shape);
}

const partOp: Op = {
  name: 'part',
  emit: (e, node) => e.outputs(node.inputs[0]!)[node.attributes['index'] as number]!,
  gradient: () => [undefined],
};
/** Output `index` (1 or higher) of an op that emits several; no gradient passes through it. */
export const part = (of: Node, index: number, shape: Shape, dtype: DType = 'float32'): Node =>
  of.graph.create(partOp, [of], { index }, dtype, shape);
