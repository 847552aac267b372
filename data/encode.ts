/** Texts of a data set as token ids. */
import type { Example } from './read.ts';
import type { Encoding, Tokenizer } from './tokenizer.ts';

/** Token ids of every text; those above `maxLength` tokens are cut (the longer text of a pair first), `truncated` says how many. */
export function encodeAll(
  examples: readonly Example[],
  tokenizer: Tokenizer,
  maxLength: number,
): { readonly encodings: Encoding[]; readonly truncated: number } {
  let truncated = 0;
  const encodings = examples.map(({ text, pair }) => {
    const whole = tokenizer.encode(text, pair, {});
    if (whole.ids.length <= maxLength) return whole;
    truncated++;
    return tokenizer.encode(text, pair, { maxLength, truncation: 'longest_first' });
  });
  return { encodings, truncated };
}
