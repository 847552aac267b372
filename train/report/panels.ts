/** The charts of a stage, each in a card with its table. */
import {
  boundsOf,
  keptStep,
  lastStep,
  layerOf,
  runsOf,
  sample,
  series,
  smooth,
  smoothingWindow,
  thin,
  titleOf,
  valueNames,
  type Point,
  type Run,
} from './curves.ts';
import { lineChart, type Line } from './line-chart.ts';
import { h, type Attributes, type Markup } from './markup.ts';
import { show } from './scale.ts';
import { RAMP } from './style.ts';
import { runLook } from './swatch.ts';
import { fallback } from './tables.ts';

/** Points of a line: more than the pixels under it would be in vain. */
const THIN = 400;
const TABLE_ROWS = 12;

/** Rows by step of several series, evenly sampled from the longest. */
function tableOf(
  title: string,
  lines: readonly { readonly name: string; readonly points: readonly Point[] }[],
): Markup {
  const longest = lines.reduce((a, b) => (b.points.length > a.points.length ? b : a));
  const at = lines.map(({ points }) => new Map(points.map((p) => [p.x, p.y])));
  const rows = sample(longest.points, TABLE_ROWS).map(({ x }) => [
    show(x),
    ...at.map((values) => (values.has(x) ? show(values.get(x)!) : '–')),
  ]);
  return fallback(title, ['step', ...lines.map(({ name }) => name)], rows);
}

/** Whether a logarithmic axis serves better: all positive, over more than a factor of 30. */
function wantsLog(points: readonly Point[]): boolean {
  const values = points.map((p) => p.y).toSorted((a, b) => a - b);
  const low = values[0]!;
  return low > 0 && values.at(-1)! / low > 30;
}

function valuePanel(runs: readonly Run[], stage: string, name: string, id: string): Markup {
  const found = runs
    .map((run, index) => ({
      name: run.name,
      points: series(run, stage, name),
      look: runLook(index),
      kept: keptStep(run, stage),
    }))
    .filter(({ points }) => points.length > 0);
  const measured = name.startsWith('dev.');
  const noisy = !measured && name !== 'rate';
  const window = smoothingWindow(found.reduce((a, b) => (b.points.length > a.length ? b.points : a), found[0]!.points));
  const smoothed = noisy && window > 1;
  const lines: Line[] = found.map(({ points, kept, ...line }) => ({
    ...line,
    ...(measured ? { ring: kept } : {}),
    points: thin(smoothed ? smooth(points, window) : points, THIN),
    ...(smoothed ? { behind: thin(points, THIN) } : {}),
    dots: measured,
  }));
  const title = titleOf(name);
  const ends = found.map(({ name: run, points }) => `${run} ends at ${show(points.at(-1)!.y)}`).join('; ');
  const log = name !== 'rate' && !measured && wantsLog(lines.flatMap((line) => line.points));
  const remarks = [
    ...(smoothed ? [`smoothed over ${window} steps`] : []),
    ...(log ? ['logarithmic axis'] : []),
    ...(measured ? keptRemark(found) : []),
    ...(found.length === 1 ? [`last ${show(found[0]!.points.at(-1)!.y)}`] : []),
  ];
  return h(
    'section',
    { class: 'card' },
    h('h3', {}, title),
    lineChart({
      id,
      title: `${title}, stage ${stage}`,
      description: `By step. ${ends}.`,
      lines,
      steps: lastStep(runs, stage),
      log,
      within: boundsOf(name),
    }),
    remarks.length > 0 ? h('p', { class: 'label' }, remarks.join(' · ')) : undefined,
    tableOf(title, found),
  );
}

/** What the rings are, and of a single run the value there. */
function keptRemark(
  found: readonly { readonly points: readonly Point[]; readonly kept: number | undefined }[],
): string[] {
  const rings = found.flatMap(({ points, kept }) => points.filter((p) => p.x === kept));
  if (rings.length === 0) return [];
  return found.length > 1 ? ['ringed: the weights kept'] : [`kept ${show(rings[0]!.y)} (step ${show(rings[0]!.x)})`];
}

/**
 * Look of one of `count` layers: a place on a sequential ramp, and dashes that differ from its neighbours', so that lines are told
 * apart without colours too.
 */
function layerLook(i: number, count: number): Attributes {
  const at = (i / Math.max(1, count - 1)) * (RAMP.length - 1);
  const k = Math.min(RAMP.length - 2, Math.floor(at));
  return {
    style: `--ink:color-mix(in oklab,var(--${RAMP[k + 1]}) ${Math.round(100 * (at - k))}%,var(--${RAMP[k]}))`,
    'stroke-dasharray': [undefined, '7 5', '0.5 4'][i % 3],
  };
}

const LAYER_TITLES: Readonly<Record<string, string>> = {
  hidden: 'Hidden states, error by layer',
  scores: 'Attention scores, error by layer',
};

function layerPanel(
  run: Run,
  stage: string,
  kind: string,
  layers: readonly number[],
  id: string,
  others: readonly Run[],
): Markup {
  const found = layers.map((layer, i) => ({
    name: `layer ${layer}`,
    points: series(run, stage, `${kind}.${layer}`),
    label: String(layer),
    look: layerLook(i, layers.length),
  }));
  const smoothed = (points: readonly Point[]): Point[] => smooth(points, smoothingWindow(points));
  const lines = found.map((line) => ({ ...line, points: smoothed(line.points) }));
  const span = others.flatMap((other) =>
    layers.flatMap((layer) => smoothed(series(other, stage, `${kind}.${layer}`)).map((p) => p.y)),
  );
  const title = `${LAYER_TITLES[kind]}${others.length > 1 ? `: ${run.name}` : ''}`;
  const log = wantsLog(span.map((y) => ({ x: 0, y })));
  const rows = found.map(({ name, points }) => [name, show(points[0]!.y), show(points.at(-1)!.y)]);
  const worst = found.reduce((a, b) => (b.points.at(-1)!.y > a.points.at(-1)!.y ? b : a));
  const remarks = [
    'a line’s number is its layer',
    `largest at the end: ${worst.name}, ${show(worst.points.at(-1)!.y)}`,
    ...(log ? ['logarithmic axis'] : []),
  ];
  return h(
    'section',
    { class: 'card' },
    h('h3', {}, title),
    // One step makes no curve: then the table says it all.
    lines.every(({ points }) => points.length < 2)
      ? undefined
      : [
          lineChart({
            id,
            title: `${title}, stage ${stage}`,
            description: `One line a layer. At the end ${worst.name} has the largest error, ${show(worst.points.at(-1)!.y)}.`,
            lines,
            steps: lastStep(others, stage),
            log,
            span,
          }),
          h('p', { class: 'label' }, remarks.join(' · ')),
        ],
    fallback(title, ['layer', 'first', 'last'], rows),
  );
}

/** Values measured once, at the end of the stage: a table says more than charts of one point. */
function endPanel(runs: readonly Run[], stage: string, names: readonly string[]): Markup {
  return h(
    'section',
    { class: 'card' },
    h('h3', {}, 'At the end of the stage'),
    h(
      'div',
      { class: 'scroll' },
      h(
        'table',
        {},
        runs.length === 1
          ? undefined
          : h(
              'thead',
              {},
              h(
                'tr',
                {},
                h('td', {}),
                runs.map(({ name }) => h('th', { scope: 'col', class: 'number' }, name)),
              ),
            ),
        h(
          'tbody',
          {},
          names.map((name) =>
            h(
              'tr',
              {},
              h('th', { scope: 'row' }, titleOf(name)),
              runs.map((run) => {
                const value = series(run, stage, name)[0]?.y;
                return h('td', { class: 'number' }, value === undefined ? '–' : show(value));
              }),
            ),
          ),
        ),
      ),
    ),
  );
}

/** Order of the cards: results first, what drives the optimiser last. */
const RANK = ['dev.', 'loss', 'labels', 'logits', 'hidden', 'scores', 'ranges'];
const rank = (name: string): number => {
  const i = RANK.findIndex((start) => name.startsWith(start));
  // The loss on dev data belongs beside the losses.
  return name === 'dev.loss' ? 0.5 : i < 0 ? RANK.length : i;
};

/** All charts of a stage: metrics, losses, errors by layer, rate and norm. `prefix` keeps ids unique. */
export function stagePanels(runs: readonly Run[], stage: string, prefix: string): Markup[] {
  const drawn = runsOf(runs, stage).map(({ run }) => run);
  const names = valueNames(runs, stage);
  const plain = names.filter((name) => layerOf(name) === undefined).toSorted((a, b) => rank(a) - rank(b));
  const once = plain.filter((name) => runs.every((run) => series(run, stage, name).length <= 1));
  const curved = plain.filter((name) => !once.includes(name));
  const panels = curved.map((name, i) => ({ name, panel: valuePanel(runs, stage, name, `${prefix}-${i}`) }));
  const layered: Markup[] = [];
  for (const kind of ['hidden', 'scores']) {
    for (const [index, run] of runs.entries()) {
      const layers = valueNames([run], stage).flatMap((name) => {
        const of = layerOf(name);
        return of?.[0] === kind ? [of[1]] : [];
      });
      if (layers.length === 0) continue;
      layered.push(layerPanel(run, stage, kind, layers, `${prefix}-${kind}-${index}`, drawn));
    }
  }
  const ends = once.length === 0 ? [] : [endPanel(drawn, stage, once)];
  const last = panels.findIndex(({ name }) => rank(name) === RANK.length);
  const before = last < 0 ? panels.length : last;
  return [
    ...ends,
    ...panels.slice(0, before).map((p) => p.panel),
    ...layered,
    ...panels.slice(before).map((p) => p.panel),
  ];
}
