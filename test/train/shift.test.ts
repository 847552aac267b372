import { describe, expect, it } from 'vitest';
import { createEngine } from '../../engine/onnxruntime.ts';
import { bestShift, chooseShifts, shiftDivergence } from '../../train/shift.ts';
import { tinyConfig, tinyTensors } from '../support/tiny-model.ts';

/** KL(softmax ‖ 2Quad) of one row, term by term from the definitions. */
function divergence(row: readonly number[], centred: boolean, c: number): number {
  const mass = row.reduce((sum, s) => sum + Math.exp(s), 0);
  const mean = centred ? row.reduce((a, b) => a + b) / row.length : 0;
  const squares = row.map((s) => (s - mean + c) ** 2);
  const total = squares.reduce((a, b) => a + b);
  return row.reduce(
    (sum, s, i) => sum + (Math.exp(s) / mass) * Math.log(Math.exp(s) / mass / (squares[i]! / total)),
    0,
  );
}

const text = (...ids: number[]) => ({ ids: [2, ...ids, 3], types: Array<number>(ids.length + 2).fill(0) });

describe('the shift of 2Quad', () => {
  it('has the divergence of the definition', () => {
    const rows = [[0.3, -1.2, 2.5], [0.1], [4, 3.5, -2, 0.25, 1]];
    for (const centred of [false, true]) {
      for (const c of [0.5, 1.7, 6]) {
        const expected = rows.reduce((sum, row) => sum + divergence(row, centred, c), 0) / rows.length;
        expect(shiftDivergence(rows, centred, c)).toBeCloseTo(expected, 12);
      }
    }
  });

  // With two keys 2Quad meets softmax where |(s₁+c)/(s₂+c)| = e^((s₁−s₂)/2): one c > 0 if plain, two if centred.
  it.each([0.5, 1, 2, 3])('is an exact one for two keys %f apart', (d) => {
    const r = Math.exp(d / 2);
    expect(bestShift([[d, 0]], false)).toBeCloseTo(d / (r - 1), 3);
    const ratio = (r + 1) / (r - 1);
    const solutions = [(d / 2) * ratio, d / 2 / ratio];
    const found = bestShift([[d + 7, 7]], true);
    expect(Math.min(...solutions.map((c) => Math.abs(c - found)))).toBeLessThan(5e-4);
    expect(shiftDivergence([[d + 7, 7]], true, found)).toBeLessThan(1e-6);
  });

  it('does not see a constant added to a row if centred', () => {
    const rows = [
      [0.3, -1.2, 2.5],
      [4, 3.5, -2],
    ];
    const moved = rows.map((row, i) => row.map((s) => s + 10 * (i + 1)));
    expect(bestShift(moved, true)).toBeCloseTo(bestShift(rows, true), 6);
    expect(bestShift(moved, false)).not.toBeCloseTo(bestShift(rows, false), 1);
  });

  it('is chosen per layer and head on real keys only', async () => {
    const config = tinyConfig();
    const tensors = tinyTensors(config);
    const engine = createEngine({ threads: 1 });
    const options = { centred: true, padId: 0 };
    // Alone each text has no padding; together the short ones are padded. Scores may differ in the last place.
    const texts = [text(5, 6), text(7, 8, 9, 10, 11), text(12)];
    const together = await chooseShifts({ config, tensors }, texts, engine, options);
    expect(together.map((heads) => heads.length)).toEqual([3, 3]);
    const alone = await chooseShifts({ config, tensors }, [texts[1]!], engine, options);
    const withPadded = await chooseShifts({ config, tensors }, [texts[1]!, texts[1]!], engine, options);
    withPadded.flat().forEach((c, i) => expect(c).toBeCloseTo(alone.flat()[i]!, 3));
    expect(together.flat().every((c) => c > 0)).toBe(true);
  });
});
