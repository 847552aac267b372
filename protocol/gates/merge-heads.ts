/**
 * (head, D) → (token, heads·D): the heads' outputs side by side; (headText, D) → (text, heads·D), where they lie so already.
 * Source: Vaswani et al. 2017, section 3.2.2. Error: none. Cost: none.
 */
import { LOCAL, fixedCols, kinds, ringFits, scaleIs, shapeIs, share, shareWire, opensNothing } from '../check.ts';
import type { GateDefinition } from '../gate.ts';
import { mergeHeads as merge, reduce } from '../layout.ts';
import type { MergeHeadsGate, Resolved } from '../program.ts';
import type { Dims } from '../shape.ts';
import type { Words } from '../../ring/index.ts';

function merged(gate: Resolved<MergeHeadsGate>, x: Words, dims: Dims): Words {
  const words = reduce(x, gate.n);
  return gate.shape.rows === 'text' ? words : merge(words, fixedCols(gate, gate.shape), dims);
}

export const mergeHeads: GateDefinition<MergeHeadsGate> = {
  op: 'mergeHeads',
  type(gate, inputs, _tensor, dims) {
    const [x] = kinds(gate, inputs, ['share']);
    const D = fixedCols(gate, x.shape);
    ringFits(gate, x.n, 'its input');
    const first = x.shape.rows === 'headText';
    shapeIs(gate, 'input', x.shape, { rows: first ? 'headText' : 'head', cols: D });
    shapeIs(gate, 'output', gate.shape, { rows: first ? 'text' : 'token', cols: D * dims.heads });
    scaleIs(gate, x.f);
    return shareWire(gate);
  },
  ...LOCAL,
  party: opensNothing((gate, inputs, { dims }) => ({ kind: 'share', x: merged(gate, share(inputs[0]), dims) })),
  clear: (gate, [x], { dims }) => ({ x: merged(gate, x!.x, dims) }),
};
