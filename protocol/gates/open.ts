/**
 * Opening of an operand.
 *
 * Functionality: x becomes E + A with E public and A a mask shared between the parties; a linear function of x, or a product
 * of two operands, then needs no further opening, in any ring ≤ n. Local form of Beaver '91.
 * Source: masked-suite design, sections 1 and 10; specification open.py (`operand_send`).
 * Opened: E = x − A mod 2^n. A is uniform in the opened ring and used for this wire alone.
 * Precondition: n ≤ the ring of x (the words are reduced first). Error: none. Cost: one round, n bits a word.
 */
import { add, sub } from '../../ring/index.ts';
import { cost, kinds, ringFits, scaleIs, shapeIs, share } from '../check.ts';
import type { GateDefinition } from '../gate.ts';
import { reduce } from '../layout.ts';
import type { OpenGate } from '../program.ts';
import { count } from '../shape.ts';

export const open: GateDefinition<OpenGate> = {
  op: 'open',
  type(gate, inputs) {
    const [x] = kinds(gate, inputs, ['share']);
    ringFits(gate, x.n, 'its input');
    shapeIs(gate, 'output', gate.shape, x.shape);
    scaleIs(gate, x.f);
    return { kind: 'operand', n: gate.n, f: gate.f, shape: gate.shape };
  },
  cost: (gate, _, dims) => cost({ rounds: 1, openedBits: gate.n * count(gate.shape, dims) }),
  error: () => 0,
  deal(gate, _, context) {
    const length = count(gate.shape, context.dims);
    return {
      kind: 'operand',
      A: add(context.mask(gate, 'A', 0, gate.n, length), context.mask(gate, 'A', 1, gate.n, length)),
    };
  },
  ahead: (gate, _, context) => ({ A: context.mask(gate, 'A', gate.n, count(gate.shape, context.dims)) }),
  *party(gate, inputs, context, ahead) {
    const x = reduce(share(inputs[0]), gate.n);
    const A = ahead?.['A'] ?? context.mask(gate, 'A', gate.n, x.length);
    const E = yield { n: gate.n, x: sub(x, A), reason: 'x − A with A uniform in the opened ring, drawn for this wire' };
    return { kind: 'operand', E, A };
  },
  clear: (gate, [x]) => ({ x: reduce(x!.x, gate.n) }),
};
