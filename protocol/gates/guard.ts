/**
 * Interval guard: tells, in XOR shares that nobody opens, which elements of an ext or phase wire left the interval on which the
 * gates that read it are right. Which interval, and why exactly that one: `guard-cells`.
 *
 * The assistant knows r, deals for every element and level the 2^m flags of the rotated cells, XOR-shared; c is public, so each
 * party looks its share of the flag up. Nothing is opened: the flags meet only in the fingerprint of `disclosure`. (The
 * specification masks the looked-up bit by a fresh s, opens it and converts it to an additive count; XOR shares need neither.)
 *
 * What the exporter makes of it (`export/guard.ts`):
 *   ext wires   one level of 16 cells, offset 0, free 7. c masks x = v + 2^(n−2), so x passes only in [0, 2^(n−1)): exactly
 *               the legal −2^(n−2) ≤ v < 2^(n−2), up to |v| = 3·2^(n−2) where the ring wraps; |v| < 0.75·2^(n−2) is safe.
 *   periods     a Fourier gate of period P = 2^b opened modulo 16 P. Narrowest level: 16 cells of P/16, the window inside the fit
 *               interval [lo, hi], so nothing outside [lo, hi] + P·Z passes and [lo + P/16, hi − P/16] is safe. Middle: 16 cells of
 *               P/8, a window of P about the centre: the other copies of [lo, hi] lie P away and I = hi − lo < P, so only those
 *               2 P away are left. Widest: 16 cells of P, a window of 3 P: those 2 P away and beyond are out, up to 16 P.
 *   residuals   a window about one on the product of an inverse with its argument, levels of 16 cells each 8 times narrower.
 * A padding wire as second input clears the flags of padding rows: the assistant, who knows a but not μ = β ⊕ a, deals every table
 * twice, as it is for one β and zero for the other, and the parties look into the one that the public β names.
 * Source: masked-suite design, section 8; specification guard.py.
 * Dealt: 2^m bits an element and level, twice that with a padding wire. Error: none. Cost: no round, nothing opened.
 */
import { RefusedError } from '../../common/errors.ts';
import { concatWords, select, slice, toSigned, type Words } from '../../ring/index.ts';
import { cost, fixedCols, kinds, need, opensNothing, refuse, scaleIs, shapeIs } from '../check.ts';
import type { DealerValue, GateDefinition, PartyValue, WireType } from '../gate.ts';
import { columns } from '../layout.ts';
import type { GuardGate, Resolved } from '../program.ts';
import { count, type Dims } from '../shape.ts';
import { cellBits, cellTables, flagShares, guardSpan, MAX_CELL_BITS, packFlags } from './guard-cells.ts';
import { everyElement, paddedTables, paddingBits, paddingMask } from './padding.ts';

type Guard = Resolved<GuardGate>;

/** The columns the gate looks at. */
const selected = (gate: Guard, x: Words): Words =>
  gate.columns === undefined ? x : columns(x, fixedCols(gate, gate.inShapes[0]!), ...gate.columns);

function opened(value: PartyValue | undefined): Words {
  if (value?.kind !== 'ext' && value?.kind !== 'phase') throw new Error('a guard reads an ext or phase wire');
  return value.c;
}

function maskOf(value: DealerValue | undefined): Words {
  if (value?.kind !== 'ext' && value?.kind !== 'phase') throw new Error('a guard reads an ext or phase wire');
  return value.r;
}

function checkShape(gate: Guard, x: WireType): void {
  if (gate.columns === undefined) {
    shapeIs(gate, 'output', gate.shape, x.shape);
    return;
  }
  const [from, to] = gate.columns;
  const width = fixedCols(gate, x.shape);
  need(gate, from >= 0 && from < to && to <= width, `columns ${from}..${to} of ${width}`, 'correct the columns');
  shapeIs(gate, 'output', gate.shape, { rows: x.shape.rows, cols: to - from });
}

/** Every level's tables, level by level. */
const tables = (gate: Guard, r: Words): Words => concatWords(gate.levels.map((level) => cellTables(r, level, gate.m)));

/** A bit a row of the text, for the tables of every element and level. */
const rowBits = (gate: Guard, bits: Words, dims: Dims): Words => {
  const each = everyElement(bits, gate.shape, dims);
  return concatWords(gate.levels.map(() => each));
};

/** Of the two tables that `paddedTables` makes of each, the one for β: μ = β ⊕ a. */
const chosen = (gate: Guard, dealt: Words, beta: Words, dims: Dims): Words => {
  const half = dealt.length / 2;
  return select(rowBits(gate, beta, dims), slice(dealt, half, dealt.length), slice(dealt, 0, half));
};

export const guard: GateDefinition<GuardGate> = {
  op: 'guard',
  type(gate, inputs) {
    const read = inputs[0]?.kind === 'ext' ? 'ext' : 'phase';
    const [x] = inputs.length === 1 ? kinds(gate, inputs, [read]) : kinds(gate, inputs, [read, 'padding']);
    const { m, levels } = gate;
    need(gate, gate.n === 1, `flags in ring ${gate.n}`, 'flags are bits: declare ring 1');
    need(
      gate,
      Number.isInteger(m) && m >= 2 && m <= MAX_CELL_BITS,
      `2^${m} cells`,
      `use 4 to ${2 ** MAX_CELL_BITS} cells`,
    );
    const first = levels[0]?.n;
    if (first !== x.n)
      refuse(
        gate,
        `the widest level has ${first ?? 'no'} bits, its opening ${x.n}`,
        'begin with the ring of the opening',
      );
    need(
      gate,
      levels.every(({ n, offset }, l) => Number.isSafeInteger(offset) && (l === 0 || n < levels[l - 1]!.n)),
      'levels are not from wide to narrow',
      'order the levels by their rings',
    );
    need(
      gate,
      guardSpan(levels, m) !== undefined,
      'its levels do not single out one interval',
      `leave 2 to ${2 ** m - 2} cells free, and let every level meet one window of the next`,
    );
    scaleIs(gate, x.f);
    checkShape(gate, x);
    return { kind: 'bits', n: 1, f: gate.f, shape: gate.shape };
  },
  cost: (gate, inputs, dims) =>
    cost({ dealtBits: inputs.length * 2 ** gate.m * gate.levels.length * count(gate.shape, dims) }),
  error: () => 0,
  deal(gate, inputs, context) {
    const all = tables(gate, selected(gate, maskOf(inputs[0])));
    const dealt =
      inputs.length === 1 ? all : concatWords(paddedTables(all, rowBits(gate, paddingMask(inputs[1]), context.dims)));
    context.deal(gate, 'cells', dealt);
    return { kind: 'share' };
  },
  party: opensNothing((gate, inputs, context) => {
    const c = selected(gate, opened(inputs[0]));
    const words = gate.levels.length * c.length;
    const dealt = context.dealt(gate, 'cells', 2 ** gate.m, inputs.length * words);
    const own = inputs.length === 1 ? dealt : chosen(gate, dealt, paddingBits(inputs[1]), context.dims);
    return { kind: 'bits', x: flagShares(c, own, gate.levels, gate.m, gate.shape, context.dims) };
  }),
  /** Refuses exactly where the shared run with this tape sets a flag. */
  clear(gate, inputs, context) {
    const { x, opening } = inputs[0]!;
    const { c, r } = opening!();
    const all = tables(gate, selected(gate, r));
    const own = selected(gate, c);
    const mu = inputs[1] === undefined ? undefined : everyElement(inputs[1].x, gate.shape, context.dims).data;
    const flags = gate.levels.map((l, i) => {
      const bits = cellBits(own, all, l, gate.m, i * own.length);
      return mu === undefined ? bits : bits.map((bit, j) => bit & mu[j]!);
    });
    const level = flags.find((bits) => bits.includes(1));
    if (level !== undefined) flagged(gate, selected(gate, x), level.indexOf(1));
    return { x: packFlags(flags, gate.shape, context.dims) };
  },
};

function flagged(gate: Guard, x: Words, element: number): never {
  const [value] = toSigned(slice(x, element, element + 1));
  throw new RefusedError(
    `gate ${gate.name} (guard): value ${value} of element ${element} is outside its interval, or in its last cell`,
    'calibrate with inputs like this one, or export with larger margins',
  );
}
