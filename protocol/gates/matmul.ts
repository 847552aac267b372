/**
 * Product of two opened operands x = E + A, y = D + C, per text and per head. scores: Q Kᵀ; context: P V. Queries of every token,
 * or of the first one alone (rows `text`; scores then have rows `headText`).
 *
 * [x y]_i = E C_i + A_i D + [A C]_i, party 0 adds E D by multiplying E with C_0 + D.
 * Source: Beaver '91; masked-suite design, section 4; specification linear.py (`beaver_*`).
 * Opened: nothing. Dealt: [A C] in ring n, a word an output. Precondition: n ≤ the rings of both operands. Error: none.
 * Cost: no round; each party two products of every head, the assistant one.
 */
import { add, addProducts, slice, zeros, type Words } from '../../ring/index.ts';
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
import { reduce } from '../layout.ts';
import type { MatmulGate, Resolved } from '../program.ts';
import { count, rowCount, type Dims } from '../shape.ts';

/** Rows of the first operand in a text of L tokens, for each head. */
const queries = (gate: Resolved<MatmulGate>, L: number): number => (gate.shape.rows === 'head' ? L : 1);

/**
 * Adds the product of every head to z, which has rows (head, keys) or (head, D). Heads of y, and of x in scores, lie side by side in
 * the rows of a token; probabilities are a block a head.
 */
function addHeads(gate: Resolved<MatmulGate>, z: Words, x: Words, y: Words, dims: Dims): void {
  const scores = gate.form === 'scores';
  const hidden = y.length / rowCount('token', dims);
  const D = hidden / dims.heads;
  let [xAt, yAt, zAt] = [0, 0, 0];
  for (const L of dims.lengths) {
    const m = queries(gate, L);
    const [k, n] = scores ? [D, L] : [L, D];
    const left = { words: x, from: xAt, step: scores ? D : m * L, row: scores ? hidden : L };
    const right = { words: y, from: yAt, step: D, row: hidden };
    addProducts(z, zAt, left, right, { count: dims.heads, m, k, n }, scores);
    xAt += dims.heads * m * k;
    yAt += L * hidden;
    zAt += dims.heads * m * n;
  }
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
    const { dims } = context;
    const AC = zeros(gate.n, count(gate.shape, dims));
    addHeads(gate, AC, reduce(dealtOperand(inputs[0]), gate.n), reduce(dealtOperand(inputs[1]), gate.n), dims);
    context.deal(gate, 'AC', AC);
    return { kind: 'share' };
  },
  party: opensNothing((gate, inputs, context) => {
    const { dims, party } = context;
    const [E, A, D, C] = [operand(inputs[0]), operand(inputs[1])].flatMap((v) => [reduce(v.E, gate.n), reduce(v.A, gate.n)]) as [Words, Words, Words, Words]; // prettier-ignore
    const AC = context.dealt(gate, 'AC', gate.n, count(gate.shape, dims));
    const z = slice(AC, 0, AC.length);
    addHeads(gate, z, E, party === 0 ? add(C, D) : C, dims);
    addHeads(gate, z, A, D, dims);
    return { kind: 'share', x: z };
  }),
  clear(gate, [x, y], { dims }) {
    const z = zeros(gate.n, count(gate.shape, dims));
    addHeads(gate, z, reduce(x!.x, gate.n), reduce(y!.x, gate.n), dims);
    return { x: z };
  },
};
