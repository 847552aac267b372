/** The other pictures: confusion matrix, targets against predictions, ranges against intervals. */
import type { RunRecord } from '../../checkpoints/run-record.ts';
import { h, type Markup } from './markup.ts';
import { linearAxis, show } from './scale.ts';

type Evaluation = NonNullable<RunRecord['evaluation']>;
export type Confusion = Extract<Evaluation, { kind: 'classes' }>;
export type Scores = Extract<Evaluation, { kind: 'scores' }>;
export type WireRange = NonNullable<RunRecord['ranges']>[number];

const percent = (share: number): string => `${(100 * share).toFixed(share > 0 && share < 0.0995 ? 1 : 0)} %`;

/** A table whose cells are tinted by their share of the row: actual classes down, predicted classes across. */
export function confusionTable({ labels, confusion }: Confusion): Markup {
  return h(
    'div',
    { class: 'scroll' },
    h(
      'table',
      { class: 'confusion' },
      h('caption', {}, 'Rows: actual class; columns: predicted class. Counts, and their share of the row.'),
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
const EDGE = 44;

/** Predictions over targets; a perfect model is on the diagonal. */
export function scatter(id: string, { pairs }: Scores): Markup {
  const values = pairs.flat();
  const low = values.reduce((a, b) => Math.min(a, b), Infinity);
  const high = values.reduce((a, b) => Math.max(a, b), -Infinity);
  const span = [EDGE, SIDE - 12] as const;
  const x = linearAxis([low, high], span, { count: 5, widen: true });
  const y = { ...x, at: (value: number) => SIDE - x.at(value) };
  const [from, to] = [x.ticks[0]!, x.ticks.at(-1)!];
  return h(
    'svg',
    { class: 'chart square', viewBox: `0 0 ${SIDE} ${SIDE}`, role: 'img', 'aria-labelledby': `${id}-title ${id}-desc` },
    h('title', { id: `${id}-title` }, 'Predictions against targets'),
    h('desc', { id: `${id}-desc` }, `${pairs.length} dev examples; a perfect model is on the diagonal.`),
    x.ticks.map((tick) => [
      h('line', { class: 'grid', x1: EDGE, x2: SIDE - 12, y1: y.at(tick), y2: y.at(tick) }),
      h('text', { class: 'tick', x: EDGE - 8, y: y.at(tick) + 4, 'text-anchor': 'end' }, show(tick)),
      h('text', { class: 'tick', x: x.at(tick), y: SIDE - EDGE + 18, 'text-anchor': 'middle' }, show(tick)),
    ]),
    h('line', { class: 'ideal', x1: x.at(from), y1: y.at(from), x2: x.at(to), y2: y.at(to) }),
    pairs.map(([target, prediction]) =>
      h('circle', { class: 'mark', cx: x.at(target).toFixed(1), cy: y.at(prediction).toFixed(1), r: 2.5 }),
    ),
    h('text', { class: 'axis', x: (EDGE + SIDE - 12) / 2, y: SIDE - 6, 'text-anchor': 'middle' }, 'target'),
    h('text', { class: 'axis', x: 0, y: 0, 'text-anchor': 'middle', transform: `translate(11 ${(SIDE - EDGE + 12) / 2}) rotate(-90)` }, 'prediction'), // prettier-ignore
  );
}

const ROW = 24;
const NAMES = 72;
const WIDTH = 460;

/** Whether the range leaves its interval. */
export const leaves = ({ min, max, interval }: WireRange): boolean =>
  interval !== undefined && (min < interval[0] || max > interval[1]);

/** Bars from the least to the greatest value of each layer, over the shaded interval the secured path is to stay in. */
export function rangeBars(
  id: string,
  title: string,
  ranges: readonly WireRange[],
  /** Ranges of all runs of the wire: the axis holds them, so that pictures of several runs compare. */
  all: readonly WireRange[] = ranges,
): Markup {
  const values = all.flatMap(({ min, max, interval }) => [min, max, ...(interval ?? [])]);
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
      return [
        interval === undefined
          ? undefined
          : h('rect', { class: 'wanted', x: x.at(interval[0]), width: x.at(interval[1]) - x.at(interval[0]), y: y - ROW / 2, height: ROW }), // prettier-ignore
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
