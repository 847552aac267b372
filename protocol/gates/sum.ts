/**
 * Row sums: (rows, cols) → (rows, 1); the denominators of 2Quad.
 * Source: masked-suite design, section 4. Error: none. Cost: none.
 */
import { LOCAL, kinds, ringFits, scaleIs, shapeIs, share, shareWire, opensNothing } from '../check.ts';
import type { GateDefinition } from '../gate.ts';
import { reduce, sumColumns } from '../layout.ts';
import type { SumGate } from '../program.ts';

export const sum: GateDefinition<SumGate> = {
  op: 'sum',
  type(gate, inputs) {
    const [x] = kinds(gate, inputs, ['share']);
    ringFits(gate, x.n, 'its input');
    shapeIs(gate, 'output', gate.shape, { rows: x.shape.rows, cols: 1 });
    scaleIs(gate, x.f);
    return shareWire(gate);
  },
  ...LOCAL,
  party: opensNothing((gate, inputs, context) => ({
    kind: 'share',
    x: sumColumns(reduce(share(inputs[0]), gate.n), gate.inShapes[0]!, context.dims),
  })),
  clear: (gate, [x], context) => ({ x: sumColumns(reduce(x!.x, gate.n), gate.inShapes[0]!, context.dims) }),
};
