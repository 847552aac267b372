import { describe, expect, it } from 'vitest';
import { float32, type Feeds } from '../../engine/engine.ts';
import { gradients, Graph, type Node } from '../../engine/graph/index.ts';
import { createEngine } from '../../engine/onnxruntime.ts';
import { CounterRandom } from '../../common/random.ts';
import { scoreError } from '../../train/loss/layers.ts';
import { rangePenalty } from '../../train/loss/range-penalty.ts';
import { tinyConfig } from '../support/tiny-model.ts';

const [B, A, L] = [2, 3, 4];
const REAL = [4, 3];
const random = (key: string, size: number, scale: number): Float32Array =>
  new CounterRandom(5, key).fillNormal(new Float32Array(size), 0, scale);
const student = random('student', B * A * L * L, 2);
const teacher = random('teacher', B * A * L * L, 2);
const mask = Float32Array.from({ length: B * L }, (_, i) => Number(i % L < REAL[Math.floor(i / L)]!));
const at = (b: number, a: number, q: number, k: number): number => ((b * A + a) * L + q) * L + k;

async function evaluate(graph: Graph, outputs: Record<string, Node>, feeds: Feeds): Promise<Record<string, number[]>> {
  const executable = await createEngine({ threads: 1 }).compile(graph, outputs);
  const results = await executable.run(feeds);
  await executable.release();
  return Object.fromEntries(Object.entries(results).map(([name, { data }]) => [name, Array.from(data, Number)]));
}

describe('score error of row-centred 2Quad', () => {
  const graph = new Graph();
  const s = graph.input('s', 'float32', [B, A, L, L]);
  const t = graph.input('t', 'float32', [B, A, L, L]);
  const m = graph.input('m', 'float32', [B, L]);
  const loss = scoreError(s, t, m, 'mean_real', true);
  const gradient = gradients(loss, [s]).get(s)!;
  const feeds = (moved: Float32Array): Feeds => ({
    s: float32([B, A, L, L], moved),
    t: float32([B, A, L, L], teacher),
    m: float32([B, L], mask),
  });

  it('is the mean over real pairs of the difference of centred rows', async () => {
    let sum = 0;
    let pairs = 0;
    for (let b = 0; b < B; b++) {
      for (let a = 0; a < A; a++) {
        for (let q = 0; q < REAL[b]!; q++) {
          const keys = Array.from({ length: REAL[b]! }, (_, k) => at(b, a, q, k));
          const mean = (x: Float32Array): number => keys.reduce((total, i) => total + x[i]!, 0) / keys.length;
          const [ms, mt] = [mean(student), mean(teacher)];
          for (const i of keys) sum += (student[i]! - ms - (teacher[i]! - mt)) ** 2;
          pairs += keys.length;
        }
      }
    }
    const found = (await evaluate(graph, { loss }, feeds(student)))['loss']![0]!;
    expect(found / (sum / pairs)).toBeCloseTo(1, 5);
  });

  it('does not see a constant added to a row, nor anything masked', async () => {
    const moved = student.map((v, i) => {
      const [k, q, b] = [i % L, Math.floor(i / L) % L, Math.floor(i / (A * L * L))];
      const real = k < REAL[b]! && q < REAL[b]!;
      return real ? v + 1 + q : 100 * v;
    });
    const [before, after] = [
      await evaluate(graph, { loss }, feeds(student)),
      await evaluate(graph, { loss }, feeds(moved)),
    ];
    expect(after['loss']![0]! / before['loss']![0]!).toBeCloseTo(1, 4);
    const g = (await evaluate(graph, { gradient }, feeds(student)))['gradient']!;
    // So its gradient sums to 0 over each row and is 0 where masked.
    for (let row = 0; row < B * A * L; row++) {
      const values = g.slice(row * L, (row + 1) * L);
      expect(Math.abs(values.reduce((x, y) => x + y, 0))).toBeLessThan(1e-6);
      const b = Math.floor(row / (A * L));
      if (row % L >= REAL[b]!) expect(values.every((v) => v === 0)).toBe(true);
      expect(values.slice(REAL[b]!).every((v) => v === 0)).toBe(true);
    }
  });
});

describe('range penalty', () => {
  it.each(['2quad', '2quad_centred', 'softmax'] as const)('is the formula, over real tokens: %s', async (act) => {
    const F = 5;
    const c = [0.5, 2, 30];
    const config = tinyConfig({
      num_hidden_layers: 1,
      intermediate_size: F,
      softmax_act: act,
      ...(act === 'softmax' ? {} : { softmax_c: [c] }),
    });
    const u = random('u', B * L * F, 5);
    const graph = new Graph();
    const m = graph.input('m', 'float32', [B, L]);
    const probes = new Map([
      ['scores.0', graph.input('s', 'float32', [B, A, L, L])],
      ['ffn.0', graph.input('u', 'float32', [B, L, F])],
    ]);
    const all: Feeds = {
      s: float32([B, A, L, L], student),
      u: float32([B, L, F], u),
      m: float32([B, L], mask),
    };
    const { s: _, ...without } = all;
    const loss = rangePenalty(probes, m, config);
    const found = (await evaluate(graph, { loss }, act === 'softmax' ? without : all))['loss']![0]!;

    let scores = 0;
    let inputs = 0;
    for (let b = 0; b < B; b++) {
      const n = REAL[b]!;
      for (let q = 0; q < n; q++) {
        for (let a = 0; a < (act === 'softmax' ? 0 : A); a++) {
          const row = Array.from({ length: n }, (__, k) => student[at(b, a, q, k)]!);
          const mean = act === '2quad' ? 0 : row.reduce((x, y) => x + y) / n;
          const log2 = Math.log2(row.reduce((sum, v) => sum + (v - mean + c[a]!) ** 2, 0) / n);
          scores += Math.max(0, 2.5 - log2) ** 2 + Math.max(0, log2 - 7.5) ** 2;
        }
        for (let f = 0; f < F; f++) {
          const v = u[(b * L + q) * F + f]!;
          inputs += Math.max(0, v - 4) ** 2 + Math.max(0, -5 - v) ** 2;
        }
      }
    }
    const tokens = REAL.reduce((x, y) => x + y);
    const expected = scores / (tokens * A) + (0.05 * inputs) / (tokens * F);
    expect(expected).toBeGreaterThan(0);
    expect(found / expected).toBeCloseTo(1, 5);
  });
});
