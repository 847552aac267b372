/**
 * Wires side by side: (rows, c_1), (rows, c_2), … → (rows, Σ c), shares or opened operands (which keep their masks). All stand at
 * the same scale, except a padding factor: an integer column of scale 0, whose weights stand at the scale of the product.
 * Source: the groups of hidden units, masked-suite design, section 2; bias rows times μ, section 3. Error: none. Cost: none.
 */
import type { Words } from '../../ring/index.ts';
import { LOCAL, dealtOperand, fixedCols, kinds, need, operand, opensNothing, ringFits, scaleIs, shapeIs, share } from '../check.ts'; // prettier-ignore
import type { GateDefinition } from '../gate.ts';
import { joinColumns, reduce } from '../layout.ts';
import type { ConcatGate, Resolved } from '../program.ts';
import { rowCount, type Dims } from '../shape.ts';

function join(gate: Resolved<ConcatGate>, parts: readonly Words[], dims: Dims): Words {
  const cols = gate.inShapes.map((shape) => fixedCols(gate, shape));
  const reduced = parts.map((x) => reduce(x, gate.n));
  return joinColumns(reduced, cols, rowCount(gate.shape.rows, dims));
}

export const concat: GateDefinition<ConcatGate> = {
  op: 'concat',
  type(gate, inputs) {
    need(gate, inputs.length > 0, 'joins nothing', 'give it inputs');
    const kind = inputs[0]!.kind === 'operand' ? 'operand' : 'share';
    kinds(gate, inputs, inputs.map(() => kind)); // prettier-ignore
    let cols = 0;
    for (const x of inputs) {
      ringFits(gate, x.n, 'an input');
      if (!(kind === 'operand' && x.f === 0 && x.shape.cols === 1)) scaleIs(gate, x.f);
      shapeIs(gate, 'input', x.shape, { rows: gate.shape.rows, cols: x.shape.cols });
      cols += fixedCols(gate, x.shape);
    }
    shapeIs(gate, 'output', gate.shape, { rows: gate.shape.rows, cols });
    return { kind, n: gate.n, f: gate.f, shape: gate.shape };
  },
  ...LOCAL,
  deal: (gate, inputs, { dims }) =>
    inputs[0]?.kind === 'operand'
      ? { kind: 'operand', A: join(gate, inputs.map(dealtOperand), dims) }
      : { kind: 'share' },
  ahead: (gate, inputs, { dims }) =>
    inputs.every((x) => x?.['A'] !== undefined) ? { A: join(gate, inputs.map((x) => x!['A']!), dims) } : {}, // prettier-ignore
  party: opensNothing((gate, inputs, { dims }, ahead) => {
    if (inputs[0]?.kind !== 'operand') return { kind: 'share', x: join(gate, inputs.map(share), dims) };
    const all = inputs.map(operand);
    const A = ahead?.['A'] ?? join(gate, all.map((x) => x.A), dims); // prettier-ignore
    return { kind: 'operand', E: join(gate, all.map((x) => x.E), dims), A }; // prettier-ignore
  }),
  clear: (gate, inputs, context) => ({
    x: join(
      gate,
      inputs.map(({ x }) => x),
      context.dims,
    ),
  }),
};
