/**
 * Product of an EXT-opened value v (ring n) with an opened operand w = E + A, elementwise or with one word of w per row.
 *
 * v w = C E + C A − ρ_b E − (r A − b 2^n m A); party 0 folds the first term into the second: C (E + A_0).
 * Source: masked-suite design, section 1; specification product.py.
 * Dealt beyond the lift: [r A] in ring N and [m A] in ring N − n, a word an element of v.
 * Precondition: |v| < 2^(n−2) (held by EXT), n < N ≤ lift, N ≤ ring of w. Error: none. Cost: no round; two products a word.
 */
import { addRows, mul, mulRows, productShare, resize, select, zeros, type Words } from '../../ring/index.ts';
import {
  cost,
  dealtExt,
  dealtOperand,
  ext,
  kinds,
  need,
  operand,
  ringFits,
  scaleIs,
  shapeIs,
  shareWire,
  opensNothing,
} from '../check.ts';
import type { Cost, GateDefinition, WireType } from '../gate.ts';
import { byRow, reduce, signExtend } from '../layout.ts';
import type { OuterGate, ProductGate, Resolved } from '../program.ts';
import { count, type Dims } from '../shape.ts';

const times = (gate: Resolved<ProductGate>, x: Words, w: Words, dims: Dims): Words =>
  gate.broadcast === 'row' ? byRow(mulRows, x, w, gate.shape, dims) : mul(x, w);

/** One word per row, repeated along the row. */
const spread = (gate: Resolved<ProductGate>, w: Words, dims: Dims): Words =>
  gate.broadcast === 'row' ? byRow(addRows, zeros(w.n, count(gate.shape, dims)), w, gate.shape, dims) : w;

/** A product of an EXT-opened value and an opened operand, whatever the shapes that they meet in. */
type AnyProduct = Resolved<ProductGate | OuterGate>;

/** Preconditions on the rings and scales of both factors. @throws PlanError naming the gate and the rings */
export function checkFactors(gate: AnyProduct, v: WireType, w: WireType): void {
  ringFits(gate, v.lift!, 'the lift of its first input');
  ringFits(gate, w.n, 'its operand');
  need(
    gate,
    gate.n > v.n,
    `ring ${gate.n} is not above ring ${v.n} of its first input`,
    `multiply in a ring of at least ${v.n + 1} bits`,
  );
  scaleIs(gate, v.f + w.f);
}

/** [r A] in ring N and [m A] in ring N − n dealt, two products, for each word of the output. */
export function productCost(gate: AnyProduct, v: WireType, dims: Dims): Cost {
  const words = count(gate.shape, dims);
  return cost({ dealtBits: (2 * gate.n - v.n) * words, party: 2 * words, assistant: words });
}

export const product: GateDefinition<ProductGate> = {
  op: 'product',
  type(gate, inputs) {
    const [v, w] = kinds(gate, inputs, ['ext', 'operand']);
    checkFactors(gate, v, w);
    shapeIs(gate, 'output', gate.shape, v.shape);
    shapeIs(gate, 'operand', w.shape, gate.broadcast === 'row' ? { rows: v.shape.rows, cols: 1 } : v.shape);
    return shareWire(gate);
  },
  cost: (gate, [v], dims) => productCost(gate, v!, dims),
  error: () => 0,
  deal(gate, inputs, context) {
    const { r, m } = dealtExt(inputs[0]);
    const A = dealtOperand(inputs[1]);
    context.deal(gate, 'rA', times(gate, resize(r, gate.n), reduce(A, gate.n), context.dims));
    const low = spread(gate, reduce(A, gate.n - r.n), context.dims);
    context.deal(gate, 'mA', select(m, low, zeros(low.n, low.length)));
    return { kind: 'share' };
  },
  party: opensNothing((gate, inputs, context) => {
    const v = ext(inputs[0]);
    const w = operand(inputs[1]);
    const { n, length } = v.c;
    const rA = context.dealt(gate, 'rA', gate.n, length);
    const mA = context.dealt(gate, 'mA', gate.n - n, length);
    // A word of the operand serves a row, whose length is one number unless the columns are the keys of each text.
    const byKeys = gate.broadcast === 'row' && gate.shape.cols === 'keys';
    const [E, A] = byKeys ? [spread(gate, w.E, context.dims), spread(gate, w.A, context.dims)] : [w.E, w.A];
    const cols = gate.broadcast === 'row' && gate.shape.cols !== 'keys' ? gate.shape.cols : 1;
    return { kind: 'share', x: productShare(context.party, v, { E, A }, mA, rA, cols) };
  }),
  clear: (gate, [v, w], context) => ({
    x: times(gate, signExtend(v!.x, gate.n), reduce(w!.x, gate.n), context.dims),
  }),
};
