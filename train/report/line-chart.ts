/** Line charts as inline SVG; colours come from the page's style sheet, by class. */
import type { Point } from './curves.ts';
import { apart, spreadOut } from './end-labels.ts';
import { h, type Attributes, type Markup } from './markup.ts';
import { linearAxis, logAxis, show, type Axis } from './scale.ts';

export interface Line {
  readonly name: string;
  readonly points: readonly Point[];
  /** Class (of the style sheet) or colour of the line. */
  readonly look: Attributes;
  /** The values before smoothing, drawn faintly behind. */
  readonly behind?: readonly Point[];
  /** Mark every point: evaluations, of which there are few. */
  readonly dots?: boolean;
  /** Step of the point to ring: the weights that were kept. */
  readonly ring?: number | undefined;
  /** Short name to write where the line ends. */
  readonly label?: string;
}

export interface LineChart {
  /** Unique on the page; ids of title and description derive from it. */
  readonly id: string;
  readonly title: string;
  readonly description: string;
  readonly lines: readonly Line[];
  /** Where the step axis ends; it begins at 0. The same for all charts of a stage, so that they compare. */
  readonly steps: number;
  readonly log?: boolean;
  /** Values the vertical axis must hold besides the lines', so that charts of several runs compare. */
  readonly span?: readonly number[];
  /** Least and greatest value there can be (a share: 0 and 1), which the vertical axis does not leave. */
  readonly within?: readonly [number, number] | undefined;
}

export const WIDTH = 460;
export const HEIGHT = 232;
const LEFT = 56;
const RIGHT = 16;
const TOP = 12;
const BOTTOM = 40;
/** Room for names at the ends of lines, between two of them, and how many there is room for. */
const LABELS = 34;
const LABEL_GAP = 12;
const MOST_LABELS = 13;

const extent = (values: readonly number[]): [number, number] => [
  values.reduce((a, b) => Math.min(a, b), Infinity),
  values.reduce((a, b) => Math.max(a, b), -Infinity),
];

/** Pixels to a tenth: finer than any screen shows, and short. */
const px = (value: number): string => String(Math.round(value * 10) / 10);

const path = (points: readonly Point[], x: Axis, y: Axis): string =>
  points.map((p, i) => `${i === 0 ? 'M' : 'L'}${px(x.at(p.x))} ${px(y.at(p.y))}`).join('');

/** Values far from the rest (a first step of ten times the loss) may leave the picture: this share at each end. */
const CLIPPED = 0.005;

function visible(values: readonly number[]): [number, number] {
  const sorted = values.toSorted((a, b) => a - b);
  const cut = Math.floor(sorted.length * CLIPPED);
  return [sorted[cut]!, sorted[sorted.length - 1 - cut]!];
}

/** The SVG of a chart with at least one point. */
export function lineChart({ id, title, description, lines, steps, log = false, span = [], within }: LineChart): Markup {
  const right = WIDTH - (lines.some(({ label }) => label !== undefined) ? LABELS : RIGHT);
  const drawn = lines.flatMap((line) => line.points);
  const faint = lines.flatMap((line) => line.behind ?? []).map((p) => p.y);
  const [low, high] = extent([...span, ...drawn.map((p) => p.y), ...(faint.length > 0 ? visible(faint) : [])]);
  const x = linearAxis([0, steps], [LEFT, right], { count: Math.min(5, steps) });
  const vertical = [HEIGHT - BOTTOM, TOP] as const;
  const y =
    log && low > 0 ? logAxis([low, high], vertical) : linearAxis([low, high], vertical, { widen: true, within });
  const clip = `${id}-clip`;
  const frame = { x: LEFT, y: TOP - 4, width: right - LEFT + 4, height: HEIGHT - TOP - BOTTOM + 8 };
  return h(
    'svg',
    { class: 'chart', viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: 'img', 'aria-labelledby': `${id}-title ${id}-desc` },
    h('title', { id: `${id}-title` }, title),
    h('desc', { id: `${id}-desc` }, description),
    h('clipPath', { id: clip }, h('rect', frame)),
    y.ticks.map((tick) => [
      h('line', { class: 'grid', x1: LEFT, x2: right, y1: px(y.at(tick)), y2: px(y.at(tick)) }),
      h('text', { class: 'tick', x: LEFT - 8, y: px(y.at(tick) + 4), 'text-anchor': 'end' }, show(tick)),
    ]),
    x.ticks.map((tick) =>
      h('text', { class: 'tick', x: px(x.at(tick)), y: HEIGHT - BOTTOM + 18, 'text-anchor': 'middle' }, show(tick)),
    ),
    h('text', { class: 'axis', x: (LEFT + right) / 2, y: HEIGHT - 5, 'text-anchor': 'middle' }, 'step'),
    h(
      'g',
      { 'clip-path': `url(#${clip})` },
      lines.map(({ behind, look }) =>
        behind === undefined
          ? undefined
          : h('path', { ...look, class: `faint ${look['class'] ?? ''}`, d: path(behind, x, y) }),
      ),
      lines.map(({ points, look }) =>
        h('path', { ...look, class: `line ${look['class'] ?? ''}`, d: path(points, x, y) }),
      ),
      lines.map(({ points, look, dots, name }) =>
        dots || points.length === 1
          ? points.map((p) =>
              h(
                'circle',
                { ...look, class: `dot ${look['class'] ?? ''}`, cx: px(x.at(p.x)), cy: px(y.at(p.y)), r: 3.5 },
                h('title', {}, `${name}, step ${show(p.x)}: ${show(p.y)}`),
              ),
            )
          : undefined,
      ),
    ),
    // Not clipped: the last step stands at the edge.
    lines.flatMap(({ points, look, ring }) =>
      points
        .filter((p) => p.x === ring)
        .map((p) =>
          h('circle', { ...look, class: `ring ${look['class'] ?? ''}`, cx: px(x.at(p.x)), cy: px(y.at(p.y)), r: 7 }),
        ),
    ),
    endLabels(lines, x, y),
  );
}

/** Names of the lines right of where they end, each joined to the end of its line. */
function endLabels(lines: readonly Line[], x: Axis, y: Axis): Markup[] {
  const named = lines.filter(({ label, points }) => label !== undefined && points.length > 0);
  const shown = spreadOut(named.length, MOST_LABELS).map((i) => named[i]!);
  const ends = shown.map(({ points }) => points.at(-1)!);
  const right = ends.reduce((most, end) => Math.max(most, x.at(end.x)), LEFT);
  const places = apart(ends.map((end) => y.at(end.y)), LABEL_GAP, [TOP, HEIGHT - BOTTOM]); // prettier-ignore
  return shown.flatMap(({ label, look }, i) => [
    h('path', {
      style: look['style'],
      class: `leader ${look['class'] ?? ''}`,
      d: `M${px(x.at(ends[i]!.x) + 3)} ${px(y.at(ends[i]!.y))}L${px(right + 14)} ${px(places[i]!)}`,
    }),
    h('text', { style: look['style'], class: 'end', x: right + 17, y: px(places[i]! + 4) }, label),
  ]);
}
