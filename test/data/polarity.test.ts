import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { packageRoot } from '../../common/package-root.ts';
import { loadTask } from '../../data/tasks.ts';
import { DATA_DIR } from '../support/golden.ts';

const PARTS = ['train', 'dev', 'test'] as const;
const folder = join(packageRoot(), 'data', 'polarity');
const readme = readFileSync(join(folder, 'README.md'), 'utf8');

describe('the bundled polarity data', () => {
  it('has three parts of the stated sizes, classes and hashes', async () => {
    const task = await loadTask('polarity');
    expect(task.labels).toEqual(['negative', 'positive']);
    expect([task.dev.examples.length, task.test.examples.length]).toEqual([1066, 1066]);
    for (const part of PARTS) {
      const { examples, hash, source } = task[part];
      const positive = examples.filter((e) => e.label === 'positive').length;
      const negative = examples.filter((e) => e.label === 'negative').length;
      expect(positive + negative).toBe(examples.length);
      expect(readme).toContain(`| \`${part}.tsv\` | ${examples.length} | ${negative} | ${positive} | \`${hash}\` |`);
      expect(source).toBe(`polarity/${part}`);
    }
  });

  it('repeats no sentence within or across parts, by letters and digits', async () => {
    const task = await loadTask('polarity');
    const seen = new Set<string>();
    let count = 0;
    for (const part of PARTS) {
      for (const { text } of task[part].examples) {
        count++;
        seen.add(text.toLowerCase().replace(/[^\p{L}\p{N}]+/gu, ''));
        expect(text).toBe(text.trim());
        expect(text).not.toMatch(/[\p{Cc}\ufffd]|\s\s/u);
      }
    }
    expect(seen.size).toBe(count);
  });

  it('carries authors, paper, licence and changes', () => {
    for (const file of ['README.md', 'LICENSE']) {
      const text = readFileSync(join(folder, file), 'utf8');
      for (const words of [
        'Bo Pang and Lillian Lee',
        'Seeing stars',
        'Creative Commons Attribution 4.0',
        'creativecommons.org/licenses/by/4.0',
      ]) {
        expect(text).toContain(words);
      }
    }
    expect(readme).toContain('## What was changed');
  });

  const source = DATA_DIR === undefined ? '' : join(DATA_DIR, 'sentence_polarity', 'sentence_polarity.zip');
  it.runIf(existsSync(source))('is made again, byte for byte, from its source', () => {
    const out = mkdtempSync(join(tmpdir(), 'polarity-'));
    execFileSync(process.execPath, [join(packageRoot(), 'scripts', 'make-polarity.mjs'), source, out]);
    for (const part of PARTS) {
      expect(readFileSync(join(out, `${part}.tsv`)).equals(readFileSync(join(folder, `${part}.tsv`)))).toBe(true);
    }
    rmSync(out, { recursive: true });
  });

  it('refuses an unknown task, naming those there are', async () => {
    for (const name of ['imdb', '__proto__', 'toString'])
      await expect(loadTask(name)).rejects.toThrow(`no task '${name}'`);
  });
});
