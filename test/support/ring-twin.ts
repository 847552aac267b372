/**
 * Readable twins of the ring kernels on arrays of BigInt, written from the definitions: what ring/ is held against.
 * Every word is its representative in [0, 2^n).
 */
import type { TrigSpec } from '../../ring/trig.ts';

export const mod = (v: bigint, n: number): bigint => ((v % (1n << BigInt(n))) + (1n << BigInt(n))) % (1n << BigInt(n));
export const signed = (v: bigint, n: number): bigint =>
  mod(v, n) >= 1n << BigInt(n - 1) ? mod(v, n) - (1n << BigInt(n)) : mod(v, n);

type Op = (a: bigint, b: bigint) => bigint;
export const OPS: Record<'add' | 'sub' | 'mul', Op> = {
  add: (a, b) => a + b,
  sub: (a, b) => a - b,
  mul: (a, b) => a * b,
};

export const zip = (op: Op, a: readonly bigint[], b: readonly bigint[], n: number): bigint[] =>
  a.map((x, i) => mod(op(x, b[i]!), n));
export const rowwise = (op: Op, a: readonly bigint[], s: readonly bigint[], cols: number, n: number): bigint[] =>
  a.map((x, i) => mod(op(x, s[Math.floor(i / cols)]!), n));
export const colwise = (op: Op, a: readonly bigint[], v: readonly bigint[], n: number): bigint[] =>
  a.map((x, i) => mod(op(x, v[i % v.length]!), n));

const total = (a: readonly bigint[]): bigint => a.reduce((x, y) => x + y, 0n);
export const sumRows = (a: readonly bigint[], cols: number, n: number): bigint[] =>
  Array.from({ length: a.length / cols }, (_, r) => mod(total(a.slice(r * cols, (r + 1) * cols)), n));
export const sumCols = (a: readonly bigint[], cols: number, n: number): bigint[] =>
  Array.from({ length: cols }, (_, j) => mod(total(a.filter((_v, i) => i % cols === j)), n));

export const matmul = (
  a: readonly bigint[],
  b: readonly bigint[],
  m: number,
  k: number,
  cols: number,
  n: number,
): bigint[] =>
  Array.from({ length: m * cols }, (_, at) => {
    const i = Math.floor(at / cols);
    const j = at % cols;
    let sum = 0n;
    for (let p = 0; p < k; p++) sum += a[i * k + p]! * b[p * cols + j]!;
    return mod(sum, n);
  });

/** Truncate-reduce, one party: the specification's rule. */
export const truncateReduce = (party: 0 | 1, a: readonly bigint[], f: number, n: number): bigint[] =>
  a.map((z) => mod(party === 0 ? z >> BigInt(f) : -(mod(-z, n) >> BigInt(f)), n - f));

/** Bit i of word w is bit w·n + i of the bytes, bit 0 of a byte being its lowest. */
export const pack = (a: readonly bigint[], n: number): Uint8Array => {
  const bytes = new Uint8Array(Math.ceil((a.length * n) / 8));
  a.forEach((word, w) => {
    for (let i = 0; i < n; i++) {
      const at = w * n + i;
      if ((word >> BigInt(i)) & 1n) bytes[at >> 3]! |= 1 << (at & 7);
    }
  });
  return bytes;
};

/** x·2^f to the nearest integer, ties to even; undefined outside the signed range of n bits. x is taken apart exactly. */
export const encode = (x: number, f: number, n: number): bigint | undefined => {
  if (!Number.isFinite(x)) return undefined;
  const view = new DataView(new ArrayBuffer(8));
  view.setFloat64(0, x);
  const bits = view.getBigUint64(0);
  const biased = Number((bits >> 52n) & 0x7ffn);
  const mantissa = (bits & 0xfffffffffffffn) | (biased === 0 ? 0n : 1n << 52n);
  const exponent = Math.max(biased, 1) - 1075 + f; // |x|·2^f = mantissa·2^exponent
  let magnitude: bigint;
  if (exponent >= 0) magnitude = mantissa << BigInt(exponent);
  else {
    const unit = 1n << BigInt(-exponent);
    const floor = mantissa / unit;
    const twice = 2n * (mantissa % unit);
    magnitude = twice > unit || (twice === unit && floor % 2n === 1n) ? floor + 1n : floor;
  }
  const v = bits >> 63n ? -magnitude : magnitude;
  return v >= -(1n << BigInt(n - 1)) && v < 1n << BigInt(n - 1) ? mod(v, n) : undefined;
};

/** x / 2^s rounded half up. */
const scaled = (x: bigint, s: number): bigint => (s === 0 ? x : (x + (1n << BigInt(s - 1))) >> BigInt(s));

const cosSin = (phase: bigint, t: TrigSpec): [bigint, bigint] => {
  const p = mod(phase, t.b);
  const hi = Number(p >> BigInt(t.l));
  const lo = Number(p & ((1n << BigInt(t.l)) - 1n));
  const [ch, sh, cl, sl] = [t.hiCos[hi]!, t.hiSin[hi]!, t.loCos[lo]!, t.loSin[lo]!].map(BigInt) as [
    bigint,
    bigint,
    bigint,
    bigint,
  ];
  return [scaled(ch * cl - sh * sl, 28), scaled(sh * cl + ch * sl, 28)];
};
const harmonics = (c: bigint, t: TrigSpec): [bigint, bigint][] =>
  Array.from(t.a, (_, k) => cosSin(BigInt(k + 1) * c, t));

export const fourierPublic = (c: readonly bigint[], t: TrigSpec): bigint[] =>
  c.flatMap((x) => {
    const h = harmonics(x, t);
    return [
      ...h.map(([co, si], k) => scaled(t.a[k]! * co + t.bk[k]! * si, 28)),
      ...h.map(([co, si], k) => scaled(t.a[k]! * si - t.bk[k]! * co, 28)),
    ];
  });
export const fourierSecret = (r: readonly bigint[], t: TrigSpec, n: number): bigint[] =>
  r.flatMap((x) => {
    const h = harmonics(x, t);
    return [...h.map(([co]) => co), ...h.map(([, si]) => si)].map((v) => mod(scaled(v, 28 - t.g1), n));
  });
export const fourierDot = (c: readonly bigint[], T: readonly bigint[], t: TrigSpec, n: number): bigint[] => {
  const wide = 2 * t.a.length;
  return c.map((x, i) => mod(total(fourierPublic([x], t).map((v, j) => v * T[i * wide + j]!)), n));
};
