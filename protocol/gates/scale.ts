/**
 * x · k with a small public integer k.
 * Source: masked-suite design, section 5 (the factor that fits a period to its interval). Precondition: |k| < 2^31.
 * Error: none. Cost: none.
 */
import { scale as times } from '../../ring/index.ts';
import { LOCAL, kinds, need, ringFits, shapeIs, share, shareWire, opensNothing } from '../check.ts';
import type { GateDefinition } from '../gate.ts';
import { reduce } from '../layout.ts';
import type { ScaleGate } from '../program.ts';

export const scale: GateDefinition<ScaleGate> = {
  op: 'scale',
  type(gate, inputs) {
    const [x] = kinds(gate, inputs, ['share']);
    need(
      gate,
      Number.isInteger(gate.by) && Math.abs(gate.by) < 2 ** 31,
      `factor ${gate.by}`,
      'use an integer below 2^31',
    );
    ringFits(gate, x.n, 'its input');
    shapeIs(gate, 'output', gate.shape, x.shape);
    return shareWire(gate);
  },
  ...LOCAL,
  party: opensNothing((gate, inputs) => ({ kind: 'share', x: times(reduce(share(inputs[0]), gate.n), gate.by) })),
  clear: (gate, [x]) => ({ x: times(reduce(x!.x, gate.n), gate.by) }),
};
