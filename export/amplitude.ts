import type { PlanGate } from './plan.ts';

/** The largest |Fourier sum|: Σ |coefficient|, real. */
export function amplitude({ a0, a, b_k, g1, g2 }: PlanGate): number {
  const pairs = a.reduce((sum, v, k) => sum + Math.hypot(Number(v), Number(b_k[k]!)), 0);
  return (Math.abs(Number(a0)) / 2 ** (g1 + g2) + pairs / 2 ** g2) * 1.01;
}
