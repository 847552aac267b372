/** The metrics of GLUE. Expected classes are labels; scores are of any finite value. */
import { InputError } from '../common/errors.ts';

/** A quotient that is 0/0 (a constant side, no positive at all) has value 0 and is marked. */
export interface Metric {
  readonly value: number;
  readonly defined: boolean;
}

const defined = (value: number): Metric => ({ value, defined: true });
const UNDEFINED: Metric = { value: 0, defined: false };

function checkPairs(predictions: ArrayLike<number>, labels: ArrayLike<number>): number {
  const n = predictions.length;
  if (n !== labels.length) {
    throw new InputError(
      `${n} predictions for ${labels.length} labels`,
      'Give one prediction per labelled example, in the same order.',
    );
  }
  if (n === 0) throw new InputError('no examples to measure', 'Give at least one labelled example.');
  return n;
}

function checkClasses(predictions: ArrayLike<number>, labels: ArrayLike<number>): number {
  const n = checkPairs(predictions, labels);
  for (const values of [predictions, labels]) {
    for (let i = 0; i < n; i++) {
      if (Number.isSafeInteger(values[i]!) && values[i]! >= 0) continue;
      const what = values === predictions ? 'prediction' : 'label';
      throw new InputError(`${what} ${i} is ${values[i]}, no class number`, 'Number the classes 0, 1, 2, …');
    }
  }
  return n;
}

function checkScores(predictions: ArrayLike<number>, labels: ArrayLike<number>): number {
  const n = checkPairs(predictions, labels);
  for (const values of [predictions, labels]) {
    for (let i = 0; i < n; i++) {
      if (Number.isFinite(values[i]!)) continue;
      const what = values === predictions ? 'prediction' : 'label';
      throw new InputError(`${what} ${i} is ${values[i]}`, 'A model that gives such numbers has diverged.');
    }
  }
  return n;
}

/** Fraction of equal entries. */
export function accuracy(predictions: ArrayLike<number>, labels: ArrayLike<number>): Metric {
  const n = checkClasses(predictions, labels);
  let equal = 0;
  for (let i = 0; i < n; i++) if (predictions[i] === labels[i]) equal++;
  return defined(equal / n);
}

/** F1 of class 1: 2TP / (2TP + FP + FN). */
export function f1(predictions: ArrayLike<number>, labels: ArrayLike<number>): Metric {
  const n = checkClasses(predictions, labels);
  let both = 0;
  let either = 0;
  for (let i = 0; i < n; i++) {
    const p = predictions[i] === 1;
    const l = labels[i] === 1;
    if (p && l) both++;
    either += Number(p) + Number(l);
  }
  return either === 0 ? UNDEFINED : defined((2 * both) / either);
}

const sumSquares = (counts: Map<number, number>): number => [...counts.values()].reduce((total, c) => total + c * c, 0);

/** Matthews' correlation for any number of classes (Gorodkin 2004, as scikit-learn). */
export function matthews(predictions: ArrayLike<number>, labels: ArrayLike<number>): Metric {
  const n = checkClasses(predictions, labels);
  const predicted = new Map<number, number>();
  const actual = new Map<number, number>();
  let correct = 0;
  for (let i = 0; i < n; i++) {
    if (predictions[i] === labels[i]) correct++;
    predicted.set(predictions[i]!, (predicted.get(predictions[i]!) ?? 0) + 1);
    actual.set(labels[i]!, (actual.get(labels[i]!) ?? 0) + 1);
  }
  let together = 0;
  for (const [k, count] of predicted) together += count * (actual.get(k) ?? 0);
  const spread = (n * n - sumSquares(predicted)) * (n * n - sumSquares(actual));
  return spread === 0 ? UNDEFINED : defined((correct * n - together) / Math.sqrt(spread));
}

const isConstant = (x: ArrayLike<number>): boolean => {
  for (let i = 1; i < x.length; i++) if (x[i] !== x[0]) return false;
  return true;
};

/** Σx by Neumaier's compensated summation. */
function sum(x: ArrayLike<number>): number {
  let total = 0;
  let lost = 0;
  for (let i = 0; i < x.length; i++) {
    const next = total + x[i]!;
    lost += Math.abs(total) >= Math.abs(x[i]!) ? total - next + x[i]! : x[i]! - next + total;
    total = next;
  }
  return total + lost;
}

/** x − mean scaled to norm 1; the scale by the largest element keeps squares from under- and overflow. */
function unit(x: ArrayLike<number>): Float64Array {
  const mean = sum(x) / x.length;
  const out = Float64Array.from(x, (v) => v - mean);
  const largest = out.reduce((m, v) => Math.max(m, Math.abs(v)), 0);
  const norm = largest * Math.sqrt(sum(out.map((v) => (v / largest) ** 2)));
  return out.map((v) => v / norm);
}

/** Pearson's correlation. */
export function pearson(predictions: ArrayLike<number>, labels: ArrayLike<number>): Metric {
  checkScores(predictions, labels);
  if (isConstant(predictions) || isConstant(labels)) return UNDEFINED;
  const p = unit(predictions);
  const l = unit(labels);
  const r = sum(p.map((v, i) => v * l[i]!));
  return defined(Math.min(1, Math.max(-1, r)));
}

/** Ranks from 1; equal values (0 and −0 too) share the average of their ranks. */
function ranks(x: ArrayLike<number>): Float64Array {
  const order = Array.from({ length: x.length }, (_, i) => i).toSorted((a, b) => x[a]! - x[b]!);
  const out = new Float64Array(x.length);
  for (let from = 0; from < order.length;) {
    let to = from + 1;
    while (to < order.length && x[order[to]!] === x[order[from]!]) to++;
    for (let i = from; i < to; i++) out[order[i]!] = (from + to + 1) / 2;
    from = to;
  }
  return out;
}

/** Spearman's correlation: Pearson's of average ranks. */
export function spearman(predictions: ArrayLike<number>, labels: ArrayLike<number>): Metric {
  checkScores(predictions, labels);
  return pearson(ranks(predictions), ranks(labels));
}

export const METRICS = { accuracy, f1, matthews, pearson, spearman } as const;
export type MetricName = keyof typeof METRICS;
