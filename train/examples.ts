/** Data sets made ready for training: token ids and numeric targets. */
import { encodeAll } from '../data/encode.ts';
import { targetsOf } from '../data/labels.ts';
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
  const { encodings, truncated } = encodeAll(data.examples, tokenizer, options.maxLength);
  const labelled = options.needLabels || data.examples.every(({ label }) => label !== undefined);
  const targets = labelled ? targetsOf(data, options.labels, options.regression) : undefined;
  return { encodings, targets, hash: data.hash, source: data.source, truncated };
}
