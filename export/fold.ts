/**
 * Folding: real weights and a plan → the integers a program runs on (masked-suite design, section 2). Into neighbouring
 * weights go γ and β of every LayerNorm, the mean subtraction J = I − 11ᵀ/H, 1/√d and the heads' factors λ_h, the slopes of
 * the GeLU fits (M2) and their periods (W1). Real arithmetic is float64, rounded once, half to even.
 */
import { RefusedError } from '../common/errors.ts';
import { rint } from './fit/gate.ts';
import { centreRows, multiplyAdd, rowTimes } from './matrix.ts';
import type { Folded, IntegerTensor, Plan, PlanLayer } from './plan.ts';
import type { Affine, Dense, RealLayer, RealModel } from './real-model.ts';

const F_TANH = 12;
const F_LOGITS = 24;
const F_MEAN = 8;

/** All integers of a plan: γ, β, centring, slopes, head factors and scales folded into the weights (masked-suite design, section 2). */
export function fold(m: RealModel, p: Plan, progress?: (done: number, total: number) => void): Folded {
  const out = new Map<string, IntegerTensor>();
  const { H } = m;
  const first = m.type.subarray(0, H);
  out.set('emb_word', quantised('emb_word', centreRows(m.word, H), p.fe, [m.V, H]));
  const position = Float64Array.from(m.position, (v, i) => v + first[i % H]!);
  out.set('emb_pos', quantised('emb_pos', centreRows(position, H), p.fe, [m.positions, H]));
  const delta = first.map((v, i) => m.type[H + i]! - v);
  out.set('emb_type', quantised('emb_type', centreRows(delta, H), p.fe, [H]));

  let before = m.embeddingNorm;
  m.layers.forEach((layer, l) => {
    for (const [name, tensor] of foldLayer(m, p, layer, p.layers[l]!, before)) out.set(`layer.${l}.${name}`, tensor);
    before = layer.norm2;
    progress?.(l + 1, m.layers.length);
  });

  const period = 2 ** (p.rawP - p.fx) / p.tanh_fit.period;
  const { W, b } = behind(m.pooler, before);
  const scaled = W.map((v) => v * period);
  out.set('poolW', quantised('poolW', scaled, 0, [H, H]));
  out.set('poolb', quantised('poolb', b.map((v) => v * period * 2 ** p.fx), 0, [H])); // prettier-ignore
  out.set('clsW', quantised('clsW', m.classifier.W, F_TANH, [H, m.labels]));
  out.set('clsb', quantised('clsb', m.classifier.b, F_LOGITS, [m.labels]));
  return out;
}

const one = (): number => 1;

/** A layer that reads γ·n + β as one that reads n. */
function behind({ W, b, out }: Dense, { gamma, beta }: Affine): { W: Float64Array; b: Float64Array } {
  const shift = rowTimes(beta, W, out);
  return { W: W.map((v, i) => v * gamma[Math.floor(i / out)]!), b: b.map((v, j) => v + shift[j]!) };
}

function foldLayer(m: RealModel, p: Plan, layer: RealLayer, q: PlanLayer, before: Affine): [string, IntegerTensor][] {
  const { H, A, F } = m;
  const d = H / A;
  const { fx, fw, fz } = p;
  const factor = (j: number): number => q.lambda[Math.floor(j / d)]! / Math.sqrt(d);

  /** The bias is one more row, at the scale of the product. */
  const projection = (name: string, dense: Dense, scale: (j: number) => number, biased: boolean): IntegerTensor => {
    const { W, b } = behind(dense, before);
    const weights = quantise(name, W.map((v, i) => v * scale(i % H)), fw); // prettier-ignore
    if (!biased) return { shape: [H, H], data: weights };
    const data = new Float64Array((H + 1) * H);
    data.set(weights);
    data.set(quantise(name, b.map((v, j) => v * scale(j)), fx + fw), H * H); // prettier-ignore
    return { shape: [H + 1, H], data };
  };
  const centred = p.normaliser === '2quad_centred';

  const bo = layer.output.b.map((v, j) => v + before.beta[j]!);
  const gammaMean = before.gamma.map((v) => v / H);

  const { gamma: g1, beta: b1 } = layer.norm1;
  const inner = behind(layer.inner, layer.norm1);
  const W1 = new Float64Array(H * F);
  const bias1 = new Float64Array(F);
  const sloped = new Float64Array(H * F);
  const slopedBias = new Float64Array(F);
  const wd = new Float64Array(F * H);
  for (const { from, to, slope, period } of q.groups) {
    const scale = 2 ** (q.rawU - fx) / period;
    for (let place = from; place < to; place++) {
      const unit = q.perm[place]!;
      for (let i = 0; i < H; i++) {
        W1[i * F + place] = inner.W[i * F + unit]! * scale;
        sloped[i * F + place] = inner.W[i * F + unit]! * slope;
      }
      bias1[place] = inner.b[unit]! * scale * 2 ** fx;
      slopedBias[place] = inner.b[unit]! * slope;
      wd.set(layer.outer.W.subarray(unit * H, unit * H + H), place * H);
    }
  }
  const M2 = new Float64Array(H * H);
  for (let i = 0; i < H; i++) M2[i * H + i] = g1[i]!;
  multiplyAdd(M2, sloped, wd, H, F, H);
  const through = rowTimes(slopedBias, wd, H);
  const b2 = layer.outer.b.map((v, j) => v + b1[j]! + through[j]!);

  return [
    ['Wq', projection('Wq', layer.query, factor, true)],
    ['Wk', projection('Wk', layer.key, one, !centred)], // centring cancels the key bias
    ['Wv', projection('Wv', layer.value, one, true)],
    ['Wo', quantised('Wo', centreRows(layer.output.W, H), fz - p.fo, [H, H])],
    ['bo', quantised('bo', centreRows(bo, H), fz, [H])],
    ['gamma', quantised('gamma', before.gamma, fz - fx, [H])],
    ['gc', quantised('gc', gammaMean, fz - fx + F_MEAN, [H, 1])],
    [
      'c',
      quantised(
        'c',
        Float64Array.from(layer.c, (v, h) => v * q.lambda[h]!),
        p.fs,
        [A],
      ),
    ],
    ['W1', quantised('W1', W1, 0, [H, F])],
    ['b1', quantised('b1', bias1, 0, [F])],
    ['W2', quantised('W2', centreRows(wd, H), fz - p.fy, [F, H])],
    ['M2', quantised('M2', centreRows(M2, H), fz - fx, [H, H])],
    ['b2', quantised('b2', centreRows(b2, H), fz, [H])],
  ];
}

const quantised = (name: string, v: Float64Array, f: number, shape: readonly number[]): IntegerTensor => ({
  shape,
  data: quantise(name, v, f),
});

/** round(v·2^f), half to even; in 32 bits where they suffice. */
function quantise(name: string, values: Float64Array, f: number): Int32Array | Float64Array {
  const out = new Float64Array(values.length);
  let largest = 0;
  for (let i = 0; i < values.length; i++) {
    const v = rint(values[i]! * 2 ** f);
    out[i] = v;
    largest = Math.max(largest, Math.abs(v));
  }
  if (!(largest <= 2 ** 53))
    throw new RefusedError(`fold: ${name}: a weight is not finite or above 2^53 at scale 2^${f}`, 'the checkpoint is damaged'); // prettier-ignore
  return largest < 2 ** 31 ? Int32Array.from(out) : out;
}
