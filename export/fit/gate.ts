/** From a real Fourier series to the integers that a program ships. */
import { createHash } from 'node:crypto';
import { RefusedError } from '../../common/errors.ts';
import { fourierDigest } from '../../protocol/digest.ts';
import { programTable, programTrig, type PlanGate, type PlanTrig } from '../plan.ts';

/** Fraction bits of the trig tables. */
const TRIG = 28;

/** Round half to even, as numpy's rint: a plan must not depend on the language it was made in. */
export function rint(v: number): number {
  const r = Math.round(v);
  return (Math.abs(v % 1) === 0.5 && r % 2 !== 0 ? r - 1 : r) + 0; // + 0: never -0
}

const tables = new Map<number, PlanTrig>();

/** cos and sin at 2^28 of period 2^b: phase = hi·2^l + lo, l = ⌊b/2⌋. */
export function trigTable(b: number): PlanTrig {
  let table = tables.get(b);
  if (table === undefined) {
    const l = Math.floor(b / 2);
    const make = (f: (x: number) => number, count: number, step: number): number[] =>
      Array.from({ length: count }, (_, i) => rint(f((2 * Math.PI * i * step) / 2 ** b) * 2 ** TRIG));
    const hi = 2 ** (b - l);
    const lo = 2 ** l;
    table = {
      l,
      hi_cos: make(Math.cos, hi, lo),
      hi_sin: make(Math.sin, hi, lo),
      lo_cos: make(Math.cos, lo, 1),
      lo_sin: make(Math.sin, lo, 1),
    };
    tables.set(b, table);
  }
  return table;
}

/** The specification's digest of all integers of a gate, its trig table included. */
export const gateDigest = (g: Omit<PlanGate, 'digest'>, trig: PlanTrig): string =>
  fourierDigest(programTable({ ...g, digest: '' }), programTrig(trig), (bytes) =>
    createHash('sha256').update(bytes).digest('hex'),
  );

export interface GateScales {
  readonly b: number;
  readonly g1: number;
  readonly g2: number;
  readonly f_out: number;
}

/**
 * @throws RefusedError if a coefficient does not fit the 64-bit table arithmetic
 */
export function integerGate(
  series: { readonly a0: number; readonly a: readonly number[]; readonly b: readonly number[] },
  { b, g1, g2, f_out }: GateScales,
): PlanGate {
  const a = series.a.map((v) => rint(v * 2 ** g2));
  const bk = series.b.map((v) => rint(v * 2 ** g2));
  if (a.some((v, k) => Math.abs(v) + Math.abs(bk[k]!) >= 2 ** (62 - TRIG)))
    throw new RefusedError('fit: coefficient too large for 64-bit table arithmetic', 'narrow the calibrated range');
  const text = (v: number): string => BigInt(v).toString(); // never "-0" nor exponents
  const integers = { b, a0: text(rint(series.a0 * 2 ** (g1 + g2))), a: a.map(text), b_k: bk.map(text), g1, g2, f_out };
  return { ...integers, digest: gateDigest(integers, trigTable(b)) };
}
