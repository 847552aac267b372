/**
 * (head, D) → (token, heads·D): the heads' outputs side by side.
 * Source: Vaswani et al. 2017, section 3.2.2. Error: none. Cost: none.
 */
import { LOCAL, fixedCols, kinds, ringFits, scaleIs, shapeIs, share, shareWire, opensNothing } from '../check.ts';
import type { GateDefinition } from '../gate.ts';
import { mergeHeads as merge, reduce } from '../layout.ts';
import type { MergeHeadsGate } from '../program.ts';

export const mergeHeads: GateDefinition<MergeHeadsGate> = {
  op: 'mergeHeads',
  type(gate, inputs, _tensor, dims) {
    const [x] = kinds(gate, inputs, ['share']);
    const D = fixedCols(gate, x.shape);
    ringFits(gate, x.n, 'its input');
    shapeIs(gate, 'input', x.shape, { rows: 'head', cols: D });
    shapeIs(gate, 'output', gate.shape, { rows: 'token', cols: D * dims.heads });
    scaleIs(gate, x.f);
    return shareWire(gate);
  },
  ...LOCAL,
  party: opensNothing((gate, inputs, { dims }) => ({
    kind: 'share',
    x: merge(reduce(share(inputs[0]), gate.n), fixedCols(gate, gate.shape), dims),
  })),
  clear: (gate, [x], { dims }) => ({ x: merge(reduce(x!.x, gate.n), fixedCols(gate, gate.shape), dims) }),
};
