/** Tensor graph: shapes may hold symbols; builders are free functions over nodes. */
export { Graph } from './node.ts';
export type { DType, Node, Operand } from './node.ts';
export { broadcast, product, sameShape, showShape } from './shape.ts';
export type { Dim, Shape } from './shape.ts';
export { gradients } from './gradients.ts';
export * from './ops/arithmetic.ts';
export * from './ops/unary.ts';
export * from './ops/select.ts';
export * from './ops/reduce.ts';
export * from './ops/layout.ts';
export * from './ops/gather.ts';
export * from './ops/matmul.ts';
export * from './ops/softmax.ts';
export { withGradient } from './ops/composite.ts';
