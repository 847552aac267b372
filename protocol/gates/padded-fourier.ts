/**
 * Fourier gate times an opened factor: μ·y, y as of `fourier`, for LayerNorms whose padding rows must become 0.
 *
 *   μ y = Σ_k coef_k(c) (E [T_k] + [T_k A]) + a0 (E + [A]),   μ = E + A
 *
 * Source: specification fourier.py (`deal_masked`, `party_masked`). Exact for any integer μ; 0 gives exactly 0.
 * Opened: c, masked by r uniform in Z_2^b, used once. Dealt: [T] and [T A], 4K words in ring n a word of x.
 * Precondition: as of `fourier`, and n ≤ ring of μ. Error: |μ| times that of `fourier`. Cost: one round, b bits a word opened.
 */
import { add, addScalar, fourierDot, fourierSecret, mul, mulRows, zeros, type Words } from '../../ring/index.ts';
import { cost, dealtOperand, kinds, operand, ringFits, shapeIs, share, shareWire } from '../check.ts';
import type { GateDefinition } from '../gate.ts';
import { reduce } from '../layout.ts';
import type { FourierGate, PaddedFourierGate, Resolved } from '../program.ts';
import { count } from '../shape.ts';
import { fourier, trigSpec } from './fourier.ts';

/** The gate without its factor: the same table, the same checks. */
const plain = (gate: Resolved<PaddedFourierGate>): Resolved<FourierGate> => ({ ...gate, op: 'fourier' });

const constant = (value: bigint, n: number, length: number): Words => addScalar(zeros(n, length), value);

export const paddedFourier: GateDefinition<PaddedFourierGate> = {
  op: 'paddedFourier',
  type(gate, inputs, tensor, dims) {
    const [x, mu] = kinds(gate, inputs, ['share', 'operand']);
    ringFits(gate, mu.n, 'its factor');
    shapeIs(gate, 'factor', mu.shape, x.shape);
    // under this gate's own name
    fourier.type(gate as unknown as Resolved<FourierGate>, [x], tensor, dims);
    return shareWire(gate);
  },
  cost(gate, _, dims) {
    const words = count(gate.shape, dims);
    const harmonics = 2 * gate.table.a.length * words;
    return cost({
      rounds: 1,
      openedBits: gate.table.b * words,
      dealtBits: 2 * harmonics * gate.n,
      party: 2 * harmonics + 2 * words,
      assistant: harmonics,
    });
  },
  error: (gate) => fourier.error(plain(gate)),
  deal(gate, inputs, context) {
    const { b, a } = gate.table;
    const length = count(gate.shape, context.dims);
    const r = add(context.mask(gate, 'r', 0, b, length), context.mask(gate, 'r', 1, b, length));
    const T = fourierSecret(r, trigSpec(gate.table, context.trig(b)), gate.n);
    context.deal(gate, 'T', T);
    context.deal(gate, 'TA', mulRows(T, reduce(dealtOperand(inputs[1]), gate.n), 2 * a.length));
    return { kind: 'share' };
  },
  *party(gate, inputs, context) {
    const { b, a, a0 } = gate.table;
    const x = reduce(share(inputs[0]), b);
    const r = context.mask(gate, 'r', b, x.length);
    const c = yield { n: b, x: add(x, r), reason: 'x + r with r uniform modulo the period, used once' };
    const mu = operand(inputs[1]);
    const [E, A] = [reduce(mu.E, gate.n), reduce(mu.A, gate.n)];
    const spec = trigSpec(gate.table, context.trig(b));
    const words = 2 * a.length * c.length;
    const y = fourierDot(c, context.dealt(gate, 'T', gate.n, words), spec, gate.n);
    const yA = fourierDot(c, context.dealt(gate, 'TA', gate.n, words), spec, gate.n);
    const own = context.party === 0 ? addScalar(y, BigInt(a0)) : y;
    return { kind: 'share', x: add(add(mul(E, own), yA), mul(A, constant(BigInt(a0), gate.n, c.length))) };
  },
  clear(gate, [x, mu], context) {
    const y = fourier.clear(plain(gate), [x!], context).x;
    return { x: mul(y, reduce(mu!.x, gate.n)) };
  },
};
