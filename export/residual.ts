/**
 * Residual guard of an inverse: y came from v by a Fourier gate that is right on [lo, hi] only, and cells as wide as a part of
 * the period cannot tell lo from 0. So the program multiplies back: y·v, or y²·v for the inverse root, must be near its target.
 *
 *   v' = v cut to 9 significant bits at lo    ext in its own full ring, beside the Fourier opening of v; upper limit guarded
 *   y' = y cut to 9 significant bits at hi    ext, beside the operand opening of y; a Fourier sum is bounded, so it is in range;
 *                                             behind a Newton step it may be far larger: ext in a ring that holds it for every v' that
 *                                             passes, or else its whole ring; upper limit guarded
 *   w  = y' lifted, or squared                exact in ring N; opened as operand one round later
 *   z  = v'·w, cut to 10 bits at the target   exact in ring N, which holds it wherever v' passes; opened modulo its ring two
 *                                             rounds after y, while the program goes on
 *
 * No value is assumed but 0 ≤ v < 2^(n−2), which the guards of the summands give. Nothing wraps: N is above what the upper limit
 * of v' and the largest Fourier sum allow. So what passes satisfies |z / target − 1| ≤ half, whatever made y: the inverse is
 * right to within `half`, and no other event passes. The round of z is never the last: the output waits one round longer.
 * Source: protocols design, section 7 (denominators and variances).
 */
import { RefusedError } from '../common/errors.ts';
import { amplitude } from './amplitude.ts';
import { WIDEST } from './bounds.ts';
import { newtonReach, type InverseSite } from './newton.ts';
import type { NormSite } from './norm-sites.ts';
import { CELL_BITS, RESIDUAL, residualLevels, residualSafe, upperLevels, upperLimit } from './guard-levels.ts';
import type { GuardLevel } from '../protocol/program.ts';
import type { Plan, PlanReciprocal, Scales } from './plan.ts';

/** Significant bits kept of v at its lower end, of y at its upper end, and of z at its target. */
const KEPT = 9;
const KEPT_TARGET = 10;
/** What these cuts, the rounding of y (12 bits) and of its Fourier sum add to the error of the fit. */
const ROUNDING = 0.008;
const MAX_RING = 128;
/** Ring whose cells begin at safe integers. */
const MAX_OFFSET = 54;

const bits = (x: number): number => Math.floor(Math.log2(x)) + 1;

export interface Residual {
  /** Bits cut from v; levels of the upper limit in the ring that is left. */
  readonly cutV: number;
  readonly upper: readonly GuardLevel[];
  /** Largest v that passes, real. */
  readonly limit: number;
  /** Bits cut from y; ring of its opening. */
  readonly cutY: number;
  readonly nY: number;
  /** Behind a Newton step: levels of the upper limit of y. */
  readonly upperY?: readonly GuardLevel[];
  readonly square: boolean;
  /** Ring of w and of the product. */
  readonly N: number;
  readonly cutZ: number;
  readonly levels: readonly GuardLevel[];
  /** Relative half width that passes. */
  readonly half: number;
}

export interface ResidualSite extends InverseSite {
  /** The fit of y. */
  readonly fit: Pick<PlanReciprocal, 'gate' | 'interval' | 'fit_error' | 'newton'>;
  /** Largest relative distance of y² v from its target if y were exact: the ε of a LayerNorm. */
  readonly offset?: number;
}

/** @throws RefusedError if the rings do not suffice or the fit is too rough to be told from a wrong value */
export function residual(site: ResidualSite): Residual {
  const { name, fit, n, f, nY, square, target, offset = 0 } = site;
  const refuse = (problem: string): never => {
    throw new RefusedError(`guard: ${name}: ${problem}`, 'narrow the calibrated range (train with a range penalty), or export without guards'); // prettier-ignore
  };
  const [lo, hi] = fit.interval;
  const inverse = (v: number): number => (square ? Math.sqrt(target / v) : target / v);
  const cutV = f - Math.min(f, KEPT - Math.floor(Math.log2(lo)));
  const cutY = fit.gate.f_out - Math.min(fit.gate.f_out, KEPT - Math.floor(Math.log2(inverse(hi))));
  const [fV, fY] = [f - cutV, fit.gate.f_out - cutY];
  const nV = n - cutV;
  const most = Math.ceil(hi * 2 ** fV) + 1;
  if (!(2 * most < 2 ** (nV - 2))) refuse(`a sum of ${nV} bits does not hold twice its interval`);
  const limit = upperLimit(most);
  const mostY = Math.ceil(inverse(lo) * (1 + fit.fit_error + ROUNDING) * 2 ** fY) + 1;
  const newton = fit.newton !== undefined;
  const reach = newton ? newtonReach(site, (limit + 1) / 2 ** fV) : amplitude(fit.gate);
  const sum = Math.ceil(reach * 2 ** fY) + 1;
  const ring = Math.min(bits(sum) + 2, newton ? nY - cutY : Infinity);
  if (ring > nY - cutY) refuse(`an inverse of ${nY - cutY} bits, its sum needs ${ring}`);
  if (newton && !(ring <= MAX_OFFSET && 2 * mostY < 2 ** (ring - 2)))
    refuse(`an inverse behind a Newton step of ${ring} bits, its interval ${bits(mostY)}`);
  const largest = newton ? upperLimit(mostY) : sum;
  const product = Math.log2(limit + 1) + (square ? 2 : 1) * Math.log2(largest);
  const N = Math.max(Math.floor(product) + 3, nV + 1, ring + 3);
  if (N > MAX_RING) refuse(`a product of ${N} bits`);

  const error = (square ? 2 : 1) * fit.fit_error + offset + ROUNDING;
  const at = target * 2 ** (fV + (square ? 2 : 1) * fY);
  const cutZ = Math.max(0, Math.floor(Math.log2(at)) - KEPT_TARGET);
  const goal = at / 2 ** cutZ;
  let half = RESIDUAL;
  while (residualSafe(goal, half) < error && half <= WIDEST) half *= 1.05;
  if (half > WIDEST)
    refuse(`the fit is off by ${fit.fit_error.toPrecision(2)}, too much to be told from a wrong value`);
  return {
    cutV,
    upper: upperLevels(most, 2 ** (nV - 2), nV),
    limit: limit / 2 ** fV,
    cutY,
    nY: ring,
    ...(newton && { upperY: upperLevels(mostY, 2 ** (ring - 2), ring) }),
    square,
    N,
    cutZ,
    levels: residualLevels(goal, half, N - cutZ),
    half,
  };
}

/** Levels of an ext wire of ring n: it passes exactly where the ext gate is right. */
export const extLevels = (n: number): GuardLevel[] => [{ n, offset: 0, free: 2 ** (CELL_BITS - 1) - 1 }];

/** The residual of layer l's denominators, whose heads end at D0. */
export function denominatorSite(p: Pick<Plan, 'layers' | keyof Scales>, l: number): ResidualSite {
  const q = p.layers[l]!;
  const nY = q.nO + p.fpv + q.D.gate.f_out - p.fo;
  return { name: `${l}.D`, fit: q.D, n: q.NP + 3, f: 2 * p.fs, nY, square: false, target: 1 };
}

/** The residual of a LayerNorm: y² Σx² = H but for ε. */
export function normSite(p: Pick<Plan, 'norm' | 'H' | 'fx' | 'eps'>, { key, ft, nOut }: NormSite): ResidualSite {
  const fit = p.norm[key]!;
  const nY = nOut + ft + fit.gate.f_out - p.fx;
  const offset = (p.H * (p.eps ?? 0)) / fit.interval[0];
  return { name: key, fit, n: fit.N + 3, f: 2 * ft, nY, square: true, target: p.H, offset };
}
