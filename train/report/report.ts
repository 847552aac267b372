/** One self-contained page about one or several training runs: no script, nothing loaded from anywhere. */
import { stageNames, titleOf, type Run } from './curves.ts';
import { differencesTable, duration, resultsTable, seedsTable, settings, stepsOf } from './compare.ts';
import { h, raw, type Markup } from './markup.ts';
import { stagePanels } from './panels.ts';
import { confusionTable, leaves, rangeBars, residuals, scatter, type WireRange } from './plots.ts';
import { show } from './scale.ts';
import { stageHead } from './stage-head.ts';
import { STYLE } from './style.ts';
import { runLook } from './swatch.ts';
import { breakable, fallback } from './tables.ts';

export type { Run } from './curves.ts';

const day = (started: string): string => `${started.slice(0, 10)} ${started.slice(11, 16)} UTC`;

function figures({ record }: Run, steps: number): Markup {
  const shown: [label: string, value: string][] = [
    ...Object.entries(record.metrics).map(([name, value]): [string, string] => [titleOf(name), show(value)]),
    ['Optimiser steps', show(steps)],
    ['Wall-clock time', duration(record.seconds)],
    ['Seed', show(record.seed)],
  ];
  return h(
    'div',
    { class: 'cards' },
    shown.map(([label, value]) =>
      h('div', { class: 'card' }, h('p', { class: 'figure' }, value), h('p', { class: 'label' }, label)),
    ),
  );
}

function evaluationSection(runs: readonly Run[]): Markup | undefined {
  const found = runs.flatMap(({ name, record }, i) =>
    record.evaluation === undefined ? [] : [{ name, i, evaluation: record.evaluation }],
  );
  if (found.length === 0) return undefined;
  return h(
    'section',
    {},
    h('h2', {}, 'Answers on dev data'),
    h(
      'div',
      { class: 'grid' },
      found.flatMap(({ name, i, evaluation }) => {
        const run = runs.length > 1 ? `: ${name}` : '';
        if (evaluation.kind === 'classes')
          return [answersCard(`Confusion matrix${run}`, i, confusionTable(evaluation))];
        return [
          answersCard(`Predictions against targets${run}`, i, scatter(`scatter-${i}`, evaluation)),
          answersCard(`Residuals${run}`, i, residuals(`residuals-${i}`, evaluation), residualTable(evaluation.pairs)),
        ];
      }),
    ),
  );
}

/** A card whose marks have the colour of the run. */
const answersCard = (title: string, run: number, ...content: Markup[]): Markup =>
  h('section', { class: `card ${runLook(run)['class']}` }, h('h3', {}, title), content);

/** Distribution of prediction − target. */
function residualTable(pairs: readonly (readonly [number, number])[]): Markup {
  const sorted = pairs.map(([target, prediction]) => prediction - target).toSorted((a, b) => a - b);
  const at = (q: number): number => sorted[Math.round(q * (sorted.length - 1))]!;
  const mean = sorted.reduce((a, b) => a + b, 0) / sorted.length;
  const rows: [string, number][] = [
    ['mean', mean],
    ['root mean square', Math.sqrt(sorted.reduce((a, b) => a + b * b, 0) / sorted.length)],
    ['least', at(0)],
    ['5 %', at(0.05)],
    ['median', at(0.5)],
    ['95 %', at(0.95)],
    ['greatest', at(1)],
  ];
  return fallback(
    'Prediction − target',
    ['', 'residual'],
    rows.map(([name, value]) => [name, show(value)]),
  );
}

function rangesSection(runs: readonly Run[]): Markup | undefined {
  const ofWire = (wire: string): WireRange[] =>
    runs.flatMap(({ record }) => (record.ranges ?? []).filter((range) => range.wire === wire));
  const wires = [...new Set(runs.flatMap(({ record }) => (record.ranges ?? []).map(({ wire }) => wire)))];
  // By wire, then by run: what is compared stands side by side.
  const cards = wires.flatMap((wire, i) =>
    runs.flatMap(({ name, record }, j) => {
      const ranges = (record.ranges ?? []).filter((range) => range.wire === wire);
      if (ranges.length === 0) return [];
      return [rangeCard(`range-${i}-${j}`, wire, runs.length > 1 ? name : undefined, ranges, ofWire(wire))];
    }),
  );
  if (cards.length === 0) return undefined;
  return h(
    'section',
    {},
    h('h2', {}, 'Activation ranges'),
    h(
      'p',
      { class: 'note' },
      'Least and greatest values over real tokens of dev texts. Shaded: the interval that the range penalty of training aims at, where the approximations of the secured path are cheapest. Values outside are not wrong: the export fits its approximations to the ranges that it measures, and wider ranges cost more.',
    ),
    h('div', { class: 'grid' }, cards),
  );
}

function rangeCard(
  id: string,
  wire: string,
  run: string | undefined,
  unsorted: readonly WireRange[],
  everyRun: readonly WireRange[],
): Markup {
  const ranges = unsorted.toSorted((a, b) => a.layer - b.layer);
  const title = wire.charAt(0).toUpperCase() + wire.slice(1);
  const outside = ranges.filter(leaves).map(({ layer }) => layer);
  const bounded = ranges.some(({ interval }) => interval !== undefined);
  const where =
    outside.length === ranges.length
      ? 'every layer'
      : `${outside.length === 1 ? 'layer' : 'layers'} ${outside.join(', ')}`;
  const status =
    outside.length === 0
      ? h('span', { class: 'status in' }, '✓ inside in every layer')
      : h('span', { class: 'status out' }, `↔ beyond the shaded interval in ${where}`);
  return h(
    'section',
    { class: 'card' },
    h('h3', {}, run === undefined ? title : `${title}: ${run}`),
    rangeBars(id, title, ranges, everyRun),
    bounded ? h('p', { class: 'label' }, status) : undefined,
    fallback(
      title,
      ['layer', 'least', 'greatest', 'wanted'],
      ranges.map(({ layer, min, max, interval }) => [
        String(layer),
        show(min),
        show(max),
        interval === undefined ? '–' : wanted(interval),
      ]),
    ),
  );
}

const wanted = ([least, most]: NonNullable<WireRange['interval']>): string =>
  least === null ? `at most ${show(most)}` : `${show(least)} to ${show(most)}`;

function provenance(run: Run): Markup {
  const { record } = run;
  const rows = [
    ...Object.entries(record.versions).map(([name, value]) => [`version.${name}`, value] as const),
    ...Object.entries(record.dataHash).map(([role, hash]) => [`sha256 of ${role} data`, hash] as const),
    ...Object.entries(record.modelHash).map(([role, hash]) => [`sha256 of ${role} weights`, hash] as const),
    ...[...settings(run)].filter(([key]) => !/^(data|model)\./.test(key)),
  ];
  return h(
    'details',
    { class: 'card' },
    h('summary', {}, `${run.name}: every setting, hash and version`),
    h(
      'div',
      { class: 'scroll' },
      h(
        'table',
        {},
        h('tbody', {}, rows.map(([name, value]) => h('tr', {}, h('th', { scope: 'row' }, breakable(name)), h('td', {}, h('code', {}, value))))), // prettier-ignore
      ),
    ),
  );
}

/**
 * The page, for at least one run; runs are told apart by their names, which must be unique. Equal runs give equal pages.
 */
export function reportHtml(
  runs: readonly Run[],
  title = runs.length === 1 ? `Training run ${runs[0]!.name}` : `${runs.length} training runs`,
): string {
  const first = runs[0]!;
  const many = runs.length > 1;
  const began = runs.map(({ record }) => record.started).toSorted();
  const when = many ? `${day(began[0]!)} to ${day(began.at(-1)!)}` : day(began[0]!);
  const stages = stageNames(runs);
  const page = h(
    'html',
    { lang: 'en' },
    h(
      'head',
      {},
      h('meta', { charset: 'utf-8' }),
      h('meta', { name: 'viewport', content: 'width=device-width, initial-scale=1' }),
      h('meta', { name: 'color-scheme', content: 'light dark' }),
      h('title', {}, title),
      h('style', {}, raw(STYLE)),
    ),
    h(
      'body',
      {},
      h(
        'main',
        {},
        h(
          'header',
          {},
          h('h1', {}, title),
          h(
            'p',
            { class: 'note' },
            many ? when : `${first.record.command} · ${when} · ${first.record.threads} threads`,
          ),
        ),
        many
          ? h('section', {}, h('h2', {}, 'Results'), h('div', { class: 'card' }, resultsTable(runs)), card(seedsTable(runs)), card(differencesTable(runs))) // prettier-ignore
          : figures(first, stepsOf(first)),
        evaluationSection(runs),
        stages.map((stage, i) =>
          h('section', {}, stageHead(runs, stage), h('div', { class: 'grid' }, stagePanels(runs, stage, `stage-${i}`))),
        ),
        rangesSection(runs),
        h('section', {}, h('h2', {}, 'To repeat it'), runs.map(provenance)),
      ),
    ),
  );
  return `<!doctype html>\n${page.markup}\n`;
}

const card = (content: Markup | undefined): Markup | undefined =>
  content === undefined ? undefined : h('div', { class: 'card', style: 'margin-top:16px' }, content);
