/** Oracles for binary16 and bfloat16 from their definition (IEEE 754-2019, 3.3 and 4.3.1), in double arithmetic. */

interface Format {
  readonly exponentBits: number;
  readonly fractionBits: number;
}
export const F16: Format = { exponentBits: 5, fractionBits: 10 };
export const BF16: Format = { exponentBits: 8, fractionBits: 7 };

/** The value of a bit pattern: (−1)^s · 2^(e − bias) · 1.f, or 0.f at the smallest exponent. */
export function formatValue(word: number, { exponentBits, fractionBits }: Format): number {
  const bias = 2 ** (exponentBits - 1) - 1;
  const fraction = word % 2 ** fractionBits;
  const exponent = Math.floor(word / 2 ** fractionBits) % 2 ** exponentBits;
  const sign = word >= 2 ** (exponentBits + fractionBits) ? -1 : 1;
  if (exponent === 2 ** exponentBits - 1) return fraction === 0 ? sign * Infinity : Number.NaN;
  if (exponent === 0) return sign * fraction * 2 ** (1 - bias - fractionBits);
  return sign * (1 + fraction / 2 ** fractionBits) * 2 ** (exponent - bias);
}

/** `x` rounded to the format, ties to even; infinite beyond its range. Exact: float32 values scaled by powers of two fit doubles. */
export function roundToFormat(x: number, { exponentBits, fractionBits }: Format): number {
  if (x === 0) return x;
  const bias = 2 ** (exponentBits - 1) - 1;
  let exponent = 1 - bias;
  while (exponent < bias + 2 && Math.abs(x) >= 2 ** (exponent + 1)) exponent++;
  const quantum = 2 ** (exponent - fractionBits);
  const steps = Math.abs(x) / quantum;
  const below = Math.floor(steps);
  const rest = steps - below;
  const rounded = rest > 0.5 || (rest === 0.5 && below % 2 === 1) ? below + 1 : below;
  const magnitude = rounded * quantum;
  const limit = (2 - 2 ** -fractionBits) * 2 ** bias;
  return Math.sign(x) * (magnitude > limit ? Infinity : magnitude);
}
