/**
 * Products of a text's row with a word a token: y_jh = v_h w_j of an EXT-opened v (text, C) and an opened operand w (token, 1).
 * The same formula as `product`, the row serving every token of its text:
 *
 *   v_h w_j = C_h E_j + C_h A_j − ρ_h E_j − (r_h A_j − b_h 2^n m_h A_j)
 *
 * Source: masked-suite design, section 1; specification product.py, for (v_h, w_j) elementwise.
 * Dealt beyond the lift: [r_h A_j] in ring N and [m_h A_j] in ring N − n, a word an output.
 * Precondition: as of `product`. Error: none; exactly 0 where w_j is. Cost: no round; two products a word.
 */
import { addRows, gather, mulRows, productShare, resize, select, zeros, type Words } from '../../ring/index.ts';
import { dealtExt, dealtOperand, ext, fixedCols, kinds, operand, opensNothing, shapeIs, shareWire } from '../check.ts'; // prettier-ignore
import type { GateDefinition } from '../gate.ts';
import { reduce, signExtend } from '../layout.ts';
import type { OuterGate, Resolved } from '../program.ts';
import { blocks, count, type Dims } from '../shape.ts';
import { checkFactors, productCost } from './product.ts';

type Outer = Resolved<OuterGate>;

/** Where every output finds its word of v: the row of its text, again for every token. */
function rowOfText(gate: Outer, dims: Dims): Uint32Array {
  const index = new Uint32Array(count(gate.shape, dims));
  blocks(gate.shape, dims).forEach(({ offset, rows, cols }, text) => {
    for (let i = 0; i < rows * cols; i++) index[offset + i] = text * cols + (i % cols);
  });
  return index;
}

const times = (gate: Outer, v: Words, w: Words, dims: Dims): Words =>
  mulRows(gather(v, rowOfText(gate, dims)), w, fixedCols(gate, gate.shape));

export const outer: GateDefinition<OuterGate> = {
  op: 'outer',
  type(gate, inputs) {
    const [v, w] = kinds(gate, inputs, ['ext', 'operand']);
    const cols = fixedCols(gate, v.shape);
    checkFactors(gate, v, w);
    shapeIs(gate, 'first input', v.shape, { rows: 'text', cols });
    shapeIs(gate, 'operand', w.shape, { rows: 'token', cols: 1 });
    shapeIs(gate, 'output', gate.shape, { rows: 'token', cols });
    return shareWire(gate);
  },
  cost: (gate, [v], dims) => productCost(gate, v!, dims),
  error: () => 0,
  deal(gate, inputs, context) {
    const { dims } = context;
    const { r, m } = dealtExt(inputs[0]);
    const A = dealtOperand(inputs[1]);
    context.deal(gate, 'rA', times(gate, resize(r, gate.n), reduce(A, gate.n), dims));
    const cols = fixedCols(gate, gate.shape);
    const none = zeros(gate.n - r.n, count(gate.shape, dims));
    const low = addRows(none, reduce(A, none.n), cols);
    context.deal(gate, 'mA', select(gather(m, rowOfText(gate, dims)), low, none));
    return { kind: 'share' };
  },
  party: opensNothing((gate, inputs, context) => {
    const { lift, ...v } = ext(inputs[0]);
    const { E, A } = operand(inputs[1]);
    const rows = rowOfText(gate, context.dims);
    const each = { c: gather(v.c, rows), r: gather(v.r, rows), q: gather(v.q, rows), qm: gather(v.qm, rows), lift };
    const rA = context.dealt(gate, 'rA', gate.n, rows.length);
    const mA = context.dealt(gate, 'mA', gate.n - v.c.n, rows.length);
    return { kind: 'share', x: productShare(context.party, each, { E, A }, mA, rA, fixedCols(gate, gate.shape)) };
  }),
  clear: (gate, [v, w], { dims }) => ({ x: times(gate, signExtend(v!.x, gate.n), reduce(w!.x, gate.n), dims) }),
};
