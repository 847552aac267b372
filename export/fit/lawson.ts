/**
 * Fourier series with bounded coefficients, close to the best in the maximum norm: Lawson's algorithm (Lawson 1961; Rice &
 * Usow 1968) reweights ridge least squares until the largest error is spread over the interval.
 *
 * The Gram matrix of cos kx, sin kx (k ≤ K) under weights w is Toeplitz plus Hankel in C_m = Σ w cos mx and S_m = Σ w sin mx,
 * m ≤ 2K, so that one step costs O(N·K + K³) for N points, not O(N·K²).
 */
import { solveCholesky } from './cholesky.ts';

export interface FitOptions {
  readonly lo: number;
  readonly hi: number;
  readonly period: number;
  /** Harmonics K. */
  readonly harmonics: number;
  /** One more basis function: x itself. */
  readonly slope?: boolean;
  /** Error relative to f, for a positive decreasing f. */
  readonly relative?: boolean;
  readonly ridge?: number;
  readonly iterations?: number;
  /** Points of each of the two grids where the error is absolute. */
  readonly grid?: number;
}

/** f(x) ≈ a0 + slope·x + Σ a_k cos(2πkx/P) + b_k sin(2πkx/P). */
export interface Fit {
  /** Largest weighted error over the grid. */
  readonly error: number;
  readonly a0: number;
  readonly a: readonly number[];
  readonly b: readonly number[];
  readonly slope: number;
  /** Σ |coefficient| (relative: divided by f(lo)). */
  readonly size: number;
}

/** Approximate minimax fit of a Fourier series (and a slope, if asked) by Lawson-weighted ridge least squares. */
export function fit(f: (x: number) => number, options: FitOptions): Fit {
  return new Fourier(f, options).solve(options.ridge ?? 1e-9, options.iterations ?? 12);
}

/** One function, interval and number of harmonics; the tables are shared by fits with different ridges. */
export class Fourier {
  readonly #K: number;
  readonly #x: Float64Array;
  /** f at the points, over `scale`. */
  readonly #y: Float64Array;
  readonly #weight: Float64Array;
  readonly #scale: number;
  readonly #slope: boolean;
  /** Row m: cos(m·2πx/P) at every point, m = 0..2K. */
  readonly #cos: Float64Array;
  readonly #sin: Float64Array;

  constructor(f: (x: number) => number, options: FitOptions) {
    const { lo, hi, period, harmonics: K } = options;
    const relative = options.relative ?? false;
    const n = relative ? Math.max(800, 14 * K) : (options.grid ?? 500);
    const N = 2 * n;
    this.#K = K;
    this.#slope = options.slope ?? false;
    const x = (this.#x = new Float64Array(N));
    for (let i = 0; i < n; i++) {
      x[i] = 0.5 * (lo + hi) + 0.5 * (hi - lo) * Math.cos((Math.PI * (i + 0.5)) / n);
      const u = i / (n - 1);
      x[n + i] = relative ? Math.exp(Math.log(lo) + u * (Math.log(hi) - Math.log(lo))) : lo + u * (hi - lo);
    }
    this.#scale = relative ? f(lo) : 1;
    this.#y = x.map((v) => f(v) / this.#scale);
    this.#weight = relative ? this.#y.map((v) => 1 / v) : new Float64Array(N).fill(1);
    this.#cos = new Float64Array((2 * K + 1) * N).fill(1, 0, N);
    this.#sin = new Float64Array((2 * K + 1) * N);
    for (let i = 0; i < N; i++) {
      const angle = (2 * Math.PI * x[i]!) / period;
      const c = Math.cos(angle);
      const s = Math.sin(angle);
      for (let m = 1, at = i; m <= 2 * K; m++, at += N) {
        const cm = this.#cos[at]!;
        const sm = this.#sin[at]!;
        this.#cos[at + N] = cm * c - sm * s;
        this.#sin[at + N] = sm * c + cm * s;
      }
    }
  }

  /**
   * @param worth gives up (undefined) where the error is still above this after a third of the iterations: what is left
   * gains less than a factor of two
   */
  solve(ridge: number, iterations: number): Fit;
  solve(ridge: number, iterations: number, worth: number): Fit | undefined;
  solve(ridge: number, iterations: number, worth = Infinity): Fit | undefined {
    const N = this.#x.length;
    const lawson = new Float64Array(N).fill(1 / N);
    let best: { error: number; coefficients: Float64Array } | undefined;
    for (let step = 0; step < iterations; step++) {
      const coefficients = this.#leastSquares(lawson, ridge);
      const errors = this.#errors(coefficients);
      let error = 0;
      for (const e of errors) if (e > error) error = e;
      if (best === undefined || error < best.error) best = { error, coefficients };
      if (step + 1 >= iterations / 3 && best.error > worth) return undefined;
      let total = 0;
      for (let i = 0; i < N; i++) total += lawson[i]! *= errors[i]! / error + 0.02;
      for (let i = 0; i < N; i++) lawson[i]! /= total;
    }
    const { error, coefficients: c } = best!;
    const K = this.#K;
    const scaled = (from: number, to: number): number[] => Array.from(c.subarray(from, to), (v) => v * this.#scale);
    return {
      error,
      a0: c[0]! * this.#scale,
      a: scaled(1, K + 1),
      b: scaled(K + 1, 2 * K + 1),
      slope: this.#slope ? c[2 * K + 1]! : 0,
      size: c.reduce((sum, v) => sum + Math.abs(v), 0),
    };
  }

  /** Minimises Σ lawson·weight²·(basis·c − y)² + ridge·|c|². Basis: 1, cos kx, sin kx, then x. */
  #leastSquares(lawson: Float64Array, ridge: number): Float64Array {
    const N = this.#x.length;
    const K = this.#K;
    const n = 2 * K + 1 + (this.#slope ? 1 : 0);
    const w = lawson.map((v, i) => v * this.#weight[i]! ** 2);
    const wy = w.map((v, i) => v * this.#y[i]!);
    const C = moments(this.#cos, w, 2 * K, N);
    const S = moments(this.#sin, w, 2 * K, N);
    const A = new Float64Array(n * n);
    const y = new Float64Array(n);
    // 2 cos j cos k = cos(j−k) + cos(j+k), 2 sin j sin k = cos(j−k) − cos(j+k), 2 sin j cos k = sin(j+k) + sin(j−k)
    for (let j = 0; j <= K; j++) {
      for (let k = 0; k <= j; k++) A[j * n + k] = 0.5 * (C[j - k]! + C[j + k]!);
      if (j === 0) continue;
      const row = (K + j) * n;
      for (let k = 0; k <= K; k++) A[row + k] = 0.5 * (S[j + k]! + Math.sign(j - k) * S[Math.abs(j - k)]!);
      for (let k = 1; k <= j; k++) A[row + K + k] = 0.5 * (C[j - k]! - C[j + k]!);
    }
    y.set(moments(this.#cos, wy, K, N));
    y.set(moments(this.#sin, wy, K, N).subarray(1), K + 1);
    if (this.#slope) {
      const wx = w.map((v, i) => v * this.#x[i]!);
      const row = (n - 1) * n;
      A.set(moments(this.#cos, wx, K, N), row);
      A.set(moments(this.#sin, wx, K, N).subarray(1), row + K + 1);
      A[row + n - 1] = dot(wx, this.#x, 0);
      y[n - 1] = dot(wx, this.#y, 0);
    }
    for (let i = 0; i < n; i++) A[i * n + i]! += ridge;
    return solveCholesky(A, y, n);
  }

  /** |basis·c − y|·weight at every point. */
  #errors(c: Float64Array): Float64Array {
    const N = this.#x.length;
    const K = this.#K;
    const e = this.#y.map((v, i) => c[0]! - v + (this.#slope ? c[2 * K + 1]! * this.#x[i]! : 0));
    for (let k = 1; k <= K; k++) {
      const ak = c[k]!;
      const bk = c[K + k]!;
      const cos = this.#cos.subarray(k * N, k * N + N);
      const sin = this.#sin.subarray(k * N, k * N + N);
      for (let i = 0; i < N; i++) e[i]! += ak * cos[i]! + bk * sin[i]!;
    }
    for (let i = 0; i < N; i++) e[i] = Math.abs(e[i]!) * this.#weight[i]!;
    return e;
  }
}

/** Σ_i w_i rows[m, i] for m = 0..M. */
function moments(rows: Float64Array, w: Float64Array, M: number, N: number): Float64Array {
  const out = new Float64Array(M + 1);
  for (let m = 0; m <= M; m++) out[m] = dot(w, rows, m * N);
  return out;
}

/** Σ_i w_i v[from + i] in four chains: shorter error, and independent additions. */
function dot(w: Float64Array, v: Float64Array, from: number): number {
  let s0 = 0;
  let s1 = 0;
  let s2 = 0;
  let s3 = 0;
  let i = 0;
  for (; i + 3 < w.length; i += 4) {
    s0 += w[i]! * v[from + i]!;
    s1 += w[i + 1]! * v[from + i + 1]!;
    s2 += w[i + 2]! * v[from + i + 2]!;
    s3 += w[i + 3]! * v[from + i + 3]!;
  }
  for (; i < w.length; i++) s0 += w[i]! * v[from + i]!;
  return s0 + s1 + (s2 + s3);
}
