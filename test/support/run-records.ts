import type { RunRecord } from '../../checkpoints/run-record.ts';

/** A student's record of two stages, as training writes it; values are simple functions of the step. */
export function studentRecord(seed = 1, change: Partial<RunRecord> = {}): RunRecord {
  const curve: RunRecord['curve'] = [];
  for (let step = 1; step <= 60; step++) {
    const values: Record<string, number> = {
      loss: 100 / step + seed / 100,
      hidden: 60 / step,
      scores: 40 / step,
      norm: 2 + Math.sin(step),
      rate: 5e-5 * (1 - step / 60),
    };
    if (step % 6 === 1 || step === 60) {
      for (let layer = 0; layer < 4; layer++) values[`hidden.${layer}`] = (layer + 1) / step;
      for (let layer = 0; layer < 3; layer++) values[`scores.${layer}`] = (3 - layer) / step;
    }
    curve.push({ stage: 'layers', step, values });
  }
  for (let step = 1; step <= 40; step++) {
    curve.push({ stage: 'logits', step, values: { loss: 0.7 - step / 100, norm: 1, rate: 1e-5 } });
    if (step % 10 === 0) {
      curve.push({ stage: 'logits', step, values: { 'dev.accuracy': 0.6 + step / 200, 'dev.loss': 0.7 - step / 100 } });
    }
  }
  return {
    format: 'run-record',
    version: 1,
    command: 'student',
    started: '2025-03-04T05:06:07.000Z',
    seconds: 3725,
    config: {
      task: 'file',
      preset: 'secformer-centred',
      shift: [[1.5, 2.5]],
      recipe: {
        name: 'two-stage',
        seed,
        stages: [
          { name: 'layers', batchSize: 32, learningRate: 5e-5 },
          { name: 'logits', batchSize: 16, learningRate: 1e-5 },
        ],
      },
    },
    dataHash: { train: 'a'.repeat(64), dev: 'b'.repeat(64) },
    modelHash: { teacher: 'c'.repeat(64) },
    seed,
    threads: 2,
    versions: { toolkit: '0.1.0', node: 'v20.0.0' },
    curve,
    metrics: { 'dev.accuracy': 0.8 + seed / 100, 'dev.loss': 0.3 },
    evaluation: {
      kind: 'classes',
      labels: ['bad', 'good', 'mixed'],
      confusion: [
        [417, 5, 3],
        [2, 391, 1],
        [0, 0, 0],
      ],
    },
    ranges: [
      { wire: 'input of the activation', layer: 0, min: -4.5, max: 3.5, interval: [-5, 4] },
      { wire: 'input of the activation', layer: 1, min: -16.75, max: 26.9, interval: [-5, 4] },
      { wire: 'attention scores', layer: 0, min: -41.5, max: 43.2 },
      { wire: 'log₂ of the variance of the LayerNorm after the feed-forward part', layer: 0, min: -1.9, max: 7.2, interval: [null, 4] }, // prettier-ignore
    ],
    ...change,
  };
}

/** A regression teacher's record. */
export const scoreRecord = (): RunRecord =>
  studentRecord(1, {
    command: 'teacher',
    metrics: { 'dev.pearson': 0.85, 'dev.spearman': 0.84 },
    evaluation: {
      kind: 'scores',
      pairs: [
        [0, 0.5],
        [2.5, 2.5],
        [5, 4],
      ],
    },
    ranges: [],
  });
