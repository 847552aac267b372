/**
 * Product of two opened operands x = E + A, y = D + C, per text and per head. scores: Q Kᵀ; context: P V. Queries of every token,
 * or of the first one alone (rows `text`; scores then have rows `headText`).
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
import { count, rowCount, type Dims } from '../shape.ts';

type Pair = readonly [Words, Words];

/** Both operands in ring n with every head of every text one contiguous block. */
function byHead(gate: Resolved<MatmulGate>, x: Words, y: Words, dims: Dims): Pair {
  const hidden = y.length / rowCount('token', dims);
  const left = reduce(x, gate.n);
  const split = gate.form === 'scores' && gate.shape.rows === 'head'; // one row's heads lie side by side
  return [split ? splitHeads(left, hidden, dims) : left, splitHeads(reduce(y, gate.n), hidden, dims)];
}

/** Rows of the first operand in a text of L tokens, for each head. */
const queries = (gate: Resolved<MatmulGate>, L: number): number => (gate.shape.rows === 'head' ? L : 1);

/** Σ over the pairs of the products of their heads: (head, keys) or (head, D). */
function products(gate: Resolved<MatmulGate>, pairs: readonly Pair[], dims: Dims): Words {
  const D = pairs[0]![1].length / rowCount('head', dims);
  const parts: Words[] = [];
  let [xAt, yAt] = [0, 0];
  for (const L of dims.lengths) {
    const m = queries(gate, L);
    const xSize = m * (gate.form === 'scores' ? D : L);
    for (let h = 0; h < dims.heads; h++) {
      const [first, ...rest] = pairs.map(([x, y]) => {
        const [a, b] = [slice(x, xAt, xAt + xSize), slice(y, yAt, yAt + L * D)];
        return gate.form === 'scores' ? matmulTransposed(a, b, m, D, L) : dense(a, b, m, L, D);
      });
      parts.push(rest.reduce(add, first!));
      xAt += xSize;
      yAt += L * D;
    }
  }
  return concatWords(parts);
}

/** Multiply-adds of one product of every head: heads · queries · L · D a text in both forms. */
const size = (gate: Resolved<MatmulGate>, hidden: number, dims: Dims): number =>
  dims.lengths.reduce((sum, L) => sum + queries(gate, L) * L * hidden, 0);

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
    const first = x.shape.rows === 'text' || x.shape.rows === 'headText';
    const rows = first ? 'headText' : 'head';
    const keys = { rows, cols: 'keys' } as const;
    const head = { rows, cols: hidden / dims.heads } as const;
    const query = { rows: first ? 'text' : 'token', cols: hidden } as const;
    shapeIs(gate, 'first operand', x.shape, gate.form === 'scores' ? query : keys);
    shapeIs(gate, 'second operand', y.shape, { rows: 'token', cols: hidden });
    shapeIs(gate, 'output', gate.shape, gate.form === 'scores' ? keys : head);
    scaleIs(gate, x.f + y.f);
    return shareWire(gate);
  },
  cost(gate, [, y], dims) {
    const adds = size(gate, fixedCols(gate, y!.shape), dims);
    return cost({ dealtBits: gate.n * count(gate.shape, dims), party: 2 * adds, assistant: adds });
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
