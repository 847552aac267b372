/** The other pictures: confusion matrix, targets against predictions, ranges against intervals. */
import type { RunRecord } from '../../checkpoints/run-record.ts';
import { h, type Markup } from './markup.ts';
import { linearAxis, show } from './scale.ts';
import { captioned } from './tables.ts';

type Evaluation = NonNullable<RunRecord['evaluation']>;
export type Confusion = Extract<Evaluation, { kind: 'classes' }>;
export type Scores = Extract<Evaluation, { kind: 'scores' }>;
export type WireRange = NonNullable<RunRecord['ranges']>[number];

const percent = (share: number): string => `${(100 * share).toFixed(share > 0 && share < 0.0995 ? 1 : 0)} %`;

/** A table whose cells are tinted by their share of the row: actual classes down, predicted classes across. */
export function confusionTable({ labels, confusion }: Confusion): Markup {
  return captioned(
    'Rows: actual class; columns: predicted class. Counts, and their share of the row.',
    h(
      'table',
      { class: 'confusion' },
      h(
        'thead',
        {},
        h(
          'tr',
          {},
          h('td', {}),
          labels.map((label) => h('th', { scope: 'col' }, label)),
          h('th', { scope: 'col' }, 'all'),
        ),
      ),
      h(
        'tbody',
        {},
        confusion.map((row, i) => {
          const all = row.reduce((a, b) => a + b, 0);
          return h(
            'tr',
            {},
            h('th', { scope: 'row' }, labels[i]!),
            row.map((n, j) => {
              const share = all === 0 ? 0 : n / all;
              return h(
                'td',
                { class: i === j ? 'right' : 'wrong', style: `--share:${share.toFixed(3)}` },
                h('span', { class: 'count' }, show(n)),
                h('span', { class: 'share' }, all === 0 ? '' : percent(share)),
              );
            }),
            h('td', { class: 'all' }, show(all)),
          );
        }),
      ),
    ),
  );
}

const SIDE = 360;
const EDGE = 56;

interface Cloud {
  readonly id: string;
  readonly title: string;
  /** For readers who do not see it. */
  readonly description: string;
  readonly points: readonly (readonly [x: number, y: number])[];
  /** Least and greatest value of each axis. */
  readonly x: readonly [number, number];
  readonly y: readonly [number, number];
  /** Where a perfect model would be: y for the leftmost and rightmost x. */
  readonly ideal: (x: number) => number;
  readonly names: readonly [x: string, y: string];
}

/** Points in a square, with the dashed line of a perfect model. */
function cloud({ id, title, description, points, names, ideal, ...range }: Cloud): Markup {
  const x = linearAxis(range.x, [EDGE, SIDE - 12], { count: 5, widen: true });
  const y = linearAxis(range.y, [SIDE - EDGE, 12], { count: 5, widen: true });
  const [from, to] = [x.ticks[0]!, x.ticks.at(-1)!];
  return h(
    'svg',
    { class: 'chart square', viewBox: `0 0 ${SIDE} ${SIDE}`, role: 'img', 'aria-labelledby': `${id}-title ${id}-desc` },
    h('title', { id: `${id}-title` }, title),
    h('desc', { id: `${id}-desc` }, description),
    y.ticks.map((tick) => [
      h('line', { class: 'grid', x1: EDGE, x2: SIDE - 12, y1: y.at(tick), y2: y.at(tick) }),
      h('text', { class: 'tick', x: EDGE - 8, y: y.at(tick) + 4, 'text-anchor': 'end' }, show(tick)),
    ]),
    x.ticks.map((tick) =>
      h('text', { class: 'tick', x: x.at(tick), y: SIDE - EDGE + 18, 'text-anchor': 'middle' }, show(tick)),
    ),
    h('line', { class: 'ideal', x1: x.at(from), y1: y.at(ideal(from)), x2: x.at(to), y2: y.at(ideal(to)) }),
    points.map(([px, py]) => h('circle', { class: 'mark', cx: x.at(px).toFixed(1), cy: y.at(py).toFixed(1), r: 2.5 })),
    h('text', { class: 'axis', x: (EDGE + SIDE - 12) / 2, y: SIDE - 6, 'text-anchor': 'middle' }, names[0]),
    h('text', { class: 'axis', x: 0, y: 0, 'text-anchor': 'middle', transform: `translate(11 ${(SIDE - EDGE + 12) / 2}) rotate(-90)` }, names[1]), // prettier-ignore
  );
}

const bounds = (values: readonly number[]): [number, number] => [
  values.reduce((a, b) => Math.min(a, b), Infinity),
  values.reduce((a, b) => Math.max(a, b), -Infinity),
];

/** Predictions over targets; a perfect model is on the diagonal. */
export function scatter(id: string, { pairs }: Scores): Markup {
  const both = bounds(pairs.flat());
  return cloud({
    id,
    title: 'Predictions against targets',
    description: `${pairs.length} dev examples; a perfect model is on the diagonal.`,
    points: pairs,
    x: both,
    y: both,
    ideal: (x) => x,
    names: ['target', 'prediction'],
  });
}

/** Prediction − target over targets: what depends on the target is a tilt or a bow. */
export function residuals(id: string, { pairs }: Scores): Markup {
  const points = pairs.map(([target, prediction]) => [target, prediction - target] as const);
  return cloud({
    id,
    title: 'Residuals',
    description: `Prediction − target of ${pairs.length} dev examples; a perfect model is on the dashed line at 0.`,
    points,
    x: bounds(points.map(([x]) => x)),
    y: bounds([0, ...points.map(([, y]) => y)]),
    ideal: () => 0,
    names: ['target', 'prediction − target'],
  });
}

const ROW = 24;
const NAMES = 72;
const WIDTH = 460;

/** Whether the range leaves its interval. */
export const leaves = ({ min, max, interval }: WireRange): boolean =>
  interval !== undefined && (min < (interval[0] ?? -Infinity) || max > interval[1]);

/** Bars from the least to the greatest value of each layer, over the shaded interval the secured path is to stay in. */
export function rangeBars(
  id: string,
  title: string,
  ranges: readonly WireRange[],
  /** Ranges of all runs of the wire: the axis holds them, so that pictures of several runs compare. */
  all: readonly WireRange[] = ranges,
): Markup {
  const values = all.flatMap(({ min, max, interval }) => [min, max, ...(interval ?? [])]).filter((end) => end !== null);
  const low = values.reduce((a, b) => Math.min(a, b), Infinity);
  const high = values.reduce((a, b) => Math.max(a, b), -Infinity);
  const x = linearAxis([low, high], [NAMES, WIDTH - 20], { count: 6, widen: true });
  const bottom = ranges.length * ROW + 8;
  return h(
    'svg',
    {
      class: 'chart',
      viewBox: `0 0 ${WIDTH} ${bottom + 26}`,
      role: 'img',
      'aria-labelledby': `${id}-title ${id}-desc`,
    },
    h('title', { id: `${id}-title` }, title),
    h('desc', { id: `${id}-desc` }, 'Least and greatest value of each layer on dev texts, and the interval wanted.'),
    x.ticks.map((tick) => [
      h('line', { class: 'grid', x1: x.at(tick), x2: x.at(tick), y1: 4, y2: bottom }),
      h('text', { class: 'tick', x: x.at(tick), y: bottom + 18, 'text-anchor': 'middle' }, show(tick)),
    ]),
    ranges.map((range, i) => {
      const y = i * ROW + ROW / 2 + 4;
      const { layer, min, max, interval } = range;
      const from = x.at(interval?.[0] ?? x.ticks[0]!);
      return [
        interval === undefined
          ? undefined
          : h('rect', { class: 'wanted', x: from, width: x.at(interval[1]) - from, y: y - ROW / 2, height: ROW }),
        h('text', { class: 'tick', x: NAMES - 10, y: y + 4, 'text-anchor': 'end' }, `layer ${layer}`),
        h(
          'rect',
          { class: leaves(range) ? 'seen outside' : 'seen', x: x.at(min), width: Math.max(2, x.at(max) - x.at(min)), y: y - 5, height: 10, rx: 3 }, // prettier-ignore
          h('title', {}, `layer ${layer}: ${show(min)} to ${show(max)}`),
        ),
      ];
    }),
  );
}
