import { createHash } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as zlib from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { InputError } from '../../common/errors.ts';
import { readExamples } from '../../data/read.ts';

/** In Node from 22.15 on. */
const zstd = 'zstdDecompressSync' in zlib;

const vectors = join(import.meta.dirname, '..', 'vectors', 'parquet');
const vector = (name: string): string => join(vectors, `${name}.parquet`);

/** The rows as they were given to the writer. */
const ROWS = [
  { text: 'good film', pair: 'a', label: 'pos' },
  { text: 'café 😀', pair: 'b', label: 'neg' },
  { text: 'tab\there', pair: '', label: 'pos' },
  { text: 'line\nbreak', pair: 'd', label: 'neg' },
  { text: '"quoted", comma', pair: 'e', label: 'pos' },
  { text: 'good film', pair: 'a', label: 'pos' },
];

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'parquet-'));
});
afterAll(() => rmSync(folder, { recursive: true }));

async function refusal(file: string, options = {}): Promise<InputError> {
  const error: unknown = await readExamples(file, options).catch((e: unknown) => e);
  expect(error).toBeInstanceOf(InputError);
  expect((error as InputError).message).toContain(file);
  expect((error as InputError).hint).not.toBe('');
  return error as InputError;
}

describe('Parquet of another writer', () => {
  const readable = ['none', 'snappy', 'gzip', 'brotli', 'groups-v2', ...(zstd ? ['zstd'] : [])];
  for (const name of readable) {
    it(`reads ${name}`, async () => {
      const { examples, hash, source } = await readExamples(vector(name));
      expect(examples).toEqual(ROWS);
      expect(hash).toBe(
        createHash('sha256')
          .update(readFileSync(vector(name)))
          .digest('hex'),
      );
      expect(source).toBe(vector(name));
    });
  }

  it('reads labels that are numbers or booleans, and bytes as text', async () => {
    const labels = async (labelColumn: string): Promise<unknown[]> =>
      (await readExamples(vector('snappy'), { textColumn: 'text', labelColumn })).examples.map((e) => e.label);
    expect(await labels('i64')).toEqual(['1', '0', '1', '0', '-1', '2']);
    expect(await labels('u8')).toEqual(['1', '0', '1', '0', '255', '2']);
    expect(await labels('f64')).toEqual(['3.8', '0', '5', '2.25', '0.001', '4']);
    expect(await labels('flag')).toEqual(['true', 'false', 'true', 'false', 'true', 'true']);
    const raw = await readExamples(vector('snappy'), { textColumn: 'raw' });
    expect(raw.examples.map((e) => e.text)).toEqual(ROWS.map((e) => e.text));
  });

  const cases: [options: object, message: RegExp][] = [
    [{ textColumn: 'i64' }, /column 'i64' holds INT64, not text/],
    [{ textColumn: 'u8' }, /column 'u8' holds INTEGER, not text/],
    [{ textColumn: 'text', pairColumn: 'flag' }, /column 'flag' holds BOOLEAN, not text/],
    [{ textColumn: 'when' }, /column 'when' holds TIMESTAMP, not text/],
    [{ textColumn: 'text', labelColumn: 'when' }, /column 'when' holds TIMESTAMP, no labels/],
    [{ textColumn: 'list' }, /column 'list' holds lists/],
    [{ textColumn: 'struct' }, /column 'struct' holds 2 columns of its own/],
    [{ textColumn: 'holes' }, /, row 2: column 'holes' is empty/],
    [{ textColumn: 'text', labelColumn: 'missing' }, /, row 3: column 'missing' is empty/],
    [{ textColumn: 'latin' }, /, row 3: column 'latin' is not UTF-8/],
    [{ textColumn: 'blank' }, /, row 4: the text is empty/],
    [{ textColumn: 'nothing' }, /--text-column 'nothing' does not exist; columns: 'text', 'pair'/],
  ];
  for (const [options, message] of cases) {
    it(`refuses: ${message.source}`, async () => {
      expect((await refusal(vector('snappy'), options)).message).toMatch(message);
    });
  }

  it('refuses a codec it cannot undo, and a file without rows', async () => {
    expect((await refusal(vector('lz4'))).message).toMatch(/compressed with LZ4(_RAW)?, which is not read here/);
    expect((await refusal(vector('no-rows'))).message).toContain('no examples');
    if (!zstd) expect((await refusal(vector('zstd'))).hint).toContain('Node 22.15');
  });

  it('refuses every truncation of a file, and what is no Parquet', async () => {
    const whole = readFileSync(vector('none'));
    const file = join(folder, 'cut.parquet');
    for (let length = 1; length < whole.length; length += length < 64 || whole.length - length < 64 ? 1 : 61) {
      writeFileSync(file, whole.subarray(0, length));
      expect((await refusal(file)).message).toContain('not a readable Parquet file');
    }
    writeFileSync(file, '');
    expect((await refusal(file)).message).toContain('the file is empty');
    writeFileSync(file, 'text\tlabel\na\t1\n');
    expect((await refusal(file)).message).toContain('not a readable Parquet file');
    // The footer stands, a page in the middle does not.
    writeFileSync(file, Buffer.concat([whole.subarray(0, 4), Buffer.alloc(200), whole.subarray(204)]));
    await refusal(file);
  });
});
