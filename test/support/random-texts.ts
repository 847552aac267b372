/** Texts of tokens drawn by a seed, for calibrating and asking tiny models. */
import { CounterRandom } from '../../common/random.ts';
import type { Encoding } from '../../data/tokenizer.ts';

export interface TextRange {
  readonly shortest: number;
  readonly longest: number;
  /** Token ids are below it. */
  readonly vocab: number;
}

/** `each` texts of every length from `shortest` to `longest`; the second half of the tokens of each is of type 1. */
export function randomTexts({ shortest, longest, vocab }: TextRange, each: number, seed: number): Encoding[] {
  const random = new CounterRandom(seed, 'texts');
  return Array.from({ length: (longest - shortest + 1) * each }, (_, i) => {
    const length = shortest + Math.floor(i / each);
    return {
      ids: Array.from({ length }, () => random.int(vocab)),
      types: Array.from({ length }, (_v, j) => (2 * j >= length ? 1 : 0)),
    };
  });
}
