import { readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { learningRate } from '../../train/schedule.ts';
import { caseFolders, GOLDEN_DIR } from '../support/golden.ts';

interface OptimizerJson {
  readonly lr_rule?: string;
  readonly hyper: {
    readonly lr: number;
    /** Of BertAdam. */
    readonly schedule?: 'none' | 'warmup_linear';
    readonly warmup: number;
    readonly total: number;
  };
  readonly steps: readonly { readonly step: number; readonly lr: number }[];
}

describe.runIf(GOLDEN_DIR !== undefined)('learning rates are those of transformers and of the published code', () => {
  for (const folder of caseFolders('03_optimizer')) {
    it(basename(folder), () => {
      const { hyper, steps } = JSON.parse(readFileSync(join(folder, 'case.json'), 'utf8')) as OptimizerJson;
      for (const { step, lr } of steps) {
        const { schedule, total } = hyper;
        // BertAdam gives its warm-up as a share of the updates, and none at all without a schedule.
        const warmup = schedule === undefined ? hyper.warmup : schedule === 'none' ? 0 : hyper.warmup * total;
        const rate = learningRate(step - 1, hyper.lr, warmup, total, schedule === 'none' ? 'constant' : 'linear');
        expect(Math.abs(rate - lr)).toBeLessThanOrEqual(4 * Number.EPSILON * hyper.lr);
      }
    });
  }
});

describe('the learning rate', () => {
  it('stays constant after the warm-up if asked to', () => {
    expect([0, 1, 2, 9].map((step) => learningRate(step, 1, 2, 10, 'constant'))).toEqual([0, 0.5, 1, 1]);
  });
});
