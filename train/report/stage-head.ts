/** What stands above the charts of a stage: which runs took it, and what it was set to in each. */
import { keptStep, runsOf, type Run } from './curves.ts';
import { h, type Markup } from './markup.ts';
import { show } from './scale.ts';
import { swatch } from './swatch.ts';

interface Place {
  /** From 1. */
  readonly at: number;
  readonly of: number;
}

const recipeStages = ({ record }: Run): Record<string, unknown>[] => {
  const recipe = record.config['recipe'] as { stages?: unknown } | undefined;
  return Array.isArray(recipe?.stages) ? (recipe.stages as Record<string, unknown>[]) : [];
};

/** Where the stage stands in the run's recipe; undefined if the record does not say. */
function placeOf(run: Run, stage: string): Place | undefined {
  const stages = recipeStages(run);
  const index = stages.findIndex(({ name }) => name === stage);
  return index < 0 ? undefined : { at: index + 1, of: stages.length };
}

/** Steps, examples, rate and the weights that the stage gave, as the run has them. */
function settingsOf(run: Run, stage: string): string {
  const set = recipeStages(run).find(({ name }) => name === stage);
  const steps = run.record.curve.filter((p) => p.stage === stage && 'rate' in p.values).length;
  const outcome = run.record.outcomes?.find((o) => o.stage === stage);
  const kept = keptStep(run, stage);
  return [
    `${show(steps)} steps${set === undefined ? '' : ` of ${String(set['batchSize'])} examples`}`,
    ...(set === undefined ? [] : [`peak learning rate ${show(Number(set['learningRate']))}`]),
    ...(outcome?.stoppedEarly === true ? ['stopped early'] : []),
    ...(kept === undefined ? [] : [kept === steps ? 'weights of the last step kept' : `weights of step ${show(kept)} kept`]), // prettier-ignore
  ].join(', ');
}

/**
 * Heading and what follows it. The stage has a number where it has the same one in every run that took it; the key names these
 * runs and no others, with their settings where they differ.
 */
export function stageHead(runs: readonly Run[], stage: string): Markup[] {
  const drawn = runsOf(runs, stage);
  const places = drawn.map(({ run }) => placeOf(run, stage));
  const [first] = places;
  const alike = places.every((place) => place?.at === first?.at && place?.of === first?.of);
  const numbered = alike && first !== undefined && first.of > 1 ? `Stage ${first.at}: ${stage}` : `Stage “${stage}”`;
  const only = runs.length > 1 && drawn.length === 1 ? ` (${drawn[0]!.run.name})` : '';
  const details = drawn.map(({ run }, i) => {
    const place = places[i];
    const number = alike || place === undefined ? [] : [place.of === 1 ? 'its only stage' : `stage ${place.at} of ${place.of}`]; // prettier-ignore
    return [...number, settingsOf(run, stage)].join(', ');
  });
  const shared = new Set(details).size === 1;
  const key = drawn.map(
    ({ run, index }, i) =>
    h('li', {}, swatch(index), h('span', {}, run.name, shared ? undefined : h('span', { class: 'label' }, ` ${details[i]!}`))), // prettier-ignore
  );
  return [
    h('h2', {}, `${numbered}${only}`),
    ...(shared ? [h('p', { class: 'note' }, `${details[0]!}.`)] : []),
    ...(drawn.length > 1
      ? [h('ul', { class: shared ? 'legend' : 'legend rows', 'aria-label': 'Runs drawn' }, key)]
      : []),
  ];
}
