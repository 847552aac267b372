/**
 * An ext wire as additive shares of the same integer in a larger ring: [v]_i = C − [ρ_b]_i, party 0 alone adding C.
 * Source: masked-suite design, section 1; specification open.py (`ext_lift`).
 * Precondition: ring of v < n ≤ lift. Error: none. Cost: none.
 */
import { extShare } from '../../ring/index.ts';
import { LOCAL, ext, kinds, need, opensNothing, ringFits, scaleIs, shapeIs, shareWire } from '../check.ts';
import type { GateDefinition } from '../gate.ts';
import { signExtend } from '../layout.ts';
import type { LiftGate } from '../program.ts';

export const lift: GateDefinition<LiftGate> = {
  op: 'lift',
  type(gate, inputs) {
    const [v] = kinds(gate, inputs, ['ext']);
    ringFits(gate, v.lift!, 'the lift of its input');
    need(
      gate,
      gate.n > v.n,
      `ring ${gate.n} is not above ring ${v.n} of its input`,
      `lift to a ring of at least ${v.n + 1} bits`,
    );
    shapeIs(gate, 'output', gate.shape, v.shape);
    scaleIs(gate, v.f);
    return shareWire(gate);
  },
  ...LOCAL,
  party: opensNothing((gate, inputs, { party }) => ({ kind: 'share', x: extShare(party, ext(inputs[0]), gate.n) })),
  clear: (gate, [v]) => ({ x: signExtend(v!.x, gate.n) }),
};
