/**
 * Levels of a guard (protocol/gates/guard-cells.ts): from the interval a gate is right on to nested windows of 16 cells, so that
 * nothing outside passes, up to the whole ring of the opening, and nothing inside is flagged but in the last cell at either end.
 */
import { RefusedError } from '../common/errors.ts';
import { guardSpan } from '../protocol/gates/guard-cells.ts';
import type { GuardLevel } from '../protocol/program.ts';

/** 2^m cells a level. */
export const CELL_BITS = 4;
const CELLS = 2 ** CELL_BITS;

/** Most cells of a period that a fit interval may take: then the window of twice the width nests. */
export const FIT_CELLS = CELLS - 2;

/** Ring bits a guarded Fourier opening has above its period: 16 periods. */
export const PERIOD_BITS = 4;

/**
 * The levels from ring 2^n down to `narrowest`, which alone decides the interval; the others only tell its copies apart. Each is
 * centred on the window of the one below, must be safe where that one is, and may meet no other copy of its window; of the rings
 * 3, 2 or 1 bits above for which that can be had, the largest is taken.
 * @throws RefusedError if the window is too wide for its period
 */
export function nestedLevels(n: number, narrowest: GuardLevel): GuardLevel[] {
  const levels = [narrowest];
  while (levels[0]!.n < n) {
    const wide = wider(levels[0]!, n);
    if (wide === undefined) break;
    levels.unshift(wide);
  }
  if (levels[0]!.n !== n || guardSpan(levels, CELL_BITS) === undefined)
    throw new RefusedError(`guard: ${narrowest.free} free cells of ${CELLS} in rings ${narrowest.n} to ${n} single out no interval`, 'export again'); // prettier-ignore
  return levels;
}

function wider({ n, offset, free }: GuardLevel, most: number): GuardLevel | undefined {
  const cell = 2 ** (n - CELL_BITS);
  const [period, width] = [2 ** n, (free + 1) * cell];
  for (let s = Math.min(3, most - n); s >= 1; s--) {
    const wide = cell * 2 ** s;
    const level = { n: n + s, offset: 0, free: Math.max(2, Math.ceil((width - 2 * cell) / wide) + 1) };
    const reach = (level.free + 1) * wide;
    level.offset = offset + Math.floor((width - reach) / 2);
    const apart = level.offset >= offset + width - period && level.offset + reach <= offset + period;
    const safe = level.offset + wide <= offset + cell && level.offset + level.free * wide >= offset + free * cell;
    if (apart && safe) return level;
  }
  return undefined;
}

/**
 * Levels of a Fourier gate of period 2^b that is right on [lo, hi] (units of its opening), opened modulo 2^(b + 4): nothing
 * outside [lo, hi] passes; [lo + P/16 + 1, hi − P/8) is safe at least, and [lo + P/16 + 1, hi − P/16 − 1) if hi − lo is a whole
 * number of cells and two units more (`fitRatio`).
 */
export function periodLevels(lo: number, hi: number, b: number): GuardLevel[] {
  const cell = 2 ** (b - CELL_BITS);
  const offset = Math.ceil(lo);
  const cells = Math.min(FIT_CELLS, Math.floor((hi - offset) / cell));
  return nestedLevels(b + PERIOD_BITS, { n: b, offset, free: cells - 1 });
}

/** A fit interval and its period, real. */
export interface FitInterval {
  readonly lo: number;
  readonly hi: number;
  readonly period: number;
}

/** In units of a period wire: 2^b to a period. */
export function fitLevels({ lo, hi, period }: FitInterval, b: number): GuardLevel[] {
  const unit = 2 ** b / period;
  return periodLevels(lo * unit, hi * unit, b);
}

/** Period over interval for which [lo, hi] is `cells` cells and two units, whatever the rounding of lo. */
export const fitRatio = (cells: number, b: number): number => 2 ** b / (cells * 2 ** (b - CELL_BITS) + 2);

/** Cells that hold 0..hi: the width of one as a power of two, and how many, at most 12. */
function upperCells(hi: number): { log: number; count: number } {
  const log = Math.max(1, Math.ceil(Math.log2((hi + 1) / (FIT_CELLS - 2))));
  return { log, count: Math.ceil((hi + 1) / 2 ** log) };
}

/** Levels that are safe for 0 ≤ x ≤ hi and pass nothing above `upperLimit(hi)`; `zero` in units of the opening, ring 2^n. */
export function upperLevels(hi: number, zero: number, n: number): GuardLevel[] {
  const { log, count } = upperCells(hi);
  return nestedLevels(n, { n: log + CELL_BITS, offset: zero - 2 ** log, free: count + 1 });
}

/** Largest x that `upperLevels` may pass: less than (4 hi + 8) / 3. */
export function upperLimit(hi: number): number {
  const { log, count } = upperCells(hi);
  return (count + 1) * 2 ** log - 1;
}

/** Half width within which a residual passes, relative to its target, where its fit allows. */
export const RESIDUAL = 1.5 / 32;

/** The narrowest level about `target`: 4 to 8 cells that reach no further than target (1 ± half). */
function residualLevel(target: number, half: number): GuardLevel {
  const log = Math.floor(Math.log2((2 * half * target) / 4.5));
  const cells = Math.floor((2 * half * target) / 2 ** log);
  return { n: log + CELL_BITS, offset: Math.ceil(target - cells * 2 ** (log - 1)), free: cells - 1 };
}

/** Levels about `target` in ring 2^n: nothing beyond target (1 ± half) passes. */
export const residualLevels = (target: number, half: number, n: number): GuardLevel[] =>
  nestedLevels(n, residualLevel(target, half));

/** Half width, relative to its target, within which a residual is never flagged: target ± a cell or so less than `half`. */
export function residualSafe(target: number, half: number): number {
  const { n, offset, free } = residualLevel(target, half);
  const cell = 2 ** (n - CELL_BITS);
  return Math.min(target - (offset + cell), offset + free * cell - 1 - target) / target;
}
