/**
 * Row-centred scores: s_ij − mean_j s_ij = q_i · (k_j − k̄), a local map on the shares of K and a public factor on Q, followed
 * by their truncations. For a text of L tokens, k = ⌈log2 L⌉:
 *
 *   keys:    K'_j = (L z_j − Σ_j z_j) truncated by f + k           = (k_j − k̄) L / 2^k
 *   queries: Q'_i = (m z_i) truncated by f + e, m = round(2^(e+k) / L) = q_i 2^k / L (1 + ε), |ε| ≤ 2^−10
 *
 * e = 0 and m = 1 where L is a power of two, else e = 9. ε is one public factor on all scores of a text.
 * Source: specification centre.py. A key bias cancels exactly, so the exporter drops it. Needs a public length.
 * Precondition: ring of z ≥ n + f + k (or e) for every text. Error: one truncation. Cost: none; the ring of z grows by k (or e).
 */
import {
  addCols, concatWords, neg, resize, roundingWord, scale, slice, sumCols, truncateReduce, type Words,
} from '../../ring/index.ts'; // prettier-ignore
import { LOCAL, fixedCols, kinds, need, scaleIs, shapeIs, share, shareWire, opensNothing } from '../check.ts';
import type { GateDefinition } from '../gate.ts';
import { reduce } from '../layout.ts';
import type { CentreGate, Resolved } from '../program.ts';
import { blocks, type Dims } from '../shape.ts';
import { clearTruncate } from './truncate.ts';

/** Extra fraction bits of the factor 2^k / L where L is no power of two. */
const FACTOR_BITS = 9;

/** k, e and m of a text of L ≥ 1 tokens. */
export function centreConstants(L: number): { readonly k: number; readonly e: number; readonly m: number } {
  const k = 32 - Math.clz32(L - 1);
  const e = L === 2 ** k ? 0 : FACTOR_BITS;
  return { k, e, m: Math.floor((Math.floor(2 ** (e + k + 1) / L) + 1) / 2) };
}

/** Bits a text of L tokens needs beyond `by`. */
const extra = (side: CentreGate['side'], L: number): number => centreConstants(L)[side === 'keys' ? 'k' : 'e'];

interface Text {
  readonly z: Words;
  readonly offset: number;
  /** Bits this text's words are truncated by. */
  readonly drop: number;
}

/** L z_j − Σ_j z_j or m z_i, text by text, in the ring of z. */
function texts(gate: Resolved<CentreGate>, z: Words, dims: Dims): Text[] {
  return blocks(gate.shape, dims).map(({ offset, rows, cols }, b) => {
    const L = dims.lengths[b]!;
    const block = slice(z, offset, offset + rows * cols);
    const mapped =
      gate.side === 'keys' ? addCols(scale(block, L), neg(sumCols(block, cols))) : scale(block, centreConstants(L).m);
    return { z: mapped, offset, drop: gate.by + extra(gate.side, L) };
  });
}

const most = (gate: Resolved<CentreGate>, dims: Dims): number =>
  gate.by + Math.max(...dims.lengths.map((L) => extra(gate.side, L)));

export const centre: GateDefinition<CentreGate> = {
  op: 'centre',
  type(gate, inputs, _tensor, dims) {
    const [z] = kinds(gate, inputs, ['share']);
    fixedCols(gate, z.shape);
    const first = gate.side === 'queries' && z.shape.rows === 'text'; // the first token's query alone
    shapeIs(gate, 'input', z.shape, { rows: first ? 'text' : 'token', cols: z.shape.cols });
    shapeIs(gate, 'output', gate.shape, z.shape);
    scaleIs(gate, z.f - gate.by);
    const drop = most(gate, dims);
    need(
      gate,
      gate.by >= 0 && drop < z.n,
      `truncation by ${drop} in ring ${z.n}`,
      'compute its input in a larger ring',
    );
    need(
      gate,
      gate.n <= z.n - drop,
      `ring ${gate.n} is above ${z.n} − ${drop}, what its truncation leaves`,
      `let the ring of its input grow with the ${gate.side}`,
    );
    return shareWire(gate);
  },
  ...LOCAL,
  error: () => 1,
  party: opensNothing((gate, inputs, context) => {
    const parts = texts(gate, share(inputs[0]), context.dims);
    const largest = most(gate, context.dims);
    if (context.party === 1 && largest > 0)
      context.rounding?.(gate, concatWords(parts.map(({ z, drop }) => resize(roundingWord(z, drop), largest))));
    const cut = parts.map(({ z, drop }) => reduce(drop === 0 ? z : truncateReduce(context.party, z, drop), gate.n));
    return { kind: 'share', x: concatWords(cut) };
  }),
  clear(gate, [z], context) {
    const largest = most(gate, context.dims);
    const u = largest > 0 ? context.rounding(gate, largest, z!.x.length) : undefined;
    const cut = texts(gate, z!.x, context.dims).map((text) => {
      if (text.drop === 0 || u === undefined) return reduce(text.z, gate.n);
      const own = resize(slice(u, text.offset, text.offset + text.z.length), text.drop);
      return reduce(clearTruncate(text.z, own, text.drop), gate.n);
    });
    return { x: concatWords(cut) };
  },
};
