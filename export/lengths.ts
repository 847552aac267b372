/**
 * What a plan knows of the number of tokens: the public constants of a known length, the tables of a hidden one, and the rings that
 * either costs.
 */
import { centreConstants } from '../protocol/gates/centre.ts';
import { lengthFraction } from '../protocol/gates/length-scale.ts';
import type { LengthFactor } from '../protocol/program.ts';
import type { Plan, PlanLayer } from './plan.ts';
import { bits } from './plan-guard.ts';

type Lengths = Pick<Plan, 'normaliser' | 'length' | 'shortest' | 'longest'>;

/** Scores are centred over a number of tokens that stays hidden. */
export const hidesMean = (plan: Pick<Plan, 'normaliser' | 'length'>): boolean =>
  plan.normaliser === '2quad_centred' && plan.length === 'secret';

/** Bits that row-centring costs in the ring of the keys and of the queries, worst legal length; none where lengths are secret. */
export function centreBits(plan: Lengths): { keys: number; queries: number } {
  let [keys, queries] = [0, 0];
  if (plan.normaliser !== '2quad_centred' || plan.length === 'secret') return { keys, queries };
  for (let length = plan.shortest; length <= plan.longest; length++) {
    const { k, e } = centreConstants(length);
    keys = Math.max(keys, k);
    queries = Math.max(queries, e);
  }
  return { keys, queries };
}

/** Fraction bits of F: enough for denominators within 12 % of what the length makes them. */
export const LENGTH_BITS = 3;

/** The length factor of a plan; undefined where scores are not scaled. Centring takes no part in it where lengths are secret. */
export const lengthFactor = (
  plan: Pick<Plan, 'per_length' | 'longest' | 'length' | 'normaliser' | 'keyScale'>,
): LengthFactor | undefined =>
  plan.per_length === undefined
    ? undefined
    : {
        longest: plan.keyScale?.longest ?? plan.longest,
        bits: plan.per_length,
        centred: plan.normaliser === '2quad_centred' && plan.length === 'public',
      };

/** F of a text of L tokens; 1 without a factor. */
export function lengthScaleOf(L: number, factor: LengthFactor | undefined): number {
  if (factor === undefined) return 1;
  const { by, drop } = lengthFraction(L, factor);
  return by / 2 ** drop;
}

type Range = Pick<Plan, 'shortest' | 'longest'>;

/**
 * `value` of 1 to the largest number of as many bits as `longest`; 0 at 0, so that a text without a token makes nothing. F of what
 * is shorter than every legal text is that of the shortest: its scores stay within the bounds of legal ones.
 */
const table = (
  { shortest, longest }: Range,
  factor: LengthFactor | undefined,
  value: (n: number, F: number) => number,
): number[] =>
  Array.from({ length: 2 ** bits(longest) }, (_, n) =>
    n === 0 ? 0 : Math.round(value(n, lengthScaleOf(Math.max(n, shortest), factor))),
  );

/** F(n) / n at f bits: the weight of a token in the mean of scaled keys. */
export const weightTable = (range: Range, f: number, factor: LengthFactor | undefined): number[] =>
  table(range, factor, (n, F) => (2 ** f * F) / n);

/** F(n), exact at the bits of the factor, which is not centred. */
export const scaleTable = (range: Range, factor: LengthFactor): number[] =>
  table(range, factor, (_, F) => 2 ** factor.bits * F);

/** Ring of an ext wire that holds every entry, so that it needs no guard. */
export const tableRing = (entries: readonly number[]): number => bits(Math.max(...entries)) + 2;

/** Ring of the keys before they are scaled and their mean is taken off: that of the scores, of the sums over a text, of their own opening. */
export const keysRing = ({ nS, nKs = 0, nK = 0 }: Pick<PlanLayer, 'nS' | 'nKs' | 'nK'>): number =>
  Math.max(nS, nKs, nK);
