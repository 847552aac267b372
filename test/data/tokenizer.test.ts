import { createHash } from 'node:crypto';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { InputError, RefusedError } from '../../common/errors.ts';
import { loadTokenizer } from '../../data/tokenizer-files.ts';
import { Tokenizer, tokenizerJsonFromVocab } from '../../data/tokenizer.ts';
import { bertNormaliser, bertPreTokenise } from '../../data/tokenizer/bert.ts';
import { truncate } from '../../data/tokenizer/truncate.ts';

const VOCAB = ['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]', 'un', '##aff', '##able', 'a', 'film', '.', '水'];
const tokenizer = new Tokenizer(tokenizerJsonFromVocab(VOCAB, {}), {});

/**
 * SHA-256 over all code points c except surrogates, in order, of UTF-8(result + newline): the result of tokenizers 0.23.3 on
 * "a" + c + "b" for BertNormalizer(), BertNormalizer(lowercase=False), and BertPreTokenizer joined by spaces.
 */
const EVERY_CODE_POINT = {
  uncased: '0544723a7e870214efe4eb19941b690ced3e870ed268971a706084302e156532',
  cased: 'def2413caf23895622b9daa40a9e06dca836f8aea5a88aabd732fd19b70d4896',
  words: '4f2d23a7ec1cb1feed90f163f44f37a6556aef2edd9212307ee1168cf07c2dd4',
};

function digest(f: (text: string) => string): string {
  const hash = createHash('sha256');
  for (let block = 0; block < 0x110000; block += 0x800) {
    if (block === 0xd800) continue;
    let text = '';
    for (let c = block; c < block + 0x800; c++) text += `${f(`a${String.fromCodePoint(c)}b`)}\n`;
    hash.update(text);
  }
  return hash.digest('hex');
}

// Other versions of the engine's own tables know fewer or more characters.
const unicode = Number.parseInt(process.versions['unicode'] ?? '0', 10);
if (unicode !== 17)
  process.stderr.write(
    `this Node has Unicode ${unicode}: the comparison of every code point needs 17, it is skipped\n`,
  );

describe.runIf(unicode === 17)(
  'BERT normaliser and pre-tokeniser agree with the Rust library on every code point',
  () => {
    it('uncased', () => expect(digest(bertNormaliser({ type: 'BertNormalizer' }))).toBe(EVERY_CODE_POINT.uncased));
    it('cased', () =>
      expect(digest(bertNormaliser({ type: 'BertNormalizer', lowercase: false }))).toBe(EVERY_CODE_POINT.cased));
    it('words', () => expect(digest((text) => bertPreTokenise(text).join(' '))).toBe(EVERY_CODE_POINT.words));
  },
);

describe('encoding', () => {
  it('frames one text and a pair; an empty second text is still a pair', () => {
    expect(tokenizer.encode('Unaffable  film.')).toEqual({ ids: [2, 5, 6, 7, 9, 10, 3], types: [0, 0, 0, 0, 0, 0, 0] });
    expect(tokenizer.encode('a', 'film')).toEqual({ ids: [2, 8, 3, 9, 3], types: [0, 0, 0, 1, 1] });
    expect(tokenizer.encode('a', '')).toEqual({ ids: [2, 8, 3, 3], types: [0, 0, 0, 1] });
    expect(tokenizer.encode('')).toEqual({ ids: [2, 3], types: [0, 0] });
    expect(tokenizer.encode('zzz a水')).toEqual({ ids: [2, 1, 8, 11, 3], types: [0, 0, 0, 0, 0] });
  });

  it('takes BertProcessing as the same frame, cased and custom special tokens from the configuration', () => {
    const json = tokenizerJsonFromVocab(VOCAB, {}) as Record<string, unknown>;
    const old = new Tokenizer({
      ...json,
      post_processor: { type: 'BertProcessing', cls: ['[CLS]', 2], sep: ['[SEP]', 3] },
    });
    expect(old.encode('a', 'film')).toEqual(tokenizer.encode('a', 'film'));
    const config = { do_lower_case: false, cls_token: { content: 'a' } };
    const cased = new Tokenizer(tokenizerJsonFromVocab(VOCAB, config), config);
    expect(cased.encode('FILM film').ids).toEqual([8, 1, 9, 3]);
  });

  it('pads on the right and refuses to pad to less', () => {
    const padded = tokenizer.pad([tokenizer.encode('a'), tokenizer.encode('a', 'film')], 6);
    expect([...padded.ids]).toEqual([2, 8, 3, 0, 0, 0, 2, 8, 3, 9, 3, 0]);
    expect([...padded.types]).toEqual([0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 0]);
    expect([...padded.mask]).toEqual([1, 1, 1, 0, 0, 0, 1, 1, 1, 1, 1, 0]);
    expect(() => tokenizer.pad([tokenizer.encode('a', 'film')], 4)).toThrow('does not fit');
  });
});

const array = (n: number): number[] => Array.from({ length: n }, (_, i) => i);

describe('truncation', () => {
  it('longest_first removes one token at a time from the longer text (the definition), as long as no half is needed', () => {
    fc.assert(
      fc.property(fc.nat(40), fc.nat(40), fc.nat(60), (n, m, room) => {
        const [a, b] = truncate(array(n), array(m), 3, room + 3, 'longest_first');
        let [x, y] = [n, m];
        while (x + y > room) {
          if (x > y) x--;
          else if (y > x) y--;
          // Equally long: the odd token stays with the text that was longer, or the second.
          else if (n > m) y--;
          else x--;
        }
        expect([a.length, b!.length]).toEqual([x, y]);
        expect(a).toEqual(array(x));
      }),
    );
  });

  it('refuses by default, naming both lengths; refuses what a strategy cannot do; refuses a limit below the special tokens', () => {
    expect(() => tokenizer.encode('a film', undefined, { maxLength: 3 })).toThrow(RefusedError);
    expect(() => tokenizer.encode('a film', undefined, { maxLength: 3 })).toThrow(
      '4 tokens with the special ones, the limit is 3',
    );
    expect(tokenizer.encode('a film', undefined, { maxLength: 4 }).ids).toEqual([2, 8, 9, 3]);
    expect(() => tokenizer.encode('a film', undefined, { maxLength: 3, truncation: 'only_second' })).toThrow(
      'needs a second text',
    );
    expect(() => tokenizer.encode('a', 'film', { maxLength: 4, truncation: 'only_first' })).toThrow(
      'the first text has 1 tokens, but 1 must go',
    );
    for (const maxLength of [1, 0, -1, Number.NaN])
      expect(() => tokenizer.encode('a', undefined, { maxLength })).toThrow('no room for the 2');
  });
});

describe('tokeniser files', () => {
  let folder: string;
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'tokeniser-'));
  });
  afterAll(() => rmSync(folder, { recursive: true }));

  const good = tokenizerJsonFromVocab(VOCAB, {}) as Record<string, unknown>;
  const cases: [name: string, files: Record<string, string>, message: RegExp][] = [
    ['an empty folder', {}, /neither tokenizer\.json nor vocab\.txt/],
    ['broken JSON', { 'tokenizer.json': '{' }, /tokenizer\.json: not JSON/],
    ['an empty file', { 'tokenizer.json': '' }, /tokenizer\.json: the file is empty/],
    ['null', { 'tokenizer.json': 'null' }, /model is undefined, supported is WordPiece/],
    [
      'another model',
      { 'tokenizer.json': JSON.stringify({ ...good, model: { type: 'BPE' } }) },
      /model is BPE, supported is WordPiece/,
    ],
    [
      'another normaliser',
      { 'tokenizer.json': JSON.stringify({ ...good, normalizer: null }) },
      /normalizer is undefined/,
    ],
    [
      'another frame',
      { 'tokenizer.json': JSON.stringify({ ...good, post_processor: { type: 'ByteLevel' } }) },
      /post_processor ByteLevel/,
    ],
    [
      'a broken frame',
      {
        'tokenizer.json': JSON.stringify({
          ...good,
          post_processor: { type: 'TemplateProcessing', single: [{}], pair: [] },
        }),
      },
      /post_processor: neither SpecialToken nor Sequence/,
    ],
    [
      'a contradiction about case',
      { 'tokenizer.json': JSON.stringify(good), 'tokenizer_config.json': '{"do_lower_case": false}' },
      /lowercase is true, but do_lower_case of tokenizer_config\.json is false/,
    ],
    [
      'a repeated token',
      { 'vocab.txt': [...VOCAB, 'un', ''].join('\n') },
      /vocab\.txt, line 13: 'un' also stands on line 6/,
    ],
    ['a missing special token', { 'vocab.txt': '[PAD]\n[UNK]\n[SEP]\n' }, /vocab\.txt: no line '\[CLS\]'/],
    [
      'a missing unknown token',
      { 'tokenizer.json': JSON.stringify({ ...good, model: { ...(good['model'] as object), unk_token: '<unk>' } }) },
      /unknown token '<unk>' is not in the vocabulary/,
    ],
  ];
  for (const [name, files, message] of cases) {
    it(`refuses ${name}`, async () => {
      const dir = join(folder, name.replaceAll(' ', '-'));
      mkdirSync(dir);
      for (const [file, content] of Object.entries(files)) writeFileSync(join(dir, file), content);
      const error: unknown = await loadTokenizer(dir).catch((e: unknown) => e);
      expect(error).toBeInstanceOf(InputError);
      expect((error as InputError).message).toMatch(message);
      expect((error as InputError).message).toContain(dir);
      expect((error as InputError).hint).not.toBe('');
    });
  }

  it('reads vocab.txt with CRLF, and keeps what it read for storing with a model', async () => {
    const dir = join(folder, 'crlf');
    mkdirSync(dir);
    writeFileSync(join(dir, 'vocab.txt'), VOCAB.join('\r\n'));
    writeFileSync(join(dir, 'tokenizer_config.json'), '{"model_max_length": 128}');
    const loaded = await loadTokenizer(dir);
    expect(loaded.encode('unaffable film').ids).toEqual([2, 5, 6, 7, 9, 3]);
    expect([loaded.vocabSize, loaded.modelMaxLength, loaded.padId]).toEqual([12, 128, 0]);
    const again = new Tokenizer(
      JSON.parse(JSON.stringify(loaded.tokenizerJson)),
      JSON.parse(JSON.stringify(loaded.configJson)),
    );
    expect(again.encode('unaffable film')).toEqual(loaded.encode('unaffable film'));
  });
});
