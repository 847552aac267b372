/** What of a run's curve is drawn: named series per stage, smoothed, thinned. */
import type { RunRecord } from '../../checkpoints/run-record.ts';

/** A run as the report names it. */
export interface Run {
  readonly name: string;
  readonly record: RunRecord;
}

export interface Point {
  readonly x: number;
  readonly y: number;
}

/** Names of the stages in the order of their first points, over all runs. */
export function stageNames(runs: readonly Run[]): string[] {
  return [...new Set(runs.flatMap(({ record }) => record.curve.map(({ stage }) => stage)))];
}

/** Optimiser steps of the stage in the run that took the most. */
export function lastStep(runs: readonly Run[], stage: string): number {
  const steps = runs.flatMap(({ record }) => record.curve.flatMap((p) => (p.stage === stage ? [p.step] : [])));
  return steps.reduce((a, b) => Math.max(a, b), 1);
}

/** The runs that took steps in the stage, each with its place among all runs, by which it is coloured. */
export const runsOf = (runs: readonly Run[], stage: string): { readonly run: Run; readonly index: number }[] =>
  runs.flatMap((run, index) => (run.record.curve.some((p) => p.stage === stage) ? [{ run, index }] : []));

/** Step whose weights the stage gave; undefined in records of older versions. */
export const keptStep = ({ record }: Run, stage: string): number | undefined =>
  record.outcomes?.find((outcome) => outcome.stage === stage)?.chosenStep;

/** Names of the values that any run recorded in the stage, in the order of first appearance. */
export function valueNames(runs: readonly Run[], stage: string): string[] {
  const names = new Set<string>();
  for (const { record } of runs) {
    for (const point of record.curve) if (point.stage === stage) for (const name of Object.keys(point.values)) names.add(name); // prettier-ignore
  }
  return [...names];
}

/** A value over the steps of a stage; empty if never recorded. */
export function series(run: Run, stage: string, name: string): Point[] {
  return run.record.curve.flatMap(({ stage: of, step, values }) =>
    of === stage && values[name] !== undefined ? [{ x: step, y: values[name] }] : [],
  );
}

/**
 * Exponential moving average with decay 1 − 1/window, divided by the sum of its weights so that it begins at the first value.
 */
export function smooth(points: readonly Point[], window: number): Point[] {
  const decay = 1 - 1 / Math.max(1, window);
  let total = 0;
  let weight = 0;
  return points.map(({ x, y }) => {
    total = decay * total + (1 - decay) * y;
    weight = decay * weight + (1 - decay);
    return { x, y: decay === 0 ? y : total / weight };
  });
}

/** Steps that a smoothed line averages over. */
export const smoothingWindow = (points: readonly Point[]): number =>
  points.length < 20 ? 1 : Math.max(5, Math.round(points.length / 20));

/** At most about `most` points: of each group of neighbours the least and the greatest, so that no peak is lost. */
export function thin(points: readonly Point[], most: number): Point[] {
  if (points.length <= most) return [...points];
  const size = Math.ceil((2 * points.length) / most);
  const out: Point[] = [];
  for (let from = 0; from < points.length; from += size) {
    const group = points.slice(from, from + size);
    const low = group.reduce((a, b) => (b.y < a.y ? b : a));
    const high = group.reduce((a, b) => (b.y > a.y ? b : a));
    out.push(...(low === high ? [low] : [low, high].toSorted((a, b) => a.x - b.x)));
  }
  return out;
}

/** At most `most` points, evenly spread, first and last among them: rows of a table. */
export function sample(points: readonly Point[], most: number): Point[] {
  if (points.length <= most) return [...points];
  return Array.from({ length: most }, (_, i) => points[Math.round((i * (points.length - 1)) / (most - 1))]!);
}

const TITLES: Readonly<Record<string, string>> = {
  loss: 'Loss, weighted sum',
  labels: 'Loss against labels',
  logits: 'Loss against the teacher’s logits',
  hidden: 'Hidden states, error',
  scores: 'Attention scores, error',
  ranges: 'Range penalty',
  rate: 'Learning rate',
  norm: 'Gradient norm before clipping',
};

const METRIC_TITLES: Readonly<Record<string, string>> = {
  f1: 'F1',
  matthews: 'Matthews’ correlation',
  pearson: 'Pearson’s correlation',
  spearman: 'Spearman’s correlation',
};

/** How a recorded value is called on the page. */
export function titleOf(name: string): string {
  if (name.startsWith('dev.')) return `Dev ${METRIC_TITLES[name.slice(4)] ?? name.slice(4)}`;
  return TITLES[name] ?? name;
}

/** Least and greatest value that a measure can have; undefined for losses, which have no greatest. */
export function boundsOf(name: string): readonly [number, number] | undefined {
  if (name === 'dev.accuracy' || name === 'dev.f1') return [0, 1];
  return name.startsWith('dev.') && !name.endsWith('loss') ? [-1, 1] : undefined;
}

/** `hidden.3` → ['hidden', 3]: the error of one layer. */
export function layerOf(name: string): [kind: string, layer: number] | undefined {
  const found = /^(hidden|scores)\.(\d+)$/.exec(name);
  return found === null ? undefined : [found[1]!, Number(found[2])];
}
