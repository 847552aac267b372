import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { InputError } from '../common/errors.ts';
import { readText } from './decode.ts';
import { splitLines } from './table.ts';
import { Tokenizer, tokenizerJsonFromVocab } from './tokenizer.ts';

/** Files a BERT tokeniser may consist of; tokenizer.json or vocab.txt must be there. */
export const TOKENIZER_FILES = [
  'tokenizer.json',
  'tokenizer_config.json',
  'special_tokens_map.json',
  'vocab.txt',
] as const;

async function readJson(file: string): Promise<unknown> {
  const { text } = await readText(file);
  try {
    return JSON.parse(text) as unknown;
  } catch (error) {
    throw new InputError(
      `${file}: not JSON (${(error as Error).message})`,
      'Copy the file again from where the model was saved.',
    );
  }
}

/**
 * The tokeniser of a Hugging Face folder: tokenizer.json, or else vocab.txt, each with tokenizer_config.json if there.
 * @throws InputError naming the file that is missing or cannot be used.
 */
export async function loadTokenizer(dir: string): Promise<Tokenizer> {
  const configFile = join(dir, 'tokenizer_config.json');
  const config = existsSync(configFile) ? await readJson(configFile) : {};
  const tokenizerFile = join(dir, 'tokenizer.json');
  if (existsSync(tokenizerFile)) return new Tokenizer(await readJson(tokenizerFile), config, tokenizerFile);
  const vocabFile = join(dir, 'vocab.txt');
  if (!existsSync(vocabFile)) {
    throw new InputError(
      `${dir}: neither tokenizer.json nor vocab.txt`,
      'Give a folder that holds them with --tokenizer DIR.',
    );
  }
  const { text } = await readText(vocabFile);
  return new Tokenizer(tokenizerJsonFromVocab(splitLines(text), config, vocabFile), config, vocabFile);
}
