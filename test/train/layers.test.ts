import { describe, expect, it } from 'vitest';
import { elements, float32, type Feeds } from '../../engine/engine.ts';
import { gradients, Graph, type Node } from '../../engine/graph/index.ts';
import { createEngine } from '../../engine/onnxruntime.ts';
import { CounterRandom } from '../../common/random.ts';
import type { ModelConfig } from '../../model/config.ts';
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

/** c₁·sin(c₂·i + c₃), rounded to float32. */
const wave = (size: number, [height, step, start]: readonly [number, number, number]): Float32Array =>
  Float32Array.from({ length: size }, (_, i) => height * Math.sin(step * i + start));

/**
 * Expected by numpy in float64 on the same waves: the denominators' mean over heads and the 7 real tokens, of
 * log2(mean((x + c)**2)) + 2*log2(5/|c|) with x the scores, or scores minus their row mean; 0.05 times the activations', and 0.05 times the mean of max(0, log2(var + 1e-12) - 4)**2 for either LayerNorm; gradients by central
 * differences of step 1e-5.
 */
describe('range penalty', () => {
  const [F, H] = [5, 6];
  const waves: Record<string, [shape: number[], wave: [number, number, number]]> = {
    'scores.0': [
      [B, A, L, L],
      [20, 1.7, 0],
    ],
    'ffn.0': [
      [B, L, F],
      [9, 0.9, 1],
    ],
    'attention.pre.0': [
      [B, L, H],
      [12, 2.3, 2],
    ],
    'hidden.pre.1': [
      [B, L, H],
      [30, 0.7, 3],
    ],
  };
  const config = (act: string, c: readonly number[]): ModelConfig =>
    tinyConfig({
      num_hidden_layers: 1,
      intermediate_size: F,
      softmax_act: act,
      ...(act === 'softmax' ? {} : { softmax_c: [c] }),
    });
  const build = (act: string, c: readonly number[]) => {
    const graph = new Graph();
    const m = graph.input('m', 'float32', [B, L]);
    const probes = new Map(
      Object.entries(waves).map(([name, [shape]]) => [name, graph.input(name, 'float32', shape)] as const),
    );
    const feeds: Record<string, Feeds[string]> = { m: float32([B, L], mask) };
    for (const [name, [shape, wave_]] of Object.entries(waves))
      if (act !== 'softmax' || name !== 'scores.0') feeds[name] = float32(shape, wave(elements(shape), wave_));
    return { graph, probes, feeds, loss: rangePenalty(probes, m, config(act, c)) };
  };

  const rest = 0.36052887156658603 + 1.1796939298627152;
  it.each([
    ['2quad', [5, 5, 5], 0.14642515864362562 + rest],
    ['2quad_centred', [5, 5, 5], 0.12144656355136348 + rest],
    ['2quad', [0.5, 2, -12], 17.369883218633053 + rest],
    ['2quad_centred', [0.5, 2, -12], 16.955875485931216 + rest],
    ['softmax', [], rest],
  ] as const)('is what numpy computes: %s, c = %j', async (act, c, expected) => {
    const { graph, loss, feeds } = build(act, c);
    const found = (await evaluate(graph, { loss }, feeds))['loss']![0]!;
    expect(found / expected).toBeCloseTo(1, 5);
  });

  it('has the gradients that numpy finds by differences', async () => {
    const { graph, loss, feeds, probes } = build('2quad_centred', [0.5, 2, -12]);
    const found = gradients(loss, probes.values());
    const wanted = Object.fromEntries([...probes].map(([name, node]) => [`g:${name}`, found.get(node)!]));
    const g = await evaluate(graph, wanted, feeds);
    // prettier-ignore
    const expected = [
      ['scores.0', 49, 0.07226611],
      ['scores.0', 54, -0.06400932],
      ['scores.0', 5, 0.04156398],
      ['ffn.0', 1, 0.01290486],
      ['ffn.0', 8, 0.01276164],
      ['ffn.0', 4, -0.01126634],
      ['attention.pre.0', 19, 0.002593732],
      ['attention.pre.0', 34, -0.002577865],
      ['attention.pre.0', 31, -0.002268497],
      ['hidden.pre.1', 41, 0.002667169],
      ['hidden.pre.1', 30, -0.002611881],
      ['hidden.pre.1', 20, -0.002089639],
    ] as const;
    // Relative error of a float32 sum of a few dozen terms, and of the differences themselves.
    for (const [name, i, value] of expected) expect(g[`g:${name}`]![i]! / value, `${name}[${i}]`).toBeCloseTo(1, 4);
    // Text 2 has three real tokens of four: what is masked has no gradient.
    for (const [name, [shape]] of Object.entries(waves).slice(1))
      expect(
        g[`g:${name}`]!.slice(-shape.at(-1)!).every((v) => v === 0),
        name,
      ).toBe(true);
  });

  it('does not see scores and c scaled together, as 2Quad does not', async () => {
    const alike = async (factor: number): Promise<number> => {
      const { graph, loss, feeds } = build('2quad', [3, 4, 6].map((v) => v * factor)); // prettier-ignore
      const { shape, data } = feeds['scores.0'] as Extract<Feeds[string], { dtype: 'float32' }>;
      const scaled = float32(shape, data.map((v) => v * factor)); // prettier-ignore
      return (await evaluate(graph, { loss }, { ...feeds, 'scores.0': scaled }))['loss']![0]!;
    };
    expect((await alike(0.125)) / (await alike(1))).toBeCloseTo(1, 5);
  });
});
