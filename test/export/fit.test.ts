/** Fits against the functions themselves on fine grids, from the integers that are shipped. */
import { describe, expect, it } from 'vitest';
import { RefusedError } from '../../common/errors.ts';
import { erf, gelu, geluNew } from '../../export/fit/erf.ts';
import { solveCholesky } from '../../export/fit/cholesky.ts';
import { fitActivation, fitReciprocal, fitTanh } from '../../export/fit/functions.ts';
import { rint } from '../../export/fit/gate.ts';
import type { PlanGate } from '../../export/plan.ts';

/** The series of a gate's integers at a real x with period P. */
function evaluate(g: PlanGate, x: number, P: number): number {
  let y = Number(g.a0) / 2 ** (g.g1 + g.g2);
  g.a.forEach((a, i) => {
    const angle = (2 * Math.PI * (i + 1) * x) / P;
    y += (Number(a) * Math.cos(angle) + Number(g.b_k[i]) * Math.sin(angle)) / 2 ** g.g2;
  });
  return y;
}

const grid = (lo: number, hi: number, n = 4001): number[] =>
  Array.from({ length: n }, (_, i) => lo + ((hi - lo) * i) / (n - 1));
const geometric = (lo: number, hi: number): number[] => grid(Math.log(lo), Math.log(hi)).map(Math.exp);
/** A minimax error between two grid points may be this much above the one on the fit's own grid. */
const BETWEEN = 1.05;

it('erf to double precision (values of Abramowitz & Stegun, table 7.1, and DLMF 7.2)', () => {
  for (const [x, y] of [
    [0, 0],
    [0.1, 0.1124629160182849],
    [0.5, 0.5204998778130465],
    [1, 0.8427007929497149],
    [2, 0.9953222650189527],
    [3, 0.9999779095030014],
    [5, 0.9999999999984626],
  ] as const) {
    // prettier-ignore
    expect(Math.abs(erf(x) - y)).toBeLessThan(1e-15);
    expect(erf(-x) + erf(x)).toBe(0);
  }
  expect(Math.abs(gelu(1) - 0.8413447460685429)).toBeLessThan(1e-15);
  for (const x of grid(-8, 8, 101)) expect(Math.abs(gelu(x) - geluNew(x))).toBeLessThan(5e-4);
});

it('rounds half to even', () => {
  expect([0.5, 1.5, 2.5, -0.5, -1.5, 2.4, 2.6, -2.6].map(rint)).toEqual([0, 2, 2, 0, -2, 2, 3, -3]);
});

it('Cholesky solves a known system', () => {
  const x = solveCholesky(Float64Array.of(4, 2, 2, 2, 5, 3, 2, 3, 6), Float64Array.of(8, 10, 11), 3);
  [4 * x[0]! + 2 * x[1]! + 2 * x[2]!, 2 * x[0]! + 5 * x[1]! + 3 * x[2]!, 2 * x[0]! + 3 * x[1]! + 6 * x[2]!].forEach(
    (v, i) =>
      // prettier-ignore
      expect(Math.abs(v - [8, 10, 11][i]!)).toBeLessThan(1e-13),
  );
  expect(() => solveCholesky(Float64Array.of(1, 2, 2, 1), Float64Array.of(1, 1), 2)).toThrow('positive definite');
});

describe('reciprocals', () => {
  const options = { scale: 8, bits: 12, gap: 1.08, harmonics: (r: number) => 0.7 * r ** 0.9 };
  it.each([
    ['1/x', (x: number) => 1 / x, 16, 1e-3],
    ['1/x', (x: number) => 1 / x, 120, 1e-3],
    ['1/√x', (x: number) => x ** -0.5, 40, 3e-4],
    ['1/√x', (x: number) => x ** -0.5, 300, 3e-4],
  ] as const)('%s over a ratio of %#: the shipped integers meet the tolerance', (_, f, ratio, tolerance) => {
    const [lo, hi] = [4096 / ratio, 4096];
    const r = fitReciprocal('test', f, lo, hi, { ...options, tolerance, square: f(4) !== 0.25 });
    expect(r.fit_error).toBeLessThan(tolerance);
    const worst = Math.max(...geometric(lo, hi).map((x) => Math.abs(evaluate(r.gate, x, r.period) / f(x) - 1)));
    expect(worst).toBeLessThan(r.fit_error * BETWEEN + 1e-6);
    // the period of the wire: 2^b words of 1/scale, the wire being multiplied by mul / 8
    expect(r.period).toBeCloseTo((2 ** r.gate.b / options.scale) * (8 / r.mul), 9);
    expect(r.period / hi).toBeGreaterThanOrEqual(1.08);
    expect(r.mul).toBeGreaterThanOrEqual(8);
    expect(r.mul).toBeLessThanOrEqual(16);
  });

  it('takes no more harmonics than it needs', () => {
    const exact = { ...options, tolerance: 1e-3, square: false };
    const few = fitReciprocal('test', (x) => 1 / x, 1024, 4096, exact);
    expect(few.newton).toBeUndefined();
    const guessedHigh = fitReciprocal('test', (x) => 1 / x, 1024, 4096, {
      ...exact,
      harmonics: () => 96,
    });
    expect(guessedHigh.gate.a.length).toBe(few.gate.a.length);
    expect(few.gate.a.length).toBe(8);
  });
});

/** Harmonics without a Newton step, as the planner asks for them. */
const HARMONICS = { '1/x': (r: number) => 0.7 * r ** 0.9, '1/√x': (r: number) => 4.5 * r ** 0.55 };

describe('reciprocals with a Newton step, in float64', () => {
  it.each([
    ['1/x', 601, 1e-3, 80],
    ['1/x', 943, 1e-3, 128],
    ['1/x', 2000, 3e-3, 192],
    ['1/√x', 601, 3e-4, 64],
    ['1/√x', 943, 3e-4, 96],
    ['1/√x', 2000, 3e-4, 192],
  ] as const)('%s over a ratio of %d: error %d after the step, with %d harmonics', (name, ratio, reached, most) => {
    const square = name === '1/√x';
    const f = (x: number): number => (square ? x ** -0.5 : 1 / x);
    const [lo, hi] = [4096 / ratio, 4096];
    const r = fitReciprocal('test', f, lo, hi, { scale: 8, bits: 12, gap: 1.08, tolerance: square ? 3e-4 : 1e-3, square, harmonics: HARMONICS[name] }); // prettier-ignore
    expect(r.fit_error).toBeLessThan(reached);
    expect(r.newton).toBeGreaterThan(5 * reached);
    let [before, after] = [0, 0];
    for (const x of geometric(lo, hi)) {
      const y = evaluate(r.gate, x, r.period);
      const refined = square ? (y * (3 - x * y * y)) / 2 : y * (2 - x * y);
      before = Math.max(before, Math.abs(y / f(x) - 1));
      after = Math.max(after, Math.abs(refined / f(x) - 1));
    }
    expect(before).toBeLessThan(r.newton! * BETWEEN + 1e-4);
    expect(before).toBeGreaterThan(0.9 * r.newton!);
    expect(after).toBeLessThan(r.fit_error);
    expect(r.gate.a.length, 'harmonics').toBeLessThanOrEqual(most);
  });
});

it('GeLU less its linear part, and tanh', () => {
  const g = fitActivation(gelu, -6, 5, { tolerance: 3e-3, b: 14, g1: 10, g2: 12, f_out: 9 });
  expect(g.err).toBeLessThan(3e-3);
  // 2K coefficients rounded to 2^-13 each, at most
  const rounding = (2 * g.gate.a.length + 1) * 2 ** -13;
  for (const x of grid(-6, 5)) {
    const y = g.slope * x + evaluate(g.gate, x, g.period);
    expect(Math.abs(y - gelu(x))).toBeLessThan(g.err * BETWEEN + rounding);
  }
  const t = fitTanh(5, { tolerance: 4e-4, b: 15, g1: 16, g2: 16, f_out: 12 });
  for (const x of grid(-5, 5)) expect(Math.abs(evaluate(t.gate, x, t.period) - Math.tanh(x))).toBeLessThan(5e-4);
});

it('refuses coefficients beyond the 64-bit table arithmetic', () => {
  const scales = { tolerance: 1e-9, b: 14, g1: 10, g2: 40, f_out: 9 };
  expect(() => fitActivation(gelu, -6, 5, scales)).toThrow(RefusedError);
});
