import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { createEngine } from '../../engine/onnxruntime.ts';
import { measureRanges } from '../../train/report/measure.ts';
import { GOLDEN_DIR, caseFolders } from '../support/golden.ts';
import { caseConfig, GoldenCase, type CaseJson } from '../support/golden-case.ts';
import { residualVariance } from '../support/residual-variance.ts';

/** Cases whose mask is what a tokeniser gives: real tokens, then padding. */
const padsRight = ({ batch, length, mask }: { batch: number; length: number; mask: Int32Array }): boolean =>
  Array.from({ length: batch }, (_, b) => mask.slice(b * length, (b + 1) * length)).every((row) =>
    row.every((m, i) => i === 0 || m <= row[i - 1]!),
  );

describe.runIf(GOLDEN_DIR !== undefined)('ranges are those of the golden scores', async () => {
  const engine = createEngine({ threads: 1 });
  let measured = 0;
  for (const folder of caseFolders('01_forward')) {
    const { normaliser } = JSON.parse(readFileSync(join(folder, 'case.json'), 'utf8')) as CaseJson;
    if (!['softmax', '2quad'].includes(normaliser)) continue;
    const golden = await GoldenCase.read<CaseJson>(folder);
    const batch = golden.batch();
    if (!padsRight(batch)) continue;
    measured++;
    it(folder.split('/').at(-1)!, async () => {
      const config = caseConfig(golden.json);
      const lengths = Array.from({ length: batch.batch }, (_, b) =>
        batch.mask.slice(b * batch.length, (b + 1) * batch.length).reduce((a, m) => a + m, 0),
      );
      const encodings = lengths.map((n, b) => ({
        ids: [...batch.ids.slice(b * batch.length, b * batch.length + n)],
        types: [...batch.types.slice(b * batch.length, b * batch.length + n)],
      }));
      const ranges = await measureRanges({ config, tensors: golden.weights('weight.') }, encodings, engine, {
        padId: 0,
      });
      for (let layer = 0; layer < config.num_hidden_layers; layer++) {
        const { shape, data } = golden.get(`expected.scores.${layer}`);
        const [, heads, length] = shape as [number, number, number];
        const scores: number[] = [];
        const denominators: number[] = [];
        lengths.forEach((n, b) => {
          for (let head = 0; head < heads; head++) {
            for (let query = 0; query < n; query++) {
              const at = ((b * heads + head) * length + query) * length;
              const row = [...data.slice(at, at + n)];
              scores.push(...row);
              denominators.push(Math.log2(row.reduce((sum, s) => sum + (s + (golden.json.c_quad ?? 5)) ** 2, 0) / n));
            }
          }
        });
        const tolerance = golden.json.tolerance[`scores.${layer}`]!.float32;
        const of = (wire: string) => ranges.find((range) => range.layer === layer && range.wire.startsWith(wire));
        expect(Math.abs(of('attention scores')!.min - Math.min(...scores))).toBeLessThanOrEqual(tolerance);
        expect(Math.abs(of('attention scores')!.max - Math.max(...scores))).toBeLessThanOrEqual(tolerance);
        const { variances, error } = residualVariance(golden, layer, lengths);
        const after = ranges.find((range) => range.layer === layer && range.wire.endsWith('LayerNorm after attention'));
        for (const [seen, v] of [
          [after!.min, Math.min(...variances)],
          [after!.max, Math.max(...variances)],
        ] as const) {
          // |d log₂(v + ε)| ≤ 2·error·√v / (ln 2 · (v + ε)); the last term is the rounding of the logarithm itself.
          const total = v + config.layer_norm_eps;
          expect(Math.abs(seen - Math.log2(total))).toBeLessThanOrEqual(
            (2 * error * Math.sqrt(v)) / (Math.LN2 * total) + 2 ** -20,
          );
        }
        const found = of('log₂ of the 2Quad denominator');
        if (normaliser === 'softmax') {
          expect(found).toBeUndefined();
          continue;
        }
        // d log₂(D/n)/ds ≤ 2 / (ln 2 · √(D/n)) per score; the last term is the rounding of the logarithm itself.
        const slack = (log2: number): number => (2 * tolerance) / (Math.LN2 * 2 ** (log2 / 2)) + 2 ** -20;
        const [low, high] = [Math.min(...denominators), Math.max(...denominators)];
        expect(Math.abs(found!.min - low)).toBeLessThanOrEqual(slack(low));
        expect(Math.abs(found!.max - high)).toBeLessThanOrEqual(slack(high));
        expect(found!.interval).toEqual([2.5, 7.5]);
      }
    });
  }
  it('measured some cases', () => expect(measured).toBeGreaterThan(0));
});
