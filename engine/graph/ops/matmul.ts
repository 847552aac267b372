/** Matrix products. Transposition is part of the product, so no operand is moved for it. */
import type { Emitter, Node, Op } from '../node.ts';
import { broadcast, sameShape, showShape, type Dim } from '../shape.ts';
import { mul } from './arithmetic.ts';
import { expand, reshape } from './layout.ts';
import { sum, sumTo } from './reduce.ts';

export interface MatmulOptions {
  /** Read a (or b) with its last two axes swapped. */
  readonly transposeA?: boolean;
  readonly transposeB?: boolean;
  /** Factor of the product. */
  readonly alpha?: number;
}

/** A matrix of ever so many rows by one of fixed size, not a vector. */
const isLong = ([a, b]: readonly [Node, Node]): boolean =>
  a.shape.length === 2 && typeof a.shape[0] === 'string' && b.shape.length === 2 && b.shape.every((n) => typeof n === 'number' && n >= 64); // prettier-ignore

/**
 * Blocks of rows one after the other: ONNX Runtime's product goes through all rows for each 128 columns of b, and caches and
 * page tables do not hold thousands of rows. Were b's rank not above a's, it would join the blocks again.
 */
function blockwise(e: Emitter, node: Node, [a, b]: readonly string[], transposeB: boolean): string {
  const [m, n] = node.inputs as [Node, Node];
  const blocks = e.node('Reshape', [a!, e.blocks(m.shape[0]!, m.shape[1] as number)]);
  const raised = e.node('Unsqueeze', [b!, e.constant('int64', [2], [0, 1])]);
  const y = transposeB
    ? e.node('FusedMatMul', [blocks, raised], { domain: 'com.microsoft', int: { transB: 1 } })
    : e.node('MatMul', [blocks, raised]);
  return e.node('Reshape', [y, e.constant('int64', [2], [-1, n.shape[transposeB ? 0 : 1] as number])]);
}

const matmulOp: Op = {
  name: 'matmul',
  emit: (e, node, ab) => {
    const { transposeA, transposeB, alpha } = node.attributes;
    if (!e.standard && transposeA !== true && alpha === 1 && isLong(node.inputs as [Node, Node]))
      return blockwise(e, node, ab, transposeB === true);
    if (transposeA !== true && transposeB !== true && alpha === 1) return e.node('MatMul', ab);
    if (e.standard) {
      const operands = ab.map((name, i) => {
        if ((i === 0 ? transposeA : transposeB) !== true) return name;
        const rank = node.inputs[i]!.shape.length;
        const swapped = [...Array(rank - 2).keys(), rank - 1, rank - 2];
        return e.node('Transpose', [name], { ints: { perm: swapped } });
      });
      const y = e.node('MatMul', operands);
      return alpha === 1 ? y : e.node('Mul', [y, e.constant('float32', [], [alpha as number])]);
    }
    return e.node('FusedMatMul', ab, {
      domain: 'com.microsoft',
      int: { transA: transposeA === true ? 1 : 0, transB: transposeB === true ? 1 : 0 },
      float: { alpha: alpha as number },
    });
  },
  gradient: (node, g) => {
    const [a, b] = node.inputs as [Node, Node];
    const ta = node.attributes['transposeA'] === true;
    const tb = node.attributes['transposeB'] === true;
    const alpha = node.attributes['alpha'] as number;
    const ga = ta
      ? matmul(b, g, { transposeA: tb, transposeB: true, alpha })
      : matmul(g, b, { transposeB: !tb, alpha });
    const gb = tb
      ? matmul(g, a, { transposeA: true, transposeB: ta, alpha })
      : matmul(a, g, { transposeA: !ta, alpha });
    return [sumTo(ga, a.shape), sumTo(gb, b.shape)];
  },
};

/** alpha·a·b over the last two axes (m, k)·(k, n); leading axes broadcast. Both operands have rank 2 or more. */
export function matmul(a: Node, b: Node, options: MatmulOptions = {}): Node {
  const { transposeA = false, transposeB = false, alpha = 1 } = options;
  const [ra, rb] = [a.shape.length, b.shape.length];
  if (ra < 2 || rb < 2) throw new Error(`matmul: ${showShape(a.shape)} by ${showShape(b.shape)}: rank below 2`);
  const [m, ka] = transposeA ? [a.shape[ra - 1]!, a.shape[ra - 2]!] : [a.shape[ra - 2]!, a.shape[ra - 1]!];
  const [kb, n] = transposeB ? [b.shape[rb - 1]!, b.shape[rb - 2]!] : [b.shape[rb - 2]!, b.shape[rb - 1]!];
  if (ka !== kb)
    throw new Error(`matmul: ${showShape(a.shape)} by ${showShape(b.shape)}: inner lengths ${ka} and ${kb}`);
  const batch = broadcast(a.shape.slice(0, -2), b.shape.slice(0, -2), 'matmul');
  return a.graph.create(matmulOp, [a, b], { transposeA, transposeB, alpha }, a.dtype, [...batch, m, n]);
}

/**
 * Σ_r w_r·x_r over the rows of x (R, C), by default every row once: (C). As a product, since ONNX Runtime's sum over rows
 * takes longer on two threads than on one.
 */
export function columnSum(x: Node, w?: Node): Node {
  const [rows, columns] = x.shape as [Dim, Dim];
  const row = w === undefined ? expand(x.graph.constant(1, [1, 1]), [1, rows]) : reshape(w, [1, rows]);
  return reshape(matmul(row, x), [columns]);
}

/**
 * Σ_j g_ij·p_ij over the last axis, which stays with length 1. Where g is the gradient of p in a product p·v, that is d·vᵀ, the
 * same number is Σ d ⊙ (p·v): the product exists, and its rows are shorter (FlashAttention, Dao et al. 2022, appendix B.2). A
 * factor between them (dropout) goes with p.
 */
export function rowDot(g: Node, p: Node): Node {
  if (g.op.name === 'mul' && g.inputs[0]!.op === matmulOp && sameShape(g.inputs[1]!.shape, p.shape))
    return rowDot(g.inputs[0]!, mul(p, g.inputs[1]!));
  const { transposeA, transposeB, alpha } = g.attributes;
  if (g.op !== matmulOp || transposeA === true || transposeB !== true || alpha !== 1) return sum(mul(g, p), [-1], true);
  const [d, v] = g.inputs as [Node, Node];
  return sum(mul(d, matmul(p, v)), [-1], true);
}

const linearOp: Op = {
  name: 'linear',
  emit: (e, node, inputs) => {
    const [x, w] = node.inputs as [Node, Node];
    // Adding the bias is another pass over the result, which pays where the result is not wider than what it is made from.
    if (!e.standard && isLong([x, w]) && (w.shape[0] as number) <= (w.shape[1] as number))
      return e.node('Add', [blockwise(e, node, inputs, true), inputs[2]!]);
    return e.node('Gemm', inputs, { int: { transB: 1 } });
  },
  gradient: ({ inputs: [x, w] }, g) => [matmul(g, w!), matmul(g, x!, { transposeA: true }), columnSum(g)],
};
/** x·Wᵀ + b for x (N, in), W (out, in), b (out). */
export function linear(x: Node, w: Node, b: Node): Node {
  if (x.shape.length !== 2 || x.shape[1] !== w.shape[1] || w.shape[0] !== b.shape[0])
    throw new Error(`linear: ${showShape(x.shape)} by ${showShape(w.shape)} plus ${showShape(b.shape)}`);
  return x.graph.create(linearOp, [x, w, b], {}, x.dtype, [x.shape[0]!, w.shape[0]!]);
}
