/**
 * Hidden lengths: the padding factor μ, one bit a row, 1 for a real token and 0 for padding up to the public bucket.
 *
 * The client sends β = μ ⊕ a, a = a_0 ⊕ a_1 the bits that the parties masked it with: every bit string is some μ, so nothing
 * about it has to be checked. β is public to the parties, a known to the assistant.
 *   padding        the wire itself: β at the parties, a at the assistant
 *   paddingShare   [μ] = β + (1 − 2β) [a] with [a] dealt in ring n; opened as an operand, μ then multiplies whatever is linear
 * Source: masked-suite design, section 3; protocols design, section 7 (XOR-masked bits).
 * Precondition: none; the honest client's first row is valid. Error: none. Cost: a bit a row from the client; n bits dealt a row.
 */
import { RefusedError } from '../../common/errors.ts';
import { add, gather, mul, neg, resize, scale, select, xor, zeros, addScalar, type Words } from '../../ring/index.ts';
import { LOCAL, cost, kinds, need, opensNothing, shapeIs, shareWire } from '../check.ts';
import type { DealerValue, GateDefinition, PartyValue } from '../gate.ts';
import type { PaddingGate, PaddingShareGate } from '../program.ts';
import { blocks, count, rowCount, type Dims, type Shape } from '../shape.ts';

const COLUMN: Shape = { rows: 'token', cols: 1 };

/** A text; `valid` is 1 for its real tokens, 0 for padding (absent: all are real). */
export interface PaddedTokens {
  readonly ids: readonly number[];
  readonly types: readonly number[];
  readonly valid?: readonly number[];
}

/** The smallest bucket that holds `length` tokens; `length` itself where lengths are public or no bucket is as large. */
export const bucketOf = (length: number, buckets: readonly number[] | undefined): number =>
  buckets?.find((size) => size >= length) ?? length;

/** The text with the tokens of its bucket. */
export function padText(text: PaddedTokens, buckets: readonly number[] | undefined): PaddedTokens {
  if (buckets === undefined || text.valid !== undefined) return text;
  const L = text.ids.length;
  const fill = new Array<number>(bucketOf(L, buckets) - L).fill(0);
  return { ids: [...text.ids, ...fill], types: [...text.types, ...fill], valid: [...text.ids.map(() => 1), ...fill] };
}

/** The client's message to both parties: β, one bit a row of all texts, from μ and the masks' sum a. */
export function clientPadding(valid: readonly (readonly number[])[], a: Words): Words {
  for (const rows of valid)
    if (rows[0] !== 1 || rows.some((bit) => bit !== 0 && bit !== 1))
      throw new RefusedError('mask: 0 or 1, first row valid', 'mark real tokens with 1, padding with 0');
  return xor(bitsOf(valid), a);
}

/** μ of all texts, in ring 1. */
export function bitsOf(valid: readonly (readonly number[])[]): Words {
  const bits = valid.flat();
  const out = zeros(1, bits.length);
  out.data.set(bits);
  return out;
}

/** One bit a token, repeated for every element of a wire: a head's rows are the tokens', a text's row its first token's. */
export function everyElement(bits: Words, shape: Shape, dims: Dims): Words {
  const index = new Uint32Array(count(shape, dims));
  const ofTokens = shape.rows === 'token' || shape.rows === 'head';
  let token = 0;
  blocks(shape, dims).forEach(({ offset, rows, cols }, text) => {
    const L = dims.lengths[text]!;
    for (let row = 0, at = offset; row < rows; row++)
      for (let j = 0; j < cols; j++) index[at++] = token + (ofTokens ? row % L : 0);
    token += L;
  });
  return gather(bits, index);
}

/** β of a padding wire. */
export function paddingBits(value: PartyValue | undefined): Words {
  if (value?.kind !== 'padding') throw new Error(`wire is ${value?.kind ?? 'absent'}, not padding`);
  return value.beta;
}

/** a of a padding wire. */
export function paddingMask(value: DealerValue | undefined): Words {
  if (value?.kind !== 'padding') throw new Error(`wire is ${value?.kind ?? 'absent'}, not padding`);
  return value.a;
}

export const padding: GateDefinition<PaddingGate> = {
  op: 'padding',
  type(gate, inputs) {
    kinds(gate, inputs, []);
    need(gate, gate.n === 1, `bits in ring ${gate.n}`, 'declare ring 1');
    shapeIs(gate, 'output', gate.shape, COLUMN);
    return { kind: 'padding', n: 1, f: gate.f, shape: gate.shape };
  },
  cost: (_gate, _inputs, dims) => cost({ clientBits: rowCount('token', dims) }),
  error: () => 0,
  deal(gate, _, context) {
    const rows = rowCount('token', context.dims);
    return { kind: 'padding', a: xor(context.mask(gate, 'beta', 0, 1, rows), context.mask(gate, 'beta', 1, 1, rows)) };
  },
  party: opensNothing((gate, _, context) => ({
    kind: 'padding',
    beta: context.client(gate, 'beta', 1, rowCount('token', context.dims)),
  })),
  clear(gate, _, { valid }) {
    if (valid === undefined) throw new Error(`gate ${gate.name}: the padding of the texts is not given`);
    return { x: bitsOf(valid) };
  },
};

export const paddingShare: GateDefinition<PaddingShareGate> = {
  op: 'paddingShare',
  type(gate, inputs) {
    const [x] = kinds(gate, inputs, ['padding']);
    need(gate, x.n === 1, `bits in ring ${x.n}`, 'declare ring 1');
    shapeIs(gate, 'output', gate.shape, x.shape);
    return shareWire(gate);
  },
  ...LOCAL,
  cost: (gate, _, dims) => cost({ dealtBits: gate.n * count(gate.shape, dims), party: count(gate.shape, dims) }),
  deal(gate, inputs, context) {
    context.deal(gate, 'a', resize(paddingMask(inputs[0]), gate.n));
    return { kind: 'share' };
  },
  party: opensNothing((gate, inputs, context) => {
    const beta = resize(paddingBits(inputs[0]), gate.n);
    const a = context.dealt(gate, 'a', gate.n, beta.length);
    const signed = mul(addScalar(neg(scale(beta, 2)), 1n), a);
    return { kind: 'share', x: context.party === 0 ? add(signed, beta) : signed };
  }),
  clear: (gate, [x]) => ({ x: resize(x!.x, gate.n) }),
};

/** Two tables for every flag, of which β picks one: the flags where a row is valid, zeros where it is padding. */
export function paddedTables(tables: Words, a: Words): readonly [Words, Words] {
  const none = zeros(tables.n, tables.length);
  return [select(a, tables, none), select(a, none, tables)];
}
