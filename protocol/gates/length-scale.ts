/**
 * x · F(L) / 2^by, F a public factor of a text's length: queries scaled so that the denominators of 2Quad, sums over the keys,
 * have one range for every length. Scaling scores s + c by F scales squares, denominators and P·V by F², which their quotient
 * forgets: nothing is scaled back and nothing is lost but range. F need not be √(longest / L) exactly, only the same for s and c
 * (see `bias`), so that few bits of it suffice.
 *
 *   plain:   Q' = (m z) truncated by `by` + s,  F = m / 2^s ≈ √(longest / L),          m of bits + 1 bits
 *   centred: the same with K' = (k_j − k̄) L / 2^k of `centre`, so that F = m L / 2^(k + s)
 *
 * Source: masked-suite design, section 7 (D / n); own derivation. Needs a public length.
 * Precondition: ring of z ≥ n + by + bits. Error: one truncation. Cost: none.
 */
import { concatWords, resize, roundingWord, scale, slice, truncateReduce, type Words } from '../../ring/index.ts';
import { LOCAL, fixedCols, kinds, need, opensNothing, scaleIs, shapeIs, share, shareWire } from '../check.ts';
import type { GateDefinition } from '../gate.ts';
import { reduce } from '../layout.ts';
import type { LengthFactor, LengthScaleGate, Resolved } from '../program.ts';
import { blocks, type Dims } from '../shape.ts';
import { centreConstants } from './centre.ts';
import { clearTruncate } from './truncate.ts';

/** m and s of a text of L tokens: 2^−s m is √(longest / L), times 2^k / L where centred, to within 2^−bits / 2 of itself. */
export function lengthConstants(
  L: number,
  { longest, bits, centred }: LengthFactor,
): { readonly m: number; readonly s: number } {
  const { k } = centreConstants(L);
  // (√(longest / L) · 2^k / L)² = above / below, in whole numbers: both parties must get the same m
  const above = BigInt(longest) << BigInt(centred ? 2 * k : 0);
  const below = BigInt(L) ** (centred ? 3n : 1n);
  let j = 0;
  while (below << BigInt(2 * j + 2) <= above) j++;
  const rounded = (m: bigint): boolean =>
    (2n * m + 1n) ** 2n * (below << BigInt(2 * j)) > above << BigInt(2 * bits + 2);
  let m = 2 ** bits;
  while (!rounded(BigInt(m))) m++;
  let s = bits - j;
  for (; s < 0; s++) m *= 2;
  for (; s > 0 && m % 2 === 0; s--) m /= 2;
  return { m, s };
}

/** F of a text of L tokens as a fraction of whole numbers: `by` / 2^`drop`. */
export function lengthFraction(L: number, factor: LengthFactor): { readonly by: number; readonly drop: number } {
  const { m, s } = lengthConstants(L, factor);
  return factor.centred ? { by: m * L, drop: centreConstants(L).k + s } : { by: m, drop: s };
}

/** Most bits that `lengthFraction` drops. */
export const mostDropped = ({ longest, bits, centred }: LengthFactor): number =>
  bits + (centred ? centreConstants(longest).k : 0);

/** Refuses a factor that the rings cannot carry. */
export function checkFactor(gate: Resolved, { longest, bits }: LengthFactor, dims: Dims): void {
  const fits = Number.isInteger(bits) && bits >= 0 && bits <= 8 && longest >= 1 && longest <= 1 << 16;
  need(gate, fits, `factor of ${bits} bits for up to ${longest} tokens`, 'export the model again');
  const most = Math.max(...dims.lengths);
  need(gate, most <= longest, `a text of ${most} tokens, the factor is for ${longest}`, 'shorten the text');
}

interface Text {
  readonly z: Words;
  readonly offset: number;
  /** Bits this text's words are truncated by. */
  readonly drop: number;
}

function texts(gate: Resolved<LengthScaleGate>, z: Words, dims: Dims): Text[] {
  return blocks(gate.shape, dims).map(({ offset, rows, cols }, b) => {
    const { m, s } = lengthConstants(dims.lengths[b]!, gate.factor);
    return { z: scale(slice(z, offset, offset + rows * cols), m), offset, drop: gate.by + s };
  });
}

const most = (parts: readonly Text[]): number => Math.max(...parts.map(({ drop }) => drop));

export const lengthScale: GateDefinition<LengthScaleGate> = {
  op: 'lengthScale',
  type(gate, inputs, _tensor, dims) {
    const [z] = kinds(gate, inputs, ['share']);
    fixedCols(gate, z.shape);
    shapeIs(gate, 'output', gate.shape, z.shape);
    scaleIs(gate, z.f - gate.by);
    checkFactor(gate, gate.factor, dims);
    const drop = gate.by + gate.factor.bits;
    need(
      gate,
      gate.by >= 0 && gate.n <= z.n - drop,
      `ring ${gate.n} is above ${z.n} − ${drop}, what its truncation leaves`,
      'compute its input in a larger ring',
    );
    return shareWire(gate);
  },
  ...LOCAL,
  error: () => 1,
  party: opensNothing((gate, inputs, context) => {
    const parts = texts(gate, share(inputs[0]), context.dims);
    const largest = most(parts);
    if (context.party === 1 && largest > 0)
      context.rounding?.(gate, concatWords(parts.map(({ z, drop }) => resize(roundingWord(z, drop), largest))));
    const cut = parts.map(({ z, drop }) => reduce(drop === 0 ? z : truncateReduce(context.party, z, drop), gate.n));
    return { kind: 'share', x: concatWords(cut) };
  }),
  clear(gate, [z], context) {
    const parts = texts(gate, z!.x, context.dims);
    const largest = most(parts);
    const u = largest > 0 ? context.rounding(gate, largest, z!.x.length) : undefined;
    const cut = parts.map((text) => {
      if (text.drop === 0 || u === undefined) return reduce(text.z, gate.n);
      const own = resize(slice(u, text.offset, text.offset + text.z.length), text.drop);
      return reduce(clearTruncate(text.z, own, text.drop), gate.n);
    });
    return { x: concatWords(cut) };
  },
};
