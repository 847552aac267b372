/** Choosing between values, and changing their type. */
import type { DType, Node, Op, Operand } from '../node.ts';
import { broadcast } from '../shape.ts';
import { sumTo } from './reduce.ts';

const whereOp: Op = {
  name: 'where',
  emit: (e, _n, cab) => e.node('Where', cab),
  gradient: ({ inputs: [c, a, b] }, g) => [
    undefined,
    sumTo(where(c!, g, 0), a!.shape),
    sumTo(where(c!, 0, g), b!.shape),
  ],
};
/** a where the bool condition holds, else b; all three broadcast. */
export function where(condition: Node, a: Operand, b: Operand): Node {
  const { graph } = condition;
  const dtype = typeof a !== 'number' ? a.dtype : typeof b !== 'number' ? b.dtype : 'float32';
  const x = typeof a === 'number' ? graph.constant(a, [], dtype) : a;
  const y = typeof b === 'number' ? graph.constant(b, [], dtype) : b;
  const shape = broadcast(condition.shape, broadcast(x.shape, y.shape, 'where'), 'where');
  return graph.create(whereOp, [condition, x, y], {}, dtype, shape);
}

const ONNX_TYPE: Record<DType, number> = { float32: 1, int64: 7, bool: 9 };

const castOp: Op = {
  name: 'cast',
  emit: (e, node, x) => e.node('Cast', x, { int: { to: ONNX_TYPE[node.dtype] } }),
  gradient: () => [undefined],
};
/** Change of type; true is 1. No gradient passes. */
export const cast = (x: Node, dtype: DType): Node =>
  x.dtype === dtype ? x : x.graph.create(castOp, [x], {}, dtype, x.shape);

const stopOp: Op = { name: 'stopGradient', emit: (_e, _n, [x]) => x!, gradient: () => [undefined] };
/** The same value, taken as a constant by `gradients`. */
export const stopGradient = (x: Node): Node => x.graph.create(stopOp, [x], {}, x.dtype, x.shape);
