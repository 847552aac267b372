/** Norm bounds against the model's own arithmetic on random rows, and against their exact values where those are known. */
import { describe, expect, it } from 'vitest';
import { CounterRandom } from '../../common/random.ts';
import { boundsOf, topEigenvalue } from '../../export/bounds.ts';
import { realModel, type RealModel } from '../../export/real-model.ts';
import { tinyConfig, tinyTensors } from '../support/tiny-model.ts';

const model = (softmax_act: string): RealModel => {
  const config = tinyConfig({ softmax_act });
  return realModel(config, tinyTensors(config));
};

describe('topEigenvalue', () => {
  it('is the largest entry of a diagonal, at most d^(1/64) above it', () => {
    const d = 5;
    const M = new Float64Array(d * d);
    [3, 2, 7, 7, 1].forEach((v, i) => (M[i * (d + 1)] = v));
    const top = topEigenvalue(M, d);
    expect(top).toBeGreaterThanOrEqual(7);
    expect(top).toBeLessThan(7 * 2 ** (1 / 64) * (1 + 1e-6));
    expect(topEigenvalue(new Float64Array(4), 2)).toBe(0);
  });
  it('bounds ‖Mx‖ of products of Gram matrices', () => {
    const random = new CounterRandom(3, 'gram');
    const d = 6;
    const G = new Float64Array(d * d);
    const B = Float64Array.from({ length: d * d }, () => random.normal());
    for (let i = 0; i < d; i++)
      for (let j = 0; j < d; j++) for (let k = 0; k < d; k++) G[i * d + j]! += B[k * d + i]! * B[k * d + j]!;
    const top = topEigenvalue(G, d);
    // power iteration from below
    let x = Float64Array.from({ length: d }, () => random.normal());
    let rate = 0;
    for (let t = 0; t < 500; t++) {
      const y = x.map((_, i) => x.reduce((sum, v, j) => sum + G[i * d + j]! * v, 0));
      rate = Math.hypot(...y) / Math.hypot(...x);
      x = y.map((v) => v / Math.hypot(...y));
    }
    expect(top).toBeGreaterThanOrEqual(rate * (1 - 1e-9));
    expect(top).toBeLessThan(rate * d ** (1 / 64) * (1 + 1e-6));
  });
});

/** x·W + b in plain loops. */
const dense = (x: readonly number[], W: Float64Array, b: Float64Array): number[] =>
  Array.from(b, (v, j) => x.reduce((sum, xi, i) => sum + xi * W[i * b.length + j]!, v));
const centred = (x: readonly number[]): number[] => x.map((v) => v - x.reduce((a, b) => a + b, 0) / x.length);

describe.each(['2quad', '2quad_centred'])('bounds of a model (%s)', (act) => {
  const m = model(act);
  const bounds = boundsOf(m);
  const layer = m.layers[0]!;
  const { H, A } = m;
  const d = H / A;
  const random = new CounterRandom(11, act);
  /** A row as a LayerNorm gives it: mean 0, ‖n‖ = √H; sometimes a spike, the worst it can be. */
  const row = (): number[] => {
    const x = centred(
      Array.from({ length: H }, (_, i) => (random.uniform() < 0.3 ? (i === 0 ? 5 : 0.1) : 1) * random.normal()),
    );
    const norm = Math.hypot(...x);
    return x.map((v) => (v * Math.sqrt(H)) / norm);
  };
  const affine = (n: readonly number[], { gamma, beta }: { gamma: Float64Array; beta: Float64Array }): number[] =>
    n.map((v, j) => v * gamma[j]! + beta[j]!);

  it('hold for every wire of random rows, and are not idle', () => {
    const own = bounds.layers[0]!;
    const seen = { score: 0, value: 0, key: 0, norm1: 0, unit: 0, norm2: 0 };
    for (let t = 0; t < 400; t++) {
      const L = 1 + random.int(5);
      const n = Array.from({ length: L }, row);
      const x = n.map((r) => affine(r, m.embeddingNorm));
      const [q, k, v] = [layer.query, layer.key, layer.value].map(({ W, b }) => x.map((r) => dense(r, W, b))) as [number[][], number[][], number[][]]; // prettier-ignore
      // the keys of centred scores lose what the row has no part in
      const constant = act === '2quad' ? new Array<number>(H).fill(0) : dense([...m.embeddingNorm.beta], layer.key.W, layer.key.b); // prettier-ignore
      for (const key of k)
        key.forEach((value, j) => {
          expect(Math.abs(value - constant[j]!)).toBeLessThanOrEqual(own.key);
          seen.key = Math.max(seen.key, Math.abs(value - constant[j]!) / own.key);
        });
      const context = x.map(() => new Array<number>());
      for (let h = 0; h < A; h++) {
        const head = (r: readonly number[]): number[] => r.slice(h * d, (h + 1) * d);
        const dot = (a: readonly number[], b: readonly number[]): number => a.reduce((s, ai, i) => s + ai * b[i]!, 0);
        x.forEach((_x, i) => {
          const raw = k.map((key) => dot(head(q[i]!), head(key)) / Math.sqrt(d));
          const scores = act === '2quad' ? raw : centred(raw);
          for (const s of scores) {
            expect(Math.abs(s)).toBeLessThanOrEqual(own.score[h]!);
            seen.score = Math.max(seen.score, Math.abs(s) / own.score[h]!);
          }
          const weights = scores.map((s) => (s + layer.c[h]!) ** 2);
          const total = weights.reduce((a, b) => a + b, 0);
          context[i]!.push(...head(v[0]!).map((_v, j) => v.reduce((s, value, key) => s + (weights[key]! / total) * head(value)[j]!, 0))); // prettier-ignore
        });
        for (const values of v)
          for (const value of head(values)) {
            expect(Math.abs(value)).toBeLessThanOrEqual(own.value[h]!);
            seen.value = Math.max(seen.value, Math.abs(value) / own.value[h]!);
          }
      }
      context.forEach((o, i) => {
        const y = centred(dense(o, layer.output.W, layer.output.b).map((a, j) => a + x[i]![j]!));
        for (const value of y) expect(Math.abs(value)).toBeLessThanOrEqual(own.norm1);
        seen.norm1 = Math.max(seen.norm1, ...y.map((value) => Math.abs(value) / own.norm1));
      });
      const z = affine(row(), layer.norm1);
      const u = dense(z, layer.inner.W, layer.inner.b);
      u.forEach((value, f) => {
        expect(Math.abs(value)).toBeLessThanOrEqual(own.units[f]!);
        seen.unit = Math.max(seen.unit, Math.abs(value) / own.units[f]!);
      });
      const limit = Float64Array.from(u, () => 2);
      const active = u.map(() => (random.uniform() < 0.5 ? 2 : -2));
      const out = centred(dense(active, layer.outer.W, layer.outer.b).map((a, j) => a + z[j]!));
      for (const value of out) expect(Math.abs(value)).toBeLessThanOrEqual(own.norm2(limit));
      seen.norm2 = Math.max(seen.norm2, ...out.map((value) => Math.abs(value) / own.norm2(limit)));
    }
    for (const ratio of Object.values(seen)) expect(ratio).toBeGreaterThan(0.1);
  });

  it('hold for every embedding and logit', () => {
    for (let id = 0; id < m.V; id++)
      for (let position = 0; position < m.positions; position++)
        for (const type of [0, 1]) {
          const x = centred(Array.from({ length: H }, (_, j) => m.word[id * H + j]! + m.position[position * H + j]! + m.type[type * H + j]!)); // prettier-ignore
          for (const value of x) expect(Math.abs(value)).toBeLessThanOrEqual(bounds.embedding);
        }
    const ones = Array.from({ length: H }, (_, i) => Math.sign(m.classifier.W[i * m.labels]!));
    expect(Math.abs(dense(ones, m.classifier.W, m.classifier.b)[0]!)).toBeLessThanOrEqual(bounds.logits);
  });
});
