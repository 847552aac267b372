/**
 * Fourier gate: y = a0 + Σ_k a_k cos(2πkx / 2^b) + b_k sin(2πkx / 2^b) of a value known modulo its period 2^b.
 *
 * Both parties learn c = x + r mod 2^b and compute from integer tables, bit for bit alike, A_k = a_k cos kc + b_k sin kc and
 * B_k = a_k sin kc − b_k cos kc; then [y] = a0 + Σ_k A_k [cos kr] + B_k [sin kr], party 0 alone adding a0.
 * The input is a share wire, which the gate opens itself, or a phase wire already open modulo 2^n, n ≥ b: c and r modulo 2^b do.
 * Source: masked-suite design, section 1 (Fourier gate); specification fourier.py, README for the rounding points.
 * Opened: c, masked by r uniform in Z_2^b, used once. Dealt: [cos kr], [sin kr] at 2^g1, 2K words in ring n a word of x.
 * The result stands at scale 2^(g1+g2) in ring n = n_out + t, t = g1 + g2 − f_out; a truncation by t follows.
 * Precondition: b ≤ ring of x; x inside the fitted interval (outside: bounded garbage); both parties hold the same integers
 * (`checkProgram` compares their digest). Error: `fourierError`, on top of the fit's own.
 * Cost: one round, b bits opened (none on a phase wire) and 2 K n dealt a word; 2 K products a word.
 */
import { add, addScalar, blank, fourierDot, fourierSecret, view, type TrigSpec, type Words } from '../../ring/index.ts';
import { MAX_RING, cost, fixedCols, kinds, need, scaleIs, shapeIs, share, shareWire } from '../check.ts';
import type { GateDefinition } from '../gate.ts';
import { columns, reduce } from '../layout.ts';
import type { FourierGate, FourierTable, Resolved, TrigTable } from '../program.ts';
import { count } from '../shape.ts';

/** Fraction bits of the trig table. */
export const TRIG_BITS = 28;

const specs = new WeakMap<FourierTable, { readonly trig: TrigTable; readonly spec: TrigSpec }>();

/** Table and trig table as the integers of the kernels, made once per table. */
export function trigSpec(table: FourierTable, trig: TrigTable): TrigSpec {
  const made = specs.get(table);
  if (made?.trig === trig) return made.spec;
  const spec = integersOf(table, trig);
  specs.set(table, { trig, spec });
  return spec;
}

const integersOf = (table: FourierTable, trig: TrigTable): TrigSpec => ({
  b: table.b,
  l: trig.l,
  hiCos: Int32Array.from(trig.hiCos),
  hiSin: Int32Array.from(trig.hiSin),
  loCos: Int32Array.from(trig.loCos),
  loSin: Int32Array.from(trig.loSin),
  a: BigInt64Array.from(table.a, BigInt),
  bk: BigInt64Array.from(table.bk, BigInt),
  g1: table.g1,
  g2: table.g2,
});

/** Bits to truncate the result by. */
export const fourierDrop = ({ g1, g2, fOut }: FourierTable): number => g1 + g2 - fOut;

/** Largest |y / 2^(g1+g2) − fitted function| over all x and r (specification fourier.py, `error_bound`). */
export function fourierError({ a, bk, g1, g2 }: FourierTable): number {
  const trig = 3 * 2 ** -(TRIG_BITS + 1); // of one integer cosine or sine
  const pairs = a.map((ak, k) => [Number(ak), Number(bk[k])] as const);
  const amplitude = pairs.reduce((sum, [x, y]) => sum + Math.hypot(x, y), 0) / 2 ** g2;
  const absolute = pairs.reduce((sum, [x, y]) => sum + Math.abs(x) + Math.abs(y), 0) / 2 ** g2;
  const coefficients = 2 * a.length * 2 ** -(g2 + 1) + 2 * absolute * trig;
  const secret = 2 ** -(g1 + 1) + trig;
  return coefficients * (1 + secret) + 2 * amplitude * secret;
}

const magnitude = (v: string): bigint => BigInt(v.replace('-', ''));

/** Words of T made or read at a time: they stay in the processor's cache between two steps. */
const STRETCH_WORDS = 1 << 14;

/** Elements whose 2K words make a stretch, a multiple of eight. */
const stretchOf = (K2: number): number => 8 * Math.max(1, Math.floor(STRETCH_WORDS / (8 * K2)));

/** `fourierDot` of all of c with the words that `read` gives. */
function sums(c: Words, spec: TrigSpec, n: number, read: (T: Words, from: number) => void): Words {
  const K2 = 2 * spec.a.length;
  const step = Math.min(stretchOf(K2), c.length);
  const T = blank(n, K2 * step);
  const z = blank(n, c.length);
  for (let from = 0; from < c.length; from += step) {
    const to = Math.min(from + step, c.length);
    const part = view(T, 0, K2 * (to - from));
    read(part, K2 * from);
    fourierDot(view(c, from, to), part, spec, n, view(z, from, to));
  }
  return z;
}

/** The columns the gate reads. */
function select(gate: Resolved<FourierGate>, x: Words): Words {
  if (gate.columns === undefined) return x;
  return columns(x, fixedCols(gate, gate.inShapes[0]!), ...gate.columns);
}

export const fourier: GateDefinition<FourierGate> = {
  op: 'fourier',
  type(gate, inputs) {
    const [x] = kinds(gate, inputs, [inputs[0]?.kind === 'phase' ? 'phase' : 'share']);
    const { b, a, bk, g1, g2 } = gate.table;
    need(gate, b <= x.n, `period 2^${b} in ring ${x.n}`, `keep its input in a ring of at least ${b} bits`);
    need(gate, a.length >= 1 && a.length === bk.length, `${a.length} cosines, ${bk.length} sines`, 'correct the table');
    need(gate, g1 <= TRIG_BITS, `${g1} fraction bits of a table with ${TRIG_BITS}`, `choose g1 ≤ ${TRIG_BITS}`);
    const drop = fourierDrop(gate.table);
    need(
      gate,
      drop >= 0 && drop < gate.n && gate.n <= MAX_RING,
      `ring ${gate.n} with ${drop} bits to truncate`,
      `choose f_out ≤ g1 + g2 and a ring of ${drop + 1} to ${MAX_RING} bits`,
    );
    const limit = 1n << BigInt(62 - TRIG_BITS);
    need(
      gate,
      a.every((v, k) => magnitude(v) + magnitude(bk[k]!) < limit),
      'a coefficient is too large for 64-bit table arithmetic',
      'lower g2, or fit with a stronger bound on the coefficients',
    );
    scaleIs(gate, g1 + g2);
    if (gate.columns === undefined) shapeIs(gate, 'output', gate.shape, x.shape);
    else {
      const [from, to] = gate.columns;
      const width = fixedCols(gate, x.shape);
      need(gate, from >= 0 && from < to && to <= width, `columns ${from}..${to} of ${width}`, 'correct the columns');
      shapeIs(gate, 'output', gate.shape, { rows: x.shape.rows, cols: to - from });
    }
    return shareWire(gate);
  },
  cost(gate, [x], dims) {
    const words = count(gate.shape, dims);
    const harmonics = 2 * gate.table.a.length;
    return cost({
      ...(x!.kind === 'share' && { rounds: 1, openedBits: gate.table.b * words }),
      dealtBits: harmonics * gate.n * words,
      party: harmonics * words,
    });
  },
  error: ({ table }) => fourierError(table) * 2 ** (table.g1 + table.g2),
  deal(gate, [x], context) {
    const { b } = gate.table;
    const length = count(gate.shape, context.dims);
    const own = (party: 0 | 1): Words => context.mask(gate, 'r', party, b, length);
    const r = x!.kind === 'phase' ? reduce(select(gate, x!.r), b) : add(own(0), own(1));
    const spec = trigSpec(gate.table, context.trig(b));
    const K2 = 2 * spec.a.length;
    context.dealInStretches(gate, 'T', gate.n, K2 * r.length, K2 * stretchOf(K2), (T, from) => {
      fourierSecret(view(r, from / K2, (from + T.length) / K2), spec, gate.n, T);
    });
    return { kind: 'share' };
  },
  *party(gate, inputs, context) {
    const { b, a, a0 } = gate.table;
    const input = inputs[0]!;
    let c: Words;
    if (input.kind === 'phase') c = reduce(select(gate, input.c), b);
    else {
      const x = reduce(select(gate, share(input)), b);
      const r = context.mask(gate, 'r', b, x.length);
      c = yield { n: b, x: add(x, r), reason: 'x + r with r uniform modulo the period, used once' };
    }
    const K2 = 2 * a.length;
    const read = context.dealtInStretches(gate, 'T', gate.n, K2 * c.length);
    const z = sums(c, trigSpec(gate.table, context.trig(b)), gate.n, read);
    return { kind: 'share', x: context.party === 0 ? addScalar(z, BigInt(a0)) : z };
  },
  clear(gate, inputs, context) {
    const { b, a0 } = gate.table;
    const spec = trigSpec(gate.table, context.trig(b));
    const x = reduce(select(gate, inputs[0]!.x), b);
    const opening = inputs[0]!.opening;
    const r = opening === undefined ? context.fourierMask(gate, b, x.length) : select(gate, opening().r);
    const T = fourierSecret(reduce(r, b), spec, gate.n);
    return { x: addScalar(fourierDot(add(x, reduce(r, b)), T, spec, gate.n), BigInt(a0)) };
  },
};
