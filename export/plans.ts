/** The plans a model can be exported with: fraction bits, tolerances and margins (masked-suite design, section 5). */
import type { Scales } from './plan.ts';

export interface PlanOptions extends Scales {
  /** Fraction bits of Y and Z above fx. */
  readonly fzx: number;
  /** log2 of a period of U above fx: the precision of W1. */
  readonly rawx: number;
  /** Fit tolerances: GeLU and tanh absolute, reciprocal roots and denominators relative. */
  readonly tolg: number;
  readonly tolr: number;
  readonly tolD: number;
  readonly tolt: number;
  /** Margins on calibrated ranges; marD on the upper end of denominators. */
  readonly mar: number;
  readonly marD: number;
  /** Every head's denominators end here. */
  readonly D0: number;
  /** Significant bits of a reciprocal at its small end. */
  readonly relb: number;
  /** Hidden units by interval width: ends of the groups, as fractions. */
  readonly cuts: readonly number[];
  readonly b_tanh: number;
  readonly gy1: number;
  readonly gy2: number;
  /** Least ratio of a reciprocal's period to the end of its interval (1.02 in the specification). */
  readonly gap: number;
  /** Spare ring bits of scores and PV. */
  readonly head: number;
  /** Scores scaled by the length, so that the range of D does not grow with it (not in the specification). */
  readonly perLength: boolean;
  /** Sizes that texts are padded to, so that their lengths stay hidden; absent: lengths are public. */
  readonly buckets?: readonly number[];
  /** The last layer for the first token alone (not in the specification). */
  readonly clsOnly: boolean;
  /** Every interpreted wire is guarded (not as in the specification, whose guard is an older one). */
  readonly guard: boolean;
}

/**
 * P2 of the design, the smallest plan that runs on 32-bit kernels, with roomier periods (fewer harmonics to deal). Guarded
 * periods are wider than their fits, so pre-activations keep one bit more a period and GeLU is fitted twice as closely: on
 * 80 SST-2 texts of a published-2Quad student this takes the mean logit error from 0.0069 to 0.0053 for 6 % more dealt.
 */
export const BALANCED: PlanOptions = {
  fx: 10, fw: 12, fq: 8, fk: 8, fv: 8, fs: 8, fp: 3, fpv: 6, fo: 10, ft: 9, fy: 9, bc: 15, fe: 15, ft_e: 14, V2: 4, fl: 14,
  fzx: 11, rawx: 18, tolg: 1.5e-3, tolr: 3e-4, tolD: 1e-3, tolt: 4e-4, mar: 1.3, marD: 2, D0: 4096, relb: 12,
  cuts: [0, 0.5, 0.8, 0.95, 0.99, 0.999, 1], b_tanh: 15, gy1: 10, gy2: 12, head: 2, gap: 1.08,
  perLength: true, clsOnly: true, guard: true,
}; // prettier-ignore

/** P3 of the design: a bit less everywhere, for slow networks. */
export const COMPACT: PlanOptions = {
  ...BALANCED,
  fx: 9, fw: 11, fq: 7, fk: 7, fv: 7, fs: 7, fp: 2, fpv: 5, fo: 9, ft: 8, fy: 8, bc: 13, fe: 14, ft_e: 13,
  fzx: 10, gy1: 9, gy2: 11, tolg: 5e-3,
}; // prettier-ignore

/** P1 of the design, half the error; queries keep 8 bits, which centred keys need to stay within 64-bit products. */
export const PRECISE: PlanOptions = {
  ...BALANCED,
  fx: 11, fw: 13, fk: 9, fv: 9, fs: 9, fp: 4, fpv: 7, fo: 11, ft: 10, fy: 10, bc: 15, fe: 16, ft_e: 15,
  fzx: 12, gy1: 11, gy2: 13, tolg: 1e-3,
}; // prettier-ignore

/** By the names of `export-shares --plan`. */
export const PLANS: Readonly<Record<string, PlanOptions>> = { compact: COMPACT, balanced: BALANCED, precise: PRECISE };
