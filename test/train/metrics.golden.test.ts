import { readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { InputError } from '../../common/errors.ts';
import { METRICS, type MetricName } from '../../train/metrics.ts';
import { caseFolders, GOLDEN_DIR } from '../support/golden.ts';

interface Row {
  readonly note: string;
  readonly predictions: readonly (number | string)[];
  readonly labels: readonly (number | string)[];
  readonly recommended: { readonly value: number; readonly defined: boolean } | { readonly refuse: string };
}
interface GlueRow extends Omit<Row, 'recommended'> {
  readonly task: string;
  readonly metrics: Readonly<Record<string, number>>;
  readonly mean: number;
}
interface Tolerance {
  readonly absolute: number;
  readonly 'tiny spread'?: number;
}

const numbers = (values: readonly (number | string)[]): number[] =>
  values.map((v) => (typeof v === 'number' ? v : v === 'nan' ? Number.NaN : v === '-inf' ? -Infinity : Infinity));
const allowed = (tolerance: Tolerance, note: string): number =>
  note.includes('tiny spread') ? tolerance['tiny spread']! : tolerance.absolute;

describe.runIf(GOLDEN_DIR !== undefined)('metrics agree with scikit-learn and scipy', () => {
  for (const folder of caseFolders('04_metrics')) {
    const { tolerance } = JSON.parse(readFileSync(join(folder, 'case.json'), 'utf8')) as { tolerance: Tolerance };
    const rows: unknown = JSON.parse(readFileSync(join(folder, 'vectors.json'), 'utf8'));
    const name = basename(folder);

    if (name === 'glue') {
      it('glue: every metric of a task and their mean', () => {
        for (const row of rows as GlueRow[]) {
          const values = Object.entries(row.metrics).map(([metric, expected]) => {
            const { value } = METRICS[metric as MetricName](numbers(row.predictions), numbers(row.labels));
            expect(Math.abs(value - expected), `${row.task}, ${row.note}`).toBeLessThanOrEqual(
              allowed(tolerance, row.note),
            );
            return value;
          });
          const mean = values.reduce((a, b) => a + b, 0) / values.length;
          expect(Math.abs(mean - row.mean)).toBeLessThanOrEqual(allowed(tolerance, row.note));
        }
      });
      continue;
    }

    it(name, () => {
      const metric = METRICS[name as MetricName];
      for (const row of rows as Row[]) {
        const compute = () => metric(numbers(row.predictions), numbers(row.labels));
        if ('refuse' in row.recommended) {
          expect(compute, row.note).toThrow(InputError);
          continue;
        }
        const { value, defined } = compute();
        expect(defined, row.note).toBe(row.recommended.defined);
        expect(Math.abs(value - row.recommended.value), row.note).toBeLessThanOrEqual(allowed(tolerance, row.note));
      }
    });
  }
});
