/** The three families of functions a program evaluates by Fourier gates. */
import { RefusedError } from '../../common/errors.ts';
import { NotPositiveDefinite } from './cholesky.ts';
import { NEWTON_RATIO, newtonError } from '../newton.ts';
import type { PlanGate, PlanReciprocal } from '../plan.ts';
import { integerGate } from './gate.ts';
import { Fourier, fit, type Fit, type FitOptions } from './lawson.ts';

/** Harmonics tried for reciprocals, GeLU groups and tanh, ascending. */
const RECIPROCAL_K = [8, 12, 16, 24, 32, 40, 48, 64, 80, 96, 128, 160, 192];
const GELU_K = [2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 16, 20, 24, 32];
const TANH_K = [6, 8, 10, 12, 14, 16, 20, 24, 28];
const RIDGES = [1e-5, 1e-6, 1e-7, 1e-8, 1e-9];

/** Largest Σ|coefficient| / f(lo): bounds what the rounding of the trig words can add. */
const SMAX = 400;

/** Harmonics of a series before a Newton step, over those of one that does without. */
const ROUGH = 0.4;
/** What lies between the points of a fit's grid, and the rounding of the series, as a factor of its error. */
const SPREAD = 1.1;

export interface ReciprocalOptions {
  /** The wire is the real value times this. */
  readonly scale: number;
  /** Relative error to reach. */
  readonly tolerance: number;
  /** Significant bits kept at the small end of the result. */
  readonly bits: number;
  /** Least period / hi. Close to 1 the periodic function must jump back: 1.08 needs half the harmonics of 1.02. */
  readonly gap: number;
  /** Where to start looking for K, by hi / lo. */
  readonly harmonics: (ratio: number) => number;
  /** f is 1/√x, not 1/x, up to a factor: what a Newton step makes of it. */
  readonly square: boolean;
}

/**
 * c/x or c/√x on [lo, hi]. The wire is multiplied by mul / 8 so that the period 2^b is just above the interval. The least K of
 * the list that meets the tolerance; where hi / lo exceeds `NEWTON_RATIO` or no K meets it, the least K whose error a Newton step
 * brings below it; else the best found.
 * @throws RefusedError if no fit has bounded coefficients
 */
export function fitReciprocal(
  name: string,
  f: (x: number) => number,
  lo: number,
  hi: number,
  { scale, tolerance, bits, gap, harmonics, square }: ReciprocalOptions,
): Omit<PlanReciprocal, 'drop'> {
  const top = hi * gap * scale;
  const b = Math.ceil(Math.log2(top));
  const mul = Math.max(1, Math.floor((8 * 2 ** b) / top));
  const period = ((2 ** b / scale) * 8) / mul;
  const options = { lo, hi, period, relative: true };
  const ratio = hi / lo;
  let found = ratio > NEWTON_RATIO ? undefined : leastHarmonics(f, options, tolerance, harmonics(ratio));
  let newton: number | undefined;
  if (found === undefined) {
    const rough = roughTolerance(tolerance, square);
    found = leastHarmonics(f, options, rough, ROUGH * harmonics(ratio)) ?? bestOf(f, options);
    newton = found?.error;
  }
  if (found === undefined)
    throw new RefusedError(
      `fit: ${name}: no series with bounded coefficients on [${lo.toPrecision(3)}, ${hi.toPrecision(3)}]`,
      'narrow the range: train with a range penalty, or lower --max-length',
    );
  const g1 = found.size <= 90 ? 28 : 27;
  const g2 = g1 + Math.floor(-Math.log2(f(lo)));
  const f_out = bits + Math.max(0, Math.ceil(-Math.log2(f(hi))));
  const gate = integerGate(found, { b, g1, g2, f_out });
  const series = { gate, mul, interval: [lo, hi], period } as const;
  if (newton === undefined) return { ...series, fit_error: found.error };
  return { ...series, fit_error: newtonError(SPREAD * newton, square), newton };
}

/** The error of a series that a Newton step brings to `tolerance`: 1/x squares it, 1/√x makes it 3/2 of its square and a bit. */
function roughTolerance(tolerance: number, square: boolean): number {
  let [below, above] = [0, 1];
  for (let i = 0; i < 50; i++) {
    const middle = (below + above) / 2;
    if (newtonError(SPREAD * middle, square) < tolerance) below = middle;
    else above = middle;
  }
  return below;
}

/** The least K whose fit meets the tolerance, `guess` being about that many; undefined if none does. */
function leastHarmonics(
  f: (x: number) => number,
  options: Omit<FitOptions, 'harmonics'>,
  tolerance: number,
  guess: number,
): Fit | undefined {
  const problems = new Map<number, Fit | undefined>();
  const at = (i: number): Fit | undefined => {
    const K = RECIPROCAL_K[i]!;
    if (!problems.has(K)) problems.set(K, bestRidge(f, { ...options, harmonics: K }, tolerance));
    return problems.get(K);
  };
  const meets = (i: number): boolean => (at(i)?.error ?? Infinity) < tolerance;
  // measured: about this many harmonics; then walk to the least K that meets the tolerance
  const last = RECIPROCAL_K.length - 1;
  const first = RECIPROCAL_K.findIndex((K) => K >= guess);
  let i = first < 0 ? last : first;
  while (i > 0 && meets(i - 1)) i--;
  while (i < last && !meets(i)) i++;
  return meets(i) ? at(i) : undefined;
}

/** The smallest error over the ridges whose coefficients stay bounded; undefined if none comes near `tolerance`. */
function bestRidge(f: (x: number) => number, options: FitOptions, tolerance = Infinity): Fit | undefined {
  const problem = new Fourier(f, options);
  let best: Fit | undefined;
  for (const ridge of RIDGES) {
    let found: Fit | undefined;
    try {
      found = problem.solve(ridge, 14, 2 * Math.min(tolerance, best?.error ?? Infinity));
    } catch (error) {
      // the ridge drowns in the rounding of a wide interval's moments, and smaller ones do too
      if (error instanceof NotPositiveDefinite) break;
      throw error;
    }
    if (found !== undefined && found.size <= SMAX && (best === undefined || found.error < best.error)) best = found;
  }
  return best;
}

/** Where no number of harmonics meets the tolerance: the best there is, which the bound on the coefficients may put below the most. */
function bestOf(f: (x: number) => number, options: Omit<FitOptions, 'harmonics'>): Fit | undefined {
  return RECIPROCAL_K.slice(-4)
    .map((harmonics) => bestRidge(f, { ...options, harmonics }))
    .reduce((a, c) => (a === undefined || (c !== undefined && c.error < a.error) ? c : a));
}

export interface SeriesOptions {
  readonly tolerance: number;
  /** Periods to try, over the interval. */
  readonly ratios?: readonly number[];
  readonly b: number;
  readonly g1: number;
  readonly g2: number;
  readonly f_out: number;
}

export interface ActivationFit {
  readonly gate: PlanGate;
  readonly lo: number;
  readonly hi: number;
  readonly period: number;
  readonly slope: number;
  readonly err: number;
}

/** f(x) ≈ slope·x + Fourier(x) on [lo, hi]: the linear part is free, it is folded into the weights. */
export function fitActivation(
  f: (x: number) => number,
  lo: number,
  hi: number,
  { tolerance, ratios = [1.15, 1.25, 1.4], ...scales }: SeriesOptions,
): ActivationFit {
  let best: (Fit & { period: number }) | undefined;
  for (const harmonics of GELU_K) {
    for (const ratio of ratios) {
      const period = (hi - lo) * ratio;
      const found = fit(f, { lo, hi, period, harmonics, slope: true });
      if (best === undefined || found.error < best.error) best = { ...found, period };
    }
    if (best!.error < tolerance) break;
  }
  const { period, slope, error } = best!;
  return { gate: integerGate(best!, scales), lo, hi, period, slope, err: error };
}

/** tanh on [−R, R]. */
export function fitTanh(
  R: number,
  { tolerance, ratios = [1.1, 1.25, 1.5], ...scales }: SeriesOptions,
): Omit<ActivationFit, 'slope'> {
  let best: (Fit & { period: number }) | undefined;
  for (const harmonics of TANH_K) {
    best = undefined;
    for (const ratio of ratios) {
      const period = 2 * R * ratio;
      const found = fit(Math.tanh, { lo: -R, hi: R, period, harmonics, iterations: 25, grid: 1000 });
      if (best === undefined || found.error < best.error) best = { ...found, period };
    }
    if (best!.error < tolerance) break;
  }
  const { period, error } = best!;
  return { gate: integerGate(best!, scales), lo: -R, hi: R, period, err: error };
}
