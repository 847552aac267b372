/** One stage of training: a graph of forward passes, loss, gradients and update, run step by step. */
import { Failure, InputError } from '../common/errors.ts';
import { dropoutMask } from '../common/random.ts';
import { makeBatches, type Batch } from '../data/batch.ts';
import { bertFeeds, type DropoutSite } from '../engine/bert.ts';
import { float32, int64, type Engine, type Feeds, type TensorData } from '../engine/engine.ts';
import { gradients, type Node } from '../engine/graph/index.ts';
import { OPTIMIZERS } from '../engine/optimizer.ts';
import type { ModelConfig } from '../model/config.ts';
import { defaultMetric, measure } from './evaluate.ts';
import type { Prepared } from './examples.ts';
import { buildObjective, TEACHER, type Guide } from './objective.ts';
import { createPredictor, type Tensors } from './predict.ts';
import type { Recipe, Stage } from './recipe/recipe.ts';
import { learningRate } from './schedule.ts';

export interface Model {
  readonly config: ModelConfig;
  readonly tensors: Tensors;
}

export interface CurvePoint {
  readonly stage: string;
  /** Optimiser steps done in this stage. */
  readonly step: number;
  readonly values: Readonly<Record<string, number>>;
}

export interface StageOptions {
  readonly stage: Stage;
  readonly recipe: Recipe;
  /** Numbers the stage in the key of shuffles and dropout. */
  readonly index: number;
  readonly model: Model;
  /** Needed by the losses `logits`, `hidden` and `scores`. */
  readonly teacher?: (Model & Guide) | undefined;
  readonly train: Prepared;
  readonly dev?: Prepared | undefined;
  readonly padId: number;
  readonly engine: Engine;
  readonly onStep?: (done: number, total: number, values: Readonly<Record<string, number>>) => void;
  readonly onEvaluation?: (point: CurvePoint) => void;
}

export interface StageResult {
  readonly tensors: Map<string, { readonly shape: readonly number[]; readonly data: Float32Array }>;
  readonly curve: CurvePoint[];
  /** Step whose weights these are. */
  readonly chosenStep: number;
  /** The chosen weights' metrics on the dev set, each with `dev.` before its name; empty without labelled dev data. */
  readonly metrics: Readonly<Record<string, number>>;
}

/** Steps of a stage at which the error of every layer is recorded: all steps would make records large. */
const LAYER_POINTS = 100;

const withoutLayers = (values: Readonly<Record<string, number>>): Record<string, number> =>
  Object.fromEntries(Object.entries(values).filter(([name]) => !/\.\d+$/.test(name)));

/** @throws InputError if a beginning of a name fits no parameter, or nothing is left to train */
function trainable(parameters: ReadonlyMap<string, Node>, frozen: readonly string[]): Map<string, Node> {
  const idle = frozen.find((start) => ![...parameters.keys()].some((name) => name.startsWith(start)));
  if (idle !== undefined) {
    throw new InputError(
      `no parameter's name begins with '${idle}'`,
      `Freeze by the beginning of a name, e.g. ${[...parameters.keys()][0]}.`,
    );
  }
  const left = new Map([...parameters].filter(([name]) => !frozen.some((start) => name.startsWith(start))));
  if (left.size === 0) throw new InputError('every parameter is frozen', 'Leave some parameters to train.');
  return left;
}

/** Batches without end, each epoch in an order of its own. */
function* batches(train: Prepared, batchSize: number, seed: number, padId: number): Generator<Batch, never> {
  for (let epoch = 0; ; epoch++) {
    // Distinct per (seed, epoch) as long as there are fewer than 2^16 epochs.
    yield* makeBatches(train.encodings, { batchSize, seed: seed * 0x10000 + epoch, shuffle: true, padId });
  }
}

/** Steps of the stage on so many examples. */
export const stageSteps = (stage: Stage, examples: number): number =>
  stage.steps ?? Math.max(1, Math.ceil((stage.epochs ?? 1) * Math.ceil(examples / stage.batchSize)));

/**
 * Runs the stage from `model`'s weights.
 * @throws Failure naming step and remedy if the loss stops being finite
 */
export async function runStage(options: StageOptions): Promise<StageResult> {
  const { stage, recipe, model, teacher, train, dev, engine, padId, index } = options;
  const objective = buildObjective(stage, model.config, teacher, recipe.seed);
  const { graph, outputs, parameters, loss, dropoutSites } = objective;
  const byNode = gradients(loss, trainable(parameters, stage.frozen).values());
  const gradientOf = new Map(
    [...parameters].flatMap(([name, node]) => (byNode.has(node) ? [[name, byNode.get(node)!] as const] : [])),
  );
  const { weightDecay, maxNorm } = stage;
  const optimizer = OPTIMIZERS[stage.optimizer](graph, gradientOf, { weightDecay, maxNorm });
  const held = new Map([...objective.initial, ...model.tensors, ...optimizer.moments]);
  if (teacher !== undefined) for (const [name, t] of teacher.tensors) held.set(TEACHER + name, t);
  const state = engine.createState(held);
  const step = await engine.compileStep(graph, { ...outputs, norm: optimizer.norm }, optimizer.updates, state);
  const labelled = dev?.targets !== undefined && dev.encodings.length > 0 ? dev : undefined;
  const predictor = labelled === undefined ? undefined : await createPredictor(model.config, { state }, engine);

  const snapshot = (): StageResult['tensors'] =>
    new Map([...parameters.keys()].map((name) => [name, state.read(name)] as const));
  const total = stageSteps(stage, train.encodings.length);
  const warmup = Math.floor(stage.warmup * total);
  const marks = new Set(
    Array.from({ length: stage.evaluations }, (_, i) => Math.round((total * (i + 1)) / stage.evaluations)),
  );
  const metric = recipe.metric ?? defaultMetric(model.config.num_labels);
  const key = recipe.seed * 64 + index;
  const curve: CurvePoint[] = [];
  let best: { value: number; point: CurvePoint; tensors: StageResult['tensors'] } | undefined;
  try {
    const source = batches(train, stage.batchSize, key, padId);
    for (let done = 0; done < total; done++) {
      const batch = source.next().value;
      const rate = learningRate(done, stage.learningRate, warmup, total, stage.decay);
      const results = await step.run({
        ...bertFeeds(batch),
        ...targetFeed(stage, model.config, train, batch),
        ...dropoutFeeds(dropoutSites, batch, key, done),
        ...optimizer.feeds(done + 1, rate),
      });
      const all = { ...scalars(results), rate };
      checkFinite(all, stage, done + 1);
      const detailed = done % Math.ceil(total / LAYER_POINTS) === 0 || done + 1 === total;
      const values = detailed ? all : withoutLayers(all);
      curve.push({ stage: stage.name, step: done + 1, values });
      options.onStep?.(done + 1, total, values);
      if (predictor !== undefined && labelled !== undefined && marks.has(done + 1)) {
        const measured = measure(await predictor.predict(labelled.encodings, { padId }), labelled.targets!);
        const named = Object.entries(measured).map(([name, { value }]) => [`dev.${name}`, value] as const);
        const point = { stage: stage.name, step: done + 1, values: Object.fromEntries(named) };
        curve.push(point);
        options.onEvaluation?.(point);
        const value = measured[metric]?.value;
        if (value === undefined) {
          throw new InputError(
            `metric ${metric} does not fit a model of ${model.config.num_labels} outputs`,
            `Choose one of ${Object.keys(measured).join(', ')}.`,
          );
        }
        const last = done + 1 === total;
        // Of equally good checkpoints the later one has seen more data.
        if (stage.select === 'last' ? last : best === undefined || value >= best.value) {
          best = { value, point, tensors: snapshot() };
        }
      }
    }
    return best === undefined
      ? { tensors: snapshot(), curve, chosenStep: total, metrics: {} }
      : { tensors: best.tensors, curve, chosenStep: best.point.step, metrics: best.point.values };
  } finally {
    await step.release();
    await predictor?.release();
  }
}

function targetFeed(stage: Stage, config: ModelConfig, train: Prepared, batch: Batch): Feeds {
  if (stage.losses.labels === 0) return {};
  const targets = batch.index.map((i) => train.targets![i]!);
  return { targets: (config.num_labels === 1 ? float32 : int64)([targets.length], targets) };
}

function dropoutFeeds(sites: readonly DropoutSite[], batch: Batch, seed: number, step: number): Feeds {
  const feeds: Record<string, TensorData> = {};
  for (const { name, site, shape, rate } of sites) {
    const lengths = shape.map((d) => (d === 'B' ? batch.batch : d === 'L' ? batch.length : (d as number)));
    const size = lengths.reduce((a, b) => a * b, 1);
    feeds[name] = float32(lengths, dropoutMask(seed, step, site, size, rate));
  }
  return feeds;
}

const scalars = (results: Readonly<Record<string, TensorData>>): Record<string, number> =>
  Object.fromEntries(Object.entries(results).map(([name, { data }]) => [name, Number(data[0])]));

function checkFinite(values: Readonly<Record<string, number>>, stage: Stage, step: number): void {
  const bad = Object.entries(values).find(([, value]) => !Number.isFinite(value));
  if (bad === undefined) return;
  throw new Failure(
    `stage ${stage.name}, step ${step}: ${bad[0]} is ${bad[1]}`,
    `Training diverged: lower the learning rate (now ${stage.learningRate}), lengthen the warm-up, or check the data.`,
  );
}
