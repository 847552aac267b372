/**
 * EXT-open: one opening from which every low-degree polynomial of v follows, exactly, in rings up to `lift`.
 *
 * With r = r_0 + r_1 mod 2^n, q its wrap bit and m its top bit, both parties learn c = v + 2^(n−2) + r mod 2^n. Let
 * b = 1 − msb(c) and C = c − 2^(n−2); then over the integers v = C − ρ_b, ρ_b = r − 2^n b m, and
 * [ρ_b]_i = r_i − 2^n [q + b m]_i.
 * Source: masked-suite design, section 1; specification open.py (`ext_*`).
 * Opened: c, masked by r uniform in Z_2^n, used once. Dealt: [q] and [q + m] in ring 2^(lift − n).
 * Precondition: −2^(n−2) ≤ v < 2^(n−2) (secret at run time: the plan's bounds must ensure it; the clear half refuses), n < lift.
 * Error: none. Cost: one round, n bits opened and 2 (lift − n) dealt a word.
 */
import { RefusedError } from '../../common/errors.ts';
import { add, addScalar, resize, select, toBigInts, topBit, zeros, type Words } from '../../ring/index.ts';
import { MAX_RING, cost, kinds, need, ringFits, scaleIs, shapeIs, share } from '../check.ts';
import type { ClearContext, GateDefinition } from '../gate.ts';
import { reduce } from '../layout.ts';
import type { ExtGate } from '../program.ts';
import { count, type Shape } from '../shape.ts';
import { bitsOf, everyElement } from './padding.ts';

const quarter = (n: number): bigint => 1n << BigInt(n - 2);

export const ext: GateDefinition<ExtGate> = {
  op: 'ext',
  type(gate, inputs) {
    const [v] = kinds(gate, inputs, ['share']);
    ringFits(gate, v.n, 'its input');
    shapeIs(gate, 'output', gate.shape, v.shape);
    scaleIs(gate, v.f);
    need(gate, gate.n >= 3, `ring ${gate.n} leaves no value in range`, 'open in a ring of at least 3 bits');
    need(
      gate,
      gate.n < gate.lift && gate.lift <= MAX_RING,
      `lift from ring ${gate.n} to ${gate.lift}`,
      `lift to a ring above ${gate.n} and at most ${MAX_RING}`,
    );
    return { kind: 'ext', n: gate.n, f: gate.f, shape: gate.shape, lift: gate.lift };
  },
  cost(gate, _, dims) {
    const words = count(gate.shape, dims);
    return cost({ rounds: 1, openedBits: gate.n * words, dealtBits: 2 * (gate.lift - gate.n) * words });
  },
  error: () => 0,
  deal(gate, _, context) {
    const length = count(gate.shape, context.dims);
    const [r0, r1] = ([0, 1] as const).map((party) => context.mask(gate, 'r', party, gate.n, length));
    const sum = add(resize(r0!, gate.n + 1), resize(r1!, gate.n + 1));
    const r = resize(sum, gate.n);
    const m = topBit(r);
    const q = resize(topBit(sum), gate.lift - gate.n);
    context.deal(gate, 'q', q);
    context.deal(gate, 'qm', add(q, resize(m, gate.lift - gate.n)));
    return { kind: 'ext', r, m };
  },
  *party(gate, inputs, context) {
    const v = reduce(share(inputs[0]), gate.n);
    const r = context.mask(gate, 'r', gate.n, v.length);
    const masked = add(v, r);
    const c = yield {
      n: gate.n,
      x: context.party === 0 ? addScalar(masked, quarter(gate.n)) : masked,
      reason: 'v + 2^(n−2) + r with r uniform in Z_2^n, used once',
    };
    const words = gate.lift - gate.n;
    return {
      kind: 'ext',
      c,
      r,
      q: context.dealt(gate, 'q', words, v.length),
      qm: context.dealt(gate, 'qm', words, v.length),
      lift: gate.lift,
    };
  },
  clear(gate, [v], context) {
    const x = reduce(v!.x, gate.n);
    inRange(gate.name, context.valid === undefined ? x : onlyValid(x, gate.shape, context));
    const opening = (): { c: Words; r: Words } => {
      const r = context.fourierMask(gate, gate.n, x.length);
      return { c: addScalar(add(x, r), quarter(gate.n)), r };
    };
    return { x, opening };
  },
};

/** Zeros for padding rows: what becomes of them is multiplied by 0. */
const onlyValid = (x: Words, shape: Shape, { dims, valid }: ClearContext): Words =>
  select(everyElement(bitsOf(valid!), shape, dims), x, zeros(x.n, x.length));

const magnitude = (word: bigint): bigint => (word < 0n ? -word : word);

/** Refuses a value outside [−2^(n−2), 2^(n−2)): there the shared run gives a random result without noticing. */
function inRange(name: string, x: Words): void {
  const outside = topBit(addScalar(x, quarter(x.n))).data.some((bit) => bit !== 0);
  if (!outside) return;
  const worst = toBigInts(x)
    .map((word) => BigInt.asIntN(x.n, word))
    .reduce((a, b) => (magnitude(b) > magnitude(a) ? b : a));
  throw new RefusedError(
    `gate ${name} (ext): value ${worst} is outside its range [${-quarter(x.n)}, ${quarter(x.n)}), ` +
      `${(Number(magnitude(worst)) / Number(quarter(x.n))).toFixed(2)} times the bound`,
    'calibrate with inputs like this one, or export with larger margins',
  );
}
