/**
 * Linear map of an opened operand x = E + A with a weight W = F + B under a static mask; elementwise: one weight a column.
 *
 * [x W]_i = E V_i + A_i F + [A B]_i with V_0 = F + B_0, V_1 = B_1: E F + E B + A F + A B in all.
 * Source: masked-suite design, sections 2 and 4; specification linear.py (`static_*`).
 * F is known to the parties and never to the assistant, B to the assistant; B is drawn per model version, A per wire.
 * Opened: nothing. Dealt: [A B] in ring n, a word an output. Precondition: n ≤ ring of x, n ≤ ring of W. Error: none.
 * Cost: no round; each party two matrix products, the assistant one.
 */
import { add, isPacked, mulCols, times, type Factor, type Words } from '../../ring/index.ts';
import {
  cost,
  dealtOperand,
  fixedCols,
  kinds,
  operand,
  ringFits,
  shapeIs,
  shareWire,
  tensorIs,
  opensNothing,
} from '../check.ts';
import type { GateDefinition, PartyContext } from '../gate.ts';
import { reduce } from '../layout.ts';
import type { LinearGate, Resolved, TensorSpec } from '../program.ts';
import { count } from '../shape.ts';

function apply(gate: Resolved<LinearGate>, x: Words, W: Factor, { rows, cols }: TensorSpec): Words {
  if (!gate.elementwise) return times(x, W, x.length / rows, rows, cols);
  if (isPacked(W)) throw new Error(`gate ${gate.name}: its weights are a row, not a packed matrix`);
  return mulCols(x, W);
}

/** A_i F: half of a party's work here, and known before x is. */
const maskTimes = (gate: Resolved<LinearGate>, A: Words, context: PartyContext): Words =>
  apply(gate, reduce(A, gate.n), context.weight(gate.tensor, gate.n).F, context.tensor(gate.tensor));

export const linear: GateDefinition<LinearGate> = {
  op: 'linear',
  type(gate, inputs, tensor) {
    const [x] = kinds(gate, inputs, ['operand']);
    const spec = tensor(gate.tensor);
    const width = fixedCols(gate, x.shape);
    ringFits(gate, x.n, 'its operand');
    ringFits(gate, spec.n, `tensor ${gate.tensor}`);
    tensorIs(gate, gate.tensor, spec, 'masked', gate.elementwise ? 1 : width, gate.elementwise ? width : spec.cols);
    shapeIs(gate, 'output', gate.shape, { rows: x.shape.rows, cols: spec.cols });
    return shareWire(gate);
  },
  cost(gate, _, dims, tensor) {
    const words = count(gate.shape, dims);
    const products = gate.elementwise ? words : words * tensor(gate.tensor).rows;
    return cost({ dealtBits: gate.n * words, party: 2 * products, assistant: products });
  },
  error: () => 0,
  deal(gate, inputs, context) {
    const A = reduce(dealtOperand(inputs[0]), gate.n);
    const spec = context.tensor(gate.tensor);
    context.deal(gate, 'AB', apply(gate, A, context.maskedWeight(gate.tensor, gate.n), spec));
    return { kind: 'share' };
  },
  ahead: (gate, [x], context) => ({ ...(x?.['A'] === undefined ? {} : { AF: maskTimes(gate, x['A'], context) }) }),
  party: opensNothing((gate, inputs, context, ahead) => {
    const { E, A } = operand(inputs[0]);
    const { V } = context.weight(gate.tensor, gate.n);
    const EV = apply(gate, reduce(E, gate.n), V, context.tensor(gate.tensor));
    const AF = ahead?.['AF'] ?? maskTimes(gate, A, context);
    return { kind: 'share', x: add(add(EV, AF), context.dealt(gate, 'AB', gate.n, EV.length)) };
  }),
  clear: (gate, [x], context) => ({
    x: apply(gate, reduce(x!.x, gate.n), context.weight(gate.tensor, gate.n), context.tensor(gate.tensor)),
  }),
};
