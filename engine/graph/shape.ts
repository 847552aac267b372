/**
 * Shapes with symbolic lengths. A dimension is a number or a product of symbols written `B`, `L`, `B*L`, `2*L` (factors
 * sorted, the number first), so equal lengths are equal strings and every shape is known before a batch is seen.
 */
export type Dim = number | string;
export type Shape = readonly Dim[];

interface Factors {
  readonly factor: number;
  readonly symbols: readonly string[];
}

/** The number and the sorted symbols of a dimension. */
export function factors(dim: Dim): Factors {
  if (typeof dim === 'number') return { factor: dim, symbols: [] };
  const parts = dim.split('*');
  const symbols = parts.filter((p) => !/^\d+$/.test(p)).toSorted();
  return { factor: parts.filter((p) => /^\d+$/.test(p)).reduce((a, p) => a * Number(p), 1), symbols };
}

/** Product of dimensions, canonical: `product('L', 2, 'B')` is `2*B*L`. */
export function product(...dims: readonly Dim[]): Dim {
  const all = dims.map(factors);
  const factor = all.reduce((a, f) => a * f.factor, 1);
  const symbols = all.flatMap((f) => f.symbols).toSorted();
  if (symbols.length === 0) return factor;
  return (factor === 1 ? symbols : [String(factor), ...symbols]).join('*');
}

export const sameShape = (a: Shape, b: Shape): boolean => a.length === b.length && a.every((d, i) => d === b[i]);

export const showShape = (shape: Shape): string => `(${shape.join(', ')})`;

/** NumPy broadcasting; a symbol only broadcasts against itself or 1. */
export function broadcast(a: Shape, b: Shape, what: string): Dim[] {
  const rank = Math.max(a.length, b.length);
  return Array.from({ length: rank }, (_, i) => {
    const x = a[i - rank + a.length] ?? 1;
    const y = b[i - rank + b.length] ?? 1;
    if (x === y || y === 1) return x;
    if (x === 1) return y;
    throw new Error(`${what}: shapes ${showShape(a)} and ${showShape(b)} do not broadcast`);
  });
}

/** Axes counted from 0, sorted; all of them when none are given. */
export function normaliseAxes(axes: readonly number[] | undefined, rank: number): number[] {
  if (axes === undefined) return Array.from({ length: rank }, (_, i) => i);
  return axes
    .map((a) => {
      const axis = a < 0 ? a + rank : a;
      if (axis < 0 || axis >= rank || !Number.isInteger(axis)) throw new Error(`axis ${a} of a tensor of rank ${rank}`);
      return axis;
    })
    .toSorted((a, b) => a - b);
}
