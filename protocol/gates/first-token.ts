/**
 * Row 0 of every text, (token, H) → (text, H): the [CLS] row, of shares or of an opened operand (whose mask it keeps: the same
 * wire, the same A).
 * Source: Devlin et al. 2019, section 3; masked-suite design, section 9 (only that row of the last layer is needed).
 * Error: none. Cost: none.
 */
import { LOCAL, dealtOperand, fixedCols, kinds, operand, opensNothing, ringFits, scaleIs, shapeIs, share } from '../check.ts'; // prettier-ignore
import type { GateDefinition } from '../gate.ts';
import { firstRows, reduce } from '../layout.ts';
import type { FirstTokenGate, Resolved } from '../program.ts';
import type { Dims } from '../shape.ts';
import type { Words } from '../../ring/index.ts';

const first = (gate: Resolved<FirstTokenGate>, x: Words, dims: Dims): Words =>
  firstRows(reduce(x, gate.n), fixedCols(gate, gate.shape), 'token', dims);

export const firstToken: GateDefinition<FirstTokenGate> = {
  op: 'firstToken',
  type(gate, inputs) {
    const kind = inputs[0]?.kind === 'operand' ? 'operand' : 'share';
    const [x] = kinds(gate, inputs, [kind]);
    const cols = fixedCols(gate, x.shape);
    ringFits(gate, x.n, 'its input');
    shapeIs(gate, 'input', x.shape, { rows: 'token', cols });
    shapeIs(gate, 'output', gate.shape, { rows: 'text', cols });
    scaleIs(gate, x.f);
    return { kind, n: gate.n, f: gate.f, shape: gate.shape };
  },
  ...LOCAL,
  deal: (gate, [x], { dims }) =>
    x?.kind === 'operand' ? { kind: 'operand', A: first(gate, dealtOperand(x), dims) } : { kind: 'share' },
  ahead: (gate, [x], { dims }) => (x?.['A'] === undefined ? {} : { A: first(gate, x['A'], dims) }),
  party: opensNothing((gate, [x], { dims }, ahead) => {
    if (x?.kind !== 'operand') return { kind: 'share', x: first(gate, share(x), dims) };
    const { E, A } = operand(x);
    return { kind: 'operand', E: first(gate, E, dims), A: ahead?.['A'] ?? first(gate, A, dims) };
  }),
  clear: (gate, [x], { dims }) => ({ x: first(gate, x!.x, dims) }),
};
