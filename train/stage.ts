/** One stage of training, step by step; it can stop between any two steps and go on with the same bits. */
import { Failure, InputError } from '../common/errors.ts';
import { makeBatches, type Batch } from '../data/batch.ts';
import type { Engine } from '../engine/engine.ts';
import type { ModelConfig } from '../model/config.ts';
import { defaultMetric, measure } from './evaluate.ts';
import type { Prepared } from './examples.ts';
import { TEACHER, type Guide } from './objective.ts';
import { createPredictor, type Tensors } from './predict.ts';
import type { Recipe, Stage } from './recipe/recipe.ts';
import { learningRate } from './schedule.ts';
import { planUpdate } from './update.ts';

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

/** Where a stage stands between two steps: all it needs to go on. Whatever else it uses follows from seed and step. */
export interface StageProgress {
  /** Optimiser steps done. */
  readonly step: number;
  /** Parameters, and from the first step on moments, by their names in the state. */
  readonly state: Tensors;
  /** Points of this stage so far. */
  readonly curve: readonly CurvePoint[];
  /** The weights it would give, chosen among the evaluations so far. */
  readonly best?: { readonly value: number; readonly point: CurvePoint; readonly tensors: Tensors } | undefined;
  /** The highest metric so far, and evaluations since. */
  readonly highest?: number | undefined;
  readonly waited: number;
}

/** The beginning of a stage. */
export const stageStart = (tensors: Tensors): StageProgress => ({ step: 0, state: tensors, curve: [], waited: 0 });

/** A pause between two steps, or after the last one. */
export interface Pause {
  readonly step: number;
  /** At a mark: what was measured (nothing without labelled dev data), and the metric by which checkpoints are chosen. */
  readonly mark?:
    { readonly metrics: Readonly<Record<string, number>>; readonly value: number | undefined } | undefined;
  /** Present weights, copied. */
  weights(): Tensors;
  /** Copies all that is needed to go on from here. */
  progress(): StageProgress;
}

export interface StageOptions {
  readonly stage: Stage;
  readonly recipe: Recipe;
  /** Numbers the stage in the key of shuffles and dropout. */
  readonly index: number;
  readonly config: ModelConfig;
  readonly from: StageProgress;
  /** Needed by the losses `logits`, `hidden` and `scores`. */
  readonly teacher?: (Model & Guide) | undefined;
  readonly train: Prepared;
  readonly dev?: Prepared | undefined;
  /** Of the cross-entropy with the labels, by class. */
  readonly classWeights?: readonly number[] | undefined;
  readonly padId: number;
  readonly engine: Engine;
  readonly onStep?: (done: number, total: number, values: Readonly<Record<string, number>>) => void;
  readonly onEvaluation?: (point: CurvePoint) => void;
  /** Called after every step; what it throws stops the stage. */
  readonly onPause?: (pause: Pause) => Promise<void>;
}

export interface StageResult {
  readonly tensors: Tensors;
  readonly curve: readonly CurvePoint[];
  /** Steps done: fewer than planned if patience ran out. */
  readonly steps: number;
  /** Step whose weights these are. */
  readonly chosenStep: number;
  /** The chosen weights' metrics on the dev set, each with `dev.` before its name; empty without labelled dev data. */
  readonly metrics: Readonly<Record<string, number>>;
}

/** The loss stopped being finite. Going on from a checkpoint comes to the same end. */
export class Diverged extends Failure {}

/** Steps of a stage at which the error of every layer is recorded: all steps would make records large. */
const LAYER_POINTS = 100;

const withoutLayers = (values: Readonly<Record<string, number>>): Record<string, number> =>
  Object.fromEntries(Object.entries(values).filter(([name]) => !/\.\d+$/.test(name)));

/** Batches without end from the one numbered `first` on, each epoch in an order of its own. */
function* batches(
  train: Prepared,
  batchSize: number,
  seed: number,
  padId: number,
  first: number,
): Generator<Batch, never> {
  const each = Math.ceil(train.encodings.length / batchSize);
  for (let epoch = Math.floor(first / each); ; epoch++) {
    // Distinct per (seed, epoch) as long as there are fewer than 2^16 epochs.
    const all = makeBatches(train.encodings, { batchSize, seed: seed * 0x10000 + epoch, shuffle: true, padId });
    yield* all.slice(Math.max(0, first - epoch * each));
  }
}

/** Steps of the stage on so many examples. */
export const stageSteps = (stage: Stage, examples: number): number =>
  stage.steps ?? Math.max(1, Math.ceil((stage.epochs ?? 1) * Math.ceil(examples / stage.batchSize)));

/**
 * Runs the stage from where `from` stands.
 * @throws Diverged naming step and remedy if the loss stops being finite; InputError for patience without labelled dev data
 */
export async function runStage(options: StageOptions): Promise<StageResult> {
  const { stage, recipe, config, from, teacher, train, dev, engine, padId, index } = options;
  const plan = planUpdate({ stage, config, teacher, seed: recipe.seed, classWeights: options.classWeights });
  const held = new Map([...plan.initial, ...from.state]);
  if (teacher !== undefined) for (const [name, t] of teacher.tensors) held.set(TEACHER + name, t);
  const state = engine.createState(held);
  const update = await plan.compile(engine, state);
  const labelled = dev?.targets !== undefined && dev.encodings.length > 0 ? dev : undefined;
  if (stage.patience !== undefined && labelled === undefined) {
    throw new InputError(`stage ${stage.name} has patience, and nothing to measure on`, 'Give labelled --dev data.');
  }
  const predictor = labelled === undefined ? undefined : await createPredictor(config, { state }, engine);

  const copy = (names: readonly string[]): Tensors => new Map(names.map((name) => [name, state.read(name)] as const));
  const weights = (): Tensors => copy(plan.parameters);
  const total = stageSteps(stage, train.encodings.length);
  const warmup = Math.floor(stage.warmup * total);
  const marks = new Set(
    Array.from({ length: stage.evaluations }, (_, i) => Math.round((total * (i + 1)) / stage.evaluations)),
  );
  const metric = recipe.metric ?? defaultMetric(config.num_labels);
  const key = recipe.seed * 64 + index;
  const curve = [...from.curve];
  let { best, highest, waited } = from;
  const impatient = (): boolean => stage.patience !== undefined && waited >= stage.patience;

  const evaluate = async (step: number): Promise<Pause['mark']> => {
    if (predictor === undefined || labelled === undefined) return { metrics: {}, value: undefined };
    const logits = await predictor.predict(labelled.encodings, { padId });
    checkFinite({ 'a logit on dev data': logits.flatMap((z) => [...z]).find((v) => !Number.isFinite(v)) ?? 0 }, stage, step); // prettier-ignore
    const measured = measure(logits, labelled.targets!);
    const metrics = Object.fromEntries(Object.entries(measured).map(([name, { value }]) => [`dev.${name}`, value]));
    const point = { stage: stage.name, step, values: metrics };
    curve.push(point);
    options.onEvaluation?.(point);
    const value = measured[metric]?.value;
    if (value === undefined) {
      throw new InputError(
        `metric ${metric} does not fit a model of ${config.num_labels} outputs`,
        `Choose one of ${Object.keys(measured).join(', ')}.`,
      );
    }
    waited = highest === undefined || value > highest ? 0 : waited + 1;
    highest = Math.max(highest ?? value, value);
    // Of equally good checkpoints the later one has seen more data.
    const chosen = stage.select === 'last' ? step === total || impatient() : best === undefined || value >= best.value;
    if (chosen) best = { value, point, tensors: weights() };
    return { metrics, value };
  };

  let done = from.step;
  try {
    const source = batches(train, stage.batchSize, key, padId, done);
    while (done < total && !impatient()) {
      const batch = source.next().value;
      const rate = learningRate(done, stage.learningRate, warmup, total, stage.decay);
      const all = { ...(await update.run(batch, train, { key, done, rate })), rate };
      checkFinite(all, stage, done + 1);
      const detailed = done % Math.ceil(total / LAYER_POINTS) === 0 || done + 1 === total;
      done++;
      const values = detailed ? all : withoutLayers(all);
      curve.push({ stage: stage.name, step: done, values });
      options.onStep?.(done, total, values);
      const mark = marks.has(done) ? await evaluate(done) : undefined;
      const progress = (): StageProgress => {
        const now = copy([...plan.parameters, ...plan.moments]);
        return { step: done, state: now, curve: [...curve], best, highest, waited };
      };
      await options.onPause?.({ step: done, mark, weights, progress });
    }
    return best === undefined
      ? { tensors: weights(), curve, steps: done, chosenStep: done, metrics: {} }
      : { tensors: best.tensors, curve, steps: done, chosenStep: best.point.step, metrics: best.point.values };
  } finally {
    await update.release();
    await predictor?.release();
    state.release();
  }
}

function checkFinite(values: Readonly<Record<string, number>>, stage: Stage, step: number): void {
  const bad = Object.entries(values).find(([, value]) => !Number.isFinite(value));
  if (bad === undefined) return;
  throw new Diverged(
    `stage ${stage.name}, step ${step}: ${bad[0]} is ${bad[1]}`,
    `Training diverged: lower the learning rate (now ${stage.learningRate}), lengthen the warm-up, or check the data.`,
  );
}
