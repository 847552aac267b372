/** Labels of classification and regression data, as written in a file, and the numbers a model works with. */
import { InputError } from '../common/errors.ts';
import { quoted } from './columns.ts';
import { placeOf, type Dataset } from './read.ts';

/** Class numbers are whole numbers without sign or leading zeros. */
const CLASS_NUMBER = /^(0|[1-9][0-9]*)$/;
const MAX_CLASSES = 1000;
/** Classes that a message names. */
const NAMED = 20;

function noLabel(data: Dataset, i: number): InputError {
  const hint = 'Name it with --label-column; if the file has no header line, by number (--label-column 2).';
  if (data.columns === undefined) return new InputError(`${placeOf(data, i)} has no label`, hint);
  return data.columns.length === 0
    ? new InputError(`${data.source}: plain text has no labels`, 'Give TSV, CSV, JSONL or Parquet with a column of labels.') // prettier-ignore
    : new InputError(
        `${data.source}: no column of a known name holds the label; columns: ${quoted(data.columns)}`,
        hint,
      );
}

/**
 * Class names found in the data, sorted: numbers by value, others by code unit. The order is the classes' numbering.
 * @throws InputError if an example has no label, there are fewer than two classes or more than 1000, or all are numbers and not all whole
 */
export function labelsOf(data: Dataset): string[] {
  const names = new Set<string>();
  data.examples.forEach(({ label }, i) => {
    if (label === undefined) throw noLabel(data, i);
    names.add(label);
  });
  if (names.size < 2) {
    throw new InputError(
      `${data.source}: every label is '${[...names].join('')}'`,
      'Give data with at least two classes, or --regression for scores.',
    );
  }
  if (names.size > MAX_CLASSES) {
    throw new InputError(`${data.source}: ${names.size} different labels`, 'For scores give --regression.');
  }
  const list = [...names];
  const fraction = list.find((name) => Number(name) % 1 !== 0);
  if (fraction !== undefined && list.every((name) => name.trim() !== '' && Number.isFinite(Number(name)))) {
    throw new InputError(`${data.source}: labels are numbers such as ${fraction}`, 'For scores give --regression.');
  }
  return list.every((name) => CLASS_NUMBER.test(name))
    ? list.toSorted((a, b) => Number(a) - Number(b))
    : list.toSorted((a, b) => (a < b ? -1 : 1));
}

/**
 * The class a label means: its name, or its number where the classes are named by words (a model's `LABEL_0`, or names
 * for what the file numbers). Where names are numbers themselves, a number is a name and nothing else. Undefined: none.
 */
export function classOf(label: string, labels: readonly string[]): number | undefined {
  const named = labels.indexOf(label);
  if (named >= 0) return named;
  if (labels.some((name) => CLASS_NUMBER.test(name))) return undefined;
  return CLASS_NUMBER.test(label) && Number(label) < labels.length ? Number(label) : undefined;
}

/**
 * What a model with these labels is to predict for each example: a class number, or for regression the score.
 * @throws InputError naming file, line and label for one that is none of the classes, or no finite number
 */
export function targetsOf(data: Dataset, labels: readonly string[], regression: boolean): number[] {
  return data.examples.map(({ label }, i) => {
    if (label === undefined) throw noLabel(data, i);
    if (regression) {
      const score = Number(label);
      if (label.trim() !== '' && Number.isFinite(score)) return score;
      throw new InputError(`${placeOf(data, i)}: '${label}' is no score`, 'Regression needs numbers.');
    }
    const found = classOf(label, labels);
    if (found !== undefined) return found;
    throw new InputError(
      `${placeOf(data, i)}: label '${label}' is none of the classes`,
      `The classes are: ${labels.slice(0, NAMED).join(', ')}${labels.length > NAMED ? `, … (${labels.length})` : ''}.`,
    );
  });
}

/** Examples of each class. */
export function classCounts(targets: readonly number[], classes: number): number[] {
  const counts = Array.from({ length: classes }, () => 0);
  for (const target of targets) counts[target]!++;
  return counts;
}

/**
 * Weights by which every class counts alike: examples / (classes · examples of the class), scikit-learn's `balanced`. Their
 * mean over the examples is 1.
 * @throws InputError if a class has no example
 */
export function classWeights(targets: readonly number[], labels: readonly string[]): number[] {
  const counts = classCounts(targets, labels.length);
  const empty = counts.indexOf(0);
  if (empty >= 0) {
    throw new InputError(`no example of class '${labels[empty]}'`, 'Leave class weights out, or give such examples.');
  }
  return counts.map((count) => targets.length / (labels.length * count));
}
