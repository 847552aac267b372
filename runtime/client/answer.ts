/** From logits to what a person asked for. */

export interface Classification {
  readonly label: string;
  /** By label, in the order of the classes. */
  readonly probabilities: Readonly<Record<string, number>>;
  readonly logits: readonly number[];
}

export interface Regression {
  readonly score: number;
  readonly logits: readonly number[];
}

export type Decoded = Classification | Regression;

/** Softmax in floating point, stable. */
export function softmax(logits: readonly number[]): number[] {
  const most = Math.max(...logits);
  const exps = logits.map((x) => Math.exp(x - most));
  const sum = exps.reduce((a, b) => a + b, 0);
  return exps.map((x) => x / sum);
}

/** Index of the largest; of equals the first. */
export const argmax = (values: readonly number[]): number =>
  values.reduce((best, value, i) => (value > values[best]! ? i : best), 0);

/** Label and probabilities of logits, or the score of a regression. */
export function decodeAnswer(
  logits: readonly number[],
  labels: readonly string[],
  task: 'classification' | 'regression',
): Decoded {
  if (task === 'regression') return { score: logits[0]!, logits };
  const shares = softmax(logits);
  return {
    label: labels[argmax(logits)]!,
    probabilities: Object.fromEntries(labels.map((label, i) => [label, shares[i]!])),
    logits,
  };
}
