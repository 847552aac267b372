/** Special functions in double precision. */

/** 2/√π e^(−x²) Σ 2^n x^(2n+1) / (2n+1)!! (Abramowitz & Stegun 7.1.6): every term positive, so no cancellation. */
export function erf(x: number): number {
  const z = Math.abs(x);
  if (z > 6) return Math.sign(x);
  let term = z;
  let sum = z;
  for (let n = 1; term > sum * 1e-17; n++) {
    term *= (2 * z * z) / (2 * n + 1);
    sum += term;
  }
  return Math.sign(x) * Math.min(1, (2 / Math.sqrt(Math.PI)) * Math.exp(-z * z) * sum);
}

/** x·Φ(x) (Hendrycks & Gimpel 2016). */
export const gelu = (x: number): number => 0.5 * x * (1 + erf(x * Math.SQRT1_2));

/** Its tanh form (`gelu_new`). */
export const geluNew = (x: number): number =>
  0.5 * x * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3)));
