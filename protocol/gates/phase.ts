/**
 * Opening of a value modulo 2^n: both parties learn c = x + r mod 2^n. Fourier gates of any period 2^b, b ≤ n, and guards read
 * it; a Fourier gate that nothing guards opens its input itself.
 * Source: masked-suite design, sections 1 (Fourier gate) and 8 (Guard).
 * Opened: c, masked by r uniform in Z_2^n, used once. Precondition: n ≤ ring of x. Error: none. Cost: one round, n bits a word.
 */
import { add, type Words } from '../../ring/index.ts';
import { cost, kinds, ringFits, scaleIs, shapeIs, share } from '../check.ts';
import type { GateDefinition } from '../gate.ts';
import { reduce } from '../layout.ts';
import type { PhaseGate } from '../program.ts';
import { count } from '../shape.ts';

export const phase: GateDefinition<PhaseGate> = {
  op: 'phase',
  type(gate, inputs) {
    const [x] = kinds(gate, inputs, ['share']);
    ringFits(gate, x.n, 'its input');
    shapeIs(gate, 'output', gate.shape, x.shape);
    scaleIs(gate, x.f);
    return { kind: 'phase', n: gate.n, f: gate.f, shape: gate.shape };
  },
  cost: (gate, _, dims) => cost({ rounds: 1, openedBits: gate.n * count(gate.shape, dims) }),
  error: () => 0,
  deal(gate, _, context) {
    const length = count(gate.shape, context.dims);
    const [r0, r1] = ([0, 1] as const).map((party) => context.mask(gate, 'r', party, gate.n, length));
    return { kind: 'phase', r: add(r0!, r1!) };
  },
  *party(gate, inputs, context) {
    const x = reduce(share(inputs[0]), gate.n);
    const r = context.mask(gate, 'r', gate.n, x.length);
    const c = yield { n: gate.n, x: add(x, r), reason: 'x + r with r uniform in Z_2^n, used once' };
    return { kind: 'phase', c };
  },
  clear(gate, inputs, context) {
    const x = reduce(inputs[0]!.x, gate.n);
    const opening = (): { c: Words; r: Words } => {
      const r = context.fourierMask(gate, gate.n, x.length);
      return { c: add(x, r), r };
    };
    return { x, opening };
  },
};
