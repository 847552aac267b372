/**
 * Product of two opened operands x = E + A, y = D + C, per text and per head. scores: Q Kᵀ; context: P V.
 *
 * [x y]_i = E C_i + A_i D + [A C]_i, party 0 adds E D by multiplying E with C_0 + D.
 * Source: Beaver '91; masked-suite design, section 4; specification linear.py (`beaver_*`).
 * Opened: nothing. Dealt: [A C] in ring n, a word an output. Precondition: n ≤ the rings of both operands. Error: none.
 * Cost: no round; each party two products of every head, the assistant one.
 */
import { add, concatWords, matmul as dense, matmulTransposed, slice, type Words } from '../../ring/index.ts';
import {
  cost,
  dealtOperand,
  fixedCols,
  kinds,
  need,
  operand,
  ringFits,
  scaleIs,
  shapeIs,
  shareWire,
  opensNothing,
} from '../check.ts';
import type { GateDefinition } from '../gate.ts';
import { reduce, splitHeads } from '../layout.ts';
import type { MatmulGate, Resolved } from '../program.ts';
import { rowCount, type Dims } from '../shape.ts';

type Pair = readonly [Words, Words];

/** Both operands in ring n with every head of every text one contiguous block. */
function byHead(gate: Resolved<MatmulGate>, x: Words, y: Words, dims: Dims): Pair {
  const hidden = y.length / rowCount('token', dims);
  const left = reduce(x, gate.n);
  return [gate.form === 'scores' ? splitHeads(left, hidden, dims) : left, splitHeads(reduce(y, gate.n), hidden, dims)];
}

/** Σ over the pairs of the products of their heads: (head, keys) or (head, D). */
function products(gate: Resolved<MatmulGate>, pairs: readonly Pair[], dims: Dims): Words {
  const D = pairs[0]![1].length / rowCount('head', dims);
  const parts: Words[] = [];
  let [xAt, yAt] = [0, 0];
  for (const L of dims.lengths) {
    const xSize = gate.form === 'scores' ? L * D : L * L;
    for (let h = 0; h < dims.heads; h++) {
      const [first, ...rest] = pairs.map(([x, y]) => {
        const [a, b] = [slice(x, xAt, xAt + xSize), slice(y, yAt, yAt + L * D)];
        return gate.form === 'scores' ? matmulTransposed(a, b, L, D, L) : dense(a, b, L, L, D);
      });
      parts.push(rest.reduce(add, first!));
      xAt += xSize;
      yAt += L * D;
    }
  }
  return concatWords(parts);
}

/** Multiply-adds of one product of every head: heads · L² · D a text in both forms. */
const size = (hidden: number, dims: Dims): number => dims.lengths.reduce((sum, L) => sum + L * L * hidden, 0);

export const matmul: GateDefinition<MatmulGate> = {
  op: 'matmul',
  type(gate, inputs, _tensor, dims) {
    const [x, y] = kinds(gate, inputs, ['operand', 'operand']);
    ringFits(gate, x.n, 'its first operand');
    ringFits(gate, y.n, 'its second operand');
    const hidden = fixedCols(gate, y.shape);
    need(
      gate,
      hidden % dims.heads === 0,
      `${hidden} columns do not divide into ${dims.heads} heads`,
      'correct the shapes',
    );
    const token = { rows: 'token', cols: hidden } as const;
    const keys = { rows: 'head', cols: 'keys' } as const;
    const head = { rows: 'head', cols: hidden / dims.heads } as const;
    shapeIs(gate, 'first operand', x.shape, gate.form === 'scores' ? token : keys);
    shapeIs(gate, 'second operand', y.shape, token);
    shapeIs(gate, 'output', gate.shape, gate.form === 'scores' ? keys : head);
    scaleIs(gate, x.f + y.f);
    return shareWire(gate);
  },
  cost(gate, [, y], dims) {
    const words =
      gate.form === 'scores'
        ? dims.heads * dims.lengths.reduce((sum, L) => sum + L * L, 0)
        : rowCount('head', dims) * fixedCols(gate, gate.shape);
    const adds = size(fixedCols(gate, y!.shape), dims);
    return cost({ dealtBits: gate.n * words, party: 2 * adds, assistant: adds });
  },
  error: () => 0,
  deal(gate, inputs, context) {
    const pair = byHead(gate, dealtOperand(inputs[0]), dealtOperand(inputs[1]), context.dims);
    context.deal(gate, 'AC', products(gate, [pair], context.dims));
    return { kind: 'share' };
  },
  party: opensNothing((gate, inputs, context) => {
    const { dims, party } = context;
    const [x, y] = [operand(inputs[0]), operand(inputs[1])];
    const [E, D] = byHead(gate, x.E, y.E, dims);
    const [A, C] = byHead(gate, x.A, y.A, dims);
    const z = products(
      gate,
      [
        [E, party === 0 ? add(C, D) : C],
        [A, D],
      ],
      dims,
    );
    return { kind: 'share', x: add(z, context.dealt(gate, 'AC', gate.n, z.length)) };
  }),
  clear: (gate, [x, y], { dims }) => ({ x: products(gate, [byHead(gate, x!.x, y!.x, dims)], dims) }),
};
