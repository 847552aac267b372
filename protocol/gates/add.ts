/**
 * x + y or x − y modulo the smaller ring. Both stand at the same scale; y may have one column, then it acts on every column.
 * Source: additive shares; specification program.py (`add`). Error: none. Cost: none.
 */
import { addRows, neg, type Words } from '../../ring/index.ts';
import { LOCAL, kinds, ringFits, scaleIs, shapeIs, share, shareWire, opensNothing } from '../check.ts';
import type { GateDefinition } from '../gate.ts';
import { byRow, plus, reduce } from '../layout.ts';
import type { AddGate, Resolved } from '../program.ts';
import type { Dims } from '../shape.ts';

export const add: GateDefinition<AddGate> = {
  op: 'add',
  type(gate, inputs) {
    const [x, y] = kinds(gate, inputs, ['share', 'share']);
    for (const input of [x, y]) {
      ringFits(gate, input.n, 'an input');
      scaleIs(gate, input.f);
    }
    shapeIs(gate, 'first input', x.shape, gate.shape);
    shapeIs(gate, 'second input', y.shape, y.shape.cols === 1 ? { rows: gate.shape.rows, cols: 1 } : gate.shape);
    return shareWire(gate);
  },
  ...LOCAL,
  party: opensNothing((gate, inputs, { dims }) => {
    const [x, y] = inputs.map((input) => share(input));
    return { kind: 'share', x: combine(gate, x!, y!, dims) };
  }),
  clear: (gate, [x, y], { dims }) => ({ x: combine(gate, x!.x, y!.x, dims) }),
};

function combine(gate: Resolved<AddGate>, x: Words, y: Words, dims: Dims): Words {
  const [a, b] = [reduce(x, gate.n), reduce(y, gate.n)];
  if (a.length === b.length) return plus(a, b, gate.sign);
  return byRow(addRows, a, gate.sign === 1 ? b : neg(b), gate.shape, dims);
}
