/**
 * TensorFlow.js (plain JavaScript) and ONNX Runtime agree on a tiny BERT.
 *
 * Tolerance. To first order an engine's rounding errors are relative perturbations of at most u = 2^-24 of what each
 * operation gives, carried to the result by the result's own sensitivity. That is measured, not guessed: `A` is the change,
 * in units of u, when every weight moves to a neighbouring float at random (Monte Carlo arithmetic, Parker 1997), and sums of
 * n terms round like √n of one (Higham 2002, section 3.1). A float32 result is then within u·max(16·A, 4·√n·scale) of the
 * exact one, the bound by which the golden files hold float32 implementations to float64, and two of them within twice that.
 */
import { describe, expect, it } from 'vitest';
import { CounterRandom } from '../../common/random.ts';
import { bertFeeds, bertGraph } from '../../engine/bert.ts';
import { float32, int64, type Engine, type Feeds } from '../../engine/engine.ts';
import { add, gradients, Graph, type Node } from '../../engine/graph/index.ts';
import { adamW } from '../../engine/optimizer.ts';
import { HIDDEN_ACTS, SOFTMAX_ACTS, type ModelConfig } from '../../model/config.ts';
import { parameterShapes } from '../../model/names.ts';
import { crossEntropy } from '../../train/loss/cross-entropy.ts';
import { hiddenLoss, LAYER_CONVENTIONS, scoreLoss } from '../../train/loss/layers.ts';
import { meanSquaredError } from '../../train/loss/mean-squared-error.ts';
import { rangePenalty } from '../../train/loss/range-penalty.ts';
import { SOFT_CONVENTIONS, softCrossEntropy } from '../../train/loss/soft-cross-entropy.ts';
import { parseRecipe } from '../../train/recipe/recipe.ts';
import { runRecipe } from '../../train/recipe/run.ts';
import { onnxruntime, tfjs } from '../support/engines.ts';
import { tinyConfig, tinyTensors } from '../support/tiny-model.ts';

type Tensors = ReturnType<typeof tinyTensors>;
type Results = ReadonlyMap<string, Float32Array>;
type Compute = (engine: Engine, weights: Tensors) => Promise<Results>;

const U = 2 ** -24;
const DRAWS = 3;

/** More words than a table with a dense gradient has rows; real and padded positions. */
const config = (change: Record<string, unknown> = {}): ModelConfig => tinyConfig({ vocab_size: 90, ...change });
const [BATCH, LENGTH] = [3, 7];
const LENGTHS = [7, 4, 1];
/** Additions on the longest path there and back: per layer five products over H, one over F, D and twice L; all tokens. */
const ADDITIONS = 2 * 2 * (5 * 12 + 20 + 4 + 2 * LENGTH) + BATCH * LENGTH;

const drawn = new CounterRandom(3, 'batch');
const BATCH_FEEDS = bertFeeds({
  batch: BATCH,
  length: LENGTH,
  ids: Int32Array.from({ length: BATCH * LENGTH }, () => drawn.int(90)),
  types: Int32Array.from({ length: BATCH * LENGTH }, () => drawn.int(2)),
  mask: Int32Array.from({ length: BATCH * LENGTH }, (_, i) => Number(i % LENGTH < LENGTHS[Math.floor(i / LENGTH)]!)),
});

/** Every float moves one place up or down. */
function neighbours(weights: Tensors, seed: number): Tensors {
  return new Map(
    [...weights].map(([name, { shape, data }]) => {
      const random = new CounterRandom(seed, name);
      const bits = new Int32Array(data.slice().buffer);
      for (let i = 0; i < bits.length; i++) bits[i]! += 2 * random.int(2) - 1;
      return [name, { shape, data: new Float32Array(bits.buffer) }];
    }),
  );
}

const distance = (a: Float32Array, b: Float32Array): number =>
  a.reduce((w, v, i) => Math.max(w, Math.abs(v - b[i]!)), 0);
const largest = (a: Float32Array): number => a.reduce((w, v) => Math.max(w, Math.abs(v)), 0);

/** Checks every result, and that the tolerance of those in `sharp` could not hide a mistake. */
async function expectAgreement(weights: Tensors, compute: Compute, sharp: readonly string[]): Promise<void> {
  const reference = await compute(onnxruntime, weights);
  const moved: Results[] = [];
  for (let i = 0; i < DRAWS; i++) moved.push(await compute(onnxruntime, neighbours(weights, i)));
  const actual = await compute(tfjs, weights);
  expect(await compute(tfjs, weights), 'the same bits again').toEqual(actual);
  expect([...actual.keys()]).toEqual([...reference.keys()]);
  for (const [name, expected] of reference) {
    const values = actual.get(name)!;
    expect(values.length, name).toBe(expected.length);
    expect(values.every(Number.isFinite), name).toBe(true);
    const amplified = Math.max(...moved.map((m) => distance(m.get(name)!, expected)));
    const allowed = 2 * Math.max(16 * amplified, 4 * Math.sqrt(ADDITIONS) * largest(expected) * U);
    if (sharp.includes(name)) expect(allowed, `${name}: tolerance`).toBeLessThan(1e-3 * largest(expected));
    expect(distance(values, expected), name).toBeLessThanOrEqual(allowed);
  }
  expect(sharp.filter((name) => !reference.has(name))).toEqual([]);
}

interface Objective {
  /** What is compared besides the loss, by name. */
  readonly outputs?: Readonly<Record<string, Node>>;
  readonly loss: Node;
  readonly feeds: Feeds;
}
type Build = (
  graph: Graph,
  student: ReturnType<typeof bertGraph>,
  teacher: () => ReturnType<typeof bertGraph>,
) => Objective;

const TEACHER = 'teacher:';

/** Loss and gradient of every parameter. */
function differentiated(student: ModelConfig, build: Build): { weights: Tensors; compute: Compute } {
  const weights = tinyTensors(student);
  const teacher = config({ num_labels: student.num_labels, id2label: undefined });
  for (const [name, tensor] of tinyTensors(teacher, 2)) weights.set(TEACHER + name, tensor);
  const traced = (graph: Graph, of: ModelConfig, prefix: string): ReturnType<typeof bertGraph> => {
    const shapes = parameterShapes(of);
    return bertGraph(of, { graph, parameter: (n) => graph.parameter(prefix + n, shapes.get(n)!), paddingId: 0 });
  };
  const compute: Compute = async (engine, tensors) => {
    const graph = new Graph();
    const { loss, outputs, feeds } = build(graph, traced(graph, student, ''), () => traced(graph, teacher, TEACHER));
    const trained = [...graph.parameters].filter(([name]) => !name.startsWith(TEACHER));
    const found = gradients(
      loss,
      trained.map(([, node]) => node),
    );
    const wanted: Record<string, Node> = { ...outputs, loss };
    for (const [name, node] of trained) if (found.has(node)) wanted[`gradient:${name}`] = found.get(node)!;
    const executable = await engine.compile(graph, wanted, engine.createState(tensors));
    const results = await executable.run({ ...BATCH_FEEDS, ...feeds });
    await executable.release();
    return new Map(Object.entries(results).map(([name, { data }]) => [name, data as Float32Array]));
  };
  return { weights, compute };
}

describe('the engines agree on outputs, losses and gradients', () => {
  const classes: Build = (graph, { logits, ops }) => ({
    outputs: Object.fromEntries([...ops.probes].map(([name, node]) => [`out:${name}`, node])),
    loss: crossEntropy(logits, graph.input('labels', 'int64', ['B'])),
    feeds: { labels: int64([BATCH], [1, 0, 1]) },
  });
  for (const hidden_act of HIDDEN_ACTS) {
    for (const softmax_act of SOFTMAX_ACTS) {
      it(`cross-entropy, ${softmax_act}, ${hidden_act}`, async () => {
        const { weights, compute } = differentiated(config({ hidden_act, softmax_act }), classes);
        const sharp = ['loss', 'out:logits', 'gradient:classifier.weight'];
        await expectAgreement(weights, compute, sharp);
      });
    }
  }

  it('mean squared error of a regression', async () => {
    const { weights, compute } = differentiated(
      config({ num_labels: 1, id2label: undefined }),
      (graph, { logits }) => ({
        loss: meanSquaredError(logits, graph.input('labels', 'float32', ['B'])),
        feeds: { labels: float32([BATCH], [0.5, -1, 3]) },
      }),
    );
    await expectAgreement(weights, compute, ['loss', 'gradient:classifier.weight']);
  });

  for (const convention of LAYER_CONVENTIONS) {
    for (const softmax_act of ['2quad', '2quad_centred'] as const) {
      it(`distillation of layers, ${convention}, ${softmax_act}, with the range penalty`, async () => {
        // Beside so small a shift the denominators stand above the interval, where centred ones too are penalised.
        const student = config({ softmax_act, softmax_c: 0.01 });
        const { weights, compute } = differentiated(student, (_graph, { ops }, teacher) => {
          const guide = teacher().ops.probes;
          const hidden = hiddenLoss(ops.probes, guide, ops.mask, 2, convention);
          const scores = scoreLoss(ops.probes, guide, ops.mask, 2, convention, softmax_act === '2quad_centred');
          const ranges = rangePenalty(ops.probes, ops.mask, student);
          const terms = [...hidden.terms, ...scores.terms].map(([name, node]) => [`term:${name}`, node] as const);
          return {
            outputs: { ...Object.fromEntries(terms), ranges },
            loss: add(add(hidden.sum, scores.sum), ranges),
            feeds: {},
          };
        });
        await expectAgreement(weights, compute, ['loss', 'term:hidden.0', 'term:scores.1', 'ranges']);
      });
    }
  }

  for (const convention of SOFT_CONVENTIONS) {
    it(`distillation of logits, ${convention}`, async () => {
      const { weights, compute } = differentiated(config({ softmax_act: '2quad' }), (_graph, { logits }, teacher) => ({
        loss: softCrossEntropy(logits, teacher().logits, 2, convention),
        feeds: {},
      }));
      await expectAgreement(weights, compute, ['loss', 'gradient:classifier.weight']);
    });
  }
});

describe('the engines agree on training', () => {
  for (const [softmax_act, hidden_act] of [
    ['softmax', 'gelu'],
    ['2quad_centred', 'quad'],
  ] as const) {
    it(`three steps of AdamW, ${softmax_act}, ${hidden_act}`, async () => {
      const model = config({ softmax_act, hidden_act });
      const shapes = parameterShapes(model);
      await expectAgreement(
        tinyTensors(model),
        async (engine, weights) => {
          const graph = new Graph();
          const parameter = (name: string): Node => graph.parameter(name, shapes.get(name)!);
          const { logits } = bertGraph(model, { graph, parameter, paddingId: 0 });
          const loss = crossEntropy(logits, graph.input('labels', 'int64', ['B']));
          const found = gradients(loss, [...shapes.keys()].map(parameter));
          const optimiser = adamW(graph, new Map([...shapes.keys()].map((n) => [n, found.get(parameter(n))!])));
          const state = engine.createState(new Map([...weights, ...optimiser.moments]));
          const step = await engine.compileStep(graph, { loss, norm: optimiser.norm }, optimiser.updates, state);
          const results = new Map<string, Float32Array>();
          for (let i = 1; i <= 3; i++) {
            const labels = int64([BATCH], [1, 0, 1]);
            const values = await step.run({ ...BATCH_FEEDS, labels, ...optimiser.feeds(i, 1e-3) });
            for (const [name, { data }] of Object.entries(values)) results.set(`${name} ${i}`, data as Float32Array);
          }
          await step.release();
          for (const name of state.names) results.set(name, state.read(name).data);
          return results;
        },
        ['loss 1', 'loss 3', 'norm 1', 'classifier.weight', 'bert.embeddings.word_embeddings.weight'],
      );
    });
  }

  it('a recipe of two stages with dropout, evaluated on the way', async () => {
    const student = config({ softmax_act: '2quad_centred', hidden_act: 'gelu' });
    const teacher = { config: config(), tensors: tinyTensors(config(), 2) };
    const random = new CounterRandom(5, 'texts');
    const encodings = Array.from({ length: 12 }, () => {
      const ids = Array.from({ length: 3 + random.int(8) }, () => 1 + random.int(89));
      return { ids, types: ids.map(() => 0) };
    });
    const targets = encodings.map(({ ids }) => Number(ids.length > 6));
    const train = { encodings, targets, hash: '0'.repeat(64), source: 'made up', truncated: 0 };
    const stage = { batchSize: 4, learningRate: 1e-3, dropout: 0.1 };
    const recipe = parseRecipe(
      {
        name: 'test',
        for: 'student',
        stages: [
          { ...stage, name: 'layers', losses: { hidden: 1, scores: 1 }, steps: 3 },
          { ...stage, name: 'logits', losses: { logits: 1, labels: 0.5 }, steps: 2, select: 'last' },
        ],
      },
      'test',
    );
    await expectAgreement(
      tinyTensors(student),
      async (engine, tensors) => {
        const model = { config: student, tensors };
        const result = await runRecipe({ recipe, model, teacher, train, dev: train, padId: 0, engine });
        const curve = result.curve.flatMap(({ stage: name, step, values }) =>
          Object.entries(values).map(([what, v]) => [`${name} ${step} ${what}`, Float32Array.of(v)] as const),
        );
        return new Map([...curve, ...[...result.tensors].map(([name, { data }]) => [name, data] as const)]);
      },
      ['layers 1 loss', 'layers 3 loss', 'logits 2 loss', 'logits 2 dev.loss', 'classifier.weight'],
    );
  });
});
