import { createHash } from 'node:crypto';
import { copyFileSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { RefusedError } from '../../common/errors.ts';
import { loadTokenizer } from '../../data/tokenizer-files.ts';
import type { Tokenizer, Truncation } from '../../data/tokenizer.ts';
import { caseFolders, DATA_DIR, GOLDEN_DIR } from '../support/golden.ts';

interface Text {
  readonly text: string;
  readonly pair: string;
}
/** types and mask are strings, one digit a token; an error is expected where there are no ids. */
interface Row {
  readonly ids?: number[];
  readonly types?: string;
  readonly mask?: string;
  readonly error?: string;
}
interface Group {
  readonly name: string;
  readonly strategy: Truncation | null;
  readonly max_length: number | null;
  readonly pad_to: number | null;
  readonly results: Row[];
}
interface Batch {
  readonly texts: number[];
  readonly pairs: boolean;
  readonly max_length: number;
  readonly pad_to_multiple_of: number | null;
  readonly results: Row[];
}

const read = (folder: string, name: string): unknown => JSON.parse(readFileSync(join(folder, name), 'utf8'));

/** One row of a padded rectangle in the form of the golden files. */
function row(padded: ReturnType<Tokenizer['pad']>, at: number): Row {
  const part = (array: Int32Array): number[] => [...array.subarray(at * padded.length, (at + 1) * padded.length)];
  return { ids: part(padded.ids), types: part(padded.types).join(''), mask: part(padded.mask).join('') };
}

function encodeRow(tokenizer: Tokenizer, { text, pair }: Text, group: Group, paired: boolean): Row {
  try {
    const encoding = tokenizer.encode(text, paired ? pair : undefined, {
      ...(group.max_length === null ? {} : { maxLength: group.max_length }),
      ...(group.strategy === null ? {} : { truncation: group.strategy }),
    });
    return row(tokenizer.pad([encoding], Math.max(group.pad_to ?? 0, encoding.ids.length)), 0);
  } catch (error) {
    if (error instanceof RefusedError) return { error: error.message };
    throw error;
  }
}

/** A golden row with the library's own error text reduced to the fact. */
const fact = (r: Row): Row => (r.error === undefined ? r : { error: 'refused' });

describe.runIf(DATA_DIR !== undefined && GOLDEN_DIR !== undefined)('golden tokeniser', () => {
  let fromJson: Tokenizer;
  let fromVocab: Tokenizer;
  beforeAll(async () => {
    fromJson = await loadTokenizer(join(DATA_DIR!, 'tokenizer'));
    const folder = mkdtempSync(join(tmpdir(), 'vocab-'));
    for (const name of ['vocab.txt', 'tokenizer_config.json'])
      copyFileSync(join(DATA_DIR!, 'tokenizer', name), join(folder, name));
    fromVocab = await loadTokenizer(folder);
    rmSync(folder, { recursive: true });
  });

  for (const folder of caseFolders('05_tokenizer')) {
    describe(basename(folder), () => {
      const about = read(folder, 'case.json') as { files: string[]; tokenizer_json_sha256: string; tolerance: number };
      const texts = read(folder, 'texts.json') as Text[];

      it('was made with the tokeniser at hand and holds only kinds known here', () => {
        const bytes = readFileSync(join(DATA_DIR!, 'tokenizer', 'tokenizer.json'));
        expect(createHash('sha256').update(bytes).digest('hex')).toBe(about.tokenizer_json_sha256);
        expect(about.files.toSorted()).toEqual(['batch.json', 'pair.json', 'single.json', 'texts.json']);
        expect(about.tolerance).toBe(0);
      });

      it('vocab.txt alone gives the same ids as tokenizer.json', () => {
        for (const { text, pair } of texts) expect(fromVocab.encode(text, pair)).toEqual(fromJson.encode(text, pair));
      });

      for (const kind of ['single', 'pair'] as const) {
        for (const group of read(folder, `${kind}.json`) as Group[]) {
          it(`${kind} ${group.name}: ${group.results.length} rows`, () => {
            expect(group.results.length).toBe(texts.length);
            group.results.forEach((expected, i) => {
              expect(fact(encodeRow(fromJson, texts[i]!, group, kind === 'pair')), `row ${i}`).toEqual(fact(expected));
            });
          });
        }
      }

      (read(folder, 'batch.json') as Batch[]).forEach((batch, n) => {
        it(`batch ${n}: ${batch.pairs ? 'pairs' : 'texts'}, multiple of ${batch.pad_to_multiple_of ?? 1}`, () => {
          const encodings = batch.texts.map((i) =>
            fromJson.encode(texts[i]!.text, batch.pairs ? texts[i]!.pair : undefined, {
              maxLength: batch.max_length,
              truncation: 'longest_first',
            }),
          );
          const multiple = batch.pad_to_multiple_of ?? 1;
          const longest = Math.max(...encodings.map((e) => e.ids.length));
          const padded = fromJson.pad(encodings, Math.ceil(longest / multiple) * multiple);
          expect(batch.texts.map((_, i) => row(padded, i))).toEqual(batch.results);
        });
      });
    });
  }
});
