/** Data sets made ready for training: token ids and numeric targets. */
import { InputError } from '../common/errors.ts';
import type { Dataset } from '../data/read.ts';
import type { Encoding, Tokenizer } from '../data/tokenizer.ts';

/** Encodings with a target each: a class number, or for regression a score. */
export interface Prepared {
  readonly encodings: readonly Encoding[];
  /** Absent where the data has no labels. */
  readonly targets: readonly number[] | undefined;
  readonly hash: string;
  readonly source: string;
  /** Texts that were cut to the maximal length. */
  readonly truncated: number;
}

/** Class numbers are whole numbers without sign or leading zeros. */
const CLASS_NUMBER = /^(0|[1-9][0-9]*)$/;

/**
 * Class names found in the data, sorted (numbers by value). The order is the classes' numbering.
 * @throws InputError if an example has no label or there are fewer than two classes
 */
export function classNames(data: Dataset): string[] {
  const names = new Set<string>();
  data.examples.forEach(({ label }, i) => {
    if (label === undefined) throw noLabel(data.source, i);
    names.add(label);
  });
  if (names.size < 2) {
    throw new InputError(
      `${data.source}: every label is '${[...names].join('')}'`,
      'Give data with at least two classes, or --regression for scores.',
    );
  }
  if (names.size > 1000) {
    throw new InputError(`${data.source}: ${names.size} different labels`, 'For scores give --regression.');
  }
  const list = [...names];
  return list.every((n) => CLASS_NUMBER.test(n))
    ? list.toSorted((a, b) => Number(a) - Number(b))
    : list.toSorted((a, b) => (a < b ? -1 : 1));
}

const noLabel = (source: string, i: number): InputError =>
  new InputError(`${source}: example ${i + 1} has no label`, 'Name the column with --label-column.');

/** Classes by name, or by number; scores for regression. @throws InputError naming the example */
function readTargets(data: Dataset, labels: readonly string[], regression: boolean): number[] {
  return data.examples.map(({ label }, i) => {
    if (label === undefined) throw noLabel(data.source, i);
    if (regression) {
      const score = Number(label);
      if (label.trim() !== '' && Number.isFinite(score)) return score;
      throw new InputError(`${data.source}: example ${i + 1}: '${label}' is no score`, 'Regression needs numbers.');
    }
    const named = labels.indexOf(label);
    if (named >= 0) return named;
    if (CLASS_NUMBER.test(label) && Number(label) < labels.length) return Number(label);
    throw new InputError(
      `${data.source}: example ${i + 1}: label '${label}' is none of the model's`,
      `The model's labels are: ${labels.join(', ')}.`,
    );
  });
}

/**
 * Tokenises; longer texts are cut at `maxLength` (the longer text of a pair first).
 * @throws InputError for a label the model does not have, or labels needed and absent
 */
export function prepare(
  data: Dataset,
  tokenizer: Tokenizer,
  options: {
    readonly labels: readonly string[];
    readonly regression: boolean;
    readonly maxLength: number;
    readonly needLabels: boolean;
  },
): Prepared {
  const { maxLength } = options;
  let truncated = 0;
  const encodings = data.examples.map(({ text, pair }) => {
    const whole = tokenizer.encode(text, pair, {});
    if (whole.ids.length <= maxLength) return whole;
    truncated++;
    return tokenizer.encode(text, pair, { maxLength, truncation: 'longest_first' });
  });
  const labelled = options.needLabels || data.examples.every(({ label }) => label !== undefined);
  const targets = labelled ? readTargets(data, options.labels, options.regression) : undefined;
  return { encodings, targets, hash: data.hash, source: data.source, truncated };
}
