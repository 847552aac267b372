/**
 * What guards ask of a plan: rings of interpreted wires that hold what the weights allow, so that nothing wraps unseen, and
 * periods with a cell to spare at either end of the calibrated values, so that none of those is flagged.
 */
import type { Bounds } from './bounds.ts';
import { fitRatio } from './guard-levels.ts';
import type { LayerReach } from './plan.ts';

/** Ring bits an integer below x needs, and one: 2^bits > x. */
export const bits = (x: number): number => Math.floor(Math.log2(Math.max(x, 1e-9))) + 1;

/** Above a bound: what truncation adds. */
const ROUNDING = 1.01;
/** A denominator passes up to (4 hi + 8) / 3 units (`upperLimit`); the numerators are cut to few bits, which adds up over the keys. */
const DENOMINATOR = 1.4;
/** Cells of 16 that a fit interval may take of its period; the fits choose. */
const FIT_CELLS = [14, 13, 11];
/** Least part of a fit interval to spare at either end: a cell of the widest period, and its rounding. */
const SPARE = 1 / (Math.min(...FIT_CELLS) - 0.1);
const NARROWEST = 16 / 14 - 0.001;

/** Ring of a guarded ext wire, by units seen (with their margin) and units the weights allow. */
export const extRing = (seen: number, reach: number): number =>
  Math.max(bits(seen / 0.75), bits((reach * ROUNDING) / 3)) + 2;

/** Ring of an ext wire that holds all the weights allow, in units: it needs no guard. */
export const wholeRing = (reach: number): number => bits(reach * ROUNDING + 2) + 2;

/** Period over interval, for the fits of a guarded plan. */
export const fitRatios = (b: number): number[] => FIT_CELLS.map((cells) => fitRatio(cells, b));

/** The wires the weights bound in layer l. `lambda` in the units of the plan's denominators, `scale` the largest length factor. */
export function layerReach(
  bounds: Bounds,
  l: number,
  plan: {
    readonly lambda: readonly number[];
    readonly c: readonly number[];
    readonly scale: number;
    readonly D0: number;
    /** Where sums of keys are opened: most tokens of a text. */
    readonly tokens?: number;
    /** Keys are opened, to be scaled. */
    readonly scaled?: boolean;
    /** (F) largest |gelu| in the interval of every unit. */
    readonly activation: Float64Array;
  },
): LayerReach {
  const own = bounds.layers[l]!;
  const score = own.score.map((s, h) => plan.lambda[h]! * plan.scale * (s + Math.abs(plan.c[h]!)));
  return {
    score: Math.max(...score),
    ...(plan.tokens !== undefined && { keySum: plan.tokens * own.key }),
    ...(plan.scaled && { key: own.key }),
    context: DENOMINATOR * plan.D0 * Math.max(...own.value),
    norm1: own.norm1,
    norm2: own.norm2(plan.activation),
  };
}

/**
 * A fit interval around [lo, hi] in which [from, to], the calibrated values, stay clear of the outer cells, and whose period is
 * more than an eighth of what the weights allow.
 */
export function fitInterval(
  [lo, hi]: readonly [number, number],
  [from, to]: readonly [number, number],
  reach: number,
): [number, number] {
  const short = (reach * ROUNDING) / (8 * NARROWEST) - (hi - lo);
  let [a, b] = short > 0 ? [lo - short / 2, hi + short / 2] : [lo, hi];
  // each step spares less than the one before: 2 SPARE < 1/5
  for (let i = 0; i < 40; i++) {
    const spare = SPARE * (b - a);
    [a, b] = [Math.min(a, from - spare), Math.max(b, to + spare)];
  }
  return [a, b];
}

/** Half width of tanh's interval that `reach` asks for. */
export const tanhReach = (reach: number): number => (reach * ROUNDING) / (16 * NARROWEST);

/** Ring of a sum of `terms` squares of values below 2^(n−2), less what the plan's N leaves out: it stays below a quarter of it. */
export const squareSum = (n: number, terms: number): number => Math.ceil(2 * (n - 2) + Math.log2(terms)) - 1;
