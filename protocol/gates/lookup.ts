/**
 * Any public function of a value of few bits: y = table[x mod 2^b], exact.
 *
 * Both parties learn c = x + r mod 2^b; the assistant, who knows r, deals the table rotated by it, T[i] = table[i − r], as shares, and
 * each party takes its share of T[c]. Every x has an entry: there is nothing that it could be out of.
 * Source: one-time truth tables, Ishai, Kushilevitz, Meldgaard, Orlandi, Paskin-Cherniavsky, TCC 2013.
 * Opened: c, masked by r uniform in Z_2^b, used once. Dealt: 2^b words in ring n a word of x.
 * Precondition: b ≤ ring of x; the entries are signed integers of n bits. Error: none.
 * Cost: one round, b bits opened and 2^b n dealt a word.
 */
import { add, fromNumbers, gather, type Words } from '../../ring/index.ts';
import { cost, kinds, need, shapeIs, share, shareWire } from '../check.ts';
import type { GateDefinition } from '../gate.ts';
import { reduce } from '../layout.ts';
import type { LookupGate, Resolved } from '../program.ts';
import { count } from '../shape.ts';

/** Largest b: a table of 2^b entries. */
export const MAX_TABLE_BITS = 12;

type Lookup = Resolved<LookupGate>;

const bitsOf = ({ table }: Pick<Lookup, 'table'>): number => Math.log2(table.length);

/** The entries at these indices. */
const entries = (gate: Lookup, index: Uint32Array): Words => gather(fromNumbers(gate.table, gate.n), index);

export const lookup: GateDefinition<LookupGate> = {
  op: 'lookup',
  type(gate, inputs) {
    const [x] = kinds(gate, inputs, ['share']);
    const b = bitsOf(gate);
    const fits = Number.isInteger(b) && b >= 1 && b <= MAX_TABLE_BITS;
    need(gate, fits, `a table of ${gate.table.length} entries`, `give it 2, 4, … or ${2 ** MAX_TABLE_BITS}`);
    need(gate, b <= x.n, `2^${b} entries for ring ${x.n}`, `keep its input in a ring of at least ${b} bits`);
    const half = 2 ** (gate.n - 1);
    need(
      gate,
      gate.table.every((v) => Number.isSafeInteger(v) && -half <= v && v < half),
      `an entry is not a signed integer of ${gate.n} bits`,
      'look up in a larger ring',
    );
    shapeIs(gate, 'output', gate.shape, x.shape);
    return shareWire(gate);
  },
  cost(gate, _, dims) {
    const words = count(gate.shape, dims);
    return cost({ rounds: 1, openedBits: bitsOf(gate) * words, dealtBits: gate.table.length * gate.n * words });
  },
  error: () => 0,
  deal(gate, _, context) {
    const length = count(gate.shape, context.dims);
    const [b, size] = [bitsOf(gate), gate.table.length];
    const r = add(context.mask(gate, 'r', 0, b, length), context.mask(gate, 'r', 1, b, length)).data;
    const rotated = new Uint32Array(size * length);
    for (let word = 0, at = 0; word < length; word++)
      for (let i = 0; i < size; i++) rotated[at++] = (i - r[word]!) & (size - 1);
    context.deal(gate, 'T', entries(gate, rotated));
    return { kind: 'share' };
  },
  *party(gate, inputs, context) {
    const [b, size] = [bitsOf(gate), gate.table.length];
    const x = reduce(share(inputs[0]), b);
    const r = context.mask(gate, 'r', b, x.length);
    const c = yield { n: b, x: add(x, r), reason: 'x + r with r uniform modulo the size of the table, used once' };
    const T = context.dealt(gate, 'T', gate.n, size * x.length);
    return { kind: 'share', x: gather(T, c.data.map((v, word) => size * word + v)) }; // prettier-ignore
  },
  clear: (gate, [x]) => ({ x: entries(gate, reduce(x!.x, bitsOf(gate)).data) }),
};
