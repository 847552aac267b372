import { mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { runRecordJson } from '../../checkpoints/run-record.ts';
import { runNames } from '../../cli/train-distill/report.ts';
import { InputError } from '../../common/errors.ts';
import { byTag, parseMarkup, textOf } from '../support/markup.ts';
import { studentRecord } from '../support/run-records.ts';
import { trainDistill } from '../support/in-process.ts';

let dir: string;
const at = (...names: string[]): string => join(dir, ...names);

beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), 'report-command-'));
  for (const [i, name] of ['one/model', 'two/model', 'other'].entries()) {
    mkdirSync(at(name), { recursive: true });
    writeFileSync(at(name, 'run.json'), runRecordJson(studentRecord(i + 1)));
  }
  mkdirSync(at('empty'));
  writeFileSync(at('broken.json'), '{"format": "run-record"');
});
afterAll(() => rmSync(dir, { recursive: true }));

const report = (...args: string[]): Promise<string> => trainDistill('report', ...args);

describe('train-distill report', () => {
  it('writes a page about a run given as folder or as file', async () => {
    const out = await report(at('other'), '--out', at('a.html'), '--json');
    const html = readFileSync(at('a.html'), 'utf8');
    expect(JSON.parse(out)).toEqual({ command: 'report', out: at('a.html'), runs: 1, bytes: Buffer.byteLength(html) });
    expect(textOf(byTag(parseMarkup(html), 'h1')[0]!)).toBe('Training run other');
    await report(at('other', 'run.json'), '--out', at('b.html'));
    expect(readFileSync(at('b.html'), 'utf8')).toBe(html);
  });

  it('compares runs under names that tell them apart, and replaces the page', async () => {
    await report(at('one/model'), at('two/model'), at('other'), '--out', at('a.html'), '--title', 'Three');
    const root = parseMarkup(readFileSync(at('a.html'), 'utf8'));
    expect(textOf(byTag(root, 'h1')[0]!)).toBe('Three');
    const rows = byTag(byTag(root, 'table')[0]!, 'tr').slice(1);
    expect(rows.map((row) => textOf(byTag(row, 'th')[0]!).trim())).toEqual(['one/model', 'two/model', 'other']);
    expect(readdirSync(dir).filter((name) => name.endsWith('.tmp'))).toEqual([]);
  });

  it('refuses what is no run, and leaves no page', async () => {
    for (const [run, message] of [
      [at('absent'), 'no such file or folder'],
      [at('empty'), 'run.json'],
      [at('broken.json'), 'not valid JSON'],
    ] as const) {
      const error: unknown = await report(run, '--out', at('no.html')).catch((e: unknown) => e);
      expect(error).toBeInstanceOf(InputError);
      expect((error as Error).message).toContain(message);
    }
    await expect(report(at('other'), at('other'), '--out', at('no.html'))).rejects.toThrow('is given twice');
    await expect(report(at('other'), '--out', at('nowhere', 'no.html'))).rejects.toThrow('cannot be written');
    expect(readdirSync(dir)).not.toContain('no.html');
  });

  it('names runs by their folders', () => {
    expect(runNames(['/a/x/run.json', '/a/y/run.json'])).toEqual(['x', 'y']);
    expect(runNames(['/a/x/s1/run.json', '/a/y/s1/run.json'])).toEqual(['x/s1', 'y/s1']);
    expect(runNames(['/a/x.json', '/a/y.json'])).toEqual(['x.json', 'y.json']);
  });
});
