/** Seconds of one MiniLM training step (forward, backward, clipping, AdamW) beside the engine's matrix-product peak. */
import { Option, type Command } from 'commander';
import { bertFeeds, bertGraph } from '../engine/bert.ts';
import { float32, type Engine, type State } from '../engine/engine.ts';
import {
  cast,
  equal,
  arange,
  gradients,
  Graph,
  logSoftmax,
  matmul,
  mean,
  mul,
  neg,
  reshape,
  sum,
} from '../engine/graph/index.ts';
import { createEngine } from '../engine/onnxruntime.ts';
import { adamW } from '../engine/optimizer.ts';
import { CounterRandom } from '../common/random.ts';
import { SOFTMAX_ACTS, type ModelConfig, type SoftmaxAct } from '../model/config.ts';
import { parameterShapes } from '../model/names.ts';

export interface TrainStepResult {
  readonly steps: readonly { batch: number; length: number; seconds: number; gflops: number }[];
  /** Best 2,048 × 1,536 × 384 product of the same engine in the same run. */
  readonly peakGflops: number;
  readonly threads: number;
}

export interface TrainStepOptions {
  readonly threads: number;
  readonly shapes?: readonly (readonly [batch: number, length: number])[];
  readonly repeats?: number;
  readonly normaliser?: SoftmaxAct;
}

const MINILM: Omit<ModelConfig, 'softmax_act'> = {
  model_type: 'bert',
  hidden_size: 384,
  num_attention_heads: 12,
  num_hidden_layers: 6,
  intermediate_size: 1536,
  vocab_size: 30522,
  max_position_embeddings: 512,
  type_vocab_size: 2,
  layer_norm_eps: 1e-12,
  hidden_act: 'gelu',
  softmax_c: 5,
  hidden_dropout_prob: 0,
  attention_probs_dropout_prob: 0,
  num_labels: 2,
  labels: ['negative', 'positive'],
};

/** A multiply-add counts two; each product of the forward pass brings two of its size in the backward pass. */
export function stepFlops(config: ModelConfig, batch: number, length: number): number {
  const { hidden_size: h, intermediate_size: f, num_hidden_layers: layers } = config;
  const tokens = batch * length;
  return 3 * layers * (2 * tokens * (4 * h * h + 2 * h * f) + 2 * 2 * tokens * length * h);
}

const median = (values: readonly number[]): number => values.toSorted((a, b) => a - b)[values.length >> 1]!;

async function matmulPeak(engine: Engine): Promise<number> {
  const [m, k, n] = [2048, 384, 1536];
  const graph = new Graph();
  const product = matmul(graph.input('a', 'float32', [m, k]), graph.input('b', 'float32', [k, n]));
  const executable = await engine.compile(graph, { y: sum(product, [0, 1]) });
  const feeds = {
    a: float32([m, k], new Float32Array(m * k).fill(0.5)),
    b: float32([k, n], new Float32Array(k * n).fill(0.25)),
  };
  let best = Infinity;
  for (let i = 0; i < 20; i++) {
    const start = performance.now();
    await executable.run(feeds);
    best = Math.min(best, performance.now() - start);
  }
  await executable.release();
  return (2 * m * k * n) / best / 1e6;
}

function randomState(engine: Engine, config: ModelConfig): State {
  return engine.createState(
    new Map(
      [...parameterShapes(config)].map(([name, shape], index) => {
        const random = new CounterRandom(1, index);
        const size = shape.reduce((a, d) => a * d, 1);
        const scale = name.includes('LayerNorm.weight') ? 1 : 0.02 * (2 * random.uniform() - 1);
        // A cheap fill: the time does not depend on the values as long as they are ordinary.
        const data = Float32Array.from({ length: size }, (_, i) =>
          name.includes('LayerNorm.weight') ? 1 : scale * Math.sin(i + index),
        );
        return [name, { shape, data }] as const;
      }),
    ),
  );
}

/** Builds the step once and times it for every shape. */
export async function trainStep(options: TrainStepOptions): Promise<TrainStepResult> {
  const { threads, repeats = 5, normaliser = 'softmax' } = options;
  const shapes = options.shapes ?? [
    [32, 64],
    [32, 128],
  ];
  const config: ModelConfig = { ...MINILM, softmax_act: normaliser };
  const engine = createEngine({ threads });
  const peakGflops = await matmulPeak(engine);

  const graph = new Graph();
  const names = parameterShapes(config);
  const { logits } = bertGraph(config, { graph, parameter: (name) => graph.parameter(name, names.get(name)!) });
  const labels = graph.input('labels', 'int64', ['B']);
  const chosen = cast(equal(reshape(labels, ['B', 1]), arange(logits, 2)), 'float32');
  const loss = neg(mean(sum(mul(logSoftmax(logits), chosen), [1])));
  const parameters = new Map([...names.keys()].map((name) => [name, graph.parameters.get(name)!] as const));
  const gradient = gradients(loss, parameters.values());
  const optimiser = adamW(graph, new Map([...parameters].map(([name, node]) => [name, gradient.get(node)!] as const)));
  const state = randomState(engine, config);
  for (const [name, moment] of optimiser.moments) state.write(name, moment);
  const step = await engine.compileStep(graph, { loss }, optimiser.updates, state);

  const steps: TrainStepResult['steps'][number][] = [];
  let count = 0;
  for (const [batch, length] of shapes) {
    const random = new CounterRandom(2, batch, length);
    const words = (n: number, below: number): Int32Array => Int32Array.from({ length: n }, () => random.int(below));
    const size = batch * length;
    const feeds = {
      ...bertFeeds({
        batch,
        length,
        ids: words(size, 30522),
        types: new Int32Array(size),
        mask: new Int32Array(size).fill(1),
      }),
      labels: { dtype: 'int64', shape: [batch], data: BigInt64Array.from(words(batch, 2), BigInt) },
    } as const;
    const seconds: number[] = [];
    for (let i = 0; i <= repeats; i++) {
      const start = performance.now();
      const result = await step.run({ ...feeds, ...optimiser.feeds(++count, 2e-5) });
      if (!Number.isFinite(result['loss']!.data[0] as number)) throw new Error('the loss is not finite');
      if (i > 0) seconds.push((performance.now() - start) / 1000);
    }
    const time = median(seconds);
    steps.push({ batch, length, seconds: time, gflops: stepFlops(config, batch, length) / time / 1e9 });
  }
  await step.release();
  return { steps, peakGflops, threads };
}

interface TrainOptions {
  readonly threads: number;
  readonly repeats: number;
  readonly normaliser: SoftmaxAct;
  readonly json?: boolean;
}

/** `bench train`. */
export function addTrainBench(program: Command): void {
  program
    .command('train')
    .description('One MiniLM training step: forward, backward, clipping, AdamW.')
    .option('--threads <n>', 'threads of the engine', Number, 2)
    .option('--repeats <n>', 'measured steps', Number, 5)
    .addOption(new Option('--normaliser <name>', 'attention').choices([...SOFTMAX_ACTS]).default('softmax'))
    .option('--json', 'one JSON object as the last line')
    .addHelpText('after', '\nExample:\n  npm run --silent bench -- train --threads 2 --json\n')
    .action(async ({ json, ...options }: TrainOptions) => {
      const result = await trainStep(options);
      for (const s of result.steps)
        process.stderr.write(`${s.batch}×${s.length}: ${s.seconds.toFixed(3)} s, ${s.gflops.toFixed(0)} GFLOP/s\n`);
      process.stderr.write(`matmul peak ${result.peakGflops.toFixed(0)} GFLOP/s, ${result.threads} threads\n`);
      if (json) process.stdout.write(`${JSON.stringify(result)}\n`);
    });
}
