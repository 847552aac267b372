/** One optimiser step on a batch: in one run of the engine, or in parts whose gradients add up, for less memory. */
import type { Batch } from '../data/batch.ts';
import { bertFeeds } from '../engine/bert.ts';
import { DropoutMasks } from '../engine/dropout.ts';
import { elements, float32, int64, scalar, type Engine, type Feeds, type State, type TensorData } from '../engine/engine.ts'; // prettier-ignore
import { add, Graph, gradients, mul, type Node } from '../engine/graph/index.ts';
import { OPTIMIZERS, type Optimizer } from '../engine/optimizer.ts';
import { InputError } from '../common/errors.ts';
import type { ModelConfig } from '../model/config.ts';
import type { Prepared } from './examples.ts';
import { buildObjective, SHARE, type Guide, type Objective } from './objective.ts';
import type { Tensors } from './predict.ts';
import type { Stage } from './recipe/recipe.ts';

/** Before the names of gradients that are added up. */
const SUM = 'sum:';

export interface UpdateOptions {
  readonly stage: Stage;
  readonly config: ModelConfig;
  /** Needed by the losses `logits`, `hidden` and `scores`. */
  readonly teacher?: Guide | undefined;
  /** Of the first values of projections. */
  readonly seed: number;
  /** Of the cross-entropy with the labels, one per class; absent: all alike. */
  readonly classWeights?: readonly number[] | undefined;
}

/** A batch's place in the run; names its dropout masks. */
export interface Place {
  readonly key: number;
  /** Optimiser steps done before. */
  readonly done: number;
  readonly rate: number;
}

export interface Update {
  /** Loss, its terms and the gradient norm, by name. */
  run(batch: Batch, train: Prepared, place: Place): Promise<Record<string, number>>;
  release(): Promise<void>;
}

export interface UpdatePlan {
  /** Parameters that training gives: the model's, and projections. */
  readonly parameters: readonly string[];
  /** What goes on from step to step beside them. */
  readonly moments: readonly string[];
  /** First values of everything the state holds but the model's parameters: projections, moments, sums. */
  readonly initial: Tensors;
  compile(engine: Engine, state: State): Promise<Update>;
}

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

/**
 * The graphs of a step. With `stage.accumulate` above 1 a batch is computed in so many parts: each adds its share of the
 * gradient of the whole batch's loss, and one more run updates the parameters.
 * @throws InputError as `buildObjective`, and for `frozen` that fits nothing or leaves nothing
 */
export function planUpdate({ stage, config, teacher, seed, classWeights }: UpdateOptions): UpdatePlan {
  const inParts = stage.accumulate > 1;
  const objective = buildObjective(stage, config, teacher, seed, { classWeights, shares: inParts });
  const { graph, parameters, loss } = objective;
  const byNode = gradients(loss, trainable(parameters, stage.frozen).values());
  const gradientOf = new Map(
    [...parameters].flatMap(([name, node]) => (byNode.has(node) ? [[name, byNode.get(node)!] as const] : [])),
  );
  const options = { weightDecay: stage.weightDecay, maxNorm: stage.maxNorm };
  const make = OPTIMIZERS[stage.optimizer];
  const masks = new DropoutMasks(objective.dropoutSites);
  const feeds = (part: Batch, train: Prepared, place: Place, index: number, threads: number): Feeds => ({
    ...bertFeeds(part),
    ...targetFeed(stage, config, train, part),
    // Parts are numbered through the whole run, so that no two share a mask.
    ...masks.feeds(part, place.key, place.done * stage.accumulate + index, threads),
  });
  const names = { parameters: [...parameters.keys()] };
  if (!inParts) {
    const optimizer = make(graph, gradientOf, options);
    const outputs = { ...objective.outputs, norm: optimizer.norm };
    return {
      ...names,
      moments: [...optimizer.moments.keys()],
      initial: new Map([...objective.initial, ...optimizer.moments]),
      async compile(engine, state) {
        const step = await engine.compileStep(graph, outputs, optimizer.updates, state);
        return {
          run: async (batch, train, place) =>
            scalars(
              await step.run({
                ...feeds(batch, train, place, 0, engine.threads),
                ...optimizer.feeds(place.done + 1, place.rate),
              }),
            ),
          release: () => step.release(),
        };
      },
    };
  }

  const sums = new Map<string, { shape: number[]; data: Float32Array }>();
  const grown = new Map<string, Node>();
  const applying = new Graph();
  const summed = new Map<string, Node>();
  for (const [name, gradient] of gradientOf) {
    const shape = gradient.shape as number[];
    sums.set(SUM + name, { shape, data: new Float32Array(elements(shape)) });
    grown.set(SUM + name, add(graph.parameter(SUM + name, shape), gradient));
    summed.set(name, applying.parameter(SUM + name, shape));
  }
  const optimizer: Optimizer = make(applying, summed, options);
  const emptied = [...summed].map(([name, sum]) => [SUM + name, mul(sum, 0)] as const);
  return {
    ...names,
    moments: [...optimizer.moments.keys()],
    initial: new Map([...objective.initial, ...optimizer.moments, ...sums]),
    async compile(engine, state) {
      const grow = await engine.compileStep(graph, objective.outputs, grown, state);
      const updates = new Map([...optimizer.updates, ...emptied]);
      const apply = await engine.compileStep(applying, { norm: optimizer.norm }, updates, state);
      return {
        async run(batch, train, place) {
          const values: Record<string, number> = {};
          for (const [i, part] of split(batch, stage.accumulate).entries()) {
            const shares = shareFeeds(objective, stage, train, batch, part, classWeights);
            const results = scalars(await grow.run({ ...feeds(part, train, place, i, engine.threads), ...shares }));
            for (const [name, value] of Object.entries(results)) values[name] = (values[name] ?? 0) + value;
          }
          return { ...values, ...scalars(await apply.run(optimizer.feeds(place.done + 1, place.rate))) };
        },
        async release() {
          await grow.release();
          await apply.release();
        },
      };
    },
  };
}

/** The batch in at most `parts` parts of consecutive rows, as even as can be; all keep the batch's padded length. */
function split(batch: Batch, parts: number): Batch[] {
  const count = Math.min(parts, batch.batch);
  return Array.from({ length: count }, (_, i) => {
    const from = Math.floor((i * batch.batch) / count);
    const to = Math.floor(((i + 1) * batch.batch) / count);
    const cut = (all: Int32Array): Int32Array => all.slice(from * batch.length, to * batch.length);
    return {
      index: batch.index.slice(from, to),
      batch: to - from,
      length: batch.length,
      ids: cut(batch.ids),
      types: cut(batch.types),
      mask: cut(batch.mask),
    };
  });
}

/** What a term is a mean over, counted in a batch: see the files of `loss/`. */
function weighed(kind: string, stage: Stage, train: Prepared, batch: Batch, weights?: readonly number[]): number {
  const published = stage.layerConvention === 'mean_all' && (kind === 'hidden' || kind === 'scores');
  if (kind === 'labels' && weights !== undefined) {
    return batch.index.reduce((sum, i) => sum + weights[train.targets![i]!]!, 0);
  }
  if (kind === 'labels' || kind === 'logits' || published) return batch.batch;
  // Real tokens of a row, or pairs of them.
  let sum = 0;
  for (let row = 0; row < batch.batch; row++) {
    const real = batch.mask.subarray(row * batch.length, (row + 1) * batch.length).reduce((a, b) => a + b, 0);
    sum += kind === 'scores' ? real * real : real;
  }
  return sum;
}

function shareFeeds(
  { shares }: Objective,
  stage: Stage,
  train: Prepared,
  whole: Batch,
  part: Batch,
  weights: readonly number[] | undefined,
): Feeds {
  const of = (kind: string, batch: Batch): number => weighed(kind, stage, train, batch, weights);
  return Object.fromEntries(shares.map((kind) => [SHARE + kind, scalar(of(kind, part) / of(kind, whole))]));
}

function targetFeed(stage: Stage, config: ModelConfig, train: Prepared, batch: Batch): Feeds {
  if (stage.losses.labels === 0) return {};
  const targets = batch.index.map((i) => train.targets![i]!);
  return { targets: (config.num_labels === 1 ? float32 : int64)([targets.length], targets) };
}

const scalars = (results: Readonly<Record<string, TensorData>>): Record<string, number> =>
  Object.fromEntries(Object.entries(results).map(([name, { data }]) => [name, Number(data[0])]));
