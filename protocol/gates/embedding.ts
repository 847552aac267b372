/**
 * Private look-up of a private table by a two-level one-hot, id = a V2 + b.
 *
 * The table is laid out as W: (V1 + 1) × (V2·H), row a holding the embeddings of a V2 … a V2 + V2 − 1, the last row V2 copies of
 * type_1 − type_0. The client, who knows A1 and A2, sends E1 = [onehot(a), type] − A1 and E2 = onehot(b) − A2 to both parties.
 *   M = E1 [W] + A1 F + [A1 B]        opened under the mask R: E_M = M − R, V2·H words a token
 *   x = Σ_b (E_M + R)_b (E2 + A2)_b   with [Σ_b R A2] dealt; party 0 folds E_M E2 into E_M (A2 + E2)
 * Functionality: row id of the table + type (type_1 − type_0); positions and type_0 follow as a bias.
 * Source: masked-suite design, section 8; specification embedding.py.
 * Precondition: the client sends one-hot rows (not checked: a malformed one is a soft prompt). Error: none.
 * Cost: one round, n V2 H bits a token opened, n (V2 H + H) dealt, n (V1 + 1 + V2) from the client to each party.
 */
import { RefusedError } from '../../common/errors.ts';
import {
  add, concatWords, gather, mulRows, slots, sub, times, zeros, type Words,
} from '../../ring/index.ts'; // prettier-ignore
import { cost, kinds, need, fixedCols, shapeIs, shareWire, ringFits, tensorIs } from '../check.ts';
import type { GateDefinition, PartyContext } from '../gate.ts';
import type { EmbeddingGate, Resolved } from '../program.ts';
import { rowCount, type Dims } from '../shape.ts';

type Embedding = Resolved<EmbeddingGate>;

interface Sizes {
  /** T, V1 + 1, V2, H. */
  readonly tokens: number;
  readonly rows: number;
  readonly split: number;
  readonly hidden: number;
}

/** The table's rows: one for every V2 tokens and one for the token type. */
export const tableRows = (gate: Pick<EmbeddingGate, 'vocab' | 'split'>): number =>
  Math.ceil(gate.vocab / gate.split) + 1;

const sizes = (gate: Embedding, dims: Dims): Sizes => ({
  tokens: rowCount('token', dims),
  rows: tableRows(gate),
  split: gate.split,
  hidden: fixedCols(gate, gate.shape),
});

/** Σ over b of (tokens, V2, H)_b: (tokens, H). */
function sumSplit(x: Words, { tokens, split, hidden }: Sizes): Words {
  const index = new Uint32Array(tokens * hidden);
  const part = (b: number): Words => {
    for (let t = 0, at = 0; t < tokens; t++)
      for (let j = 0; j < hidden; j++) index[at++] = (t * split + b) * hidden + j;
    return gather(x, index);
  };
  let sum = part(0);
  for (let b = 1; b < split; b++) sum = add(sum, part(b));
  return sum;
}

const below = (v: number, limit: number): boolean => Number.isInteger(v) && v >= 0 && v < limit;

/** Refuses ids outside the vocabulary and types other than 0 and 1. */
function checkTokens(
  gate: Pick<EmbeddingGate, 'name' | 'vocab'>,
  ids: readonly number[],
  types: readonly number[],
): void {
  const valid = ids.every((id) => below(id, gate.vocab)) && types.every((type) => below(type, 2));
  if (valid && ids.length === types.length) return;
  throw new RefusedError(
    `gate ${gate.name} (embedding): a token id is outside 0..${gate.vocab - 1}, or its type is not 0 or 1`,
    'tokenise with the tokenizer of the exported model',
  );
}

/**
 * The client's message to both parties, in ring n: E1 (T × (V1 + 1)) and E2 (T × V2). A1 and A2 are the sums of the parties'
 * masks; ids and types are those of all texts, one after the other.
 */
export function clientEmbedding(
  gate: Pick<EmbeddingGate, 'name' | 'vocab' | 'split'> & { readonly n: number },
  ids: readonly number[],
  types: readonly number[],
  A1: Words,
  A2: Words,
): { readonly E1: Words; readonly E2: Words } {
  checkTokens(gate, ids, types);
  const rows = tableRows(gate);
  const high = zeros(gate.n, ids.length * rows);
  const low = zeros(gate.n, ids.length * gate.split);
  const limbs = slots(gate.n);
  ids.forEach((id, t) => {
    high.data[limbs * (t * rows + Math.floor(id / gate.split))] = 1;
    high.data[limbs * (t * rows + rows - 1)] = types[t]!;
    low.data[limbs * (t * gate.split + (id % gate.split))] = 1;
  });
  return { E1: sub(high, A1), E2: sub(low, A2) };
}

/** A1_i F, before the client's message is there. */
function maskTimes(gate: Embedding, context: PartyContext): Words {
  const { tokens, rows, split, hidden } = sizes(gate, context.dims);
  const A1 = context.mask(gate, 'A1', gate.n, tokens * rows);
  return times(A1, context.weight(gate.tensor, gate.n).F, tokens, rows, split * hidden);
}

export const embedding: GateDefinition<EmbeddingGate> = {
  op: 'embedding',
  type(gate, inputs, tensor) {
    kinds(gate, inputs, []);
    const hidden = fixedCols(gate, gate.shape);
    shapeIs(gate, 'output', gate.shape, { rows: 'token', cols: hidden });
    need(gate, gate.vocab >= 1 && gate.split >= 1, 'empty vocabulary or split', 'correct vocab and split');
    const spec = tensor(gate.tensor);
    ringFits(gate, spec.n, `tensor ${gate.tensor}`);
    tensorIs(gate, gate.tensor, spec, 'masked', tableRows(gate), gate.split * hidden);
    return shareWire(gate);
  },
  cost(gate, _, dims) {
    const { tokens, rows, split, hidden } = sizes(gate, dims);
    const wide = tokens * split * hidden;
    return cost({
      rounds: 1,
      openedBits: gate.n * wide,
      dealtBits: gate.n * (wide + tokens * hidden),
      clientBits: gate.n * tokens * (rows + split),
      party: 2 * wide * rows + 2 * wide,
      assistant: wide * rows + wide,
    });
  },
  error: () => 0,
  deal(gate, _, context) {
    const size = sizes(gate, context.dims);
    const { tokens, rows, split, hidden } = size;
    const mask = (kind: 'A1' | 'A2' | 'R', length: number): Words =>
      add(context.mask(gate, kind, 0, gate.n, length), context.mask(gate, kind, 1, gate.n, length));
    const [A1, A2, R] = [mask('A1', tokens * rows), mask('A2', tokens * split), mask('R', tokens * split * hidden)];
    const B = context.maskedWeight(gate.tensor, gate.n);
    context.deal(gate, 'AB', times(A1, B, tokens, rows, split * hidden));
    context.deal(gate, 'RA', sumSplit(mulRows(R, A2, hidden), size));
    return { kind: 'share' };
  },
  ahead: (gate, _, context) => ({ AF: maskTimes(gate, context) }),
  *party(gate, _, context, ahead) {
    const size = sizes(gate, context.dims);
    const { tokens, rows, split, hidden } = size;
    const n = gate.n;
    const AF = ahead?.['AF'] ?? maskTimes(gate, context);
    const A2 = context.mask(gate, 'A2', n, tokens * split);
    const R = context.mask(gate, 'R', n, tokens * split * hidden);
    const E1 = context.client(gate, 'E1', n, tokens * rows);
    const E2 = context.client(gate, 'E2', n, tokens * split);
    const { V } = context.weight(gate.tensor, n);
    const product = add(times(E1, V, tokens, rows, split * hidden), AF);
    const M = add(product, context.dealt(gate, 'AB', n, product.length));
    const EM = yield { n, x: sub(M, R), reason: 'M − R with R uniform in Z_2^n, used once' };
    const z = add(mulRows(EM, context.party === 0 ? add(A2, E2) : A2, hidden), mulRows(R, E2, hidden));
    return { kind: 'share', x: add(sumSplit(z, size), context.dealt(gate, 'RA', n, tokens * hidden)) };
  },
  clear(gate, _, context) {
    const { tokens, rows, split, hidden } = sizes(gate, context.dims);
    const [ids, types] = [context.ids.flat(), context.types.flat()];
    checkTokens(gate, ids, types);
    if (ids.length !== tokens) throw new Error(`${ids.length} tokens for texts of ${tokens}`);
    const table = context.weight(gate.tensor, gate.n);
    // One zero word behind the table stands for a type of 0.
    const [zero, difference] = [table.length, (rows - 1) * split * hidden];
    const word = new Uint32Array(tokens * hidden);
    const type = new Uint32Array(tokens * hidden);
    for (let t = 0, at = 0; t < tokens; t++)
      for (let j = 0; j < hidden; j++, at++) {
        word[at] = ids[t]! * hidden + j;
        type[at] = types[t] === 1 ? difference + j : zero;
      }
    return { x: add(gather(table, word), gather(concatWords([table, zeros(table.n, 1)]), type)) };
  },
};
