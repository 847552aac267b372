/** From data to pixels: linear and logarithmic axes with round ticks. */

export interface Axis {
  /** Position of a value. */
  at(value: number): number;
  readonly ticks: readonly number[];
}

/** The smallest of 1, 2, 5 · 10^k that is at least `least`. */
function roundStep(least: number): number {
  const power = 10 ** Math.floor(Math.log10(least));
  // The factor keeps 0.1 + 0.2 from counting as more than 0.3.
  return [1, 2, 5].map((m) => m * power).find((step) => step * (1 + 1e-9) >= least) ?? 10 * power;
}

interface AxisOptions {
  /** About how many ticks. */
  readonly count?: number;
  readonly widen?: boolean;
  readonly within?: readonly [number, number] | undefined;
}

/**
 * A linear axis over [low, high], widened to round ticks if `widen`. `within`: least and greatest value there can be, which the
 * axis does not leave; they are to be multiples of a power of ten, as those of shares and correlations are.
 */
export function linearAxis(
  [low, high]: readonly [number, number],
  [from, to]: readonly [number, number],
  { count = 4, widen = false, within }: AxisOptions = {},
): Axis {
  if (low === high) {
    // A constant is drawn in the middle, or where it is of what can be.
    const [least, most] = within ?? [-Infinity, Infinity];
    const margin = within !== undefined ? (most - least) / 10 : Math.abs(low) < 1e-300 ? 1 : Math.abs(low) / 2;
    const around = [Math.max(least, low - margin), Math.min(most, high + margin)] as const;
    return linearAxis(around, [from, to], { count, widen });
  }
  const step = roundStep((high - low) / count);
  const first = widen ? Math.floor(low / step + 1e-9) : Math.ceil(low / step - 1e-9);
  const last = widen ? Math.ceil(high / step - 1e-9) : Math.floor(high / step + 1e-9);
  // Products by whole numbers, not repeated additions, so that ticks print as they are meant.
  const ticks = Array.from({ length: last - first + 1 }, (_, i) => Number(((first + i) * step).toPrecision(12)));
  const [bottom, top] = widen ? [ticks[0]!, ticks.at(-1)!] : [low, high];
  return { at: (value) => from + ((value - bottom) / (top - bottom)) * (to - from), ticks };
}

/** A logarithmic axis over [low, high], low > 0, with ticks at powers of ten, or at 1, 2, 5 of them within two decades. */
export function logAxis([low, high]: readonly [number, number], [from, to]: readonly [number, number]): Axis {
  const margin = low === high ? 2 : 1;
  const bottom = low / margin;
  const top = high * margin;
  const decades = Math.log10(top / bottom);
  const skip = Math.max(1, Math.ceil(decades / 6));
  const ticks: number[] = [];
  for (let k = Math.floor(Math.log10(bottom)); k <= Math.ceil(Math.log10(top)); k++) {
    if (k % skip !== 0) continue;
    for (const m of decades <= 2 ? [1, 2, 5] : [1]) {
      const tick = Number((m * 10 ** k).toPrecision(12));
      if (tick >= bottom * (1 - 1e-9) && tick <= top * (1 + 1e-9)) ticks.push(tick);
    }
  }
  const span = Math.log(top / bottom);
  return { at: (value) => from + (Math.log(value / bottom) / span) * (to - from), ticks };
}

/** A number for a reader: at most four significant digits, exponents only where decimals would be long. */
export function show(value: number): string {
  if (value === 0) return '0';
  const size = Math.abs(value);
  if (size >= 1e6 || size < 1e-3) return value.toExponential(2).replace(/\.?0+e/, 'e').replace('e+', 'e').replace('-', '−').replace('e-', 'e−'); // prettier-ignore
  if (Number.isInteger(value)) return value.toLocaleString('en').replace('-', '−');
  return String(Number(value.toPrecision(4))).replace('-', '−');
}
