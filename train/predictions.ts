/** The predictions file: what a model says of every text, one JSON object a line, and of which input. */
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { InputError, RefusedError } from '../common/errors.ts';
import type { Encoding } from '../data/tokenizer.ts';
import type { ModelConfig } from '../model/config.ts';
import { argmax, probabilities } from './predict.ts';

type Input = Pick<Encoding, 'ids' | 'types'>;

const digest = ({ ids, types }: { readonly ids: readonly number[]; readonly types: readonly number[] }): string =>
  createHash('sha256').update(JSON.stringify({ ids, types })).digest('hex');

/** What a model says of one text, and which tokens it was given. */
export function prediction(config: ModelConfig, logits: Float32Array, input: Input): Record<string, unknown> {
  const given = { tokens: input.ids.length, tokenHash: digest(input) };
  if (config.num_labels === 1) return { score: logits[0]!, logits: [...logits], ...given };
  return { label: config.labels[argmax(logits)]!, probabilities: probabilities(logits), logits: [...logits], ...given };
}

const HINT = 'Give what `train-distill evaluate STUDENT --predictions FILE` wrote for the same texts.';

/** As far as a line can be read; absent fields cannot be checked. */
type Line = { readonly logits?: unknown; readonly tokens?: unknown; readonly tokenHash?: unknown } | null;

/**
 * Logits of the first texts of a file, which must have been made of the very tokens given: other texts, or the same cut at another
 * length, compare nothing. Lines without `tokenHash` (of other programs) are taken on trust.
 * @param inputs the texts as they are asked, in order
 * @throws InputError naming file and line if there are too few lines or logits; RefusedError if the input was another
 */
export async function readPredictions(file: string, outputs: number, inputs: readonly Input[]): Promise<number[][]> {
  const text = await readFile(file, 'utf8').catch((error: Error) => {
    throw new InputError(`${file}: cannot be read (${error.message})`, HINT);
  });
  const lines = text.trimEnd().split('\n');
  if (lines.length < inputs.length)
    throw new InputError(`${file}: ${lines.length} line${lines.length === 1 ? '' : 's'} for ${inputs.length} texts`, HINT); // prettier-ignore
  const longest = Math.max(...inputs.map(({ ids }) => ids.length));
  return inputs.map((input, i) => {
    let line: Line = null;
    try {
      line = JSON.parse(lines[i]!) as Line;
    } catch {
      // Told below, with the line.
    }
    const logits = line?.logits;
    if (!Array.isArray(logits) || logits.length !== outputs || !logits.every(Number.isFinite))
      throw new InputError(`${file}, line ${i + 1}: no ${outputs} logits`, HINT);
    checkInput(line!, input, `${file}, line ${i + 1}`, longest);
    return logits as number[];
  });
}

function checkInput({ tokens, tokenHash }: NonNullable<Line>, input: Input, where: string, longest: number): void {
  if (tokenHash === undefined || tokenHash === digest(input)) return;
  const here = input.ids.length;
  if (typeof tokens === 'number' && tokens !== here)
    throw new RefusedError(
      `${where}: made of ${tokens} tokens, the text asked has ${here}: another text, or cut at another length`,
      `Evaluate the float model on the same texts, with --max-length ${longest} if they are cut.`,
    );
  throw new RefusedError(`${where}: made of another text than the one asked`, HINT);
}
