/** Measures of a checkpoint on labelled data. */
import { InputError } from '../common/errors.ts';
import { accuracy, f1, matthews, pearson, spearman, type Metric } from './metrics.ts';
import { argmax } from './predict.ts';

/**
 * Every metric that fits, by name: `loss` (mean cross-entropy or squared error); accuracy, matthews and, for two classes, f1;
 * pearson and spearman for regression (one output).
 * @throws InputError if there are no examples or a prediction is not finite
 */
export function measure(
  logits: readonly (Float32Array | readonly number[])[],
  targets: readonly number[],
): Record<string, Metric> {
  const classes = logits[0]?.length ?? 0;
  const bad = logits.findIndex((z) => z.some((v: number) => !Number.isFinite(v)));
  if (bad >= 0) {
    throw new InputError(
      `the logits of example ${bad + 1} are ${[...logits[bad]!].join(', ')}`,
      'The model has diverged, or its scores leave what float32 holds.',
    );
  }
  if (classes === 1) {
    const scores = logits.map((z) => z[0]!);
    const loss = scores.reduce((sum, z, i) => sum + (z - targets[i]!) ** 2, 0) / scores.length;
    return { pearson: pearson(scores, targets), spearman: spearman(scores, targets), loss: sure(loss) };
  }
  const predicted = logits.map(argmax);
  const measured = { accuracy: accuracy(predicted, targets), matthews: matthews(predicted, targets) };
  const loss = logits.reduce((sum, z, i) => sum + crossEntropy(z, targets[i]!), 0) / logits.length;
  return { ...measured, ...(classes === 2 ? { f1: f1(predicted, targets) } : {}), loss: sure(loss) };
}

const sure = (value: number): Metric => ({ value, defined: true });

/** −log softmax(z)_y. */
function crossEntropy(z: ArrayLike<number>, y: number): number {
  const top = Array.from(z).reduce((a, b) => Math.max(a, b), -Infinity);
  const mass = Array.from(z).reduce((sum, v) => sum + Math.exp(v - top), 0);
  return Math.log(mass) + top - z[y]!;
}

/** The metric by which checkpoints are compared, unless the recipe names one. */
export const defaultMetric = (classes: number): 'accuracy' | 'pearson' => (classes === 1 ? 'pearson' : 'accuracy');
