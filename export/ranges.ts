/** What calibration measures. */

/** Smallest and largest value seen, one pair or one per head or hidden unit. */
export interface Range {
  readonly min: Float64Array;
  readonly max: Float64Array;
}

/**
 * Per wire, over real tokens of all calibration texts. `emb`, `<l>.ln1`, `<l>.ln2` with `.xc` (input less its row mean) and
 * `.var` (its variance): one pair. `<l>.s` (|score|, centred where the normaliser is), `<l>.D` (denominator) and `<l>.PV`
 * (|Σ square·value|): per head; `<l>.sF`, `<l>.DF` and `<l>.PVF` the same of scores times F ≈ √(longest / L) (`lengthScale`),
 * `<l>.sH`, … times F as hidden lengths round it. `<l>.key` (|k_j|, of centred scores without its constant part) and `<l>.ksum`
 * (|Σ_j k_j| of these, centred scores only): one pair. `<l>.u` (before the activation): per hidden unit. `pool.u`, `logits`: one pair.
 */
export interface Ranges {
  readonly shortest: number;
  readonly longest: number;
  /** Number of texts. */
  readonly texts: number;
  readonly sha256: string;
  readonly wires: ReadonlyMap<string, Range>;
}

/** Collects ranges over batches. */
export class RangeCollector {
  readonly wires = new Map<string, { min: Float64Array; max: Float64Array }>();

  add(name: string, min: ArrayLike<number>, max: ArrayLike<number>): void {
    const known = this.wires.get(name);
    if (known === undefined) {
      this.wires.set(name, { min: Float64Array.from(min), max: Float64Array.from(max) });
      return;
    }
    for (let i = 0; i < min.length; i++) {
      known.min[i] = Math.min(known.min[i]!, min[i]!);
      known.max[i] = Math.max(known.max[i]!, max[i]!);
    }
  }
}
