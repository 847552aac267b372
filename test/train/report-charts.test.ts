import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { duration } from '../../train/report/compare.ts';
import { boundsOf, smooth, thin } from '../../train/report/curves.ts';
import { apart, spreadOut } from '../../train/report/end-labels.ts';
import { lineChart } from '../../train/report/line-chart.ts';
import { linearAxis, logAxis, show } from '../../train/report/scale.ts';
import { byClass, parseMarkup, textOf } from '../support/markup.ts';

describe('axes', () => {
  it('have round ticks inside the data, at proportional places', () => {
    const axis = linearAxis([0, 60], [100, 400], { count: 5 });
    expect(axis.ticks).toEqual([0, 20, 40, 60]);
    expect([0, 20, 60].map((v) => axis.at(v))).toEqual([100, 200, 400]);
    expect(linearAxis([0.13, 0.47], [0, 1], { widen: true }).ticks).toEqual([0.1, 0.2, 0.3, 0.4, 0.5]);
    expect(linearAxis([-0.3, 0.3], [0, 1], { count: 6 }).ticks).toEqual([-0.3, -0.2, -0.1, 0, 0.1, 0.2, 0.3]);
  });

  it('take constants and huge spans', () => {
    expect(linearAxis([3, 3], [0, 10], { widen: true }).at(3)).toBeGreaterThan(0);
    expect(linearAxis([0, 0], [0, 10]).at(0)).toBe(5);
    const log = logAxis([1e-6, 10], [70, 0]);
    expect(log.at(1e-6)).toBe(70);
    expect(log.at(10)).toBe(0);
    expect(log.at(1e-2)).toBeCloseTo(30, 9);
    expect(log.ticks).toEqual([1e-6, 1e-4, 1e-2, 1]);
    expect(logAxis([2, 20], [0, 1]).ticks).toEqual([2, 5, 10, 20]);
    expect(logAxis([4, 4], [0, 1]).ticks).toContain(5);
  });

  it('do not leave what a measure can be, a constant included', () => {
    const share = { widen: true, within: [0, 1] } as const;
    expect(linearAxis([1, 1], [0, 1], share).ticks).toEqual([0.9, 0.95, 1]);
    expect(linearAxis([0, 0], [0, 1], share).ticks[0]).toBe(0);
    expect(['dev.accuracy', 'dev.f1', 'dev.matthews', 'dev.spearman', 'dev.loss', 'loss'].map(boundsOf)).toEqual([
      [0, 1], [0, 1], [-1, 1], [-1, 1], undefined, undefined,
    ]); // prettier-ignore
    for (const within of [
      [0, 1],
      [-1, 1],
    ] as const) {
      const value = fc.double({ min: within[0], max: within[1], noNaN: true });
      fc.assert(
        fc.property(value, value, (a, b) => {
          fc.pre(a === b || Math.abs(a - b) > 1e-6);
          const { ticks } = linearAxis([Math.min(a, b), Math.max(a, b)], [0, 1], { widen: true, within });
          expect(ticks[0]).toBeGreaterThanOrEqual(within[0]);
          expect(ticks.at(-1)).toBeLessThanOrEqual(within[1]);
        }),
        { examples: [[1, 1], [within[0], within[0]], [0.97, 1]] }, // prettier-ignore
      );
    }
  });

  it('hold every value and tick, for any data', () => {
    const value = fc.double({ min: -1e9, max: 1e9, noNaN: true });
    fc.assert(
      fc.property(value, value, (a, b) => {
        const [low, high] = [Math.min(a, b), Math.max(a, b)];
        // Spans below the spacing of doubles have no ticks to show.
        fc.pre(low === high || high - low > 1e-6 * Math.max(Math.abs(low), Math.abs(high), 1e-9));
        const axis = linearAxis([low, high], [0, 100], { widen: true });
        for (const v of [low, high, ...axis.ticks]) {
          expect(axis.at(v)).toBeGreaterThanOrEqual(-1e-3);
          expect(axis.at(v)).toBeLessThanOrEqual(100 + 1e-3);
        }
        expect(axis.ticks.length).toBeGreaterThanOrEqual(2);
        expect(axis.ticks.length).toBeLessThanOrEqual(9);
      }),
      { numRuns: 2000, examples: [[5e-324, 5e-324], [-1e-310, -1e-310], [0, 1e-12], [-1e9, 1e9]] }, // prettier-ignore
    );
  });

  it('print numbers as a reader expects them', () => {
    const shown = [0, 5, 0.25, 1 / 3, 12345, -2.5, 5e-5, 1.5e-7, 1234567, 0.001, -0.00012].map(show);
    expect(shown).toEqual([
      '0',
      '5',
      '0.25',
      '0.3333',
      '12,345',
      '−2.5',
      '5e−5',
      '1.5e−7',
      '1.23e6',
      '0.001',
      '−1.2e−4',
    ]);
    expect([5.25, 45, 125, 3725].map(duration)).toEqual(['5.3 s', '45 s', '2 min', '1 h 2 min']);
  });
});

describe('curves', () => {
  it('are smoothed by a debiased moving average', () => {
    const points = [4, 1, 7].map((y, x) => ({ x, y }));
    // Window 2: weights 1; 1/3, 2/3; 1/7, 2/7, 4/7.
    expect(smooth(points, 2).map((p) => p.y)).toEqual([4, 2, expect.closeTo(34 / 7, 12)]);
    expect(smooth(points, 1)).toEqual(points);
    const constant = Array.from({ length: 50 }, (_, x) => ({ x, y: 3 }));
    for (const { y } of smooth(constant, 9)) expect(y).toBeCloseTo(3, 12);
  });

  it('are thinned without losing a peak', () => {
    const points = Array.from({ length: 10_000 }, (_, x) => ({
      x,
      y: x === 7777 ? 50 : x === 1234 ? -50 : Math.sin(x),
    }));
    const thinned = thin(points, 400);
    expect(thinned.length).toBeLessThanOrEqual(400);
    expect(thinned).toContainEqual({ x: 7777, y: 50 });
    expect(thinned).toContainEqual({ x: 1234, y: -50 });
    expect(thinned.map((p) => p.x)).toEqual(thinned.map((p) => p.x).toSorted((a, b) => a - b));
  });

  it('are drawn where their axes say', () => {
    const points = [0, 25, 50, 100].map((x) => ({ x, y: x / 10 }));
    const chart = lineChart({ id: 'c', title: 't', description: 'd', steps: 100, lines: [{ name: 'a', points, look: {}, dots: true }] }); // prettier-ignore
    const svg = parseMarkup(chart.markup);
    const dots = byClass(svg, 'dot').map(
      (e) => [Number(e.attributes.get('cx')), Number(e.attributes.get('cy'))] as const,
    );
    const tick = (text: string): ReturnType<typeof parseMarkup> =>
      byClass(svg, 'tick').find((e) => textOf(e) === text)!;
    expect(dots.length).toBe(4);
    // A dot for step 100 stands above the tick 100, and one of value 10 beside the tick 10.
    expect(dots[3]![0]).toBeCloseTo(Number(tick('100').attributes.get('x')), 0);
    expect(dots[3]![1]).toBeCloseTo(Number(tick('10').attributes.get('y')) - 4, 0);
    expect(dots[2]![0] - dots[1]![0]).toBeCloseTo(dots[1]![0] - dots[0]![0], 0);
    expect(dots[2]![1] - dots[1]![1]).toBeCloseTo(dots[1]![1] - dots[0]![1], 0);
    const path = byClass(svg, 'line')[0]!.attributes.get('d')!;
    expect(path.split(/[ML]/).slice(1).map((p) => p.split(' ').map(Number))).toEqual(dots); // prettier-ignore
  });
});

describe('names at the ends of lines', () => {
  it('stay where they are with room, and move least without', () => {
    expect(apart([5, 50, 30], 10, [0, 100])).toEqual([5, 50, 30]);
    expect(apart([20, 20], 4, [0, 100]).toSorted((a, b) => a - b)).toEqual([18, 22]);
    // Three around 21 and the fourth beside them: the mean of 20, 20 − 4, 23 − 8 is 17.
    expect(apart([20, 23, 20, 60], 4, [0, 100]).toSorted((a, b) => a - b)).toEqual([17, 21, 25, 60]);
    expect(apart([99, 99], 10, [0, 100]).toSorted((a, b) => a - b)).toEqual([90, 100]);
  });

  it('keep their order, their distance and the picture', () => {
    fc.assert(
      fc.property(
        fc.array(fc.double({ min: 12, max: 192, noNaN: true }), { minLength: 1, maxLength: 13 }),
        (wanted) => {
          const places = apart(wanted, 12, [12, 192]);
          const order = wanted.map((_, i) => i).toSorted((a, b) => wanted[a]! - wanted[b]! || places[a]! - places[b]!);
          order.forEach((i, rank) => {
            expect(places[i]).toBeGreaterThanOrEqual(12 - 1e-9);
            expect(places[i]).toBeLessThanOrEqual(192 + 1e-9);
            if (rank > 0) expect(places[i]! - places[order[rank - 1]!]!).toBeGreaterThanOrEqual(12 - 1e-9);
          });
        },
      ),
    );
  });

  it('are so many as there is room for, first and last among them', () => {
    expect(spreadOut(5, 13)).toEqual([0, 1, 2, 3, 4]);
    expect(spreadOut(25, 13)).toEqual([0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24]);
    for (const count of [1, 2, 13, 14, 15, 24, 48]) {
      const chosen = spreadOut(count, 13);
      expect(chosen.length).toBeLessThanOrEqual(13);
      expect([chosen[0], chosen.at(-1)]).toEqual([0, count - 1]);
      expect(new Set(chosen).size).toBe(chosen.length);
    }
  });
});
