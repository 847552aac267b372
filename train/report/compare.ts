/** Runs side by side: results, what was set differently, and the spread over seeds. */
import type { Run } from './curves.ts';
import { titleOf } from './curves.ts';
import { h, type Markup } from './markup.ts';
import { show } from './scale.ts';
import { swatch } from './swatch.ts';
import { breakable, captioned } from './tables.ts';

const isNumbers = (value: unknown): value is number[] =>
  Array.isArray(value) && value.length > 0 && value.every((x) => typeof x === 'number');

/** What stands for an empty or absent setting. */
const NONE = '–';

/** Lists that the record holds as text. */
const LISTS = new Set(['labels', 'layers']);

/** Settings of a run as `path → text`, nested objects and lists flattened (`recipe.stages.1.learningRate`). */
export function settings({ record }: Run): Map<string, string> {
  const out = new Map<string, string>([
    ['command', record.command],
    ['seed', String(record.seed)],
    ['threads', String(record.threads)],
    ...Object.entries(record.dataHash).map(([role, hash]) => [`data.${role}`, hash.slice(0, 12)] as const),
    ...Object.entries(record.modelHash).map(([role, hash]) => [`model.${role}`, hash.slice(0, 12)] as const),
  ]);
  const visit = (path: string, value: unknown): void => {
    if (Array.isArray(value) && value.every((item) => typeof item !== 'object' || item === null)) {
      out.set(path, value.length === 0 ? NONE : value.join(', '));
    } else if (Array.isArray(value) && value.length > 0 && value.every(isNumbers)) {
      const inner = (value as unknown[][]).flat().map(Number);
      const [low, high] = [inner.reduce((a, b) => Math.min(a, b)), inner.reduce((a, b) => Math.max(a, b))];
      out.set(path, `${show(low)} to ${show(high)} (${value.length} × ${inner.length / value.length})`);
    } else if (typeof value === 'object' && value !== null) {
      for (const [name, inner] of Object.entries(value)) visit(path === '' ? name : `${path}.${name}`, inner);
    } else {
      const text = String(value);
      out.set(path, LISTS.has(path) ? text.split(',').join(', ') : text);
    }
  };
  visit('', record.config);
  return out;
}

/** Metrics for which less is better. */
const isLoss = (name: string): boolean => /(^|\.)loss$/.test(name);

/** Optimiser steps of a run. */
export const stepsOf = ({ record }: Run): number => record.curve.filter(({ values }) => 'rate' in values).length;

/** A duration as a person says it. */
export function duration(seconds: number): string {
  if (seconds < 60) return `${seconds.toFixed(seconds < 10 ? 1 : 0)} s`;
  const minutes = Math.round(seconds / 60);
  return minutes < 60 ? `${minutes} min` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

const metricNames = (runs: readonly Run[]): string[] => [
  ...new Set(runs.flatMap(({ record }) => Object.keys(record.metrics))),
];

/** Results of every run; the best of each metric is bold. */
export function resultsTable(runs: readonly Run[]): Markup {
  const metrics = metricNames(runs);
  // Figures of other data do not compare.
  const best = (run: Run, name: string): boolean => {
    const rivals = runs.filter(({ record }) => record.dataHash['dev'] === run.record.dataHash['dev']);
    const values = rivals.flatMap(({ record }) => record.metrics[name] ?? []);
    const top = values.reduce((a, b) => (isLoss(name) ? Math.min(a, b) : Math.max(a, b)));
    return values.length > 1 && run.record.metrics[name] === top;
  };
  const head = ['Run', 'Command', ...metrics.map(titleOf), 'Steps', 'Time'];
  return captioned(
    'Results of the saved weights. The best of each column is bold, among runs of the same dev data.',
    h(
      'table',
      {},
      h('thead', {}, h('tr', {}, head.map((name, i) => h('th', { scope: 'col', class: i < 2 ? undefined : 'number' }, name)))), // prettier-ignore
      h(
        'tbody',
        {},
        runs.map((run, i) =>
          h(
            'tr',
            {},
            h('th', { scope: 'row' }, h('span', { class: 'run' }, swatch(i), run.name)),
            h('td', {}, run.record.command),
            metrics.map((name) => {
              const value = run.record.metrics[name];
              const isBest = value !== undefined && best(run, name);
              return h('td', { class: isBest ? 'number best' : 'number' }, value === undefined ? '–' : show(value));
            }),
            h('td', { class: 'number' }, show(stepsOf(run))),
            h('td', { class: 'number' }, duration(run.record.seconds)),
          ),
        ),
      ),
    ),
  );
}

/** What a recipe says of itself, or of what stands in the table already. */
const REPEATED = new Set(['recipe.description', 'recipe.for', 'recipe.seed']);

/** Whether the setting is one of a stage that one run alone has: then its name says that, and the rest compares with nothing. */
function ofLoneStage(key: string, all: readonly Map<string, string>[]): boolean {
  const stage = /^recipe\.stages\.\d+\./.exec(key)?.[0];
  if (stage === undefined || key === `${stage}name`) return false;
  return all.filter((of) => of.has(`${stage}name`)).length === 1;
}

/** Settings that are not the same in all runs; undefined if all are. */
export function differencesTable(runs: readonly Run[]): Markup | undefined {
  const all = runs.map(settings);
  const keys = [...new Set(all.flatMap((of) => [...of.keys()]))];
  const set = keys.filter((key) => !REPEATED.has(key) && !ofLoneStage(key, all));
  const different = set.filter((key) => new Set(all.map((of) => of.get(key))).size > 1);
  if (different.length === 0) return undefined;
  return captioned(
    'Settings that differ between the runs; – stands for none.',
    h(
      'table',
      { class: 'settings' },
      h('thead', {}, h('tr', {}, h('th', { scope: 'col' }, 'Setting'), runs.map(({ name }) => h('th', { scope: 'col' }, name)))), // prettier-ignore
      h('tbody', {}, different.map((key) => h('tr', {}, h('th', { scope: 'row' }, h('code', {}, breakable(key))), all.map((of) => h('td', {}, of.get(key) ?? NONE))))), // prettier-ignore
    ),
  );
}

/** Mean and sample standard deviation of each metric over runs that differ in nothing but the seed. */
export function seedGroups(
  runs: readonly Run[],
): { readonly names: string[]; readonly metrics: Map<string, { mean: number; deviation: number }> }[] {
  const groups = new Map<string, Run[]>();
  for (const run of runs) {
    const same = [...settings(run)].filter(([key]) => key !== 'seed' && key !== 'recipe.seed' && key !== 'shift');
    const key = JSON.stringify(same);
    groups.set(key, [...(groups.get(key) ?? []), run]);
  }
  return [...groups.values()]
    .filter((group) => group.length > 1)
    .map((group) => ({
      names: group.map(({ name }) => name),
      metrics: new Map(
        metricNames(group).flatMap((name) => {
          const values = group.flatMap(({ record }) => record.metrics[name] ?? []);
          if (values.length < group.length) return [];
          const mean = values.reduce((a, b) => a + b, 0) / values.length;
          const variance = values.reduce((a, b) => a + (b - mean) ** 2, 0) / (values.length - 1);
          return [[name, { mean, deviation: Math.sqrt(variance) }] as const];
        }),
      ),
    }));
}

/** The groups of `seedGroups` as a table; undefined if there is none. */
export function seedsTable(runs: readonly Run[]): Markup | undefined {
  const groups = seedGroups(runs);
  if (groups.length === 0) return undefined;
  const metrics = [...new Set(groups.flatMap((group) => [...group.metrics.keys()]))];
  return captioned(
    'Runs that differ only in their seed: mean ± sample standard deviation.',
    h(
      'table',
      {},
      h('thead', {}, h('tr', {}, h('th', { scope: 'col' }, 'Runs'), metrics.map((name) => h('th', { scope: 'col', class: 'number' }, titleOf(name))))), // prettier-ignore
      h(
        'tbody',
        {},
        groups.map((group) =>
          h(
            'tr',
            {},
            h('th', { scope: 'row' }, group.names.join(', ')),
            metrics.map((name) => {
              const found = group.metrics.get(name);
              return h('td', { class: 'number' }, found === undefined ? '–' : `${show(found.mean)} ± ${show(found.deviation)}`); // prettier-ignore
            }),
          ),
        ),
      ),
    ),
  );
}
