/**
 * Row 0 of every text, (token, H) → (text, H): the [CLS] row the pooler reads.
 * Source: Devlin et al. 2019, section 3. Error: none. Cost: none.
 */
import { LOCAL, fixedCols, kinds, ringFits, scaleIs, shapeIs, share, shareWire, opensNothing } from '../check.ts';
import type { GateDefinition } from '../gate.ts';
import { firstRows, reduce } from '../layout.ts';
import type { FirstTokenGate } from '../program.ts';

export const firstToken: GateDefinition<FirstTokenGate> = {
  op: 'firstToken',
  type(gate, inputs) {
    const [x] = kinds(gate, inputs, ['share']);
    const cols = fixedCols(gate, x.shape);
    ringFits(gate, x.n, 'its input');
    shapeIs(gate, 'input', x.shape, { rows: 'token', cols });
    shapeIs(gate, 'output', gate.shape, { rows: 'text', cols });
    scaleIs(gate, x.f);
    return shareWire(gate);
  },
  ...LOCAL,
  party: opensNothing((gate, inputs, { dims }) => {
    return {
      kind: 'share',
      x: firstRows(reduce(share(inputs[0]), gate.n), fixedCols(gate, gate.shape), 'token', dims),
    };
  }),
  clear: (gate, [x], { dims }) => ({ x: firstRows(reduce(x!.x, gate.n), fixedCols(gate, gate.shape), 'token', dims) }),
};
