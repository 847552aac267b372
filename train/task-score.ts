/** The official score of a task. */
import type { TaskMetric } from '../data/glue.ts';
import { METRICS, type Metric } from './metrics.ts';

export interface TaskScore {
  /** The task's metrics by name. */
  readonly metrics: Readonly<Partial<Record<TaskMetric, Metric>>>;
  /** Their mean, the score of GLUE's leaderboard; undefined correlations count as 0. */
  readonly mean: number;
}

/**
 * Scores predictions by the task's own metrics: class numbers for classification, outputs for regression.
 * @throws InputError if the numbers of predictions and labels differ or are 0, or one is no class or not finite
 */
export function taskScore(
  task: { readonly metrics: readonly TaskMetric[] },
  predictions: ArrayLike<number>,
  labels: ArrayLike<number>,
): TaskScore {
  const metrics = Object.fromEntries(task.metrics.map((name) => [name, METRICS[name](predictions, labels)] as const));
  const mean = Object.values(metrics).reduce((sum, { value }) => sum + value, 0) / task.metrics.length;
  return { metrics, mean };
}
