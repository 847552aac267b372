/**
 * Square of an EXT-opened value, or the sum of squares of every row.
 *
 * v² = C² − 2 C ρ_b + r² + b 2^(n+1) δ,  δ = m (2^(n−1) − r).
 * Source: masked-suite design, section 1; specification square.py.
 * Dealt beyond the lift: [r²] in ring N, a word an element (rowSum: a row), and [δ] in ring 2^(N−n−1), a word an element.
 * Precondition: |v| < 2^(n−2) (held by EXT), n + 2 ≤ N ≤ lift. Error: none. Cost: no round; C (C − 2 ρ) is one product a word.
 */
import { add, addScalar, mul, neg, resize, select, squareShare, zeros } from '../../ring/index.ts';
import { cost, dealtExt, ext, kinds, need, ringFits, scaleIs, shapeIs, shareWire, opensNothing } from '../check.ts';
import type { GateDefinition } from '../gate.ts';
import { signExtend, sumColumns } from '../layout.ts';
import type { SquareGate } from '../program.ts';
import { count, rowCount, type Shape } from '../shape.ts';

const outputShape = (shape: Shape, rowSum: boolean): Shape => (rowSum ? { rows: shape.rows, cols: 1 } : shape);

export const square: GateDefinition<SquareGate> = {
  op: 'square',
  type(gate, inputs) {
    const [v] = kinds(gate, inputs, ['ext']);
    ringFits(gate, v.lift!, 'the lift of its input');
    need(
      gate,
      gate.n >= v.n + 2,
      `ring ${gate.n} is below ring ${v.n} of its input + 2`,
      `square into a ring of at least ${v.n + 2} bits`,
    );
    shapeIs(gate, 'output', gate.shape, outputShape(v.shape, gate.rowSum));
    scaleIs(gate, 2 * v.f);
    return shareWire(gate);
  },
  cost(gate, [v], dims) {
    const words = count(v!.shape, dims);
    const sums = gate.rowSum ? rowCount(v!.shape.rows, dims) : words;
    return cost({ dealtBits: gate.n * sums + (gate.n - v!.n - 1) * words, party: words, assistant: words });
  },
  error: () => 0,
  deal(gate, inputs, context) {
    const { r, m } = dealtExt(inputs[0]);
    const wide = resize(r, gate.n);
    const squares = mul(wide, wide);
    context.deal(gate, 'r2', gate.rowSum ? sumColumns(squares, gate.inShapes[0]!, context.dims) : squares);
    // δ in ring N−n−1 may be wider or narrower than r: the difference is taken where both fit, then reduced.
    const delta = resize(addScalar(neg(resize(r, gate.n)), 1n << BigInt(r.n - 1)), gate.n - r.n - 1);
    context.deal(gate, 'delta', select(m, delta, zeros(delta.n, delta.length)));
    return { kind: 'share' };
  },
  party: opensNothing((gate, inputs, context) => {
    const value = ext(inputs[0]);
    const delta = context.dealt(gate, 'delta', gate.n - value.c.n - 1, value.c.length);
    const z = squareShare(context.party, value, delta, gate.n);
    const sum = gate.rowSum ? sumColumns(z, gate.inShapes[0]!, context.dims) : z;
    return { kind: 'share', x: add(sum, context.dealt(gate, 'r2', gate.n, sum.length)) };
  }),
  clear(gate, [v], context) {
    const x = signExtend(v!.x, gate.n);
    const squares = mul(x, x);
    return { x: gate.rowSum ? sumColumns(squares, gate.inShapes[0]!, context.dims) : squares };
  },
};
