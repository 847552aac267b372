import { createHash } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { InputError } from '../../common/errors.ts';
import type { ColumnOptions } from '../../data/columns.ts';
import { labelsOf, targetsOf } from '../../data/labels.ts';
import type { Dataset, Example } from '../../data/read.ts';
import { readExamples } from '../../data/read.ts';

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'read-'));
});
afterAll(() => rmSync(folder, { recursive: true }));

let files = 0;
async function load(extension: string, content: string | Uint8Array, options?: ColumnOptions): Promise<Dataset> {
  const file = join(folder, `${files++}${extension}`);
  writeFileSync(file, content);
  return readExamples(file, options);
}
const read = async (...given: Parameters<typeof load>): Promise<readonly Example[]> => (await load(...given)).examples;

async function refusal(extension: string, content: string | Uint8Array, options?: ColumnOptions): Promise<InputError> {
  const error: unknown = await read(extension, content, options).catch((e: unknown) => e);
  expect(error).toBeInstanceOf(InputError);
  expect((error as InputError).message).toContain(folder);
  expect((error as InputError).hint).not.toBe('');
  return error as InputError;
}

/** Any well-formed text with at least one visible character; `without` are characters the format cannot hold. */
const text = (without: RegExp): fc.Arbitrary<string> =>
  fc
    .oneof(
      fc.string({ unit: 'binary' }),
      fc.string({
        unit: fc.constantFrom('"', ',', "'", '\t', '\n', '\r', '\\', ' ', 'a', 'é', '\u2028', '\u0085', '😀'),
      }),
    )
    .map((s) => s.replace(without, '').replace(/^\ufeff/, ''))
    .filter((s) => s.trim() !== '' && !/\p{Cs}/u.test(s));

const rows = (without: RegExp): fc.Arbitrary<Required<Example>[]> =>
  fc.array(fc.record({ text: text(without), pair: text(without), label: text(without) }), {
    minLength: 1,
    maxLength: 5,
  });

const cell = (s: string): string => `"${s.replaceAll('"', '""')}"`;

const bytes = (...parts: (string | number[])[]): Uint8Array =>
  Buffer.concat(parts.map((part) => Buffer.from(part as string)));

describe('round trips of arbitrary text', () => {
  const columns = { textColumn: 'a', pairColumn: 'b', labelColumn: 'c' };
  // TSV is unquoted: no cell holds a tab or a line end, and the last cell no carriage return before one.
  it('TSV', async () => {
    await fc.assert(
      fc.asyncProperty(rows(/[\t\n\r]/g), fc.constantFrom('\n', '\r\n'), async (examples, end) => {
        const content = ['a\tb\tc', ...examples.map((e) => `${e.text}\t${e.pair}\t${e.label}`), ''].join(end);
        expect(await read('.tsv', content, columns)).toEqual(examples);
      }),
    );
  });
  it('CSV, every cell quoted', async () => {
    await fc.assert(
      fc.asyncProperty(rows(/(?!)/g), fc.constantFrom('\n', '\r\n'), async (examples, end) => {
        const content = ['a,b,c', ...examples.map((e) => [e.text, e.pair, e.label].map(cell).join(',')), ''].join(end);
        expect(await read('.csv', content, columns)).toEqual(examples);
      }),
    );
  });
  it('JSONL', async () => {
    await fc.assert(
      fc.asyncProperty(rows(/(?!)/g), async (examples) => {
        const content = examples.map((e) => JSON.stringify({ c: e.label, b: e.pair, a: e.text })).join('\n');
        expect(await read('.jsonl', content, columns)).toEqual(examples);
      }),
    );
  });
  it('plain text', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(text(/[\n\r]/g), { minLength: 1 }), async (lines) => {
        expect(await read('.txt', lines.join('\n'))).toEqual(lines.map((line) => ({ text: line })));
      }),
    );
  });
});

describe('columns', () => {
  it('finds the layouts of GLUE by their headers', async () => {
    const layouts: [header: string, row: string, example: Example][] = [
      ['sentence\tlabel', 'a "b\t1', { text: 'a "b', label: '1' }],
      ['index\tsentence', '0\ta', { text: 'a' }],
      ['index\tquestion\tsentence\tlabel', '0\tq\ts\tentailment', { text: 'q', pair: 's', label: 'entailment' }],
      ['index\tsentence1\tsentence2\tscore', '0\ta\tb\t3.8', { text: 'a', pair: 'b', label: '3.8' }],
      ['Quality\t#1 ID\t#2 ID\t#1 String\t#2 String', '1\t7\t8\ta\tb', { text: 'a', pair: 'b', label: '1' }],
      ['id\tqid1\tqid2\tquestion1\tquestion2\tis_duplicate', '0\t1\t2\ta\tb\t1', { text: 'a', pair: 'b', label: '1' }],
    ];
    for (const [header, row, example] of layouts) expect(await read('.tsv', `${header}\n${row}\n`)).toEqual([example]);
  });

  it('reads CoLA, which has no header, without options and by number; any headerless file by number', async () => {
    const cola = 'gj04\t1\t\tThey sail.\nks08\t0\t*\tThey sails.\n';
    const expected = [
      { text: 'They sail.', label: '1' },
      { text: 'They sails.', label: '0' },
    ];
    expect(await read('.tsv', cola)).toEqual(expected);
    expect(await read('.tsv', cola, { textColumn: '4' })).toEqual(expected);
    expect(await read('.tsv', cola, { textColumn: '4', labelColumn: '1' })).toEqual([
      { text: 'They sail.', label: 'gj04' },
      { text: 'They sails.', label: 'ks08' },
    ]);
    expect(await read('.csv', 'x,y\n', { textColumn: '2' })).toEqual([{ text: 'y' }]);
    expect(await read('.tsv', '1\t2\na\tb\n', { textColumn: '2' })).toEqual([{ text: 'b' }]);
  });

  it('a named text column means one text; a pair column adds the second; the label may be renamed', async () => {
    const file = 'question\tsentence\tlabel\tgold\nq\ts\tl\tg\n';
    expect(await read('.tsv', file, { textColumn: 'question' })).toEqual([{ text: 'q', label: 'l' }]);
    expect(await read('.tsv', file, { textColumn: 'sentence', pairColumn: 'question' })).toEqual([
      { text: 's', pair: 'q', label: 'l' },
    ]);
    expect(await read('.tsv', file, { labelColumn: 'gold' })).toEqual([{ text: 'q', pair: 's', label: 'g' }]);
    expect(await read('.tsv', file, { pairColumn: 'question' })).toEqual([{ text: 's', pair: 'q', label: 'l' }]);
  });

  it('refuses an unknown column, listing those that exist, in every format', async () => {
    for (const [extension, content] of [
      ['.tsv', 'sentence\tlabel\na\tb\n'],
      ['.csv', 'sentence,label\na,b\n'],
      ['.jsonl', '{"sentence": "a", "label": "b"}\n'],
    ] as const) {
      for (const [flag, options] of [
        ['--text-column', { textColumn: 'x' }],
        ['--pair-column', { pairColumn: 'x' }],
        ['--label-column', { labelColumn: 'x' }],
      ] as const) {
        const error = await refusal(extension, content, options);
        expect(error.message).toContain(`${flag} 'x' does not exist; columns: 'sentence', 'label'`);
        expect(error.hint).toContain(flag);
      }
    }
    expect((await refusal('.txt', 'a\n', { textColumn: 'x' })).message).toContain('plain text has no columns');
    expect((await refusal('.tsv', 'x\ty\na\tb\n', { textColumn: '3' })).message).toContain(
      "'3' does not exist; columns: '1', '2'",
    );
    const none = await refusal('.tsv', 'x\ty\na\tb\n');
    expect(none.message).toContain("columns: 'x', 'y'");
    expect(none.hint).toContain('--text-column 1');
    expect((await refusal('.jsonl', '{"text": "a"}\n', { textColumn: '__proto__' })).message).toContain(
      "'__proto__' does not exist",
    );
  });
});

describe('bytes', () => {
  it('strips a byte order mark and hashes the bytes as they are', async () => {
    const file = join(folder, 'bom.tsv');
    const content = bytes([0xef, 0xbb, 0xbf], 'Quality\t#1 String\t#2 String\r\n1\ta\tb\r\n');
    writeFileSync(file, content);
    const dataset = await readExamples(file);
    expect(dataset.examples).toEqual([{ text: 'a', pair: 'b', label: '1' }]);
    expect(dataset.hash).toBe(createHash('sha256').update(content).digest('hex'));
    expect(dataset.source).toBe(file);
  });

  it('refuses bytes that are not UTF-8, naming the line', async () => {
    for (const [content, line] of [
      [bytes('sentence\n', [0x63, 0x61, 0x66, 0xe9], '\n'), 2], // Latin-1
      [bytes('sentence\na\n', [0xc0, 0xaf], '\nb\n'), 3], // overlong
      [bytes('sentence\na\n', [0xed, 0xa0, 0x80]), 3], // surrogate
      [bytes('sentence\na', [0xe2, 0x82]), 2], // cut off
      [bytes([0xff, 0xfe], 'a\0'), 1], // UTF-16
    ] as const) {
      const error = await refusal('.tsv', content);
      expect(error.message).toMatch(new RegExp(`, line ${line}: not UTF-8$`));
      expect(error.hint).toContain('UTF-8');
    }
  });

  it('refuses an empty file, a header alone, a missing file, a folder and an unknown extension', async () => {
    for (const extension of ['.tsv', '.csv', '.jsonl', '.txt']) {
      expect((await refusal(extension, '')).message).toContain('the file is empty');
      expect((await refusal(extension, '\ufeff')).message).toContain('the file is empty');
    }
    expect((await refusal('.tsv', 'sentence\tlabel\n')).message).toContain('a header but no examples');
    await expect(readExamples(join(folder, 'absent.tsv'))).rejects.toThrow('no such file');
    await expect(readExamples(join(folder))).rejects.toThrow('unknown extension');
    const unknown = await refusal('.xlsx', 'a');
    expect(unknown.hint).toContain('.tsv, .csv, .jsonl, .ndjson, .txt, .parquet');
  });
});

describe('malformed rows are refused with their line', () => {
  const cases: [extension: string, content: string, line: number, message: string][] = [
    ['.tsv', 'sentence\tlabel\na\t1\nb\n', 3, '1 tab-separated cells where the first line has 2'],
    ['.tsv', 'sentence\tlabel\na\t1\n\nb\t1\n', 3, '1 tab-separated cells'],
    ['.tsv', 'sentence\tsentence\na\tb\n', 1, "two columns are called 'sentence'"],
    ['.tsv', 'sentence\tlabel\na\t1\n  \t1\n', 3, 'the text is empty'],
    ['.tsv', 'sentence\tlabel\na\t1\nb\t\n', 3, 'the label is empty'],
    ['.csv', 'sentence,label\na,1\nb,1,2\n', 3, '3 cells where the first line has 2'],
    ['.csv', 'sentence,label\na,1\n\nb\n', 4, '1 cells where the first line has 2'],
    ['.csv', 'sentence\na\n\nb\n', 3, 'the text is empty'],
    ['.csv', 'sentence,label\na,1\n"b,1\nc,1\nd,1\n', 3, 'the quotation that opens here is not closed'],
    ['.csv', 'sentence,label\r\n"a\r\nb",1\r\n"c,1\r\n"d",1\r\n', 4, 'ends on line 5 the cell goes on'],
    ['.csv', 'sentence,label\n"a"b,1\n', 2, 'after the quotation that opens here and ends the cell goes on'],
    ['.csv', 'sentence,label\na"b",1\n', 2, 'a quotation mark within an unquoted cell'],
    ['.csv', 'sentence,label\n"a\n\nb",1\n"c\n,d",1,2\n', 5, '3 cells where the first line has 2'],
    ['.jsonl', '{"text": "a"}\n\n{"text": "b"}\n', 2, 'the line is empty'],
    ['.jsonl', '{"text": "a"}\n{"text": \n', 2, 'not JSON'],
    ['.jsonl', '{"text": "a"}\n["b"]\n', 2, 'not a JSON object'],
    ['.jsonl', '{"text": "a"}\n{"txt": "b"}\n', 2, "no field 'text'; fields: txt"],
    ['.jsonl', '{"text": "a"}\n{"text": 5}\n', 2, "field 'text' is not a string"],
    ['.jsonl', '{"text": "a", "label": {}}\n', 1, "field 'label' is no label"],
    ['.jsonl', '{"text": "a\\ud800"}\n', 1, 'half a surrogate pair'],
    ['.txt', 'a\n\nb\n', 2, 'the text is empty'],
  ];
  for (const [extension, content, line, message] of cases) {
    it(`${extension}: ${message}`, async () => {
      const error = await refusal(extension, content);
      expect(error.message).toContain(`, line ${line}: `);
      expect(error.message).toContain(message);
    });
  }

  it('an empty line between CSV rows is no row; one within quotes is text', async () => {
    expect(await read('.csv', 'sentence,label\r\n"a\n\nb",1\r\n\r\nc,2\r\n\r\n')).toEqual([
      { text: 'a\n\nb', label: '1' },
      { text: 'c', label: '2' },
    ]);
  });

  it('CSV rows stand on the line they begin on, whatever their cells hold', async () => {
    const content = fc.string({ unit: fc.constantFrom('a', ',', '"', '\n', '\r\n', 'é') });
    await fc.assert(
      fc.asyncProperty(
        fc.array(content, { minLength: 1, maxLength: 6 }),
        fc.constantFrom('\n', '\r\n'),
        async (cells, end) => {
          const written = cells.map((c) => `"x${c.replaceAll('"', '""')}",1${end}`);
          const { places, examples } = await load('.csv', `sentence,label${end}${written.join('')}`);
          expect(examples.map((example) => example.text)).toEqual(cells.map((c) => `x${c}`));
          // The header's line, and all line ends before.
          const line = (i: number): number => 2 + written.slice(0, i).join('').split('\n').length - 1;
          expect(places).toEqual(cells.map((_, i) => `line ${line(i)}`));
        },
      ),
      { numRuns: 60 },
    );
  });

  it('labels that no column holds: the columns there are', async () => {
    for (const [extension, content] of [
      ['.tsv', 'text\ttopic\na\t1\n'],
      ['.csv', 'text,topic\na,1\n'],
      ['.jsonl', '{"text": "a", "topic": "1"}\n'],
    ] as const) {
      const data = await load(extension, content);
      const refused = expect.objectContaining({
        message: `${data.source}: no column of a known name holds the label; columns: 'text', 'topic'`,
        hint: expect.stringContaining('--label-column') as string,
      }) as Error;
      expect(() => labelsOf(data)).toThrow(refused);
      expect(() => targetsOf(data, ['0', '1'], false)).toThrow(refused);
    }
    const plain = await load('.txt', 'a\nb\n');
    expect(() => labelsOf(plain)).toThrow(`${plain.source}: plain text has no labels`);
  });

  it('JSON numbers and booleans are labels', async () => {
    expect(await read('.ndjson', '{"text": "a", "label": 1}\n{"text": "b", "label": true}')).toEqual([
      { text: 'a', label: '1' },
      { text: 'b', label: 'true' },
    ]);
  });
});
