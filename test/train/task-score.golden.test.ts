import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { taskInfo } from '../../data/tasks.ts';
import { taskScore } from '../../train/task-score.ts';
import { GOLDEN_DIR } from '../support/golden.ts';

interface Row {
  readonly task: string;
  readonly note: string;
  readonly predictions: readonly number[];
  readonly labels: readonly number[];
  readonly metrics: Readonly<Record<string, number>>;
  readonly mean: number;
}

describe.runIf(GOLDEN_DIR !== undefined)('official scores of the GLUE tasks', () => {
  const read = (file: string): unknown =>
    JSON.parse(readFileSync(join(GOLDEN_DIR!, '04_metrics', 'glue', file), 'utf8')) as unknown;

  it('has the metrics and the mean of every task', () => {
    const { tolerance } = read('case.json') as { tolerance: Record<string, number> };
    const rows = read('vectors.json') as Row[];
    expect(rows.length).toBeGreaterThan(0);
    for (const { task, note, predictions, labels, metrics, mean } of rows) {
      const allowed = tolerance[note.includes('tiny spread') ? 'tiny spread' : 'absolute']!;
      const score = taskScore(taskInfo(task), predictions, labels);
      expect(Object.keys(score.metrics).toSorted(), task).toEqual(Object.keys(metrics).toSorted());
      for (const [name, expected] of Object.entries(metrics)) {
        const { value } = score.metrics[name as keyof typeof score.metrics]!;
        expect(Math.abs(value - expected), `${task} ${name}, ${note}`).toBeLessThanOrEqual(allowed);
      }
      expect(Math.abs(score.mean - mean), `${task}, ${note}`).toBeLessThanOrEqual(allowed);
    }
  });
});
