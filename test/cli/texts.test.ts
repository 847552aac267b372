/** The texts that are asked, and why some are refused before anything is sent. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { questions, tokenise, type Calibrated } from '../../cli/secure-infer/texts.ts';
import { InputError, RefusedError, type Failure } from '../../common/errors.ts';
import { Tokenizer, tokenizerJsonFromVocab } from '../../data/tokenizer.ts';
import { TINY_VOCAB } from '../support/tiny-model.ts';

const tokenizer = new Tokenizer(tokenizerJsonFromVocab(TINY_VOCAB, { do_lower_case: true }));
let dir: string;
beforeAll(() => void (dir = mkdtempSync(join(tmpdir(), 'texts-'))));
afterAll(() => rmSync(dir, { recursive: true }));
const file = (name: string, content: string): string => {
  writeFileSync(join(dir, name), content);
  return join(dir, name);
};

describe('questions', () => {
  it.each(['', '  ', '\n'])('refuse the text %j as empty', async (text) => {
    const failure = await questions({ text }).catch((error: unknown) => error);
    expect(failure).toBeInstanceOf(InputError);
    expect((failure as Failure).message).toBe('--text: the text is empty');
  });

  it('name the file and line of a text, or its option', async () => {
    const texts = await questions({ file: file('a.tsv', 'text\tlabel\ngood film\t1\nbad film\t0\n') });
    expect([texts.place(0), texts.place(1)]).toEqual([
      `${join(dir, 'a.tsv')}, line 2`,
      `${join(dir, 'a.tsv')}, line 3`,
    ]);
    expect((await questions({ text: 'good' })).place(0)).toBe('--text');
  });
});

describe('token ids', () => {
  const model: Calibrated = { minLength: 3, maxLength: 6, pairs: false };
  const failure = async (options: object, calibrated = model, truncate = false): Promise<Failure> => {
    const texts = await questions(options);
    try {
      tokenise(tokenizer, calibrated, texts, truncate);
    } catch (error) {
      expect(error).toBeInstanceOf(RefusedError);
      return error as Failure;
    }
    return expect.fail('accepted');
  };

  it('are those of the tokeniser, cut only if asked', async () => {
    const long = { text: 'a very very very dull film' };
    const id = (word: string): number => TINY_VOCAB.indexOf(word);
    const said = vi.spyOn(process.stderr, 'write').mockReturnValue(true);
    const { encodings, truncated } = tokenise(tokenizer, model, await questions(long), true);
    expect(truncated).toBe(1);
    expect(said.mock.calls.flat()).toEqual(['1 of 1 text cut to 6 tokens\n']);
    said.mockRestore();
    expect(encodings[0]!.ids).toEqual(['[CLS]', 'a', 'very', 'very', 'very', '[SEP]'].map(id));
    const { message, hint } = await failure(long);
    expect(message).toBe('--text: 8 tokens with the special ones, the model was calibrated for at most 6');
    expect(hint).toBe('Shorten the text, or cut it with --truncate.');
  });

  it('name the line of a text that is too long', async () => {
    const { message } = await failure({ file: file('long.txt', 'good\na very very very dull film\n') });
    expect(message).toMatch(/long\.txt, line 2: 8 tokens/);
  });

  it('are not made of a text that has none', async () => {
    const { message, hint } = await failure({ text: '\u0001\u0002' });
    expect(message).toBe('--text: 2 tokens with the special ones, the model was calibrated for at least 3');
    expect(hint).toMatch(/^Give a longer text/);
  });

  it('are refused of pairs where single texts were calibrated, and the other way round; not where nobody knows', async () => {
    const single = { text: 'good' };
    const pair = { text: 'good', pair: 'bad' };
    expect((await failure(pair)).message).toBe('--text: a pair of texts, and the model was calibrated on single ones');
    const pairs = { ...model, pairs: true };
    expect((await failure(single, pairs)).message).toBe('--text: a single text, and the model was calibrated on pairs');
    expect((await failure({ text: 'good', pair: '' }, model)).message).toMatch(/a pair of texts/);
    expect(tokenise(tokenizer, pairs, await questions(pair), false).encodings[0]!.types).toEqual([0, 0, 0, 1, 1]);
    const { pairs: _, ...unknown } = model;
    for (const asked of [single, pair])
      expect(tokenise(tokenizer, unknown, await questions(asked), false).encodings).toHaveLength(1);
  });
});
