/**
 * What the weights alone allow: upper limits of every interpreted wire over all inputs, from norms. A guard tells a value that
 * left its interval only up to where the ring of the opening wraps; these bounds are what makes that enough.
 *
 * They hold for values whose predecessors were not flagged. Then, by their residual guards, a LayerNorm output n has
 * ‖n‖ ≤ √H · ROWS and attention weights, which are ≥ 0, sum to at most WEIGHTS; and a hidden unit lies in its fit interval. With γ and β folded into the
 * next layer, W' = diag(γ) W, b' = b + β W:
 *   |n·w + b|           ≤ √H ‖w‖ + |b|
 *   |q_i · k_j|         ≤ H ‖W_q W_kᵀ‖₂ + √H (‖W_k b_q‖ + ‖W_q b_k‖) + |b_q · b_k|, a head at a time
 *   ‖Σ_j P_ij v_j / D‖  ≤ max_j ‖v_j‖ ≤ √H ‖W_v‖₂ + ‖b_v‖
 * Spectral norms are bounded from above: the largest eigenvalue of M is at most tr(M^p)^(1/p) where none is negative.
 */
import { centreRows, rowTimes } from './matrix.ts';
import type { Affine, Dense, RealLayer, RealModel } from './real-model.ts';

/** Largest relative half width of a residual guard: an inverse is right to within this, an inverse root to within half of it. */
export const WIDEST = 0.12;
/** Rounding of fixed point, as a factor. */
const SLACK = 1.006;
const ROWS = Math.sqrt(1 + WIDEST) * SLACK;
const WEIGHTS = (1 + WIDEST) * SLACK;
/** |tanh| as fitted. */
const TANH = 1.02;
/** p = 2^DOUBLINGS in tr(M^p)^(1/p): at most 7 % above the norm for heads of 64. */
const DOUBLINGS = 6;

export interface LayerBounds {
  /** (A) |q·k / √d|, less the mean over the keys where scores are centred; neither λ nor c. */
  readonly score: readonly number[];
  /** Largest |component of a key row|; of centred scores without its constant part, which cancels. */
  readonly key: number;
  /** (A) largest |component| of a value row. */
  readonly value: readonly number[];
  /** |input of LayerNorm 1, less its mean|. */
  readonly norm1: number;
  /** (F) |hidden unit|. */
  readonly units: Float64Array;
  /** |input of LayerNorm 2, less its mean| where |gelu(unit f)| ≤ limit_f. */
  norm2(limit: Float64Array): number;
}

export interface Bounds {
  /** |embedding, less its mean|. */
  readonly embedding: number;
  readonly layers: readonly LayerBounds[];
  /** |pooler before tanh|. */
  readonly pooler: number;
  readonly logits: number;
}

/** Calibrated bounds of the wires of a plan. */
export function boundsOf(m: RealModel): Bounds {
  let before = m.embeddingNorm;
  const layers = m.layers.map((layer) => {
    const bounds = layerBounds(m, layer, before);
    before = layer.norm2;
    return bounds;
  });
  const { W, b } = behind(m.pooler, before);
  return {
    embedding: embedding(m),
    layers,
    pooler: greatest(columnBounds(W, b, m.H)),
    logits: greatest(m.classifier.b.map((v, j) => Math.abs(v) + TANH * columnSum(m.classifier.W, m.labels, j))),
  };
}

/** A layer that reads γ·n + β as one that reads n. */
function behind({ W, b, out }: Dense, { gamma, beta }: Affine): { W: Float64Array; b: Float64Array } {
  const shift = rowTimes(beta, W, out);
  return { W: W.map((v, i) => v * gamma[Math.floor(i / out)]!), b: b.map((v, j) => v + shift[j]!) };
}

const greatest = (x: Float64Array): number => x.reduce((a, b) => Math.max(a, b), 0);
const norm = (x: Float64Array): number => Math.sqrt(x.reduce((sum, v) => sum + v * v, 0));

const columnSum = (W: Float64Array, cols: number, j: number): number => {
  let sum = 0;
  for (let i = j; i < W.length; i += cols) sum += Math.abs(W[i]!);
  return sum;
};

/** ‖column‖ of every column. */
function columnNorms(W: Float64Array, cols: number): Float64Array {
  const out = new Float64Array(cols);
  for (let i = 0; i < W.length; i++) out[i % cols]! += W[i]! ** 2;
  return out.map(Math.sqrt);
}

/** ROWS √H ‖w_j‖ + |b_j|. */
const columnBounds = (W: Float64Array, b: Float64Array, H: number): Float64Array =>
  columnNorms(W, b.length).map((v, j) => ROWS * Math.sqrt(H) * v + Math.abs(b[j]!));

function embedding(m: RealModel): number {
  const { H } = m;
  const most = (table: ArrayLike<number>): Float64Array => {
    const out = new Float64Array(H);
    centreRows(table, H).forEach((v, i) => (out[i % H] = Math.max(out[i % H]!, Math.abs(v))));
    return out;
  };
  const [word, position, type] = [most(m.word), most(m.position), most(m.type)];
  return greatest(word.map((v, j) => v + position[j]! + type[j]!));
}

/** (from × from) products of the columns [at, at + d) of x and y: xᵀ y. */
function cross(x: Float64Array, y: Float64Array, cols: number, at: number, d: number): Float64Array {
  const out = new Float64Array(d * d);
  for (let row = at; row < x.length; row += cols)
    for (let i = 0; i < d; i++) {
      const v = x[row + i]!;
      for (let j = 0; j < d; j++) out[i * d + j]! += v * y[row + j]!;
    }
  return out;
}

function times(a: Float64Array, b: Float64Array, d: number): Float64Array {
  const out = new Float64Array(d * d);
  for (let i = 0; i < d; i++)
    for (let k = 0; k < d; k++) {
      const v = a[i * d + k]!;
      for (let j = 0; j < d; j++) out[i * d + j]! += v * b[k * d + j]!;
    }
  return out;
}

/** An upper bound of the largest eigenvalue of a d × d matrix with eigenvalues ≥ 0: tr(M^p)^(1/p). */
export function topEigenvalue(M: Float64Array, d: number): number {
  const trace = (x: Float64Array): number => x.reduce((sum, v, i) => (i % (d + 1) === 0 ? sum + v : sum), 0);
  let power = M;
  let log = 0;
  for (let i = 0; ; i++) {
    const t = trace(power);
    if (!(t > 0)) return 0;
    // log of tr(M^(2^i)): the trace is divided out before every squaring
    log += Math.log(t) / 2 ** i;
    if (i === DOUBLINGS) return Math.exp(log) * (1 + 1e-9);
    const scaled = power.map((v) => v / t);
    power = times(scaled, scaled, d);
  }
}

function layerBounds(m: RealModel, layer: RealLayer, before: Affine): LayerBounds {
  const { H, A } = m;
  const d = H / A;
  const root = ROWS * Math.sqrt(H);
  const [q, k, v] = [layer.query, layer.key, layer.value].map((dense) => behind(dense, before)) as [
    ReturnType<typeof behind>,
    ReturnType<typeof behind>,
    ReturnType<typeof behind>,
  ];
  const heads = Array.from({ length: A }, (_, h) => h * d);
  const part = (x: Float64Array, at: number): Float64Array => x.subarray(at, at + d);
  /** ‖W_h b_h‖, W_h the columns of one head. */
  const through = (W: Float64Array, b: Float64Array, at: number): number => {
    let sum = 0;
    for (let row = at; row < W.length; row += H) {
      let dot = 0;
      for (let j = 0; j < d; j++) dot += W[row + j]! * b[j]!;
      sum += dot * dot;
    }
    return Math.sqrt(sum);
  };
  const centred = m.normaliser === '2quad_centred';
  const score = heads.map((at) => {
    const [qq, kk] = [cross(q.W, q.W, H, at, d), cross(k.W, k.W, H, at, d)];
    const bilinear = Math.sqrt(topEigenvalue(times(qq, kk, d), d));
    const [bq, bk] = [part(q.b, at), part(k.b, at)];
    const [left, right] = [root * through(k.W, bq, at), root * through(q.W, bk, at)];
    // n_j less the mean of all rows is at most twice as long; a constant key cancels
    const s = centred
      ? 2 * (root * root * bilinear + left)
      : root * root * bilinear + left + right + Math.abs(bq.reduce((sum, x, j) => sum + x * bk[j]!, 0));
    return s / Math.sqrt(d);
  });
  const each = columnBounds(v.W, v.b, H);
  const long = heads.map((at) => root * Math.sqrt(topEigenvalue(cross(v.W, v.W, H, at, d), d)) + norm(part(v.b, at)));

  const Wo = centreRows(layer.output.W, H);
  const bo = centreRows(
    layer.output.b.map((x, j) => x + before.beta[j]!),
    H,
  );
  const perHead = heads.map((at) => columnNorms(Wo.subarray(at * H, (at + d) * H), H));
  const norm1 = bo.map((x, j) => {
    const context = perHead.reduce((sum, norms, h) => sum + WEIGHTS * long[h]! * norms[j]!, 0);
    return context + residual(before, H, j) + Math.abs(x);
  });

  const inner = behind(layer.inner, layer.norm1);
  const W2 = centreRows(layer.outer.W, H);
  const b2 = centreRows(
    layer.outer.b.map((x, j) => x + layer.norm1.beta[j]!),
    H,
  );
  return {
    score,
    key: greatest(columnBounds(k.W, centred ? new Float64Array(H) : k.b, H)),
    value: heads.map((at) => greatest(part(each, at))),
    norm1: greatest(norm1),
    units: columnBounds(inner.W, inner.b, H),
    norm2(limit) {
      const sum = b2.map((x, j) => Math.abs(x) + residual(layer.norm1, H, j));
      for (let i = 0; i < W2.length; i++) sum[i % H]! += SLACK * limit[Math.floor(i / H)]! * Math.abs(W2[i]!);
      return greatest(sum);
    },
  };
}

/** Component j of γ∘n less its mean: √H (|γ_j| + ‖γ‖ / H). */
const residual = ({ gamma }: Affine, H: number, j: number): number =>
  ROWS * Math.sqrt(H) * (Math.abs(gamma[j]!) + norm(gamma) / H);
