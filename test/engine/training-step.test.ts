import { describe, expect, it } from 'vitest';
import { CounterRandom } from '../../common/random.ts';
import { bertFeeds, bertGraph } from '../../engine/bert.ts';
import { elements, float32, int64, scalar, type Feeds } from '../../engine/engine.ts';
import {
  add,
  gather,
  gradients,
  Graph,
  logSoftmax,
  mean,
  mul,
  neg,
  slice,
  square,
  sum,
  type Node,
} from '../../engine/graph/index.ts';
import { loadNative } from '../../engine/native.ts';
import { createEngine } from '../../engine/onnxruntime.ts';
import { adamW, firstMoment, secondMoment } from '../../engine/optimizer.ts';
import type { ModelConfig } from '../../model/config.ts';
import { parameterShapes } from '../../model/names.ts';
import { ENGINES } from '../support/engines.ts';

const CONFIG: ModelConfig = {
  model_type: 'bert',
  hidden_size: 64,
  num_attention_heads: 4,
  num_hidden_layers: 2,
  intermediate_size: 128,
  vocab_size: 500,
  max_position_embeddings: 40,
  type_vocab_size: 2,
  layer_norm_eps: 1e-12,
  hidden_act: 'gelu',
  softmax_act: '2quad_centred',
  softmax_c: 2.5,
  hidden_dropout_prob: 0.1,
  attention_probs_dropout_prob: 0.2,
  num_labels: 3,
  labels: ['a', 'b', 'c'],
};
const [BATCH, LENGTH] = [16, 32];

const normal = (seed: number, key: number, length: number, scale = 1): Float32Array => {
  const random = new CounterRandom(seed, key);
  return Float32Array.from({ length }, () => scale * random.normal());
};

/** Three training steps with dropout on batches full of repeated tokens; every bit of state and loss. */
async function train(threads: number, native = true): Promise<Map<string, Uint8Array>> {
  const engine = createEngine({ threads, native });
  const shapes = parameterShapes(CONFIG);
  const graph = new Graph();
  const parameter = (name: string): Node => graph.parameter(name, shapes.get(name)!);
  const { logits, ops } = bertGraph(CONFIG, { graph, parameter, dropout: true, paddingId: 0 });
  const loss = neg(mean(slice(logSoftmax(logits), 1, 0, 1)));
  const gradient = gradients(loss, [...shapes.keys()].map(parameter));
  const optimiser = adamW(graph, new Map([...shapes.keys()].map((n) => [n, gradient.get(parameter(n))!])));
  const weights = [...shapes].map(
    ([name, shape], i) => [name, { shape, data: normal(1, i, elements(shape), 0.1) }] as const,
  );
  const state = engine.createState(new Map([...weights, ...optimiser.moments]));
  const step = await engine.compileStep(graph, { loss }, optimiser.updates, state);

  const bits = new Map<string, Uint8Array>();
  for (let i = 1; i <= 3; i++) {
    const random = new CounterRandom(2, i);
    const size = BATCH * LENGTH;
    const feeds: Record<string, Feeds[string]> = {
      ...bertFeeds({
        batch: BATCH,
        length: LENGTH,
        // Few words, so that each occurs some sixty times.
        ids: Int32Array.from({ length: size }, () => 100 * random.int(5)),
        types: Int32Array.from({ length: size }, () => random.int(2)),
        mask: Int32Array.from({ length: size }, (_, at) => (at % LENGTH < 4 + (at % 7) ? 1 : random.int(2))),
      }),
      ...optimiser.feeds(i, 1e-2),
    };
    for (const site of ops.dropoutSites) {
      const shape = site.shape.map((d) => (d === 'B' ? BATCH : d === 'L' ? LENGTH : (d as number)));
      feeds[site.name] = float32(
        shape,
        Float32Array.from({ length: elements(shape) }, () => (random.uniform() < site.rate ? 0 : 1 / (1 - site.rate))),
      );
    }
    const result = await step.run(feeds);
    bits.set(`loss ${i}`, new Uint8Array((result['loss']!.data as Float32Array).slice().buffer));
  }
  await step.release();
  for (const name of state.names) bits.set(name, new Uint8Array(state.read(name).data.buffer));
  return bits;
}

/** The dropout sites of a traced model, checked to be exactly the mask inputs of its graph. */
const trace = (config: ModelConfig, dropout: boolean): readonly { name: string; rate: number }[] => {
  const graph = new Graph();
  const shapes = parameterShapes(config);
  const parameter = (name: string): Node => graph.parameter(name, shapes.get(name)!);
  const { ops } = bertGraph(config, { graph, parameter, dropout, prefix: 'student.' });
  expect([...graph.inputs.keys()].filter((n) => n.includes('dropout'))).toEqual(ops.dropoutSites.map((s) => s.name));
  return ops.dropoutSites;
};

describe('training step', () => {
  it('gives the same bits twice, at two threads, with repeated tokens and dropout', async () => {
    const [first, second] = [await train(2), await train(2)];
    expect([...first.keys()]).toEqual([...second.keys()]);
    for (const [name, bytes] of first) expect(Buffer.compare(bytes, second.get(name)!), name).toBe(0);
    // It trained at all: the first and the last loss differ.
    expect(first.get('loss 1')).not.toEqual(first.get('loss 3'));
  });

  it.runIf(loadNative() !== undefined)('steps in place in native code with the bits of the graph', async () => {
    const [native, graph] = [await train(2, true), await train(2, false)];
    expect([...native.keys()]).toEqual([...graph.keys()]);
    for (const [name, bytes] of graph) expect(Buffer.compare(bytes, native.get(name)!), name).toBe(0);
  });

  it('one session takes batches of every length, up to all 512 positions', async () => {
    const config: ModelConfig = { ...CONFIG, max_position_embeddings: 512, hidden_dropout_prob: 0, attention_probs_dropout_prob: 0 }; // prettier-ignore
    const engine = createEngine({ threads: 2 });
    const graph = new Graph();
    const shapes = parameterShapes(config);
    const parameter = (name: string): Node => graph.parameter(name, shapes.get(name)!);
    const { logits } = bertGraph(config, { graph, parameter });
    const loss = neg(mean(slice(logSoftmax(logits), 1, 0, 1)));
    const gradient = gradients(loss, [...shapes.keys()].map(parameter));
    const optimiser = adamW(graph, new Map([...shapes.keys()].map((n) => [n, gradient.get(parameter(n))!])));
    const weights = [...shapes].map(
      ([name, shape], i) => [name, { shape, data: normal(1, i, elements(shape), 0.1) }] as const,
    );
    const state = engine.createState(new Map([...weights, ...optimiser.moments]));
    const step = await engine.compileStep(graph, { loss }, optimiser.updates, state);
    const forward = await engine.compile(graph, { loss }, state);
    const feeds = (batch: number, length: number): Feeds => {
      const random = new CounterRandom(7, batch, length);
      const size = batch * length;
      const ids = Int32Array.from({ length: size }, () => random.int(500));
      return bertFeeds({ batch, length, ids, types: new Int32Array(size), mask: new Int32Array(size).fill(1) });
    };
    const positions = (): Float32Array => state.read('bert.embeddings.position_embeddings.weight').data;
    let count = 0;
    for (const [batch, length] of [
      [3, 7],
      [2, 512],
      [1, 130],
    ] as const) {
      const before = positions();
      const at = async (): Promise<number> => Number((await forward.run(feeds(batch, length)))['loss']!.data[0]);
      const loss0 = await at();
      const result = await step.run({ ...feeds(batch, length), ...optimiser.feeds(++count, 1e-3) });
      // Fusions differ between a session with and one without gradients: a few hundred roundings.
      expect(Math.abs(Number(result['loss']!.data[0]) - loss0)).toBeLessThan(2 ** -24 * 500 * Math.max(1, loss0));
      expect(await at()).toBeLessThan(loss0);
      // The last position that the text has learned; at the first step those beyond have only decayed.
      const row = (data: Float32Array, i: number): Float32Array => data.slice(64 * i, 64 * (i + 1));
      const moved = (i: number): number =>
        row(positions(), i).reduce((a, x, j) => Math.max(a, Math.abs(x - row(before, i)[j]!)), 0);
      expect(moved(length - 1)).toBeGreaterThan(1e-4);
      if (count === 1) expect(moved(length)).toBeLessThan(1e-4);
    }
    await step.release();
    await forward.release();
    state.release();
  });

  it('declares its dropout masks, and none at rate 0', () => {
    expect(trace(CONFIG, false)).toEqual([]);
    const sites = trace(CONFIG, true);
    // Embeddings and pooled once; probabilities, attention and output in each of two layers.
    expect(sites).toHaveLength(2 + 3 * 2);
    expect(sites.find((s) => s.name === 'student.dropout.probs.1')).toMatchObject({
      rate: 0.2,
      shape: ['B', 4, 'L', 'L'],
    });
    expect(trace({ ...CONFIG, attention_probs_dropout_prob: 0 }, true)).toHaveLength(2 + 2 * 2);
  });
});

describe.each(ENGINES)('AdamW on $name, an embedding table larger than the tokens seen', (engine) => {
  // The twin: AdamW on the whole table, in float64, from the formulas of the paper.
  it('equals AdamW on the dense gradient, and leaves frozen parameters alone', async () => {
    const [rows, width, steps] = [90, 3, 4];
    const [beta1, beta2, epsilon, decay, rate] = [0.9, 0.999, 1e-8, 0.01, 0.05];
    const graph = new Graph();
    const table = graph.parameter('table.weight', [rows, width]);
    const frozen = graph.parameter('frozen.weight', [width]);
    const ids = graph.input('ids', 'int64', ['T']);
    const target = graph.input('target', 'float32', []);
    const loss = sum(square(add(mul(gather(table, ids), frozen), target)));
    const optimiser = adamW(graph, new Map([['table.weight', gradients(loss, [table]).get(table)!]]));
    const start = normal(3, 0, rows * width);
    const factor = normal(3, 1, width);
    const state = engine.createState(
      new Map([
        ['table.weight', { shape: [rows, width], data: start }],
        ['frozen.weight', { shape: [width], data: factor }],
        ...optimiser.moments,
      ]),
    );
    const step = await engine.compileStep(graph, { norm: optimiser.norm }, optimiser.updates, state);

    const [p, m, v] = [Float64Array.from(start), new Float64Array(rows * width), new Float64Array(rows * width)];
    const batches = [[5, 89, 5, 0], [7, 7, 7], [5, 0, 41, 42, 5, 7], [88]];
    for (let t = 1; t <= steps; t++) {
      const tokens = batches[t - 1]!;
      await step.run({ ids: int64([tokens.length], tokens), target: scalar(0.5), ...optimiser.feeds(t, rate) });

      const g = new Float64Array(rows * width);
      for (const id of tokens)
        for (let j = 0; j < width; j++) {
          const at = id * width + j;
          g[at]! += 2 * (p[at]! * factor[j]! + 0.5) * factor[j]!;
        }
      const clip = Math.min(1, 1 / (Math.sqrt(g.reduce((a, x) => a + x * x, 0)) + 1e-6));
      for (let i = 0; i < p.length; i++) {
        m[i] = beta1 * m[i]! + (1 - beta1) * clip * g[i]!;
        v[i] = beta2 * v[i]! + (1 - beta2) * (clip * g[i]!) ** 2;
        const [mHat, vHat] = [m[i]! / (1 - beta1 ** t), v[i]! / (1 - beta2 ** t)];
        p[i] = p[i]! * (1 - rate * decay) - (rate * mHat) / (Math.sqrt(vHat) + epsilon);
      }
    }
    await step.release();
    // Each of the steps rounds some twenty times, relative to values of at most 4; m and v are smaller.
    const allowed = steps * 20 * 4 * 2 ** -24;
    for (const [name, expected] of [
      ['table.weight', p],
      [firstMoment('table.weight'), m],
      [secondMoment('table.weight'), v],
    ] as const) {
      const actual = state.read(name).data;
      const worst = actual.reduce((a, x, i) => Math.max(a, Math.abs(x - expected[i]!)), 0);
      expect(worst, name).toBeLessThanOrEqual(allowed);
    }
    expect(state.read('frozen.weight').data).toEqual(factor);
    expect(state.names).not.toContain(firstMoment('frozen.weight'));
  });
});
