/**
 * One Newton step behind a Fourier gate, for inverses over so wide a range that no affordable series meets its tolerance: the
 * series is fitted roughly, y0 = (1 + e)/x or (1 + e)√(t/x), and the step squares its error.
 *
 *   1/x    y1 = 2 y0 − y0·(x y0)             (1 − e²)/x
 *   √(t/x) y1 = (3 y0 − y0²·(x y0 / t)) / 2  (1 − 3e²/2 − e³/2) √(t/x)
 *
 * Two rounds more than the series alone, on scalars:
 *   beside the opening of the series   v, x cut to KEPT significant bits at its lower end, as ext
 *   one round                          y0 as ext in a ring that holds every value of its sum, v lifted as operand: y0², v·y0
 *   one round                          p = v·y0, or that over t, as operand (and y0² as ext): their product, and y1
 * Values above the interval make y1 anything; its guard judges y1 itself (`residual`).
 * Source: masked-suite design, section 8. There it is one gate of one round; these are the gates that programs have anyway.
 */
import { RefusedError } from '../common/errors.ts';
import { amplitude } from './amplitude.ts';
import type { PlanReciprocal } from './plan.ts';

/** Ratio of an interval's ends above which a series alone takes more harmonics than half as many and a step. */
export const NEWTON_RATIO = 600;

/** Significant bits kept of every factor where it is smallest. */
const KEPT = 15;
/** What these cuts and that of 1/t add: four halves of 2^-15 at most. */
const ROUNDING = 2 ** -14;
const WIDEST = 128;
/** Of `scale`. */
const MOST_FACTOR = 29;

/** Relative error after the step where the series is off by e; `square` for 1/√x. */
export const newtonError = (e: number, square: boolean): number =>
  (square ? 1.5 * e ** 2 + 0.5 * e ** 3 : e ** 2) + ROUNDING;

/** An inverse and where it stands: v in ring n at scale f, y in ring nY at the scale of its gate, y v or y² v = target. */
export interface InverseSite {
  readonly name: string;
  readonly fit: Pick<PlanReciprocal, 'gate' | 'interval' | 'newton'>;
  readonly n: number;
  readonly f: number;
  readonly nY: number;
  readonly square: boolean;
  readonly target: number;
}

/** Rings and scales of a step. */
export interface NewtonStep {
  /** Bits cut from v. */
  readonly cutV: number;
  /** Ring of y0. */
  readonly nStart: number;
  /** Ring in which v is an operand and v·y0 is made; what stands for 1/t at scale 2^inverseBits; bits cut from the product. */
  readonly nP: number;
  readonly inverse: number;
  readonly inverseBits: number;
  readonly cutP: number;
  /** Inverse roots: ring in which y0² is made, bits cut from it. */
  readonly nW: number;
  readonly cutW: number;
  /** Ring and scale of the difference; y1 is what `cut` bits less leave. */
  readonly nEnd: number;
  readonly scale: number;
  readonly cut: number;
}

/** 1/t to KEPT bits; exact for powers of two. */
function inverseOf(t: number): { inverse: number; inverseBits: number } {
  const whole = Math.log2(t);
  if (Number.isInteger(whole) && whole >= 0) return { inverse: 1, inverseBits: whole };
  const inverseBits = KEPT + least(t);
  return { inverse: Math.round(2 ** inverseBits / t), inverseBits };
}

const least = (x: number): number => Math.floor(Math.log2(x));

/** @throws RefusedError if the rings do not suffice */
export function newtonStep({ name, fit, n, f, nY, square, target }: InverseSite): NewtonStep {
  const need = (holds: boolean, problem: string): void => {
    if (!holds) throw new RefusedError(`plan: ${name}: Newton step: ${problem}`, 'narrow its range: train with a range penalty, or lower --max-length'); // prettier-ignore
  };
  const [lo, hi] = fit.interval;
  const { f_out } = fit.gate;
  const kept = (have: number, smallest: number): number => Math.max(0, have - (KEPT - least(smallest)));
  const cutV = kept(f, lo);
  const fV = f - cutV;
  const sum = least(amplitude(fit.gate) * 2 ** f_out + 1) + 1;
  const nStart = sum + 2;

  const { inverse, inverseBits } = inverseOf(target);
  const fRaw = fV + f_out + inverseBits;
  // v y0 / t: 1, or √(v / t)
  const cutP = kept(fRaw, square ? Math.sqrt(lo / target) : 1);
  const fP = fRaw - cutP;
  const cutW = square ? kept(2 * f_out, target / hi) : 0;
  const factor = square ? 2 * f_out - cutW : f_out;
  const scale = factor + fP;
  const cut = scale - f_out + (square ? 1 : 0);
  const nEnd = nY + cut;
  const nP = Math.max(nEnd + cutP, n - cutV + 1);
  const nW = 2 * sum + 2;
  need(scale - f_out <= MOST_FACTOR, `${scale - f_out} bits between y and its correction`);
  need(nP <= WIDEST, `a product of ${nP} bits, at most ${WIDEST}`);
  need(nEnd > nStart && (!square || nEnd > nW - cutW), `a ring of ${nEnd} bits, its series has ${nStart}`);
  return { cutV, nStart, nP, inverse, inverseBits, cutP, nW, cutW, nEnd, scale, cut };
}

/** Largest |y1| over all v in [0, limit]: the step at the largest |sum| of its series. */
export function newtonReach({ fit, square, target }: InverseSite, limit: number): number {
  const a = amplitude(fit.gate);
  return (square ? (3 * a + (limit / target) * a ** 3) / 2 : 2 * a + limit * a ** 2) * 1.01;
}
