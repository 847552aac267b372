/**
 * Seconds of one MiniLM training step (forward, backward, clipping, AdamW) beside the engine's matrix-product peak; with
 * `--torch`, beside the same step in PyTorch.
 *   npm run --silent bench -- train [--json] [--torch PYTHON]
 */
import { Option, type Command } from 'commander';
import { InputError } from '../common/errors.ts';
import { CounterRandom } from '../common/random.ts';
import { bertFeeds } from '../engine/bert.ts';
import { elements, float32, int64, type Engine, type Executable } from '../engine/engine.ts';
import { gradients, Graph, matmul, sum } from '../engine/graph/index.ts';
import { createEngine } from '../engine/onnxruntime.ts';
import { adamW, type Optimizer } from '../engine/optimizer.ts';
import { SOFTMAX_ACTS, type ModelConfig, type SoftmaxAct } from '../model/config.ts';
import { parameterShapes } from '../model/names.ts';
import { buildObjective, TEACHER } from '../train/objective.ts';
import { parseRecipe } from '../train/recipe/recipe.ts';
import { compareWithTorch, showComparison } from './torch.ts';

export interface TrainStepResult {
  readonly steps: readonly { batch: number; length: number; seconds: number; gflops: number }[];
  /** Best 2,048 × 384 × 1,536 product of the same engine in the same run. */
  readonly peakGflops: number;
  readonly threads: number;
}

/** `labels`: fine-tuning on classes. `distil`: teacher forward, then logits, hidden states and scores of a student. */
export const OBJECTIVES = ['labels', 'distil'] as const;
export type ObjectiveName = (typeof OBJECTIVES)[number];

export type Shapes = readonly (readonly [batch: number, length: number])[];
export const SHAPES: Shapes = [
  [32, 64],
  [32, 128],
];

export interface TrainStepOptions {
  readonly threads: number;
  readonly shapes?: Shapes;
  readonly repeats?: number;
  /** Of the model that is trained. */
  readonly normaliser?: SoftmaxAct;
  readonly objective?: ObjectiveName;
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

export const RATE = 2e-5;

/**
 * A multiply-add counts two; each product of a trained forward pass brings two of its size backwards. A teacher's forward pass
 * adds a third. Where only labels are compared, the last layer has one query a text (`firstTokenOnly` of `model/forward.ts`).
 */
export function stepFlops(config: ModelConfig, batch: number, length: number, objective: ObjectiveName): number {
  const { hidden_size: h, intermediate_size: f, num_hidden_layers: layers } = config;
  /** A layer with so many queries a text: keys and values; all that a query goes through; scores and context. */
  const layer = (queries: number): number =>
    2 * batch * (length * 2 * h * h + queries * (2 * h * h + 2 * h * f) + 2 * queries * length * h);
  if (objective === 'distil') return 4 * layers * layer(length);
  return 3 * ((layers - 1) * layer(length) + layer(1));
}

export const median = (values: readonly number[]): number => values.toSorted((a, b) => a - b)[values.length >> 1]!;

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

export type Weights = Map<string, { readonly shape: readonly number[]; readonly data: Float32Array }>;

/** As BERT begins: normal with deviation 0.02 (a block of them, repeated), biases 0, LayerNorm 1 and 0. */
function initialWeights(config: ModelConfig, seed: number): Weights {
  const block = new CounterRandom(seed, 'block').fillNormal(new Float32Array(65_521), 0, 0.02);
  return new Map(
    [...parameterShapes(config)].map(([name, shape], index) => {
      const data = new Float32Array(elements(shape));
      if (name.endsWith('LayerNorm.weight')) data.fill(1);
      else if (!name.endsWith('bias'))
        for (let i = 0; i < data.length; i++) data[i] = block[(i + 997 * index) % 65_521]!;
      return [name, { shape, data }] as const;
    }),
  );
}

/** A batch of full texts without padding, the same for every engine. */
export interface BenchBatch {
  readonly batch: number;
  readonly length: number;
  readonly ids: Int32Array;
  readonly targets: Int32Array;
}

/** Drawn by its shape. */
export function benchBatch(batch: number, length: number): BenchBatch {
  const random = new CounterRandom(2, batch, length);
  const draw = (n: number, from: number, below: number): Int32Array =>
    Int32Array.from({ length: n }, () => from + random.int(below - from));
  // 0 is padding, whose embedding is not trained.
  return { batch, length, ids: draw(batch * length, 1, 30522), targets: draw(batch, 0, 2) };
}

/** A training step, ready to run. */
export interface BenchStep {
  readonly config: ModelConfig;
  readonly weights: Weights;
  readonly teacher: Weights | undefined;
  /** Takes the next step; its loss, wall time and processor time (of all threads, waiting ones too). */
  run(batch: BenchBatch): Promise<{ readonly loss: number; readonly seconds: number; readonly cpu: number }>;
  release(): Promise<void>;
}

/** One step of an objective on random weights; `distil` with a teacher of other ones. */
export async function buildStep(engine: Engine, objective: ObjectiveName, normaliser: SoftmaxAct): Promise<BenchStep> {
  const config: ModelConfig = { ...MINILM, softmax_act: normaliser };
  const teacherConfig: ModelConfig = { ...MINILM, softmax_act: 'softmax' };
  const losses = objective === 'labels' ? { labels: 1 } : { logits: 1, hidden: 1, scores: 0.1 };
  const recipe = parseRecipe(
    { name: 'bench', for: 'student', stages: [{ name: 'step', losses, steps: 1, learningRate: RATE, dropout: 0 }] },
    'bench',
  );
  const guide = objective === 'distil' ? { config: teacherConfig } : undefined;
  const { graph, loss, parameters } = buildObjective(recipe.stages[0]!, config, guide, 1);
  const byNode = gradients(loss, parameters.values());
  const gradientOf = new Map(
    [...parameters].flatMap(([name, node]) => (byNode.has(node) ? [[name, byNode.get(node)!] as const] : [])),
  );
  const optimizer: Optimizer = adamW(graph, gradientOf);
  const weights = initialWeights(config, 1);
  const teacher = guide === undefined ? undefined : initialWeights(teacherConfig, 2);
  const guiding = [...(teacher ?? [])].map(([name, t]) => [TEACHER + name, t] as const);
  const state = engine.createState(new Map([...weights, ...guiding, ...optimizer.moments]));
  const step: Executable = await engine.compileStep(graph, { loss }, optimizer.updates, state);
  let count = 0;
  return {
    config,
    weights,
    teacher,
    run: async ({ batch, length, ids, targets }) => {
      const size = batch * length;
      const full = { batch, length, ids, types: new Int32Array(size), mask: new Int32Array(size).fill(1) };
      const [start, before] = [performance.now(), process.cpuUsage()];
      const result = await step.run({
        ...bertFeeds(full),
        ...(objective === 'labels' ? { targets: int64([batch], targets) } : {}),
        ...optimizer.feeds(++count, RATE),
      });
      const seconds = (performance.now() - start) / 1000;
      const { user, system } = process.cpuUsage(before);
      const value = Number(result['loss']!.data[0]);
      if (!Number.isFinite(value)) throw new Error('the loss is not finite');
      return { loss: value, seconds, cpu: (user + system) / 1e6 };
    },
    release: async () => {
      await step.release();
      state.release();
    },
  };
}

/** Builds the step once and times it for every shape. */
export async function trainStep(options: TrainStepOptions): Promise<TrainStepResult> {
  const { threads, repeats = 5, normaliser = 'softmax', objective = 'labels', shapes = SHAPES } = options;
  const engine = createEngine({ threads });
  const peakGflops = await matmulPeak(engine);
  const step = await buildStep(engine, objective, normaliser);
  const steps: TrainStepResult['steps'][number][] = [];
  for (const [batch, length] of shapes) {
    const input = benchBatch(batch, length);
    const seconds: number[] = [];
    for (let i = 0; i <= repeats; i++) {
      const result = await step.run(input);
      if (i > 0) seconds.push(result.seconds);
    }
    const time = median(seconds);
    const gflops = stepFlops(step.config, batch, length, objective) / time / 1e9;
    steps.push({ batch, length, seconds: time, gflops });
  }
  await step.release();
  return { steps, peakGflops, threads };
}

/** `32x64,8x512`. @throws InputError for anything else, or lengths beyond the model's positions */
export function parseShapes(text: string): Shapes {
  return text.split(',').map((part) => {
    const [batch = 0, length = 0] = (/^([1-9]\d*)x([1-9]\d*)$/.exec(part.trim()) ?? []).slice(1).map(Number);
    if (batch === 0 || length > MINILM.max_position_embeddings)
      throw new InputError(`--shapes has '${part}'`, 'Give batch and length, at most 512, as in 32x64,8x512.');
    return [batch, length] as const;
  });
}

interface TrainOptions {
  readonly shapes?: Shapes;
  readonly threads: number;
  readonly repeats: number;
  readonly normaliser?: SoftmaxAct;
  readonly objective: ObjectiveName;
  readonly torch?: string;
  readonly firstTokenOnly?: boolean;
  readonly json?: boolean;
}

/** `bench train`. */
export function addTrainBench(program: Command): void {
  program
    .command('train')
    .description('One MiniLM training step: forward, backward, clipping, AdamW.')
    .option('--threads <n>', 'threads of the engine', Number, 2)
    .option('--repeats <n>', 'measured steps', Number, 5)
    .option('--shapes <list>', 'batch x length; default 32x64,32x128', parseShapes)
    .addOption(new Option('--objective <name>', 'what is minimised').choices([...OBJECTIVES]).default('labels'))
    .addOption(
      new Option(
        '--normaliser <name>',
        'attention of the trained model; default softmax, to distil 2quad_centred',
      ).choices([...SOFTMAX_ACTS]),
    ) // prettier-ignore
    .option('--torch <python>', 'compare with PyTorch, run by this interpreter, step by step in alternation')
    .option(
      '--first-token-only',
      'with --torch: of the last layer PyTorch, too, computes only the first token where only labels are compared',
    )
    .option('--json', 'one JSON object as the last line')
    .addHelpText(
      'after',
      '\nExamples:\n  npm run --silent bench -- train --threads 2 --json\n' +
        '  npm run --silent bench -- train --shapes 8x512\n' +
        '  npm run --silent bench -- train --objective distil --torch python3\n',
    )
    .action(async ({ json, torch, ...given }: TrainOptions) => {
      const normaliser = given.normaliser ?? (given.objective === 'distil' ? '2quad_centred' : 'softmax');
      const options = { ...given, normaliser };
      if (torch !== undefined) {
        const comparison = await compareWithTorch(torch, options);
        process.stderr.write(showComparison(comparison));
        if (json) process.stdout.write(`${JSON.stringify(comparison)}\n`);
        return;
      }
      const result = await trainStep(options);
      for (const s of result.steps)
        process.stderr.write(`${s.batch}×${s.length}: ${s.seconds.toFixed(3)} s, ${s.gflops.toFixed(0)} GFLOP/s\n`);
      const mebibytes = process.resourceUsage().maxRSS / 1024;
      process.stderr.write(
        `matmul peak ${result.peakGflops.toFixed(0)} GFLOP/s, ${result.threads} threads, peak memory ${mebibytes.toFixed(0)} MiB\n`,
      );
      if (json) process.stdout.write(`${JSON.stringify(result)}\n`);
    });
}
