/** Matrix products. Transposition is part of the product, so no operand is moved for it. */
import type { Node, Op } from '../node.ts';
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

const matmulOp: Op = {
  name: 'matmul',
  emit: (e, node, ab) => {
    const { transposeA, transposeB, alpha } = node.attributes;
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
  emit: (e, _n, inputs) => e.node('Gemm', inputs, { int: { transB: 1 } }),
  gradient: ({ inputs: [x, w] }, g) => [matmul(g, w!), matmul(g, x!, { transposeA: true }), columnSum(g)],
};
/** x·Wᵀ + b for x (N, in), W (out, in), b (out). */
export function linear(x: Node, w: Node, b: Node): Node {
  if (x.shape.length !== 2 || x.shape[1] !== w.shape[1] || w.shape[0] !== b.shape[0])
    throw new Error(`linear: ${showShape(x.shape)} by ${showShape(w.shape)} plus ${showShape(b.shape)}`);
  return x.graph.create(linearOp, [x, w, b], {}, x.dtype, [x.shape[0]!, w.shape[0]!]);
}
