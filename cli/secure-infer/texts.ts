/** The texts a command asks: where each stands, and their token ids, as far as the model was calibrated for them. */
import { InputError, RefusedError } from '../../common/errors.ts';
import { placeOf, readExamples, type Dataset, type Example } from '../../data/read.ts';
import type { Encoding, Tokenizer } from '../../data/tokenizer.ts';
import { loadTokenizer } from '../../data/tokenizer-files.ts';
import type { Manifest } from '../../export/bundle/format.ts';
import type { ClientBundle } from '../../export/bundle.ts';
import { onError } from '../ui/colour.ts';
import { counted } from '../ui/figures.ts';
import type { QuestionOptions } from './options.ts';

/** Texts, and what a message calls each of them: file and line, or the option. */
export interface Texts {
  readonly examples: readonly Example[];
  place(index: number): string;
}

/** The first `most` texts of a file, or all. */
export const textsOf = (data: Dataset, most?: number): Texts => ({
  examples: data.examples.slice(0, most),
  place: (i) => placeOf(data, i),
});

/** The texts to answer. @throws InputError unless one source is given and can be read */
export async function questions(options: QuestionOptions): Promise<Texts> {
  const { file, text, pair, textColumn, pairColumn } = options;
  if ((file === undefined) === (text === undefined))
    throw new InputError('give either --file or --text', 'e.g. --text "a fine film"');
  if (text !== undefined) {
    if (text.trim() === '') throw new InputError('--text: the text is empty', 'Give one with at least a word.');
    return { examples: [pair === undefined ? { text } : { text, pair }], place: () => '--text' };
  }
  if (pair !== undefined)
    throw new InputError('--pair goes with --text', 'in a file, name the column with --pair-column');
  return textsOf(
    await readExamples(file!, {
      ...(textColumn === undefined ? {} : { textColumn }),
      ...(pairColumn === undefined ? {} : { pairColumn }),
    }),
  );
}

/** What a model was calibrated for. */
export type Calibrated = Pick<Manifest, 'minLength' | 'maxLength' | 'pairs'>;

/** Token ids of every text, and how many texts were cut. */
export interface Tokenised {
  readonly encodings: readonly Encoding[];
  readonly truncated: number;
}

/**
 * Token ids of every text, before anything is asked; says on standard error how many were cut.
 * @throws RefusedError naming the first text that is too short, too long (unless `truncate`), or a pair where the model knows single
 * texts only, or the other way round: their values lie outside every calibrated range
 */
export function tokenise(tokenizer: Tokenizer, model: Calibrated, texts: Texts, truncate: boolean): Tokenised {
  const { minLength, maxLength, pairs } = model;
  let truncated = 0;
  const encodings = texts.examples.map(({ text, pair }, i) => {
    const refuse = (what: string, remedy: string): never => {
      throw new RefusedError(`${texts.place(i)}: ${what}`, remedy);
    };
    if (pairs === false && pair !== undefined)
      refuse('a pair of texts, and the model was calibrated on single ones', 'Leave the second text out (--pair, --pair-column), or export again with pairs (export-shares --pair-column).'); // prettier-ignore
    if (pairs === true && pair === undefined)
      refuse('a single text, and the model was calibrated on pairs', 'Give the second text too: --pair, or --pair-column of a file.'); // prettier-ignore
    const whole = tokenizer.encode(text, pair, {});
    const tokens = whole.ids.length;
    if (tokens < minLength)
      refuse(`${tokens} tokens with the special ones, the model was calibrated for at least ${minLength}`, 'Give a longer text; spaces and control characters make no tokens.'); // prettier-ignore
    if (tokens <= maxLength) return whole;
    if (!truncate)
      refuse(`${tokens} tokens with the special ones, the model was calibrated for at most ${maxLength}`, 'Shorten the text, or cut it with --truncate.'); // prettier-ignore
    truncated++;
    return tokenizer.encode(text, pair, { maxLength, truncation: 'longest_first' });
  });
  if (truncated > 0)
    process.stderr.write(onError.yellow(`${truncated} of ${counted(encodings.length, 'text')} cut to ${maxLength} tokens\n`)); // prettier-ignore
  return { encodings, truncated };
}

/** `tokenise` by a client's bundle. */
export async function tokenisedFor(
  { tokenizerDir, manifest }: ClientBundle,
  texts: Texts,
  truncate: boolean,
): Promise<readonly Encoding[]> {
  return tokenise(await loadTokenizer(tokenizerDir), manifest, texts, truncate).encodings;
}
