/**
 * Wires side by side: (rows, c_1), (rows, c_2), … → (rows, Σ c). All stand at the same scale.
 * Source: the groups of hidden units, masked-suite design, section 2. Error: none. Cost: none.
 */
import type { Words } from '../../ring/index.ts';
import { LOCAL, fixedCols, kinds, need, ringFits, scaleIs, shapeIs, share, shareWire, opensNothing } from '../check.ts';
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
    kinds(gate, inputs, inputs.map(() => 'share' as const)); // prettier-ignore
    let cols = 0;
    for (const x of inputs) {
      ringFits(gate, x.n, 'an input');
      scaleIs(gate, x.f);
      shapeIs(gate, 'input', x.shape, { rows: gate.shape.rows, cols: x.shape.cols });
      cols += fixedCols(gate, x.shape);
    }
    shapeIs(gate, 'output', gate.shape, { rows: gate.shape.rows, cols });
    return shareWire(gate);
  },
  ...LOCAL,
  party: opensNothing((gate, inputs, context) => ({ kind: 'share', x: join(gate, inputs.map(share), context.dims) })),
  clear: (gate, inputs, context) => ({
    x: join(
      gate,
      inputs.map(({ x }) => x),
      context.dims,
    ),
  }),
};
