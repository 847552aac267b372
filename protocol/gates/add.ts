/**
 * x + y or x − y modulo the smaller ring. Both stand at the same scale.
 * Source: additive shares; specification program.py (`add`). Error: none. Cost: none.
 */
import { LOCAL, kinds, ringFits, scaleIs, shapeIs, share, shareWire } from '../check.ts';
import type { GateDefinition } from '../gate.ts';
import { plus, reduce } from '../layout.ts';
import type { AddGate } from '../program.ts';

export const add: GateDefinition<AddGate> = {
  op: 'add',
  type(gate, inputs) {
    for (const x of kinds(gate, inputs, ['share', 'share'])) {
      ringFits(gate, x.n, 'an input');
      shapeIs(gate, 'input', x.shape, gate.shape);
      scaleIs(gate, x.f);
    }
    return shareWire(gate);
  },
  ...LOCAL,
  *party(gate, inputs) {
    const [x, y] = inputs.map((input) => reduce(share(input), gate.n));
    return { kind: 'share', x: plus(x!, y!, gate.sign) };
  },
  clear: (gate, [x, y]) => ({ x: plus(reduce(x!.x, gate.n), reduce(y!.x, gate.n), gate.sign) }),
};
