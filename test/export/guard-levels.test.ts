/** Which values guards let pass: every value against every mask at small rings, many at real ones. The oracle is the interval. */
import { describe, expect, it } from 'vitest';
import { CounterRandom } from '../../common/random.ts';
import { CELL_BITS, fitRatio, FIT_CELLS, nestedLevels, PERIOD_BITS, periodLevels, RESIDUAL, residualLevels, residualSafe, upperLevels, upperLimit } from '../../export/guard-levels.ts'; // prettier-ignore
import { cellBits, cellTables, guardSpan } from '../../protocol/gates/guard-cells.ts';
import type { GuardLevel } from '../../protocol/program.ts';
import { add, fromNumbers, type Words } from '../../ring/index.ts';

/** 1 where any level flags x under mask r. */
function flags(x: Words, r: Words, levels: readonly GuardLevel[]): Uint8Array {
  const c = add(x, r);
  const out = new Uint8Array(x.length);
  for (const level of levels)
    cellBits(c, cellTables(r, level, CELL_BITS), level, CELL_BITS).forEach((bit, i) => (out[i]! |= bit));
  return out;
}

/** Share of all masks under which each x of the whole ring is flagged. */
function probabilities(n: number, levels: readonly GuardLevel[], from: number): Float64Array {
  const masks = fromNumbers(Float64Array.from({ length: 2 ** n }, (_, r) => r), n); // prettier-ignore
  return Float64Array.from({ length: 2 ** n }, (_, i) => {
    const x = fromNumbers(new Float64Array(2 ** n).fill(from + i), n);
    return flags(x, masks, levels).reduce((a, b) => a + b, 0) / 2 ** n;
  });
}

const uniform = (random: CounterRandom, n: number, length: number): Words =>
  fromNumbers(Float64Array.from({ length }, () => random.int(2 ** Math.min(n, 30))), n); // prettier-ignore

describe('a period, every value of 16 periods under every mask', () => {
  const b = 6;
  const cell = 2 ** (b - CELL_BITS);
  it.each([14, 13, 12, 11, 9, 6, 4, 3])('%i cells', (cells) => {
    expect(cells).toBeLessThanOrEqual(FIT_CELLS);
    for (const lo of [-37, -1.5]) {
      const hi = lo + 2 ** b / fitRatio(cells, b);
      const levels = periodLevels(lo, hi, b);
      expect([levels[0]!.n, levels.at(-1)!.n, levels.length <= 3]).toEqual([b + 4, b, true]);
      const from = Math.floor((lo + hi) / 2) - 8 * 2 ** b;
      probabilities(b + PERIOD_BITS, levels, from).forEach((p, i) => {
        const x = from + i;
        const inside = Math.min(x - lo, hi - x);
        if (inside < 0) expect(p, `${x} outside [${lo}, ${hi}]`).toBe(1);
        else if (inside >= cell + 2) expect(p, `${x} inside [${lo}, ${hi}]`).toBe(0);
        // linear over the last cell
        else expect(Math.abs(p - (1 - inside / cell))).toBeLessThanOrEqual(2.01 / cell + 1e-9);
      });
    }
  });
});

describe('ext wires, every value under every mask', () => {
  it('pass exactly the legal half of the ring, are safe in three quarters of it', () => {
    const n = 9;
    const quarter = 2 ** (n - 2);
    const levels = nestedLevels(n, { n, offset: 0, free: 7 });
    // the opening masks v + 2^(n−2)
    probabilities(n, levels, 0).forEach((p, x) => {
      const v = x - quarter;
      if (v < -quarter || v >= quarter) expect(p).toBe(1);
      else if (Math.abs(v) < 0.75 * quarter) expect(p).toBe(0);
    });
  });
});

describe('an upper limit, every value under every mask', () => {
  it.each([3, 5, 7, 20, 24, 25, 47])('%i', (hi) => {
    const n = 10;
    const zero = 2 ** (n - 2);
    const levels = upperLevels(hi, zero, n);
    expect(upperLimit(hi)).toBeLessThan((4 * hi + 8) / 3 + 2);
    probabilities(n, levels, zero).forEach((p, x) => {
      if (x >= 2 ** n - 2 ** (n - 2)) return; // below zero
      if (x <= hi) expect(p, `${x}`).toBe(0);
      else if (x > upperLimit(hi)) expect(p, `${x}`).toBe(1);
    });
  });
});

describe('a residual, every value under every mask', () => {
  it.each([192, 200, 256, 300, 383])('about %i', (target) => {
    const n = 11;
    const levels = residualLevels(target, RESIDUAL, n);
    const safe = residualSafe(target, RESIDUAL);
    expect(safe).toBeGreaterThan(0.0208 - 2 / target);
    probabilities(n, levels, target - 2 ** (n - 1)).forEach((p, i) => {
      const off = Math.abs(i - 2 ** (n - 1)) / target;
      if (off > RESIDUAL) expect(p, `${i}`).toBe(1);
      else if (off <= safe) expect(p, `${i}`).toBe(0);
    });
  });

  it('has seven levels from 2^16 times the target down', () => {
    expect(residualLevels(2 ** 10, RESIDUAL, 26)).toHaveLength(7);
  });
});

describe('rings as in a program, random values and masks', () => {
  const random = new CounterRandom(5, 'guard');
  const COUNT = 2 ** 17;

  it.each([
    [-3.1, 2.7, 14, 14],
    [-8.2, 5.9, 14, 13],
    [-16.8, 26.9, 14, 12],
    [-4, 4, 15, 14],
  ])('a fit on [%d, %d]: none missed, none flagged', (a, c, b, cells) => {
    const unit = 2 ** b / ((c - a) * fitRatio(cells, b));
    const [lo, hi] = [a * unit, c * unit];
    const levels = periodLevels(lo, hi, b);
    const cell = 2 ** (b - CELL_BITS);
    const mid = (lo + hi) / 2;
    const n = b + PERIOD_BITS;
    // over 16 periods, half of them in the two periods about the interval, some at the edges
    const x = Float64Array.from({ length: COUNT }, (_, i) => {
      const spread = i % 2 === 0 ? 2 ** n : 2 ** (b + 1);
      if (i % 64 === 1) return Math.ceil(lo) - 1;
      if (i % 64 === 3) return Math.floor(hi) + 1;
      if (i % 64 === 5) return Math.ceil(lo) + cell + 1;
      if (i % 64 === 7) return Math.floor(hi) - cell - 2;
      return Math.floor(mid + (random.uniform() - 0.5) * spread);
    });
    const flagged = flags(fromNumbers(x, n), uniform(random, n, COUNT), levels);
    let [missed, wrong, outside, inside] = [0, 0, 0, 0];
    x.forEach((v, i) => {
      if (v < lo || v > hi) {
        outside++;
        if (flagged[i] === 0) missed++;
      } else if (v >= lo + cell + 1 && v <= hi - cell - 2) {
        inside++;
        wrong += flagged[i]!;
      }
    });
    expect([missed, wrong]).toEqual([0, 0]);
    expect(Math.min(outside, inside)).toBeGreaterThan(COUNT / 8);
  });

  it('residuals over 2^17 times their target', () => {
    const target = 768 * 2;
    const n = Math.floor(Math.log2(target / 48)) + 4 + 21;
    const levels = residualLevels(target, RESIDUAL, n);
    const safe = residualSafe(target, RESIDUAL);
    const x = Float64Array.from({ length: COUNT }, (_, i) =>
      i % 2 === 0 ? Math.floor((random.uniform() - 0.5) * 2 ** n) : Math.floor(target * (1 + (random.uniform() - 0.5) * 0.2)),
    ); // prettier-ignore
    const flagged = flags(fromNumbers(x, n), uniform(random, n, COUNT), levels);
    let [missed, wrong] = [0, 0];
    x.forEach((v, i) => {
      const off = Math.abs(v / target - 1);
      if (off > RESIDUAL && flagged[i] === 0) missed++;
      if (off <= safe && flagged[i] === 1) wrong++;
    });
    expect([missed, wrong]).toEqual([0, 0]);
  });
});

describe('guardSpan', () => {
  const three = periodLevels(-20, -20 + 2 ** 6 / fitRatio(14, 6), 6);
  it('gives one interval for nested levels', () => {
    expect(guardSpan(three, CELL_BITS)).toEqual({ passes: [-20n, 36n], safe: [-16n, 32n] });
  });
  it('refuses levels that leave two copies, no flagged cell, or none free', () => {
    const [wide, middle, narrow] = three as [GuardLevel, GuardLevel, GuardLevel];
    expect(guardSpan([wide, narrow], CELL_BITS)).toBeUndefined();
    expect(guardSpan([{ ...wide, free: 7 }, middle, narrow], CELL_BITS)).toBeUndefined();
    expect(guardSpan([{ ...wide, free: 15 }], CELL_BITS)).toBeUndefined();
    expect(guardSpan([{ ...wide, free: 1 }], CELL_BITS)).toBeUndefined();
    expect(guardSpan([], CELL_BITS)).toBeUndefined();
  });
});
